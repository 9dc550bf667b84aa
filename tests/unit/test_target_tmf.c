/* Task management beyond the single connection: the functions of RFC 7144, TaskReporting (FastAbort and the
 * response fence), what is waited for and what is told to whom. Method: raw initiators with several sessions
 * and connections, acknowledgements and stores under the test's control. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_full.h"

static struct world w;
static struct client c, d, e;
static uint8_t block[8 * BLOCK];

#define FAST  "TaskReporting=FastAbort"
#define FENCE "TaskReporting=ResponseFence"

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    memset(&e, 0, sizeof e);
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
    client_fini(&e);
    world_fini(&w);
    return 0;
}
static void settle(struct client *who)
{
    client_settle(who, 0);
    client_settle(who, 1);
}

/* ---- RFC 7144 ---- */

static void new_functions_need_level_two(void **state)
{
    (void)state;
    client_login(&c, "iSCSIProtocolLevel=1");
    settle(&c);
    for (uint8_t function = 9; function <= 12; function++) {
        struct pdu_task_management_response rsp = tmf_do(&c, function, 0, PDU_TAG_RESERVED, 0);
        assert_int_equal(rsp.response, 5);
        assert_int_equal(rsp.additional_response, 0);
    }
    assert_false(c.closed);
    PROVES("R7144-4.1-01", "target");
    PROVES("R7144-6.4.1-02", "target");
}

static void query_task_finds_what_is_pending(void **state)
{
    (void)state;
    client_login(&c, "iSCSIProtocolLevel=2");
    assert_true(reply_has(&c.reply, "iSCSIProtocolLevel=2"));
    settle(&c);
    w.delay = true;
    uint32_t sn = c.cmd_sn, itt = read_send(&c, 0, 1);
    struct pdu_task_management_response rsp = tmf_do(&c, 9, 0, itt, sn);
    assert_int_equal(rsp.response, 7);
    assert_int_equal(rsp.additional_response, 0);
    world_release(&w);
    w.delay = false;
    read_collect(&c, block, BLOCK);
    rsp = tmf_do(&c, 9, 0, itt, sn);
    assert_true(rsp.response == 0 || rsp.response == 1);
    /* a number that was skipped counts as received from now on */
    c.cmd_sn++;
    rsp = tmf_do(&c, 9, 0, 7777, c.cmd_sn - 1);
    assert_int_equal(rsp.response, 0);
    assert_int_equal(rsp.exp_cmd_sn, c.cmd_sn);
    PROVES("R7144-6.4.2-02", "target");
    PROVES("R7144-6.3.3-01", "target");
}

/* More tasks than the first table of tags has room for: each is still found by its tag when the table has
 * grown. */
static void query_task_finds_each_of_many(void **state)
{
    (void)state;
    client_login(&c, "iSCSIProtocolLevel=2\nInitialR2T=Yes\nImmediateData=No");
    settle(&c);
    enum { MANY = 100, ROUNDS = 8 };
    static struct pdu_r2t asked[MANY];
    for (uint32_t round = 0; round < ROUNDS; round++) {
        if (round > 0) { /* the table begins small with each service */
            teardown(NULL);
            setup(NULL);
            client_login(&c, "iSCSIProtocolLevel=2\nInitialR2T=Yes\nImmediateData=No");
            settle(&c);
        }
        uint32_t first = c.cmd_sn;
        for (uint32_t i = 0; i < MANY; i++) {
            struct pdu_scsi_command p = command(&c, false, true, BLOCK);
            p.itt = (round * MANY + i) * 0x9e3779b1u;
            cdb_rw(p.cdb, true, i, 1);
            command_send(&c, &p, NULL, 0);
        }
        for (uint32_t i = 0; i < MANY; i++)
            pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &asked[i]);
        for (uint32_t i = 0; i < MANY; i++)
            assert_int_equal(tmf_do(&c, 9, 0, (round * MANY + i) * 0x9e3779b1u, first + i).response, 7);
        for (uint32_t i = 0; i < MANY; i++) {
            struct pdu_data_out out = data_out(asked[i].itt, asked[i].ttt, 0, 0, true);
            data_out_send(&c, &out, block, BLOCK);
            assert_int_equal(expect_response(&c).status, 0);
        }
    }
}

static void query_task_does_not_speak_of_task_management(void **state)
{
    (void)state;
    client_login(&c, "iSCSIProtocolLevel=2");
    settle(&c);
    w.delay = true;
    read_send(&c, 0, 1);
    struct pdu_task_management_request p = tmf_request(&c, 5, 0, PDU_TAG_RESERVED, 0);
    uint32_t reset = tmf_send(&c, &p);
    assert_true(client_quiet(&c));
    assert_int_equal(tmf_do(&c, 9, 0, reset, c.cmd_sn).response, 255);
    assert_int_equal(tmf_do(&c, 1, 0, reset, c.cmd_sn).response, 255);
    assert_int_equal(tmf_do(&c, 8, 0, reset, c.cmd_sn).response, 255);
    text_send(&c, "", 400, PDU_TAG_RESERVED, false, false);
    text_answer(&c);
    assert_int_equal(tmf_do(&c, 8, 0, 400, c.cmd_sn).response, 255);
    world_release(&w);
    assert_int_equal(tmf_answer(&c).itt, reset);
    PROVES("R7144-6.3-08", "target");
    PROVES("R7143-11.5.1-16", "target");
    PROVES("R7143-11.5.1-24", "target");
}

static void query_task_set_sees_the_nexus_and_lun_only(void **state)
{
    (void)state;
    client_login(&c, "iSCSIProtocolLevel=2");
    settle(&c);
    client_other(&d, &w, 2, "iSCSIProtocolLevel=2");
    settle(&d);
    assert_int_equal(tmf_do(&c, 10, 0, PDU_TAG_RESERVED, 0).response, 0);
    w.delay = true;
    read_send(&c, 0, 1);
    assert_int_equal(tmf_do(&c, 10, 0, PDU_TAG_RESERVED, 0).response, 7);
    assert_int_equal(tmf_do(&c, 10, 1, PDU_TAG_RESERVED, 0).response, 0);
    assert_int_equal(tmf_do(&c, 10, 9, PDU_TAG_RESERVED, 0).response, 2);
    assert_int_equal(tmf_do(&d, 10, 0, PDU_TAG_RESERVED, 0).response, 0);
    world_release(&w);
    read_collect(&c, block, BLOCK); /* a query is no end: the response comes after it */
    PROVES("R7144-6.4.2-03", "target");
    PROVES("R7144-6.3-04", "target");
}

static void query_event_shows_the_attention_that_waits(void **state)
{
    (void)state;
    client_login(&c, "iSCSIProtocolLevel=2");
    settle(&c);
    assert_int_equal(tmf_do(&c, 12, 0, PDU_TAG_RESERVED, 0).response, 0);
    client_other(&d, &w, 2, "");
    settle(&d);
    assert_int_equal(tmf_do(&d, 5, 0, PDU_TAG_RESERVED, 0).response, 0);
    struct pdu_task_management_response rsp = tmf_do(&c, 12, 0, PDU_TAG_RESERVED, 0);
    assert_int_equal(rsp.response, 7);
    assert_int_equal(rsp.additional_response >> 16, 0x16);                /* one; UNIT ATTENTION */
    assert_int_equal(rsp.additional_response >> 8 & 0xff, 0x29);          /* a reset */
    assert_int_equal(tmf_do(&c, 12, 0, PDU_TAG_RESERVED, 0).response, 7); /* it stays */
    client_settle(&c, 0);
    assert_int_equal(tmf_do(&c, 12, 0, PDU_TAG_RESERVED, 0).response, 0);
    assert_int_equal(tmf_do(&c, 12, 9, PDU_TAG_RESERVED, 0).response, 2);
    PROVES("R7144-6.4.2-05", "target");
    PROVES("R7144-6.3-03", "target");
    PROVES("R7144-4.1-02", "target");
}

static void nexus_reset_ends_the_session_at_once(void **state)
{
    (void)state;
    client_login(&c, "iSCSIProtocolLevel=2\nDefaultTime2Retain=3600\nErrorRecoveryLevel=2\nMaxConnections=4");
    settle(&c);
    client_join(&e, &c, 2);
    client_other(&d, &w, 2, "");
    settle(&d);
    w.delay = true;
    uint32_t other = read_send(&d, 0, 1);
    read_send(&c, 0, 1);
    struct pdu_scsi_command p = command(&c, true, false, BLOCK);
    p.lun = 1ull << 48;
    cdb_rw(p.cdb, false, 0, 1);
    command_send(&c, &p, NULL, 0);
    e.cmd_sn = c.cmd_sn;
    nop_ack(&e, PDU_TAG_RESERVED, 0);
    struct pdu_task_management_request r = tmf_request(&c, 11, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    assert_true(client_quiet(&c)); /* the store still has its commands */
    world_release(&w);
    w.delay = false;
    assert_int_equal(tmf_answer(&c).response, 0);
    assert_true(client_quiet(&c)); /* and nothing of the commands */
    assert_true(c.closed && e.closed);
    read_collect(&d, block, BLOCK);
    (void)other;
    /* Time2Retain does not count: the session is gone */
    struct client again;
    client_init(&again, &w);
    again.tsih = c.tsih;
    again.cid = 9;
    assert_int_equal(login_status(client_login_step(&again, 1, 3, NAMES)), 0x020a);
    client_fini(&again);
    PROVES("R7144-6.3-09", "target");
    PROVES("R7144-6.3-10", "target");
    PROVES("R7144-6.3-11", "target");
    PROVES("R7144-6.4.2-04", "target");
    PROVES("R7144-6.5-01", "target");
}

static void nexus_reset_lets_data_arrive_that_was_asked_for(void **state)
{
    (void)state;
    client_login(&c, "iSCSIProtocolLevel=2\nInitialR2T=Yes\nImmediateData=No");
    settle(&c);
    struct pdu_r2t r2t = write_begin(&c, 0);
    struct pdu_task_management_request r = tmf_request(&c, 11, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    assert_true(client_quiet(&c) && !c.closed);
    struct pdu_data_out out = data_out(r2t.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, block, sizeof block);
    while (!c.closed && client_quiet(&c))
        world_pass(&w, 1000000000);
    struct reply *reply = client_reply(&c);
    while (reply && pdu_opcode(reply->bhs) != PDU_OP_task_management_response)
        reply = client_reply(&c);
    assert_non_null(reply);
    assert_true(c.closed);
    PROVES("R7144-6.5-02", "target");
}

static void priority_and_qualifier_stay_out_below_level_two(void **state)
{
    (void)state;
    client_login(&c, "iSCSIProtocolLevel=1");
    settle(&c);
    struct pdu_scsi_command p = command(&c, true, false, BLOCK);
    p.priority = 15;
    cdb_rw(p.cdb, false, 0, 1);
    command_send(&c, &p, NULL, 0);
    read_collect(&c, block, BLOCK);
    p = command(&c, true, false, BLOCK);
    p.priority = 3;
    cdb_rw(p.cdb, false, BLOCKS, 1); /* out of range */
    command_send(&c, &p, NULL, 0);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.status, 2);
    assert_int_equal(rsp.status_qualifier, 0);
    assert_true(sense_is(&c, 5, 0x21, 0));
    PROVES("R7143-10.2-01", "target");
    PROVES("R7144-5.1.1-02", "target");
    PROVES("R7144-5.2.1-01", "target");
}

/* ---- one session ---- */

static void abort_of_a_text_exchange_ends_it(void **state)
{
    (void)state;
    client_login(&c, "");
    settle(&c);
    text_send(&c, "MaxRecvDataSegmentLength=65536", 400, PDU_TAG_RESERVED, false, false);
    struct pdu_text_response rsp = text_answer(&c);
    assert_int_equal(rsp.final, 0);
    assert_int_equal(tmf_do(&c, 1, 0, 400, c.cmd_sn).response, 0);
    text_send(&c, "", 400, rsp.ttt, true, false);
    assert_int_equal(expect_reject(&c), 9);
    PROVES("R7143-11.5.1-04", "target");
    PROVES("R7143-11.11.4-03", "target");
}

static void fast_abort_does_not_wait_for_data(void **state)
{
    (void)state;
    client_login(&c, FAST "\nInitialR2T=Yes\nImmediateData=No");
    assert_true(reply_has(&c.reply, FAST));
    settle(&c);
    struct pdu_r2t r2t = write_begin(&c, 0);
    assert_int_equal(tmf_do(&c, 2, 0, PDU_TAG_RESERVED, 0).response, 0);
    assert_true(client_quiet(&c)); /* no asynchronous message on the issuing connection */
    /* data that was on its way is dropped without a word */
    struct pdu_data_out out = data_out(r2t.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, block, sizeof block);
    assert_true(client_quiet(&c) && !c.closed);
    client_settle(&c, 0);
    PROVES("R7143-4.2.3.4-01", "target");
    PROVES("R7143-4.2.3.4-02", "target");
    PROVES("R7143-4.2.3.4-11", "target");
    PROVES("R7143-10.7-01", "target");
    PROVES("R7143-13.23-04", "target");
}

static void fast_abort_waits_for_commands(void **state)
{
    (void)state;
    client_login(&c, FAST);
    settle(&c);
    uint32_t missing = c.cmd_sn++;
    struct pdu_task_management_request r = tmf_request(&c, 5, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    assert_true(client_quiet(&c));
    struct pdu_scsi_command p = command(&c, false, false, 0);
    c.cmd_sn--;
    p.cmd_sn = missing;
    command_send(&c, &p, NULL, 0);
    struct reply *reply = client_reply(&c);
    assert_non_null(reply);
    if (pdu_opcode(reply->bhs) == PDU_OP_scsi_response)
        reply = client_reply(&c);
    assert_int_equal(pdu_opcode(reply->bhs), PDU_OP_task_management_response);
    PROVES("R7143-4.2.3.4-07", "target");
}

static void fast_abort_does_not_wait_for_commands_of_a_target_reset(void **state)
{
    (void)state;
    client_login(&c, FAST);
    settle(&c);
    c.cmd_sn++; /* never comes */
    assert_int_equal(tmf_do(&c, 7, 0, PDU_TAG_RESERVED, 0).response, 0);
    assert_true(c.closed);
    PROVES("R7143-4.2.3.4-09", "target");
}

static void fast_abort_waits_for_the_store(void **state)
{
    (void)state;
    client_login(&c, FAST);
    settle(&c);
    w.delay = true;
    struct pdu_scsi_command p = command(&c, false, true, 8 * BLOCK);
    cdb_rw(p.cdb, true, 0, 8);
    command_send(&c, &p, block, sizeof block);
    assert_true(w.delayed_count > 0);
    struct pdu_task_management_request r = tmf_request(&c, 5, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    assert_true(client_quiet(&c)); /* the write can still reach the medium */
    world_release(&w);
    assert_int_equal(tmf_answer(&c).response, 0);
    assert_true(client_quiet(&c));
    PROVES("R7143-4.2.3.4-10", "target");
}

static void without_fast_abort_data_is_waited_for(void **state)
{
    (void)state;
    client_login(&c, FENCE "\nInitialR2T=Yes\nImmediateData=No");
    settle(&c);
    struct pdu_r2t r2t = write_begin(&c, 0);
    struct pdu_task_management_request r = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    assert_true(client_quiet(&c));
    struct pdu_data_out out = data_out(r2t.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, block, sizeof block);
    struct reply *reply = client_reply(&c);
    if (reply && pdu_opcode(reply->bhs) == PDU_OP_scsi_response)
        reply = client_reply(&c);
    assert_non_null(reply);
    assert_int_equal(pdu_opcode(reply->bhs), PDU_OP_task_management_response);
    PROVES("R7143-13.23-05", "target");
}

static void target_reset_can_be_forbidden(void **state)
{
    (void)state;
    w.config->rules = env_alloc(&w.env, sizeof *w.config->rules);
    w.config->rule_count = 1;
    w.config->rules[0] = (struct tgt_rule){.initiator = INITIATOR, .no_target_reset = true};
    client_login(&c, "");
    settle(&c);
    w.delay = true;
    read_send(&c, 0, 1);
    assert_int_equal(tmf_do(&c, 6, 0, PDU_TAG_RESERVED, 0).response, 6);
    assert_int_equal(tmf_do(&c, 7, 0, PDU_TAG_RESERVED, 0).response, 6);
    world_release(&w);
    read_collect(&c, block, BLOCK); /* nothing was reset */
    assert_int_equal(tmf_do(&c, 5, 0, PDU_TAG_RESERVED, 0).response, 0);
    PROVES("R7143-11.5.1-19", "target");
}

static void target_reset_ends_commands_on_every_lu(void **state)
{
    (void)state;
    client_login(&c, "");
    settle(&c);
    client_other(&d, &w, 2, "");
    settle(&d);
    w.delay = true;
    read_send(&c, 0, 1);
    struct pdu_scsi_command p = command(&d, true, false, BLOCK);
    p.lun = 1ull << 48;
    cdb_rw(p.cdb, false, 0, 1);
    command_send(&d, &p, NULL, 0);
    c.cmd_sn++; /* a command that never came: a reset does not wait for it */
    struct pdu_task_management_request r = tmf_request(&c, 6, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    world_release(&w);
    assert_int_equal(tmf_answer(&c).response, 0);
    assert_true(client_quiet(&c));
    assert_int_equal(expect_response(&d).status, 0x40);
    PROVES("R7143-11.5.1-20", "target");
    PROVES("R7143-4.2.3.3-11", "target");
}

/* ---- third parties ---- */

static void third_party_is_told_of_termination(void **state)
{
    (void)state;
    client_login(&c, FAST "\nInitialR2T=Yes\nImmediateData=No");
    settle(&c);
    client_other(&d, &w, 2, FAST "\nInitialR2T=Yes\nImmediateData=No");
    settle(&d);
    struct pdu_r2t r2t = write_begin(&d, 0);
    write_begin(&d, 0);
    tmf_do(&c, 5, 0, PDU_TAG_RESERVED, 0);
    struct pdu_async_message async = expect_async(&d, 5);
    assert_int_equal(async.lun, 0);
    /* one message for both tasks; they end without waiting for data */
    assert_int_equal(expect_response(&d).status, 0x40);
    assert_int_equal(expect_response(&d).status, 0x40);
    assert_true(client_quiet(&d));
    struct pdu_data_out out = data_out(r2t.itt, r2t.ttt, 0, 0, false);
    data_out_send(&d, &out, block, BLOCK);
    assert_true(client_quiet(&d) && !d.closed);
    nop_ack(&d, PDU_TAG_RESERVED, 0);
    assert_true(client_quiet(&d) && !d.closed);
    client_settle(&d, 0);
    PROVES("R7143-4.2.3.4-12", "target");
    /* the tags are free now: nothing more is known of them */
    out = data_out(r2t.itt, r2t.ttt, 1, BLOCK, true);
    data_out_send(&d, &out, block, BLOCK);
    expect_reject(&d);
    PROVES("R7143-4.2.3.4-17", "target");
    PROVES("R7143-4.2.3.4-08", "target");
}

static void every_lu_has_its_own_message(void **state)
{
    (void)state;
    client_login(&c, ""); /* RFC3720: the third party decides */
    settle(&c);
    client_other(&d, &w, 2, FAST "\nInitialR2T=Yes\nImmediateData=No");
    settle(&d);
    write_begin(&d, 0);
    write_begin(&d, 1);
    tmf_do(&c, 6, 0, PDU_TAG_RESERVED, 0);
    uint64_t luns[2] = {9, 9};
    unsigned messages = 0, responses = 0;
    struct reply *reply;
    while ((reply = client_reply(&d)) != NULL) {
        struct pdu_async_message async;
        if (pdu_opcode(reply->bhs) == PDU_OP_scsi_response) {
            responses++;
            continue;
        }
        assert_int_equal(pdu_opcode(reply->bhs), PDU_OP_async_message);
        pdu_async_message_decode(reply->bhs, &async);
        assert_int_equal(async.async_event, 5);
        assert_true(messages < 2);
        luns[messages++] = async.lun >> 48;
    }
    assert_int_equal(messages, 2);
    assert_int_equal(responses, 2);
    assert_int_equal(luns[0] + luns[1], 1);
    PROVES("R7143-4.2.3.4-14", "target");
    PROVES("R7143-4.2.3.5-01", "target");
    PROVES("R7143-4.2.3.5-02", "target");
}

static void third_party_without_fast_abort_is_not_told(void **state)
{
    (void)state;
    client_login(&c, FAST "\nInitialR2T=Yes\nImmediateData=No");
    settle(&c);
    client_other(&d, &w, 2, "InitialR2T=Yes\nImmediateData=No");
    settle(&d);
    struct pdu_r2t r2t = write_begin(&d, 0);
    uint32_t gap = d.cmd_sn++; /* a command of theirs that has not come is no reason to wait */
    (void)gap;
    assert_int_equal(tmf_do(&c, 5, 0, PDU_TAG_RESERVED, 0).response, 0);
    assert_true(client_quiet(&d)); /* nothing before the data that it was asked for */
    struct pdu_data_out out = data_out(r2t.itt, r2t.ttt, 0, 0, true);
    data_out_send(&d, &out, block, sizeof block);
    assert_int_equal(expect_response(&d).status, 0x40);
    assert_true(client_quiet(&d));
    PROVES("R7143-4.2.3.5-03", "target");
    PROVES("R7143-11.9.1-14", "target");
    PROVES("R7143-4.2.3.3-10", "target");
    PROVES("R7143-4.2.3.2-04", "target");
}

/* ---- several connections ---- */

static void functions_cover_all_connections(void **state)
{
    (void)state;
    client_login(&c, "MaxConnections=4");
    settle(&c);
    client_join(&d, &c, 2);
    w.delay = true;
    read_send(&c, 0, 1);
    d.cmd_sn = c.cmd_sn;
    read_send(&d, 0, 1);
    c.cmd_sn = d.cmd_sn;
    struct pdu_task_management_request r = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    uint32_t later = read_send(&c, 0, 1);
    world_release(&w);
    w.delay = false;
    assert_true(client_quiet(&d)); /* aborted without an answer */
    struct reply *reply = client_reply(&c);
    unsigned answers = 0, reads = 0;
    for (; reply; reply = client_reply(&c)) {
        answers += pdu_opcode(reply->bhs) == PDU_OP_task_management_response;
        if (pdu_opcode(reply->bhs) ==
            PDU_OP_data_in) { /* before the answer, which waits for its acknowledgement */
            struct pdu_data_in in;
            pdu_data_in_decode(reply->bhs, &in);
            assert_true(in.itt == later && in.has_status && answers == 0);
            c.exp_stat_sn = in.stat_sn + 1;
            reads++;
            nop_ack(&c, PDU_TAG_RESERVED, 0);
        }
    }
    assert_int_equal(answers, 1);
    assert_int_equal(reads, 1);
    PROVES("R7143-11.5.1-03", "target");
}

static void other_connections_of_the_issuer_are_told(void **state)
{
    (void)state;
    client_login(&c, FAST "\nMaxConnections=4\nInitialR2T=Yes\nImmediateData=No");
    settle(&c);
    client_join(&d, &c, 2);
    write_begin(&c, 0);
    d.cmd_sn = c.cmd_sn;
    write_begin(&d, 0);
    c.cmd_sn = d.cmd_sn;
    struct pdu_task_management_request r = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    assert_int_equal(expect_async(&d, 5).lun, 0);
    uint32_t ttt = expect_ping(&d); /* the fence asks for the message's acknowledgement */
    assert_true(client_quiet(&c));
    nop_ack(&d, ttt, 0);
    assert_int_equal(tmf_answer(&c).response, 0);
    PROVES("R7143-4.2.3.4-13", "target");
    PROVES("R7143-4.2.3.4-15", "target");
    PROVES("R7143-4.2.3.4-18", "target");
}

/* c and d in one session; d has a response that it has not acknowledged. */
static void two_connections(const char *reporting)
{
    char keys[100];
    snprintf(keys, sizeof keys, "%s\nMaxConnections=4", reporting);
    client_login(&c, keys);
    settle(&c);
    client_join(&d, &c, 2);
    d.cmd_sn = c.cmd_sn;
    unit_ready_send(&d, 0);
    c.cmd_sn = d.cmd_sn;
}

static void fence_waits_for_every_connection(void **state)
{
    (void)state;
    two_connections(FENCE);
    struct pdu_task_management_request r = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    assert_true(client_quiet(&c)); /* d's response is not acknowledged */
    assert_int_equal(expect_response(&d).status, 0);
    uint32_t ping = expect_ping(&d);
    nop_ack(&d, ping, 0);
    assert_int_equal(tmf_answer(&c).itt, r.itt);
    /* up until the answer itself is acknowledged: later responses wait, on both */
    uint32_t ask = expect_ping(&c);
    d.cmd_sn = c.cmd_sn;
    uint32_t itt = unit_ready_send(&d, 0);
    assert_true(client_quiet(&d));
    uint32_t other = unit_ready_send(&d, 1); /* of another LU: does not */
    assert_int_equal(expect_response(&d).itt, other);
    nop_ack(&c, ask, 0);
    assert_int_equal(expect_response(&d).itt, itt);
    PROVES("R7143-4.2.2.3.2-01", "target");
    PROVES("R7143-4.2.2.3.2-02", "target");
    PROVES("R7143-4.2.2.3.3-01", "target");
    PROVES("R7143-4.2.2.3.3-02", "target");
    PROVES("R7143-4.2.2.3.3-03", "target");
    PROVES("R7143-4.2.2.3.3-04", "target");
    PROVES("R7143-4.2.2.3.3-05", "target");
    PROVES("R7143-4.2.2.3.4-02", "target");
    PROVES("R7143-4.2.3.3-13", "target");
    PROVES("R7143-4.2.3.3-15", "target");
    PROVES("R7143-13.23-03", "target");
}

static void clear_aca_is_fenced(void **state)
{
    (void)state;
    two_connections(FENCE);
    struct pdu_task_management_request r = tmf_request(&c, 3, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    assert_true(client_quiet(&c));
    expect_response(&d);
    nop_ack(&d, expect_ping(&d), 0);
    assert_int_equal(tmf_answer(&c).itt, r.itt);
    PROVES("R7143-4.2.2.3.4-05", "target");
}

static void attention_of_an_abort_is_fenced(void **state)
{
    (void)state;
    two_connections(FENCE);
    client_other(&e, &w, 2, "");
    settle(&e);
    assert_int_equal(tmf_do(&e, 5, 0, PDU_TAG_RESERVED, 0).response, 0);
    uint32_t itt = unit_ready_send(&c, 0);
    assert_true(client_quiet(&c)); /* d's earlier response comes first */
    expect_response(&d);
    nop_ack(&d, expect_ping(&d), 0);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.itt, itt);
    assert_int_equal(rsp.status, 2);
    assert_true(sense_is(&c, 6, 0x29, c.reply.data[2 + 13]));
    PROVES("R7143-4.2.2.3.4-01", "target");
    PROVES("R7143-4.2.3.3-14", "target");
    PROVES("R7143-4.2.3.4-16", "target");
    PROVES("R7143-4.2.3.6-01", "target");
}

static void preempt_and_abort_is_fenced(void **state)
{
    (void)state;
    two_connections(FENCE);
    struct pdu_scsi_command p = command(&c, false, true, 24);
    p.cdb[0] = 0x5f; /* PERSISTENT RESERVE OUT, PREEMPT AND ABORT */
    p.cdb[1] = 5;
    p.cdb[8] = 24;
    command_send(&c, &p, block, 24);
    assert_true(client_quiet(&c));
    expect_response(&d);
    nop_ack(&d, expect_ping(&d), 0);
    assert_int_equal(expect_response(&c).itt, p.itt);
    PROVES("R7143-4.2.2.3.4-06", "target");
}

static void silent_connection_is_dropped_from_under_the_fence(void **state)
{
    (void)state;
    two_connections(FENCE);
    struct pdu_task_management_request r = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    world_pass(&w, 9000000000);
    assert_true(client_quiet(&c) && !d.closed);
    world_pass(&w, 2000000000);
    assert_true(d.closed && !c.closed);
    struct reply *reply = client_reply(&c);
    while (reply && pdu_opcode(reply->bhs) != PDU_OP_task_management_response)
        reply = client_reply(&c);
    assert_non_null(reply);
    PROVES("R7143-10.7-03", "target");
}

static void initiators_of_rfc_3720_are_not_blamed(void **state)
{
    (void)state;
    two_connections("TaskReporting=RFC3720");
    struct pdu_task_management_request r = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    assert_true(client_quiet(&c));
    world_pass(&w, 11000000000u);
    assert_int_equal(tmf_answer(&c).itt, r.itt);
    assert_false(d.closed);
}

static void connection_that_ends_does_not_hold_the_fence(void **state)
{
    (void)state;
    two_connections(FENCE);
    struct pdu_task_management_request r = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    unit_ready_send(&c, 0); /* waits behind it */
    tgt_conn_lost(d.conn, 0);
    world_pump(&w);
    struct reply *reply = client_reply(&c);
    while (reply && pdu_opcode(reply->bhs) != PDU_OP_task_management_response)
        reply = client_reply(&c);
    assert_non_null(reply);
}

static void logout_for_recovery(struct client *who, uint16_t cid)
{
    logout_send(who, 2, cid, 777);
    client_expect(who, PDU_OP_logout_response);
    who->exp_stat_sn++;
}

/* Recovery level 2: the status of a command was lost with its connection; ABORT TASK brings it again. */
static void abort_after_logout_brings_the_lost_status(void **state)
{
    (void)state;
    w.config->targets[0].keys.error_recovery_level = 2;
    client_login(&c, "MaxConnections=4\nErrorRecoveryLevel=2");
    settle(&c);
    client_join(&d, &c, 2);
    d.cmd_sn = c.cmd_sn;
    uint32_t lost = unit_ready_send(&d, 0), number = d.cmd_sn - 1;
    c.cmd_sn = d.cmd_sn;
    tgt_conn_lost(d.conn, 0);
    world_pump(&w);
    expect_async(&c, 2);
    logout_for_recovery(&c, 2);
    struct pdu_task_management_request r = tmf_request(&c, 1, 0, lost, number);
    tmf_send(&c, &r);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.itt, lost);
    assert_int_equal(rsp.status, 0);
    assert_int_equal(tmf_answer(&c).response, 0);
    client_settle(&c, 0);
    PROVES("R7143-11.5.1-26", "target");
}

/* Recovery level 2: a response that waits behind the fence on a connection that is lost goes out after its
 * reassignment, and holds up nobody meanwhile. */
static void lost_connection_leaves_the_fence(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < w.config->target_count; i++)
        w.config->targets[i].keys.error_recovery_level = 2;
    two_connections(FENCE "\nErrorRecoveryLevel=2");
    struct pdu_task_management_request r = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &r);
    d.cmd_sn = c.cmd_sn;
    uint32_t held = unit_ready_send(&d, 0);
    c.cmd_sn = d.cmd_sn;
    tgt_conn_lost(d.conn, 0);
    world_pump(&w);
    /* c: the drop notice, a ping for its acknowledgement, then the answer */
    struct reply *reply = client_reply(&c);
    unsigned answers = 0, notices = 0;
    for (int turn = 0; turn < 8; turn++) {
        for (; reply; reply = client_reply(&c)) {
            if (pdu_opcode(reply->bhs) == PDU_OP_nop_in)
                continue;
            answers += pdu_opcode(reply->bhs) == PDU_OP_task_management_response;
            notices += pdu_opcode(reply->bhs) == PDU_OP_async_message;
            c.exp_stat_sn = be32_get(reply->bhs + 24) + 1;
        }
        nop_ack(&c, PDU_TAG_RESERVED, 0);
        reply = client_reply(&c);
    }
    assert_int_equal(answers, 1);
    assert_int_equal(notices, 1);
    uint32_t itt = unit_ready_send(&c, 0); /* the fence is down */
    assert_int_equal(expect_response(&c).itt, itt);
    /* the lost connection is logged out for recovery and its task taken over */
    logout_for_recovery(&c, 2);
    struct pdu_task_management_response rsp = tmf_do(&c, 8, 0, held, 0);
    if (rsp.response == 0) {
        assert_int_equal(expect_response(&c).itt, held);
    } else {
        assert_int_equal(rsp.response, 1); /* the set was aborted with it */
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(new_functions_need_level_two),
        TEST(query_task_finds_what_is_pending),
        TEST(query_task_finds_each_of_many),
        TEST(query_task_does_not_speak_of_task_management),
        TEST(query_task_set_sees_the_nexus_and_lun_only),
        TEST(query_event_shows_the_attention_that_waits),
        TEST(nexus_reset_ends_the_session_at_once),
        TEST(nexus_reset_lets_data_arrive_that_was_asked_for),
        TEST(priority_and_qualifier_stay_out_below_level_two),
        TEST(abort_of_a_text_exchange_ends_it),
        TEST(fast_abort_does_not_wait_for_data),
        TEST(fast_abort_waits_for_commands),
        TEST(fast_abort_waits_for_the_store),
        TEST(without_fast_abort_data_is_waited_for),
        TEST(target_reset_can_be_forbidden),
        TEST(target_reset_ends_commands_on_every_lu),
        TEST(third_party_is_told_of_termination),
        TEST(every_lu_has_its_own_message),
        TEST(third_party_without_fast_abort_is_not_told),
        TEST(functions_cover_all_connections),
        TEST(other_connections_of_the_issuer_are_told),
        TEST(fence_waits_for_every_connection),
        TEST(clear_aca_is_fenced),
        TEST(attention_of_an_abort_is_fenced),
        TEST(preempt_and_abort_is_fenced),
        TEST(silent_connection_is_dropped_from_under_the_fence),
        TEST(initiators_of_rfc_3720_are_not_blamed),
        TEST(connection_that_ends_does_not_hold_the_fence),
        TEST(lost_connection_leaves_the_fence),
        TEST(abort_after_logout_brings_the_lost_status),
        TEST(fast_abort_does_not_wait_for_commands_of_a_target_reset),
    };
    return cmocka_run_group_tests_name("target_tmf", tests, NULL, NULL);
}
