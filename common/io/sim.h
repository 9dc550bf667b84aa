/* The deterministic backend: one `sim_world` holds virtual time, the network and the disk; each logical
 * reactor (of the target and of each initiator) is a `struct io` made from it. One thread. A seed decides
 * everything: who runs next, how long each operation takes, how bytes are split. Same seed, same run, same
 * trace hash. */
#ifndef LUNETTE_IO_SIM_H
#define LUNETTE_IO_SIM_H

#include "common/io/io.h"

struct sim_world;

struct sim_options {        /* probabilities in 1/1000 per opportunity; 0 is never */
    uint32_t split;         /* a receive or send is cut short at a random byte */
    uint64_t net_delay_ns;  /* largest delivery delay */
    uint64_t disk_delay_ns; /* largest completion delay; completions may overtake one another */
    uint32_t cut;           /* a connection is reset at a random byte */
    uint32_t disk_error;    /* a file operation fails with ERR_IO */
    uint64_t post_delay_ns; /* largest delay of a cross-reactor post */
};

int sim_world_new(const struct env *heap, uint64_t seed, const struct sim_options *options,
                  struct sim_world **out);
/* Its ios have been io_free'd; sockets and files that are still open are dropped. NULL is fine. */
void sim_world_free(struct sim_world *world);
/* Faults can change while running (heal phase). */
void sim_world_set_options(struct sim_world *world, const struct sim_options *options);
/* A reactor's io in this world (at most 256 over its life). io_run on it, from outside any turn, drives the
 * whole world until this io has had a turn or virtual time has reached `until_ns`; so code that waits in
 * io_run works unchanged. */
int sim_io_new(struct sim_world *world, struct io **out);
/* An env whose clock and random bytes are the world's; heap and hash are those given to sim_world_new. */
const struct env *sim_env(struct sim_world *world);
/* Lets one reactor that has something due run one turn, or advances virtual time to the next thing due.
 * False when nothing is due ever: everything waits (a deadlock, or all done). */
bool sim_step(struct sim_world *world);
uint64_t sim_now(const struct sim_world *world);
uint64_t sim_random(struct sim_world *world); /* the world's generator, for the test's own choices */
uint64_t sim_trace_hash(const struct sim_world *world);
void sim_trace_note(struct sim_world *world, const void *bytes, size_t len); /* mixes into the hash */
/* Resets every open connection now (both ends see ERR_RESET); returns how many. */
int sim_cut_all(struct sim_world *world);

#endif
