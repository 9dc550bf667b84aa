/* The io_uring backend.
 *
 * Operations queue up on a list and become submission entries at the start of the next turn, in one
 * io_uring_enter that also waits; so nothing enters the kernel outside io_run, and a full ring only means one
 * more enter.
 *
 * recv_any must hold no chunk while it waits, and the pool is not the kernel's: it polls, then takes a chunk
 * and receives with a plain system call. A ring of provided buffers would save that call but would keep
 * chunks lent for as long as any receive is armed, for every pool. A socket whose last receive filled its
 * chunk skips the poll. */
#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "common/io/posix.h"
#include "common/io/uring_probe.h"

enum {
    URING_SQ_ENTRIES = 256,
    URING_CQ_ENTRIES = 4096, /* more may be in flight: the kernel keeps what does not fit */
};
#define URING_NS_PER_S UINT64_C(1000000000)

/* user_data that is not an op. */
enum { TAG_IGNORE = 0, TAG_WAKE = 1 };

struct uring_io {
    struct io io;
    struct io_uring ring;
    bool started;    /* the ring belongs to the thread that runs it from the first turn on */
    bool wake_armed; /* a poll of the mailbox is in the kernel */
    struct mailbox mailbox;
    struct fd_table fds;
    struct list_node queue;    /* ops to submit */
    struct list_node cancels;  /* ops in the kernel to be cancelled */
    struct list_node attempts; /* recv_any ops with bytes probably there */
    struct file_pool pool;     /* for the rest of a short transfer */
};

enum uring_place {
    PLACE_QUEUE,    /* on queue */
    PLACE_ATTEMPT,  /* on attempts */
    PLACE_KERNEL,   /* on cancels when a cancel is to be sent, else on no list */
    PLACE_POOL,     /* with the file pool */
    PLACE_FINISHED, /* result known */
};

struct IO_MAY_ALIAS uring_op {
    union {
        struct file_job job;
        struct msghdr msg;
        struct {
            struct sockaddr_in6 name; /* the larger of the two families */
            socklen_t name_len;
        } peer;
    };
    enum uring_place place;
    bool cancelled; /* asked for: do not start again */
};
_Static_assert(sizeof(struct uring_op) <= sizeof(((struct io_op *)0)->backend), "uring_op fits");

/* What this backend keeps in the op while it is busy. */
static struct uring_op *state_of(struct io_op *op)
{
    return (struct uring_op *)op->backend;
}

static struct uring_io *uring_of(struct io *io)
{
    return container_of(io, struct uring_io, io);
}

/* ---- putting ops into the ring ---- */

static void uring_enqueue(struct uring_io *self, struct io_op *op)
{
    state_of(op)->place = PLACE_QUEUE;
    list_push_back(&self->queue, &op->node);
}

/* An empty submission entry; NULL when the ring is full and the kernel takes nothing now. */
static struct io_uring_sqe *uring_sqe(struct uring_io *self)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
    if (!sqe) {
        io_uring_submit(&self->ring);
        sqe = io_uring_get_sqe(&self->ring);
    }
    return sqe;
}

/* The message header must stay until the kernel has taken it, so it lives in the op. */
static void uring_prepare_msg(struct io_op *op, struct io_uring_sqe *sqe)
{
    struct msghdr *msg = &state_of(op)->msg;
    memset(msg, 0, sizeof(*msg));
    msg->msg_iov = (struct iovec *)(void *)op->vec;
    msg->msg_iovlen = op->vec_count;
    if (op->type == IO_OP_SEND)
        io_uring_prep_sendmsg(sqe, (int)op->handle, msg, MSG_NOSIGNAL);
    else
        io_uring_prep_recvmsg(sqe, (int)op->handle, msg, 0);
}

/* Like the message header, the address stays in the op. */
static void uring_prepare_connect(struct io_op *op, struct io_uring_sqe *sqe)
{
    union sock_addr to;
    struct uring_op *state = state_of(op);
    state->peer.name_len = sock_addr_put(&op->addr, &to);
    memcpy(&state->peer.name, &to, sizeof(state->peer.name));
    io_uring_prep_connect(sqe, (int)op->handle, (const struct sockaddr *)(const void *)&state->peer.name,
                          state->peer.name_len);
}

/* The kernel writes the peer's address into the op. */
static void uring_prepare_accept(struct io_op *op, struct io_uring_sqe *sqe)
{
    struct uring_op *state = state_of(op);
    memset(&state->peer, 0, sizeof(state->peer));
    state->peer.name_len = sizeof(state->peer.name);
    io_uring_prep_accept(sqe, (int)op->handle, (struct sockaddr *)(void *)&state->peer.name,
                         &state->peer.name_len, SOCK_CLOEXEC);
}

/* One submission entry for op. The vectors are the owner's own: io_vec has the layout of iovec. */
static void uring_prepare(struct io_op *op, struct io_uring_sqe *sqe)
{
    const struct iovec *vec = (const struct iovec *)(const void *)op->vec;
    int fd = (int)op->handle;
    switch (op->type) {
    case IO_OP_ACCEPT:
        uring_prepare_accept(op, sqe);
        break;
    case IO_OP_CONNECT:
        uring_prepare_connect(op, sqe);
        break;
    case IO_OP_RECV_ANY:
        io_uring_prep_poll_add(sqe, fd, POLLIN | POLLRDHUP);
        break;
    case IO_OP_RECV_INTO:
    case IO_OP_SEND:
        uring_prepare_msg(op, sqe);
        break;
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

/* Turns everything that waits on the lists into submission entries; what finds no place stays for the next
 * turn. */
static void uring_fill_ring(struct uring_io *self)
{
    struct io_uring_sqe *sqe;
    if (!self->wake_armed && (sqe = uring_sqe(self))) {
        io_uring_prep_poll_add(sqe, self->mailbox.event_fd, POLLIN);
        io_uring_sqe_set_data64(sqe, TAG_WAKE);
        self->wake_armed = true;
    }
    /* Cancels first: an op that is submitted again later must not be hit by the cancel of its earlier life.
     */
    while (!list_empty(&self->cancels) && (sqe = uring_sqe(self))) {
        struct io_op *op = list_entry(list_pop_front(&self->cancels), struct io_op, node);
        io_uring_prep_cancel64(sqe, (uintptr_t)op, 0);
        io_uring_sqe_set_data64(sqe, TAG_IGNORE);
    }
    while (!list_empty(&self->queue) && (sqe = uring_sqe(self))) {
        struct io_op *op = list_entry(list_pop_front(&self->queue), struct io_op, node);
        state_of(op)->place = PLACE_KERNEL;
        uring_prepare(op, sqe);
    }
}

/* ---- results ---- */

/* The op leaves its descriptor and goes back to its owner. */
static void uring_settle(struct uring_io *self, struct io_op *op, int64_t result)
{
    fd_slot_end(fd_table_slot(&self->fds, op->handle), op);
    if (op->type == IO_OP_CONNECT && result < 0) {
        close((int)op->handle); /* a failed connect leaves no socket behind */
        op->handle = IO_NONE;
    }
    io_deliver(&self->io, op, result);
}

/* What came back was no answer (interrupted, or readiness that somebody else used up). */
static void uring_again(struct uring_io *self, struct io_op *op)
{
    if (state_of(op)->cancelled)
        uring_settle(self, op, ERR_CANCELLED);
    else
        uring_enqueue(self, op);
}

/* op is on no list. */
static bool uring_attempt_recv(struct uring_io *self, struct io_op *op)
{
    int64_t got = sock_recv_any(op);
    struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
    slot->readable = got == (int64_t)op->chunk_len;
    if (got == ERR_AGAIN) {
        uring_again(self, op);
        return false;
    }
    uring_settle(self, op, got);
    return true;
}

/* A new socket: makes its slot, or closes it when there is no memory for one. */
static void uring_accepted(struct uring_io *self, struct io_op *op, int fd)
{
    union sock_addr peer;
    memcpy(&peer, &state_of(op)->peer.name, sizeof(state_of(op)->peer.name));
    if (!sock_addr_get(&peer, &op->addr))
        op->addr = (struct io_addr){0};
    int64_t result = fd;
    int err = fd_table_enter(&self->fds, fd);
    if (err < 0) {
        close(fd);
        result = err;
    } else {
        sock_set_no_delay(fd);
    }
    uring_settle(self, op, result);
}

/* The ring may transfer less than asked in the middle of a file; a pool thread then does the whole again
 * (harmless). */
static void uring_file_done(struct uring_io *self, struct io_op *op, int res)
{
    bool transfer = op->type == IO_OP_PREAD || op->type == IO_OP_PWRITE;
    bool is_short = transfer && res > 0 && (uint64_t)res < io_vec_bytes(op->vec, op->vec_count);
    if (state_of(op)->cancelled && (res == -EINTR || res == -EAGAIN)) {
        uring_settle(self, op, ERR_CANCELLED);
    } else if (is_short || res == -EINTR || res == -EAGAIN) {
        state_of(op)->place = PLACE_POOL;
        file_pool_submit(&self->pool, op);
    } else {
        uring_settle(self, op, res < 0 ? err_from_errno(-res) : res);
    }
}

/* The kernel is done with op: `res` is its answer, which is not always the op's end. */
static void uring_op_done(struct uring_io *self, struct io_op *op, int res)
{
    list_remove(&op->node); /* from cancels: too late, it is done */
    if (io_op_is_file(op))
        uring_file_done(self, op, res);
    else if (res == -EINTR || res == -EAGAIN ||
             (op->type == IO_OP_ACCEPT && res < 0 && sock_accept_again(-res)))
        uring_again(self, op);
    else if (res < 0)
        uring_settle(self, op, err_from_errno(-res));
    else if (op->type == IO_OP_RECV_ANY)
        uring_attempt_recv(self, op);
    else if (op->type == IO_OP_ACCEPT)
        uring_accepted(self, op, res);
    else
        uring_settle(self, op, op->type == IO_OP_CONNECT ? op->handle : res);
}

/* Hands out the completions. The entry is given back before the done function runs, which may submit at will.
 */
static void uring_reap(struct uring_io *self)
{
    struct io_uring_cqe *cqe;
    /* Only as many as there are now, so that completions that keep coming cannot keep the turn from ending.
     */
    unsigned left = io_uring_cq_ready(&self->ring);
    for (; left > 0 && io_uring_peek_cqe(&self->ring, &cqe) == 0; left--) {
        uint64_t tag = cqe->user_data;
        int res = cqe->res;
        io_uring_cqe_seen(&self->ring, cqe);
        if (tag == TAG_WAKE) {
            self->wake_armed = false;
            if (res >= 0)
                mailbox_drain(&self->mailbox);
        } else if (tag != TAG_IGNORE) {
            uring_op_done(self, (struct io_op *)(uintptr_t)tag, res);
        }
    }
}

/* ---- the turn ---- */

/* Receives that need no poll. What done functions submit goes to the next turn. */
static bool uring_run_attempts(struct uring_io *self)
{
    struct list_node now, *node;
    bool any = false;
    list_init(&now);
    list_splice_back(&now, &self->attempts);
    while ((node = list_pop_front(&now)))
        any |= uring_attempt_recv(self, list_entry(node, struct io_op, node));
    return any;
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

/* Finished ops, sure receives, submit and wait, completions, posts, timers, hook. */
static void uring_run(struct io *io, uint64_t until_ns)
{
    struct uring_io *self = uring_of(io);
    if (!self->started)
        uring_start(self);
    io_turn_begin(io);
    bool progress = io_deliver_finished(io);
    progress |= uring_run_attempts(self);
    progress |= !list_empty(&self->attempts) || !list_empty(&io->finished);
    uring_fill_ring(self);
    uint64_t wait_ns = progress ? 0 : io_wait_ns(io, until_ns);
    /* Without the poll of the mailbox nobody could wake us. */
    if (wait_ns > 0 && (!self->wake_armed || !mailbox_sleep(&self->mailbox)))
        wait_ns = 0;
    uring_enter(self, wait_ns);
    mailbox_awake(&self->mailbox);
    io->now_ns = env_now(io->env);
    uring_reap(self);
    mailbox_run(&self->mailbox);
    io_turn_end(io);
}

/* ---- submitting and cancelling ---- */

/* For results known outside the turn's delivering part. */
static void uring_finish_later(struct uring_io *self, struct io_op *op, int64_t result)
{
    state_of(op)->place = PLACE_FINISHED;
    io_finish_later(&self->io, op, result);
}

/* The socket of a connect. Blocking: io_uring would take O_NONBLOCK as a wish to fail instead of waiting. */
static int uring_open_socket(struct uring_io *self, struct io_op *op)
{
    int fd;
    int err = sock_new(&op->addr, 0, &fd);
    if (err < 0)
        return err;
    err = fd_table_enter(&self->fds, fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    op->handle = fd;
    return 0;
}

static void uring_submit(struct io *io, struct io_op *op)
{
    struct uring_io *self = uring_of(io);
    *state_of(op) = (struct uring_op){.place = PLACE_QUEUE};
    int err = 0;
    if (op->type == IO_OP_CONNECT)
        err = uring_open_socket(self, op);
    else if (io_op_is_file(op))
        err = fd_table_reach(&self->fds, op->handle);
    if (err < 0) {
        uring_finish_later(self, op, err);
        return;
    }
    struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
    fd_slot_begin(slot, op);
    if (op->type == IO_OP_RECV_ANY && slot->readable) {
        state_of(op)->place = PLACE_ATTEMPT;
        list_push_back(&self->attempts, &op->node);
    } else if ((op->type == IO_OP_DISCARD || op->type == IO_OP_ZERO) && op->len == 0) {
        fd_slot_end(slot, op); /* the kernel would call it invalid */
        uring_finish_later(self, op, 0);
    } else {
        uring_enqueue(self, op);
    }
}

/* What the kernel has not seen ends here; what it has is asked for, and ends by its own completion. */
static void uring_cancel(struct io *io, struct io_op *op)
{
    struct uring_io *self = uring_of(io);
    struct uring_op *state = state_of(op);
    switch (state->place) {
    case PLACE_FINISHED:
        return;
    case PLACE_KERNEL:
        if (!state->cancelled)
            list_push_back(&self->cancels, &op->node);
        state->cancelled = true;
        return;
    case PLACE_POOL:
        if (!file_pool_cancel(&self->pool, op))
            return; /* running: it completes with its result */
        break;
    case PLACE_QUEUE:
    case PLACE_ATTEMPT:
        list_remove(&op->node);
        break;
    }
    fd_slot_end(fd_table_slot(&self->fds, op->handle), op);
    if (op->type == IO_OP_CONNECT) {
        close((int)op->handle);
        op->handle = IO_NONE;
    }
    uring_finish_later(self, op, ERR_CANCELLED);
}

/* The file pool's completion, run from the mailbox. */
static void uring_pool_done(struct io_op *op, int64_t result)
{
    uring_settle(uring_of(op->io), op, result);
}

/* ---- sockets and files ---- */

static int uring_listen(struct io *io, const struct io_addr *addr, int backlog, io_handle *out,
                        struct io_addr *bound)
{
    int fd;
    struct io_addr real;
    int err = sock_listen(addr, backlog, 0, &fd, &real);
    if (err < 0)
        return err;
    err = fd_table_enter(&uring_of(io)->fds, fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    if (bound)
        *bound = real;
    *out = fd;
    return 0;
}

static void uring_detach(struct io *io, io_handle sock)
{
    /* The ring keeps nothing about a socket between operations. */
    assert(fd_table_slot(&uring_of(io)->fds, sock)->ops == 0);
    (void)io;
    (void)sock;
}

static int uring_attach(struct io *io, io_handle sock)
{
    return fd_table_enter(&uring_of(io)->fds, (int)sock);
}

static int uring_local_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    (void)io;
    return sock_local_addr(sock, out);
}

static int uring_peer_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    (void)io;
    return sock_peer_addr(sock, out);
}

static void uring_shutdown(struct io *io, io_handle sock)
{
    (void)io;
    (void)shutdown((int)sock, SHUT_RDWR); /* not connected any more is fine */
}

static void uring_close(struct io *io, io_handle handle)
{
    struct fd_table *fds = &uring_of(io)->fds;
    assert((uint64_t)handle >= fds->count || fd_table_slot(fds, handle)->ops == 0);
    (void)fds;
    close((int)handle);
}

static int uring_file_open(struct io *io, const char *path, unsigned flags, io_handle *out,
                           struct io_file_info *info)
{
    (void)io;
    int fd;
    int err = file_open(path, flags, &fd, info);
    if (err == 0)
        *out = fd;
    return err;
}

/* ---- life ---- */

static void uring_wake(struct io *io)
{
    mailbox_wake(&uring_of(io)->mailbox);
}

static void uring_post(struct io *io, struct io_post *post)
{
    mailbox_post(&uring_of(io)->mailbox, post);
}

static void uring_free(struct io *io)
{
    struct uring_io *self = uring_of(io);
    io_fini(io);
    file_pool_fini(&self->pool);
    io_uring_queue_exit(&self->ring);
    mailbox_fini(&self->mailbox);
    fd_table_fini(&self->fds);
    env_free(io->env, self);
}

static const struct io_backend uring_backend = {
    .name = "uring",
    .free = uring_free,
    .run = uring_run,
    .wake = uring_wake,
    .post = uring_post,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .listen = uring_listen,
    .detach = uring_detach,
    .attach = uring_attach,
    .local_addr = uring_local_addr,
    .peer_addr = uring_peer_addr,
    .shutdown = uring_shutdown,
    .close = uring_close,
    .file_open = uring_file_open,
    .file_resize = file_resize,
    .file_allocate = file_allocate,
    .file_rename = file_rename,
    .file_remove = file_remove,
    .dir_sync = file_dir_sync,
};

/* Creates ring, mailbox and pool, or nothing. */
static int uring_init(struct uring_io *self)
{
    unsigned flags;
    if (!uring_choose_flags(&flags))
        return ERR_UNSUPPORTED;
    /* Disabled until the first turn: whoever enables it is the single issuer. */
    struct io_uring_params params = {.flags = flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
                                     .cq_entries = URING_CQ_ENTRIES};
    if (io_uring_queue_init_params(URING_SQ_ENTRIES, &self->ring, &params) < 0)
        return ERR_UNSUPPORTED; /* e.g. the limit of locked memory on older kernels */
    int err = mailbox_init(&self->mailbox);
    if (err == 0) {
        err = file_pool_init(&self->pool, &self->io, uring_pool_done);
        if (err < 0)
            mailbox_fini(&self->mailbox);
    }
    if (err < 0)
        io_uring_queue_exit(&self->ring);
    return err;
}

int uring_io_new(const struct env *env, struct io **out)
{
    struct uring_io *self = env_alloc(env, sizeof(*self));
    if (!self)
        return ERR_NOMEM;
    io_init(&self->io, &uring_backend, env);
    list_init(&self->queue);
    list_init(&self->cancels);
    list_init(&self->attempts);
    fd_table_init(&self->fds, env);
    int err = uring_init(self);
    if (err < 0) {
        env_free(env, self);
        return err;
    }
    *out = &self->io;
    return 0;
}
