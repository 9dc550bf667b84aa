/* Reading blocks: spans in flight, delivered in order of offset. VERIFY reads the same way and delivers
 * nothing. */
#include <string.h>

#include "common/base/min.h"
#include "common/base/mutant.h"
#include "target/scsi/private.h"

/* VERIFY moves no data to the initiator, so in_len stays 0; a READ of 0 blocks never gets here. */
static bool is_verify(const struct scsi_task *task)
{
    return task->in_len == 0;
}

void read_begin(struct scsi_reactor *r, struct scsi_task *task, uint64_t need)
{
    task->need_in = need;
    task->next_in = 0;
    if (need == 0)
        task_good(r, task);
    else
        read_pump(r, task);
}

/* Bytes between the boundaries of the memory that the store lends; 0: it lends none. */
static uint32_t lend_len_of(const struct scsi_task *task)
{
    return task->nexus->takes_loans ? task_lu(task)->store->info.lend_len : 0;
}

/* The next span, of at most *len bytes: with memory of its own, or for what the store lends. A
 * loan does not reach over the boundaries of the store's memory. */
static struct scsi_span *read_span(struct scsi_reactor *r, const struct scsi_task *task, uint64_t offset,
                                   uint32_t *len)
{
    uint32_t lend_len = lend_len_of(task);
    if (!lend_len) {
        struct scsi_span *span = scsi_span_new(r, *len);
        if (span) {
            span->req.vec[0] = (struct io_vec){span->data.ptr, *len};
            span->req.vec_count = 1;
        }
        return span;
    }
    *len = min_u32(*len, lend_len - (uint32_t)(offset & (lend_len - 1)));
    struct scsi_span *span = span_to_lend(r);
    if (span)
        span->req.vec_count = 0;
    return span;
}

/* Keeps spans on their way: in the store, or with the transport. */
void read_pump(struct scsi_reactor *r, struct scsi_task *task)
{
    const uint64_t base = task->lba * task_block_size(task);
    const uint32_t most = lend_len_of(task) ? SCSI_LOANS_PER_TASK : SCSI_SPANS_PER_TASK;
    while (task->next_in < task->need_in && task->spans_in < most) {
        uint64_t left = task->need_in - task->next_in;
        uint32_t len = (uint32_t)min_u64(left, SCSI_SPAN_LEN);
        uint64_t offset = base + (MUTANT(read_restarts) ? 0 : task->next_in);
        struct scsi_span *span = read_span(r, task, offset, &len);
        if (!span) {
            task_wait(r, task, read_pump);
            return;
        }
        span->task = task;
        span->live = task;
        span->kind = SPAN_READ;
        span->offset = task->next_in;
        span->req.verb = STORE_READ;
        span->req.fua = false;
        span->req.offset = offset;
        span->req.len = len;
        list_push_back(&task->reading, &span->task_node);
        task->spans_in++;
        task->next_in += len;
        task_submit(r, task, &span->req);
    }
}

/* VERIFY with BYTCHK 11b: every block must equal the one in task->param. True: it does. */
static bool compare_blocks(struct scsi_reactor *r, struct scsi_task *task, const struct scsi_span *span)
{
    uint32_t block = task_block_size(task);
    for (uint32_t at = 0; task->param.ptr && at < span->data.len; at += block) {
        if (memcmp(span->data.ptr + at, task->param.ptr, block) == 0)
            continue;
        uint32_t i = 0;
        while (span->data.ptr[at + i] == task->param.ptr[i])
            i++;
        struct scsi_sense sense = sense_make(SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY);
        sense.has_information = true;
        sense.information = i; /* offset within the data-out, which is one block (SBC-3 5.32) */
        task_check(r, task, &sense);
        return false;
    }
    return true;
}

/* EDTL may end within the block that was read for it. */
void read_hand_over(struct scsi_task *task, struct scsi_span *span)
{
    uint64_t end = min_u64(task->in_len, task->expected_in);
    span->data.len = (uint32_t)min_u64(span->data.len, end - span->offset);
    list_push_back(&task->lent, &span->task_node);
    list_push_back(&task->in_spans, &span->node);
    task_raise(task, SCSI_READY_IN);
}

/* The store completes in any order; only a complete head of the list moves on. */
void read_done(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span)
{
    span->complete = true;
    while (!list_empty(&task->reading)) {
        span = list_first(&task->reading, struct scsi_span, task_node);
        if (!span->complete)
            break;
        if (span->req.result) {
            /* The spans before it have been handed over; those behind it are dropped when the store lets go
             * of them. */
            task_store_error(r, task, &span->req);
            return;
        }
        list_remove(&span->task_node);
        if (!is_verify(task)) {
            read_hand_over(task, span);
            continue;
        }
        bool equal = compare_blocks(r, task, span);
        task->spans_in -= equal; /* else the task may already be over */
        span_recycle(r, span);
        if (!equal)
            return;
    }
    if (task->next_in < task->need_in)
        read_pump(r, task);
    else if (list_empty(&task->reading))
        task_good(r, task);
}
