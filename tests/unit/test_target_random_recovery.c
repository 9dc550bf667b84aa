/* Recovery at level 2 under chance: one initiator with two connections reads and writes and checks every
 * byte, while data is damaged, Data-In, R2T answers and responses are lost, and transports are cut at any
 * step. Method: seeded; after each loss the initiator does what the RFC asks of it (SNACK, recovery logout or
 * reinstatement, TASK REASSIGN), and every command has to end GOOD, exactly once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "target_recovery.h"

#define NO_TAG PDU_TAG_RESERVED
#define REGION (64u * BLOCK)
#define KEYS                                                                                                 \
    "DataDigest=CRC32C\nMaxRecvDataSegmentLength=2048\nMaxBurstLength=4096\nFirstBurstLength=2048\n"         \
    "InitialR2T=No\nImmediateData=Yes"
#define JOIN_KEYS "DataDigest=CRC32C\nMaxRecvDataSegmentLength=2048"

static struct world w;
static struct client conns[2];
static uint8_t disk[REGION], in[REGION];

struct op {
    struct client *c;
    uint32_t which, itt, at, len;
    bool write, done;
    bool got[64];  /* Data-In by DataSN */
    uint32_t next; /* R2TSN expected */
    uint32_t stat_sn;
};

static uint32_t rnd(uint32_t n)
{
    return (uint32_t)(world_random(&w) % n);
}

/* The first number that is missing. */
static uint32_t missing(const struct op *op)
{
    uint32_t sn = 0;
    while (op->got[sn])
        sn++;
    return sn;
}

/* The connection breaks; a new one takes its place, or the other one asks for the task. */
static void break_and_recover(struct op *op)
{
    struct client *c = op->c, *other = &conns[!op->which];
    struct client old = *c;
    client_cut(c);
    free(c->in);
    free(c->out);
    free(c->reply.data);
    if (rnd(3) == 0) { /* goes on at once on the other one */
        while (!client_quiet(other))
            other->exp_stat_sn = be32_get(client_reply(other)->bhs + 24) + 1; /* it has been told */
        other->cmd_sn = old.cmd_sn;
        other->itt = old.itt + 9000; /* tags are the session's */
        assert_int_equal(logout_of(other, 2, old.cid).response, 0);
        client_join(c, &old, old.cid, JOIN_KEYS);
        op->c = other;
        op->which = !op->which;
    } else {
        client_join(c, &old, old.cid, JOIN_KEYS);
    }
    uint32_t from = op->write ? op->next : missing(op);
    memset(op->got + from, 0, sizeof op->got - from);
    if (rnd(2)) { /* before or after the store has answered */
        w.delay = false;
        world_release(&w);
    }
    op->c->cmd_sn = old.cmd_sn;
    while (!client_quiet(op->c))
        op->c->exp_stat_sn = be32_get(client_reply(op->c)->bhs + 24) + 1;
    op->c->itt = old.itt + 5000;
    assert_int_equal(reassign(op->c, op->itt, from), 0);
    op->c->itt = old.itt;
}

/* Data from..to of a write, in pieces; false: the connection broke in between. */
static bool send_data(struct op *op, uint32_t ttt, uint32_t from, uint32_t to)
{
    for (uint32_t sn = 0; from < to; sn++) {
        uint32_t len = 512u * (1 + rnd(3));
        if (len > to - from)
            len = to - from;
        struct pdu_data_out out = data_out(op->itt, ttt, sn, from, from + len == to);
        out.exp_stat_sn = op->c->exp_stat_sn;
        if (rnd(12) == 0)
            data_out_damaged(op->c, &out, disk + op->at + from, len);
        else
            data_out_send(op->c, &out, disk + op->at + from, len);
        from += len;
        if (rnd(25) == 0) {
            break_and_recover(op);
            return false;
        }
    }
    return true;
}

static void on_data_in(struct op *op, const struct reply *r)
{
    struct pdu_data_in p;
    pdu_data_in_decode(r->bhs, &p);
    assert_int_equal(p.itt, op->itt);
    assert_true(p.data_sn < 64 && p.buffer_offset + r->len <= op->len);
    if (rnd(10) == 0)
        return; /* lost */
    memcpy(in + p.buffer_offset, r->data, r->len);
    op->got[p.data_sn] = true;
    if (p.acknowledge && missing(op) > p.data_sn)
        snack_send(op->c, 2, NO_TAG, p.ttt, missing(op), 0);
}

static void on_response(struct op *op, const struct reply *r)
{
    struct pdu_scsi_response p;
    pdu_scsi_response_decode(r->bhs, &p);
    assert_int_equal(p.itt, op->itt);
    assert_int_equal(p.status, 0);
    if (rnd(8) == 0) { /* lost: it is asked for again */
        snack_send(op->c, 1, NO_TAG, NO_TAG, p.stat_sn, 1);
        return;
    }
    uint32_t first = missing(op), end = first;
    if (!op->write && first < p.exp_data_sn) {
        while (end < p.exp_data_sn && !op->got[end])
            end++;
        snack_send(op->c, 0, op->itt, NO_TAG, first, end - first);
        snack_send(op->c, 1, NO_TAG, NO_TAG, p.stat_sn, 1); /* and look again behind it */
        return;
    }
    op->c->exp_stat_sn = p.stat_sn + 1;
    op->done = true;
}

static void on_reply(struct op *op, const struct reply *r)
{
    switch (pdu_opcode(r->bhs)) {
    case PDU_OP_r2t: {
        struct pdu_r2t p;
        pdu_r2t_decode(r->bhs, &p);
        assert_int_equal(p.r2t_sn, op->next);
        op->next++;
        send_data(op, p.ttt, p.buffer_offset, p.buffer_offset + p.desired_data_transfer_length);
        break;
    }
    case PDU_OP_data_in:
        on_data_in(op, r);
        break;
    case PDU_OP_scsi_response:
        on_response(op, r);
        break;
    case PDU_OP_reject:
        assert_int_equal(r->bhs[2], 2); /* of damaged data */
        break;
    case PDU_OP_async_message:
    case PDU_OP_nop_in:
        break;
    default:
        fail_msg("%s", pdu_name(pdu_opcode(r->bhs)));
    }
}

static void begin(struct op *op)
{
    struct pdu_scsi_command p = command(op->c, !op->write, op->write, op->len);
    cdb_rw(p.cdb, op->write, op->at / BLOCK, (uint16_t)(op->len / BLOCK));
    op->itt = p.itt;
    if (!op->write) {
        command_send(op->c, &p, NULL, 0);
        return;
    }
    pattern(disk + op->at, op->len, (uint32_t)world_random(&w));
    uint32_t first = op->len < 2048 ? op->len : 2048, now = rnd(2) ? 512 : 0;
    p.final = rnd(2) || now == first;
    command_send(op->c, &p, disk + op->at, now);
    if (!p.final)
        send_data(op, NO_TAG, now, first);
}

static void one(uint32_t number)
{
    struct op op = {.which = rnd(2), .write = rnd(2), .at = rnd(32) * BLOCK, .len = (1 + rnd(32)) * BLOCK};
    struct reply *r;
    op.c = &conns[op.which];
    op.c->cmd_sn = conns[!op.which].cmd_sn =
        op.c->cmd_sn > conns[!op.which].cmd_sn ? op.c->cmd_sn : conns[!op.which].cmd_sn;
    op.c->itt = 1000 + number;
    w.delay = rnd(2);
    begin(&op);
    for (uint32_t idle = 0; !op.done && idle < 100;) {
        if (rnd(20) == 0)
            break_and_recover(&op);
        r = client_reply(op.c);
        if (r) {
            on_reply(&op, r);
        } else {
            w.delay = false;
            world_release(&w);
            idle++;
        }
    }
    assert_true(op.done);
    conns[!op.which].cmd_sn = op.c->cmd_sn;
    if (!op.write)
        assert_memory_equal(in, disk + op.at, op.len);
    else
        assert_memory_equal(w.rams[0].data + op.at, disk + op.at, op.len);
}

static void every_command_ends_good_whatever_is_lost(void **state)
{
    (void)state;
    const char *env = getenv("RECOVERY_SEED");
    uint64_t first = env ? strtoull(env, NULL, 0) : 1, last = env ? first + 1 : 41;
    uint64_t reassigned = 0, snacks = 0, again = 0;
    for (uint64_t seed = first; seed < last; seed++) {
        world_init(&w);
        w.seed = seed * 7919;
        world_recovers(&w);
        world_start(&w);
        memset(conns, 0, sizeof conns);
        memset(disk, 0, sizeof disk);
        client_init(&conns[0], &w);
        client_login_level(&conns[0], 2, KEYS);
        client_settle(&conns[0], 0);
        client_join(&conns[1], &conns[0], 2, JOIN_KEYS);
        for (uint32_t i = 0; i < 60; i++)
            one(i);
        assert_memory_equal(w.rams[0].data, disk, sizeof disk);
        reassigned += w.r.counters.reassigned;
        snacks += w.r.counters.snacks;
        again += w.r.counters.recovery_r2ts;
        w.delay = false;
        world_release(&w);
        world_pass(&w, 60 * SECOND_NS); /* nothing is left to wait for */
        assert_int_equal(w.downs, 0);
        for (int i = 0; i < 2; i++)
            client_fini(&conns[i]);
        world_fini(&w);
    }
    assert_true(env || (reassigned > 100 && snacks > 100 && again > 30));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_command_ends_good_whatever_is_lost)};
    return cmocka_run_group_tests_name("target_random_recovery", tests, NULL, NULL);
}
