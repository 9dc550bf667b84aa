/* `tmf`: a task management function that names no task. */
#include <stdio.h>
#include <string.h>

#include "initiator/cli/cli.h"

struct function_row {
    const char *word;
    uint8_t number; /* RFC 7143 11.5.1, RFC 7144 6.2 */
    bool whole;     /* of the target: needs no LUN in the URL */
};

static const struct function_row functions[] = {
    {"abort-task-set", 2, false},  {"clear-aca", 3, false},        {"clear-task-set", 4, false},
    {"lun-reset", 5, false},       {"target-warm-reset", 6, true}, {"target-cold-reset", 7, true},
    {"query-task-set", 10, false}, {"i-t-nexus-reset", 11, true},  {"query-async-event", 12, false},
};
#define FUNCTION_COUNT (sizeof(functions) / sizeof(functions[0]))

static const struct function_row *function_find(const char *word)
{
    for (size_t i = 0; i < FUNCTION_COUNT; i++)
        if (strcmp(functions[i].word, word) == 0)
            return &functions[i];
    return NULL;
}

/* RFC 7143 11.6.1, RFC 7144 6.3. */
static const char *response_text(uint8_t response)
{
    switch (response) {
    case 0:
        return "function complete";
    case 1:
        return "there is no such task";
    case 2:
        return "there is no such LUN";
    case 3:
        return "the task is still allegiant";
    case 4:
        return "reassignment is not supported";
    case 5:
        return "the function is not supported";
    case 6:
        return "not authorized";
    case 7:
        return "function succeeded: there is what was asked for";
    case 255:
        return "rejected";
    default:
        return "a response that we do not know";
    }
}

static int send_function(struct lnt_client *client, const struct function_row *function, int32_t lun)
{
    char why[600];
    uint8_t response = 0;
    int err = lnt_task_management(client, function->number, lun < 0 ? 0 : lun, &response);
    if (err)
        return cli_failed("%s: no answer: %s", function->word, cli_reason(client, err, why, sizeof(why)));
    enum ini_service_response service = ini_service_response(response);
    if (service != INI_SERVICE_FUNCTION_COMPLETE && service != INI_SERVICE_FUNCTION_SUCCEEDED)
        return cli_failed("%s: %s (%u)", function->word, response_text(response), response);
    printf("%s: %s\n", function->word, response_text(response));
    return 0;
}

int verb_tmf(struct cli *cli)
{
    const struct function_row *function = function_find(cli->operand[1]);
    struct lnt_url url;
    struct lnt_client *client;
    if (!function)
        return cli_misuse(
            "\"%s\" is no function: abort-task-set, clear-aca, clear-task-set, lun-reset, "
            "target-warm-reset, target-cold-reset, query-task-set, i-t-nexus-reset, query-async-event",
            cli->operand[1]);
    /* RFC 7144's functions need its protocol level. */
    if (function->number >= 9 && cli->options.session.keys.iscsi_protocol_level < 2)
        cli->options.session.keys.iscsi_protocol_level = 2;
    int code = cli_url(cli, cli->operand[0], function->whole ? CLI_URL_TARGET : CLI_URL_LUN, &url);
    if (!code)
        code = cli_start(cli);
    if (!code)
        code = cli_connect(cli, &url, &client);
    if (!code) {
        code = send_function(client, function, url.lun);
        cli_disconnect(cli, client);
    }
    explicit_bzero(&url, sizeof(url));
    return code;
}
