/* The turn of the Linux backends, and their life. A turn tries what is worth trying, then waits for events if
 * nothing came of that, then delivers what the events make possible. */
#include <assert.h>

#include "common/io/posix.h"

enum {
    STREAM_ROUNDS = 4, /* receives of a busy socket in one turn, at most */
    BLIND_MAX = 3,     /* turns with work at hand in which nobody looks for events */
    LOOKS_MAX = 8,     /* looks at one receive while spinning, before one at all */
    SPINS_MAX = 8,     /* adaptive: waits that were too long for spinning before it ends */
    QUICK_NS = 3000    /* a wait that takes no longer has not slept */
};

/* ---- waiting ---- */

/* What there is, without waiting. */
static unsigned posix_look(struct posix_io *self)
{
    self->blind = 0;
    return self->ops->wait(self, 0);
}

/* One receive can be tried with less effort than it takes to ask for events. */
static bool posix_try_hot(struct posix_io *self)
{
    struct io_op *op = self->hot;
    if (!op || self->blind > BLIND_MAX || self->ops->pending(self))
        return false;
    list_remove(&op->node);
    bool done = posix_attempt(self, op);
    self->blind += done; /* one that always has something must not hide the others */
    return done;
}

/* Looks, without sleeping, until something is there or limit_ns is reached. */
static bool posix_spin(struct posix_io *self, uint64_t limit_ns, unsigned *found)
{
    *found = 0;
    for (unsigned look = 1;; look++) {
        if (posix_try_hot(self))
            return true;
        if (!self->hot || look % LOOKS_MAX == 0 || self->blind > BLIND_MAX || self->ops->pending(self))
            *found = posix_look(self);
        if (*found > 0 || mailbox_has_mail(&self->mailbox))
            return true;
        self->io.now_ns = env_now(self->io.env);
        if (self->io.now_ns >= limit_ns)
            return false;
    }
}

/* In the kernel, unless there is mail. */
static unsigned posix_sleep(struct posix_io *self, uint64_t wait_ns)
{
    bool mail = !mailbox_sleep(&self->mailbox);
    self->blind = 0;
    self->io.stats.sleeps += !mail;
    unsigned found = self->ops->wait(self, mail ? 0 : wait_ns);
    mailbox_awake(&self->mailbox);
    return found;
}

/* When spinning has to end: the time at which `wait_ns` are over, or earlier. */
static uint64_t posix_spin_limit(const struct posix_io *self, uint64_t wait_ns)
{
    uint64_t now_ns = self->io.now_ns, end_ns = wait_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + wait_ns;
    if (self->io.poll == IO_POLL_ALWAYS)
        return end_ns;
    /* Never longer than IO_SPIN_NS after the last completion, however often a timer or a wake comes between;
     * and not at all when what came last has always taken longer: who comes seldom is not worth a core. */
    uint64_t limit_ns = self->wait_since_ns + IO_SPIN_NS;
    if (self->io.poll == IO_POLL_NEVER || self->spins_left == 0)
        return now_ns;
    return limit_ns < end_ns ? limit_ns : end_ns;
}

/* How many events there are. wait_ns is not 0. */
static unsigned posix_wait(struct posix_io *self, uint64_t wait_ns)
{
    struct io *io = &self->io;
    if (!self->waiting)
        self->wait_since_ns = io->now_ns;
    self->waiting = true;
    uint64_t begin_ns = io->now_ns, limit_ns = posix_spin_limit(self, wait_ns);
    unsigned found;
    if (limit_ns > begin_ns && posix_spin(self, limit_ns, &found))
        return found;
    if (wait_ns != UINT64_MAX) {
        if (io->now_ns - begin_ns >= wait_ns)
            return 0;
        wait_ns -= io->now_ns - begin_ns;
    }
    return posix_sleep(self, wait_ns);
}

/* Notes whether the wait that traffic has just ended was short enough to spin for. */
static void posix_learn(struct posix_io *self)
{
    const struct io_stats *stats = &self->io.stats;
    uint64_t completions = stats->recv_ops + stats->send_ops + stats->file_ops;
    if (completions == self->completions)
        return;
    self->completions = completions;
    if (!self->waiting)
        return;
    self->waiting = false;
    if (self->io.now_ns - self->wait_since_ns <= IO_SPIN_NS)
        self->spins_left = SPINS_MAX;
    else if (self->spins_left > 0)
        self->spins_left--;
}

/* ---- the turn ---- */

/* Finished ops, attempts, wait, events, posts, timers, hook. */
void posix_run(struct io *io, uint64_t until_ns)
{
    struct posix_io *self = posix_of(io);
    io_turn_begin(io);
    self->streamed = 0;
    bool progress = io_deliver_finished(io);
    progress |= posix_run_attempts(self);
    progress |= !list_empty(&self->attempts) || !list_empty(&io->finished);
    /* With work at hand events can wait for a few turns. */
    if (!progress || self->blind++ >= BLIND_MAX || self->ops->pending(self)) {
        uint64_t begin_ns = io->now_ns, wait_ns = progress ? 0 : io_wait_ns(io, until_ns);
        unsigned found = wait_ns > 0 ? posix_wait(self, wait_ns) : posix_look(self);
        io->now_ns = env_now(io->env);
        self->quick = found == 1 && (progress || io->now_ns - begin_ns < QUICK_NS);
        if (found > 0)
            self->ops->events(self);
    }
    /* What fills its places has more behind it: whatever that asks for is then answered by the same send. */
    for (unsigned i = 0; self->more && i < STREAM_ROUNDS; i++) {
        self->more = false;
        posix_run_attempts(self);
    }
    mailbox_run(&self->mailbox);
    posix_learn(self);
    io_turn_end(io);
}

/* ---- life ---- */

void posix_wake(struct io *io)
{
    mailbox_wake(&posix_of(io)->mailbox);
}

void posix_post(struct io *io, struct io_post *post)
{
    mailbox_post(&posix_of(io)->mailbox, post);
}

/* The file pool's completion, run from the mailbox. */
static void posix_file_done(struct io_op *op, int64_t result)
{
    posix_settle(posix_of(op->io), op, result);
}

int posix_init(struct posix_io *self, const struct io_backend *backend, const struct posix_ops *ops,
               const struct env *env)
{
    io_init(&self->io, backend, env);
    self->ops = ops;
    list_init(&self->attempts);
    self->timed_turn = self->watched_turn = UINT64_MAX; /* none yet */
    fd_table_init(&self->fds, env);
    int err = mailbox_init(&self->mailbox);
    if (err < 0)
        return err;
    err = file_pool_init(&self->pool, &self->io, posix_file_done);
    if (err < 0)
        mailbox_fini(&self->mailbox);
    return err;
}

void posix_fini(struct posix_io *self)
{
    io_fini(&self->io);
    file_pool_fini(&self->pool);
    mailbox_fini(&self->mailbox);
    fd_table_fini(&self->fds);
}
