/* The target machine: the whole target service on its reactors, its disks' LUs and its configuration; how it
 * starts, dies, stops, and is changed while it runs. */
#include <stdio.h>
#include <string.h>

#include "common/base/env.h"
#include "tests/sim/world.h"

#define TARGET_MEMORY (64u << 20)      /* bytes of all pools, where the seed wants plenty */
#define HURRY_NS      (20 * SECOND_NS) /* an orderly stop is given that long */
#define DOWN_NS       (3 * SECOND_NS)  /* longest time until it boots again */

/* ---- logical units ---- */

static void lun_open(struct world *w, struct world_lun *lun)
{
    char text[128], why[256] = "";
    struct store_spec spec;
    struct store *store;
    unsigned long long bytes = (unsigned long long)model_blocks(lun->model) * WORLD_BLOCK;
    if (w->swarm.file_store)
        snprintf(text, sizeof text, "file:/sim/disk%u.img,size=%llu", lun->number, bytes);
    else
        snprintf(text, sizeof text, "memory:size=%llu", bytes);
    WORLD_CHECK(store_spec_parse(text, &spec, why, sizeof why) == 0);
    WORLD_CHECK(store_open(&w->machine.env, w->ios[0], &spec, &store, why, sizeof why) == 0);
    struct scsi_lu_config config = {.vendor = "LUNETTE",
                                    .product = "SIM",
                                    .revision = "1",
                                    .naa = {0x60, 1, (uint8_t)lun->number},
                                    .block_size = WORLD_BLOCK,
                                    .write_cache = true};
    snprintf(config.serial, sizeof config.serial, "SIM-%u", lun->number);
    uint32_t home = (uint32_t)world_pick(w, w->swarm.reactors);
    WORLD_CHECK(scsi_lu_new(&w->machine.env, &config, store, home, w->swarm.reactors, &lun->lu) == 0);
}

static void lu_close(struct world *w, struct scsi_lu *lu)
{
    store_close(scsi_lu_free(lu), w->ios[0]);
}

/* ---- configuration ---- */

static void config_user(struct world *w, struct tgt_target *target)
{
    target->users = env_alloc(&w->machine.env, sizeof *target->users);
    WORLD_CHECK(target->users);
    target->user_count = 1;
    snprintf(target->users->name, sizeof target->users->name, "sim");
    memcpy(target->users->secret, "simulated secret", 16);
    target->users->secret_len = 16;
}

/* The target of the initiators, and those that visitors come to (visitor.c). `redirects`: where logins
 * through each portal group are sent; NULL: they stay. */
static const struct {
    const char *name;
    struct tgt_redirect redirects[2];
    uint32_t redirect_count;
} world_targets[] = {
    {WORLD_IQN, {{.group = 0}}, 0},
    {WORLD_IQN "-temporary", {{.address = "10.0.0.1:3262", .group = 1}}, 1},
    {WORLD_IQN "-permanent", {{.address = "10.0.0.1:3262", .group = 1, .permanent = true}}, 1},
    {WORLD_IQN "-circle",
     {{.address = "10.0.0.1:3262", .group = 1}, {.address = "10.0.0.1:3260", .group = TGT_GROUP_ANY}},
     2},
    {WORLD_IQN "-far-away-so-that-it-takes-many-hops-to-get-there",
     {{.address = "10.0.0.1:3262", .group = 1}, {.address = "10.0.0.1:3263", .group = 2}},
     2},
};
enum { WORLD_TARGETS = sizeof world_targets / sizeof world_targets[0] };
static const uint16_t portal_groups[WORLD_PORTALS] = {1, 1, 2, 3};

const char *target_name(uint32_t index)
{
    return index < WORLD_TARGETS ? world_targets[index].name : NULL;
}

static void config_luns(struct world *w, struct tgt_target *target)
{
    uint32_t count = 0;
    struct scsi_lun *luns = env_alloc(&w->machine.env, WORLD_LUNS_MAX * sizeof *luns);
    WORLD_CHECK(luns);
    for (uint32_t i = 0; i < w->swarm.luns; i++)
        if (w->luns[i].present)
            luns[count++] = (struct scsi_lun){.number = w->luns[i].number, .lu = w->luns[i].lu};
    target->map = (struct scsi_lun_map){count, luns};
}

static void config_keys(struct world *w, struct key_config *keys)
{
    static const uint32_t lengths[] = {262144, 8192, 65536, 1024};
    key_config_default(keys);
    keys->initial_r2t = w->seed >> 3 & 1;
    keys->immediate_data = w->seed >> 4 & 1;
    keys->max_outstanding_r2t = 1 + (uint32_t)(w->seed >> 5 & 3);
    keys->error_recovery_level = w->swarm.recovery_level;
    keys->max_connections = 4;
    keys->iscsi_protocol_level = w->swarm.level_7144 ? 2 : 1;
    keys->task_reporting = (struct key_choices){2, {(uint8_t)w->swarm.task_reporting}};
    keys->task_reporting.value[1] = KEY_TASK_REPORTING_RFC3720;
    keys->max_recv_data_segment_length = lengths[(w->seed / 3 + w->renegotiations) % 4];
}

static void config_target(struct world *w, uint32_t index, struct tgt_target *target)
{
    const struct env *env = &w->machine.env;
    uint32_t redirects = world_targets[index].redirect_count;
    snprintf(target->name, sizeof target->name, "%s", world_targets[index].name);
    target->index = index;
    config_luns(w, target);
    config_keys(w, &target->keys);
    if (w->swarm.chap)
        config_user(w, target);
    if (!redirects)
        return;
    target->redirects = env_alloc(env, redirects * sizeof *target->redirects);
    WORLD_CHECK(target->redirects);
    memcpy(target->redirects, world_targets[index].redirects, redirects * sizeof *target->redirects);
    target->redirect_count = redirects;
}

/* A snapshot of how things should be. What negotiation prefers stays the same over restarts: drawn from the
 * seed, not from the world's generator. */
static struct tgt_config *config_new(struct world *w)
{
    const struct env *env = &w->machine.env;
    struct tgt_config *config;
    WORLD_CHECK(tgt_config_new(env, &config) == 0);
    struct tgt_target *targets = env_alloc(env, WORLD_TARGETS * sizeof *targets);
    struct tgt_portal *portals = env_alloc(env, WORLD_PORTALS * sizeof *portals);
    WORLD_CHECK(targets && portals);
    for (uint32_t i = 0; i < WORLD_TARGETS; i++)
        config_target(w, i, &targets[i]);
    for (uint32_t i = 0; i < WORLD_PORTALS; i++)
        portals[i] = (struct tgt_portal){.listen = w->portals[i], .group = portal_groups[i]};
    config->targets = targets;
    config->target_count = WORLD_TARGETS;
    config->portals = portals;
    config->portal_count = WORLD_PORTALS;
    config->limits.stop_wait_ns = w->swarm.stop_wait_ns;
    config->limits.nop_interval_ns = w->swarm.target_nop_ns;
    config->limits.nop_timeout_ns = w->swarm.target_nop_ns;
    if (w->swarm.command_window)
        config->limits.command_window = w->swarm.command_window;
    return config;
}

/* Allocations for a new snapshot are the manager's: their failure is not what this is after. */
static void config_adopt(struct world *w)
{
    uint64_t fail_in = w->machine.fail_in;
    w->machine.fail_in = 0;
    struct tgt_config *config = config_new(w);
    for (uint32_t i = 0; i < w->swarm.reactors; i++)
        host_reactor_set_config(host_at(w->host, i), config);
    tgt_config_unref(w->config);
    w->config = config;
    w->adopting = true;
    w->machine.fail_in = fail_in;
}

static bool config_adopted(struct world *w)
{
    for (uint32_t i = 0; i < w->swarm.reactors; i++)
        if (!host_reactor_config_adopted(host_at(w->host, i)))
            return false;
    return true;
}

void target_new_config(struct world *w)
{
    if (w->target != TARGET_UP || w->adopting)
        return;
    coverage_add(COVER_CONFIG, 1);
    config_adopt(w);
}

void target_renegotiate(struct world *w)
{
    if (w->target != TARGET_UP || w->adopting)
        return;
    coverage_add(COVER_RENEGOTIATE, 1);
    w->renegotiations++;
    config_adopt(w);
}

void target_lun_toggle(struct world *w)
{
    struct world_lun *lun = &w->luns[w->swarm.luns - 1];
    if (w->target != TARGET_UP || w->adopting || w->dying_count)
        return;
    lun->settled = false;
    lun->present = !lun->present;
    world_say(w, "LUN %u is %s", lun->number, lun->present ? "added" : "removed");
    coverage_add(lun->present ? COVER_LUN_ADDED : COVER_LUN_REMOVED, 1);
    if (lun->present) {
        uint64_t fail_in = w->machine.fail_in;
        w->machine.fail_in = 0;
        lun_open(w, lun);
        w->machine.fail_in = fail_in;
    } else {
        w->dying[w->dying_count++] = lun->lu;
        lun->lu = NULL;
    }
    config_adopt(w);
}

void target_lun_grow(struct world *w)
{
    struct world_lun *lun = &w->luns[world_pick(w, w->swarm.luns)];
    uint64_t blocks = model_blocks(lun->model) + WORLD_GROW_BLOCKS;
    char why[256];
    if (w->target != TARGET_UP || !lun->lu || blocks > WORLD_GROWN_MAX)
        return;
    struct store *store = scsi_lu_store(lun->lu);
    WORLD_CHECK(store->ops->resize(store, w->ios[0], blocks * WORLD_BLOCK, why, sizeof why) == 0);
    WORLD_CHECK(model_grow(lun->model, blocks));
    coverage_add(COVER_LUN_GROWN, 1);
    uint64_t fail_in = w->machine.fail_in;
    w->machine.fail_in = 0; /* out of memory the old size would stay */
    WORLD_CHECK(host_reactor_lu_resized(host_at(w->host, 0), lun->lu) == 0);
    w->machine.fail_in = fail_in;
}

/* Some session; NULL: there is none. */
static struct host_reactor *some_session(struct world *w, uint64_t *id)
{
    struct tgt_session_info info;
    uint32_t first = (uint32_t)world_pick(w, w->swarm.reactors);
    if (w->target != TARGET_UP)
        return NULL;
    for (uint32_t i = 0; i < w->swarm.reactors; i++) {
        struct host_reactor *r = host_at(w->host, (first + i) % w->swarm.reactors);
        if (tgt_session_next(host_reactor_engine(r), 0, &info)) {
            *id = info.id;
            return r;
        }
    }
    return NULL;
}

bool target_session_drop(struct world *w)
{
    uint64_t id;
    struct host_reactor *r = some_session(w, &id);
    return r && host_reactor_session_drop(r, id);
}

bool target_notify(struct world *w)
{
    uint64_t id;
    struct host_reactor *r = some_session(w, &id);
    uint8_t code = (uint8_t)world_pick(w, 256);
    return r && host_reactor_session_notify(r, id, code, code % 2 ? "simulated news" : "");
}

/* ---- life and death ---- */

void target_boot(struct world *w)
{
    struct io_addr bound;
    machine_heap_init(&w->machine, sim_env(w->sim));
    for (uint32_t i = 0; i < w->swarm.reactors; i++)
        WORLD_CHECK(sim_io_new(w->sim, &w->ios[i]) == 0);
    for (uint32_t i = 0; i < w->swarm.luns; i++)
        if (w->luns[i].present)
            lun_open(w, &w->luns[i]);
    w->config = config_new(w);
    uint64_t memory = w->swarm.target_memory ? w->swarm.target_memory : TARGET_MEMORY;
    WORLD_CHECK(host_new(&w->machine.env, w->ios, w->swarm.reactors, memory, w->config, &w->host) == 0);
    for (uint32_t i = 0; i < w->swarm.reactors && w->swarm.tasks_max; i++)
        host_reactor_engine(host_at(w->host, i))->scsi.tasks_per_itl_max = w->swarm.tasks_max;
    for (uint32_t i = 0; i < WORLD_PORTALS; i++)
        WORLD_CHECK(host_reactor_listen(host_at(w->host, i % w->swarm.reactors), &w->portals[i],
                                        portal_groups[i], &bound, &w->listeners[i]) == 0);
    w->adopting = true; /* as it were: the next poll sees that all is settled */
    w->target = TARGET_UP;
    world_say(w, "the target is up");
}

static void target_is_off(struct world *w)
{
    w->target = TARGET_OFF;
    w->dying_count = 0;
    w->adopting = false;
    for (uint32_t i = 0; i < w->swarm.luns; i++) {
        w->luns[i].lu = NULL;
        w->luns[i].settled = false;
    }
    w->boot_at_ns = world_now(w) + 1 + world_pick(w, DOWN_NS);
}

static void count_engine(struct world *w)
{
    for (uint32_t i = 0; i < w->swarm.reactors; i++) {
        struct host_stats stats;
        host_reactor_stats(host_at(w->host, i), &stats);
        coverage_add(COVER_TARGET_TMF, stats.engine.tmfs);
        coverage_add(COVER_LOGIN_FAILED, stats.engine.logins_failed);
        coverage_add(COVER_REJECT, stats.engine.rejects);
        coverage_add(COVER_RECOVERY_R2T, stats.engine.recovery_r2ts);
        coverage_add_transitions(stats.transitions);
    }
}

uint64_t target_transition(const struct world *w, enum tgt_transition transition)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < w->swarm.reactors && w->target != TARGET_OFF; i++)
        count += host_reactor_engine(host_at(w->host, i))->transitions[transition];
    return count;
}

void target_die(struct world *w, enum target_death how)
{
    static const enum cover rows[] = {COVER_TARGET_CRASH, COVER_TARGET_POWER, COVER_TARGET_VANISH};
    if (w->target == TARGET_OFF)
        return;
    world_say(w, "the target dies (%d)", how);
    coverage_add(rows[how], 1);
    count_engine(w);
    sim_crash(w->sim, w->ios, w->swarm.reactors, how == DEATH_VANISH);
    w->alloc_failed |= w->machine.failed > 0;
    coverage_add(COVER_ALLOC_TARGET, w->machine.failed);
    machine_heap_drop(&w->machine);
    if (how == DEATH_POWER)
        sim_disk_crash(w->sim);
    for (uint32_t i = 0; i < w->swarm.luns; i++) {
        model_fence(w->luns[i].model, MODEL_EVERYBODY);
        if (how == DEATH_POWER)
            model_power_cut(w->luns[i].model);
    }
    target_is_off(w);
}

void target_stop(struct world *w)
{
    if (w->target != TARGET_UP)
        return;
    world_say(w, "the target is asked to stop");
    coverage_add(COVER_TARGET_STOP, w->faults_on);
    for (uint32_t i = 0; i < w->swarm.reactors; i++)
        host_reactor_stop(host_at(w->host, i), false);
    w->target = TARGET_STOPPING;
    w->hurry_at_ns = world_now(w) + HURRY_NS;
}

static bool target_idle(struct world *w)
{
    for (uint32_t i = 0; i < w->swarm.reactors; i++)
        if (!host_reactor_idle(host_at(w->host, i)))
            return false;
    return true;
}

/* A stopped target gives everything back: sockets, tasks, chunks, sessions, memory. */
static void target_free(struct world *w)
{
    count_engine(w);
    for (uint32_t i = 0; i < w->swarm.reactors; i++) {
        struct host_stats stats;
        host_reactor_stats(host_at(w->host, i), &stats);
        if (stats.memory_in_use || stats.sessions || stats.connections)
            world_problem(w, "a stopped reactor still has %llu bytes, %llu sessions, %llu connections",
                          (unsigned long long)stats.memory_in_use, (unsigned long long)stats.sessions,
                          (unsigned long long)stats.connections);
    }
    if (w->problem[0])
        return;
    host_free(w->host);
    tgt_config_unref(w->config);
    for (uint32_t i = 0; i < w->swarm.luns; i++)
        if (w->luns[i].lu)
            lu_close(w, w->luns[i].lu);
    for (uint32_t i = 0; i < w->dying_count; i++)
        lu_close(w, w->dying[i]);
    for (uint32_t i = 0; i < w->swarm.reactors; i++)
        io_free(w->ios[i]);
    w->alloc_failed |= w->machine.failed > 0;
    coverage_add(COVER_ALLOC_TARGET, w->machine.failed);
    uint64_t left = machine_heap_drop(&w->machine);
    if (left)
        world_problem(w, "the target has leaked %llu allocations", (unsigned long long)left);
    for (uint32_t i = 0; i < w->swarm.luns; i++)
        model_fence(w->luns[i].model, MODEL_EVERYBODY);
    target_is_off(w);
}

/* ---- what is under way ---- */

static void dying_poll(struct world *w)
{
    for (uint32_t i = 0; i < w->dying_count; i++) {
        bool gone = true;
        for (uint32_t k = 0; gone && k < w->swarm.reactors; k++)
            gone = host_reactor_lu_forget(host_at(w->host, k), w->dying[i]);
        if (!gone)
            return;
        lu_close(w, w->dying[i]);
        w->dying[i--] = w->dying[--w->dying_count];
    }
}

static void adopting_poll(struct world *w)
{
    if (!config_adopted(w))
        return;
    w->adopting = false;
    for (uint32_t i = 0; i < w->swarm.luns; i++) {
        struct world_lun *lun = &w->luns[i];
        if (!lun->settled && lun->present)
            lun->absent_until = ++w->clock;
        lun->settled = lun->present;
    }
}

void target_poll(struct world *w)
{
    if (w->target == TARGET_OFF && world_now(w) >= w->boot_at_ns)
        target_boot(w);
    if (w->target == TARGET_UP && w->adopting)
        adopting_poll(w);
    if (w->target == TARGET_UP && !w->adopting && w->dying_count)
        dying_poll(w);
    if (w->target != TARGET_STOPPING)
        return;
    if (world_now(w) >= w->hurry_at_ns) {
        w->hurry_at_ns = UINT64_MAX;
        for (uint32_t i = 0; i < w->swarm.reactors; i++)
            host_reactor_stop(host_at(w->host, i), true);
    }
    if (target_idle(w))
        target_free(w);
}

bool target_settled(const struct world *w)
{
    return w->target == TARGET_UP && !w->adopting && !w->dying_count;
}

static bool target_is_stopped(void *arg)
{
    struct world *w = arg;
    return w->target == TARGET_OFF;
}

void target_end(struct world *w)
{
    if (w->target == TARGET_UP) {
        target_stop(w);
        w->hurry_at_ns = world_now(w);
    }
    if (!world_run(w, target_is_stopped, w, 60 * SECOND_NS))
        world_problem(w, "the target does not stop");
}
