/* Two logical units and two reactors with a nexus each, for tests of device servers; commands are started by
 * number, and a read is known by its block. */
#ifndef LUNETTE_TESTS_DEVICE_PAIR_H
#define LUNETTE_TESTS_DEVICE_PAIR_H

#include "target/scsi/private.h"
#include "tests/unit/test_device_rig.h"

static struct rig rig;
static struct {
    struct scsi_nexus nexus;
    void *behind[4]; /* nothing may be written here */
} one_room;
#define one one_room.nexus
static struct scsi_nexus two;
static struct rig_cmd cmds[8];
static struct scsi_lu *other; /* a second logical unit */
static uint8_t cdb[CDB_LEN_MAX], data[65536];

static void open_with(const struct scsi_lu_config *config, uint64_t size)
{
    rig_init(&rig, 2, config, size);
    struct scsi_lu_config standard = rig_lu_config();
    assert_int_equal(scsi_lu_new(&rig.env, &standard, &rig.fake.store, 0, 2, &other), 0);
    rig_nexus(&rig, 0, &one, "iqn.2026-01.test:one");
    rig_nexus(&rig, 1, &two, "iqn.2026-01.test:two");
    rig_clear_ua(&rig, &one);
    rig_clear_ua(&rig, &two);
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
    scsi_nexus_close(&two);
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(scsi_lu_idle(&rig.reactors[i], other));
        scsi_lu_forget(&rig.reactors[i], other);
    }
    assert_ptr_equal(scsi_lu_free(other), &rig.fake.store);
    rig_fini(&rig);
    for (size_t i = 0; i < 4; i++)
        assert_null(one_room.behind[i]);
    return 0;
}

static inline void reopen(const struct scsi_lu_config *config, uint64_t size)
{
    tear_down(NULL);
    open_with(config, size);
}

static void start_on(int i, struct scsi_nexus *nexus, uint16_t lun, uint8_t attr, uint8_t priority,
                     size_t len, uint64_t in, uint64_t out)
{
    rig_start(&rig, &cmds[i], nexus, lun, cdb, len, in, out);
    cmds[i].task.attr = attr;
    cmds[i].task.priority = priority;
    cmds[i].out = data;
    cmds[i].in = in ? data : NULL;
    scsi_task_start(nexus->reactor, &cmds[i].task);
    rig_run(&rig);
}

static void do_on(struct scsi_nexus *nexus, uint16_t lun, size_t len, uint64_t in, uint64_t out)
{
    start_on(0, nexus, lun, SCSI_SIMPLE, 0, len, in, out);
    assert_true(cmds[0].over);
}

/* A read of block `i`, by which its request is known. */
static inline void start_read(int i, struct scsi_nexus *nexus, uint16_t lun, uint8_t attr, uint8_t priority)
{
    start_on(i, nexus, lun, attr, priority,
             CDB_BUILD(CDB_READ_10, cdb, {CDB_F_LBA, (unsigned)i}, {CDB_F_COUNT, 1}), 512, 0);
}

static inline void release_all(void)
{
    while (rig_release(&rig))
        rig_run(&rig);
}

/* 0: GOOD; else the additional sense code of a unit attention. */
static inline unsigned tur_on(struct scsi_nexus *nexus, uint16_t lun)
{
    do_on(nexus, lun, CDB_BUILD(CDB_TEST_UNIT_READY, cdb, {CDB_F_CONTROL, 0}), 0, 0);
    if (cmds[0].task.status == SCSI_STATUS_GOOD)
        return 0;
    struct scsi_sense s = rig_sense(&cmds[0]);
    return (unsigned)s.asc << 8 | s.ascq;
}

static inline unsigned tur(struct scsi_nexus *nexus)
{
    return tur_on(nexus, 0);
}

static inline struct scsi_tmf tmf_of(enum scsi_tmf_function function, struct scsi_nexus *nexus, uint16_t lun)
{
    return (struct scsi_tmf){.function = function, .nexus = nexus, .lun = scsi_lun_encode(lun)};
}

static inline void start_tmf(struct scsi_tmf *tmf)
{
    scsi_tmf_start(tmf->nexus->reactor, tmf);
    rig_run(&rig);
}

static inline bool tmf_over(struct scsi_tmf *tmf)
{
    struct scsi_tmf *next = scsi_next_tmf(tmf->nexus->reactor);
    assert_true(!next || next == tmf);
    return next;
}

static inline void run_tmf(struct scsi_tmf *tmf)
{
    start_tmf(tmf);
    assert_true(tmf_over(tmf));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
