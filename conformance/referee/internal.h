/* What the referee's files share. Nobody else includes this.
 *
 *   referee.c    the door: life, the tap, findings
 *   split.c      bytes of one direction to PDUs, digests
 *   sync.c       where PDUs begin, in the middle of a connection
 *   judge.c      one PDU: header, phase, numbering; then to one of
 *   login.c      the login phase
 *   keys*.c      text negotiation, in login and in the full feature phase
 *   chap.c       the steps of CHAP
 *   session.c    connections to sessions, CmdSN
 *   command.c    SCSI Command, SCSI Response, residuals
 *   data.c       Data-Out, R2T, Data-In
 *   manage.c     task management
 *   control.c    NOP, Text, Logout, Async Message, Reject, SNACK
 *   duty.c       what one side owes the other
 *
 * The model is built on one fact that holds at every vantage: what a party knew when it sent a PDU had passed
 * us before. So "nobody could know that yet" is always decidable; "it should have known by now" only at that
 * party's own end. */
#ifndef LUNETTE_CONFORMANCE_REFEREE_INTERNAL_H
#define LUNETTE_CONFORMANCE_REFEREE_INTERNAL_H

#include "common/base/list.h"
#include "common/iscsi/keys.h"
#include "common/iscsi/pdu.h"
#include "common/iscsi/serial.h"
#include "conformance/referee/referee.h"
#include "conformance/referee/rules.h"

/* ---- limits: what one peer may make us keep ---- */
#define REFEREE_TEXT_MAX          (64u * 1024u) /* bytes of one joined text, and of one PDU's kept data segment */
#define REFEREE_KEEP_MIN          512u          /* bytes kept of data segments that are no text */
#define REFEREE_CONN_BYTES_MAX    (512u * 1024u)
#define REFEREE_SESSION_BYTES_MAX (4u * 1024u * 1024u)
#define REFEREE_CONNS_MAX         4096u /* open at once */
#define REFEREE_SESSIONS_MAX      4096u
#define REFEREE_DONE_MAX          256u  /* finished tasks remembered for each session */
#define REFEREE_SN_RING           1024u /* CmdSNs remembered for each session */
#define REFEREE_HEADER_RING       256u  /* request headers remembered for each connection */
#define REFEREE_UNKNOWN_KEYS      16u
#define REFEREE_OWED_MAX          32u /* on one connection */
#define REFEREE_BUCKETS           64u

#define TO_T TAP_TO_TARGET    /* sent by the initiator */
#define TO_I TAP_TO_INITIATOR /* sent by the target */

/* ---- rules ---- */
#define X(tag, id, party, vantages, needs, sentence) RULE_##tag,
enum rule_id { REFEREE_RULES(X) RULE_COUNT };
#undef X

/* ---- one PDU ---- */
struct rpdu {
    uint64_t number;
    enum tap_direction dir;
    const uint8_t *bhs, *ahs; /* borrowed while the PDU is judged */
    uint32_t ahs_len, data_len;
    const uint8_t *data; /* the first `kept` bytes of the data segment */
    uint32_t kept;
    uint32_t data_crc; /* of the data segment without padding; of echoes only */
    bool header_bad, data_bad, pad_bad, pad_dirty;
    bool cut; /* the header is whole, of the data some or all was not seen */
};

struct rsplit { /* one direction of a connection */
    uint8_t header[PDU_BHS_LEN + PDU_AHS_LEN_MAX + PDU_DIGEST_LEN];
    uint32_t header_have, header_need;
    uint32_t data_len, at; /* at: bytes of data, padding and digest seen */
    uint32_t crc, plain_crc;
    uint8_t trailer[8]; /* padding and digest */
    uint8_t *keep;      /* owned; keep_cap bytes */
    uint32_t keep_cap, kept;
    bool in_data, header_digest, data_digest;
    bool cut;           /* the PDU that ends misses data */
    uint64_t cut_rest;  /* bytes of that PDU that may still be missing */
    bool lost;          /* no boundary is known any more */
    struct rsync *sync; /* owned; NULL: nobody is looking for one */
};

/* ---- tasks ---- */
struct rr2t {
    struct list_node node;
    uint32_t ttt, sn, offset, len;
    uint32_t done, data_sn; /* bytes that have come; next DataSN */
    uint64_t pdu;           /* number of the latest PDU that asked */
    bool closed;            /* its Data-Out with F = 1 has come */
    bool stopped;           /* it came before an event 5 that is acknowledged */
};

struct rtask {
    struct list_node hash, order; /* order: age, in session->live or ->finished */
    uint8_t opcode;
    bool immediate, read, write, done, aborted;
    bool unsure;   /* retried, corrupted, reassigned, recovered: its data can't be followed */
    bool aborting; /* a TMF that covers it is on its way */
    enum { DATA_GOES, DATA_AFTER_TMF, DATA_AFTER_EVENT } no_data; /* FastAbort has ended its Data-Out */
    bool resync;         /* reassigned: its next Data-In says where it goes on */
    bool cut;            /* reassigned: how much came before, and counts, is not known */
    bool status_kept;    /* answer_crc and stat_sn are those of its status */
    uint64_t aborted_by; /* number of the connection whose TMF Response ended it */
    uint64_t seq, pdu;   /* place among its connection's requests; PDU number */
    uint32_t answer_crc;
    uint32_t ack_ttt, data_ref,
        stated; /* of its last A bit; what DataACKs, and a reassignment, acknowledged */
    uint32_t itt, cmd_sn, edtl, read_len;
    const struct rconn *stat_conn; /* where its status went out, which stat_sn belongs to; compared only */
    uint64_t lun;
    uint8_t bhs[PDU_BHS_LEN]; /* of the request */
    struct rconn *conn;       /* allegiance; NULL once that is gone */
    /* output */
    uint32_t written, unsolicited, unsolicited_sn;
    bool unsolicited_open;
    struct list_node r2ts;
    uint32_t r2t_open, r2t_next_offset;
    bool r2t_any;
    uint32_t dead_ttt[8]; /* TTTs of the latest finished R2Ts */
    uint32_t dead_count;
    /* input; the number space of R2TSN too when bidirectional */
    uint32_t next_data_sn, next_r2t_sn, data_in_count, in_next, in_bytes, burst, since_ack;
    bool in_open, in_any;
    uint32_t snack_tag; /* of the last R-Data SNACK, else 0 */
    uint32_t stat_sn;   /* of its status, when done */
    /* NOP */
    uint32_t ping_len, ping_crc;
    /* TMF */
    uint8_t function;
    uint32_t ref_itt;
};

/* ---- duties (duty.c) ---- */
enum rowed_kind {
    OWED_NOP_OUT,    /* tag: the TTT */
    OWED_FAST_ABORT, /* lun */
    OWED_LOGOUT,     /* by due_ns */
    OWED_TEXT,       /* by due_ns */
    OWED_DATA_ACK,   /* tag: the TTT; itt */
    OWED_DATA,       /* tag: the ITT; header. From here on a Reject pays too */
    OWED_STATUS,     /* tag: the first StatSN; run, header */
    OWED_REJECT,     /* header */
};

struct rowed {
    enum rowed_kind kind;
    uint32_t tag, itt, run, header; /* header: CRC32C of the PDU's, as Rejects name it */
    uint32_t proof;                 /* whoever acknowledges this StatSN has seen what he owes for */
    uint64_t lun, pdu, due_ns, request_seq;
    bool proven;
};

/* ---- negotiation ---- */
struct rkey {
    char offer[256];    /* the proposal or declaration, cut */
    uint8_t offered_by; /* 1 + direction; 0: nobody */
    bool answered, refused;
    bool inadmissible;   /* the proposal: whatever comes back is fine */
    uint64_t offered_at; /* PDU number */
    uint8_t declared;    /* bit per direction */
    uint64_t outcome;    /* number or boolean of the answer */
    bool has_outcome;
    char answer[64];
};

struct runknown { /* a key of no table */
    uint32_t hash;
    uint64_t offered_at; /* PDU number */
    uint8_t offered_by;
    bool answered;
};

struct rnegotiation {
    struct rkey keys[KEY_COUNT];
    struct runknown unknown[REFEREE_UNKNOWN_KEYS];
    uint32_t unknown_count;
    bool unknown_lost;
    uint32_t max_recv[2]; /* MaxRecvDataSegmentLength as its declarer said it; 0: not said */
    enum key_stage stage;
    bool leading;
};

struct rchap {
    uint8_t step; /* 0: nothing; 1: CHAP_A; 2: challenge; 3: response; 4: mutual response */
    bool mutual;
    uint32_t algorithms; /* bit per offered algorithm below 32 */
    char challenge[256];
};

struct rtext { /* a text being joined, one direction */
    uint8_t *buf;
    uint32_t len, cap;
    bool open; /* the last PDU had C = 1 */
    bool lost;
};

/* ---- connections and sessions ---- */
enum rphase { PHASE_NEW, PHASE_LOGIN, PHASE_FULL, PHASE_LOGGED_OUT, PHASE_FAILED };

struct rconn {
    struct list_node hash, node; /* the referee's table; the session's list */
    struct referee *r;
    struct rsession *session; /* NULL until the login has been accepted */
    uint64_t id, time_ns, pdus, bytes;
    struct io_addr initiator, target;
    enum rphase phase;
    bool whole;    /* seen from its start without a gap */
    bool guessed;  /* its login was not seen: where PDUs begin is a guess */
    bool stranger; /* counted in referee.strangers */
    struct rsplit split[2];
    uint32_t max_data[2]; /* by direction: what its receiver takes */
    /* login */
    bool request_open, partial_response; /* a Login Request (or Response with C = 1) waits for its answer */
    uint8_t first_login[PDU_BHS_LEN], last_login[PDU_BHS_LEN], first_response[PDU_BHS_LEN];
    bool any_login, any_response, names_checked, tpgt_checked, discovery;
    uint8_t stage;        /* CSG that is due */
    uint32_t logins;      /* requests so far */
    uint32_t logins_text; /* joined texts of requests, the one being judged included */
    char initiator_name[NAME_CAP], target_name[NAME_CAP];
    bool has_target_address, auth_agreed_chap, name_missing;
    enum rule_id must_refuse; /* the target's rule for what the initiator has broken; RULE_COUNT: none */
    struct rchap chap;
    struct rnegotiation *neg; /* owned; login, or the text negotiation of the full feature phase */
    struct rtext text[2];
    uint16_t cid;
    /* numbering */
    bool stat_known;
    uint32_t next_stat_sn, acked_stat_sn;
    bool answered; /* a SCSI or task management response has been sent: its StatSN and LUN */
    uint32_t answer_stat_sn;
    uint64_t answer_lun;
    bool cmd_known;
    uint32_t last_cmd_sn; /* of the last non-immediate request */
    /* text in the full feature phase */
    bool text_open, text_negotiating, text_immediate, text_last_final, text_repeated;
    uint32_t text_itt, text_ttt;
    uint64_t text_lun;
    bool send_targets;
    char send_targets_value[NAME_CAP];
    bool record_open;
    /* logout, nop, async */
    bool logout_sent, closing;
    uint32_t logout_itt;
    struct {
        uint32_t ttt;
        uint64_t lun;
    } ping[8]; /* NOP-Ins that want an answer */
    uint32_t pings;
    bool ping_lost;
    bool logout_requested;
    uint64_t request_seq, answered_seq; /* requests so far; the latest that has been answered */
    struct rowed owed[REFEREE_OWED_MAX];
    uint32_t owed_count;
    bool orderly; /* it has been logged out, on itself */
    uint32_t headers[REFEREE_HEADER_RING];
    uint64_t header_count;
};

struct rsession {
    struct list_node node;
    struct list_node conns;
    struct referee *r;
    uint64_t number; /* of the referee's, from 1 */
    bool whole, over, discovery;
    bool writes_rejected;
    char initiator_name[NAME_CAP], target_name[NAME_CAP];
    struct io_addr target;
    uint8_t isid[6];
    uint16_t tsih;
    uint32_t conn_count, conns_ever;
    struct key_params params;
    uint64_t bytes;
    /* numbering */
    bool window_known;
    uint32_t next_cmd_sn, contiguous, exp_cmd_sn, max_cmd_sn;
    struct {
        uint32_t sn, itt;
        bool used, given_back;
    } ring[REFEREE_SN_RING];
    uint32_t holes; /* CmdSNs given back by Rejects */
    bool conn_lost; /* a connection has gone: its requests may come again, or never have arrived */
    bool sn_broken; /* a number was left out: those that fill the hole are no second fault */
    /* tasks */
    struct list_node buckets[REFEREE_BUCKETS], live, finished;
    uint32_t finished_count;
    bool tasks_lost; /* some finished task was forgotten: an unknown tag may be old */
};

struct referee {
    struct tap tap; /* first */
    const struct env *env;
    struct referee_options options;
    struct list_node conns[REFEREE_BUCKETS], sessions;
    uint32_t conn_count, session_count;
    uint32_t strangers; /* open connections that may belong to any session, as far as we know */
    struct referee_counts counts;
    uint64_t by_rule[RULE_COUNT];
    struct referee_finding *findings; /* owned: a ring of options.findings_max */
    uint32_t finding_first, finding_count;
    const struct rpdu *pdu; /* being judged */
};

/* ---- referee.c ---- */
struct words {
    char text[160];
};
struct words say(const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 1, 2)))
#endif
    ;
/* The one way to a finding. Counts as undecidable where the row's vantages or what it needs to have seen are
 * missing. */
void finding(struct rconn *c, enum rule_id rule, const char *expected, const char *seen);
/* Of an earlier PDU. */
void finding_at(struct rconn *c, enum rule_id rule, uint64_t pdu, const char *expected, const char *seen);
void undecided(struct rconn *c);
/* The first row with this id and party, or RULE_COUNT. */
enum rule_id rule_find(const char *requirement, enum referee_party party);
/* Memory of a connection or session under its cap; NULL makes it undecidable from here on. */
void *conn_alloc(struct rconn *c, size_t size);
void conn_release(struct rconn *c, void *ptr, size_t size);
void *session_alloc(struct rsession *s, size_t size);
void session_release(struct rsession *s, void *ptr, size_t size);
/* May the session have connections that we don't know of? */
bool session_may_have_strangers(const struct rsession *s);
/* Nothing is known for sure any more. */
void conn_blind(struct rconn *c);
static inline enum referee_party sender(const struct rpdu *p)
{
    return p->dir == TO_T ? REFEREE_INITIATOR : REFEREE_TARGET;
}

/* ---- split.c ---- */
void split_feed(struct rconn *c, enum tap_direction dir, const uint8_t *bytes, size_t len);
void split_set_digests(struct rconn *c, bool header, bool data);
void split_fini(struct rconn *c, struct rsplit *split);
/* A boundary is known again: the direction goes on behind this basic header. */
void split_resume(struct rconn *c, enum tap_direction dir, const uint8_t *bhs, bool header_digest,
                  bool data_digest);
/* `len` bytes are missing. True: inside one data segment, so the next bytes begin a PDU. */
bool split_missing(struct rconn *c, enum tap_direction dir, uint64_t len);

/* ---- sync.c ---- */
/* Looks for PDUs among bytes whose boundaries are not known; returns how many it took. Ends with
 * split_resume. */
size_t sync_feed(struct rconn *c, enum tap_direction dir, const uint8_t *bytes, size_t len);
void sync_forget(struct rconn *c, enum tap_direction dir);
size_t sync_size(void); /* of what one direction's search takes */

/* ---- judge.c ---- */
void judge(struct rconn *c, struct rpdu *pdu);

/* ---- login.c ---- */
void login_request(struct rconn *c, const struct rpdu *p);
void login_response(struct rconn *c, const struct rpdu *p);

/* ---- keys.c ---- */
/* Joins one PDU's text; true when a text is complete: then it has been judged pair by pair. */
bool keys_text(struct rconn *c, const struct rpdu *p, bool more);
bool keys_begin(struct rconn *c, enum key_stage stage, bool leading);
/* Does the PDU being judged propose a key of `by` that needs an answer? */
bool keys_open(const struct rconn *c, enum tap_direction by, const char **which);
/* The negotiation ends in agreement: all answered? Results into *params (the session's part only when
 * leading). */
void keys_conclude(struct rconn *c, struct key_params *params);
bool keys_digest(const struct rconn *c, enum key_id id);
bool keys_is_declared(const struct rconn *c, enum key_id id, enum tap_direction by);
void keys_end(struct rconn *c);

/* ---- chap.c ---- */
void chap_text(struct rconn *c, const struct rpdu *p, const uint8_t *text, uint32_t len);

/* ---- session.c ---- */
void session_join(struct rconn *c, const struct pdu_login_response *final);
/* A response on the way to joining a session already widens that session's window. */
void session_told(struct rconn *c, const struct pdu_login_request *q, const struct pdu_login_response *a);
/* A connection whose login was not seen is in the full feature phase of a session of its own, of which
 * nothing is known. */
void session_guess(struct rconn *c);
void session_leave(struct rconn *c);
void session_free(struct rsession *s);
void session_request(struct rconn *c, bool immediate, uint32_t cmd_sn, uint32_t itt);
void session_give_back(struct rsession *s, uint32_t cmd_sn);
void session_plug(struct rsession *s, uint32_t cmd_sn);
void session_window(struct rconn *c, uint32_t exp_cmd_sn, uint32_t max_cmd_sn);
bool session_single(const struct rsession *s);
struct rtask *task_find(struct rsession *s, uint32_t itt);
/* A new task; NULL when out of memory. Reports the reuse of a live tag. */
struct rtask *task_new(struct rconn *c, const struct rpdu *p, uint32_t itt, bool immediate, uint32_t cmd_sn);
void task_done(struct rconn *c, struct rtask *task);
/* Its connection is gone. */
void task_adrift(struct rtask *task);
void task_drop(struct rsession *s, struct rtask *task);
/* The task a response is for, or NULL after reporting that there is none. */
struct rtask *task_of_response(struct rconn *c, const struct rpdu *p, uint32_t itt, uint8_t opcode);

/* ---- command.c ---- */
void command_request(struct rconn *c, const struct rpdu *p);
void command_response(struct rconn *c, const struct rpdu *p);
/* Status of a command: residual arithmetic and what has to have come before. */
struct rstatus {
    bool in_data, overflow, underflow;
    uint8_t response, status;
    uint32_t residual, stat_sn, exp_cmd_sn;
};
void command_status(struct rconn *c, struct rtask *task, const struct rstatus *status);

/* ---- data.c ---- */
void data_out(struct rconn *c, const struct rpdu *p);
void data_in(struct rconn *c, const struct rpdu *p);
void data_r2t(struct rconn *c, const struct rpdu *p);
void data_forget(struct rsession *s, struct rtask *task);
/* Nothing may follow for the R2Ts before this PDU of the task's connection. */
void data_stop(struct rtask *task, uint64_t pdu);
/* The task whose A bit had this TTT, or NULL. */
struct rtask *data_of_ack(struct rsession *s, uint32_t ttt);

/* ---- manage.c ---- */
void manage_request(struct rconn *c, const struct rpdu *p);
void manage_answered(struct rconn *c, struct rtask *task); /* its response has passed */
void manage_response(struct rconn *c, const struct rpdu *p);

/* ---- control.c ---- */
void control_nop_out(struct rconn *c, const struct rpdu *p);
void control_nop_in(struct rconn *c, const struct rpdu *p);
void control_text_request(struct rconn *c, const struct rpdu *p);
void control_text_response(struct rconn *c, const struct rpdu *p);
void control_logout_request(struct rconn *c, const struct rpdu *p);
void control_logout_response(struct rconn *c, const struct rpdu *p);
void control_async(struct rconn *c, const struct rpdu *p);
void control_reject(struct rconn *c, const struct rpdu *p);
void control_snack(struct rconn *c, const struct rpdu *p);

/* ---- duty.c ---- */
/* The PDU makes somebody owe something; NULL: too much to remember. */
struct rowed *duty_owe(struct rconn *c, enum rowed_kind kind, const struct rpdu *p, uint32_t tag);
/* The same within seconds. */
void duty_limit(struct rconn *c, enum rowed_kind kind, const struct rpdu *p, uint32_t seconds);
/* Paid; false: nothing of the kind was owed. */
bool duty_met(struct rconn *c, enum rowed_kind kind, uint32_t tag);
/* A PDU of the initiator may pay; also after the Logout Response, while it is on its way. */
void duty_pays(struct rconn *c, const struct rpdu *p);
void duty_status_again(struct rconn *c, uint32_t stat_sn);
void duty_rejected(struct rconn *c, const uint8_t *bhs, uint8_t reason);
void duty_logout_asked(struct rconn *c, uint8_t reason, uint16_t cid);
/* The initiator's PDU has acknowledged status of this connection. */
void duty_proof(struct rconn *c, const struct rpdu *p);
/* Time limits. */
void duty_clock(struct rconn *c);
/* The connection's Logout Response, before its tasks are dropped. */
void duty_logged_out(struct rconn *c);
/* The connection is over. */
void duty_end(struct rconn *c);

#endif
