#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "bench/report.h"
#include "common/base/units.h"
#include "common/base/version.h"

const struct report_quantile report_quantiles[REPORT_QUANTILES] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};

char *report_now(char *buf, size_t len)
{
    const time_t now = time(NULL);
    struct tm utc;
    buf[0] = '\0';
    if (gmtime_r(&now, &utc))
        strftime(buf, len, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return buf;
}

double report_per_second(uint64_t count, uint64_t ns)
{
    return ns ? (double)count * 1e9 / (double)ns : 0;
}

char *report_sizes(const struct pattern_options *p, char *buf, size_t len)
{
    size_t at = 0;
    buf[0] = '\0';
    for (uint32_t i = 0; i < p->sizes && at < len; i++) {
        uint32_t size = p->size[i].len;
        const char *unit = size % (1u << 20) == 0 ? "M" : size % 1024 == 0 ? "K" : "";
        uint32_t n = unit[0] == 'M' ? size >> 20 : unit[0] ? size >> 10 : size;
        int put = snprintf(buf + at, len - at, "%s%u%s", i ? "," : "", n, unit);
        at += put > 0 ? (size_t)put : 0;
        if (p->sizes > 1 && at < len) {
            put = snprintf(buf + at, len - at, ":%u", p->size[i].weight);
            at += put > 0 ? (size_t)put : 0;
        }
    }
    return buf;
}

char *report_mix(const struct pattern_options *p, char *buf, size_t len)
{
    snprintf(buf, len, "read=%u,write=%u,unmap=%u", p->percent[PATTERN_READ], p->percent[PATTERN_WRITE],
             p->percent[PATTERN_UNMAP]);
    return buf;
}

static void json_string(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20 || *p > 0x7e) /* products are ASCII; titles from a shell may be anything */
            fprintf(out, "\\u%04x", *p);
        else
            putc(*p, out);
    }
    putc('"', out);
}

static void json_usage(FILE *out, const char *name, const struct process_usage *u, uint64_t commands)
{
    fprintf(out,
            ",\n\"%s\":{\"cpu_seconds\":%.3f,\"cpu_us_per_command\":%.4f,\"voluntary_switches\":%" PRIu64
            ",\"involuntary_switches\":%" PRIu64 ",\"rss_bytes\":%" PRIu64 ",\"threads\":%u}",
            name, (double)u->cpu_ns / 1e9, commands ? (double)u->cpu_ns / 1e3 / (double)commands : 0,
            u->voluntary, u->involuntary, u->rss, u->threads);
}

static void json_latency(FILE *out, const struct histogram *h)
{
    fprintf(out, ",\n\"latency_us\":{\"min\":%.3f,\"mean\":%.3f", h->count ? (double)h->min / 1e3 : 0,
            h->count ? (double)h->sum / 1e3 / (double)h->count : 0);
    for (int i = 0; i < REPORT_QUANTILES; i++)
        fprintf(out, ",\"%s\":%.3f", report_quantiles[i].name,
                (double)histogram_quantile(h, report_quantiles[i].share) / 1e3);
    fprintf(out, ",\"max\":%.3f},\n\"histogram\":[", (double)h->max / 1e3);
    bool first = true;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (!h->bucket[i])
            continue;
        fprintf(out, "%s[%" PRIu64 ",%" PRIu64 "]", first ? "" : ",", histogram_upper(i), h->bucket[i]);
        first = false;
    }
    fputs("]", out);
}

static void json_begin(FILE *out, const struct bench_options *o, const char *mode)
{
    char url[1024], now[32];
    fprintf(out,
            "{\"program\":\"lunette-bench\",\"version\":\"" LUNETTE_VERSION
            "\",\"format\":1,\"mode\":\"%s\",\"ended\":\"%s\",\n\"title\":",
            mode, report_now(now, sizeof now));
    json_string(out, o->title ? o->title : "");
    fputs(",\"url\":", out);
    json_string(out, bench_options_url(o, url, sizeof url));
}

static void json_load_options(FILE *out, const struct bench_options *o, const struct lean_result *r)
{
    static const char *const polls[] = {"never", "adaptive", "always"};
    char sizes[256], mix[64];
    fprintf(out,
            ",\n\"options\":{\"sessions\":%u,\"connections\":%u,\"depth\":%u,\"size\":\"%s\",\"mix\":\"%s\","
            "\"pattern\":\"%s\",\"rate\":%" PRIu64 ",\"verify\":%s,\"poll\":\"%s\",\"seed\":%" PRIu64 "}",
            o->load.sessions, o->client.connections, o->load.depth,
            report_sizes(&o->load.pattern, sizes, sizeof sizes),
            report_mix(&o->load.pattern, mix, sizeof mix), o->load.pattern.random ? "random" : "sequential",
            o->load.rate, o->load.verify ? "true" : "false", polls[o->load.poll], o->load.pattern.seed);
    fprintf(out, ",\n\"lun\":{\"bytes\":%" PRIu64 ",\"block_size\":%u,\"product\":", r->lun_bytes,
            r->block_size);
    json_string(out, r->product);
    fprintf(
        out,
        "},\n\"negotiated\":{\"header_digest\":\"%s\",\"data_digest\":\"%s\",\"initial_r2t\":%s,"
        "\"immediate_data\":%s,\"first_burst\":%u,\"max_burst\":%u,\"target_max_recv\":%u,\"max_recv\":%u,"
        "\"connections\":%u}",
        key_digest_text(r->params.header_digest), key_digest_text(r->params.data_digest),
        r->params.initial_r2t ? "true" : "false", r->params.immediate_data ? "true" : "false",
        r->params.first_burst_length, r->params.max_burst_length, r->params.peer_max_recv_data_segment_length,
        r->params.max_recv_data_segment_length, r->connections);
}

void report_load_json(FILE *out, const struct bench_options *o, const struct lean_result *r)
{
    double seconds = (double)r->elapsed_ns / 1e9;
    json_begin(out, o, "load");
    json_load_options(out, o, r);
    fprintf(out,
            ",\n\"commands\":%" PRIu64 ",\"reads\":%" PRIu64 ",\"writes\":%" PRIu64 ",\"unmaps\":%" PRIu64
            ",\"seconds\":%.6f,\"iops\":%.1f,\"mb_per_second\":%.2f,\"mib_per_second\":%.2f,"
            "\"errors\":%" PRIu64 ",\"mismatches\":%" PRIu64 ",\"unit_attentions\":%" PRIu64
            ",\"pings\":%" PRIu64,
            r->commands, r->by_kind[PATTERN_READ], r->by_kind[PATTERN_WRITE], r->by_kind[PATTERN_UNMAP],
            seconds, report_per_second(r->commands, r->elapsed_ns),
            report_per_second(r->bytes, r->elapsed_ns) / 1e6,
            report_per_second(r->bytes, r->elapsed_ns) / 1048576, r->errors, r->mismatches,
            r->unit_attentions, r->pings);
    json_latency(out, &r->latency);
    fprintf(out, ",\n\"samples\":{\"interval_ms\":%.3f,\"commands\":[", (double)r->sample_ns / 1e6);
    for (uint32_t i = 0; i < r->samples; i++)
        fprintf(out, "%s%" PRIu64, i ? "," : "", r->sample[i]);
    fputs("]}", out);
    json_usage(out, "client", &r->own, r->commands);
    if (r->has_target)
        json_usage(out, "target", &r->target, r->commands);
    if (r->watch_busy >= 0)
        fprintf(out, ",\n\"watched_core\":{\"core\":%d,\"busy\":%.4f}", o->load.watch_cpu, r->watch_busy);
    fputs(",\n\"first_problem\":", out);
    json_string(out, r->first_problem);
    fputs("}\n", out);
}

void report_recover_json(FILE *out, const struct work_result *r)
{
    uint64_t ns = r->elapsed_ns ? r->elapsed_ns : 1;
    fprintf(
        out,
        "{\"commands\":%" PRIu64 ",\"reads\":%" PRIu64 ",\"writes\":%" PRIu64
        ",\"seconds\":%.3f,\"iops\":%.0f,"
        "\"mib_per_second\":%.1f,\"errors\":%" PRIu64 ",\"mismatches\":%" PRIu64 ",\"reconnects\":%" PRIu64
        ",\"recovery_level\":%u,\"max_connections\":%u,\"connections_lost\":%" PRIu64 ",\"reissued\":%" PRIu64
        ",\"recovered_connections\":%" PRIu64 ",\"reassigns\":%" PRIu64 "}\n",
        r->commands, r->reads, r->writes, (double)ns / 1e9, report_per_second(r->commands, ns),
        report_per_second(r->bytes, ns) / 1048576, r->errors, r->mismatches, r->reconnects, r->recovery_level,
        r->max_connections, r->connections_lost, r->reissued, r->recovered_connections, r->reassigns);
}

void report_logins_json(FILE *out, const struct bench_options *o, const struct login_result *r)
{
    json_begin(out, o, "logins");
    fprintf(out,
            ",\n\"parallel\":%u,\"logins\":%" PRIu64 ",\"errors\":%" PRIu64
            ",\"seconds\":%.6f,\"logins_per_second\":%.1f",
            o->parallel, r->logins, r->errors, (double)r->elapsed_ns / 1e9,
            report_per_second(r->logins, r->elapsed_ns));
    json_latency(out, &r->latency);
    json_usage(out, "client", &r->own, r->logins);
    if (r->has_target)
        json_usage(out, "target", &r->target, r->logins);
    if (r->watch_busy >= 0)
        fprintf(out, ",\n\"watched_core\":{\"core\":%d,\"busy\":%.4f}", o->load.watch_cpu, r->watch_busy);
    fputs(",\n\"first_problem\":", out);
    json_string(out, r->first_problem);
    fputs("}\n", out);
}

void report_idle_json(FILE *out, const struct bench_options *o, const struct idle_result *r)
{
    json_begin(out, o, "idle");
    fprintf(out,
            ",\n\"asked\":%" PRIu64 ",\"opened\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"pings\":%" PRIu64
            ",\"open_seconds\":%.3f,\"held_seconds\":%.3f",
            o->idle, r->opened, r->lost, r->pings, (double)r->open_ns / 1e9, (double)r->held_ns / 1e9);
    if (r->has_target) {
        fprintf(out, ",\n\"target_rss_before\":%" PRIu64 ",\"target_rss_after\":%" PRIu64, r->rss_before,
                r->rss_after);
        fprintf(out, ",\"bytes_per_connection\":%.1f",
                r->opened ? ((double)r->rss_after - (double)r->rss_before) / (double)r->opened : 0);
        json_usage(out, "target", &r->target, 0);
    }
    fputs("}\n", out);
}
