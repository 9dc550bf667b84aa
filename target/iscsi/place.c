/* Placement: after the first complete login request the host says on which reactor the session lives, and the
 * connection may move there with the bytes that were read ahead. */
#include <assert.h>

#include "target/iscsi/conn_internal.h"

/* Asks once, when no output is left: answers to a split first request have to be out before the connection
 * moves. */
void place_ask(struct tgt_conn *conn)
{
    if (conn->place_told || tx_pending(&conn->tx) || conn->tx_lent)
        return;
    conn->place_told = true;
    conn->login->key.group = conn->info.group;
    event_push(conn->r, &conn->place_event, TGT_EVENT_PLACE, conn, &conn->login->key, NULL);
}

static void proceed(struct tgt_conn *conn)
{
    conn_set_state(conn, CONN_LOGIN);
    login_continue(conn);
    if (conn->state != CONN_DEAD) {
        conn_process(conn); /* what came behind the request */
        conn_resume(conn);
    }
}

void tgt_conn_placed(struct tgt_conn *conn)
{
    if (conn->state == CONN_PLACING)
        proceed(conn);
}

void tgt_conn_detach(struct tgt_conn *conn)
{
    assert(conn->state == CONN_PLACING && !conn->tx_lent && !conn->rx_lent && !tx_pending(&conn->tx));
    struct tgt_reactor *r = conn->r;
    uint32_t len = framer_unread_len(&conn->framer);
    conn->carry = env_alloc(conn->env, len ? len : 1);
    conn->carry_len = len;
    /* Without memory for them the bytes are lost; adopt then closes the connection. */
    if (conn->carry) {
        framer_detach(&conn->framer, conn->carry);
    } else {
        framer_fini(&conn->framer);
        framer_init(&conn->framer, r->pool, TGT_LOGIN_SEGMENT_LEN);
    }
    list_remove(&conn->node);
    list_remove(&conn->send_node);
    list_remove(&conn->read_node);
    conn->reading = false;
    conn->r = NULL;
}

void tgt_conn_adopt(struct tgt_reactor *r, struct tgt_conn *conn)
{
    bool ok = conn->carry != NULL;
    conn->r = r;
    conn->env = r->env;
    list_push_back(&r->conns, &conn->node);
    tx_move(&conn->tx, &r->tx_pool);
    if (ok)
        framer_attach(&conn->framer, r->pool, conn->carry, conn->carry_len, &ok);
    env_free(conn->env, conn->carry);
    conn->carry = NULL;
    if (!ok) {
        conn_drop(conn, "out of memory");
        return;
    }
    conn_set_deadline(conn, conn->deadline_ns);
    proceed(conn);
}
