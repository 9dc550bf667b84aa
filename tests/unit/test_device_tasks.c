/* Goal: task attributes, aborts, task management across nexuses and reactors, unit attentions, memory
 * shortage. Method: a store that holds requests back until the test lets them go; two reactors whose messages
 * the rig carries. */
#include "tests/unit/test_device_rig.h"

#include "tests/unit/proves.h"

static struct rig rig;
static struct scsi_nexus one, two;
static struct rig_cmd cmds[8];
static uint8_t cdb[16], data[65536];

static void open_rig(uint32_t reactors)
{
    rig_init(&rig, reactors, NULL, RIG_DISK_MAX);
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    rig_nexus(&rig, reactors - 1, &two, "iqn.2026-01.test:two");
    rig_clear_ua(&rig, &one);
    rig_clear_ua(&rig, &two);
}

static int set_up_1(void **state)
{
    (void)state;
    open_rig(1);
    return 0;
}

static int set_up_2(void **state)
{
    (void)state;
    open_rig(2);
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

static void start(int i, struct scsi_nexus *nexus, uint8_t attr, size_t len, uint64_t in, uint64_t out)
{
    rig_start(&rig, &cmds[i], nexus, 0, cdb, len, in, out);
    cmds[i].task.attr = attr;
    cmds[i].in = data;
    cmds[i].out = data;
    scsi_task_start(nexus->reactor, &cmds[i].task);
    rig_run(&rig);
}

static void start_read(int i, struct scsi_nexus *nexus, uint8_t attr)
{
    start(i, nexus, attr, CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 1}), 512, 0);
}

static void release_all(void)
{
    while (rig_release(&rig))
        rig_run(&rig);
}

static void ordered_waits_for_older_and_holds_back_younger(void **state)
{
    (void)state;
    rig.fake.hold = true;
    start_read(0, &one, SCSI_SIMPLE);
    start_read(1, &one, SCSI_SIMPLE);
    start_read(2, &one, SCSI_ORDERED);
    start_read(3, &one, SCSI_SIMPLE);
    start_read(4, &one, SCSI_HEAD_OF_QUEUE); /* enters at once */
    start_read(5, &two, SCSI_SIMPLE);        /* another nexus, another task set */
    unsigned held = 0;
    list_for_each(it, &rig.held) held++;
    assert_int_equal(held, 4);
    for (int i = 0; i < 4; i++) {
        assert_true(rig_release(&rig));
        rig_run(&rig);
    }
    assert_true(cmds[0].over && cmds[1].over && cmds[4].over && cmds[5].over);
    assert_false(cmds[2].over || cmds[3].over);
    assert_true(rig_release(&rig)); /* the ordered one, alone */
    rig_run(&rig);
    assert_true(cmds[2].over);
    assert_false(cmds[3].over);
    release_all();
    assert_true(cmds[3].over);
}

static void many_blocked_commands_end_without_recursion(void **state)
{
    (void)state;
    static struct rig_cmd many[SCSI_TASKS_PER_ITL_MAX + 1];
    rig.fake.hold = true;
    start_read(0, &one, SCSI_ORDERED);
    size_t len = CDB_BUILD(CDB_TEST_UNIT_READY, cdb, {CDB_F_CONTROL, 0});
    for (unsigned i = 0; i < SCSI_TASKS_PER_ITL_MAX + 1; i++) {
        rig_start(&rig, &many[i], &one, 0, cdb, len, 0, 0);
        scsi_task_start(one.reactor, &many[i].task);
    }
    rig_run(&rig);
    assert_false(many[0].over);
    assert_int_equal(many[SCSI_TASKS_PER_ITL_MAX].task.status, SCSI_STATUS_TASK_SET_FULL);
    release_all();
    for (unsigned i = 0; i + 1 < SCSI_TASKS_PER_ITL_MAX; i++)
        assert_int_equal(many[i].over, true);
}

static void aca_without_aca_is_an_invalid_message(void **state)
{
    (void)state;
    start_read(0, &one, SCSI_ACA);
    assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_INVALID_MESSAGE);
}

static struct scsi_tmf tmf_of(enum scsi_tmf_function function, struct scsi_nexus *nexus, uint16_t lun)
{
    return (struct scsi_tmf){.function = function, .nexus = nexus, .lun = scsi_lun_encode(lun)};
}

static void run_tmf(struct scsi_tmf *tmf)
{
    scsi_tmf_start(tmf->nexus->reactor, tmf);
    rig_run(&rig);
}

static bool tmf_over(struct scsi_tmf *tmf)
{
    return scsi_next_tmf(tmf->nexus->reactor) == tmf;
}

static void abort_task_waits_until_the_store_lets_go(void **state)
{
    (void)state;
    rig.fake.hold = true;
    start_read(0, &one, SCSI_SIMPLE);
    start_read(1, &one, SCSI_SIMPLE);
    struct scsi_tmf tmf = tmf_of(SCSI_TMF_ABORT_TASK, &one, 0);
    tmf.task = &cmds[0].task;
    run_tmf(&tmf);
    assert_false(cmds[0].over);
    assert_false(tmf_over(&tmf));
    assert_true(rig_release(&rig));
    rig_run(&rig);
    assert_true(cmds[0].over && cmds[0].aborted && !cmds[0].task.respond_aborted);
    assert_true(tmf_over(&tmf));
    assert_int_equal(tmf.result, SCSI_TMF_COMPLETE);
    release_all();
    assert_true(cmds[1].over && !cmds[1].aborted);
    /* A task that is gone already: complete at once. */
    tmf = tmf_of(SCSI_TMF_ABORT_TASK, &one, 0);
    run_tmf(&tmf);
    assert_true(tmf_over(&tmf));
    PROVES("R7143-11.6.1-05", "target");
}

static void abort_task_set_leaves_other_nexuses_alone(void **state)
{
    (void)state;
    static const enum scsi_tmf_function both[] = {SCSI_TMF_ABORT_TASK_SET, SCSI_TMF_CLEAR_TASK_SET};
    for (int k = 0; k < 2; k++) {
        rig.fake.hold = true;
        start_read(0, &one, SCSI_SIMPLE);
        start_read(1, &one, SCSI_ORDERED); /* blocked: must not start because the first dies */
        start_read(2, &two, SCSI_SIMPLE);
        struct scsi_tmf tmf = tmf_of(both[k], &one, 0);
        run_tmf(&tmf);
        assert_true(cmds[1].over && cmds[1].aborted);
        assert_false(tmf_over(&tmf));
        release_all();
        assert_true(cmds[0].aborted);
        assert_true(tmf_over(&tmf));
        assert_true(cmds[2].over && !cmds[2].aborted);
        assert_good(&cmds[2]);
    }
    PROVES("R7143-4.2.3.2-01", "target");
    PROVES("R7143-4.2.3.2-02", "target"); /* the task set is the nexus's: TST=001b */
}

static void lun_reset_reaches_every_reactor_and_waits_for_all(void **state)
{
    (void)state;
    rig.fake.hold = true;
    start_read(0, &one, SCSI_SIMPLE);
    start_read(1, &two, SCSI_SIMPLE);
    struct scsi_tmf tmf = tmf_of(SCSI_TMF_LOGICAL_UNIT_RESET, &one, 0);
    run_tmf(&tmf);
    assert_false(tmf_over(&tmf));
    assert_true(rig_release(&rig));
    rig_run(&rig);
    assert_false(tmf_over(&tmf)); /* the other reactor's task still has a request */
    release_all();
    assert_true(tmf_over(&tmf));
    assert_true(cmds[0].aborted && !cmds[0].task.respond_aborted);
    assert_true(cmds[1].aborted && cmds[1].task.respond_aborted); /* TAS=1 */
    rig.fake.hold = false;
    start_read(2, &one, SCSI_SIMPLE);
    assert_good(&cmds[2]);
    start_read(3, &two, SCSI_SIMPLE);
    assert_sense(&cmds[3], SENSE_UNIT_ATTENTION, ASC_RESET_FUNCTION);
    start_read(4, &two, SCSI_SIMPLE);
    assert_good(&cmds[4]);
    PROVES("R7143-11.5.1-17", "target");
}

static void resets_of_the_target_reset_each_lu(void **state)
{
    (void)state;
    struct scsi_tmf tmf = tmf_of(SCSI_TMF_TARGET_WARM_RESET, &two, 0);
    run_tmf(&tmf);
    assert_true(tmf_over(&tmf));
    start_read(0, &one, SCSI_SIMPLE);
    assert_sense(&cmds[0], SENSE_UNIT_ATTENTION, ASC_RESET_FUNCTION);
    static const uint8_t off[24] = {0, 0, 0, 0, 0x08, 0x12}; /* no write cache: goes with the reset */
    rig_do(&rig, &cmds[0], &one, cdb, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 24}),
           NULL, 0, off, sizeof off);
    assert_good(&cmds[0]);
    tmf = tmf_of(SCSI_TMF_TARGET_COLD_RESET, &two, 0);
    run_tmf(&tmf);
    assert_true(tmf_over(&tmf));
    start_read(0, &one, SCSI_SIMPLE);
    assert_sense(&cmds[0], SENSE_UNIT_ATTENTION, ASC_POWER_ON_RESET);
    start_read(0, &one, SCSI_SIMPLE);
    assert_good(&cmds[0]);
    start(0, &one, SCSI_SIMPLE,
          CDB_BUILD(CDB_MODE_SENSE_6, cdb, {CDB_F_DBD, 1}, {CDB_F_PAGE_CODE, 8}, {CDB_F_ALLOC, 24}), 24, 0);
    assert_good(&cmds[0]);
    assert_int_equal(data[4 + 2] & 0x04, 0x04);
    PROVES("R7143-E.2-01", "target");
}

/* Its LU went away, and its store still has something of it: that may reach the medium yet. */
static void resets_of_the_target_wait_for_what_lus_have_left(void **state)
{
    (void)state;
    static const enum scsi_tmf_function functions[] = {SCSI_TMF_TARGET_WARM_RESET,
                                                       SCSI_TMF_TARGET_COLD_RESET};
    const struct scsi_lun_map none = {.count = 0};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        rig.fake.hold = true;
        start_read(0, &one, SCSI_SIMPLE);
        scsi_nexus_set_map(&one, &none);
        struct scsi_tmf tmf = tmf_of(functions[i], &one, 0);
        run_tmf(&tmf);
        assert_false(tmf_over(&tmf) || cmds[0].over);
        release_all();
        assert_true(cmds[0].over && cmds[0].task.respond_aborted);
        assert_true(tmf_over(&tmf));
        rig.fake.hold = false;
        scsi_nexus_set_map(&one, &rig.map);
        start_read(0, &one, SCSI_SIMPLE);
        assert_sense(&cmds[0], SENSE_UNIT_ATTENTION, ASC_POWER_ON_RESET); /* the LUN is a new one */
        start_read(0, &one, SCSI_SIMPLE);
        assert_good(&cmds[0]);
    }
    PROVES("R7143-11.5.1-05", "target");
}

static void unknown_luns_and_functions_are_told_apart(void **state)
{
    (void)state;
    struct scsi_tmf tmf = tmf_of(SCSI_TMF_LOGICAL_UNIT_RESET, &one, 99);
    run_tmf(&tmf);
    assert_true(tmf_over(&tmf));
    assert_int_equal(tmf.result, SCSI_TMF_NO_LUN);
    tmf = tmf_of(SCSI_TMF_CLEAR_ACA, &one, 0);
    run_tmf(&tmf);
    assert_true(tmf_over(&tmf));
    assert_int_equal(tmf.result, SCSI_TMF_REJECTED);
}

static void mode_select_is_known_everywhere_before_it_ends(void **state)
{
    (void)state;
    uint8_t select[24] = {0, 0, 0, 0, 0x08, 0x12};
    memcpy(data, select, sizeof select);
    rig.messages_held = true;
    size_t len = CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 24});
    start(0, &two, SCSI_SIMPLE, len, 0, 24); /* two lives on reactor 1; reactor 0 is the LU's home */
    assert_false(cmds[0].over);
    rig.messages_held = false;
    rig_run(&rig);
    assert_true(cmds[0].over);
    assert_good(&cmds[0]);
    start_read(1, &one, SCSI_SIMPLE);
    assert_sense(&cmds[1], SENSE_UNIT_ATTENTION, ASC_MODE_PARAMETERS_CHANGED);
    start_read(1, &two, SCSI_SIMPLE); /* whoever changed it knows */
    assert_good(&cmds[1]);
    unsigned fua = rig.fake.fua_writes;
    start(2, &one, SCSI_SIMPLE, CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 1}), 0, 512);
    assert_int_equal(rig.fake.fua_writes, fua + 1);
    struct scsi_tmf tmf = tmf_of(SCSI_TMF_LOGICAL_UNIT_RESET, &one, 0);
    run_tmf(&tmf);
    assert_true(tmf_over(&tmf));
    start(2, &one, SCSI_SIMPLE, CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 1}), 0, 512);
    assert_int_equal(rig.fake.fua_writes, fua + 1); /* back to the default */
}

static void an_aborted_mode_select_outlives_its_change(void **state)
{
    (void)state;
    uint8_t select[24] = {0, 0, 0, 0, 0x08, 0x12};
    memcpy(data, select, sizeof select);
    rig.messages_held = true;
    start(0, &two, SCSI_SIMPLE, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 24}), 0,
          24);
    scsi_nexus_abort_all(&two);
    rig_run(&rig);
    assert_false(cmds[0].over); /* the change still names it */
    rig.messages_held = false;
    rig_run(&rig);
    assert_true(cmds[0].over && cmds[0].aborted);
}

static void nexus_loss_aborts_everything_and_returns_every_span(void **state)
{
    (void)state;
    /* On the heap, and freed as a transport would: the sanitizer sees any later use. */
    struct rig_cmd *cmd = malloc(sizeof *cmd);
    rig.fake.hold = true;
    rig_start(&rig, cmd, &one, 0, cdb, CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 2048}), RIG_DISK_MAX, 0);
    cmd->keep_spans = true;
    scsi_task_start(one.reactor, &cmd->task);
    rig_run(&rig);
    start(1, &one, SCSI_SIMPLE, CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 128}), 0, 65536);
    assert_true(rig_release(&rig));
    rig_run(&rig);
    scsi_nexus_abort_all(&one);
    release_all();
    assert_true(cmd->aborted && cmds[1].aborted);
    assert_int_equal(one.tasks, 0);
    struct list_node loans;
    list_init(&loans);
    list_splice_back(&loans, &cmd->loans);
    free(cmd);
    /* A span that the transport still sends outlives its task. */
    struct list_node *node = list_pop_front(&loans);
    assert_non_null(node);
    for (; node; node = list_pop_front(&loans))
        scsi_span_done(one.reactor, list_entry(node, struct scsi_span, node));
}

static void spans_that_complete_out_of_order_are_delivered_in_order(void **state)
{
    (void)state;
    static uint8_t in[RIG_DISK_MAX];
    for (size_t i = 0; i < RIG_DISK_MAX; i++)
        rig.fake.disk[i] = (uint8_t)(i / 300);
    for (int failing = 0; failing < 2; failing++) {
        rig.fake.hold = true;
        rig.fake.fail = failing ? ERR_IO : 0;
        rig.fake.fail_at = 2 * SCSI_SPAN_LEN + 5120; /* in the third span */
        rig_start(&rig, &cmds[0], &one, 0, cdb, CDB_BUILD(CDB_READ_10, cdb, {CDB_F_COUNT, 2048}),
                  RIG_DISK_MAX, 0);
        cmds[0].in = in;
        scsi_task_start(one.reactor, &cmds[0].task);
        rig_run(&rig);
        while (rig_release_at(&rig, true))
            rig_run(&rig);
        assert_true(cmds[0].over);
        assert_int_equal(cmds[0].got, failing ? 2 * SCSI_SPAN_LEN : RIG_DISK_MAX);
        assert_memory_equal(in, rig.fake.disk, cmds[0].got);
        if (failing)
            assert_sense(&cmds[0], SENSE_MEDIUM_ERROR, ASC_UNRECOVERED_READ_ERROR);
    }
}

static void a_parameter_list_that_stops_coming_is_too_short(void **state)
{
    (void)state;
    struct chunk *hog[64];
    for (int waiting = 0; waiting < 2; waiting++) {
        unsigned hogs = 0;
        while (waiting && hogs < 64 && (hog[hogs] = pool_get(rig.pools[0], POOL_CLASS_MAX)))
            hogs++;
        rig_start(&rig, &cmds[0], &one, 0, cdb, CDB_BUILD(CDB_UNMAP, cdb, {CDB_F_PARAM_LEN, 24}), 0, 24);
        cmds[0].sent = 24; /* the rig brings nothing */
        scsi_task_start(one.reactor, &cmds[0].task);
        rig_run(&rig);
        assert_false(cmds[0].over);
        scsi_data_out_end(one.reactor, &cmds[0].task);
        scsi_data_out_end(one.reactor, &cmds[0].task); /* saying it twice does no harm */
        while (hogs)
            chunk_unref(hog[--hogs]);
        rig_run(&rig);
        assert_true(cmds[0].over);
        assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
    }
}

static void a_lun_that_leaves_the_map_ends_its_commands(void **state)
{
    (void)state;
    struct scsi_lun_map none = {0};
    rig.fake.hold = true;
    start_read(0, &one, SCSI_SIMPLE);
    scsi_nexus_set_map(&one, &none);
    assert_false(scsi_lu_idle(one.reactor, rig.lu));
    release_all();
    assert_true(cmds[0].aborted && cmds[0].task.respond_aborted);
    scsi_nexus_set_map(&two, &none);
    rig_run(&rig);
    assert_true(scsi_lu_idle(one.reactor, rig.lu));
    start_read(1, &one, SCSI_SIMPLE);
    assert_sense(&cmds[1], SENSE_ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
}

static void a_returning_nexus_gets_one_unit_attention(void **state)
{
    (void)state;
    scsi_nexus_close(&one);
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    start_read(0, &one, SCSI_SIMPLE);
    assert_sense(&cmds[0], SENSE_UNIT_ATTENTION, ASC_POWER_ON_RESET);
    start_read(0, &one, SCSI_SIMPLE);
    assert_good(&cmds[0]);
}

static void short_of_memory_commands_wait_and_then_go_on(void **state)
{
    (void)state;
    struct chunk *hog[64];
    unsigned hogs = 0;
    while (hogs < 64 && (hog[hogs] = pool_get(rig.pools[0], POOL_CLASS_MAX)))
        hogs++;
    start_read(0, &one, SCSI_SIMPLE);
    start(1, &one, SCSI_SIMPLE, CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, 96}), 96, 0);
    start(2, &one, SCSI_SIMPLE, CDB_BUILD(CDB_WRITE_SAME_10, cdb, {CDB_F_COUNT, 4}), 0, 512);
    start_read(3, &one, SCSI_SIMPLE);
    assert_false(cmds[0].over || cmds[1].over || cmds[2].over || cmds[3].over);
    scsi_task_abort(one.reactor, &cmds[3].task); /* waiting tasks can be aborted */
    while (hogs)
        chunk_unref(hog[--hogs]);
    rig_run(&rig);
    for (int i = 0; i < 3; i++) {
        assert_true(cmds[i].over);
        assert_good(&cmds[i]);
    }
    assert_true(cmds[3].aborted);
}

/* Fails the 1st, 2nd, 3rd ... allocation of a whole little life until none is left to fail. */
static void any_failed_allocation_is_survived(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth < 200; nth++) {
        rig_init(&rig, 2, NULL, RIG_DISK_MAX);
        memset(&one, 0, sizeof one);
        one.map = &rig.map;
        rig.heap.calls = 0;
        rig.heap.fail_at = nth;
        bool opened = scsi_nexus_open(&rig.reactors[1], &one) == 0;
        if (opened) {
            for (int round = 0; round < 3; round++) {
                start_read(0, &one, SCSI_SIMPLE);
                assert_true(cmds[0].over);
            }
            struct scsi_tmf tmf = tmf_of(SCSI_TMF_LOGICAL_UNIT_RESET, &one, 0);
            run_tmf(&tmf);
            assert_true(tmf_over(&tmf));
            start(1, &one, SCSI_SIMPLE, CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, 0}), 0, 0);
            assert_true(cmds[1].over);
            scsi_nexus_close(&one);
        }
        bool reached = rig.heap.calls >= nth;
        rig.heap.fail_at = 0;
        rig_fini(&rig);
        if (!reached)
            return;
    }
    fail();
}

#define T1(name) cmocka_unit_test_setup_teardown(name, set_up_1, tear_down)
#define T2(name) cmocka_unit_test_setup_teardown(name, set_up_2, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T1(ordered_waits_for_older_and_holds_back_younger),
        T1(many_blocked_commands_end_without_recursion),
        T1(aca_without_aca_is_an_invalid_message),
        T1(abort_task_waits_until_the_store_lets_go),
        T1(abort_task_set_leaves_other_nexuses_alone),
        T2(lun_reset_reaches_every_reactor_and_waits_for_all),
        T2(resets_of_the_target_reset_each_lu),
        T2(resets_of_the_target_wait_for_what_lus_have_left),
        T1(unknown_luns_and_functions_are_told_apart),
        T2(mode_select_is_known_everywhere_before_it_ends),
        T2(an_aborted_mode_select_outlives_its_change),
        T1(nexus_loss_aborts_everything_and_returns_every_span),
        T1(spans_that_complete_out_of_order_are_delivered_in_order),
        T1(a_parameter_list_that_stops_coming_is_too_short),
        T1(a_lun_that_leaves_the_map_ends_its_commands),
        T1(a_returning_nexus_gets_one_unit_attention),
        T1(short_of_memory_commands_wait_and_then_go_on),
        cmocka_unit_test(any_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
