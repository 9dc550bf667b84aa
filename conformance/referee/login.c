/* The login phase of one connection (RFC 7143 6.3, 11.12, 11.13): stages, the fields that stay the same, who
 * may ask for the next stage and who may grant it, what a first request and a first response have to say. */
#include <inttypes.h>
#include <string.h>

#include "conformance/referee/internal.h"

/* Stages as numbers of the wire: 0 security, 1 operational, 3 full feature phase. */
static bool transition_legal(uint8_t csg, uint8_t nsg)
{
    return nsg > csg && nsg != 2 && csg < 2;
}

static enum key_stage stage_of(uint8_t csg)
{
    return csg == 0 ? KEY_STAGE_SECURITY : KEY_STAGE_OPERATIONAL;
}

/* ---- requests ---- */

static void first_request(struct rconn *c, const struct rpdu *p, const struct pdu_login_request *q)
{
    c->phase = PHASE_LOGIN;
    c->any_login = true;
    c->cid = q->cid;
    c->stage = q->csg;
    memcpy(c->first_login, p->bhs, PDU_BHS_LEN);
    keys_begin(c, stage_of(q->csg), q->tsih == 0);
    if (q->csg > 1)
        finding(c, RULE_LOGIN_STAGE_I, "CSG 0 or 1", say("CSG %u", q->csg).text);
    if (q->version_min != 0) {
        finding(c, RULE_LOGIN_VERSION, "version 0", say("%u to %u", q->version_min, q->version_max).text);
        c->must_refuse = RULE_VERSION_REFUSED;
    }
    if (q->isid[0] >> 6 == 3)
        finding(c, RULE_ISID_TYPE, "type 0, 1 or 2", "type 3");
}

static void later_request(struct rconn *c, const struct pdu_login_request *q)
{
    struct pdu_login_request first;
    pdu_login_request_decode(c->first_login, &first);
    if (q->itt != first.itt)
        finding(c, RULE_LOGIN_ITT_I, say("0x%08" PRIx32, first.itt).text, say("0x%08" PRIx32, q->itt).text);
    if (q->cid != first.cid)
        finding(c, RULE_LOGIN_CID, say("%u", first.cid).text, say("%u", q->cid).text);
    if (q->tsih != first.tsih)
        finding(c, RULE_LOGIN_TSIH_I, say("%u", first.tsih).text, say("%u", q->tsih).text);
    if (q->version_max != first.version_max)
        finding(c, RULE_LOGIN_VERSION_MAX_I, say("%u", first.version_max).text,
                say("%u", q->version_max).text);
    if (q->version_min != first.version_min)
        finding(c, RULE_LOGIN_VERSION_MIN_I, say("%u", first.version_min).text,
                say("%u", q->version_min).text);
    if (first.tsih == 0 && q->cmd_sn != first.cmd_sn)
        finding(c, RULE_LOGIN_CMD_SN, say("0x%08" PRIx32, first.cmd_sn).text,
                say("0x%08" PRIx32, q->cmd_sn).text);
    if (c->stat_known && sn_gt(q->exp_stat_sn, c->next_stat_sn))
        finding(c, RULE_LOGIN_EXP_STAT_SN, say("at most 0x%08" PRIx32, c->next_stat_sn).text,
                say("0x%08" PRIx32, q->exp_stat_sn).text);
    if (q->csg != c->stage && q->csg < 2)
        finding(c, RULE_LOGIN_STAGE_I, say("CSG %u", c->stage).text, say("CSG %u", q->csg).text);
}

/* After the first complete text. */
static void check_names(struct rconn *c)
{
    if (c->names_checked)
        return;
    c->names_checked = true;
    if (!keys_is_declared(c, KEY_INITIATOR_NAME, TO_T)) {
        finding(c, RULE_INITIATOR_NAME_FIRST, "InitiatorName", "none");
        c->name_missing = true;
    }
    if (!c->discovery && !keys_is_declared(c, KEY_TARGET_NAME, TO_T)) {
        finding(c, RULE_TARGET_NAME_FIRST, "TargetName", "none");
        c->name_missing = true;
    }
}

static void request_text(struct rconn *c, const struct rpdu *p, const struct pdu_login_request *q)
{
    if (c->text[TO_I].open) { /* it only asks for more */
        if (q->data_segment_length)
            finding(c, RULE_EMPTY_REQUEST, "an empty data segment",
                    say("%" PRIu32 " bytes", p->data_len).text);
        return;
    }
    if (c->neg)
        c->neg->stage = stage_of(q->csg);
    if (!c->text[TO_T].open)
        c->logins_text++;
    if (keys_text(c, p, q->more) && c->neg)
        check_names(c);
}

void login_request(struct rconn *c, const struct rpdu *p)
{
    struct pdu_login_request q;
    pdu_login_request_decode(p->bhs, &q);
    if (c->request_open)
        finding(c, RULE_LOGIN_OUTSTANDING_I, "a Login Response first", "another Login Request");
    c->request_open = true;
    if (c->any_login)
        later_request(c, &q);
    else
        first_request(c, p, &q);
    if (q.transit && q.more)
        finding(c, RULE_LOGIN_T_AND_C_I, "C=0 with T=1", "both");
    if (q.transit && q.nsg != 2 && q.csg < 2 && !transition_legal(q.csg, q.nsg))
        finding(c, RULE_LOGIN_STAGE_I, "a later stage", say("CSG %u, NSG %u", q.csg, q.nsg).text);
    c->logins++;
    request_text(c, p, &q);
    memcpy(c->last_login, p->bhs, PDU_BHS_LEN);
}

/* ---- responses ---- */

static void check_constant(struct rconn *c, const struct rpdu *p, const struct pdu_login_response *a,
                           const struct pdu_login_request *q)
{
    struct pdu_login_response first;
    if (a->itt != q->itt)
        finding(c, RULE_LOGIN_ITT_T, say("0x%08" PRIx32, q->itt).text, say("0x%08" PRIx32, a->itt).text);
    if (!c->any_response) {
        c->any_response = true;
        memcpy(c->first_response, p->bhs, PDU_BHS_LEN);
        return;
    }
    pdu_login_response_decode(c->first_response, &first);
    if (a->version_max != first.version_max)
        finding(c, RULE_LOGIN_VERSION_MAX_T, say("%u", first.version_max).text,
                say("%u", a->version_max).text);
    if (a->version_active != first.version_active)
        finding(c, RULE_LOGIN_VERSION_ACTIVE, say("%u", first.version_active).text,
                say("%u", a->version_active).text);
}

static void refused(struct rconn *c, const struct rpdu *p, const struct pdu_login_response *a)
{
    struct words seen = say("0x%02x%02x", a->status_class, a->status_detail);
    if (!c->text[TO_T].open)
        (void)keys_text(c, p, false);
    if (a->status_class == 1 && (a->status_detail < 1 || a->status_detail > 2))
        finding(c, RULE_STATUS_REDIRECT, "0x0101 or 0x0102", seen.text);
    else if (a->status_class == 1 && !c->has_target_address)
        finding(c, RULE_REDIRECT_ADDRESS, "TargetAddress", "none");
    if (a->status_class == 3 && a->status_detail > 2)
        finding(c, RULE_STATUS_TARGET, "0x0300 to 0x0302", seen.text);
    if (c->name_missing && a->status_class == 2 && (a->status_detail != 7 && a->status_detail != 0))
        finding(c, RULE_STATUS_MISSING, "0x0207", seen.text);
    c->phase = PHASE_FAILED;
    keys_end(c);
}

static void check_tsih(struct rconn *c, const struct pdu_login_response *a, const struct pdu_login_request *q,
                       bool final)
{
    struct words seen = say("%u", a->tsih);
    if (q->tsih == 0 && !final && a->tsih != 0)
        finding(c, RULE_TSIH_EARLY, "0", seen.text);
    if (q->tsih == 0 && final && a->tsih == 0)
        finding(c, RULE_TSIH_ZERO, "not 0", seen.text);
    if (q->tsih != 0 && a->tsih != q->tsih)
        finding(c, final ? RULE_TSIH_OTHER : RULE_TSIH_ECHO, say("%u", q->tsih).text, seen.text);
}

static void check_transit(struct rconn *c, const struct pdu_login_response *a,
                          const struct pdu_login_request *q)
{
    const char *key;
    struct words seen = say("CSG %u, NSG %u", a->csg, a->nsg);
    if (a->csg != q->csg)
        finding(c, RULE_LOGIN_STAGE_AGREED, say("CSG %u", q->csg).text, seen.text);
    if (!a->transit)
        return;
    if (a->more)
        finding(c, RULE_LOGIN_T_AND_C_T, "C=0 with T=1", "both");
    if (!q->transit) {
        finding(c, RULE_TRANSIT_UNASKED, "T=0", "T=1");
        return;
    }
    if (a->nsg > q->nsg)
        finding(c, RULE_NSG_BEYOND, say("at most NSG %u", q->nsg).text, seen.text);
    else if (a->nsg != 2 && a->csg < 2 && !transition_legal(a->csg, a->nsg))
        finding(c, RULE_LOGIN_STAGE_T, "a later stage", seen.text);
    if (keys_open(c, TO_I, &key))
        finding(c, RULE_TRANSIT_OPEN_KEY, "no key that needs an answer", key);
}

/* What a broken request has to be answered with. */
static void check_refusal(struct rconn *c, const struct pdu_login_response *a)
{
    enum rule_id rule = c->must_refuse;
    uint8_t detail = rule == RULE_VERSION_REFUSED ? 0x05 : rule == RULE_INVALID_DURING_LOGIN ? 0x0b : 0;
    struct words seen = say("0x%02x%02x", a->status_class, a->status_detail);
    if (rule == RULE_COUNT)
        return;
    if (a->status_class != 2 || (detail && a->status_detail != detail))
        finding(c, rule, detail ? say("0x02%02x", detail).text : "a status 0x02xx", seen.text);
    c->must_refuse = RULE_COUNT;
}

/* The text of a response; the portal group tag is due in the first one after a complete text of the
 * initiator. */
static void response_text(struct rconn *c, const struct rpdu *p, const struct pdu_login_response *a)
{
    if (c->text[TO_T].open) {
        if (p->data_len)
            finding(c, RULE_EMPTY_RESPONSE, "an empty data segment",
                    say("%" PRIu32 " bytes", p->data_len).text);
        return;
    }
    bool complete = keys_text(c, p, a->more);
    if (!complete || c->tpgt_checked || !c->neg)
        return;
    c->tpgt_checked = true;
    if (!keys_is_declared(c, KEY_TARGET_PORTAL_GROUP_TAG, TO_I))
        finding(c, RULE_PORTAL_GROUP_TAG_FIRST, "TargetPortalGroupTag", "none");
}

void login_response(struct rconn *c, const struct rpdu *p)
{
    struct pdu_login_response a;
    struct pdu_login_request q;
    pdu_login_response_decode(p->bhs, &a);
    if (!c->request_open) {
        finding(c, RULE_LOGIN_OUTSTANDING_T, "a Login Request first", "another Login Response");
        return;
    }
    c->request_open = false;
    pdu_login_request_decode(c->last_login, &q);
    check_constant(c, p, &a, &q);
    check_refusal(c, &a);
    if (a.status_class != 0) {
        refused(c, p, &a);
        return;
    }
    if (c->name_missing)
        finding(c, RULE_STATUS_NAMES, "0x0207", "0x0000");
    bool final = a.transit && a.nsg == 3;
    response_text(c, p, &a);
    check_transit(c, &a, &q);
    check_tsih(c, &a, &q, final);
    if (!final && q.tsih != 0)
        session_told(c, &q, &a);
    if (final)
        session_join(c, &a);
    else if (a.transit)
        c->stage = a.nsg;
}
