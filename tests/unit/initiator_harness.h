/* A scripted target around the initiator engine: what the engine sends is taken apart PDU by PDU, what it
 * receives is built by hand with the codec. No I/O, our own clock and random numbers. One rig is one session.
 */
#ifndef LUNETTE_TESTS_INITIATOR_HARNESS_H
#define LUNETTE_TESTS_INITIATOR_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/iscsi/chap.h"
#include "common/iscsi/digest.h"
#include "common/iscsi/keys.h"
#include "common/iscsi/pdu.h"
#include "common/iscsi/serial.h"
#include "initiator/iscsi/initiator.h"
#include "tests/unit/proves.h"

#define RIG_TARGET    "iqn.2026-01.com.example:disk"
#define RIG_INITIATOR "iqn.2026-01.com.example:host"
#define RIG_EVENTS    512u
#define RIG_SECOND    1000000000ull

struct rig_event { /* an event with copies of what it lends */
    struct ini_event event;
    char reason[512];
    char *text; /* owned, NUL-terminated */
};

struct rig_pdu { /* one PDU of the initiator's; data is NUL-terminated for texts */
    uint8_t bhs[PDU_BHS_LEN];
    uint8_t ahs[PDU_AHS_LEN_MAX];
    uint32_t ahs_len;
    uint8_t *data; /* owned by the rig until the next rig_take */
    uint32_t len;
};

/* What belongs to one connection. A test works with one at a time: rig_use changes it. */
struct rig_link {
    struct ini_conn *conn;
    bool header_digest, data_digest;
    bool over;     /* ini_lost has been called */
    uint8_t *wire; /* from the initiator, not yet taken */
    size_t wire_len, wire_cap, wire_pos;
    uint32_t stat_sn;
    struct key_negotiation keys; /* the target's, by rig_login */
};
#define RIG_LINKS 8u

struct rig {
    struct env env;
    uint64_t now, seed;
    int32_t allocated; /* pieces of memory that are not given back yet */
    int fail_alloc;    /* the how manieth allocation from now on fails, and all after it; 0: none */
    struct pool *pool;
    struct tx_pool tx_pool;
    struct ini_options options;
    struct ini_session *s;
    struct ini_conn *conn; /* the current connection's: see struct rig_link */
    bool header_digest, data_digest;
    uint32_t link;
    struct rig_link links[RIG_LINKS];
    uint32_t cut; /* most bytes per arrival; 0: all that fits */
    bool cut_random;
    bool tell_conn_closed; /* CONN_CLOSED is an event that the test wants to see */
    bool hold_output;      /* rig_pump leaves the engine's output where it is */
    bool over;             /* ini_lost has been called */
    uint8_t *wire;         /* from the initiator, not yet taken */
    size_t wire_len, wire_cap, wire_pos;
    uint32_t stat_sn, exp_cmd_sn, max_cmd_sn;
    uint64_t r2t_lun; /* of rig_r2t: that of the commands that it makes */
    struct rig_event events[RIG_EVENTS];
    uint32_t event_count, event_pos;
    struct rig_pdu pdu;
    struct key_negotiation keys; /* the target's, by rig_login */
    struct key_config key_config;
};

/* ---- environment ---- */

static inline uint64_t rig_random(struct rig *r)
{
    uint64_t z = (r->seed += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
static inline uint64_t rig_now(void *ctx)
{
    return ((struct rig *)ctx)->now;
}
static inline void rig_random_bytes(void *ctx, void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)rig_random(ctx);
}
static inline void *rig_alloc(void *ctx, size_t size, size_t align)
{
    struct rig *r = ctx;
    if (r->fail_alloc == 1)
        return NULL;
    r->fail_alloc -= r->fail_alloc > 0;
    void *ptr = env_host()->alloc(env_host()->ctx, size, align);
    r->allocated += ptr != NULL;
    return ptr;
}
static inline void rig_release(void *ctx, void *ptr)
{
    ((struct rig *)ctx)->allocated -= ptr != NULL;
    env_host()->free(env_host()->ctx, ptr);
}
static inline size_t rig_hash(void *ctx, enum hash_alg alg, const struct bytes *parts, size_t count,
                              uint8_t *out)
{
    (void)ctx;
    return env_host()->hash(env_host()->ctx, alg, parts, count, out);
}

/* ---- life ---- */

/* Options are the defaults and may be changed before rig_begin. */
static inline struct rig *rig_new(void)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->env = (struct env){r, rig_now, rig_random_bytes, rig_alloc, rig_release, rig_hash, NULL};
    r->now = 1000 * RIG_SECOND;
    r->seed = 1;
    r->stat_sn = 0x1000;
    r->r2t_lun = 0x0001000000000000ull;
    r->exp_cmd_sn = 1;
    r->max_cmd_sn = 32;
    assert_int_equal(pool_new(&r->env, 64u << 20, &r->pool), 0);
    tx_pool_init(&r->tx_pool, &r->env);
    struct ini_options *o = &r->options;
    snprintf(o->initiator_name, sizeof o->initiator_name, "%s", RIG_INITIATOR);
    snprintf(o->target_name, sizeof o->target_name, "%s", RIG_TARGET);
    memcpy(o->isid, "\x80\x12\x34\x56\x00\x01", 6);
    key_config_default(&o->keys);
    o->login_timeout_ns = 30 * RIG_SECOND;
    o->nop_interval_ns = 5 * RIG_SECOND;
    o->nop_timeout_ns = 5 * RIG_SECOND;
    key_config_default(&r->key_config);
    r->key_config.auth_methods = (struct key_choices){1, {KEY_AUTH_NONE}};
    return r;
}

static inline void rig_pump(struct rig *r);

/* Makes another connection the current one. */
static inline void rig_use(struct rig *r, uint32_t link)
{
    struct rig_link *from = &r->links[r->link], *to = &r->links[link];
    if (link == r->link)
        return;
    *from = (struct rig_link){r->conn,     r->header_digest, r->data_digest, r->over,    r->wire,
                              r->wire_len, r->wire_cap,      r->wire_pos,    r->stat_sn, r->keys};
    r->conn = to->conn;
    r->header_digest = to->header_digest;
    r->data_digest = to->data_digest;
    r->over = to->over;
    r->wire = to->wire;
    r->wire_len = to->wire_len;
    r->wire_cap = to->wire_cap;
    r->wire_pos = to->wire_pos;
    r->stat_sn = to->stat_sn;
    r->keys = to->keys;
    r->link = link;
    rig_pump(r);
}

/* A socket for the current link, which must be a fresh one. */
static inline int rig_connect(struct rig *r)
{
    int err = ini_conn_new(r->s, r, &r->conn);
    r->over = false;
    if (r->link && r->stat_sn == 0)
        r->stat_sn = 0x1000 * (r->link + 1);
    rig_pump(r);
    return err;
}

static inline void rig_begin(struct rig *r)
{
    assert_int_equal(ini_session_new(&r->env, r->pool, &r->tx_pool, &r->options, &r->s), 0);
    assert_int_equal(rig_connect(r), 0);
}

/* ---- events ---- */

/* The host's part when a connection is finished. */
static inline void rig_conn_closed(struct rig *r, struct ini_conn *conn)
{
    for (uint32_t i = 0; i < RIG_LINKS; i++)
        if (r->links[i].conn == conn && i != r->link)
            r->links[i].conn = NULL;
    if (r->conn == conn)
        r->conn = NULL;
    ini_conn_free(conn);
}

static inline void rig_pull_events(struct rig *r)
{
    struct ini_event event;
    while (ini_next_event(r->s, &event)) {
        assert_true(r->event_count < RIG_EVENTS);
        struct rig_event *e = &r->events[r->event_count++];
        e->event = event;
        snprintf(e->reason, sizeof e->reason, "%s", event.reason ? event.reason : "");
        e->event.reason = e->reason;
        e->text = calloc(1, event.text_len + 1);
        assert_non_null(e->text);
        if (event.text_len)
            memcpy(e->text, event.text, event.text_len);
        e->event.text = (uint8_t *)e->text;
        if (event.kind == INI_EVENT_COMMAND_DONE)
            ++*(int *)event.command->owner;        /* how often it was reported */
        if (event.kind == INI_EVENT_CONN_CLOSED) { /* most tests have one connection and do not care */
            rig_conn_closed(r, event.conn);
            if (!r->tell_conn_closed) {
                free(e->text);
                r->event_count--;
            }
        }
    }
}

static inline bool rig_has_event(const struct rig *r)
{
    return r->event_pos < r->event_count;
}

static inline struct rig_event *rig_event(struct rig *r, enum ini_event_kind kind)
{
    assert_true(rig_has_event(r));
    struct rig_event *e = &r->events[r->event_pos++];
    if (e->event.kind != kind)
        fail_msg("event %d (%s) instead of %d", (int)e->event.kind, e->reason, (int)kind);
    return e;
}

static inline void rig_forget_events(struct rig *r)
{
    for (uint32_t i = 0; i < r->event_count; i++)
        free(r->events[i].text);
    r->event_count = r->event_pos = 0;
}

/* ---- the initiator's output ---- */

static inline void rig_pump(struct rig *r)
{
    struct io_vec places[64];
    uint32_t n;
    while (!r->hold_output && r->conn && (n = ini_gather(r->conn, places, 64)) != 0) {
        size_t len = 0, taken = 0;
        for (uint32_t i = 0; i < n; i++)
            len += places[i].len;
        assert_true(len > 0);
        size_t take = r->cut_random ? 1 + rig_random(r) % len : r->cut && r->cut < len ? r->cut : len;
        if (r->wire_len + take > r->wire_cap) {
            r->wire_cap = (r->wire_len + take) * 2;
            r->wire = realloc(r->wire, r->wire_cap);
            assert_non_null(r->wire);
        }
        for (uint32_t i = 0; i < n && taken < take; i++) {
            size_t here = places[i].len < take - taken ? places[i].len : take - taken;
            memcpy(r->wire + r->wire_len, places[i].ptr, here);
            r->wire_len += here;
            taken += here;
        }
        ini_sent(r->conn, take);
    }
    rig_pull_events(r);
}

static inline bool rig_quiet(const struct rig *r) /* nothing left to take */
{
    return r->wire_pos == r->wire_len;
}

static inline const uint8_t *rig_wire_take(struct rig *r, size_t len)
{
    assert_true(r->wire_len - r->wire_pos >= len);
    r->wire_pos += len;
    return r->wire + r->wire_pos - len;
}

/* The next PDU; checks its opcode, its form, its padding and its digests. */
static inline struct rig_pdu *rig_take(struct rig *r, uint8_t opcode)
{
    struct rig_pdu *p = &r->pdu;
    struct pdu_fault fault;
    char text[512];
    uint32_t crc;
    free(p->data);
    p->data = NULL;
    memcpy(p->bhs, rig_wire_take(r, PDU_BHS_LEN), PDU_BHS_LEN);
    if (pdu_opcode(p->bhs) != opcode)
        fail_msg("%s instead of %s", pdu_dump(p->bhs, text, sizeof text), pdu_name(opcode));
    if (!pdu_check(p->bhs, true, &fault)) /* reserved bits too: R7143-11-02 */
        fail_msg("%s", pdu_fault_text(&fault, text, sizeof text));
    p->ahs_len = pdu_ahs_len(p->bhs);
    if (p->ahs_len)
        memcpy(p->ahs, rig_wire_take(r, p->ahs_len), p->ahs_len);
    if (r->header_digest) {
        crc = digest_update(digest_update(DIGEST_INIT, p->bhs, PDU_BHS_LEN), p->ahs, p->ahs_len);
        assert_int_equal(digest_get(rig_wire_take(r, PDU_DIGEST_LEN)), digest_final(crc));
    }
    p->len = pdu_data_len(p->bhs);
    p->data = calloc(1, p->len + 1);
    assert_non_null(p->data);
    if (p->len == 0)
        return p;
    uint32_t pad = pdu_pad_len(p->len);
    const uint8_t *at = rig_wire_take(r, p->len + pad);
    memcpy(p->data, at, p->len);
    for (uint32_t i = 0; i < pad; i++)
        assert_int_equal(at[p->len + i], 0);
    if (r->data_digest) {
        crc = digest_crc32c(at, p->len + pad);
        assert_int_equal(digest_get(rig_wire_take(r, PDU_DIGEST_LEN)), crc);
    }
    return p;
}

/* ---- the initiator's input ---- */

/* The engine has done with the current connection. */
static inline bool rig_closing(const struct rig *r)
{
    return !r->conn || ini_wants_close(r->conn);
}

/* Bytes as they might arrive from a socket: into the places that the engine lends or in a chunk, in pieces.
 */
static inline void rig_feed(struct rig *r, const uint8_t *bytes, size_t len)
{
    struct io_vec places[FRAMER_PLACES_MAX];
    while (len && !rig_closing(r)) {
        uint32_t count = 0;
        size_t n = r->cut_random ? 1 + rig_random(r) % len : r->cut && r->cut < len ? r->cut : len, done = 0;
        switch (ini_room(r->conn, places, &count)) {
        case INI_ROOM_PLACES:
            for (uint32_t i = 0; i < count && done < n; i++) {
                size_t here = places[i].len < n - done ? places[i].len : n - done;
                memcpy(places[i].ptr, bytes + done, here);
                done += here;
            }
            ini_received(r->conn, (uint32_t)done);
            break;
        case INI_ROOM_ANY: {
            done = n < FRAMER_CHUNK_LEN ? n : FRAMER_CHUNK_LEN;
            struct chunk *chunk = pool_get(r->pool, FRAMER_CHUNK_LEN);
            assert_non_null(chunk);
            memcpy(chunk->data, bytes, done);
            ini_received_chunk(r->conn, chunk, (uint32_t)done);
            break;
        }
        case INI_ROOM_NOT_NOW:
            fail_msg("the engine takes no bytes");
        }
        assert_true(done > 0);
        bytes += done;
        len -= done;
        rig_pump(r);
    }
}

/* Puts a whole PDU on the wire: lengths, padding and digests are filled in. `break_digest`: 1 header, 2 data.
 */
static inline void rig_send_broken(struct rig *r, uint8_t *bhs, const void *data, uint32_t len,
                                   int break_digest)
{
    uint8_t *out = calloc(1, PDU_BHS_LEN + len + 16);
    size_t at = PDU_BHS_LEN;
    assert_non_null(out);
    be24_put(bhs + 5, len);
    memcpy(out, bhs, PDU_BHS_LEN);
    if (r->header_digest) {
        digest_put(out + at, digest_crc32c(out, PDU_BHS_LEN) ^ (break_digest == 1));
        at += PDU_DIGEST_LEN;
    }
    if (len) {
        uint32_t padded = len + pdu_pad_len(len);
        memcpy(out + at, data, len);
        if (r->data_digest)
            digest_put(out + at + padded, digest_crc32c(out + at, padded) ^ (break_digest == 2));
        at += padded + (r->data_digest ? PDU_DIGEST_LEN : 0);
    }
    rig_feed(r, out, at);
    free(out);
}
static inline void rig_send(struct rig *r, uint8_t *bhs, const void *data, uint32_t len)
{
    rig_send_broken(r, bhs, data, len, 0);
}

#define RIG_SEND(r, type, pdu, data, len)                                                                    \
    do {                                                                                                     \
        uint8_t rig_bhs[PDU_BHS_LEN];                                                                        \
        pdu_##type##_encode(pdu, rig_bhs);                                                                   \
        rig_send(r, rig_bhs, data, len);                                                                     \
    } while (0)

/* ---- PDUs of the target ---- */

/* A PDU of the type with the numbers that are due, to be changed by the test. */
#define RIG_PDU(r, type, name)                                                                               \
    struct pdu_##type name;                                                                                  \
    pdu_##type##_init(&name);                                                                                \
    (name).exp_cmd_sn = (r)->exp_cmd_sn;                                                                     \
    (name).max_cmd_sn = (r)->max_cmd_sn

static inline struct pdu_login_response rig_login_response(struct rig *r, const struct rig_pdu *request,
                                                           bool transit)
{
    struct pdu_login_request asked;
    RIG_PDU(r, login_response, answer);
    pdu_login_request_decode(request->bhs, &asked);
    answer.transit = transit;
    answer.csg = asked.csg;
    answer.nsg = transit ? asked.nsg : 0;
    answer.itt = asked.itt;
    memcpy(answer.isid, asked.isid, 6);
    answer.stat_sn = r->stat_sn++;
    if (transit && asked.nsg == 3)
        answer.tsih = 77;
    return answer;
}

/* Answers one login request as a target would, by the codec's own negotiation; takes over its T. */
static inline bool rig_login_step(struct rig *r)
{
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    struct pdu_login_request asked;
    char out[8192];
    struct text_writer w;
    struct text_parser parser;
    struct text_range key, value;
    pdu_login_request_decode(request->bhs, &asked);
    assert_false(asked.more);
    text_writer_init(&w, out, sizeof out);
    text_parser_init(&parser, (char *)request->data, request->len, TEXT_VALUE_LEN_MAX);
    while (text_parser_next(&parser, &key, &value) == TEXT_PAIR)
        assert_int_equal(key_receive(&r->keys, key, value, &w), KEYS_OK);
    if (asked.csg == 1)
        key_offer_operational(&r->keys, &w);
    assert_int_equal(key_flush(&r->keys, &w), KEYS_OK);
    struct pdu_login_response answer = rig_login_response(r, request, asked.transit);
    if (asked.transit) {
        assert_int_equal(key_conclude(&r->keys), KEYS_OK);
        key_set_stage(&r->keys, asked.nsg == 1 ? KEY_STAGE_OPERATIONAL : KEY_STAGE_FULL_FEATURE);
    }
    RIG_SEND(r, login_response, &answer, out, (uint32_t)w.len);
    return asked.transit && asked.nsg == 3;
}

/* The whole login of a friendly target with r->key_config; ends with LOGGED_IN taken. */
static inline void rig_login(struct rig *r)
{
    key_negotiation_init(&r->keys, KEY_ROLE_TARGET, &r->key_config, true, NULL);
    key_set_stage(&r->keys, KEY_STAGE_SECURITY);
    for (int i = 0; i < 8; i++) {
        if (rig_login_step(r)) {
            rig_event(r, INI_EVENT_LOGGED_IN);
            const struct key_params *p = ini_params(r->s);
            r->header_digest = p->header_digest == KEY_DIGEST_CRC32C;
            r->data_digest = p->data_digest == KEY_DIGEST_CRC32C;
            assert_true(ini_is_up(r->s));
            return;
        }
    }
    fail_msg("the login does not end");
}

/* The same for a further connection, on a fresh link; ends with LOGGED_IN taken. */
static inline void rig_join(struct rig *r, uint32_t link)
{
    struct key_params session = *ini_params(r->s);
    rig_use(r, link);
    assert_int_equal(rig_connect(r), 0);
    key_negotiation_init(&r->keys, KEY_ROLE_TARGET, &r->key_config, false, &session);
    key_set_stage(&r->keys, KEY_STAGE_SECURITY);
    for (int i = 0; i < 8; i++) {
        if (rig_login_step(r)) {
            while (r->events[r->event_pos].event.kind == INI_EVENT_COMMAND_DONE)
                r->event_pos++; /* what recovery could not save */
            assert_ptr_equal(rig_event(r, INI_EVENT_LOGGED_IN)->event.conn, r->conn);
            r->header_digest = ini_conn_params(r->conn)->header_digest == KEY_DIGEST_CRC32C;
            r->data_digest = ini_conn_params(r->conn)->data_digest == KEY_DIGEST_CRC32C;
            rig_pump(r);
            return;
        }
    }
    fail_msg("the login does not end");
}

/* A session at a recovery level, with room for eight connections; digests if wanted. */
static inline struct rig *rig_at_level(uint32_t level, bool digests)
{
    static const struct key_choices crc = {1, {KEY_DIGEST_CRC32C}};
    struct rig *r = rig_new();
    r->options.keys.max_connections = r->key_config.max_connections = RIG_LINKS;
    r->options.keys.error_recovery_level = r->key_config.error_recovery_level = level;
    r->options.keys.default_time2wait = r->key_config.default_time2wait = 2;
    r->options.keys.default_time2retain = r->key_config.default_time2retain = 20;
    r->options.nop_interval_ns = 0;
    r->key_config.first_burst_length = 65536;
    if (digests) {
        r->options.keys.header_digest = r->options.keys.data_digest = crc;
        r->key_config.header_digest = r->key_config.data_digest = crc;
    }
    rig_begin(r);
    rig_login(r);
    assert_int_equal(ini_params(r->s)->error_recovery_level, level);
    assert_int_equal(ini_params(r->s)->max_connections, RIG_LINKS);
    return r;
}

static inline struct rig *rig_up(void)
{
    struct rig *r = rig_new();
    rig_begin(r);
    rig_login(r);
    return r;
}

/* ---- commands ---- */

struct rig_command { /* a command with its buffers */
    struct ini_command c;
    struct io_vec vec[8];
    uint8_t *data;  /* what is sent, or what came */
    uint8_t *guard; /* copy of a data-in buffer when it was reported: it may not change after that */
    uint32_t len;
    int reported;
};

/* `pieces` > 1 scatters the buffer. */
static inline void rig_command(struct rig *r, struct rig_command *rc, bool write, uint32_t len,
                               uint32_t pieces)
{
    memset(rc, 0, sizeof *rc);
    rc->len = len;
    rc->data = calloc(1, len + 1);
    assert_non_null(rc->data);
    uint32_t each = pieces ? len / pieces & ~3u : 0, at = 0;
    for (uint32_t i = 0; i < pieces; i++) {
        uint32_t n = i + 1 == pieces ? len - at : each;
        rc->vec[i] = (struct io_vec){rc->data + at, n};
        at += n;
    }
    if (write) {
        rig_random_bytes(r, rc->data, len);
        rc->c.out_vec = rc->vec;
        rc->c.out_count = pieces;
        rc->c.out_len = len;
    } else {
        rc->c.in_vec = rc->vec;
        rc->c.in_count = pieces;
        rc->c.in_len = len;
    }
    rc->c.cdb[0] = write ? 0x2a : 0x28;
    rc->c.cdb_len = 10;
    rc->c.lun = 0x0001000000000000ull;
    rc->c.attr = 1;
    rc->c.owner = &rc->reported;
    list_init(&rc->c.node);
}
static inline void rig_submit(struct rig *r, struct rig_command *rc)
{
    assert_int_equal(ini_submit(r->s, &rc->c), 0);
    rc->c.outcome = (enum ini_command_outcome)0x55; /* a test that looks at it must have waited for the end */
    rig_pump(r);
}
static inline void rig_command_fini(struct rig_command *rc)
{
    free(rc->data);
    free(rc->guard);
    rc->data = rc->guard = NULL;
}

/* A command PDU as the target sees it; counts ExpCmdSN. */
static inline struct pdu_scsi_command rig_take_command(struct rig *r)
{
    struct pdu_scsi_command pdu;
    pdu_scsi_command_decode(rig_take(r, PDU_OP_scsi_command)->bhs, &pdu);
    assert_int_equal(pdu.exp_stat_sn, r->stat_sn);
    if (!pdu.immediate) {
        assert_int_equal(pdu.cmd_sn, r->exp_cmd_sn);
        r->exp_cmd_sn++;
        r->max_cmd_sn++;
    } else {
        assert_int_equal(pdu.cmd_sn, r->exp_cmd_sn);
    }
    return pdu;
}

static inline void rig_data_in(struct rig *r, uint32_t itt, uint32_t data_sn, uint32_t offset,
                               const void *data, uint32_t len, bool final)
{
    RIG_PDU(r, data_in, pdu);
    pdu.itt = itt;
    pdu.ttt = PDU_TAG_RESERVED;
    pdu.data_sn = data_sn;
    pdu.buffer_offset = offset;
    pdu.final = final;
    RIG_SEND(r, data_in, &pdu, data, len);
}
static inline void rig_response(struct rig *r, uint32_t itt, uint8_t status, const void *data, uint32_t len)
{
    RIG_PDU(r, scsi_response, pdu);
    pdu.itt = itt;
    pdu.status = status;
    pdu.stat_sn = r->stat_sn++;
    if (status == 2 && !len) { /* R7143-11.4.7-01: never without sense data */
        static const uint8_t sense[20] = {0, 18, 0x70, 0, 5, 0, 0, 0, 0, 10, [14] = 0x24};
        data = sense;
        len = sizeof sense;
    }
    RIG_SEND(r, scsi_response, &pdu, data, len);
}
static inline void rig_r2t(struct rig *r, uint32_t itt, uint32_t ttt, uint32_t r2t_sn, uint32_t offset,
                           uint32_t len)
{
    RIG_PDU(r, r2t, pdu);
    pdu.lun = r->r2t_lun;
    pdu.itt = itt;
    pdu.ttt = ttt;
    pdu.stat_sn = r->stat_sn;
    pdu.r2t_sn = r2t_sn;
    pdu.buffer_offset = offset;
    pdu.desired_data_transfer_length = len;
    RIG_SEND(r, r2t, &pdu, NULL, 0);
}

static inline void rig_tmf_response(struct rig *r, uint32_t itt, uint8_t response)
{
    RIG_PDU(r, task_management_response, pdu);
    pdu.itt = itt;
    pdu.response = response;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, task_management_response, &pdu, NULL, 0);
}
static inline void rig_logout_response(struct rig *r, uint32_t itt, uint8_t response, uint16_t wait,
                                       uint16_t retain)
{
    RIG_PDU(r, logout_response, pdu);
    pdu.itt = itt;
    pdu.response = response;
    pdu.stat_sn = r->stat_sn++;
    pdu.time2wait = wait;
    pdu.time2retain = retain;
    RIG_SEND(r, logout_response, &pdu, NULL, 0);
}

/* Takes a PDU of a type that is decoded into `out`. */
#define RIG_TAKE(r, type, out) pdu_##type##_decode(rig_take(r, PDU_OP_##type)->bhs, out)

/* The LUN of a Text Response that is not the last one. */
#define RIG_TEXT_LUN 0x0001000000000000ull

static inline struct pdu_text_request rig_take_text(struct rig *r)
{
    struct pdu_text_request pdu;
    RIG_TAKE(r, text_request, &pdu);
    assert_true(pdu.immediate);
    assert_int_equal(pdu.cmd_sn, r->exp_cmd_sn);
    assert_int_equal(pdu.exp_stat_sn, r->stat_sn);
    return pdu;
}
/* `ttt`: PDU_TAG_RESERVED in the last one. */
static inline void rig_text_response(struct rig *r, uint32_t itt, uint32_t ttt, bool more, const void *text,
                                     uint32_t len)
{
    RIG_PDU(r, text_response, pdu);
    pdu.itt = itt;
    pdu.ttt = ttt;
    pdu.final = ttt == PDU_TAG_RESERVED;
    pdu.more = more;
    pdu.lun = pdu.final ? 0 : RIG_TEXT_LUN;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, text_response, &pdu, text, len);
}

static inline void rig_advance(struct rig *r, uint64_t ns)
{
    r->now += ns;
    ini_tick(r->s);
    rig_pump(r);
}

/* ---- the end ---- */

/* The current connection's transport ends. */
static inline void rig_cut(struct rig *r, int err)
{
    if (!r->over && r->conn)
        ini_lost(r->conn, err);
    r->over = true;
    rig_pump(r);
}

static inline bool rig_closed(const struct rig *r)
{
    return r->event_count && r->events[r->event_count - 1].event.kind == INI_EVENT_CLOSED;
}

/* Every transport ends (unless it has). Every command must have been reported by the time CLOSED comes. */
static inline void rig_lost(struct rig *r, int err)
{
    rig_cut(r, err);
    for (uint32_t i = 0; i < RIG_LINKS; i++) {
        rig_use(r, i);
        if (r->conn)
            rig_cut(r, err);
    }
    if (!rig_closed(r)) { /* level 2: it would wait for another connection */
        ini_abandon(r->s, "abandoned");
        rig_pull_events(r);
    }
    assert_int_equal(ini_outstanding(r->s), 0);
    assert_true(r->event_count > 0);
    assert_int_equal(r->events[r->event_count - 1].event.kind, INI_EVENT_CLOSED);
}

static inline void rig_free(struct rig *r)
{
    rig_lost(r, 0);
    ini_session_free(r->s);
    tx_pool_fini(&r->tx_pool);
    pool_free(r->pool); /* asserts that no chunk is missing */
    assert_int_equal(r->allocated, 0);
    rig_forget_events(r);
    free(r->pdu.data);
    for (uint32_t i = 0; i < RIG_LINKS; i++)
        if (i != r->link)
            free(r->links[i].wire);
    free(r->wire);
    free(r);
}

/* The engine must have given up with a reason that has `word` in it; `reported` commands of ours came back
 * LOST. */
static inline void rig_expect_failure(struct rig *r, const char *word)
{
    if (!rig_closing(r))
        fail_msg("still up; expected a failure about \"%s\"", word);
    rig_lost(r, 0);
    const struct rig_event *last = &r->events[r->event_count - 1];
    if (!strstr(last->reason, word))
        fail_msg("reason \"%s\" does not speak of \"%s\"", last->reason, word);
}

#endif
