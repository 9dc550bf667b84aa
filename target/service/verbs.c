/* The table of commands, and those that talk to the configuration. */
#include "target/service/verbs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/env.h"
#include "common/base/units.h"
#include "target/service/config.h"
#include "target/service/limits.h"
#include "target/service/state.h"

/* ---- arguments ---- */

struct client_where verbs_where(const struct args *args)
{
    const char *state = args_value(args, "--state");
    return (struct client_where){.state = state ? state : STATE_DIR_DEFAULT,
                                 .control = args_value(args, "--control")};
}

/* A relative path is the caller's: the service has another current directory. */
static bool absolute_spec(const char *spec, char *out, size_t len, struct outcome *o)
{
    char cwd[STATE_PATH_MAX];
    if (strncmp(spec, "file:", 5) != 0 || spec[5] == '/' || spec[5] == '\0' || spec[5] == ',') {
        snprintf(out, len, "%s", spec);
    } else if (!getcwd(cwd, sizeof cwd)) {
        return outcome_fail(o, "cannot find the current directory: %s", strerror(errno));
    } else if (strchr(cwd, ',')) {
        return outcome_refuse(o, "a path with a comma cannot be used: %s", cwd);
    } else {
        snprintf(out, len, "file:%s/%s", cwd, spec + 5);
    }
    return strlen(out) + 1 < len || outcome_refuse(o, "the LUN specification is too long");
}

json_t *verbs_lun(const char *text, uint64_t next, uint64_t size, struct outcome *o)
{
    size_t digits = strspn(text, "0123456789");
    bool numbered = digits > 0 && (text[digits] == '=' || text[digits] == '\0');
    const char *spec = !numbered ? text : text[digits] == '=' ? text + digits + 1 : NULL;
    char number_text[24], absolute[STATE_PATH_MAX + 600];
    uint64_t number = next;
    snprintf(number_text, sizeof number_text, "%.*s", (int)(digits < 20 ? digits : 20), text);
    if (numbered && units_parse_u64(number_text, 0, CONFIG_LUN_MAX, &number) != 0) {
        outcome_refuse(o, "LUN %s is not between 0 and %u", number_text, CONFIG_LUN_MAX);
        return NULL;
    }
    if (!spec && size == 0) {
        outcome_refuse(o, "LUN %s needs a specification (%s=file:PATH,...) or --size", number_text,
                       number_text);
        return NULL;
    }
    if (spec && !absolute_spec(spec, absolute, sizeof absolute, o))
        return NULL;
    json_t *lun = spec ? json_pack("{s:I, s:s}", "lun", (json_int_t)number, "spec", absolute)
                       : json_pack("{s:I, s:I}", "lun", (json_int_t)number, "size", (json_int_t)size);
    if (!lun)
        outcome_refuse(o, "the LUN specification must be UTF-8 text");
    return lun;
}

bool verbs_secret(const struct args *args, const char *name, const char *file_name, char *buf,
                  const char **out, struct outcome *o)
{
    const char *value = args_value(args, name), *path = args_value(args, file_name);
    *out = NULL;
    if (value && path)
        return outcome_refuse(o, "%s and %s say the same thing: give one", name, file_name);
    if (!path) {
        *out = value;
        return true;
    }
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && len < SECRET_TEXT_MAX - 1 && (n = read(fd, buf + len, SECRET_TEXT_MAX - 1 - len)) > 0)
        len += (size_t)n;
    int why = errno;
    if (fd > STDIN_FILENO)
        close(fd);
    if (n < 0)
        return outcome_refuse(o, "cannot read the secret from %s: %s", path, strerror(why));
    if (len > 0 && buf[len - 1] == '\n')
        len--;
    if (len > 0 && buf[len - 1] == '\r')
        len--;
    buf[len] = '\0';
    if (strlen(buf) != len)
        return outcome_refuse(o, "the secret in %s contains a zero byte", path);
    *out = buf;
    return true;
}

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

static bool run_create(const struct args *args, struct outcome *o)
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

static bool run_list(const struct args *args, struct outcome *o)
{
    return query(args, "target.list", json_object(), show_list, o);
}

static bool run_show(const struct args *args, struct outcome *o)
{
    return query(args, "target.show", json_pack("{s:s}", "target", args->positional[0]), show_target, o);
}

static bool run_delete(const struct args *args, struct outcome *o)
{
    return change(args, "target.delete",
                  json_pack("{s:s, s:b}", "target", args->positional[0], "delete_data",
                            args_flag(args, "--delete-data")),
                  o);
}

/* ---- LUNs ---- */

static bool run_lun_add(const struct args *args, struct outcome *o)
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

static bool run_lun_remove(const struct args *args, struct outcome *o)
{
    uint64_t number;
    if (!lun_number(args->positional[1], &number, o))
        return false;
    return change(args, "lun.remove",
                  json_pack("{s:s, s:I, s:b}", "target", args->positional[0], "lun", (json_int_t)number,
                            "delete_data", args_flag(args, "--delete-data")),
                  o);
}

static bool run_lun_resize(const struct args *args, struct outcome *o)
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

static bool run_portal_add(const struct args *args, struct outcome *o)
{
    uint64_t group = 1;
    if (!args_number(args, "--group", 1, 65535, &group, o))
        return false;
    return change(args, "portal.add",
                  json_pack("{s:s, s:I, s:s*}", "address", args->positional[0], "group", (json_int_t)group,
                            "advertise", args_value(args, "--advertise")),
                  o);
}

static bool run_portal_remove(const struct args *args, struct outcome *o)
{
    return change(args, "portal.remove", json_pack("{s:s}", "address", args->positional[0]), o);
}

static bool run_portal_list(const struct args *args, struct outcome *o)
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

static bool run_user_set(const struct args *args, struct outcome *o)
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

static bool run_user_remove(const struct args *args, struct outcome *o)
{
    json_t *params = user_params(args, o);
    return params && change(args, "user.remove", params, o);
}

static bool run_acl(const struct args *args, const char *method, struct outcome *o)
{
    return change(args, method,
                  json_pack("{s:s, s:s*, s:s*}", "target", args->positional[0], "initiator",
                            args_value(args, "--initiator"), "net", args_value(args, "--net")),
                  o);
}

static bool run_acl_add(const struct args *args, struct outcome *o)
{
    return run_acl(args, "acl.add", o);
}

static bool run_acl_remove(const struct args *args, struct outcome *o)
{
    return run_acl(args, "acl.remove", o);
}

/* ---- limits, redirection, rules ---- */

static bool run_set(const struct args *args, struct outcome *o)
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

static bool run_redirect_set(const struct args *args, struct outcome *o)
{
    json_t *params = with_group(args,
                                json_pack("{s:s, s:s, s:b}", "target", args->positional[0], "address",
                                          args->positional[1], "permanent", args_flag(args, "--permanent")),
                                o);
    return o->code == OUTCOME_OK && change(args, "redirect.set", params, o);
}

static bool run_redirect_clear(const struct args *args, struct outcome *o)
{
    json_t *params = with_group(args, json_pack("{s:s}", "target", args->positional[0]), o);
    return o->code == OUTCOME_OK && change(args, "redirect.clear", params, o);
}

static bool run_initiator_set(const struct args *args, struct outcome *o)
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

static bool run_initiator_remove(const struct args *args, struct outcome *o)
{
    return change(args, "initiator.remove", json_pack("{s:s}", "initiator", args->positional[0]), o);
}

static bool run_initiator_list(const struct args *args, struct outcome *o)
{
    return query(args, "initiator.list", json_object(), show_initiators, o);
}

/* ---- the service ---- */

static bool run_session_list(const struct args *args, struct outcome *o)
{
    return query(args, "session.list", json_object(), show_sessions, o);
}

static bool run_session_drop(const struct args *args, struct outcome *o)
{
    uint64_t id;
    if (units_parse_u64(args->positional[0], 1, INT64_MAX, &id) != 0)
        return outcome_refuse(o, "\"%s\" is no session number (session list shows them)",
                              args->positional[0]);
    return change(args, "session.drop", json_pack("{s:I}", "id", (json_int_t)id), o);
}

static bool run_session_notify(const struct args *args, struct outcome *o)
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

static bool run_status(const struct args *args, struct outcome *o)
{
    return query(args, "status", json_object(), show_status, o);
}

/* ---- the table ---- */

#define WHERE                                                                                                \
    {"--state", "DIR", "state directory (default " STATE_DIR_DEFAULT ")"},                                   \
    {                                                                                                        \
        "--control", "PATH", "talk to the service at this control socket instead"                            \
    }
#define END                                                                                                  \
    {                                                                                                        \
        NULL, NULL, NULL                                                                                     \
    }
#define OPTIONS(name, ...) static const struct args_option name[] = {__VA_ARGS__, WHERE, END}

static const struct args_option plain_options[] = {WHERE, END};
OPTIONS(json_options, {"--json", NULL, "print JSON"});
OPTIONS(create_options,
        {"--lun", "N=SPEC", "a LUN, may repeat; with --size just N: a thin file in DIR/disks"},
        {"--size", "SIZE", "size of the thin file, for example 10G"},
        {"--alias", "TEXT", "a name for people, told to initiators"});
OPTIONS(delete_options,
        {"--delete-data", NULL, "also delete its data files in DIR/disks (others are never touched)"});
OPTIONS(lun_options, {"--size", "SIZE", "with just N: make a thin file of this size in DIR/disks"},
        {"--serial", "TEXT", "serial number (default: minted once and kept)"},
        {"--naa", "HEX", "NAA identifier, 32 digits that begin with 6 (default: minted once and kept)"});
OPTIONS(portal_options,
        {"--group", "TAG", "target portal group tag, 1 to 65535 (default 1); a session stays in one group"},
        {"--advertise", "HOST:PORT", "address to tell initiators instead of this one"});
OPTIONS(user_set_options, {"--secret-file", "FILE", "read the secret from a file; - is standard input"},
        {"--secret", "TEXT",
         "the secret itself: every user of this machine can see it while the command runs"},
        {"--generate", NULL, "make the secrets, of 128 random bits each, and print them"},
        {"--mutual", "NAME", "name with which the target answers a challenge"},
        {"--mutual-secret-file", "FILE", "its secret"},
        {"--mutual-secret", "TEXT", "its secret, visible as above"},
        {"--initiator", "NAME", "only initiators of this name may use it, or pattern with *"},
        {"--weak", NULL, "allow a secret of fewer than 12 bytes"},
        {"--discovery", NULL, "for discovery instead of a target: user set --discovery NAME"});
OPTIONS(user_remove_options, {"--discovery", NULL, "a discovery user: user remove --discovery NAME"});
OPTIONS(redirect_options, {"--group", "TAG", "only logins through portals of this group"},
        {"--permanent", NULL, "the target has moved for good: initiators may remember it"});
OPTIONS(group_options, {"--group", "TAG", "only the redirect of this portal group"});
OPTIONS(initiator_options, {"--nop-interval", "TIME|never", "ping them this often when they are silent"},
        {"--nop-timeout", "TIME", "how long they may take to answer"},
        {"--target-reset", "yes|no", "whether they may reset the whole target (default yes)"});
OPTIONS(notify_options, {"--code", "N", "AsyncVCode, 0 to 255 (default 0)"});
OPTIONS(acl_options, {"--initiator", "NAME", "initiator name or pattern with *"},
        {"--net", "CIDR", "network, for example 10.0.0.0/8"});

static const struct verb verbs[] = {
    {"serve", "", 0, 0, "run the service in the foreground", serve_options, serve_run},
    {"create", "IQN", 1, 1, "make a target", create_options, run_create},
    {"list", "", 0, 0, "list targets", json_options, run_list},
    {"show", "IQN", 1, 1, "show one target", json_options, run_show},
    {"delete", "IQN", 1, 1, "delete a target; data files stay unless --delete-data", delete_options,
     run_delete},
    {"lun add", "IQN N=SPEC", 2, 2,
     "add a LUN: N=file:PATH[,size=S][,block=4096][,readonly], N=memory:size=S", lun_options, run_lun_add},
    {"lun remove", "IQN N", 2, 2, "remove a LUN; its data file stays unless --delete-data", delete_options,
     run_lun_remove},
    {"lun resize", "IQN N SIZE", 3, 3, "grow a LUN", plain_options, run_lun_resize},
    {"portal add", "ADDR[:PORT]", 1, 1, "listen on an address", portal_options, run_portal_add},
    {"portal remove", "ADDR[:PORT]", 1, 1, "stop listening on it", plain_options, run_portal_remove},
    {"portal list", "", 0, 0, "list portals", json_options, run_portal_list},
    {"user set", "IQN NAME", 1, 2, "require CHAP: set a user's secrets", user_set_options, run_user_set},
    {"user remove", "IQN NAME", 1, 2, "remove a user", user_remove_options, run_user_remove},
    {"acl add", "IQN", 1, 1, "admit initiators; all conditions of a rule must hold, one rule suffices",
     acl_options, run_acl_add},
    {"acl remove", "IQN", 1, 1, "remove the rule with exactly these conditions", acl_options, run_acl_remove},
    {"set", "IQN NAME=VALUE...", 2, ARGS_POSITIONAL_MAX,
     "limit what is negotiated with a target, from the next login on; VALUE default takes a limit away",
     plain_options, run_set},
    {"redirect set", "IQN ADDRESS[:PORT]", 2, 2, "send logins to another address", redirect_options,
     run_redirect_set},
    {"redirect clear", "IQN", 1, 1, "serve the target here again", group_options, run_redirect_clear},
    {"initiator set", "NAME", 1, 1,
     "treat initiators of this name or pattern differently; the first rule counts", initiator_options,
     run_initiator_set},
    {"initiator remove", "NAME", 1, 1, "remove the rule", plain_options, run_initiator_remove},
    {"initiator list", "", 0, 0, "list the rules", json_options, run_initiator_list},
    {"session list", "", 0, 0, "list sessions", json_options, run_session_list},
    {"session drop", "ID", 1, 1, "end a session", plain_options, run_session_drop},
    {"session notify", "ID [TEXT]", 1, 2, "send an initiator a vendor-specific message", notify_options,
     run_session_notify},
    {"status", "", 0, 0, "show what the service is doing", json_options, run_status},
};
#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

static void print_help(FILE *out)
{
    fprintf(out, "usage: lunette-target VERB ... [--state DIR]\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", verbs[i].words, verbs[i].arguments);
        fprintf(out, "  %-30s %s\n", left, verbs[i].help);
    }
    fprintf(out, "\nlunette-target VERB --help shows a verb's options.\n");
}

static void print_verb_help(const struct verb *verb, FILE *out)
{
    fprintf(out, "usage: lunette-target %s%s%s [options]\n%s\n\n", verb->words, verb->arguments[0] ? " " : "",
            verb->arguments, verb->help);
    if (verb->run == run_set)
        limits_help(out);
    args_print_options(verb->options, out);
}

/* How many words of the command line name this verb: 0, 1 or 2. */
static int match(const struct verb *verb, int argc, char *const *argv)
{
    const char *space = strchr(verb->words, ' ');
    size_t first = space ? (size_t)(space - verb->words) : strlen(verb->words);
    if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], verb->words, first) != 0)
        return 0;
    if (!space)
        return 1;
    return argc > 1 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

static const struct verb *find_verb(int argc, char *const *argv, int *words, struct outcome *o)
{
    char also[200] = "";
    for (size_t i = 0; i < VERB_COUNT; i++) {
        *words = match(&verbs[i], argc, argv);
        if (*words > 0)
            return &verbs[i];
        size_t len = strlen(argv[0]), at = strlen(also);
        if (strncmp(verbs[i].words, argv[0], len) == 0 && verbs[i].words[len] == ' ')
            snprintf(also + at, sizeof also - at, "%s%s", also[0] ? ", " : "", verbs[i].words);
    }
    if (also[0])
        outcome_refuse(o, "say which: %s", also);
    else
        outcome_refuse(o, "there is no verb \"%s\" (--help lists them)", argv[0]);
    return NULL;
}

static int report(const struct outcome *o)
{
    if (o->code != OUTCOME_OK)
        fprintf(stderr, "lunette-target: %s\n", o->text);
    return (int)o->code;
}

int verbs_run(int argc, char *const *argv)
{
    struct outcome o = {0};
    struct args args;
    int words;
    if (argc < 1) {
        outcome_refuse(&o, "say what to do (--help lists the verbs)");
        return report(&o);
    }
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    const struct verb *verb = find_verb(argc, argv, &words, &o);
    if (!verb || !args_parse(argc - words, argv + words, verb->options, verb->most, &args, &o))
        return report(&o);
    if (args.help) {
        print_verb_help(verb, stdout);
        return 0;
    }
    if (args.positional_count < verb->least)
        outcome_refuse(&o, "%s needs %s", verb->words, verb->arguments);
    else if (!verb->run(&args, &o) && o.code == OUTCOME_OK)
        outcome_fail(&o, "out of memory");
    if (fflush(stdout) != 0)
        outcome_fail(&o, "cannot write to standard output: %s", strerror(errno));
    return report(&o);
}
