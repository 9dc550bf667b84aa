/* The deterministic backend: one `sim_world` holds virtual time, the network and the disk; each logical
 * reactor (of the target and of each initiator) is a `struct io` made from it. One thread. A seed decides
 * everything: who runs next, how long each operation takes, how bytes are split, which fault happens. Same
 * seed, same run, same trace hash. */
#ifndef LUNETTE_IO_SIM_H
#define LUNETTE_IO_SIM_H

#include "common/io/io.h"

struct sim_world;
struct tap;

struct sim_options {        /* probabilities in 1/1000 per opportunity; 0 is never */
    uint32_t split;         /* a receive or send is cut short at a random byte */
    uint64_t net_delay_ns;  /* largest delivery delay of a segment */
    uint64_t conn_delay_ns; /* each new connection draws a constant delay up to this: connections overtake */
    uint32_t cut;           /* per send: the connection is reset at a random byte */
    uint32_t stall;         /* per send: the direction stops moving for up to stall_ns, then goes on */
    uint64_t stall_ns;
    uint32_t half_open;  /* per send: from now on nothing gets through, in either direction, for ever */
    uint32_t half_close; /* per send: this direction ends in good order, the other goes on */
    uint32_t refuse;     /* a connect is refused */
    /* disk */
    uint64_t disk_delay_ns; /* largest completion delay; completions may overtake one another */
    uint32_t disk_slow;     /* an operation takes up to disk_slow_ns instead */
    uint64_t disk_slow_ns;
    uint32_t disk_error; /* a file operation fails with ERR_IO */
    uint32_t disk_full;  /* a write fails with ERR_NOSPACE */
    uint32_t disk_short; /* a transfer moves fewer bytes than asked */
    uint32_t disk_now;   /* a transfer that must not wait (io_transfer_now) finds what it needs; odd: writes
                            have to   insist, as on file systems that make no promise */
    bool disk_cache;     /* writes are volatile until a flush that was submitted after them has completed */
    /* time and messages */
    uint64_t post_delay_ns; /* largest delay of a cross-reactor post */
    uint32_t clock_jump;    /* per step of virtual time: it leaps by up to clock_jump_ns more */
    uint64_t clock_jump_ns;
};

int sim_world_new(const struct env *heap, uint64_t seed, const struct sim_options *options,
                  struct sim_world **out);
/* Its ios have been io_free'd; sockets and files that are still open are dropped. NULL is fine. */
void sim_world_free(struct sim_world *world);
/* Faults can change while running (heal phase). What is already stalled, half-open or in the disk's cache
 * stays so. */
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

/* ---- faults on demand; all from outside any turn ---- */

/* Resets every open connection now (both ends see ERR_RESET); returns how many. */
int sim_cut_all(struct sim_world *world);
/* Every open connection goes silent for ever, as sim_options.half_open; returns how many. */
int sim_silence_all(struct sim_world *world);
/* A machine dies: nothing of these ios is ever delivered. Their sockets and listeners close (peers see
 * resets), their files close, file operations in flight have happened in part or not at all, their timers and
 * posts are forgotten and the ios are freed. The memory of their owners may be freed afterwards: nothing of
 * it is touched again. `silent`: the peers see nothing at all (power or cable, not process). */
void sim_crash(struct sim_world *world, struct io *const *ios, uint32_t count, bool silent);
/* The power of all disks fails: of what was written since the last completed flush (disk_cache), each sector
 * keeps one of the versions that it had, chosen by the seed; so writes are lost, reordered and torn. */
void sim_disk_crash(struct sim_world *world);

/* ---- looking at the wire ---- */

/* Where a tap stands. BETWEEN: bytes count as passed when they are sent, with what the wire has done to them.
 * At an end: that end's own bytes when it sends them, the peer's when it receives them. */
enum sim_vantage { SIM_TAP_BETWEEN, SIM_TAP_AT_INITIATOR, SIM_TAP_AT_TARGET };
#define SIM_TAPS_MAX 4
/* The side that connects is the initiator. Connections made from now on are shown, numbered from 1. The tap
 * is borrowed for the world's life. */
void sim_world_tap(struct sim_world *world, struct tap *tap, enum sim_vantage vantage);

/* May change the bytes that connection `conn` sends, before they are on the wire; sees all of them in stream
 * order. Returns how many it has changed. A test that knows the protocol flips bits where it knows that
 * digests protect. */
struct sim_wire {
    uint32_t (*pass)(struct sim_wire *wire, uint64_t conn, bool from_initiator, uint8_t *bytes, uint64_t len);
    void (*close)(struct sim_wire *wire, uint64_t conn); /* the connection is gone */
};
void sim_world_wire(struct sim_world *world, struct sim_wire *wire); /* borrowed for the world's life */

/* ---- what has happened ---- */

enum sim_fault {
    SIM_FAULT_SPLIT,
    SIM_FAULT_CUT,
    SIM_FAULT_STALL,
    SIM_FAULT_HALF_OPEN,
    SIM_FAULT_HALF_CLOSE,
    SIM_FAULT_REFUSED,
    SIM_FAULT_FLIP,
    SIM_FAULT_OVERTAKEN, /* a connection's bytes arrived before another's that were sent earlier */
    SIM_FAULT_DISK_READ_ERROR,
    SIM_FAULT_DISK_WRITE_ERROR,
    SIM_FAULT_DISK_FLUSH_ERROR,
    SIM_FAULT_DISK_FULL,
    SIM_FAULT_DISK_SHORT,
    SIM_FAULT_DISK_SLOW,
    SIM_FAULT_DISK_NOW,       /* no fault: a transfer that must not wait was done */
    SIM_FAULT_DISK_MAP,       /* no fault: a read from a map */
    SIM_FAULT_DISK_REORDERED, /* an operation completed before one that was submitted earlier */
    SIM_FAULT_POWER_CUT,
    SIM_FAULT_LOST_WRITE, /* a sector went back to an older version at a power cut */
    SIM_FAULT_TORN_WRITE, /* of one write some sectors were kept and some lost */
    SIM_FAULT_CLOCK_JUMP,
    SIM_FAULT_CRASH,
    SIM_FAULT_COUNT
};
const char *sim_fault_name(enum sim_fault fault);
uint64_t sim_fault_count(const struct sim_world *world, enum sim_fault fault);

#endif
