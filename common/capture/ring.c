/* Single producer, single consumer. Each record is preceded by its length; a length of UINT32_MAX sends the
 * consumer to the beginning of the circle. */
#include "common/capture/ring.h"

#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"

#define RING_SIZE_MIN 4096u
#define RING_SIZE_MAX (UINT64_C(1) << 30)
#define WRAP          UINT32_MAX

struct prefix {
    uint32_t len; /* bytes of the record, without prefix and padding */
    uint32_t unused[3];
};
_Static_assert(sizeof(struct prefix) == RING_ALIGN, "records stay aligned");

int ring_init(struct ring *ring, const struct env *env, uint64_t size)
{
    uint64_t rounded = RING_SIZE_MIN;
    while (rounded < size && rounded < RING_SIZE_MAX)
        rounded *= 2;
    ring->bytes = env->alloc(env->ctx, (size_t)rounded, 64);
    if (!ring->bytes)
        return ERR_NOMEM;
    ring->size = (uint32_t)rounded;
    ring->cached_tail = ring->reserved = 0;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    return 0;
}

void ring_fini(struct ring *ring, const struct env *env)
{
    env_free(env, ring->bytes);
    ring->bytes = NULL;
}

static uint64_t padded(uint32_t len)
{
    return ((uint64_t)len + RING_ALIGN - 1) & ~(uint64_t)(RING_ALIGN - 1);
}

static struct prefix *prefix_at(const struct ring *ring, uint64_t pos)
{
    return (struct prefix *)(void *)(ring->bytes + (pos & (ring->size - 1)));
}

void *ring_reserve(struct ring *ring, uint32_t len)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t need = RING_ALIGN + padded(len);
    uint64_t to_end = ring->size - (head & (ring->size - 1));
    uint64_t skip = need > to_end ? to_end : 0;
    if (need > ring->size / 2)
        return NULL; /* could wait for ever behind a wrap */
    if (head + skip + need - ring->cached_tail > ring->size) {
        ring->cached_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head + skip + need - ring->cached_tail > ring->size)
            return NULL;
    }
    if (skip)
        prefix_at(ring, head)->len = WRAP;
    struct prefix *prefix = prefix_at(ring, head + skip);
    prefix->len = len;
    ring->reserved = head + skip + need;
    return prefix + 1;
}

void ring_publish(struct ring *ring)
{
    atomic_store_explicit(&ring->head, ring->reserved, memory_order_release);
}

uint64_t ring_head(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire);
}

void *ring_at(const struct ring *ring, uint64_t *pos, uint64_t limit)
{
    if (*pos < limit && prefix_at(ring, *pos)->len == WRAP)
        *pos += ring->size - (*pos & (ring->size - 1));
    return *pos < limit ? prefix_at(ring, *pos) + 1 : NULL;
}

uint64_t ring_after(const struct ring *ring, uint64_t pos)
{
    return pos + RING_ALIGN + padded(prefix_at(ring, pos)->len);
}

void ring_release(struct ring *ring, uint64_t pos)
{
    atomic_store_explicit(&ring->tail, pos, memory_order_release);
}
