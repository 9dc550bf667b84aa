/* Everything that is neither a SCSI command nor text nor logout nor a message of the target's own: task
 * management and pings. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "initiator/iscsi/internal.h"

/* ---- task management ---- */

enum {
    TMF_ABORT_TASK = 1,
    TMF_ABORT_TASK_SET = 2,
    TMF_CLEAR_ACA = 3,
    TMF_CLEAR_TASK_SET = 4,
    TMF_LOGICAL_UNIT_RESET = 5,
    TMF_TARGET_WARM_RESET = 6,
    TMF_TARGET_COLD_RESET = 7,
    TMF_QUERY_TASK = 9,
    TMF_QUERY_TASK_SET = 10,
    TMF_I_T_NEXUS_RESET = 11,
    TMF_QUERY_ASYNC_EVENT = 12
};

/* Which commands does a function take? Only those that were sent before it. */
static bool tmf_takes(const struct ini_slot *tmf, const struct ini_command *c)
{
    if (c->order >= tmf->order)
        return false;
    switch (tmf->function) {
    case TMF_ABORT_TASK:
        return c->itt == tmf->referenced_itt; /* the same memory may be another command by now */
    case TMF_ABORT_TASK_SET:
    case TMF_CLEAR_TASK_SET:
    case TMF_LOGICAL_UNIT_RESET:
        return c->lun == tmf->lun;
    case TMF_TARGET_WARM_RESET:
    case TMF_TARGET_COLD_RESET:
    case TMF_I_T_NEXUS_RESET:
        return true;
    default:
        return false;
    }
}

/* FastAbort: the target forgets the transfer tags of what it aborts. R7143-4.2.3.4-03 */
static void tmf_stop_data_out(struct ini_conn *conn, const struct ini_slot *tmf)
{
    if (conn->s->params.task_reporting != KEY_TASK_REPORTING_FAST_ABORT || tmf->function == TMF_ABORT_TASK)
        return;
    list_for_each(node, &conn->inflight)
    {
        struct ini_command *c = list_entry(node, struct ini_command, node);
        if (tmf_takes(tmf, c))
            c->no_data_out = true;
    }
}

static void tmf_send(struct ini_conn *conn, uint32_t itt, const struct ini_slot *slot,
                     const struct ini_command *command)
{
    uint8_t function = slot->function;
    struct pdu_task_management_request pdu;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_task_management_request_init(&pdu);
    pdu.immediate = 1;
    pdu.function = function;
    /* R7143-11.5.3-01: the target's own resets have no LUN; R7144-6.3.1-01: queries of tasks have one. */
    if (function <= TMF_LOGICAL_UNIT_RESET || function == TMF_QUERY_TASK || function == TMF_QUERY_TASK_SET ||
        function == TMF_QUERY_ASYNC_EVENT)
        pdu.lun = slot->lun;
    pdu.itt = itt;
    pdu.referenced_task_tag = slot->referenced_itt; /* R7143-11.5.4-01 */
    pdu.cmd_sn = conn->s->cmd_sn;
    pdu.exp_stat_sn = conn->exp_stat_sn;
    if (command) /* R7143-11.5.1-12, R7143-11.5.1-13, R7144-6.3-05 */
        pdu.ref_cmd_sn = command->immediate ? pdu.cmd_sn : command->cmd_sn;
    pdu_task_management_request_encode(&pdu, bhs);
    ini_queue_pdu(conn, bhs, NULL, NULL);
}

/* Is the command's reassignment, if there was one, answered? */
static bool tmf_settled(const struct ini_session *s, const struct ini_command *c)
{
    for (uint32_t i = 0; s->level >= 2 && i < INI_SLOTS; i++)
        if (s->slots[i].kind == INI_SLOT_REASSIGN && s->slots[i].referenced_itt == c->itt)
            return false;
    return true;
}

int ini_task_management(struct ini_session *s, uint8_t function, uint64_t lun, struct ini_command *command,
                        uint32_t *tag)
{
    if (s->over || (s->state != INI_Q3_LOGGED_IN && !(command && s->state == INI_Q4_FAILED)))
        return ERR_CLOSED;
    if (function >= TMF_QUERY_TASK && s->params.iscsi_protocol_level < 2) /* R7144-6.3-01 */
        return ERR_UNSUPPORTED;
    if (command && !command->sent)
        return ERR_NOTFOUND; /* not on the wire: nothing for the target to abort */
    /* An abort goes where its task is allegiant (R7143-11.5.1-14); without allegiance recovery comes first.
     */
    struct ini_conn *conn = command ? command->conn : ini_conn_pick(s);
    bool waits = command && (!conn || !tmf_settled(s, command));
    if (!waits && (!conn || !ini_conn_may_ask(conn)))
        return s->logout_sent ? ERR_CLOSED : ERR_AGAIN;
    uint32_t itt = ini_slot_take(s, INI_SLOT_TMF);
    if (itt == PDU_TAG_RESERVED)
        return ERR_BUSY;
    struct ini_slot *slot = ini_slot_find(s, itt);
    slot->conn = conn;
    slot->referenced_itt = command ? command->itt : PDU_TAG_RESERVED;
    slot->function = function;
    slot->lun = lun;
    *tag = itt;
    if (waits) {
        slot->conn = NULL;
        slot->command = command;
        slot->waiting = true;
        s->tmf_waiting++;
        return 0;
    }
    tmf_send(conn, itt, slot, command);
    tmf_stop_data_out(conn, slot);
    return 0;
}

void ini_tmf_waiting(struct ini_session *s, struct ini_command *c)
{
    for (uint32_t i = 0; s->tmf_waiting && i < INI_SLOTS; i++) {
        struct ini_slot *slot = &s->slots[i];
        uint32_t itt = (uint32_t)slot->generation << 16 | i;
        if (slot->kind != INI_SLOT_TMF || !slot->waiting || slot->command != c)
            continue;
        slot->waiting = false;
        slot->command = NULL;
        s->tmf_waiting--;
        if (c->ended) {
            ini_tmf_done(s, itt, INI_REPLY_LOST);
        } else {
            slot->conn = c->conn;
            tmf_send(c->conn, itt, slot, c);
            tmf_stop_data_out(c->conn, slot);
        }
    }
}

static void tmf_end_list(struct ini_session *s, struct list_node *list, const struct ini_slot *tmf)
{
    list_for_each_safe(node, list)
    {
        struct ini_command *c = list_entry(node, struct ini_command, node);
        if (tmf_takes(tmf, c))
            ini_command_end(s, c, INI_DONE_ABORTED);
    }
}

/* A target that has not seen the command takes its ABORT TASK for it (R7143-11.5.1-13), and two requests of
 * one number must not be: R7143-4.2.2.1-21. */
void ini_fill(struct ini_session *s, uint32_t itt, uint32_t cmd_sn)
{
    for (uint32_t i = 0; i < INI_SLOTS; i++) {
        struct ini_slot *slot = &s->slots[i];
        if (slot->kind != INI_SLOT_TMF || slot->function != TMF_ABORT_TASK || slot->referenced_itt != itt)
            continue;
        slot->fills = true;
        slot->fill_sn = cmd_sn;
        return;
    }
    struct ini_conn *conn = ini_conn_pick(s);
    if (conn)
        ini_plug(conn, cmd_sn);
}

bool ini_filling(struct ini_session *s, uint32_t cmd_sn)
{
    for (uint32_t i = 0; i < INI_SLOTS; i++)
        if (s->slots[i].kind == INI_SLOT_TMF && s->slots[i].fills && s->slots[i].fill_sn == cmd_sn)
            return true;
    return false;
}

void ini_tmf_done(struct ini_session *s, uint32_t itt, uint8_t response)
{
    struct ini_slot slot = *ini_slot_find(s, itt);
    ini_slot_release(s, itt);
    if (slot.fills && response != 0 && !sn_gt(s->exp_cmd_sn, slot.fill_sn))
        ini_fill(s, slot.referenced_itt, slot.fill_sn);
    struct ini_event *event = ini_event_add(s, INI_EVENT_TMF_DONE);
    event->tag = itt;
    event->response = response;
    event->service = ini_service_response(response);
}

enum ini_service_response ini_service_response(uint8_t response)
{
    switch (response) {
    case 0: /* R7143-11.6.1-09 */
    case 1: /* R7143-11.6.1-09 */
        return INI_SERVICE_FUNCTION_COMPLETE;
    case 2: /* R7143-11.6.1-09 */
        return INI_SERVICE_INCORRECT_LUN;
    case 7: /* R7144-6.4.2-06 */
        return INI_SERVICE_FUNCTION_SUCCEEDED;
    default:
        return INI_SERVICE_FUNCTION_REJECTED;
    }
}

void ini_tmf_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct ini_session *s = conn->s;
    struct pdu_task_management_response pdu;
    pdu_task_management_response_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (!ini_status_turn(conn, pdu.stat_sn, frame, true))
        return;
    struct ini_slot *slot = ini_slot_find(s, pdu.itt);
    if (slot && slot->kind == INI_SLOT_REASSIGN && slot->conn == conn) {
        ini_reassign_pdu(conn, pdu.itt, pdu.response);
        return;
    }
    if (!slot && ini_was_aborted(s, pdu.itt)) /* told as lost, with its connection: R7143-4.2.3.3-06 */
        return;
    if (!slot || slot->kind != INI_SLOT_TMF || slot->conn != conn) {
        ini_fail(s, "the target answers a task management request that we did not send");
        return;
    }
    if (pdu.response == 0) { /* R7143-4.2.3.3-05, on whichever connection they are */
        list_for_each(node, &s->conns)
            tmf_end_list(s, &list_entry(node, struct ini_conn, node)->inflight, slot);
        for (uint32_t i = 0; s->cleanups_used && i < INI_CONNECTIONS_MAX; i++)
            tmf_end_list(s, &s->cleanups[i].commands, slot);
    }
    ini_tmf_done(s, pdu.itt, pdu.response);
}

/* ---- pings ---- */

static int nop_send(struct ini_conn *conn, struct pdu_nop_out *pdu, const void *data, uint32_t len,
                    uint32_t *unsent)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct slice copy = {0};
    if (len) {
        struct chunk *chunk = pool_get(conn->s->pool, len);
        if (!chunk)
            return ERR_NOMEM;
        memcpy(chunk->data, data, len);
        copy = slice_take(chunk, 0, len);
    }
    pdu->exp_stat_sn = conn->exp_stat_sn;
    pdu_nop_out_encode(pdu, bhs);
    ini_queue_pdu(conn, bhs, len ? &copy : NULL, unsent);
    return 0;
}

int ini_nop_out(struct ini_conn *conn, uint32_t itt, uint32_t ttt, uint64_t lun, const void *data,
                uint32_t len, uint32_t *unsent)
{
    struct pdu_nop_out pdu;
    pdu_nop_out_init(&pdu);
    pdu.immediate = 1;
    pdu.lun = lun;
    pdu.itt = itt;
    pdu.ttt = ttt;
    pdu.cmd_sn = conn->s->cmd_sn;
    return nop_send(conn, &pdu, data, len, unsent);
}

bool ini_plug(struct ini_conn *conn, uint32_t cmd_sn)
{
    uint32_t itt = ini_slot_take(conn->s, INI_SLOT_PING);
    if (itt == PDU_TAG_RESERVED)
        return false;
    ini_slot_find(conn->s, itt)->conn = conn;
    ini_slot_find(conn->s, itt)->quiet = true;
    struct pdu_nop_out pdu;
    pdu_nop_out_init(&pdu);
    pdu.itt = itt;
    pdu.ttt = PDU_TAG_RESERVED;
    pdu.cmd_sn = cmd_sn; /* not immediate: it is the command of that number */
    return nop_send(conn, &pdu, NULL, 0, NULL) == 0;
}

int ini_ping_on(struct ini_conn *conn, const void *data, uint32_t len, bool quiet, uint32_t *tag)
{
    if (len > conn->keys.params.peer_max_recv_data_segment_length || len > POOL_CLASS_MAX)
        return ERR_TOOBIG;
    uint32_t itt = ini_slot_take(conn->s, INI_SLOT_PING);
    if (itt == PDU_TAG_RESERVED)
        return ERR_BUSY;
    ini_slot_find(conn->s, itt)->conn = conn;
    ini_slot_find(conn->s, itt)->quiet = quiet;
    /* R7143-11.18.2-02: no transfer tag of ours */
    int err = ini_nop_out(conn, itt, PDU_TAG_RESERVED, 0, data, len, NULL);
    if (err)
        ini_slot_release(conn->s, itt);
    else
        *tag = itt;
    return err;
}

int ini_ping(struct ini_session *s, const void *data, uint32_t len, uint32_t *tag)
{
    if (!ini_is_up(s))
        return ERR_CLOSED;
    struct ini_conn *conn = ini_conn_pick(s);
    return conn ? ini_ping_on(conn, data, len, false, tag) : ERR_AGAIN;
}

int ini_conn_ping(struct ini_conn *conn, const void *data, uint32_t len, uint32_t *tag)
{
    return ini_conn_may_ask(conn) ? ini_ping_on(conn, data, len, false, tag) : ERR_CLOSED;
}

void ini_ping_done(struct ini_session *s, uint32_t itt, uint8_t response)
{
    struct ini_slot *slot = ini_slot_find(s, itt);
    bool asked = slot->asks_ack;
    uint32_t ack_sn = slot->ack_sn;
    if (asked)
        slot->conn->asking_ack = false;
    if (!slot->quiet) {
        struct ini_event *event = ini_event_add(s, INI_EVENT_PING_DONE);
        event->tag = itt;
        event->response = response;
        event->value_ns = env_now(s->env) - slot->started_ns;
    }
    ini_slot_release(s, itt);
    if (asked && response == 0)
        ini_ack_answer(s, ack_sn);
}

static void nop_in(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct ini_session *s = conn->s;
    struct pdu_nop_in pdu;
    pdu_nop_in_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (pdu.itt == PDU_TAG_RESERVED) { /* the target's own: StatSN is the next one, not used up */
        ini_status_next(conn, pdu.stat_sn);
        if (pdu.ttt == PDU_TAG_RESERVED || conn->over)
            return;                                  /* R7143-11.18-02 */
        if (conn->replies_unsent >= INI_REPLIES_MAX) /* it asks but does not read */
            ini_conn_fail(conn, "the target sends pings and does not take the answers");
        else /* R7143-11.18-01 */
            ini_nop_out(conn, PDU_TAG_RESERVED, pdu.ttt, pdu.lun, NULL, 0, &conn->replies_unsent);
        return;
    }
    if (!ini_status_turn(conn, pdu.stat_sn, frame, true))
        return;
    struct ini_slot *slot = ini_slot_find(s, pdu.itt);
    if (slot && slot->kind == INI_SLOT_PING && slot->conn == conn)
        ini_ping_done(s, pdu.itt, 0); /* an answer that nobody waits for does no harm */
}

/* ---- all of them ---- */

void ini_slots_lost(struct ini_conn *conn)
{
    struct ini_session *s = conn->s;
    for (uint32_t i = 0; i < INI_SLOTS; i++) {
        struct ini_slot *slot = &s->slots[i];
        uint32_t itt = (uint32_t)slot->generation << 16 | i;
        if (slot->conn != conn || slot->kind == INI_SLOT_FREE || slot->kind == INI_SLOT_COMMAND)
            continue;
        ini_remember(s, itt);
        if (slot->kind == INI_SLOT_TMF) /* R7143-11.6.1-08 */
            ini_tmf_done(s, itt, INI_REPLY_LOST);
        else if (slot->kind == INI_SLOT_PING)
            ini_ping_done(s, itt, INI_REPLY_LOST);
        else if (slot->kind == INI_SLOT_TEXT)
            ini_text_rejected(conn, INI_REPLY_LOST); /* R7143-11.10-02 */
        else if (slot->cleanup)
            ini_recovery_logout(s, slot->cleanup, INI_REPLY_LOST, 0, 0), ini_slot_release(s, itt);
        else /* of a reassignment: the command waits in the cleanup of its connection */
            ini_slot_release(s, itt);
    }
}

void ini_control_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    switch (pdu_opcode(frame->bhs)) {
    case PDU_OP_text_response:
        ini_text_pdu(conn, frame);
        break;
    case PDU_OP_task_management_response:
        ini_tmf_pdu(conn, frame);
        break;
    case PDU_OP_nop_in:
        nop_in(conn, frame);
        break;
    case PDU_OP_logout_response:
        ini_logout_pdu(conn, frame);
        break;
    case PDU_OP_async_message:
        ini_async_pdu(conn, frame);
        break;
    case PDU_OP_reject:
        ini_reject_pdu(conn, frame);
        break;
    default:
        ini_fail(conn->s, "the target sent a PDU that has no place here");
    }
}
