/* What an engine needs from the world, handed to it: the engines and the codec call no clock, random source,
 * heap or environment of their own. Hosts: the service, the initiator library, the simulator, fuzzers, unit
 * tests. */
#ifndef LUNETTE_BASE_ENV_H
#define LUNETTE_BASE_ENV_H

#include <stddef.h>
#include <stdint.h>

enum hash_alg { HASH_MD5, HASH_SHA1, HASH_SHA256, HASH_SHA3_256, HASH_COUNT };
#define HASH_LEN_MAX 32u

struct bytes { /* borrowed for the duration of the call */
    const void *ptr;
    size_t len;
};

/* A typed trace event. `kind` names it ("login.ok"), a and b are numbers whose meaning the kind fixes, text
 * is borrowed and may be NULL. Secrets never appear. */
enum trace_level { TRACE_DEBUG, TRACE_INFO, TRACE_WARN, TRACE_ERROR };
struct trace_event {
    enum trace_level level;
    const char *kind;
    const char *who;  /* connection or session label, may be NULL */
    const char *text; /* may be NULL */
    uint64_t a, b;
};

struct env {
    void *ctx;
    uint64_t (*now_ns)(void *ctx);                    /* monotonic */
    void (*random)(void *ctx, void *buf, size_t len); /* cryptographic quality */
    void *(*alloc)(void *ctx, size_t size,
                   size_t align);       /* zeroed; NULL when out of memory; align is a power of two or 0 */
    void (*free)(void *ctx, void *ptr); /* NULL is fine */
    /* Digest of the concatenated parts into out[HASH_LEN_MAX]; returns the digest's length, or 0 if
     * unavailable. */
    size_t (*hash)(void *ctx, enum hash_alg alg, const struct bytes *parts, size_t count, uint8_t *out);
    void (*trace)(void *ctx, const struct trace_event *event); /* may be NULL */
};

static inline uint64_t env_now(const struct env *env)
{
    return env->now_ns(env->ctx);
}

static inline void *env_alloc(const struct env *env, size_t size)
{
    return env->alloc(env->ctx, size, 0);
}

static inline void env_free(const struct env *env, void *ptr)
{
    env->free(env->ctx, ptr);
}

static inline void env_trace(const struct env *env, enum trace_level level, const char *kind, const char *who,
                             const char *text, uint64_t a, uint64_t b)
{
    if (env->trace) {
        struct trace_event event = {level, kind, who, text, a, b};
        env->trace(env->ctx, &event);
    }
}

/* The real world: CLOCK_MONOTONIC, the OS's random source, the heap, OpenSSL's digests, the log. Used by
 * programs and by unit tests. Defined in env_host.c; static storage, thread-safe. */
const struct env *env_host(void);
/* Heap allocations made through env_host since start, for the no-allocation test (all threads; relaxed
 * atomic). */
uint64_t env_host_allocations(void);

#endif
