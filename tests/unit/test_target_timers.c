/* Goal: the target's timers to the nanosecond. Method: raw initiators; every timer is announced by
 * tgt_deadline, also after ticks that were not needed, does nothing one nanosecond early, and fires on time.
 */
#include "proves.h"
#include "target_edges.h"

/* What the engine finds when it looks at all its clocks anew. */
static uint64_t deadline(void)
{
    w.r.deadline_ns = w.now;
    tgt_tick(&w.r);
    world_pump(&w);
    return tgt_deadline(&w.r);
}

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
    (void)deadline();
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
    (void)deadline();
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
    assert_int_equal(deadline(), UINT64_MAX);
}

static void abort_task_set(struct client *who, uint32_t cmd_sn)
{
    struct pdu_task_management_request t = tmf_request(who, 2, 0, PDU_TAG_RESERVED, 0);
    t.cmd_sn = cmd_sn;
    tmf_send(who, &t);
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

/* A function that waits for data has a deadline, however often the clocks are looked at; one that waits for
 * the store has none. */
static void functions_that_wait_keep_their_deadline(void **state)
{
    (void)state;
    client_login_level(&c, 0, "InitialR2T=Yes");
    client_settle(&c, 0);
    assert_true(deadline() == UINT64_MAX);
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    expect_r2t(&c);
    uint64_t due = w.now + 10 * SECOND_NS;
    abort_task_set(&c, c.cmd_sn);
    assert_true(tgt_deadline(&w.r) == due);
    for (int i = 0; i < 3; i++) {
        w.now += SECOND_NS;
        assert_true(deadline() == due);
    }
    assert_true(client_quiet(&c));
    world_pass(&w, due - w.now);
    client_expect(&c, PDU_OP_task_management_response);
    c.exp_stat_sn++;
    assert_true(deadline() == UINT64_MAX);
    w.delay = true;
    struct pdu_task_management_request t = tmf_request(&c, 1, 0, read_send(&c, 0, 1), c.cmd_sn - 1);
    tmf_send(&c, &t);
    assert_true(client_quiet(&c));
    assert_true(deadline() == UINT64_MAX);
    w.delay = false;
    world_release(&w);
    client_expect(&c, PDU_OP_task_management_response);
}

/* Each write has its own time for the data that was asked for: the earliest counts. */
static void the_earliest_data_counts(void **state)
{
    (void)state;
    client_login_level(&c, 1, "InitialR2T=Yes");
    client_settle(&c, 0);
    acknowledge_status(&c);
    uint64_t first = w.now + 10 * SECOND_NS;
    for (int i = 0; i < 3; i++) {
        struct pdu_scsi_command p = write_command(&c, 0, 1);
        command_send(&c, &p, NULL, 0);
        expect_r2t(&c);
        w.now += SECOND_NS;
        assert_true(deadline() == first);
    }
    world_pass(&w, first - 1 - w.now);
    assert_true(client_quiet(&c));
    world_pass(&w, 1);
    expect_r2t(&c); /* asked for again */
    assert_true(client_quiet(&c));
    assert_true(deadline() == first + SECOND_NS); /* the second's */
}

/* A failed write's data was lost: it is asked for again, though nobody needs it, because the status follows
 * it. What was asked for at `first` comes late, and does not count. */
static void expect_failure_after(const struct pdu_scsi_command *p, uint32_t first, uint32_t at, uint32_t len)
{
    struct pdu_r2t r2t = {0};
    for (int i = 0; i < 2; i++) {
        assert_true(client_quiet(&c));
        world_pass(&w, 11 * SECOND_NS);
        r2t = expect_r2t(&c);
        assert_int_equal(r2t.buffer_offset, at);
        assert_int_equal(r2t.desired_data_transfer_length, len);
    }
    struct pdu_data_out out = data_out(p->itt, first, 0, at, true);
    data_out_send(&c, &out, data, len);
    assert_true(client_quiet(&c));
    out = data_out(p->itt, r2t.ttt, 0, at, true);
    data_out_send(&c, &out, data, len);
    assert_int_equal(expect_response(&c).status, 2);
}

static void a_failed_write_waits_for_data_that_was_lost(void **state)
{
    (void)state;
    client_login_level(&c, 1, "InitialR2T=Yes\nImmediateData=Yes");
    client_settle(&c, 0);
    acknowledge_status(&c);
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    w.fail_next = ERR_IO; /* the device's error: the immediate data */
    command_send(&c, &p, data, BLOCK);
    expect_failure_after(&p, expect_r2t(&c).ttt, BLOCK, 7 * BLOCK);
    assert_false(sense_is(&c, 0x0b, 0x47, 0x05)); /* it is the device's error still */
    p = write_command(&c, 0, 8);
    command_send(&c, &p, data, BLOCK);
    struct pdu_r2t r2t = expect_r2t(&c);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, false); /* ours: a wrong offset */
    data_out_send(&c, &out, data, BLOCK);
    assert_int_equal(expect_reject(&c), 9);
    expect_failure_after(&p, r2t.ttt, BLOCK, 7 * BLOCK);
    assert_true(sense_is(&c, 0x0b, 0x4b, 0x05));
    assert_true(deadline() == UINT64_MAX);
    PROVES("R7143-11.4.2-02", "target");
}

static void a_failed_write_waits_for_unsolicited_data_that_was_lost(void **state)
{
    (void)state;
    w.config->targets[0].keys.initial_r2t = false;
    client_login_level(&c, 1, "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=2048");
    client_settle(&c, 0);
    acknowledge_status(&c);
    struct pdu_scsi_command p = write_command(&c, 0x7f000000, 8); /* out of range */
    p.final = 0;
    command_send(&c, &p, data, BLOCK);
    expect_failure_after(&p, PDU_TAG_RESERVED, BLOCK, 3 * BLOCK);
    assert_true(sense_is(&c, 5, 0x21, 0));
    assert_true(deadline() == UINT64_MAX);
    w.delay = true; /* it was lost before the command's turn, and that shows only then */
    read_send(&c, 0, 1);
    p = write_command(&c, 0x7f000000, 8);
    p.attr = 2; /* ORDERED */
    p.final = 0;
    command_send(&c, &p, data, BLOCK);
    world_pass(&w, 11 * SECOND_NS);
    assert_true(client_quiet(&c));
    w.delay = false;
    world_release(&w);
    client_expect(&c, PDU_OP_data_in);
    expect_response(&c);
    expect_failure_after(&p, PDU_TAG_RESERVED, BLOCK, 3 * BLOCK);
    assert_true(sense_is(&c, 5, 0x21, 0));
    PROVES("R7143-11.4.2-02", "target");
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
    assert_int_equal(deadline() - w.now, 1);
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
    assert_int_equal(deadline() - w.now, 7 * SECOND_NS);
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
    (void)deadline();
    sleeps_until_the_last(30 * SECOND_NS);
    struct pdu_nop_in in;
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
    assert_int_equal(in.ttt, 1);
    assert_int_equal(in.lun, 0);
    nop_ack(&c, in.ttt + 1, 0); /* another tag is no answer */
    world_pass(&w, 100 * SECOND_NS);
    assert_true(client_quiet(&c) && !c.closed); /* it is still open, and nobody is blamed */
    nop_ack(&c, in.ttt, 0);
    sleeps_until_the_last(30 * SECOND_NS);
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
    assert_int_equal(in.ttt, 2);
    (void)deadline();
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
    world_pass(&w, 30 * SECOND_NS);
    nop_ack(&c, expect_ping(&c), 0);
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

/* Talk of the very moment of the ping came before it: it is no sign of life afterwards. */
static void silence_since_the_ping_counts(void **state)
{
    (void)state;
    w.config->limits.nop_interval_ns = 5 * SECOND_NS;
    w.config->limits.nop_timeout_ns = 7 * SECOND_NS;
    client_login_level(&c, 0, "");
    for (int round = 0; round < 2; round++) {
        uint64_t heard = w.now;
        assert_true(deadline() == heard + 5 * SECOND_NS);
        world_pass(&w, 5 * SECOND_NS);
        struct pdu_nop_in in;
        pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
        assert_true(in.itt == PDU_TAG_RESERVED && in.ttt != PDU_TAG_RESERVED && in.lun == 0);
        assert_int_equal(in.stat_sn, c.exp_stat_sn);
        if (round == 0)
            nop_ack(&c, in.ttt, 0); /* answered once: from now on answers are expected */
        else
            client_settle(&c, 0); /* at the same nanosecond */
    }
    world_pass(&w, 7 * SECOND_NS - 1);
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
        T(functions_that_wait_keep_their_deadline),
        T(the_earliest_data_counts),
        T(a_failed_write_waits_for_data_that_was_lost),
        T(a_failed_write_waits_for_unsolicited_data_that_was_lost),
        T(an_abort_that_never_began_stops_no_data),
        T(a_last_word_has_five_seconds_to_leave),
        T(lost_connections_wait_for_both_times),
        T(a_recovery_logout_begins_the_time_again),
        T(pings_are_sent_and_answered_in_time),
        T(who_talks_is_alive),
        T(silence_since_the_ping_counts),
        T(discovery_is_not_pinged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
