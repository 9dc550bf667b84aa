/* Goal: large buffers are zeroed, apart from one another, found again by their address, and their memory goes
 * back to the kernel; what is not one of them is left alone. Method: many buffers of all sizes, each filled
 * with a mark of its own, in one thread and in four; the resident memory before and after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/base/pages.h"

#define BUFFERS 300u

/* Where each allocation is watched over by a sanitizer there are no such buffers: then env_host has to do
 * without, and does. */
static bool there_are_none(void)
{
    void *one = pages_alloc(PAGES_MIN);
    bool none = one == NULL;
    if (one)
        assert_true(pages_free(one));
    return none;
}

static size_t size_of(uint32_t i)
{
    return PAGES_MIN << i % 5;
}

static bool all_are(const uint8_t *bytes, size_t len, uint8_t value)
{
    return bytes[0] == value && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static uint8_t *fresh(size_t size, uint8_t mark)
{
    uint8_t *buffer = pages_alloc(size);
    assert_non_null(buffer);
    assert_int_equal((uintptr_t)buffer % PAGES_MIN, 0);
    assert_true(all_are(buffer, size, 0));
    memset(buffer, mark, size);
    return buffer;
}

/* Every second one goes and comes again, dirty as it was left. */
static void *churn(void *arg)
{
    uint8_t *buffers[BUFFERS], first = (uint8_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < BUFFERS; i++)
        buffers[i] = fresh(size_of(i), (uint8_t)(first + i % 50));
    for (uint32_t i = 0; i < BUFFERS; i += 2)
        assert_true(pages_free(buffers[i]));
    for (uint32_t i = 0; i < BUFFERS; i += 2)
        buffers[i] = fresh(size_of(i + 1), (uint8_t)(first + i % 50));
    for (uint32_t i = 0; i < BUFFERS; i++) {
        assert_true(all_are(buffers[i], size_of(i % 2 ? i : i + 1), (uint8_t)(first + i % 50)));
        assert_true(pages_free(buffers[i]));
    }
    return NULL;
}

static void buffers_are_zero_and_apart(void **state)
{
    (void)state;
    if (there_are_none())
        return;
    for (int round = 0; round < 3; round++)
        churn((void *)(uintptr_t)1);
}

static void threads_may_share_them(void **state)
{
    (void)state;
    pthread_t threads[4];
    if (there_are_none())
        return;
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(1 + 50 * i)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void other_sizes_are_the_heaps(void **state)
{
    (void)state;
    const size_t sizes[] = {
        0, 1, PAGES_MIN - 1, PAGES_MIN / 2, PAGES_MIN + 1, 3 * PAGES_MIN, PAGES_MAX + 1, 2 * PAGES_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_null(pages_alloc(sizes[i]));
}

static void memory_of_others_is_left_alone(void **state)
{
    (void)state;
    void *aligned = NULL;
    int local;
    assert_int_equal(posix_memalign(&aligned, PAGES_MIN, PAGES_MIN), 0);
    assert_false(pages_free(NULL));
    assert_false(pages_free(&local));
    assert_false(pages_free(aligned));
    assert_false(pages_free((void *)(UINTPTR_MAX & ~(uintptr_t)(PAGES_MIN - 1))));
    memset(aligned, 1, PAGES_MIN); /* it is still ours */
    free(aligned);
}

static long resident_kib(void)
{
    long size, pages;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &pages), 2);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void memory_goes_back_to_the_kernel(void **state)
{
    (void)state;
    static uint8_t *buffers[1024]; /* of 64 KiB: 64 MiB */
    if (there_are_none())
        return;
    long before = resident_kib();
    for (int i = 0; i < 1024; i++)
        buffers[i] = fresh(PAGES_MIN, 7);
    assert_true(resident_kib() - before > 60 * 1024);
    for (int i = 0; i < 1024; i++)
        assert_true(pages_free(buffers[i]));
    assert_true(resident_kib() - before < 8 * 1024);
}

static long faults(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

/* While much is in use, memory that comes free serves other sizes as it is. */
static void other_sizes_get_the_memory_that_came_free(void **state)
{
    (void)state;
    static uint8_t *large[128], *small[16 * 128]; /* 64 regions */
    if (there_are_none())
        return;
    for (uint32_t i = 0; i < 128; i++)
        large[i] = fresh(PAGES_MAX, 3);
    long before = faults();
    for (uint32_t i = 0; i < 128; i++) {
        assert_true(pages_free(large[i]));
        for (uint32_t k = 0; i % 2 && k < 32; k++) /* a region came free */
            small[16 * (i - 1) + k] = fresh(PAGES_MIN, 5);
    }
    assert_in_range(faults() - before, 0, 32); /* one region of new memory has 512, 64 huge pages have 64 */
    for (uint32_t i = 0; i < 16 * 128; i++)
        assert_true(pages_free(small[i]));
}

/* Both kinds through the one door that the product uses. */
static void the_hosts_heap_takes_and_gives_both_kinds(void **state)
{
    (void)state;
    const struct env *env = env_host();
    const size_t sizes[] = {64, 4096, PAGES_MIN, PAGES_MIN + 4096, PAGES_MAX, 3 * PAGES_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *memory[3];
        for (int k = 0; k < 3; k++) {
            memory[k] = env->alloc(env->ctx, sizes[i], 4096);
            assert_non_null(memory[k]);
            assert_int_equal((uintptr_t)memory[k] % 4096, 0);
            assert_true(all_are(memory[k], sizes[i], 0));
            memset(memory[k], 0xff, sizes[i]);
        }
        for (int k = 0; k < 3; k++)
            env_free(env, memory[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_are_zero_and_apart),
        cmocka_unit_test(threads_may_share_them),
        cmocka_unit_test(other_sizes_are_the_heaps),
        cmocka_unit_test(memory_of_others_is_left_alone),
        cmocka_unit_test(memory_goes_back_to_the_kernel),
        cmocka_unit_test(other_sizes_get_the_memory_that_came_free),
        cmocka_unit_test(the_hosts_heap_takes_and_gives_both_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
