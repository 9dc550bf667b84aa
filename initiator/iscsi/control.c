/* Everything that is not a SCSI command: text, task management, pings, asynchronous messages, logout,
 * rejects. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "initiator/iscsi/internal.h"

/* Requests of ours are immediate: they must get through even when the command window is closed. */

/* ---- text ---- */

static void text_send(struct ini_session *s, uint32_t itt, const char *text, uint32_t len)
{
    struct pdu_text_request pdu;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_text_request_init(&pdu);
    pdu.immediate = 1;
    pdu.final = 1;
    pdu.lun = s->text_lun;
    pdu.itt = itt;
    pdu.ttt = s->text_ttt;
    pdu.cmd_sn = s->cmd_sn;
    pdu.exp_stat_sn = s->exp_stat_sn;
    pdu_text_request_encode(&pdu, bhs);
    struct slice data = slice_borrow(text, len);
    ini_queue_pdu(s, bhs, len ? &data : NULL, NULL);
}

int ini_text(struct ini_session *s, const char *text, uint32_t len)
{
    if (s->state != INI_UP)
        return ERR_CLOSED;
    if (s->text_open)
        return ERR_BUSY;
    if (len > s->keys.params.peer_max_recv_data_segment_length || len > INI_TEXT_OUT_MAX)
        return ERR_TOOBIG;
    uint32_t itt = ini_slot_take(s, INI_SLOT_TEXT);
    if (itt == PDU_TAG_RESERVED)
        return ERR_BUSY;
    s->text_open = true;
    s->text_ttt = PDU_TAG_RESERVED; /* R7143-4.6.3.1-01 */
    s->text_lun = 0;
    s->text_rounds = 0;
    s->in_len = 0;
    memcpy(s->out_text, text, len); /* stays until the answer is here */
    text_send(s, itt, s->out_text, len);
    return 0;
}

int ini_send_targets(struct ini_session *s, const char *value)
{
    char text[INI_NAME_MAX + 16];
    struct text_writer w;
    text_writer_init(&w, text, sizeof text);
    if (!text_add(&w, "SendTargets", value))
        return ERR_INVALID;
    return ini_text(s, text, (uint32_t)w.len);
}

static void text_response(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_text_response pdu;
    pdu_text_response_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    ini_update_stat_sn(s, pdu.stat_sn);
    struct ini_slot *slot = ini_slot_find(s, pdu.itt);
    if (!slot || slot->kind != INI_SLOT_TEXT) {
        ini_fail(s, "the target sent a Text Response for a task that we do not have");
    } else if ((pdu.final && pdu.more) || (!pdu.final && pdu.ttt == PDU_TAG_RESERVED)) { /* R7143-6.2-02 */
        ini_fail(s, "the target's Text Response has flags that do not go together");
    } else if (!ini_collect_text(s, frame)) {
        ini_fail(s, "the target's text is longer than we accept");
    } else if (!pdu.final && ++s->text_rounds > INI_TEXT_ROUNDS) {
        ini_fail(s, "the target's text does not end");
    } else if (!pdu.final) { /* more to come: ask for it with its tag and LUN: R7143-11.11.4-01 */
        s->text_ttt = pdu.ttt;
        s->text_lun = pdu.lun;
        text_send(s, pdu.itt, NULL, 0);
    } else {
        ini_slot_release(s, pdu.itt);
        s->text_open = false;
        struct ini_event *event = ini_event_add(s, INI_EVENT_TEXT_DONE);
        event->text = (const uint8_t *)s->in_text;
        event->text_len = (uint32_t)s->in_len;
    }
}

/* ---- task management ---- */

int ini_task_management(struct ini_session *s, uint8_t function, uint64_t lun, struct ini_command *command,
                        uint32_t *tag)
{
    if (s->state != INI_UP)
        return ERR_CLOSED;
    if (command && !command->sent)
        return ERR_NOTFOUND; /* not on the wire: nothing for the target to abort */
    uint32_t itt = ini_slot_take(s, INI_SLOT_TMF);
    if (itt == PDU_TAG_RESERVED)
        return ERR_BUSY;
    struct ini_slot *slot = ini_slot_find(s, itt);
    slot->referenced_itt = command ? command->itt : PDU_TAG_RESERVED;
    slot->function = function;
    slot->lun = lun;
    struct pdu_task_management_request pdu;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_task_management_request_init(&pdu);
    pdu.immediate = 1;
    pdu.function = function;
    if (function <= 5 || function == 8) /* R7143-11.5.3-01: the target's own resets have no LUN */
        pdu.lun = lun;
    pdu.itt = itt;
    pdu.referenced_task_tag = slot->referenced_itt; /* R7143-11.5.4-01 */
    pdu.cmd_sn = s->cmd_sn;
    pdu.exp_stat_sn = s->exp_stat_sn;
    if (command) /* R7143-11.5.1-12, R7143-11.5.1-13 */
        pdu.ref_cmd_sn = command->immediate ? pdu.cmd_sn : command->cmd_sn;
    pdu_task_management_request_encode(&pdu, bhs);
    ini_queue_pdu(s, bhs, NULL, NULL);
    *tag = itt;
    return 0;
}

/* Which commands does a confirmed function take? */
static bool tmf_takes(const struct ini_slot *tmf, const struct ini_command *c)
{
    switch (tmf->function) {
    case 1:                                   /* ABORT TASK */
        return c->itt == tmf->referenced_itt; /* the same memory may be another command by now */
    case 2:                                   /* ABORT TASK SET */
    case 4:                                   /* CLEAR TASK SET */
    case 5:                                   /* LOGICAL UNIT RESET */
        return c->lun == tmf->lun;
    case 6: /* TARGET WARM RESET */
    case 7: /* TARGET COLD RESET */
        return true;
    default:
        return false;
    }
}

static void tmf_response(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_task_management_response pdu;
    pdu_task_management_response_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    ini_update_stat_sn(s, pdu.stat_sn);
    struct ini_slot *slot = ini_slot_find(s, pdu.itt);
    if (!slot || slot->kind != INI_SLOT_TMF) {
        ini_fail(s, "the target answers a task management request that we did not send");
        return;
    }
    if (pdu.response == 0) {
        list_for_each_safe(node, &s->inflight)
        {
            struct ini_command *c = list_entry(node, struct ini_command, node);
            if (tmf_takes(slot, c))
                ini_command_end(s, c, INI_DONE_ABORTED);
        }
    }
    ini_slot_release(s, pdu.itt);
    struct ini_event *event = ini_event_add(s, INI_EVENT_TMF_DONE);
    event->tag = pdu.itt;
    event->response = pdu.response;
}

/* ---- pings ---- */

static int nop_out(struct ini_session *s, uint32_t itt, uint32_t ttt, uint64_t lun, const void *data,
                   uint32_t len, uint32_t *unsent)
{
    struct pdu_nop_out pdu;
    uint8_t bhs[PDU_BHS_LEN];
    struct slice copy = {0};
    if (len) {
        struct chunk *chunk = pool_get(s->pool, len);
        if (!chunk)
            return ERR_NOMEM;
        memcpy(chunk->data, data, len);
        copy = slice_take(chunk, 0, len);
    }
    pdu_nop_out_init(&pdu);
    pdu.immediate = 1;
    pdu.lun = lun;
    pdu.itt = itt;
    pdu.ttt = ttt;
    pdu.cmd_sn = s->cmd_sn;
    pdu.exp_stat_sn = s->exp_stat_sn;
    pdu_nop_out_encode(&pdu, bhs);
    ini_queue_pdu(s, bhs, len ? &copy : NULL, unsent);
    return 0;
}

int ini_ping(struct ini_session *s, const void *data, uint32_t len, uint32_t *tag)
{
    if (s->state != INI_UP)
        return ERR_CLOSED;
    if (len > s->keys.params.peer_max_recv_data_segment_length || len > POOL_CLASS_MAX)
        return ERR_TOOBIG;
    uint32_t itt = ini_slot_take(s, INI_SLOT_PING);
    if (itt == PDU_TAG_RESERVED)
        return ERR_BUSY;
    int err =
        nop_out(s, itt, PDU_TAG_RESERVED, 0, data, len, NULL); /* R7143-11.18.2-02: no transfer tag of ours */
    if (err)
        ini_slot_release(s, itt);
    else
        *tag = itt;
    return err;
}

static void nop_in(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_nop_in pdu;
    pdu_nop_in_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (pdu.itt == PDU_TAG_RESERVED) { /* the target's own: StatSN is not used up */
        if (pdu.ttt == PDU_TAG_RESERVED)
            return;                               /* R7143-11.18-02 */
        if (s->replies_unsent >= INI_REPLIES_MAX) /* it asks but does not read */
            ini_fail(s, "the target sends pings and does not take the answers");
        else
            nop_out(s, PDU_TAG_RESERVED, pdu.ttt, pdu.lun, NULL, 0, &s->replies_unsent); /* R7143-11.18-01 */
        return;
    }
    ini_update_stat_sn(s, pdu.stat_sn);
    struct ini_slot *slot = ini_slot_find(s, pdu.itt);
    if (!slot || slot->kind != INI_SLOT_PING)
        return; /* an answer that nobody waits for does no harm */
    struct ini_event *event = ini_event_add(s, INI_EVENT_PING_DONE);
    event->tag = pdu.itt;
    event->value_ns = env_now(s->env) - slot->started_ns;
    ini_slot_release(s, pdu.itt);
}

/* ---- logout ---- */

static void logout_send(struct ini_session *s)
{
    uint32_t itt = ini_slot_take(s, INI_SLOT_LOGOUT);
    if (itt == PDU_TAG_RESERVED)
        return; /* tried again at the next pump */
    struct pdu_logout_request pdu;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_logout_request_init(&pdu);
    pdu.immediate = 1;
    pdu.reason = 0; /* close the session */
    pdu.itt = itt;
    pdu.cmd_sn = s->cmd_sn;
    pdu.exp_stat_sn = s->exp_stat_sn;
    pdu_logout_request_encode(&pdu, bhs);
    ini_queue_pdu(s, bhs, NULL, NULL);
    if (s->state == INI_UP) /* unless the queue had no memory */
        s->state = INI_LOGOUT;
    s->logout_deadline_ns = env_now(s->env) + INI_LOGOUT_WAIT_NS;
}

void ini_logout_when_quiet(struct ini_session *s)
{
    if (s->logout_wanted && s->state == INI_UP && list_empty(&s->inflight) && list_empty(&s->queue) &&
        list_empty(&s->ending))
        logout_send(s);
}

int ini_logout(struct ini_session *s)
{
    if (s->state != INI_UP)
        return ERR_CLOSED;
    s->logout_wanted = true;
    ini_logout_when_quiet(s);
    return 0;
}

static void logout_response(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_logout_response pdu;
    pdu_logout_response_decode(frame->bhs, &pdu);
    ini_update_stat_sn(s, pdu.stat_sn);
    struct ini_slot *slot = ini_slot_find(s, pdu.itt);
    if (!slot || slot->kind != INI_SLOT_LOGOUT) {
        ini_fail(s, "the target answers a logout that we did not send");
        return;
    }
    ini_slot_release(s, pdu.itt);
    ini_event_add(s, INI_EVENT_LOGGED_OUT)->response = pdu.response;
    snprintf(s->reason, sizeof s->reason, "logged out");
    s->state = INI_ENDING;
    ini_commands_lost(s);
}

/* ---- messages from the target ---- */

enum {
    ASYNC_SCSI = 0,
    ASYNC_LOGOUT_REQUEST = 1,
    ASYNC_DROP_CONNECTION = 2,
    ASYNC_DROP_SESSION = 3,
    ASYNC_NEGOTIATE = 4
};

static void async_message(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_async_message pdu;
    pdu_async_message_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    ini_update_stat_sn(s, pdu.stat_sn);
    struct ini_event *event = ini_event_add(s, INI_EVENT_ASYNC);
    struct ini_queued_event *queued = container_of(event, struct ini_queued_event, event);
    uint32_t len = frame->data_len < INI_ASYNC_MAX ? frame->data_len : INI_ASYNC_MAX;
    if (len)
        memcpy(queued->data, frame->data.ptr, len);
    event->text = queued->data;
    event->text_len = len;
    event->async_event = pdu.async_event;
    event->vcode = pdu.async_vcode;
    event->parameter[0] = pdu.parameter1;
    event->parameter[1] = pdu.parameter2;
    event->parameter[2] = pdu.parameter3;
    /* We have nothing to negotiate: a new login settles that too (R7143-11.9.1-10). */
    if (pdu.async_event == ASYNC_LOGOUT_REQUEST || pdu.async_event == ASYNC_NEGOTIATE)
        ini_logout(s); /* R7143-11.9.1-04: as soon as the commands in flight have ended */
    else if (pdu.async_event == ASYNC_DROP_CONNECTION || pdu.async_event == ASYNC_DROP_SESSION)
        ini_fail(s, "the target says that it drops the connection");
}

/* What a Reject means depends on what was rejected; its header comes back in the data. */
static void reject(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_reject pdu;
    pdu_reject_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    ini_update_stat_sn(s, pdu.stat_sn);
    if (frame->data_len < PDU_BHS_LEN) {
        ini_fail(s, "the target rejects something without saying what");
        return;
    }
    const uint8_t *bhs = frame->data.ptr;
    struct ini_slot *slot = ini_slot_find(s, pdu_itt(bhs));
    if (slot && slot->kind == INI_SLOT_PING && pdu_opcode(bhs) == PDU_OP_nop_out) {
        ini_slot_release(s, pdu_itt(bhs)); /* a target that cannot ping is alive all the same */
        return;
    }
    char reason[INI_REASON_MAX];
    snprintf(reason, sizeof reason, "the target rejects our %s (reason 0x%02x)", pdu_name(bhs[0]),
             pdu.reason);
    ini_fail(s, reason); /* at level 0 the rest is session recovery */
}

void ini_control_pdu(struct ini_session *s, const struct framer_pdu *frame)
{
    switch (pdu_opcode(frame->bhs)) {
    case PDU_OP_text_response:
        text_response(s, frame);
        break;
    case PDU_OP_task_management_response:
        tmf_response(s, frame);
        break;
    case PDU_OP_nop_in:
        nop_in(s, frame);
        break;
    case PDU_OP_logout_response:
        logout_response(s, frame);
        break;
    case PDU_OP_async_message:
        async_message(s, frame);
        break;
    case PDU_OP_reject:
        reject(s, frame);
        break;
    default:
        ini_fail(s, "the target sent a PDU that has no place here");
    }
}
