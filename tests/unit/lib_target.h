/* A small target on a simulated network, for tests of the initiator library: logs anybody in, keeps 64 KiB of
 * blocks, and misbehaves on request. One session at a time, with as many connections and the recovery level
 * that the test grants. One command per PDU: writes must come as immediate data. At level 2 it keeps every
 * command until its status is acknowledged, and runs it (again) when it is reassigned. */
#ifndef LUNETTE_TESTS_LIB_TARGET_H
#define LUNETTE_TESTS_LIB_TARGET_H

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
#include "common/io/sim.h"
#include "common/iscsi/keys.h"
#include "common/iscsi/pdu.h"
#include "initiator/lib/lunette.h"

#define FAKE_BLOCK  512u
#define FAKE_BLOCKS 128u
#define FAKE_CONNS  400
#define FAKE_TASKS  256
#define FAKE_PLACES 3
#define FAKE_NAME   "iqn.2026-01.com.example:disk"
#define FAKE_SECOND 1000000000ull

struct fake;
struct fake_conn {
    struct fake *fake;
    io_handle sock;
    bool open;
    struct io_op recv_op, send_op;
    struct io_vec recv_vec, send_vec;
    uint8_t arrived[65536], in[131072], out[131072], sending[131072];
    size_t in_len, out_len;
    struct key_negotiation keys;
    bool keys_begun, up;
    uint16_t cid;
    int place; /* which of its addresses it came to */
    uint32_t stat_sn;
    bool closing; /* ends when nothing is in flight */
};

struct fake_task { /* level 2: a command whose status has not been acknowledged */
    bool used, done;
    struct fake_conn *conn;
    uint32_t stat_sn;
    uint8_t bhs[PDU_BHS_LEN];
    uint8_t *data; /* owned */
    uint32_t len;
};

struct fake_place { /* an address it listens on */
    struct fake *fake;
    io_handle listener;
    struct io_addr addr;
    struct io_op accept_op;
    const char *redirect; /* answered to every login there */
    bool permanent;
    int accepted;
};

struct fake {
    struct sim_world *world;
    struct io *io, *client_io; /* the target's and the client's reactors */
    struct fake_place places[FAKE_PLACES];
    struct fake_conn *conns[FAKE_CONNS];
    int conn_count;
    /* the session */
    uint16_t tsih;
    struct key_params params;
    uint32_t exp_cmd_sn;
    uint64_t seen; /* bit n: exp_cmd_sn + 1 + n has come out of order */
    struct fake_task tasks[FAKE_TASKS];
    uint8_t blocks[FAKE_BLOCKS * FAKE_BLOCK];
    /* counts */
    int logins, commands, logouts, texts, tmf_abort, tmf_reset;
    int sessions, further, reassigns, pings; /* further: logins to a session that was there */
    int logout_reasons[4];
    int overlaps;            /* logins of a new session while connections of the old one were there */
    uint8_t isids[16][6];    /* of the first logins */
    char names[16][224];     /* InitiatorName of them */
    uint64_t received, sent; /* bytes */
    /* knobs */
    const struct env *client_env;      /* of fake_client; NULL: the world's */
    uint32_t max_connections, level;   /* granted; 0: one connection, level 0 */
    bool forget_session;               /* further logins are refused: there is no such session */
    bool refuse_further;               /* or: too many connections */
    uint8_t login_class, login_detail; /* answered instead of success while login_refusals > 0 */
    int login_refusals;
    const char *redirect; /* answered once */
    bool mute_commands, mute_tmf, mute_nop, mute_logout, mute_login;
    uint8_t tmf_response;
    int bad_statuses; /* this many commands end with bad_status */
    uint8_t bad_status, bad_key;
    uint16_t bad_asc;    /* ASC and ASCQ; 0: 29/00 */
    int cut_at_command;  /* the connection ends when this one arrives (counted from 1; 0: never) */
    int cut_every;       /* and again after so many more; 0: not again */
    bool announce_drops; /* cuts are announced: AsyncEvent 2, come back after three seconds */
    bool closes_others;  /* at a session's logout, at once */
    const char *targets; /* answer to SendTargets, with its NULs */
    uint32_t targets_len;
};

/* ---- output ---- */

static inline void fake_conn_end(struct fake_conn *c)
{
    if (!c->open)
        return;
    if (c->recv_op.busy || c->send_op.busy) {
        if (!c->closing)
            io_shutdown(c->fake->io, c->sock);
        c->closing = true;
        return;
    }
    c->open = false;
    io_close(c->fake->io, c->sock);
}

static inline void fake_flush(struct fake_conn *c);
static inline void fake_sent(struct io_op *op)
{
    struct fake_conn *c = container_of(op, struct fake_conn, send_op);
    c->fake->sent += op->result > 0 ? (uint64_t)op->result : 0;
    if (op->result <= 0 || c->closing) {
        fake_conn_end(c);
        return;
    }
    size_t rest = c->send_vec.len - (size_t)op->result;
    if (rest) {
        c->send_vec = (struct io_vec){(uint8_t *)c->send_vec.ptr + op->result, rest};
        io_send(c->fake->io, &c->send_op, c->sock, &c->send_vec, 1);
        return;
    }
    fake_flush(c);
}
static inline void fake_flush(struct fake_conn *c)
{
    if (c->send_op.busy || c->out_len == 0 || !c->open || c->closing)
        return;
    memcpy(c->sending, c->out, c->out_len);
    c->send_vec = (struct io_vec){c->sending, c->out_len};
    c->out_len = 0;
    c->send_op.done = fake_sent;
    io_send(c->fake->io, &c->send_op, c->sock, &c->send_vec, 1);
}
static inline void fake_put(struct fake_conn *c, uint8_t *bhs, const void *data, uint32_t len)
{
    uint32_t padded = len + pdu_pad_len(len);
    assert_true(c->out_len + PDU_BHS_LEN + padded <= sizeof c->out);
    be24_put(bhs + 5, len);
    memcpy(c->out + c->out_len, bhs, PDU_BHS_LEN);
    memset(c->out + c->out_len + PDU_BHS_LEN, 0, padded);
    if (len)
        memcpy(c->out + c->out_len + PDU_BHS_LEN, data, len);
    c->out_len += PDU_BHS_LEN + padded;
}
#define FAKE_ANSWER(c, type, fields, data, len)                                                              \
    do {                                                                                                     \
        struct pdu_##type pdu;                                                                               \
        uint8_t answer_bhs[PDU_BHS_LEN];                                                                     \
        pdu_##type##_init(&pdu);                                                                             \
        pdu.itt = pdu_itt(bhs);                                                                              \
        pdu.exp_cmd_sn = (c)->fake->exp_cmd_sn;                                                              \
        pdu.max_cmd_sn = (c)->fake->exp_cmd_sn + 31;                                                         \
        pdu.stat_sn = (c)->stat_sn++;                                                                        \
        fields;                                                                                              \
        pdu_##type##_encode(&pdu, answer_bhs);                                                               \
        fake_put(c, answer_bhs, data, len);                                                                  \
    } while (0)

/* ---- numbers, and the tasks of level 2 ---- */

static inline void fake_cmd_sn(struct fake *f, uint32_t sn, bool immediate)
{
    uint32_t ahead = sn - f->exp_cmd_sn;
    if (immediate || ahead > 63)
        return;
    if (ahead) {
        f->seen |= 1ull << (ahead - 1);
        return;
    }
    bool more;
    do {
        f->exp_cmd_sn++;
        more = f->seen & 1;
        f->seen >>= 1;
    } while (more);
}

static inline void fake_task_end(struct fake_task *task)
{
    free(task->data);
    *task = (struct fake_task){0};
}

static inline struct fake_task *fake_task_find(struct fake *f, uint32_t itt)
{
    for (int i = 0; i < FAKE_TASKS; i++)
        if (f->tasks[i].used && pdu_itt(f->tasks[i].bhs) == itt)
            return &f->tasks[i];
    return NULL;
}

static inline void fake_task_keep(struct fake_conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
    struct fake *f = c->fake;
    if (f->params.error_recovery_level < 2)
        return;
    struct fake_task *old =
        fake_task_find(f, pdu_itt(bhs)); /* its tag is in use again, so its status has arrived */
    if (old)
        fake_task_end(old);
    for (int i = 0; i < FAKE_TASKS; i++) {
        struct fake_task *task = &f->tasks[i];
        if (task->used)
            continue;
        *task = (struct fake_task){.used = true, .conn = c, .data = malloc(len + 1), .len = len};
        assert_non_null(task->data);
        memcpy(task->bhs, bhs, PDU_BHS_LEN);
        memcpy(task->data, data, len);
        return;
    }
    fail_msg("too many tasks without acknowledgement");
}

static inline void fake_tasks_acknowledged(struct fake_conn *c, uint32_t exp_stat_sn)
{
    for (int i = 0; i < FAKE_TASKS; i++) {
        struct fake_task *task = &c->fake->tasks[i];
        if (task->used && task->done && task->conn == c && (int32_t)(exp_stat_sn - task->stat_sn) > 0)
            fake_task_end(task);
    }
}

/* ---- what it answers ---- */

static inline void fake_login_begin(struct fake_conn *c, const struct pdu_login_request *asked)
{
    struct fake *f = c->fake;
    struct key_config config;
    if (c->keys_begun)
        return;
    key_config_default(&config);
    config.auth_methods = (struct key_choices){1, {KEY_AUTH_NONE}};
    config.header_digest = config.data_digest = (struct key_choices){1, {KEY_DIGEST_NONE}};
    config.immediate_data = true;
    config.max_recv_data_segment_length = 65536;
    config.max_connections = f->max_connections ? f->max_connections : 1;
    config.error_recovery_level = f->level;
    config.target_portal_group_tag = 1;
    key_negotiation_init(&c->keys, KEY_ROLE_TARGET, &config, asked->tsih == 0,
                         asked->tsih ? &f->params : NULL);
    c->keys_begun = true;
    c->cid = asked->cid;
    if (asked->tsih == 0)
        f->exp_cmd_sn = asked->cmd_sn;
}

static inline void fake_login_end(struct fake_conn *c, const struct pdu_login_request *asked)
{
    struct fake *f = c->fake;
    if (f->logins < 16)
        memcpy(f->isids[f->logins], asked->isid, 6);
    f->logins++;
    for (int i = 0; i < f->conn_count; i++) { /* reinstatement of the session, or of the connection */
        struct fake_conn *old = f->conns[i];
        f->overlaps += old != c && old->up && old->open && !old->closing && asked->tsih == 0;
        if (old != c && old->up && old->open && (asked->tsih == 0 || old->cid == c->cid))
            fake_conn_end(old);
    }
    if (asked->tsih) {
        f->further++;
        return;
    }
    f->sessions++;
    f->tsih++;
    f->seen = 0;
    f->params = c->keys.params;
    for (int i = 0; i < FAKE_TASKS; i++)
        if (f->tasks[i].used)
            fake_task_end(&f->tasks[i]);
}

static inline void fake_login(struct fake_conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
    struct fake *f = c->fake;
    struct pdu_login_request asked;
    char text[4096];
    struct text_writer w;
    struct text_parser parser;
    struct text_range key, value;
    pdu_login_request_decode(bhs, &asked);
    text_writer_init(&w, text, sizeof text);
    if (f->mute_login)
        return;
    struct fake_place *place = &f->places[c->place];
    if (f->redirect || place->redirect) {
        text_add(&w, "TargetAddress", f->redirect ? f->redirect : place->redirect);
        f->redirect = NULL;
        FAKE_ANSWER(c, login_response,
                    (memcpy(pdu.isid, asked.isid, 6), pdu.status_class = 1,
                     pdu.status_detail = place->permanent ? 2 : 1),
                    text, (uint32_t)w.len);
        return;
    }
    uint8_t refuse_class = 0, refuse_detail = 0;
    if (f->login_refusals) {
        f->login_refusals--;
        refuse_class = f->login_class;
        refuse_detail = f->login_detail;
    } else if (asked.tsih && (f->forget_session || asked.tsih != f->tsih)) {
        refuse_class = 2;
        refuse_detail = 0x0a;
    } else if (asked.tsih && f->refuse_further) {
        refuse_class = 2;
        refuse_detail = 6;
    }
    if (refuse_class) {
        FAKE_ANSWER(c, login_response,
                    (memcpy(pdu.isid, asked.isid, 6), pdu.status_class = refuse_class,
                     pdu.status_detail = refuse_detail),
                    NULL, 0);
        return;
    }
    fake_login_begin(c, &asked);
    key_declare_target(&c->keys, &w);
    text_parser_init(&parser, data, len, TEXT_VALUE_LEN_MAX);
    while (text_parser_next(&parser, &key, &value) == TEXT_PAIR) {
        if (text_is(key, "InitiatorName") && f->logins < 16)
            text_copy(value, f->names[f->logins], sizeof f->names[0]);
        assert_int_equal(key_receive(&c->keys, key, value, &w), KEYS_OK);
    }
    if (asked.csg == 1)
        key_offer_operational(&c->keys, &w);
    key_flush(&c->keys, &w);
    if (asked.transit) {
        assert_int_equal(key_conclude(&c->keys), KEYS_OK);
        key_set_stage(&c->keys, asked.nsg == 1 ? KEY_STAGE_OPERATIONAL : KEY_STAGE_FULL_FEATURE);
        c->up = asked.nsg == 3;
        if (c->up)
            fake_login_end(c, &asked);
    }
    FAKE_ANSWER(c, login_response,
                (memcpy(pdu.isid, asked.isid, 6), pdu.transit = asked.transit, pdu.csg = asked.csg,
                 pdu.nsg = asked.transit ? asked.nsg : 0,
                 pdu.tsih = asked.tsih ? asked.tsih
                            : c->up    ? f->tsih
                                       : 0),
                text, (uint32_t)w.len);
}

static inline void fake_run(struct fake_conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len);
static inline void fake_command(struct fake_conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
    struct fake *f = c->fake;
    struct pdu_scsi_command asked;
    pdu_scsi_command_decode(bhs, &asked);
    fake_cmd_sn(f, asked.cmd_sn, asked.immediate);
    f->commands++;
    fake_task_keep(c, bhs, data, len);
    if (f->cut_at_command && f->commands >= f->cut_at_command) {
        if (f->announce_drops) {
            FAKE_ANSWER(c, async_message,
                        (pdu.itt = PDU_TAG_RESERVED, pdu.async_event = 2, pdu.parameter2 = 3), NULL, 0);
            f->mute_commands = true; /* the initiator is the one that closes */
            return;
        }
        f->cut_at_command = f->cut_every ? f->commands + f->cut_every : 0;
        fake_conn_end(c);
        return;
    }
    if (f->mute_commands)
        return;
    if (f->bad_statuses) {
        uint16_t asc = f->bad_asc ? f->bad_asc : 0x2900;
        uint8_t sense[20] = {0, 18, 0x70, 0, f->bad_key,          0,           0, 0, 0, 10,
                             0, 0,  0,    0, (uint8_t)(asc >> 8), (uint8_t)asc};
        struct fake_task *task = fake_task_find(f, pdu_itt(bhs));
        if (task) {
            task->done = true;
            task->stat_sn = c->stat_sn;
        }
        f->bad_statuses--;
        FAKE_ANSWER(c, scsi_response, pdu.status = f->bad_status, sense,
                    f->bad_status == 2 ? sizeof sense : 0);
        return;
    }
    fake_run(c, bhs, data, len);
}

static inline void fake_run(struct fake_conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
    struct fake *f = c->fake;
    struct pdu_scsi_command asked;
    struct fake_task *task = fake_task_find(f, pdu_itt(bhs));
    pdu_scsi_command_decode(bhs, &asked);
    if (task) {
        task->done = true;
        task->stat_sn = c->stat_sn;
    }
    uint32_t lba = be32_get(asked.cdb + 2), bytes = be16_get(asked.cdb + 7) * FAKE_BLOCK;
    assert_true(lba * FAKE_BLOCK + bytes <= sizeof f->blocks);
    if (asked.write) {
        assert_int_equal(len, bytes);
        memcpy(f->blocks + lba * FAKE_BLOCK, data, len);
        FAKE_ANSWER(c, scsi_response, (void)0, NULL, 0);
    } else if (asked.read) {
        FAKE_ANSWER(c, data_in, (pdu.ttt = PDU_TAG_RESERVED, pdu.final = pdu.has_status = 1),
                    f->blocks + lba * FAKE_BLOCK, bytes);
    } else {
        FAKE_ANSWER(c, scsi_response, (void)0, NULL, 0);
    }
}

static inline void fake_task_management(struct fake_conn *c, const uint8_t *bhs)
{
    struct fake *f = c->fake;
    struct pdu_task_management_request asked;
    pdu_task_management_request_decode(bhs, &asked);
    fake_cmd_sn(f, asked.cmd_sn, asked.immediate);
    uint8_t function = bhs[1] & 0x7f, response = f->tmf_response;
    f->tmf_abort += function == 1;
    f->tmf_reset += function == 5;
    struct fake_task *task = function == 8 ? fake_task_find(f, be32_get(bhs + 20)) : NULL;
    if (function == 8)
        response = task ? 0 : 1;
    if (!f->mute_tmf)
        FAKE_ANSWER(c, task_management_response, pdu.response = response, NULL, 0);
    if (task && !f->mute_tmf && !f->mute_commands) {
        f->reassigns++;
        task->conn = c;
        fake_run(c, task->bhs, task->data, task->len);
    }
}

static inline void fake_pdu(struct fake_conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
    struct fake *f = c->fake;
    if (c->up && pdu_opcode(bhs) != PDU_OP_login_request)
        fake_tasks_acknowledged(c, be32_get(bhs + 28)); /* ExpStatSN: at one place in all requests */
    switch (pdu_opcode(bhs)) {
    case PDU_OP_login_request:
        fake_login(c, bhs, data, len);
        break;
    case PDU_OP_scsi_command:
        fake_command(c, bhs, data, len);
        break;
    case PDU_OP_task_management_request:
        fake_task_management(c, bhs);
        break;
    case PDU_OP_nop_out:
        fake_cmd_sn(f, be32_get(bhs + 24), bhs[0] & 0x40);
        f->pings++;
        if (!f->mute_nop && pdu_itt(bhs) != PDU_TAG_RESERVED)
            FAKE_ANSWER(c, nop_in, pdu.ttt = PDU_TAG_RESERVED, data, len);
        break;
    case PDU_OP_text_request:
        f->texts++;
        fake_cmd_sn(f, be32_get(bhs + 24), bhs[0] & 0x40);
        FAKE_ANSWER(c, text_response, (pdu.final = 1, pdu.ttt = PDU_TAG_RESERVED), f->targets,
                    f->targets_len);
        break;
    case PDU_OP_logout_request:
        f->logouts++;
        f->logout_reasons[(bhs[1] & 0x7f) < 3 ? bhs[1] & 0x7f : 3]++;
        fake_cmd_sn(f, be32_get(bhs + 24), bhs[0] & 0x40);
        for (int i = 0; f->closes_others && i < f->conn_count; i++)
            if (f->conns[i] != c)
                fake_conn_end(f->conns[i]);
        if (!f->mute_logout)
            FAKE_ANSWER(c, logout_response, pdu.time2retain = 20, NULL, 0);
        break;
    default:
        fail_msg("%s", pdu_name(bhs[0]));
    }
}

/* ---- input ---- */

static inline void fake_receive(struct fake_conn *c);
static inline void fake_received(struct io_op *op)
{
    struct fake_conn *c = container_of(op, struct fake_conn, recv_op);
    c->fake->received += op->result > 0 ? (uint64_t)op->result : 0;
    if (op->result <= 0 || c->closing) {
        fake_conn_end(c);
        return;
    }
    assert_true(c->in_len + (size_t)op->result <= sizeof c->in);
    memcpy(c->in + c->in_len, c->arrived, (size_t)op->result);
    c->in_len += (size_t)op->result;
    size_t at = 0;
    while (c->in_len - at >= PDU_BHS_LEN && c->open && !c->closing) {
        uint32_t len = pdu_data_len(c->in + at), whole = PDU_BHS_LEN + len + pdu_pad_len(len);
        if (c->in_len - at < whole)
            break;
        fake_pdu(c, c->in + at, c->in + at + PDU_BHS_LEN, len);
        at += whole;
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    if (!c->open || c->closing) {
        fake_conn_end(c);
        return;
    }
    fake_flush(c);
    fake_receive(c);
}
static inline void fake_receive(struct fake_conn *c)
{
    c->recv_vec = (struct io_vec){c->arrived, sizeof c->arrived};
    c->recv_op.done = fake_received;
    io_recv_into(c->fake->io, &c->recv_op, c->sock, &c->recv_vec, 1);
}

static inline void fake_accepted(struct io_op *op)
{
    struct fake_place *place = container_of(op, struct fake_place, accept_op);
    struct fake *f = place->fake;
    if (op->result < 0)
        return;
    assert_true(f->conn_count < FAKE_CONNS);
    struct fake_conn *c = f->conns[f->conn_count++] = calloc(1, sizeof *c);
    assert_non_null(c);
    c->fake = f;
    c->open = true;
    c->sock = (io_handle)op->result;
    c->stat_sn = 100;
    c->place = (int)(place - f->places);
    place->accepted++;
    fake_receive(c);
    io_accept(f->io, &place->accept_op, place->listener);
}

/* A message that nobody asked for. */
static inline void fake_async(struct fake_conn *c, uint8_t event, uint16_t time2wait, const void *data,
                              uint32_t len)
{
    uint8_t bhs[PDU_BHS_LEN] = {0};
    FAKE_ANSWER(c, async_message,
                (pdu.itt = PDU_TAG_RESERVED, pdu.async_event = event, pdu.parameter2 = time2wait), data, len);
    fake_flush(c);
}

/* ---- life ---- */

static inline void fake_listen_at(struct fake *f, int which, const char *address)
{
    struct fake_place *place = &f->places[which];
    assert_int_equal(addr_parse(address, 0, &place->addr), 0);
    assert_int_equal(io_listen(f->io, &place->addr, 8, &place->listener, &place->addr), 0);
    place->accept_op.done = fake_accepted;
    io_accept(f->io, &place->accept_op, place->listener);
}
static inline void fake_listen(struct fake *f)
{
    fake_listen_at(f, 0, "10.0.0.1:3260");
}
static inline struct fake *fake_new(uint64_t seed, const struct sim_options *options)
{
    static const struct sim_options quiet;
    struct fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(sim_world_new(env_host(), seed, options ? options : &quiet, &f->world), 0);
    assert_int_equal(sim_io_new(f->world, &f->io), 0);
    assert_int_equal(sim_io_new(f->world, &f->client_io), 0);
    f->tsih = 8;
    for (int i = 0; i < FAKE_PLACES; i++) {
        f->places[i].fake = f;
        f->places[i].listener = IO_NONE;
    }
    return f;
}
/* Stops listening and drops all connections: a target that has gone away. */
static inline void fake_vanish(struct fake *f)
{
    for (int i = 0; i < FAKE_PLACES; i++) {
        struct fake_place *place = &f->places[i];
        if (place->listener == IO_NONE)
            continue;
        io_cancel(f->io, &place->accept_op);
        while (place->accept_op.busy)
            io_run(f->io, UINT64_MAX);
        io_close(f->io, place->listener);
        place->listener = IO_NONE;
    }
    for (int i = 0; i < f->conn_count; i++)
        fake_conn_end(f->conns[i]);
    for (int i = 0; i < f->conn_count; i++)
        while (f->conns[i]->open)
            io_run(f->io, UINT64_MAX);
}
static inline void fake_free(struct fake *f)
{
    fake_vanish(f);
    for (int i = 0; i < f->conn_count; i++)
        free(f->conns[i]);
    for (int i = 0; i < FAKE_TASKS; i++)
        fake_task_end(&f->tasks[i]);
    io_free(f->client_io);
    io_free(f->io);
    sim_world_free(f->world);
    free(f);
}

/* A client of the fake, not yet open. */
static inline struct lnt_client *fake_client(struct fake *f, void (*tweak)(struct lnt_options *options))
{
    struct lnt_url url;
    struct lnt_options options;
    struct lnt_client *client;
    char why[200];
    assert_int_equal(lnt_url_parse("iscsi://10.0.0.1/" FAKE_NAME "/0", &url, why, sizeof why), 0);
    lnt_options_default(&options);
    snprintf(options.session.initiator_name, sizeof options.session.initiator_name,
             "iqn.2026-01.com.example:host");
    if (tweak)
        tweak(&options);
    assert_int_equal(lnt_client_new(f->client_env ? f->client_env : sim_env(f->world), f->client_io, &url,
                                    &options, &client),
                     0);
    return client;
}

#endif
