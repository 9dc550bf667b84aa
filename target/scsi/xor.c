/* XDWRITEREAD (SBC-3 5.45, 5.46): one command that takes data and gives data. Each block that comes is XORed
 * with what the medium has there; the result goes back to the initiator and the block itself onto the medium,
 * unless DISABLE WRITE is set.
 *
 * Span by span, so that memory stays bounded: a data-out span waits (task->stalled) until it may have a
 * partner, a data-in span into which the old data is read (partner->other is the data-out). Partners lie on
 * task->reading in order of offset until their turn to be handed over comes, whatever order data-out and
 * store keep.
 *
 * A block's old data has been read when its new data is written. Other commands may see some blocks new and
 * some old, as with any write. */
#include <string.h>

#include "target/scsi/private.h"

bool is_xor(const struct scsi_task *task)
{
    return task->def->cdb->direction == CDB_BIDI;
}

/* At most SCSI_SPANS_PER_TASK partners, counting those that the transport has not given back. One more when
 * it has none and the next in order has not begun: later spans that came before it must not keep it waiting
 * for ever. */
static struct scsi_span *next_stalled(const struct scsi_task *task)
{
    if (task->spans_in < SCSI_SPANS_PER_TASK)
        return list_first(&task->stalled, struct scsi_span, task_node);
    if (!list_empty(&task->lent))
        return NULL;
    list_for_each(it, &task->stalled)
    {
        struct scsi_span *out = list_entry(it, struct scsi_span, task_node);
        if (out->offset == task->next_in)
            return out;
    }
    return NULL;
}

/* In front of the first that lies behind it; the list is short. */
static void insert_partner(struct scsi_task *task, struct scsi_span *in)
{
    struct list_node *before = task->reading.next;
    while (before != &task->reading && list_entry(before, struct scsi_span, task_node)->offset < in->offset)
        before = before->next;
    list_push_back(before, &in->task_node);
}

static void submit(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *in, enum store_verb verb,
                   struct slice *data)
{
    in->req.verb = verb;
    in->req.fua = verb == STORE_WRITE && (task_cdb(task, CDB_F_FUA) || !(task->itl->view->flags & LU_WCE));
    in->req.offset = task->lba * task_block_size(task) + in->offset;
    in->req.len = data->len;
    in->req.vec[0] = (struct io_vec){data->ptr, data->len};
    in->req.vec_count = 1;
    in->req.whole = NULL;
    task_submit(r, task, &in->req);
}

/* False: memory is short. */
static bool start(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *out)
{
    struct scsi_span *in = scsi_span_new(r, out->data.len);
    if (!in)
        return false;
    list_remove(&out->task_node);
    in->task = task;
    in->live = task;
    in->kind = SPAN_XOR;
    in->other = out;
    in->offset = out->offset;
    insert_partner(task, in);
    task->spans_in++;
    submit(r, task, in, STORE_READ, &in->data);
    return true;
}

void xor_pump(struct scsi_reactor *r, struct scsi_task *task)
{
    struct scsi_span *out;
    while (!list_empty(&task->stalled) && (out = next_stalled(task)) != NULL) {
        if (!start(r, task, out)) {
            task_wait(r, task, xor_pump);
            return;
        }
    }
}

void xor_span(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *out)
{
    list_push_back(&task->stalled, &out->task_node);
    if (!list_linked(&task->wait_node))
        xor_pump(r, task);
}

/* Eight bytes at a time: blocks are multiples of that, buffers need not be aligned. */
static void xor_bytes(uint8_t *to, const uint8_t *with, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t a, b;
        memcpy(&a, to + i, sizeof a);
        memcpy(&b, with + i, sizeof b);
        a ^= b;
        memcpy(to + i, &a, sizeof a);
    }
}

/* Partners that are complete and next in order. What lies beyond the room that the initiator has is dropped.
 */
static void deliver(struct scsi_reactor *r, struct scsi_task *task)
{
    struct scsi_span *in;
    while ((in = list_first(&task->reading, struct scsi_span, task_node)) != NULL && in->complete &&
           in->offset == task->next_in) {
        list_remove(&in->task_node);
        task->next_in += in->data.len;
        if (in->offset < task->expected_in) {
            read_hand_over(task, in);
        } else {
            task->spans_in--;
            span_recycle(r, in);
        }
    }
}

void xor_done(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *in)
{
    struct scsi_span *out = in->other;
    if (in->req.result) {
        task_store_error(r, task, &in->req); /* the pair goes with the task */
        return;
    }
    if (in->req.verb == STORE_READ) {
        xor_bytes(in->data.ptr, out->data.ptr, in->data.len);
        if (!task_cdb(task, CDB_F_DISABLE_WRITE)) {
            submit(r, task, in, STORE_WRITE, &out->data);
            return;
        }
    }
    in->other = NULL;
    in->complete = true;
    deliver(r, task);
    span_consumed(r, task, out);
    if (task->state == TASK_RUNNING && !list_linked(&task->wait_node))
        xor_pump(r, task);
}
