/* How often each fault, recovery path and state transition was exercised by a set of seeds. Rows are declared
 * before the first run, so that what never happens shows as a zero. */
#ifndef LUNETTE_TESTS_SIM_COVERAGE_H
#define LUNETTE_TESTS_SIM_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#define COVERAGE_ROWS_MAX 512u

/* What the simulator itself counts; faults of the sim backend come before these in the table. */
#define COVER_LIST(X)                                                                                        \
    X(SESSION_DROP, "administrator drops a session")                                                         \
    X(CLIENT_CRASH, "initiator crash, peers see resets")                                                     \
    X(CLIENT_VANISH, "initiator crash, nobody is told (reinstatement)")                                      \
    X(TARGET_CRASH, "target crash and restart, cache survives")                                              \
    X(TARGET_POWER, "target power cut and restart")                                                          \
    X(TARGET_VANISH, "target crash, nobody is told")                                                         \
    X(TARGET_STOP, "orderly target stop and restart")                                                        \
    X(CUT_ALL, "all connections reset at once")                                                              \
    X(SILENCE_ALL, "all connections go silent at once")                                                      \
    X(CONFIG, "new configuration snapshot under load")                                                       \
    X(LUN_REMOVED, "LUN removed under load")                                                                 \
    X(LUN_ADDED, "LUN added under load")                                                                     \
    X(LUN_GROWN, "LUN grown under load")                                                                     \
    X(TMF, "task management at any time, with commands in flight")                                           \
    X(LOGOUT_SESSION, "session logged out under load")                                                       \
    X(LOGOUT_AT_ONCE, "session logged out with commands in flight")                                          \
    X(LOGOUT_CONNECTION, "one of several connections logged out under load")                                 \
    X(MAX_RECV, "new MaxRecvDataSegmentLength declared under load")                                          \
    X(TEXT, "texts and SendTargets within a session under load")                                             \
    X(NOTIFY, "vendor's event sent")                                                                         \
    X(RENEGOTIATE, "target asks for a negotiation")                                                          \
    X(DISCOVERY, "discovery sessions that found all targets")                                                \
    X(MOVED_TEMPORARILY, "temporary redirection followed")                                                   \
    X(MOVED_PERMANENTLY, "permanent redirection followed, and remembered")                                   \
    X(MOVED_GROUP, "redirection of one portal group only: another one serves")                               \
    X(MOVED_CIRCLE, "redirection in a circle given up")                                                      \
    X(MOVED_FAR, "redirection over more hops than allowed given up")                                         \
    X(SMALL_MEMORY, "worlds whose target has little memory")                                                 \
    X(WINDOW_CLOSED, "PDUs that close the command window")                                                   \
    X(CHAP, "worlds with CHAP")                                                                              \
    X(FAST_ABORT, "sessions with TaskReporting=FastAbort")                                                   \
    X(RESPONSE_FENCE, "sessions with TaskReporting=ResponseFence")                                           \
    X(LEVEL_7144, "sessions with iSCSIProtocolLevel 2")                                                      \
    X(ALLOC_TARGET, "allocation failed in the target")                                                       \
    X(ALLOC_CLIENT, "allocation failed in an initiator")                                                     \
    X(RECONNECT, "session recovered by a new login")                                                         \
    X(REISSUE, "commands that needed more than one attempt")                                                 \
    X(TIMEOUT_ABORT, "commands ended by an abort or reset of their own")                                     \
    X(TIMEOUT_LOST, "commands given up without an answer")                                                   \
    X(TARGET_TMF, "task management functions at the target")                                                 \
    X(MEDIUM_ERROR, "commands ended with a medium error")                                                    \
    X(LUN_MISSING, "commands to a LUN that was gone")                                                        \
    X(DIGEST_HEADER, "header flipped under a digest")                                                        \
    X(DIGEST_DATA, "data flipped under a digest")                                                            \
    X(SNACK_DATA, "SNACK: data or R2T asked for again")                                                      \
    X(SNACK_STATUS, "SNACK: status asked for again")                                                         \
    X(SNACK_ACK, "SNACK: data acknowledged")                                                                 \
    X(SNACK_RDATA, "SNACK: all data asked for again, in new pieces")                                         \
    X(RETRY, "command retried with its CmdSN")                                                               \
    X(REASSIGN, "task reassigned to another connection")                                                     \
    X(CONN_RECOVERED, "connection recovered at level 2")                                                     \
    X(RECOVERY_R2T, "recovery R2T at the target")                                                            \
    X(LEVEL_0, "sessions at recovery level 0")                                                               \
    X(LEVEL_1, "sessions at recovery level 1")                                                               \
    X(LEVEL_2, "sessions at recovery level 2")                                                               \
    X(MANY_CONNECTIONS, "sessions with several connections")                                                 \
    X(LOGIN_FAILED, "logins refused or failed at the target")                                                \
    X(REJECT, "PDUs rejected by the target")                                                                 \
    X(REACTORS_1, "worlds with 1 target reactor")                                                            \
    X(REACTORS_2, "worlds with 2 target reactors")                                                           \
    X(REACTORS_3, "worlds with 3 target reactors")                                                           \
    X(REACTORS_4, "worlds with 4 target reactors")                                                           \
    X(CLIENTS_8, "worlds with 8 initiators")                                                                 \
    X(READ, "reads checked against the model")                                                               \
    X(WRITE, "writes")                                                                                       \
    X(WRITE_FUA, "writes with FUA")                                                                          \
    X(ZERO, "ranges zeroed by WRITE SAME")                                                                   \
    X(FLUSH, "SYNCHRONIZE CACHE")                                                                            \
    X(FLOOR, "durable floor checked after a power cut at rest")

enum cover {
#define X(name, text) COVER_##name,
    COVER_LIST(X)
#undef X
        COVER_COUNT
};

/* Declares the rows above, and those of the sim backend. Once, before anything else. */
void coverage_init(void);
/* A further row, of engine counters for instance; its number for coverage_add_row. */
uint32_t coverage_declare(const char *name);
void coverage_add(enum cover row, uint64_t count);
void coverage_add_row(uint32_t row, uint64_t count);
/* TGT_TRANSITION_COUNT counts of a target's reactor. */
void coverage_add_transitions(const uint64_t *target);
struct ini_transitions;
void coverage_add_initiator(const struct ini_transitions *initiator);
/* WIRE_FACT_COUNT counts of one world. */
void coverage_add_facts(const uint64_t *facts);
/* Adds up the sim backend's counts of one world. */
struct sim_world;
void coverage_add_world(const struct sim_world *sim);

/* Counts of one process, to be added to those of another. */
uint32_t coverage_rows(void);
const uint64_t *coverage_counts(void);
void coverage_merge(const uint64_t *counts);
void coverage_clear(void); /* a process begins with its parent's */
/* Prints the table; how many rows are at zero. */
uint32_t coverage_print(void);

#endif
