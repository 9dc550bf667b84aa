/* lunette: one word for all of Lunette's programs. `lunette NAME ...` is `lunette-NAME ...`. */
#include <stdio.h>
#include <string.h>

#include "common/base/version.h"
#include "lunette/run.h"

#define PREFIX "lunette-"

enum { EXIT_DONE = 0, EXIT_NOT_RUN = 1, EXIT_MISUSE = 2 };

static const struct {
    const char *word, *does;
} programs[] = {
    {"target", "serve disks over iSCSI, and manage them"},
    {"initiator", "discover, read, write, copy and verify disks of any iSCSI target"},
    {"conformance", "say what is against the RFC in a capture"},
    {"bench", "load a target and measure it"},
    {"fuzz", "feed the parsers and the engines with hostile bytes"},
};

static void list(FILE *out)
{
    char name[RUN_NAME_MAX];
    fputs("usage: lunette PROGRAM [ARGUMENT ...]\n\n", out);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        snprintf(name, sizeof name, PREFIX "%s", programs[i].word);
        fprintf(out, "  %-12s  %s%s\n", programs[i].word, programs[i].does,
                run_exists(name) ? "" : " (not installed)");
    }
    fputs("\n`lunette PROGRAM --help` tells more; `lunette --version`.\n", out);
}

/* A word, never a path: it becomes part of a file name. */
static bool is_word(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len > 0 && text[len] == 0 && text[0] != '-' && len < RUN_NAME_MAX - sizeof PREFIX;
}

int main(int argc, char **argv)
{
    char name[RUN_NAME_MAX];
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        list(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("lunette " LUNETTE_VERSION);
        return EXIT_DONE;
    }
    int code = RUN_NOT_FOUND;
    if (is_word(argv[1])) {
        snprintf(name, sizeof name, PREFIX "%s", argv[1]);
        code = run_program(name, argv);
    }
    if (code == RUN_NOT_FOUND) {
        fprintf(stderr, "lunette: there is no %s \"%s\"; `lunette help` lists the programs\n",
                argv[1][0] == '-' ? "option" : "program", argv[1]);
        return EXIT_MISUSE;
    }
    return code == RUN_FAILED ? EXIT_NOT_RUN : code;
}
