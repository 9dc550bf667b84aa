/* Tasks: objects, lookup by initiator task tag, their way from start to end. A task ends once: the device
 * server says done or aborted (or never got it), the data that is still due has come, then the response goes
 * out, and the object is free when no output refers to it any more. */
#include <assert.h>

#include "target/iscsi/conn_internal.h"

/* ---- objects ---- */

static uint32_t bucket_of(const struct tgt_reactor *r, const struct tgt_session *s, uint32_t itt)
{
    uint32_t mixed = (itt ^ (uint32_t)s->id * 0x9e3779b1u) * 0x85ebca6bu;
    return (mixed ^ mixed >> 15) & r->hash_mask;
}

/* Twice as many buckets as tasks, and every task in its new one. */
static bool hash_grow(struct tgt_reactor *r, uint32_t tasks)
{
    uint32_t size = 64;
    while (size < tasks * 2)
        size *= 2;
    struct tgt_task **hash = env_alloc(r->env, size * sizeof(struct tgt_task *));
    if (!hash)
        return false;
    struct tgt_task **old = r->hash;
    uint32_t old_size = old ? r->hash_mask + 1 : 0;
    r->hash = hash;
    r->hash_mask = size - 1;
    for (uint32_t i = 0; i < old_size; i++) {
        for (struct tgt_task *task = old[i], *next; task; task = next) {
            next = task->hash_next;
            struct tgt_task **head = &hash[bucket_of(r, task->session, task->itt)];
            task->hash_next = *head;
            *head = task;
        }
    }
    env_free(r->env, old);
    return true;
}

static bool table_grow(struct tgt_reactor *r)
{
    uint32_t cap = r->task_cap ? r->task_cap * 2 : 64;
    if (cap > 0xffff) /* sixteen bits of a target transfer tag; the last value keeps tags off 0xffffffff */
        cap = 0xffff;
    if (cap == r->task_cap || !hash_grow(r, cap))
        return false;
    struct tgt_task **tasks = env_alloc(r->env, cap * sizeof(struct tgt_task *));
    if (!tasks)
        return false;
    if (r->tasks)
        memcpy(tasks, r->tasks, r->task_count * sizeof(struct tgt_task *));
    env_free(r->env, r->tasks);
    r->tasks = tasks;
    r->task_cap = cap;
    return true;
}

static struct tgt_task *task_get(struct tgt_reactor *r)
{
    struct list_node *node = list_pop_front(&r->free_tasks);
    if (node)
        return list_entry(node, struct tgt_task, node);
    if (r->task_count == r->task_cap && !table_grow(r))
        return NULL;
    struct tgt_task *task = env_alloc(r->env, sizeof *task);
    if (!task)
        return NULL;
    task->index = r->task_count;
    r->tasks[r->task_count++] = task;
    r->tasks_allocated++;
    return task;
}

static struct tgt_task **bucket(const struct tgt_session *s, uint32_t itt)
{
    return &s->r->hash[bucket_of(s->r, s, itt)];
}

static struct tgt_task *first_of(const struct tgt_session *s, uint32_t itt)
{
    return s->r->hash ? *bucket(s, itt) : NULL;
}

struct tgt_task *iscsi_task_find(const struct tgt_session *s, uint32_t itt)
{
    struct tgt_task *task = first_of(s, itt);
    while (task && (task->itt != itt || task->session != s || task->phase == TASK_DRAINING))
        task = task->hash_next;
    return task;
}

struct tgt_task *keep_find(const struct tgt_session *s, uint32_t itt)
{
    struct tgt_task *task = first_of(s, itt);
    while (task && (task->itt != itt || task->session != s || !task->answer))
        task = task->hash_next;
    return task;
}

struct tgt_task *iscsi_task_new(struct tgt_session *s, struct tgt_conn *conn, uint32_t itt)
{
    struct tgt_task *task = task_get(s->r);
    if (!task)
        return NULL;
    /* Most of it is places for what few commands have: those are left as they are. */
    uint32_t index = task->index, generation = task->generation;
    size_t behind = offsetof(struct tgt_task, node);
    memset(task, 0, SCSI_TASK_ZERO);
    memset((char *)task + behind, 0, offsetof(struct tgt_task, response) - behind);
    task->index = index;
    task->generation = generation;
    task->session = s;
    task->conn = conn;
    task->itt = itt;
    task->phase = TASK_WAITING;
    list_init(&task->wait_node);
    list_init(&task->scsi.in_spans);
    list_init(&task->kept);
    list_push_back(&s->tasks, &task->node);
    struct tgt_task **head = bucket(s, itt);
    task->hash_next = *head;
    *head = task;
    return task;
}

static void hash_remove(struct tgt_task *task)
{
    struct tgt_task **link = bucket(task->session, task->itt);
    while (*link && *link != task)
        link = &(*link)->hash_next;
    if (*link)
        *link = task->hash_next;
}

/* ---- late data ---- */

void retired_ready(struct tgt_session *s)
{
    if (s->retired_count == TGT_RETIRED_MAX)
        return;
    struct retired *more = env_alloc(s->r->env, TGT_RETIRED_MAX * sizeof *more);
    if (!more)
        return;
    memcpy(more, s->few, sizeof s->few);
    s->retired = more;
    s->retired_count = TGT_RETIRED_MAX;
    s->retired_next = TGT_RETIRED_FEW;
}

void retired_add(struct tgt_session *s, uint32_t itt, uint32_t ttt)
{
    retired_ready(s);
    s->retired[s->retired_next] = (struct retired){.itt = itt, .ttt = ttt, .used = true};
    s->retired_next = (s->retired_next + 1) % s->retired_count;
}

bool retired_match(struct tgt_session *s, uint32_t itt, uint32_t ttt, bool final)
{
    for (uint32_t i = 0; i < s->retired_count; i++) {
        struct retired *old = &s->retired[i];
        if (old->used && old->itt == itt && old->ttt == ttt) {
            old->used = !final;
            return true;
        }
    }
    return false;
}

/* R7143-4.2.3.4-17 */
void retired_release(const struct tgt_conn *conn, uint64_t lun)
{
    for (uint32_t i = 0; i < conn->session->retired_count; i++) {
        struct retired *old = &conn->session->retired[i];
        if (old->used && old->told == conn && old->lun == lun)
            old->used = false;
    }
}

/* R7143-4.2.3.4-11: the tag stays known, data for it is dropped. */
static void retire_tag(struct tgt_task *task, uint32_t ttt)
{
    struct tgt_session *s = task->session;
    retired_ready(s);
    struct retired *slot = &s->retired[s->retired_next];
    retired_add(s, task->itt, ttt);
    slot->told = task->termination_told ? task->conn : NULL;
    slot->lun = task->scsi.lun;
}

static void retire(struct tgt_task *task)
{
    if (task->unsolicited)
        retire_tag(task, PDU_TAG_RESERVED);
    for (uint32_t i = 0; i < TGT_R2T_MAX; i++) {
        if (task->r2ts[i].open)
            retire_tag(task, task->r2ts[i].ttt);
        task->r2ts[i].open = false;
    }
    task->unsolicited = false;
    task->r2t_open = 0;
}

/* ---- start ---- */

static void task_start(struct tgt_task *task)
{
    struct tgt_session *s = task->session;
    task->phase = TASK_RUNNING;
    task->cost = (task->edtl_in < 4 * SCSI_SPAN_LEN ? task->edtl_in : 4 * SCSI_SPAN_LEN) +
                 (task->edtl_out < 4 * SCSI_SPAN_LEN ? task->edtl_out : 4 * SCSI_SPAN_LEN);
    s->data_started += task->cost;
    scsi_task_start(&s->r->scsi, &task->scsi);
}

/* One session may not take all buffers: beyond its share, commands wait for earlier ones, in order. So do
 * those that came after a function that has not begun to abort what came before it. */
static bool fits(const struct tgt_session *s, const struct tgt_task *task)
{
    uint64_t most = pool_limit(s->r->pool) / 4;
    if (most > TGT_DATA_MAX)
        most = TGT_DATA_MAX;
    return s->data_started == 0 || s->data_started + task->edtl_in + task->edtl_out <= most;
}

void iscsi_task_submit(struct tgt_task *task)
{
    struct tgt_session *s = task->session;
    if (fits(s, task) && list_empty(&s->waiting) && !task_mgmt_holds(task))
        task_start(task);
    else
        list_push_back(&s->waiting, &task->wait_node);
}

void iscsi_task_start_waiting(struct tgt_session *s)
{
    struct tgt_task *task;
    while ((task = list_first(&s->waiting, struct tgt_task, wait_node)) != NULL) {
        if (!fits(s, task) || task_mgmt_holds(task))
            return;
        list_remove(&task->wait_node);
        task_start(task);
    }
}

/* ---- end ---- */

void iscsi_task_uncount(struct tgt_task *task)
{
    if (!task->counted)
        return;
    task->counted = false;
    session_touch(task->session);
    if (task->immediate)
        task->session->immediate_active--;
    else
        task->session->active--;
}

void iscsi_task_check_free(struct tgt_task *task)
{
    if (task->phase != TASK_DRAINING || task->span_count || task->unsent || task->answer)
        return;
    struct tgt_session *s = task->session;
    bool orphan = !task->conn;
    task->phase = TASK_FREE;
    hash_remove(task);
    list_remove(&task->node);
    list_push_front(&s->r->free_tasks, &task->node);
    if (s->closing || orphan)
        session_check_end(s);
}

/* The last decision about a task: answer or not. */
static void task_end(struct tgt_task *task)
{
    struct tgt_session *s = task->session;
    fence_forget(s, &task->fenced);
    retire(task);
    data_out_release(task);
    list_remove(&task->wait_node);
    s->data_started -= task->cost;
    task->cost = 0;
    iscsi_task_uncount(task); /* before the response: it carries the window that this opens */
    task->phase = TASK_DRAINING;
    if (!task->silent && task->conn && conn_live(task->conn))
        response_send(task);
    data_in_release(task);
    data_in_sweep(task);
    if (!task->answer)
        keep_drop(task); /* and it is free as soon as its output is gone */
}

/* Can its end be told now? At level 2 a task whose connection fails waits for another one. */
static bool may_end(struct tgt_task *task)
{
    if (task->silent)
        return true;
    if (session_level(task->session) == 2 && (!task->conn || !conn_live(task->conn)))
        return false;
    return data_in_drain(task);
}

void iscsi_task_progress(struct tgt_task *task)
{
    bool settled = data_out_settled(task);
    if (task->phase == TASK_RUNNING && task->failed && settled) {
        task->phase = TASK_STOPPING;
        scsi_task_abort(&task->session->r->scsi, &task->scsi);
    } else if (task->phase == TASK_FINISHED && (settled || task->silent || task->termination_told) &&
               may_end(task)) {
        if (!task->silent && task->conn && conn_live(task->conn) && !fence_task(task))
            return;
        /* R7143-11.4.2-02, R7143-11.17.1-07, R7143-7.8-04: not before the last data that is due */
        task_end(task);
    }
}

void iscsi_task_status(struct tgt_task *task, uint8_t status)
{
    if (task->failed)
        return; /* the first verdict counts */
    task->failed = true;
    task->own_status = status;
    task->out_stop = true;
    if (task->phase == TASK_WAITING) { /* the device server never saw it */
        list_remove(&task->wait_node);
        task->phase = TASK_FINISHED;
    }
}

void iscsi_task_fail(struct tgt_task *task, uint8_t asc, uint8_t ascq)
{
    if (task->failed)
        return;
    iscsi_task_status(task, 0x02);
    task->asc = asc;
    task->ascq = ascq;
}

void iscsi_task_abort(struct tgt_task *task)
{
    task->silent = true;
    switch (task->phase) {
    case TASK_WAITING:
    case TASK_FINISHED:
        task_end(task);
        break;
    case TASK_RUNNING:
        task->phase = TASK_STOPPING;
        retire(task);
        data_out_release(task);
        scsi_task_abort(&task->session->r->scsi, &task->scsi);
        break;
    case TASK_STOPPING:
    case TASK_DRAINING:
    case TASK_FREE:
        break;
    }
}

void iscsi_task_terminate(struct tgt_task *task)
{
    struct tgt_session *s = task->session;
    bool told = !task->silent && task->phase != TASK_DRAINING && task->phase != TASK_FREE;
    if (told && !s->closing && s->nexus_open)
        scsi_nexus_commands_cleared(&s->nexus, task->scsi.lun); /* R7143-11.14.5-01 */
    iscsi_task_abort(task);
}

void iscsi_task_orphan(struct tgt_task *task)
{
    task->conn = NULL;
    data_in_sweep(task);
    iscsi_task_check_free(task);
}

/* ---- what the device server has to say ---- */

static void on_aborted(struct tgt_task *task)
{
    if (!task->failed) {
        task->aborted = true;
        task->silent |= !task->scsi.respond_aborted && !task_mgmt_overtaken(task);
        if (!task->silent) /* R7143-4.2.3.5-01 */
            async_task_aborted(task);
    }
    task->phase = TASK_FINISHED;
    if (task->silent)
        task_end(task);
    else
        iscsi_task_progress(task);
}

static void on_ready(struct tgt_task *task, uint32_t bits)
{
    session_touch(task->session);
    if (bits & SCSI_READY_ABORTED) {
        on_aborted(task);
        return;
    }
    if (bits & SCSI_READY_IN)
        data_in_ready(task);
    if (bits & SCSI_READY_DONE) {
        task->phase = TASK_FINISHED;
        task->out_stop = true;
        iscsi_task_progress(task);
    } else if (bits & SCSI_READY_OUT) {
        data_out_ready(task);
    }
}

void iscsi_task_events(struct tgt_reactor *r)
{
    uint32_t bits;
    struct scsi_task *scsi;
    while ((scsi = scsi_next_ready(&r->scsi, &bits)) != NULL)
        on_ready(scsi->owner, bits);
}
