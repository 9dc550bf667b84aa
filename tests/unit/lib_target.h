/* A small target on a simulated network, for tests of the initiator library: logs anybody in, keeps 64 KiB of
 * blocks, and misbehaves on request. One command per PDU: writes must come as immediate data. */
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
#define FAKE_CONNS  64
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
    bool up;
    uint32_t stat_sn, exp_cmd_sn;
    bool closing; /* ends when nothing is in flight */
};

struct fake {
    struct sim_world *world;
    struct io *io, *client_io; /* the target's and the client's reactors */
    io_handle listener;
    struct io_addr addr;
    struct io_op accept_op;
    struct fake_conn *conns[FAKE_CONNS];
    int conn_count;
    uint8_t blocks[FAKE_BLOCKS * FAKE_BLOCK];
    /* counts */
    int logins, commands, logouts, texts, tmf_abort, tmf_reset;
    /* knobs */
    uint8_t login_class, login_detail; /* answered instead of success while login_refusals > 0 */
    int login_refusals;
    const char *redirect; /* answered once */
    bool mute_commands, mute_tmf, mute_nop, mute_logout, mute_login;
    uint8_t tmf_response;
    int bad_statuses; /* this many commands end with bad_status */
    uint8_t bad_status, bad_key;
    int cut_at_command;  /* the connection ends when this one arrives (counted from 1; 0: never) */
    int cut_every;       /* and again after so many more; 0: not again */
    bool announce_drops; /* cuts are announced: AsyncEvent 2, come back after three seconds */
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
        pdu.exp_cmd_sn = (c)->exp_cmd_sn;                                                                    \
        pdu.max_cmd_sn = (c)->exp_cmd_sn + 31;                                                               \
        pdu.stat_sn = (c)->stat_sn++;                                                                        \
        fields;                                                                                              \
        pdu_##type##_encode(&pdu, answer_bhs);                                                               \
        fake_put(c, answer_bhs, data, len);                                                                  \
    } while (0)

/* ---- what it answers ---- */

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
    if (f->redirect) {
        text_add(&w, "TargetAddress", f->redirect);
        f->redirect = NULL;
        FAKE_ANSWER(c, login_response,
                    (memcpy(pdu.isid, asked.isid, 6), pdu.status_class = 1, pdu.status_detail = 1), text,
                    (uint32_t)w.len);
        return;
    }
    if (f->login_refusals) {
        f->login_refusals--;
        FAKE_ANSWER(c, login_response,
                    (memcpy(pdu.isid, asked.isid, 6), pdu.status_class = f->login_class,
                     pdu.status_detail = f->login_detail),
                    NULL, 0);
        return;
    }
    text_parser_init(&parser, data, len, TEXT_VALUE_LEN_MAX);
    while (text_parser_next(&parser, &key, &value) == TEXT_PAIR)
        assert_int_equal(key_receive(&c->keys, key, value, &w), KEYS_OK);
    if (asked.csg == 1)
        key_offer_operational(&c->keys, &w);
    key_flush(&c->keys, &w);
    c->exp_cmd_sn = asked.cmd_sn;
    if (asked.transit) {
        assert_int_equal(key_conclude(&c->keys), KEYS_OK);
        key_set_stage(&c->keys, asked.nsg == 1 ? KEY_STAGE_OPERATIONAL : KEY_STAGE_FULL_FEATURE);
        c->up = asked.nsg == 3;
        f->logins += c->up;
    }
    FAKE_ANSWER(c, login_response,
                (memcpy(pdu.isid, asked.isid, 6), pdu.transit = asked.transit, pdu.csg = asked.csg,
                 pdu.nsg = asked.transit ? asked.nsg : 0, pdu.tsih = c->up ? 9 : 0),
                text, (uint32_t)w.len);
}

static inline void fake_command(struct fake_conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
    struct fake *f = c->fake;
    struct pdu_scsi_command asked;
    pdu_scsi_command_decode(bhs, &asked);
    c->exp_cmd_sn += !asked.immediate;
    f->commands++;
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
        uint8_t sense[20] = {0, 18, 0x70, 0, f->bad_key, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29};
        f->bad_statuses--;
        FAKE_ANSWER(c, scsi_response, pdu.status = f->bad_status, sense,
                    f->bad_status == 2 ? sizeof sense : 0);
        return;
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

static inline void fake_pdu(struct fake_conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
    struct fake *f = c->fake;
    switch (pdu_opcode(bhs)) {
    case PDU_OP_login_request:
        fake_login(c, bhs, data, len);
        break;
    case PDU_OP_scsi_command:
        fake_command(c, bhs, data, len);
        break;
    case PDU_OP_task_management_request:
        f->tmf_abort += (bhs[1] & 0x7f) == 1;
        f->tmf_reset += (bhs[1] & 0x7f) == 5;
        if (!f->mute_tmf)
            FAKE_ANSWER(c, task_management_response, pdu.response = f->tmf_response, NULL, 0);
        break;
    case PDU_OP_nop_out:
        if (!f->mute_nop && pdu_itt(bhs) != PDU_TAG_RESERVED)
            FAKE_ANSWER(c, nop_in, pdu.ttt = PDU_TAG_RESERVED, data, len);
        break;
    case PDU_OP_text_request:
        f->texts++;
        FAKE_ANSWER(c, text_response, (pdu.final = 1, pdu.ttt = PDU_TAG_RESERVED), f->targets,
                    f->targets_len);
        break;
    case PDU_OP_logout_request:
        f->logouts++;
        if (!f->mute_logout)
            FAKE_ANSWER(c, logout_response, (void)0, NULL, 0);
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
    struct fake *f = container_of(op, struct fake, accept_op);
    if (op->result < 0)
        return;
    assert_true(f->conn_count < FAKE_CONNS);
    struct fake_conn *c = f->conns[f->conn_count++] = calloc(1, sizeof *c);
    struct key_config config;
    assert_non_null(c);
    c->fake = f;
    c->open = true;
    c->sock = (io_handle)op->result;
    c->stat_sn = 100;
    key_config_default(&config);
    config.auth_methods = (struct key_choices){1, {KEY_AUTH_NONE}};
    config.header_digest = config.data_digest = (struct key_choices){1, {KEY_DIGEST_NONE}};
    config.immediate_data = true;
    config.max_recv_data_segment_length = 65536;
    key_negotiation_init(&c->keys, KEY_ROLE_TARGET, &config, true, NULL);
    fake_receive(c);
    io_accept(f->io, &f->accept_op, f->listener);
}

/* ---- life ---- */

static inline void fake_listen(struct fake *f)
{
    assert_int_equal(addr_parse("10.0.0.1:3260", 0, &f->addr), 0);
    assert_int_equal(io_listen(f->io, &f->addr, 8, &f->listener, &f->addr), 0);
    f->accept_op.done = fake_accepted;
    io_accept(f->io, &f->accept_op, f->listener);
}
static inline struct fake *fake_new(uint64_t seed, const struct sim_options *options)
{
    static const struct sim_options quiet;
    struct fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(sim_world_new(env_host(), seed, options ? options : &quiet, &f->world), 0);
    assert_int_equal(sim_io_new(f->world, &f->io), 0);
    assert_int_equal(sim_io_new(f->world, &f->client_io), 0);
    f->listener = IO_NONE;
    return f;
}
/* Stops listening and drops all connections: a target that has gone away. */
static inline void fake_vanish(struct fake *f)
{
    if (f->listener != IO_NONE) {
        io_cancel(f->io, &f->accept_op);
        while (f->accept_op.busy)
            io_run(f->io, UINT64_MAX);
        io_close(f->io, f->listener);
        f->listener = IO_NONE;
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
    assert_int_equal(lnt_client_new(sim_env(f->world), f->client_io, &url, &options, &client), 0);
    return client;
}

#endif
