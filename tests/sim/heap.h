/* The memory of one simulated machine: every allocation is known, so that a crash frees all of it, a leak is
 * counted, and the nth allocation can fail. */
#ifndef LUNETTE_TESTS_SIM_HEAP_H
#define LUNETTE_TESTS_SIM_HEAP_H

#include <stdint.h>

#include "common/base/env.h"
#include "common/base/list.h"

struct machine_heap {
    struct env env;          /* what the machine's programs are given */
    const struct env *under; /* borrowed: clock, random bytes, digests, and the real heap */
    struct list_node blocks;
    uint64_t live;    /* allocations not freed */
    uint64_t fail_in; /* the nth allocation from now fails; 0: none */
    uint64_t failed;
};

void machine_heap_init(struct machine_heap *heap, const struct env *under);
/* Frees what is left; returns how many allocations that were. */
uint64_t machine_heap_drop(struct machine_heap *heap);

#endif
