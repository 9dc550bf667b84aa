/* Listeners of the simulated network, connecting to them, and addresses. */
#include <assert.h>
#include <string.h>

#include "common/io/sim_net.h"

enum { SIM_FIRST_PORT = 40000 };

/* The listener's accept meets the first of its queue. */
void sim_kick_accept(struct sim_listener *listener, uint64_t now_ns)
{
    struct sim_end *first = list_first(&listener->backlog, struct sim_end, backlog_node);
    if (listener->accept && (first || listener->shut))
        sim_schedule(listener->accept, first ? first->accept_ns : now_ns);
}
/* Who answers on this address, if anybody. */
static struct sim_listener *listener_for(struct sim_world *world, const struct io_addr *to)
{
    list_for_each(it, &world->listeners)
    {
        struct sim_listener *listener = list_entry(it, struct sim_listener, node);
        if (listener->shut || listener->addr.port != to->port || listener->addr.family != to->family)
            continue;
        struct io_addr same = listener->addr;
        same.scope = to->scope;
        if (addr_is_wildcard(&listener->addr) || addr_equal(&same, to))
            return listener;
    }
    return NULL;
}

static uint16_t next_port(struct sim_world *world)
{
    if (world->next_port < SIM_FIRST_PORT)
        world->next_port = SIM_FIRST_PORT;
    return world->next_port++;
}

/* The loopback address of a family, with a port. */
static struct io_addr loopback(uint8_t family, uint16_t port)
{
    struct io_addr addr = {.family = family, .port = port};
    if (family == 4) {
        addr.ip[0] = 127;
        addr.ip[3] = 1;
    } else {
        addr.ip[15] = 1;
    }
    return addr;
}

/* The connection exists for both sides from here on; the accepting side only learns of it later. */
static int64_t connect_now(struct sim_world *world, struct io_op *op)
{
    struct sim_listener *listener = listener_for(world, &op->addr);
    if (sim_happens(world, world->options.refuse, SIM_FAULT_REFUSED))
        return ERR_REFUSED;
    if (!listener || listener->backlog_len >= listener->backlog_max)
        return ERR_REFUSED;
    struct sim_conn *conn;
    int err = sim_conn_new(world, &conn);
    if (err < 0)
        return err;
    conn->end[0].local = loopback(op->addr.family, next_port(world));
    conn->end[1].local = op->addr;
    conn->end[1].accept_ns = world->now_ns + sim_net_delay(world);
    /* The listener takes them in order, so none is known before the one ahead of it. */
    struct sim_end *last = list_last(&listener->backlog, struct sim_end, backlog_node);
    if (last && last->accept_ns > conn->end[1].accept_ns)
        conn->end[1].accept_ns = last->accept_ns;
    list_push_back(&listener->backlog, &conn->end[1].backlog_node);
    listener->backlog_len++;
    sim_kick_accept(listener, world->now_ns);
    sim_taps_open(world, conn);
    return conn->end[0].handle;
}

void sim_try_connect(struct sim_world *world, struct io_op *op)
{
    int64_t result = sim_state_of(op)->cancelled ? ERR_CANCELLED : connect_now(world, op);
    if (result >= 0)
        sim_handle_own(world, op->handle = (io_handle)result, op->io);
    sim_deliver(op, result);
}

/* One connection, if one has become known. */
void sim_try_accept(struct sim_world *world, struct sim_listener *listener)
{
    struct io_op *op = listener->accept;
    struct sim_end *first = list_first(&listener->backlog, struct sim_end, backlog_node);
    if (sim_state_of(op)->cancelled) {
        sim_settle(&listener->accept, ERR_CANCELLED);
    } else if (listener->shut) {
        sim_settle(&listener->accept, ERR_INVALID); /* as accept(2) says */
    } else if (first && first->accept_ns <= world->now_ns) {
        list_remove(&first->backlog_node);
        listener->backlog_len--;
        op->addr = sim_peer_of(first)->local;
        sim_handle_own(world, first->handle, op->io);
        sim_settle(&listener->accept, first->handle);
    } else {
        sim_kick_accept(listener, world->now_ns);
    }
}
/* ---- listeners and names ---- */

int sim_net_listen(struct io *io, const struct io_addr *addr, int backlog, io_handle *out,
                   struct io_addr *bound)
{
    struct sim_world *world = sim_world_of(io);
    struct io_addr real = *addr;
    if (addr->family != 4 && addr->family != 6)
        return ERR_INVALID;
    if (real.port == 0)
        real.port = next_port(world);
    list_for_each(it, &world->listeners)
    {
        const struct io_addr *other = &list_entry(it, struct sim_listener, node)->addr;
        if (other->port == real.port && other->family == real.family &&
            (addr_is_wildcard(other) || addr_is_wildcard(&real) || addr_equal(other, &real)))
            return ERR_ADDRINUSE;
    }
    struct sim_listener *listener = env_alloc(world->heap, sizeof(*listener));
    if (!listener)
        return ERR_NOMEM;
    int err = sim_handle_new(world, SIM_LISTENER, listener, &listener->handle);
    if (err < 0) {
        env_free(world->heap, listener);
        return err;
    }
    listener->addr = real;
    listener->backlog_max = backlog > 0 ? (uint32_t)backlog : 1;
    list_init(&listener->backlog);
    list_push_back(&world->listeners, &listener->node);
    sim_handle_own(world, listener->handle, io);
    if (bound)
        *bound = real;
    *out = listener->handle;
    return 0;
}

/* Connections in the queue are reset, as a kernel does. */
void sim_listener_close(struct sim_world *world, struct sim_listener *listener)
{
    struct list_node *node;
    assert(!listener->accept);
    while ((node = list_pop_front(&listener->backlog))) {
        struct sim_end *end = list_entry(node, struct sim_end, backlog_node);
        end->reset = true; /* nobody will ever read it */
        sim_end_close(world, end);
    }
    list_remove(&listener->node);
    sim_handle_drop(world, listener->handle);
    env_free(world->heap, listener);
}

int sim_net_local_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    struct sim_world *world = sim_world_of(io);
    if (sim_handle_kind(world, sock) == SIM_LISTENER)
        *out = ((struct sim_listener *)sim_handle_get(world, sock, SIM_LISTENER))->addr;
    else
        *out = ((struct sim_end *)sim_handle_get(world, sock, SIM_SOCKET))->local;
    return 0;
}

int sim_net_peer_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    struct sim_world *world = sim_world_of(io);
    if (sim_handle_kind(world, sock) != SIM_SOCKET)
        return ERR_CLOSED;
    *out = sim_peer_of(sim_handle_get(world, sock, SIM_SOCKET))->local;
    return 0;
}
