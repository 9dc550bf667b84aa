/* Goal: what tx lends is exactly the wire form of the PDUs that were added, whatever the gather lists and
 * however little of them is sent; owners hear of the end, and nothing is copied, lost or allocated on the
 * way. Method: random PDUs through tx against the wire form that framer_harness.h builds by hand, with cuts
 * everywhere, and on into a framer; counting environments for memory. */
#include "tests/unit/framer_harness.h"

#include "common/base/err.h"
#include "common/iscsi/tx.h"
#include "tests/unit/proves.h"

#define PLACES_MAX 64u

struct fixture {
    struct env env;
    uint64_t allocations;
    uint64_t fail_from; /* the allocation (1 = first) from which on all fail; 0: none */
    int64_t live;
    struct tx_pool tx_pool;
    struct tx tx;
};

static void *counting_alloc(void *ctx, size_t size, size_t align)
{
    struct fixture *f = ctx;
    f->allocations++;
    if (f->fail_from && f->allocations >= f->fail_from)
        return NULL;
    f->live++;
    return env_host()->alloc(NULL, size, align);
}

static void counting_free(void *ctx, void *ptr)
{
    struct fixture *f = ctx;
    f->live -= ptr != NULL;
    env_host()->free(NULL, ptr);
}

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){.env = {.ctx = &f, .alloc = counting_alloc, .free = counting_free}};
    tx_pool_init(&f.tx_pool, &f.env);
    tx_init(&f.tx, &f.tx_pool);
    harness_rng = 4711;
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    tx_fini(&f->tx);
    tx_pool_fini(&f->tx_pool);
    return f->live == 0 ? 0 : -1;
}

/* What tx can send: AHS up to its limit, padding of zeros. */
static struct stream *sendable(bool header_digest, bool data_digest, unsigned count)
{
    struct stream *s = stream_new(header_digest, data_digest);
    for (unsigned i = 0; i < count; i++)
        stream_add(s, rnd(2) ? 0 : 4 * rnd(TX_AHS_MAX / 4 + 1), rnd(3) ? rnd(40) : rnd(6000), 0);
    return s;
}

static void add(struct tx *tx, const struct sample *p, uint32_t *done_count)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct slice data = slice_borrow(p->data, p->data_len);
    memcpy(bhs, p->bhs, sizeof bhs);
    memset(bhs + 4, 0x77, 4); /* the lengths are tx's business */
    assert_int_equal(
        tx_add(tx, bhs, p->ahs_len ? p->ahs : NULL, p->ahs_len, p->data_len ? &data : NULL, done_count), 0);
    assert_int_equal(data.len, 0);
}

static void add_all(struct fixture *f, const struct stream *s)
{
    tx_set_digests(&f->tx, s->header_digest, s->data_digest);
    for (size_t i = 0; i < s->count; i++)
        add(&f->tx, &s->pdus[i], NULL);
    assert_int_equal(f->tx.queued_bytes, s->len);
}

/* Sends at most `most` bytes through a list of at most `max` places into out; returns how many. */
static size_t send_some(struct tx *tx, size_t most, uint32_t max, uint8_t *out)
{
    struct io_vec places[PLACES_MAX + 1];
    size_t sent = 0;
    memset(places, 0xee, sizeof places);
    uint32_t count = tx_gather(tx, places, max);
    assert_true(count <= max);
    assert_int_equal(count == 0, !tx_pending(tx));
    for (uint32_t i = 0; i < count && sent < most; i++) {
        size_t part = places[i].len < most - sent ? places[i].len : most - sent;
        assert_true(places[i].len > 0);
        memcpy(out + sent, places[i].ptr, part);
        sent += part;
    }
    tx_sent(tx, sent);
    return sent;
}

static void the_wire_form_is_that_of_the_rfc(void **state)
{
    struct fixture *f = *state;
    for (unsigned digests = 0; digests < 4; digests++) {
        struct stream *s = sendable(digests & 1, digests >> 1, 100);
        uint8_t *out = malloc(s->len);
        size_t sent = 0;
        add_all(f, s);
        while (tx_pending(&f->tx))
            sent += send_some(&f->tx, SIZE_MAX, PLACES_MAX, out + sent);
        assert_int_equal(sent, s->len);
        assert_memory_equal(out, s->bytes, s->len);
        assert_int_equal(f->tx.queued_bytes, 0);
        free(out);
        stream_free(s);
    }
    PROVES("R7143-11.2-01", "both");
    PROVES("R7143-11.2.1.5-01", "both");
    PROVES("R7143-11.1-01", "both");
    PROVES("R7143-11.1-02", "both");
    PROVES("R7143-11.2.1.6-01", "both");
    PROVES("R7143-11.2.3-01", "both");
    PROVES("R7143-11.2.3-02", "both");
    PROVES("R7143-11.2.3-03", "both");
}

static void lists_of_any_length_and_any_progress_give_the_same_bytes(void **state)
{
    struct fixture *f = *state;
    for (unsigned digests = 0; digests < 4; digests++) {
        for (uint32_t max = 1; max <= 8; max++) {
            struct stream *s = sendable(digests & 1, digests >> 1, 25);
            uint8_t *out = malloc(s->len);
            size_t sent = 0;
            add_all(f, s);
            while (tx_pending(&f->tx)) {
                sent += send_some(&f->tx, rnd(3) ? rnd(200) : SIZE_MAX, max, out + sent);
                assert_int_equal(f->tx.queued_bytes, s->len - sent);
            }
            assert_int_equal(sent, s->len);
            assert_memory_equal(out, s->bytes, s->len);
            free(out);
            stream_free(s);
        }
    }
}

/* One PDU with all parts, and its successor: a cut at every byte, for every length of list. */
static void a_cut_at_every_byte_goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    struct stream *s = stream_new(true, true);
    stream_add(s, 8, 21, 0);
    stream_add(s, 0, 0, 0);
    uint8_t out[256];
    assert_true(s->len <= sizeof out);
    for (size_t cut = 0; cut <= s->len; cut++) {
        for (uint32_t max = 1; max <= 7; max++) {
            add_all(f, s);
            size_t sent = 0;
            while (sent < cut)
                sent += send_some(&f->tx, cut - sent, max, out + sent);
            while (tx_pending(&f->tx))
                sent += send_some(&f->tx, SIZE_MAX, max, out + sent);
            assert_int_equal(sent, s->len);
            assert_memory_equal(out, s->bytes, s->len);
        }
    }
    stream_free(s);
}

static void what_tx_sends_the_framer_takes(void **state)
{
    struct fixture *f = *state;
    for (unsigned digests = 0; digests < 4; digests++) {
        struct stream *s = sendable(digests & 1, digests >> 1, 120);
        struct host h;
        for (size_t i = 0; i < s->count; i++)
            s->pdus[i].choice = (enum choice)rnd(3);
        add_all(f, s);
        memset(s->bytes, 0, s->len); /* from here on the stream is what tx lends */
        for (size_t sent = 0; sent < s->len;)
            sent += send_some(&f->tx, 1 + rnd(3000), 1 + rnd(PLACES_MAX), s->bytes + sent);
        assert_false(tx_pending(&f->tx));
        host_init(&h, s, POOL_LIMIT);
        host_run(&h, 1 + rnd(5000), true, 4096);
        host_fini(&h);
        stream_free(s);
    }
}

static void data_is_lent_not_copied(void **state)
{
    struct fixture *f = *state;
    struct stream *s = stream_new(false, false);
    struct sample *p = stream_add(s, 0, 4096, 0);
    struct io_vec places[PLACES_MAX];
    add(&f->tx, p, NULL);
    assert_int_equal(tx_gather(&f->tx, places, PLACES_MAX), 2);
    assert_ptr_equal(places[1].ptr, p->data);
    assert_int_equal(places[1].len, 4096);
    tx_sent(&f->tx, PDU_BHS_LEN + 96);
    assert_int_equal(tx_gather(&f->tx, places, PLACES_MAX), 1);
    assert_ptr_equal(places[0].ptr, p->data + 96);
    tx_sent(&f->tx, 4000);
    stream_free(s);
}

static void a_loan_is_not_disturbed_by_more_pdus(void **state)
{
    struct fixture *f = *state;
    struct stream *s = sendable(true, true, 40);
    struct io_vec lent[PLACES_MAX];
    uint8_t *out = malloc(s->len);
    tx_set_digests(&f->tx, true, true);
    for (size_t i = 0; i < 10; i++)
        add(&f->tx, &s->pdus[i], NULL);
    uint32_t count = tx_gather(&f->tx, lent, PLACES_MAX);
    for (size_t i = 10; i < s->count; i++)
        add(&f->tx, &s->pdus[i], NULL);
    size_t sent = 0;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(out + sent, lent[i].ptr, lent[i].len);
        sent += lent[i].len;
    }
    assert_int_equal(sent, s->pdus[10].at);
    tx_sent(&f->tx, sent);
    while (tx_pending(&f->tx))
        sent += send_some(&f->tx, SIZE_MAX, PLACES_MAX, out + sent);
    assert_memory_equal(out, s->bytes, s->len);
    free(out);
    stream_free(s);
}

static void digests_apply_to_pdus_added_later(void **state)
{
    struct fixture *f = *state;
    struct stream *s = stream_new(false, false);
    stream_add(s, 0, 10, 0);
    s->header_digest = s->data_digest = true;
    stream_add(s, 0, 10, 0);
    uint8_t out[256];
    add(&f->tx, &s->pdus[0], NULL);
    tx_set_digests(&f->tx, true, true);
    add(&f->tx, &s->pdus[1], NULL);
    assert_int_equal(send_some(&f->tx, SIZE_MAX, PLACES_MAX, out), s->len);
    assert_memory_equal(out, s->bytes, s->len);
    stream_free(s);
}

/* ---- ownership ---- */

static void the_last_byte_ends_the_loan(void **state)
{
    struct fixture *f = *state;
    struct stream *s = stream_new(true, true);
    struct pool *pool;
    uint32_t done = 0;
    uint8_t byte;
    stream_add(s, 0, 9, 0);
    assert_int_equal(pool_new(env_host(), POOL_LIMIT, &pool), 0);
    tx_set_digests(&f->tx, true, true);
    for (unsigned i = 0; i < 2; i++) {
        struct slice data = slice_take(pool_get(pool, 9), 0, 9);
        memcpy(data.ptr, s->pdus[0].data, 9);
        assert_int_equal(tx_add(&f->tx, s->pdus[0].bhs, NULL, 0, &data, &done), 0);
        assert_null(data.chunk);
    }
    for (size_t n = 0; n < 2 * s->len; n++) {
        uint32_t left = n < s->len ? 2 : 1;
        assert_int_equal(done, left);
        assert_int_equal(pool_chunks_in_use(pool), left);
        assert_int_equal(send_some(&f->tx, 1, PLACES_MAX, &byte), 1);
    }
    assert_int_equal(done, 0);
    assert_int_equal(pool_chunks_in_use(pool), 0);
    pool_free(pool);
    stream_free(s);
}

static void dropping_the_queue_ends_all_loans(void **state)
{
    struct fixture *f = *state;
    struct pool *pool;
    struct pdu_nop_in nop;
    uint8_t bhs[PDU_BHS_LEN], out[60];
    uint32_t done = 0;
    assert_int_equal(pool_new(env_host(), POOL_LIMIT, &pool), 0);
    pdu_nop_in_init(&nop);
    pdu_nop_in_encode(&nop, bhs);
    for (unsigned i = 0; i < 5; i++) {
        struct slice data = slice_take(pool_get(pool, 100), 0, 100);
        memset(data.ptr, 0, 100);
        assert_int_equal(tx_add(&f->tx, bhs, NULL, 0, &data, &done), 0);
    }
    send_some(&f->tx, sizeof out, PLACES_MAX, out); /* also one that is on its way */
    assert_int_equal(done, 5);
    tx_fini(&f->tx);
    assert_int_equal(done, 0);
    assert_int_equal(f->tx.queued_bytes, 0);
    assert_false(tx_pending(&f->tx));
    assert_int_equal(pool_chunks_in_use(pool), 0);
    pool_free(pool);
}

static void without_memory_nothing_is_queued_and_nothing_taken(void **state)
{
    struct fixture *f = *state;
    struct stream *s = sendable(false, false, 2);
    uint8_t bytes[8] = {0};
    uint32_t done = 0;
    f->fail_from = 2;
    add(&f->tx, &s->pdus[0], &done);
    uint64_t queued = f->tx.queued_bytes;
    struct slice data = slice_borrow(bytes, sizeof bytes);
    assert_int_equal(tx_add(&f->tx, s->pdus[1].bhs, NULL, 0, &data, &done), ERR_NOMEM);
    assert_ptr_equal(data.ptr, bytes);
    assert_int_equal(data.len, sizeof bytes);
    assert_int_equal(done, 1);
    assert_int_equal(f->tx.queued_bytes, queued);
    f->fail_from = 0;
    assert_int_equal(tx_add(&f->tx, s->pdus[1].bhs, NULL, 0, &data, &done), 0);
    tx_fini(&f->tx);
    stream_free(s);
}

static void steady_state_does_not_touch_the_heap(void **state)
{
    struct fixture *f = *state;
    struct stream *s = sendable(true, true, 50);
    uint8_t *out = malloc(s->len);
    for (unsigned round = 0; round < 20; round++) {
        add_all(f, s);
        while (tx_pending(&f->tx))
            send_some(&f->tx, SIZE_MAX, PLACES_MAX, out);
        assert_int_equal(f->allocations, s->count);
        assert_int_equal(f->tx_pool.allocated, s->count);
    }
    free(out);
    stream_free(s);
}

static void an_empty_queue_moves_to_another_pool(void **state)
{
    struct fixture *f = *state;
    struct tx_pool other;
    struct stream *s = sendable(false, false, 3);
    uint8_t *out = malloc(s->len);
    add_all(f, s);
    while (tx_pending(&f->tx))
        send_some(&f->tx, SIZE_MAX, PLACES_MAX, out);
    tx_pool_init(&other, &f->env);
    tx_move(&f->tx, &other);
    add_all(f, s);
    assert_int_equal(other.allocated, 3);
    tx_fini(&f->tx);
    tx_pool_fini(&other);
    tx_move(&f->tx, &f->tx_pool);
    free(out);
    stream_free(s);
}

/* In two steps, or opened in vain first: the same bytes as in one. */
static void a_header_may_be_written_in_its_place(void **state)
{
    struct fixture *f = *state;
    for (int digests = 0; digests < 2; digests++) {
        struct stream *s = stream_new(digests, digests);
        for (uint32_t i = 0; i < 6; i++)
            stream_add(s, 0, i * 333, 0);
        uint8_t *out = malloc(s->len);
        uint32_t counts[6] = {0};
        tx_set_digests(&f->tx, digests, digests);
        for (uint32_t i = 0; i < 6; i++) {
            const struct sample *p = &s->pdus[i];
            struct slice data = slice_borrow(p->data, p->data_len);
            uint8_t *head = tx_open(&f->tx);
            assert_non_null(head);
            memset(head, 0xa5, PDU_BHS_LEN);
            assert_ptr_equal(tx_open(&f->tx), head); /* the first was in vain */
            if (i % 2) {
                assert_int_equal(tx_add(&f->tx, p->bhs, NULL, 0, &data, &counts[i]), 0);
            } else {
                memcpy(head, p->bhs, PDU_BHS_LEN);
                tx_close(&f->tx, &data, &counts[i]);
            }
            assert_int_equal(data.len, 0);
            assert_int_equal(counts[i], 1);
        }
        assert_int_equal(f->tx.queued_bytes, s->len);
        assert_int_equal(send_some(&f->tx, SIZE_MAX, PLACES_MAX, out), s->len);
        assert_memory_equal(out, s->bytes, s->len);
        for (uint32_t i = 0; i < 6; i++)
            assert_int_equal(counts[i], 0);
        free(out);
        stream_free(s);
    }
    assert_int_equal(f->tx_pool.allocated, 6);
    assert_non_null(tx_open(&f->tx)); /* what is never queued goes with the rest */
}

/* ---- runs ---- */

static void headers_without_data_share_a_place(void **state)
{
    struct fixture *f = *state;
    for (int digests = 0; digests < 2; digests++) {
        struct stream *s = stream_new(digests, digests);
        for (uint32_t i = 0; i < 60; i++)
            stream_add(s, i % 7 ? 0 : TX_AHS_MAX, i % 20 == 19 ? 100 : 0, 0); /* every twentieth with data */
        uint8_t *out = malloc(s->len);
        struct io_vec places[PLACES_MAX];
        add_all(f, s);
        uint32_t runs = (uint32_t)f->tx_pool.allocated; /* none is longer than it may be, none much shorter */
        assert_true(runs >= s->len / (TX_RUN_LEN + 100) && runs <= s->len / (TX_RUN_LEN - TX_HEAD_MAX) + 3);
        assert_int_equal(tx_gather(&f->tx, places, PLACES_MAX), runs + 3u * (digests ? 2 : 1));
        tx_sent(&f->tx, 0);
        assert_int_equal(send_some(&f->tx, SIZE_MAX, PLACES_MAX, out), s->len);
        assert_memory_equal(out, s->bytes, s->len);
        assert_false(tx_pending(&f->tx));
        free(out);
        stream_free(s);
        tx_pool_fini(&f->tx_pool);
        tx_pool_init(&f->tx_pool, &f->env);
    }
}

/* What is lent stays as it is, although more PDUs join its run; wherever the sending stops. */
static void a_run_grows_behind_what_is_lent(void **state)
{
    struct fixture *f = *state;
    for (uint32_t cut = 0; cut <= 2 * PDU_BHS_LEN; cut++) {
        struct stream *s = stream_new(false, false);
        for (uint32_t i = 0; i < 6; i++)
            stream_add(s, 0, i == 5 ? 9 : 0, 0);
        uint8_t out[8 * PDU_BHS_LEN];
        struct io_vec lent[PLACES_MAX];
        add(&f->tx, &s->pdus[0], NULL);
        add(&f->tx, &s->pdus[1], NULL);
        assert_int_equal(tx_gather(&f->tx, lent, PLACES_MAX), 1);
        for (uint32_t i = 2; i < 6; i++)
            add(&f->tx, &s->pdus[i], NULL);
        assert_int_equal(lent[0].len, 2 * PDU_BHS_LEN);
        memcpy(out, lent[0].ptr, cut);
        tx_sent(&f->tx, cut);
        assert_int_equal(f->tx.queued_bytes, s->len - cut);
        assert_int_equal(send_some(&f->tx, SIZE_MAX, PLACES_MAX, out + cut), s->len - cut);
        assert_memory_equal(out, s->bytes, s->len);
        assert_int_equal(f->tx_pool.allocated, 1);
        stream_free(s);
    }
}

/* The last byte of its PDU, not that of a run that others would make longer. */
static void who_waits_ends_a_run(void **state)
{
    struct fixture *f = *state;
    struct stream *s = stream_new(true, true);
    uint32_t done = 0;
    uint8_t byte;
    for (uint32_t i = 0; i < 4; i++)
        stream_add(s, 0, 0, 0);
    tx_set_digests(&f->tx, true, true);
    for (uint32_t i = 0; i < 4; i++)
        add(&f->tx, &s->pdus[i], i == 1 ? &done : NULL);
    for (size_t n = 0; n < s->len; n++) {
        assert_int_equal(done, n < s->pdus[2].at ? 1 : 0);
        assert_int_equal(send_some(&f->tx, 1, PLACES_MAX, &byte), 1);
        assert_int_equal(byte, s->bytes[n]);
    }
    stream_free(s);
}

static void an_empty_data_segment_is_let_go_at_once(void **state)
{
    struct fixture *f = *state;
    struct stream *s = stream_new(false, false);
    struct pool *pool;
    stream_add(s, 0, 0, 0);
    assert_int_equal(pool_new(env_host(), POOL_LIMIT, &pool), 0);
    for (uint32_t i = 0; i < 3; i++) {
        struct slice none = slice_take(pool_get(pool, 8), 0, 0);
        assert_int_equal(tx_add(&f->tx, s->pdus[0].bhs, NULL, 0, &none, NULL), 0);
        assert_null(none.chunk);
        assert_int_equal(pool_chunks_in_use(pool), 0);
    }
    pool_free(pool);
    stream_free(s);
}

static void without_memory_no_header_is_opened(void **state)
{
    struct fixture *f = *state;
    f->fail_from = 1;
    assert_null(tx_open(&f->tx));
    f->fail_from = 0;
    assert_non_null(tx_open(&f->tx));
}

/* An open header belongs to the pool that it came from. */
static void an_open_header_stays_behind(void **state)
{
    struct fixture *f = *state;
    struct tx_pool other;
    tx_pool_init(&other, &f->env);
    assert_non_null(tx_open(&f->tx));
    tx_move(&f->tx, &other);
    tx_pool_fini(&f->tx_pool);
    assert_non_null(tx_open(&f->tx));
    tx_fini(&f->tx);
    tx_pool_fini(&other);
    tx_pool_init(&f->tx_pool, &f->env);
    tx_init(&f->tx, &f->tx_pool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_wire_form_is_that_of_the_rfc),
        TEST(lists_of_any_length_and_any_progress_give_the_same_bytes),
        TEST(a_cut_at_every_byte_goes_on_where_it_was),
        TEST(what_tx_sends_the_framer_takes),
        TEST(data_is_lent_not_copied),
        TEST(a_loan_is_not_disturbed_by_more_pdus),
        TEST(digests_apply_to_pdus_added_later),
        TEST(the_last_byte_ends_the_loan),
        TEST(dropping_the_queue_ends_all_loans),
        TEST(without_memory_nothing_is_queued_and_nothing_taken),
        TEST(steady_state_does_not_touch_the_heap),
        TEST(an_empty_queue_moves_to_another_pool),
        TEST(a_header_may_be_written_in_its_place),
        TEST(headers_without_data_share_a_place),
        TEST(a_run_grows_behind_what_is_lent),
        TEST(who_waits_ends_a_run),
        TEST(an_empty_data_segment_is_let_go_at_once),
        TEST(without_memory_no_header_is_opened),
        TEST(an_open_header_stays_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
