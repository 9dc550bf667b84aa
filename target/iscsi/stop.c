/* Stopping: initiators are asked to log out, commands in flight end, then connections close. */
#include "target/iscsi/conn_internal.h"

#define ASYNC_LOGOUT 1

/* R7143-11.9.1-01: on the connection that is to be logged out. Discovery sessions get none (R7143-7.4.3-01).
 */
static void ask_logout(struct tgt_conn *conn)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_async_message pdu;
    pdu_async_message_init(&pdu);
    pdu.async_event = ASYNC_LOGOUT;
    pdu.parameter3 = TGT_ASYNC_LOGOUT_S; /* R7143-11.9.1-16 */
    pdu.stat_sn = conn->stat_sn++;       /* R7143-11.9-01 */
    session_numbers(conn->session, &pdu.exp_cmd_sn, &pdu.max_cmd_sn);
    pdu_async_message_encode(&pdu, bhs);
    conn_send(conn, bhs, NULL, NULL);
}

void stop_session(struct tgt_session *s)
{
    if (s->stopping || s->closing)
        return;
    s->stopping = true;
    list_for_each_safe(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (conn->state == CONN_FULL && !s->discovery)
            ask_logout(conn);
    }
}

void stop_run(struct tgt_session *s)
{
    list_for_each(it, &s->tasks) if (list_entry(it, struct tgt_task, node)->phase != TASK_DRAINING) return;
    list_for_each_safe(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (conn->state == CONN_FULL)
            conn_close_after_flush(conn, "the target stops");
    }
}

uint32_t tgt_stop(struct tgt_reactor *r, bool now)
{
    uint32_t count = 0;
    r->stopping = true;
    list_for_each_safe(it, &r->sessions)
    {
        struct tgt_session *s = list_entry(it, struct tgt_session, node);
        count++;
        if (now)
            session_close(s, "the target stops");
        else
            stop_session(s);
    }
    list_for_each_safe(it, &r->conns)
    { /* those that have not got to a session */
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, node);
        if (!conn->session && conn->state != CONN_DEAD)
            conn_drop(conn, "the target stops");
    }
    return count;
}
