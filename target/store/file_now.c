/* Small transfers of a file, at once or not at all: what the page cache holds is moved within the turn,
 * without task and request. Three ways, by what has been learnt of the file: the kernel is asked not to wait;
 * it is not asked, where it would refuse to promise; and a read whose like have always found their bytes
 * comes from a map of the file, which takes no system call. What would have to wait goes the usual way
 * (file.c). */
#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/min.h"
#include "common/base/mutant.h"
#include "target/store/file_store.h"

/* So many attempts at most are left out after one that found nothing in the page cache: a cold file costs
 * few. */
#define SKIP_MAX 64u
/* Writes that were not expected to wait and still do have met a busy disk: when those that took SLOW_NS add
 * up to SLOW_BUDGET_NS within a window, writes go the usual way for SLOW_REST_NS. So disks stop a reactor for
 * a small part of its time only. Where cores are short every call takes long now and then: that is no disk,
 * and found out by a closer look, which lasts SLOW_WATCH_NS. */
#define SLOW_NS        UINT64_C(1000000)
#define SLOW_WATCH_NS  UINT64_C(1000000000)
#define SLOW_WINDOW_NS UINT64_C(500000000)
#define SLOW_BUDGET_NS UINT64_C(150000000)
#define SLOW_REST_NS   UINT64_C(2000000000)

/* Longer reads are no faster from a map: what they cost is the copy. */
#define MAP_READ_MAX (16u * 1024u)
/* What takes so long may have waited for a page. Each time one has, twice as many reads have to prove that
 * the bytes are there as the time before, up to 2^PAGE_WAITS_MAX times as many; after PAGE_REST_NS without,
 * as few as at first. */
#define PAGE_SLOW_NS   UINT64_C(10000)
#define PAGE_WAITS_MAX 10u
#define PAGE_REST_NS   UINT64_C(60000000000)
/* A file that has grown, or whose map has broken, gets another one, until it has had so many. */
#define MAPS_MAX 16u

/* How a transfer can be attempted: the kernel is asked not to wait; it is trusted not to; not at all. */
enum attempt { ATTEMPT_ASK, ATTEMPT_INSIST, ATTEMPT_NEVER };

static uint32_t look(_Atomic uint32_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* Lessons are hints: that two reactors may lose one another's is harmless. */
static void note(_Atomic uint32_t *value, uint32_t now)
{
    if (look(value) != now)
        atomic_store_explicit(value, now, memory_order_relaxed);
}

static void learn(struct file_store *f, struct file_lesson *lesson, bool write, int64_t result)
{
    if (result == ERR_UNSUPPORTED) {
        note(&lesson->how, write && f->info.write_back ? ATTEMPT_INSIST : ATTEMPT_NEVER);
    } else if (result < 0) {
        uint32_t missed = look(&lesson->missed);
        missed = missed == 0 ? 1 : missed < SKIP_MAX ? missed * 2 : SKIP_MAX;
        note(&lesson->missed, missed);
        note(&lesson->skip, missed);
    } else {
        note(&lesson->missed, 0);
    }
}

/* Part of a block that is not in the page cache would have to be read before it can be written. */
static bool whole_blocks(const struct file_store *f, const struct store_req *req)
{
    uint32_t block = f->info.block_size;
    return block && req->offset % block == 0 && req->len % block == 0;
}

static bool before_time(_Atomic uint64_t *time, uint64_t now)
{
    return now < atomic_load_explicit(time, memory_order_relaxed);
}

/* It took long, until `end`, and is known to have waited. */
static void was_slow(struct file_store *f, uint64_t took, uint64_t end)
{
    if (end - atomic_load(&f->slow_since) > SLOW_WINDOW_NS) {
        atomic_store(&f->slow_since, end - took);
        atomic_store(&f->slow_sum, 0);
    }
    if (atomic_fetch_add(&f->slow_sum, took) + took < SLOW_BUDGET_NS)
        return;
    atomic_store(&f->slow_sum, 0);
    atomic_store(&f->rest_until, end + SLOW_REST_NS);
}

/* Nothing tells whether the page cache takes one more dirty page or has its writer wait until others are on
 * the disk; so it is tried, and left for a while when it has taken long. */
static int64_t write_insisting(struct file_store *f, struct io *io, struct io_now *now)
{
    const uint64_t turn = io_now(io);
    if (before_time(&f->rest_until, turn))
        return ERR_AGAIN;
    now->watch = before_time(&f->watch_until, turn);
    now->slow_ns = SLOW_NS;
    int64_t result = io_transfer_now(io, now);
    if (now->took_ns < SLOW_NS)
        return result;
    const uint64_t end = env_now(f->store.env);
    if (now->watch ? now->waited : now->took_ns >= SLOW_BUDGET_NS)
        was_slow(f, now->took_ns, end);
    atomic_store(&f->watch_until, end + SLOW_WATCH_NS);
    return result;
}

/* ---- from a map ---- */

/* In a file of which one byte had to be waited for, others may have to be. */
static void prove_again(struct file_store *f)
{
    note(&f->proof, f->info.map_after << look(&f->page_waits));
}

static void page_has_waited(struct file_store *f, uint64_t now)
{
    const uint64_t last = atomic_load(&f->page_waited);
    const uint32_t waits = look(&f->page_waits);
    note(&f->page_waits, last && now - last < PAGE_REST_NS ? min_u32(waits + 1, PAGE_WAITS_MAX) : 0);
    atomic_store(&f->page_waited, now);
    prove_again(f);
}

/* A map of the file as it is now. Those before it stay, for another reactor may be reading from them. */
static void map_more(struct file_store *f, struct io *io)
{
    struct io_map *map;
    if (atomic_load_explicit(&f->mapping, memory_order_relaxed) || atomic_exchange(&f->mapping, true))
        return;
    if (f->map_count == MAPS_MAX || io_map_new(io, f->handle, &map) != 0)
        return; /* for good: `mapping` stays */
    map->older = f->maps;
    f->maps = map;
    f->map_count++;
    atomic_store(&f->map, map);
    atomic_store(&f->mapping, false);
}

/* A read that ends at `end` has found its bytes in the page cache. */
static void prove(struct file_store *f, struct io *io, uint64_t end)
{
    const uint32_t left = look(&f->proof);
    const struct io_map *map = atomic_load_explicit(&f->map, memory_order_acquire);
    if (left > 1)
        note(&f->proof, left - 1);
    else if (!map || end > map->len)
        map_more(f, io);
    if (left == 1)
        note(&f->proof, 0);
}

static bool read_mapped(struct file_store *f, struct io *io, const struct store_req *req)
{
    struct io_map *map = atomic_load_explicit(&f->map, memory_order_acquire);
    if (!map || look(&f->proof) || req->len > MAP_READ_MAX)
        return false;
    struct io_now now = {.file = f->handle,
                         .map = map,
                         .ptr = req->vec[0].ptr,
                         .len = (size_t)req->len,
                         .offset = req->offset,
                         .slow_ns = PAGE_SLOW_NS};
    int64_t result = io_transfer_now(io, &now);
    if (now.waited || result == ERR_IO)
        page_has_waited(f, io_now(io));
    /* The usual way tells what is wrong with the file; should it mend, it gets another map. */
    if (result == ERR_IO)
        (void)atomic_compare_exchange_strong(&f->map, &map, NULL);
    return result == (int64_t)req->len || (result == ERR_IO && MUTANT(broken_map));
}

/* ---- attempts ---- */

bool file_attempt(struct store *store, struct io *io, const struct store_req *req)
{
    struct file_store *f = (struct file_store *)store;
    bool write = req->verb == STORE_WRITE;
    struct file_lesson *lesson = write ? &f->writes : &f->reads;
    uint32_t how = look(&lesson->how), skip = look(&lesson->skip);
    if (how == ATTEMPT_NEVER || req->len > FILE_ATTEMPT_MAX)
        return false;
    if (skip) {
        note(&lesson->skip, skip - 1);
        return false;
    }
    if (!write && read_mapped(f, io, req))
        return true;
    struct io_now now = {.file = f->handle,
                         .ptr = req->vec[0].ptr,
                         .len = (size_t)req->len,
                         .offset = req->offset,
                         .write = write,
                         .insist = how == ATTEMPT_INSIST};
    if (write && now.insist && !f->info.memory)
        return whole_blocks(f, req) && write_insisting(f, io, &now) == (int64_t)req->len;
    int64_t result = io_transfer_now(io, &now);
    learn(f, lesson, write, result);
    if (!write && result == (int64_t)req->len)
        prove(f, io, req->offset + req->len);
    else if (!write)
        prove_again(f);
    /* Short: behind the file's end, or not all of it is in the page cache. */
    return result == (int64_t)req->len || (result > 0 && MUTANT(short_write));
}

/* ---- life ---- */

void file_now_init(struct file_store *f)
{
    const uint32_t how = f->info.memory ? ATTEMPT_INSIST : ATTEMPT_ASK;
    atomic_init(&f->reads.how, how);
    atomic_init(&f->writes.how, how);
    atomic_init(&f->mapping, f->info.map_after == 0);
    atomic_init(&f->proof, f->info.map_after);
}

void file_now_fini(struct file_store *f, struct io *io)
{
    while (f->maps) {
        struct io_map *map = f->maps;
        f->maps = map->older;
        io_map_free(io, map);
    }
}
