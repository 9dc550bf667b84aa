/* `lunette-conformance check`: reads a capture made by anybody and says what the referee finds in it, what
 * was negotiated, and how long each command took. */
#ifndef LUNETTE_CONFORMANCE_CHECK_H
#define LUNETTE_CONFORMANCE_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum check_exit { CHECK_CLEAN = 0, CHECK_FINDINGS = 1, CHECK_BAD_INPUT = 2 };

struct check_options {
    const char *path;     /* "-": standard input */
    uint16_t port;        /* the target's; 0: 3260 and whatever begins with a login */
    int vantage;          /* enum referee_vantage, or -1: what the file says, else between */
    bool json;            /* one object for each line */
    bool timeline, quiet; /* quiet: findings and problems only */
};

/* Prints to `out`; messages about bad input to `err`. */
enum check_exit check_run(const struct check_options *options, FILE *out, FILE *err);

#endif
