/* Where PDUs begin and end in the two byte streams of one connection, and the little of login that this
 * takes: the digests that were agreed on. On the way it finds the names of both parties and the places of
 * secrets. It judges nothing.
 *
 * No memory of its own, nothing kept of the bytes but 48 of a header and a part of one key. */
#ifndef LUNETTE_CAPTURE_PDU_TRACK_H
#define LUNETTE_CAPTURE_PDU_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/capture/tap.h"
#include "common/iscsi/pdu.h"

#define PDU_TRACK_NAME_MAX 224u /* bytes of an iSCSI name with its NUL (RFC 7143 4.2.7.1: at most 223) */

/* Looks at the pairs of one direction's login text as its bytes go by. */
struct text_watch {
    char key[32]; /* the first bytes of the current key */
    uint32_t key_len;
    char value[PDU_TRACK_NAME_MAX]; /* the first bytes of the current value */
    uint32_t value_len;
    bool in_value;
    bool secret; /* the current value is one */
    bool base64;
};

struct pdu_track_side {
    uint8_t bhs[PDU_BHS_LEN];
    uint32_t have;               /* bytes of bhs */
    uint32_t total;              /* bytes of the current PDU on the wire; 0: its header is not complete */
    uint32_t done;               /* bytes of it that went by */
    uint32_t data_off;           /* where its data segment begins */
    bool lost;                   /* boundaries are unknown until pdu_track_sync */
    bool said_header, said_data; /* HeaderDigest, DataDigest */
    struct text_watch text;
};

struct pdu_track {
    struct pdu_track_side side[2]; /* by enum tap_direction */
    bool full_feature;             /* login is over: digests are in force */
    bool header_digest, data_digest;
    bool answer_header, answer_data; /* what the answers to the offers of digests chose so far: CRC32C? */
    bool said_names;                 /* the first login text is complete */
    char initiator[PDU_TRACK_NAME_MAX], target[PDU_TRACK_NAME_MAX]; /* "" until known */
};

void pdu_track_init(struct pdu_track *t);
/* The connection's login was not seen: it may be anywhere, and digests are taken to be as given. */
void pdu_track_assume(struct pdu_track *t, bool header_digest, bool data_digest);
/* Bytes from here to the next boundary of this direction: the rest of the current PDU, or 0 when that takes
 * more bytes of a header than have come (see pdu_track_header_need). */
uint32_t pdu_track_rest(const struct pdu_track *t, enum tap_direction d);
/* The whole length on the wire of the PDU whose basic header is given, were it to begin here. */
uint32_t pdu_track_total(const struct pdu_track *t, const uint8_t *bhs);
/* Takes bytes up to the end of the current PDU, at most len; returns how many. *ended: the PDU is complete
 * (its header is side[d].bhs until the next call). Nothing is taken while the side is lost. */
size_t pdu_track_feed(struct pdu_track *t, enum tap_direction d, const uint8_t *bytes, size_t len,
                      bool *ended);
/* The same, and login secrets among the bytes are overwritten by a filler of the same length. */
size_t pdu_track_feed_hide(struct pdu_track *t, enum tap_direction d, uint8_t *bytes, size_t len,
                           bool *ended);
/* `len` bytes of this direction are missing. Inside one PDU the boundary is still known; else the side is
 * lost. */
void pdu_track_skip(struct pdu_track *t, enum tap_direction d, uint64_t len);
/* A PDU begins here, somebody knows. */
void pdu_track_sync(struct pdu_track *t, enum tap_direction d);
/* Could these 48 bytes be the header of a PDU that goes this way? For finding a boundary again. */
bool pdu_track_plausible(const uint8_t *bhs, enum tap_direction d);
/* In the middle of a PDU? */
static inline bool pdu_track_inside(const struct pdu_track *t, enum tap_direction d)
{
    return t->side[d].have > 0;
}

#endif
