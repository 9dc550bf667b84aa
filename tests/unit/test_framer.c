/* Goal: whatever the cuts, the same bytes give the same PDUs; data lies where the owner wanted it; digests,
 * limits and memory are watched; a stream of small PDUs costs few receives. Method: random streams with every
 * combination of digests, AHS, padding and owner's choice, built by hand and fed whole, byte by byte and in
 * random cuts by the host of framer_harness.h, which compares all that comes out; then single situations one
 * by one. */
#include "tests/unit/framer_harness.h"

#include "tests/unit/proves.h"

/* ---- chunking invariance ---- */

static void any_cuts_give_the_same_pdus(void **state)
{
    (void)state;
    for (unsigned digests = 0; digests < 4; digests++) {
        for (uint64_t seed = 1; seed <= 6; seed++) {
            harness_rng = 77 * seed + digests;
            struct stream *s = stream_random(digests & 1, digests >> 1, 60);
            static const struct {
                size_t cut;
                bool random;
                uint32_t chunk;
            } ways[] = {
                {SIZE_MAX, false, POOL_CLASS_MAX},
                {SIZE_MAX, false, FRAMER_CHUNK_LEN},
                {SIZE_MAX, false, 4096},
                {10, true, 4096},
                {100, true, 512},
                {9000, true, 8192},
                {200000, true, FRAMER_CHUNK_LEN},
            };
            for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
                struct host h;
                host_init(&h, s, POOL_LIMIT);
                host_run(&h, ways[w].cut, ways[w].random, ways[w].chunk);
                host_fini(&h);
            }
            stream_free(s);
        }
    }
}

static void byte_by_byte_gives_the_same_pdus(void **state)
{
    (void)state;
    for (unsigned digests = 0; digests < 4; digests++) {
        harness_rng = 5 + digests;
        struct stream *s = stream_random(digests & 1, digests >> 1, 25);
        struct host h;
        host_init(&h, s, POOL_LIMIT);
        host_run(&h, 1, false, 512);
        host_fini(&h);
        stream_free(s);
    }
}

/* Small enough to try them all: three PDUs, every pair of cuts. */
static void every_pair_of_cuts_gives_the_same_pdus(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        harness_rng = 100 + round;
        struct stream *s = stream_new(round & 1, round & 2);
        for (unsigned i = 0; i < 3; i++)
            stream_add(s, i == 1 ? 8 : 0, 5 + i, 0xa5)->choice = (enum choice)((round / 4 + i) % 3);
        for (size_t first = 1; first < s->len; first++) {
            for (size_t second = first; second < s->len; second++) {
                struct host h;
                host_init(&h, s, POOL_LIMIT);
                size_t cuts[] = {first, second, s->len};
                for (size_t i = 0; i < 3; i++) {
                    while (h.fed < cuts[i]) {
                        host_feed(&h, cuts[i] - h.fed, 512);
                        assert_int_equal(host_drain(&h), FRAMER_NEED_MORE);
                    }
                }
                assert_int_equal(h.told, 3);
                host_fini(&h);
            }
        }
        stream_free(s);
    }
    PROVES("R7143-11.1-01", "both");
    PROVES("R7143-11.2-01", "both");
    PROVES("R7143-11.2.3-02", "both");
}

static void every_ahs_length_and_padding_is_taken(void **state)
{
    (void)state;
    for (unsigned digests = 0; digests < 4; digests++) {
        struct stream *s = stream_new(digests & 1, digests >> 1);
        for (uint32_t words = 0; words < 256; words++)
            stream_add(s, 4 * words, words % 9, 0xff)->choice = (enum choice)(words % 3);
        struct host h;
        host_init(&h, s, POOL_LIMIT);
        host_run(&h, 700, true, 1024);
        host_fini(&h);
        stream_free(s);
    }
    PROVES("R7143-11.2.1.5-01", "both");
}

/* ---- where data goes ---- */

static struct chunk *chunk_of(struct pool *pool, const uint8_t *bytes, size_t len)
{
    struct chunk *chunk = pool_get(pool, (uint32_t)len);
    assert_non_null(chunk);
    memcpy(chunk->data, bytes, len);
    return chunk;
}

/* Feeds bytes [from, to) of the stream in one chunk. */
static void feed_chunk(struct host *h, size_t to)
{
    struct chunk *chunk = chunk_of(h->pool, h->s->bytes + h->fed, to - h->fed);
    framer_chunk(&h->f, chunk, (uint32_t)(to - h->fed));
    h->fed = to;
}

static void data_whole_in_its_chunk_is_not_copied(void **state)
{
    (void)state;
    struct stream *s = stream_new(true, true);
    struct sample *p = stream_add(s, 0, 1001, 0);
    struct framer_pdu *pdu;
    /* Whole, or with any part of padding and digest (7 bytes) still to come. */
    for (size_t missing = 0; missing <= 7; missing++) {
        struct host h;
        host_init(&h, s, POOL_LIMIT);
        struct chunk *chunk = chunk_of(h.pool, s->bytes, s->len - missing);
        framer_chunk(&h.f, chunk, (uint32_t)(s->len - missing));
        assert_int_equal(framer_next(&h.f, &pdu), FRAMER_HEADER);
        if (missing) {
            struct io_vec places[FRAMER_PLACES_MAX];
            assert_int_equal(framer_next(&h.f, &pdu), FRAMER_NEED_MORE);
            assert_int_equal(framer_room(&h.f, places), 2);
            assert_int_equal(places[0].len, missing);
            memcpy(places[0].ptr, s->bytes + s->len - missing, missing);
            framer_filled(&h.f, (uint32_t)missing);
        }
        assert_int_equal(framer_next(&h.f, &pdu), FRAMER_PDU);
        check_pdu(p, pdu);
        assert_ptr_equal(pdu->data.chunk, chunk);
        assert_ptr_equal(pdu->data.ptr, chunk->data + PDU_BHS_LEN + PDU_DIGEST_LEN);
        host_fini(&h);
    }
    stream_free(s);
}

/* Only behind a PDU that was told, and only when all of the header is there. */
static void the_header_behind_a_pdu_can_be_seen(void **state)
{
    (void)state;
    struct stream *s = stream_new(true, true);
    struct framer_pdu *pdu;
    stream_add(s, 0, 1001, 0);
    const size_t first = s->len;
    stream_add(s, 0, 20, 0);
    for (size_t more = 0; more <= PDU_BHS_LEN; more++) {
        struct host h;
        host_init(&h, s, POOL_LIMIT);
        struct chunk *chunk = chunk_of(h.pool, s->bytes, first + more);
        framer_chunk(&h.f, chunk, (uint32_t)(first + more));
        assert_null(framer_peek(&h.f));
        assert_int_equal(framer_next(&h.f, &pdu), FRAMER_HEADER);
        assert_null(framer_peek(&h.f));
        assert_int_equal(framer_next(&h.f, &pdu), FRAMER_PDU);
        if (more < PDU_BHS_LEN)
            assert_null(framer_peek(&h.f));
        else
            assert_memory_equal(framer_peek(&h.f), s->bytes + first, PDU_BHS_LEN);
        assert_int_equal(framer_next(&h.f, &pdu), FRAMER_NEED_MORE);
        assert_null(framer_peek(&h.f));
        host_fini(&h);
    }
    stream_free(s);
}

static void data_that_the_owner_keeps_outlives_the_framer(void **state)
{
    (void)state;
    struct stream *s = stream_new(false, false);
    struct slice kept[8];
    for (unsigned i = 0; i < 8; i++)
        stream_add(s, 0, 700, 0);
    struct host h;
    host_init(&h, s, POOL_LIMIT);
    feed_chunk(&h, s->len - 100); /* the last needs a chunk of its own */
    for (unsigned i = 0; i < 8; i++) {
        struct framer_pdu *pdu;
        enum framer_result got;
        while ((got = framer_next(&h.f, &pdu)) != FRAMER_PDU)
            if (got == FRAMER_NEED_MORE)
                feed_chunk(&h, s->len);
        if (i % 2) {
            kept[i] = slice_sub(&pdu->data, 0, pdu->data.len);
        } else {
            kept[i] = pdu->data;
            pdu->data = (struct slice){0};
        }
    }
    framer_fini(&h.f);
    for (unsigned i = 0; i < 8; i++) {
        assert_memory_equal(kept[i].ptr, s->pdus[i].data, 700);
        slice_release(&kept[i]);
    }
    host_fini(&h);
    stream_free(s);
}

/* Up to the middle of the data segment of the first PDU, which is placed. */
static uint32_t room_in_the_middle(struct host *h, struct io_vec *places)
{
    struct sample *p = &h->s->pdus[0];
    size_t header = PDU_BHS_LEN + (h->s->header_digest ? PDU_DIGEST_LEN : 0);
    p->choice = PLACE_IT;
    feed_chunk(h, header + p->data_len / 2);
    assert_int_equal(host_drain(h), FRAMER_NEED_MORE);
    uint32_t count = framer_room(&h->f, places);
    assert_ptr_equal(places[0].ptr, p->dest + p->data_len / 2);
    assert_int_equal(places[0].len, p->data_len - p->data_len / 2);
    return count;
}

static void room_behind_a_small_segment_is_a_whole_chunk(void **state)
{
    (void)state;
    for (unsigned scarce = 0; scarce < 2; scarce++) {
        struct stream *s = stream_new(false, true);
        struct io_vec places[FRAMER_PLACES_MAX];
        stream_add(s, 0, 1001, 0);
        struct host h;
        host_init(&h, s, POOL_LIMIT);
        struct chunk *held = scarce ? pool_get(h.pool, POOL_CLASS_MAX) : NULL; /* an eighth of the pool */
        assert_int_equal(room_in_the_middle(&h, places), 3);
        assert_int_equal(places[1].len, 3 + PDU_DIGEST_LEN);
        assert_int_equal(places[2].len, scarce ? FRAMER_CHUNK_LEN : FRAMER_STREAM_LEN);
        /* The same again while nothing came. */
        struct io_vec again[FRAMER_PLACES_MAX];
        framer_filled(&h.f, 0);
        assert_int_equal(framer_room(&h.f, again), 3);
        for (unsigned i = 0; i < 3; i++) {
            assert_ptr_equal(again[i].ptr, places[i].ptr);
            assert_int_equal(again[i].len, places[i].len);
        }
        chunk_unref(held);
        host_fini(&h);
        stream_free(s);
    }
}

static void room_behind_a_large_segment_is_the_next_header(void **state)
{
    (void)state;
    for (unsigned digest = 0; digest < 2; digest++) {
        struct stream *s = stream_new(digest, false);
        struct io_vec places[FRAMER_PLACES_MAX];
        stream_add(s, 0, FRAMER_DIRECT_LEN, 0);
        struct host h;
        host_init(&h, s, POOL_LIMIT);
        assert_int_equal(room_in_the_middle(&h, places), 2); /* neither padding nor digest */
        assert_int_equal(places[1].len, digest ? PDU_BHS_LEN + PDU_DIGEST_LEN : PDU_BHS_LEN);
        host_fini(&h);
        stream_free(s);
    }
}

/* What nobody wants to hear of before its data is there comes as a whole, also in pieces. */
static void only_chosen_headers_are_announced(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= 200; cut += 10) {
        struct stream *s = stream_new(false, false);
        for (unsigned i = 0; i < 4; i++)
            stream_add(s, 0, 100, 0);
        s->bytes[s->pdus[0].at] = s->bytes[s->pdus[2].at] = PDU_OP_scsi_command | 0x40; /* immediate */
        s->bytes[s->pdus[1].at] = s->bytes[s->pdus[3].at] = PDU_OP_data_out;
        struct host h;
        struct framer_pdu *pdu;
        unsigned told = 0, announced = 0;
        host_init(&h, s, POOL_LIMIT);
        framer_announce(&h.f, PDU_OP_data_out);
        for (size_t at = 0, part; at < s->len; at += part) {
            part = at == 0 && cut ? cut : s->len - at;
            struct chunk *chunk = pool_get(h.pool, (uint32_t)part);
            memcpy(chunk->data, s->bytes + at, part);
            framer_chunk(&h.f, chunk, (uint32_t)part);
            for (enum framer_result got; (got = framer_next(&h.f, &pdu)) != FRAMER_NEED_MORE;) {
                assert_int_equal(pdu_opcode(pdu->bhs), told % 2 ? PDU_OP_data_out : PDU_OP_scsi_command);
                assert_int_equal(got, told % 2 && announced < told / 2 + 1 ? FRAMER_HEADER : FRAMER_PDU);
                announced += got == FRAMER_HEADER;
                told += got == FRAMER_PDU;
                if (got == FRAMER_PDU)
                    assert_memory_equal(pdu->data.ptr, s->pdus[told - 1].data, 100);
            }
        }
        assert_int_equal(told, 4);
        assert_int_equal(announced, 2);
        host_fini(&h);
        stream_free(s);
    }
}

static void small_writes_cost_one_receive_per_chunk(void **state)
{
    (void)state;
    for (unsigned place = 0; place < 2; place++) {
        struct stream *s = stream_new(true, true);
        for (unsigned i = 0; i < PDUS_MAX; i++)
            stream_add(s, 0, 4096, 0)->choice = place ? PLACE_IT : LEAVE_IT;
        struct host h;
        host_init(&h, s, POOL_LIMIT);
        host_run(&h, SIZE_MAX, false, FRAMER_CHUNK_LEN);
        assert_true(h.receives <= s->len / FRAMER_CHUNK_LEN + 2);
        host_fini(&h);
        stream_free(s);
    }
}

static void large_placed_segments_are_received_in_place(void **state)
{
    (void)state;
    struct stream *s = stream_new(true, true);
    for (unsigned i = 0; i < 12; i++)
        stream_add(s, 0, 256u * 1024u, 0)->choice = PLACE_IT;
    struct host h;
    host_init(&h, s, POOL_LIMIT);
    host_run(&h, SIZE_MAX, false, FRAMER_CHUNK_LEN);
    /* Only the first chunk, taken before anything was known, is copied; then one receive per segment. */
    assert_true(h.direct >= 12u * 256u * 1024u - FRAMER_CHUNK_LEN);
    assert_true(h.receives <= 13);
    host_fini(&h);
    stream_free(s);
}

/* ---- memory ---- */

static void without_memory_nothing_is_lost(void **state)
{
    (void)state;
    struct stream *s = stream_new(true, true);
    stream_add(s, 0, 3000, 0);
    stream_add(s, 0, 60, 0);
    /* The data segment starts at the end of the chunk, or has not begun. */
    for (size_t first = 52; first <= 60; first += 8) {
        struct host h;
        host_init(&h, s, 4096 + 512);
        struct framer_pdu *pdu;
        struct chunk *hog = pool_get(h.pool, 4096);
        feed_chunk(&h, first);
        assert_int_equal(framer_next(&h.f, &pdu), FRAMER_HEADER);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(framer_next(&h.f, &pdu), FRAMER_NO_MEMORY);
            assert_int_equal(framer_unread_len(&h.f), first - 52);
        }
        chunk_unref(hog);
        assert_int_equal(framer_next(&h.f, &pdu), FRAMER_NEED_MORE);
        struct io_vec places[FRAMER_PLACES_MAX];
        assert_int_equal(framer_room(&h.f, places), 2); /* no chunk for what follows: not asked for more */
        assert_int_equal(places[0].len, 3000 - (first - 52));
        assert_int_equal(places[1].len, PDU_DIGEST_LEN);
        h.header_told = true;
        host_run(&h, 1000, false, 512);
        host_fini(&h);
    }
    stream_free(s);
}

static void skipping_holds_no_chunk(void **state)
{
    (void)state;
    struct stream *s = stream_new(false, true);
    stream_add(s, 0, 100001, 0)->choice = SKIP_IT;
    struct host h;
    host_init(&h, s, POOL_LIMIT);
    while (h.fed < s->len) {
        struct io_vec places[FRAMER_PLACES_MAX];
        assert_int_equal(framer_room(&h.f, places), 0);
        host_feed(&h, 512, 512);
        assert_int_equal(host_drain(&h), FRAMER_NEED_MORE);
        assert_int_equal(pool_chunks_in_use(h.pool), 0);
    }
    assert_int_equal(h.told, 1);
    host_fini(&h);
    stream_free(s);
}

static void steady_state_does_not_touch_the_heap(void **state)
{
    (void)state;
    struct stream *s = stream_new(false, false);
    for (unsigned i = 0; i < 200; i++)
        stream_add(s, 0, 4096, 0)->choice = (enum choice)(i % 3);
    struct host h;
    host_init(&h, s, POOL_LIMIT);
    uint64_t warm = 0;
    for (int round = 0; round < 3; round++) {
        h.fed = h.told = 0;
        host_run(&h, SIZE_MAX, false, FRAMER_CHUNK_LEN);
        if (round == 0)
            warm = pool_heap_allocations(h.pool);
    }
    assert_int_equal(pool_heap_allocations(h.pool), warm);
    host_fini(&h);
    stream_free(s);
}

/* ---- damage ---- */

static void a_wrong_byte_in_the_header_is_told(void **state)
{
    (void)state;
    struct stream *s = stream_new(true, false);
    struct sample *p = stream_add(s, 12, 5, 0);
    size_t header = PDU_BHS_LEN + p->ahs_len + PDU_DIGEST_LEN;
    /* A damaged TotalAHSLength makes the header longer: something has to follow. */
    stream_add(s, 0, 2000, 0);
    for (size_t i = 0; i < header; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct host h;
            struct framer_pdu *pdu;
            s->bytes[i] ^= (uint8_t)(1u << bit);
            host_init(&h, s, POOL_LIMIT);
            feed_chunk(&h, s->len);
            assert_int_equal(framer_next(&h.f, &pdu), FRAMER_HEADER_DIGEST);
            assert_memory_equal(pdu->bhs, s->bytes, PDU_BHS_LEN);
            s->bytes[i] ^= (uint8_t)(1u << bit);
            /* It stays so, takes no more bytes, and holds none. */
            h.fed = 0;
            assert_int_equal(framer_unread_len(&h.f), 0);
            feed_chunk(&h, s->len);
            assert_int_equal(framer_next(&h.f, &pdu), FRAMER_HEADER_DIGEST);
            assert_false(framer_idle(&h.f));
            assert_int_equal(pool_chunks_in_use(h.pool), 0);
            host_fini(&h);
        }
    }
    stream_free(s);
    PROVES("R7143-7.8-01", "both");
}

static void a_wrong_byte_in_the_data_is_told_and_the_stream_goes_on(void **state)
{
    (void)state;
    struct stream *s = stream_new(true, true);
    struct sample *p = stream_add(s, 0, 133, 0);
    stream_add(s, 0, 7, 0x11);
    size_t from = PDU_BHS_LEN + PDU_DIGEST_LEN;
    for (unsigned choice = 0; choice < 3; choice++) {
        for (size_t i = from; i < p->size; i++) { /* data, padding and digest */
            for (unsigned cut = 1; cut < 4; cut++) {
                struct host h;
                p->choice = (enum choice)choice;
                p->data_bad = true;
                s->bytes[i] ^= 0x10;
                host_init(&h, s, POOL_LIMIT);
                host_run(&h, cut == 3 ? SIZE_MAX : 50 * cut, false, 512);
                s->bytes[i] ^= 0x10;
                host_fini(&h);
            }
        }
    }
    stream_free(s);
    PROVES("R7143-11.2.3-01", "both");
    PROVES("R7143-13.1-04", "both");
}

static void without_data_there_is_no_data_digest(void **state)
{
    (void)state;
    struct stream *s = stream_new(false, true);
    for (unsigned i = 0; i < 4; i++)
        stream_add(s, 4 * i, 0, 0);
    assert_int_equal(s->len, 4 * PDU_BHS_LEN + 4 * 6);
    struct host h;
    host_init(&h, s, POOL_LIMIT);
    host_run(&h, 7, false, 512);
    host_fini(&h);
    stream_free(s);
    PROVES("R7143-11.2.3-03", "both");
}

/* ---- limits ---- */

static void more_data_than_allowed_breaks(void **state)
{
    (void)state;
    for (uint32_t over = 0; over < 2; over++) {
        struct stream *s = stream_new(true, false);
        stream_add(s, 0, 8192 + over, 0);
        struct host h;
        struct framer_pdu *pdu;
        host_init(&h, s, POOL_LIMIT);
        h.f.max_data = 8192;
        feed_chunk(&h, PDU_BHS_LEN + PDU_DIGEST_LEN);
        assert_int_equal(framer_next(&h.f, &pdu), over ? FRAMER_TOO_LONG : FRAMER_HEADER);
        assert_int_equal(pdu_data_len(pdu->bhs), 8192 + over);
        if (over)
            assert_int_equal(framer_next(&h.f, &pdu), FRAMER_TOO_LONG);
        host_fini(&h);
        stream_free(s);
    }
}

static void more_ahs_than_allowed_breaks_before_it_comes(void **state)
{
    (void)state;
    for (uint32_t over = 0; over < 2; over++) {
        struct stream *s = stream_new(false, false);
        stream_add(s, 64 + 4 * over, 0, 0);
        struct host h;
        struct framer_pdu *pdu;
        host_init(&h, s, POOL_LIMIT);
        h.f.max_ahs = 64;
        feed_chunk(&h, PDU_BHS_LEN);
        assert_int_equal(framer_next(&h.f, &pdu), over ? FRAMER_TOO_LONG : FRAMER_NEED_MORE);
        host_fini(&h);
        stream_free(s);
    }
}

static void the_longest_data_segment_fits(void **state)
{
    (void)state;
    for (unsigned choice = 0; choice < 3; choice++) {
        struct stream *s = stream_new(true, true);
        stream_add(s, 0, POOL_CLASS_MAX, 0)->choice = (enum choice)choice;
        stream_add(s, 0, POOL_CLASS_MAX - 1, 0)->choice =
            (enum choice)choice; /* padding to more than a chunk */
        struct host h;
        host_init(&h, s, POOL_LIMIT);
        host_run(&h, 300000, true, FRAMER_CHUNK_LEN);
        host_fini(&h);
        stream_free(s);
    }
}

/* ---- the owner changes its mind ---- */

static void an_unplaced_segment_is_skipped_and_its_digest_still_counts(void **state)
{
    (void)state;
    for (unsigned bad = 0; bad < 2; bad++) {
        struct stream *s = stream_new(true, true);
        struct sample *p = stream_add(s, 0, 301, 0x5a);
        stream_add(s, 0, 99, 0)->choice = PLACE_IT;
        size_t header = PDU_BHS_LEN + PDU_DIGEST_LEN;
        if (bad)
            s->bytes[header + 150] ^= 1;
        for (size_t cut = header; cut < p->size; cut++) {
            struct host h;
            struct io_vec places[FRAMER_PLACES_MAX];
            host_init(&h, s, POOL_LIMIT);
            p->choice = PLACE_IT;
            p->data_bad = bad;
            feed_chunk(&h, cut);
            assert_int_equal(host_drain(&h), FRAMER_NEED_MORE);
            assert_true(framer_room(&h.f, places) > 0);
            framer_unplace(&h.f);
            framer_unplace(&h.f);               /* harmless */
            memset(p->dest, 0xdd, p->data_len); /* it has gone: neither read nor written from here on */
            p->choice = SKIP_IT;
            assert_int_equal(pool_chunks_in_use(h.pool), 0);
            host_run(&h, 77, false, 512);
            for (uint32_t i = 0; i < p->data_len; i++)
                assert_int_equal(p->dest[i], 0xdd);
            host_fini(&h);
        }
        stream_free(s);
    }
}

static void unplace_is_harmless_elsewhere(void **state)
{
    (void)state;
    struct stream *s = stream_new(false, false);
    stream_add(s, 0, 600, 0);
    struct host h;
    struct framer_pdu *pdu;
    host_init(&h, s, POOL_LIMIT);
    framer_unplace(&h.f);
    feed_chunk(&h, 300);
    framer_unplace(&h.f);
    assert_int_equal(framer_next(&h.f, &pdu), FRAMER_HEADER);
    framer_unplace(&h.f);
    assert_int_equal(framer_next(&h.f, &pdu), FRAMER_NEED_MORE);
    framer_unplace(&h.f); /* a chunk of the framer's own is not the owner's place */
    host_feed(&h, 1000, 512);
    assert_int_equal(framer_next(&h.f, &pdu), FRAMER_PDU);
    framer_unplace(&h.f);
    check_pdu(&s->pdus[0], pdu);
    host_fini(&h);
    stream_free(s);
}

/* A host may answer places with a chunk, as when it was asked before the header came. */
static void a_chunk_instead_of_the_places_is_fine(void **state)
{
    (void)state;
    struct stream *s = stream_new(true, true);
    for (unsigned i = 0; i < 20; i++)
        stream_add(s, 0, 1 + rnd(3000), 0)->choice = (enum choice)(i % 3);
    struct host h;
    host_init(&h, s, POOL_LIMIT);
    while (h.fed < s->len) {
        struct io_vec places[FRAMER_PLACES_MAX];
        if (rnd(2))
            framer_room(&h.f, places);
        feed_chunk(&h, s->len - h.fed < 512 ? s->len : h.fed + 1 + rnd(512));
        assert_int_equal(host_drain(&h), FRAMER_NEED_MORE);
    }
    assert_int_equal(h.told, s->count);
    assert_int_equal(pool_chunks_in_use(h.pool), 0);
    host_fini(&h);
    stream_free(s);
}

/* ---- login's end, and placement ---- */

/* The last PDU of login may have data or not; what follows it may be there already. */
static void digests_start_behind_the_pdu_that_is_told(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        struct stream *s = stream_new(false, false);
        stream_add(s, 0, round & 1 ? 30 : 0, 0);
        s->header_digest = s->data_digest = true;
        stream_add(s, 4, 21, 0);
        stream_add(s, 0, 0, 0);
        struct host h;
        struct framer_pdu *pdu;
        host_init(&h, s, POOL_LIMIT);
        framer_set_digests(&h.f, false, false);
        feed_chunk(&h, round & 2 ? s->len : s->pdus[0].size);
        if (round & 1)
            assert_int_equal(framer_next(&h.f, &pdu), FRAMER_HEADER);
        assert_int_equal(framer_next(&h.f, &pdu), FRAMER_PDU);
        assert_int_equal(framer_idle(&h.f), !(round & 2));
        framer_set_digests(&h.f, true, true);
        h.told = 1;
        assert_int_equal(host_drain(&h), FRAMER_NEED_MORE);
        if (h.fed < s->len)
            host_run(&h, 5, false, 512);
        assert_int_equal(h.told, 3);
        host_fini(&h);
        stream_free(s);
    }
}

static void digests_may_start_within_a_basic_header(void **state)
{
    (void)state;
    struct stream *s = stream_new(true, true);
    stream_add(s, 4, 21, 0);
    struct host h;
    host_init(&h, s, POOL_LIMIT);
    framer_set_digests(&h.f, false, false);
    feed_chunk(&h, PDU_BHS_LEN - 1);
    assert_int_equal(host_drain(&h), FRAMER_NEED_MORE);
    framer_set_digests(&h.f, true, true);
    host_run(&h, 5, false, 512);
    host_fini(&h);
    stream_free(s);
}

/* Moves the framer to another pool, as another reactor would: nothing of the old one may be touched after. */
static void move(struct host *h)
{
    uint32_t len = framer_unread_len(&h->f);
    uint8_t *copy = malloc(len + 1u);
    bool ok;
    assert_non_null(copy);
    framer_detach(&h->f, copy);
    assert_int_equal(pool_chunks_in_use(h->pool), 0);
    pool_free(h->pool);
    struct pool *full;
    assert_int_equal(pool_new(env_host(), 0, &full), 0);
    framer_attach(&h->f, full, copy, len, &ok);
    assert_int_equal(ok, len == 0);
    pool_free(full);
    assert_int_equal(pool_new(env_host(), POOL_LIMIT, &h->pool), 0);
    framer_attach(&h->f, h->pool, copy, len, &ok); /* a second try finds room */
    assert_true(ok);
    assert_int_equal(framer_unread_len(&h->f), len);
    free(copy);
}

static void a_framer_moves_between_pdus_with_what_was_read_ahead(void **state)
{
    (void)state;
    for (unsigned digests = 0; digests < 4; digests++) {
        harness_rng = 900 + digests;
        struct stream *s = stream_random(digests & 1, digests >> 1, 40);
        struct host h;
        host_init(&h, s, POOL_LIMIT);
        while (h.told < s->count) {
            struct framer_pdu *pdu;
            struct sample *p = &s->pdus[h.told];
            enum framer_result got = framer_next(&h.f, &pdu);
            if (got == FRAMER_HEADER && p->choice == PLACE_IT)
                framer_place(&h.f, p->dest);
            if (got == FRAMER_HEADER && p->choice == SKIP_IT)
                framer_skip(&h.f);
            if (got == FRAMER_NEED_MORE) {
                if (h.f.stage != FRAMER_AT_DATA) { /* perhaps within a header */
                    move(&h);
                    assert_int_equal(framer_next(&h.f, &pdu), FRAMER_NEED_MORE);
                }
                host_feed(&h, 1 + rnd(20000), 16384);
            }
            if (got == FRAMER_PDU) {
                check_pdu(p, pdu);
                h.told++;
                move(&h);
            }
        }
        host_fini(&h);
        stream_free(s);
    }
}

static void idle_means_no_byte_of_the_next_pdu(void **state)
{
    (void)state;
    struct stream *s = stream_new(false, false);
    stream_add(s, 0, 0, 0);
    stream_add(s, 0, 4, 0);
    struct host h;
    struct framer_pdu *pdu;
    host_init(&h, s, POOL_LIMIT);
    assert_true(framer_idle(&h.f));
    feed_chunk(&h, 1);
    assert_false(framer_idle(&h.f));
    assert_int_equal(framer_next(&h.f, &pdu), FRAMER_NEED_MORE);
    assert_false(framer_idle(&h.f));
    feed_chunk(&h, PDU_BHS_LEN);
    assert_int_equal(framer_next(&h.f, &pdu), FRAMER_PDU);
    assert_true(framer_idle(&h.f)); /* told, without data */
    assert_int_equal(framer_next(&h.f, &pdu), FRAMER_NEED_MORE);
    assert_true(framer_idle(&h.f));
    feed_chunk(&h, s->len);
    assert_int_equal(framer_next(&h.f, &pdu), FRAMER_HEADER);
    assert_false(framer_idle(&h.f));
    assert_int_equal(framer_next(&h.f, &pdu), FRAMER_PDU);
    assert_true(framer_idle(&h.f)); /* told, with data */
    host_fini(&h);
    stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cuts_give_the_same_pdus),
        cmocka_unit_test(byte_by_byte_gives_the_same_pdus),
        cmocka_unit_test(every_pair_of_cuts_gives_the_same_pdus),
        cmocka_unit_test(every_ahs_length_and_padding_is_taken),
        cmocka_unit_test(data_whole_in_its_chunk_is_not_copied),
        cmocka_unit_test(the_header_behind_a_pdu_can_be_seen),
        cmocka_unit_test(data_that_the_owner_keeps_outlives_the_framer),
        cmocka_unit_test(room_behind_a_small_segment_is_a_whole_chunk),
        cmocka_unit_test(only_chosen_headers_are_announced),
        cmocka_unit_test(room_behind_a_large_segment_is_the_next_header),
        cmocka_unit_test(small_writes_cost_one_receive_per_chunk),
        cmocka_unit_test(large_placed_segments_are_received_in_place),
        cmocka_unit_test(without_memory_nothing_is_lost),
        cmocka_unit_test(skipping_holds_no_chunk),
        cmocka_unit_test(steady_state_does_not_touch_the_heap),
        cmocka_unit_test(a_wrong_byte_in_the_header_is_told),
        cmocka_unit_test(a_wrong_byte_in_the_data_is_told_and_the_stream_goes_on),
        cmocka_unit_test(without_data_there_is_no_data_digest),
        cmocka_unit_test(more_data_than_allowed_breaks),
        cmocka_unit_test(more_ahs_than_allowed_breaks_before_it_comes),
        cmocka_unit_test(the_longest_data_segment_fits),
        cmocka_unit_test(an_unplaced_segment_is_skipped_and_its_digest_still_counts),
        cmocka_unit_test(unplace_is_harmless_elsewhere),
        cmocka_unit_test(a_chunk_instead_of_the_places_is_fine),
        cmocka_unit_test(digests_start_behind_the_pdu_that_is_told),
        cmocka_unit_test(digests_may_start_within_a_basic_header),
        cmocka_unit_test(a_framer_moves_between_pdus_with_what_was_read_ahead),
        cmocka_unit_test(idle_means_no_byte_of_the_next_pdu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
