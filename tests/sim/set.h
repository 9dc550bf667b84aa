/* Sets of runs, in processes of their own: a run that asserts is a failed seed, not the end of the set. */
#ifndef LUNETTE_TESTS_SIM_SET_H
#define LUNETTE_TESTS_SIM_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/mutant.h"

struct set {
    uint64_t first, seeds;
    uint32_t jobs; /* processes */
    bool verbose;  /* one line per seed */
    bool repeat;   /* every tenth seed twice: the trace hash must be the same */
};

struct set_result {
    uint64_t passed, reconnects, virtual_ns;
    uint64_t hash; /* of all runs, whatever their order */
    bool failed;
    uint64_t failed_seed;
    char problem[400];
};

/* Coverage of all processes is added to this one's. */
void set_run(const struct set *set, struct set_result *out);
/* Runs fn(arg) in a process of its own, whose coverage is added to this one's; false: it said false, died or
 * did not end in `seconds`. */
bool set_apart(bool (*fn)(void *arg), void *arg, unsigned seconds);

/* ---- mutants.c ---- */
/* False: this build has none. */
bool mutants_built(void);
bool mutant_switch(const char *name);
void mutant_list(void);
/* Each mutant until it is caught, at most `seeds` seeds; how many were not. */
uint32_t mutants_run(uint64_t seeds, uint32_t jobs, const char *only);

#endif
