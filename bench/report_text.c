#include <inttypes.h>

#include "bench/report.h"
#include "common/base/units.h"

static void text_usage(FILE *out, const char *who, const struct process_usage *u, uint64_t commands,
                       const char *of)
{
    fprintf(out,
            "%-8s %.3f us CPU for each %s, %.3f s in all; %" PRIu64 " switches of its own, %" PRIu64
            " forced\n",
            who, commands ? (double)u->cpu_ns / 1e3 / (double)commands : 0, of, (double)u->cpu_ns / 1e9,
            u->voluntary, u->involuntary);
}

static void text_latency(FILE *out, const struct histogram *h)
{
    char buf[40];
    fprintf(out, "latency  ");
    for (int i = 0; i < REPORT_QUANTILES; i++)
        fprintf(out, "%s %s  ", report_quantiles[i].name,
                units_format_duration(histogram_quantile(h, report_quantiles[i].share), buf, sizeof buf));
    fprintf(out, "max %s\n", units_format_duration(h->max, buf, sizeof buf));
}

static void text_core(FILE *out, int core, double busy)
{
    if (busy >= 0)
        fprintf(out, "core %-3d busy %.1f %%\n", core, busy * 100);
}

void report_load_text(FILE *out, const struct bench_options *o, const struct lean_result *r)
{
    char sizes[256], mix[64], size[40];
    fprintf(out, "%s%s%s of %s, %s, %u session%s x depth %u, %s\n", o->title ? o->title : "",
            o->title ? ": " : "", o->load.pattern.random ? "random" : "sequential",
            report_sizes(&o->load.pattern, sizes, sizeof sizes),
            report_mix(&o->load.pattern, mix, sizeof mix), o->load.sessions, o->load.sessions == 1 ? "" : "s",
            o->load.depth, units_format_size(r->lun_bytes, size, sizeof size));
    fprintf(out, "rate     %.0f commands/s, %.1f MB/s (%" PRIu64 " commands in %.3f s)\n",
            report_per_second(r->commands, r->elapsed_ns), report_per_second(r->bytes, r->elapsed_ns) / 1e6,
            r->commands, (double)r->elapsed_ns / 1e9);
    text_latency(out, &r->latency);
    if (r->has_target)
        text_usage(out, "target", &r->target, r->commands, "command");
    text_usage(out, "client", &r->own, r->commands, "command");
    text_core(out, o->load.watch_cpu, r->watch_busy);
    if (o->load.verify || r->errors || r->mismatches)
        fprintf(out, "errors   %" PRIu64 ", wrong data %" PRIu64 "\n", r->errors, r->mismatches);
}

void report_logins_text(FILE *out, const struct login_result *r)
{
    fprintf(out, "logins   %.0f sessions/s (%" PRIu64 " in %.3f s), %" PRIu64 " failed\n",
            report_per_second(r->logins, r->elapsed_ns), r->logins, (double)r->elapsed_ns / 1e9, r->errors);
    text_latency(out, &r->latency);
    if (r->has_target)
        text_usage(out, "target", &r->target, r->logins, "login");
    text_usage(out, "client", &r->own, r->logins, "login");
}

void report_idle_text(FILE *out, const struct idle_result *r)
{
    fprintf(out,
            "idle     %" PRIu64 " sessions opened in %.3f s, held %.3f s, %" PRIu64 " lost, %" PRIu64
            " pings answered\n",
            r->opened, (double)r->open_ns / 1e9, (double)r->held_ns / 1e9, r->lost, r->pings);
    if (r->has_target)
        fprintf(out,
                "target   %.0f bytes for each (%" PRIu64 " KiB before, %" PRIu64
                " KiB after); %.3f s CPU meanwhile\n",
                r->opened ? ((double)r->rss_after - (double)r->rss_before) / (double)r->opened : 0,
                r->rss_before / 1024, r->rss_after / 1024, (double)r->target.cpu_ns / 1e9);
}
