/* The initiator's state machines of RFC 7143 chapter 8 as tables: connection (8.1.3), connection cleanup
 * (8.2) and session (8.3.1). A state changes only by a row of its table; each row counts how often it was
 * taken, so that tests and the simulator can show that none is dead. */
#ifndef LUNETTE_INITIATOR_ISCSI_STATES_H
#define LUNETTE_INITIATOR_ISCSI_STATES_H

#include <stdint.h>

struct ini_session;
struct ini_conn;
struct ini_cleanup;

/* S3 is a target's. */
enum ini_conn_state {
    INI_S1_FREE,
    INI_S2_XPT_WAIT,
    INI_S4_IN_LOGIN,
    INI_S5_LOGGED_IN,
    INI_S6_IN_LOGOUT,
    INI_S7_LOGOUT_REQUESTED,
    INI_S8_CLEANUP_WAIT
};
enum ini_cleanup_state { INI_R1_CLEANUP_WAIT, INI_R2_IN_CLEANUP, INI_R3_FREE };
/* Q2 and Q5 are a target's. */
enum ini_session_state { INI_Q1_FREE, INI_Q3_LOGGED_IN, INI_Q4_FAILED };

/* One row: from, to, the RFC's name of it. */
struct ini_transition {
    uint8_t from, to;
    const char *name; /* "T5" */
};
#define INI_CONN_TRANSITIONS    16u /* T1, T2, T4, T5, T7 .. T18 */
#define INI_CLEANUP_TRANSITIONS 4u  /* M1 .. M4 */
#define INI_SESSION_TRANSITIONS 5u  /* N1, N3 .. N6 */
extern const struct ini_transition ini_conn_table[INI_CONN_TRANSITIONS];
extern const struct ini_transition ini_cleanup_table[INI_CLEANUP_TRANSITIONS];
extern const struct ini_transition ini_session_table[INI_SESSION_TRANSITIONS];

/* How often each row was taken, in the tables' order. */
struct ini_transitions {
    uint64_t conn[INI_CONN_TRANSITIONS], cleanup[INI_CLEANUP_TRANSITIONS], session[INI_SESSION_TRANSITIONS];
};
const struct ini_transitions *ini_transitions(const struct ini_session *s);
enum ini_conn_state ini_conn_state(const struct ini_conn *conn);
enum ini_session_state ini_session_state(const struct ini_session *s);

/* The engine's: the only places that assign a state. Without such a row they assert. */
void ini_conn_move(struct ini_conn *conn, enum ini_conn_state to);
void ini_cleanup_move(struct ini_session *s, struct ini_cleanup *r, enum ini_cleanup_state to);
void ini_session_move(struct ini_session *s, enum ini_session_state to);

#endif
