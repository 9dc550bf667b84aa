/* The state directory: config.json under a lock, replaced atomically. POSIX.
 *
 *   DIR/config.json   mode 0600 (it holds secrets)
 *   DIR/state.lock    locked by a running service, or by a command for the time of one change
 *   DIR/control.sock  where a running service answers
 *   DIR/disks/        thin files made by `create --size` and `lun add --size` */
#ifndef LUNETTE_SERVICE_STATE_H
#define LUNETTE_SERVICE_STATE_H

#include <jansson.h>
#include <stdbool.h>

#include "target/service/outcome.h"

#define STATE_DIR_DEFAULT "/var/lib/lunette"
#define STATE_PATH_MAX    4096u

struct state {
    char dir[STATE_PATH_MAX - 300]; /* absolute; room for a name behind it */
    int lock_fd;                    /* -1: the directory does not exist, or is not locked */
    bool created;                   /* by state_open: removed again by state_abandon */
};

enum state_open_result {
    STATE_OPEN,   /* ours: locked, or absent and `create` was not asked for */
    STATE_IN_USE, /* somebody else holds the lock */
    STATE_FAILED  /* outcome tells */
};
/* `create` makes a missing directory (mode 0700). */
enum state_open_result state_open(const char *dir, bool create, struct state *out, struct outcome *o);
void state_close(struct state *state);
/* Closes, and removes a directory that state_open made and nothing was put into. */
void state_abandon(struct state *state);
/* DIR/name into buf[STATE_PATH_MAX]. */
char *state_path(const struct state *state, const char *name, char *buf);
/* The checked configuration; an empty one when there is no file. New reference or NULL. */
json_t *state_load(const struct state *state, struct outcome *o);
/* Writes a temporary file, syncs, renames, syncs the directory: after a crash the old or the new one is
 * there, whole. */
bool state_save(const struct state *state, const json_t *root, struct outcome *o);

#endif
