/* The initiator engine's inside: one session on one connection. Private to initiator/iscsi. */
#ifndef LUNETTE_INITIATOR_ISCSI_INTERNAL_H
#define LUNETTE_INITIATOR_ISCSI_INTERNAL_H

#include "common/iscsi/chap.h"
#include "common/iscsi/serial.h"
#include "common/iscsi/text.h"
#include "initiator/iscsi/initiator.h"

#define INI_SLOTS           1024u  /* tasks of all kinds at once: what is over waits in the queue */
#define INI_EVENTS          128u   /* events other than COMMAND_DONE that may wait to be pulled */
#define INI_TEXT_OUT_MAX    16384u /* bytes of one text of ours */
#define INI_LOGIN_ROUNDS    64u    /* login requests before we give up (6.2 allows giving up after six) */
#define INI_TEXT_MAX        (1024u * 1024u) /* bytes of one joined text answer: many targets, then no more */
#define INI_TEXT_ROUNDS     8192u           /* requests for the rest of one text */
#define INI_LOGOUT_WAIT_NS  5000000000u     /* for the answer to a logout: then the connection just ends */
#define INI_REPLIES_MAX     256u  /* unsent answers to pings before we take the target for a flooder */
#define INI_STAT_SN_GAP_MAX 1024u /* statuses that may seem to be missing: some targets count oddly */
#define INI_ASYNC_MAX       256u  /* bytes of an asynchronous message's data that are kept */
#define INI_REASON_MAX      256u

enum ini_state {
    INI_LOGIN,  /* login requests and responses only */
    INI_UP,     /* full feature phase */
    INI_LOGOUT, /* logout request sent */
    INI_ENDING, /* finished for us: what was lent must come back, then CLOSED */
    INI_CLOSED
};

enum ini_slot_kind {
    INI_SLOT_FREE,
    INI_SLOT_COMMAND,
    INI_SLOT_TEXT,
    INI_SLOT_TMF,
    INI_SLOT_PING,
    INI_SLOT_LOGOUT
};

struct ini_slot { /* one initiator task tag */
    enum ini_slot_kind kind;
    uint16_t generation; /* high half of the tag: a late answer to an earlier task is noticed */
    uint16_t next_free;
    struct ini_command *command; /* COMMAND */
    uint64_t started_ns;
    uint8_t function;        /* TMF */
    uint32_t referenced_itt; /* TMF: what ABORT TASK is for */
    uint64_t lun;            /* TMF */
};

struct ini_queued_event {
    struct ini_event event;
    uint8_t data[INI_ASYNC_MAX];
};

struct ini_session {
    const struct env *env;
    struct pool *pool;
    struct ini_options options;
    struct framer framer;
    struct tx tx;
    enum ini_state state;

    /* numbering */
    uint32_t cmd_sn, exp_stat_sn, exp_cmd_sn, max_cmd_sn;
    uint16_t tsih;

    /* login and text */
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
    uint32_t text_ttt, text_rounds;
    uint64_t text_lun;
    bool text_open;

    /* tasks */
    struct ini_slot slots[INI_SLOTS];
    uint16_t first_free;
    struct list_node queue;    /* commands that wait for the window or a slot */
    struct list_node inflight; /* commands sent */
    struct list_node finished; /* commands to report: status seen (or lost) and nothing of theirs lent */
    struct list_node ending;   /* status seen, data still in the send queue */
    uint32_t outstanding;
    bool logout_wanted;
    uint32_t replies_unsent; /* answers to the target's pings that wait in the send queue */

    /* liveness */
    uint64_t login_deadline_ns, logout_deadline_ns, last_heard_ns, ping_sent_ns;

    bool lent;      /* a gather is out */
    bool receiving; /* ini_room answered and nothing has come yet: places in commands' buffers may be lent */
    struct ini_queued_event events[INI_EVENTS];
    uint32_t event_head, event_count;
    char reason[INI_REASON_MAX];
    bool closed_told;
};

/* session.c */
struct ini_event *ini_event_add(struct ini_session *s, enum ini_event_kind kind);
/* The session is over for the given reason (a sentence); the first one counts. */
void ini_fail(struct ini_session *s, const char *reason);
void ini_login_failed(struct ini_session *s, uint8_t status_class, uint8_t detail, const char *reason);
uint32_t ini_slot_take(struct ini_session *s,
                       enum ini_slot_kind kind); /* tag, or PDU_TAG_RESERVED when none is free */
struct ini_slot *ini_slot_find(struct ini_session *s, uint32_t itt); /* NULL: no such task */
void ini_slot_release(struct ini_session *s, uint32_t itt);
void ini_queue_pdu(struct ini_session *s, const uint8_t *bhs, struct slice *data, uint32_t *done_count);
/* Fields that every target PDU carries. */
void ini_update_window(struct ini_session *s, uint32_t exp_cmd_sn, uint32_t max_cmd_sn);
void ini_update_stat_sn(struct ini_session *s, uint32_t stat_sn);
bool ini_collect_text(struct ini_session *s,
                      const struct framer_pdu *pdu); /* appends to in_text; false: too long */

/* login.c */
void ini_login_start(struct ini_session *s);
void ini_login_pdu(struct ini_session *s, const struct framer_pdu *pdu);

/* command.c */
void ini_pump(struct ini_session *s); /* sends what the window allows */
void ini_place_data_in(struct ini_session *s, struct framer_pdu *pdu);
void ini_data_in_pdu(struct ini_session *s, const struct framer_pdu *pdu);
void ini_response_pdu(struct ini_session *s, const struct framer_pdu *pdu);
void ini_r2t_pdu(struct ini_session *s, const struct framer_pdu *pdu);
void ini_command_end(struct ini_session *s, struct ini_command *command, enum ini_command_outcome outcome);
void ini_commands_lost(struct ini_session *s);
void ini_commands_settle(struct ini_session *s); /* after sends: which ended commands may be reported */

/* control.c */
void ini_control_pdu(struct ini_session *s, const struct framer_pdu *pdu);
void ini_logout_when_quiet(struct ini_session *s);

#endif
