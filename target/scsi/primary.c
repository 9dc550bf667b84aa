/* Primary commands (SPC-4) that are neither INQUIRY nor mode pages, and READ CAPACITY and START STOP UNIT
 * (SBC-3). */
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/scsi/capacity.h"
#include "common/scsi/lun.h"
#include "target/scsi/private.h"

void cmd_test_unit_ready(struct scsi_reactor *r, struct scsi_task *task)
{
    task_good(r, task); /* the checks before every command have said all */
}

void cmd_request_sense(struct scsi_reactor *r, struct scsi_task *task)
{
    struct scsi_itl *itl = task->itl;
    struct scsi_sense sense = sense_make(SENSE_NO_SENSE, ASC_NONE);
    bool ua = false;
    if (!itl->view)
        sense = sense_make(SENSE_ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
    else if (ua_peek(itl, &sense))
        ua = true;
    else if (itl->view->flags & LU_EJECTED)
        sense = sense_make(SENSE_NOT_READY, ASC_MEDIUM_NOT_PRESENT);
    else if (itl->view->flags & LU_STOPPED)
        sense = sense_make(SENSE_NOT_READY, ASC_LU_NOT_READY_INITIALIZING_COMMAND_REQUIRED);
    uint8_t data[SENSE_BUILD_MAX];
    size_t len = sense_build(&sense, task_cdb(task, CDB_F_DESC), data);
    /* Cleared only once it is on its way: short of memory, the command runs again. */
    if (task_reply(r, task, data, len, task_cdb(task, CDB_F_ALLOC)) && ua)
        ua_take(itl, &sense);
}

/* ---- REPORT LUNS ---- */

static bool report_selects(uint8_t select, bool *units, bool *well_known)
{
    *units = false;
    *well_known = false;
    switch (select) {
    case 0x00:
    case 0x11: /* administrative and simple LUs: all of ours are simple */
        *units = true;
        return true;
    case 0x01:
        *well_known = true;
        return true;
    case 0x02:
        *units = true;
        *well_known = true;
        return true;
    case 0x10: /* administrative LUs, and the LUs subsidiary to one: there are none */
    case 0x12:
        return true;
    default:
        return false;
    }
}

/* Fills a buffer for the whole list; up to 16384 LUNs are 128 KiB, so the list is made in the span that
 * carries it. */
void cmd_report_luns(struct scsi_reactor *r, struct scsi_task *task)
{
    bool units, well_known;
    struct scsi_nexus *nexus = task->nexus;
    if (!report_selects((uint8_t)task_cdb(task, CDB_F_SELECT_REPORT), &units, &well_known)) {
        task_bad_cdb(r, task, CDB_F_SELECT_REPORT);
        return;
    }
    uint32_t count = units && nexus->map ? nexus->map->count : 0;
    struct scsi_span *list = scsi_span_new(r, 8 + 8 * (count + 1));
    if (!list) {
        task_wait(r, task, cmd_report_luns);
        return;
    }
    uint8_t *p = list->data.ptr;
    lun_list_header(p, count + well_known);
    for (uint32_t i = 0; i < count; i++)
        be64_put(p + 8 + 8 * (size_t)i, lun_encode(nexus->map->luns[i].number));
    if (well_known)
        be64_put(p + 8 + 8 * (size_t)count, LUN_WELL_KNOWN_REPORT);
    bool sent = task_reply(r, task, p, 8 + 8 * ((size_t)count + well_known), task_cdb(task, CDB_F_ALLOC));
    span_recycle(r, list);
    if (!sent)
        return;
    list_for_each(it, &nexus->itls) ua_clear(list_entry(it, struct scsi_itl, nexus_node), UA_LUNS_CHANGED);
}

/* ---- START STOP UNIT, PREVENT ALLOW ---- */

static void start_stop_over(struct scsi_reactor *r, struct scsi_task *task)
{
    task_good(r, task);
}

static void start_stop_change(struct scsi_reactor *r, struct scsi_task *task)
{
    bool start = task_cdb(task, CDB_F_START), loej = task_cdb(task, CDB_F_LOEJ);
    bool removable = task_lu(task)->config.removable;
    uint32_t mask = LU_STOPPED, value = start ? 0 : LU_STOPPED;
    enum ua ua = UA_COUNT;
    if (removable && loej) {
        mask = LU_STOPPED | LU_EJECTED;
        value = start ? 0 : LU_EJECTED;
        ua = start && task->itl->view->flags & LU_EJECTED ? UA_MEDIUM_CHANGED : UA_COUNT;
    } else if (removable) {
        /* A removable medium keeps "turning": stopping without ejecting leaves it accessible. */
        mask = 0;
    }
    if ((task->itl->view->flags & mask) == value)
        task_good(r, task);
    else if (change_flags(r, task, mask, value, ua, start_stop_over) != ERR_OK)
        task_status(r, task, SCSI_STATUS_BUSY);
}

void cmd_start_stop(struct scsi_reactor *r, struct scsi_task *task)
{
    const struct scsi_lu *lu = task_lu(task);
    bool start = task_cdb(task, CDB_F_START), loej = task_cdb(task, CDB_F_LOEJ);
    if (task_cdb(task, CDB_F_POWER_CONDITION)) {
        /* Power conditions mean nothing to a store; with one given, START and LOEJ are ignored (SBC-3 5.25).
         */
        task_good(r, task);
        return;
    }
    if (loej && !lu->config.removable) {
        task_bad_cdb(r, task, CDB_F_LOEJ);
        return;
    }
    /* Loading is refused as ejecting is: with removal prevented the mechanism does not move (SBC-3 5.25). */
    if (loej && atomic_load(&task->itl->view->lu->prevents) > 0) {
        task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_MEDIUM_REMOVAL_PREVENTED);
        return;
    }
    /* Stopping puts the cache on the medium first. */
    if (!start && !task_cdb(task, CDB_F_NO_FLUSH) && lu->store->info.volatile_cache &&
        !lu->store->info.readonly)
        task_request(r, task, STORE_FLUSH, 0, 0, false, start_stop_change);
    else
        start_stop_change(r, task);
}

void cmd_prevent_allow(struct scsi_reactor *r, struct scsi_task *task)
{
    uint64_t prevent = task_cdb(task, CDB_F_PREVENT);
    if (prevent > 1) {
        task_bad_cdb(r, task, CDB_F_PREVENT); /* 10b and 11b belong to obsolete media changers */
        return;
    }
    itl_prevent(task->itl, prevent);
    task_good(r, task);
}

/* ---- capacity ---- */

void cmd_read_capacity_10(struct scsi_reactor *r, struct scsi_task *task)
{
    uint64_t last = task->itl->view->blocks - 1;
    if (!task_cdb(task, CDB_F_PMI) && task_cdb(task, CDB_F_LBA)) {
        task_bad_cdb(r, task, CDB_F_LBA);
        return;
    }
    struct capacity_10 c = {.last_lba = last > UINT32_MAX ? UINT32_MAX : last,
                            .block_len = task_block_size(task)};
    uint8_t data[CAPACITY_10_LEN];
    capacity_10_encode(&c, data);
    task_reply(r, task, data, sizeof data, sizeof data);
}

void cmd_read_capacity_16(struct scsi_reactor *r, struct scsi_task *task)
{
    const struct scsi_lu *lu = task_lu(task);
    if (!task_cdb(task, CDB_F_PMI) && task_cdb(task, CDB_F_LBA)) {
        task_bad_cdb(r, task, CDB_F_LBA);
        return;
    }
    struct capacity_16 c = {
        .last_lba = task->itl->view->blocks - 1,
        .block_len = lu->config.block_size,
        .lbppbe = lu->config.physical_block_exponent,
        .lbpme = lu->store->info.can_discard,
        .lbprz = lu->store->info.can_discard,
    };
    uint8_t data[CAPACITY_16_LEN];
    capacity_16_encode(&c, data);
    task_reply(r, task, data, sizeof data, task_cdb(task, CDB_F_ALLOC));
}

/* Stores do not tell which blocks are backed: all count as mapped, which the standard allows. QEMU asks
 * before it reads a thin LUN, and stumbles over a refusal. */
void cmd_get_lba_status(struct scsi_reactor *r, struct scsi_task *task)
{
    enum { HEADER = 8, DESCRIPTOR = 16 };
    uint64_t lba = task_cdb(task, CDB_F_LBA), blocks = task->itl->view->blocks;
    if (!task_range(r, task, lba, 1))
        return;
    uint8_t data[HEADER + DESCRIPTOR] = {0};
    be32_put(data, sizeof data - 4);
    be64_put(data + HEADER, lba);
    be32_put(data + HEADER + 8, blocks - lba > UINT32_MAX ? UINT32_MAX : (uint32_t)(blocks - lba));
    task_reply(r, task, data, sizeof data, task_cdb(task, CDB_F_ALLOC));
}

/* ---- REPORT SUPPORTED ... ---- */

#define TIMEOUTS_LEN 12u /* command timeouts descriptor: no timeouts are told */
#define OPCODES_MAX  (4 + CDB_COMMAND_COUNT * (8 + TIMEOUTS_LEN))

static size_t put_timeouts(uint8_t *p)
{
    memset(p, 0, TIMEOUTS_LEN);
    be16_put(p, TIMEOUTS_LEN - 2);
    return TIMEOUTS_LEN;
}

static size_t opcodes_all(const struct scsi_task *task, bool timeouts, uint8_t *data)
{
    size_t at = 4;
    for (unsigned i = 0; i < CDB_COMMAND_COUNT; i++) {
        const struct cdb_def *cdb = scsi_commands[i].cdb;
        if (!command_supported(task, &scsi_commands[i]))
            continue;
        memset(data + at, 0, 8);
        data[at] = cdb->opcode;
        if (cdb->service_action != CDB_NO_SA) {
            be16_put(data + at + 2, (uint16_t)cdb->service_action);
            data[at + 5] |= 0x01; /* SERVACTV */
        }
        if (timeouts)
            data[at + 5] |= 0x02; /* CTDP */
        be16_put(data + at + 6, cdb->len);
        at += 8;
        if (timeouts)
            at += put_timeouts(data + at);
    }
    be32_put(data, (uint32_t)(at - 4));
    return at;
}

static size_t opcodes_one(const struct scsi_command_def *def, bool timeouts, uint8_t *data)
{
    memset(data, 0, 4);
    if (!def) {
        data[1] = 0x01; /* not supported */
        return 4;
    }
    data[1] = (uint8_t)(0x03 | (timeouts ? 0x80 : 0)); /* supported as the standard says */
    be16_put(data + 2, def->cdb->len);
    uint8_t usage[CDB_LEN_MAX];
    cdb_usage(def->cdb, usage);
    memcpy(data + 4, usage, def->cdb->len);
    size_t at = 4u + def->cdb->len;
    return timeouts ? at + put_timeouts(data + at) : at;
}

/* The row of the one_command format: options 001b opcode alone, 010b with service action, 011b whichever
 * fits. False: the request contradicts the opcode's form. */
static bool opcodes_pick(const struct scsi_task *task, uint64_t options, const struct scsi_command_def **out)
{
    uint8_t opcode = (uint8_t)task_cdb(task, CDB_F_REQUESTED_OPCODE);
    uint64_t sa = task_cdb(task, CDB_F_REQUESTED_SA);
    bool known, has_actions;
    const struct cdb_def *plain = cdb_find(&opcode, 1, &known);
    has_actions = known && !cdb_find_code(opcode, CDB_NO_SA);
    if ((options == 1 && has_actions) || (options == 2 && known && !has_actions))
        return false;
    const struct cdb_def *cdb = plain;
    if (has_actions)
        cdb = sa <= INT16_MAX ? cdb_find_code(opcode, (int)sa) : NULL;
    else if (sa && options == 3)
        cdb = NULL;
    *out = cdb && command_supported(task, &scsi_commands[cdb->command]) ? &scsi_commands[cdb->command] : NULL;
    return true;
}

void cmd_report_opcodes(struct scsi_reactor *r, struct scsi_task *task)
{
    uint8_t data[OPCODES_MAX];
    bool timeouts = task_cdb(task, CDB_F_RCTD);
    uint64_t options = task_cdb(task, CDB_F_REPORTING_OPTIONS);
    const struct scsi_command_def *def = NULL;
    size_t len;
    if (options > 3) {
        task_bad_cdb(r, task, CDB_F_REPORTING_OPTIONS);
        return;
    }
    if (options == 0) {
        len = opcodes_all(task, timeouts, data);
    } else if (opcodes_pick(task, options, &def)) {
        len = opcodes_one(def, timeouts, data);
    } else {
        task_bad_cdb(r, task, CDB_F_REPORTING_OPTIONS);
        return;
    }
    task_reply(r, task, data, len, task_cdb(task, CDB_F_ALLOC));
}

void cmd_report_tmfs(struct scsi_reactor *r, struct scsi_task *task)
{
    uint8_t data[16] = {0x80 | 0x40 | 0x10 | 0x08}; /* ATS, ATSS, CTSS, LURS */
    size_t len = 4;
    if (task_cdb(task, CDB_F_REPD)) {
        data[3] = 0x0c; /* extended form: no time-outs are told */
        len = sizeof data;
    }
    data[0] |= 0x02;                        /* TRS */
    if (task->nexus->protocol_level >= 2) { /* RFC 7144's functions */
        data[0] |= 0x04;                    /* QTS */
        data[1] = 0x04 | 0x02 | 0x01;       /* QAES, QTSS, ITNRS */
    }
    task_reply(r, task, data, len, task_cdb(task, CDB_F_ALLOC));
}
