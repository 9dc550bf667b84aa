/* Tables, checks and dumps of PDU headers. Nothing about a particular PDU is written here: all of it is
 * expanded from pdu_def.h, so a field that is added there is at once checked, dumped, preset and mutated. */
#include "common/iscsi/pdu.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/min.h"

/* ---- every list covers exactly 48 bytes ----
 * The sum is proved when compiling; that no bit is counted twice, by the unit test (a preprocessor cannot).
 */
#define PDU_COUNT_F(type, name, byte, shift, bits, rule) +(bits)
#define PDU_COUNT_B(name, byte, len)                     +8 * (len)
#define PDU_COUNT_R(byte, shift, bits)                   +(bits)
#define X(list, tag, code, dir, text)                                                                        \
    _Static_assert(0 list(PDU_COUNT_F, PDU_COUNT_B, PDU_COUNT_R) == 8 * PDU_BHS_LEN, #tag " covers 48 "      \
                                                                                          "bytes");
PDU_LIST(X)
#undef X

/* ---- field tables: a rule expands to the last five members of its row ---- */
#define ANY                       PDU_RULE_ANY, 0, 0, NULL, NULL
#define IS(value, id)             PDU_RULE_RANGE, value, value, id, NULL
#define RANGE(lo, hi, id)         PDU_RULE_RANGE, lo, hi, id, NULL
#define NOT(value, id)            PDU_RULE_NOT, value, 0, id, NULL
#define NOT_WHEN(flag, value, id) PDU_RULE_NOT, value, 0, id, #flag
#define PDU_ROW(...)              {__VA_ARGS__},
#define PDU_ROW_F(type, name, byte, shift, bits, rule)                                                       \
    PDU_ROW(PDU_FIELD_NUMBER, #name, byte, shift, bits, rule)
#define PDU_ROW_B(name, byte, len)   PDU_ROW(PDU_FIELD_BYTES, #name, byte, 0, 8 * (len), ANY)
#define PDU_ROW_R(byte, shift, bits) PDU_ROW(PDU_FIELD_RESERVED, NULL, byte, shift, bits, ANY)
#define X(list, tag, code, dir, text)                                                                        \
    static const struct pdu_field pdu_fields_##tag[] = {list(PDU_ROW_F, PDU_ROW_B, PDU_ROW_R)};
PDU_LIST(X)
#undef X

#define X(list, tag, code, dir, text)                                                                        \
    {text, #tag, code, dir, pdu_fields_##tag, sizeof pdu_fields_##tag / sizeof *pdu_fields_##tag},
const struct pdu_type pdu_types[] = {PDU_LIST(X)};
#undef X
const size_t pdu_type_count = sizeof pdu_types / sizeof *pdu_types;

/* A walk over 18 rows: the data path never comes here, it switches on the opcode itself. */
const struct pdu_type *pdu_type_of(uint8_t opcode)
{
    for (size_t i = 0; i < pdu_type_count; i++)
        if (pdu_types[i].opcode == (opcode & 0x3f))
            return &pdu_types[i];
    return NULL;
}

const char *pdu_name(uint8_t opcode)
{
    const struct pdu_type *type = pdu_type_of(opcode);
    return type ? type->name : "unknown opcode";
}

const struct pdu_field *pdu_field_find(const struct pdu_type *type, const char *name)
{
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields[i].name && strcmp(type->fields[i].name, name) == 0)
            return &type->fields[i];
    return NULL;
}

uint64_t pdu_field_get(const struct pdu_field *field, const uint8_t *bhs)
{
    return field->kind == PDU_FIELD_NUMBER ? pdu_bits_get(bhs, field->byte, field->shift, field->bits) : 0;
}

void pdu_field_put(const struct pdu_field *field, uint8_t *bhs, uint64_t value)
{
    if (field->kind != PDU_FIELD_NUMBER)
        return;
    uint8_t *word = bhs + field->byte / 8 * 8;
    uint64_t others = be64_get(word) & ~pdu_bits_part(field->byte, field->shift, field->bits, UINT64_MAX);
    be64_put(word, others | pdu_bits_part(field->byte, field->shift, field->bits, value));
}

/* ---- checks ---- */

/* A reserved run is part of one byte, or any number of whole bytes: wider than a field can be read at once.
 */
static bool pdu_reserved_zero(const struct pdu_field *field, const uint8_t *bhs, uint64_t *value)
{
    if (field->bits < 8) {
        *value = pdu_bits_get(bhs, field->byte, field->shift, field->bits);
        return *value == 0;
    }
    for (unsigned i = 0; i < field->bits / 8u; i++) {
        *value = bhs[field->byte + i];
        if (*value)
            return false;
    }
    return true;
}

/* A rule without a condition always counts; one with a condition only while its flag is 1, because the RFC
 * makes the field reserved otherwise, and receivers do not look at reserved fields. */
static bool pdu_rule_counts(const struct pdu_type *type, const struct pdu_field *field, const uint8_t *bhs)
{
    return !field->when || pdu_field_get(pdu_field_find(type, field->when), bhs) != 0;
}

static bool pdu_field_holds(const struct pdu_type *type, const struct pdu_field *field, const uint8_t *bhs,
                            bool strict, uint64_t *value)
{
    if (field->kind == PDU_FIELD_RESERVED)
        return !strict || pdu_reserved_zero(field, bhs, value); /* R7143-11-02, R7143-11-03 */
    *value = pdu_field_get(field, bhs);
    if (!pdu_rule_counts(type, field, bhs))
        return !strict || *value == 0; /* reserved: R7143-11.12.3-02 */
    switch (field->rule) {
    case PDU_RULE_RANGE:
        return *value >= field->min && *value <= field->max;
    case PDU_RULE_NOT:
        return *value != field->min;
    case PDU_RULE_ANY:
        break;
    }
    return true;
}

bool pdu_check(const uint8_t *bhs, bool strict, struct pdu_fault *out)
{
    struct pdu_fault fault = {pdu_type_of(bhs[0]), NULL, pdu_opcode(bhs)};
    bool good = fault.type != NULL;
    for (size_t i = 0; good && i < fault.type->field_count; i++) {
        fault.field = &fault.type->fields[i];
        good = pdu_field_holds(fault.type, fault.field, bhs, strict, &fault.value);
    }
    if (!good && out)
        *out = fault;
    return good;
}

char *pdu_fault_text(const struct pdu_fault *fault, char *buf, size_t len)
{
    const struct pdu_field *f = fault->field;
    const char *pdu = fault->type ? fault->type->name : "";
    uint64_t value = fault->value;
    if (!f)
        snprintf(buf, len, "opcode 0x%02" PRIx64 " is unknown", value);
    else if (f->kind == PDU_FIELD_RESERVED)
        snprintf(buf, len, "%s: reserved bits of byte %u are not zero", pdu, f->byte);
    else if (f->rule == PDU_RULE_NOT && value != f->min) /* its condition failed, so it is reserved */
        snprintf(buf, len, "%s.%s is 0x%" PRIx64 ", must be 0 without %s", pdu, f->name, value, f->when);
    else if (f->rule == PDU_RULE_NOT)
        snprintf(buf, len, "%s.%s is 0x%" PRIx64 ", which it must not be (%s)", pdu, f->name, value,
                 f->requirement);
    else if (f->min == f->max)
        snprintf(buf, len, "%s.%s is 0x%" PRIx64 ", must be 0x%" PRIx64 " (%s)", pdu, f->name, value, f->min,
                 f->requirement);
    else
        snprintf(buf, len, "%s.%s is %" PRIu64 ", must be %" PRIu64 " to %" PRIu64 " (%s)", pdu, f->name,
                 value, f->min, f->max, f->requirement);
    return buf;
}

/* ---- dump ---- */

struct pdu_text { /* a buffer being filled; what does not fit is cut off */
    char *buf;
    size_t len, at; /* bytes; at < len */
};

/* What snprintf returned: how much it would have liked to write. An error (negative) fills the buffer too. */
static void pdu_text_grow(struct pdu_text *t, int wanted)
{
    t->at += min_u64((size_t)wanted, t->len - 1 - t->at);
}

static void pdu_dump_bytes(struct pdu_text *t, const struct pdu_field *field, const uint8_t *bhs)
{
    pdu_text_grow(t, snprintf(t->buf + t->at, t->len - t->at, " %s=", field->name));
    for (unsigned i = 0; i < field->bits / 8u; i++)
        pdu_text_grow(t, snprintf(t->buf + t->at, t->len - t->at, "%02x", bhs[field->byte + i]));
}

static void pdu_dump_number(struct pdu_text *t, const struct pdu_field *field, const uint8_t *bhs)
{
    uint64_t value = pdu_field_get(field, bhs);
    /* Flags and codes as one says them, tags and numbers as a capture shows them. */
    if (field->bits <= 8)
        pdu_text_grow(t, snprintf(t->buf + t->at, t->len - t->at, " %s=%" PRIu64, field->name, value));
    else
        pdu_text_grow(t, snprintf(t->buf + t->at, t->len - t->at, " %s=0x%" PRIx64, field->name, value));
}

char *pdu_dump(const uint8_t *bhs, char *buf, size_t len)
{
    const struct pdu_type *type = pdu_type_of(bhs[0]);
    struct pdu_text t = {buf, len, 0};
    if (len == 0)
        return buf;
    pdu_text_grow(&t, snprintf(buf, len, "%s", pdu_name(bhs[0])));
    if (!type)
        pdu_text_grow(&t, snprintf(buf + t.at, len - t.at, " 0x%02x", pdu_opcode(bhs)));
    for (size_t i = 0; type && i < type->field_count; i++) {
        const struct pdu_field *field = &type->fields[i];
        if (field->kind == PDU_FIELD_BYTES)
            pdu_dump_bytes(&t, field, bhs);
        else if (field->kind == PDU_FIELD_NUMBER && strcmp(field->name, "opcode") != 0) /* the name says it */
            pdu_dump_number(&t, field, bhs);
    }
    return buf;
}
