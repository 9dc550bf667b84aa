/* Incremental framer: turns the bytes of one connection into PDUs. Shared by target and initiator; no I/O.
 *
 * The owner (a connection engine) asks framer_room where the next bytes should go. Zero places means "any":
 * the host brings bytes in a chunk of the owner's pool (framer_chunk). Otherwise the host fills the places,
 * in order, and says how many bytes came (framer_filled). After either, the owner calls framer_next until it
 * answers FRAMER_NEED_MORE.
 *
 * FRAMER_HEADER: basic header, AHS and header digest are complete and right; the data segment may not be. The
 *   owner looks at it and may call framer_place(dest) to have the data segment put there (dest stays valid
 *   until FRAMER_PDU or framer_unplace), framer_skip to have it read and dropped, or nothing: then it ends up
 *   as a slice (of the chunk it arrived in when it is whole there, else of a pool chunk taken for it).
 *   Given only when the PDU has a data segment, and only for the PDUs that the owner wants to hear of
 *   (framer_announce); otherwise FRAMER_PDU comes at once.
 *
 * FRAMER_PDU: all there, data digest verified (or pdu->data_digest_bad set: recovery is the owner's
 * decision). pdu's pointers are valid until the next framer_next call; to keep data, take `pdu->data`
 * (slice_sub or move).
 *
 * FRAMER_NEED_MORE: no complete step left; any whole chunk is released.
 *
 * FRAMER_NO_MEMORY: a chunk was needed and the pool had none; call framer_next again when there is. Nothing
 * is lost; no chunk may be brought in before that (framer_unread_len tells whether bytes wait).
 *
 * FRAMER_HEADER_DIGEST: header digest wrong: the byte stream cannot be trusted further (RFC 7143 7.7 / 7.8).
 *
 * FRAMER_TOO_LONG: DataSegmentLength is more than max_data (or AHS more than max_ahs); pdu->bhs is valid.
 *
 * After the last two the framer stays in that state.
 *
 * Memory of one connection: one chunk of arrived bytes (FRAMER_CHUNK_LEN, or what the host brought) and one
 * for a data segment in the making (max_data), besides what the owner keeps. Skipping needs neither. Between
 * PDUs with nothing unread it holds no chunk at all, or behind a large data segment the few bytes that it
 * lent for the next header. */
#ifndef LUNETTE_ISCSI_FRAMER_H
#define LUNETTE_ISCSI_FRAMER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/iscsi/pdu.h"

#define FRAMER_PLACES_MAX 3
#define FRAMER_CHUNK_LEN  (128u * 1024u) /* bytes: lent for what follows a small data segment */
#define FRAMER_STREAM_LEN (256u * 1024u) /* bytes: the same where memory is plentiful */
#define FRAMER_DIRECT_LEN (16u * 1024u)  /* bytes: from here on a data segment is not a small one */

enum framer_result {
    FRAMER_NEED_MORE,
    FRAMER_HEADER,
    FRAMER_PDU,
    FRAMER_NO_MEMORY,
    FRAMER_HEADER_DIGEST,
    FRAMER_TOO_LONG
};

struct framer_pdu {
    const uint8_t *bhs; /* 48 bytes */
    const uint8_t *ahs; /* ahs_len bytes, or NULL */
    uint32_t ahs_len;   /* bytes */
    /* The data segment without padding; empty when placed or skipped. The framer releases it at the next
     * framer_next unless the owner moved it out (set chunk to NULL). */
    struct slice data;
    uint32_t data_len; /* bytes of the data segment */
    bool placed;       /* data is where framer_place said */
    bool skipped;
    bool data_digest_bad;
};

enum framer_stage { FRAMER_AT_HEADER, FRAMER_AT_DATA, FRAMER_BROKEN };

struct framer {
    struct pool *pool; /* borrowed: where chunks come from */
    bool header_digest, data_digest;
    uint8_t announce; /* an opcode, or FRAMER_ALL: see framer_announce */
    /* Bytes: our MaxRecvDataSegmentLength, or the owner's hard limit. At most POOL_CLASS_MAX. The owner may
     * change it between PDUs. */
    uint32_t max_data;
    uint32_t max_ahs; /* bytes */

    /* state: private to framer.c */
    enum framer_stage stage;
    enum framer_result broken;
    struct slice input; /* unread bytes of the current chunk; has a chunk exactly when it has bytes */
    uint8_t short_header[PDU_BHS_LEN + PDU_DIGEST_LEN];
    struct chunk *long_header;         /* instead, when there are additional segments: few PDUs have any */
    uint32_t header_have, header_need; /* bytes */
    struct framer_pdu pdu;
    bool pdu_told; /* FRAMER_PDU was said: the PDU ends with the next framer_next */
    bool skipping;
    uint8_t after_large; /* so many headers are asked for alone: see framer_room */
    uint8_t *dest;       /* where the data segment goes; NULL when skipping or not yet decided */
    struct slice own;    /* the data segment's bytes in a chunk: the arrival chunk, or one taken for it */
    uint32_t data_have;  /* bytes of data + pad + digest that have arrived */
    uint8_t trailer[8];  /* padding and digest */
    uint32_t crc;        /* of what has been skipped so far */
    struct chunk *spare; /* lent as the last place; what lands there becomes input */
    uint32_t spare_len;  /* bytes of it that are lent */
};

/* Digests start off, as login does. max_data <= POOL_CLASS_MAX. */
void framer_init(struct framer *f, struct pool *pool, uint32_t max_data);
void framer_fini(struct framer *f); /* releases what it holds */
/* Turns digests on or off for the PDUs that follow. Only between PDUs: while one is told, or before the basic
 * header of the next is whole. */
void framer_set_digests(struct framer *f, bool header, bool data);

/* For which PDUs FRAMER_HEADER is told: those of one opcode, or FRAMER_ALL, as it is at first. */
#define FRAMER_ALL 0xffu
void framer_announce(struct framer *f, uint8_t opcode);

/* Places for the next bytes, at most FRAMER_PLACES_MAX; 0: any. In the middle of a data segment these are the
 * rest of it, its padding and digest, and, if the pool has a chunk, room for what follows: a whole chunk
 * behind a small segment, so that a stream of small PDUs costs one receive per chunk; behind a large one just
 * the next header, so that the next large segment can go straight to its place too. The places stay valid
 * until framer_filled; a host that brings a chunk instead gives them back. */
uint32_t framer_room(struct framer *f, struct io_vec *places);
/* `len` bytes came into the places that the last framer_room lent: at most their sum, and may be 0. */
void framer_filled(struct framer *f, uint32_t len);
/* Takes over the chunk's reference. All earlier input must have been consumed (framer_next said NEED_MORE).
 */
void framer_chunk(struct framer *f, struct chunk *chunk, uint32_t len);

enum framer_result framer_next(struct framer *f, struct framer_pdu **out);
/* These two only between FRAMER_HEADER and the next framer_next. */
void framer_place(struct framer *f, uint8_t *dest); /* room for pdu->data_len bytes */
void framer_skip(struct framer *f);
/* The placed destination goes away before the data is complete: the rest is read and dropped, and the PDU is
 * then told with skipped set. Harmless when nothing is placed. Only while no receive into lent places is
 * outstanding: until then the destination must stay. */
void framer_unplace(struct framer *f);
/* True between PDUs with no byte of the next one read. */
bool framer_idle(const struct framer *f);
/* Behind a PDU that was told: the basic header of the next one, if it has come whole; else NULL. Nothing has
 * been checked of it. Valid until framer_next. */
static inline const uint8_t *framer_peek(const struct framer *f)
{
    return f->pdu_told && f->input.len >= PDU_BHS_LEN ? f->input.ptr : NULL;
}
/* Bytes that have come in chunks and were not looked at yet. */
uint32_t framer_unread_len(const struct framer *f);
/* For moving a connection to another reactor (no chunk may cross): detach copies the unread bytes out (there
 * are framer_unread_len of them) and holds no chunk afterwards; attach puts them into a chunk of the new
 * pool: call framer_next before anything more is brought in. Not in the middle of a data segment: move when a
 * PDU was told, before framer_next is called on what follows it. A told PDU ends here. *ok is false when the
 * pool has no chunk: then the framer has none of the bytes; try again, or framer_fini. */
void framer_detach(struct framer *f, uint8_t *copy);
void framer_attach(struct framer *f, struct pool *pool, const uint8_t *copy, uint32_t len, bool *ok);

#endif
