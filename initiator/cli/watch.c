/* What may watch the connections of a run: a capture into a file, the referee, or both. */
#include <inttypes.h>
#include <stdio.h>

#include "common/capture/tap_fan.h"
#include "conformance/referee/referee.h"
#include "initiator/cli/cli.h"

#define WATCH_FINDINGS_MAX 1000u /* told; more are only counted */

static struct tap_fan fan; /* the program has one run */

int cli_watch_start(struct cli *cli)
{
    char why[256];
    tap_fan_init(&fan);
    cli->capture_options.application = CLI_PROGRAM;
    if (cli->capture_given && !cli->capture_options.path)
        return cli_misuse("options of a capture go with --capture FILE");
    if (cli->capture_options.path &&
        capture_open(cli->env, &cli->capture_options, &cli->capture, why, sizeof why) != 0)
        return cli_failed("cannot capture: %s", why);
    if (cli->capture)
        tap_fan_add(&fan, capture_tap(cli->capture, 0));
    if (cli->with_referee) {
        struct referee_options options = {.vantage = REFEREE_AT_INITIATOR,
                                          .findings_max = WATCH_FINDINGS_MAX};
        if (referee_new(cli->env, &options, &cli->referee) != 0) {
            cli_watch_end(cli);
            return cli_failed("out of memory for the referee");
        }
        tap_fan_add(&fan, referee_tap(cli->referee));
    }
    cli->options.tap = tap_fan_tap(&fan);
    return 0;
}

static void referee_report(struct referee *referee)
{
    struct referee_finding finding;
    struct referee_counts counts;
    char text[1024];
    while (referee_next(referee, &finding))
        cli_note("referee: %s", referee_finding_text(&finding, text, sizeof text));
    referee_count(referee, &counts);
    const struct referee_rule *rule;
    uint64_t findings;
    for (size_t at = 0; (rule = referee_tally(referee, &at, &findings)) != NULL;)
        cli_note("referee: %s %s: %" PRIu64 " findings: %s", rule->requirement,
                 rule->party == REFEREE_INITIATOR ? "initiator" : "target", findings, rule->sentence);
    cli_note("referee: %" PRIu64 " PDUs of %" PRIu64 " connections: %" PRIu64 " findings, %" PRIu64
             " undecidable",
             counts.pdus, counts.connections, counts.findings, counts.undecidable);
}

void cli_watch_end(struct cli *cli)
{
    if (cli->referee)
        referee_report(cli->referee);
    referee_free(cli->referee);
    cli->referee = NULL;
    capture_close(cli->capture);
    cli->capture = NULL;
}
