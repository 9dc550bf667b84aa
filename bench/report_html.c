/* One HTML file with its plots inside: nothing is fetched, it can be mailed. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "bench/report.h"
#include "common/base/units.h"
#include "common/base/version.h"

#define PLOT_W    900
#define PLOT_H    280
#define PLOT_LEFT 70
#define PLOT_FOOT 40
#define PLOT_TOP  16
/* The area that values are drawn in. */
#define AREA_W (PLOT_W - PLOT_LEFT - 16)
#define AREA_H (PLOT_H - PLOT_FOOT - PLOT_TOP)

static void html_text(FILE *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        switch (*p) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            if ((unsigned char)*p >= 0x20)
                putc(*p, out);
        }
    }
}

static void html_head(FILE *out, const struct bench_options *o)
{
    char url[1024];
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<title>", out);
    html_text(out, o->title ? o->title : "lunette-bench");
    fputs("</title>\n<style>\n"
          "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\n"
          "table{border-collapse:collapse}td,th{padding:.15em 1em .15em 0;text-align:left}\n"
          "td.n{text-align:right;font-variant-numeric:tabular-nums}\n"
          "svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#555}\n"
          ".axis{stroke:#bbb}.grid{stroke:#eee}.line{fill:none;stroke:#1f6fb2;stroke-width:2}\n"
          ".bar{fill:#1f6fb2}.mark{stroke:#c33;stroke-dasharray:4 3}\n"
          "</style>\n</head>\n<body>\n<h1>",
          out);
    html_text(out, o->title ? o->title : "lunette-bench");
    fputs("</h1>\n<p>", out);
    html_text(out, bench_options_url(o, url, sizeof url));
    fputs("</p>\n", out);
}

static void html_row(FILE *out, const char *name, int decimals, double value)
{
    fprintf(out, "<tr><th>%s</th><td class=\"n\">%.*f</td></tr>\n", name, decimals, value);
}

static void html_load(FILE *out, const struct bench_options *o, const struct lean_result *r)
{
    char sizes[256], mix[64];
    fprintf(out, "<p>%s, %s, %s, %u session%s &#215; depth %u, measured for %.3f s",
            o->load.pattern.random ? "random" : "sequential",
            report_sizes(&o->load.pattern, sizes, sizeof sizes),
            report_mix(&o->load.pattern, mix, sizeof mix), o->load.sessions, o->load.sessions == 1 ? "" : "s",
            o->load.depth, (double)r->elapsed_ns / 1e9);
    if (o->load.rate)
        fprintf(out, ", at most %" PRIu64 " commands/s", o->load.rate);
    fputs("</p>\n", out);
}

static void html_table(FILE *out, const struct lean_result *r)
{
    double n = r->commands ? (double)r->commands : 1;
    fputs("<table>\n", out);
    html_row(out, "commands/s", 0, report_per_second(r->commands, r->elapsed_ns));
    html_row(out, "MB/s", 1, report_per_second(r->bytes, r->elapsed_ns) / 1e6);
    for (int i = 0; i < REPORT_QUANTILES; i++) {
        char name[40];
        snprintf(name, sizeof name, "latency %s (&#181;s)", report_quantiles[i].name);
        html_row(out, name, 1, (double)histogram_quantile(&r->latency, report_quantiles[i].share) / 1e3);
    }
    html_row(out, "latency max (&#181;s)", 1, (double)r->latency.max / 1e3);
    if (r->has_target) {
        html_row(out, "target: CPU for each (&#181;s)", 3, (double)r->target.cpu_ns / 1e3 / n);
        html_row(out, "target: context switches", 0, (double)(r->target.voluntary + r->target.involuntary));
    }
    if (r->watch_busy >= 0)
        html_row(out, "watched core busy (%)", 1, r->watch_busy * 100);
    html_row(out, "client: CPU for each (&#181;s)", 3, (double)r->own.cpu_ns / 1e3 / n);
    html_row(out, "client: context switches", 0, (double)(r->own.voluntary + r->own.involuntary));
    html_row(out, "errors", 0, (double)r->errors);
    html_row(out, "wrong data", 0, (double)r->mismatches);
    fputs("</table>\n", out);
}

/* ---- plots ---- */

static void plot_begin(FILE *out, const char *title)
{
    fprintf(out,
            "<h2>%s</h2>\n<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\">\n",
            title, PLOT_W, PLOT_H);
}

static void plot_y_label(FILE *out, double share, const char *text)
{
    double y = PLOT_TOP + AREA_H * (1 - share);
    fprintf(out,
            "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            PLOT_LEFT, y, PLOT_LEFT + AREA_W, y, PLOT_LEFT - 6, y + 4, text);
}

static void plot_x_label(FILE *out, double share, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", PLOT_LEFT + AREA_W * share,
            PLOT_H - PLOT_FOOT + 18, text);
}

static void plot_end(FILE *out, const char *axis)
{
    fprintf(out,
            "<line class=\"axis\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>"
            "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n</svg>\n",
            PLOT_LEFT, PLOT_TOP + AREA_H, PLOT_LEFT + AREA_W, PLOT_TOP + AREA_H, PLOT_LEFT + AREA_W,
            PLOT_H - 4, axis);
}

/* A round number at or above the value. */
static double plot_ceil(double value)
{
    double step = pow(10, floor(log10(value > 0 ? value : 1)));
    static const double nice[] = {1, 2, 2.5, 5, 10};
    for (size_t i = 0; i < sizeof nice / sizeof nice[0]; i++)
        if (value <= nice[i] * step)
            return nice[i] * step;
    return value;
}

static void html_rate_plot(FILE *out, const struct lean_result *r)
{
    double seconds = (double)r->sample_ns / 1e9, most = 1;
    char text[40];
    if (!r->samples)
        return;
    for (uint32_t i = 0; i < r->samples; i++)
        if ((double)r->sample[i] / seconds > most)
            most = (double)r->sample[i] / seconds;
    most = plot_ceil(most);
    plot_begin(out, "Commands a second, over time");
    for (int i = 0; i <= 4; i++) {
        snprintf(text, sizeof text, most >= 10000 ? "%.0fk" : "%.0f",
                 most * i / 4 / (most >= 10000 ? 1000 : 1));
        plot_y_label(out, i / 4.0, text);
        snprintf(text, sizeof text, "%.2f", r->samples * seconds * i / 4);
        plot_x_label(out, i / 4.0, text);
    }
    fputs("<polyline class=\"line\" points=\"", out);
    for (uint32_t i = 0; i < r->samples; i++)
        fprintf(out, "%.1f,%.1f ", PLOT_LEFT + AREA_W * (i + 0.5) / r->samples,
                PLOT_TOP + AREA_H * (1 - (double)r->sample[i] / seconds / most));
    fputs("\"/>\n", out);
    plot_end(out, "seconds");
}

/* Bars on a logarithmic time axis, eight to an octave, so that shapes at both ends show. */
#define LATENCY_BARS (64 * 8)

static void html_latency_plot(FILE *out, const struct histogram *h)
{
    static uint64_t bars[LATENCY_BARS];
    uint32_t first = LATENCY_BARS, last = 0;
    uint64_t most = 1;
    char text[40];
    if (!h->count)
        return;
    memset(bars, 0, sizeof bars);
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (!h->bucket[i])
            continue;
        uint32_t bar = (uint32_t)(log2((double)histogram_upper(i) + 1) * 8);
        bar = bar < LATENCY_BARS ? bar : LATENCY_BARS - 1;
        bars[bar] += h->bucket[i];
        most = bars[bar] > most ? bars[bar] : most;
        first = bar < first ? bar : first;
        last = bar > last ? bar : last;
    }
    double count = last - first + 1, width = AREA_W / count;
    plot_begin(out, "Latency: how many commands took how long");
    for (int i = 0; i <= 4; i++) {
        snprintf(text, sizeof text, "%.1f %%", 100.0 * (double)most / (double)h->count * i / 4);
        plot_y_label(out, i / 4.0, text);
        uint64_t ns = (uint64_t)exp2((first + count * i / 4) / 8);
        plot_x_label(out, i / 4.0, units_format_duration(ns, text, sizeof text));
    }
    for (uint32_t i = first; i <= last; i++) {
        double height = AREA_H * (double)bars[i] / (double)most;
        if (bars[i])
            fprintf(out, "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                    PLOT_LEFT + (i - first) * width, PLOT_TOP + AREA_H - height,
                    width > 2 ? width - 1 : width, height);
    }
    for (int i = 0; i < REPORT_QUANTILES; i++) {
        double at = log2((double)histogram_quantile(h, report_quantiles[i].share) + 1) * 8 - first;
        double x = PLOT_LEFT + (at < count ? at : count) * width;
        fprintf(out,
                "<line class=\"mark\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
                "<text x=\"%.1f\" y=\"%d\">%s</text>\n",
                x, PLOT_TOP, x, PLOT_TOP + AREA_H, x + 3, PLOT_TOP + 12 + 14 * i, report_quantiles[i].name);
    }
    plot_end(out, "time of a command");
}

/* Latency against share: where the tail begins. */
static void html_tail_plot(FILE *out, const struct histogram *h)
{
    static const double shares[] = {0,     0.25,  0.5,    0.75,   0.9,     0.95,    0.975, 0.99,
                                    0.995, 0.999, 0.9995, 0.9999, 0.99995, 0.99999, 1};
    enum { POINTS = sizeof shares / sizeof shares[0] };
    char text[40];
    if (!h->count)
        return;
    double most = plot_ceil((double)h->max);
    plot_begin(out, "Latency by percentile");
    for (int i = 0; i <= 4; i++)
        plot_y_label(out, i / 4.0, units_format_duration((uint64_t)(most * i / 4), text, sizeof text));
    fputs("<polyline class=\"line\" points=\"", out);
    for (int i = 0; i < POINTS; i++)
        fprintf(out, "%.1f,%.1f ", PLOT_LEFT + AREA_W * (double)i / (POINTS - 1),
                PLOT_TOP + AREA_H * (1 - (double)histogram_quantile(h, shares[i]) / most));
    fputs("\"/>\n", out);
    for (int i = 0; i < POINTS; i += 2) {
        snprintf(text, sizeof text, "%.6g", shares[i] * 100);
        plot_x_label(out, (double)i / (POINTS - 1), text);
    }
    plot_end(out, "percent of the commands");
}

void report_load_html(FILE *out, const struct bench_options *o, const struct lean_result *r)
{
    html_head(out, o);
    html_load(out, o, r);
    html_table(out, r);
    html_rate_plot(out, r);
    html_latency_plot(out, &r->latency);
    html_tail_plot(out, &r->latency);
    char now[32];
    fprintf(out, "<p>Made by lunette-bench " LUNETTE_VERSION ", %s.</p>\n</body>\n</html>\n",
            report_now(now, sizeof now));
}
