/* Goal: no CDB and no data can crash the device server or keep a command from ending.
 * Method: random CDBs of 16 to 260 bytes (half with a known opcode and sparse bits), random lengths, LUNs,
 * attributes, data, store failures and aborts, on two reactors, under the sanitizers. The generator is
 * seeded: a failure repeats. */
#include "tests/unit/test_device_rig.h"

static uint64_t seed = 20260117;

static uint32_t rnd(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % below);
}

static void random_cdb(uint8_t *cdb, size_t len)
{
    for (size_t i = 0; i < len; i++)
        cdb[i] = (uint8_t)(rnd(3) ? 0 : rnd(256));
    if (rnd(8)) {
        const struct cdb_def *def = &cdb_defs[rnd(CDB_COMMAND_COUNT)];
        cdb[0] = def->opcode;
        if (def->service_action >= 0)
            cdb[1] = (uint8_t)def->service_action;
        if (rnd(2)) { /* plausible: only fields are set, to small values */
            memset(cdb + 2, 0, 14);
            for (uint8_t i = 0; i < def->field_count; i++) {
                const struct cdb_field *f = &def->fields[i];
                if (f->id != CDB_F_CONTROL && f->id != CDB_F_SA && f->id != CDB_F_PROTECT)
                    scsi_field_put(cdb, &f->place, rnd(4) ? rnd(64) : rnd(100000));
            }
        }
    }
}

static void every_command_ends(void **state)
{
    (void)state;
    static struct rig rig;
    static struct rig_cmd cmds[4];
    static uint8_t out[1u << 20];
    struct scsi_nexus nexus[2];
    rig_init(&rig, 2, NULL, RIG_DISK_MAX);
    rig_nexus(&rig, 0, &nexus[0], "iqn.2026-01.test:a");
    rig_nexus(&rig, 1, &nexus[1], "iqn.2026-01.test:b");
    for (int round = 0; round < 20000; round++) {
        rig.fake.fail = rnd(20) ? 0 : ERR_IO;
        rig.fake.fail_at = rnd(RIG_DISK_MAX);
        rig.fake.hold = !rnd(3);
        for (int i = 0; i < 4; i++) {
            uint8_t cdb[SCSI_CDB_MAX];
            size_t len = rnd(10) ? 16 : 16 + rnd(245);
            struct scsi_nexus *n = &nexus[rnd(2)];
            random_cdb(cdb, len);
            for (size_t k = 0; k < 256; k++)
                out[k] = (uint8_t)(rnd(2) ? 0 : rnd(256));
            rig_start(&rig, &cmds[i], n,
                      (uint16_t)(rnd(5)   ? 0
                                 : rnd(2) ? 300
                                          : 7),
                      cdb, len, rnd(2) ? rnd(70000) : 0, rnd(2) ? rnd(70000) : 0);
            cmds[i].task.attr = (uint8_t)rnd(5);
            cmds[i].out = out;
            cmds[i].task.lun |= rnd(50) ? 0 : rnd(256);
            scsi_task_start(n->reactor, &cmds[i].task);
            rig_run(&rig);
            if (!rnd(30))
                scsi_task_abort(n->reactor, &cmds[i].task);
        }
        rig_run(&rig);
        do
            rig_run(&rig);
        while (rig_release(&rig));
        rig_run(&rig);
        for (int i = 0; i < 4; i++) {
            assert_true(cmds[i].over);
            assert_true(cmds[i].aborted || cmds[i].task.status != SCSI_STATUS_CHECK_CONDITION ||
                        cmds[i].task.sense_len);
        }
    }
    scsi_nexus_close(&nexus[0]);
    scsi_nexus_close(&nexus[1]);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_command_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
