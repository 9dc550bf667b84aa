/* Deterministic simulation of the whole target service and up to eight initiators; a failing run is one
 * number, its seed.
 *
 * Goal: whatever networks, disks, machines and administrators do, every command ends once, with a status that
 * the model allows and the right bytes; when the faults stop, everything completes in bounded virtual time
 * and everything is given back; the same seed gives the same run. Method: per seed one world with drawn
 * options and faults (docs/simulator.md); a directed scenario for each bug. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/set.h"
#include "tests/sim/world.h"
#include "tests/unit/proves.h"

#define SEEDS_DEFAULT 300u
#define SEEDS_TABLE   3000u /* from here on every row of the coverage table must have happened */
#define SEEDS_FOREVER 1000u /* of one round */
#define MUTANT_SEEDS  2000u

static const char usage[] =
    "usage: lunette-sim [--seed N | --seeds N [--from N] | --forever] [--jobs N] [--verbose]\n"
    "       lunette-sim --scenario NAME | --scenarios | --list\n"
    "       lunette-sim --mutant NAME [--seed N | --seeds N] | --mutants [--seeds N]\n";

struct arguments {
    uint64_t seed, seeds, from;
    uint32_t jobs;
    bool one, forever, verbose, scenarios, list, mutants;
    const char *scenario, *mutant;
};

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 0);
    if (!*text || *end) {
        fprintf(stderr, "lunette-sim: %s is not a number\n", text);
        exit(2);
    }
    return value;
}

static bool flag(struct arguments *a, const char *name)
{
    struct {
        const char *name;
        bool *value;
    } flags[] = {{"--forever", &a->forever},
                 {"--verbose", &a->verbose},
                 {"--scenarios", &a->scenarios},
                 {"--list", &a->list},
                 {"--mutants", &a->mutants}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(name, flags[i].name) == 0)
            return *flags[i].value = true;
    return false;
}

static bool option(struct arguments *a, const char *name, const char *value)
{
    if (!value)
        return false;
    if (strcmp(name, "--seed") == 0) {
        a->seed = number(value);
        a->one = true;
    } else if (strcmp(name, "--seeds") == 0) {
        a->seeds = number(value);
    } else if (strcmp(name, "--from") == 0) {
        a->from = number(value);
    } else if (strcmp(name, "--jobs") == 0) {
        a->jobs = (uint32_t)number(value);
    } else if (strcmp(name, "--scenario") == 0) {
        a->scenario = value;
    } else if (strcmp(name, "--mutant") == 0) {
        a->mutant = value;
    } else {
        return false;
    }
    return true;
}

static void parse(struct arguments *a, int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *a = (struct arguments){.from = 1, .jobs = cores > 0 && cores <= 64 ? (uint32_t)cores : 1};
    for (int i = 1; i < argc; i++) {
        if (flag(a, argv[i]))
            continue;
        if (!option(a, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) {
            fputs(usage, stderr);
            exit(2);
        }
        i++;
    }
    if (a->jobs == 0 || a->jobs > 64)
        a->jobs = 1;
}

/* ---- one seed ---- */

static bool one_seed(void *arg)
{
    const struct arguments *a = arg;
    struct outcome out;
    run_seed(a->seed, a->verbose, &out);
    printf("seed %" PRIu64 ": hash %016" PRIx64 ", %" PRIu64 " reconnects, %.3f virtual s%s%s\n", a->seed,
           out.hash, out.reconnects, (double)out.virtual_ns / 1e9, out.problem[0] ? ": " : "", out.problem);
    return !out.problem[0];
}

/* ---- a set ---- */

static bool set_print(const struct set *set, const struct set_result *result)
{
    if (result->failed) {
        printf("seed %" PRIu64 ": %s\n%" PRIu64 " passed, 1 failed\nreplay: make sim SEED=%" PRIu64 "\n",
               result->failed_seed, result->problem, result->passed, result->failed_seed);
        return false;
    }
    uint32_t never = coverage_print();
    printf("%" PRIu64 " seeds from %" PRIu64 ", combined hash %016" PRIx64 ", %" PRIu64
           " reconnects, %.0f virtual s\n",
           set->seeds, set->first, result->hash, result->reconnects, (double)result->virtual_ns / 1e9);
    if (never && set->seeds >= SEEDS_TABLE) {
        printf("%" PRIu32 " rows of the coverage table never happened\n%" PRIu64 " passed, 1 failed\n", never,
               result->passed);
        return false;
    }
    return true;
}

static void set_proves(void)
{
    PROVES("R7143-7.15-03", "target");
    PROVES("R7143-6.3.5-02", "target");
}

static int run_set(const struct arguments *a)
{
    struct set set = {a->from, a->seeds ? a->seeds : SEEDS_DEFAULT, a->jobs, a->verbose, true};
    struct set_result result;
    uint32_t scenarios = 0, failed = 0;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (!a->mutant)
        failed = scenarios_run(NULL, false, &scenarios);
    set_run(&set, &result);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (!set_print(&set, &result))
        return 1;
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%.0f seeds/s\n", (double)result.passed / seconds);
    if (!failed && set.seeds >= 100)
        set_proves();
    printf("%" PRIu64 " passed, %" PRIu32 " failed\n", result.passed + scenarios, failed);
    return failed ? 1 : 0;
}

/* Fresh seeds until one fails. The clock chooses only where to begin, and the seed is printed. */
static int run_forever(const struct arguments *a)
{
    struct set set = {(uint64_t)time(NULL) * 1000, SEEDS_FOREVER, a->jobs, false, true};
    struct set_result result;
    for (uint64_t done = 0;; set.first += set.seeds) {
        set_run(&set, &result);
        if (result.failed) {
            set_print(&set, &result);
            return 1;
        }
        done += result.passed;
        printf("%" PRIu64 " seeds passed, the last %" PRIu64 "\n", done, set.first + set.seeds - 1);
        fflush(stdout);
    }
}

static int run_mutants(const struct arguments *a)
{
    if (!mutants_built()) {
        fprintf(stderr,
                "lunette-sim: this build has no mutants: make VARIANT=mutants, or make sim-mutants\n");
        return 2;
    }
    uint32_t survivors = mutants_run(a->seeds ? a->seeds : MUTANT_SEEDS, a->jobs, a->mutant);
    printf("%d passed, %" PRIu32 " failed\n", (a->mutant ? 1 : MUTANT_COUNT - 1) - (int)survivors, survivors);
    return survivors ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct arguments a;
    uint32_t passed = 0;
    parse(&a, argc, argv);
    coverage_init();
    if (a.list) {
        scenarios_list();
        mutant_list();
        return 0;
    }
    if (a.mutants)
        return run_mutants(&a);
    if (a.mutant && !mutant_switch(a.mutant)) {
        fprintf(stderr, "lunette-sim: no mutant %s in this build\n", a.mutant);
        return 2;
    }
    if (a.scenario || a.scenarios) {
        uint32_t failed = scenarios_run(a.scenario, a.verbose, &passed);
        printf("%" PRIu32 " passed, %" PRIu32 " failed\n", passed, failed);
        return failed || !passed ? 1 : 0;
    }
    if (a.one) {
        bool good = set_apart(one_seed, &a, 600);
        printf("%d passed, %d failed\n", good, !good);
        return good ? 0 : 1;
    }
    return a.forever ? run_forever(&a) : run_set(&a);
}
