/* Deliberate defects (common/base/mutant.h): each must be caught by the simulator. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/set.h"

#ifdef LUNETTE_MUTANTS

static const struct {
    const char *name, *text;
} mutants[] = {{"none", "nothing is wrong"},
#define X(name, text) {#name, text},
               MUTANT_LIST(X)
#undef X
};

bool mutants_built(void)
{
    return true;
}

bool mutant_switch(const char *name)
{
    for (int i = 0; i < MUTANT_COUNT; i++) {
        if (strcmp(mutants[i].name, name) == 0) {
            mutant_on = (enum mutant)i;
            return true;
        }
    }
    return false;
}

void mutant_list(void)
{
    for (int i = 1; i < MUTANT_COUNT; i++)
        printf("%-24s %s\n", mutants[i].name, mutants[i].text);
}

uint32_t mutants_run(uint64_t seeds, uint32_t jobs, const char *only)
{
    uint32_t survivors = 0;
    for (int i = 1; i < MUTANT_COUNT; i++) {
        struct set set = {.first = 1, .seeds = seeds, .jobs = jobs};
        struct set_result result;
        if (only && strcmp(mutants[i].name, only) != 0)
            continue;
        mutant_on = (enum mutant)i;
        set_run(&set, &result);
        mutant_on = MUTANT_NONE;
        survivors += !result.failed;
        if (result.failed)
            printf("caught    %-24s seed %5" PRIu64 "  %s\n", mutants[i].name, result.failed_seed,
                   result.problem);
        else
            printf("SURVIVED  %-24s %" PRIu64 " seeds  (%s)\n", mutants[i].name, seeds, mutants[i].text);
        fflush(stdout);
    }
    return survivors;
}

#else

bool mutants_built(void)
{
    return false;
}

bool mutant_switch(const char *name)
{
    (void)name;
    return false;
}

void mutant_list(void) {}

uint32_t mutants_run(uint64_t seeds, uint32_t jobs, const char *only)
{
    (void)seeds;
    (void)jobs;
    (void)only;
    return 0;
}
#endif
