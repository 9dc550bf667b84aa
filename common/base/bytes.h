/* Big-endian loads and stores, and constant-time comparison. */
#ifndef LUNETTE_BASE_BYTES_H
#define LUNETTE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Whole words, swapped: compilers do not see through single bytes everywhere. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BYTES_BE16(v) __builtin_bswap16(v)
#define BYTES_BE32(v) __builtin_bswap32(v)
#define BYTES_BE64(v) __builtin_bswap64(v)
#else
#define BYTES_BE16(v) (v)
#define BYTES_BE32(v) (v)
#define BYTES_BE64(v) (v)
#endif

static inline uint16_t be16_get(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return BYTES_BE16(v);
}

static inline uint32_t be24_get(const uint8_t *p)
{
    return ((uint32_t)be16_get(p) << 8) | p[2];
}

static inline uint32_t be32_get(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return BYTES_BE32(v);
}

static inline uint64_t be64_get(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return BYTES_BE64(v);
}

static inline void be16_put(uint8_t *p, uint16_t v)
{
    v = BYTES_BE16(v);
    memcpy(p, &v, sizeof v);
}

static inline void be24_put(uint8_t *p, uint32_t v)
{
    be16_put(p, (uint16_t)(v >> 8));
    p[2] = (uint8_t)v;
}

static inline void be32_put(uint8_t *p, uint32_t v)
{
    v = BYTES_BE32(v);
    memcpy(p, &v, sizeof v);
}

static inline void be64_put(uint8_t *p, uint64_t v)
{
    v = BYTES_BE64(v);
    memcpy(p, &v, sizeof v);
}

/* Compares in time that depends on len alone. */
static inline bool bytes_equal_ct(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;
    uint8_t diff = 0;
    for (size_t i = 0; i < len; i++)
        diff = (uint8_t)(diff | (x[i] ^ y[i]));
    return diff == 0;
}

#endif
