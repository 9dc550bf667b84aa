/* One simulated run: a target machine on one to four logical reactors, up to eight initiators, a network and
 * disks, in one thread and virtual time. Everything comes from the seed.
 *
 *   swarm.c   which options and faults this seed has        world.c    the world and its clock
 *   target.c  the target machine: boot, crash, stop, LUNs   client.c   one initiator and its commands
 *   chaos.c   what happens to machines while it runs        run.c      the phases of a run
 *   client_people.c  what its user does meanwhile           visitor.c  discovery, and targets that have moved
 *   model.c   what a disk may hold                          wire.c     bit flips where digests protect
 *   watch.c   the referee, when it is there */
#ifndef LUNETTE_TESTS_SIM_WORLD_H
#define LUNETTE_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/io/sim.h"
#include "initiator/lib/lunette.h"
#include "target/iscsi/states.h"
#include "target/service/host.h"
#include "tests/sim/coverage.h"
#include "tests/sim/heap.h"
#include "tests/sim/model.h"
#include "tests/sim/wire.h"

#define WORLD_CLIENTS_MAX  8u
#define WORLD_REACTORS_MAX 4u
#define WORLD_LUNS_MAX     2u
#define WORLD_DYING_MAX    4u
#define WORLD_BLOCK        512u /* bytes */
#define WORLD_LUN_BLOCKS   8192u
#define WORLD_GROW_BLOCKS  256u
#define WORLD_GROWN_MAX    (WORLD_LUN_BLOCKS + 8 * WORLD_GROW_BLOCKS)
#define WORLD_IQN          "iqn.2026-01.org.lunette:sim"
#define WORLD_PORTALS      4u /* ports 3260 .. 3263 of groups 1, 1, 2, 3 */
#define SECOND_NS          1000000000ull
#define MS_NS              1000000ull

/* ---- what the seed has chosen ---- */

enum chaos {
    CHAOS_CUT_ALL,
    CHAOS_SILENCE_ALL,
    CHAOS_SESSION_DROP,
    CHAOS_CLIENT_CRASH,
    CHAOS_CLIENT_VANISH,
    CHAOS_TARGET_CRASH,
    CHAOS_TARGET_POWER,
    CHAOS_TARGET_VANISH,
    CHAOS_TARGET_STOP,
    CHAOS_CONFIG,
    CHAOS_LUN_TOGGLE,
    CHAOS_LUN_GROW,
    CHAOS_TMF,
    CHAOS_ALLOC_TARGET,
    CHAOS_ALLOC_CLIENT,
    CHAOS_LOGOUT,
    CHAOS_TEXT,
    CHAOS_NOTIFY,
    CHAOS_RENEGOTIATE,
    CHAOS_VISIT,
    CHAOS_COUNT
};

struct swarm {
    struct sim_options faults;
    uint32_t reactors, clients, commands; /* commands: of each initiator */
    uint32_t luns;
    uint32_t window_blocks; /* of each LUN, from its start: what the initiators share */
    uint32_t unit_blocks;   /* most blocks of one command */
    uint32_t depth;         /* most commands of an initiator in flight */
    uint32_t flip_header, flip_data;
    uint32_t chaos; /* bit i: enum chaos i happens */
    uint64_t chaos_gap_ns, fault_ns;
    uint64_t command_timeout_ns; /* 0: none */
    uint64_t target_nop_ns;
    uint32_t recovery_level; /* most that the target grants */
    uint64_t stop_wait_ns;   /* how long initiators have to log out */
    uint32_t command_window; /* 0: the default */
    uint32_t tasks_max;      /* of an initiator at a LUN, beyond that TASK SET FULL; 0: the default */
    uint64_t target_memory;  /* bytes; 0: plenty */
    bool level_7144;         /* the target offers iSCSIProtocolLevel 2 */
    uint32_t task_reporting; /* the best that the target offers, enum key_task_reporting */
    bool chap, file_store, final_power_cut;
    uint32_t connections; /* of every session; 0: as many as its initiator likes */
    bool level_2;         /* every session is of recovery level 2 */
};

/* ---- the world ---- */

struct world_lun {
    uint16_t number;
    bool present;          /* as configured */
    bool settled;          /* every reactor serves it so */
    uint64_t absent_until; /* model clock: until then it was perhaps not there */
    struct scsi_lu *lu;    /* of the running target; NULL: not open */
    struct model *model;
};

enum target_state { TARGET_OFF, TARGET_UP, TARGET_STOPPING };

struct client;
struct visitor;

struct world {
    uint64_t seed;
    struct swarm swarm;
    struct env heap; /* counts what is allocated and not freed */
    int64_t blocks_live;
    struct sim_world *sim;
    struct wire wire;
    struct watch *watch;
    /* the target machine */
    enum target_state target;
    struct machine_heap machine; /* valid unless TARGET_OFF */
    struct io *ios[WORLD_REACTORS_MAX];
    struct host *host;
    struct host_listener *listeners[WORLD_PORTALS];
    struct io_addr portals[WORLD_PORTALS];
    uint32_t renegotiations; /* how often the target has changed its mind */
    struct tgt_config *config;
    struct scsi_lu *dying[WORLD_DYING_MAX]; /* LUs that no snapshot names any more */
    uint32_t dying_count;
    struct world_lun luns[WORLD_LUNS_MAX];
    uint64_t boot_at_ns, hurry_at_ns;
    bool adopting;
    /* initiators */
    struct client *clients[WORLD_CLIENTS_MAX];
    uint32_t client_count;
    struct visitor *visitor; /* owned */
    /* phases */
    struct io *tick_io; /* wakes the world when nothing else would: restarts and chaos wait for their time */
    struct io_timer tick;
    bool faults_on, settled; /* settled: nothing of the faults is left */
    uint64_t chaos_at_ns;
    bool crossing;     /* the next strike crosses what the target has just asked for */
    uint64_t clock;    /* counts begins and ends, for "was it there at the time" */
    bool alloc_failed; /* an allocation has failed: commands may fail for it */
    bool disk_failed;  /* disk errors have been on */
    bool digests_hit;  /* flips have been on */
    bool verbose;
    char problem[400];
};

void world_init(struct world *w, uint64_t seed, const struct swarm *swarm);
/* The clients are freed. Asserts that everything was given back. */
void world_fini(struct world *w);
uint64_t world_pick(struct world *w, uint64_t below); /* the seed's next choice */
bool world_chance(struct world *w, uint32_t percent);
uint64_t world_now(const struct world *w);
/* The first problem is kept. */
void world_problem(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_say(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Runs until `done(arg)`, a problem, or virtual time runs out; false: not done. Chaos happens while faults
 * are on. */
bool world_run(struct world *w, bool (*done)(void *arg), void *arg, uint64_t limit_ns);
bool world_step(struct world *w); /* one step; false: nothing is due ever */
/* Faults begin, or stop for good: everything that was taken away comes back. */
void world_faults(struct world *w, bool on);

#define WORLD_CHECK(condition)                                                                               \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            world_abort(__FILE__, __LINE__, #condition);                                                     \
    } while (0)
_Noreturn void world_abort(const char *file, int line, const char *what);

/* ---- swarm.c ---- */
void swarm_draw(struct swarm *swarm, uint64_t seed);

/* ---- target.c ---- */
void target_boot(struct world *w);
enum target_death { DEATH_CRASH, DEATH_POWER, DEATH_VANISH };
void target_die(struct world *w, enum target_death how); /* and boots again after a while, see target_poll */
void target_stop(struct world *w);                       /* in good order */
void target_poll(struct world *w);                       /* what is under way goes on */
bool target_settled(const struct world *w);              /* up, and nothing of its own is under way */
void target_new_config(struct world *w);
void target_lun_toggle(struct world *w);
void target_lun_grow(struct world *w);
bool target_session_drop(struct world *w);
bool target_notify(struct world *w);      /* a vendor's event to some session */
void target_renegotiate(struct world *w); /* a new MaxRecvDataSegmentLength, and everybody is told */
/* A name of one of the world's targets that others than the clients visit; NULL: no more. */
const char *target_name(uint32_t index);
/* How often the running target has taken it. */
uint64_t target_transition(const struct world *w, enum tgt_transition transition);
void target_end(struct world *w); /* stopped, freed, everything given back */

/* ---- chaos.c ---- */
void chaos_strike(struct world *w, enum chaos what);
void chaos_poll(struct world *w); /* strikes when it is time */

/* ---- client.c ---- */
struct client *client_new(struct world *w, uint32_t index, uint32_t commands);
void client_start(struct client *c);
void client_poll(struct client *c);
bool client_up(const struct client *c);
bool client_idle(const struct client *c); /* logged in, all commands ended */
/* Reads everything that may have been written, through the model; then client_idle again. */
void client_check_all(struct client *c);
/* One SYNCHRONIZE CACHE of each LUN; then client_idle again. */
void client_flush_all(struct client *c);
/* Its machine dies and comes back after a while. `silent`: no peer sees it. */
void client_crash(struct client *c, bool silent);
/* A task management function of the seed's choice; false: it has no commands in flight. */
bool client_tmf(struct client *c);
/* Of RFC 7143 11.5.1 and RFC 7144, about the oldest command or its LUN; or about a LUN that is nowhere. */
bool client_function(struct client *c, uint8_t function, bool nowhere);
/* Logs the session out, or one of its connections; it comes back by itself. */
bool client_logout(struct client *c);
/* A text in the full feature phase: another MaxRecvDataSegmentLength, SendTargets, or a long one. */
bool client_text(struct client *c);
void client_fail_alloc(struct client *c, uint64_t nth);
void client_close(struct client *c);
bool client_closed(const struct client *c);
void client_free(struct client *c);
/* For scenarios: one command now; an LBA and length of the caller's choice. */
enum client_verb { CLIENT_READ, CLIENT_WRITE, CLIENT_WRITE_FUA, CLIENT_ZERO, CLIENT_FLUSH, CLIENT_VERBS };
void client_command(struct client *c, enum client_verb verb, uint32_t lun, uint64_t lba, uint32_t blocks);
/* How often it has taken a transition of RFC 7143 chapter 8 since its machine booted: "T18". */
uint64_t client_transition(const struct client *c, const char *name);
uint32_t client_connections(const struct client *c); /* logged in now */
bool client_log_session_out(struct client *c);       /* in good order, as soon as no command is in flight */
uint64_t client_reconnects(const struct client *c);

/* ---- visitor.c ---- */
/* A short session of another initiator: what it does, and what must come of it. */
enum visit {
    VISIT_DISCOVERY,   /* lists all targets */
    VISIT_TEMPORARY,   /* is sent on, and again when it comes back */
    VISIT_PERMANENT,   /* is sent on, and goes there by itself when it comes back */
    VISIT_OTHER_GROUP, /* only logins through another portal group are sent on */
    VISIT_CIRCLE,      /* is sent in a circle and gives up */
    VISIT_FAR,         /* is sent on more often than it follows */
    VISIT_COUNT
};
void visitor_new(struct world *w);
void visitor_free(struct world *w);                    /* idle */
void visitor_start(struct world *w, enum visit visit); /* nothing, if one is here already */
void visitor_poll(struct world *w);
bool visitor_idle(const struct world *w);

/* ---- watch.c ---- */
/* Attaches the referee to every connection from now on. */
void watch_start(struct world *w);
/* Reports findings as problems, and frees it. */
void watch_end(struct world *w);

/* ---- run.c ---- */
struct outcome {
    uint64_t hash, virtual_ns, reconnects;
    char problem[400];
};
void run_seed(uint64_t seed, bool verbose, struct outcome *out);
/* After the faults of a run or a scenario: everything ends in time, all data are right, everything is given
 * back. */
void run_finish(struct world *w, struct outcome *out);

/* ---- scenarios.c ---- */
/* Runs the named scenario, or all (NULL); how many failed. */
uint32_t scenarios_run(const char *name, bool verbose, uint32_t *passed);
void scenarios_list(void);

#endif
