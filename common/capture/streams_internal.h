/* What the parts of stream reading share: flows.c, segments in order; streams.c, PDUs. */
#ifndef LUNETTE_CAPTURE_STREAMS_INTERNAL_H
#define LUNETTE_CAPTURE_STREAMS_INTERNAL_H

#include "common/base/env.h"
#include "common/base/list.h"
#include "common/capture/streams.h"

#define FLOW_BUCKETS 4096u
#define FLOW_STRAY                                                                                           \
    (512u * 1024 * 1024) /* bytes away from where it should be: not of this connection's life */

struct segment {          /* waits for those before it */
    struct segment *next; /* by sequence number */
    uint32_t seq, len, real_len;
    uint64_t packet, time_ns;
    uint8_t bytes[];
};

enum flow_interest { FLOW_UNDECIDED, FLOW_ISCSI, FLOW_OTHER };

struct flow_side { /* what one endpoint sends */
    bool known;    /* `next` is */
    bool fin, fin_done;
    bool missed;      /* bytes were missing before it was known what this is */
    uint32_t next;    /* sequence number */
    uint32_t fin_seq; /* of the byte behind the last */
    bool acked_known;
    uint32_t acked; /* by the other endpoint */
    uint32_t late;  /* packets of the flow since bytes before the first waiting segment were acknowledged */
    struct segment *wait; /* owned */
    uint32_t held;        /* bytes of them */
};

struct pdu_side {  /* one direction of a connection that is iSCSI */
    uint64_t skip; /* bytes of a damaged PDU that are left out */
    bool damaged;  /* the current PDU misses bytes, but its header is known */
    uint64_t first_packet, first_ns;
    uint8_t *data; /* owned: STREAMS_SHORT_DATA bytes, or NULL */
    uint32_t data_have, data_off;
    bool collecting;
};

struct flow {
    struct flow *next;     /* in its bucket */
    struct list_node used; /* streams->used, longest unused first */
    struct io_addr end[2];
    struct flow_side side[2]; /* by endpoint */
    enum flow_interest interest;
    int initiator; /* which endpoint; -1: not known */
    bool syn;      /* the beginning is in the capture */
    bool closed;   /* over; kept to know late packets */
    bool opened;   /* told to the sink */
    struct streams_conn conn;
    struct pdu_track track;
    struct pdu_side pdu[2]; /* by direction */
};

struct streams {
    const struct env *env;
    struct streams_options options;
    struct streams_sink sink;
    struct streams_counts counts;
    struct flow *buckets[FLOW_BUCKETS];
    struct list_node used;
    uint32_t flow_count;
    uint64_t held;   /* bytes of all waiting segments */
    uint64_t now_ns; /* of the packet in hand */
};

/* ---- streams.c ---- */

struct piece { /* bytes in order */
    const uint8_t *bytes;
    uint32_t len;
    bool begins; /* a TCP segment begins with them */
    uint64_t packet, time_ns;
};
/* Who is who and whether it is iSCSI, from the first bytes. */
void stream_decide(struct streams *s, struct flow *f, int from, const uint8_t *bytes, uint32_t len);
void stream_bytes(struct streams *s, struct flow *f, int from, struct piece piece);
void stream_gap(struct streams *s, struct flow *f, int from, uint64_t len, uint64_t packet, uint64_t time_ns);
void stream_close(struct streams *s, struct flow *f, uint64_t time_ns);
void stream_free(struct streams *s, struct flow *f);

#endif
