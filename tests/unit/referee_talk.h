/* Conversations for the referee's tests: a list of PDUs that a builder writes as two correct peers would, a
 * few words of script that break one of them, and the way through a referee at any vantage. Header only: each
 * test program is one file. */
#ifndef LUNETTE_TESTS_REFEREE_TALK_H
#define LUNETTE_TESTS_REFEREE_TALK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/iscsi/digest.h"
#include "common/iscsi/pdu.h"
#include "conformance/referee/referee.h"

#define TALK_TURNS 160
#define TALK_DATA  9000u
#define TALK_CONNS 3

struct turn {
    uint8_t bhs[PDU_BHS_LEN], ahs[64], data[TALK_DATA];
    uint32_t ahs_len, data_len;
    uint8_t conn;
    bool gone, full, bad_header_digest, bad_data_digest, dirty_pad;
    uint32_t wait; /* seconds before it */
};

struct talk {
    struct turn turns[TALK_TURNS];
    size_t count;
    bool digests;          /* header and data digests from the full feature phase on */
    bool full[TALK_CONNS]; /* is the connection in the full feature phase? */
    bool stat_any;
    uint32_t cmd_sn, exp_cmd_sn, stat_sn[TALK_CONNS];
    uint16_t tsih;
};

static struct talk talk_mem;

/* ---- building ---- */

static const struct pdu_type *talk_type(const struct turn *t)
{
    const struct pdu_type *type = pdu_type_of(t->bhs[0]);
    assert_non_null(type);
    return type;
}

static void put(struct turn *t, const char *field, uint64_t value)
{
    const struct pdu_field *f = pdu_field_find(talk_type(t), field);
    if (!f)
        fail_msg("no field %s in %s", field, talk_type(t)->tag);
    else
        pdu_field_put(f, t->bhs, value);
}

static bool has(const struct turn *t, const char *field)
{
    return pdu_field_find(talk_type(t), field) != NULL;
}

static uint64_t get(const struct turn *t, const char *field)
{
    return pdu_field_get(pdu_field_find(talk_type(t), field), t->bhs);
}

static struct turn *turn_new(struct talk *k, unsigned conn, uint8_t opcode)
{
    assert_true(k->count < TALK_TURNS);
    struct turn *t = &k->turns[k->count++];
    memset(t, 0, sizeof *t);
    t->conn = (uint8_t)conn;
    t->full = k->full[conn];
    t->bhs[0] = opcode;
    const struct pdu_type *type = talk_type(t);
    for (size_t i = 0; i < type->field_count; i++) /* what the format fixes */
        if (type->fields[i].rule == PDU_RULE_RANGE && type->fields[i].min == type->fields[i].max)
            pdu_field_put(&type->fields[i], t->bhs, type->fields[i].min);
    return t;
}

/* A request with its numbers. Immediate ones don't use theirs up. */
static struct turn *request(struct talk *k, unsigned conn, uint8_t opcode, uint32_t itt, bool immediate)
{
    struct turn *t = turn_new(k, conn, opcode);
    put(t, "itt", itt);
    if (has(t, "ttt"))
        put(t, "ttt", PDU_TAG_RESERVED);
    if (has(t, "cmd_sn")) {
        put(t, "cmd_sn", k->cmd_sn);
        if (opcode != PDU_OP_login_request)
            put(t, "immediate", immediate);
        if (!immediate)
            k->cmd_sn++;
    }
    if (k->stat_any)
        put(t, "exp_stat_sn", k->stat_sn[conn]);
    return t;
}

static struct turn *response(struct talk *k, unsigned conn, uint8_t opcode, uint32_t itt, bool status)
{
    struct turn *t = turn_new(k, conn, opcode);
    put(t, "itt", itt);
    if (has(t, "ttt"))
        put(t, "ttt", PDU_TAG_RESERVED);
    k->exp_cmd_sn = k->cmd_sn;
    put(t, "exp_cmd_sn", k->exp_cmd_sn);
    put(t, "max_cmd_sn", k->exp_cmd_sn + 15);
    if (status || opcode == PDU_OP_r2t || opcode == PDU_OP_nop_in)
        put(t, "stat_sn", k->stat_sn[conn]);
    if (status)
        k->stat_sn[conn]++;
    k->stat_any = true;
    return t;
}

/* '|' stands for NUL. */
static void text(struct turn *t, const char *pairs)
{
    size_t len = strlen(pairs);
    assert_true(len <= TALK_DATA);
    for (size_t i = 0; i < len; i++)
        t->data[i] = pairs[i] == '|' ? 0 : (uint8_t)pairs[i];
    t->data_len = (uint32_t)len;
}

static void fill(struct turn *t, uint32_t len)
{
    assert_true(len <= TALK_DATA);
    for (uint32_t i = t->data_len; i < len; i++)
        t->data[i] = (uint8_t)(i * 7 + 1);
    t->data_len = len;
}

/* ---- breaking: "scsi_command 2 set final=0 lun=7; data_out 1 drop" ----
 *   TAG N set FIELD=VALUE ...   fields of the N-th PDU of that type; VALUE +n or -n is relative
 *   TAG N text OLD=>NEW         in its data; '|' is NUL, blanks can't be in it
 *   TAG N data LEN              data segment of another length
 *   TAG N byte OFFSET VALUE     of the header
 *   TAG N drop | twice | swap   left out; sent twice; exchanged with the PDU before it
 *   TAG N header_digest | data_digest | pad    spoilt
 *   TAG N conn C                on another connection
 *   TAG N wait SECONDS          later */

static struct turn *talk_find(struct talk *k, const char *tag, unsigned n, size_t *at)
{
    for (size_t i = 0; i < k->count; i++) {
        const struct pdu_type *type = pdu_type_of(k->turns[i].bhs[0]);
        if (type && !k->turns[i].gone && strcmp(type->tag, tag) == 0 && --n == 0) {
            *at = i;
            return &k->turns[i];
        }
    }
    fail_msg("no such PDU: %s", tag);
    return NULL;
}

static void break_set(struct turn *t, char *args)
{
    char *save;
    for (char *a = strtok_r(args, " ", &save); a; a = strtok_r(NULL, " ", &save)) {
        char *eq = strchr(a, '=');
        assert_non_null(eq);
        *eq = 0;
        bool relative = eq[1] == '+' || eq[1] == '-';
        uint64_t value =
            relative ? get(t, a) + (uint64_t)strtoll(eq + 1, NULL, 0) : strtoull(eq + 1, NULL, 0);
        put(t, a, value);
    }
}

static void break_text(struct turn *t, char *args)
{
    char *arrow = strstr(args, "=>"), old[600], new[4096];
    assert_non_null(arrow);
    size_t old_len = (size_t)(arrow - args), new_len = strlen(arrow + 2), at;
    memcpy(old, args, old_len);
    memcpy(new, arrow + 2, new_len);
    for (size_t i = 0; i < old_len; i++)
        old[i] = old[i] == '|' ? 0 : old[i];
    for (size_t i = 0; i < new_len; i++)
        new[i] = new[i] == '|' ? 0 : new[i];
    for (at = 0; at + old_len <= t->data_len && memcmp(t->data + at, old, old_len) != 0; at++)
        ;
    if (at + old_len > t->data_len)
        fail_msg("no such text: %s", args);
    memmove(t->data + at + new_len, t->data + at + old_len, t->data_len - at - old_len);
    memcpy(t->data + at, new, new_len);
    t->data_len = (uint32_t)(t->data_len - old_len + new_len);
}

static void break_one(struct talk *k, char *statement)
{
    char tag[40], verb[20];
    unsigned n;
    int used = 0;
    size_t at = 0;
    if (sscanf(statement, " %39s %u %19s%n", tag, &n, verb, &used) != 3)
        fail_msg("bad script: %s", statement);
    char *args = statement + used + (statement[used] == ' ');
    struct turn *t = talk_find(k, tag, n, &at);
    if (strcmp(verb, "set") == 0)
        break_set(t, args);
    else if (strcmp(verb, "text") == 0)
        break_text(t, args);
    else if (strcmp(verb, "data") == 0)
        strtoul(args, NULL, 0) < t->data_len ? (void)(t->data_len = (uint32_t)strtoul(args, NULL, 0))
                                             : fill(t, (uint32_t)strtoul(args, NULL, 0));
    else if (strcmp(verb, "byte") == 0) {
        char *end;
        unsigned long offset = strtoul(args, &end, 0);
        t->bhs[offset] = (uint8_t)strtoul(end, NULL, 0);
    } else if (strcmp(verb, "drop") == 0)
        t->gone = true;
    else if (strcmp(verb, "twice") == 0) {
        assert_true(k->count < TALK_TURNS);
        memmove(t + 1, t, (k->count - at) * sizeof *t);
        k->count++;
    } else if (strcmp(verb, "swap") == 0) {
        static struct turn before;
        assert_true(at > 0);
        before = t[-1];
        t[-1] = t[0];
        t[0] = before;
    } else if (strcmp(verb, "header_digest") == 0)
        t->bad_header_digest = true;
    else if (strcmp(verb, "data_digest") == 0)
        t->bad_data_digest = true;
    else if (strcmp(verb, "pad") == 0)
        t->dirty_pad = true;
    else if (strcmp(verb, "wait") == 0)
        t->wait = (uint32_t)strtoul(args, NULL, 0);
    else if (strcmp(verb, "conn") == 0)
        t->conn = (uint8_t)strtoul(args, NULL, 0);
    else
        fail_msg("bad verb: %s", verb);
}

static inline void talk_break(struct talk *k, const char *script)
{
    char copy[6000];
    char *save;
    assert_true(strlen(script) < sizeof copy);
    strcpy(copy, script);
    for (char *s = strtok_r(copy, ";", &save); s; s = strtok_r(NULL, ";", &save))
        break_one(k, s);
}

/* ---- feeding ---- */

static uint32_t turn_bytes(const struct talk *k, const struct turn *t, uint8_t *out)
{
    uint8_t bhs[PDU_BHS_LEN];
    uint32_t at = 0, pad = pdu_pad_len(t->data_len);
    bool digests = k->digests && t->full;
    memcpy(bhs, t->bhs, sizeof bhs);
    be24_put(bhs + 5, t->data_len);
    if (t->ahs_len)
        bhs[4] = (uint8_t)(t->ahs_len / 4);
    memcpy(out, bhs, PDU_BHS_LEN);
    at = PDU_BHS_LEN;
    if (bhs[4]) {
        memcpy(out + at, t->ahs, (size_t)bhs[4] * 4 <= sizeof t->ahs ? (size_t)bhs[4] * 4 : sizeof t->ahs);
        at += (uint32_t)bhs[4] * 4;
    }
    if (digests) {
        digest_put(out + at, digest_crc32c(out, at) ^ (t->bad_header_digest ? 1 : 0));
        at += 4;
    }
    if (t->data_len == 0)
        return at;
    uint32_t data_at = at;
    memcpy(out + at, t->data, t->data_len);
    memset(out + at + t->data_len, t->dirty_pad ? 0x5a : 0, pad);
    at += t->data_len + pad;
    if (digests) {
        digest_put(out + at, digest_crc32c(out + data_at, at - data_at) ^ (t->bad_data_digest ? 1 : 0));
        at += 4;
    }
    return at;
}

/* Through a referee in pieces of `piece` bytes (0: whole PDUs). The caller frees it. */
static inline struct referee *talk_run(const struct talk *k, enum referee_vantage vantage, size_t piece)
{
    static uint8_t bytes[TALK_DATA + 2048];
    struct referee_options options = {.vantage = vantage, .findings_max = 64};
    struct referee *r = NULL;
    assert_int_equal(referee_new(env_host(), &options, &r), 0);
    struct tap *tap = referee_tap(r);
    struct io_addr a = {.family = 4, .ip = {10, 0, 0, 1}, .port = 40000},
                   b = {.family = 4, .ip = {10, 0, 0, 2}, .port = 3260};
    bool open[TALK_CONNS] = {false};
    uint64_t now = 0;
    for (size_t i = 0; i < k->count; i++) {
        const struct turn *t = &k->turns[i];
        if (t->gone)
            continue;
        now += t->wait * 1000000000ull;
        if (!open[t->conn])
            tap->open(tap, t->conn + 1u, &a, &b, now);
        open[t->conn] = true;
        uint32_t len = turn_bytes(k, t, bytes);
        const struct pdu_type *type = pdu_type_of(t->bhs[0] & 0x3f);
        bool to_target = type ? type->from == PDU_FROM_INITIATOR : !(t->bhs[0] & 0x20);
        if (t->bhs[0] & 0x80) /* a marker of the script: from the other side */
            to_target = !to_target;
        bytes[0] &= 0x7f;
        for (uint32_t at = 0; at < len;) {
            uint32_t n = piece && piece < len - at ? (uint32_t)piece : len - at;
            struct io_vec place = {bytes + at, n};
            tap->bytes(tap, t->conn + 1u, to_target ? TAP_TO_TARGET : TAP_TO_INITIATOR, &place, 1, n, now++);
            at += n;
        }
    }
    for (unsigned i = 0; i < TALK_CONNS; i++)
        if (open[i])
            tap->close(tap, i + 1u, now);
    return r;
}

#endif
