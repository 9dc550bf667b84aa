/* Goal: the bytes of a connection come out once and in order from whatever segments a capture has, and where
 * bytes are missing the stream goes on at a PDU. Method: a made-up session is cut into segments that are then
 * shuffled, repeated, overlapped, lost or cut; sequence numbers wrap on the way. */
#include "tests/unit/capture_collect.h"

#define SEG_MAX 4096

struct seg {
    enum tap_direction d;
    uint32_t at, len, kept; /* in the stream of its direction; kept: bytes in the capture */
    uint32_t other;         /* how far the other direction was: the acknowledgement */
};

struct wire {
    struct talk talk;
    uint8_t *stream[2];
    uint32_t len[2];
    uint32_t first[2]; /* sequence numbers */
    struct seg seg[SEG_MAX];
    int count;
    uint64_t seed;
};

static void wire_make(struct wire *w, bool digests, unsigned commands, uint32_t mss, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->seed = seed * 2654435761u + 1;
    talk_make(&w->talk, digests, digests, commands);
    w->stream[0] = talk_stream(&w->talk, TAP_TO_TARGET, &w->len[0]);
    w->stream[1] = talk_stream(&w->talk, TAP_TO_INITIATOR, &w->len[1]);
    /* Sequence numbers that wrap soon. */
    w->first[0] = 0xffffffffu - (uint32_t)(talk_random(&w->seed) % 2000);
    w->first[1] = 0x7fffffffu - (uint32_t)(talk_random(&w->seed) % 2000);
    uint32_t at[2] = {0, 0};
    for (int i = 0; i < w->talk.count; i++) {
        const struct talk_pdu *p = &w->talk.pdu[i];
        for (uint32_t done = 0; done < p->len;) {
            uint32_t n = p->len - done < mss ? p->len - done : mss;
            w->seg[w->count++] = (struct seg){p->d, at[p->d], n, n, at[!p->d]};
            at[p->d] += n;
            done += n;
        }
    }
}

static void wire_free(struct wire *w)
{
    talk_free(&w->talk);
    free(w->stream[0]);
    free(w->stream[1]);
}

struct run {
    struct collected c;
    struct streams *s;
    uint64_t packet;
};

static void run_start(struct run *r, uint16_t port)
{
    struct streams_options options = {.port = port};
    memset(r, 0, sizeof *r);
    struct streams_sink sink = collect_sink(&r->c);
    assert_int_equal(streams_new(env_host(), &options, &sink, &r->s), 0);
}

static void run_end(struct run *r)
{
    streams_end(r->s);
    streams_get_counts(r->s, &r->c.counts);
    streams_free(r->s);
}

static void push(struct run *r, enum tap_direction d, uint32_t seq, uint32_t ack, uint8_t flags,
                 const uint8_t *data, uint32_t len, uint32_t real_len, uint16_t port)
{
    struct io_addr ends[2] = {talk_addr(4, 1, 40000), talk_addr(4, 2, port)};
    struct tcp_segment t = {.from = ends[d],
                            .to = ends[!d],
                            .seq = seq,
                            .ack = ack,
                            .flags = flags,
                            .len = len,
                            .real_len = real_len};
    uint8_t *copy = malloc(len + 1); /* its end must not be passed */
    if (len)
        memcpy(copy, data, len);
    t.data = copy;
    r->packet++;
    assert_int_equal(streams_segment(r->s, &t, r->packet, r->packet * 1000), 0);
    free(copy);
}

static void handshake(struct run *r, const struct wire *w, uint16_t port)
{
    push(r, TAP_TO_TARGET, w->first[0] - 1, 0, FRAME_SYN, NULL, 0, 0, port);
    push(r, TAP_TO_INITIATOR, w->first[1] - 1, w->first[0], FRAME_SYN | FRAME_ACK, NULL, 0, 0, port);
    push(r, TAP_TO_TARGET, w->first[0], w->first[1], FRAME_ACK, NULL, 0, 0, port);
}

static void send_seg(struct run *r, const struct wire *w, const struct seg *s, uint16_t port)
{
    push(r, s->d, w->first[s->d] + s->at, w->first[!s->d] + s->other, FRAME_ACK, w->stream[s->d] + s->at,
         s->kept, s->len, port);
}

static void goodbye(struct run *r, const struct wire *w, uint16_t port)
{
    push(r, TAP_TO_TARGET, w->first[0] + w->len[0], w->first[1] + w->len[1], FRAME_FIN | FRAME_ACK, NULL, 0,
         0, port);
    push(r, TAP_TO_INITIATOR, w->first[1] + w->len[1], w->first[0] + w->len[0] + 1, FRAME_FIN | FRAME_ACK,
         NULL, 0, 0, port);
    push(r, TAP_TO_TARGET, w->first[0] + w->len[0] + 1, w->first[1] + w->len[1] + 1, FRAME_ACK, NULL, 0, 0,
         port);
}

static void assert_all(const struct run *r, const struct wire *w)
{
    const struct collected_conn *c = &r->c.conn[1];
    assert_int_equal(r->c.conns, 1);
    for (int d = 0; d < 2; d++) {
        assert_int_equal(c->len[d], w->len[d]);
        assert_memory_equal(c->bytes[d], w->stream[d], w->len[d]);
    }
    assert_int_equal(c->pdus, w->talk.count);
    assert_int_equal(c->gaps, 0);
    assert_true(c->closed);
}

static void segments_in_any_order_give_the_same_stream(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct wire w;
        struct run r;
        wire_make(&w, seed & 1, 20, seed % 3 ? 1448 : 100, seed);
        run_start(&r, 0);
        handshake(&r, &w, 3260);
        /* Shuffled within a window, with repetitions and overlaps. */
        for (int i = 0; i < w.count; i++) {
            int j = i + (int)(talk_random(&w.seed) % 4);
            /* Login stays in order: what it decides counts for the other direction too. */
            if (i >= 8 && j < w.count) {
                struct seg swap = w.seg[i];
                w.seg[i] = w.seg[j];
                w.seg[j] = swap;
            }
        }
        for (int i = 0; i < w.count; i++) {
            send_seg(&r, &w, &w.seg[i], 3260);
            if (talk_random(&w.seed) % 5 == 0)
                send_seg(&r, &w, &w.seg[talk_random(&w.seed) % (uint64_t)(i + 1)], 3260);
            struct seg wider = w.seg[i];
            uint32_t back = wider.at < 50 ? wider.at : 50;
            wider.at -= back;
            wider.len = wider.kept = wider.len + back;
            if (talk_random(&w.seed) % 7 == 0)
                send_seg(&r, &w, &wider, 3260);
        }
        goodbye(&r, &w, 3260);
        run_end(&r);
        assert_all(&r, &w);
        assert_true(r.c.counts.retransmitted > 0 && r.c.counts.out_of_order > 0);
        collect_free(&r.c);
        wire_free(&w);
    }
}

static void a_lost_segment_costs_its_pdus_and_no_more(void **state)
{
    (void)state;
    for (int lost = 0; lost < 120; lost++) {
        struct wire w;
        struct run r;
        wire_make(&w, lost & 1, 12, 700, 4);
        if (lost >= w.count) {
            wire_free(&w);
            break;
        }
        run_start(&r, 3260);
        handshake(&r, &w, 3260);
        for (int i = 0; i < w.count; i++)
            if (i != lost)
                send_seg(&r, &w, &w.seg[i], 3260);
        goodbye(&r, &w, 3260);
        run_end(&r);
        const struct collected_conn *c = &r.c.conn[1];
        assert_int_equal(c->gaps, 1);
        assert_int_equal(c->missing, w.seg[lost].len);
        assert_true(c->closed);
        enum tap_direction d = w.seg[lost].d;
        assert_int_equal(c->len[!d], w.len[!d]);
        /* A segment touches one PDU here; login text decides about digests, so its loss may cost more. */
        if (w.seg[lost].at > 600)
            assert_true(c->pdus + 2 >= (unsigned)w.talk.count);
        collect_free(&r.c);
        wire_free(&w);
    }
}

static void cut_packets_lose_their_rest_only(void **state)
{
    (void)state;
    struct wire w;
    struct run r;
    wire_make(&w, true, 12, 1448, 8);
    run_start(&r, 0);
    handshake(&r, &w, 3260);
    uint64_t cut = 0;
    for (int i = 0; i < w.count; i++) {
        if (i >= 6 && w.seg[i].len > 96) { /* login is whole */
            w.seg[i].kept = 96;
            cut += w.seg[i].len - 96;
        }
        send_seg(&r, &w, &w.seg[i], 3260);
    }
    goodbye(&r, &w, 3260);
    run_end(&r);
    const struct collected_conn *c = &r.c.conn[1];
    assert_int_equal(c->missing, cut);
    assert_int_equal(c->pdus + c->incomplete, w.talk.count);
    collect_free(&r.c);
    wire_free(&w);
}

static void a_start_in_mid_stream_begins_at_a_pdu(void **state)
{
    (void)state;
    for (int digests = 0; digests < 2; digests++) {
        for (int start = 6; start < 40; start++) {
            struct wire w;
            struct run r;
            wire_make(&w, digests, 20, 1448, 5);
            run_start(&r, 3260);
            unsigned whole = 0; /* segments that begin a PDU, hence PDUs, from here on */
            for (int i = start; i < w.count; i++)
                send_seg(&r, &w, &w.seg[i], 3260);
            uint32_t at[2] = {UINT32_MAX, UINT32_MAX};
            for (int i = start; i < w.count; i++)
                if (at[w.seg[i].d] == UINT32_MAX)
                    at[w.seg[i].d] = w.seg[i].at;
            uint32_t sum[2] = {0, 0};
            for (int i = 0; i < w.talk.count; i++) {
                const struct talk_pdu *p = &w.talk.pdu[i];
                whole += sum[p->d] >= at[p->d];
                sum[p->d] += p->len;
            }
            goodbye(&r, &w, 3260);
            run_end(&r);
            const struct collected_conn *c = &r.c.conn[1];
            assert_true(c->about.partial);
            assert_int_equal(c->pdus, whole);
            for (int d = 0; d < 2 && !digests; d++) /* what came is the end of the stream */
                assert_memory_equal(c->bytes[d], w.stream[d] + w.len[d] - c->len[d], c->len[d]);
            collect_free(&r.c);
            wire_free(&w);
        }
    }
}

static void strangers_are_left_alone(void **state)
{
    (void)state;
    static const uint8_t hello[] =
        "GET / HTTP/1.1\r\nHost: example.org\r\nAccept: everything, please do\r\n\r\n";
    struct wire w;
    struct run r;
    wire_make(&w, false, 3, 1448, 5);
    run_start(&r, 0);
    handshake(&r, &w, 8080);
    for (uint32_t i = 0; i < 50; i++)
        push(&r, TAP_TO_TARGET, w.first[0] + i * (uint32_t)sizeof hello, w.first[1], FRAME_ACK, hello,
             sizeof hello, sizeof hello, 8080);
    /* On another port a login says what it is. */
    handshake(&r, &w, 9000);
    for (int i = 0; i < w.count; i++)
        send_seg(&r, &w, &w.seg[i], 9000);
    goodbye(&r, &w, 9000);
    run_end(&r);
    assert_all(&r, &w);
    collect_free(&r.c);
    wire_free(&w);
}

static void the_same_addresses_again_are_another_connection(void **state)
{
    (void)state;
    struct run r;
    run_start(&r, 0);
    for (uint64_t k = 1; k <= 3; k++) {
        struct wire w;
        wire_make(&w, false, 2, 1448, k);
        handshake(&r, &w, 3260);
        for (int i = 0; i < w.count; i++)
            send_seg(&r, &w, &w.seg[i], 3260);
        if (k == 1)
            goodbye(&r, &w, 3260);
        else if (k == 2) /* torn down */
            push(&r, TAP_TO_TARGET, w.first[0] + w.len[0], 0, FRAME_RST, NULL, 0, 0, 3260);
        assert_int_equal(r.c.conns, k);
        assert_int_equal(r.c.conn[k].pdus, w.talk.count);
        assert_int_equal(r.c.conn[k].closed, k < 3);
        wire_free(&w);
    }
    run_end(&r);
    collect_free(&r.c);
}

static void what_waits_is_bounded(void **state)
{
    (void)state;
    struct wire w;
    struct run r;
    uint8_t *data = calloc(1, 60000);
    wire_make(&w, false, 2, 1448, 1);
    run_start(&r, 3260);
    handshake(&r, &w, 3260);
    /* The first byte never comes, and nobody acknowledges it. */
    for (uint32_t i = 0; i < 200; i++)
        push(&r, TAP_TO_TARGET, w.first[0] + 1 + i * 60000, w.first[1], FRAME_ACK, data, 60000, 60000, 3260);
    streams_get_counts(r.s, &r.c.counts);
    assert_int_equal(r.c.counts.gaps, 1);
    assert_true(r.c.counts.skipped_bytes > 200u * 60000 - STREAMS_FLOW_MAX - 60000);
    run_end(&r);
    free(data);
    collect_free(&r.c);
    wire_free(&w);
}

static void hostile_segments_do_no_harm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct wire w;
        struct run r;
        wire_make(&w, seed & 1, 6, 300, seed);
        run_start(&r, 3260);
        for (int n = 0; n < 2000; n++) {
            uint64_t x = talk_random(&w.seed);
            struct seg s = w.seg[x % (uint64_t)w.count];
            uint8_t flags = x >> 20 & 3 ? FRAME_ACK : (uint8_t)(x >> 24 & 0x1f);
            uint32_t far = x >> 32 & 7 ? 0 : (uint32_t)talk_random(&w.seed);
            uint32_t longer = x >> 40 & 7 ? 0 : (uint32_t)(talk_random(&w.seed) % 100000);
            if (r.c.conns < COLLECT_CONNS - 1)
                push(&r, s.d, w.first[s.d] + s.at + far, w.first[!s.d] + s.other + (far >> 3), flags,
                     w.stream[s.d] + s.at, s.len, s.len + longer, 3260);
        }
        run_end(&r);
        collect_free(&r.c);
        wire_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_in_any_order_give_the_same_stream),
        cmocka_unit_test(a_lost_segment_costs_its_pdus_and_no_more),
        cmocka_unit_test(cut_packets_lose_their_rest_only),
        cmocka_unit_test(a_start_in_mid_stream_begins_at_a_pdu),
        cmocka_unit_test(strangers_are_left_alone),
        cmocka_unit_test(the_same_addresses_again_are_another_connection),
        cmocka_unit_test(what_waits_is_bounded),
        cmocka_unit_test(hostile_segments_do_no_harm),
    };
    return cmocka_run_group_tests_name("capture_streams", tests, NULL, NULL);
}
