/* Goal: XDWRITEREAD(10) and (32), the commands that take and give data at once: what is returned, what lands
 * on the medium, limits of either direction, errors, aborts, memory. Method: a model of the disk and an
 * exhaustive walk over small cases; a scripted store that holds requests back; a transport that brings
 * data-out in any order and keeps data-in for as long as the test likes. */
#include "tests/unit/test_device_rig.h"

#include "tests/unit/proves.h"

#define BLOCK 512u

static struct rig rig;
static struct scsi_nexus nexus;
static struct rig_cmd cmd;
static uint8_t old_data[RIG_DISK_MAX], new_data[RIG_DISK_MAX], got[RIG_DISK_MAX], disk[RIG_DISK_MAX];
static uint8_t cdb[CDB_LEN_MAX];
static size_t looked_at = RIG_DISK_MAX; /* bytes of the disk that a case can touch */

static void open_with(const struct scsi_lu_config *config)
{
    rig_init(&rig, 1, config, RIG_DISK_MAX);
    rig_nexus(&rig, 0, &nexus, "iqn.2026-01.test:i");
    rig_clear_ua(&rig, &nexus);
    for (size_t i = 0; i < RIG_DISK_MAX; i++) {
        old_data[i] = (uint8_t)(i * 7 + i / 512);
        new_data[i] = (uint8_t)(i * 13 + i / 509 + 1);
    }
    memcpy(rig.fake.disk, old_data, RIG_DISK_MAX);
}

static int set_up(void **state)
{
    (void)state;
    open_with(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scsi_nexus_close(&nexus);
    rig_fini(&rig);
    return 0;
}

static size_t build(bool ten, uint64_t lba, uint64_t blocks, bool disable)
{
    return ten ? CDB_BUILD(CDB_XDWRITEREAD_10, cdb, {CDB_F_LBA, lba}, {CDB_F_COUNT, blocks},
                           {CDB_F_DISABLE_WRITE, disable})
               : CDB_BUILD(CDB_XDWRITEREAD_32, cdb, {CDB_F_LBA, lba}, {CDB_F_COUNT, blocks},
                           {CDB_F_DISABLE_WRITE, disable});
}

static void run(size_t len, uint64_t in, uint64_t out)
{
    memset(got, 0xee, looked_at);
    rig_do(&rig, &cmd, &nexus, cdb, len, got, in, new_data, out);
}

/* The medium now, and the data-in, against what the model says. */
static void check(uint64_t lba, uint64_t written, uint64_t returned)
{
    memcpy(disk, old_data, looked_at);
    memcpy(disk + lba * BLOCK, new_data, written);
    assert_memory_equal(rig.fake.disk, disk, looked_at);
    assert_int_equal(cmd.got, returned);
    for (uint64_t i = 0; i < returned; i++)
        assert_int_equal(got[i], old_data[lba * BLOCK + i] ^ new_data[i]);
}

static void xor_of_old_and_new_comes_back_and_new_is_written(void **state)
{
    (void)state;
    for (int ten = 0; ten < 2; ten++) {
        memcpy(rig.fake.disk, old_data, RIG_DISK_MAX);
        run(build(ten, 100, 1000, false), 1000 * BLOCK, 1000 * BLOCK);
        assert_good(&cmd);
        assert_int_equal(cmd.task.out_len, 1000 * BLOCK);
        assert_int_equal(cmd.task.in_len, 1000 * BLOCK);
        check(100, 1000 * BLOCK, 1000 * BLOCK);
    }
}

static void disable_write_leaves_the_medium_alone(void **state)
{
    (void)state;
    for (int ten = 0; ten < 2; ten++) {
        run(build(ten, 3, 700, true), 700 * BLOCK, 700 * BLOCK);
        assert_good(&cmd);
        check(3, 0, 700 * BLOCK);
    }
}

/* Exhaustive: LBA, count, expected lengths of both directions in half blocks, DISABLE WRITE, both forms, two
 * sizes of data-out spans. */
static void every_small_case_fits_the_model(void **state)
{
    (void)state;
    looked_at = 16 * BLOCK;
    for (unsigned n = 0; n < 2 * 2 * 2 * 3 * 4 * 8 * 8; n++) {
        unsigned rest = n;
        bool ten = rest % 2, disable = rest / 2 % 2, small = rest / 4 % 2;
        uint64_t lba = rest / 8 % 3, blocks = rest / 24 % 4;
        uint64_t in = rest / 96 % 8 * (BLOCK / 2), out = rest / 768 % 8 * (BLOCK / 2);
        rig.span_len = small ? BLOCK : 8192;
        memcpy(rig.fake.disk, old_data, looked_at);
        run(build(ten, lba, blocks, disable), in, out);
        assert_good(&cmd);
        uint64_t come = blocks * BLOCK < out ? blocks * BLOCK : out;
        uint64_t whole = come - come % BLOCK;
        assert_int_equal(cmd.task.in_len, whole);
        assert_int_equal(cmd.task.out_len, blocks * BLOCK);
        check(lba, disable ? 0 : whole, whole < in ? whole : in);
    }
    looked_at = RIG_DISK_MAX;
    assert_memory_equal(rig.fake.disk + 16 * BLOCK, old_data + 16 * BLOCK, RIG_DISK_MAX - 16 * BLOCK);
}

static void ranges_end_where_the_medium_ends(void **state)
{
    (void)state;
    uint64_t end = RIG_DISK_MAX / BLOCK;
    for (int ten = 0; ten < 2; ten++) {
        memcpy(rig.fake.disk, old_data, RIG_DISK_MAX);
        run(build(ten, end - 2, 2, false), 2 * BLOCK, 2 * BLOCK);
        assert_good(&cmd);
        check(end - 2, 2 * BLOCK, 2 * BLOCK);
        memcpy(rig.fake.disk, old_data, RIG_DISK_MAX);
        run(build(ten, end, 0, false), BLOCK, BLOCK);
        assert_good(&cmd);
        check(0, 0, 0);
        const uint64_t lbas[] = {end - 1, end, 0xffffffff};
        for (size_t i = 0; i < 3; i++) {
            run(build(ten, lbas[i], 2, false), 2 * BLOCK, 2 * BLOCK);
            assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
            check(0, 0, 0);
        }
    }
    run(build(false, UINT64_MAX, 1, false), BLOCK, BLOCK);
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
}

static void points_at(uint16_t byte, int bit)
{
    bool in_cdb;
    uint16_t at;
    int its_bit;
    assert_sense(&cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    struct scsi_sense s = rig_sense(&cmd);
    assert_true(sense_pointer(&s, &in_cdb, &at, &its_bit));
    assert_true(in_cdb && at == byte && its_bit == bit);
}

static void wrong_fields_are_refused_with_their_place(void **state)
{
    (void)state;
    const struct {
        bool ten;
        uint16_t byte;
        uint8_t value;
        int bit;
    } wrong[] = {
        {true, 1, 0x20, 7},   {true, 1, 0x01, 0},  {true, 9, 0x04, 2},   {true, 6, 0x20, 5},
        {false, 1, 0x04, 2},  {false, 2, 0x01, 0}, {false, 5, 0x80, 7},  {false, 7, 0x19, 7},
        {false, 7, 0x17, 7},  {false, 7, 0x00, 7}, {false, 10, 0x20, 7}, {false, 10, 1, 0},
        {false, 11, 0x40, 6}, {false, 20, 1, 0},   {false, 27, 0x10, 4},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        size_t len = build(wrong[i].ten, 0, 1, false);
        cdb[wrong[i].byte] = wrong[i].byte == 7 ? wrong[i].value : cdb[wrong[i].byte] | wrong[i].value;
        run(len, BLOCK, BLOCK);
        points_at(wrong[i].byte, wrong[i].bit);
        check(0, 0, 0);
    }
    /* hints, vendor specific bits of CONTROL and the obsolete FUA_NV do no harm */
    size_t len = build(false, 0, 1, true);
    cdb[1] = 0xc0;
    cdb[6] = 0x1f;
    cdb[10] |= 0x12;
    run(len, BLOCK, BLOCK);
    assert_good(&cmd);
    /* another service action; a CDB that is cut */
    len = build(false, 0, 1, false);
    cdb[9] = 0x04;
    run(len, BLOCK, BLOCK);
    points_at(8, 7);
    build(false, 0, 1, false);
    run(31, BLOCK, BLOCK);
    points_at(31, 7);
    run(16, BLOCK, BLOCK);
    points_at(16, 7);
}

static void read_only_places_refuse_it(void **state)
{
    (void)state;
    rig_start(&rig, &cmd, &nexus, 300, cdb, build(true, 0, 1, false), BLOCK, BLOCK);
    scsi_task_start(&rig.reactors[0], &cmd.task);
    rig_run(&rig);
    assert_sense(&cmd, SENSE_UNIT_ATTENTION, ASC_POWER_ON_RESET);
    rig_start(&rig, &cmd, &nexus, 300, cdb, build(true, 0, 1, true), BLOCK, BLOCK);
    scsi_task_start(&rig.reactors[0], &cmd.task);
    rig_run(&rig);
    assert_sense(&cmd, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    check(0, 0, 0);
}

static void write_through_is_as_with_other_writes(void **state)
{
    (void)state;
    run(CDB_BUILD(CDB_XDWRITEREAD_10, cdb, {CDB_F_COUNT, 1}), BLOCK, BLOCK);
    assert_int_equal(rig.fake.fua_writes, 0);
    run(CDB_BUILD(CDB_XDWRITEREAD_10, cdb, {CDB_F_COUNT, 1}, {CDB_F_FUA, 1}), BLOCK, BLOCK);
    assert_int_equal(rig.fake.fua_writes, 1);
    tear_down(NULL);
    struct scsi_lu_config config = rig_lu_config();
    config.write_cache = false;
    open_with(&config);
    run(CDB_BUILD(CDB_XDWRITEREAD_32, cdb, {CDB_F_COUNT, 1}), BLOCK, BLOCK);
    assert_int_equal(rig.fake.fua_writes, 1);
}

static void store_errors_become_sense_with_the_block(void **state)
{
    (void)state;
    for (int write = 0; write < 2; write++) {
        memcpy(rig.fake.disk, old_data, RIG_DISK_MAX);
        rig.fake.fail = ERR_IO;
        rig.fake.fail_verb = write ? STORE_WRITE : STORE_READ;
        rig.fake.fail_at = 45 * BLOCK;
        run(build(true, 10, 100, false), 100 * BLOCK, 100 * BLOCK);
        assert_sense(&cmd, SENSE_MEDIUM_ERROR, write ? ASC_WRITE_ERROR : ASC_UNRECOVERED_READ_ERROR);
        struct scsi_sense s = rig_sense(&cmd);
        assert_true(s.has_information);
        assert_int_equal(s.information, 45);
        /* what came back belongs to blocks before the wrong one */
        assert_true(cmd.got <= 35 * BLOCK);
        for (uint64_t i = 0; i < cmd.got; i++)
            assert_int_equal(got[i], old_data[10 * BLOCK + i] ^ new_data[i]);
        assert_memory_equal(rig.fake.disk + 45 * BLOCK, old_data + 45 * BLOCK, BLOCK);
    }
}

static void give_out(uint64_t offset, uint32_t len)
{
    struct scsi_span *span = scsi_span_new(&rig.reactors[0], len);
    assert_non_null(span);
    memcpy(span->data.ptr, new_data + offset, len);
    span->offset = offset;
    scsi_data_out(&rig.reactors[0], &cmd.task, span);
}

static void start(size_t len, uint64_t bytes, bool keep)
{
    rig_start(&rig, &cmd, &nexus, 0, cdb, len, bytes, bytes);
    memset(got, 0xee, sizeof got);
    cmd.in = got;
    cmd.out = new_data;
    cmd.sent = bytes; /* the test brings the data */
    cmd.keep_spans = keep;
    scsi_task_start(&rig.reactors[0], &cmd.task);
}

static void give_back_all(void)
{
    struct list_node *node;
    while ((node = list_pop_front(&cmd.loans)))
        scsi_span_done(&rig.reactors[0], list_entry(node, struct scsi_span, node));
}

/* All orders of seven pieces (5,040), with a transport that keeps what it gets until nothing else moves. */
static void data_out_in_any_order_comes_back_in_order(void **state)
{
    (void)state;
    enum { PIECES = 7 };
    for (unsigned n = 0; n < 5040; n++) {
        unsigned left[PIECES] = {0, 1, 2, 3, 4, 5, 6}, rest = n;
        memcpy(rig.fake.disk, old_data, PIECES * BLOCK);
        start(build(n % 2, 0, PIECES, false), PIECES * BLOCK, true);
        for (unsigned count = PIECES; count > 0; count--) {
            unsigned pick = rest % count;
            rest /= count;
            give_out(left[pick] * BLOCK, BLOCK);
            memmove(left + pick, left + pick + 1, (count - 1 - pick) * sizeof left[0]);
            rig_run(&rig);
            /* bounded, whatever the order: partners of spans, and what the transport keeps */
            assert_true(cmd.task.spans_in <= SCSI_SPANS_PER_TASK + 1);
        }
        while (!cmd.over) {
            assert_false(list_empty(&cmd.loans)); /* else nothing would ever move again */
            give_back_all();
            rig_run(&rig);
        }
        give_back_all();
        assert_good(&cmd);
        assert_int_equal(cmd.got, PIECES * BLOCK);
        assert_memory_equal(rig.fake.disk, new_data, PIECES * BLOCK);
        for (unsigned i = 0; i < PIECES * BLOCK; i++)
            assert_int_equal(got[i], old_data[i] ^ new_data[i]);
    }
}

static void the_store_may_complete_in_any_order(void **state)
{
    (void)state;
    rig.fake.hold = true;
    start(build(true, 5, 4, false), 4 * BLOCK, false);
    for (unsigned i = 0; i < 4; i++)
        give_out(i * BLOCK, BLOCK);
    rig_run(&rig);
    bool newest = true;
    while (rig_release_at(&rig, newest)) {
        rig_run(&rig);
        newest = !newest;
    }
    assert_true(cmd.over);
    assert_good(&cmd);
    check(5, 4 * BLOCK, 4 * BLOCK);
}

static void data_that_stops_coming_ends_it_with_what_came(void **state)
{
    (void)state;
    start(build(true, 0, 4, false), 4 * BLOCK, false);
    give_out(0, BLOCK);
    give_out(2 * BLOCK, BLOCK); /* a hole before it: written, but there is no place for it in the data-in */
    scsi_data_out_end(&rig.reactors[0], &cmd.task);
    rig_run(&rig);
    assert_true(cmd.over);
    assert_good(&cmd);
    assert_int_equal(cmd.got, BLOCK);
    assert_int_equal(cmd.task.in_len, BLOCK);
    assert_memory_equal(rig.fake.disk + 2 * BLOCK, new_data + 2 * BLOCK, BLOCK);
}

/* A command that has failed is still offered what the initiator was asked for. */
static void late_data_is_dropped(void **state)
{
    (void)state;
    for (int write = 0; write < 2; write++) {
        rig.fake.fail = ERR_IO;
        rig.fake.fail_at = 0;
        size_t len = write ? CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 4}) : build(true, 0, 4, false);
        start(len, 4 * BLOCK, false);
        give_out(0, BLOCK);
        struct store_req *req = scsi_next_request(&rig.reactors[0]);
        fake_execute(&rig.fake, req);
        scsi_store_done(&rig.reactors[0], req); /* over, and nobody has been told */
        give_out(BLOCK, BLOCK);
        scsi_data_out_end(&rig.reactors[0], &cmd.task);
        assert_null(scsi_next_request(&rig.reactors[0]));
        rig.fake.fail = 0;
        rig_run(&rig);
        assert_true(cmd.over);
        assert_sense(&cmd, SENSE_MEDIUM_ERROR, write ? ASC_WRITE_ERROR : ASC_UNRECOVERED_READ_ERROR);
    }
    memset(rig.fake.disk, 0, BLOCK);
}

/* At every moment of the command's life: both directions in flight, IN and OUT raised at once. */
static void an_abort_at_any_moment_gives_everything_back(void **state)
{
    (void)state;
    for (unsigned moment = 0; moment < 40; moment++) {
        bool keep = moment % 2;
        memcpy(rig.fake.disk, old_data, RIG_DISK_MAX);
        rig.fake.hold = true;
        start(build(moment % 3 == 0, 0, 6, false), 6 * BLOCK, keep);
        unsigned step = 0;
        for (unsigned given = 0; step < moment / 2 && !cmd.over; step++) {
            if (step % 3 == 0 && given < 6)
                give_out(given++ * BLOCK, BLOCK);
            else
                rig_release_at(&rig, step % 2);
            if (step % 4)
                rig_run(&rig);
        }
        struct scsi_tmf tmf = {
            .function = SCSI_TMF_ABORT_TASK, .nexus = &nexus, .task = cmd.over ? NULL : &cmd.task};
        scsi_tmf_start(&rig.reactors[0], &tmf);
        rig_run(&rig);
        if (rig.held.next != &rig.held)
            assert_null(scsi_next_tmf(&rig.reactors[0])); /* not while the store has something of it */
        while (rig_release(&rig))
            rig_run(&rig);
        rig_run(&rig);
        assert_ptr_equal(scsi_next_tmf(&rig.reactors[0]), &tmf);
        assert_true(cmd.over);
        give_back_all();
        for (unsigned i = 0; i < 6 * BLOCK; i++) /* each byte is old or new */
            assert_true(rig.fake.disk[i] == old_data[i] || rig.fake.disk[i] == new_data[i]);
        rig.fake.hold = false;
    }
}

static void in_and_out_are_raised_together(void **state)
{
    (void)state;
    uint32_t bits;
    start(build(true, 0, 2, false), 2 * BLOCK, false);
    assert_ptr_equal(scsi_next_ready(&rig.reactors[0], &bits), &cmd.task);
    assert_int_equal(bits, SCSI_READY_OUT);
    give_out(0, BLOCK);
    struct store_req *req;
    while ((req = scsi_next_request(&rig.reactors[0]))) {
        fake_execute(&rig.fake, req);
        scsi_store_done(&rig.reactors[0], req);
    }
    assert_ptr_equal(scsi_next_ready(&rig.reactors[0], &bits), &cmd.task);
    assert_int_equal(bits, SCSI_READY_IN | SCSI_READY_OUT);
    rig_take(&rig.reactors[0], &cmd);
    give_out(BLOCK, BLOCK);
    rig_run(&rig);
    assert_true(cmd.over);
    check(0, 2 * BLOCK, 2 * BLOCK);
}

static void short_of_memory_it_waits_and_goes_on(void **state)
{
    (void)state;
    struct chunk *hoard[4096];
    size_t count = 0;
    start(build(true, 0, 4, false), 4 * BLOCK, false);
    for (unsigned i = 0; i < 4; i++) {
        struct scsi_span *span = scsi_span_new(&rig.reactors[0], BLOCK);
        memcpy(span->data.ptr, new_data + i * BLOCK, BLOCK);
        span->offset = i * BLOCK;
        while (count < 4096 && (hoard[count] = pool_get(rig.pools[0], BLOCK)) != NULL)
            count++;
        scsi_data_out(&rig.reactors[0], &cmd.task, span);
        if (i < 3) {
            rig_run(&rig);
            while (count > 0)
                chunk_unref(hoard[--count]);
        }
    }
    rig_run(&rig);
    while (count > 0)
        chunk_unref(hoard[--count]);
    rig_run(&rig);
    assert_true(cmd.over);
    assert_good(&cmd);
    check(0, 4 * BLOCK, 4 * BLOCK);
}

static void a_failed_allocation_is_survived(void **state)
{
    (void)state;
    tear_down(NULL);
    for (unsigned n = 1; n < 40; n++) {
        rig_init(&rig, 1, NULL, RIG_DISK_MAX);
        rig_nexus(&rig, 0, &nexus, "iqn.2026-01.test:i");
        rig_clear_ua(&rig, &nexus);
        rig.heap.fail_at = rig.heap.calls + n;
        rig_start(&rig, &cmd, &nexus, 0, cdb, build(true, 0, 40, false), 40 * BLOCK, 40 * BLOCK);
        cmd.sent = 40 * BLOCK;
        cmd.in = got;
        scsi_task_start(&rig.reactors[0], &cmd.task);
        for (unsigned i = 0; i < 40; i++) {
            struct scsi_span *span;
            while (!(span = scsi_span_new(&rig.reactors[0], BLOCK)))
                rig_run(&rig);
            memcpy(span->data.ptr, new_data + i * BLOCK, BLOCK);
            span->offset = i * BLOCK;
            scsi_data_out(&rig.reactors[0], &cmd.task, span);
        }
        rig_run(&rig);
        assert_true(cmd.over);
        assert_good(&cmd);
        assert_memory_equal(rig.fake.disk, new_data, 40 * BLOCK);
        scsi_nexus_close(&nexus);
        rig_fini(&rig);
    }
    open_with(NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(xor_of_old_and_new_comes_back_and_new_is_written),
        T(disable_write_leaves_the_medium_alone),
        T(every_small_case_fits_the_model),
        T(ranges_end_where_the_medium_ends),
        T(wrong_fields_are_refused_with_their_place),
        T(read_only_places_refuse_it),
        T(write_through_is_as_with_other_writes),
        T(store_errors_become_sense_with_the_block),
        T(data_out_in_any_order_comes_back_in_order),
        T(the_store_may_complete_in_any_order),
        T(data_that_stops_coming_ends_it_with_what_came),
        T(late_data_is_dropped),
        T(an_abort_at_any_moment_gives_everything_back),
        T(in_and_out_are_raised_together),
        T(short_of_memory_it_waits_and_goes_on),
        T(a_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
