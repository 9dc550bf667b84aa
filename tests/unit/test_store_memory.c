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
static atomic_uint calls;
static unsigned fail_at;

static void *counting_alloc(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    if (atomic_fetch_add(&calls, 1) + 1 == fail_at)
        return NULL;
    atomic_fetch_add(&live, 1);
    return env_host()->alloc(NULL, size, align);
}

static void counting_free(void *ctx, void *p)
{
    (void)ctx;
    if (p)
        atomic_fetch_sub(&live, 1);
    env_host()->free(NULL, p);
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
        store->ops->give_back(store, req->loan);
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

static void *hammer(void *arg)
{
    uint8_t data[3000];
    uint64_t seed = (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < 3000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 99;
        uint64_t at = (seed >> 33) % 200000;
        memset(data, i, sizeof data);
        enum store_verb verb = seed >> 60 & 1 ? STORE_READ : STORE_WRITE;
        if (i % 16 == 0) {
            request(STORE_DISCARD, 65536, NULL, 65536);
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
        cmocka_unit_test(resizing_down_and_up_shows_zeros),
        cmocka_unit_test(several_threads_at_once),
        cmocka_unit_test(null_reads_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
