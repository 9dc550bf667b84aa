/* A connection: bytes in through the framer, PDUs to whoever handles them in this state, PDUs out through tx,
 * and the one way to its end. Places lent to the host stay valid until the host gives them back, whatever
 * happens meanwhile: that is why memory is freed in tgt_conn_closed only. */
#include <assert.h>

#include "common/base/err.h"
#include "target/iscsi/conn_internal.h"

/* What input means in each state. */
enum input { INPUT_NONE, INPUT_LOGIN, INPUT_FULL, INPUT_DROP };
static const enum input conn_input[CONN_STATE_COUNT] = {
    [CONN_LOGIN] = INPUT_LOGIN, [CONN_PLACING] = INPUT_NONE, [CONN_WAIT_OLD] = INPUT_NONE,
    [CONN_FULL] = INPUT_FULL,   [CONN_LOGOUT] = INPUT_DROP,  [CONN_CLOSING] = INPUT_NONE,
    [CONN_DEAD] = INPUT_NONE,
};

/* Which state may follow which: anything else is our own bug. */
static const uint16_t conn_next[CONN_STATE_COUNT] = {
    [CONN_LOGIN] =
        1u << CONN_PLACING | 1u << CONN_WAIT_OLD | 1u << CONN_FULL | 1u << CONN_CLOSING | 1u << CONN_DEAD,
    [CONN_PLACING] = 1u << CONN_LOGIN | 1u << CONN_DEAD,
    [CONN_WAIT_OLD] = 1u << CONN_LOGIN | 1u << CONN_DEAD,
    [CONN_FULL] = 1u << CONN_LOGOUT | 1u << CONN_CLOSING | 1u << CONN_DEAD,
    [CONN_LOGOUT] = 1u << CONN_CLOSING | 1u << CONN_DEAD,
    [CONN_CLOSING] = 1u << CONN_DEAD,
};

void conn_set_state(struct tgt_conn *conn, enum conn_state state)
{
    assert(conn_next[conn->state] & (1u << state));
    conn->state = state;
    /* on_header looks at no other one */
    framer_announce(&conn->framer, conn_input[state] == INPUT_FULL ? PDU_OP_data_out : FRAMER_ALL);
}

const char *conn_label(const struct tgt_conn *conn)
{
    if (conn->session)
        return conn->session->key.initiator;
    return conn->login ? conn->login->key.initiator : NULL;
}

void conn_doom(struct tgt_conn *conn)
{
    conn->doomed = true;
    conn->r->troubled = true;
}

bool conn_live(const struct tgt_conn *conn)
{
    return conn->state != CONN_DEAD && conn->state != CONN_CLOSING && !conn->doomed;
}

void conn_set_deadline(struct tgt_conn *conn, uint64_t when_ns)
{
    conn->deadline_ns = when_ns;
    reactor_wake(conn->r, when_ns);
}

/* ---- birth and death ---- */

int tgt_conn_new(struct tgt_reactor *r, const struct tgt_conn_info *info, struct tgt_conn **out)
{
    struct tgt_conn *conn = env_alloc(r->env, sizeof *conn);
    if (!conn)
        return ERR_NOMEM;
    conn->r = r;
    conn->env = r->env;
    conn->info = *info;
    conn->state = CONN_LOGIN;
    conn->stat_sn = 1; /* any start will do */
    list_init(&conn->kept);
    state_conn(r, &conn->rfc, CONN_EV_TRANSPORT);
    list_init(&conn->send_node);
    list_init(&conn->read_node);
    list_init(&conn->place_event.node);
    list_init(&conn->reset_event.node);
    framer_init(&conn->framer, r->pool, TGT_LOGIN_SEGMENT_LEN);
    conn->framer.max_ahs =
        0; /* no login request has one: what is not iSCSI is found out by its first 48 bytes */
    tx_init(&conn->tx, &r->tx_pool);
    conn->created_ns = env_now(r->env);
    conn->heard_ns = conn->created_ns;
    conn->reading = true;
    conn_set_deadline(conn, conn->created_ns + r->config->limits.login_timeout_ns);
    list_push_back(&r->conns, &conn->node);
    r->counters.connections++;
    *out = conn;
    return 0;
}

void *tgt_conn_host(const struct tgt_conn *conn)
{
    return conn->info.host;
}

void conn_text_free(struct tgt_conn *conn)
{
    env_free(conn->env, conn->text.neg);
    env_free(conn->env, conn->text.in_buf);
    env_free(conn->env, conn->text.out_buf);
    conn->text = (struct text_exchange){0};
}

/* Chapter 8's view of an end. Below level 2 nothing waits for a cleanup: its time is zero (R7143-7.1.4.4-02).
 */
static void rfc_end(struct tgt_conn *conn)
{
    bool clean = conn->clean || (conn->session && conn->session->closing);
    if (conn->rfc == CONN_FREE || conn->rfc == CONN_CLEANUP_WAIT)
        return;
    state_conn(conn->r, &conn->rfc, clean ? CONN_EV_CLOSED : CONN_EV_LOST);
    if (conn->rfc == CONN_CLEANUP_WAIT && !session_retains(conn->session)) {
        enum cleanup_state cleanup = CLEANUP_WAIT;
        state_cleanup(conn->r, &cleanup, CLEANUP_EV_TIMEOUT);
    }
}

/* Dead: out of the session, told to the host. Its memory waits for tgt_conn_closed. */
static void conn_die(struct tgt_conn *conn, const char *reason)
{
    struct tgt_reactor *r = conn->r;
    conn_set_state(conn, CONN_DEAD);
    conn->reason = reason;
    conn->deadline_ns = UINT64_MAX;
    rfc_end(conn);
    env_trace(conn->env, TRACE_INFO, "conn.closed", conn_label(conn), reason, 0, 0);
    list_remove(&conn->send_node);
    list_remove(&conn->read_node);
    list_remove(&conn->place_event.node);
    event_push(r, &conn->close_event, TGT_EVENT_CLOSE, conn, NULL, reason);
    login_free(conn);
    conn_text_free(conn);
    if (conn->session) {
        fence_conn_gone(conn->session, conn);
        if (!conn->clean && !conn->end_known && !conn->session->closing)
            async_conn_drop(conn->session, conn);
        session_remove_conn(conn->session, conn);
    }
}

void conn_drop(struct tgt_conn *conn, const char *reason)
{
    if (conn->state != CONN_DEAD)
        conn_die(conn, reason);
}

void conn_maybe_closed(struct tgt_conn *conn)
{
    if (conn->state == CONN_CLOSING && !tx_pending(&conn->tx) && !conn->tx_lent)
        conn_die(conn, conn->reason);
}

void conn_close_after_flush(struct tgt_conn *conn, const char *reason)
{
    if (!conn_live(conn))
        return;
    conn_set_state(conn, CONN_CLOSING);
    conn->reason = reason;
    conn_set_deadline(conn, env_now(conn->env) + TGT_CLOSE_FLUSH_NS);
    conn_maybe_closed(conn);
}

void tgt_conn_lost(struct tgt_conn *conn, int err)
{
    conn_drop(conn, err ? err_text(err) : "closed by the initiator"); /* R7143-7.1.4.3-07 */
}

void tgt_conn_closed(struct tgt_conn *conn)
{
    assert(conn->state == CONN_DEAD);
    tx_fini(&conn->tx); /* counts down what tasks wait for */
    list_remove(&conn->close_event.node);
    list_remove(&conn->read_node);
    struct tgt_session *s = conn->session;
    if (s) {
        list_for_each_safe(it, &s->tasks)
        {
            struct tgt_task *task = list_entry(it, struct tgt_task, node);
            if (task->conn == conn) {
                iscsi_task_orphan(task);
            } else { /* it may have left this connection with output behind */
                data_in_sweep(task);
                iscsi_task_check_free(task);
            }
        }
        list_remove(&conn->session_node);
    }
    framer_fini(&conn->framer);
    slice_release(&conn->placed);
    env_free(conn->env, conn->carry);
    list_remove(&conn->node);
    env_free(conn->env, conn);
    if (s)
        session_check_end(s);
}

/* ---- output ---- */

void conn_kick(struct tgt_conn *conn)
{
    if (conn->state != CONN_DEAD && !conn->tx_lent && tx_pending(&conn->tx) && !list_linked(&conn->send_node))
        list_push_back(&conn->r->to_send, &conn->send_node);
}

bool conn_send(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data, uint32_t *done_count)
{
    bool dead = conn->state == CONN_DEAD || conn->doomed;
    if (dead ||
        tx_add(&conn->tx, bhs, NULL, 0, data, done_count) != 0) { /* R7143-11.2-02: no AHS in responses */
        conn_doom(conn);
        if (data)
            slice_release(data);
        return false;
    }
    conn->r->counters.pdus_out++;
    conn_kick(conn);
    return true;
}

void conn_send_open(struct tgt_conn *conn, struct slice *data)
{
    tx_close(&conn->tx, data, NULL);
    conn->r->counters.pdus_out++;
    conn_kick(conn);
}

bool conn_send_status(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data, uint32_t *done_count)
{
    bool keeps = session_level(conn->session) > 0;
    if (keeps && !keep_status(conn, bhs, data)) {
        conn_doom(conn);
        if (data)
            slice_release(data);
        return false;
    }
    if (!conn_send(conn, bhs, data, done_count))
        return false;
    /* Behind it: a ping has the StatSN after this one, which would look lost. R7143-11.19.2-01 */
    if (keeps)
        keep_ask(conn);
    return true;
}

bool conn_copy(struct tgt_conn *conn, const void *bytes, uint32_t len, struct slice *out)
{
    *out = (struct slice){0};
    if (len == 0)
        return true;
    struct chunk *chunk = pool_get(conn->r->pool, len);
    if (!chunk) {
        conn_doom(conn);
        return false;
    }
    memcpy(chunk->data, bytes, len);
    *out = slice_take(chunk, 0, len);
    return true;
}

uint32_t tgt_conn_gather(struct tgt_conn *conn, struct io_vec *places, uint32_t max)
{
    if (conn->state == CONN_DEAD || conn->tx_lent)
        return 0;
    uint32_t count = tx_gather(&conn->tx, places, max);
    conn->tx_lent = count > 0;
    return count;
}

void conn_sweep(struct tgt_conn *conn)
{
    struct tgt_session *s = conn->session;
    if (!s)
        return;
    list_for_each_safe(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->conn == conn) {
            data_in_sweep(task);
            iscsi_task_check_free(task);
        }
    }
}

void tgt_conn_sent(struct tgt_conn *conn, uint64_t len)
{
    conn->tx_lent = false;
    if (conn->state == CONN_DEAD)
        return; /* the queue goes with the connection */
    tx_sent(&conn->tx, len);
    if (conn->session)
        session_touch(conn->session);
    conn_sweep(conn);
    conn_kick(conn);
    if (conn->state == CONN_PLACING)
        place_ask(conn);
    conn_maybe_closed(conn);
    if (conn->state != CONN_DEAD) {
        conn_process(conn); /* input that waited for this output to leave */
        conn_resume(conn);
    }
}

/* ---- input ---- */

static bool wants_input(const struct tgt_conn *conn)
{
    return conn_input[conn->state] != INPUT_NONE && conn->tx.queued_bytes < TGT_OUTPUT_MAX && !conn->doomed;
}

void conn_resume(struct tgt_conn *conn)
{
    if (!conn->reading && !conn->stalled && wants_input(conn) && !list_linked(&conn->read_node)) {
        conn->reading = true;
        list_push_back(&conn->r->to_read, &conn->read_node);
    }
}

enum tgt_room tgt_conn_room(struct tgt_conn *conn, struct io_vec *places, uint32_t *count)
{
    *count = 0;
    if (!wants_input(conn) || conn->stalled) {
        conn->reading = false;
        return TGT_ROOM_NOT_NOW;
    }
    conn->reading = true;
    list_remove(&conn->read_node);
    *count = framer_room(&conn->framer, places);
    conn->rx_lent = *count;
    return *count > 0 ? TGT_ROOM_PLACES : TGT_ROOM_ANY;
}

uint32_t tgt_recv_chunk_len(const struct tgt_conn *conn)
{
    return conn->streams && pool_roomy(conn->r->pool) ? TGT_STREAM_LEN : TGT_CHUNK_LEN;
}

static void heard(struct tgt_conn *conn)
{
    conn->heard_ns = env_now(conn->env);
}

void tgt_conn_received(struct tgt_conn *conn, uint32_t len)
{
    conn->rx_lent = false;
    if (conn->state == CONN_DEAD)
        return;
    heard(conn);
    framer_filled(&conn->framer, len);
    conn_process(conn);
}

void tgt_conn_received_chunk(struct tgt_conn *conn, struct chunk *chunk, uint32_t len)
{
    conn->rx_lent = false;
    if (conn_input[conn->state] == INPUT_NONE) {
        chunk_unref(chunk);
        return;
    }
    heard(conn);
    conn->streams = len >= TGT_CHUNK_LEN;
    framer_chunk(&conn->framer, chunk, len);
    conn_process(conn);
}

static void on_header(struct tgt_conn *conn, struct framer_pdu *pdu)
{
    switch (conn_input[conn->state]) {
    case INPUT_FULL:
        if (pdu_opcode(pdu->bhs) == PDU_OP_data_out)
            data_out_header(conn, pdu);
        break;
    case INPUT_DROP:
        framer_skip(&conn->framer);
        break;
    case INPUT_LOGIN:
    case INPUT_NONE:
        break;
    }
}

static void on_full(struct tgt_conn *conn, struct framer_pdu *pdu)
{
    uint8_t opcode = pdu_opcode(pdu->bhs);
    if (opcode == PDU_OP_data_out) {
        data_out_pdu(conn, pdu);
        return;
    }
    if (pdu->data_digest_bad) {
        /* R7143-7.8-02, R7143-7.8-05: the command was not received; its CmdSN stays due */
        command_dropped(conn->session, pdu->bhs);
        reject_send(conn, pdu->bhs, pdu->ahs, pdu->ahs_len, REJECT_DATA_DIGEST, "data digest");
        return;
    }
    command_pdu(conn, pdu);
}

static void on_pdu(struct tgt_conn *conn, struct framer_pdu *pdu)
{
    conn->r->counters.pdus_in++;
    switch (conn_input[conn->state]) {
    case INPUT_LOGIN:
        login_pdu(conn, pdu);
        break;
    case INPUT_FULL:
        on_full(conn, pdu);
        break;
    case INPUT_DROP: /* after Logout nothing counts */
    case INPUT_NONE:
        conn->r->counters.discarded_pdus++;
        break;
    }
}

/* R7143-7.7-01: the whole session goes, and is told so: what we send is still in order. */
static void conn_format_error(struct tgt_conn *conn, const char *reason)
{
    if (conn->session)
        stop_gently(conn->session, reason); /* R7143-4.2.6-03 */
    else
        conn_drop(conn, reason);
}

/* A PDU that is longer than we allow: in login there is an answer, later it is a format error (R7143-7.7-01).
 */
static void on_too_long(struct tgt_conn *conn)
{
    if (conn->state == CONN_LOGIN && conn->login)
        login_fail(conn, LOGIN_INITIATOR_ERROR, "DataSegmentLength", "larger than 8192 during login");
    else
        conn_format_error(conn, "data segment or header longer than allowed");
}

void conn_process(struct tgt_conn *conn)
{
    struct framer_pdu *pdu;
    conn->stalled = false;
    if (conn->session)
        session_touch(conn->session);
    while (wants_input(conn)) {
        switch (framer_next(&conn->framer, &pdu)) {
        case FRAMER_NEED_MORE:
            conn_resume(conn);
            return;
        case FRAMER_HEADER:
            on_header(conn, pdu);
            break;
        case FRAMER_PDU:
            on_pdu(conn, pdu);
            break;
        case FRAMER_NO_MEMORY:
            conn->stalled = true; /* tgt_run tries again */
            conn->r->troubled = true;
            return;
        case FRAMER_HEADER_DIGEST:
            conn_drop(conn, "header digest error"); /* R7143-7.8-01 */
            return;
        case FRAMER_TOO_LONG:
            on_too_long(conn);
            return;
        }
    }
}
