/* The load: sessions that keep a number of commands in flight and check every byte they read.
 *
 * Each session owns a region of the LUN, cut into units of one command's size. A unit has at most one command
 * in flight, so what a read must return is known exactly: the last write that was answered. Blocks are
 * stamped with their LBA, the session and the write's sequence number, and filled from them, so a misplaced
 * or stale block is named, not only noticed. */
#ifndef LUNETTE_BENCH_WORK_H
#define LUNETTE_BENCH_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "initiator/lib/lunette.h"

struct work_options {
    uint32_t sessions, depth;
    uint32_t size; /* bytes of one command */
    uint32_t read_percent;
    bool verify, random;
    uint64_t duration_ns; /* 0: until `commands` */
    uint64_t commands;    /* all sessions together; 0: until duration */
    uint64_t seed;
    uint32_t part, parts; /* this process works on part `part` of `parts` equal parts of the LUN */
};

struct work_result {
    uint64_t commands, reads, writes, bytes, reconnects;
    uint64_t errors;     /* commands that did not end GOOD */
    uint64_t mismatches; /* reads whose data was not what the last write left */
    uint64_t elapsed_ns;
    uint32_t recovery_level, max_connections;  /* that the first session was granted */
    uint64_t connections_lost, reissued;       /* all sessions; reissued: commands, after a new login */
    uint64_t recovered_connections, reassigns; /* recovery within sessions */
    char first_problem[256];
};

/* Runs to the end; returns 0 or an enum err when it could not start (`why` says what). */
int work_run(const struct env *env, struct io *io, const struct lnt_url *url,
             const struct lnt_options *client, const struct work_options *options, struct work_result *result,
             char *why, size_t why_len);

#endif
