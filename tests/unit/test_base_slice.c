/* Goal: the pool keeps its limit, hands out aligned chunks of the right class, reuses them without touching
 * the heap, and gets back exactly what it gave; slices count references. Method: a counting environment that
 * can be told to fail its nth allocation and that knows what is still allocated. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/slice.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TEST_HAS_ASAN 1
#endif
#ifdef TEST_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* The heap behind the pool under test. */
struct heap {
    unsigned live;    /* allocations not yet freed */
    unsigned calls;   /* allocations asked for */
    unsigned fail_at; /* the call (1 = first) that fails; 0 = none */
};

static void *heap_alloc(void *ctx, size_t size, size_t align)
{
    struct heap *heap = ctx;
    if (++heap->calls == heap->fail_at)
        return NULL;
    void *memory = env_host()->alloc(NULL, size, align);
    assert_non_null(memory);
    heap->live++;
    return memory;
}

static void heap_free(void *ctx, void *ptr)
{
    struct heap *heap = ctx;
    if (ptr)
        heap->live--;
    env_host()->free(NULL, ptr);
}

struct fixture {
    struct heap heap;
    struct env env;
    struct pool *pool;
};

#define FIXTURE_LIMIT (4u * POOL_CLASS_MAX)

static int set_up(void **state)
{
    static struct fixture f;
    f.heap = (struct heap){0};
    f.env = (struct env){.ctx = &f.heap, .alloc = heap_alloc, .free = heap_free};
    *state = &f;
    return pool_new(&f.env, FIXTURE_LIMIT, &f.pool);
}

/* Every test ends with all chunks back, so every test checks that the pool frees all it took. */
static int tear_down(void **state)
{
    struct fixture *f = *state;
    pool_free(f->pool);
    return f->heap.live == 0 ? 0 : -1;
}

static void chunk_capacity_is_the_next_power_of_two(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t len, cap;
    } rows[] = {
        {0, 512},         {1, 512},          {511, 512},         {512, 512},
        {513, 1024},      {1024, 1024},      {1025, 2048},       {4095, 4096},
        {4096, 4096},     {4097, 8192},      {65536, 65536},     {65537, 131072},
        {524288, 524288}, {524289, 1048576}, {1048575, 1048576}, {1048576, 1048576},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chunk *chunk = pool_get(f->pool, rows[i].len);
        assert_non_null(chunk);
        assert_int_equal(chunk->cap, rows[i].cap);
        assert_int_equal(chunk->refs, 1);
        memset(chunk->data, 0xa5, chunk->cap);
        assert_int_equal(pool_bytes_in_use(f->pool), rows[i].cap);
        chunk_unref(chunk);
    }
}

static void chunks_of_a_page_and_more_are_page_aligned(void **state)
{
    struct fixture *f = *state;
    for (uint32_t len = POOL_CLASS_MIN; len <= POOL_CLASS_MAX; len *= 2) {
        struct chunk *chunk = pool_get(f->pool, len);
        uintptr_t align = len >= POOL_ALIGN ? POOL_ALIGN : 64;
        assert_int_equal((uintptr_t)chunk->data % align, 0);
        chunk_unref(chunk);
    }
}

static void a_freed_chunk_is_reused_by_its_class_alone(void **state)
{
    struct fixture *f = *state;
    struct chunk *first = pool_get(f->pool, 4096);
    chunk_unref(first);
    struct chunk *smaller = pool_get(f->pool, 2048);
    assert_ptr_not_equal(smaller, first);
    struct chunk *again = pool_get(f->pool, 3000);
    assert_ptr_equal(again, first);
    chunk_unref(again);
    chunk_unref(smaller);
}

static void steady_state_does_not_touch_the_heap(void **state)
{
    struct fixture *f = *state;
    struct chunk *held[32];
    /* One warm round, then many rounds with another order of release. */
    uint64_t warm = 0;
    for (unsigned round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < 32; i++)
            assert_non_null(held[i] = pool_get(f->pool, 600u << (i % 5)));
        for (unsigned i = 0; i < 32; i++)
            chunk_unref(held[(i * 7 + round) % 32]);
        if (round == 0)
            warm = pool_heap_allocations(f->pool);
        assert_int_equal(pool_heap_allocations(f->pool), warm);
    }
    assert_int_equal(f->heap.calls, warm + 1); /* and the counter is honest: one more for the pool itself */
    assert_int_equal(pool_bytes_in_use(f->pool), 0);
    assert_int_equal(pool_chunks_in_use(f->pool), 0);
}

static void the_limit_refuses_and_recovers(void **state)
{
    struct fixture *f = *state;
    struct chunk *held[4];
    for (unsigned i = 0; i < 4; i++)
        assert_non_null(held[i] = pool_get(f->pool, POOL_CLASS_MAX));
    assert_int_equal(pool_bytes_in_use(f->pool), FIXTURE_LIMIT);
    assert_null(pool_get(f->pool, 1));
    assert_null(pool_get(f->pool, POOL_CLASS_MAX));
    assert_int_equal(pool_chunks_in_use(f->pool), 4);
    chunk_unref(held[2]);
    assert_non_null(held[2] = pool_get(f->pool, POOL_CLASS_MAX));
    for (unsigned i = 0; i < 4; i++)
        chunk_unref(held[i]);
}

static void idle_chunks_make_room_for_another_class(void **state)
{
    struct fixture *f = *state;
    /* Fill the whole limit with the smallest class, give all back: all of it lies idle in one class. */
    const unsigned count = FIXTURE_LIMIT / POOL_CLASS_MIN;
    struct chunk **held = calloc(count, sizeof *held);
    assert_non_null(held);
    for (unsigned i = 0; i < count; i++)
        assert_non_null(held[i] = pool_get(f->pool, POOL_CLASS_MIN));
    assert_null(pool_get(f->pool, POOL_CLASS_MIN));
    for (unsigned i = 0; i < count; i++)
        chunk_unref(held[i]);
    struct chunk *large = pool_get(f->pool, POOL_CLASS_MAX);
    assert_non_null(large);
    /* Only as much went back to the heap as was needed: pool, large chunk (2), and the rest (2 each). */
    assert_int_equal(f->heap.live, 1 + 2 + 2 * (FIXTURE_LIMIT - POOL_CLASS_MAX) / POOL_CLASS_MIN);
    chunk_unref(large);
    free(held);
}

/* Whatever the order, half of the pool stays for what arrives, and the share is given back with its chunks.
 */
static void the_share_leaves_room_for_what_arrives(void **state)
{
    (void)state;
    struct pool *pool;
    assert_int_equal(pool_new(env_host(), 64 * 1024, &pool), 0);
    assert_int_equal(pool_limit(pool), 64 * 1024);
    struct chunk *held[8];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++)
            assert_non_null(held[i] = pool_get_share(pool, 4096));
        assert_null(pool_get_share(pool, 512));
        assert_false(pool_crowded(pool)); /* the share does not count */
        assert_true(pool_roomy(pool));
        struct chunk *arriving[5];
        for (int i = 0; i < 5; i++) {
            assert_false(pool_crowded(pool));
            assert_int_equal(pool_roomy(pool), i == 0);
            assert_non_null(arriving[i] = pool_get(pool, 4096));
        }
        assert_true(pool_crowded(pool));
        for (int i = 0; i < 5; i++)
            chunk_unref(arriving[i]);
        assert_false(pool_crowded(pool));
        for (int i = 0; i < 8; i++)
            chunk_unref(held[i]);
    }
    pool_free(pool);
}

static void a_limit_below_one_chunk_refuses_at_once(void **state)
{
    struct fixture *f = *state;
    struct pool *tiny;
    assert_int_equal(pool_new(&f->env, POOL_CLASS_MIN - 1, &tiny), 0);
    assert_null(pool_get(tiny, 1));
    assert_int_equal(pool_heap_allocations(tiny), 0);
    pool_free(tiny);
    pool_free(NULL);
}

static void trim_keeps_what_it_is_told(void **state)
{
    struct fixture *f = *state;
    struct chunk *held[8];
    for (unsigned i = 0; i < 8; i++)
        held[i] = pool_get(f->pool, 8192);
    for (unsigned i = 0; i < 7; i++)
        chunk_unref(held[i]);
    pool_trim(f->pool, 3 * 8192);
    assert_int_equal(f->heap.live, 1 + 2 * (1 + 3));
    pool_trim(f->pool, 0);
    assert_int_equal(f->heap.live, 1 + 2 * 1);
    /* The chunk in use was not touched. */
    memset(held[7]->data, 1, held[7]->cap);
    chunk_unref(held[7]);
}

static void every_failing_allocation_is_survived(void **state)
{
    struct fixture *f = *state;
    struct pool *pool = NULL;
    f->heap.fail_at = f->heap.calls + 1;
    assert_int_equal(pool_new(&f->env, 1 << 20, &pool), ERR_NOMEM);
    assert_null(pool); /* untouched on failure */
    /* A chunk takes two allocations; each may be the one that fails. */
    for (unsigned nth = 1; nth <= 2; nth++) {
        unsigned live = f->heap.live;
        f->heap.fail_at = f->heap.calls + nth;
        assert_null(pool_get(f->pool, 4096));
        assert_int_equal(f->heap.live, live);
        assert_int_equal(pool_chunks_in_use(f->pool), 0);
        assert_int_equal(pool_bytes_in_use(f->pool), 0);
    }
    /* With idle memory of another class the pool gives that back and succeeds at the second try. */
    chunk_unref(pool_get(f->pool, 512));
    f->heap.fail_at = f->heap.calls + 1;
    struct chunk *chunk = pool_get(f->pool, 4096);
    assert_non_null(chunk);
    assert_int_equal(f->heap.live, 1 + 2);
    chunk_unref(chunk);
}

static void the_last_reference_gives_the_chunk_back(void **state)
{
    struct fixture *f = *state;
    struct chunk *chunk = pool_get(f->pool, 1000);
    chunk_ref(chunk);
    chunk_ref(chunk);
    assert_int_equal(chunk->refs, 3);
    chunk_unref(chunk);
    chunk_unref(chunk);
    assert_int_equal(pool_chunks_in_use(f->pool), 1);
    chunk_unref(chunk);
    assert_int_equal(pool_chunks_in_use(f->pool), 0);
    chunk_unref(NULL);
}

static void slices_share_a_chunk_and_outlive_one_another(void **state)
{
    struct fixture *f = *state;
    struct chunk *chunk = pool_get(f->pool, 512);
    for (unsigned i = 0; i < 512; i++)
        chunk->data[i] = (uint8_t)i;
    struct slice whole = slice_take(chunk, 0, 512);
    assert_int_equal(chunk->refs, 1); /* taken over, not added */
    struct slice part = slice_sub(&whole, 100, 50);
    struct slice end = slice_sub(&part, 50, 0);
    assert_int_equal(chunk->refs, 3);
    slice_release(&whole);
    assert_null(whole.chunk);
    assert_null(whole.ptr);
    assert_int_equal(whole.len, 0);
    assert_int_equal(part.ptr[0], 100);
    assert_int_equal(part.len, 50);
    assert_ptr_equal(end.ptr, part.ptr + 50);
    slice_release(&whole); /* an empty slice may be released again */
    slice_release(&part);
    assert_int_equal(pool_chunks_in_use(f->pool), 1);
    slice_release(&end);
    assert_int_equal(pool_chunks_in_use(f->pool), 0);
}

static void borrowed_slices_hold_nothing(void **state)
{
    (void)state;
    static const char text[] = "borrowed";
    struct slice s = slice_borrow(text, 8);
    struct slice sub = slice_sub(&s, 2, 3);
    assert_null(sub.chunk);
    assert_memory_equal(sub.ptr, "rro", 3);
    slice_release(&sub);
    slice_release(&s);
    struct slice none = slice_borrow(NULL, 0);
    struct slice none_of_it = slice_sub(&none, 0, 0);
    assert_null(none_of_it.ptr);
}

/* Runs `misuse` in a child, which an assert must end. */
static void assert_aborts(struct fixture *f, void (*misuse)(struct fixture *f))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL); /* cmocka turns it into a failed test */
        close(STDERR_FILENO);
        misuse(f);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void misuse_free_with_a_chunk_out(struct fixture *f)
{
    assert_non_null(pool_get(f->pool, 1));
    pool_free(f->pool);
}

static void misuse_unref_twice(struct fixture *f)
{
    struct chunk *chunk = pool_get(f->pool, 1);
    chunk_unref(chunk);
    chunk_unref(chunk);
}

static void misuse_slice_beyond_the_chunk(struct fixture *f)
{
    (void)slice_take(pool_get(f->pool, 512), 512, 1);
}

static void misuse_sub_that_wraps_around(struct fixture *f)
{
    struct slice s = slice_take(pool_get(f->pool, 512), 0, 512);
    (void)slice_sub(&s, 2, UINT32_MAX);
}

static void our_own_bugs_stop_at_an_assert(void **state)
{
    struct fixture *f = *state;
    assert_aborts(f, misuse_free_with_a_chunk_out);
    assert_aborts(f, misuse_unref_twice);
    assert_aborts(f, misuse_slice_beyond_the_chunk);
    assert_aborts(f, misuse_sub_that_wraps_around);
}

#ifdef TEST_HAS_ASAN
static void idle_chunk_data_is_poisoned(void **state)
{
    struct fixture *f = *state;
    struct chunk *chunk = pool_get(f->pool, 4096);
    uint8_t *data = chunk->data;
    assert_null(__asan_region_is_poisoned(data, 4096));
    chunk_unref(chunk);
    assert_true(__asan_address_is_poisoned(data));
    assert_true(__asan_address_is_poisoned(data + 4095));
    chunk = pool_get(f->pool, 4096);
    assert_ptr_equal(chunk->data, data);
    assert_null(__asan_region_is_poisoned(data, 4096));
    chunk_unref(chunk);
}
#endif

/* Whole means: all of a pool's chunk, and nobody else looks. */
static void a_slice_knows_whether_it_is_all_of_its_chunk(void **state)
{
    struct fixture *f = *state;
    struct slice all = slice_take(pool_get(f->pool, 4096), 0, 4096);
    struct slice part = slice_sub(&all, 0, 4095), rest = slice_sub(&all, 1, 4095);
    struct slice borrowed = slice_borrow(all.ptr, 4096);
    assert_null(slice_whole(&all)); /* two others look */
    assert_null(slice_whole(&borrowed));
    slice_release(&rest);
    slice_release(&part);
    assert_ptr_equal(slice_whole(&all), all.chunk);
    struct slice shorter = all, later = {all.chunk, all.ptr + 1, 4095};
    shorter.len = 4095;
    assert_null(slice_whole(&shorter));
    assert_null(slice_whole(&later));
    struct chunk foreign = {.refs = 1, .cap = 4096, .data = all.ptr};
    struct slice lent = {&foreign, foreign.data, 4096};
    assert_null(slice_whole(&lent));
    assert_null(chunk_env(&foreign));
    assert_ptr_equal(chunk_env(all.chunk), &f->env);
    slice_release(&all);
}

static void a_chunk_keeps_what_it_was_given_in_exchange(void **state)
{
    struct fixture *f = *state;
    struct chunk *chunk = pool_get(f->pool, 65536);
    uint8_t *other = heap_alloc(&f->heap, 65536, POOL_ALIGN), *had = chunk->data;
    memset(had, 1, 65536);
    memset(other, 2, 65536);
    assert_ptr_equal(chunk_exchange(chunk, other), had);
    assert_ptr_equal(chunk->data, other);
    assert_int_equal(had[65535], 1);
    heap_free(&f->heap, had);
    chunk_unref(chunk);
    chunk = pool_get(f->pool, 65536); /* the same one: its memory is the new one for good */
    assert_ptr_equal(chunk->data, other);
    chunk_unref(chunk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chunk_capacity_is_the_next_power_of_two),
        TEST(chunks_of_a_page_and_more_are_page_aligned),
        TEST(a_freed_chunk_is_reused_by_its_class_alone),
        TEST(steady_state_does_not_touch_the_heap),
        TEST(the_limit_refuses_and_recovers),
        TEST(idle_chunks_make_room_for_another_class),
        TEST(the_share_leaves_room_for_what_arrives),
        TEST(a_limit_below_one_chunk_refuses_at_once),
        TEST(trim_keeps_what_it_is_told),
        TEST(every_failing_allocation_is_survived),
        TEST(the_last_reference_gives_the_chunk_back),
        TEST(slices_share_a_chunk_and_outlive_one_another),
        TEST(borrowed_slices_hold_nothing),
        TEST(a_slice_knows_whether_it_is_all_of_its_chunk),
        TEST(a_chunk_keeps_what_it_was_given_in_exchange),
        TEST(our_own_bugs_stop_at_an_assert),
#ifdef TEST_HAS_ASAN
        TEST(idle_chunk_data_is_poisoned),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
