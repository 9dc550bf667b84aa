/* The memory store: sparse, gone when the service ends. Extents of 64 KiB are made by the first write and
 * given back by DISCARD and ZERO of whole extents.
 *
 * Called by several reactor threads at once. Three levels of tables: the upper two are installed once by
 * compare-exchange and live until close; the extent pointers and the bytes behind them are guarded by striped
 * read-write spin locks, so an extent can be freed and overlapping reads and writes of careless clients are
 * no data race. Reads can be lent: the extent's block is counted, and a write to a block that is out on loan
 * copies it first. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/mutant.h"
#include "target/store/kinds.h"

#define EXTENT_SHIFT 16u /* 64 KiB */
#define EXTENT_LEN   (UINT64_C(1) << EXTENT_SHIFT)
#define LEAF_SHIFT   12u /* extents per leaf: 4096, 256 MiB of data */
#define MID_SHIFT    12u /* leaves per middle table: 1 TiB of data */
#define TOP_SHIFT    10u /* 2^(16+12+12+10) is STORE_SIZE_MAX */
#define STRIPES      1024u
#define MEMORY_ALIGN 4096u /* bytes: blocks begin on pages of the processor */

/* The bytes of one extent. As long as they are lent nobody changes them: a write gives the extent new ones.
 */
struct block {
    atomic_uint holders; /* the extent itself and each loan; the last one frees it */
    uint8_t *data;       /* owned, EXTENT_LEN */
};
struct leaf {
    struct block *extents[1u << LEAF_SHIFT]; /* each holds its block; guarded by the extent's stripe */
};
struct middle {
    _Atomic(struct leaf *) leaves[1u << MID_SHIFT]; /* owned */
};
struct memory {
    struct store store;
    _Atomic(struct middle *) top[1u << TOP_SHIFT]; /* owned */
    atomic_int stripes[STRIPES];                   /* -1: a writer, else how many readers */
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

static atomic_int *stripe_of(struct memory *m, uint64_t extent)
{
    return &m->stripes[extent % STRIPES];
}

static struct middle *middle_of(struct memory *m, uint64_t index, bool make)
{
    _Atomic(struct middle *) *place = &m->top[index];
    struct middle *have = atomic_load_explicit(place, memory_order_acquire);
    if (have || !make)
        return have;
    struct middle *made = env_alloc(m->store.env, sizeof *made);
    if (!made)
        return NULL;
    /* Another thread may have been faster: then its table counts. */
    if (atomic_compare_exchange_strong_explicit(place, &have, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    env_free(m->store.env, made);
    return have;
}

/* The leaf that holds an extent; NULL when it does not exist (and make is false) or memory is out. */
static struct leaf *leaf_of(struct memory *m, uint64_t extent, bool make)
{
    struct middle *middle = middle_of(m, extent >> (LEAF_SHIFT + MID_SHIFT), make);
    if (!middle)
        return NULL;
    _Atomic(struct leaf *) *place = &middle->leaves[extent >> LEAF_SHIFT & ((1u << MID_SHIFT) - 1)];
    struct leaf *have = atomic_load_explicit(place, memory_order_acquire);
    if (have || !make)
        return have;
    struct leaf *made = env_alloc(m->store.env, sizeof *made);
    if (!made)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(place, &have, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    env_free(m->store.env, made);
    return have;
}

/* Only with the extent's stripe held. */
static struct block **slot_of(struct leaf *leaf, uint64_t extent)
{
    return &leaf->extents[extent & ((1u << LEAF_SHIFT) - 1)];
}

/* ---- blocks ---- */

static struct block *block_new(const struct env *env)
{
    struct block *block = env_alloc(env, sizeof *block);
    if (!block)
        return NULL;
    block->data = env->alloc(env->ctx, EXTENT_LEN, MEMORY_ALIGN);
    if (!block->data) {
        env_free(env, block);
        return NULL;
    }
    atomic_init(&block->holders, 1);
    return block;
}

static void block_release(const struct env *env, struct block *block)
{
    if (!block || atomic_fetch_sub_explicit(&block->holders, 1, memory_order_acq_rel) != 1)
        return;
    env_free(env, block->data);
    env_free(env, block);
}

/* The extent's bytes, to be changed: new ones when there are none or when they are lent. `whole`: all of them
 * will be overwritten. NULL: out of memory. With the stripe held for writing, so nobody can borrow meanwhile.
 */
static uint8_t *block_to_change(struct memory *m, struct block **slot, bool whole)
{
    struct block *old = *slot;
    if (old && (atomic_load_explicit(&old->holders, memory_order_acquire) == 1 || MUTANT(loan_changes)))
        return old->data;
    struct block *made = block_new(m->store.env);
    if (!made)
        return NULL;
    if (old && !whole)
        memcpy(made->data, old->data, EXTENT_LEN);
    *slot = made;
    block_release(m->store.env, old);
    return made->data;
}

/* ---- one extent at a time ---- */

static void extent_read(struct memory *m, uint64_t offset, uint8_t *to, size_t len)
{
    uint64_t extent = offset >> EXTENT_SHIFT;
    struct leaf *leaf = leaf_of(m, extent, false);
    if (!leaf) {
        memset(to, 0, len);
        return;
    }
    atomic_int *lock = stripe_of(m, extent);
    lock_read(lock);
    const struct block *block = *slot_of(leaf, extent);
    if (block)
        memcpy(to, block->data + offset % EXTENT_LEN, len);
    else
        memset(to, 0, len);
    unlock_read(lock);
}

/* The bytes at offset where they lie, and the block to give back. */
static const uint8_t *extent_lend(struct memory *m, uint64_t offset, struct block **loan)
{
    uint64_t extent = offset >> EXTENT_SHIFT;
    struct leaf *leaf = leaf_of(m, extent, false);
    *loan = NULL;
    if (leaf) {
        atomic_int *lock = stripe_of(m, extent);
        lock_read(lock);
        *loan = *slot_of(leaf, extent);
        if (*loan)
            atomic_fetch_add_explicit(&(*loan)->holders, 1, memory_order_relaxed);
        unlock_read(lock);
    }
    return (*loan ? (*loan)->data : zeros) + offset % EXTENT_LEN;
}

/* Allocating under the lock keeps two writers from making the same extent. */
static int extent_write(struct memory *m, uint64_t offset, const uint8_t *from, size_t len)
{
    uint64_t extent = offset >> EXTENT_SHIFT;
    struct leaf *leaf = leaf_of(m, extent, true);
    if (!leaf)
        return ERR_NOSPACE;
    atomic_int *lock = stripe_of(m, extent);
    lock_write(lock);
    uint8_t *data = block_to_change(m, slot_of(leaf, extent), len == EXTENT_LEN);
    if (data)
        memcpy(data + offset % EXTENT_LEN, from, len);
    unlock_write(lock);
    /* Memory is this medium: out of it means that the medium is full. */
    return data ? 0 : ERR_NOSPACE;
}

/* A whole extent goes back to the heap; a part is overwritten. */
static int extent_clear(struct memory *m, struct leaf *leaf, uint64_t extent, uint64_t from, uint64_t len)
{
    atomic_int *lock = stripe_of(m, extent);
    int err = 0;
    lock_write(lock);
    struct block **slot = slot_of(leaf, extent);
    if (*slot && len == EXTENT_LEN) {
        block_release(m->store.env, *slot);
        *slot = NULL;
    } else if (*slot) {
        uint8_t *data = block_to_change(m, slot, false);
        if (data)
            memset(data + from, 0, len);
        else
            err = ERR_NOSPACE;
    }
    unlock_write(lock);
    return err;
}

/* Ranges can be whole disks: absent tables are stepped over. */
static int clear(struct memory *m, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len;
    while (offset < end) {
        uint64_t extent = offset >> EXTENT_SHIFT;
        struct leaf *leaf = leaf_of(m, extent, false);
        if (!leaf) {
            unsigned shift = EXTENT_SHIFT + LEAF_SHIFT;
            if (!middle_of(m, extent >> (LEAF_SHIFT + MID_SHIFT), false))
                shift += MID_SHIFT;
            offset = ((offset >> shift) + 1) << shift;
            continue;
        }
        uint64_t from = offset % EXTENT_LEN;
        uint64_t part = EXTENT_LEN - from < end - offset ? EXTENT_LEN - from : end - offset;
        int err = extent_clear(m, leaf, extent, from, part);
        if (err)
            return err;
        offset += part;
    }
    return 0;
}

/* Cuts each place at extent boundaries. Stops at the first failure and says where. */
static int transfer(struct memory *m, struct store_req *req)
{
    uint64_t offset = req->offset;
    for (uint32_t i = 0; i < req->vec_count; i++) {
        uint8_t *p = req->vec[i].ptr;
        for (size_t left = req->vec[i].len; left > 0;) {
            uint64_t room = EXTENT_LEN - offset % EXTENT_LEN;
            size_t part = left < room ? left : (size_t)room;
            int err = 0;
            if (req->verb == STORE_READ)
                extent_read(m, offset, p, part);
            else
                err = extent_write(m, offset, p, part);
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

static void lend(struct memory *m, struct store_req *req)
{
    struct block *loan;
    const uint8_t *data = extent_lend(m, req->offset, &loan);
    /* The borrower only reads: an io_vec has one pointer for both uses. */
    req->vec[0] = (struct io_vec){(void *)(uintptr_t)data, (size_t)req->len};
    req->vec_count = 1;
    req->loan = loan;
}

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

static void leaf_free(const struct env *env, struct leaf *leaf)
{
    for (size_t i = 0; leaf && i < 1u << LEAF_SHIFT; i++)
        block_release(env, leaf->extents[i]);
    env_free(env, leaf);
}

static void memory_give_back(struct store *store, void *loan)
{
    block_release(store->env, loan);
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
            leaf_free(env, atomic_load(&middle->leaves[k]));
        env_free(env, middle);
    }
    env_free(env, m);
}

const struct store_ops store_memory_ops = {
    .kind = "memory",
    .open = memory_open,
    .submit = memory_submit,
    .resize = memory_resize,
    .give_back = memory_give_back,
    .close = memory_close,
};
