/* From a captured packet to its TCP segment: link layers, VLAN tags, IPv4 and IPv6. */
#ifndef LUNETTE_CAPTURE_PACKET_H
#define LUNETTE_CAPTURE_PACKET_H

#include <stdint.h>

#include "common/base/addr.h"
#include "common/capture/pcap_read.h"

enum packet_kind {
    PACKET_TCP,
    PACKET_OTHER,    /* not IP, not TCP */
    PACKET_FRAGMENT, /* of an IP packet: its bytes will be missing */
    PACKET_CUT,      /* the capture did not keep its headers */
    PACKET_BAD,      /* headers that contradict themselves */
    PACKET_UNKNOWN_LINK
};

struct tcp_segment {
    struct io_addr from, to;
    uint32_t seq, ack;
    uint8_t flags; /* enum frame_flags */
    const uint8_t *data;
    uint32_t len;      /* bytes of payload in the capture */
    uint32_t real_len; /* bytes of payload on the wire */
};

enum packet_kind packet_parse(const struct pcap_packet *packet, struct tcp_segment *out);

#endif
