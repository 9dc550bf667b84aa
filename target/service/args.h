/* Command lines: each verb has a table of its options, from which parsing, messages and --help come. */
#ifndef LUNETTE_SERVICE_ARGS_H
#define LUNETTE_SERVICE_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "target/service/outcome.h"

#define ARGS_MAX            256u /* options on one command line */
#define ARGS_POSITIONAL_MAX 40u

struct args_option {
    const char *name;  /* "--size"; NULL ends a table */
    const char *value; /* what it takes, for help: "SIZE"; NULL: a flag */
    const char *help;
};

struct args {
    struct {
        const char *name, *value; /* borrowed from argv and the table; value NULL: a flag */
    } given[ARGS_MAX];
    unsigned given_count;
    const char *positional[ARGS_POSITIONAL_MAX];
    unsigned positional_count;
    bool help;
};

/* Takes "--name value" and "--name=value"; "--" ends options. Unknown options, missing values and more than
 * `max` positional arguments are refused. */
bool args_parse(int argc, char *const *argv, const struct args_option *options, unsigned max,
                struct args *out, struct outcome *o);
const char *args_value(const struct args *args, const char *name); /* the last one given, or NULL */
/* The n-th value of an option that may repeat; NULL: no more. */
const char *args_nth(const struct args *args, const char *name, unsigned n);
bool args_flag(const struct args *args, const char *name);
void args_print_options(const struct args_option *options, FILE *out);

/* Values: true when the option is absent (*out untouched) or well formed. */
bool args_size(const struct args *args, const char *name, uint64_t *out, struct outcome *o);
bool args_duration(const struct args *args, const char *name, uint64_t *out_ns, struct outcome *o);
bool args_number(const struct args *args, const char *name, uint64_t min, uint64_t max, uint64_t *out,
                 struct outcome *o);
bool args_yes_no(const struct args *args, const char *name, bool *out, struct outcome *o);

#endif
