/* SCSI commands: sending them as the window allows, immediate, unsolicited and solicited data, Data-In,
 * status. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "initiator/iscsi/internal.h"

/* ---- the end of a command ---- */

/* Reported only when nothing of it lies in the send queue any more: the caller gets its buffers back with the
 * report. */
void ini_command_end(struct ini_session *s, struct ini_command *c, enum ini_command_outcome outcome)
{
    c->outcome = outcome;
    if (c->sent)
        ini_slot_release(s, c->itt);
    c->sent = false;
    list_remove(&c->node);
    list_push_back(c->unsent ? &s->ending : &s->finished, &c->node);
}

void ini_commands_settle(struct ini_session *s)
{
    list_for_each_safe(node, &s->ending)
    {
        struct ini_command *c = list_entry(node, struct ini_command, node);
        if (c->unsent == 0) {
            list_remove(&c->node);
            list_push_back(&s->finished, &c->node);
        }
    }
}

/* The session is over: all come back, but not while the host still lends their buffers to the kernel. */
void ini_commands_lost(struct ini_session *s)
{
    if (s->lent || s->receiving)
        return;
    tx_fini(&s->tx); /* counts down every `unsent` */
    framer_unplace(&s->framer);
    ini_commands_settle(s);
    struct list_node *lists[] = {&s->inflight, &s->queue};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_for_each_safe(node, lists[i])
            ini_command_end(s, list_entry(node, struct ini_command, node), INI_DONE_LOST);
}

/* ---- data-out ---- */

/* The contiguous bytes of the command's data-out at `offset`, at most `max`. */
static struct slice command_out_piece(const struct ini_command *c, uint64_t offset, uint32_t max)
{
    for (uint32_t i = 0; i < c->out_count; i++) {
        const struct io_vec *v = &c->out_vec[i];
        if (offset < v->len) {
            uint64_t left = v->len - offset;
            return slice_borrow((const uint8_t *)v->ptr + offset, left < max ? (uint32_t)left : max);
        }
        offset -= v->len;
    }
    return slice_borrow(NULL, 0);
}

/* Queues Data-Out PDUs for [offset, offset + len): one sequence, its last PDU with F. */
static void command_data_out(struct ini_session *s, struct ini_command *c, uint32_t ttt, uint64_t lun,
                             uint64_t offset, uint64_t len)
{
    struct pdu_data_out pdu;
    uint8_t bhs[PDU_BHS_LEN];
    uint32_t max = s->keys.params.peer_max_recv_data_segment_length; /* R7143-11.7.7-02 */
    pdu_data_out_init(&pdu);
    pdu.lun = lun;
    pdu.itt = c->itt;
    pdu.ttt = ttt;
    pdu.exp_stat_sn = s->exp_stat_sn;
    while (len && s->state < INI_ENDING) {
        struct slice piece = command_out_piece(c, offset, len < max ? (uint32_t)len : max);
        pdu.buffer_offset = (uint32_t)offset;
        offset += piece.len;
        len -= piece.len;
        pdu.final = len == 0;
        pdu_data_out_encode(&pdu, bhs);
        pdu.data_sn++; /* R7143-11.7.6-01: counted per sequence */
        ini_queue_pdu(s, bhs, &piece, &c->unsent);
    }
    c->out_sent = offset;
}

/* ---- sending a command ---- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* AHS of an extended CDB: RFC 7143 11.2.2.3. Returns its padded length in bytes. */
static uint32_t command_ahs(const struct ini_command *c, uint8_t *ahs)
{
    if (c->cdb_len <= 16)
        return 0;
    uint16_t extra = (uint16_t)(c->cdb_len - 16);
    be16_put(ahs, (uint16_t)(extra + 1));
    ahs[2] = 1;
    ahs[3] = 0;
    memcpy(ahs + 4, c->cdb + 16, extra);
    return (4u + extra + 3u) & ~3u;
}

static void command_send(struct ini_session *s, struct ini_command *c, uint32_t itt)
{
    const struct key_params *p = &s->keys.params;
    struct pdu_scsi_command pdu;
    uint8_t bhs[PDU_BHS_LEN], ahs[TX_AHS_MAX] = {0};
    pdu_scsi_command_init(&pdu);
    c->itt = itt;
    c->sent = true;
    ini_slot_find(s, itt)->command = c;
    list_push_back(&s->inflight, &c->node);

    uint64_t unsolicited = p->initial_r2t ? 0 : min_u64(c->out_len, p->first_burst_length);
    struct slice data = slice_borrow(NULL, 0);
    if (p->immediate_data && c->out_len) {
        uint64_t most =
            min_u64(min_u64(c->out_len, p->first_burst_length), p->peer_max_recv_data_segment_length);
        data = command_out_piece(c, 0, (uint32_t)most);
    }
    uint32_t immediate_len = data.len; /* tx_add takes the slice over */
    c->out_sent = immediate_len;
    pdu.immediate = c->immediate;
    pdu.final = unsolicited <= immediate_len; /* F: no unsolicited Data-Out follows (R7143-11.3.1-01) */
    pdu.read = c->in_len != 0;
    pdu.write = c->out_len != 0;
    pdu.attr = c->attr ? c->attr : 1;
    pdu.lun = c->lun;
    pdu.itt = itt;
    pdu.expected_data_transfer_length = (uint32_t)(c->out_len ? c->out_len : c->in_len);
    pdu.cmd_sn = c->cmd_sn = s->cmd_sn;
    if (!c->immediate)
        s->cmd_sn++; /* R7143-4.2.2.1-01: immediate commands do not advance it */
    pdu.exp_stat_sn = s->exp_stat_sn;
    memcpy(pdu.cdb, c->cdb, sizeof pdu.cdb);
    pdu_scsi_command_encode(&pdu, bhs);
    uint32_t ahs_len = command_ahs(c, ahs);
    if (tx_add(&s->tx, bhs, ahs_len ? ahs : NULL, ahs_len, immediate_len ? &data : NULL, &c->unsent) != 0) {
        ini_fail(s, "out of memory for a PDU");
        return;
    }
    if (!pdu.final)
        command_data_out(s, c, PDU_TAG_RESERVED, c->lun, immediate_len, unsolicited - immediate_len);
}

void ini_pump(struct ini_session *s)
{
    while (s->state == INI_UP && !list_empty(&s->queue)) {
        struct ini_command *c = list_first(&s->queue, struct ini_command, node);
        if (!c->immediate && sn_gt(s->cmd_sn, s->max_cmd_sn)) /* R7143-4.2.2.1-19 */
            break;
        uint32_t itt = ini_slot_take(s, INI_SLOT_COMMAND);
        if (itt == PDU_TAG_RESERVED)
            break;
        list_remove(&c->node);
        command_send(s, c, itt);
    }
    ini_logout_when_quiet(s);
}

int ini_submit(struct ini_session *s, struct ini_command *c)
{
    if (s->state != INI_UP || s->logout_wanted)
        return ERR_CLOSED;
    if (c->cdb_len > 16 + TX_AHS_MAX - 4 || c->cdb_len > INI_CDB_MAX || (c->in_len && c->out_len) ||
        c->in_len > UINT32_MAX || c->out_len > UINT32_MAX)
        return ERR_INVALID;
    c->sent = c->status_seen = false;
    c->unsent = 0;
    c->exp_data_sn = c->r2t_sn = 0;
    c->out_sent = c->in_done = 0;
    c->status = c->response = 0;
    c->sense_len = c->residual = 0;
    c->underflow = c->overflow = false;
    c->submitted_ns = env_now(s->env);
    s->outstanding++;
    if (c->immediate)
        list_push_front(&s->queue, &c->node);
    else
        list_push_back(&s->queue, &c->node);
    ini_pump(s);
    return 0;
}

/* ---- data-in ---- */

static struct ini_command *command_find(struct ini_session *s, uint32_t itt)
{
    struct ini_slot *slot = ini_slot_find(s, itt);
    return slot && slot->kind == INI_SLOT_COMMAND ? slot->command : NULL;
}

/* Where [offset, offset + len) of the data-in goes when that is one piece, else NULL. */
static uint8_t *command_in_place(const struct ini_command *c, uint64_t offset, uint32_t len)
{
    for (uint32_t i = 0; i < c->in_count; i++) {
        const struct io_vec *v = &c->in_vec[i];
        if (offset < v->len)
            return v->len - offset >= len ? (uint8_t *)v->ptr + offset : NULL;
        offset -= v->len;
    }
    return NULL;
}

static void command_in_copy(const struct ini_command *c, uint64_t offset, const uint8_t *from, uint32_t len)
{
    for (uint32_t i = 0; i < c->in_count && len; i++) {
        const struct io_vec *v = &c->in_vec[i];
        if (offset >= v->len) {
            offset -= v->len;
            continue;
        }
        uint32_t n = (uint32_t)min_u64(v->len - offset, len);
        memcpy((uint8_t *)v->ptr + offset, from, n);
        from += n;
        len -= n;
        offset = 0;
    }
}

/* Does this Data-In fit its command? The reason when not. */
static const char *data_in_fault(const struct ini_command *c, const struct pdu_data_in *pdu, uint32_t len)
{
    if (!c)
        return "the target sent data for a task that we do not have";
    if (len && pdu->data_sn != c->exp_data_sn) /* R7143-4.2.2.4-02 */
        return "the target sent data out of sequence (DataSN)";
    if (len && pdu->buffer_offset != c->in_done) /* DataPDUInOrder and DataSequenceInOrder are Yes */
        return "the target sent data at a wrong offset";
    if (c->in_done + len > c->in_len)
        return "the target sent more data than asked for";
    return NULL;
}

void ini_place_data_in(struct ini_session *s, struct framer_pdu *frame)
{
    struct pdu_data_in pdu;
    pdu_data_in_decode(frame->bhs, &pdu);
    struct ini_command *c = command_find(s, pdu.itt);
    if (data_in_fault(c, &pdu, frame->data_len))
        return; /* told when the PDU is complete */
    uint8_t *place = command_in_place(c, pdu.buffer_offset, frame->data_len);
    if (place)
        framer_place(&s->framer, place);
}

static void command_residual(struct ini_command *c, bool underflow, bool overflow, uint32_t count)
{
    c->underflow = underflow;
    c->overflow = overflow;
    c->residual = underflow || overflow ? count : 0;
}

static bool residual_fault(struct ini_session *s, bool underflow, bool overflow)
{
    if (underflow && overflow) /* R7143-11.4.1-02 */
        ini_fail(s, "the target says that there was both too much and too little data");
    return underflow && overflow;
}

void ini_data_in_pdu(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_data_in pdu;
    pdu_data_in_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    struct ini_command *c = command_find(s, pdu.itt);
    const char *fault = data_in_fault(c, &pdu, frame->data_len);
    if (fault) {
        ini_fail(s, fault);
        return;
    }
    if (frame->data_len) {
        if (!frame->placed)
            command_in_copy(c, pdu.buffer_offset, frame->data.ptr, frame->data_len);
        c->in_done += frame->data_len;
    }
    c->exp_data_sn = pdu.data_sn + 1;
    if (pdu.has_status) { /* phase collapse: R7143-11.7-01 */
        if (residual_fault(s, pdu.underflow, pdu.overflow))
            return;
        ini_update_stat_sn(s, pdu.stat_sn);
        c->status = pdu.status;
        command_residual(c, pdu.underflow, pdu.overflow, pdu.residual_count);
        ini_command_end(s, c, INI_DONE_STATUS);
    }
}

/* ---- status ---- */

static void command_take_sense(struct ini_command *c, const struct framer_pdu *frame)
{
    if (frame->data_len < 2)
        return;
    uint32_t len = be16_get(frame->data.ptr);
    if (len > frame->data_len - 2)
        len = frame->data_len - 2; /* a length that lies */
    if (len > INI_SENSE_MAX)
        len = INI_SENSE_MAX;
    memcpy(c->sense, frame->data.ptr + 2, len);
    c->sense_len = len;
}

void ini_response_pdu(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_scsi_response pdu;
    pdu_scsi_response_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    ini_update_stat_sn(s, pdu.stat_sn);
    struct ini_command *c = command_find(s, pdu.itt);
    if (!c) {
        ini_fail(s, "the target sent a SCSI Response for a task that we do not have");
        return;
    }
    if (pdu.response == 0 && residual_fault(s, pdu.underflow, pdu.overflow))
        return;
    if (pdu.response == 0 && pdu.status == 0 && pdu.exp_data_sn &&
        pdu.exp_data_sn != c->exp_data_sn + c->r2t_sn) {
        ini_fail(s, "data from the target is missing (ExpDataSN)"); /* R7143-11.4.8-02 */
        return;
    }
    c->response = pdu.response;
    c->status = pdu.status;
    command_residual(c, pdu.underflow, pdu.overflow, pdu.residual_count);
    command_take_sense(c, frame);
    ini_command_end(s, c, INI_DONE_STATUS);
}

/* ---- R2T ---- */

static const char *r2t_fault(const struct ini_command *c, const struct pdu_r2t *pdu, uint32_t data_len,
                             uint32_t max_burst)
{
    if (data_len)
        return "the target sent an R2T with data";
    if (!c)
        return "the target sent an R2T for a task that we do not have";
    if (pdu->ttt == PDU_TAG_RESERVED)
        return "the target sent an R2T without a transfer tag";
    if (pdu->desired_data_transfer_length == 0)
        return "the target asks for no data";
    if (pdu->r2t_sn != c->r2t_sn) /* R7143-4.2.2.4-04 */
        return "the target sent an R2T out of sequence (R2TSN)";
    if ((uint64_t)pdu->buffer_offset + pdu->desired_data_transfer_length > c->out_len)
        return "the target asks for data beyond the end of the command's buffer";
    if (pdu->desired_data_transfer_length > max_burst) /* R7143-11.7.1-05 */
        return "the target asks for more data at once than MaxBurstLength";
    /* DataSequenceInOrder is always Yes. It also bounds what one command can make us queue. */
    if (pdu->buffer_offset < c->out_sent) /* R7143-13.19-02 */
        return "the target asks again for data that it has had";
    return NULL;
}

void ini_r2t_pdu(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_r2t pdu;
    pdu_r2t_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    struct ini_command *c = command_find(s, pdu.itt);
    const char *fault = r2t_fault(c, &pdu, frame->data_len, s->keys.params.max_burst_length);
    if (fault) {
        ini_fail(s, fault);
        return;
    }
    c->r2t_sn++;
    command_data_out(s, c, pdu.ttt, pdu.lun, pdu.buffer_offset, pdu.desired_data_transfer_length);
}
