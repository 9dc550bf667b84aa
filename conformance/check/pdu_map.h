/* Which packet of the capture ended which PDU of a connection. Bounded: the oldest are forgotten. */
#ifndef LUNETTE_CONFORMANCE_PDU_MAP_H
#define LUNETTE_CONFORMANCE_PDU_MAP_H

#include <stdint.h>

#define PDU_MAP_MAX (1u << 20) /* packets of one connection that are remembered */

struct pdu_map_row {
    uint64_t last_pdu; /* the last PDU that the packet ended */
    uint64_t packet;
};
struct pdu_map {              /* zero: empty */
    struct pdu_map_row *rows; /* owned; ascending */
    uint32_t count, cap;
    uint64_t forgotten; /* the last PDU of which nothing is known any more */
};

/* `last_pdu` and everything since the last call ended with this packet. When memory is out nothing is
 * remembered. */
void pdu_map_add(struct pdu_map *map, uint64_t last_pdu, uint64_t packet);
/* 0: not known. */
uint64_t pdu_map_packet(const struct pdu_map *map, uint64_t pdu);
void pdu_map_free(struct pdu_map *map);

#endif
