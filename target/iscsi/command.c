/* Requests of the full feature phase: what is wrong with them, whose turn it is (CmdSN), and who carries them
 * out. A request that is rejected has not been received: its CmdSN stays due (R7143-7.3-04), so all checks
 * come first. */
#include "target/iscsi/conn_internal.h"

#define AHS_EXTENDED_CDB  1 /* R7143-11.2.2.1-01 */
#define AHS_BIDI_LENGTH   2
#define STATUS_BUSY       0x08
#define ASC_PHASE         0x0c
#define ASCQ_UNEXPECTED   0x0c
#define ASCQ_AMOUNT       0x0d
#define ASC_PROTOCOL_CRC  0x47
#define ASCQ_PROTOCOL_CRC 0x05

/* ---- additional header segments of SCSI commands ---- */

struct command_ahs {
    const uint8_t *cdb; /* bytes from the seventeenth on */
    uint32_t cdb_len;
    uint32_t bidi_len;
    bool has_bidi;
};

/* False: malformed. Each segment: two bytes length, one byte type, then the length's bytes, padded to four
 * (R7143-11.2.2.2-01). */
static bool parse_ahs(const uint8_t *ahs, uint32_t len, struct command_ahs *out)
{
    *out = (struct command_ahs){0};
    uint32_t at = 0;
    while (at < len) {
        if (len - at < 4)
            return false;
        uint32_t body = be16_get(ahs + at), whole = (3 + body + 3) & ~3u;
        uint8_t type = ahs[at + 2] & 0x3f;
        if (whole > len - at || body == 0)
            return false;
        if (type == AHS_EXTENDED_CDB) {
            if (out->cdb || body < 2 || body - 1 > SCSI_CDB_MAX - 16) /* R7143-11.2.2.3-01 */
                return false;
            out->cdb = ahs + at + 4;
            out->cdb_len = body - 1; /* without the reserved byte: R7143-11.2.2.3-02 */
        } else if (type == AHS_BIDI_LENGTH) {
            if (out->has_bidi || body != 5) /* R7143-11.2.2.4-01 */
                return false;
            out->has_bidi = true;
            out->bidi_len = be32_get(ahs + at + 4);
        } else {
            return false;
        }
        at += whole;
    }
    return true;
}

/* ---- SCSI Command ---- */

static enum reject_reason check_scsi(const struct tgt_session *s, const struct framer_pdu *pdu,
                                     const char **why)
{
    struct pdu_scsi_command cmd;
    struct command_ahs ahs;
    pdu_scsi_command_decode(pdu->bhs, &cmd);
    *why = NULL;
    if (s->stopping) {
        *why = "logout was requested";
        return REJECT_LOGOUT; /* R7143-11.9.1-05 */
    }
    if (cmd.attr > SCSI_ACA) {
        *why = "ATTR is reserved"; /* R7143-11.3.1-06 */
        return REJECT_PROTOCOL;    /* R7143-11-04 */
    }
    if (cmd.itt == PDU_TAG_RESERVED)
        *why = "Initiator Task Tag";
    else if (!cmd.final && !cmd.write)
        *why = "F and W bits"; /* R7143-11.3.1-03 */
    else if (pdu->ahs_len && !parse_ahs(pdu->ahs, pdu->ahs_len, &ahs))
        *why = "AHS";
    return *why ? REJECT_FIELD : REJECT_NONE;
}

/* The first burst of a command that waited for its turn: what has come meanwhile. False: it has failed. */
static bool held_burst(struct tgt_task *task, struct held_pdu *held)
{
    struct tgt_session *s = task->session;
    task->unsolicited = held->first_due;
    task->unsolicited_have = held->first_have;
    task->unsolicited_sn = held->first_sn;
    task->first = held->first;
    held->first = (struct slice){0};
    s->write_bytes += held->first_have;
    s->r->counters.write_bytes += held->first_have;
    /* Less than was announced, or not as it should be: a PDU was lost, or the initiator errs. */
    if (held->first_lost && (session_level(s) == 0 || !task->first.chunk))
        iscsi_task_fail(task, ASC_PROTOCOL_CRC, ASCQ_PROTOCOL_CRC);
    else if (!held->first_due && !held->first_lost && held->first_have < task->unsolicited_len)
        iscsi_task_fail(task, ASC_PHASE, ASCQ_AMOUNT);
    return !task->failed;
}

/* The first burst: what comes with the command, and what is announced to follow. Wrong ones end the command,
 * but only when the data that is on its way has been taken off the wire. */
static void first_burst(struct tgt_task *task, const struct pdu_scsi_command *cmd, struct slice *data,
                        struct held_pdu *held)
{
    struct tgt_session *s = task->session;
    uint32_t most = s->params.first_burst_length;
    if (most > task->edtl_out)
        most = (uint32_t)task->edtl_out;
    task->unsolicited = !cmd->final;
    task->unsolicited_len = most;
    if (data->len && (!task->write || !s->params.immediate_data)) /* R7143-11.4.7.2-01 */
        iscsi_task_fail(task, ASC_PHASE, ASCQ_UNEXPECTED);
    if (task->unsolicited && s->params.initial_r2t) /* R7143-4.2.5.2-06, R7143-11.8-01 */
        iscsi_task_fail(task, ASC_PHASE, ASCQ_UNEXPECTED);
    if (data->len > most) /* R7143-4.2.5.2-07, R7143-11.4.7.2-02 */
        iscsi_task_fail(task, ASC_PHASE, ASCQ_AMOUNT);
    if (task->failed)
        return;
    if (held && !cmd->final && !held_burst(task, held))
        return;
    if (held && !cmd->final) {
        data_out_watch(task);
        return;
    }
    /* What arrives may not use up the memory that arriving needs: read, drop, busy. */
    if (task->write && (data->len || task->unsolicited) && pool_crowded(s->r->pool)) {
        iscsi_task_status(task, STATUS_BUSY);
        return;
    }
    task->unsolicited_have = data->len;
    s->write_bytes += data->len;
    s->r->counters.write_bytes += data->len;
    if (!task->unsolicited) { /* R7143-4.2.5.2-09: kept as it lies */
        task->immediate_data = *data;
        *data = (struct slice){0};
        return;
    }
    struct chunk *chunk = pool_get(s->r->pool, most ? most : 1);
    if (!chunk) { /* inside the window but without a buffer: read, drop, busy */
        iscsi_task_status(task, STATUS_BUSY);
        return;
    }
    task->first = slice_take(chunk, 0, most);
    if (data->len)
        memcpy(task->first.ptr, data->ptr, data->len);
    data_out_watch(task);
}

static void fill(struct tgt_task *task, const struct pdu_scsi_command *cmd, const struct command_ahs *ahs)
{
    struct scsi_task *scsi = &task->scsi;
    task->cmd_sn = cmd->cmd_sn;
    task->read = cmd->read;
    task->write = cmd->write;
    task->edtl = cmd->expected_data_transfer_length;
    /* Data direction bits with no length announce nothing (R7143-11.3.1-05); of a bidirectional command the
     * header has the write length (R7143-11.3.4-01). */
    task->edtl_out = cmd->write ? task->edtl : 0;
    task->edtl_in = !cmd->read ? 0 : cmd->write ? ahs->bidi_len : task->edtl;
    scsi->nexus = &task->session->nexus;
    scsi->lun = cmd->lun;
    memcpy(scsi->cdb, cmd->cdb, sizeof cmd->cdb);
    scsi->cdb_len = 16;
    if (ahs->cdb) { /* R7143-11.3.5-01 */
        memcpy(scsi->cdb + 16, ahs->cdb, ahs->cdb_len);
        scsi->cdb_len = (uint16_t)(16 + ahs->cdb_len);
    }
    scsi->attr = cmd->attr;
    scsi->priority = cmd->priority;
    scsi->expected_in = task->edtl_in;
    scsi->expected_out = task->edtl_out;
    scsi->owner = task;
}

static void execute_scsi(struct tgt_conn *conn, const uint8_t *bhs, const uint8_t *ahs_bytes,
                         uint32_t ahs_len, struct slice *data, struct held_pdu *held)
{
    struct tgt_session *s = conn->session;
    struct pdu_scsi_command cmd;
    struct command_ahs ahs;
    pdu_scsi_command_decode(bhs, &cmd);
    parse_ahs(ahs_bytes, ahs_len, &ahs);
    if (task_mgmt_took(s, cmd.cmd_sn)) {
        conn->r->counters.discarded_pdus++;
        if (held ? held->first_due : !cmd.final) /* the rest of its first burst is dropped, too */
            retired_add(s, cmd.itt, PDU_TAG_RESERVED);
        if (s->reset_untold) /* it is tried again by an initiator that waits for an answer */
            response_busy(conn, cmd.itt, cmd.expected_data_transfer_length);
        return;
    }
    s->commands++;
    conn->r->counters.commands++;
    if (cmd.write)
        retired_ready(s);
    struct tgt_task *task = iscsi_task_new(s, conn, cmd.itt);
    if (!task) {
        if (!cmd.final)
            retired_add(s, cmd.itt, PDU_TAG_RESERVED);
        response_busy(conn, cmd.itt, cmd.expected_data_transfer_length);
        return;
    }
    fill(task, &cmd, &ahs);
    task->immediate = cmd.immediate;
    task->counted = true;
    if (task->immediate)
        s->immediate_active++;
    else
        s->active++;
    first_burst(task, &cmd, data, held);
    if (task->failed)
        iscsi_task_progress(task);
    else
        iscsi_task_submit(task);
}

/* ---- all requests ---- */

void command_execute(struct tgt_conn *conn, const uint8_t *bhs, const uint8_t *ahs, uint32_t ahs_len,
                     struct slice *data, struct held_pdu *held)
{
    struct tgt_task *old = pdu_itt(bhs) == PDU_TAG_RESERVED ? NULL : keep_find(conn->session, pdu_itt(bhs));
    if (old) /* its tag is used anew: the initiator has done with it */
        keep_drop(old);
    switch (pdu_opcode(bhs)) {
    case PDU_OP_scsi_command:
        execute_scsi(conn, bhs, ahs, ahs_len, data, held);
        break;
    case PDU_OP_task_management_request:
        task_mgmt_request(conn, bhs);
        break;
    case PDU_OP_text_request:
        text_request(conn, bhs, data);
        break;
    case PDU_OP_logout_request:
        logout_request(conn, bhs);
        break;
    case PDU_OP_nop_out:
        nop_out(conn, bhs, data);
        break;
    }
}

/* Why the request cannot be taken at all. */
static enum reject_reason check(struct tgt_conn *conn, const struct framer_pdu *pdu, const char **why)
{
    struct tgt_session *s = conn->session;
    uint8_t opcode = pdu_opcode(pdu->bhs);
    *why = pdu_name(opcode);
    switch (opcode) {
    case PDU_OP_scsi_command:
    case PDU_OP_task_management_request:
    case PDU_OP_nop_out:
        if (s->discovery)
            return REJECT_PROTOCOL; /* R7143-4.3-02, R7143-4.4.2-05 */
        break;
    case PDU_OP_text_request:
    case PDU_OP_logout_request: /* R7143-4.3-01 */
        break;
    case PDU_OP_login_request: /* R7143-4.2.4-04 */
        return REJECT_PROTOCOL;
    case PDU_OP_snack_request:
        if (s->discovery)
            return REJECT_PROTOCOL;
        break;
    default: /* R7143-11.2.1.2-04 */
        return REJECT_UNSUPPORTED;
    }
    if (opcode == PDU_OP_scsi_command)
        return check_scsi(s, pdu, why);
    struct pdu_fault fault;
    if (!pdu_check(pdu->bhs, false, &fault)) {
        *why = fault.field && fault.field->name ? fault.field->name : "opcode";
        /* A range holds codes, and what is outside of it is reserved; other rules hold tags and flags. */
        bool code = fault.field && fault.field->rule == PDU_RULE_RANGE && fault.field->min < fault.field->max;
        return code ? REJECT_PROTOCOL : REJECT_FIELD; /* R7143-11-04 */
    }
    return REJECT_NONE;
}

/* A command that is dropped may have data behind it, which is then dropped as well. */
void command_dropped(struct tgt_session *s, const uint8_t *bhs)
{
    struct pdu_scsi_command cmd;
    if (pdu_opcode(bhs) != PDU_OP_scsi_command)
        return;
    pdu_scsi_command_decode(bhs, &cmd);
    if (!cmd.final && !retired_match(s, cmd.itt, PDU_TAG_RESERVED, false))
        retired_add(s, cmd.itt, PDU_TAG_RESERVED);
}

static void numbered(struct tgt_conn *conn, struct framer_pdu *pdu, uint32_t cmd_sn)
{
    struct tgt_session *s = conn->session;
    switch (sequence_take(conn, cmd_sn, pdu)) {
    case SEQUENCE_NOW:
        command_execute(conn, pdu->bhs, pdu->ahs, pdu->ahs_len, &pdu->data, NULL);
        sequence_advance(s);
        break;
    case SEQUENCE_HELD:
        break;
    case SEQUENCE_DROP:
        conn->r->counters.discarded_pdus++;
        env_trace(conn->env, TRACE_DEBUG, "command.dropped", conn_label(conn), pdu_name(pdu_opcode(pdu->bhs)),
                  cmd_sn, s->exp_cmd_sn);
        command_dropped(s, pdu->bhs);
        break;
    }
}

/* SCSI commands and task management are limited apart, so that neither shuts out the other
 * (R7143-4.2.2.1-06); other requests are over as soon as they are seen. */
static bool immediate_full(const struct tgt_session *s, uint8_t opcode)
{
    if (opcode == PDU_OP_scsi_command)
        return s->immediate_active >= TGT_IMMEDIATE_MAX;
    return opcode == PDU_OP_task_management_request && s->tmf_count >= TGT_IMMEDIATE_MAX;
}

/* A command that is running, or over and not acknowledged, sent again: R7143-7.2.1-03. Its data comes again,
 * too. */
static bool is_retry(struct tgt_session *s, const uint8_t *bhs, uint32_t itt, uint32_t cmd_sn)
{
    if (pdu_opcode(bhs) != PDU_OP_scsi_command)
        return false;
    struct tgt_task *task = iscsi_task_find(s, itt);
    if (task && task->cmd_sn == cmd_sn) {
        struct pdu_scsi_command cmd;
        pdu_scsi_command_decode(bhs, &cmd);
        task->repeated |= !cmd.final && !task->unsolicited;
        return true;
    }
    task = keep_find(s, itt);
    if (!task || task->cmd_sn != cmd_sn || pdu_immediate(bhs))
        return false;
    command_dropped(s, bhs);
    return true;
}

/* R7143-11.14.4-01: a Logout for another connection carries that one's ExpStatSN. */
static void acknowledge(struct tgt_conn *conn, const uint8_t *bhs, uint32_t exp_stat_sn)
{
    struct pdu_logout_request logout;
    struct tgt_conn *meant = conn;
    if (pdu_opcode(bhs) == PDU_OP_logout_request) {
        pdu_logout_request_decode(bhs, &logout);
        if (logout.reason != 0 && logout.cid != conn->cid)
            meant = session_conn(conn->session, logout.cid);
    }
    if (meant)
        keep_acknowledge(meant, exp_stat_sn);
}

void command_pdu(struct tgt_conn *conn, struct framer_pdu *pdu)
{
    struct tgt_session *s = conn->session;
    if (instant_command(conn, pdu))
        return;
    const char *why;
    enum reject_reason reason = check(conn, pdu, &why);
    struct pdu_nop_out common; /* all requests have tag, CmdSN and ExpStatSN where NOP-Out has them */
    pdu_nop_out_decode(pdu->bhs, &common);
    uint32_t itt = common.itt, cmd_sn = common.cmd_sn;
    acknowledge(conn, pdu->bhs, common.exp_stat_sn);
    if (reason == REJECT_NONE && pdu_opcode(pdu->bhs) == PDU_OP_snack_request) {
        snack_request(conn, pdu->bhs); /* has neither a tag nor a CmdSN of its own */
        return;
    }
    if (reason == REJECT_NONE && itt != PDU_TAG_RESERVED) {
        /* R7143-4.2.2.1-22: what the tag already stands for comes before any numbering */
        if (is_retry(s, pdu->bhs, itt, cmd_sn)) {
            conn->r->counters.discarded_pdus++;
            return;
        }
        if (iscsi_task_find(s, itt)) {
            why = "Initiator Task Tag is in use";
            reason = REJECT_IN_PROGRESS; /* R7143-11.17.1-05 */
        }
    }
    if (reason == REJECT_NONE && pdu_immediate(pdu->bhs) && immediate_full(s, pdu_opcode(pdu->bhs))) {
        why = "too many immediate commands";
        reason = REJECT_IMMEDIATE; /* R7143-4.2.2.1-05 */
    }
    if (reason != REJECT_NONE) {
        command_dropped(s, pdu->bhs);
        reject_send(conn, pdu->bhs, pdu->ahs, pdu->ahs_len, reason, why);
    } else if (pdu_immediate(pdu->bhs) || itt == PDU_TAG_RESERVED) {
        /* R7143-4.2.2.1-08, R7143-4.2.2.1-15 */
        command_execute(conn, pdu->bhs, pdu->ahs, pdu->ahs_len, &pdu->data, NULL);
    } else {
        numbered(conn, pdu, cmd_sn);
    }
}
