/* Spans: pieces of data with their store request, from a free list that grows to the working set. */
#include <assert.h>

#include "target/scsi/private.h"

/* Never freed before the reactor: the steady state allocates nothing. */
static struct scsi_span *span_get(struct scsi_reactor *r)
{
    struct list_node *node = list_pop_front(&r->free_spans);
    struct scsi_span *span = node ? list_entry(node, struct scsi_span, node) : NULL;
    if (!span) {
        span = env_alloc(r->env, sizeof *span);
        if (!span)
            return NULL;
        r->spans_allocated++;
    }
    /* Owners, partner, loan and data are empty: span_recycle left them so. The store request is set by
     * whoever submits it: clearing all of it here would cost more than a small read. */
    list_init(&span->node);
    list_init(&span->task_node);
    span->offset = 0;
    span->complete = false;
    return span;
}

static struct scsi_span *span_with(struct scsi_reactor *r, uint32_t len,
                                   struct chunk *(*get)(struct pool *pool, uint32_t len))
{
    assert(len <= SCSI_SPAN_LEN);
    struct scsi_span *span = span_get(r);
    if (!span)
        return NULL;
    struct chunk *chunk = get(r->pool, len);
    if (!chunk) {
        list_push_front(&r->free_spans, &span->node);
        return NULL;
    }
    span->data = slice_take(chunk, 0, len);
    return span;
}

struct scsi_span *scsi_span_new(struct scsi_reactor *r, uint32_t len)
{
    return span_with(r, len, pool_get_share);
}

struct scsi_span *span_new_extra(struct scsi_reactor *r, uint32_t len)
{
    return span_with(r, len, pool_get);
}

struct scsi_span *scsi_span_wrap(struct scsi_reactor *r, struct slice *data)
{
    struct scsi_span *span = span_get(r);
    if (!span)
        return NULL;
    span->data = *data;
    *data = (struct slice){0};
    return span;
}

struct scsi_span *span_to_lend(struct scsi_reactor *r)
{
    struct scsi_loan *loan = loan_new(r);
    struct scsi_span *span = loan ? span_get(r) : NULL;
    if (span)
        span->loan = loan;
    else if (loan)
        loan_unused(loan);
    return span;
}

void span_lent(struct scsi_span *span, struct scsi_lu_view *lender)
{
    span->data = loan_take(span->loan, lender, &span->req);
    span->loan = NULL;
}

/* Last in, first out: the warmest span is used first. Takes the compared data-out with it. */
void span_recycle(struct scsi_reactor *r, struct scsi_span *span)
{
    if (span->other)
        span_recycle(r, span->other);
    if (span->loan)
        loan_unused(span->loan);
    span->loan = NULL;
    slice_release(&span->data);
    list_remove(&span->task_node);
    list_remove(&span->node);
    span->live = NULL;
    span->task = NULL;
    span->other = NULL;
    list_push_front(&r->free_spans, &span->node);
}

void scsi_span_done(struct scsi_reactor *r, struct scsi_span *span)
{
    struct scsi_task *task = span->live;
    span_recycle(r, span);
    if (task && task->state == TASK_RUNNING) {
        task->spans_in--;
        if (!list_linked(&task->wait_node) && is_xor(task))
            xor_pump(r, task);
        else if (!list_linked(&task->wait_node))
            read_pump(r, task);
    }
    tasks_retry(r);
}

/* Called where memory may have come back: a span given back, and once per batch of requests. */
void tasks_retry(struct scsi_reactor *r)
{
    if (list_empty(&r->waiting) || r->retrying)
        return;
    r->retrying = true;
    struct list_node batch;
    list_init(&batch);
    list_splice_back(&batch, &r->waiting);
    struct list_node *node;
    while (list_empty(&r->waiting) && (node = list_pop_front(&batch))) {
        struct scsi_task *task = list_entry(node, struct scsi_task, wait_node);
        task->resume(r, task);
    }
    /* Who still lacks memory goes first, then those behind it: no one is overtaken for ever. */
    list_splice_back(&r->waiting, &batch);
    r->retrying = false;
}
