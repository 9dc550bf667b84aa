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
        assert_int_equal(taken[def->len - 1], 0xff); /* CONTROL ends every CDB */
    }
}

static void lengths_follow_the_group_of_the_opcode(void **state)
{
    (void)state;
    static const uint8_t group_len[8] = {6, 10, 10, 0, 16, 12, 0, 0};
    for (unsigned i = 0; i < CDB_COMMAND_COUNT; i++)
        assert_int_equal(cdb_defs[i].len, group_len[cdb_defs[i].opcode >> 5]);
}

static void every_command_is_found_by_its_bytes(void **state)
{
    (void)state;
    unsigned known = 0;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        for (unsigned action = 0; action < 32; action++) {
            uint8_t cdb[16] = {(uint8_t)opcode, (uint8_t)action};
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
                uint8_t ones[16], zeros[16] = {0};
                memset(ones, 0xff, sizeof ones);
                assert_true(cdb_set(def, ones, f->id, values[v]));
                assert_true(cdb_set(def, zeros, f->id, values[v]));
                assert_int_equal(cdb_get(def, ones, f->id), values[v]);
                assert_int_equal(cdb_get(def, zeros, f->id), values[v]);
            }
            uint8_t cdb[16] = {0};
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
        cmocka_unit_test(usage_maps_and_reserved_bits),
        cmocka_unit_test(luns_in_all_addressing_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
