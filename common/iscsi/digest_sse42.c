/* CRC32C with the processor's instruction (x86-64 with SSE4.2). Only this function is compiled for SSE4.2, so
 * the program still runs on processors without it; elsewhere the portable form stands in. */
#include "common/iscsi/digest.h"

#include <string.h>

#if defined(__x86_64__)

#include <nmmintrin.h>

bool digest_sse42_available(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2"))) uint32_t digest_update_sse42(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t wide = crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint64_t word; /* memcpy: data may lie at any address */
        memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len; len--, p++)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}

#else

bool digest_sse42_available(void)
{
    return false;
}

uint32_t digest_update_sse42(uint32_t crc, const void *data, size_t len)
{
    return digest_update_portable(crc, data, len);
}

#endif
