/* What the Linux backends share: the mailbox that other threads write into, the table of open descriptors,
 * address conversion, files, and the small thread pool for file operations that would block. Private to
 * common/io. */
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
void mailbox_drain(struct mailbox *mailbox); /* empties event_fd once it is readable */

/* ---- fds_posix.c: state of each descriptor on this io, indexed by its number ---- */

struct fd_slot {
    struct io_op *in;        /* receive or accept in flight, or NULL */
    struct io_op *out;       /* send or connect in flight, or NULL */
    uint32_t generation;     /* tells a stale event from one of a new descriptor with the same number */
    uint32_t ops;            /* in flight, all kinds */
    bool registered;         /* epoll: in the interest list */
    bool readable;           /* a receive is worth trying */
    bool writable;           /* epoll: a send is worth trying */
    bool hangup;             /* end of stream or error was announced: readable for ever */
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
void sock_set_no_delay(int fd);
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
/* The whole operation, blocking. */
int64_t file_run(const struct io_op *op);

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

#endif
