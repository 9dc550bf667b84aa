/* One simulated run: a target host on one or two logical reactors and up to four initiators, in one thread
 * and virtual time. Everything comes from the seed. */
#ifndef LUNETTE_TESTS_SIM_WORLD_H
#define LUNETTE_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/io/sim.h"
#include "initiator/lib/lunette.h"
#include "target/service/host.h"

#define WORLD_CLIENTS_MAX  4u
#define WORLD_REACTORS_MAX 2u
#define WORLD_IQN          "iqn.2026-01.org.lunette:sim"
#define WORLD_LUN_BYTES    (4u * 1024u * 1024u)

struct world { /* the target's side */
    uint64_t seed;
    struct env heap; /* counts what is allocated and not freed */
    int64_t blocks_live;
    struct sim_world *sim;
    struct sim_options faults;
    uint32_t reactors;
    struct io *ios[WORLD_REACTORS_MAX];
    struct host *host;
    struct host_listener *listener;
    struct io_addr portal;
    struct tgt_config *config;
    struct scsi_lu *lu;
    bool chap, file_store;
};

/* What the seed chose for one initiator, and how it went. */
struct client;

void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);                     /* asserts that everything was given back */
uint64_t world_pick(struct world *w, uint64_t below); /* the seed's next choice */
/* Runs until `done(arg)` or virtual time runs out; false: it ran out or nothing can happen any more. */
bool world_run(struct world *w, bool (*done)(void *arg), void *arg, uint64_t limit_ns);

/* An initiator with its own region of the LUN. */
struct client *client_new(struct world *w, uint32_t index, uint32_t clients, uint32_t commands);
void client_start(struct client *c);
bool client_idle(const struct client *c); /* opened, all commands ended */
/* Reads the whole region back and compares; then client_idle again. */
void client_check_all(struct client *c);
void client_close(struct client *c);
bool client_closed(const struct client *c);
void client_free(struct client *c);
/* NULL, or what went wrong in words. */
const char *client_problem(const struct client *c);
uint64_t client_reconnects(const struct client *c);

#endif
