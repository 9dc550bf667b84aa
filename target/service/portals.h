/* The addresses a running service listens on, kept in step with the configuration. Management thread only. */
#ifndef LUNETTE_SERVICE_PORTALS_H
#define LUNETTE_SERVICE_PORTALS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "target/service/live.h"
#include "target/service/outcome.h"

struct portals;

int portals_new(const struct env *env, struct live *live, struct portals **out);
void portals_free(struct portals *portals); /* forgets; the reactors have closed the listeners */

/* Listens on every portal of `root` that is not listening yet; without any portal in it, on port 3260 of all
 * addresses. A wildcard also serves portals on its port that name one address. On failure nothing has
 * changed. */
bool portals_prepare(struct portals *portals, const json_t *root, struct outcome *o);
/* Stops listening on those that `root` does not have. */
void portals_commit(struct portals *portals, const json_t *root);
void portals_rollback(struct portals *portals);
uint32_t portals_count(const struct portals *portals);
/* Fills count entries, in the order of the configuration. Those of a rolled forward prepare that go away are
 * left out. */
uint32_t portals_fill(const struct portals *portals, const json_t *root, struct tgt_portal *out,
                      uint32_t max);
/* "listening on ADDRESS:PORT" for each. */
void portals_print(const struct portals *portals, FILE *out);
json_t *
portals_json(const struct portals *portals); /* new reference: [{address, listening, group, advertise}] */

#endif
