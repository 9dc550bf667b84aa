/* Deliberate defects, one at a time, to see that the tests catch them. In products MUTANT(name) is the
 * constant false: the compiler drops the branch. In the `mutants` variant it is true while that mutant is
 * switched on, by a test program before it starts anything.
 *
 * To add one: a row here and a tiny edit at the place that it breaks: `if (MUTANT(name)) wrong; else right`.
 */
#ifndef LUNETTE_BASE_MUTANT_H
#define LUNETTE_BASE_MUTANT_H

#include <stdbool.h>

/* X(name, what is wrong) */
#define MUTANT_LIST(X)                                                                                       \
    X(unfenced_abort, "task management is answered while store requests of what it aborted still run")       \
    X(old_session_lives, "a reinstating login does not wait for the old session's tasks")                    \
    X(forgotten_flush, "FUA writes are answered without the flush")                                          \
    X(sync_is_noop, "SYNCHRONIZE CACHE answers without flushing")                                            \
    X(lost_unit, "the last block of a span is not written")                                                  \
    X(zero_one_less, "WRITE SAME of zeros leaves the last block as it was")                                  \
    X(store_error_good, "a write that the store could not do ends GOOD")                                     \
    X(short_write, "a short transfer is taken for a whole one")                                              \
    X(range_off_by_one, "the medium's last block cannot be addressed")                                       \
    X(read_restarts, "the second span of a read comes from the beginning")                                   \
    X(loan_changes, "a write changes memory that is lent to a read on its way out")                          \
    X(kept_order, "all extents of a write that is kept as it came show its first one")                       \
    X(instant_error_is_good, "a write that fails at once is answered GOOD")                                  \
    X(broken_map, "what a broken map of a file shows is sent as the file's data")                            \
    X(memory_extent, "a transfer across an extent of memory uses the first part twice")                      \
    X(resize_unannounced, "a resize does not reach the reactors' views")                                     \
    X(window_off_by_one, "a command in the last place of the window is ignored")                             \
    X(window_stuck, "MaxCmdSN does not advance at every sixteenth command")                                  \
    X(r2t_off_by_one, "an R2T asks for one byte less")                                                       \
    X(first_burst_rest, "the part of the first burst that fills no block comes from its beginning")          \
    X(data_in_offset, "a later Data-In PDU of a span has a buffer offset one block too low")                 \
    X(data_digest_ignored, "the target does not notice a wrong data digest")                                 \
    X(initiator_digest_ignored, "the initiator does not notice a wrong data digest")                         \
    X(nop_unanswered, "the target does not answer NOP-Out")                                                  \
    X(phantom_residual, "GOOD comes with a residual of one byte that does not exist")                        \
    X(initiator_wrong_burst, "the initiator answers every R2T with the data of its start")                   \
    X(initiator_data_offset, "data that is copied out of a chunk lands eight bytes too early")               \
    X(initiator_overruns, "the initiator sends one command more than the window allows")                     \
    X(lost_counts_good, "the library reports a write done when its session was lost")

enum mutant {
    MUTANT_NONE,
#define X(name, text) MUTANT_##name,
    MUTANT_LIST(X)
#undef X
        MUTANT_COUNT
};

#ifdef LUNETTE_MUTANTS
extern enum mutant mutant_on;
#define MUTANT(name) (mutant_on == MUTANT_##name)
#else
#define MUTANT(name) false
#endif

#endif
