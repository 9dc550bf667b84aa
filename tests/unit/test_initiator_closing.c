/* A session's logout and what crosses it on its other connections.
 *
 * Goal: once the session is being logged out nothing more is asked for on any of its connections, and they
 * may end in any order: the session was closed, it was not lost. Before that all its commands end, whatever
 * its connections were to do on their own. Method: a scripted target with one link per
 * connection (initiator_harness.h) that asks for logouts of its own at the wrong time. */
#include "tests/unit/initiator_harness.h"

#include "initiator/iscsi/states.h"

enum { LINKS = 3, LOGOUT_REQUEST = 1 };

static uint64_t taken(const struct rig *r, const char *name)
{
    for (uint32_t i = 0; i < INI_CONN_TRANSITIONS; i++)
        if (strcmp(ini_conn_table[i].name, name) == 0)
            return ini_transitions(r->s)->conn[i];
    for (uint32_t i = 0; i < INI_SESSION_TRANSITIONS; i++)
        if (strcmp(ini_session_table[i].name, name) == 0)
            return ini_transitions(r->s)->session[i];
    fail_msg("no transition %s", name);
    return 0;
}

static void ask_for_logout(struct rig *r, uint16_t seconds)
{
    RIG_PDU(r, async_message, pdu);
    pdu.async_event = LOGOUT_REQUEST;
    pdu.parameter3 = seconds;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, async_message, &pdu, NULL, 0);
}

/* The session's logout is the next PDU, and all ends well. */
static void session_logs_out(struct rig *r)
{
    struct pdu_logout_request out;
    rig_forget_events(r);
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 0);
    rig_logout_response(r, out.itt, 0, 0, 0);
    rig_event(r, INI_EVENT_LOGGED_OUT);
    rig_event(r, INI_EVENT_CLOSED);
}

/* Three connections, of which the first has sent the session's logout; then all are asked for theirs. */
static struct rig *rig_crossing(uint16_t seconds, uint32_t *itt)
{
    struct rig *r = rig_new();
    struct pdu_logout_request out;
    r->options.keys.max_connections = r->key_config.max_connections = LINKS;
    r->options.nop_interval_ns = r->options.nop_timeout_ns = RIG_SECOND;
    rig_begin(r);
    rig_login(r);
    rig_join(r, 1);
    rig_join(r, 2);
    rig_use(r, 0);
    assert_int_equal(ini_logout(r->s), 0);
    rig_pump(r);
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 0);
    *itt = out.itt;
    for (uint32_t i = 0; i < 2; i++) { /* the third hears nothing */
        rig_use(r, i);
        ask_for_logout(r, seconds);
    }
    assert_int_equal(taken(r, "T14"), 1);
    assert_int_equal(taken(r, "T11"), 1);
    rig_forget_events(r);
    return r;
}

/* Neither pings nor a logout of its own, although both are due. */
static void nothing_follows_a_sessions_logout(void **state)
{
    (void)state;
    uint32_t itt, tag;
    struct rig *r = rig_crossing(2, &itt);
    for (int i = 0; i < 4; i++) {
        rig_advance(r, RIG_SECOND);
        for (uint32_t link = 0; link < LINKS; link++) {
            rig_use(r, link);
            assert_int_equal(ini_conn_ping(r->conn, NULL, 0, &tag), ERR_CLOSED);
            rig_pump(r);
            assert_true(rig_quiet(r));
        }
    }
    rig_use(r, 0);
    rig_logout_response(r, itt, 0, 0, 0);
    rig_event(r, INI_EVENT_LOGGED_OUT);
    rig_event(r, INI_EVENT_CLOSED);
    assert_int_equal(taken(r, "T8"), 1);
    assert_int_equal(taken(r, "T13"), 1);
    assert_int_equal(taken(r, "T18"), 1);
    assert_int_equal(taken(r, "N3"), 1);
    assert_int_equal(taken(r, "N5"), 0);
    rig_free(r);
    PROVES("R7143-11.14-02", "initiator");
    PROVES("R7143-8.1.2-08", "initiator");
}

/* The same with the ends seen ahead of the answer. */
static void connections_may_end_before_the_answer(void **state)
{
    (void)state;
    uint32_t itt;
    struct rig *r = rig_crossing(10, &itt);
    for (uint32_t link = 1; link < LINKS; link++) {
        rig_use(r, link);
        rig_cut(r, 0);
        assert_false(rig_closed(r));
    }
    assert_int_equal(taken(r, "T15"), 1);
    assert_int_equal(taken(r, "T16"), 1);
    assert_int_equal(taken(r, "N5"), 0);
    rig_use(r, 0);
    rig_logout_response(r, itt, 0, 0, 0);
    rig_event(r, INI_EVENT_LOGGED_OUT);
    rig_event(r, INI_EVENT_CLOSED);
    assert_int_equal(taken(r, "T13"), 1);
    assert_int_equal(taken(r, "T17"), 0);
    assert_int_equal(taken(r, "N3"), 1);
    assert_int_equal(taken(r, "N5"), 0);
    rig_free(r);
}

/* Nobody answers: the logout's own time ends the session. */
static void an_unanswered_session_logout_ends_in_time(void **state)
{
    (void)state;
    uint32_t itt;
    struct rig *r = rig_crossing(2, &itt);
    rig_advance(r, 5 * RIG_SECOND - 1);
    assert_false(rig_closed(r));
    rig_advance(r, 1);
    rig_expect_failure(r, "does not answer the logout");
    assert_int_equal(taken(r, "T17"), 1);
    assert_int_equal(taken(r, "N5"), 1);
    rig_free(r);
    PROVES("R7143-8.1.2-18", "initiator");
}

/* One connection alone: no ping of the host's goes there any more, others are not concerned. */
static void a_connection_that_logs_out_is_not_pinged(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct pdu_logout_request out;
    struct pdu_nop_out ping;
    uint32_t tag;
    rig_join(r, 1);
    assert_int_equal(ini_conn_logout(r->conn), 0);
    rig_pump(r);
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 1);
    assert_int_equal(ini_conn_ping(r->conn, NULL, 0, &tag), ERR_CLOSED);
    rig_pump(r);
    assert_true(rig_quiet(r));
    rig_use(r, 0);
    assert_int_equal(ini_conn_ping(r->conn, NULL, 0, &tag), 0);
    rig_pump(r);
    RIG_TAKE(r, nop_out, &ping);
    assert_int_equal(ping.itt, tag);
    rig_free(r);
    PROVES("R7143-11.14-01", "initiator");
}

/* The next piece of a text's answer is not asked for any more; the text ends with its connection. */
static void a_text_does_not_go_on_behind_its_connections_logout(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct pdu_logout_request out;
    rig_join(r, 1);
    rig_use(r, 0);
    assert_int_equal(ini_text(r->s, "SendTargets=", 13), 0);
    rig_pump(r);
    uint32_t itt = rig_take_text(r).itt;
    assert_int_equal(ini_conn_logout(r->conn), 0);
    rig_pump(r);
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 1);
    rig_text_response(r, itt, 0x77, true, "TargetName=", 11);
    assert_true(rig_quiet(r));
    rig_forget_events(r);
    rig_logout_response(r, out.itt, 0, 0, 0);
    rig_event(r, INI_EVENT_LOGGED_OUT);
    assert_int_equal(rig_event(r, INI_EVENT_TEXT_DONE)->event.response, INI_REPLY_LOST);
    rig_free(r);
    PROVES("R7143-11.14-01", "initiator");
}

/* The same on a connection that is still up when the session is logged out on another. */
static void a_text_does_not_go_on_behind_a_sessions_logout(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    uint32_t itt[2];
    rig_join(r, 1);
    assert_int_equal(ini_set_max_recv(r->s, 1024), 0); /* each connection declares its own */
    for (uint32_t link = 0; link < 2; link++) {
        rig_use(r, link);
        rig_pump(r);
        itt[link] = rig_take_text(r).itt;
    }
    assert_int_equal(ini_logout(r->s), 0);
    rig_text_response(r, itt[1], 0x77, false, NULL, 0);
    assert_true(rig_quiet(r));
    rig_use(r, 0);
    session_logs_out(r);
    rig_free(r);
    PROVES("R7143-11.14-02", "initiator");
}

/* The session's logout waits for a command that has not gone out yet, which needs a connection: the logout of
 * the only one, wanted too, must not be in its way. */
static void queued_commands_go_out_before_both_logouts(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct rig_command rc[2];
    r->max_cmd_sn = 1; /* one command at a time */
    rig_begin(r);
    rig_login(r);
    for (int i = 0; i < 2; i++) {
        rig_command(r, &rc[i], false, 0, 0);
        rig_submit(r, &rc[i]);
    }
    assert_int_equal(ini_logout(r->s), 0);
    assert_int_equal(ini_conn_logout(r->conn), 0);
    for (int i = 0; i < 2; i++) {
        uint32_t itt = rig_take_command(r).itt;
        assert_true(rig_quiet(r));
        rig_response(r, itt, 0, NULL, 0);
        assert_int_equal(rc[i].reported, 1);
        assert_int_equal(rc[i].c.outcome, INI_DONE_STATUS);
    }
    session_logs_out(r);
    rig_free(r);
    for (int i = 0; i < 2; i++)
        rig_command_fini(&rc[i]);
}

/* The failed connection is logged out on this one, which takes over its command. */
static void recover(struct rig *r, uint32_t itt)
{
    struct pdu_logout_request out;
    struct pdu_task_management_request reassign;
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 2);
    rig_logout_response(r, out.itt, 0, 0, 20);
    RIG_TAKE(r, task_management_request, &reassign);
    assert_int_equal(reassign.function, 8);
    assert_int_equal(reassign.referenced_task_tag, itt);
    rig_tmf_response(r, reassign.itt, 0);
}

/* The same for a command whose connection has failed (level 2), with all others to be logged out, too: before
 * or after the session. */
static void recovery_goes_on_before_both_logouts(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct rig *r = rig_at_level(2, false);
        struct rig_command rc[LINKS];
        uint32_t itt[LINKS];
        rig_join(r, 1);
        rig_join(r, 2);
        for (uint32_t i = 0; i < LINKS; i++) {
            rig_command(r, &rc[i], false, 0, 0);
            rig_submit(r, &rc[i]);
            rig_use(r, i);
            struct pdu_scsi_command c;
            RIG_TAKE(r, scsi_command, &c);
            itt[i] = c.itt;
            r->exp_cmd_sn++;
        }
        rig_use(r, 0);
        rig_cut(r, ERR_RESET);
        if (first == 0)
            assert_int_equal(ini_logout(r->s), 0);
        for (uint32_t i = 1; i < LINKS; i++) {
            rig_use(r, i);
            assert_int_equal(ini_conn_logout(r->conn), 0);
        }
        if (first == 1)
            assert_int_equal(ini_logout(r->s), 0);
        for (uint32_t i = 1; i < LINKS; i++) {
            rig_use(r, i);
            rig_response(r, itt[i], 0, NULL, 0);
            assert_int_equal(rc[i].reported, 1);
            assert_true(rig_quiet(r));
        }
        rig_use(r, 1);
        rig_advance(r, 2 * RIG_SECOND);
        recover(r, itt[0]);
        assert_true(rig_quiet(r));
        rig_response(r, itt[0], 0, NULL, 0);
        assert_int_equal(rc[0].c.outcome, INI_DONE_STATUS);
        session_logs_out(r);
        rig_free(r);
        for (uint32_t i = 0; i < LINKS; i++) {
            assert_int_equal(rc[i].reported, 1);
            rig_command_fini(&rc[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_follows_a_sessions_logout),
        cmocka_unit_test(connections_may_end_before_the_answer),
        cmocka_unit_test(an_unanswered_session_logout_ends_in_time),
        cmocka_unit_test(a_connection_that_logs_out_is_not_pinged),
        cmocka_unit_test(a_text_does_not_go_on_behind_its_connections_logout),
        cmocka_unit_test(a_text_does_not_go_on_behind_a_sessions_logout),
        cmocka_unit_test(queued_commands_go_out_before_both_logouts),
        cmocka_unit_test(recovery_goes_on_before_both_logouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
