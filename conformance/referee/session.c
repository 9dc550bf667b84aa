/* Sessions: which connections belong together, CmdSN and its window, and the table of tasks. */
#include <inttypes.h>
#include <string.h>

#include "common/iscsi/digest.h"
#include "conformance/referee/internal.h"

/* ---- joining ---- */

static bool same_nexus(const struct rsession *s, const struct rconn *c, const uint8_t *isid)
{
    return !s->over && s->discovery == c->discovery && memcmp(s->isid, isid, sizeof s->isid) == 0 &&
           strcmp(s->initiator_name, c->initiator_name) == 0 && strcmp(s->target_name, c->target_name) == 0;
}

/* An unnamed discovery session is known by the address of its target instead of a name. R7143-7.4.2.1-01 */
static struct rsession *session_find(struct rconn *c, const uint8_t *isid, uint16_t tsih)
{
    list_for_each(it, &c->r->sessions)
    {
        struct rsession *s = list_entry(it, struct rsession, node);
        if (same_nexus(s, c, isid) && (tsih == 0 || s->tsih == tsih) &&
            (tsih != 0 || s->target_name[0] || addr_equal(&s->target, &c->target)))
            return s;
    }
    return NULL;
}

/* What is left of the old session's traffic was on its way when the new one came: nobody can be blamed for
 * it. */
static void session_over(struct rsession *s)
{
    s->over = true;
    s->whole = false;
}

static void session_evict(struct referee *r)
{
    list_for_each_safe(it, &r->sessions)
    {
        struct rsession *s = list_entry(it, struct rsession, node);
        if (s->conn_count == 0) {
            session_free(s);
            return;
        }
    }
}

static struct rsession *session_new(struct rconn *c, const uint8_t *isid, uint16_t tsih)
{
    struct referee *r = c->r;
    if (r->session_count >= REFEREE_SESSIONS_MAX)
        session_evict(r);
    struct rsession *s = r->session_count < REFEREE_SESSIONS_MAX ? env_alloc(r->env, sizeof *s) : NULL;
    if (!s) {
        conn_blind(c);
        return NULL;
    }
    s->r = r;
    s->whole = c->whole;
    s->discovery = c->discovery;
    memcpy(s->initiator_name, c->initiator_name, sizeof s->initiator_name);
    memcpy(s->target_name, c->target_name, sizeof s->target_name);
    memcpy(s->isid, isid, sizeof s->isid);
    s->target = c->target;
    s->tsih = tsih;
    key_params_default(&s->params);
    list_init(&s->conns);
    list_init(&s->live);
    list_init(&s->finished);
    for (unsigned i = 0; i < REFEREE_BUCKETS; i++)
        list_init(&s->buckets[i]);
    list_push_back(&r->sessions, &s->node);
    r->session_count++;
    s->number = ++r->counts.sessions;
    return s;
}

/* The same CID logs in again: the old connection is logged out by that, its tasks with it below level 2. */
static void reinstate_connection(struct rsession *s, uint16_t cid)
{
    list_for_each_safe(it, &s->conns)
    {
        struct rconn *old = list_entry(it, struct rconn, node);
        if (old->cid != cid)
            continue;
        session_leave(old);
        old->whole = false;
        return;
    }
}

static struct rsession *session_of_login(struct rconn *c, const struct pdu_login_request *q, uint16_t tsih)
{
    struct rsession *s;
    if (q->tsih == 0) {
        s = session_find(c, q->isid, 0);
        if (s)
            session_over(s); /* R7143-6.3.1-03 */
        s = session_new(c, q->isid, tsih);
        if (s)
            s->next_cmd_sn = s->contiguous = s->exp_cmd_sn = s->max_cmd_sn = q->cmd_sn;
        return s;
    }
    s = session_find(c, q->isid, q->tsih);
    if (s) {
        reinstate_connection(s, q->cid);
        return s;
    }
    s = session_new(c, q->isid, q->tsih); /* it began before we looked */
    if (s) {
        s->whole = false;
        s->next_cmd_sn = s->contiguous = s->exp_cmd_sn = s->max_cmd_sn = q->cmd_sn;
    }
    undecided(c);
    return s;
}

void session_guess(struct rconn *c)
{
    static const uint8_t no_isid[6];
    if (c->session || c->phase != PHASE_NEW)
        return;
    c->session = session_new(c, no_isid, 0);
    if (!c->session)
        return;
    c->session->whole = false;
    c->session->over = true; /* no login finds it */
    c->phase = PHASE_FULL;
    c->guessed = true;
    c->max_data[TO_T] = c->max_data[TO_I] = UINT32_MAX; /* nobody has said what he takes */
    list_push_back(&c->session->conns, &c->node);
    c->session->conn_count = c->session->conns_ever = 1;
}

bool session_may_have_strangers(const struct rsession *s)
{
    return s->params.max_connections > 1 || s->params.error_recovery_level == 2;
}

static void take_results(struct rconn *c, bool leading)
{
    struct key_params params = c->session->params;
    bool header = keys_digest(c, KEY_HEADER_DIGEST), data = keys_digest(c, KEY_DATA_DIGEST);
    keys_conclude(c, &params);
    if (leading)
        c->session->params = params;
    for (int dir = 0; dir < 2; dir++)
        if (c->neg->max_recv[dir]) /* what one side takes is what the other may send */
            c->max_data[!dir] = c->neg->max_recv[dir];
    split_set_digests(c, header, data);
}

/* One more than agreed is for recovering from a failure that only one side has noticed. R7143-6.3.4-03 */
static void check_connections(struct rconn *c, const struct rsession *s)
{
    if (s->conn_count > s->params.max_connections + 1)
        finding(c, RULE_MAX_CONNECTIONS, say("at most %" PRIu32, s->params.max_connections).text,
                say("%" PRIu32 " connections", s->conn_count).text);
}

void session_told(struct rconn *c, const struct pdu_login_request *q, const struct pdu_login_response *a)
{
    struct rsession *s = session_find(c, q->isid, q->tsih);
    if (s && s->window_known && sn_gt(a->max_cmd_sn, s->max_cmd_sn))
        s->max_cmd_sn = a->max_cmd_sn;
}

void session_join(struct rconn *c, const struct pdu_login_response *final)
{
    struct pdu_login_request q;
    pdu_login_request_decode(c->last_login, &q);
    c->phase = PHASE_FULL;
    struct rsession *s = session_of_login(c, &q, final->tsih);
    c->session = s;
    if (!s || !c->neg)
        return;
    if (!c->whole)
        s->whole = false;
    list_push_back(&s->conns, &c->node);
    s->conn_count++;
    s->conns_ever++;
    take_results(c, q.tsih == 0);
    if ((c->r->strangers || c->r->options.filtered) && session_may_have_strangers(s))
        s->whole = false;
    check_connections(c, s);
    session_window(c, final->exp_cmd_sn, final->max_cmd_sn);
    keys_end(c);
}

/* ---- leaving ---- */

/* A read that is reassigned goes on where it says; of a write nobody knows what had arrived. */
void task_adrift(struct rtask *task)
{
    task->conn = NULL;
    task->unsure = task->unsure || task->write;
}

static void leave_task(struct rsession *s, struct rconn *c, struct rtask *task)
{
    if (task->conn != c)
        return;
    task_adrift(task);
    if (s->params.error_recovery_level < 2 && !task->done)
        task_drop(s, task);
}

void session_leave(struct rconn *c)
{
    struct rsession *s = c->session;
    if (!s)
        return;
    list_for_each_safe(it, &s->live) leave_task(s, c, list_entry(it, struct rtask, order));
    list_for_each_safe(it, &s->finished) leave_task(s, c, list_entry(it, struct rtask, order));
    list_remove(&c->node);
    c->session = NULL;
    s->conn_lost = true;
    s->conn_count--;
    /* A session that can't go on without a connection is over; others may come back. */
    if (s->conn_count == 0 && (s->over || s->params.error_recovery_level == 0))
        session_free(s);
}

void session_free(struct rsession *s)
{
    struct referee *r = s->r;
    list_for_each_safe(it, &s->conns)
    {
        struct rconn *c = list_entry(it, struct rconn, node);
        list_remove(&c->node);
        c->session = NULL;
    }
    list_for_each_safe(it, &s->live) task_drop(s, list_entry(it, struct rtask, order));
    list_for_each_safe(it, &s->finished) task_drop(s, list_entry(it, struct rtask, order));
    list_remove(&s->node);
    env_free(r->env, s);
    r->session_count--;
}

/* ---- CmdSN ---- */

/* Between connections no order is known, not even where the PDUs were sent: only a session that never had
 * more than one connection has a single line of CmdSNs. */
bool session_single(const struct rsession *s)
{
    return s->conns_ever == 1;
}

static bool ring_has(const struct rsession *s, uint32_t sn)
{
    return s->ring[sn % REFEREE_SN_RING].used && s->ring[sn % REFEREE_SN_RING].sn == sn;
}

static bool ring_given_back(const struct rsession *s, uint32_t sn)
{
    return s->ring[sn % REFEREE_SN_RING].given_back && s->ring[sn % REFEREE_SN_RING].sn == sn;
}

static void ring_put(struct rsession *s, uint32_t sn, uint32_t itt)
{
    if (ring_given_back(s, sn))
        s->holes--;
    s->ring[sn % REFEREE_SN_RING].sn = sn;
    s->ring[sn % REFEREE_SN_RING].itt = itt;
    s->ring[sn % REFEREE_SN_RING].used = true;
    s->ring[sn % REFEREE_SN_RING].given_back = false;
    while (ring_has(s, s->contiguous))
        s->contiguous++;
}

static void immediate_request(struct rconn *c, uint32_t sn)
{
    const struct rsession *s = c->session;
    if (session_single(s) && s->holes == 0 && !s->sn_broken && sn != s->next_cmd_sn)
        finding(c, RULE_CMD_SN_IMMEDIATE, say("0x%08" PRIx32, s->next_cmd_sn).text,
                say("0x%08" PRIx32, sn).text);
}

/* Is this number the one that is due? */
static void check_step(struct rconn *c, uint32_t sn, uint32_t itt)
{
    struct rsession *s = c->session;
    struct words expected = say("0x%08" PRIx32, s->next_cmd_sn), seen = say("0x%08" PRIx32, sn);
    if (ring_has(s, sn)) {
        if (s->ring[sn % REFEREE_SN_RING].itt != itt && !s->conn_lost)
            finding(c, RULE_CMD_SN_TWICE, expected.text, seen.text);
        return; /* a retry */
    }
    if (session_single(s) && sn != s->next_cmd_sn && s->holes == 0) {
        if (!s->sn_broken)
            finding(c, RULE_CMD_SN_STEP, expected.text, seen.text);
        s->sn_broken = true;
    } else if (!session_single(s) && c->cmd_known && sn_lt(sn, c->last_cmd_sn) && s->holes == 0 &&
               !s->conn_lost)
        finding(c, RULE_CMD_SN_ASCENDING, say("above 0x%08" PRIx32, c->last_cmd_sn).text, seen.text);
}

void session_request(struct rconn *c, bool immediate, uint32_t sn, uint32_t itt)
{
    struct rsession *s = c->session;
    if (immediate) {
        immediate_request(c, sn);
        return;
    }
    if (s->window_known && sn_gt(sn, s->max_cmd_sn)) { /* the target ignores it: R7143-4.2.2.1-13 */
        finding(c, RULE_CMD_SN_WINDOW, say("at most 0x%08" PRIx32, s->max_cmd_sn).text,
                say("0x%08" PRIx32, sn).text);
        return;
    }
    check_step(c, sn, itt);
    if (sn_ge(sn, s->next_cmd_sn))
        s->next_cmd_sn = sn + 1;
    if (!c->cmd_known || sn_gt(sn, c->last_cmd_sn))
        c->last_cmd_sn = sn;
    c->cmd_known = true;
    ring_put(s, sn, itt);
}

/* A rejected command's number counts as not received. R7143-7.3-04 */
void session_give_back(struct rsession *s, uint32_t sn)
{
    if (!ring_has(s, sn))
        return;
    s->ring[sn % REFEREE_SN_RING].used = false;
    s->ring[sn % REFEREE_SN_RING].given_back = true;
    s->holes++;
    if (sn_lt(sn, s->contiguous))
        s->contiguous = sn;
}

/* An abort of a command that never came counts as its coming. R7143-7.11-03 */
void session_plug(struct rsession *s, uint32_t sn)
{
    if (!ring_has(s, sn) && s->next_cmd_sn - sn <= REFEREE_SN_RING)
        ring_put(s, sn, PDU_TAG_RESERVED);
}

void session_window(struct rconn *c, uint32_t exp, uint32_t max)
{
    struct rsession *s = c->session;
    if (sn_lt(max + 1, exp)) {
        finding(c, RULE_MAX_CMD_SN, say("at least 0x%08" PRIx32, exp - 1).text,
                say("0x%08" PRIx32, max).text);
        return;
    }
    if (s->conn_lost && sn_gt(exp, s->contiguous) && sn_le(exp, s->next_cmd_sn)) {
        s->contiguous = exp; /* what was lost with a connection may count as received: R7143-4.2.3.3-11 */
    } else if (sn_gt(exp, s->contiguous)) {
        finding(c, ring_given_back(s, s->contiguous) ? RULE_EXP_CMD_SN_REJECTED : RULE_EXP_CMD_SN,
                say("at most 0x%08" PRIx32, s->contiguous).text, say("0x%08" PRIx32, exp).text);
        s->contiguous = exp;
    }
    if (!s->window_known || sn_gt(exp, s->exp_cmd_sn))
        s->exp_cmd_sn = exp;
    if (!s->window_known || sn_gt(max, s->max_cmd_sn))
        s->max_cmd_sn = max;
    s->window_known = true;
}

/* ---- tasks ---- */

struct rtask *task_find(struct rsession *s, uint32_t itt)
{
    list_for_each(it, &s->buckets[itt % REFEREE_BUCKETS])
    {
        struct rtask *task = list_entry(it, struct rtask, hash);
        if (task->itt == itt)
            return task;
    }
    return NULL;
}

void task_drop(struct rsession *s, struct rtask *task)
{
    if (task->done)
        s->finished_count--;
    data_forget(s, task);
    list_remove(&task->hash);
    list_remove(&task->order);
    session_release(s, task, sizeof *task);
}

/* A retry says again what was said. R7143-7.2.1-04, and on the same connection R7143-7.2.1-05 */
static void retry(struct rconn *c, const struct rpdu *p, struct rtask *task)
{
    /* Its unsolicited data may come again too, from the start: a burst of its own (R7143-11.7.1-05), whatever
     * had come of the first one. All else goes on as if it had been sent once. */
    if (task->write && !(task->bhs[1] & 0x80)) {
        task->unsure = true;
        task->unsolicited = p->data_len;
        task->unsolicited_open = true;
    }
    /* ExpStatSN moves on, and so may nothing else. */
    if (memcmp(p->bhs, task->bhs, 28) != 0 || memcmp(p->bhs + 32, task->bhs + 32, 16) != 0)
        finding(c, RULE_RETRY_SAME, "the request as it was", "another with its task tag and CmdSN");
    if (task->conn && task->conn != c)
        finding(c, RULE_RETRY_CONN, "the first connection", "another connection");
}

struct rtask *task_new(struct rconn *c, const struct rpdu *p, uint32_t itt, bool immediate, uint32_t cmd_sn)
{
    struct rsession *s = c->session;
    struct rtask *task = task_find(s, itt);
    if (task && !task->done && !task->aborted) {
        if (!immediate && !task->immediate && task->cmd_sn == cmd_sn && task->opcode == pdu_opcode(p->bhs)) {
            retry(c, p, task);
            return NULL;
        }
        finding(c, RULE_ITT_UNIQUE, "a task tag of no pending task", say("0x%08" PRIx32, itt).text);
    }
    if (task)
        task_drop(s, task);
    task = session_alloc(s, sizeof *task);
    if (!task)
        return NULL;
    task->itt = itt;
    task->opcode = pdu_opcode(p->bhs);
    task->immediate = immediate;
    task->cmd_sn = cmd_sn;
    task->conn = c;
    task->seq = ++c->request_seq;
    task->pdu = p->number;
    memcpy(task->bhs, p->bhs, PDU_BHS_LEN);
    list_init(&task->r2ts);
    list_push_back(&s->buckets[itt % REFEREE_BUCKETS], &task->hash);
    list_push_back(&s->live, &task->order);
    return task;
}

/* What a response that is sent again has to say again: all but ExpCmdSN, MaxCmdSN and ExpDataSN.
 * R7143-11.16-02 */
static uint32_t answer_crc(const struct rpdu *p)
{
    uint8_t bhs[PDU_BHS_LEN];
    memcpy(bhs, p->bhs, sizeof bhs);
    memset(bhs + 28, 0, 8);
    if (pdu_opcode(bhs) == PDU_OP_scsi_response)
        memset(bhs + 36, 0, 4);
    return digest_crc32c(bhs, sizeof bhs);
}

/* One more response of a task that had its status: the same, with the StatSN it had. After an R-Data SNACK or
 * on another connection it has to be another. */
static void check_again(struct rconn *c, const struct rpdu *p, const struct rtask *task)
{
    if (pdu_opcode(p->bhs) == PDU_OP_data_in || pdu_opcode(p->bhs) == PDU_OP_r2t)
        (void)duty_met(c, OWED_DATA, task->itt);
    bool status = pdu_opcode(p->bhs) != PDU_OP_data_in || (p->bhs[1] & 1);
    if (!status || !task->status_kept || task->conn != c || pdu_opcode(p->bhs) == PDU_OP_r2t)
        return;
    uint32_t sn = be32_get(p->bhs + 24);
    if (sn != task->stat_sn)
        finding(c, RULE_AGAIN_STAT_SN, say("0x%08" PRIx32, task->stat_sn).text, say("0x%08" PRIx32, sn).text);
    else if (!task->snack_tag && answer_crc(p) != task->answer_crc)
        finding(c, RULE_AGAIN_SAME, "the response as it was", "another with its StatSN");
}

void task_done(struct rconn *c, struct rtask *task)
{
    struct rsession *s = c->session;
    if (task->done)
        return;
    task->done = true;
    if (c->r->pdu && !task->aborted && !c->r->pdu->header_bad) {
        task->status_kept = true;
        task->answer_crc = answer_crc(c->r->pdu);
    }
    list_remove(&task->order);
    list_push_back(&s->finished, &task->order);
    if (++s->finished_count <= REFEREE_DONE_MAX)
        return;
    task_drop(s, list_first(&s->finished, struct rtask, order));
    s->tasks_lost = true;
}

/* Is a TASK REASSIGN for this tag on its way on this connection? */
static bool reassign_pending(const struct rconn *c, uint32_t itt)
{
    list_for_each(it, &c->session->live)
    {
        const struct rtask *tmf = list_entry(it, struct rtask, order);
        if (tmf->opcode == PDU_OP_task_management_request && tmf->function == 8 && tmf->ref_itt == itt &&
            tmf->conn == c)
            return true;
    }
    return false;
}

struct rtask *task_of_response(struct rconn *c, const struct rpdu *p, uint32_t itt, uint8_t opcode)
{
    struct rsession *s = c->session;
    struct rtask *task = task_find(s, itt);
    struct words seen = say("%s for task tag 0x%08" PRIx32, pdu_name(p->bhs[0]), itt);
    if (!task) {
        if (s->tasks_lost)
            undecided(c);
        else
            finding(c, RULE_NO_REQUEST, "the tag of a request", seen.text);
        return NULL;
    }
    if (task->opcode != opcode) {
        finding(c, RULE_OTHER_KIND, pdu_name(task->opcode), seen.text);
        return NULL;
    }
    if (task->aborted) {
        /* Connections are ordered among each other only where the responses are sent. */
        if (task->aborted_by == c->id || c->r->options.vantage == REFEREE_AT_TARGET)
            finding(c, RULE_AFTER_ABORT, "no response after the TMF Response", seen.text);
        return NULL;
    }
    if (!task->conn && !task->done && reassign_pending(c, itt)) {
        finding(c, RULE_REASSIGN_EARLY, "the TMF Response first", seen.text);
        return NULL;
    }
    if (task->conn && task->conn != c && !task->unsure) {
        finding(c, RULE_OTHER_CONNECTION, "the request's connection", seen.text);
        return NULL;
    }
    if (task->done && s->params.error_recovery_level == 0) {
        finding(c, RULE_RESPONSE_TWICE, "one response", seen.text);
        return NULL;
    }
    if (task->done) {
        check_again(c, p, task);
        return NULL;
    }
    if (task->conn == c && opcode != PDU_OP_logout_request && task->seq > c->answered_seq)
        c->answered_seq = task->seq;
    return task;
}
