/* `discover`: what a portal offers, one target and address per line. */
#include <jansson.h>
#include <stdio.h>

#include "initiator/cli/cli.h"

static void print_json(struct list_node *targets)
{
    json_t *list = json_array();
    list_for_each(it, targets)
    {
        const struct lnt_target *target = list_entry(it, struct lnt_target, node);
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "name", target->name, "address", target->address));
    }
    json_dumpf(list, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
}

int verb_discover(struct cli *cli)
{
    struct lnt_url url;
    struct list_node targets;
    char why[600];
    int code = cli_url(cli, cli->operand[0], CLI_URL_PORTAL, &url);
    if (!code)
        code = cli_start(cli);
    if (code)
        return code;
    list_init(&targets);
    if (lnt_discover(cli->env, cli->io, &url, &cli->options, &targets, why, sizeof(why)) < 0)
        return cli_failed("%s: %s", url.portal, why);
    if (cli->json) {
        print_json(&targets);
    } else {
        list_for_each(it, &targets)
        {
            const struct lnt_target *target = list_entry(it, struct lnt_target, node);
            printf("%s %s\n", target->address, target->name);
        }
    }
    lnt_targets_free(cli->env, &targets);
    return CLI_DONE;
}
