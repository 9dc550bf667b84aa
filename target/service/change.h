/* Changes of the configuration: one function for each verb, from a method name and its parameters to a
 * changed tree. Pure: no files, no service. A running service and a command that edits the state directory
 * use the same ones. */
#ifndef LUNETTE_SERVICE_CHANGE_H
#define LUNETTE_SERVICE_CHANGE_H

#include <jansson.h>
#include <stdbool.h>

#include "common/base/env.h"
#include "target/service/outcome.h"

/* Is `method` one that changes the configuration? */
bool change_known(const char *method);
/* Changes `root` (a copy that is thrown away on failure). `env` mints identities. `has_state`: files can be
 * made in the state directory. The caller checks the whole tree afterwards (config_check). */
bool change_apply(json_t *root, const char *method, const json_t *params, const struct env *env,
                  bool has_state, struct outcome *o);

#endif
