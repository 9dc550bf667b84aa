/* The simulated network: listeners, connections, and in each direction a queue of segments with arrival
 * times.
 *
 * Bytes never overtake one another within a direction; everything else (when they arrive, how they are merged
 * or cut, how much fits into the window, where a connection breaks) is the seed's choice. As in a real
 * kernel, bytes that have arrived can still be read after the reset that followed them. */
#include <assert.h>
#include <string.h>

#include "common/io/sim_internal.h"

enum {
    SIM_FIRST_PORT = 40000,
    SIM_WINDOW_SHIFT_MIN = 12, /* 4 KiB */
    SIM_WINDOW_SHIFT_MAX = 20, /* 1 MiB */
};
#define SIM_WINDOW_PLAIN (256u * 1024u) /* bytes in flight when nothing is to be split */

struct sim_segment {
    struct list_node node;
    uint64_t arrival_ns;
    size_t pos, len; /* bytes not read yet: pos .. len */
    uint8_t data[];
};

/* Bytes on their way to one end. */
struct sim_pipe {
    struct list_node segments;
    uint64_t bytes;  /* in segments */
    uint64_t window; /* most of them */
    uint64_t last_arrival_ns;
    bool fin, reset;         /* come after all segments */
    uint64_t end_arrival_ns; /* of fin or reset */
};

struct sim_end {
    struct sim_conn *conn;
    io_handle handle;
    bool open;  /* not closed by its owner */
    bool shut;  /* io_shutdown was called */
    bool reset; /* broken: everything fails at once */
    struct io_op *in, *out;
    struct io_addr local;
    struct sim_pipe pipe; /* towards this end */
    struct list_node backlog_node;
    uint64_t accept_ns; /* when the listener learns of it */
};

struct sim_conn {
    struct list_node node; /* in world->conns */
    struct sim_end end[2]; /* connecting side, accepting side */
};

struct sim_listener {
    struct list_node node; /* in world->listeners */
    struct io_addr addr;
    io_handle handle;
    bool shut;
    uint32_t backlog_max, backlog_len;
    struct list_node backlog; /* of sim_end.backlog_node */
    struct io_op *accept;
};

static struct sim_end *peer_of(struct sim_end *end)
{
    return &end->conn->end[end == &end->conn->end[0] ? 1 : 0];
}

static uint64_t net_delay(struct sim_world *world)
{
    return sim_below(world, world->options.net_delay_ns);
}

/* ---- waking what waits ---- */

/* Gives the waiting receive its next appointment, if one is known. */
static void kick_recv(struct sim_world *world, struct sim_end *end)
{
    if (!end->in)
        return;
    struct sim_segment *first = list_first(&end->pipe.segments, struct sim_segment, node);
    if (end->reset || end->shut)
        sim_schedule(end->in, world->now_ns);
    else if (first)
        sim_schedule(end->in, first->arrival_ns);
    else if (end->pipe.fin || end->pipe.reset)
        sim_schedule(end->in, end->pipe.end_arrival_ns);
}

/* Lets a waiting send look again: room, or the end of the connection. */
static void kick_send(struct sim_world *world, struct sim_end *end)
{
    if (end->out && !sim_state_of(end->out)->event.scheduled)
        sim_schedule(end->out, world->now_ns + sim_below(world, world->options.net_delay_ns / 4));
}

/* The listener's accept meets the first of its queue. */
static void kick_accept(struct sim_listener *listener, uint64_t now_ns)
{
    struct sim_end *first = list_first(&listener->backlog, struct sim_end, backlog_node);
    if (listener->accept && (first || listener->shut))
        sim_schedule(listener->accept, first ? first->accept_ns : now_ns);
}

/* ---- segments ---- */

/* When bytes sent now get there; never before those sent earlier. */
static uint64_t pipe_arrival(struct sim_world *world, struct sim_pipe *pipe)
{
    uint64_t arrival_ns = world->now_ns + net_delay(world);
    if (arrival_ns > pipe->last_arrival_ns)
        pipe->last_arrival_ns = arrival_ns;
    return pipe->last_arrival_ns;
}

/* Copies the first `len` bytes of the list into a new segment. */
static int pipe_append(struct sim_world *world, struct sim_pipe *pipe, const struct io_vec *vec, uint64_t len)
{
    struct sim_segment *segment = env_alloc(world->heap, sizeof(*segment) + (size_t)len);
    if (!segment)
        return ERR_NOMEM;
    for (size_t step; segment->len < len; vec++) {
        step = (size_t)len - segment->len < vec->len ? (size_t)len - segment->len : vec->len;
        if (step)
            memcpy(segment->data + segment->len, vec->ptr, step);
        segment->len += step;
    }
    segment->arrival_ns = pipe_arrival(world, pipe);
    pipe->bytes += len;
    list_push_back(&pipe->segments, &segment->node);
    return 0;
}

/* How many bytes have arrived by now. */
static uint64_t pipe_arrived(const struct sim_pipe *pipe, uint64_t now_ns)
{
    uint64_t bytes = 0;
    list_for_each(it, &pipe->segments)
    {
        const struct sim_segment *segment = list_entry(it, struct sim_segment, node);
        if (segment->arrival_ns > now_ns)
            break;
        bytes += segment->len - segment->pos;
    }
    return bytes;
}

/* That many have arrived. */
static void pipe_take(struct sim_world *world, struct sim_pipe *pipe, uint8_t *to, size_t len)
{
    while (len > 0) {
        struct sim_segment *segment = list_first(&pipe->segments, struct sim_segment, node);
        const size_t left = segment->len - segment->pos, step = len < left ? len : left;
        memcpy(to, segment->data + segment->pos, step);
        segment->pos += step;
        pipe->bytes -= step;
        to += step;
        len -= step;
        if (segment->pos == segment->len) {
            list_remove(&segment->node);
            env_free(world->heap, segment);
        }
    }
}

/* Bytes on their way that nobody will read. */
static void pipe_clear(struct sim_world *world, struct sim_pipe *pipe)
{
    struct list_node *node;
    while ((node = list_pop_front(&pipe->segments)))
        env_free(world->heap, list_entry(node, struct sim_segment, node));
    pipe->bytes = 0;
}

/* The end goes the way of the bytes, behind them. A reset after an orderly end takes its place. */
static void pipe_end(struct sim_world *world, struct sim_pipe *pipe, bool reset)
{
    if (pipe->reset || (pipe->fin && !reset))
        return;
    pipe->fin |= !reset;
    pipe->reset |= reset;
    pipe->end_arrival_ns = pipe_arrival(world, pipe);
}

/* ---- connections ---- */

/* With splitting on, windows differ: full ones, and so short sends, are then common. */
static void end_init(struct sim_world *world, struct sim_end *end, struct sim_conn *conn)
{
    end->conn = conn;
    end->open = true;
    list_init(&end->backlog_node);
    list_init(&end->pipe.segments);
    end->pipe.window = SIM_WINDOW_PLAIN;
    if (world->options.split)
        end->pipe.window = UINT64_C(1) << (SIM_WINDOW_SHIFT_MIN +
                                           sim_below(world, SIM_WINDOW_SHIFT_MAX - SIM_WINDOW_SHIFT_MIN));
}

/* Both handles exist from the start, so accepting cannot fail for want of one. */
static int conn_new(struct sim_world *world, struct sim_conn **out)
{
    struct sim_conn *conn = env_alloc(world->heap, sizeof(*conn));
    if (!conn)
        return ERR_NOMEM;
    end_init(world, &conn->end[0], conn);
    end_init(world, &conn->end[1], conn);
    int err = sim_handle_new(world, SIM_SOCKET, &conn->end[0], &conn->end[0].handle);
    if (err == 0) {
        err = sim_handle_new(world, SIM_SOCKET, &conn->end[1], &conn->end[1].handle);
        if (err < 0)
            sim_handle_drop(world, conn->end[0].handle);
    }
    if (err < 0) {
        env_free(world->heap, conn);
        return err;
    }
    list_push_back(&world->conns, &conn->node);
    *out = conn;
    return 0;
}

static void conn_free(struct sim_world *world, struct sim_conn *conn)
{
    list_remove(&conn->node);
    pipe_clear(world, &conn->end[0].pipe);
    pipe_clear(world, &conn->end[1].pipe);
    env_free(world->heap, conn);
}

/* This end learns at once that the connection is broken, and loses what it has not read. */
static void end_break(struct sim_world *world, struct sim_end *end)
{
    end->reset = true;
    pipe_clear(world, &end->pipe);
    kick_recv(world, end);
    if (end->out)
        sim_schedule(end->out, world->now_ns);
}

/* The owner is done with this end. */
static void end_close(struct sim_world *world, struct sim_end *end)
{
    struct sim_end *peer = peer_of(end);
    assert(!end->in && !end->out);
    end->open = false;
    sim_handle_drop(world, end->handle);
    if (!peer->open) {
        conn_free(world, end->conn);
        return;
    }
    /* Closing over unread bytes resets, as TCP does. */
    pipe_end(world, &peer->pipe, end->reset || end->pipe.bytes > 0);
    kick_recv(world, peer);
    kick_send(world, peer);
}

/* Connections that wait to be accepted are cut too. */
int sim_cut_all(struct sim_world *world)
{
    int count = 0;
    list_for_each(it, &world->conns)
    {
        struct sim_conn *conn = list_entry(it, struct sim_conn, node);
        if (conn->end[0].open && conn->end[1].open && !conn->end[0].reset && !conn->end[1].reset) {
            end_break(world, &conn->end[0]);
            end_break(world, &conn->end[1]);
            count++;
        }
    }
    return count;
}

/* ---- one try of each operation ---- */

/* The place is empty before the done function runs: it may submit the next one. */
static void settle(struct io_op **place, int64_t result)
{
    struct io_op *op = *place;
    *place = NULL;
    sim_deliver(op, result);
}

/* How many of `most` bytes go in this step. */
static uint64_t net_split(struct sim_world *world, uint64_t most)
{
    return sim_chance(world, world->options.split) ? 1 + sim_below(world, most - 1) : most;
}

/* Scatters `len` arrived bytes into the op's places (or a chunk of its own); false when there is no chunk. */
static bool recv_copy(struct sim_world *world, struct sim_end *end, struct io_op *op, uint64_t len)
{
    struct io_vec one;
    const struct io_vec *vec = op->vec;
    if (op->type == IO_OP_RECV_ANY) {
        op->chunk = pool_get(op->pool, op->chunk_len);
        if (!op->chunk)
            return false;
        one = (struct io_vec){op->chunk->data, op->chunk_len};
        vec = &one;
    }
    for (; len > 0; vec++) {
        const size_t step = len < vec->len ? (size_t)len : vec->len;
        if (step == 0)
            continue;
        pipe_take(world, &end->pipe, vec->ptr, step);
        sim_trace_note(world, vec->ptr, step);
        len -= step;
    }
    return true;
}

/* In TCP's order: a broken connection, bytes that have arrived, then the end. */
static void try_recv(struct sim_world *world, struct sim_end *end)
{
    struct io_op *op = end->in;
    const uint64_t wanted = op->type == IO_OP_RECV_ANY ? op->chunk_len : io_vec_bytes(op->vec, op->vec_count);
    uint64_t have = pipe_arrived(&end->pipe, world->now_ns);
    const bool ended = list_empty(&end->pipe.segments) && (end->pipe.fin || end->pipe.reset) &&
                       end->pipe.end_arrival_ns <= world->now_ns;
    if (sim_state_of(op)->cancelled) {
        settle(&end->in, ERR_CANCELLED);
    } else if (end->reset) {
        settle(&end->in, ERR_RESET);
    } else if (have > 0) {
        have = net_split(world, have < wanted ? have : wanted);
        bool copied = recv_copy(world, end, op, have);
        if (copied)
            kick_send(world, peer_of(end)); /* there is room in the window */
        settle(&end->in, copied ? (int64_t)have : ERR_NOMEM);
    } else if (end->shut || ended) {
        settle(&end->in, ended && end->pipe.reset ? ERR_RESET : 0);
    } else {
        kick_recv(world, end); /* not yet */
    }
}

/* Both ends lose the connection: the sender at once, the receiver after the bytes that still got through. */
static void send_cut(struct sim_world *world, struct sim_end *end, uint64_t most)
{
    struct sim_end *peer = peer_of(end);
    const uint64_t through = sim_below(world, most);
    /* Out of memory for these bytes: then they got lost on the way. */
    if (through > 0)
        (void)pipe_append(world, &peer->pipe, end->out->vec, through);
    if (sim_random(world) & 1) {
        pipe_end(world, &peer->pipe, true);
        kick_recv(world, peer);
        kick_send(world, peer);
    } else {
        end_break(world, peer);
    }
    end_break(world, end);
}

/* Copies as much as window and luck allow; a full window parks the op. */
static void try_send(struct sim_world *world, struct sim_end *end)
{
    struct io_op *op = end->out;
    struct sim_end *peer = peer_of(end);
    const uint64_t total = io_vec_bytes(op->vec, op->vec_count);
    const uint64_t room = peer->pipe.window > peer->pipe.bytes ? peer->pipe.window - peer->pipe.bytes : 0;
    const bool broken =
        end->reset || !peer->open || (end->pipe.reset && end->pipe.end_arrival_ns <= world->now_ns);
    if (sim_state_of(op)->cancelled) {
        settle(&end->out, ERR_CANCELLED);
    } else if (end->shut) {
        settle(&end->out, ERR_CLOSED);
    } else if (broken) {
        settle(&end->out, ERR_RESET);
    } else if (room > 0) {
        uint64_t len = net_split(world, total < room ? total : room);
        if (sim_chance(world, world->options.cut)) {
            send_cut(world, end, len);
            return; /* its own event now says so */
        }
        int err = pipe_append(world, &peer->pipe, op->vec, len);
        kick_recv(world, peer);
        settle(&end->out, err < 0 ? err : (int64_t)len);
    } else if (end->pipe.reset) {
        sim_schedule(op, end->pipe.end_arrival_ns); /* on its way */
    }
    /* else: the receiver's next read schedules it */
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
    if (!listener || listener->backlog_len >= listener->backlog_max)
        return ERR_REFUSED;
    struct sim_conn *conn;
    int err = conn_new(world, &conn);
    if (err < 0)
        return err;
    conn->end[0].local = loopback(op->addr.family, next_port(world));
    conn->end[1].local = op->addr;
    conn->end[1].accept_ns = world->now_ns + net_delay(world);
    /* The listener takes them in order, so none is known before the one ahead of it. */
    struct sim_end *last = list_last(&listener->backlog, struct sim_end, backlog_node);
    if (last && last->accept_ns > conn->end[1].accept_ns)
        conn->end[1].accept_ns = last->accept_ns;
    list_push_back(&listener->backlog, &conn->end[1].backlog_node);
    listener->backlog_len++;
    kick_accept(listener, world->now_ns);
    return conn->end[0].handle;
}

static void try_connect(struct sim_world *world, struct io_op *op)
{
    int64_t result = sim_state_of(op)->cancelled ? ERR_CANCELLED : connect_now(world, op);
    if (result >= 0)
        op->handle = (io_handle)result;
    sim_deliver(op, result);
}

/* One connection, if one has become known. */
static void try_accept(struct sim_world *world, struct sim_listener *listener)
{
    struct io_op *op = listener->accept;
    struct sim_end *first = list_first(&listener->backlog, struct sim_end, backlog_node);
    if (sim_state_of(op)->cancelled) {
        settle(&listener->accept, ERR_CANCELLED);
    } else if (listener->shut) {
        settle(&listener->accept, ERR_INVALID); /* as accept(2) says */
    } else if (first && first->accept_ns <= world->now_ns) {
        list_remove(&first->backlog_node);
        listener->backlog_len--;
        op->addr = peer_of(first)->local;
        settle(&listener->accept, first->handle);
    } else {
        kick_accept(listener, world->now_ns);
    }
}

void sim_net_try(struct sim_world *world, struct io_op *op)
{
    switch (op->type) {
    case IO_OP_CONNECT:
        try_connect(world, op);
        break;
    case IO_OP_ACCEPT:
        try_accept(world, sim_handle_get(world, op->handle, SIM_LISTENER));
        break;
    case IO_OP_SEND:
        try_send(world, sim_handle_get(world, op->handle, SIM_SOCKET));
        break;
    default:
        try_recv(world, sim_handle_get(world, op->handle, SIM_SOCKET));
    }
}

void sim_net_submit(struct sim_world *world, struct io_op *op)
{
    struct sim_end *end;
    struct sim_listener *listener;
    switch (op->type) {
    case IO_OP_CONNECT:
        sim_schedule(op, world->now_ns + net_delay(world));
        break;
    case IO_OP_ACCEPT:
        listener = sim_handle_get(world, op->handle, SIM_LISTENER);
        assert(!listener->accept);
        listener->accept = op;
        kick_accept(listener, world->now_ns);
        break;
    case IO_OP_SEND:
        end = sim_handle_get(world, op->handle, SIM_SOCKET);
        assert(!end->out);
        end->out = op;
        kick_send(world, end);
        break;
    default:
        end = sim_handle_get(world, op->handle, SIM_SOCKET);
        assert(!end->in);
        end->in = op;
        kick_recv(world, end);
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
    if (bound)
        *bound = real;
    *out = listener->handle;
    return 0;
}

/* Connections in the queue are reset, as a kernel does. */
static void listener_close(struct sim_world *world, struct sim_listener *listener)
{
    struct list_node *node;
    assert(!listener->accept);
    while ((node = list_pop_front(&listener->backlog))) {
        struct sim_end *end = list_entry(node, struct sim_end, backlog_node);
        end->reset = true; /* nobody will ever read it */
        end_close(world, end);
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
    *out = peer_of(sim_handle_get(world, sock, SIM_SOCKET))->local;
    return 0;
}

void sim_net_shutdown(struct io *io, io_handle sock)
{
    struct sim_world *world = sim_world_of(io);
    if (sim_handle_kind(world, sock) == SIM_LISTENER) {
        struct sim_listener *listener = sim_handle_get(world, sock, SIM_LISTENER);
        listener->shut = true;
        if (listener->accept)
            sim_schedule(listener->accept, world->now_ns);
        return;
    }
    struct sim_end *end = sim_handle_get(world, sock, SIM_SOCKET);
    end->shut = true;
    kick_recv(world, end);
    if (end->out)
        sim_schedule(end->out, world->now_ns);
    if (peer_of(end)->open) {
        pipe_end(world, &peer_of(end)->pipe, end->reset);
        kick_recv(world, peer_of(end));
    }
}

void sim_net_close(struct sim_world *world, io_handle handle)
{
    if (sim_handle_kind(world, handle) == SIM_LISTENER)
        listener_close(world, sim_handle_get(world, handle, SIM_LISTENER));
    else
        end_close(world, sim_handle_get(world, handle, SIM_SOCKET));
}

/* What a test left open. */
void sim_net_fini(struct sim_world *world)
{
    struct list_node *node;
    while ((node = list_pop_front(&world->listeners)))
        env_free(world->heap, list_entry(node, struct sim_listener, node));
    while ((node = world->conns.next) != &world->conns)
        conn_free(world, list_entry(node, struct sim_conn, node));
}
