/* Commands that the device server can carry out on the spot (target/scsi/instant.c), from the header to the
 * response in one go: no task, no tag in the table, nothing to give back later. The response is written where
 * it is sent from: to read it back in order to copy it would wait for the data that was written just before.
 * Only what a command is in nearly all cases: next in its session's order, alone, whole in one PDU and
 * answered by one. All others take the usual way (command.c). */
#include "target/iscsi/conn_internal.h"

#define ATTR_SIMPLE_MAX 1 /* untagged or SIMPLE */

/* Is it this command's turn, and is nothing else going on that it could meet? Recovery levels above 0 keep
 * what they send, fences order answers of several connections: both need a task. */
static bool its_turn(const struct tgt_conn *conn, const struct pdu_scsi_command *cmd)
{
    const struct tgt_session *s = conn->session;
    return session_level(s) == 0 && s->conn_count == 1 && s->fence.state == FENCE_DOWN && !s->stopping &&
           !s->closing && !s->discovery && !s->logging_out && !s->reset_gap && list_empty(&s->held) &&
           list_empty(&s->waiting) && list_empty(&s->tmfs) && cmd->cmd_sn == s->exp_cmd_sn &&
           sn_in_window(cmd->cmd_sn, s->exp_cmd_sn, s->max_cmd_sn) && s->active < s->window &&
           !iscsi_task_find(s, cmd->itt);
}

static void took(struct tgt_conn *conn)
{
    struct tgt_session *s = conn->session;
    s->exp_cmd_sn++; /* R7143-4.2.2.1-10 */
    s->commands++;
    conn->r->counters.commands++;
}

/* Memory that the next command will wait for is called for before, if that is of the same kind (`moves`). */
static void look_ahead(struct tgt_conn *conn, enum cdb_direction moves)
{
    const uint8_t *bhs = framer_peek(&conn->framer);
    struct pdu_scsi_command next;
    if (!bhs || bhs[0] != PDU_OP_scsi_command)
        return;
    pdu_scsi_command_decode(bhs, &next);
    scsi_instant_expect(&conn->session->nexus, next.lun, next.cdb, moves);
}

/* One Data-In with the status on it: R7143-11.7.3-01, R7143-11.7.3-02 */
static bool instant_read(struct tgt_conn *conn, const struct pdu_scsi_command *cmd, const uint8_t *cdb)
{
    struct tgt_session *s = conn->session;
    uint32_t len = cmd->expected_data_transfer_length;
    struct slice data;
    uint8_t *bhs = tx_open(&conn->tx);
    if (!bhs || len > conn->params.peer_max_recv_data_segment_length || len > s->params.max_burst_length ||
        !scsi_instant_read(&s->nexus, cmd->lun, cdb, len, &data))
        return false;
    /* The digest is what reads the data. Without one only the kernel does, which fetches whole blocks faster
     * than those of which a part is there already. */
    if (conn->params.data_digest == KEY_DIGEST_CRC32C)
        look_ahead(conn, CDB_IN);
    took(conn);
    uint32_t exp_cmd_sn, max_cmd_sn;
    session_numbers(s, &exp_cmd_sn, &max_cmd_sn);
    struct pdu_data_in pdu;
    pdu_data_in_init(&pdu);
    pdu.final = 1;
    pdu.has_status = 1;
    pdu.itt = cmd->itt;
    pdu.ttt = PDU_TAG_RESERVED;
    pdu.stat_sn = conn->stat_sn++;
    pdu.exp_cmd_sn = exp_cmd_sn;
    pdu.max_cmd_sn = max_cmd_sn;
    pdu_data_in_encode(&pdu, bhs);
    s->read_bytes += len;
    conn->r->counters.read_bytes += len;
    conn_send_open(conn, &data);
    return true;
}

static bool instant_write(struct tgt_conn *conn, const struct pdu_scsi_command *cmd, const uint8_t *cdb,
                          const struct slice *data)
{
    struct tgt_session *s = conn->session;
    uint32_t len = cmd->expected_data_transfer_length;
    uint8_t *bhs = tx_open(&conn->tx);
    /* The copy of this write's data ends in stores that are on their way to memory for longer than the whole
     * command takes, and the next one would wait for its own behind them. */
    look_ahead(conn, CDB_OUT);
    if (!bhs || len != data->len || !s->params.immediate_data || len > s->params.first_burst_length ||
        !scsi_instant_write(&s->nexus, cmd->lun, cdb, data))
        return false;
    took(conn);
    uint32_t exp_cmd_sn, max_cmd_sn;
    session_numbers(s, &exp_cmd_sn, &max_cmd_sn);
    struct pdu_scsi_response rsp;
    pdu_scsi_response_init(&rsp);
    rsp.itt = cmd->itt;
    rsp.stat_sn = conn->stat_sn++; /* R7143-11.4.9-01 */
    rsp.exp_cmd_sn = exp_cmd_sn;
    rsp.max_cmd_sn = max_cmd_sn;
    pdu_scsi_response_encode(&rsp, bhs);
    s->write_bytes += len;
    conn->r->counters.write_bytes += len;
    conn_send_open(conn, NULL);
    return true;
}

bool instant_command(struct tgt_conn *conn, const struct framer_pdu *pdu)
{
    struct pdu_scsi_command cmd;
    if (pdu->bhs[0] != PDU_OP_scsi_command || pdu->ahs_len) /* with the immediate bit it is another byte */
        return false;
    pdu_scsi_command_decode(pdu->bhs, &cmd);
    if (!cmd.final || cmd.read == cmd.write || cmd.attr > ATTR_SIMPLE_MAX || cmd.itt == PDU_TAG_RESERVED ||
        !its_turn(conn, &cmd))
        return false;
    keep_acknowledge(conn, cmd.exp_stat_sn);
    uint8_t cdb[sizeof cmd.cdb]; /* by itself, so that the rest of cmd can stay in registers */
    memcpy(cdb, cmd.cdb, sizeof cdb);
    if (cmd.read)
        return pdu->data.len == 0 && instant_read(conn, &cmd, cdb);
    return instant_write(conn, &cmd, cdb, &pdu->data);
}
