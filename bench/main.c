/* lunette-bench: keeps commands in flight on one or many sessions, verifies what it reads, prints one JSON
 * line. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/work.h"
#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/units.h"

static const char usage[] =
    "Usage: lunette-bench [options] iscsi://[user[%secret]@]host[:port]/IQN/LUN\n"
    "  --sessions N     sessions in this process (1)\n"
    "  --depth N        commands in flight per session (32)\n"
    "  --size SIZE      bytes of a command (4K)\n"
    "  --read PERCENT   share of reads (70)\n"
    "  --sequential     in order instead of at random\n"
    "  --no-verify      do not stamp and check the data\n"
    "  --duration D     how long (10s)\n"
    "  --commands N     stop after N commands instead\n"
    "  --seed N         of the random choices (1)\n"
    "  --part K/N       work on part K (from 0) of N equal parts of the LUN, for several processes at once\n"
    "  --io NAME        uring, epoll or auto\n"
    "  --data-digest, --header-digest   ask for CRC32C\n"
    "  --connections N  connections of each session (1)\n"
    "  --recovery-level N   highest ErrorRecoveryLevel to offer (2)\n"
    "The LUN's content is overwritten. Exit status: 0 all good, 1 errors or wrong data, 2 wrong usage.\n";

enum {
    OPT_SESSIONS = 256,
    OPT_DEPTH,
    OPT_SIZE,
    OPT_READ,
    OPT_SEQUENTIAL,
    OPT_NO_VERIFY,
    OPT_DURATION,
    OPT_COMMANDS,
    OPT_SEED,
    OPT_PART,
    OPT_IO,
    OPT_DATA_DIGEST,
    OPT_HEADER_DIGEST,
    OPT_CONNECTIONS,
    OPT_RECOVERY_LEVEL,
    OPT_HELP
};

static const struct option long_options[] = {{"sessions", required_argument, NULL, OPT_SESSIONS},
                                             {"depth", required_argument, NULL, OPT_DEPTH},
                                             {"size", required_argument, NULL, OPT_SIZE},
                                             {"read", required_argument, NULL, OPT_READ},
                                             {"sequential", no_argument, NULL, OPT_SEQUENTIAL},
                                             {"no-verify", no_argument, NULL, OPT_NO_VERIFY},
                                             {"duration", required_argument, NULL, OPT_DURATION},
                                             {"commands", required_argument, NULL, OPT_COMMANDS},
                                             {"seed", required_argument, NULL, OPT_SEED},
                                             {"part", required_argument, NULL, OPT_PART},
                                             {"io", required_argument, NULL, OPT_IO},
                                             {"data-digest", no_argument, NULL, OPT_DATA_DIGEST},
                                             {"header-digest", no_argument, NULL, OPT_HEADER_DIGEST},
                                             {"connections", required_argument, NULL, OPT_CONNECTIONS},
                                             {"recovery-level", required_argument, NULL, OPT_RECOVERY_LEVEL},
                                             {"help", no_argument, NULL, OPT_HELP},
                                             {NULL, 0, NULL, 0}};

static void bench_usage_error(const char *option, const char *value)
{
    fprintf(stderr, "lunette-bench: --%s does not accept \"%s\"; see lunette-bench --help\n", option, value);
    exit(2);
}

static uint64_t bench_number(const char *option, const char *value, uint64_t min, uint64_t max)
{
    uint64_t out;
    if (units_parse_u64(value, min, max, &out))
        bench_usage_error(option, value);
    return out;
}

static void bench_part(const char *value, struct work_options *o)
{
    unsigned part, parts;
    char rest;
    if (sscanf(value, "%u/%u%c", &part, &parts, &rest) != 2 || parts == 0 || parts > 4096 || part >= parts)
        bench_usage_error("part", value);
    o->part = part;
    o->parts = parts;
}

struct bench {
    struct work_options work;
    struct lnt_options client;
    enum io_kind io;
};

static void bench_option(struct bench *b, int opt, const char *name, const char *value)
{
    struct work_options *o = &b->work;
    uint64_t size;
    switch (opt) {
    case OPT_SESSIONS:
        o->sessions = (uint32_t)bench_number(name, value, 1, 4096);
        break;
    case OPT_DEPTH:
        o->depth = (uint32_t)bench_number(name, value, 1, 1024);
        break;
    case OPT_SIZE:
        if (units_parse_size(value, &size) || size < 512 || size > 16u << 20)
            bench_usage_error(name, value);
        o->size = (uint32_t)size;
        break;
    case OPT_READ:
        o->read_percent = (uint32_t)bench_number(name, value, 0, 100);
        break;
    case OPT_SEQUENTIAL:
        o->random = false;
        break;
    case OPT_NO_VERIFY:
        o->verify = false;
        break;
    case OPT_DURATION:
        if (units_parse_duration(value, &o->duration_ns) || o->duration_ns == 0)
            bench_usage_error(name, value);
        break;
    case OPT_COMMANDS:
        o->commands = bench_number(name, value, 1, UINT64_MAX);
        o->duration_ns = 0;
        break;
    case OPT_SEED:
        o->seed = bench_number(name, value, 0, UINT64_MAX);
        break;
    case OPT_PART:
        bench_part(value, o);
        break;
    case OPT_IO:
        if (!io_kind_parse(value, &b->io))
            bench_usage_error(name, value);
        break;
    case OPT_DATA_DIGEST:
        b->client.session.keys.data_digest = (struct key_choices){1, {KEY_DIGEST_CRC32C}};
        break;
    case OPT_HEADER_DIGEST:
        b->client.session.keys.header_digest = (struct key_choices){1, {KEY_DIGEST_CRC32C}};
        break;
    case OPT_CONNECTIONS:
        b->client.connections = (uint32_t)bench_number(name, value, 1, LNT_CONNECTIONS_MAX);
        break;
    case OPT_RECOVERY_LEVEL:
        b->client.session.keys.error_recovery_level = (uint32_t)bench_number(name, value, 0, 2);
        break;
    case OPT_HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        exit(2); /* getopt has said what is wrong */
    }
}

static void bench_print(const struct work_result *r)
{
    double seconds = (double)r->elapsed_ns / 1e9;
    if (seconds <= 0)
        seconds = 1e-9;
    printf("{\"commands\":%" PRIu64 ",\"reads\":%" PRIu64 ",\"writes\":%" PRIu64
           ",\"seconds\":%.3f,\"iops\":%.0f,"
           "\"mib_per_second\":%.1f,\"errors\":%" PRIu64 ",\"mismatches\":%" PRIu64 ",\"reconnects\":%" PRIu64
           ",\"recovery_level\":%u,\"max_connections\":%u,\"connections_lost\":%" PRIu64
           ",\"reissued\":%" PRIu64 ",\"recovered_connections\":%" PRIu64 ",\"reassigns\":%" PRIu64 "}\n",
           r->commands, r->reads, r->writes, seconds, (double)r->commands / seconds,
           (double)r->bytes / seconds / 1048576.0, r->errors, r->mismatches, r->reconnects, r->recovery_level,
           r->max_connections, r->connections_lost, r->reissued, r->recovered_connections, r->reassigns);
    if (r->first_problem[0])
        fprintf(stderr, "lunette-bench: first problem: %s\n", r->first_problem);
}

int main(int argc, char **argv)
{
    struct bench b = {.work = {.sessions = 1,
                               .depth = 32,
                               .size = 4096,
                               .read_percent = 70,
                               .verify = true,
                               .random = true,
                               .duration_ns = 10000000000u,
                               .seed = 1,
                               .parts = 1},
                      .io = IO_KIND_AUTO};
    log_setup(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, LOG_SINK_STDERR, "lunette-bench");
    lnt_options_default(&b.client);
    int opt, index = 0;
    while ((opt = getopt_long(argc, argv, "", long_options, &index)) != -1)
        bench_option(&b, opt, opt == '?' ? "" : long_options[index].name, optarg);
    struct lnt_url url;
    char why[512] = "";
    if (optind + 1 != argc || lnt_url_parse(argv[optind], &url, why, sizeof why) || !url.target[0]) {
        fprintf(stderr, "lunette-bench: %s\n",
                why[0] ? why : "give one URL of a LUN; see lunette-bench --help");
        return 2;
    }
    struct io *io;
    int err = io_new(env_host(), b.io, &io);
    if (err) {
        fprintf(stderr, "lunette-bench: cannot start I/O: %s\n", err_text(err));
        return 1;
    }
    struct work_result result;
    err = work_run(env_host(), io, &url, &b.client, &b.work, &result, why, sizeof why);
    io_free(io);
    if (err) {
        fprintf(stderr, "lunette-bench: %s\n", why[0] ? why : err_text(err));
        return 1;
    }
    bench_print(&result);
    return result.errors || result.mismatches ? 1 : 0;
}
