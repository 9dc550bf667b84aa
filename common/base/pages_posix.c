/* Regions of 2 MiB, each cut into buffers of one size. A table of two levels finds a buffer's region by its
 * address. */
#include "common/base/pages.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/list.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PAGES_OFF 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PAGES_OFF 1
#endif
#ifndef PAGES_OFF
#define PAGES_OFF 0
#endif

#define REGION_SHIFT 21u /* 2 MiB: a huge page */
#define REGION_LEN   ((size_t)1 << REGION_SHIFT)
#define LEAF_SHIFT   13u
#define TABLE_LEN    ((size_t)1 << LEAF_SHIFT)
#define ADDRESS_BITS (REGION_SHIFT + 2 * LEAF_SHIFT) /* of user space: 47 */

enum {
    REGIONS_AT_ONCE = 16, /* mapped together */
    REGIONS_SMALL = 16,   /* in use with small pages: thousands of logins touch a little of many */
    WARM_PART = 8,        /* of those in use so many more are kept with their memory when they are free */
    CLASSES = 5           /* 64 KiB .. 1 MiB */
};
_Static_assert(PAGES_MIN << (CLASSES - 1) == PAGES_MAX, "the classes cover the range");

struct region {
    struct list_node node; /* of `roomy`, `warm` or `cold`; unlinked while it is full */
    uint8_t *base;
    uint32_t used;  /* a bit for each buffer that is out */
    uint32_t dirty; /* for each that has been out, and is no longer zero */
    unsigned size_class;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool begun;
static struct list_node roomy[CLASSES]; /* in use, with room */
static struct list_node warm; /* free, the last one first: when the load asks for other sizes, new memory */
static size_t warm_count;     /* from the kernel costs more than all else that it does */
static struct list_node cold; /* free, without memory */
static size_t in_use;         /* regions with buffers that are out */
static struct region **table[TABLE_LEN];

static uint32_t all_of(unsigned size_class)
{
    unsigned count = (unsigned)(REGION_LEN / (PAGES_MIN << size_class));
    return count == 32 ? UINT32_MAX : (1u << count) - 1;
}

/* NULL: no region lies there. With the lock held. */
static struct region **place_of(const void *ptr, bool make)
{
    uintptr_t at = (uintptr_t)ptr;
    if (at >> ADDRESS_BITS)
        return NULL;
    struct region ***leaf = &table[at >> (REGION_SHIFT + LEAF_SHIFT)];
    if (!*leaf && make)
        *leaf = calloc(TABLE_LEN, sizeof **leaf);
    return *leaf ? &(*leaf)[at >> REGION_SHIFT & (TABLE_LEN - 1)] : NULL;
}

static void begin(void)
{
    for (unsigned i = 0; i < CLASSES; i++)
        list_init(&roomy[i]);
    list_init(&warm);
    list_init(&cold);
    begun = true;
}

static bool region_enter(uint8_t *base)
{
    struct region **place = place_of(base, true);
    struct region *region = place ? calloc(1, sizeof *region) : NULL;
    if (!region)
        return false;
    region->base = base;
    *place = region;
    list_push_back(&cold, &region->node);
    return true;
}

/* Address space only: memory comes with the first touch. */
static void map_more(void)
{
    size_t want = REGIONS_AT_ONCE * REGION_LEN, len = want + REGION_LEN;
    uint8_t *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return;
    size_t skip = (REGION_LEN - ((uintptr_t)at & (REGION_LEN - 1))) & (REGION_LEN - 1);
    if (skip)
        munmap(at, skip);
    munmap(at + skip + want, len - skip - want);
    for (size_t i = 0; i < REGIONS_AT_ONCE; i++)
        if (!region_enter(at + skip + i * REGION_LEN))
            munmap(at + skip + i * REGION_LEN, REGION_LEN);
}

static struct region *region_with_room(unsigned size_class)
{
    struct region *region = list_first(&roomy[size_class], struct region, node);
    if (region)
        return region;
    in_use++;
    if (warm_count > 0) {
        warm_count--;
        region = list_first(&warm, struct region, node);
        region->dirty = all_of(size_class);
    } else {
        if (list_empty(&cold))
            map_more();
        region = list_first(&cold, struct region, node);
        if (!region) {
            in_use--;
            return NULL;
        }
        /* Refused, or no huge page is free: small ones do as well. */
        if (in_use > REGIONS_SMALL)
            (void)madvise(region->base, REGION_LEN, MADV_HUGEPAGE);
    }
    list_remove(&region->node);
    region->size_class = size_class;
    list_push_back(&roomy[size_class], &region->node);
    return region;
}

/* With the lock held. *dirty: it has to be cleared. */
static uint8_t *take(unsigned size_class, bool *dirty)
{
    struct region *region = region_with_room(size_class);
    if (!region)
        return NULL;
    unsigned i = (unsigned)__builtin_ctz(~region->used);
    *dirty = region->dirty >> i & 1;
    region->used |= 1u << i;
    region->dirty |= 1u << i;
    if (region->used == all_of(size_class))
        list_remove(&region->node);
    return region->base + i * (PAGES_MIN << size_class);
}

void *pages_alloc(size_t size)
{
    bool dirty = false;
    if (PAGES_OFF || size < PAGES_MIN || size > PAGES_MAX || size & (size - 1))
        return NULL;
    unsigned size_class = (unsigned)(__builtin_ctzll(size) - __builtin_ctzll(PAGES_MIN));
    pthread_mutex_lock(&lock);
    if (!begun)
        begin();
    uint8_t *ptr = take(size_class, &dirty);
    pthread_mutex_unlock(&lock);
    if (ptr && dirty)
        memset(ptr, 0, size);
    return ptr;
}

/* The kernel gets back what too many free regions have. With the lock held. */
static void cool(void)
{
    while (warm_count > in_use / WARM_PART) {
        struct region *region = list_last(&warm, struct region, node);
        list_remove(&region->node);
        warm_count--;
        /* Refused for memory that is locked. */
        region->dirty = madvise(region->base, REGION_LEN, MADV_DONTNEED) == 0 ? 0 : UINT32_MAX;
        list_push_front(&cold, &region->node);
    }
}

/* With the lock held. */
static void put(struct region *region, const uint8_t *ptr)
{
    size_t len = PAGES_MIN << region->size_class, offset = (size_t)(ptr - region->base);
    uint32_t bit = 1u << offset / len;
    assert(offset % len == 0 && region->used & bit);
    if (region->used == all_of(region->size_class))
        list_push_back(&roomy[region->size_class], &region->node);
    region->used &= ~bit;
    if (region->used ||
        (roomy[region->size_class].next == &region->node && roomy[region->size_class].prev == &region->node))
        return; /* the last with room is kept: its buffers are wanted again soon */
    list_remove(&region->node);
    list_push_front(&warm, &region->node);
    warm_count++;
    in_use--;
    cool();
}

bool pages_free(void *ptr)
{
    if (PAGES_OFF || !ptr || (uintptr_t)ptr & (PAGES_MIN - 1))
        return false;
    pthread_mutex_lock(&lock);
    struct region **place = begun ? place_of(ptr, false) : NULL;
    struct region *region = place ? *place : NULL;
    if (region)
        put(region, ptr);
    pthread_mutex_unlock(&lock);
    return region != NULL;
}
