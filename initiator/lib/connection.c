/* One connection of a client: connect, receive, send, and the orderly end of all three. Output of a whole
 * turn goes out in one gather per connection: whoever queues something posts one flush, which runs after the
 * turn's inputs. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/capture/tap.h"
#include "initiator/lib/client.h"

bool connection_idle(const struct lnt_connection *conn)
{
    return !conn->connect_op.busy && conn->sock == IO_NONE;
}

/* ---- when to try again (further connections; the leading one is client.c's matter) ---- */

void connection_retry_at_once(struct lnt_connection *conn)
{
    conn->failures = 0;
    conn->backoff_ns = 0;
    conn->next_try_ns = 0;
}

void connection_retry_later(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    if (conn->failures < LNT_FURTHER_TRIES_MAX)
        conn->failures++;
    conn->backoff_ns = conn->backoff_ns ? conn->backoff_ns * 2 : LNT_BACKOFF_MIN_NS;
    if (conn->backoff_ns > LNT_BACKOFF_MAX_NS)
        conn->backoff_ns = LNT_BACKOFF_MAX_NS;
    /* Without it the session works; without any it does not. */
    bool over = conn->failures >= LNT_FURTHER_TRIES_MAX && !c->bare_since_ns;
    conn->next_try_ns = over ? UINT64_MAX : io_now(c->io) + conn->backoff_ns;
}

/* ---- the tap ---- */

static void connection_tap_open(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    struct io_addr here = {0}, there = conn->address;
    if (!c->options.tap)
        return;
    io_local_addr(c->io, conn->sock, &here);
    io_peer_addr(c->io, conn->sock, &there);
    conn->tapped = true;
    conn->tap_shown = 0;
    conn->tap_id = (*c->options.tap_connections)++;
    c->options.tap->open(c->options.tap, conn->tap_id, &here, &there, env_now(c->env));
}

static void connection_tap_bytes(struct lnt_connection *conn, enum tap_direction direction,
                                 const struct io_vec *places, uint32_t count, uint64_t len)
{
    struct lnt_client *c = conn->client;
    if (conn->tapped)
        c->options.tap->bytes(c->options.tap, conn->tap_id, direction, places, count, len, env_now(c->env));
}

/* Output is shown when it is handed over, so that it stands before what the target answers to it. After a
 * short send part of it is handed over again: that has been shown. */
static void connection_tap_output(struct lnt_connection *conn, uint32_t count)
{
    uint64_t skip = conn->tap_shown, len = 0;
    uint32_t first = 0;
    for (uint32_t i = 0; i < count; i++)
        len += conn->send_places[i].len;
    if (!conn->tapped || len <= skip)
        return;
    conn->tap_shown = len;
    for (len -= skip; skip >= conn->send_places[first].len; first++)
        skip -= conn->send_places[first].len;
    struct io_vec whole = conn->send_places[first];
    conn->send_places[first] = (struct io_vec){(uint8_t *)whole.ptr + skip, whole.len - skip};
    connection_tap_bytes(conn, TAP_TO_TARGET, conn->send_places + first, count - first, len);
    conn->send_places[first] = whole; /* whole again, for the send */
}

static void connection_tap_close(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    if (conn->tapped)
        c->options.tap->close(c->options.tap, conn->tap_id, env_now(c->env));
    conn->tapped = false;
}

/* ---- the end: everything that is out must come back before the socket is closed ---- */

static void connection_close_socket(struct lnt_connection *conn)
{
    connection_tap_close(conn);
    io_close(conn->client->io, conn->sock);
    conn->sock = IO_NONE;
}

/* Neither the engine nor the network has anything of it any more. */
static void connection_release(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    struct ini_conn *ini = conn->ini;
    connection_close_socket(conn);
    conn->ini = NULL;
    ini_conn_free(ini);
    /* One that came up and stayed for a while may come back at once, if the session lives: the flush sees to
     * it. */
    if (conn->logged_in && io_now(c->io) - conn->up_since_ns >= LNT_STEADY_NS)
        connection_retry_at_once(conn);
    else
        connection_retry_later(conn);
    conn->logged_in = false;
    if (c->session_closed)
        client_session_over(c);
    else
        client_post_flush(c);
}

void connection_settle(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    if (!conn->shut || !conn->ini || conn->recv_op.busy || conn->send_op.busy)
        return;
    if (!conn->lost_told && !conn->ended) {
        conn->lost_told = true;
        ini_lost(conn->ini, conn->broken_err);
    }
    if (conn->ended)
        connection_release(conn);
    else
        client_events(c); /* CONN_CLOSED is among them, if nothing else is lent */
}

/* The session has logged out: what still comes is the end. */
static void connection_drained(struct io_op *op)
{
    struct lnt_connection *conn = container_of(op, struct lnt_connection, recv_op);
    if (op->result > 0)
        chunk_unref(op->chunk);
    conn->drained = true;
    connection_break(conn);
    connection_settle(conn);
}

/* After the logout of a session with several connections the target closes them, that of the logout included.
 * It gets the time for it: one that goes through its list of them may not live through others that end
 * meanwhile (LIO's kernel: docs/interop.md). */
static bool connection_lingers(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    if (!c->closing || !c->logged_out || conn->drained)
        return false;
    uint32_t several = 0;
    for (uint32_t i = 0; i < c->options.connections; i++)
        several += c->connections[i].logged_in;
    if (!c->linger_ns && several > 1) {
        c->linger_ns = io_now(c->io) + LNT_LINGER_NS;
        client_arm_timer(c);
    }
    if (io_now(c->io) >= c->linger_ns)
        return false;
    if (!conn->recv_op.busy) {
        conn->recv_op.done = connection_drained;
        io_recv_any(c->io, &conn->recv_op, conn->sock, c->pool, FRAMER_CHUNK_LEN);
    }
    return true;
}

void connection_break(struct lnt_connection *conn)
{
    if (conn->shut || conn->sock == IO_NONE || connection_lingers(conn))
        return;
    conn->shut = true;
    io_shutdown(conn->client->io, conn->sock);
    client_post_flush(conn->client); /* settles it if no operation is out whose end would */
}

static void connection_broken(struct lnt_connection *conn, int err)
{
    if (!conn->transport_broken && !conn->shut && !ini_wants_close(conn->ini)) {
        conn->transport_broken = true;
        conn->broken_err = err;
        if (!conn->client->session_was_up)
            conn->client->broken_err = err;
    }
    connection_break(conn);
    connection_settle(conn);
}

/* After each input and output: news, then what follows from it. */
static void connection_went_on(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    client_events(c);
    if (!conn->ini)
        return; /* that was its end */
    if (ini_wants_close(conn->ini)) {
        connection_break(conn);
        connection_settle(conn);
        return;
    }
    client_want_flush(c);
    connection_receive(conn);
    client_arm_timer(c);
}

/* ---- receive ---- */

static void connection_received(struct io_op *op)
{
    struct lnt_connection *conn = container_of(op, struct lnt_connection, recv_op);
    struct lnt_client *c = conn->client;
    if (op->result <= 0) {
        if (op->result == ERR_NOMEM && !conn->shut) {
            client_starved(c); /* chunks come back as data is consumed */
            return;
        }
        connection_broken(conn, (int)op->result);
        return;
    }
    if (conn->recv_places_used) {
        connection_tap_bytes(conn, TAP_TO_INITIATOR, op->vec, op->vec_count, (uint64_t)op->result);
        ini_received(conn->ini, (uint32_t)op->result);
    } else {
        struct io_vec place = {op->chunk->data, (size_t)op->result};
        connection_tap_bytes(conn, TAP_TO_INITIATOR, &place, 1, (uint64_t)op->result);
        ini_received_chunk(conn->ini, op->chunk, (uint32_t)op->result);
    }
    if (conn->shut)
        connection_settle(conn);
    else
        connection_went_on(conn);
}

void connection_receive(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    uint32_t count = 0;
    if (conn->recv_op.busy || conn->shut || !conn->ini)
        return;
    enum ini_room room = ini_room(conn->ini, conn->recv_places, &count);
    if (room == INI_ROOM_NOT_NOW) { /* it waits for memory, or is over */
        client_starved(c);
        return;
    }
    conn->recv_places_used = room == INI_ROOM_PLACES;
    conn->recv_op.done = connection_received;
    if (conn->recv_places_used)
        io_recv_into(c->io, &conn->recv_op, conn->sock, conn->recv_places, count);
    else
        io_recv_any(c->io, &conn->recv_op, conn->sock, c->pool, FRAMER_CHUNK_LEN);
}

/* ---- send ---- */

static void connection_sent(struct io_op *op)
{
    struct lnt_connection *conn = container_of(op, struct lnt_connection, send_op);
    uint64_t sent = op->result > 0 ? (uint64_t)op->result : 0;
    conn->tap_shown -= sent < conn->tap_shown ? sent : conn->tap_shown;
    ini_sent(conn->ini, op->result > 0 ? (uint64_t)op->result : 0);
    if (op->result <= 0) {
        connection_broken(conn, op->result ? (int)op->result : ERR_CLOSED);
        return;
    }
    if (conn->shut) {
        connection_settle(conn);
        return;
    }
    connection_send(conn);
    connection_went_on(conn);
}

void connection_send(struct lnt_connection *conn)
{
    if (conn->send_op.busy || conn->shut || !conn->ini)
        return;
    uint32_t n = ini_gather(conn->ini, conn->send_places, IO_VEC_MAX);
    if (n == 0)
        return;
    connection_tap_output(conn, n);
    conn->send_op.done = connection_sent;
    io_send(conn->client->io, &conn->send_op, conn->sock, conn->send_places, n);
}

/* ---- connect ---- */

static void connection_failed(struct lnt_connection *conn, int err, const char *what)
{
    struct lnt_client *c = conn->client;
    if (c->session_closed) {
        client_session_over(c); /* it waited for this */
    } else if (c->session) {    /* a further connection: the session goes on without it, for now */
        connection_retry_later(conn);
        ini_connect_failed(c->session);
        if (c->bare_since_ns)
            client_set_error(c, what);
        client_post_flush(c);
    } else {
        client_connect_failed(c, err, what);
    }
}

/* The engine takes the socket over; with the first one comes the session. */
static int connection_enter(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    bool leading = !c->session;
    if (c->closing || c->session_closed || (!leading && c->state != LNT_UP))
        return ERR_CLOSED;
    if (leading) {
        int err = ini_session_new(c->env, c->pool, &c->tx_pool, &c->options.session, &c->session);
        if (err)
            return err;
    }
    int err = ini_conn_new(c->session, conn, &conn->ini);
    if (err && leading) {
        ini_session_free(c->session);
        c->session = NULL;
    }
    return err;
}

static void connection_connected(struct io_op *op)
{
    struct lnt_connection *conn = container_of(op, struct lnt_connection, connect_op);
    struct lnt_client *c = conn->client;
    if (op->result == ERR_CANCELLED && !c->closing)
        op->result = ERR_TIMEOUT; /* it was our timer that cancelled */
    if (op->result < 0) {
        char text[IO_ADDR_TEXT_MAX], what[LNT_ERROR_MAX];
        snprintf(what, sizeof what, "cannot connect to %s: %s", addr_format(&op->addr, text, sizeof text),
                 err_text((int)op->result));
        connection_failed(conn, (int)op->result, what);
        return;
    }
    conn->sock = (io_handle)op->result;
    conn->shut = conn->lost_told = conn->ended = conn->transport_broken = conn->logged_in = conn->drained =
        false;
    conn->broken_err = 0;
    int err = connection_enter(conn);
    if (err) {
        connection_close_socket(conn);
        connection_failed(conn, err, err_text(err));
        return;
    }
    connection_tap_open(conn);
    if (c->state == LNT_CONNECTING)
        c->state = LNT_LOGIN;
    connection_went_on(conn);
}

void connection_connect(struct lnt_connection *conn, const struct io_addr *to)
{
    struct lnt_client *c = conn->client;
    conn->address = *to;
    conn->started_ns = io_now(c->io);
    conn->connect_op.done = connection_connected;
    io_connect(c->io, &conn->connect_op, &conn->address);
    client_arm_timer(c);
}
