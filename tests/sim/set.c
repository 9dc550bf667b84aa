#include "tests/sim/set.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/world.h"

#define JOBS_MAX     64u
#define SEED_SECONDS 120u /* one seed may take that long, even under a sanitizer */

/* What a process tells the one that started it; in memory that they share, so that it survives an abort. */
struct report {
    uint64_t current; /* seed under way */
    uint64_t passed, reconnects, virtual_ns, hash;
    bool failed, over;
    char problem[400];
    uint64_t coverage[COVERAGE_ROWS_MAX];
};

struct shared {
    atomic_bool stop;
    struct report reports[JOBS_MAX];
};

static uint64_t stir(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* ---- in the child ---- */

static bool seed_run(const struct set *set, uint64_t seed, struct report *report)
{
    struct outcome out, again;
    report->current = seed;
    alarm(SEED_SECONDS);
    run_seed(seed, false, &out);
    if (!out.problem[0] && set->repeat && seed % 10 == 1) {
        run_seed(seed, false, &again);
        if (again.hash != out.hash || again.virtual_ns != out.virtual_ns)
            snprintf(out.problem, sizeof out.problem, "two runs of this seed differ");
    }
    if (set->verbose)
        printf("seed %" PRIu64 ": hash %016" PRIx64 ", %" PRIu64 " reconnects, %.3f virtual s%s%s\n", seed,
               out.hash, out.reconnects, (double)out.virtual_ns / 1e9, out.problem[0] ? ": " : "",
               out.problem);
    memcpy(report->problem, out.problem, sizeof report->problem);
    report->reconnects += out.reconnects;
    report->virtual_ns += out.virtual_ns;
    report->hash += stir(out.hash ^ seed);
    return !out.problem[0];
}

static void child_run(const struct set *set, uint32_t job, struct shared *shared)
{
    struct report *report = &shared->reports[job];
    coverage_clear();
    for (uint64_t i = job; i < set->seeds && !atomic_load(&shared->stop); i += set->jobs) {
        if (!seed_run(set, set->first + i, report)) {
            report->failed = true;
            atomic_store(&shared->stop, true);
            break;
        }
        report->passed++;
    }
    memcpy(report->coverage, coverage_counts(), coverage_rows() * sizeof report->coverage[0]);
    report->over = true;
    fflush(stdout);
    _exit(0);
}

/* ---- in the parent ---- */

static void report_take(struct report *report, int status, struct set_result *out)
{
    out->passed += report->passed;
    out->reconnects += report->reconnects;
    out->virtual_ns += report->virtual_ns;
    out->hash += report->hash;
    coverage_merge(report->coverage);
    if (!report->over) {
        report->failed = true;
        snprintf(report->problem, sizeof report->problem, "the process died: %s",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a sanitizer's finding");
    }
    if (!report->failed || (out->failed && out->failed_seed < report->current))
        return;
    out->failed = true;
    out->failed_seed = report->current;
    memcpy(out->problem, report->problem, sizeof out->problem);
}

void set_run(const struct set *set, struct set_result *out)
{
    pid_t pids[JOBS_MAX];
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    WORLD_CHECK(shared != MAP_FAILED && set->jobs > 0 && set->jobs <= JOBS_MAX);
    *out = (struct set_result){0};
    fflush(stdout);
    for (uint32_t i = 0; i < set->jobs; i++) {
        pids[i] = fork();
        WORLD_CHECK(pids[i] >= 0);
        if (pids[i] == 0)
            child_run(set, i, shared);
    }
    for (uint32_t i = 0; i < set->jobs; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        if (!shared->reports[i].over)
            atomic_store(&shared->stop, true);
        report_take(&shared->reports[i], status, out);
    }
    munmap(shared, sizeof *shared);
}

bool set_apart(bool (*fn)(void *arg), void *arg, unsigned seconds)
{
    int status = 0;
    size_t room = COVERAGE_ROWS_MAX * sizeof(uint64_t);
    uint64_t *coverage = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    WORLD_CHECK(coverage != MAP_FAILED);
    fflush(stdout);
    pid_t pid = fork();
    WORLD_CHECK(pid >= 0);
    if (pid == 0) {
        alarm(seconds);
        coverage_clear();
        bool good = fn(arg);
        memcpy(coverage, coverage_counts(), coverage_rows() * sizeof coverage[0]);
        fflush(stdout);
        _exit(good ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    coverage_merge(coverage);
    munmap(coverage, room);
    if (WIFSIGNALED(status))
        printf("the process died: %s\n", strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
