/* Aborting tasks, and waiting until what was aborted has left the store. */
#include "common/base/mutant.h"
#include "target/scsi/private.h"

static bool waiter_covers(const struct scsi_waiter *w, const struct scsi_task *task)
{
    return task->abort_seq <= w->limit && (!w->task || w->task == task) && (!w->itl || w->itl == task->itl) &&
           (!w->nexus || w->nexus == task->nexus) &&
           (!w->lu || (task->itl->view && task->itl->view->lu == w->lu));
}

/* Walks the dying tasks only: aborts are rare, and so are dying tasks. */
static bool waiter_waits(const struct scsi_reactor *r, const struct scsi_waiter *w)
{
    list_for_each(it, &r->dying)
    {
        if (!MUTANT(unfenced_abort) && waiter_covers(w, list_entry(it, struct scsi_task, node)))
            return true;
    }
    return false;
}

void waiter_start(struct scsi_reactor *r, struct scsi_waiter *waiter)
{
    waiter->limit = r->abort_seq;
    list_init(&waiter->node);
    if (waiter_waits(r, waiter))
        list_push_back(&r->waiters, &waiter->node);
    else
        waiter->over(r, waiter);
}

void waiters_check(struct scsi_reactor *r)
{
    /* `over` may free the waiter, and start no other. */
    list_for_each_safe(it, &r->waiters)
    {
        struct scsi_waiter *w = list_entry(it, struct scsi_waiter, node);
        if (!waiter_waits(r, w)) {
            list_remove(it);
            w->over(r, w);
        }
    }
}

/* The task moves to the reactor's dying list and is over when its last store request has come back: then
 * nothing of it can reach the medium any more. */
void task_abort(struct scsi_reactor *r, struct scsi_task *task, bool respond)
{
    if (task->state == TASK_OVER || task->state == TASK_DYING)
        return;
    task->aborted = true;
    task->respond_aborted = respond;
    task->status = SCSI_STATUS_TASK_ABORTED;
    task->sense_len = 0;
    task->state = TASK_DYING;
    task->abort_seq = ++r->abort_seq;
    list_remove(&task->wait_node);
    list_remove(&task->node);
    list_push_back(&r->dying, &task->node);
    task_settle(r, task);
}

void itl_abort_all(struct scsi_reactor *r, struct scsi_itl *itl, bool respond)
{
    /* No blocked task may start because the one before it was aborted a moment earlier than it. */
    bool pumping = itl->pumping;
    itl->pumping = true;
    while (!list_empty(&itl->tasks))
        task_abort(r, list_first(&itl->tasks, struct scsi_task, node), respond);
    itl->pumping = pumping;
}

void scsi_task_abort(struct scsi_reactor *r, struct scsi_task *task)
{
    task_abort(r, task, false);
}
