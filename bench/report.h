/* What a run found, for people (text, HTML) and programs (JSON). */
#ifndef LUNETTE_BENCH_REPORT_H
#define LUNETTE_BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/options.h"

#define REPORT_QUANTILES 5
struct report_quantile {
    const char *name; /* "p99.9" */
    double share;
};
extern const struct report_quantile report_quantiles[REPORT_QUANTILES];

struct login_result { /* of --logins */
    uint64_t logins, errors, elapsed_ns;
    struct histogram latency;
    struct process_usage own, target;
    bool has_target;
    double watch_busy;
    char first_problem[320];
};

struct idle_result { /* of --idle */
    uint64_t opened, lost, pings, open_ns, held_ns;
    bool has_target;
    uint64_t rss_before, rss_after; /* bytes, of the target */
    struct process_usage target;    /* what it used while they were held */
};

void report_load_text(FILE *out, const struct bench_options *o, const struct lean_result *r);
void report_load_json(FILE *out, const struct bench_options *o, const struct lean_result *r);
void report_load_html(FILE *out, const struct bench_options *o, const struct lean_result *r);
void report_recover_json(FILE *out, const struct work_result *r);
void report_logins_text(FILE *out, const struct login_result *r);
void report_logins_json(FILE *out, const struct bench_options *o, const struct login_result *r);
void report_idle_text(FILE *out, const struct idle_result *r);
void report_idle_json(FILE *out, const struct bench_options *o, const struct idle_result *r);
/* Two files side by side. 0, or 1 after having told what is wrong with one. */
int report_compare(FILE *out, const char *a, const char *b);
/* "4K", "4K:70,64K:30"; "read=70,write=30"; return buf. */
char *report_sizes(const struct pattern_options *p, char *buf, size_t len);
char *report_mix(const struct pattern_options *p, char *buf, size_t len);
/* "2026-11-22T03:31:04Z": when this is called, which is when the run is over; returns buf. */
char *report_now(char *buf, size_t len);
double report_per_second(uint64_t count, uint64_t ns);

#endif
