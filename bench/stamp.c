#include "bench/stamp.h"

#include <string.h>

/* splitmix64's step: a different filling for each stamp, cheap enough to check at full rate. */
static uint64_t stamp_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t stamp_seed(const struct stamp *stamp)
{
    return stamp_mix(stamp->lba ^ stamp_mix(stamp->writer ^ stamp_mix(stamp->sequence)));
}

void stamp_fill(uint8_t *block, uint32_t len, const struct stamp *stamp)
{
    uint64_t value = stamp_seed(stamp);
    memcpy(block, stamp, sizeof *stamp);
    for (uint32_t at = sizeof *stamp; at + 8 <= len; at += 8) {
        memcpy(block + at, &value, 8);
        value = value * 6364136223846793005u + 1442695040888963407u;
    }
}

bool stamp_check(const uint8_t *block, uint32_t len, const struct stamp *stamp, struct stamp *found)
{
    memcpy(found, block, sizeof *found);
    if (memcmp(block, stamp, sizeof *stamp) != 0)
        return false;
    uint64_t value = stamp_seed(stamp);
    for (uint32_t at = sizeof *stamp; at + 8 <= len; at += 8) {
        if (memcmp(block + at, &value, 8) != 0)
            return false;
        value = value * 6364136223846793005u + 1442695040888963407u;
    }
    return true;
}
