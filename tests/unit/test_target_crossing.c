/* Task management that crosses: with that of other initiators, and with the commands that it covers.
 *
 * Goal: whoever else has aborted a task, and however late its command comes, nothing is heard of it once a
 * function that covers it was answered. Method: raw initiators, with a store that answers when the test
 * wants, and with commands that overtake one another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_full.h"

#define PATIENCE_NS UINT64_C(10000000000) /* how long an abort waits for data that was asked for */

enum { ABORT_TASK_SET = 2, LOGICAL_UNIT_RESET = 5, TARGET_WARM_RESET = 6 };

static struct world w;
static struct client c, d;
static uint8_t data[16 * BLOCK];

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    world_init(&w);
    world_capable(&w);
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

static uint32_t function_send(struct client *who, uint8_t function)
{
    struct pdu_task_management_request p = tmf_request(who, function, 0, PDU_TAG_RESERVED, 0);
    return tmf_send(who, &p);
}

/* A write whose first half is in a slow store, and whose second half never comes. Another initiator's reset
 * takes it, which its own initiator is to be told (TAS); but that has asked for an abort itself meanwhile,
 * and its answer was the last word. */
static void an_answered_abort_is_the_last_word(void **state)
{
    (void)state;
    client_login(&c, "InitialR2T=Yes\nImmediateData=No\nFirstBurstLength=4096\nMaxBurstLength=4096");
    client_settle(&c, 0);
    client_other(&d, &w, 2, "");
    client_settle(&d, 0);
    struct pdu_scsi_command p = command(&c, false, true, 16 * BLOCK);
    cdb_rw(p.cdb, true, 0, 16);
    w.delay = true;
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t;
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, data, 8 * BLOCK);
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    assert_int_equal(r2t.buffer_offset, 8 * BLOCK);
    assert_true(w.delayed_count > 0);
    uint32_t reset = function_send(&d, LOGICAL_UNIT_RESET);
    uint32_t abort_set = function_send(&c, ABORT_TASK_SET);
    world_pass(&w, PATIENCE_NS);
    assert_true(client_quiet(&c) && client_quiet(&d)); /* the store has the task still */
    w.delay = false;
    world_release(&w);
    assert_int_equal(tmf_answer(&d).itt, reset);
    struct pdu_task_management_response rsp = tmf_answer(&c);
    assert_int_equal(rsp.itt, abort_set);
    assert_int_equal(rsp.response, 0);
    out = data_out(p.itt, r2t.ttt, 0, 8 * BLOCK, true);
    data_out_send(&c, &out, data, 8 * BLOCK);
    world_pass(&w, PATIENCE_NS);
    assert_true(client_quiet(&c) && !c.closed);
    PROVES("R7143-11.5.1-05", "target");
}

/* A command waits for an abort ahead of it, which waits for a command that is late. A reset takes it
 * meanwhile: it never begins. */
static void a_reset_takes_what_has_not_begun(void **state)
{
    (void)state;
    client_login(&c, "");
    client_settle(&c, 0);
    const uint32_t late = c.cmd_sn;
    c.cmd_sn = late + 1;
    uint32_t abort_set = function_send(&c, ABORT_TASK_SET);
    c.cmd_sn = late + 2;
    struct pdu_scsi_command read = command(&c, true, false, BLOCK);
    cdb_rw(read.cdb, false, 0, 1);
    read.immediate = 1;
    read.cmd_sn = late + 2;
    command_send(&c, &read, NULL, 0);
    assert_true(client_quiet(&c));
    c.cmd_sn = late + 2;
    uint32_t reset = function_send(&c, TARGET_WARM_RESET);
    assert_int_equal(tmf_answer(&c).itt, reset);
    c.cmd_sn = late;
    struct pdu_scsi_command first = command(&c, false, false, 0);
    command_send(&c, &first, NULL, 0);
    world_pass(&w, PATIENCE_NS);
    bool answered = false;
    struct reply *reply;
    while ((reply = client_reply(&c)) != NULL) {
        uint32_t itt = be32_get(reply->bhs + 16);
        assert_int_not_equal(itt, read.itt);
        answered |= itt == abort_set;
    }
    assert_true(answered && !c.closed);
    PROVES("R7143-11.5.1-05", "target");
}

static struct pdu_scsi_command write_of(struct client *who, uint32_t cmd_sn, bool final)
{
    who->cmd_sn = cmd_sn;
    struct pdu_scsi_command p = command(who, false, true, 8 * BLOCK);
    cdb_rw(p.cdb, true, 0, 8);
    p.final = final;
    return p;
}

/* Reads where the writes were to go. */
static void expect_unwritten(struct client *who, uint32_t cmd_sn)
{
    uint8_t now[8 * BLOCK];
    const uint8_t none[8 * BLOCK] = {0};
    who->cmd_sn = cmd_sn;
    read_send(who, 0, 8);
    read_collect(who, now, sizeof now);
    assert_memory_equal(now, none, sizeof now);
}

/* A reset of the target does not wait for the commands before it that are late, but it ends them: what they
 * said or wrote afterwards would be a surprise. They all come into order while its answer waits for the
 * fence, two that were ahead of their turn together with the one that was late. */
static void a_target_reset_takes_what_has_not_come(void **state)
{
    (void)state;
    memset(data, 0xa5, sizeof data);
    client_login(&c, "MaxConnections=2\nInitialR2T=No\nImmediateData=Yes\nFirstBurstLength=2048");
    client_settle(&c, 0);
    client_join(&d, &c, 2);
    const uint32_t late = c.cmd_sn;
    struct pdu_scsi_command half = write_of(&c, late + 1, false), whole = write_of(&c, late + 2, false);
    command_send(&c, &half, data, BLOCK);
    command_send(&c, &whole, data, BLOCK);
    struct pdu_data_out out = data_out(whole.itt, PDU_TAG_RESERVED, 0, BLOCK, true);
    data_out_send(&c, &out, data, 3 * BLOCK);
    struct pdu_scsi_command p = command(&d, false, false, 0);
    p.immediate = 1;
    command_send(&d, &p, NULL, 0); /* the fence asks for its response to be acknowledged */
    c.cmd_sn = late + 3;
    uint32_t reset = function_send(&c, TARGET_WARM_RESET);
    assert_true(client_quiet(&c));
    expect_response(&d);
    const uint32_t ping = expect_ping(&d);
    p = write_of(&d, late, true); /* with the acknowledgement */
    command_send(&d, &p, data, 4 * BLOCK);
    struct pdu_task_management_response rsp = tmf_answer(&c);
    assert_int_equal(rsp.itt, reset);
    assert_int_equal(rsp.response, 0);
    assert_int_equal(rsp.exp_cmd_sn, late + 3);
    c.cmd_sn = d.cmd_sn = late + 3;
    nop_ack(&d, ping, 0);
    nop_ack(&c, expect_ping(&c), 0);
    /* the rest of a first burst was on its way; of the other nothing more can come */
    out = data_out(half.itt, PDU_TAG_RESERVED, 0, BLOCK, true);
    data_out_send(&c, &out, data, 3 * BLOCK);
    world_pass(&w, PATIENCE_NS);
    assert_true(client_quiet(&c) && client_quiet(&d) && !c.closed && !d.closed);
    out = data_out(whole.itt, PDU_TAG_RESERVED, 1, 4 * BLOCK, true);
    data_out_send(&c, &out, data, BLOCK);
    expect_reject(&c);
    expect_unwritten(&d, late + 3); /* what was sent after it is carried out */
    PROVES("R7143-11.5.1-05", "target");
    PROVES("R7143-4.2.3.3-11", "target");
}

static uint32_t at_once; /* writes that were carried out on the spot */

static bool write_at_once(struct store *store, struct io *io, const struct store_req *req)
{
    struct ram *ram = container_of(store, struct ram, store);
    (void)io;
    if (req->verb != STORE_WRITE)
        return false;
    memcpy(ram->data + req->offset, req->vec[0].ptr, req->vec[0].len);
    at_once++;
    return true;
}

/* The same after the answer, on a single connection, where plain commands are carried out on the spot. Other
 * requests are no tasks that a reset ends. */
static void a_late_command_has_ended_with_the_reset(void **state)
{
    (void)state;
    memset(data, 0xa5, sizeof data);
    client_login(&c, "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=8192");
    client_settle(&c, 0);
    static const struct store_ops ops = {.kind = "ram", .attempt = write_at_once};
    w.rams[0].store.ops = &ops;
    w.rams[0].store.info.attempt_max = 8 * BLOCK;
    w.r.scsi.io = (struct io *)(void *)&at_once;
    at_once = 0;
    const uint32_t late = c.cmd_sn;
    for (uint32_t covered = 3; covered >= 2; covered--) { /* the second one takes nothing back */
        c.cmd_sn = late + covered;
        uint32_t reset = function_send(&c, TARGET_WARM_RESET);
        assert_int_equal(tmf_answer(&c).itt, reset);
    }
    struct pdu_scsi_command p = write_of(&c, late, true);
    command_send(&c, &p, data, 8 * BLOCK);
    struct pdu_nop_out ping;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_nop_out_init(&ping);
    ping.itt = c.itt++;
    ping.ttt = PDU_TAG_RESERVED;
    ping.cmd_sn = late + 1;
    ping.exp_stat_sn = c.exp_stat_sn;
    pdu_nop_out_encode(&ping, bhs);
    client_send(&c, bhs, NULL, 0);
    struct pdu_nop_in answer;
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &answer);
    assert_int_equal(answer.itt, ping.itt);
    assert_int_equal(answer.exp_cmd_sn, late + 2);
    c.exp_stat_sn = answer.stat_sn + 1;
    p = write_of(&c, late + 2, true);
    command_send(&c, &p, data, 8 * BLOCK);
    world_pass(&w, PATIENCE_NS);
    assert_true(client_quiet(&c) && !c.closed);
    expect_unwritten(&c, late + 3);
    p = write_of(&c, late + 4, true);
    assert_int_equal(at_once, 0);
    command_send(&c, &p, data, 8 * BLOCK);
    assert_int_equal(expect_response(&c).status, 0);
    assert_int_equal(at_once, 1);
    PROVES("R7143-11.5.1-05", "target");
}

/* The reset's connection breaks: an initiator that may not have had the response tries what is missing again,
 * and is not left waiting. Nothing is carried out: the response may have arrived, too. */
static void a_command_tried_again_after_an_unheard_reset_is_answered(void **state)
{
    static const struct {
        bool fenced, acked,
            again;      /* no response before the break; it was acknowledged; a second reset is heard */
        uint8_t status; /* 255: no answer */
    } rows[] = {{false, false, false, 8},
                {true, false, false, 8},
                {false, true, false, 255},
                {false, false, true, 255}};
    memset(data, 0xa5, sizeof data);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        client_login(&c, "MaxConnections=2\nErrorRecoveryLevel=2\nDefaultTime2Wait=0\nDefaultTime2Retain=60\n"
                         "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=8192");
        client_settle(&c, 0);
        client_join(&d, &c, 2);
        const uint32_t late = c.cmd_sn;
        c.cmd_sn = d.cmd_sn = late + 1;
        function_send(&d, TARGET_WARM_RESET);
        const uint32_t ping = expect_ping(&c); /* the response waits for what this acknowledges */
        assert_true(client_quiet(&d));
        if (!rows[i].fenced) {
            nop_ack(&c, ping, 0);
            assert_int_equal(tmf_answer(&d).response, 0);
        }
        if (rows[i].acked)
            nop_ack(&d, expect_ping(&d), 0);
        tgt_conn_lost(d.conn, 0);
        world_pump(&w);
        client_expect(&c, PDU_OP_async_message); /* that it was dropped */
        c.exp_stat_sn++;
        if (rows[i].again) {
            function_send(&c, TARGET_WARM_RESET);
            assert_int_equal(tmf_answer(&c).response, 0);
        }
        struct pdu_scsi_command p = write_of(&c, late, true);
        command_send(&c, &p, data, 8 * BLOCK);
        world_pass(&w, PATIENCE_NS);
        uint8_t status = 255;
        struct reply *reply; /* beside it pings */
        while ((reply = client_reply(&c)) != NULL)
            if (pdu_opcode(reply->bhs) == PDU_OP_scsi_response && pdu_itt(reply->bhs) == p.itt)
                status = reply->bhs[3];
        assert_int_equal(status, rows[i].status);
        assert_true(!c.closed);
        expect_unwritten(&c, late + 1);
        teardown(state);
        setup(state);
    }
    PROVES("R7143-11.5.1-05", "target");
}

static uint32_t refused_in; /* so many allocations on, one cannot be had */

static void *alloc_but_one(void *ctx, size_t size, size_t align)
{
    return --refused_in == 0 ? NULL : world_alloc(ctx, size, align);
}

/* A reset that was refused has taken nothing. */
static void a_refused_reset_leaves_what_has_not_come(void **state)
{
    (void)state;
    client_login(&c, "");
    client_settle(&c, 0);
    const uint32_t late = c.cmd_sn;
    c.cmd_sn = late + 1;
    refused_in = 2; /* after the function itself, what one LU would be told by */
    w.env.alloc = alloc_but_one;
    uint32_t reset = function_send(&c, TARGET_WARM_RESET);
    w.env.alloc = world_alloc;
    struct pdu_task_management_response rsp = tmf_answer(&c);
    assert_int_equal(rsp.itt, reset);
    assert_int_equal(rsp.response, 255);
    c.cmd_sn = late;
    read_send(&c, 0, 1);
    read_collect(&c, data, BLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answered_abort_is_the_last_word, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_takes_what_has_not_begun, setup, teardown),
        cmocka_unit_test_setup_teardown(a_target_reset_takes_what_has_not_come, setup, teardown),
        cmocka_unit_test_setup_teardown(a_command_tried_again_after_an_unheard_reset_is_answered, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_late_command_has_ended_with_the_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_reset_leaves_what_has_not_come, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
