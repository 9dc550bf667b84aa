/* What the target says of its own accord: asynchronous messages (RFC 7143 11.9) and rejects (11.17). */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "initiator/iscsi/internal.h"

/* ---- messages from the target ---- */

enum {
    ASYNC_SCSI = 0,
    ASYNC_LOGOUT_REQUEST = 1,
    ASYNC_DROP_CONNECTION = 2,
    ASYNC_DROP_SESSION = 3,
    ASYNC_NEGOTIATE = 4,
    ASYNC_TASKS_TERMINATED = 5
};

static void async_event(struct ini_conn *conn, const struct pdu_async_message *pdu,
                        const struct framer_pdu *frame)
{
    struct ini_event *event = ini_event_add(conn->s, INI_EVENT_ASYNC);
    struct ini_queued_event *queued = container_of(event, struct ini_queued_event, event);
    uint32_t len = frame->data_len < INI_ASYNC_MAX ? frame->data_len : INI_ASYNC_MAX;
    if (len)
        memcpy(queued->data, frame->data.ptr, len);
    event->conn = conn;
    event->text = queued->data;
    event->text_len = len;
    event->async_event = pdu->async_event;
    event->vcode = pdu->async_vcode;
    event->parameter[0] = pdu->parameter1;
    event->parameter[1] = pdu->parameter2;
    event->parameter[2] = pdu->parameter3;
    event->lun = pdu->lun;
}

/* R7143-11.9.1-02, R7143-11.9.1-04: nothing new goes out here; as soon as what is under way has ended we log
 * out, and when the time given is nearly over, at any rate. */
static void async_logout(struct ini_conn *conn, uint16_t seconds)
{
    uint64_t half = (uint64_t)seconds * INI_SECOND / 2;
    if (conn->state == INI_S6_IN_LOGOUT) {
        ini_conn_move(conn, INI_S6_IN_LOGOUT); /* T14: R7143-8.1.2-14 */
        return;
    }
    if (conn->state == INI_S5_LOGGED_IN)
        conn->logout_by_ns = env_now(conn->env) + half;
    ini_conn_move(conn, INI_S7_LOGOUT_REQUESTED); /* T11, T12 */
}

static void conn_dropped(struct ini_conn *conn, const struct pdu_async_message *pdu, const char *reason)
{
    conn->times_given = true; /* R7143-11.9.1-08 */
    conn->time2wait = pdu->parameter2;
    conn->time2retain = pdu->parameter3;
    ini_conn_fail(conn, reason);
}

/* R7143-7.1.4.3-06, R7143-7.14-04: as if the transport had failed. */
static void async_drop(struct ini_conn *conn, const struct pdu_async_message *pdu)
{
    struct ini_session *s = conn->s;
    list_for_each_safe(node, &s->conns)
    {
        struct ini_conn *other = list_entry(node, struct ini_conn, node);
        bool meant = pdu->async_event == ASYNC_DROP_SESSION || other->cid == pdu->parameter1;
        if (meant && ini_conn_up(other))
            conn_dropped(other, pdu, "the target says that it drops the connection");
    }
}

/* R7143-11.9.1-12, R7143-11.9.1-13: it is the transfer tags there are that end here, not our commands. What
 * they asked for is queued, and nothing of it follows the acknowledgement. Which commands the target means we
 * cannot know: some have crossed the message, and what it asks for from now on is for those that go on. */
static void async_tasks_terminated(struct ini_conn *conn, uint64_t lun)
{
    if (conn->s->params.task_reporting != KEY_TASK_REPORTING_FAST_ABORT)
        return;
    ini_nop_out(conn, PDU_TAG_RESERVED, PDU_TAG_RESERVED, lun, NULL, 0, NULL);
}

void ini_async_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct pdu_async_message pdu;
    pdu_async_message_decode(frame->bhs, &pdu);
    ini_update_window(conn->s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (!ini_status_turn(conn, pdu.stat_sn, frame, true))
        return;
    async_event(conn, &pdu, frame);
    switch (pdu.async_event) {
    case ASYNC_LOGOUT_REQUEST:
        async_logout(conn, pdu.parameter3);
        break;
    case ASYNC_DROP_CONNECTION:
    case ASYNC_DROP_SESSION:
        async_drop(conn, &pdu);
        break;
    case ASYNC_NEGOTIATE: /* R7143-11.9.1-10: we declare what we have */
        conn->declare = !conn->text.open;
        break;
    case ASYNC_TASKS_TERMINATED:
        async_tasks_terminated(conn, pdu.lun);
        break;
    default: /* SCSI events, vendors' own and what nobody has defined are the host's: R7143-11.9.4-01 */
        break;
    }
}

/* ---- rejects ---- */

#define SCSI_STATUS_BUSY 0x08u

enum {
    REJECT_DATA_DIGEST = 0x02,
    REJECT_IMMEDIATE = 0x06,
    REJECT_IN_PROGRESS = 0x07,
    REJECT_WAITING_FOR_LOGOUT = 0x0c
};

/* The target wanted us gone before this command came: it was never carried out. */
static void reject_unwanted(struct ini_session *s, struct ini_command *c)
{
    uint32_t cmd_sn = c->cmd_sn, itt = c->itt;
    bool gap = !c->immediate;
    ini_command_end(s, c, INI_DONE_LOST);
    c->never_sent = true;
    if (gap)
        ini_fill(s, itt, cmd_sn);
}

/* A command of ours that the target has not taken; the gap in its sequence is filled: R7143-7.3-05. */
static bool reject_command(struct ini_conn *conn, struct ini_command *c, uint8_t reason)
{
    struct ini_session *s = conn->s;
    if (!c || reason == REJECT_IN_PROGRESS)
        return true; /* it has ended, or it goes on */
    if (reason == REJECT_DATA_DIGEST && s->level >= 1 && c->tries++ < INI_TRIES_MAX) {
        ini_command_retry(conn, c); /* R7143-7.2.1-04 */
    } else if (reason == REJECT_IMMEDIATE && c->immediate) {
        c->status = SCSI_STATUS_BUSY; /* too many at once: not now */
        ini_command_end(s, c, INI_DONE_STATUS);
    } else if (reason == REJECT_WAITING_FOR_LOGOUT && conn->state == INI_S7_LOGOUT_REQUESTED) {
        reject_unwanted(s, c);
    } else {
        return false;
    }
    return true;
}

/* What a Reject means depends on what was rejected. True: it is dealt with. */
static bool reject_handled(struct ini_conn *conn, const uint8_t *bhs, uint8_t reason)
{
    struct ini_session *s = conn->s;
    struct ini_slot *slot = ini_slot_find(s, pdu_itt(bhs));
    bool mine = slot && slot->conn == conn;
    switch (pdu_opcode(bhs)) {
    case PDU_OP_nop_out: /* a target that cannot ping is alive all the same */
        if (mine && slot->kind == INI_SLOT_PING)
            ini_ping_done(s, pdu_itt(bhs), reason);
        return true;
    case PDU_OP_text_request:
        if (!conn->text.open || conn->text.itt != pdu_itt(bhs))
            return false;
        ini_text_rejected(conn, reason);
        return true;
    case PDU_OP_task_management_request:
        if (!mine || slot->kind != INI_SLOT_TMF)
            return false;
        ini_tmf_done(s, pdu_itt(bhs), INI_REPLY_LOST);
        return true;
    case PDU_OP_scsi_command:
        return reject_command(conn, ini_command_find(conn, pdu_itt(bhs)), reason);
    case PDU_OP_data_out: /* a recovery R2T or the status follows */
        return s->level >= 1 && reason == REJECT_DATA_DIGEST;
    case PDU_OP_snack_request: /* dealt with by now */
        return s->level >= 1;
    default:
        return false;
    }
}

void ini_reject_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct ini_session *s = conn->s;
    struct pdu_reject pdu;
    pdu_reject_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    /* Not in its turn: a status before it may wait for just the data that this says will not come. */
    if (s->level >= 1 && frame->data_len >= PDU_BHS_LEN &&
        pdu_opcode(frame->data.ptr) == PDU_OP_snack_request && !ini_status_old(conn, pdu.stat_sn))
        ini_snack_rejected(conn, frame->data.ptr);
    if (conn->over || !ini_status_turn(conn, pdu.stat_sn, frame, true))
        return;
    if (frame->data_len < PDU_BHS_LEN) {
        ini_fail(s, "the target rejects something without saying what");
        return;
    }
    char reason[INI_REASON_MAX];
    const uint8_t *bhs = frame->data.ptr; /* the header comes back in the data */
    if (reject_handled(conn, bhs, pdu.reason))
        return;
    snprintf(reason, sizeof reason, "the target rejects our %s (reason 0x%02x)", pdu_name(bhs[0]),
             pdu.reason);
    ini_fail(s, reason); /* the rest is session recovery */
}
