/* What one side owes the other: a NOP-In its answer, an A bit its DataACK, a SNACK what it asked for, a
 * damaged PDU its Reject, a request to log out the logout.
 *
 * Hardly any of it has a time limit, so "not yet" is judged where there is no later: when the connection has
 * been logged out (a connection that just ends excuses everybody), and only what the other side has seen for
 * sure by then. Two things prove that:
 *   - to the target: a request that was sent later on the same connection has been answered;
 *   - to the initiator: a StatSN that was given later on the same connection has been acknowledged, by
 * another PDU than the Logout Request: whoever writes that may have read the rest only now. A receiver may
 * silently drop what was damaged on the way. With digests and recovery both sides then go on, so there only
 * the receiver's own end can tell. */
#include <inttypes.h>
#include <string.h>

#include "common/iscsi/digest.h"
#include "conformance/referee/internal.h"

#define SECOND 1000000000u

static const struct {
    enum rule_id rule;
    const char *expected;
} kinds[] = {
    [OWED_NOP_OUT] = {RULE_NOP_IN_UNANSWERED, "a NOP-Out with its TTT before the logout"},
    [OWED_FAST_ABORT] = {RULE_FAST_ABORT_ACK, "a NOP-Out with its LUN before the logout"},
    [OWED_LOGOUT] = {RULE_LOGOUT_LATE, "a Logout Request within Parameter3 seconds"},
    [OWED_TEXT] = {RULE_TEXT_LATE, "a Text or Logout Request within Parameter3 seconds"},
    [OWED_DATA_ACK] = {RULE_DATA_ACK_MISSING, "a DataACK before the status was acknowledged"},
    [OWED_DATA] = {RULE_SNACK_UNANSWERED, "the data again, or a Reject"},
    [OWED_STATUS] = {RULE_STATUS_SNACK_UNANSWERED, "the status again, or a Reject"},
    [OWED_REJECT] = {RULE_DIGEST_REJECT, "a Reject with reason 0x02"},
};

/* ---- keeping ---- */

struct rowed *duty_owe(struct rconn *c, enum rowed_kind kind, const struct rpdu *p, uint32_t tag)
{
    if (c->owed_count == REFEREE_OWED_MAX) {
        undecided(c);
        return NULL;
    }
    struct rowed *o = &c->owed[c->owed_count++];
    *o = (struct rowed){.kind = kind, .tag = tag, .pdu = p->number, .proof = c->next_stat_sn};
    o->request_seq = c->request_seq;
    return o;
}

static void forget(struct rconn *c, struct rowed *o)
{
    *o = c->owed[--c->owed_count];
}

static struct rowed *find(struct rconn *c, enum rowed_kind kind, uint32_t tag)
{
    for (uint32_t i = 0; i < c->owed_count; i++)
        if (c->owed[i].kind == kind && c->owed[i].tag == tag)
            return &c->owed[i];
    return NULL;
}

bool duty_met(struct rconn *c, enum rowed_kind kind, uint32_t tag)
{
    struct rowed *o = find(c, kind, tag);
    if (o)
        forget(c, o);
    return o != NULL;
}

void duty_limit(struct rconn *c, enum rowed_kind kind, const struct rpdu *p, uint32_t seconds)
{
    struct rowed *o = find(c, kind, 0);
    if (!o)
        o = duty_owe(c, kind, p, 0);
    if (o) /* Parameter3 counts whole seconds: the one it ends in is still his */
        o->due_ns = c->time_ns + ((uint64_t)seconds + 1) * SECOND;
}

static void tell(struct rconn *c, const struct rowed *o)
{
    finding_at(c, kinds[o->kind].rule, o->pdu, kinds[o->kind].expected,
               say("nothing for PDU %" PRIu64, o->pdu).text);
}

/* ---- did it come at all? ---- */

/* May it have been damaged behind us, and dropped by a receiver that goes on all the same? */
static bool may_be_dropped(const struct rconn *c, enum referee_party receiver)
{
    bool digests = c->split[TO_T].header_digest || c->split[TO_T].data_digest;
    bool there =
        c->r->options.vantage == (receiver == REFEREE_INITIATOR ? REFEREE_AT_INITIATOR : REFEREE_AT_TARGET);
    return !c->session || (digests && c->session->params.error_recovery_level > 0 && !there);
}

/* A DataACK is not needed where the status could be acknowledged at once; and where it could not be, it is
 * due before the status is acknowledged. */
static bool data_ack_is_over(struct rconn *c, struct rowed *o)
{
    const struct rtask *task = task_find(c->session, o->itt);
    bool acknowledged = task && task->done && sn_gt(c->acked_stat_sn, task->stat_sn);
    if (!task || task->aborted || task->unsure)
        return true;
    if (acknowledged && o->proven)
        tell(c, o);
    return acknowledged;
}

void duty_proof(struct rconn *c, const struct rpdu *p)
{
    bool logout = pdu_opcode(p->bhs) == PDU_OP_logout_request;
    if (logout || may_be_dropped(c, REFEREE_INITIATOR))
        return;
    for (uint32_t i = 0; i < c->owed_count;) {
        struct rowed *o = &c->owed[i];
        if (o->kind == OWED_DATA_ACK && data_ack_is_over(c, o)) {
            forget(c, o);
            continue;
        }
        o->proven = o->proven || sn_gt(c->acked_stat_sn, o->proof);
        i++;
    }
}

/* ---- what pays ---- */

/* Who acknowledges event 5 has stopped the data of the tasks it is about: those that the target had by then,
 * but for what it asks for afterwards. R7143-11.9.1-12 */
static void stop_data(struct rconn *c, const struct rowed *o)
{
    list_for_each(it, &c->session->live)
    {
        struct rtask *task = list_entry(it, struct rtask, order);
        if (task->conn == c && task->lun == o->lun && !task->immediate && sn_lt(task->cmd_sn, o->run) &&
            task->opcode == PDU_OP_scsi_command && task->no_data != DATA_AFTER_TMF) {
            task->no_data = DATA_AFTER_EVENT;
            data_stop(task, o->pdu);
        }
    }
}

void duty_pays(struct rconn *c, const struct rpdu *p)
{
    uint8_t opcode = pdu_opcode(p->bhs);
    if (opcode != PDU_OP_nop_out)
        return;
    struct pdu_nop_out q;
    pdu_nop_out_decode(p->bhs, &q);
    if (q.ttt != PDU_TAG_RESERVED)
        (void)duty_met(c, OWED_NOP_OUT, q.ttt);
    if (q.itt != PDU_TAG_RESERVED)
        return;
    for (uint32_t i = 0; i < c->owed_count; i++)
        if (c->owed[i].kind == OWED_FAST_ABORT && c->owed[i].lun == q.lun &&
            sn_gt(q.exp_stat_sn, c->owed[i].proof)) {
            stop_data(c, &c->owed[i]);
            forget(c, &c->owed[i]);
            return;
        }
}

void duty_status_again(struct rconn *c, uint32_t stat_sn)
{
    for (uint32_t i = 0; i < c->owed_count; i++) {
        struct rowed *o = &c->owed[i];
        if (o->kind == OWED_STATUS && stat_sn - o->tag < o->run) {
            forget(c, o);
            return;
        }
    }
}

void duty_rejected(struct rconn *c, const uint8_t *bhs, uint8_t reason)
{
    uint32_t crc = digest_crc32c(bhs, PDU_BHS_LEN);
    for (uint32_t i = 0; i < c->owed_count; i++) {
        struct rowed *o = &c->owed[i];
        if (o->kind < OWED_DATA || o->header != crc)
            continue;
        if (o->kind == OWED_REJECT && reason != 0x02)
            finding(c, RULE_DIGEST_REJECT, "reason 0x02", say("0x%02x", reason).text);
        forget(c, o);
        return;
    }
}

void duty_logout_asked(struct rconn *c, uint8_t reason, uint16_t cid)
{
    list_for_each(it, &c->session->conns)
    {
        struct rconn *other = list_entry(it, struct rconn, node);
        if (reason == 0 || other->cid == cid) {
            (void)duty_met(other, OWED_LOGOUT, 0);
            (void)duty_met(other, OWED_TEXT, 0);
        }
    }
}

/* ---- judging ---- */

void duty_clock(struct rconn *c)
{
    for (uint32_t i = 0; i < c->owed_count;) {
        struct rowed *o = &c->owed[i];
        if (o->due_ns && c->time_ns > o->due_ns) {
            tell(c, o);
            forget(c, o);
        } else
            i++;
    }
}

/* Is this request's answer overdue, where the Logout Response says that there will be none? */
static void unanswered(struct rconn *c, const struct rtask *task)
{
    const struct rsession *s = c->session;
    const struct rtask *ref = task_find(c->session, task->ref_itt);
    bool pending = ref && !ref->done;
    enum rule_id rule = RULE_COUNT;
    if (task->opcode == PDU_OP_nop_out)
        rule = RULE_PING_UNANSWERED;
    else if (task->opcode == PDU_OP_task_management_request && task->function >= 9 &&
             task->function != 11) /* the queries wait for nothing */
        rule = RULE_QUERY_UNANSWERED;
    else if (task->opcode == PDU_OP_task_management_request &&
             (task->function == 8 || (task->function == 1 && !pending)))
        rule = RULE_TMF_UNANSWERED;
    bool came = task->seq < c->answered_seq && (task->immediate || sn_gt(s->exp_cmd_sn, task->cmd_sn));
    if (rule != RULE_COUNT && came && !task->unsure)
        finding_at(c, rule, task->pdu, "a response before that of the logout",
                   say("none for task tag 0x%08" PRIx32, task->itt).text);
}

void duty_logged_out(struct rconn *c)
{
    c->orderly = true;
    if (may_be_dropped(c, REFEREE_TARGET))
        return;
    list_for_each(it, &c->session->live)
    {
        const struct rtask *task = list_entry(it, struct rtask, order);
        if (task->conn == c)
            unanswered(c, task);
    }
}

/* A SNACK for what has been acknowledged meanwhile needs no answer any more. */
static bool snack_stands(const struct rconn *c, const struct rowed *o)
{
    if (o->request_seq >= c->answered_seq || may_be_dropped(c, REFEREE_TARGET))
        return false;
    if (o->kind == OWED_STATUS)
        return sn_le(c->acked_stat_sn, o->tag);
    const struct rtask *task = c->session ? task_find(c->session, o->tag) : NULL;
    return task && task->done && !task->aborted && sn_le(c->acked_stat_sn, task->stat_sn);
}

void duty_end(struct rconn *c)
{
    for (uint32_t i = 0; c->orderly && i < c->owed_count; i++) {
        const struct rowed *o = &c->owed[i];
        bool due = o->kind == OWED_NOP_OUT || o->kind == OWED_FAST_ABORT ? o->proven
                   : o->kind == OWED_DATA || o->kind == OWED_STATUS      ? snack_stands(c, o)
                                                                         : o->kind == OWED_REJECT;
        if (due)
            tell(c, o);
    }
    c->owed_count = 0;
}
