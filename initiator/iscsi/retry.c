/* CmdSN after a retry (RFC 7143 4.2.2.1, 10.4). A command that was sent again may have a twin underway that
 * the target sees very late; if CmdSN had gone round by then, the target would take the twin for a new
 * command. So the session's CmdSN stays within 2^31 - 1 of a retry until a later command of the same
 * connection is acknowledged (what was sent before it has then arrived, or never will), or the connection is
 * gone. */
#include "initiator/iscsi/internal.h"

void ini_retry_note(struct ini_conn *conn, uint32_t cmd_sn)
{
    if (!conn->retried) {
        conn->retried = true;
        conn->retry_sn = cmd_sn;
        conn->s->retried++;
    } else if (sn_lt(cmd_sn, conn->retry_sn)) {
        conn->retry_sn = cmd_sn;
    }
    conn->flushing = false; /* what went out before this retry says nothing of it */
}

void ini_retry_sent(struct ini_conn *conn, uint32_t cmd_sn)
{
    if (!conn->retried || conn->flushing)
        return;
    conn->flushing = true;
    conn->flush_sn = cmd_sn;
}

void ini_retry_forget(struct ini_conn *conn)
{
    conn->s->retried -= conn->retried;
    conn->retried = false;
}

struct ini_conn *ini_retry_conn(struct ini_session *s, uint32_t cmd_sn)
{
    list_for_each(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        if (conn->retried && conn->flushing && conn->flush_sn == cmd_sn && ini_conn_usable(conn))
            return conn;
    }
    return NULL;
}

/* R7143-4.2.2.1-23: the number after this one would be past the limit of some retry. */
static bool retry_limit(struct ini_session *s)
{
    list_for_each(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        if (conn->retried && s->cmd_sn - conn->retry_sn >= 0x7fffffffu)
            return true;
    }
    return false;
}

/* A NOP-Out with a number of its own, where no command has gone since the retry: R7143-10.4-01 */
static void retry_flush(struct ini_conn *conn)
{
    struct ini_session *s = conn->s;
    uint32_t cmd_sn = s->cmd_sn;
    if (conn->flushing || !ini_conn_usable(conn) || sn_gt(cmd_sn, s->max_cmd_sn) || retry_limit(s) ||
        !ini_plug(conn, cmd_sn))
        return;
    ini_cmd_sn_used(s);
    ini_retry_sent(conn, cmd_sn);
}

bool ini_retry_holds(struct ini_session *s)
{
    list_for_each_safe(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        if (conn->retried && conn->flushing && sn_gt(s->exp_cmd_sn, conn->flush_sn))
            ini_retry_forget(conn);
        if (conn->retried && s->cmd_sn - conn->retry_sn >= INI_RETRY_FLUSH) /* R7143-10.4-01 */
            retry_flush(conn);
    }
    /* Asked last: a flush takes a number too, perhaps the last one. */
    return retry_limit(s) || sn_gt(s->cmd_sn, s->max_cmd_sn);
}
