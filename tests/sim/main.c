/* Deterministic simulation of login, I/O and cut connections; a failing run is one number, its seed.
 *
 * Goal: whatever the network does, every command ends once, GOOD, with the right bytes; when the faults stop
 * everything completes in bounded virtual time; everything is given back; the same seed gives the same run.
 * Method: per seed one target (one or two logical reactors, memory or file store) and one to four initiators
 * with drawn options and faults.
 *
 *   lunette-sim [--seed N] [--seeds N] [--verbose]     default: --seeds 200, from seed 1 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"
#include "tests/unit/proves.h"

#define SECOND_NS 1000000000ull

struct run {
    struct world world;
    struct client *clients[WORLD_CLIENTS_MAX];
    uint32_t count;
};

struct outcome {
    uint64_t hash, reconnects, virtual_ns;
    bool with_cuts;
    char problem[320];
};

static bool run_all_idle(void *arg)
{
    struct run *run = arg;
    for (uint32_t i = 0; i < run->count; i++)
        if (!client_idle(run->clients[i]))
            return false;
    return true;
}

static bool run_all_closed(void *arg)
{
    struct run *run = arg;
    for (uint32_t i = 0; i < run->count; i++)
        if (!client_closed(run->clients[i]))
            return false;
    return true;
}

/* Each fault is on or off by the seed (swarm): runs with few faults reach other states than runs with all. */
static void run_faults(struct world *w, struct sim_options *faults)
{
    *faults = (struct sim_options){0};
    if (world_pick(w, 2))
        faults->split = 1 + (uint32_t)world_pick(w, 900);
    if (world_pick(w, 2))
        faults->net_delay_ns = 1 + world_pick(w, 20000000);
    if (world_pick(w, 2))
        faults->disk_delay_ns = 1 + world_pick(w, 50000000);
    if (world_pick(w, 2))
        faults->cut = 1 + (uint32_t)world_pick(w, 6);
    if (world_pick(w, 2))
        faults->post_delay_ns = 1 + world_pick(w, 5000000);
}

static const char *run_problem(const struct run *run)
{
    for (uint32_t i = 0; i < run->count; i++)
        if (client_problem(run->clients[i]))
            return client_problem(run->clients[i]);
    return NULL;
}

/* Runs to the named point; false with a problem noted. */
static bool run_until(struct run *run, bool (*done)(void *), const char *what, struct outcome *out)
{
    bool reached = world_run(&run->world, done, run, 600 * SECOND_NS);
    const char *problem = run_problem(run);
    if (problem)
        snprintf(out->problem, sizeof out->problem, "%s: %s", what, problem);
    else if (!reached)
        snprintf(out->problem, sizeof out->problem, "%s: not done after 600 virtual seconds", what);
    return !out->problem[0];
}

static void run_phases(struct run *run, struct outcome *out)
{
    struct world *w = &run->world;
    struct sim_options faults;
    run_faults(w, &faults);
    out->with_cuts = faults.cut != 0;
    run->count = 1 + (uint32_t)world_pick(w, WORLD_CLIENTS_MAX);
    for (uint32_t i = 0; i < run->count; i++)
        run->clients[i] = client_new(w, i, run->count, 20 + (uint32_t)world_pick(w, 60));
    sim_world_set_options(w->sim, &faults);
    for (uint32_t i = 0; i < run->count; i++)
        client_start(run->clients[i]);
    /* Safety under faults for a while, then they stop and all must end. */
    world_run(w, run_all_idle, run, 20 * SECOND_NS);
    sim_world_set_options(w->sim, &(struct sim_options){0});
    if (!run_until(run, run_all_idle, "after the faults stopped", out))
        return;
    for (uint32_t i = 0; i < run->count; i++)
        client_check_all(run->clients[i]);
    if (!run_until(run, run_all_idle, "final check", out))
        return;
    for (uint32_t i = 0; i < run->count; i++) {
        out->reconnects += client_reconnects(run->clients[i]);
        client_close(run->clients[i]);
    }
    run_until(run, run_all_closed, "logout", out);
}

static struct outcome run_seed(uint64_t seed)
{
    struct run *run = calloc(1, sizeof *run);
    struct outcome out = {0};
    if (!run)
        abort();
    world_init(&run->world, seed);
    run_phases(run, &out);
    out.hash = sim_trace_hash(run->world.sim);
    out.virtual_ns = sim_now(run->world.sim);
    if (!out.problem[0]) { /* after a problem things are still in flight: the process ends anyway */
        for (uint32_t i = 0; i < run->count; i++)
            client_free(run->clients[i]);
        world_fini(&run->world);
        free(run);
    }
    return out;
}

static uint64_t run_number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 0);
    if (!*text || *end) {
        fprintf(stderr, "lunette-sim: %s is not a number\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, seeds = 200, reconnects = 0, cut_seeds = 0;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            first = run_number(argv[++i]);
            seeds = 1;
            verbose = true;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            seeds = run_number(argv[++i]);
        } else if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else {
            fprintf(stderr, "usage: lunette-sim [--seed N] [--seeds N] [--verbose]\n");
            return 2;
        }
    }
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct outcome out = run_seed(seed);
        if (verbose || out.problem[0])
            printf("seed %" PRIu64 ": hash %016" PRIx64 ", %" PRIu64 " reconnects, %.3f virtual s%s%s\n",
                   seed, out.hash, out.reconnects, (double)out.virtual_ns / 1e9, out.problem[0] ? ": " : "",
                   out.problem);
        if (out.problem[0]) {
            printf("%" PRIu64 " passed, 1 failed\nreplay: make sim SEED=%" PRIu64 "\n", seed - first, seed);
            return 1;
        }
        /* The same seed again gives the same run; every tenth, to keep the set large. */
        if (seed % 10 == 1) {
            struct outcome again = run_seed(seed);
            if (again.hash != out.hash || again.virtual_ns != out.virtual_ns) {
                printf("seed %" PRIu64 ": two runs differ\n%" PRIu64 " passed, 1 failed\n", seed,
                       seed - first);
                return 1;
            }
        }
        reconnects += out.reconnects;
        cut_seeds += out.with_cuts;
    }
    /* A set that never cut a connection would prove nothing. */
    if (seeds >= 100 && (cut_seeds == 0 || reconnects == 0)) {
        printf("no connection was cut in %" PRIu64 " seeds\n0 passed, 1 failed\n", seeds);
        return 1;
    }
    printf("%" PRIu64 " seeds with cuts, %" PRIu64 " reconnects\n", cut_seeds, reconnects);
    if (seeds >= 100) {
        PROVES("R7143-7.15-03", "target");
        PROVES("R7143-6.3.5-02", "target");
    }
    printf("%" PRIu64 " passed, 0 failed\n", seeds);
    return 0;
}
