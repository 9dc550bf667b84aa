/* iSCSI PDU headers: structs, encode, decode and checks, all expanded from pdu_def.h (RFC 7143 chapter 11).
 *
 * For each PDU `x` of PDU_LIST there are
 *   struct pdu_x                                    run-time values, host byte order
 *   void pdu_x_decode(const uint8_t *bhs, struct pdu_x *out)   reads 48 bytes; cannot fail
 *   void pdu_x_encode(const struct pdu_x *in, uint8_t *bhs)    writes 48 bytes, reserved bits zero, opcode
 * set; fixed fields (F=1, reserved tags) are written as the struct says: use pdu_x_init to preset them void
 * pdu_x_init(struct pdu_x *out)              zero, but every IS() rule holds and pdu_check() tells which rule
 * a header breaks. Encoding truncates a value to the field's width (lenient: wrong values can be built on
 * purpose). Header and data digests and AHS are the framer's and tx's matter. */
#ifndef LUNETTE_ISCSI_PDU_H
#define LUNETTE_ISCSI_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/iscsi/pdu_def.h"

#define PDU_BHS_LEN      48u
#define PDU_AHS_LEN_MAX  1020u /* TotalAHSLength is in words of four bytes, 255 of them */
#define PDU_DIGEST_LEN   4u
#define PDU_DATA_LEN_MAX 0xffffffu
#define PDU_TAG_RESERVED 0xffffffffu

enum pdu_direction { PDU_FROM_INITIATOR, PDU_FROM_TARGET };

#define X(list, tag, code, dir, text) PDU_OP_##tag = (code),
enum pdu_opcode { PDU_LIST(X) };
#undef X

enum pdu_rule_kind { PDU_RULE_ANY, PDU_RULE_RANGE, PDU_RULE_NOT };
enum pdu_field_kind { PDU_FIELD_NUMBER, PDU_FIELD_BYTES, PDU_FIELD_RESERVED };

struct pdu_field { /* one row of a PDU's list */
    enum pdu_field_kind kind;
    const char *name; /* NULL when reserved */
    uint8_t byte, shift;
    uint16_t bits; /* BYTES: 8 times the length */
    enum pdu_rule_kind rule;
    uint64_t min, max; /* RANGE: inclusive; NOT: min is the forbidden value */
    const char *requirement;
    const char *when; /* name of the one-bit field that must be 1 for the rule to count; NULL: always */
};

struct pdu_type {
    const char *name; /* "SCSI Command" */
    const char *tag;  /* "scsi_command": the scenario language's word */
    uint8_t opcode;
    enum pdu_direction from;
    const struct pdu_field *fields;
    size_t field_count;
};

extern const struct pdu_type pdu_types[];
extern const size_t pdu_type_count;

/* NULL when the opcode (low six bits of byte 0) is unknown. */
const struct pdu_type *pdu_type_of(uint8_t opcode);
/* "SCSI Command", or "unknown opcode". */
const char *pdu_name(uint8_t opcode);
const struct pdu_field *pdu_field_find(const struct pdu_type *type, const char *name);
/* Any number field by its row; for dumps, scenarios and mutators. Other kinds read as 0 and are not written.
 */
uint64_t pdu_field_get(const struct pdu_field *field, const uint8_t *bhs);
void pdu_field_put(const struct pdu_field *field, uint8_t *bhs, uint64_t value);

struct pdu_fault { /* which rule a header breaks */
    const struct pdu_type *type;
    const struct pdu_field *field; /* NULL: the opcode itself is unknown */
    uint64_t value;
};
/* False when some field breaks its rule (the first in list order is reported). `strict` also reports reserved
 * bits that are not zero (a sender's duty, R7143-11-02; receivers ignore them, R7143-11-03). `out` may be
 * NULL. */
bool pdu_check(const uint8_t *bhs, bool strict, struct pdu_fault *out);
/* "Login Request.csg is 0x2, which it must not be (R7143-...)" into buf; returns buf. Truncates. */
char *pdu_fault_text(const struct pdu_fault *fault, char *buf, size_t len);
/* All fields of a header as "Name field=value ..." for logs and tests; returns buf. Truncates. */
char *pdu_dump(const uint8_t *bhs, char *buf, size_t len);

/* The fields at the same place in every PDU. Callers have the 48 bytes and know nothing else of them yet. */
static inline uint8_t pdu_opcode(const uint8_t *bhs)
{
    return bhs[0] & 0x3f;
}
static inline bool pdu_immediate(const uint8_t *bhs)
{
    return (bhs[0] & 0x40) != 0;
}
static inline uint32_t pdu_ahs_len(const uint8_t *bhs) /* bytes */
{
    return (uint32_t)bhs[4] * 4u;
}
static inline uint32_t pdu_data_len(const uint8_t *bhs) /* bytes, without padding */
{
    return be24_get(bhs + 5);
}
static inline uint32_t pdu_itt(const uint8_t *bhs)
{
    return be32_get(bhs + 16);
}
static inline uint32_t pdu_pad_len(uint32_t data_len)
{
    return (4u - (data_len & 3u)) & 3u;
}

/* --- expansion: structs --- */
#define PDU_STRUCT_F(type, name, byte, shift, bits, rule) type name;
#define PDU_STRUCT_B(name, byte, len)                     uint8_t name[len];
#define PDU_STRUCT_R(byte, shift, bits)
#define X(list, tag, code, dir, text)                                                                        \
    struct pdu_##tag {                                                                                       \
        list(PDU_STRUCT_F, PDU_STRUCT_B, PDU_STRUCT_R)                                                       \
    };
PDU_LIST(X)
#undef X

/* --- expansion: encode and decode, inline because they are on the data path --- */
static inline uint64_t pdu_bits_get(const uint8_t *bhs, unsigned byte, unsigned shift, unsigned bits)
{
    switch (bits) {
    case 16:
        return be16_get(bhs + byte);
    case 24:
        return be24_get(bhs + byte);
    case 32:
        return be32_get(bhs + byte);
    case 64:
        return be64_get(bhs + byte);
    default:
        return ((unsigned)bhs[byte] >> shift) & ((1u << bits) - 1u);
    }
}

/* A field's part of the big-endian word of eight bytes that it lies in; no field lies in two. */
static inline uint64_t pdu_bits_part(unsigned byte, unsigned shift, unsigned bits, uint64_t value)
{
    unsigned end = byte % 8 + (shift + bits + 7) / 8; /* bytes of the word up to the field's last */
    return (value & UINT64_MAX >> (64 - bits)) << (64 - 8 * end + shift);
}

static inline void pdu_words_put(uint8_t *bhs, const uint64_t words[PDU_BHS_LEN / 8])
{
    for (unsigned i = 0; i < PDU_BHS_LEN / 8; i++)
        be64_put(bhs + i * 8, words[i]);
}

#define PDU_DECODE_F(type, name, byte, shift, bits, rule)                                                    \
    out->name = (type)pdu_bits_get(bhs, byte, shift, bits);
#define PDU_DECODE_B(name, byte, len) memcpy(out->name, bhs + (byte), len);
#define PDU_DECODE_R(byte, shift, bits)
#define PDU_ENCODE_F(type, name, byte, shift, bits, rule)                                                    \
    words[(byte) / 8] |= pdu_bits_part(byte, shift, bits, in->name);
#define PDU_ENCODE_B(name, byte, len) memcpy(bhs + (byte), in->name, len);
#define PDU_ENCODE_R(byte, shift, bits)
#define PDU_NO_FIELD(type, name, byte, shift, bits, rule)
#define PDU_NO_BYTES(name, byte, len)
/* A fresh struct has the values that the rules fix. */
#define ANY                                               0
#define IS(value, id)                                     (value)
#define RANGE(lo, hi, id)                                 0
#define NOT(value, id)                                    0
#define NOT_WHEN(flag, value, id)                         0
#define PDU_PRESET_F(type, name, byte, shift, bits, rule) out->name = (type)(rule);
#define PDU_PRESET_B(name, byte, len)
#define PDU_PRESET_R(byte, shift, bits)
#define X(list, tag, code, dir, text)                                                                        \
    static inline void pdu_##tag##_decode(const uint8_t *bhs, struct pdu_##tag *out)                         \
    {                                                                                                        \
        list(PDU_DECODE_F, PDU_DECODE_B, PDU_DECODE_R)                                                       \
    }                                                                                                        \
    static inline void pdu_##tag##_encode(const struct pdu_##tag *in, uint8_t *bhs)                          \
    {                                                                                                        \
        uint64_t words[PDU_BHS_LEN / 8] = {0};                                                               \
        list(PDU_ENCODE_F, PDU_NO_BYTES, PDU_ENCODE_R) pdu_words_put(bhs, words);                            \
        list(PDU_NO_FIELD, PDU_ENCODE_B, PDU_ENCODE_R)                                                       \
    }                                                                                                        \
    static inline void pdu_##tag##_init(struct pdu_##tag *out)                                               \
    {                                                                                                        \
        *out = (struct pdu_##tag){0};                                                                        \
        list(PDU_PRESET_F, PDU_PRESET_B, PDU_PRESET_R)                                                       \
    }
PDU_LIST(X)
#undef X
#undef ANY
#undef IS
#undef RANGE
#undef NOT
#undef NOT_WHEN

#endif
