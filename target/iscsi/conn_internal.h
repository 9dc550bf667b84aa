/* The engine's own objects: connection, session, task, and the doors between its files. Nothing outside
 * target/iscsi includes this. A session owns its tasks and its command numbering; a connection owns its byte
 * streams, its status numbering and its negotiation. A task belongs to one connection at a time (its
 * allegiance), and at recovery level 2 may outlive it. */
#ifndef LUNETTE_TARGET_ISCSI_CONN_INTERNAL_H
#define LUNETTE_TARGET_ISCSI_CONN_INTERNAL_H

#include "common/base/min.h"
#include "common/iscsi/chap.h"
#include "common/iscsi/framer.h"
#include "common/iscsi/keys.h"
#include "common/iscsi/pdu.h"
#include "common/iscsi/serial.h"
#include "common/iscsi/text.h"
#include "target/iscsi/states.h"
#include "target/iscsi/target.h"

/* ---- limits that are not configuration ---- */
#define TGT_STREAM_LEN          FRAMER_STREAM_LEN  /* bytes: a receive after one that brought TGT_CHUNK_LEN */
#define TGT_OUTPUT_MAX          (4u * 1024 * 1024) /* bytes queued on a connection; beyond, its input waits */
#define TGT_DATA_MAX            (32u * 1024 * 1024) /* bytes of data of started commands of a session */
#define TGT_IMMEDIATE_MAX       16u   /* immediate commands in progress on a session (R7143-4.2.2.1-06) */
#define TGT_RETIRED_FEW         2u    /* of a session that has no memory for more */
#define TGT_RETIRED_MAX         64u   /* ended tasks whose late data is still expected */
#define TGT_R2T_MAX             4u    /* outstanding R2Ts per task; two bits of a target transfer tag */
#define TGT_WINDOW_MAX          1024u /* commands */
#define TGT_LOGIN_EXCHANGES_MAX 256u  /* login requests of one login: one key each, and long texts */
#define TGT_CLOSE_FLUSH_NS      5000000000u        /* how long a last response may take to leave */
#define TGT_TMF_DATA_NS         10000000000u       /* how long an abort waits for data that was asked for */
#define TGT_CONNECTIONS_MAX     64u                /* of one session, whatever the configuration says */
#define TGT_KEPT_MAX            (8u * 1024 * 1024) /* bytes of Data-In of a session kept for retransmission */
#define TGT_KEPT_STATUS_MAX     2048u /* unacknowledged responses of a connection: then it has failed */
#define TGT_KEPT_STATUS_ASK     256u  /* of these, when they are asked after */
#define TGT_KEEPERS_ASKED       16u   /* sessions that are asked to acknowledge, each time memory is short */
#define TGT_RECOVERIES_MAX      8u    /* recovery R2Ts of one command */
#define TGT_DATA_OUT_NS         10000000000u /* how long data that was asked for may take, level 1 and above */
#define TGT_LOGIN_TEXT_FIRST    1024u        /* bytes of memory for a login's text to begin with */
#define TGT_LOGIN_ANSWER_OWN    4096u        /* bytes of an answer that owe nothing to the text it answers */
#define TGT_LOGIN_ANSWER_GROWTH 6u           /* bytes of an answer for each byte of the text it answers */
#define TGT_LOGIN_SEGMENT_LEN   8192u        /* bytes: R7143-6.3-04, during login the default applies */
#define TGT_ASYNC_NEGOTIATE_S   10u          /* seconds given in an asynchronous negotiation request */
#define TGT_FENCE_NS            10000000000u /* how long a response fence waits for acknowledgements */
#define TGT_TEXT_EXCHANGES_MAX  1024u /* requests of one text negotiation, but for fetches of its answer */

/* ---- login statuses, class << 8 | detail (RFC 7143 11.13.5) ---- */
enum login_status {
    LOGIN_SUCCESS = 0x0000,
    LOGIN_INITIATOR_ERROR = 0x0200,
    LOGIN_AUTH_FAILURE = 0x0201,
    LOGIN_FORBIDDEN = 0x0202,
    LOGIN_NOT_FOUND = 0x0203,
    LOGIN_REMOVED = 0x0204,
    LOGIN_VERSION = 0x0205,
    LOGIN_TOO_MANY = 0x0206,
    LOGIN_MISSING = 0x0207,
    LOGIN_NOT_INCLUDED = 0x0208,
    LOGIN_SESSION_TYPE = 0x0209,
    LOGIN_NO_SESSION = 0x020a,
    LOGIN_INVALID_REQUEST = 0x020b,
    LOGIN_TARGET_ERROR = 0x0300,
    LOGIN_UNAVAILABLE = 0x0301,
    LOGIN_NO_RESOURCES = 0x0302
};

/* Reject reasons (11.17.1). 0x0b is deprecated and never sent: R7143-11.17.1-02. */
enum reject_reason {
    REJECT_NONE = 0x00,
    REJECT_DATA_DIGEST = 0x02,
    REJECT_SNACK = 0x03,
    REJECT_PROTOCOL = 0x04,
    REJECT_UNSUPPORTED = 0x05,
    REJECT_IMMEDIATE = 0x06,
    REJECT_IN_PROGRESS = 0x07,
    REJECT_FIELD = 0x09,
    REJECT_RESOURCES = 0x0a,
    REJECT_LOGOUT = 0x0c
};

/* The reactor is to look at its clocks at this time, if not earlier. */
static inline void reactor_wake(struct tgt_reactor *r, uint64_t when_ns)
{
    if (when_ns < r->deadline_ns)
        r->deadline_ns = when_ns;
}
/* What one text may be long: R7143-6.1-15 */
static inline uint32_t text_cap(const struct tgt_config *config)
{
    return max_u32(config->limits.text_len_max, TEXT_SEGMENT_LEN_MIN);
}
/* Commands that a session may have outstanding. */
static inline uint32_t window_of(const struct tgt_config *config)
{
    return min_u32(max_u32(config->limits.command_window, 1), TGT_WINDOW_MAX);
}

/* One event waiting to be pulled. */
struct tgt_event_slot {
    struct list_node node;
    enum tgt_event_kind kind;
    struct tgt_conn *conn;
    const struct tgt_nexus_key *key; /* borrowed until pulled; may be NULL */
    const char *reason;
    struct tgt_session *ended; /* SESSION_DOWN: freed when pulled */
};
/* Fills the slot and puts it on the reactor's list. */
void event_push(struct tgt_reactor *r, struct tgt_event_slot *slot, enum tgt_event_kind kind,
                struct tgt_conn *conn, const struct tgt_nexus_key *key, const char *reason);

/* ---- recovery ---- */

/* A PDU that may have to be sent again (recovery level 1 and above). */
struct kept {
    struct list_node node; /* conn->kept by StatSN, or task->kept by DataSN; or reactor->free_kept */
    uint32_t sn;
    uint32_t offset;       /* Data-In: bytes within the command's data */
    bool final;            /* Data-In: ends a sequence */
    struct tgt_task *task; /* status: the task that ended with it, which points here; or NULL */
    struct slice data;     /* a reference of its own */
    uint8_t bhs[PDU_BHS_LEN];
};

/* A connection that failed or was removed for recovery: the number its tasks remember (level 2). */
struct tgt_lost {
    struct list_node node; /* session->lost */
    struct tgt_session *session;
    uint16_t cid;
    bool logged_out; /* recovery logout done: tasks may be reassigned */
    enum cleanup_state state;
    uint32_t tasks;       /* that remember it */
    uint64_t deadline_ns; /* Time2Wait and Time2Retain are over */
};

/* ---- text negotiation in the full feature phase: one at a time per connection ---- */
struct text_exchange {
    bool open; /* the next request has to carry ttt */
    uint32_t requests;
    uint32_t itt, ttt;
    uint64_t lun;
    struct text_assembler in;
    char *in_buf;  /* owned */
    char *out_buf; /* owned: the answer, while segments of it are to be sent */
    struct text_splitter out;
    bool answering;              /* out has segments left */
    struct key_negotiation *neg; /* owned */
};

/* ---- login ---- */
enum conn_state {
    CONN_LOGIN,    /* until the full feature phase */
    CONN_PLACING,  /* first login request complete; waits for the host's placement */
    CONN_WAIT_OLD, /* authenticated; an old session or connection has to end first */
    CONN_FULL,     /* full feature phase */
    CONN_LOGOUT,   /* logout requested; tasks leave the store */
    CONN_CLOSING,  /* last output, then the end */
    CONN_DEAD,     /* the host is told to close; only memory remains */
    CONN_STATE_COUNT
};

struct tgt_login {
    bool started;    /* fields of the first request are set */
    bool identified; /* names are known, negotiation runs */
    struct pdu_login_request first, now;
    bool refused_auth; /* AuthMethod=Reject has been sent: the next request is the last */
    uint32_t exchanges;
    uint8_t stage;                   /* CSG in force */
    struct tgt_config *config;       /* reference */
    const struct tgt_target *target; /* of config; NULL in unnamed discovery */
    struct tgt_nexus_key key;
    bool discovery, has_initiator, has_target;
    struct key_negotiation neg;
    struct chap_target chap;
    bool chap_on, chap_running, need_auth, authenticated;
    struct text_assembler in;
    size_t text_max;        /* bytes of a text at most, either way */
    char *in_buf, *out_buf; /* owned; NULL until a text comes, and as long as it needs */
    struct text_writer writer;
    struct text_splitter out;
    bool answering;          /* out has segments left */
    struct tgt_session *old; /* borrowed while WAIT_OLD: ends, or loses a connection */
    bool join;               /* connection reinstatement into `old` */
    bool continues, cleans;  /* it moves the session, or a lost connection of it, out of its state */
    bool leading;            /* it has brought a session to life, which is ACTIVE until it ends */
};

struct tgt_conn {
    struct list_node node;         /* reactor->conns */
    struct list_node session_node; /* session->conns */
    struct list_node send_node, read_node;
    struct tgt_reactor *r; /* NULL while detached */
    const struct env *env;
    struct tgt_conn_info info;
    enum conn_state state;
    enum conn_rfc_state rfc;     /* chapter 8's view of it */
    struct tgt_session *session; /* borrowed: outlives its connections */
    struct framer framer;
    struct tx tx;
    bool tx_lent, rx_lent; /* the host holds places of ours */
    bool reading;          /* the host was not told NOT_NOW since it last read */
    bool stalled;          /* the framer waits for memory */
    bool doomed;           /* output was lost for want of memory: tgt_run drops it */
    uint16_t cid;
    uint32_t stat_sn, exp_stat_sn;
    struct list_node kept; /* struct kept: responses not acknowledged yet */
    uint32_t kept_count;
    bool clean;               /* it ends without anything to recover */
    struct tgt_login *login;  /* owned, until the full feature phase */
    struct key_params params; /* in force since then */
    struct text_exchange text;
    struct slice placed; /* holds the memory that the framer fills, whatever becomes of its task */
    uint8_t *carry;      /* owned: unread bytes on the way to another reactor */
    uint32_t carry_len;
    struct pdu_logout_request logout;
    uint64_t created_ns;
    uint64_t deadline_ns;        /* login, flush: when patience ends */
    uint64_t heard_ns;           /* last input */
    uint64_t ping_ns;            /* when the outstanding ping was sent */
    uint32_t ping_ttt, text_ttt; /* the last ones used */
    bool ping_open, ping_answered;
    bool place_told;
    uint32_t fence_sn; /* response fence: waits until exp_stat_sn has reached this */
    bool fence_waits;
    bool end_known;     /* the initiator asked for its end: no need to tell it */
    bool streams;       /* the last receive brought TGT_CHUNK_LEN or more */
    bool renegotiate;   /* the target's own MaxRecvDataSegmentLength is to be told anew */
    const char *reason; /* static: why it ends */
    struct tgt_event_slot place_event, close_event, reset_event;
};

/* ---- response fence (fence.c) ---- */
/* A response on its way through the fence: part of the task or the task management request that it ends. */
struct fenced {
    struct list_node node; /* session->fence.queue; zeroed until it is first queued */
    struct tgt_task *task; /* exactly one of these two is set while it is queued or current */
    struct tgt_tmf *tmf;
    bool wants;  /* is itself to be fenced */
    bool passed; /* has been through: goes out now */
};
enum fence_state {
    FENCE_DOWN,
    FENCE_BEFORE, /* `current` waits until all earlier responses are acknowledged */
    FENCE_AFTER   /* it has gone out on `conn`, and is to be acknowledged before later ones go */
};
struct fence {
    enum fence_state state;
    bool all_luns; /* of a function that speaks of the whole target */
    uint64_t lun;
    struct fenced *current; /* BEFORE */
    struct tgt_conn *conn;  /* AFTER; borrowed */
    struct list_node queue; /* responses that wait, in order */
    uint64_t deadline_ns;   /* patience with those who do not acknowledge */
};

/* ---- tasks ---- */
enum task_phase {
    TASK_FREE,
    TASK_WAITING,  /* not started: the session's data budget is used up */
    TASK_RUNNING,  /* the device server has it */
    TASK_STOPPING, /* we asked the device server to give it up */
    TASK_FINISHED, /* the device server is done; data from the initiator is still due */
    TASK_DRAINING  /* response queued or none due; output still refers to it */
};

/* Data-out bytes being collected. Consecutive slots cover the data without gaps; only the last is not block
 * aligned. */
struct out_slot {
    struct scsi_span *span;    /* NULL: free */
    uint64_t offset;           /* bytes within the command's data */
    uint32_t len, asked, have; /* bytes: size; present or asked for by R2T; present */
};

struct out_r2t {
    bool open;
    uint32_t ttt;
    uint32_t r2t_sn;
    uint64_t offset;
    uint32_t len, have; /* bytes */
    uint32_t data_sn;   /* next */
    uint32_t slot;
};

struct tgt_task {
    struct scsi_task scsi;      /* first: the device server's view of us */
    struct list_node node;      /* session->tasks, or reactor->free_tasks */
    struct list_node wait_node; /* session->waiting or reactor->starved */
    struct tgt_task *hash_next; /* reactor->hash */
    struct tgt_session *session;
    struct tgt_conn *conn; /* allegiance; NULL once the connection is gone */
    struct tgt_lost *lost; /* which one it was, while the task waits for reassignment (level 2) */
    uint32_t index;        /* in reactor->tasks */
    uint32_t generation;   /* counts R2Ts over the object's life, so that tags do not repeat soon */
    enum task_phase phase;
    uint32_t itt, cmd_sn;
    uint64_t edtl_in, edtl_out; /* bytes announced */
    uint32_t edtl;              /* the header's field */
    bool read, write, immediate, counted;

    /* data out */
    struct slice immediate_data; /* waits for SCSI_READY_OUT */
    bool unsolicited;            /* Data-Out without R2T is due until F = 1 */
    uint32_t unsolicited_len;    /* bytes that the whole first burst must have */
    uint32_t unsolicited_have;   /* bytes so far, immediate data included */
    uint32_t unsolicited_sn;     /* next DataSN */
    struct slice first;          /* its own chunk for the first burst */
    bool out_wanted;             /* SCSI_READY_OUT was seen */
    bool out_begun;              /* and the first burst was handed over */
    bool out_over;               /* all that can come has been handed over */
    bool out_stop;               /* no more R2Ts: an abort waits for those that are out */
    uint64_t want, asked;        /* bytes to bring; bytes present or asked for */
    uint64_t slotted;            /* bytes that lie in spans, handed over or not */
    struct out_slot slots[SCSI_SPANS_PER_TASK];
    uint32_t slots_used, filling; /* count; the slot that R2Ts are cut from */
    struct out_r2t r2ts[TGT_R2T_MAX];
    uint32_t r2t_open;
    bool repeated;       /* the command came again: so does its unsolicited data, to be dropped */
    uint32_t recoveries; /* recovery R2Ts so far */
    uint64_t out_due_ns; /* the data that was asked for; 0: none */

    /* data in */
    struct scsi_span *spans[SCSI_LOANS_PER_TASK]; /* taken and not given back, by offset */
    uint32_t span_count;
    struct scsi_span *held;     /* the newest: its last piece is kept back, for it may carry the status */
    uint32_t held_at, held_len; /* bytes within the span */
    uint64_t sent_in;           /* bytes of data-in queued */
    uint32_t data_sn;  /* next DataSN and R2TSN: R7143-4.2.2.4-05, a bidirectional command has one counter */
    uint32_t in_count; /* Data-In PDUs */
    uint32_t burst_left;

    /* kept for retransmission */
    struct list_node kept; /* struct kept: Data-In not acknowledged */
    struct kept *answer;   /* its status, until that is acknowledged: the task exists as long */
    uint32_t acked_sn;     /* data acknowledgement reference number */
    uint32_t kept_len;     /* bytes of this task in session->kept_bytes: kept, */
    uint32_t kept_reserve; /* and promised to the burst that has begun */
    uint32_t ack_ttt;      /* of Data-In with the A bit */
    bool ack_asked;
    uint32_t snack_tag; /* of the last R-Data SNACK */

    /* ending */
    bool failed;  /* the transport's own verdict stands: own_status, asc, ascq */
    bool silent;  /* no response is due */
    bool aborted; /* the device server gave it up */
    uint8_t own_status, asc, ascq;
    struct fenced fenced;
    bool termination_told; /* by an asynchronous message: it ends without waiting for data */
    uint64_t cost;         /* bytes counted in session->data_started */
    uint32_t unsent;       /* response PDUs that borrow `response` */
    uint8_t response[2 + SCSI_SENSE_MAX];
    struct kept short_end; /* while it is in `kept` */
};

/* A task that ended while the initiator may still send data for it: that data is dropped without a word. */
struct retired {
    uint32_t itt, ttt; /* ttt PDU_TAG_RESERVED: unsolicited */
    bool used;
    const struct tgt_conn *told; /* FastAbort: an asynchronous message went out here, and its acknowledgement
                                  * ends the tag; compared only */
    uint64_t lun;
};

/* A command that arrived ahead of its turn. */
struct held_pdu {
    struct list_node node; /* session->held, ascending cmd_sn */
    uint32_t cmd_sn;
    bool plug; /* an aborted command that will never come */
    struct tgt_conn *conn;
    uint8_t bhs[PDU_BHS_LEN];
    uint32_t ahs_len;
    struct slice data;
    /* Unsolicited data that comes before its command's turn. */
    bool first_due, first_lost;
    uint32_t first_have, first_sn; /* bytes, immediate data included; next DataSN */
    struct slice first;
    uint8_t ahs[]; /* ahs_len bytes */
};

/* One task management request in progress. The device server frees it when the session is gone before the
 * answer. */
struct tgt_tmf {
    struct scsi_tmf scsi;          /* first */
    struct list_node session_node; /* session->tmfs */
    struct tgt_session *session;
    struct tgt_conn *conn;
    uint32_t itt, cmd_sn;
    bool started;
    uint64_t deadline_ns; /* waits for commands and data until then */
    /* the answer: set when the device server is done, which then knows nothing of it any more */
    bool over;
    uint8_t response;
    uint32_t additional; /* Additional Response Information */
    struct fenced fenced;
};

struct tgt_session {
    struct list_node node;     /* reactor->sessions, ascending id; or reactor->dead */
    struct list_node run_node; /* reactor->to_run */
    struct tgt_reactor *r;
    uint64_t id;
    struct tgt_config *config;       /* reference */
    const struct tgt_target *target; /* of config; NULL in unnamed discovery */
    struct tgt_nexus_key key;
    struct io_addr local; /* unnamed discovery: unique per portal */
    struct scsi_nexus nexus;
    bool discovery, nexus_open, closing, stopping, logging_out;
    bool closing_now; /* session_close is at work: nothing is freed under it */
    bool gentle;      /* it closes, but what is queued goes out first */
    bool luns_told;   /* of this configuration, by an asynchronous message */
    const char *reason;
    struct key_params params;
    char auth[16];
    char *alias;                      /* the initiator's; owned, NULL: none */
    char *ports;                      /* owned: the names in nexus */
    char user[CHAP_NAME_LEN_MAX + 1]; /* who authenticated the first connection; "": nobody */
    struct list_node conns;
    uint32_t conn_count;
    enum session_rfc_state rfc;
    struct list_node lost;                        /* struct tgt_lost */
    uint64_t kept_bytes;                          /* Data-In kept or promised */
    struct list_node keep_node;                   /* reactor->keepers while there are any */
    bool keep_waits;                              /* some task's Data-In waits for acknowledgements */
    bool reset_gap : 1;                           /* a reset took SCSI commands before they came, */
    bool reset_untold : 1;                        /* and its response may have been lost with */
    uint16_t reset_cid;                           /* the connection that brought it: */
    uint32_t reset_sn;                            /* those below it */
    uint32_t exp_cmd_sn, max_cmd_sn;              /* as advertised */
    uint32_t window;                              /* commands */
    uint32_t active, immediate_active, tmf_count; /* commands in progress */
    struct list_node held;
    struct list_node tasks, waiting, tmfs;
    uint64_t data_started;   /* bytes of data of started commands */
    struct retired *retired; /* retired_count of them: `few`, or owned and made with the first write */
    struct retired few[TGT_RETIRED_FEW];
    uint32_t retired_count;
    uint32_t retired_next;
    uint64_t commands, read_bytes, write_bytes, created_ns;
    struct tgt_event_slot up_event, down_event;
    struct fence fence;
    uint64_t stop_ns;   /* stopping: when patience with the logout ends */
    uint64_t remind_ns; /* stopping: when who is still there is asked again; UINT64_MAX: was asked */
};

/* ---- conn.c ---- */
void conn_set_state(struct tgt_conn *conn, enum conn_state state);
/* Reads on from what has arrived. */
void conn_process(struct tgt_conn *conn);
/* Lets queued output go and the connection close. `reason` is static. */
void conn_close_after_flush(struct tgt_conn *conn, const char *reason);
/* Ends it now: the session learns of it, the host is told. */
void conn_drop(struct tgt_conn *conn, const char *reason);
void conn_kick(struct tgt_conn *conn);   /* there may be something to send */
void conn_doom(struct tgt_conn *conn);   /* for want of memory: the next tgt_run drops it */
void conn_resume(struct tgt_conn *conn); /* wants input again */
void conn_set_deadline(struct tgt_conn *conn, uint64_t when_ns);
bool conn_live(const struct tgt_conn *conn); /* responses still reach the peer */
/* Queues a PDU whose header is complete. Without memory for it the connection is doomed: false now, dropped
 * by the next tgt_run, because callers are in the middle of walking the session's tasks. */
bool conn_send(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data, uint32_t *done_count);
/* Queues what was written where tx_open said. */
void conn_send_open(struct tgt_conn *conn, struct slice *data);
/* The same for a PDU that uses up a StatSN (its header carries it already): at recovery level 1 and above a
 * copy is kept until ExpStatSN passes it, borrowed data included. Every sender of such PDUs after login comes
 * through here. */
bool conn_send_status(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data, uint32_t *done_count);
/* A slice with a copy of the bytes; the connection is doomed when memory is out. */
bool conn_copy(struct tgt_conn *conn, const void *bytes, uint32_t len, struct slice *out);
void conn_sweep(struct tgt_conn *conn); /* releases data whose output is finished */
void conn_maybe_closed(struct tgt_conn *conn);
const char *conn_label(const struct tgt_conn *conn);
void conn_text_free(struct tgt_conn *conn);

/* ---- keep.c: what is kept for retransmission ---- */
static inline uint32_t session_level(const struct tgt_session *s)
{
    return !s || s->discovery ? 0 : s->params.error_recovery_level; /* R7143-7.4.1-02 */
}
/* Do tasks outlive their connection? Not when they would be kept for no time. */
static inline bool session_retains(const struct tgt_session *s)
{
    return session_level(s) == 2 && s->params.default_time2retain > 0; /* R7143-13.16-02 */
}
void keep_fini(struct tgt_reactor *r);
/* Keeps a copy of a response that is about to go out; borrowed data is copied into *data, too. False: no
 * memory. */
bool keep_status(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data);
/* That response is in the queue: are there so many that they are to be asked after? */
void keep_ask(struct tgt_conn *conn);
void keep_answer(struct tgt_task *task); /* the connection's newest response ended this task */
/* ExpStatSN has come in: R7143-4.2.2.2-03. */
void keep_acknowledge(struct tgt_conn *conn, uint32_t exp_stat_sn);
void keep_conn_end(
    struct tgt_conn *conn); /* forgets its responses; answers of tasks that wait stay with them */
/* May the task begin another burst? False: it waits for acknowledgements, which are asked for. */
bool keep_room(struct tgt_task *task);
bool keep_data(struct tgt_task *task, const uint8_t *bhs, const struct slice *data, uint32_t sn,
               uint32_t offset, bool final);
/* The empty Data-In that ends a sequence for want of memory: it needs none to be kept. Once for each task. */
void keep_short_end(struct tgt_task *task, const uint8_t *bhs, uint32_t sn, uint32_t offset);
void keep_burst_over(struct tgt_task *task);
void keep_data_acknowledged(struct tgt_task *task, uint32_t next_sn);
void keep_drop(struct tgt_task *task); /* nothing of it will be asked for again; it may be gone afterwards */
void keep_run(struct tgt_session *s);  /* goes on where there was no room */
/* Memory is short: asks some of those who have not acknowledged what is kept for them, others the next time.
 */
void keep_hurry(struct tgt_reactor *r);
/* A task whose status has been sent and is not acknowledged. */
struct tgt_task *keep_find(const struct tgt_session *s, uint32_t itt);
void keep_resend_status(struct tgt_conn *conn, struct kept *kept);
void keep_resend_data(struct tgt_task *task, struct kept *kept);
/* Cuts the kept Data-In to what the connection takes and numbers it from `first_sn` on. False: no memory, all
 * as before. */
bool keep_recut(struct tgt_task *task, uint32_t first_sn);
/* The answer again on the task's connection: with a StatSN of its own after a reassignment. */
void keep_answer_again(struct tgt_task *task, bool new_stat_sn);

/* ---- snack.c, reassign.c, lost.c ---- */
void snack_request(struct tgt_conn *conn, const uint8_t *bhs);
/* TASK REASSIGN: answers, and lets the task go on. */
void reassign_request(struct tgt_conn *conn, const struct pdu_task_management_request *req);
/* The connection is gone: its tasks wait (level 2). False: no memory for that. */
bool lost_begin(struct tgt_session *s, struct tgt_conn *conn);
struct tgt_lost *lost_find(const struct tgt_session *s, uint16_t cid);
void lost_logged_out(struct tgt_lost *lost, uint32_t time2wait_s, uint32_t time2retain_s);
void lost_hurry(struct tgt_lost *lost); /* its deadline counts again */
void lost_end(struct tgt_lost *lost);   /* its tasks end silently */
void lost_end_all(struct tgt_session *s);
void lost_task_gone(struct tgt_task *task); /* the task no longer waits for it */
void lost_conn_added(struct tgt_session *s);
void lost_tick(struct tgt_session *s, uint64_t now_ns);
uint64_t lost_deadline(const struct tgt_session *s);
/* Does the task wait for a reassignment? Nothing is sent for it meanwhile. */
static inline bool lost_waits(const struct tgt_task *task)
{
    return task->lost != NULL;
}

/* ---- login.c, login_nexus.c, place.c ---- */
void login_pdu(struct tgt_conn *conn, struct framer_pdu *pdu);
void login_fail(struct tgt_conn *conn, uint16_t status, const char *key, const char *why);
void login_free(struct tgt_conn *conn);
void login_continue(struct tgt_conn *conn); /* after placement */
void login_old_ended(struct tgt_conn *conn);
void login_gave_up(struct tgt_conn *conn); /* it will not be completed */
void login_answer(struct tgt_conn *conn);
void login_send(struct tgt_conn *conn, uint16_t status, bool transit, bool more, struct slice *data);
void login_config_changed(struct tgt_conn *conn);
/* Who and whom: fills login->key from the raw text, without judging it. */
void login_peek(struct tgt_login *login);
/* Judges names, access and session identity. False: the login has been failed. */
bool login_identify(struct tgt_conn *conn);
/* Session rules at the end: true when the login may be completed now. */
bool login_settle(struct tgt_conn *conn);
int login_enter(struct tgt_conn *conn); /* creates or joins the session */
void place_ask(struct tgt_conn *conn);

/* ---- session.c ---- */
int session_new(struct tgt_conn *conn, struct tgt_session **out);
struct tgt_session *session_find(struct tgt_reactor *r, const struct tgt_nexus_key *key, bool discovery,
                                 const struct io_addr *local);
void session_add_conn(struct tgt_session *s, struct tgt_conn *conn);
void session_remove_conn(struct tgt_session *s, struct tgt_conn *conn);
struct tgt_conn *session_conn(struct tgt_session *s, uint16_t cid);
/* Ends the session and all its connections. */
void session_close(struct tgt_session *s, const char *reason);
/* Frees what can be freed; called whenever a task or connection of it ended. */
void session_check_end(struct tgt_session *s);
/* Something has happened that session_run may have to act upon: the next tgt_run calls it. Idle sessions cost
 * nothing. */
static inline void session_touch(struct tgt_session *s)
{
    if (!list_linked(&s->run_node) && s->config) /* without one it is over */
        list_push_back(&s->r->to_run, &s->run_node);
}
void session_run(struct tgt_session *s);
bool session_waits(const struct tgt_session *s); /* to be run in every turn */
void session_tick(struct tgt_session *s, uint64_t now_ns);
uint64_t session_deadline(const struct tgt_session *s); /* UINT64_MAX: none */
void session_config_changed(struct tgt_session *s, struct tgt_config *config);
void session_numbers(struct tgt_session *s, uint32_t *exp_cmd_sn, uint32_t *max_cmd_sn);

/* ---- sequence.c: command numbering ---- */
enum sequence_verdict { SEQUENCE_NOW, SEQUENCE_HELD, SEQUENCE_DROP };
/* Where a non-immediate command stands. HELD: the PDU was kept (its data moved) and comes back through
 * command_execute. */
enum sequence_verdict sequence_take(struct tgt_conn *conn, uint32_t cmd_sn, struct framer_pdu *pdu);
void sequence_advance(struct tgt_session *s); /* delivers what has become due */
/* The command of this connection that waits for its turn and for unsolicited data; or NULL. */
struct held_pdu *sequence_held(struct tgt_session *s, const struct tgt_conn *conn, uint32_t itt);
/* Treats a missing command as received. ERR_RANGE: it is not missing; ERR_NOMEM: it still is. */
int sequence_plug(struct tgt_session *s, uint32_t cmd_sn);
void sequence_drop_all(struct tgt_session *s, const struct tgt_conn *conn); /* conn NULL: all */

/* ---- command.c ---- */
void command_pdu(struct tgt_conn *conn, struct framer_pdu *pdu); /* any request but Data-Out */
/* It is not carried out: data that follows it is dropped without a word. */
void command_dropped(struct tgt_session *s, const uint8_t *bhs);
/* `held`: where it waited for its turn, or NULL. */
void command_execute(struct tgt_conn *conn, const uint8_t *bhs, const uint8_t *ahs, uint32_t ahs_len,
                     struct slice *data, struct held_pdu *held);

/* ---- instant.c ---- */
/* True: a SCSI command that has been carried out and answered at once. False: nothing has happened. */
bool instant_command(struct tgt_conn *conn, const struct framer_pdu *pdu);

/* ---- iscsi_task.c ---- */
struct tgt_task *iscsi_task_new(struct tgt_session *s, struct tgt_conn *conn,
                                uint32_t itt);                               /* NULL: no memory */
struct tgt_task *iscsi_task_find(const struct tgt_session *s, uint32_t itt); /* one that is not over */
/* Starts it, or queues it behind the session's data budget. */
void iscsi_task_submit(struct tgt_task *task);
void iscsi_task_start_waiting(struct tgt_session *s);
void iscsi_task_events(struct tgt_reactor *r);
/* The transport's own verdict: the command will end CHECK CONDITION, ABORTED COMMAND, with this code. */
void iscsi_task_fail(struct tgt_task *task, uint8_t asc, uint8_t ascq);
void iscsi_task_status(struct tgt_task *task, uint8_t status); /* the same with a bare status */
/* Ends what can end now: call when data has ceased to be due. The task may be gone afterwards. */
void iscsi_task_progress(struct tgt_task *task);
void iscsi_task_abort(struct tgt_task *task); /* without an answer */
/* The same because its connection ended or was given up, while the session goes on. */
void iscsi_task_terminate(struct tgt_task *task);
void iscsi_task_uncount(struct tgt_task *task);
void iscsi_task_check_free(struct tgt_task *task);
void iscsi_task_orphan(struct tgt_task *task); /* its connection is gone */
bool retired_match(struct tgt_session *s, uint32_t itt, uint32_t ttt, bool final);
/* Room to remember tags of tasks that end early: before the first data-out is asked for. Without memory there
 * is little of it. */
void retired_ready(struct tgt_session *s);
void retired_add(struct tgt_session *s, uint32_t itt, uint32_t ttt);
/* The task termination of this LUN is acknowledged: no more data comes on the connection for what it ended.
 */
void retired_release(const struct tgt_conn *conn, uint64_t lun);

/* ---- response.c ---- */
struct residual {
    bool overflow, underflow;
    uint32_t count; /* bytes */
};
struct residual residual_of(uint64_t moved, uint64_t expected);
struct residual residual_of_task(const struct tgt_task *task);
void response_send(struct tgt_task *task);
void response_busy(struct tgt_conn *conn, uint32_t itt, uint32_t edtl); /* for want of a task object */

/* ---- data_out.c, data_in.c ---- */
void data_out_header(struct tgt_conn *conn, struct framer_pdu *pdu);
void data_out_pdu(struct tgt_conn *conn, struct framer_pdu *pdu);
/* data_burst.c: what the device server wants, and asking for it */
void data_out_ready(struct tgt_task *task);
void data_out_arrived(struct tgt_task *task,
                      struct out_r2t *r2t); /* an R2T is answered: maybe a span is full */
void data_out_release(
    struct tgt_task *task); /* drops what was collected; later data is dropped by its tags */
bool data_out_settled(const struct tgt_task *task); /* no Data-Out is due */
/* Asks again for what an R2T did not bring (R7143-11.8-08); when that was often enough, the task fails. */
void data_out_recover(struct tgt_task *task, struct out_r2t *r2t);
void data_out_suspend(struct tgt_task *task); /* its connection is gone: R2Ts are void */
void data_out_resume(struct tgt_task *task);  /* and are made anew */
void data_out_watch(struct tgt_task *task);   /* patience with what was asked for begins anew */
void data_out_tick(struct tgt_task *task, uint64_t now_ns);
void r2t_send(struct tgt_task *task, const struct out_r2t *r2t);
void data_in_ready(struct tgt_task *task);
/* Sends what is held back, with the status on it when with_status; false: nothing was held back. */
bool data_in_finish(struct tgt_task *task, bool with_status);
/* Sends all but the last piece of a command that is over. False: acknowledgements have to come first. */
bool data_in_drain(struct tgt_task *task);
void data_in_release(struct tgt_task *task); /* nothing more will be sent */
void data_in_sweep(struct tgt_task *task);   /* gives back spans whose bytes are on the wire */

/* ---- the others ---- */
void text_request(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data);
/* Answers SendTargets behind the first `used` bytes of *buf, a heap buffer of *cap bytes that is replaced by
 * a larger one when needed. ERR_NOMEM; ERR_INVALID: this value may not be asked for here. */
int discovery_answer(struct tgt_conn *conn, const char *what, char **buf, size_t *cap, size_t *used);
void task_mgmt_request(struct tgt_conn *conn, const uint8_t *bhs);
void task_mgmt_run(struct tgt_session *s);
bool task_mgmt_holds(const struct tgt_task *task);     /* it may not start yet */
bool task_mgmt_overtaken(const struct tgt_task *task); /* aborted, although it came after the function */
/* Has a reset ended the SCSI command that comes only now? */
bool task_mgmt_took(struct tgt_session *s, uint32_t cmd_sn);
void task_mgmt_done(struct tgt_reactor *r);
void task_mgmt_orphan(struct tgt_session *s, const struct tgt_conn *conn); /* conn NULL: all */
void logout_request(struct tgt_conn *conn, const uint8_t *bhs);
void logout_run(struct tgt_session *s); /* answers when the tasks have left the store */
void nop_out(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data);
void nop_tick(struct tgt_conn *conn, uint64_t now_ns);
uint64_t nop_deadline(const struct tgt_conn *conn);
void nop_announce(struct tgt_conn *conn); /* carries the window when nothing else does */
void reject_send(struct tgt_conn *conn, const uint8_t *bhs, const uint8_t *ahs, uint32_t ahs_len,
                 enum reject_reason reason, const char *why);
/* Protocol Error for a Data/R2T SNACK: with the number that the task would send next. */
void reject_data_snack(struct tgt_conn *conn, const uint8_t *bhs, const char *why, uint32_t next_sn);
void stop_session(struct tgt_session *s);
void stop_run(struct tgt_session *s);
uint64_t stop_deadline(const struct tgt_session *s); /* UINT64_MAX: none */
/* Ends the session as session_close does, but lets what is queued on its connections go out first. */
void stop_gently(struct tgt_session *s, const char *reason);

/* ---- async.c: Asynchronous Messages (RFC 7143 11.9). Nothing is sent in discovery sessions or before the
 * full feature phase. ---- */
enum async_event {
    ASYNC_SCSI = 0,
    ASYNC_LOGOUT = 1,
    ASYNC_CONN_DROP = 2,
    ASYNC_SESSION_DROP = 3,
    ASYNC_NEGOTIATE = 4,
    ASYNC_TASK_TERMINATION = 5,
    ASYNC_VENDOR = 255
};
void async_logout(struct tgt_conn *conn, uint32_t seconds);
/* `gone` is being dropped: told on another connection of its session, if there is one. */
void async_conn_drop(struct tgt_session *s, const struct tgt_conn *gone);
void async_session_drop(struct tgt_session *s); /* on every connection */
void async_scsi_run(struct tgt_reactor *r); /* what the device server has to tell, each on one connection */
/* On each connection but `except` that has a task of the session for which `covered` holds and which nobody
 * was told of: one message for each LU (FastAbort sessions only). */
void async_task_termination(struct tgt_session *s, const struct tgt_conn *except,
                            bool (*covered)(const struct tgt_task *task, const void *arg), const void *arg);
/* A task was taken by somebody else's task management: tells of it and of all that went with it. */
void async_task_aborted(struct tgt_task *task);
/* The session adopts another snapshot: what changed for it is told. `old` is NULL when it is gone. */
void async_config_changed(struct tgt_session *s, const struct tgt_target *old, const struct tgt_target *now);

/* ---- fence.c: response fence (RFC 7143 4.2.2.3) ---- */
/* May the task's response go out now? False: it is kept, and iscsi_task_progress is called again in time. */
bool fence_task(struct tgt_task *task);
/* The same for the answer of a task management request; task_mgmt_answer is called again. */
bool fence_tmf(struct tgt_tmf *tmf, bool wants);
void fence_forget(struct tgt_session *s, struct fenced *item); /* it will not be sent */
void fence_conn_gone(struct tgt_session *s, const struct tgt_conn *conn);
void fence_run(struct tgt_session *s); /* acknowledgements have come, or time has passed */
uint64_t fence_deadline(const struct tgt_session *s);
void task_mgmt_answer(struct tgt_tmf *tmf); /* sends it, and frees tmf */
/* Asks for an acknowledgement of all that was sent. */
void nop_solicit(struct tgt_conn *conn);

/* ---- redirect.c ---- */
/* Is this login to be sent elsewhere? Then it has been answered. `secured`: authentication is over. */
bool redirect_login(struct tgt_conn *conn, bool secured);

#endif
