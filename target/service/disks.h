/* The logical units of the service: opened stores and their LUs, kept across configuration snapshots. The
 * same LUN of the same target with the same identity stays open, whatever else changes; a removed one is
 * closed when no reactor uses it. */
#ifndef LUNETTE_SERVICE_DISKS_H
#define LUNETTE_SERVICE_DISKS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/base/env.h"
#include "target/scsi/device.h"
#include "target/service/live.h"
#include "target/service/outcome.h"

struct disks;

/* `dir` is the state directory for relative paths ("" when there is none). `reactors` is 0 without a service:
 * then disks are opened to see that they can be, and no LU is made. */
bool disks_new(const struct env *env, struct io *io, const char *dir, uint32_t reactors, struct disks **out,
               struct outcome *o);
/* Closes everything; every LU must be forgotten by all reactors (or the reactors be gone). */
void disks_free(struct disks *disks);

enum disks_prepare { DISKS_ALL, DISKS_NEW };
/* Opens the LUNs of `root` that are not open. `old` (may be NULL): LUNs that it has too are known: their
 * files are never made again when missing. With DISKS_NEW known LUNs are not opened at all. Sizes that were
 * not given are written into the specifications of `root`. On failure everything opened here is closed and
 * every file made here is removed. */
bool disks_prepare(struct disks *disks, json_t *root, const json_t *old, enum disks_prepare what,
                   struct outcome *o);
void disks_commit(struct disks *disks);   /* what prepare opened stays */
void disks_rollback(struct disks *disks); /* undoes prepare */

struct scsi_lu *disks_lu(struct disks *disks, const json_t *target, const json_t *lun, bool *readonly,
                         uint32_t *home);
/* Closes disks that `root` does not name and that no reactor uses; true when none of those is left. live
 * NULL: at once. */
bool disks_retire(struct disks *disks, const json_t *root, struct live *live);
/* Grows the disk of this LUN (open or not) to the size in its specification. */
bool disks_resize(struct disks *disks, const json_t *target, const json_t *lun, struct live *live,
                  struct outcome *o);
/* Everything to stable media; returns how many could not. Reactors must be gone. */
uint32_t disks_flush(struct disks *disks);
/* The path of a LUN's data file if it lies in the state directory; false otherwise. */
bool disks_own_file(const struct disks *disks, const json_t *lun, char *path, size_t len);

#endif
