/* The simulator's model of a disk: it must allow every history that concurrent, failed, lost and repeated
 * writes can make, and catch hand-made wrong ones. Each test is one history, told step by step; reads say
 * what they found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "tests/sim/model.h"

enum { LBA = 3, BLOCKS = 8 };

static struct model *m;

static int fresh(void **state)
{
    (void)state;
    m = model_new(env_host(), BLOCKS, true);
    return m ? 0 : -1;
}

static int gone(void **state)
{
    (void)state;
    model_free(m);
    return 0;
}

static struct model_op *begin(uint64_t number)
{
    return model_write(m, LBA, 1, (struct model_stamp){1, number}, false);
}

static void write_done(uint64_t number)
{
    model_end(m, begin(number), MODEL_GOOD);
}

static void flush_done(void)
{
    model_end(m, model_flush(m), MODEL_GOOD);
}

/* A read that began with `op` returns write `number`: may it? */
static bool ends_with(struct model_op *op, uint64_t number)
{
    struct model_stamp found = {number ? 1 : 0, number};
    uint32_t bad;
    bool good = model_read_end(m, op, &found, &bad);
    if (!good)
        model_end(m, op, MODEL_FAILED);
    return good;
}

static bool may_read(uint64_t number)
{
    return ends_with(model_read(m, LBA, 1), number);
}

static void a_fresh_disk_reads_zeros_and_nothing_else(void **state)
{
    (void)state;
    assert_true(may_read(0));
    assert_false(may_read(1));
}

static void the_last_completed_write_is_read_and_none_before_it(void **state)
{
    (void)state;
    write_done(1);
    write_done(2);
    assert_false(may_read(0));
    assert_false(may_read(1));
    assert_true(may_read(2));
}

static void a_write_that_never_began_is_caught(void **state)
{
    (void)state;
    write_done(1);
    assert_false(may_read(9));
}

static void a_read_may_return_what_was_there_when_it_began_or_came_since(void **state)
{
    (void)state;
    write_done(1);
    struct model_op *read = model_read(m, LBA, 1), *other = model_read(m, LBA, 1);
    write_done(2);
    assert_true(ends_with(read, 1));
    assert_true(ends_with(other, 2));
    assert_false(may_read(1));
}

static void concurrent_writes_leave_either(void **state)
{
    (void)state;
    struct model_op *a = begin(1), *b = begin(2);
    model_end(m, b, MODEL_GOOD);
    model_end(m, a, MODEL_GOOD);
    assert_int_equal(model_candidates(m, LBA), 2);
    assert_false(may_read(0));
    assert_true(may_read(1));
    assert_true(may_read(2));
}

static void what_a_read_has_seen_does_not_go_back(void **state)
{
    (void)state;
    write_done(1);
    struct model_op *slow = begin(2);
    assert_true(may_read(1));
    assert_true(may_read(2)); /* it has happened, though not ended */
    assert_false(may_read(1));
    model_end(m, slow, MODEL_GOOD);
    assert_true(may_read(2));
}

static void a_failed_write_has_happened_or_not_but_does_so_no_more(void **state)
{
    (void)state;
    write_done(1);
    model_end(m, begin(2), MODEL_FAILED);
    assert_true(may_read(1));
    assert_true(may_read(2));
    write_done(3);
    assert_false(may_read(2)); /* an abort that was not fenced */
    assert_true(may_read(3));
}

static void a_refused_write_must_not_be_seen(void **state)
{
    (void)state;
    model_end(m, begin(1), MODEL_NEVER);
    assert_false(may_read(1));
    assert_true(may_read(0));
}

static void a_lost_write_may_happen_until_its_owner_is_fenced(void **state)
{
    (void)state;
    model_lost(m, begin(1), 7);
    write_done(2);
    assert_true(may_read(1)); /* late, over a newer one */
    assert_true(may_read(2));
    model_fence(m, 6);
    write_done(3);
    assert_true(may_read(1));
    model_fence(m, 7);
    assert_true(may_read(1));
    write_done(4);
    assert_false(may_read(1)); /* later than its session */
    assert_true(may_read(4));
}

static void a_power_cut_takes_back_what_was_not_flushed(void **state)
{
    (void)state;
    write_done(1);
    write_done(2);
    model_power_cut(m);
    assert_true(may_read(0));
    assert_true(may_read(1));
    assert_true(may_read(2));
}

static void a_flush_is_a_floor(void **state)
{
    (void)state;
    write_done(1);
    flush_done();
    write_done(2);
    model_power_cut(m);
    assert_false(may_read(0)); /* a forgotten flush */
    assert_true(may_read(1));
    assert_true(may_read(2));
    assert_false(may_read(1)); /* it was seen that 2 is there */
}

static void a_flush_covers_only_what_had_ended_before_it_began(void **state)
{
    (void)state;
    struct model_op *flush = model_flush(m);
    write_done(1);
    model_end(m, flush, MODEL_GOOD);
    model_power_cut(m);
    assert_true(may_read(0));
}

static void a_failed_flush_promises_nothing(void **state)
{
    (void)state;
    write_done(1);
    model_end(m, model_flush(m), MODEL_FAILED);
    model_power_cut(m);
    assert_true(may_read(0));
}

static void fua_is_a_floor_of_its_own(void **state)
{
    (void)state;
    write_done(1);
    model_end(m, model_write(m, LBA, 1, (struct model_stamp){1, 2}, true), MODEL_GOOD);
    model_power_cut(m);
    assert_false(may_read(0));
    assert_false(may_read(1));
    assert_true(may_read(2));
}

static void an_answer_that_crossed_a_power_cut_proves_nothing_but_fua(void **state)
{
    (void)state;
    struct model_op *plain = begin(1);
    model_power_cut(m);
    model_end(m, plain, MODEL_GOOD);
    assert_true(may_read(0));
    struct model_op *fua = model_write(m, LBA, 1, (struct model_stamp){1, 2}, true);
    model_power_cut(m);
    model_end(m, fua, MODEL_GOOD);
    assert_false(may_read(0));
    assert_false(may_read(1));
    assert_true(may_read(2));
}

static void a_disk_without_a_cache_loses_nothing(void **state)
{
    (void)state;
    model_free(m);
    m = model_new(env_host(), BLOCKS, false);
    write_done(1);
    model_power_cut(m);
    assert_false(may_read(0));
    assert_true(may_read(1));
}

static void blocks_are_independent_and_the_bad_one_is_named(void **state)
{
    (void)state;
    struct model_stamp a = {1, 1}, b = {2, 1};
    uint32_t bad = 99;
    model_end(m, model_write(m, 0, 4, a, false), MODEL_GOOD);
    model_end(m, model_write(m, 2, 4, b, false), MODEL_GOOD);
    struct model_stamp torn[6] = {a, a, b, a, b, b}, right[6] = {a, a, b, b, b, b};
    struct model_op *read = model_read(m, 0, 6);
    assert_false(model_read_end(m, read, torn, &bad));
    assert_int_equal(bad, 3);
    assert_true(model_read_end(m, read, right, &bad));
}

static void grown_blocks_are_zeros(void **state)
{
    (void)state;
    write_done(1);
    assert_true(model_grow(m, 2 * BLOCKS));
    assert_true(may_read(1));
    struct model_stamp zero = {0, 0};
    uint32_t bad;
    assert_true(model_read_end(m, model_read(m, BLOCKS + 1, 1), &zero, &bad));
}

#define HISTORY(name) cmocka_unit_test_setup_teardown(name, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HISTORY(a_fresh_disk_reads_zeros_and_nothing_else),
        HISTORY(the_last_completed_write_is_read_and_none_before_it),
        HISTORY(a_write_that_never_began_is_caught),
        HISTORY(a_read_may_return_what_was_there_when_it_began_or_came_since),
        HISTORY(concurrent_writes_leave_either),
        HISTORY(what_a_read_has_seen_does_not_go_back),
        HISTORY(a_failed_write_has_happened_or_not_but_does_so_no_more),
        HISTORY(a_refused_write_must_not_be_seen),
        HISTORY(a_lost_write_may_happen_until_its_owner_is_fenced),
        HISTORY(a_power_cut_takes_back_what_was_not_flushed),
        HISTORY(a_flush_is_a_floor),
        HISTORY(a_flush_covers_only_what_had_ended_before_it_began),
        HISTORY(a_failed_flush_promises_nothing),
        HISTORY(fua_is_a_floor_of_its_own),
        HISTORY(an_answer_that_crossed_a_power_cut_proves_nothing_but_fua),
        HISTORY(a_disk_without_a_cache_loses_nothing),
        HISTORY(blocks_are_independent_and_the_bad_one_is_named),
        HISTORY(grown_blocks_are_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
