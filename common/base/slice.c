/* The chunk pool: one free list per size class. Getting and putting a chunk is a list operation without a
 * loop; only growing and trimming reach the heap. */
#include "common/base/slice.h"

#include <assert.h>
#include <stddef.h>

#include "common/base/env.h"
#include "common/base/err.h"

/* Under AddressSanitizer the data of an idle chunk is poisoned, so that a use after the last unref is
 * reported just as if the chunk had gone back to the heap. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISONS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISONS 1
#endif
#ifdef POOL_POISONS
#include <sanitizer/asan_interface.h>
#define POOL_POISON(ptr, len)   ASAN_POISON_MEMORY_REGION(ptr, len)
#define POOL_UNPOISON(ptr, len) ASAN_UNPOISON_MEMORY_REGION(ptr, len)
#else
#define POOL_POISON(ptr, len)   ((void)(ptr), (void)(len))
#define POOL_UNPOISON(ptr, len) ((void)(ptr), (void)(len))
#endif

#define POOL_CLASS_COUNT 12u /* 512 << 0 .. 512 << 11 */
#define POOL_SMALL_ALIGN 64u /* a cache line, for chunks below POOL_ALIGN */
_Static_assert(POOL_CLASS_MIN << (POOL_CLASS_COUNT - 1) == POOL_CLASS_MAX, "class count covers the range");
_Static_assert((POOL_CLASS_MIN & (POOL_CLASS_MIN - 1)) == 0, "classes are powers of two");

struct pool {
    const struct env *env; /* borrowed for the pool's life */
    uint64_t limit;        /* bytes, in use and idle together */
    uint64_t bytes_in_use; /* capacity of chunks with references */
    uint64_t bytes_shared; /* of these, taken by pool_get_share */
    uint64_t bytes_idle;   /* capacity of chunks on the free lists */
    uint64_t chunks_in_use;
    uint64_t heap_allocations;            /* since pool_new */
    struct chunk *idle[POOL_CLASS_COUNT]; /* owned; last in, first out: the warmest chunk is reused first */
};

/* Index of the smallest class that holds len bytes. */
static unsigned pool_class_of(uint32_t len)
{
    if (len <= POOL_CLASS_MIN)
        return 0;
    /* Bits needed for len - 1, less those of the smallest class: 512 -> 0, 513 -> 1, 1024 -> 1, 1025 -> 2. */
    return 32u - (unsigned)__builtin_clz(len - 1) - (unsigned)__builtin_ctz(POOL_CLASS_MIN);
}

static void *pool_heap_alloc(struct pool *pool, size_t size, size_t align)
{
    void *memory = pool->env->alloc(pool->env->ctx, size, align);
    if (memory)
        pool->heap_allocations++;
    return memory;
}

/* Header and data are separate: the data stays page aligned without waste, and an overrun of the data meets
 * the heap's own guards (ASan, malloc checks) before it meets a header. */
static struct chunk *pool_grow(struct pool *pool, uint32_t cap)
{
    struct chunk *chunk = pool_heap_alloc(pool, sizeof *chunk, 0);
    if (!chunk)
        return NULL;
    chunk->data = pool_heap_alloc(pool, cap, cap >= POOL_ALIGN ? POOL_ALIGN : POOL_SMALL_ALIGN);
    if (!chunk->data) {
        env_free(pool->env, chunk);
        return NULL;
    }
    chunk->pool = pool;
    chunk->cap = cap;
    return chunk;
}

/* Gives one idle chunk of the class back to the heap; the free list is not empty. */
static void pool_shrink(struct pool *pool, unsigned class_index)
{
    struct chunk *chunk = pool->idle[class_index];
    pool->idle[class_index] = chunk->next_free;
    pool->bytes_idle -= chunk->cap;
    POOL_UNPOISON(chunk->data, chunk->cap);
    env_free(pool->env, chunk->data);
    env_free(pool->env, chunk);
}

void pool_trim(struct pool *pool, uint64_t keep)
{
    /* Largest first: fewest calls for the most memory. */
    for (unsigned i = POOL_CLASS_COUNT; i-- > 0;) {
        while (pool->idle[i] && pool->bytes_idle > keep)
            pool_shrink(pool, i);
    }
}

int pool_new(const struct env *env, uint64_t limit, struct pool **out)
{
    struct pool *pool = env_alloc(env, sizeof *pool);
    if (!pool)
        return ERR_NOMEM;
    pool->env = env;
    pool->limit = limit;
    *out = pool;
    return ERR_OK;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    assert(pool->chunks_in_use == 0 && "a chunk outlives its pool");
    pool_trim(pool, 0);
    env_free(pool->env, pool);
}

/* A chunk from the heap, within the limit: idle chunks of other classes make room, else a pool filled once
 * with small chunks could never serve a large one again. NULL when there is no room even so. */
static struct chunk *pool_get_slow(struct pool *pool, uint32_t cap)
{
    if (pool->limit < cap || pool->bytes_in_use > pool->limit - cap)
        return NULL;
    pool_trim(pool, pool->limit - cap - pool->bytes_in_use);
    struct chunk *chunk = pool_grow(pool, cap);
    if (!chunk && pool->bytes_idle) {
        /* The machine is short of memory while idle chunks lie here: give them back and try once more. */
        pool_trim(pool, 0);
        chunk = pool_grow(pool, cap);
    }
    return chunk;
}

struct chunk *pool_get(struct pool *pool, uint32_t len)
{
    assert(len <= POOL_CLASS_MAX);
    unsigned class_index = pool_class_of(len);
    struct chunk *chunk = pool->idle[class_index];
    if (chunk) {
        pool->idle[class_index] = chunk->next_free;
        pool->bytes_idle -= chunk->cap;
        POOL_UNPOISON(chunk->data, chunk->cap);
    } else {
        chunk = pool_get_slow(pool, POOL_CLASS_MIN << class_index);
        if (!chunk)
            return NULL;
    }
    chunk->next_free = NULL;
    chunk->refs = 1;
    pool->bytes_in_use += chunk->cap;
    pool->chunks_in_use++;
    return chunk;
}

struct chunk *pool_get_share(struct pool *pool, uint32_t len)
{
    uint64_t cap = POOL_CLASS_MIN << pool_class_of(len);
    if (pool->bytes_shared + cap > pool->limit / 2)
        return NULL;
    struct chunk *chunk = pool_get(pool, len);
    if (chunk) {
        chunk->shared = true;
        pool->bytes_shared += chunk->cap;
    }
    return chunk;
}

bool pool_crowded(const struct pool *pool)
{
    return pool->bytes_in_use - pool->bytes_shared > pool->limit / 4;
}

bool pool_roomy(const struct pool *pool)
{
    return pool->bytes_in_use - pool->bytes_shared < pool->limit / 16;
}

uint64_t pool_limit(const struct pool *pool)
{
    return pool->limit;
}

uint64_t pool_bytes_in_use(const struct pool *pool)
{
    return pool->bytes_in_use;
}

uint64_t pool_chunks_in_use(const struct pool *pool)
{
    return pool->chunks_in_use;
}

uint64_t pool_heap_allocations(const struct pool *pool)
{
    return pool->heap_allocations;
}

uint8_t *chunk_exchange(struct chunk *chunk, uint8_t *memory)
{
    assert(chunk->pool && chunk->refs == 1);
    uint8_t *had = chunk->data;
    chunk->data = memory;
    return had;
}

const struct env *chunk_env(const struct chunk *chunk)
{
    return chunk->pool ? chunk->pool->env : NULL;
}

void chunk_free(struct chunk *chunk)
{
    struct pool *pool = chunk->pool;
    if (!pool) {
        chunk->release(chunk);
        return;
    }
    unsigned class_index = pool_class_of(chunk->cap);
    pool->bytes_in_use -= chunk->cap;
    pool->bytes_shared -= chunk->shared ? chunk->cap : 0;
    chunk->shared = false;
    pool->chunks_in_use--;
    pool->bytes_idle += chunk->cap;
    POOL_POISON(chunk->data, chunk->cap);
    chunk->next_free = pool->idle[class_index];
    pool->idle[class_index] = chunk;
}

struct slice slice_borrow(const void *ptr, uint32_t len)
{
    /* Through uintptr_t: the slice type has one pointer for both uses, and a borrower only reads. */
    return (struct slice){.chunk = NULL, .ptr = (uint8_t *)(uintptr_t)ptr, .len = len};
}

struct chunk *slice_whole(const struct slice *s)
{
    struct chunk *chunk = s->chunk;
    bool whole = chunk && chunk->pool && chunk->refs == 1 && s->ptr == chunk->data && s->len == chunk->cap;
    return whole ? chunk : NULL;
}
