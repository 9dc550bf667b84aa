/* The tables of chapter 8, and the functions that take their rows. */
#include "initiator/iscsi/states.h"

#include <assert.h>

#include "initiator/iscsi/internal.h"

/* R7143-8.1.3-01 */
const struct ini_transition ini_conn_table[INI_CONN_TRANSITIONS] = {
    {INI_S1_FREE, INI_S2_XPT_WAIT, "T1"},                      /* a transport connection is asked for */
    {INI_S2_XPT_WAIT, INI_S1_FREE, "T2"},                      /* there is none */
    {INI_S2_XPT_WAIT, INI_S4_IN_LOGIN, "T4"},                  /* it is there: login starts */
    {INI_S4_IN_LOGIN, INI_S5_LOGGED_IN, "T5"},                 /* last Login Response, good */
    {INI_S4_IN_LOGIN, INI_S1_FREE, "T7"},                      /* login failed, timed out, cut */
    {INI_S5_LOGGED_IN, INI_S1_FREE, "T8"},                     /* the session was closed elsewhere */
    {INI_S5_LOGGED_IN, INI_S6_IN_LOGOUT, "T9"},                /* Logout sent */
    {INI_S7_LOGOUT_REQUESTED, INI_S6_IN_LOGOUT, "T10"},        /* Logout sent, as asked */
    {INI_S5_LOGGED_IN, INI_S7_LOGOUT_REQUESTED, "T11"},        /* Async: request logout */
    {INI_S7_LOGOUT_REQUESTED, INI_S7_LOGOUT_REQUESTED, "T12"}, /* and again */
    {INI_S6_IN_LOGOUT, INI_S1_FREE, "T13"},                    /* Logout Response, good */
    {INI_S6_IN_LOGOUT, INI_S6_IN_LOGOUT, "T14"},               /* Async: request logout, too late */
    {INI_S5_LOGGED_IN, INI_S8_CLEANUP_WAIT, "T15"},            /* the connection failed */
    {INI_S7_LOGOUT_REQUESTED, INI_S8_CLEANUP_WAIT, "T16"},     /* the same */
    {INI_S6_IN_LOGOUT, INI_S8_CLEANUP_WAIT, "T17"},            /* the same, or the logout failed */
    {INI_S7_LOGOUT_REQUESTED, INI_S1_FREE, "T18"},             /* the session was closed elsewhere */
};

/* R7143-8.2-01 */
const struct ini_transition ini_cleanup_table[INI_CLEANUP_TRANSITIONS] = {
    {INI_R1_CLEANUP_WAIT, INI_R3_FREE, "M1"},       /* timed out, or the session was closed */
    {INI_R1_CLEANUP_WAIT, INI_R2_IN_CLEANUP, "M2"}, /* logout begun, explicit or implicit */
    {INI_R2_IN_CLEANUP, INI_R1_CLEANUP_WAIT, "M3"}, /* it failed */
    {INI_R2_IN_CLEANUP, INI_R3_FREE, "M4"},         /* it succeeded */
};

const struct ini_transition ini_session_table[INI_SESSION_TRANSITIONS] = {
    {INI_Q1_FREE, INI_Q3_LOGGED_IN, "N1"},   /* the first connection is logged in */
    {INI_Q3_LOGGED_IN, INI_Q1_FREE, "N3"},   /* closed by logout */
    {INI_Q4_FAILED, INI_Q3_LOGGED_IN, "N4"}, /* continued on a new connection */
    {INI_Q3_LOGGED_IN, INI_Q4_FAILED, "N5"}, /* no connection is left */
    {INI_Q4_FAILED, INI_Q1_FREE, "N6"},      /* given up */
};

static unsigned state_row(const struct ini_transition *table, unsigned rows, unsigned from, unsigned to)
{
    unsigned row = 0;
    while (row < rows && (table[row].from != from || table[row].to != to))
        row++;
    assert(row < rows && "no such transition");
    return row;
}

void ini_conn_move(struct ini_conn *conn, enum ini_conn_state to)
{
    unsigned row = state_row(ini_conn_table, INI_CONN_TRANSITIONS, conn->state, to);
    conn->s->transitions.conn[row]++;
    env_trace(conn->env, TRACE_DEBUG, "initiator.conn.state", conn->s->options.target_name,
              ini_conn_table[row].name, conn->cid, to);
    conn->state = to;
}

void ini_cleanup_move(struct ini_session *s, struct ini_cleanup *r, enum ini_cleanup_state to)
{
    unsigned row = state_row(ini_cleanup_table, INI_CLEANUP_TRANSITIONS, r->state, to);
    s->transitions.cleanup[row]++;
    r->state = to;
}

void ini_session_move(struct ini_session *s, enum ini_session_state to)
{
    unsigned row = state_row(ini_session_table, INI_SESSION_TRANSITIONS, s->state, to);
    s->transitions.session[row]++;
    env_trace(s->env, TRACE_DEBUG, "initiator.session.state", s->options.target_name,
              ini_session_table[row].name, s->tsih, to);
    s->state = to;
}

const struct ini_transitions *ini_transitions(const struct ini_session *s)
{
    return &s->transitions;
}

enum ini_conn_state ini_conn_state(const struct ini_conn *conn)
{
    return conn->state;
}

enum ini_session_state ini_session_state(const struct ini_session *s)
{
    return s->state;
}
