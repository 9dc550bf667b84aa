/* Goal: sizes, durations and numbers are read exactly or refused, and printed so that a person reads them at
 * once. Method: tables of text and expected value or error; parse(format(x)) for the sizes that print without
 * rounding. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/err.h"
#include "common/base/units.h"

#define UNTOUCHED UINT64_C(0xdeadbeefdeadbeef)
#define COUNT(a)  (sizeof(a) / sizeof(a)[0])

struct row {
    const char *text;
    int err;
    uint64_t value;
};

static void check_rows(int (*parse)(const char *, uint64_t *), const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        int err = parse(rows[i].text, &value);
        uint64_t expected = rows[i].err ? UNTOUCHED : rows[i].value;
        if (err != rows[i].err || value != expected)
            fail_msg("\"%s\": error %d value %" PRIu64 ", expected error %d value %" PRIu64, rows[i].text,
                     err, value, rows[i].err, expected);
    }
}

static void sizes_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0", 0, 0},
        {"512", 0, 512},
        {"512B", 0, 512},
        {"4K", 0, 4096},
        {"4k", 0, 4096},
        {"4KB", 0, 4096},
        {"4KiB", 0, 4096},
        {"10G", 0, UINT64_C(10) << 30},
        {"10g", 0, UINT64_C(10) << 30},
        {"1.5T", 0, UINT64_C(3) << 39},
        {"0.5K", 0, 512},
        {"1.50000000000000000000000000000000000000K", 0, 1536},
        {"0.0009765625K", 0, 1},
        {"2P", 0, UINT64_C(2) << 50},
        {"16T", 0, UINT64_C(16) << 40},
        {"15E", 0, UINT64_C(15) << 60},
        {"15.999999999999999999132638262011596452794037759304046630859375E", 0, UINT64_MAX},
        {"00000000000000000000000000000007", 0, 7},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", ERR_RANGE, 0},
        {"99999999999999999999999999", ERR_RANGE, 0},
        {"16E", ERR_RANGE, 0},
        {"16.5E", ERR_RANGE, 0},
        {"18014398509481984K", ERR_RANGE, 0},
        {"18014398509481983K", 0, UINT64_MAX - 1023},
        /* a byte has no parts */
        {"1.5", ERR_SYNTAX, 0},
        {"0.3K", ERR_SYNTAX, 0},
        {"1.0000000000000000000000000000000000001E", ERR_SYNTAX, 0},
        {"1.0", 0, 1},
        /* junk */
        {"", ERR_SYNTAX, 0},
        {" 1", ERR_SYNTAX, 0},
        {"1 ", ERR_SYNTAX, 0},
        {"1 G", ERR_SYNTAX, 0},
        {"-1", ERR_SYNTAX, 0},
        {"+1", ERR_SYNTAX, 0},
        {"G", ERR_SYNTAX, 0},
        {".5K", ERR_SYNTAX, 0},
        {"5.K", ERR_SYNTAX, 0},
        {"1.2.3K", ERR_SYNTAX, 0},
        {"1iB", ERR_SYNTAX, 0},
        {"1Kib", ERR_SYNTAX, 0},
        {"1KBB", ERR_SYNTAX, 0},
        {"1KM", ERR_SYNTAX, 0},
        {"1Z", ERR_SYNTAX, 0},
        {"0x10", ERR_SYNTAX, 0},
        {"1e3", ERR_SYNTAX, 0},
        {"1,5G", ERR_SYNTAX, 0},
        {"\xc2\xb2", ERR_SYNTAX, 0},
        {"99999999999999999999999x", ERR_SYNTAX, 0},
    };
    check_rows(units_parse_size, rows, COUNT(rows));
}

static void durations_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"30", 0, UINT64_C(30000000000)},
        {"30s", 0, UINT64_C(30000000000)},
        {"1.5", 0, UINT64_C(1500000000)},
        {"250ms", 0, UINT64_C(250000000)},
        {"10us", 0, 10000},
        {"7ns", 0, 7},
        {"5m", 0, UINT64_C(300000000000)},
        {"1h", 0, UINT64_C(3600000000000)},
        {"0.5h", 0, UINT64_C(1800000000000)},
        {"2d", 0, UINT64_C(172800000000000)},
        {"0s", 0, 0},
        {"18446744073709551615ns", 0, UINT64_MAX},
        {"18446744073s", 0, UINT64_C(18446744073000000000)},
        {"18446744074s", ERR_RANGE, 0},
        {"213504d", ERR_RANGE, 0},
        {"213503d", 0, UINT64_C(213503) * 86400 * 1000000000},
        {"1.5ns", ERR_SYNTAX, 0},
        {"0.0000000001s", ERR_SYNTAX, 0},
        {"", ERR_SYNTAX, 0},
        {"s", ERR_SYNTAX, 0},
        {"-1s", ERR_SYNTAX, 0},
        {"1 s", ERR_SYNTAX, 0},
        {"1S", ERR_SYNTAX, 0},
        {"1min", ERR_SYNTAX, 0},
        {"1sec", ERR_SYNTAX, 0},
        {"1m30s", ERR_SYNTAX, 0},
    };
    check_rows(units_parse_duration, rows, COUNT(rows));
}

static int parse_port(const char *text, uint64_t *out)
{
    return units_parse_u64(text, 1, 65535, out);
}

static int parse_any(const char *text, uint64_t *out)
{
    return units_parse_u64(text, 0, UINT64_MAX, out);
}

static void numbers_keep_their_range(void **state)
{
    (void)state;
    static const struct row ports[] = {
        {"1", 0, 1},
        {"3260", 0, 3260},
        {"65535", 0, 65535},
        {"0xffff", 0, 65535},
        {"0XcBc", 0, 3260},
        {"0", ERR_RANGE, 0},
        {"65536", ERR_RANGE, 0},
        {"0x10000", ERR_RANGE, 0},
        {"99999999999999999999999", ERR_RANGE, 0},
        {"010", 0, 10},
        {"", ERR_SYNTAX, 0},
        {"0x", ERR_SYNTAX, 0},
        {"x1", ERR_SYNTAX, 0},
        {"0x1g", ERR_SYNTAX, 0},
        {"1f", ERR_SYNTAX, 0},
        {"12 ", ERR_SYNTAX, 0},
        {" 12", ERR_SYNTAX, 0},
        {"-1", ERR_SYNTAX, 0},
        {"1.0", ERR_SYNTAX, 0},
        {"99999999999999999999999z", ERR_SYNTAX, 0},
    };
    check_rows(parse_port, ports, COUNT(ports));
    static const struct row any[] = {
        {"18446744073709551615", 0, UINT64_MAX},
        {"0xffffffffffffffff", 0, UINT64_MAX},
        {"18446744073709551616", ERR_RANGE, 0},
        {"0x10000000000000000", ERR_RANGE, 0},
        {"0", 0, 0},
    };
    check_rows(parse_any, any, COUNT(any));
}

static void sizes_print_in_the_largest_unit(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 B"},
        {1, "1 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {1024 * 1024 - 1, "1 MiB"}, /* not "1024 KiB" */
        {UINT64_C(3) << 29, "1.5 GiB"},
        {UINT64_C(10) << 30, "10 GiB"},
        {UINT64_C(16) << 40, "16 TiB"},
        {(UINT64_C(1) << 40) + (UINT64_C(1) << 38), "1.3 TiB"},
        {UINT64_MAX, "16 EiB"},
    };
    char buf[32];
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_ptr_equal(units_format_size(rows[i].bytes, buf, sizeof buf), buf);
        assert_string_equal(buf, rows[i].text);
    }
    /* A short buffer cuts. */
    char tiny[4];
    assert_string_equal(units_format_size(UINT64_C(3) << 29, tiny, sizeof tiny), "1.5");
}

static void durations_print_as_people_say_them(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        const char *text;
    } rows[] = {
        {0, "0s"},
        {7, "7ns"},
        {999, "999ns"},
        {1500, "1.5us"},
        {250000000, "250ms"},
        {999960000, "1s"}, /* not "1000ms" */
        {1500000000, "1.5s"},
        {UINT64_C(59960000000), "60s"},
        {UINT64_C(60000000000), "1m"},
        {UINT64_C(90000000000), "1m30s"},
        {UINT64_C(3599000000000), "59m59s"},
        {UINT64_C(7500000000000), "2h5m"},
        {UINT64_C(86400000000000), "1d"},
        {UINT64_C(93600000000000), "1d2h"},
        {UINT64_MAX, "213503d23h"},
    };
    char buf[32];
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_ptr_equal(units_format_duration(rows[i].ns, buf, sizeof buf), buf);
        assert_string_equal(buf, rows[i].text);
    }
}

static void whole_sizes_survive_printing_and_reading(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        char printed[32], packed[32];
        units_format_size(UINT64_C(1) << shift, printed, sizeof printed);
        /* "4 KiB" is read as "4KiB". */
        char *space = strchr(printed, ' ');
        assert_non_null(space);
        snprintf(packed, sizeof packed, "%.*s%s", (int)(space - printed), printed, space + 1);
        uint64_t back = UNTOUCHED;
        assert_int_equal(units_parse_size(packed, &back), 0);
        assert_true(back == UINT64_C(1) << shift);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_exact_or_refused),
        cmocka_unit_test(durations_are_exact_or_refused),
        cmocka_unit_test(numbers_keep_their_range),
        cmocka_unit_test(sizes_print_in_the_largest_unit),
        cmocka_unit_test(durations_print_as_people_say_them),
        cmocka_unit_test(whole_sizes_survive_printing_and_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
