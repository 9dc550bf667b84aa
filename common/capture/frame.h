/* Synthetic IP and TCP headers around the payload of a connection: what a capture on the wire would have
 * shown, had the network had an MTU of 64 KiB and neither loss nor reordering. */
#ifndef LUNETTE_CAPTURE_FRAME_H
#define LUNETTE_CAPTURE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/capture/tap.h"

#define FRAME_PAYLOAD_MAX 61440u /* bytes of TCP payload in one frame */
#define FRAME_HEADERS_MAX 72u    /* bytes: IPv6, TCP and the options of SYN */

enum frame_flags { FRAME_FIN = 0x01, FRAME_SYN = 0x02, FRAME_RST = 0x04, FRAME_PSH = 0x08, FRAME_ACK = 0x10 };

/* One TCP connection as the capture tells it. */
struct frame_conn {
    struct io_addr addr[2]; /* sender of each direction: initiator, target */
    bool v6;
    uint32_t seq[2];   /* next sequence number of each direction */
    uint32_t acked[2]; /* what the other side has acknowledged of it */
    uint16_t ip_id[2];
};

/* `number` makes the first sequence numbers differ from one connection to the next. */
void frame_conn_init(struct frame_conn *c, uint64_t number, const struct io_addr *initiator,
                     const struct io_addr *target);
/* Headers of a frame in this direction, with right checksums, for the payload (at most FRAME_PAYLOAD_MAX),
 * which is not copied. Moves the sequence number on. Returns the headers' length. */
uint32_t frame_build(struct frame_conn *c, enum tap_direction d, uint8_t flags, const uint8_t *payload,
                     uint32_t len, uint8_t out[FRAME_HEADERS_MAX]);
/* Bytes of this direction that are not in the capture. */
void frame_skip(struct frame_conn *c, enum tap_direction d, uint64_t len);

/* RFC 1071: the ones' complement sum of these bytes in network order, added to `sum`; frame_sum_fold makes
 * the field. */
uint64_t frame_sum(uint64_t sum, const uint8_t *bytes, size_t len);
uint16_t frame_sum_fold(uint64_t sum);

#endif
