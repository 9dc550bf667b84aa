/* The state machines of RFC 7143 chapter 8, target side, as tables: a connection (8.1.4), the cleanup of one
 * that failed (8.2), a session (8.3.2). The engine tells events; one function assigns states and counts the
 * transition by its RFC number. These states say what the standard says about a connection; how far its login
 * or its last output is, is `enum conn_state`. */
#ifndef LUNETTE_TARGET_ISCSI_STATES_H
#define LUNETTE_TARGET_ISCSI_STATES_H

/* Transitions a target has: T1, T2 and T14 are the initiator's, and so is N4. R7143-8.1.4-01 */
/* clang-format off */
#define TGT_TRANSITIONS(X)                                                                                   \
    X(T3) X(T4) X(T5) X(T6) X(T7) X(T8) X(T9) X(T10) X(T11) X(T12) X(T13) X(T15) X(T16) X(T17) X(T18)        \
    X(M1) X(M2) X(M3) X(M4) X(N1) X(N2) X(N3) X(N5) X(N6) X(N7) X(N8) X(N9) X(N10) X(N11)
/* clang-format on */
enum tgt_transition {
#define X(name) TGT_##name,
    TGT_TRANSITIONS(X)
#undef X
        TGT_TRANSITION_COUNT
};
const char *tgt_transition_name(enum tgt_transition transition); /* "T5" */

/* ---- connection: 8.1.4. R7143-8.1.1-01 ---- */
enum conn_rfc_state {
    CONN_FREE,             /* S1 */
    CONN_XPT_UP,           /* S3 */
    CONN_IN_LOGIN,         /* S4 */
    CONN_LOGGED_IN,        /* S5 */
    CONN_IN_LOGOUT,        /* S6 */
    CONN_LOGOUT_REQUESTED, /* S7 */
    CONN_CLEANUP_WAIT,     /* S8, which is R1 */
    CONN_RFC_STATE_COUNT
};
enum conn_rfc_event {
    CONN_EV_TRANSPORT,     /* a transport connection was accepted */
    CONN_EV_LOGIN,         /* the first Login Request */
    CONN_EV_LOGIN_DONE,    /* the accepting Login Response goes out */
    CONN_EV_LOGIN_FAILED,  /* any other end of a login */
    CONN_EV_LOGOUT,        /* a Logout Request for it came on it */
    CONN_EV_ASK_LOGOUT,    /* an asynchronous logout request goes out */
    CONN_EV_LOGOUT_DONE,   /* a successful Logout Response goes out */
    CONN_EV_LOGOUT_FAILED, /* a Logout Response that says otherwise */
    CONN_EV_CLOSED,        /* closed cleanly: by reinstatement, or by a session logout elsewhere */
    CONN_EV_LOST,          /* the transport failed, or we gave it up */
    CONN_RFC_EVENT_COUNT
};

/* ---- cleanup: 8.2 ---- */
enum cleanup_state { CLEANUP_WAIT, CLEANUP_RUNNING, CLEANUP_FREE, CLEANUP_STATE_COUNT };
enum cleanup_event {
    CLEANUP_EV_TIMEOUT, /* the connection state timed out, or its session was closed */
    CLEANUP_EV_BEGIN,   /* an explicit or implicit logout has begun */
    CLEANUP_EV_FAILED,
    CLEANUP_EV_DONE,
    CLEANUP_EVENT_COUNT
};

/* ---- session: 8.3.2 ---- */
enum session_rfc_state {
    SESSION_FREE,        /* Q1 */
    SESSION_ACTIVE,      /* Q2 */
    SESSION_LOGGED_IN,   /* Q3 */
    SESSION_FAILED,      /* Q4 */
    SESSION_IN_CONTINUE, /* Q5 */
    SESSION_RFC_STATE_COUNT
};
enum session_rfc_event {
    SESSION_EV_LOGIN,    /* its leading connection is in login */
    SESSION_EV_UP,       /* a connection is logged in */
    SESSION_EV_NO_LOGIN, /* the leading login failed */
    SESSION_EV_CLOSED,   /* closure, timeout or reinstatement: nothing of it is left */
    SESSION_EV_FAILED,   /* its last connection failed */
    SESSION_EV_CONTINUE, /* a connection that may continue it is in login */
    SESSION_EV_NOT_CONTINUED,
    SESSION_RFC_EVENT_COUNT
};

struct tgt_reactor;
/* Each asserts that the pair of state and event is possible. */
void state_conn(struct tgt_reactor *r, enum conn_rfc_state *state, enum conn_rfc_event event);
void state_cleanup(struct tgt_reactor *r, enum cleanup_state *state, enum cleanup_event event);
void state_session(struct tgt_reactor *r, enum session_rfc_state *state, enum session_rfc_event event);

#endif
