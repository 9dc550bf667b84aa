/* Task management functions (SAM-5 7). Task sets are per nexus (TST=001b): ABORT TASK SET and CLEAR TASK SET
 * are one. */
#include <string.h>

#include "common/base/err.h"
#include "common/scsi/lun.h"
#include "target/scsi/private.h"

void tmf_less(struct scsi_reactor *r, struct scsi_tmf *tmf)
{
    if (--tmf->pending > 0)
        return;
    if (tmf->detached)
        env_free(r->env, tmf);
    else
        list_push_back(&r->tmfs, &tmf->node);
}

struct scsi_tmf *scsi_next_tmf(struct scsi_reactor *r)
{
    struct list_node *node = list_pop_front(&r->tmfs);
    return node ? list_entry(node, struct scsi_tmf, node) : NULL;
}

static void waited(struct scsi_reactor *r, struct scsi_waiter *waiter)
{
    tmf_less(r, container_of(waiter, struct scsi_tmf, waiter));
}

static void wait_for(struct scsi_reactor *r, struct scsi_tmf *tmf, const struct scsi_itl *itl,
                     const struct scsi_task *task)
{
    tmf->waiter = (struct scsi_waiter){.itl = itl, .task = task, .over = waited};
    tmf->pending++;
    waiter_start(r, &tmf->waiter);
}

/* What the LUN field names: its map entry, or NULL when there is no such LU. */
static const struct scsi_lun *tmf_lun(const struct scsi_tmf *tmf)
{
    uint16_t number;
    bool well_known;
    const struct scsi_lun_map *map = tmf->nexus->map;
    if (!map || !lun_decode(tmf->lun, &number, &well_known) || well_known)
        return NULL;
    for (uint32_t i = 0; i < map->count; i++) {
        if (map->luns[i].number == number)
            return &map->luns[i];
    }
    return NULL;
}

/* A task that has been aborted has left its task set although the store still holds it. */
static void query_task(struct scsi_tmf *tmf, const struct scsi_lun *lun)
{
    const struct scsi_task *task = tmf->task;
    bool live = task && task->started && task->state != TASK_DYING && task->state != TASK_OVER;
    if (!live)
        return;
    bool here = task->itl->view ? lun && task->itl->number == lun->number : task->lun == tmf->lun;
    if (here && task->nexus == tmf->nexus)
        tmf->result = SCSI_TMF_SUCCEEDED; /* R7144-6.4.2-02 */
}

static void query_set(struct scsi_tmf *tmf, uint16_t number)
{
    const struct scsi_itl *itl = itl_known(tmf->nexus, number);
    if (itl && !list_empty(&itl->tasks))
        tmf->result = SCSI_TMF_SUCCEEDED; /* R7144-6.4.2-03 */
}

/* An LU that the nexus has not used yet has its first unit attention waiting: the ITL is made to hold it. */
static void query_event(struct scsi_tmf *tmf, uint16_t number)
{
    struct scsi_itl *itl;
    struct scsi_sense sense;
    if (itl_find(tmf->nexus, number, &itl) != ITL_FOUND) {
        tmf->result = SCSI_TMF_REJECTED;
        return;
    }
    if (!ua_peek(itl, &sense))
        return;
    tmf->result = SCSI_TMF_SUCCEEDED; /* R7144-6.4.2-05 */
    tmf->info[0] = (uint8_t)((ua_count(itl) > 1 ? 2 : 1) << 4 | sense.key);
    tmf->info[1] = sense.asc;
    tmf->info[2] = sense.ascq;
}

/* For all that the nexus has aborted so far. */
static void wait_for_nexus(struct scsi_reactor *r, struct scsi_tmf *tmf)
{
    tmf->waiter = (struct scsi_waiter){.nexus = tmf->nexus, .over = waited};
    tmf->pending++;
    waiter_start(r, &tmf->waiter);
}

/* R7144-6.3-09, R7144-6.5-01 */
static void nexus_reset(struct scsi_reactor *r, struct scsi_tmf *tmf)
{
    nexus_lose(tmf->nexus);
    wait_for_nexus(r, tmf);
}

static void abort_set(struct scsi_reactor *r, struct scsi_tmf *tmf, uint16_t number)
{
    struct scsi_itl *itl;
    if (itl_find(tmf->nexus, number, &itl) != ITL_FOUND)
        return; /* not even the memory for an ITL: it has no tasks */
    itl_abort_all(r, itl, false);
    wait_for(r, tmf, itl, NULL);
}

static void reset(struct scsi_reactor *r, struct scsi_tmf *tmf, struct scsi_lu *lu, enum ua ua)
{
    if (change_reset(r, lu, tmf->nexus->id, ua, tmf) != ERR_OK)
        tmf->result = SCSI_TMF_REJECTED;
}

static void reset_target(struct scsi_reactor *r, struct scsi_tmf *tmf, enum ua ua)
{
    const struct scsi_lun_map *map = tmf->nexus->map;
    for (uint32_t i = 0; map && i < map->count; i++)
        reset(r, tmf, map->luns[i].lu, ua);
    wait_for_nexus(r, tmf); /* LUs that are not there any more may have left something in their stores */
}

static void tmf_run(struct scsi_reactor *r, struct scsi_tmf *tmf)
{
    bool of_lu = tmf->function <= SCSI_TMF_LOGICAL_UNIT_RESET || tmf->function == SCSI_TMF_QUERY_TASK ||
                 tmf->function == SCSI_TMF_QUERY_TASK_SET || tmf->function == SCSI_TMF_QUERY_ASYNC_EVENT;
    const struct scsi_lun *lun = of_lu ? tmf_lun(tmf) : NULL;
    /* R7143-11.5.3-02. A task that was found is aborted even when its LU is absent: it may wait there for
     * memory. */
    if (of_lu && !lun && !tmf->task) {
        tmf->result = SCSI_TMF_NO_LUN;
        return;
    }
    switch (tmf->function) {
    case SCSI_TMF_ABORT_TASK:
        if (tmf->task) {
            task_abort(r, tmf->task, false);
            wait_for(r, tmf, NULL, tmf->task);
        }
        break;
    case SCSI_TMF_ABORT_TASK_SET: /* R7143-4.2.3.2-01 */
    case SCSI_TMF_CLEAR_TASK_SET: /* R7143-4.2.3.2-02: with TST=001b the task set is this nexus's */
        if (lun)
            abort_set(r, tmf, lun->number);
        break;
    case SCSI_TMF_CLEAR_ACA:
        tmf->result = SCSI_TMF_REJECTED; /* NORMACA is 0 */
        break;
    case SCSI_TMF_LOGICAL_UNIT_RESET: /* R7143-11.5.1-17 */
        if (lun)
            reset(r, tmf, lun->lu, UA_RESET);
        break;
    case SCSI_TMF_TARGET_WARM_RESET:
        reset_target(r, tmf, UA_RESET);
        break;
    case SCSI_TMF_TARGET_COLD_RESET:
        reset_target(r, tmf, UA_POWER_ON_RESET);
        break;
    case SCSI_TMF_QUERY_TASK:
        query_task(tmf, lun);
        break;
    case SCSI_TMF_QUERY_TASK_SET:
        if (lun)
            query_set(tmf, lun->number);
        break;
    case SCSI_TMF_I_T_NEXUS_RESET:
        nexus_reset(r, tmf);
        break;
    case SCSI_TMF_QUERY_ASYNC_EVENT:
        if (lun)
            query_event(tmf, lun->number);
        break;
    default:
        tmf->result = SCSI_TMF_REJECTED;
        break;
    }
}

void scsi_tmf_start(struct scsi_reactor *r, struct scsi_tmf *tmf)
{
    list_init(&tmf->node);
    tmf->result = SCSI_TMF_COMPLETE;
    memset(tmf->info, 0, sizeof tmf->info);
    tmf->pending = 1; /* until everything has been started: parts may end at once */
    tmf_run(r, tmf);
    tmf_less(r, tmf);
}
