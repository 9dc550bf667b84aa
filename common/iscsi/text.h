/* Text segments: lists of "key=value" strings, each ended by a NUL byte (RFC 7143 section 6.1), and their way
 * through several Login or Text PDUs by means of the C bit (section 6.2). This file knows the form of text,
 * not what a key means: that is keys.h.
 *
 * Nothing here allocates: buffers are the caller's. Nothing here trusts a length or a terminator of the peer.
 */
#ifndef LUNETTE_ISCSI_TEXT_H
#define LUNETTE_ISCSI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_KEY_LEN_MAX      63u           /* bytes of a key name (6.1 standard-label) */
#define TEXT_KEY_CAP          64u           /* with NUL */
#define TEXT_VALUE_LEN_MAX    255u          /* bytes of a simple value, unless its key says otherwise (6.1) */
#define TEXT_SEGMENT_LEN_MIN  8192u         /* bytes every receiver has to manage (6.1) */
#define TEXT_SEGMENT_LEN_MAX  (64u * 1024u) /* bytes: our default limit of one joined text */
#define TEXT_TRAILING_NUL_MAX 3u            /* padding that some peers count into DataSegmentLength */

/* ---- ranges: text that is borrowed from a larger buffer; not NUL-terminated ---- */

struct text_range {
    const char *ptr; /* borrowed; may be NULL when len is 0 */
    size_t len;      /* bytes */
};

struct text_range text_range_of(const char *cstr);
bool text_is(struct text_range range, const char *cstr);
bool text_equal(struct text_range a, struct text_range b);
/* Copies into buf with a terminating NUL. False, and buf untouched, when cap is too small or the text holds a
 * NUL. */
bool text_copy(struct text_range range, char *buf, size_t cap);

/* ---- writer ---- */

struct text_writer {
    char *buf;     /* borrowed from the caller until it drops the writer */
    size_t cap;    /* bytes at buf */
    size_t len;    /* bytes written: the text so far, each pair with its NUL */
    bool overflow; /* a pair did not fit: sticky; pairs are added whole or not at all */
};

void text_writer_init(struct text_writer *w, char *buf, size_t cap);
/* Each adds one pair with its NUL and returns true; false when it does not fit. Keys and values are written
 * as given: a test may write illegal ones. */
bool text_add(struct text_writer *w, const char *key, const char *value);
bool text_add_range(struct text_writer *w, struct text_range key, struct text_range value);
bool text_add_number(struct text_writer *w, const char *key, uint64_t value);
bool text_add_bool(struct text_writer *w, const char *key, bool value);
bool text_add_hex(struct text_writer *w, const char *key, const void *bytes,
                  size_t len); /* 0x.. lower case */
bool text_add_base64(struct text_writer *w, const char *key, const void *bytes, size_t len); /* 0b.. padded */

/* ---- parser over one complete (joined) text ---- */

enum text_result { TEXT_PAIR, TEXT_END, TEXT_ERROR };

struct text_parser {
    const char *ptr;  /* borrowed from the caller while parsing */
    size_t len, pos;  /* bytes */
    size_t value_max; /* bytes: longest value that is let through; per-key limits are keys.h's */
    /* after TEXT_ERROR: */
    const char *rule;        /* static sentence: what is wrong */
    const char *requirement; /* requirement id */
    char key[TEXT_KEY_CAP];  /* the key concerned, cut to fit and made printable; "" when unknown */
};

/* value_max: TEXT_VALUE_LEN_MAX for plain use, or the buffer's length when keys (CHAP_C, SendTargets answers)
 * decide. */
void text_parser_init(struct text_parser *p, const void *ptr, size_t len, size_t value_max);
/* TEXT_PAIR: *key and *value are views into the buffer. TEXT_END: all pairs were given. TEXT_ERROR: the text
 * is malformed and p says how; it stays in that state, and *key and *value are untouched. Rules: a key has 1
 * to 63 bytes of letters, digits, . - + @ _ and (for X#NodeArchitecture) #; there is a '='; the last pair has
 * its NUL; no pair is empty, except that up to TEXT_TRAILING_NUL_MAX NULs may follow the last. The value is
 * all after the first '='. A key that does not start with a capital passes here (nobody defines one, so it is
 * answered NotUnderstood). */
enum text_result text_parser_next(struct text_parser *p, struct text_range *key, struct text_range *value);
/* Letters, digits, . - + @ _ with a capital first, 1..63 (6.1 standard-label), or X# and such a label. */
bool text_is_key_name(struct text_range key);

/* ---- joining PDUs ---- */

enum text_assembly { TEXT_NEED_MORE, TEXT_COMPLETE, TEXT_TOO_BIG };

struct text_assembler {
    char *buf;  /* borrowed from init until the owner drops it */
    size_t cap; /* bytes: the limit of one joined text */
    size_t len; /* bytes joined so far; after TEXT_COMPLETE the text is buf[0..len) */
    bool open;  /* the last PDU had C = 1 */
};

void text_assembler_init(struct text_assembler *a, char *buf, size_t cap);
/* Adds one PDU's data segment. TEXT_NEED_MORE: C was 1; answer with an empty PDU. TEXT_COMPLETE: the text is
 * whole; the next add starts a new one. TEXT_TOO_BIG: more than cap; the text is dropped and the assembler is
 * empty again. */
enum text_assembly text_assembler_add(struct text_assembler *a, const void *data, size_t len, bool c_bit);
void text_assembler_reset(struct text_assembler *a);

/* ---- splitting a long text over PDUs ---- */

struct text_splitter {
    const char *ptr; /* borrowed until the last segment has been taken */
    size_t len, pos; /* bytes */
    bool started;
};

void text_splitter_init(struct text_splitter *s, const void *ptr, size_t len);
/* The next segment of at most max (> 0) bytes; *c_bit is set when more follow. An empty text gives one empty
 * segment. False when all segments have been given. */
bool text_splitter_next(struct text_splitter *s, size_t max, struct text_range *out, bool *c_bit);
/* True while text_splitter_next would give another segment. */
bool text_splitter_more(const struct text_splitter *s);

/* ---- values (6.1). Each returns false, with outputs untouched, when the value is not of that form ---- */

/* Decimal without leading zeros, or 0x / 0X hexadecimal; less than 2^64. */
bool text_parse_number(struct text_range value, uint64_t *out);
/* NUMBER~NUMBER with the right not below the left. */
bool text_parse_number_range(struct text_range value, uint64_t *low, uint64_t *high);
/* Exactly "Yes" or "No". */
bool text_parse_bool(struct text_range value, bool *out);
/* Takes the next comma-separated item off *rest into *item; false when none is left. "a,,b" has an empty
 * item; "" has one empty item, told by rest->ptr != NULL: so start with the whole value. */
bool text_list_next(struct text_range *rest, struct text_range *item);

enum text_binary { TEXT_BINARY_OK, TEXT_BINARY_MALFORMED, TEXT_BINARY_TOO_LONG };

/* Decodes 0x.. (an odd digit count has an implied leading zero digit) or 0b.. (RFC 4648 base64: whole quanta,
 * padding required and only at the end, unused bits zero). The decoded length is computed and compared with
 * cap before a byte is decoded. A decimal constant has no implicit length and is malformed here. */
enum text_binary text_decode_binary(struct text_range value, uint8_t *out, size_t cap, size_t *out_len);
/* A binary value whose length the key defines, 1..8 bytes: decimal or hexadecimal are right-aligned, base64
 * must have exactly len bytes. */
bool text_decode_binary_fixed(struct text_range value, uint8_t *out, size_t len);

/* Valid UTF-8 (no overlong forms, surrogates, or values above U+10FFFF) without NUL? */
bool text_is_utf8(struct text_range range);

#endif
