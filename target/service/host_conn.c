/* A connection between its socket and the engine: receives, sends, the move to its home reactor, and the end.
 */
#include <assert.h>

#include "common/base/err.h"
#include "target/service/host_internal.h"

static void recv_done(struct io_op *op);
static void send_done(struct io_op *op);

/* ---- birth ---- */

static struct host_conn *conn_get(struct host_reactor *r)
{
    struct list_node *node = list_pop_front(&r->free_conns);
    if (node)
        return list_entry(node, struct host_conn, node);
    return env_alloc(r->host->env, sizeof(struct host_conn));
}

static void conn_put(struct host_reactor *r, struct host_conn *conn)
{
    list_push_back(&r->free_conns, &conn->node);
}

static void conn_reset(struct host_conn *conn, struct host_reactor *r, io_handle sock,
                       const struct io_addr *peer)
{
    list_init(&conn->node);
    list_init(&conn->recv_node);
    conn->r = r;
    conn->engine = NULL;
    conn->sock = sock;
    conn->peer = *peer;
    conn->number = 0;
    conn->shown = 0;
    conn->out = NULL;
    conn->recv = (struct io_op){.done = recv_done};
    conn->send = (struct io_op){.done = send_done};
    conn->place = NULL;
    conn->login_counted = false;
    conn->closing = false;
    conn->attach_err = 0;
}

/* Counted, and told each time the count has doubled: a flood of connections must not become a flood of log
 * lines. */
static bool refuse(struct host *host, const char *why)
{
    uint64_t refused = atomic_fetch_add(&host->refused, 1) + 1;
    if ((refused & (refused - 1)) == 0)
        env_trace(host->env, TRACE_WARN, "conn.refused", NULL, why, refused, 0);
    return false;
}

/* Limits that a hostile peer must not exceed: connections in all, and logins of one address. */
static bool admit(struct host_reactor *r, const struct io_addr *peer)
{
    struct host *host = r->host;
    const struct tgt_limits *limits = &r->engine.config->limits;
    if (atomic_fetch_add(&host->connections, 1) >= limits->connections_max) {
        atomic_fetch_sub(&host->connections, 1);
        return refuse(host, "too many connections");
    }
    int err = directory_login_begin(host->directory, peer, limits->logins_per_address_max);
    if (err == 0)
        return true;
    atomic_fetch_sub(&host->connections, 1);
    return refuse(host, err == ERR_NOMEM ? "out of memory" : "too many logins from one address");
}

static void unadmit(struct host_reactor *r, const struct io_addr *peer)
{
    directory_login_end(r->host->directory, peer);
    atomic_fetch_sub(&r->host->connections, 1);
}

/* A wildcard listener also serves portals on one of its addresses: those have a group of their own. */
static uint16_t group_of(const struct host_reactor *r, const struct io_addr *local, uint16_t listener_group)
{
    const struct tgt_config *config = r->engine.config;
    for (uint32_t i = 0; i < config->portal_count; i++)
        if (addr_equal(&config->portals[i].listen, local))
            return config->portals[i].group;
    return listener_group;
}

/* ---- what taps see ---- */

static void show_open(struct host_conn *conn, const struct io_addr *local)
{
    struct host_reactor *r = conn->r;
    conn->number = atomic_fetch_add(&r->host->conns_numbered, 1) + 1;
    r->tap->open(r->tap, conn->number, &conn->peer, local, env_now(r->host->env));
}

static void show_received(struct host_conn *conn, const struct io_op *op, uint64_t len)
{
    struct tap *tap = conn->r->tap;
    struct io_vec chunk = {.len = len};
    bool any = op->type == IO_OP_RECV_ANY;
    if (any)
        chunk.ptr = op->chunk->data;
    tap->bytes(tap, conn->number, TAP_TO_TARGET, any ? &chunk : conn->in, any ? 1 : op->vec_count, len,
               env_now(conn->r->host->env));
}

/* Output is shown when it is handed over, not when it has gone: so it stands before whatever the peer answers
 * to it. Part of it may be handed over again after a short send. */
static void show_output(struct host_conn *conn, uint32_t count)
{
    struct tap *tap = conn->r->tap;
    struct io_vec *out = conn->out->places;
    uint64_t skip = conn->shown, len = 0;
    uint32_t first = 0;
    for (uint32_t i = 0; i < count; i++)
        len += out[i].len;
    if (len <= skip)
        return;
    conn->shown = len;
    for (len -= skip; skip >= out[first].len; first++)
        skip -= out[first].len;
    /* The first place is cut for the call: it is given back whole, for the send. */
    struct io_vec whole = out[first];
    out[first] = (struct io_vec){(uint8_t *)whole.ptr + skip, whole.len - skip};
    tap->bytes(tap, conn->number, TAP_TO_INITIATOR, out + first, count - first, len,
               env_now(conn->r->host->env));
    out[first] = whole;
}

static void show_sent(struct host_conn *conn, uint64_t len)
{
    conn->shown -= len < conn->shown ? len : conn->shown;
}

static void show_close(struct host_conn *conn)
{
    struct tap *tap = conn->r->tap;
    tap->close(tap, conn->number, env_now(conn->r->host->env));
}

void host_conn_accepted(struct host_reactor *r, io_handle sock, const struct io_addr *peer, uint16_t group)
{
    struct tgt_conn_info info = {.peer = *peer};
    if (r->stopping || io_local_addr(r->io, sock, &info.local) != 0 || !admit(r, peer)) {
        io_close(r->io, sock);
        return;
    }
    info.group = group_of(r, &info.local, group);
    struct host_conn *conn = conn_get(r);
    if (conn) {
        conn_reset(conn, r, sock, peer);
        conn->group = info.group;
        info.host = conn;
    }
    if (!conn || tgt_conn_new(&r->engine, &info, &conn->engine) != 0) {
        if (conn)
            conn_put(r, conn);
        unadmit(r, peer);
        io_close(r->io, sock);
        return;
    }
    conn->login_counted = true;
    list_push_back(&r->conns, &conn->node);
    r->conn_count++;
    list_push_back(&r->to_recv, &conn->recv_node);
    if (r->tap)
        show_open(conn, &info.local);
}

/* ---- receiving ---- */

void host_conn_recv(struct host_conn *conn)
{
    struct host_reactor *r = conn->r;
    list_remove(&conn->recv_node);
    if (conn->recv.busy || conn->closing)
        return;
    uint32_t count;
    switch (tgt_conn_room(conn->engine, conn->in, &count)) {
    case TGT_ROOM_ANY:
        io_recv_any(r->io, &conn->recv, conn->sock, r->pool, tgt_recv_chunk_len(conn->engine));
        break;
    case TGT_ROOM_PLACES:
        io_recv_into(r->io, &conn->recv, conn->sock, conn->in, count);
        break;
    case TGT_ROOM_NOT_NOW:
        break; /* tgt_next_to_read names it when that changes */
    }
}

static void conn_check_closed(struct host_conn *conn);

static void recv_done(struct io_op *op)
{
    struct host_conn *conn = container_of(op, struct host_conn, recv);
    struct host_reactor *r = conn->r;
    bool any = op->type == IO_OP_RECV_ANY;
    if (conn->closing) {
        if (any && op->result > 0)
            chunk_unref(op->chunk);
        conn_check_closed(conn);
        return;
    }
    if (op->result > 0) {
        if (r->tap)
            show_received(conn, op, (uint64_t)op->result);
        if (any)
            tgt_conn_received_chunk(conn->engine, op->chunk, (uint32_t)op->result);
        else
            tgt_conn_received(conn->engine, (uint32_t)op->result);
    } else if (op->result == ERR_NOMEM) {
        reactor_memory_wait(r, conn);
        return;
    } else if (op->result != ERR_AGAIN) {
        tgt_conn_lost(conn->engine, (int)op->result);
        return;
    }
    /* A stream goes on in this turn, before anything is answered; others wait until their input has been
     * answered. */
    if (!any && op->vec[0].len >= HOST_STREAM_LEN && op->result >= HOST_STREAM_LEN)
        host_conn_recv(conn);
    else if (!list_linked(&conn->recv_node))
        list_push_back(&r->to_recv, &conn->recv_node);
}

/* ---- sending ---- */

static bool output_get(struct host_conn *conn)
{
    struct host_reactor *r = conn->r;
    struct list_node *node = list_pop_front(&r->free_outputs);
    conn->out =
        node ? list_entry(node, struct host_output, node) : env_alloc(r->host->env, sizeof *conn->out);
    return conn->out != NULL;
}

static void output_put(struct host_conn *conn)
{
    list_push_front(&conn->r->free_outputs, &conn->out->node);
    conn->out = NULL;
}

void host_conn_send(struct host_conn *conn)
{
    if (conn->send.busy || conn->closing)
        return; /* send_done goes on */
    if (!output_get(conn)) {
        tgt_conn_lost(conn->engine, ERR_NOMEM);
        return;
    }
    uint32_t count = tgt_conn_gather(conn->engine, conn->out->places, IO_VEC_MAX);
    if (count > 0 && conn->r->tap)
        show_output(conn, count);
    if (count > 0)
        io_send(conn->r->io, &conn->send, conn->sock, conn->out->places, count);
    else
        output_put(conn);
}

static void send_done(struct io_op *op)
{
    struct host_conn *conn = container_of(op, struct host_conn, send);
    uint64_t sent = op->result > 0 ? (uint64_t)op->result : 0;
    output_put(conn);
    if (conn->r->tap)
        show_sent(conn, sent);
    tgt_conn_sent(conn->engine, sent);
    if (conn->closing)
        conn_check_closed(conn);
    else if (op->result < 0 && op->result != ERR_AGAIN)
        tgt_conn_lost(conn->engine, (int)op->result);
}

/* ---- placement ---- */

static void conn_arrived(struct io_post *post)
{
    struct host_conn *conn = container_of(post, struct host_conn, post);
    struct host_reactor *r = conn->r;
    atomic_fetch_sub(&r->host->in_transit, 1);
    list_push_back(&r->conns, &conn->node);
    r->conn_count++;
    conn->attach_err = io_attach(r->io, conn->sock);
    tgt_conn_adopt(&r->engine, conn->engine);
    if (conn->attach_err)
        tgt_conn_lost(conn->engine, conn->attach_err);
    else
        list_push_back(&r->to_recv, &conn->recv_node);
    if (r->stopping) /* it was between reactors when the engine was told */
        tgt_stop(&r->engine, r->stop_now);
}

void host_conn_place(struct host_conn *conn, const struct tgt_nexus_key *key)
{
    struct host_reactor *r = conn->r;
    /* Unnamed discovery has no nexus that another login could meet. */
    if (!key->target[0]) {
        tgt_conn_placed(conn->engine);
        return;
    }
    assert(!conn->place);
    struct tgt_nexus_key nexus = *key;
    nexus.group = conn->group; /* this early the engine need not know it */
    conn->place = directory_enter(r->host->directory, &nexus, r->index);
    if (!conn->place) {
        tgt_conn_lost(conn->engine, ERR_NOMEM);
        return;
    }
    uint32_t home = directory_home(conn->place);
    if (home == r->index) {
        tgt_conn_placed(conn->engine);
        return;
    }
    /* The engine wants no input now and has no output, so nothing is in flight. */
    assert(!conn->recv.busy && !conn->send.busy);
    tgt_conn_detach(conn->engine);
    io_detach(r->io, conn->sock);
    list_remove(&conn->recv_node);
    list_remove(&conn->node);
    r->conn_count--;
    conn->r = &r->host->reactors[home];
    conn->post.run = conn_arrived;
    atomic_fetch_add(&r->host->in_transit, 1);
    io_post(conn->r->io, &conn->post);
}

void host_conn_login_over(struct host_conn *conn)
{
    if (!conn->login_counted)
        return;
    conn->login_counted = false;
    directory_login_end(conn->r->host->directory, &conn->peer);
}

/* ---- end ---- */

void host_conn_close(struct host_conn *conn)
{
    assert(!conn->closing);
    conn->closing = true;
    list_remove(&conn->recv_node);
    /* Operations in flight complete now: their owner has to live until they have. */
    if (!conn->attach_err)
        io_shutdown(conn->r->io, conn->sock);
    conn_check_closed(conn);
}

static void conn_check_closed(struct host_conn *conn)
{
    if (conn->recv.busy || conn->send.busy)
        return;
    struct host_reactor *r = conn->r;
    if (r->tap)
        show_close(conn);
    io_close(r->io, conn->sock);
    tgt_conn_closed(conn->engine);
    host_conn_login_over(conn);
    directory_leave(r->host->directory, conn->place);
    atomic_fetch_sub(&r->host->connections, 1);
    list_remove(&conn->node);
    r->conn_count--;
    conn_put(r, conn);
}
