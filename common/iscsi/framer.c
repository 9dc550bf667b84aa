/* Bytes to PDUs. A data segment that lies whole in the arrival chunk is handed out as a slice of it; any
 * other is gathered in one place (the owner's, or a chunk of our own), so that everything above sees one
 * pointer and one length. Padding and digest always go to a few bytes of the framer itself, so that a data
 * segment ends where it ends and never has to be larger than its own length. */
#include "common/iscsi/framer.h"

#include <assert.h>
#include <string.h>

#include "common/base/min.h"
#include "common/iscsi/digest.h"

void framer_init(struct framer *f, struct pool *pool, uint32_t max_data)
{
    assert(max_data <= POOL_CLASS_MAX); /* one chunk holds any data segment */
    memset(f, 0, sizeof *f);
    f->pool = pool;
    f->max_data = max_data;
    f->max_ahs = PDU_AHS_LEN_MAX;
    f->header_need = PDU_BHS_LEN;
    f->announce = FRAMER_ALL;
}

static void framer_drop_spare(struct framer *f)
{
    chunk_unref(f->spare);
    f->spare = NULL;
}

/* Behind a large data segment, which a status may follow before the next one comes. */
enum { FRAMER_ALONE = 2 };

/* Forgets the current PDU: the next byte starts a header. */
static void framer_end_pdu(struct framer *f)
{
    if (f->pdu.data_len)
        f->after_large = f->pdu.data_len >= FRAMER_DIRECT_LEN ? FRAMER_ALONE : 0;
    else if (f->after_large)
        f->after_large--;
    slice_release(&f->pdu.data); /* empty when the owner moved it out */
    slice_release(&f->own);
    chunk_unref(f->long_header);
    f->long_header = NULL;
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
    framer_drop_spare(f);
    slice_release(&f->input);
}

void framer_set_digests(struct framer *f, bool header, bool data)
{
    /* Not even the length of a header has been settled under the old settings. */
    assert(f->pdu_told || (f->stage == FRAMER_AT_HEADER && f->header_have < PDU_BHS_LEN) ||
           f->stage == FRAMER_BROKEN);
    f->header_digest = header;
    f->data_digest = data;
}

void framer_announce(struct framer *f, uint8_t opcode)
{
    f->announce = opcode;
}

/* Bytes of padding and digest behind the data segment. Only for PDUs that have one (R7143-11.2.3-03). */
static uint32_t framer_trailer_len(const struct framer *f)
{
    return pdu_pad_len(f->pdu.data_len) + (f->data_digest ? PDU_DIGEST_LEN : 0);
}

static uint32_t framer_data_total(const struct framer *f)
{
    return f->pdu.data_len + framer_trailer_len(f); /* R7143-11.1-01, R7143-11.2.3-02 */
}

static void framer_consume(struct framer *f, uint32_t len)
{
    f->input.ptr += len;
    f->input.len -= len;
    if (f->input.len == 0) /* an idle connection holds no chunk */
        slice_release(&f->input);
}

/* ---- header ---- */

static enum framer_result framer_break(struct framer *f, enum framer_result why)
{
    f->stage = FRAMER_BROKEN;
    f->broken = why;
    f->pdu.bhs = f->short_header; /* what is left of it, for the message */
    f->pdu.ahs = NULL;
    chunk_unref(f->long_header);
    f->long_header = NULL;
    slice_release(&f->input);
    return why;
}

/* The basic header is there: how long is the rest of the header? */
static bool framer_header_lengths(struct framer *f)
{
    const uint8_t *bhs = f->short_header;
    f->pdu.ahs_len = pdu_ahs_len(bhs); /* R7143-11.2.1.5-01 */
    f->pdu.data_len = pdu_data_len(bhs);
    f->header_need = PDU_BHS_LEN + f->pdu.ahs_len + (f->header_digest ? PDU_DIGEST_LEN : 0);
    return f->pdu.ahs_len <= f->max_ahs;
}

static bool framer_header_digest_good(const struct framer *f)
{
    uint32_t len = PDU_BHS_LEN + f->pdu.ahs_len; /* R7143-11.2.3-01 */
    return !f->header_digest || digest_get(f->pdu.bhs + len) == digest_crc32c(f->pdu.bhs, len);
}

/* Where the header is gathered. NULL: its additional segments need a chunk, and there is none. */
static uint8_t *framer_header_place(struct framer *f)
{
    if (f->header_need <= sizeof f->short_header)
        return f->short_header;
    if (!f->long_header) {
        f->long_header = pool_get(f->pool, f->header_need);
        if (!f->long_header)
            return NULL;
        memcpy(f->long_header->data, f->short_header, PDU_BHS_LEN);
    }
    return f->long_header->data;
}

/* FRAMER_NEED_MORE, an error, or FRAMER_HEADER for "complete". */
static enum framer_result framer_take_header(struct framer *f)
{
    /* The basic header in one piece, as it nearly always comes. */
    if (f->header_have == 0 && f->input.len >= PDU_BHS_LEN) {
        memcpy(f->short_header, f->input.ptr, PDU_BHS_LEN);
        f->header_have = PDU_BHS_LEN;
        framer_consume(f, PDU_BHS_LEN);
        if (!framer_header_lengths(f))
            return framer_break(f, FRAMER_TOO_LONG);
    }
    uint8_t *header = framer_header_place(f);
    while (header && f->header_have < f->header_need) {
        /* The basic header first: it tells how much there is. */
        uint32_t end = f->header_have < PDU_BHS_LEN ? PDU_BHS_LEN : f->header_need;
        uint32_t n = min_u32(end - f->header_have, f->input.len);
        if (n == 0)
            return FRAMER_NEED_MORE;
        memcpy(header + f->header_have, f->input.ptr, n);
        f->header_have += n;
        framer_consume(f, n);
        if (f->header_have == PDU_BHS_LEN) {
            if (!framer_header_lengths(f))
                return framer_break(f, FRAMER_TOO_LONG);
            header = framer_header_place(f);
        }
    }
    if (!header)
        return FRAMER_NO_MEMORY;
    f->pdu.bhs = header;
    /* Before any length in it is believed: a wrong one would make us take data for headers. */
    if (!framer_header_digest_good(f))
        return framer_break(f, FRAMER_HEADER_DIGEST); /* R7143-7.8-01 */
    f->pdu.ahs = f->pdu.ahs_len ? f->pdu.bhs + PDU_BHS_LEN : NULL;
    if (f->pdu.data_len > f->max_data)
        return framer_break(f, FRAMER_TOO_LONG);
    return FRAMER_HEADER;
}

/* ---- data ---- */

/* Nobody gave the data segment a place. Whole in the arrival chunk: a view, no copy, even if padding and
 * digest are still to come. Otherwise a chunk of its own. False: none to be had. */
static bool framer_find_place(struct framer *f)
{
    uint32_t len = f->pdu.data_len;
    if (f->input.len >= len) {
        f->own = slice_sub(&f->input, 0, len);
        f->data_have = len;
        framer_consume(f, len);
    } else {
        struct chunk *chunk = pool_get(f->pool, len);
        if (!chunk)
            return false;
        f->own = slice_take(chunk, 0, len);
    }
    f->dest = f->own.ptr;
    return true;
}

/* Moves input bytes to where data, padding and digest go. */
static void framer_fill_from_input(struct framer *f)
{
    uint32_t data_len = f->pdu.data_len, total = framer_data_total(f);
    while (f->data_have < total && f->input.len) {
        bool in_data = f->data_have < data_len;
        uint32_t n = min_u32(f->input.len, (in_data ? data_len : total) - f->data_have);
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

/* The data digest covers the padding as it was sent, whatever is in it. R7143-11.2.3-01, R7143-13.1-04 */
static bool framer_data_digest_good(const struct framer *f)
{
    uint32_t pad = pdu_pad_len(f->pdu.data_len);
    if (!f->data_digest)
        return true;
    uint32_t crc = f->skipping ? f->crc : digest_update(DIGEST_INIT, f->dest, f->pdu.data_len);
    return digest_final(digest_update(crc, f->trailer, pad)) == digest_get(f->trailer + pad);
}

/* The usual case in one step: data and padding lie whole in the arrival chunk, without a digest. */
static bool framer_take_whole(struct framer *f)
{
    uint32_t len = f->pdu.data_len, total = framer_data_total(f);
    if (f->data_digest || f->dest || f->skipping || f->input.len < total)
        return false;
    f->pdu.data = slice_sub(&f->input, 0, len);
    framer_consume(f, total);
    f->data_have = total;
    f->pdu_told = true;
    return true;
}

static enum framer_result framer_take_data(struct framer *f)
{
    if (framer_take_whole(f))
        return FRAMER_PDU;
    if (!f->dest && !f->skipping && !framer_find_place(f))
        return FRAMER_NO_MEMORY;
    framer_fill_from_input(f);
    if (f->data_have < framer_data_total(f))
        return FRAMER_NEED_MORE;
    f->pdu.skipped = f->skipping;
    f->pdu.placed = !f->skipping && !f->own.chunk;
    f->pdu.data_digest_bad = !framer_data_digest_good(f);
    f->pdu.data = f->own;
    f->own = (struct slice){0};
    f->pdu_told = true;
    return FRAMER_PDU;
}

enum framer_result framer_next(struct framer *f, struct framer_pdu **out)
{
    *out = &f->pdu;
    if (f->stage == FRAMER_BROKEN)
        return f->broken;
    if (f->pdu_told)
        framer_end_pdu(f);
    if (f->stage == FRAMER_AT_DATA)
        return framer_take_data(f);
    enum framer_result got = framer_take_header(f);
    if (got != FRAMER_HEADER)
        return got;
    if (f->pdu.data_len == 0) {
        f->pdu_told = true;
        return FRAMER_PDU;
    }
    f->stage = FRAMER_AT_DATA;
    bool announced = f->announce == FRAMER_ALL || f->announce == pdu_opcode(f->pdu.bhs);
    return announced ? FRAMER_HEADER : framer_take_data(f);
}

void framer_place(struct framer *f, uint8_t *dest)
{
    assert(f->stage == FRAMER_AT_DATA && !f->dest && !f->skipping && !f->pdu_told);
    f->dest = dest;
}

void framer_skip(struct framer *f)
{
    assert(f->stage == FRAMER_AT_DATA && !f->dest && !f->skipping && !f->pdu_told);
    f->skipping = true;
    f->crc = DIGEST_INIT;
}

void framer_unplace(struct framer *f)
{
    if (f->stage != FRAMER_AT_DATA || !f->dest || f->own.chunk || f->pdu_told)
        return;
    /* The digest of the rest alone would never match: what has come is accounted for while it is still there.
     */
    f->crc = DIGEST_INIT;
    if (f->data_digest)
        f->crc = digest_update(f->crc, f->dest, min_u32(f->data_have, f->pdu.data_len));
    f->dest = NULL;
    f->skipping = true;
    framer_drop_spare(f); /* what is skipped comes in chunks of the host's */
}

bool framer_idle(const struct framer *f)
{
    return !f->input.len && (f->pdu_told || (f->stage == FRAMER_AT_HEADER && f->header_have == 0));
}

/* ---- where the next bytes go ---- */

void framer_chunk(struct framer *f, struct chunk *chunk, uint32_t len)
{
    assert(f->input.len == 0);
    framer_drop_spare(f); /* the host did not use the places */
    if (len == 0 || f->stage == FRAMER_BROKEN) {
        chunk_unref(chunk);
        return;
    }
    f->input = slice_take(chunk, 0, len);
}

/* Room for the bytes behind this PDU. What follows a large segment is likely another one, which should not
 * land here only to be copied to its place. */
static void framer_lend_spare(struct framer *f, bool large)
{
    if (f->spare)
        return;
    if (large)
        f->spare_len = PDU_BHS_LEN + (f->header_digest ? PDU_DIGEST_LEN : 0);
    else
        f->spare_len = pool_roomy(f->pool) ? FRAMER_STREAM_LEN : FRAMER_CHUNK_LEN;
    f->spare = pool_get(f->pool, f->spare_len);
}

/* Nothing of the next PDU is there yet. Where the last one was large only its header is asked for, so that
 * its data can be received to where it belongs; else there is no telling what comes. */
static uint32_t framer_header_room(struct framer *f, struct io_vec *places)
{
    if (!f->after_large || f->header_have)
        return 0;
    framer_lend_spare(f, true);
    if (!f->spare)
        return 0;
    places[0] = (struct io_vec){f->spare->data, f->spare_len};
    return 1;
}

uint32_t framer_room(struct framer *f, struct io_vec *places)
{
    uint32_t n = 0, data_len = f->pdu.data_len, total = framer_data_total(f);
    if (f->stage == FRAMER_AT_HEADER && !f->pdu_told)
        return framer_header_room(f, places);
    /* What is skipped or not yet decided about has no place. */
    if (f->stage != FRAMER_AT_DATA || !f->dest || f->pdu_told)
        return 0;
    if (f->data_have < data_len)
        places[n++] = (struct io_vec){f->dest + f->data_have, data_len - f->data_have};
    uint32_t trailer_have = f->data_have > data_len ? f->data_have - data_len : 0;
    if (data_len + trailer_have < total)
        places[n++] = (struct io_vec){f->trailer + trailer_have, total - data_len - trailer_have};
    framer_lend_spare(f, f->pdu.data_len >= FRAMER_DIRECT_LEN);
    if (f->spare)
        places[n++] = (struct io_vec){f->spare->data, f->spare_len};
    return n;
}

void framer_filled(struct framer *f, uint32_t len)
{
    uint32_t total = f->stage == FRAMER_AT_DATA ? framer_data_total(f) : 0;
    uint32_t n = min_u32(len, total - f->data_have);
    f->data_have += n;
    len -= n;
    if (len) {
        assert(f->spare && len <= f->spare_len && f->input.len == 0);
        f->input = slice_take(f->spare, 0, len);
        f->spare = NULL;
    } else if (f->stage == FRAMER_AT_DATA && f->data_have == total) {
        framer_drop_spare(f);
    }
}

/* ---- moving to another reactor ---- */

/* A long header that has begun lies in a chunk, which stays behind: its bytes go as unread ones. */
static uint32_t framer_header_to_carry(const struct framer *f)
{
    return f->long_header && !f->pdu_told ? f->header_have : 0;
}

uint32_t framer_unread_len(const struct framer *f)
{
    return framer_header_to_carry(f) + f->input.len;
}

void framer_detach(struct framer *f, uint8_t *copy)
{
    if (f->pdu_told)
        framer_end_pdu(f);
    assert(f->stage != FRAMER_AT_DATA);
    framer_drop_spare(f);
    uint32_t header = framer_header_to_carry(f);
    if (header)
        memcpy(copy, f->long_header->data, header);
    if (f->input.len)
        memcpy(copy + header, f->input.ptr, f->input.len);
    if (header)
        framer_end_pdu(f);
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
