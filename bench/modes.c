#include "bench/modes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"
#include "common/base/env.h"
#include "common/base/err.h"
#include "common/capture/capture.h"
#include "common/capture/tap.h"

FILE *mode_open(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (!file)
        fprintf(stderr, "lunette-bench: cannot write %s: %s\n", path, strerror(errno));
    return file;
}

bool mode_close(FILE *file, const char *path)
{
    bool good = !ferror(file);
    if (file != stdout && fclose(file) != 0)
        good = false;
    if (!good)
        fprintf(stderr, "lunette-bench: cannot write %s: %s\n", path, strerror(errno));
    return good;
}

int mode_told(const char *what)
{
    fprintf(stderr, "lunette-bench: %s\n", what);
    return 1;
}

static int told(int err, const char *why)
{
    return mode_told(why[0] ? why : err_text(err));
}

/* Asks the LUN for its size over a session of its own. */
static int mode_probe(const struct bench_options *o, struct lnt_disk *disk, char *why, size_t why_len)
{
    struct io *io;
    struct lnt_client *probe;
    struct lnt_options options = o->client;
    options.connections = 1;
    options.replacement_timeout_ns = 0;
    int err = io_new(env_host(), o->io, &io);
    if (err)
        return err;
    err = lnt_client_new(env_host(), io, &o->url, &options, &probe);
    if (!err) {
        err = lnt_open(probe);
        if (!err)
            err = lnt_disk_probe(probe, o->load.lun, disk);
        if (err)
            snprintf(why, why_len, "%s", lnt_client_error(probe));
        lnt_close(probe);
        lnt_client_free(probe);
    }
    io_free(io);
    return err;
}

/* ---- load ---- */

static bool mode_load_report(const struct bench_options *o, const struct lean_result *r)
{
    bool json_is_text = o->json && strcmp(o->json, "-") == 0, good = true;
    if (!json_is_text)
        report_load_text(stdout, o, r);
    FILE *file = o->json ? mode_open(o->json) : NULL;
    if (file)
        report_load_json(file, o, r);
    good = file ? mode_close(file, o->json) : !o->json;
    file = o->html ? mode_open(o->html) : NULL;
    if (file)
        report_load_html(file, o, r);
    return (file ? mode_close(file, o->html) : !o->html) && good;
}

int mode_load(struct bench_options *o)
{
    struct login_shop shop;
    struct lnt_disk disk;
    char why[512] = "";
    o->client.session.keys.error_recovery_level = 0;
    int err = mode_probe(o, &disk, why, sizeof why);
    if (!err)
        err = login_shop_init(&shop, env_host(), &o->url, &o->client, why, sizeof why);
    if (err)
        return told(err, why);
    struct lean_result *result = calloc(1, sizeof *result);
    if (!result)
        return told(ERR_NOMEM, "");
    err = lean_run(env_host(), &shop, &disk, &o->load, result, why, sizeof why);
    login_shop_fini(&shop);
    bool good = !err && result->errors == 0 && result->mismatches == 0;
    if (err)
        told(err, why);
    if (result->elapsed_ns && !mode_load_report(o, result))
        good = false;
    if (result->first_problem[0])
        fprintf(stderr, "lunette-bench: first problem: %s\n", result->first_problem);
    free(result);
    return good ? 0 : 1;
}

/* ---- recover ---- */

/* Opens the capture when one is wanted. ERR_OK without. */
static int watch(struct bench_options *o, uint64_t *connections, struct capture **out, char *why,
                 size_t why_len)
{
    struct capture_options options;
    *out = NULL;
    if (!o->capture)
        return 0;
    capture_options_default(&options);
    options.application = "lunette-bench";
    options.path = o->capture;
    int err = capture_open(env_host(), &options, out, why, why_len);
    if (err)
        return err;
    o->client.tap = capture_tap(*out, 0);
    o->client.tap_connections = connections;
    return 0;
}

int mode_recover(struct bench_options *o)
{
    struct work_options work = {.sessions = o->load.sessions,
                                .depth = o->load.depth,
                                .size = o->load.pattern.size[0].len,
                                .read_percent = o->load.pattern.percent[PATTERN_READ],
                                .verify = !o->no_verify,
                                .random = o->load.pattern.random,
                                .duration_ns = o->load.commands ? 0 : o->load.duration_ns,
                                .commands = o->load.commands,
                                .seed = o->load.pattern.seed,
                                .part = o->load.part,
                                .parts = o->load.parts};
    struct work_result result;
    struct io *io;
    struct capture *capture;
    uint64_t connections = 0;
    char why[512] = "";
    int err = io_new(env_host(), o->io, &io);
    if (err)
        return told(err, "cannot start I/O");
    err = watch(o, &connections, &capture, why, sizeof why);
    if (!err)
        err = work_run(env_host(), io, &o->url, &o->client, &work, &result, why, sizeof why);
    io_free(io);
    capture_close(capture);
    if (err)
        return told(err, why);
    FILE *file = mode_open(o->json ? o->json : "-");
    if (file)
        report_recover_json(file, &result);
    bool good = file && mode_close(file, o->json ? o->json : "-");
    if (result.first_problem[0])
        fprintf(stderr, "lunette-bench: first problem: %s\n", result.first_problem);
    return !good || result.errors || result.mismatches ? 1 : 0;
}
