/* What the files of the device server share among themselves. device.h is the door for everybody else. */
#ifndef LUNETTE_TARGET_SCSI_PRIVATE_H
#define LUNETTE_TARGET_SCSI_PRIVATE_H

#include <stdatomic.h>

#include "common/scsi/cdb.h"
#include "common/scsi/sense.h"
#include "target/scsi/device.h"

/* ---- limits that VPD page B0h tells and the commands enforce ---- */
#define LIMIT_UNMAP_BLOCKS      (1024u * 1024u) /* of one command */
#define LIMIT_UNMAP_DESCRIPTORS 256u
#define LIMIT_WRITE_SAME_BYTES  (UINT64_C(1) << 30)

/* STATUS QUALIFIER of BUSY and TASK SET FULL (SAM-5 5.3.2): scope 00b, this nexus and LU; delay of 100 ms
 * before the command is sent again. What is short here (memory, a place in the task set) comes back within
 * that. */
#define RETRY_DELAY 1

/* ---- state of an LU that all reactors know ---- */
enum lu_flag {
    LU_WCE = 1,     /* write cache enabled */
    LU_D_SENSE = 2, /* descriptor format sense */
    LU_SWP = 4,     /* software write protect */
    LU_STOPPED = 8,
    LU_EJECTED = 16
};
#define LU_MODE_FLAGS (LU_WCE | LU_D_SENSE | LU_SWP)

struct scsi_lu {
    const struct env *env;
    struct scsi_lu_config config;
    struct store *store; /* owned */
    uint32_t home, reactor_count;
    /* Written on the home reactor; read where a view is made. The data path reads its view. */
    _Atomic uint64_t blocks;
    _Atomic uint32_t flags;
    _Atomic uint32_t prevents; /* nexuses that prevent removal, on all reactors */
    _Atomic uint32_t changes;  /* changes under way */
};

struct scsi_lu_view {
    struct list_node node; /* scsi_reactor.views */
    struct scsi_lu *lu;    /* borrowed until scsi_lu_forget */
    uint64_t blocks;
    uint32_t flags;
    struct list_node itls; /* scsi_itl.view_node: those with tasks are all there */
    uint32_t loans;        /* pieces of the store's memory that are out */
};

/* Unit attention conditions, in the order in which they are told (SAM-5 5.14.2: resets first). */
#define UA_LIST(X)                                                                                           \
    X(POWER_ON_RESET, ASC_POWER_ON_RESET)                                                                    \
    X(RESET, ASC_RESET_FUNCTION)                                                                             \
    X(NEXUS_LOSS, ASC_NEXUS_LOSS)                                                                            \
    X(COMMANDS_CLEARED, ASC_COMMANDS_CLEARED_BY_ISCSI)                                                       \
    X(MEDIUM_CHANGED, ASC_MEDIUM_MAY_HAVE_CHANGED)                                                           \
    X(MODE_CHANGED, ASC_MODE_PARAMETERS_CHANGED)                                                             \
    X(CAPACITY_CHANGED, ASC_CAPACITY_CHANGED)                                                                \
    X(LUNS_CHANGED, ASC_LUNS_CHANGED)
enum ua {
#define X(name, code) UA_##name,
    UA_LIST(X)
#undef X
        UA_COUNT
};

struct scsi_itl {
    struct list_node nexus_node, view_node;
    struct scsi_nexus *nexus;  /* borrowed: outlives the ITL */
    struct scsi_lu_view *view; /* borrowed; NULL in nexus->none */
    uint16_t number;
    bool readonly;
    bool gone;    /* no longer in the map: freed when its last task is over */
    bool prevent; /* PREVENT ALLOW MEDIUM REMOVAL */
    bool pumping;
    uint32_t ua;                 /* bit set of enum ua */
    uint32_t untold;             /* of these, events that the transport has not yet pulled */
    struct list_node event_node; /* scsi_reactor.events */
    struct list_node tasks;      /* live, not aborted; scsi_task.node */
    struct list_node blocked;    /* wait for their turn; scsi_task.wait_node */
    uint32_t live;               /* tasks that are not over, with aborted ones */
    uint32_t running;            /* that have entered */
    uint32_t barriers;           /* of these, ORDERED and HEAD OF QUEUE: SIMPLE tasks wait for them */
};

/* ---- commands ---- */
enum command_flag {
    CMD_MEDIUM = 1,   /* needs a medium that is ready */
    CMD_WRITE = 2,    /* refused on write-protected LUs */
    CMD_UA = 4,       /* runs although a unit attention is pending */
    CMD_ANY_LUN = 8,  /* runs on absent LUNs and the well-known LU too */
    CMD_BLOCKS = 16,  /* data-out comes in whole blocks */
    CMD_DISCARD = 32, /* exists only where the store can discard */
};
struct scsi_command_def {
    const struct cdb_def *cdb;
    uint32_t flags;
    void (*start)(struct scsi_reactor *r, struct scsi_task *task);
    /* The parameter list of a command that called task_collect is complete in task->param. */
    void (*data)(struct scsi_reactor *r, struct scsi_task *task);
};
extern const struct scsi_command_def scsi_commands[CDB_COMMAND_COUNT]; /* indexed by enum cdb_command */
bool command_supported(const struct scsi_task *task, const struct scsi_command_def *def);

enum task_state { TASK_BLOCKED, TASK_RUNNING, TASK_FINISHING, TASK_DYING, TASK_OVER };
enum span_kind { SPAN_READ, SPAN_WRITE, SPAN_COMPARE, SPAN_XOR };

/* ---- lu.c, nexus.c ---- */
struct scsi_lu_view *view_find(struct scsi_reactor *r, const struct scsi_lu *lu);
struct scsi_lu_view *view_make(struct scsi_reactor *r,
                               struct scsi_lu *lu); /* found or new; NULL: out of memory */
enum itl_found { ITL_FOUND, ITL_ABSENT, ITL_NO_MEMORY };
enum itl_found itl_find(struct scsi_nexus *nexus, uint16_t number, struct scsi_itl **out);
/* Only if it exists already; NULL: no command has been sent to this LUN. */
struct scsi_itl *itl_known(struct scsi_nexus *nexus, uint16_t number);
void itl_free(struct scsi_itl *itl);
/* Frees ITLs that left the map and have no task any more. Not from inside anything that walks ITLs. */
void itls_sweep(struct scsi_reactor *r);
void ua_raise(struct scsi_itl *itl, enum ua ua);
void ua_clear(struct scsi_itl *itl, enum ua ua);
/* How many conditions the initiator would be told of, one after another. */
unsigned ua_count(const struct scsi_itl *itl);
/* The most important pending condition as sense; false: none. ua_take also clears it (a reset with all that
 * it implies). */
bool ua_peek(const struct scsi_itl *itl, struct scsi_sense *out);
bool ua_take(struct scsi_itl *itl, struct scsi_sense *out);
void itl_prevent(struct scsi_itl *itl, bool prevent);
void nexus_lose(struct scsi_nexus *nexus);

/* ---- loan.c: memory of a store as a chunk, so that a slice of it is like any other ---- */
struct scsi_loan {
    struct chunk chunk;    /* first */
    struct list_node node; /* reactor->free_loans */
    struct scsi_reactor *r;
    struct scsi_lu_view *lender;
    void *of_store; /* what its give_back wants */
};
struct scsi_loan *loan_new(struct scsi_reactor *r); /* NULL: out of memory */
void loan_unused(struct scsi_loan *loan);
/* What a completed request lent, as a slice that owns the loan. */
struct slice loan_take(struct scsi_loan *loan, struct scsi_lu_view *lender, const struct store_req *req);
void loans_free(struct scsi_reactor *r);

/* ---- span.c ---- */
/* A span for data that the store lends. */
struct scsi_span *span_to_lend(struct scsi_reactor *r);
void span_lent(struct scsi_span *span,
               struct scsi_lu_view *lender); /* its request brought data of the store's */
/* As scsi_span_new, but from all of the pool: for a span that is gone before its task holds another. */
struct scsi_span *span_new_extra(struct scsi_reactor *r, uint32_t len);
void span_recycle(struct scsi_reactor *r, struct scsi_span *span);
/* Memory may be there again: lets waiting tasks try, in order. */
void tasks_retry(struct scsi_reactor *r);

/* ---- task.c, data.c, check.c, abort.c ---- */
static inline const struct scsi_lu *task_lu(const struct scsi_task *task)
{
    return task->itl->view->lu;
}
static inline uint32_t task_block_size(const struct scsi_task *task)
{
    return task->itl->view->lu->config.block_size;
}
uint64_t task_cdb(const struct scsi_task *task, enum cdb_field_id id);
void task_raise(struct scsi_task *task, uint32_t bits);
void task_good(struct scsi_reactor *r, struct scsi_task *task);
void task_status(struct scsi_reactor *r, struct scsi_task *task, uint8_t status);
void task_check(struct scsi_reactor *r, struct scsi_task *task, const struct scsi_sense *sense);
void task_fail(struct scsi_reactor *r, struct scsi_task *task, enum sense_key key, enum sense_code code);
/* 05/24/00 with a pointer to the field. */
void task_bad_cdb(struct scsi_reactor *r, struct scsi_task *task, enum cdb_field_id id);
/* 05/26/00 with a pointer into the parameter list. bit < 0: the byte. */
void task_bad_param(struct scsi_reactor *r, struct scsi_task *task, uint16_t byte, int bit);
/* What a failed store request means, with the LBA where it failed. */
void task_store_error(struct scsi_reactor *r, struct scsi_task *task, const struct store_req *req);
/* Parks the task until memory is there again; then calls resume. */
void task_wait(struct scsi_reactor *r, struct scsi_task *task,
               void (*resume)(struct scsi_reactor *r, struct scsi_task *task));
/* Data-in that was made here: hands over min(len, alloc, EDTL) bytes and ends GOOD. False: memory is short,
 * the command will be started again from its beginning. */
bool task_reply(struct scsi_reactor *r, struct scsi_task *task, const uint8_t *data, size_t len,
                uint64_t alloc);
/* Asks for `len` bytes of parameter list; then def->data. */
void task_collect(struct scsi_reactor *r, struct scsi_task *task, uint32_t len);
/* Bytes that the transport will bring. */
uint64_t task_out_limit(const struct scsi_task *task);
/* One store request that is the task's own (not a span's). */
void task_request(struct scsi_reactor *r, struct scsi_task *task, enum store_verb verb, uint64_t offset,
                  uint64_t len, bool fua, void (*after)(struct scsi_reactor *r, struct scsi_task *task));
void task_submit(struct scsi_reactor *r, struct scsi_task *task, struct store_req *req);
void task_abort(struct scsi_reactor *r, struct scsi_task *task, bool respond);
void itl_abort_all(struct scsi_reactor *r, struct scsi_itl *itl, bool respond);
/* Something the task waited for has come while it was already finishing or dying: ends it when that was the
 * last. */
void task_settle(struct scsi_reactor *r, struct scsi_task *task);
/* Calls waiter->over, now or when all it covers is over. */
void waiter_start(struct scsi_reactor *r, struct scsi_waiter *waiter);
void waiters_check(struct scsi_reactor *r); /* an aborted task is over */

/* LBA and count within the medium; else ends the task. */
bool task_range(struct scsi_reactor *r, struct scsi_task *task, uint64_t lba, uint64_t blocks);

/* ---- read.c, write.c, xor.c ---- */
void read_begin(struct scsi_reactor *r, struct scsi_task *task, uint64_t need); /* from task->lba on */
void read_pump(struct scsi_reactor *r, struct scsi_task *task);
void read_done(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span);
/* To the transport, cut to what the command has and the initiator has room for: at least a byte of both. */
void read_hand_over(struct scsi_task *task, struct scsi_span *span);
/* A data-out span has done its work: its memory goes back, and the task ends when it was the last. */
void span_consumed(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span);
void write_span(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span);
void write_done(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *span);
void write_check_end(struct scsi_reactor *r, struct scsi_task *task);
bool is_xor(const struct scsi_task *task); /* data goes both ways */
void xor_span(struct scsi_reactor *r, struct scsi_task *task,
              struct scsi_span *out); /* whole blocks in range */
void xor_pump(struct scsi_reactor *r, struct scsi_task *task);
void xor_done(struct scsi_reactor *r, struct scsi_task *task, struct scsi_span *in);

/* ---- handlers ---- */
typedef void scsi_handler(struct scsi_reactor *r, struct scsi_task *task);
scsi_handler cmd_get_lba_status, cmd_test_unit_ready, cmd_request_sense, cmd_report_luns, cmd_start_stop,
    cmd_prevent_allow, cmd_report_opcodes, cmd_report_tmfs, cmd_read_capacity_10, cmd_read_capacity_16,
    cmd_inquiry, cmd_mode_sense, cmd_mode_select, mode_select_data, cmd_read, cmd_write, cmd_verify,
    verify_data, cmd_xdwriteread, cmd_write_same, write_same_data, cmd_unmap, unmap_data, cmd_sync_cache;

/* ---- change.c: state that all reactors share ---- */
enum change_kind { CHANGE_FLAGS, CHANGE_RESET, CHANGE_RESIZE };
struct scsi_change;
/* Starts a change of LU flags for a task (which gains one pending operation); over is called on this reactor
 * when every reactor has the new state. Reactors raise `ua` for every nexus but the task's. ERR_NOMEM:
 * nothing happened. */
int change_flags(struct scsi_reactor *r, struct scsi_task *task, uint32_t mask, uint32_t value, enum ua ua,
                 void (*over)(struct scsi_reactor *r, struct scsi_task *task));
/* LU reset for a TMF (tmf->pending goes up); nexuses other than `nexus_id` get the unit attention. */
int change_reset(struct scsi_reactor *r, struct scsi_lu *lu, uint64_t nexus_id, enum ua ua,
                 struct scsi_tmf *tmf);
void tmf_less(struct scsi_reactor *r, struct scsi_tmf *tmf); /* one pending thing has ended */

#endif
