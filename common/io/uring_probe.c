/* A version number says little: containers forbid io_uring by seccomp (all of it or single calls),
 * administrators by sysctl, distributions backport. So each set of features is tried with a ring of its own
 * and a NOP. */
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "common/io/uring_probe.h"

/* LUNETTE_URING_FEATURES: names of the optional features to use, separated by commas; unset: all; "none":
 * none. */
static bool uring_feature_wanted(const char *name)
{
    const char *list = getenv("LUNETTE_URING_FEATURES");
    if (!list)
        return true;
    size_t len = strlen(name);
    for (const char *at = list; *at;) {
        size_t word = strcspn(at, ",");
        if (word == len && memcmp(at, name, len) == 0)
            return true;
        at += word + (at[word] == ',');
    }
    return false;
}

/* The operations that this backend submits. All exist since 5.6; asked because a kernel may be configured
 * without. */
static bool uring_has_opcodes(struct io_uring *ring)
{
    static const int needed[] = {IORING_OP_NOP,       IORING_OP_READV,       IORING_OP_WRITEV,
                                 IORING_OP_FSYNC,     IORING_OP_POLL_ADD,    IORING_OP_POLL_REMOVE,
                                 IORING_OP_FALLOCATE, IORING_OP_ASYNC_CANCEL};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (!probe)
        return false;
    bool all = true;
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        all &= io_uring_opcode_supported(probe, needed[i]) != 0;
    io_uring_free_probe(probe);
    return all;
}

/* A set-up that succeeds may still be useless (a seccomp filter may forbid io_uring_enter alone): runs a NOP.
 */
static bool uring_probe(unsigned setup_flags)
{
    struct io_uring ring;
    struct io_uring_params params = {.flags = setup_flags};
    if (io_uring_queue_init_params(4, &ring, &params) < 0)
        return false;
    /* EXT_ARG: waiting with a limit in the same call. NODROP: completions beyond the queue's size are kept.
     * RSRC_TAGS: no use of ours, but it came with the multishot poll (5.13), which nothing else tells. */
    bool works = (params.features & IORING_FEAT_EXT_ARG) && (params.features & IORING_FEAT_NODROP) &&
                 (params.features & IORING_FEAT_RSRC_TAGS) && uring_has_opcodes(&ring);
    struct io_uring_sqe *sqe = works ? io_uring_get_sqe(&ring) : NULL;
    if (sqe) {
        struct io_uring_cqe *cqe;
        struct __kernel_timespec limit = {.tv_sec = 1};
        io_uring_prep_nop(sqe);
        works = io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &limit, NULL) >= 0 &&
                io_uring_cq_ready(&ring) == 1;
    }
    io_uring_queue_exit(&ring);
    return works;
}

/* The best set of optional features that works here; false when not even the plain ring does. */
bool uring_choose_flags(unsigned *out)
{
    const bool single = uring_feature_wanted("single"), defer = uring_feature_wanted("defer"),
               coop = uring_feature_wanted("coop");
    /* Best first. Deferred: completions are made in our own wait, never in the middle of our work;
     * cooperative: at least without interrupting it. */
    const struct {
        bool wanted;
        unsigned flags;
    } sets[] = {
        {single && defer, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN},
        {single && coop, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN},
        {coop, IORING_SETUP_COOP_TASKRUN},
        {true, 0},
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        if (sets[i].wanted && uring_probe(sets[i].flags)) {
            *out = sets[i].flags;
            return true;
        }
    }
    return false;
}
