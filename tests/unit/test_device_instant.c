/* Goal: which commands are carried out on the spot and which are left to tasks, condition by condition and
 * limit by limit; and memory that a store lends, whoever holds it. Method: a store that answers at once and
 * counts; each condition is broken alone, and nothing may have happened then. */
#include "target/scsi/private.h"
#include "tests/unit/test_device_rig.h"

#define LEND_LEN 4096u
#define BLOCKS   64u

static struct rig rig;
static struct scsi_nexus one;
static struct rig_cmd cmds[4];
static uint8_t cdb[CDB_LEN_MAX], data[RIG_DISK_MAX];
static unsigned submitted, lent;
static const struct chunk *whole; /* what the store was told it may keep */
static bool later, failing, nothing_to_give_back;

static bool submit(struct store *store, struct io *io, struct store_req *req)
{
    assert_ptr_equal(store, &rig.fake.store);
    assert_null(io);
    submitted++;
    assert_false(req->fua);
    assert_null(req->loan);
    req->result = failing ? ERR_IO : 0;
    if (later)
        return false;
    if (req->verb == STORE_READ) {
        assert_int_equal(req->vec_count, 0);
        req->vec[0] = (struct io_vec){rig.fake.disk + req->offset, req->len};
        req->vec_count = 1;
        if (!failing && !nothing_to_give_back) {
            req->loan = rig.fake.disk;
            lent++;
        }
    } else {
        assert_int_equal(req->verb, STORE_WRITE);
        assert_int_equal(req->vec_count, 1);
        assert_int_equal(req->vec[0].len, req->len);
        memcpy(rig.fake.disk + req->offset, req->vec[0].ptr, req->len);
        whole = req->whole;
    }
    return true;
}

static void give_back(struct store *store, void *loan, const uint8_t *bytes)
{
    (void)bytes;
    assert_ptr_equal(store, &rig.fake.store);
    assert_ptr_equal(loan, rig.fake.disk);
    lent--;
}

static uint32_t expected; /* how often */
static uint64_t expected_at;
static uint32_t expected_len;

static void expect(struct store *store, uint64_t offset, uint32_t len)
{
    assert_ptr_equal(store, &rig.fake.store);
    assert_true(len > 0 && offset < store->info.size);
    expected++;
    expected_at = offset;
    expected_len = len;
}

static const struct store_ops ops = {
    .kind = "fake", .submit = submit, .expect = expect, .give_back = give_back};

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig, 1, NULL, BLOCKS * 512);
    rig.fake.store.ops = &ops;
    rig.fake.store.info.instant = true;
    rig.fake.store.info.volatile_cache = false;
    rig.fake.store.info.lend_len = LEND_LEN;
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    one.takes_loans = true;
    rig_clear_ua(&rig, &one);
    submitted = lent = 0;
    later = failing = nothing_to_give_back = false;
    for (size_t i = 0; i < RIG_DISK_MAX; i++)
        rig.fake.disk[i] = (uint8_t)(i * 7 + i / 512);
    memset(data, 0x5a, sizeof data);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(lent, 0);
    scsi_nexus_close(&one);
    rig_fini(&rig);
    return 0;
}

static bool read_at(uint64_t lun, uint64_t lba, uint32_t blocks, uint32_t len)
{
    struct slice got = {0};
    cdb_build_read(lba, blocks, false, cdb);
    unsigned before = submitted;
    if (!scsi_instant_read(&one, lun, cdb, len, &got)) {
        assert_null(got.chunk);
        assert_true(submitted == before || later || failing);
        return false;
    }
    assert_int_equal(submitted, before + 1);
    assert_int_equal(got.len, len);
    assert_ptr_equal(got.ptr, rig.fake.disk + lba * 512);
    assert_int_equal(lent, !nothing_to_give_back);
    assert_false(scsi_lu_idle(&rig.reactors[0], rig.lu));
    assert_int_equal(one.low[0]->view->loans, 1);
    slice_release(&got);
    assert_int_equal(lent, 0);
    assert_int_equal(one.low[0]->view->loans, 0);
    return true;
}

static bool write_at(uint64_t lun, uint64_t lba, uint32_t blocks, uint32_t len)
{
    struct slice from = slice_borrow(data, len);
    cdb_build_write(lba, blocks, false, cdb);
    unsigned before = submitted;
    bool done = scsi_instant_write(&one, lun, cdb, &from);
    assert_true(submitted == before + done || later || failing);
    if (done)
        assert_memory_equal(rig.fake.disk + lba * 512, data, len);
    return done;
}

/* Nothing of what is expected has been checked: the store hears of blocks that it has, or of none. */
static void only_transfers_that_could_be_are_expected(void **state)
{
    (void)state;
    static const struct {
        uint64_t lba;
        uint32_t blocks;
        uint32_t len;  /* 0: the store hears nothing */
        uint32_t read; /* of a read it hears of the beginning */
    } rows[] = {
        {0, 1, 512, 256},
        {3, 8, 4096, 256},
        {BLOCKS - 1, 8, 4096, 256},
        {BLOCKS, 1, 0, 0},
        {UINT64_MAX, 1, 0, 0},
        {0, 0, 0, 0},
        {1, UINT16_MAX - 1, (UINT16_MAX - 1) * 512u, 256},
        {1, UINT32_MAX, UINT32_MAX, 256},
    };
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof rows[0]); i++) {
        const uint64_t lba = rows[i / 2].lba;
        const uint32_t len = i % 2 ? rows[i / 2].read : rows[i / 2].len;
        expected = 0;
        if (i % 2)
            cdb_build_read(lba, rows[i / 2].blocks, false, cdb);
        else
            cdb_build_write(lba, rows[i / 2].blocks, false, cdb);
        scsi_instant_expect(&one, 0, cdb, i % 2 ? CDB_OUT : CDB_IN);
        assert_int_equal(expected, 0);
        scsi_instant_expect(&one, 0, cdb, i % 2 ? CDB_IN : CDB_OUT);
        assert_int_equal(expected, len != 0);
        if (expected) {
            assert_int_equal(expected_at, lba * 512);
            assert_int_equal(expected_len, len);
        }
    }
    expected = 0;
    scsi_instant_expect(&one, UINT64_C(9) << 48, cdb, CDB_OUT); /* no such LUN */
    memset(cdb, 0, sizeof cdb);
    scsi_instant_expect(&one, 0, cdb, CDB_OUT);
    assert_int_equal(expected, 0);
    static const struct store_ops unprepared = {.kind = "fake", .submit = submit, .give_back = give_back};
    rig.fake.store.ops = &unprepared;
    cdb_build_write(0, 1, false, cdb);
    scsi_instant_expect(&one, 0, cdb, CDB_OUT);
    rig.fake.store.info.instant = false; /* then nobody here calls the store, which may have no calls */
    rig.fake.store.ops = NULL;
    scsi_instant_expect(&one, 0, cdb, CDB_OUT);
    rig.fake.store.ops = &ops;
    assert_int_equal(expected + submitted, 0);
}

/* Length, LBA and the store's memory at their limits. */
static void ranges_are_kept(void **state)
{
    (void)state;
    static const struct {
        uint64_t lba;
        uint32_t blocks, len;
        bool read, write;
    } rows[] = {
        {0, 1, 512, true, true},
        {7, 1, 512, true, true},
        {0, 8, 4096, true, true},
        {1, 8, 4096, false, true},
        {7, 2, 1024, false, true},
        {0, 9, 4608, false, true},
        {56, 8, 4096, true, true},
        {63, 1, 512, true, true},
        {64, 1, 512, false, false},
        {63, 2, 1024, false, false},
        {65, 1, 512, false, false},
        {0xffffffff, 1, 512, false, false},
        {0, 1, 511, false, false},
        {0, 1, 513, false, false},
        {0, 1, 1024, false, false},
        {0, 2, 512, false, false},
        {0, 0, 0, false, false},
        {64, 0, 0, false, false},
        {UINT64_MAX, 1, 512, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(read_at(0, rows[i].lba, rows[i].blocks, rows[i].len), rows[i].read);
        assert_int_equal(write_at(0, rows[i].lba, rows[i].blocks, rows[i].len), rows[i].write);
    }
    assert_int_equal(one.tasks, 0);
    /* The other direction, and what is no plain read or write. */
    struct slice got = {0}, from = slice_borrow(data, 512);
    cdb_build_write(0, 1, false, cdb);
    assert_false(scsi_instant_read(&one, 0, cdb, 512, &got));
    cdb_build_read(0, 1, false, cdb);
    assert_false(scsi_instant_write(&one, 0, cdb, &from));
    cdb_build_read(0, 1, true, cdb); /* FUA */
    assert_false(scsi_instant_read(&one, 0, cdb, 512, &got));
    cdb_build_write(0, 1, true, cdb);
    assert_false(scsi_instant_write(&one, 0, cdb, &from));
}

/* Each condition alone, for reads and for writes; then it is as before. */
static void each_condition_leaves_it_to_a_task(void **state)
{
    (void)state;
    struct scsi_lu_view *view = one.low[0]->view;
    struct scsi_itl *itl = one.low[0];
    struct store_info *info = &rig.fake.store.info, good = *info;
    struct list_node waiting;
    for (int i = 0; i < 17; i++) {
        bool read = false, write = false;
        switch (i) {
        case 0:
            view->flags |= LU_STOPPED;
            break;
        case 1:
            view->flags |= LU_EJECTED;
            break;
        case 2:
            view->flags |= LU_SWP, read = true;
            break;
        case 3:
            view->flags |= LU_D_SENSE, read = write = true;
            break;
        case 4:
            view->flags &= ~(uint32_t)LU_WCE, read = write = true;
            break;
        case 5:
            ua_raise(itl, UA_CAPACITY_CHANGED);
            break;
        case 6:
            itl->barriers = 1;
            break;
        case 7:
            itl->live = one.reactor->tasks_per_itl_max;
            break;
        case 8:
            itl->live = one.reactor->tasks_per_itl_max - 1, read = write = true;
            break;
        case 9:
            list_init(&waiting), list_push_back(&itl->blocked, &waiting);
            break;
        case 10:
            itl->readonly = true, read = true;
            break;
        case 11:
            info->readonly = true, read = true;
            break;
        case 12:
            info->volatile_cache = true, view->flags = 0, read = true;
            break;
        case 13:
            info->instant = false;
            break;
        case 14:
            one.takes_loans = false, write = true;
            break;
        case 15:
            info->lend_len = 512, read = write = true;
            break;
        case 16:
            info->volatile_cache = true, read = write = true;
            break;
        default:
            break;
        }
        assert_int_equal(read_at(0, 3, 1, 512), read);
        assert_int_equal(write_at(0, 3, 1, 512), write);
        view->flags = LU_WCE;
        itl->ua = itl->barriers = itl->live = 0;
        if (i == 9)
            list_remove(&waiting);
        itl->readonly = false;
        *info = good;
        one.takes_loans = true;
        assert_true(read_at(0, 3, 1, 512));
        assert_true(write_at(0, 3, 1, 512));
    }
}

static void other_luns_are_left_to_tasks(void **state)
{
    (void)state;
    static const uint64_t luns[] = {0xc101000000000000ull, 0xffff000000000000ull, 0x0007000000000000ull,
                                    0x412c000000000000ull /* there, but no command has been sent to it */};
    for (size_t i = 0; i < sizeof luns / sizeof luns[0]; i++) {
        assert_false(read_at(luns[i], 0, 1, 512));
        assert_false(write_at(luns[i], 0, 1, 512));
    }
    struct scsi_lu_config config = rig_lu_config();
    scsi_nexus_close(&one);
    rig_fini(&rig);
    config.readonly = true;
    rig_init(&rig, 1, &config, BLOCKS * 512);
    rig.fake.store.ops = &ops;
    rig.fake.store.info.instant = true;
    rig.fake.store.info.volatile_cache = false;
    rig.fake.store.info.lend_len = LEND_LEN;
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    one.takes_loans = true;
    rig_clear_ua(&rig, &one);
    assert_true(read_at(0, 0, 1, 512));
    assert_false(write_at(0, 0, 1, 512));
}

/* A store that fails, that does not answer at once after all, or that lends what it does not want back. */
static void stores_may_disappoint(void **state)
{
    (void)state;
    failing = true;
    assert_false(read_at(0, 0, 1, 512));
    assert_false(write_at(0, 0, 1, 512));
    failing = false;
    later = true;
    assert_false(read_at(0, 0, 1, 512));
    assert_false(write_at(0, 0, 1, 512));
    later = false;
    nothing_to_give_back = true;
    assert_true(read_at(0, 0, 1, 512));
    nothing_to_give_back = false;
    unsigned calls = rig.heap.calls;
    for (int i = 0; i < 20; i++) /* one loan goes round */
        assert_true(read_at(0, 5, 1, 512));
    assert_int_equal(rig.heap.calls, calls);
}

static void without_memory_for_a_loan_it_is_a_task(void **state)
{
    (void)state;
    rig.heap.fail_at = rig.heap.calls + 1;
    assert_false(read_at(0, 0, 1, 512));
    assert_int_equal(submitted, 0);
    assert_true(read_at(0, 0, 1, 512));
}

/* What is lent keeps its LU although nobody uses the LU any more. */
static void a_loan_keeps_its_lu(void **state)
{
    (void)state;
    struct slice got = {0};
    cdb_build_read(0, 1, false, cdb);
    assert_true(scsi_instant_read(&one, 0, cdb, 512, &got));
    scsi_nexus_close(&one);
    assert_false(scsi_lu_idle(&rig.reactors[0], rig.lu));
    slice_release(&got);
    assert_true(scsi_lu_idle(&rig.reactors[0], rig.lu));
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
}

/* ---- tasks that read what is lent ---- */

static void lend_all(void)
{
    struct store_req *req;
    while (!list_empty(&rig.held)) {
        req = list_entry(list_pop_front(&rig.held), struct store_req, node);
        assert_int_equal(req->vec_count, 0);
        assert_int_equal(req->verb, STORE_READ);
        req->vec[0] = (struct io_vec){rig.fake.disk + req->offset, req->len};
        req->vec_count = 1;
        req->loan = rig.fake.disk;
        req->result = 0;
        lent++;
        scsi_store_done(&rig.reactors[0], req);
        rig_run(&rig);
    }
}

/* Spans end where the store's memory ends; each is a loan, which goes back with its span. */
static void reads_of_tasks_are_lent_piece_by_piece(void **state)
{
    (void)state;
    static uint8_t in[BLOCKS * 512];
    const uint32_t piece_len = 1024;
    rig.fake.store.info.lend_len = piece_len;
    for (uint64_t lba = 0; lba < 10; lba++) {
        for (uint64_t count = 1; count < 50; count += 7) { /* up to 26 pieces */
            for (int way = 0; way < 3; way++) { /* read to its end; aborted before; aborted with loans out */
                rig.fake.hold = true;
                rig_start(&rig, &cmds[0], &one, 0, cdb,
                          CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, lba}, {CDB_F_COUNT, count}), count * 512,
                          0);
                cmds[0].in = in;
                cmds[0].keep_spans = way == 2;
                scsi_task_start(&rig.reactors[0], &cmds[0].task);
                rig_run(&rig);
                uint64_t at = lba * 512, end = at + count * 512;
                unsigned pieces = 0;
                list_for_each(it, &rig.held)
                {
                    const struct store_req *req = list_entry(it, struct store_req, node);
                    uint64_t stop = (at / piece_len + 1) * piece_len;
                    assert_int_equal(req->offset, at);
                    assert_int_equal(req->len, (stop < end ? stop : end) - at);
                    at += req->len;
                    pieces++;
                }
                assert_true(at == end || pieces == SCSI_LOANS_PER_TASK);
                if (way == 1)
                    scsi_task_abort(&rig.reactors[0], &cmds[0].task);
                lend_all();
                assert_int_equal(one.low[0]->view->loans, lent);
                if (way == 0) {
                    assert_true(cmds[0].over);
                    assert_good(&cmds[0]);
                    assert_memory_equal(in, rig.fake.disk + lba * 512, count * 512);
                }
                if (way == 2) {
                    assert_int_equal(lent, pieces);
                    scsi_task_abort(&rig.reactors[0], &cmds[0].task);
                    rig_run(&rig);
                    struct list_node *node;
                    while ((node = list_pop_front(&cmds[0].loans)))
                        scsi_span_done(&rig.reactors[0], list_entry(node, struct scsi_span, node));
                }
                assert_true(cmds[0].over);
                assert_int_equal(lent, 0);
                assert_int_equal(one.low[0]->view->loans, 0);
            }
        }
    }
}

/* Without memory for a loan or for its span the read waits. */
static void a_read_that_can_borrow_nothing_waits(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth <= 2; nth++) {
        tear_down(NULL);
        set_up(NULL);
        rig.fake.hold = true;
        rig.heap.fail_at = rig.heap.calls + nth; /* the loan; its span */
        rig_start(&rig, &cmds[0], &one, 0, cdb, CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 1}), 512, 0);
        scsi_task_start(&rig.reactors[0], &cmds[0].task);
        assert_true(list_linked(&cmds[0].task.wait_node));
        rig_run(&rig);
        lend_all();
        assert_true(cmds[0].over);
        assert_good(&cmds[0]);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* The store may keep memory that is data from end to end and that nobody else looks at. */
static void the_store_is_told_what_it_may_keep(void **state)
{
    (void)state;
    struct chunk *chunk = pool_get(rig.reactors[0].pool, 4096);
    memset(chunk->data, 1, 4096);
    struct slice all = slice_take(chunk, 0, 4096);
    cdb_build_write(8, 8, false, cdb);
    assert_true(scsi_instant_write(&one, 0, cdb, &all));
    assert_ptr_equal(whole, chunk);
    struct slice other = slice_sub(&all, 0, 512);
    assert_true(scsi_instant_write(&one, 0, cdb, &all));
    assert_null(whole);
    cdb_build_write(8, 1, false, cdb);
    assert_true(scsi_instant_write(&one, 0, cdb, &other));
    assert_null(whole);
    slice_release(&other);
    slice_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(ranges_are_kept),
        T(each_condition_leaves_it_to_a_task),
        T(other_luns_are_left_to_tasks),
        T(stores_may_disappoint),
        T(without_memory_for_a_loan_it_is_a_task),
        T(a_loan_keeps_its_lu),
        T(reads_of_tasks_are_lent_piece_by_piece),
        T(a_read_that_can_borrow_nothing_waits),
        T(the_store_is_told_what_it_may_keep),
        T(only_transfers_that_could_be_are_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
