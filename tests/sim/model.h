/* What a disk may hold: the reference that every simulated command is checked against.
 *
 * Each LBA is a register of stamped writes by concurrent clients. A write takes effect at some moment, or at
 * several (the library repeats what was lost), between its begin and its end; one that failed has perhaps
 * done so; one whose session broke may still do so until its owner's next session stands (fence). Order of
 * begins and ends is all that is known, and it is exact: the simulation is one thread.
 *
 * A write V is *superseded* once another write W that began after V's end is known to have happened: W ended
 * GOOD, or a read that has ended returned it. A read may return any write that was not superseded when the
 * read began.
 *
 * With a volatile cache V is superseded for good only when a flush that began later ended GOOD, or when W was
 * FUA. A power cut takes back every other supersession. */
#ifndef LUNETTE_TESTS_SIM_MODEL_H
#define LUNETTE_TESTS_SIM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/env.h"

struct model;
struct model_op;

/* Which write a block holds; {0, 0}: zeros (from the start, or written as such). */
struct model_stamp {
    uint64_t writer, sequence;
};

enum model_end {
    MODEL_GOOD,
    MODEL_FAILED, /* an error or an abort that is over: perhaps it happened, but it does no more */
    MODEL_NEVER   /* refused before it could touch the medium */
};

/* All blocks are zeros. `volatile_cache`: a power cut may lose what is not flushed. NULL: out of memory. */
struct model *model_new(const struct env *env, uint64_t blocks, bool volatile_cache);
void model_free(struct model *m);
/* Grown blocks are zeros. False: out of memory. */
bool model_grow(struct model *m, uint64_t blocks);
uint64_t model_blocks(const struct model *m);

/* Each op is begun, and ended once by model_end, model_read_end, model_lost or model_drop. NULL: out of
 * memory. */
struct model_op *model_write(struct model *m, uint64_t lba, uint32_t blocks, struct model_stamp stamp,
                             bool fua);
struct model_op *model_read(struct model *m, uint64_t lba, uint32_t blocks);
struct model_op *model_flush(struct model *m);
/* Writes and flushes; reads that failed. */
void model_end(struct model *m, struct model_op *op, enum model_end how);
/* A read that ended GOOD. False: block *bad (from the read's first) must not hold what it held. */
bool model_read_end(struct model *m, struct model_op *op, const struct model_stamp *found, uint32_t *bad);
/* The answer will never come: a write may still happen until `owner` is fenced. Reads and flushes just go. */
void model_lost(struct model *m, struct model_op *op, uint32_t owner);
/* Nothing that `owner` lost can happen any more: its new session stands. MODEL_EVERYBODY: the target has
 * died. */
#define MODEL_EVERYBODY UINT32_MAX
void model_fence(struct model *m, uint32_t owner);
void model_power_cut(struct model *m);
/* How many writes this block may hold now, for tests and the trace of one seed. */
uint32_t model_candidates(const struct model *m, uint64_t lba);

#endif
