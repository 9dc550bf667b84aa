/* INQUIRY data: encoding and decoding. Text is in inquiry_text.c. */
#include "common/scsi/inquiry.h"

#include <assert.h>
#include <string.h>

#include "common/base/bytes.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

#define R(name, byte, shift, bits)                                                                           \
    {#name, byte, shift, bits, (uint16_t)offsetof(struct inquiry_standard, name)},
static const struct scsi_field standard_rows[] = {INQUIRY_STANDARD_FIELDS(R)};
#undef R
#define R(name, byte, shift, bits) {#name, byte, shift, bits, (uint16_t)offsetof(struct vpd_extended, name)},
static const struct scsi_field extended_rows[] = {VPD_EXTENDED_FIELDS(R)};
#undef R
#define R(name, byte, shift, bits)                                                                           \
    {#name, byte, shift, bits, (uint16_t)offsetof(struct vpd_block_limits, name)},
static const struct scsi_field limits_rows[] = {VPD_BLOCK_LIMITS_FIELDS(R)};
#undef R
#define R(name, byte, shift, bits)                                                                           \
    {#name, byte, shift, bits, (uint16_t)offsetof(struct vpd_block_characteristics, name)},
static const struct scsi_field characteristics_rows[] = {VPD_BLOCK_CHARACTERISTICS_FIELDS(R)};
#undef R
#define R(name, byte, shift, bits)                                                                           \
    {#name, byte, shift, bits, (uint16_t)offsetof(struct vpd_provisioning, name)},
static const struct scsi_field provisioning_rows[] = {VPD_PROVISIONING_FIELDS(R)};
#undef R

#define PAGE(page, len, name, rows)                                                                          \
    {                                                                                                        \
        page, len, name, rows, (uint8_t)COUNT(rows)                                                          \
    }
const struct vpd_page_def vpd_pages[] = {
    PAGE(VPD_EXTENDED, VPD_EXTENDED_LEN, "Extended INQUIRY data", extended_rows),
    PAGE(VPD_BLOCK_LIMITS, VPD_BLOCK_LIMITS_LEN, "Block limits", limits_rows),
    PAGE(VPD_BLOCK_CHARACTERISTICS, VPD_BLOCK_CHARACTERISTICS_LEN, "Block device characteristics",
         characteristics_rows),
    PAGE(VPD_PROVISIONING, VPD_PROVISIONING_LEN, "Logical block provisioning", provisioning_rows),
};
const size_t vpd_page_count = COUNT(vpd_pages);

/* Text fields are padded with blanks and never terminated (SPC-4 4.3.1). */
static void put_text(uint8_t *out, size_t len, const char *text)
{
    size_t have = strlen(text);
    memset(out, ' ', len);
    memcpy(out, text, have < len ? have : len);
}

/* Cut and padded fields both come out as a clean string; nothing unprintable reaches a terminal. */
static void get_text(const uint8_t *data, size_t len, size_t at, size_t size, char *out)
{
    size_t have = len > at ? len - at : 0;
    if (have > size)
        have = size;
    while (have > 0 && (data[at + have - 1] == ' ' || data[at + have - 1] == 0))
        have--;
    for (size_t i = 0; i < have; i++)
        out[i] = (char)(data[at + i] >= 0x20 && data[at + i] < 0x7f ? data[at + i] : '.');
    out[have] = '\0';
}

void inquiry_standard_encode(const struct inquiry_standard *values, uint8_t out[INQUIRY_STANDARD_LEN])
{
    memset(out, 0, INQUIRY_STANDARD_LEN);
    scsi_fields_encode(standard_rows, COUNT(standard_rows), values, out, INQUIRY_STANDARD_LEN);
    put_text(out + 8, 8, values->vendor);
    put_text(out + 16, 16, values->product);
    put_text(out + 32, 4, values->revision);
}

bool inquiry_standard_decode(const uint8_t *data, size_t len, struct inquiry_standard *out)
{
    if (len < 5)
        return false;
    /* What lies beyond ADDITIONAL LENGTH is not INQUIRY data, whatever the buffer holds. */
    size_t told = 5u + data[4];
    if (told < len)
        len = told;
    memset(out, 0, sizeof *out);
    scsi_fields_decode(standard_rows, COUNT(standard_rows), data, len, out);
    get_text(data, len, 8, 8, out->vendor);
    get_text(data, len, 16, 16, out->product);
    get_text(data, len, 32, 4, out->revision);
    return true;
}

void vpd_header_encode(const struct vpd_header *h, uint8_t out[VPD_HEADER_LEN])
{
    out[0] = (uint8_t)(h->qualifier << 5 | (h->device_type & 0x1f));
    out[1] = h->page;
    be16_put(out + 2, h->len);
}

bool vpd_header_decode(const uint8_t *data, size_t len, struct vpd_header *out)
{
    if (len < VPD_HEADER_LEN)
        return false;
    *out = (struct vpd_header){(uint8_t)(data[0] >> 5), data[0] & 0x1f, data[1], be16_get(data + 2)};
    return true;
}

const struct vpd_page_def *vpd_page_find(uint8_t page)
{
    for (size_t i = 0; i < vpd_page_count; i++) {
        if (vpd_pages[i].page == page)
            return &vpd_pages[i];
    }
    return NULL;
}

size_t vpd_page_encode(const struct vpd_page_def *def, uint8_t qualifier, uint8_t device_type,
                       const void *values, uint8_t *out)
{
    struct vpd_header h = {qualifier, device_type, def->page, (uint16_t)(def->len - VPD_HEADER_LEN)};
    memset(out, 0, def->len);
    vpd_header_encode(&h, out);
    scsi_fields_encode(def->fields, def->field_count, values, out, def->len);
    return def->len;
}

bool vpd_page_decode(const struct vpd_page_def *def, const uint8_t *data, size_t len, void *out)
{
    struct vpd_header h;
    if (!vpd_header_decode(data, len, &h) || h.page != def->page)
        return false;
    size_t told = (size_t)VPD_HEADER_LEN + h.len;
    scsi_fields_decode(def->fields, def->field_count, data, told < len ? told : len, out);
    return true;
}

bool vpd_designator_put(uint8_t *out, size_t size, size_t *at, const struct vpd_designator *d)
{
    if (size - *at < 4u + d->len)
        return false;
    uint8_t *p = out + *at;
    p[0] = (uint8_t)((d->piv ? d->protocol << 4 : 0) | (d->code_set & 0xf));
    p[1] = (uint8_t)((d->piv ? 0x80 : 0) | (d->association & 3) << 4 | (d->type & 0xf));
    p[2] = 0;
    p[3] = d->len;
    memcpy(p + 4, d->data, d->len);
    *at += 4u + d->len;
    return true;
}

bool vpd_name_put(uint8_t *out, size_t size, size_t *at, uint8_t association, const char *name)
{
    uint8_t text[256] = {0};
    size_t len = strlen(name);
    if (len > 251) /* the designator's own limit of 255, less NUL and padding */
        return false;
    memcpy(text, name, len);
    struct vpd_designator d = {
        .protocol = VPD_PROTOCOL_ISCSI,
        .piv = association != VPD_OF_LU,
        .code_set = VPD_UTF8,
        .association = association,
        .type = VPD_DESIGNATOR_NAME,
        .len = (uint8_t)((len + 4) & ~(size_t)3),
        .data = text,
    };
    return vpd_designator_put(out, size, at, &d);
}

/* The page length and the bytes that came both bound the walk. */
bool vpd_designator_next(const uint8_t *data, size_t len, size_t *at, struct vpd_designator *out)
{
    struct vpd_header h;
    if (!vpd_header_decode(data, len, &h))
        return false;
    size_t end = (size_t)VPD_HEADER_LEN + h.len < len ? (size_t)VPD_HEADER_LEN + h.len : len;
    if (*at > end || end - *at < 4)
        return false;
    const uint8_t *p = data + *at;
    if (end - *at < 4u + p[3])
        return false;
    *out = (struct vpd_designator){
        .protocol = p[0] >> 4,
        .piv = p[1] & 0x80,
        .code_set = p[0] & 0xf,
        .association = p[1] >> 4 & 3,
        .type = p[1] & 0xf,
        .len = p[3],
        .data = p + 4,
    };
    *at += 4u + p[3];
    return true;
}
