/* PDUs in the ordered bytes of a connection. */
#include "common/capture/streams.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/capture/streams_internal.h"
#include "common/iscsi/digest.h"

#define STREAMS_LOGIN_MAX 65536u /* bytes: a first login request with more text is none */

/* ---- who is who ---- */

static bool on_port(const struct streams *s, const struct io_addr *end)
{
    return end->port == (s->options.port ? s->options.port : STREAMS_PORT);
}

/* A login request that could begin a connection? */
static bool begins_login(const uint8_t *bytes, uint32_t len)
{
    if (len < PDU_BHS_LEN)
        return (bytes[0] & 0x3f) == PDU_OP_login_request;
    return pdu_opcode(bytes) == PDU_OP_login_request && bytes[4] == 0 &&
           pdu_data_len(bytes) <= STREAMS_LOGIN_MAX && be32_get(bytes + 32) == 0 && be64_get(bytes + 40) == 0;
}

static int sender_of(const uint8_t *bytes, uint32_t len, int from)
{
    if (len < PDU_BHS_LEN)
        return -1;
    if (pdu_track_plausible(bytes, TAP_TO_TARGET))
        return from;
    return pdu_track_plausible(bytes, TAP_TO_INITIATOR) ? !from : -1;
}

void stream_decide(struct streams *s, struct flow *f, int from, const uint8_t *bytes, uint32_t len)
{
    if (f->initiator < 0 && on_port(s, &f->end[0]) != on_port(s, &f->end[1]))
        f->initiator = on_port(s, &f->end[0]) ? 1 : 0;
    bool port = f->initiator >= 0 && on_port(s, &f->end[!f->initiator]);
    if (len == 0 && !port)
        return; /* bytes are missing; those that come will tell */
    if (f->initiator < 0) {
        /* A stranger in mid-stream: in our own captures all is iSCSI, and a header tells who sent it. */
        if (!s->options.ordered)
            f->interest = FLOW_OTHER;
        else
            f->initiator = sender_of(bytes, len, from);
        if (f->initiator < 0)
            return;
        port = true;
    }
    bool login = !s->options.port && from == f->initiator && begins_login(bytes, len);
    f->interest = port || login || s->options.ordered ? FLOW_ISCSI : FLOW_OTHER;
}

static enum tap_direction direction(const struct flow *f, int from)
{
    return from == f->initiator ? TAP_TO_TARGET : TAP_TO_INITIATOR;
}

static void open_conn(struct streams *s, struct flow *f, uint64_t time_ns)
{
    f->opened = true;
    f->conn = (struct streams_conn){.number = ++s->counts.connections};
    f->conn.initiator = f->end[f->initiator];
    f->conn.target = f->end[!f->initiator];
    f->conn.partial = !f->syn;
    s->counts.partial += !f->syn;
    if (!f->syn)
        pdu_track_assume(&f->track, false, false);
    for (int from = 0; from < 2; from++)
        f->track.side[direction(f, from)].lost |= f->side[from].missed;
    s->sink.open(s->sink.ctx, &f->conn, time_ns);
}

/* ---- finding the next boundary ---- */

/* Login was not seen: a digest shows by being right. */
static void learn_digests(struct flow *f, const uint8_t *bytes, uint32_t len)
{
    struct pdu_track *t = &f->track;
    uint32_t head = PDU_BHS_LEN + pdu_ahs_len(bytes);
    if (len >= head + PDU_DIGEST_LEN)
        t->header_digest = digest_get(bytes + head) == digest_crc32c(bytes, head);
    uint32_t at = head + (t->header_digest ? PDU_DIGEST_LEN : 0), data = pdu_data_len(bytes);
    uint32_t padded = data + pdu_pad_len(data);
    if (data > 0 && len >= at && len - at >= padded + PDU_DIGEST_LEN)
        t->data_digest = digest_get(bytes + at + padded) == digest_crc32c(bytes + at, padded);
}

static bool is_login(const uint8_t *bhs)
{
    return pdu_opcode(bhs) == PDU_OP_login_request || pdu_opcode(bhs) == PDU_OP_login_response;
}

/* A PDU can begin only where a segment does: that is where senders begin one after a pause, and a chance
 * elsewhere. */
static bool find_boundary(struct flow *f, enum tap_direction d, const struct piece *piece)
{
    if (!piece->begins || piece->len < PDU_BHS_LEN || !pdu_track_plausible(piece->bytes, d))
        return false;
    if (is_login(piece->bytes)) {
        f->track.full_feature = false;
    } else if (f->conn.partial) {
        f->track.full_feature = true;
        learn_digests(f, piece->bytes, piece->len);
    }
    pdu_track_sync(&f->track, d);
    return true;
}

/* In a connection whose digests were guessed a wrong guess shows at the next header. */
static bool boundary_holds(struct flow *f, enum tap_direction d, const struct piece *piece)
{
    if (!f->conn.partial || pdu_track_inside(&f->track, d) || piece->len < PDU_BHS_LEN)
        return true;
    return pdu_track_plausible(piece->bytes, d);
}

/* A header four bytes later than thought: then the data before it had a digest. */
static bool is_late_digest(const struct flow *f, enum tap_direction d, const struct piece *piece)
{
    return !f->track.data_digest && pdu_data_len(f->track.side[d].bhs) > 0 &&
           (piece->len == PDU_DIGEST_LEN || (piece->len >= PDU_DIGEST_LEN + PDU_BHS_LEN &&
                                             pdu_track_plausible(piece->bytes + PDU_DIGEST_LEN, d)));
}

/* ---- PDUs ---- */

static bool shows_data(const uint8_t *bhs)
{
    uint8_t opcode = pdu_opcode(bhs);
    return is_login(bhs) || opcode == PDU_OP_text_request || opcode == PDU_OP_text_response ||
           opcode == PDU_OP_scsi_response || opcode == PDU_OP_reject || opcode == PDU_OP_async_message;
}

static void pdu_begin(struct pdu_side *p, const struct piece *piece)
{
    p->first_packet = piece->packet;
    p->first_ns = piece->time_ns;
    p->damaged = p->collecting = false;
    p->data_have = 0;
}

static void pdu_end(struct streams *s, struct flow *f, enum tap_direction d, uint64_t packet,
                    uint64_t time_ns)
{
    struct pdu_side *p = &f->pdu[d];
    const uint8_t *bhs = f->track.side[d].bhs;
    struct streams_pdu pdu = {.direction = d, .bhs = bhs, .complete = !p->damaged};
    pdu.data_len = pdu_data_len(bhs);
    pdu.data = p->collecting && !p->damaged && p->data_have == pdu.data_len ? p->data : NULL;
    pdu.first_packet = p->first_packet;
    pdu.first_ns = p->first_ns;
    pdu.packet = packet;
    pdu.time_ns = time_ns;
    s->sink.pdu(s->sink.ctx, &f->conn, &pdu);
    p->damaged = p->collecting = false;
}

/* Bytes [done - n, done) of the current PDU were fed: keeps those of a short data segment. */
static void collect(struct streams *s, struct flow *f, enum tap_direction d, uint32_t from,
                    const uint8_t *bytes, size_t n)
{
    struct pdu_side *p = &f->pdu[d];
    const struct pdu_track_side *t = &f->track.side[d];
    if (from + n < PDU_BHS_LEN || !shows_data(t->bhs))
        return;
    uint32_t data = pdu_data_len(t->bhs);
    if (data == 0 || data > STREAMS_SHORT_DATA)
        return;
    if (!p->data)
        p->data = env_alloc(s->env, STREAMS_SHORT_DATA);
    p->collecting = p->data != NULL;
    for (size_t i = t->data_off > from ? t->data_off - from : 0;
         p->collecting && i < n && p->data_have < data; i++)
        p->data[p->data_have++] = bytes[i];
}

static void take(struct piece *piece, size_t n)
{
    piece->bytes += n;
    piece->len -= (uint32_t)n;
    piece->begins = false;
}

/* The rest of a PDU of which something is missing. */
static void skip_damaged(struct streams *s, struct flow *f, enum tap_direction d, struct piece *piece)
{
    struct pdu_side *p = &f->pdu[d];
    uint32_t rest = pdu_track_rest(&f->track, d);
    uint32_t n = rest < piece->len ? rest : piece->len;
    s->counts.skipped_bytes += n;
    pdu_track_skip(&f->track, d, n);
    take(piece, n);
    if (n == rest) {
        pdu_end(s, f, d, piece->packet, piece->time_ns);
        p->damaged = false;
    }
}

static void feed(struct streams *s, struct flow *f, enum tap_direction d, struct piece *piece)
{
    bool ended;
    if (!pdu_track_inside(&f->track, d))
        pdu_begin(&f->pdu[d], piece);
    uint32_t from = f->track.side[d].done;
    const uint8_t *bytes = piece->bytes;
    size_t n = pdu_track_feed(&f->track, d, bytes, piece->len, &ended);
    collect(s, f, d, from, bytes, n);
    s->sink.bytes(s->sink.ctx, &f->conn, d, bytes, (uint32_t)n, piece->time_ns);
    take(piece, n);
    if (ended)
        pdu_end(s, f, d, piece->packet, piece->time_ns);
}

void stream_bytes(struct streams *s, struct flow *f, int from, struct piece piece)
{
    if (!f->opened)
        open_conn(s, f, piece.time_ns);
    enum tap_direction d = direction(f, from);
    while (piece.len > 0) {
        if (f->track.side[d].lost && !find_boundary(f, d, &piece)) {
            s->counts.skipped_bytes += piece.len;
            return;
        }
        if (f->pdu[d].damaged) {
            skip_damaged(s, f, d, &piece);
        } else if (f->conn.partial && !pdu_track_inside(&f->track, d) && is_late_digest(f, d, &piece)) {
            f->track.data_digest = true;
            s->counts.skipped_bytes += PDU_DIGEST_LEN;
            take(&piece, PDU_DIGEST_LEN);
            s->sink.gap(s->sink.ctx, &f->conn, d, 0, piece.time_ns);
        } else if (boundary_holds(f, d, &piece)) {
            feed(s, f, d, &piece);
        } else {
            f->track.side[d].lost = true;
            s->sink.gap(s->sink.ctx, &f->conn, d, 0, piece.time_ns);
        }
    }
}

void stream_gap(struct streams *s, struct flow *f, int from, uint64_t len, uint64_t packet, uint64_t time_ns)
{
    if (!f->opened)
        open_conn(s, f, time_ns);
    enum tap_direction d = direction(f, from);
    const struct pdu_track_side *t = &f->track.side[d];
    s->counts.gaps++;
    s->counts.missing_bytes += len;
    s->sink.gap(s->sink.ctx, &f->conn, d, len, time_ns);
    bool within = t->total > 0, lost = t->lost;
    pdu_track_skip(&f->track, d, len);
    if (within && !t->lost && t->have > 0)
        f->pdu[d].damaged = true;
    else if (within && !lost) {
        /* All of it is past, or more: the header was seen, so it counts as one that is not whole. */
        f->pdu[d].damaged = true;
        pdu_end(s, f, d, packet, time_ns);
    }
}

void stream_close(struct streams *s, struct flow *f, uint64_t time_ns)
{
    if (f->opened)
        s->sink.close(s->sink.ctx, &f->conn, time_ns);
}

void stream_free(struct streams *s, struct flow *f)
{
    env_free(s->env, f->pdu[0].data);
    env_free(s->env, f->pdu[1].data);
    f->pdu[0].data = f->pdu[1].data = NULL;
}
