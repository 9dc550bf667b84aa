/* Goal: what RFC 7144 adds in the device server: queries of tasks, task sets and unit attentions, I_T NEXUS
 * RESET, priorities, status qualifiers, and events that are told without a command. Method: one reactor, two
 * nexuses, a store that holds requests back. */
#include "tests/unit/test_device_rig.h"

#include "common/scsi/inquiry.h"
#include "tests/unit/proves.h"

static struct rig rig;
static struct scsi_nexus one, two;
static struct rig_cmd cmds[12];
static uint8_t cdb[CDB_LEN_MAX], data[4096];

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig, 1, NULL, RIG_DISK_MAX);
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    rig_nexus(&rig, 0, &two, "iqn.2026-01.test:two");
    one.protocol_level = two.protocol_level = 2;
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

static void start_on(unsigned i, struct scsi_nexus *nexus, uint16_t lun, uint8_t attr, uint8_t priority,
                     uint64_t lba)
{
    rig_start(&rig, &cmds[i], nexus, lun, cdb,
              CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, lba}, {CDB_F_COUNT, 1}), 512, 0);
    cmds[i].in = data;
    cmds[i].task.attr = attr;
    cmds[i].task.priority = priority;
    scsi_task_start(nexus->reactor, &cmds[i].task);
    rig_run(&rig);
}

static void start(unsigned i, struct scsi_nexus *nexus, uint8_t attr)
{
    start_on(i, nexus, 0, attr, 0, i);
}

static void release_all(void)
{
    rig.fake.hold = false;
    while (rig_release(&rig))
        rig_run(&rig);
    rig_run(&rig);
}

/* One request to its end; the store must not have to move for it. */
static struct scsi_tmf tmf_done(enum scsi_tmf_function function, struct scsi_nexus *nexus, uint16_t lun,
                                struct scsi_task *task)
{
    static struct scsi_tmf tmf;
    tmf = (struct scsi_tmf){.function = function, .nexus = nexus, .lun = scsi_lun_encode(lun), .task = task};
    tmf.info[0] = tmf.info[1] = tmf.info[2] = 0xff;
    scsi_tmf_start(nexus->reactor, &tmf);
    rig_run(&rig);
    assert_ptr_equal(scsi_next_tmf(nexus->reactor), &tmf);
    return tmf;
}

static void asks(enum scsi_tmf_function function, struct scsi_nexus *nexus, uint16_t lun,
                 struct scsi_task *task, enum scsi_tmf_result result)
{
    struct scsi_tmf tmf = tmf_done(function, nexus, lun, task);
    assert_int_equal(tmf.result, result);
    if (function != SCSI_TMF_QUERY_ASYNC_EVENT || result != SCSI_TMF_SUCCEEDED)
        assert_int_equal(tmf.info[0] | tmf.info[1] | tmf.info[2], 0);
}

static void query_task_finds_what_is_in_the_task_set(void **state)
{
    (void)state;
    rig.fake.hold = true;
    start(0, &one, SCSI_ORDERED);
    start(1, &one, SCSI_SIMPLE); /* blocked */
    for (int i = 0; i < 2; i++) {
        asks(SCSI_TMF_QUERY_TASK, &one, 0, &cmds[i].task, SCSI_TMF_SUCCEEDED);
        asks(SCSI_TMF_QUERY_TASK, &one, 300, &cmds[i].task, SCSI_TMF_COMPLETE);
        asks(SCSI_TMF_QUERY_TASK, &two, 0, &cmds[i].task, SCSI_TMF_COMPLETE);
    }
    asks(SCSI_TMF_QUERY_TASK, &one, 0, NULL, SCSI_TMF_COMPLETE);
    asks(SCSI_TMF_QUERY_TASK, &one, 5, NULL, SCSI_TMF_NO_LUN);
    /* Aborted, although the store still has it. */
    scsi_task_abort(&rig.reactors[0], &cmds[0].task);
    asks(SCSI_TMF_QUERY_TASK, &one, 0, &cmds[0].task, SCSI_TMF_COMPLETE);
    assert_false(cmds[1].over);
    release_all();
    assert_true(cmds[1].over);
    asks(SCSI_TMF_QUERY_TASK, &one, 0, &cmds[1].task, SCSI_TMF_COMPLETE);
    assert_int_equal(cmds[1].task.status, SCSI_STATUS_GOOD); /* asking did it no harm */
    PROVES("R7144-6.4.2-02", "target");
}

static void query_task_set_asks_for_one_nexus_and_one_lun(void **state)
{
    (void)state;
    asks(SCSI_TMF_QUERY_TASK_SET, &one, 0, NULL, SCSI_TMF_COMPLETE);
    asks(SCSI_TMF_QUERY_TASK_SET, &one, 300, NULL, SCSI_TMF_COMPLETE); /* not used yet */
    asks(SCSI_TMF_QUERY_TASK_SET, &one, 7, NULL, SCSI_TMF_NO_LUN);
    rig.fake.hold = true;
    start(0, &one, SCSI_SIMPLE);
    asks(SCSI_TMF_QUERY_TASK_SET, &one, 0, NULL, SCSI_TMF_SUCCEEDED);
    asks(SCSI_TMF_QUERY_TASK_SET, &one, 300, NULL, SCSI_TMF_COMPLETE);
    asks(SCSI_TMF_QUERY_TASK_SET, &two, 0, NULL, SCSI_TMF_COMPLETE);
    scsi_task_abort(&rig.reactors[0], &cmds[0].task);
    asks(SCSI_TMF_QUERY_TASK_SET, &one, 0, NULL, SCSI_TMF_COMPLETE);
    release_all();
    PROVES("R7144-6.4.2-03", "target");
}

static void assert_ua(struct scsi_nexus *nexus, uint16_t lun, unsigned code)
{
    start_on(11, nexus, lun, SCSI_SIMPLE, 0, 0);
    assert_sense(&cmds[11], SENSE_UNIT_ATTENTION, code);
}

static void no_ua(struct scsi_nexus *nexus, uint16_t lun)
{
    start_on(11, nexus, lun, SCSI_SIMPLE, 0, 0);
    assert_good(&cmds[11]);
}

static void nexus_reset_ends_all_commands_of_one_nexus(void **state)
{
    (void)state;
    start_on(0, &one, 300, SCSI_SIMPLE, 0, 0); /* eats its first unit attention */
    rig.fake.hold = true;
    start(1, &one, SCSI_ORDERED);
    start(2, &one, SCSI_SIMPLE);
    start_on(3, &one, 300, SCSI_SIMPLE, 0, 0);
    start(4, &two, SCSI_SIMPLE);
    struct scsi_tmf tmf = {.function = SCSI_TMF_I_T_NEXUS_RESET, .nexus = &one};
    scsi_tmf_start(&rig.reactors[0], &tmf);
    rig_run(&rig);
    assert_null(scsi_next_tmf(&rig.reactors[0])); /* the store has two of them */
    assert_true(cmds[2].over && cmds[2].aborted);
    assert_false(cmds[1].over || cmds[3].over || cmds[4].over);
    assert_true(rig_release(&rig));
    rig_run(&rig);
    assert_null(scsi_next_tmf(&rig.reactors[0]));
    assert_true(rig_release(&rig));
    rig_run(&rig);
    assert_ptr_equal(scsi_next_tmf(&rig.reactors[0]), &tmf);
    assert_int_equal(tmf.result, SCSI_TMF_COMPLETE);
    for (int i = 1; i < 4; i++)
        assert_true(cmds[i].over && cmds[i].aborted && !cmds[i].task.respond_aborted);
    assert_false(cmds[4].over);
    release_all();
    assert_good(&cmds[4]);
    assert_ua(&one, 0, ASC_NEXUS_LOSS);
    assert_ua(&one, 300, ASC_NEXUS_LOSS);
    no_ua(&one, 0);
    no_ua(&two, 0);
    PROVES("R7144-6.3-09", "target");
    PROVES("R7144-6.5-01", "target");
}

static void a_nexus_reset_allows_removal_again(void **state)
{
    (void)state;
    tear_down(NULL);
    struct scsi_lu_config config = rig_lu_config();
    config.removable = true;
    rig_init(&rig, 1, &config, RIG_DISK_MAX);
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    rig_nexus(&rig, 0, &two, "iqn.2026-01.test:two");
    rig_clear_ua(&rig, &one);
    rig_clear_ua(&rig, &two);
    size_t len = CDB_BUILD(CDB_PREVENT_ALLOW, cdb, {CDB_F_PREVENT, 1});
    rig_do(&rig, &cmds[0], &one, cdb, len, NULL, 0, NULL, 0);
    len = CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_LOEJ, 1});
    rig_do(&rig, &cmds[0], &two, cdb, len, NULL, 0, NULL, 0);
    assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_MEDIUM_REMOVAL_PREVENTED);
    asks(SCSI_TMF_I_T_NEXUS_RESET, &one, 0, NULL, SCSI_TMF_COMPLETE);
    rig_do(&rig, &cmds[0], &two, cdb, len, NULL, 0, NULL, 0);
    assert_good(&cmds[0]);
}

static void a_reset_says_more_than_a_nexus_loss(void **state)
{
    (void)state;
    asks(SCSI_TMF_LOGICAL_UNIT_RESET, &two, 0, NULL, SCSI_TMF_COMPLETE);
    asks(SCSI_TMF_I_T_NEXUS_RESET, &one, 0, NULL, SCSI_TMF_COMPLETE);
    assert_ua(&one, 0, ASC_RESET_FUNCTION);
    no_ua(&one, 0);
}

static void resize(uint64_t size)
{
    static struct scsi_tmf done;
    memset(&done, 0, sizeof done);
    rig.fake.store.info.size = size;
    scsi_lu_resized(&rig.reactors[0], rig.lu, &done);
    rig_run(&rig);
    assert_ptr_equal(scsi_next_tmf(&rig.reactors[0]), &done);
}

static void query_event_tells_of_unit_attentions_and_leaves_them(void **state)
{
    (void)state;
    asks(SCSI_TMF_QUERY_ASYNC_EVENT, &one, 0, NULL, SCSI_TMF_COMPLETE);
    asks(SCSI_TMF_QUERY_ASYNC_EVENT, &one, 9, NULL, SCSI_TMF_NO_LUN);
    struct scsi_tmf tmf =
        tmf_done(SCSI_TMF_QUERY_ASYNC_EVENT, &one, 300, NULL); /* never used: 29/00 waits there */
    assert_int_equal(tmf.result, SCSI_TMF_SUCCEEDED);
    assert_true(tmf.info[0] == 0x16 && tmf.info[1] == 0x29 && tmf.info[2] == 0x00);
    resize(RIG_DISK_MAX / 2);
    for (int i = 0; i < 2; i++) {
        tmf = tmf_done(SCSI_TMF_QUERY_ASYNC_EVENT, &one, 0, NULL);
        assert_int_equal(tmf.result, SCSI_TMF_SUCCEEDED);
        assert_true(tmf.info[0] == 0x16 && tmf.info[1] == 0x2a && tmf.info[2] == 0x09);
    }
    asks(SCSI_TMF_LOGICAL_UNIT_RESET, &two, 0, NULL, SCSI_TMF_COMPLETE);
    tmf = tmf_done(SCSI_TMF_QUERY_ASYNC_EVENT, &one, 0, NULL); /* two now, the reset first */
    assert_true(tmf.info[0] == 0x26 && tmf.info[1] == 0x29 && tmf.info[2] == 0x03);
    assert_ua(&one, 0, ASC_RESET_FUNCTION);
    assert_ua(&one, 0, ASC_CAPACITY_CHANGED);
    asks(SCSI_TMF_QUERY_ASYNC_EVENT, &one, 0, NULL, SCSI_TMF_COMPLETE);
    PROVES("R7144-6.4.2-05", "target");
}

/* All sequences of four of the priorities none, 1, 2 and 15: those that wait for the same turn enter by
 * importance, and in their own order when equally important. */
static void important_commands_enter_first(void **state)
{
    (void)state;
    static const uint8_t priorities[] = {0, 1, 2, 15};
    for (unsigned level = 1; level <= 2; level++) {
        for (unsigned n = 0; n < 256; n++) {
            one.protocol_level = (uint8_t)level;
            rig.fake.hold = true;
            start_on(0, &one, 0, SCSI_ORDERED, 0, 100);
            for (unsigned i = 0; i < 4; i++)
                start_on(1 + i, &one, 0, SCSI_SIMPLE, priorities[n >> 2 * i & 3], i);
            start_on(5, &one, 0, SCSI_ORDERED, 1, 101); /* a turn of its own: nobody overtakes it */
            start_on(6, &one, 0, SCSI_SIMPLE, 1, 102);
            assert_true(rig_release(&rig));
            rig_run(&rig);
            unsigned seen = 0, last = 0;
            for (; seen < 4; seen++) {
                struct store_req *req = list_entry(rig.held.next, struct store_req, node);
                unsigned i = (unsigned)(req->offset / 512), p = priorities[n >> 2 * i & 3];
                unsigned rank = level < 2 ? i : (p ? p : 16) * 4 + i;
                assert_true(seen == 0 || rank > last);
                last = rank;
                assert_true(rig_release(&rig));
                rig_run(&rig);
            }
            release_all();
            for (unsigned i = 0; i < 7; i++)
                assert_good(&cmds[i]);
        }
    }
    PROVES("R7144-5.1.1-02", "target");
}

static void busy_says_when_to_come_back(void **state)
{
    (void)state;
    for (unsigned level = 0; level <= 2; level++) {
        one.protocol_level = (uint8_t)level;
        rig.fake.fail = ERR_BUSY;
        rig.fake.fail_at = 0;
        start_on(0, &one, 0, SCSI_SIMPLE, 0, 0);
        assert_int_equal(cmds[0].task.status, SCSI_STATUS_BUSY);
        assert_int_equal(cmds[0].task.status_qualifier, level < 2 ? 0 : 1);
        rig.fake.fail = 0;
        start_on(0, &one, 0, SCSI_SIMPLE, 0, 0);
        assert_good(&cmds[0]);
        assert_int_equal(cmds[0].task.status_qualifier, 0);
    }
    static struct rig_cmd many[SCSI_TASKS_PER_ITL_MAX + 1];
    rig.fake.hold = true;
    for (unsigned i = 0; i <= SCSI_TASKS_PER_ITL_MAX; i++) {
        rig_start(&rig, &many[i], &one, 0, cdb, CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 1}), 512, 0);
        scsi_task_start(&rig.reactors[0], &many[i].task);
    }
    rig_run(&rig);
    assert_int_equal(many[SCSI_TASKS_PER_ITL_MAX].task.status, SCSI_STATUS_TASK_SET_FULL);
    assert_int_equal(many[SCSI_TASKS_PER_ITL_MAX].task.status_qualifier, 1);
    release_all();
    PROVES("R7144-5.2.1-01", "target");
}

static void event_is(struct scsi_nexus *nexus, uint16_t lun, unsigned code)
{
    struct scsi_event event;
    struct scsi_sense sense;
    assert_true(scsi_next_event(&rig.reactors[0], &event));
    assert_ptr_equal(event.nexus, nexus);
    assert_int_equal(event.lun, scsi_lun_encode(lun));
    assert_true(sense_parse(event.sense, event.sense_len, &sense));
    assert_int_equal(sense.key, SENSE_UNIT_ATTENTION);
    assert_int_equal(sense.asc << 8 | sense.ascq, code);
}

static void no_event(void)
{
    struct scsi_event event;
    assert_false(scsi_next_event(&rig.reactors[0], &event));
}

static void changes_are_told_to_those_who_listen(void **state)
{
    (void)state;
    one.wants_events = true;
    no_event();
    resize(RIG_DISK_MAX / 2);
    event_is(&one, 0, ASC_CAPACITY_CHANGED);
    no_event(); /* once, and not to the other nexus */
    assert_ua(&one, 0, ASC_CAPACITY_CHANGED);
    assert_ua(&two, 0, ASC_CAPACITY_CHANGED);
    struct scsi_lun_map fewer = {.count = 1, .luns = rig.lun};
    scsi_nexus_set_map(&one, &fewer);
    resize(RIG_DISK_MAX);
    event_is(&one, 0, ASC_CAPACITY_CHANGED);
    event_is(&one, 0, ASC_LUNS_CHANGED);
    no_event();
    scsi_nexus_set_map(&one, &rig.map);
    asks(SCSI_TMF_LOGICAL_UNIT_RESET, &two, 0, NULL, SCSI_TMF_COMPLETE); /* commands will tell of it */
    event_is(&one, 0, ASC_LUNS_CHANGED);
    no_event();
}

static void a_nexus_that_goes_takes_its_events_with_it(void **state)
{
    (void)state;
    one.wants_events = two.wants_events = true;
    resize(RIG_DISK_MAX / 2);
    scsi_nexus_close(&one);
    event_is(&two, 0, ASC_CAPACITY_CHANGED);
    no_event();
    resize(RIG_DISK_MAX);
    struct scsi_lun_map none = {0};
    scsi_nexus_set_map(&two, &none); /* and a LUN that goes its own */
    no_event();
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
}

static void inquiry_names_the_level(void **state)
{
    (void)state;
    for (uint8_t level = 0; level <= 2; level++) {
        struct inquiry_standard s;
        one.protocol_level = level;
        rig_do(&rig, &cmds[0], &one, cdb, CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, 96}), data, 96, NULL, 0);
        assert_true(inquiry_standard_decode(data, cmds[0].got, &s));
        assert_int_equal(s.version_descriptor_2, 0x0960 + level);
    }
    PROVES("R7144-4.2-01", "target");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(query_task_finds_what_is_in_the_task_set),
        T(query_task_set_asks_for_one_nexus_and_one_lun),
        T(nexus_reset_ends_all_commands_of_one_nexus),
        T(a_nexus_reset_allows_removal_again),
        T(a_reset_says_more_than_a_nexus_loss),
        T(query_event_tells_of_unit_attentions_and_leaves_them),
        T(important_commands_enter_first),
        T(busy_says_when_to_come_back),
        T(changes_are_told_to_those_who_listen),
        T(a_nexus_that_goes_takes_its_events_with_it),
        T(inquiry_names_the_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
