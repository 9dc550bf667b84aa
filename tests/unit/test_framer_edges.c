/* Goal: the framer at its limits: what stays of a PDU in the next one, what is left of a stream that broke,
 * headers and segments that just fit a place, when it is idle, what it lends at each point of a segment, what
 * it holds. Method: small streams cut at every byte, every field looked at after each step, the pool's
 * counts. */
#include "tests/unit/framer_harness.h"

static struct pool *pool;
static struct framer f;
static struct framer_pdu *pdu;

static void open_framer(uint32_t max_data, bool header_digest, bool data_digest)
{
    assert_int_equal(pool_new(env_host(), POOL_LIMIT, &pool), 0);
    memset(&f, 0xa5, sizeof f); /* whatever lay there */
    framer_init(&f, pool, max_data);
    framer_set_digests(&f, header_digest, data_digest);
}

static void close_framer(void)
{
    framer_fini(&f);
    assert_int_equal(pool_chunks_in_use(pool), 0);
    pool_free(pool);
}

static struct chunk *bring(const struct stream *s, size_t at, size_t len)
{
    struct chunk *chunk = pool_get(pool, (uint32_t)len ? (uint32_t)len : 1);
    assert_non_null(chunk);
    memcpy(chunk->data, s->bytes + at, len);
    framer_chunk(&f, chunk, (uint32_t)len);
    return chunk;
}

/* Each kind of PDU behind each other kind: nothing of the one is in the next. */
static void a_pdu_takes_nothing_over_from_the_one_before(void **state)
{
    (void)state;
    enum kind { NOTHING, LEFT, PLACED, SKIPPED, WITH_AHS, KINDS };
    static uint8_t dest[600];
    for (unsigned n = 0; n < KINDS * KINDS * 2; n++) {
        const enum kind kinds[2] = {n % KINDS, n / KINDS % KINDS};
        bool bad = n / KINDS / KINDS; /* the first one's data digest */
        struct stream *s = stream_new(true, true);
        for (int i = 0; i < 2; i++)
            stream_add(s, kinds[i] == WITH_AHS ? 40 : 0,
                       kinds[i] == NOTHING || kinds[i] == WITH_AHS ? 0 : 500 + (uint32_t)i, 7);
        if (bad)
            s->bytes[s->pdus[0].at + s->pdus[0].size - 1] ^= s->pdus[0].data_len ? 1 : 0;
        open_framer(8192, true, true);
        bring(s, 0, s->len);
        for (int i = 0; i < 2; i++) {
            const struct sample *p = &s->pdus[i];
            if (p->data_len) {
                assert_int_equal(framer_next(&f, &pdu), FRAMER_HEADER);
                assert_false(pdu->placed || pdu->skipped || pdu->data_digest_bad);
                if (kinds[i] == PLACED)
                    framer_place(&f, dest);
                else if (kinds[i] == SKIPPED)
                    framer_skip(&f);
            }
            assert_int_equal(framer_next(&f, &pdu), FRAMER_PDU);
            assert_int_equal(pdu->placed, kinds[i] == PLACED);
            assert_int_equal(pdu->skipped, kinds[i] == SKIPPED);
            assert_int_equal(pdu->data_digest_bad, bad && !i && p->data_len);
            assert_int_equal(pdu->data_len, p->data_len);
            assert_int_equal(pdu->data.len, kinds[i] == LEFT ? p->data_len : 0);
            assert_int_equal(pdu->data.chunk != NULL, kinds[i] == LEFT);
            assert_int_equal(pdu->ahs_len, p->ahs_len);
            assert_memory_equal(pdu->bhs, p->bhs, PDU_BHS_LEN);
            if (p->ahs_len)
                assert_memory_equal(pdu->ahs, p->ahs, p->ahs_len);
            else
                assert_null(pdu->ahs);
            if (kinds[i] == LEFT)
                assert_memory_equal(pdu->data.ptr, p->data, p->data_len);
            if (kinds[i] == PLACED)
                assert_memory_equal(dest, p->data, p->data_len);
        }
        assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
        assert_true(framer_idle(&f));
        assert_int_equal(pool_chunks_in_use(pool), 0);
        close_framer();
        stream_free(s);
    }
}

/* Broken by its header digest, its data length or its AHS length, with and without additional segments. */
static void what_is_left_of_a_broken_stream_is_its_header(void **state)
{
    (void)state;
    enum { DIGEST, DATA, AHS };
    for (int why = 0; why < 3; why++) {
        for (uint32_t ahs_len = 0; ahs_len <= 64; ahs_len += 32) {
            struct stream *s = stream_new(true, false);
            stream_add(s, ahs_len, why == DATA ? 101 : 100, 0);
            if (why == DIGEST)
                s->bytes[PDU_BHS_LEN + ahs_len] ^= 1;
            open_framer(100, true, false);
            if (why == AHS)
                f.max_ahs = ahs_len - 4;
            if (why == AHS && !ahs_len) {
                close_framer();
                stream_free(s);
                continue;
            }
            bring(s, 0, s->len);
            for (int again = 0; again < 3; again++) {
                assert_int_equal(framer_next(&f, &pdu),
                                 why == DIGEST ? FRAMER_HEADER_DIGEST : FRAMER_TOO_LONG);
                assert_memory_equal(pdu->bhs, s->bytes, PDU_BHS_LEN);
                assert_null(pdu->ahs);
                assert_int_equal(framer_unread_len(&f), 0);
                assert_int_equal(pool_chunks_in_use(pool), 0);
                struct io_vec places[FRAMER_PLACES_MAX];
                assert_int_equal(framer_room(&f, places), 0);
                assert_false(framer_idle(&f));
                framer_set_digests(&f, true, false); /* harmless */
                framer_unplace(&f);
                bring(s, 0, s->len); /* is dropped */
                assert_int_equal(pool_chunks_in_use(pool), 0);
            }
            close_framer();
            stream_free(s);
        }
    }
}

/* As much as is allowed, exactly. */
static void limits_may_be_reached(void **state)
{
    (void)state;
    for (uint32_t ahs_len = 0; ahs_len <= PDU_AHS_LEN_MAX; ahs_len += 4) {
        struct stream *s = stream_new(true, true);
        stream_add(s, ahs_len, 100, 0);
        open_framer(100, true, true);
        f.max_ahs = ahs_len;
        bring(s, 0, s->len);
        assert_int_equal(framer_next(&f, &pdu), FRAMER_HEADER);
        assert_int_equal(framer_next(&f, &pdu), FRAMER_PDU);
        assert_false(pdu->data_digest_bad);
        close_framer();
        stream_free(s);
    }
}

/* A header without additional segments needs no memory, with its digest or without; one with segments a
 * chunk. */
static void only_additional_segments_need_memory(void **state)
{
    (void)state;
    for (int digest = 0; digest < 2; digest++) {
        for (uint32_t ahs_len = 0; ahs_len <= 8; ahs_len += 4) {
            struct stream *s = stream_new(digest, false);
            static struct chunk *hog[POOL_LIMIT / POOL_CLASS_MIN];
            unsigned hogs = 0;
            stream_add(s, ahs_len, 0, 0);
            open_framer(100, digest, false);
            bring(s, 0, s->len);
            while ((hog[hogs] = pool_get(pool, POOL_CLASS_MIN)) != NULL)
                hogs++;
            /* The header's field of 52 bytes holds a digest or four bytes of segments, not both. */
            bool fits = ahs_len + (digest ? PDU_DIGEST_LEN : 0) <= PDU_DIGEST_LEN;
            assert_int_equal(framer_next(&f, &pdu), fits ? FRAMER_PDU : FRAMER_NO_MEMORY);
            if (!fits) {
                assert_int_equal(framer_next(&f, &pdu), FRAMER_NO_MEMORY);
                chunk_unref(hog[--hogs]);
                assert_int_equal(framer_next(&f, &pdu), FRAMER_PDU);
            }
            assert_memory_equal(pdu->bhs, s->bytes, PDU_BHS_LEN + ahs_len);
            while (hogs)
                chunk_unref(hog[--hogs]);
            close_framer();
            stream_free(s);
        }
    }
}

/* Data that ends where its chunk ends, or one byte before or behind: only what is not whole there is copied.
 */
static void data_that_ends_with_its_chunk_is_a_view(void **state)
{
    (void)state;
    for (int cut = -1; cut <= 1; cut++) {
        for (uint32_t len = 1000; len < 1004; len++) {
            struct stream *s = stream_new(false, true);
            stream_add(s, 0, len, 9);
            open_framer(8192, false, true);
            size_t first = PDU_BHS_LEN + len + (size_t)cut;
            const struct chunk *chunk = bring(s, 0, first);
            const uint8_t *there = chunk->data + PDU_BHS_LEN;
            assert_int_equal(framer_next(&f, &pdu), FRAMER_HEADER);
            assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
            struct io_vec places[FRAMER_PLACES_MAX];
            uint32_t total = len + (-len & 3u) + PDU_DIGEST_LEN, have = (uint32_t)(first - PDU_BHS_LEN);
            assert_int_equal(framer_room(&f, places), cut < 0 ? 3 : 2);
            assert_int_equal(places[cut < 0 ? 1 : 0].len, total - (cut < 0 ? len : have));
            if (cut < 0)
                assert_int_equal(places[0].len, 1);
            for (size_t i = 0; have < total; i++) {
                memcpy(places[i].ptr, s->bytes + PDU_BHS_LEN + have, places[i].len);
                have += (uint32_t)places[i].len;
            }
            framer_filled(&f, total - (uint32_t)(first - PDU_BHS_LEN));
            assert_int_equal(framer_next(&f, &pdu), FRAMER_PDU);
            assert_false(pdu->data_digest_bad);
            assert_int_equal(pdu->data.ptr == there, cut >= 0);
            assert_memory_equal(pdu->data.ptr, s->pdus[0].data, len);
            assert_int_equal(pool_chunks_in_use(pool), 1); /* the room behind it has been given back */
            close_framer();
            stream_free(s);
        }
    }
}

/* After every number of bytes: idle only between PDUs; unread bytes are all that it has not looked at. */
static void it_is_idle_only_between_pdus(void **state)
{
    (void)state;
    struct stream *s = stream_new(true, true);
    stream_add(s, 8, 10, 0);
    stream_add(s, 0, 0, 0);
    size_t first = s->pdus[0].size, second = s->pdus[1].size;
    for (size_t cut = 0; cut <= s->len; cut++) {
        open_framer(8192, true, true);
        assert_true(framer_idle(&f));
        bring(s, 0, cut);
        assert_int_equal(framer_unread_len(&f), cut);
        assert_int_equal(framer_idle(&f), cut == 0);
        unsigned told = 0;
        enum framer_result got;
        while ((got = framer_next(&f, &pdu)) != FRAMER_NEED_MORE) {
            assert_true(got == FRAMER_HEADER || got == FRAMER_PDU);
            told += got == FRAMER_PDU;
            if (got == FRAMER_PDU)
                assert_int_equal(framer_idle(&f), cut == (told == 1 ? first : first + second));
            else
                assert_false(framer_idle(&f));
        }
        assert_int_equal(told, (cut >= first) + (cut >= first + second));
        assert_int_equal(framer_idle(&f), cut == 0 || cut == first || cut == first + second);
        /* What has been taken of a header that lies in a chunk still counts as unread. */
        bool in_long = cut > PDU_BHS_LEN && cut < PDU_BHS_LEN + 8 + PDU_DIGEST_LEN;
        if (cut < PDU_BHS_LEN || in_long || cut > first)
            assert_int_equal(framer_unread_len(&f), in_long ? cut : 0);
        close_framer();
    }
    stream_free(s);
}

/* Moved to another pool at every byte between data segments: nothing is lost, nothing stays behind. */
static void it_moves_at_every_byte_of_a_header(void **state)
{
    (void)state;
    for (uint32_t ahs_len = 0; ahs_len <= 40; ahs_len += 20) {
        struct stream *s = stream_new(true, false);
        stream_add(s, ahs_len, 0, 0);
        stream_add(s, ahs_len, 0, 0);
        for (size_t cut = 0; cut <= s->len; cut++) {
            static uint8_t copy[1024];
            struct pool *next;
            bool ok;
            unsigned told = 0;
            open_framer(8192, true, false);
            bring(s, 0, cut);
            while (framer_next(&f, &pdu) == FRAMER_PDU)
                told++;
            assert_int_equal(told, cut / s->pdus[0].size);
            uint32_t len = framer_unread_len(&f);
            framer_detach(&f, copy);
            assert_int_equal(pool_chunks_in_use(pool), 0);
            assert_null(f.pool);
            assert_int_equal(pool_new(env_host(), POOL_LIMIT, &next), 0);
            framer_attach(&f, next, copy, len, &ok);
            assert_true(ok);
            assert_ptr_equal(f.pool, next);
            pool_free(pool);
            pool = next;
            assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
            bring(s, cut, s->len - cut);
            while (framer_next(&f, &pdu) == FRAMER_PDU) {
                assert_memory_equal(pdu->bhs, s->pdus[told].bhs, PDU_BHS_LEN);
                if (ahs_len)
                    assert_memory_equal(pdu->ahs, s->pdus[told].ahs, ahs_len);
                told++;
            }
            assert_int_equal(told, 2);
            close_framer();
        }
        stream_free(s);
    }
}

/* Unplaced after every byte: the digest is still that of the whole, right or wrong. */
static void a_digest_survives_losing_its_place_at_any_byte(void **state)
{
    (void)state;
    static uint8_t dest[64];
    for (int bad = 0; bad < 2; bad++) {
        for (uint32_t data_len = 29; data_len < 33; data_len++) {
            struct stream *s = stream_new(false, true);
            stream_add(s, 0, data_len, 0x77);
            if (bad)
                s->bytes[PDU_BHS_LEN + 3] ^= 0x10;
            for (size_t cut = PDU_BHS_LEN; cut < s->len; cut++) {
                open_framer(8192, false, true);
                bring(s, 0, cut);
                assert_int_equal(framer_next(&f, &pdu), FRAMER_HEADER);
                framer_place(&f, dest);
                assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
                struct io_vec places[FRAMER_PLACES_MAX];
                assert_true(framer_room(&f, places) >= 2);
                framer_filled(&f, 0);
                framer_unplace(&f);
                memset(dest, 0xcc, sizeof dest); /* it is somebody else's now */
                assert_int_equal(framer_room(&f, places), 0);
                assert_int_equal(pool_chunks_in_use(pool), 0);
                bring(s, cut, s->len - cut);
                assert_int_equal(framer_next(&f, &pdu), FRAMER_PDU);
                assert_true(pdu->skipped && !pdu->placed);
                assert_int_equal(pdu->data_digest_bad, bad);
                for (size_t i = 0; i < sizeof dest; i++)
                    assert_int_equal(dest[i], 0xcc);
                close_framer();
            }
            stream_free(s);
        }
    }
}

/* Segments around the length from which they count as large; what is lent behind them, and what it becomes.
 */
static void room_changes_where_a_segment_is_large(void **state)
{
    (void)state;
    static uint8_t dest[FRAMER_DIRECT_LEN + 8];
    for (int digest = 0; digest < 2; digest++) {
        for (uint32_t len = FRAMER_DIRECT_LEN - 4; len <= FRAMER_DIRECT_LEN + 4; len += 4) {
            struct stream *s = stream_new(digest, false);
            stream_add(s, 0, len, 0);
            stream_add(s, 0, 0, 0);
            size_t header = PDU_BHS_LEN + (digest ? PDU_DIGEST_LEN : 0);
            for (uint32_t more = 0; more <= header; more += (uint32_t)header / 2) {
                open_framer(FRAMER_DIRECT_LEN + 4, digest, false);
                bring(s, 0, header);
                assert_int_equal(framer_next(&f, &pdu), FRAMER_HEADER);
                framer_place(&f, dest);
                assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
                struct io_vec places[FRAMER_PLACES_MAX];
                assert_int_equal(framer_room(&f, places), 2);
                assert_ptr_equal(places[0].ptr, dest);
                assert_int_equal(places[0].len, len);
                assert_int_equal(places[1].len, len < FRAMER_DIRECT_LEN ? FRAMER_STREAM_LEN : header);
                memcpy(dest, s->bytes + header, len);
                memcpy(places[1].ptr, s->bytes + s->pdus[1].at, more);
                framer_filled(&f, len + more);
                assert_int_equal(framer_unread_len(&f), more);
                assert_int_equal(pool_chunks_in_use(pool), more ? 1 : 0);
                assert_int_equal(framer_next(&f, &pdu), FRAMER_PDU);
                assert_true(pdu->placed);
                assert_int_equal(framer_next(&f, &pdu), more == header ? FRAMER_PDU : FRAMER_NEED_MORE);
                assert_int_equal(pool_chunks_in_use(pool), 0);
                close_framer();
            }
            stream_free(s);
        }
    }
}

/* Behind a large data segment only the next header is asked for, so that its data can be received to where it
 * belongs, and a second one where the first has no data; behind a small one anything may come. */
static void behind_large_data_the_next_header_comes_alone(void **state)
{
    (void)state;
    static const uint32_t lens[] = {
        FRAMER_DIRECT_LEN - 1, FRAMER_DIRECT_LEN, 65536, 0, 40000, 0, 0, 0, 20000, 100, 0, 4};
    static const bool alone[] = {false, false, true,  true, true,  true,
                                 true,  false, false, true, false, false};
    for (int digests = 0; digests < 2; digests++) {
        struct stream *s = stream_new(digests, digests);
        uint32_t header = PDU_BHS_LEN + (digests ? PDU_DIGEST_LEN : 0);
        for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
            stream_add(s, 0, lens[i], 1);
        open_framer(65536, digests, digests);
        for (size_t i = 0; i < s->count; i++) {
            const struct sample *p = &s->pdus[i];
            struct io_vec places[FRAMER_PLACES_MAX];
            assert_int_equal(framer_room(&f, places), alone[i]);
            if (alone[i]) {
                assert_int_equal(places[0].len, header);
                assert_true(pool_bytes_in_use(pool) <= POOL_CLASS_MIN);
                memcpy(places[0].ptr, s->bytes + p->at, header);
                framer_filled(&f, 20);
                assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
                /* It has begun: the rest may come in any way. */
                assert_int_equal(framer_room(&f, places), 0);
                bring(s, p->at + 20, header - 20);
            } else {
                bring(s, p->at, header);
            }
            if (p->data_len) {
                assert_int_equal(framer_next(&f, &pdu), FRAMER_HEADER);
                assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
                assert_true(framer_room(&f, places) >= 1);
                assert_int_equal(places[0].len, p->data_len);
                size_t done = 0, total = p->size - header;
                for (size_t k = 0; done < total; k++) {
                    size_t part = places[k].len < total - done ? places[k].len : total - done;
                    memcpy(places[k].ptr, s->bytes + p->at + header + done, part);
                    done += part;
                }
                framer_filled(&f, (uint32_t)total);
            }
            assert_int_equal(framer_next(&f, &pdu), FRAMER_PDU);
            assert_memory_equal(pdu->bhs, p->bhs, PDU_BHS_LEN);
            assert_false(pdu->data_digest_bad);
            assert_int_equal(pdu->data.len, p->data_len);
            if (p->data_len)
                assert_memory_equal(pdu->data.ptr, p->data, p->data_len);
            /* All of a chunk: whoever stores it may keep the memory. */
            if (p->data_len == 65536)
                assert_non_null(slice_whole(&pdu->data));
            assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
        }
        close_framer();
        stream_free(s);
    }
}

/* Nothing comes into the room for a header: it is lent again, and nothing is lost or kept for good. */
static void room_for_a_header_may_stay_empty(void **state)
{
    (void)state;
    struct io_vec places[FRAMER_PLACES_MAX];
    struct stream *s = stream_new(false, false);
    stream_add(s, 0, 20000, 1);
    stream_add(s, 0, 100, 1);
    open_framer(65536, false, false);
    bring(s, 0, s->pdus[0].size);
    assert_int_equal(framer_next(&f, &pdu), FRAMER_HEADER);
    assert_int_equal(framer_next(&f, &pdu), FRAMER_PDU);
    assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(framer_room(&f, places), 1);
        framer_filled(&f, 0);
        assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
    }
    assert_int_equal(pool_chunks_in_use(pool), 1);
    bring(s, s->pdus[1].at, s->pdus[1].size); /* the host brings a chunk instead */
    assert_int_equal(framer_next(&f, &pdu), FRAMER_HEADER);
    assert_int_equal(framer_next(&f, &pdu), FRAMER_PDU);
    assert_memory_equal(pdu->data.ptr, s->pdus[1].data, 100);
    assert_int_equal(framer_next(&f, &pdu), FRAMER_NEED_MORE);
    assert_int_equal(pool_chunks_in_use(pool), 0);
    assert_int_equal(framer_room(&f, places), 0); /* that was a small one */
    close_framer();
    stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pdu_takes_nothing_over_from_the_one_before),
        cmocka_unit_test(what_is_left_of_a_broken_stream_is_its_header),
        cmocka_unit_test(limits_may_be_reached),
        cmocka_unit_test(only_additional_segments_need_memory),
        cmocka_unit_test(data_that_ends_with_its_chunk_is_a_view),
        cmocka_unit_test(it_is_idle_only_between_pdus),
        cmocka_unit_test(it_moves_at_every_byte_of_a_header),
        cmocka_unit_test(a_digest_survives_losing_its_place_at_any_byte),
        cmocka_unit_test(room_changes_where_a_segment_is_large),
        cmocka_unit_test(behind_large_data_the_next_header_comes_alone),
        cmocka_unit_test(room_for_a_header_may_stay_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
