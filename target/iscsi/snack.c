/* SNACK (RFC 7143 11.16): what was lost on its way to the initiator is sent again. A request for what was
 * never sent, or was acknowledged, is a protocol error (R7143-11.16-05); one that cannot be served is refused
 * as a SNACK, and the command then ends with an error of its own if its status is still to come
 * (R7143-7.8-09). */
#include "target/iscsi/conn_internal.h"

#define ASC_SNACK_REJECTED  0x11 /* read error, failed retransmission request */
#define ASCQ_SNACK_REJECTED 0x13

enum snack_type { SNACK_DATA = 0, SNACK_STATUS = 1, SNACK_DATA_ACK = 2, SNACK_R_DATA = 3 };

static void refuse(struct tgt_conn *conn, const uint8_t *bhs, enum reject_reason reason, const char *why)
{
    reject_send(conn, bhs, NULL, 0, reason, why);
}

/* The run of numbers that is meant, within first..next - 1. False: it has numbers outside. R7143-11.16-06 */
static bool run_of(const struct pdu_snack_request *req, uint32_t first, uint32_t next, uint32_t *begin,
                   uint32_t *end)
{
    *begin = req->beg_run == 0 && req->run_length == 0 ? first : req->beg_run;
    *end = req->run_length ? *begin + req->run_length : next;
    return sn_le(first, *begin) && sn_le(*begin, *end) && sn_le(*end, next); /* R7143-11.16-05 */
}

static bool within(uint32_t sn, uint32_t begin, uint32_t end)
{
    return sn_le(begin, sn) && sn_lt(sn, end);
}

/* ---- Status ---- */

static void status(struct tgt_conn *conn, const uint8_t *bhs, const struct pdu_snack_request *req)
{
    uint32_t begin, end, found = 0;
    if (!run_of(req, conn->exp_stat_sn, conn->stat_sn, &begin, &end)) {
        refuse(conn, bhs, REJECT_PROTOCOL, "StatSN was not sent or is acknowledged");
        return;
    }
    list_for_each(it, &conn->kept) found += within(list_entry(it, struct kept, node)->sn, begin, end);
    if (found != end - begin) { /* the login's, which nobody keeps */
        refuse(conn, bhs, REJECT_SNACK, "the status is not kept");
        return;
    }
    list_for_each(it, &conn->kept)
    {
        struct kept *kept = list_entry(it, struct kept, node);
        if (within(kept->sn, begin, end))
            keep_resend_status(conn, kept); /* R7143-11.16-02, R7143-11.16.3-06 */
    }
}

/* ---- Data and R2T ---- */

/* The command that is meant: running, or over and not acknowledged. */
static struct tgt_task *task_of(struct tgt_conn *conn, uint32_t itt)
{
    struct tgt_task *task = iscsi_task_find(conn->session, itt);
    if (!task)
        task = keep_find(conn->session, itt);
    return task && task->conn == conn ? task : NULL;
}

static struct kept *data_of(struct tgt_task *task, uint32_t sn)
{
    list_for_each(it, &task->kept)
    {
        struct kept *kept = list_entry(it, struct kept, node);
        if (kept->sn == sn)
            return kept;
    }
    return NULL;
}

static const struct out_r2t *r2t_of(const struct tgt_task *task, uint32_t sn)
{
    for (uint32_t i = 0; i < TGT_R2T_MAX; i++)
        if (task->r2ts[i].open && task->r2ts[i].r2t_sn == sn)
            return &task->r2ts[i];
    return NULL;
}

/* An R2T is acknowledged by the data it asked for; those inside the run that were, are passed over only when
 * the run has no length of its own. */
static bool all_there(struct tgt_task *task, uint32_t begin, uint32_t end)
{
    uint32_t found = 0;
    list_for_each(it, &task->kept) found += within(list_entry(it, struct kept, node)->sn, begin, end);
    for (uint32_t i = 0; i < TGT_R2T_MAX; i++)
        found += task->r2ts[i].open && within(task->r2ts[i].r2t_sn, begin, end);
    return found == end - begin;
}

static bool too_long(const struct tgt_task *task, uint32_t begin, uint32_t end)
{
    uint32_t most = task->conn->params.peer_max_recv_data_segment_length;
    list_for_each(it, &task->kept)
    {
        const struct kept *kept = list_entry(it, struct kept, node);
        if (within(kept->sn, begin, end) && kept->data.len > most)
            return true;
    }
    return false;
}

static void resend(struct tgt_task *task, uint32_t begin, uint32_t end)
{
    struct list_node *at = task->kept.next;
    for (uint32_t sn = begin; sn != end; sn++) { /* in order of number: R7143-4.2.2.4-05 */
        while (at != &task->kept && sn_lt(list_entry(at, struct kept, node)->sn, sn))
            at = at->next;
        if (at != &task->kept && list_entry(at, struct kept, node)->sn == sn) {
            keep_resend_data(task, list_entry(at, struct kept, node)); /* R7143-11.16-04 */
        } else {
            const struct out_r2t *r2t = r2t_of(task, sn);
            if (r2t)
                r2t_send(task, r2t); /* R7143-11.16-02, R7143-11.16-03 */
        }
    }
}

static void data(struct tgt_conn *conn, const uint8_t *bhs, const struct pdu_snack_request *req)
{
    uint32_t begin, end;
    struct tgt_task *task = task_of(conn, req->itt);
    if (!task) { /* R7143-11.17.1-04: an invalid tag */
        refuse(conn, bhs, REJECT_FIELD, "no such command on this connection");
        return;
    }
    if (!run_of(req, task->acked_sn, task->data_sn, &begin, &end) ||
        (req->run_length && !all_there(task, begin, end)) ||
        (!req->run_length && req->beg_run && begin != end && !data_of(task, begin) && !r2t_of(task, begin))) {
        reject_data_snack(conn, bhs, "the data was not sent or is acknowledged", task->data_sn);
        return;
    }
    if (too_long(task, begin, end)) { /* R-Data is the way to this */
        reject_data_snack(conn, bhs, "MaxRecvDataSegmentLength has become less", task->data_sn);
        return;
    }
    resend(task, begin, end); /* R7143-7.1.3-02, R7143-7.8-08 */
}

/* ---- R-Data ---- */

static void r_data(struct tgt_conn *conn, const uint8_t *bhs, const struct pdu_snack_request *req)
{
    struct tgt_task *task = task_of(conn, req->itt);
    if (!task || !task->read) {
        refuse(conn, bhs, REJECT_FIELD, "no such command on this connection");
        return;
    }
    if (req->beg_run || req->run_length || req->ttt == 0 || req->ttt == PDU_TAG_RESERVED) {
        refuse(conn, bhs, REJECT_FIELD, "R-Data SNACK");
        return;
    }
    /* R2Ts of a bidirectional command stand between the numbers, and what comes again has none between. */
    bool cut = task->write || too_long(task, task->acked_sn, task->data_sn);
    if (cut && !keep_recut(task, task->acked_sn)) {
        refuse(conn, bhs, REJECT_SNACK, "cannot be cut anew");
        if (!task->answer) {
            iscsi_task_fail(task, ASC_SNACK_REJECTED, ASCQ_SNACK_REJECTED);
            iscsi_task_progress(task);
        }
        return;
    }
    task->snack_tag = req->ttt; /* R7143-11.16.5-02 */
    list_for_each(it, &task->kept) keep_resend_data(task, list_entry(it, struct kept, node));
    if (task->answer)
        keep_answer_again(task, false); /* R7143-11.16.3-04, R7143-11.16.3-05 */
}

/* ---- DataACK ---- */

static void data_ack(struct tgt_conn *conn, const uint8_t *bhs, const struct pdu_snack_request *req)
{
    uint32_t index = req->ttt >> 16;
    struct tgt_task *task = index < conn->r->task_count ? conn->r->tasks[index] : NULL;
    if (!task || req->run_length) {
        refuse(conn, bhs, REJECT_FIELD, "DataACK");
        return;
    }
    if (task->phase == TASK_FREE || task->conn != conn || !task->ack_asked || task->ack_ttt != req->ttt)
        return; /* of a command that is over meanwhile */
    if (!sn_le(req->beg_run, task->data_sn)) {
        refuse(conn, bhs, REJECT_PROTOCOL, "BegRun was not sent");
        return;
    }
    if (sn_gt(req->beg_run, task->acked_sn))
        keep_data_acknowledged(task, req->beg_run);
}

/* ---- all ---- */

/* Level 0 keeps nothing. */
static void not_kept(struct tgt_conn *conn, const uint8_t *bhs, const struct pdu_snack_request *req)
{
    struct tgt_task *task = iscsi_task_find(conn->session, req->itt);
    refuse(conn, bhs, REJECT_SNACK, "nothing is kept at recovery level 0"); /* R7143-7.8-08 */
    if (task && task->conn == conn && (req->type == SNACK_DATA || req->type == SNACK_R_DATA)) {
        iscsi_task_fail(task, ASC_SNACK_REJECTED, ASCQ_SNACK_REJECTED); /* R7143-7.8-09 */
        iscsi_task_progress(task);
    }
}

/* R7143-11.16-01: all types at level 1 and above */
void snack_request(struct tgt_conn *conn, const uint8_t *bhs)
{
    struct pdu_snack_request req;
    pdu_snack_request_decode(bhs, &req);
    env_trace(conn->env, TRACE_INFO, "snack", conn_label(conn), NULL, req.type, req.beg_run);
    conn->r->counters.snacks++;
    if (session_level(conn->session) == 0) {
        not_kept(conn, bhs, &req);
        return;
    }
    switch (req.type) {
    case SNACK_DATA:
        data(conn, bhs, &req);
        break;
    case SNACK_STATUS:
        status(conn, bhs, &req);
        break;
    case SNACK_DATA_ACK:
        data_ack(conn, bhs, &req);
        break;
    case SNACK_R_DATA:
        r_data(conn, bhs, &req);
        break;
    }
}
