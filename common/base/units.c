/* Sizes, durations and numbers from text, and back. Integer arithmetic only: 64-bit sizes do not survive a
 * double, and strtod listens to the locale. */
#include "common/base/units.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"

struct unit {
    const char *suffix;
    uint64_t factor;
};

#define KIB ((uint64_t)1 << 10)
#define US  UINT64_C(1000)
#define SEC UINT64_C(1000000000)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* acc * factor + add into *acc; false on overflow. */
static bool mul_add(uint64_t *acc, uint64_t factor, uint64_t add)
{
    return !__builtin_mul_overflow(*acc, factor, acc) && !__builtin_add_overflow(*acc, add, acc);
}

/* A decimal number as found in the text, its digits still borrowed from there. */
struct decimal {
    const char *whole, *whole_end;       /* at least one digit */
    const char *fraction, *fraction_end; /* equal when there is no fraction */
};

/* Reads DIGITS[.DIGITS]; returns where the unit starts, or NULL when the text does not begin like a number.
 */
static const char *decimal_read(const char *text, struct decimal *out)
{
    const char *p = text;
    while (is_digit(*p))
        p++;
    if (p == text)
        return NULL;
    *out = (struct decimal){.whole = text, .whole_end = p, .fraction = p, .fraction_end = p};
    if (*p != '.')
        return p;
    out->fraction = ++p;
    while (is_digit(*p))
        p++;
    out->fraction_end = p;
    return p == out->fraction ? NULL : p;
}

/* number * factor, which must be whole. Exact for any count of digits: the fraction is multiplied in decimal
 * from its last digit upwards, as on paper, and every digit that remains behind the point must be zero. */
static int decimal_scale(const struct decimal *number, uint64_t factor, uint64_t *out)
{
    uint64_t carry = 0;
    for (const char *p = number->fraction_end; p > number->fraction;) {
        /* Cannot overflow: carry < factor <= 2^60, so the sum stays below 10 * 2^60. */
        carry += (uint64_t)(*--p - '0') * factor;
        if (carry % 10 != 0)
            return ERR_SYNTAX;
        carry /= 10;
    }
    uint64_t value = 0;
    for (const char *p = number->whole; p < number->whole_end; p++) {
        if (!mul_add(&value, 10, (uint64_t)(*p - '0')))
            return ERR_RANGE;
    }
    if (!mul_add(&value, factor, carry))
        return ERR_RANGE;
    *out = value;
    return ERR_OK;
}

/* The power of 1024 that a size suffix means, or 0 when it is none. */
static uint64_t size_factor(const char *suffix)
{
    static const char letters[] = "KMGTPE";
    if (*suffix == '\0' || strcmp(suffix, "B") == 0)
        return 1;
    char upper = *suffix >= 'a' && *suffix <= 'z' ? (char)(*suffix - 'a' + 'A') : *suffix;
    const char *letter = strchr(letters, upper);
    const char *rest = suffix + 1;
    if (!letter || (*rest != '\0' && strcmp(rest, "B") != 0 && strcmp(rest, "iB") != 0))
        return 0;
    return KIB << (10 * (letter - letters));
}

int units_parse_size(const char *text, uint64_t *out_bytes)
{
    struct decimal number;
    const char *suffix = decimal_read(text, &number);
    uint64_t factor = suffix ? size_factor(suffix) : 0;
    return factor ? decimal_scale(&number, factor, out_bytes) : ERR_SYNTAX;
}

/* Falling order: units_format_duration relies on it. A bare number is seconds. */
static const struct unit durations[] = {
    {"d", 86400 * SEC}, {"h", 3600 * SEC}, {"m", 60 * SEC}, {"s", SEC}, {"ms", US *US}, {"us", US}, {"ns", 1},
};
#define DURATION_COUNT (sizeof durations / sizeof durations[0])

int units_parse_duration(const char *text, uint64_t *out_ns)
{
    struct decimal number;
    const char *suffix = decimal_read(text, &number);
    if (!suffix)
        return ERR_SYNTAX;
    if (*suffix == '\0')
        return decimal_scale(&number, SEC, out_ns);
    for (size_t i = 0; i < DURATION_COUNT; i++) {
        if (strcmp(suffix, durations[i].suffix) == 0)
            return decimal_scale(&number, durations[i].factor, out_ns);
    }
    return ERR_SYNTAX;
}

/* 0..15, or 16 for anything that is no hexadecimal digit. */
static unsigned digit_value(char c)
{
    if (is_digit(c))
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

int units_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    unsigned base = 10;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    if (*text == '\0')
        return ERR_SYNTAX;
    uint64_t value = 0;
    bool fits =
        true; /* all characters are looked at first: "99999999999999999999x" is malformed, not too large */
    for (; *text; text++) {
        unsigned digit = digit_value(*text);
        if (digit >= base)
            return ERR_SYNTAX;
        fits = fits && mul_add(&value, base, digit);
    }
    if (!fits || value < min || value > max)
        return ERR_RANGE;
    *out = value;
    return ERR_OK;
}

/* value / factor with one decimal, rounded half up, in tenths; no overflow for any value. */
static uint64_t tenths_of(uint64_t value, uint64_t factor)
{
    uint64_t rest = value % factor;
    /* rest * 10 may need 64 bits and the rounding one more: factor <= 2^60 leaves room. */
    return value / factor * 10 + (rest * 10 + factor / 2) / factor;
}

/* "12" or "1.5": whole tenths drop the decimal. */
static void format_tenths(uint64_t tenths, const char *suffix, char *buf, size_t buf_len)
{
    if (tenths % 10)
        snprintf(buf, buf_len, "%" PRIu64 ".%" PRIu64 "%s", tenths / 10, tenths % 10, suffix);
    else
        snprintf(buf, buf_len, "%" PRIu64 "%s", tenths / 10, suffix);
}

char *units_format_size(uint64_t bytes, char *buf, size_t buf_len)
{
    static const char *const suffixes[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    unsigned i = 0;
    uint64_t factor = 1, tenths = bytes;
    if (bytes < KIB) {
        tenths = bytes * 10;
    } else {
        /* 1023.96 KiB would print as "1024 KiB": the unit is chosen after rounding. */
        do {
            i++;
            factor *= KIB;
            tenths = tenths_of(bytes, factor);
        } while (tenths >= KIB * 10 && i + 1 < sizeof suffixes / sizeof suffixes[0]);
    }
    format_tenths(tenths, suffixes[i], buf, buf_len);
    return buf;
}

char *units_format_duration(uint64_t ns, char *buf, size_t buf_len)
{
    if (ns == 0) {
        snprintf(buf, buf_len, "0s");
        return buf;
    }
    size_t i = 0;
    while (ns < durations[i].factor)
        i++;
    const struct unit *unit = &durations[i];
    if (unit->factor > SEC) {
        /* A minute and more: this unit and the next ("1m30s", "2h5m", "1d"), cut, not rounded: 59m59s is no
         * hour. */
        uint64_t rest = ns % unit->factor / unit[1].factor;
        if (rest)
            snprintf(buf, buf_len, "%" PRIu64 "%s%" PRIu64 "%s", ns / unit->factor, unit->suffix, rest,
                     unit[1].suffix);
        else
            snprintf(buf, buf_len, "%" PRIu64 "%s", ns / unit->factor, unit->suffix);
        return buf;
    }
    uint64_t tenths = tenths_of(ns, unit->factor);
    /* 999.96 ms rounds to a second. Seconds stay seconds: 59.96 s is "60s". */
    if (tenths >= 10000 && unit->factor < SEC)
        tenths = tenths_of(ns, (--unit)->factor);
    format_tenths(tenths, unit->suffix, buf, buf_len);
    return buf;
}
