/* Answers of the management side as text for people. */
#include <inttypes.h>
#include <stdio.h>

#include "common/base/units.h"
#include "target/service/config.h"
#include "target/service/verbs.h"

void show_list(const json_t *answer, FILE *out)
{
    const json_t *targets = json_object_get(answer, "targets");
    json_t *target;
    size_t i;
    json_array_foreach(targets, i, target)
    {
        uint64_t luns = config_number(target, "luns", 0);
        fprintf(out, "%s  %" PRIu64 " LUN%s%s%s%s\n", config_text(target, "name"), luns, luns == 1 ? "" : "s",
                config_number(target, "users", 0) ? ", CHAP" : "",
                config_number(target, "acls", 0) ? ", access rules" : "",
                config_number(target, "redirects", 0) ? ", redirected" : "");
    }
    if (json_array_size(targets) == 0)
        fprintf(out, "no targets\n");
}

static void show_value(const char *key, const json_t *value, FILE *out)
{
    char name[40];
    snprintf(name, sizeof name, "%s", key);
    for (char *p = name; *p; p++)
        if (*p == '_')
            *p = '-';
    if (json_is_integer(value))
        fprintf(out, "  %s=%lld\n", name, (long long)json_integer_value(value));
    else
        fprintf(out, "  %s=%s\n", name,
                json_is_string(value) ? json_string_value(value)
                : json_is_true(value) ? "yes"
                                      : "no");
}

void show_target(const json_t *answer, FILE *out)
{
    json_t *item;
    size_t i;
    fprintf(out, "%s\n", config_text(answer, "name"));
    if (config_text(answer, "alias")[0])
        fprintf(out, "  alias %s\n", config_text(answer, "alias"));
    json_array_foreach(json_object_get(answer, "luns"), i, item)
    {
        char size[32];
        fprintf(out, "  LUN %" PRIu64 "  %s  blocks of %" PRIu64 "%s\n    %s\n    serial %s, naa.%s\n",
                config_number(item, "lun", 0),
                units_format_size(config_number(item, "size", 0), size, sizeof size),
                config_number(item, "block_size", 512),
                json_is_true(json_object_get(item, "readonly")) ? "  read only" : "",
                config_text(item, "spec"), config_text(item, "serial"), config_text(item, "naa"));
    }
    json_array_foreach(json_object_get(answer, "users"), i, item)
        fprintf(out, "  user %s  secret set%s%s%s%s\n", config_text(item, "name"),
                config_text(item, "mutual_name")[0] ? ", mutual as " : "", config_text(item, "mutual_name"),
                config_text(item, "initiator")[0] ? ", only for " : "", config_text(item, "initiator"));
    json_array_foreach(json_object_get(answer, "acls"), i, item)
    {
        const char *initiator = config_text(item, "initiator"), *net = config_text(item, "net");
        fprintf(out, "  admits %s%s%s\n", initiator[0] ? initiator : "any initiator", net[0] ? " from " : "",
                net);
    }
    json_array_foreach(json_object_get(answer, "redirects"), i, item)
    {
        uint64_t group = config_number(item, "group", 0);
        fprintf(out, "  redirected %s to %s",
                json_is_true(json_object_get(item, "permanent")) ? "for good" : "for now",
                config_text(item, "address"));
        if (group)
            fprintf(out, " in portal group %" PRIu64, group);
        fprintf(out, "\n");
    }
    const char *key;
    json_object_foreach(json_object_get(answer, "limits"), key, item) show_value(key, item, out);
    if (json_array_size(json_object_get(answer, "acls")) == 0)
        fprintf(out, "  admits every initiator%s\n",
                json_array_size(json_object_get(answer, "users")) ? " that knows a secret" : "");
}

void show_initiators(const json_t *answer, FILE *out)
{
    json_t *rule;
    size_t i;
    json_array_foreach(json_object_get(answer, "initiators"), i, rule)
    {
        const char *interval = config_text(rule, "nop_interval"), *timeout = config_text(rule, "nop_timeout");
        uint64_t ns = 1;
        if (interval[0])
            units_parse_duration(interval, &ns);
        fprintf(out, "%s%s%s%s%s%s\n", config_text(rule, "initiator"),
                ns == 0       ? "  never pinged"
                : interval[0] ? "  pinged every "
                              : "",
                ns == 0 ? "" : interval, timeout[0] ? "  has to answer within " : "", timeout,
                json_is_false(json_object_get(rule, "target_reset")) ? "  may not reset the target" : "");
    }
    if (json_array_size(json_object_get(answer, "initiators")) == 0)
        fprintf(out, "no rules: all initiators are treated alike\n");
}

void show_portals(const json_t *answer, FILE *out)
{
    json_t *portal;
    size_t i;
    json_array_foreach(json_object_get(answer, "portals"), i, portal)
    {
        const char *listening = config_text(portal, "listening"),
                   *advertise = config_text(portal, "advertise");
        fprintf(out, "%s  group %" PRIu64 "%s%s%s%s\n", config_text(portal, "address"),
                config_number(portal, "group", 1), listening[0] ? "  listening on " : "", listening,
                advertise[0] ? "  advertised as " : "", advertise);
    }
    if (json_array_size(json_object_get(answer, "portals")) == 0)
        fprintf(out, "no portals: the service listens on port 3260 of all addresses\n");
}

void show_sessions(const json_t *answer, FILE *out)
{
    json_t *s;
    size_t i;
    json_array_foreach(json_object_get(answer, "sessions"), i, s)
    {
        char age[32];
        fprintf(out, "%" PRIu64 "  %s from %s to %s  %s  %s  %" PRIu64 " commands\n",
                config_number(s, "id", 0), config_text(s, "initiator"), config_text(s, "peer"),
                config_text(s, "target")[0] ? config_text(s, "target") : "discovery", config_text(s, "auth"),
                units_format_duration(config_number(s, "age_ns", 0), age, sizeof age),
                config_number(s, "commands", 0));
    }
    if (json_array_size(json_object_get(answer, "sessions")) == 0)
        fprintf(out, "no sessions\n");
}

void show_status(const json_t *answer, FILE *out)
{
    char text[32], other[32];
    if (!json_is_true(json_object_get(answer, "running"))) {
        fprintf(out, "not running; %" PRIu64 " targets configured\n", config_number(answer, "targets", 0));
        return;
    }
    fprintf(out, "running, process %" PRIu64 ", %zu reactors on %s, up %s\n", config_number(answer, "pid", 0),
            json_array_size(json_object_get(answer, "reactors")), config_text(answer, "io"),
            units_format_duration(config_number(answer, "uptime_ns", 0), text, sizeof text));
    json_t *portal;
    size_t i;
    json_array_foreach(json_object_get(answer, "portals"), i, portal)
        fprintf(out, "listening on %s\n", config_text(portal, "listening"));
    fprintf(out, "%" PRIu64 " targets, %" PRIu64 " sessions, %" PRIu64 " connections\n",
            config_number(answer, "targets", 0), config_number(answer, "sessions", 0),
            config_number(answer, "connections", 0));
    fprintf(out, "%" PRIu64 " commands, %s read, %s written\n", config_number(answer, "commands", 0),
            units_format_size(config_number(answer, "read_bytes", 0), text, sizeof text),
            units_format_size(config_number(answer, "write_bytes", 0), other, sizeof other));
    fprintf(out, "%s of buffers in use\n",
            units_format_size(config_number(answer, "memory_in_use", 0), text, sizeof text));
}
