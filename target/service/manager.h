/* The management side: holds the configuration, answers queries, and carries changes out, all or nothing. One
 * code path for a running service and for a command that edits the state directory: without a service `live`
 * is NULL and only files change. One thread. */
#ifndef LUNETTE_SERVICE_MANAGER_H
#define LUNETTE_SERVICE_MANAGER_H

#include <jansson.h>
#include <stdbool.h>

#include "target/service/disks.h"
#include "target/service/live.h"
#include "target/service/outcome.h"
#include "target/service/portals.h"
#include "target/service/snapshot.h"
#include "target/service/state.h"

struct manager {
    const struct env *env;
    json_t *root;            /* owned: the configuration in force */
    struct state *state;     /* borrowed; NULL: nothing is kept */
    struct disks *disks;     /* owned */
    struct io *io;           /* owned without a service: opens files */
    struct live *live;       /* borrowed; NULL: no service */
    struct portals *portals; /* owned; with a service only */
    struct tuning tuning;
    struct tgt_config *snapshot; /* one reference; with a service only */
    uint64_t generation, started_ns;
    bool retiring; /* removed disks wait for their last user */
};

/* Takes over `root`. With `live` the service is started: disks open, reactors run, portals listen. */
bool manager_init(struct manager *m, const struct env *env, json_t *root, struct state *state,
                  struct live *live, const struct tuning *tuning, struct outcome *o);
/* After live_join (if live). */
void manager_fini(struct manager *m);
/* Carries out a method ("target.create", "list", ...). Result: new reference, or NULL with an outcome. */
json_t *manager_call(struct manager *m, const char *method, const json_t *params, struct outcome *o);
/* Now and then: closes what could not be closed at once. */
void manager_tidy(struct manager *m);

/* query.c */
bool query_known(const char *method);
json_t *query_call(struct manager *m, const char *method, const json_t *params, struct outcome *o);

#endif
