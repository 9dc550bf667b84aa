/* TCP reassembly, passive: what an endpoint sent, in order, told once, and what of it is not in the capture.
 */
#include <string.h>

#include "common/base/err.h"
#include "common/capture/frame.h"
#include "common/capture/streams_internal.h"

static int32_t ahead(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

/* ---- the table ---- */

static uint32_t hash(const struct io_addr *a, const struct io_addr *b)
{
    /* The same for both directions. */
    uint32_t sum = (uint32_t)a->port * 31u + (uint32_t)b->port * 31u;
    for (int i = 0; i < 16; i++)
        sum += ((uint32_t)a->ip[i] + b->ip[i]) * (uint32_t)(2654435761u >> i);
    return (sum ^ sum >> 15) % FLOW_BUCKETS;
}

static struct flow **find(struct streams *s, const struct io_addr *a, const struct io_addr *b)
{
    struct flow **at = &s->buckets[hash(a, b)];
    while (*at && !(addr_equal(&(*at)->end[0], a) && addr_equal(&(*at)->end[1], b)) &&
           !(addr_equal(&(*at)->end[0], b) && addr_equal(&(*at)->end[1], a)))
        at = &(*at)->next;
    return at;
}

static void drop_waiting(struct streams *s, struct flow_side *side)
{
    struct segment *segment;
    while ((segment = side->wait) != NULL) {
        side->wait = segment->next;
        env_free(s->env, segment);
    }
    s->held -= side->held;
    side->held = 0;
}

static void flow_free(struct streams *s, struct flow *f)
{
    struct flow **slot = find(s, &f->end[0], &f->end[1]);
    *slot = f->next;
    list_remove(&f->used);
    s->flow_count--;
    drop_waiting(s, &f->side[0]);
    drop_waiting(s, &f->side[1]);
    stream_free(s, f);
    env_free(s->env, f);
}

static void flow_over(struct streams *s, struct flow *f, uint64_t time_ns);

static struct flow *flow_get(struct streams *s, const struct tcp_segment *t, bool make)
{
    struct flow **slot = find(s, &t->from, &t->to);
    if (*slot || !make)
        return *slot;
    if (s->flow_count == STREAMS_FLOWS_MAX) {
        struct flow *oldest = list_first(&s->used, struct flow, used);
        flow_over(s, oldest, s->now_ns);
        flow_free(s, oldest);
        s->counts.evicted++;
        slot = find(s, &t->from, &t->to);
    }
    struct flow *f = env_alloc(s->env, sizeof *f);
    if (!f)
        return NULL;
    f->end[0] = t->from;
    f->end[1] = t->to;
    f->initiator = -1;
    list_init(&f->used);
    pdu_track_init(&f->track);
    *slot = f;
    s->flow_count++;
    return f;
}

/* ---- order ---- */

/* Bytes whose turn it is. `missing` more were on the wire right behind them. */
static void deliver(struct streams *s, struct flow *f, int from, struct piece piece, uint32_t missing)
{
    struct flow_side *side = &f->side[from];
    side->next += piece.len + missing;
    if (f->interest == FLOW_UNDECIDED)
        stream_decide(s, f, from, piece.bytes, piece.len);
    if (f->interest != FLOW_ISCSI || f->initiator < 0) {
        side->missed |= missing > 0;
        return;
    }
    if (piece.len)
        stream_bytes(s, f, from, piece);
    if (missing)
        stream_gap(s, f, from, missing, piece.packet, piece.time_ns);
}

/* Waiting segments whose turn has come. */
static void drain(struct streams *s, struct flow *f, int from)
{
    struct flow_side *side = &f->side[from];
    struct segment *segment;
    while ((segment = side->wait) != NULL && ahead(segment->seq, side->next) <= 0) {
        uint32_t old = side->next - segment->seq;
        side->wait = segment->next;
        side->held -= segment->len;
        s->held -= segment->len;
        if (old < segment->real_len) {
            uint32_t cut = old < segment->len ? old : segment->len;
            struct piece piece = {segment->bytes + cut, segment->len - cut, old == 0, segment->packet,
                                  segment->time_ns};
            deliver(s, f, from, piece, segment->real_len - (old > segment->len ? old : segment->len));
        }
        env_free(s->env, segment);
        side->late = 0;
    }
}

/* What stands before the first waiting segment will not come. */
static void give_up(struct streams *s, struct flow *f, int from)
{
    struct flow_side *side = &f->side[from];
    const struct segment *first = side->wait;
    uint32_t missing = first->seq - side->next;
    struct piece nothing = {NULL, 0, false, first->packet, first->time_ns};
    deliver(s, f, from, nothing, missing);
    drain(s, f, from);
}

static int hold(struct streams *s, struct flow *f, int from, const struct tcp_segment *t, uint64_t packet,
                uint64_t time_ns)
{
    struct flow_side *side = &f->side[from];
    struct segment **at = &side->wait;
    s->counts.out_of_order++;
    while (*at && ahead((*at)->seq, t->seq) < 0)
        at = &(*at)->next;
    if (*at && (*at)->seq == t->seq && (*at)->real_len >= t->real_len)
        return 0; /* twice the same */
    struct segment *segment = env_alloc(s->env, sizeof *segment + t->len);
    if (!segment)
        return ERR_NOMEM;
    *segment = (struct segment){.next = *at,
                                .seq = t->seq,
                                .len = t->len,
                                .real_len = t->real_len,
                                .packet = packet,
                                .time_ns = time_ns};
    if (t->len)
        memcpy(segment->bytes, t->data, t->len);
    *at = segment;
    side->held += t->len;
    s->held += t->len;
    return 0;
}

/* Missing bytes that the receiver has acknowledged were lost by the capture, not by the network. They may
 * still come, a little late, when several queues were captured. */
static void check_missing(struct streams *s, struct flow *f, int from)
{
    struct flow_side *side = &f->side[from];
    while (side->wait) {
        bool acked = side->acked_known && ahead(side->acked, side->wait->seq) >= 0;
        side->late += acked;
        if (!s->options.ordered && side->late < STREAMS_PATIENCE && side->held < STREAMS_FLOW_MAX &&
            s->held < STREAMS_HELD_MAX)
            return;
        give_up(s, f, from);
    }
}

static int take_data(struct streams *s, struct flow *f, int from, const struct tcp_segment *t,
                     uint64_t packet, uint64_t time_ns)
{
    struct flow_side *side = &f->side[from];
    int32_t distance = ahead(t->seq, side->next);
    bool far = distance > (int32_t)FLOW_STRAY || distance < -(int32_t)FLOW_STRAY;
    if (f->interest == FLOW_OTHER)
        return 0;
    if (far && !s->options.ordered) {
        s->counts.stray++;
        return 0;
    }
    if (distance > 0)
        return hold(s, f, from, t, packet, time_ns);
    uint32_t old = (uint32_t)-distance;
    if (old >= t->real_len) {
        s->counts.retransmitted++;
        return 0;
    }
    uint32_t cut = old < t->len ? old : t->len;
    struct piece piece = {t->data + cut, t->len - cut, old == 0, packet, time_ns};
    deliver(s, f, from, piece, t->real_len - (old > t->len ? old : t->len));
    drain(s, f, from);
    return 0;
}

/* ---- life ---- */

static void flow_over(struct streams *s, struct flow *f, uint64_t time_ns)
{
    if (f->closed)
        return;
    for (int from = 0; from < 2; from++)
        while (f->side[from].wait)
            give_up(s, f, from);
    f->closed = true;
    stream_close(s, f, time_ns);
}

/* The same addresses once more: forget the connection that had them. */
static struct flow *take_syn(struct streams *s, struct flow *f, const struct tcp_segment *t, uint64_t time_ns)
{
    int from = addr_equal(&f->end[0], &t->from) ? 0 : 1;
    struct flow_side *side = &f->side[from];
    bool answer = t->flags & FRAME_ACK;
    bool used = side->known && (f->closed || side->next != t->seq + 1 || !f->syn);
    if (used && !answer) {
        flow_over(s, f, time_ns);
        flow_free(s, f);
        f = flow_get(s, t, true);
        if (!f)
            return NULL;
        from = 0;
        side = &f->side[0];
    }
    if (side->known)
        return f; /* the SYN once more */
    side->known = true;
    side->next = t->seq + 1;
    f->syn = true;
    f->initiator = answer ? !from : from;
    const struct flow_side *other = &f->side[!from];
    if (answer && !other->known) {
        f->side[!from].known = true;
        f->side[!from].next = t->ack;
    }
    return f;
}

static void take_fin(struct streams *s, struct flow *f, uint64_t packet, uint64_t time_ns)
{
    for (int from = 0; from < 2; from++) {
        struct flow_side *side = &f->side[from];
        if (!side->fin)
            continue;
        /* An end that was acknowledged, or that stands in a file of ours: what is missing before it will not
         * come. */
        bool sure = s->options.ordered || (side->acked_known && ahead(side->acked, side->fin_seq) > 0);
        struct piece nothing = {NULL, 0, false, packet, time_ns};
        while (sure && side->wait)
            give_up(s, f, from);
        if (sure && ahead(side->fin_seq, side->next) > 0)
            deliver(s, f, from, nothing, side->fin_seq - side->next);
        if (ahead(side->next, side->fin_seq) >= 0)
            side->fin_done = true;
    }
    if (f->side[0].fin_done && f->side[1].fin_done)
        flow_over(s, f, time_ns);
}

static void take_ack(struct flow *f, int from, uint32_t ack)
{
    struct flow_side *other = &f->side[!from];
    if (!other->acked_known || ahead(ack, other->acked) > 0)
        other->acked = ack;
    other->acked_known = true;
}

int streams_segment(struct streams *s, const struct tcp_segment *t, uint64_t packet, uint64_t time_ns)
{
    bool syn = t->flags & FRAME_SYN, reset = t->flags & FRAME_RST;
    s->now_ns = time_ns;
    struct flow *f = flow_get(s, t, syn || t->real_len > 0);
    if (!f)
        return syn || t->real_len > 0 ? ERR_NOMEM : 0; /* an acknowledgement of nothing that is known */
    if (syn && (f = take_syn(s, f, t, time_ns)) == NULL)
        return ERR_NOMEM;
    list_remove(&f->used);
    list_push_back(&s->used, &f->used);
    if (f->closed)
        return 0;
    int from = addr_equal(&f->end[0], &t->from) ? 0 : 1;
    struct flow_side *side = &f->side[from];
    int err = 0;
    if (t->real_len > 0 && !syn) {
        if (!side->known) { /* in mid-stream */
            side->known = true;
            side->next = t->seq;
        }
        err = take_data(s, f, from, t, packet, time_ns);
    }
    if (t->flags & FRAME_ACK)
        take_ack(f, from, t->ack);
    if ((t->flags & FRAME_FIN) && side->known) {
        side->fin = true;
        side->fin_seq = t->seq + t->real_len;
    }
    check_missing(s, f, 0);
    check_missing(s, f, 1);
    if (reset)
        flow_over(s, f, time_ns);
    else
        take_fin(s, f, packet, time_ns);
    return err;
}

void streams_end(struct streams *s)
{
    list_for_each(it, &s->used)
    {
        struct flow *f = list_entry(it, struct flow, used);
        for (int from = 0; from < 2; from++)
            while (f->side[from].wait)
                give_up(s, f, from);
    }
}

int streams_new(const struct env *env, const struct streams_options *options, const struct streams_sink *sink,
                struct streams **out)
{
    struct streams *s = env_alloc(env, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->env = env;
    s->options = *options;
    s->sink = *sink;
    list_init(&s->used);
    *out = s;
    return 0;
}

void streams_free(struct streams *s)
{
    if (!s)
        return;
    while (!list_empty(&s->used))
        flow_free(s, list_first(&s->used, struct flow, used));
    env_free(s->env, s);
}

void streams_get_counts(const struct streams *s, struct streams_counts *out)
{
    *out = s->counts;
}
