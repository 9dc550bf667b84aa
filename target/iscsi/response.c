/* SCSI Responses (RFC 7143 11.4): status, sense, residuals; or the status on the last Data-In. */
#include "common/base/mutant.h"
#include "target/iscsi/conn_internal.h"

#define STATUS_GOOD            0x00
#define STATUS_CHECK_CONDITION 0x02
#define STATUS_BUSY            0x08
#define STATUS_TASK_ABORTED    0x40
#define SENSE_ABORTED_COMMAND  0x0b
#define SENSE_FIXED_LEN        18u

/* R7143-11.4.5.2-01, R7143-11.4.5.2-02, R7143-11.4.5.2-04, R7143-11.4.1-01, R7143-11.4.5.1-03 */
struct residual residual_of(uint64_t moved, uint64_t expected)
{
    uint64_t gap = moved > expected ? moved - expected : expected - moved;
    struct residual r = {.overflow = moved > expected, .underflow = moved < expected};
    r.count = gap > UINT32_MAX ? UINT32_MAX : (uint32_t)gap;
    return r;
}

/* The direction that the header's EDTL speaks of: write wins (R7143-11.3.4-01), and with neither bit whatever
 * moved. */
struct residual residual_of_task(const struct tgt_task *task)
{
    bool ours = task->failed || task->aborted; /* the device server has no sums */
    uint64_t in = ours ? 0 : task->scsi.in_len, out = ours ? 0 : task->scsi.out_len;
    if (task->write)
        return residual_of(out, task->edtl_out); /* R7143-11.4.5.2-03 */
    if (task->read)
        return residual_of(in, task->edtl_in);
    return residual_of(in + out, task->edtl);
}

/* Sense into task->response behind its length (R7143-11.4.7-03). */
static uint32_t put_sense(struct tgt_task *task)
{
    uint8_t *sense = task->response + 2;
    uint32_t len = task->scsi.sense_len;
    if (task->failed && task->own_status == STATUS_CHECK_CONDITION) {
        memset(sense, 0, SENSE_FIXED_LEN);
        sense[0] = 0x70; /* current, fixed format */
        sense[2] = SENSE_ABORTED_COMMAND;
        sense[7] = SENSE_FIXED_LEN - 8;
        sense[12] = task->asc;
        sense[13] = task->ascq;
        len = SENSE_FIXED_LEN;
    } else if (task->failed || task->aborted || len == 0) {
        return 0;
    } else {
        memcpy(sense, task->scsi.sense, len);
    }
    be16_put(task->response, (uint16_t)len);
    return len + 2;
}

static uint8_t status_of(const struct tgt_task *task)
{
    if (task->failed)
        return task->own_status;
    return task->aborted ? STATUS_TASK_ABORTED : task->scsi.status;
}

void response_send(struct tgt_task *task)
{
    struct tgt_conn *conn = task->conn;
    struct tgt_session *s = task->session;
    bool keeps = session_level(s) > 0;
    if (keeps) /* R7143-11.7-02: a status of its own can be asked for again on its own */
        data_in_finish(task, false);
    uint8_t status = status_of(task);
    uint32_t len = put_sense(task);
    /* R7143-4.6.1.5-01, R7143-11.7.3-01, R7143-11.7.3-02, R7143-11.7-03: the status rides on Data-In only
     * when there is nothing to add to GOOD and the command is no bidirectional one */
    bool rides = !keeps && status == STATUS_GOOD && len == 0 && !task->write;
    if (!keeps && data_in_finish(task, rides) && rides)
        return;
    if (!conn_live(conn))
        return;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_scsi_response rsp;
    struct residual residual = residual_of_task(task);
    pdu_scsi_response_init(&rsp);
    rsp.status = status;
    rsp.status_qualifier = task->failed ? 0 : task->scsi.status_qualifier;
    rsp.itt = task->itt;
    rsp.overflow = residual.overflow;
    rsp.underflow = residual.underflow || MUTANT(phantom_residual);
    rsp.residual_count = residual.count + MUTANT(phantom_residual);
    if (task->read && task->write) { /* R7143-11.4.6-01 */
        struct residual in =
            residual_of(task->failed || task->aborted ? 0 : task->scsi.in_len, task->edtl_in);
        rsp.bidi_overflow = in.overflow;
        rsp.bidi_underflow = in.underflow;
        rsp.bidi_residual_count = in.count;
    }
    rsp.snack_tag = task->snack_tag;  /* R7143-11.16.5-02 */
    rsp.exp_data_sn = task->in_count; /* R7143-11.4.8-01 */
    rsp.stat_sn = conn->stat_sn++;    /* R7143-11.4.9-01 */
    session_numbers(s, &rsp.exp_cmd_sn, &rsp.max_cmd_sn);
    pdu_scsi_response_encode(&rsp, bhs);
    /* R7143-4.6.1.2-01: sense in the same PDU, from the task's own memory: it needs no buffer when there is
     * none */
    struct slice data = slice_borrow(task->response, len);
    conn_send_status(conn, bhs, len ? &data : NULL, len ? &task->unsent : NULL);
    if (keeps)
        keep_answer(task);
}

void response_busy(struct tgt_conn *conn, uint32_t itt, uint32_t edtl)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_scsi_response rsp;
    struct residual residual = residual_of(0, edtl);
    pdu_scsi_response_init(&rsp);
    rsp.status = STATUS_BUSY;
    rsp.itt = itt;
    rsp.underflow = residual.underflow;
    rsp.residual_count = residual.count;
    rsp.stat_sn = conn->stat_sn++;
    session_numbers(conn->session, &rsp.exp_cmd_sn, &rsp.max_cmd_sn);
    pdu_scsi_response_encode(&rsp, bhs);
    conn_send_status(conn, bhs, NULL, NULL);
}
