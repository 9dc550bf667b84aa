/* The device server: executes SCSI commands on logical units. No I/O: it turns commands into store requests
 * and data, which its host (through target/iscsi's reactor) submits and carries. SPC-4, SBC-3, SAM-5.
 *
 * Life of a task (all on the reactor of its nexus):
 *   transport fills struct scsi_task, calls scsi_task_start.
 *   events appear on reactor->ready (pull with scsi_next_ready), flagged in task->ready:
 *     SCSI_READY_OUT   the command wants task->out_len bytes of data-out (decided after CDB checks). The
 * transport brings them as spans with scsi_data_out, in any order of offsets, never overlapping; each span is
 * block aligned (see scsi_out_align) except the last. Raised again whenever a span has been consumed.
 *     SCSI_READY_IN    spans with data are on task->in_spans in order of offset: the transport pops them,
 * sends them and gives each back with scsi_span_done once its bytes are on the wire (that allows the next
 * read). SCSI_READY_DONE  finished: task->status, sense, in_len (bytes that the command returns in total) and
 * out_len are final. All data-in spans have been handed over before. The task belongs to the transport again.
 *     SCSI_READY_ABORTED  finished by a task management function, reset or nexus loss: no store operation can
 * touch the medium any more. If task->respond_aborted, answer TASK ABORTED (40h), else answer nothing. A
 * command that fails early may end while the initiator is still sending data-out: dropping it is the
 * transport's work.
 *
 * LU state that all reactors share (mode pages, size, resets) is changed on the LU's home reactor, which
 * sends it to every reactor's view as a scsi_msg and waits for their acknowledgement. Messages are pulled
 * with scsi_next_message and given to scsi_message on reactor msg->to. */
#ifndef LUNETTE_TARGET_SCSI_DEVICE_H
#define LUNETTE_TARGET_SCSI_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/env.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/scsi/cdb.h"
#include "target/store/store.h"

#define SCSI_SPAN_LEN          (256u * 1024u) /* bytes: largest span */
#define SCSI_SPANS_PER_TASK    4u             /* in flight at once, each direction */
#define SCSI_LOANS_PER_TASK    16u            /* the same where the store lends, in smaller pieces */
#define SCSI_SENSE_MAX         252u
#define SCSI_CDB_MAX           260u
#define SCSI_REACTORS_MAX      64u
#define SCSI_NAME_MAX          224u
#define SCSI_TASKS_PER_ITL_MAX 1024u /* more end TASK SET FULL */

struct scsi_lu;
struct scsi_lu_view; /* an LU as one reactor sees it; private to target/scsi */
struct scsi_waiter;
struct scsi_itl; /* one nexus's relation to one LU: unit attentions, task list; private */

/* ---- logical units (made by the host's configuration, shared by all reactors) ---- */
struct scsi_lu_config {
    char vendor[9], product[17], revision[5]; /* space padded by the encoder */
    char serial[64];                          /* VPD 80h, unique per LU; minted at creation and stored */
    uint8_t naa[16];                          /* NAA 6h identifier for VPD 83h */
    uint32_t block_size;                      /* bytes: 512 or 4096 */
    uint8_t physical_block_exponent;
    bool readonly;
    bool write_cache; /* WCE at power on */
    bool rotational;
    bool removable; /* RMB=1: START STOP UNIT can eject and load, PREVENT ALLOW holds the medium */
};
/* `home` is the reactor index that orders changes. The store is owned by the LU from now on. */
int scsi_lu_new(const struct env *env, const struct scsi_lu_config *config, struct store *store,
                uint32_t home, uint32_t reactor_count, struct scsi_lu **out);
/* No view may be in use (scsi_lu_idle on every reactor). Hands the store back for closing. */
struct store *scsi_lu_free(struct scsi_lu *lu);
const struct scsi_lu_config *scsi_lu_config(const struct scsi_lu *lu);
struct store *scsi_lu_store(const struct scsi_lu *lu);
uint64_t scsi_lu_blocks(const struct scsi_lu *lu);

/* ---- LUN maps: what one target shows (immutable snapshot; owned by the configuration) ---- */
struct scsi_lun {
    uint16_t number; /* 0 .. 16383 */
    bool readonly;
    struct scsi_lu *lu; /* borrowed: outlives the snapshot */
};
struct scsi_lun_map {
    uint32_t count;
    struct scsi_lun *luns; /* ascending by number */
};
/* 8-byte LUN field to number; false when the addressing method is none we use (peripheral bus 0, flat,
 * extended flat). *well_known is set for the REPORT LUNS well-known LU (C101h). */
bool scsi_lun_decode(uint64_t lun_field, uint16_t *number, bool *well_known);
uint64_t scsi_lun_encode(uint16_t number); /* peripheral below 256, flat from there */

/* ---- one reactor's device server ---- */
struct scsi_reactor {
    const struct env *env;
    struct pool *pool; /* borrowed */
    struct io *io; /* the host's, handed to stores that are asked to answer at once; NULL: none is asked */
    uint32_t index, count;
    struct list_node ready;    /* scsi_task.ready_node */
    struct list_node requests; /* store_req.node: to submit */
    struct list_node messages; /* scsi_msg.node: to post */
    struct list_node tmfs;     /* scsi_tmf.node: finished */
    struct list_node nexuses;
    struct list_node views;
    struct list_node waiting; /* tasks that wait for memory */
    struct list_node events;  /* scsi_itl.event_node: to be told by scsi_next_event */
    struct list_node free_spans;
    struct list_node free_loans;
    uint64_t spans_allocated;
    uint32_t tasks_per_itl_max; /* SCSI_TASKS_PER_ITL_MAX, unless a test wants to see the limit reached */
    /* private */
    struct list_node dying;   /* aborted tasks that still have store requests; scsi_task.node */
    struct list_node waiters; /* task management that waits for them */
    uint64_t abort_seq;       /* aborts so far */
    uint64_t nexuses_opened;
    bool retrying, sweep;
};
void scsi_reactor_init(struct scsi_reactor *r, const struct env *env, struct pool *pool, uint32_t index,
                       uint32_t count);
void scsi_reactor_fini(struct scsi_reactor *r);

/* ---- nexus: one I_T nexus = one session ---- */
struct scsi_nexus {
    struct list_node node;
    struct scsi_reactor *reactor;
    /* Borrowed until the nexus is closed. */
    const char *initiator_port; /* "iqn...,i,0x00023d000001" */
    const char *target_port;    /* "iqn...,t,0x0001" */
    const char *target_name;
    uint16_t target_portal_group_tag, relative_port;
    const struct scsi_lun_map *map; /* borrowed from the configuration snapshot that the session holds */
    /* Negotiated iSCSIProtocolLevel (13.24). INQUIRY tells it; below 2 the priority of commands is ignored
     * and the status qualifier stays 0 (RFC 7144). 0: the transport does not say, and counts as 1. */
    uint8_t protocol_level;
    bool wants_events; /* scsi_next_event is pulled: set before the first command */
    bool takes_loans;  /* data-in may be the store's own memory: spans without a chunk */
    uint32_t tasks;    /* started, not yet done or aborted */
    /* private */
    uint64_t id; /* unique among all reactors */
    struct list_node itls;
    struct scsi_itl *none;   /* where commands to absent LUNs and to the well-known LU run; owned */
    struct scsi_itl *low[8]; /* by LUN, for those that have been used; borrowed from itls */
};
/* A new nexus gets exactly one unit attention from each LU: 29/00, power on or reset or what an initiator may
 * take for it. */
int scsi_nexus_open(struct scsi_reactor *r, struct scsi_nexus *nexus);
/* Nexus loss: aborts all tasks (each comes back SCSI_READY_ABORTED with respond_aborted false). */
void scsi_nexus_abort_all(struct scsi_nexus *nexus);
/* The transport ended tasks of this LU although the nexus goes on (RFC 7143 7.6, 11.14.5): 47/7F. */
void scsi_nexus_commands_cleared(struct scsi_nexus *nexus, uint64_t lun);
/* nexus->tasks must be 0. */
void scsi_nexus_close(struct scsi_nexus *nexus);
/* The configuration changed: new map; raises 3F/0E (REPORTED LUNS DATA HAS CHANGED) when the LUNs differ. */
void scsi_nexus_set_map(struct scsi_nexus *nexus, const struct scsi_lun_map *map);

/* ---- commands that never become tasks (instant.c) ---- */
/* A plain read or write of a store that answers at once, when nothing in the task set can hold it up, and
 * `len` or the data is exactly what the CDB says: it is executed now, ends GOOD, and true comes back. Of a
 * read `data` gets a reference. False: nothing has happened, the command has to be started as a task. */
bool scsi_instant_read(struct scsi_nexus *nexus, uint64_t lun, const uint8_t *cdb, uint32_t len,
                       struct slice *data);
bool scsi_instant_write(struct scsi_nexus *nexus, uint64_t lun, const uint8_t *cdb, const struct slice *data);
/* This command seems to come next, nothing of it is certain. A plain write's blocks, or where a plain read's
 * begin, are fetched into the cache while the one before it is carried out. `moves`, CDB_OUT or CDB_IN: only
 * if it is a write, or a read. */
void scsi_instant_expect(struct scsi_nexus *nexus, uint64_t lun, const uint8_t *cdb,
                         enum cdb_direction moves);

/* ---- tasks ---- */
enum scsi_attr { SCSI_UNTAGGED = 0, SCSI_SIMPLE = 1, SCSI_ORDERED = 2, SCSI_HEAD_OF_QUEUE = 3, SCSI_ACA = 4 };
enum { SCSI_READY_OUT = 1, SCSI_READY_IN = 2, SCSI_READY_DONE = 4, SCSI_READY_ABORTED = 8 };

struct scsi_span { /* a piece of a task's data with its store request */
    struct list_node node;
    struct scsi_task *task; /* borrowed while in flight */
    uint64_t offset;        /* bytes within the command's data */
    struct slice data;
    uint32_t unsent; /* the transport's: PDUs of this span not yet on the wire (tx done_count) */
    /* private */
    struct scsi_task *live;     /* the task that waits for this span; NULL once the task is over */
    struct list_node task_node; /* in the task's reading, lent or stalled list */
    struct scsi_span *other;    /* VERIFY: the data-out that this read is compared with; owned */
    struct scsi_loan *loan;     /* owned until the store fills it: then `data` has it */
    uint8_t kind;
    bool complete;
    struct store_req req;
};

/* Waits for every task that was aborted up to `limit` and that it covers. Private. */
struct scsi_waiter {
    struct list_node node;
    uint64_t limit;
    const struct scsi_lu *lu;       /* NULL: any */
    const struct scsi_itl *itl;     /* NULL: any */
    const struct scsi_nexus *nexus; /* NULL: any; compared only */
    const struct scsi_task *task;   /* NULL: any */
    void (*over)(struct scsi_reactor *r, struct scsi_waiter *waiter);
};

struct scsi_task {
    /* set by the transport */
    struct scsi_nexus *nexus;
    uint64_t lun;           /* the wire's 8 bytes */
    uint16_t cdb_len;       /* bytes given in cdb: 16, or more with an extended CDB AHS */
    uint8_t attr, priority; /* priority: 1 highest .. 15 lowest, 0 none (SAM-5 8.7) */
    uint64_t expected_in,
        expected_out; /* bytes: EDTL of each direction, 0 when that direction is not announced */
    void *owner;

    /* results, final at DONE; out_len is set from the first SCSI_READY_OUT on */
    uint8_t status;
    uint16_t status_qualifier; /* with BUSY and TASK SET FULL: retry delay in units of 100 ms (SAM-5 5.3.2) */
    uint8_t sense_len;         /* bytes in sense */
    uint64_t in_len;  /* bytes of data-in that the command has (before EDTL cuts it): residuals are the
                         transport's sum. Of a bidirectional command as much as data-out came */
    uint64_t out_len; /* bytes of data-out that the command takes; the transport brings min(out_len,
                         expected_out) */
    bool respond_aborted;

    uint32_t ready; /* SCSI_READY_ bits not yet pulled */
    struct list_node ready_node;
    struct list_node in_spans; /* scsi_span.node */

    /* the device server's own */
    struct scsi_itl *itl;
    struct list_node node, wait_node;
    const struct scsi_command_def *def;
    uint32_t state;
    bool aborted, started;
    uint64_t lba, blocks;
    uint64_t next_in;       /* next byte to read */
    uint32_t store_pending; /* store requests in flight */
    uint32_t spans_out, spans_in;
    struct slice param;       /* parameter list or one block of WRITE SAME */
    uint64_t work[6];         /* per-command scratch */
    uint64_t need_in;         /* bytes to read from the store */
    uint64_t received;        /* bytes of data-out that have come */
    bool out_ended;           /* no more will */
    bool entered;             /* counts as running in its ITL */
    struct list_node reading; /* spans in order of offset, not yet handed over */
    struct list_node lent;    /* handed over, not yet given back */
    struct list_node stalled; /* data-out that waits for memory */
    uint64_t abort_seq;
    void (*resume)(struct scsi_reactor *r, struct scsi_task *task); /* when memory is there again */
    void (*after)(struct scsi_reactor *r, struct scsi_task *task);  /* when req has completed */

    /* From here on nothing is read that has not been written: SCSI_TASK_ZERO bytes in front are to be zeroed.
     */
    uint8_t cdb[SCSI_CDB_MAX];     /* the transport's */
    uint8_t sense[SCSI_SENSE_MAX]; /* a result */
    struct store_req req;          /* the device server's own: for flush, discard, zero */
};
#define SCSI_TASK_ZERO offsetof(struct scsi_task, cdb)

/* Zero the task, set the transport's fields, list_init nothing: start does the rest. */
void scsi_task_start(struct scsi_reactor *r, struct scsi_task *task);
/* Next task with news; its `ready` bits are moved to *bits and cleared. NULL: none. */
struct scsi_task *scsi_next_ready(struct scsi_reactor *r, uint32_t *bits);
/* Bytes: boundary that data-out spans must start at (the block size for block writes, otherwise 1). SPAN_LEN
 * is a multiple. */
uint32_t scsi_out_align(const struct scsi_task *task);
/* A span with its own chunk of at least len bytes (len <= SCSI_SPAN_LEN), or NULL when memory is short (try
 * later). */
struct scsi_span *scsi_span_new(struct scsi_reactor *r, uint32_t len);
/* A span around existing bytes (takes over the reference): immediate data straight from the receive chunk. */
struct scsi_span *scsi_span_wrap(struct scsi_reactor *r, struct slice *data);
/* Releases data and the span. For data-in spans of a live task this also lets the next read start. */
void scsi_span_done(struct scsi_reactor *r, struct scsi_span *span);
/* Hands a complete data-out span over: span->offset and data.len say where. Not after DONE or ABORTED was
 * pulled. */
void scsi_data_out(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span);
/* The transport can bring no more data-out (expected_out was less than out_len): the command ends with what
 * came. */
void scsi_data_out_end(struct scsi_reactor *r, struct scsi_task *task);
/* Aborts one task: it comes back SCSI_READY_ABORTED later (or already). */
void scsi_task_abort(struct scsi_reactor *r, struct scsi_task *task);

/* ---- store requests, messages ---- */
struct store_req *scsi_next_request(struct scsi_reactor *r);         /* the host submits it to req->store */
void scsi_store_done(struct scsi_reactor *r, struct store_req *req); /* req->result is set */

enum scsi_msg_kind { SCSI_MSG_TO_HOME, SCSI_MSG_APPLY, SCSI_MSG_ACK, SCSI_MSG_FINISHED };
struct scsi_msg { /* owned by whoever holds it; freed by the last receiver through env */
    struct list_node node;
    uint32_t to; /* reactor index */
    uint32_t from;
    enum scsi_msg_kind kind;
    struct scsi_lu *lu;
    void *what; /* private: the change */
};
struct scsi_msg *scsi_next_message(struct scsi_reactor *r);
void scsi_message(struct scsi_reactor *r, struct scsi_msg *msg);

/* ---- task management ---- */
enum scsi_tmf_function { /* RFC 7143 11.5.1 numbers */
                         SCSI_TMF_ABORT_TASK = 1,
                         SCSI_TMF_ABORT_TASK_SET = 2,
                         SCSI_TMF_CLEAR_ACA = 3,
                         SCSI_TMF_CLEAR_TASK_SET = 4,
                         SCSI_TMF_LOGICAL_UNIT_RESET = 5,
                         SCSI_TMF_TARGET_WARM_RESET = 6,
                         SCSI_TMF_TARGET_COLD_RESET = 7,
                         /* RFC 7144 6.3; 8 is the transport's own (TASK REASSIGN) */
                         SCSI_TMF_QUERY_TASK = 9,
                         SCSI_TMF_QUERY_TASK_SET = 10,
                         SCSI_TMF_I_T_NEXUS_RESET = 11,
                         SCSI_TMF_QUERY_ASYNC_EVENT = 12
};
/* SUCCEEDED: a query found what it asked for (a query that did not is COMPLETE). */
enum scsi_tmf_result { SCSI_TMF_COMPLETE, SCSI_TMF_NO_LUN, SCSI_TMF_REJECTED, SCSI_TMF_SUCCEEDED };
struct scsi_tmf {
    struct list_node node;
    enum scsi_tmf_function function;
    struct scsi_nexus *nexus;
    uint64_t lun;
    /* ABORT TASK, QUERY TASK: the transport found it; NULL: already gone, completes at once. A task that the
     * transport still holds back (not started, or over and not yet answered) is the transport's to judge. */
    struct scsi_task *task;
    void *owner;
    enum scsi_tmf_result result;
    /* ADDITIONAL RESPONSE INFORMATION (SAM-5 7.10): of QUERY ASYNCHRONOUS EVENT that SUCCEEDED, else 0. Byte
     * 0: depth (1: one event, 2: more) << 4 | sense key; byte 1: ASC; byte 2: ASCQ. */
    uint8_t info[3];
    uint32_t pending;          /* private: what must still end */
    struct scsi_waiter waiter; /* private */
    bool detached; /* the nexus went away: nobody wants the answer; freed by the device server through env */
};
/* QUERY TASK, QUERY TASK SET: is the task, or any task, in the task set of this nexus and LU (those that are
 * being aborted are not). QUERY ASYNCHRONOUS EVENT: is a unit attention pending there; it stays. I_T NEXUS
 * RESET: all tasks of the nexus end as those of ABORT TASK SET do, on every LU, and unit attention 29/07 is
 * raised on each that it has used; dropping the connections is the transport's work. Starts it; it appears in
 * scsi_next_tmf when every affected task (of all nexuses and reactors, for resets) has left the store.
 * Affected tasks come back SCSI_READY_ABORTED before. The transport must have started all commands that the
 * TMF covers (CmdSN order) before. */
void scsi_tmf_start(struct scsi_reactor *r, struct scsi_tmf *tmf);
struct scsi_tmf *scsi_next_tmf(struct scsi_reactor *r);

/* ---- events that need no command to be told (RFC 7143 11.9, AsyncEvent 0): REPORTED LUNS DATA HAS CHANGED
 * and CAPACITY DATA HAS CHANGED, for nexuses with wants_events and LUs that they have sent a command to ----
 */
struct scsi_event {
    struct scsi_nexus *nexus; /* borrowed */
    uint64_t lun;             /* the wire's 8 bytes */
    uint8_t sense[SCSI_SENSE_MAX];
    uint8_t sense_len;
};
/* The next one, in order. False: none. A nexus that closes takes its events with it. INQUIRY has no AERC bit
 * since SPC-3 and the control mode page no permission bits: whether events are sent is the transport's
 * configuration alone. */
bool scsi_next_event(struct scsi_reactor *r, struct scsi_event *out);

/* The LU's size has changed in its store (resize): new capacity in every view, then 2A/09 for every nexus.
 * `done` is put on the reactor's finished list like a TMF. Call on any reactor. */
void scsi_lu_resized(struct scsi_reactor *r, struct scsi_lu *lu, struct scsi_tmf *done);
/* LU goes away from this reactor (configuration removed it): true when no task of this reactor uses it. */
bool scsi_lu_idle(struct scsi_reactor *r, struct scsi_lu *lu);
/* Drops this reactor's view of the LU (nexus maps no longer name it, scsi_lu_idle is true). */
void scsi_lu_forget(struct scsi_reactor *r, struct scsi_lu *lu);

#endif
