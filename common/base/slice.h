/* Slices over reference-counted chunks from a per-reactor pool.
 *
 * A pool belongs to one thread: none of this locks. A chunk never changes its pool, and a slice never leaves
 * the reactor of its pool. Chunks come in size classes (powers of two, POOL_CLASS_MIN .. POOL_CLASS_MAX);
 * freed chunks stay on the pool's free lists, so the steady state allocates nothing. The pool counts every
 * heap allocation (pool_heap_allocations), which is what the no-allocation test reads. */
#ifndef LUNETTE_BASE_SLICE_H
#define LUNETTE_BASE_SLICE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_CLASS_MIN 512u            /* bytes: smallest chunk */
#define POOL_CLASS_MAX (1024u * 1024u) /* bytes: largest chunk */
#define POOL_ALIGN     4096u           /* alignment of chunk data of 4 KiB and above (O_DIRECT) */

struct env;
struct pool;

struct io_vec { /* one place of a gather or scatter list; same order as POSIX struct iovec */
    void *ptr;
    size_t len; /* bytes */
};

struct chunk {
    struct pool *pool;                    /* borrowed: outlives the chunk; NULL: somebody else's memory, */
    void (*release)(struct chunk *chunk); /* who is told of the last unref */
    struct chunk *next_free;
    uint32_t refs;
    uint32_t cap;  /* bytes at data */
    bool shared;   /* taken by pool_get_share */
    uint8_t *data; /* owned with the chunk */
};

/* A view of bytes. chunk == NULL: the bytes are borrowed from somebody who promised to keep them. */
struct slice {
    struct chunk *chunk; /* holds one reference, or NULL */
    uint8_t *ptr;
    uint32_t len;
};

/* `limit` is the most bytes of chunks that may exist at once (in use and free together). Memory comes from
 * env. */
int pool_new(const struct env *env, uint64_t limit, struct pool **out);
/* All chunks must have come back: asserts that none is in use. */
void pool_free(struct pool *pool);

/* A chunk of at least `len` bytes with one reference, or NULL when the limit is reached or memory is out
 * (then the caller waits or answers BUSY). len <= POOL_CLASS_MAX. Contents are undefined. */
struct chunk *pool_get(struct pool *pool, uint32_t len);
/* The same for memory that its holder keeps until bytes have arrived or left: at most half of the pool is
 * given out so, for what arrives needs memory too. */
struct chunk *pool_get_share(struct pool *pool, uint32_t len);
/* Bytes in use that pool_get gave out exceed a quarter of the limit: whoever wants to keep what has arrived
 * has to refuse it instead, or nothing could arrive any more. */
bool pool_crowded(const struct pool *pool);
/* They are less than a sixteenth of it: receives may be generous. */
bool pool_roomy(const struct pool *pool);
uint64_t pool_limit(const struct pool *pool);
uint64_t pool_bytes_in_use(const struct pool *pool);
uint64_t pool_chunks_in_use(const struct pool *pool);
uint64_t pool_heap_allocations(const struct pool *pool);
/* Gives free chunks back to the heap until at most `keep` bytes lie idle. */
void pool_trim(struct pool *pool, uint64_t keep);

/* Gives a chunk of a pool other memory, `memory` of at least chunk->cap bytes from chunk_env with the
 * alignment that pool_get promises, and returns what it had: each is now the other's to free. The chunk has
 * one reference. */
uint8_t *chunk_exchange(struct chunk *chunk, uint8_t *memory);
/* Where its memory comes from; NULL: not from a pool. */
const struct env *chunk_env(const struct chunk *chunk);

void chunk_free(struct chunk *chunk); /* chunk_unref's other half: the last reference is gone */

/* Inline, as the slices below: every PDU takes and drops some. */
static inline void chunk_ref(struct chunk *chunk)
{
    assert(chunk->refs > 0 && chunk->refs < UINT32_MAX);
    chunk->refs++;
}
static inline void chunk_unref(struct chunk *chunk) /* NULL is fine */
{
    if (!chunk)
        return;
    assert(chunk->refs > 0 && "unref of an idle chunk");
    if (--chunk->refs == 0)
        chunk_free(chunk);
}

/* A slice of the chunk that takes over the caller's reference. */
static inline struct slice slice_take(struct chunk *chunk, uint32_t offset, uint32_t len)
{
    assert(offset <= chunk->cap && len <= chunk->cap - offset);
    return (struct slice){.chunk = chunk, .ptr = chunk->data + offset, .len = len};
}
/* Another view of the same bytes, with its own reference. offset + len <= s->len. */
static inline struct slice slice_sub(const struct slice *s, uint32_t offset, uint32_t len)
{
    assert(offset <= s->len && len <= s->len - offset);
    if (s->chunk)
        chunk_ref(s->chunk);
    /* An empty borrowed slice may have no address, and NULL + 0 is undefined in C. */
    return (struct slice){.chunk = s->chunk, .ptr = s->ptr ? s->ptr + offset : NULL, .len = len};
}
/* Borrowed bytes: no reference. */
struct slice slice_borrow(const void *ptr, uint32_t len);
/* The chunk whose memory the slice is, all of it, while nobody else looks at it; else NULL. */
struct chunk *slice_whole(const struct slice *s);
/* Drops the reference and empties the slice. */
static inline void slice_release(struct slice *s)
{
    chunk_unref(s->chunk);
    *s = (struct slice){0};
}

#endif
