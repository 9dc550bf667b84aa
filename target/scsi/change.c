/* Changes of LU state that every reactor must know before anybody is told that they happened: mode
 * parameters, eject and load, reset, resize.
 *
 * One allocation carries a change through its life: a message to the LU's home reactor, which stores the new
 * state and sends one message to every reactor; each installs it in its view (a reset aborts its tasks and
 * waits until they have left the store) and sends the message back; the last one back makes home tell the
 * originator, who frees it all. */
#include <assert.h>

#include "common/base/err.h"
#include "common/base/mutant.h"
#include "target/scsi/private.h"

struct change_part { /* one reactor's */
    struct scsi_msg msg;
    struct scsi_waiter waiter;
};

struct scsi_change {
    enum change_kind kind;
    struct scsi_lu *lu;
    uint64_t nexus_id;    /* gets no unit attention; 0: every nexus does */
    uint32_t mask, value; /* of LU flags */
    enum ua ua;           /* UA_COUNT: none */
    uint64_t blocks;
    uint32_t origin;        /* reactor */
    uint32_t pending;       /* acknowledgements that home waits for */
    struct scsi_task *task; /* FLAGS: lives until over */
    void (*over)(struct scsi_reactor *r, struct scsi_task *task);
    struct scsi_tmf *tmf; /* RESET, RESIZE */
    struct scsi_msg msg;  /* to home, and back */
    struct change_part parts[];
};

static void post(struct scsi_reactor *r, struct scsi_msg *msg, uint32_t to, enum scsi_msg_kind kind)
{
    msg->from = r->index;
    msg->to = to;
    msg->kind = kind;
    /* A message to ourselves is a call; no change needs to be interrupted by another. */
    if (to == r->index)
        scsi_message(r, msg);
    else
        list_push_back(&r->messages, &msg->node);
}

struct scsi_msg *scsi_next_message(struct scsi_reactor *r)
{
    struct list_node *node = list_pop_front(&r->messages);
    return node ? list_entry(node, struct scsi_msg, node) : NULL;
}

/* Counts the change at the LU, so that the LU is not taken away under it. */
static struct scsi_change *change_new(struct scsi_reactor *r, struct scsi_lu *lu, enum change_kind kind)
{
    struct scsi_change *c = env_alloc(r->env, sizeof *c + lu->reactor_count * sizeof c->parts[0]);
    if (!c)
        return NULL;
    c->kind = kind;
    c->lu = lu;
    c->ua = UA_COUNT;
    c->origin = r->index;
    c->msg.lu = lu;
    c->msg.what = c;
    atomic_fetch_add(&lu->changes, 1);
    return c;
}

/* ---- on every reactor ---- */

static void part_over(struct scsi_reactor *r, struct scsi_waiter *waiter)
{
    struct change_part *part = container_of(waiter, struct change_part, waiter);
    post(r, &part->msg, part->msg.from, SCSI_MSG_ACK);
}

/* What one reactor does with it. Commands that have started go on with what they saw. */
static void view_change(struct scsi_reactor *r, struct scsi_lu_view *view, const struct scsi_change *c)
{
    if (c->kind == CHANGE_RESIZE)
        view->blocks = c->blocks;
    else
        view->flags = (view->flags & ~c->mask) | (c->value & c->mask);
    list_for_each(it, &view->itls)
    {
        struct scsi_itl *itl = list_entry(it, struct scsi_itl, view_node);
        bool own = itl->nexus->id == c->nexus_id;
        if (itl->gone)
            continue;
        if (c->kind == CHANGE_RESET) {
            itl_prevent(itl, false);
            /* TAS=1: nexuses other than the one that asked are told of their commands. */
            itl_abort_all(r, itl, !own);
        }
        if (c->ua != UA_COUNT && !own)
            ua_raise(itl, c->ua);
    }
}

/* A reactor without a view has nothing to do: a view that is made later starts with the LU's stored state. */
static void change_apply(struct scsi_reactor *r, struct scsi_change *c, struct change_part *part)
{
    struct scsi_lu_view *view = view_find(r, c->lu);
    if (view && !(MUTANT(resize_unannounced) && c->kind == CHANGE_RESIZE))
        view_change(r, view, c);
    part->waiter = (struct scsi_waiter){.lu = c->lu, .over = part_over};
    if (view && c->kind == CHANGE_RESET)
        waiter_start(r, &part->waiter);
    else
        part_over(r, &part->waiter);
}

/* ---- on the home reactor ---- */

static void change_home(struct scsi_reactor *r, struct scsi_change *c)
{
    struct scsi_lu *lu = c->lu;
    if (c->kind == CHANGE_RESIZE) {
        c->blocks = lu->store->info.size / lu->config.block_size;
        atomic_store_explicit(&lu->blocks, c->blocks, memory_order_release);
    } else {
        uint32_t flags = atomic_load_explicit(&lu->flags, memory_order_relaxed);
        atomic_store_explicit(&lu->flags, (flags & ~c->mask) | (c->value & c->mask), memory_order_release);
    }
    /* Counted before the first is sent: our own part answers at once. */
    c->pending = lu->reactor_count;
    uint32_t count = lu->reactor_count;
    for (uint32_t i = 0; i < count; i++) {
        struct scsi_msg *msg = &c->parts[i].msg;
        msg->lu = lu;
        msg->what = c;
        if (i != r->index)
            post(r, msg, i, SCSI_MSG_APPLY);
    }
    post(r, &c->parts[r->index].msg, r->index, SCSI_MSG_APPLY); /* last: it may finish the change */
}

/* ---- back on the originator ---- */

static void change_finished(struct scsi_reactor *r, struct scsi_change *c)
{
    struct scsi_task *task = c->task;
    struct scsi_tmf *tmf = c->tmf;
    void (*over)(struct scsi_reactor * r, struct scsi_task * task) = c->over;
    atomic_fetch_sub(&c->lu->changes, 1);
    env_free(r->env, c);
    if (tmf)
        tmf_less(r, tmf);
    if (!task)
        return;
    task->store_pending--;
    if (task->state == TASK_RUNNING)
        over(r, task);
    else
        task_settle(r, task);
}

void scsi_message(struct scsi_reactor *r, struct scsi_msg *msg)
{
    struct scsi_change *c = msg->what;
    switch (msg->kind) {
    case SCSI_MSG_TO_HOME:
        change_home(r, c);
        break;
    case SCSI_MSG_APPLY:
        change_apply(r, c, container_of(msg, struct change_part, msg));
        break;
    case SCSI_MSG_ACK:
        if (--c->pending == 0)
            post(r, &c->msg, c->origin, SCSI_MSG_FINISHED);
        break;
    case SCSI_MSG_FINISHED:
        change_finished(r, c);
        break;
    }
}

/* ---- starting one ---- */

int change_flags(struct scsi_reactor *r, struct scsi_task *task, uint32_t mask, uint32_t value, enum ua ua,
                 void (*over)(struct scsi_reactor *r, struct scsi_task *task))
{
    struct scsi_change *c = change_new(r, task->itl->view->lu, CHANGE_FLAGS);
    if (!c)
        return ERR_NOMEM;
    c->mask = mask;
    c->value = value;
    c->ua = ua;
    c->nexus_id = task->nexus->id;
    c->task = task;
    c->over = over;
    task->store_pending++;
    post(r, &c->msg, c->lu->home, SCSI_MSG_TO_HOME);
    return ERR_OK;
}

int change_reset(struct scsi_reactor *r, struct scsi_lu *lu, uint64_t nexus_id, enum ua ua,
                 struct scsi_tmf *tmf)
{
    struct scsi_change *c = change_new(r, lu, CHANGE_RESET);
    if (!c)
        return ERR_NOMEM;
    /* Mode pages go back to their defaults; a medium that was ejected stays out, a stopped unit starts. */
    c->mask = LU_MODE_FLAGS | LU_STOPPED;
    c->value = lu->config.write_cache ? LU_WCE : 0;
    c->ua = ua;
    c->nexus_id = nexus_id;
    c->tmf = tmf;
    tmf->pending++;
    post(r, &c->msg, lu->home, SCSI_MSG_TO_HOME);
    return ERR_OK;
}

void scsi_lu_resized(struct scsi_reactor *r, struct scsi_lu *lu, struct scsi_tmf *done)
{
    struct scsi_change *c = change_new(r, lu, CHANGE_RESIZE);
    done->pending = 1;
    done->result = c ? SCSI_TMF_COMPLETE : SCSI_TMF_REJECTED;
    list_init(&done->node);
    if (!c) {
        tmf_less(r, done);
        return;
    }
    c->ua = UA_CAPACITY_CHANGED;
    c->tmf = done;
    post(r, &c->msg, lu->home, SCSI_MSG_TO_HOME);
}
