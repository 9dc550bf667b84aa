/* Reactors on threads. A call is a message that the caller waits for; reactors never wait for anybody. */
#include "target/service/live.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "common/base/err.h"

struct thread {
    pthread_t id;
    struct live *live;
    uint32_t index;
};

struct live {
    const struct env *env;
    struct live_options options;
    struct io *ios[SCSI_REACTORS_MAX + 1]; /* owned; the last is the management thread's */
    struct host *host;
    struct thread threads[SCSI_REACTORS_MAX];
    uint32_t started;
    atomic_bool quit;
};

/* ---- life ---- */

bool live_new(const struct env *env, const struct live_options *options, struct live **out, struct outcome *o)
{
    assert(options->reactors > 0 && options->reactors <= SCSI_REACTORS_MAX);
    struct live *live = env_alloc(env, sizeof *live);
    if (!live)
        return outcome_fail(o, "out of memory");
    live->env = env;
    live->options = *options;
    enum io_kind kind = options->io;
    for (uint32_t i = 0; i <= options->reactors; i++) {
        int err = io_new(env, kind, &live->ios[i]);
        /* Files and sockets move between ios: all have to be of one kind, whatever AUTO chose first. */
        if (!err && i == 0 && !io_kind_parse(io_name(live->ios[0]), &kind))
            err = ERR_UNSUPPORTED;
        if (err) {
            live_free(live);
            return outcome_fail(o, "cannot start input and output%s: %s",
                                options->io == IO_KIND_URING ? " with io_uring" : "", err_text(err));
        }
        if (i < options->reactors)
            io_set_poll(live->ios[i], options->poll);
    }
    *out = live;
    return true;
}

struct io *live_io(struct live *live)
{
    return live->ios[live->options.reactors];
}

const char *live_io_name(const struct live *live)
{
    return io_name(live->ios[0]);
}

uint32_t live_count(const struct live *live)
{
    return live->options.reactors;
}

struct host *live_host(struct live *live)
{
    return live->host;
}

static void *thread_main(void *arg)
{
    struct thread *thread = arg;
    struct live *live = thread->live;
    while (!atomic_load_explicit(&live->quit, memory_order_acquire))
        io_run(live->ios[thread->index], UINT64_MAX);
    return NULL;
}

bool live_start(struct live *live, struct tgt_config *config, struct outcome *o)
{
    int err =
        host_new(live->env, live->ios, live->options.reactors, live->options.memory, config, &live->host);
    if (err)
        return outcome_fail(o, "cannot start the service: %s", err_text(err));
    for (uint32_t i = 0; live->options.taps && i < live->options.reactors; i++)
        host_reactor_set_tap(host_at(live->host, i), live->options.taps[i]);
    for (uint32_t i = 0; i < live->options.reactors; i++) {
        live->threads[i] = (struct thread){.live = live, .index = i};
        if (pthread_create(&live->threads[i].id, NULL, thread_main, &live->threads[i]) != 0)
            return outcome_fail(o, "cannot start thread %u of %u", i + 1, live->options.reactors);
        char name[16];
        snprintf(name, sizeof name, "reactor-%u", i % 1000); /* at most 64: the compiler does not know */
        pthread_setname_np(live->threads[i].id, name);
        live->started++;
    }
    return true;
}

void live_join(struct live *live)
{
    atomic_store_explicit(&live->quit, true, memory_order_release);
    for (uint32_t i = 0; i < live->started; i++)
        io_wake(live->ios[i]);
    for (uint32_t i = 0; i < live->started; i++)
        pthread_join(live->threads[i].id, NULL);
    live->started = 0;
}

void live_free_host(struct live *live)
{
    if (!live)
        return;
    assert(live->started == 0);
    host_free(live->host);
    live->host = NULL;
}

void live_free(struct live *live)
{
    if (!live)
        return;
    live_free_host(live);
    for (uint32_t i = 0; i <= live->options.reactors; i++)
        io_free(live->ios[i]);
    env_free(live->env, live);
}

/* ---- calls ---- */

struct call {
    struct io_post post;
    struct host_reactor *r;
    void (*fn)(struct host_reactor *r, void *arg);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    bool done;
};

static void call_run(struct io_post *post)
{
    struct call *call = container_of(post, struct call, post);
    call->fn(call->r, call->arg);
    pthread_mutex_lock(&call->lock);
    call->done = true;
    pthread_cond_signal(&call->done_cond); /* under the lock: the caller's stack goes away after it */
    pthread_mutex_unlock(&call->lock);
}

void live_call(struct live *live, uint32_t index, void (*fn)(struct host_reactor *r, void *arg), void *arg)
{
    struct call call = {.post = {.run = call_run}, .r = host_at(live->host, index), .fn = fn, .arg = arg};
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.done_cond, NULL);
    io_post(live->ios[index], &call.post);
    pthread_mutex_lock(&call.lock);
    while (!call.done)
        pthread_cond_wait(&call.done_cond, &call.lock);
    pthread_mutex_unlock(&call.lock);
    pthread_cond_destroy(&call.done_cond);
    pthread_mutex_destroy(&call.lock);
}

static void pause_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&t, NULL);
}

/* ---- operations on all reactors ---- */

struct adopting {
    struct tgt_config *config;
    bool adopted;
};

static void do_set(struct host_reactor *r, void *arg)
{
    host_reactor_set_config(r, ((struct adopting *)arg)->config);
}

static void do_adopted(struct host_reactor *r, void *arg)
{
    ((struct adopting *)arg)->adopted = host_reactor_config_adopted(r);
}

bool live_adopt(struct live *live, struct tgt_config *config, uint64_t timeout_ns)
{
    struct adopting arg = {.config = config};
    uint64_t limit = env_now(live->env) + timeout_ns, wait = 100000;
    for (uint32_t i = 0; i < live->started; i++)
        live_call(live, i, do_set, &arg);
    for (uint32_t i = 0; i < live->started; i++) {
        for (;;) {
            live_call(live, i, do_adopted, &arg);
            if (arg.adopted)
                break;
            if (env_now(live->env) > limit)
                return false;
            pause_ns(wait);
            wait = wait < 20000000 ? wait * 2 : wait;
        }
    }
    return true;
}

struct forgetting {
    struct scsi_lu *lu;
    bool gone;
};

static void do_forget(struct host_reactor *r, void *arg)
{
    struct forgetting *f = arg;
    f->gone = host_reactor_lu_forget(r, f->lu);
}

bool live_forget(struct live *live, struct scsi_lu *lu)
{
    struct forgetting arg = {.lu = lu};
    for (uint32_t i = 0; i < live->started; i++) {
        live_call(live, i, do_forget, &arg);
        if (!arg.gone)
            return false;
    }
    return true;
}

struct resizing {
    struct scsi_lu *lu;
    uint64_t size;
    char *why;
    size_t why_len;
    int err;
};

static void do_resize(struct host_reactor *r, void *arg)
{
    struct resizing *z = arg;
    struct store *store = scsi_lu_store(z->lu);
    z->err = store->ops->resize(store, host_reactor_io(r), z->size, z->why, z->why_len);
    if (z->err == 0 && (z->err = host_reactor_lu_resized(r, z->lu)) != 0)
        snprintf(z->why, z->why_len, "%s", err_text(z->err));
}

static void do_nothing(struct host_reactor *r, void *arg)
{
    (void)r;
    (void)arg;
}

int live_resize(struct live *live, struct scsi_lu *lu, uint32_t home, uint64_t size, char *why,
                size_t why_len)
{
    struct resizing arg = {.lu = lu, .size = size, .why = why, .why_len = why_len};
    live_call(live, home, do_resize, &arg);
    if (arg.err)
        return arg.err;
    /* The home reactor has told the others by the end of the turn before its next call, and a reactor's
     * messages run in order: when an empty call comes back, the news has arrived. */
    live_call(live, home, do_nothing, NULL);
    for (uint32_t i = 0; i < live->started; i++)
        live_call(live, i, do_nothing, NULL);
    return 0;
}

struct dropping {
    uint64_t id;
    bool found;
};

static void do_drop(struct host_reactor *r, void *arg)
{
    struct dropping *d = arg;
    d->found |= host_reactor_session_drop(r, d->id);
}

bool live_session_drop(struct live *live, uint64_t id)
{
    struct dropping arg = {.id = id};
    for (uint32_t i = 0; i < live->started && !arg.found; i++)
        live_call(live, i, do_drop, &arg);
    return arg.found;
}

struct notifying {
    uint64_t id;
    uint8_t code;
    const char *text;
    bool found;
};

static void do_notify(struct host_reactor *r, void *arg)
{
    struct notifying *n = arg;
    n->found |= host_reactor_session_notify(r, n->id, n->code, n->text);
}

bool live_session_notify(struct live *live, uint64_t id, uint8_t code, const char *text)
{
    struct notifying arg = {.id = id, .code = code, .text = text};
    for (uint32_t i = 0; i < live->started && !arg.found; i++)
        live_call(live, i, do_notify, &arg);
    return arg.found;
}

struct stopping {
    bool now;
    uint32_t sessions;
};

static void do_stop(struct host_reactor *r, void *arg)
{
    struct stopping *s = arg;
    s->sessions += host_reactor_stop(r, s->now);
}

uint32_t live_stop(struct live *live, bool now)
{
    struct stopping arg = {.now = now};
    for (uint32_t i = 0; i < live->started; i++)
        live_call(live, i, do_stop, &arg);
    return arg.sessions;
}

static void do_idle(struct host_reactor *r, void *arg)
{
    bool *idle = arg;
    *idle &= host_reactor_idle(r);
}

bool live_idle(struct live *live)
{
    /* Twice: between two looks a message may have moved from a reactor not yet asked to one already asked. */
    bool idle = true;
    for (int round = 0; idle && round < 2; round++)
        for (uint32_t i = 0; idle && i < live->started; i++)
            live_call(live, i, do_idle, &idle);
    return idle;
}
