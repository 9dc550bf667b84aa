/* The response fence (RFC 7143 4.2.2.3): on a session of several connections a fenced response goes out when
 * all earlier ones are acknowledged, and later ones of the same LU when it is acknowledged itself. One fence
 * stands at a time; what would pass it waits in a queue, in order.
 *
 * Fences stand whatever TaskReporting says: the standard abort semantics ask for them too (R7143-4.2.3.3-13).
 * What the key changes is who is to blame when acknowledgements stay out: ResponseFence and FastAbort are a
 * promise, so such a connection is dropped; an initiator of RFC 3720 never heard of it, and the response goes
 * out late. */
#include "target/iscsi/conn_internal.h"

#define OPCODE_PERSISTENT_RESERVE_OUT 0x5f
#define SERVICE_ACTION_MASK           0x1f
#define PREEMPT_AND_ABORT             0x05
#define CDB_CONTROL_BYTE_6            5
#define CONTROL_NACA                  0x04
#define STATUS_CHECK_CONDITION        0x02
#define STATUS_ACA_ACTIVE             0x30
#define SENSE_UNIT_ATTENTION          0x06
#define ASC_RESET                     0x29
#define ASC_COMMANDS_CLEARED          0x2f

/* ---- which responses (R7143-4.2.2.3.4) ---- */

static bool naca(const struct scsi_task *scsi)
{
    static const uint8_t control_at[8] = {CDB_CONTROL_BYTE_6, 9, 9, 1, 15, 11, 0, 0}; /* by group code */
    uint8_t at = control_at[scsi->cdb[0] >> 5];
    return at && scsi->cdb[at] & CONTROL_NACA;
}

/* Of a CHECK CONDITION, which always has sense, in fixed or descriptor format: where key and code are. */
static bool is_abort_attention(const struct scsi_task *scsi)
{
    bool descriptor = (scsi->sense[0] & 0x7f) >= 0x72;
    uint8_t key = descriptor ? scsi->sense[1] & 15 : scsi->sense[2] & 15;
    uint8_t asc = descriptor ? scsi->sense[2] : scsi->sense[12];
    return key == SENSE_UNIT_ATTENTION && (asc == ASC_RESET || asc == ASC_COMMANDS_CLEARED);
}

static bool task_wants(const struct tgt_task *task)
{
    const struct scsi_task *scsi = &task->scsi;
    if (task->failed || task->aborted)
        return false;
    if (scsi->cdb[0] == OPCODE_PERSISTENT_RESERVE_OUT &&
        (scsi->cdb[1] & SERVICE_ACTION_MASK) == PREEMPT_AND_ABORT)
        return true; /* R7143-4.2.2.3.4-06 */
    if (scsi->status == STATUS_ACA_ACTIVE)
        return true; /* R7143-4.2.2.3.4-04 */
    return scsi->status == STATUS_CHECK_CONDITION &&
           (is_abort_attention(scsi) || naca(scsi)); /* R7143-4.2.2.3.4-01, R7143-4.2.2.3.4-03 */
}

/* ---- acknowledgements ---- */

static bool acknowledged(const struct tgt_conn *conn)
{
    return !conn->fence_waits || !conn_live(conn) || sn_ge(conn->exp_stat_sn, conn->fence_sn);
}

static void await(struct tgt_conn *conn)
{
    conn->fence_sn = conn->stat_sn; /* R7143-4.2.2.3.3-02: the next; all before it are to be acknowledged */
    conn->fence_waits = conn_live(conn);
    if (!acknowledged(conn))
        nop_solicit(conn); /* R7143-4.2.2.3.3-03 */
}

static bool all_acknowledged(const struct tgt_session *s)
{
    list_for_each(it,
                  &s->conns) if (!acknowledged(list_entry(it, struct tgt_conn, session_node))) return false;
    return true;
}

static void patience(struct tgt_session *s)
{
    s->fence.deadline_ns = env_now(s->r->env) + TGT_FENCE_NS;
    if (s->fence.deadline_ns < s->r->deadline_ns)
        s->r->deadline_ns = s->fence.deadline_ns;
}

/* ---- the fence ---- */

static bool whole_target(const struct fenced *item)
{
    if (!item->tmf)
        return false;
    enum scsi_tmf_function function = item->tmf->scsi.function;
    return function == SCSI_TMF_TARGET_WARM_RESET || function == SCSI_TMF_TARGET_COLD_RESET ||
           function == SCSI_TMF_I_T_NEXUS_RESET;
}

static uint64_t lun_of(const struct fenced *item)
{
    return item->task ? item->task->scsi.lun : item->tmf->scsi.lun;
}

static struct tgt_conn *conn_of(const struct fenced *item)
{
    return item->task ? item->task->conn : item->tmf->conn;
}

static bool overlap(const struct fenced *a, const struct fenced *b)
{
    return whole_target(a) || whole_target(b) || lun_of(a) == lun_of(b);
}

/* Would it pass a response that has to come before it? */
static bool blocked(const struct tgt_session *s, const struct fenced *item)
{
    const struct fence *f = &s->fence;
    if (f->state == FENCE_DOWN)
        return false; /* the queue is empty then, or is just being let go in order */
    if (item->wants || f->all_luns || whole_target(item) || f->lun == lun_of(item))
        return true; /* R7143-4.2.2.3.3-05, R7143-4.2.2.3.2-02 */
    list_for_each(it, &f->queue) if (overlap(list_entry(it, struct fenced, node), item)) return true;
    return false;
}

/* Sends it; gone afterwards, unless it waits for something else. */
static void emit(struct fenced *item)
{
    item->passed = true;
    if (item->task)
        iscsi_task_progress(item->task);
    else
        task_mgmt_answer(item->tmf);
}

static void raise_fence(struct tgt_session *s, struct fenced *item)
{
    struct fence *f = &s->fence;
    f->state = FENCE_BEFORE;
    f->all_luns = whole_target(item);
    f->lun = lun_of(item);
    f->current = item;
    patience(s);
    list_for_each(it, &s->conns) await(list_entry(it, struct tgt_conn, session_node));
}

static void lower(struct tgt_session *s)
{
    struct fence *f = &s->fence;
    f->state = FENCE_DOWN;
    f->current = NULL;
    f->conn = NULL;
    list_for_each(it, &s->conns) list_entry(it, struct tgt_conn, session_node)->fence_waits = false;
    while (f->state == FENCE_DOWN && !list_empty(&f->queue)) {
        struct fenced *item = list_entry(list_pop_front(&f->queue), struct fenced, node);
        if (item->wants && s->conn_count > 1)
            raise_fence(s, item);
        else
            emit(item);
    }
}

static bool admit(struct tgt_session *s, struct fenced *item)
{
    if (item->passed)
        return true;
    if (s->fence.current == item || (item->node.next && list_linked(&item->node)))
        return false; /* waits already */
    if (s->closing || !blocked(s, item)) {
        bool alone = s->conn_count < 2;
        if (s->closing || !item->wants || alone)
            return true;
        raise_fence(s, item);
        fence_run(s);
        return false;
    }
    list_push_back(&s->fence.queue, &item->node);
    return false;
}

bool fence_task(struct tgt_task *task)
{
    if (task->session->conn_count < 2 && task->session->fence.state == FENCE_DOWN)
        return true; /* 4.2.2.3.3 a: no special processing */
    task->fenced.task = task;
    task->fenced.wants = task_wants(task);
    return admit(task->session, &task->fenced);
}

bool fence_tmf(struct tgt_tmf *tmf, bool wants)
{
    tmf->fenced.tmf = tmf;
    tmf->fenced.wants = wants;
    return admit(tmf->session, &tmf->fenced);
}

void fence_forget(struct tgt_session *s, struct fenced *item)
{
    struct fence *f = &s->fence;
    if (item->node.next)
        list_remove(&item->node);
    if (f->current != item)
        return;
    f->current = NULL;
    f->state = FENCE_AFTER; /* nothing went out: the next fence_run takes it down */
    f->conn = NULL;
}

void fence_conn_gone(struct tgt_session *s, const struct tgt_conn *conn)
{
    if (s->fence.conn == conn)
        s->fence.conn = NULL;
}

/* Acknowledgements stay out. */
static void lose_patience(struct tgt_session *s)
{
    bool strict = s->params.task_reporting != KEY_TASK_REPORTING_RFC3720;
    list_for_each_safe(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (acknowledged(conn))
            continue;
        conn->fence_waits = false;
        if (strict)
            conn_drop(conn, "responses were not acknowledged"); /* R7143-10.7-03 */
    }
}

static void release(struct tgt_session *s)
{
    struct fence *f = &s->fence;
    struct fenced *item = f->current;
    struct tgt_conn *conn = conn_of(item);
    f->current = NULL;
    f->conn = conn && conn_live(conn) ? conn : NULL; /* else it waits for a reassignment, and passes then */
    f->state = FENCE_AFTER;
    patience(s);
    emit(item); /* R7143-4.2.2.3.2-01 */
    if (f->conn && conn_live(f->conn))
        await(f->conn);
}

void fence_run(struct tgt_session *s)
{
    struct fence *f = &s->fence;
    if (f->state == FENCE_DOWN || s->closing)
        return;
    if (env_now(s->r->env) >= f->deadline_ns)
        lose_patience(s);
    bool moved = true;
    while (moved && !s->closing) {
        moved = false;
        if (f->state == FENCE_BEFORE && all_acknowledged(s)) {
            release(s);
            moved = true;
        } else if (f->state == FENCE_AFTER && (!f->conn || acknowledged(f->conn))) { /* R7143-4.2.2.3.3-04 */
            lower(s);
            moved = true;
        }
    }
}

uint64_t fence_deadline(const struct tgt_session *s)
{
    return s->fence.state == FENCE_DOWN || s->closing ? UINT64_MAX : s->fence.deadline_ns;
}
