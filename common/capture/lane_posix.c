/* The producers: a tap that cuts the bytes of connections into PDUs and puts each, whole, into its thread's
 * ring. */
#include <string.h>

#include "common/capture/capture_internal.h"

/* ---- connections by number ---- */

static uint32_t shard_of(uint64_t id)
{
    return (uint32_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 58);
}
_Static_assert(CAPTURE_SHARDS == 64, "six bits of hash");

/* The lock is held for a few instructions, and two threads meet only where connections share a shard. */
static struct capture_conn *conn_find(struct capture_lane *lane, uint64_t id)
{
    /* A number is never used again: the pointer of a connection that ended at another tap is never looked at.
     */
    if (lane->last && lane->last_id == id)
        return lane->last;
    struct capture *c = lane->capture;
    uint32_t s = shard_of(id);
    pthread_mutex_lock(&c->shards[s].lock);
    struct capture_conn *conn = c->shards[s].first;
    while (conn && conn->id != id)
        conn = conn->next;
    pthread_mutex_unlock(&c->shards[s].lock);
    if (conn) {
        lane->last = conn;
        lane->last_id = id;
    }
    return conn;
}

static void conn_link(struct capture *c, struct capture_conn *conn)
{
    uint32_t s = shard_of(conn->id);
    pthread_mutex_lock(&c->shards[s].lock);
    conn->next = c->shards[s].first;
    c->shards[s].first = conn;
    pthread_mutex_unlock(&c->shards[s].lock);
}

static void conn_unlink(struct capture *c, struct capture_conn *conn)
{
    uint32_t s = shard_of(conn->id);
    pthread_mutex_lock(&c->shards[s].lock);
    struct capture_conn **at = &c->shards[s].first;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    pthread_mutex_unlock(&c->shards[s].lock);
}

static void part_free(struct capture *c, struct capture_side *side)
{
    env_free(c->env, side->part);
    atomic_fetch_sub_explicit(&c->part_bytes, side->part_cap, memory_order_relaxed);
    side->part = NULL;
    side->part_len = side->part_cap = 0;
}

static void conn_free_buffers(struct capture *c, struct capture_conn *conn)
{
    part_free(c, &conn->side[0]);
    part_free(c, &conn->side[1]);
    env_free(c->env, conn->held);
    conn->held = NULL;
    conn->held_len = conn->held_cap = 0;
}

void lanes_free_conns(struct capture *c)
{
    for (uint32_t s = 0; s < CAPTURE_SHARDS; s++) {
        struct capture_conn *conn;
        while ((conn = c->shards[s].first) != NULL) {
            c->shards[s].first = conn->next;
            conn_free_buffers(c, conn);
            env_free(c->env, conn);
        }
    }
}

/* ---- records ---- */

static void count(atomic_ullong *counter, uint64_t n)
{
    /* One writer only: no locked instruction needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static struct record *record_fill(struct record *r, const struct capture_conn *conn, enum record_kind kind,
                                  enum tap_direction d, uint32_t len, uint64_t time_ns)
{
    *r = (struct record){
        .conn = conn->id, .time_ns = time_ns, .len = len, .kind = (uint8_t)kind, .direction = (uint8_t)d};
    r->skip_bytes = conn->side[d].skip_bytes;
    r->skip_pdus = conn->side[d].skip_pdus;
    return r;
}

static uint32_t held_size(uint32_t len)
{
    return (uint32_t)((sizeof(struct record) + len + RING_ALIGN - 1) & ~(size_t)(RING_ALIGN - 1));
}

static struct record *held_reserve(struct capture *c, struct capture_conn *conn, uint32_t len)
{
    uint64_t need = (uint64_t)conn->held_len + held_size(len);
    if (need > CAPTURE_HELD_MAX)
        return NULL;
    if (need > conn->held_cap) {
        uint32_t cap = need < 16384 ? 16384 : CAPTURE_HELD_MAX;
        uint8_t *grown = env_alloc(c->env, cap);
        if (!grown)
            return NULL;
        if (conn->held_len)
            memcpy(grown, conn->held, conn->held_len);
        env_free(c->env, conn->held);
        conn->held = grown;
        conn->held_cap = cap;
    }
    return (struct record *)(void *)(conn->held + conn->held_len);
}

static struct record *ring_record(struct capture_lane *lane, uint32_t len)
{
    return ring_reserve(&lane->ring, (uint32_t)sizeof(struct record) + len);
}

static void ring_send(struct capture_lane *lane, struct capture_conn *conn, struct record *r)
{
    if (conn->lane != lane) {
        /* It came from another reactor: everything that was published there is older. */
        r->after_lane = conn->lane->index + 1;
        r->after_pos = ring_head(&conn->lane->ring);
        conn->lane = lane;
    }
    ring_publish(&lane->ring);
}

/* The file has to know a connection before its first PDU. */
static bool tell_open(struct capture_lane *lane, struct capture_conn *conn)
{
    if (conn->told)
        return true;
    struct record *r = ring_record(lane, sizeof(struct record_open));
    if (!r)
        return false;
    *r = (struct record){
        .conn = conn->id, .time_ns = conn->open_ns, .len = sizeof(struct record_open), .kind = RECORD_OPEN};
    struct record_open open = {conn->initiator, conn->target};
    memcpy(r->payload, &open, sizeof open);
    ring_send(lane, conn, r);
    conn->told = true;
    return true;
}

static struct record *reserve(struct capture_lane *lane, struct capture_conn *conn, enum record_kind kind,
                              enum tap_direction d, uint32_t len, uint64_t time_ns)
{
    struct record *r = conn->state == CONN_UNDECIDED ? held_reserve(lane->capture, conn, len)
                       : tell_open(lane, conn)       ? ring_record(lane, len)
                                                     : NULL;
    return r ? record_fill(r, conn, kind, d, len, time_ns) : NULL;
}

static void publish(struct capture_lane *lane, struct capture_conn *conn, struct record *r)
{
    conn->side[r->direction].skip_bytes = 0;
    conn->side[r->direction].skip_pdus = 0;
    if (conn->state == CONN_UNDECIDED)
        conn->held_len += held_size(r->len);
    else
        ring_send(lane, conn, r);
}

static void drop(struct capture_lane *lane, struct capture_conn *conn, enum tap_direction d, uint64_t bytes,
                 bool whole)
{
    conn->side[d].skip_bytes += bytes;
    conn->side[d].skip_pdus += whole;
    count(&lane->dropped, whole);
    count(&lane->dropped_bytes, bytes);
}

/* ---- the filter ---- */

bool capture_name_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *again = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            again = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* What was held goes into the ring as if it had come now. */
static void release_held(struct capture_lane *lane, struct capture_conn *conn)
{
    struct capture *c = lane->capture;
    uint64_t pdus = 0, bytes = 0;
    for (uint32_t at = 0; at < conn->held_len;) {
        const struct record *held = (const struct record *)(const void *)(conn->held + at);
        enum tap_direction d = (enum tap_direction)held->direction;
        conn->side[d].skip_bytes += held->skip_bytes;
        conn->side[d].skip_pdus += held->skip_pdus;
        struct record *r = reserve(lane, conn, RECORD_PDU, d, held->len, held->time_ns);
        if (r) {
            memcpy(r->payload, held->payload, held->len);
            publish(lane, conn, r);
        } else {
            drop(lane, conn, d, held->len, true);
        }
        pdus++;
        bytes += held->len;
        at += held_size(held->len);
    }
    count(&lane->pdus, pdus);
    count(&lane->pdu_bytes, bytes);
    env_free(c->env, conn->held);
    conn->held = NULL;
    conn->held_len = conn->held_cap = 0;
}

static void decide(struct capture_lane *lane, struct capture_conn *conn)
{
    const char *pattern = lane->capture->session;
    if (!conn->track.said_names && !conn->track.full_feature)
        return;
    if (capture_name_matches(pattern, conn->track.initiator) ||
        capture_name_matches(pattern, conn->track.target)) {
        conn->state = CONN_TAKEN;
        release_held(lane, conn);
    } else {
        conn->state = CONN_IGNORED;
        conn_free_buffers(lane->capture, conn);
    }
}

/* ---- bytes ---- */

struct cursor { /* over a list of places */
    const struct io_vec *place;
    size_t at; /* within it */
    uint64_t left;
};

static size_t piece(struct cursor *in, const uint8_t **out)
{
    while (in->at == in->place->len) {
        in->place++;
        in->at = 0;
    }
    size_t n = in->place->len - in->at;
    *out = (const uint8_t *)in->place->ptr + in->at;
    return n < in->left ? n : (size_t)in->left;
}

static void forward(struct cursor *in, size_t n)
{
    in->at += n;
    in->left -= n;
}

static void copy_out(struct cursor *in, uint8_t *to, uint32_t len)
{
    while (len > 0) {
        const uint8_t *from;
        size_t n = piece(in, &from);
        n = n < len ? n : len;
        memcpy(to, from, n);
        forward(in, n);
        to += n;
        len -= (uint32_t)n;
    }
}

static void pdu_over(struct capture_lane *lane, struct capture_conn *conn, uint32_t len)
{
    if (conn->state == CONN_UNDECIDED) {
        decide(lane, conn); /* which counts what was held */
        return;
    }
    count(&lane->pdus, 1);
    count(&lane->pdu_bytes, len);
}

static size_t feed_own(struct capture_lane *lane, struct capture_conn *conn, enum tap_direction d,
                       uint8_t *bytes, size_t len, bool *ended)
{
    return lane->capture->options.no_secrets ? pdu_track_feed_hide(&conn->track, d, bytes, len, ended)
                                             : pdu_track_feed(&conn->track, d, bytes, len, ended);
}

/* A PDU that begins here and is all there, which most are: one copy. False: it is not, or there is no room.
 */
static bool take_whole(struct capture_lane *lane, struct capture_conn *conn, enum tap_direction d,
                       struct cursor *in, uint64_t time_ns)
{
    uint8_t bhs[PDU_BHS_LEN];
    if (in->left < PDU_BHS_LEN || pdu_track_inside(&conn->track, d))
        return false;
    struct cursor ahead = *in;
    copy_out(&ahead, bhs, PDU_BHS_LEN);
    uint32_t total = pdu_track_total(&conn->track, bhs);
    struct record *r = total <= in->left ? reserve(lane, conn, RECORD_PDU, d, total, time_ns) : NULL;
    if (!r)
        return false;
    bool ended;
    copy_out(in, r->payload, total);
    feed_own(lane, conn, d, r->payload, total, &ended);
    publish(lane, conn, r);
    pdu_over(lane, conn, total);
    return true;
}

static bool part_room(struct capture *c, struct capture_side *side, uint32_t total, size_t more)
{
    uint64_t need = (uint64_t)side->part_len + more;
    if (need <= side->part_cap)
        return true;
    uint64_t cap = side->part_cap ? (uint64_t)side->part_cap * 2 : 4096;
    while (cap < need)
        cap *= 2;
    if (total >= need && cap > total)
        cap = total; /* as much as it will ever be */
    uint64_t others = atomic_fetch_add_explicit(&c->part_bytes, cap, memory_order_relaxed);
    uint8_t *grown =
        others + cap <= c->options.buffer * c->lane_count ? env_alloc(c->env, (size_t)cap) : NULL;
    if (!grown) {
        atomic_fetch_sub_explicit(&c->part_bytes, cap, memory_order_relaxed);
        return false;
    }
    if (side->part_len)
        memcpy(grown, side->part, side->part_len);
    env_free(c->env, side->part);
    atomic_fetch_sub_explicit(&c->part_bytes, side->part_cap, memory_order_relaxed);
    side->part = grown;
    side->part_cap = (uint32_t)cap;
    return true;
}

static void part_send(struct capture_lane *lane, struct capture_conn *conn, enum tap_direction d,
                      uint32_t len, uint8_t flags, uint64_t time_ns)
{
    struct capture_side *side = &conn->side[d];
    bool whole = !(flags & RECORD_PART);
    struct record *r = side->dropping ? NULL : reserve(lane, conn, RECORD_PDU, d, len, time_ns);
    if (r) {
        memcpy(r->payload, side->part, len);
        r->flags = flags;
        publish(lane, conn, r);
    } else {
        drop(lane, conn, d, len, whole);
    }
    side->part_len = 0;
    side->dropping = false;
    if (side->part_cap > CAPTURE_KEEP_LEN)
        part_free(lane->capture, side);
    if (whole)
        pdu_over(lane, conn, len);
}

/* A piece of a PDU: kept until the rest has come. A PDU for which there is no memory goes by unseen, but is
 * followed. */
static void take_part(struct capture_lane *lane, struct capture_conn *conn, enum tap_direction d,
                      struct cursor *in, uint64_t time_ns)
{
    struct capture_side *side = &conn->side[d];
    const struct pdu_track_side *track = &conn->track.side[d];
    const uint8_t *from;
    size_t n = piece(in, &from);
    uint32_t total = track->total, rest = pdu_track_rest(&conn->track, d);
    if (rest == 0 && track->have < PDU_BHS_LEN)
        rest = PDU_BHS_LEN - track->have; /* the header first: then the length is known */
    n = n < rest ? n : rest;
    bool ended;
    uint32_t so_far = track->done;
    if (!side->dropping && !part_room(lane->capture, side, total, n))
        side->dropping = true;
    if (side->dropping) {
        pdu_track_feed(&conn->track, d, from, n, &ended);
    } else {
        memcpy(side->part + side->part_len, from, n);
        feed_own(lane, conn, d, side->part + side->part_len, n, &ended);
        side->part_len += (uint32_t)n;
    }
    forward(in, n);
    if (ended)
        part_send(lane, conn, d, so_far + (uint32_t)n, 0, time_ns);
}

static void tap_bytes(struct tap *tap, uint64_t id, enum tap_direction d, const struct io_vec *places,
                      uint32_t place_count, uint64_t len, uint64_t now_ns)
{
    struct capture_lane *lane = (struct capture_lane *)tap;
    struct capture_conn *conn = conn_find(lane, id);
    (void)place_count;
    struct cursor in = {places, 0, len};
    uint64_t time_ns = now_ns + lane->capture->wall_offset_ns;
    while (conn && in.left > 0 && conn->state != CONN_IGNORED)
        if (!take_whole(lane, conn, d, &in, time_ns))
            take_part(lane, conn, d, &in, time_ns);
    if (lane->gone)
        lane_finish(lane);
}

/* ---- open and close ---- */

static void tap_open(struct tap *tap, uint64_t id, const struct io_addr *initiator,
                     const struct io_addr *target, uint64_t now_ns)
{
    struct capture_lane *lane = (struct capture_lane *)tap;
    struct capture *c = lane->capture;
    struct capture_conn *conn = env_alloc(c->env, sizeof *conn);
    if (!conn)
        return; /* its bytes find no connection */
    conn->id = id;
    conn->open_ns = now_ns + c->wall_offset_ns;
    conn->initiator = *initiator;
    conn->target = *target;
    conn->state = c->session[0] ? CONN_UNDECIDED : CONN_TAKEN;
    conn->lane = lane;
    pdu_track_init(&conn->track);
    conn_link(c, conn);
    if (conn->state == CONN_TAKEN)
        tell_open(lane, conn);
}

/* True when the record is out, or none is due. */
static bool send_close(struct capture_lane *lane, struct capture_conn *conn)
{
    uint64_t skips[2] = {conn->side[0].skip_bytes, conn->side[1].skip_bytes};
    if (conn->state != CONN_TAKEN || (!conn->told && !tell_open(lane, conn)))
        return conn->state != CONN_TAKEN;
    struct record *r = ring_record(lane, sizeof skips);
    if (!r)
        return false;
    *r = (struct record){
        .conn = conn->id, .time_ns = conn->open_ns, .len = sizeof skips, .kind = RECORD_CLOSE};
    /* A PDU that was cut short says that the end was not an orderly one. */
    bool cut =
        pdu_track_inside(&conn->track, TAP_TO_TARGET) || pdu_track_inside(&conn->track, TAP_TO_INITIATOR);
    r->flags = cut ? RECORD_RESET : 0;
    r->skip_pdus = conn->side[0].skip_pdus + conn->side[1].skip_pdus;
    memcpy(r->payload, skips, sizeof skips);
    ring_send(lane, conn, r);
    return true;
}

bool lane_finish(struct capture_lane *lane)
{
    while (lane->gone && send_close(lane, lane->gone)) {
        struct capture_conn *conn = lane->gone;
        lane->gone = conn->next;
        env_free(lane->capture->env, conn);
    }
    return !lane->gone;
}

static void tap_close(struct tap *tap, uint64_t id, uint64_t now_ns)
{
    struct capture_lane *lane = (struct capture_lane *)tap;
    struct capture *c = lane->capture;
    struct capture_conn *conn = conn_find(lane, id);
    if (!conn)
        return;
    uint64_t time_ns = now_ns + c->wall_offset_ns;
    /* What came of a PDU that never ended is part of the truth too. */
    for (int d = 0; d < 2 && conn->state == CONN_TAKEN; d++)
        if (pdu_track_inside(&conn->track, (enum tap_direction)d))
            part_send(lane, conn, (enum tap_direction)d, conn->track.side[d].done, RECORD_PART, time_ns);
    conn_unlink(c, conn);
    conn_free_buffers(c, conn);
    lane->last = NULL;
    conn->open_ns = conn->told ? time_ns : conn->open_ns;
    conn->next = lane->gone;
    lane->gone = conn;
    lane_finish(lane);
}

void lane_init(struct capture_lane *lane, struct capture *c, uint32_t index)
{
    lane->tap = (struct tap){.open = tap_open, .bytes = tap_bytes, .close = tap_close};
    lane->capture = c;
    lane->index = index;
}

struct tap *capture_tap(struct capture *c, uint32_t index)
{
    return &c->lanes[index].tap;
}
