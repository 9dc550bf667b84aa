/* Reads a capture back with the project's own reader and keeps what it says; checks every checksum on the
 * way, with a sum of its own. */
#ifndef LUNETTE_TESTS_CAPTURE_COLLECT_H
#define LUNETTE_TESTS_CAPTURE_COLLECT_H

#include "tests/unit/capture_harness.h"

#include "common/base/env.h"
#include "common/capture/frame.h"
#include "common/capture/packet.h"
#include "common/capture/pcap_read.h"
#include "common/capture/streams.h"

#define COLLECT_CONNS 64

struct collected_conn {
    struct streams_conn about;
    uint8_t *bytes[2];
    uint32_t len[2];
    unsigned pdus, incomplete, gaps;
    uint64_t missing;
    bool closed;
};

struct collected {
    struct collected_conn conn[COLLECT_CONNS + 1]; /* by number */
    unsigned conns;
    uint64_t packets, frames_with_data, cut_packets, last_ns;
    int result; /* of the last pcap_reader_next */
    char problem[200];
    struct streams_counts counts;
};

static inline void collect_open(void *ctx, struct streams_conn *conn, uint64_t time_ns)
{
    struct collected *c = ctx;
    (void)time_ns;
    assert_true(conn->number <= COLLECT_CONNS);
    c->conns++;
    c->conn[conn->number].about = *conn;
}

static inline void collect_bytes(void *ctx, struct streams_conn *conn, enum tap_direction d,
                                 const uint8_t *bytes, uint32_t len, uint64_t time_ns)
{
    struct collected_conn *one = &((struct collected *)ctx)->conn[conn->number];
    (void)time_ns;
    one->bytes[d] = realloc(one->bytes[d], one->len[d] + len + 1);
    memcpy(one->bytes[d] + one->len[d], bytes, len);
    one->len[d] += len;
}

static inline void collect_gap(void *ctx, struct streams_conn *conn, enum tap_direction d, uint64_t len,
                               uint64_t time_ns)
{
    struct collected_conn *one = &((struct collected *)ctx)->conn[conn->number];
    (void)d;
    (void)time_ns;
    one->gaps++;
    one->missing += len;
}

static inline void collect_pdu(void *ctx, struct streams_conn *conn, const struct streams_pdu *pdu)
{
    struct collected_conn *one = &((struct collected *)ctx)->conn[conn->number];
    one->pdus += pdu->complete;
    one->incomplete += !pdu->complete;
}

static inline void collect_close(void *ctx, struct streams_conn *conn, uint64_t time_ns)
{
    (void)time_ns;
    ((struct collected *)ctx)->conn[conn->number].closed = true;
}

static inline struct streams_sink collect_sink(struct collected *c)
{
    return (struct streams_sink){c, collect_open, collect_bytes, collect_gap, collect_pdu, collect_close};
}

struct memory_file {
    const uint8_t *bytes;
    size_t len, at, step; /* step: bytes given at once; 0: all */
};

static inline int64_t memory_read(void *ctx, void *buf, size_t len)
{
    struct memory_file *f = ctx;
    size_t n = f->len - f->at < len ? f->len - f->at : len;
    n = f->step && n > f->step ? f->step : n;
    if (n)
        memcpy(buf, f->bytes + f->at, n);
    f->at += n;
    return (int64_t)n;
}

/* A TCP checksum over header and payload comes out as zero. */
static inline void collect_checksums(const struct pcap_packet *p)
{
    uint32_t ip = p->data[0] >> 4 == 6 ? 40 : 20, tcp_len = p->len - ip;
    uint32_t sum = 6 + tcp_len;
    if (p->len < p->orig_len)
        return;
    for (uint32_t i = ip == 20 ? 12 : 8; i < p->len; i += 2)
        sum += (uint32_t)p->data[i] << 8 | (i + 1 < p->len ? p->data[i + 1] : 0u),
            sum = (sum & 0xffff) + (sum >> 16);
    assert_int_equal(sum, 0xffff);
    sum = 0;
    for (uint32_t i = 0; ip == 20 && i < 20; i += 2)
        sum += (uint32_t)p->data[i] << 8 | p->data[i + 1], sum = (sum & 0xffff) + (sum >> 16);
    assert_true(ip != 20 || sum == 0xffff);
}

static inline void collect_memory(struct collected *c, const uint8_t *bytes, size_t len, bool checksums)
{
    struct memory_file file = {bytes, len, 0, 0};
    struct pcap_source source = {memory_read, &file};
    struct pcap_reader *reader;
    struct streams *streams = NULL;
    struct pcap_packet packet;
    memset(c, 0, sizeof *c);
    assert_int_equal(pcap_reader_new(env_host(), &source, &reader), 0);
    struct streams_sink sink = collect_sink(c);
    while ((c->result = pcap_reader_next(reader, &packet)) > 0) {
        struct tcp_segment segment;
        if (!streams) {
            struct streams_options options = {
                .ordered = strncmp(pcap_reader_application(reader), "Lunette", 7) == 0};
            assert_int_equal(streams_new(env_host(), &options, &sink, &streams), 0);
        }
        c->packets++;
        c->cut_packets += packet.len < packet.orig_len;
        if (checksums) {
            assert_true(packet.time_ns >= c->last_ns);
            collect_checksums(&packet);
        }
        c->last_ns = packet.time_ns;
        if (packet_parse(&packet, &segment) != PACKET_TCP)
            continue;
        c->frames_with_data += segment.real_len > 0;
        assert_int_equal(streams_segment(streams, &segment, packet.number, packet.time_ns), 0);
    }
    snprintf(c->problem, sizeof c->problem, "%s", pcap_reader_problem(reader));
    if (streams) {
        streams_end(streams);
        streams_get_counts(streams, &c->counts);
    }
    streams_free(streams);
    pcap_reader_free(reader);
}

static inline uint8_t *collect_load(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *len = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*len + 1);
    assert_int_equal(fread(bytes, 1, *len, file), *len);
    fclose(file);
    return bytes;
}

static inline void collect_file(struct collected *c, const char *path)
{
    size_t len;
    uint8_t *bytes = collect_load(path, &len);
    collect_memory(c, bytes, len, true);
    free(bytes);
}

static inline void collect_free(struct collected *c)
{
    for (int i = 0; i <= COLLECT_CONNS; i++) {
        free(c->conn[i].bytes[0]);
        free(c->conn[i].bytes[1]);
    }
}

#endif
