/* pcapng and pcap, as their formats' descriptions have them. */
#include "common/capture/pcap_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/capture/pcapng.h"

#define BUFFER_FIRST 65536u
#define NS           UINT64_C(1000000000)

enum format { FORMAT_UNKNOWN, FORMAT_PCAPNG, FORMAT_PCAP };

struct interface {
    uint32_t link, snap;
    uint64_t units;   /* of time in a second */
    int64_t offset_s; /* to add */
    char description[128];
};

struct pcap_reader {
    const struct env *env;
    struct pcap_source source;
    enum format format;
    bool big;  /* the section's byte order */
    bool done; /* end or error: final */
    int err;
    uint64_t offset; /* of the bytes that come next */
    uint64_t packets;
    uint8_t *buf; /* owned: the current block or packet */
    uint32_t cap;
    struct interface *interfaces; /* owned; pcap has one */
    uint32_t interface_count, interface_cap, last_interface;
    char problem[200], application[128];
};

int pcap_reader_new(const struct env *env, const struct pcap_source *source, struct pcap_reader **out)
{
    struct pcap_reader *r = env_alloc(env, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->env = env;
    r->source = *source;
    *out = r;
    return 0;
}

void pcap_reader_free(struct pcap_reader *r)
{
    if (!r)
        return;
    env_free(r->env, r->buf);
    env_free(r->env, r->interfaces);
    env_free(r->env, r);
}

const char *pcap_reader_problem(const struct pcap_reader *r)
{
    return r->problem;
}

const char *pcap_reader_application(const struct pcap_reader *r)
{
    return r->application;
}

const char *pcap_reader_description(const struct pcap_reader *r)
{
    return r->last_interface < r->interface_count ? r->interfaces[r->last_interface].description : "";
}

/* ---- bytes ---- */

__attribute__((format(printf, 4, 5))) static int wrong(struct pcap_reader *r, int err, uint64_t offset,
                                                       const char *fmt, ...)
{
    char what[150];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    snprintf(r->problem, sizeof r->problem, "offset %" PRIu64 ": %s", offset, what);
    r->done = true;
    r->err = err;
    return err;
}

static uint16_t get16(const struct pcap_reader *r, const uint8_t *p)
{
    return (uint16_t)(r->big ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}

static uint32_t get32(const struct pcap_reader *r, const uint8_t *p)
{
    uint32_t first = get16(r, p), second = get16(r, p + 2);
    return r->big ? first << 16 | second : second << 16 | first;
}

static uint64_t get64(const struct pcap_reader *r, const uint8_t *p)
{
    uint64_t first = get32(r, p), second = get32(r, p + 4);
    return r->big ? first << 32 | second : second << 32 | first;
}

/* 1: len bytes are at buf + at. 0: the file ended before the first. < 0: error, or it ended in between (then
 * `cut`). */
static int take(struct pcap_reader *r, uint32_t at, uint32_t len, bool *cut)
{
    uint32_t have = 0;
    *cut = false;
    if (at + len > r->cap) {
        uint32_t cap = r->cap ? r->cap : BUFFER_FIRST;
        while (cap < at + len)
            cap *= 2;
        uint8_t *grown = env_alloc(r->env, cap);
        if (!grown)
            return wrong(r, ERR_NOMEM, r->offset, "no memory for a block of %" PRIu32 " bytes", at + len);
        if (at)
            memcpy(grown, r->buf, at);
        env_free(r->env, r->buf);
        r->buf = grown;
        r->cap = cap;
    }
    while (have < len) {
        int64_t n = r->source.read(r->source.ctx, r->buf + at + have, len - have);
        if (n < 0)
            return wrong(r, (int)n, r->offset, "%s", err_text((int)n));
        if (n == 0) {
            *cut = have > 0;
            return 0;
        }
        have += (uint32_t)n;
        r->offset += (uint64_t)n;
    }
    return 1;
}

/* The file is over. In the middle of something: what came before it counts, and the user is told. */
static int ended(struct pcap_reader *r, bool within, uint64_t offset)
{
    r->done = true;
    if (within)
        snprintf(r->problem, sizeof r->problem, "the file ends within the block at offset %" PRIu64, offset);
    return 0;
}

/* ---- pcapng ---- */

static int interface_add(struct pcap_reader *r, const struct interface *one)
{
    if (r->interface_count == PCAP_INTERFACES_MAX)
        return wrong(r, ERR_TOOBIG, r->offset, "more than %u interfaces", PCAP_INTERFACES_MAX);
    if (r->interface_count == r->interface_cap) {
        uint32_t cap = r->interface_cap ? r->interface_cap * 2 : 4;
        struct interface *grown = env_alloc(r->env, cap * sizeof *grown);
        if (!grown)
            return wrong(r, ERR_NOMEM, r->offset, "no memory for %" PRIu32 " interfaces", cap);
        if (r->interface_count)
            memcpy(grown, r->interfaces, r->interface_count * sizeof *grown);
        env_free(r->env, r->interfaces);
        r->interfaces = grown;
        r->interface_cap = cap;
    }
    r->interfaces[r->interface_count++] = *one;
    return 1;
}

struct option {
    uint16_t code, len;
    const uint8_t *value;
};

/* The option at *at of an area of `len` bytes; false at its end, whatever the way it ends. */
static bool option_next(const struct pcap_reader *r, const uint8_t *area, uint32_t len, uint32_t *at,
                        struct option *out)
{
    if (len < 4 || *at > len - 4)
        return false;
    out->code = get16(r, area + *at);
    out->len = get16(r, area + *at + 2);
    out->value = area + *at + 4;
    if (out->code == PCAPNG_OPT_END || out->len > len - 4 - *at)
        return false;
    *at += 4 + ((out->len + 3u) & ~3u);
    return true;
}

static void option_text(const struct option *option, char *out, size_t cap)
{
    size_t n = option->len < cap - 1 ? option->len : cap - 1;
    for (size_t i = 0; i < n; i++) /* it will be printed */
        out[i] = option->value[i] >= 0x20 && option->value[i] < 0x7f ? (char)option->value[i] : '?';
    out[n] = '\0';
}

static void take_section(struct pcap_reader *r, const uint8_t *body, uint32_t len)
{
    struct option option;
    r->interface_count = 0;
    r->application[0] = '\0';
    for (uint32_t at = 16; option_next(r, body, len, &at, &option);)
        if (option.code == PCAPNG_SHB_USERAPPL)
            option_text(&option, r->application, sizeof r->application);
}

/* if_tsresol: a negative power of ten, or of two with the top bit. */
static uint64_t units_of(uint8_t resolution)
{
    uint64_t units = 1;
    unsigned power = resolution & 0x7f;
    if (resolution & 0x80)
        return power < 64 ? UINT64_C(1) << power : 0;
    for (unsigned i = 0; i < power; i++)
        units = power <= 19 ? units * 10 : 0;
    return units;
}

static int take_interface(struct pcap_reader *r, const uint8_t *body, uint32_t len, uint64_t offset)
{
    struct interface one = {.units = 1000000};
    struct option option;
    if (len < 8)
        return wrong(r, ERR_SYNTAX, offset, "interface block of %" PRIu32 " bytes", len);
    one.link = get16(r, body);
    one.snap = get32(r, body + 4);
    for (uint32_t at = 8; option_next(r, body, len, &at, &option);) {
        if (option.code == PCAPNG_IF_TSRESOL && option.len >= 1)
            one.units = units_of(option.value[0]);
        else if (option.code == PCAPNG_IF_TSOFFSET && option.len >= 8)
            one.offset_s = (int64_t)get64(r, option.value);
        else if (option.code == PCAPNG_IF_DESCRIPTION)
            option_text(&option, one.description, sizeof one.description);
    }
    if (!one.units)
        return wrong(r, ERR_SYNTAX, offset, "interface with an impossible time resolution");
    return interface_add(r, &one);
}

/* Never mind what overflows: such a file gets strange times, nothing else. */
static uint64_t time_of(const struct interface *from, uint64_t units)
{
    uint64_t seconds = units / from->units + (uint64_t)from->offset_s, rest = units % from->units,
             whole = from->units;
    while (whole > UINT64_C(1) << 34) { /* rest * 10^9 must fit */
        whole >>= 1;
        rest >>= 1;
    }
    return seconds * NS + rest * NS / whole;
}

static int take_packet(struct pcap_reader *r, uint32_t type, const uint8_t *body, uint32_t len,
                       uint64_t offset, struct pcap_packet *out)
{
    uint32_t fixed = type == PCAPNG_SPB ? 4 : 20;
    if (len < fixed)
        return wrong(r, ERR_SYNTAX, offset, "packet block of %" PRIu32 " bytes", len);
    uint32_t id = type == PCAPNG_EPB ? get32(r, body) : type == PCAPNG_PB ? get16(r, body) : 0;
    if (id >= r->interface_count)
        return wrong(r, ERR_SYNTAX, offset,
                     "packet of interface %" PRIu32 ", which the file has not described", id);
    const struct interface *from = &r->interfaces[id];
    uint32_t room = len - fixed;
    out->orig_len = get32(r, body + (type == PCAPNG_SPB ? 0 : 16));
    if (type == PCAPNG_SPB) {
        out->time_ns = 0;
        out->len = from->snap && from->snap < out->orig_len ? from->snap : out->orig_len;
        out->len = out->len < room ? out->len : room;
    } else {
        out->time_ns = time_of(from, (uint64_t)get32(r, body + 4) << 32 | get32(r, body + 8));
        out->len = get32(r, body + 12);
    }
    if (out->len > room)
        return wrong(r, ERR_SYNTAX, offset, "packet of %" PRIu32 " bytes in a block with room for %" PRIu32,
                     out->len, room);
    out->data = body + fixed;
    out->orig_len = out->orig_len < out->len ? out->len : out->orig_len;
    out->link = from->link;
    out->offset = offset;
    out->number = ++r->packets;
    r->last_interface = id;
    return 1;
}

/* The block's length, checked; the first 8 bytes (12 of a section header) are in the buffer. 0: wrong. */
static uint32_t block_len(struct pcap_reader *r, uint32_t have, uint64_t offset)
{
    uint32_t total = get32(r, r->buf + 4);
    if (total % 4 || total < 12 || total < have + 4 || total > PCAP_BLOCK_MAX) {
        wrong(r, ERR_SYNTAX, offset, "block length %" PRIu32 " (must be a multiple of four, at most %u)",
              total, PCAP_BLOCK_MAX);
        return 0;
    }
    return total;
}

static int section_order(struct pcap_reader *r, uint64_t offset)
{
    r->big = true;
    if (get32(r, r->buf + 8) == PCAPNG_BYTE_ORDER)
        return 1;
    r->big = false;
    if (get32(r, r->buf + 8) == PCAPNG_BYTE_ORDER)
        return 1;
    return wrong(r, ERR_SYNTAX, offset, "section header without a byte-order magic");
}

/* One block. 1: a packet; 2: something else; 0, < 0: as pcap_reader_next. `have` bytes are in the buffer
 * already. */
static int next_block(struct pcap_reader *r, uint32_t have, struct pcap_packet *out)
{
    bool cut = false;
    uint64_t offset = r->offset - have;
    int got = have >= 8 ? 1 : take(r, have, 8 - have, &cut);
    if (got <= 0)
        return got < 0 ? got : ended(r, cut || have > 0, offset);
    uint32_t start = 8;
    uint32_t type = get32(r, r->buf);
    if (type == PCAPNG_SHB) { /* reads the same in both orders */
        if ((got = take(r, 8, 4, &cut)) <= 0)
            return got < 0 ? got : ended(r, true, offset);
        if ((got = section_order(r, offset)) < 0)
            return got;
        start = 12;
    }
    uint32_t total = block_len(r, start, offset);
    if (!total)
        return r->err;
    if ((got = take(r, start, total - start, &cut)) <= 0)
        return got < 0 ? got : ended(r, true, offset);
    if (get32(r, r->buf + total - 4) != total)
        return wrong(r, ERR_SYNTAX, offset, "the block's two lengths differ: %" PRIu32 " and %" PRIu32, total,
                     get32(r, r->buf + total - 4));
    const uint8_t *body = r->buf + 8;
    uint32_t len = total - 12;
    if (type == PCAPNG_SHB) {
        if (len < 16 || get16(r, body + 4) != 1)
            return wrong(r, ERR_SYNTAX, offset, "section of an unknown version");
        take_section(r, body, len);
    } else if (type == PCAPNG_IDB) {
        got = take_interface(r, body, len, offset);
    } else if (type == PCAPNG_EPB || type == PCAPNG_SPB || type == PCAPNG_PB) {
        return take_packet(r, type, body, len, offset, out);
    }
    return got < 0 ? got : 2;
}

/* ---- pcap ---- */

static int pcap_head(struct pcap_reader *r, uint64_t units)
{
    bool cut;
    int got = take(r, 4, 20, &cut);
    if (got <= 0)
        return got < 0 ? got : ended(r, true, 0);
    struct interface one = {.units = units};
    uint16_t major = get16(r, r->buf + 4);
    if (major != 2)
        return wrong(r, ERR_SYNTAX, 4, "pcap version %u (only 2 is known)", major);
    one.snap = get32(r, r->buf + 16);
    one.link = get32(r, r->buf + 20) & 0x0fffffff; /* the top bits tell of a frame check sequence */
    r->format = FORMAT_PCAP;
    return interface_add(r, &one);
}

static int next_record(struct pcap_reader *r, struct pcap_packet *out)
{
    bool cut;
    uint64_t offset = r->offset;
    int got = take(r, 0, 16, &cut);
    if (got <= 0)
        return got < 0 ? got : ended(r, cut, offset);
    const struct interface *one = &r->interfaces[0];
    uint64_t seconds = get32(r, r->buf), part = get32(r, r->buf + 4);
    uint32_t len = get32(r, r->buf + 8), orig_len = get32(r, r->buf + 12);
    if (len > PCAP_BLOCK_MAX)
        return wrong(r, ERR_SYNTAX, offset, "packet of %" PRIu32 " bytes (at most %u)", len, PCAP_BLOCK_MAX);
    got = len ? take(r, 0, len, &cut) : 1;
    if (got <= 0)
        return got < 0 ? got : ended(r, true, offset);
    *out = (struct pcap_packet){
        .number = ++r->packets, .offset = offset, .link = one->link, .data = r->buf, .len = len};
    out->orig_len = orig_len < len ? len : orig_len;
    out->time_ns = seconds * NS + part * (NS / one->units);
    return 1;
}

/* ---- both ---- */

static int first(struct pcap_reader *r, struct pcap_packet *out)
{
    static const struct {
        uint32_t magic;
        uint64_t units;
    } kinds[] = {{0xa1b2c3d4u, 1000000}, {0xa1b23c4du, 1000000000}};
    bool cut;
    int got = take(r, 0, 4, &cut);
    if (got < 0)
        return got;
    if (got == 0)
        return wrong(r, ERR_SYNTAX, 0, "the file is %s", cut ? "shorter than four bytes" : "empty");
    for (unsigned i = 0; i < 4; i++) {
        r->big = i & 1;
        if (get32(r, r->buf) == kinds[i / 2].magic)
            return pcap_head(r, kinds[i / 2].units);
    }
    if (get32(r, r->buf) != PCAPNG_SHB)
        return wrong(r, ERR_SYNTAX, 0, "neither pcapng nor pcap: the file begins with %02x %02x %02x %02x",
                     r->buf[0], r->buf[1], r->buf[2], r->buf[3]);
    r->format = FORMAT_PCAPNG;
    return next_block(r, 4, out);
}

int pcap_reader_next(struct pcap_reader *r, struct pcap_packet *out)
{
    if (r->done)
        return r->err;
    if (r->format == FORMAT_UNKNOWN) {
        int got = first(r, out);
        if (got <= 0)
            return got;
    }
    int got;
    do
        got = r->format == FORMAT_PCAP ? next_record(r, out) : next_block(r, 0, out);
    while (got == 2);
    return got;
}
