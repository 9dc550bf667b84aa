/* SCSI commands: queueing, sending them as the window allows with immediate, unsolicited and solicited data,
 * and their end. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mutant.h"
#include "initiator/iscsi/internal.h"

/* ---- whose it is ---- */

void ini_command_allege(struct ini_command *c, struct ini_conn *conn)
{
    if (c->conn)
        c->conn->inflight_count--;
    list_remove(&c->node);
    c->conn = conn;
    if (conn) {
        conn->inflight_count++;
        list_push_back(&conn->inflight, &c->node);
    }
}

struct ini_command *ini_command_find(struct ini_conn *conn, uint32_t itt)
{
    struct ini_slot *slot = ini_slot_find(conn->s, itt);
    struct ini_command *c = slot && slot->kind == INI_SLOT_COMMAND ? slot->command : NULL;
    return c && c->conn == conn ? c : NULL; /* R7143-4.2.5.1-01 */
}

struct ini_command *ini_command_by_sn(struct ini_session *s, uint32_t cmd_sn)
{
    for (uint32_t i = 0; i < INI_SLOTS; i++) {
        struct ini_slot *slot = &s->slots[i];
        if (slot->kind == INI_SLOT_COMMAND && !slot->command->immediate && slot->command->cmd_sn == cmd_sn)
            return slot->command;
    }
    return NULL;
}

/* ---- the end of a command ---- */

/* Its tag is kept for a while: answers that were on their way are no fault of the target's. */
void ini_remember(struct ini_session *s, uint32_t itt)
{
    s->aborted[s->aborted_count++ % INI_ABORTED_KEPT] = itt;
}

bool ini_was_aborted(const struct ini_session *s, uint32_t itt)
{
    uint32_t n = s->aborted_count < INI_ABORTED_KEPT ? s->aborted_count : INI_ABORTED_KEPT;
    for (uint32_t i = 0; i < n; i++)
        if (s->aborted[i] == itt)
            return true;
    return false;
}

/* Reported only when nothing of it lies in a send queue and no framer fills its buffer: the caller gets its
 * buffers back with the report. */
void ini_command_end(struct ini_session *s, struct ini_command *c, enum ini_command_outcome outcome)
{
    struct ini_conn *conn = c->conn;
    c->outcome = outcome;
    c->ended = true;
    c->never_sent = !c->sent;
    if (c->sent) {
        ini_slot_release(s, c->itt);
        s->inflight--;
        if (outcome != INI_DONE_STATUS)
            ini_remember(s, c->itt);
    }
    c->sent = false;
    if (s->tmf_waiting)
        ini_tmf_waiting(s, c);
    if (conn && conn->placing == c && !conn->receiving && !conn->over) {
        framer_unplace(&conn->framer);
        conn->placing = NULL;
        c->placed = false;
    }
    ini_command_allege(c, NULL);
    list_push_back(c->unsent || c->placed ? &s->ending : &s->finished, &c->node);
}

void ini_commands_settle(struct ini_session *s)
{
    list_for_each_safe(node, &s->ending)
    {
        struct ini_command *c = list_entry(node, struct ini_command, node);
        if (c->unsent == 0 && !c->placed) {
            list_remove(&c->node);
            list_push_back(&s->finished, &c->node);
        }
    }
}

/* The session is over: all come back, but not while the host still lends their buffers to the kernel. */
void ini_commands_lost(struct ini_session *s)
{
    list_for_each(node, &s->conns) if (!list_entry(node, struct ini_conn, node)->released) return;
    ini_commands_settle(s);
    list_for_each(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        list_for_each_safe(at, &conn->inflight)
            ini_command_end(s, list_entry(at, struct ini_command, node), INI_DONE_LOST);
    }
    ini_recovery_lost(s);
    list_for_each_safe(node, &s->queue)
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

/* The next PDU's bytes. Only the last segment of a sequence may be no multiple of four (R7143-11.7.7-02):
 * where the caller's places leave less than four bytes in a row, a few are brought together in a chunk. */
static struct slice data_out_piece(struct ini_conn *conn, const struct ini_command *c, uint64_t offset,
                                   uint64_t len, uint32_t max)
{
    uint32_t most = len < max ? (uint32_t)len : max;
    struct slice piece = command_out_piece(c, offset, most);
    if (piece.len == len)
        return piece;
    if (piece.len >= 4) {
        piece.len &= ~3u;
        return piece;
    }
    struct chunk *chunk = pool_get(conn->s->pool, POOL_CLASS_MIN);
    if (!chunk) {
        ini_conn_fail(conn, "out of memory for a PDU");
        return slice_borrow(NULL, 0);
    }
    uint32_t have = 0, room = most < POOL_CLASS_MIN ? most : POOL_CLASS_MIN;
    while (have < room) {
        struct slice part = command_out_piece(c, offset + have, room - have);
        memcpy(chunk->data + have, part.ptr, part.len);
        have += part.len;
    }
    return slice_take(chunk, 0, have == len ? have : have & ~3u);
}

/* Queues Data-Out PDUs for [offset, offset + len): one sequence, its last PDU with F. */
void ini_command_data_out(struct ini_command *c, uint32_t ttt, uint64_t lun, uint64_t offset, uint64_t len)
{
    struct ini_conn *conn = c->conn; /* R7143-4.2.5.1-03 */
    struct pdu_data_out pdu;
    uint8_t bhs[PDU_BHS_LEN];
    uint32_t max = conn->keys.params.peer_max_recv_data_segment_length & ~3u; /* R7143-11.7.1-03 */
    pdu_data_out_init(&pdu);
    pdu.lun = ttt == PDU_TAG_RESERVED ? 0 : lun; /* reserved without a transfer tag */
    pdu.itt = c->itt;
    pdu.ttt = ttt;
    pdu.exp_stat_sn = conn->exp_stat_sn;
    while (len && !conn->over) {
        struct slice piece = data_out_piece(
            conn, c, MUTANT(initiator_wrong_burst) && ttt != PDU_TAG_RESERVED ? 0 : offset, len, max);
        if (!piece.len)
            break;
        pdu.buffer_offset = (uint32_t)offset;
        offset += piece.len;
        len -= piece.len;
        pdu.final = len == 0;
        pdu_data_out_encode(&pdu, bhs);
        pdu.data_sn++; /* R7143-4.2.2.4-03: counted per sequence */
        ini_queue_pdu(conn, bhs, &piece, &c->unsent);
    }
    if (offset > c->out_sent)
        c->out_sent = offset;
}

/* ---- sending a command ---- */

/* AHS of an extended CDB (RFC 7143 11.2.2.3) and of a bidirectional command's read length (11.2.2.4). Returns
 * the padded length in bytes. */
static uint32_t command_ahs(const struct ini_command *c, uint8_t *ahs)
{
    uint32_t len = 0;
    if (c->cdb_len > 16) { /* R7143-11.2.2.3-01 */
        uint16_t extra = (uint16_t)(c->cdb_len - 16);
        be16_put(ahs, (uint16_t)(extra + 1)); /* R7143-11.2.2.3-02 */
        ahs[2] = 1;
        memcpy(ahs + 4, c->cdb + 16, extra);
        len = (4u + extra + 3u) & ~3u;
    }
    if (c->in_len && c->out_len) { /* R7143-11.3.4-02 */
        be16_put(ahs + len, 5);    /* R7143-11.2.2.4-01 */
        ahs[len + 2] = 2;
        be32_put(ahs + len + 4, (uint32_t)c->in_len);
        len += 8;
    }
    return len;
}

/* What goes with the command itself. */
static struct slice command_immediate(const struct ini_command *c, const struct key_params *session,
                                      const struct key_params *conn)
{
    if (!session->immediate_data || !c->out_len)
        return slice_borrow(NULL, 0);
    uint64_t most =
        min_u64(min_u64(c->out_len, session->first_burst_length), conn->peer_max_recv_data_segment_length);
    return command_out_piece(c, 0, (uint32_t)most);
}

static void command_header(const struct ini_conn *conn, const struct ini_command *c, bool final, uint8_t *bhs)
{
    struct pdu_scsi_command pdu;
    pdu_scsi_command_init(&pdu);
    pdu.immediate = c->immediate;
    pdu.final = final; /* F: no unsolicited Data-Out follows (R7143-11.3.1-01) */
    pdu.read = c->in_len != 0;
    pdu.write = c->out_len != 0;
    pdu.attr = c->attr ? c->attr : 1;
    if (conn->s->params.iscsi_protocol_level >= 2) /* R7144-5.1.1-01 */
        pdu.priority = c->priority & 0xf;
    pdu.lun = c->lun;
    pdu.itt = c->itt;
    pdu.expected_data_transfer_length = (uint32_t)(c->out_len ? c->out_len : c->in_len); /* R7143-11.3.4-01 */
    pdu.cmd_sn = c->cmd_sn;
    pdu.exp_stat_sn = conn->exp_stat_sn;
    memcpy(pdu.cdb, c->cdb, sizeof pdu.cdb);
    pdu_scsi_command_encode(&pdu, bhs);
}

/* For the first time, or again: then everything in it is as it was (R7143-7.2.1-04), and its data follows
 * from the start. */
void ini_command_send(struct ini_conn *conn, struct ini_command *c)
{
    const struct key_params *p = &conn->s->params;
    uint8_t bhs[PDU_BHS_LEN], ahs[TX_AHS_MAX] = {0};
    ini_command_allege(c, conn);
    c->max_recv_epoch = conn->max_recv_epoch;
    uint64_t unsolicited = p->initial_r2t ? 0 : min_u64(c->out_len, p->first_burst_length);
    struct slice data = command_immediate(c, p, &conn->keys.params);
    uint32_t immediate_len = data.len; /* tx_add takes the slice over */
    bool final = unsolicited <= immediate_len;
    c->out_sent = immediate_len;
    command_header(conn, c, final, bhs);
    uint32_t ahs_len = command_ahs(c, ahs);
    if (tx_add(&conn->tx, bhs, ahs_len ? ahs : NULL, ahs_len, immediate_len ? &data : NULL, &c->unsent) !=
        0) {
        ini_conn_fail(conn, "out of memory for a PDU");
        return;
    }
    if (!final)
        ini_command_data_out(c, PDU_TAG_RESERVED, c->lun, immediate_len, unsolicited - immediate_len);
}

void ini_command_retry(struct ini_conn *conn, struct ini_command *c)
{
    conn->s->counters.retries++;
    if (!c->immediate)
        ini_retry_note(conn, c->cmd_sn);
    ini_command_send(conn, c);
}

static void command_first(struct ini_session *s, struct ini_conn *conn, struct ini_command *c, uint32_t itt)
{
    c->itt = itt;
    c->sent = true;
    c->order = s->order++;
    c->cmd_sn = s->cmd_sn;
    ini_slot_find(s, itt)->command = c;
    s->inflight++;
    if (!c->immediate) { /* R7143-4.2.2.1-01: immediate commands do not advance it */
        ini_cmd_sn_used(s);
        ini_retry_sent(conn, c->cmd_sn);
    }
    ini_command_send(conn, c);
}

void ini_pump(struct ini_session *s)
{
    while (!s->over && !list_empty(&s->queue)) {
        struct ini_command *c = list_first(&s->queue, struct ini_command, node);
        if (!c->immediate &&
            sn_gt(s->cmd_sn, s->max_cmd_sn + MUTANT(initiator_overruns))) /* R7143-4.2.2.1-19 */
            break;
        if (!c->immediate && s->retried && ini_retry_holds(s)) /* R7143-4.2.2.1-23 */
            break;
        struct ini_conn *conn = ini_conn_pick(s);
        uint32_t itt = conn ? ini_slot_take(s, INI_SLOT_COMMAND) : PDU_TAG_RESERVED;
        if (itt == PDU_TAG_RESERVED)
            break;
        command_first(s, conn, c, itt);
    }
}

/* The engine's own members, from `conn` on. */
static void command_reset(struct ini_session *s, struct ini_command *c)
{
    size_t own = offsetof(struct ini_command, conn);
    memset((char *)c + own, 0, sizeof *c - own);
    c->in_done = 0;
    c->status = c->response = 0;
    c->sense_len = c->residual = c->in_residual = 0;
    c->underflow = c->overflow = c->in_underflow = c->in_overflow = false;
    c->status_qualifier = 0;
    c->submitted_ns = env_now(s->env);
}

/* A session that has lost its last connection takes commands too: they wait for the next one. One that is
 * about to be logged out does not. */
static bool command_welcome(struct ini_session *s)
{
    if (s->over || s->state == INI_Q1_FREE || s->logout_wanted)
        return false;
    return s->state == INI_Q4_FAILED || s->cleanups_used || ini_conn_pick(s);
}

int ini_submit(struct ini_session *s, struct ini_command *c)
{
    uint32_t ahs_max = TX_AHS_MAX - 4 - (c->in_len && c->out_len ? 8 : 0);
    if (!command_welcome(s))
        return ERR_CLOSED;
    if (c->cdb_len > 16 + ahs_max || c->cdb_len > INI_CDB_MAX || c->in_len > UINT32_MAX ||
        c->out_len > UINT32_MAX)
        return ERR_INVALID;
    command_reset(s, c);
    s->outstanding++;
    if (c->immediate)
        list_push_front(&s->queue, &c->node);
    else
        list_push_back(&s->queue, &c->node);
    ini_pump(s);
    return 0;
}
