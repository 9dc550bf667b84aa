/* Reading, writing and printing of fields. */
#include "common/scsi/field.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint64_t scsi_field_get(const uint8_t *data, const struct scsi_field *f)
{
    /* Byte by byte: a field of 64 bits has shift 0, so nothing is lost at the top. */
    uint64_t value = 0;
    uint16_t bytes = scsi_field_bytes(f);
    for (uint16_t i = 0; i < bytes; i++)
        value = (value << 8) | data[f->byte + i];
    return (value >> f->shift) & scsi_field_max(f);
}

void scsi_field_put(uint8_t *data, const struct scsi_field *f, uint64_t value)
{
    uint64_t mask = scsi_field_max(f) << f->shift;
    value = (value << f->shift) & mask;
    for (uint16_t i = scsi_field_bytes(f); i-- > 0;) {
        uint8_t *p = &data[f->byte + i];
        *p = (uint8_t)((*p & ~mask) | value);
        mask >>= 8;
        value >>= 8;
    }
}

void scsi_fields_decode(const struct scsi_field *list, size_t count, const uint8_t *data, size_t len,
                        void *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct scsi_field *f = &list[i];
        uint64_t value = 0;
        if ((size_t)f->byte + scsi_field_bytes(f) <= len)
            value = scsi_field_get(data, f);
        memcpy((char *)out + f->member, &value, sizeof value);
    }
}

void scsi_fields_encode(const struct scsi_field *list, size_t count, const void *values, uint8_t *data,
                        size_t len)
{
    for (size_t i = 0; i < count; i++) {
        const struct scsi_field *f = &list[i];
        uint64_t value;
        assert((size_t)f->byte + scsi_field_bytes(f) <= len);
        memcpy(&value, (const char *)values + f->member, sizeof value);
        scsi_field_put(data, f, value);
    }
    (void)len;
}

void scsi_text_init(struct scsi_text *t, char *buf, size_t len)
{
    assert(len > 0);
    *t = (struct scsi_text){.buf = buf, .len = len};
    buf[0] = '\0';
}

void scsi_text_add(struct scsi_text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->buf + t->at, t->len - t->at, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    size_t room = t->len - t->at - 1;
    t->at += (size_t)n < room ? (size_t)n : room;
}

void scsi_text_ascii(struct scsi_text *t, const uint8_t *data, size_t len)
{
    while (len > 0 && (data[len - 1] == ' ' || data[len - 1] == 0))
        len--;
    for (size_t i = 0; i < len; i++)
        scsi_text_add(t, "%c", data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '.');
}

void scsi_text_hex(struct scsi_text *t, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        scsi_text_add(t, "%02x", data[i]);
}

void scsi_text_fields(struct scsi_text *t, const struct scsi_field *list, size_t count, const uint8_t *data,
                      size_t len)
{
    for (size_t i = 0; i < count; i++) {
        const struct scsi_field *f = &list[i];
        if ((size_t)f->byte + scsi_field_bytes(f) > len)
            continue;
        scsi_text_add(t, "  %s: %" PRIu64 "\n", f->name, scsi_field_get(data, f));
    }
}
