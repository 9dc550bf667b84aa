/* lunette-bench's arithmetic. Goal: the histogram knows a latency to 1.6 % and its quantiles are right; the
 * pattern keeps its shares, stays inside its region, aligned, and never hands out a cell twice. Method: exact
 * bounds over all magnitudes, and counting many draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/histogram.h"
#include "bench/pattern.h"
#include "common/base/env.h"
#include "common/base/err.h"

static void histogram_buckets_tile_all_values(void **state)
{
    (void)state;
    for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS && histogram_upper(i) < UINT64_MAX / 2; i++) {
        uint64_t upper = histogram_upper(i);
        assert_int_equal(histogram_index(upper), i);
        assert_int_equal(histogram_index(upper + 1), i + 1);
        uint64_t width = i ? upper - histogram_upper(i - 1) : 1;
        assert_true(width == 1 || width * 64 <= upper + 1); /* 1.6 % */
    }
    assert_true(histogram_index(UINT64_MAX) < HISTOGRAM_BUCKETS);
}

static void histogram_quantiles_are_those_of_the_values(void **state)
{
    (void)state;
    static struct histogram h, other;
    histogram_clear(&h);
    histogram_clear(&other);
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    for (uint64_t v = 1; v <= 100000; v++)
        histogram_add(v % 2 ? &h : &other, v * 10);
    histogram_merge(&h, &other);
    assert_int_equal(h.count, 100000);
    assert_int_equal(h.min, 10);
    assert_int_equal(h.max, 1000000);
    static const double shares[] = {0.01, 0.5, 0.9, 0.99, 0.999, 0.9999};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        double want = shares[i] * 1000000, got = (double)histogram_quantile(&h, shares[i]);
        assert_true(got >= want * 0.999 && got <= want * 1.017);
    }
    assert_int_equal(histogram_quantile(&h, 1), 1000000);
}

static struct pattern_options options(const char *mix, const char *sizes, bool random)
{
    struct pattern_options o = {.random = random, .seed = 7};
    assert_true(pattern_mix_parse(mix, &o));
    assert_true(pattern_sizes_parse(sizes, &o));
    return o;
}

static void pattern_keeps_its_shares_and_its_region(void **state)
{
    (void)state;
    struct pattern_options o = options("read=50,write=30,unmap=20", "4K:3,64K", true);
    struct pattern p;
    uint64_t kinds[PATTERN_KINDS] = {0}, small = 0, first = 3u << 20, len = 10u << 20;
    uint64_t lowest = UINT64_MAX, highest = 0;
    assert_int_equal(pattern_init(&p, env_host(), &o, 512, first, len, 32, false, 0), 0);
    for (int i = 0; i < 100000; i++) {
        struct pattern_choice c;
        pattern_next(&p, &c);
        kinds[c.kind]++;
        small += c.len == 4096;
        assert_true(c.offset >= first && c.offset + c.len <= first + len);
        assert_int_equal((c.offset - first) % c.len, 0);
        lowest = c.offset < lowest ? c.offset : lowest;
        highest = c.offset > highest ? c.offset : highest;
        pattern_done(&p, &c);
    }
    assert_true(kinds[PATTERN_READ] > 49000 && kinds[PATTERN_READ] < 51000);
    assert_true(kinds[PATTERN_UNMAP] > 19000 && kinds[PATTERN_UNMAP] < 21000);
    assert_true(small > 74000 && small < 76000);
    assert_true(lowest < first + (64u << 10) && highest >= first + len - (128u << 10));
    pattern_fini(&p, env_host());
}

static void pattern_hands_out_no_cell_twice(void **state)
{
    (void)state;
    enum { IN_FLIGHT = 31 };
    struct pattern_options o = options("50", "4K,8K", true);
    struct pattern p;
    struct pattern_choice c[IN_FLIGHT];
    assert_int_equal(pattern_init(&p, env_host(), &o, 512, 0, IN_FLIGHT * 8192, IN_FLIGHT, true, 0),
                     ERR_RANGE);
    pattern_fini(&p, env_host());
    assert_int_equal(pattern_init(&p, env_host(), &o, 512, 0, (IN_FLIGHT + 1) * 8192, IN_FLIGHT, true, 0), 0);
    for (int i = 0; i < IN_FLIGHT; i++)
        pattern_next(&p, &c[i]);
    for (int round = 0; round < 10000; round++) {
        int slot = round % IN_FLIGHT;
        pattern_done(&p, &c[slot]);
        pattern_next(&p, &c[slot]);
        for (int i = 0; i < IN_FLIGHT; i++)
            assert_true(i == slot || c[i].offset / 8192 != c[slot].offset / 8192);
    }
    pattern_fini(&p, env_host());
}

static void pattern_in_order_comes_round(void **state)
{
    (void)state;
    struct pattern_options o = options("100", "4K", false);
    struct pattern p;
    assert_int_equal(pattern_init(&p, env_host(), &o, 512, 8192, 10 * 4096 + 512, 1, false, 0), 0);
    for (uint64_t i = 0; i < 25; i++) {
        struct pattern_choice c;
        pattern_next(&p, &c);
        assert_int_equal(c.offset, 8192 + i % 10 * 4096);
    }
    pattern_fini(&p, env_host());
}

static void pattern_texts_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const char *const sizes[] = {
        "", "0", "100", "513", "4K:", "4K:0", "4K,,8K", "32M", "4K:1:2", "1K,2K,3K,4K,5K,6K,7K,8K,9K"};
    static const char *const mixes[] = {
        "", "101", "-1", "read", "write=50", "read=50,write=51", "erase=100", "read=50,write=50,"};
    struct pattern_options o = {.sizes = 99};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_false(pattern_sizes_parse(sizes[i], &o));
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++)
        if (i != 3) /* "read" alone is all of it */
            assert_false(pattern_mix_parse(mixes[i], &o));
    assert_int_equal(o.sizes, 99);
    assert_true(pattern_mix_parse("read", &o));
    assert_int_equal(o.percent[PATTERN_READ], 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_buckets_tile_all_values),
        cmocka_unit_test(histogram_quantiles_are_those_of_the_values),
        cmocka_unit_test(pattern_keeps_its_shares_and_its_region),
        cmocka_unit_test(pattern_hands_out_no_cell_twice),
        cmocka_unit_test(pattern_in_order_comes_round),
        cmocka_unit_test(pattern_texts_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
