/* How an operation of the management side ended: the exit code of the command and the one sentence for its
 * user. */
#ifndef LUNETTE_SERVICE_OUTCOME_H
#define LUNETTE_SERVICE_OUTCOME_H

#include <stdbool.h>

enum outcome_code {
    OUTCOME_OK = 0,
    OUTCOME_FAILED = 1, /* the world would not: disk, network, another process */
    OUTCOME_REFUSED = 2 /* the input makes no sense, or not with this configuration: nothing was changed */
};

struct outcome {
    enum outcome_code code;
    char text[800]; /* one sentence without a line end; "" when OK */
};

/* Both return false, so that a check can end with `return outcome_refuse(...)`. A later call does not
 * overwrite the first reason. */
bool outcome_refuse(struct outcome *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool outcome_fail(struct outcome *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
