/* Logout (RFC 7143 11.14, 11.15): tasks end first, then the answer, then the connection. A removal for
 * recovery (level 2) leaves the tasks: they wait for reassignment. */
#include "target/iscsi/conn_internal.h"

enum logout_reason { LOGOUT_CLOSE_SESSION = 0, LOGOUT_CLOSE_CONNECTION = 1, LOGOUT_RECOVERY = 2 };
enum logout_response { LOGOUT_DONE = 0, LOGOUT_NO_CID = 1, LOGOUT_NO_RECOVERY = 2, LOGOUT_FAILED = 3 };

static void respond(struct tgt_conn *conn, uint32_t itt, enum logout_response response)
{
    struct tgt_session *s = conn->session;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_logout_response rsp;
    pdu_logout_response_init(&rsp);
    rsp.itt = itt;
    rsp.response = (uint8_t)response;
    rsp.stat_sn = conn->stat_sn++;
    session_numbers(s, &rsp.exp_cmd_sn, &rsp.max_cmd_sn);
    /* Below recovery level 2 nothing outlives a connection, and both times are zero. R7143-7.5.2-01 */
    if (session_level(s) == 2 && response != LOGOUT_NO_CID) {
        rsp.time2wait = (uint16_t)s->params.default_time2wait;
        rsp.time2retain = (uint16_t)s->params.default_time2retain;
    }
    pdu_logout_response_encode(&rsp, bhs);
    conn_send_status(conn, bhs, NULL, NULL); /* R7143-11.15.2-01 */
}

/* R7143-11.14-03, R7143-7.6-01: all that is pending within the scope ends, without answers. Of a removal for
 * recovery nothing does but what was not acknowledged. */
static void abort_scope(struct tgt_session *s, const struct tgt_conn *conn, bool recovery)
{
    sequence_drop_all(s, conn); /* R7143-11.14-09 */
    if (recovery)
        return;
    task_mgmt_orphan(s, conn);
    list_for_each_safe(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (!conn)
            iscsi_task_abort(task);
        else if (task->conn == conn)
            iscsi_task_terminate(task);
    }
}

/* For the connection that the request came on, or for the session. */
static void begin(struct tgt_conn *conn, const struct pdu_logout_request *req)
{
    struct tgt_session *s = conn->session;
    conn->logout = *req;
    s->logging_out = true;
    state_conn(conn->r, &conn->rfc, CONN_EV_LOGOUT);
    conn_set_state(conn, CONN_LOGOUT);
    abort_scope(s, req->reason == LOGOUT_CLOSE_SESSION ? NULL : conn, req->reason == LOGOUT_RECOVERY);
    if (req->reason == LOGOUT_CLOSE_SESSION)
        lost_end_all(s);
    /* logout_run answers: session_run calls it when all input has been looked at */
}

/* A CID whose transport is gone, or is taken down now: R7143-11.14-07. */
static void remove_other(struct tgt_conn *conn, const struct pdu_logout_request *req)
{
    struct tgt_session *s = conn->session;
    struct tgt_conn *other = session_conn(s, req->cid);
    if (other) {
        other->clean = req->reason == LOGOUT_CLOSE_CONNECTION;
        other->end_known = true;
        conn_drop(other, "logged out from another connection");
    }
    struct tgt_lost *lost = lost_find(s, req->cid);
    if (lost && lost->state == CLEANUP_WAIT)
        state_cleanup(s->r, &lost->state, CLEANUP_EV_BEGIN);
    if (lost && req->reason == LOGOUT_CLOSE_CONNECTION)
        lost_end(lost);
    else if (lost)
        lost_logged_out(lost, s->params.default_time2wait, s->params.default_time2retain); /* R7143-8.2-03 */
    respond(conn, req->itt, LOGOUT_DONE);
}

/* R7143-11.15.1-02. Asked for the connection itself, the logout has failed (R7143-8.1.2-19): it goes. */
static void no_recovery(struct tgt_conn *conn, const struct pdu_logout_request *req)
{
    respond(conn, req->itt, LOGOUT_NO_RECOVERY);
    if (req->cid != conn->cid)
        return;
    enum cleanup_state cleanup = CLEANUP_WAIT;
    state_conn(conn->r, &conn->rfc, CONN_EV_LOGOUT);
    state_conn(conn->r, &conn->rfc, CONN_EV_LOGOUT_FAILED);
    state_cleanup(conn->r, &cleanup, CLEANUP_EV_TIMEOUT);
    conn_close_after_flush(conn, "recovery logout below recovery level 2");
}

void logout_request(struct tgt_conn *conn, const uint8_t *bhs)
{
    struct tgt_session *s = conn->session;
    struct pdu_logout_request req;
    pdu_logout_request_decode(bhs, &req);
    if (req.reason == LOGOUT_RECOVERY && session_level(s) < 2)
        no_recovery(conn, &req);
    else if (req.reason == LOGOUT_CLOSE_SESSION || req.cid == conn->cid)
        begin(conn, &req);
    else if (!session_conn(s, req.cid) && !lost_find(s, req.cid))
        respond(conn, req.itt, LOGOUT_NO_CID); /* R7143-11.15.1-01 */
    else
        remove_other(conn, &req);
}

static bool tasks_left(const struct tgt_session *s, const struct tgt_conn *conn)
{
    if (conn->logout.reason == LOGOUT_RECOVERY)
        return false;
    list_for_each(it, &s->tasks)
    {
        const struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->phase != TASK_DRAINING &&
            (conn->logout.reason == LOGOUT_CLOSE_SESSION || task->conn == conn))
            return true;
    }
    return false;
}

/* R7143-11.15-01, R7143-8.1.2-08: the others go with the session. */
static void close_others(struct tgt_session *s, const struct tgt_conn *conn)
{
    list_for_each_safe(it, &s->conns)
    {
        struct tgt_conn *other = list_entry(it, struct tgt_conn, session_node);
        if (other == conn || other->state == CONN_DEAD)
            continue;
        other->clean = true;
        conn_drop(other, "session logout");
    }
}

/* The connection leaves its tasks behind, before the initiator can ask for them. */
static bool leave_tasks(struct tgt_conn *conn)
{
    struct tgt_session *s = conn->session;
    if (!session_retains(s)) { /* removed for recovery, but nothing is kept for it */
        abort_scope(s, conn, false);
        return true;
    }
    if (!lost_begin(s, conn))
        return false;
    keep_conn_end(conn);
    lost_logged_out(lost_find(s, conn->cid), s->params.default_time2wait, s->params.default_time2retain);
    return true;
}

static void finish(struct tgt_conn *conn)
{
    struct tgt_session *s = conn->session;
    env_trace(conn->env, TRACE_INFO, "logout", conn_label(conn), NULL, conn->logout.reason, conn->cid);
    if (conn->logout.reason == LOGOUT_CLOSE_SESSION)
        close_others(s, conn);
    bool done = conn->logout.reason != LOGOUT_RECOVERY || leave_tasks(conn);
    respond(conn, conn->logout.itt, done ? LOGOUT_DONE : LOGOUT_FAILED); /* R7143-11.15.1-03 */
    state_conn(conn->r, &conn->rfc, done ? CONN_EV_LOGOUT_DONE : CONN_EV_LOGOUT_FAILED);
    conn->clean = done;
    conn_close_after_flush(conn, "logout"); /* R7143-11.15-01, R7143-11.14-05 */
}

void logout_run(struct tgt_session *s)
{
    list_for_each_safe(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (conn->state == CONN_LOGOUT && conn_live(conn) && !tasks_left(s, conn))
            finish(conn);
    }
}
