/* A bounded queue of records between one producer and one consumer thread: bytes in a circle, positions that
 * only grow. Neither side ever waits for the other. */
#ifndef LUNETTE_CAPTURE_RING_H
#define LUNETTE_CAPTURE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct env;

#define RING_ALIGN 16u /* bytes: records begin at multiples of it */

struct ring {
    uint8_t *bytes;                     /* owned */
    uint32_t size;                      /* bytes, a power of two */
    _Alignas(64) _Atomic uint64_t head; /* written by the producer: everything before it is there */
    uint64_t cached_tail;               /* producer's */
    uint64_t reserved;                  /* producer's: end of the record in the making */
    _Alignas(64) _Atomic uint64_t tail; /* written by the consumer: everything before it is free */
};

/* `size` is rounded up to a power of two of at least 4096. ERR_NOMEM. */
int ring_init(struct ring *ring, const struct env *env, uint64_t size);
void ring_fini(struct ring *ring, const struct env *env);

/* Producer: room for a record of `len` bytes in one piece, or NULL when there is none now (or never will be).
 * The record counts when it is published; a reservation that is not published may be asked for again. */
void *ring_reserve(struct ring *ring, uint32_t len);
void ring_publish(struct ring *ring);
/* Producer's position: the end of what it has published. */
uint64_t ring_head(const struct ring *ring);

/* Consumer: the record at `*pos`, or NULL when *pos has reached `limit` (a head that was read before). Passes
 * over the filler at the circle's end. */
void *ring_at(const struct ring *ring, uint64_t *pos, uint64_t limit);
/* The position behind the record. */
uint64_t ring_after(const struct ring *ring, uint64_t pos);
void ring_release(struct ring *ring, uint64_t pos);

#endif
