/* Which command comes next: kind, size and place, by percentages and mixes; no allocation once set up.
 *
 * With `verify` each session owns a region of the LUN, cut into cells of the largest size, and a cell has at
 * most one command in flight: so what a read must return is known exactly, per block of the smallest size. */
#ifndef LUNETTE_BENCH_PATTERN_H
#define LUNETTE_BENCH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_SIZES_MAX 8u
#define PATTERN_SIZE_MAX  (16u << 20) /* bytes of one command */

enum pattern_kind { PATTERN_READ, PATTERN_WRITE, PATTERN_UNMAP, PATTERN_KINDS };

struct pattern_size {
    uint32_t len;    /* bytes */
    uint32_t weight; /* of the sum of weights */
};

struct pattern_options {
    uint32_t percent[PATTERN_KINDS]; /* sum 100 */
    struct pattern_size size[PATTERN_SIZES_MAX];
    uint32_t sizes;
    bool random;
    uint64_t seed;
};
/* "4K", "4K:70,64K:30": sizes and weights. False when it is neither. */
bool pattern_sizes_parse(const char *text, struct pattern_options *out);
/* "read", "70", "read=70,write=20,unmap=10". False when it is neither or does not sum up to 100. */
bool pattern_mix_parse(const char *text, struct pattern_options *out);
uint32_t pattern_size_largest(const struct pattern_options *o);
uint32_t pattern_size_smallest(const struct pattern_options *o);

struct pattern {                           /* of one session */
    const struct pattern_options *options; /* borrowed */
    uint32_t block_size, cell, grain;      /* bytes: of the LUN, largest size, smallest size */
    uint64_t first;                        /* bytes: where its region begins */
    uint64_t cells;
    uint64_t random, next; /* next: byte of the region, for in order */
    uint32_t weights;
    bool exclusive;    /* a cell has one command at a time */
    bool *busy;        /* exclusive: by cell; owned */
    uint64_t *written; /* exclusive: sequence of the last write that was answered, by grain; 0: not known */
};
struct env;
/* The region [first, first + len) of the LUN. ERR_RANGE: no room for `in_flight` cells; ERR_NOMEM. */
int pattern_init(struct pattern *p, const struct env *env, const struct pattern_options *options,
                 uint32_t block_size, uint64_t first, uint64_t len, uint32_t in_flight, bool exclusive,
                 uint64_t number);
void pattern_fini(struct pattern *p, const struct env *env);

struct pattern_choice {
    enum pattern_kind kind;
    uint32_t len;    /* bytes */
    uint64_t offset; /* bytes, of the LUN */
};
void pattern_next(struct pattern *p, struct pattern_choice *out);
/* The command has ended: its cell is free again. */
void pattern_done(struct pattern *p, const struct pattern_choice *choice);
/* Exclusive: the sequences of a choice's grains. */
static inline uint64_t *pattern_written(struct pattern *p, uint64_t offset)
{
    return p->written + (offset - p->first) / p->grain;
}

static inline uint64_t pattern_random(struct pattern *p)
{
    p->random ^= p->random << 13;
    p->random ^= p->random >> 7;
    p->random ^= p->random << 17;
    return p->random;
}

#endif
