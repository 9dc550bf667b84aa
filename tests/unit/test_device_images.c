/* Goal: every reply of the device server is right to the last bit, and every refusal points at the field that
 * is wrong. Method: byte images of all replies of one LU whose properties all differ from their defaults,
 * written down from SPC-4 and SBC-3; field pointers of each kind of refusal; every reply again with no memory
 * at first. */
#include "tests/unit/test_device_rig.h"

static struct rig rig;
static struct scsi_nexus nexus;
static struct rig_cmd cmd;
static uint8_t buffer[8192], cdb[CDB_LEN_MAX];

static int set_up(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    config.removable = true;
    config.rotational = true;
    config.physical_block_exponent = 3;
    rig_init(&rig, 1, &config, RIG_DISK_MAX);
    rig.fake.store.info.optimal_io = 65536;
    rig.fake.store.info.discard_granularity = 8192;
    rig_nexus(&rig, 0, &nexus, "iqn.2026-01.test:i");
    rig_clear_ua(&rig, &nexus);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scsi_nexus_close(&nexus);
    rig_fini(&rig);
    return 0;
}

/* "80 3c *4 ff": bytes in hex; *N: N zeros. */
static size_t parse(const char *text, uint8_t *out)
{
    size_t at = 0;
    while (*text) {
        char *end;
        if (*text == ' ') {
            text++;
        } else if (*text == '*') {
            size_t zeros = strtoul(text + 1, &end, 10);
            memset(out + at, 0, zeros);
            at += zeros;
            text = end;
        } else {
            out[at++] = (uint8_t)strtoul(text, &end, 16);
            text = end;
        }
    }
    return at;
}

static void begin(uint16_t lun, size_t len, uint64_t room, const uint8_t *out, uint64_t out_len)
{
    memset(buffer, 0xee, sizeof buffer);
    rig_start(&rig, &cmd, &nexus, lun, cdb, len, room, out_len);
    cmd.in = buffer;
    cmd.out = out;
    scsi_task_start(&rig.reactors[0], &cmd.task);
}

/* The reply, whole; cut by the allocation length's room; and with no memory at first. */
static void image(uint16_t lun, size_t len, const char *text)
{
    uint8_t expected[1024];
    size_t want = parse(text, expected);
    begin(lun, len, sizeof buffer, NULL, 0);
    rig_run(&rig);
    assert_good(&cmd);
    assert_int_equal(cmd.got, want);
    assert_int_equal(cmd.task.in_len, want);
    assert_memory_equal(buffer, expected, want);
    begin(lun, len, want - 1, NULL, 0);
    rig_run(&rig);
    assert_good(&cmd);
    assert_int_equal(cmd.got, want - 1);
    assert_memory_equal(buffer, expected, want - 1);

    struct chunk *hog[4096];
    size_t hogs = 0;
    for (uint32_t size = POOL_CLASS_MAX; size >= 64; size /= 2)
        while (hogs < 4096 && (hog[hogs] = pool_get(rig.pools[0], size)) != NULL)
            hogs++;
    begin(lun, len, sizeof buffer, NULL, 0);
    rig_run(&rig);
    assert_false(cmd.over);
    while (hogs)
        chunk_unref(hog[--hogs]);
    rig_run(&rig);
    assert_true(cmd.over);
    assert_good(&cmd);
    assert_int_equal(cmd.got, want);
    assert_memory_equal(buffer, expected, want);
}

static size_t inquiry(int page)
{
    return CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_EVPD, page >= 0},
                     {CDB_F_PAGE_CODE, page < 0 ? 0 : (unsigned)page}, {CDB_F_ALLOC, 4096});
}

#define VENDOR "4c 55 4e 45 54 54 45 20 " /* LUNETTE */

static void inquiry_and_its_pages(void **state)
{
    (void)state;
    image(0, inquiry(-1),
          "00 80 06 12 45 00 10 02 " VENDOR "54 45 53 54 20 20 20 20 20 20 20 20 20 20 20 20 "
          "31 20 20 20 *22 00 a0 09 60 04 60 04 c0 *8");
    image(9, inquiry(-1),
          "7f 00 06 12 45 00 10 02 " VENDOR "56 49 52 54 55 41 4c 2d 44 49 53 4b 20 20 20 20 "
          "31 20 20 20 *22 00 a0 09 60 04 60 00 00 *8");
    image(0, inquiry(0x00), "00 00 00 07 00 80 83 86 b0 b1 b2");
    image(9, inquiry(0x00), "7f 00 00 01 00");
    image(0, inquiry(0x80), "00 80 00 0a 30 31 32 33 34 35 36 37 38 39");
    image(0, inquiry(0x83),
          "00 83 00 6a 01 03 00 10 60 *15 02 01 00 12 " VENDOR "30 31 32 33 34 35 36 37 38 39 "
          "51 94 00 04 00 00 00 01 53 98 00 1c 69 71 6e 2e 32 30 32 36 2d 30 31 2e 74 65 73 74 3a 74 "
          "2c 74 2c 30 78 30 30 30 31 00 53 a8 00 14 69 71 6e 2e 32 30 32 36 2d 30 31 2e 74 65 73 74 "
          "3a 74 00 00");
    image(0, inquiry(0x86), "00 86 00 3c 00 07 01 01 *5 fc *50");
    image(0, inquiry(0xb0),
          "00 b0 00 3c 01 00 00 08 *4 00 00 00 80 *4 00 10 00 00 00 00 01 00 00 00 00 10 80 00 00 00 "
          "*4 00 20 00 00 *20");
    image(0, inquiry(0xb1), "00 b1 00 3c 1c 20 00 00 02 *55");
    image(0, inquiry(0xb2), "00 b2 00 04 00 e4 02 00");
    nexus.protocol_level = 2;
    image(0, inquiry(0x86), "00 86 00 3c 00 0f 01 01 *5 fc *50");
}

/* A store that neither discards nor is thin, on an LU of plain properties. */
static void pages_of_a_plain_store(void **state)
{
    (void)state;
    tear_down(NULL);
    rig_init(&rig, 1, NULL, RIG_DISK_MAX);
    rig.fake.store.info.can_discard = false;
    rig.fake.store.info.thin = false;
    rig_nexus(&rig, 0, &nexus, "iqn.2026-01.test:i");
    rig_clear_ua(&rig, &nexus);
    image(0, inquiry(0xb0), "00 b0 00 3c 01 00 00 01 *28 00 00 00 00 00 20 00 00 *20");
    image(0, inquiry(0xb1), "00 b1 00 3c 00 01 00 00 02 *55");
    image(0, inquiry(0xb2), "00 b2 00 04 00 00 00 00");
    image(0, CDB_BUILD(CDB_READ_CAPACITY_16, cdb, {CDB_F_ALLOC, 255}), "*6 07 ff 00 00 02 00 *20");
    rig.fake.store.info.can_discard = true;
    image(0, inquiry(0xb2), "00 b2 00 04 00 e4 01 00");
}

static size_t sense_6(unsigned pc, unsigned page)
{
    return CDB_BUILD(CDB_MODE_SENSE_6, cdb, {CDB_F_PC, pc}, {CDB_F_PAGE_CODE, page}, {CDB_F_ALLOC, 255});
}

static void mode_pages(void **state)
{
    (void)state;
    static const char all[] =
        "43 00 10 08 00 00 08 00 00 00 02 00 01 0a c0 *9 08 12 04 *17 0a 0a 20 10 00 40 00 00 ff ff "
        "00 00 1c 0a 08 *9";
    image(0, sense_6(0, 0x3f), all);
    image(0, sense_6(2, 0x3f), all);
    image(0, sense_6(1, 0x3f),
          "43 00 10 08 00 00 08 00 00 00 02 00 01 0a *10 08 12 04 *17 0a 0a 04 00 08 *7 1c 0a *10");
    image(0, CDB_BUILD(CDB_MODE_SENSE_10, cdb, {CDB_F_LLBAA, 1}, {CDB_F_PAGE_CODE, 8}, {CDB_F_ALLOC, 255}),
          "00 2a 00 10 01 00 00 10 *6 08 00 *4 00 00 02 00 08 12 04 *17");
    image(0, CDB_BUILD(CDB_MODE_SENSE_10, cdb, {CDB_F_DBD, 1}, {CDB_F_PAGE_CODE, 10}, {CDB_F_ALLOC, 255}),
          "00 12 00 10 *4 0a 0a 20 10 00 40 00 00 ff ff 00 00");
    /* LLBAA without a descriptor announces none. */
    image(0,
          CDB_BUILD(CDB_MODE_SENSE_10, cdb, {CDB_F_DBD, 1}, {CDB_F_LLBAA, 1}, {CDB_F_PAGE_CODE, 10},
                    {CDB_F_ALLOC, 255}),
          "00 12 00 10 *4 0a 0a 20 10 00 40 00 00 ff ff 00 00");
    /* Changed: cache off, descriptor sense, write protection; defaults and changeable values stay. */
    static const uint8_t list[] = {
        0, 0, 0, 0, 0x08, 0x12, [6 + 18] = 0x0a, 0x0a, 0x24, 0x10, 0x08, 0x40, 0, 0, 0xff, 0xff, 0, 0};
    begin(0, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, sizeof list}), 0, list,
          sizeof list);
    rig_run(&rig);
    assert_good(&cmd);
    image(0, sense_6(0, 0x08), "1f 00 90 08 00 00 08 00 00 00 02 00 08 12 *18");
    image(0, sense_6(0, 0x0a), "17 00 90 08 00 00 08 00 00 00 02 00 0a 0a 24 10 08 40 00 00 ff ff 00 00");
    image(0, sense_6(2, 0x0a), "17 00 90 08 00 00 08 00 00 00 02 00 0a 0a 20 10 00 40 00 00 ff ff 00 00");
}

static void lists_and_capacities(void **state)
{
    (void)state;
    static const unsigned select[] = {0, 0x11, 1, 2, 0x10, 0x12};
    static const char *const lists[] = {"00 00 00 10 *4 *8 41 2c *6",
                                        "00 00 00 10 *4 *8 41 2c *6",
                                        "00 00 00 08 *4 c1 01 *6",
                                        "00 00 00 18 *4 *8 41 2c *6 c1 01 *6",
                                        "00 00 00 00 *4",
                                        "00 00 00 00 *4"};
    for (size_t i = 0; i < 6; i++)
        image(0, CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_SELECT_REPORT, select[i]}, {CDB_F_ALLOC, 255}),
              lists[i]);
    image(0, CDB_BUILD(CDB_READ_CAPACITY_10, cdb, {CDB_F_LBA, 0}), "00 00 07 ff 00 00 02 00");
    image(0, CDB_BUILD(CDB_READ_CAPACITY_10, cdb, {CDB_F_LBA, 5}, {CDB_F_PMI, 1}), "00 00 07 ff 00 00 02 00");
    image(0, CDB_BUILD(CDB_READ_CAPACITY_16, cdb, {CDB_F_ALLOC, 255}), "*6 07 ff 00 00 02 00 00 03 c0 *17");
    image(0, CDB_BUILD(CDB_READ_CAPACITY_16, cdb, {CDB_F_LBA, 5}, {CDB_F_PMI, 1}, {CDB_F_ALLOC, 255}),
          "*6 07 ff 00 00 02 00 00 03 c0 *17");
    image(0, CDB_BUILD(CDB_GET_LBA_STATUS, cdb, {CDB_F_LBA, 5}, {CDB_F_ALLOC, 255}),
          "00 00 00 14 *4 *7 05 00 00 07 fb *4");
    image(0, CDB_BUILD(CDB_GET_LBA_STATUS, cdb, {CDB_F_LBA, 2047}, {CDB_F_ALLOC, 255}),
          "00 00 00 14 *4 *6 07 ff 00 00 00 01 *4");
    image(0, CDB_BUILD(CDB_REQUEST_SENSE, cdb, {CDB_F_ALLOC, 255}), "70 *6 0a *10");
    image(0, CDB_BUILD(CDB_REQUEST_SENSE, cdb, {CDB_F_DESC, 1}, {CDB_F_ALLOC, 255}), "72 *7");
    image(9, CDB_BUILD(CDB_REQUEST_SENSE, cdb, {CDB_F_ALLOC, 255}), "70 00 05 *4 0a *4 25 00 *4");
}

static size_t one_opcode(unsigned options, unsigned opcode, unsigned action, bool timeouts)
{
    return CDB_BUILD(CDB_REPORT_OPCODES, cdb, {CDB_F_REPORTING_OPTIONS, options},
                     {CDB_F_REQUESTED_OPCODE, opcode}, {CDB_F_REQUESTED_SA, action}, {CDB_F_RCTD, timeouts},
                     {CDB_F_ALLOC, 4096});
}

static void supported_commands(void **state)
{
    (void)state;
    image(0, one_opcode(1, 0x2a, 0, true), "00 83 00 0a 2a f8 ff ff ff ff 00 ff ff 04 00 0a *10");
    image(0, one_opcode(1, 0x28, 0, false), "00 03 00 0a 28 f8 ff ff ff ff 00 ff ff 04");
    image(0, one_opcode(1, 0xc1, 0, true), "00 01 00 00");
    image(0, one_opcode(2, 0x7f, 7, false),
          "00 03 00 20 7f 04 *5 ff 00 07 fd 00 ff ff ff ff ff ff ff ff *8 ff ff ff ff");
    image(0, one_opcode(2, 0x7f, 8, false), "00 01 00 00");
    image(0, one_opcode(2, 0x7f, 0xffff, false), "00 01 00 00");
    image(0, one_opcode(2, 0x9e, 0x10, false), "00 03 00 10 9e 10 ff ff ff ff ff ff ff ff ff ff ff ff 01 04");
    image(0, one_opcode(2, 0x9e, 0x1f, false), "00 01 00 00");
    image(0, one_opcode(2, 0x9e, 0x30, false), "00 01 00 00"); /* 10h in five bits, but not this one */
    image(0, one_opcode(2, 0xc1, 0, false), "00 01 00 00");
    image(0, one_opcode(3, 0x00, 0, false), "00 03 00 06 00 00 00 00 00 04");
    image(0, one_opcode(3, 0x28, 7, false), "00 01 00 00"); /* no command without actions has one */
    image(0, one_opcode(3, 0x9e, 0x10, false), "00 03 00 10 9e 10 ff ff ff ff ff ff ff ff ff ff ff ff 01 04");
    image(0, CDB_BUILD(CDB_REPORT_TMFS, cdb, {CDB_F_REPD, 1}, {CDB_F_ALLOC, 255}), "da 00 00 0c *12");
    image(0, CDB_BUILD(CDB_REPORT_TMFS, cdb, {CDB_F_ALLOC, 255}), "da 00 00 00");
    /* The whole list, with and without time-outs, row by row. */
    for (unsigned timeouts = 0; timeouts < 2; timeouts++) {
        uint8_t expected[8192] = {0};
        size_t at = 4;
        for (unsigned i = 0; i < CDB_COMMAND_COUNT; i++) {
            const struct cdb_def *def = &cdb_defs[i];
            expected[at] = def->opcode;
            be16_put(expected + at + 2, def->service_action < 0 ? 0 : (uint16_t)def->service_action);
            expected[at + 5] = (uint8_t)(2 * timeouts + (def->service_action >= 0));
            expected[at + 7] = def->len;
            if (timeouts)
                expected[at + 9] = 10;
            at += timeouts ? 20 : 8;
        }
        be32_put(expected, (uint32_t)at - 4);
        begin(0, one_opcode(0, 0, 0, timeouts), sizeof buffer, NULL, 0);
        rig_run(&rig);
        assert_good(&cmd);
        assert_int_equal(cmd.got, at);
        assert_memory_equal(buffer, expected, at);
    }
}

/* CHECK CONDITION 05/24 or 05/26 with a pointer to byte and bit; bit -1: the byte alone. */
static void refused(size_t len, const uint8_t *out, uint64_t out_len, bool in_cdb, uint16_t byte, int bit)
{
    begin(0, len, out ? 0 : sizeof buffer, out, out_len);
    rig_run(&rig);
    assert_true(cmd.over);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST,
                 in_cdb ? ASC_INVALID_FIELD_IN_CDB : ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    struct scsi_sense s = rig_sense(&cmd);
    bool where;
    uint16_t at;
    int its_bit;
    assert_true(sense_pointer(&s, &where, &at, &its_bit));
    assert_int_equal(where, in_cdb);
    assert_int_equal(at, byte);
    assert_int_equal(its_bit, bit);
}

static void wrong_cdb_fields_are_pointed_at(void **state)
{
    (void)state;
    refused(inquiry(0x99), NULL, 0, true, 2, 7);
    refused(CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_PAGE_CODE, 1}, {CDB_F_ALLOC, 96}), NULL, 0, true, 2, 7);
    refused(sense_6(0, 0x05), NULL, 0, true, 2, 5);
    refused(CDB_BUILD(CDB_MODE_SENSE_6, cdb, {CDB_F_PAGE_CODE, 8}, {CDB_F_SUBPAGE, 1}, {CDB_F_ALLOC, 255}),
            NULL, 0, true, 3, 7);
    refused(CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_SELECT_REPORT, 3}, {CDB_F_ALLOC, 255}), NULL, 0, true, 2,
            7);
    refused(CDB_BUILD(CDB_READ_CAPACITY_10, cdb, {CDB_F_LBA, 1}), NULL, 0, true, 2, 7);
    refused(CDB_BUILD(CDB_READ_CAPACITY_16, cdb, {CDB_F_LBA, 1}, {CDB_F_ALLOC, 32}), NULL, 0, true, 2, 7);
    for (unsigned options = 4; options < 8; options++)
        refused(one_opcode(options, 0, 0, false), NULL, 0, true, 2, 2);
    refused(one_opcode(1, 0x9e, 0, false), NULL, 0, true, 2, 2);
    refused(one_opcode(1, 0x7f, 0, false), NULL, 0, true, 2, 2);
    refused(one_opcode(2, 0x28, 0, false), NULL, 0, true, 2, 2);
    for (unsigned prevent = 2; prevent < 4; prevent++)
        refused(CDB_BUILD(CDB_PREVENT_ALLOW, cdb, {CDB_F_PREVENT, prevent}), NULL, 0, true, 4, 1);
    refused(CDB_BUILD(CDB_VERIFY_10, cdb, {CDB_F_BYTCHK, 2}), NULL, 0, true, 1, 2);
    for (unsigned check = 2; check < 4; check++)
        refused(CDB_BUILD(CDB_WRITE_VERIFY_10, cdb, {CDB_F_BYTCHK, check}), NULL, 0, true, 1, 2);
    refused(CDB_BUILD(CDB_WRITE_SAME_10, cdb, {CDB_F_ANCHOR, 1}, {CDB_F_COUNT, 1}), NULL, 0, true, 1, 4);
    refused(CDB_BUILD(CDB_WRITE_SAME_10, cdb, {CDB_F_COUNT, 0}), NULL, 0, true, 7, 7);
    refused(CDB_BUILD(CDB_UNMAP, cdb, {CDB_F_ANCHOR, 1}), NULL, 0, true, 1, 0);
    refused(CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_SP, 1}), NULL, 0, true, 1, 0);
    refused(CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 0}), NULL, 0, true, 1, 4);
}

static void unmap_list(size_t count, const uint64_t lba[], const uint32_t blocks[], uint8_t *out)
{
    be16_put(out, (uint16_t)(6 + 16 * count));
    be16_put(out + 2, (uint16_t)(16 * count));
    for (size_t i = 0; i < count; i++) {
        be64_put(out + 8 + 16 * i, lba[i]);
        be32_put(out + 16 + 16 * i, blocks[i]);
    }
}

static size_t unmap(size_t count)
{
    return CDB_BUILD(CDB_UNMAP, cdb, {CDB_F_PARAM_LEN, 8 + 16 * count});
}

static void wrong_parameters_are_pointed_at(void **state)
{
    (void)state;
    static uint8_t list[8 + 16 * 257];
    /* One descriptor more than the limit page says; as many are fine. */
    be16_put(list + 2, 16 * 257);
    refused(unmap(257), list, sizeof list, false, 2, -1);
    be16_put(list + 2, 16 * 256);
    begin(0, unmap(256), 0, list, sizeof list - 16);
    rig_run(&rig);
    assert_good(&cmd);
    /* More blocks in all than the limit: the descriptor that goes too far is named. A large LU, so that they
     * exist. */
    tear_down(NULL);
    rig_init(&rig, 1, NULL, UINT64_C(4) << 30);
    rig_nexus(&rig, 0, &nexus, "iqn.2026-01.test:i");
    rig_clear_ua(&rig, &nexus);
    const uint64_t lbas[] = {0, 1u << 19, 1u << 20};
    const uint32_t counts[] = {1u << 19, 1u << 19, 1};
    memset(list, 0, sizeof list);
    unmap_list(3, lbas, counts, list);
    refused(unmap(3), list, 8 + 16 * 3, false, 8 + 32 + 8, -1);
    assert_int_equal(rig.fake.discards, 0);
    unmap_list(2, lbas, counts, list);
    begin(0, unmap(2), 0, list, 8 + 16 * 2);
    rig_run(&rig);
    assert_good(&cmd);
    assert_int_equal(rig.fake.discards, 2);
}

static void select_refused(const uint8_t *list, size_t len, uint16_t byte, int bit)
{
    refused(CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, len}), list, len, false, byte,
            bit);
}

static void wrong_mode_parameters_are_pointed_at(void **state)
{
    (void)state;
    uint8_t caching[24] = {0, 0, 0, 0, 0x08, 0x12, 0x04};
    for (unsigned byte = 2; byte < 20; byte++) { /* every byte of the page: only WCE may change */
        for (unsigned bit = 0; bit < 8; bit++) {
            if (byte == 2 && bit == 2)
                continue;
            caching[4 + byte] ^= (uint8_t)(1u << bit);
            select_refused(caching, sizeof caching, (uint16_t)(4 + byte), -1);
            caching[4 + byte] ^= (uint8_t)(1u << bit);
        }
    }
    caching[4] |= 0x80; /* PS is reserved here */
    select_refused(caching, sizeof caching, 4, 7);
    uint8_t unknown[8] = {0, 0, 0, 0, 0x05, 0x02};
    select_refused(unknown, sizeof unknown, 4, 5);
    uint8_t shorter[23] = {0, 0, 0, 0, 0x08, 0x11, 0x04};
    select_refused(shorter, sizeof shorter, 5, -1);
    uint8_t descriptor[32] = {0, 0, 0, 8, 0, 0, 8, 0, 0, 0, 2, 0, 0x08, 0x12, 0x04};
    begin(0, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 32}), 0, descriptor, 32);
    rig_run(&rig);
    assert_good(&cmd); /* what is; and 0 blocks means what is as well */
    descriptor[6] = 0;
    begin(0, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 32}), 0, descriptor, 32);
    rig_run(&rig);
    assert_good(&cmd);
    descriptor[7] = 1; /* another size */
    select_refused(descriptor, sizeof descriptor, 4, -1);
    descriptor[7] = 0;
    descriptor[10] = 4; /* another block length */
    select_refused(descriptor, sizeof descriptor, 4, -1);
    uint8_t half[28] = {0, 0, 0, 4, 0, 0, 8, 0, 0x08, 0x12, 0x04}; /* no descriptor has four bytes */
    select_refused(half, sizeof half, 4, -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(inquiry_and_its_pages),
        T(pages_of_a_plain_store),
        T(mode_pages),
        T(lists_and_capacities),
        T(supported_commands),
        T(wrong_cdb_fields_are_pointed_at),
        T(wrong_parameters_are_pointed_at),
        T(wrong_mode_parameters_are_pointed_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
