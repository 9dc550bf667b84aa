/* A pairing heap: inserting takes constant time (timers are armed and cancelled far more often than they
 * fire), there is no array to grow, and a node is removed from the middle without a search. */
#include "common/io/heap.h"

#include <stdbool.h>
#include <stddef.h>

/* The sequence number makes the order total, so that nothing depends on the heap's shape. */
static bool comes_before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

/* Joins two trees whose roots have no siblings; either may be NULL. */
static struct heap_node *meld(struct heap_node *a, struct heap_node *b)
{
    if (!a || !b)
        return a ? a : b;
    if (comes_before(b, a)) {
        struct heap_node *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    b->prev = a;
    a->child = b;
    return a;
}

/* Joins a list of siblings to one tree in two passes: pairs from left to right, then all of them from right
 * to left. This order is what gives the pairing heap its amortised bound. */
static struct heap_node *meld_siblings(struct heap_node *first)
{
    struct heap_node *pairs = NULL; /* stack, linked through next */
    while (first) {
        struct heap_node *a = first;
        struct heap_node *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct heap_node *root = NULL;
    while (pairs) {
        struct heap_node *tree = pairs;
        pairs = tree->next;
        tree->next = NULL;
        root = meld(root, tree);
    }
    return root;
}

void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key)
{
    *node = (struct heap_node){.key = key, .seq = heap->next_seq++};
    heap->root = meld(heap->root, node);
}

/* The node's subtree is cut off, its children are joined and come back in. */
void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node == heap->root) {
        heap->root = meld_siblings(node->child);
    } else {
        if (node->prev->child == node)
            node->prev->child = node->next;
        else
            node->prev->next = node->next;
        if (node->next)
            node->next->prev = node->prev;
        heap->root = meld(heap->root, meld_siblings(node->child));
    }
    node->child = node->next = node->prev = NULL;
}
