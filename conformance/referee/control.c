/* NOP, Text, Logout, Asynchronous Message, Reject and SNACK (RFC 7143 11.9 to 11.11 and 11.14 to 11.19). */
#include <inttypes.h>
#include <string.h>

#include "common/iscsi/digest.h"
#include "conformance/referee/internal.h"

/* ---- NOP ---- */

/* The answer to a NOP-In: its TTT and LUN have to be those of one that asked. */
static void answer_ping(struct rconn *c, const struct pdu_nop_out *q)
{
    for (uint32_t i = 0; i < c->pings; i++) {
        if (c->ping[i].ttt != q->ttt)
            continue;
        if (c->ping[i].lun != q->lun)
            finding(c, RULE_NOP_OUT_LUN, say("0x%016" PRIx64, c->ping[i].lun).text,
                    say("0x%016" PRIx64, q->lun).text);
        c->ping[i] = c->ping[--c->pings];
        return;
    }
    if (c->ping_lost)
        undecided(c);
    else
        finding(c, RULE_NOP_OUT_TTT, "the TTT of a NOP-In", say("0x%08" PRIx32, q->ttt).text);
}

void control_nop_out(struct rconn *c, const struct rpdu *p)
{
    struct pdu_nop_out q;
    pdu_nop_out_decode(p->bhs, &q);
    if (q.ttt != PDU_TAG_RESERVED)
        answer_ping(c, &q);
    if (q.itt == PDU_TAG_RESERVED) {
        if (!q.immediate)
            finding(c, RULE_NOP_OUT_IMMEDIATE, "I=1", "I=0");
        return;
    }
    struct rtask *task = task_new(c, p, q.itt, q.immediate, q.cmd_sn);
    if (!task)
        return;
    task->ping_len = p->data_len;
    task->ping_crc = p->data_crc;
    task->unsure = task->unsure || p->cut;
}

static void ping_answer(struct rconn *c, const struct rpdu *p, const struct pdu_nop_in *a)
{
    struct rtask *task = task_of_response(c, p, a->itt, PDU_OP_nop_out);
    if (!task)
        return;
    if (a->ttt != PDU_TAG_RESERVED)
        finding(c, RULE_NOP_IN_TTT, "0xffffffff", say("0x%08" PRIx32, a->ttt).text);
    uint32_t max = c->max_data[TO_I], due = task->ping_len < max ? task->ping_len : max;
    if (p->data_len != due)
        finding(c, RULE_NOP_IN_DATA, say("%" PRIu32 " bytes", due).text,
                say("%" PRIu32 " bytes", p->data_len).text);
    else if (due && due == task->ping_len && p->data_crc != task->ping_crc && !p->cut && !task->unsure)
        finding(c, RULE_NOP_IN_DATA, "the ping's data", "other data");
    task->stat_sn = a->stat_sn;
    task_done(c, task);
}

void control_nop_in(struct rconn *c, const struct rpdu *p)
{
    struct pdu_nop_in a;
    pdu_nop_in_decode(p->bhs, &a);
    if (a.itt != PDU_TAG_RESERVED) {
        ping_answer(c, p, &a);
        return;
    }
    if (p->data_len)
        finding(c, RULE_NOP_IN_NO_DATA, "no data", say("%" PRIu32 " bytes", p->data_len).text);
    if (a.ttt == PDU_TAG_RESERVED)
        return;
    if (c->pings == sizeof c->ping / sizeof c->ping[0]) {
        c->ping_lost = true;
        c->pings--;
    }
    (void)duty_owe(c, OWED_NOP_OUT, p, a.ttt);
    c->ping[c->pings].ttt = a.ttt;
    c->ping[c->pings++].lun = a.lun;
}

/* ---- Text ---- */

static void text_forget(struct rconn *c)
{
    c->text_open = c->send_targets = c->record_open = c->text_repeated = false;
    c->text[TO_T].open = c->text[TO_I].open = false;
    c->text[TO_T].len = c->text[TO_I].len = 0;
    c->text_ttt = PDU_TAG_RESERVED;
}

/* A negotiation begins; one that was open is reset by that. R7143-11.10.4-01 */
static void text_begin(struct rconn *c, const struct rpdu *p, const struct pdu_text_request *q)
{
    struct rtask *old = task_find(c->session, c->text_itt);
    if (old && old->opcode == PDU_OP_text_request && !old->done && c->text_negotiating)
        task_drop(c->session, old);
    text_forget(c);
    c->text_negotiating = true;
    c->text_itt = q->itt;
    c->text_immediate = q->immediate;
    keys_begin(c, KEY_STAGE_FULL_FEATURE, false);
    (void)task_new(c, p, q->itt, q->immediate, q->cmd_sn);
}

static void text_continue(struct rconn *c, const struct pdu_text_request *q)
{
    if (!c->text_negotiating || c->text_ttt != q->ttt || c->text_lun != q->lun)
        finding(c, RULE_TEXT_CONTINUE, say("TTT 0x%08" PRIx32, c->text_ttt).text,
                say("TTT 0x%08" PRIx32, q->ttt).text);
    if (!c->text_negotiating)
        return;
    if (q->itt != c->text_itt)
        finding(c, RULE_TEXT_ITT_I, say("0x%08" PRIx32, c->text_itt).text, say("0x%08" PRIx32, q->itt).text);
    if (q->immediate != c->text_immediate)
        finding(c, RULE_TEXT_IMMEDIATE, say("I=%u", c->text_immediate).text, say("I=%u", q->immediate).text);
}

void control_text_request(struct rconn *c, const struct rpdu *p)
{
    struct pdu_text_request q;
    pdu_text_request_decode(p->bhs, &q);
    if (c->text_open)
        finding(c, RULE_TEXT_OUTSTANDING_I, "a Text Response first", "another Text Request");
    (void)duty_met(c, OWED_TEXT, 0);
    if (q.final && q.more)
        finding(c, RULE_TEXT_F_AND_C_I, "F=0 with C=1", "F=1");
    if (q.ttt == PDU_TAG_RESERVED)
        text_begin(c, p, &q);
    else
        text_continue(c, &q);
    c->text_open = true;
    c->text_last_final = q.final;
    if (!c->text[TO_I].open)
        (void)keys_text(c, p, q.more);
    else if (p->data_len)
        finding(c, RULE_EMPTY_TEXT_I, "an empty data segment", say("%" PRIu32 " bytes", p->data_len).text);
}

static void text_flags(struct rconn *c, const struct pdu_text_response *a)
{
    struct words ttt = say("F=%u, TTT 0x%08" PRIx32, a->final, a->ttt);
    if (a->final && a->ttt != PDU_TAG_RESERVED)
        finding(c, RULE_TEXT_FINAL_TTT, "TTT 0xffffffff", ttt.text);
    if (!a->final && a->ttt == PDU_TAG_RESERVED)
        finding(c, RULE_TEXT_MORE_TTT, "a TTT", ttt.text);
    if (a->final && !c->text_last_final)
        finding(c, RULE_TEXT_FINAL_UNASKED, "F=0", "F=1");
    if (a->final && a->more)
        finding(c, RULE_TEXT_F_AND_C_T, "F=0 with C=1", "F=1");
}

/* New limits may meet PDUs that were on their way: the larger one counts from now on. */
static void text_end(struct rconn *c, struct rtask *task, const struct pdu_text_response *a)
{
    struct key_params unused = c->session->params;
    if (c->neg) {
        keys_conclude(c, &unused);
        for (int dir = 0; dir < 2; dir++)
            if (c->neg->max_recv[dir] > c->max_data[!dir])
                c->max_data[!dir] = c->neg->max_recv[dir];
    }
    keys_end(c);
    text_forget(c);
    c->text_negotiating = false;
    if (task) {
        task->stat_sn = a->stat_sn;
        task_done(c, task);
    }
}

void control_text_response(struct rconn *c, const struct rpdu *p)
{
    struct pdu_text_response a;
    const char *key;
    pdu_text_response_decode(p->bhs, &a);
    if (!c->text_open) {
        finding(c, RULE_TEXT_OUTSTANDING_T, "a Text Request first", "a Text Response");
        return;
    }
    if (a.itt != c->text_itt) {
        finding(c, RULE_TEXT_ITT_T, say("0x%08" PRIx32, c->text_itt).text, say("0x%08" PRIx32, a.itt).text);
        return;
    }
    struct rtask *task = task_of_response(c, p, a.itt, PDU_OP_text_request);
    text_flags(c, &a);
    if (c->text_repeated)
        finding(c, RULE_REPEAT_REJECTED, "a Reject", "a Text Response");
    c->text_repeated = false;
    if (c->text_last_final && !c->text[TO_T].open && !a.final && !a.more && p->data_len == 0)
        finding(c, RULE_TEXT_EMPTY, "F=1, or keys", "neither");
    c->text_open = false;
    c->text_ttt = a.ttt;
    c->text_lun = a.lun;
    if (!c->text[TO_T].open)
        (void)keys_text(c, p, a.more);
    else if (p->data_len)
        finding(c, RULE_EMPTY_TEXT_T, "an empty data segment", say("%" PRIu32 " bytes", p->data_len).text);
    if (!a.final)
        return;
    if (keys_open(c, TO_I, &key))
        finding(c, RULE_TEXT_OPEN_KEY, "no key that needs an answer", key);
    text_end(c, task, &a);
}

/* ---- Logout ---- */

void control_logout_request(struct rconn *c, const struct rpdu *p)
{
    struct pdu_logout_request q;
    pdu_logout_request_decode(p->bhs, &q);
    struct rtask *task = task_new(c, p, q.itt, q.immediate, q.cmd_sn);
    if (c->logout_requested && q.reason == 2 && q.cid == c->cid)
        finding(c, RULE_LOGOUT_REASON, "close session or close connection", "recovery");
    c->logout_sent = q.reason == 0 || q.cid == c->cid;
    duty_logout_asked(c, q.reason, q.cid);
    if (!task)
        return;
    task->function = q.reason;
    task->ref_itt = q.cid;
}

/* A connection of the session is gone by agreement. On another connection than this one no order is known:
 * what is still on its way there proves nothing. */
static void logged_out(struct rconn *c, struct rconn *gone, bool recovery)
{
    struct rsession *s = c->session;
    gone->phase = PHASE_LOGGED_OUT;
    s->conn_lost = true;
    if (gone != c)
        gone->whole = false;
    list_for_each_safe(it, &s->live)
    {
        struct rtask *task = list_entry(it, struct rtask, order);
        if (task->conn != gone)
            continue;
        if (!recovery) {
            task_drop(s, task);
            continue;
        }
        task_adrift(task);
    }
}

static void logout_done(struct rconn *c, uint8_t reason, uint16_t cid)
{
    if (reason == 0)
        c->session->over = true;
    list_for_each_safe(it, &c->session->conns)
    {
        struct rconn *other = list_entry(it, struct rconn, node);
        if (reason == 0 || other->cid == cid)
            logged_out(c, other, reason == 2);
    }
}

void control_logout_response(struct rconn *c, const struct rpdu *p)
{
    struct pdu_logout_response a;
    struct rsession *s = c->session;
    pdu_logout_response_decode(p->bhs, &a);
    struct rtask *task = task_of_response(c, p, a.itt, PDU_OP_logout_request);
    if (!task)
        return;
    uint8_t reason = task->function;
    uint16_t cid = (uint16_t)task->ref_itt;
    struct words seen = say("response %u, reason %u, CID %u", a.response, reason, cid);
    bool unknown = reason != 0 && session_single(s) && cid != c->cid;
    if (unknown && a.response != 1)
        finding(c, RULE_LOGOUT_CID, "response 1", seen.text);
    else if (reason == 2 && s->params.error_recovery_level < 2 && a.response == 0)
        finding(c, RULE_LOGOUT_RECOVERY, "response 2", seen.text);
    task_done(c, task);
    if (a.response == 0 && (reason == 0 || cid == c->cid))
        duty_logged_out(c);
    if (a.response == 0)
        logout_done(c, reason, cid);
    else
        c->logout_sent = false;
}

/* ---- Asynchronous Message ---- */

void control_async(struct rconn *c, const struct rpdu *p)
{
    const struct rsession *s = c->session;
    struct pdu_async_message a;
    pdu_async_message_decode(p->bhs, &a);
    uint32_t sense = p->kept >= 2 ? be16_get(p->data) : 0;
    struct words seen = say("event %u: %u, %u, %u", a.async_event, a.parameter1, a.parameter2, a.parameter3);
    if (p->cut)
        undecided(c);
    else if (p->data_len == 1 || (p->kept >= 2 && sense + 2 > p->data_len))
        finding(c, RULE_ASYNC_SENSE_LENGTH, "SenseLength inside the data segment",
                say("%" PRIu32, sense).text);
    else if (a.async_event == 0 && sense == 0)
        finding(c, RULE_ASYNC_SENSE, "sense data with event 0", "none");
    if (a.async_event == 1 && (a.parameter1 || a.parameter2))
        finding(c, RULE_ASYNC_LOGOUT, "Parameter1 and Parameter2 0", seen.text);
    /* Who is about to join may be dropped before we hear of him: only a session for one has a known CID. */
    if (a.async_event == 2 && session_single(s) && s->params.max_connections == 1 && a.parameter1 != c->cid)
        finding(c, RULE_ASYNC_DROP_CID, say("CID %u", c->cid).text, seen.text);
    if (a.async_event == 3 && a.parameter1)
        finding(c, RULE_ASYNC_DROP_ALL, "Parameter1 0", seen.text);
    if (a.async_event == 5 && c->session->params.task_reporting != KEY_TASK_REPORTING_FAST_ABORT)
        finding(c, RULE_ASYNC_FAST_ABORT, "event 5 with FastAbort only", seen.text);
    if (a.async_vcode && a.async_event < 248)
        finding(c, RULE_ASYNC_VCODE, "AsyncVCode 0", say("%u", a.async_vcode).text);
    if (a.async_event == 1) {
        c->logout_requested = true;
        duty_limit(c, OWED_LOGOUT, p, a.parameter3); /* R7143-11.9.1-02 */
    }
    if (a.async_event == 4 && !c->text_open && !c->logout_sent)
        duty_limit(c, OWED_TEXT, p, a.parameter3); /* R7143-11.9.1-10 */
    struct rowed *o = a.async_event == 5 ? duty_owe(c, OWED_FAST_ABORT, p, 0) : NULL;
    if (o) {
        o->lun = a.lun;
        o->proof = a.stat_sn;
        o->run = a.exp_cmd_sn;
    }
}

/* ---- Reject ---- */

static bool header_seen(const struct rconn *c, const uint8_t *bhs)
{
    uint32_t crc = digest_crc32c(bhs, PDU_BHS_LEN);
    for (uint64_t i = 0; i < REFEREE_HEADER_RING && i < c->header_count; i++)
        if (c->headers[i] == crc)
            return true;
    return c->header_count > REFEREE_HEADER_RING; /* it may have been an old one */
}

/* Is an ABORT TASK for this tag on its way? To its target the rejected command never came, so the abort
 * counts as its coming (R7143-7.11-03). */
static bool abort_named(const struct rsession *s, uint32_t itt)
{
    list_for_each(it, &s->live)
    {
        const struct rtask *task = list_entry(it, struct rtask, order);
        if (task->opcode == PDU_OP_task_management_request && task->function == 1 && task->ref_itt == itt)
            return true;
    }
    return false;
}

/* The request is taken back: its task is gone, and so is its number. */
static void reject_request(struct rconn *c, const uint8_t *bad, uint8_t reason)
{
    struct rsession *s = c->session;
    struct rtask *task = task_find(s, pdu_itt(bad));
    bool same = task && memcmp(task->bhs, bad, PDU_BHS_LEN) == 0;
    if (pdu_opcode(bad) == PDU_OP_text_request) {
        keys_end(c);
        text_forget(c);
        c->text_negotiating = false;
        same = task && task->opcode == PDU_OP_text_request;
    }
    if (pdu_opcode(bad) == PDU_OP_logout_request)
        c->logout_sent = false;
    if (reason == 0x07) /* it runs already: the first one stays */
        return;
    if (!pdu_immediate(bad) && !abort_named(s, pdu_itt(bad)))
        session_give_back(s, be32_get(bad + 24));
    if (same) {
        s->writes_rejected |= task->write;
        task_drop(s, task);
    }
}

static void reject_effect(struct rconn *c, const uint8_t *bad, uint8_t reason)
{
    struct rtask *task = task_find(c->session, pdu_itt(bad));
    switch (pdu_opcode(bad)) {
    case PDU_OP_scsi_command:
    case PDU_OP_task_management_request:
    case PDU_OP_text_request:
    case PDU_OP_logout_request:
    case PDU_OP_nop_out:
        reject_request(c, bad, reason);
        break;
    case PDU_OP_data_out:
    case PDU_OP_snack_request:
        if (task)
            task->unsure = true;
        break;
    default:
        break;
    }
}

void control_reject(struct rconn *c, const struct rpdu *p)
{
    struct pdu_reject a;
    pdu_reject_decode(p->bhs, &a);
    struct words seen = say("reason 0x%02x", a.reason);
    if (a.reason == 0x0b)
        finding(c, RULE_REJECT_NEVER, "another reason", seen.text);
    else if (a.reason < 2 || a.reason > 0x0c)
        finding(c, RULE_REJECT_REASON, "0x02 to 0x0a or 0x0c", seen.text);
    if (p->cut && p->kept < PDU_BHS_LEN) {
        conn_blind(c); /* what was rejected is not known */
        return;
    }
    if (p->kept < PDU_BHS_LEN) {
        finding(c, RULE_REJECT_HEADER, "the rejected header", say("%" PRIu32 " bytes", p->data_len).text);
        return;
    }
    if (!header_seen(c, p->data)) {
        finding(c, RULE_REJECT_HEADER, "a header that was sent", pdu_name(p->data[0]));
        return;
    }
    uint8_t opcode = pdu_opcode(p->data), function = p->data[1] & 0x7f;
    if (a.data_sn && opcode != PDU_OP_snack_request)
        finding(c, RULE_REJECT_DATA_SN, "0", say("%" PRIu32, a.data_sn).text);
    bool unknown =
        a.reason == 0x04 || a.reason == 0x05 || a.reason == 0x09; /* not known, or not as it should be */
    if (opcode == PDU_OP_task_management_request && function >= 9 && function <= 12 && unknown &&
        c->session->params.iscsi_protocol_level >= 2)
        finding(c, RULE_REJECT_TMF, "a TMF Response", "a Reject");
    duty_rejected(c, p->data, a.reason);
    reject_effect(c, p->data, a.reason);
}

/* ---- SNACK ---- */

enum { SNACK_DATA, SNACK_STATUS, SNACK_ACK, SNACK_R_DATA };

static void snack_fields(struct rconn *c, const struct pdu_snack_request *q)
{
    bool of_task = q->type == SNACK_DATA || q->type == SNACK_R_DATA;
    struct words seen = say("type %u: ITT 0x%08" PRIx32 ", TTT 0x%08" PRIx32 ", run %" PRIu32 "+%" PRIu32,
                            q->type, q->itt, q->ttt, q->beg_run, q->run_length);
    if (of_task != (q->itt != PDU_TAG_RESERVED))
        finding(c, RULE_SNACK_ITT, of_task ? "the command's tag" : "0xffffffff", seen.text);
    if (q->type == SNACK_R_DATA && (q->ttt == 0 || q->ttt == PDU_TAG_RESERVED))
        finding(c, RULE_SNACK_R_DATA_TAG, "a SNACK tag", seen.text);
    if (q->type == SNACK_ACK && q->ttt == PDU_TAG_RESERVED)
        finding(c, RULE_SNACK_ACK_TTT, "the TTT of the Data-In", seen.text);
    if (q->type < SNACK_ACK && q->ttt != PDU_TAG_RESERVED)
        finding(c, RULE_SNACK_TTT, "TTT 0xffffffff", seen.text);
    if (q->type == SNACK_R_DATA && q->beg_run)
        finding(c, RULE_SNACK_BEG_RUN, "BegRun 0", seen.text);
    if (q->type >= SNACK_ACK && q->run_length)
        finding(c, RULE_SNACK_RUN_LENGTH, "RunLength 0", seen.text);
}

static void data_acknowledged(struct rconn *c, const struct pdu_snack_request *q)
{
    (void)duty_met(c, OWED_DATA_ACK, q->ttt);
    struct rtask *task = data_of_ack(c->session, q->ttt);
    if (!task)
        return;
    task->data_ref = q->beg_run;
    if (task->done && !task->aborted && task->stat_conn == c && sn_gt(c->acked_stat_sn, task->stat_sn))
        finding(c, RULE_DATA_ACK_LATE, "before its status is acknowledged",
                say("ITT 0x%08" PRIx32, task->itt).text);
}

/* Data that has been acknowledged is not asked for again: by DataACK, or by what TASK REASSIGN stated. */
static void check_run(struct rconn *c, const struct rtask *task, const struct pdu_snack_request *q)
{
    struct words seen = say("BegRun %" PRIu32, q->beg_run);
    if (q->type != SNACK_DATA || task->write || (q->beg_run == 0 && q->run_length == 0))
        return;
    if (sn_lt(q->beg_run, task->stated))
        finding(c, RULE_SNACK_STATED, say("from %" PRIu32 " on", task->stated).text, seen.text);
    else if (sn_lt(q->beg_run, task->data_ref))
        finding(c, RULE_SNACK_ACKNOWLEDGED, say("from %" PRIu32 " on", task->data_ref).text, seen.text);
}

/* What has been sent and is not acknowledged has to come again, or a Reject; a DataACK asks for nothing. */
static void snack_duties(struct rconn *c, const struct rpdu *p, const struct pdu_snack_request *q)
{
    struct rowed *o = NULL;
    if (q->type == SNACK_ACK)
        data_acknowledged(c, q);
    else if (c->session->params.error_recovery_level == 0)
        return;
    else if (q->type == SNACK_STATUS && q->run_length && sn_lt(q->beg_run, c->next_stat_sn))
        o = duty_owe(c, OWED_STATUS, p, q->beg_run);
    else if (q->type == SNACK_DATA && task_find(c->session, q->itt))
        o = duty_owe(c, OWED_DATA, p, q->itt);
    if (!o)
        return;
    o->run = q->run_length;
    o->header = digest_crc32c(p->bhs, PDU_BHS_LEN);
}

void control_snack(struct rconn *c, const struct rpdu *p)
{
    struct pdu_snack_request q;
    pdu_snack_request_decode(p->bhs, &q);
    if (q.type > SNACK_R_DATA)
        return;
    snack_fields(c, &q);
    snack_duties(c, p, &q);
    struct rtask *task = q.type == SNACK_DATA || q.type == SNACK_R_DATA ? task_find(c->session, q.itt) : NULL;
    if (!task)
        return;
    if (task->done && !task->aborted && sn_gt(c->acked_stat_sn, task->stat_sn) && task->conn == c)
        finding(c, RULE_SNACK_LATE, "before its status is acknowledged", say("ITT 0x%08" PRIx32, q.itt).text);
    check_run(c, task, &q);
    if (q.type != SNACK_R_DATA)
        return;
    task->unsure = true; /* it may be cut otherwise when it comes again */
    task->snack_tag = q.ttt;
}
