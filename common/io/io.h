/* One completion-based I/O interface; one `struct io` per reactor, used by one thread (only io_post and
 * io_wake may be called from others). That thread is the first to call io_run, not necessarily the one that
 * called io_new. Backends: uring.c, epoll.c (Linux), sim.c (deterministic), later iocp.c.
 *
 * Every operation is a `struct io_op` embedded in its owner: no allocation. Submitting never calls op->done
 * before it returns; completions are delivered from io_run. The owner lives until every submitted op has
 * completed: io_cancel is a request, the op still completes (with ERR_CANCELLED or with its result). An op
 * may be submitted again from its own done function. Results: >= 0 bytes or handle, < 0 enum err. */
#ifndef LUNETTE_IO_IO_H
#define LUNETTE_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/io/heap.h"

struct io;
struct env;
struct pool;

typedef intptr_t io_handle; /* a socket or a file; IO_NONE is none */
#define IO_NONE ((io_handle)-1)

/* struct io_vec, a place {ptr, len}, is in slice.h: engines use it too. */
#define IO_VEC_MAX 256 /* places in one gather or scatter list */

enum io_op_type {
    IO_OP_NONE,
    IO_OP_ACCEPT,
    IO_OP_CONNECT,
    IO_OP_RECV_ANY,
    IO_OP_RECV_INTO,
    IO_OP_SEND,
    IO_OP_PREAD,
    IO_OP_PWRITE,
    IO_OP_FLUSH,
    IO_OP_DISCARD,
    IO_OP_ZERO
};

struct io_op {
    void (*done)(struct io_op *op); /* set by the owner before submitting */
    int64_t result;                 /* valid in done */
    enum io_op_type type;
    bool busy;   /* submitted and not yet completed */
    bool memory; /* PREAD, PWRITE, the owner's: the file lies in memory (io_file_info), so no thread has to
                    wait for it */
    /* arguments and outcomes, by type */
    io_handle handle;
    struct chunk *chunk; /* RECV_ANY: in done with result > 0, one reference, owned by the op's owner */
    struct pool *pool;   /* RECV_ANY: where the chunk comes from */
    struct io_vec *vec;  /* RECV_INTO, SEND, PREAD, PWRITE: array owned by the owner, unchanged until done */
    uint32_t chunk_len;  /* RECV_ANY: size of chunk to use */
    uint32_t vec_count;
    uint64_t offset;     /* PREAD .. ZERO: bytes */
    uint64_t len;        /* DISCARD, ZERO: bytes */
    struct io_addr addr; /* CONNECT: to; ACCEPT: the peer, in done */
    /* backend's own */
    struct io *io;
    struct list_node node;
    uint64_t backend[12];
};

struct io_timer {
    void (*fire)(struct io_timer *timer); /* one shot; may re-arm */
    uint64_t deadline_ns;                 /* absolute, io_now's clock */
    bool armed;
    struct heap_node node; /* backend's own */
};

/* A message to a reactor's thread. The sender owns it until run is called there; run may free it. */
struct io_post {
    void (*run)(struct io_post *post);
    struct io_post *next; /* backend's own */
};

enum io_kind { IO_KIND_AUTO, IO_KIND_URING, IO_KIND_EPOLL };

/* AUTO probes io_uring by using it and falls back to epoll. ERR_UNSUPPORTED when the asked backend cannot
 * work here. */
int io_new(const struct env *env, enum io_kind kind, struct io **out);
/* Nothing may be in flight: asserts. */
void io_free(struct io *io);
const char *io_name(const struct io *io); /* "uring", "epoll", "sim" */
bool io_kind_parse(const char *text, enum io_kind *out);

/* What io_run does when there is nothing to do. NEVER polls: it sleeps in the kernel at once. ADAPTIVE looks
 * again and again for a short time (IO_SPIN_NS) before it sleeps, as long as that has paid lately; ALWAYS
 * never sleeps. Timers, posts and wakes are served all the same. Before the first io_run; NEVER is the
 * default. The simulator has nothing to poll: there it means nothing. */
enum io_poll { IO_POLL_NEVER, IO_POLL_ADAPTIVE, IO_POLL_ALWAYS };
#define IO_SPIN_NS 50000u
void io_set_poll(struct io *io, enum io_poll poll);
bool io_poll_parse(const char *text, enum io_poll *out); /* never, adaptive, always */

uint64_t io_now(struct io *io); /* monotonic ns; cached once per io_run turn is fine */

/* Runs one turn: submits, waits until something completes, a post arrives, a timer is due or `until_ns` is
 * reached, delivers everything that is ready, then calls the turn hook once. until_ns 0: do not wait;
 * UINT64_MAX: no limit. */
void io_run(struct io *io, uint64_t until_ns);
/* Called at the end of each io_run turn, before what it submitted is sent to the kernel: the place to batch
 * output. */
void io_set_turn_hook(struct io *io, void (*hook)(void *arg), void *arg);
/* Ask io_run, from any thread, to return soon. */
void io_wake(struct io *io);
/* From any thread: run post->run(post) on io's thread in a later turn. Order per sender is kept. */
void io_post(struct io *io, struct io_post *post);

/* Sockets. TCP_NODELAY is set on all; within the machine their congestion control is Reno. At most one
 * receive (or accept) and one send (or connect) may be in flight on a socket: streams have an order. */
/* Binds and listens; port 0 picks one; *bound gets the real address. ERR_ADDRINUSE, ERR_PERMISSION,
 * ERR_INVALID. IPv6 wildcard sockets are v6-only. */
int io_listen(struct io *io, const struct io_addr *addr, int backlog, io_handle *out, struct io_addr *bound);
void io_accept(struct io *io, struct io_op *op, io_handle listener);        /* result: new socket handle */
void io_connect(struct io *io, struct io_op *op, const struct io_addr *to); /* result: new socket handle */
/* A handle accepted on one io may be used on another once it has no operation in flight (placement at login):
 * first io_detach on the old io's thread, then, with whatever message carries the handle over, io_attach on
 * the new one's. Unread bytes stay in the socket. After a failed attach (ERR_NOMEM) only io_close on either
 * io is allowed. */
void io_detach(struct io *old_io, io_handle sock);
int io_attach(struct io *io, io_handle sock);
int io_local_addr(struct io *io, io_handle sock, struct io_addr *out);
int io_peer_addr(struct io *io, io_handle sock, struct io_addr *out);
/* Bytes when there are any, in a chunk that the backend takes from `pool` only then; result 0 is end of
 * stream. ERR_NOMEM when the pool is empty: the owner tries again later. */
void io_recv_any(struct io *io, struct io_op *op, io_handle sock, struct pool *pool, uint32_t chunk_len);
/* Bytes into the places, at least one byte; result 0 is end of stream. */
void io_recv_into(struct io *io, struct io_op *op, io_handle sock, struct io_vec *vec, uint32_t count);
/* Sends at least one byte of the list; result: how many (may be short). No SIGPIPE. */
void io_send(struct io *io, struct io_op *op, io_handle sock, struct io_vec *vec, uint32_t count);
void io_shutdown(struct io *io, io_handle sock); /* both directions; pending operations complete */
void io_close(struct io *io,
              io_handle handle); /* no operation may be in flight on it (listener: cancel first) */
void io_cancel(struct io *io, struct io_op *op); /* request; harmless when op is not busy */

/* Files. Opening and naming operations are synchronous: they happen at configuration time. An open file may
 * be used on every io of its kind (and its world); it is closed when no operation on it is in flight
 * anywhere. */
enum io_open_flags {
    IO_OPEN_WRITE = 1,     /* else read only */
    IO_OPEN_CREATE = 2,    /* create when missing, mode 0600 */
    IO_OPEN_EXCLUSIVE = 4, /* with CREATE: fail with ERR_EXISTS */
    IO_OPEN_DIRECT = 8,    /* O_DIRECT: the caller aligns memory, offset and length to io_file_info.align */
    IO_OPEN_LOCK = 16,     /* advisory exclusive lock (shared lock when read only): ERR_LOCKED when taken */
    IO_OPEN_TRUNCATE = 32,
    IO_OPEN_DSYNC = 64,
    IO_OPEN_NO_ATIME = 128 /* reads leave the access time alone, where we may ask for that: a small read is
                              cheaper without */
};
struct io_file_info {
    uint64_t size; /* bytes; for a block device its capacity */
    bool block_device;
    bool can_discard;    /* holes can be punched (probed on the file) */
    uint32_t align;      /* for DIRECT: bytes; 1 otherwise */
    uint32_t block_size; /* logical block of a device, st_blksize of a file */
    bool memory;     /* the file lies in memory: a transfer waits for no disk (else see io_transfer_now) */
    bool write_back; /* a write of whole blocks ends in a cache and only seldom waits */
    /* So many reads in a row should have found their bytes in the page cache before io_map_new is worth its
     * risk, which is to wait; 0: it cannot be mapped. */
    uint32_t map_after;
};
/* ERR_INVALID for anything but a regular file or block device. `info` may be NULL. */
int io_file_open(struct io *io, const char *path, unsigned flags, io_handle *out, struct io_file_info *info);
int io_file_resize(struct io *io, io_handle file, uint64_t size); /* sparse growth or truncation */
int io_file_allocate(struct io *io, io_handle file, uint64_t off, uint64_t len); /* reserve; ERR_NOSPACE */
int io_file_rename(struct io *io, const char *from, const char *to);
int io_file_remove(struct io *io, const char *path);
int io_dir_sync(struct io *io, const char *path);
void io_file_close(struct io *io, io_handle file);
/* A result shorter than asked means end of file (pread) and never happens on a device; the owner loops. */
void io_pread(struct io *io, struct io_op *op, io_handle file, struct io_vec *vec, uint32_t count,
              uint64_t offset);
void io_pwrite(struct io *io, struct io_op *op, io_handle file, struct io_vec *vec, uint32_t count,
               uint64_t offset);
void io_flush(struct io *io, struct io_op *op, io_handle file); /* fdatasync */
/* The range then reads as zeros, the file keeps its size. ERR_UNSUPPORTED: it cannot be given back. */
void io_discard(struct io *io, struct io_op *op, io_handle file, uint64_t offset, uint64_t len);
/* The same, but the range stays allocated. ERR_UNSUPPORTED: write zeros yourself. */
void io_zero(struct io *io, struct io_op *op, io_handle file, uint64_t offset, uint64_t len);

/* The bytes of a file as the page cache has them, in this process's address space, to read only: a small read
 * from there (io_now.map) takes no system call. Every io of the file's kind may use it, several at once. */
struct io_map {
    uint64_t len;         /* bytes, from the file's beginning: its size when the map was made */
    struct io_map *older; /* the owner's */
};
/* For files whose info has map_after. ERR_NOMEM: also when this process has mapped four times the machine's
 * memory already, for pages once read cost memory of the kernel's; ERR_INVALID: the file is empty. */
int io_map_new(struct io *io, io_handle file, struct io_map **out);
/* Before the file is closed, when nobody uses it. NULL is fine. */
void io_map_free(struct io *io, struct io_map *map);

/* A transfer at once, between two turns or inside one, without an operation: for what lies in the page cache.
 * The kernel is asked not to wait; with `insist` it is not asked, for files that tell (memory, write_back)
 * that waiting is not to be expected. Bytes moved, possibly fewer than asked for; ERR_AGAIN: it would have to
 * wait; ERR_UNSUPPORTED: this file or kernel cannot promise not to wait, in this direction; or another error.
 * After an error and after fewer bytes some of the data may have been written.
 *
 * A read from a map does wait when the bytes are not in the page cache: it is for files of which that is not
 * to be expected. Its errors are ERR_RANGE: not all of it is in the map; ERR_IO: the map cannot show it (the
 * file was cut off, its disk has failed), and from now on shows nothing any more. */
struct io_now {
    io_handle file;
    const struct io_map *map; /* of `file`, with which it is not a system call; NULL: none */
    void *ptr;
    size_t len;
    uint64_t offset; /* bytes */
    bool write, insist;
    bool watch; /* find out whether it waited, if it is slow: a little more work in each turn of the io */
    uint64_t slow_ns; /* what took so long is slow; 0: do not look at the clock */
    uint64_t took_ns; /* result, unless slow_ns is 0: since this turn's last look at the clock for such a
                         transfer, or since it began */
    /* Result: it was slow, and not only kept from its core. With watch: the thread has given its core up
     * since this turn's first transfer with watch. From a map: it has waited for a page. */
    bool waited;
};
int64_t io_transfer_now(struct io *io, struct io_now *now);

void io_timer_arm(struct io *io, struct io_timer *timer, uint64_t deadline_ns); /* re-arms when armed */
void io_timer_cancel(struct io *io, struct io_timer *timer); /* synchronous: never fires after */

/* Counters of the data path, for statistics and the batching test. */
struct io_stats {
    uint64_t recv_ops, recv_bytes; /* completed receives that returned bytes */
    uint64_t send_ops, send_bytes;
    uint64_t file_ops;
    uint64_t turns;
    uint64_t sleeps; /* waits that may have slept in the kernel */
};
void io_get_stats(const struct io *io, struct io_stats *out);

/* As addr_parse but also resolves host names (blocking); up to `max` addresses; returns how many or < 0. */
int addr_resolve(const char *text, uint16_t default_port, struct io_addr *out, int max);

/* The same without waiting: a helper thread asks (at most 16 at once). Embedded in its owner. */
#define IO_RESOLVE_MAX      8
#define IO_RESOLVE_TEXT_MAX 320u
typedef int io_resolver(const char *text, uint16_t default_port, struct io_addr *out, int max);
struct io_resolve {
    void (*done)(struct io_resolve *resolve); /* from io_run; may start it again */
    io_resolver *resolver;                    /* called on the helper thread; NULL: addr_resolve */
    int result;                               /* in done: how many addresses, or < 0 */
    struct io_addr addrs[IO_RESOLVE_MAX];
    bool busy; /* between the start and done */
    struct resolve_job *job;
};
/* Numeric addresses need nobody: 1, with the address in addrs. Else 0: done is called later; or < 0: ERR_BUSY
 * (it is, or too many are at it), ERR_NOMEM, ERR_TOOBIG. */
int io_resolve(struct io *io, struct io_resolve *resolve, const char *text, uint16_t default_port);
/* done will not be called any more. At once, whatever the resolver does. */
void io_resolve_cancel(struct io_resolve *resolve);

/* How a backend plugs in: io.c dispatches through this table. Private to common/io. */
struct io_backend;

#endif
