/* The client's socket: connect, receive, send, and the orderly end of all three. Output of a whole turn goes
 * out in one gather: whoever queues something posts one flush, which runs after the turn's inputs. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "initiator/lib/client.h"

static void connection_receive(struct lnt_client *c);

void client_set_error(struct lnt_client *c, const char *text)
{
    snprintf(c->error, sizeof c->error, "%s", text);
}

/* ---- the end: everything that is out must come back before the socket is closed ---- */

static void connection_settle(struct lnt_client *c)
{
    if (!c->shut || c->recv_op.busy || c->send_op.busy || !c->session)
        return;
    ini_lost(c->session, c->broken_err);
    client_events(c);
    if (c->session)
        client_session_over(c);
}

void client_break(struct lnt_client *c)
{
    if (c->shut)
        return;
    c->shut = true;
    io_shutdown(c->io, c->sock);
    client_post_flush(c); /* settles it if no operation is out whose end would */
}

static void connection_broken(struct lnt_client *c, int err)
{
    if (!c->transport_broken && !ini_wants_close(c->session)) {
        c->transport_broken = true;
        c->broken_err = err;
    }
    client_break(c);
    connection_settle(c);
}

/* After each input and output: news, then what follows from it. */
static void connection_went_on(struct lnt_client *c)
{
    client_events(c);
    if (!c->session)
        return; /* that was its end */
    if (ini_wants_close(c->session)) {
        client_break(c);
        connection_settle(c);
        return;
    }
    client_want_flush(c);
    connection_receive(c);
    client_arm_timer(c);
}

/* ---- receive ---- */

static void connection_received(struct io_op *op)
{
    struct lnt_client *c = container_of(op, struct lnt_client, recv_op);
    if (op->result <= 0) {
        if (op->result == ERR_NOMEM && !c->shut) {
            connection_receive(c); /* chunks come back as data is consumed */
            return;
        }
        connection_broken(c, (int)op->result);
        return;
    }
    if (c->recv_places_used)
        ini_received(c->session, (uint32_t)op->result);
    else
        ini_received_chunk(c->session, op->chunk, (uint32_t)op->result);
    if (c->shut)
        connection_settle(c);
    else
        connection_went_on(c);
}

static void connection_receive(struct lnt_client *c)
{
    uint32_t count = 0;
    if (c->recv_op.busy || c->shut)
        return;
    enum ini_room room = ini_room(c->session, c->recv_places, &count);
    if (room == INI_ROOM_NOT_NOW)
        return;
    c->recv_places_used = room == INI_ROOM_PLACES;
    c->recv_op.done = connection_received;
    if (c->recv_places_used)
        io_recv_into(c->io, &c->recv_op, c->sock, c->recv_places, count);
    else
        io_recv_any(c->io, &c->recv_op, c->sock, c->pool, FRAMER_CHUNK_LEN);
}

/* ---- send ---- */

static void connection_send(struct lnt_client *c);

static void connection_sent(struct io_op *op)
{
    struct lnt_client *c = container_of(op, struct lnt_client, send_op);
    ini_sent(c->session, op->result > 0 ? (uint64_t)op->result : 0);
    if (op->result <= 0) {
        connection_broken(c, op->result ? (int)op->result : ERR_CLOSED);
        return;
    }
    if (c->shut) {
        connection_settle(c);
        return;
    }
    connection_send(c);
    connection_went_on(c);
}

static void connection_send(struct lnt_client *c)
{
    if (c->send_op.busy || c->shut || !c->session)
        return;
    uint32_t n = ini_gather(c->session, c->send_places, IO_VEC_MAX);
    if (n == 0)
        return;
    c->send_op.done = connection_sent;
    io_send(c->io, &c->send_op, c->sock, c->send_places, n);
}

static void connection_flush(struct io_post *post)
{
    struct lnt_client *c = container_of(post, struct lnt_client, flush);
    c->flush_posted = false;
    if (!c->close_pending) {
        connection_send(c);
        connection_settle(c);
        if (c->state == LNT_FAILED || c->state == LNT_CLOSED)
            client_fail_waiting(c, ERR_CLOSED); /* submitted when nobody could take it any more */
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
    c->flush.run = connection_flush;
    io_post(c->io, &c->flush);
}

void client_want_flush(struct lnt_client *c)
{
    if (c->session && !c->send_op.busy)
        client_post_flush(c);
}

/* ---- connect ---- */

static void connection_connected(struct io_op *op)
{
    struct lnt_client *c = container_of(op, struct lnt_client, connect_op);
    if (op->result == ERR_CANCELLED && !c->closing)
        op->result = ERR_TIMEOUT; /* it was our timer that cancelled */
    if (op->result < 0) {
        char text[IO_ADDR_TEXT_MAX], what[LNT_ERROR_MAX];
        snprintf(what, sizeof what, "cannot connect to %s: %s", addr_format(&op->addr, text, sizeof text),
                 err_text((int)op->result));
        client_connect_failed(c, (int)op->result, what);
        return;
    }
    c->sock = (io_handle)op->result;
    c->shut = c->transport_broken = false;
    c->broken_err = 0;
    int err = ini_session_new(c->env, c->pool, &c->tx_pool, &c->options.session, &c->session);
    if (err || c->closing) {
        if (!err) {
            ini_lost(c->session, 0);
            struct ini_event event;
            while (ini_next_event(c->session, &event))
                ;
            ini_session_free(c->session);
            c->session = NULL;
        }
        io_close(c->io, c->sock);
        client_connect_failed(c, err ? err : ERR_CLOSED, err_text(err ? err : ERR_CLOSED));
        return;
    }
    c->state = LNT_LOGIN;
    connection_went_on(c);
}

void client_connect(struct lnt_client *c)
{
    c->state = LNT_CONNECTING;
    c->attempt_started_ns = io_now(c->io);
    c->connect_op.done = connection_connected;
    io_connect(c->io, &c->connect_op, &c->addresses[c->address_next]);
    client_arm_timer(c);
}
