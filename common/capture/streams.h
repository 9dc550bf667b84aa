/* From TCP segments to the byte streams and PDUs of iSCSI connections: finds the connections, puts segments
 * in order, says where bytes are missing, and finds PDU boundaries again behind a gap or a start in
 * mid-stream.
 *
 * For each connection the sink is told: open; bytes, gaps and PDUs; close. What `bytes` gives begins at a PDU
 * boundary after an open with `partial` and after each gap: bytes up to there are left out. A capture that
 * ends leaves connections open. Memory is bounded whatever the segments are: STREAMS_HELD_MAX for what waits,
 * STREAMS_FLOWS_MAX connections. */
#ifndef LUNETTE_CAPTURE_STREAMS_H
#define LUNETTE_CAPTURE_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/capture/packet.h"
#include "common/capture/pdu_track.h"

struct env;
struct streams;

#define STREAMS_PORT      3260u
#define STREAMS_FLOWS_MAX 65536u
#define STREAMS_HELD_MAX                                                                                     \
    (64u * 1024 * 1024) /* bytes of segments that wait for earlier ones, all connections */
#define STREAMS_FLOW_MAX   (8u * 1024 * 1024) /* the same, one direction of one connection */
#define STREAMS_PATIENCE   64u   /* packets of a connection that acknowledged bytes may come late */
#define STREAMS_SHORT_DATA 8192u /* bytes: data segments up to this are shown with their PDU */

struct streams_conn {
    uint64_t number; /* from 1 */
    struct io_addr initiator, target;
    bool partial; /* its beginning is not in the capture */
    void *user;   /* the sink's */
};

struct streams_pdu {
    enum tap_direction direction;
    const uint8_t *bhs;
    const uint8_t *data; /* the data segment if it is short and complete, else NULL */
    uint32_t data_len;
    bool complete;                 /* false: some of its bytes are not in the capture */
    uint64_t first_packet, packet; /* numbers: where it begins and ends */
    uint64_t first_ns, time_ns;
};

struct streams_sink {
    void *ctx;
    void (*open)(void *ctx, struct streams_conn *conn, uint64_t time_ns);
    void (*bytes)(void *ctx, struct streams_conn *conn, enum tap_direction d, const uint8_t *bytes,
                  uint32_t len, uint64_t time_ns);
    /* `len` bytes at least are missing. The next bytes of this direction begin a PDU. */
    void (*gap)(void *ctx, struct streams_conn *conn, enum tap_direction d, uint64_t len, uint64_t time_ns);
    /* After the bytes of its end. */
    void (*pdu)(void *ctx, struct streams_conn *conn, const struct streams_pdu *pdu);
    void (*close)(void *ctx, struct streams_conn *conn, uint64_t time_ns);
};

struct streams_options {
    uint16_t port; /* the target's; 0: 3260, and whatever begins with a login */
    bool ordered;  /* the capture is one of ours: nothing is out of order, all of it is iSCSI, frames begin
                      PDUs */
};

struct streams_counts {
    uint64_t connections, partial;
    uint64_t retransmitted;       /* segments with nothing new */
    uint64_t out_of_order;        /* segments that came before their time */
    uint64_t gaps, missing_bytes; /* of connections that are iSCSI */
    uint64_t skipped_bytes;       /* present, but not at a known place of a PDU */
    uint64_t evicted;             /* connections forgotten: too many */
    uint64_t stray;               /* segments far from where their connection is */
};

int streams_new(const struct env *env, const struct streams_options *options, const struct streams_sink *sink,
                struct streams **out);
void streams_free(struct streams *s);
/* ERR_NOMEM. */
int streams_segment(struct streams *s, const struct tcp_segment *segment, uint64_t packet, uint64_t time_ns);
/* The capture is over: what still waits is told, behind the gaps before it. */
void streams_end(struct streams *s);
void streams_get_counts(const struct streams *s, struct streams_counts *out);

#endif
