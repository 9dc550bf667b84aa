/* How a command reaches the configuration: through the running service, or by editing the state directory
 * itself. */
#ifndef LUNETTE_SERVICE_CLIENT_H
#define LUNETTE_SERVICE_CLIENT_H

#include <jansson.h>

#include "target/service/outcome.h"

struct client_where {
    const char *state;   /* directory */
    const char *control; /* socket of a service; NULL: find it through the state directory */
};

/* Result: new reference, or NULL with an outcome. Takes over `params` (NULL: they could not be made, which is
 * refused). */
json_t *client_call(const struct client_where *where, const char *method, json_t *params, struct outcome *o);

#endif
