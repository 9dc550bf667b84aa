/* Goal: task sets: whose turn it is, who waits for whom, what an abort leaves behind, what happens when
 * memory is short. Method: every short sequence of commands against a plain model of SAM-5 8.6; a store that
 * holds requests back, let go in all orders. */
#include "tests/unit/test_device_pair.h"

/* ---- task sets ---- */

enum life { NOT_YET, WAITS, RUNS, OVER };

/* SAM-5 8.6.2 to 8.6.4: may task i run, as things stand? */
static bool may_run(const uint8_t *attr, const enum life *life, int i, int count)
{
    for (int k = 0; k < count; k++) {
        bool live = life[k] == WAITS || life[k] == RUNS;
        if (k == i || !live)
            continue;
        if (attr[k] == SCSI_HEAD_OF_QUEUE)
            return false;
        if (k < i && (attr[k] == SCSI_ORDERED || attr[i] == SCSI_ORDERED))
            return false;
    }
    return true;
}

static void model_run(const uint8_t *attr, enum life *life, int count)
{
    for (int i = 0; i < count; i++)
        if (life[i] == WAITS && may_run(attr, life, i, count))
            life[i] = RUNS;
}

static void check_lives(const uint8_t *attr, enum life *life, int count)
{
    bool asked[8] = {false};
    list_for_each(it, &rig.held) asked[list_entry(it, struct store_req, node)->offset / 512] = true;
    model_run(attr, life, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(asked[i], life[i] == RUNS);
        assert_int_equal(cmds[i].over, life[i] == OVER);
    }
}

/* Four commands of all attributes in all orders; one of them is aborted, or none; the store answers the
 * oldest or the newest first. */
static void every_small_task_set_keeps_its_order(void **state)
{
    (void)state;
    rig.fake.hold = true;
    for (unsigned n = 0; n < 256 * 5 * 2; n++) {
        uint8_t attr[4];
        enum life life[4] = {NOT_YET, NOT_YET, NOT_YET, NOT_YET};
        unsigned victim = n / 256 % 5;
        bool newest = n / 1280;
        memset(cmds, 0, sizeof cmds);
        for (int i = 0; i < 4; i++) {
            attr[i] = (uint8_t)(n >> (2 * i) & 3);
            start_read(i, &one, 0, attr[i], 0);
            life[i] = attr[i] == SCSI_HEAD_OF_QUEUE ? RUNS : WAITS;
            check_lives(attr, life, i + 1);
        }
        if (victim < 4) {
            bool waits = life[victim] == WAITS;
            scsi_task_abort(&rig.reactors[0], &cmds[victim].task);
            rig_run(&rig);
            if (waits) {
                life[victim] = OVER;
                assert_true(cmds[victim].aborted);
            }
            /* What runs is over when the store lets go of it: until then it counts. */
            check_lives(attr, life, 4);
        }
        while (!list_empty(&rig.held)) {
            struct list_node *next = newest ? rig.held.prev : rig.held.next;
            life[list_entry(next, struct store_req, node)->offset / 512] = OVER;
            rig_release_at(&rig, newest);
            rig_run(&rig);
            check_lives(attr, life, 4);
        }
        for (unsigned i = 0; i < 4; i++) {
            assert_true(cmds[i].over);
            assert_int_equal(cmds[i].aborted, i == victim);
            assert_int_equal(cmds[i].task.status, i == victim ? SCSI_STATUS_TASK_ABORTED : SCSI_STATUS_GOOD);
        }
        assert_int_equal(one.tasks, 0);
    }
}

/* SAM-5 8.7: 1 is the highest priority, 15 the lowest, 0 says nothing; an ORDERED command stays where it is.
 */
static void every_small_queue_is_sorted_by_priority(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 1, 2, 15};
    for (unsigned n = 0; n < 256 * 2 * 5; n++) {
        one.protocol_level = n / 256 % 2 ? 2 : 1;
        unsigned ordered = n / 512; /* which of the four is ORDERED; 4: none */
        unsigned weight[4];
        rig.fake.hold = true;
        start_read(7, &one, 0, SCSI_ORDERED, 0);
        for (unsigned i = 0; i < 4; i++) {
            uint8_t priority = values[n >> (2 * i) & 3];
            weight[i] = priority && one.protocol_level == 2 ? priority : 16;
            start_read((int)i, &one, 0, i == ordered ? SCSI_ORDERED : SCSI_SIMPLE, priority);
        }
        unsigned expected[4], count = 0;
        for (unsigned from = 0; from < 4;) {
            unsigned to = from < ordered && ordered < 4 ? ordered : from == ordered ? from + 1 : 4;
            for (unsigned w = 1; w <= 16; w++)
                for (unsigned i = from; i < to; i++)
                    if (i == ordered ? w == 1 : weight[i] == w)
                        expected[count++] = i;
            from = to;
        }
        assert_int_equal(count, 4);
        count = 0;
        rig_release(&rig); /* number 7 */
        rig_run(&rig);
        while (!list_empty(&rig.held)) {
            struct store_req *req = list_entry(rig.held.next, struct store_req, node);
            assert_int_equal(req->offset / 512, expected[count++]);
            rig_release(&rig);
            rig_run(&rig);
        }
        assert_int_equal(count, 4);
    }
}

static void a_full_task_set_refuses(void **state)
{
    (void)state;
    rig.fake.hold = true;
    one.reactor->tasks_per_itl_max = 2;
    for (uint8_t level = 1; level <= 2; level++) {
        one.protocol_level = level;
        start_read(0, &one, 0, SCSI_SIMPLE, 0);
        start_read(1, &one, 0, SCSI_ORDERED, 0);
        for (uint8_t attr = 0; attr < 5; attr++) {
            start_read(2, &one, 0, attr, 0);
            assert_true(cmds[2].over);
            assert_int_equal(cmds[2].task.status, SCSI_STATUS_TASK_SET_FULL);
            assert_int_equal(cmds[2].task.status_qualifier, level - 1);
            assert_int_equal(one.tasks, 2);
        }
        release_all();
        assert_good(&cmds[0]);
        assert_good(&cmds[1]);
        assert_int_equal(cmds[1].task.status_qualifier, 0);
    }
}

/* ---- aborts and what waits for them ---- */

struct held_set { /* reads in the store: [0] [1] on LUN 0 of one, [2] on LUN 300 of one, [3] on LUN 0 of
                     `third` */
    struct scsi_nexus third;
    struct scsi_lun lun[2];
    struct scsi_lun_map map;
};

static void open_set(struct held_set *s)
{
    memcpy(s->lun, rig.lun, sizeof s->lun);
    s->lun[1].lu = other;
    s->map = (struct scsi_lun_map){.count = 2, .luns = s->lun};
    scsi_nexus_set_map(&one, &s->map);
    rig_nexus(&rig, 0, &s->third, "iqn.2026-01.test:three");
    while (tur(&one) || tur_on(&one, 300) || tur(&s->third))
        continue;
    rig.fake.hold = true;
    start_read(0, &one, 0, SCSI_SIMPLE, 0);
    start_read(1, &one, 0, SCSI_SIMPLE, 0);
    start_read(2, &one, 300, SCSI_SIMPLE, 0);
    start_read(3, &s->third, 0, SCSI_SIMPLE, 0);
}

static void close_set(struct held_set *s)
{
    release_all();
    rig.fake.hold = false;
    scsi_nexus_close(&s->third);
    scsi_nexus_set_map(&one, &rig.map);
    while (tur(&one))
        continue;
}

static void release_read(unsigned i)
{
    list_for_each(it, &rig.held)
    {
        struct store_req *req = list_entry(it, struct store_req, node);
        if (req->offset != 512 * i)
            continue;
        list_remove(it);
        fake_execute(&rig.fake, req);
        scsi_store_done(&rig.reactors[0], req);
        rig_run(&rig);
        return;
    }
    fail();
}

/* Everything is dying; the function ends with the last of what it covers and waits for nothing else. */
static void functions_wait_for_what_they_cover(void **state)
{
    (void)state;
    static const struct {
        enum scsi_tmf_function function;
        uint16_t lun;
        unsigned covers; /* bits of the reads */
    } rows[] = {
        {SCSI_TMF_ABORT_TASK, 0, 1},           {SCSI_TMF_ABORT_TASK_SET, 0, 3},
        {SCSI_TMF_ABORT_TASK_SET, 300, 4},     {SCSI_TMF_CLEAR_TASK_SET, 0, 3},
        {SCSI_TMF_I_T_NEXUS_RESET, 0, 7},      {SCSI_TMF_LOGICAL_UNIT_RESET, 0, 11},
        {SCSI_TMF_LOGICAL_UNIT_RESET, 300, 4}, {SCSI_TMF_TARGET_WARM_RESET, 0, 15},
        {SCSI_TMF_TARGET_COLD_RESET, 0, 15},
    };
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        for (unsigned last = 0; last < 4; last++) {
            struct held_set s;
            open_set(&s);
            struct scsi_tmf tmf = tmf_of(rows[k].function, &one, rows[k].lun);
            if (rows[k].function == SCSI_TMF_ABORT_TASK)
                tmf.task = &cmds[0].task;
            scsi_nexus_abort_all(&s.third);
            start_tmf(&tmf);
            scsi_nexus_abort_all(&one); /* what is aborted later is not waited for: it was not covered */
            unsigned left = rows[k].covers;
            for (unsigned n = 1; n <= 4; n++) {
                unsigned i = (last + n) % 4; /* `last` comes last */
                assert_int_equal(cmds[i].over, false);
                bool before = left;
                release_read(i);
                left &= ~(1u << i);
                assert_int_equal(tmf_over(&tmf), before && !left);
                assert_true(cmds[i].over && cmds[i].aborted);
                assert_int_equal(cmds[i].task.status, SCSI_STATUS_TASK_ABORTED);
            }
            assert_int_equal(tmf.result, SCSI_TMF_COMPLETE);
            close_set(&s);
        }
    }
}

/* What is aborted after the function began is not its business, even of the same task set. */
static void later_aborts_are_not_waited_for(void **state)
{
    (void)state;
    struct held_set s;
    open_set(&s);
    struct scsi_tmf tmf = tmf_of(SCSI_TMF_ABORT_TASK_SET, &one, 0);
    start_tmf(&tmf);
    start_read(4, &one, 0, SCSI_SIMPLE, 0);
    scsi_task_abort(&rig.reactors[0], &cmds[4].task);
    release_read(0);
    assert_false(tmf_over(&tmf));
    release_read(1);
    assert_true(tmf_over(&tmf));
    assert_false(cmds[4].over);
    release_all();
    assert_true(cmds[4].over && cmds[4].aborted);
    close_set(&s);
}

/* Who is told: nexuses other than the one that asked (TAS=1), and all whose LUN went away. */
static void aborted_commands_know_whether_they_are_answered(void **state)
{
    (void)state;
    static const enum scsi_tmf_function functions[] = {
        SCSI_TMF_ABORT_TASK_SET,    SCSI_TMF_CLEAR_TASK_SET,    SCSI_TMF_LOGICAL_UNIT_RESET,
        SCSI_TMF_TARGET_WARM_RESET, SCSI_TMF_TARGET_COLD_RESET, SCSI_TMF_I_T_NEXUS_RESET};
    for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++) {
        struct held_set s;
        open_set(&s);
        struct scsi_tmf tmf = tmf_of(functions[k], &one, 0);
        start_tmf(&tmf);
        release_all();
        assert_true(tmf_over(&tmf));
        bool reset = k >= 2 && k < 5;
        assert_true(cmds[0].aborted && cmds[1].aborted);
        assert_false(cmds[0].task.respond_aborted || cmds[1].task.respond_aborted);
        assert_int_equal(cmds[3].aborted, reset);
        assert_int_equal(cmds[3].task.respond_aborted, reset);
        close_set(&s);
    }
}

/* The first verdict of a command was CHECK CONDITION, and then it is aborted while the store still has
 * something. */
static void an_abort_takes_back_what_was_decided(void **state)
{
    (void)state;
    rig.fake.hold = true;
    rig.fake.fail = ERR_IO;
    rig.fake.fail_at = 0;
    start_on(0, &one, 0, SCSI_SIMPLE, 0, CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 1024}), 0x80000, 0);
    cmds[0].in = NULL;
    assert_true(rig_release(&rig));
    rig_run(&rig);
    assert_false(cmds[0].over);
    assert_true(cmds[0].task.sense_len > 0);
    scsi_task_abort(&rig.reactors[0], &cmds[0].task);
    scsi_task_abort(&rig.reactors[0], &cmds[0].task); /* again: nothing */
    release_all();
    assert_true(cmds[0].over && cmds[0].aborted);
    assert_int_equal(cmds[0].task.status, SCSI_STATUS_TASK_ABORTED);
    assert_int_equal(cmds[0].task.sense_len, 0);
    scsi_task_abort(&rig.reactors[0], &cmds[0].task); /* over: nothing */
    rig_run(&rig);
    rig.fake.fail = 0;
    rig.fake.hold = false;
    assert_int_equal(tur(&one), 0);
}

/* After a task set has been aborted its turns go on as ever. */
static void turns_go_on_after_an_abort(void **state)
{
    (void)state;
    rig.fake.hold = true;
    start_read(0, &one, 0, SCSI_ORDERED, 0);
    start_read(1, &one, 0, SCSI_SIMPLE, 0);
    start_read(2, &one, 0, SCSI_ORDERED, 0);
    unsigned requests = rig.fake.requests;
    struct scsi_tmf tmf = tmf_of(SCSI_TMF_ABORT_TASK_SET, &one, 0);
    start_tmf(&tmf);
    assert_true(cmds[1].over && cmds[2].over);
    release_all();
    assert_true(tmf_over(&tmf));
    assert_int_equal(rig.fake.requests, requests + 1); /* those that waited have not begun */
    /* Nor when the one before them is over at once: a write that waits for its data. */
    rig_start(&rig, &cmds[0], &one, 0, cdb, CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 1}), 0, 512);
    cmds[0].sent = 512; /* the rig brings nothing */
    cmds[0].task.attr = SCSI_ORDERED;
    scsi_task_start(&rig.reactors[0], &cmds[0].task);
    start_read(1, &one, 0, SCSI_SIMPLE, 0);
    start_read(2, &one, 0, SCSI_ORDERED, 0);
    run_tmf(&tmf);
    assert_true(cmds[0].over && cmds[1].over && cmds[2].over);
    assert_true(list_empty(&rig.held));
    for (int round = 0; round < 2; round++) {
        start_read(0, &one, 0, SCSI_ORDERED, 0);
        start_read(1, &one, 0, SCSI_SIMPLE, 0);
        assert_true(list_entry(rig.held.next, struct store_req, node)->offset == 0);
        assert_ptr_equal(rig.held.next, rig.held.prev);
        release_all();
        assert_good(&cmds[0]);
        assert_good(&cmds[1]);
    }
}

/* ---- memory ---- */

#define HOGS 40000u
static struct chunk *hog[HOGS];

static unsigned hog_all(void)
{
    unsigned count = 0;
    while (count < HOGS && (hog[count] = pool_get(rig.pools[0], POOL_CLASS_MIN)) != NULL)
        count++;
    return count;
}

/* What is told and cleared is cleared only when it has been told. */
static void conditions_wait_for_memory_with_their_command(void **state)
{
    (void)state;
    for (int luns = 0; luns < 2; luns++) {
        ua_raise(one.low[0], UA_LUNS_CHANGED);
        unsigned hogs = hog_all();
        size_t len = luns ? CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_ALLOC, 252})
                          : CDB_BUILD(CDB_REQUEST_SENSE, cdb, {CDB_F_ALLOC, 252});
        start_on(0, &one, 0, SCSI_SIMPLE, 0, len, 252, 0);
        assert_false(cmds[0].over);
        assert_int_equal(ua_count(one.low[0]), 1);
        if (luns) { /* memory for the list, none for the answer */
            chunk_unref(hog[--hogs]);
            rig_run(&rig);
            assert_false(cmds[0].over);
            assert_int_equal(ua_count(one.low[0]), 1);
        }
        while (hogs)
            chunk_unref(hog[--hogs]);
        rig_run(&rig);
        assert_true(cmds[0].over);
        assert_good(&cmds[0]);
        assert_int_equal(cmds[0].got, luns ? 24 : 18);
        if (!luns)
            assert_int_equal(data[12] << 8 | data[13], ASC_LUNS_CHANGED);
        assert_int_equal(ua_count(one.low[0]), 0);
        assert_int_equal(tur(&one), 0);
    }
}

/* In order, as memory comes back: who lacks it still goes first. */
static void waiting_commands_go_on_in_order(void **state)
{
    (void)state;
    unsigned hogs = hog_all();
    rig.fake.hold = true;
    for (int i = 0; i < 6; i++)
        start_read(i, &one, 0, SCSI_SIMPLE, 0);
    assert_true(list_empty(&rig.held));
    for (unsigned given = 1; given <= 3; given++) {
        chunk_unref(hog[--hogs]);
        rig_run(&rig);
        unsigned count = 0;
        list_for_each(it, &rig.held)
            assert_int_equal(list_entry(it, struct store_req, node)->offset, 512 * count++);
        assert_int_equal(count, given);
    }
    while (hogs)
        chunk_unref(hog[--hogs]);
    rig_run(&rig);
    unsigned count = 0;
    list_for_each(it, &rig.held)
        assert_int_equal(list_entry(it, struct store_req, node)->offset, 512 * count++);
    assert_int_equal(count, 6);
    release_all();
    for (int i = 0; i < 6; i++)
        assert_good(&cmds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_small_task_set_keeps_its_order),
        T(every_small_queue_is_sorted_by_priority),
        T(a_full_task_set_refuses),
        T(functions_wait_for_what_they_cover),
        T(later_aborts_are_not_waited_for),
        T(aborted_commands_know_whether_they_are_answered),
        T(an_abort_takes_back_what_was_decided),
        T(turns_go_on_after_an_abort),
        T(conditions_wait_for_memory_with_their_command),
        T(waiting_commands_go_on_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
