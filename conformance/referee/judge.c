/* One PDU: what its header says by itself, whether it may come now, the numbers that every PDU has; then on
 * to its kind. */
#include <inttypes.h>
#include <string.h>

#include "common/iscsi/digest.h"
#include "conformance/referee/internal.h"

/* ---- header ---- */

static enum rule_id by_sender(const struct rpdu *p, enum rule_id initiator, enum rule_id target)
{
    return p->dir == TO_T ? initiator : target;
}

/* Opcode of the right side? False: nothing else of the PDU can be understood. */
static bool opcode_known(struct rconn *c, const struct rpdu *p)
{
    uint8_t opcode = pdu_opcode(p->bhs);
    const struct pdu_type *type = pdu_type_of(opcode);
    bool vendor = (opcode >= 0x1c && opcode <= 0x1e && p->dir == TO_T) ||
                  (opcode >= 0x3c && opcode <= 0x3e && p->dir == TO_I);
    if (!type && vendor)
        return false;
    struct words seen = say("opcode 0x%02x", opcode);
    if (!type) {
        finding(c, by_sender(p, RULE_OPCODE_I, RULE_OPCODE_T), "an assigned opcode", seen.text);
        return false;
    }
    if ((type->from == PDU_FROM_INITIATOR) != (p->dir == TO_T)) {
        finding(c, by_sender(p, RULE_OPCODE_OF_TARGET, RULE_OPCODE_OF_INITIATOR), "an opcode of its own side",
                seen.text);
        return false;
    }
    return true;
}

/* The field rules of the codec's table. The row is found by the field's id; reserved bits have rows of their
 * own. */
static void check_fields(struct rconn *c, const struct rpdu *p)
{
    struct pdu_fault fault;
    char text[160];
    if (pdu_check(p->bhs, true, &fault))
        return;
    enum rule_id rule = by_sender(p, RULE_RESERVED_I, RULE_RESERVED_T);
    bool nsg = fault.field && fault.field->when && fault.value != 2;
    if (nsg)
        rule = by_sender(p, RULE_NSG_RESERVED_I, RULE_NSG_RESERVED_T);
    else if (fault.field && fault.field->kind == PDU_FIELD_NUMBER)
        rule = rule_find(fault.field->requirement, sender(p));
    finding(c, rule, "a header by the table", pdu_fault_text(&fault, text, sizeof text));
}

/* Corruption on the way looks the same as a wrong digest everywhere but where the PDU was sent. */
static void check_digests(struct rconn *c, const struct rpdu *p)
{
    if (p->header_bad)
        finding(c, by_sender(p, RULE_HEADER_DIGEST_I, RULE_HEADER_DIGEST_T), "CRC32C of the header",
                "another header digest");
    if (p->data_bad)
        finding(c, by_sender(p, RULE_DATA_DIGEST_I, RULE_DATA_DIGEST_T), "CRC32C of the data",
                "another data digest");
    if (p->pad_dirty && !p->data_bad)
        finding(c, by_sender(p, RULE_PADDING_I, RULE_PADDING_T), "padding of zeros", "other bytes");
}

static void check_length(struct rconn *c, const struct rpdu *p)
{
    uint32_t max = c->max_data[p->dir];
    if (p->data_len <= max)
        return;
    uint8_t opcode = pdu_opcode(p->bhs);
    enum rule_id rule = by_sender(p, RULE_DATA_LENGTH_I, RULE_DATA_LENGTH_T);
    if (opcode == PDU_OP_login_request || opcode == PDU_OP_login_response)
        rule = by_sender(p, RULE_LOGIN_LENGTH_I, RULE_LOGIN_LENGTH_T);
    else if (opcode == PDU_OP_text_request)
        rule = RULE_TEXT_LENGTH_I;
    else if (opcode == PDU_OP_text_response)
        rule = RULE_TEXT_LENGTH_T;
    else if (opcode == PDU_OP_data_out || opcode == PDU_OP_data_in)
        rule = by_sender(p, RULE_DATA_PDU_LENGTH_I, RULE_DATA_PDU_LENGTH_T);
    finding(c, rule, say("at most %" PRIu32 " bytes", max).text, say("%" PRIu32 " bytes", p->data_len).text);
}

/* ---- phase ---- */

/* Requests that have a CmdSN. */
static bool has_cmd_sn(uint8_t opcode)
{
    return opcode == PDU_OP_nop_out || opcode == PDU_OP_scsi_command ||
           opcode == PDU_OP_task_management_request || opcode == PDU_OP_text_request ||
           opcode == PDU_OP_logout_request;
}

static void check_after_logout(struct rconn *c, const struct rpdu *p)
{
    if (c->logout_sent && has_cmd_sn(pdu_opcode(p->bhs)) &&
        !(pdu_opcode(p->bhs) == PDU_OP_nop_out && pdu_itt(p->bhs) == PDU_TAG_RESERVED))
        finding(c, RULE_REQUEST_AFTER_LOGOUT, "nothing after the Logout Request", pdu_name(p->bhs[0]));
}

static bool is_login(const struct rpdu *p)
{
    uint8_t opcode = pdu_opcode(p->bhs);
    return opcode == PDU_OP_login_request || opcode == PDU_OP_login_response;
}

static void wrong_phase(struct rconn *c, const struct rpdu *p, enum rule_id rule, const char *expected)
{
    finding(c, rule, expected, pdu_name(p->bhs[0]));
}

/* May this PDU come now? False: it is out of place and judged no further. */
static bool phase_allows(struct rconn *c, const struct rpdu *p)
{
    if (p->dir == TO_I && (c->phase == PHASE_FAILED || c->phase == PHASE_LOGGED_OUT)) {
        wrong_phase(c, p, c->phase == PHASE_FAILED ? RULE_AFTER_REFUSAL : RULE_AFTER_LOGOUT,
                    "the end of the connection");
        return false;
    }
    if (c->phase == PHASE_LOGGED_OUT && c->orderly) {
        duty_pays(c, p);
        check_after_logout(c, p);
    }
    if (c->phase == PHASE_FAILED || c->phase == PHASE_LOGGED_OUT)
        return false; /* the initiator need not know yet */
    if (c->phase == PHASE_FULL && is_login(p)) {
        wrong_phase(c, p, p->dir == TO_T ? RULE_SECOND_LOGIN : RULE_LOGIN_RESPONSE_LATE,
                    "no login in the full feature phase");
        return false;
    }
    if (c->phase == PHASE_FULL || is_login(p))
        return true;
    if (!c->whole)
        return true;
    if (c->phase == PHASE_NEW && p->dir == TO_T)
        wrong_phase(c, p, RULE_FIRST_IS_LOGIN, "a Login Request first");
    else
        wrong_phase(c, p, by_sender(p, RULE_ONLY_LOGIN_I, RULE_ONLY_LOGIN_T), "login PDUs only");
    if (c->phase == PHASE_LOGIN && p->dir == TO_T)
        c->must_refuse = RULE_INVALID_DURING_LOGIN; /* R7143-4.2.4-06 */
    return false;
}

/* ---- the initiator's numbers ---- */

static struct rconn *conn_of_cid(struct rconn *c, uint16_t cid)
{
    if (cid == c->cid || !c->session)
        return c;
    list_for_each(it, &c->session->conns)
    {
        struct rconn *other = list_entry(it, struct rconn, node);
        if (other->cid == cid && other->phase == PHASE_FULL)
            return other;
    }
    return NULL;
}

/* Acknowledging what we have not seen pass is acknowledging what was not sent. */
static void exp_stat_sn(struct rconn *c, const struct rpdu *p)
{
    uint32_t exp = be32_get(p->bhs + 28);
    enum rule_id rule = RULE_EXP_STAT_SN;
    struct rconn *of = c;
    if (pdu_opcode(p->bhs) == PDU_OP_logout_request && (p->bhs[1] & 0x7f) != 0) {
        of = conn_of_cid(c, be16_get(p->bhs + 20));
        rule = of == c ? rule : RULE_LOGOUT_EXP_STAT_SN;
    }
    if (!of || !of->stat_known)
        return;
    if (sn_gt(exp, of->next_stat_sn))
        finding(c, rule, say("at most 0x%08" PRIx32, of->next_stat_sn).text, say("0x%08" PRIx32, exp).text);
    else if (sn_gt(exp, of->acked_stat_sn)) {
        of->acked_stat_sn = exp;
        duty_proof(of, p);
    }
}

/* ---- the target's numbers ---- */

static enum rule_id stat_sn_rule(uint8_t opcode, bool uses)
{
    switch (opcode) {
    case PDU_OP_login_response:
        return RULE_STAT_SN_LOGIN;
    case PDU_OP_nop_in:
        return uses ? RULE_STAT_SN : RULE_STAT_SN_NOP;
    case PDU_OP_r2t:
        return RULE_STAT_SN_R2T;
    case PDU_OP_async_message:
        return RULE_STAT_SN_ASYNC;
    case PDU_OP_text_response:
        return RULE_STAT_SN_TEXT;
    case PDU_OP_reject:
        return RULE_STAT_SN_REJECT;
    default:
        return RULE_STAT_SN;
    }
}

/* Does this PDU have a StatSN, and does it use it up? */
static bool has_stat_sn(const struct rpdu *p, bool *uses)
{
    uint8_t opcode = pdu_opcode(p->bhs);
    *uses = true;
    if (opcode == PDU_OP_data_in)
        return p->bhs[1] & 1;
    if (opcode == PDU_OP_r2t || (opcode == PDU_OP_nop_in && pdu_itt(p->bhs) == PDU_TAG_RESERVED))
        *uses = false;
    return opcode != PDU_OP_login_response || p->bhs[36] == 0; /* R7143-11.13.5-01 */
}

static void stat_sn(struct rconn *c, const struct rpdu *p)
{
    bool uses;
    if (!has_stat_sn(p, &uses))
        return;
    uint32_t sn = be32_get(p->bhs + 24);
    if (!c->stat_known) {
        c->acked_stat_sn = c->next_stat_sn = sn;
        c->stat_known = true;
    } else if (sn != c->next_stat_sn) {
        bool level = c->session && c->session->params.error_recovery_level > 0;
        if (level && uses && sn_lt(sn, c->next_stat_sn)) {
            duty_status_again(c, sn);
            return;
        }
        finding(c, stat_sn_rule(pdu_opcode(p->bhs), uses), say("0x%08" PRIx32, c->next_stat_sn).text,
                say("0x%08" PRIx32, sn).text);
    }
    /* Only what uses a number up says what comes next: else one wrong R2T would make the right answers to it
     * wrong. */
    if (uses)
        c->next_stat_sn = sn + 1;
}

static void target_numbers(struct rconn *c, const struct rpdu *p)
{
    stat_sn(c, p);
    if (pdu_opcode(p->bhs) != PDU_OP_login_response)
        session_window(c, be32_get(p->bhs + 28), be32_get(p->bhs + 32));
}

/* ---- discovery sessions ---- */

static void check_discovery(struct rconn *c, const struct rpdu *p)
{
    uint8_t opcode = pdu_opcode(p->bhs);
    if (!c->session || !c->session->discovery || p->dir != TO_I)
        return;
    if (opcode == PDU_OP_scsi_response || opcode == PDU_OP_data_in || opcode == PDU_OP_r2t ||
        opcode == PDU_OP_task_management_response)
        finding(c, RULE_DISCOVERY_REJECTS, "a Reject", pdu_name(opcode));
}

/* ---- to its kind ---- */

static void judge_request(struct rconn *c, const struct rpdu *p)
{
    switch (pdu_opcode(p->bhs)) {
    case PDU_OP_nop_out:
        control_nop_out(c, p);
        break;
    case PDU_OP_scsi_command:
        command_request(c, p);
        break;
    case PDU_OP_task_management_request:
        manage_request(c, p);
        break;
    case PDU_OP_text_request:
        control_text_request(c, p);
        break;
    case PDU_OP_data_out:
        data_out(c, p);
        break;
    case PDU_OP_logout_request:
        control_logout_request(c, p);
        break;
    case PDU_OP_snack_request:
        control_snack(c, p);
        break;
    default:
        break;
    }
}

static void judge_response(struct rconn *c, const struct rpdu *p)
{
    switch (pdu_opcode(p->bhs)) {
    case PDU_OP_nop_in:
        control_nop_in(c, p);
        break;
    case PDU_OP_scsi_response:
        command_response(c, p);
        break;
    case PDU_OP_task_management_response:
        manage_response(c, p);
        break;
    case PDU_OP_text_response:
        control_text_response(c, p);
        break;
    case PDU_OP_data_in:
        data_in(c, p);
        break;
    case PDU_OP_logout_response:
        control_logout_response(c, p);
        break;
    case PDU_OP_r2t:
        data_r2t(c, p);
        break;
    case PDU_OP_async_message:
        control_async(c, p);
        break;
    case PDU_OP_reject:
        control_reject(c, p);
        break;
    default:
        break;
    }
}

static void note_header(struct rconn *c, const struct rpdu *p)
{
    c->headers[c->header_count++ % REFEREE_HEADER_RING] = digest_crc32c(p->bhs, PDU_BHS_LEN);
}

static void judge_full(struct rconn *c, const struct rpdu *p)
{
    uint8_t opcode = pdu_opcode(p->bhs);
    if (!c->session) /* a start in the middle: nothing to compare with */
        return;
    check_discovery(c, p);
    duty_clock(c);
    if (p->dir == TO_T) {
        duty_pays(c, p);
        check_after_logout(c, p);
        exp_stat_sn(c, p);
        if (has_cmd_sn(opcode))
            session_request(c, pdu_immediate(p->bhs), be32_get(p->bhs + 24), pdu_itt(p->bhs));
        judge_request(c, p);
    } else {
        target_numbers(c, p);
        judge_response(c, p);
    }
}

/* What a receiver drops is not part of the conversation; whether it was dropped is known at the receiver
 * only. */
static bool is_dropped(struct rconn *c, const struct rpdu *p)
{
    if (p->header_bad) {
        conn_blind(c);
        return true;
    }
    uint8_t opcode = pdu_opcode(p->bhs);
    if (p->data_bad && p->dir == TO_T && c->phase == PHASE_FULL) {
        struct rowed *o = duty_owe(c, OWED_REJECT, p, 0); /* R7143-7.8-02 */
        if (o)
            o->header = digest_crc32c(p->bhs, PDU_BHS_LEN);
    }
    if (!p->data_bad || opcode == PDU_OP_data_out || opcode == PDU_OP_data_in)
        return false;
    conn_blind(c);
    return true;
}

void judge(struct rconn *c, struct rpdu *p)
{
    c->r->pdu = p;
    c->r->counts.pdus++;
    check_digests(c, p);
    if (!is_dropped(c, p)) {
        if (p->dir == TO_T)
            note_header(c, p);
        if (opcode_known(c, p)) {
            check_fields(c, p);
            check_length(c, p);
            if (phase_allows(c, p)) {
                if (c->phase == PHASE_FULL)
                    judge_full(c, p);
                else if (pdu_opcode(p->bhs) == PDU_OP_login_request)
                    login_request(c, p);
                else if (pdu_opcode(p->bhs) == PDU_OP_login_response) {
                    stat_sn(c, p);
                    login_response(c, p);
                }
            }
        }
    }
    c->r->pdu = NULL;
}
