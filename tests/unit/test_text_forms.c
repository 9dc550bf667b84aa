/* The forms of values and names, walked as a whole where the space is small.
 *
 * Goal: each byte in each place, each length and each number around a limit is taken or refused as the RFCs
 * have it, and what is written is what they say. Method: plain models of a line or two (a string of the
 * characters that are allowed, arithmetic on digits) against the code, for all bytes, for all short strings
 * over the characters that matter, and for all sizes of a buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/iscsi/name.h"
#include "common/iscsi/text.h"
#include "tests/unit/proves.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define SMALL    "abcdefghijklmnopqrstuvwxyz"
#define CAPITAL  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS   "0123456789"
#define BASE64   CAPITAL SMALL DIGITS "+/"

static bool among(int c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static struct text_range range(const char *s, size_t len)
{
    return (struct text_range){s, len};
}

/* ---- keys ---- */

static void every_byte_in_a_key_name(void **state)
{
    (void)state;
    static const char allowed[] = SMALL CAPITAL DIGITS ".-+@_#";
    for (int c = 1; c < 256; c++) {
        for (size_t at = 0; at < 4; at++) {
            char text[] = "KeyA=v\0";
            struct text_parser p;
            struct text_range key, value;
            text[at] = (char)c;
            text_parser_init(&p, text, 7, 100);
            enum text_result got = text_parser_next(&p, &key, &value);
            if (c == '=') { /* ends the key there */
                assert_int_equal(got, at ? TEXT_PAIR : TEXT_ERROR);
                if (at)
                    assert_int_equal(key.len, at);
                continue;
            }
            assert_int_equal(got, among(c, allowed) ? TEXT_PAIR : TEXT_ERROR);
            if (got == TEXT_PAIR) {
                assert_int_equal(key.len, 4);
                assert_int_equal(value.len, 1);
                assert_int_equal(text_parser_next(&p, &key, &value), TEXT_END);
            } else {
                char shown[5] = "KeyA";
                shown[at] = c > 0x20 && c < 0x7f ? (char)c : '?';
                assert_string_equal(p.key, shown);
                assert_string_equal(p.requirement, "R7143-6.1-05");
                assert_int_equal(text_parser_next(&p, &key, &value), TEXT_ERROR); /* and stays so */
            }
            text[4] = 0;
            bool name = among(c, SMALL CAPITAL DIGITS ".-+@_") && (at || among(c, CAPITAL));
            assert_int_equal(text_is_key_name(range(text, 4)), name);
            char extended[] = "X#KeyA";
            extended[2 + at] = (char)c;
            assert_int_equal(text_is_key_name(range(extended, 6)), name);
        }
    }
    assert_false(text_is_key_name(range("X#", 2)));
    assert_true(text_is_key_name(range("X#A", 3)));
    assert_true(text_is_key_name(range("X", 1)));
    assert_true(text_is_key_name(range("X-a", 3)));
    assert_false(text_is_key_name(range("Y#Aa", 4)));
    char longest[65];
    memset(longest, 'K', sizeof longest);
    for (size_t len = 0; len <= 65; len++)
        assert_int_equal(text_is_key_name(range(longest, len)), len >= 1 && len <= 63);
    PROVES("R7143-6.1-05", "both");
}

/* A few NULs behind the last pair are padding; in front, or more of them, are empty pairs. */
static void trailing_nuls_are_padding(void **state)
{
    (void)state;
    for (size_t nuls = 0; nuls <= TEXT_TRAILING_NUL_MAX + 2; nuls++) {
        for (int other = 0; other < 2; other++) {
            char text[64] = "K=v";
            size_t len = 4 + nuls;
            struct text_parser p;
            struct text_range key, value;
            if (other && nuls)
                text[len - 1] = 'x'; /* the last of them is none */
            text_parser_init(&p, text, len, 100);
            assert_int_equal(text_parser_next(&p, &key, &value), TEXT_PAIR);
            bool good = nuls == 0 || (!other && nuls <= TEXT_TRAILING_NUL_MAX);
            enum text_result got = text_parser_next(&p, &key, &value);
            assert_int_equal(got, good ? TEXT_END : TEXT_ERROR);
            assert_int_equal(text_parser_next(&p, &key, &value), good ? TEXT_END : TEXT_ERROR);
        }
    }
    struct text_parser p;
    struct text_range key, value;
    text_parser_init(&p, "\0", 1, 100);
    assert_int_equal(text_parser_next(&p, &key, &value), TEXT_ERROR);
    assert_string_equal(p.requirement, "R7143-6.1-02");
    PROVES("R7143-6.1-02", "both");
}

/* ---- writing ---- */

/* All sizes of the buffer: a pair is written whole, with its NUL, or not at all; nothing behind it changes.
 */
static void written_pairs_take_their_room_exactly(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x10, 0x83, 0xff, 0xfe};
    static const char *const hex[] = {"Key=0x",       "Key=0x00",       "Key=0x0010",
                                      "Key=0x001083", "Key=0x001083ff", "Key=0x001083fffe"};
    static const char *const base64[] = {
        "Key=0b", "Key=0bAA==", "Key=0bABA=", "Key=0bABCD", "Key=0bABCD/w==", "Key=0bABCD//4="};
    for (size_t len = 0; len <= 5; len++) {
        for (int kind = 0; kind < 2; kind++) {
            const char *expected = kind ? base64[len] : hex[len];
            size_t need = strlen(expected) + 1;
            for (size_t cap = 0; cap <= need + 2; cap++) {
                char buf[64];
                struct text_writer w;
                memset(buf, 'z', sizeof buf);
                text_writer_init(&w, buf, cap);
                bool good =
                    kind ? text_add_base64(&w, "Key", bytes, len) : text_add_hex(&w, "Key", bytes, len);
                assert_int_equal(good, cap >= need);
                assert_int_equal(w.overflow, !good);
                assert_int_equal(w.len, good ? need : 0);
                if (good)
                    assert_memory_equal(buf, expected, need);
                for (size_t i = good ? need : 0; i < sizeof buf; i++)
                    assert_int_equal(buf[i], 'z');
                assert_int_equal(text_add(&w, "", ""), good && cap - need >= 2); /* an overflow stays */
            }
        }
    }
    char buf[200];
    struct text_writer w;
    text_writer_init(&w, buf, sizeof buf);
    assert_true(text_add_number(&w, "A", 0));
    assert_true(text_add_number(&w, "B", UINT64_MAX));
    assert_true(text_add_bool(&w, "C", true));
    assert_true(text_add_bool(&w, "D", false));
    static const char expected[] = "A=0\0B=18446744073709551615\0C=Yes\0D=No";
    assert_int_equal(w.len, sizeof expected);
    assert_memory_equal(buf, expected, sizeof expected);
    PROVES("R7143-6.1-02", "both");
}

static void copies_fit_with_their_nul(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 4; len++) {
        for (size_t cap = 0; cap <= 6; cap++) {
            char buf[8] = "zzzzzzz";
            bool good = text_copy(range("abcd", len), buf, cap);
            assert_int_equal(good, len < cap);
            if (good)
                assert_int_equal(strlen(buf), len);
            for (size_t i = good ? len + 1 : 0; i < 7; i++)
                assert_int_equal(buf[i], 'z');
        }
    }
    char buf[8];
    assert_false(text_copy(range("a\0b", 3), buf, sizeof buf));
    assert_false(text_copy(range("ab\0", 3), buf, sizeof buf));
}

/* ---- numbers ---- */

static void numbers_around_their_limits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"00", false, 0},
        {"01", false, 0},
        {"9", true, 9},
        {"10", true, 10},
        {"18446744073709551609", true, UINT64_MAX - 6},
        {"18446744073709551614", true, UINT64_MAX - 1},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551620", false, 0},
        {"28446744073709551615", false, 0},
        {"184467440737095516150", false, 0},
        {"0x0", true, 0},
        {"0X1f", true, 31},
        {"0xffffffffffffffff", true, UINT64_MAX},
        {"0x0000000000000000ffffffffffffffff", true, UINT64_MAX},
        {"0x10000000000000000", false, 0},
        {"0x1000000000000000", true, 0x1000000000000000},
        {"0x0fffffffffffffffe", true, 0xfffffffffffffffe},
        {"0x", false, 0},
        {"x1", false, 0},
        {"1x", false, 0},
        {"", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t got = 77;
        assert_int_equal(text_parse_number(text_range_of(cases[i].text), &got), cases[i].good);
        assert_true(got == (cases[i].good ? cases[i].value : 77));
    }
    for (int c = 0; c < 256; c++) {
        char text[] = "1?", hex[] = "0x1?";
        uint64_t got = 77;
        text[1] = (char)c;
        hex[3] = (char)c;
        bool good = among(c, DIGITS);
        assert_int_equal(text_parse_number(range(text, 2), &got), good);
        assert_int_equal(got, good ? 10 + c - '0' : 77);
        got = 77;
        int digit = among(c, DIGITS)     ? c - '0'
                    : among(c, "abcdef") ? c - 'a' + 10
                    : among(c, "ABCDEF") ? c - 'A' + 10
                                         : -1;
        assert_int_equal(text_parse_number(range(hex, 4), &got), digit >= 0);
        assert_int_equal(got, digit >= 0 ? 16 + digit : 77);
    }
    uint64_t low = 1, high = 2;
    assert_true(text_parse_number_range(text_range_of("5~5"), &low, &high));
    assert_true(low == 5 && high == 5);
    assert_true(text_parse_number_range(text_range_of("0x10~17"), &low, &high));
    assert_true(low == 16 && high == 17);
    static const char *const wrong[] = {"6~5", "~5", "5~", "5", "", "~", "5~6~7", "a~6", "5~b"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_false(text_parse_number_range(text_range_of(wrong[i]), &low, &high));
    assert_true(low == 16 && high == 17);
    PROVES("R7143-6.1-07", "both");
    PROVES("R7143-6.1-09", "both");
}

static void fixed_values_of_all_lengths(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 8; len++) {
        uint64_t most = len == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * len)) - 1;
        const uint64_t values[] = {0, 1, 0x0102030405060708 & most, most - 1, most};
        for (size_t i = 0; i < COUNT(values); i++) {
            char text[64];
            for (int form = 0; form < 2; form++) {
                uint8_t out[10];
                memset(out, 0xee, sizeof out);
                snprintf(text, sizeof text, form ? "0x%llx" : "%llu", (unsigned long long)values[i]);
                assert_true(text_decode_binary_fixed(text_range_of(text), out, len));
                for (size_t k = 0; k < len; k++)
                    assert_int_equal(out[k], (uint8_t)(values[i] >> (8 * (len - 1 - k))));
                assert_int_equal(out[len], 0xee);
            }
        }
        if (len < 8) {
            char text[64];
            uint8_t out[10] = {0};
            snprintf(text, sizeof text, "%llu", (unsigned long long)most + 1);
            assert_false(text_decode_binary_fixed(text_range_of(text), out, len));
        }
        for (size_t bytes = 1; bytes <= 9; bytes++) { /* base64 says its own length */
            static const uint8_t data[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
            char buf[64];
            uint8_t out[10];
            struct text_writer w;
            memset(out, 0xee, sizeof out);
            text_writer_init(&w, buf, sizeof buf);
            assert_true(text_add_base64(&w, "K", data, bytes));
            assert_int_equal(text_decode_binary_fixed(range(buf + 2, w.len - 3), out, len), bytes == len);
            if (bytes == len)
                assert_memory_equal(out, data, len);
            assert_int_equal(out[bytes == len ? len : 0], 0xee);
        }
    }
}

/* ---- binary ---- */

/* Each byte in each place of a base64 group, against the alphabet; padding only at the end, unused bits zero.
 */
static void every_byte_in_base64(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < 8; at++) {
            char text[] = "0bAQIDBAUG";
            uint8_t out[8];
            size_t len = 99;
            memset(out, 0xee, sizeof out);
            text[2 + at] = (char)c;
            enum text_binary got = text_decode_binary(range(text, 10), out, 6, &len);
            const char *digit = among(c, BASE64) ? strchr(BASE64, c) : NULL;
            if (digit) {
                assert_int_equal(got, TEXT_BINARY_OK);
                assert_int_equal(len, 6);
                uint64_t bits = 0;
                for (size_t i = 2; i < 10; i++)
                    bits = bits << 6 | (uint64_t)(strchr(BASE64, text[i]) - BASE64);
                for (size_t i = 0; i < 6; i++)
                    assert_int_equal(out[i], (uint8_t)(bits >> (40 - 8 * i)));
            } else if (c == '=' && at == 7) { /* "AQIDBAU=": G is gone, and U is 0x14, whose low bits are 0 */
                assert_int_equal(got, TEXT_BINARY_OK);
                assert_int_equal(len, 5);
                assert_memory_equal(out, "\1\2\3\4\5\xee", 6);
            } else {
                assert_int_equal(got, TEXT_BINARY_MALFORMED);
                assert_int_equal(len, 99);
                assert_int_equal(out[0], 0xee);
            }
        }
    }
    for (int last = 0; last < 64; last++) { /* the digit before the padding */
        char one[] = "0bA?==", two[] = "0bAA?=";
        uint8_t out[4];
        size_t len;
        one[3] = two[4] = BASE64[last];
        assert_int_equal(text_decode_binary(range(one, 6), out, 4, &len) == TEXT_BINARY_OK, last % 16 == 0);
        assert_int_equal(text_decode_binary(range(two, 6), out, 4, &len) == TEXT_BINARY_OK, last % 4 == 0);
    }
    PROVES("R7143-6.1-12", "both");
}

/* What is decoded fits, or nothing is touched; all lengths, both forms. */
static void decoded_values_fit_or_are_refused(void **state)
{
    (void)state;
    uint8_t data[20];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + 200);
    for (size_t bytes = 1; bytes <= sizeof data; bytes++) {
        for (int form = 0; form < 3; form++) {
            char buf[100];
            struct text_writer w;
            text_writer_init(&w, buf, sizeof buf);
            assert_true(form == 2 ? text_add_base64(&w, "K", data, bytes)
                                  : text_add_hex(&w, "K", data, bytes));
            struct text_range value = range(buf + 2, w.len - 3);
            uint8_t expected[20];
            memcpy(expected, data, bytes);
            if (form == 1) { /* an odd number of digits: the first stands alone */
                memmove(buf + 4, buf + 5, value.len - 3);
                value.len--;
                expected[0] &= 15;
            }
            for (size_t cap = 0; cap <= bytes + 1; cap++) {
                uint8_t out[32];
                size_t len = 99;
                memset(out, 0xee, sizeof out);
                enum text_binary got = text_decode_binary(value, out, cap, &len);
                assert_int_equal(got, cap >= bytes ? TEXT_BINARY_OK : TEXT_BINARY_TOO_LONG);
                assert_int_equal(len, cap >= bytes ? bytes : 99);
                if (cap >= bytes)
                    assert_memory_equal(out, expected, bytes);
                for (size_t i = cap >= bytes ? bytes : 0; i < sizeof out; i++)
                    assert_int_equal(out[i], 0xee);
            }
            /* One digit less or more. */
            uint8_t out[32];
            size_t len;
            if (form == 2)
                assert_int_equal(text_decode_binary(range(value.ptr, value.len - 1), out, 32, &len),
                                 TEXT_BINARY_MALFORMED);
        }
    }
    static const char *const wrong[] = {
        "", "0", "0x", "0b", "0b=", "0b====", "0bA===", "0bAA=A", "12", "x12", "0xg", "0x1g", "0xg1"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        uint8_t out[8];
        size_t len;
        assert_int_equal(text_decode_binary(text_range_of(wrong[i]), out, 8, &len), TEXT_BINARY_MALFORMED);
    }
    PROVES("R7143-6.1-10", "both");
}

/* ---- UTF-8 ---- */

/* All sequences of up to three bytes over those that matter, and all code points, against the table of RFC
 * 3629, section 4. */
static size_t plain_utf8(const uint8_t *p, size_t len)
{
    static const struct {
        uint8_t first, last, from, to, more;
    } rows[] = {{0x01, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 0}, {0xe0, 0xe0, 0xa0, 0xbf, 1},
                {0xe1, 0xec, 0x80, 0xbf, 1}, {0xed, 0xed, 0x80, 0x9f, 1}, {0xee, 0xef, 0x80, 0xbf, 1},
                {0xf0, 0xf0, 0x90, 0xbf, 2}, {0xf1, 0xf3, 0x80, 0xbf, 2}, {0xf4, 0xf4, 0x80, 0x8f, 2}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last)
            continue;
        if (!rows[i].from)
            return 1;
        if (len < 2u + rows[i].more || p[1] < rows[i].from || p[1] > rows[i].to)
            return 0;
        for (size_t k = 2; k < 2u + rows[i].more; k++)
            if (p[k] < 0x80 || p[k] > 0xbf)
                return 0;
        return 2u + rows[i].more;
    }
    return 0;
}

static bool plain_is_utf8(const uint8_t *p, size_t len)
{
    while (len) {
        size_t n = plain_utf8(p, len);
        if (n == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

static void utf8_is_that_of_the_table(void **state)
{
    (void)state;
    static const uint8_t inner[] = {0x00, 0x41, 0x7f, 0x80, 0x81, 0x8f, 0x90,
                                    0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xff};
    uint8_t p[5];
    for (int a = 0; a < 256; a++) {
        p[0] = (uint8_t)a;
        assert_int_equal(text_is_utf8(range((char *)p, 1)), plain_is_utf8(p, 1));
        for (size_t b = 0; b < COUNT(inner); b++)
            for (size_t c = 0; c < COUNT(inner); c++)
                for (size_t d = 0; d < COUNT(inner); d++) {
                    p[1] = inner[b], p[2] = inner[c], p[3] = inner[d], p[4] = 'z';
                    for (size_t len = 2; len <= 5; len++)
                        if (text_is_utf8(range((char *)p, len)) != plain_is_utf8(p, len))
                            fail_msg("%02x %02x %02x %02x, %zu bytes", p[0], p[1], p[2], p[3], len);
                }
    }
}

/* ---- names ---- */

static void every_byte_in_a_name(void **state)
{
    (void)state;
    for (int c = 1; c < 128; c++) {
        char text[] = "iqn.2001-04.com.example:a?b", out[NAME_CAP];
        text[25] = (char)c;
        bool lenient = c > 0x20 && c < 0x7f;
        bool strict = among(c, SMALL DIGITS "-.:");
        bool folded = strict || among(c, CAPITAL);
        char low = (char)(among(c, CAPITAL) ? c + 32 : c);
        assert_int_equal(name_check(text, 27, NAME_STRICT, NULL) != NAME_INVALID, strict);
        assert_int_equal(name_normalize(text, 27, NAME_STRICT, out, NULL) != NAME_INVALID, folded);
        memset(out, 'z', sizeof out);
        assert_int_equal(name_normalize(text, 27, NAME_LENIENT, out, NULL) != NAME_INVALID, lenient);
        assert_int_equal(out[25], lenient ? low : 'z');
        memset(out, 'z', sizeof out);
        assert_int_equal(name_pattern_normalize(text, 27, out, NULL), lenient);
        assert_int_equal(out[25], lenient ? low : 'z');
        char eui[] = "eui.02004567a425678?", naa[] = "naa.?2004567a425678d";
        eui[19] = naa[4] = (char)c;
        bool hex = among(c, DIGITS "abcdef");
        assert_int_equal(name_check(eui, 20, NAME_STRICT, NULL), hex ? NAME_EUI : NAME_INVALID);
        assert_int_equal(name_check(naa, 20, NAME_STRICT, NULL), hex ? NAME_NAA : NAME_INVALID);
    }
    for (size_t len = 0; len <= 40; len++) { /* 16 digits, or with naa 32 */
        char eui[64] = "eui.", naa[64] = "naa.", iqn[64] = "iqn.";
        memset(eui + 4, '7', len);
        memset(naa + 4, '7', len);
        memset(iqn + 4, '7', len);
        assert_int_equal(name_check(eui, 4 + len, NAME_STRICT, NULL), len == 16 ? NAME_EUI : NAME_INVALID);
        assert_int_equal(name_check(naa, 4 + len, NAME_STRICT, NULL),
                         len == 16 || len == 32 ? NAME_NAA : NAME_INVALID);
        assert_int_equal(name_check(iqn, 4 + len, NAME_LENIENT, NULL), len ? NAME_IQN : NAME_INVALID);
    }
    PROVES("R7143-4.2.7.5-01", "both");
    PROVES("R7143-4.2.7.6-01", "both");
}

/* The date, and all domains of up to six characters of "a1-.:". */
static void dates_and_domains_of_iqn_names(void **state)
{
    (void)state;
    for (int month = 0; month < 100; month++) {
        char text[64];
        int len = snprintf(text, sizeof text, "iqn.2001-%02d.com.example", month);
        assert_int_equal(name_check(text, (size_t)len, NAME_STRICT, NULL) == NAME_IQN,
                         month >= 1 && month <= 12);
    }
    for (size_t at = 0; at < 8; at++)
        for (int c = 1; c < 128; c++) {
            char text[] = "iqn.2001-04.com";
            text[4 + at] = (char)c;
            bool digit = at != 4 && at != 7;
            bool fine = !among(c, CAPITAL) && (digit ? among(c, DIGITS) : c == (at == 4 ? '-' : '.'));
            if (at == 5 || at == 6) { /* the month */
                int month = (text[9] - '0') * 10 + text[10] - '0';
                fine = fine && month >= 1 && month <= 12;
            }
            assert_int_equal(name_check(text, 15, NAME_STRICT, NULL) == NAME_IQN, fine);
        }
    static const char alphabet[] = "a1-.:";
    for (size_t len = 0; len <= 6; len++) {
        size_t all = 1;
        for (size_t i = 0; i < len; i++)
            all *= 5;
        for (size_t code = 0; code < all; code++) {
            char text[32] = "iqn.2001-04.", *domain = text + 12;
            for (size_t i = 0, rest = code; i < len; i++, rest /= 5)
                domain[i] = alphabet[rest % 5];
            size_t n = strcspn(domain, ":"); /* what follows is free */
            bool fine = n > 0;
            for (size_t i = 0; i < n; i++) {
                bool first = i == 0 || domain[i - 1] == '.', last = i + 1 == n || domain[i + 1] == '.';
                fine = fine && !(domain[i] == '-' && (first || last)) &&
                       !(domain[i] == '.' && (first || i + 1 == n));
            }
            if ((name_check(text, 12 + len, NAME_STRICT, NULL) == NAME_IQN) != fine)
                fail_msg("%s", text);
        }
    }
    PROVES("R7143-4.2.7.4-01", "both");
}

/* ---- addresses ---- */

static void every_byte_in_a_host(void **state)
{
    (void)state;
    struct name_address a;
    for (int c = 1; c < 256; c++) {
        char name[] = "h?st", v6[] = "[fe80::?1]:99,7";
        name[1] = v6[7] = (char)c;
        bool fine = among(c, SMALL CAPITAL DIGITS ".-_");
        if (c != ':' && c != ',') {
            assert_int_equal(name_address_parse(name, 4, &a), fine);
            if (fine)
                assert_string_equal(a.host, name);
        }
        if (c == ']')
            continue;
        assert_int_equal(name_address_parse(v6, 15, &a), among(c, DIGITS "abcdefABCDEF:."));
    }
    for (size_t len = 254; len <= 257; len++) {
        char text[300];
        memset(text, 'h', sizeof text);
        memcpy(text + len, ":1", 2);
        assert_int_equal(name_address_parse(text, len + 2, &a), len <= 255);
    }
    PROVES("R7143-13.8-01", "initiator");
}

static void ports_and_tags_of_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good, ipv6;
        const char *host;
        uint16_t port;
        bool has_tag;
        uint16_t tag;
    } cases[] = {
        {"h", true, false, "h", 3260, false, 0},
        {"h:1", true, false, "h", 1, false, 0},
        {"h:258", true, false, "h", 258, false, 0},
        {"h:65535", true, false, "h", 65535, false, 0},
        {"h:65536", false, false, "", 0, false, 0},
        {"h,1", true, false, "h", 3260, true, 1},
        {"h,0", true, false, "h", 3260, true, 0},
        {"h:4660,4660", true, false, "h", 0x1234, true, 0x1234},
        {"h:1,65535", true, false, "h", 1, true, 65535},
        {"h:1,65536", false, false, "", 0, false, 0},
        {"h:1,", false, false, "", 0, false, 0},
        {"h:", false, false, "", 0, false, 0},
        {"h:,1", false, false, "", 0, false, 0},
        {":1", false, false, "", 0, false, 0},
        {",1", false, false, "", 0, false, 0},
        {"", false, false, "", 0, false, 0},
        {"h:1:2", false, false, "", 0, false, 0},
        {"h:1,2,3", false, false, "", 0, false, 0},
        {"[::1]", true, true, "::1", 3260, false, 0},
        {"[::1]:2", true, true, "::1", 2, false, 0},
        {"[::1],2", true, true, "::1", 3260, true, 2},
        {"[::1]:513,514", true, true, "::1", 513, true, 514},
        {"[::1]2", false, true, "", 0, false, 0},
        {"[::1]x,2", false, true, "", 0, false, 0},
        {"[::1", false, true, "", 0, false, 0},
        {"[]", false, true, "", 0, false, 0},
        {"[", false, true, "", 0, false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct name_address a;
        memset(&a, 0xee, sizeof a);
        bool good = name_address_parse(cases[i].text, strlen(cases[i].text), &a);
        if (good != cases[i].good)
            fail_msg("%s", cases[i].text);
        if (!good) {
            assert_int_equal((uint8_t)a.host[0], 0xee); /* untouched */
            continue;
        }
        assert_int_equal(a.ipv6, cases[i].ipv6);
        assert_string_equal(a.host, cases[i].host);
        assert_int_equal(a.port, cases[i].port);
        assert_int_equal(a.has_tag, cases[i].has_tag);
        if (a.has_tag)
            assert_int_equal(a.tag, cases[i].tag);
    }
    PROVES("R7143-13.8-02", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_in_a_key_name),
        cmocka_unit_test(trailing_nuls_are_padding),
        cmocka_unit_test(written_pairs_take_their_room_exactly),
        cmocka_unit_test(copies_fit_with_their_nul),
        cmocka_unit_test(numbers_around_their_limits),
        cmocka_unit_test(fixed_values_of_all_lengths),
        cmocka_unit_test(every_byte_in_base64),
        cmocka_unit_test(decoded_values_fit_or_are_refused),
        cmocka_unit_test(utf8_is_that_of_the_table),
        cmocka_unit_test(every_byte_in_a_name),
        cmocka_unit_test(dates_and_domains_of_iqn_names),
        cmocka_unit_test(every_byte_in_a_host),
        cmocka_unit_test(ports_and_tags_of_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
