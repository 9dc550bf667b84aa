/* Goal: the target's timers to the nanosecond. Method: raw initiators; every timer is announced by
 * tgt_deadline, does nothing one nanosecond early, and fires on time. */
#include "proves.h"
#include "target_edges.h"

/* The engine asks to be woken in `ns`, and sleeps until the last of them. */
static void sleeps_until_the_last(uint64_t ns)
{
    assert_int_equal(tgt_deadline(&w.r) - w.now, ns);
    world_pass(&w, ns - 1);
    assert_true(client_quiet(&c) && !c.closed);
    assert_int_equal(tgt_deadline(&w.r) - w.now, 1);
    world_pass(&w, 1);
}

static void a_login_has_its_time_and_no_more(void **state)
{
    (void)state;
    w.config->limits.login_timeout_ns = 7 * SECOND_NS;
    client_fini(&c);
    client_init(&c, &w);
    client_login_step(&c, 0, -1, NAMES "\nSessionType=Normal\nAuthMethod=None");
    w.r.deadline_ns = w.now; /* the next is found anew */
    tgt_tick(&w.r);
    sleeps_until_the_last(7 * SECOND_NS);
    assert_true(c.closed);
    assert_int_equal(tgt_deadline(&w.r), UINT64_MAX);
}

static void a_session_at_rest_has_no_timer(void **state)
{
    (void)state;
    login(2, "");
    world_pass(&w, 3600 * SECOND_NS);
    world_pass(&w, 1);
    assert_true(client_quiet(&c) && !c.closed);
    assert_int_equal(tgt_deadline(&w.r), UINT64_MAX);
}

static void data_that_was_asked_for_has_ten_seconds(void **state)
{
    (void)state;
    login(1, "InitialR2T=Yes");
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    w.r.deadline_ns = w.now;
    tgt_tick(&w.r);
    sleeps_until_the_last(10 * SECOND_NS);
    assert_int_equal(expect_r2t(&c).buffer_offset, r2t.buffer_offset);
    assert_int_equal(tgt_deadline(&w.r) - w.now, 10 * SECOND_NS); /* and again as long */
    assert_int_equal(w.r.counters.recovery_r2ts, 1);
}

static void at_level_zero_nobody_waits_for_data(void **state)
{
    (void)state;
    login(0, "InitialR2T=Yes");
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    expect_r2t(&c);
    w.r.deadline_ns = w.now;
    tgt_tick(&w.r);
    assert_int_equal(tgt_deadline(&w.r), UINT64_MAX);
}

static void abort_task_set(struct client *who, uint32_t cmd_sn)
{
    struct pdu_task_management_request t;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_task_management_request_init(&t);
    t.immediate = 1;
    t.function = 2;
    t.itt = who->itt++;
    t.referenced_task_tag = PDU_TAG_RESERVED;
    t.cmd_sn = cmd_sn;
    t.exp_stat_sn = who->exp_stat_sn;
    pdu_task_management_request_encode(&t, bhs);
    client_send(who, bhs, NULL, 0);
}

static void an_abort_waits_ten_seconds_for_data(void **state)
{
    (void)state;
    login(0, "InitialR2T=Yes");
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    expect_r2t(&c);
    abort_task_set(&c, c.cmd_sn);
    sleeps_until_the_last(10 * SECOND_NS);
    client_expect(&c, PDU_OP_task_management_response);
    assert_true(client_quiet(&c));
}

/* It was lost with its connection while it waited: nothing has happened to the tasks that it was for. */
static void an_abort_that_never_began_stops_no_data(void **state)
{
    (void)state;
    login(0, "InitialR2T=Yes\nMaxBurstLength=2048\nFirstBurstLength=2048");
    client_join(&d, &c, 2, "");
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    abort_task_set(&d, c.cmd_sn);
    client_cut(&d);
    client_expect(&c, PDU_OP_async_message);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, data, 2048);
    assert_int_equal(expect_r2t(&c).buffer_offset, 2048);
}

static void a_last_word_has_five_seconds_to_leave(void **state)
{
    (void)state;
    login(0, "");
    c.stuck = true;
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_true(tgt_session_drop(&w.r, info.id));
    world_pump(&w);
    sleeps_until_the_last(5 * SECOND_NS);
    assert_true(c.closed);
}

static void lost_connections_wait_for_both_times(void **state)
{
    (void)state;
    login(2, "DefaultTime2Wait=3\nDefaultTime2Retain=4");
    w.delay = true;
    read_send(&c, 0, 8);
    client_cut(&c);
    assert_int_equal(tgt_deadline(&w.r) - w.now, 7 * SECOND_NS);
    world_pass(&w, 7 * SECOND_NS - 1);
    assert_int_equal(w.downs, 0);
    w.r.deadline_ns = w.now;
    tgt_tick(&w.r);
    assert_int_equal(tgt_deadline(&w.r) - w.now, 1);
    world_pass(&w, 1);
    world_release(&w);
    assert_int_equal(w.downs, 1);
}

/* A recovery logout gives the tasks both times anew. */
static void a_recovery_logout_begins_the_time_again(void **state)
{
    (void)state;
    login(2, "DefaultTime2Wait=3\nDefaultTime2Retain=4");
    client_join(&d, &c, 2, "");
    w.delay = true;
    read_send(&d, 0, 8);
    c.cmd_sn = d.cmd_sn;
    client_cut(&d);
    client_expect(&c, PDU_OP_async_message);
    c.exp_stat_sn++;
    world_pass(&w, 5 * SECOND_NS);
    struct pdu_logout_response rsp = logout_of(&c, 2, d.cid);
    assert_int_equal(rsp.response, 0);
    assert_int_equal(rsp.time2wait, 3);
    assert_int_equal(rsp.time2retain, 4);
    uint64_t timeouts = w.r.transitions[TGT_M1];
    w.r.deadline_ns = w.now;
    tgt_tick(&w.r);
    assert_int_equal(tgt_deadline(&w.r) - w.now, 7 * SECOND_NS);
    world_pass(&w, 7 * SECOND_NS);
    assert_int_equal(w.r.transitions[TGT_M1], timeouts);
    assert_int_equal(tgt_deadline(&w.r), UINT64_MAX); /* the task is given up */
    world_release(&w);
    assert_int_equal(w.downs, 0);
    PROVES("R7143-7.5.2-01", "target");
}

static void pings_are_sent_and_answered_in_time(void **state)
{
    (void)state;
    w.config->limits.nop_interval_ns = 30 * SECOND_NS;
    w.config->limits.nop_timeout_ns = 20 * SECOND_NS;
    login(0, "");
    w.r.deadline_ns = w.now;
    tgt_tick(&w.r);
    sleeps_until_the_last(30 * SECOND_NS);
    struct pdu_nop_in in;
    struct pdu_nop_out out;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
    assert_int_equal(in.ttt, 1);
    assert_int_equal(in.lun, 0);
    pdu_nop_out_init(&out);
    out.immediate = 1;
    out.itt = PDU_TAG_RESERVED;
    out.ttt = in.ttt + 1; /* another tag is no answer */
    out.cmd_sn = c.cmd_sn;
    out.exp_stat_sn = c.exp_stat_sn;
    pdu_nop_out_encode(&out, bhs);
    client_send(&c, bhs, NULL, 0);
    world_pass(&w, 100 * SECOND_NS);
    assert_true(client_quiet(&c) && !c.closed); /* it is still open, and nobody is blamed */
    out.ttt = in.ttt;
    pdu_nop_out_encode(&out, bhs);
    client_send(&c, bhs, NULL, 0);
    sleeps_until_the_last(30 * SECOND_NS);
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
    assert_int_equal(in.ttt, 2);
    w.r.deadline_ns = w.now;
    tgt_tick(&w.r);
    sleeps_until_the_last(20 * SECOND_NS);
    assert_true(c.closed);
}

/* It answers no ping, but it talks: patience begins anew each time. */
static void who_talks_is_alive(void **state)
{
    (void)state;
    w.config->limits.nop_interval_ns = 30 * SECOND_NS;
    w.config->limits.nop_timeout_ns = 20 * SECOND_NS;
    login(0, "");
    struct pdu_nop_in in;
    world_pass(&w, 30 * SECOND_NS);
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
    struct pdu_nop_out out;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_nop_out_init(&out);
    out.immediate = 1;
    out.itt = PDU_TAG_RESERVED;
    out.ttt = in.ttt;
    out.cmd_sn = c.cmd_sn;
    pdu_nop_out_encode(&out, bhs);
    client_send(&c, bhs, NULL, 0);
    world_pass(&w, 30 * SECOND_NS);
    client_expect(&c, PDU_OP_nop_in);
    world_pass(&w, 10 * SECOND_NS);
    client_settle(&c, 0);
    world_pass(&w, 10 * SECOND_NS); /* 20 after the ping: heard of since */
    assert_false(c.closed);
    world_pass(&w, 20 * SECOND_NS - 1);
    assert_false(c.closed);
    world_pass(&w, 1);
    assert_true(c.closed);
    PROVES("R7143-10.7-03", "target");
}

static void discovery_is_not_pinged(void **state)
{
    (void)state;
    w.config->limits.nop_interval_ns = 30 * SECOND_NS;
    w.config->limits.nop_timeout_ns = 20 * SECOND_NS;
    client_discovery(&c);
    for (int i = 0; i < 10; i++)
        world_pass(&w, 30 * SECOND_NS);
    assert_true(client_quiet(&c) && !c.closed);
    client_init(&d, &w);
    d.isid[5] = 9;
    client_login(&d, "");
    world_pass(&w, 30 * SECOND_NS);
    client_expect(&d, PDU_OP_nop_in); /* but others are */
    PROVES("R7143-7.4.3-01", "target");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_login_has_its_time_and_no_more),
        T(a_session_at_rest_has_no_timer),
        T(data_that_was_asked_for_has_ten_seconds),
        T(at_level_zero_nobody_waits_for_data),
        T(an_abort_waits_ten_seconds_for_data),
        T(an_abort_that_never_began_stops_no_data),
        T(a_last_word_has_five_seconds_to_leave),
        T(lost_connections_wait_for_both_times),
        T(a_recovery_logout_begins_the_time_again),
        T(pings_are_sent_and_answered_in_time),
        T(who_talks_is_alive),
        T(discovery_is_not_pinged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
