/* The commands of lunette-target. */
#ifndef LUNETTE_SERVICE_VERBS_H
#define LUNETTE_SERVICE_VERBS_H

#include <jansson.h>

#include "target/service/args.h"
#include "target/service/client.h"

struct verb {
    const char *words;     /* "lun add" */
    const char *arguments; /* for help and messages: "IQN N=SPEC" */
    unsigned least, most;  /* positional arguments */
    const char *help;
    const struct args_option *options;
    bool (*run)(const struct args *args, struct outcome *o);
};

/* Runs a command line (without the program's name); returns the exit code. Output to stdout, one sentence of
 * complaint to stderr. */
int verbs_run(int argc, char *const *argv);

extern const struct args_option serve_options[];
bool serve_run(const struct args *args, struct outcome *o); /* serve.c */

/* Where --state and --control point. */
struct client_where verbs_where(const struct args *args);
/* "N=SPEC", "SPEC" (the number is then `next`) or a bare number (with `size` for a file in the state
 * directory) to {lun, spec | size}. New reference or NULL. */
json_t *verbs_lun(const char *text, uint64_t next, uint64_t size, struct outcome *o);
/* The value of --NAME, or the content of the file that --NAME-file names ("-": standard input) without its
 * line end. False when it cannot be read; *out is NULL when neither was given. The buffer has SECRET_TEXT_MAX
 * bytes. */
#define SECRET_TEXT_MAX 1024u
bool verbs_secret(const struct args *args, const char *name, const char *file_name, char *buf,
                  const char **out, struct outcome *o);

/* show.c: answers for people */
void show_list(const json_t *answer, FILE *out);
void show_target(const json_t *answer, FILE *out);
void show_portals(const json_t *answer, FILE *out);
void show_initiators(const json_t *answer, FILE *out);
void show_sessions(const json_t *answer, FILE *out);
void show_status(const json_t *answer, FILE *out);

#endif
