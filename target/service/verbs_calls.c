/* The verbs themselves: each makes one call of the service's interface, or two, and shows the answer. */
#include <ctype.h>
#include <string.h>

#include "common/base/env.h"
#include "common/base/units.h"
#include "target/service/config.h"
#include "target/service/limits.h"
#include "target/service/verbs.h"

static bool print_json(const struct args *args, const json_t *answer)
{
    if (!args_flag(args, "--json"))
        return false;
    json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    fputc('\n', stdout);
    return true;
}

static bool query(const struct args *args, const char *method, json_t *params,
                  void (*show)(const json_t *answer, FILE *out), struct outcome *o)
{
    struct client_where where = verbs_where(args);
    json_t *answer = client_call(&where, method, params, o);
    if (answer && !print_json(args, answer))
        show(answer, stdout);
    json_decref(answer);
    return o->code == OUTCOME_OK;
}

/* Carries a change out and says what happened to data files. */
static bool change(const struct args *args, const char *method, json_t *params, struct outcome *o)
{
    struct client_where where = verbs_where(args);
    json_t *answer = client_call(&where, method, params, o), *path;
    size_t i;
    json_array_foreach(json_object_get(answer, "data_kept"), i, path)
        printf("the data file stays: %s\n", json_string_value(path));
    json_array_foreach(json_object_get(answer, "data_deleted"), i, path)
        printf("deleted %s\n", json_string_value(path));
    if (json_is_true(json_object_get(answer, "pending")))
        printf("in force; commands that were under way still use what was removed\n");
    json_decref(answer);
    return o->code == OUTCOME_OK;
}

/* ---- targets ---- */

bool verb_create(const struct args *args, struct outcome *o)
{
    uint64_t size = 0;
    if (!args_size(args, "--size", &size, o))
        return false;
    if (args_flag(args, "--size") && size == 0)
        return outcome_refuse(o, "--size must not be 0");
    json_t *luns = json_array();
    const char *text;
    for (unsigned i = 0; (text = args_nth(args, "--lun", i)) != NULL; i++) {
        json_t *lun = verbs_lun(text, i, size, o);
        if (!lun || json_array_append_new(luns, lun) != 0) {
            json_decref(luns);
            return false;
        }
    }
    if (size && json_array_size(luns) == 0)
        json_array_append_new(luns, json_pack("{s:i, s:I}", "lun", 0, "size", (json_int_t)size));
    return change(args, "target.create",
                  json_pack("{s:s, s:s*, s:o}", "target", args->positional[0], "alias",
                            args_value(args, "--alias"), "luns", luns),
                  o);
}

bool verb_list(const struct args *args, struct outcome *o)
{
    return query(args, "target.list", json_object(), show_list, o);
}

bool verb_show(const struct args *args, struct outcome *o)
{
    return query(args, "target.show", json_pack("{s:s}", "target", args->positional[0]), show_target, o);
}

bool verb_delete(const struct args *args, struct outcome *o)
{
    return change(args, "target.delete",
                  json_pack("{s:s, s:b}", "target", args->positional[0], "delete_data",
                            args_flag(args, "--delete-data")),
                  o);
}

/* ---- LUNs ---- */

bool verb_lun_add(const struct args *args, struct outcome *o)
{
    uint64_t size = 0;
    if (!args_size(args, "--size", &size, o))
        return false;
    json_t *params = verbs_lun(args->positional[1], 0, size, o);
    if (!params)
        return false;
    if (!isdigit((unsigned char)args->positional[1][0])) {
        json_decref(params);
        return outcome_refuse(o, "\"%s\" does not begin with a LUN number, as in 1=file:/srv/disk.img",
                              args->positional[1]);
    }
    json_t *more = json_pack("{s:s, s:s*, s:s*}", "target", args->positional[0], "serial",
                             args_value(args, "--serial"), "naa", args_value(args, "--naa"));
    if (!more || json_object_update(params, more) != 0) {
        json_decref(params);
        params = NULL;
    }
    json_decref(more);
    return change(args, "lun.add", params, o);
}

static bool lun_number(const char *text, uint64_t *number, struct outcome *o)
{
    if (units_parse_u64(text, 0, CONFIG_LUN_MAX, number) == 0)
        return true;
    return outcome_refuse(o, "\"%s\" is no LUN between 0 and %u", text, CONFIG_LUN_MAX);
}

bool verb_lun_remove(const struct args *args, struct outcome *o)
{
    uint64_t number;
    if (!lun_number(args->positional[1], &number, o))
        return false;
    return change(args, "lun.remove",
                  json_pack("{s:s, s:I, s:b}", "target", args->positional[0], "lun", (json_int_t)number,
                            "delete_data", args_flag(args, "--delete-data")),
                  o);
}

bool verb_lun_resize(const struct args *args, struct outcome *o)
{
    uint64_t number, size;
    if (!lun_number(args->positional[1], &number, o))
        return false;
    if (units_parse_size(args->positional[2], &size) != 0 || size > INT64_MAX)
        return outcome_refuse(o, "\"%s\" is no size such as 512M or 10G", args->positional[2]);
    return change(args, "lun.resize",
                  json_pack("{s:s, s:I, s:I}", "target", args->positional[0], "lun", (json_int_t)number,
                            "size", (json_int_t)size),
                  o);
}

/* ---- portals ---- */

bool verb_portal_add(const struct args *args, struct outcome *o)
{
    uint64_t group = 1;
    if (!args_number(args, "--group", 1, 65535, &group, o))
        return false;
    return change(args, "portal.add",
                  json_pack("{s:s, s:I, s:s*}", "address", args->positional[0], "group", (json_int_t)group,
                            "advertise", args_value(args, "--advertise")),
                  o);
}

bool verb_portal_remove(const struct args *args, struct outcome *o)
{
    return change(args, "portal.remove", json_pack("{s:s}", "address", args->positional[0]), o);
}

bool verb_portal_list(const struct args *args, struct outcome *o)
{
    return query(args, "portal.list", json_object(), show_portals, o);
}

/* ---- users and access ---- */

/* IQN NAME, or NAME with --discovery. */
static json_t *user_params(const struct args *args, struct outcome *o)
{
    bool discovery = args_flag(args, "--discovery");
    if (args->positional_count != (discovery ? 1u : 2u)) {
        outcome_refuse(o, discovery ? "with --discovery only the NAME is given, no target"
                                    : "give IQN and NAME");
        return NULL;
    }
    json_t *params =
        discovery ? json_pack("{s:b, s:s}", "discovery", 1, "name", args->positional[0])
                  : json_pack("{s:s, s:s}", "target", args->positional[0], "name", args->positional[1]);
    if (!params)
        outcome_refuse(o, "the arguments must be UTF-8 text");
    return params;
}

/* A secret of nothing but random bits, as text that every initiator takes (R7143-9.2.1-03, R7143-9.2.1-04).
 */
#define GENERATED_LEN 16 /* bytes: 96 bits are the least that RFC 7143 9.2.1 asks for */
static const char *generate(char *buf)
{
    uint8_t bits[GENERATED_LEN];
    env_host()->random(env_host()->ctx, bits, sizeof bits);
    for (size_t i = 0; i < sizeof bits; i++)
        snprintf(buf + 2 * i, 3, "%02x", bits[i]);
    return buf;
}

bool verb_user_set(const struct args *args, struct outcome *o)
{
    char buf[SECRET_TEXT_MAX], mutual_buf[SECRET_TEXT_MAX];
    const char *secret, *mutual_secret, *mutual = args_value(args, "--mutual");
    bool made = args_flag(args, "--generate");
    if (!verbs_secret(args, "--secret", "--secret-file", buf, &secret, o) ||
        !verbs_secret(args, "--mutual-secret", "--mutual-secret-file", mutual_buf, &mutual_secret, o))
        return false;
    if (made && (secret || mutual_secret))
        return outcome_refuse(o, "--generate makes the secrets: give none");
    if (made)
        secret = generate(buf);
    if (made && mutual)
        mutual_secret = generate(mutual_buf);
    if (!secret)
        return outcome_refuse(o, "give a secret with --secret-file FILE, --secret TEXT or --generate");
    if (!mutual != !mutual_secret)
        return outcome_refuse(
            o, "--mutual NAME and --mutual-secret-file FILE (or --mutual-secret TEXT) come together");
    json_t *params = user_params(args, o), *more;
    if (!params)
        return false;
    more = json_pack("{s:s, s:s*, s:s*, s:s*, s:b}", "secret", secret, "mutual_name", mutual, "mutual_secret",
                     mutual_secret, "initiator", args_value(args, "--initiator"), "weak",
                     args_flag(args, "--weak"));
    if (!more || json_object_update(params, more) != 0) {
        json_decref(params);
        params = NULL;
    }
    json_decref(more);
    if (!change(args, "user.set", params, o))
        return false;
    if (made) /* nobody can ask for them later */
        printf("secret %s\n%s%s%s", secret, mutual ? "mutual secret " : "", mutual ? mutual_secret : "",
               mutual ? "\n" : "");
    return true;
}

bool verb_user_remove(const struct args *args, struct outcome *o)
{
    json_t *params = user_params(args, o);
    return params && change(args, "user.remove", params, o);
}

static bool verb_acl(const struct args *args, const char *method, struct outcome *o)
{
    return change(args, method,
                  json_pack("{s:s, s:s*, s:s*}", "target", args->positional[0], "initiator",
                            args_value(args, "--initiator"), "net", args_value(args, "--net")),
                  o);
}

bool verb_acl_add(const struct args *args, struct outcome *o)
{
    return verb_acl(args, "acl.add", o);
}

bool verb_acl_remove(const struct args *args, struct outcome *o)
{
    return verb_acl(args, "acl.remove", o);
}

/* ---- limits, redirection, rules ---- */

bool verb_set(const struct args *args, struct outcome *o)
{
    json_t *values = json_object();
    for (unsigned i = 1; i < args->positional_count; i++)
        if (!limits_set(values, args->positional[i], o)) {
            json_decref(values);
            return false;
        }
    return change(args, "target.set",
                  json_pack("{s:s, s:o}", "target", args->positional[0], "values", values), o);
}

/* --group N as a member of params; taken over. */
static json_t *with_group(const struct args *args, json_t *params, struct outcome *o)
{
    uint64_t group = 0;
    bool fine = args_number(args, "--group", 1, 65535, &group, o);
    if (fine && group)
        json_object_set_new(params, "group", json_integer((json_int_t)group));
    if (fine)
        return params;
    json_decref(params);
    return NULL;
}

bool verb_redirect_set(const struct args *args, struct outcome *o)
{
    json_t *params = with_group(args,
                                json_pack("{s:s, s:s, s:b}", "target", args->positional[0], "address",
                                          args->positional[1], "permanent", args_flag(args, "--permanent")),
                                o);
    return o->code == OUTCOME_OK && change(args, "redirect.set", params, o);
}

bool verb_redirect_clear(const struct args *args, struct outcome *o)
{
    json_t *params = with_group(args, json_pack("{s:s}", "target", args->positional[0]), o);
    return o->code == OUTCOME_OK && change(args, "redirect.clear", params, o);
}

bool verb_initiator_set(const struct args *args, struct outcome *o)
{
    const char *interval = args_value(args, "--nop-interval"), *timeout = args_value(args, "--nop-timeout");
    uint64_t ignored;
    bool reset = true;
    if (interval && strcmp(interval, "never") == 0)
        interval = "0";
    if ((interval && strcmp(interval, "0") != 0 && !args_duration(args, "--nop-interval", &ignored, o)) ||
        !args_duration(args, "--nop-timeout", &ignored, o) || !args_yes_no(args, "--target-reset", &reset, o))
        return false;
    json_t *params = json_pack("{s:s, s:s*, s:s*}", "initiator", args->positional[0], "nop_interval",
                               interval, "nop_timeout", timeout);
    if (args_flag(args, "--target-reset"))
        json_object_set_new(params, "target_reset", json_boolean(reset));
    return change(args, "initiator.set", params, o);
}

bool verb_initiator_remove(const struct args *args, struct outcome *o)
{
    return change(args, "initiator.remove", json_pack("{s:s}", "initiator", args->positional[0]), o);
}

bool verb_initiator_list(const struct args *args, struct outcome *o)
{
    return query(args, "initiator.list", json_object(), show_initiators, o);
}

/* ---- the service ---- */

bool verb_session_list(const struct args *args, struct outcome *o)
{
    return query(args, "session.list", json_object(), show_sessions, o);
}

bool verb_session_drop(const struct args *args, struct outcome *o)
{
    uint64_t id;
    if (units_parse_u64(args->positional[0], 1, INT64_MAX, &id) != 0)
        return outcome_refuse(o, "\"%s\" is no session number (session list shows them)",
                              args->positional[0]);
    return change(args, "session.drop", json_pack("{s:I}", "id", (json_int_t)id), o);
}

bool verb_session_notify(const struct args *args, struct outcome *o)
{
    uint64_t id, code = 0;
    if (units_parse_u64(args->positional[0], 1, INT64_MAX, &id) != 0)
        return outcome_refuse(o, "\"%s\" is no session number (session list shows them)",
                              args->positional[0]);
    if (!args_number(args, "--code", 0, 255, &code, o))
        return false;
    return change(args, "session.notify",
                  json_pack("{s:I, s:I, s:s*}", "id", (json_int_t)id, "code", (json_int_t)code, "text",
                            args->positional_count > 1 ? args->positional[1] : NULL),
                  o);
}

bool verb_status(const struct args *args, struct outcome *o)
{
    return query(args, "status", json_object(), show_status, o);
}
