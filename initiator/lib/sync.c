/* The synchronous face: each call runs the client's io until its answer is there. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/iscsi/pdu.h"
#include "common/scsi/capacity.h"
#include "common/scsi/cdb.h"
#include "common/scsi/inquiry.h"
#include "common/scsi/lun.h"
#include "common/scsi/mode.h"
#include "common/scsi/sense.h"
#include "initiator/lib/client.h"

struct sync_wait {
    bool done;
    int err;
};

static void sync_opened(void *arg, int err)
{
    struct sync_wait *wait = arg;
    wait->done = true;
    wait->err = err;
}

static void sync_closed(void *arg)
{
    ((struct sync_wait *)arg)->done = true;
}

int lnt_open(struct lnt_client *c)
{
    struct sync_wait wait = {0};
    lnt_client_open(c, sync_opened, &wait);
    while (!wait.done)
        io_run(c->io, UINT64_MAX);
    return wait.err;
}

int lnt_close(struct lnt_client *c)
{
    struct sync_wait wait = {0};
    lnt_client_close(c, sync_closed, &wait);
    while (!wait.done)
        io_run(c->io, UINT64_MAX);
    return 0;
}

static void sync_executed(struct lnt_command *command)
{
    *(bool *)command->owner = true;
}

int lnt_execute(struct lnt_client *c, struct lnt_command *command)
{
    bool done = false;
    if (c->state == LNT_FAILED || c->state == LNT_NEW || c->state == LNT_CLOSED)
        return ERR_CLOSED;
    command->done = sync_executed;
    command->owner = &done;
    lnt_client_submit(c, command);
    while (!done)
        io_run(c->io, UINT64_MAX);
    return command->error;
}

/* ---- questions of the session itself ---- */

static void sync_late(struct io_timer *timer)
{
    (void)timer; /* io_run has returned: that is all */
}

/* Runs until *done, the session has ended, or the time for answers is over. */
static int sync_answer(struct lnt_client *c, const bool *done)
{
    const struct ini_options *session = &c->options.session;
    struct io_timer timer = {.fire = sync_late};
    uint64_t sessions = c->counters.sessions;
    uint64_t until = io_now(c->io) + (session->nop_timeout_ns ? session->nop_timeout_ns : LNT_ANSWER_NS);
    io_timer_arm(c->io, &timer, until);
    client_post_flush(c);
    while (!*done && c->state == LNT_UP && c->counters.sessions == sessions && io_now(c->io) < until)
        io_run(c->io, until);
    io_timer_cancel(c->io, &timer);
    if (*done)
        return 0;
    return c->state == LNT_UP && c->counters.sessions == sessions ? ERR_TIMEOUT : ERR_CLOSED;
}

static int sync_ping(struct lnt_client *c, struct ini_conn *conn, uint64_t *round_trip_ns)
{
    static const char data[] = "lunette-initiator ping";
    uint32_t tag;
    c->ping_done = false;
    int err =
        conn ? ini_conn_ping(conn, data, sizeof data, &tag) : ini_ping(c->session, data, sizeof data, &tag);
    if (err)
        return err;
    c->ping_tag = tag;
    err = sync_answer(c, &c->ping_done);
    c->ping_tag = PDU_TAG_RESERVED;
    if (!err && c->ping_response != 0)
        err = ERR_CLOSED;
    if (!err)
        *round_trip_ns = c->ping_ns;
    return err;
}

int lnt_ping(struct lnt_client *c, uint64_t *round_trip_ns)
{
    return c->state == LNT_UP ? sync_ping(c, NULL, round_trip_ns) : ERR_CLOSED;
}

int lnt_ping_connection(struct lnt_client *c, uint32_t index, uint16_t *cid, uint64_t *round_trip_ns)
{
    if (c->state != LNT_UP)
        return ERR_CLOSED;
    if (index >= c->options.connections || !c->connections[index].logged_in || c->connections[index].shut)
        return ERR_NOTFOUND;
    *cid = ini_cid(c->connections[index].ini);
    return sync_ping(c, c->connections[index].ini, round_trip_ns);
}

int lnt_task_management(struct lnt_client *c, uint8_t function, int32_t lun, uint8_t *response)
{
    uint32_t tag;
    if (c->state != LNT_UP)
        return ERR_CLOSED;
    c->tmf_done = false;
    int err = ini_task_management(c->session, function, lun_encode((uint16_t)lun), NULL, &tag);
    if (err)
        return err;
    c->tmf_tag = tag;
    err = sync_answer(c, &c->tmf_done);
    c->tmf_tag = PDU_TAG_RESERVED;
    if (!err)
        *response = c->tmf_response;
    return err;
}

/* ---- what a disk says of itself ---- */

/* Runs a command that reads parameter data; how many bytes came, or an error. *good: status was GOOD. */
static int probe_read(struct lnt_client *c, int32_t lun, const uint8_t *cdb, size_t cdb_len, uint8_t *data,
                      uint32_t len, bool *good)
{
    struct io_vec place = {data, len};
    struct lnt_command command;
    memset(data, 0, len);
    lnt_command_cdb(&command, lun, cdb, (uint16_t)cdb_len, &place, len, NULL, 0);
    command.repeatable = true; /* waits out unit attentions, survives a cut */
    int err = lnt_execute(c, &command);
    if (err)
        return err;
    *good = command.scsi.status == SCSI_STATUS_GOOD;
    if (!*good) {
        char text[LNT_ERROR_MAX];
        client_set_error(c, lnt_command_text(&command, text, sizeof text));
    }
    return (int)command.scsi.in_done;
}

static int probe_capacity(struct lnt_client *c, int32_t lun, struct lnt_disk *disk)
{
    uint8_t cdb[CDB_LEN_MAX], data[CAPACITY_16_LEN];
    struct capacity_16 long_form;
    struct capacity_10 short_form;
    bool good;
    size_t n = CDB_BUILD(CDB_READ_CAPACITY_16, cdb, {CDB_F_ALLOC, sizeof data});
    int got = probe_read(c, lun, cdb, n, data, sizeof data, &good);
    if (got < 0)
        return got;
    if (good && capacity_16_decode(data, (size_t)got, &long_form)) {
        disk->blocks = long_form.last_lba + 1;
        disk->block_size = (uint32_t)long_form.block_len;
        disk->physical_block_size = disk->block_size << long_form.lbppbe;
        disk->thin = long_form.lbpme;
        disk->reads_zeros = long_form.lbprz;
        return 0;
    }
    n = CDB_BUILD(CDB_READ_CAPACITY_10, cdb, {CDB_F_LBA, 0}); /* older targets have only this */
    got = probe_read(c, lun, cdb, n, data, CAPACITY_10_LEN, &good);
    if (got < 0)
        return got;
    if (!good || !capacity_10_decode(data, (size_t)got, &short_form))
        return ERR_IO;
    disk->blocks = (uint64_t)short_form.last_lba + 1;
    disk->block_size = disk->physical_block_size = (uint32_t)short_form.block_len;
    return 0;
}

/* One VPD page; its length, 0 when the target does not have it. */
static int probe_page(struct lnt_client *c, int32_t lun, uint8_t page, uint8_t *data, uint32_t len)
{
    uint8_t cdb[CDB_LEN_MAX];
    bool good;
    size_t n = CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_EVPD, 1}, {CDB_F_PAGE_CODE, page}, {CDB_F_ALLOC, len});
    int got = probe_read(c, lun, cdb, n, data, len, &good);
    if (got < 0)
        return got;
    c->error[0] = 0;
    return good && got >= 4 && data[1] == page ? got : 0;
}

static int probe_pages(struct lnt_client *c, int32_t lun, struct lnt_disk *disk)
{
    uint8_t data[255];
    struct vpd_block_limits limits;
    struct vpd_provisioning provisioning;
    int got = probe_page(c, lun, VPD_BLOCK_LIMITS, data, sizeof data);
    if (got > 0 && vpd_page_decode(vpd_page_find(VPD_BLOCK_LIMITS), data, (size_t)got, &limits)) {
        disk->max_transfer_blocks = (uint32_t)limits.max_transfer;
        disk->max_unmap_blocks = (uint32_t)limits.max_unmap_blocks;
        disk->max_unmap_descriptors = (uint32_t)limits.max_unmap_descriptors;
        disk->max_write_same_blocks = limits.max_write_same;
    }
    if (got >= 0)
        got = probe_page(c, lun, VPD_PROVISIONING, data, sizeof data);
    if (got > 0 && vpd_page_decode(vpd_page_find(VPD_PROVISIONING), data, (size_t)got, &provisioning)) {
        disk->can_unmap = provisioning.lbpu;
        disk->can_write_same = provisioning.lbpws;
        disk->reads_zeros = disk->reads_zeros || (provisioning.lbprz & 1); /* 010b promises another pattern */
    }
    if (got >= 0)
        got = probe_page(c, lun, VPD_SERIAL, data, sizeof data);
    if (got > 4)
        snprintf(disk->serial, sizeof disk->serial, "%.*s", got - 4, (const char *)data + 4);
    return got < 0 ? got : 0;
}

static int probe_inquiry(struct lnt_client *c, int32_t lun, struct lnt_disk *disk)
{
    uint8_t cdb[CDB_LEN_MAX], data[INQUIRY_STANDARD_LEN];
    struct inquiry_standard inquiry;
    bool good;
    size_t n = CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_ALLOC, sizeof data});
    int got = probe_read(c, lun, cdb, n, data, sizeof data, &good);
    if (got < 0)
        return got;
    if (!good || !inquiry_standard_decode(data, (size_t)got, &inquiry))
        return ERR_PROTOCOL;
    if (inquiry.qualifier || inquiry.device_type != 0) {
        client_set_error(c, inquiry.qualifier ? "there is no logical unit of that number"
                                              : "that logical unit is not a disk");
        return inquiry.qualifier ? ERR_NOTFOUND : ERR_UNSUPPORTED;
    }
    memcpy(disk->vendor, inquiry.vendor, sizeof disk->vendor);
    memcpy(disk->product, inquiry.product, sizeof disk->product);
    memcpy(disk->revision, inquiry.revision, sizeof disk->revision);
    return 0;
}

int lnt_disk_probe(struct lnt_client *c, int32_t lun, struct lnt_disk *out)
{
    struct lnt_disk disk = {0};
    int err = probe_inquiry(c, lun, &disk);
    if (!err)
        err = probe_capacity(c, lun, &disk);
    if (!err && (disk.block_size < 256 || disk.block_size > 65536)) {
        client_set_error(c, "the disk's block size is one that we cannot work with");
        err = ERR_UNSUPPORTED;
    }
    if (!err)
        err = probe_pages(c, lun, &disk);
    if (!err)
        *out = disk;
    return err;
}
