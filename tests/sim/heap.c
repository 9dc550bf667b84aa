#include "tests/sim/heap.h"

#include <string.h>

struct block {
    struct list_node node;
    void *base; /* as the real heap gave it */
};

static void *heap_alloc(void *ctx, size_t size, size_t align)
{
    struct machine_heap *heap = ctx;
    if (heap->fail_in && --heap->fail_in == 0) {
        heap->failed++;
        return NULL;
    }
    /* The head lies right before what is handed out, whose alignment is that of the base plus whole
     * multiples. */
    size_t unit = align > 16 ? align : 16;
    size_t head = (sizeof(struct block) + unit - 1) / unit * unit;
    uint8_t *base = heap->under->alloc(heap->under->ctx, head + size, unit);
    if (!base)
        return NULL;
    struct block *block = (struct block *)(void *)(base + head - sizeof *block);
    block->base = base;
    list_init(&block->node);
    list_push_back(&heap->blocks, &block->node);
    heap->live++;
    return base + head;
}

static void heap_free(void *ctx, void *ptr)
{
    struct machine_heap *heap = ctx;
    if (!ptr)
        return;
    struct block *block = (struct block *)ptr - 1;
    list_remove(&block->node);
    heap->live--;
    env_free(heap->under, block->base);
}

static uint64_t heap_now(void *ctx)
{
    return env_now(((struct machine_heap *)ctx)->under);
}

static void heap_random(void *ctx, void *buf, size_t len)
{
    const struct env *under = ((struct machine_heap *)ctx)->under;
    under->random(under->ctx, buf, len);
}

static size_t heap_hash(void *ctx, enum hash_alg alg, const struct bytes *parts, size_t count, uint8_t *out)
{
    const struct env *under = ((struct machine_heap *)ctx)->under;
    return under->hash(under->ctx, alg, parts, count, out);
}

static void heap_trace(void *ctx, const struct trace_event *event)
{
    const struct env *under = ((struct machine_heap *)ctx)->under;
    under->trace(under->ctx, event);
}

void machine_heap_init(struct machine_heap *heap, const struct env *under)
{
    memset(heap, 0, sizeof *heap);
    list_init(&heap->blocks);
    heap->under = under;
    heap->env = (struct env){
        heap, heap_now, heap_random, heap_alloc, heap_free, heap_hash, under->trace ? heap_trace : NULL};
}

uint64_t machine_heap_drop(struct machine_heap *heap)
{
    uint64_t left = heap->live;
    while (!list_empty(&heap->blocks))
        heap_free(heap, list_first(&heap->blocks, struct block, node) + 1);
    return left;
}
