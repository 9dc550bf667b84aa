/* IPv4 and IPv6 with TCP, RFC 791, 8200 and 9293. */
#include "common/capture/frame.h"

#include <string.h>

#include "common/base/bytes.h"

#define IP4_LEN      20u
#define IP6_LEN      40u
#define TCP_LEN      20u
#define SYN_OPTIONS  8u /* maximum segment size, window scale, padding */
#define WINDOW       0xffffu
#define WINDOW_SCALE 14u
#define PROTO_TCP    6u

uint64_t frame_sum(uint64_t sum, const uint8_t *bytes, size_t len)
{
    /* Ones' complement does not care how wide the words are that are added, so long as they end on 16 bits.
     */
    for (; len >= 4; bytes += 4, len -= 4)
        sum += be32_get(bytes);
    if (len >= 2) {
        sum += be16_get(bytes);
        bytes += 2;
        len -= 2;
    }
    if (len)
        sum += (uint64_t)bytes[0] << 8;
    return sum;
}

uint16_t frame_sum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void set_addr(struct frame_conn *c, int side, const struct io_addr *addr)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    c->addr[side] = *addr;
    if (c->v6 && addr->family != 6) {
        memcpy(c->addr[side].ip, mapped, sizeof mapped);
        memcpy(c->addr[side].ip + 12, addr->ip, 4);
    }
}

void frame_conn_init(struct frame_conn *c, uint64_t number, const struct io_addr *initiator,
                     const struct io_addr *target)
{
    memset(c, 0, sizeof *c);
    c->v6 = initiator->family == 6 || target->family == 6;
    set_addr(c, TAP_TO_TARGET, initiator);
    set_addr(c, TAP_TO_INITIATOR, target);
    /* Any numbers do; these make a frame's place in its stream easy to read. */
    c->seq[TAP_TO_TARGET] = c->acked[TAP_TO_TARGET] = (uint32_t)(number * 0x01000193u) & 0x7fffff00u;
    c->seq[TAP_TO_INITIATOR] = c->acked[TAP_TO_INITIATOR] = c->seq[TAP_TO_TARGET] ^ 0x40000000u;
}

static uint32_t put_ip(struct frame_conn *c, enum tap_direction d, uint32_t tcp_len, uint8_t *out)
{
    const uint8_t *from = c->addr[d].ip, *to = c->addr[!d].ip;
    if (c->v6) {
        memset(out, 0, IP6_LEN);
        out[0] = 0x60;
        be16_put(out + 4, (uint16_t)tcp_len);
        out[6] = PROTO_TCP;
        out[7] = 64;
        memcpy(out + 8, from, 16);
        memcpy(out + 24, to, 16);
        return IP6_LEN;
    }
    memset(out, 0, IP4_LEN);
    out[0] = 0x45;
    be16_put(out + 2, (uint16_t)(IP4_LEN + tcp_len));
    be16_put(out + 4, c->ip_id[d]++);
    out[6] = 0x40; /* do not fragment */
    out[8] = 64;
    out[9] = PROTO_TCP;
    memcpy(out + 12, from, 4);
    memcpy(out + 16, to, 4);
    be16_put(out + 10, frame_sum_fold(frame_sum(0, out, IP4_LEN)));
    return IP4_LEN;
}

static uint16_t tcp_checksum(const struct frame_conn *c, enum tap_direction d, const uint8_t *tcp,
                             uint32_t tcp_len, const uint8_t *payload, uint32_t len)
{
    uint32_t ip_len = c->v6 ? 16 : 4;
    uint64_t sum = PROTO_TCP + tcp_len + len; /* the pseudo header: addresses, protocol, length */
    sum = frame_sum(sum, c->addr[d].ip, ip_len);
    sum = frame_sum(sum, c->addr[!d].ip, ip_len);
    sum = frame_sum(sum, tcp, tcp_len); /* a multiple of four */
    return frame_sum_fold(frame_sum(sum, payload, len));
}

uint32_t frame_build(struct frame_conn *c, enum tap_direction d, uint8_t flags, const uint8_t *payload,
                     uint32_t len, uint8_t out[FRAME_HEADERS_MAX])
{
    uint32_t tcp_len = TCP_LEN + (flags & FRAME_SYN ? SYN_OPTIONS : 0);
    uint32_t at = put_ip(c, d, tcp_len + len, out);
    uint8_t *tcp = out + at;
    memset(tcp, 0, tcp_len);
    be16_put(tcp, c->addr[d].port);
    be16_put(tcp + 2, c->addr[!d].port);
    be32_put(tcp + 4, c->seq[d]);
    if (flags & FRAME_ACK) {
        be32_put(tcp + 8, c->seq[!d]);
        c->acked[!d] = c->seq[!d];
    }
    tcp[12] = (uint8_t)(tcp_len / 4 << 4);
    tcp[13] = flags;
    be16_put(tcp + 14, WINDOW);
    if (flags & FRAME_SYN) {
        tcp[20] = 2;
        tcp[21] = 4;
        be16_put(tcp + 22, FRAME_PAYLOAD_MAX);
        tcp[24] = 3;
        tcp[25] = 3;
        tcp[26] = WINDOW_SCALE;
    }
    be16_put(tcp + 16, tcp_checksum(c, d, tcp, tcp_len, payload, len));
    c->seq[d] += len + (flags & (FRAME_SYN | FRAME_FIN) ? 1 : 0);
    return at + tcp_len;
}

void frame_skip(struct frame_conn *c, enum tap_direction d, uint64_t len)
{
    c->seq[d] += (uint32_t)len;
}
