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

/* verbs_args.c */
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

/* verbs_calls.c: what the rows of the table run. False without a complaint in *o: out of memory. */
bool verb_create(const struct args *args, struct outcome *o);
bool verb_list(const struct args *args, struct outcome *o);
bool verb_show(const struct args *args, struct outcome *o);
bool verb_delete(const struct args *args, struct outcome *o);
bool verb_lun_add(const struct args *args, struct outcome *o);
bool verb_lun_remove(const struct args *args, struct outcome *o);
bool verb_lun_resize(const struct args *args, struct outcome *o);
bool verb_portal_add(const struct args *args, struct outcome *o);
bool verb_portal_remove(const struct args *args, struct outcome *o);
bool verb_portal_list(const struct args *args, struct outcome *o);
bool verb_user_set(const struct args *args, struct outcome *o);
bool verb_user_remove(const struct args *args, struct outcome *o);
bool verb_acl_add(const struct args *args, struct outcome *o);
bool verb_acl_remove(const struct args *args, struct outcome *o);
bool verb_set(const struct args *args, struct outcome *o);
bool verb_redirect_set(const struct args *args, struct outcome *o);
bool verb_redirect_clear(const struct args *args, struct outcome *o);
bool verb_initiator_set(const struct args *args, struct outcome *o);
bool verb_initiator_remove(const struct args *args, struct outcome *o);
bool verb_initiator_list(const struct args *args, struct outcome *o);
bool verb_session_list(const struct args *args, struct outcome *o);
bool verb_session_drop(const struct args *args, struct outcome *o);
bool verb_session_notify(const struct args *args, struct outcome *o);
bool verb_status(const struct args *args, struct outcome *o);

/* show.c: answers for people */
void show_list(const json_t *answer, FILE *out);
void show_target(const json_t *answer, FILE *out);
void show_portals(const json_t *answer, FILE *out);
void show_initiators(const json_t *answer, FILE *out);
void show_sessions(const json_t *answer, FILE *out);
void show_status(const json_t *answer, FILE *out);

#endif
