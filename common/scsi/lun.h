/* The 8-byte LUN field (SAM-5 4.7) as a 64-bit number whose top byte is the first on the wire. */
#ifndef LUNETTE_SCSI_LUN_H
#define LUNETTE_SCSI_LUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUN_NUMBER_MAX        16383u                       /* flat space addressing ends here */
#define LUN_WELL_KNOWN_REPORT UINT64_C(0xc101000000000000) /* the REPORT LUNS well-known logical unit */

/* Single-level LUNs in peripheral (bus 0), flat and extended flat (3-byte) addressing. False: any other form,
 * or anything in the lower levels. *well_known is set for the REPORT LUNS well-known LU, then *number is 0.
 */
bool lun_decode(uint64_t field, uint16_t *number, bool *well_known);
/* Peripheral addressing below 256, flat from there: what initiators expect most widely. */
uint64_t lun_encode(uint16_t number);

/* REPORT LUNS data: 8 bytes of header, then the fields. encode_header's count is that of the list. */
void lun_list_header(uint8_t out[8], uint32_t count);
/* How many LUN fields the data holds, from its own length and from `len`; lun_list_get reads one. */
uint32_t lun_list_count(const uint8_t *data, size_t len);
uint64_t lun_list_get(const uint8_t *data, uint32_t index);

#endif
