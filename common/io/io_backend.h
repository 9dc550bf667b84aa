/* What a backend implements and what io.c does for all of them. Private to common/io. Portable: no system
 * headers. */
#ifndef LUNETTE_IO_BACKEND_H
#define LUNETTE_IO_BACKEND_H

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/io/heap.h"
#include "common/io/io.h"

struct io_backend {
    const char *name;
    void (*free)(struct io *io); /* frees io itself */
    void (*run)(struct io *io, uint64_t until_ns);
    void (*wake)(struct io *io);                       /* any thread */
    void (*post)(struct io *io, struct io_post *post); /* any thread */
    /* Starts op (arguments are filled in, op->node is unlinked). Every failure is reported by
     * io_finish_later. */
    void (*submit)(struct io *io, struct io_op *op);
    void (*cancel)(struct io *io, struct io_op *op); /* op is busy and belongs to io */
    int (*listen)(struct io *io, const struct io_addr *addr, int backlog, io_handle *out,
                  struct io_addr *bound);
    void (*detach)(struct io *io, io_handle sock);
    int (*attach)(struct io *io, io_handle sock);
    int (*local_addr)(struct io *io, io_handle sock, struct io_addr *out);
    int (*peer_addr)(struct io *io, io_handle sock, struct io_addr *out);
    void (*shutdown)(struct io *io, io_handle sock);
    void (*close)(struct io *io, io_handle handle); /* sockets and files */
    int (*file_open)(struct io *io, const char *path, unsigned flags, io_handle *out,
                     struct io_file_info *info);
    int (*file_resize)(struct io *io, io_handle file, uint64_t size);
    int (*file_allocate)(struct io *io, io_handle file, uint64_t off, uint64_t len);
    int (*file_rename)(struct io *io, const char *from, const char *to);
    int (*file_remove)(struct io *io, const char *path);
    int (*dir_sync)(struct io *io, const char *path);
    int (*map_new)(struct io *io, io_handle file, struct io_map **out);
    void (*map_free)(struct io *io, struct io_map *map);
    int64_t (*transfer_now)(struct io *io, struct io_now *now);
};

/* The head of every backend's own struct. */
struct io {
    const struct io_backend *ops;
    const struct env *env; /* borrowed for the io's life */
    struct io_stats stats;
    enum io_poll poll;
    void (*hook)(void *arg);
    void *hook_arg;
    uint64_t now_ns;           /* the turn's clock */
    bool in_turn;              /* now_ns is fresh enough */
    bool firing;               /* inside io_fire_timers */
    uint64_t ops_in_flight;    /* submitted and not delivered */
    struct heap timers;        /* of struct io_timer.node */
    struct list_node finished; /* ops whose result is known, for io_deliver_finished */
};

/* The head's life, and the frame of a turn. */
void io_init(struct io *io, const struct io_backend *ops, const struct env *env);
void io_fini(struct io *io); /* asserts that nothing is in flight */
void io_turn_begin(struct io *io);
void io_turn_end(struct io *io); /* timers, then the hook */

/* Delivers the result: the op is its owner's again, who may submit it or free it. Only from inside run. */
void io_deliver(struct io *io, struct io_op *op, int64_t result);
/* For results that are known outside run: a later turn delivers it. op->node is free for that. */
void io_finish_later(struct io *io, struct io_op *op, int64_t result);
/* Delivers what was finished before this call; true when there was any. */
bool io_deliver_finished(struct io *io);
/* How long run may wait, in ns, given `until_ns` and the timers; UINT64_MAX is no limit. */
uint64_t io_wait_ns(const struct io *io, uint64_t until_ns);

/* Sum of the places' lengths. */
uint64_t io_vec_bytes(const struct io_vec *vec, uint32_t count);

static inline bool io_op_is_file(const struct io_op *op)
{
    return op->type >= IO_OP_PREAD;
}

/* Linux backends. */
int epoll_io_new(const struct env *env, struct io **out);
int uring_io_new(const struct env *env, struct io **out); /* ERR_UNSUPPORTED when the kernel refuses */

#endif
