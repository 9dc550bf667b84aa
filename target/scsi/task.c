/* The life of a task: start, its turn (task attributes), the checks before every command, its end, its abort.
 */
#include <assert.h>
#include <string.h>

#include "common/base/mutant.h"
#include "common/scsi/lun.h"
#include "target/scsi/private.h"

/* ---- small things that handlers use ---- */

uint64_t task_cdb(const struct scsi_task *task, enum cdb_field_id id)
{
    return cdb_get(task->def->cdb, task->cdb, id);
}

/* A task is on the ready list once, with all its bits: the transport sees data and end together. */
void task_raise(struct scsi_task *task, uint32_t bits)
{
    task->ready |= bits;
    if (!list_linked(&task->ready_node))
        list_push_back(&task->nexus->reactor->ready, &task->ready_node);
}

struct scsi_task *scsi_next_ready(struct scsi_reactor *r, uint32_t *bits)
{
    if (r->sweep)
        itls_sweep(r);
    struct list_node *node = list_pop_front(&r->ready);
    if (!node)
        return NULL;
    struct scsi_task *task = list_entry(node, struct scsi_task, ready_node);
    *bits = task->ready;
    task->ready = 0;
    return task;
}

/* Absent LUs have no store to ask: what they answer does not depend on one. */
bool command_supported(const struct scsi_task *task, const struct scsi_command_def *def)
{
    return !(def->flags & CMD_DISCARD) || !task->itl->view || task_lu(task)->store->info.can_discard;
}

/* ---- turns: SIMPLE, ORDERED and HEAD OF QUEUE (SAM-5 8.6), by counting, without looking at other tasks ----
 */

static bool is_barrier(const struct scsi_task *task)
{
    return task->attr == SCSI_ORDERED || task->attr == SCSI_HEAD_OF_QUEUE;
}

static bool may_enter(const struct scsi_itl *itl, const struct scsi_task *task)
{
    if (task->attr == SCSI_HEAD_OF_QUEUE)
        return true;
    return task->attr == SCSI_ORDERED ? itl->running == 0 : itl->barriers == 0;
}

static void task_run(struct scsi_reactor *r, struct scsi_task *task);

/* From here on the task counts against the turns of others. */
static void task_enter(struct scsi_reactor *r, struct scsi_task *task)
{
    task->state = TASK_RUNNING;
    task->entered = true;
    task->itl->running++;
    task->itl->barriers += is_barrier(task);
    task_run(r, task);
}

/* Lets blocked tasks in. One loop per ITL: a task that ends at once calls this again from inside, and
 * returns. */
static void itl_pump(struct scsi_reactor *r, struct scsi_itl *itl)
{
    if (itl->pumping)
        return;
    itl->pumping = true;
    while (!list_empty(&itl->blocked)) {
        struct scsi_task *task = list_first(&itl->blocked, struct scsi_task, wait_node);
        if (!may_enter(itl, task))
            break;
        list_remove(&task->wait_node);
        task_enter(r, task);
    }
    itl->pumping = false;
}

/* ---- the end ---- */

static void spans_drop(struct scsi_reactor *r, struct list_node *list)
{
    while (!list_empty(list))
        span_recycle(r, list_first(list, struct scsi_span, task_node));
}

/* Spans that the transport has taken stay its own and only forget the task. Those it has not taken go with an
 * abort. */
static void lent_forget(struct scsi_reactor *r, struct scsi_task *task, bool drop)
{
    struct list_node *node;
    while ((node = list_pop_front(&task->lent)))
        list_entry(node, struct scsi_span, task_node)->live = NULL;
    while (drop && (node = list_pop_front(&task->in_spans)))
        span_recycle(r, list_entry(node, struct scsi_span, node));
}

/* The task leaves every list, tells the transport, and makes way for those that waited for it. Only
 * `ready_node` is still ours afterwards. */
static void task_over(struct scsi_reactor *r, struct scsi_task *task)
{
    struct scsi_itl *itl = task->itl;
    bool dying = task->state == TASK_DYING;
    spans_drop(r, &task->reading);
    spans_drop(r, &task->stalled);
    lent_forget(r, task, dying);
    slice_release(&task->param);
    list_remove(&task->node);
    list_remove(&task->wait_node);
    task->state = TASK_OVER;
    task->nexus->tasks--;
    itl->live--;
    if (task->entered) {
        itl->running--;
        itl->barriers -= is_barrier(task);
    }
    if (dying)
        task->ready = 0;
    task_raise(task, dying ? SCSI_READY_ABORTED : SCSI_READY_DONE);
    if (!list_empty(&itl->blocked))
        itl_pump(r, itl);
    if (dying)
        waiters_check(r);
    if (itl->gone && itl->live == 0)
        r->sweep = true;
}

void task_settle(struct scsi_reactor *r, struct scsi_task *task)
{
    if ((task->state == TASK_FINISHING || task->state == TASK_DYING) && task->store_pending == 0)
        task_over(r, task);
}

/* The first verdict counts; store requests in flight are waited for. */
static void task_finish(struct scsi_reactor *r, struct scsi_task *task, uint8_t status)
{
    if (task->state != TASK_RUNNING)
        return;
    task->status = status;
    if (status == SCSI_STATUS_BUSY || status == SCSI_STATUS_TASK_SET_FULL)
        task->status_qualifier = task->nexus->protocol_level >= 2 ? RETRY_DELAY : 0; /* R7144-5.2.1-01 */
    task->state = TASK_FINISHING;
    list_remove(&task->wait_node);
    task_settle(r, task);
}

void task_good(struct scsi_reactor *r, struct scsi_task *task)
{
    task_finish(r, task, SCSI_STATUS_GOOD);
}

void task_status(struct scsi_reactor *r, struct scsi_task *task, uint8_t status)
{
    task_finish(r, task, status);
}

void task_check(struct scsi_reactor *r, struct scsi_task *task, const struct scsi_sense *sense)
{
    if (task->state != TASK_RUNNING)
        return;
    bool descriptor = task->itl->view && task->itl->view->flags & LU_D_SENSE;
    /* An LBA above 32 bits has no place in fixed format (SBC-3 4.18.1). */
    if (sense->has_information && sense->information > UINT32_MAX)
        descriptor = true;
    task->sense_len = (uint8_t)sense_build(sense, descriptor, task->sense);
    task_finish(r, task, SCSI_STATUS_CHECK_CONDITION); /* R7143-11.4.7-01 */
}

void task_wait(struct scsi_reactor *r, struct scsi_task *task,
               void (*resume)(struct scsi_reactor *r, struct scsi_task *task))
{
    task->resume = resume;
    if (!list_linked(&task->wait_node))
        list_push_back(&r->waiting, &task->wait_node);
}

bool task_range(struct scsi_reactor *r, struct scsi_task *task, uint64_t lba, uint64_t blocks)
{
    uint64_t have = task->itl->view->blocks;
    if (lba <= have && blocks + MUTANT(range_off_by_one) <= have - lba)
        return true;
    task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    return false;
}

/* ---- store requests ---- */

void task_submit(struct scsi_reactor *r, struct scsi_task *task, struct store_req *req)
{
    req->owner = task;
    req->store = task->itl->view->lu->store;
    req->result = 0;
    req->error_offset = req->offset;
    req->done = NULL;
    req->loan = NULL;
    task->store_pending++;
    list_push_back(&r->requests, &req->node);
}

void task_request(struct scsi_reactor *r, struct scsi_task *task, enum store_verb verb, uint64_t offset,
                  uint64_t len, bool fua, void (*after)(struct scsi_reactor *r, struct scsi_task *task))
{
    struct store_req *req = &task->req;
    req->verb = verb;
    req->offset = offset;
    req->len = len;
    req->fua = fua;
    req->whole = NULL;
    task->after = after;
    task_submit(r, task, req);
}

struct store_req *scsi_next_request(struct scsi_reactor *r)
{
    tasks_retry(r);
    struct list_node *node = list_pop_front(&r->requests);
    return node ? list_entry(node, struct store_req, node) : NULL;
}

void scsi_store_done(struct scsi_reactor *r, struct store_req *req)
{
    struct scsi_task *task = req->owner;
    assert(task->store_pending > 0);
    task->store_pending--;
    bool running = task->state == TASK_RUNNING;
    if (req == &task->req) {
        if (running && req->result)
            task_store_error(r, task, req);
        else if (running)
            task->after(r, task);
    } else {
        struct scsi_span *span = container_of(req, struct scsi_span, req);
        if (span->loan && req->result == 0)
            span_lent(span, task->itl->view);
        if (!running) {
            /* Reads lie on task->reading and go with the task; data-out goes now. */
            if (span->kind != SPAN_READ && span->kind != SPAN_XOR)
                span_recycle(r, span);
        } else if (span->kind == SPAN_READ) {
            read_done(r, task, span);
        } else if (span->kind == SPAN_XOR) {
            xor_done(r, task, span);
        } else {
            write_done(r, task, span);
        }
    }
    if (!running)
        task_settle(r, task);
}

/* ---- start ---- */

static bool unready(struct scsi_reactor *r, struct scsi_task *task, uint32_t flags)
{
    if (flags & LU_EJECTED)
        task_fail(r, task, SENSE_NOT_READY, ASC_MEDIUM_NOT_PRESENT);
    else if (flags & LU_STOPPED)
        task_fail(r, task, SENSE_NOT_READY, ASC_LU_NOT_READY_INITIALIZING_COMMAND_REQUIRED);
    else
        return false;
    return true;
}

/* By the LUN map, the configuration or the medium; or by software (SWP), which an initiator can undo. */
static bool write_protected(struct scsi_reactor *r, struct scsi_task *task)
{
    const struct scsi_lu *lu = task_lu(task);
    if (task->itl->readonly || lu->config.readonly || lu->store->info.readonly)
        task_fail(r, task, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    else if (task->itl->view->flags & LU_SWP)
        task_fail(r, task, SENSE_DATA_PROTECT, ASC_SOFTWARE_WRITE_PROTECTED);
    else
        return false;
    return true;
}

/* Bits that have no meaning here: NACA (NORMACA is 0) and everything reserved. */
static bool cdb_refused(struct scsi_reactor *r, struct scsi_task *task)
{
    const struct cdb_def *cdb = task->def->cdb;
    struct scsi_sense sense = sense_make(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    uint16_t byte = 0;
    uint8_t bit = 0;
    if (task->cdb_len < cdb->len) {
        byte = task->cdb_len;
        bit = 7;
    } else if (task_cdb(task, CDB_F_CONTROL) & 0x04) {
        byte = cdb_field(cdb, CDB_F_CONTROL)->place.byte;
        bit = 2;
    } else if (cdb_field(cdb, CDB_F_ADDITIONAL_LEN) &&
               task_cdb(task, CDB_F_ADDITIONAL_LEN) != cdb->len - 8u) {
        byte = 7; /* it says another length than the command has */
        bit = 7;
    } else if (!cdb_reserved_bit(cdb, task->cdb, &byte, &bit)) {
        return false;
    }
    sense_point(&sense, true, byte, bit);
    task_check(r, task, &sense);
    return true;
}

/* A wrong service action of a known opcode is a wrong field, not a wrong opcode (SPC-4 4.3.3). */
static void unknown_command(struct scsi_reactor *r, struct scsi_task *task, bool opcode_known)
{
    struct scsi_sense sense = sense_make(SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION_CODE);
    if (opcode_known) {
        sense = sense_make(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        if (task->cdb[0] == CDB_VARIABLE)
            sense_point(&sense, true, 8, 7);
        else
            sense_point(&sense, true, 1, 4);
    }
    task_check(r, task, &sense);
}

/* The command has entered its task set: everything that is checked before any command, in SAM-5's order of
 * precedence. */
static void task_run(struct scsi_reactor *r, struct scsi_task *task)
{
    bool opcode_known = false;
    const struct cdb_def *cdb = cdb_find(task->cdb, task->cdb_len, &opcode_known);
    task->def = cdb ? &scsi_commands[cdb->command] : NULL;
    uint32_t flags = task->def ? task->def->flags : 0;
    struct scsi_itl *itl = task->itl;
    struct scsi_sense sense;
    if (!itl->view && !(flags & CMD_ANY_LUN)) {
        task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
        return;
    }
    if (task->attr == SCSI_ACA) {
        /* SAM-5 8.6: there is never an ACA condition here. */
        task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_INVALID_MESSAGE);
        return;
    }
    if (itl->ua && !(flags & CMD_UA) && ua_take(itl, &sense)) {
        task_check(r, task, &sense);
        return;
    }
    if (!task->def || !command_supported(task, task->def)) {
        unknown_command(r, task, opcode_known && !task->def);
        return;
    }
    if (cdb_refused(r, task))
        return;
    if (flags & CMD_MEDIUM && unready(r, task, itl->view->flags))
        return;
    if (flags & CMD_WRITE && write_protected(r, task))
        return;
    task->def->start(r, task);
}

/* Among SIMPLE commands that wait for the same turn the more important go first (SAM-5 8.7: 1 is the highest
 * priority, 15 the lowest, 0 says nothing and comes after them). All of them enter when the turn comes, so
 * nobody is kept waiting for ever. */
static unsigned importance(const struct scsi_task *task)
{
    return task->priority ? 16u - task->priority : 0;
}

static void task_block(struct scsi_itl *itl, struct scsi_task *task)
{
    struct list_node *after = itl->blocked.prev;
    while (importance(task) && task->attr == SCSI_SIMPLE && after != &itl->blocked) {
        const struct scsi_task *other = list_entry(after, struct scsi_task, wait_node);
        if (other->attr != SCSI_SIMPLE || importance(other) >= importance(task))
            break;
        after = after->prev;
    }
    list_push_front(after, &task->wait_node);
}

static void task_init(struct scsi_task *task)
{
    struct list_node *const nodes[] = {&task->ready_node, &task->in_spans, &task->node,    &task->wait_node,
                                       &task->reading,    &task->lent,     &task->stalled, &task->req.node};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        list_init(nodes[i]);
    task->started = true;
    task->state = TASK_BLOCKED;
    if (task->nexus->protocol_level < 2)
        task->priority = 0; /* R7144-5.1.1-02 */
}

/* The ITL that the LUN field names; the nexus's own for absent and well-known LUs. NULL: out of memory. */
static struct scsi_itl *task_itl(struct scsi_nexus *nexus, uint64_t lun)
{
    uint16_t number;
    bool well_known;
    struct scsi_itl *itl = nexus->none;
    if (!lun_decode(lun, &number, &well_known) || well_known)
        return itl;
    return itl_find(nexus, number, &itl) == ITL_NO_MEMORY ? NULL : itl;
}

void scsi_task_start(struct scsi_reactor *r, struct scsi_task *task)
{
    struct scsi_nexus *nexus = task->nexus;
    task_init(task);
    struct scsi_itl *itl = task_itl(nexus, task->lun);
    uint8_t refused = !itl                                ? SCSI_STATUS_BUSY
                      : itl->live >= r->tasks_per_itl_max ? SCSI_STATUS_TASK_SET_FULL
                                                          : 0;
    task->itl = itl ? itl : nexus->none;
    itl = task->itl;
    nexus->tasks++;
    itl->live++;
    list_push_back(&itl->tasks, &task->node);
    if (refused) {
        task->state = TASK_RUNNING;
        task_finish(r, task, refused);
    } else if (task->attr == SCSI_HEAD_OF_QUEUE || (list_empty(&itl->blocked) && may_enter(itl, task))) {
        task_enter(r, task);
    } else {
        task_block(itl, task);
    }
}
