/* Follows the PDUs on every connection of the simulated network, knows from the login which digests protect
 * them, and flips bits only where one does. */
#ifndef LUNETTE_TESTS_SIM_WIRE_H
#define LUNETTE_TESTS_SIM_WIRE_H

#include "common/io/sim.h"
#include "common/base/list.h"

/* Things that a set of runs must have shown on the wire: X(opcode, where, mask, value, name). `where` is a
 * byte of the header; from it a big-endian 16-bit number is compared under the mask. */
/* clang-format off */
#define WIRE_FACTS(X)                                                                                        \
    X(0x00,  0, 0x0000, 0x0000, "NOP-Out")                                                                   \
    X(0x01,  0, 0x0000, 0x0000, "SCSI Command")                                                              \
    X(0x05,  0, 0x0000, 0x0000, "SCSI Data-Out")                                                             \
    X(0x02,  0, 0x007f, 0x0001, "Task Management: ABORT TASK")                                               \
    X(0x02,  0, 0x007f, 0x0002, "Task Management: ABORT TASK SET")                                           \
    X(0x02,  0, 0x007f, 0x0003, "Task Management: CLEAR ACA")                                                \
    X(0x02,  0, 0x007f, 0x0004, "Task Management: CLEAR TASK SET")                                           \
    X(0x02,  0, 0x007f, 0x0005, "Task Management: LOGICAL UNIT RESET")                                       \
    X(0x02,  0, 0x007f, 0x0006, "Task Management: TARGET WARM RESET")                                        \
    X(0x02,  0, 0x007f, 0x0007, "Task Management: TARGET COLD RESET")                                        \
    X(0x02,  0, 0x007f, 0x0008, "Task Management: TASK REASSIGN")                                            \
    X(0x02,  0, 0x007f, 0x0009, "Task Management: QUERY TASK")                                               \
    X(0x02,  0, 0x007f, 0x000a, "Task Management: QUERY TASK SET")                                           \
    X(0x02,  0, 0x007f, 0x000b, "Task Management: I_T NEXUS RESET")                                          \
    X(0x02,  0, 0x007f, 0x000c, "Task Management: QUERY ASYNC EVENT")                                        \
    X(0x04,  0, 0x0000, 0x0000, "Text Request")                                                              \
    X(0x04,  0, 0x0040, 0x0040, "Text Request that is continued")                                            \
    X(0x06,  0, 0x007f, 0x0000, "Logout: close the session")                                                 \
    X(0x06,  0, 0x007f, 0x0001, "Logout: close a connection")                                                \
    X(0x06,  0, 0x007f, 0x0002, "Logout: remove a connection for recovery")                                  \
    X(0x10,  0, 0x000f, 0x0000, "SNACK: Data or R2T")                                                        \
    X(0x10,  0, 0x000f, 0x0001, "SNACK: Status")                                                             \
    X(0x10,  0, 0x000f, 0x0002, "SNACK: DataACK")                                                            \
    X(0x10,  0, 0x000f, 0x0003, "SNACK: R-Data")                                                             \
    X(0x20,  0, 0x0000, 0x0000, "NOP-In")                                                                    \
    X(0x21,  2, 0x00ff, 0x0002, "SCSI Response: CHECK CONDITION")                                            \
    X(0x21,  2, 0x00ff, 0x0008, "SCSI Response: BUSY")                                                       \
    X(0x21,  2, 0x00ff, 0x0028, "SCSI Response: TASK SET FULL")                                              \
    X(0x21,  2, 0x00ff, 0x0040, "SCSI Response: TASK ABORTED")                                               \
    X(0x22,  2, 0xff00, 0x0000, "Task Management Response: function complete")                               \
    X(0x22,  2, 0xff00, 0x0100, "Task Management Response: no such task")                                    \
    X(0x22,  2, 0xff00, 0x0200, "Task Management Response: no such LUN")                                     \
    X(0x22,  2, 0xff00, 0x0700, "Task Management Response: function succeeded")                              \
    X(0x22,  2, 0xff00, 0xff00, "Task Management Response: rejected")                                        \
    X(0x23, 36, 0xffff, 0x0101, "Login Response: moved temporarily")                                         \
    X(0x23, 36, 0xffff, 0x0102, "Login Response: moved permanently")                                         \
    X(0x24,  0, 0x0040, 0x0040, "Text Response that is continued")                                           \
    X(0x25,  0, 0x0001, 0x0001, "Data-In with the status")                                                   \
    X(0x25,  0, 0x0040, 0x0040, "Data-In that asks to be acknowledged")                                      \
    X(0x31,  0, 0x0000, 0x0000, "R2T")                                                                       \
    X(0x32, 36, 0xff00, 0x0000, "Async: SCSI event")                                                         \
    X(0x32, 36, 0xff00, 0x0100, "Async: logout request")                                                     \
    X(0x32, 36, 0xff00, 0x0200, "Async: a connection is dropped")                                            \
    X(0x32, 36, 0xff00, 0x0300, "Async: the session is dropped")                                             \
    X(0x32, 36, 0xff00, 0x0400, "Async: negotiation request")                                                \
    X(0x32, 36, 0xff00, 0x0500, "Async: tasks terminated")                                                   \
    X(0x32, 36, 0xff00, 0xff00, "Async: vendor's event")                                                     \
    X(0x3f,  2, 0xff00, 0x0200, "Reject: data digest")
/* clang-format on */
enum {
#define X(opcode, at, mask, value, name) +1
    WIRE_FACT_COUNT = WIRE_FACTS(X)
#undef X
};
const char *wire_fact_name(uint32_t fact);
uint32_t wire_fact(const char *name); /* the other way round */

struct wire {
    struct sim_wire hook;
    struct sim_world *sim; /* borrowed */
    struct list_node conns;
    uint32_t flip_header, flip_data; /* probability in 1/1000 per PDU; 0: never */
    bool show;                       /* prints each header */
    uint64_t flipped_headers, flipped_data;
    uint64_t facts[WIRE_FACT_COUNT]; /* how often */
    uint64_t windows_closed;         /* PDUs of the target with MaxCmdSN below ExpCmdSN */
    const struct env *env;           /* borrowed */
};

void wire_init(struct wire *wire, struct sim_world *sim, const struct env *env);
void wire_fini(struct wire *wire);

#endif
