/* The target's side of a simulated run. */
#include "tests/sim/world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/env.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

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

uint64_t world_pick(struct world *w, uint64_t below)
{
    return sim_random(w->sim) % below;
}

/* ---- what the target serves ---- */

static void world_lu(struct world *w)
{
    const struct env *env = sim_env(w->sim);
    struct store_spec spec;
    struct store *store;
    char why[256] = "";
    CHECK(store_spec_parse(w->file_store ? "file:/sim/disk.img,size=4M" : "memory:size=4M", &spec, why,
                           sizeof why) == 0);
    CHECK(store_open(env, w->ios[0], &spec, &store, why, sizeof why) == 0);
    struct scsi_lu_config config = {.vendor = "LUNETTE",
                                    .product = "SIM",
                                    .revision = "1",
                                    .serial = "SIM-1",
                                    .naa = {0x60, 1},
                                    .block_size = 512,
                                    .write_cache = true};
    CHECK(scsi_lu_new(env, &config, store, 0, w->reactors, &w->lu) == 0);
}

static void world_user(struct world *w, struct tgt_target *target)
{
    target->users = env_alloc(sim_env(w->sim), sizeof *target->users);
    CHECK(target->users);
    target->user_count = 1;
    snprintf(target->users->name, sizeof target->users->name, "sim");
    memcpy(target->users->secret, "simulated secret", 16);
    target->users->secret_len = 16;
}

static void world_config(struct world *w)
{
    const struct env *env = sim_env(w->sim);
    CHECK(tgt_config_new(env, &w->config) == 0);
    struct tgt_target *target = env_alloc(env, sizeof *target);
    struct scsi_lun *lun = env_alloc(env, sizeof *lun);
    struct tgt_portal *portal = env_alloc(env, sizeof *portal);
    CHECK(target && lun && portal);
    *lun = (struct scsi_lun){.number = 0, .lu = w->lu};
    snprintf(target->name, sizeof target->name, "%s", WORLD_IQN);
    target->map = (struct scsi_lun_map){1, lun};
    key_config_default(&target->keys);
    target->keys.initial_r2t = world_pick(w, 2);
    target->keys.immediate_data = world_pick(w, 2);
    target->keys.max_outstanding_r2t = 1 + (uint32_t)world_pick(w, 4);
    if (w->chap)
        world_user(w, target);
    *portal = (struct tgt_portal){.listen = w->portal, .group = 1};
    w->config->targets = target;
    w->config->target_count = 1;
    w->config->portals = portal;
    w->config->portal_count = 1;
}

void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->heap = *env_host();
    w->heap.ctx = w;
    w->heap.alloc = world_alloc;
    w->heap.free = world_free;
    w->heap.trace = NULL;
    CHECK(sim_world_new(&w->heap, seed, &w->faults, &w->sim) == 0);
    w->reactors = 1 + (uint32_t)world_pick(w, WORLD_REACTORS_MAX);
    w->chap = world_pick(w, 3) == 0;
    w->file_store = world_pick(w, 2);
    for (uint32_t i = 0; i < w->reactors; i++)
        CHECK(sim_io_new(w->sim, &w->ios[i]) == 0);
    w->portal = (struct io_addr){.family = 4, .ip = {10, 0, 0, 1}, .port = 3260};
    world_lu(w);
    world_config(w);
    CHECK(host_new(sim_env(w->sim), w->ios, w->reactors, 64u << 20, w->config, &w->host) == 0);
    struct io_addr bound;
    CHECK(host_reactor_listen(host_at(w->host, 0), &w->portal, 1, &bound, &w->listener) == 0);
}

bool world_run(struct world *w, bool (*done)(void *arg), void *arg, uint64_t limit_ns)
{
    uint64_t limit = sim_now(w->sim) + limit_ns;
    while (!done(arg))
        if (sim_now(w->sim) > limit || !sim_step(w->sim))
            return done(arg);
    return true;
}

static bool world_idle(void *arg)
{
    struct world *w = arg;
    for (uint32_t i = 0; i < w->reactors; i++)
        if (!host_reactor_idle(host_at(w->host, i)))
            return false;
    return true;
}

/* A stopped target gives everything back: sockets, tasks, chunks, sessions, memory. */
void world_fini(struct world *w)
{
    for (uint32_t i = 0; i < w->reactors; i++)
        host_reactor_stop(host_at(w->host, i), true);
    CHECK(world_run(w, world_idle, w, 60000000000u));
    for (uint32_t i = 0; i < w->reactors; i++) {
        struct host_stats stats;
        host_reactor_stats(host_at(w->host, i), &stats);
        CHECK(stats.memory_in_use == 0);
        CHECK(stats.sessions == 0 && stats.connections == 0);
    }
    host_free(w->host);
    tgt_config_unref(w->config);
    store_close(scsi_lu_free(w->lu), w->ios[0]);
    for (uint32_t i = 0; i < w->reactors; i++)
        io_free(w->ios[i]);
    sim_world_free(w->sim);
    CHECK(w->blocks_live == 0);
}
