/* PDU numbers to packet numbers. */
#include "conformance/check/pdu_map.h"

#include <stdlib.h>
#include <string.h>

void pdu_map_add(struct pdu_map *map, uint64_t last_pdu, uint64_t packet)
{
    if (map->count == PDU_MAP_MAX) {
        uint32_t keep = PDU_MAP_MAX / 2;
        map->forgotten = map->rows[map->count - keep - 1].last_pdu;
        memmove(map->rows, map->rows + map->count - keep, keep * sizeof *map->rows);
        map->count = keep;
    }
    if (map->count == map->cap) {
        uint32_t cap = map->cap ? map->cap * 2 : 64;
        struct pdu_map_row *grown = realloc(map->rows, cap * sizeof *grown);
        if (!grown)
            return;
        map->rows = grown;
        map->cap = cap;
    }
    map->rows[map->count++] = (struct pdu_map_row){last_pdu, packet};
}

uint64_t pdu_map_packet(const struct pdu_map *map, uint64_t pdu)
{
    uint32_t low = 0, high = map->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (map->rows[middle].last_pdu < pdu)
            low = middle + 1;
        else
            high = middle;
    }
    return low < map->count && pdu > map->forgotten ? map->rows[low].packet : 0;
}

void pdu_map_free(struct pdu_map *map)
{
    free(map->rows);
    *map = (struct pdu_map){0};
}
