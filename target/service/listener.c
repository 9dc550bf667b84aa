/* Accepting. One accept in flight per listener; a failure (no descriptors, no memory) is tried again later.
 */
#include <assert.h>

#include "common/base/err.h"
#include "target/service/host_internal.h"

static void accept_done(struct io_op *op);

static void accept_next(struct host_listener *listener)
{
    listener->accept.done = accept_done;
    io_accept(listener->r->io, &listener->accept, listener->sock);
}

static void retry_fire(struct io_timer *timer)
{
    accept_next(container_of(timer, struct host_listener, retry));
}

static void listener_free(struct host_listener *listener)
{
    struct host_reactor *r = listener->r;
    io_timer_cancel(r->io, &listener->retry);
    io_close(r->io, listener->sock);
    list_remove(&listener->node);
    env_free(r->host->env, listener);
}

static void accept_done(struct io_op *op)
{
    struct host_listener *listener = container_of(op, struct host_listener, accept);
    struct host_reactor *r = listener->r;
    if (op->result >= 0)
        host_conn_accepted(r, (io_handle)op->result, &op->addr, listener->group);
    if (listener->closing) {
        listener_free(listener);
    } else if (op->result >= 0) {
        accept_next(listener);
    } else {
        env_trace(r->host->env, TRACE_WARN, "listen.accept", NULL, err_text((int)op->result), 0, 0);
        listener->retry.fire = retry_fire;
        io_timer_arm(r->io, &listener->retry, io_now(r->io) + HOST_ACCEPT_NS);
    }
}

int host_reactor_listen(struct host_reactor *r, const struct io_addr *addr, uint16_t group,
                        struct io_addr *bound, struct host_listener **out)
{
    struct host_listener *listener = env_alloc(r->host->env, sizeof *listener);
    if (!listener)
        return ERR_NOMEM;
    int err = io_listen(r->io, addr, HOST_BACKLOG, &listener->sock, bound);
    if (err) {
        env_free(r->host->env, listener);
        return err;
    }
    listener->r = r;
    listener->group = group;
    list_push_back(&r->listeners, &listener->node);
    accept_next(listener);
    *out = listener;
    return 0;
}

void listener_close(struct host_listener *listener)
{
    if (listener->closing)
        return;
    listener->closing = true;
    if (listener->accept.busy)
        io_cancel(listener->r->io, &listener->accept);
    else
        listener_free(listener);
}

void host_reactor_unlisten(struct host_reactor *r, struct host_listener *listener)
{
    assert(listener->r == r);
    (void)r;
    listener_close(listener);
}
