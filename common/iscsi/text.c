/* Text pairs, their way through PDUs, and the forms of values. Every loop here is bounded by a length that
 * was measured, never by a terminator that the peer was expected to send. */
#include "common/iscsi/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- ranges ---- */

struct text_range text_range_of(const char *cstr)
{
    return (struct text_range){cstr, strlen(cstr)};
}

bool text_equal(struct text_range a, struct text_range b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool text_is(struct text_range range, const char *cstr)
{
    return text_equal(range, text_range_of(cstr));
}

/* A NUL inside would make the copy a shorter string than the text was, and so two texts look like one. */
bool text_copy(struct text_range range, char *buf, size_t cap)
{
    if (range.len >= cap || (range.len && memchr(range.ptr, 0, range.len)))
        return false;
    if (range.len)
        memcpy(buf, range.ptr, range.len);
    buf[range.len] = 0;
    return true;
}

/* ---- writer ---- */

void text_writer_init(struct text_writer *w, char *buf, size_t cap)
{
    *w = (struct text_writer){.buf = buf, .cap = cap};
}

/* Room for "key=" + value_len bytes + NUL: returns where the value goes, or NULL after setting overflow.
 * Every pair, the last included, gets its NUL here: R7143-6.1-02 */
static char *writer_pair(struct text_writer *w, struct text_range key, size_t value_len)
{
    size_t room = w->cap - w->len;
    if (w->overflow || key.len > room || value_len > room || key.len + value_len + 2 > room) {
        w->overflow = true;
        return NULL;
    }
    char *at = w->buf + w->len;
    if (key.len)
        memcpy(at, key.ptr, key.len);
    at[key.len] = '=';
    at[key.len + 1 + value_len] = 0;
    w->len += key.len + value_len + 2;
    return at + key.len + 1;
}

bool text_add_range(struct text_writer *w, struct text_range key, struct text_range value)
{
    char *at = writer_pair(w, key, value.len);
    if (at && value.len)
        memcpy(at, value.ptr, value.len);
    return at != NULL;
}

bool text_add(struct text_writer *w, const char *key, const char *value)
{
    return text_add_range(w, text_range_of(key), text_range_of(value));
}

bool text_add_number(struct text_writer *w, const char *key, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value); /* no leading zeros: R7143-6.1-09 */
    return text_add(w, key, digits);
}

bool text_add_bool(struct text_writer *w, const char *key, bool value)
{
    return text_add(w, key, value ? "Yes" : "No");
}

/* Binary values go out as hexadecimal or base64, never as decimal: R7143-6.1-11 */
bool text_add_hex(struct text_writer *w, const char *key, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    if (len > w->cap) { /* also keeps 2 * len from wrapping */
        w->overflow = true;
        return false;
    }
    char *at = writer_pair(w, text_range_of(key), 2 + 2 * len);
    if (!at)
        return false;
    *at++ = '0';
    *at++ = 'x';
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) {
        *at++ = digits[p[i] >> 4];
        *at++ = digits[p[i] & 15];
    }
    return true;
}

/* RFC 4648, section 4: the alphabet without "-" and "_". */
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool text_add_base64(struct text_writer *w, const char *key, const void *bytes, size_t len)
{
    if (len > w->cap) {
        w->overflow = true;
        return false;
    }
    char *at = writer_pair(w, text_range_of(key), 2 + (len + 2) / 3 * 4);
    if (!at)
        return false;
    *at++ = '0';
    *at++ = 'b';
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)p[i] << 16;
        if (n > 1)
            v |= (uint32_t)p[i + 1] << 8;
        if (n > 2)
            v |= p[i + 2];
        *at++ = base64_digits[v >> 18];
        *at++ = base64_digits[v >> 12 & 63];
        *at++ = n > 1 ? base64_digits[v >> 6 & 63] : '=';
        *at++ = n > 2 ? base64_digits[v & 63] : '=';
    }
    return true;
}

/* ---- parser ---- */

void text_parser_init(struct text_parser *p, const void *ptr, size_t len, size_t value_max)
{
    *p = (struct text_parser){.ptr = ptr, .len = len, .value_max = value_max};
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* standard-label characters, and # for X#NodeArchitecture */
static bool is_key_char(char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z') || is_digit(c) || c == '.' || c == '-' || c == '+' ||
           c == '@' || c == '_' || c == '#';
}

static enum text_result parser_fail(struct text_parser *p, struct text_range key, const char *rule,
                                    const char *requirement)
{
    size_t n = key.len < TEXT_KEY_CAP - 1 ? key.len : TEXT_KEY_CAP - 1;
    for (size_t i = 0; i < n; i++) /* for the log: nothing unprintable */
        p->key[i] = key.ptr[i] > 0x20 && key.ptr[i] < 0x7f ? key.ptr[i] : '?';
    p->key[n] = 0;
    p->rule = rule;
    p->requirement = requirement;
    return TEXT_ERROR;
}

/* An empty pair is legal nowhere; a few NULs at the very end are padding that the sender counted. */
static enum text_result parser_empty_pair(struct text_parser *p, size_t rest)
{
    static const char zero[TEXT_TRAILING_NUL_MAX] = {0};
    if (p->pos > 0 && rest <= TEXT_TRAILING_NUL_MAX && memcmp(p->ptr + p->pos, zero, rest) == 0) {
        p->pos = p->len;
        return TEXT_END;
    }
    return parser_fail(p, (struct text_range){NULL, 0}, "empty key=value pair", "R7143-6.1-02");
}

enum text_result text_parser_next(struct text_parser *p, struct text_range *key, struct text_range *value)
{
    if (p->rule)
        return TEXT_ERROR;
    size_t rest = p->len - p->pos;
    if (rest == 0)
        return TEXT_END;
    const char *at = p->ptr + p->pos;
    if (*at == 0)
        return parser_empty_pair(p, rest);
    const char *end = memchr(at, 0, rest);
    size_t pair_len = end ? (size_t)(end - at) : rest;
    const char *equal = memchr(at, '=', pair_len); /* the first one: R7143-6.1-04 */
    struct text_range k = {at, equal ? (size_t)(equal - at) : pair_len};
    if (!end)
        return parser_fail(p, k, "the last pair has no NUL", "R7143-6.1-02");
    if (!equal)
        return parser_fail(p, k, "pair without '='", "R7143-6.1-04");
    if (k.len == 0)
        return parser_fail(p, k, "empty key name", "R7143-6.1-06");
    if (k.len > TEXT_KEY_LEN_MAX) /* R7143-6.1-06 */
        return parser_fail(p, k, "key name longer than 63 bytes", "R7143-6.1-06");
    for (size_t i = 0; i < k.len; i++)
        if (!is_key_char(k.ptr[i]))
            return parser_fail(p, k, "character not allowed in a key name", "R7143-6.1-05");
    struct text_range v = {equal + 1, (size_t)(end - equal - 1)};
    if (v.len > p->value_max) /* R7143-6.1-14 */
        return parser_fail(p, k, "value too long", "R7143-6.1-14");
    p->pos += pair_len + 1;
    *key = k;
    *value = v;
    return TEXT_PAIR;
}

bool text_is_key_name(struct text_range key)
{
    if (key.len == 0 || key.len > TEXT_KEY_LEN_MAX)
        return false;
    if (key.len > 2 && key.ptr[0] == 'X' && key.ptr[1] == '#') {
        key.ptr += 2;
        key.len -= 2;
    }
    if (!is_upper(key.ptr[0])) /* R7143-6.1-05 */
        return false;
    for (size_t i = 0; i < key.len; i++)
        if (!is_key_char(key.ptr[i]) || key.ptr[i] == '#')
            return false;
    return true;
}

/* ---- joining and splitting: R7143-6.1-03 ---- */

void text_assembler_init(struct text_assembler *a, char *buf, size_t cap)
{
    *a = (struct text_assembler){.buf = buf, .cap = cap};
}

void text_assembler_reset(struct text_assembler *a)
{
    a->len = 0;
    a->open = false;
}

enum text_assembly text_assembler_add(struct text_assembler *a, const void *data, size_t len, bool c_bit)
{
    /* The bytes of the last text stay readable until here, so that the owner can parse in place. */
    if (!a->open)
        a->len = 0;
    /* Written as a subtraction, which cannot wrap: len <= cap always holds for what is joined. */
    if (len > a->cap - a->len) {
        text_assembler_reset(a);
        return TEXT_TOO_BIG;
    }
    if (len)
        memcpy(a->buf + a->len, data, len);
    a->len += len;
    a->open = c_bit;
    return c_bit ? TEXT_NEED_MORE : TEXT_COMPLETE;
}

void text_splitter_init(struct text_splitter *s, const void *ptr, size_t len)
{
    *s = (struct text_splitter){.ptr = ptr, .len = len};
}

bool text_splitter_more(const struct text_splitter *s)
{
    return !s->started || s->pos < s->len;
}

bool text_splitter_next(struct text_splitter *s, size_t max, struct text_range *out, bool *c_bit)
{
    assert(max > 0);
    if (!text_splitter_more(s))
        return false;
    size_t n = s->len - s->pos;
    if (n > max)
        n = max;
    /* A segment may end anywhere, also inside a key name: the receiver joins before it parses. */
    *out = (struct text_range){n ? s->ptr + s->pos : s->ptr, n};
    s->pos += n;
    s->started = true;
    *c_bit = s->pos < s->len;
    return true;
}

/* ---- values ---- */

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool has_prefix(struct text_range value, char low, char high)
{
    return value.len >= 2 && value.ptr[0] == '0' && (value.ptr[1] == low || value.ptr[1] == high);
}

/* Leading zeros are discouraged but legal, so the digits are not counted: the value is watched for overflow.
 */
static bool parse_hex_number(struct text_range digits, uint64_t *out)
{
    uint64_t n = 0;
    if (digits.len == 0)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        int d = hex_digit(digits.ptr[i]);
        if (d < 0 || n >> 60)
            return false;
        n = n << 4 | (unsigned)d;
    }
    *out = n;
    return true;
}

bool text_parse_number(struct text_range value, uint64_t *out)
{
    if (has_prefix(value, 'x', 'X')) /* R7143-6.1-07 */
        return parse_hex_number((struct text_range){value.ptr + 2, value.len - 2}, out);
    if (value.len == 0 || (value.ptr[0] == '0' && value.len > 1)) /* R7143-6.1-09 */
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.ptr[i]))
            return false;
        unsigned d = (unsigned)(value.ptr[i] - '0');
        if (n > (UINT64_MAX - d) / 10) /* R7143-6.1-11 */
            return false;
        n = n * 10 + d;
    }
    *out = n;
    return true;
}

bool text_parse_number_range(struct text_range value, uint64_t *low, uint64_t *high)
{
    const char *tilde = value.len ? memchr(value.ptr, '~', value.len) : NULL;
    if (!tilde)
        return false;
    size_t left = (size_t)(tilde - value.ptr);
    uint64_t a, b;
    if (!text_parse_number((struct text_range){value.ptr, left}, &a) ||
        !text_parse_number((struct text_range){tilde + 1, value.len - left - 1}, &b) ||
        b < a) /* R7143-6.1-13 */
        return false;
    *low = a;
    *high = b;
    return true;
}

bool text_parse_bool(struct text_range value, bool *out)
{
    if (!text_is(value, "Yes") && !text_is(value, "No")) /* R7143-6.1-08 */
        return false;
    *out = value.len == 3;
    return true;
}

bool text_list_next(struct text_range *rest, struct text_range *item)
{
    if (!rest->ptr)
        return false;
    const char *comma = rest->len ? memchr(rest->ptr, ',', rest->len) : NULL;
    size_t n = comma ? (size_t)(comma - rest->ptr) : rest->len;
    *item = (struct text_range){rest->ptr, n};
    /* A NULL rest says "nothing left"; an empty one that is not NULL holds one last empty item. */
    if (comma)
        *rest = (struct text_range){comma + 1, rest->len - n - 1};
    else
        *rest = (struct text_range){NULL, 0};
    return true;
}

/* R7143-6.1-10: half the digits, rounded up; leading zeros count */
static enum text_binary decode_hex(struct text_range digits, uint8_t *out, size_t cap, size_t *out_len)
{
    size_t len = digits.len / 2 + digits.len % 2;
    if (digits.len == 0)
        return TEXT_BINARY_MALFORMED;
    if (len > cap)
        return TEXT_BINARY_TOO_LONG;
    /* All digits are checked before the first is written: out stays untouched when the value is wrong. */
    for (size_t i = 0; i < digits.len; i++)
        if (hex_digit(digits.ptr[i]) < 0)
            return TEXT_BINARY_MALFORMED;
    size_t at = 0;
    if (digits.len % 2)
        out[at++] = (uint8_t)hex_digit(digits.ptr[0]);
    for (size_t i = digits.len % 2; i < digits.len; i += 2)
        out[at++] = (uint8_t)(hex_digit(digits.ptr[i]) << 4 | hex_digit(digits.ptr[i + 1]));
    *out_len = len;
    return TEXT_BINARY_OK;
}

static int base64_digit(char c)
{
    if (is_upper(c))
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* R7143-6.1-12. Strict: one value has one encoding, so that nothing hides in padding or unused bits. */
static enum text_binary decode_base64(struct text_range digits, uint8_t *out, size_t cap, size_t *out_len)
{
    if (digits.len == 0 || digits.len % 4)
        return TEXT_BINARY_MALFORMED;
    /* Padding tells the decoded length exactly, before anything is decoded. A third "=" fails as a digit
     * below. */
    size_t pad = digits.ptr[digits.len - 1] != '=' ? 0 : digits.ptr[digits.len - 2] != '=' ? 1 : 2;
    size_t len = digits.len / 4 * 3 - pad;
    if (len > cap)
        return TEXT_BINARY_TOO_LONG;
    for (size_t i = 0; i < digits.len - pad; i++)
        if (base64_digit(digits.ptr[i]) < 0)
            return TEXT_BINARY_MALFORMED;
    int last = base64_digit(digits.ptr[digits.len - pad - 1]);
    if ((pad == 1 && (last & 3)) || (pad == 2 && (last & 15)))
        return TEXT_BINARY_MALFORMED;
    size_t at = 0;
    for (size_t i = 0; at < len; i += 4) {
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = base64_digit(digits.ptr[i + k]);
            v = v << 6 | (d < 0 ? 0 : (uint32_t)d); /* only padding is left to be negative */
        }
        for (unsigned k = 0; k < 3 && at < len; k++)
            out[at++] = (uint8_t)(v >> (16 - 8 * k));
    }
    *out_len = len;
    return TEXT_BINARY_OK;
}

enum text_binary text_decode_binary(struct text_range value, uint8_t *out, size_t cap, size_t *out_len)
{
    struct text_range digits = {value.len > 2 ? value.ptr + 2 : NULL, value.len > 2 ? value.len - 2 : 0};
    if (has_prefix(value, 'x', 'X'))
        return decode_hex(digits, out, cap, out_len);
    if (has_prefix(value, 'b', 'B'))
        return decode_base64(digits, out, cap, out_len);
    return TEXT_BINARY_MALFORMED; /* a decimal has no length of its own: R7143-6.1-11 */
}

bool text_decode_binary_fixed(struct text_range value, uint8_t *out, size_t len)
{
    assert(len >= 1 && len <= 8);
    uint64_t n;
    if (has_prefix(value, 'b', 'B')) {
        uint8_t bytes[8];
        size_t got;
        if (text_decode_binary(value, bytes, len, &got) != TEXT_BINARY_OK || got != len)
            return false;
        memcpy(out, bytes, len);
        return true;
    }
    if (!text_parse_number(value, &n) || (len < 8 && n >> (8 * len)))
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(n >> (8 * (len - 1 - i)));
    return true;
}

/* Strict, because lenient decoders are how two spellings of one name get past a comparison of bytes.
 * Returns the bytes of the UTF-8 sequence at p, or 0 when it is not one. */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length: smaller ones are overlong */
    if (p[0] < 0x80)
        return p[0] != 0;
    size_t n = (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
    if (n == 0 || n > len)
        return 0;
    uint32_t code = p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[n] || code > 0x10ffff || surrogate ? 0 : n;
}

bool text_is_utf8(struct text_range range)
{
    for (size_t i = 0; i < range.len;) {
        size_t n = utf8_sequence((const unsigned char *)range.ptr + i, range.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}
