#include "tests/sim/coverage.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/io/sim.h"
#include "target/iscsi/states.h"

static const char *names[COVERAGE_ROWS_MAX];
static uint64_t counts[COVERAGE_ROWS_MAX];
static uint32_t rows;

uint32_t coverage_declare(const char *name)
{
    assert(rows < COVERAGE_ROWS_MAX);
    names[rows] = name;
    return rows++;
}

void coverage_init(void)
{
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        coverage_declare(sim_fault_name((enum sim_fault)i));
#define X(name, text) coverage_declare(text);
    COVER_LIST(X)
#undef X
    for (int i = 0; i < TGT_TRANSITION_COUNT; i++) {
        static char text[TGT_TRANSITION_COUNT][40];
        snprintf(text[i], sizeof text[i], "target: RFC 7143 chapter 8, %s",
                 tgt_transition_name((enum tgt_transition)i));
        coverage_declare(text[i]);
    }
}

void coverage_add_transitions(const uint64_t *target)
{
    for (int i = 0; i < TGT_TRANSITION_COUNT; i++)
        counts[SIM_FAULT_COUNT + COVER_COUNT + i] += target[i];
}

void coverage_add_row(uint32_t row, uint64_t count)
{
    counts[row] += count;
}

void coverage_add(enum cover row, uint64_t count)
{
    counts[SIM_FAULT_COUNT + (uint32_t)row] += count;
}

void coverage_add_world(const struct sim_world *sim)
{
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        counts[i] += sim_fault_count(sim, (enum sim_fault)i);
}

uint32_t coverage_rows(void)
{
    return rows;
}

const uint64_t *coverage_counts(void)
{
    return counts;
}

void coverage_merge(const uint64_t *other)
{
    for (uint32_t i = 0; i < rows; i++)
        counts[i] += other[i];
}

/* Transitions that no run takes yet: a logout request that is repeated, and a connection that is lost while
 * it logs out (runs log out when the faults are over). tests/unit/test_target_states.c takes both. */
static bool excused(uint32_t row)
{
    uint32_t first = SIM_FAULT_COUNT + COVER_COUNT;
    return row == first + TGT_T12 || row == first + TGT_T17;
}

uint32_t coverage_print(void)
{
    uint32_t zero = 0;
    for (uint32_t i = 0; i < rows; i++) {
        const char *mark = counts[i] ? "" : excused(i) ? "   (shown by a unit test)" : "   <-- never";
        printf("%12" PRIu64 "  %s%s\n", counts[i], names[i], mark);
        zero += counts[i] == 0 && !excused(i);
    }
    return zero;
}
