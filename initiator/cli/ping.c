/* `ping`: NOP-Out round trips. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/units.h"
#include "initiator/cli/cli.h"

#define CONNECTIONS_WAIT_NS UINT64_C(2000000000)
#define CONNECTIONS_STEP_NS UINT64_C(10000000)

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

/* Further connections follow the first: they get a moment to come up. */
static void wait_for_connections(struct cli *cli, const struct lnt_client *client)
{
    const struct key_params *params = lnt_client_params(client);
    uint64_t until = io_now(cli->io) + CONNECTIONS_WAIT_NS;
    while (params && lnt_client_connections(client) < cli->options.connections &&
           lnt_client_connections(client) < params->max_connections && io_now(cli->io) < until)
        cli_sleep(cli, CONNECTIONS_STEP_NS);
}

struct pings {
    uint64_t n, least, most, sum; /* ns */
};

/* One round trip on each connection. */
static int ping_round(struct cli *cli, struct lnt_client *client, const char *portal, uint64_t seq,
                      struct pings *all)
{
    char why[600], cid_text[24] = "";
    uint64_t before = all->n;
    for (uint32_t i = 0; i < cli->options.connections; i++) {
        uint64_t ns = 0;
        uint16_t cid = 0;
        int err = lnt_ping_connection(client, i, &cid, &ns);
        if (err == ERR_NOTFOUND && (i + 1 < cli->options.connections || all->n > before))
            continue; /* this one is not up; others are */
        if (err)
            return cli_failed("%s: no answer to ping %" PRIu64 ": %s", portal, seq,
                              cli_reason(client, err, why, sizeof(why)));
        if (cli->options.connections > 1)
            snprintf(cid_text, sizeof(cid_text), " cid=%u", cid);
        printf("answer from %s: seq=%" PRIu64 "%s time=%.3f ms\n", portal, seq, cid_text, (double)ns / 1e6);
        fflush(stdout);
        all->n++;
        all->least = ns < all->least ? ns : all->least;
        all->most = ns > all->most ? ns : all->most;
        all->sum += ns;
    }
    return 0;
}

static int ping_all(struct cli *cli, struct lnt_client *client, const char *portal)
{
    struct pings all = {.least = UINT64_MAX};
    char text[3][32];
    if (cli->options.connections > 1)
        wait_for_connections(cli, client);
    for (uint64_t seq = 1; seq <= cli->count; seq++) {
        int code = ping_round(cli, client, portal, seq, &all);
        if (code)
            return code;
        if (seq < cli->count)
            cli_sleep(cli, cli->interval_ns);
    }
    printf("%" PRIu64 " round trips, min/avg/max %s / %s / %s\n", all.n,
           units_format_duration(all.least, text[0], sizeof(text[0])),
           units_format_duration(all.sum / all.n, text[1], sizeof(text[1])),
           units_format_duration(all.most, text[2], sizeof(text[2])));
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
    cli_disconnect(cli, client);
    explicit_bzero(&url, sizeof(url));
    return code;
}
