/* TASK REASSIGN (RFC 7143 7.2.2, 11.5.6): a task whose connection failed or was removed goes on on the one
 * that brought the request. The answer goes out first (R7143-7.2.2-11), then what the initiator has not
 * acknowledged: Data-In, new R2Ts for what is still to come, and in the end always the status
 * (R7143-7.2.2-07). */
#include "target/iscsi/conn_internal.h"

enum reassign_response {
    REASSIGN_COMPLETE = 0,
    REASSIGN_NO_TASK = 1,
    REASSIGN_ALLEGIANT = 3,
    REASSIGN_UNSUPPORTED = 4,
    REASSIGN_REJECTED = 255
};

static void respond(struct tgt_conn *conn, uint32_t itt, enum reassign_response response)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_task_management_response rsp;
    pdu_task_management_response_init(&rsp);
    rsp.itt = itt;
    rsp.response = (uint8_t)response;
    rsp.stat_sn = conn->stat_sn++;
    session_numbers(conn->session, &rsp.exp_cmd_sn, &rsp.max_cmd_sn);
    pdu_task_management_response_encode(&rsp, bhs);
    conn_send_status(conn, bhs, NULL, NULL);
}

static enum reassign_response judge(struct tgt_conn *conn, const struct pdu_task_management_request *req,
                                    struct tgt_task **out)
{
    struct tgt_session *s = conn->session;
    if (session_level(s) < 2)
        return REASSIGN_UNSUPPORTED; /* R7143-7.2.2-09 */
    struct tgt_task *task = iscsi_task_find(s, req->referenced_task_tag);
    if (!task)
        task = keep_find(s, req->referenced_task_tag);
    if (!task || task->silent)
        return REASSIGN_NO_TASK;
    if (!lost_waits(task) || !task->lost->logged_out)
        return REASSIGN_ALLEGIANT; /* R7143-7.2.2-10 */
    *out = task;
    return REASSIGN_COMPLETE;
}

/* Where the initiator stands: 0 or a number that cannot be leaves the data acknowledgement reference number
 * as it is (11.5.6). For a write nothing but this says which R2Ts have come. R7143-7.2.2-03 */
static uint32_t start_of(const struct tgt_task *task, uint32_t exp_data_sn)
{
    if (!task->read)
        return sn_le(exp_data_sn, task->data_sn) ? exp_data_sn : task->data_sn;
    return sn_gt(exp_data_sn, task->acked_sn) && sn_le(exp_data_sn, task->data_sn) ? exp_data_sn
                                                                                   : task->acked_sn;
}

/* R7143-7.2.2-02 */
static void go_on(struct tgt_task *task)
{
    list_for_each(it, &task->kept) keep_resend_data(task, list_entry(it, struct kept, node));
    if (task->answer) {
        keep_answer_again(task, true);
        return;
    }
    data_out_resume(task);
    if (task->phase == TASK_RUNNING)
        data_in_ready(task);
    iscsi_task_progress(task);
}

void reassign_request(struct tgt_conn *conn, const struct pdu_task_management_request *req)
{
    struct tgt_task *task = NULL;
    enum reassign_response response = judge(conn, req, &task);
    if (task) {
        uint32_t start = start_of(task, req->exp_data_sn);
        task->conn = conn; /* the sizes of the new connection count */
        keep_data_acknowledged(task, start);
        if (!keep_recut(task, start)) {
            task->conn = NULL;
            task = NULL;
            response = REASSIGN_REJECTED;
        }
    }
    env_trace(conn->env, TRACE_INFO, "reassign", conn_label(conn), NULL, req->referenced_task_tag, response);
    respond(conn, req->itt, response);
    if (!task)
        return;
    task->snack_tag = 0; /* 7.2.2: a tag of the old connection is void */
    lost_task_gone(task);
    conn->r->counters.reassigned++;
    go_on(task);
}
