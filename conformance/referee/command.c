/* SCSI Command and SCSI Response (RFC 7143 11.3, 11.4): flags, additional headers, immediate data, status and
 * residuals. */
#include <inttypes.h>
#include <string.h>

#include "conformance/referee/internal.h"

#define CDB_VARIABLE 0x7f

/* ---- additional header segments ---- */

struct ahs_found {
    bool read_len_seen, cdb_seen;
    uint32_t read_len, cdb_ahs_len;
};

static void ahs_one(struct rconn *c, uint8_t type, uint32_t len, const uint8_t *at, struct ahs_found *out)
{
    struct words seen = say("type %u, AHSLength %" PRIu32, type, len);
    if (type == 1) {
        out->cdb_seen = true;
        out->cdb_ahs_len = len;
        if (len < 2)
            finding(c, RULE_AHS_CDB_SHORT, "a CDB of 17 bytes or more", seen.text);
    } else if (type == 2) {
        out->read_len_seen = true;
        if (len == 5)
            out->read_len = be32_get(at + 4);
        else
            finding(c, RULE_AHS_READ_LENGTH, "AHSLength 5", seen.text);
    } else
        finding(c, RULE_AHS_TYPE, "type 1 or 2", seen.text);
}

static void ahs_all(struct rconn *c, const struct rpdu *p, struct ahs_found *out)
{
    for (uint32_t at = 0; at + 4 <= p->ahs_len;) {
        uint32_t len = be16_get(p->ahs + at);
        if (at + 3 + len > p->ahs_len) {
            finding(c, RULE_AHS_LENGTH, "an AHS inside TotalAHSLength", say("AHSLength %" PRIu32, len).text);
            return;
        }
        ahs_one(c, p->ahs[at + 2] & 0x3f, len, p->ahs + at, out);
        at += (3 + len + 3) & ~3u;
    }
}

/* A variable-length CDB says how long it is; the rest has to be in an additional header. */
static void check_cdb(struct rconn *c, const struct pdu_scsi_command *q, const struct ahs_found *ahs)
{
    if (q->cdb[0] != CDB_VARIABLE)
        return;
    uint32_t len = 8u + q->cdb[7];
    struct words seen = say("a CDB of %" PRIu32 " bytes, AHSLength %" PRIu32, len, ahs->cdb_ahs_len);
    if (len > 16 && !ahs->cdb_seen)
        finding(c, RULE_CDB_NEEDS_AHS, "an extended CDB AHS", seen.text);
    else if (ahs->cdb_seen && ahs->cdb_ahs_len >= 2 && ahs->cdb_ahs_len != len - 15)
        finding(c, RULE_AHS_CDB_LENGTH, "the CDB's length less 15", seen.text);
}

/* ---- the command ---- */

static void check_flags(struct rconn *c, const struct pdu_scsi_command *q, const struct ahs_found *ahs)
{
    struct words seen = say("F=%u R=%u W=%u, %" PRIu32 " bytes", q->final, q->read, q->write,
                            q->expected_data_transfer_length);
    if (!q->write && !q->final)
        finding(c, RULE_WRITE_OR_FINAL, "W or F", seen.text);
    if (!q->read && !q->write && q->expected_data_transfer_length)
        finding(c, RULE_DIRECTION, "R or W", seen.text);
    if (q->read && q->write && !ahs->read_len_seen)
        finding(c, RULE_BIDI_LENGTH, "a read length AHS", seen.text);
    if (q->priority && c->session->params.iscsi_protocol_level < 2)
        finding(c, RULE_PRIORITY, "0", say("%u", q->priority).text);
}

static void check_immediate_data(struct rconn *c, const struct rpdu *p, const struct pdu_scsi_command *q)
{
    const struct key_params *q_params = &c->session->params;
    struct words seen = say("%" PRIu32 " bytes", p->data_len);
    if (p->data_len == 0)
        return;
    if (!q->write)
        finding(c, RULE_DATA_WITHOUT_W, "W=1 with data", seen.text);
    else if (!q_params->immediate_data)
        finding(c, q_params->initial_r2t ? RULE_NOTHING_UNSOLICITED : RULE_NO_IMMEDIATE, "no immediate data",
                seen.text);
    else if (p->data_len > q_params->first_burst_length)
        finding(c, RULE_IMMEDIATE_BURST, say("at most %" PRIu32, q_params->first_burst_length).text,
                seen.text);
    else if (p->data_len > q->expected_data_transfer_length)
        finding(c, RULE_IMMEDIATE_BEYOND, say("at most %" PRIu32, q->expected_data_transfer_length).text,
                seen.text);
}

static void check_unsolicited(struct rconn *c, const struct rpdu *p, const struct pdu_scsi_command *q)
{
    if (!q->write || q->final)
        return;
    if (p->data_len && p->data_len >= q->expected_data_transfer_length)
        finding(c, RULE_FINAL_WHEN_WHOLE, "F=1", "F=0 with all the data");
    else if (c->session->params.initial_r2t)
        finding(c, RULE_UNSOLICITED, "F=1 with InitialR2T=Yes", "F=0");
}

void command_request(struct rconn *c, const struct rpdu *p)
{
    struct pdu_scsi_command q;
    struct ahs_found ahs = {0};
    pdu_scsi_command_decode(p->bhs, &q);
    ahs_all(c, p, &ahs);
    check_cdb(c, &q, &ahs);
    check_flags(c, &q, &ahs);
    check_immediate_data(c, p, &q);
    check_unsolicited(c, p, &q);
    struct rtask *task = task_new(c, p, q.itt, q.immediate, q.cmd_sn);
    if (!task)
        return;
    task->read = q.read;
    task->write = q.write;
    task->lun = q.lun;
    task->edtl = q.expected_data_transfer_length;
    task->read_len = q.read && q.write ? ahs.read_len : q.read ? q.expected_data_transfer_length : 0;
    task->written = task->unsolicited = p->data_len;
    task->unsolicited_open = q.write && !q.final;
}

/* ---- the response ---- */

static void check_codes(struct rconn *c, const struct pdu_scsi_response *a)
{
    bool flags = a->overflow || a->underflow || a->bidi_overflow || a->bidi_underflow;
    if (a->response > 1 && a->response < 0x80)
        finding(c, RULE_RESPONSE_CODE, "0, 1 or 0x80 to 0xff", say("0x%02x", a->response).text);
    if ((a->overflow && a->underflow) || (a->bidi_overflow && a->bidi_underflow))
        finding(c, RULE_O_AND_U, "one flag of the pair", "both");
    else if (a->response && flags)
        finding(c, RULE_FLAGS_WITHOUT_STATUS, "no residual flags",
                say("response 0x%02x with flags", a->response).text);
    if (!flags && (a->residual_count || a->bidi_residual_count))
        finding(c, RULE_RESIDUAL_WITHOUT_FLAG, "0",
                say("%" PRIu32, a->residual_count | a->bidi_residual_count).text);
    if (a->status_qualifier && c->session->params.iscsi_protocol_level < 2)
        finding(c, RULE_STATUS_QUALIFIER, "0", say("0x%04x", a->status_qualifier).text);
}

static void check_sense(struct rconn *c, const struct rpdu *p, const struct pdu_scsi_response *a)
{
    uint32_t len = p->kept >= 2 ? be16_get(p->data) : 0;
    if (p->cut)
        return;
    if (p->data_len == 1 || (p->data_len >= 2 && p->kept >= 2 && len + 2 > p->data_len))
        finding(c, RULE_SENSE_LENGTH, "SenseLength inside the data segment",
                say("%" PRIu32 " in %" PRIu32 " bytes", len, p->data_len).text);
    else if (a->response == 0 && a->status == 0x02 && len == 0)
        finding(c, RULE_SENSE_MISSING, "sense data", "none");
}

static void check_exp_data_sn(struct rconn *c, const struct rtask *task, const struct pdu_scsi_response *a)
{
    if (task->resync) /* how much came on the old connection is not known */
        return;
    struct words seen = say("%" PRIu32, a->exp_data_sn);
    if ((a->response || (!task->data_in_count && !task->unsure)) && a->exp_data_sn)
        finding(c, RULE_EXP_DATA_SN_ZERO, "0", seen.text);
    else if (!a->response && !task->unsure && a->exp_data_sn != task->data_in_count)
        finding(c, RULE_EXP_DATA_SN, say("%" PRIu32, task->data_in_count).text, seen.text);
    if (!task->unsure && a->snack_tag != task->snack_tag)
        finding(c, RULE_SNACK_TAG, say("0x%08" PRIx32, task->snack_tag).text,
                say("0x%08" PRIx32, a->snack_tag).text);
}

void command_response(struct rconn *c, const struct rpdu *p)
{
    struct pdu_scsi_response a;
    pdu_scsi_response_decode(p->bhs, &a);
    check_codes(c, &a);
    check_sense(c, p, &a);
    struct rtask *task = task_of_response(c, p, a.itt, PDU_OP_scsi_command);
    if (!task)
        return;
    check_exp_data_sn(c, task, &a);
    struct rstatus status = {.overflow = a.overflow,
                             .underflow = a.underflow,
                             .response = a.response,
                             .status = a.status,
                             .residual = a.residual_count,
                             .stat_sn = a.stat_sn,
                             .exp_cmd_sn = a.exp_cmd_sn};
    command_status(c, task, &status);
}

/* ---- status ---- */

/* How much went over the wire, and what the flags say of it. Only where the device says all went well do the
 * two have to agree: an error may stop a transfer anywhere. */
static void check_residual(struct rconn *c, const struct rtask *task, const struct rstatus *st)
{
    struct words seen = say("%" PRIu32 " of %" PRIu32 " bytes, %s%" PRIu32,
                            task->read ? task->in_bytes : task->written, task->edtl,
                            st->underflow  ? "U "
                            : st->overflow ? "O "
                                           : "residual ",
                            st->residual);
    if (st->response || task->unsure || task->cut || (task->read && task->write))
        return;
    if (st->underflow && st->residual > task->edtl) {
        finding(c, RULE_UNDERFLOW, "a residual inside the expected length", seen.text);
        return;
    }
    if (st->status != 0)
        return;
    if (task->read && st->underflow && task->in_bytes + st->residual != task->edtl)
        finding(c, RULE_UNDERFLOW, "the expected length less what was sent", seen.text);
    else if (task->read && st->overflow && task->in_bytes != task->edtl)
        finding(c, RULE_OVERFLOW, "all of the expected length", seen.text);
    else if (task->read && !st->underflow && !st->overflow && task->in_bytes < task->edtl)
        finding(c, RULE_UNDERFLOW_MISSING, "U with less than was expected", seen.text);
    else if (task->write && !st->underflow && !st->overflow && task->written < task->edtl)
        finding(c, RULE_UNDERFLOW_WRITE, "U, or all the data first", seen.text);
}

/* Between connections the order of acknowledgements is known where they were sent. */
static void check_acknowledged(struct rconn *c, const struct rtask *task)
{
    const struct rsession *s = c->session;
    if (task->immediate || sn_gt(s->exp_cmd_sn, task->cmd_sn))
        return;
    if (session_single(s) || c->r->options.vantage == REFEREE_AT_TARGET)
        finding(c, RULE_STATUS_BEFORE_ACK, say("ExpCmdSN above 0x%08" PRIx32, task->cmd_sn).text,
                say("0x%08" PRIx32, s->exp_cmd_sn).text);
}

void command_status(struct rconn *c, struct rtask *task, const struct rstatus *st)
{
    bool waiting = task->unsolicited_open || task->r2t_open;
    bool taken_away = st->status == 0x40 || st->response; /* TASK ABORTED: not the device's error */
    check_acknowledged(c, task);
    if (waiting && !task->unsure && !task->aborting && !taken_away)
        finding(c, RULE_STATUS_EARLY, "the last Data-Out with F=1 first",
                say("status 0x%02x", st->status).text);
    if (task->in_open && !st->in_data && !task->unsure)
        finding(c, RULE_DATA_IN_FINAL, "F=1 in the last Data-In", "F=0");
    check_residual(c, task, st);
    task->stat_sn = st->stat_sn;
    manage_answered(c, task);
    task_done(c, task);
}
