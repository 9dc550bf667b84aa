/* READ CAPACITY data from and to its field lists. */
#include "common/scsi/capacity.h"

#include <string.h>

#define ROW_10(name, byte, shift, bits)                                                                      \
    {#name, byte, shift, bits, (uint16_t)offsetof(struct capacity_10, name)},
#define ROW_16(name, byte, shift, bits)                                                                      \
    {#name, byte, shift, bits, (uint16_t)offsetof(struct capacity_16, name)},
static const struct scsi_field fields_10[] = {CAPACITY_10_FIELDS(ROW_10)};
static const struct scsi_field fields_16[] = {CAPACITY_16_FIELDS(ROW_16)};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

void capacity_10_encode(const struct capacity_10 *values, uint8_t out[CAPACITY_10_LEN])
{
    memset(out, 0, CAPACITY_10_LEN);
    scsi_fields_encode(fields_10, COUNT(fields_10), values, out, CAPACITY_10_LEN);
}

bool capacity_10_decode(const uint8_t *data, size_t len, struct capacity_10 *out)
{
    if (len < CAPACITY_10_LEN)
        return false;
    scsi_fields_decode(fields_10, COUNT(fields_10), data, len, out);
    return true;
}

void capacity_16_encode(const struct capacity_16 *values, uint8_t out[CAPACITY_16_LEN])
{
    memset(out, 0, CAPACITY_16_LEN);
    scsi_fields_encode(fields_16, COUNT(fields_16), values, out, CAPACITY_16_LEN);
}

bool capacity_16_decode(const uint8_t *data, size_t len, struct capacity_16 *out)
{
    if (len < 12)
        return false;
    scsi_fields_decode(fields_16, COUNT(fields_16), data, len, out);
    return true;
}
