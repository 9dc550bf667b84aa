/* The end of a machine, as its peers and its disk see it. */
#include <assert.h>

#include "common/io/sim_internal.h"

static void op_dropped(struct sim_world *world, struct io_op *op)
{
    if (io_op_is_file(op))
        sim_disk_abandon(world, op);
}

/* Listeners and sockets first: a listener's queue holds sockets that have no owner yet. */
static void handles_abandon(struct sim_world *world, const struct sim_io *self, bool silent)
{
    for (uint32_t place = 0; place < world->handle_count; place++) {
        const struct sim_handle *at = &world->handles[place];
        if (at->kind == SIM_FREE || at->owner != self->index)
            continue;
        if (at->kind == SIM_FILE)
            sim_disk_close(world, sim_handle_number(world, place));
        else
            sim_net_abandon(world, sim_handle_number(world, place), silent);
    }
}

/* Operations of all ios end before any handle does: a file may be used on every io of its machine. */
void sim_crash(struct sim_world *world, struct io *const *ios, uint32_t count, bool silent)
{
    assert(world->current == SIM_OUTSIDE);
    world->faults[SIM_FAULT_CRASH]++;
    for (uint32_t i = 0; i < count; i++)
        sim_io_drain(sim_io_of(ios[i]), op_dropped);
    for (uint32_t i = 0; i < count; i++) {
        struct sim_io *self = sim_io_of(ios[i]);
        handles_abandon(world, self, silent);
        world->ios[self->index] = NULL;
        env_free(world->heap, self);
    }
}
