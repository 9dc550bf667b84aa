/* Asynchronous Messages (RFC 7143 11.9): what the target has to say without being asked. Each uses up a
 * StatSN of its connection and is kept for retransmission like any status. */
#include "target/iscsi/conn_internal.h"

#define SENSE_DESCRIPTOR       0x72
#define ASC_CONDITIONS_CHANGED 0x3f
#define ASCQ_LUNS_CHANGED      0x0e
#define RECOVERY_LEVEL_CONN    2u /* from here on tasks outlive their connection */

/* R7143-7.4.3-01: not in discovery sessions */
static bool may_hear(const struct tgt_conn *conn)
{
    return conn->state == CONN_FULL && conn_live(conn) && conn->session && !conn->session->discovery;
}

static struct pdu_async_message message(enum async_event event)
{
    struct pdu_async_message pdu;
    pdu_async_message_init(&pdu);
    pdu.async_event =
        (uint8_t)event; /* R7143-11.9.1-17: parameters that the event has no use for stay zero */
    return pdu;
}

static void send(struct tgt_conn *conn, struct pdu_async_message *pdu, struct slice *data)
{
    uint8_t bhs[PDU_BHS_LEN];
    env_trace(conn->env, TRACE_INFO, "async", conn_label(conn), NULL, pdu->async_event, conn->cid);
    pdu->stat_sn = conn->stat_sn++; /* R7143-11.9-01 */
    session_numbers(conn->session, &pdu->exp_cmd_sn, &pdu->max_cmd_sn);
    pdu_async_message_encode(pdu, bhs);
    conn_send_status(conn, bhs, data, NULL);
}

/* Any connection of the session that hears us, but not `except`. */
static struct tgt_conn *one_of(struct tgt_session *s, const struct tgt_conn *except)
{
    list_for_each(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (conn != except && may_hear(conn))
            return conn;
    }
    return NULL;
}

/* How long what was under way can still be reassigned. */
static uint16_t retain_of(const struct tgt_session *s)
{
    return s->params.error_recovery_level >= RECOVERY_LEVEL_CONN ? (uint16_t)s->params.default_time2retain
                                                                 : 0;
}

/* ---- logout, drops, negotiation ---- */

void async_logout(struct tgt_conn *conn, uint32_t seconds)
{
    if (!may_hear(conn))
        return;
    state_conn(conn->r, &conn->rfc, CONN_EV_ASK_LOGOUT);  /* R7143-8.1.2-12 */
    struct pdu_async_message pdu = message(ASYNC_LOGOUT); /* R7143-11.9.1-01: on the connection it is about */
    pdu.parameter3 = (uint16_t)min_u32(seconds, UINT16_MAX); /* R7143-11.9.1-16 */
    send(conn, &pdu, NULL);
}

void async_conn_drop(struct tgt_session *s, const struct tgt_conn *gone)
{
    struct tgt_conn *conn = one_of(s, gone);
    if (!conn)
        return;
    struct pdu_async_message pdu = message(ASYNC_CONN_DROP); /* R7143-11.9.1-07 */
    pdu.parameter1 = gone->cid;
    pdu.parameter2 = (uint16_t)s->params.default_time2wait;
    pdu.parameter3 = retain_of(s);
    send(conn, &pdu, NULL);
}

/* The session's end is the administrator's will: nothing is kept for a reassignment. */
void async_session_drop(struct tgt_session *s)
{
    list_for_each(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (!may_hear(conn))
            continue;
        struct pdu_async_message pdu = message(ASYNC_SESSION_DROP); /* R7143-11.9.1-17 */
        pdu.parameter2 = (uint16_t)s->params.default_time2wait;
        send(conn, &pdu, NULL);
    }
}

static void negotiate(struct tgt_conn *conn)
{
    if (!may_hear(conn))
        return;
    struct pdu_async_message pdu = message(ASYNC_NEGOTIATE);
    pdu.parameter3 = TGT_ASYNC_NEGOTIATE_S;
    conn->renegotiate = true;
    send(conn, &pdu, NULL);
}

/* Of the keys this is the one that can be told anew in the full feature phase; the others wait for the next
 * login. */
void async_config_changed(struct tgt_session *s, const struct tgt_target *old, const struct tgt_target *now)
{
    s->luns_told = false;
    if (!old || !now || old->keys.max_recv_data_segment_length == now->keys.max_recv_data_segment_length)
        return;
    list_for_each(it, &s->conns) negotiate(list_entry(it, struct tgt_conn, session_node));
}

/* ---- SCSI events ---- */

/* The unit attention stays as it is: who does not know asynchronous events learns of the change by it. */
static void scsi_event(struct tgt_session *s, const struct scsi_event *event)
{
    struct tgt_conn *conn = one_of(s, NULL);
    uint8_t data[2 + SCSI_SENSE_MAX];
    struct slice slice;
    if (!conn)
        return;
    be16_put(data, event->sense_len); /* R7143-11.9.4-02, R7143-11.9.1-15 */
    memcpy(data + 2, event->sense, event->sense_len);
    if (!conn_copy(conn, data, 2u + event->sense_len, &slice))
        return;
    struct pdu_async_message pdu = message(ASYNC_SCSI);
    pdu.lun = event->lun; /* R7143-11.9.3-01 */
    send(conn, &pdu, &slice);
}

/* REPORTED LUNS DATA HAS CHANGED comes from each LU, but one message says all. */
static bool is_repeated(struct tgt_session *s, const struct scsi_event *event)
{
    bool descriptor = (event->sense[0] & 0x7f) >= SENSE_DESCRIPTOR;
    const uint8_t *code = event->sense + (descriptor ? 2 : 12);
    if (code[0] != ASC_CONDITIONS_CHANGED || code[1] != ASCQ_LUNS_CHANGED)
        return false;
    bool told = s->luns_told;
    s->luns_told = true;
    return told;
}

void async_scsi_run(struct tgt_reactor *r)
{
    struct scsi_event event;
    while (scsi_next_event(&r->scsi, &event)) {
        struct tgt_session *s = container_of(event.nexus, struct tgt_session, nexus);
        if (!s->closing && !is_repeated(s, &event))
            scsi_event(s, &event);
    }
}

/* ---- vendor events ---- */

bool tgt_session_notify(struct tgt_reactor *r, uint64_t id, uint8_t code, const void *data, uint32_t len)
{
    list_for_each(it, &r->sessions)
    {
        struct tgt_session *s = list_entry(it, struct tgt_session, node);
        struct tgt_conn *conn = s->id == id && !s->closing ? one_of(s, NULL) : NULL;
        uint8_t bytes[2 + TGT_NOTE_MAX] = {0}; /* no sense data: R7143-11.9.4-02, R7143-11.9.4-03 */
        struct slice slice = {0};
        if (!conn)
            continue;
        len = min_u32(len, TGT_NOTE_MAX);
        if (len)
            memcpy(bytes + 2, data, len);
        if (len && !conn_copy(conn, bytes, 2 + len, &slice))
            return false;
        struct pdu_async_message pdu = message(ASYNC_VENDOR);
        pdu.async_vcode = code;
        send(conn, &pdu, len ? &slice : NULL);
        return true;
    }
    return false;
}

/* ---- task termination ---- */

static void terminated(struct tgt_conn *conn, uint64_t lun)
{
    struct pdu_async_message pdu = message(ASYNC_TASK_TERMINATION);
    pdu.lun = lun; /* R7143-4.2.3.4-14, R7143-4.2.3.5-02 */
    send(conn, &pdu, NULL);
}

/* Marks what one message speaks of: all covered tasks of this LU on this connection. */
static void mark_told(struct tgt_session *s, const struct tgt_conn *conn, uint64_t lun,
                      bool (*covered)(const struct tgt_task *task, const void *arg), const void *arg)
{
    list_for_each(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->conn == conn && task->scsi.lun == lun && task->phase != TASK_DRAINING && covered(task, arg))
            task->termination_told = true;
    }
}

void async_task_termination(struct tgt_session *s, const struct tgt_conn *except,
                            bool (*covered)(const struct tgt_task *task, const void *arg), const void *arg)
{
    /* R7143-11.9.1-14, R7143-4.2.3.5-03 */
    if (s->params.task_reporting != KEY_TASK_REPORTING_FAST_ABORT)
        return;
    list_for_each(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        struct tgt_conn *conn = task->conn;
        if (!conn || conn == except || task->termination_told || task->phase == TASK_DRAINING ||
            !covered(task, arg))
            continue;
        mark_told(s, conn, task->scsi.lun, covered, arg);
        if (may_hear(conn))
            terminated(conn, task->scsi.lun); /* R7143-4.2.3.4-12, R7143-4.2.3.4-13, R7143-4.2.3.5-01 */
    }
}

/* The device server marks all that one function takes before the first of them comes back. */
static bool taken(const struct tgt_task *task, const void *arg)
{
    const struct tgt_task *first = arg;
    return task->scsi.aborted && task->scsi.lun == first->scsi.lun;
}

void async_task_aborted(struct tgt_task *task)
{
    if (!task->termination_told)
        async_task_termination(task->session, NULL, taken, task);
}
