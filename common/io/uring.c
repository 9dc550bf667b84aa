/* The io_uring backend: waits with the ring, and gives file operations to it.
 *
 * Sockets are read and written by direct calls (direct_posix.c): a receive in the ring would keep a chunk
 * while it waits, or need a poll first and a second trip for the bytes. Each socket is watched by one
 * multishot poll, which tells about every edge, so an idle connection costs no system call and no chunk.
 *
 * Submission entries pile up during a turn and go out in the one io_uring_enter that also waits; nothing
 * enters the kernel outside io_run, and a full ring only means one more enter.
 *
 * A poll in the kernel keeps its socket open. So the end of each watch is sent as a removal, for whose place
 * there is always memory. */
#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "common/io/posix.h"
#include "common/io/uring_probe.h"

enum {
    URING_SQ_ENTRIES = 256,
    URING_CQ_ENTRIES = 4096, /* more may be in flight: the kernel keeps what does not fit */
    URING_REMOVALS_MIN = 64,
};
#define URING_NS_PER_S UINT64_C(1000000000)

/* user_data is an op (a multiple of 8), one of these, or the watch of a socket, which is odd. */
enum { TAG_IGNORE = 0, TAG_WAKE = 2, TAG_WATCH = 1 };

struct uring_io {
    struct posix_io posix;
    struct io_uring ring;
    bool started;             /* the ring belongs to the thread that runs it from the first turn on */
    bool wake_armed;          /* a poll of the mailbox is in the kernel */
    struct list_node cancels; /* file ops in the kernel to be cancelled */
    uint64_t *removals;       /* owned: tags of watches to end; room for all watches that there are */
    uint32_t removal_count, removals_max;
    uint32_t watches; /* in the kernel, those to be removed included until they have ended */
};

static struct uring_io *uring_of(const struct posix_io *posix)
{
    return container_of(posix, struct uring_io, posix);
}

/* An empty submission entry; NULL when the ring is full and the kernel takes nothing now. */
static struct io_uring_sqe *uring_sqe(struct uring_io *self)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
    if (!sqe && self->started) {
        io_uring_submit(&self->ring);
        sqe = io_uring_get_sqe(&self->ring);
    }
    return sqe;
}

/* ---- sockets ---- */

static uint64_t watch_tag(io_handle sock, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint64_t)sock << 1 | TAG_WATCH;
}

/* Room for one watch more: its removal must never fail. */
static bool uring_reserve_removal(struct uring_io *self)
{
    if (self->watches + self->removal_count < self->removals_max)
        return true;
    const struct env *env = self->posix.io.env;
    uint32_t max = self->removals_max ? self->removals_max * 2 : URING_REMOVALS_MIN;
    uint64_t *removals = env_alloc(env, max * sizeof(*removals));
    if (!removals)
        return false;
    if (self->removal_count > 0)
        memcpy(removals, self->removals, self->removal_count * sizeof(*removals));
    env_free(env, self->removals);
    self->removals = removals;
    self->removals_max = max;
    return true;
}

static int uring_watch(struct posix_io *posix, io_handle sock)
{
    struct uring_io *self = uring_of(posix);
    if (!uring_reserve_removal(self))
        return ERR_NOMEM;
    struct io_uring_sqe *sqe = uring_sqe(self);
    if (!sqe)
        return ERR_AGAIN;
    struct fd_slot *slot = fd_table_slot(&posix->fds, sock);
    io_uring_prep_poll_multishot(sqe, (int)sock, POLLIN | POLLOUT | POLLRDHUP);
    io_uring_sqe_set_data64(sqe, watch_tag(sock, slot->generation));
    slot->watched = true;
    self->watches++;
    return 0;
}

static void uring_unwatch(struct posix_io *posix, io_handle sock)
{
    struct uring_io *self = uring_of(posix);
    assert(self->removal_count < self->removals_max);
    self->removals[self->removal_count++] = watch_tag(sock, fd_table_slot(&posix->fds, sock)->generation);
}

/* An edge, or (not `more`) the end of the watch: removed, or given up by the kernel, which then may owe us
 * edges. */
static void uring_watch_event(struct uring_io *self, uint64_t tag, int res, bool more)
{
    io_handle sock = (io_handle)((uint32_t)tag >> 1);
    uint32_t generation = (uint32_t)(tag >> 32);
    struct fd_slot *slot = fd_table_slot(&self->posix.fds, sock);
    self->watches -= !more;
    if (!more && slot->generation == generation)
        slot->watched = false;
    if (!more || res < 0)
        posix_ready(&self->posix, sock, generation, true, true, false);
    else
        posix_ready(&self->posix, sock, generation, res & POLLIN, res & POLLOUT,
                    res & (POLLRDHUP | POLLHUP | POLLERR));
}

/* ---- files ---- */

/* The vectors are the owner's own: io_vec has the layout of iovec. */
static void uring_prepare(struct io_op *op, struct io_uring_sqe *sqe)
{
    const struct iovec *vec = (const struct iovec *)(const void *)op->vec;
    int fd = (int)op->handle;
    switch (op->type) {
    case IO_OP_PREAD:
        io_uring_prep_readv(sqe, fd, vec, op->vec_count, op->offset);
        break;
    case IO_OP_PWRITE:
        io_uring_prep_writev(sqe, fd, vec, op->vec_count, op->offset);
        break;
    case IO_OP_FLUSH:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    default:
        assert(op->type == IO_OP_DISCARD || op->type == IO_OP_ZERO);
        io_uring_prep_fallocate(sqe, fd, file_fallocate_mode(op), (off_t)op->offset, (off_t)op->len);
    }
    io_uring_sqe_set_data64(sqe, (uintptr_t)op);
}

static int64_t uring_file_try(struct posix_io *posix, struct io_op *op)
{
    if ((op->type == IO_OP_DISCARD || op->type == IO_OP_ZERO) && op->len == 0)
        return 0; /* the kernel would call it invalid */
    struct io_uring_sqe *sqe = uring_sqe(uring_of(posix));
    if (sqe) {
        posix_state(op)->place = PLACE_BACKEND;
        uring_prepare(op, sqe);
    } else {
        list_push_back(&posix->attempts, &op->node);
    }
    return WOULD_BLOCK;
}

/* It is asked for, and the op ends by its own completion. */
static bool uring_file_cancel(struct posix_io *posix, struct io_op *op)
{
    struct posix_op *state = posix_state(op);
    if (!state->cancelled)
        list_push_back(&uring_of(posix)->cancels, &op->node);
    state->cancelled = true;
    return false;
}

/* The ring may transfer less than asked in the middle of a file; a pool thread then does the whole again
 * (harmless). */
static void uring_file_done(struct uring_io *self, struct io_op *op, int res)
{
    bool transfer = op->type == IO_OP_PREAD || op->type == IO_OP_PWRITE;
    bool is_short = transfer && res > 0 && (uint64_t)res < io_vec_bytes(op->vec, op->vec_count);
    list_remove(&op->node); /* from cancels: too late, it is done */
    if (posix_state(op)->cancelled && (res == -EINTR || res == -EAGAIN))
        posix_settle(&self->posix, op, ERR_CANCELLED);
    else if (is_short || res == -EINTR || res == -EAGAIN)
        posix_to_pool(&self->posix, op);
    else
        posix_settle(&self->posix, op, res < 0 ? err_from_errno(-res) : res);
}

/* ---- waiting ---- */

/* Turns what waits on the lists into submission entries; what finds no place stays for the next turn. */
static void uring_fill_ring(struct uring_io *self)
{
    struct io_uring_sqe *sqe;
    if (!self->wake_armed && (sqe = uring_sqe(self))) {
        io_uring_prep_poll_add(sqe, self->posix.mailbox.event_fd, POLLIN);
        io_uring_sqe_set_data64(sqe, TAG_WAKE);
        self->wake_armed = true;
    }
    while (self->removal_count > 0 && (sqe = uring_sqe(self))) {
        io_uring_prep_poll_remove(sqe, self->removals[--self->removal_count]);
        io_uring_sqe_set_data64(sqe, TAG_IGNORE);
    }
    /* At once, before its op can have been submitted again: it must not hit a later life. */
    while (!list_empty(&self->cancels) && (sqe = uring_sqe(self))) {
        struct io_op *op = list_entry(list_pop_front(&self->cancels), struct io_op, node);
        io_uring_prep_cancel64(sqe, (uintptr_t)op, 0);
        io_uring_sqe_set_data64(sqe, TAG_IGNORE);
    }
}

/* The turn's one system call: submits and, unless wait_ns is 0, waits for a completion. */
static void uring_enter(struct uring_io *self, uint64_t wait_ns)
{
    struct io_uring_cqe *cqe = NULL;
    int done;
    if (wait_ns == 0) {
        done = io_uring_submit_and_get_events(&self->ring);
    } else if (wait_ns == UINT64_MAX) {
        done = io_uring_submit_and_wait_timeout(&self->ring, &cqe, 1, NULL, NULL);
    } else {
        struct __kernel_timespec limit = {.tv_sec = (long long)(wait_ns / URING_NS_PER_S),
                                          .tv_nsec = (long long)(wait_ns % URING_NS_PER_S)};
        done = io_uring_submit_and_wait_timeout(&self->ring, &cqe, 1, &limit, NULL);
    }
    /* EBUSY, EAGAIN: reap first, what was not taken is submitted in the next turn. EEXIST: the ring belongs
     * to another thread, which would be a bug of the caller's. */
    assert(done != -EEXIST && done != -EBADF && done != -EBADFD && done != -EINVAL && done != -EFAULT);
    (void)done;
}

/* The first turn: from here on this thread is the ring's only user. */
static void uring_start(struct uring_io *self)
{
    /* By number: Debian 12's liburing declares io_uring_enable_rings but does not export it. */
    int err = io_uring_register((unsigned)self->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    assert(err == 0);
    (void)err;
    self->started = true;
}

static unsigned uring_wait(struct posix_io *posix, uint64_t wait_ns)
{
    struct uring_io *self = uring_of(posix);
    if (!self->started)
        uring_start(self);
    uring_fill_ring(self);
    /* Without the poll of the mailbox nobody could wake us. */
    uring_enter(self, self->wake_armed ? wait_ns : 0);
    return io_uring_cq_ready(&self->ring);
}

/* The entry is given back before a done function runs, which may submit at will. */
static void uring_events(struct posix_io *posix)
{
    struct uring_io *self = uring_of(posix);
    struct io_uring_cqe *cqe;
    /* Only as many as there are now, so that completions that keep coming cannot keep the turn from ending.
     */
    unsigned left = io_uring_cq_ready(&self->ring);
    for (; left > 0 && io_uring_peek_cqe(&self->ring, &cqe) == 0; left--) {
        uint64_t tag = cqe->user_data;
        int res = cqe->res;
        bool more = cqe->flags & IORING_CQE_F_MORE;
        io_uring_cqe_seen(&self->ring, cqe);
        if (tag & TAG_WATCH) {
            uring_watch_event(self, tag, res, more);
        } else if (tag == TAG_WAKE) {
            self->wake_armed = false;
            if (res >= 0)
                mailbox_drain(&posix->mailbox);
        } else if (tag != TAG_IGNORE) {
            uring_file_done(self, (struct io_op *)(uintptr_t)tag, res);
        }
    }
}

static bool uring_pending(const struct posix_io *posix)
{
    const struct uring_io *self = uring_of(posix);
    return io_uring_sq_ready(&self->ring) > 0 || self->removal_count > 0 || !list_empty(&self->cancels);
}

/* ---- life ---- */

static void uring_free(struct io *io)
{
    struct uring_io *self = uring_of(posix_of(io));
    posix_fini(&self->posix);
    io_uring_queue_exit(&self->ring);
    env_free(io->env, self->removals);
    env_free(io->env, self);
}

static const struct io_backend uring_backend = POSIX_BACKEND("uring", uring_free);
static const struct posix_ops uring_ops = {
    .wait = uring_wait,
    .events = uring_events,
    .pending = uring_pending,
    .watch = uring_watch,
    .unwatch = uring_unwatch,
    .file_try = uring_file_try,
    .file_cancel = uring_file_cancel,
};

static int uring_open(struct uring_io *self)
{
    unsigned flags;
    if (!uring_choose_flags(&flags))
        return ERR_UNSUPPORTED;
    /* Disabled until the first turn: whoever enables it is the single issuer. */
    struct io_uring_params params = {.flags = flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
                                     .cq_entries = URING_CQ_ENTRIES};
    if (io_uring_queue_init_params(URING_SQ_ENTRIES, &self->ring, &params) < 0)
        return ERR_UNSUPPORTED; /* e.g. the limit of locked memory on older kernels */
    return 0;
}

int uring_io_new(const struct env *env, struct io **out)
{
    struct uring_io *self = env_alloc(env, sizeof(*self));
    if (!self)
        return ERR_NOMEM;
    list_init(&self->cancels);
    int err = posix_init(&self->posix, &uring_backend, &uring_ops, env);
    if (err == 0 && (err = uring_open(self)) < 0)
        posix_fini(&self->posix);
    if (err < 0) {
        env_free(env, self);
        return err;
    }
    *out = &self->posix.io;
    return 0;
}
