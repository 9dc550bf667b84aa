/* The initiator's state machines (RFC 7143 chapter 8).
 *
 * Goal: the tables are those of the RFC, nothing else is possible, and each row is really taken by the
 * engine. Method: compare with the RFC's tables written out here; then play a session for each row and look
 * at the counters. */
#include "initiator/iscsi/states.h"
#include "tests/unit/initiator_harness.h"

/* ---- the tables ---- */

/* 8.1.3: rows and columns S1 S2 S4 S5 S6 S7 S8; the number of the transition, 0: none. */
static const int conn_rfc[7][7] = {
    {0, 1, 0, 0, 0, 0, 0},    {2, 0, 4, 0, 0, 0, 0},     {7, 0, 0, 5, 0, 0, 0}, {8, 0, 0, 0, 9, 11, 15},
    {13, 0, 0, 0, 14, 0, 17}, {18, 0, 0, 0, 10, 12, 16}, {0, 0, 0, 0, 0, 0, 0},
};
static const int cleanup_rfc[3][3] = {{0, 2, 1}, {3, 0, 4}, {0, 0, 0}};
static const int session_rfc[3][3] = {{0, 1, 0}, {3, 0, 5}, {6, 4, 0}};

static int named(const struct ini_transition *table, unsigned rows, unsigned from, unsigned to, char letter)
{
    int number = 0;
    for (unsigned i = 0; i < rows; i++) {
        if (table[i].from != from || table[i].to != to)
            continue;
        assert_int_equal(number, 0); /* one row each */
        assert_int_equal(table[i].name[0], letter);
        number = atoi(table[i].name + 1);
    }
    return number;
}

static void the_tables_are_those_of_the_rfc(void **state)
{
    (void)state;
    for (unsigned from = 0; from < 7; from++)
        for (unsigned to = 0; to < 7; to++)
            assert_int_equal(named(ini_conn_table, INI_CONN_TRANSITIONS, from, to, 'T'), conn_rfc[from][to]);
    for (unsigned from = 0; from < 3; from++)
        for (unsigned to = 0; to < 3; to++) {
            assert_int_equal(named(ini_cleanup_table, INI_CLEANUP_TRANSITIONS, from, to, 'M'),
                             cleanup_rfc[from][to]);
            assert_int_equal(named(ini_session_table, INI_SESSION_TRANSITIONS, from, to, 'N'),
                             session_rfc[from][to]);
        }
    PROVES("R7143-8.1.1-01", "initiator");
    PROVES("R7143-8.1.3-01", "initiator");
    PROVES("R7143-8.3.1-01", "initiator");
}

/* ---- each row ---- */

static struct ini_transitions sum; /* over all the sessions below */

static void count(const struct rig *r)
{
    const struct ini_transitions *t = ini_transitions(r->s);
    for (unsigned i = 0; i < INI_CONN_TRANSITIONS; i++)
        sum.conn[i] += t->conn[i];
    for (unsigned i = 0; i < INI_CLEANUP_TRANSITIONS; i++)
        sum.cleanup[i] += t->cleanup[i];
    for (unsigned i = 0; i < INI_SESSION_TRANSITIONS; i++)
        sum.session[i] += t->session[i];
}

static void done(struct rig *r)
{
    rig_lost(r, 0);
    assert_int_equal(ini_session_state(r->s), INI_Q1_FREE); /* wherever it went, it ends there */
    count(r);
    rig_free(r);
}

static void ask_to_leave(struct rig *r)
{
    RIG_PDU(r, async_message, pdu);
    pdu.async_event = 1;
    pdu.parameter3 = 10;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, async_message, &pdu, NULL, 0);
}

static void answer_logout(struct rig *r, uint8_t response)
{
    struct pdu_logout_request asked;
    RIG_TAKE(r, logout_request, &asked);
    rig_logout_response(r, asked.itt, response, 0, 20);
}

static void normal_life(void **state)
{
    (void)state;
    struct rig *r = rig_new(); /* T1 T4 T7: the leading login fails */
    rig_begin(r);
    assert_int_equal(ini_conn_state(r->conn), INI_S4_IN_LOGIN);
    assert_int_equal(ini_session_state(r->s), INI_Q1_FREE);
    rig_cut(r, 0);
    assert_true(rig_closed(r));
    done(r);

    r = rig_at_level(0, false); /* T5 N1, T9 T13 N3 */
    assert_int_equal(ini_conn_state(r->conn), INI_S5_LOGGED_IN);
    assert_int_equal(ini_session_state(r->s), INI_Q3_LOGGED_IN);
    assert_int_equal(ini_logout(r->s), 0);
    rig_pump(r);
    assert_int_equal(ini_conn_state(r->conn), INI_S6_IN_LOGOUT);
    answer_logout(r, 0);
    done(r);
    PROVES("R7143-8.1.2-03", "initiator");
    PROVES("R7143-8.1.2-06", "initiator");
    PROVES("R7143-8.1.2-13", "initiator");
}

/* One of two connections is asked to leave while it is busy: T11 T12 T10 T14 T13; others end with the
 * session: T8 T18. */
static void asked_to_leave(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct rig_command rc;
    struct pdu_scsi_command c;
    rig_join(r, 1);
    rig_join(r, 2);
    rig_use(r, 0);
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    RIG_TAKE(r, scsi_command, &c);
    ask_to_leave(r);
    assert_int_equal(ini_conn_state(r->conn), INI_S7_LOGOUT_REQUESTED);
    ask_to_leave(r);
    assert_int_equal(ini_conn_state(r->conn), INI_S7_LOGOUT_REQUESTED);
    rig_response(r, c.itt, 2, NULL, 0);
    assert_int_equal(ini_conn_state(r->conn), INI_S6_IN_LOGOUT);
    ask_to_leave(r);
    answer_logout(r, 0);

    rig_use(r, 1); /* T8: link 2 goes with the session */
    assert_int_equal(ini_logout(r->s), 0);
    rig_pump(r);
    answer_logout(r, 0);
    done(r);
    rig_command_fini(&rc);

    r = rig_at_level(0, false); /* T18: the one asked to leave goes with the session */
    struct rig_command other;
    rig_join(r, 1);
    rig_command(r, &rc, false, 512, 1);
    rig_command(r, &other, false, 512, 1);
    rig_submit(r, &rc);
    rig_submit(r, &other);
    ask_to_leave(r);
    assert_int_equal(ini_conn_state(r->conn), INI_S7_LOGOUT_REQUESTED);
    assert_int_equal(ini_logout(r->s), 0);
    rig_use(r, 0);
    RIG_TAKE(r, scsi_command, &c);
    rig_response(r, c.itt, 2, NULL, 0);
    rig_use(r, 1);
    RIG_TAKE(r, scsi_command, &c);
    rig_response(r, c.itt, 2, NULL, 0);
    assert_int_equal(ini_conn_state(r->conn), INI_S7_LOGOUT_REQUESTED);
    rig_use(r, 0);
    answer_logout(r, 0);
    done(r);
    rig_command_fini(&rc);
    rig_command_fini(&other);
    PROVES("R7143-8.1.2-10", "initiator");
    PROVES("R7143-8.1.2-11", "initiator");
    PROVES("R7143-8.1.2-14", "initiator");
}

static void failures(void **state)
{
    (void)state;
    struct rig_command rc;
    struct rig *r = rig_at_level(2, false); /* T15 N5, T2, M2 M3 with a failing login, M2 M4 N4 */
    rig_cut(r, ERR_RESET);
    assert_int_equal(ini_session_state(r->s), INI_Q4_FAILED);
    ini_connect_failed(r->s);
    rig_use(r, 1);
    rig_advance(r, 2 * RIG_SECOND);
    assert_int_equal(rig_connect(r), 0);
    rig_cut(r, ERR_RESET);
    rig_advance(r, 2 * RIG_SECOND);
    rig_forget_events(r);
    rig_join(r, 2);
    assert_int_equal(ini_session_state(r->s), INI_Q3_LOGGED_IN);
    rig_cut(r, ERR_RESET); /* and then nobody comes: M1 N6 */
    rig_advance(r, 2 * RIG_SECOND);
    rig_advance(r, 21 * RIG_SECOND);
    assert_true(rig_closed(r));
    done(r);

    r = rig_at_level(2, false); /* T16: it fails while it was to leave */
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    ask_to_leave(r);
    rig_cut(r, ERR_RESET);
    done(r);
    rig_command_fini(&rc);

    r = rig_at_level(2, false); /* T17: its logout fails, and another one cleans up */
    rig_join(r, 1);
    assert_int_equal(ini_conn_logout(r->conn), 0);
    rig_pump(r);
    answer_logout(r, 3);
    assert_true(rig_closing(r));
    rig_use(r, 0);
    rig_advance(r, 2 * RIG_SECOND);
    answer_logout(r, 0);
    assert_true(ini_is_up(r->s));
    done(r);

    r = rig_at_level(0, false); /* T17: nobody answers */
    rig_join(r, 1);
    assert_int_equal(ini_conn_logout(r->conn), 0);
    rig_pump(r);
    rig_advance(r, 5 * RIG_SECOND);
    assert_true(rig_closing(r));
    assert_true(ini_is_up(r->s));
    done(r);
    PROVES("R7143-8.1.2-01", "initiator");
    PROVES("R7143-8.1.2-15", "initiator");
    PROVES("R7143-8.1.2-18", "initiator");
    PROVES("R7143-8.2.2-01", "initiator");
    PROVES("R7143-8.2.2-02", "initiator");
    PROVES("R7143-8.3.4-02", "initiator");
    PROVES("R7143-8.3.4-03", "initiator");
}

static void no_row_is_dead(void **state)
{
    (void)state;
    for (unsigned i = 0; i < INI_CONN_TRANSITIONS; i++)
        if (!sum.conn[i])
            fail_msg("%s was never taken", ini_conn_table[i].name);
    for (unsigned i = 0; i < INI_CLEANUP_TRANSITIONS; i++)
        if (!sum.cleanup[i])
            fail_msg("%s was never taken", ini_cleanup_table[i].name);
    for (unsigned i = 0; i < INI_SESSION_TRANSITIONS; i++)
        if (!sum.session[i])
            fail_msg("%s was never taken", ini_session_table[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_are_those_of_the_rfc),
        cmocka_unit_test(normal_life),
        cmocka_unit_test(asked_to_leave),
        cmocka_unit_test(failures),
        cmocka_unit_test(no_row_is_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
