/* Headers around a TCP payload. Every length is the capture's word and checked before it is used. */
#include "common/capture/packet.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/capture/pcapng.h"

#define ETHER_IPV4    0x0800u
#define ETHER_IPV6    0x86ddu
#define VLAN_TAGS_MAX 4u
#define EXT_MAX       8u
#define PROTO_TCP     6u

struct view { /* what is left of a packet */
    const uint8_t *p;
    uint32_t len;  /* bytes here */
    uint32_t real; /* bytes on the wire; >= len */
};

static bool forward(struct view *v, uint32_t n)
{
    if (v->len < n)
        return false;
    v->p += n;
    v->len -= n;
    v->real -= n;
    return true;
}

/* The length on the wire is now known to be `real`: trailers go. */
static void limit(struct view *v, uint32_t real)
{
    if (real < v->real)
        v->real = real;
    if (v->len > v->real)
        v->len = v->real;
}

static enum packet_kind tcp(struct view *v, struct tcp_segment *out)
{
    if (v->len < 20)
        return v->real < 20 ? PACKET_BAD : PACKET_CUT;
    uint32_t head = (uint32_t)(v->p[12] >> 4) * 4;
    out->from.port = be16_get(v->p);
    out->to.port = be16_get(v->p + 2);
    out->seq = be32_get(v->p + 4);
    out->ack = be32_get(v->p + 8);
    out->flags = v->p[13] & 0x1f;
    if (head < 20 || head > v->real || v->real > PCAP_BLOCK_MAX)
        return PACKET_BAD;
    uint32_t options = head < v->len ? head : v->len;
    out->data = v->p + options;
    out->len = v->len - options;
    out->real_len = v->real - head;
    return PACKET_TCP;
}

static enum packet_kind ip4(struct view *v, struct tcp_segment *out)
{
    if (v->len < 20)
        return v->real < 20 ? PACKET_BAD : PACKET_CUT;
    uint32_t head = (uint32_t)(v->p[0] & 0x0f) * 4, total = be16_get(v->p + 2);
    if (v->p[0] >> 4 != 4 || head < 20 || (total && total < head))
        return PACKET_BAD;
    if (total) /* 0: the network card was to cut it up (segmentation offload); then the capture's length
                  counts */
        limit(v, total);
    if (v->p[9] != PROTO_TCP)
        return PACKET_OTHER;
    out->from.family = out->to.family = 4;
    memcpy(out->from.ip, v->p + 12, 4);
    memcpy(out->to.ip, v->p + 16, 4);
    if (be16_get(v->p + 6) & 0x3fff) /* more fragments, or an offset */
        return PACKET_FRAGMENT;
    return forward(v, head) ? tcp(v, out) : PACKET_CUT;
}

static bool is_extension(uint8_t next)
{
    return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

static enum packet_kind ip6(struct view *v, struct tcp_segment *out)
{
    if (v->len < 40)
        return v->real < 40 ? PACKET_BAD : PACKET_CUT;
    if (v->p[0] >> 4 != 6)
        return PACKET_BAD;
    uint8_t next = v->p[6];
    uint32_t payload = be16_get(v->p + 4);
    out->from.family = out->to.family = 6;
    memcpy(out->from.ip, v->p + 8, 16);
    memcpy(out->to.ip, v->p + 24, 16);
    forward(v, 40);
    if (payload)
        limit(v, payload);
    for (unsigned i = 0; is_extension(next); i++) {
        if (v->len < 8)
            return v->real < 8 ? PACKET_BAD : PACKET_CUT;
        uint32_t len = next == 44 ? 8 : next == 51 ? (v->p[1] + 2u) * 4 : (v->p[1] + 1u) * 8;
        if (next == 44 && (be16_get(v->p + 2) & 0xfff9))
            return PACKET_FRAGMENT;
        next = v->p[0];
        if (i == EXT_MAX || len > v->real)
            return PACKET_BAD;
        if (!forward(v, len))
            return PACKET_CUT;
    }
    return next == PROTO_TCP ? tcp(v, out) : PACKET_OTHER;
}

static enum packet_kind ether_type(struct view *v, uint32_t type, struct tcp_segment *out)
{
    for (unsigned i = 0; type == 0x8100 || type == 0x88a8 || type == 0x9100; i++) {
        if (i == VLAN_TAGS_MAX)
            return PACKET_BAD;
        if (v->len < 4)
            return PACKET_CUT;
        type = be16_get(v->p + 2);
        forward(v, 4);
    }
    return type == ETHER_IPV4 ? ip4(v, out) : type == ETHER_IPV6 ? ip6(v, out) : PACKET_OTHER;
}

static enum packet_kind raw_ip(struct view *v, struct tcp_segment *out)
{
    if (v->len < 1)
        return PACKET_CUT;
    return v->p[0] >> 4 == 6 ? ip6(v, out) : ip4(v, out);
}

/* A header of `len` bytes with an EtherType at `at`. */
static enum packet_kind behind(struct view *v, uint32_t len, uint32_t at, struct tcp_segment *out)
{
    if (v->len < len)
        return v->real < len ? PACKET_BAD : PACKET_CUT;
    uint32_t type = be16_get(v->p + at);
    forward(v, len);
    return ether_type(v, type, out);
}

enum packet_kind packet_parse(const struct pcap_packet *packet, struct tcp_segment *out)
{
    struct view v = {packet->data, packet->len, packet->orig_len};
    memset(out, 0, sizeof *out);
    switch (packet->link) {
    case PCAPNG_LINK_ETHERNET:
        return behind(&v, 14, 12, out);
    case PCAPNG_LINK_SLL:
        return behind(&v, 16, 14, out);
    case PCAPNG_LINK_SLL2:
        return behind(&v, 20, 0, out);
    case PCAPNG_LINK_NULL: /* an address family, in some byte order: the IP version says as much */
    case PCAPNG_LINK_LOOP:
        return forward(&v, 4) ? raw_ip(&v, out) : PACKET_CUT;
    case PCAPNG_LINK_RAW:
    case 12: /* LINKTYPE_RAW as some systems number it */
    case 14:
        return raw_ip(&v, out);
    case PCAPNG_LINK_IPV4:
        return ip4(&v, out);
    case PCAPNG_LINK_IPV6:
        return ip6(&v, out);
    default:
        return PACKET_UNKNOWN_LINK;
    }
}
