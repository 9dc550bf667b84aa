/* The send queue. A PDU is three parts that lie in three places: head (headers, AHS, header digest) and tail
 * (padding, data digest) in a run, data wherever its owner has it. Nothing is joined: the parts go into one
 * gather list with those of the runs behind them. A PDU that follows one without data joins its run. */
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
        env_free(pool->env, list_entry(node, struct tx_run, node));
        pool->allocated--;
    }
    assert(pool->allocated == 0 && "a run outlives its pool");
}

static struct tx_run *tx_run_get(struct tx_pool *pool)
{
    struct list_node *node = list_pop_front(&pool->free);
    if (node)
        return list_entry(node, struct tx_run, node);
    struct tx_run *run = pool->env->alloc(pool->env->ctx, sizeof *run, TX_RUN_ALIGN);
    if (run) {
        list_init(&run->node);
        pool->allocated++;
    }
    return run;
}

void tx_init(struct tx *tx, struct tx_pool *pool)
{
    memset(tx, 0, sizeof *tx);
    tx->pool = pool;
    list_init(&tx->queue);
}

/* The run is finished or dropped: back to the pool. The count goes down last, because for borrowed data it is
 * the sign that the loan is over. */
static void tx_release(struct tx *tx, struct tx_run *run)
{
    slice_release(&run->data);
    list_push_front(&tx->pool->free, &run->node); /* the warmest is used next */
    if (run->done_count)
        (*run->done_count)--;
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
        tx_release(tx, list_entry(node, struct tx_run, node));
    tx_abandon(tx);
    tx->queued_bytes = 0;
}

void tx_set_digests(struct tx *tx, bool header, bool data)
{
    tx->header_digest = header;
    tx->data_digest = data;
}

static uint32_t tx_run_len(const struct tx_run *run)
{
    return run->head_len + run->data.len + run->tail_len;
}

/* The run that the next PDU joins; NULL: it begins one. It may be on its way out already: what is lent of it
 * stays as it is. */
static struct tx_run *tx_last(const struct tx *tx)
{
    if (list_empty(&tx->queue))
        return NULL;
    struct tx_run *run = list_entry(tx->queue.prev, struct tx_run, node);
    bool takes = run->data.len == 0 && !run->done_count && run->head_len <= TX_RUN_LEN - TX_HEAD_MAX;
    return takes ? run : NULL;
}

/* The lengths are filled in here, from what is really sent, so that no caller can get them wrong. */
static void tx_head(const struct tx *tx, struct tx_run *run, const uint8_t *ahs, uint32_t ahs_len)
{
    uint8_t *head = run->head + run->head_len;
    uint32_t len = PDU_BHS_LEN + ahs_len;
    if (ahs_len)
        memcpy(head + PDU_BHS_LEN, ahs, ahs_len);         /* R7143-11.2-01 */
    head[4] = (uint8_t)(ahs_len / 4);                     /* R7143-11.2.1.5-01 */
    be24_put(head + 5, run->data.len);                    /* R7143-11.2.1.6-01, R7143-11.2.3-02 */
    if (tx->header_digest) {                              /* R7143-13.1-03 */
        digest_put(head + len, digest_crc32c(head, len)); /* R7143-11.2.3-01 */
        len += PDU_DIGEST_LEN;
    }
    run->head_len = (uint16_t)(run->head_len + len);
}

static void tx_tail(const struct tx *tx, struct tx_run *run)
{
    uint32_t pad = pdu_pad_len(run->data.len); /* R7143-11.1-01 */
    memset(run->tail, 0, pad);                 /* R7143-11.1-02 */
    run->tail_len = (uint8_t)pad;
    if (tx->data_digest) {
        uint32_t crc = digest_update_far(DIGEST_INIT, run->data.ptr, run->data.len);
        crc = digest_update(crc, run->tail, pad); /* R7143-13.1-04 */
        digest_put(run->tail + pad, digest_final(crc));
        run->tail_len = (uint8_t)(pad + PDU_DIGEST_LEN);
    }
}

/* Begins a run with what is open. */
static struct tx_run *tx_begin(struct tx *tx)
{
    struct tx_run *run = tx->open;
    tx->open = NULL;
    run->data = (struct slice){0};
    run->done_count = NULL;
    run->sent = 0;
    run->head_len = 0;
    run->tail_len = 0;
    list_push_back(&tx->queue, &run->node);
    return run;
}

/* Queues the PDU whose header has been written. */
static void tx_queue(struct tx *tx, const uint8_t *ahs, uint32_t ahs_len, struct slice *data,
                     uint32_t *done_count)
{
    assert(!data || data->len <= PDU_DATA_LEN_MAX);
    struct tx_run *last = tx_last(tx), *run = last ? last : tx_begin(tx);
    assert(tx->opened_at == run->head_len && "something was queued or sent meanwhile");
    uint32_t before = run->head_len;
    if (data && data->len) {
        run->data = *data;
        *data = (struct slice){0};
    } else if (data) {
        slice_release(data); /* an empty one may still hold a chunk */
    }
    run->done_count = done_count;
    if (done_count)
        (*done_count)++;
    tx_head(tx, run, ahs, ahs_len);
    if (run->data.len) /* R7143-11.2.3-03: only then are there padding and digest */
        tx_tail(tx, run);
    tx->queued_bytes += tx_run_len(run) - before;
}

uint8_t *tx_open(struct tx *tx)
{
    struct tx_run *run = tx_last(tx);
    if (!run && !tx->open)
        tx->open = tx_run_get(tx->pool);
    tx->opened_at = run ? run->head_len : 0;
    if (!run)
        run = tx->open;
    return run ? run->head + tx->opened_at : NULL;
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

/* The list may end within a run: tx_sent counts bytes, so the rest simply comes next time. */
uint32_t tx_gather(struct tx *tx, struct io_vec *places, uint32_t max)
{
    struct tx_list list = {places, 0, max};
    list_for_each(node, &tx->queue)
    {
        struct tx_run *run = list_entry(node, struct tx_run, node);
        uint32_t skip = run->sent; /* not 0 at most in the first */
        tx_place(&list, run->head, run->head_len, &skip);
        tx_place(&list, run->data.ptr, run->data.len, &skip);
        tx_place(&list, run->tail, run->tail_len, &skip);
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
        struct tx_run *run = list_first(&tx->queue, struct tx_run, node);
        uint32_t left = tx_run_len(run) - run->sent;
        if (len < left) {
            run->sent += (uint32_t)len;
            return;
        }
        len -= left;
        list_remove(&run->node);
        tx_release(tx, run);
    }
}

void tx_move(struct tx *tx, struct tx_pool *pool)
{
    assert(list_empty(&tx->queue));
    tx_abandon(tx);
    tx->pool = pool;
}
