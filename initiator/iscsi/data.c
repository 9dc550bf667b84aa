/* What comes back for SCSI commands: Data-In, status, R2T. At level 0 everything comes in order or the
 * session ends; at levels 1 and 2 data may come before its turn, twice, or after its status, and numbers.c
 * asks for what is missing. */
#include <stdio.h>
#include <string.h>

#include "common/base/mutant.h"
#include "initiator/iscsi/internal.h"

#define SCSI_STATUS_CHECK_CONDITION 0x02u

/* ---- places ---- */

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
        uint32_t n = v->len - offset < len ? (uint32_t)(v->len - offset) : len;
        memcpy((uint8_t *)v->ptr + offset, from, n);
        from += n;
        len -= n;
        offset = 0;
    }
}

/* ---- data-in ---- */

_Static_assert(sizeof((struct ini_command *)0)->ahead_lens / sizeof(uint32_t) == INI_DATA_AHEAD_MAX,
               "one length for each piece that may be ahead");

enum data_turn {
    DATA_BAD,     /* protocol error */
    DATA_NEXT,    /* what is due */
    DATA_AHEAD,   /* something before it is missing */
    DATA_TOO_FAR, /* so much that we do not keep count: it has to be sent again */
    DATA_AGAIN    /* has been here */
};

static enum data_turn data_by_number(const struct ini_command *c, uint32_t data_sn)
{
    if (data_sn == c->exp_data_sn)
        return DATA_NEXT;
    if (!sn_gt(data_sn, c->exp_data_sn))
        return DATA_AGAIN; /* R7143-7.9-05 */
    uint32_t ahead = data_sn - c->exp_data_sn - 1;
    if (ahead >= INI_DATA_AHEAD_MAX)
        return DATA_TOO_FAR;
    return c->data_ahead >> ahead & 1 ? DATA_AGAIN : DATA_AHEAD;
}

/* What this Data-In is to its command; the reason when it does not fit. */
static enum data_turn data_turn(const struct ini_conn *conn, const struct ini_command *c,
                                const struct pdu_data_in *pdu, uint32_t len, const char **fault)
{
    const struct key_params *p = &conn->s->params;
    enum data_turn turn = DATA_NEXT;
    *fault = "the target sent more data than asked for"; /* R7143-11.7.6-01 */
    if ((uint64_t)pdu->buffer_offset + len > c->in_len && len)
        return DATA_BAD;
    if (conn->s->level >= 1)
        turn = data_by_number(c, pdu->data_sn);
    *fault = "the target sent data out of sequence (DataSN)";
    if (conn->s->level == 0 && len && pdu->data_sn != c->exp_data_sn) /* R7143-4.2.2.4-02 */
        return DATA_BAD;
    bool in_step = p->data_pdu_in_order && p->data_sequence_in_order && !c->recovered;
    *fault = "the target sent data at a wrong offset";
    if (turn == DATA_NEXT && len && in_step && pdu->buffer_offset != c->in_done) /* R7143-11.7.6-02 */
        return DATA_BAD;
    return turn;
}

void ini_place_data_in(struct ini_conn *conn, struct framer_pdu *frame)
{
    struct pdu_data_in pdu;
    const char *fault;
    pdu_data_in_decode(frame->bhs, &pdu);
    struct ini_command *c = ini_command_find(conn, pdu.itt);
    enum data_turn turn = c ? data_turn(conn, c, &pdu, frame->data_len, &fault) : DATA_BAD;
    if (turn == DATA_BAD)
        return; /* told when the PDU is complete */
    if (turn == DATA_AGAIN || turn == DATA_TOO_FAR) {
        framer_skip(&conn->framer);
        return;
    }
    uint8_t *place = command_in_place(c, pdu.buffer_offset, frame->data_len);
    if (place) {
        framer_place(&conn->framer, place);
        conn->placing = c;
        c->placed = true;
    }
}

/* The number that was due is here: so may be some that follow it. */
static void data_advance(struct ini_command *c)
{
    bool more;
    do {
        c->exp_data_sn++;
        more = c->data_ahead & 1;
        c->data_ahead >>= 1;
        if (more)
            c->ahead_len -= c->ahead_lens[c->exp_data_sn % INI_DATA_AHEAD_MAX];
    } while (more);
    c->tries = 0;
    c->continue_ns = 0;
}

static void data_need(struct ini_command *c, uint32_t end)
{
    if (sn_gt(end, c->need_data_sn))
        c->need_data_sn = end;
}

/* After an R-Data SNACK the numbers begin anew, and nothing in a Data-In tells whether it was cut before or
 * after that. So only what follows byte on byte is taken: a piece of the old cut that fits is as good as a
 * new one, and what comes behind it then does not fit, and is asked for once more. */
static bool data_is_stale(struct ini_command *c, const struct pdu_data_in *pdu, uint32_t len,
                          enum data_turn turn)
{
    const struct key_params *p = &c->conn->s->params;
    if (!c->snack_tag || !len || !p->data_pdu_in_order || !p->data_sequence_in_order ||
        (turn == DATA_NEXT && pdu->buffer_offset == c->in_done))
        return false;
    if (turn == DATA_NEXT)
        c->max_recv_epoch = c->conn->max_recv_epoch - 1;
    return true;
}

static void data_take(struct ini_command *c, const struct pdu_data_in *pdu, const struct framer_pdu *frame,
                      enum data_turn turn)
{
    if (turn == DATA_TOO_FAR || turn == DATA_AHEAD)
        data_need(c, pdu->data_sn + (turn == DATA_TOO_FAR));
    if (turn != DATA_NEXT && turn != DATA_AHEAD)
        return;
    /* Skipped: it was not wanted when its header came, and an R-Data SNACK has gone out since then. */
    if ((frame->skipped && frame->data_len) || data_is_stale(c, pdu, frame->data_len, turn)) {
        data_need(c, pdu->data_sn + 1);
        return;
    }
    if (frame->data_len && !frame->placed)
        command_in_copy(c, pdu->buffer_offset - (MUTANT(initiator_data_offset) && pdu->buffer_offset ? 8 : 0),
                        frame->data.ptr, frame->data_len);
    c->in_done += frame->data_len;
    if (turn == DATA_AHEAD) {
        c->recovered = true;
        c->ahead_len += frame->data_len;
        c->ahead_lens[pdu->data_sn % INI_DATA_AHEAD_MAX] = frame->data_len;
        c->data_ahead |= 1ull << (pdu->data_sn - c->exp_data_sn - 1);
    } else {
        data_advance(c);
    }
}

/* R7143-11.7.2-05: the target wants to know what it may forget. */
static void data_acknowledge(struct ini_command *c, const struct pdu_data_in *pdu)
{
    if (pdu->acknowledge && !pdu->has_status) {
        c->ack_due = true;
        c->ack_sn = pdu->data_sn + 1;
        c->ack_ttt = pdu->ttt;
        c->ack_lun = pdu->lun;
    }
    if (c->ack_due)
        ini_snack_ack(c);
}

bool ini_data_missing(const struct ini_command *c)
{
    return c->data_ahead || sn_lt(c->exp_data_sn, c->need_data_sn);
}

static bool residual_fault(struct ini_session *s, bool underflow, bool overflow)
{
    if (underflow && overflow) /* R7143-11.4.1-02 */
        ini_fail(s, "the target says that there was both too much and too little data");
    return underflow && overflow;
}

static void command_residual(struct ini_command *c, bool underflow, bool overflow, uint32_t count)
{
    c->underflow = underflow;
    c->overflow = overflow;
    c->residual = underflow || overflow ? count : 0; /* R7143-11.4.5.1-02 */
}

/* Data of the command is lost for good: whatever the status, it must not look good. RFC 7143 7.8
 * a.2, 11.4.7.2: "protocol service CRC error". */
static void command_spoilt(struct ini_command *c)
{
    static const uint8_t sense[18] = {0x70, 0, 0x0b, [7] = 10, [12] = 0x47, [13] = 0x05};
    c->status = SCSI_STATUS_CHECK_CONDITION;
    memcpy(c->sense, sense, sizeof sense);
    c->sense_len = sizeof sense;
}

static void command_finish(struct ini_session *s, struct ini_command *c)
{
    if (s->level >= 1 && c->response == 0 && c->status != SCSI_STATUS_CHECK_CONDITION && ini_data_missing(c))
        command_spoilt(c); /* R7143-7.8-10 */
    ini_command_end(s, c, INI_DONE_STATUS);
}

/* The status of a Data-In; its data has been dealt with. */
static void data_in_status(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct pdu_data_in pdu;
    pdu_data_in_decode(frame->bhs, &pdu);
    struct ini_session *s = conn->s;
    struct ini_command *c = ini_command_find(conn, pdu.itt);
    bool missing = false;
    if (c && s->level >= 1) {
        if (c->snack_tag) /* only a response with that tag counts: R7143-11.4.4-02 */
            return;
        data_need(c, pdu.data_sn + 1);
        missing = ini_data_missing(c) && !c->snack_refused;
        if (missing)
            ini_snack_data(c);
    }
    if (!ini_status_turn(conn, pdu.stat_sn, frame, !missing) || !c)
        return;
    c->status = pdu.status;
    command_residual(c, pdu.underflow, pdu.overflow, pdu.residual_count);
    command_finish(s, c);
}

void ini_data_in_status(struct ini_conn *conn, const uint8_t *bhs)
{
    struct framer_pdu frame = {.bhs = bhs};
    data_in_status(conn, &frame);
}

void ini_data_in_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct ini_session *s = conn->s;
    struct pdu_data_in pdu;
    const char *fault = "the target sent data for a task that we do not have";
    pdu_data_in_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    struct ini_command *c = ini_command_find(conn, pdu.itt);
    /* What is left of a task that has ended: a copy that a SNACK brought, or data behind an abort. */
    bool late = !c && (ini_was_aborted(s, pdu.itt) || (pdu.has_status && ini_status_old(conn, pdu.stat_sn)));
    if (late) {
        if (pdu.has_status)
            ini_data_in_status(conn, frame->bhs);
        return;
    }
    enum data_turn turn = c ? data_turn(conn, c, &pdu, frame->data_len, &fault) : DATA_BAD;
    if (turn == DATA_BAD) {
        ini_fail(s, fault);
        return;
    }
    if (s->level == 0) {
        data_take(c, &pdu, frame, DATA_NEXT);
        c->exp_data_sn = pdu.data_sn + 1;
    } else { /* no SNACK of any kind at level 0: R7143-11.7.2-04 */
        data_take(c, &pdu, frame, turn);
        ini_snack_progress(c);
        data_acknowledge(c, &pdu);
    }
    if (pdu.has_status && !residual_fault(s, pdu.underflow, pdu.overflow)) /* R7143-11.7-01 */
        ini_data_in_status(conn, frame->bhs);
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

static void response_take(struct ini_session *s, struct ini_command *c, const struct pdu_scsi_response *pdu,
                          const struct framer_pdu *frame)
{
    c->response = pdu->response;
    c->status = pdu->status;
    if (s->params.iscsi_protocol_level >= 2) /* R7144-5.2.1-02 */
        c->status_qualifier = pdu->status_qualifier;
    command_residual(c, pdu->underflow, pdu->overflow, pdu->residual_count);
    if (c->in_len && c->out_len) {
        c->in_underflow = pdu->bidi_underflow;
        c->in_overflow = pdu->bidi_overflow;
        c->in_residual = c->in_underflow || c->in_overflow ? pdu->bidi_residual_count : 0;
    }
    command_take_sense(c, frame);
    command_finish(s, c);
}

/* Must the status wait for data? R7143-7.9-04 */
static bool response_early(struct ini_command *c, const struct pdu_scsi_response *pdu)
{
    if (pdu->response != 0 || c->snack_refused)
        return false;
    data_need(c, pdu->exp_data_sn);
    if (!ini_data_missing(c))
        return false;
    ini_snack_data(c);
    return true;
}

void ini_response_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct ini_session *s = conn->s;
    struct pdu_scsi_response pdu;
    pdu_scsi_response_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    struct ini_command *c = ini_command_find(conn, pdu.itt);
    if (c && c->snack_tag && pdu.response == 0 && pdu.snack_tag != c->snack_tag) /* R7143-11.4.4-02 */
        return;
    bool early = c && s->level >= 1 && response_early(c, &pdu);
    bool flags_bad =
        pdu.response == 0 && ((pdu.underflow && pdu.overflow) || (pdu.bidi_underflow && pdu.bidi_overflow));
    if (!ini_status_turn(conn, pdu.stat_sn, frame, !early))
        return;
    if (!c) {
        if (!ini_was_aborted(s, pdu.itt)) /* R7143-11.5.1-06 */
            ini_fail(s, "the target sent a SCSI Response for a task that we do not have");
    } else if (flags_bad) {
        residual_fault(s, true, true);
    } else if (pdu.response == 0 && pdu.status == SCSI_STATUS_CHECK_CONDITION && frame->data_len == 0 &&
               !s->options.allow_no_sense) {
        ini_fail(s, "the target reports CHECK CONDITION without sense data"); /* R7143-7.7-03 */
    } else if (s->level == 0 && pdu.response == 0 && pdu.status == 0 && pdu.exp_data_sn &&
               pdu.exp_data_sn != c->exp_data_sn) {
        ini_fail(s, "data from the target is missing (ExpDataSN)"); /* R7143-11.4.8-02 */
    } else {
        response_take(s, c, &pdu, frame);
    }
}

/* ---- R2T ---- */

static const char *r2t_fault(const struct ini_session *s, const struct ini_command *c,
                             const struct pdu_r2t *pdu, uint32_t data_len)
{
    if (data_len)
        return "the target sent an R2T with data";
    if (!c)
        return "the target sent an R2T for a task that we do not have";
    if (pdu->lun != c->lun) /* R7143-4.2.5.3-04 */
        return "the target sent an R2T with another LUN than its command's";
    if (pdu->ttt == PDU_TAG_RESERVED)
        return "the target sent an R2T without a transfer tag";
    if (pdu->desired_data_transfer_length == 0)
        return "the target asks for no data";
    if (s->level == 0 && pdu->r2t_sn != c->exp_data_sn) /* R7143-4.2.2.4-04 */
        return "the target sent an R2T out of sequence (R2TSN)";
    if ((uint64_t)pdu->buffer_offset + pdu->desired_data_transfer_length > c->out_len)
        return "the target asks for data beyond the end of the command's buffer";
    if (pdu->desired_data_transfer_length > s->params.max_burst_length) /* R7143-11.7.1-05 */
        return "the target asks for more data at once than MaxBurstLength";
    /* It also bounds what one command can make us queue. */
    if (s->level == 0 && s->params.data_sequence_in_order &&
        pdu->buffer_offset < c->out_sent) /* R7143-13.19-02 */
        return "the target asks again for data that it has had";
    return NULL;
}

/* Levels 1 and 2: is this the R2T that is due? */
static bool r2t_due(struct ini_command *c, const struct pdu_r2t *pdu)
{
    if (c->resync) { /* a new allegiance may count anew */
        c->resync = false;
        c->exp_data_sn = pdu->r2t_sn;
        c->need_data_sn = pdu->r2t_sn;
    }
    switch (data_by_number(c, pdu->r2t_sn)) {
    case DATA_NEXT:
        return true;
    case DATA_AGAIN: /* R7143-7.9-05 */
        return false;
    default: /* not kept: it comes again together with what is missing */
        data_need(c, pdu->r2t_sn + 1);
        ini_snack_data(c);
        return false;
    }
}

void ini_r2t_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct ini_session *s = conn->s;
    struct pdu_r2t pdu;
    pdu_r2t_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    ini_status_next(conn, pdu.stat_sn);
    struct ini_command *c = ini_command_find(conn, pdu.itt);
    if (!c && ini_was_aborted(s, pdu.itt))
        return;
    const char *fault = r2t_fault(s, c, &pdu, frame->data_len);
    if (fault) {
        ini_fail(s, fault);
        return;
    }
    if (s->level >= 1 && !r2t_due(c, &pdu))
        return;
    if (pdu.buffer_offset < c->out_sent) { /* what came was damaged: R7143-4.2.5.2-10 */
        s->counters.recovery_r2ts++;
        if (++c->recovery_r2ts > INI_RECOVERY_R2TS) {
            ini_conn_fail(conn, "the target asks for the same data over and over");
            return;
        }
    }
    data_advance(c);
    ini_snack_progress(c);
    if (!c->no_data_out) /* R7143-4.2.3.4-03 */
        ini_command_data_out(c, pdu.ttt, pdu.lun, pdu.buffer_offset, pdu.desired_data_transfer_length);
}
