/* Goal: captures of anybody are read: both formats, byte orders and time units, every link layer; whatever
 * else a file holds is refused with the offset, or harmless. Method: files are made by hand here; each is cut
 * at every byte, and changed at random some ten thousand times. */
#include "tests/unit/capture_collect.h"

#include "common/base/err.h"
#include "common/capture/pcapng.h"

struct file {
    uint8_t bytes[65536];
    size_t len;
    bool big;
};

static void put(struct file *f, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        f->bytes[f->len++] = (uint8_t)(v >> 8 * (f->big ? bytes - 1 - i : i));
}

static void put_bytes(struct file *f, const void *bytes, size_t len)
{
    memcpy(f->bytes + f->len, bytes, len);
    f->len += len;
}

/* An IP packet with 16 bytes of TCP payload. */
static uint32_t ip_packet(uint8_t out[200], int family, uint32_t seq)
{
    struct frame_conn c;
    struct io_addr a = talk_addr(family, 1, 40000), b = talk_addr(family, 2, 3260);
    static const uint8_t payload[16] = "0123456789abcdef";
    frame_conn_init(&c, 1, &a, &b);
    c.seq[TAP_TO_TARGET] = seq;
    uint32_t n = frame_build(&c, TAP_TO_TARGET, FRAME_ACK, payload, sizeof payload, out);
    memcpy(out + n, payload, sizeof payload);
    return n + (uint32_t)sizeof payload;
}

static void pcap_head(struct file *f, bool big, bool nano, uint32_t link)
{
    f->len = 0;
    f->big = big;
    put(f, nano ? 0xa1b23c4d : 0xa1b2c3d4, 4);
    put(f, 2, 2);
    put(f, 4, 2);
    put(f, 0, 8);
    put(f, 65535, 4);
    put(f, link, 4);
}

static void pcap_packet(struct file *f, uint32_t seconds, uint32_t part, const void *data, uint32_t len,
                        uint32_t orig)
{
    put(f, seconds, 4);
    put(f, part, 4);
    put(f, len, 4);
    put(f, orig, 4);
    put_bytes(f, data, len);
}

static void block(struct file *f, uint32_t type, const struct file *body)
{
    size_t len = (body->len + 3) / 4 * 4 + 12;
    put(f, type, 4);
    put(f, len, 4);
    put_bytes(f, body->bytes, body->len);
    while (f->len % 4)
        f->bytes[f->len++] = 0;
    put(f, len, 4);
}

static void ng_section(struct file *f, bool big)
{
    struct file body = {.big = big};
    f->big = big;
    put(&body, PCAPNG_BYTE_ORDER, 4);
    put(&body, 1, 2);
    put(&body, 0, 2);
    put(&body, UINT64_MAX, 8);
    block(f, PCAPNG_SHB, &body);
}

static void ng_interface(struct file *f, uint32_t link, uint8_t resolution)
{
    struct file body = {.big = f->big};
    put(&body, link, 2);
    put(&body, 0, 2);
    put(&body, 0, 4);
    put(&body, PCAPNG_IF_TSRESOL, 2);
    put(&body, 1, 2);
    put(&body, resolution, 1);
    put(&body, 0, 3);
    put(&body, 0, 4);
    block(f, PCAPNG_IDB, &body);
}

static void ng_packet(struct file *f, uint32_t interface, uint64_t units, const void *data, uint32_t len)
{
    struct file body = {.big = f->big};
    put(&body, interface, 4);
    put(&body, units >> 32, 4);
    put(&body, units & 0xffffffff, 4);
    put(&body, len, 4);
    put(&body, len, 4);
    put_bytes(&body, data, len);
    block(f, PCAPNG_EPB, &body);
}

struct reading {
    struct memory_file file;
    struct pcap_reader *reader;
};

static void reading_open(struct reading *r, const struct file *f, size_t step)
{
    r->file = (struct memory_file){f->bytes, f->len, 0, step};
    struct pcap_source source = {memory_read, &r->file};
    assert_int_equal(pcap_reader_new(env_host(), &source, &r->reader), 0);
}

static void pcap_is_read_in_every_order_and_unit(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct file f;
        struct reading r;
        struct pcap_packet p;
        struct tcp_segment t;
        uint8_t data[200];
        uint32_t len = ip_packet(data, 4, 5);
        pcap_head(&f, kind & 1, kind & 2, PCAPNG_LINK_RAW);
        pcap_packet(&f, 1000, 7, data, len, len);
        pcap_packet(&f, 1001, 8, data, 30, len);
        reading_open(&r, &f, 3);
        assert_int_equal(pcap_reader_next(r.reader, &p), 1);
        assert_int_equal(p.time_ns, UINT64_C(1000000000000) + (kind & 2 ? 7 : 7000));
        assert_int_equal(p.offset, 24);
        assert_int_equal(packet_parse(&p, &t), PACKET_TCP);
        assert_int_equal(t.real_len, 16);
        assert_memory_equal(t.data, "0123456789abcdef", 16);
        assert_int_equal(pcap_reader_next(r.reader, &p), 1);
        assert_int_equal(p.number, 2);
        assert_int_equal(packet_parse(&p, &t), PACKET_CUT);
        assert_int_equal(pcap_reader_next(r.reader, &p), 0);
        assert_string_equal(pcap_reader_problem(r.reader), "");
        pcap_reader_free(r.reader);
    }
}

static void pcapng_is_read_with_sections_and_interfaces(void **state)
{
    (void)state;
    struct file f = {.len = 0};
    struct reading r;
    struct pcap_packet p;
    uint8_t data[200];
    uint32_t len = ip_packet(data, 6, 5);
    for (int big = 0; big < 2; big++) {
        ng_section(&f, big);
        ng_interface(&f, PCAPNG_LINK_RAW, 6);
        ng_interface(&f, PCAPNG_LINK_IPV6, 9);
        ng_interface(&f, PCAPNG_LINK_IPV6, 0x80 | 20);
        struct file unknown = {.big = big};
        put(&unknown, 1, 4);
        block(&f, 0x0bad, &unknown);
        ng_packet(&f, 0, 1000001, data, len);
        ng_packet(&f, 1, 1000000002, data, len);
        ng_packet(&f, 2, 3u << 19, data, len);
    }
    static const uint64_t times[] = {1000001000, 1000000002, 1500000000};
    reading_open(&r, &f, 0);
    for (int i = 0; i < 6; i++) {
        struct tcp_segment t;
        assert_int_equal(pcap_reader_next(r.reader, &p), 1);
        assert_int_equal(p.time_ns, times[i % 3]);
        assert_int_equal(p.number, i + 1);
        assert_int_equal(packet_parse(&p, &t), PACKET_TCP);
    }
    assert_int_equal(pcap_reader_next(r.reader, &p), 0);
    pcap_reader_free(r.reader);
}

static enum packet_kind parse(uint32_t link, const uint8_t *head, uint32_t head_len, int family,
                              struct tcp_segment *t)
{
    static uint8_t data[300];
    memcpy(data, head, head_len);
    uint32_t len = head_len + ip_packet(data + head_len, family, 77);
    memset(data + len, 0, 6); /* an Ethernet trailer */
    struct pcap_packet p = {.link = link, .data = data, .len = len + 6, .orig_len = len + 6};
    return packet_parse(&p, t);
}

static void every_link_layer_leads_to_the_segment(void **state)
{
    (void)state;
    static const struct {
        uint32_t link;
        int family;
        uint32_t len;
        uint8_t head[26];
    } rows[] = {
        {PCAPNG_LINK_ETHERNET, 4, 14, {[12] = 8}},
        {PCAPNG_LINK_ETHERNET, 6, 14, {[12] = 0x86, 0xdd}},
        {PCAPNG_LINK_ETHERNET, 4, 18, {[12] = 0x81, 0, 0, 5, 8}},
        {PCAPNG_LINK_ETHERNET, 6, 22, {[12] = 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd}},
        {PCAPNG_LINK_RAW, 4, 0, {0}},
        {PCAPNG_LINK_RAW, 6, 0, {0}},
        {PCAPNG_LINK_IPV4, 4, 0, {0}},
        {PCAPNG_LINK_SLL, 4, 16, {[14] = 8}},
        {PCAPNG_LINK_SLL2, 6, 20, {0x86, 0xdd}},
        {PCAPNG_LINK_NULL, 4, 4, {2}},
        {PCAPNG_LINK_LOOP, 6, 4, {0, 0, 0, 30}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tcp_segment t;
        assert_int_equal(parse(rows[i].link, rows[i].head, rows[i].len, rows[i].family, &t), PACKET_TCP);
        assert_int_equal(t.seq, 77);
        assert_int_equal(t.real_len, 16);
        assert_memory_equal(t.data, "0123456789abcdef", 16);
        assert_int_equal(t.to.port, 3260);
        assert_int_equal(t.from.family, rows[i].family);
    }
    struct tcp_segment t;
    assert_int_equal(parse(9999, rows[0].head, 0, 4, &t), PACKET_UNKNOWN_LINK);
    assert_int_equal(parse(PCAPNG_LINK_ETHERNET, (const uint8_t[14]){[12] = 8, 6}, 14, 4, &t), PACKET_OTHER);
}

static void fragments_are_told_apart(void **state)
{
    (void)state;
    struct tcp_segment t;
    uint8_t data[200];
    uint32_t len = ip_packet(data, 4, 1);
    struct pcap_packet p = {.link = PCAPNG_LINK_RAW, .data = data, .len = len, .orig_len = len};
    data[6] = 0x20; /* more fragments */
    assert_int_equal(packet_parse(&p, &t), PACKET_FRAGMENT);
    data[6] = 0;
    data[7] = 9; /* an offset */
    assert_int_equal(packet_parse(&p, &t), PACKET_FRAGMENT);
}

/* Three kinds of files to break. */
static void sample(struct file *f, int kind)
{
    uint8_t data[200];
    uint32_t len = ip_packet(data, 4, 5);
    memset(f, 0, sizeof *f);
    if (kind == 0) {
        pcap_head(f, false, false, PCAPNG_LINK_RAW);
        for (int i = 0; i < 5; i++)
            pcap_packet(f, 1, 1, data, len, len);
        return;
    }
    ng_section(f, kind == 2);
    ng_interface(f, PCAPNG_LINK_RAW, 9);
    for (uint64_t i = 0; i < 5; i++)
        ng_packet(f, 0, i, data, len);
}

static void a_file_cut_anywhere_gives_what_came_before(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct file f;
        sample(&f, kind);
        size_t whole = f.len;
        unsigned most = 0;
        for (f.len = 0; f.len <= whole; f.len++) {
            struct reading r;
            struct pcap_packet p;
            unsigned packets = 0;
            int got;
            reading_open(&r, &f, 0);
            while ((got = pcap_reader_next(r.reader, &p)) > 0)
                packets++;
            assert_true(packets >= most); /* grows with the file */
            most = packets;
            assert_true(f.len < 4 ? got == ERR_SYNTAX : got == 0);
            assert_true(f.len < whole || packets == 5);
            assert_int_equal(pcap_reader_next(r.reader, &p), got); /* for good */
            pcap_reader_free(r.reader);
        }
    }
}

static void broken_blocks_are_refused_with_their_offset(void **state)
{
    (void)state;
    struct file f;
    struct reading r;
    struct pcap_packet p;
    sample(&f, 1);
    size_t second = 28 + 32; /* behind section and interface */
    f.bytes[second + 4] = 7;
    reading_open(&r, &f, 0);
    assert_int_equal(pcap_reader_next(r.reader, &p), ERR_SYNTAX);
    char offset[40];
    snprintf(offset, sizeof offset, "offset %zu: block length", second);
    assert_non_null(strstr(pcap_reader_problem(r.reader), offset));
    pcap_reader_free(r.reader);
    sample(&f, 1);
    f.bytes[second + 8] = 9; /* an interface that is none */
    reading_open(&r, &f, 0);
    assert_int_equal(pcap_reader_next(r.reader, &p), ERR_SYNTAX);
    assert_non_null(strstr(pcap_reader_problem(r.reader), "interface 9"));
    pcap_reader_free(r.reader);
    f.len = 0;
    put_bytes(&f, "#!/bin/sh\necho", 14);
    reading_open(&r, &f, 0);
    assert_int_equal(pcap_reader_next(r.reader, &p), ERR_SYNTAX);
    assert_non_null(strstr(pcap_reader_problem(r.reader), "neither pcapng nor pcap"));
    pcap_reader_free(r.reader);
}

static void hostile_files_are_harmless(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int i = 0; i < 12000; i++) {
        struct file f;
        struct collected c;
        sample(&f, i % 3);
        unsigned changes = 1 + (unsigned)(talk_random(&seed) % 6);
        for (unsigned k = 0; k < changes; k++) {
            size_t at = talk_random(&seed) % f.len;
            uint64_t x = talk_random(&seed);
            if (x & 1)
                f.bytes[at] = (uint8_t)(x >> 8);
            else if (x & 2)
                f.bytes[at] ^= (uint8_t)(1u << (x >> 8 & 7));
            else
                memset(f.bytes + at, x & 4 ? 0xff : 0, f.len - at < 4 ? f.len - at : 4);
        }
        f.len -= talk_random(&seed) % 5 ? 0 : talk_random(&seed) % f.len;
        uint8_t *exact = malloc(f.len + 1); /* so that reading beyond shows */
        memcpy(exact, f.bytes, f.len);
        collect_memory(&c, exact, f.len, false);
        assert_true(c.result == 0 || c.problem[0]);
        collect_free(&c);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcap_is_read_in_every_order_and_unit),
        cmocka_unit_test(pcapng_is_read_with_sections_and_interfaces),
        cmocka_unit_test(every_link_layer_leads_to_the_segment),
        cmocka_unit_test(fragments_are_told_apart),
        cmocka_unit_test(a_file_cut_anywhere_gives_what_came_before),
        cmocka_unit_test(broken_blocks_are_refused_with_their_offset),
        cmocka_unit_test(hostile_files_are_harmless),
    };
    return cmocka_run_group_tests_name("capture_read", tests, NULL, NULL);
}
