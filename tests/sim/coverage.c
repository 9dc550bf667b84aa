#include "tests/sim/coverage.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/io/sim.h"
#include "initiator/iscsi/states.h"
#include "target/iscsi/states.h"
#include "tests/sim/wire.h"

static const char *names[COVERAGE_ROWS_MAX];
static uint64_t counts[COVERAGE_ROWS_MAX];
static uint32_t rows;

uint32_t coverage_declare(const char *name)
{
    assert(rows < COVERAGE_ROWS_MAX);
    names[rows] = name;
    return rows++;
}

/* The table's parts after the simulator's own rows. */
enum {
    TARGET_AT = SIM_FAULT_COUNT + COVER_COUNT,
    INITIATOR_AT = TARGET_AT + TGT_TRANSITION_COUNT,
    INITIATOR_COUNT = INI_CONN_TRANSITIONS + INI_CLEANUP_TRANSITIONS + INI_SESSION_TRANSITIONS,
    FACTS_AT = INITIATOR_AT + INITIATOR_COUNT
};

static void declare_transition(const char *who, const char *name)
{
    static char text[TGT_TRANSITION_COUNT + INITIATOR_COUNT][48];
    static uint32_t used;
    snprintf(text[used], sizeof text[used], "%s: RFC 7143 chapter 8, %s", who, name);
    coverage_declare(text[used++]);
}

static void declare_initiator(const struct ini_transition *table, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        declare_transition("initiator", table[i].name);
}

void coverage_init(void)
{
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        coverage_declare(sim_fault_name((enum sim_fault)i));
#define X(name, text) coverage_declare(text);
    COVER_LIST(X)
#undef X
    for (int i = 0; i < TGT_TRANSITION_COUNT; i++)
        declare_transition("target", tgt_transition_name((enum tgt_transition)i));
    declare_initiator(ini_conn_table, INI_CONN_TRANSITIONS);
    declare_initiator(ini_cleanup_table, INI_CLEANUP_TRANSITIONS);
    declare_initiator(ini_session_table, INI_SESSION_TRANSITIONS);
    for (uint32_t i = 0; i < WIRE_FACT_COUNT; i++)
        coverage_declare(wire_fact_name(i));
}

static void add(uint32_t first, const uint64_t *more, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        counts[first + i] += more[i];
}

void coverage_add_transitions(const uint64_t *target)
{
    add(TARGET_AT, target, TGT_TRANSITION_COUNT);
}

void coverage_add_initiator(const struct ini_transitions *initiator)
{
    add(INITIATOR_AT, initiator->conn, INI_CONN_TRANSITIONS);
    add(INITIATOR_AT + INI_CONN_TRANSITIONS, initiator->cleanup, INI_CLEANUP_TRANSITIONS);
    add(INITIATOR_AT + INI_CONN_TRANSITIONS + INI_CLEANUP_TRANSITIONS, initiator->session,
        INI_SESSION_TRANSITIONS);
}

void coverage_add_facts(const uint64_t *facts)
{
    add(FACTS_AT, facts, WIRE_FACT_COUNT);
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

void coverage_clear(void)
{
    memset(counts, 0, sizeof counts);
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
