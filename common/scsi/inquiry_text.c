/* INQUIRY data as text for people. */
#include "common/scsi/inquiry.h"

#include <inttypes.h>
#include <string.h>

static const char *const device_types[] = {
    [0x00] = "direct access block device",
    [0x01] = "sequential access device",
    [0x02] = "printer",
    [0x03] = "processor",
    [0x04] = "write-once device",
    [0x05] = "CD/DVD device",
    [0x07] = "optical memory device",
    [0x08] = "media changer",
    [0x0c] = "storage array controller",
    [0x0d] = "enclosure services device",
    [0x0e] = "simplified direct access device",
    [0x11] = "object storage device",
    [0x14] = "host managed zoned block device",
    [0x1e] = "well-known logical unit",
    [0x1f] = "unknown or no device type",
};

static const char *device_type_name(uint8_t type)
{
    const char *name = type < sizeof device_types / sizeof device_types[0] ? device_types[type] : NULL;
    return name ? name : "reserved device type";
}

static const char *qualifier_name(uint8_t qualifier)
{
    static const char *const names[] = {"connected", "not connected", "reserved", "no such logical unit"};
    return qualifier < 4 ? names[qualifier] : "vendor specific";
}

static void describe_standard(struct scsi_text *t, const uint8_t *data, size_t len)
{
    struct inquiry_standard s;
    if (!inquiry_standard_decode(data, len, &s)) {
        scsi_text_add(t, "standard INQUIRY data: too short\n");
        return;
    }
    scsi_text_add(t, "standard INQUIRY data: %s (%s)\n", device_type_name((uint8_t)s.device_type),
                  qualifier_name((uint8_t)s.qualifier));
    scsi_text_add(t, "  vendor: %s\n  product: %s\n  revision: %s\n", s.vendor, s.product, s.revision);
    scsi_text_add(t,
                  "  version: %" PRIu64 "\n  removable: %" PRIu64 "\n  NormACA: %" PRIu64
                  "\n  HiSup: %" PRIu64 "\n  response data format: %" PRIu64 "\n",
                  s.version, s.rmb, s.normaca, s.hisup, s.response_data_format);
    scsi_text_add(t,
                  "  TPGS: %" PRIu64 "\n  3PC: %" PRIu64 "\n  protect: %" PRIu64 "\n  MultiP: %" PRIu64
                  "\n  CmdQue: %" PRIu64 "\n",
                  s.tpgs, s.third_party_copy, s.protect, s.multip, s.cmdque);
    const uint64_t versions[8] = {s.version_descriptor_1, s.version_descriptor_2, s.version_descriptor_3,
                                  s.version_descriptor_4, s.version_descriptor_5, s.version_descriptor_6,
                                  s.version_descriptor_7, s.version_descriptor_8};
    for (size_t i = 0; i < 8; i++) {
        if (versions[i])
            scsi_text_add(t, "  version descriptor: %04" PRIx64 "h\n", versions[i]);
    }
}

const char *vpd_page_name(uint8_t page)
{
    switch (page) {
    case VPD_SUPPORTED:
        return "Supported VPD pages";
    case VPD_SERIAL:
        return "Unit serial number";
    case VPD_DEVICE_ID:
        return "Device identification";
    case 0x85:
        return "Management network addresses";
    case 0x87:
        return "Mode page policy";
    case 0x88:
        return "SCSI ports";
    case 0x89:
        return "ATA information";
    case 0x8f:
        return "Third party copy";
    case 0xb3:
        return "Referrals";
    case 0xb7:
        return "Block limits extension";
    case 0xb9:
        return "Concurrent positioning ranges";
    default: {
        const struct vpd_page_def *def = vpd_page_find(page);
        return def ? def->name : NULL;
    }
    }
}

static void describe_supported(struct scsi_text *t, const uint8_t *body, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const char *name = vpd_page_name(body[i]);
        scsi_text_add(t, "  %02Xh %s\n", body[i], name ? name : "");
    }
}

/* Identifiers that are text are shown as text, all others in hexadecimal. */
static void describe_designators(struct scsi_text *t, const uint8_t *data, size_t len)
{
    static const char *const of[] = {"logical unit", "target port", "target device", "reserved"};
    static const char *const types[] = {"vendor specific",
                                        "T10 vendor ID",
                                        "EUI-64",
                                        "NAA",
                                        "relative target port",
                                        "target port group",
                                        "logical unit group",
                                        "MD5",
                                        "SCSI name string",
                                        "protocol specific port",
                                        "UUID"};
    struct vpd_designator d;
    size_t at = VPD_HEADER_LEN;
    while (vpd_designator_next(data, len, &at, &d)) {
        scsi_text_add(t, "  %s, %s: ", of[d.association],
                      d.type < sizeof types / sizeof types[0] ? types[d.type] : "reserved designator type");
        if (d.code_set == VPD_ASCII || d.code_set == VPD_UTF8)
            scsi_text_ascii(t, d.data, d.len);
        else
            scsi_text_hex(t, d.data, d.len);
        scsi_text_add(t, "\n");
    }
}

/* The page's own header decides what it is: an answer to another question is shown as what it is. */
void inquiry_describe(int page, const uint8_t *data, size_t len, char *buf, size_t buf_len)
{
    struct scsi_text t;
    scsi_text_init(&t, buf, buf_len);
    if (page < 0) {
        describe_standard(&t, data, len);
        return;
    }
    struct vpd_header h;
    if (!vpd_header_decode(data, len, &h)) {
        scsi_text_add(&t, "VPD page %02Xh: too short\n", (unsigned)page);
        return;
    }
    const char *name = vpd_page_name(h.page);
    scsi_text_add(&t, "VPD page %02Xh%s%s (%s)\n", h.page, name ? ": " : "", name ? name : "",
                  qualifier_name(h.qualifier));
    size_t told = (size_t)VPD_HEADER_LEN + h.len;
    size_t end = told < len ? told : len;
    const uint8_t *body = data + VPD_HEADER_LEN;
    const struct vpd_page_def *def = vpd_page_find(h.page);
    if (def) {
        scsi_text_fields(&t, def->fields, def->field_count, data, end);
    } else if (h.page == VPD_SUPPORTED) {
        describe_supported(&t, body, end - VPD_HEADER_LEN);
    } else if (h.page == VPD_SERIAL) {
        scsi_text_add(&t, "  serial: ");
        scsi_text_ascii(&t, body, end - VPD_HEADER_LEN);
        scsi_text_add(&t, "\n");
    } else if (h.page == VPD_DEVICE_ID) {
        describe_designators(&t, data, end);
    } else {
        scsi_text_add(&t, "  ");
        scsi_text_hex(&t, body, end - VPD_HEADER_LEN);
        scsi_text_add(&t, "\n");
    }
    if (told > len)
        scsi_text_add(&t, "  (cut: the page says %u bytes, %u came)\n", (unsigned)told, (unsigned)len);
}
