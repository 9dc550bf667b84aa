/* The memory store: sparse, gone when the service ends. Extents of 64 KiB are made by the first write and
 * given back by DISCARD and ZERO of whole extents.
 *
 * Called by several reactor threads at once. Three levels of tables, each installed once by compare-exchange
 * and there until close; the last one holds the extents, each with a read-write spin lock of its own: an
 * extent can be freed, and overlapping reads and writes of careless clients are no data race. A command
 * touches one line of the tables and the bytes.
 *
 * Reads can be lent: as long as they are, a write gives the extent other memory. Large writes are not copied,
 * where they come in memory that can be kept: it becomes the extents' own, and the writer gets what they had.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/min.h"
#include "common/base/mutant.h"
#include "target/store/kinds.h"

#define EXTENT_SHIFT  16u /* 64 KiB */
#define EXTENT_LEN    (UINT64_C(1) << EXTENT_SHIFT)
#define LEAF_SHIFT    12u   /* extents per leaf: 4096, 256 MiB of data */
#define MID_SHIFT     12u   /* leaves per middle table: 1 TiB of data */
#define TOP_SHIFT     10u   /* 2^(16+12+12+10) is STORE_SIZE_MAX */
#define MEMORY_ALIGN  4096u /* bytes: data begins on pages of the processor */
#define LEAF_ALIGN    64u   /* bytes: no extent lies in two cache lines */
#define SPARE_CLASSES 5u    /* buffers of 1 to 16 extents: POOL_CLASS_MAX */
#define SPARES_MAX    2u    /* of each class */
#define PARTS_MAX     2u    /* parts of a buffer that are overwritten by copying: then it is taken apart */
#define EXPECT_MAX    4096u /* bytes of an expected write that are asked for: more push out what is in use */
#define LINE_LEN      64u   /* bytes, of the cache */

/* Memory of one extent, or of several that were written together: given back when the last has let go. */
struct buffer {
    struct list_node node; /* memory->spares, or memory->lent */
    atomic_uint live;      /* pieces that an extent or a loan holds */
    atomic_uint parts;     /* writes of some of them that could have kept their memory */
    uint32_t count;        /* of pieces; a power of two */
    uint8_t *memory;       /* owned, count * EXTENT_LEN */
    uint32_t lent_count;   /* pieces that only loans hold; with memory->lock, as the next */
    uint32_t loans[];      /* of such a piece */
};
struct extent {
    _Atomic(uint8_t *) data; /* EXTENT_LEN bytes of the buffer's; NULL: zeros; changed with the lock */
    struct buffer *buffer;
    atomic_int lock; /* -1: a writer, else how many readers */
    uint32_t loans;  /* of data: as long as there are any nobody changes it; with the lock held for writing */
    uint64_t unused; /* 32 bytes: see LEAF_ALIGN */
};
_Static_assert(LEAF_ALIGN % sizeof(struct extent) == 0, "extents fill lines");
struct leaf {
    struct extent extents[1u << LEAF_SHIFT];
};
struct middle {
    _Atomic(struct leaf *) leaves[1u << MID_SHIFT]; /* owned */
};
struct spares { /* buffers of one size that wait to be used again: a busy writer of large data needs one */
    struct list_node list;
    uint32_t count;
};
struct memory {
    struct store store;
    _Atomic(struct middle *) top[1u << TOP_SHIFT]; /* owned */
    atomic_int lock;                               /* of what follows; taken after an extent's */
    struct list_node lent;                         /* buffers with pieces that only loans hold */
    struct spares spares[SPARE_CLASSES];           /* by log2 of the count of pieces */
};

/* What is lent where nothing has been written. */
static const uint8_t zeros[EXTENT_LEN];

/* Spinning is right here: a holder copies at most 64 KiB and never sleeps. */
static void lock_read(atomic_int *lock)
{
    for (;;) {
        int readers = atomic_load_explicit(lock, memory_order_relaxed);
        if (readers >= 0 && atomic_compare_exchange_weak_explicit(lock, &readers, readers + 1,
                                                                  memory_order_acquire, memory_order_relaxed))
            return;
    }
}

static void unlock_read(atomic_int *lock)
{
    atomic_fetch_sub_explicit(lock, 1, memory_order_release);
}

static void lock_write(atomic_int *lock)
{
    for (;;) {
        int free_lock = 0;
        if (atomic_compare_exchange_weak_explicit(lock, &free_lock, -1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
    }
}

static void unlock_write(atomic_int *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

/* ---- tables ---- */

static inline struct middle *middle_find(struct memory *m, uint64_t extent)
{
    return atomic_load_explicit(&m->top[extent >> (LEAF_SHIFT + MID_SHIFT)], memory_order_acquire);
}

static inline _Atomic(struct leaf *) *leaf_place(struct middle *middle, uint64_t extent)
{
    return &middle->leaves[extent >> LEAF_SHIFT & ((1u << MID_SHIFT) - 1)];
}

/* NULL when its tables do not exist. */
static inline struct extent *extent_find(struct memory *m, uint64_t extent)
{
    struct middle *middle = middle_find(m, extent);
    struct leaf *leaf =
        middle ? atomic_load_explicit(leaf_place(middle, extent), memory_order_acquire) : NULL;
    return leaf ? &leaf->extents[extent & ((1u << LEAF_SHIFT) - 1)] : NULL;
}

/* Makes those of its tables that are missing; false when memory is out. Another thread may be faster: then
 * its table counts. */
static bool tables_make(struct memory *m, uint64_t extent)
{
    const struct env *env = m->store.env;
    if (!middle_find(m, extent)) {
        struct middle *none = NULL, *made = env_alloc(env, sizeof *made);
        if (!made)
            return false;
        if (!atomic_compare_exchange_strong_explicit(&m->top[extent >> (LEAF_SHIFT + MID_SHIFT)], &none, made,
                                                     memory_order_acq_rel, memory_order_acquire))
            env_free(env, made);
    }
    if (!extent_find(m, extent)) {
        struct leaf *none = NULL, *made = env->alloc(env->ctx, sizeof *made, LEAF_ALIGN);
        if (!made)
            return false;
        if (!atomic_compare_exchange_strong_explicit(leaf_place(middle_find(m, extent), extent), &none, made,
                                                     memory_order_acq_rel, memory_order_acquire))
            env_free(env, made);
    }
    return true;
}

/* NULL when memory is out. */
static inline struct extent *extent_get(struct memory *m, uint64_t extent)
{
    struct extent *have = extent_find(m, extent);
    return have || !tables_make(m, extent) ? have : extent_find(m, extent);
}

/* ---- buffers ---- */

static struct spares *spares_of(struct memory *m, uint32_t count)
{
    return &m->spares[__builtin_ctz(count)];
}

static struct buffer *spare_get(struct memory *m, uint32_t count)
{
    struct spares *spares = spares_of(m, count);
    lock_write(&m->lock);
    struct buffer *buffer = list_first(&spares->list, struct buffer, node);
    if (buffer) {
        list_remove(&buffer->node);
        spares->count--;
    }
    unlock_write(&m->lock);
    return buffer;
}

/* False: there are enough. */
static bool spare_put(struct memory *m, struct buffer *buffer)
{
    struct spares *spares = spares_of(m, buffer->count);
    lock_write(&m->lock);
    bool room = spares->count < SPARES_MAX;
    if (room) {
        list_push_front(&spares->list, &buffer->node);
        spares->count++;
    }
    unlock_write(&m->lock);
    return room;
}

static void buffer_free(const struct env *env, struct buffer *buffer)
{
    env_free(env, buffer->memory);
    env_free(env, buffer);
}

static struct buffer *buffer_make(struct memory *m, uint32_t count)
{
    const struct env *env = m->store.env;
    struct buffer *buffer = env_alloc(env, sizeof *buffer + count * sizeof buffer->loans[0]);
    if (!buffer)
        return NULL;
    list_init(&buffer->node);
    buffer->count = count;
    buffer->memory = env->alloc(env->ctx, count * EXTENT_LEN, MEMORY_ALIGN);
    if (buffer->memory)
        return buffer;
    env_free(env, buffer);
    return NULL;
}

/* All its pieces are held. Contents: zeros, or (not `clear`) anything. */
static struct buffer *buffer_new(struct memory *m, uint32_t count, bool clear)
{
    struct buffer *buffer = spare_get(m, count);
    if (buffer && clear)
        memset(buffer->memory, 0, count * EXTENT_LEN);
    if (!buffer)
        buffer = buffer_make(m, count);
    if (!buffer)
        return NULL;
    atomic_store_explicit(&buffer->live, count, memory_order_relaxed);
    atomic_store_explicit(&buffer->parts, 0, memory_order_relaxed);
    return buffer;
}

/* `again`: others are being written, so the memory will be wanted. */
static void piece_release(struct memory *m, struct buffer *buffer, bool again)
{
    if (buffer && atomic_fetch_sub_explicit(&buffer->live, 1, memory_order_acq_rel) == 1 &&
        !(again && spare_put(m, buffer)))
        buffer_free(m->store.env, buffer);
}

static uint32_t piece_of(const struct buffer *buffer, const uint8_t *data)
{
    return (uint32_t)((uint64_t)(data - buffer->memory) >> EXTENT_SHIFT);
}

/* ---- one extent at a time ---- */

/* The extent's bytes become those of a piece of `buffer` (NULL: zeros). What it had is let go, or stays as
 * long as its loans. With the extent's lock held for writing. */
static void extent_set(struct memory *m, struct extent *e, struct buffer *buffer, uint8_t *data)
{
    struct buffer *old = e->buffer;
    if (e->loans) {
        lock_write(&m->lock);
        old->loans[piece_of(old, e->data)] = e->loans;
        if (old->lent_count++ == 0)
            list_push_back(&m->lent, &old->node);
        unlock_write(&m->lock);
        e->loans = 0;
        old = NULL;
    }
    e->buffer = buffer;
    atomic_store_explicit(&e->data, data, memory_order_relaxed);
    piece_release(m, old, data != NULL);
}

/* extent_to_change, where the bytes that there are cannot be changed. */
static uint8_t *extent_renew(struct memory *m, struct extent *e, bool whole)
{
    struct buffer *made = buffer_new(m, 1, !e->data && !whole);
    if (!made)
        return NULL;
    if (e->data && !whole)
        memcpy(made->memory, e->data, EXTENT_LEN);
    extent_set(m, e, made, made->memory);
    return made->memory;
}

/* The extent's bytes, to be changed: new ones when there are none or when they are lent. `whole`: all of them
 * will be overwritten. NULL: out of memory. With the lock held for writing, so nobody can borrow meanwhile.
 */
static inline uint8_t *extent_to_change(struct memory *m, struct extent *e, bool whole)
{
    if (e->data && (e->loans == 0 || MUTANT(loan_changes)))
        return e->data;
    return extent_renew(m, e, whole);
}

static void extent_read(struct memory *m, uint64_t offset, uint8_t *to, size_t len)
{
    struct extent *e = extent_find(m, offset >> EXTENT_SHIFT);
    if (!e) {
        memset(to, 0, len);
        return;
    }
    lock_read(&e->lock);
    if (e->data)
        memcpy(to, e->data + offset % EXTENT_LEN, len);
    else
        memset(to, 0, len);
    unlock_read(&e->lock);
}

/* The bytes at offset where they lie. *loan: what has to be given back, or NULL. */
static const uint8_t *extent_lend(struct memory *m, uint64_t offset, struct extent **loan)
{
    struct extent *e = extent_find(m, offset >> EXTENT_SHIFT);
    const uint8_t *data = NULL;
    if (e) {
        lock_write(&e->lock);
        data = e->data;
        e->loans += data != NULL;
        unlock_write(&e->lock);
    }
    *loan = data ? e : NULL;
    return (data ? data : zeros) + offset % EXTENT_LEN;
}

/* Without the lock: nobody looks at what lies there, and a prefetch of what is gone does no harm. */
static void memory_expect(struct store *store, uint64_t offset, uint32_t len)
{
    const struct extent *e = extent_find((struct memory *)store, offset >> EXTENT_SHIFT);
    const uint8_t *data = e ? atomic_load_explicit(&e->data, memory_order_relaxed) : NULL;
    const uint64_t begin = offset % EXTENT_LEN, end = min_u64(begin + min_u32(len, EXPECT_MAX), EXTENT_LEN);
    for (uint64_t at = begin; data && at < end; at += LINE_LEN)
        __builtin_prefetch(data + at, 1, 2);
}

/* Allocating under the lock keeps two writers from making the same extent. */
static int extent_write(struct memory *m, uint64_t offset, const uint8_t *from, size_t len)
{
    struct extent *e = extent_get(m, offset >> EXTENT_SHIFT);
    if (!e)
        return ERR_NOSPACE;
    lock_write(&e->lock);
    uint8_t *data = extent_to_change(m, e, len == EXTENT_LEN);
    if (data)
        memcpy(data + offset % EXTENT_LEN, from, len);
    unlock_write(&e->lock);
    /* Memory is this medium: out of it means that the medium is full. */
    return data ? 0 : ERR_NOSPACE;
}

/* A whole extent gives its memory back; a part is overwritten. */
static int extent_clear(struct memory *m, struct extent *e, uint64_t from, uint64_t len)
{
    int err = 0;
    lock_write(&e->lock);
    if (e->data && len == EXTENT_LEN) {
        extent_set(m, e, NULL, NULL);
    } else if (e->data) {
        uint8_t *data = extent_to_change(m, e, false);
        if (data)
            memset(data + from, 0, len);
        else
            err = ERR_NOSPACE;
    }
    unlock_write(&e->lock);
    return err;
}

/* Ranges can be whole disks: absent tables are stepped over. */
static int clear(struct memory *m, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len;
    while (offset < end) {
        uint64_t extent = offset >> EXTENT_SHIFT;
        struct extent *e = extent_find(m, extent);
        if (!e) {
            unsigned shift = EXTENT_SHIFT + LEAF_SHIFT;
            if (!middle_find(m, extent))
                shift += MID_SHIFT;
            offset = ((offset >> shift) + 1) << shift;
            continue;
        }
        uint64_t from = offset % EXTENT_LEN;
        uint64_t part = EXTENT_LEN - from < end - offset ? EXTENT_LEN - from : end - offset;
        int err = extent_clear(m, e, from, part);
        if (err)
            return err;
        offset += part;
    }
    return 0;
}

static int part_transfer(struct memory *m, enum store_verb verb, uint64_t offset, uint8_t *at, size_t len)
{
    if (verb == STORE_WRITE)
        return extent_write(m, offset, at, len);
    extent_read(m, offset, at, len);
    return 0;
}

/* Cuts each place at extent boundaries. Stops at the first failure and says where. */
static int transfer_cut(struct memory *m, struct store_req *req)
{
    uint64_t offset = req->offset;
    for (uint32_t i = 0; i < req->vec_count; i++) {
        uint8_t *p = req->vec[i].ptr;
        for (size_t left = req->vec[i].len; left > 0;) {
            uint64_t room = EXTENT_LEN - offset % EXTENT_LEN;
            size_t part = left < room ? left : (size_t)room;
            int err = part_transfer(m, req->verb, offset, p, part);
            if (err) {
                req->error_offset = offset;
                return err;
            }
            p += MUTANT(memory_extent) ? 0 : part;
            offset += part;
            left -= part;
        }
    }
    return 0;
}

/* What lies in one extent, as small transfers nearly always do, has nothing to cut. */
static inline int transfer(struct memory *m, struct store_req *req)
{
    const struct io_vec *vec = req->vec;
    if (req->vec_count != 1 || req->offset % EXTENT_LEN + vec->len > EXTENT_LEN)
        return transfer_cut(m, req);
    req->error_offset = req->offset; /* it fails as a whole, if at all */
    return part_transfer(m, req->verb, req->offset, vec->ptr, vec->len);
}

/* ---- large writes ---- */

/* Could the extents keep the writer's memory? It has to be theirs to free. */
static bool can_keep(const struct memory *m, const struct store_req *req)
{
    uint64_t count = req->len >> EXTENT_SHIFT;
    return count > 0 && req->whole && (req->offset | req->len) % EXTENT_LEN == 0 &&
           (count & (count - 1)) == 0 && count < 1u << SPARE_CLASSES && req->whole->cap == req->len &&
           chunk_env(req->whole) == m->store.env;
}

/* The extent gets a buffer of its own for what it has of `shared`. False: memory is short, or it is lent. */
static bool extent_leave(struct memory *m, struct extent *e, const struct buffer *shared)
{
    lock_write(&e->lock);
    bool has = e->buffer == shared;
    struct buffer *own = has && e->loans == 0 ? buffer_new(m, 1, false) : NULL;
    if (own) {
        memcpy(own->memory, e->data, EXTENT_LEN);
        extent_set(m, e, own, own->memory);
    }
    unlock_write(&e->lock);
    return own || !has;
}

/* Extents first .. first + count are to be written. Would something stay of the buffer that one of them,
 * `at`, has a piece of? It would hold all of the memory. So the first few such writes are copied; then the
 * others, whose pieces lie side by side as they came, get buffers of their own. True: nothing stays. */
static bool makes_way(struct memory *m, uint64_t at, uint64_t first, uint32_t count)
{
    struct extent *e = extent_find(m, at);
    lock_read(&e->lock);
    struct buffer *shared = e->buffer;
    uint64_t begin = shared ? at - piece_of(shared, e->data) : at, end = shared ? begin + shared->count : at;
    bool whole = !shared || (begin >= first && end <= first + count) ||
                 atomic_load_explicit(&shared->live, memory_order_relaxed) == 1;
    bool apart = !whole && atomic_fetch_add_explicit(&shared->parts, 1, memory_order_relaxed) >= PARTS_MAX;
    unlock_read(&e->lock);
    for (uint64_t other = begin; apart && other < end; other++)
        if (other < first || other >= first + count)
            apart = extent_leave(m, extent_find(m, other), shared);
    return whole || apart;
}

/* False: nothing has happened; memory is short, or would be wasted. */
static bool keep(struct memory *m, struct store_req *req)
{
    uint64_t first = req->offset >> EXTENT_SHIFT;
    uint32_t count = (uint32_t)(req->len >> EXTENT_SHIFT);
    for (uint32_t i = 0; i < count; i++) {
        if (!extent_get(m, first + i) || !makes_way(m, first + i, first, count))
            return false;
    }
    struct buffer *buffer = buffer_new(m, count, false);
    if (!buffer)
        return false;
    buffer->memory = chunk_exchange(req->whole, buffer->memory);
    for (uint32_t i = 0; i < count; i++) {
        struct extent *e = extent_find(m, first + i);
        lock_write(&e->lock);
        extent_set(m, e, buffer, buffer->memory + (MUTANT(kept_order) ? 0 : i) * EXTENT_LEN);
        unlock_write(&e->lock);
    }
    return true;
}

/* ---- loans ---- */

static void lend(struct memory *m, struct store_req *req)
{
    struct extent *loan;
    const uint8_t *data = extent_lend(m, req->offset, &loan);
    /* The borrower only reads: an io_vec has one pointer for both uses. */
    req->vec[0] = (struct io_vec){(void *)(uintptr_t)data, (size_t)req->len};
    req->vec_count = 1;
    req->loan = loan;
}

/* The extent has got other memory since. */
static void give_back_late(struct memory *m, const uint8_t *data)
{
    struct buffer *buffer = NULL;
    lock_write(&m->lock);
    list_for_each(it, &m->lent)
    {
        struct buffer *one = list_entry(it, struct buffer, node);
        if (data >= one->memory && data < one->memory + one->count * EXTENT_LEN) {
            buffer = one;
            break;
        }
    }
    assert(buffer && "nothing of that was lent");
    bool over = --buffer->loans[piece_of(buffer, data)] == 0;
    if (over && --buffer->lent_count == 0)
        list_remove(&buffer->node);
    unlock_write(&m->lock);
    if (over)
        piece_release(m, buffer, true);
}

static void memory_give_back(struct store *store, void *loan, const uint8_t *data)
{
    struct extent *e = loan;
    lock_write(&e->lock);
    bool same = e->data && data >= e->data && data < e->data + EXTENT_LEN;
    e->loans -= same;
    unlock_write(&e->lock);
    if (!same)
        give_back_late((struct memory *)store, data);
}

/* ---- the store ---- */

static bool memory_submit(struct store *store, struct io *io, struct store_req *req)
{
    (void)io;
    struct memory *m = (struct memory *)store;
    req->result = 0;
    switch (req->verb) {
    case STORE_READ:
        if (req->vec_count == 0) {
            lend(m, req);
            break;
        }
        req->result = transfer(m, req);
        break;
    case STORE_WRITE:
        if (!can_keep(m, req) || !keep(m, req))
            req->result = transfer(m, req);
        break;
    case STORE_DISCARD:
    case STORE_ZERO:
        req->result = clear(m, req->offset, req->len);
        break;
    case STORE_FLUSH:
        break;
    }
    return true;
}

static int memory_open(const struct env *env, struct io *io, const struct store_spec *spec,
                       struct store **out, char *why, size_t why_len)
{
    (void)io;
    int err = store_check_size(spec, spec->size, why, why_len);
    if (err)
        return err;
    struct memory *m = env_alloc(env, sizeof *m);
    if (!m) {
        snprintf(why, why_len, "out of memory");
        return ERR_NOMEM;
    }
    m->store.ops = &store_memory_ops;
    m->store.env = env;
    list_init(&m->lent);
    for (unsigned i = 0; i < SPARE_CLASSES; i++)
        list_init(&m->spares[i].list);
    m->store.info = (struct store_info){
        .size = spec->size,
        .readonly = spec->readonly,
        .can_discard = true,
        .thin = true,
        .rotational = spec->rotational,
        .block_min = 1,
        .lend_len = (uint32_t)EXTENT_LEN,
        .instant = true,
        .discard_granularity = (uint32_t)EXTENT_LEN,
        .concurrency = STORE_ANY,
    };
    *out = &m->store;
    return 0;
}

static int memory_resize(struct store *store, struct io *io, uint64_t size, char *why, size_t why_len)
{
    (void)io;
    struct store_spec spec = {.kind = "memory"};
    int err = store_check_size(&spec, size, why, why_len);
    if (err)
        return err;
    /* What is cut off must not come back when the store grows again. */
    if (size < store->info.size)
        err = clear((struct memory *)store, size, store->info.size - size);
    if (err)
        snprintf(why, why_len, "out of memory");
    else
        store->info.size = size;
    return err;
}

static void leaf_free(struct memory *m, struct leaf *leaf)
{
    for (size_t i = 0; leaf && i < 1u << LEAF_SHIFT; i++)
        piece_release(m, leaf->extents[i].buffer, false);
    env_free(m->store.env, leaf);
}

/* No request is in flight, nothing is lent: no lock is needed. */
static void memory_close(struct store *store, struct io *io)
{
    (void)io;
    struct memory *m = (struct memory *)store;
    const struct env *env = store->env;
    for (size_t i = 0; i < 1u << TOP_SHIFT; i++) {
        struct middle *middle = atomic_load(&m->top[i]);
        for (size_t k = 0; middle && k < 1u << MID_SHIFT; k++)
            leaf_free(m, atomic_load(&middle->leaves[k]));
        env_free(env, middle);
    }
    for (uint32_t count = 1; count < 1u << SPARE_CLASSES; count *= 2)
        for (struct buffer *spare; (spare = spare_get(m, count)) != NULL;)
            buffer_free(env, spare);
    env_free(env, m);
}

const struct store_ops store_memory_ops = {
    .kind = "memory",
    .open = memory_open,
    .submit = memory_submit,
    .resize = memory_resize,
    .expect = memory_expect,
    .give_back = memory_give_back,
    .close = memory_close,
};
