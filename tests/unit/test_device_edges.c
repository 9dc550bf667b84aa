/* Goal: every byte of what the device server answers, and every limit at its value and one beyond. Method:
 * rows of CDB and answer in hex, worked out from SPC-4 and SBC-3; an answer that begins with S is the sense
 * data of a CHECK CONDITION. The disk has 2^32 + 1 blocks, so that fields of 32 bits overflow. */
#include "tests/unit/test_device_rig.h"

static struct rig rig;
static struct scsi_nexus one, two;
static struct rig_cmd cmd;
static uint8_t data[8192], bytes[8192];

#define DISK_BLOCKS 0x100000001ull

static int set_up(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    memcpy(config.naa, "\x6a\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 16);
    config.physical_block_exponent = 3;
    rig_init(&rig, 1, &config, DISK_BLOCKS * 512);
    rig.fake.store.info.discard_granularity = 65536;
    rig.fake.store.info.optimal_io = 1 << 20;
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    rig_nexus(&rig, 0, &two, "iqn.2026-01.test:two");
    rig_clear_ua(&rig, &one);
    rig_clear_ua(&rig, &two);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scsi_nexus_close(&one);
    scsi_nexus_close(&two);
    rig_fini(&rig);
    return 0;
}

/* "12 0a*3" is 12 0a 0a 0a. Returns how many bytes. */
static size_t unhex(const char *text, uint8_t *out)
{
    size_t n = 0;
    while (*text) {
        unsigned value, times = 1;
        int used;
        if (*text == ' ') {
            text++;
            continue;
        }
        assert_int_equal(sscanf(text, "%2x%n", &value, &used), 1);
        text += used;
        if (*text == '*') {
            assert_int_equal(sscanf(text, "*%u%n", &times, &used), 1);
            text += used;
        }
        while (times--)
            out[n++] = (uint8_t)value;
    }
    return n;
}

static void show(const char *what, const char *cdb, bool sense, const uint8_t *p, size_t len)
{
    print_message("%s (%s): %s", what, cdb, sense ? "S " : "");
    for (size_t i = 0; i < len; i++)
        print_message("%02x ", p[i]);
    print_message("\n");
}

struct row {
    const char *cdb, *answer;
    uint64_t lun;    /* the wire's 8 bytes */
    uint32_t room;   /* bytes; 0: 4096 */
    uint8_t level;   /* iSCSIProtocolLevel */
    const char *out; /* data-out; NULL: none */
};

static unsigned row_check(const char *what, const struct row *row)
{
    uint8_t cdb[64], out[4096];
    size_t len = unhex(row->cdb, cdb), out_len = row->out ? unhex(row->out, out) : 0;
    uint32_t room = row->out ? 0 : row->room ? row->room : 4096;
    one.protocol_level = row->level;
    rig_start(&rig, &cmd, &one, 0, cdb, len, room, out_len);
    cmd.task.lun = row->lun;
    memset(data, 0xee, sizeof data);
    cmd.in = data;
    cmd.out = out;
    scsi_task_start(&rig.reactors[0], &cmd.task);
    rig_run(&rig);
    assert_true(cmd.over);
    bool sense = cmd.task.status == SCSI_STATUS_CHECK_CONDITION;
    const uint8_t *got = sense ? cmd.task.sense : data;
    size_t got_len = sense ? cmd.task.sense_len : cmd.got;
    size_t want = unhex(row->answer + (row->answer[0] == 'S'), bytes);
    bool same = sense == (row->answer[0] == 'S') && got_len == want && memcmp(got, bytes, want) == 0 &&
                (sense || cmd.task.status == SCSI_STATUS_GOOD);
    if (!same)
        show(what, row->cdb, sense, got, got_len);
    return !same;
}

#define check(rows)                                                                                          \
    do {                                                                                                     \
        unsigned wrong = 0;                                                                                  \
        for (size_t i = 0; i < sizeof(rows) / sizeof *(rows); i++)                                           \
            wrong += row_check(__func__, &(rows)[i]);                                                        \
        assert_int_equal(wrong, 0);                                                                          \
    } while (0)

#define WELL_KNOWN 0xc101000000000000ull
#define ABSENT     0x0007000000000000ull
#define INVALID    0xffff000000000000ull

static void inquiry_has_these_bytes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"12 00 00 10 00 00",
         .answer = "00 00 06 12 45 00 10 02 4c 55 4e 45 54 54 45 20 54 45 53 54 20*12 31 20 20 20 "
                   "00*23 a0 09 61 04 60 04 c0 00*8",
         .level = 1},
        {"12 00 00 10 00 00",
         .answer = "00 00 06 12 45 00 10 02 4c 55 4e 45 54 54 45 20 54 45 53 54 20*12 31 20 20 20 "
                   "00*23 a0 09 62 04 60 04 c0 00*8",
         .level = 2},
        {"12 00 00 10 00 00",
         .answer = "1e 00 06 12 45 00 10 02 4c 55 4e 45 54 54 45 20 56 49 52 54 55 41 4c 2d 44 49 "
                   "53 4b 20*4 31 20 20 20 00*23 a0 09 61 04 60 00*10",
         .lun = WELL_KNOWN, .level = 1},
        {"12 00 00 10 00 00",
         .answer = "7f 00 06 12 45 00 10 02 4c 55 4e 45 54 54 45 20 56 49 52 54 55 41 4c 2d 44 49 "
                   "53 4b 20*4 31 20 20 20 00*23 a0 09 60 04 60 00*10",
         .lun = ABSENT},
        {"12 00 00 10 00 00",
         .answer = "7f 00 06 12 45 00 10 02 4c 55 4e 45 54 54 45 20 56 49 52 54 55 41 4c 2d 44 49 "
                   "53 4b 20*4 31 20 20 20 00*23 a0 09 60 04 60 00*10",
         .lun = INVALID},
        {"12 00 00 00 00 00", .answer = ""},
        {"12 00 00 00 05 00", .answer = "00 00 06 12 45"},
        {"12 00 01 10 00 00",
         .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02"}, /* a page code without EVPD */
        {"12 02 00 10 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 c9 00 01"}, /* CMDDT is obsolete */
        {"12 01 00 10 00 00", .answer = "00 00 00 07 00 80 83 86 b0 b1 b2"},
        {"12 01 00 10 00 00", .answer = "7f 00 00 01 00", .lun = ABSENT},
        {"12 01 80 10 00 00", .answer = "00 80 00 0a 30 31 32 33 34 35 36 37 38 39"},
        {"12 01 80 10 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02", .lun = ABSENT},
        {"12 01 83 10 00 00",
         .answer = "00 83 00 6a 01 03 00 10 6a 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 02 01 "
                   "00 12 4c 55 4e 45 54 54 45 20 30 31 32 33 34 35 36 37 38 39 51 94 00 04 00 00 "
                   "00 01 53 98 00 1c 69 71 6e 2e 32 30 32 36 2d 30 31 2e 74 65 73 74 3a 74 2c 74 "
                   "2c 30 78 30 30 30 31 00 53 a8 00 14 69 71 6e 2e 32 30 32 36 2d 30 31 2e 74 65 "
                   "73 74 3a 74 00 00"},
        {"12 01 83 10 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02", .lun = WELL_KNOWN},
        {"12 01 86 10 00 00", .answer = "00 86 00 3c 00 07 01 01 00*5 fc 00*50", .level = 1},
        {"12 01 86 10 00 00", .answer = "00 86 00 3c 00 0f 01 01 00*5 fc 00*50", .level = 2},
        {"12 01 b0 10 00 00",
         .answer = "00 b0 00 3c 01 00 00 08 00*6 08 00*6 10 00*4 01 00*4 80 80 00*8 20 00*22"},
        {"12 01 b0 00 3f 00",
         .answer = "00 b0 00 3c 01 00 00 08 00*6 08 00*6 10 00*4 01 00*4 80 80 00*8 20 00*21"},
        {"12 01 b0 10 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02", .lun = ABSENT},
        {"12 01 b1 10 00 00", .answer = "00 b1 00 3c 00 01 00 00 02 00*55"},
        {"12 01 b2 10 00 00", .answer = "00 b2 00 04 00 e4 02 00"},
        {"12 01 b3 10 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02"},
        {"12 01 81 10 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02"},
        {"12 00 00 10 00 04", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 ca 00 05"}, /* NACA */
    };
    check(rows);
}

static void sense_luns_and_capacity_have_these_bytes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"03 00 00 00 fc 00", .answer = "70 00*6 0a 00*10"},
        {"03 01 00 00 fc 00", .answer = "72 00*7"},
        {"03 00 00 00 04 00", .answer = "70 00 00 00"},
        {"03 00 00 00 fc 00", .answer = "70 00 05 00*4 0a 00*4 25 00*5", .lun = ABSENT},
        {"03 01 00 00 fc 00", .answer = "72 05 25 00*5", .lun = WELL_KNOWN},
        {"a0 00 00 00 00 00 00 00 10 00 00 00", .answer = "00 00 00 10 00*12 41 2c 00*6"},
        {"a0 00 01 00 00 00 00 00 10 00 00 00", .answer = "00 00 00 08 00*4 c1 01 00*6"},
        {"a0 00 02 00 00 00 00 00 10 00 00 00", .answer = "00 00 00 18 00*12 41 2c 00*6 c1 01 00*6"},
        {"a0 00 02 00 00 00 00 00 10 00 00 00", .answer = "00 00 00 18 00*12 41 2c 00*6 c1 01 00*6",
         .lun = WELL_KNOWN},
        {"a0 00 10 00 00 00 00 00 10 00 00 00", .answer = "00*8"},
        {"a0 00 11 00 00 00 00 00 10 00 00 00", .answer = "00 00 00 10 00*12 41 2c 00*6", .lun = ABSENT},
        {"a0 00 12 00 00 00 00 00 10 00 00 00", .answer = "00*8"},
        {"a0 00 13 00 00 00 00 00 10 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02"},
        {"a0 00 03 00 00 00 00 00 10 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02"},
        {"a0 00 02 00 00 00 00 00 00 11 00 00", .answer = "00 00 00 18 00*12 41"},
        {"25 00 00 00 00 00 00 00 00 00", .answer = "ff*4 00 00 02 00"},
        {"25 00 00 00 00 01 00 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02"},
        {"25 00 00 00 00 01 00 00 01 00", .answer = "ff*4 00 00 02 00"},
        {"25 00 00 00 00 00 00 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 25 00*5", .lun = ABSENT},
        {"25 00 00 00 00 00 00 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 25 00*5", .lun = WELL_KNOWN},
        {"9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
         .answer = "00 00 00 01 00*6 02 00 00 03 c0 00*17"},
        {"9e 10 00 00 00 00 00 00 00 00 00 00 00 0c 00 00", .answer = "00 00 00 01 00*6 02 00"},
        {"9e 10 00 00 00 00 00 00 00 01 00 00 00 20 00 00",
         .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 02"},
        {"9e 10 00 00 00 00 00 00 00 01 00 00 00 20 01 00",
         .answer = "00 00 00 01 00*6 02 00 00 03 c0 00*17"},
        {"9e 12 00 00 00 00 00 00 00 00 00 00 00 40 00 00", .answer = "00 00 00 14 00*12 ff*4 00*4"},
        {"9e 12 00 00 00 00 00 00 00 02 00 00 00 40 00 00", .answer = "00 00 00 14 00*11 02 ff*4 00*4"},
        {"9e 12 00 00 00 01 00 00 00 00 00 00 00 40 00 00", .answer = "00 00 00 14 00*7 01 00*7 01 00*4"},
        {"9e 12 00 00 00 01 00 00 00 01 00 00 00 40 00 00", .answer = "S 70 00 05 00*4 0a 00*4 21 00*5"},
        {"9e 1f 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
         .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cc 00 01"},
        {"9f 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", .answer = "S 70 00 05 00*4 0a 00*4 20 00*5"},
        {"ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 20 00*5"},
        {"ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 25 00*5",
         .lun = ABSENT},
        {"00 00 00 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 25 00*5", .lun = ABSENT},
    };
    check(rows);
}

static void what_is_supported_has_these_bytes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a3 0d 00 00 00 00 00 00 10 00 00 00", .answer = "da 00 00 00", .level = 1},
        {"a3 0d 00 00 00 00 00 00 10 00 00 00", .answer = "de 07 00 00", .level = 2},
        {"a3 0d 80 00 00 00 00 00 10 00 00 00", .answer = "da 00 00 0c 00*12", .level = 1},
        {"a3 0d 80 00 00 00 00 00 10 00 00 00", .answer = "de 07 00 0c 00*12", .level = 2},
        {"a3 0d 80 00 00 00 00 00 00 05 00 00", .answer = "de 07 00 0c 00", .level = 2},
        {"a3 0c 01 00 00 00 00 00 10 00 00 00", .answer = "00 03 00 06 00*5 04"},
        {"a3 0c 81 00 00 00 00 00 10 00 00 00", .answer = "00 83 00 06 00*5 04 00 0a 00*10"},
        {"a3 0c 01 28 00 00 00 00 10 00 00 00", .answer = "00 03 00 0a 28 f8 ff*4 00 ff ff 04"},
        {"a3 0c 81 28 00 00 00 00 10 00 00 00", .answer = "00 83 00 0a 28 f8 ff*4 00 ff ff 04 00 0a 00*10"},
        {"a3 0c 02 28 00 00 00 00 10 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 ca 00 02"},
        {"a3 0c 03 28 00 00 00 00 10 00 00 00", .answer = "00 03 00 0a 28 f8 ff*4 00 ff ff 04"},
        {"a3 0c 03 28 00 01 00 00 10 00 00 00", .answer = "00 01 00 00"},
        {"a3 0c 01 9e 00 10 00 00 10 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 ca 00 02"},
        {"a3 0c 02 9e 00 10 00 00 10 00 00 00", .answer = "00 03 00 10 9e 10 ff*12 01 04"},
        {"a3 0c 03 9e 00 12 00 00 10 00 00 00", .answer = "00 03 00 10 9e 12 ff*12 00 04"},
        {"a3 0c 03 9e 00 13 00 00 10 00 00 00", .answer = "00 01 00 00"},
        {"a3 0c 03 9e 80 10 00 00 10 00 00 00", .answer = "00 01 00 00"},
        {"a3 0c 03 7f 00 07 00 00 10 00 00 00",
         .answer = "00 03 00 20 7f 04 00*5 ff 00 07 fd 00 ff*8 00*8 ff*4"},
        {"a3 0c 01 ff 00 00 00 00 10 00 00 00", .answer = "00 01 00 00"},
        {"a3 0c 04 00 00 00 00 00 10 00 00 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 ca 00 02"},
        {"a3 0c 00 00 00 00 00 00 00 04 00 00", .answer = "00 00 01 20"},
        {"a3 0c 80 00 00 00 00 00 00 18 00 00", .answer = "00 00 02 d0 00*5 02 00 06 00 0a 00*10"},
        {"a3 0c 00 00 00 00 00 00 20 00 00 00",
         .answer = "00 00 01 20 00*7 06 03 00*6 06 08 00*6 06 0a 00*6 06 12 00*6 06 15 00*6 06 1a "
                   "00*6 06 1b 00*6 06 1e 00*6 06 25 00*6 0a 28 00*6 0a 2a 00*6 0a 2e 00*6 0a 2f "
                   "00*6 0a 35 00*6 0a 41 00*6 0a 42 00*6 0a 53 00*6 0a 55 00*6 0a 5a 00*6 0a 7f 00 "
                   "00 07 00 01 00 20 88 00*6 10 8a 00*6 10 8e 00*6 10 8f 00*6 10 91 00*6 10 93 "
                   "00*6 10 9e 00 00 10 00 01 00 10 9e 00 00 12 00 01 00 10 a0 00*6 0c a3 00 00 0c "
                   "00 01 00 0c a3 00 00 0d 00 01 00 0c a8 00*6 0c aa 00*6 0c ae 00*6 0c af 00*6 0c"},
    };
    check(rows);
}

static void mode_pages_have_these_bytes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"1a 00 3f 00 ff 00",
         .answer = "43 00 10 08 ff*4 00 00 02 00 01 0a c0 00*9 08 12 04 00*17 0a 0a 20 10 00 40 00 "
                   "00 ff ff 00 00 1c 0a 08 00*9"},
        {"1a 08 3f 00 ff 00",
         .answer = "3b 00 10 00 01 0a c0 00*9 08 12 04 00*17 0a 0a 20 10 00 40 00 00 ff ff 00 00 1c "
                   "0a 08 00*9"},
        {"1a 08 7f 00 ff 00",
         .answer = "3b 00 10 00 01 0a 00*10 08 12 04 00*17 0a 0a 04 00 08 00*7 1c 0a 00*10"},
        {"1a 08 bf 00 ff 00",
         .answer = "3b 00 10 00 01 0a c0 00*9 08 12 04 00*17 0a 0a 20 10 00 40 00 00 ff ff 00 00 1c "
                   "0a 08 00*9"},
        {"1a 08 ff 00 ff 00", .answer = "S 70 00 05 00*4 0a 00*4 39 00*5"},
        {"1a 08 3f ff ff 00",
         .answer = "3b 00 10 00 01 0a c0 00*9 08 12 04 00*17 0a 0a 20 10 00 40 00 00 ff ff 00 00 1c "
                   "0a 08 00*9"},
        {"1a 08 3f 01 ff 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cd 00 02"},
        {"1a 08 08 00 ff 00", .answer = "17 00 10 00 08 12 04 00*17"},
        {"1a 08 08 ff ff 00", .answer = "17 00 10 00 08 12 04 00*17"},
        {"1a 08 08 01 ff 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cf 00 03"},
        {"1a 08 02 00 ff 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cd 00 02"},
        {"1a 08 01 00 06 00", .answer = "0f 00 10 00 01 0a"},
        {"5a 00 0a 00 00 00 00 01 00 00",
         .answer = "00 1a 00 10 00 00 00 08 ff*4 00 00 02 00 0a 0a 20 10 00 40 00 00 ff ff 00 00"},
        {"5a 10 0a 00 00 00 00 01 00 00",
         .answer = "00 22 00 10 01 00 00 10 00 00 00 01 00 00 00 01 00*6 02 00 0a 0a 20 10 00 40 00 "
                   "00 ff ff 00 00"},
        {"5a 18 0a 00 00 00 00 01 00 00", .answer = "00 12 00 10 00*4 0a 0a 20 10 00 40 00 00 ff ff 00 00"},
        {"5a 08 1c 00 00 00 00 01 00 00", .answer = "00 12 00 90 00*4 1c 0a 08 00*9",
         .lun = 0x412c000000000000ull}, /* read only */
        {"5a 08 3f 00 00 00 00 00 09 00", .answer = "00 3e 00 10 00*4 01"},
    };
    /* LUN 300 has a unit attention of its own. */
    struct row tur = {"00 00 00 00 00 00",
                      .answer = "S 70 00 06 00 00 00 00 0a 00 00 00 00 29 00 00 00 00 00",
                      .lun = 0x412c000000000000ull};
    row_check(__func__, &tur);
    check(rows);
}

#define PAGE_08 "08 12 04 00*17"
#define PAGE_0A "0a 0a 20 10 00 40 00 00 ff ff 00 00"
static void mode_select_takes_and_refuses_exactly(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"15 10 00 00 00 00", .answer = "", .out = "00"},
        {"15 11 00 00 18 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 c8 00 01",
         .out = "00*4 " PAGE_08}, /* SP */
        {"15 00 00 00 18 00", .answer = "S 70 00 05 00*4 0a 00*4 24 00 00 cc 00 01",
         .out = "00*4 " PAGE_08}, /* no PF */
        {"15 10 00 00 18 00", .answer = "", .out = "00*4 " PAGE_08},
        {"15 10 00 00 03 00", .answer = "S 70 00 05 00*4 0a 00*4 1a 00*5", .out = "00*3"},
        {"15 10 00 00 04 00", .answer = "", .out = "00*4"},
        {"55 10 00 00 00 00 00 00 07 00", .answer = "S 70 00 05 00*4 0a 00*4 1a 00*5", .out = "00*7"},
        {"55 10 00 00 00 00 00 00 08 00", .answer = "", .out = "00*8"},
        {"15 10 00 00 18 00", .answer = "S 70 00 05 00*4 0a 00*4 1a 00*5",
         .out = "00*4 08 12 04 00*16"}, /* less than announced */
        {"15 10 00 00 17 00", .answer = "S 70 00 05 00*4 0a 00*4 1a 00*5",
         .out = "00*4 08 12 04 00*16"}, /* ends within a page */
        {"15 10 00 00 05 00", .answer = "S 70 00 05 00*4 0a 00*4 1a 00*5",
         .out = "00*4 08"}, /* ends within a page's header */
        {"15 10 00 00 18 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 05",
         .out = "00*4 08 11 04 00*17"}, /* a page length that is not ours */
        {"15 10 00 00 18 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 8f 00 04",
         .out = "00*4 88 12 04 00*17"}, /* PS */
        {"15 10 00 00 18 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 8d 00 04",
         .out = "00*4 07 12 04 00*17"}, /* no such page */
        {"15 10 00 00 18 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 06",
         .out = "00*4 08 12 05 00*17"}, /* RCD is not changeable */
        {"15 10 00 00 18 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 07",
         .out = "00*4 08 12 04 01 00*16"}, /* the byte after WCE */
        {"15 10 00 00 18 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 17",
         .out = "00*4 08 12 04 00*16 01"}, /* the page's last byte */
        {"15 10 00 00 24 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 21",
         .out = "00*4 " PAGE_08 " 0a 0a 20 10 00 40 00 00 ff fe 00 00"},
        {"15 10 00 00 20 00", .answer = "", .out = "00*3 08 ff ff ff ff 00 00 02 00 " PAGE_08},
        {"15 10 00 00 20 00", .answer = "", .out = "00*3 08 00 00 00 00 00 00 02 00 " PAGE_08},
        {"15 10 00 00 20 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 04",
         .out = "00*3 08 00 00 00 01 00 00 02 00 " PAGE_08},
        {"15 10 00 00 20 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 04",
         .out = "00*3 08 ff ff ff ff 00 00 02 01 " PAGE_08},
        {"15 10 00 00 0b 00", .answer = "S 70 00 05 00*4 0a 00*4 1a 00*5",
         .out = "00*3 08 00*7"}, /* the descriptor is longer than the list */
        {"15 10 00 00 0c 00", .answer = "", .out = "00*3 08 00*4 00 00 02 00"},
        {"15 10 00 00 14 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 04", .out = "00*3 10 00*16"},
        {"55 10 00 00 00 00 00 00 24 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 08",
         .out = "00*4 00 00 00 10 00*4 00*4 00*4 00 00 02 00 " PAGE_0A},
        {"55 10 00 00 00 00 00 00 24 00", .answer = "",
         .out = "00*4 01 00 00 10 00*4 00*4 00*4 00 00 02 00 " PAGE_0A},
        {"55 10 00 00 00 00 00 00 24 00", .answer = "",
         .out = "00*4 01 00 00 10 00*3 01 00*3 01 00*4 00 00 02 00 " PAGE_0A},
        {"55 10 00 00 00 00 00 00 24 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 08",
         .out = "00*4 01 00 00 10 00*3 01 00*3 02 00*4 00 00 02 00 " PAGE_0A},
        {"55 10 00 00 00 00 00 00 24 00", .answer = "S 70 00 05 00*4 0a 00*4 26 00 00 80 00 08",
         .out = "00*4 01 00 00 10 00*4 ff*4 00*4 00 00 02 00 " PAGE_0A},
    };
    check(rows);
    assert_int_equal(rig.fake.flushes, 0); /* WCE stayed on throughout */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(inquiry_has_these_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sense_luns_and_capacity_have_these_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_supported_has_these_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mode_pages_have_these_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mode_select_takes_and_refuses_exactly, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
