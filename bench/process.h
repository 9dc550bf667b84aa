/* What a process has used, from /proc: CPU time, context switches, memory; and how busy a core was. */
#ifndef LUNETTE_BENCH_PROCESS_H
#define LUNETTE_BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

struct process_usage {
    uint64_t cpu_ns;                 /* utime + stime of all threads, those that ended included */
    uint64_t voluntary, involuntary; /* context switches of the threads that there are */
    uint64_t rss;                    /* bytes */
    uint32_t threads;
};
/* False when there is no such process, or its files cannot be read. pid 0: this process. */
bool process_usage(int64_t pid, struct process_usage *out);
/* later - earlier; memory and threads are the later ones'. */
struct process_usage process_difference(const struct process_usage *later,
                                        const struct process_usage *earlier);

struct core_usage {
    uint64_t busy, all; /* clock ticks */
};
bool core_usage(int core, struct core_usage *out);

/* Pins this process to the core. False when that cannot be. */
bool process_pin(int core);

#endif
