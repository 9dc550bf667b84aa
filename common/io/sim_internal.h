/* The simulated world's inside. Portable.
 *   sim.c         ios, events, posts, turns          sim_env.c    generator, trace, env, handles, fault
 * counts sim_net.c     connections and their operations   sim_pipe.c   bytes on their way, taps sim_listen.c
 * listeners, connecting, addresses   sim_crash.c  the end of a machine sim_disk.c    file operations and
 * names          sim_pages.c  sparse contents     sim_cache.c  what is volatile
 *
 * Whatever happens to an io is an event in that io's heap: an operation that is due to be tried, or a post.
 * An operation takes effect when its event runs in its own io's turn, never when it is submitted. */
#ifndef LUNETTE_IO_SIM_INTERNAL_H
#define LUNETTE_IO_SIM_INTERNAL_H

#include "common/io/io_backend.h"
#include "common/io/sim.h"

#define SIM_IO_MAX  256u       /* ios that one world can have over its life */
#define SIM_OUTSIDE SIM_IO_MAX /* sender number of code that runs in no io's turn */

struct __attribute__((may_alias)) sim_event {
    struct heap_node node; /* key: due, virtual ns */
    bool is_post;          /* part of a sim_channel, else of a sim_op */
    bool scheduled;
};

/* In io_op.backend while the op is busy. */
struct __attribute__((may_alias)) sim_op {
    struct sim_event event;
    bool cancelled;
    uint64_t number; /* of file operations: in order of submission */
};

/* Posts from one sender to one io, in order. */
struct sim_channel {
    struct sim_event event;
    struct io_post *head, *tail;
};

struct sim_io {
    struct io io;
    struct sim_world *world; /* borrowed */
    uint32_t index;          /* in world->ios */
    bool woken;
    struct heap events;
    struct sim_channel from[SIM_IO_MAX + 1]; /* by sender */
};

enum sim_kind { SIM_FREE, SIM_LISTENER, SIM_SOCKET, SIM_FILE };

struct sim_handle {
    enum sim_kind kind;
    uint32_t generation; /* a closed handle's number does not come back soon: use after close is caught */
    uint32_t owner;      /* index of the io that uses it: what dies with that io's machine */
    void *object;
};

struct sim_world {
    const struct env *heap; /* borrowed */
    struct env env;         /* given to engines */
    struct sim_options options;
    uint64_t rng[4]; /* xoshiro256** */
    uint64_t now_ns;
    uint64_t hash;
    struct sim_io *ios[SIM_IO_MAX];
    uint32_t io_count;
    uint32_t current;           /* whose turn it is, or SIM_OUTSIDE */
    struct sim_handle *handles; /* owned */
    uint32_t handle_count;
    struct list_node listeners; /* struct sim_listener */
    struct list_node conns;     /* struct sim_conn */
    struct list_node files;     /* struct sim_file with a name */
    uint16_t next_port;
    uint64_t conns_made, file_ops,
        file_op_done;      /* file_op_done: the latest submitted of those that have completed */
    uint64_t last_sent_ns; /* when the segment was sent that arrived latest so far */
    struct sim_wire *wire; /* borrowed, or NULL */
    struct {
        struct tap *tap; /* borrowed */
        enum sim_vantage vantage;
    } taps[SIM_TAPS_MAX];
    uint32_t tap_count;
    uint64_t faults[SIM_FAULT_COUNT];
};

static inline struct sim_io *sim_io_of(struct io *io)
{
    return container_of(io, struct sim_io, io);
}

static inline struct sim_world *sim_world_of(struct io *io)
{
    return sim_io_of(io)->world;
}

static inline struct sim_op *sim_state_of(struct io_op *op)
{
    return (struct sim_op *)op->backend;
}

/* ---- sim_env.c ---- */

void sim_seed(struct sim_world *world, uint64_t seed);
void sim_env_init(struct sim_world *world);
/* 0 .. max, both included. */
uint64_t sim_below(struct sim_world *world, uint64_t max);
bool sim_chance(struct sim_world *world, uint32_t per_mille);
/* A fault's turn: true when it happens, and then it is counted. */
bool sim_happens(struct sim_world *world, uint32_t per_mille, enum sim_fault fault);
void sim_mix(struct sim_world *world, uint64_t word); /* into the trace hash */
int sim_handle_new(struct sim_world *world, enum sim_kind kind, void *object, io_handle *out);
void *sim_handle_get(struct sim_world *world, io_handle handle,
                     enum sim_kind kind); /* asserts that it is one */
enum sim_kind sim_handle_kind(struct sim_world *world, io_handle handle);
void sim_handle_own(struct sim_world *world, io_handle handle, const struct io *io);
/* The number of the handle at a place of the table that is in use. */
io_handle sim_handle_number(const struct sim_world *world, uint32_t place);
void sim_handle_drop(struct sim_world *world, io_handle handle);

/* ---- sim.c ---- */

/* The op is tried at `due_ns`, or very soon if that has passed; replaces an earlier appointment. */
void sim_schedule(struct io_op *op, uint64_t due_ns);
void sim_deliver(struct io_op *op, int64_t result);
/* Nothing that waits for a turn of this io will have one: calls `dropped` for each operation among it. */
void sim_io_drain(struct sim_io *self, void (*dropped)(struct sim_world *world, struct io_op *op));

/* ---- sim_net.c, sim_listen.c ---- */

void sim_net_submit(struct sim_world *world, struct io_op *op);
void sim_net_try(struct sim_world *world, struct io_op *op); /* the op's event is due */
int sim_net_listen(struct io *io, const struct io_addr *addr, int backlog, io_handle *out,
                   struct io_addr *bound);
int sim_net_local_addr(struct io *io, io_handle sock, struct io_addr *out);
int sim_net_peer_addr(struct io *io, io_handle sock, struct io_addr *out);
void sim_net_shutdown(struct io *io, io_handle sock);
void sim_net_close(struct sim_world *world, io_handle handle);
/* Closes it for an owner who is dead: forgets the operations that wait there and resets the connection. */
void sim_net_abandon(struct sim_world *world, io_handle handle, bool silent);
void sim_net_fini(struct sim_world *world);

/* ---- sim_disk.c ---- */

void sim_disk_submit(struct sim_world *world, struct io_op *op);
void sim_disk_try(struct sim_world *world, struct io_op *op);
/* Its submitter is dead: happens in part, or not at all; nobody is told. */
void sim_disk_abandon(struct sim_world *world, struct io_op *op);
int sim_disk_open(struct io *io, const char *path, unsigned flags, io_handle *out, struct io_file_info *info);
int sim_disk_resize(struct io *io, io_handle file, uint64_t size);
int sim_disk_allocate(struct io *io, io_handle file, uint64_t off, uint64_t len);
int sim_disk_rename(struct io *io, const char *from, const char *to);
int sim_disk_remove(struct io *io, const char *path);
int sim_disk_dir_sync(struct io *io, const char *path);
int sim_disk_map_new(struct io *io, io_handle file, struct io_map **out);
void sim_disk_map_free(struct io *io, struct io_map *map);
int64_t sim_disk_transfer_now(struct io *io, struct io_now *now);
void sim_disk_close(struct sim_world *world, io_handle handle);
void sim_disk_fini(struct sim_world *world);

#endif
