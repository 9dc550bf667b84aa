/* Goal: unit attentions, LUN maps, resets, changes that all reactors share, mode parameters, in all their
 * small cases. Method: every short sequence of conditions and every bit of the mode pages against plain
 * models of SAM-5 5.14 and SPC-4 7.5. */
#include "tests/unit/test_device_pair.h"

/* ---- unit attentions ---- */

static const unsigned ua_codes[UA_COUNT] = {ASC_POWER_ON_RESET,
                                            ASC_RESET_FUNCTION,
                                            ASC_NEXUS_LOSS,
                                            ASC_COMMANDS_CLEARED_BY_ISCSI,
                                            ASC_MEDIUM_MAY_HAVE_CHANGED,
                                            ASC_MODE_PARAMETERS_CHANGED,
                                            ASC_CAPACITY_CHANGED,
                                            ASC_LUNS_CHANGED};
#define RESETS 3u /* the first of them: the most important one stands for all */

/* All sequences of three conditions: told once each in order of importance, of resets only the most
 * important. */
static void conditions_are_told_in_order_of_importance(void **state)
{
    (void)state;
    for (unsigned n = 0; n < UA_COUNT * UA_COUNT * UA_COUNT; n++) {
        const unsigned raised[3] = {n % UA_COUNT, n / UA_COUNT % UA_COUNT, n / UA_COUNT / UA_COUNT};
        bool pending[UA_COUNT] = {false};
        for (int i = 0; i < 3; i++) {
            ua_raise(one.low[0], (enum ua)raised[i]);
            pending[raised[i]] = true;
        }
        unsigned expected[UA_COUNT], count = 0;
        for (unsigned ua = 0; ua < UA_COUNT; ua++)
            if (pending[ua] && !(ua < RESETS && count))
                expected[count++] = ua;
        assert_int_equal(ua_count(one.low[0]), count);
        for (unsigned i = 0; i < count; i++) {
            struct scsi_tmf tmf = tmf_of(SCSI_TMF_QUERY_ASYNC_EVENT, &one, 0);
            run_tmf(&tmf);
            assert_int_equal(tmf.result, SCSI_TMF_SUCCEEDED);
            assert_int_equal(tmf.info[0], (i + 1 < count ? 0x20 : 0x10) | SENSE_UNIT_ATTENTION);
            assert_int_equal(tmf.info[1] << 8 | tmf.info[2], ua_codes[expected[i]]);
            assert_int_equal(tur(&one), ua_codes[expected[i]]);
        }
        assert_int_equal(tur(&one), 0);
        struct scsi_tmf tmf = tmf_of(SCSI_TMF_QUERY_ASYNC_EVENT, &one, 0);
        run_tmf(&tmf);
        assert_int_equal(tmf.result, SCSI_TMF_COMPLETE);
        assert_int_equal(tmf.info[0] | tmf.info[1] | tmf.info[2], 0);
    }
}

static void only_capacity_and_luns_are_events(void **state)
{
    (void)state;
    struct scsi_event event;
    for (int wants = 0; wants < 2; wants++) {
        one.wants_events = wants;
        for (unsigned ua = 0; ua < UA_COUNT; ua++)
            ua_raise(one.low[0], (enum ua)ua);
        ua_raise(one.low[0], UA_CAPACITY_CHANGED); /* again, before it was pulled: once */
        for (unsigned ua = UA_CAPACITY_CHANGED; wants && ua <= UA_LUNS_CHANGED; ua++) {
            struct scsi_sense s;
            assert_true(scsi_next_event(&rig.reactors[0], &event));
            assert_ptr_equal(event.nexus, &one);
            assert_true(event.lun == scsi_lun_encode(0));
            assert_true(sense_parse(event.sense, event.sense_len, &s));
            assert_int_equal(s.key, SENSE_UNIT_ATTENTION);
            assert_int_equal(s.asc << 8 | s.ascq, ua_codes[ua]);
            assert_false(s.descriptor);
        }
        assert_false(scsi_next_event(&rig.reactors[0], &event));
        while (tur(&one))
            continue;
    }
}

/* Cold reset, warm reset, nexus reset, in all orders of two: what is told after both. */
static void resets_are_told_by_the_gravest(void **state)
{
    (void)state;
    static const enum scsi_tmf_function f[] = {SCSI_TMF_TARGET_COLD_RESET, SCSI_TMF_TARGET_WARM_RESET};
    for (int first = 0; first < 2; first++) {
        for (int second = 0; second < 2; second++) {
            struct scsi_tmf tmf = tmf_of(f[first], &two, 0);
            run_tmf(&tmf);
            tmf = tmf_of(f[second], &two, 0);
            run_tmf(&tmf);
            tmf = tmf_of(SCSI_TMF_I_T_NEXUS_RESET, &one, 0);
            run_tmf(&tmf);
            assert_int_equal(tur(&one), first && second ? ASC_RESET_FUNCTION : ASC_POWER_ON_RESET);
            assert_int_equal(tur(&one), 0);
            assert_int_equal(tur(&two), 0); /* whoever asked knows */
        }
    }
}

/* Opened in memory that holds anything: only what the transport sets has to be set. */
static void a_nexus_opens_anywhere(void **state)
{
    (void)state;
    static struct scsi_nexus fresh;
    memset(&fresh, 0xa5, sizeof fresh);
    fresh.initiator_port = fresh.target_port = fresh.target_name = "iqn.2026-01.test:new";
    fresh.map = &rig.map;
    fresh.protocol_level = 1;
    fresh.wants_events = fresh.takes_loans = false;
    assert_int_equal(scsi_nexus_open(&rig.reactors[0], &fresh), 0);
    assert_int_equal(fresh.tasks, 0);
    for (size_t i = 0; i < sizeof fresh.low / sizeof fresh.low[0]; i++)
        assert_null(fresh.low[i]);
    assert_true(fresh.id != one.id && fresh.id != two.id && one.id != two.id);
    assert_true(fresh.id && one.id && two.id); /* 0 stands for none */
    assert_int_equal(tur(&fresh), ASC_POWER_ON_RESET);
    assert_int_equal(tur(&fresh), 0);
    scsi_nexus_close(&fresh);
    assert_null(fresh.none);
}

/* ---- maps ---- */

static struct scsi_lun many_luns[40];

/* Every size of map, with a LUN behind its end that is not in it; all numbers around those that are. */
static void maps_of_every_size_are_searched_right(void **state)
{
    (void)state;
    for (unsigned size = 0; size < 12; size++) {
        for (unsigned i = 0; i < 40; i++)
            many_luns[i] = (struct scsi_lun){.number = (uint16_t)(3 * i + 1), .lu = rig.lu};
        struct scsi_lun_map map = {.count = size, .luns = many_luns};
        scsi_nexus_set_map(&one, &map);
        for (uint16_t number = 0; number < 3 * 13; number++) {
            bool there = number % 3 == 1 && number < 3 * size;
            do_on(&one, number, CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, 36}), 36, 0);
            assert_good(&cmds[0]);
            assert_int_equal(data[0], there ? 0x00 : number ? 0x7f : 0x20);
            struct scsi_tmf tmf = tmf_of(SCSI_TMF_QUERY_TASK_SET, &one, number);
            run_tmf(&tmf);
            assert_int_equal(tmf.result, there ? SCSI_TMF_COMPLETE : SCSI_TMF_NO_LUN);
        }
        scsi_nexus_set_map(&one, NULL);
        rig_run(&rig);
        do_on(&one, 1, CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, 36}), 36, 0);
        assert_int_equal(data[0], 0x7f);
    }
    scsi_nexus_set_map(&one, &rig.map);
    rig_run(&rig);
}

/* Each LUN has one ITL for as long as the nexus lives: its unit attention is told once, in whatever order. */
static void each_lun_tells_its_unit_attention_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++)
        many_luns[i] = (struct scsi_lun){.number = (uint16_t)i, .lu = rig.lu};
    struct scsi_lun_map map = {.count = 20, .luns = many_luns};
    scsi_nexus_close(&one);
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    scsi_nexus_set_map(&one, &map);
    for (unsigned k = 0; k < 20; k++)
        assert_int_equal(tur_on(&one, (uint16_t)(k * 7 % 20)), ASC_POWER_ON_RESET);
    for (unsigned round = 1; round < 20; round += 2) {
        for (unsigned k = 0; k < 20; k++)
            assert_int_equal(tur_on(&one, (uint16_t)(k * round % 20)), 0);
    }
    scsi_nexus_commands_cleared(&one, scsi_lun_encode(3));
    scsi_nexus_commands_cleared(&one, scsi_lun_encode(11));
    scsi_nexus_commands_cleared(&one, scsi_lun_encode(25)); /* there is none */
    for (uint16_t k = 0; k < 20; k++)
        assert_int_equal(tur_on(&one, k), k == 3 || k == 11 ? ASC_COMMANDS_CLEARED_BY_ISCSI : 0);
    scsi_nexus_set_map(&one, &rig.map);
    rig_run(&rig);
    assert_int_equal(tur(&one), ASC_LUNS_CHANGED);
}

/* What a new map tells the LUNs that stay. */
static void a_new_map_tells_what_is_new(void **state)
{
    (void)state;
    struct scsi_lun luns[3] = {{.number = 0, .lu = rig.lu},
                               {.number = 300, .lu = rig.lu, .readonly = true},
                               {.number = 301, .lu = rig.lu}};
    struct scsi_lun_map map = {.count = 2, .luns = luns};
    scsi_nexus_set_map(&one, &map); /* the same in another place */
    assert_int_equal(tur(&one), 0);
    luns[1].readonly = false; /* of a LUN that this nexus has not used */
    scsi_nexus_set_map(&one, &map);
    assert_int_equal(tur(&one), 0);
    struct scsi_lun others[3];
    struct scsi_lun_map next = {.count = 2, .luns = others};
    memcpy(others, luns, sizeof luns);
    others[0].readonly = true;
    scsi_nexus_set_map(&one, &next);
    assert_int_equal(tur(&one), ASC_MODE_PARAMETERS_CHANGED);
    assert_int_equal(tur(&one), 0);
    do_on(&one, 0, CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 1}), 0, 512);
    assert_sense(&cmds[0], SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    scsi_nexus_set_map(&one, &map);
    assert_int_equal(tur(&one), ASC_MODE_PARAMETERS_CHANGED);
    assert_int_equal(tur(&one), 0);
    for (int change = 0; change < 3; change++) {
        memcpy(others, luns, sizeof luns);
        next.count = change == 2 ? 3 : 2; /* one more */
        if (change == 0)
            others[1].number = 299; /* another number */
        if (change == 1)
            others[1].lu = other; /* another logical unit */
        for (int back = 0; back < 2; back++) {
            scsi_nexus_set_map(&one, back ? &map : &next);
            assert_int_equal(tur(&one), ASC_LUNS_CHANGED);
            assert_int_equal(tur(&one), 0);
        }
    }
    assert_int_equal(tur(&one), 0);
    scsi_nexus_set_map(&one, &rig.map);
    while (tur(&one))
        continue;
}

/* A number that stands for another logical unit now: commands end and are answered, the new one is new. */
static void a_lun_that_becomes_another_starts_afresh(void **state)
{
    (void)state;
    struct scsi_lun luns[1] = {{.number = 0, .lu = other}};
    struct scsi_lun_map map = {.count = 1, .luns = luns};
    rig.fake.hold = true;
    start_read(1, &one, 0, SCSI_SIMPLE, 0);
    ua_raise(one.low[0], UA_CAPACITY_CHANGED); /* of the old one: goes with it */
    scsi_nexus_set_map(&one, &map);
    assert_null(one.low[0]);
    rig.fake.hold = false;
    assert_int_equal(tur(&one), ASC_POWER_ON_RESET);
    assert_int_equal(tur(&one), 0);
    assert_false(scsi_lu_idle(&rig.reactors[0], rig.lu));
    release_all();
    assert_true(cmds[1].over && cmds[1].aborted && cmds[1].task.respond_aborted);
    assert_true(scsi_lu_idle(&rig.reactors[0], rig.lu));
    assert_false(scsi_lu_idle(&rig.reactors[0], other));
    assert_false(scsi_lu_idle(&rig.reactors[1], rig.lu)); /* two uses it there */
    scsi_nexus_set_map(&one, &rig.map);
    assert_true(scsi_lu_idle(&rig.reactors[0], other));
    assert_int_equal(tur(&one), ASC_POWER_ON_RESET);
}

/* ---- changes ---- */

static void select_page(struct scsi_nexus *nexus, const uint8_t *page, size_t len)
{
    memset(data, 0, 4);
    memcpy(data + 4, page, len);
    do_on(nexus, 0, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, 4 + len}), 0, 4 + len);
}

static const uint8_t control_now[12] = {0x0a, 0x0a, 0x20, 0x10, 0, 0x40, 0, 0, 0xff, 0xff};
static const uint8_t caching_now[20] = {0x08, 0x12, 0x04};

static void select_flags(struct scsi_nexus *nexus, bool wce, bool d_sense, bool swp)
{
    uint8_t pages[32];
    memcpy(pages, control_now, 12);
    memcpy(pages + 12, caching_now, 20);
    pages[2] |= d_sense ? 0x04 : 0;
    pages[4] |= swp ? 0x08 : 0;
    pages[12 + 2] = wce ? 0x04 : 0;
    select_page(nexus, pages, 32);
    assert_good(&cmds[0]);
}

static void check_flags(struct scsi_nexus *nexus, bool wce, bool d_sense, bool swp)
{
    do_on(nexus, 0,
          CDB_BUILD(CDB_MODE_SENSE_6, cdb, {CDB_F_DBD, 1}, {CDB_F_PAGE_CODE, 0x3f}, {CDB_F_ALLOC, 255}), 255,
          0);
    assert_good(&cmds[0]);
    assert_int_equal(data[2], swp ? 0x90 : 0x10); /* WP, DPOFUA */
    assert_int_equal(data[4 + 12 + 2], wce ? 0x04 : 0);
    assert_int_equal(data[4 + 32 + 2], d_sense ? 0x24 : 0x20);
    assert_int_equal(data[4 + 32 + 4], swp ? 0x08 : 0);
}

/* Of three flags, from every state to every state: kept where it was changed, on the other reactor, in a view
 * that is made later, and undone by a reset. */
static void mode_flags_reach_every_view(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    for (unsigned n = 0; n < 128; n++) {
        bool wce = n & 1, d_sense = n & 2, swp = n & 4, was_wce = n & 8, was_d = n & 16, was_swp = n & 32;
        config.write_cache = n & 64;
        tear_down(NULL);
        rig_init(&rig, 2, &config, RIG_DISK_MAX);
        assert_int_equal(scsi_lu_new(&rig.env, &config, &rig.fake.store, 0, 2, &other), 0);
        rig_nexus(&rig, 1, &two, "iqn.2026-01.test:two");
        rig_clear_ua(&rig, &two);
        check_flags(&two, config.write_cache, false, false);
        select_flags(&two, was_wce, was_d, was_swp);
        check_flags(&two, was_wce, was_d, was_swp);
        select_flags(&two, wce, d_sense, swp);
        check_flags(&two, wce, d_sense, swp);
        rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one"); /* the home reactor's first view */
        assert_int_equal(tur(&one), ASC_POWER_ON_RESET);
        assert_int_equal(rig_sense(&cmds[0]).descriptor, d_sense);
        check_flags(&one, wce, d_sense, swp);
        do_on(&one, 0, CDB_BUILD(CDB_WRITE_10, cdb, {CDB_F_COUNT, 1}), 0, 512);
        if (swp)
            assert_sense(&cmds[0], SENSE_DATA_PROTECT, ASC_SOFTWARE_WRITE_PROTECTED);
        else
            assert_good(&cmds[0]);
        assert_int_equal(rig.fake.fua_writes, !wce && !swp);
        select_flags(&one, was_wce, d_sense, swp);
        assert_int_equal(tur(&two), was_wce != wce ? ASC_MODE_PARAMETERS_CHANGED : 0);
        check_flags(&two, was_wce, d_sense, swp);
        struct scsi_tmf tmf = tmf_of(SCSI_TMF_LOGICAL_UNIT_RESET, &one, 0);
        run_tmf(&tmf);
        check_flags(&one, config.write_cache, false, false);
        assert_int_equal(tur(&two), ASC_RESET_FUNCTION);
        check_flags(&two, config.write_cache, false, false);
        scsi_nexus_close(&one);
        rig_run(&rig);
        scsi_lu_forget(&rig.reactors[0], rig.lu);
        rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
        assert_int_equal(tur(&one), ASC_POWER_ON_RESET);
        check_flags(&one, config.write_cache, false, false);
    }
}

static size_t start_stop(bool start, bool loej)
{
    return CDB_BUILD(CDB_START_STOP_UNIT, cdb, {CDB_F_START, start}, {CDB_F_LOEJ, loej});
}

static unsigned sense_now(struct scsi_nexus *nexus)
{
    struct scsi_sense s;
    do_on(nexus, 0, CDB_BUILD(CDB_REQUEST_SENSE, cdb, {CDB_F_ALLOC, 252}), 252, 0);
    assert_good(&cmds[0]);
    assert_true(sense_parse(data, cmds[0].got, &s));
    return (unsigned)s.asc << 8 | s.ascq;
}

/* A stopped unit starts with a reset; a medium that is out stays out. */
static void resets_start_but_do_not_load(void **state)
{
    (void)state;
    do_on(&one, 0, start_stop(false, false), 0, 0);
    assert_good(&cmds[0]);
    assert_int_equal(tur(&two), ASC_LU_NOT_READY_INITIALIZING_COMMAND_REQUIRED);
    assert_int_equal(sense_now(&two), ASC_LU_NOT_READY_INITIALIZING_COMMAND_REQUIRED);
    struct scsi_tmf tmf = tmf_of(SCSI_TMF_LOGICAL_UNIT_RESET, &one, 0);
    run_tmf(&tmf);
    assert_int_equal(tur(&one), 0);
    assert_int_equal(sense_now(&one), 0);
    assert_int_equal(sense_now(&two), ASC_RESET_FUNCTION);
    assert_int_equal(tur(&two), 0);
    struct scsi_lu_config config = rig_lu_config();
    config.removable = true;
    reopen(&config, RIG_DISK_MAX);
    do_on(&one, 0, start_stop(false, true), 0, 0);
    assert_int_equal(tur(&two), ASC_MEDIUM_NOT_PRESENT);
    assert_int_equal(sense_now(&two), ASC_MEDIUM_NOT_PRESENT);
    run_tmf(&tmf);
    assert_int_equal(tur(&one), ASC_MEDIUM_NOT_PRESENT);
}

/* Who loads a medium knows; the others are told once, and only if it was out. */
static void loading_is_told_to_the_others(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    config.removable = true;
    reopen(&config, RIG_DISK_MAX);
    static const struct {
        bool start, loej, out;
        unsigned told;
    } rows[] = {{true, true, false, 0},
                {false, true, true, 0},
                {false, true, true, 0},
                {true, false, true, 0}, /* starting does not load */
                {true, true, false, ASC_MEDIUM_MAY_HAVE_CHANGED},
                {true, true, false, 0},
                {false, false, false, 0} /* stopping does not unload */};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        do_on(&one, 0, start_stop(rows[i].start, rows[i].loej), 0, 0);
        assert_good(&cmds[0]);
        unsigned then = rows[i].out ? ASC_MEDIUM_NOT_PRESENT : 0;
        assert_int_equal(tur(&one), then);
        assert_int_equal(tur(&two), rows[i].told ? rows[i].told : then);
        assert_int_equal(tur(&two), then);
    }
}

static size_t prevent(unsigned value)
{
    return CDB_BUILD(CDB_PREVENT_ALLOW, cdb, {CDB_F_PREVENT, value});
}

/* The medium is held as long as one nexus holds it; a nexus counts once; resets let go. */
static void a_medium_is_held_by_whoever_says_so(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    config.removable = true;
    reopen(&config, RIG_DISK_MAX);
    for (int way = 0; way < 5; way++) {
        do_on(&one, 0, prevent(1), 0, 0);
        do_on(&one, 0, prevent(1), 0, 0); /* counts once */
        do_on(&two, 0, prevent(1), 0, 0);
        assert_int_equal(atomic_load(&rig.lu->prevents), 2);
        for (int start = 0; start < 2; start++) {
            do_on(&two, 0, start_stop(start, true), 0, 0);
            assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_MEDIUM_REMOVAL_PREVENTED);
        }
        do_on(&one, 0, start_stop(false, false), 0, 0); /* nothing moves */
        assert_good(&cmds[0]);
        do_on(&two, 0, prevent(0), 0, 0);
        do_on(&two, 0, prevent(0), 0, 0);
        assert_int_equal(atomic_load(&rig.lu->prevents), 1);
        do_on(&two, 0, start_stop(false, true), 0, 0);
        assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_MEDIUM_REMOVAL_PREVENTED);
        struct scsi_lun_map none = {0};
        struct scsi_tmf tmf = tmf_of(SCSI_TMF_I_T_NEXUS_RESET, &one, 0);
        if (way == 0) {
            do_on(&one, 0, prevent(0), 0, 0);
        } else if (way == 1) {
            run_tmf(&tmf);
        } else if (way == 2) {
            tmf.function = SCSI_TMF_LOGICAL_UNIT_RESET;
            run_tmf(&tmf);
        } else if (way == 3) {
            scsi_nexus_set_map(&one, &none);
            scsi_nexus_set_map(&one, &rig.map);
        } else {
            scsi_nexus_close(&one);
            rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
        }
        while (tur(&one) || tur(&two))
            continue;
        assert_int_equal(atomic_load(&rig.lu->prevents), 0);
        for (int start = 0; start < 2; start++) {
            do_on(&two, 0, start_stop(start, true), 0, 0);
            assert_good(&cmds[0]);
        }
        while (tur(&one) || tur(&two))
            continue;
    }
    for (unsigned value = 2; value < 4; value++) {
        do_on(&one, 0, prevent(value), 0, 0);
        assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        assert_int_equal(atomic_load(&rig.lu->prevents), 0);
    }
}

/* A change in the middle of its way keeps the LU where it is, from wherever it was asked for. */
static void a_change_under_way_keeps_its_lu(void **state)
{
    (void)state;
    for (unsigned from = 0; from < 2; from++) {
        struct scsi_nexus *nexus = from ? &two : &one;
        struct scsi_tmf done = {0};
        rig.fake.store.info.size = RIG_DISK_MAX + (1 + from) * 512;
        scsi_nexus_close(&one);
        scsi_nexus_close(&two);
        rig_run(&rig);
        for (unsigned i = 0; i < 2; i++) {
            assert_true(scsi_lu_idle(&rig.reactors[i], rig.lu));
            scsi_lu_forget(&rig.reactors[i], rig.lu); /* a reactor without a view takes part as well */
        }
        rig.messages_held = true;
        scsi_lu_resized(&rig.reactors[from], rig.lu, &done);
        rig_run(&rig);
        assert_null(scsi_next_tmf(&rig.reactors[from]));
        assert_int_equal(scsi_lu_blocks(rig.lu),
                         RIG_DISK_MAX / 512 + 1); /* home has begun, or not even that */
        for (unsigned i = 0; i < 2; i++)
            assert_false(scsi_lu_idle(&rig.reactors[i], rig.lu));
        rig.messages_held = false;
        rig_run(&rig);
        assert_ptr_equal(scsi_next_tmf(&rig.reactors[from]), &done);
        assert_null(scsi_next_tmf(&rig.reactors[!from]));
        assert_int_equal(done.result, SCSI_TMF_COMPLETE);
        for (unsigned i = 0; i < 2; i++)
            assert_true(scsi_lu_idle(&rig.reactors[i], rig.lu));
        assert_int_equal(scsi_lu_blocks(rig.lu), RIG_DISK_MAX / 512 + 1 + from);
        rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
        rig_nexus(&rig, 1, &two, "iqn.2026-01.test:two");
        rig_clear_ua(&rig, &one);
        rig_clear_ua(&rig, &two);
        do_on(nexus, 0, CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, RIG_DISK_MAX / 512 + from}, {CDB_F_COUNT, 1}),
              512, 0);
        assert_good(&cmds[0]);
        do_on(nexus, 0,
              CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, RIG_DISK_MAX / 512 + from + 1}, {CDB_F_COUNT, 1}), 512,
              0);
        assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    }
}

static void without_memory_changes_are_refused(void **state)
{
    (void)state;
    struct scsi_tmf done = {0};
    rig.heap.calls = 0;
    rig.heap.fail_at = 1;
    scsi_lu_resized(&rig.reactors[0], rig.lu, &done);
    assert_ptr_equal(scsi_next_tmf(&rig.reactors[0]), &done);
    assert_int_equal(done.result, SCSI_TMF_REJECTED);
    struct scsi_tmf tmf = tmf_of(SCSI_TMF_LOGICAL_UNIT_RESET, &one, 0);
    rig.heap.fail_at = rig.heap.calls + 1;
    run_tmf(&tmf);
    assert_int_equal(tmf.result, SCSI_TMF_REJECTED);
    rig.heap.fail_at = rig.heap.calls + 1;
    do_on(&one, 0, start_stop(false, false), 0, 0);
    assert_int_equal(cmds[0].task.status, SCSI_STATUS_BUSY);
    rig.heap.fail_at = 0;
    assert_int_equal(tur(&one), 0);
    assert_int_equal(tur(&two), 0);
    assert_true(atomic_load(&rig.lu->changes) == 0);
}

static void a_disk_has_one_block_at_least(void **state)
{
    (void)state;
    struct scsi_lu_config config = rig_lu_config();
    struct scsi_lu *lu;
    for (uint32_t block = 512; block <= 4096; block += 4096 - 512) {
        config.block_size = block;
        rig.fake.store.info.size = block - 1;
        assert_int_equal(scsi_lu_new(&rig.env, &config, &rig.fake.store, 1, 2, &lu), ERR_RANGE);
        rig.fake.store.info.size = block;
        assert_int_equal(scsi_lu_new(&rig.env, &config, &rig.fake.store, 1, 2, &lu), 0);
        assert_int_equal(scsi_lu_blocks(lu), 1);
        assert_ptr_equal(scsi_lu_store(lu), &rig.fake.store);
        assert_int_equal(scsi_lu_config(lu)->block_size, block);
        scsi_lu_free(lu);
        rig.fake.store.info.size = 3 * block - 1;
        assert_int_equal(scsi_lu_new(&rig.env, &config, &rig.fake.store, 1, 2, &lu), 0);
        assert_int_equal(scsi_lu_blocks(lu), 2);
        scsi_lu_free(lu);
    }
}

/* ---- mode parameters ---- */

/* Every bit of every page: it can be changed, or the parameter list is refused with its byte. */
static void every_bit_of_every_page_is_changeable_or_not(void **state)
{
    (void)state;
    static const uint8_t pages[4][20] = {{0x01, 0x0a, 0xc0},
                                         {0x08, 0x12, 0x04},
                                         {0x0a, 0x0a, 0x20, 0x10, 0, 0x40, 0, 0, 0xff, 0xff},
                                         {0x1c, 0x0a, 0x08}};
    bool in_cdb;
    uint16_t byte;
    int bit;
    for (int page = 0; page < 4; page++) {
        unsigned len = pages[page][1] + 2u;
        for (unsigned i = 16; i < 8 * len; i++) {
            uint8_t wish[20];
            memcpy(wish, pages[page], sizeof wish);
            wish[i / 8] ^= (uint8_t)(1u << i % 8);
            bool may = (page == 1 && i == 2 * 8 + 2) || (page == 2 && (i == 2 * 8 + 2 || i == 4 * 8 + 3));
            select_page(&one, wish, len);
            if (may) {
                assert_good(&cmds[0]);
                select_page(&one, pages[page], len);
                assert_good(&cmds[0]);
                assert_int_equal(tur(&two), ASC_MODE_PARAMETERS_CHANGED);
                continue;
            }
            assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
            struct scsi_sense s = rig_sense(&cmds[0]);
            assert_true(sense_pointer(&s, &in_cdb, &byte, &bit));
            assert_false(in_cdb);
            assert_int_equal(byte, 4 + i / 8);
            assert_int_equal(bit, -1);
        }
        select_page(&one, pages[page], len); /* as it is: nothing changes, nobody is told */
        assert_good(&cmds[0]);
        assert_int_equal(tur(&two), 0);
    }
    check_flags(&one, true, false, false);
    /* All or nothing: a good page before a bad one. */
    uint8_t both[32];
    memcpy(both, caching_now, 20);
    both[2] = 0;
    memcpy(both + 20, control_now, 12);
    both[20 + 3] ^= 0x80;
    select_page(&one, both, 32);
    assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    struct scsi_sense s = rig_sense(&cmds[0]);
    assert_true(sense_pointer(&s, &in_cdb, &byte, &bit));
    assert_int_equal(byte, 4 + 20 + 3);
    check_flags(&one, true, false, false);
}

/* The block descriptor says what is, or nothing. */
static void the_block_descriptor_says_what_is(void **state)
{
    (void)state;
    static const struct {
        bool ten, long_lba;
        uint8_t descriptor;
        uint64_t blocks;
        uint32_t block_len;
        bool good;
    } rows[] = {
        {false, false, 8, 2048, 512, true},       {false, false, 8, 0, 512, true},
        {false, false, 8, 2047, 512, false},      {false, false, 8, 2049, 512, false},
        {false, false, 8, 2048, 513, false},      {false, false, 8, 2048, 0, false},
        {false, false, 8, 0, 4096, false},        {true, false, 8, 2048, 512, true},
        {true, true, 16, 2048, 512, true},        {true, true, 16, 0, 512, true},
        {true, true, 16, 2049, 512, false},       {true, true, 16, 2048, 511, false},
        {true, true, 8, 2048, 512, false},        {true, false, 16, 2048, 512, false},
        {false, false, 16, 2048, 512, false},     {true, false, 8, UINT32_MAX, 512, false},
        {true, true, 16, UINT32_MAX, 512, false},
    };
    for (int big = 0; big < 2; big++) {
        uint64_t have = big ? UINT64_C(1) << 32 : 2048;
        reopen(NULL, have * 512);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            uint64_t blocks = rows[i].blocks;
            bool good = rows[i].good;
            if (big) /* a short descriptor says FFFFFFFFh of what it cannot hold (SPC-4 7.5.6.1) */
                blocks = blocks == UINT32_MAX || !blocks ? blocks
                         : !rows[i].long_lba             ? (blocks == 2048 ? UINT32_MAX : blocks)
                                                         : blocks - 2048 + have;
            if (big && blocks == UINT32_MAX && rows[i].blocks == UINT32_MAX && !rows[i].long_lba)
                good = true;
            size_t at = rows[i].ten ? 8 : 4, len = at + rows[i].descriptor + 20;
            memset(data, 0, len);
            if (rows[i].ten) {
                data[4] = rows[i].long_lba;
                data[7] = rows[i].descriptor;
            } else {
                data[3] = rows[i].descriptor;
            }
            if (rows[i].long_lba) {
                be64_put(data + at, blocks);
                be32_put(data + at + 12, rows[i].block_len);
            } else {
                be32_put(data + at, (uint32_t)blocks);
                be24_put(data + at + 5, rows[i].block_len);
            }
            memcpy(data + at + rows[i].descriptor, caching_now, 20);
            if (rows[i].ten)
                do_on(&one, 0, CDB_BUILD(CDB_MODE_SELECT_10, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, len}), 0,
                      len);
            else
                do_on(&one, 0, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, len}), 0,
                      len);
            if (good) {
                assert_good(&cmds[0]);
                continue;
            }
            assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
            struct scsi_sense s = rig_sense(&cmds[0]);
            bool in_cdb;
            uint16_t byte;
            int bit;
            assert_true(sense_pointer(&s, &in_cdb, &byte, &bit));
            assert_int_equal(byte, at);
        }
    }
}

/* A list of every length that is cut somewhere. */
static void a_cut_mode_parameter_list_is_too_short(void **state)
{
    (void)state;
    for (unsigned len = 1; len <= 4 + 8 + 20; len++) {
        memset(data, 0, 64);
        data[3] = 8;
        be32_put(data + 4, 2048);
        be24_put(data + 9, 512);
        memcpy(data + 12, caching_now, 20);
        do_on(&one, 0, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, len}), 0, len);
        if (len == 12 || len == 32) /* between the parts */
            assert_good(&cmds[0]);
        else
            assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
        if (len > 1) { /* the last byte does not come */
            do_on(&one, 0, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}, {CDB_F_PARAM_LEN, len}), 0,
                  len - 1);
            assert_sense(&cmds[0], SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
        }
    }
    do_on(&one, 0, CDB_BUILD(CDB_MODE_SELECT_6, cdb, {CDB_F_PF, 1}), 0, 0);
    assert_good(&cmds[0]);
}

/* ---- what the store says of itself, in blocks ---- */

static uint32_t page_word(uint8_t page, unsigned at)
{
    do_on(&one, 0, CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_EVPD, 1}, {CDB_F_PAGE_CODE, page}, {CDB_F_ALLOC, 255}),
          255, 0);
    assert_good(&cmds[0]);
    assert_true(at + 4 <= cmds[0].got);
    return be32_get(data + at);
}

/* SBC-3 6.6.3 to 6.6.5: granularities are in logical blocks, of which a physical block holds a power of two.
 */
static void pages_count_in_blocks(void **state)
{
    (void)state;
    static const struct {
        uint32_t block;
        uint8_t exponent;
        uint32_t granularity, optimal_io; /* bytes */
        bool discard, thin, rotational;
        uint32_t optimal_granularity, optimal_transfer, unmap_granularity, write_same, provisioning;
    } rows[] = {
        {512, 0, 0, 0, true, true, false, 1, 0, 1, 0x200000, 0xe402},
        {512, 3, 0, 65536, true, true, false, 8, 128, 8, 0x200000, 0xe402},
        {512, 3, 4096, 65536, true, false, true, 8, 128, 8, 0x200000, 0xe401},
        {512, 3, 4608, 65536, true, false, true, 8, 128, 9, 0x200000, 0xe401},
        {512, 0, 1024, 512, true, true, true, 1, 1, 2, 0x200000, 0xe402},
        {4096, 0, 4096, 65536, true, true, false, 1, 16, 1, 0x40000, 0xe402},
        {4096, 1, 32768, 8192, true, true, false, 2, 2, 8, 0x40000, 0xe402},
        {4096, 2, 8192, 4095, true, true, false, 4, 0, 4, 0x40000, 0xe402},
        {4096, 0, 65536, 4096, false, true, false, 1, 1, 0, 0x40000, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scsi_lu_config config = rig_lu_config();
        config.block_size = rows[i].block;
        config.physical_block_exponent = rows[i].exponent;
        config.rotational = rows[i].rotational;
        reopen(&config, RIG_DISK_MAX);
        struct store_info *info = &rig.fake.store.info;
        info->can_discard = rows[i].discard;
        info->thin = rows[i].thin;
        info->discard_granularity = rows[i].granularity;
        info->optimal_io = rows[i].optimal_io;
        assert_int_equal(page_word(0xb0, 4), 0x01000000 | rows[i].optimal_granularity);
        assert_int_equal(data[4], 1); /* WSNZ */
        assert_int_equal(page_word(0xb0, 12), rows[i].optimal_transfer);
        assert_int_equal(page_word(0xb0, 20), rows[i].discard ? 1024 * 1024 : 0);
        assert_int_equal(page_word(0xb0, 24), rows[i].discard ? 256 : 0);
        assert_int_equal(page_word(0xb0, 28), rows[i].unmap_granularity);
        assert_int_equal(page_word(0xb0, 32), rows[i].discard ? 0x80000000 : 0);
        assert_int_equal(page_word(0xb0, 40), rows[i].write_same);
        assert_int_equal(page_word(0xb1, 4) >> 16, rows[i].rotational ? 7200 : 1);
        assert_int_equal(page_word(0xb2, 4) >> 8,
                         rows[i].discard ? 0x00e400u | (rows[i].provisioning & 0xff) : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(conditions_are_told_in_order_of_importance),
        T(only_capacity_and_luns_are_events),
        T(resets_are_told_by_the_gravest),
        T(a_nexus_opens_anywhere),
        T(maps_of_every_size_are_searched_right),
        T(each_lun_tells_its_unit_attention_once),
        T(a_new_map_tells_what_is_new),
        T(a_lun_that_becomes_another_starts_afresh),
        T(mode_flags_reach_every_view),
        T(resets_start_but_do_not_load),
        T(loading_is_told_to_the_others),
        T(a_medium_is_held_by_whoever_says_so),
        T(a_change_under_way_keeps_its_lu),
        T(without_memory_changes_are_refused),
        T(a_disk_has_one_block_at_least),
        T(every_bit_of_every_page_is_changeable_or_not),
        T(the_block_descriptor_says_what_is),
        T(a_cut_mode_parameter_list_is_too_short),
        T(pages_count_in_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
