/* Asynchronous Messages: each event that calls for one, on the right connections, with the right parameters,
 * and the rules for pings. Method: raw initiators; the host's side (configuration, resize, administrator,
 * stop) is called directly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_full.h"

static struct world w;
static struct client c, d;

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
static void settle(struct client *who)
{
    client_settle(who, 0);
    client_settle(who, 1);
}
static uint64_t session_id(void)
{
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    return info.id;
}
static void adopt(struct tgt_config *config)
{
    tgt_reactor_set_config(&w.r, config);
    tgt_config_unref(config);
    world_pump(&w);
}

/* ---- drops ---- */

static void dropped_session_is_told_on_every_connection(void **state)
{
    (void)state;
    client_login(&c, "MaxConnections=4\nDefaultTime2Wait=7\nDefaultTime2Retain=30");
    settle(&c);
    client_join(&d, &c, 2);
    assert_true(tgt_session_drop(&w.r, session_id()));
    world_pump(&w);
    struct client *both[] = {&c, &d};
    for (int i = 0; i < 2; i++) {
        struct pdu_async_message async = expect_async(both[i], 3);
        assert_int_equal(async.parameter1, 0);
        assert_int_equal(async.parameter2, 7);
        assert_int_equal(async.parameter3, 0); /* the administrator's word: nothing to reassign */
        assert_int_equal(async.lun, 0);
        assert_true(client_quiet(both[i]) && both[i]->closed);
    }
    assert_int_equal(w.downs, 1);
    PROVES("R7143-11.9.1-17", "target");
    PROVES("R7143-4.2.6-03", "target");
}

static void nobody_waits_long_for_a_peer_that_does_not_read(void **state)
{
    (void)state;
    client_login(&c, "");
    settle(&c);
    c.stuck = true;
    assert_true(tgt_session_drop(&w.r, session_id()));
    world_pump(&w);
    assert_false(c.closed);
    world_pass(&w, 5100000000u);
    assert_true(c.closed);
    assert_int_equal(w.downs, 1);
}

static void removed_target_is_told(void **state)
{
    (void)state;
    client_init(&d, &w);
    d.isid[5] = 2;
    assert_int_equal(
        login_status(client_login_step(&d, 1, 3, "InitiatorName=" INITIATOR "\nTargetName=" SECOND)), 0);
    adopt(world_config(&w, 1));
    expect_async(&d, 3);
    assert_true(d.closed);
}

static void connection_drop_is_told_on_another(void **state)
{
    (void)state;
    client_login(&c, "MaxConnections=4\nDefaultTime2Wait=7\nDefaultTime2Retain=30");
    settle(&c);
    client_join(&d, &c, 9);
    tgt_conn_lost(d.conn, ERR_RESET);
    world_pump(&w);
    struct pdu_async_message async = expect_async(&c, 2);
    assert_int_equal(async.parameter1, 9);
    assert_int_equal(async.parameter2, 7);
    assert_int_equal(async.parameter3, 0); /* recovery level 0: its tasks are gone */
    assert_false(c.closed);
    client_settle(&c, 0);
    PROVES("R7143-11.9.1-07", "target");
    PROVES("R7143-8.1.2-17", "target");
}

static void logout_of_one_connection_is_no_drop(void **state)
{
    (void)state;
    client_login(&c, "MaxConnections=4");
    settle(&c);
    client_join(&d, &c, 9);
    d.cmd_sn = c.cmd_sn;
    logout_send(&d, 1, 9, 77);
    client_expect(&d, PDU_OP_logout_response);
    assert_true(d.closed);
    assert_true(client_quiet(&c) && !c.closed);
}

static void recovery_level_two_is_told_how_long_tasks_wait(void **state)
{
    (void)state;
    w.config->targets[0].keys.error_recovery_level = 2;
    client_login(&c, "MaxConnections=4\nErrorRecoveryLevel=2\nDefaultTime2Wait=3\nDefaultTime2Retain=15");
    settle(&c);
    client_join(&d, &c, 9);
    tgt_conn_lost(d.conn, ERR_RESET);
    world_pump(&w);
    struct pdu_async_message async = expect_async(&c, 2);
    assert_int_equal(async.parameter1, 9);
    assert_int_equal(async.parameter2, 3);
    assert_int_equal(async.parameter3, 15);
    /* the administrator ends the session: nothing of it waits */
    assert_true(tgt_session_drop(&w.r, session_id()));
    world_pump(&w);
    assert_int_equal(expect_async(&c, 3).parameter3, 0);
    assert_true(c.closed);
    assert_int_equal(w.downs, 1);
}

static void stop_does_not_wait_for_lost_connections(void **state)
{
    (void)state;
    w.config->targets[0].keys.error_recovery_level = 2;
    client_login(&c, "ErrorRecoveryLevel=2\nDefaultTime2Wait=3\nDefaultTime2Retain=3600");
    settle(&c);
    w.delay = true;
    read_send(&c, 0, 1);
    tgt_conn_lost(c.conn, ERR_RESET);
    world_pump(&w);
    world_release(&w);
    assert_int_equal(w.downs, 0); /* it could come back */
    tgt_stop(&w.r, false);
    world_pump(&w);
    world_pass(&w, 4000000000u);
    assert_int_equal(w.downs, 1);
}

/* ---- stopping ---- */

static void stop_waits_as_long_as_it_said(void **state)
{
    (void)state;
    w.config->limits.stop_wait_ns = 7500000000u;
    client_login(&c, "MaxConnections=2");
    settle(&c);
    client_join(&d, &c, 2);
    tgt_stop(&w.r, false);
    world_pump(&w);
    assert_int_equal(expect_async(&c, 1).parameter3, 8);
    assert_int_equal(expect_async(&d, 1).parameter3, 8);
    /* one obeys */
    logout_send(&c, 0, 0, 77);
    client_expect(&c, PDU_OP_logout_response);
    assert_true(c.closed && d.closed);
    assert_int_equal(w.downs, 1);
}

static void discovery_hears_nothing(void **state)
{
    (void)state;
    client_discovery(&c);
    uint64_t id = session_id();
    assert_false(tgt_session_notify(&w.r, id, 1, "x", 1));
    adopt(world_config(&w, 1));
    assert_true(client_quiet(&c));
    tgt_stop(&w.r, false);
    world_pump(&w);
    assert_true(client_quiet(&c));
    assert_true(c.closed);
    PROVES("R7143-7.4.3-01", "target");
}

/* ---- SCSI events ---- */

static void new_luns_are_told_once(void **state)
{
    (void)state;
    client_login(&c, "");
    settle(&c);
    struct tgt_config *fewer = world_config(&w, 2);
    fewer->targets[0].map.count = 1;
    adopt(fewer);
    struct pdu_async_message async = expect_async(&c, 0);
    uint32_t len = be16_get(c.reply.data);
    assert_int_equal(len + 2, c.reply.len);
    assert_true(sense_is(&c, 6, 0x3f, 0x0e));
    assert_int_equal(async.async_vcode, 0);
    assert_true(client_quiet(&c));
    /* the unit attention is there all the same */
    unit_ready_send(&c, 0);
    assert_int_equal(expect_response(&c).status, 2);
    assert_true(sense_is(&c, 6, 0x3f, 0x0e));
    adopt(world_config(&w, 2)); /* and back: another change, another message */
    expect_async(&c, 0);
    assert_true(client_quiet(&c));
    PROVES("R7143-11.9.4-02", "target");
    PROVES("R7143-11.9.1-15", "target");
}

static void other_capacity_is_told_with_its_lun(void **state)
{
    (void)state;
    client_login(&c, "");
    settle(&c);
    struct scsi_tmf done = {.detached = false};
    w.rams[1].store.info.size = BLOCKS / 2 * BLOCK;
    scsi_lu_resized(&w.r.scsi, w.rams[1].lu, &done);
    /* its completion is the device server's to free when detached; here it is ours to take */
    while (!scsi_next_tmf(&w.r.scsi)) {
        struct scsi_msg *msg = tgt_next_message(&w.r);
        assert_non_null(msg);
        tgt_message(&w.r, msg);
    }
    world_pump(&w);
    struct pdu_async_message async = expect_async(&c, 0);
    assert_int_equal(async.lun, 1ull << 48);
    assert_true(sense_is(&c, 6, 0x2a, 0x09));
    w.rams[1].store.info.size = BLOCKS * BLOCK;
    PROVES("R7143-11.9.3-01", "target");
}

static void vendor_event_carries_text(void **state)
{
    (void)state;
    client_login(&c, "");
    settle(&c);
    assert_true(tgt_session_notify(&w.r, session_id(), 42, "hello", 5));
    world_pump(&w);
    assert_int_equal(expect_async(&c, 255).async_vcode, 42);
    assert_int_equal(c.reply.len, 7);
    assert_int_equal(be16_get(c.reply.data), 0);
    assert_memory_equal(c.reply.data + 2, "hello", 5);
    assert_false(tgt_session_notify(&w.r, session_id() + 1, 42, "hello", 5));
    PROVES("R7143-11.9.4-03", "target");
}

/* ---- renegotiation ---- */

static struct tgt_config *with_max_recv(uint32_t len)
{
    struct tgt_config *config = world_config(&w, 2);
    config->targets[0].keys.max_recv_data_segment_length = len;
    return config;
}

/* Another initiator clears one LU: the message speaks of that one, and what runs on the other goes on. */
static void only_the_cleared_lun_is_spoken_of(void **state)
{
    (void)state;
    for (uint64_t lun = 0; lun < 2; lun++) {
        client_fini(&c);
        client_init(&c, &w);
        client_login(&c, "");
        settle(&c);
        client_other(&d, &w, 2, "TaskReporting=FastAbort\nInitialR2T=Yes\nImmediateData=No");
        settle(&d);
        struct pdu_r2t r2ts[2] = {write_begin(&d, 0), write_begin(&d, 1)};
        uint32_t twin = write_begin(&d, lun).itt;
        assert_int_equal(tmf_do(&c, 5, lun, PDU_TAG_RESERVED, 0).response, 0);
        assert_int_equal(expect_async(&d, 5).lun >> 48, lun); /* once, for two tasks */
        for (int i = 0; i < 2; i++) {
            uint32_t itt = i ? twin : r2ts[lun].itt;
            struct pdu_scsi_response rsp = expect_response(&d);
            assert_int_equal(rsp.status, 0x40);
            assert_int_equal(rsp.itt, itt);
        }
        assert_true(client_quiet(&d));
        static uint8_t data[8 * BLOCK];
        const struct pdu_r2t *other = &r2ts[!lun];
        struct pdu_data_out out = data_out(other->itt, other->ttt, 0, 0, true);
        data_out_send(&d, &out, data, sizeof data);
        struct pdu_scsi_response rsp = expect_response(&d);
        assert_int_equal(rsp.status, 0);
        assert_int_equal(rsp.itt, other->itt);
        client_fini(&d);
        memset(&d, 0, sizeof d);
    }
    PROVES("R7143-4.2.3.4-14", "target");
}

static void changed_segment_length_is_renegotiated(void **state)
{
    (void)state;
    w.config->targets[0].keys.max_recv_data_segment_length = 8192;
    client_login(&c, "MaxRecvDataSegmentLength=4096");
    settle(&c);
    adopt(with_max_recv(16384));
    struct pdu_async_message async = expect_async(&c, 4);
    assert_int_equal(async.parameter1 | async.parameter2, 0);
    assert_int_not_equal(async.parameter3, 0);
    /* an empty request is enough; the answer has the new value */
    struct pdu_text_response rsp = text_do(&c, "", 300, PDU_TAG_RESERVED);
    assert_int_equal(rsp.final, 1);
    assert_true(reply_has(&c.reply, "MaxRecvDataSegmentLength=16384"));
    /* and counts */
    static uint8_t data[32 * BLOCK];
    struct pdu_scsi_command p = command(&c, false, true, sizeof data);
    cdb_rw(p.cdb, true, 0, 32);
    command_send(&c, &p, data, sizeof data);
    assert_int_equal(expect_response(&c).status, 0);
    /* told once: the next text is free of it, and so is the rest of a longer negotiation */
    text_do(&c, "", 301, PDU_TAG_RESERVED);
    assert_int_equal(c.reply.len, 0);
    /* the other direction, at any time */
    text_do(&c, "MaxRecvDataSegmentLength=512", 302, PDU_TAG_RESERVED);
    p = command(&c, true, false, 4 * BLOCK);
    cdb_rw(p.cdb, false, 0, 4);
    command_send(&c, &p, NULL, 0);
    static uint8_t got[4 * BLOCK];
    read_collect(&c, got, sizeof got);
    assert_true(c.reply.len <= 512);
    PROVES("R7143-6.4-01", "target");
    PROVES("R7143-13.12-02", "target");
}

static void new_length_is_told_once_in_a_sequence(void **state)
{
    (void)state;
    w.config->targets[0].keys.max_recv_data_segment_length = 8192;
    client_login(&c, "");
    settle(&c);
    adopt(with_max_recv(16384));
    expect_async(&c, 4);
    text_send(&c, "", 300, PDU_TAG_RESERVED, false, false);
    struct pdu_text_response rsp = text_answer(&c);
    assert_true(reply_has(&c.reply, "MaxRecvDataSegmentLength=16384"));
    assert_int_equal(rsp.final, 0);
    text_send(&c, "MaxRecvDataSegmentLength=4096", 300, rsp.ttt, false, false);
    rsp = text_answer(&c);
    assert_int_equal(c.reply.len, 0);
    rsp = text_do(&c, "", 300, rsp.ttt);
    assert_int_equal(rsp.final, 1);
    assert_int_equal(c.reply.len, 0);
    PROVES("R7143-6.4-11", "target");
}

static void shorter_segments_leave_room_for_what_is_under_way(void **state)
{
    (void)state;
    w.config->targets[0].keys.max_recv_data_segment_length = 16384;
    client_login(&c, "");
    settle(&c);
    adopt(with_max_recv(8192));
    expect_async(&c, 4);
    text_do(&c, "", 300, PDU_TAG_RESERVED);
    assert_true(reply_has(&c.reply, "MaxRecvDataSegmentLength=8192"));
    static uint8_t data[32 * BLOCK];
    struct pdu_scsi_command p = command(&c, false, true, sizeof data);
    cdb_rw(p.cdb, true, 0, 32);
    command_send(&c, &p, data, sizeof data);
    assert_int_equal(expect_response(&c).status, 0);
}

static void other_keys_wait_for_the_next_login(void **state)
{
    (void)state;
    client_login(&c, "");
    settle(&c);
    struct tgt_config *config = world_config(&w, 2);
    config->targets[0].keys.max_burst_length = 65536;
    adopt(config);
    assert_true(client_quiet(&c));
}

/* ---- pings ---- */

static void rules_decide_who_is_pinged(void **state)
{
    (void)state;
    w.config->limits.nop_interval_ns = 5000000000u;
    w.config->rules = env_alloc(&w.env, 2 * sizeof *w.config->rules);
    w.config->rule_count = 2;
    w.config->rules[0] = (struct tgt_rule){.initiator = "iqn.2010-04.org.ipxe:*", .has_interval = true};
    w.config->rules[1] =
        (struct tgt_rule){.initiator = INITIATOR "*", .has_timeout = true, .nop_timeout_ns = 1000000000u};
    client_login(&c, "");
    settle(&c);
    client_init(&d, &w);
    assert_int_equal(login_status(client_login_step(
                         &d, 1, 3, "InitiatorName=iqn.2010-04.org.ipxe:boot\nTargetName=" TARGET)),
                     0);
    world_pass(&w, 6000000000u);
    uint32_t ttt = expect_ping(&c);
    assert_true(client_quiet(&d));
    nop_ack(&c, ttt, 0);
    world_pass(&w, 6000000000u);
    expect_ping(&c);
    world_pass(&w, 1100000000u); /* its own time-out */
    assert_true(c.closed);
    world_pass(&w, 600000000000u);
    assert_true(!d.closed && client_quiet(&d));
    PROVES("R7143-11.19.3-01", "target");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dropped_session_is_told_on_every_connection),
        TEST(nobody_waits_long_for_a_peer_that_does_not_read),
        TEST(removed_target_is_told),
        TEST(connection_drop_is_told_on_another),
        TEST(logout_of_one_connection_is_no_drop),
        TEST(recovery_level_two_is_told_how_long_tasks_wait),
        TEST(stop_does_not_wait_for_lost_connections),
        TEST(stop_waits_as_long_as_it_said),
        TEST(discovery_hears_nothing),
        TEST(new_luns_are_told_once),
        TEST(other_capacity_is_told_with_its_lun),
        TEST(vendor_event_carries_text),
        TEST(only_the_cleared_lun_is_spoken_of),
        TEST(changed_segment_length_is_renegotiated),
        TEST(new_length_is_told_once_in_a_sequence),
        TEST(shorter_segments_leave_room_for_what_is_under_way),
        TEST(other_keys_wait_for_the_next_login),
        TEST(rules_decide_who_is_pinged),
    };
    return cmocka_run_group_tests_name("target_async", tests, NULL, NULL);
}
