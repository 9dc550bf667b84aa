/* READ CAPACITY(10) and (16) parameter data (SBC-3 5.12, 5.13). */
#ifndef LUNETTE_SCSI_CAPACITY_H
#define LUNETTE_SCSI_CAPACITY_H

#include "common/scsi/field.h"

#define CAPACITY_10_LEN 8u
#define CAPACITY_16_LEN 32u

#define CAPACITY_10_FIELDS(F) F(last_lba, 0, 0, 32) F(block_len, 4, 0, 32)
#define CAPACITY_16_FIELDS(F)                                                                                        \
    F(last_lba, 0, 0, 64)                                                                                            \
    F(block_len, 8, 0, 32)                                                                                           \
    F(p_type, 12, 1, 3)                                                                                              \
    F(prot_en, 12, 0, 1)                                                                                             \
    F(p_i_exponent, 13, 4, 4)                                                                                        \
    F(lbppbe, 13, 0, 4)                                                                                              \
    F(lbpme, 14, 7, 1)                                                                                               \
    F(lbprz, 14, 6, 1)                                                                                               \
    F(lowest_aligned_lba, 14, 0, 14)

struct capacity_10 {
    CAPACITY_10_FIELDS(SCSI_FIELD_MEMBER)
};
struct capacity_16 {
    CAPACITY_16_FIELDS(SCSI_FIELD_MEMBER)
};

void capacity_10_encode(const struct capacity_10 *values, uint8_t out[CAPACITY_10_LEN]);
bool capacity_10_decode(const uint8_t *data, size_t len, struct capacity_10 *out);
void capacity_16_encode(const struct capacity_16 *values, uint8_t out[CAPACITY_16_LEN]);
/* At least the first 12 bytes must be there; what is missing reads as 0. */
bool capacity_16_decode(const uint8_t *data, size_t len, struct capacity_16 *out);

#endif
