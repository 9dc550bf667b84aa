/* Goal: the CDB tables are well formed, and encoding and decoding are inverse for every field of every
 * command. Method: walks the tables (no overlap of fields, all inside the CDB), every field with boundary
 * values, known byte images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/scsi/cdb.h"
#include "common/scsi/lun.h"

static void fields_lie_inside_and_never_overlap(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CDB_COMMAND_COUNT; i++) {
        const struct cdb_def *def = &cdb_defs[i];
        uint8_t taken[CDB_LEN_MAX] = {0xff};
        assert_int_equal(def->command, i);
        assert_true(def->field_count > 0 && def->field_count <= CDB_FIELDS_MAX);
        for (uint8_t k = 0; k < def->field_count; k++) {
            const struct scsi_field *f = &def->fields[k].place;
            uint8_t mine[CDB_LEN_MAX] = {0};
            assert_true(f->byte + scsi_field_bytes(f) <= def->len);
            scsi_field_put(mine, f, UINT64_MAX);
            for (unsigned b = 0; b < CDB_LEN_MAX; b++) {
                assert_int_equal(taken[b] & mine[b], 0);
                taken[b] |= mine[b];
            }
        }
        /* CONTROL ends every CDB, and is byte 1 of those of variable length */
        assert_int_equal(taken[def->opcode == CDB_VARIABLE ? 1 : def->len - 1], 0xff);
    }
}

static void lengths_follow_the_group_of_the_opcode(void **state)
{
    (void)state;
    static const uint8_t group_len[8] = {6, 10, 10, 0, 16, 12, 0, 0};
    for (unsigned i = 0; i < CDB_COMMAND_COUNT; i++)
        if (cdb_defs[i].opcode == CDB_VARIABLE)
            assert_true(cdb_defs[i].len > CDB_LEN_FIXED && cdb_defs[i].len % 4 == 0);
        else
            assert_int_equal(cdb_defs[i].len, group_len[cdb_defs[i].opcode >> 5]);
}

static void every_command_is_found_by_its_bytes(void **state)
{
    (void)state;
    unsigned known = 0;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        for (unsigned action = 0; action < 32; action++) {
            uint8_t cdb[16] = {(uint8_t)opcode, (uint8_t)action};
            if (opcode == CDB_VARIABLE) {
                cdb[1] = 0;
                cdb[9] = (uint8_t)action;
            }
            assert_int_equal(cdb_service_action(cdb, 16), action);
            const struct cdb_def *def = cdb_find(cdb, 16, NULL);
            bool listed = false;
            for (unsigned i = 0; i < CDB_COMMAND_COUNT; i++)
                listed |= cdb_defs[i].opcode == opcode && (cdb_defs[i].service_action == CDB_NO_SA ||
                                                           cdb_defs[i].service_action == (int)action);
            assert_int_equal(listed, def != NULL);
            known += def && (def->service_action != CDB_NO_SA || action == 0);
        }
    }
    assert_int_equal(known, CDB_COMMAND_COUNT);
}

static void every_field_survives_encoding(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CDB_COMMAND_COUNT; i++) {
        const struct cdb_def *def = &cdb_defs[i];
        for (uint8_t k = 0; k < def->field_count; k++) {
            const struct cdb_field *f = &def->fields[k];
            uint64_t max = scsi_field_max(&f->place);
            const uint64_t values[] = {0, 1, max / 2, max - 1, max};
            for (size_t v = 0; v < 5; v++) {
                uint8_t ones[CDB_LEN_MAX], zeros[CDB_LEN_MAX] = {0};
                memset(ones, 0xff, sizeof ones);
                assert_true(cdb_set(def, ones, f->id, values[v]));
                assert_true(cdb_set(def, zeros, f->id, values[v]));
                assert_int_equal(cdb_get(def, ones, f->id), values[v]);
                assert_int_equal(cdb_get(def, zeros, f->id), values[v]);
            }
            uint8_t cdb[CDB_LEN_MAX] = {0};
            if (f->place.bits < 64)
                assert_false(cdb_set(def, cdb, f->id, max + 1));
        }
    }
}

static void known_images(void **state)
{
    (void)state;
    uint8_t cdb[16];
    const uint8_t read10[10] = {0x28, 0x08, 0x12, 0x34, 0x56, 0x78, 0, 0xab, 0xcd, 0};
    assert_int_equal(cdb_build_read(0x12345678, 0xabcd, true, cdb), 10);
    assert_memory_equal(cdb, read10, 10);
    const uint8_t read16[16] = {0x88, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0};
    assert_int_equal(cdb_build_read(UINT64_C(1) << 32, 8, false, cdb), 16);
    assert_memory_equal(cdb, read16, 16);
    assert_int_equal(cdb_build_write(0, 65536, false, cdb), 16);
    const uint8_t read6[6] = {0x08, 0x1f, 0xff, 0xff, 0, 0};
    assert_int_equal(CDB_BUILD(CDB_READ_6, cdb, {CDB_F_LBA, 0x1fffff}, {CDB_F_COUNT, 0}), 6);
    assert_memory_equal(cdb, read6, 6);
    assert_int_equal(cdb_blocks(&cdb_defs[CDB_READ_6], cdb), 256);
    const uint8_t capacity[16] = {0x9e, 0x10, [13] = 32};
    assert_int_equal(CDB_BUILD(CDB_READ_CAPACITY_16, cdb, {CDB_F_ALLOC, 32}), 16);
    assert_memory_equal(cdb, capacity, 16);
    assert_int_equal(CDB_BUILD(CDB_READ_6, cdb, {CDB_F_LBA, 0x200000}), 0); /* too wide */
}

/* Every bit of every CDB: a field's, the opcode's, or reserved; the check finds exactly the last kind. */
static void each_reserved_bit_is_found_where_it_is(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CDB_COMMAND_COUNT; i++) {
        const struct cdb_def *def = &cdb_defs[i];
        uint8_t legal[CDB_LEN_MAX] = {0xff};
        for (uint8_t k = 0; k < def->field_count; k++) {
            uint8_t mine[CDB_LEN_MAX] = {0};
            scsi_field_put(mine, &def->fields[k].place, UINT64_MAX);
            for (unsigned b = 0; b < CDB_LEN_MAX; b++)
                legal[b] |= mine[b];
        }
        for (unsigned at = 0; at < def->len * 8u; at++) {
            uint8_t cdb[CDB_LEN_MAX] = {0}, mask = (uint8_t)(0x80 >> at % 8);
            uint16_t byte;
            uint8_t bit;
            cdb[at / 8] = mask;
            bool reserved = cdb_reserved_bit(def, cdb, &byte, &bit);
            assert_int_equal(reserved, !(legal[at / 8] & mask));
            if (reserved)
                assert_true(byte == at / 8 && bit == 7 - at % 8);
        }
    }
}

static void a_variable_length_cdb(void **state)
{
    (void)state;
    uint8_t cdb[CDB_LEN_MAX], usage[CDB_LEN_MAX];
    const uint8_t image[32] = {0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, 7, 0x0c, 0, 0, 0, 0, 1,
                               0,    0, 0, 2, 0, 0, 0, 0,    0, 0, 0,    0, 0, 0, 1, 4};
    assert_int_equal(CDB_BUILD(CDB_XDWRITEREAD_32, cdb, {CDB_F_LBA, 0x100000002}, {CDB_F_COUNT, 260},
                               {CDB_F_FUA, 1}, {CDB_F_DISABLE_WRITE, 1}),
                     32);
    assert_memory_equal(cdb, image, 32);
    bool known;
    assert_ptr_equal(cdb_find(cdb, 32, &known), &cdb_defs[CDB_XDWRITEREAD_32]);
    assert_null(cdb_find(cdb, 9, &known)); /* cut before the service action */
    assert_true(known);
    const uint8_t map[32] = {0x7f, 4,    0,    0,    0, 0, 0, 0xff, 0, 7, 0xfd, 0, 0xff, 0xff, 0xff, 0xff,
                             0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,    0, 0, 0,    0, 0xff, 0xff, 0xff, 0xff};
    cdb_usage(&cdb_defs[CDB_XDWRITEREAD_32], usage);
    assert_memory_equal(usage, map, 32);
    char text[200];
    cdb_describe(cdb, 32, text, sizeof text);
    assert_string_equal(text, "XDWRITEREAD(32), FUA 1, DISABLE WRITE 1, LOGICAL BLOCK ADDRESS 4294967298, "
                              "NUMBER OF BLOCKS 260");
    cdb[9] = 4;
    cdb_describe(cdb, 32, text, sizeof text);
    assert_string_equal(text, "XDWRITE(32)");
}

static void usage_maps_and_reserved_bits(void **state)
{
    (void)state;
    uint8_t usage[16];
    const uint8_t write_same[16] = {0x93, 0xf9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,    4};
    cdb_usage(&cdb_defs[CDB_WRITE_SAME_16], usage);
    assert_memory_equal(usage, write_same, 16);
    uint16_t byte;
    uint8_t bit;
    uint8_t cdb[16] = {0x28, 0x01};
    assert_true(cdb_reserved_bit(&cdb_defs[CDB_READ_10], cdb, &byte, &bit));
    assert_int_equal(byte, 1);
    assert_int_equal(bit, 0);
    cdb[1] = 0x02; /* FUA_NV: obsolete, harmless */
    cdb[6] = 0x1f; /* group number: a hint */
    cdb[9] = 0xc0; /* vendor specific bits of CONTROL */
    assert_false(cdb_reserved_bit(&cdb_defs[CDB_READ_10], cdb, &byte, &bit));
    assert_string_equal(cdb_opcode_name(0x5f, 1) ? "named" : "", "named");
    char text[200];
    cdb_build_read(16, 8, true, cdb);
    cdb_describe(cdb, 10, text, sizeof text);
    assert_string_equal(text, "READ(10), FUA 1, LOGICAL BLOCK ADDRESS 16, NUMBER OF BLOCKS 8");
}

static void luns_in_all_addressing_methods(void **state)
{
    (void)state;
    uint16_t number;
    bool well_known;
    for (uint32_t n = 0; n <= LUN_NUMBER_MAX; n++) {
        assert_true(lun_decode(lun_encode((uint16_t)n), &number, &well_known));
        assert_int_equal(number, n);
        assert_true(
            lun_decode((uint64_t)(0x4000 | n) << 48, &number, &well_known)); /* flat, also below 256 */
        assert_int_equal(number, n);
        assert_true(lun_decode(UINT64_C(0xd2) << 56 | (uint64_t)n << 32, &number, &well_known));
        assert_int_equal(number, n);
        assert_false(well_known);
    }
    assert_true(lun_decode(LUN_WELL_KNOWN_REPORT, &number, &well_known));
    assert_true(well_known);
    const uint64_t bad[] = {UINT64_C(0x0100) << 48, UINT64_C(0x8000) << 48, UINT64_C(0xc102) << 48, 1,
                            UINT64_C(0x0001000100000000)};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(lun_decode(bad[i], &number, &well_known));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_lie_inside_and_never_overlap),
        cmocka_unit_test(lengths_follow_the_group_of_the_opcode),
        cmocka_unit_test(every_command_is_found_by_its_bytes),
        cmocka_unit_test(every_field_survives_encoding),
        cmocka_unit_test(known_images),
        cmocka_unit_test(each_reserved_bit_is_found_where_it_is),
        cmocka_unit_test(a_variable_length_cdb),
        cmocka_unit_test(usage_maps_and_reserved_bits),
        cmocka_unit_test(luns_in_all_addressing_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
