/* Two results side by side, with what changed. */
#include <jansson.h>
#include <string.h>

#include "bench/report.h"

struct compare_row {
    const char *label;
    const char *path; /* members, separated by '/': names may have dots */
    const char *unit;
    bool more_is_better;
};

static const struct compare_row rows[] = {
    {"rate", "iops", "/s", true},
    {"bytes", "mb_per_second", "MB/s", true},
    {"logins", "logins_per_second", "/s", true},
    {"latency p50", "latency_us/p50", "us", false},
    {"latency p90", "latency_us/p90", "us", false},
    {"latency p99", "latency_us/p99", "us", false},
    {"latency p99.9", "latency_us/p99.9", "us", false},
    {"latency p99.99", "latency_us/p99.99", "us", false},
    {"latency max", "latency_us/max", "us", false},
    {"target CPU each", "target/cpu_us_per_command", "us", false},
    {"client CPU each", "client/cpu_us_per_command", "us", false},
    {"target switches", "target/voluntary_switches", "", false},
    {"memory each", "bytes_per_connection", "B", false},
    {"errors", "errors", "", false},
    {"wrong data", "mismatches", "", false},
};

static const json_t *compare_find(const json_t *root, const char *path)
{
    char name[64];
    while (root && *path) {
        size_t len = strcspn(path, "/");
        snprintf(name, sizeof name, "%.*s", (int)len, path);
        root = json_object_get(root, name);
        path += len + (path[len] == '/');
    }
    return root;
}

static json_t *compare_load(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    const char *program = json_string_value(json_object_get(root, "program"));
    if (!root) {
        fprintf(stderr, "lunette-bench: %s: %s\n", path, error.text);
    } else if (!program || strcmp(program, "lunette-bench") != 0) {
        fprintf(stderr, "lunette-bench: %s is no result of lunette-bench\n", path);
        json_decref(root);
        return NULL;
    }
    return root;
}

static void compare_name(FILE *out, const char *letter, const char *path, const json_t *root)
{
    const char *title = json_string_value(json_object_get(root, "title"));
    const json_t *options = json_object_get(root, "options");
    fprintf(out, "%s  %s%s%s", letter, path, title && *title ? ": " : "", title ? title : "");
    if (options)
        fprintf(out, "  (%s %s, %s, %lld x %lld)", json_string_value(json_object_get(options, "pattern")),
                json_string_value(json_object_get(options, "size")),
                json_string_value(json_object_get(options, "mix")),
                (long long)json_integer_value(json_object_get(options, "sessions")),
                (long long)json_integer_value(json_object_get(options, "depth")));
    putc('\n', out);
}

static void compare_row(FILE *out, const struct compare_row *row, const json_t *a, const json_t *b)
{
    const json_t *x = compare_find(a, row->path), *y = compare_find(b, row->path);
    if (!json_is_number(x) || !json_is_number(y))
        return;
    double u = json_number_value(x), v = json_number_value(y);
    fprintf(out, "%-16s %14.2f %14.2f %-5s", row->label, u, v, row->unit);
    if (u > 0) {
        double change = (v / u - 1) * 100;
        bool better = row->more_is_better ? change > 0 : change < 0;
        fprintf(out, " %+8.1f %%%s", change,
                change > -0.05 && change < 0.05 ? ""
                : better                        ? "  better"
                                                : "  worse");
    }
    putc('\n', out);
}

int report_compare(FILE *out, const char *a, const char *b)
{
    json_t *first = compare_load(a), *second = first ? compare_load(b) : NULL;
    if (first && second) {
        compare_name(out, "A", a, first);
        compare_name(out, "B", b, second);
        fprintf(out, "%-16s %14s %14s\n", "", "A", "B");
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            compare_row(out, &rows[i], first, second);
    }
    int code = first && second ? 0 : 1;
    json_decref(first);
    json_decref(second);
    return code;
}
