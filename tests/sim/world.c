/* The world: its heap, its clock, its faults on and off. */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/env.h"

/* A run that goes round in circles without the clock moving on. */
#define STEPS_MAX 4000000u

_Noreturn void world_abort(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

/* ---- a heap that counts ---- */

static void *world_alloc(void *ctx, size_t size, size_t align)
{
    struct world *w = ctx;
    const struct env *host = env_host();
    void *p = host->alloc(host->ctx, size, align);
    w->blocks_live += p != NULL;
    return p;
}

static void world_free(void *ctx, void *ptr)
{
    struct world *w = ctx;
    w->blocks_live -= ptr != NULL;
    env_free(env_host(), ptr);
}

/* ---- small things ---- */

uint64_t world_pick(struct world *w, uint64_t below)
{
    return sim_random(w->sim) % below;
}

bool world_chance(struct world *w, uint32_t percent)
{
    return world_pick(w, 100) < percent;
}

uint64_t world_now(const struct world *w)
{
    return sim_now(w->sim);
}

void world_problem(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->problem[0])
        return;
    va_start(args, format);
    vsnprintf(w->problem, sizeof w->problem, format, args);
    va_end(args);
}

void world_say(struct world *w, const char *format, ...)
{
    va_list args;
    if (!w->verbose)
        return;
    printf("%12.6f  ", (double)world_now(w) / 1e9);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* ---- life ---- */

static void world_tick(struct io_timer *timer)
{
    struct world *w = container_of(timer, struct world, tick);
    io_timer_arm(w->tick_io, timer, world_now(w) + (w->faults_on ? 20 * MS_NS : 200 * MS_NS));
}

void world_init(struct world *w, uint64_t seed, const struct swarm *swarm)
{
    bool verbose = w->verbose;
    memset(w, 0, sizeof *w);
    w->verbose = verbose;
    w->seed = seed;
    w->swarm = *swarm;
    w->heap = *env_host();
    w->heap.ctx = w;
    w->heap.alloc = world_alloc;
    w->heap.free = world_free;
    w->heap.trace = NULL;
    struct sim_options calm = {.disk_cache = swarm->faults.disk_cache, .disk_now = swarm->faults.disk_now};
    WORLD_CHECK(sim_world_new(&w->heap, seed, &calm, &w->sim) == 0);
    wire_init(&w->wire, w->sim, &w->heap);
    w->wire.show = verbose && getenv("PDUS");
    watch_start(w);
    for (uint32_t i = 0; i < WORLD_PORTALS; i++)
        w->portals[i] = (struct io_addr){.family = 4, .ip = {10, 0, 0, 1}, .port = (uint16_t)(3260 + i)};
    for (uint32_t i = 0; i < swarm->luns; i++) {
        struct world_lun *lun = &w->luns[i];
        *lun = (struct world_lun){.number = (uint16_t)(i * 5), .present = true, .settled = true};
        lun->model = model_new(&w->heap, WORLD_LUN_BLOCKS, swarm->file_store);
        WORLD_CHECK(lun->model);
    }
    WORLD_CHECK(sim_io_new(w->sim, &w->tick_io) == 0);
    w->tick.fire = world_tick;
    io_timer_arm(w->tick_io, &w->tick, world_now(w) + MS_NS);
    target_boot(w);
    visitor_new(w);
}

void world_fini(struct world *w)
{
    target_end(w); /* the world goes on until it is down */
    visitor_free(w);
    coverage_add_world(w->sim);
    coverage_add_facts(w->wire.facts);
    coverage_add(COVER_WINDOW_CLOSED, w->wire.windows_closed);
    coverage_add(COVER_DIGEST_HEADER, w->wire.flipped_headers);
    coverage_add(COVER_DIGEST_DATA, w->wire.flipped_data);
    for (uint32_t i = 0; i < w->swarm.luns; i++)
        model_free(w->luns[i].model);
    io_timer_cancel(w->tick_io, &w->tick);
    io_free(w->tick_io);
    sim_world_free(w->sim);
    wire_fini(&w->wire);
    watch_end(w);
    WORLD_CHECK(w->blocks_live == 0);
}

void world_faults(struct world *w, bool on)
{
    struct sim_options calm = {.disk_cache = w->swarm.faults.disk_cache,
                               .disk_now = w->swarm.faults.disk_now};
    w->faults_on = on;
    sim_world_set_options(w->sim, on ? &w->swarm.faults : &calm);
    w->wire.flip_header = on ? w->swarm.flip_header : 0;
    w->wire.flip_data = on ? w->swarm.flip_data : 0;
    w->disk_failed |= on && (w->swarm.faults.disk_error || w->swarm.faults.disk_full);
    w->digests_hit |= on && (w->swarm.flip_header || w->swarm.flip_data);
    w->chaos_at_ns = world_now(w) + world_pick(w, w->swarm.chaos_gap_ns + 1);
    if (on)
        return;
    w->machine.fail_in = 0;
    for (uint32_t i = 0; i < w->client_count; i++)
        client_fail_alloc(w->clients[i], 0);
}

/* Whatever goes on outside the ios: restarts, recoveries, new faults. */
static void world_poll(struct world *w)
{
    target_poll(w);
    for (uint32_t i = 0; i < w->client_count; i++)
        client_poll(w->clients[i]);
    visitor_poll(w);
    if (w->faults_on)
        chaos_poll(w);
}

bool world_step(struct world *w)
{
    if (!sim_step(w->sim))
        return false;
    world_poll(w);
    return true;
}

bool world_run(struct world *w, bool (*done)(void *arg), void *arg, uint64_t limit_ns)
{
    uint64_t limit = world_now(w) + limit_ns, steps = 0;
    while (!w->problem[0] && !done(arg)) {
        if (++steps > STEPS_MAX)
            world_problem(w, "no end after %u steps", STEPS_MAX);
        if (world_now(w) > limit || !world_step(w))
            return done(arg);
    }
    return !w->problem[0];
}
