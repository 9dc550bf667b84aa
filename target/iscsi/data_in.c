/* Data-In (RFC 7143 11.7): the device server's spans cut into PDUs. The last piece of the newest span is kept
 * back until it is known whether more follows: it may carry the F bit and the status. */
#include <assert.h>

#include "common/base/mutant.h"
#include "target/iscsi/conn_internal.h"

#define STATUS_BUSY 0x08

static bool may_send(const struct tgt_task *task)
{
    return !task->silent && !task->failed && task->phase != TASK_STOPPING;
}

/* Is there a connection that takes its PDUs? */
static bool open_way(const struct tgt_task *task)
{
    return task->conn && conn_live(task->conn);
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

static void put_status(struct tgt_task *task, struct pdu_data_in *pdu)
{
    struct residual residual = residual_of_task(task);
    pdu->has_status = 1;
    pdu->status = task->scsi.status;
    pdu->overflow = residual.overflow;
    pdu->underflow = residual.underflow;
    pdu->residual_count = residual.count;
    pdu->stat_sn = task->conn->stat_sn++;
}

/* R7143-11.7.2-01, R7143-11.7.2-02, R7143-11.7.2-03: after each whole burst, level 1 and above; at the end of
 * the data the status is acknowledged instead. R7143-11.7.4-03, R7143-11.7.4-04 */
static void ask_acknowledgement(struct tgt_task *task, struct pdu_data_in *pdu)
{
    if (!task->ack_asked)
        task->ack_ttt = task->index << 16 | (task->generation++ & 0xffff);
    task->ack_asked = true;
    pdu->acknowledge = 1;
    pdu->ttt = task->ack_ttt; /* never 0xffffffff, as no task has index 0xffff */
    pdu->lun = task->scsi.lun;
}

/* One PDU. Sequences end at MaxBurstLength (R7143-11.7.1-04) and with the last piece (R7143-11.7.1-02). */
static void send_piece(struct tgt_task *task, struct scsi_span *span, uint32_t at, uint32_t len, bool last,
                       bool status)
{
    struct tgt_conn *conn = task->conn;
    struct tgt_session *s = task->session;
    bool keeps = session_level(s) > 0;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_data_in pdu;
    struct slice data = slice_sub(&span->data, at, len);
    pdu_data_in_init(&pdu);
    uint32_t burst_left = task->burst_left - len;
    pdu.final = last || burst_left == 0; /* R7143-11.7.3-03: status implies last */
    if (pdu.final)
        burst_left = s->params.max_burst_length;
    pdu.itt = task->itt;
    pdu.ttt = PDU_TAG_RESERVED;
    if (pdu.final && !last && keeps)
        ask_acknowledgement(task, &pdu);
    pdu.data_sn = task->data_sn; /* R7143-4.2.2.4-02, R7143-11.7.1-07 */
    pdu.buffer_offset = (uint32_t)(span->offset + at - (MUTANT(data_in_offset) && at > 4096 ? 512 : 0));
    if (status)
        put_status(task, &pdu);
    session_numbers(s, &pdu.exp_cmd_sn, &pdu.max_cmd_sn);
    pdu_data_in_encode(&pdu, bhs);
    if (keeps && !keep_data(task, bhs, &data, pdu.data_sn, pdu.buffer_offset, pdu.final)) {
        slice_release(&data);
        iscsi_task_status(task, STATUS_BUSY); /* what cannot be sent again is not sent at all */
        return;
    }
    if (keeps && pdu.final)
        keep_burst_over(task);
    task->burst_left = burst_left;
    task->data_sn++;
    task->in_count++;
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

/* Sends the held span up to its last piece, and with `all` that too. False: it has to wait, for a connection
 * or for acknowledgements. */
static bool push(struct tgt_task *task, bool all)
{
    while (task->held && may_send(task)) {
        if (!open_way(task) || !keep_room(task))
            return false;
        uint32_t most = piece_max(task);
        if (task->held_len <= most && !all)
            return true;
        struct scsi_span *span = task->held;
        uint32_t at = task->held_at, len = task->held_len < most ? task->held_len : most;
        task->held_at += len;
        task->held_len -= len;
        if (task->held_len == 0)
            task->held = NULL;
        send_piece(task, span, at, len, false, false);
    }
    return true;
}

static void take_span(struct tgt_task *task, struct scsi_span *span)
{
    assert(span->data.len && span->offset + span->data.len <= task->edtl_in);
    task->spans[task->span_count++] = span;
    if (task->in_count == 0)
        task->burst_left = task->session->params.max_burst_length;
    task->held = span;
    task->held_at = 0;
    task->held_len = span->data.len;
}

void data_in_ready(struct tgt_task *task)
{
    while (!list_empty(&task->scsi.in_spans) && task->span_count < SCSI_LOANS_PER_TASK) {
        if (may_send(task) && !push(task, true))
            return; /* back-pressure: the spans stay where they are */
        struct scsi_span *span = list_first(&task->scsi.in_spans, struct scsi_span, node);
        list_remove(&span->node);
        if (may_send(task))
            take_span(task, span);
        else
            scsi_span_done(&task->session->r->scsi, span);
    }
    push(task, false);
    if (task->failed && task->phase == TASK_RUNNING)
        iscsi_task_progress(task);
}

bool data_in_drain(struct tgt_task *task)
{
    if (!may_send(task) || (!open_way(task) && session_level(task->session) < 2))
        return true;
    data_in_ready(task);
    return (list_empty(&task->scsi.in_spans) && push(task, false)) || !may_send(task);
}

/* A piece was lost for want of memory: nothing may follow the gap but the end of the sequence. */
static void end_short(struct tgt_task *task)
{
    struct tgt_session *s = task->session;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_data_in pdu;
    if (task->in_count == 0 || task->burst_left == s->params.max_burst_length || !conn_live(task->conn))
        return;
    pdu_data_in_init(&pdu);
    pdu.final = 1; /* R7143-11.7.1-02 */
    pdu.itt = task->itt;
    pdu.ttt = PDU_TAG_RESERVED;
    pdu.data_sn = task->data_sn++;
    pdu.buffer_offset = (uint32_t)task->sent_in;
    session_numbers(s, &pdu.exp_cmd_sn, &pdu.max_cmd_sn);
    pdu_data_in_encode(&pdu, bhs);
    if (session_level(s) > 0) /* it has a number like all others: R7143-7.1.3-02, R7143-7.2.2-02 */
        keep_short_end(task, bhs, pdu.data_sn, pdu.buffer_offset);
    task->burst_left = s->params.max_burst_length;
    task->in_count++;
    conn_send(task->conn, bhs, NULL, NULL);
}

bool data_in_finish(struct tgt_task *task, bool with_status)
{
    struct scsi_span *span = task->held;
    task->held = NULL;
    if (task->failed && (!span || span->offset + task->held_at != task->sent_in)) {
        end_short(task);
        return false;
    }
    if (!span)
        return false;
    if (!keep_room(task))
        return false;
    uint32_t most = piece_max(task); /* less than what is held only when the command has failed */
    send_piece(task, span, task->held_at, task->held_len < most ? task->held_len : most, true, with_status);
    if (task->failed) /* perhaps for want of memory just now */
        end_short(task);
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
