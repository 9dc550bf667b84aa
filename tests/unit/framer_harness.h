/* For the tests of framer and tx: random PDUs, their wire form built by hand (not by tx), and a host that
 * feeds a framer in any cuts and compares every PDU that comes out with the one that went in. */
#ifndef LUNETTE_TESTS_FRAMER_HARNESS_H
#define LUNETTE_TESTS_FRAMER_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/iscsi/digest.h"
#include "common/iscsi/framer.h"

#define POOL_LIMIT (8u * POOL_CLASS_MAX)
#define PDUS_MAX   512u

static uint64_t harness_rng = 1;

static inline uint32_t rnd(uint32_t below)
{
    harness_rng ^= harness_rng << 13;
    harness_rng ^= harness_rng >> 7;
    harness_rng ^= harness_rng << 17;
    return (uint32_t)(harness_rng >> 11) % below;
}

static inline void random_bytes(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)rnd(256);
}

/* What the owner does at FRAMER_HEADER. */
enum choice { LEAVE_IT, PLACE_IT, SKIP_IT };

struct sample { /* one PDU */
    uint8_t bhs[PDU_BHS_LEN];
    uint8_t ahs[PDU_AHS_LEN_MAX];
    uint32_t ahs_len, data_len; /* bytes */
    uint8_t *data;              /* owned */
    uint8_t *dest;              /* owned: where it is placed */
    enum choice choice;
    bool data_bad;   /* its data segment was damaged on the way */
    size_t at, size; /* bytes: where it stands in the stream */
};

struct stream {
    bool header_digest, data_digest;
    struct sample pdus[PDUS_MAX];
    size_t count;
    uint8_t *bytes; /* owned */
    size_t len, cap;
};

static inline void put(struct stream *s, const void *bytes, size_t len)
{
    while (s->len + len > s->cap) {
        s->cap = s->cap ? 2 * s->cap : 65536;
        assert_non_null(s->bytes = realloc(s->bytes, s->cap));
    }
    if (len)
        memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}

static inline void put_digest(struct stream *s, size_t from)
{
    uint8_t wire[PDU_DIGEST_LEN];
    digest_put(wire, digest_crc32c(s->bytes + from, s->len - from));
    put(s, wire, sizeof wire);
}

/* Appends a PDU of these sizes with random contents. `pad` is what the padding is filled with. */
static inline struct sample *stream_add(struct stream *s, uint32_t ahs_len, uint32_t data_len, uint8_t pad)
{
    assert_true(s->count < PDUS_MAX);
    struct sample *p = &s->pdus[s->count++];
    const uint8_t padding[3] = {pad, pad, pad};
    memset(p, 0, sizeof *p);
    p->ahs_len = ahs_len;
    p->data_len = data_len;
    assert_non_null(p->data = malloc(data_len + 1u));
    assert_non_null(p->dest = malloc(data_len + 1u));
    random_bytes(p->bhs, PDU_BHS_LEN);
    random_bytes(p->ahs, ahs_len);
    random_bytes(p->data, data_len);
    p->bhs[4] = (uint8_t)(ahs_len / 4);
    be24_put(p->bhs + 5, data_len);
    p->at = s->len;
    put(s, p->bhs, PDU_BHS_LEN);
    put(s, p->ahs, ahs_len);
    if (s->header_digest)
        put_digest(s, p->at);
    size_t data_at = s->len;
    put(s, p->data, data_len);
    put(s, padding, -data_len & 3u);
    if (s->data_digest && data_len)
        put_digest(s, data_at);
    p->size = s->len - p->at;
    return p;
}

static inline uint32_t random_len(void)
{
    switch (rnd(8)) {
    case 0:
        return 0;
    case 1:
    case 2:
        return rnd(16);
    case 3:
    case 4:
        return rnd(1024);
    case 5:
        return 4096;
    case 6:
        return rnd(FRAMER_DIRECT_LEN + 100);
    default:
        return rnd(16) ? rnd(5000) : rnd(200000);
    }
}

static inline struct stream *stream_new(bool header_digest, bool data_digest)
{
    struct stream *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->header_digest = header_digest;
    s->data_digest = data_digest;
    return s;
}

static inline struct stream *stream_random(bool header_digest, bool data_digest, unsigned count)
{
    struct stream *s = stream_new(header_digest, data_digest);
    for (unsigned i = 0; i < count; i++) {
        uint32_t ahs_len = rnd(3) ? 0 : 4u * rnd(rnd(4) ? 10 : 256);
        struct sample *p = stream_add(s, ahs_len, random_len(), (uint8_t)rnd(256));
        p->choice = (enum choice)rnd(3);
    }
    return s;
}

static inline void stream_free(struct stream *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->pdus[i].data);
        free(s->pdus[i].dest);
    }
    free(s->bytes);
    free(s);
}

/* ---- the host ---- */

struct host {
    struct framer f;
    struct pool *pool;
    struct stream *s;
    size_t fed;        /* bytes of the stream that the framer has been given */
    size_t told;       /* PDUs that came out whole */
    bool header_told;  /* of PDU number `told` */
    unsigned receives; /* how often it took bytes from the stream */
    size_t direct;     /* bytes that went into a placed data segment without a copy */
    enum framer_result last;
};

static inline void host_init(struct host *h, struct stream *s, uint64_t pool_limit)
{
    memset(h, 0, sizeof *h);
    assert_int_equal(pool_new(env_host(), pool_limit, &h->pool), 0);
    framer_init(&h->f, h->pool, POOL_CLASS_MAX);
    framer_set_digests(&h->f, s->header_digest, s->data_digest);
    h->s = s;
}

static inline void host_fini(struct host *h)
{
    framer_fini(&h->f);
    assert_int_equal(pool_chunks_in_use(h->pool), 0);
    pool_free(h->pool);
}

static inline void check_header(const struct sample *p, const struct framer_pdu *pdu)
{
    assert_memory_equal(pdu->bhs, p->bhs, PDU_BHS_LEN);
    assert_int_equal(pdu->ahs_len, p->ahs_len);
    assert_int_equal(pdu->data_len, p->data_len);
    if (p->ahs_len)
        assert_memory_equal(pdu->ahs, p->ahs, p->ahs_len);
    else
        assert_null(pdu->ahs);
}

static inline void check_pdu(const struct sample *p, const struct framer_pdu *pdu)
{
    check_header(p, pdu);
    assert_int_equal(pdu->placed, p->choice == PLACE_IT && p->data_len);
    assert_int_equal(pdu->skipped, p->choice == SKIP_IT && p->data_len);
    assert_int_equal(pdu->data_digest_bad, p->data_bad);
    bool sliced = p->choice == LEAVE_IT && p->data_len;
    assert_int_equal(pdu->data.chunk != NULL, sliced);
    assert_int_equal(pdu->data.len, sliced ? p->data_len : 0);
    if (p->data_bad)
        return;
    if (sliced)
        assert_memory_equal(pdu->data.ptr, p->data, p->data_len);
    if (pdu->placed)
        assert_memory_equal(p->dest, p->data, p->data_len);
}

/* Calls framer_next until it wants more, has no memory, or is broken. */
static inline enum framer_result host_drain(struct host *h)
{
    for (;;) {
        struct framer_pdu *pdu;
        struct sample *p = &h->s->pdus[h->told];
        h->last = framer_next(&h->f, &pdu);
        assert_true(pool_chunks_in_use(h->pool) <= 3); /* what arrives, a data segment, a long header */
        if (h->last == FRAMER_HEADER) {
            assert_false(h->header_told);
            assert_true(p->data_len > 0);
            check_header(p, pdu);
            h->header_told = true;
            if (p->choice == PLACE_IT)
                framer_place(&h->f, p->dest);
            else if (p->choice == SKIP_IT)
                framer_skip(&h->f);
        } else if (h->last == FRAMER_PDU) {
            assert_int_equal(h->header_told, p->data_len > 0);
            check_pdu(p, pdu);
            h->header_told = false;
            h->told++;
        } else {
            return h->last;
        }
    }
}

/* Gives the framer at most `most` bytes of the stream, where it wants them; a chunk holds chunk_len. */
static inline void host_feed(struct host *h, size_t most, uint32_t chunk_len)
{
    struct io_vec places[FRAMER_PLACES_MAX];
    uint32_t count = framer_room(&h->f, places);
    size_t left = h->s->len - h->fed, n = most < left ? most : left, given = 0;
    assert_true(count <= FRAMER_PLACES_MAX);
    assert_true(pool_chunks_in_use(h->pool) <= 3); /* what arrives, a data segment, a long header */
    h->receives++;
    if (count == 0) {
        struct chunk *chunk = pool_get(h->pool, chunk_len);
        assert_non_null(chunk);
        given = n < chunk_len ? n : chunk_len;
        memcpy(chunk->data, h->s->bytes + h->fed, given);
        framer_chunk(&h->f, chunk, (uint32_t)given);
        h->fed += given;
        return;
    }
    for (uint32_t i = 0; i < count && given < n; i++) {
        size_t part = n - given < places[i].len ? n - given : places[i].len;
        assert_true(places[i].len > 0);
        memcpy(places[i].ptr, h->s->bytes + h->fed + given, part);
        if (h->told < h->s->count && (uint8_t *)places[i].ptr >= h->s->pdus[h->told].dest &&
            (uint8_t *)places[i].ptr < h->s->pdus[h->told].dest + h->s->pdus[h->told].data_len)
            h->direct += part;
        given += part;
    }
    framer_filled(&h->f, (uint32_t)given);
    h->fed += given;
}

/* All of the stream, in cuts of 1..cut_max bytes (exactly cut_max when `random` is false). */
static inline void host_run(struct host *h, size_t cut_max, bool random, uint32_t chunk_len)
{
    while (h->fed < h->s->len) {
        size_t cut = random ? 1 + rnd((uint32_t)cut_max) : cut_max;
        host_feed(h, random && rnd(20) == 0 ? 0 : cut, chunk_len);
        assert_int_equal(host_drain(h), FRAMER_NEED_MORE);
    }
    assert_int_equal(h->told, h->s->count);
    assert_true(framer_idle(&h->f));
    assert_int_equal(pool_chunks_in_use(h->pool), 0); /* an idle connection holds nothing */
}

#endif
