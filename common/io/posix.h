/* What the Linux backends share: the turn, sockets by direct calls, the mailbox that other threads write
 * into, the table of open descriptors, address conversion, files, and the small thread pool for file
 * operations that would block. A backend adds how to wait and how to reach files. Private to common/io. */
#ifndef LUNETTE_IO_POSIX_H
#define LUNETTE_IO_POSIX_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/io/io_backend.h"

/* A backend keeps its per-operation state in io_op.backend; the attribute makes that access defined. */
#define IO_MAY_ALIAS __attribute__((may_alias))

/* ---- mailbox_posix.c: posts and wake-ups from other threads ---- */

struct mailbox {
    _Atomic(struct io_post *) head; /* stack, newest first: one CAS to push, one exchange to take all */
    atomic_bool sleeping; /* the owner waits in the kernel, or is about to: a sender must write event_fd */
    atomic_bool woken;    /* io_wake since the last mailbox_run */
    int event_fd;         /* owned; readable after a wake-up */
};

int mailbox_init(struct mailbox *mailbox);
void mailbox_fini(struct mailbox *mailbox);                       /* asserts that no post is left */
void mailbox_post(struct mailbox *mailbox, struct io_post *post); /* any thread */
void mailbox_wake(struct mailbox *mailbox);                       /* any thread */
/* The owner brackets its wait with these two; when sleep says false there is mail: do not wait. */
bool mailbox_sleep(struct mailbox *mailbox);
void mailbox_awake(struct mailbox *mailbox);
/* Runs the posts that were there when it was called, oldest first. */
void mailbox_run(struct mailbox *mailbox);
/* Whether mailbox_run would find anything, for an owner who looks instead of sleeping. */
static inline bool mailbox_has_mail(const struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->head, memory_order_relaxed) ||
           atomic_load_explicit(&mailbox->woken, memory_order_relaxed);
}
void mailbox_drain(struct mailbox *mailbox); /* empties event_fd once it is readable */

/* ---- fds_posix.c: state of each descriptor on this io, indexed by its number ---- */

struct fd_slot {
    struct io_op *in;    /* receive or accept in flight, or NULL */
    struct io_op *out;   /* send or connect in flight, or NULL */
    uint32_t generation; /* tells a stale event from one of a new descriptor with the same number */
    uint32_t ops;        /* in flight, all kinds */
    bool listens;
    bool watched;            /* the backend will tell when it becomes ready */
    bool readable;           /* a receive is worth trying */
    bool writable;           /* a send is worth trying */
    bool hangup;             /* end of stream or error was announced: readable for ever */
    bool eager;              /* a receive is tried before anything announces bytes */
    uint16_t skip_nowait[2]; /* file: RWF_NOWAIT failed for reads [0], writes [1]: so many ops until the next
                                try */
};

struct fd_table {
    const struct env *env;
    struct fd_slot *slots; /* owned; moves when it grows */
    uint32_t count;
};

void fd_table_init(struct fd_table *table, const struct env *env);
void fd_table_fini(struct fd_table *table);
/* Prepares a slot for a new descriptor: optimistic flags, new generation. ERR_NOMEM. */
int fd_table_enter(struct fd_table *table, int fd);
/* A file may have been opened on another io: makes sure that there is a slot, whatever its hints say.
 * ERR_NOMEM. */
int fd_table_reach(struct fd_table *table, io_handle handle);
/* Valid until the next fd_table_enter or _reach. The descriptor was entered. */
struct fd_slot *fd_table_slot(struct fd_table *table, io_handle handle);
/* Puts a submitted op into its place and takes it out again. Connect: after its socket is known. */
void fd_slot_begin(struct fd_slot *slot, struct io_op *op);
void fd_slot_end(struct fd_slot *slot, struct io_op *op);

/* ---- sockets_posix.c ---- */

union sock_addr {
    struct sockaddr any;
    struct sockaddr_storage storage;
};

/* Returns the length to give to the kernel; 0 when family is unset. */
socklen_t sock_addr_put(const struct io_addr *addr, union sock_addr *out);
bool sock_addr_get(const union sock_addr *from, struct io_addr *out);
int sock_new(const struct io_addr *addr, int extra_type, int *out); /* TCP, close-on-exec, no delay */
void sock_connected(int fd, const struct io_addr *peer);            /* what is set once both ends are known */
int sock_listen(const struct io_addr *addr, int backlog, int extra_type, int *out, struct io_addr *bound);
int sock_local_addr(io_handle sock, struct io_addr *out);
int sock_peer_addr(io_handle sock, struct io_addr *out);
/* recv into a chunk taken from op->pool for that purpose; ERR_AGAIN when there is nothing to read (no chunk
 * held). */
int64_t sock_recv_any(struct io_op *op);
/* True when accept should simply be tried again: that connection died in the queue. */
bool sock_accept_again(int errno_value);

/* ---- files_posix.c ---- */

int file_open(const char *path, unsigned flags, int *out, struct io_file_info *info);
/* Gives the lock of IO_OPEN_LOCK up at once. A lock belongs to the open file, which the kernel may keep for a
 * moment after our close: a worker of io_uring lets go of it only after the completion. */
void file_unlock(int fd);
int file_resize(struct io *io, io_handle file, uint64_t size);
int file_allocate(struct io *io, io_handle file, uint64_t off, uint64_t len);
int file_rename(struct io *io, const char *from, const char *to);
int file_remove(struct io *io, const char *path);
int file_dir_sync(struct io *io, const char *path);
/* fallocate's mode for IO_OP_DISCARD and IO_OP_ZERO. */
int file_fallocate_mode(const struct io_op *op);
/* Without waiting for the disk, as far as the kernel can say. ERR_AGAIN: would wait; ERR_UNSUPPORTED: ask no
 * more. */
int64_t file_try(const struct io_op *op);
/* io_backend.transfer_now. */
int64_t file_transfer_now(struct io *io, struct io_now *now);
/* The whole operation, blocking. */
int64_t file_run(const struct io_op *op);

/* ---- map_posix.c ---- */

/* io_backend.map_new, map_free. */
int map_new(struct io *io, io_handle file, struct io_map **out);
void map_free(struct io *io, struct io_map *map);
/* Copies out of the map, as io_now says. */
int64_t map_read(const struct io_map *map, uint64_t offset, void *to, size_t len);

/* ---- pool_posix.c: file operations on threads ---- */

enum { FILE_POOL_THREADS = 4 };

/* Lives at the start of io_op.backend while the op is with the pool. */
struct IO_MAY_ALIAS file_job {
    struct io_post post;
    int64_t result;
    struct io_op *op;
    struct file_pool *pool;
};

struct file_pool {
    struct io *io;                                      /* where completions are posted; borrowed */
    void (*complete)(struct io_op *op, int64_t result); /* on the io's thread */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list_node queue; /* ops waiting; under lock, as is what follows */
    uint32_t waiting_threads;
    uint32_t thread_count;
    bool stop;
    pthread_t threads[FILE_POOL_THREADS];
};

int file_pool_init(struct file_pool *pool, struct io *io, void (*complete)(struct io_op *op, int64_t result));
void file_pool_fini(struct file_pool *pool); /* nothing may be queued */
/* Threads are started when first needed; when not even one can be, the operation runs here. */
void file_pool_submit(struct file_pool *pool, struct io_op *op);
/* True when op had not started: it will not run and the caller completes it. */
bool file_pool_cancel(struct file_pool *pool, struct io_op *op);

/* ---- turn_posix.c, direct_posix.c: what both backends are made of ---- */

struct posix_io;

/* What makes a backend. Everything is called on the io's thread. */
struct posix_ops {
    /* Sends to the kernel what is to be sent and waits up to wait_ns for anything (0: not at all; UINT64_MAX:
     * without limit). Delivers nothing. How much there is for `events`. */
    unsigned (*wait)(struct posix_io *self, uint64_t wait_ns);
    /* Delivers what wait has found. Sockets: by posix_ready. */
    void (*events)(struct posix_io *self);
    /* True when wait has something to send that must not wait itself. */
    bool (*pending)(const struct posix_io *self);
    /* Tells about the socket from now on, by edges, and about what is ready at this moment. `watched` stays
     * as long as that holds. ERR_AGAIN: not now, try the operation again. */
    int (*watch)(struct posix_io *self, io_handle sock);
    /* A watched socket is about to be closed, or goes to another io. */
    void (*unwatch)(struct posix_io *self, io_handle sock);
    /* A file operation. Its place is the backend's matter, its end posix_settle. A result, or WOULD_BLOCK. */
    int64_t (*file_try)(struct posix_io *self, struct io_op *op);
    /* True when op was somewhere where it could be taken back; else it completes later. Not for the pool. */
    bool (*file_cancel)(struct posix_io *self, struct io_op *op);
};

/* Not an error and not a byte count: the operation has to wait. */
#define WOULD_BLOCK INT64_MIN
/* Bytes received in one turn: then it is time to answer. */
#define POSIX_STREAM_LEN (384u * 1024u)

struct posix_io {
    struct io io;
    const struct posix_ops *ops;
    struct mailbox mailbox;
    struct fd_table fds;
    struct list_node attempts; /* ops worth trying now */
    struct file_pool pool;
    struct io_op *hot;      /* the receive that blocked last: the likeliest to go on; borrowed */
    unsigned blind;         /* turns since events were looked at */
    bool more;              /* the last receive left bytes behind, and this turn may look at them */
    uint64_t streamed;      /* bytes that receives brought in this turn */
    bool quick;             /* this turn's event came alone and did not have to be waited for */
    bool waiting;           /* nothing has completed since wait_since_ns */
    uint8_t spins_left;     /* adaptive polling: waits that may begin with spinning */
    uint64_t wait_since_ns; /* when the first wait after the last completion began */
    uint64_t completions;   /* until the last turn */
    uint64_t timed_turn;    /* stats.turns when a transfer was timed last */
    uint64_t timed_ns;      /* env_now at its end */
    uint64_t watched_turn;  /* stats.turns when `waits` was read last */
    long waits;             /* how often this thread had waited for something by then */
    long page_waits;        /* how often it had waited for a page of a file when that was looked at last */
};

/* Where a busy op is. Lives behind file_job in io_op.backend. */
enum posix_place {
    PLACE_SLOT,     /* sockets: on `attempts` or waiting for readiness; files: on `attempts` */
    PLACE_POOL,     /* with the file pool */
    PLACE_BACKEND,  /* a file operation that the backend has */
    PLACE_FINISHED, /* result known */
};
struct IO_MAY_ALIAS posix_op {
    struct file_job job;
    enum posix_place place;
    bool connecting; /* connect has been called */
    bool cancelled;  /* asked for, in a place where that takes time */
};
_Static_assert(sizeof(struct posix_op) <= sizeof(((struct io_op *)0)->backend), "posix_op fits");

/* What the backends keep in the op while it is busy. */
static inline struct posix_op *posix_state(struct io_op *op)
{
    return (struct posix_op *)op->backend;
}

static inline struct posix_io *posix_of(struct io *io)
{
    return container_of(io, struct posix_io, io);
}

/* All parts but the backend's own; `backend` is made by POSIX_BACKEND. */
int posix_init(struct posix_io *self, const struct io_backend *backend, const struct posix_ops *ops,
               const struct env *env);
void posix_fini(struct posix_io *self); /* asserts that nothing is in flight */
void posix_run(struct io *io, uint64_t until_ns);
void posix_wake(struct io *io);
void posix_post(struct io *io, struct io_post *post);

/* An event: notes what it says about the socket, then tries what waits for it. A stale generation is fine. */
void posix_ready(struct posix_io *self, io_handle sock, uint32_t generation, bool in, bool out, bool hangup);
/* Everything that was worth trying when this was called. True when something completed. */
bool posix_run_attempts(struct posix_io *self);
/* The op leaves its descriptor and goes back to its owner. */
void posix_settle(struct posix_io *self, struct io_op *op, int64_t result);
/* Tries op, which is on no list, and delivers when that settles it. */
bool posix_attempt(struct posix_io *self, struct io_op *op);
void posix_to_pool(struct posix_io *self, struct io_op *op);
void posix_submit(struct io *io, struct io_op *op);
void posix_cancel(struct io *io, struct io_op *op);
int posix_listen(struct io *io, const struct io_addr *addr, int backlog, io_handle *out,
                 struct io_addr *bound);
void posix_detach(struct io *io, io_handle sock);
int posix_attach(struct io *io, io_handle sock);
int posix_local_addr(struct io *io, io_handle sock, struct io_addr *out);
int posix_peer_addr(struct io *io, io_handle sock, struct io_addr *out);
void posix_shutdown(struct io *io, io_handle sock);
void posix_close(struct io *io, io_handle handle);
int posix_file_open(struct io *io, const char *path, unsigned flags, io_handle *out,
                    struct io_file_info *info);

/* A backend's dispatch table: only name and free differ. */
#define POSIX_BACKEND(name_, free_)                                                                          \
    {                                                                                                        \
        .name = (name_), .free = (free_), .run = posix_run, .wake = posix_wake, .post = posix_post,          \
        .submit = posix_submit, .cancel = posix_cancel, .listen = posix_listen, .detach = posix_detach,      \
        .attach = posix_attach, .local_addr = posix_local_addr, .peer_addr = posix_peer_addr,                \
        .shutdown = posix_shutdown, .close = posix_close, .file_open = posix_file_open,                      \
        .file_resize = file_resize, .file_allocate = file_allocate, .file_rename = file_rename,              \
        .file_remove = file_remove, .dir_sync = file_dir_sync, .map_new = map_new, .map_free = map_free,     \
        .transfer_now = file_transfer_now,                                                                   \
    }

#endif
