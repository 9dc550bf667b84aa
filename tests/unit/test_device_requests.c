/* Goal: what the store is asked for by each command, and what each command needs before it asks. Method: the
 * rig holds the requests back and the test reads them: verb, place, length, FUA, gather list; a table of all
 * commands against a stopped, a write protected, an absent and an attentive logical unit. */
#include "common/base/min.h"
#include "target/scsi/private.h"
#include "tests/unit/test_device_rig.h"

static struct rig rig;
static struct scsi_nexus one;
static struct rig_cmd cmd;
static uint8_t cdb[CDB_LEN_MAX], data[RIG_DISK_MAX], in[RIG_DISK_MAX];

static void open_with(const struct scsi_lu_config *config, uint64_t size)
{
    rig_init(&rig, 1, config, size);
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    rig_clear_ua(&rig, &one);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 31 + i / 512 + 1);
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
    scsi_nexus_close(&one);
    rig_fini(&rig);
    return 0;
}

static void reopen(const struct scsi_lu_config *config, uint64_t size)
{
    tear_down(NULL);
    open_with(config, size);
}

static void begin(size_t len, uint64_t in_len, uint64_t out_len)
{
    rig_start(&rig, &cmd, &one, 0, cdb, len, in_len, out_len);
    cmd.in = in;
    cmd.out = data;
    scsi_task_start(&rig.reactors[0], &cmd.task);
    rig_run(&rig);
}

static void run(size_t len, uint64_t in_len, uint64_t out_len)
{
    rig.fake.hold = false;
    begin(len, in_len, out_len);
    assert_true(cmd.over);
}

static const struct store_req *held(void)
{
    assert_false(list_empty(&rig.held));
    return list_entry(rig.held.next, struct store_req, node);
}

static void let_go(void)
{
    assert_true(rig_release(&rig));
    rig_run(&rig);
}

static void asks(enum store_verb verb, uint64_t offset, uint64_t len, bool fua)
{
    const struct store_req *req = held();
    assert_int_equal(req->verb, verb);
    assert_int_equal(req->offset, offset);
    assert_int_equal(req->len, len);
    assert_int_equal(req->fua, fua);
    assert_int_equal(req->result, 0);
    assert_int_equal(req->error_offset, offset);
    assert_ptr_equal(req->store, &rig.fake.store);
    if (verb != STORE_READ && verb != STORE_WRITE)
        return;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < req->vec_count; i++)
        sum += req->vec[i].len;
    assert_int_equal(sum, len);
}

/* ---- needs ---- */

enum need { MEDIUM = 1, WRITES = 2, NO_UA = 4, ANY_LUN = 8, BLOCKS = 16 };

/* SPC-4 and SBC-3: which commands look at the medium or change it; SPC-4 6.6.1, 6.37 and 6.33 say which three
 * run although a unit attention is pending and where no logical unit is. */
static unsigned needs_of(enum cdb_command c)
{
    switch (c) {
    case CDB_REQUEST_SENSE:
    case CDB_INQUIRY:
    case CDB_REPORT_LUNS:
        return ANY_LUN;
    case CDB_MODE_SENSE_6:
    case CDB_MODE_SENSE_10:
    case CDB_MODE_SELECT_6:
    case CDB_MODE_SELECT_10:
    case CDB_START_STOP_UNIT:
    case CDB_PREVENT_ALLOW:
    case CDB_REPORT_OPCODES:
    case CDB_REPORT_TMFS:
        return NO_UA;
    case CDB_WRITE_6:
    case CDB_WRITE_10:
    case CDB_WRITE_12:
    case CDB_WRITE_16:
    case CDB_WRITE_VERIFY_10:
    case CDB_WRITE_VERIFY_12:
    case CDB_WRITE_VERIFY_16:
    case CDB_XDWRITEREAD_10:
    case CDB_XDWRITEREAD_32:
        return NO_UA | MEDIUM | WRITES | BLOCKS;
    case CDB_WRITE_SAME_10:
    case CDB_WRITE_SAME_16:
    case CDB_UNMAP:
        return NO_UA | MEDIUM | WRITES;
    case CDB_VERIFY_10:
    case CDB_VERIFY_12:
    case CDB_VERIFY_16:
        return NO_UA | MEDIUM | BLOCKS;
    default:
        return NO_UA | MEDIUM;
    }
}

/* A CDB of the command that is good; with data-out where the command can have any. */
static size_t good_cdb(enum cdb_command c, uint64_t *in_len, uint64_t *out_len)
{
    const struct cdb_def *def = &cdb_defs[c];
    memset(cdb, 0, sizeof cdb);
    size_t len = cdb_build(c, NULL, 0, cdb);
    *in_len = def->direction == CDB_IN || def->direction == CDB_BIDI ? 512 : 0;
    *out_len = 0;
    cdb_set(def, cdb, CDB_F_COUNT, 1);
    cdb_set(def, cdb, CDB_F_ALLOC, 64);
    cdb_set(def, cdb, CDB_F_START, 1);
    cdb_set(def, cdb, CDB_F_PF, 1);
    if (c == CDB_MODE_SENSE_6 || c == CDB_MODE_SENSE_10)
        cdb_set(def, cdb, CDB_F_PAGE_CODE, 0x3f);
    if (needs_of(c) & BLOCKS) {
        *out_len = 512;
        if (!(needs_of(c) & WRITES))
            cdb_set(def, cdb, CDB_F_BYTCHK, 1);
    }
    if (c == CDB_WRITE_SAME_10 || c == CDB_WRITE_SAME_16)
        *out_len = 512;
    return len;
}

static void expect(const char *what, enum cdb_command c, bool refused, unsigned key, unsigned code)
{
    bool is = cmd.task.status == SCSI_STATUS_CHECK_CONDITION;
    if (is != refused || (!refused && cmd.task.status != SCSI_STATUS_GOOD))
        print_message("%s: %s\n", cdb_defs[c].name, what);
    assert_int_equal(is, refused);
    if (refused)
        assert_sense(&cmd, key, code);
    else
        assert_good(&cmd);
}

static void run_good(enum cdb_command c)
{
    uint64_t in_len, out_len;
    size_t len = good_cdb(c, &in_len, &out_len);
    memcpy(rig.fake.disk, data, 512); /* what VERIFY compares with */
    run(len, in_len, out_len);
}

static void every_command_asks_for_what_it_needs(void **state)
{
    (void)state;
    for (enum cdb_command c = 0; c < CDB_COMMAND_COUNT; c++) {
        unsigned needs = needs_of(c);
        run_good(c);
        expect("good", c, false, 0, 0);
        /* Stopped. */
        run(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 0}), 0, 0);
        assert_good(&cmd);
        run_good(c);
        expect("stopped", c, needs & MEDIUM, SENSE_NOT_READY, ASC_LU_NOT_READY_INITIALIZING_COMMAND_REQUIRED);
        run(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 1}), 0, 0);
        assert_good(&cmd);
        /* Write protected, in each of the ways. */
        rig.fake.store.info.readonly = true;
        run_good(c);
        expect("write protected", c, needs & WRITES, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
        rig.fake.store.info.readonly = false;
        /* A LUN that does not exist. */
        uint64_t in_len, out_len;
        size_t len = good_cdb(c, &in_len, &out_len);
        rig_start(&rig, &cmd, &one, 7, cdb, len, in_len, out_len);
        cmd.in = in;
        cmd.out = data;
        scsi_task_start(&rig.reactors[0], &cmd.task);
        rig_run(&rig);
        expect("absent", c, !(needs & ANY_LUN), SENSE_ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
        /* A unit attention is told once, by whatever is not exempt. */
        struct scsi_tmf done = {0};
        scsi_lu_resized(&rig.reactors[0], rig.lu, &done);
        rig_run(&rig);
        assert_ptr_equal(scsi_next_tmf(&rig.reactors[0]), &done);
        run_good(c);
        expect("unit attention", c, needs & NO_UA, SENSE_UNIT_ATTENTION, ASC_CAPACITY_CHANGED);
        run(CDB_BUILD(CDB_TEST_UNIT_READY, cdb, {CDB_F_CONTROL, 0}), 0, 0);
        bool cleared = needs & NO_UA || c == CDB_REQUEST_SENSE;
        assert_int_equal(cmd.task.status, cleared ? SCSI_STATUS_GOOD : SCSI_STATUS_CHECK_CONDITION);
    }
}

static void only_stores_that_discard_have_unmap(void **state)
{
    (void)state;
    rig.fake.store.info.can_discard = false;
    for (enum cdb_command c = 0; c < CDB_COMMAND_COUNT; c++) {
        run_good(c);
        expect("no discard", c, c == CDB_UNMAP, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION_CODE);
    }
}

static void data_out_of_blocks_comes_in_blocks(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    config.block_size = 4096;
    reopen(&config, RIG_DISK_MAX);
    for (enum cdb_command c = 0; c < CDB_COMMAND_COUNT; c++) {
        uint64_t in_len, out_len;
        size_t len = good_cdb(c, &in_len, &out_len);
        if (!out_len)
            continue;
        rig_start(&rig, &cmd, &one, 0, cdb, len, in_len, 4096);
        cmd.sent = 4096; /* the rig brings nothing */
        scsi_task_start(&rig.reactors[0], &cmd.task);
        assert_int_equal(scsi_out_align(&cmd.task), needs_of(c) & BLOCKS ? 4096 : 1);
        scsi_task_abort(&rig.reactors[0], &cmd.task);
        rig_run(&rig);
        assert_true(cmd.over);
        assert_int_equal(scsi_out_align(&cmd.task), 1);
    }
    /* The block of BYTCHK 11b is a parameter list. */
    rig_start(&rig, &cmd, &one, 0, cdb, CDB_BUILD(CDB_VERIFY_10, cdb, {CDB_F_COUNT, 2}, {CDB_F_BYTCHK, 3}), 0,
              4096);
    cmd.sent = 4096;
    scsi_task_start(&rig.reactors[0], &cmd.task);
    assert_int_equal(scsi_out_align(&cmd.task), 1);
    scsi_task_abort(&rig.reactors[0], &cmd.task);
    rig_run(&rig);
    assert_true(cmd.over);
}

/* ---- requests ---- */

static void reads_ask_for_what_there_is_room_for(void **state)
{
    (void)state;
    static const struct {
        uint64_t blocks, room, asked;
    } rows[] = {{4, 2048, 2048}, {4, 2047, 2048}, {4, 1536, 1536},
                {4, 1537, 2048}, {4, 1, 512},     {4, 4096, 2048}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig.fake.hold = true;
        begin(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, 5}, {CDB_F_COUNT, rows[i].blocks}), rows[i].room, 0);
        asks(STORE_READ, 5 * 512, rows[i].asked, false);
        assert_int_equal(held()->vec_count, 1);
        let_go();
        assert_true(cmd.over);
        assert_good(&cmd);
        assert_int_equal(cmd.got, min_u64(rows[i].room, 2048));
        assert_int_equal(cmd.task.in_len, 2048);
    }
    begin(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 4}), 0, 0);
    assert_true(cmd.over); /* no room: nothing is read */
    assert_good(&cmd);
    assert_true(list_empty(&rig.held));
    assert_int_equal(cmd.task.in_len, 2048);
}

/* Four spans at once, each of the greatest length, the last as long as what is left. */
static void long_reads_keep_four_spans_on_their_way(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    reopen(&config, 16u << 20);
    uint64_t len = 5 * SCSI_SPAN_LEN + 1024, at = 0;
    rig.fake.hold = true;
    rig_start(&rig, &cmd, &one, 0, cdb, CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, 8}, {CDB_F_COUNT, len / 512}),
              len, 0);
    cmd.keep_spans = true;
    scsi_task_start(&rig.reactors[0], &cmd.task);
    rig_run(&rig);
    unsigned count = 0;
    list_for_each(it, &rig.held) count++;
    assert_int_equal(count, 4);
    assert_int_equal(cmd.task.spans_in, 4);
    for (unsigned i = 0; i < 4; i++, at += SCSI_SPAN_LEN) {
        asks(STORE_READ, 8 * 512 + at, SCSI_SPAN_LEN, false);
        let_go();
    }
    /* The transport has all four: no fifth before one comes back. */
    assert_true(list_empty(&rig.held));
    assert_int_equal(cmd.got, at);
    for (unsigned i = 4; i < 6; i++, at += SCSI_SPAN_LEN) {
        scsi_span_done(&rig.reactors[0], list_entry(list_pop_front(&cmd.loans), struct scsi_span, node));
        rig_run(&rig);
        asks(STORE_READ, 8 * 512 + at, i == 4 ? SCSI_SPAN_LEN : 1024, false);
        let_go();
        assert_true(list_empty(&rig.held));
        assert_int_equal(cmd.over, i == 5);
    }
    assert_good(&cmd);
    assert_int_equal(cmd.got, len);
    struct list_node *node;
    while ((node = list_pop_front(&cmd.loans)))
        scsi_span_done(&rig.reactors[0], list_entry(node, struct scsi_span, node));
}

static void verifies_read_and_return_nothing(void **state)
{
    (void)state;
    static const enum cdb_command forms[] = {CDB_VERIFY_10, CDB_VERIFY_12, CDB_VERIFY_16};
    for (size_t i = 0; i < 3; i++) {
        rig.fake.hold = true;
        begin(CDB_BUILD(forms[i], cdb, {CDB_F_LBA, 9}, {CDB_F_COUNT, 6}), 0, 0);
        asks(STORE_READ, 9 * 512, 6 * 512, false);
        let_go();
        assert_true(cmd.over);
        assert_good(&cmd);
        assert_int_equal(cmd.task.in_len, 0);
        assert_int_equal(cmd.task.out_len, 0);
        /* BYTCHK 01b takes as much as it reads; 11b one block, whatever the count. */
        memcpy(rig.fake.disk + 9 * 512, data, 6 * 512);
        begin(CDB_BUILD(forms[i], cdb, {CDB_F_LBA, 9}, {CDB_F_COUNT, 6}, {CDB_F_BYTCHK, 1}), 0, 6 * 512);
        assert_int_equal(cmd.task.out_len, 6 * 512);
        asks(STORE_READ, 9 * 512, 6 * 512, false);
        let_go();
        assert_true(cmd.over);
        assert_good(&cmd);
        for (int k = 0; k < 6; k++)
            memcpy(rig.fake.disk + (9 + k) * 512, data, 512);
        begin(CDB_BUILD(forms[i], cdb, {CDB_F_LBA, 9}, {CDB_F_COUNT, 6}, {CDB_F_BYTCHK, 3}), 0, 512);
        assert_int_equal(cmd.task.out_len, 512);
        asks(STORE_READ, 9 * 512, 6 * 512, false);
        let_go();
        assert_true(cmd.over);
        assert_good(&cmd);
        /* No blocks: nothing is taken, nothing is read. */
        for (uint64_t bytchk = 0; bytchk < 4; bytchk += bytchk + 1) {
            begin(CDB_BUILD(forms[i], cdb, {CDB_F_LBA, 9}, {CDB_F_BYTCHK, bytchk}), 0, 512);
            assert_true(cmd.over);
            assert_good(&cmd);
            assert_int_equal(cmd.task.out_len, 0);
        }
        /* The one block is not whole. */
        run(CDB_BUILD(forms[i], cdb, {CDB_F_LBA, 9}, {CDB_F_COUNT, 6}, {CDB_F_BYTCHK, 3}), 0, 511);
        assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    }
}

/* Where in the one block of BYTCHK 11b the first difference is, in whichever block of whichever span. */
static void the_first_byte_that_differs_is_told(void **state)
{
    (void)state;
    static const unsigned blocks[] = {0, 1, 511, 512, 2047}, bytes[] = {0, 1, 511};
    for (size_t b = 0; b < 5; b++) {
        for (size_t i = 0; i < 3; i++) {
            for (unsigned k = 0; k < 2048; k++)
                memcpy(rig.fake.disk + k * 512, data, 512);
            rig.fake.disk[blocks[b] * 512 + bytes[i]] ^= 0x80;
            run(CDB_BUILD(CDB_VERIFY_16, cdb, {CDB_F_COUNT, 2048}, {CDB_F_BYTCHK, 3}), 0, 512);
            assert_sense(&cmd, SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY);
            assert_int_equal(rig_sense(&cmd).information, bytes[i]);
            assert_true(rig_sense(&cmd).has_information);
            /* BYTCHK 01b: within all of the data-out. */
            memcpy(rig.fake.disk, data, RIG_DISK_MAX);
            rig.fake.disk[blocks[b] * 512 + bytes[i]] ^= 0x80;
            run(CDB_BUILD(CDB_VERIFY_16, cdb, {CDB_F_COUNT, 2048}, {CDB_F_BYTCHK, 1}), 0, RIG_DISK_MAX);
            assert_sense(&cmd, SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY);
            assert_int_equal(rig_sense(&cmd).information, blocks[b] * 512 + bytes[i]);
        }
    }
}

/* FUA of the CDB, of a write cache that is off, and of the verifying ones, which read back from the medium.
 */
static void writes_say_when_they_must_be_safe(void **state)
{
    (void)state;
    static const enum cdb_command forms[] = {CDB_WRITE_6,        CDB_WRITE_10,        CDB_WRITE_12,
                                             CDB_WRITE_16,       CDB_WRITE_VERIFY_10, CDB_WRITE_VERIFY_12,
                                             CDB_WRITE_VERIFY_16};
    for (int cache = 1; cache >= 0; cache--) {
        struct scsi_lu_config config = rig_lu_config();
        config.write_cache = cache;
        reopen(&config, RIG_DISK_MAX);
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
            for (int fua = 0; fua < 2; fua++) {
                bool verify = i >= 4;
                memset(cdb, 0, sizeof cdb);
                size_t len = CDB_BUILD(forms[i], cdb, {CDB_F_LBA, 11}, {CDB_F_COUNT, 2});
                if (fua && !cdb_set(&cdb_defs[forms[i]], cdb, CDB_F_FUA, 1))
                    continue;
                rig.fake.hold = true;
                begin(len, 0, 1024);
                asks(STORE_WRITE, 11 * 512, 1024, fua || verify || !cache);
                assert_int_equal(held()->vec_count, 1);
                /* What is compared afterwards must stay. */
                assert_int_equal(held()->whole != NULL, !verify);
                let_go();
                if (verify) {
                    assert_false(cmd.over);
                    asks(STORE_READ, 11 * 512, 1024, false);
                    let_go();
                }
                assert_true(cmd.over);
                assert_good(&cmd);
                assert_memory_equal(rig.fake.disk + 11 * 512, data, 1024);
            }
        }
        rig.fake.hold = true;
        begin(CDB_BUILD(CDB_WRITE_SAME_10, cdb, {CDB_F_LBA, 3}, {CDB_F_COUNT, 2}), 0, 512);
        asks(STORE_WRITE, 3 * 512, 1024, !cache);
        assert_null(held()->whole); /* it is written again and again */
        let_go();
        assert_good(&cmd);
        for (uint64_t unmap = 0; unmap < 2; unmap++) {
            begin(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_LBA, 3}, {CDB_F_COUNT, 2}, {CDB_F_NDOB, 1},
                            {CDB_F_UNMAP, unmap}),
                  0, 0);
            asks(unmap ? STORE_DISCARD : STORE_ZERO, 3 * 512, 1024, !cache);
            let_go();
            assert_good(&cmd);
        }
    }
}

/* A block repeated: in one write as many patterns as its gather list holds, the last one cut. */
static void write_same_is_written_in_large_pieces(void **state)
{
    (void)state;
    reopen(NULL, UINT64_C(1) << 30);
    enum { PATTERN = 65536 };
    const uint64_t most = (uint64_t)STORE_REQ_VECS * PATTERN;
    const uint64_t lens[] = {512,        PATTERN - 512, PATTERN,    PATTERN + 512,
                             most - 512, most,          most + 512, 2 * most + 1024};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        rig.fake.hold = true;
        begin(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_LBA, 7}, {CDB_F_COUNT, lens[i] / 512}), 0, 512);
        for (uint64_t at = 0; at < lens[i];) {
            uint64_t part = min_u64(lens[i] - at, most);
            asks(STORE_WRITE, 7 * 512 + at, part, false);
            assert_int_equal(held()->vec_count, (part + PATTERN - 1) / PATTERN);
            for (uint32_t v = 0; v < held()->vec_count; v++) {
                const uint8_t *p = held()->vec[v].ptr;
                for (size_t k = 0; k < held()->vec[v].len; k += 512)
                    assert_memory_equal(p + k, data, 512);
            }
            at += part;
            assert_false(cmd.over);
            let_go();
        }
        assert_true(cmd.over);
        assert_good(&cmd);
    }
}

/* Zeros are not written, whichever byte of the block it is that could be something else. */
static void a_block_is_zero_when_all_of_it_is(void **state)
{
    (void)state;
    static const unsigned at[] = {0, 1, 255, 510, 511};
    for (unsigned i = 0; i < 6; i++) {
        uint8_t block[512] = {0};
        if (i < 5)
            block[at[i]] = 1;
        rig.fake.hold = true;
        rig_start(&rig, &cmd, &one, 0, cdb, CDB_BUILD(CDB_WRITE_SAME_10, cdb, {CDB_F_COUNT, 2}), 0, 512);
        cmd.out = block;
        scsi_task_start(&rig.reactors[0], &cmd.task);
        rig_run(&rig);
        asks(i < 5 ? STORE_WRITE : STORE_ZERO, 0, 1024, false);
        let_go();
        assert_good(&cmd);
    }
}

static void write_same_takes_from_one_block_to_its_limit(void **state)
{
    (void)state;
    reopen(NULL, UINT64_C(1) << 40);
    static const struct {
        uint64_t blocks, out;
        bool good;
    } rows[] = {{1, 512, true},  {0, 512, false},      {1, 511, false},
                {1, 513, false}, {1 << 21, 512, true}, {(1 << 21) + 1, 512, false},
                {1, 0, false},   {1, 1024, false}};
    memset(data, 0, 512);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        run(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_COUNT, rows[i].blocks}), 0, rows[i].out);
        if (rows[i].good)
            assert_good(&cmd);
        else
            assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        assert_int_equal(rig.fake.zeros, i < 4 ? 1 : 2);
    }
}

static size_t unmap_list(unsigned told, unsigned count, uint64_t lba, uint32_t blocks)
{
    memset(data, 0, 8 + 16 * (count + 1));
    be16_put(data, (uint16_t)(6 + told));
    be16_put(data + 2, (uint16_t)told);
    for (unsigned i = 0; i < count; i++) {
        be64_put(data + 8 + 16 * i, lba + i * blocks);
        be32_put(data + 16 + 16 * i, blocks);
    }
    return 8 + 16 * count;
}

static void unmap(size_t len, uint64_t come)
{
    begin(CDB_BUILD(CDB_UNMAP, cdb, {CDB_F_PARAM_LEN, len}), 0, come);
}

static void unmap_asks_for_each_range_in_turn(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    for (int cache = 1; cache >= 0; cache--) {
        config.write_cache = cache;
        reopen(&config, UINT64_C(1) << 43);
        rig.fake.hold = true;
        size_t len = unmap_list(48, 3, 0x123456789, 5);
        be32_put(data + 16 + 16, 0); /* the second is empty */
        unmap(len, len);
        asks(STORE_DISCARD, 0x123456789 * 512, 5 * 512, !cache);
        let_go();
        assert_false(cmd.over);
        asks(STORE_DISCARD, (0x123456789 + 10) * 512, 5 * 512, !cache);
        let_go();
        assert_true(cmd.over);
        assert_good(&cmd);
    }
}

/* Descriptors count as far as both the list and its own length field go; the rest of one is ignored
 * (SBC-3 5.28). */
static void unmap_takes_whole_descriptors(void **state)
{
    (void)state;
    static const struct {
        unsigned told, sent, done;
    } rows[] = {{16, 24, 1}, {32, 24, 1}, {15, 24, 0}, {16, 40, 1}, {31, 40, 1},
                {32, 40, 2}, {32, 39, 1}, {0, 40, 0},  {0, 8, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned before = rig.fake.discards;
        rig.fake.hold = false;
        unmap_list(rows[i].told, 2, 1, 1);
        unmap(rows[i].sent, rows[i].sent);
        assert_true(cmd.over);
        assert_good(&cmd);
        assert_int_equal(rig.fake.discards - before, rows[i].done);
    }
    for (unsigned len = 1; len < 8; len++) {
        unmap(len, len);
        assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
    }
    unmap_list(16, 1, 1, 1);
    unmap(24, 23); /* one byte does not come */
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
}

static void unmap_has_limits(void **state)
{
    (void)state;
    reopen(NULL, UINT64_C(1) << 40);
    bool in_cdb;
    uint16_t byte;
    int bit;
    size_t len = unmap_list(256 * 16, 256, 0, 4096); /* 1 Mi blocks: all that one command may */
    unmap(len, len);
    assert_good(&cmd);
    assert_int_equal(rig.fake.discards, 256);
    be32_put(data + 16 + 255 * 16, 4097);
    unmap(len, len);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    struct scsi_sense s = rig_sense(&cmd);
    assert_true(sense_pointer(&s, &in_cdb, &byte, &bit));
    assert_false(in_cdb);
    assert_int_equal(byte, 8 + 255 * 16 + 8);
    len = unmap_list(257 * 16, 257, 0, 1);
    unmap(len, len);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    s = rig_sense(&cmd);
    assert_true(sense_pointer(&s, &in_cdb, &byte, &bit));
    assert_int_equal(byte, 2);
    assert_int_equal(rig.fake.discards, 256);
}

/* ---- flushes ---- */

static unsigned flushes_of(size_t len)
{
    unsigned before = rig.fake.flushes;
    run(len, 0, 0);
    assert_good(&cmd);
    return rig.fake.flushes - before;
}

/* Stopping flushes, starting and NO_FLUSH do not; nor does anything where there is nothing to flush. */
static void only_a_cache_that_can_lose_data_is_flushed(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        reopen(NULL, RIG_DISK_MAX);
        rig.fake.store.info.volatile_cache = variant & 1;
        rig.fake.store.info.readonly = variant & 2;
        unsigned one_if = variant == 1;
        assert_int_equal(flushes_of(CDB_BUILD(CDB_SYNC_CACHE_10, cdb, {CDB_F_COUNT, 0})), one_if);
        assert_int_equal(flushes_of(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 1})), 0);
        assert_int_equal(flushes_of(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 0})), one_if);
        assert_int_equal(flushes_of(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 1})), 0);
        assert_int_equal(
            flushes_of(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 1}, {CDB_F_NO_FLUSH, 1})), 0);
        assert_int_equal(
            flushes_of(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 0}, {CDB_F_NO_FLUSH, 1})), 0);
    }
}

static void a_flush_asks_for_nothing_but_a_flush(void **state)
{
    (void)state;
    rig.fake.hold = true;
    begin(CDB_BUILD(CDB_SYNC_CACHE_16, cdb, {CDB_F_LBA, 2048}, {CDB_F_COUNT, 0}), 0, 0);
    asks(STORE_FLUSH, 0, 0, false);
    let_go();
    assert_good(&cmd);
    begin(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 0}), 0, 0);
    asks(STORE_FLUSH, 0, 0, false);
    let_go();
    assert_good(&cmd);
    begin(CDB_BUILD(CDB_SYNC_CACHE_16, cdb, {CDB_F_LBA, 2049}, {CDB_F_COUNT, 0}), 0, 0);
    assert_int_equal(cmd.task.status, SCSI_STATUS_CHECK_CONDITION); /* stopped */
}

/* The write cache is switched off only when what it holds is safe; other changes do not flush. */
static void mode_select_flushes_when_the_cache_goes(void **state)
{
    (void)state;
    static const struct {
        uint8_t page, len, byte, value;
        bool volatile_cache;
        unsigned flushes;
    } rows[] = {
        {0x0a, 12, 2, 0x24, true, 0}, /* D_SENSE on, TST 1: what it is */
        {0x08, 20, 2, 0x04, true, 0}, /* WCE stays on */
        {0x08, 20, 2, 0x00, true, 1}, /* off */
        {0x08, 20, 2, 0x00, true, 0}, /* stays off */
        {0x08, 20, 2, 0x04, true, 0}, /* on */
        {0x08, 20, 2, 0x00, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig.fake.store.info.volatile_cache = rows[i].volatile_cache;
        unsigned before = rig.fake.flushes;
        memset(data, 0, 64);
        data[4] = rows[i].page;
        data[5] = (uint8_t)(rows[i].len - 2);
        data[4 + rows[i].byte] = rows[i].value;
        if (rows[i].page == 0x0a) {
            data[4 + 3] = 0x10;
            data[4 + 5] = 0x40;
            data[4 + 8] = data[4 + 9] = 0xff;
        }
        run(CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 4u + rows[i].len}), 0,
            4u + rows[i].len);
        assert_good(&cmd);
        assert_int_equal(rig.fake.flushes - before, rows[i].flushes);
    }
}

/* ---- what goes wrong ---- */

static void every_store_error_has_its_sense(void **state)
{
    (void)state;
    enum { READ, WRITE, ZERO, FLUSH, VERBS };
    static const struct {
        int err;
        unsigned status; /* BUSY, or CHECK CONDITION with: */
        unsigned key, read, write;
    } rows[] = {
        {ERR_NOMEM, SCSI_STATUS_BUSY, 0, 0, 0},
        {ERR_BUSY, SCSI_STATUS_BUSY, 0, 0, 0},
        {ERR_AGAIN, SCSI_STATUS_BUSY, 0, 0, 0},
        {ERR_IO, SCSI_STATUS_CHECK_CONDITION, SENSE_MEDIUM_ERROR, ASC_UNRECOVERED_READ_ERROR,
         ASC_WRITE_ERROR},
        {ERR_NOSPACE, SCSI_STATUS_CHECK_CONDITION, SENSE_DATA_PROTECT, ASC_SPACE_ALLOCATION_FAILED,
         ASC_SPACE_ALLOCATION_FAILED},
        {ERR_TOOBIG, SCSI_STATUS_CHECK_CONDITION, SENSE_DATA_PROTECT, ASC_SPACE_ALLOCATION_FAILED,
         ASC_SPACE_ALLOCATION_FAILED},
        {ERR_READONLY, SCSI_STATUS_CHECK_CONDITION, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED,
         ASC_WRITE_PROTECTED},
        {ERR_PERMISSION, SCSI_STATUS_CHECK_CONDITION, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED,
         ASC_WRITE_PROTECTED},
        {ERR_UNKNOWN, SCSI_STATUS_CHECK_CONDITION, SENSE_HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE,
         ASC_INTERNAL_TARGET_FAILURE},
        {ERR_RANGE, SCSI_STATUS_CHECK_CONDITION, SENSE_HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE,
         ASC_INTERNAL_TARGET_FAILURE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int verb = 0; verb < VERBS; verb++) {
            rig.fake.fail = rows[i].err;
            rig.fake.fail_at = 12 * 512 + 511; /* the last byte of block 12 */
            if (verb == READ)
                run(CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, 10}, {CDB_F_COUNT, 4}), 2048, 0);
            else if (verb == WRITE)
                run(CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_LBA, 10}, {CDB_F_COUNT, 4}), 0, 2048);
            else if (verb == ZERO)
                run(CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_LBA, 10}, {CDB_F_COUNT, 4}, {CDB_F_NDOB, 1}), 0,
                    0);
            else
                run(CDB_BUILD(CDB_SYNC_CACHE_10, cdb, {CDB_F_COUNT, 0}), 0, 0);
            assert_int_equal(cmd.task.status, rows[i].status);
            if (rows[i].status == SCSI_STATUS_BUSY)
                continue;
            assert_sense(&cmd, rows[i].key, verb == READ ? rows[i].read : rows[i].write);
            assert_int_equal(rig_sense(&cmd).has_information, verb != FLUSH);
            if (verb != FLUSH)
                assert_int_equal(rig_sense(&cmd).information, 12);
        }
    }
}

/* INFORMATION of 32 bits is fixed format's most (SBC-3 4.18.1). */
static void the_largest_lba_that_fixed_sense_holds(void **state)
{
    (void)state;
    reopen(NULL, UINT64_C(1) << 43);
    for (int above = 0; above < 2; above++) {
        uint64_t lba = UINT32_MAX + (uint64_t)above;
        rig.fake.fail = ERR_IO;
        rig.fake.fail_at = lba * 512;
        run(CDB_BUILD(CDB_READ_16, cdb, {CDB_F_LBA, lba}, {CDB_F_COUNT, 1}), 512, 0);
        assert_int_equal(rig_sense(&cmd).descriptor, above);
        assert_true(rig_sense(&cmd).has_information);
        assert_int_equal(rig_sense(&cmd).information, lba);
    }
}

/* Data-out of VERIFY that finds no memory for its partner waits, in the order in which it came. */
static void compares_wait_for_memory(void **state)
{
    (void)state;
    enum { PIECES = 5 };
    for (int aborted = 0; aborted < 2; aborted++) {
        struct chunk *hog[40960];
        unsigned hogs = 0;
        memcpy(rig.fake.disk, data, PIECES * 512);
        rig.fake.hold = true;
        rig_start(&rig, &cmd, &one, 0, cdb,
                  CDB_BUILD(CDB_VERIFY_10, cdb, {CDB_F_COUNT, PIECES}, {CDB_F_BYTCHK, 1}), 0, PIECES * 512);
        cmd.sent = PIECES * 512;
        scsi_task_start(&rig.reactors[0], &cmd.task);
        rig_run(&rig);
        struct scsi_span *spans[PIECES];
        for (unsigned i = 0; i < PIECES; i++) {
            spans[i] = scsi_span_new(&rig.reactors[0], 512);
            spans[i]->offset = i * 512;
            memcpy(spans[i]->data.ptr, data + i * 512, 512);
        }
        while (hogs < 40960 && (hog[hogs] = pool_get(rig.pools[0], 512)) != NULL)
            hogs++;
        for (unsigned i = 0; i < PIECES; i++)
            scsi_data_out(&rig.reactors[0], &cmd.task, spans[i]);
        rig_run(&rig);
        assert_true(list_empty(&rig.held));
        assert_false(cmd.over);
        chunk_unref(hog[--hogs]); /* memory for one */
        rig_run(&rig);
        asks(STORE_READ, 0, 512, false);
        assert_ptr_equal(rig.held.next, rig.held.prev);
        chunk_unref(hog[--hogs]); /* and one more */
        rig_run(&rig);
        assert_int_equal(list_entry(rig.held.prev, struct store_req, node)->offset, 512);
        if (aborted)
            scsi_task_abort(&rig.reactors[0], &cmd.task);
        while (hogs)
            chunk_unref(hog[--hogs]);
        rig_run(&rig);
        unsigned count = 0;
        list_for_each(it, &rig.held)
            assert_int_equal(list_entry(it, struct store_req, node)->offset, 512 * count++);
        assert_int_equal(count, aborted ? 2 : PIECES);
        while (!list_empty(&rig.held)) {
            assert_false(cmd.over);
            let_go();
        }
        assert_true(cmd.over);
        assert_int_equal(cmd.aborted, aborted);
        if (!aborted)
            assert_good(&cmd);
    }
}

/* That no more data-out comes means nothing to a command that waits for the store, not for data. */
static void the_end_of_data_out_ends_only_what_waits_for_it(void **state)
{
    (void)state;
    for (int command = 0; command < 4; command++) {
        memset(cdb, 0, sizeof cdb);
        size_t len = command == 0   ? CDB_BUILD(CDB_SYNC_CACHE_10, cdb, {CDB_F_COUNT, 0})
                     : command == 1 ? CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 1})
                     : command == 2 ? CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_COUNT, 1}, {CDB_F_NDOB, 1})
                                    : CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 0});
        rig.fake.hold = true;
        begin(len, command == 1 ? 512 : 0, 0);
        scsi_data_out_end(&rig.reactors[0], &cmd.task);
        rig_run(&rig);
        assert_false(cmd.over);
        let_go();
        assert_true(cmd.over);
        assert_good(&cmd);
        scsi_data_out_end(&rig.reactors[0], &cmd.task); /* over: nothing */
        rig_run(&rig);
    }
    run(CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 1}), 0, 0);
    /* A write ends with what came, when that is on the medium. */
    for (unsigned came = 0; came < 4; came++) {
        rig.fake.hold = true;
        rig_start(&rig, &cmd, &one, 0, cdb, CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 3}), 0, 3 * 512);
        cmd.sent = 3 * 512; /* the rig brings nothing */
        scsi_task_start(&rig.reactors[0], &cmd.task);
        for (unsigned i = 0; i < came; i++) {
            struct scsi_span *span = scsi_span_new(&rig.reactors[0], 512);
            span->offset = 512 * i;
            memset(span->data.ptr, 0x40 + (int)i, 512);
            scsi_data_out(&rig.reactors[0], &cmd.task, span);
        }
        rig_run(&rig);
        scsi_data_out_end(&rig.reactors[0], &cmd.task);
        rig_run(&rig);
        for (unsigned i = 0; i < came; i++) {
            assert_false(cmd.over);
            asks(STORE_WRITE, 512 * i, 512, false);
            let_go();
            assert_int_equal(rig.fake.disk[512 * i], 0x40 + i);
        }
        assert_true(cmd.over);
        assert_good(&cmd);
        assert_int_equal(cmd.task.out_len, 3 * 512);
    }
}

/* Data-out in pieces that are no whole blocks, or lie beyond the command: only whole blocks of it are
 * written. */
static void only_whole_blocks_within_the_command_are_written(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        uint32_t len, written;
    } rows[] = {{0, 512, 512},   {0, 1024, 1024},  {512, 512, 512}, {512, 1024, 0}, {1024, 512, 0},
                {0, 1025, 1024}, {0, 1023, 512},   {0, 511, 0},     {1, 512, 0},    {511, 512, 0},
                {2048, 512, 0},  {512, 1023, 512}, {0, 1536, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig.fake.hold = true;
        rig_start(&rig, &cmd, &one, 0, cdb, CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_LBA, 4}, {CDB_F_COUNT, 2}), 0,
                  1024);
        cmd.sent = 1024;
        scsi_task_start(&rig.reactors[0], &cmd.task);
        struct scsi_span *span = scsi_span_new(&rig.reactors[0], rows[i].len);
        span->offset = rows[i].offset;
        memset(span->data.ptr, 0x77, rows[i].len);
        scsi_data_out(&rig.reactors[0], &cmd.task, span);
        rig_run(&rig);
        if (rows[i].written) {
            asks(STORE_WRITE, 4 * 512 + rows[i].offset, rows[i].written, false);
            let_go();
        }
        assert_true(list_empty(&rig.held));
        scsi_data_out_end(&rig.reactors[0], &cmd.task);
        rig_run(&rig);
        assert_true(cmd.over);
        assert_good(&cmd);
    }
}

/* A parameter list in pieces of any order; what lies beyond it is ignored. */
static void parameter_lists_come_in_any_pieces(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 5, 7, 12, 24};
    for (int backwards = 0; backwards < 2; backwards++) {
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            uint8_t list[24] = {0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2};
            memset(rig.fake.disk, 0xee, 8 * 512);
            rig.fake.hold = false;
            rig_start(&rig, &cmd, &one, 0, cdb, CDB_BUILD(CDB_UNMAP, cdb, {CDB_F_PARAM_LEN, 24}), 0, 24);
            cmd.sent = 24;
            scsi_task_start(&rig.reactors[0], &cmd.task);
            uint32_t pieces = (24 + sizes[k] - 1) / sizes[k];
            for (uint32_t n = 0; n < pieces; n++) {
                uint32_t at = (backwards ? pieces - 1 - n : n) * sizes[k], len = min_u32(sizes[k], 24 - at);
                struct scsi_span *span = scsi_span_new(&rig.reactors[0], len);
                span->offset = at;
                memcpy(span->data.ptr, list + at, len);
                rig_run(&rig);
                assert_false(cmd.over);
                scsi_data_out(&rig.reactors[0], &cmd.task, span);
            }
            rig_run(&rig);
            assert_true(cmd.over);
            assert_good(&cmd);
            for (unsigned i = 0; i < 8; i++)
                assert_int_equal(rig.fake.disk[512 * i], i == 3 || i == 4 ? 0 : 0xee);
        }
    }
    /* One piece that is longer than the list, and one that lies behind it. */
    for (uint64_t offset = 0; offset <= 24; offset += 8) {
        rig_start(&rig, &cmd, &one, 0, cdb, CDB_BUILD(CDB_UNMAP, cdb, {CDB_F_PARAM_LEN, 8}), 0, 8);
        cmd.sent = 8;
        scsi_task_start(&rig.reactors[0], &cmd.task);
        struct scsi_span *span = scsi_span_new(&rig.reactors[0], 512);
        span->offset = offset;
        memset(span->data.ptr, 0, 512);
        scsi_data_out(&rig.reactors[0], &cmd.task, span);
        rig_run(&rig);
        assert_true(cmd.over);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_command_asks_for_what_it_needs),
        T(only_stores_that_discard_have_unmap),
        T(data_out_of_blocks_comes_in_blocks),
        T(reads_ask_for_what_there_is_room_for),
        T(long_reads_keep_four_spans_on_their_way),
        T(verifies_read_and_return_nothing),
        T(the_first_byte_that_differs_is_told),
        T(writes_say_when_they_must_be_safe),
        T(write_same_is_written_in_large_pieces),
        T(a_block_is_zero_when_all_of_it_is),
        T(write_same_takes_from_one_block_to_its_limit),
        T(unmap_asks_for_each_range_in_turn),
        T(unmap_takes_whole_descriptors),
        T(unmap_has_limits),
        T(only_a_cache_that_can_lose_data_is_flushed),
        T(a_flush_asks_for_nothing_but_a_flush),
        T(mode_select_flushes_when_the_cache_goes),
        T(every_store_error_has_its_sense),
        T(the_largest_lba_that_fixed_sense_holds),
        T(compares_wait_for_memory),
        T(the_end_of_data_out_ends_only_what_waits_for_it),
        T(only_whole_blocks_within_the_command_are_written),
        T(parameter_lists_come_in_any_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
