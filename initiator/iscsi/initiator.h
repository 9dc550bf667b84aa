/* The iSCSI initiator engine: RFC 7143's initiator side as a state machine without I/O. One `struct
 * ini_session` is one session (discovery or normal) with one or many connections (`struct ini_conn`): bytes
 * and time go in; bytes and events come out. Recovery within the session (SNACK, command retry, recovery R2Ts
 * at level 1; connection recovery and task reassignment at level 2) is the engine's work; what to do when the
 * session ends (reconnect, re-issue, give up) is the library's (initiator/lib).
 *
 * Host: ini_session_new -> connect a socket -> ini_conn_new -> per connection { ini_room /
 * ini_received[_chunk] / ini_lost; ini_gather / ini_sent; ini_wants_close } and per session { ini_next_event;
 * ini_deadline / ini_tick }. After any call the host pulls events until none is left, then gathers from every
 * connection that ini_next_to_send names. More connections: ini_conn_new again once the session is up. */
#ifndef LUNETTE_INITIATOR_ISCSI_INITIATOR_H
#define LUNETTE_INITIATOR_ISCSI_INITIATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/env.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/iscsi/chap.h"
#include "common/iscsi/framer.h"
#include "common/iscsi/keys.h"
#include "common/iscsi/tx.h"

#define INI_NAME_MAX   224u
#define INI_SECRET_MAX 256u
#define INI_SENSE_MAX  252u
#define INI_CDB_MAX    260u

struct ini_options {
    char initiator_name[INI_NAME_MAX];
    char target_name[INI_NAME_MAX]; /* "" = discovery session */
    uint8_t isid[6];
    char chap_name[INI_NAME_MAX]; /* "" = no CHAP offered */
    uint8_t chap_secret[INI_SECRET_MAX];
    uint32_t chap_secret_len;
    char mutual_name[INI_NAME_MAX]; /* the name the target must give; "" with a mutual secret = any name */
    uint8_t mutual_secret[INI_SECRET_MAX];
    uint32_t mutual_secret_len; /* > 0: the target must authenticate itself */
    struct chap_algs chap_algs; /* count 0: all that we know */
    bool allow_no_sense;        /* CHECK CONDITION without sense data ends the command, not the session */
    bool allow_weak_secret;     /* chap_secret may be shorter than 96 bits: IPsec protects the connection */
    bool has_portal_group_tag;  /* the login must come to this portal group */
    uint16_t portal_group_tag;
    struct key_config keys;                                     /* offers and limits */
    uint64_t login_timeout_ns, nop_interval_ns, nop_timeout_ns; /* nop_interval 0: never ping */
    /* Level 1 and 2: how long a status, data or an ExpCmdSN step may be missing before it is asked for
     * (SNACK) or the command is sent again. 0: 1 s. */
    uint64_t recovery_timeout_ns;
    uint32_t first_cmd_sn; /* CmdSN of the login; 0: 1 */
};

/* One SCSI command. Owned by the caller until INI_EVENT_COMMAND_DONE (or ini_session_free). Exactly one DONE
 * per submitted command. Data buffers are borrowed until then; data-in is placed straight into them. */
enum ini_command_outcome {
    INI_DONE_STATUS,  /* the target answered: status, sense, residuals are valid */
    INI_DONE_ABORTED, /* a task management function of ours took it */
    /* The session ended first, or (level 2) its connection did and the target could not go on with it:
     * whether it was executed is unknown. */
    INI_DONE_LOST
};
struct ini_command {
    struct list_node node;
    /* in */
    uint64_t lun; /* wire format */
    uint8_t cdb[INI_CDB_MAX];
    uint16_t cdb_len; /* bytes; above 16 goes in an AHS */
    uint8_t attr;     /* 1 simple, 2 ordered, 3 head of queue */
    bool immediate;
    uint8_t priority; /* RFC 7144: 0 .. 15, sent at iSCSIProtocolLevel 2 and above */
    /* Both lengths given: a bidirectional command (R and W; the read length goes in an AHS). */
    struct io_vec *in_vec; /* data-in places, borrowed */
    uint32_t in_count;
    uint64_t in_len; /* bytes, total of in_vec */
    const struct io_vec *out_vec;
    uint32_t out_count;
    uint64_t out_len;
    void *owner;
    /* out */
    enum ini_command_outcome outcome;
    bool never_sent;  /* LOST before it ever went out: the target knows nothing of it */
    uint8_t status;   /* SCSI status */
    uint8_t response; /* iSCSI response code, 0 = completed at target */
    uint8_t sense[INI_SENSE_MAX];
    uint32_t sense_len;
    uint32_t residual; /* of the header's direction: write for bidirectional commands */
    bool underflow, overflow;
    uint32_t in_residual; /* bidirectional: of the read direction */
    bool in_underflow, in_overflow;
    uint16_t status_qualifier; /* RFC 7144 */
    uint64_t in_done;          /* bytes of data-in received */
    /* the engine's own */
    struct ini_conn *conn; /* allegiance; NULL before it is sent and while it waits to be reassigned */
    uint32_t itt, cmd_sn;
    uint32_t exp_data_sn;    /* next DataSN or R2TSN: one numbering for both (R7143 4.2.2.4) */
    uint64_t data_ahead;     /* bit i: Data-In exp_data_sn + 1 + i has come before its turn */
    uint64_t ahead_len;      /* bytes that came so */
    uint32_t ahead_lens[64]; /* of each of them, by DataSN modulo 64 */
    uint32_t unsent;         /* PDUs with this command's data still in the send queue */
    uint64_t out_sent;
    bool sent;
    bool ended, recovered; /* recovered: data came twice or in new pieces, offsets are no longer in step */
    bool no_data_out;      /* FastAbort: a function of ours ends it, the target takes no more */
    bool ack_due;          /* DataACK when all below ack_sn is here */
    bool snack_refused;    /* the target cannot send the data again: what status comes is discarded */
    bool placed;           /* the framer of a connection fills its buffer right now */
    bool resync;           /* reassigned: numbers may start again */
    uint8_t tries;         /* SNACKs in vain */
    uint8_t reassigns;     /* reassignments in vain */
    bool doubtful;         /* the target rejected the reassignment: see ini_reassign_pdu */
    uint64_t continue_ns;  /* reassigned, and nothing of it has come since: not later than then; or 0 */
    uint32_t need_data_sn, snack_end, ack_sn, ack_ttt, acked_sn, snack_tag, max_recv_epoch;
    uint32_t recovery_r2ts;
    uint64_t ack_lun, acked_len, snack_ns, order, submitted_ns;
};

/* What a Task Management Response is to SCSI (SAM's service responses): RFC 7143 11.6.1, RFC 7144 6.4.2. */
enum ini_service_response {
    INI_SERVICE_FUNCTION_COMPLETE,
    INI_SERVICE_FUNCTION_SUCCEEDED,
    INI_SERVICE_INCORRECT_LUN,
    INI_SERVICE_FUNCTION_REJECTED
};
enum ini_service_response ini_service_response(uint8_t response);
#define INI_REPLY_LOST 0xffu /* response of a text, ping or task management whose answer will not come */

struct ini_session;
struct ini_conn;

enum ini_event_kind {
    INI_EVENT_LOGGED_IN, /* conn is in the full feature phase; with the first one the session is up */
    /* Of a later connection this leaves the session as it is. */
    INI_EVENT_LOGIN_FAILED, /* status_class/detail (0,0: refused by us or transport), reason says why, in
                               words */
    INI_EVENT_REDIRECTED,   /* reason is the TargetAddress "host:port[,tag]"; permanent = detail 2 */
    INI_EVENT_COMMAND_DONE, /* command */
    INI_EVENT_TEXT_DONE,  /* text, text_len: the whole joined answer, valid until the next call. response not
                             0: there  is none (the Reject's reason, or 0xff: its connection is gone) */
    INI_EVENT_TMF_DONE,   /* tag, response (0xff also when the answer was lost with its connection) */
    INI_EVENT_PING_DONE,  /* tag, round trip in value_ns; response as for TEXT_DONE */
    INI_EVENT_ASYNC,      /* async_event, vcode, parameters, lun; sense data in text */
    INI_EVENT_LOGGED_OUT, /* response */
    /* A connection has failed and the session lives on (level 2, or it was logged out alone): the host may
     * bring a new one (ini_conn_new) not before value_ns on the engine's clock; the engine gives the session
     * up by itself when none has come in Time2Retain and commands wait for it. */
    INI_EVENT_CONN_WANTED,
    INI_EVENT_CONN_CLOSED, /* conn is finished: close the socket, then ini_conn_free(conn) */
    INI_EVENT_CLOSED       /* the session is finished; all commands and connections have been reported */
};
struct ini_event {
    enum ini_event_kind kind;
    struct ini_conn *conn; /* LOGGED_IN, LOGIN_FAILED, REDIRECTED, ASYNC, LOGGED_OUT, CONN_CLOSED */
    struct ini_command *command;
    uint8_t status_class, status_detail;
    uint8_t chap_alg;   /* LOGIN_FAILED: the CHAP algorithm that the target had chosen, 0: none */
    const char *reason; /* borrowed until the next ini_next_event */
    const uint8_t *text;
    uint32_t text_len;
    uint32_t tag;
    enum ini_service_response service; /* TMF_DONE */
    uint8_t response, async_event, vcode;
    uint16_t parameter[3];
    uint64_t lun; /* ASYNC: in wire format */
    uint64_t value_ns;
};

/* No connection yet. The options are copied; secrets are wiped on free. */
int ini_session_new(const struct env *env, struct pool *pool, struct tx_pool *tx_pool,
                    const struct ini_options *options, struct ini_session **out);
/* After INI_EVENT_CLOSED, or when no connection was ever made. Freeing with commands in flight asserts. */
void ini_session_free(struct ini_session *session);

/* A connected socket becomes a connection of the session: its first login request is ready to gather. The
 * first one leads; later ones need a session that is up (ERR_CLOSED) and has room for them: the negotiated
 * MaxConnections (ERR_RANGE), where a failed connection's place counts as free (its CID is reinstated at
 * level 2, not before Time2Wait is over: ERR_AGAIN when that is the only way). `host` comes back from
 * ini_conn_host. ERR_NOMEM. */
int ini_conn_new(struct ini_session *s, void *host, struct ini_conn **out);
void *ini_conn_host(const struct ini_conn *conn);
/* After INI_EVENT_CONN_CLOSED was pulled for it. */
void ini_conn_free(struct ini_conn *conn);

enum ini_room { INI_ROOM_ANY, INI_ROOM_PLACES, INI_ROOM_NOT_NOW };
enum ini_room ini_room(struct ini_conn *conn, struct io_vec *places, uint32_t *count);
void ini_received(struct ini_conn *conn, uint32_t len);
void ini_received_chunk(struct ini_conn *conn, struct chunk *chunk, uint32_t len);
/* Transport ended (err 0: end of stream), no receive is outstanding. What becomes of the connection's
 * commands depends on the recovery level: below 2 the session ends (every command comes back INI_DONE_LOST,
 * then CLOSED); at 2 they wait for another connection. While a gather is lent or a receive outstanding,
 * events wait: buffers may be in use. */
void ini_lost(struct ini_conn *conn, int err);
uint32_t ini_gather(struct ini_conn *conn, struct io_vec *places, uint32_t max);
void ini_sent(struct ini_conn *conn, uint64_t len);
/* Connections that have something to gather and no loan out; each is named once per need. NULL: none. */
struct ini_conn *ini_next_to_send(struct ini_session *s);
/* The connection is over: shut the socket down, end receive and send (ini_lost, ini_sent), pull events until
 * CONN_CLOSED. */
bool ini_wants_close(const struct ini_conn *conn);
/* The host tried to connect (for a CONN_WANTED or a further connection) and could not. When the session waits
 * for a connection, it asks again: CONN_WANTED a second from now. */
void ini_connect_failed(struct ini_session *s);
bool ini_next_event(struct ini_session *s, struct ini_event *out);
uint64_t ini_deadline(const struct ini_session *s);
void ini_tick(struct ini_session *s);

/* Full feature phase. */
/* Queues a command; it goes out when the window allows, on the connection with the least in flight.
 * ERR_CLOSED when the session is not up; ERR_INVALID. */
int ini_submit(struct ini_session *s, struct ini_command *command);
/* Text request (key=value\0 ...), answered by TEXT_DONE; one at a time: ERR_BUSY. Longer texts than one PDU
 * holds go in several (C bit). ERR_TOOBIG beyond the limit. */
int ini_text(struct ini_session *s, const char *text, uint32_t len);
int ini_send_targets(struct ini_session *s, const char *value); /* "All", a name, or "" */
/* Declares a new MaxRecvDataSegmentLength on every connection (RFC 7143 13.12, full feature phase). */
int ini_set_max_recv(struct ini_session *s, uint32_t len);
/* Task management; function numbers of RFC 7143 11.5.1 and RFC 7144 (9 QUERY TASK, 10 QUERY TASK SET, 11 I_T
 * NEXUS RESET, 12 QUERY ASYNCHRONOUS EVENT). `command` for ABORT TASK and QUERY TASK. The tag comes back in
 * TMF_DONE; when the target has confirmed, affected commands are reported INI_DONE_ABORTED before it. A
 * function for a command whose connection has failed (level 2) goes out when the command has a new
 * allegiance; when it ends before that, TMF_DONE says INI_REPLY_LOST. ERR_AGAIN: no connection takes it now.
 */
int ini_task_management(struct ini_session *s, uint8_t function, uint64_t lun, struct ini_command *command,
                        uint32_t *tag);
int ini_ping(struct ini_session *s, const void *data, uint32_t len, uint32_t *tag);
int ini_conn_ping(struct ini_conn *conn, const void *data, uint32_t len,
                  uint32_t *tag); /* on that connection */
int ini_logout(
    struct ini_session *s); /* closes the session after commands in flight have ended; LOGGED_OUT, CLOSED */
/* Closes one connection of several; its commands end first. The session closes with its last one. */
int ini_conn_logout(struct ini_conn *conn);
/* The host gives the session up at once, whatever its level and even when it has no connection: nothing is
 * recovered any more, every connection wants to be closed, commands come back INI_DONE_LOST, then CLOSED. */
void ini_abandon(struct ini_session *s, const char *reason);

const struct key_params *ini_params(const struct ini_session *s); /* of the leading login; valid once up */
const struct key_params *ini_conn_params(const struct ini_conn *conn);
uint16_t ini_cid(const struct ini_conn *conn);
bool ini_is_up(const struct ini_session *s);
uint32_t ini_outstanding(const struct ini_session *s); /* commands submitted, not done */
uint32_t ini_connections(const struct ini_session *s); /* in the full feature phase */

struct ini_counters {   /* recovery that was done, for statistics and tests */
    uint64_t snacks[4]; /* by type: Data/R2T, Status, DataACK, R-Data */
    uint64_t retries, reassigns, recovered_connections, digest_errors, recovery_r2ts;
};
const struct ini_counters *ini_counters(const struct ini_session *s);

#endif
