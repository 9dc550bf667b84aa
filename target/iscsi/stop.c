/* Stopping: initiators are asked to log out and given time to do so; commands in flight end; who is still
 * there then is told of the drop, and connections close. */
#include "target/iscsi/conn_internal.h"

#define SECOND_NS 1000000000u

void stop_gently(struct tgt_session *s, const char *reason)
{
    if (s->closing)
        return;
    async_session_drop(s);
    s->gentle = true;
    session_close(s, reason);
}

void stop_session(struct tgt_session *s)
{
    if (s->stopping || s->closing)
        return;
    uint64_t wait = s->discovery ? 0 : s->config->limits.stop_wait_ns;
    s->stopping = true;
    session_touch(s);
    s->stop_ns = env_now(s->r->env) + wait;
    s->remind_ns = env_now(s->r->env) + wait / 2;
    reactor_wake(s->r, s->remind_ns);
    list_for_each_safe(it, &s->conns) async_logout(list_entry(it, struct tgt_conn, session_node),
                                                   (uint32_t)((wait + SECOND_NS - 1) / SECOND_NS));
}

/* Half of the time is over: connections that have not begun to log out are asked once more (T12). */
static void remind(struct tgt_session *s)
{
    uint64_t now = env_now(s->r->env);
    uint32_t seconds = (uint32_t)((s->stop_ns - now + SECOND_NS - 1) / SECOND_NS);
    s->remind_ns = UINT64_MAX;
    list_for_each_safe(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (conn->rfc == CONN_LOGOUT_REQUESTED)
            async_logout(conn, seconds);
    }
}

void stop_run(struct tgt_session *s)
{
    uint64_t now = env_now(s->r->env);
    if (now >= s->remind_ns && now < s->stop_ns)
        remind(s);
    if (now < s->stop_ns)
        return;
    list_for_each(it, &s->tasks)
    {
        const struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->phase != TASK_DRAINING && !lost_waits(task))
            return;
    }
    stop_gently(s, "the target stops"); /* R7143-11.9.1-06 */
}

uint64_t stop_deadline(const struct tgt_session *s)
{
    if (!s->stopping || s->closing || env_now(s->r->env) >= s->stop_ns)
        return UINT64_MAX;
    return s->remind_ns < s->stop_ns ? s->remind_ns : s->stop_ns;
}

uint32_t tgt_stop(struct tgt_reactor *r, bool now)
{
    uint32_t count = 0;
    r->stopping = true;
    list_for_each_safe(it, &r->sessions)
    {
        struct tgt_session *s = list_entry(it, struct tgt_session, node);
        count++;
        if (!now) {
            stop_session(s);
            continue;
        }
        s->gentle = false;
        session_close(s, "the target stops");
        list_for_each_safe(c, &s->conns) /* of a session that was closing gently */
            conn_drop(list_entry(c, struct tgt_conn, session_node), "the target stops");
    }
    list_for_each_safe(it, &r->conns)
    { /* those that have not got to a session */
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, node);
        if (!conn->session && conn->state != CONN_DEAD)
            conn_drop(conn, "the target stops");
    }
    return count;
}
