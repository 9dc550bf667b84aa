/* Task management functions (SAM-5 7). Task sets are per nexus (TST=001b): ABORT TASK SET and CLEAR TASK SET
 * are one. */
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
}

static void tmf_run(struct scsi_reactor *r, struct scsi_tmf *tmf)
{
    bool of_lu = tmf->function <= SCSI_TMF_LOGICAL_UNIT_RESET;
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
    default:
        tmf->result = SCSI_TMF_REJECTED;
        break;
    }
}

void scsi_tmf_start(struct scsi_reactor *r, struct scsi_tmf *tmf)
{
    list_init(&tmf->node);
    tmf->result = SCSI_TMF_COMPLETE;
    tmf->pending = 1; /* until everything has been started: parts may end at once */
    tmf_run(r, tmf);
    tmf_less(r, tmf);
}
