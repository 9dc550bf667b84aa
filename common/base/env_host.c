/* The real world as a struct env, for programs and unit tests: the OS's clock and random source, the heap
 * with a count of its allocations, OpenSSL's digests, and the log as trace sink. POSIX. */
#include "common/base/env.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/pages.h"

static _Atomic uint64_t host_allocations;

static uint64_t host_now_ns(void *ctx)
{
    (void)ctx;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void host_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    uint8_t *p = buf;
    while (len > 0) {
        ssize_t done = getrandom(p, len, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            /* A challenge or a session handle that can be guessed is worse than no service. */
            log_error("random", "the system gives no random bytes (%s): cannot go on", strerror(errno));
            abort();
        }
        p += done;
        len -= (size_t)done;
    }
}

static void *host_alloc(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    assert((align & (align - 1)) == 0);
    void *memory = NULL;
    if (size == 0)
        size = 1; /* one distinct address for each call, so that NULL always means failure */
    if (align <= _Alignof(max_align_t)) {
        memory = calloc(1, size);
    } else if (align <= PAGES_MIN && (memory = pages_alloc(size)) != NULL) {
        /* a large buffer: zeroed, and aligned well enough */
    } else if (posix_memalign(&memory, align, size) == 0) {
        memset(memory, 0, size);
    } else {
        memory = NULL;
    }
    if (memory)
        atomic_fetch_add_explicit(&host_allocations, 1, memory_order_relaxed);
    return memory;
}

static void host_free(void *ctx, void *ptr)
{
    (void)ctx;
    if (!pages_free(ptr))
        free(ptr);
}

static const EVP_MD *host_digest(enum hash_alg alg)
{
    switch (alg) {
    case HASH_MD5:
        return EVP_md5();
    case HASH_SHA1:
        return EVP_sha1();
    case HASH_SHA256:
        return EVP_sha256();
    case HASH_SHA3_256:
        return EVP_sha3_256();
    case HASH_COUNT:
        break;
    }
    return NULL;
}

static size_t host_hash(void *ctx, enum hash_alg alg, const struct bytes *parts, size_t count, uint8_t *out)
{
    (void)ctx;
    const EVP_MD *digest = host_digest(alg);
    if (!digest)
        return 0;
    assert(EVP_MD_get_size(digest) <= (int)HASH_LEN_MAX);
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    if (!state)
        return 0;
    unsigned len = 0;
    /* Initialisation fails where the administrator has switched a digest off (MD5 under FIPS). */
    bool fine = EVP_DigestInit_ex(state, digest, NULL) == 1;
    for (size_t i = 0; fine && i < count; i++)
        fine = EVP_DigestUpdate(state, parts[i].ptr, parts[i].len) == 1;
    fine = fine && EVP_DigestFinal_ex(state, out, &len) == 1;
    EVP_MD_CTX_free(state);
    return fine ? len : 0;
}

/* What the numbers of an event are, for people. NULL: says nothing. Kinds that are not here have no numbers
 * worth reading. */
static const struct trace_labels {
    const char *kind, *a, *b;
    bool hex; /* a is a code that one reads in hexadecimal */
} trace_labels[] = {
    {"async", "event", "on CID", false},
    {"command.dropped", "CmdSN", "expected", false},
    {"conn.state.timeout", "TSIH", "CID", false},
    {"data.timeout", "task", "asked again", false},
    {"initiator.conn.failed", "CID", NULL, false},
    {"initiator.login.ok", "TSIH", "CID", false},
    {"login.failed", "status", NULL, true},
    {"login.ok", "TSIH", NULL, false},
    {"login.redirected", NULL, "group", false},
    {"logout", "reason", "CID", false},
    {"reassign", "task", "response", false},
    {"reject", "reason", "task", true},
    {"session.closing", "TSIH", NULL, false},
    {"session.down", "TSIH", NULL, false},
    {"session.up", "TSIH", NULL, false},
    {"snack", "type", "from", false},
    {"tmf", "function", "task", false},
};

static void say_number(char *buf, size_t len, const char *label, uint64_t value, bool hex)
{
    if (!label)
        buf[0] = '\0';
    else if (value == UINT32_MAX) /* a reserved tag */
        snprintf(buf, len, ", no %s", label);
    else
        snprintf(buf, len, hex ? ", %s 0x%02" PRIx64 : ", %s %" PRIu64, label, value);
}

/* ", status 0x201": the numbers with their names. */
static void say_numbers(char *buf, size_t len, const struct trace_event *event)
{
    char a[48] = "", b[48] = "";
    for (size_t i = 0; i < sizeof trace_labels / sizeof trace_labels[0]; i++) {
        const struct trace_labels *labels = &trace_labels[i];
        if (strcmp(labels->kind, event->kind) != 0)
            continue;
        say_number(a, sizeof a, labels->a, event->a, labels->hex);
        say_number(b, sizeof b, labels->b, event->b, false);
    }
    snprintf(buf, len, "%s%s", a, b);
}

static void host_trace(void *ctx, const struct trace_event *event)
{
    (void)ctx;
    static const enum log_level levels[] = {
        [TRACE_DEBUG] = LOG_LEVEL_DEBUG,
        [TRACE_INFO] = LOG_LEVEL_INFO,
        [TRACE_WARN] = LOG_LEVEL_WARN,
        [TRACE_ERROR] = LOG_LEVEL_ERROR,
    };
    enum log_level level = levels[event->level];
    if (!log_enabled(level))
        return;
    /* "login.ok" is of the area "login". */
    char area[24];
    size_t area_len = strcspn(event->kind, ".");
    snprintf(area, sizeof area, "%.*s", (int)(area_len < sizeof area ? area_len : sizeof area - 1),
             event->kind);
    char numbers[100];
    say_numbers(numbers, sizeof numbers, event);
    log_line(level, area, "%s%s%s%s%s%s", event->who ? event->who : "", event->who ? ": " : "", event->kind,
             event->text ? " " : "", event->text ? event->text : "", numbers);
}

const struct env *env_host(void)
{
    static const struct env host = {
        .now_ns = host_now_ns,
        .random = host_random,
        .alloc = host_alloc,
        .free = host_free,
        .hash = host_hash,
        .trace = host_trace,
    };
    return &host;
}

uint64_t env_host_allocations(void)
{
    return atomic_load_explicit(&host_allocations, memory_order_relaxed);
}
