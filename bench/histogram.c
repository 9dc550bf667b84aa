#include "bench/histogram.h"

#include <string.h>

void histogram_clear(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (!from->count)
        return;
    if (!into->count || from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->count += from->count;
    into->sum += from->sum;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
}

uint64_t histogram_upper(uint32_t index)
{
    if (index < (1u << HISTOGRAM_SUB_BITS))
        return index;
    uint32_t shift = (index >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t lead = (1u << HISTOGRAM_SUB_BITS) + (index & ((1u << HISTOGRAM_SUB_BITS) - 1));
    return ((lead + 1) << shift) - 1;
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
    uint64_t want = (uint64_t)(share * (double)h->count + 0.5), seen = 0;
    if (want < 1)
        want = 1;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && h->count; i++) {
        seen += h->bucket[i];
        if (seen >= want)
            return histogram_upper(i) < h->max ? histogram_upper(i) : h->max;
    }
    return h->max;
}
