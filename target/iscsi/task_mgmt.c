/* Task management (RFC 7143 11.5, 11.6, 4.2.3.3): what a request covers, what it waits for, and its answer.
 * The answer goes out when no affected task can touch the medium any more. */
#include "common/base/err.h"
#include "target/iscsi/conn_internal.h"

/* Response codes (11.6.1). */
enum tmf_response {
    TMF_COMPLETE = 0,
    TMF_NO_TASK = 1,
    TMF_NO_LUN = 2,
    TMF_UNSUPPORTED = 5,
    TMF_UNAUTHORIZED = 6,
    TMF_SUCCEEDED = 7, /* RFC 7144 6.4.2 */
    TMF_REJECTED = 255
};
#define FUNCTION_TASK_REASSIGN 8
#define LEVEL_RFC7144          2u

/* `additional`: Additional Response Information, 24 bits. */
static void respond_more(struct tgt_conn *conn, uint32_t itt, enum tmf_response response, uint32_t additional)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_task_management_response rsp;
    if (!conn_live(conn))
        return;
    pdu_task_management_response_init(&rsp);
    rsp.itt = itt;
    rsp.response = (uint8_t)response;
    rsp.additional_response =
        additional; /* R7144-6.4.1-02: zero below level 2, whose functions alone have some */
    rsp.stat_sn = conn->stat_sn++;
    session_numbers(conn->session, &rsp.exp_cmd_sn, &rsp.max_cmd_sn);
    pdu_task_management_response_encode(&rsp, bhs);
    conn_send_status(conn, bhs, NULL, NULL); /* R7143-11.5.1-02, R7143-11.6.2-01 */
}

static void respond(struct tgt_conn *conn, uint32_t itt, enum tmf_response response)
{
    respond_more(conn, itt, response, 0);
}

static void tmf_free(struct tgt_tmf *tmf)
{
    fence_forget(tmf->session, &tmf->fenced);
    list_remove(&tmf->session_node);
    tmf->session->tmf_count--;
    env_free(tmf->session->r->env, tmf);
}

/* ---- what is covered ---- */

static bool one_lun(enum scsi_tmf_function function)
{
    return function == SCSI_TMF_ABORT_TASK_SET || function == SCSI_TMF_CLEAR_TASK_SET ||
           function == SCSI_TMF_LOGICAL_UNIT_RESET;
}

static bool same_lun(uint64_t a, uint64_t b)
{
    uint16_t x, y;
    bool xw, yw;
    if (a == b)
        return true; /* also fields of no known form */
    return scsi_lun_decode(a, &x, &xw) && scsi_lun_decode(b, &y, &yw) && x == y && xw == yw;
}

/* Does the function speak of the task's logical unit, whatever came first? */
static bool concerns(const struct tgt_tmf *tmf, const struct tgt_task *task)
{
    if (one_lun(tmf->scsi.function))
        return same_lun(task->scsi.lun, tmf->scsi.lun);
    return tmf->scsi.function == SCSI_TMF_TARGET_WARM_RESET ||
           tmf->scsi.function == SCSI_TMF_TARGET_COLD_RESET || tmf->scsi.function == SCSI_TMF_I_T_NEXUS_RESET;
}

/* Is the task of this session affected? R7143-11.5.1-03: only commands before the request. */
static bool covers(const struct tgt_tmf *tmf, const struct tgt_task *task)
{
    bool before = sn_lt(task->cmd_sn, tmf->cmd_sn) || (task->immediate && task->cmd_sn == tmf->cmd_sn);
    return before && concerns(tmf, task);
}

static bool covers_fn(const struct tgt_task *task, const void *tmf)
{
    return covers(tmf, task);
}

/* Later than a function that still waits, the task would be taken along when that begins: it waits too. */
bool task_mgmt_holds(const struct tgt_task *task)
{
    list_for_each(it, &task->session->tmfs)
    {
        const struct tgt_tmf *tmf = list_entry(it, struct tgt_tmf, session_node);
        if (!tmf->started && concerns(tmf, task) && !covers(tmf, task))
            return true;
    }
    return false;
}

/* The other way round: it was later, but came first over another connection, and was taken along. Its
 * initiator does not expect that and waits for an answer. */
bool task_mgmt_overtaken(const struct tgt_task *task)
{
    bool concerned = false;
    list_for_each(it, &task->session->tmfs)
    {
        const struct tgt_tmf *tmf = list_entry(it, struct tgt_tmf, session_node);
        if (covers(tmf, task) || tmf->scsi.task == &task->scsi)
            return false;
        concerned |= tmf->started && concerns(tmf, task);
    }
    return concerned;
}

static bool fast_abort(const struct tgt_session *s)
{
    return s->params.task_reporting == KEY_TASK_REPORTING_FAST_ABORT;
}

/* Functions on more than one task. R7144-6.5-02 */
static bool ends_tasks(enum scsi_tmf_function function)
{
    return function == SCSI_TMF_LOGICAL_UNIT_RESET || function == SCSI_TMF_TARGET_WARM_RESET ||
           function == SCSI_TMF_TARGET_COLD_RESET || function == SCSI_TMF_ABORT_TASK_SET ||
           function == SCSI_TMF_CLEAR_TASK_SET || function == SCSI_TMF_I_T_NEXUS_RESET;
}

/* Standard semantics let data that was asked for arrive first (R7143-4.2.3.3-07, R7143-11.5.1-10). FastAbort
 * never waits (R7143-13.23-05, R7143-4.2.3.4-02). */
static bool awaits_data(const struct tgt_tmf *tmf)
{
    return !fast_abort(tmf->session) && ends_tasks(tmf->scsi.function);
}

/* Nothing more is asked for. */
static bool data_due(const struct tgt_tmf *tmf)
{
    bool due = false;
    if (!awaits_data(tmf))
        return false;
    list_for_each(it, &tmf->session->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->phase == TASK_DRAINING || !covers(tmf, task))
            continue;
        task->out_stop = true;
        due |= !data_out_settled(task);
    }
    return due;
}

/* Are there commands below the request that have not come? */
static bool commands_missing(const struct tgt_tmf *tmf)
{
    const struct tgt_session *s = tmf->session;
    return sn_lt(s->exp_cmd_sn, tmf->cmd_sn) && sn_in_window(tmf->cmd_sn, s->exp_cmd_sn, s->max_cmd_sn + 1);
}

/* They are waited for (R7143-4.2.3.3-09, R7143-4.2.3.4-07, R7143-11.6.1-04), but not by target resets
 * (R7143-4.2.3.3-11). */
static bool commands_due(const struct tgt_tmf *tmf)
{
    bool waits = one_lun(tmf->scsi.function) || tmf->scsi.function == SCSI_TMF_I_T_NEXUS_RESET;
    return waits && commands_missing(tmf);
}

/* What a target reset does not wait for counts as received, and so as ended by it (R7143-4.2.3.3-11,
 * R7143-4.2.3.4-09): carried out later, it would answer behind the TMF Response and write over what its
 * initiator has sent since. Other requests are no affected tasks and stay due. A reset that was refused has
 * taken nothing. */
static void take_missing(const struct tgt_tmf *tmf)
{
    struct tgt_session *s = tmf->session;
    enum scsi_tmf_function function = tmf->scsi.function;
    bool all = function == SCSI_TMF_TARGET_WARM_RESET || function == SCSI_TMF_TARGET_COLD_RESET;
    if (!all || tmf->scsi.result != SCSI_TMF_COMPLETE || !commands_missing(tmf))
        return;
    if (!s->reset_gap || sn_gt(tmf->cmd_sn, s->reset_sn))
        s->reset_sn = tmf->cmd_sn;
    s->reset_gap = true;
    s->reset_untold = false;
    s->reset_cid = tmf->conn->cid;
}

bool task_mgmt_took(struct tgt_session *s, uint32_t cmd_sn)
{
    if (!s->reset_gap)
        return false;
    if (sn_lt(cmd_sn, s->reset_sn))
        return true; /* R7143-11.5.1-05 */
    s->reset_gap = sn_lt(s->exp_cmd_sn, s->reset_sn);
    return false;
}

static void start(struct tgt_tmf *tmf)
{
    struct tgt_session *s = tmf->session;
    tmf->started = true;
    /* Those of the issuing connection know it from the answer. */
    async_task_termination(s, tmf->conn, covers_fn, tmf);
    /* Tasks that the device server has finished or never had are ours to end. */
    list_for_each_safe(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        bool ours = task->phase == TASK_WAITING || task->phase == TASK_FINISHED || task->failed;
        if (ours && covers(tmf, task))
            iscsi_task_abort(task); /* R7143-11.5.1-05 */
    }
    if (tmf->scsi.function == SCSI_TMF_I_T_NEXUS_RESET) /* the connections end: nothing more will run */
        sequence_drop_all(s, NULL);
    scsi_tmf_start(&s->r->scsi, &tmf->scsi); /* R7143-4.2.3.3-12, R7143-4.2.3.4-10 */
    take_missing(tmf);
    iscsi_task_start_waiting(s);
}

void task_mgmt_run(struct tgt_session *s)
{
    list_for_each_safe(it, &s->tmfs)
    {
        struct tgt_tmf *tmf = list_entry(it, struct tgt_tmf, session_node);
        if (tmf->started)
            continue;
        bool waits = commands_due(tmf) || data_due(tmf);
        if (!waits || env_now(s->r->env) >= tmf->deadline_ns) /* R7143-11.5.1-11: patience has an end */
            start(tmf);
    }
}

/* ---- ABORT TASK ---- */

static bool is_tmf(const struct tgt_session *s, uint32_t itt)
{
    list_for_each(it, &s->tmfs) if (list_entry(it, struct tgt_tmf, session_node)->itt == itt) return true;
    return false;
}

/* A Text exchange is a task as well (R7143-11.5.1-04). */
static struct tgt_conn *text_of(const struct tgt_session *s, uint32_t itt)
{
    list_for_each(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (conn->state == CONN_FULL && conn->text.open && conn->text.itt == itt)
            return conn;
    }
    return NULL;
}

static bool end_text(struct tgt_session *s, uint32_t itt)
{
    struct tgt_conn *conn = text_of(s, itt);
    if (conn)
        conn_text_free(conn);
    return conn != NULL;
}

/* Of a task that is not there. If it has not come yet, it will count as received: R7143-11.6.1-06,
 * R7143-7.11-03, R7143-11.5.5-01, R7144-6.3.3-01. Where that cannot be noted, it may still come and run. */
static enum tmf_response plug(struct tgt_session *s, const struct pdu_task_management_request *req)
{
    int err = sn_lt(req->ref_cmd_sn, req->cmd_sn) ? sequence_plug(s, req->ref_cmd_sn) : ERR_RANGE;
    if (err == ERR_NOMEM)
        return TMF_REJECTED;
    return err ? TMF_NO_TASK : TMF_COMPLETE; /* R7143-11.6.1-07, R7143-7.11-04 */
}

/* The task, or the response when there is none. */
static enum tmf_response find_task(struct tgt_session *s, const struct pdu_task_management_request *req,
                                   struct tgt_task **out)
{
    struct tgt_task *task = iscsi_task_find(s, req->referenced_task_tag);
    *out = NULL;
    if (task) {
        *out = task;
        return TMF_COMPLETE; /* R7143-11.6.1-05 */
    }
    if (is_tmf(s, req->referenced_task_tag))
        return TMF_REJECTED; /* R7143-11.5.1-16 */
    if (end_text(s, req->referenced_task_tag))
        return TMF_COMPLETE;
    return plug(s, req);
}

/* ---- requests ---- */

static struct tgt_tmf *tmf_new(struct tgt_conn *conn, const struct pdu_task_management_request *req)
{
    struct tgt_session *s = conn->session;
    struct tgt_tmf *tmf = env_alloc(conn->env, sizeof *tmf);
    if (!tmf)
        return NULL;
    tmf->session = s;
    tmf->conn = conn;
    tmf->itt = req->itt;
    tmf->cmd_sn = req->cmd_sn;
    tmf->deadline_ns = env_now(conn->env) + TGT_TMF_DATA_NS;
    if (tmf->deadline_ns < conn->r->deadline_ns)
        conn->r->deadline_ns = tmf->deadline_ns;
    tmf->scsi.function = (enum scsi_tmf_function)req->function;
    tmf->scsi.nexus = &s->nexus;
    tmf->scsi.lun = req->lun;
    tmf->scsi.owner = tmf;
    list_init(&tmf->scsi.node);
    list_push_back(&s->tmfs, &tmf->session_node);
    s->tmf_count++;
    return tmf;
}

/* R7143-11.5.1-26: it is over, but its status went out on a connection that is logged out and was never
 * acknowledged. The status comes again, here, and is the end of it. */
static bool answer_again(struct tgt_conn *conn, uint32_t itt)
{
    struct tgt_task *task = session_level(conn->session) < 2 ? NULL : keep_find(conn->session, itt);
    if (!task || !lost_waits(task) || !task->lost->logged_out)
        return false;
    task->conn = conn;
    lost_task_gone(task);
    keep_answer_again(task, true);
    return true;
}

static void abort_task(struct tgt_conn *conn, const struct pdu_task_management_request *req)
{
    struct tgt_session *s = conn->session;
    if (answer_again(conn, req->referenced_task_tag)) {
        respond(conn, req->itt, TMF_COMPLETE);
        return;
    }
    struct tgt_task *task;
    enum tmf_response response = find_task(s, req, &task);
    if (!task) {
        respond(conn, req->itt, response);
        return;
    }
    if (task->phase != TASK_RUNNING) { /* not begun, or over but for data that is due */
        iscsi_task_abort(task);
        respond(conn, req->itt, TMF_COMPLETE);
        return;
    }
    struct tgt_tmf *tmf = tmf_new(conn, req);
    if (!tmf) {
        respond(conn, req->itt, TMF_REJECTED);
        return;
    }
    tmf->scsi.lun = task->scsi.lun;
    tmf->scsi.task = &task->scsi;
    task->out_stop = true;
    task->silent = true; /* also when the device server has just finished it */
    tmf->started = true;
    scsi_tmf_start(&s->r->scsi, &tmf->scsi);
}

/* ---- functions of RFC 7144 ---- */

/* In the task set as far as we know; one that is being aborted has left it. */
static bool is_held(const struct tgt_task *task)
{
    return task->phase == TASK_WAITING || (task->phase == TASK_FINISHED && !task->aborted);
}

/* The device server answers, about `task` or the whole LU. */
static void ask(struct tgt_conn *conn, const struct pdu_task_management_request *req, struct tgt_task *task)
{
    struct tgt_tmf *tmf = tmf_new(conn, req);
    if (!tmf) {
        respond(conn, req->itt, TMF_REJECTED);
        return;
    }
    tmf->started = true;
    tmf->scsi.task = task ? &task->scsi : NULL;
    scsi_tmf_start(&conn->session->r->scsi, &tmf->scsi);
}

static void query_task(struct tgt_conn *conn, const struct pdu_task_management_request *req)
{
    struct tgt_session *s = conn->session;
    struct tgt_task *task = iscsi_task_find(s, req->referenced_task_tag);
    if (task && is_held(task))
        respond(conn, req->itt, TMF_SUCCEEDED); /* R7144-6.4.2-02 */
    else if (task)
        ask(conn, req, task);
    else if (is_tmf(s, req->referenced_task_tag))
        respond(conn, req->itt, TMF_REJECTED); /* R7144-6.3-08 */
    else
        respond(conn, req->itt, plug(s, req));
}

static void query_task_set(struct tgt_conn *conn, const struct pdu_task_management_request *req)
{
    list_for_each(it, &conn->session->tasks)
    {
        const struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (is_held(task) && same_lun(task->scsi.lun, req->lun)) {
            respond(conn, req->itt, TMF_SUCCEEDED); /* R7144-6.4.2-03 */
            return;
        }
    }
    ask(conn, req, NULL);
}

static void request_7144(struct tgt_conn *conn, const struct pdu_task_management_request *req)
{
    if (conn->session->params.iscsi_protocol_level < LEVEL_RFC7144) {
        respond(conn, req->itt, TMF_UNSUPPORTED); /* R7144-4.1-01 */
        return;
    }
    switch (req->function) { /* R7144-6.3-03, R7144-4.1-02 */
    case SCSI_TMF_QUERY_TASK:
        query_task(conn, req);
        break;
    case SCSI_TMF_QUERY_TASK_SET:
        query_task_set(conn, req);
        break;
    case SCSI_TMF_QUERY_ASYNC_EVENT: /* R7144-6.4.2-05 */
        ask(conn, req, NULL);
        break;
    default:
        if (!tmf_new(conn, req))
            respond(conn, req->itt, TMF_REJECTED);
        else
            task_mgmt_run(conn->session);
        break;
    }
}

static bool may(const struct tgt_session *s, uint8_t function)
{
    const struct tgt_rule *rule = tgt_config_rule(s->config, s->key.initiator);
    bool target = function == SCSI_TMF_TARGET_WARM_RESET || function == SCSI_TMF_TARGET_COLD_RESET;
    return !target || !rule || !rule->no_target_reset;
}

void task_mgmt_request(struct tgt_conn *conn, const uint8_t *bhs)
{
    struct pdu_task_management_request req;
    pdu_task_management_request_decode(bhs, &req);
    conn->r->counters.tmfs++;
    env_trace(conn->env, TRACE_INFO, "tmf", conn_label(conn), NULL, req.function, req.referenced_task_tag);
    switch (req.function) {
    case SCSI_TMF_ABORT_TASK:
        abort_task(conn, &req);
        return;
    case SCSI_TMF_ABORT_TASK_SET:
    case SCSI_TMF_CLEAR_ACA:
    case SCSI_TMF_CLEAR_TASK_SET:
    case SCSI_TMF_LOGICAL_UNIT_RESET:
    case SCSI_TMF_TARGET_WARM_RESET:
    case SCSI_TMF_TARGET_COLD_RESET:
        if (!may(conn->session, req.function)) /* R7143-11.5.1-19 */
            respond(conn, req.itt, TMF_UNAUTHORIZED);
        else if (!tmf_new(conn, &req))
            respond(conn, req.itt, TMF_REJECTED);
        else
            task_mgmt_run(conn->session);
        return;
    case SCSI_TMF_QUERY_TASK:
    case SCSI_TMF_QUERY_TASK_SET:
    case SCSI_TMF_I_T_NEXUS_RESET:
    case SCSI_TMF_QUERY_ASYNC_EVENT:
        request_7144(conn, &req);
        return;
    case FUNCTION_TASK_REASSIGN:
        if (is_tmf(conn->session, req.referenced_task_tag) || text_of(conn->session, req.referenced_task_tag))
            respond(conn, req.itt, TMF_REJECTED); /* R7143-11.5.1-24 */
        else
            reassign_request(conn, &req);
        return;
    default:
        respond(conn, req.itt, TMF_UNSUPPORTED); /* R7143-11.6.1-02 */
        return;
    }
}

/* ---- answers ---- */

/* R7143-11.5.1-21, R7143-11.6.1-03: as after power on, no connection to the target survives. */
static void drop_target(struct tgt_conn *conn)
{
    struct tgt_session *own = conn->session;
    list_for_each_safe(it, &conn->r->sessions)
    {
        struct tgt_session *s = list_entry(it, struct tgt_session, node);
        if (s != own && strcmp(s->key.target, own->key.target) == 0)
            session_close(s, "target cold reset");
    }
    /* Before the event that closes the connection, so its slot is still there when the host pulls this one.
     */
    if (!list_linked(&conn->reset_event.node))
        event_push(conn->r, &conn->reset_event, TGT_EVENT_COLD_RESET, NULL, &own->key, NULL);
    own->gentle = true; /* its own answer goes first */
    session_close(own, "target cold reset");
}

void tgt_target_drop(struct tgt_reactor *r, const char *target, const char *reason)
{
    list_for_each_safe(it, &r->sessions)
    {
        struct tgt_session *s = list_entry(it, struct tgt_session, node);
        if (strcmp(s->key.target, target) == 0)
            session_close(s, reason);
    }
}

void task_mgmt_done(struct tgt_reactor *r)
{
    static const enum tmf_response response_of[] = {[SCSI_TMF_COMPLETE] = TMF_COMPLETE,
                                                    [SCSI_TMF_NO_LUN] = TMF_NO_LUN,
                                                    [SCSI_TMF_REJECTED] = TMF_REJECTED,
                                                    [SCSI_TMF_SUCCEEDED] = TMF_SUCCEEDED};
    struct scsi_tmf *done;
    while ((done = scsi_next_tmf(&r->scsi)) != NULL) {
        struct tgt_tmf *tmf = done->owner;
        tmf->over = true;
        tmf->response = (uint8_t)response_of[done->result]; /* R7143-11.5.3-02 */
        tmf->additional = be24_get(done->info);
        task_mgmt_answer(tmf);
    }
}

/* Functions on more than one task, and CLEAR ACA (R7143-4.2.2.3.4-02, R7143-4.2.2.3.4-05). */
static bool is_fenced(enum scsi_tmf_function function)
{
    return (function >= SCSI_TMF_ABORT_TASK_SET && function <= SCSI_TMF_TARGET_COLD_RESET) ||
           function == SCSI_TMF_I_T_NEXUS_RESET;
}

/* What the device server finished while the function ran, or another nexus aborted, and what still waits for
 * data that is due: the answer says that it is over. R7143-11.5.1-05 */
static void end_covered(struct tgt_tmf *tmf)
{
    list_for_each_safe(it, &tmf->session->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->phase == TASK_FINISHED && covers(tmf, task))
            iscsi_task_abort(task);
    }
}

void task_mgmt_answer(struct tgt_tmf *tmf)
{
    struct tgt_session *s = tmf->session;
    struct tgt_conn *conn = tmf->conn;
    enum scsi_tmf_function function = tmf->scsi.function;
    enum tmf_response response = (enum tmf_response)tmf->response;
    uint32_t itt = tmf->itt, additional = tmf->additional;
    /* R7143-4.2.3.3-13, R7143-4.2.3.3-15, R7143-4.2.3.4-15, R7143-4.2.3.4-18 */
    if (!fence_tmf(tmf, is_fenced(function)))
        return;
    if (response == TMF_COMPLETE)
        end_covered(tmf);
    tmf_free(tmf);
    respond_more(conn, itt, response, additional); /* R7143-11.6-01, R7144-6.3-04 */
    if (function == SCSI_TMF_TARGET_COLD_RESET && response == TMF_COMPLETE)
        drop_target(conn);
    if (function == SCSI_TMF_I_T_NEXUS_RESET &&
        response == TMF_COMPLETE) { /* R7144-6.4.2-04, R7144-6.3-10, R7144-6.3-11 */
        s->gentle = true;
        session_close(s, "I_T nexus reset");
    }
}

/* Will a function that has not begun yet end it? */
static bool is_about_to_end(const struct tgt_task *task)
{
    list_for_each(it, &task->session->tmfs)
    {
        const struct tgt_tmf *tmf = list_entry(it, struct tgt_tmf, session_node);
        if (!tmf->started && awaits_data(tmf) && covers(tmf, task))
            return true;
    }
    return false;
}

/* The function has gone before it began: the tasks that it would have ended go on. */
static void data_goes_on(const struct tgt_tmf *tmf)
{
    list_for_each(it, &tmf->session->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        bool ended = task->failed || task->silent || task->phase != TASK_RUNNING;
        if (ended || !task->out_stop || !covers(tmf, task) || is_about_to_end(task))
            continue;
        task->out_stop = false;
        if (task->out_wanted)
            data_out_ready(task);
    }
}

void task_mgmt_orphan(struct tgt_session *s, const struct tgt_conn *conn)
{
    if (conn && s->reset_gap && conn->cid == s->reset_cid)
        s->reset_untold |= conn->exp_stat_sn != conn->stat_sn || !list_empty(&s->tmfs);
    list_for_each_safe(it, &s->tmfs)
    {
        struct tgt_tmf *tmf = list_entry(it, struct tgt_tmf, session_node);
        if (conn && tmf->conn != conn)
            continue;
        fence_forget(s, &tmf->fenced);
        list_remove(&tmf->session_node);
        s->tmf_count--;
        if (!tmf->started && awaits_data(tmf) && !s->closing)
            data_goes_on(tmf);
        bool finished = tmf->over || list_linked(&tmf->scsi.node); /* nobody has come for it yet */
        list_remove(&tmf->scsi.node);
        if (tmf->started && !finished)
            tmf->scsi.detached = true; /* the device server frees it */
        else
            env_free(s->r->env, tmf);
    }
}
