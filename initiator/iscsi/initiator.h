/* The iSCSI initiator engine: RFC 7143's initiator side as a state machine without I/O. One `struct
 * ini_session` is one attempt at one session on one connection (discovery or normal): bytes and time go in;
 * bytes and events come out. What to do when it ends (reconnect, re-issue, give up) is the library's decision
 * (initiator/lib).
 *
 * Host: connect a socket -> ini_session_new -> loop { ini_room / ini_received[_chunk] / ini_lost; ini_gather
 * / ini_sent; ini_next_event; ini_deadline / ini_tick }. */
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
    uint32_t mutual_secret_len;                                 /* > 0: the target must authenticate itself */
    struct chap_algs chap_algs;                                 /* count 0: all that we know */
    struct key_config keys;                                     /* offers and limits */
    uint64_t login_timeout_ns, nop_interval_ns, nop_timeout_ns; /* nop_interval 0: never ping */
};

/* One SCSI command. Owned by the caller until INI_EVENT_COMMAND_DONE (or ini_session_free). Exactly one DONE
 * per submitted command. Data buffers are borrowed until then; data-in is placed straight into them. */
enum ini_command_outcome {
    INI_DONE_STATUS,  /* the target answered: status, sense, residuals are valid */
    INI_DONE_ABORTED, /* a task management function of ours took it */
    INI_DONE_LOST     /* the session ended first: whether it was executed is unknown */
};
struct ini_command {
    struct list_node node;
    /* in */
    uint64_t lun; /* wire format */
    uint8_t cdb[INI_CDB_MAX];
    uint16_t cdb_len; /* bytes; above 16 goes in an AHS */
    uint8_t attr;     /* 1 simple, 2 ordered, 3 head of queue */
    bool immediate;
    struct io_vec *in_vec; /* data-in places, borrowed */
    uint32_t in_count;
    uint64_t in_len; /* bytes, total of in_vec */
    const struct io_vec *out_vec;
    uint32_t out_count;
    uint64_t out_len;
    void *owner;
    /* out */
    enum ini_command_outcome outcome;
    uint8_t status;   /* SCSI status */
    uint8_t response; /* iSCSI response code, 0 = completed at target */
    uint8_t sense[INI_SENSE_MAX];
    uint32_t sense_len;
    uint32_t residual;
    bool underflow, overflow;
    uint64_t in_done; /* bytes of data-in received */
    /* the engine's own */
    uint32_t itt, cmd_sn, exp_data_sn, r2t_sn;
    uint32_t unsent; /* PDUs with this command's data still in the send queue */
    uint64_t out_sent;
    bool sent, status_seen;
    uint64_t submitted_ns;
    uint64_t work[8];
};

struct ini_session;

enum ini_event_kind {
    INI_EVENT_LOGGED_IN,
    INI_EVENT_LOGIN_FAILED, /* status_class/detail (0,0: refused by us or transport), reason says why, in
                               words */
    INI_EVENT_REDIRECTED,   /* reason is the TargetAddress "host:port[,tag]"; permanent = detail 2 */
    INI_EVENT_COMMAND_DONE, /* command */
    INI_EVENT_TEXT_DONE,    /* text, text_len: the whole joined answer, valid until the next call */
    INI_EVENT_TMF_DONE,     /* tag, response */
    INI_EVENT_PING_DONE,    /* tag, round trip in value_ns */
    INI_EVENT_ASYNC,        /* async_event, vcode, parameters; sense data in text */
    INI_EVENT_LOGGED_OUT,   /* response */
    INI_EVENT_CLOSED /* the connection is finished: close the socket; all commands have been reported */
};
struct ini_event {
    enum ini_event_kind kind;
    struct ini_command *command;
    uint8_t status_class, status_detail;
    uint8_t chap_alg;   /* LOGIN_FAILED: the CHAP algorithm that the target had chosen, 0: none */
    const char *reason; /* borrowed until the next ini_next_event */
    const uint8_t *text;
    uint32_t text_len;
    uint32_t tag;
    uint8_t response, async_event, vcode;
    uint16_t parameter[3];
    uint64_t value_ns;
};

/* Sends the first login request at once (ini_gather has it). The options are copied; secrets are wiped on
 * free. */
int ini_session_new(const struct env *env, struct pool *pool, struct tx_pool *tx_pool,
                    const struct ini_options *options, struct ini_session **out);
/* Commands not yet done are reported first by ini_lost; freeing with some in flight asserts. */
void ini_session_free(struct ini_session *session);

enum ini_room { INI_ROOM_ANY, INI_ROOM_PLACES, INI_ROOM_NOT_NOW };
enum ini_room ini_room(struct ini_session *s, struct io_vec *places, uint32_t *count);
void ini_received(struct ini_session *s, uint32_t len);
void ini_received_chunk(struct ini_session *s, struct chunk *chunk, uint32_t len);
/* Transport ended (err 0: end of stream), no receive is outstanding: every command in flight comes back
 * INI_DONE_LOST, then INI_EVENT_CLOSED. While a gather is lent or a receive outstanding, those events wait:
 * buffers may still be in use. */
void ini_lost(struct ini_session *s, int err);
uint32_t ini_gather(struct ini_session *s, struct io_vec *places, uint32_t max);
void ini_sent(struct ini_session *s, uint64_t len);
bool ini_next_event(struct ini_session *s, struct ini_event *out);
uint64_t ini_deadline(const struct ini_session *s);
void ini_tick(struct ini_session *s);

/* Full feature phase. */
/* Queues a command; it goes out when the window allows. ERR_CLOSED when the session is not up. */
int ini_submit(struct ini_session *s, struct ini_command *command);
/* Text request (key=value\0 ...), answered by TEXT_DONE; one at a time: ERR_BUSY. */
int ini_text(struct ini_session *s, const char *text, uint32_t len);
int ini_send_targets(struct ini_session *s, const char *value); /* "All", a name, or "" */
/* Task management; function numbers of RFC 7143 11.5.1. `command` for ABORT TASK. The tag comes back in
 * TMF_DONE; when the target has confirmed, affected commands are reported INI_DONE_ABORTED before it. */
int ini_task_management(struct ini_session *s, uint8_t function, uint64_t lun, struct ini_command *command,
                        uint32_t *tag);
int ini_ping(struct ini_session *s, const void *data, uint32_t len, uint32_t *tag);
int ini_logout(struct ini_session *s); /* after commands in flight have ended; LOGGED_OUT then CLOSED */

const struct key_params *ini_params(const struct ini_session *s); /* valid once logged in */
bool ini_is_up(const struct ini_session *s);
/* The session is over: shut the socket down, end receive and send (ini_lost, ini_sent), pull events until
 * CLOSED. */
bool ini_wants_close(const struct ini_session *s);
uint32_t ini_outstanding(const struct ini_session *s); /* commands submitted, not done */

#endif
