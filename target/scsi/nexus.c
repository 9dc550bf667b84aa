/* Nexuses, their relation to each LU (ITL), and unit attentions. ITLs are made by the first command to a LUN.
 */
#include <assert.h>
#include <string.h>

#include "common/base/err.h"
#include "common/scsi/lun.h"
#include "target/scsi/private.h"

/* ---- unit attentions ---- */

#define UA_BIT(name) (1u << UA_##name)
/* Conditions that say "everything may be different": one of them is enough, and it covers what else a reset
 * changes. */
#define UA_RESETS (UA_BIT(POWER_ON_RESET) | UA_BIT(RESET) | UA_BIT(NEXUS_LOSS))
/* What an initiator wants to know although it sends no command: it may have to look again at what is there.
 */
#define UA_EVENTS (UA_BIT(CAPACITY_CHANGED) | UA_BIT(LUNS_CHANGED))

void ua_raise(struct scsi_itl *itl, enum ua ua)
{
    uint32_t bit = 1u << ua;
    /* A power on that has not been told yet says more than any later reset or nexus loss. */
    if (bit & UA_RESETS && itl->ua & UA_RESETS & (bit - 1))
        return;
    itl->ua |= bit;
    if (!(bit & UA_EVENTS) || !itl->nexus->wants_events)
        return;
    itl->untold |= bit;
    if (!list_linked(&itl->event_node))
        list_push_back(&itl->nexus->reactor->events, &itl->event_node);
}

void ua_clear(struct scsi_itl *itl, enum ua ua)
{
    itl->ua &= ~(1u << ua);
}

static const enum sense_code codes[UA_COUNT] = {
#define X(name, code) [UA_##name] = code,
    UA_LIST(X)
#undef X
};

unsigned ua_count(const struct scsi_itl *itl)
{
    unsigned count = itl->ua & UA_RESETS ? 1 : 0; /* taken together */
    for (uint32_t rest = itl->ua & ~UA_RESETS; rest; rest &= rest - 1)
        count++;
    return count;
}

bool ua_peek(const struct scsi_itl *itl, struct scsi_sense *out)
{
    for (unsigned ua = 0; ua < UA_COUNT; ua++) {
        if (itl->ua & 1u << ua) {
            *out = sense_make(SENSE_UNIT_ATTENTION, codes[ua]);
            return true;
        }
    }
    return false;
}

bool ua_take(struct scsi_itl *itl, struct scsi_sense *out)
{
    if (!ua_peek(itl, out))
        return false;
    uint32_t first = itl->ua & (~itl->ua + 1);
    itl->ua &= first & UA_RESETS ? ~UA_RESETS : ~first;
    return true;
}

/* ---- events ---- */

/* The condition stays a unit attention as well: SAM-5 clears it by reporting it on a command only. */
bool scsi_next_event(struct scsi_reactor *r, struct scsi_event *out)
{
    struct scsi_itl *itl = list_first(&r->events, struct scsi_itl, event_node);
    if (!itl)
        return false;
    uint32_t first = itl->untold & (~itl->untold + 1);
    unsigned ua = 0;
    while (!(first >> ua & 1))
        ua++;
    itl->untold &= ~first;
    if (!itl->untold)
        list_remove(&itl->event_node);
    struct scsi_sense sense = sense_make(SENSE_UNIT_ATTENTION, codes[ua]);
    out->nexus = itl->nexus;
    out->lun = lun_encode(itl->number);
    out->sense_len = (uint8_t)sense_build(&sense, itl->view->flags & LU_D_SENSE, out->sense);
    return true;
}

/* ---- ITLs ---- */

/* Maps are sorted by number. */
static const struct scsi_lun *map_find(const struct scsi_lun_map *map, uint16_t number)
{
    uint32_t low = 0, high = map ? map->count : 0;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (map->luns[mid].number == number)
            return &map->luns[mid];
        if (map->luns[mid].number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* view is NULL for the ITL that stands for "no such LU". */
static struct scsi_itl *itl_new(struct scsi_nexus *nexus, struct scsi_lu_view *view)
{
    struct scsi_itl *itl = env_alloc(nexus->reactor->env, sizeof *itl);
    if (!itl)
        return NULL;
    itl->nexus = nexus;
    itl->view = view;
    list_init(&itl->tasks);
    list_init(&itl->blocked);
    list_init(&itl->view_node);
    list_init(&itl->event_node);
    list_push_back(&nexus->itls, &itl->nexus_node);
    if (view)
        list_push_back(&view->itls, &itl->view_node);
    return itl;
}

/* The LU counts its preventing nexuses on all reactors: eject looks at the sum only. */
void itl_prevent(struct scsi_itl *itl, bool prevent)
{
    if (itl->prevent == prevent)
        return;
    itl->prevent = prevent;
    if (prevent)
        atomic_fetch_add(&itl->view->lu->prevents, 1);
    else
        atomic_fetch_sub(&itl->view->lu->prevents, 1);
}

void itl_free(struct scsi_itl *itl)
{
    assert(itl->live == 0);
    itl_prevent(itl, false);
    list_remove(&itl->nexus_node);
    list_remove(&itl->view_node);
    list_remove(&itl->event_node);
    env_free(itl->nexus->reactor->env, itl);
}

struct scsi_itl *itl_known(struct scsi_nexus *nexus, uint16_t number)
{
    if (number < sizeof nexus->low / sizeof nexus->low[0] && nexus->low[number])
        return nexus->low[number];
    list_for_each(it, &nexus->itls)
    {
        struct scsi_itl *itl = list_entry(it, struct scsi_itl, nexus_node);
        if (itl->number == number && itl->view && !itl->gone) {
            /* Busy LUNs come to the front: the usual search is one step long. */
            list_remove(it);
            list_push_front(&nexus->itls, it);
            return itl;
        }
    }
    return NULL;
}

enum itl_found itl_find(struct scsi_nexus *nexus, uint16_t number, struct scsi_itl **out)
{
    struct scsi_itl *known = itl_known(nexus, number);
    if (known) {
        *out = known;
        return ITL_FOUND;
    }
    const struct scsi_lun *lun = map_find(nexus->map, number);
    if (!lun)
        return ITL_ABSENT;
    struct scsi_lu_view *view = view_make(nexus->reactor, lun->lu);
    struct scsi_itl *itl = view ? itl_new(nexus, view) : NULL;
    if (!itl)
        return ITL_NO_MEMORY;
    itl->number = number;
    itl->readonly = lun->readonly;
    /* The general code, for power on and for the loss of an earlier nexus alike: libiscsi's tools go on after
     * this one and stop at 29/01 or 29/07. */
    ua_raise(itl, UA_POWER_ON_RESET);
    if (number < sizeof nexus->low / sizeof nexus->low[0])
        nexus->low[number] = itl;
    *out = itl;
    return ITL_FOUND;
}

/* ---- nexuses ---- */

int scsi_nexus_open(struct scsi_reactor *r, struct scsi_nexus *nexus)
{
    nexus->reactor = r;
    nexus->tasks = 0;
    nexus->id = (uint64_t)r->index << 48 | ++r->nexuses_opened;
    memset(nexus->low, 0, sizeof nexus->low);
    list_init(&nexus->itls);
    nexus->none = itl_new(nexus, NULL);
    if (!nexus->none)
        return ERR_NOMEM;
    list_push_back(&r->nexuses, &nexus->node);
    return ERR_OK;
}

void itls_sweep(struct scsi_reactor *r)
{
    r->sweep = false;
    list_for_each(n, &r->nexuses)
    {
        struct scsi_nexus *nexus = list_entry(n, struct scsi_nexus, node);
        list_for_each_safe(it, &nexus->itls)
        {
            struct scsi_itl *itl = list_entry(it, struct scsi_itl, nexus_node);
            if (itl->gone && itl->live == 0)
                itl_free(itl);
        }
    }
}

/* I_T nexus loss for a nexus that lives on (SAM-5 6.3.4): all its commands end, and it is told so. */
void nexus_lose(struct scsi_nexus *nexus)
{
    scsi_nexus_abort_all(nexus);
    list_for_each(it, &nexus->itls)
    {
        struct scsi_itl *itl = list_entry(it, struct scsi_itl, nexus_node);
        if (!itl->view || itl->gone)
            continue;
        itl_prevent(itl, false);
        ua_raise(itl, UA_NEXUS_LOSS);
    }
}

/* Nobody is left to be answered. Tasks of other nexuses go on. */
void scsi_nexus_abort_all(struct scsi_nexus *nexus)
{
    list_for_each(it, &nexus->itls)
        itl_abort_all(nexus->reactor, list_entry(it, struct scsi_itl, nexus_node), false);
}

void scsi_nexus_commands_cleared(struct scsi_nexus *nexus, uint64_t lun)
{
    uint16_t number;
    bool well_known;
    struct scsi_itl *itl;
    if (scsi_lun_decode(lun, &number, &well_known) && !well_known && (itl = itl_known(nexus, number)) != NULL)
        ua_raise(itl, UA_COMMANDS_CLEARED); /* R7143-11.14.5-01 */
}

void scsi_nexus_close(struct scsi_nexus *nexus)
{
    assert(nexus->tasks == 0);
    list_for_each_safe(it, &nexus->itls) itl_free(list_entry(it, struct scsi_itl, nexus_node));
    nexus->none = NULL;
    list_remove(&nexus->node);
}

/* Only what REPORT LUNS shows counts: a LUN that became read only is told in another way. */
static bool maps_differ(const struct scsi_lun_map *a, const struct scsi_lun_map *b)
{
    uint32_t count_a = a ? a->count : 0, count_b = b ? b->count : 0;
    if (count_a != count_b)
        return true;
    for (uint32_t i = 0; i < count_a; i++) {
        if (a->luns[i].number != b->luns[i].number || a->luns[i].lu != b->luns[i].lu)
            return true;
    }
    return false;
}

/* The LUN is no longer this LU: its commands end, and the ITL with the last of them. */
static void itl_leave(struct scsi_reactor *r, struct scsi_itl *itl)
{
    if (itl->number < sizeof itl->nexus->low / sizeof itl->nexus->low[0])
        itl->nexus->low[itl->number] = NULL;
    itl->gone = true;
    list_remove(&itl->event_node);
    itl_abort_all(r, itl, true);
    if (itl->live == 0)
        itl_free(itl);
}

void scsi_nexus_set_map(struct scsi_nexus *nexus, const struct scsi_lun_map *map)
{
    bool differ = maps_differ(nexus->map, map);
    nexus->map = map;
    list_for_each_safe(it, &nexus->itls)
    {
        struct scsi_itl *itl = list_entry(it, struct scsi_itl, nexus_node);
        if (!itl->view || itl->gone)
            continue;
        const struct scsi_lun *lun = map_find(map, itl->number);
        if (!lun || lun->lu != itl->view->lu) {
            itl_leave(nexus->reactor, itl);
            continue;
        }
        if (lun->readonly != itl->readonly)
            ua_raise(itl, UA_MODE_CHANGED); /* the WP bit is part of the mode data */
        itl->readonly = lun->readonly;
        if (differ)
            ua_raise(itl, UA_LUNS_CHANGED);
    }
}
