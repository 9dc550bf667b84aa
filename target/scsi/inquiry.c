/* INQUIRY: standard data and VPD pages of a logical unit, and what absent ones answer. */
#include "common/scsi/inquiry.h"

#include <stdio.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/scsi/lun.h"
#include "target/scsi/private.h"

#define DEVICE_TYPE_DISK       0x00u
#define DEVICE_TYPE_WELL_KNOWN 0x1eu
#define DEVICE_TYPE_NONE       0x1fu

#define T10_TEXT_MAX (8 + 64 + 1) /* vendor, serial, NUL */

/* What peripheral qualifier and device type say of the addressed LUN. */
struct peripheral {
    uint8_t qualifier, device_type;
};

static struct peripheral peripheral_of(const struct scsi_task *task)
{
    uint16_t number;
    bool well_known;
    if (task->itl->view)
        return (struct peripheral){0, DEVICE_TYPE_DISK};
    bool valid = lun_decode(task->lun, &number, &well_known);
    if (valid && well_known)
        return (struct peripheral){0, DEVICE_TYPE_WELL_KNOWN};
    /* Initiators scan through LUN 0: where no LU is, it says "could be connected, is not", and scanning goes
     * on. */
    if (valid && number == 0)
        return (struct peripheral){1, DEVICE_TYPE_DISK};
    return (struct peripheral){3, DEVICE_TYPE_NONE};
}

static void reply_standard(struct scsi_reactor *r, struct scsi_task *task)
{
    struct peripheral p = peripheral_of(task);
    struct inquiry_standard s = {
        .qualifier = p.qualifier,
        .device_type = p.device_type,
        .version = 0x06, /* SPC-4 */
        .hisup = 1,      /* Windows looks for LUNs above 7 only then */
        .response_data_format = 2,
        .additional_len = INQUIRY_STANDARD_LEN - 5,
        .multip = 1,
        .cmdque = 1,
        .version_descriptor_1 = 0x00a0,                                         /* SAM-5 */
        .version_descriptor_2 = 0x0960 + task->nexus->protocol_level,           /* iSCSI: R7144-4.2-01 */
        .version_descriptor_3 = 0x0460,                                         /* SPC-4 */
        .version_descriptor_4 = p.device_type == DEVICE_TYPE_DISK ? 0x04c0 : 0, /* SBC-3 */
        .vendor = "LUNETTE",
        .product = "VIRTUAL-DISK",
        .revision = "1",
    };
    if (task->itl->view) {
        const struct scsi_lu_config *config = &task_lu(task)->config;
        s.rmb = config->removable;
        memcpy(s.vendor, config->vendor, sizeof s.vendor);
        memcpy(s.product, config->product, sizeof s.product);
        memcpy(s.revision, config->revision, sizeof s.revision);
    }
    uint8_t data[INQUIRY_STANDARD_LEN];
    inquiry_standard_encode(&s, data);
    task_reply(r, task, data, sizeof data, task_cdb(task, CDB_F_ALLOC));
}

/* Header around a body that already lies behind it. */
static size_t page_finish(uint8_t *data, struct peripheral p, uint8_t page, size_t body_len)
{
    struct vpd_header h = {p.qualifier, p.device_type, page, (uint16_t)body_len};
    vpd_header_encode(&h, data);
    return VPD_HEADER_LEN + body_len;
}

/* Ascending, as SPC-4 7.8.16 asks. Without an LU only this page exists. */
static size_t page_supported(struct peripheral p, bool lu, uint8_t *data)
{
    static const uint8_t pages[] = {VPD_SUPPORTED,   VPD_SERIAL,       VPD_DEVICE_ID,
                                    VPD_EXTENDED,    VPD_BLOCK_LIMITS, VPD_BLOCK_CHARACTERISTICS,
                                    VPD_PROVISIONING};
    size_t count = lu ? sizeof pages : 1;
    memcpy(data + VPD_HEADER_LEN, pages, count);
    return page_finish(data, p, VPD_SUPPORTED, count);
}

/* The serial is not padded: its length is the page's. */
static size_t page_serial(const struct scsi_lu *lu, struct peripheral p, uint8_t *data)
{
    size_t len = strnlen(lu->config.serial, sizeof lu->config.serial);
    memcpy(data + VPD_HEADER_LEN, lu->config.serial, len);
    return page_finish(data, p, VPD_SERIAL, len);
}

/* Identifiers of the LU (NAA, T10 vendor), of the port the command came through, and of the device. */
static size_t page_device_id(const struct scsi_task *task, struct peripheral p, uint8_t *data, size_t size)
{
    const struct scsi_lu_config *config = &task_lu(task)->config;
    const struct scsi_nexus *nexus = task->nexus;
    size_t at = VPD_HEADER_LEN;
    struct vpd_designator naa = {.code_set = VPD_BINARY,
                                 .association = VPD_OF_LU,
                                 .type = VPD_DESIGNATOR_NAA,
                                 .len = 16,
                                 .data = config->naa};
    vpd_designator_put(data, size, &at, &naa);
    char text[T10_TEXT_MAX];
    int len = snprintf(text, sizeof text, "%-8.8s%s", config->vendor, config->serial);
    struct vpd_designator t10 = {.code_set = VPD_ASCII,
                                 .association = VPD_OF_LU,
                                 .type = VPD_DESIGNATOR_T10,
                                 .len = (uint8_t)len,
                                 .data = (const uint8_t *)text};
    vpd_designator_put(data, size, &at, &t10);
    uint8_t number[4] = {0};
    struct vpd_designator port = {.protocol = VPD_PROTOCOL_ISCSI,
                                  .piv = true,
                                  .code_set = VPD_BINARY,
                                  .association = VPD_OF_PORT,
                                  .type = VPD_DESIGNATOR_RELATIVE_PORT,
                                  .len = 4,
                                  .data = number};
    be16_put(number + 2, nexus->relative_port);
    vpd_designator_put(data, size, &at, &port);
    vpd_name_put(data, size, &at, VPD_OF_PORT, nexus->target_port);
    vpd_name_put(data, size, &at, VPD_OF_DEVICE, nexus->target_name);
    return page_finish(data, p, VPD_DEVICE_ID, at - VPD_HEADER_LEN);
}

/* What the store says of itself becomes what the LU says of itself. */
static size_t page_fields(const struct scsi_task *task, uint8_t page, struct peripheral p, uint8_t *data)
{
    const struct scsi_lu *lu = task_lu(task);
    const struct store_info *info = &lu->store->info;
    uint32_t block = lu->config.block_size;
    bool discard = info->can_discard;
    uint32_t physical = 1u << lu->config.physical_block_exponent;
    uint32_t granularity =
        info->discard_granularity / block > physical ? info->discard_granularity / block : physical;
    struct vpd_extended extended = {.prior_sup = task->nexus->protocol_level >= 2,
                                    .headsup = 1,
                                    .ordsup = 1,
                                    .simpsup = 1,
                                    .v_sup = 1,
                                    .luiclr = 1,
                                    .max_sense_len = SCSI_SENSE_MAX};
    struct vpd_block_limits limits = {
        .wsnz = 1,
        .optimal_granularity = physical,
        .optimal_transfer = info->optimal_io / block,
        .max_unmap_blocks = discard ? LIMIT_UNMAP_BLOCKS : 0,
        .max_unmap_descriptors = discard ? LIMIT_UNMAP_DESCRIPTORS : 0,
        .unmap_granularity = discard ? granularity : 0,
        .ugavalid = discard,
        .max_write_same = LIMIT_WRITE_SAME_BYTES / block,
    };
    struct vpd_block_characteristics characteristics = {.rotation_rate = lu->config.rotational ? 7200 : 1,
                                                        .fuab = 1};
    struct vpd_provisioning provisioning = {.lbpu = discard,
                                            .lbpws = discard,
                                            .lbpws10 = discard,
                                            .lbprz = discard,
                                            .provisioning_type = discard ? (info->thin ? 2 : 1) : 0};
    const void *values = page == VPD_EXTENDED                ? (const void *)&extended
                         : page == VPD_BLOCK_LIMITS          ? (const void *)&limits
                         : page == VPD_BLOCK_CHARACTERISTICS ? (const void *)&characteristics
                                                             : (const void *)&provisioning;
    return vpd_page_encode(vpd_page_find(page), p.qualifier, p.device_type, values, data);
}

void cmd_inquiry(struct scsi_reactor *r, struct scsi_task *task)
{
    uint8_t data[1024];
    uint8_t page = (uint8_t)task_cdb(task, CDB_F_PAGE_CODE);
    struct peripheral p = peripheral_of(task);
    bool lu = task->itl->view;
    size_t len = 0;
    if (!task_cdb(task, CDB_F_EVPD)) {
        if (page)
            task_bad_cdb(r, task, CDB_F_PAGE_CODE);
        else
            reply_standard(r, task);
        return;
    }
    if (page == VPD_SUPPORTED)
        len = page_supported(p, lu, data);
    else if (lu && page == VPD_SERIAL)
        len = page_serial(task_lu(task), p, data);
    else if (lu && page == VPD_DEVICE_ID)
        len = page_device_id(task, p, data, sizeof data);
    else if (lu && vpd_page_find(page))
        len = page_fields(task, page, p, data);
    if (len)
        task_reply(r, task, data, len, task_cdb(task, CDB_F_ALLOC));
    else
        task_bad_cdb(r, task, CDB_F_PAGE_CODE);
}
