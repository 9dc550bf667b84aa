/* Connections of the simulated network and one try of each of their operations.
 *
 * Bytes never overtake one another within a direction; everything else (when they arrive, how they are merged
 * or cut, how much fits into the window, where a connection breaks) is the seed's choice. As in a real
 * kernel, bytes that have arrived can still be read after the reset that followed them. */
#include <assert.h>
#include <string.h>

#include "common/io/sim_net.h"

enum {
    SIM_WINDOW_SHIFT_MIN = 12, /* 4 KiB */
    SIM_WINDOW_SHIFT_MAX = 20, /* 1 MiB */
};
#define SIM_WINDOW_PLAIN (256u * 1024u) /* bytes in flight when nothing is to be split */

/* ---- waking what waits ---- */

/* Gives the waiting receive its next appointment, if one is known. */
static void kick_recv(struct sim_world *world, struct sim_end *end)
{
    if (!end->in)
        return;
    struct sim_segment *first = list_first(&end->pipe.segments, struct sim_segment, node);
    if (end->reset || end->shut)
        sim_schedule(end->in, world->now_ns);
    else if (end->conn->silent)
        return; /* nothing will ever come */
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
int sim_conn_new(struct sim_world *world, struct sim_conn **out)
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
    conn->number = ++world->conns_made;
    conn->delay_ns = sim_below(world, world->options.conn_delay_ns);
    list_push_back(&world->conns, &conn->node);
    *out = conn;
    return 0;
}

void sim_conn_free(struct sim_world *world, struct sim_conn *conn)
{
    list_remove(&conn->node);
    sim_taps_close(world, conn);
    sim_pipe_clear(world, &conn->end[0].pipe);
    sim_pipe_clear(world, &conn->end[1].pipe);
    env_free(world->heap, conn);
}

/* This end learns at once that the connection is broken, and loses what it has not read. */
static void end_break(struct sim_world *world, struct sim_end *end)
{
    end->reset = true;
    sim_pipe_clear(world, &end->pipe);
    kick_recv(world, end);
    if (end->out)
        sim_schedule(end->out, world->now_ns);
}

/* The owner is done with this end. */
void sim_end_close(struct sim_world *world, struct sim_end *end)
{
    struct sim_end *peer = sim_peer_of(end);
    assert(!end->in && !end->out);
    end->open = false;
    sim_handle_drop(world, end->handle);
    if (!peer->open) {
        sim_conn_free(world, end->conn);
        return;
    }
    /* Closing over unread bytes resets, as TCP does. */
    sim_pipe_end(world, peer, end->reset || end->pipe.bytes > 0);
    kick_recv(world, peer);
    kick_send(world, peer);
}

static bool conn_is_whole(const struct sim_conn *conn)
{
    return conn->end[0].open && conn->end[1].open && !conn->end[0].reset && !conn->end[1].reset;
}

/* From now on neither end hears of the other. */
static void conn_silence(struct sim_conn *conn)
{
    conn->silent = true;
}

int sim_silence_all(struct sim_world *world)
{
    int count = 0;
    list_for_each(it, &world->conns)
    {
        struct sim_conn *conn = list_entry(it, struct sim_conn, node);
        if (conn_is_whole(conn) && !conn->silent) {
            conn_silence(conn);
            world->faults[SIM_FAULT_HALF_OPEN]++;
            count++;
        }
    }
    return count;
}

/* Connections that wait to be accepted are cut too. */
int sim_cut_all(struct sim_world *world)
{
    int count = 0;
    list_for_each(it, &world->conns)
    {
        struct sim_conn *conn = list_entry(it, struct sim_conn, node);
        if (conn_is_whole(conn)) {
            world->faults[SIM_FAULT_CUT]++;
            end_break(world, &conn->end[0]);
            end_break(world, &conn->end[1]);
            count++;
        }
    }
    return count;
}

/* ---- one try of each operation ---- */

/* The place is empty before the done function runs: it may submit the next one. */
void sim_settle(struct io_op **place, int64_t result)
{
    struct io_op *op = *place;
    *place = NULL;
    sim_deliver(op, result);
}

/* How many of `most` bytes go in this step. */
static uint64_t net_split(struct sim_world *world, uint64_t most)
{
    return sim_happens(world, world->options.split, SIM_FAULT_SPLIT) ? 1 + sim_below(world, most - 1) : most;
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
    sim_pipe_take(world, end, vec, len);
    return true;
}

/* In TCP's order: a broken connection, bytes that have arrived, then the end. */
static void try_recv(struct sim_world *world, struct sim_end *end)
{
    struct io_op *op = end->in;
    const bool silent = end->conn->silent; /* what is on its way stays there */
    const uint64_t wanted = op->type == IO_OP_RECV_ANY ? op->chunk_len : io_vec_bytes(op->vec, op->vec_count);
    uint64_t have = silent ? 0 : sim_pipe_arrived(&end->pipe, world->now_ns);
    const bool ended = !silent && list_empty(&end->pipe.segments) && (end->pipe.fin || end->pipe.reset) &&
                       end->pipe.end_arrival_ns <= world->now_ns;
    if (sim_state_of(op)->cancelled) {
        sim_settle(&end->in, ERR_CANCELLED);
    } else if (end->reset) {
        sim_settle(&end->in, ERR_RESET);
    } else if (have > 0) {
        have = net_split(world, have < wanted ? have : wanted);
        bool copied = recv_copy(world, end, op, have);
        if (copied)
            kick_send(world, sim_peer_of(end)); /* there is room in the window */
        sim_settle(&end->in, copied ? (int64_t)have : ERR_NOMEM);
    } else if (end->shut || ended) {
        sim_settle(&end->in, ended && end->pipe.reset ? ERR_RESET : 0);
    } else {
        kick_recv(world, end); /* not yet */
    }
}

/* Both ends lose the connection: the sender at once, the receiver after the bytes that still got through. */
static void send_cut(struct sim_world *world, struct sim_end *end, uint64_t most)
{
    struct sim_end *peer = sim_peer_of(end);
    const uint64_t through = sim_below(world, most);
    /* Out of memory for these bytes: then they got lost on the way. Nothing comes behind the end of a
     * direction. */
    if (through > 0 && !peer->pipe.fin)
        (void)sim_pipe_append(world, peer, end->out->vec, through);
    if (sim_random(world) & 1) {
        sim_pipe_end(world, peer, true);
        kick_recv(world, peer);
        kick_send(world, peer);
    } else {
        end_break(world, peer);
    }
    end_break(world, end);
}

/* What a network does to a connection without breaking it. A half-closed direction swallows what is sent on
 * it: the sender's program believes that it still writes. */
static void send_hinder(struct sim_world *world, struct sim_end *end)
{
    struct sim_end *peer = sim_peer_of(end);
    const struct sim_options *options = &world->options;
    if (options->stall_ns && sim_happens(world, options->stall, SIM_FAULT_STALL))
        peer->pipe.stalled_ns = world->now_ns + sim_below(world, options->stall_ns);
    if (!end->conn->silent && sim_happens(world, options->half_open, SIM_FAULT_HALF_OPEN))
        conn_silence(end->conn);
    if (!peer->pipe.fin && sim_happens(world, options->half_close, SIM_FAULT_HALF_CLOSE)) {
        sim_pipe_end(world, peer, false);
        kick_recv(world, peer);
    }
}

/* Copies as much as window and luck allow; a full window parks the op. */
static void try_send(struct sim_world *world, struct sim_end *end)
{
    struct io_op *op = end->out;
    struct sim_end *peer = sim_peer_of(end);
    const uint64_t total = io_vec_bytes(op->vec, op->vec_count);
    const uint64_t room = peer->pipe.window > peer->pipe.bytes ? peer->pipe.window - peer->pipe.bytes : 0;
    const bool broken =
        end->reset || (!end->conn->silent &&
                       (!peer->open || (end->pipe.reset && end->pipe.end_arrival_ns <= world->now_ns)));
    if (sim_state_of(op)->cancelled) {
        sim_settle(&end->out, ERR_CANCELLED);
    } else if (end->shut) {
        sim_settle(&end->out, ERR_CLOSED);
    } else if (broken) {
        sim_settle(&end->out, ERR_RESET);
    } else if (room > 0) {
        uint64_t len = net_split(world, total < room ? total : room);
        if (sim_happens(world, world->options.cut, SIM_FAULT_CUT)) {
            send_cut(world, end, len);
            return; /* its own event now says so */
        }
        send_hinder(world, end);
        int err = peer->pipe.fin ? 0 : sim_pipe_append(world, peer, op->vec, len);
        if (!end->conn->silent)
            kick_recv(world, peer);
        sim_settle(&end->out, err < 0 ? err : (int64_t)len);
    } else if (end->pipe.reset && !end->conn->silent) {
        sim_schedule(op, end->pipe.end_arrival_ns); /* on its way */
    }
    /* else: the receiver's next read schedules it */
}
void sim_net_try(struct sim_world *world, struct io_op *op)
{
    switch (op->type) {
    case IO_OP_CONNECT:
        sim_try_connect(world, op);
        break;
    case IO_OP_ACCEPT:
        sim_try_accept(world, sim_handle_get(world, op->handle, SIM_LISTENER));
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
        sim_schedule(op, world->now_ns + sim_net_delay(world));
        break;
    case IO_OP_ACCEPT:
        listener = sim_handle_get(world, op->handle, SIM_LISTENER);
        assert(!listener->accept);
        listener->accept = op;
        sim_kick_accept(listener, world->now_ns);
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
    if (sim_peer_of(end)->open) {
        sim_pipe_end(world, sim_peer_of(end), end->reset);
        kick_recv(world, sim_peer_of(end));
    }
}

void sim_net_close(struct sim_world *world, io_handle handle)
{
    if (sim_handle_kind(world, handle) == SIM_LISTENER)
        sim_listener_close(world, sim_handle_get(world, handle, SIM_LISTENER));
    else
        sim_end_close(world, sim_handle_get(world, handle, SIM_SOCKET));
}

void sim_net_abandon(struct sim_world *world, io_handle handle, bool silent)
{
    if (sim_handle_kind(world, handle) == SIM_LISTENER) {
        struct sim_listener *listener = sim_handle_get(world, handle, SIM_LISTENER);
        listener->accept = NULL;
        sim_listener_close(world, listener);
        return;
    }
    struct sim_end *end = sim_handle_get(world, handle, SIM_SOCKET);
    end->in = end->out = NULL;
    end->conn->silent |= silent;
    end->reset = true;
    sim_end_close(world, end);
}

/* What a test left open. */
void sim_net_fini(struct sim_world *world)
{
    struct list_node *node;
    while ((node = list_pop_front(&world->listeners)))
        env_free(world->heap, list_entry(node, struct sim_listener, node));
    while ((node = world->conns.next) != &world->conns)
        sim_conn_free(world, list_entry(node, struct sim_conn, node));
}
