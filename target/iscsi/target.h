/* The iSCSI target engine: RFC 7143's target side as a state machine without I/O. Bytes, completions and time
 * go in; bytes, store requests, messages to other reactors and events come out. One `struct tgt_reactor` per
 * reactor thread; nothing here is shared between threads except configuration snapshots and LUs.
 *
 * The host (target/service, the simulator, unit tests, fuzzers) calls
 *
 *   when                           what
 *   a connection was accepted      tgt_conn_new
 *   it wants to receive            tgt_conn_room: places to fill, or none: any chunk will do
 *   it has received                tgt_conn_received, tgt_conn_received_chunk or tgt_conn_lost
 *   a batch of input is over       tgt_run; then pulls tgt_next_event until false, submits tgt_next_request,
 *                                  posts tgt_next_message, and sends what tgt_next_to_send names
 *   a send has ended               tgt_conn_sent
 *   a store request has ended      tgt_store_done
 *   a message has arrived          tgt_message
 *   tgt_deadline has passed        tgt_tick
 *
 * A connection belongs to the engine until TGT_EVENT_CLOSE; the host keeps its own data in
 * tgt_conn_info.host. */
#ifndef LUNETTE_TARGET_ISCSI_TARGET_H
#define LUNETTE_TARGET_ISCSI_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/env.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/iscsi/tx.h"
#include "target/iscsi/config.h"
#include "target/iscsi/states.h"
#include "target/scsi/device.h"

struct tgt_conn;
struct tgt_session;
struct tgt_task;

struct tgt_counters { /* since start, of one reactor */
    uint64_t connections, logins, logins_failed, sessions, commands, read_bytes, write_bytes, rejects, tmfs;
    uint64_t pdus_in, pdus_out, discarded_pdus;
    uint64_t snacks, recovery_r2ts, reassigned; /* error recovery at work */
};

struct tgt_reactor {
    const struct env *env;
    struct pool *pool; /* borrowed */
    uint32_t index, count;
    struct tgt_config *config; /* reference */
    struct scsi_reactor scsi;
    struct tx_pool tx_pool;
    struct list_node conns, sessions;
    struct list_node to_send; /* conns with output and no loan */
    struct list_node to_read; /* conns that may be read again (back-pressure ended) */
    struct list_node events;
    struct list_node free_tasks;
    uint64_t tasks_allocated;
    struct list_node free_kept; /* struct kept */
    uint64_t kept_allocated;
    uint64_t transitions[TGT_TRANSITION_COUNT]; /* how often each of RFC 7143 chapter 8 was taken */
    uint16_t next_tsih;
    struct tgt_counters counters;
    bool stopping;

    /* private to the engine */
    struct tgt_task **tasks; /* owned: every task object by its index, for target transfer tags */
    uint32_t task_count, task_cap;
    struct tgt_task **hash; /* owned: tasks of all sessions by session and initiator task tag */
    uint32_t hash_mask;     /* buckets - 1 */
    uint64_t next_session_id;
    uint64_t deadline_ns;     /* no connection has an earlier one */
    struct list_node to_run;  /* sessions that something has happened to, or that wait for something */
    bool troubled;            /* some connection is doomed or stalled */
    struct list_node starved; /* tasks that wait for memory before their next R2T */
    struct list_node keepers; /* sessions that hold Data-In until it is acknowledged */
    struct list_node dead;    /* sessions whose end has to be told */
};
int tgt_reactor_init(struct tgt_reactor *r, const struct env *env, struct pool *pool, uint32_t index,
                     uint32_t count, struct tgt_config *config);
/* All connections must be gone. */
void tgt_reactor_fini(struct tgt_reactor *r);
/* New snapshot (takes its own reference). Sessions of targets that are gone are dropped, ACLs and users count
 * for new logins, LUN maps change under running sessions. tgt_reactor_config_adopted says when nothing uses
 * the old one. */
void tgt_reactor_set_config(struct tgt_reactor *r, struct tgt_config *config);
bool tgt_reactor_config_adopted(const struct tgt_reactor *r);

/* ---- connections ---- */
struct tgt_conn_info {
    struct io_addr local, peer; /* local: the address the initiator reached */
    uint16_t group;             /* of the portal */
    void *host;
};
int tgt_conn_new(struct tgt_reactor *r, const struct tgt_conn_info *info, struct tgt_conn **out);
void *tgt_conn_host(const struct tgt_conn *conn);

#define TGT_CHUNK_LEN 65536u /* bytes: the usual receive */
enum tgt_room { TGT_ROOM_ANY, TGT_ROOM_PLACES, TGT_ROOM_NOT_NOW };
/* Where the next bytes go; *count places when TGT_ROOM_PLACES (at most FRAMER_PLACES_MAX). After NOT_NOW the
 * conn appears in tgt_next_to_read when it wants input again. One receive may be outstanding. */
enum tgt_room tgt_conn_room(struct tgt_conn *conn, struct io_vec *places, uint32_t *count);
/* Bytes: how large the chunk of the next receive should be; at least TGT_CHUNK_LEN, more while the connection
 * brings more at once than that and there is memory to be generous with. */
uint32_t tgt_recv_chunk_len(const struct tgt_conn *conn);
void tgt_conn_received(struct tgt_conn *conn, uint32_t len); /* into the places */
void tgt_conn_received_chunk(struct tgt_conn *conn, struct chunk *chunk,
                             uint32_t len); /* takes over the reference */
/* The transport broke or ended (err: 0 for an orderly end of stream). No further input; the engine cleans up
 * and then says TGT_EVENT_CLOSE. Loans of output end with tgt_conn_sent(conn, 0) from the host's completed
 * send. */
void tgt_conn_lost(struct tgt_conn *conn, int err);
/* Lends output; 0: nothing. One loan at a time, until tgt_conn_sent. */
uint32_t tgt_conn_gather(struct tgt_conn *conn, struct io_vec *places, uint32_t max);
void tgt_conn_sent(struct tgt_conn *conn, uint64_t len);
struct tgt_conn *tgt_next_to_send(struct tgt_reactor *r);
struct tgt_conn *tgt_next_to_read(struct tgt_reactor *r);

/* ---- events ---- */
enum tgt_event_kind {
    /* The first login request is complete: the host looks up the nexus's home reactor (initiator name, ISID,
     * target, portal group) and either answers tgt_conn_placed here, or tgt_conn_detach and, on the other
     * reactor, tgt_conn_adopt. Until then the connection wants no input and has no output. */
    TGT_EVENT_PLACE,
    /* Close the socket: output has been flushed or there is none worth sending. Then call tgt_conn_closed,
       which frees it. */
    TGT_EVENT_CLOSE,
    TGT_EVENT_SESSION_UP,   /* full feature phase reached; session is valid during the event */
    TGT_EVENT_SESSION_DOWN, /* session gone: the host releases the nexus's place */
    /* TARGET COLD RESET: the target's sessions on this reactor are on their way out; the host calls
     * tgt_target_drop with key.target on every other reactor. */
    TGT_EVENT_COLD_RESET,
};
struct tgt_nexus_key {
    char initiator[TGT_NAME_MAX];
    char target[TGT_NAME_MAX]; /* "" for discovery sessions: place anywhere */
    uint8_t isid[6];
    uint16_t group;
    uint16_t tsih; /* as requested: 0 for a new session */
};
struct tgt_event {
    enum tgt_event_kind kind;
    struct tgt_conn *conn;    /* PLACE, CLOSE */
    struct tgt_nexus_key key; /* PLACE, SESSION_UP, SESSION_DOWN */
    const char *reason;       /* CLOSE: for the log; borrowed until the next call; may be NULL */
};
bool tgt_next_event(struct tgt_reactor *r, struct tgt_event *out);
void tgt_conn_placed(struct tgt_conn *conn);
/* Takes the connection out of this reactor (bytes read ahead are kept inside, on the heap). NULL pool
 * references remain. */
void tgt_conn_detach(struct tgt_conn *conn);
/* Gives it to another reactor; continues the login there. On ERR_NOMEM the connection is closed with an
 * event. */
void tgt_conn_adopt(struct tgt_reactor *r, struct tgt_conn *conn);
void tgt_conn_closed(struct tgt_conn *conn);

/* ---- time, work ---- */
uint64_t tgt_deadline(const struct tgt_reactor *r); /* UINT64_MAX: none */
void tgt_tick(struct tgt_reactor *r);
/* Lets everything that became possible happen (SCSI events to PDUs, waiting R2Ts, windows). Cheap when
 * nothing did. */
void tgt_run(struct tgt_reactor *r);

struct store_req *tgt_next_request(struct tgt_reactor *r);
void tgt_store_done(struct tgt_reactor *r, struct store_req *req);
struct scsi_msg *tgt_next_message(struct tgt_reactor *r);
void tgt_message(struct tgt_reactor *r, struct scsi_msg *msg);

/* Stop: no new logins; every session is told by an asynchronous logout request where it can be, commands in
 * flight end, then connections close. TGT_EVENT_CLOSE follows for each. `now` drops them at once. Returns how
 * many sessions there are. */
uint32_t tgt_stop(struct tgt_reactor *r, bool now);

/* ---- looking in (on the reactor's own thread) ---- */
struct tgt_session_info {
    uint64_t id; /* unique in the service: reactor index in the top bits */
    char initiator[TGT_NAME_MAX], alias[256], target[TGT_NAME_MAX];
    uint8_t isid[6];
    uint16_t tsih, group;
    bool discovery;
    struct io_addr peer, local;
    uint32_t connections;
    bool header_digest, data_digest, initial_r2t, immediate_data;
    uint32_t error_recovery_level, max_recv, peer_max_recv, max_burst, first_burst, max_outstanding_r2t;
    char auth[16]; /* "None", "CHAP", "CHAP mutual" */
    uint32_t max_connections, protocol_level;
    const char *task_reporting; /* static */
    uint64_t commands, read_bytes, write_bytes;
    uint32_t outstanding;
    uint64_t age_ns;
};
/* The session after `id` (0: the first) in ascending id; false when there is none. */
bool tgt_session_next(const struct tgt_reactor *r, uint64_t id, struct tgt_session_info *out);
bool tgt_session_drop(struct tgt_reactor *r, uint64_t id);
/* A vendor-specific asynchronous message (AsyncEvent 255) with AsyncVCode `code` and at most TGT_NOTE_MAX
 * bytes, which are copied. False: no such session, or nobody there to hear it. */
#define TGT_NOTE_MAX 256u
bool tgt_session_notify(struct tgt_reactor *r, uint64_t id, uint8_t code, const void *data, uint32_t len);
/* Ends every session of the target on this reactor. `reason` is static. */
void tgt_target_drop(struct tgt_reactor *r, const char *target, const char *reason);

#endif
