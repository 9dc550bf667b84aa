/* Goal: a transfer keeps as many chunks under way as make it faster: all that are allowed on a long line,
 * the fewest where more only wait, and it finds its way from one to the other. Method: lines with exact
 * rates, which end a chunk at regular times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "initiator/cli/window.h"

#define CHUNK 262144u

static struct window w;
static uint64_t now;

/* What a line does: so many chunks under way take latency_ns, and it ends none faster than each_ns. With more
 * than `fits` under way each takes a quarter longer. */
struct line {
    uint64_t latency_ns, each_ns;
    uint32_t fits;
};

static uint64_t interval(const struct line *line)
{
    uint64_t ns = line->latency_ns / w.open;
    ns = ns < line->each_ns ? line->each_ns : ns;
    return w.open > line->fits ? ns + ns / 4 : ns;
}

/* How many chunks, of `count`, ended while `open` were under way. */
static uint32_t run(const struct line *line, uint32_t count, uint32_t open)
{
    uint32_t with = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t before = w.open;
        with += before == open;
        now += interval(line);
        bool grown = window_ended(&w, CHUNK, now);
        assert_int_equal(grown, w.open > before);
    }
    return with;
}

static const struct line longer = {.latency_ns = 10000000, .each_ns = 1000, .fits = 1024};
static const struct line shorter = {.latency_ns = 100000, .each_ns = 100000, .fits = 1024};
static const struct line cached = {.latency_ns = 100000, .each_ns = 100000, .fits = 8};

static void a_long_line_is_filled(void **state)
{
    (void)state;
    window_start(&w, 32, now);
    assert_int_equal(w.open, 8);
    run(&longer, 64 + 64 + 64, 0); /* what 8 do; 16; 32 */
    assert_int_equal(w.open, 32);
    /* Once in seventeen periods half as many are tried. */
    uint32_t all = run(&longer, 64 * 170, 32);
    assert_true(all > 64 * 150 && all < 64 * 170);
    window_start(&w, 100, now); /* not a power of two */
    run(&longer, 64 * 4, 0);
    run(&longer, 400, 0);
    assert_int_equal(w.open, 100);
}

static void a_short_line_has_the_fewest(void **state)
{
    (void)state;
    const struct line *lines[] = {&shorter, &cached};
    for (int i = 0; i < 2; i++) {
        window_start(&w, 32, now);
        uint32_t few = run(lines[i], 64 * 180, 8);
        assert_true(few >= 64 * 169 && few < 64 * 180);
    }
}

static void a_line_that_changes_is_followed(void **state)
{
    (void)state;
    window_start(&w, 64, now);
    run(&shorter, 64 * 20, 0);
    assert_int_equal(w.open, 8);
    run(&longer, 64 * 50, 0);
    assert_int_equal(w.open, 64);
    run(&cached, 256 * 60, 0);
    assert_int_equal(w.open, 8);
    run(&longer, 64 * 50, 0);
    assert_int_equal(w.open, 64);
}

/* Fewer than the fewest, when no more are allowed. */
static void what_is_allowed_is_never_exceeded(void **state)
{
    (void)state;
    for (uint32_t most = 1; most <= 12; most++) {
        window_start(&w, most, now);
        for (int i = 0; i < 10000; i++) {
            assert_in_range(w.open, most < 8 ? most : 8, most);
            now += i / 1000 % 3 ? interval(i / 2000 % 2 ? &shorter : &longer) : 0; /* or all at once */
            window_ended(&w, CHUNK, now);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_line_is_filled),
        cmocka_unit_test(a_short_line_has_the_fewest),
        cmocka_unit_test(a_line_that_changes_is_followed),
        cmocka_unit_test(what_is_allowed_is_never_exceeded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
