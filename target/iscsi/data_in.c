/* Data-In (RFC 7143 11.7): the device server's spans cut into PDUs. The last piece of the newest span is kept
 * back until it is known whether more follows: it may carry the F bit and the status. */
#include <assert.h>

#include "target/iscsi/conn_internal.h"

static bool may_send(const struct tgt_task *task)
{
    return !task->silent && !task->failed && task->conn && conn_live(task->conn) &&
           task->phase != TASK_STOPPING;
}

void data_in_sweep(struct tgt_task *task)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < task->span_count; i++) {
        struct scsi_span *span = task->spans[i];
        if (span->unsent == 0 && span != task->held)
            scsi_span_done(&task->session->r->scsi, span);
        else
            task->spans[kept++] = span;
    }
    task->span_count = kept;
    if (task->phase == TASK_RUNNING && !list_empty(&task->scsi.in_spans))
        data_in_ready(task);
}

/* One PDU. Sequences end at MaxBurstLength (R7143-11.7.1-04) and with the last piece (R7143-11.7.1-02). */
static void send_piece(struct tgt_task *task, struct scsi_span *span, uint32_t at, uint32_t len, bool last,
                       bool status)
{
    struct tgt_conn *conn = task->conn;
    struct tgt_session *s = task->session;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_data_in pdu;
    pdu_data_in_init(&pdu);
    task->burst_left -= len;
    pdu.final = last || task->burst_left == 0; /* R7143-11.7.3-03: status implies last */
    if (pdu.final)
        task->burst_left = s->params.max_burst_length;
    pdu.itt = task->itt;
    pdu.ttt = PDU_TAG_RESERVED;    /* R7143-11.7.2-03: no A bit at recovery level 0 */
    pdu.data_sn = task->data_sn++; /* R7143-4.2.2.4-02, R7143-11.7.1-07 */
    pdu.buffer_offset = (uint32_t)(span->offset + at);
    if (status) {
        struct residual residual = residual_of_task(task);
        pdu.has_status = 1;
        pdu.status = task->scsi.status;
        pdu.overflow = residual.overflow;
        pdu.underflow = residual.underflow;
        pdu.residual_count = residual.count;
        pdu.stat_sn = conn->stat_sn++;
    }
    session_numbers(s, &pdu.exp_cmd_sn, &pdu.max_cmd_sn);
    pdu_data_in_encode(&pdu, bhs);
    struct slice data = slice_sub(&span->data, at, len);
    conn_send(conn, bhs, &data, &span->unsent);
    task->sent_in += len;
    s->read_bytes += len;
    s->r->counters.read_bytes += len;
}

/* Largest piece now: what the initiator takes (R7143-11.7.1-03), in multiples of four (R7143-11.7.7-02), and
 * what the sequence has left. */
static uint32_t piece_max(const struct tgt_task *task)
{
    uint32_t most = task->conn->params.peer_max_recv_data_segment_length & ~3u;
    return most < task->burst_left ? most : task->burst_left;
}

static void flush_held(struct tgt_task *task)
{
    struct scsi_span *span = task->held;
    task->held = NULL;
    if (span)
        send_piece(task, span, task->held_at, task->held_len, false, false);
}

static void take_span(struct tgt_task *task, struct scsi_span *span)
{
    uint64_t room = span->offset < task->edtl_in ? task->edtl_in - span->offset : 0;
    uint32_t len = span->data.len < room ? span->data.len : (uint32_t)room;
    uint32_t at = 0, most;
    if (len == 0) {
        scsi_span_done(&task->session->r->scsi, span);
        return;
    }
    flush_held(task);
    task->spans[task->span_count++] = span;
    if (task->sent_in == 0 && task->data_sn == 0)
        task->burst_left = task->session->params.max_burst_length;
    while (conn_live(task->conn) && len - at > (most = piece_max(task))) {
        send_piece(task, span, at, most, false, false);
        at += most;
    }
    task->held = span;
    task->held_at = at;
    task->held_len = len - at;
}

void data_in_ready(struct tgt_task *task)
{
    while (!list_empty(&task->scsi.in_spans) && task->span_count < SCSI_SPANS_PER_TASK) {
        struct scsi_span *span = list_first(&task->scsi.in_spans, struct scsi_span, node);
        list_remove(&span->node);
        if (may_send(task))
            take_span(task, span);
        else
            scsi_span_done(&task->session->r->scsi, span);
    }
}

bool data_in_finish(struct tgt_task *task, bool with_status)
{
    struct scsi_span *span = task->held;
    if (!span)
        return false;
    task->held = NULL;
    if (!conn_live(task->conn))
        return false;
    send_piece(task, span, task->held_at, task->held_len, true, with_status);
    return true;
}

void data_in_release(struct tgt_task *task)
{
    task->held = NULL;
    while (!list_empty(&task->scsi.in_spans)) {
        struct scsi_span *span = list_first(&task->scsi.in_spans, struct scsi_span, node);
        list_remove(&span->node);
        scsi_span_done(&task->session->r->scsi, span);
    }
}
