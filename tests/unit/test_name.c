/* Goal: iSCSI names are accepted, folded and compared as RFC 7143 section 4.2.7 says; patterns match like a
 * shell's `*`; target addresses parse into their parts. Method: tables of good and bad names in both modes;
 * patterns against a plain recursive matcher over all short strings of a two-letter alphabet; random bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/iscsi/name.h"
#include "common/iscsi/nfc.h"
#include "tests/unit/proves.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static enum name_type normalize(const char *text, enum name_mode mode, char out[NAME_CAP])
{
    const char *reason = NULL;
    enum name_type type = name_normalize(text, strlen(text), mode, out, &reason);
    assert_int_equal(type == NAME_INVALID, reason != NULL);
    return type;
}

static void good_names_are_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum name_type type;
    } rows[] = {
        {"iqn.2001-04.com.example", NAME_IQN},
        {"iqn.2001-04.com.example:storage:diskarrays-sn-a8675309", NAME_IQN},
        {"iqn.2001-12.com.example:a:b:c", NAME_IQN},
        {"iqn.1992-01.com.os-vendor.plan9:cdrom.12345", NAME_IQN},
        {"iqn.2001-04.com.example:", NAME_IQN},
        {"iqn.2001-04.com.example:.-:", NAME_IQN},
        {"iqn.2001-04.com.ex\xc3\xa9mple:d\xc3\xb6ner", NAME_IQN},
        {"eui.020000023b040506", NAME_EUI},
        {"naa.52004567ba64678d", NAME_NAA},
        {"naa.62004567ba64678d0123456789abcdef", NAME_NAA},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[NAME_CAP];
        assert_int_equal(normalize(rows[i].text, NAME_STRICT, out), rows[i].type);
        assert_string_equal(out, rows[i].text);
        assert_int_equal(normalize(rows[i].text, NAME_LENIENT, out), rows[i].type);
        assert_int_equal(name_check(rows[i].text, strlen(rows[i].text), NAME_STRICT, NULL), rows[i].type);
    }
    PROVES("R7143-4.2.7.2-03", "both");
    PROVES("R7143-4.2.7.4-04", "both");
}

static void wrong_names_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason; /* a part of it */
        bool lenient;              /* accepted from a peer */
    } rows[] = {
        {"", "empty", false},
        {"iqn", "begins with", false},
        {"iqn.", "nothing follows", false},
        {"foo.2001-04.com.example", "begins with", false},
        {"2001-04.com.example", "begins with", false},
        {"iqn.2001-4.com.example", "yyyy-mm", true},
        {"iqn.01-04.com.example", "yyyy-mm", true},
        {"iqn.2001-04com.example", "yyyy-mm", true},
        {"iqn.2001:04.com.example", "yyyy-mm", true},
        {"iqn.2001-04", "yyyy-mm", true},
        {"iqn.2001-00.com.example", "month", true},
        {"iqn.2001-13.com.example", "month", true},
        {"iqn.2001-04.", "domain", true},
        {"iqn.2001-04.:x", "domain", true},
        {"iqn.2001-04..com", "label", true},
        {"iqn.2001-04.com..example", "label", true},
        {"iqn.2001-04.com.example.:x", "label", true},
        {"iqn.2001-04.com.-example", "label", true},
        {"iqn.2001-04.com-.example", "label", true},
        {"iqn.2001-04.com.example:a_b", "underscore", true},
        {"iqn.2001-04.com.example:a/b", "only letters", true},
        {"iqn.2001-04.com.example:a b", "only letters", false},
        {"iqn.2001-04.com.example:a\tb", "only letters", false},
        {"iqn.2001-04.com.example:a\x7f", "only letters", false},
        {"iqn.2001-04.com.example:\xff", "UTF-8", false},
        {"iqn.2001-04.com.example:\xc3", "UTF-8", false},
        {"iqn.2001-04.com.example:cafe\xcc\x81", "form C", true},             /* e and an acute accent */
        {"iqn.2001-04.com.example:\xe2\x84\xab", "form C", true},             /* the sign of the angstrom */
        {"iqn.2001-04.com.example:\xe1\x84\x80\xe1\x85\xa1", "form C", true}, /* Hangul in pieces */
        {"iqn.2001-04.com.example:\xf0\xaf\xa0\x80", "form C", true},         /* a compatibility ideograph */
        {"eui.020000023b04050", "16 hex", false},
        {"eui.020000023b0405061", "16 hex", false},
        {"eui.020000023b04050g", "16 hex", false},
        {"naa.52004567ba64678d0123", "16 or 32", false},
        {"naa.52004567ba64678", "16 or 32", false},
        {"naa.", "16 or 32", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[NAME_CAP] = "untouched";
        const char *reason = "";
        if (name_normalize(rows[i].text, strlen(rows[i].text), NAME_STRICT, out, &reason) != NAME_INVALID ||
            !strstr(reason, rows[i].reason))
            fail_msg("\"%s\": %s", rows[i].text, reason);
        assert_string_equal(out, "untouched");
        if ((normalize(rows[i].text, NAME_LENIENT, out) != NAME_INVALID) != rows[i].lenient)
            fail_msg("\"%s\" from a peer", rows[i].text);
    }
    PROVES("R7143-4.2.7.2-02", "both");
    PROVES("R7143-4.2.7.3-01", "both");
    PROVES("R7143-4.2.7.4-01", "both");
    PROVES("R7143-4.2.7.5-01", "both");
    PROVES("R7143-4.2.7.6-01", "both");
    PROVES("R7143-4.2.7.2-01", "both");
}

static void names_end_at_223_bytes(void **state)
{
    (void)state;
    char text[300], out[NAME_CAP];
    strcpy(text, "iqn.2001-04.com.example:");
    memset(text + strlen(text), 'x', 224 - strlen("iqn.2001-04.com.example:"));
    text[224] = 0;
    assert_int_equal(name_normalize(text, 223, NAME_STRICT, out, NULL), NAME_IQN);
    assert_int_equal(strlen(out), 223);
    assert_int_equal(name_normalize(text, 224, NAME_STRICT, out, NULL), NAME_INVALID);
    assert_int_equal(name_normalize(text, 224, NAME_LENIENT, out, NULL), NAME_INVALID);
    PROVES("R7143-4.2.7.2-04", "both");
    PROVES("R7143-4.2.7.1-03", "both");
}

static void a_nul_inside_is_no_name(void **state)
{
    (void)state;
    char out[NAME_CAP];
    assert_int_equal(name_normalize("iqn.2001-04.com\0x", 17, NAME_LENIENT, out, NULL), NAME_INVALID);
}

static void capitals_are_folded_and_then_compare_equal(void **state)
{
    (void)state;
    char a[NAME_CAP], b[NAME_CAP];
    assert_int_equal(normalize("IQN.2001-04.COM.Example:Disk-1", NAME_STRICT, a), NAME_IQN);
    assert_string_equal(a, "iqn.2001-04.com.example:disk-1");
    assert_int_equal(normalize("eui.020000023B040506", NAME_STRICT, b), NAME_EUI);
    assert_string_equal(b, "eui.020000023b040506");
    /* Folding is for what people type: a name in its canonical form has no capitals. */
    assert_int_equal(name_check("iqn.2001-04.com.Example", 23, NAME_STRICT, NULL), NAME_INVALID);
    assert_int_equal(name_check("iqn.2001-04.com.Example", 23, NAME_LENIENT, NULL), NAME_IQN);
    PROVES("R7143-4.2.7.1-06", "both");
    PROVES("R7143-4.2.7.1-07", "both");
}

static void one_different_byte_is_another_node(void **state)
{
    (void)state;
    const char name[] = "iqn.2001-04.com.example:d\xc3\xa9";
    assert_true(name_equal(name, "iqn.2001-04.com.example:d\xc3\xa9"));
    for (size_t i = 0; i < sizeof name - 1; i++) {
        char other[sizeof name];
        memcpy(other, name, sizeof name);
        other[i] = (char)(other[i] ^ 1);
        assert_false(name_equal(name, other));
    }
    assert_false(name_equal(name, "iqn.2001-04.com.example:d"));
    PROVES("R7143-4.2.7.2-05", "both");
}

/* ---- patterns ---- */

static bool match_plainly(const char *p, const char *n)
{
    if (*p == '*')
        return match_plainly(p + 1, n) || (*n && match_plainly(p, n + 1));
    return *p == *n && (!*p || match_plainly(p + 1, n + 1));
}

/* The number `code` in base strlen(alphabet) with `len` digits. */
static void spell(const char *alphabet, unsigned code, unsigned len, char *out)
{
    unsigned base = (unsigned)strlen(alphabet);
    for (unsigned i = 0; i < len; i++, code /= base)
        out[i] = alphabet[code % base];
    out[len] = 0;
}

static void patterns_match_like_a_plain_matcher(void **state)
{
    (void)state;
    char pattern[8], name[8];
    for (unsigned pl = 0, pc = 1; pl <= 5; pl++, pc *= 3)
        for (unsigned p = 0; p < pc; p++)
            for (unsigned nl = 0, nc = 1; nl <= 6; nl++, nc *= 2)
                for (unsigned n = 0; n < nc; n++) {
                    spell("ab*", p, pl, pattern);
                    spell("ab", n, nl, name);
                    if (name_match(pattern, name) != match_plainly(pattern, name))
                        fail_msg("%s %s", pattern, name);
                }
}

static void a_hostile_pattern_takes_no_long_time(void **state)
{
    (void)state;
    char pattern[NAME_CAP], name[NAME_CAP];
    for (size_t i = 0; i < NAME_LEN_MAX; i++) {
        pattern[i] = i % 2 ? 'a' : '*';
        name[i] = 'a';
    }
    pattern[NAME_LEN_MAX] = 0;
    pattern[NAME_LEN_MAX - 1] = 'b';
    name[NAME_LEN_MAX] = 0;
    for (int i = 0; i < 1000; i++) /* a matcher that tries each star again would not come back */
        assert_false(name_match(pattern, name));
}

static void patterns_are_checked_and_folded(void **state)
{
    (void)state;
    char out[NAME_CAP] = "untouched";
    const char *reason = NULL;
    assert_true(name_pattern_normalize("IQN.*:host-*", 12, out, &reason));
    assert_string_equal(out, "iqn.*:host-*");
    assert_true(name_pattern_normalize("*", 1, out, &reason));
    assert_false(name_pattern_normalize("", 0, out, &reason));
    assert_false(name_pattern_normalize("a b", 3, out, &reason));
    assert_non_null(reason);
    assert_string_equal(out, "*");
}

/* ---- addresses ---- */

static void addresses_parse_into_their_parts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        bool ipv6;
        uint16_t port;
        int tag; /* -1: none */
    } rows[] = {
        {"10.0.0.1:5003,1", "10.0.0.1", false, 5003, 1},
        {"10.0.0.1", "10.0.0.1", false, 3260, -1},
        {"10.0.0.1,65535", "10.0.0.1", false, 3260, 65535},
        {"[1080:0:0:0:8:800:200C:417A],65", "1080:0:0:0:8:800:200C:417A", true, 3260, 65},
        {"[1080::8:800:200C:417A]:5003,1", "1080::8:800:200C:417A", true, 5003, 1},
        {"[::1]", "::1", true, 3260, -1},
        {"[::ffff:10.0.0.1]:3260", "::ffff:10.0.0.1", true, 3260, -1},
        {"computingcenter.example.com,23", "computingcenter.example.com", false, 3260, 23},
        {"host-1:0x1000,0", "host-1", false, 4096, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct name_address a;
        if (!name_address_parse(rows[i].text, strlen(rows[i].text), &a))
            fail_msg("%s", rows[i].text);
        assert_string_equal(a.host, rows[i].host);
        assert_int_equal(a.ipv6, rows[i].ipv6);
        assert_int_equal(a.port, rows[i].port);
        assert_int_equal(a.has_tag, rows[i].tag >= 0);
        assert_int_equal(a.tag, rows[i].tag < 0 ? 0 : rows[i].tag);
    }
    static const char *const wrong[] = {"",          ":3260",    ",1",       "[::1",       "[]",
                                        "[::1]3260", "[::1]:",   "host:",    "host:65536", "host:a",
                                        "host,",     "host,1,2", "host:1:2", "ho st",      "[host]:1",
                                        "host:-1",   "host,x",   "h\xc3t",   "[::1],",     "host:01"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct name_address a = {.port = 9};
        if (name_address_parse(wrong[i], strlen(wrong[i]), &a))
            fail_msg("%s", wrong[i]);
        assert_int_equal(a.port, 9);
    }
    PROVES("R7143-13.8-01", "both");
    PROVES("R7143-13.8-02", "initiator");
}

static void random_bytes_are_survived(void **state)
{
    (void)state;
    static const char alphabet[] = "iqneuina.2001-04:[]a,f0_*\xc3\xa9";
    srand(3);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)rand() % 300;
        char *text = malloc(len ? len : 1), out[NAME_CAP];
        struct name_address address;
        for (size_t i = 0; i < len; i++)
            text[i] = round % 3 ? alphabet[(size_t)rand() % (sizeof alphabet - 1)] : (char)rand();
        if (len > 4 && round % 2)
            memcpy(text, "iqn.", 4);
        if (name_normalize(text, len, round % 5 ? NAME_LENIENT : NAME_STRICT, out, NULL) != NAME_INVALID)
            assert_int_equal(strlen(out), len);
        (void)name_check(text, len, NAME_STRICT, NULL);
        (void)name_pattern_normalize(text, len, out, NULL);
        (void)name_address_parse(text, len, &address);
        free(text);
    }
}

/* The count and the hash are of Python's unicodedata 14.0: the characters c with normalize("NFC", c) != c,
 * and those that are the second of two in the decomposition of a character that stands in form C, Hangul's
 * vowels and finals among them. */
static void doubtful_characters_are_those_of_unicode(void **state)
{
    (void)state;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a with a character a step */
    unsigned count = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xd800 && c < 0xe000)
            continue; /* surrogates stand in no UTF-8 */
        static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
        char text[8];
        size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = 0; i < len; i++)
            text[i] = (char)((i ? 0x80 | (c >> 6 * (len - 1 - i) & 0x3f) : lead[len] | c >> 6 * (len - 1)));
        if (!nfc_is_certain(text, len)) {
            count++;
            hash = (hash ^ c) * 0x100000001b3u;
        }
    }
    assert_int_equal(count, 1231);
    assert_true(hash == 0x94e9d8655e2b56du);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_names_are_accepted),
        cmocka_unit_test(wrong_names_are_refused_with_a_reason),
        cmocka_unit_test(doubtful_characters_are_those_of_unicode),
        cmocka_unit_test(names_end_at_223_bytes),
        cmocka_unit_test(a_nul_inside_is_no_name),
        cmocka_unit_test(capitals_are_folded_and_then_compare_equal),
        cmocka_unit_test(one_different_byte_is_another_node),
        cmocka_unit_test(patterns_match_like_a_plain_matcher),
        cmocka_unit_test(a_hostile_pattern_takes_no_long_time),
        cmocka_unit_test(patterns_are_checked_and_folded),
        cmocka_unit_test(addresses_parse_into_their_parts),
        cmocka_unit_test(random_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
