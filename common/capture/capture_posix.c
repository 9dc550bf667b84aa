/* The capture's life. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/err.h"
#include "common/capture/capture_internal.h"

static uint64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static bool copy_text(char *to, size_t len, const char *from)
{
    int n = snprintf(to, len, "%s", from ? from : "");
    return n >= 0 && (size_t)n < len;
}

static int locks_init(struct capture *c)
{
    /* Default mutexes and conditions cannot fail on the systems that this file is for. */
    for (uint32_t i = 0; i < CAPTURE_SHARDS; i++)
        pthread_mutex_init(&c->shards[i].lock, NULL);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int err = pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    return err ? ERR_NOMEM : 0;
}

static void destroy(struct capture *c)
{
    for (uint32_t i = 0; i < c->lane_count; i++) {
        ring_fini(&c->lanes[i].ring, c->env);
        while (c->lanes[i].gone) {
            struct capture_conn *conn = c->lanes[i].gone;
            c->lanes[i].gone = conn->next;
            env_free(c->env, conn);
        }
    }
    lanes_free_conns(c);
    writer_fini(c);
    for (uint32_t i = 0; i < CAPTURE_SHARDS; i++)
        pthread_mutex_destroy(&c->shards[i].lock);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    env_free(c->env, c);
}

static int start_thread(struct capture *c)
{
    /* Signals are the main thread's business. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int err = pthread_create(&c->thread, NULL, writer_run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err ? ERR_NOMEM : 0;
}

int capture_open(const struct env *env, const struct capture_options *options, struct capture **out,
                 char *why, size_t why_len)
{
    char ignored[8];
    if (!why) {
        why = ignored;
        why_len = sizeof ignored;
    }
    snprintf(why, why_len, "out of memory");
    if (!options->path || options->taps < 1 || options->taps > CAPTURE_LANES_MAX)
        return ERR_INVALID;
    struct capture *c = env->alloc(env->ctx, sizeof *c + options->taps * sizeof c->lanes[0], 64);
    if (!c)
        return ERR_NOMEM;
    c->env = env;
    c->options = *options;
    c->writer.fd = -1;
    c->lane_count = options->taps;
    c->wall_offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
    int err = locks_init(c);
    for (uint32_t i = 0; i < c->lane_count; i++) {
        lane_init(&c->lanes[i], c, i);
        if (!err)
            err = ring_init(&c->lanes[i].ring, env, options->buffer);
    }
    if (!err && (!copy_text(c->path, sizeof c->path, options->path) ||
                 !copy_text(c->session, sizeof c->session, options->session))) {
        snprintf(why, why_len, "%s: the name is too long", options->path);
        err = ERR_TOOBIG;
    }
    copy_text(c->application, sizeof c->application, options->application);
    if (!err)
        err = writer_open(c, why, why_len);
    if (!err)
        err = start_thread(c);
    if (err) {
        destroy(c);
        return err;
    }
    *out = c;
    return 0;
}

void capture_close(struct capture *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    destroy(c);
}

void capture_get_stats(struct capture *c, struct capture_stats *out)
{
    *out = (struct capture_stats){0};
    for (uint32_t i = 0; i < c->lane_count; i++) {
        struct capture_lane *lane = &c->lanes[i];
        out->pdus += atomic_load_explicit(&lane->pdus, memory_order_relaxed);
        out->pdu_bytes += atomic_load_explicit(&lane->pdu_bytes, memory_order_relaxed);
        out->dropped += atomic_load_explicit(&lane->dropped, memory_order_relaxed);
        out->dropped_bytes += atomic_load_explicit(&lane->dropped_bytes, memory_order_relaxed);
    }
    out->frames = atomic_load_explicit(&c->writer.frames, memory_order_relaxed);
    out->file_bytes = atomic_load_explicit(&c->writer.bytes, memory_order_relaxed);
    out->err = atomic_load_explicit(&c->writer.err, memory_order_relaxed);
}
