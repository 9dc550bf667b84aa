/* Goal: sequence numbers compare by RFC 1982, also where they wrap and where they have no order.
 * Method: around each critical base (0, 2^31, 2^32) all pairs within a small distance, against arithmetic on
 * 64-bit numbers that cannot wrap; then pairs at and next to the distance 2^31; windows of every small size
 * at each base. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/iscsi/serial.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const uint32_t bases[] = {0, 1, 0x7fffffffu, 0x80000000u, 0x80000001u, 0xffffffffu, 0x12345678u};

/* a = base + x, b = base + y for all small x and y: the order must be that of x and y. */
static void order_is_that_of_the_distance(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bases); i++)
        for (int64_t x = -40; x <= 40; x++)
            for (int64_t y = -40; y <= 40; y++) {
                uint32_t a = (uint32_t)(bases[i] + x), b = (uint32_t)(bases[i] + y);
                if (sn_lt(a, b) != (x < y) || sn_le(a, b) != (x <= y) || sn_gt(a, b) != (x > y) ||
                    sn_ge(a, b) != (x >= y) || sn_diff(a, b) != x - y)
                    fail_msg("base %" PRIx32 " %d %d", bases[i], (int)x, (int)y);
            }
}

static void numbers_just_short_of_half_the_circle_have_an_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bases); i++) {
        uint32_t a = bases[i], b = a + 0x7fffffffu;
        assert_true(sn_lt(a, b) && sn_le(a, b) && sn_gt(b, a) && sn_ge(b, a));
        assert_false(sn_lt(b, a) || sn_le(b, a) || sn_gt(a, b) || sn_ge(a, b));
        assert_int_equal(sn_diff(b, a), INT32_MAX);
        assert_int_equal(sn_diff(a, b), -INT32_MAX);
    }
}

static void numbers_half_the_circle_apart_have_no_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bases); i++) {
        uint32_t a = bases[i], b = a + SN_HALF;
        assert_false(sn_lt(a, b) || sn_le(a, b) || sn_gt(a, b) || sn_ge(a, b));
        assert_false(sn_lt(b, a) || sn_le(b, a) || sn_gt(b, a) || sn_ge(b, a));
        assert_int_equal(sn_diff(a, b), INT32_MIN);
        assert_int_equal(sn_diff(b, a), INT32_MIN);
    }
}

/* All windows base .. base + size - 1 up to 20, all numbers within 40 of the base. Size 0 is the closed
 * window. */
static void windows_hold_exactly_their_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bases); i++)
        for (int64_t size = 0; size <= 20; size++)
            for (int64_t x = -40; x <= 40; x++) {
                uint32_t first = bases[i], last = (uint32_t)(first + size - 1);
                bool expected = x >= 0 && x < size;
                if (sn_in_window((uint32_t)(first + x), first, last) != expected)
                    fail_msg("base %" PRIx32 " size %d at %d", first, (int)size, (int)x);
            }
}

static void the_largest_window_is_half_the_circle(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bases); i++) {
        uint32_t first = bases[i], last = first + 0x7fffffffu;
        assert_true(sn_in_window(first, first, last));
        assert_true(sn_in_window(last, first, last));
        assert_false(sn_in_window(last + 1, first, last));
        assert_false(sn_in_window(first - 1, first, last));
        /* one further: not a window any more */
        assert_false(sn_in_window(first, first, last + 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_that_of_the_distance),
        cmocka_unit_test(numbers_just_short_of_half_the_circle_have_an_order),
        cmocka_unit_test(numbers_half_the_circle_apart_have_no_order),
        cmocka_unit_test(windows_hold_exactly_their_numbers),
        cmocka_unit_test(the_largest_window_is_half_the_circle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
