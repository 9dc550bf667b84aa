/* PDU boundaries, digests, names and secrets of a connection, from its bytes alone. */
#include "common/capture/pdu_track.h"

#include <string.h>

/* ---- login text ---- */

/* Keys whose values help to find a password, or are one: CHAP's, and those of the methods that others may
 * use. */
static const char *const secret_keys[] = {"CHAP_C", "CHAP_R", "SRP_s",      "SRP_A",     "SRP_B",
                                          "SRP_M",  "SRP_HM", "KRB_AP_REQ", "KRB_AP_REP"};

static bool key_is(const struct text_watch *w, const char *key)
{
    size_t len = strlen(key);
    return w->key_len == len && memcmp(w->key, key, len) == 0;
}

static bool is_secret(const struct text_watch *w)
{
    for (size_t i = 0; i < sizeof secret_keys / sizeof *secret_keys; i++)
        if (key_is(w, secret_keys[i]))
            return true;
    return false;
}

/* Whoever speaks second answers; who repeats himself changes nothing. */
static void digest_said(bool *said, bool other_said, bool *answer, const char *value)
{
    if (other_said && !*said)
        *answer = strcmp(value, "CRC32C") == 0;
    *said = true;
}

/* A pair has ended. */
static void take_pair(struct pdu_track *t, struct pdu_track_side *side)
{
    struct text_watch *w = &side->text;
    const struct pdu_track_side *other = side == &t->side[0] ? &t->side[1] : &t->side[0];
    w->value[w->value_len < sizeof w->value ? w->value_len : sizeof w->value - 1] = '\0';
    if (key_is(w, "InitiatorName") && !t->initiator[0])
        memcpy(t->initiator, w->value, sizeof t->initiator);
    else if (key_is(w, "TargetName") && !t->target[0])
        memcpy(t->target, w->value, sizeof t->target);
    else if (key_is(w, "HeaderDigest"))
        digest_said(&side->said_header, other->said_header, &t->answer_header, w->value);
    else if (key_is(w, "DataDigest"))
        digest_said(&side->said_data, other->said_data, &t->answer_data, w->value);
}

static void watch_reset(struct text_watch *w)
{
    w->key_len = w->value_len = 0;
    w->in_value = w->secret = w->base64 = false;
}

/* What a secret's byte becomes: 0x and 0b stay, so that it still reads as a binary value. */
static uint8_t filler(struct text_watch *w, uint8_t byte)
{
    if (w->value_len == 0)
        return byte == '0' ? '0' : 'X';
    if (w->value_len == 1 && w->value[0] == '0') {
        w->base64 = byte == 'b' || byte == 'B';
        return byte;
    }
    return w->base64 ? (byte == '=' ? '=' : 'A') : '0';
}

static void watch_byte(struct pdu_track *t, struct pdu_track_side *side, uint8_t *byte, bool hide)
{
    struct text_watch *w = &side->text;
    if (*byte == 0) {
        if (w->in_value)
            take_pair(t, side);
        watch_reset(w);
    } else if (!w->in_value && *byte == '=') {
        w->in_value = true;
        w->secret = is_secret(w);
    } else if (!w->in_value) {
        /* A key that is too long is none of ours: its length says so. */
        if (w->key_len < sizeof w->key)
            w->key[w->key_len] = (char)*byte;
        w->key_len += w->key_len <= sizeof w->key;
    } else {
        uint8_t fill = w->secret ? filler(w, *byte) : *byte;
        if (w->value_len < sizeof w->value - 1)
            w->value[w->value_len] = (char)*byte;
        w->value_len += w->value_len < sizeof w->value;
        if (hide && w->secret)
            *byte = fill;
    }
}

/* ---- what a complete login PDU changes ---- */

static void login_request_over(struct pdu_track *t, const struct pdu_track_side *side)
{
    if (!(side->bhs[1] & 0x40)) /* C bit: the text goes on in the next PDU */
        t->said_names = true;
}

static void login_response_over(struct pdu_track *t, const struct pdu_track_side *side)
{
    struct pdu_login_response r;
    pdu_login_response_decode(side->bhs, &r);
    if (!r.transit || r.nsg != 3 || r.status_class != 0)
        return;
    t->header_digest = t->answer_header;
    t->data_digest = t->answer_data;
    t->full_feature = true;
}

/* ---- boundaries ---- */

void pdu_track_init(struct pdu_track *t)
{
    memset(t, 0, sizeof *t);
}

void pdu_track_assume(struct pdu_track *t, bool header_digest, bool data_digest)
{
    t->full_feature = true;
    t->header_digest = header_digest;
    t->data_digest = data_digest;
    t->side[0].lost = t->side[1].lost = true;
}

static bool is_login(uint8_t opcode)
{
    return opcode == PDU_OP_login_request || opcode == PDU_OP_login_response;
}

uint32_t pdu_track_total(const struct pdu_track *t, const uint8_t *bhs)
{
    bool digests = t->full_feature && !is_login(pdu_opcode(bhs));
    uint32_t data = pdu_data_len(bhs);
    uint32_t total = PDU_BHS_LEN + pdu_ahs_len(bhs) + data + pdu_pad_len(data);
    if (digests && t->header_digest)
        total += PDU_DIGEST_LEN;
    if (digests && t->data_digest && data > 0)
        total += PDU_DIGEST_LEN;
    return total;
}

uint32_t pdu_track_rest(const struct pdu_track *t, enum tap_direction d)
{
    const struct pdu_track_side *side = &t->side[d];
    return side->total ? side->total - side->done : 0;
}

static void header_over(struct pdu_track *t, struct pdu_track_side *side)
{
    side->total = pdu_track_total(t, side->bhs);
    side->data_off = PDU_BHS_LEN + pdu_ahs_len(side->bhs);
    bool digest = t->full_feature && t->header_digest && !is_login(pdu_opcode(side->bhs));
    side->data_off += digest ? PDU_DIGEST_LEN : 0;
}

static void pdu_over(struct pdu_track *t, enum tap_direction d)
{
    struct pdu_track_side *side = &t->side[d];
    uint8_t opcode = pdu_opcode(side->bhs);
    if (d == TAP_TO_TARGET && opcode == PDU_OP_login_request)
        login_request_over(t, side);
    else if (d == TAP_TO_INITIATOR && opcode == PDU_OP_login_response)
        login_response_over(t, side);
    /* A text that is not continued ends with its PDU, with or without its last NUL. */
    if (is_login(opcode) && !(side->bhs[1] & 0x40))
        watch_reset(&side->text);
    side->have = side->total = side->done = 0;
}

/* Text of the login phase among the next n bytes of the current PDU. */
static void watch_text(struct pdu_track *t, struct pdu_track_side *side, uint8_t *bytes, size_t n, bool hide)
{
    if (t->full_feature || !is_login(pdu_opcode(side->bhs)))
        return;
    uint64_t end = (uint64_t)side->data_off + pdu_data_len(side->bhs);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = side->done + i;
        if (at >= side->data_off && at < end)
            watch_byte(t, side, bytes + i, hide);
    }
}

static size_t feed(struct pdu_track *t, enum tap_direction d, uint8_t *bytes, size_t len, bool hide,
                   bool *ended)
{
    struct pdu_track_side *side = &t->side[d];
    size_t used = 0;
    *ended = false;
    if (side->lost)
        return 0;
    if (side->have < PDU_BHS_LEN) {
        used = PDU_BHS_LEN - side->have < len ? PDU_BHS_LEN - side->have : len;
        memcpy(side->bhs + side->have, bytes, used);
        side->have += (uint32_t)used;
        side->done += (uint32_t)used;
        if (side->have < PDU_BHS_LEN)
            return used;
        header_over(t, side);
    }
    size_t n = side->total - side->done < len - used ? side->total - side->done : len - used;
    watch_text(t, side, bytes + used, n, hide);
    side->done += (uint32_t)n;
    if (side->done == side->total) {
        pdu_over(t, d);
        *ended = true;
    }
    return used + n;
}

size_t pdu_track_feed_hide(struct pdu_track *t, enum tap_direction d, uint8_t *bytes, size_t len, bool *ended)
{
    return feed(t, d, bytes, len, true, ended);
}

size_t pdu_track_feed(struct pdu_track *t, enum tap_direction d, const uint8_t *bytes, size_t len,
                      bool *ended)
{
    /* Nothing is written without `hide`. */
    return feed(t, d, (uint8_t *)(uintptr_t)bytes, len, false, ended);
}

void pdu_track_skip(struct pdu_track *t, enum tap_direction d, uint64_t len)
{
    struct pdu_track_side *side = &t->side[d];
    if (len == 0 || side->lost)
        return;
    if (!side->total || len > side->total - side->done) {
        side->lost = true;
        side->have = side->total = side->done = 0;
        watch_reset(&side->text);
        return;
    }
    side->done += (uint32_t)len;
    if (side->done == side->total)
        pdu_over(t, d);
}

void pdu_track_sync(struct pdu_track *t, enum tap_direction d)
{
    struct pdu_track_side *side = &t->side[d];
    side->lost = false;
    side->have = side->total = side->done = 0;
}

bool pdu_track_plausible(const uint8_t *bhs, enum tap_direction d)
{
    const struct pdu_type *type = pdu_type_of(bhs[0]);
    if (!type || (type->from == PDU_FROM_INITIATOR) != (d == TAP_TO_TARGET))
        return false;
    if ((bhs[0] & 0x80) || (d == TAP_TO_INITIATOR && (bhs[0] & 0x40)))
        return false;
    return pdu_check(bhs, true, NULL);
}
