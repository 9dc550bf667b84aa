/* The table of commands, their help, and how a command line finds its row. */
#include "target/service/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "target/service/limits.h"
#include "target/service/state.h"

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
    {"create", "IQN", 1, 1, "make a target", create_options, verb_create},
    {"list", "", 0, 0, "list targets", json_options, verb_list},
    {"show", "IQN", 1, 1, "show one target", json_options, verb_show},
    {"delete", "IQN", 1, 1, "delete a target; data files stay unless --delete-data", delete_options,
     verb_delete},
    {"lun add", "IQN N=SPEC", 2, 2,
     "add a LUN: N=file:PATH[,size=S][,block=4096][,readonly], N=memory:size=S", lun_options, verb_lun_add},
    {"lun remove", "IQN N", 2, 2, "remove a LUN; its data file stays unless --delete-data", delete_options,
     verb_lun_remove},
    {"lun resize", "IQN N SIZE", 3, 3, "grow a LUN", plain_options, verb_lun_resize},
    {"portal add", "ADDR[:PORT]", 1, 1, "listen on an address", portal_options, verb_portal_add},
    {"portal remove", "ADDR[:PORT]", 1, 1, "stop listening on it", plain_options, verb_portal_remove},
    {"portal list", "", 0, 0, "list portals", json_options, verb_portal_list},
    {"user set", "IQN NAME", 1, 2, "require CHAP: set a user's secrets", user_set_options, verb_user_set},
    {"user remove", "IQN NAME", 1, 2, "remove a user", user_remove_options, verb_user_remove},
    {"acl add", "IQN", 1, 1, "admit initiators; all conditions of a rule must hold, one rule suffices",
     acl_options, verb_acl_add},
    {"acl remove", "IQN", 1, 1, "remove the rule with exactly these conditions", acl_options,
     verb_acl_remove},
    {"set", "IQN NAME=VALUE...", 2, ARGS_POSITIONAL_MAX,
     "limit what is negotiated with a target, from the next login on; VALUE default takes a limit away",
     plain_options, verb_set},
    {"redirect set", "IQN ADDRESS[:PORT]", 2, 2, "send logins to another address", redirect_options,
     verb_redirect_set},
    {"redirect clear", "IQN", 1, 1, "serve the target here again", group_options, verb_redirect_clear},
    {"initiator set", "NAME", 1, 1,
     "treat initiators of this name or pattern differently; the first rule counts", initiator_options,
     verb_initiator_set},
    {"initiator remove", "NAME", 1, 1, "remove the rule", plain_options, verb_initiator_remove},
    {"initiator list", "", 0, 0, "list the rules", json_options, verb_initiator_list},
    {"session list", "", 0, 0, "list sessions", json_options, verb_session_list},
    {"session drop", "ID", 1, 1, "end a session", plain_options, verb_session_drop},
    {"session notify", "ID [TEXT]", 1, 2, "send an initiator a vendor-specific message", notify_options,
     verb_session_notify},
    {"status", "", 0, 0, "show what the service is doing", json_options, verb_status},
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
    if (verb->run == verb_set)
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
