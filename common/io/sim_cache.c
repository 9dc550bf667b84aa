/* The simulated disk's volatile cache. Reads see every write at once; the medium has it only after a flush.
 * Kept is what each write has replaced since then, oldest first: at a power cut any of these versions may
 * turn out to be the last that reached the medium, for each sector by itself. */
#include <string.h>

#include "common/io/sim_disk.h"

struct sim_volatile {
    struct list_node node;
    uint64_t number; /* how many file operations had been submitted when it happened */
    uint64_t offset, len;
    uint8_t data[]; /* what was there */
};

/* Memory that is out makes the disk better than it promised: sound for every check. */
void sim_cache_before(struct sim_world *world, struct sim_file *file, uint64_t number, uint64_t offset,
                      uint64_t len)
{
    if (!world->options.disk_cache)
        return;
    struct sim_volatile *old = env_alloc(world->heap, sizeof(*old) + (size_t)len);
    if (!old)
        return;
    old->number = number;
    old->offset = offset;
    old->len = len;
    sim_file_copy_out(file, offset, old->data, len);
    list_push_back(&file->volatiles, &old->node);
}

/* Operations are numbered when they are submitted, and an effect carries the highest number of its time: the
 * flush has a higher one exactly when it was submitted after the effect. */
void sim_cache_flushed(struct sim_world *world, struct sim_file *file, uint64_t number)
{
    list_for_each_safe(it, &file->volatiles)
    {
        struct sim_volatile *old = list_entry(it, struct sim_volatile, node);
        if (old->number >= number)
            break;
        list_remove(it);
        env_free(world->heap, old);
    }
}

void sim_cache_drop(struct sim_world *world, struct sim_file *file)
{
    sim_cache_flushed(world, file, UINT64_MAX);
}

/* Puts some sectors of what was replaced back. */
static void undo_some(struct sim_world *world, struct sim_file *file, const struct sim_volatile *old)
{
    uint32_t kept = 0, lost = 0;
    for (uint64_t at = old->offset, end = old->offset + old->len; at < end;) {
        uint64_t step = SIM_SECTOR_LEN - at % SIM_SECTOR_LEN;
        step = step < end - at ? step : end - at;
        if (sim_random(world) & 1) {
            lost++;
            if (at < file->size && sim_page_ensure(world, file, at / SIM_PAGE_LEN))
                sim_file_copy_in(file, at, old->data + (at - old->offset), step);
        } else {
            kept++;
        }
        at += step;
    }
    world->faults[SIM_FAULT_LOST_WRITE] += lost > 0;
    world->faults[SIM_FAULT_TORN_WRITE] += lost > 0 && kept > 0;
}

/* From the newest to the oldest: each sector ends at any of its versions. */
static void file_power_cut(struct sim_world *world, struct sim_file *file)
{
    while (!list_empty(&file->volatiles)) {
        struct sim_volatile *old = list_last(&file->volatiles, struct sim_volatile, node);
        list_remove(&old->node);
        undo_some(world, file, old);
        env_free(world->heap, old);
    }
}

void sim_disk_crash(struct sim_world *world)
{
    world->faults[SIM_FAULT_POWER_CUT]++;
    list_for_each(it, &world->files) file_power_cut(world, list_entry(it, struct sim_file, node));
}
