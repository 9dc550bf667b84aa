/* How many chunks a transfer has under way: as many as make it faster, and no more. What is in flight beyond
 * that only waits, and pushes what comes next out of the processors' caches on both sides. It is found by
 * trying: twice as many for a while, or half, and back when that did not pay. No guess from latencies: a
 * store's vary with what its cache has. */
#ifndef LUNETTE_CLI_WINDOW_H
#define LUNETTE_CLI_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_FIRST 8u /* chunks, to begin with; never fewer where that many are allowed */

enum window_trial { WINDOW_SETTLED, WINDOW_WIDER, WINDOW_NARROWER };

struct window {
    uint32_t open; /* chunks that may be under way */
    /* private */
    uint32_t most, settled;  /* settled: what was open before this trial */
    enum window_trial trial; /* what this period tries */
    bool narrow_next;        /* of the two, when the time has come */
    uint32_t rest;           /* periods until the next trial */
    uint32_t left;           /* chunks of this period that are to end */
    uint64_t bytes, begin_ns;
    double rate; /* bytes per second of what is settled */
};

/* `most` is at least 1. Begins when the first chunk is on its way. */
void window_start(struct window *w, uint32_t most, uint64_t now_ns);
/* One chunk has ended, and moved so many bytes. True: `open` has grown. */
bool window_ended(struct window *w, uint64_t bytes, uint64_t now_ns);

#endif
