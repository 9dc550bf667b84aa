/* Intrusive pairing heap: timers and simulated events. The node is embedded in its owner, so inserting never
 * allocates and never fails. Equal keys come out in the order in which they were inserted. */
#ifndef LUNETTE_IO_HEAP_H
#define LUNETTE_IO_HEAP_H

#include <stdint.h>

/* may_alias: backends also keep nodes in io_op.backend. */
struct __attribute__((may_alias)) heap_node {
    struct heap_node *child; /* first child */
    struct heap_node *next;  /* next sibling */
    struct heap_node *prev;  /* previous sibling; the parent for a first child; NULL for the root */
    uint64_t key;            /* smallest comes out first */
    uint64_t seq;            /* insertion number: breaks ties */
};

struct heap {
    struct heap_node *root;
    uint64_t next_seq;
};

/* O(1). The node must not be in a heap. */
void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key);
/* O(log n) amortised. The node must be in this heap. */
void heap_remove(struct heap *heap, struct heap_node *node);

/* The node that comes out next, or NULL. */
static inline struct heap_node *heap_min(const struct heap *heap)
{
    return heap->root;
}

#endif
