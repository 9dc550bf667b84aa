/* What goes out: jobs become PDUs in one batch, and the batch one gather list for one system call. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/lean.h"
#include "common/base/err.h"
#include "common/iscsi/digest.h"
#include "common/iscsi/serial.h"

static void lean_flush_later(struct lean_conn *conn)
{
    struct lean *lean = conn->session->lean;
    if (!conn->flush_due) {
        conn->flush_due = true;
        lean->flush[lean->flush_count++] = conn;
    }
}

static void lean_job_add(struct lean_conn *conn, const struct lean_job *job)
{
    if (conn->job_tail - conn->job_head > conn->job_mask) {
        lean_break(conn->session->lean, "the target asks for more at once than it may");
        return;
    }
    conn->jobs[conn->job_tail++ & conn->job_mask] = *job;
    lean_flush_later(conn);
}

void lean_send_command(struct lean_session *s, uint32_t slot)
{
    if (s->waiting_count || sn_gt(s->cmd_sn, s->max_cmd_sn)) { /* R7143-4.2.2.1-19: the window is closed */
        s->waiting[(s->waiting_head + s->waiting_count++) % s->slot_count] = slot;
        return;
    }
    /* The number is taken when the header is made, but its place in the window now. */
    struct lean_job job = {.kind = LEAN_JOB_COMMAND, .slot = slot, .data_sn = s->cmd_sn++};
    lean_job_add(lean_slot_conn(s, slot), &job);
}

void lean_send_data(struct lean_conn *conn, uint32_t slot, uint32_t ttt, uint32_t offset, uint32_t len)
{
    struct lean_job job = {.kind = LEAN_JOB_DATA, .slot = slot, .ttt = ttt, .offset = offset, .left = len};
    lean_job_add(conn, &job);
}

void lean_send_pong(struct lean_conn *conn, uint32_t ttt, uint64_t lun)
{
    struct lean_job job = {.kind = LEAN_JOB_PONG, .ttt = ttt, .lun = lun};
    lean_job_add(conn, &job);
}

bool lean_send_pending(const struct lean_conn *conn)
{
    return conn->vec_at < conn->vec_count || conn->job_head != conn->job_tail;
}

/* ---- a batch in the making ---- */

struct lean_batch {
    struct lean_conn *conn;
    uint8_t *head, *tail; /* where the next go */
    uint32_t pdus, bytes;
};

static void lean_batch_vec(struct lean_conn *conn, const void *ptr, uint32_t len)
{
    struct iovec *last = conn->vec + conn->vec_count - 1;
    if (conn->vec_count && (uint8_t *)last->iov_base + last->iov_len == ptr)
        last->iov_len += len; /* headers lie one behind the other */
    else
        conn->vec[conn->vec_count++] = (struct iovec){(void *)(uintptr_t)ptr, len};
}

/* The header is at batch->head; adds its digest, the data, its padding and digest. */
static void lean_batch_pdu(struct lean_batch *batch, const uint8_t *data, uint32_t len)
{
    struct lean_conn *conn = batch->conn;
    uint32_t head_len = PDU_BHS_LEN;
    if (conn->header_digest) {
        digest_put(batch->head + PDU_BHS_LEN, digest_crc32c(batch->head, PDU_BHS_LEN));
        head_len += PDU_DIGEST_LEN;
    }
    lean_batch_vec(conn, batch->head, head_len);
    batch->head += head_len;
    if (len)
        lean_batch_vec(conn, data, len);
    uint32_t trail = pdu_pad_len(len);
    memset(batch->tail, 0, trail);
    if (len && conn->data_digest) {
        uint32_t crc = digest_update(digest_update(DIGEST_INIT, data, len), batch->tail, trail);
        digest_put(batch->tail + trail, digest_final(crc));
        trail += PDU_DIGEST_LEN;
    }
    if (trail) {
        lean_batch_vec(conn, batch->tail, trail);
        batch->tail += trail;
    }
    batch->pdus++;
    batch->bytes += head_len + len;
}

static const uint8_t *lean_slot_data(const struct lean *lean, const struct lean_slot *slot)
{
    if (slot->parameters)
        return slot->list;
    return slot->buffer ? slot->buffer : lean->data;
}

static uint32_t lean_slot_out_len(const struct lean_slot *slot)
{
    if (slot->choice.kind == PATTERN_READ)
        return 0;
    return slot->parameters ? (uint32_t)sizeof slot->list : slot->choice.len;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void lean_cdb(const struct lean *lean, struct lean_slot *slot, uint8_t *cdb)
{
    uint64_t lba = slot->choice.offset / lean->block_size;
    uint32_t blocks = slot->choice.len / lean->block_size;
    if (slot->choice.kind == PATTERN_UNMAP) {
        memset(cdb, 0, 16);
        cdb[0] = 0x42;
        be16_put(cdb + 7, sizeof slot->list);
        memset(slot->list, 0, sizeof slot->list);
        be16_put(slot->list, sizeof slot->list - 2);
        be16_put(slot->list + 2, 16);
        be64_put(slot->list + 8, lba);
        be32_put(slot->list + 16, blocks);
        slot->parameters = true;
        return;
    }
    /* READ(16) and WRITE(16), which have room for any LBA. */
    memset(cdb, 0, 16);
    cdb[0] = slot->choice.kind == PATTERN_READ ? 0x88 : 0x8a;
    be64_put(cdb + 2, lba);
    be32_put(cdb + 10, blocks);
}

/* Immediate data with the command, then unsolicited Data-Out up to FirstBurstLength, in front of everything
 * else that waits: its PDUs may be mixed with other commands', but not with this one's solicited ones. */
static void lean_batch_command(struct lean_batch *batch, const struct lean_job *job)
{
    struct lean_conn *conn = batch->conn;
    struct lean_session *s = conn->session;
    struct lean_slot *slot = s->slots + job->slot;
    slot->parameters = false;
    struct pdu_scsi_command pdu = {.opcode = PDU_OP_scsi_command,
                                   .attr = 1,
                                   .lun = s->lean->lun,
                                   .itt = slot->itt,
                                   .cmd_sn = job->data_sn,
                                   .exp_stat_sn = conn->exp_stat_sn};
    lean_cdb(s->lean, slot, pdu.cdb);
    uint32_t out_len = lean_slot_out_len(slot);
    uint32_t unsolicited = out_len ? min_u32(out_len, s->first_burst) : 0;
    uint32_t immediate = s->immediate_data ? min_u32(unsolicited, conn->segment_max) : 0;
    if (s->initial_r2t)
        unsolicited = immediate;
    pdu.read = slot->choice.kind == PATTERN_READ;
    pdu.write = out_len > 0;
    pdu.expected_data_transfer_length = pdu.read ? slot->choice.len : out_len;
    pdu.final = unsolicited == immediate;
    pdu.data_segment_length = immediate;
    pdu_scsi_command_encode(&pdu, batch->head);
    lean_batch_pdu(batch, lean_slot_data(s->lean, slot), immediate);
    slot->out_done = unsolicited;
    if (unsolicited > immediate)
        lean_send_data(conn, job->slot, PDU_TAG_RESERVED, immediate, unsolicited - immediate);
}

/* One Data-Out of the sequence; true when that was its last. */
static bool lean_batch_data(struct lean_batch *batch, struct lean_job *job)
{
    struct lean_conn *conn = batch->conn;
    struct lean_session *s = conn->session;
    struct lean_slot *slot = s->slots + job->slot;
    uint32_t len = min_u32(job->left, conn->segment_max);
    struct pdu_data_out pdu = {.opcode = PDU_OP_data_out,
                               .final = len == job->left,
                               .data_segment_length = len,
                               .lun = s->lean->lun,
                               .itt = slot->itt,
                               .ttt = job->ttt,
                               .exp_stat_sn = conn->exp_stat_sn,
                               .data_sn = job->data_sn++,
                               .buffer_offset = job->offset};
    pdu_data_out_encode(&pdu, batch->head);
    lean_batch_pdu(batch, lean_slot_data(s->lean, slot) + job->offset, len);
    job->offset += len;
    job->left -= len;
    return job->left == 0;
}

/* An answer to the target's NOP-In: same TTT and LUN, no data, immediate, its CmdSN not used up. */
static void lean_batch_pong(struct lean_batch *batch, const struct lean_job *job)
{
    struct lean_conn *conn = batch->conn;
    struct pdu_nop_out pdu;
    pdu_nop_out_init(&pdu);
    pdu.immediate = 1;
    pdu.final = 1;
    pdu.lun = job->lun;
    pdu.itt = PDU_TAG_RESERVED;
    pdu.ttt = job->ttt;
    pdu.cmd_sn = conn->session->cmd_sn;
    pdu.exp_stat_sn = conn->exp_stat_sn;
    pdu_nop_out_encode(&pdu, batch->head);
    lean_batch_pdu(batch, NULL, 0);
}

static void lean_batch_build(struct lean_conn *conn, uint64_t now)
{
    struct lean_batch batch = {.conn = conn, .head = conn->head, .tail = conn->tail};
    conn->vec_count = conn->vec_at = 0;
    while (conn->job_head != conn->job_tail && batch.pdus < LEAN_BATCH_PDUS &&
           batch.bytes < LEAN_BATCH_BYTES) {
        struct lean_job *job = conn->jobs + (conn->job_head & conn->job_mask);
        bool done = true;
        switch (job->kind) {
        case LEAN_JOB_COMMAND:
            conn->session->slots[job->slot].sent_ns = now;
            lean_batch_command(&batch, job);
            break;
        case LEAN_JOB_DATA:
            done = lean_batch_data(&batch, job);
            break;
        case LEAN_JOB_PONG:
            lean_batch_pong(&batch, job);
            break;
        }
        if (done)
            conn->job_head++;
    }
}

/* What is left after a short send. */
static void lean_batch_sent(struct lean_conn *conn, size_t len)
{
    while (conn->vec_at < conn->vec_count && len >= conn->vec[conn->vec_at].iov_len)
        len -= conn->vec[conn->vec_at++].iov_len;
    if (len) {
        struct iovec *first = conn->vec + conn->vec_at;
        first->iov_base = (uint8_t *)first->iov_base + len;
        first->iov_len -= len;
    }
}

void lean_flush(struct lean_conn *conn)
{
    struct lean *lean = conn->session->lean;
    while (!lean->broken && lean_send_pending(conn)) {
        if (conn->vec_at == conn->vec_count)
            lean_batch_build(conn, env_now(lean->env));
        struct msghdr msg = {.msg_iov = conn->vec + conn->vec_at,
                             .msg_iovlen = conn->vec_count - conn->vec_at};
        ssize_t sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent < 0)
            lean_break(lean, "the connection broke: %s", err_text(err_from_errno(errno)));
        else
            lean_batch_sent(conn, (size_t)sent);
    }
}
