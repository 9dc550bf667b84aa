/* LUN fields and the REPORT LUNS list. */
#include "common/scsi/lun.h"

#include <assert.h>
#include <string.h>

#include "common/base/bytes.h"

bool lun_decode(uint64_t field, uint16_t *number, bool *well_known)
{
    if (field == LUN_WELL_KNOWN_REPORT) {
        *well_known = true;
        *number = 0;
        return true;
    }
    uint16_t first = (uint16_t)(field >> 48);
    uint64_t rest = field & UINT64_C(0x0000ffffffffffff);
    switch (first >> 14) {
    case 0: /* peripheral: bus 0 only, other buses would be a second level */
        if (first > 0xff || rest)
            return false;
        *number = first;
        break;
    case 1: /* flat */
        if (rest)
            return false;
        *number = first & 0x3fff;
        break;
    case 3: /* extended flat with three bytes of address: D2h */
        if (first >> 8 != 0xd2 || rest & UINT64_C(0x00000000ffffffff) ||
            (field >> 32 & 0xffffff) > LUN_NUMBER_MAX)
            return false;
        *number = (uint16_t)(field >> 32 & 0xffff);
        break;
    default:
        return false;
    }
    *well_known = false;
    return true;
}

uint64_t lun_encode(uint16_t number)
{
    assert(number <= LUN_NUMBER_MAX);
    uint16_t first = number < 256 ? number : (uint16_t)(0x4000 | number);
    return (uint64_t)first << 48;
}

void lun_list_header(uint8_t out[8], uint32_t count)
{
    memset(out, 0, 8);
    be32_put(out, count * 8);
}

uint32_t lun_list_count(const uint8_t *data, size_t len)
{
    if (len < 8)
        return 0;
    uint32_t told = be32_get(data) / 8;
    uint32_t held = (uint32_t)((len - 8) / 8);
    return told < held ? told : held;
}

uint64_t lun_list_get(const uint8_t *data, uint32_t index)
{
    return be64_get(data + 8 + (size_t)index * 8);
}
