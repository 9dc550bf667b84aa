/* Chapter 8 as tables. A cell names the next state and the RFC's number; an empty one is impossible, and to
 * get there is our own bug. */
#include "target/iscsi/states.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "target/iscsi/target.h"

struct move {
    bool possible;
    uint8_t next;
    uint8_t transition;
};
#define TO(state, number)                                                                                    \
    {                                                                                                        \
        true, state, TGT_##number                                                                            \
    }

/* R7143-8.1.4-01; by rows as the RFC draws it. */
/* clang-format off */
static const struct move conn_moves[CONN_RFC_STATE_COUNT][CONN_RFC_EVENT_COUNT] = {
    [CONN_FREE] = {
        [CONN_EV_TRANSPORT]     = TO(CONN_XPT_UP, T3),           /* R7143-8.1.2-02 */
    },
    [CONN_XPT_UP] = {
        [CONN_EV_LOGIN]         = TO(CONN_IN_LOGIN, T4),         /* R7143-8.1.2-02 */
        [CONN_EV_CLOSED]        = TO(CONN_FREE, T6),
        [CONN_EV_LOST]          = TO(CONN_FREE, T6),             /* R7143-8.1.2-05 */
        [CONN_EV_LOGIN_FAILED]  = TO(CONN_FREE, T6),
    },
    [CONN_IN_LOGIN] = {
        [CONN_EV_LOGIN_DONE]    = TO(CONN_LOGGED_IN, T5),        /* R7143-8.1.2-04 */
        [CONN_EV_LOGIN_FAILED]  = TO(CONN_FREE, T7),             /* R7143-8.1.2-07 */
        [CONN_EV_LOST]          = TO(CONN_FREE, T7),             /* R7143-8.1.2-07 */
        [CONN_EV_CLOSED]        = TO(CONN_FREE, T7),             /* R7143-8.1.2-08 */
    },
    [CONN_LOGGED_IN] = {
        [CONN_EV_LOGOUT]        = TO(CONN_IN_LOGOUT, T9),
        [CONN_EV_ASK_LOGOUT]    = TO(CONN_LOGOUT_REQUESTED, T11), /* R7143-8.1.2-12 */
        [CONN_EV_CLOSED]        = TO(CONN_FREE, T8),             /* R7143-8.1.2-08, R7143-8.1.2-09 */
        [CONN_EV_LOST]          = TO(CONN_CLEANUP_WAIT, T15),    /* R7143-8.1.2-16 */
    },
    [CONN_IN_LOGOUT] = {
        [CONN_EV_LOGOUT_DONE]   = TO(CONN_FREE, T13),            /* R7143-8.1.2-13 */
        [CONN_EV_CLOSED]        = TO(CONN_FREE, T13),            /* R7143-8.1.2-08, R7143-8.1.2-09 */
        [CONN_EV_LOGOUT_FAILED] = TO(CONN_CLEANUP_WAIT, T17),    /* R7143-8.1.2-19 */
        [CONN_EV_LOST]          = TO(CONN_CLEANUP_WAIT, T17),
    },
    [CONN_LOGOUT_REQUESTED] = {
        [CONN_EV_LOGOUT]        = TO(CONN_IN_LOGOUT, T10),
        [CONN_EV_ASK_LOGOUT]    = TO(CONN_LOGOUT_REQUESTED, T12),
        [CONN_EV_CLOSED]        = TO(CONN_FREE, T18),            /* R7143-8.1.2-08, R7143-8.1.2-09 */
        [CONN_EV_LOST]          = TO(CONN_CLEANUP_WAIT, T16),    /* R7143-8.1.2-16 */
    },
    /* CONN_CLEANUP_WAIT goes on in the next table */
};

static const struct move cleanup_moves[CLEANUP_STATE_COUNT][CLEANUP_EVENT_COUNT] = {
    [CLEANUP_WAIT] = {
        [CLEANUP_EV_TIMEOUT]    = TO(CLEANUP_FREE, M1),          /* R7143-8.2.2-01 */
        [CLEANUP_EV_BEGIN]      = TO(CLEANUP_RUNNING, M2),
    },
    [CLEANUP_RUNNING] = {
        [CLEANUP_EV_FAILED]     = TO(CLEANUP_WAIT, M3),          /* R7143-8.2.2-02 */
        [CLEANUP_EV_DONE]       = TO(CLEANUP_FREE, M4),          /* R7143-8.2-02, R7143-8.2-03 */
    },
};

/* R7143-8.3.2-01 */
static const struct move session_moves[SESSION_RFC_STATE_COUNT][SESSION_RFC_EVENT_COUNT] = {
    [SESSION_FREE] = {
        [SESSION_EV_LOGIN]         = TO(SESSION_ACTIVE, N1),
    },
    [SESSION_ACTIVE] = {
        [SESSION_EV_UP]            = TO(SESSION_LOGGED_IN, N2),
        [SESSION_EV_NO_LOGIN]      = TO(SESSION_FREE, N9),       /* R7143-8.3.4-01 */
    },
    [SESSION_LOGGED_IN] = {
        [SESSION_EV_CLOSED]        = TO(SESSION_FREE, N3),
        [SESSION_EV_FAILED]        = TO(SESSION_FAILED, N5),     /* R7143-8.3.4-02 */
    },
    [SESSION_FAILED] = {
        [SESSION_EV_CLOSED]        = TO(SESSION_FREE, N6),       /* R7143-8.3.4-03 */
        [SESSION_EV_CONTINUE]      = TO(SESSION_IN_CONTINUE, N7),
    },
    [SESSION_IN_CONTINUE] = {
        [SESSION_EV_NOT_CONTINUED] = TO(SESSION_FAILED, N8),     /* R7143-8.3.4-04 */
        [SESSION_EV_UP]            = TO(SESSION_LOGGED_IN, N10), /* R7143-8.3.4-04 */
        [SESSION_EV_CLOSED]        = TO(SESSION_FREE, N11),      /* R7143-8.3.4-05 */
    },
};
/* clang-format on */

const char *tgt_transition_name(enum tgt_transition transition)
{
    static const char *const names[] = {
#define X(name) #name,
        TGT_TRANSITIONS(X)
#undef X
    };
    return transition < TGT_TRANSITION_COUNT ? names[transition] : "?";
}

static unsigned take(struct tgt_reactor *r, const struct move *move)
{
    assert(move->possible);
    r->transitions[move->transition]++;
    return move->next;
}

void state_conn(struct tgt_reactor *r, enum conn_rfc_state *state, enum conn_rfc_event event)
{
    *state = (enum conn_rfc_state)take(r, &conn_moves[*state][event]);
}

void state_cleanup(struct tgt_reactor *r, enum cleanup_state *state, enum cleanup_event event)
{
    *state = (enum cleanup_state)take(r, &cleanup_moves[*state][event]);
}

void state_session(struct tgt_reactor *r, enum session_rfc_state *state, enum session_rfc_event event)
{
    *state = (enum session_rfc_state)take(r, &session_moves[*state][event]);
}
