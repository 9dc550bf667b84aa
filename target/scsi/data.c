/* Data that is no block data: replies made in memory, and parameter lists collected from data-out spans. The
 * door through which all data-out comes is here too. */
#include <string.h>

#include "common/base/min.h"
#include "target/scsi/private.h"

/* Parameter lists may be cut anywhere; blocks only between blocks. */
uint32_t scsi_out_align(const struct scsi_task *task)
{
    /* Once it is over its ITL may be gone; what still comes is dropped. */
    return task->state == TASK_RUNNING && task->def->flags & CMD_BLOCKS && !task->param.ptr
               ? task_block_size(task)
               : 1;
}

uint64_t task_out_limit(const struct scsi_task *task)
{
    return min_u64(task->out_len, task->expected_out);
}

/* ---- data that is no block data ---- */

bool task_reply(struct scsi_reactor *r, struct scsi_task *task, const uint8_t *data, size_t len,
                uint64_t alloc)
{
    /* R7143-11.4.5.3-01: what ALLOCATION LENGTH cuts is no overflow. */
    uint64_t total = min_u64(len, alloc);
    uint32_t send = (uint32_t)min_u64(total, task->expected_in);
    task->in_len = total;
    if (send) {
        struct scsi_span *span = scsi_span_new(r, send);
        if (!span) {
            task_wait(r, task, task->def->start);
            return false;
        }
        memcpy(span->data.ptr, data, send);
        span->task = task;
        span->live = task;
        list_push_back(&task->lent, &span->task_node);
        list_push_back(&task->in_spans, &span->node);
        task->spans_in++;
        task_raise(task, SCSI_READY_IN);
    }
    task_good(r, task);
    return true;
}

/* The place is found before the transport is asked for bytes: nothing is received that cannot be kept. */
static void collect(struct scsi_reactor *r, struct scsi_task *task)
{
    uint32_t limit = (uint32_t)task_out_limit(task);
    if (limit == 0) {
        task->def->data(r, task);
        return;
    }
    struct chunk *chunk = pool_get(r->pool, limit);
    if (!chunk) {
        task_wait(r, task, collect);
        return;
    }
    task->param = slice_take(chunk, 0, limit);
    task_raise(task, SCSI_READY_OUT);
}

void task_collect(struct scsi_reactor *r, struct scsi_task *task, uint32_t len)
{
    task->out_len = len;
    collect(r, task);
}

/* Once: task->param may be used for something else from here on. */
static void collected(struct scsi_reactor *r, struct scsi_task *task)
{
    task->out_ended = true;
    task->def->data(r, task);
}

/* Spans come in any order; what lies beyond the list is ignored. */
static void param_arrived(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span)
{
    uint64_t at = min_u64(span->offset, task->param.len);
    memcpy(task->param.ptr + at, span->data.ptr, min_u64(span->data.len, task->param.len - at));
    task->received += span->data.len;
    span_recycle(r, span);
    if (task->received >= task->param.len)
        collected(r, task);
    else
        task_raise(task, SCSI_READY_OUT);
}

/* Late data of a command that has ended is dropped here. */
void scsi_data_out(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span)
{
    if (task->state != TASK_RUNNING || task->out_ended) {
        span_recycle(r, span);
        return;
    }
    span->task = task;
    if (task->param.ptr) {
        param_arrived(r, task, span);
        return;
    }
    task->received += span->data.len;
    write_span(r, task, span);
}

void scsi_data_out_end(struct scsi_reactor *r, struct scsi_task *task)
{
    if (task->state != TASK_RUNNING || task->out_ended)
        return;
    bool waits = list_linked(&task->wait_node) && task->resume == collect; /* for a place to put the list */
    if (task->param.ptr || waits) {
        list_remove(&task->wait_node);
        task->param.len = task->param.ptr ? (uint32_t)task->received : 0;
        collected(r, task);
    } else if (task->def->flags & CMD_BLOCKS) {
        task->out_ended = true;
        write_check_end(r, task);
    }
}
