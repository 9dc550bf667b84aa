/* Task management (RFC 7143 11.5, 11.6; RFC 7144 chapter 6): what a request has to name, and what its
 * response ends. */
#include <inttypes.h>
#include <string.h>

#include "conformance/referee/internal.h"

enum {
    ABORT_TASK = 1,
    ABORT_TASK_SET,
    CLEAR_ACA,
    CLEAR_TASK_SET,
    LU_RESET,
    WARM_RESET,
    COLD_RESET,
    REASSIGN,
    QUERY_TASK,
    QUERY_TASK_SET,
    NEXUS_RESET,
    QUERY_ASYNC
};

static bool is_new(uint8_t function)
{
    return function >= QUERY_TASK && function <= QUERY_ASYNC;
}

static bool names_task(uint8_t function)
{
    return function == ABORT_TASK || function == REASSIGN || function == QUERY_TASK;
}

static bool of_whole_target(uint8_t function)
{
    return function == WARM_RESET || function == COLD_RESET || function == NEXUS_RESET;
}

static bool of_whole_unit(uint8_t function)
{
    return function == ABORT_TASK_SET || function == CLEAR_TASK_SET || function == LU_RESET;
}

/* ---- requests ---- */

static void check_function(struct rconn *c, const struct pdu_task_management_request *q)
{
    struct words seen = say("function %u", q->function);
    if (q->function < ABORT_TASK || q->function > QUERY_ASYNC)
        finding(c, RULE_TMF_FUNCTION, "1 to 12", seen.text);
    else if (is_new(q->function) && c->session->params.iscsi_protocol_level < 2)
        finding(c, RULE_TMF_LEVEL, "iSCSIProtocolLevel 2 for it", seen.text);
}

static void check_fields(struct rconn *c, const struct pdu_task_management_request *q)
{
    uint8_t f = q->function;
    bool tag = q->referenced_task_tag != PDU_TAG_RESERVED;
    struct words seen_tag = say("function %u with tag 0x%08" PRIx32, f, q->referenced_task_tag);
    if (q->lun && (of_whole_target(f) || f == REASSIGN))
        finding(c, f == NEXUS_RESET ? RULE_TMF_LUN_NEW : RULE_TMF_LUN, "LUN 0 (reserved)",
                say("0x%016" PRIx64, q->lun).text);
    if (f >= ABORT_TASK && f <= QUERY_ASYNC && tag != names_task(f))
        finding(c, is_new(f) ? RULE_TMF_TAG_NEW : RULE_TMF_TAG, names_task(f) ? "a task tag" : "0xffffffff",
                seen_tag.text);
    if (q->ref_cmd_sn && f >= ABORT_TASK_SET && f <= REASSIGN)
        finding(c, RULE_TMF_REF_ZERO, "RefCmdSN 0", say("0x%08" PRIx32, q->ref_cmd_sn).text);
    if (q->exp_data_sn && f != REASSIGN)
        finding(c, RULE_TMF_EXP_DATA_SN, "ExpDataSN 0", say("%" PRIu32, q->exp_data_sn).text);
    if (f == REASSIGN && !q->immediate)
        finding(c, RULE_REASSIGN_IMMEDIATE, "I=1", "I=0");
}

/* RefCmdSN tells the target of a command that it may never have seen. */
static void check_reference(struct rconn *c, const struct pdu_task_management_request *q,
                            const struct rtask *ref)
{
    bool query = q->function == QUERY_TASK;
    if ((q->function != ABORT_TASK && !query) || !ref || ref->done ||
        ref->opcode == PDU_OP_task_management_request)
        return;
    uint32_t due = ref->immediate ? q->cmd_sn : ref->cmd_sn;
    enum rule_id rule = query ? RULE_QUERY_REF : ref->immediate ? RULE_ABORT_REF_IMMEDIATE : RULE_ABORT_REF;
    if (q->ref_cmd_sn != due)
        finding(c, rule, say("0x%08" PRIx32, due).text, say("0x%08" PRIx32, q->ref_cmd_sn).text);
    if (ref->conn && ref->conn != c && ref->conn->phase == PHASE_FULL && !ref->conn->logout_sent &&
        !ref->unsure)
        finding(c, query ? RULE_QUERY_CONN : RULE_ABORT_CONN, "the task's connection", "another");
}

/* What is said to have come must have been sent, and no less than what a DataACK has said. */
static void check_stated(struct rconn *c, const struct pdu_task_management_request *q,
                         const struct rtask *ref)
{
    if (!ref || ref->opcode != PDU_OP_scsi_command || !ref->read || ref->write || ref->unsure || ref->cut)
        return;
    if (q->exp_data_sn && (sn_lt(q->exp_data_sn, ref->data_ref) || sn_gt(q->exp_data_sn, ref->next_data_sn)))
        finding(c, RULE_REASSIGN_STATED,
                say("0, or %" PRIu32 " to %" PRIu32, ref->data_ref, ref->next_data_sn).text,
                say("%" PRIu32, q->exp_data_sn).text);
}

static bool still_allegiant(const struct rtask *ref)
{
    return ref && ref->opcode == PDU_OP_scsi_command && !ref->done && ref->conn &&
           ref->conn->phase == PHASE_FULL && !ref->unsure;
}

static bool covers(const struct rtask *tmf, const struct rtask *task)
{
    if (task == tmf || task->opcode != PDU_OP_scsi_command)
        return false;
    return of_whole_target(tmf->function) || (of_whole_unit(tmf->function) && task->lun == tmf->lun);
}

static void mark_aborting(struct rsession *s, struct rtask *tmf, struct rtask *ref)
{
    bool fast = s->params.task_reporting == KEY_TASK_REPORTING_FAST_ABORT;
    if (tmf->function == ABORT_TASK && ref)
        ref->aborting = true;
    list_for_each(it, &s->live)
    {
        struct rtask *task = list_entry(it, struct rtask, order);
        if (covers(tmf, task)) {
            task->aborting = true;
            if (fast && task->conn == tmf->conn)
                task->no_data = DATA_AFTER_TMF;
        }
    }
}

void manage_request(struct rconn *c, const struct rpdu *p)
{
    struct pdu_task_management_request q;
    struct rsession *s = c->session;
    pdu_task_management_request_decode(p->bhs, &q);
    check_function(c, &q);
    check_fields(c, &q);
    struct rtask *ref = names_task(q.function) ? task_find(s, q.referenced_task_tag) : NULL;
    check_reference(c, &q, ref);
    if (q.function == REASSIGN)
        check_stated(c, &q, ref);
    if (q.function == REASSIGN && still_allegiant(ref))
        finding(c, RULE_REASSIGN_LOGOUT, "a recovery logout first", "the task's connection is in use");
    if (q.function == ABORT_TASK && !ref && sn_lt(q.ref_cmd_sn, q.cmd_sn))
        session_plug(s, q.ref_cmd_sn);
    if (of_whole_target(q.function) && sn_lt(s->contiguous, s->next_cmd_sn))
        s->contiguous = s->next_cmd_sn; /* missing requests may count as received: R7143-4.2.3.3-11 */
    struct rtask *task = task_new(c, p, q.itt, q.immediate, q.cmd_sn);
    if (!task)
        return;
    task->function = q.function;
    task->lun = q.lun;
    task->ref_itt = q.referenced_task_tag;
    /* Looked up again: a tag that was used twice has just been taken from the old task. */
    ref = names_task(q.function) ? task_find(s, q.referenced_task_tag) : NULL;
    mark_aborting(s, task, ref == task ? NULL : ref);
}

/* ---- responses ---- */

static void end_task(struct rconn *c, struct rtask *task)
{
    task->aborted = true;
    task->aborted_by = c->id;
    task_done(c, task);
}

/* Resets of other initiators end tasks without a word to this one: with others about, nobody knows which are
 * left. */
static bool is_alone(const struct rsession *s, const struct list_node *sessions)
{
    list_for_each(it, sessions)
    {
        const struct rsession *other = list_entry(it, struct rsession, node);
        if (other != s && strcmp(other->initiator_name, s->initiator_name) != 0)
            return false;
    }
    return true;
}

/* The function's response passes on `c`. On another connection answers to R2Ts are due only as long as the
 * target has that: with it the task ends, or waits for its reassignment (R7143-7.6-01, R7143-11.14-04), and
 * no more data comes. Of its failure nobody but the target's own end can know by now. */
static void check_r2ts(struct rconn *c, const struct rtask *task)
{
    const struct rsession *s = c->session;
    bool fast = s->params.task_reporting == KEY_TASK_REPORTING_FAST_ABORT;
    if (!task->r2t_open || fast || task->unsure || !is_alone(s, &c->r->sessions))
        return;
    if (task->conn == c || c->r->options.vantage == REFEREE_AT_TARGET)
        finding(c, RULE_ABORT_EARLY, "the answers to the R2Ts of the tasks first",
                say("%" PRIu32 " without, task tag 0x%08" PRIx32, task->r2t_open, task->itt).text);
    else
        undecided(c);
}

/* Every task that the function took, as far as it was sent before: it gets no response any more. */
static void end_tasks(struct rconn *c, const struct rtask *tmf)
{
    struct rsession *s = c->session;
    struct rtask *ref = tmf->function == ABORT_TASK ? task_find(s, tmf->ref_itt) : NULL;
    if (ref && !ref->done && ref != tmf)
        end_task(c, ref);
    list_for_each_safe(it, &s->live)
    {
        struct rtask *task = list_entry(it, struct rtask, order);
        /* An immediate TMF has the CmdSN that comes next; of immediate tasks only the connection's order is
         * known. */
        bool before = task->immediate ? task->conn == tmf->conn : sn_lt(task->cmd_sn, tmf->cmd_sn);
        if (!covers(tmf, task) || !before || !task->aborting)
            continue;
        check_r2ts(c, task);
        end_task(c, task);
    }
}

static void reassigned(struct rconn *c, const struct rtask *tmf)
{
    struct rtask *task = task_find(c->session, tmf->ref_itt);
    if (!task)
        return;
    struct pdu_task_management_request q;
    pdu_task_management_request_decode(tmf->bhs, &q);
    task->conn = c;
    task->stat_conn = NULL;
    task->snack_tag = 0;
    task->cut = true;
    task->stated = q.exp_data_sn;
    if (!task->write) { /* its order begins anew */
        task->unsure = false;
        task->resync = true;
        task->in_open = task->in_any = false;
        task->burst = task->since_ack = 0;
    }
    task->status_kept = false; /* another connection has StatSNs of its own */
}

static void check_code(struct rconn *c, const struct rtask *tmf, const struct pdu_task_management_response *a)
{
    uint32_t level = c->session->params.iscsi_protocol_level;
    struct words seen = say("0x%02x for function %u", a->response, tmf->function);
    const struct rtask *ref = names_task(tmf->function) ? task_find(c->session, tmf->ref_itt) : NULL;
    if (a->response > 7 && a->response != 255)
        finding(c, RULE_TMF_CODE, "0 to 6 or 255", seen.text);
    if (a->response == 7 && (level < 2 || !is_new(tmf->function)))
        finding(c, RULE_TMF_CODE, "no response of RFC 7144", seen.text);
    if (a->additional_response && level < 2)
        finding(c, RULE_TMF_ADDITIONAL, "0", say("0x%06" PRIx32, a->additional_response).text);
    if (a->response == 0 && ref && !ref->done && ref != tmf && ref->opcode == PDU_OP_task_management_request)
        finding(c,
                tmf->function == ABORT_TASK   ? RULE_ABORT_TMF
                : tmf->function == QUERY_TASK ? RULE_QUERY_TMF
                                              : RULE_REASSIGN_TMF,
                "255", seen.text);
    if (a->response == 0 && tmf->function == REASSIGN && c->session->params.error_recovery_level < 2)
        finding(c, RULE_REASSIGN_LEVEL, "4", seen.text);
    else if (a->response == 0 && tmf->function == REASSIGN && still_allegiant(ref))
        finding(c, RULE_REASSIGN_ALLEGIANT, "3", seen.text);
}

void manage_answered(struct rconn *c, struct rtask *task)
{
    task->stat_conn = c;
    c->answered = true;
    c->answer_stat_sn = task->stat_sn;
    c->answer_lun = task->lun;
}

/* With a fence every response that was sent before on its nexus and LU has been acknowledged, and none
 * follows until the response itself is: so of what has passed us none may be open. Responses of the transport
 * alone (to text, pings) are not held back. Another connection may have been given up by the target, which
 * only its own end knows. */
static void check_fence(struct rconn *c, const struct rtask *tmf)
{
    const struct rsession *s = c->session;
    bool several = of_whole_target(tmf->function) || of_whole_unit(tmf->function);
    if (s->params.task_reporting == KEY_TASK_REPORTING_RFC3720 || s->conn_count < 2 || !several)
        return;
    list_for_each(it, &s->conns)
    {
        const struct rconn *other = list_entry(it, struct rconn, node);
        bool same = of_whole_target(tmf->function) || other->answer_lun == tmf->lun;
        if ((other == c || c->r->options.vantage == REFEREE_AT_TARGET) && other->phase == PHASE_FULL &&
            other->answered && same && sn_le(other->acked_stat_sn, other->answer_stat_sn))
            finding(c, RULE_FENCE, say("StatSN 0x%08" PRIx32 " acknowledged", other->answer_stat_sn).text,
                    say("ExpStatSN 0x%08" PRIx32, other->acked_stat_sn).text);
    }
}

void manage_response(struct rconn *c, const struct rpdu *p)
{
    struct pdu_task_management_response a;
    pdu_task_management_response_decode(p->bhs, &a);
    struct rtask *task = task_of_response(c, p, a.itt, PDU_OP_task_management_request);
    if (!task)
        return;
    check_code(c, task, &a);
    check_fence(c, task);
    if (a.response == 0 && task->function == REASSIGN)
        reassigned(c, task);
    else if (a.response == 0)
        end_tasks(c, task);
    task->stat_sn = a.stat_sn;
    manage_answered(c, task);
    task_done(c, task);
}
