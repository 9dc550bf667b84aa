/* Goal: the memory store keeps what was written, sparsely, gives whole extents back, takes several
 * threads at once, and changes nothing that is lent. Method: a model array beside the store; threads that
 * read and write overlapping ranges (the TSan build watches them). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "target/store/store.h"

static atomic_long live;
static atomic_size_t live_bytes;
static atomic_uint calls;
static unsigned fail_at;

static void *counting_alloc(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    if (atomic_fetch_add(&calls, 1) + 1 == fail_at)
        return NULL;
    atomic_fetch_add(&live, 1);
    atomic_fetch_add(&live_bytes, size);
    /* With its size in front, a page earlier. */
    uint8_t *page = env_host()->alloc(NULL, size + 4096, 4096);
    assert_non_null(page);
    assert_true(align <= 4096);
    memcpy(page, &size, sizeof size);
    return page + 4096;
}

static void counting_free(void *ctx, void *p)
{
    (void)ctx;
    size_t size;
    if (!p)
        return;
    uint8_t *page = (uint8_t *)p - 4096;
    memcpy(&size, page, sizeof size);
    atomic_fetch_sub(&live, 1);
    atomic_fetch_sub(&live_bytes, size);
    env_host()->free(NULL, page);
}

static struct env env;
static struct store *store;

static void open_store(const char *text)
{
    struct store_spec spec;
    char why[200] = "";
    env = *env_host();
    env.alloc = counting_alloc;
    env.free = counting_free;
    fail_at = 0;
    assert_int_equal(store_spec_parse(text, &spec, why, sizeof why), 0);
    assert_int_equal(store_open(&env, NULL, &spec, &store, why, sizeof why), 0);
}

static int request(enum store_verb verb, uint64_t offset, void *data, uint64_t len)
{
    struct store_req req = {.verb = verb, .offset = offset, .len = len, .store = store};
    if (data) {
        req.vec[0] = (struct io_vec){data, (size_t)len};
        req.vec_count = 1;
    }
    assert_true(store->ops->submit(store, NULL, &req));
    return req.result;
}

static void what_was_written_is_read_and_the_rest_is_zero(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    static uint8_t model[SIZE], data[SIZE];
    open_store("memory:size=1M");
    uint64_t seed = 5;
    for (int i = 0; i < 600; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        uint64_t at = (seed >> 30) % SIZE, len = (seed >> 20) % 200000;
        if (len > SIZE - at)
            len = SIZE - at;
        if (len == 0)
            continue;
        if (i % 3 == 2) {
            assert_int_equal(request(i % 2 ? STORE_DISCARD : STORE_ZERO, at, NULL, len), 0);
            memset(model + at, 0, len);
        } else {
            memset(model + at, i, len);
            memset(data, i, len);
            assert_int_equal(request(STORE_WRITE, at, data, len), 0);
        }
        assert_int_equal(request(STORE_READ, 0, data, SIZE), 0);
        assert_memory_equal(data, model, SIZE);
    }
    store_close(store, NULL);
    assert_int_equal(atomic_load(&live), 0);
}

static void huge_disks_cost_what_is_used(void **state)
{
    (void)state;
    uint8_t block[512], back[512];
    open_store("memory:size=512T");
    long before = atomic_load(&live);
    memset(block, 7, sizeof block);
    assert_int_equal(request(STORE_WRITE, UINT64_C(511) << 40, block, 512), 0);
    assert_int_equal(request(STORE_READ, UINT64_C(511) << 40, back, 512), 0);
    assert_memory_equal(block, back, 512);
    assert_int_equal(atomic_load(&live), before + 4); /* two tables, a block and its bytes */
    assert_int_equal(request(STORE_DISCARD, 0, NULL, UINT64_C(512) << 40), 0);
    assert_int_equal(atomic_load(&live), before + 2);
    assert_int_equal(request(STORE_READ, UINT64_C(511) << 40, back, 512), 0);
    assert_int_equal(back[0], 0);
    store_close(store, NULL);
}

static void no_memory_is_a_full_medium(void **state)
{
    (void)state;
    uint8_t block[512] = {1};
    for (unsigned nth = 1; nth <= 4; nth++) {
        open_store("memory:size=1M");
        fail_at = atomic_load(&calls) + nth;
        assert_int_equal(request(STORE_WRITE, 0, block, 512), ERR_NOSPACE);
        fail_at = 0;
        assert_int_equal(request(STORE_WRITE, 0, block, 512), 0);
        store_close(store, NULL);
    }
    assert_int_equal(atomic_load(&live), 0);
}

/* ---- loans ---- */

static struct store_req borrow(uint64_t offset, uint64_t len)
{
    struct store_req req = {.verb = STORE_READ, .offset = offset, .len = len, .store = store};
    assert_true(store->ops->submit(store, NULL, &req));
    assert_int_equal(req.result, 0);
    assert_int_equal(req.vec_count, 1);
    assert_int_equal(req.vec[0].len, len);
    return req;
}

static void give_back(const struct store_req *req)
{
    if (req->loan)
        store->ops->give_back(store, req->loan, req->vec[0].ptr);
}

/* Every way to change bytes, while they are lent: the borrower sees what was there, readers see what is new.
 */
static void what_is_lent_does_not_change(void **state)
{
    (void)state;
    enum { EXTENT = 65536 };
    static uint8_t old[EXTENT], fresh[EXTENT], got[EXTENT];
    memset(old, 0x11, sizeof old);
    memset(fresh, 0x22, sizeof fresh);
    for (int way = 0; way < 5; way++) {
        open_store("memory:size=1M");
        assert_int_equal(request(STORE_WRITE, 0, old, EXTENT), 0);
        struct store_req loan = borrow(4096, 8192), second = borrow(0, EXTENT);
        assert_non_null(loan.loan);
        uint64_t at = way == 1 ? 0 : 4096, len = way == 1 || way == 3 ? EXTENT : 4096;
        if (way == 3)
            at = 0;
        if (way < 2)
            assert_int_equal(request(STORE_WRITE, at, fresh, len), 0);
        else if (way == 4)
            assert_int_equal(store->ops->resize(store, NULL, 4096, (char *)got, 100), 0);
        else
            assert_int_equal(request(way == 2 ? STORE_ZERO : STORE_DISCARD, at, NULL, len), 0);
        assert_memory_equal(loan.vec[0].ptr, old, 8192);
        assert_memory_equal(second.vec[0].ptr, old, EXTENT);
        if (way == 4)
            assert_int_equal(store->ops->resize(store, NULL, 1 << 20, (char *)got, 100), 0);
        assert_int_equal(request(STORE_READ, 0, got, EXTENT), 0);
        for (uint64_t i = 0; i < EXTENT; i++) {
            bool changed = way == 4 ? i >= 4096 : i >= at && i < at + len;
            assert_int_equal(got[i], changed ? (way < 2 ? 0x22 : 0) : 0x11);
        }
        give_back(&loan);
        give_back(&second);
        assert_int_equal(request(STORE_READ, 0, got, 4096), 0);
        store_close(store, NULL);
        assert_int_equal(atomic_load(&live), 0);
    }
}

static void nothing_written_is_lent_as_zeros(void **state)
{
    (void)state;
    static const uint8_t zero[4096];
    const char *const kinds[] = {"memory:size=1M", "null:size=1M"};
    for (size_t i = 0; i < 2; i++) {
        open_store(kinds[i]);
        assert_true(store->info.lend_len >= 4096);
        struct store_req loan = borrow(store->info.lend_len - 4096, 4096);
        assert_memory_equal(loan.vec[0].ptr, zero, 4096);
        give_back(&loan);
        store_close(store, NULL);
    }
}

/* A write that needs a copy and finds no memory changes nothing. */
static void no_memory_for_a_copy_is_a_full_medium(void **state)
{
    (void)state;
    uint8_t block[512] = {1}, other[512] = {2}, got[512];
    for (unsigned nth = 1; nth <= 2; nth++) {
        open_store("memory:size=1M");
        assert_int_equal(request(STORE_WRITE, 0, block, 512), 0);
        struct store_req loan = borrow(0, 512);
        fail_at = atomic_load(&calls) + nth;
        assert_int_equal(request(STORE_WRITE, 0, other, 512), ERR_NOSPACE);
        fail_at = atomic_load(&calls) + nth;
        assert_int_equal(request(STORE_ZERO, 0, NULL, 512), ERR_NOSPACE);
        fail_at = 0;
        assert_int_equal(request(STORE_READ, 0, got, 512), 0);
        assert_memory_equal(got, block, 512);
        give_back(&loan);
        assert_int_equal(request(STORE_WRITE, 0, other, 512), 0);
        store_close(store, NULL);
    }
    assert_int_equal(atomic_load(&live), 0);
}

/* ---- memory that changes hands ---- */

enum { EXTENT_LEN = 65536 };
static struct pool *pool;

static struct chunk *filled(uint32_t len, uint8_t value)
{
    struct chunk *chunk = pool_get(pool, len);
    assert_non_null(chunk);
    memset(chunk->data, value, len);
    return chunk;
}

/* Writes all of a chunk, which goes back to its pool. True: the store has kept its memory. */
static bool write_whole(uint64_t offset, uint32_t len, uint8_t value)
{
    struct chunk *chunk = filled(len, value);
    const uint8_t *had = chunk->data;
    struct slice data = slice_take(chunk, 0, len);
    struct store_req req = {
        .verb = STORE_WRITE, .offset = offset, .len = len, .store = store, .vec_count = 1};
    req.vec[0] = (struct io_vec){data.ptr, len};
    req.whole = slice_whole(&data);
    assert_ptr_equal(req.whole, chunk);
    assert_true(store->ops->submit(store, NULL, &req));
    assert_int_equal(req.result, 0);
    bool kept = chunk->data != had;
    memset(chunk->data, 0xee, len); /* whatever it has now is the writer's */
    slice_release(&data);
    return kept;
}

static void open_with_pool(const char *text)
{
    open_store(text);
    assert_int_equal(pool_new(&env, 8 << 20, &pool), 0);
}

static void close_with_pool(void)
{
    store_close(store, NULL);
    pool_free(pool);
    assert_int_equal(atomic_load(&live), 0);
}

/* Against a model, over what was there, what was not, and parts of what came together. */
static void whole_extents_are_kept_as_they_came(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    static uint8_t model[SIZE], got[SIZE];
    open_with_pool("memory:size=4M");
    memset(model, 0, SIZE);
    uint64_t seed = 11;
    unsigned kept = 0;
    for (int i = 0; i < 400; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        uint32_t len = (uint32_t)EXTENT_LEN << (seed >> 40) % 5;
        uint64_t at = (seed >> 20) % (SIZE / EXTENT_LEN) * EXTENT_LEN;
        if (len > SIZE - at)
            len = EXTENT_LEN;
        if (i % 4 == 3) { /* a part of what was kept is changed, or goes */
            assert_int_equal(request(i % 8 == 3 ? STORE_ZERO : STORE_DISCARD, at + (i % 8 == 3 ? 512 : 0),
                                     NULL, EXTENT_LEN / 2),
                             0);
            memset(model + at + (i % 8 == 3 ? 512 : 0), 0, EXTENT_LEN / 2);
            if (i % 16 == 15) {
                assert_int_equal(request(STORE_DISCARD, at, NULL, EXTENT_LEN), 0);
                memset(model + at, 0, EXTENT_LEN);
            }
        } else {
            kept += write_whole(at, len, (uint8_t)(i + 1));
            memset(model + at, i + 1, len);
        }
        assert_int_equal(request(STORE_READ, 0, got, SIZE), 0);
        assert_memory_equal(got, model, SIZE);
    }
    assert_true(kept > 20 && kept < 300); /* some would have left parts of others behind */
    close_with_pool();
}

static void what_is_lent_stays_when_its_extent_gets_other_memory(void **state)
{
    (void)state;
    static uint8_t got[4 * EXTENT_LEN];
    for (int again = 0; again < 2; again++) {
        open_with_pool("memory:size=1M");
        assert_true(write_whole(0, 4 * EXTENT_LEN, 1));
        struct store_req first = borrow(0, 4096), second = borrow(EXTENT_LEN + 512, 4096),
                         third = borrow(EXTENT_LEN, 512);
        assert_true(write_whole(0, 4 * EXTENT_LEN, 2));
        struct store_req fourth = borrow(EXTENT_LEN, 4096);
        assert_false(
            write_whole(EXTENT_LEN, EXTENT_LEN, 3)); /* a part, and lent: copied, into memory of its own */
        /* Memory that has come free is used again, for something else. */
        for (int i = 0; i < 8; i++)
            write_whole(8 * EXTENT_LEN, 4 * EXTENT_LEN, (uint8_t)(0x40 + i));
        memset(got, 1, 4096);
        assert_memory_equal(first.vec[0].ptr, got, 4096);
        assert_memory_equal(second.vec[0].ptr, got, 4096);
        assert_memory_equal(third.vec[0].ptr, got, 512);
        memset(got, 2, 4096);
        assert_memory_equal(fourth.vec[0].ptr, got, 4096);
        const struct store_req *order[2][4] = {{&first, &second, &third, &fourth},
                                               {&fourth, &third, &second, &first}};
        for (int i = 0; i < 4; i++)
            give_back(order[again][i]);
        assert_int_equal(request(STORE_READ, 0, got, 4 * EXTENT_LEN), 0);
        for (uint32_t i = 0; i < 4 * EXTENT_LEN; i++)
            assert_int_equal(got[i], i / EXTENT_LEN == 1 ? 3 : 2);
        close_with_pool();
    }
}

/* What is left of memory that came together would hold all of it: so it is taken apart, and whoever goes on
 * in another size is not copied for ever. */
static void no_memory_is_left_behind(void **state)
{
    (void)state;
    enum { EXTENTS = 256, LUN = EXTENTS * EXTENT_LEN };
    open_with_pool("memory:size=16M");
    for (uint64_t at = 0; at < LUN; at += 4 * EXTENT_LEN)
        assert_true(write_whole(at, 4 * EXTENT_LEN, 1));
    size_t most = 0, full = atomic_load(&live_bytes);
    uint64_t seed = 3;
    unsigned kept = 0, kept_late = 0;
    for (int i = 0; i < 4000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        bool this = write_whole((seed >> 33) % EXTENTS * EXTENT_LEN, EXTENT_LEN, 2);
        kept += this;
        kept_late += this && i >= 3000;
        most = atomic_load(&live_bytes) > most ? atomic_load(&live_bytes) : most;
    }
    assert_true(most <= full + 16 * EXTENT_LEN); /* spare ones, and the pool's chunk */
    assert_true(kept > 3000);
    assert_true(kept_late > 990);
    close_with_pool();
}

/* What cannot be kept is copied: no multiple of an extent, or memory from somewhere else. */
static void other_memory_is_copied(void **state)
{
    (void)state;
    uint8_t got[1024];
    open_with_pool("memory:size=1M");
    assert_false(write_whole(512, EXTENT_LEN, 1));
    assert_false(write_whole(EXTENT_LEN, EXTENT_LEN / 2, 2));
    assert_int_equal(request(STORE_READ, EXTENT_LEN, got, 512), 0);
    assert_int_equal(got[0], 2);
    struct pool *own = pool;
    assert_int_equal(pool_new(env_host(), 1 << 20, &pool), 0);
    assert_false(write_whole(0, EXTENT_LEN, 3));
    pool_free(pool);
    pool = own;
    assert_int_equal(request(STORE_READ, 0, got, 512), 0);
    assert_int_equal(got[511], 3);
    close_with_pool();
}

/* Whatever allocation fails: all of it is written, or nothing and an error says so. */
static void no_memory_while_it_changes_hands(void **state)
{
    (void)state;
    static uint8_t got[2 * EXTENT_LEN];
    for (unsigned nth = 1; nth <= 8; nth++) {
        open_with_pool("memory:size=1M");
        struct chunk *chunk = filled(2 * EXTENT_LEN, 9);
        struct slice data = slice_take(chunk, 0, 2 * EXTENT_LEN);
        struct store_req req = {
            .verb = STORE_WRITE, .len = data.len, .store = store, .vec_count = 1, .whole = chunk};
        req.vec[0] = (struct io_vec){data.ptr, data.len};
        fail_at = atomic_load(&calls) + nth;
        assert_true(store->ops->submit(store, NULL, &req));
        fail_at = 0;
        slice_release(&data);
        assert_int_equal(request(STORE_READ, 0, got, sizeof got), 0);
        if (req.result == 0)
            assert_true(got[0] == 9 && memcmp(got, got + 1, sizeof got - 1) == 0);
        else
            assert_int_equal(req.result, ERR_NOSPACE);
        close_with_pool();
    }
}

static void resizing_down_and_up_shows_zeros(void **state)
{
    (void)state;
    char why[100];
    uint8_t block[512] = {1};
    open_store("memory:size=1M");
    assert_int_equal(request(STORE_WRITE, 512 * 2000, block, 512), 0);
    assert_int_equal(store->ops->resize(store, NULL, 1000 * 512, why, sizeof why), 0);
    assert_int_equal(store->ops->resize(store, NULL, 1 << 20, why, sizeof why), 0);
    assert_int_equal(request(STORE_READ, 512 * 2000, block, 512), 0);
    assert_int_equal(block[0], 0);
    store_close(store, NULL);
}

static atomic_int torn;

/* A thread's own chunk, written whole. */
static void hammer_whole(struct chunk *chunk, uint64_t at, uint8_t value)
{
    struct store_req req = {
        .verb = STORE_WRITE, .offset = at, .len = chunk->cap, .store = store, .vec_count = 1, .whole = chunk};
    memset(chunk->data, value, chunk->cap);
    req.vec[0] = (struct io_vec){chunk->data, chunk->cap};
    assert_true(store->ops->submit(store, NULL, &req));
}

static void *hammer(void *arg)
{
    uint8_t data[3000];
    uint64_t seed = (uint64_t)(uintptr_t)arg;
    struct pool *own;
    assert_int_equal(pool_new(&env, 1 << 20, &own), 0);
    struct chunk *chunk = pool_get(own, 2 * EXTENT_LEN);
    for (int i = 0; i < 3000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 99;
        uint64_t at = (seed >> 33) % 200000;
        memset(data, i, sizeof data);
        enum store_verb verb = seed >> 60 & 1 ? STORE_READ : STORE_WRITE;
        store->ops->expect(store, at, 4096);
        if (i % 16 == 0) {
            request(STORE_DISCARD, 65536, NULL, 65536);
        } else if (i % 16 == 7) {
            hammer_whole(chunk, (at / EXTENT_LEN) * EXTENT_LEN, (uint8_t)i);
        } else if (i % 4 == 1) {
            struct store_req loan = borrow(at & ~UINT64_C(4095), 4096);
            memcpy(data, loan.vec[0].ptr, sizeof data);
            for (int again = 0; again < 3; again++)
                if (memcmp(data, loan.vec[0].ptr, sizeof data) != 0)
                    atomic_store(&torn, 1);
            give_back(&loan);
        } else {
            request(verb, at, data, sizeof data);
        }
    }
    chunk_unref(chunk);
    pool_free(own);
    return NULL;
}

static void several_threads_at_once(void **state)
{
    (void)state;
    pthread_t threads[4];
    open_store("memory:size=1M");
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&torn), 0);
    store_close(store, NULL);
    assert_int_equal(atomic_load(&live), 0);
}

/* At the seams, where nothing was ever written, and far beyond what is there. */
static void what_is_expected_changes_nothing(void **state)
{
    (void)state;
    static const uint64_t places[] = {0, 512, 65536 - 512, 65536, (1 << 20) - 512};
    static const uint32_t lengths[] = {1, 512, 4096, 65536, UINT32_MAX};
    uint8_t block[512], back[512];
    memset(block, 7, sizeof block);
    open_store("memory:size=1M");
    for (int round = 0; round < 2; round++) {
        const long before = atomic_load(&live);
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
            for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
                store->ops->expect(store, places[i], lengths[k]);
        assert_int_equal(atomic_load(&live), before); /* above all it makes nothing */
        assert_int_equal(request(STORE_WRITE, 0, block, 512), 0);
        assert_int_equal(request(STORE_READ, 0, back, 512), 0);
        assert_memory_equal(back, block, 512);
    }
    store_close(store, NULL);
}

static void null_reads_zeros(void **state)
{
    (void)state;
    uint8_t block[512];
    memset(block, 1, sizeof block);
    open_store("null:size=1P");
    assert_int_equal(request(STORE_WRITE, 0, block, 512), 0);
    assert_int_equal(request(STORE_READ, 0, block, 512), 0);
    assert_int_equal(block[100], 0);
    store_close(store, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_and_the_rest_is_zero),
        cmocka_unit_test(huge_disks_cost_what_is_used),
        cmocka_unit_test(no_memory_is_a_full_medium),
        cmocka_unit_test(what_is_lent_does_not_change),
        cmocka_unit_test(nothing_written_is_lent_as_zeros),
        cmocka_unit_test(no_memory_for_a_copy_is_a_full_medium),
        cmocka_unit_test(whole_extents_are_kept_as_they_came),
        cmocka_unit_test(what_is_lent_stays_when_its_extent_gets_other_memory),
        cmocka_unit_test(no_memory_is_left_behind),
        cmocka_unit_test(other_memory_is_copied),
        cmocka_unit_test(no_memory_while_it_changes_hands),
        cmocka_unit_test(resizing_down_and_up_shows_zeros),
        cmocka_unit_test(several_threads_at_once),
        cmocka_unit_test(what_is_expected_changes_nothing),
        cmocka_unit_test(null_reads_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
