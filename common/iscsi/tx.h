/* The sending side of a connection: a queue of PDUs as gather lists. Shared by target and initiator; no I/O.
 * tx_add copies the 48-byte header (and AHS), computes digests, and keeps the data slice (no copy). tx_gather
 * lends the first bytes of the queue; tx_sent says how many went out and releases what is finished. One loan
 * at a time; PDUs may be added during it. */
#ifndef LUNETTE_ISCSI_TX_H
#define LUNETTE_ISCSI_TX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/iscsi/pdu.h"

struct env;

#define TX_AHS_MAX  64u                                         /* bytes of AHS that we ever send */
#define TX_HEAD_MAX (PDU_BHS_LEN + TX_AHS_MAX + PDU_DIGEST_LEN) /* bytes of one PDU's headers */
#define TX_RUN_LEN  768u /* bytes: takes PDUs while one more has room */

/* PDUs whose headers lie side by side: they cost one object and one place. Only the last of them may have a
 * data segment, or somebody who waits for it. */
struct tx_run {
    struct list_node node;
    struct slice data; /* one reference, or borrowed until sent */
    /* Borrowed, may be NULL: decremented when the last byte has been sent or the queue is dropped. */
    uint32_t *done_count;
    uint32_t sent;                    /* bytes of this run already gone */
    uint16_t head_len;                /* bytes */
    uint8_t tail_len;                 /* bytes */
    uint8_t tail[3 + PDU_DIGEST_LEN]; /* padding and data digest */
    uint8_t head[TX_RUN_LEN];         /* in the second cache line: one PDU without AHS needs no third */
};
#define TX_RUN_ALIGN 64u

/* Free runs of one reactor; grows through env, never shrinks until freed. */
struct tx_pool {
    const struct env *env; /* borrowed for the pool's life */
    struct list_node free;
    uint64_t allocated; /* objects */
};
void tx_pool_init(struct tx_pool *pool, const struct env *env);
void tx_pool_fini(struct tx_pool *pool); /* all objects must be back */

struct tx {
    struct tx_pool *pool; /* borrowed */
    struct list_node queue;
    struct tx_run *open;   /* owned: its first header is being written */
    uint64_t queued_bytes; /* on the queue, not yet sent */
    bool header_digest, data_digest;
    uint16_t opened_at; /* where in its run tx_open has told the next header to be */
};
void tx_init(struct tx *tx, struct tx_pool *pool);
void tx_fini(struct tx *tx); /* drops the queue: counts down done_counts, releases slices */
/* Digests apply to PDUs added from now on. */
void tx_set_digests(struct tx *tx, bool header, bool data);
/* Queues one PDU. `bhs` is complete except for TotalAHSLength and DataSegmentLength, which are filled in
 * here. `ahs` may be NULL; ahs_len <= TX_AHS_MAX, a multiple of 4. Takes over data's reference and empties
 * the caller's slice (data may be NULL for none); its bytes must not change until they are sent. done_count,
 * if given, is incremented now. ERR_NOMEM: nothing queued, the slice stays the caller's. */
int tx_add(struct tx *tx, const uint8_t *bhs, const uint8_t *ahs, uint32_t ahs_len, struct slice *data,
           uint32_t *done_count);
/* The same in two steps, without the copy: where the 48 bytes of the next PDU's header are to be written, or
 * NULL when memory is out; and its queueing, which cannot fail. A header that is never queued is harmless:
 * the next tx_open or tx_add uses its place. Between the two calls nothing is queued or sent. */
uint8_t *tx_open(struct tx *tx);
void tx_close(struct tx *tx, struct slice *data, uint32_t *done_count);
/* Lends up to `max` (> 0) places from the front of the queue; returns how many. Unchanged until tx_sent or
 * tx_fini. */
uint32_t tx_gather(struct tx *tx, struct io_vec *places, uint32_t max);
/* Ends the loan: `len` of the lent bytes went out, from the front; may be 0. */
void tx_sent(struct tx *tx, uint64_t len);
static inline bool tx_pending(const struct tx *tx)
{
    return !list_empty(&tx->queue);
}
/* Re-home when a connection moves to another reactor: only while empty. */
void tx_move(struct tx *tx, struct tx_pool *pool);

#endif
