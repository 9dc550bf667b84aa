/* Mode parameter headers, block descriptors and pages. */
#include "common/scsi/mode.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/bytes.h"

#define R(name, byte, shift, bits) {#name, byte, shift, bits, (uint16_t)offsetof(struct mode_recovery, name)},
static const struct scsi_field recovery_rows[] = {MODE_RECOVERY_FIELDS(R)};
#undef R
#define R(name, byte, shift, bits) {#name, byte, shift, bits, (uint16_t)offsetof(struct mode_caching, name)},
static const struct scsi_field caching_rows[] = {MODE_CACHING_FIELDS(R)};
#undef R
#define R(name, byte, shift, bits) {#name, byte, shift, bits, (uint16_t)offsetof(struct mode_control, name)},
static const struct scsi_field control_rows[] = {MODE_CONTROL_FIELDS(R)};
#undef R
#define R(name, byte, shift, bits)                                                                           \
    {#name, byte, shift, bits, (uint16_t)offsetof(struct mode_exceptions, name)},
static const struct scsi_field exceptions_rows[] = {MODE_EXCEPTIONS_FIELDS(R)};
#undef R

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define PAGE(code, len, name, rows)                                                                          \
    {                                                                                                        \
        code, 0, len, name, rows, (uint8_t)COUNT(rows)                                                       \
    }
const struct mode_page_def mode_pages[] = {
    PAGE(MODE_PAGE_RECOVERY, 12, "Read-write error recovery", recovery_rows),
    PAGE(MODE_PAGE_CACHING, 20, "Caching", caching_rows),
    PAGE(MODE_PAGE_CONTROL, 12, "Control", control_rows),
    PAGE(MODE_PAGE_EXCEPTIONS, 12, "Informational exceptions control", exceptions_rows),
};
const size_t mode_page_count = COUNT(mode_pages);

size_t mode_header_encode(const struct mode_header *h, uint8_t out[MODE_HEADER_10_LEN])
{
    uint8_t specific = (uint8_t)((h->write_protected ? 0x80 : 0) | (h->dpofua ? 0x10 : 0));
    memset(out, 0, h->ten ? MODE_HEADER_10_LEN : MODE_HEADER_6_LEN);
    if (!h->ten) {
        out[0] = (uint8_t)h->data_len;
        out[1] = h->medium_type;
        out[2] = specific;
        out[3] = (uint8_t)h->descriptor_len;
        return MODE_HEADER_6_LEN;
    }
    be16_put(out, (uint16_t)h->data_len);
    out[2] = h->medium_type;
    out[3] = specific;
    out[4] = h->long_lba ? 1 : 0;
    be16_put(out + 6, h->descriptor_len);
    return MODE_HEADER_10_LEN;
}

size_t mode_header_decode(bool ten, const uint8_t *data, size_t len, struct mode_header *out)
{
    size_t need = ten ? MODE_HEADER_10_LEN : MODE_HEADER_6_LEN;
    if (len < need)
        return 0;
    uint8_t specific = ten ? data[3] : data[2];
    *out = (struct mode_header){
        .ten = ten,
        .data_len = ten ? be16_get(data) : data[0],
        .medium_type = ten ? data[2] : data[1],
        .write_protected = specific & 0x80,
        .dpofua = specific & 0x10,
        .long_lba = ten && data[4] & 1,
        .descriptor_len = ten ? be16_get(data + 6) : data[3],
    };
    return need;
}

/* The short form has 24 bits of block length and 32 of count. */
size_t mode_block_encode(const struct mode_block *b, bool long_lba, uint8_t out[16])
{
    memset(out, 0, long_lba ? 16 : 8);
    if (long_lba) {
        be64_put(out, b->blocks);
        be32_put(out + 12, b->block_len);
        return 16;
    }
    be32_put(out, b->blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)b->blocks);
    be24_put(out + 5, b->block_len);
    return 8;
}

void mode_block_decode(const uint8_t *data, bool long_lba, struct mode_block *out)
{
    if (long_lba)
        *out = (struct mode_block){be64_get(data), be32_get(data + 12)};
    else
        *out = (struct mode_block){be32_get(data), be24_get(data + 5)};
}

const struct mode_page_def *mode_page_find(uint8_t page, uint8_t subpage)
{
    for (size_t i = 0; i < mode_page_count; i++) {
        if (mode_pages[i].page == page && mode_pages[i].subpage == subpage)
            return &mode_pages[i];
    }
    return NULL;
}

void mode_page_encode(const struct mode_page_def *def, const void *values, uint8_t out[MODE_PAGE_LEN_MAX])
{
    memset(out, 0, def->len);
    out[0] = def->page;
    out[1] = (uint8_t)(def->len - 2);
    scsi_fields_encode(def->fields, def->field_count, values, out, def->len);
}

void mode_page_decode(const struct mode_page_def *def, const uint8_t *data, size_t len, void *out)
{
    scsi_fields_decode(def->fields, def->field_count, data, len, out);
}

/* Lengths are the sender's claims: every one is checked against what is left. */
bool mode_page_next(const uint8_t *data, size_t len, size_t *at, struct mode_page_view *out)
{
    if (*at > len || len - *at < 2)
        return false;
    const uint8_t *p = data + *at;
    size_t room = len - *at;
    bool spf = p[0] & 0x40; /* subpage format: a 4-byte header with a 2-byte length */
    if (spf && room < 4)
        return false;
    size_t size = spf ? 4u + be16_get(p + 2) : 2u + p[1];
    if (size > room || size > UINT16_MAX)
        return false;
    *out = (struct mode_page_view){
        .page = p[0] & 0x3f,
        .subpage = spf ? p[1] : 0,
        .ps = p[0] & 0x80,
        .data = p,
        .len = (uint16_t)size,
    };
    *at += size;
    return true;
}

void mode_describe(bool ten, const uint8_t *data, size_t len, char *buf, size_t buf_len)
{
    struct scsi_text t;
    struct mode_header h;
    scsi_text_init(&t, buf, buf_len);
    size_t at = mode_header_decode(ten, data, len, &h);
    if (!at) {
        scsi_text_add(&t, "mode data: too short\n");
        return;
    }
    scsi_text_add(&t, "mode data: medium type %u, write protected %d, DPO and FUA %d\n", h.medium_type,
                  h.write_protected, h.dpofua);
    if (h.descriptor_len >= (h.long_lba ? 16u : 8u) && len - at >= h.descriptor_len) {
        struct mode_block b;
        mode_block_decode(data + at, h.long_lba, &b);
        scsi_text_add(&t, "block descriptor: %" PRIu64 " blocks of %u bytes\n", b.blocks, b.block_len);
    }
    at += h.descriptor_len;
    struct mode_page_view v;
    while (mode_page_next(data, len, &at, &v)) {
        const struct mode_page_def *def = mode_page_find(v.page, v.subpage);
        scsi_text_add(&t, "page %02Xh/%02Xh %s\n", v.page, v.subpage, def ? def->name : "");
        if (def) {
            scsi_text_fields(&t, def->fields, def->field_count, v.data, v.len);
        } else {
            scsi_text_add(&t, "  ");
            scsi_text_hex(&t, v.data, v.len);
            scsi_text_add(&t, "\n");
        }
    }
}
