/* Bytes to PDUs. Data segments that lie whole in the arrival chunk are handed out as slices of it; others are gathered in
 * one place (the owner's or a chunk of our own), so that everything above sees one pointer and one length. */
#include "common/iscsi/framer.h"

#include <assert.h>
#include <string.h>

#include "common/iscsi/digest.h"

void framer_init(struct framer *f, struct pool *pool, uint32_t max_data)
{
    assert(max_data <= POOL_CLASS_MAX); /* one chunk holds any data segment */
    memset(f, 0, sizeof *f);
    f->pool = pool;
    f->max_data = max_data;
    f->max_ahs = PDU_AHS_LEN_MAX;
    f->header_need = PDU_BHS_LEN;
}

/* Forgets the current PDU: the next byte starts a header. */
static void framer_end_pdu(struct framer *f)
{
    slice_release(&f->pdu.data);
    slice_release(&f->own);
    f->pdu = (struct framer_pdu){0};
    f->stage = FRAMER_AT_HEADER;
    f->header_have = 0;
    f->header_need = PDU_BHS_LEN;
    f->pdu_told = f->skipping = false;
    f->dest = NULL;
    f->data_have = 0;
}

void framer_fini(struct framer *f)
{
    framer_end_pdu(f);
    slice_release(&f->input);
    chunk_unref(f->spare);
    f->spare = NULL;
}

void framer_set_digests(struct framer *f, bool header, bool data)
{
    assert(f->stage == FRAMER_AT_HEADER ? f->header_have == 0 : f->pdu_told);
    f->header_digest = header;
    f->data_digest = data;
}

static uint32_t framer_trailer_len(const struct framer *f)
{
    return pdu_pad_len(f->pdu.data_len) + (f->data_digest ? PDU_DIGEST_LEN : 0);
}

static uint32_t framer_data_total(const struct framer *f)
{
    return f->pdu.data_len + framer_trailer_len(f);
}

static void framer_consume(struct framer *f, uint32_t len)
{
    f->input.ptr += len;
    f->input.len -= len;
    if (f->input.len == 0)
        slice_release(&f->input);
}

static uint32_t framer_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- header ---- */

static enum framer_result framer_break(struct framer *f, enum framer_result why)
{
    f->stage = FRAMER_BROKEN;
    f->broken = why;
    slice_release(&f->input);
    return why;
}

/* The basic header is there: how long is the rest of the header? */
static bool framer_header_lengths(struct framer *f)
{
    f->pdu.bhs = f->header;
    f->pdu.ahs_len = pdu_ahs_len(f->header);
    f->pdu.data_len = pdu_data_len(f->header);
    f->header_need = PDU_BHS_LEN + f->pdu.ahs_len + (f->header_digest ? PDU_DIGEST_LEN : 0);
    return f->pdu.ahs_len <= f->max_ahs;
}

static bool framer_header_digest_good(const struct framer *f)
{
    uint32_t len = PDU_BHS_LEN + f->pdu.ahs_len;
    return !f->header_digest || digest_get(f->header + len) == digest_crc32c(f->header, len);
}

/* FRAMER_NEED_MORE, an error, or FRAMER_HEADER for "complete". */
static enum framer_result framer_take_header(struct framer *f)
{
    while (f->header_have < f->header_need) {
        uint32_t n = framer_min(f->header_need - f->header_have, f->input.len);
        if (n == 0)
            return FRAMER_NEED_MORE;
        memcpy(f->header + f->header_have, f->input.ptr, n);
        f->header_have += n;
        framer_consume(f, n);
        if (f->header_have == PDU_BHS_LEN && !framer_header_lengths(f))
            return framer_break(f, FRAMER_TOO_LONG);
    }
    if (!framer_header_digest_good(f))
        return framer_break(f, FRAMER_HEADER_DIGEST); /* before any length in it is believed */
    f->pdu.ahs = f->pdu.ahs_len ? f->header + PDU_BHS_LEN : NULL;
    if (f->pdu.data_len > f->max_data)
        return framer_break(f, FRAMER_TOO_LONG);
    return FRAMER_HEADER;
}

/* ---- data ---- */

static bool framer_digest_matches(const struct framer *f, uint32_t crc_of_data, const uint8_t *trailer)
{
    uint32_t pad = pdu_pad_len(f->pdu.data_len);
    return digest_final(digest_update(crc_of_data, trailer, pad)) == digest_get(trailer + pad);
}

static enum framer_result framer_tell_pdu(struct framer *f, uint32_t crc_of_data, const uint8_t *trailer)
{
    f->pdu.data_digest_bad = f->data_digest && !framer_digest_matches(f, crc_of_data, trailer);
    f->pdu_told = true;
    return FRAMER_PDU;
}

/* All of it in the arrival chunk: a view, no copy. */
static enum framer_result framer_view(struct framer *f)
{
    uint32_t total = framer_data_total(f);
    const uint8_t *data = f->input.ptr;
    uint32_t crc = f->data_digest ? digest_update(DIGEST_INIT, data, f->pdu.data_len) : 0;
    f->pdu.data = slice_sub(&f->input, 0, f->pdu.data_len);
    enum framer_result told = framer_tell_pdu(f, crc, data + f->pdu.data_len);
    framer_consume(f, total);
    return told;
}

static bool framer_take_own_chunk(struct framer *f)
{
    struct chunk *chunk = pool_get(f->pool, f->pdu.data_len);
    if (!chunk)
        return false;
    f->own = slice_take(chunk, 0, f->pdu.data_len);
    f->dest = f->own.ptr;
    return true;
}

/* Moves input bytes to where data, padding and digest go. */
static void framer_fill_from_input(struct framer *f)
{
    uint32_t data_len = f->pdu.data_len, total = framer_data_total(f);
    while (f->data_have < total && f->input.len) {
        bool in_data = f->data_have < data_len;
        uint32_t n = framer_min(f->input.len, (in_data ? data_len : total) - f->data_have);
        if (!in_data)
            memcpy(f->trailer + (f->data_have - data_len), f->input.ptr, n);
        else if (!f->skipping)
            memcpy(f->dest + f->data_have, f->input.ptr, n);
        else if (f->data_digest)
            f->crc = digest_update(f->crc, f->input.ptr, n);
        f->data_have += n;
        framer_consume(f, n);
    }
}

static enum framer_result framer_take_data(struct framer *f)
{
    if (!f->dest && !f->skipping) {
        if (f->input.len >= framer_data_total(f))
            return framer_view(f);
        if (!framer_take_own_chunk(f))
            return FRAMER_NO_MEMORY;
    }
    framer_fill_from_input(f);
    if (f->data_have < framer_data_total(f))
        return FRAMER_NEED_MORE;
    f->pdu.skipped = f->skipping;
    f->pdu.placed = !f->skipping && !f->own.chunk;
    uint32_t crc = f->crc;
    if (f->data_digest && !f->skipping)
        crc = digest_update(DIGEST_INIT, f->dest, f->pdu.data_len);
    f->pdu.data = f->own;
    f->own = (struct slice){0};
    return framer_tell_pdu(f, crc, f->trailer);
}

enum framer_result framer_next(struct framer *f, struct framer_pdu **out)
{
    *out = &f->pdu;
    if (f->stage == FRAMER_BROKEN)
        return f->broken;
    if (f->pdu_told)
        framer_end_pdu(f);
    if (f->stage == FRAMER_AT_HEADER) {
        enum framer_result got = framer_take_header(f);
        if (got != FRAMER_HEADER)
            return got;
        if (f->pdu.data_len == 0) {
            f->pdu_told = true;
            return FRAMER_PDU;
        }
        f->stage = FRAMER_AT_DATA;
        return FRAMER_HEADER;
    }
    return framer_take_data(f);
}

void framer_place(struct framer *f, uint8_t *dest)
{
    assert(f->stage == FRAMER_AT_DATA && !f->dest && !f->pdu_told);
    f->dest = dest;
}

void framer_skip(struct framer *f)
{
    assert(f->stage == FRAMER_AT_DATA && !f->dest && !f->pdu_told);
    f->skipping = true;
    f->crc = DIGEST_INIT;
}

void framer_unplace(struct framer *f)
{
    if (f->stage != FRAMER_AT_DATA || !f->dest || f->own.chunk || f->pdu_told)
        return;
    f->crc = digest_update(DIGEST_INIT, f->dest, framer_min(f->data_have, f->pdu.data_len));
    f->dest = NULL;
    f->skipping = true;
}

bool framer_idle(const struct framer *f)
{
    return f->stage == FRAMER_AT_HEADER ? f->header_have == 0 && !f->input.len : f->pdu_told && !f->input.len;
}

/* ---- where the next bytes go ---- */

void framer_chunk(struct framer *f, struct chunk *chunk, uint32_t len)
{
    assert(f->input.len == 0);
    if (len == 0 || f->stage == FRAMER_BROKEN) {
        chunk_unref(chunk);
        return;
    }
    f->input = slice_take(chunk, 0, len);
}

uint32_t framer_room(struct framer *f, struct io_vec *places)
{
    if (f->stage != FRAMER_AT_DATA || !f->dest || f->pdu_told)
        return 0;
    uint32_t n = 0, data_len = f->pdu.data_len, total = framer_data_total(f);
    if (f->data_have < data_len)
        places[n++] = (struct io_vec){f->dest + f->data_have, data_len - f->data_have};
    uint32_t trailer_have = f->data_have > data_len ? f->data_have - data_len : 0;
    if (data_len + trailer_have < total)
        places[n++] = (struct io_vec){f->trailer + trailer_have, total - data_len - trailer_have};
    /* Room for what follows too: a stream of small writes then needs one receive per chunk, not one per PDU. */
    if (!f->spare)
        f->spare = pool_get(f->pool, FRAMER_CHUNK_LEN);
    if (f->spare)
        places[n++] = (struct io_vec){f->spare->data, f->spare->cap};
    return n;
}

void framer_filled(struct framer *f, uint32_t len)
{
    uint32_t n = framer_min(len, framer_data_total(f) - f->data_have);
    f->data_have += n;
    len -= n;
    if (len) {
        assert(f->spare && len <= f->spare->cap);
        f->input = slice_take(f->spare, 0, len);
        f->spare = NULL;
    } else if (f->data_have == framer_data_total(f)) {
        chunk_unref(f->spare); /* an idle connection holds no chunk */
        f->spare = NULL;
    }
}

/* ---- moving to another reactor ---- */

uint32_t framer_unread_len(const struct framer *f)
{
    return f->input.len;
}

void framer_detach(struct framer *f, uint8_t *copy)
{
    if (f->pdu_told)
        framer_end_pdu(f);
    assert(f->stage != FRAMER_AT_DATA && !f->spare);
    if (f->input.len)
        memcpy(copy, f->input.ptr, f->input.len);
    slice_release(&f->input);
    f->pool = NULL;
}

void framer_attach(struct framer *f, struct pool *pool, const uint8_t *copy, uint32_t len, bool *ok)
{
    f->pool = pool;
    *ok = true;
    if (len == 0)
        return;
    struct chunk *chunk = pool_get(pool, len);
    if (!chunk) {
        *ok = false;
        return;
    }
    memcpy(chunk->data, copy, len);
    f->input = slice_take(chunk, 0, len);
}
