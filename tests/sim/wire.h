/* Follows the PDUs on every connection of the simulated network, knows from the login which digests protect
 * them, and flips bits only where one does. */
#ifndef LUNETTE_TESTS_SIM_WIRE_H
#define LUNETTE_TESTS_SIM_WIRE_H

#include "common/io/sim.h"
#include "common/base/list.h"

struct wire {
    struct sim_wire hook;
    struct sim_world *sim; /* borrowed */
    struct list_node conns;
    uint32_t flip_header, flip_data; /* probability in 1/1000 per PDU; 0: never */
    uint64_t flipped_headers, flipped_data;
    const struct env *env; /* borrowed */
};

void wire_init(struct wire *wire, struct sim_world *sim, const struct env *env);
void wire_fini(struct wire *wire);

#endif
