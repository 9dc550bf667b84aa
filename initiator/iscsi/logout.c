/* Logout (RFC 7143 11.14, 11.15): of the session, of one connection, and for recovery of a failed one. */
#include <stdio.h>

#include "common/base/err.h"
#include "initiator/iscsi/internal.h"

enum { LOGOUT_SESSION = 0, LOGOUT_CONNECTION = 1, LOGOUT_RECOVERY = 2 };

bool ini_logout_send(struct ini_conn *conn, uint8_t reason, struct ini_cleanup *cleanup)
{
    struct ini_session *s = conn->s;
    uint32_t itt = ini_slot_take(s, INI_SLOT_LOGOUT);
    if (itt == PDU_TAG_RESERVED)
        return false; /* tried again when something ends */
    struct pdu_logout_request pdu;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_logout_request_init(&pdu);
    pdu.immediate = 1;
    pdu.reason = reason;
    pdu.itt = itt;
    if (reason != LOGOUT_SESSION) /* R7143-11.14.3-01 */
        pdu.cid = cleanup ? cleanup->cid : conn->cid;
    pdu.cmd_sn = s->cmd_sn;
    /* "The last ExpStatSN of the connection to be closed": R7143-11.14.4-01 */
    pdu.exp_stat_sn = cleanup ? cleanup->exp_stat_sn : conn->exp_stat_sn;
    pdu_logout_request_encode(&pdu, bhs);
    ini_slot_find(s, itt)->conn = conn;
    ini_slot_find(s, itt)->cleanup = cleanup;
    ini_slot_find(s, itt)->reason = reason;
    if (!cleanup) {
        ini_conn_move(conn, INI_S6_IN_LOGOUT); /* T9, T10 */
        conn->logout_deadline_ns = env_now(s->env) + INI_LOGOUT_WAIT_NS;
    }
    s->logout_sent = s->logout_sent || reason == LOGOUT_SESSION; /* R7143-11.14-02 */
    ini_queue_pdu(conn, bhs, NULL, NULL);
    return true;
}

/* Before a session's logout nothing of it may be under way; of a connection's, nothing of that connection. */
static bool logout_session_quiet(const struct ini_session *s)
{
    return s->inflight == 0 && list_empty(&s->queue) && list_empty(&s->ending);
}

/* The last connection takes the session along: R7143-11.9.1-03 */
static uint8_t logout_reason(const struct ini_session *s)
{
    return ini_connections(s) == 1 && s->cleanups_used == 0 ? LOGOUT_SESSION : LOGOUT_CONNECTION;
}

void ini_logout_now(struct ini_conn *conn)
{
    ini_logout_send(conn, logout_reason(conn->s), NULL);
}

void ini_logout_when_quiet(struct ini_session *s)
{
    if (s->over || s->logout_sent)
        return;
    list_for_each_safe(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        bool ready =
            !conn->over && (conn->state == INI_S5_LOGGED_IN || conn->state == INI_S7_LOGOUT_REQUESTED);
        if (!ready)
            continue;
        if (s->logout_wanted) {
            if (logout_session_quiet(s)) {
                ini_logout_send(conn, LOGOUT_SESSION, NULL);
                return;
            }
        } else if ((conn->logout_wanted || conn->state == INI_S7_LOGOUT_REQUESTED) &&
                   conn->inflight_count == 0) {
            ini_logout_now(conn);
            if (s->logout_sent)
                return;
        }
    }
}

int ini_logout(struct ini_session *s)
{
    if (s->over || s->state == INI_Q1_FREE)
        return ERR_CLOSED;
    if (s->state == INI_Q4_FAILED) { /* nobody to tell: the target's own time-out does it */
        snprintf(s->reason, sizeof s->reason, "logged out");
        ini_end(s);
        return 0;
    }
    s->logout_wanted = true;
    ini_logout_when_quiet(s);
    return 0;
}

int ini_conn_logout(struct ini_conn *conn)
{
    if (!ini_conn_up(conn))
        return ERR_CLOSED;
    conn->logout_wanted = true;
    ini_go_on(conn->s);
    return 0;
}

/* ---- the answer ---- */

static void logout_session_done(struct ini_session *s, bool closed)
{
    snprintf(s->reason, sizeof s->reason, "logged out");
    s->logged_out = closed; /* R7143-8.1.2-08 */
    ini_end(s);
}

static void logout_conn_done(struct ini_conn *conn)
{
    bool asked = conn->logout_by_ns != 0; /* by the target: another connection may take its place */
    ini_conn_move(conn, INI_S1_FREE);     /* T13 */
    ini_conn_over(conn);
    if (ini_connections(conn->s) == 0 && conn->s->cleanups_used == 0)
        logout_session_done(conn->s, true);
    else if (asked)
        ini_event_add(conn->s, INI_EVENT_CONN_WANTED)->value_ns = env_now(conn->env);
}

void ini_logout_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct ini_session *s = conn->s;
    struct pdu_logout_response pdu;
    pdu_logout_response_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (!ini_status_turn(conn, pdu.stat_sn, frame, true))
        return;
    struct ini_slot *slot = ini_slot_find(s, pdu.itt);
    if (!slot || slot->kind != INI_SLOT_LOGOUT || slot->conn != conn) {
        ini_fail(s, "the target answers a logout that we did not send");
        return;
    }
    uint8_t reason = slot->reason;
    struct ini_cleanup *cleanup = slot->cleanup;
    ini_slot_release(s, pdu.itt);
    if (reason == LOGOUT_RECOVERY) {
        ini_recovery_logout(s, cleanup, pdu.response, pdu.time2wait, pdu.time2retain);
        return;
    }
    struct ini_event *event = ini_event_add(s, INI_EVENT_LOGGED_OUT);
    event->response = pdu.response;
    event->conn = conn;
    if (reason == LOGOUT_SESSION)
        logout_session_done(s, pdu.response == 0); /* whatever it says: we are through with it */
    else if (pdu.response == 0)
        logout_conn_done(conn);
    else
        ini_conn_fail(conn, "the target could not log the connection out"); /* T17: R7143-8.1.2-18 */
}
