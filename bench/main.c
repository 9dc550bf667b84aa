/* lunette-bench: keeps an iSCSI target busy and says how well it did. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bench/modes.h"
#include "bench/options.h"
#include "bench/report.h"
#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/log.h"

static int failed(const char *what)
{
    fprintf(stderr, "lunette-bench: %s\n", what);
    return 1;
}

static int run(struct bench_options *o)
{
    switch (o->mode) {
    case BENCH_LOAD:
        return mode_load(o);
    case BENCH_RECOVER:
        return mode_recover(o);
    case BENCH_LOGINS:
        return mode_logins(o);
    case BENCH_IDLE:
        return mode_idle(o);
    case BENCH_COMPARE:
        return report_compare(stdout, o->compare[0], o->compare[1]);
    }
    return 2;
}

int main(int argc, char **argv)
{
    static struct bench_options o;
    int code = bench_options_parse(&o, argc, argv);
    if (code)
        return code;
    if (o.help || o.version) {
        if (o.help)
            bench_options_help();
        else
            puts("lunette-bench " BENCH_VERSION);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, LOG_SINK_STDERR, "lunette-bench");
    if (o.cpu >= 0 && !process_pin(o.cpu))
        return failed("cannot run on the core that --cpu names");
    code = run(&o);
    explicit_bzero(&o.client, sizeof o.client);
    explicit_bzero(&o.url, sizeof o.url);
    /* A full disk behind standard output shows here, not at printf. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0)
        code = failed("cannot write to standard output");
    return code;
}
