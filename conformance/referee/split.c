/* Bytes of one direction to PDUs. Unlike common/iscsi/framer this one keeps going: a wrong digest or an
 * impossible length is something to report, and data segments are summed up instead of kept. */
#include <string.h>

#include "common/iscsi/digest.h"
#include "conformance/referee/internal.h"

static uint32_t least(size_t a, uint32_t b)
{
    return a < b ? (uint32_t)a : b;
}

/* Text is joined and looked into; of the rest the beginning is enough: a rejected header, sense data. */
static uint32_t keep_want(uint8_t opcode, uint32_t data_len)
{
    bool text = opcode == PDU_OP_login_request || opcode == PDU_OP_login_response ||
                opcode == PDU_OP_text_request || opcode == PDU_OP_text_response;
    return least(data_len, text ? REFEREE_TEXT_MAX : REFEREE_KEEP_MIN);
}

static void keep_room(struct rconn *c, struct rsplit *s, uint32_t want)
{
    if (want <= s->keep_cap)
        return;
    conn_release(c, s->keep, s->keep_cap);
    s->keep_cap = 0;
    uint32_t size = want < 8192 ? 8192 : REFEREE_TEXT_MAX;
    s->keep = conn_alloc(c, size);
    if (s->keep)
        s->keep_cap = size;
}

static bool is_echo(uint8_t opcode)
{
    return opcode == PDU_OP_nop_out || opcode == PDU_OP_nop_in;
}

static void end_pdu(struct rconn *c, enum tap_direction dir, bool header_bad)
{
    struct rsplit *s = &c->split[dir];
    struct rpdu p = {.number = ++c->pdus, .dir = dir, .bhs = s->header, .header_bad = header_bad};
    uint32_t pad = pdu_pad_len(s->data_len);
    p.ahs_len = pdu_ahs_len(s->header);
    p.ahs = p.ahs_len ? s->header + PDU_BHS_LEN : NULL;
    p.data_len = s->data_len;
    p.data = s->keep;
    p.kept = s->kept;
    p.data_crc = s->plain_crc;
    p.cut = s->cut;
    for (uint32_t i = 0; i < pad && !p.cut; i++)
        p.pad_dirty = p.pad_dirty || s->trailer[i];
    if (s->data_digest && s->data_len && !header_bad && !p.cut)
        p.data_bad = digest_final(digest_update(s->crc, s->trailer, pad)) != digest_get(s->trailer + pad);
    s->header_have = 0;
    s->header_need = PDU_BHS_LEN;
    s->in_data = false;
    judge(c, &p);
}

/* The header is whole: its digest, and what follows. */
static void end_header(struct rconn *c, enum tap_direction dir)
{
    struct rsplit *s = &c->split[dir];
    uint32_t len = s->header_need - (s->header_digest ? PDU_DIGEST_LEN : 0);
    bool bad = s->header_digest && digest_get(s->header + len) != digest_crc32c(s->header, len);
    s->data_len = pdu_data_len(s->header);
    s->at = s->kept = 0;
    s->crc = DIGEST_INIT;
    s->plain_crc = 0;
    if (bad) { /* its lengths can't be believed: there is no next boundary. R7143-7.8-01 */
        s->lost = true;
        end_pdu(c, dir, true);
        return;
    }
    keep_room(c, s, keep_want(pdu_opcode(s->header), s->data_len));
    s->in_data = s->data_len != 0;
    if (!s->in_data)
        end_pdu(c, dir, false);
}

/* PDUs whose place was guessed: bytes that are no header show that the guess was wrong. */
static bool is_derailed(const struct rconn *c, enum tap_direction dir)
{
    const struct pdu_type *type = pdu_type_of(c->split[dir].header[0] & 0x3f);
    return c->guessed && (!type || (type->from == PDU_FROM_INITIATOR) != (dir == TO_T));
}

static size_t take_header(struct rconn *c, enum tap_direction dir, const uint8_t *bytes, size_t len)
{
    struct rsplit *s = &c->split[dir];
    uint32_t n = least(len, s->header_need - s->header_have);
    s->cut_rest = 0;
    memcpy(s->header + s->header_have, bytes, n);
    s->header_have += n;
    if (s->header_have == PDU_BHS_LEN && is_derailed(c, dir)) {
        s->lost = true;
        return n;
    }
    if (s->header_have == s->header_need && s->header_have == PDU_BHS_LEN)
        s->header_need += pdu_ahs_len(s->header) + (s->header_digest ? PDU_DIGEST_LEN : 0);
    if (s->header_have == s->header_need)
        end_header(c, dir);
    return n;
}

static size_t take_data(struct rconn *c, enum tap_direction dir, const uint8_t *bytes, size_t len)
{
    struct rsplit *s = &c->split[dir];
    uint32_t pad = pdu_pad_len(s->data_len);
    uint32_t total = s->data_len + pad + (s->data_digest ? PDU_DIGEST_LEN : 0), n;
    if (s->at < s->data_len) {
        n = least(len, s->data_len - s->at);
        if (s->data_digest || is_echo(pdu_opcode(s->header)))
            s->crc = digest_update(s->crc, bytes, n);
        uint32_t room = least(keep_want(pdu_opcode(s->header), s->data_len), s->keep_cap);
        if (s->kept < room) {
            uint32_t copy = least(n, room - s->kept);
            memcpy(s->keep + s->kept, bytes, copy);
            s->kept += copy;
        }
    } else {
        n = least(len, total - s->at);
        memcpy(s->trailer + (s->at - s->data_len), bytes, n);
    }
    s->at += n;
    if (s->at == s->data_len)
        s->plain_crc = digest_final(s->crc);
    if (s->at == total)
        end_pdu(c, dir, false);
    return n;
}

void split_feed(struct rconn *c, enum tap_direction dir, const uint8_t *bytes, size_t len)
{
    struct rsplit *s = &c->split[dir];
    while (len && (!s->lost || c->r->options.partial)) {
        size_t n = s->lost      ? sync_feed(c, dir, bytes, len)
                   : s->in_data ? take_data(c, dir, bytes, len)
                                : take_header(c, dir, bytes, len);
        bytes += n;
        len -= n;
    }
}

/* From the next PDU of each direction on. The initiator cannot have sent more of a PDU than we have seen of
 * it: a request in the middle of its way here is one that was sent before the login had ended. */
void split_set_digests(struct rconn *c, bool header, bool data)
{
    for (int dir = 0; dir < 2; dir++) {
        struct rsplit *s = &c->split[dir];
        if (s->in_data || s->header_have >= PDU_BHS_LEN) {
            if (header || data) {
                s->lost = true;
                conn_blind(c);
            }
            continue;
        }
        s->header_digest = header;
        s->data_digest = data;
    }
}

void split_resume(struct rconn *c, enum tap_direction dir, const uint8_t *bhs, bool header_digest,
                  bool data_digest)
{
    struct rsplit *s = &c->split[dir];
    s->lost = s->in_data = false;
    s->header_digest = header_digest;
    s->data_digest = data_digest;
    memcpy(s->header, bhs, PDU_BHS_LEN);
    s->header_have = PDU_BHS_LEN;
    s->header_need = PDU_BHS_LEN + pdu_ahs_len(bhs) + (header_digest ? PDU_DIGEST_LEN : 0);
    if (s->header_have == s->header_need)
        end_header(c, dir);
}

bool split_missing(struct rconn *c, enum tap_direction dir, uint64_t len)
{
    struct rsplit *s = &c->split[dir];
    uint32_t total = s->data_len + pdu_pad_len(s->data_len) + (s->data_digest ? PDU_DIGEST_LEN : 0);
    if (!s->lost && !s->in_data && s->header_have == 0 && len <= s->cut_rest) {
        s->cut_rest -= len; /* more of the PDU that has been judged */
        return true;
    }
    if (s->lost || !s->in_data || len > total - s->at)
        return false;
    s->cut_rest = total - s->at - len;
    s->cut = true;
    end_pdu(c, dir, false);
    s->cut = false;
    return true;
}

void split_fini(struct rconn *c, struct rsplit *s)
{
    conn_release(c, s->sync, s->sync ? sync_size() : 0);
    s->sync = NULL;
    conn_release(c, s->keep, s->keep_cap);
    s->keep = NULL;
    s->keep_cap = 0;
}
