/* One connection: its life, bytes to PDUs and PDUs to their handlers, output, failure. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mutant.h"
#include "initiator/iscsi/internal.h"

/* ---- life ---- */

static struct ini_conn *conn_alloc(struct ini_session *s)
{
    struct ini_conn *conn = env_alloc(s->env, sizeof *conn);
    char *out_text = env_alloc(s->env, INI_TEXT_OUT_MAX), *in_text = env_alloc(s->env, TEXT_SEGMENT_LEN_MAX);
    if (!conn || !out_text || !in_text) {
        env_free(s->env, conn);
        env_free(s->env, out_text);
        env_free(s->env, in_text);
        return NULL;
    }
    conn->s = s;
    conn->env = s->env;
    conn->out_text = out_text;
    conn->in_text = in_text;
    conn->in_cap = TEXT_SEGMENT_LEN_MAX;
    return conn;
}

static bool cid_taken(const struct ini_session *s, uint16_t cid)
{
    list_for_each(node, &s->conns) if (list_entry(node, struct ini_conn, node)->cid == cid) return true;
    for (uint32_t i = 0; s->cleanups_used && i < INI_CONNECTIONS_MAX; i++)
        if (s->cleanups[i].used && s->cleanups[i].cid == cid)
            return true;
    return false;
}

/* A number that no connection of the session has, not even one that has failed. */
static uint16_t cid_new(struct ini_session *s)
{
    while (cid_taken(s, s->next_cid))
        s->next_cid++;
    return s->next_cid++;
}

/* Whose place a new connection takes: only of one that waits for it (R7143-6.3.4-06), and has waited long
 * enough. */
static struct ini_cleanup *conn_reinstates(struct ini_session *s)
{
    struct ini_cleanup *r = ini_recovery_cid(s);
    return r && env_now(s->env) >= r->wait_ns ? r : NULL;
}

static int conn_admit(struct ini_session *s)
{
    uint32_t limit =
        s->params.max_connections < INI_CONNECTIONS_MAX ? s->params.max_connections : INI_CONNECTIONS_MAX;
    uint32_t live = 0;
    if (s->over || s->logout_wanted)
        return ERR_CLOSED;
    list_for_each(node, &s->conns) live += !list_entry(node, struct ini_conn, node)->over;
    if (s->state == INI_Q1_FREE)
        return list_empty(&s->conns) ? 0 : ERR_CLOSED;    /* the leading login comes alone */
    if (s->state == INI_Q4_FAILED && !conn_reinstates(s)) /* R7143-7.5-01, R7143-7.5.1-01 */
        return ERR_AGAIN;
    return live < limit ? 0 : ERR_RANGE; /* R7143-13.2-01 */
}

int ini_conn_new(struct ini_session *s, void *host, struct ini_conn **out)
{
    int err = conn_admit(s);
    struct ini_conn *conn = err ? NULL : conn_alloc(s);
    if (!conn)
        return err ? err : ERR_NOMEM;
    conn->host = host;
    conn->leading = s->state == INI_Q1_FREE;
    conn->reinstates = conn->leading ? NULL : conn_reinstates(s);
    conn->cid = conn->reinstates ? conn->reinstates->cid : cid_new(s);
    /* Before login our limit is the default (R7143-6.3-04); being generous costs nothing. */
    framer_init(&conn->framer, s->pool, POOL_CLASS_MAX);
    tx_init(&conn->tx, s->tx_pool);
    list_init(&conn->inflight);
    list_init(&conn->held);
    conn->last_heard_ns = env_now(s->env);
    conn->login_deadline_ns =
        s->options.login_timeout_ns ? conn->last_heard_ns + s->options.login_timeout_ns : UINT64_MAX;
    list_push_back(&s->conns, &conn->node);
    ini_conn_move(conn, INI_S2_XPT_WAIT); /* T1 and T4: the host connects before it comes to us */
    ini_conn_move(conn, INI_S4_IN_LOGIN);
    if (conn->reinstates)
        ini_recovery_login_begin(conn);
    ini_login_start(conn);
    *out = conn;
    return 0;
}

void ini_conn_free(struct ini_conn *conn)
{
    if (!conn)
        return;
    assert(conn->released && !list_linked(&conn->node));
    env_free(conn->env, conn->out_text);
    env_free(conn->env, conn->in_text);
    env_free(conn->env, conn);
}

void *ini_conn_host(const struct ini_conn *conn)
{
    return conn->host;
}

uint16_t ini_cid(const struct ini_conn *conn)
{
    return conn->cid;
}

const struct key_params *ini_conn_params(const struct ini_conn *conn)
{
    return &conn->keys.params;
}

bool ini_wants_close(const struct ini_conn *conn)
{
    return conn->over;
}

bool ini_conn_up(const struct ini_conn *conn)
{
    return !conn->over && conn->state >= INI_S5_LOGGED_IN && conn->state <= INI_S7_LOGOUT_REQUESTED;
}

/* R7143-11.14-01, R7143-11.14-02 */
bool ini_conn_may_ask(const struct ini_conn *conn)
{
    return ini_conn_up(conn) && conn->state != INI_S6_IN_LOGOUT && !conn->s->logout_sent;
}

bool ini_conn_usable(const struct ini_conn *conn)
{
    const struct ini_session *s = conn->s;
    /* After a request to log out, or our own decision to, nothing new starts here: R7143-11.9.1-04. The
     * session's logout takes the place of its connections' own: it waits for all commands, also those that
     * still need a connection to end. */
    return !conn->over && conn->state == INI_S5_LOGGED_IN && (!conn->logout_wanted || s->logout_wanted) &&
           !s->logout_sent;
}

struct ini_conn *ini_conn_pick(const struct ini_session *s)
{
    struct ini_conn *best = NULL;
    list_for_each(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        if (ini_conn_usable(conn) && (!best || conn->inflight_count < best->inflight_count))
            best = conn;
    }
    return best;
}

/* ---- the end ---- */

static void conn_unplace(struct ini_conn *conn)
{
    if (conn->placing)
        conn->placing->placed = false;
    conn->placing = NULL;
}

/* The host's loans are back: nothing can touch a command's buffer through this connection any more. */
void ini_conn_reap(struct ini_conn *conn)
{
    if (!conn->over || conn->released || conn->lent || conn->receiving)
        return;
    conn->released = true;
    tx_fini(&conn->tx); /* counts down every `unsent` */
    framer_fini(&conn->framer);
    conn_unplace(conn);
    ini_held_drop(conn);
    if (conn->cleanup)
        conn->cleanup->conn = NULL;
    ini_commands_settle(conn->s);
    if (conn->s->over) {
        ini_commands_lost(conn->s);
        return;
    }
    /* Logged out, because it had to be, before they ended. */
    list_for_each_safe(node, &conn->inflight)
        ini_command_end(conn->s, list_entry(node, struct ini_command, node), INI_DONE_LOST);
}

void ini_conn_over(struct ini_conn *conn)
{
    conn->over = true;
    ini_retry_forget(conn); /* freed: R7143-4.2.2.1-23 */
    ini_slots_lost(conn);
    ini_conn_reap(conn);
}

void ini_conn_fail(struct ini_conn *conn, const char *reason)
{
    struct ini_session *s = conn->s;
    if (conn->over)
        return;
    bool idle = (conn->state == INI_S5_LOGGED_IN || conn->state == INI_S7_LOGOUT_REQUESTED) &&
                list_empty(&conn->inflight);
    if (s->logout_sent && idle && ini_connections(s) > 1) {
        /* The session's logout is on its way on another connection; the target has begun to close them all.
         */
        ini_conn_move(conn, INI_S8_CLEANUP_WAIT); /* T15, T16 */
        ini_conn_over(conn);
        return;
    }
    env_trace(s->env, TRACE_WARN, "initiator.conn.failed", s->options.target_name, reason, conn->cid, 0);
    if (conn->state == INI_S4_IN_LOGIN) {
        ini_login_failed(conn, 0, 0, reason);
    } else if (s->level < 2 && conn->state == INI_S6_IN_LOGOUT && list_empty(&conn->inflight) &&
               ini_connections(s) > 1 && !s->logout_sent) {
        ini_conn_move(conn, INI_S8_CLEANUP_WAIT); /* T17: it had nothing to do any more */
        ini_conn_over(conn);
    } else if (s->level < 2 || s->logout_wanted || s->logout_sent) {
        ini_fail(s, reason); /* R7143-7.14-03 */
    } else {
        ini_recovery_begin(conn);
    }
}

/* ---- input ---- */

void ini_dispatch(struct ini_conn *conn, const struct framer_pdu *pdu)
{
    uint8_t opcode = pdu_opcode(pdu->bhs);
    if (conn->state == INI_S4_IN_LOGIN) {
        if (opcode == PDU_OP_login_response)
            ini_login_pdu(conn, pdu);
        else
            ini_conn_fail(conn, "the target sent something other than a Login Response during login");
        return;
    }
    switch (opcode) {
    case PDU_OP_data_in:
        ini_data_in_pdu(conn, pdu);
        break;
    case PDU_OP_scsi_response:
        ini_response_pdu(conn, pdu);
        break;
    case PDU_OP_r2t:
        ini_r2t_pdu(conn, pdu);
        break;
    default:
        ini_control_pdu(conn, pdu);
    }
}

static void conn_pdu(struct ini_conn *conn, const struct framer_pdu *pdu)
{
    conn->last_heard_ns = env_now(conn->env);
    if (conn->placing) { /* its buffer is its own again */
        conn_unplace(conn);
        ini_commands_settle(conn->s);
    }
    if (pdu->data_digest_bad && !MUTANT(initiator_digest_ignored))
        ini_digest_bad(conn, pdu);
    else
        ini_dispatch(conn, pdu);
    if (!list_empty(&conn->held))
        ini_held_release(conn);
}

static void conn_drain(struct ini_conn *conn)
{
    struct framer_pdu *pdu;
    while (!conn->over) {
        switch (framer_next(&conn->framer, &pdu)) {
        case FRAMER_HEADER:
            if (ini_conn_up(conn) && pdu_opcode(pdu->bhs) == PDU_OP_data_in)
                ini_place_data_in(conn, pdu);
            break;
        case FRAMER_PDU:
            conn_pdu(conn, pdu);
            break;
        case FRAMER_HEADER_DIGEST: /* R7143-7.8-01: the bytes that follow mean nothing */
            conn->s->counters.digest_errors++;
            ini_conn_fail(conn, "a header digest from the target is wrong");
            break;
        case FRAMER_TOO_LONG:
            ini_fail(conn->s, "the target sent a PDU longer than we can take");
            break;
        case FRAMER_NO_MEMORY: /* ini_room and ini_tick try again */
        case FRAMER_NEED_MORE:
            ini_go_on(conn->s);
            return;
        }
    }
    ini_go_on(conn->s); /* others may take over what this one has left */
}

void ini_conn_retry_input(struct ini_conn *conn)
{
    conn_drain(conn);
}

enum ini_room ini_room(struct ini_conn *conn, struct io_vec *places, uint32_t *count)
{
    if (conn->over || framer_unread_len(&conn->framer))
        return INI_ROOM_NOT_NOW;
    conn->receiving = true;
    *count = framer_room(&conn->framer, places);
    return *count ? INI_ROOM_PLACES : INI_ROOM_ANY;
}

/* Input ended one way or the other: commands that waited for it may go. */
static void conn_received(struct ini_conn *conn)
{
    conn->receiving = false;
    if (conn->over) {
        ini_conn_reap(conn);
        ini_go_on(conn->s);
        return;
    }
    if (conn->placing && conn->placing->ended) { /* by an abort, while its data was on the way */
        framer_unplace(&conn->framer);
        conn_unplace(conn);
        ini_commands_settle(conn->s);
    }
    conn_drain(conn);
}

void ini_received(struct ini_conn *conn, uint32_t len)
{
    framer_filled(&conn->framer, len);
    conn_received(conn);
}

void ini_received_chunk(struct ini_conn *conn, struct chunk *chunk, uint32_t len)
{
    framer_chunk(&conn->framer, chunk, len);
    conn_received(conn);
}

void ini_lost(struct ini_conn *conn, int err)
{
    char reason[INI_REASON_MAX];
    conn->receiving = false;
    if (!conn->over) {
        if (err == 0)
            snprintf(reason, sizeof reason, "the target closed the connection%s",
                     conn->state == INI_S4_IN_LOGIN ? " during login" : "");
        else
            snprintf(reason, sizeof reason, "the connection broke: %s", err_text(err));
        ini_conn_fail(conn, reason);
    }
    ini_conn_reap(conn);
    ini_go_on(conn->s);
}

/* ---- output ---- */

void ini_queue_pdu(struct ini_conn *conn, const uint8_t *bhs, struct slice *data, uint32_t *done_count)
{
    if (tx_add(&conn->tx, bhs, NULL, 0, data, done_count) != 0) {
        if (data)
            slice_release(data);
        ini_conn_fail(conn, "out of memory for a PDU");
    }
}

uint32_t ini_gather(struct ini_conn *conn, struct io_vec *places, uint32_t max)
{
    assert(!conn->lent);
    conn->named = 0;
    if (conn->over)
        return 0;
    uint32_t n = tx_gather(&conn->tx, places, max);
    conn->lent = n > 0;
    return n;
}

void ini_sent(struct ini_conn *conn, uint64_t len)
{
    conn->lent = false;
    tx_sent(&conn->tx, len);
    ini_conn_reap(conn);
    ini_commands_settle(conn->s);
    ini_go_on(conn->s);
}

struct ini_conn *ini_next_to_send(struct ini_session *s)
{
    list_for_each(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        if (!conn->over && !conn->lent && tx_pending(&conn->tx) && conn->named != conn->tx.queued_bytes) {
            conn->named = conn->tx.queued_bytes;
            return conn;
        }
    }
    return NULL;
}

bool ini_collect_text(struct ini_conn *conn, const struct framer_pdu *pdu)
{
    if (conn->in_len + pdu->data_len > conn->in_cap) {
        size_t cap = conn->in_cap * 2;
        while (cap < conn->in_len + pdu->data_len)
            cap *= 2;
        if (cap > INI_TEXT_MAX)
            return false;
        char *bigger = env_alloc(conn->env, cap);
        if (!bigger)
            return false;
        memcpy(bigger, conn->in_text, conn->in_len);
        env_free(conn->env, conn->in_text);
        conn->in_text = bigger;
        conn->in_cap = cap;
    }
    if (pdu->data_len)
        memcpy(conn->in_text + conn->in_len, pdu->data.ptr, pdu->data_len);
    conn->in_len += pdu->data_len;
    return true;
}
