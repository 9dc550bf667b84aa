/* Goal: what is kept for retransmission, and what is remembered of ended tasks, is exactly what the requests
 * name and the limits allow. Method: SNACKs with every run of numbers within and around what was sent, held
 * against a plain model; limits at their value and one beyond; the session's sums when all is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target/iscsi/conn_internal.h"
#include "target_recovery.h"

#define SNACK_DATA     0
#define SNACK_STATUS   1
#define SNACK_DATA_ACK 2
#define SNACK_R_DATA   3
#define NO_TAG         PDU_TAG_RESERVED

static struct world w;
static struct client c, d;
static uint8_t buf[64 * 1024];
static uint32_t refused; /* which object of what is kept cannot be had, from 1; 0: all can */

static void *alloc(void *ctx, size_t size, size_t align)
{
    if (size == sizeof(struct kept) && refused && --refused == 0)
        return NULL;
    return world_alloc(ctx, size, align);
}

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    refused = 0;
    world_init(&w);
    world_recovers(&w);
    w.env.alloc = alloc;
    w.config->limits.nop_interval_ns = 0;
    pattern(w.rams[0].data, 1u << 20, 7);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    client_fini(&c);
    client_fini(&d);
    world_fini(&w);
    return 0;
}
static void login(int level, const char *keys)
{
    client_login_level(&c, level, keys);
    client_settle(&c, 0);
    client_settle(&c, 1);
    acknowledge_status(&c);
}
static struct tgt_session *session(void)
{
    return list_first(&w.r.sessions, struct tgt_session, node);
}
/* All commands are over and acknowledged: all sums are zero. */
static void nothing_is_left(void)
{
    const struct tgt_session *s = session();
    acknowledge_status(&c);
    assert_true(client_quiet(&c) && !c.closed);
    assert_int_equal(s->kept_bytes, 0);
    assert_int_equal(s->data_started, 0);
    assert_int_equal(s->active, 0);
    assert_int_equal(s->immediate_active, 0);
    assert_int_equal(s->tmf_count, 0);
    assert_true(list_empty(&s->tasks) && list_empty(&s->waiting) && list_empty(&s->held));
    assert_false(s->keep_waits);
    list_for_each(it, &s->conns)
    {
        const struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        assert_int_equal(conn->kept_count, 0);
        assert_true(list_empty(&conn->kept));
    }
}

/* ---- runs of numbers ---- */

/* The run that (beg, length) names of first .. next - 1. False: it has numbers outside. */
static bool run_model(uint32_t beg, uint32_t length, uint32_t first, uint32_t next, uint32_t *from,
                      uint32_t *to)
{
    *from = beg == 0 && length == 0 ? first : beg;
    *to = length ? *from + length : next;
    return *from >= first && *from <= *to && *to <= next;
}

static void runs_of_data(void **state)
{
    (void)state;
    login(1, "MaxRecvDataSegmentLength=512\nMaxBurstLength=1024\nFirstBurstLength=1024");
    uint32_t itt = read_send(&c, 0, 8), begin = c.exp_stat_sn, ttt = 0;
    for (uint32_t i = 0; i < 8; i++) {
        struct pdu_data_in in = expect_data_in(&c);
        assert_int_equal(in.acknowledge, i % 2 == 1 && i < 7);
        if (in.acknowledge)
            ttt = in.ttt;
    }
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &rsp);
    for (uint32_t acked = 0; acked <= 4; acked += 4) { /* not 256 Rejects: they are kept, too */
        if (acked)
            snack_send(&c, SNACK_DATA_ACK, NO_TAG, ttt, acked, 0);
        assert_true(client_quiet(&c));
        for (uint32_t beg = 0; beg < 10; beg++) {
            for (uint32_t length = 0; length < 10; length++) {
                uint32_t from, to;
                snack_send(&c, SNACK_DATA, itt, NO_TAG, beg, length);
                if (run_model(beg, length, acked, 8, &from, &to)) {
                    for (uint32_t sn = from; sn < to; sn++) {
                        assert_int_equal(expect_data_in(&c).data_sn, sn);
                        assert_int_equal(c.reply.len, 512);
                        assert_memory_equal(c.reply.data, w.rams[0].data + 512 * sn, 512);
                    }
                } else {
                    assert_int_equal(expect_reject(&c), 4);
                    c.exp_stat_sn = begin;
                }
                assert_true(client_quiet(&c));
            }
        }
    }
    c.exp_stat_sn = list_first(&session()->conns, struct tgt_conn, session_node)->stat_sn;
    nothing_is_left();
    PROVES("R7143-11.16-05", "target");
    PROVES("R7143-11.16-06", "target");
    PROVES("R7143-11.7.2-09", "target");
}

static void runs_of_status(void **state)
{
    (void)state;
    login(1, "");
    uint32_t first = c.exp_stat_sn, next = first;
    for (int i = 0; i < 4; i++) {
        struct pdu_scsi_command p = command(&c, false, false, 0);
        p.exp_stat_sn = first;
        command_send(&c, &p, NULL, 0);
        client_expect(&c, PDU_OP_scsi_response);
        next++;
    }
    for (uint32_t beg = first - 2; beg < first + 7; beg++) {
        for (uint32_t length = 0; length < 8; length++) {
            uint32_t from, to;
            snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, beg, length);
            if (run_model(beg, length, first, next, &from, &to)) {
                for (uint32_t sn = from; sn < to; sn++) {
                    struct reply *r = client_reply(&c);
                    assert_non_null(r);
                    assert_int_equal(be32_get(r->bhs + 24), sn);
                    assert_int_equal(pdu_opcode(r->bhs),
                                     sn < first + 4 ? PDU_OP_scsi_response : PDU_OP_reject);
                }
            } else {
                struct pdu_reject reject;
                pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &reject);
                assert_int_equal(reject.reason, 4);
                assert_int_equal(reject.stat_sn, next++); /* and is kept itself */
            }
            assert_true(client_quiet(&c));
        }
    }
    c.exp_stat_sn = next;
    nothing_is_left();
    PROVES("R7143-11.16-02", "target");
    PROVES("R7143-11.16-05", "target");
}

static void acknowledgements_of_data(void **state)
{
    (void)state;
    login(1, "MaxRecvDataSegmentLength=512\nMaxBurstLength=1024\nFirstBurstLength=1024");
    uint32_t itt = read_send(&c, 0, 8), begin = c.exp_stat_sn, ttt = 0;
    for (uint32_t i = 0; i < 8; i++) {
        struct pdu_data_in in = expect_data_in(&c);
        if (in.acknowledge)
            ttt = in.ttt;
    }
    client_expect(&c, PDU_OP_scsi_response);
    assert_int_equal(session()->kept_bytes, 4096);
    static const struct {
        int32_t tag; /* beside the right one */
        uint32_t beg, length, kept;
        uint8_t reject;
    } rows[] = {
        {0, 2, 1, 4096, 9},            /* has no run */
        {0, 9, 0, 4096, 4},            /* was not sent */
        {1, 2, 0, 4096, 0},            /* another tag of the task: of what is over */
        {0x7000 << 16, 2, 0, 4096, 9}, /* no task has that */
        {0, 3, 0, 4096 - 3 * 512, 0},
        {0, 2, 0, 4096 - 3 * 512, 0}, /* old news */
        {0, 3, 0, 4096 - 3 * 512, 0},
        {0, 4, 0, 4096 - 4 * 512, 0},
        {0, 8, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snack_send(&c, SNACK_DATA_ACK, NO_TAG, ttt + (uint32_t)rows[i].tag, rows[i].beg, rows[i].length);
        if (rows[i].reject)
            assert_int_equal(expect_reject(&c), rows[i].reject);
        c.exp_stat_sn = begin;
        assert_true(client_quiet(&c));
        assert_int_equal(session()->kept_bytes, rows[i].kept);
    }
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 0, 0);
    assert_true(client_quiet(&c)); /* all is acknowledged */
    c.exp_stat_sn = list_first(&session()->conns, struct tgt_conn, session_node)->stat_sn;
    nothing_is_left();
}

static void fields_of_r_data(void **state)
{
    (void)state;
    login(1, "InitialR2T=Yes\nMaxRecvDataSegmentLength=512");
    uint32_t begin = c.exp_stat_sn, itt = read_send(&c, 0, 2);
    expect_data_in(&c);
    expect_data_in(&c);
    client_expect(&c, PDU_OP_scsi_response);
    struct pdu_scsi_command p = write_command(&c, 100, 8);
    p.exp_stat_sn = begin;
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    const struct {
        uint32_t itt, ttt, beg, length;
    } rows[] = {{itt, 7, 1, 0},      {itt, 7, 0, 1},      {itt, 0, 0, 0},
                {itt, NO_TAG, 0, 0}, {itt + 77, 7, 0, 0}, {p.itt, 7, 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snack_send(&c, SNACK_R_DATA, rows[i].itt, rows[i].ttt, rows[i].beg, rows[i].length);
        assert_int_equal(expect_reject(&c), 9);
        c.exp_stat_sn = begin;
        assert_true(client_quiet(&c));
    }
    for (uint32_t tag = 1; tag < 3; tag++) {
        struct pdu_scsi_response rsp;
        snack_send(&c, SNACK_R_DATA, itt, tag, 0, 0);
        assert_int_equal(expect_data_in(&c).data_sn, 0);
        assert_int_equal(expect_data_in(&c).data_sn, 1);
        pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &rsp);
        assert_int_equal(rsp.snack_tag, tag);
        assert_int_equal(rsp.stat_sn, begin);
    }
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, buf, 4096);
    assert_int_equal(expect_response(&c).status, 0);
    nothing_is_left();
}

/* ---- data that is cut short ---- */

/* The answer to a read that ended within its first sequence, from `at` on: data of two PDUs of 4096 bytes,
 * the empty one that ends the sequence, and a status that counts them all. */
static struct pdu_scsi_response expect_short(struct client *who, uint32_t itt, uint32_t at, uint32_t segment,
                                             uint32_t sn)
{
    for (; at < 8192; at += segment) {
        struct pdu_data_in in = expect_data_in(who);
        assert_int_equal(in.data_sn, sn++);
        assert_int_equal(in.buffer_offset, at);
        assert_int_equal(who->reply.len, segment);
        assert_false(in.final);
        assert_memory_equal(who->reply.data, w.rams[0].data + at, segment);
    }
    struct pdu_data_in end = expect_data_in(who);
    assert_int_equal(end.data_sn, sn++);
    assert_int_equal(end.buffer_offset, 8192);
    assert_int_equal(end.itt, itt);
    assert_int_equal(who->reply.len, 0);
    assert_true(end.final && !end.acknowledge && !end.has_status);
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(client_expect(who, PDU_OP_scsi_response)->bhs, &rsp);
    assert_int_equal(rsp.itt, itt);
    assert_int_equal(rsp.status, 8);
    assert_int_equal(rsp.exp_data_sn, sn);
    return rsp;
}

/* There is no memory to keep the third PDU. */
static uint32_t read_cut_short(int level)
{
    struct list_node *node;
    login(level, "MaxRecvDataSegmentLength=4096\nMaxBurstLength=16384\nFirstBurstLength=16384");
    while ((node = list_pop_front(&w.r.free_kept)) != NULL) {
        env_free(&w.env, list_entry(node, struct kept, node));
        w.r.kept_allocated--;
    }
    refused = 3;
    uint32_t itt = read_send(&c, 0, 64);
    assert_int_equal(refused, 0);
    expect_short(&c, itt, 0, 4096, 0);
    return itt;
}

static void the_end_of_what_was_cut_short_is_sent_again(void **state)
{
    (void)state;
    uint32_t itt = read_cut_short(1), begin = c.exp_stat_sn;
    for (uint32_t sn = 0; sn < 3; sn++) {
        snack_send(&c, SNACK_DATA, itt, NO_TAG, sn, 1);
        struct pdu_data_in in = expect_data_in(&c);
        assert_int_equal(in.data_sn, sn);
        assert_int_equal(in.buffer_offset, sn * 4096);
        assert_int_equal(in.final, sn == 2);
        assert_int_equal(c.reply.len, sn < 2 ? 4096 : 0);
        assert_true(client_quiet(&c));
    }
    snack_send(&c, SNACK_R_DATA, itt, 77, 0, 0);
    assert_int_equal(expect_short(&c, itt, 0, 4096, 0).snack_tag, 77);
    c.exp_stat_sn = begin + 1;
    nothing_is_left();
    PROVES("R7143-7.1.3-02", "target");
}

static void what_was_cut_short_is_reassigned_with_its_end(void **state)
{
    for (uint32_t stated = 0; stated < 4; stated++) {
        if (stated) {
            teardown(state);
            setup(state);
        }
        uint32_t itt = read_cut_short(2);
        client_join(&d, &c, 2, "MaxRecvDataSegmentLength=2048");
        client_cut(&c);
        client_expect(&d, PDU_OP_async_message); /* tells of it */
        d.exp_stat_sn++;
        assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
        assert_int_equal(reassign(&d, itt, stated), 0);
        if (stated < 3) {
            expect_short(&d, itt, stated * 4096, 2048, stated);
        } else { /* only the status is missing */
            struct pdu_scsi_response rsp = expect_response(&d);
            assert_int_equal(rsp.status, 8);
            assert_int_equal(rsp.exp_data_sn, 3);
        }
        assert_true(client_quiet(&d));
    }
    PROVES("R7143-11.4.8-01", "target");
}

/* ---- level 0 ---- */

/* At level 0 a SNACK for data ends the command it speaks of, on its own connection; no other one does. */
static void level_zero_ends_what_misses_data(void **state)
{
    for (uint8_t type = 0; type < 4; type++) {
        for (int other = 0; other < 2; other++) {
            teardown(state);
            setup(state);
            login(0, "");
            client_join(&d, &c, 2, "");
            w.delay = true;
            uint32_t itt = read_send(&c, 0, 1);
            struct client *who = other ? &d : &c;
            uint64_t snacks = w.r.counters.snacks;
            snack_send(who, type, type == 0 || type == 3 ? itt : NO_TAG, type > 1 ? 5 : NO_TAG, 0, 0);
            assert_int_equal(w.r.counters.snacks, snacks + 1);
            assert_int_equal(expect_reject(who), 3);
            w.delay = false;
            world_release(&w);
            if (!other && (type == 0 || type == 3)) {
                assert_int_equal(expect_response(&c).status, 2);
                assert_true(sense_is(&c, 0x0b, 0x11, 0x13));
            } else {
                read_collect(&c, buf, 512);
            }
            assert_true(client_quiet(&c) && client_quiet(&d));
        }
    }
    PROVES("R7143-7.8-09", "target");
}

/* ---- how much ---- */

static void statuses_are_counted_exactly(void **state)
{
    (void)state;
    login(1, "");
    for (uint32_t i = 0; i < 3 * TGT_KEPT_STATUS_ASK; i++) /* each is acknowledged by the next */
        client_settle(&c, 0);
    nothing_is_left();
    uint32_t begin = c.exp_stat_sn, asked = 0;
    for (uint32_t i = 1; i <= TGT_KEPT_STATUS_MAX; i++) {
        struct pdu_scsi_command p = command(&c, false, false, 0);
        p.exp_stat_sn = begin;
        command_send(&c, &p, NULL, 0);
        struct reply *r = client_reply(&c);
        bool ask = false;
        while (r) {
            ask |= pdu_opcode(r->bhs) == PDU_OP_nop_in;
            r = client_reply(&c);
        }
        if (ask && !asked)
            assert_int_equal(i, TGT_KEPT_STATUS_ASK);
        asked += ask;
        assert_false(c.closed);
    }
    assert_true(asked > 0);
    assert_int_equal(list_first(&session()->conns, struct tgt_conn, session_node)->kept_count,
                     TGT_KEPT_STATUS_MAX);
    struct pdu_scsi_command p = command(&c, false, false, 0); /* one too many */
    p.exp_stat_sn = begin;
    command_send(&c, &p, NULL, 0);
    assert_true(c.closed);
}

/* Statuses are asked after by a ping with the StatSN behind all of them: it leaves after the last one, or
 * that one looks lost to the initiator. */
static void the_ping_follows_the_status_that_it_asks_after(void **state)
{
    (void)state;
    login(1, "");
    uint32_t begin = c.exp_stat_sn;
    for (uint32_t i = 0; i < TGT_KEPT_STATUS_ASK; i++) {
        struct pdu_scsi_command p = command(&c, false, false, 0);
        p.exp_stat_sn = begin;
        command_send(&c, &p, NULL, 0);
        assert_int_equal(expect_response(&c).stat_sn, begin + i);
    }
    struct pdu_nop_in in;
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
    assert_int_equal(in.itt, NO_TAG);
    assert_int_equal(in.stat_sn, begin + TGT_KEPT_STATUS_ASK);
    assert_true(client_quiet(&c));
    nothing_is_left();
    PROVES("R7143-11.19.2-01", "target");
}

static void data_is_kept_up_to_its_limit(void **state)
{
    (void)state;
    login(1, "MaxRecvDataSegmentLength=262144\nMaxBurstLength=1048576");
    uint32_t begin = c.exp_stat_sn, sizes[] = {BLOCKS - 1, 1, 1}; /* blocks: 8 MiB but for one */
    for (int i = 0; i < 3; i++) {
        struct pdu_scsi_command p = command(&c, true, false, sizes[i] * BLOCK);
        p.exp_stat_sn = begin;
        cdb_rw(p.cdb, false, 0, (uint16_t)sizes[i]);
        command_send(&c, &p, NULL, 0);
        uint64_t got = 0;
        struct reply *r;
        while ((r = client_reply(&c)) != NULL && pdu_opcode(r->bhs) == PDU_OP_data_in)
            got += r->len;
        assert_non_null(r);
        if (i < 2) {
            assert_int_equal(got, sizes[i] * BLOCK);
            assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
        } else {
            assert_int_equal(got, 0);
            assert_int_equal(pdu_opcode(r->bhs), PDU_OP_nop_in);
        }
        assert_true(client_quiet(&c));
        assert_int_equal(session()->kept_bytes, i ? 8u << 20 : (8u << 20) - BLOCK);
    }
    c.exp_stat_sn = begin + 1; /* the first */
    acknowledge_status(&c);
    expect_data_in(&c);
    assert_int_equal(expect_response(&c).status, 0);
    nothing_is_left();
}

/* ---- what is remembered of ended tasks ---- */

static void tags_of_ended_tasks_are_remembered_up_to_a_limit(void **state)
{
    (void)state;
    login(0, "InitialR2T=No\nImmediateData=No\nFirstBurstLength=4096");
    uint32_t tags[TGT_RETIRED_MAX + 3];
    for (uint32_t i = 0; i < TGT_RETIRED_MAX + 3; i++) {
        struct pdu_scsi_command p = write_command(&c, 0, 8);
        p.final = 0;
        tags[i] = p.itt;
        command_send(&c, &p, NULL, 0);
        tmf_do(&c, 1, 0, p.itt, p.cmd_sn);
    }
    for (uint32_t i = 0; i < TGT_RETIRED_MAX + 3; i++) {
        struct pdu_data_out out = data_out(tags[i], NO_TAG, 0, 0, true);
        data_out_send(&c, &out, buf, 4096);
        if (i < 3)
            assert_int_equal(expect_reject(&c), 9);
        assert_true(client_quiet(&c));
    }
    nothing_is_left();
}

/* ---- data under way ---- */

/* A task counts with what it can have in buffers at once, a new one with all that it announces: 24 of 1 MiB
 * and one of 8 are 32. */
static void a_session_has_32_mib_under_way(void **state)
{
    for (int write = 0; write < 2; write++) {
        teardown(state);
        setup(state);
        login(0, "InitialR2T=Yes\nImmediateData=No\nMaxRecvDataSegmentLength=262144\nMaxBurstLength=262144");
        w.delay = true;
        uint32_t r2ts = 0;
        struct reply *r;
        for (uint32_t i = 0; i < 30; i++) {
            struct pdu_scsi_command p = command(&c, !write, write, 8u << 20);
            cdb_rw(p.cdb, write, 0, BLOCKS);
            command_send(&c, &p, NULL, 0);
            assert_int_equal(session()->data_started, (i < 25 ? i + 1 : 25) << 20);
        }
        while ((r = client_reply(&c)) != NULL)
            r2ts += pdu_opcode(r->bhs) == PDU_OP_r2t;
        assert_int_equal(r2ts, write ? 25 : 0);
        if (write)
            continue;
        w.delay = false;
        world_release(&w);
        uint32_t over = 0;
        while ((r = client_reply(&c)) != NULL) {
            struct pdu_data_in in;
            assert_int_equal(pdu_opcode(r->bhs), PDU_OP_data_in);
            pdu_data_in_decode(r->bhs, &in);
            if (in.has_status) {
                over++;
                c.exp_stat_sn = in.stat_sn + 1;
            }
        }
        assert_int_equal(over, 30);
        nothing_is_left();
    }
}

/* The smaller ones count as they are. */
static void small_commands_count_as_they_are(void **state)
{
    (void)state;
    login(0, "InitialR2T=Yes\nImmediateData=No\nMaxRecvDataSegmentLength=262144");
    static const uint32_t sizes[] = {512, (1u << 20) - 512, 1u << 20, (1u << 20) + 512};
    uint64_t sum = 0;
    w.delay = true;
    for (int i = 0; i < 8; i++) {
        uint32_t bytes = sizes[i % 4];
        struct pdu_scsi_command p = command(&c, i < 4, i >= 4, bytes);
        cdb_rw(p.cdb, i >= 4, 0, (uint16_t)(bytes / BLOCK));
        command_send(&c, &p, NULL, 0);
        sum += bytes < 1u << 20 ? bytes : 1u << 20;
        assert_int_equal(session()->data_started, sum);
        assert_int_equal(session()->active, i + 1);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(runs_of_data),
        T(runs_of_status),
        T(acknowledgements_of_data),
        T(fields_of_r_data),
        T(the_end_of_what_was_cut_short_is_sent_again),
        T(what_was_cut_short_is_reassigned_with_its_end),
        T(level_zero_ends_what_misses_data),
        T(statuses_are_counted_exactly),
        T(the_ping_follows_the_status_that_it_asks_after),
        T(data_is_kept_up_to_its_limit),
        T(tags_of_ended_tasks_are_remembered_up_to_a_limit),
        T(a_session_has_32_mib_under_way),
        T(small_commands_count_as_they_are),
    };
#undef T
    return cmocka_run_group_tests_name("target_kept", tests, NULL, NULL);
}
