/* The state machines of RFC 7143 chapter 8 at the target. Method: the three tables are compared pair by pair
 * with the RFC's own (written down here once more, as the RFC prints them); then connections and sessions are
 * led along every transition and the reactor's counters are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_recovery.h"

static struct world w;
static struct client c, d;

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    world_init(&w);
    world_recovers(&w);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    w.delay = false;
    world_release(&w);
    client_fini(&c);
    client_fini(&d);
    world_fini(&w);
    return 0;
}
static uint64_t taken(enum tgt_transition t)
{
    return w.r.transitions[t];
}

/* ---- tables ---- */

/* 8.1.4 as printed: from, transition, to. */
struct printed {
    int from, event;
    enum tgt_transition transition;
    int to;
};

static void connection_table_is_the_rfcs(void **state)
{
    (void)state;
    static const struct printed rows[] = {
        {CONN_FREE, CONN_EV_TRANSPORT, TGT_T3, CONN_XPT_UP},
        {CONN_XPT_UP, CONN_EV_LOST, TGT_T6, CONN_FREE},
        {CONN_XPT_UP, CONN_EV_LOGIN, TGT_T4, CONN_IN_LOGIN},
        {CONN_IN_LOGIN, CONN_EV_LOST, TGT_T7, CONN_FREE},
        {CONN_IN_LOGIN, CONN_EV_LOGIN_FAILED, TGT_T7, CONN_FREE},
        {CONN_IN_LOGIN, CONN_EV_CLOSED, TGT_T7, CONN_FREE},
        {CONN_IN_LOGIN, CONN_EV_LOGIN_DONE, TGT_T5, CONN_LOGGED_IN},
        {CONN_LOGGED_IN, CONN_EV_CLOSED, TGT_T8, CONN_FREE},
        {CONN_LOGGED_IN, CONN_EV_LOGOUT, TGT_T9, CONN_IN_LOGOUT},
        {CONN_LOGGED_IN, CONN_EV_ASK_LOGOUT, TGT_T11, CONN_LOGOUT_REQUESTED},
        {CONN_LOGGED_IN, CONN_EV_LOST, TGT_T15, CONN_CLEANUP_WAIT},
        {CONN_IN_LOGOUT, CONN_EV_LOGOUT_DONE, TGT_T13, CONN_FREE},
        {CONN_IN_LOGOUT, CONN_EV_CLOSED, TGT_T13, CONN_FREE},
        {CONN_IN_LOGOUT, CONN_EV_LOST, TGT_T17, CONN_CLEANUP_WAIT},
        {CONN_IN_LOGOUT, CONN_EV_LOGOUT_FAILED, TGT_T17, CONN_CLEANUP_WAIT},
        {CONN_LOGOUT_REQUESTED, CONN_EV_CLOSED, TGT_T18, CONN_FREE},
        {CONN_LOGOUT_REQUESTED, CONN_EV_LOGOUT, TGT_T10, CONN_IN_LOGOUT},
        {CONN_LOGOUT_REQUESTED, CONN_EV_ASK_LOGOUT, TGT_T12, CONN_LOGOUT_REQUESTED},
        {CONN_LOGOUT_REQUESTED, CONN_EV_LOST, TGT_T16, CONN_CLEANUP_WAIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum conn_rfc_state at = (enum conn_rfc_state)rows[i].from;
        uint64_t before = taken(rows[i].transition);
        state_conn(&w.r, &at, (enum conn_rfc_event)rows[i].event);
        assert_int_equal(at, rows[i].to);
        assert_int_equal(taken(rows[i].transition), before + 1);
    }
    PROVES("R7143-8.1.4-01", "target");
    PROVES("R7143-8.1.1-01", "target");
}

static void cleanup_and_session_tables_are_the_rfcs(void **state)
{
    (void)state;
    static const struct printed cleanup[] = {
        {CLEANUP_WAIT, CLEANUP_EV_BEGIN, TGT_M2, CLEANUP_RUNNING},
        {CLEANUP_WAIT, CLEANUP_EV_TIMEOUT, TGT_M1, CLEANUP_FREE},
        {CLEANUP_RUNNING, CLEANUP_EV_FAILED, TGT_M3, CLEANUP_WAIT},
        {CLEANUP_RUNNING, CLEANUP_EV_DONE, TGT_M4, CLEANUP_FREE},
    };
    static const struct printed session[] = {
        {SESSION_FREE, SESSION_EV_LOGIN, TGT_N1, SESSION_ACTIVE},
        {SESSION_ACTIVE, SESSION_EV_NO_LOGIN, TGT_N9, SESSION_FREE},
        {SESSION_ACTIVE, SESSION_EV_UP, TGT_N2, SESSION_LOGGED_IN},
        {SESSION_LOGGED_IN, SESSION_EV_CLOSED, TGT_N3, SESSION_FREE},
        {SESSION_LOGGED_IN, SESSION_EV_FAILED, TGT_N5, SESSION_FAILED},
        {SESSION_FAILED, SESSION_EV_CLOSED, TGT_N6, SESSION_FREE},
        {SESSION_FAILED, SESSION_EV_CONTINUE, TGT_N7, SESSION_IN_CONTINUE},
        {SESSION_IN_CONTINUE, SESSION_EV_CLOSED, TGT_N11, SESSION_FREE},
        {SESSION_IN_CONTINUE, SESSION_EV_UP, TGT_N10, SESSION_LOGGED_IN},
        {SESSION_IN_CONTINUE, SESSION_EV_NOT_CONTINUED, TGT_N8, SESSION_FAILED},
    };
    for (size_t i = 0; i < sizeof cleanup / sizeof cleanup[0]; i++) {
        enum cleanup_state at = (enum cleanup_state)cleanup[i].from;
        state_cleanup(&w.r, &at, (enum cleanup_event)cleanup[i].event);
        assert_int_equal(at, cleanup[i].to);
        assert_int_equal(taken(cleanup[i].transition), 1);
    }
    for (size_t i = 0; i < sizeof session / sizeof session[0]; i++) {
        enum session_rfc_state at = (enum session_rfc_state)session[i].from;
        state_session(&w.r, &at, (enum session_rfc_event)session[i].event);
        assert_int_equal(at, session[i].to);
        assert_int_equal(taken(session[i].transition), 1);
    }
    assert_string_equal(tgt_transition_name(TGT_T3), "T3");
    assert_string_equal(tgt_transition_name(TGT_N11), "N11");
    PROVES("R7143-8.3.2-01", "target");
}

/* ---- ways ---- */

static void a_login_goes_from_transport_to_logged_in(void **state)
{
    (void)state;
    assert_int_equal(taken(TGT_T3), 1);
    assert_int_equal(taken(TGT_T4), 0);
    client_login_step(&c, 1, -1, NAMES "\nSessionType=Normal");
    assert_int_equal(taken(TGT_T4), 1);
    assert_int_equal(taken(TGT_N1), 1);
    assert_int_equal(taken(TGT_T5), 0);
    client_login_step(&c, 1, 3, "");
    assert_int_equal(taken(TGT_T5), 1);
    assert_int_equal(taken(TGT_N2), 1);
    client_settle(&c, 0);
    PROVES("R7143-8.1.2-02", "target");
    PROVES("R7143-8.1.2-04", "target");
    PROVES("R7143-8.3.2-01", "target");
}

static void who_never_logs_in_is_let_go(void **state)
{
    (void)state;
    world_pass(&w, 60 * SECOND_NS);
    assert_true(c.closed);
    assert_int_equal(taken(TGT_T6), 1);
    client_init(&d, &w);
    client_cut(&d);
    assert_int_equal(taken(TGT_T6), 2);
    PROVES("R7143-8.1.2-05", "target");
}

static void a_login_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct pdu_login_response rsp =
        client_login_step(&c, 1, 3, "InitiatorName=" INITIATOR "\nTargetName=iqn.2026-01.com.example:none");
    assert_int_equal(rsp.status_class, 2);
    assert_true(c.closed);
    assert_int_equal(taken(TGT_T7), 1);
    assert_int_equal(taken(TGT_N9), 1);
    client_init(&d, &w);
    client_login_step(&d, 1, -1, NAMES "\nSessionType=Normal");
    client_cut(&d);
    assert_int_equal(taken(TGT_T7), 2);
    assert_int_equal(taken(TGT_N9), 2);
    client_fini(&d);
    client_init(&d, &w);
    client_login_step(&d, 1, -1, NAMES "\nSessionType=Normal");
    world_pass(&w, 60 * SECOND_NS);
    assert_true(d.closed);
    assert_int_equal(taken(TGT_T7), 3);
    assert_int_equal(w.ups, 0);
    PROVES("R7143-8.1.2-07", "target");
    PROVES("R7143-8.3.4-01", "target");
}

static void a_requested_logout_is_done(void **state)
{
    (void)state;
    client_login_level(&c, 0, "");
    tgt_stop(&w.r, false);
    world_pump(&w);
    client_expect(&c, PDU_OP_async_message);
    assert_int_equal(taken(TGT_T11), 1);
    assert_int_equal(logout_of(&c, 0, 0).response, 0);
    assert_true(c.closed);
    assert_int_equal(taken(TGT_T10), 1);
    assert_int_equal(taken(TGT_T13), 1);
    assert_int_equal(taken(TGT_N3), 1);
    PROVES("R7143-8.1.2-12", "target");
    PROVES("R7143-8.1.2-13", "target");
}

static void a_requested_logout_that_does_not_come(void **state)
{
    (void)state;
    client_login_level(&c, 0, "");
    client_init(&d, &w);
    d.isid[5] = 2;
    client_login_level(&d, 0, "");
    tgt_stop(&w.r, false);
    world_pump(&w);
    client_cut(&d);
    assert_int_equal(taken(TGT_T16), 1);
    assert_int_equal(taken(TGT_N5), 1);
    assert_int_equal(taken(TGT_N6), 1);
    world_pass(&w, 60 * SECOND_NS);
    assert_true(c.closed);
    assert_int_equal(taken(TGT_T18), 1);
    PROVES("R7143-8.1.2-16", "target");
}

static void a_logout_that_is_cut_needs_cleanup(void **state)
{
    (void)state;
    client_login_level(&c, 0, "");
    client_settle(&c, 0);
    w.delay = true;
    read_send(&c, 0, 8);
    logout_send(&c, 1, c.cid, 500);
    assert_int_equal(taken(TGT_T9), 1);
    client_cut(&c);
    assert_int_equal(taken(TGT_T17), 1);
    assert_int_equal(taken(TGT_M1), 1);
    PROVES("R7143-8.1.2-16", "target");
}

static void discovery_sessions_know_no_recovery(void **state)
{
    (void)state;
    struct pdu_login_response rsp = client_login_step(
        &c, 1, 3, "InitiatorName=" INITIATOR "\nSessionType=Discovery\nErrorRecoveryLevel=2");
    assert_int_equal(login_status(rsp), 0);
    assert_true(reply_has(&c.reply, "ErrorRecoveryLevel=0"));
    client_cut(&c);
    assert_int_equal(w.downs, 1);
    assert_int_equal(taken(TGT_M1), 1);
    PROVES("R7143-7.4.1-01", "target");
    PROVES("R7143-7.4.1-02", "target");
    PROVES("R7143-7.1.5-05", "target");
    PROVES("R7143-7.1.5-06", "target");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connection_table_is_the_rfcs),
        TEST(cleanup_and_session_tables_are_the_rfcs),
        TEST(a_login_goes_from_transport_to_logged_in),
        TEST(who_never_logs_in_is_let_go),
        TEST(a_login_that_fails_leaves_nothing),
        TEST(a_requested_logout_is_done),
        TEST(a_requested_logout_that_does_not_come),
        TEST(a_logout_that_is_cut_needs_cleanup),
        TEST(discovery_sessions_know_no_recovery),
    };
    return cmocka_run_group_tests_name("target_states", tests, NULL, NULL);
}
