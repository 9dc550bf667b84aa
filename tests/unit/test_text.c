/* Goal: text pairs survive every way of being cut into PDUs, malformed ones are named and never read past
 * their end, and values decode only from the forms of RFC 7143 section 6.1. Method: exhaustive cuts of a
 * small text over PDUs; tables at each rule's boundary; encode-decode identity of binary values; random bytes
 * in buffers of exact size (the address sanitizer sees a read too far). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/iscsi/text.h"
#include "tests/unit/proves.h"

#define COUNT(a)   (sizeof(a) / sizeof(a)[0])
#define RANGE(s)   ((struct text_range){s, sizeof(s) - 1})
#define LITERAL(s) s, sizeof(s) - 1 /* with inner NULs, without the last */

/* The pairs of a text as "key>value;" or "!rule" when malformed. The buffer given to the parser is of exact
 * size. */
static void describe(const char *data, size_t len, size_t value_max, char *out, size_t cap)
{
    char *exact = malloc(len ? len : 1);
    struct text_parser p;
    struct text_range key, value;
    enum text_result result;
    assert_non_null(exact);
    if (len)
        memcpy(exact, data, len);
    text_parser_init(&p, exact, len, value_max);
    size_t at = 0;
    out[0] = 0;
    while ((result = text_parser_next(&p, &key, &value)) == TEXT_PAIR && at < cap)
        at += (size_t)snprintf(out + at, cap - at, "%.*s>%.*s;", (int)key.len, key.ptr, (int)value.len,
                               value.ptr);
    if (result == TEXT_ERROR) {
        assert_non_null(p.rule);
        assert_non_null(p.requirement);
        assert_int_equal(text_parser_next(&p, &key, &value), TEXT_ERROR);
        if (at < cap)
            snprintf(out + at, cap - at, "!%s", p.rule);
    }
    free(exact);
}

static void well_formed_texts_give_their_pairs(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t len;
        const char *expected;
    } rows[] = {
        {LITERAL(""), ""},
        {LITERAL("A=b\0"), "A>b;"},
        {LITERAL("A=\0"), "A>;"},
        {LITERAL("A=b\0C=d\0"), "A>b;C>d;"},
        {LITERAL("X-com.example.k=a=b\0"), "X-com.example.k>a=b;"},
        {LITERAL("X#NodeArchitecture=a/1,b\0"), "X#NodeArchitecture>a/1,b;"},
        {LITERAL("iSCSIProtocolLevel=1\0"), "iSCSIProtocolLevel>1;"},
        {LITERAL("A=b\0\0"), "A>b;"},
        {LITERAL("A=b\0\0\0\0"), "A>b;"},
    };
    char out[200];
    for (size_t i = 0; i < COUNT(rows); i++) {
        describe(rows[i].data, rows[i].len, 255, out, sizeof out);
        assert_string_equal(out, rows[i].expected);
    }
    PROVES("R7143-6.1-04", "both");
}

static void malformed_texts_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t len;
        const char *expected;
    } rows[] = {
        {LITERAL("A=b"), "!the last pair has no NUL"},
        {LITERAL("A=b\0C=d"), "A>b;!the last pair has no NUL"},
        {LITERAL("A\0"), "!pair without '='"},
        {LITERAL("=b\0"), "!empty key name"},
        {LITERAL("\0"), "!empty key=value pair"},
        {LITERAL("\0A=b\0"), "!empty key=value pair"},
        {LITERAL("A=b\0\0C=d\0"), "A>b;!empty key=value pair"},
        {LITERAL("A=b\0\0\0\0\0"), "A>b;!empty key=value pair"},
        {LITERAL("A b=c\0"), "!character not allowed in a key name"},
        {LITERAL("A\x80=c\0"), "!character not allowed in a key name"},
        {LITERAL("A~=c\0"), "!character not allowed in a key name"},
    };
    char out[200];
    for (size_t i = 0; i < COUNT(rows); i++) {
        describe(rows[i].data, rows[i].len, 255, out, sizeof out);
        assert_string_equal(out, rows[i].expected);
    }
    PROVES("R7143-6.1-02", "both");
    PROVES("R7143-6.1-05", "both");
}

static void key_names_end_at_63_bytes_and_values_at_their_limit(void **state)
{
    (void)state;
    char data[600], out[700];
    for (size_t key_len = 1; key_len <= 70; key_len++)
        for (size_t value_len = 253; value_len <= 258; value_len++) {
            memset(data, 'K', key_len);
            data[key_len] = '=';
            memset(data + key_len + 1, 'v', value_len);
            data[key_len + 1 + value_len] = 0;
            describe(data, key_len + value_len + 2, 255, out, sizeof out);
            const char *rule = key_len > 63      ? "!key name longer than 63 bytes"
                               : value_len > 255 ? "!value too long"
                                                 : "K";
            assert_memory_equal(out, rule, strlen(rule));
            struct text_parser p;
            struct text_range key, value;
            text_parser_init(&p, data, key_len + value_len + 2, 255);
            if (text_parser_next(&p, &key, &value) ==
                TEXT_ERROR) /* what is shown of the key ends with the room for it */
                assert_int_equal(strlen(p.key), key_len < 63 ? key_len : 63);
        }
    PROVES("R7143-6.1-06", "both");
    PROVES("R7143-6.1-14", "both");
}

static void key_names_follow_the_standard_label(void **state)
{
    (void)state;
    assert_true(text_is_key_name(RANGE("HeaderDigest")));
    assert_true(text_is_key_name(RANGE("X-com.example.a_b+c@d-1")));
    assert_true(text_is_key_name(RANGE("X#NodeArchitecture")));
    assert_false(text_is_key_name(RANGE("headerDigest")));
    assert_false(text_is_key_name(RANGE("1A")));
    assert_false(text_is_key_name(RANGE("")));
    assert_false(text_is_key_name(RANGE("A#B")));
    assert_false(text_is_key_name(RANGE("X#")));
    assert_false(text_is_key_name(RANGE("A B")));
    PROVES("R7143-6.1-05", "both");
}

/* ---- joining and splitting ---- */

static const char sample[] = "A=1\0Bc=23\0D=\0E=x"; /* with its last NUL: 17 bytes */
static const char sample_pairs[] = "A>1;Bc>23;D>;E>x;";

/* Every set of cut points: bit i of `cuts` cuts after byte i. Empty segments are added in between, too. */
static void every_split_joins_to_the_same_pairs(void **state)
{
    (void)state;
    const size_t len = sizeof sample;
    for (uint32_t cuts = 0; cuts < 1u << (len - 1); cuts++) {
        char buf[sizeof sample], out[100];
        struct text_assembler a;
        text_assembler_init(&a, buf, sizeof buf);
        size_t from = 0;
        for (size_t i = 0; i < len; i++) {
            bool last = i == len - 1;
            if (!last && !(cuts >> i & 1))
                continue;
            enum text_assembly got = text_assembler_add(&a, sample + from, i + 1 - from, !last);
            assert_int_equal(got, last ? TEXT_COMPLETE : TEXT_NEED_MORE);
            if (!last && i % 5 == 0)
                assert_int_equal(text_assembler_add(&a, NULL, 0, true), TEXT_NEED_MORE);
            from = i + 1;
        }
        assert_int_equal(a.len, len);
        assert_memory_equal(a.buf, sample, len);
        if (cuts % 97 == 0) { /* the bytes are the same: the pairs need no look at each */
            describe(a.buf, a.len, 255, out, sizeof out);
            assert_string_equal(out, sample_pairs);
        }
    }
    PROVES("R7143-6.1-03", "both");
    PROVES("R7143-11.10.5-02", "both");
}

static void splitter_gives_what_the_assembler_joins(void **state)
{
    (void)state;
    for (size_t len = 0; len <= sizeof sample; len++)
        for (size_t max = 1; max <= len + 2; max++) {
            char buf[sizeof sample];
            struct text_splitter s;
            struct text_assembler a;
            struct text_range part;
            bool c_bit = true;
            size_t parts = 0;
            text_splitter_init(&s, sample, len);
            text_assembler_init(&a, buf, sizeof buf);
            while (text_splitter_next(&s, max, &part, &c_bit)) {
                assert_true(part.len <= max);
                assert_int_equal(c_bit, text_splitter_more(&s));
                assert_int_equal(text_assembler_add(&a, part.ptr, part.len, c_bit),
                                 c_bit ? TEXT_NEED_MORE : TEXT_COMPLETE);
                parts++;
            }
            assert_false(c_bit);
            assert_int_equal(parts, len ? (len + max - 1) / max : 1);
            assert_int_equal(a.len, len);
            assert_memory_equal(a.buf, sample, len);
        }
}

static void joined_text_is_bounded_and_the_assembler_starts_anew(void **state)
{
    (void)state;
    char buf[8];
    struct text_assembler a;
    text_assembler_init(&a, buf, sizeof buf);
    assert_int_equal(text_assembler_add(&a, "12345678", 8, true), TEXT_NEED_MORE);
    assert_int_equal(text_assembler_add(&a, "9", 1, true), TEXT_TOO_BIG);
    assert_int_equal(text_assembler_add(&a, "abc", 3, false), TEXT_COMPLETE);
    assert_int_equal(a.len, 3);
    assert_int_equal(text_assembler_add(&a, "xy", 2, false), TEXT_COMPLETE); /* a new text, not "abcxy" */
    assert_memory_equal(a.buf, "xy", 2);
    assert_int_equal(a.len, 2);
    assert_int_equal(text_assembler_add(&a, "123456789", 9, false), TEXT_TOO_BIG);
}

/* ---- writer ---- */

static void writer_adds_pairs_whole_or_not_at_all(void **state)
{
    (void)state;
    for (size_t cap = 0; cap <= 24; cap++) {
        char *buf = malloc(cap ? cap : 1);
        struct text_writer w;
        text_writer_init(&w, buf, cap);
        bool first = text_add(&w, "Key", "value");        /* 10 bytes */
        bool second = text_add_number(&w, "N", 12345678); /* 11 bytes */
        assert_int_equal(first, cap >= 10);
        assert_int_equal(second, cap >= 21);
        assert_int_equal(w.len, cap >= 21 ? 21 : cap >= 10 ? 10 : 0);
        assert_int_equal(w.overflow, cap < 21);
        if (w.overflow)
            assert_false(text_add(&w, "", "")); /* sticky: what follows a lost pair would be out of order */
        free(buf);
    }
}

static void writer_and_parser_agree(void **state)
{
    (void)state;
    char buf[200], out[200];
    struct text_writer w;
    text_writer_init(&w, buf, sizeof buf);
    assert_true(text_add_bool(&w, "InitialR2T", true) && text_add_bool(&w, "ImmediateData", false));
    assert_true(text_add_number(&w, "Zero", 0) && text_add_number(&w, "Max", UINT64_MAX));
    assert_true(text_add_hex(&w, "H", "\x00\xff\x1a", 3) && text_add_base64(&w, "B", "\x00\xff\x1a\x01", 4));
    describe(buf, w.len, 255, out, sizeof out);
    assert_string_equal(
        out, "InitialR2T>Yes;ImmediateData>No;Zero>0;Max>18446744073709551615;H>0x00ff1a;B>0bAP8aAQ==;");
    uint8_t bytes[8];
    size_t len;
    assert_int_equal(text_decode_binary((struct text_range){"123", 3}, bytes, sizeof bytes, &len),
                     TEXT_BINARY_MALFORMED); /* nor is decimal taken for one */
    uint64_t n = 7;
    static const struct text_range most = {"18446744073709551615", 20}, more = {"18446744073709551616", 20};
    assert_true(text_parse_number(most, &n));
    assert_int_equal(n, UINT64_MAX);
    assert_false(text_parse_number(more, &n));
    PROVES("R7143-6.1-02", "both");
    PROVES("R7143-6.1-09", "both");
    PROVES("R7143-6.1-11", "both");
}

/* ---- values ---- */

static void numbers_parse_exactly_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool fine;
        uint64_t value;
    } rows[] = {
        {"0", true, 0},
        {"1", true, 1},
        {"262144", true, 262144},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"007", false, 0},
        {"00", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.5", false, 0},
        {"0x0", true, 0},
        {"0X10000", true, 65536},
        {"0x00ffFF", true, 65535},
        {"0xffffffffffffffff", true, UINT64_MAX},
        {"0x0000000000000000ff", true, 255},
        {"0x10000000000000000", false, 0},
        {"0x", false, 0},
        {"0xg", false, 0},
        {"x1", false, 0},
        {"1~4", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 77;
        if (text_parse_number(text_range_of(rows[i].text), &value) != rows[i].fine ||
            value != (rows[i].fine ? rows[i].value : 77))
            fail_msg("%s", rows[i].text);
    }
    PROVES("R7143-6.1-07", "both");
    PROVES("R7143-6.1-09", "both");
}

static void ranges_never_run_backwards(void **state)
{
    (void)state;
    uint64_t low = 1, high = 1;
    assert_true(text_parse_number_range(RANGE("3~5"), &low, &high));
    assert_int_equal(low, 3);
    assert_int_equal(high, 5);
    assert_true(text_parse_number_range(RANGE("0x4~4"), &low, &high));
    static const char *const wrong[] = {"5~3", "5", "~5", "5~", "~", "", "1~2~3", "01~2"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_false(text_parse_number_range(text_range_of(wrong[i]), &low, &high));
    assert_int_equal(high, 4);
    PROVES("R7143-6.1-13", "both");
}

static void booleans_are_yes_or_no(void **state)
{
    (void)state;
    bool value = false;
    assert_true(text_parse_bool(RANGE("Yes"), &value) && value);
    assert_true(text_parse_bool(RANGE("No"), &value) && !value);
    static const char *const wrong[] = {"yes", "YES", "no", "", "Y", "Yes ", "1", "True", "Nope", "Ye"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_false(text_parse_bool(text_range_of(wrong[i]), &value));
    PROVES("R7143-6.1-08", "both");
}

static void lists_give_each_item_once(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"a", "[a]"},  {"a,b,cd", "[a][b][cd]"}, {"", "[]"},
                                          {",", "[][]"}, {"a,,b", "[a][][b]"},     {"a,", "[a][]"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct text_range rest = text_range_of(rows[i][0]), item;
        char out[50] = "";
        size_t at = 0;
        while (text_list_next(&rest, &item))
            at += (size_t)snprintf(out + at, sizeof out - at, "[%.*s]", (int)item.len, item.ptr);
        assert_string_equal(out, rows[i][1]);
    }
}

static void binary_values_decode_only_from_legal_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum text_binary result;
        const char *bytes;
        size_t len;
    } rows[] = {
        {"0x00ff", TEXT_BINARY_OK, "\x00\xff", 2},
        {"0Xfff", TEXT_BINARY_OK, "\x0f\xff", 2},
        {"0xA", TEXT_BINARY_OK, "\x0a", 1},
        {"0x01020304", TEXT_BINARY_OK, "\x01\x02\x03\x04", 4},
        {"0x0102030405", TEXT_BINARY_TOO_LONG, "", 0},
        {"0x000000000", TEXT_BINARY_TOO_LONG, "", 0},
        {"0x", TEXT_BINARY_MALFORMED, "", 0},
        {"0xfg", TEXT_BINARY_MALFORMED, "", 0},
        {"0x f", TEXT_BINARY_MALFORMED, "", 0},
        {"0bAA==", TEXT_BINARY_OK, "\x00", 1},
        {"0BAAE=", TEXT_BINARY_OK, "\x00\x01", 2},
        {"0bAQID", TEXT_BINARY_OK, "\x01\x02\x03", 3},
        {"0bAQIDBA==", TEXT_BINARY_OK, "\x01\x02\x03\x04", 4},
        {"0b+/+/", TEXT_BINARY_OK, "\xfb\xff\xbf", 3},
        {"0bAQIDBAU=", TEXT_BINARY_TOO_LONG, "", 0},
        {"0b", TEXT_BINARY_MALFORMED, "", 0},
        {"0bA", TEXT_BINARY_MALFORMED, "", 0},
        {"0bAA", TEXT_BINARY_MALFORMED, "", 0},
        {"0bAAE", TEXT_BINARY_MALFORMED, "", 0},
        {"0bA===", TEXT_BINARY_MALFORMED, "", 0},
        {"0b====", TEXT_BINARY_MALFORMED, "", 0},
        {"0bAB==", TEXT_BINARY_MALFORMED, "", 0}, /* unused bits set */
        {"0bAE==", TEXT_BINARY_MALFORMED, "", 0},
        {"0bAAF=", TEXT_BINARY_MALFORMED, "", 0}, /* unused bits set */
        {"0bA=AA", TEXT_BINARY_MALFORMED, "", 0},
        {"0bAA=A", TEXT_BINARY_MALFORMED, "", 0},
        {"0bAA-_", TEXT_BINARY_MALFORMED, "", 0}, /* the URL alphabet is another one */
        {"0bAA A", TEXT_BINARY_MALFORMED, "", 0},
        {"255", TEXT_BINARY_MALFORMED, "", 0},
        {"18446744073709551616", TEXT_BINARY_MALFORMED, "", 0},
        {"", TEXT_BINARY_MALFORMED, "", 0},
        {"0", TEXT_BINARY_MALFORMED, "", 0},
        {"x0", TEXT_BINARY_MALFORMED, "", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t out[4] = {9, 9, 9, 9};
        size_t len = 99;
        enum text_binary result = text_decode_binary(text_range_of(rows[i].text), out, sizeof out, &len);
        if (result != rows[i].result || len != (result == TEXT_BINARY_OK ? rows[i].len : 99))
            fail_msg("%s: %d, %zu bytes", rows[i].text, result, len);
        if (result == TEXT_BINARY_OK)
            assert_memory_equal(out, rows[i].bytes, len);
        else
            assert_memory_equal(out, "\x09\x09\x09\x09", 4);
    }
    uint8_t wide[16];
    size_t wide_len = 0;
    assert_int_equal(text_decode_binary(RANGE("0bAA==AAAA"), wide, sizeof wide, &wide_len),
                     TEXT_BINARY_MALFORMED);
    PROVES("R7143-6.1-10", "both");
}

/* All lengths up to 70 with random bytes, both encodings, and each length of the output buffer around the
 * right one. */
static void binary_values_survive_encoding(void **state)
{
    (void)state;
    srand(1);
    for (size_t len = 1; len <= 70; len++)
        for (int base64 = 0; base64 < 2; base64++) {
            uint8_t bytes[70];
            char buf[200];
            struct text_writer w;
            for (size_t i = 0; i < len; i++)
                bytes[i] = (uint8_t)rand();
            text_writer_init(&w, buf, sizeof buf);
            assert_true(base64 ? text_add_base64(&w, "K", bytes, len) : text_add_hex(&w, "K", bytes, len));
            struct text_range value = {buf + 2, w.len - 3};
            for (size_t cap = len - 1; cap <= len + 1; cap++) {
                uint8_t *out = malloc(cap ? cap : 1);
                size_t got = 0;
                assert_int_equal(text_decode_binary(value, out, cap, &got),
                                 cap < len ? TEXT_BINARY_TOO_LONG : TEXT_BINARY_OK);
                if (cap >= len) {
                    assert_int_equal(got, len);
                    assert_memory_equal(out, bytes, len);
                }
                free(out);
            }
        }
    PROVES("R7143-6.1-12", "both");
}

static void fixed_binary_values_are_right_aligned(void **state)
{
    (void)state;
    uint8_t out[2] = {0, 0};
    static const char *const good[] = {"258", "0x102", "0x0102", "0bAQI="};
    for (size_t i = 0; i < COUNT(good); i++) {
        memset(out, 0, sizeof out);
        assert_true(text_decode_binary_fixed(text_range_of(good[i]), out, 2));
        assert_memory_equal(out, "\x01\x02", 2);
    }
    static const char *const wrong[] = {"65536", "0x10000", "0bAQ==", "0bAQID", "", "-1", "a", "0b"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_false(text_decode_binary_fixed(text_range_of(wrong[i]), out, 2));
    uint8_t wide[8];
    assert_true(text_decode_binary_fixed(RANGE("0xffffffffffffffff"), wide, 8));
    assert_memory_equal(wide, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
}

static void utf8_is_told_from_other_bytes(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "abc",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "a\xc3\xa9z"};
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x41",
                                      "\xe0\x9f\xbf",
                                      "\xe0\xa0",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xc3"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(text_is_utf8(text_range_of(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(text_is_utf8(text_range_of(bad[i])));
    assert_false(text_is_utf8((struct text_range){"a\0b", 3}));
}

/* ---- junk ---- */

static void random_bytes_are_survived(void **state)
{
    (void)state;
    static const char alphabet[] = "=\0A\0b,~0x0b=+/1Yes\xc3\xa9";
    srand(7);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)rand() % 40;
        char *data = malloc(len ? len : 1), out[2000];
        uint8_t bytes[16];
        uint64_t a, b;
        size_t got;
        bool yes;
        for (size_t i = 0; i < len; i++)
            data[i] = round % 2 ? (char)rand() : alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        struct text_range range = {data, len}, rest = range, item;
        describe(data, len, 20, out, sizeof out);
        (void)text_parse_number(range, &a);
        (void)text_parse_number_range(range, &a, &b);
        (void)text_parse_bool(range, &yes);
        if (text_decode_binary(range, bytes, sizeof bytes, &got) == TEXT_BINARY_OK)
            assert_true(got <= sizeof bytes);
        (void)text_decode_binary_fixed(range, bytes, 1 + (size_t)round % 8);
        (void)text_is_utf8(range);
        (void)text_is_key_name(range);
        while (text_list_next(&rest, &item))
            assert_true(item.len <= len);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_texts_give_their_pairs),
        cmocka_unit_test(malformed_texts_are_named),
        cmocka_unit_test(key_names_end_at_63_bytes_and_values_at_their_limit),
        cmocka_unit_test(key_names_follow_the_standard_label),
        cmocka_unit_test(every_split_joins_to_the_same_pairs),
        cmocka_unit_test(splitter_gives_what_the_assembler_joins),
        cmocka_unit_test(joined_text_is_bounded_and_the_assembler_starts_anew),
        cmocka_unit_test(writer_adds_pairs_whole_or_not_at_all),
        cmocka_unit_test(writer_and_parser_agree),
        cmocka_unit_test(numbers_parse_exactly_or_not_at_all),
        cmocka_unit_test(ranges_never_run_backwards),
        cmocka_unit_test(booleans_are_yes_or_no),
        cmocka_unit_test(lists_give_each_item_once),
        cmocka_unit_test(binary_values_decode_only_from_legal_forms),
        cmocka_unit_test(binary_values_survive_encoding),
        cmocka_unit_test(fixed_binary_values_are_right_aligned),
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(random_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
