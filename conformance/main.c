/* lunette-conformance: what the RFC says about what was seen. */
#include <stdio.h>
#include <string.h>

#include "common/base/units.h"
#include "conformance/check/check.h"
#include "conformance/referee/referee.h"

static const char usage[] =
    "usage: lunette-conformance check CAPTURE [OPTION ...]\n"
    "\n"
    "Reads a pcapng or pcap file (- is standard input) and prints what is against RFC 7143 and RFC 7144 in "
    "it,\n"
    "what each connection negotiated, and totals. Exit code: 0 no finding, 1 findings, 2 bad input.\n"
    "\n"
    "  --port N                              the target's port (default: 3260, and whatever begins with a "
    "login)\n"
    "  --vantage initiator|target|between    where it was captured (default: what the file says, else "
    "between)\n"
    "  --timeline                            also every request with its latency\n"
    "  --json                                one JSON object for each line\n"
    "  --quiet                               findings only\n"
    "  --help                                this text\n";

static int misuse(const char *what, const char *which)
{
    fprintf(stderr, "lunette-conformance: %s%s (--help shows how)\n", what, which);
    return CHECK_BAD_INPUT;
}

static bool take_vantage(const char *text, int *out)
{
    static const char *const names[] = {
        [REFEREE_AT_INITIATOR] = "initiator", [REFEREE_AT_TARGET] = "target", [REFEREE_BETWEEN] = "between"};
    for (int i = 0; text && i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* The value of "--name value" or "--name=value"; NULL when the argument is another, or has none. */
static const char *value_of(const char *name, int argc, char **argv, int *at)
{
    size_t len = strlen(name);
    if (strncmp(argv[*at], name, len) != 0)
        return NULL;
    if (argv[*at][len] == '=')
        return argv[*at] + len + 1;
    return argv[*at][len] == '\0' && *at + 1 < argc ? argv[++*at] : NULL;
}

static int check(int argc, char **argv)
{
    struct check_options options = {.vantage = -1};
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i], *value;
        uint64_t port;
        if (strcmp(word, "--json") == 0) {
            options.json = true;
        } else if (strcmp(word, "--timeline") == 0) {
            options.timeline = true;
        } else if (strcmp(word, "--quiet") == 0) {
            options.quiet = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            fputs(usage, stdout);
            return 0;
        } else if (strncmp(word, "--port", 6) == 0) {
            value = value_of("--port", argc, argv, &i);
            if (!value || units_parse_u64(value, 1, 65535, &port) != 0)
                return misuse("--port is a number from 1 to 65535", "");
            options.port = (uint16_t)port;
        } else if (strncmp(word, "--vantage", 9) == 0) {
            value = value_of("--vantage", argc, argv, &i);
            if (!take_vantage(value, &options.vantage))
                return misuse("--vantage is initiator, target or between", "");
        } else if (word[0] == '-' && word[1]) {
            return misuse("there is no option ", word);
        } else if (options.path) {
            return misuse("one capture at a time, not also ", word);
        } else {
            options.path = word;
        }
    }
    if (!options.path)
        return misuse("check needs a capture", "");
    return (int)check_run(&options, stdout, stderr);
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "check") == 0)
        return check(argc - 2, argv + 2);
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    return argc < 2 ? misuse("what is to be done? ", "check CAPTURE") : misuse("there is no ", argv[1]);
}
