/* Stamped blocks: what a block holds says where it belongs and who wrote it. */
#ifndef LUNETTE_BENCH_STAMP_H
#define LUNETTE_BENCH_STAMP_H

#include <stdbool.h>
#include <stdint.h>

struct stamp {
    uint64_t lba, writer, sequence;
};

/* Fills one block of `len` bytes (a multiple of 8, at least 32). */
void stamp_fill(uint8_t *block, uint32_t len, const struct stamp *stamp);
/* True when the block is exactly what stamp_fill made; else *found says what its head claims. */
bool stamp_check(const uint8_t *block, uint32_t len, const struct stamp *stamp, struct stamp *found);

#endif
