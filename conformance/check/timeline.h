/* Requests and their answers on one connection, for the list of commands with their latencies. */
#ifndef LUNETTE_CONFORMANCE_TIMELINE_H
#define LUNETTE_CONFORMANCE_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/capture/streams.h"

#define TIMELINE_BUCKETS  256u
#define TIMELINE_OPEN_MAX 65536u /* requests of one connection that wait for their answer */

struct timeline_request {
    struct timeline_request *next;
    uint32_t itt;
    uint8_t opcode;
    uint8_t cdb[16];
    uint64_t lun;
    uint32_t length; /* bytes expected */
    uint64_t packet, time_ns;
};

struct timeline { /* zero: empty */
    struct timeline_request *open[TIMELINE_BUCKETS];
    uint32_t open_count;
};

struct timeline_entry { /* one request with its answer */
    char what[64];      /* "READ(10)", "Login Request" */
    bool scsi, has_lba;
    int lun; /* number, or -1: not a single-level one */
    uint64_t lba;
    uint32_t length; /* bytes */
    char status[160];
    uint64_t request_packet, answer_packet, begin_ns, latency_ns;
};

/* Takes every PDU; true when it was the answer to a request that is known. */
bool timeline_take(struct timeline *t, const struct streams_pdu *pdu, struct timeline_entry *out);
void timeline_free(struct timeline *t);

#endif
