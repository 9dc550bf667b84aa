/* The epoll backend: readiness turned into completions.
 *
 * Each socket is registered once, edge-triggered, when first something on it would block. Its slot remembers
 * whether a receive or a send is worth trying, so a busy socket costs one recv and one sendmsg per turn and
 * no epoll_ctl at all. Operations that are worth trying wait on the `attempts` list for the next turn:
 * submitting never completes. File operations are tried with RWF_NOWAIT and go to the thread pool when that
 * is not enough. */
#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "common/io/posix.h"

enum {
    EPOLL_EVENTS_MAX = 128,
    EPOLL_SKIP_NOWAIT = 4096 /* operations before RWF_NOWAIT is tried again on a file that refused it */
};
#define EPOLL_NS_PER_MS UINT64_C(1000000)
#define EPOLL_NS_PER_S  UINT64_C(1000000000)

/* Not an error and not a byte count: the operation has to wait. */
#define WOULD_BLOCK INT64_MIN

struct epoll_io {
    struct io io;
    int epoll_fd;
    bool no_pwait2; /* kernel without epoll_pwait2: millisecond waits */
    struct mailbox mailbox;
    struct fd_table fds;
    struct list_node attempts; /* ops worth trying now */
    struct file_pool pool;
};

/* Where a busy op is. Lives behind file_job in io_op.backend. */
enum epoll_op_place { PLACE_SLOT, PLACE_POOL, PLACE_FINISHED };
struct IO_MAY_ALIAS epoll_op {
    struct file_job job;
    enum epoll_op_place place; /* PLACE_SLOT: on `attempts` or waiting for readiness */
    bool connecting;           /* connect has been called */
};
_Static_assert(sizeof(struct epoll_op) <= sizeof(((struct io_op *)0)->backend), "epoll_op fits");

/* What this backend keeps in the op while it is busy. */
static struct epoll_op *state_of(struct io_op *op)
{
    return (struct epoll_op *)op->backend;
}

static struct epoll_io *epoll_of(struct io *io)
{
    return container_of(io, struct epoll_io, io);
}

/* ---- registration ---- */

/* Puts the socket into the interest list unless it is there: for everything, for good. */
static int epoll_register(struct epoll_io *self, io_handle handle)
{
    struct fd_slot *slot = fd_table_slot(&self->fds, handle);
    if (slot->registered)
        return 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = (uint64_t)slot->generation << 32 | (uint32_t)handle};
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, (int)handle, &event) < 0)
        return err_from_errno(errno);
    /* The kernel reports what is ready at this moment as the first edge, so nothing between the try and this
     * call is lost. */
    slot->registered = true;
    return 0;
}

/* ---- one try of each operation: a result, an error, or WOULD_BLOCK ---- */

/* Nothing to be had now; the next edge will say when. */
static int64_t epoll_block(struct epoll_io *self, struct io_op *op, bool input)
{
    struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
    if (input)
        slot->readable = slot->hangup = false; /* whatever was announced has been consumed */
    else
        slot->writable = false;
    int err = epoll_register(self, op->handle);
    return err < 0 ? err : WOULD_BLOCK;
}

/* One connection. Its slot is made here, so that whatever follows finds it. */
static int64_t epoll_try_accept(struct epoll_io *self, struct io_op *op)
{
    union sock_addr peer;
    int fd;
    do {
        socklen_t len = sizeof(peer);
        fd = accept4((int)op->handle, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && sock_accept_again(errno));
    if (fd < 0)
        return errno == EAGAIN ? epoll_block(self, op, true) : err_from_errno(errno);
    int err = fd_table_enter(&self->fds, fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    sock_set_no_delay(fd);
    if (!sock_addr_get(&peer, &op->addr))
        op->addr = (struct io_addr){0};
    return fd;
}

/* A failed connect leaves no socket behind. */
static int64_t epoll_connect_failed(struct epoll_io *self, struct io_op *op, int err)
{
    struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
    fd_slot_end(slot, op);
    close((int)op->handle);
    op->handle = IO_NONE;
    return err;
}

/* Called twice: to start, and when the socket became writable, to see how it ended. */
static int64_t epoll_try_connect(struct epoll_io *self, struct io_op *op)
{
    int failure = 0;
    if (!state_of(op)->connecting) {
        union sock_addr to;
        socklen_t len = sock_addr_put(&op->addr, &to);
        state_of(op)->connecting = true;
        if (connect((int)op->handle, &to.any, len) == 0)
            return op->handle;
        /* Interrupted: it goes on in the background, like a non-blocking one. */
        if (errno == EINPROGRESS || errno == EINTR) {
            int64_t blocked = epoll_block(self, op, false);
            return blocked == WOULD_BLOCK ? blocked : epoll_connect_failed(self, op, (int)blocked);
        }
        failure = errno;
    } else {
        socklen_t len = sizeof(failure);
        if (getsockopt((int)op->handle, SOL_SOCKET, SO_ERROR, &failure, &len) < 0)
            failure = errno;
        struct io_addr peer;
        if (failure == 0 && sock_peer_addr(op->handle, &peer) < 0)
            return epoll_block(self, op, false); /* a stray edge: not connected yet */
    }
    return failure ? epoll_connect_failed(self, op, err_from_errno(failure)) : op->handle;
}

/* Both forms of receive; recv_any takes its chunk only now that bytes are likely. */
static int64_t epoll_try_recv(struct epoll_io *self, struct io_op *op)
{
    int64_t got;
    uint64_t wanted;
    if (op->type == IO_OP_RECV_ANY) {
        wanted = op->chunk_len;
        got = sock_recv_any(op);
    } else {
        struct msghdr msg = {.msg_iov = (struct iovec *)(void *)op->vec, .msg_iovlen = op->vec_count};
        wanted = io_vec_bytes(op->vec, op->vec_count);
        do
            got = recvmsg((int)op->handle, &msg, MSG_DONTWAIT);
        while (got < 0 && errno == EINTR);
        if (got < 0)
            got = err_from_errno(errno);
    }
    if (got == ERR_AGAIN)
        return epoll_block(self, op, true);
    /* A short receive has emptied the socket: do not ask again before the next edge. The edge of an end of
     * stream may have come already, hence hangup. */
    struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
    if (got > 0 && (uint64_t)got < wanted)
        slot->readable = slot->hangup;
    return got;
}

/* A short send is a result: the owner sends the rest, which then waits for room. */
static int64_t epoll_try_send(struct epoll_io *self, struct io_op *op)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(void *)op->vec, .msg_iovlen = op->vec_count};
    ssize_t sent;
    do
        sent = sendmsg((int)op->handle, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN ? epoll_block(self, op, false) : err_from_errno(errno);
    return sent;
}

/* From the page cache if it is there; else a thread of the pool waits for the disk, not this one. */
static int64_t epoll_try_file(struct epoll_io *self, struct io_op *op)
{
    if (op->type == IO_OP_PREAD || op->type == IO_OP_PWRITE) {
        struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
        uint16_t *skip = &slot->skip_nowait[op->type == IO_OP_PWRITE];
        if (*skip == 0) {
            int64_t done = file_try(op);
            if (done != ERR_AGAIN && done != ERR_UNSUPPORTED)
                return done;
            /* Not for ever: the file may be closed on another io and its number go to one where it works. */
            *skip = done == ERR_UNSUPPORTED ? EPOLL_SKIP_NOWAIT : 0;
        } else {
            --*skip;
        }
    }
    state_of(op)->place = PLACE_POOL;
    file_pool_submit(&self->pool, op);
    return WOULD_BLOCK;
}

static int64_t epoll_try(struct epoll_io *self, struct io_op *op)
{
    switch (op->type) {
    case IO_OP_ACCEPT:
        return epoll_try_accept(self, op);
    case IO_OP_CONNECT:
        return epoll_try_connect(self, op);
    case IO_OP_RECV_ANY:
    case IO_OP_RECV_INTO:
        return epoll_try_recv(self, op);
    case IO_OP_SEND:
        return epoll_try_send(self, op);
    default:
        return epoll_try_file(self, op);
    }
}

/* Tries op (which is on no list) and delivers when that settles it. */
static bool epoll_attempt(struct epoll_io *self, struct io_op *op)
{
    int64_t result = epoll_try(self, op);
    if (result == WOULD_BLOCK)
        return false;
    if (op->handle != IO_NONE) /* else a failed connect, which has left its slot */
        fd_slot_end(fd_table_slot(&self->fds, op->handle), op);
    io_deliver(&self->io, op, result);
    return true;
}

/* ---- the turn ---- */

/* Everything that was worth trying when the turn began. */
static bool epoll_run_attempts(struct epoll_io *self)
{
    struct list_node now, *node;
    bool any = false;
    list_init(&now);
    /* What done functions submit goes to the next turn, so that one busy socket cannot keep the turn from
     * ending. */
    list_splice_back(&now, &self->attempts);
    while ((node = list_pop_front(&now)))
        any |= epoll_attempt(self, list_entry(node, struct io_op, node));
    return any;
}

/* epoll_wait with nanoseconds. */
static int epoll_wait_ns(struct epoll_io *self, struct epoll_event *events, uint64_t wait_ns)
{
    if (wait_ns == 0)
        return epoll_wait(self->epoll_fd, events, EPOLL_EVENTS_MAX, 0);
    if (wait_ns == UINT64_MAX)
        return epoll_wait(self->epoll_fd, events, EPOLL_EVENTS_MAX, -1);
    if (!self->no_pwait2) {
        struct timespec limit = {.tv_sec = (time_t)(wait_ns / EPOLL_NS_PER_S),
                                 .tv_nsec = (long)(wait_ns % EPOLL_NS_PER_S)};
        int count = epoll_pwait2(self->epoll_fd, events, EPOLL_EVENTS_MAX, &limit, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return count;
        self->no_pwait2 = true;
    }
    /* Rounded up: waking before the deadline would mean a second, useless turn. */
    uint64_t wait_ms = (wait_ns + EPOLL_NS_PER_MS - 1) / EPOLL_NS_PER_MS;
    return epoll_wait(self->epoll_fd, events, EPOLL_EVENTS_MAX,
                      wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms);
}

/* Readiness for an op that waits in its slot. */
static void epoll_wake_op(struct epoll_io *self, struct io_op *op)
{
    list_remove(&op->node); /* it may be on `attempts` already */
    epoll_attempt(self, op);
}

/* Notes what the edge says in the slot, then tries what waits for it. */
static void epoll_handle_event(struct epoll_io *self, const struct epoll_event *event)
{
    if (event->data.u64 == UINT64_MAX) {
        mailbox_drain(&self->mailbox);
        return;
    }
    io_handle handle = (io_handle)(uint32_t)event->data.u64;
    uint32_t generation = (uint32_t)(event->data.u64 >> 32);
    struct fd_slot *slot = fd_table_slot(&self->fds, handle);
    /* An earlier event of this batch may have closed the socket, and its number may be in use again. */
    if (slot->generation != generation)
        return;
    slot->hangup |= (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    slot->readable |= (event->events & EPOLLIN) || slot->hangup;
    slot->writable |= (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    if (slot->in && slot->readable)
        epoll_wake_op(self, slot->in);
    slot = fd_table_slot(&self->fds,
                         handle); /* the done function may have grown the table or closed the socket */
    if (slot->generation == generation && slot->out && slot->writable)
        epoll_wake_op(self, slot->out);
}

/* Finished ops, attempts, wait, events, posts, timers, hook. */
static void epoll_run(struct io *io, uint64_t until_ns)
{
    struct epoll_io *self = epoll_of(io);
    struct epoll_event events[EPOLL_EVENTS_MAX];
    io_turn_begin(io);
    bool progress = io_deliver_finished(io);
    progress |= epoll_run_attempts(self);
    progress |= !list_empty(&self->attempts) || !list_empty(&io->finished);
    uint64_t wait_ns = progress ? 0 : io_wait_ns(io, until_ns);
    if (wait_ns > 0 && !mailbox_sleep(&self->mailbox))
        wait_ns = 0;
    int count = epoll_wait_ns(self, events, wait_ns);
    assert(count >= 0 || errno == EINTR);
    mailbox_awake(&self->mailbox);
    io->now_ns = env_now(io->env);
    for (int i = 0; i < count; i++)
        epoll_handle_event(self, &events[i]);
    mailbox_run(&self->mailbox);
    io_turn_end(io);
}

/* ---- submitting and cancelling ---- */

/* For results known outside the turn's delivering part. */
static void epoll_finish_later(struct epoll_io *self, struct io_op *op, int64_t result)
{
    state_of(op)->place = PLACE_FINISHED;
    io_finish_later(&self->io, op, result);
}

/* Opens the socket of a connect; false when op has been finished instead. */
static bool epoll_open_socket(struct epoll_io *self, struct io_op *op)
{
    int fd;
    int err = sock_new(&op->addr, SOCK_NONBLOCK, &fd);
    if (err == 0) {
        err = fd_table_enter(&self->fds, fd);
        if (err < 0)
            close(fd);
    }
    if (err < 0) {
        epoll_finish_later(self, op, err);
        return false;
    }
    op->handle = fd;
    return true;
}

/* Never blocks and never completes: at most an epoll_ctl happens here. */
static void epoll_submit(struct io *io, struct io_op *op)
{
    struct epoll_io *self = epoll_of(io);
    *state_of(op) = (struct epoll_op){.place = PLACE_SLOT};
    if (op->type == IO_OP_CONNECT && !epoll_open_socket(self, op))
        return;
    if (io_op_is_file(op) && fd_table_reach(&self->fds, op->handle) < 0) {
        epoll_finish_later(self, op, ERR_NOMEM);
        return;
    }
    struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
    fd_slot_begin(slot, op);
    bool worth_trying = slot->in == op ? slot->readable : slot->out == op ? slot->writable : true;
    if (!worth_trying) {
        int err = epoll_register(self, op->handle);
        if (err == 0)
            return; /* the next edge finds it in its slot */
        fd_slot_end(slot, op);
        epoll_finish_later(self, op, err);
        return;
    }
    list_push_back(&self->attempts, &op->node);
}

/* Every place an op can be in but a running thread lets it go at once. */
static void epoll_cancel(struct io *io, struct io_op *op)
{
    struct epoll_io *self = epoll_of(io);
    switch (state_of(op)->place) {
    case PLACE_FINISHED:
        return;
    case PLACE_POOL:
        if (!file_pool_cancel(&self->pool, op))
            return; /* running: it completes with its result */
        break;
    case PLACE_SLOT:
        list_remove(&op->node);
        break;
    }
    if (op->type == IO_OP_CONNECT)
        epoll_connect_failed(self, op, ERR_CANCELLED);
    else
        fd_slot_end(fd_table_slot(&self->fds, op->handle), op);
    epoll_finish_later(self, op, ERR_CANCELLED);
}

/* The file pool's completion, run from the mailbox. */
static void epoll_file_done(struct io_op *op, int64_t result)
{
    struct epoll_io *self = epoll_of(op->io);
    fd_slot_end(fd_table_slot(&self->fds, op->handle), op);
    io_deliver(&self->io, op, result);
}

/* ---- sockets ---- */

static int epoll_listen(struct io *io, const struct io_addr *addr, int backlog, io_handle *out,
                        struct io_addr *bound)
{
    int fd;
    struct io_addr real;
    int err = sock_listen(addr, backlog, SOCK_NONBLOCK, &fd, &real);
    if (err < 0)
        return err;
    err = fd_table_enter(&epoll_of(io)->fds, fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    if (bound)
        *bound = real;
    *out = fd;
    return 0;
}

/* The registration goes now: the new io may register as soon as it knows the handle. */
static void epoll_detach(struct io *io, io_handle sock)
{
    struct epoll_io *self = epoll_of(io);
    struct fd_slot *slot = fd_table_slot(&self->fds, sock);
    assert(slot->ops == 0);
    if (slot->registered)
        (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, (int)sock, NULL);
    slot->registered = false;
    slot->generation++; /* events of this turn that are still to be looked at */
}

static int epoll_attach(struct io *io, io_handle sock)
{
    return fd_table_enter(&epoll_of(io)->fds, (int)sock);
}

static int epoll_local_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    (void)io;
    return sock_local_addr(sock, out);
}

static int epoll_peer_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    (void)io;
    return sock_peer_addr(sock, out);
}

static void epoll_shutdown(struct io *io, io_handle sock)
{
    (void)io;
    (void)shutdown((int)sock, SHUT_RDWR); /* not connected any more is fine */
}

static void epoll_close(struct io *io, io_handle handle)
{
    struct fd_table *fds = &epoll_of(io)->fds;
    /* A handle that was detached and never attached again has no slot here. */
    if ((uint64_t)handle < fds->count) {
        struct fd_slot *slot = fd_table_slot(fds, handle);
        assert(slot->ops == 0);
        slot->generation++;
        slot->registered = false; /* closing takes it out of the interest list */
    }
    close((int)handle);
}

static int epoll_file_open(struct io *io, const char *path, unsigned flags, io_handle *out,
                           struct io_file_info *info)
{
    int fd;
    struct io_file_info found;
    int err = file_open(path, flags, &fd, &found);
    if (err < 0)
        return err;
    err = fd_table_enter(&epoll_of(io)->fds, fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    if (info)
        *info = found;
    *out = fd;
    return 0;
}

/* ---- life ---- */

static void epoll_io_wake(struct io *io)
{
    mailbox_wake(&epoll_of(io)->mailbox);
}

static void epoll_post(struct io *io, struct io_post *post)
{
    mailbox_post(&epoll_of(io)->mailbox, post);
}

static void epoll_free(struct io *io)
{
    struct epoll_io *self = epoll_of(io);
    io_fini(io);
    file_pool_fini(&self->pool);
    mailbox_fini(&self->mailbox);
    fd_table_fini(&self->fds);
    close(self->epoll_fd);
    env_free(io->env, self);
}

static const struct io_backend epoll_backend = {
    .name = "epoll",
    .free = epoll_free,
    .run = epoll_run,
    .wake = epoll_io_wake,
    .post = epoll_post,
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .listen = epoll_listen,
    .detach = epoll_detach,
    .attach = epoll_attach,
    .local_addr = epoll_local_addr,
    .peer_addr = epoll_peer_addr,
    .shutdown = epoll_shutdown,
    .close = epoll_close,
    .file_open = epoll_file_open,
    .file_resize = file_resize,
    .file_allocate = file_allocate,
    .file_rename = file_rename,
    .file_remove = file_remove,
    .dir_sync = file_dir_sync,
};

/* Opens epoll and puts the mailbox into it; what was opened is closed again on failure. */
static int epoll_init(struct epoll_io *self)
{
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0)
        return err_from_errno(errno);
    int err = mailbox_init(&self->mailbox);
    if (err < 0) {
        close(self->epoll_fd);
        return err;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->mailbox.event_fd, &event) < 0)
        err = err_from_errno(errno);
    else
        err = file_pool_init(&self->pool, &self->io, epoll_file_done);
    if (err < 0) {
        mailbox_fini(&self->mailbox);
        close(self->epoll_fd);
    }
    return err;
}

int epoll_io_new(const struct env *env, struct io **out)
{
    struct epoll_io *self = env_alloc(env, sizeof(*self));
    if (!self)
        return ERR_NOMEM;
    io_init(&self->io, &epoll_backend, env);
    list_init(&self->attempts);
    fd_table_init(&self->fds, env);
    int err = epoll_init(self);
    if (err < 0) {
        env_free(env, self);
        return err;
    }
    *out = &self->io;
    return 0;
}
