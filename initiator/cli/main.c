/* lunette-initiator: reads the command line and calls the verb. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "initiator/cli/cli.h"

static const struct cli_verb verbs[] = {
    {"discover", CLI_VERB_DISCOVER, 1, 1, "HOST[:PORT] [--json]", "list the targets that a portal offers",
     verb_discover},
    {"ls", CLI_VERB_LS, 1, 1, "URL|HOST[:PORT] [--json]", "list targets with their LUNs, sizes and names",
     verb_ls},
    {"inq", CLI_VERB_INQ, 1, 1, "URL [--vpd PAGE | --all] [--hex]", "show what a LUN says about itself",
     verb_inq},
    {"capacity", CLI_VERB_CAPACITY, 1, 1, "URL [--json]", "show number and size of blocks", verb_capacity},
    {"read", CLI_VERB_READ, 1, 1, "URL [--lba N] [--blocks N] [--out FILE|-]", "read blocks", verb_read},
    {"write", CLI_VERB_WRITE, 1, 1, "URL --lba N [--in FILE|-] [--fua]", "write blocks", verb_write},
    {"copy", CLI_VERB_COPY, 2, 2, "SRC DST", "copy between URLs and files, leaving holes out", verb_copy},
    {"verify", CLI_VERB_VERIFY, 2, 2, "A B", "compare two URLs or files", verb_verify},
    {"ping", CLI_VERB_PING, 1, 1, "URL|HOST[:PORT] [--count N] [--interval D]",
     "measure round trips with NOP-Out", verb_ping},
    {"scsi", CLI_VERB_SCSI, 2, 2, "URL HEX-CDB [--in N] [--out FILE]", "send any SCSI command", verb_scsi},
    {"tmf", CLI_VERB_TMF, 2, 2, "URL FUNCTION", "send a task management function", verb_tmf},
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static void message(const char *fmt, va_list args) __attribute__((format(printf, 1, 0)));
static void message(const char *fmt, va_list args)
{
    char text[1400];
    vsnprintf(text, sizeof(text), fmt, args);
    /* A peer's words may be in it: they must not make a second line or move the cursor. */
    for (char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    }
    fflush(stdout);
    fprintf(stderr, CLI_PROGRAM ": %s\n", text);
}

int cli_misuse(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    message(fmt, args);
    va_end(args);
    return CLI_MISUSE;
}

int cli_failed(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    message(fmt, args);
    va_end(args);
    return CLI_FAILED;
}

void cli_note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    message(fmt, args);
    va_end(args);
}

static void usage(FILE *out)
{
    fputs("usage: " CLI_PROGRAM " VERB ... [OPTION ...]\n\n", out);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %-9s %-43s %s\n", verbs[i].name, verbs[i].operands, verbs[i].summary);
    fputs("\nURL is iscsi://[USER[%SECRET]@]HOST[:PORT]/TARGET/LUN. " CLI_PROGRAM
          " VERB --help shows a verb's options.\n",
          out);
}

static void verb_usage(const struct cli_verb *verb)
{
    printf("usage: " CLI_PROGRAM " %s %s [OPTION ...]\n%s\n\noptions:\n", verb->name, verb->operands,
           verb->summary);
    cli_options_help(verb->bit);
}

static const struct cli_verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

/* Everything after the verb, and the verb itself. */
static int run(struct cli *cli, int argc, char **argv)
{
    int code = cli_options_parse(cli, argc - 2, argv + 2);
    if (code)
        return code;
    if (cli->help || cli->version) {
        if (cli->help)
            verb_usage(cli->verb);
        else
            puts(CLI_PROGRAM " " CLI_VERSION);
        return CLI_DONE;
    }
    if (cli->operand_count < cli->verb->operands_min)
        return cli_misuse("%s needs %s", cli->verb->name, cli->verb->operands);
    code = cli_secrets_complete(cli);
    if (code)
        return code;
    log_setup(cli->log_level, LOG_FORMAT_TEXT, LOG_SINK_STDERR, CLI_PROGRAM);
    code = cli_watch_start(cli);
    if (code)
        return code;
    code = cli->verb->run(cli);
    if (cli->io)
        io_free(cli->io);
    cli_watch_end(cli);
    /* A full disk behind standard output shows here, not at printf. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_DONE)
        code = cli_failed("cannot write to standard output");
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return CLI_MISUSE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return CLI_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts(CLI_PROGRAM " " CLI_VERSION);
        return CLI_DONE;
    }
    static struct cli cli; /* large, and zero */
    cli.verb = verb_find(argv[1]);
    if (!cli.verb)
        return cli_misuse("there is no %s \"%s\"; try " CLI_PROGRAM " --help",
                          argv[1][0] == '-' ? "option" : "verb", argv[1]);
    /* `read ... | head` ends by the write error, with a message. */
    signal(SIGPIPE, SIG_IGN);
    cli.env = env_host();
    lnt_options_default(&cli.options);
    int code = run(&cli, argc, argv);
    explicit_bzero(&cli.options, sizeof(cli.options));
    return code;
}
