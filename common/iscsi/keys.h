/* Key negotiation for both sides (RFC 7143 sections 6.2 to 6.4, chapters 12 and 13; RFC 7144): text pairs in,
 * results and answers out. No I/O, no memory of its own. The engines decide about PDUs, stages and T, F, C
 * bits; this file decides about keys.
 *
 * How an engine uses it, for each joined text (C = 0) of the peer:
 *     while (text_parser_next(...) == TEXT_PAIR)
 *         switch (key_receive(neg, key, value, writer)) {
 *         case KEYS_OK:     continue;
 *         case KEYS_AUTH:   hand the pair to chap.h; continue;
 *         case KEYS_RECORD: part of an answer to SendTargets: take it; continue;
 *         case KEYS_FAIL:   login: send neg->failure.status; full feature phase: Reject "protocol error";
 * stop } look at neg->pending_texts.initiator_name, target_name, session_type; adjust neg->config (which
 * AuthMethods, limits) key_flush(neg, writer)      writes the answers to what was proposed at the end of a
 * stage or text negotiation: key_conclude(neg): pending values become neg->params Answers are written by
 * key_flush, not key_receive, so that the order of keys within a text does not matter: what the target may
 * offer depends on names, FirstBurstLength on MaxBurstLength. Only Reject and NotUnderstood go out at once.
 *
 * Repetition: a key that comes twice in a login (or text negotiation) is an error (6.3), with one exception
 * that real initiators need (libiscsi): InitiatorName, InitiatorAlias, TargetName and SessionType may come
 * again, unchanged, after the move from the security to the operational stage.
 *
 * A target speaks first through key_declare_target (first response of a login) and declares its
 * MaxRecvDataSegmentLength by key_offer_operational; it proposes nothing else unless config.overrides says
 * so. */
#ifndef LUNETTE_ISCSI_KEYS_H
#define LUNETTE_ISCSI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/iscsi/key_def.h"
#include "common/iscsi/name.h"
#include "common/iscsi/text.h"

/* ---- the table ---- */

#define X(tag, name, kind, senders, use, flags, def, min, max, requirement) KEY_##tag,
enum key_id { KEY_LIST(X) KEY_COUNT, KEY_UNKNOWN = KEY_COUNT };
#undef X

enum key_kind {
    KEY_KIND_LIST,
    KEY_KIND_AND,
    KEY_KIND_OR,
    KEY_KIND_MIN,
    KEY_KIND_MAX,
    KEY_KIND_NUMBER,
    KEY_KIND_NAME,
    KEY_KIND_LOCAL,
    KEY_KIND_CHOICE,
    KEY_KIND_TEXT,
    KEY_KIND_QUERY,
    KEY_KIND_AUTH,
    KEY_KIND_OBSOLETE
};
enum key_senders { KEY_FROM_I = 1, KEY_FROM_T = 2, KEY_FROM_IT = 3 };
enum key_use { KEY_USE_LO, KEY_USE_IO, KEY_USE_FFPO, KEY_USE_ALL };

struct key_def { /* one row of KEY_LIST */
    const char *name;
    enum key_kind kind;
    enum key_senders senders;
    enum key_use use;
    uint32_t flags; /* KEY_FLAG_* */
    uint32_t def, min, max;
    const char *requirement;
};

extern const struct key_def key_defs[KEY_COUNT];

/* KEY_UNKNOWN when the name (case counts) is in no row. */
enum key_id key_find(struct text_range name);

/* ---- values ---- */

enum key_role { KEY_ROLE_INITIATOR, KEY_ROLE_TARGET };
enum key_stage { KEY_STAGE_SECURITY, KEY_STAGE_OPERATIONAL, KEY_STAGE_FULL_FEATURE };
enum key_session_type { KEY_SESSION_NORMAL, KEY_SESSION_DISCOVERY };
/* Values of list keys: the entries of struct key_choices. */
enum key_digest { KEY_DIGEST_NONE, KEY_DIGEST_CRC32C, KEY_DIGEST_COUNT };
enum key_auth { KEY_AUTH_NONE, KEY_AUTH_CHAP, KEY_AUTH_COUNT };
enum key_task_reporting {
    KEY_TASK_REPORTING_RFC3720,
    KEY_TASK_REPORTING_RESPONSE_FENCE,
    KEY_TASK_REPORTING_FAST_ABORT,
    KEY_TASK_REPORTING_COUNT
};

#define KEY_CHOICES_MAX 4u /* entries of a preference list */

/* A preference list: `count` values of one of the enums above, best first. An offer lists them in this order;
 * a responder takes the first of the peer's that is anywhere in its own list. count 0: do not offer; answer
 * Reject. */
struct key_choices {
    uint8_t count;
    uint8_t value[KEY_CHOICES_MAX];
};

#define KEY_ALIAS_CAP 256u /* 255 bytes and NUL */

/* Names and other text that came in; numbers are in key_params, which a session keeps for as long as it
 * lives. */
struct key_texts {
    char initiator_name[NAME_CAP];       /* normalised */
    char target_name[NAME_CAP];          /* normalised */
    char initiator_alias[KEY_ALIAS_CAP]; /* bytes that are not UTF-8 are replaced by '?' */
    char target_alias[KEY_ALIAS_CAP];
    char target_address[KEY_ALIAS_CAP];    /* first TargetAddress of a login (redirect), as sent */
    char node_architecture[KEY_ALIAS_CAP]; /* the peer's X#NodeArchitecture, for the log only (13.26.2) */
    bool has_send_targets;                 /* a SendTargets key came in this text negotiation */
    char send_targets[NAME_CAP];           /* "All", "", or a name (normalised) */
};

/* The outcome. Text members are NUL-terminated; "" means not given. Lengths are bytes, times are seconds. */
struct key_params {
    enum key_session_type session_type;
    enum key_digest header_digest, data_digest;
    uint32_t max_connections;
    bool initial_r2t;
    bool immediate_data;
    uint32_t max_recv_data_segment_length;      /* ours: what we told the peer, 8192 before */
    uint32_t peer_max_recv_data_segment_length; /* theirs: what we may send, 8192 until they say */
    uint32_t max_burst_length;
    uint32_t first_burst_length; /* never above max_burst_length */
    uint32_t default_time2wait;
    uint32_t default_time2retain;
    uint32_t max_outstanding_r2t;
    bool data_pdu_in_order;
    bool data_sequence_in_order;
    uint32_t error_recovery_level;
    enum key_task_reporting task_reporting;
    uint32_t iscsi_protocol_level;
    bool has_target_portal_group_tag;
    uint16_t target_portal_group_tag;
};

/* The standard's defaults (also the values in force during login). */
void key_params_default(struct key_params *params);

/* One key that differs from what config would make us offer: for tests and for extension keys. */
struct key_override {
    const char *key;   /* a known key: its offer is replaced; otherwise it is added to the operational offers
                          (only in   Normal sessions when it begins with X-, 13.22) */
    const char *value; /* NULL: do not offer it. Need not be legal */
};
#define KEY_OVERRIDES_MAX 16u

/* What we want and accept. key_config_default gives values that suit either role; copy and change. */
struct key_config {
    struct key_choices auth_methods;               /* of enum key_auth */
    struct key_choices header_digest, data_digest; /* of enum key_digest */
    struct key_choices task_reporting; /* of enum key_task_reporting. An initiator offers it only when the
                                          list has RFC3720 and ResponseFence, as 13.23 wants of an offer */
    bool discovery_digest_none;        /* in discovery sessions take None whenever it is offered */
    bool propose_auth;                 /* target: offer AuthMethod to an initiator that offers nothing */
    uint32_t max_connections;
    bool initial_r2t;    /* what we would choose */
    bool immediate_data; /* what we would choose */
    uint32_t max_recv_data_segment_length;
    uint32_t max_burst_length;
    uint32_t first_burst_length;
    uint32_t default_time2wait;   /* s */
    uint32_t default_time2retain; /* s */
    uint32_t max_outstanding_r2t;
    bool data_pdu_in_order;
    bool data_sequence_in_order;
    uint32_t error_recovery_level;
    uint32_t iscsi_protocol_level; /* 1; 2 with RFC 7144's features. Initiator: offered when above 1 */
    /* Initiator: a NotUnderstood for a key of RFC 7143 leaves the default instead of failing the login (6.2
     * calls it a protocol error; some targets do it). */
    bool tolerate_not_understood;
    /* Declared texts: borrowed, must outlive the negotiation; NULL, "" or too long for the key: not sent. */
    const char *initiator_name;  /* initiator */
    const char *initiator_alias; /* initiator */
    const char *target_name;     /* initiator: whom we want; not sent in discovery when empty */
    const char *target_alias;    /* target; sent in Normal sessions */
    const char *node_architecture;
    enum key_session_type session_type; /* initiator: what we want */
    uint16_t target_portal_group_tag;   /* target */
    const struct key_override
        *overrides; /* borrowed, must outlive the negotiation; at most KEY_OVERRIDES_MAX */
    size_t override_count;
};
void key_config_default(struct key_config *config);

/* ---- negotiation ---- */

enum keys_verdict {
    KEYS_OK,
    KEYS_FAIL,  /* protocol error: neg->failure tells; nothing of this negotiation takes effect */
    KEYS_AUTH,  /* legal here and belongs to the chosen authentication method: the caller hands it on */
    KEYS_RECORD /* TargetName or TargetAddress in answer to SendTargets: the caller takes it */
};

/* Login status to answer (class << 8 | detail, RFC 7143 11.13.5). */
#define KEYS_STATUS_INITIATOR_ERROR   0x0200u
#define KEYS_STATUS_AUTH_FAILURE      0x0201u
#define KEYS_STATUS_MISSING_PARAMETER 0x0207u
#define KEYS_STATUS_SESSION_TYPE      0x0209u
#define KEYS_STATUS_OUT_OF_RESOURCES  0x0302u

struct keys_failure {
    uint16_t status;         /* class << 8 | detail */
    const char *reason;      /* static sentence; NULL while nothing failed */
    const char *requirement; /* requirement id, or "" */
    char key[TEXT_KEY_CAP];  /* printable */
};

enum key_auth_state { KEY_AUTH_OPEN, KEY_AUTH_CHOSEN, KEY_AUTH_REJECTED };

struct key_negotiation {
    enum key_role role;
    enum key_stage stage;
    bool leading; /* the session's first login (TSIH 0) */
    /* A copy: the engine may change it until key_flush, e.g. when the names are known. */
    struct key_config config;
    struct key_params params;              /* in force: changed by key_conclude only */
    struct key_texts texts, pending_texts; /* the same for text */
    struct key_params pending;             /* params and what this negotiation has agreed so far */
    /* Which AuthMethod was agreed. REJECTED: target: we answered Reject; initiator: the target did. */
    enum key_auth_state auth_state;
    enum key_auth auth_method; /* valid when CHOSEN */
    struct keys_failure failure;

    /* private to the files behind this header */
    uint8_t state[KEY_COUNT];                  /* KEY_STATE_* (keys_internal.h) */
    uint8_t override_state[KEY_OVERRIDES_MAX]; /* the same for overrides that are not known keys */
    uint64_t ours[KEY_COUNT];                  /* value we offered, as parsed */
    uint64_t theirs[KEY_COUNT];                /* value they proposed, until answered */
    uint8_t to_answer[KEY_COUNT];              /* keys proposed to us, in order of arrival */
    size_t to_answer_count;
};

/* For a login. `leading`: TSIH is 0. `session`: parameters of the session when it is not (else NULL):
 * session-wide values are taken over from it, connection-wide ones are the defaults. The stage is the one
 * login starts in. */
void key_negotiation_init(struct key_negotiation *neg, enum key_role role, const struct key_config *config,
                          bool leading, const struct key_params *session);
/* Entering another stage, after key_conclude. KEY_STAGE_FULL_FEATURE includes key_text_begin. */
void key_set_stage(struct key_negotiation *neg, enum key_stage stage);
/* Full feature phase: a new text negotiation begins (a Text Request with a new task tag, or TTT 0xffffffff):
 * forgets what was pending and which keys have been seen. */
void key_text_begin(struct key_negotiation *neg);

/* Initiator, first request of each connection's login: InitiatorName, InitiatorAlias, TargetName, SessionType
 * (the last only when leading). False when the writer is full (same for all the offers below). */
bool key_declare_initiator(struct key_negotiation *neg, struct text_writer *w);
/* Target, first response of each connection's login: TargetPortalGroupTag, and TargetAlias in Normal
 * sessions. Once: a second call writes nothing. */
bool key_declare_target(struct key_negotiation *neg, struct text_writer *w);
/* AuthMethod. An initiator's own step; a target only when an override asks for it. */
bool key_offer_security(struct key_negotiation *neg, struct text_writer *w);
/* Initiator: all operational keys (leading-only ones only when leading; in a discovery session without those
 * that are irrelevant there), then added overrides. Target: MaxRecvDataSegmentLength and overrides. Keys
 * already offered, answered or declared in this login are not repeated. */
bool key_offer_operational(struct key_negotiation *neg, struct text_writer *w);
/* Full feature phase: declares a new MaxRecvDataSegmentLength. */
bool key_offer_max_recv(struct key_negotiation *neg, struct text_writer *w, uint32_t len);

/* Initiator, full feature phase: asks SendTargets=value ("All", "", or a name). A refusal then comes as
 * KEYS_OK with no record, or as KEYS_FAIL. */
bool key_request_targets(struct key_negotiation *neg, struct text_writer *w, const char *value);

/* One pair of the peer's; the pair is not needed afterwards. Writes NotUnderstood and Reject answers at once,
 * all others on key_flush. On KEYS_FAIL neg->failure is set; the negotiation is over. */
enum keys_verdict key_receive(struct key_negotiation *neg, struct text_range key, struct text_range value,
                              struct text_writer *w);
/* Writes the answers that are due. KEYS_OK or KEYS_FAIL (the writer is full). */
enum keys_verdict key_flush(struct key_negotiation *neg, struct text_writer *w);
/* True when the peer has yet to answer a key of ours that needs an answer (a boolean that settles itself
 * needs none); *which (may be NULL) is the first, KEY_UNKNOWN for an extension key. */
bool key_unanswered(const struct key_negotiation *neg, enum key_id *which);
/* The stage or text negotiation ends in agreement: cross-parameter rules are checked and pending becomes
 * params. KEYS_FAIL: a rule is broken beyond repair, params are as before. Offers without an answer leave the
 * default. */
enum keys_verdict key_conclude(struct key_negotiation *neg);
/* It ends otherwise: pending is dropped. */
void key_abandon(struct key_negotiation *neg);

/* Words for logs: "CRC32C", "CHAP", "FastAbort". */
const char *key_digest_text(enum key_digest digest);
const char *key_auth_text(enum key_auth auth);
const char *key_task_reporting_text(enum key_task_reporting value);

#endif
