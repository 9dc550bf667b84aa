/* Goal: every command of the device server does what SPC-4 and SBC-3 say, and refuses what they forbid with
 * exact sense. Method: one reactor over a scripted store; each test sends CDBs built by the codec and looks
 * at data, status and sense. */
#include "tests/unit/test_device_rig.h"

#include "common/scsi/capacity.h"
#include "common/scsi/inquiry.h"
#include "common/scsi/lun.h"
#include "common/scsi/mode.h"
#include "tests/unit/proves.h"

static struct rig rig;
static struct scsi_nexus nexus;
static struct rig_cmd cmd;
static uint8_t buffer[RIG_DISK_MAX], pattern[RIG_DISK_MAX];
static uint8_t cdb[16];

static void open_with(const struct scsi_lu_config *config, uint64_t size)
{
    rig_init(&rig, 1, config, size);
    rig_nexus(&rig, 0, &nexus, "iqn.2026-01.test:i");
    rig_clear_ua(&rig, &nexus);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 512);
}

static int set_up(void **state)
{
    (void)state;
    open_with(NULL, RIG_DISK_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scsi_nexus_close(&nexus);
    rig_fini(&rig);
    return 0;
}

static void reopen(const struct scsi_lu_config *config, uint64_t size)
{
    tear_down(NULL);
    open_with(config, size);
}

static void in(size_t len, uint64_t room)
{
    memset(buffer, 0xee, room);
    rig_do(&rig, &cmd, &nexus, cdb, len, buffer, room, NULL, 0);
}

static void out(size_t len, const uint8_t *data, uint64_t data_len)
{
    rig_do(&rig, &cmd, &nexus, cdb, len, NULL, 0, data, data_len);
}

static const enum cdb_command reads[] = {CDB_READ_6, CDB_READ_10, CDB_READ_12, CDB_READ_16};
static const enum cdb_command writes[] = {CDB_WRITE_6,        CDB_WRITE_10,        CDB_WRITE_12,
                                          CDB_WRITE_16,       CDB_WRITE_VERIFY_10, CDB_WRITE_VERIFY_12,
                                          CDB_WRITE_VERIFY_16};

static void what_is_written_is_read_back_by_every_form(void **state)
{
    (void)state;
    for (size_t w = 0; w < sizeof writes / sizeof writes[0]; w++) {
        size_t len = CDB_BUILD(writes[w], cdb, {CDB_F_LBA, 10 + w}, {CDB_F_COUNT, 100});
        out(len, pattern + w, 100 * 512);
        assert_good(&cmd);
        assert_int_equal(cmd.task.out_len, 100 * 512);
        for (size_t k = 0; k < 4; k++) {
            len = CDB_BUILD(reads[k], cdb, {CDB_F_LBA, 10 + w}, {CDB_F_COUNT, 100});
            in(len, 100 * 512);
            assert_good(&cmd);
            assert_int_equal(cmd.task.in_len, 100 * 512);
            assert_memory_equal(buffer, pattern + w, 100 * 512);
        }
    }
}

static void a_long_read_comes_in_spans_and_in_order(void **state)
{
    (void)state;
    memcpy(rig.fake.disk, pattern, RIG_DISK_MAX);
    in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 2048}), RIG_DISK_MAX);
    assert_good(&cmd);
    assert_memory_equal(buffer, pattern, RIG_DISK_MAX);
    assert_true(rig.fake.requests >= RIG_DISK_MAX / SCSI_SPAN_LEN);
}

static void six_byte_count_of_zero_is_256_blocks(void **state)
{
    (void)state;
    in(CDB_BUILD(CDB_READ_6, cdb, {CDB_F_COUNT, 0}), 256 * 512);
    assert_good(&cmd);
    assert_int_equal(cmd.task.in_len, 256 * 512);
}

static void zero_blocks_move_nothing(void **state)
{
    (void)state;
    in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, 2048}), 512);
    assert_good(&cmd);
    assert_int_equal(cmd.task.in_len, 0);
    in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, 2049}), 512);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    out(CDB_BUILD(CDB_WRITE_16, cdb, {CDB_F_LBA, 0}), pattern, 0);
    assert_good(&cmd);
}

static void beyond_the_end_is_refused(void **state)
{
    (void)state;
    const uint64_t lbas[] = {2048, 2047, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < 4; i++) {
        in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, lbas[i]}, {CDB_F_COUNT, 2}), 1024);
        assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    }
    in(CDB_BUILD(CDB_READ_16, cdb, {CDB_F_LBA, UINT64_MAX}, {CDB_F_COUNT, 1}), 512);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    out(CDB_BUILD(CDB_WRITE_16, cdb, {CDB_F_LBA, UINT64_MAX - 1}, {CDB_F_COUNT, 4}), pattern, 2048);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
}

static void edtl_shorter_than_the_command_limits_the_data(void **state)
{
    (void)state;
    memcpy(rig.fake.disk, pattern, RIG_DISK_MAX);
    in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 4}), 700);
    assert_good(&cmd);
    assert_int_equal(cmd.got, 700);
    assert_int_equal(cmd.task.in_len, 4 * 512);
    assert_memory_equal(buffer, pattern, 700);
    /* Of a write, whole blocks that came are written. */
    memset(rig.fake.disk, 0, 4096);
    out(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 2}), pattern, 512 + 200);
    assert_good(&cmd);
    assert_int_equal(cmd.task.out_len, 1024);
    assert_memory_equal(rig.fake.disk, pattern, 512);
    assert_int_equal(rig.fake.disk[512], 0);
    out(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 2}), pattern, 0);
    assert_good(&cmd);
}

static void data_that_stops_coming_ends_the_command(void **state)
{
    (void)state;
    rig_start(&rig, &cmd, &nexus, 0, cdb, CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 4}), 0, 2048);
    scsi_task_start(&rig.reactors[0], &cmd.task);
    struct scsi_span *span = scsi_span_new(&rig.reactors[0], 512);
    memcpy(span->data.ptr, pattern, 512);
    span->offset = 1024; /* any order */
    scsi_data_out(&rig.reactors[0], &cmd.task, span);
    scsi_data_out_end(&rig.reactors[0], &cmd.task);
    cmd.sent = 2048; /* nothing more from the rig */
    rig_run(&rig);
    assert_true(cmd.over);
    assert_good(&cmd);
    assert_memory_equal(rig.fake.disk + 1024, pattern, 512);
}

static void protection_is_refused_with_a_field_pointer(void **state)
{
    (void)state;
    for (uint64_t p = 1; p < 8; p++) {
        in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 1}, {CDB_F_PROTECT, p}), 512);
        assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        struct scsi_sense s = rig_sense(&cmd);
        bool in_cdb;
        uint16_t byte;
        int bit;
        assert_true(sense_pointer(&s, &in_cdb, &byte, &bit));
        assert_true(in_cdb && byte == 1 && bit == 7);
    }
}

static void naca_and_reserved_bits_are_refused(void **state)
{
    (void)state;
    uint8_t naca[6] = {0, 0, 0, 0, 0, 4};
    rig_do(&rig, &cmd, &nexus, naca, 6, NULL, 0, NULL, 0);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    uint8_t reserved[6] = {0, 0, 0x10};
    rig_do(&rig, &cmd, &nexus, reserved, 6, NULL, 0, NULL, 0);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    uint8_t unknown[16] = {0xc1};
    rig_do(&rig, &cmd, &nexus, unknown, 16, NULL, 0, NULL, 0);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION_CODE);
    uint8_t action[16] = {0x9e, 0x1f};
    rig_do(&rig, &cmd, &nexus, action, 16, NULL, 0, NULL, 0);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    assert_true(cmd.task.sense_len > 0);
    PROVES("R7143-11.4.7-01", "target");
}

static void fua_and_write_through_reach_the_store(void **state)
{
    (void)state;
    out(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 1}), pattern, 512);
    assert_int_equal(rig.fake.fua_writes, 0);
    out(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 1}, {CDB_F_FUA, 1}, {CDB_F_DPO, 1}), pattern, 512);
    assert_int_equal(rig.fake.fua_writes, 1);
    /* WCE off: every write is written through; the change flushes first. */
    uint8_t select[24] = {0, 0, 0, 0, 0x08, 0x12};
    out(CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 24}), select, 24);
    assert_good(&cmd);
    assert_int_equal(rig.fake.flushes, 1);
    out(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 1}), pattern, 512);
    assert_int_equal(rig.fake.fua_writes, 2);
}

static void store_errors_become_exact_sense(void **state)
{
    (void)state;
    const struct {
        int err;
        bool write;
        unsigned key, code;
    } rows[] = {
        {ERR_IO, false, SENSE_MEDIUM_ERROR, ASC_UNRECOVERED_READ_ERROR},
        {ERR_IO, true, SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR},
        {ERR_NOSPACE, true, SENSE_DATA_PROTECT, ASC_SPACE_ALLOCATION_FAILED},
        {ERR_READONLY, true, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED},
        {ERR_UNKNOWN, true, SENSE_HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE},
        {ERR_UNKNOWN, false, SENSE_HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig.fake.fail = rows[i].err;
        rig.fake.fail_at = 1000 * 512;
        if (rows[i].write)
            out(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_LBA, 990}, {CDB_F_COUNT, 100}), pattern, 51200);
        else
            in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 2048}), RIG_DISK_MAX);
        assert_sense(&cmd, rows[i].key, rows[i].code);
        struct scsi_sense s = rig_sense(&cmd);
        assert_true(s.has_information);
        assert_int_equal(s.information, 1000);
        if (!rows[i].write) /* the spans before the failing one were delivered */
            assert_int_equal(cmd.got, 1000u * 512 / SCSI_SPAN_LEN * SCSI_SPAN_LEN);
    }
    rig.fake.fail = ERR_NOMEM;
    in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 2048}), RIG_DISK_MAX);
    assert_int_equal(cmd.task.status, SCSI_STATUS_BUSY);
}

static void large_lbas_need_descriptor_sense(void **state)
{
    (void)state;
    reopen(NULL, UINT64_C(1) << 50);
    in(CDB_BUILD(CDB_READ_CAPACITY_10, cdb, {CDB_F_PMI, 0}), 8);
    assert_int_equal(be32_get(buffer), 0xffffffff);
    in(CDB_BUILD(CDB_READ_CAPACITY_16, cdb, {CDB_F_ALLOC, 32}), 32);
    struct capacity_16 c;
    assert_true(capacity_16_decode(buffer, 32, &c));
    assert_int_equal(c.last_lba, (UINT64_C(1) << 41) - 1);
    rig.fake.fail = ERR_IO;
    rig.fake.fail_at = UINT64_C(1) << 49;
    in(CDB_BUILD(CDB_READ_16, cdb, {CDB_F_LBA, UINT64_C(1) << 40}, {CDB_F_COUNT, 1}), 512);
    struct scsi_sense s = rig_sense(&cmd);
    assert_true(s.descriptor && s.has_information);
    assert_int_equal(s.information, UINT64_C(1) << 40);
}

static void verify_compares(void **state)
{
    (void)state;
    memcpy(rig.fake.disk, pattern, RIG_DISK_MAX);
    static const enum cdb_command forms[] = {CDB_VERIFY_10, CDB_VERIFY_12, CDB_VERIFY_16};
    for (size_t i = 0; i < 3; i++) {
        out(CDB_BUILD(forms[i], cdb, {CDB_F_COUNT, 40}, {CDB_F_BYTCHK, 1}), pattern, 40 * 512);
        assert_good(&cmd);
        memcpy(buffer, pattern, 40 * 512);
        buffer[20001] ^= 1;
        out(CDB_BUILD(forms[i], cdb, {CDB_F_COUNT, 40}, {CDB_F_BYTCHK, 1}), buffer, 40 * 512);
        assert_sense(&cmd, SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY);
        assert_int_equal(rig_sense(&cmd).information, 20001);
        out(CDB_BUILD(forms[i], cdb, {CDB_F_COUNT, 2000}), NULL, 0); /* BYTCHK 0: the medium alone */
        assert_good(&cmd);
        out(CDB_BUILD(forms[i], cdb, {CDB_F_COUNT, 1}, {CDB_F_BYTCHK, 2}), NULL, 0);
        assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    }
    memset(rig.fake.disk, 0x5a, RIG_DISK_MAX);
    memset(buffer, 0x5a, 512);
    out(CDB_BUILD(CDB_VERIFY_10, cdb, {CDB_F_COUNT, 2048}, {CDB_F_BYTCHK, 3}), buffer, 512);
    assert_good(&cmd);
    rig.fake.disk[700 * 512 + 17] = 0;
    out(CDB_BUILD(CDB_VERIFY_10, cdb, {CDB_F_COUNT, 2048}, {CDB_F_BYTCHK, 3}), buffer, 512);
    assert_sense(&cmd, SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY);
    assert_int_equal(rig_sense(&cmd).information, 17);
    rig.fake.fail = ERR_IO;
    rig.fake.fail_at = 99 * 512;
    out(CDB_BUILD(CDB_VERIFY_16, cdb, {CDB_F_COUNT, 2048}), NULL, 0);
    assert_sense(&cmd, SENSE_MEDIUM_ERROR, ASC_UNRECOVERED_READ_ERROR);
}

static void write_same_repeats_one_block(void **state)
{
    (void)state;
    out(CDB_BUILD(CDB_WRITE_SAME_10, cdb, {CDB_F_LBA, 3}, {CDB_F_COUNT, 1500}), pattern, 512);
    assert_good(&cmd);
    for (unsigned i = 3; i < 1503; i++)
        assert_memory_equal(rig.fake.disk + i * 512, pattern, 512);
    assert_int_equal(rig.fake.disk[1503 * 512 + 1], 0);
    memset(buffer, 0, 512);
    out(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_LBA, 4}, {CDB_F_COUNT, 10}), buffer, 512);
    assert_good(&cmd);
    assert_int_equal(rig.fake.zeros, 1);
    out(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_LBA, 4}, {CDB_F_COUNT, 10}, {CDB_F_UNMAP, 1}), buffer, 512);
    assert_int_equal(rig.fake.discards, 1);
    out(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_LBA, 4}, {CDB_F_COUNT, 10}, {CDB_F_NDOB, 1}), NULL, 0);
    assert_good(&cmd);
    assert_int_equal(rig.fake.zeros, 2);
    /* UNMAP=1 with other data must not lose the data. */
    out(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_LBA, 4}, {CDB_F_COUNT, 10}, {CDB_F_UNMAP, 1}), pattern, 512);
    assert_memory_equal(rig.fake.disk + 13 * 512, pattern, 512);
}

static void write_same_refuses_what_the_limits_page_forbids(void **state)
{
    (void)state;
    const struct cdb_value bad[][2] = {{{CDB_F_COUNT, 1}, {CDB_F_ANCHOR, 1}},
                                       {{CDB_F_COUNT, 1}, {CDB_F_PROTECT, 1}}};
    for (size_t i = 0; i < 2; i++) {
        out(cdb_build(CDB_WRITE_SAME_10, bad[i], 2, cdb), pattern, 512);
        assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    }
    out(CDB_BUILD(CDB_WRITE_SAME_10, cdb, {CDB_F_COUNT, 1}), pattern, 256);
    assert_int_equal(cmd.task.status, SCSI_STATUS_CHECK_CONDITION);
    out(CDB_BUILD(CDB_WRITE_SAME_10, cdb, {CDB_F_COUNT, 1}), pattern, 1024);
    assert_int_equal(cmd.task.status, SCSI_STATUS_CHECK_CONDITION);
    reopen(NULL, UINT64_C(1) << 40);
    in(CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_EVPD, 1}, {CDB_F_PAGE_CODE, VPD_BLOCK_LIMITS}, {CDB_F_ALLOC, 255}),
       255);
    struct vpd_block_limits limits;
    assert_true(vpd_page_decode(vpd_page_find(VPD_BLOCK_LIMITS), buffer, cmd.got, &limits));
    assert_int_equal(limits.wsnz, 1);
    out(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_COUNT, 0}), pattern, 512);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    out(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_COUNT, limits.max_write_same}, {CDB_F_UNMAP, 1}),
        buffer + 100, 512);
    assert_good(&cmd);
    out(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_COUNT, limits.max_write_same + 1}), pattern, 512);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

static size_t unmap_list(uint8_t *list, const uint64_t (*ranges)[2], size_t count)
{
    memset(list, 0, 8);
    be16_put(list, (uint16_t)(6 + 16 * count));
    be16_put(list + 2, (uint16_t)(16 * count));
    for (size_t i = 0; i < count; i++) {
        memset(list + 8 + 16 * i, 0, 16);
        be64_put(list + 8 + 16 * i, ranges[i][0]);
        be32_put(list + 16 + 16 * i, (uint32_t)ranges[i][1]);
    }
    return 8 + 16 * count;
}

static void unmap_with(const uint64_t (*ranges)[2], size_t count)
{
    static uint8_t list[8 + 300 * 16];
    size_t len = unmap_list(list, ranges, count);
    out(CDB_BUILD(CDB_UNMAP, cdb, {CDB_F_PARAM_LEN, len}), list, len);
}

static void unmap_discards_all_or_nothing(void **state)
{
    (void)state;
    memcpy(rig.fake.disk, pattern, RIG_DISK_MAX);
    const uint64_t two[2][2] = {{1, 2}, {10, 1}}, bad[2][2] = {{20, 1}, {2047, 2}},
                   empty[2][2] = {{5, 0}, {6, 0}};
    unmap_with(two, 2);
    assert_good(&cmd);
    for (unsigned i = 0; i < 1024; i++)
        assert_int_equal(rig.fake.disk[512 + i], 0);
    assert_memory_equal(rig.fake.disk + 3 * 512, pattern + 3 * 512, 512);
    unsigned before = rig.fake.discards;
    unmap_with(bad, 2);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    unmap_with(empty, 2);
    assert_good(&cmd);
    unmap_with(empty, 0);
    assert_good(&cmd);
    out(CDB_BUILD(CDB_UNMAP, cdb, {CDB_F_PARAM_LEN, 0}), NULL, 0);
    assert_good(&cmd);
    assert_int_equal(rig.fake.discards, before);
    static uint64_t many[257][2];
    unmap_with((const uint64_t(*)[2])many, 257);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    out(CDB_BUILD(CDB_UNMAP, cdb, {CDB_F_PARAM_LEN, 4}), pattern, 4);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
}

static void a_store_without_discard_has_no_unmap(void **state)
{
    (void)state;
    rig.fake.store.info.can_discard = false;
    const uint64_t one[1][2] = {{1, 2}};
    unmap_with(one, 1);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION_CODE);
    out(CDB_BUILD(CDB_WRITE_SAME_10, cdb, {CDB_F_COUNT, 1}, {CDB_F_UNMAP, 1}), pattern, 512);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    in(CDB_BUILD(CDB_REPORT_OPCODES, cdb, {CDB_F_REPORTING_OPTIONS, 1}, {CDB_F_REQUESTED_OPCODE, 0x42},
                 {CDB_F_ALLOC, 255}),
       255);
    assert_int_equal(buffer[1] & 7, 1);
}

static void inquiry_describes_the_disk(void **state)
{
    (void)state;
    struct inquiry_standard s;
    in(CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, 255}), 255);
    assert_good(&cmd);
    assert_true(inquiry_standard_decode(buffer, cmd.got, &s));
    assert_int_equal(cmd.got, 74);
    assert_int_equal(s.version, 6);
    assert_int_equal(s.response_data_format, 2);
    assert_string_equal(s.vendor, "LUNETTE");
    assert_string_equal(s.product, "TEST");
    in(CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, 36}), 64);
    assert_int_equal(cmd.task.in_len, 36); /* residual 28 is the transport's sum */
    in(CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_PAGE_CODE, 1}, {CDB_F_ALLOC, 36}), 64);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    /* Every page that is listed answers as itself; a page that is not listed is refused. */
    uint8_t pages[16];
    in(CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_EVPD, 1}, {CDB_F_ALLOC, 255}), 255);
    uint8_t count = buffer[3];
    assert_int_equal(count, 7);
    memcpy(pages, buffer + 4, count);
    for (uint8_t i = 0; i < count; i++) {
        in(CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_EVPD, 1}, {CDB_F_PAGE_CODE, pages[i]}, {CDB_F_ALLOC, 1024}),
           1024);
        assert_good(&cmd);
        assert_int_equal(buffer[1], pages[i]);
        assert_int_equal(cmd.got, 4 + be16_get(buffer + 2));
        assert_true(i == 0 || pages[i] > pages[i - 1]);
    }
    in(CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_EVPD, 1}, {CDB_F_PAGE_CODE, 0x89}, {CDB_F_ALLOC, 1024}), 1024);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    PROVES("R7143-11.4.5.3-01", "target");
}

static void send_to(uint64_t lun, size_t len, uint64_t room)
{
    rig_start(&rig, &cmd, &nexus, 0, cdb, len, room, 0);
    cmd.task.lun = lun;
    cmd.in = buffer;
    scsi_task_start(&rig.reactors[0], &cmd.task);
    rig_run(&rig);
    assert_true(cmd.over);
}

static void absent_luns_answer_what_they_must(void **state)
{
    (void)state;
    static const uint64_t absent[] = {UINT64_C(5) << 48, UINT64_C(0x4123) << 48, UINT64_C(0x0100) << 48,
                                      UINT64_C(0x8000) << 48};
    for (size_t i = 0; i < 4; i++) {
        send_to(absent[i], CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, 96}), 96);
        assert_good(&cmd);
        assert_int_equal(buffer[0], 0x7f);
        send_to(absent[i], CDB_BUILD(CDB_TEST_UNIT_READY, cdb, {CDB_F_CONTROL, 0}), 0);
        assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
        send_to(absent[i], CDB_BUILD(CDB_REQUEST_SENSE, cdb, {CDB_F_ALLOC, 96}), 96);
        assert_good(&cmd);
        assert_int_equal(buffer[12], 0x25);
        send_to(absent[i], CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_ALLOC, 96}), 96);
        assert_good(&cmd);
        assert_int_equal(lun_list_count(buffer, cmd.got), 2);
    }
    rig.map = (struct scsi_lun_map){.count = 1, .luns = &rig.lun[1]};
    scsi_nexus_set_map(&nexus, &rig.map);
    send_to(0, CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, 96}), 96);
    assert_int_equal(buffer[0], 0x20); /* LUN 0: could be there, is not */
    assert_memory_equal(buffer + 8, "LUNETTE ", 8);
}

static void report_luns_selects(void **state)
{
    (void)state;
    const struct {
        uint8_t select;
        uint32_t count;
    } rows[] = {{0, 2}, {1, 1}, {2, 3}, {0x10, 0}, {0x11, 2}, {0x12, 0}};
    for (size_t i = 0; i < 6; i++) {
        in(CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_SELECT_REPORT, rows[i].select}, {CDB_F_ALLOC, 256}), 256);
        assert_good(&cmd);
        assert_int_equal(lun_list_count(buffer, cmd.got), rows[i].count);
    }
    in(CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_SELECT_REPORT, 3}, {CDB_F_ALLOC, 256}), 256);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    in(CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_ALLOC, 16}), 64);
    assert_int_equal(cmd.task.in_len, 16);
    assert_int_equal(be32_get(buffer), 16); /* the list's length is not cut */
    assert_int_equal(lun_list_get(buffer, 0), 0);
    send_to(LUN_WELL_KNOWN_REPORT, CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_ALLOC, 64}), 64);
    assert_good(&cmd);
    assert_int_equal(lun_list_get(buffer, 1), UINT64_C(0x412c) << 48);
}

static void mode_pages_read_and_change(void **state)
{
    (void)state;
    in(CDB_BUILD(CDB_MODE_SENSE_6, cdb, {CDB_F_PAGE_CODE, 0x3f}, {CDB_F_ALLOC, 255}), 255);
    assert_good(&cmd);
    assert_int_equal(buffer[0] + 1, cmd.got);
    assert_int_equal(buffer[3], 8);
    size_t at = 12, pages = 0;
    struct mode_page_view v;
    while (mode_page_next(buffer, cmd.got, &at, &v))
        pages++;
    assert_int_equal(at, cmd.got);
    assert_int_equal(pages, 4);
    in(CDB_BUILD(CDB_MODE_SENSE_10, cdb, {CDB_F_PAGE_CODE, 8}, {CDB_F_DBD, 1}, {CDB_F_PC, 1},
                 {CDB_F_ALLOC, 255}),
       255);
    assert_int_equal(buffer[8 + 2], 4); /* WCE can be changed, nothing else of the page */
    in(CDB_BUILD(CDB_MODE_SENSE_6, cdb, {CDB_F_PAGE_CODE, 8}, {CDB_F_PC, 3}, {CDB_F_ALLOC, 255}), 255);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
    in(CDB_BUILD(CDB_MODE_SENSE_6, cdb, {CDB_F_PAGE_CODE, 3}, {CDB_F_ALLOC, 255}), 255);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    /* Read the control page, set SWP and D_SENSE, send it back. */
    in(CDB_BUILD(CDB_MODE_SENSE_10, cdb, {CDB_F_PAGE_CODE, 0x0a}, {CDB_F_ALLOC, 255}), 255);
    uint8_t select[28];
    memcpy(select, buffer, 28);
    memset(select, 0, 2);
    select[3] = 0;
    select[16 + 2] |= 4;
    select[16 + 4] |= 8;
    out(CDB_BUILD(CDB_MODE_SELECT_10, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 28}), select, 28);
    assert_good(&cmd);
    out(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 1}), pattern, 512);
    assert_sense(&cmd, SENSE_DATA_PROTECT, ASC_SOFTWARE_WRITE_PROTECTED);
    assert_true(rig_sense(&cmd).descriptor);
    in(CDB_BUILD(CDB_MODE_SENSE_6, cdb, {CDB_F_PAGE_CODE, 0x3f}, {CDB_F_ALLOC, 255}), 255);
    assert_true(buffer[2] & 0x80);
    select[16 + 5] ^= 0x40; /* TAS is not changeable */
    out(CDB_BUILD(CDB_MODE_SELECT_10, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 28}), select, 28);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    out(CDB_BUILD(CDB_MODE_SELECT_10, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 20}), select, 20);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
}

static void get_lba_status_calls_every_block_mapped(void **state)
{
    (void)state;
    reopen(NULL, UINT64_C(1) << 42);
    in(CDB_BUILD(CDB_GET_LBA_STATUS, cdb, {CDB_F_LBA, 7}, {CDB_F_ALLOC, 64}), 64);
    assert_good(&cmd);
    assert_int_equal(cmd.got, 24);
    assert_int_equal(be32_get(buffer), 20);
    assert_int_equal(be64_get(buffer + 8), 7);
    assert_int_equal(be32_get(buffer + 16), UINT32_MAX); /* more blocks than one descriptor can say */
    assert_int_equal(buffer[20], 0);
    in(CDB_BUILD(CDB_GET_LBA_STATUS, cdb, {CDB_F_LBA, (UINT64_C(1) << 33) - 1}, {CDB_F_ALLOC, 64}), 64);
    assert_int_equal(be32_get(buffer + 16), 1);
    in(CDB_BUILD(CDB_GET_LBA_STATUS, cdb, {CDB_F_LBA, UINT64_C(1) << 33}, {CDB_F_ALLOC, 64}), 64);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
}

static void read_only_luns_refuse_every_write(void **state)
{
    (void)state;
    static const enum cdb_command forms[] = {CDB_WRITE_6,  CDB_WRITE_10,        CDB_WRITE_12,
                                             CDB_WRITE_16, CDB_WRITE_SAME_10,   CDB_WRITE_SAME_16,
                                             CDB_UNMAP,    CDB_WRITE_VERIFY_10, CDB_WRITE_VERIFY_16};
    send_to(scsi_lun_encode(300), CDB_BUILD(CDB_TEST_UNIT_READY, cdb, {CDB_F_CONTROL, 0}), 0);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        send_to(scsi_lun_encode(300), cdb_build(forms[i], NULL, 0, cdb), 0);
        assert_sense(&cmd, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    }
    send_to(scsi_lun_encode(300), CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 1}), 512);
    assert_good(&cmd);
    send_to(scsi_lun_encode(300),
            CDB_BUILD(CDB_MODE_SENSE_6, cdb, {CDB_F_PAGE_CODE, 0x3f}, {CDB_F_ALLOC, 255}), 255);
    assert_true(buffer[2] & 0x80);
}

static void start_stop(unsigned loej, unsigned start)
{
    out(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_LOEJ, loej}, {CDB_F_START, start}), NULL, 0);
}

static void tur(void)
{
    out(CDB_BUILD(CDB_TEST_UNIT_READY, cdb, {CDB_F_CONTROL, 0}), NULL, 0);
}

static void a_removable_medium_ejects_loads_and_can_be_held(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    config.removable = true;
    reopen(&config, RIG_DISK_MAX);
    start_stop(0, 0);
    assert_good(&cmd);
    tur();
    assert_good(&cmd);
    start_stop(1, 0);
    assert_good(&cmd);
    tur();
    assert_sense(&cmd, SENSE_NOT_READY, ASC_MEDIUM_NOT_PRESENT);
    in(CDB_BUILD(CDB_READ_CAPACITY_16, cdb, {CDB_F_ALLOC, 32}), 32);
    assert_sense(&cmd, SENSE_NOT_READY, ASC_MEDIUM_NOT_PRESENT);
    start_stop(1, 1);
    assert_good(&cmd);
    tur();
    assert_good(&cmd);
    out(CDB_BUILD(CDB_PREVENT_ALLOW, cdb, {CDB_F_PREVENT, 1}), NULL, 0);
    start_stop(1, 0);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_MEDIUM_REMOVAL_PREVENTED);
    tur();
    assert_good(&cmd);
    /* The nexus goes, and with it its prevention. */
    scsi_nexus_close(&nexus);
    rig_nexus(&rig, 0, &nexus, "iqn.2026-01.test:i");
    tur();
    assert_sense(&cmd, SENSE_UNIT_ATTENTION, ASC_POWER_ON_RESET);
    start_stop(1, 0);
    assert_good(&cmd);
    for (uint64_t pc = 1; pc < 16; pc++) {
        out(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_POWER_CONDITION, pc}, {CDB_F_LOEJ, 1}), NULL, 0);
        assert_good(&cmd);
    }
}

static void a_fixed_disk_stops_and_starts(void **state)
{
    (void)state;
    start_stop(0, 0);
    assert_good(&cmd);
    assert_int_equal(rig.fake.flushes, 1);
    tur();
    assert_sense(&cmd, SENSE_NOT_READY, ASC_LU_NOT_READY_INITIALIZING_COMMAND_REQUIRED);
    in(CDB_BUILD(CDB_REQUEST_SENSE, cdb, {CDB_F_ALLOC, 252}), 252);
    assert_int_equal(buffer[2], SENSE_NOT_READY);
    start_stop(0, 1);
    tur();
    assert_good(&cmd);
    start_stop(1, 0);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

static void supported_opcodes_match_what_is_executed(void **state)
{
    (void)state;
    in(CDB_BUILD(CDB_REPORT_OPCODES, cdb, {CDB_F_ALLOC, 4096}), 4096);
    assert_good(&cmd);
    uint32_t len = be32_get(buffer);
    assert_int_equal(len + 4, cmd.got);
    assert_int_equal(len / 8, CDB_COMMAND_COUNT);
    uint8_t all[4096];
    memcpy(all, buffer, len + 4);
    for (uint32_t at = 4; at < len + 4; at += 8) {
        bool action = all[at + 5] & 1;
        in(CDB_BUILD(CDB_REPORT_OPCODES, cdb, {CDB_F_REPORTING_OPTIONS, action ? 2 : 1}, {CDB_F_RCTD, 1},
                     {CDB_F_REQUESTED_OPCODE, all[at]}, {CDB_F_REQUESTED_SA, be16_get(all + at + 2)},
                     {CDB_F_ALLOC, 512}),
           512);
        assert_good(&cmd);
        assert_int_equal(buffer[1], 0x83);
        assert_int_equal(be16_get(buffer + 2), be16_get(all + at + 6));
        assert_int_equal(buffer[4], all[at]);
        assert_int_equal(cmd.got, 4u + be16_get(buffer + 2) + 12);
    }
    in(CDB_BUILD(CDB_REPORT_OPCODES, cdb, {CDB_F_REPORTING_OPTIONS, 1}, {CDB_F_REQUESTED_OPCODE, 0xa3},
                 {CDB_F_ALLOC, 512}),
       512);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    in(CDB_BUILD(CDB_REPORT_OPCODES, cdb, {CDB_F_REPORTING_OPTIONS, 2}, {CDB_F_REQUESTED_OPCODE, 0x28},
                 {CDB_F_ALLOC, 512}),
       512);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    in(CDB_BUILD(CDB_REPORT_OPCODES, cdb, {CDB_F_REPORTING_OPTIONS, 3}, {CDB_F_REQUESTED_OPCODE, 0xa3},
                 {CDB_F_REQUESTED_SA, 12}, {CDB_F_ALLOC, 512}),
       512);
    assert_int_equal(buffer[1], 3);
    in(CDB_BUILD(CDB_REPORT_TMFS, cdb, {CDB_F_ALLOC, 16}), 16);
    assert_int_equal(cmd.got, 4);
    assert_int_equal(buffer[0], 0xda);
    assert_int_equal(buffer[1], 0);
    nexus.protocol_level = 2; /* RFC 7144's functions exist there */
    in(CDB_BUILD(CDB_REPORT_TMFS, cdb, {CDB_F_ALLOC, 16}), 16);
    assert_int_equal(buffer[0], 0xde);
    assert_int_equal(buffer[1], 0x07);
}

static void request_sense_returns_and_clears_a_unit_attention(void **state)
{
    (void)state;
    scsi_nexus_close(&nexus);
    rig_nexus(&rig, 0, &nexus, "iqn.2026-01.test:new");
    in(CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, 96}), 96); /* neither waits for it nor clears it */
    assert_good(&cmd);
    in(CDB_BUILD(CDB_REQUEST_SENSE, cdb, {CDB_F_ALLOC, 252}, {CDB_F_DESC, 1}), 252);
    assert_good(&cmd);
    struct scsi_sense s;
    assert_true(sense_parse(buffer, cmd.got, &s));
    assert_true(s.descriptor);
    assert_int_equal(s.key, SENSE_UNIT_ATTENTION);
    assert_int_equal(s.asc << 8 | s.ascq, ASC_POWER_ON_RESET);
    tur();
    assert_good(&cmd);
}

static void changed_luns_are_told_and_report_luns_clears_it(void **state)
{
    (void)state;
    struct scsi_lun_map smaller = {.count = 1, .luns = rig.lun};
    scsi_nexus_set_map(&nexus, &smaller);
    tur();
    assert_sense(&cmd, SENSE_UNIT_ATTENTION, ASC_LUNS_CHANGED);
    scsi_nexus_set_map(&nexus, &rig.map);
    in(CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_ALLOC, 96}), 96);
    assert_good(&cmd);
    tur();
    assert_good(&cmd);
}

static void resize_tells_everybody(void **state)
{
    (void)state;
    struct scsi_tmf done = {0};
    rig.fake.store.info.size = 2 * RIG_DISK_MAX;
    scsi_lu_resized(&rig.reactors[0], rig.lu, &done);
    rig_run(&rig);
    assert_ptr_equal(scsi_next_tmf(&rig.reactors[0]), &done);
    tur();
    assert_sense(&cmd, SENSE_UNIT_ATTENTION, ASC_CAPACITY_CHANGED);
    in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, 4000}, {CDB_F_COUNT, 1}), 512);
    assert_good(&cmd);
}

static void synchronize_cache_flushes(void **state)
{
    (void)state;
    out(CDB_BUILD(CDB_SYNC_CACHE_10, cdb, {CDB_F_IMMED, 1}), NULL, 0);
    assert_good(&cmd);
    out(CDB_BUILD(CDB_SYNC_CACHE_16, cdb, {CDB_F_LBA, 4}, {CDB_F_COUNT, 10}), NULL, 0);
    assert_good(&cmd);
    assert_int_equal(rig.fake.flushes, 2);
    out(CDB_BUILD(CDB_SYNC_CACHE_16, cdb, {CDB_F_LBA, 4000}, {CDB_F_COUNT, 10}), NULL, 0);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    rig.fake.fail = ERR_IO;
    out(CDB_BUILD(CDB_SYNC_CACHE_10, cdb, {CDB_F_IMMED, 0}), NULL, 0);
    assert_sense(&cmd, SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
}

static void blocks_of_4096_work(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    config.block_size = 4096;
    reopen(&config, RIG_DISK_MAX);
    out(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_LBA, 255}, {CDB_F_COUNT, 1}), pattern, 4096);
    assert_good(&cmd);
    assert_memory_equal(rig.fake.disk + 255 * 4096, pattern, 4096);
    in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, 256}, {CDB_F_COUNT, 1}), 4096);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
}

static void the_data_path_allocates_nothing_in_the_steady_state(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        unsigned calls = rig.heap.calls;
        out(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_LBA, 8}, {CDB_F_COUNT, 8}), pattern, 4096);
        in(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, 8}, {CDB_F_COUNT, 8}), 4096);
        if (round > 2)
            assert_int_equal(rig.heap.calls, calls);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_written_is_read_back_by_every_form),
        T(a_long_read_comes_in_spans_and_in_order),
        T(six_byte_count_of_zero_is_256_blocks),
        T(zero_blocks_move_nothing),
        T(beyond_the_end_is_refused),
        T(edtl_shorter_than_the_command_limits_the_data),
        T(data_that_stops_coming_ends_the_command),
        T(protection_is_refused_with_a_field_pointer),
        T(naca_and_reserved_bits_are_refused),
        T(fua_and_write_through_reach_the_store),
        T(store_errors_become_exact_sense),
        T(large_lbas_need_descriptor_sense),
        T(verify_compares),
        T(get_lba_status_calls_every_block_mapped),
        T(write_same_repeats_one_block),
        T(write_same_refuses_what_the_limits_page_forbids),
        T(unmap_discards_all_or_nothing),
        T(a_store_without_discard_has_no_unmap),
        T(inquiry_describes_the_disk),
        T(absent_luns_answer_what_they_must),
        T(report_luns_selects),
        T(mode_pages_read_and_change),
        T(read_only_luns_refuse_every_write),
        T(a_removable_medium_ejects_loads_and_can_be_held),
        T(a_fixed_disk_stops_and_starts),
        T(supported_opcodes_match_what_is_executed),
        T(request_sense_returns_and_clears_a_unit_attention),
        T(changed_luns_are_told_and_report_luns_clears_it),
        T(resize_tells_everybody),
        T(synchronize_cache_flushes),
        T(blocks_of_4096_work),
        T(the_data_path_allocates_nothing_in_the_steady_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
