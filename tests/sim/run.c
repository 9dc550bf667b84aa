/* The phases of a run: safety under faults; then everything heals, and all must end in bounded virtual time,
 * with the right data, and be given back. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/world.h"

#define HEAL_NS (600 * SECOND_NS)
#define CALM_NS (60 * SECOND_NS)

static bool all_idle(void *arg)
{
    struct world *w = arg;
    for (uint32_t i = 0; i < w->client_count; i++)
        if (!client_idle(w->clients[i]))
            return false;
    return true;
}

static bool all_settled(void *arg)
{
    struct world *w = arg;
    for (uint32_t i = 0; i < w->client_count; i++)
        if (!client_up(w->clients[i]))
            return false;
    return target_settled(w) && visitor_idle(w);
}

static bool all_closed(void *arg)
{
    struct world *w = arg;
    for (uint32_t i = 0; i < w->client_count; i++)
        if (!client_closed(w->clients[i]))
            return false;
    return true;
}

static bool until(struct world *w, bool (*done)(void *), const char *what)
{
    if (!world_run(w, done, w, HEAL_NS))
        world_problem(w, "%s: not done after %u virtual seconds", what, (unsigned)(HEAL_NS / SECOND_NS));
    return !w->problem[0];
}

/* Every LUN is there, everybody is logged in. */
static bool heal(struct world *w)
{
    world_faults(w, false);
    if (!until(w, all_settled, "after the faults"))
        return false;
    if (!w->luns[w->swarm.luns - 1].present) {
        target_lun_toggle(w);
        if (!until(w, all_settled, "a LUN comes back"))
            return false;
    }
    return until(w, all_idle, "after the faults");
}

static uint64_t all_reconnects(const struct world *w)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < w->client_count; i++)
        sum += client_reconnects(w->clients[i]);
    return sum;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

/* What faults left behind (silent connections, news not yet told) is over after a while; then nothing happens
 * any more: sessions stay up and pings are answered. */
static bool calm(struct world *w)
{
    world_run(w, never, w, CALM_NS);
    uint64_t before = all_reconnects(w);
    w->settled = true;
    world_run(w, never, w, CALM_NS);
    if (all_reconnects(w) != before)
        world_problem(w, "sessions break although there are no faults any more");
    return until(w, all_settled, "at rest");
}

/* The whole disk, through one initiator. */
static bool check(struct world *w, const char *what)
{
    client_check_all(w->clients[0]);
    return until(w, all_idle, what);
}

/* What was flushed at rest outlives a power cut, and nothing else may be there. */
static bool check_floor(struct world *w)
{
    client_flush_all(w->clients[w->client_count - 1]);
    if (!until(w, all_idle, "the last flush"))
        return false;
    target_die(w, DEATH_POWER);
    coverage_add(COVER_FLOOR, 1);
    return until(w, all_settled, "after the last power cut") && check(w, "what was flushed");
}

/* Somebody comes when all is well: then the visit must go as it should. */
static bool visit(struct world *w)
{
    visitor_start(w, (enum visit)(w->seed % VISIT_COUNT));
    return until(w, all_settled, "a visit");
}

static void finish(struct world *w)
{
    if (!heal(w) || !calm(w) || !visit(w) || !check(w, "the final check"))
        return;
    if (w->swarm.final_power_cut && !check_floor(w))
        return;
    for (uint32_t i = 0; i < w->client_count; i++)
        client_close(w->clients[i]);
    until(w, all_closed, "logout");
}

void run_finish(struct world *w, struct outcome *out)
{
    finish(w);
    for (uint32_t i = 0; i < w->client_count; i++)
        out->reconnects += client_reconnects(w->clients[i]);
    out->hash = sim_trace_hash(w->sim);
    out->virtual_ns = world_now(w);
    /* After a problem things are still in flight: there is nothing to be given back in order. */
    for (uint32_t i = 0; i < w->client_count && !w->problem[0]; i++)
        client_free(w->clients[i]);
    w->client_count = 0;
    if (!w->problem[0])
        world_fini(w);
    snprintf(out->problem, sizeof out->problem, "%s", w->problem);
}

static void say_swarm(struct world *w)
{
    const struct swarm *s = &w->swarm;
    const struct sim_options *f = &s->faults;
    world_say(w, "%u reactors, %u initiators x %u commands, %u LUNs (%s), window %u, unit %u, depth %u%s",
              s->reactors, s->clients, s->commands, s->luns, s->file_store ? "file" : "memory",
              s->window_blocks, s->unit_blocks, s->depth, s->chap ? ", CHAP" : "");
    world_say(w,
              "net: split %u delay %llu us cut %u stall %u half-open %u half-close %u refuse %u flips %u/%u",
              f->split, (unsigned long long)f->net_delay_ns / 1000, f->cut, f->stall, f->half_open,
              f->half_close, f->refuse, s->flip_header, s->flip_data);
    world_say(w,
              "disk: delay %llu us slow %u error %u full %u short %u at once %u; clock jump %u; command "
              "time-out %llu ms",
              (unsigned long long)f->disk_delay_ns / 1000, f->disk_slow, f->disk_error, f->disk_full,
              f->disk_short, f->disk_now, f->clock_jump, (unsigned long long)(s->command_timeout_ns / MS_NS));
    world_say(w, "chaos: %#x every %llu ms for %llu s", s->chaos,
              (unsigned long long)(s->chaos_gap_ns / MS_NS), (unsigned long long)(s->fault_ns / SECOND_NS));
}

void run_seed(uint64_t seed, bool verbose, struct outcome *out)
{
    struct swarm swarm;
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    *out = (struct outcome){0};
    swarm_draw(&swarm, seed);
    w->verbose = verbose;
    world_init(w, seed, &swarm);
    say_swarm(w);
    coverage_add((enum cover)(COVER_REACTORS_1 + swarm.reactors - 1), 1);
    coverage_add(COVER_CLIENTS_8, swarm.clients == WORLD_CLIENTS_MAX);
    coverage_add(COVER_CHAP, swarm.chap);
    coverage_add(COVER_SMALL_MEMORY, swarm.target_memory > 0);
    for (uint32_t i = 0; i < swarm.clients; i++)
        w->clients[i] = client_new(w, i, swarm.commands);
    w->client_count = swarm.clients;
    world_faults(w, true);
    for (uint32_t i = 0; i < swarm.clients; i++)
        client_start(w->clients[i]);
    world_run(w, all_idle, w, swarm.fault_ns);
    run_finish(w, out);
    if (!out->problem[0])
        free(w);
}
