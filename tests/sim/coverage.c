#include "tests/sim/coverage.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/io/sim.h"

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

uint32_t coverage_print(void)
{
    uint32_t zero = 0;
    for (uint32_t i = 0; i < rows; i++) {
        printf("%12" PRIu64 "  %s%s\n", counts[i], names[i], counts[i] ? "" : "   <-- never");
        zero += counts[i] == 0;
    }
    return zero;
}
