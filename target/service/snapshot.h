/* From the configuration tree to the engine's immutable snapshot. */
#ifndef LUNETTE_SERVICE_SNAPSHOT_H
#define LUNETTE_SERVICE_SNAPSHOT_H

#include <jansson.h>
#include <stdbool.h>

#include "target/service/disks.h"
#include "target/service/portals.h"
#include "target/service/tuning.h"

/* Every disk of `root` is open in `disks` and every portal listens. One reference. */
bool snapshot_build(const struct env *env, const json_t *root, struct disks *disks,
                    const struct portals *portals, const struct tuning *tuning, uint64_t generation,
                    struct tgt_config **out, struct outcome *o);

#endif
