/* Latencies in log-linear buckets: 64 to an octave, so that any value is known to 1.6 %. Fixed memory, one
 * increment per value. */
#ifndef LUNETTE_BENCH_HISTOGRAM_H
#define LUNETTE_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6u
#define HISTOGRAM_BUCKETS  (64u * (1u << HISTOGRAM_SUB_BITS))

struct histogram {
    uint64_t count, sum, min, max; /* ns; min is meaningless while count is 0 */
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* Values below 2^SUB_BITS have a bucket each; above, the leading bits choose. */
static inline uint32_t histogram_index(uint64_t ns)
{
    if (ns < (1u << HISTOGRAM_SUB_BITS))
        return (uint32_t)ns;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (uint32_t)((ns >> shift) & ((1u << HISTOGRAM_SUB_BITS) - 1));
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    h->bucket[histogram_index(ns)]++;
    if (ns > h->max)
        h->max = ns;
    if (!h->count || ns < h->min)
        h->min = ns;
    h->count++;
    h->sum += ns;
}

void histogram_clear(struct histogram *h);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The largest value of a bucket. */
uint64_t histogram_upper(uint32_t index);
/* The value that `share` (0 .. 1) of all are at or below; 0 when there are none. Never above max. */
uint64_t histogram_quantile(const struct histogram *h, double share);

#endif
