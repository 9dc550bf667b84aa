/* One way to say where a number lies in SCSI data: the byte it begins in, how far its lowest bit stands from bit 0 of its
 * last byte, and its width. CDBs, INQUIRY data, VPD pages, mode pages and capacity data are lists of such places; encoding,
 * decoding, usage maps, printing and (later) fuzzing all walk the same lists. Numbers are big-endian (SPC-4 3.6). */
#ifndef LUNETTE_SCSI_FIELD_H
#define LUNETTE_SCSI_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* bits <= 64. The field covers (shift + bits + 7) / 8 bytes from `byte` on. */
struct scsi_field {
    const char *name;
    uint16_t byte;   /* offset of the most significant byte */
    uint8_t shift;   /* bit of the last byte at which the field ends */
    uint8_t bits;    /* width */
    uint16_t member; /* offset of its uint64_t in the decoded struct; 0 in lists without a struct */
};

/* For lists that describe a struct: X-macro rows are F(name, byte, shift, bits). */
#define SCSI_FIELD_MEMBER(name, byte, shift, bits) uint64_t name;

static inline uint16_t scsi_field_bytes(const struct scsi_field *f)
{
    return (uint16_t)((f->shift + f->bits + 7u) / 8u);
}

/* All ones in `bits`. */
static inline uint64_t scsi_field_max(const struct scsi_field *f)
{
    return f->bits >= 64 ? UINT64_MAX : (UINT64_C(1) << f->bits) - 1;
}

/* The caller made sure that the field lies within the data. */
uint64_t scsi_field_get(const uint8_t *data, const struct scsi_field *f);
/* Bits outside the field stay. The value is cut to the field's width. */
void scsi_field_put(uint8_t *data, const struct scsi_field *f, uint64_t value);

/* Every row of a list from or into a struct of uint64_t members. Decoding reads fields beyond `len` as zero: SCSI data is
 * commonly shorter than the newest standard's. Encoding needs room for all fields (assert). */
void scsi_fields_decode(const struct scsi_field *list, size_t count, const uint8_t *data, size_t len, void *out);
void scsi_fields_encode(const struct scsi_field *list, size_t count, const void *values, uint8_t *data, size_t len);

/* A text being built in a buffer of the caller's: always terminated, cut when full. */
struct scsi_text {
    char *buf;
    size_t len; /* size of buf, at least 1 */
    size_t at;  /* characters so far */
};
void scsi_text_init(struct scsi_text *t, char *buf, size_t len);
void scsi_text_add(struct scsi_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* ASCII of a fixed-width, space-padded field: trailing blanks dropped, everything unprintable as '.'. */
void scsi_text_ascii(struct scsi_text *t, const uint8_t *data, size_t len);
void scsi_text_hex(struct scsi_text *t, const uint8_t *data, size_t len);
/* "  name: value\n" for every field that lies within the data. */
void scsi_text_fields(struct scsi_text *t, const struct scsi_field *list, size_t count, const uint8_t *data, size_t len);

#endif
