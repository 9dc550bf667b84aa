/* Hosts the target engine on reactors: one tgt_reactor glued to one struct io each, a directory that brings
 * the logins of one nexus together, and the limits of the whole service.
 *
 * No threads, clocks or sockets of its own: serve.c runs each reactor's io_run on a thread, the simulator
 * runs all of them in one. Functions of a `struct host` may be called from any thread only where they say so;
 * functions of a `struct host_reactor` are called on the thread that runs its io (before that thread starts:
 * on the creator's). */
#ifndef LUNETTE_SERVICE_HOST_H
#define LUNETTE_SERVICE_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/io/io.h"
#include "target/iscsi/target.h"

struct host;
struct host_reactor;
struct host_listener;
struct tap;

/* Takes the ios as borrowed (they outlive the host) and sets each one's turn hook. `memory` bytes are the
 * most that all pools together may hold. The host keeps its own references to the snapshot. ERR_NOMEM. */
int host_new(const struct env *env, struct io *const *ios, uint32_t count, uint64_t memory,
             struct tgt_config *config, struct host **out);
/* Every reactor must be idle (host_reactor_idle) and its thread gone. */
void host_free(struct host *host);
uint32_t host_count(const struct host *host);
struct host_reactor *host_at(struct host *host, uint32_t index);
/* Shows every byte that this reactor's connections receive and send to `tap` (common/capture/tap.h), which is
 * called on the reactor's thread. Borrowed until host_free; NULL: none. Before the reactor's thread runs. */
void host_reactor_set_tap(struct host_reactor *r, struct tap *tap);
struct io *host_reactor_io(struct host_reactor *r);
struct tgt_reactor *host_reactor_engine(struct host_reactor *r); /* for looking in */

/* Listens and accepts. `group`: portal group tag of what is accepted. ERR_ADDRINUSE, ERR_PERMISSION,
 * ERR_INVALID. */
int host_reactor_listen(struct host_reactor *r, const struct io_addr *addr, uint16_t group,
                        struct io_addr *bound, struct host_listener **out);
/* Accepts no more; the listener is gone after a later turn. Its connections stay. */
void host_reactor_unlisten(struct host_reactor *r, struct host_listener *listener);

/* A new snapshot for this reactor (own reference). Adopted: nothing here uses an older one. */
void host_reactor_set_config(struct host_reactor *r, struct tgt_config *config);
bool host_reactor_config_adopted(struct host_reactor *r);
/* Tells every initiator of the LU that its store has a new size. Give each call to one reactor only. */
int host_reactor_lu_resized(struct host_reactor *r, struct scsi_lu *lu);
/* An LU that no snapshot in use names: true when this reactor has let go of it. Ask again until it says so.
 */
bool host_reactor_lu_forget(struct host_reactor *r, struct scsi_lu *lu);

bool host_reactor_session_drop(struct host_reactor *r, uint64_t id);
/* tgt_session_notify. */
bool host_reactor_session_notify(struct host_reactor *r, uint64_t id, uint8_t code, const char *text);
/* Stops: listeners close, sessions are told and end. `now` drops them. Returns how many sessions there were.
 */
uint32_t host_reactor_stop(struct host_reactor *r, bool now);
/* Nothing is left: no connection, listener, session, store request or message on its way to this reactor. */
bool host_reactor_idle(struct host_reactor *r);

struct host_stats { /* of one reactor, or added up */
    struct io_stats io;
    struct tgt_counters engine;
    uint64_t memory_in_use;                                            /* bytes of pool chunks */
    uint64_t pool_allocations, task_objects, span_objects, tx_objects; /* growth of the pools since start */
    uint64_t sessions, connections;
    uint64_t store_requests;                    /* submitted */
    uint64_t transitions[TGT_TRANSITION_COUNT]; /* of RFC 7143 chapter 8 */
};
void host_reactor_stats(struct host_reactor *r, struct host_stats *out);
void host_stats_add(struct host_stats *sum, const struct host_stats *one);
/* Connections refused because of connections_max or logins_per_address_max. Any thread. */
uint64_t host_refused(struct host *host);

#endif
