/* The send queue. A PDU is three parts that lie in three places: head (headers, AHS, header digest) and tail
 * (padding, data digest) in the tx_pdu, data wherever its owner has it. Nothing is joined: the parts go into
 * one gather list with those of the PDUs behind them. */
#include "common/iscsi/tx.h"

#include <assert.h>
#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/min.h"
#include "common/iscsi/digest.h"

void tx_pool_init(struct tx_pool *pool, const struct env *env)
{
    pool->env = env;
    pool->allocated = 0;
    list_init(&pool->free);
}

void tx_pool_fini(struct tx_pool *pool)
{
    struct list_node *node;
    while ((node = list_pop_front(&pool->free))) {
        env_free(pool->env, list_entry(node, struct tx_pdu, node));
        pool->allocated--;
    }
    assert(pool->allocated == 0 && "a PDU outlives its pool");
}

static struct tx_pdu *tx_pdu_get(struct tx_pool *pool)
{
    struct list_node *node = list_pop_front(&pool->free);
    if (node)
        return list_entry(node, struct tx_pdu, node);
    struct tx_pdu *pdu = pool->env->alloc(pool->env->ctx, sizeof *pdu, TX_PDU_ALIGN);
    if (pdu) {
        list_init(&pdu->node);
        pool->allocated++;
    }
    return pdu;
}

void tx_init(struct tx *tx, struct tx_pool *pool)
{
    memset(tx, 0, sizeof *tx);
    tx->pool = pool;
    list_init(&tx->queue);
}

/* The PDU is finished or dropped: back to the pool. The count goes down last, because for borrowed data it is
 * the sign that the loan is over. */
static void tx_release(struct tx *tx, struct tx_pdu *pdu)
{
    slice_release(&pdu->data);
    list_push_front(&tx->pool->free, &pdu->node); /* the warmest is used next */
    if (pdu->done_count)
        (*pdu->done_count)--;
}

/* The header that was never queued. */
static void tx_abandon(struct tx *tx)
{
    if (tx->open)
        list_push_front(&tx->pool->free, &tx->open->node);
    tx->open = NULL;
}

void tx_fini(struct tx *tx)
{
    struct list_node *node;
    while ((node = list_pop_front(&tx->queue)))
        tx_release(tx, list_entry(node, struct tx_pdu, node));
    tx_abandon(tx);
    tx->queued_bytes = 0;
}

void tx_set_digests(struct tx *tx, bool header, bool data)
{
    tx->header_digest = header;
    tx->data_digest = data;
}

static uint32_t tx_pdu_len(const struct tx_pdu *pdu)
{
    return pdu->head_len + pdu->data.len + pdu->tail_len;
}

/* The lengths are filled in here, from what is really sent, so that no caller can get them wrong. */
static void tx_head(const struct tx *tx, struct tx_pdu *pdu, const uint8_t *ahs, uint32_t ahs_len)
{
    uint32_t len = PDU_BHS_LEN + ahs_len;
    if (ahs_len)
        memcpy(pdu->head + PDU_BHS_LEN, ahs, ahs_len);              /* R7143-11.2-01 */
    pdu->head[4] = (uint8_t)(ahs_len / 4);                          /* R7143-11.2.1.5-01 */
    be24_put(pdu->head + 5, pdu->data.len);                         /* R7143-11.2.1.6-01, R7143-11.2.3-02 */
    if (tx->header_digest) {                                        /* R7143-13.1-03 */
        digest_put(pdu->head + len, digest_crc32c(pdu->head, len)); /* R7143-11.2.3-01 */
        len += PDU_DIGEST_LEN;
    }
    pdu->head_len = (uint16_t)len;
}

static void tx_tail(const struct tx *tx, struct tx_pdu *pdu)
{
    uint32_t pad = pdu_pad_len(pdu->data.len); /* R7143-11.1-01 */
    memset(pdu->tail, 0, pad);                 /* R7143-11.1-02 */
    pdu->tail_len = (uint8_t)pad;
    if (tx->data_digest && pdu->data.len) { /* R7143-11.2.3-03 */
        uint32_t crc = digest_update_far(DIGEST_INIT, pdu->data.ptr, pdu->data.len);
        crc = digest_update(crc, pdu->tail, pad); /* R7143-13.1-04 */
        digest_put(pdu->tail + pad, digest_final(crc));
        pdu->tail_len = (uint8_t)(pad + PDU_DIGEST_LEN);
    }
}

/* Queues what is open. */
static void tx_queue(struct tx *tx, const uint8_t *ahs, uint32_t ahs_len, struct slice *data,
                     uint32_t *done_count)
{
    assert(!data || data->len <= PDU_DATA_LEN_MAX);
    struct tx_pdu *pdu = tx->open;
    tx->open = NULL;
    pdu->data = (struct slice){0};
    if (data) {
        pdu->data = *data;
        *data = (struct slice){0};
    }
    pdu->sent = 0;
    pdu->done_count = done_count;
    if (done_count)
        (*done_count)++;
    tx_head(tx, pdu, ahs, ahs_len);
    tx_tail(tx, pdu);
    tx->queued_bytes += tx_pdu_len(pdu);
    list_push_back(&tx->queue, &pdu->node);
}

uint8_t *tx_open(struct tx *tx)
{
    if (!tx->open)
        tx->open = tx_pdu_get(tx->pool);
    return tx->open ? tx->open->head : NULL;
}

void tx_close(struct tx *tx, struct slice *data, uint32_t *done_count)
{
    tx_queue(tx, NULL, 0, data, done_count);
}

int tx_add(struct tx *tx, const uint8_t *bhs, const uint8_t *ahs, uint32_t ahs_len, struct slice *data,
           uint32_t *done_count)
{
    assert(ahs_len <= TX_AHS_MAX && ahs_len % 4 == 0);
    uint8_t *head = tx_open(tx);
    if (!head)
        return ERR_NOMEM;
    memcpy(head, bhs, PDU_BHS_LEN);
    tx_queue(tx, ahs, ahs_len, data, done_count);
    return 0;
}

/* A gather list being filled. */
struct tx_list {
    struct io_vec *places;
    uint32_t count, max;
};

/* Adds what is left of one part (its first *skip bytes have gone), as long as there is room. */
static void tx_place(struct tx_list *list, uint8_t *ptr, uint32_t len, uint32_t *skip)
{
    uint32_t gone = min_u32(*skip, len);
    *skip -= gone;
    if (gone < len && list->count < list->max)
        list->places[list->count++] = (struct io_vec){ptr + gone, len - gone};
}

/* The list may end within a PDU: tx_sent counts bytes, so the rest simply comes next time. */
uint32_t tx_gather(struct tx *tx, struct io_vec *places, uint32_t max)
{
    struct tx_list list = {places, 0, max};
    list_for_each(node, &tx->queue)
    {
        struct tx_pdu *pdu = list_entry(node, struct tx_pdu, node);
        uint32_t skip = pdu->sent; /* not 0 at most in the first */
        tx_place(&list, pdu->head, pdu->head_len, &skip);
        tx_place(&list, pdu->data.ptr, pdu->data.len, &skip);
        tx_place(&list, pdu->tail, pdu->tail_len, &skip);
        if (list.count == max)
            break;
    }
    return list.count;
}

void tx_sent(struct tx *tx, uint64_t len)
{
    assert(len <= tx->queued_bytes);
    tx->queued_bytes -= len;
    while (len > 0) {
        struct tx_pdu *pdu = list_first(&tx->queue, struct tx_pdu, node);
        uint32_t left = tx_pdu_len(pdu) - pdu->sent;
        if (len < left) {
            pdu->sent += (uint32_t)len;
            return;
        }
        len -= left;
        list_remove(&pdu->node);
        tx_release(tx, pdu);
    }
}

void tx_move(struct tx *tx, struct tx_pool *pool)
{
    assert(list_empty(&tx->queue));
    tx_abandon(tx);
    tx->pool = pool;
}
