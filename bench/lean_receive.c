/* What comes in: one receive, then every PDU in it, where it lies. Payload that nobody wants to look at is
 * stepped over; a PDU may be cut anywhere between two receives. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/lean.h"
#include "common/base/err.h"
#include "common/iscsi/digest.h"
#include "common/iscsi/serial.h"
#include "common/scsi/sense.h"

static struct lean_slot *lean_slot_find(struct lean_conn *conn, uint32_t itt)
{
    struct lean_session *s = conn->session;
    uint32_t index = itt & 0xffffu;
    if (index >= s->slot_count || s->slots[index].itt != itt || !s->slots[index].in_use) {
        lean_break(s->lean, "the target answers task %08x, which there is not", itt);
        return NULL;
    }
    if (lean_slot_conn(s, index) != conn) {
        lean_break(s->lean, "the target answers task %08x on another connection", itt);
        return NULL;
    }
    return s->slots + index;
}

/* R7143-4.2.2.2-01: without recovery a gap means that an answer is lost. */
static bool lean_status_number(struct lean_conn *conn, uint32_t stat_sn)
{
    if (stat_sn != conn->exp_stat_sn) {
        lean_break(conn->session->lean, "StatSN %u where %u is due", stat_sn, conn->exp_stat_sn);
        return false;
    }
    conn->exp_stat_sn++;
    return true;
}

/* ---- headers ---- */

static void lean_data_in(struct lean_conn *conn, const uint8_t *bhs)
{
    struct pdu_data_in pdu;
    pdu_data_in_decode(bhs, &pdu);
    struct lean_slot *slot = lean_slot_find(conn, pdu.itt);
    if (!slot)
        return;
    if (slot->choice.kind != PATTERN_READ || pdu.buffer_offset != slot->in_done ||
        pdu.data_segment_length > slot->choice.len - slot->in_done || pdu.data_sn != slot->exp_data_sn) {
        lean_break(conn->session->lean, "Data-In %u at %u+%u of a command of %u bytes, expected %u at %u",
                   pdu.data_sn, pdu.buffer_offset, pdu.data_segment_length, slot->choice.len,
                   slot->exp_data_sn, slot->in_done);
        return;
    }
    conn->place = slot->buffer ? slot->buffer + slot->in_done : NULL;
    slot->in_done += pdu.data_segment_length;
    slot->exp_data_sn++;
    lean_window(conn->session, pdu.exp_cmd_sn, pdu.max_cmd_sn);
}

static void lean_r2t(struct lean_conn *conn, const uint8_t *bhs)
{
    struct pdu_r2t pdu;
    pdu_r2t_decode(bhs, &pdu);
    struct lean_slot *slot = lean_slot_find(conn, pdu.itt);
    if (!slot)
        return;
    uint32_t out_len = slot->choice.kind == PATTERN_READ ? 0
                       : slot->parameters                ? (uint32_t)sizeof slot->list
                                                         : slot->choice.len;
    if (pdu.r2t_sn != slot->exp_data_sn || pdu.buffer_offset != slot->out_done ||
        pdu.desired_data_transfer_length == 0 ||
        pdu.desired_data_transfer_length > out_len - slot->out_done ||
        pdu.desired_data_transfer_length > conn->session->max_burst) {
        lean_break(conn->session->lean, "R2T %u for %u+%u of a command of %u bytes, expected %u for %u",
                   pdu.r2t_sn, pdu.buffer_offset, pdu.desired_data_transfer_length, out_len,
                   slot->exp_data_sn, slot->out_done);
        return;
    }
    slot->exp_data_sn++;
    slot->out_done += pdu.desired_data_transfer_length;
    lean_window(conn->session, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    lean_send_data(conn, (uint32_t)(slot - conn->session->slots), pdu.ttt, pdu.buffer_offset,
                   pdu.desired_data_transfer_length);
}

static void lean_nop_in(struct lean_conn *conn, const uint8_t *bhs)
{
    struct pdu_nop_in pdu;
    pdu_nop_in_decode(bhs, &pdu);
    lean_window(conn->session, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (pdu.ttt == PDU_TAG_RESERVED)
        return; /* it only tells the window */
    conn->session->lean->result->pings++;
    lean_send_pong(conn, pdu.ttt, pdu.lun);
}

static void lean_async(struct lean_conn *conn, const uint8_t *bhs)
{
    static const char *const names[] = {"a SCSI event", "a request to log out", "it drops a connection",
                                        "it drops the session", "a request to negotiate"};
    struct pdu_async_message pdu;
    pdu_async_message_decode(bhs, &pdu);
    if (!lean_status_number(conn, pdu.stat_sn))
        return;
    lean_window(conn->session, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (pdu.async_event == 0 || pdu.async_event > 4) /* a SCSI event; the unit attention will tell */
        return;
    lean_break(conn->session->lean, "asynchronous message from the target: %s", names[pdu.async_event]);
}

/* Before the data segment. */
static void lean_header(struct lean_conn *conn, const uint8_t *bhs)
{
    conn->place = NULL;
    conn->sense_have = 0;
    switch (pdu_opcode(bhs)) {
    case PDU_OP_data_in:
        lean_data_in(conn, bhs);
        break;
    case PDU_OP_scsi_response:
        break;
    case PDU_OP_r2t:
        lean_r2t(conn, bhs);
        break;
    case PDU_OP_nop_in:
        lean_nop_in(conn, bhs);
        break;
    case PDU_OP_async_message:
        lean_async(conn, bhs);
        break;
    case PDU_OP_reject:
        lean_break(conn->session->lean, "the target rejects a PDU, reason 0x%02x", bhs[2]);
        break;
    default:
        lean_break(conn->session->lean, "unexpected PDU from the target: %s", pdu_name(pdu_opcode(bhs)));
    }
}

/* ---- ends ---- */

static void lean_data_in_end(struct lean_conn *conn, const uint8_t *bhs)
{
    struct pdu_data_in pdu;
    pdu_data_in_decode(bhs, &pdu);
    if (!pdu.has_status || !lean_status_number(conn, pdu.stat_sn))
        return;
    lean_ended(conn, conn->session->slots + (pdu.itt & 0xffffu), pdu.status);
}

static void lean_response_end(struct lean_conn *conn, const uint8_t *bhs)
{
    struct pdu_scsi_response pdu;
    pdu_scsi_response_decode(bhs, &pdu);
    struct lean_slot *slot = lean_slot_find(conn, pdu.itt);
    if (!slot || !lean_status_number(conn, pdu.stat_sn))
        return;
    lean_window(conn->session, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (pdu.response != 0)
        lean_break(conn->session->lean, "the target could not execute a command: iSCSI response 0x%02x",
                   pdu.response);
    else
        lean_ended(conn, slot, pdu.status);
}

static void lean_pdu_end(struct lean_conn *conn, const uint8_t *bhs)
{
    if (pdu_opcode(bhs) == PDU_OP_data_in)
        lean_data_in_end(conn, bhs);
    else if (pdu_opcode(bhs) == PDU_OP_scsi_response)
        lean_response_end(conn, bhs);
}

/* ---- bytes ---- */

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The data segment's next bytes: to where they are wanted. */
static void lean_payload(struct lean_conn *conn, const uint8_t *from, uint32_t len)
{
    if (conn->data_digest)
        conn->crc = digest_update(conn->crc, from, len);
    if (conn->place) {
        memcpy(conn->place, from, len);
        conn->place += len;
    } else if (pdu_opcode(conn->bhs) == PDU_OP_scsi_response && conn->sense_have < LEAN_SENSE_MAX) {
        uint32_t n = min_u32(len, LEAN_SENSE_MAX - conn->sense_have);
        memcpy(conn->sense + conn->sense_have, from, n);
        conn->sense_have += n;
    }
    conn->data_left -= len;
}

/* Padding and data digest are complete. */
static void lean_trail(struct lean_conn *conn)
{
    uint32_t pad = pdu_pad_len(pdu_data_len(conn->bhs));
    if (!conn->data_digest || !pdu_data_len(conn->bhs))
        return;
    conn->crc = digest_update(conn->crc, conn->trail, pad);
    if (digest_final(conn->crc) != digest_get(conn->trail + pad))
        lean_break(conn->session->lean, "a data digest from the target is wrong");
}

/* Consumes body bytes; true when the PDU is complete. */
static bool lean_body(struct lean_conn *conn, const uint8_t **at, const uint8_t *end)
{
    if (conn->data_left) {
        uint32_t n = min_u32(conn->data_left, (uint32_t)(end - *at));
        lean_payload(conn, *at, n);
        *at += n;
    }
    if (!conn->data_left && conn->trail_left) {
        uint32_t n = min_u32(conn->trail_left, (uint32_t)(end - *at));
        memcpy(conn->trail + conn->trail_have, *at, n);
        conn->trail_have += n;
        conn->trail_left -= n;
        *at += n;
        if (!conn->trail_left)
            lean_trail(conn);
    }
    return !conn->data_left && !conn->trail_left;
}

/* The header is whole in conn->bhs. */
static void lean_begin(struct lean_conn *conn)
{
    struct lean *lean = conn->session->lean;
    const uint8_t *bhs = conn->bhs;
    uint32_t len = pdu_data_len(bhs);
    if (conn->header_digest && digest_crc32c(bhs, PDU_BHS_LEN) != digest_get(bhs + PDU_BHS_LEN)) {
        lean_break(lean, "a header digest from the target is wrong");
        return;
    }
    if (pdu_ahs_len(bhs) || len > lean->result->params.max_recv_data_segment_length) {
        lean_break(lean, "the target sends a PDU of %u bytes, more than was agreed", len);
        return;
    }
    conn->data_left = len;
    conn->trail_left = pdu_pad_len(len) + (len && conn->data_digest ? PDU_DIGEST_LEN : 0);
    conn->trail_have = 0;
    conn->crc = DIGEST_INIT;
    conn->in_body = true;
    lean_header(conn, bhs);
}

static void lean_bytes(struct lean_conn *conn, const uint8_t *at, const uint8_t *end)
{
    struct lean *lean = conn->session->lean;
    uint32_t head_len = PDU_BHS_LEN + (conn->header_digest ? PDU_DIGEST_LEN : 0);
    while (!lean->broken) {
        if (!conn->in_body) {
            uint32_t n = min_u32(head_len - conn->bhs_have, (uint32_t)(end - at));
            memcpy(conn->bhs + conn->bhs_have, at, n);
            conn->bhs_have += n;
            at += n;
            if (conn->bhs_have < head_len)
                return;
            lean_begin(conn);
        }
        if (lean->broken || !lean_body(conn, &at, end))
            return;
        if (lean->broken)
            return;
        conn->in_body = false;
        conn->bhs_have = 0;
        lean_pdu_end(conn, conn->bhs);
    }
}

bool lean_receive(struct lean_conn *conn, bool wait)
{
    struct lean *lean = conn->session->lean;
    ssize_t got = recv(conn->fd, lean->recv_buffer, LEAN_RECV_LEN, wait ? 0 : MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        lean_break(lean, "the connection broke: %s",
                   got ? err_text(err_from_errno(errno)) : "the target closed it");
        return false;
    }
    lean->now_ns = env_now(lean->env);
    lean_bytes(conn, lean->recv_buffer, lean->recv_buffer + got);
    return true;
}
