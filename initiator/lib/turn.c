/* A client's turns: what is due by time, and what the end of a turn needs: output, and whatever a connection
 * wants that had no completion of its own. */
#include "common/base/err.h"
#include "initiator/lib/client.h"

/* ---- further connections ---- */

static uint32_t client_connections_wanted(const struct lnt_client *c)
{
    if (c->state != LNT_UP || c->closing || c->discovery || c->abandoned || c->logged_out)
        return 0;
    uint32_t granted = ini_params(c->session)->max_connections;
    return granted < c->options.connections ? granted : c->options.connections;
}

static uint64_t connection_due_ns(const struct lnt_connection *conn)
{
    const struct lnt_client *c = conn->client;
    if (!connection_idle(conn))
        return UINT64_MAX;
    return conn->next_try_ns < c->not_before_ns ? c->not_before_ns : conn->next_try_ns;
}

/* Connects those that are due. */
static void client_bring_up(struct lnt_client *c)
{
    uint32_t wanted = client_connections_wanted(c);
    uint64_t now = io_now(c->io);
    for (uint32_t i = 0; i < wanted; i++) {
        struct lnt_connection *conn = &c->connections[i];
        if (now >= connection_due_ns(conn)) /* R7143-7.5-01: not before Time2Wait */
            connection_connect(conn, redirect_address(conn));
    }
}

/* ---- the end of a turn: output, and whatever a connection needs that had no completion of its own ---- */

static void client_sweep(struct lnt_client *c)
{
    if (c->starved_ns && c->session) { /* something has ended, so there may be memory */
        c->starved_ns = 0;
        ini_tick(c->session);
    }
    client_events(c);
    for (uint32_t i = 0; i < c->options.connections; i++) {
        struct lnt_connection *conn = &c->connections[i];
        if (conn->ini && ini_wants_close(conn->ini))
            connection_break(conn);
        if (conn->shut)
            connection_settle(conn);
        else
            connection_receive(conn);
    }
    client_bring_up(c);
    struct ini_conn *ini;
    for (uint32_t i = 0; i < c->options.connections && c->session && (ini = ini_next_to_send(c->session));
         i++)
        connection_send(ini_conn_host(ini));
}

static void client_flush(struct io_post *post)
{
    struct lnt_client *c = container_of(post, struct lnt_client, flush);
    c->flush_posted = false;
    if (!c->close_pending) {
        client_sweep(c);
        if (c->state == LNT_FAILED || c->state == LNT_CLOSED)
            queue_fail_waiting(c, ERR_CLOSED); /* submitted when nobody could take it any more */
        client_arm_timer(c);
        return;
    }
    c->close_pending = false;
    if (c->close_done)
        c->close_done(c->close_arg); /* may free c */
}

void client_post_flush(struct lnt_client *c)
{
    if (c->flush_posted)
        return;
    c->flush_posted = true;
    c->flush.run = client_flush;
    io_post(c->io, &c->flush);
}

/* A connection that is sending looks for more when it has sent. */
void client_want_flush(struct lnt_client *c)
{
    for (uint32_t i = 0; c->session && i < c->options.connections; i++)
        if (c->connections[i].ini && !c->connections[i].send_op.busy) {
            client_post_flush(c);
            return;
        }
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t client_connect_deadline(const struct lnt_client *c)
{
    uint64_t deadline = UINT64_MAX;
    for (uint32_t i = 0; c->options.connect_timeout_ns && i < c->options.connections; i++)
        if (c->connections[i].connect_op.busy)
            deadline = earlier(deadline, c->connections[i].started_ns + c->options.connect_timeout_ns);
    return deadline;
}

static uint64_t client_bare_deadline(const struct lnt_client *c)
{
    return c->bare_since_ns && !c->abandoned ? c->bare_since_ns + c->options.replacement_timeout_ns
                                             : UINT64_MAX;
}

static uint64_t client_deadline(const struct lnt_client *c)
{
    uint64_t deadline = UINT64_MAX;
    if (c->state == LNT_CONNECTING || c->state == LNT_UP)
        deadline = client_connect_deadline(c);
    if (c->state == LNT_WAITING)
        deadline = c->next_try_ns;
    deadline = earlier(deadline, redirect_deadline(c));
    if (c->linger_ns)
        deadline = earlier(deadline, c->linger_ns);
    if (c->session && (c->state == LNT_LOGIN || c->state == LNT_UP)) {
        deadline = earlier(deadline, ini_deadline(c->session));
        if (c->starved_ns)
            deadline = earlier(deadline, c->starved_ns + LNT_STARVED_NS);
    }
    if (c->state == LNT_UP) {
        if (c->retry_at_ns)
            deadline = earlier(deadline, c->retry_at_ns);
        deadline = earlier(deadline, queue_deadline(c));
        deadline = earlier(deadline, client_bare_deadline(c));
        for (uint32_t i = 0; i < client_connections_wanted(c); i++)
            deadline = earlier(deadline, connection_due_ns(&c->connections[i]));
    }
    return deadline;
}

static void client_tick_connects(struct lnt_client *c, uint64_t now)
{
    for (uint32_t i = 0; c->options.connect_timeout_ns && i < c->options.connections; i++)
        if (c->connections[i].connect_op.busy &&
            now >= c->connections[i].started_ns + c->options.connect_timeout_ns)
            io_cancel(c->io, &c->connections[i].connect_op);
}

static void client_tick_session(struct lnt_client *c, uint64_t now)
{
    ini_tick(c->session);
    if (c->state == LNT_UP) {
        if (now >= client_bare_deadline(c))
            client_abandon(c, ERR_CLOSED, "the target did not come back in time");
        queue_check_late(c, now);
        if (c->retry_at_ns && now >= c->retry_at_ns)
            queue_submit_waiting(c);
    }
    client_post_flush(c); /* its sweep sees what the time has changed */
}

static void client_timer(struct io_timer *timer)
{
    struct lnt_client *c = container_of(timer, struct lnt_client, timer);
    uint64_t now = io_now(c->io);
    if (c->state == LNT_WAITING && now >= c->next_try_ns)
        redirect_renew(c);
    else if (now >= redirect_deadline(c))
        redirect_late(c);
    else
        client_tick_connects(c, now);
    if (c->session && (c->state == LNT_LOGIN || c->state == LNT_UP))
        client_tick_session(c, now);
    if (c->linger_ns && now >= c->linger_ns)
        client_post_flush(c); /* its sweep breaks them */
    client_arm_timer(c);
}

/* Only ever moved forward: a deadline that has become later is found out when the timer fires. */
void client_arm_timer(struct lnt_client *c)
{
    uint64_t deadline = client_deadline(c);
    if (deadline == UINT64_MAX || (c->timer.armed && c->timer.deadline_ns <= deadline))
        return;
    /* What is due already waits for the flush that is on its way, which arms the timer anew: firing again
     * before that would only spin. */
    if (c->flush_posted && deadline <= io_now(c->io))
        return;
    c->timer.fire = client_timer;
    io_timer_arm(c->io, &c->timer, deadline);
}

void client_starved(struct lnt_client *c)
{
    if (!c->starved_ns)
        c->starved_ns = io_now(c->io);
    client_arm_timer(c);
}
