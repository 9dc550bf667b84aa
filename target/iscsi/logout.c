/* Logout (RFC 7143 11.14, 11.15): tasks end first, then the answer, then the connection. */
#include "target/iscsi/conn_internal.h"

enum logout_reason { LOGOUT_CLOSE_SESSION = 0, LOGOUT_CLOSE_CONNECTION = 1, LOGOUT_RECOVERY = 2 };
enum logout_response { LOGOUT_DONE = 0, LOGOUT_NO_CID = 1, LOGOUT_NO_RECOVERY = 2 };

static void respond(struct tgt_conn *conn, uint32_t itt, enum logout_response response)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_logout_response rsp;
    pdu_logout_response_init(&rsp);
    rsp.itt = itt;
    rsp.response = (uint8_t)response;
    rsp.stat_sn = conn->stat_sn++;
    session_numbers(conn->session, &rsp.exp_cmd_sn, &rsp.max_cmd_sn);
    /* Nothing outlives a connection at recovery level 0: both times are zero. */
    pdu_logout_response_encode(&rsp, bhs);
    conn_send(conn, bhs, NULL, NULL); /* R7143-11.15.2-01 */
}

/* R7143-11.14-03: all that is pending within the scope ends, without answers. */
static void abort_scope(struct tgt_session *s, const struct tgt_conn *conn)
{
    sequence_drop_all(s, conn);
    task_mgmt_orphan(s, conn);
    list_for_each_safe(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (!conn || task->conn == conn)
            iscsi_task_abort(task);
    }
}

static void begin(struct tgt_conn *conn, const struct pdu_logout_request *req)
{
    struct tgt_session *s = conn->session;
    conn->logout = *req;
    s->logging_out = true;
    conn_set_state(conn, CONN_LOGOUT);
    abort_scope(s, req->reason == LOGOUT_CLOSE_SESSION ? NULL : conn);
    logout_run(s);
}

void logout_request(struct tgt_conn *conn, const uint8_t *bhs)
{
    struct pdu_logout_request req;
    pdu_logout_request_decode(bhs, &req);
    struct tgt_conn *other = session_conn(conn->session, req.cid);
    if (req.reason == LOGOUT_RECOVERY) {
        respond(conn, req.itt, LOGOUT_NO_RECOVERY); /* R7143-11.15.1-02 */
    } else if (req.reason == LOGOUT_CLOSE_CONNECTION && !other) {
        respond(conn, req.itt, LOGOUT_NO_CID); /* R7143-11.15.1-01 */
    } else if (req.reason == LOGOUT_CLOSE_CONNECTION && other != conn) {
        conn_drop(other, "logged out from another connection"); /* R7143-11.14-07 */
        respond(conn, req.itt, LOGOUT_DONE);
    } else {
        begin(conn, &req);
    }
}

static bool tasks_left(const struct tgt_session *s, const struct tgt_conn *conn)
{
    list_for_each(it, &s->tasks)
    {
        const struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->phase != TASK_DRAINING &&
            (conn->logout.reason == LOGOUT_CLOSE_SESSION || task->conn == conn))
            return true;
    }
    return false;
}

void logout_run(struct tgt_session *s)
{
    list_for_each_safe(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (conn->state != CONN_LOGOUT || tasks_left(s, conn))
            continue;
        env_trace(conn->env, TRACE_INFO, "logout", conn_label(conn), NULL, conn->logout.reason, conn->cid);
        respond(conn, conn->logout.itt, LOGOUT_DONE);
        conn_close_after_flush(conn, "logout"); /* R7143-11.15-01, R7143-11.14-05 */
    }
}
