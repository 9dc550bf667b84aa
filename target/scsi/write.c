/* Writing blocks as they arrive, and comparing them (VERIFY BYTCHK 01b, WRITE AND VERIFY). */
#include <string.h>

#include "common/base/mutant.h"
#include "target/scsi/private.h"

static bool is_write(const struct scsi_task *task)
{
    return task->def->flags & CMD_WRITE;
}

static bool is_write_and_verify(const struct scsi_task *task)
{
    enum cdb_command c = task->def->cdb->command;
    return c == CDB_WRITE_VERIFY_10 || c == CDB_WRITE_VERIFY_12 || c == CDB_WRITE_VERIFY_16;
}

/* Everything that will come has come and is on the medium. What XDWRITEREAD returns then is known too: as
 * much as came. */
void write_check_end(struct scsi_reactor *r, struct scsi_task *task)
{
    if (task->spans_out > 0 || (!task->out_ended && task->received < task_out_limit(task)))
        return;
    if (is_xor(task))
        task->in_len = task->next_in;
    task_good(r, task);
}

/* Its memory is free again: the transport may bring more. */
void span_consumed(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span)
{
    task->spans_out--;
    span_recycle(r, span);
    task_raise(task, SCSI_READY_OUT);
    write_check_end(r, task);
}

/* Reads what the medium has where the span belongs, to compare it. False: memory is short. */
static bool compare_start(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *out)
{
    uint32_t len = out->data.len;
    /* Beyond the share: the span to compare with is held already, and only this one lets it go. */
    struct scsi_span *in = span_new_extra(r, len);
    if (!in)
        return false;
    in->task = task;
    in->kind = SPAN_COMPARE;
    in->other = out;
    in->offset = out->offset;
    in->req.verb = STORE_READ;
    in->req.fua = false;
    in->req.offset = task->lba * task_block_size(task) + out->offset;
    in->req.len = len;
    in->req.vec[0] = (struct io_vec){in->data.ptr, len};
    in->req.vec_count = 1;
    task_submit(r, task, &in->req);
    return true;
}

/* Stalled spans go in the order in which they came. */
static void compare_resume(struct scsi_reactor *r, struct scsi_task *task)
{
    while (!list_empty(&task->stalled)) {
        struct scsi_span *out = list_first(&task->stalled, struct scsi_span, task_node);
        list_remove(&out->task_node);
        if (!compare_start(r, task, out)) {
            list_push_front(&task->stalled, &out->task_node);
            task_wait(r, task, compare_resume);
            return;
        }
    }
}

static void compare_or_stall(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *out)
{
    if (list_empty(&task->stalled) && compare_start(r, task, out))
        return;
    list_push_back(&task->stalled, &out->task_node);
    task_wait(r, task, compare_resume);
}

void write_span(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span)
{
    uint32_t block = task_block_size(task);
    /* EDTL may end within a block, which then stays unwritten: there is no half a block. */
    span->data.len -= span->data.len % block;
    if (span->offset % block || span->offset >= task->out_len ||
        span->data.len > task->out_len - span->offset)
        span->data.len = 0;
    task->spans_out++;
    if (span->data.len == 0) {
        span_consumed(r, task, span);
        return;
    }
    if (is_xor(task)) {
        xor_span(r, task, span);
        return;
    }
    if (!is_write(task)) {
        compare_or_stall(r, task, span);
        return;
    }
    span->kind = SPAN_WRITE;
    span->req.verb = STORE_WRITE;
    span->req.fua =
        task_cdb(task, CDB_F_FUA) || is_write_and_verify(task) || !(task->itl->view->flags & LU_WCE);
    span->req.offset = task->lba * block + span->offset;
    span->req.len = span->data.len - (MUTANT(lost_unit) && span->data.len > block ? block : 0);
    span->req.vec[0] = (struct io_vec){span->data.ptr, span->req.len};
    span->req.vec_count = 1;
    /* What is compared afterwards has to stay what it is. */
    span->req.whole =
        is_write_and_verify(task) || span->req.len != span->data.len ? NULL : slice_whole(&span->data);
    task_submit(r, task, &span->req);
}

/* INFORMATION of a miscompare is the offset of the first byte that differs in the data-out (SBC-3 4.18.3). */
static void miscompare(struct scsi_reactor *r, struct scsi_task *task, const struct scsi_span *in)
{
    uint32_t i = 0;
    while (in->data.ptr[i] == in->other->data.ptr[i])
        i++;
    struct scsi_sense sense = sense_make(SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY);
    sense.has_information = true;
    sense.information = in->offset + i;
    task_check(r, task, &sense);
}

void write_done(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span)
{
    if (span->req.result && !MUTANT(store_error_good)) {
        task_store_error(r, task, &span->req);
        span_recycle(r, span);
        return;
    }
    if (span->kind == SPAN_WRITE) {
        if (is_write_and_verify(task))
            compare_or_stall(r, task, span);
        else
            span_consumed(r, task, span);
        return;
    }
    if (memcmp(span->data.ptr, span->other->data.ptr, span->data.len) != 0) {
        miscompare(r, task, span);
        span_recycle(r, span);
        return;
    }
    span_consumed(r, task, span);
}
