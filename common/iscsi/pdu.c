/* Tables, checks and dumps of PDU headers, all expanded from pdu_def.h. */
#include "common/iscsi/pdu.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- every list covers exactly 48 bytes ---- */
#define PDU_COUNT_F(type, name, byte, shift, bits, rule) +(bits)
#define PDU_COUNT_B(name, byte, len) +8 * (len)
#define PDU_COUNT_R(byte, shift, bits) +(bits)
#define X(list, tag, code, dir, text)                                                                                \
    _Static_assert(0 list(PDU_COUNT_F, PDU_COUNT_B, PDU_COUNT_R) == 8 * PDU_BHS_LEN, #tag " covers 48 bytes");
PDU_LIST(X)
#undef X

/* ---- field tables ---- */
#define ANY                PDU_RULE_ANY, 0, 0, NULL
#define IS(value, id)      PDU_RULE_RANGE, value, value, id
#define RANGE(lo, hi, id)  PDU_RULE_RANGE, lo, hi, id
#define NOT(value, id)     PDU_RULE_NOT, value, 0, id
#define PDU_ROW(...)       {__VA_ARGS__},
#define PDU_ROW_F(type, name, byte, shift, bits, rule) PDU_ROW(PDU_FIELD_NUMBER, #name, byte, shift, bits, rule)
#define PDU_ROW_B(name, byte, len) PDU_ROW(PDU_FIELD_BYTES, #name, byte, 0, 8 * (len), ANY)
#define PDU_ROW_R(byte, shift, bits) PDU_ROW(PDU_FIELD_RESERVED, NULL, byte, shift, bits, ANY)
#define X(list, tag, code, dir, text)                                                                                \
    static const struct pdu_field pdu_fields_##tag[] = {list(PDU_ROW_F, PDU_ROW_B, PDU_ROW_R)};
PDU_LIST(X)
#undef X

#define X(list, tag, code, dir, text)                                                                                \
    {text, #tag, code, dir, pdu_fields_##tag, sizeof pdu_fields_##tag / sizeof *pdu_fields_##tag},
const struct pdu_type pdu_types[] = {PDU_LIST(X)};
#undef X
const size_t pdu_type_count = sizeof pdu_types / sizeof *pdu_types;

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

/* Reserved runs may be wider than a field can be read at once. */
static bool pdu_reserved_zero(const struct pdu_field *field, const uint8_t *bhs, uint64_t *value)
{
    if (field->bits < 8) {
        *value = pdu_bits_get(bhs, field->byte, field->shift, field->bits);
        return *value == 0;
    }
    for (unsigned i = 0; i < field->bits / 8u; i++) {
        if (bhs[field->byte + i]) {
            *value = bhs[field->byte + i];
            return false;
        }
    }
    return true;
}

uint64_t pdu_field_get(const struct pdu_field *field, const uint8_t *bhs)
{
    return field->kind == PDU_FIELD_NUMBER ? pdu_bits_get(bhs, field->byte, field->shift, field->bits) : 0;
}

void pdu_field_put(const struct pdu_field *field, uint8_t *bhs, uint64_t value)
{
    if (field->kind == PDU_FIELD_NUMBER)
        pdu_bits_put(bhs, field->byte, field->shift, field->bits, value);
}

static bool pdu_field_holds(const struct pdu_field *field, const uint8_t *bhs, bool strict, uint64_t *value)
{
    if (field->kind == PDU_FIELD_RESERVED)
        return !strict || pdu_reserved_zero(field, bhs, value);
    *value = pdu_field_get(field, bhs);
    switch (field->rule) {
    case PDU_RULE_RANGE:
        return *value >= field->min && *value <= field->max;
    case PDU_RULE_NOT:
        return *value != field->min;
    default:
        return true;
    }
}

bool pdu_check(const uint8_t *bhs, bool strict, struct pdu_fault *out)
{
    struct pdu_fault fault = {pdu_type_of(bhs[0]), NULL, pdu_opcode(bhs)};
    bool good = fault.type != NULL;
    for (size_t i = 0; good && i < fault.type->field_count; i++) {
        fault.field = &fault.type->fields[i];
        good = pdu_field_holds(fault.field, bhs, strict, &fault.value);
    }
    if (!good && out)
        *out = fault;
    return good;
}

char *pdu_fault_text(const struct pdu_fault *fault, char *buf, size_t len)
{
    const struct pdu_field *f = fault->field;
    if (!f)
        snprintf(buf, len, "opcode 0x%02" PRIx64 " is unknown", fault->value);
    else if (f->kind == PDU_FIELD_RESERVED)
        snprintf(buf, len, "%s: reserved byte %u is not zero", fault->type->name, f->byte);
    else if (f->rule == PDU_RULE_NOT)
        snprintf(buf, len, "%s.%s is 0x%" PRIx64 ", which it must not be (%s)", fault->type->name, f->name, fault->value,
                 f->requirement);
    else if (f->min == f->max)
        snprintf(buf, len, "%s.%s is 0x%" PRIx64 ", must be 0x%" PRIx64 " (%s)", fault->type->name, f->name, fault->value,
                 f->min, f->requirement);
    else
        snprintf(buf, len, "%s.%s is %" PRIu64 ", must be %" PRIu64 " to %" PRIu64 " (%s)", fault->type->name, f->name,
                 fault->value, f->min, f->max, f->requirement);
    return buf;
}

/* Appends within the buffer; *at never passes len. */
static void pdu_append(char *buf, size_t len, size_t *at, const char *format, const char *name, uint64_t value)
{
    int n = snprintf(buf + *at, len - *at, format, name, value);
    if (n > 0)
        *at = *at + (size_t)n < len ? *at + (size_t)n : len - 1;
}

char *pdu_dump(const uint8_t *bhs, char *buf, size_t len)
{
    const struct pdu_type *type = pdu_type_of(bhs[0]);
    size_t at = 0;
    if (len == 0)
        return buf;
    buf[0] = 0;
    pdu_append(buf, len, &at, type ? "%s" : "%s 0x%02" PRIx64, pdu_name(bhs[0]), pdu_opcode(bhs));
    for (size_t i = 0; type && i < type->field_count; i++) {
        const struct pdu_field *field = &type->fields[i];
        if (field->kind == PDU_FIELD_NUMBER && strcmp(field->name, "opcode") != 0)
            pdu_append(buf, len, &at, field->bits > 8 ? " %s=0x%" PRIx64 : " %s=%" PRIu64, field->name,
                       pdu_field_get(field, bhs));
        if (field->kind != PDU_FIELD_BYTES)
            continue;
        pdu_append(buf, len, &at, " %s=", field->name, 0);
        for (unsigned b = 0; b < field->bits / 8u; b++)
            pdu_append(buf, len, &at, "%s%02" PRIx64, "", bhs[field->byte + b]);
    }
    return buf;
}

/* ---- init: the values that IS() rules fix ---- */
#undef ANY
#undef IS
#undef RANGE
#undef NOT
#define ANY               0
#define IS(value, id)     (value)
#define RANGE(lo, hi, id) 0
#define NOT(value, id)    0
#define PDU_PRESET_F(type, name, byte, shift, bits, rule) out->name = (type)(rule);
#define PDU_PRESET_B(name, byte, len)
#define PDU_PRESET_R(byte, shift, bits)
#define X(list, tag, code, dir, text)                                                                                \
    void pdu_##tag##_init(struct pdu_##tag *out)                                                                     \
    {                                                                                                                \
        memset(out, 0, sizeof *out);                                                                                 \
        list(PDU_PRESET_F, PDU_PRESET_B, PDU_PRESET_R)                                                               \
    }
PDU_LIST(X)
#undef X
