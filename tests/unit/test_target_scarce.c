/* Goal: memory that runs out in the middle of recovery, of a first burst or of task management costs what the
 * RFC allows (a Reject, BUSY, a refused function) and nothing else: what went before stands, and what comes
 * afterwards works. Method: a raw initiator, and a heap that refuses objects of one size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target/iscsi/conn_internal.h"
#include "target_recovery.h"

#define SNACK_DATA   0
#define SNACK_STATUS 1
#define SNACK_R_DATA 3
#define NO_TAG       PDU_TAG_RESERVED

static struct world w;
static struct client c, d;
static uint8_t buf[64 * 1024], want[64 * 1024];
static size_t scarce;        /* objects of this size cannot be had; 0: all can */
static uint32_t scarce_left; /* but for so many */
static bool scarce_once;     /* and there are some again after one refusal */

static void *alloc(void *ctx, size_t size, size_t align)
{
    if (scarce && size == scarce && scarce_left-- == 0) {
        scarce_left = 0;
        scarce = scarce_once ? 0 : scarce;
        return NULL;
    }
    return world_alloc(ctx, size, align);
}

static void begin(uint64_t pool_limit)
{
    memset(&d, 0, sizeof d);
    scarce = 0;
    scarce_once = false;
    world_init_small(&w, pool_limit);
    world_recovers(&w);
    w.env.alloc = alloc;
    for (uint32_t i = 0; i < 2; i++) {
        w.config->targets[i].keys.iscsi_protocol_level = 2;
        pattern(w.rams[i].data, sizeof want, 5 + i);
    }
    memcpy(want, w.rams[0].data, sizeof want);
    world_start(&w);
    client_init(&c, &w);
}
static int setup(void **state)
{
    (void)state;
    begin(0);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    scarce = 0;
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
/* After `left` more, no object of that size can be had. */
static void run_out_of(size_t size, uint32_t left)
{
    scarce = size;
    scarce_left = left;
}
static void run_out_of_kept(uint32_t left)
{
    struct list_node *node;
    while ((node = list_pop_front(&w.r.free_kept)) != NULL) {
        env_free(&w.env, node);
        w.r.kept_allocated--;
    }
    run_out_of(sizeof(struct kept), left);
}
static void smaller_segments(uint32_t len)
{
    uint8_t bhs[PDU_BHS_LEN];
    char text[64];
    struct pdu_text_request p;
    uint32_t begin = c.exp_stat_sn;
    pdu_text_request_init(&p);
    p.immediate = 1;
    p.final = 1;
    p.itt = 4000;
    p.ttt = NO_TAG;
    p.cmd_sn = c.cmd_sn;
    p.exp_stat_sn = begin;
    pdu_text_request_encode(&p, bhs);
    int n = snprintf(text, sizeof text, "MaxRecvDataSegmentLength=%u", len);
    client_send(&c, bhs, text, (uint32_t)n + 1);
    client_expect(&c, PDU_OP_text_response);
    c.exp_stat_sn = begin;
}
/* Data-In of `len` bytes from the first on, in PDUs of `segment`. */
static void expect_data(struct client *who, uint32_t itt, uint32_t len, uint32_t segment, uint32_t first_sn)
{
    for (uint32_t at = 0; at < len; at += segment) {
        struct pdu_data_in in = expect_data_in(who);
        assert_int_equal(in.itt, itt);
        assert_int_equal(in.buffer_offset, at);
        assert_int_equal(in.data_sn, first_sn + at / segment);
        assert_int_equal(who->reply.len, segment);
        assert_memory_equal(who->reply.data, want + at, segment);
    }
}

/* ---- R-Data ---- */

static void data_that_cannot_be_cut_anew_is_refused(void **state)
{
    (void)state;
    login(1, "MaxRecvDataSegmentLength=4096");
    uint32_t begin = c.exp_stat_sn, itt = read_send(&c, 0, 32);
    expect_data(&c, itt, 16384, 4096, 0);
    struct pdu_scsi_response rsp, again;
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &rsp);
    smaller_segments(1024);
    for (uint32_t left = 1; left < 12; left += 5) { /* one is for the Reject's own */
        run_out_of_kept(left);
        snack_send(&c, SNACK_R_DATA, itt, 77, 0, 0);
        scarce = 0;
        assert_int_equal(expect_reject(&c), 3);
        c.exp_stat_sn = begin;
        assert_true(client_quiet(&c) && !c.closed);
    }
    snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, rsp.stat_sn, 1); /* the answer stands as it was */
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &again);
    assert_int_equal(again.snack_tag, 0);
    assert_int_equal(again.exp_data_sn, 4);
    assert_int_equal(again.status, 0);
    snack_send(&c, SNACK_R_DATA, itt, 78, 0, 0); /* and with memory it is cut */
    expect_data(&c, itt, 16384, 1024, 0);
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &again);
    assert_int_equal(again.snack_tag, 78);
    assert_int_equal(again.exp_data_sn, 16);
    assert_int_equal(again.stat_sn, rsp.stat_sn);
    PROVES("R7143-7.8-08", "target");
}

static void a_running_command_whose_data_cannot_be_cut_anew_ends(void **state)
{
    (void)state;
    login(1, "MaxRecvDataSegmentLength=4096");
    w.delay = true;
    struct pdu_scsi_command p = command(&c, true, false, 1024 * BLOCK); /* two spans */
    cdb_rw(p.cdb, false, 0, 1024);
    command_send(&c, &p, NULL, 0);
    assert_true(w.delayed_count >= 2);
    w.delayed_count--;
    store_execute(&w, list_entry(list_pop_front(&w.delayed), struct store_req, node));
    world_pump(&w);
    uint32_t sent = 0;
    while (client_reply(&c))
        sent++;
    assert_int_equal(sent, 63); /* the last of the span is held back */
    smaller_segments(1024);
    run_out_of_kept(1);
    snack_send(&c, SNACK_R_DATA, p.itt, 77, 0, 0);
    scarce = 0;
    assert_int_equal(expect_reject(&c), 3);
    w.delay = false;
    world_release(&w);
    struct reply *r = client_reply(&c);
    struct pdu_data_in in;
    if (r && pdu_opcode(r->bhs) == PDU_OP_data_in) { /* no data any more but the end of the sequence */
        pdu_data_in_decode(r->bhs, &in);
        assert_true(in.final);
        assert_int_equal(in.data_sn, 63);
        r = client_reply(&c);
    }
    assert_non_null(r);
    struct pdu_scsi_response rsp;
    assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
    pdu_scsi_response_decode(r->bhs, &rsp);
    assert_int_equal(rsp.itt, p.itt);
    assert_int_equal(rsp.status, 2);
    assert_true(sense_is(&c, 0x0b, 0x11, 0x13));
    assert_true(client_quiet(&c));
    PROVES("R7143-7.8-09", "target");
}

static void a_task_that_cannot_be_cut_is_not_reassigned(void **state)
{
    (void)state;
    login(2, "MaxRecvDataSegmentLength=4096");
    client_join(&d, &c, 2, "MaxRecvDataSegmentLength=1024");
    uint32_t itt = read_send(&c, 0, 32);
    expect_data(&c, itt, 16384, 4096, 0);
    client_cut(&c);
    client_expect(&d, PDU_OP_async_message); /* tells of it */
    d.exp_stat_sn++;
    assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
    for (uint32_t left = 1; left < 10; left += 5) {
        run_out_of_kept(left);
        assert_int_equal(reassign(&d, itt, 0), 255);
        scarce = 0;
        assert_true(client_quiet(&d));
    }
    assert_int_equal(w.r.counters.reassigned, 0);
    assert_int_equal(reassign(&d, itt, 0), 0);
    expect_data(&d, itt, 16384, 1024, 0);
    struct pdu_scsi_response rsp = expect_response(&d);
    assert_int_equal(rsp.status, 0);
    assert_int_equal(rsp.exp_data_sn, 16);
    assert_int_equal(w.r.counters.reassigned, 1);
}

/* ---- what is sent has to be kept ---- */

static void data_that_cannot_be_kept_ends_the_read(void **state)
{
    (void)state;
    for (uint32_t left = 0; left < 4; left++) {
        if (left) {
            teardown(state);
            begin(0);
        }
        login(1, "MaxRecvDataSegmentLength=4096\nMaxBurstLength=16384\nFirstBurstLength=16384");
        uint64_t before = w.r.counters.read_bytes;
        w.delay = true;
        uint32_t itt = read_send(&c, 0, 64);
        run_out_of_kept(left);
        scarce_once = true; /* the response needs an object as well */
        w.delay = false;
        w.config->limits.nop_interval_ns = 0;
        struct list_node *node = list_pop_front(&w.delayed);
        w.delayed_count--;
        store_execute(&w, list_entry(node, struct store_req, node));
        tgt_run(&w.r);
        scarce = 0;
        world_pump(&w);
        expect_data(&c, itt, left * 4096, 4096, 0);
        struct reply *r = client_reply(&c);
        assert_non_null(r);
        if (left) { /* its sequence ends with nothing more */
            struct pdu_data_in in;
            assert_int_equal(pdu_opcode(r->bhs), PDU_OP_data_in);
            pdu_data_in_decode(r->bhs, &in);
            assert_true(in.final && !in.acknowledge && !in.has_status);
            assert_int_equal(in.buffer_offset, left * 4096);
            assert_int_equal(in.data_sn, left);
            assert_int_equal(in.ttt, NO_TAG);
            assert_int_equal(in.itt, itt);
            assert_int_equal(r->len, 0);
            r = client_reply(&c);
        }
        struct pdu_scsi_response rsp;
        assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
        pdu_scsi_response_decode(r->bhs, &rsp);
        assert_int_equal(rsp.status, 8);
        assert_int_equal(rsp.exp_data_sn, left ? left + 1 : 0);
        assert_int_equal(rsp.residual_count, 32768);
        assert_true(rsp.underflow);
        assert_int_equal(w.r.counters.read_bytes - before, left * 4096);
        assert_true(client_quiet(&c));
    }
    PROVES("R7143-11.7.1-02", "target");
}

static void sense_that_cannot_be_kept_fails_the_connection(void **state)
{
    (void)state;
    login(2, "");
    w.delay = true;
    read_send(&c, 0, 64);
    w.fail_next = ERR_IO;
    pool_trim(w.pool, 0);
    run_out_of(sizeof(struct chunk), 0);
    w.delay = false;
    world_release(&w);
    assert_true(c.closed && client_quiet(&c));
}

/* ---- task management ---- */

static uint8_t function_of(struct client *who, uint8_t function, uint64_t lun, uint32_t task)
{
    const uint32_t stat_sn = who->exp_stat_sn;
    struct pdu_task_management_request p = tmf_request(who, function, lun, task, who->cmd_sn - 1);
    tmf_send(who, &p);
    struct pdu_task_management_response rsp = tmf_answer(who);
    assert_int_equal(rsp.itt, p.itt);
    assert_int_equal(rsp.stat_sn, stat_sn);
    return rsp.response;
}

static void functions_without_memory_are_rejected_and_touch_nothing(void **state)
{
    (void)state;
    static const uint8_t functions[] = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12};
    login(0, "iSCSIProtocolLevel=2");
    w.delay = true;
    uint32_t itt = read_send(&c, 0, 8);
    run_out_of(sizeof(struct tgt_tmf), 0);
    for (size_t i = 0; i < sizeof functions; i++)
        assert_int_equal(
            function_of(&c, functions[i], 0, functions[i] == 1 || functions[i] == 9 ? itt : NO_TAG), 255);
    scarce = 0;
    assert_int_equal(function_of(&c, 9, 0, itt), 7); /* it is still there */
    w.delay = false;
    world_release(&w);
    read_collect(&c, buf, 4096);
    assert_memory_equal(buf, want, 4096);
    assert_true(client_quiet(&c) && !c.closed);
    PROVES("R7143-11.6-01", "target");
}

/* To say that it does not exist would be wrong: it may come still, and be carried out. */
static void a_missing_command_that_cannot_be_plugged_is_not_aborted(void **state)
{
    (void)state;
    static const uint8_t functions[] = {1, 9}; /* ABORT TASK, QUERY TASK */
    login(1, "iSCSIProtocolLevel=2");
    for (size_t i = 0; i < sizeof functions; i++) {
        struct pdu_scsi_command late = write_command(&c, 0, 1);
        run_out_of(sizeof(struct held_pdu), 0);
        assert_int_equal(function_of(&c, functions[i], 0, late.itt), 255);
        scarce = 0;
        command_send(&c, &late, want, 512);
        assert_int_equal(expect_response(&c).itt, late.itt); /* it ran */
        late = write_command(&c, 0, 1);
        assert_int_equal(function_of(&c, functions[i], 0, late.itt), 0);
        command_send(&c, &late, want, 512); /* counts as received */
        assert_true(client_quiet(&c) && !c.closed);
    }
}

/* ---- commands and first bursts ---- */

static void a_command_that_cannot_wait_counts_as_lost(void **state)
{
    (void)state;
    login(1, "");
    struct pdu_scsi_command first = write_command(&c, 0, 1), second = write_command(&c, 1, 1);
    uint64_t dropped = w.r.counters.discarded_pdus;
    run_out_of(sizeof(struct held_pdu), 0);
    command_send(&c, &second, want, 512);
    scarce = 0;
    assert_int_equal(w.r.counters.discarded_pdus, dropped + 1);
    command_send(&c, &first, want, 512);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.itt, first.itt);
    assert_int_equal(rsp.exp_cmd_sn, second.cmd_sn); /* the next one is still due */
    assert_true(client_quiet(&c));
    command_send(&c, &second, want, 512);
    rsp = expect_response(&c);
    assert_int_equal(rsp.itt, second.itt);
    assert_int_equal(rsp.exp_cmd_sn, c.cmd_sn);
}

/* At level 0 nobody sends it again: its connection fails, or the session would stand still for ever. */
static void a_command_that_cannot_wait_fails_its_connection_at_level_0(void **state)
{
    (void)state;
    login(0, "");
    client_join(&d, &c, 2, "");
    struct pdu_scsi_command first = write_command(&c, 0, 1), second = write_command(&c, 1, 1);
    run_out_of(sizeof(struct held_pdu), 0);
    command_send(&d, &second, want, 512);
    scarce = 0;
    assert_true(d.closed && client_quiet(&d));
    struct pdu_async_message told;
    pdu_async_message_decode(client_expect(&c, PDU_OP_async_message)->bhs, &told);
    assert_int_equal(told.async_event, 2);
    assert_int_equal(told.parameter1, d.cid);
    c.exp_stat_sn++;
    command_send(&c, &first, want, 512);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.itt, first.itt);
    assert_int_equal(rsp.exp_cmd_sn, second.cmd_sn);
    assert_true(client_quiet(&c) && !c.closed);
}

/* Arriving needs memory: a first burst may not take the rest of it. */
static void a_first_burst_is_busy_when_memory_is_short(void **state)
{
    teardown(state);
    begin(8u << 20);
    login(0, "InitialR2T=No\nFirstBurstLength=65536");
    struct chunk *held[64];
    uint32_t count = 0;
    while (!pool_crowded(w.pool))
        held[count++] = pool_get(w.pool, 256 * 1024);
    for (int announced = 0; announced < 2; announced++) {
        struct pdu_scsi_command p = write_command(&c, 100, 8);
        uint64_t written = w.r.counters.write_bytes;
        p.final = !announced;
        command_send(&c, &p, want, announced ? 0 : 4096);
        if (announced) {
            assert_true(client_quiet(&c)); /* the data comes first */
            struct pdu_data_out out = data_out(p.itt, NO_TAG, 0, 0, true);
            data_out_send(&c, &out, want, 4096);
        }
        struct pdu_scsi_response rsp = expect_response(&c);
        assert_int_equal(rsp.status, 8);
        assert_int_equal(rsp.itt, p.itt);
        assert_int_equal(rsp.residual_count, 4096);
        assert_int_equal(w.r.counters.write_bytes, written);
    }
    struct pdu_scsi_command p =
        write_command(&c, 100, 8); /* nothing comes with it: it may wait for its R2T */
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, want, 4096);
    assert_int_equal(expect_response(&c).status, 0);
    read_send(&c, 0, 8); /* and reads go on */
    read_collect(&c, buf, 4096);
    while (count)
        chunk_unref(held[--count]);
    assert_memory_equal(w.rams[0].data + 100 * BLOCK, want, 4096);
}

static void hold_shares(struct chunk **held, uint32_t *count, uint32_t max)
{
    for (uint32_t len = POOL_CLASS_MAX; len >= POOL_CLASS_MIN;) {
        assert_true(*count < max);
        if ((held[*count] = pool_get_share(w.pool, len)) != NULL)
            ++*count;
        else
            len /= 2;
    }
}

static void read_whole(struct client *who)
{
    struct reply *r;
    while ((r = client_reply(who)) != NULL && pdu_opcode(r->bhs) == PDU_OP_data_in)
        ;
    assert_true(r && pdu_opcode(r->bhs) == PDU_OP_scsi_response);
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(r->bhs, &rsp);
    assert_int_equal(rsp.status, 0);
    who->exp_stat_sn = rsp.stat_sn + 1;
}

/* Who waits for memory gets what another session's initiator had not acknowledged: that one is asked, for it
 * may have nothing to say of itself. */
static void what_is_kept_is_asked_for_when_memory_is_short(void **state)
{
    teardown(state);
    begin(8u << 20);
    login(1, "MaxRecvDataSegmentLength=262144");
    client_init(&d, &w);
    d.isid[5] ^= 1;
    client_login_level(&d, 0, "MaxRecvDataSegmentLength=262144");
    client_settle(&d, 0);
    struct pdu_scsi_command p = command(&c, true, false, 65536);
    p.exp_stat_sn = c.exp_stat_sn;
    cdb_rw(p.cdb, false, 0, 128);
    command_send(&c, &p, NULL, 0);
    read_whole(&c);
    struct chunk *held[64];
    uint32_t count = 0;
    hold_shares(held, &count, 64);
    assert_true(client_quiet(&c)); /* nobody needs it yet */
    read_send(&d, 0, 8);
    assert_true(client_quiet(&d));
    client_expect(&c, PDU_OP_nop_in);
    assert_true(client_quiet(&c)); /* once is enough */
    acknowledge_status(&c);
    read_collect(&d, buf, 4096);
    assert_memory_equal(buf, want, 4096);
    read_send(&d, 0, 8);
    read_collect(&d, buf, 4096); /* and it is left in peace */
    assert_true(client_quiet(&c));
    while (count)
        chunk_unref(held[--count]);
}

/* What one session may keep is a share of the pool. */
static void less_is_kept_of_a_small_pool(void **state)
{
    teardown(state);
    begin(8u << 20);
    login(1, "MaxRecvDataSegmentLength=262144\nMaxBurstLength=262144");
    uint32_t first = c.exp_stat_sn;
    for (int i = 0; i < 5; i++) {
        struct pdu_scsi_command p = command(&c, true, false, 256 * 1024);
        p.exp_stat_sn = first;
        cdb_rw(p.cdb, false, 0, 512);
        command_send(&c, &p, NULL, 0);
        if (i < 4)
            read_whole(&c);
    }
    client_expect(&c, PDU_OP_nop_in);
    assert_true(client_quiet(&c));
    acknowledge_status(&c);
    expect_data_in(&c);
}

/* Immediate data that ends within a block waits for two spans: one around what is whole, one for the rest. */
static void a_first_burst_waits_for_spans(void **state)
{
    static const uint32_t lengths[] = {512, 1000, 100};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (uint32_t left = 0; left < 2; left++) {
            uint32_t len = lengths[i];
            teardown(state);
            begin(0);
            login(0, "InitialR2T=Yes\nImmediateData=Yes");
            struct list_node *node;
            while ((node = list_pop_front(&w.r.scsi.free_spans)) != NULL) {
                env_free(&w.env, list_entry(node, struct scsi_span, node));
                w.r.scsi.spans_allocated--;
            }
            struct pdu_scsi_command p = write_command(&c, 200, 8);
            run_out_of(sizeof(struct scsi_span), left);
            command_send(&c, &p, want, len);
            if (left < (len == 1000 ? 2 : 1))
                assert_true(client_quiet(&c));
            scarce = 0;
            world_pump(&w);
            struct pdu_r2t r2t = expect_r2t(&c);
            assert_int_equal(r2t.buffer_offset, len);
            assert_int_equal(r2t.desired_data_transfer_length, 4096 - len);
            assert_int_equal(r2t.r2t_sn, 0);
            struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, len, true);
            data_out_send(&c, &out, want + len, 4096 - len);
            struct pdu_scsi_response rsp = expect_response(&c);
            assert_int_equal(rsp.status, 0);
            assert_int_equal(rsp.residual_count, 0);
            assert_true(client_quiet(&c));
            assert_memory_equal(w.rams[0].data + 200 * BLOCK, want, 4096);
            client_settle(&c, 0);
            assert_true(pool_bytes_in_use(w.pool) <= TGT_CHUNK_LEN);
        }
    }
}

/* A session without memory for more remembers two tags whose data is still on its way. */
static void few_tags_are_remembered_without_memory(void **state)
{
    (void)state;
    login(0, "InitialR2T=No\nImmediateData=No\nFirstBurstLength=4096");
    run_out_of(TGT_RETIRED_MAX * sizeof(struct retired), 0);
    uint32_t tags[6];
    static const bool known[6] = {false, true, true, true, true, true};
    for (int i = 0; i < 6; i++) {
        if (i == 3)
            scarce = 0; /* from now on, two become many */
        struct pdu_scsi_command p = write_command(&c, 0, 8);
        p.final = 0;
        tags[i] = p.itt;
        command_send(&c, &p, NULL, 0);
        assert_int_equal(function_of(&c, 1, 0, p.itt), 0);
    }
    for (int i = 0; i < 6; i++) {
        struct pdu_data_out out = data_out(tags[i], NO_TAG, 0, 0, false);
        data_out_send(&c, &out, want + 4096, 2048);
        if (!known[i])
            assert_int_equal(expect_reject(&c), 9);
        assert_true(client_quiet(&c));
        out = data_out(tags[i], NO_TAG, 1, 2048, true);
        data_out_send(&c, &out, want + 4096, 2048);
        if (!known[i])
            assert_int_equal(expect_reject(&c), 9);
        assert_true(client_quiet(&c));
        data_out_send(&c, &out, want + 4096, 2048); /* it was the last: now the tag is unknown */
        assert_int_equal(expect_reject(&c), 9);
    }
    assert_memory_equal(w.rams[0].data, want, 4096);
}

/* ---- the data of one session ---- */

/* Reads of one session that do not fit its share of the buffers wait, in order. */
static uint32_t big_read(uint32_t bytes, uint64_t lun)
{
    struct pdu_scsi_command p = command(&c, true, false, bytes);
    p.lun = lun << 48;
    cdb_rw(p.cdb, false, 0, (uint16_t)(bytes / BLOCK));
    command_send(&c, &p, NULL, 0);
    return p.itt;
}

static void a_sessions_share_is_exact(void **state)
{
    for (uint32_t more = 0; more < 2; more++) {
        teardown(state);
        begin(8u << 20); /* a quarter is its share */
        login(0, "iSCSIProtocolLevel=2\nMaxRecvDataSegmentLength=262144");
        w.delay = true;
        big_read(1u << 20, 0);
        uint32_t started = w.delayed_count;
        big_read((1u << 20) + more * BLOCK, 0);
        assert_int_equal(w.delayed_count > started, !more);
        w.delay = false;
        world_release(&w);
        uint64_t got = 0;
        struct reply *r;
        while ((r = client_reply(&c)) != NULL)
            got += r->len;
        assert_int_equal(got, (2u << 20) + more * BLOCK);
    }
}

static void tasks_that_wait_are_found_and_aborted(void **state)
{
    teardown(state);
    begin(8u << 20);
    login(0, "iSCSIProtocolLevel=2\nMaxRecvDataSegmentLength=262144");
    w.delay = true;
    uint32_t first = big_read(2u << 20, 0);
    uint32_t started = w.delayed_count, second = big_read(2u << 20, 1), third = big_read(BLOCK, 1);
    assert_int_equal(w.delayed_count, started); /* the small one does not pass */
    assert_int_equal(function_of(&c, 9, 0, first), 7);
    assert_int_equal(function_of(&c, 9, 0, second), 7);
    assert_int_equal(function_of(&c, 9, 0, third), 7);
    assert_int_equal(function_of(&c, 10, 1, NO_TAG), 7);
    assert_int_equal(function_of(&c, 1, 1, third), 0);
    assert_int_equal(function_of(&c, 1, 1, second), 0);
    assert_int_equal(function_of(&c, 10, 1, NO_TAG), 0);
    assert_int_equal(function_of(&c, 10, 0, NO_TAG), 7);
    uint32_t fourth = big_read(BLOCK, 1);
    w.delay = false;
    world_release(&w);
    uint64_t got = 0;
    bool over = false;
    struct reply *r;
    while ((r = client_reply(&c)) != NULL) {
        struct pdu_data_in in;
        assert_int_equal(pdu_opcode(r->bhs), PDU_OP_data_in);
        pdu_data_in_decode(r->bhs, &in);
        assert_true(in.itt == first || in.itt == fourth);
        got += r->len;
        over |= in.itt == fourth && in.has_status;
    }
    assert_true(over);
    assert_int_equal(got, (2u << 20) + BLOCK);
    PROVES("R7144-6.4.2-02", "target");
    PROVES("R7144-6.4.2-03", "target");
}

/* ---- other reactors ---- */

static void a_target_is_dropped_by_its_name(void **state)
{
    (void)state;
    login(0, "");
    client_init(&d, &w);
    d.isid[5] = 2;
    struct pdu_login_response rsp =
        client_login_step(&d, 1, 3, "InitiatorName=" INITIATOR "\nTargetName=" SECOND "\nSessionType=Normal");
    assert_int_equal(login_status(rsp), 0);
    tgt_target_drop(&w.r, "iqn.2026-01.com.example:nobody", "target cold reset");
    world_pump(&w);
    assert_true(!c.closed && !d.closed);
    tgt_target_drop(&w.r, SECOND, "target cold reset");
    world_pump(&w);
    assert_true(!c.closed && d.closed);
    assert_int_equal(w.downs, 1);
    read_send(&c, 0, 1);
    read_collect(&c, buf, 512);
    tgt_target_drop(&w.r, TARGET, "target cold reset");
    world_pump(&w);
    assert_true(c.closed);
    assert_int_equal(w.downs, 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(data_that_cannot_be_cut_anew_is_refused),
        T(a_running_command_whose_data_cannot_be_cut_anew_ends),
        T(a_task_that_cannot_be_cut_is_not_reassigned),
        T(data_that_cannot_be_kept_ends_the_read),
        T(sense_that_cannot_be_kept_fails_the_connection),
        T(functions_without_memory_are_rejected_and_touch_nothing),
        T(a_missing_command_that_cannot_be_plugged_is_not_aborted),
        T(a_command_that_cannot_wait_counts_as_lost),
        T(a_command_that_cannot_wait_fails_its_connection_at_level_0),
        T(a_first_burst_is_busy_when_memory_is_short),
        T(a_first_burst_waits_for_spans),
        T(what_is_kept_is_asked_for_when_memory_is_short),
        T(less_is_kept_of_a_small_pool),
        T(few_tags_are_remembered_without_memory),
        T(a_sessions_share_is_exact),
        T(tasks_that_wait_are_found_and_aborted),
        T(a_target_is_dropped_by_its_name),
    };
#undef T
    return cmocka_run_group_tests_name("target_scarce", tests, NULL, NULL);
}
