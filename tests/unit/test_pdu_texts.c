/* Goal: what is said about a PDU, to the letter: dumps with every byte of every field, and each kind of fault
 * with the value that is wrong. Method: fixed headers and their texts; every reserved bit of every PDU set
 * alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/iscsi/pdu.h"

static char text[1024];

static void dumps_have_these_words(void **state)
{
    (void)state;
    uint8_t bhs[PDU_BHS_LEN];
    for (unsigned i = 0; i < PDU_BHS_LEN; i++)
        bhs[i] = (uint8_t)(0xf0 - 5 * i);
    bhs[0] = 0x05; /* Data-Out */
    char expected[400];
    snprintf(expected, sizeof expected, "Data-Out");
    const struct pdu_type *type = pdu_type_of(0x05);
    for (size_t i = 1; i < type->field_count; i++) {
        const struct pdu_field *f = &type->fields[i];
        size_t at = strlen(expected);
        if (f->kind == PDU_FIELD_RESERVED || strcmp(f->name, "opcode") == 0)
            continue;
        uint64_t value = 0; /* read here, bit by bit: fields lie in one byte or in whole ones */
        for (unsigned k = 0; k < (f->bits + 7u) / 8; k++)
            value = value << 8 | bhs[f->byte + k];
        if (f->bits < 8)
            value = value >> f->shift & ((1u << f->bits) - 1);
        snprintf(expected + at, sizeof expected - at, f->bits > 8 ? " %s=0x%llx" : " %s=%llu", f->name,
                 (unsigned long long)value);
    }
    assert_string_equal(pdu_dump(bhs, text, sizeof text), expected);
    /* A CDB is bytes: all sixteen, in order. */
    bhs[0] = 0x01;
    const struct pdu_field *cdb = pdu_field_find(pdu_type_of(0x01), "cdb");
    assert_non_null(cdb);
    assert_int_equal(cdb->byte, 32);
    assert_int_equal(cdb->bits, 128);
    pdu_dump(bhs, text, sizeof text);
    assert_non_null(strstr(text, " cdb=504b46413c37322d28231e19140f0a05"));
    memset(bhs, 0, sizeof bhs);
    bhs[0] = 0x3e;
    assert_string_equal(pdu_dump(bhs, text, sizeof text), "unknown opcode 0x3e");
    bhs[0] = 0x7e; /* immediate, the same opcode */
    assert_string_equal(pdu_dump(bhs, text, sizeof text), "unknown opcode 0x3e");
    assert_string_equal(pdu_name(0x3e), "unknown opcode");
}

static void every_kind_of_fault_has_its_sentence(void **state)
{
    (void)state;
    uint8_t bhs[PDU_BHS_LEN] = {0x1c};
    struct pdu_fault fault;
    assert_false(pdu_check(bhs, false, &fault));
    assert_string_equal(pdu_fault_text(&fault, text, sizeof text), "opcode 0x1c is unknown");
    bhs[0] = 0x02;
    assert_true(pdu_type_of(0x02) != NULL);
    struct pdu_login_request login;
    pdu_login_request_init(&login);
    login.transit = false;
    login.nsg = 3;
    pdu_login_request_encode(&login, bhs);
    assert_true(pdu_check(bhs, false, NULL));
    assert_false(pdu_check(bhs, true, &fault));
    assert_int_equal(fault.value, 3);
    assert_string_equal(pdu_fault_text(&fault, text, sizeof text),
                        "Login Request.nsg is 0x3, must be 0 without transit");
    login.transit = true;
    login.nsg = 2;
    pdu_login_request_encode(&login, bhs);
    assert_false(pdu_check(bhs, false, &fault));
    assert_string_equal(pdu_fault_text(&fault, text, sizeof text),
                        "Login Request.nsg is 0x2, which it must not be (R7143-11.12.3-01)");
    struct pdu_scsi_command command;
    pdu_scsi_command_init(&command);
    pdu_scsi_command_encode(&command, bhs);
    bhs[2] = 0x02; /* beside the priority */
    assert_true(pdu_check(bhs, false, &fault));
    assert_false(pdu_check(bhs, true, &fault));
    assert_int_equal(fault.value, 2);
    assert_string_equal(pdu_fault_text(&fault, text, sizeof text),
                        "SCSI Command: reserved bits of byte 2 are not zero");
}

/* Whatever is not reserved is as the type wants it; one reserved bit is set: strict readers name its field.
 */
static void every_reserved_bit_is_seen(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (size_t t = 0; t < pdu_type_count; t++) {
        const struct pdu_type *type = &pdu_types[t];
        uint8_t sound[PDU_BHS_LEN] = {0};
        for (size_t i = 0; i < type->field_count; i++) {
            const struct pdu_field *f = &type->fields[i];
            uint64_t value = f->rule == PDU_RULE_RANGE                ? f->min
                             : f->rule == PDU_RULE_NOT && f->min == 0 ? 1
                                                                      : 0;
            pdu_field_put(f, sound, value);
        }
        sound[0] = (uint8_t)((sound[0] & 0xc0) | type->opcode);
        assert_true(pdu_check(sound, true, NULL));
        for (size_t i = 0; i < type->field_count; i++) {
            const struct pdu_field *f = &type->fields[i];
            if (f->kind != PDU_FIELD_RESERVED)
                continue;
            for (unsigned bit = 0; bit < f->bits; bit++) {
                uint8_t bhs[PDU_BHS_LEN];
                struct pdu_fault fault;
                memcpy(bhs, sound, sizeof bhs);
                unsigned byte = f->byte + (f->bits < 8 ? 0 : bit / 8),
                         in_byte = f->bits < 8 ? f->shift + bit : bit % 8;
                bhs[byte] |= (uint8_t)(1u << in_byte);
                assert_true(pdu_check(bhs, false, &fault));
                assert_false(pdu_check(bhs, true, &fault));
                assert_ptr_equal(fault.type, type);
                assert_ptr_equal(fault.field, f);
                assert_int_equal(fault.value, f->bits < 8 ? 1u << bit : 1u << in_byte);
                seen++;
            }
        }
    }
    assert_true(seen > 500);
}

/* A field that is no number has no value: reading it gives 0 and writing it changes nothing. */
static void only_numbers_have_values(void **state)
{
    (void)state;
    for (size_t t = 0; t < pdu_type_count; t++) {
        for (size_t i = 0; i < pdu_types[t].field_count; i++) {
            const struct pdu_field *f = &pdu_types[t].fields[i];
            uint8_t bhs[PDU_BHS_LEN], before[PDU_BHS_LEN];
            memset(bhs, 0xff, sizeof bhs);
            if (f->kind == PDU_FIELD_NUMBER) {
                assert_true(pdu_field_get(f, bhs) ==
                            (f->bits == 64 ? UINT64_MAX : (UINT64_C(1) << f->bits) - 1));
                continue;
            }
            memcpy(before, bhs, sizeof bhs);
            assert_int_equal(pdu_field_get(f, bhs), 0);
            pdu_field_put(f, bhs, 0);
            assert_memory_equal(bhs, before, sizeof bhs);
        }
        assert_null(pdu_field_find(&pdu_types[t], "no such field"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dumps_have_these_words),
        cmocka_unit_test(every_kind_of_fault_has_its_sentence),
        cmocka_unit_test(every_reserved_bit_is_seen),
        cmocka_unit_test(only_numbers_have_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
