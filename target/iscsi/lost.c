/* Connections that failed at recovery level 2 (RFC 7143 7.1.4.3, 8.2): their tasks go on in the store and
 * wait, first for a recovery logout, explicit or implied by a login with the same CID, then for TASK
 * REASSIGN. What waits in vain for Time2Wait and Time2Retain ends silently; a session that has nothing left
 * ends with it. Who comes before Time2Wait is over is let in: the wait is the initiator's (7.5), it begins
 * when the initiator notices the failure, and that may be long before we do, or even without our noticing at
 * all. */
#include <assert.h>

#include "target/iscsi/conn_internal.h"

#define SECOND_NS 1000000000ull

static void set_deadline(struct tgt_lost *lost, uint32_t time2wait_s, uint32_t time2retain_s)
{
    struct tgt_reactor *r = lost->session->r;
    /* R7143-7.5-03 */
    lost->deadline_ns = env_now(r->env) + ((uint64_t)time2wait_s + time2retain_s) * SECOND_NS;
    if (lost->deadline_ns < r->deadline_ns)
        r->deadline_ns = lost->deadline_ns;
}

void lost_hurry(struct tgt_lost *lost)
{
    struct tgt_reactor *r = lost->session->r;
    if (lost->deadline_ns < r->deadline_ns)
        r->deadline_ns = lost->deadline_ns;
}

struct tgt_lost *lost_find(const struct tgt_session *s, uint16_t cid)
{
    list_for_each(it, &s->lost)
    {
        struct tgt_lost *lost = list_entry(it, struct tgt_lost, node);
        if (lost->cid == cid && !lost->logged_out)
            return lost;
    }
    return NULL;
}

static void suspend(struct tgt_lost *lost, struct tgt_task *task)
{
    fence_forget(task->session, &task->fenced); /* it will ask again */
    task->lost = lost;
    task->conn = NULL;
    lost->tasks++;
    if (task->phase != TASK_DRAINING)
        data_out_suspend(task);
}

bool lost_begin(struct tgt_session *s, struct tgt_conn *conn)
{
    struct tgt_lost *lost = env_alloc(s->r->env, sizeof *lost);
    if (!lost)
        return false;
    lost->session = s;
    lost->cid = conn->cid;
    lost->state = CLEANUP_WAIT;
    list_push_back(&s->lost, &lost->node);
    /* R7143-7.5.1-01 */
    set_deadline(lost, s->params.default_time2wait, s->params.default_time2retain);
    list_for_each_safe(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->conn != conn)
            continue;
        if (task->immediate || task->silent || (task->phase == TASK_DRAINING && !task->answer))
            iscsi_task_terminate(task); /* R7143-7.14-05 */
        else
            suspend(lost, task); /* R7143-11.14-04 */
    }
    return true;
}

static void lost_free(struct tgt_lost *lost)
{
    list_remove(&lost->node);
    env_free(lost->session->r->env, lost);
}

static bool has_conn(const struct tgt_session *s)
{
    list_for_each(it, &s->conns)
    {
        enum conn_state state = list_entry(it, struct tgt_conn, session_node)->state;
        if (state == CONN_FULL || state == CONN_LOGOUT)
            return true;
    }
    return false;
}

/* Nothing waits for it any more: after the logout there is no reason to remember its CID. A session without
 * any connection lives as long as the last one that it lost. */
static void check(struct tgt_lost *lost)
{
    if (lost->logged_out && lost->tasks == 0 && has_conn(lost->session))
        lost_free(lost);
}

void lost_conn_added(struct tgt_session *s)
{
    list_for_each_safe(it, &s->lost) check(list_entry(it, struct tgt_lost, node));
}

void lost_task_gone(struct tgt_task *task)
{
    struct tgt_lost *lost = task->lost;
    if (!lost)
        return;
    task->lost = NULL;
    lost->tasks--;
    check(lost);
}

void lost_logged_out(struct tgt_lost *lost, uint32_t time2wait_s, uint32_t time2retain_s)
{
    if (lost->state == CLEANUP_WAIT)
        state_cleanup(lost->session->r, &lost->state, CLEANUP_EV_BEGIN);
    state_cleanup(lost->session->r, &lost->state, CLEANUP_EV_DONE);
    lost->logged_out = true;
    set_deadline(lost, time2wait_s, time2retain_s); /* R7143-7.5.2-01 */
    check(lost);
}

/* R7143-7.6-01, R7143-7.6-02 */
void lost_end(struct tgt_lost *lost)
{
    struct tgt_session *s = lost->session;
    if (lost->state == CLEANUP_RUNNING)
        state_cleanup(s->r, &lost->state, CLEANUP_EV_DONE);
    else if (lost->state == CLEANUP_WAIT)
        state_cleanup(s->r, &lost->state, CLEANUP_EV_TIMEOUT);
    lost->logged_out = false; /* it stays until we let it go */
    list_for_each_safe(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->lost != lost)
            continue;
        if (task->phase == TASK_DRAINING) {
            keep_drop(task);
        } else {
            lost_task_gone(task);
            keep_drop(task);
            iscsi_task_terminate(task);
        }
    }
    lost_free(lost);
}

void lost_end_all(struct tgt_session *s)
{
    struct tgt_lost *lost;
    while ((lost = list_first(&s->lost, struct tgt_lost, node)) != NULL)
        lost_end(lost);
}

uint64_t lost_deadline(const struct tgt_session *s)
{
    uint64_t when = UINT64_MAX;
    list_for_each(it, &s->lost)
    {
        const struct tgt_lost *lost = list_entry(it, struct tgt_lost, node);
        if (lost->state != CLEANUP_RUNNING && lost->deadline_ns < when)
            when = lost->deadline_ns;
    }
    return when;
}

void lost_tick(struct tgt_session *s, uint64_t now_ns)
{
    bool any = false;
    list_for_each_safe(it, &s->lost)
    {
        struct tgt_lost *lost = list_entry(it, struct tgt_lost, node);
        if (now_ns < lost->deadline_ns || lost->state == CLEANUP_RUNNING)
            continue;
        env_trace(s->r->env, TRACE_INFO, "conn.state.timeout", s->key.initiator, NULL, s->key.tsih,
                  lost->cid);
        lost_end(lost);
        any = true;
    }
    /* R7143-6.3.5-05, R7143-7.15-02 */
    if (any && list_empty(&s->lost) && s->conn_count == 0 && !s->closing)
        session_close(s, "session timed out");
}
