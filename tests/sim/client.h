/* The inside of one initiator: client.c (its machine and sessions), client_io.c (its commands) and
 * client_people.c (what its user does). */
#ifndef LUNETTE_TESTS_SIM_CLIENT_H
#define LUNETTE_TESTS_SIM_CLIENT_H

#include "tests/sim/world.h"

#define CLIENT_DEPTH_MAX  8u
#define CLIENT_UNIT_MAX   1024u /* blocks of one command */
#define CLIENT_CHECK_UNIT 192u  /* of one reading of the final check */

struct slot {
    struct lnt_command command;
    struct client *client;
    struct io_vec places[3]; /* of the buffer, in a row */
    uint32_t place_count;
    uint8_t *buffer; /* the unit, but at least CLIENT_CHECK_UNIT blocks */
    uint8_t cdb[16];
    enum client_verb verb;
    struct world_lun *lun;
    uint64_t lba, begun;
    uint32_t blocks;
    struct model_op *op; /* while busy */
    struct model_stamp stamp;
    bool busy;
};

struct client {
    struct world *world;
    uint32_t index;
    struct io *io; /* NULL while the machine is down */
    struct machine_heap machine;
    struct lnt_client *lnt;
    bool opening, opened, closed;
    uint64_t start_at_ns, reopen_at_ns; /* 0: not planned */
    uint64_t reconnects, reconnects_before;
    uint32_t left, in_flight;
    bool checking;
    uint32_t check_lun;
    uint64_t check_lba;
    uint64_t sequence;
    struct slot slots[CLIENT_DEPTH_MAX];
};

/* Issues what there is to issue, as long as there is room. */
void client_go_on(struct client *c);

#endif
