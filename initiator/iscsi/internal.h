/* The initiator engine's inside: one session, its connections, its tasks. Private to initiator/iscsi. */
#ifndef LUNETTE_INITIATOR_ISCSI_INTERNAL_H
#define LUNETTE_INITIATOR_ISCSI_INTERNAL_H

#include "common/base/min.h"
#include "common/iscsi/chap.h"
#include "common/iscsi/serial.h"
#include "common/iscsi/text.h"
#include "initiator/iscsi/initiator.h"
#include "initiator/iscsi/states.h"

#define INI_SECOND          1000000000ull
#define INI_SLOTS           1024u  /* tasks of all kinds at once: what is over waits in the queue */
#define INI_EVENTS          256u   /* events other than COMMAND_DONE that may wait to be pulled */
#define INI_CONNECTIONS_MAX 64u    /* of one session, however many the target allows */
#define INI_TEXT_OUT_MAX    16384u /* bytes of one text of ours */
#define INI_LOGIN_ROUNDS    64u    /* login requests before we give up (6.2 allows giving up after six) */
#define INI_TEXT_MAX        (1024u * 1024u) /* bytes of one joined text answer: many targets, then no more */
#define INI_TEXT_ROUNDS     8192u           /* requests for the rest of one text */
#define INI_CONTINUE_NS     15000000000u    /* for a reassigned command to go on */
#define INI_DOUBT_NS        2000000000u     /* the same, when its reassignment was rejected */
#define INI_LOGOUT_WAIT_NS  5000000000u     /* for the answer to a logout: then the connection just ends */
#define INI_REPLIES_MAX     256u /* unsent answers to pings before we take the target for a flooder */
#define INI_STAT_SN_GAP_MAX                                                                                  \
    1024u                      /* level 0: statuses that may seem to be missing: some targets count oddly */
#define INI_HELD_MAX       64u /* levels 1, 2: responses of one connection that wait for a missing one */
#define INI_DATA_AHEAD_MAX 64u /* Data-In PDUs of one command that are taken before their turn */
#define INI_TRIES_MAX      8u /* SNACKs, retries and reassignments in vain before the connection is given up */
#define INI_RECOVERY_R2TS  256u      /* of one command: more is a target that goes in circles */
#define INI_RETRY_FLUSH    0x100000u /* commands after a retry: then a NOP-Out makes its end sure */
#define INI_PROBE_TIMES    4u   /* recovery time-outs of silence while commands are under way: then we ask */
#define INI_ASYNC_MAX      256u /* bytes of an asynchronous message's data that are kept */
#define INI_REASON_MAX     256u
#define INI_REASSIGNS_MAX  8u  /* of one command, answered "still allegiant" */
#define INI_ABORTED_KEPT   64u /* tags of aborted tasks whose late answers are dropped */

enum ini_slot_kind {
    INI_SLOT_FREE,
    INI_SLOT_COMMAND,
    INI_SLOT_TEXT,
    INI_SLOT_TMF,
    INI_SLOT_REASSIGN, /* TASK REASSIGN of the engine's own */
    INI_SLOT_PING,
    INI_SLOT_LOGOUT
};

struct ini_slot { /* one initiator task tag */
    enum ini_slot_kind kind;
    uint16_t generation; /* high half of the tag: a late answer to an earlier task is noticed */
    uint16_t next_free;
    struct ini_command *command; /* COMMAND, a waiting TMF */
    struct ini_conn *conn;       /* where the request went; of a COMMAND see command->conn */
    struct ini_cleanup *cleanup; /* LOGOUT for recovery: whose */
    uint64_t started_ns;
    uint64_t order;   /* TMF: commands sent before it have a lower one */
    uint8_t function; /* TMF */
    uint8_t reason;   /* LOGOUT */
    bool asks_ack;    /* PING: has the target got command ack_sn, sent before on the same connection? */
    uint32_t ack_sn;
    bool quiet;              /* PING of the engine's own: no event */
    uint32_t referenced_itt; /* TMF: what ABORT TASK is for */
    uint64_t lun;            /* TMF */
    bool waiting;            /* TMF: until `command` has an allegiance */
    bool fills; /* ABORT TASK: the rejected command's place in the sequence, fill_sn, depends on it */
    uint32_t fill_sn;
    uint16_t cid; /* REASSIGN: the failed connection, and its last ExpStatSN */
    uint32_t exp_stat_sn;
};

struct ini_queued_event {
    struct ini_event event;
    uint8_t data[INI_ASYNC_MAX];
};

/* A response that came before its turn: a copy. */
struct ini_held {
    struct list_node node;
    uint32_t stat_sn;
    uint8_t bhs[PDU_BHS_LEN];
    struct slice data; /* owned */
};

/* What is left of a failed connection until its tasks are settled (level 2): RFC 7143 8.2's CSM-C. */
struct ini_cleanup {
    enum ini_cleanup_state state; /* R3 when the place is free */
    bool used;
    bool discarded;  /* the target has dropped its tasks */
    bool logged_out; /* R3 reached: its commands may be reassigned from reassign_ns on */
    uint16_t cid;
    uint32_t exp_stat_sn;        /* the failed connection's last */
    struct ini_conn *conn;       /* the failed one, while its buffers may be in use; else NULL */
    struct ini_conn *by;         /* which connection performs the logout (R2) */
    uint64_t wait_ns, retain_ns; /* no attempt before, no use after */
    uint64_t reassign_ns, logout_by_ns;
    uint32_t tries;
    struct list_node commands;
};

struct ini_text_task { /* the text negotiation of one connection */
    bool open;
    bool own; /* the engine's, not the host's: no event */
    uint32_t itt, ttt, rounds;
    uint64_t lun;
};

struct ini_conn {
    struct list_node node; /* in session->conns until CONN_CLOSED was told */
    struct ini_session *s;
    const struct env *env;
    void *host;
    uint16_t cid;
    enum ini_conn_state state; /* changed by ini_conn_move only */
    bool over;                 /* we are done with the transport: the host shall close it */
    bool released;             /* over, and nothing of ours is lent any more */
    struct framer framer;
    struct tx tx;
    uint32_t exp_stat_sn;
    struct list_node inflight; /* commands allegiant to it */
    uint32_t inflight_count;
    uint64_t named; /* ini_next_to_send named it when the queue had this many bytes */

    /* login and text */
    bool leading;
    struct ini_cleanup *cleanup;    /* what it leaves when it fails (level 2), until it is released */
    struct ini_cleanup *reinstates; /* whose CID it takes over, during login */
    struct key_negotiation keys;
    struct chap_initiator chap;
    bool chap_started;
    uint8_t chap_alg;  /* that the target chose, 0: none yet */
    uint8_t csg;       /* stage of the request in flight */
    bool want_transit; /* what the last piece of our text asks for */
    uint32_t login_rounds;
    char *out_text; /* INI_TEXT_OUT_MAX */
    struct text_splitter out;
    char *in_text; /* grows up to INI_TEXT_MAX */
    size_t in_cap, in_len;
    struct ini_text_task text;
    uint32_t text_unsent;     /* requests that still borrow out_text */
    uint32_t framer_declared; /* bytes: the MaxRecvDataSegmentLength that the target knows */
    bool declare;             /* a new MaxRecvDataSegmentLength is to be declared */
    uint32_t max_recv_epoch;  /* how often it has changed */

    /* leaving */
    bool logout_wanted; /* when its commands have ended */
    uint64_t logout_deadline_ns, logout_by_ns;
    uint16_t time2wait, time2retain; /* from an announcement of the target's */
    bool times_given;

    /* liveness */
    uint32_t replies_unsent; /* answers to the target's pings that wait in the send queue */
    uint64_t login_deadline_ns, last_heard_ns, ping_sent_ns;
    /* A command was sent again here: CmdSN may not run away from retry_sn before a later command of this
     * connection is acknowledged (flush_sn, once flushing). */
    bool retried, flushing;
    uint32_t retry_sn, flush_sn;
    bool asking_ack;    /* a ping is under way that asks about a command */
    uint64_t probed_ns; /* levels 1 and 2: when we last asked whether a status has been lost */

    /* levels 1 and 2 */
    struct list_node held; /* struct ini_held in StatSN order */
    uint32_t held_count;
    uint32_t stat_need, stat_snack_end; /* responses below these exist, have been asked for */
    uint64_t stat_snack_ns;             /* when a missing status was last asked for; 0: none is missing */
    uint32_t stat_tries;

    bool lent;                   /* a gather is out */
    bool receiving;              /* ini_room answered and nothing has come yet */
    struct ini_command *placing; /* whose buffer the framer fills right now, or NULL */
};

struct ini_session {
    const struct env *env;
    struct pool *pool;
    struct tx_pool *tx_pool;
    struct ini_options options;
    enum ini_session_state state; /* changed by ini_session_move only */
    bool over;                    /* finished for us: what was lent must come back, then CLOSED */
    bool closed_told;
    bool discarded;  /* the target has dropped its tasks */
    bool logged_out; /* by a Logout Response */
    struct list_node conns;
    uint16_t next_cid;
    struct ini_cleanup cleanups[INI_CONNECTIONS_MAX];
    uint32_t cleanups_used;

    /* numbering */
    uint32_t cmd_sn, exp_cmd_sn, max_cmd_sn;
    uint32_t retried; /* connections with a retry that is not flushed */
    uint16_t tsih;
    uint64_t order;
    struct key_params params; /* of the leading login: the session's */
    uint32_t level;           /* ErrorRecoveryLevel in force */

    /* tasks */
    struct ini_slot slots[INI_SLOTS];
    uint16_t first_free;
    struct list_node queue;    /* commands that wait for the window or a slot */
    struct list_node finished; /* commands to report: ended, and nothing of theirs lent */
    struct list_node ending;   /* ended, but their buffers are still in use */
    uint32_t outstanding;
    uint32_t tmf_waiting; /* functions for commands without allegiance */
    uint32_t inflight;    /* on connections or waiting to be reassigned */
    bool logout_wanted, logout_sent;
    struct ini_conn *text_conn; /* where the host's text runs, or NULL */
    uint32_t new_max_recv;
    uint32_t snack_tags;
    uint32_t aborted[INI_ABORTED_KEPT];
    uint32_t aborted_count;
    char
        peer_name[CHAP_NAME_LEN_MAX + 1]; /* that the target has proved on the leading connection; "": none */

    /* levels 1 and 2 */
    uint64_t ack_ns;   /* when ExpCmdSN has stood still for too long; UINT64_MAX: all is acknowledged */
    uint32_t acked_sn; /* ExpCmdSN when ack_ns was set */
    uint32_t ack_tries;
    uint64_t scan_ns;  /* when to look for what a SNACK has not brought */
    uint64_t doubt_ns; /* when to look for reassigned commands that did not go on; UINT64_MAX: none */

    struct ini_counters counters;
    struct ini_transitions transitions;
    struct ini_queued_event events[INI_EVENTS];
    uint32_t event_head, event_count;
    char reason[INI_REASON_MAX];
};

/* session.c */
struct ini_event *ini_event_add(struct ini_session *s, enum ini_event_kind kind);
/* The session is over for the given reason (a sentence); the first one counts. */
void ini_fail(struct ini_session *s, const char *reason);
void ini_end(struct ini_session *s);
uint32_t ini_slot_take(struct ini_session *s,
                       enum ini_slot_kind kind); /* tag, or PDU_TAG_RESERVED when none is free */
struct ini_slot *ini_slot_find(struct ini_session *s, uint32_t itt); /* NULL: no such task */
void ini_slot_release(struct ini_session *s, uint32_t itt);
void ini_update_window(struct ini_session *s, uint32_t exp_cmd_sn, uint32_t max_cmd_sn);
/* Everything that may go on now: commands, texts, logouts, recovery. */
void ini_go_on(struct ini_session *s);
uint64_t ini_recovery_timeout(const struct ini_session *s);
/* One more number of the sequence is in use: its acknowledgement is waited for. */
void ini_cmd_sn_used(struct ini_session *s);

/* conn.c */
/* The connection is over for the given reason. In login: LOGIN_FAILED; else connection recovery at level 2
 * and the end of the session below it. */
void ini_conn_fail(struct ini_conn *conn, const char *reason);
void ini_conn_over(struct ini_conn *conn); /* closes the transport; its state is settled by the caller */
bool ini_conn_usable(const struct ini_conn *conn);           /* takes new requests */
bool ini_conn_up(const struct ini_conn *conn);               /* in the full feature phase */
bool ini_conn_may_ask(const struct ini_conn *conn);          /* up, and no Logout Request on its way */
struct ini_conn *ini_conn_pick(const struct ini_session *s); /* usable, least in flight; NULL: none */
void ini_queue_pdu(struct ini_conn *conn, const uint8_t *bhs, struct slice *data, uint32_t *done_count);
bool ini_collect_text(struct ini_conn *conn,
                      const struct framer_pdu *pdu); /* appends to in_text; false: too long */
void ini_dispatch(struct ini_conn *conn, const struct framer_pdu *pdu);
void ini_conn_retry_input(struct ini_conn *conn);
void ini_conn_reap(struct ini_conn *conn); /* after loans ended: settles what waited for that */

/* login.c */
void ini_login_start(struct ini_conn *conn);
void ini_login_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);
void ini_login_failed(struct ini_conn *conn, uint8_t status_class, uint8_t detail, const char *reason);

/* command.c */
void ini_pump(struct ini_session *s); /* sends what the window allows */
/* Sends (again, with the same numbers) on the connection. */
void ini_command_send(struct ini_conn *conn, struct ini_command *c);
/* The same for a command that has gone out before. */
void ini_command_retry(struct ini_conn *conn, struct ini_command *c);
void ini_command_data_out(struct ini_command *c, uint32_t ttt, uint64_t lun, uint64_t offset, uint64_t len);
void ini_command_end(struct ini_session *s, struct ini_command *c, enum ini_command_outcome outcome);
void ini_command_allege(struct ini_command *c, struct ini_conn *conn); /* NULL: to nobody */
void ini_commands_lost(struct ini_session *s);
void ini_commands_settle(struct ini_session *s); /* after loans: which ended commands may be reported */
struct ini_command *ini_command_find(struct ini_conn *conn, uint32_t itt);
void ini_remember(struct ini_session *s, uint32_t itt);
/* Did it end without its status a while ago? Answers may still come. */
bool ini_was_aborted(const struct ini_session *s, uint32_t itt);
struct ini_command *ini_command_by_sn(struct ini_session *s, uint32_t cmd_sn);

/* data.c */
void ini_place_data_in(struct ini_conn *conn, struct framer_pdu *pdu);
void ini_data_in_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);
void ini_response_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);
void ini_r2t_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);
/* The part of a Data-In that is status; it may come later than its data. */
void ini_data_in_status(struct ini_conn *conn, const uint8_t *bhs);

bool ini_data_missing(const struct ini_command *c);

/* text.c */
void ini_text_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);
void ini_text_rejected(struct ini_conn *conn, uint8_t reason);
void ini_text_pump(struct ini_conn *conn);

/* control.c */
void ini_control_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);
void ini_tmf_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);
int ini_nop_out(struct ini_conn *conn, uint32_t itt, uint32_t ttt, uint64_t lun, const void *data,
                uint32_t len, uint32_t *unsent);
int ini_ping_on(struct ini_conn *conn, const void *data, uint32_t len, bool quiet, uint32_t *tag);
bool ini_plug(struct ini_conn *conn, uint32_t cmd_sn); /* a NOP-Out that takes this place in the sequence */

/* The target does not take the command of this tag: its number is used up by an ABORT TASK on its way, or by
 * a NOP-Out if there is none, or once it has failed. R7143-7.3-05 */
void ini_fill(struct ini_session *s, uint32_t itt, uint32_t cmd_sn);
bool ini_filling(struct ini_session *s, uint32_t cmd_sn); /* is there such an ABORT TASK? */
void ini_slots_lost(struct ini_conn *conn);               /* requests of a failed connection have no answer */

/* Functions that waited for the command: it has its allegiance now, or it has ended. */
void ini_tmf_waiting(struct ini_session *s, struct ini_command *c);
void ini_tmf_done(struct ini_session *s, uint32_t itt, uint8_t response);
void ini_ping_done(struct ini_session *s, uint32_t itt, uint8_t response);

/* messages.c */
void ini_async_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);
void ini_reject_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);

/* logout.c */
void ini_logout_when_quiet(struct ini_session *s);
void ini_logout_pdu(struct ini_conn *conn, const struct framer_pdu *pdu);
void ini_logout_now(struct ini_conn *conn); /* without waiting for its commands */
bool ini_logout_send(struct ini_conn *conn, uint8_t reason, struct ini_cleanup *cleanup);

/* numbers.c: levels 1 and 2 */
/* A PDU that uses up a StatSN: process it now? If not, it was a duplicate or it is held. Not `ready`: it must
 * not be acknowledged yet, because data that belongs to it is missing. */
bool ini_status_turn(struct ini_conn *conn, uint32_t stat_sn, const struct framer_pdu *pdu, bool ready);
/* A PDU that carries the next StatSN without using it up. */
void ini_status_next(struct ini_conn *conn, uint32_t stat_sn);
void ini_held_release(struct ini_conn *conn);
void ini_held_drop(struct ini_conn *conn);
void ini_held_forget(struct ini_conn *conn, uint32_t itt);
void ini_snack_rejected(struct ini_conn *conn, const uint8_t *bhs);
void ini_digest_bad(struct ini_conn *conn, const struct framer_pdu *pdu);
void ini_snack_data(struct ini_command *c);     /* asks for the first run that is missing */
void ini_snack_progress(struct ini_command *c); /* something came: is all here, or is there another gap? */
bool ini_status_old(const struct ini_conn *conn, uint32_t stat_sn); /* acknowledged long ago */
void ini_snack_ack(struct ini_command *c); /* DataACK, when it is due and nothing is missing */
/* When a silent connection with commands is asked for its StatSN. */
uint64_t ini_probe_deadline(const struct ini_conn *conn);
void ini_numbers_tick(struct ini_session *s, uint64_t now);
/* The answer to a ping that asked for it: is that command still missing? */
void ini_ack_answer(struct ini_session *s, uint32_t cmd_sn);

/* retry.c: RFC 7143 4.2.2.1 on CmdSN after a retry */
void ini_retry_note(struct ini_conn *conn, uint32_t cmd_sn);             /* went out again on it */
void ini_retry_sent(struct ini_conn *conn, uint32_t cmd_sn);             /* a new number went out on it */
void ini_retry_forget(struct ini_conn *conn);                            /* the connection is over */
bool ini_retry_holds(struct ini_session *s);                             /* no new number now */
struct ini_conn *ini_retry_conn(struct ini_session *s, uint32_t cmd_sn); /* whose flush has it; NULL: none */

/* recovery.c: level 2 */
void ini_recovery_begin(struct ini_conn *conn);
void ini_recovery_run(struct ini_session *s);
/* A login that reinstates a failed CID: begun; ended well or not. */
void ini_recovery_login_begin(struct ini_conn *conn);
void ini_recovery_login_end(struct ini_conn *conn, bool up);
void ini_recovery_logout(struct ini_session *s, struct ini_cleanup *r, uint8_t response, uint16_t time2wait,
                         uint16_t time2retain);
void ini_reassign_pdu(struct ini_conn *conn, uint32_t itt, uint8_t response);
void ini_recovery_lost(struct ini_session *s); /* commands that wait come back LOST */
/* Reassigned commands that have not gone on in time. */
void ini_recovery_doubts(struct ini_session *s, uint64_t now);
uint64_t ini_recovery_deadline(const struct ini_session *s);
/* The failed connection that is to be reinstated, the first that is due; NULL: none is waiting. */
struct ini_cleanup *ini_recovery_cid(struct ini_session *s);

#endif
