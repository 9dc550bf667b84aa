/* CRC32C in portable form (slicing by eight: one table per byte of a 64-bit word, so eight look-ups that do
 * not wait for one another) and the choice of implementation.
 *
 * The tables are computed at first use instead of standing here as 2048 numbers. Two threads that race
 * compute the same values, and all accesses are atomic, so whoever sees the ready flag sees the tables. */
#include "common/iscsi/digest.h"

#include <stdatomic.h>
#include <string.h>

#define DIGEST_POLYNOMIAL 0x82f63b78u /* 0x1edc6f41 reflected: R7143-13.1-05 */

static _Atomic uint32_t digest_table[8][256];
static atomic_bool digest_table_ready;

/* The CRC register after byte n and k zero bytes. A relaxed load is a plain load on every machine of ours. */
static uint32_t digest_row(unsigned k, unsigned n)
{
    return atomic_load_explicit(&digest_table[k][n], memory_order_relaxed);
}

static void digest_table_make(void)
{
    uint32_t row[256];
    for (unsigned n = 0; n < 256; n++) {
        uint32_t crc = n;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) ? (crc >> 1) ^ DIGEST_POLYNOMIAL : crc >> 1;
        row[n] = crc;
    }
    for (unsigned n = 0; n < 256; n++) {
        uint32_t crc = row[n];
        for (unsigned k = 0; k < 8; k++) {
            atomic_store_explicit(&digest_table[k][n], crc, memory_order_relaxed);
            crc = (crc >> 8) ^ row[crc & 0xff];
        }
    }
    atomic_store_explicit(&digest_table_ready, true, memory_order_release);
}

uint32_t digest_update_portable(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    if (!atomic_load_explicit(&digest_table_ready, memory_order_acquire))
        digest_table_make();
    for (; len >= 8; len -= 8, p += 8) {
        uint32_t low = crc ^ digest_get(p), high = digest_get(p + 4);
        crc = digest_row(7, low & 0xff) ^ digest_row(6, (low >> 8) & 0xff) ^
              digest_row(5, (low >> 16) & 0xff) ^ digest_row(4, low >> 24) ^ digest_row(3, high & 0xff) ^
              digest_row(2, (high >> 8) & 0xff) ^ digest_row(1, (high >> 16) & 0xff) ^
              digest_row(0, high >> 24);
    }
    for (; len; len--, p++)
        crc = (crc >> 8) ^ digest_row(0, (crc ^ *p) & 0xff);
    return crc;
}

/* The answer of the processor is a load from memory that nobody writes any more: no need to keep it
 * ourselves. */
uint32_t digest_update(uint32_t crc, const void *data, size_t len)
{
    if (len >= DIGEST_FOLDED_LEN && digest_folded_available()) /* headers need not ask */
        return digest_update_folded(crc, data, len);
    if (len >= DIGEST_LANES_LEN && digest_lanes_available())
        return digest_update_lanes(crc, data, len);
    return digest_sse42_available() ? digest_update_sse42(crc, data, len)
                                    : digest_update_portable(crc, data, len);
}

uint32_t digest_update_far(uint32_t crc, const void *data, size_t len)
{
    if (len >= DIGEST_FOLDED_FAR_LEN && digest_folded_available())
        return digest_update_folded_far(crc, data, len);
    if (len >= DIGEST_LANES_LEN && digest_lanes_available())
        return digest_update_lanes_far(crc, data, len);
    return digest_update(crc, data, len);
}

uint32_t digest_crc32c(const void *data, size_t len)
{
    return digest_final(digest_update(DIGEST_INIT, data, len));
}
