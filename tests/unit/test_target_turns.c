/* Goal: who has to wait, waits, and nobody else: commands and first bursts that come before their turn,
 * requests for data, what a task management function holds up, what a response fence lets pass. Method: raw
 * initiators on one or two connections; first bursts go through a table of ways to be wrong, at level 0 and
 * above. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target/iscsi/conn_internal.h"
#include "target_recovery.h"

#define NO_TAG PDU_TAG_RESERVED

static struct world w;
static struct client c, d;
static uint8_t buf[64 * 1024], want[64 * 1024];
static bool poor; /* no new buffers from the heap */

static void *alloc(void *ctx, size_t size, size_t align)
{
    return poor && size == sizeof(struct chunk) ? NULL : world_alloc(ctx, size, align);
}

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    poor = false;
    world_init(&w);
    world_recovers(&w);
    w.env.alloc = alloc;
    w.config->limits.nop_interval_ns = 0;
    for (uint32_t i = 0; i < w.config->target_count; i++)
        w.config->targets[i].keys.task_reporting =
            (struct key_choices){2, {KEY_TASK_REPORTING_RESPONSE_FENCE, KEY_TASK_REPORTING_RFC3720}};
    world_start(&w);
    client_init(&c, &w);
    pattern(want, sizeof want, 9);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    poor = false;
    client_fini(&c);
    client_fini(&d);
    world_fini(&w);
    return 0;
}
static void anew(void **state)
{
    teardown(state);
    setup(state);
}
static void login(int level, const char *keys)
{
    client_login_level(&c, level, keys);
    client_settle(&c, 0);
    client_settle(&c, 1);
    acknowledge_status(&c);
}
static void expect_status(struct client *who, uint32_t itt, uint8_t status)
{
    struct pdu_scsi_response rsp = expect_response(who);
    assert_int_equal(rsp.itt, itt);
    assert_int_equal(rsp.status, status);
}

/* The request that was missing: a ping, which is answered on the spot. */
static uint32_t skip_one(void)
{
    return c.cmd_sn++;
}
static void turn_comes(uint32_t cmd_sn)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_nop_out p;
    pdu_nop_out_init(&p);
    p.itt = c.itt++;
    p.cmd_sn = cmd_sn;
    p.exp_stat_sn = c.exp_stat_sn;
    pdu_nop_out_encode(&p, bhs);
    client_send(&c, bhs, NULL, 0);
    client_expect(&c, PDU_OP_nop_in);
    c.exp_stat_sn++;
}

/* ---- first bursts of commands whose turn has not come ---- */

#define BURST_KEYS "InitialR2T=No\nImmediateData=Yes\nDataDigest=CRC32C\nFirstBurstLength=4096"

struct step {
    uint32_t sn, offset, len;
    bool final, damaged;
};
static const struct wrong {
    struct step steps[4];
    uint32_t good;     /* bytes of the first burst that are good, 1024 of immediate data included */
    uint8_t asc, ascq; /* the end at level 0; 0: good */
    bool lost;         /* at level 1 the rest is asked for */
} wrongs[] = {
    {{{0, 1024, 3072, true, false}}, 4096, 0, 0, false},
    {{{0, 1024, 1024, false, false}, {1, 2048, 2048, true, false}}, 4096, 0, 0, false},
    {{{0, 1024, 3072, false, false}, {1, 4096, 0, true, false}}, 4096, 0, 0, false},
    {{{0, 1024, 3071, true, false}}, 4095, 0x0c, 0x0d, false}, /* less than was announced */
    {{{1, 1024, 3072, true, false}}, 1024, 0x47, 0x05, true},
    {{{0, 1024, 1024, false, false}, {2, 2048, 2048, true, false}}, 2048, 0x47, 0x05, true},
    {{{0, 1024, 1024, false, false}, {0, 2048, 2048, true, false}}, 2048, 0x47, 0x05, true},
    {{{0, 1028, 3068, true, false}}, 1024, 0x47, 0x05, true},
    {{{0, 1020, 3072, true, false}}, 1024, 0x47, 0x05, true},
    {{{0, 1024, 3076, true, false}}, 1024, 0x47, 0x05, true}, /* more than was announced */
    {{{0, 1024, 2048, false, false}, {1, 3072, 1028, true, false}}, 3072, 0x47, 0x05, true},
    {{{0, 1024, 1024, false, false}, {1, 2048, 2048, true, true}}, 2048, 0x47, 0x05, true},
    /* what follows a lost one is lost with it, fits as it may */
    {{{1, 1024, 1024, false, false}, {0, 1024, 3072, true, false}}, 1024, 0x47, 0x05, true},
};

static void first_burst(uint32_t itt, const struct wrong *wrong)
{
    for (const struct step *s = wrong->steps;; s++) {
        struct pdu_data_out out = data_out(itt, NO_TAG, s->sn, s->offset, s->final);
        if (s->damaged)
            data_out_damaged(&c, &out, want + s->offset, s->len);
        else
            data_out_send(&c, &out, want + s->offset, s->len);
        assert_true(client_quiet(&c));
        if (s->final)
            return;
    }
}

static void first_bursts_before_their_turn(void **state)
{
    for (int level = 0; level < 2; level++) {
        for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
            const struct wrong *wrong = &wrongs[i];
            anew(state);
            login(level, BURST_KEYS);
            uint32_t missing = skip_one();
            struct pdu_scsi_command second = write_command(&c, 0, 16);
            second.final = 0;
            uint64_t before = w.r.counters.write_bytes;
            command_send(&c, &second, want, 1024);
            first_burst(second.itt, wrong);
            assert_int_equal(w.r.counters.write_bytes, before);
            turn_comes(missing);
            assert_int_equal(w.r.counters.write_bytes, before + wrong->good);
            if (wrong->asc && !(level && wrong->lost)) {
                expect_status(&c, second.itt, 2);
                assert_true(sense_is(&c, 0x0b, wrong->asc, wrong->ascq));
                assert_true(client_quiet(&c));
                assert_int_equal(w.rams[0].data[0], 0);
                continue;
            }
            struct pdu_r2t r2t = expect_r2t(&c);
            assert_int_equal(r2t.buffer_offset, wrong->good);
            assert_int_equal(r2t.desired_data_transfer_length, 8192 - wrong->good);
            struct pdu_data_out out = data_out(second.itt, r2t.ttt, 0, wrong->good, true);
            data_out_send(&c, &out, want + wrong->good, 8192 - wrong->good);
            expect_status(&c, second.itt, 0);
            assert_memory_equal(w.rams[0].data, want, 8192);
            assert_true(client_quiet(&c));
        }
    }
    PROVES("R7143-7.8-03", "target");
}

/* Without room for it the first burst is dropped, and the command fails when its turn comes. */
static void a_first_burst_without_room_is_lost(void **state)
{
    for (int level = 0; level < 2; level++) {
        anew(state);
        login(level, BURST_KEYS);
        uint32_t missing = skip_one();
        struct pdu_scsi_command second = write_command(&c, 0, 16);
        second.final = 0;
        struct chunk *receive = pool_get(w.pool, TGT_CHUNK_LEN), *next = pool_get(w.pool, TGT_CHUNK_LEN);
        pool_trim(w.pool, 0);
        chunk_unref(receive);
        poor = true;
        command_send(&c, &second, NULL, 0);
        poor = false;
        chunk_unref(next);
        struct pdu_data_out out = data_out(second.itt, NO_TAG, 0, 0, true);
        data_out_send(&c, &out, want, 4096);
        turn_comes(missing);
        expect_status(&c, second.itt, 2);
        assert_true(sense_is(&c, 0x0b, 0x47, 0x05));
        assert_true(client_quiet(&c) && !c.closed);
        assert_int_equal(w.rams[0].data[0], 0);
    }
}

/* A Data-Out that is on its way while its command's turn comes. */
static size_t begin_data(struct client *who, const struct pdu_data_out *out, const uint8_t *data,
                         uint32_t len)
{
    uint8_t bhs[PDU_BHS_LEN];
    pdu_data_out_encode(out, bhs);
    client_queue_ahs(who, bhs, "", 0, data, len);
    size_t whole = who->out_len;
    who->out_len -= len / 2;
    client_push(who);
    return whole;
}

static void data_may_be_under_way_when_its_turn_comes(void **state)
{
    (void)state;
    login(0, "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=4096");
    client_join(&d, &c, 2, "");
    uint32_t missing = skip_one();
    struct pdu_scsi_command second = write_command(&c, 0, 8);
    second.itt = d.itt++;
    second.exp_stat_sn = d.exp_stat_sn;
    second.final = 0;
    command_send(&d, &second, want, 512);
    struct pdu_data_out out = data_out(second.itt, NO_TAG, 0, 512, true);
    size_t whole = begin_data(&d, &out, want + 512, 3584);
    turn_comes(missing);
    assert_true(client_quiet(&d));
    d.out_len = whole;
    client_push(&d);
    expect_status(&d, second.itt, 0);
    assert_memory_equal(w.rams[0].data, want, 4096);
    PROVES("R7143-4.2.2.1-07", "target");
}

/* Nothing had asked for it when its header came, so its bytes were dropped; that its tag has been given out
 * since then does not bring them back. */
static void dropped_data_does_not_count(void **state)
{
    for (int level = 0; level < 2; level++) {
        anew(state);
        login(level, "InitialR2T=Yes\nImmediateData=No");
        client_join(&d, &c, 2, "");
        struct pdu_scsi_command p = write_command(&c, 0, 8);
        p.itt = d.itt++;
        p.exp_stat_sn = d.exp_stat_sn;
        command_send(&d, &p, NULL, 0);
        struct pdu_r2t r2t = expect_r2t(&d);
        struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
        data_out_send(&d, &out, buf, 4096);
        expect_status(&d, p.itt, 0);
        acknowledge_status(&d); /* the object is free: the next tag is known */
        uint32_t missing = skip_one();
        p = write_command(&c, 0, 8);
        p.itt = d.itt++;
        p.exp_stat_sn = d.exp_stat_sn;
        command_send(&d, &p, NULL, 0);
        out = data_out(p.itt, r2t.ttt + 4, 0, 0, true);
        size_t whole = begin_data(&d, &out, want, 4096);
        turn_comes(missing);
        r2t = expect_r2t(&d);
        assert_int_equal(r2t.ttt, out.ttt);
        d.out_len = whole;
        client_push(&d);
        if (level == 0) {
            expect_status(&d, p.itt, 2);
            assert_true(sense_is(&d, 0x0b, 0x47, 0x05));
        } else {
            r2t = expect_r2t(&d);
            assert_int_equal(r2t.buffer_offset, 0);
            assert_int_equal(r2t.desired_data_transfer_length, 4096);
            out = data_out(p.itt, r2t.ttt, 0, 0, true);
            data_out_send(&d, &out, want, 4096);
            expect_status(&d, p.itt, 0);
            assert_memory_equal(w.rams[0].data, want, 4096);
        }
        assert_true(client_quiet(&d));
    }
}

/* Unsolicited data that was given up may come once; after its last PDU it is unexpected. */
static void late_data_ends_with_its_last_pdu(void **state)
{
    (void)state;
    login(1, "InitialR2T=No\nImmediateData=No\nFirstBurstLength=4096");
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    p.final = 0;
    command_send(&c, &p, NULL, 0);
    world_pass(&w, 10 * SECOND_NS);
    struct pdu_r2t r2t = expect_r2t(&c);
    struct pdu_data_out out = data_out(p.itt, NO_TAG, 0, 0, false);
    data_out_send(&c, &out, buf, 2048);
    assert_true(client_quiet(&c));
    out = data_out(p.itt, NO_TAG, 1, 2048, true);
    data_out_send(&c, &out, buf, 2048);
    assert_true(client_quiet(&c));
    data_out_send(&c, &out, buf, 2048);
    out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, want, 4096);
    expect_status(&c, p.itt, 2);
    assert_true(sense_is(&c, 0x0b, 0x0c, 0x0c));
}

/* ---- what is asked for ---- */

/* Spans that are being filled or lie in the store are limited to four of a command. */
static void data_is_asked_for_ahead_of_the_store(void **state)
{
    (void)state;
    for (uint32_t r2ts = 1; r2ts <= 6; r2ts++) {
        if (r2ts > 1)
            anew(state);
        char keys[160];
        snprintf(keys, sizeof keys,
                 "InitialR2T=Yes\nImmediateData=No\nMaxBurstLength=4096\nFirstBurstLength=4096\n"
                 "MaxOutstandingR2T=%u",
                 r2ts);
        w.config->targets[0].keys.max_outstanding_r2t = 8;
        anew(state);
        w.config->targets[0].keys.max_outstanding_r2t = 8;
        login(0, keys);
        uint32_t limit = r2ts < 4 ? r2ts : 4;
        w.delay = true;
        struct pdu_scsi_command p = write_command(&c, 0, 64);
        command_send(&c, &p, NULL, 0);
        struct pdu_r2t open[16];
        uint32_t asked = 0, answered = 0, sn = 0;
        struct reply *r;
        while (answered < 4) {
            while ((r = client_reply(&c)) != NULL) {
                assert_int_equal(pdu_opcode(r->bhs), PDU_OP_r2t);
                pdu_r2t_decode(r->bhs, &open[asked]);
                assert_int_equal(open[asked].r2t_sn, sn++);
                assert_int_equal(open[asked].buffer_offset, asked * 4096);
                assert_int_equal(open[asked].desired_data_transfer_length, 4096);
                asked++;
            }
            assert_int_equal(asked, answered + limit < 4 ? answered + limit : 4);
            struct pdu_data_out out =
                data_out(p.itt, open[answered].ttt, 0, open[answered].buffer_offset, true);
            data_out_send(&c, &out, want + answered * 4096, 4096);
            answered++;
        }
        assert_true(client_quiet(&c)); /* the store has four */
        assert_int_equal(w.delayed_count, 4);
        w.delay = false;
        world_release(&w);
        while ((r = client_reply(&c)) != NULL && pdu_opcode(r->bhs) == PDU_OP_r2t) {
            pdu_r2t_decode(r->bhs, &open[0]);
            assert_int_equal(open[0].r2t_sn, sn++);
            struct pdu_data_out out = data_out(p.itt, open[0].ttt, 0, open[0].buffer_offset, true);
            data_out_send(&c, &out, want + open[0].buffer_offset, 4096);
        }
        assert_non_null(r);
        assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
        assert_int_equal(sn, 8);
        assert_memory_equal(w.rams[0].data, want, 32768);
    }
    PROVES("R7143-11.8-06", "target");
}

/* A burst that ended short gives back what was promised to it. */
static void short_answers_do_not_use_up_what_can_be_kept(void **state)
{
    (void)state;
    login(1, "MaxBurstLength=1048576\nMaxRecvDataSegmentLength=8192");
    uint32_t begin = c.exp_stat_sn;
    for (int i = 0; i < 20; i++) {
        struct pdu_scsi_command p = command(&c, true, false, 1048576);
        p.exp_stat_sn = begin;
        p.cdb[0] = 0x12; /* INQUIRY */
        p.cdb[4] = 36;
        command_send(&c, &p, NULL, 0);
        expect_data_in(&c);
        assert_int_equal(c.reply.len, 36);
        expect_status(&c, p.itt, 0);
    }
    c.exp_stat_sn = begin;
    uint32_t itt = read_send(&c, 0, 1);
    expect_data_in(&c);
    expect_status(&c, itt, 0);
    assert_true(client_quiet(&c)); /* nobody is asked to acknowledge */
}

/* Reads beyond what can be kept pause, in the store and after it, and go on with the next acknowledgement. */
static uint32_t pause_with(uint32_t bytes)
{
    struct pdu_scsi_command p = command(&c, true, false, 8u << 20);
    cdb_rw(p.cdb, false, 0, (uint16_t)((8u << 20) / BLOCK));
    command_send(&c, &p, NULL, 0);
    struct reply *r;
    while ((r = client_reply(&c)) != NULL && pdu_opcode(r->bhs) == PDU_OP_data_in)
        ;
    assert_non_null(r);
    assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
    struct pdu_scsi_command q = command(&c, true, false, bytes);
    cdb_rw(q.cdb, false, 0, (uint16_t)(bytes / BLOCK));
    command_send(&c, &q, NULL, 0);
    client_expect(&c, PDU_OP_nop_in); /* acknowledgement is asked for, once */
    assert_true(client_quiet(&c));
    return q.itt;
}

static void a_read_that_paused_goes_on(void **state)
{
    static const uint32_t sizes[] = {BLOCK, 1u << 20, (1u << 20) + BLOCK, 3u << 20};
    for (int i = 0; i < 4; i++) {
        anew(state);
        pattern(w.rams[0].data, 4u << 20, 3);
        login(1, "MaxBurstLength=1048576\nMaxRecvDataSegmentLength=262144");
        uint32_t itt = pause_with(sizes[i]), at = 0;
        c.exp_stat_sn++;
        acknowledge_status(&c);
        while (at < sizes[i]) {
            struct pdu_data_in in = expect_data_in(&c);
            assert_int_equal(in.itt, itt);
            assert_int_equal(in.buffer_offset, at);
            assert_memory_equal(c.reply.data, w.rams[0].data + at, c.reply.len);
            at += c.reply.len;
        }
        expect_status(&c, itt, 0);
        assert_true(client_quiet(&c));
    }
}

static void a_read_that_paused_can_be_aborted(void **state)
{
    static const uint32_t sizes[] = {BLOCK, 1u << 20, 3u << 20};
    for (int i = 0; i < 3; i++) {
        anew(state);
        login(1, "MaxBurstLength=1048576\nMaxRecvDataSegmentLength=262144");
        uint32_t itt = pause_with(sizes[i]);
        struct pdu_task_management_request p = tmf_request(&c, 1, 0, itt, c.cmd_sn - 1);
        tmf_send(&c, &p);
        assert_int_equal(tmf_answer(&c).response, 0);
        assert_true(client_quiet(&c));
        acknowledge_status(&c);
        assert_true(client_quiet(&c)); /* nothing of it */
        assert_true(pool_bytes_in_use(w.pool) <= 2 * TGT_CHUNK_LEN);
        client_settle(&c, 0);
    }
}

/* Segments are cut in multiples of four bytes, whatever the receiver takes. */
static void odd_segments_are_cut_to_fours(void **state)
{
    static const uint32_t sizes[] = {1023, 1022, 1021, 1020};
    for (int i = 0; i < 4; i++) {
        char keys[64];
        anew(state);
        memcpy(w.rams[0].data, want, 4096);
        login(2, "MaxRecvDataSegmentLength=4096");
        snprintf(keys, sizeof keys, "MaxRecvDataSegmentLength=%u", sizes[i]);
        client_join(&d, &c, 2, keys);
        uint32_t itt = read_send(&c, 0, 8);
        expect_data_in(&c);
        assert_int_equal(c.reply.len, 4096);
        client_expect(&c, PDU_OP_scsi_response);
        client_cut(&c);
        client_expect(&d, PDU_OP_async_message); /* tells of it */
        d.exp_stat_sn++;
        d.cmd_sn = c.cmd_sn;
        assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
        assert_int_equal(reassign(&d, itt, 0), 0);
        for (int time = 0; time < 2; time++) { /* the same for what is sent the first time */
            for (uint32_t at = 0; at < 4096; at += 1020) {
                struct pdu_data_in in = expect_data_in(&d);
                assert_int_equal(in.itt, itt);
                assert_int_equal(in.buffer_offset, at);
                assert_int_equal(in.data_sn, at / 1020);
                assert_int_equal(d.reply.len, at + 1020 < 4096 ? 1020 : 4096 - at);
                assert_memory_equal(d.reply.data, want + at, d.reply.len);
            }
            expect_status(&d, itt, 0);
            if (time == 0)
                itt = read_send(&d, 0, 8);
        }
        acknowledge_status(&d);
        w.r.deadline_ns = w.now;
        tgt_tick(&w.r);
        assert_int_equal(tgt_deadline(&w.r), UINT64_MAX); /* nothing of the lost one is remembered */
    }
    PROVES("R7143-11.7.7-02", "target");
}

/* The end of a burst keeps its A bit and tag when it is cut; what is cut off before it has neither. */
static void only_the_end_of_a_burst_asks_for_acknowledgement(void **state)
{
    (void)state;
    memcpy(w.rams[1].data, want, 8192);
    login(2, "MaxRecvDataSegmentLength=4096\nMaxBurstLength=4096\nFirstBurstLength=4096");
    client_join(&d, &c, 2, "MaxRecvDataSegmentLength=1024");
    struct pdu_scsi_command p = command(&c, true, false, 8192);
    p.lun = 1ull << 48;
    cdb_rw(p.cdb, false, 0, 16);
    command_send(&c, &p, NULL, 0);
    struct pdu_data_in first = expect_data_in(&c), last = expect_data_in(&c);
    assert_true(first.final && first.acknowledge && first.ttt != NO_TAG);
    assert_true(first.lun == p.lun);
    assert_true(last.final && !last.acknowledge && last.ttt == NO_TAG && last.lun == 0);
    client_expect(&c, PDU_OP_scsi_response);
    client_cut(&c);
    client_expect(&d, PDU_OP_async_message);
    d.exp_stat_sn++;
    assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    for (uint32_t i = 0; i < 8; i++) {
        struct pdu_data_in in = expect_data_in(&d);
        assert_int_equal(in.final, i % 4 == 3);
        assert_int_equal(in.acknowledge, i == 3);
        assert_int_equal(in.ttt, i == 3 ? first.ttt : NO_TAG);
        assert_int_equal(in.data_sn, i);
        assert_int_equal(in.buffer_offset, 1024 * i);
        assert_int_equal(in.has_status, 0);
        assert_memory_equal(d.reply.data, want + 1024 * i, 1024);
    }
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(client_expect(&d, PDU_OP_scsi_response)->bhs, &rsp);
    assert_int_equal(rsp.exp_data_sn, 8);
    snack_send(&d, 2, NO_TAG, first.ttt, 4, 0); /* DataACK of the first burst */
    assert_true(client_quiet(&d));
    snack_send(&d, 0, p.itt, NO_TAG, 3, 1);
    assert_int_equal(expect_reject(&d), 4); /* is acknowledged */
    d.exp_stat_sn = rsp.stat_sn;
    snack_send(&d, 0, p.itt, NO_TAG, 4, 1);
    assert_int_equal(expect_data_in(&d).data_sn, 4);
    PROVES("R7143-11.7.2-03", "target");
    PROVES("R7143-11.7.4-03", "target");
}

/* While a login tries to take a lost connection's place its time stands still; when that fails, it is over at
 * once if it has passed meanwhile. */
static void a_failed_reinstatement_gives_no_time(void **state)
{
    for (int late = 0; late < 2; late++) {
        anew(state);
        w.config->limits.login_timeout_ns = 60 * SECOND_NS;
        login(2, "DefaultTime2Wait=3\nDefaultTime2Retain=4");
        client_join(&d, &c, 2, "");
        w.delay = true;
        d.cmd_sn = c.cmd_sn;
        read_send(&d, 0, 8);
        c.cmd_sn = d.cmd_sn;
        client_cut(&d);
        client_expect(&c, PDU_OP_async_message);
        c.exp_stat_sn++;
        struct client e;
        client_init(&e, &w);
        memcpy(e.isid, c.isid, sizeof e.isid);
        e.tsih = c.tsih;
        e.cid = 2;
        client_login_step(&e, 0, -1, NAMES "\nSessionType=Normal\nAuthMethod=None");
        uint64_t ended = w.r.transitions[TGT_M1];
        world_pass(&w, late ? 20 * SECOND_NS : 5 * SECOND_NS);
        assert_int_equal(w.r.transitions[TGT_M1], ended);
        w.r.deadline_ns = w.now;
        tgt_tick(&w.r);
        client_fini(&e);
        assert_int_equal(tgt_deadline(&w.r), late ? w.now - 13 * SECOND_NS : w.now + 2 * SECOND_NS);
        world_pass(&w, late ? 0 : 2 * SECOND_NS);
        assert_int_equal(w.r.transitions[TGT_M1], ended + 1);
        w.delay = false;
        world_release(&w);
        assert_true(!c.closed);
    }
}

/* ---- task management ---- */

static void function_send(struct client *who, uint8_t function, uint64_t lun)
{
    struct pdu_task_management_request p = tmf_request(who, function, lun, NO_TAG, 0);
    tmf_send(who, &p);
}
static uint8_t function_answer(struct client *who)
{
    return tmf_answer(who).response;
}
static uint32_t read_lun(struct client *who, uint64_t lun)
{
    struct pdu_scsi_command p = command(who, true, false, BLOCK);
    p.lun = lun << 48;
    cdb_rw(p.cdb, false, 0, 1);
    command_send(who, &p, NULL, 0);
    return p.itt;
}

/* An ABORT TASK SET that waits for data: later commands of its LU wait for it, those of others do not. */
static void commands_behind_a_function_wait_for_it(void **state)
{
    (void)state;
    login(0, "InitialR2T=Yes\nImmediateData=No");
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    function_send(&c, 2, 0);
    assert_true(client_quiet(&c));
    uint32_t requests = w.requests;
    read_lun(&c, 1);
    assert_true(expect_data_in(&c).has_status);
    assert_true(w.requests > requests);
    requests = w.requests;
    uint32_t later = read_lun(&c, 0);
    assert_int_equal(w.requests, requests);
    assert_true(client_quiet(&c));
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, want, 4096);
    uint32_t answers = 0, reads = 0;
    struct reply *r;
    while ((r = client_reply(&c)) != NULL) {
        if (pdu_opcode(r->bhs) == PDU_OP_task_management_response) {
            struct pdu_task_management_response rsp;
            pdu_task_management_response_decode(r->bhs, &rsp);
            assert_int_equal(rsp.response, 0);
            answers++;
        } else if (pdu_opcode(r->bhs) == PDU_OP_data_in) {
            struct pdu_data_in in;
            pdu_data_in_decode(r->bhs, &in);
            assert_int_equal(in.itt, later);
            assert_true(in.has_status && in.status == 0);
            reads++;
        } else { /* the write may have ended in the usual way before */
            assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
            assert_int_equal(pdu_itt(r->bhs), p.itt);
            assert_int_equal(answers, 0);
        }
    }
    assert_int_equal(answers, 1);
    assert_int_equal(reads, 1);
    PROVES("R7143-11.5.1-03", "target");
}

/* A task that is being aborted asks for nothing more, whatever comes for it. */
static void an_aborted_write_asks_for_nothing(void **state)
{
    (void)state;
    login(0, "InitialR2T=Yes\nImmediateData=No\nMaxBurstLength=4096\nFirstBurstLength=4096");
    struct pdu_scsi_command p = write_command(&c, 0, 64);
    w.delay = true;
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, want, 4096);
    r2t = expect_r2t(&c);
    assert_int_equal(w.delayed_count, 1);
    struct pdu_task_management_request abort_task = tmf_request(&c, 1, 0, p.itt, p.cmd_sn);
    tmf_send(&c, &abort_task);
    assert_true(client_quiet(&c)); /* the store still has a part of it */
    out = data_out(p.itt, r2t.ttt, 0, 4096, true);
    data_out_send(&c, &out, want, 4096);
    assert_true(client_quiet(&c));
    w.delay = false;
    world_release(&w);
    assert_int_equal(function_answer(&c), 0);
    assert_true(client_quiet(&c));
}

/* When its connection fails, a write keeps only what lies in the store. */
static void what_was_asked_for_goes_with_the_connection(void **state)
{
    (void)state;
    login(0, "InitialR2T=Yes\nImmediateData=No\nMaxBurstLength=4096\nFirstBurstLength=4096");
    struct pdu_scsi_command p = write_command(&c, 0, 64);
    w.delay = true;
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, want, 4096);
    expect_r2t(&c); /* for which there is room already */
    assert_true(pool_bytes_in_use(w.pool) >= 2 * 4096);
    client_cut(&c);
    assert_int_equal(pool_bytes_in_use(w.pool), 4096);
    assert_int_equal(w.downs, 0);
    w.delay = false;
    world_release(&w);
    assert_int_equal(pool_bytes_in_use(w.pool), 0);
    assert_int_equal(w.downs, 1);
    assert_memory_equal(w.rams[0].data, want, 4096);
}

/* What a write has held is given back when it is over. */
static void a_write_leaves_no_memory_behind(void **state)
{
    (void)state;
    login(0, "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=4096");
    uint64_t used = 0;
    for (int i = 0; i < 6; i++) {
        struct pdu_scsi_command p = write_command(&c, 0, 16);
        p.final = i % 2 == 0;
        command_send(&c, &p, want, 1024);
        uint32_t at = 1024;
        if (!p.final) {
            struct pdu_data_out out = data_out(p.itt, NO_TAG, 0, 1024, true);
            data_out_send(&c, &out, want + 1024, 3072);
            at = 4096;
        }
        struct pdu_r2t r2t = expect_r2t(&c);
        assert_int_equal(r2t.buffer_offset, at);
        struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, at, true);
        data_out_send(&c, &out, want + at, 8192 - at);
        expect_status(&c, p.itt, 0);
        client_settle(&c, 0);
        if (i == 0)
            used = pool_bytes_in_use(w.pool);
        assert_int_equal(pool_bytes_in_use(w.pool), used);
        assert_true(used <= TGT_CHUNK_LEN);
    }
}

/* ---- response fence ---- */

/* Both connections have something that is not acknowledged. */
static void two_connections(const char *keys)
{
    login(0, keys);
    client_join(&d, &c, 2, "");
}
static uint32_t ready_on(struct client *who, uint64_t lun, uint8_t op, uint8_t byte1)
{
    who->cmd_sn = c.cmd_sn;
    struct pdu_scsi_command p = command(who, false, false, 0);
    c.cmd_sn = d.cmd_sn = who->cmd_sn;
    p.lun = lun << 48;
    p.cdb[0] = op;
    p.cdb[1] = byte1;
    command_send(who, &p, NULL, 0);
    return p.itt;
}

static void only_preempt_and_abort_is_fenced_by_its_code(void **state)
{
    (void)state;
    two_connections("TaskReporting=ResponseFence");
    uint32_t begin = c.exp_stat_sn;
    ready_on(&c, 0, 0, 0);
    client_expect(&c, PDU_OP_scsi_response);
    c.exp_stat_sn = begin; /* open */
    static const uint8_t codes[][2] = {{0x5f, 0}, {0x5f, 4}, {0x5f, 6}, {0x00, 5}, {0x35, 5}, {0x5e, 5}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        uint32_t itt = ready_on(&d, 0, codes[i][0], codes[i][1]);
        struct pdu_scsi_response rsp = expect_response(&d);
        assert_int_equal(rsp.itt, itt);
        assert_true(client_quiet(&c));
    }
    PROVES("R7143-4.2.2.3.4-06", "target");
}

/* The answer to a target reset is fenced on all LUs, that to a LU reset on its own. */
static void a_fence_is_as_wide_as_its_function(void **state)
{
    for (int wide = 0; wide < 2; wide++) {
        anew(state);
        two_connections("TaskReporting=ResponseFence");
        uint32_t begin = c.exp_stat_sn;
        ready_on(&c, 0, 0, 0);
        client_expect(&c, PDU_OP_scsi_response);
        c.exp_stat_sn = begin;
        d.cmd_sn = c.cmd_sn;
        function_send(&d, wide ? 6 : 5, 0);
        client_expect(&c, PDU_OP_nop_in); /* asked to acknowledge */
        uint32_t itt = ready_on(&d, 1, 0, 0);
        if (!wide) {
            expect_status(&d, itt, 0);
            assert_true(client_quiet(&d));
        } else {
            struct reply *r = client_reply(&d);
            assert_true(r == NULL || pdu_opcode(r->bhs) == PDU_OP_nop_in);
            assert_true(client_quiet(&d));
        }
        c.exp_stat_sn = begin + 1;
        acknowledge_status(&c);
        acknowledge_status(&d);
        struct reply *r;
        while ((r = client_reply(&d)) != NULL && pdu_opcode(r->bhs) != PDU_OP_task_management_response)
            assert_int_equal(pdu_opcode(r->bhs), PDU_OP_nop_in);
        assert_non_null(r);
        if (wide) { /* only when the answer is acknowledged, too */
            struct pdu_task_management_response rsp;
            pdu_task_management_response_decode(r->bhs, &rsp);
            while ((r = client_reply(&d)) != NULL)
                assert_int_equal(pdu_opcode(r->bhs), PDU_OP_nop_in);
            d.exp_stat_sn = rsp.stat_sn + 1;
            acknowledge_status(&d);
            assert_int_equal(expect_response(&d).itt, itt);
        }
    }
    PROVES("R7143-4.2.2.3.2-02", "target");
}

/* ---- acknowledgements and refusals ---- */

/* A logout of another connection carries that one's ExpStatSN: nothing of its own is acknowledged by it. */
static void a_logout_of_another_acknowledges_nothing_here(void **state)
{
    (void)state;
    login(1, "");
    client_join(&d, &c, 2, "");
    uint32_t begin = c.exp_stat_sn;
    for (int i = 0; i < 3; i++) {
        struct pdu_scsi_command p = command(&c, false, false, 0);
        p.exp_stat_sn = begin;
        command_send(&c, &p, NULL, 0);
        client_expect(&c, PDU_OP_scsi_response);
    }
    c.exp_stat_sn = begin + 2; /* within what this one has open */
    logout_send(&c, 1, 2, c.itt++);
    client_expect(&c, PDU_OP_logout_response);
    assert_true(d.closed);
    c.exp_stat_sn = begin;
    snack_send(&c, 1, NO_TAG, NO_TAG, begin, 1);
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &rsp);
    assert_int_equal(rsp.stat_sn, begin);
}

/* Why a command is refused stands in the trace, too. */
static void commands_after_the_call_for_logout_are_refused(void **state)
{
    (void)state;
    login(0, "");
    tgt_stop(&w.r, false);
    world_pump(&w);
    client_expect(&c, PDU_OP_async_message);
    c.exp_stat_sn++;
    struct pdu_scsi_command p = write_command(&c, 0, 1);
    p.immediate = 1;
    w.trace[0] = 0;
    command_send(&c, &p, want, BLOCK);
    assert_int_equal(expect_reject(&c), 0x0c);
    assert_string_equal(w.trace, "logout was requested");
    assert_int_equal(w.rams[0].data[0], 0);
    PROVES("R7143-11.9.1-05", "target");
}

/* Who sends much at once is read from in larger pieces, until it does so no longer. */
static void streams_are_read_in_large_pieces(void **state)
{
    (void)state;
    login(0, BURST_KEYS);
    enum { PINGS = 4200 };
    static uint8_t pings[PINGS * PDU_BHS_LEN];
    for (uint32_t i = 0; i < PINGS; i++) {
        struct pdu_nop_out p;
        pdu_nop_out_init(&p);
        p.immediate = 1;
        p.itt = p.ttt = PDU_TAG_RESERVED;
        p.cmd_sn = c.cmd_sn;
        p.exp_stat_sn = c.exp_stat_sn;
        pdu_nop_out_encode(&p, pings + i * PDU_BHS_LEN);
    }
    assert_int_equal(tgt_recv_chunk_len(c.conn), TGT_CHUNK_LEN);
    /* How much comes at once, and whether the next piece may be larger for it. */
    static const struct {
        size_t len;
        bool large;
    } steps[] = {
        {TGT_CHUNK_LEN - 16, false}, {TGT_CHUNK_LEN, true}, {TGT_CHUNK_LEN + 16, true}, {480, false}};
    const uint8_t *at = pings;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; at += steps[i++].len) {
        client_bytes(&c, at, steps[i].len);
        client_push(&c);
        assert_int_equal(tgt_recv_chunk_len(c.conn) > TGT_CHUNK_LEN, steps[i].large);
        if (!steps[i].large)
            continue;
        struct chunk *held[16]; /* what is short is not handed out in large pieces */
        uint32_t count = 0;
        while (pool_roomy(w.pool))
            held[count++] = pool_get(w.pool, POOL_CLASS_MAX);
        assert_int_equal(tgt_recv_chunk_len(c.conn), TGT_CHUNK_LEN);
        while (count)
            chunk_unref(held[--count]);
    }
    client_settle(&c, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(first_bursts_before_their_turn),
        T(streams_are_read_in_large_pieces),
        T(a_first_burst_without_room_is_lost),
        T(data_may_be_under_way_when_its_turn_comes),
        T(dropped_data_does_not_count),
        T(late_data_ends_with_its_last_pdu),
        T(data_is_asked_for_ahead_of_the_store),
        T(short_answers_do_not_use_up_what_can_be_kept),
        T(a_read_that_paused_goes_on),
        T(a_read_that_paused_can_be_aborted),
        T(odd_segments_are_cut_to_fours),
        T(only_the_end_of_a_burst_asks_for_acknowledgement),
        T(a_failed_reinstatement_gives_no_time),
        T(commands_behind_a_function_wait_for_it),
        T(an_aborted_write_asks_for_nothing),
        T(what_was_asked_for_goes_with_the_connection),
        T(a_write_leaves_no_memory_behind),
        T(only_preempt_and_abort_is_fenced_by_its_code),
        T(a_fence_is_as_wide_as_its_function),
        T(commands_after_the_call_for_logout_are_refused),
        T(a_logout_of_another_acknowledges_nothing_here),
    };
#undef T
    return cmocka_run_group_tests_name("target_turns", tests, NULL, NULL);
}
