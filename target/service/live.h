/* A running service: the host's reactors, each on a thread of its own, and calls into them from the
 * management thread. This and serve.c are the only places of the service that know threads. */
#ifndef LUNETTE_SERVICE_LIVE_H
#define LUNETTE_SERVICE_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "target/service/host.h"
#include "target/service/outcome.h"

struct live;

struct live_options {
    uint32_t reactors;
    enum io_kind io;
    enum io_poll poll;       /* the reactors'; the management thread always sleeps */
    uint64_t memory;         /* bytes: all pools together */
    struct tap *const *taps; /* one for each reactor, or NULL; borrowed for the life of `live` */
};

/* Makes the ios, but no reactor yet: disks are opened with live_io before a first snapshot exists. */
bool live_new(const struct env *env, const struct live_options *options, struct live **out,
              struct outcome *o);
struct io *live_io(struct live *live); /* the management thread's: opens, closes and resizes files */
const char *live_io_name(const struct live *live);
uint32_t live_count(const struct live *live);
/* Makes the host and starts the threads. */
bool live_start(struct live *live, struct tgt_config *config, struct outcome *o);
/* Runs fn on the reactor's thread and returns when it has: between its batches of I/O. */
void live_call(struct live *live, uint32_t index, void (*fn)(struct host_reactor *r, void *arg), void *arg);
struct host *live_host(struct live *live);

/* Gives every reactor the snapshot; true when all have stopped using older ones within timeout_ns. */
bool live_adopt(struct live *live, struct tgt_config *config, uint64_t timeout_ns);
/* An LU that no snapshot names any more: true when no reactor knows it (it can be freed). */
bool live_forget(struct live *live, struct scsi_lu *lu);
/* Resizes the LU's store on its home reactor and returns when every reactor serves the new size. */
int live_resize(struct live *live, struct scsi_lu *lu, uint32_t home, uint64_t size, char *why,
                size_t why_len);
bool live_session_drop(struct live *live, uint64_t id);
/* Sends a vendor-specific asynchronous message; false: no such session. */
bool live_session_notify(struct live *live, uint64_t id, uint8_t code, const char *text);
/* Begins or hurries the stop; returns how many sessions there are. */
uint32_t live_stop(struct live *live, bool now);
bool live_idle(struct live *live);
/* Ends the threads. Every reactor must be idle. */
void live_join(struct live *live);
/* After live_join: frees the reactors, with their views of LUs and references to snapshots. The ios stay. */
void live_free_host(struct live *live);
void live_free(struct live *live); /* after live_join, or before live_start */

#endif
