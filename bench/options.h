/* lunette-bench's command line. */
#ifndef LUNETTE_BENCH_OPTIONS_H
#define LUNETTE_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/lean.h"
#include "bench/work.h"
#include "common/io/io.h"
#include "initiator/lib/lunette.h"

enum bench_mode { BENCH_LOAD, BENCH_RECOVER, BENCH_LOGINS, BENCH_IDLE, BENCH_COMPARE };

struct bench_options {
    enum bench_mode mode;
    struct lean_options load;
    struct lnt_options client;
    struct lnt_url url;
    const char *url_text;
    bool mix_given, no_verify, recovery_level_given;
    uint64_t idle;     /* connections */
    uint64_t hold_ns;  /* idle: how long they are kept */
    uint32_t parallel; /* logins under way at once */
    int cpu;           /* we run there; -1: anywhere */
    enum io_kind io;   /* of the probe and of --recover */
    const char *json, *html, *title;
    const char *capture; /* --recover: into this file */
    const char *compare[2];
    bool help, version;
};

/* 0, or 2 after having told on standard error what is wrong. Secrets in argv are wiped. */
#define BENCH_VERSION "0.1.0"

int bench_options_parse(struct bench_options *o, int argc, char **argv);
void bench_options_help(void);
/* The URL as it may be shown: without a secret. */
char *bench_options_url(const struct bench_options *o, char *buf, size_t len);

#endif
