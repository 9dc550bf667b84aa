/* Operations by direct, non-blocking system calls, as all Linux backends do them: readiness turned into
 * completions.
 *
 * A socket is given to the backend to watch once, when first something on it would block, and for good. Its
 * slot remembers whether a receive or a send is worth trying, so a busy socket costs one recv and one sendmsg
 * per batch. What is worth trying waits on the `attempts` list for the next turn: submitting never completes.
 * A receive takes its chunk only for the call, so idle connections hold none.
 *
 * Eager receives: when one socket alone is busy, and its bytes were there when we looked, without waiting,
 * they are likely to be there the next time too. Then the receive is tried at once, which saves asking for
 * the event. Of several sockets one question tells all. */
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "common/io/posix.h"

/* ---- one try of each operation: a result, an error, or WOULD_BLOCK ---- */

/* Who waits for input is the one that spinning looks at. */
static void posix_heat(struct posix_io *self, struct io_op *op)
{
    if (op->type == IO_OP_RECV_ANY || op->type == IO_OP_RECV_INTO)
        self->hot = op;
}

/* It waits no longer. */
static void posix_cool(struct posix_io *self, const struct io_op *op)
{
    if (self->hot == op)
        self->hot = NULL;
}

/* Nothing to be had now; the next edge will say when. */
static int64_t posix_block(struct posix_io *self, struct io_op *op, bool input)
{
    struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
    if (input) {
        slot->readable = slot->hangup = false; /* whatever was announced has been consumed */
        slot->eager = false;
        posix_heat(self, op);
    } else {
        slot->writable = false;
    }
    /* What becomes ready between the try and this call is told about by the watch as the first edge. */
    int err = slot->watched ? 0 : self->ops->watch(self, op->handle);
    if (err == ERR_AGAIN) {
        list_push_back(&self->attempts, &op->node);
        err = 0;
    }
    return err < 0 ? err : WOULD_BLOCK;
}

/* One connection. Its slot is made here, so that whatever follows finds it. */
static int64_t posix_try_accept(struct posix_io *self, struct io_op *op)
{
    union sock_addr peer;
    int fd;
    do {
        socklen_t len = sizeof(peer);
        fd = accept4((int)op->handle, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && sock_accept_again(errno));
    if (fd < 0)
        return errno == EAGAIN ? posix_block(self, op, true) : err_from_errno(errno);
    int err = fd_table_enter(&self->fds, fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    if (!sock_addr_get(&peer, &op->addr))
        op->addr = (struct io_addr){0};
    sock_connected(fd, &op->addr);
    return fd;
}

/* A failed connect leaves no socket behind. */
static int64_t posix_connect_failed(struct posix_io *self, struct io_op *op, int err)
{
    fd_slot_end(fd_table_slot(&self->fds, op->handle), op);
    posix_close(&self->io, op->handle);
    op->handle = IO_NONE;
    return err;
}

/* Called twice: to start, and when the socket became writable, to see how it ended. */
static int64_t posix_try_connect(struct posix_io *self, struct io_op *op)
{
    int failure = 0;
    if (!posix_state(op)->connecting) {
        union sock_addr to;
        socklen_t len = sock_addr_put(&op->addr, &to);
        posix_state(op)->connecting = true;
        if (connect((int)op->handle, &to.any, len) == 0) {
            sock_connected((int)op->handle, &op->addr);
            return op->handle;
        }
        /* Interrupted: it goes on in the background, like a non-blocking one. */
        if (errno == EINPROGRESS || errno == EINTR) {
            int64_t blocked = posix_block(self, op, false);
            return blocked == WOULD_BLOCK ? blocked : posix_connect_failed(self, op, (int)blocked);
        }
        failure = errno;
    } else {
        socklen_t len = sizeof(failure);
        if (getsockopt((int)op->handle, SOL_SOCKET, SO_ERROR, &failure, &len) < 0)
            failure = errno;
        struct io_addr peer;
        if (failure == 0 && sock_peer_addr(op->handle, &peer) < 0)
            return posix_block(self, op, false); /* a stray edge: not connected yet */
        if (failure == 0)
            sock_connected((int)op->handle, &peer);
    }
    return failure ? posix_connect_failed(self, op, err_from_errno(failure)) : op->handle;
}

/* Both forms of receive; recv_any takes its chunk only now that bytes are likely. */
static int64_t posix_try_recv(struct posix_io *self, struct io_op *op)
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
        return posix_block(self, op, true);
    /* A short receive has emptied the socket: do not ask again before the next edge. The edge of an end of
     * stream may have come already, hence hangup. */
    struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
    if (got > 0 && (uint64_t)got < wanted)
        slot->readable = slot->hangup;
    self->streamed += got > 0 ? (uint64_t)got : 0;
    self->more = got > 0 && (uint64_t)got == wanted && self->streamed < POSIX_STREAM_LEN;
    return got;
}

/* A short send is a result: the owner sends the rest, which then waits for room. */
static int64_t posix_try_send(struct posix_io *self, struct io_op *op)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(void *)op->vec, .msg_iovlen = op->vec_count};
    ssize_t sent;
    do
        sent = sendmsg((int)op->handle, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN ? posix_block(self, op, false) : err_from_errno(errno);
    return sent;
}

static int64_t posix_try(struct posix_io *self, struct io_op *op)
{
    switch (op->type) {
    case IO_OP_ACCEPT:
        return posix_try_accept(self, op);
    case IO_OP_CONNECT:
        return posix_try_connect(self, op);
    case IO_OP_RECV_ANY:
    case IO_OP_RECV_INTO:
        return posix_try_recv(self, op);
    case IO_OP_SEND:
        return posix_try_send(self, op);
    case IO_OP_PREAD:
    case IO_OP_PWRITE:
        if (op->memory)
            return file_run(op);
        return self->ops->file_try(self, op);
    default:
        return self->ops->file_try(self, op);
    }
}

void posix_settle(struct posix_io *self, struct io_op *op, int64_t result)
{
    posix_cool(self, op);
    if (op->handle != IO_NONE) /* else a failed connect, which has left its slot */
        fd_slot_end(fd_table_slot(&self->fds, op->handle), op);
    io_deliver(&self->io, op, result);
}

bool posix_attempt(struct posix_io *self, struct io_op *op)
{
    int64_t result = posix_try(self, op);
    if (result == WOULD_BLOCK)
        return false;
    posix_settle(self, op, result);
    return true;
}

bool posix_run_attempts(struct posix_io *self)
{
    struct list_node now, *node;
    bool any = false;
    list_init(&now);
    /* What done functions submit goes to the next turn, so that one busy socket cannot keep the turn from
     * ending. */
    list_splice_back(&now, &self->attempts);
    while ((node = list_pop_front(&now)))
        any |= posix_attempt(self, list_entry(node, struct io_op, node));
    return any;
}

/* ---- readiness ---- */

/* For an op that waits in its slot. */
static void posix_wake_op(struct posix_io *self, struct io_op *op)
{
    list_remove(&op->node); /* it may be on `attempts` already */
    posix_attempt(self, op);
}

void posix_ready(struct posix_io *self, io_handle sock, uint32_t generation, bool in, bool out, bool hangup)
{
    struct fd_slot *slot = fd_table_slot(&self->fds, sock);
    /* An earlier event of this batch may have closed the socket, and its number may be in use again. */
    if (slot->generation != generation)
        return;
    slot->hangup |= hangup;
    slot->readable |= in || hangup;
    slot->writable |= out || hangup;
    slot->eager |= in && self->quick;
    if (slot->in && slot->readable)
        posix_wake_op(self, slot->in);
    /* The done function may have grown the table or closed the socket. */
    slot = fd_table_slot(&self->fds, sock);
    if (slot->generation == generation && slot->out && slot->writable)
        posix_wake_op(self, slot->out);
}

/* ---- submitting and cancelling ---- */

/* For results known outside the turn's delivering part. */
static void posix_finish_later(struct posix_io *self, struct io_op *op, int64_t result)
{
    posix_state(op)->place = PLACE_FINISHED;
    io_finish_later(&self->io, op, result);
}

/* Opens the socket of a connect; false when op has been finished instead. */
static bool posix_open_socket(struct posix_io *self, struct io_op *op)
{
    int fd;
    int err = sock_new(&op->addr, SOCK_NONBLOCK, &fd);
    if (err == 0) {
        err = fd_table_enter(&self->fds, fd);
        if (err < 0)
            close(fd);
    }
    if (err < 0) {
        posix_finish_later(self, op, err);
        return false;
    }
    op->handle = fd;
    return true;
}

/* Never blocks and never completes: at most a watch begins here. */
void posix_submit(struct io *io, struct io_op *op)
{
    struct posix_io *self = posix_of(io);
    *posix_state(op) = (struct posix_op){.place = PLACE_SLOT};
    if (op->type == IO_OP_CONNECT && !posix_open_socket(self, op))
        return;
    if (io_op_is_file(op) && fd_table_reach(&self->fds, op->handle) < 0) {
        posix_finish_later(self, op, ERR_NOMEM);
        return;
    }
    struct fd_slot *slot = fd_table_slot(&self->fds, op->handle);
    fd_slot_begin(slot, op);
    bool worth_trying = true;
    if (slot->in == op)
        worth_trying = slot->readable || (slot->eager && op->type != IO_OP_ACCEPT);
    else if (slot->out == op)
        worth_trying = slot->writable;
    if (!worth_trying) {
        int err = slot->watched ? 0 : self->ops->watch(self, op->handle);
        if (err == 0) {
            posix_heat(self, op);
            return; /* the next edge finds it in its slot */
        }
        if (err != ERR_AGAIN) {
            fd_slot_end(slot, op);
            posix_finish_later(self, op, err);
            return;
        }
    }
    list_push_back(&self->attempts, &op->node);
}

void posix_to_pool(struct posix_io *self, struct io_op *op)
{
    posix_state(op)->place = PLACE_POOL;
    file_pool_submit(&self->pool, op);
}

/* Every place an op can be in but a running thread and the kernel lets it go at once. */
void posix_cancel(struct io *io, struct io_op *op)
{
    struct posix_io *self = posix_of(io);
    posix_cool(self, op);
    switch (posix_state(op)->place) {
    case PLACE_FINISHED:
        return;
    case PLACE_POOL:
        if (!file_pool_cancel(&self->pool, op))
            return; /* running: it completes with its result */
        break;
    case PLACE_BACKEND:
        if (!self->ops->file_cancel(self, op))
            return; /* it completes, one way or the other */
        break;
    case PLACE_SLOT:
        list_remove(&op->node);
        break;
    }
    if (op->type == IO_OP_CONNECT)
        posix_connect_failed(self, op, ERR_CANCELLED);
    else
        fd_slot_end(fd_table_slot(&self->fds, op->handle), op);
    posix_finish_later(self, op, ERR_CANCELLED);
}

/* ---- sockets and files between operations ---- */

int posix_listen(struct io *io, const struct io_addr *addr, int backlog, io_handle *out,
                 struct io_addr *bound)
{
    int fd;
    struct io_addr real;
    int err = sock_listen(addr, backlog, SOCK_NONBLOCK, &fd, &real);
    if (err < 0)
        return err;
    err = fd_table_enter(&posix_of(io)->fds, fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    if (bound)
        *bound = real;
    fd_table_slot(&posix_of(io)->fds, fd)->listens = true;
    *out = fd;
    return 0;
}

/* The watch ends now: the new io may begin its own as soon as it knows the handle. */
void posix_detach(struct io *io, io_handle sock)
{
    struct posix_io *self = posix_of(io);
    struct fd_slot *slot = fd_table_slot(&self->fds, sock);
    assert(slot->ops == 0);
    if (slot->watched)
        self->ops->unwatch(self, sock);
    slot->watched = false;
    slot->generation++; /* events of this turn that are still to be looked at */
}

int posix_attach(struct io *io, io_handle sock)
{
    return fd_table_enter(&posix_of(io)->fds, (int)sock);
}

int posix_local_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    (void)io;
    return sock_local_addr(sock, out);
}

int posix_peer_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    (void)io;
    return sock_peer_addr(sock, out);
}

void posix_shutdown(struct io *io, io_handle sock)
{
    (void)io;
    (void)shutdown((int)sock, SHUT_RDWR); /* not connected any more is fine */
}

void posix_close(struct io *io, io_handle handle)
{
    struct posix_io *self = posix_of(io);
    /* A handle that was detached and never attached again, or a file of another io, has no slot here. */
    if ((uint64_t)handle < self->fds.count) {
        struct fd_slot *slot = fd_table_slot(&self->fds, handle);
        assert(slot->ops == 0);
        if (slot->watched) {
            /* The watch may hold the socket a little longer than we do; its port has to be free now. */
            if (slot->listens)
                (void)shutdown((int)handle, SHUT_RDWR);
            self->ops->unwatch(self, handle);
        }
        slot->watched = false;
        slot->generation++;
    }
    file_unlock((int)handle);
    close((int)handle);
}

int posix_file_open(struct io *io, const char *path, unsigned flags, io_handle *out,
                    struct io_file_info *info)
{
    int fd;
    struct io_file_info found;
    int err = file_open(path, flags, &fd, &found);
    if (err < 0)
        return err;
    err = fd_table_enter(&posix_of(io)->fds, fd);
    if (err < 0) {
        close(fd);
        return err;
    }
    if (info)
        *info = found;
    *out = fd;
    return 0;
}
