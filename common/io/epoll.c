/* The epoll backend: waits with epoll, where each socket is registered once, edge-triggered, for everything
 * and for good. File operations are tried with RWF_NOWAIT and go to the thread pool when that is not enough.
 * The rest is direct_posix.c. */
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

struct epoll_io {
    struct posix_io posix;
    int epoll_fd;
    bool no_pwait2; /* kernel without epoll_pwait2: millisecond waits */
    int count;      /* of events */
    struct epoll_event events[EPOLL_EVENTS_MAX];
};

static struct epoll_io *epoll_of(const struct posix_io *posix)
{
    return container_of(posix, struct epoll_io, posix);
}

/* ---- sockets ---- */

static int epoll_watch(struct posix_io *posix, io_handle sock)
{
    struct fd_slot *slot = fd_table_slot(&posix->fds, sock);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = (uint64_t)slot->generation << 32 | (uint32_t)sock};
    if (epoll_ctl(epoll_of(posix)->epoll_fd, EPOLL_CTL_ADD, (int)sock, &event) < 0)
        return err_from_errno(errno);
    slot->watched = true;
    return 0;
}

static void epoll_unwatch(struct posix_io *posix, io_handle sock)
{
    (void)epoll_ctl(epoll_of(posix)->epoll_fd, EPOLL_CTL_DEL, (int)sock, NULL);
}

/* ---- waiting ---- */

/* epoll_wait with nanoseconds. */
static int epoll_wait_ns(struct epoll_io *self, uint64_t wait_ns)
{
    if (wait_ns == 0)
        return epoll_wait(self->epoll_fd, self->events, EPOLL_EVENTS_MAX, 0);
    if (wait_ns == UINT64_MAX)
        return epoll_wait(self->epoll_fd, self->events, EPOLL_EVENTS_MAX, -1);
    if (!self->no_pwait2) {
        struct timespec limit = {.tv_sec = (time_t)(wait_ns / EPOLL_NS_PER_S),
                                 .tv_nsec = (long)(wait_ns % EPOLL_NS_PER_S)};
        int count = epoll_pwait2(self->epoll_fd, self->events, EPOLL_EVENTS_MAX, &limit, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return count;
        self->no_pwait2 = true;
    }
    /* Rounded up: waking before the deadline would mean a second, useless turn. */
    uint64_t wait_ms = (wait_ns + EPOLL_NS_PER_MS - 1) / EPOLL_NS_PER_MS;
    return epoll_wait(self->epoll_fd, self->events, EPOLL_EVENTS_MAX,
                      wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms);
}

static unsigned epoll_io_wait(struct posix_io *posix, uint64_t wait_ns)
{
    struct epoll_io *self = epoll_of(posix);
    self->count = epoll_wait_ns(self, wait_ns);
    assert(self->count >= 0 || errno == EINTR);
    return self->count > 0 ? (unsigned)self->count : 0;
}

static void epoll_events(struct posix_io *posix)
{
    struct epoll_io *self = epoll_of(posix);
    const uint32_t hangup = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    int count = self->count;
    self->count = 0;
    for (int i = 0; i < count; i++) {
        const struct epoll_event *event = &self->events[i];
        if (event->data.u64 == UINT64_MAX) {
            mailbox_drain(&posix->mailbox);
            continue;
        }
        posix_ready(posix, (io_handle)(uint32_t)event->data.u64, (uint32_t)(event->data.u64 >> 32),
                    event->events & EPOLLIN, event->events & EPOLLOUT, event->events & hangup);
    }
}

/* Whatever there is to tell the kernel it has been told. */
static bool epoll_pending(const struct posix_io *posix)
{
    (void)posix;
    return false;
}

/* ---- files ---- */

/* From the page cache if it is there; else a thread of the pool waits for the disk, not this one. */
static int64_t epoll_file_try(struct posix_io *posix, struct io_op *op)
{
    if (op->type == IO_OP_PREAD || op->type == IO_OP_PWRITE) {
        struct fd_slot *slot = fd_table_slot(&posix->fds, op->handle);
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
    posix_to_pool(posix, op);
    return WOULD_BLOCK;
}

/* Operations are with the pool or nowhere. */
static bool epoll_file_cancel(struct posix_io *posix, struct io_op *op)
{
    (void)posix;
    (void)op;
    return false;
}

/* ---- life ---- */

static void epoll_free(struct io *io)
{
    struct epoll_io *self = epoll_of(posix_of(io));
    posix_fini(&self->posix);
    close(self->epoll_fd);
    env_free(io->env, self);
}

static const struct io_backend epoll_backend = POSIX_BACKEND("epoll", epoll_free);
static const struct posix_ops epoll_ops = {
    .wait = epoll_io_wait,
    .events = epoll_events,
    .pending = epoll_pending,
    .watch = epoll_watch,
    .unwatch = epoll_unwatch,
    .file_try = epoll_file_try,
    .file_cancel = epoll_file_cancel,
};

/* Opens epoll and puts the mailbox into it; nothing stays open on failure. */
static int epoll_open(struct epoll_io *self)
{
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0)
        return err_from_errno(errno);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->posix.mailbox.event_fd, &event) == 0)
        return 0;
    int err = err_from_errno(errno);
    close(self->epoll_fd);
    return err;
}

int epoll_io_new(const struct env *env, struct io **out)
{
    struct epoll_io *self = env_alloc(env, sizeof(*self));
    if (!self)
        return ERR_NOMEM;
    int err = posix_init(&self->posix, &epoll_backend, &epoll_ops, env);
    if (err == 0 && (err = epoll_open(self)) < 0)
        posix_fini(&self->posix);
    if (err < 0) {
        env_free(env, self);
        return err;
    }
    *out = &self->posix.io;
    return 0;
}
