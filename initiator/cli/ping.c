/* `ping`: NOP-Out round trips. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/units.h"
#include "initiator/cli/cli.h"

/* NOPs belong to a session with a target (a discovery session need not answer them): a bare portal is asked
 * for one. */
static int first_target(struct cli *cli, struct lnt_url *url)
{
    struct list_node targets;
    char why[600];
    list_init(&targets);
    if (lnt_discover(cli->env, cli->io, url, &cli->options, &targets, why, sizeof(why)) < 0)
        return cli_failed("%s: %s", url->portal, why);
    const struct lnt_target *first = list_first(&targets, struct lnt_target, node);
    if (first)
        snprintf(url->target, sizeof(url->target), "%s", first->name);
    lnt_targets_free(cli->env, &targets);
    return first ? 0 : cli_failed("%s offers no target to ping", url->portal);
}

static int ping_all(struct cli *cli, struct lnt_client *client, const char *portal)
{
    uint64_t least = UINT64_MAX, most = 0, sum = 0;
    char text[3][32], why[600];
    for (uint64_t n = 1; n <= cli->count; n++) {
        uint64_t ns;
        int err = lnt_ping(client, &ns);
        if (err)
            return cli_failed("%s: no answer to ping %" PRIu64 ": %s", portal, n,
                              cli_reason(client, err, why, sizeof(why)));
        printf("answer from %s: seq=%" PRIu64 " time=%.3f ms\n", portal, n, (double)ns / 1e6);
        fflush(stdout);
        least = ns < least ? ns : least;
        most = ns > most ? ns : most;
        sum += ns;
        if (n < cli->count)
            cli_sleep(cli, cli->interval_ns);
    }
    printf("%" PRIu64 " round trips, min/avg/max %s / %s / %s\n", cli->count,
           units_format_duration(least, text[0], sizeof(text[0])),
           units_format_duration(sum / cli->count, text[1], sizeof(text[1])),
           units_format_duration(most, text[2], sizeof(text[2])));
    return 0;
}

int verb_ping(struct cli *cli)
{
    struct lnt_url url;
    struct lnt_client *client;
    int code = cli_url(cli, cli->operand[0], CLI_URL_PORTAL, &url);
    if (!code)
        code = cli_start(cli);
    if (!code && url.target[0] == '\0')
        code = first_target(cli, &url);
    if (!code)
        code = cli_connect(cli, &url, &client);
    if (code)
        return code;
    code = ping_all(cli, client, url.portal);
    cli_disconnect(client);
    explicit_bzero(&url, sizeof(url));
    return code;
}
