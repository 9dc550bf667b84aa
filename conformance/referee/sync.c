/* Finding PDUs in the middle of a connection. Each place where 48 bytes could be a header starts runners, one
 * for each way the digests may be; a runner goes from header to header as these say, and ends where one is
 * not plausible or its digest is wrong. When one has come far enough and no other has come anywhere, its
 * header is the first PDU that is judged. What both directions agree on are the digests: the first to be sure
 * tells the other.
 *
 * A chain without any data tells nothing of data digests: then two runners live on, and nothing is judged. */
#include <string.h>

#include "common/iscsi/digest.h"
#include "conformance/referee/internal.h"

#define RUNNERS    24u
#define CHAIN_SURE 3u /* headers in a row */
#define CHAIN_SOME 2u /* another runner that has come so far is a rival */

struct runner {
    uint8_t head[PDU_BHS_LEN + PDU_DIGEST_LEN];
    uint32_t have, skip; /* skip: bytes to the next header */
    uint32_t chain;      /* headers that fitted */
    bool alive, header_digest, data_digest;
};

struct rsync {
    uint8_t window[PDU_BHS_LEN]; /* the last bytes, a ring */
    uint64_t seen;
    struct runner runners[RUNNERS];
};

static bool plausible(const uint8_t *bhs, enum tap_direction dir)
{
    const struct pdu_type *type = pdu_type_of(bhs[0] & 0x3f);
    bool from_initiator = dir == TO_T;
    if (!type || (type->from == PDU_FROM_INITIATOR) != from_initiator || (bhs[0] & 0x80) ||
        (!from_initiator && (bhs[0] & 0x40)))
        return false;
    if (type->opcode == PDU_OP_login_request || type->opcode == PDU_OP_login_response)
        return false;
    return (bhs[4] == 0 || type->opcode == PDU_OP_scsi_command) && pdu_check(bhs, true, NULL);
}

/* ---- runners ---- */

/* Behind its header: how far to the next one? */
static void go_on(struct runner *run)
{
    uint32_t data = pdu_data_len(run->head);
    run->skip = pdu_ahs_len(run->head) + data + pdu_pad_len(data);
    run->skip += run->data_digest && data ? PDU_DIGEST_LEN : 0;
    /* With an additional header the digest comes behind that, and goes unchecked. */
    run->skip += run->header_digest && run->head[4] ? PDU_DIGEST_LEN : 0;
    run->have = 0;
}

static void end_head(struct runner *run, enum tap_direction dir)
{
    run->alive = plausible(run->head, dir);
    run->chain++;
    if (run->alive && !(run->header_digest && run->head[4] == 0))
        go_on(run);
}

static void end_digest(struct runner *run)
{
    run->alive = digest_get(run->head + PDU_BHS_LEN) == digest_crc32c(run->head, PDU_BHS_LEN);
    go_on(run);
}

/* One byte; true when a header has just fitted. */
static bool step(struct runner *run, enum tap_direction dir, uint8_t byte)
{
    if (run->skip) {
        run->skip--;
        return false;
    }
    run->head[run->have++] = byte;
    if (run->have == PDU_BHS_LEN) {
        end_head(run, dir);
        return run->alive;
    }
    if (run->have == sizeof run->head)
        end_digest(run);
    return false;
}

static void start(struct rsync *y, const uint8_t *bhs, bool header_digest, bool data_digest)
{
    for (uint32_t i = 0; i < RUNNERS; i++) {
        struct runner *run = &y->runners[i];
        if (run->alive)
            continue;
        *run = (struct runner){.alive = true, .header_digest = header_digest, .data_digest = data_digest};
        memcpy(run->head, bhs, PDU_BHS_LEN);
        run->have = PDU_BHS_LEN;
        run->chain = 1;
        if (!header_digest || bhs[4])
            go_on(run);
        return;
    }
}

/* Has a runner this header already? */
static bool is_known(const struct rsync *y, const uint8_t *bhs)
{
    for (uint32_t i = 0; i < RUNNERS; i++)
        if (y->runners[i].alive && y->runners[i].chain > 1 && y->runners[i].have % PDU_BHS_LEN == 0 &&
            memcmp(y->runners[i].head, bhs, PDU_BHS_LEN) == 0)
            return true;
    return false;
}

/* Once the other direction goes on, its digests are this one's too. */
static bool is_excluded(const struct rsplit *other, bool header_digest, bool data_digest)
{
    return !other->lost && (header_digest != other->header_digest || data_digest != other->data_digest);
}

static void start_all(struct rconn *c, struct rsync *y, const uint8_t *bhs, enum tap_direction dir)
{
    const struct rsplit *other = &c->split[!dir];
    for (unsigned mode = 0; mode < 4; mode++) {
        bool header = mode & 1, data = mode & 2;
        if (!is_excluded(other, header, data))
            start(y, bhs, header, data);
    }
}

static bool is_sure(const struct rsync *y, const struct runner *run)
{
    if (run->chain < CHAIN_SURE)
        return false;
    for (uint32_t i = 0; i < RUNNERS; i++)
        if (&y->runners[i] != run && y->runners[i].alive && y->runners[i].chain >= CHAIN_SOME)
            return false;
    return true;
}

/* The last 48 bytes in order. */
static void last_bytes(const struct rsync *y, uint8_t *out)
{
    uint32_t at = (uint32_t)(y->seen % PDU_BHS_LEN);
    memcpy(out, y->window + at, PDU_BHS_LEN - at);
    memcpy(out + PDU_BHS_LEN - at, y->window, at);
}

/* ---- the door ---- */

static const struct runner *take_byte(struct rconn *c, struct rsync *y, enum tap_direction dir, uint8_t byte)
{
    uint8_t bhs[PDU_BHS_LEN];
    const struct runner *sure = NULL;
    for (uint32_t i = 0; i < RUNNERS; i++) {
        struct runner *run = &y->runners[i];
        run->alive = run->alive && !is_excluded(&c->split[!dir], run->header_digest, run->data_digest);
        if (run->alive && step(run, dir, byte) && is_sure(y, run))
            sure = run;
    }
    /* Sure is sure only when all runners have had the byte. */
    if (sure && is_sure(y, sure))
        return sure;
    y->window[y->seen++ % PDU_BHS_LEN] = byte;
    if (y->seen < PDU_BHS_LEN)
        return NULL;
    last_bytes(y, bhs);
    if (plausible(bhs, dir) && !is_known(y, bhs))
        start_all(c, y, bhs, dir);
    return NULL;
}

size_t sync_feed(struct rconn *c, enum tap_direction dir, const uint8_t *bytes, size_t len)
{
    struct rsplit *s = &c->split[dir];
    if (!s->sync)
        s->sync = conn_alloc(c, sizeof *s->sync);
    if (!s->sync)
        return len;
    for (size_t i = 0; i < len; i++) {
        const struct runner *run = take_byte(c, s->sync, dir, bytes[i]);
        if (!run)
            continue;
        uint8_t bhs[PDU_BHS_LEN];
        bool header = run->header_digest, data = run->data_digest;
        memcpy(bhs, run->head, sizeof bhs);
        sync_forget(c, dir);
        session_guess(c);
        split_resume(c, dir, bhs, header, data);
        return i + 1;
    }
    return len;
}

void sync_forget(struct rconn *c, enum tap_direction dir)
{
    conn_release(c, c->split[dir].sync, sizeof(struct rsync));
    c->split[dir].sync = NULL;
}

size_t sync_size(void)
{
    return sizeof(struct rsync);
}
