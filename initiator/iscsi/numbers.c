/* Numbers at recovery levels 1 and 2: what is missing is noticed, asked for by SNACK (RFC 7143 11.16), and
 * what came before its turn waits. Commands that the target has not acknowledged are sent again (7.2.1). At
 * level 0 a gap in DataSN ends the session (data.c) and gaps in StatSN are only bounded. */
#include <string.h>

#include "initiator/iscsi/internal.h"

enum { SNACK_DATA = 0, SNACK_STATUS = 1, SNACK_DATA_ACK = 2, SNACK_R_DATA = 3 };

static void snack_send(struct ini_conn *conn, struct pdu_snack_request *pdu)
{
    uint8_t bhs[PDU_BHS_LEN];
    pdu->exp_stat_sn = conn->exp_stat_sn;
    pdu_snack_request_encode(pdu, bhs);
    conn->s->counters.snacks[pdu->type]++;
    ini_queue_pdu(conn, bhs, NULL, NULL); /* R7143-4.2.5.1-05 */
}

/* When to look whether a SNACK has brought anything. */
static void scan_at_last(struct ini_session *s, uint64_t when)
{
    if (when < s->scan_ns)
        s->scan_ns = when;
}

/* ---- data ---- */

/* The first run of numbers that is missing; only when there is one. */
static void data_gap(const struct ini_command *c, uint32_t *begin, uint32_t *len)
{
    *begin = c->exp_data_sn;
    if (c->data_ahead) {
        *len = 1;
        while (!(c->data_ahead >> (*len - 1) & 1))
            ++*len;
    } else {
        *len = c->need_data_sn - c->exp_data_sn;
    }
}

/* What came since the last acknowledgement is given up, the target cuts it anew: R7143-11.16.3-01 */
static void snack_r_data(struct ini_command *c, struct pdu_snack_request *pdu)
{
    struct ini_session *s = c->conn->s;
    do
        s->snack_tags++;
    while (s->snack_tags == 0 || s->snack_tags == PDU_TAG_RESERVED); /* R7143-11.16.5-01 */
    c->snack_tag = s->snack_tags;
    c->max_recv_epoch = c->conn->max_recv_epoch;
    c->exp_data_sn = c->need_data_sn = c->acked_sn;
    c->in_done = c->acked_len;
    c->data_ahead = c->ahead_len = 0;
    c->ack_due = false; /* it comes again with the data */
    c->recovered = true;
    pdu->type = SNACK_R_DATA;
    pdu->ttt = c->snack_tag;
    pdu->beg_run = pdu->run_length = 0; /* R7143-11.16.6-01, R7143-11.16.7-01 */
    ini_held_forget(c->conn, c->itt);
}

static void snack_data_now(struct ini_command *c)
{
    struct pdu_snack_request pdu;
    uint64_t now = env_now(c->conn->env);
    pdu_snack_request_init(&pdu);
    pdu.type = SNACK_DATA;
    pdu.lun = c->lun;
    pdu.itt = c->itt; /* R7143-11.16.4-01 */
    pdu.ttt = PDU_TAG_RESERVED;
    data_gap(c, &pdu.beg_run, &pdu.run_length);
    c->snack_end = pdu.beg_run + pdu.run_length;
    if (c->in_len && c->max_recv_epoch != c->conn->max_recv_epoch)
        snack_r_data(c, &pdu);
    c->snack_ns = now;
    scan_at_last(c->conn->s, now + ini_recovery_timeout(c->conn->s));
    snack_send(c->conn, &pdu);
}

void ini_snack_data(struct ini_command *c)
{
    if (!c->snack_ns && !c->snack_refused) /* one at a time */
        snack_data_now(c);
}

void ini_snack_progress(struct ini_command *c)
{
    bool missing = ini_data_missing(c);
    if (!missing || (c->snack_ns && !c->snack_tag && sn_ge(c->exp_data_sn, c->snack_end)))
        c->snack_ns = 0; /* what was asked for is here */
    if (missing)
        ini_snack_data(c);
}

/* An R-Data SNACK is out, and the target may cut by a length that we declared since: what came could be of
 * the old cut, and its numbers mean other bytes in the new one. */
static bool cut_in_doubt(const struct ini_command *c)
{
    return c->snack_tag && (c->max_recv_epoch != c->conn->max_recv_epoch || c->conn->text.open);
}

void ini_snack_ack(struct ini_command *c)
{
    struct pdu_snack_request pdu;
    if (ini_data_missing(c) || sn_lt(c->exp_data_sn, c->ack_sn)) /* R7143-11.7.2-07 */
        return;
    if (cut_in_doubt(c)) { /* the target would forget what is not here: if nothing follows, all of it anew */
        c->snack_ns = env_now(c->conn->env);
        scan_at_last(c->conn->s, c->snack_ns + ini_recovery_timeout(c->conn->s));
        return;
    }
    c->ack_due = false;
    c->acked_sn = c->exp_data_sn;
    c->acked_len = c->in_done;
    pdu_snack_request_init(&pdu);
    pdu.type = SNACK_DATA_ACK;
    pdu.lun = c->ack_lun;
    pdu.itt = PDU_TAG_RESERVED; /* R7143-11.16.4-01 */
    pdu.ttt = c->ack_ttt;       /* R7143-11.16.5-03 */
    pdu.beg_run = c->exp_data_sn;
    pdu.run_length = 0;
    snack_send(c->conn, &pdu);
}

/* ---- responses ---- */

static void held_free(struct ini_conn *conn, struct ini_held *held)
{
    list_remove(&held->node);
    slice_release(&held->data);
    conn->held_count--;
    env_free(conn->env, held);
}

void ini_held_drop(struct ini_conn *conn)
{
    list_for_each_safe(node, &conn->held) held_free(conn, list_entry(node, struct ini_held, node));
}

/* A status that a later one, with another tag, will replace. */
void ini_held_forget(struct ini_conn *conn, uint32_t itt)
{
    list_for_each_safe(node, &conn->held)
    {
        struct ini_held *held = list_entry(node, struct ini_held, node);
        uint8_t opcode = pdu_opcode(held->bhs);
        if (pdu_itt(held->bhs) == itt && (opcode == PDU_OP_scsi_response || opcode == PDU_OP_data_in))
            held_free(conn, held);
    }
}

/* Keeps a copy, sorted. What finds no room is simply missing: it is asked for later. */
static void held_add(struct ini_conn *conn, uint32_t stat_sn, const struct framer_pdu *pdu)
{
    struct list_node *before = &conn->held;
    list_for_each(node, &conn->held)
    {
        uint32_t other = list_entry(node, struct ini_held, node)->stat_sn;
        if (other == stat_sn)
            return;
        if (sn_gt(other, stat_sn)) {
            before = node;
            break;
        }
    }
    uint32_t len = pdu_opcode(pdu->bhs) == PDU_OP_data_in ? 0 : pdu->data_len;
    struct ini_held *held = conn->held_count < INI_HELD_MAX ? env_alloc(conn->env, sizeof *held) : NULL;
    struct chunk *chunk = held && len ? pool_get(conn->s->pool, len) : NULL;
    if (!held || (len && !chunk)) {
        env_free(conn->env, held);
        return;
    }
    held->stat_sn = stat_sn;
    memcpy(held->bhs, pdu->bhs, PDU_BHS_LEN);
    if (len) {
        memcpy(chunk->data, pdu->data.ptr, len);
        held->data = slice_take(chunk, 0, len);
    }
    conn->held_count++;
    list_insert_between(before->prev, &held->node, before);
}

/* The first run of responses that is missing below stat_need. False: none is. */
static bool status_gap(const struct ini_conn *conn, uint32_t *begin, uint32_t *len)
{
    uint32_t at = conn->exp_stat_sn, end = conn->stat_need;
    list_for_each(node, &conn->held)
    {
        uint32_t sn = list_entry(node, struct ini_held, node)->stat_sn;
        if (sn != at) {
            end = sn;
            break;
        }
        at++;
    }
    *begin = at;
    *len = end - at;
    return sn_gt(end, at);
}

static void status_snack_now(struct ini_conn *conn)
{
    struct pdu_snack_request pdu;
    uint64_t now = env_now(conn->env);
    pdu_snack_request_init(&pdu);
    pdu.type = SNACK_STATUS;
    pdu.itt = PDU_TAG_RESERVED; /* R7143-11.16.4-01 */
    pdu.ttt = PDU_TAG_RESERVED;
    if (!status_gap(conn, &pdu.beg_run, &pdu.run_length))
        return;
    conn->stat_snack_end = pdu.beg_run + pdu.run_length;
    conn->stat_snack_ns = now;
    scan_at_last(conn->s, now + ini_recovery_timeout(conn->s));
    snack_send(conn, &pdu);
}

/* All below `end` exist. */
static void status_need(struct ini_conn *conn, uint32_t end)
{
    uint32_t begin, len;
    if (sn_gt(end, conn->stat_need))
        conn->stat_need = end;
    if (!conn->stat_snack_ns && status_gap(conn, &begin, &len))
        status_snack_now(conn);
}

/* A response came: has the gap closed, is there another? */
static void status_progress(struct ini_conn *conn)
{
    uint32_t begin, len;
    bool gap = status_gap(conn, &begin, &len);
    if (!gap || sn_ge(begin, conn->stat_snack_end)) {
        conn->stat_snack_ns = 0;
        conn->stat_tries = 0;
    }
    if (gap && !conn->stat_snack_ns)
        status_snack_now(conn);
}

bool ini_status_old(const struct ini_conn *conn, uint32_t stat_sn)
{
    return conn->s->level >= 1 && sn_lt(stat_sn, conn->exp_stat_sn);
}

/* Level 0: gaps are told by nothing but the number, and some targets count oddly. */
static bool status_turn_0(struct ini_conn *conn, uint32_t stat_sn)
{
    if (!sn_ge(stat_sn, conn->exp_stat_sn))
        return true;
    if (sn_diff(stat_sn, conn->exp_stat_sn) > (int32_t)INI_STAT_SN_GAP_MAX) { /* R7143-4.2.2.2-04 */
        ini_fail(conn->s, "answers from the target are missing (StatSN)");
        return false;
    }
    conn->exp_stat_sn = stat_sn + 1;
    return true;
}

bool ini_status_turn(struct ini_conn *conn, uint32_t stat_sn, const struct framer_pdu *pdu, bool ready)
{
    if (conn->s->level == 0)
        return status_turn_0(conn, stat_sn);
    int32_t ahead = sn_diff(stat_sn, conn->exp_stat_sn);
    if (ahead < 0) /* R7143-7.9-05: a copy */
        return false;
    if (ahead > (int32_t)INI_STAT_SN_GAP_MAX) { /* R7143-4.2.2.2-04 */
        ini_conn_fail(conn, "answers from the target are missing (StatSN)");
        return false;
    }
    if (ahead > 0 || !ready) { /* R7143-7.9-04: not acknowledged before its data is here */
        held_add(conn, stat_sn, pdu);
        status_need(conn, stat_sn + 1);
        return false;
    }
    conn->exp_stat_sn++;
    if (sn_gt(conn->exp_stat_sn, conn->stat_need))
        conn->stat_need = conn->exp_stat_sn;
    status_progress(conn);
    return true;
}

void ini_status_next(struct ini_conn *conn, uint32_t stat_sn)
{
    if (conn->s->level == 0 || !sn_gt(stat_sn, conn->exp_stat_sn))
        return;
    if (sn_diff(stat_sn, conn->exp_stat_sn) > (int32_t)INI_STAT_SN_GAP_MAX)
        ini_conn_fail(conn, "answers from the target are missing (StatSN)");
    else
        status_need(conn, stat_sn);
}

/* Held responses whose turn has come, in order; one that still waits for data stops it. */
void ini_held_release(struct ini_conn *conn)
{
    while (!conn->over && !list_empty(&conn->held)) {
        struct ini_held *held = list_first(&conn->held, struct ini_held, node);
        struct framer_pdu pdu = {.bhs = held->bhs, .data = held->data, .data_len = held->data.len};
        uint32_t before = conn->exp_stat_sn;
        if (sn_gt(held->stat_sn, before))
            return;
        bool old = sn_lt(held->stat_sn, before);
        list_remove(&held->node);
        conn->held_count--;
        if (pdu_opcode(held->bhs) == PDU_OP_data_in)
            ini_data_in_status(conn, held->bhs);
        else
            ini_dispatch(conn, &pdu);
        slice_release(&held->data);
        env_free(conn->env, held);
        if (!old && conn->exp_stat_sn == before)
            return; /* not ready: a copy of it is held again */
    }
}

/* ---- damage ---- */

/* Where a StatSN is used up; of a Data-In it is asked for together with the data. */
static bool uses_stat_sn(const uint8_t *bhs)
{
    uint8_t opcode = pdu_opcode(bhs);
    return opcode != PDU_OP_r2t && opcode != PDU_OP_data_in &&
           !(opcode == PDU_OP_nop_in && pdu_itt(bhs) == PDU_TAG_RESERVED);
}

void ini_digest_bad(struct ini_conn *conn, const struct framer_pdu *pdu)
{
    struct ini_session *s = conn->s;
    s->counters.digest_errors++;
    if (s->level == 0) { /* the session starts anew: R7143-7.8-06 */
        ini_conn_fail(conn, "a data digest from the target is wrong");
        return;
    }
    /* The PDU is dropped whole (R7143-7.8-06, R7143-7.8-12); its header, whose digest is right, only tells
     * what to ask for. */
    if (pdu_opcode(pdu->bhs) == PDU_OP_data_in) {
        struct pdu_data_in data;
        pdu_data_in_decode(pdu->bhs, &data);
        struct ini_command *c = ini_command_find(conn, data.itt);
        uint32_t ahead = c ? data.data_sn - c->exp_data_sn : UINT32_MAX;
        if (ahead > INI_STAT_SN_GAP_MAX)
            return; /* a copy, or nobody's */
        if (sn_gt(data.data_sn + 1, c->need_data_sn))
            c->need_data_sn = data.data_sn + 1;
        ini_snack_data(c); /* R7143-7.8-07 */
    } else if (uses_stat_sn(pdu->bhs)) {
        uint32_t stat_sn = be32_get(pdu->bhs + 24);
        if (sn_ge(stat_sn, conn->exp_stat_sn) &&
            sn_diff(stat_sn, conn->exp_stat_sn) <= (int32_t)INI_STAT_SN_GAP_MAX)
            status_need(conn, stat_sn + 1); /* R7143-7.8-11 */
    }
}

void ini_snack_rejected(struct ini_conn *conn, const uint8_t *bhs)
{
    struct pdu_snack_request pdu;
    pdu_snack_request_decode(bhs, &pdu);
    struct ini_command *c = ini_command_find(conn, pdu.itt);
    if (pdu.type == SNACK_STATUS) {
        if (conn->stat_snack_ns && pdu.beg_run == conn->exp_stat_sn)
            ini_conn_fail(conn, "the target cannot send a response again");
        return;
    }
    if (!c || pdu.type == SNACK_DATA_ACK)
        return;
    c->snack_refused = true; /* R7143-7.8-10: its status decides, unless it is good */
    c->snack_ns = 0;
    c->snack_tag = 0;
    ini_held_release(conn);
}

/* ---- time ---- */

static void scan_command(struct ini_command *c, uint64_t now)
{
    struct ini_conn *conn = c->conn;
    uint64_t due = c->snack_ns + ini_recovery_timeout(conn->s);
    if (!c->snack_ns)
        return;
    if (now < due) {
        scan_at_last(conn->s, due);
    } else if (++c->tries > INI_TRIES_MAX) {
        ini_conn_fail(conn, "the target does not send missing data again");
    } else {
        if (!c->in_len) { /* R7143-7.1.4.1-01: a late R2T is the target's affair */
            c->snack_ns = 0;
            return;
        }
        if (c->snack_tag) /* nothing came of it: with a tag of its own, once more */
            c->max_recv_epoch = conn->max_recv_epoch - 1;
        snack_data_now(c);
    }
}

static void scan_conn(struct ini_conn *conn, uint64_t now)
{
    uint64_t due = conn->stat_snack_ns + ini_recovery_timeout(conn->s);
    if (conn->stat_snack_ns && now < due) {
        scan_at_last(conn->s, due);
    } else if (conn->stat_snack_ns && ++conn->stat_tries > INI_TRIES_MAX) {
        ini_conn_fail(conn, "the target does not send a missing response again");
    } else if (conn->stat_snack_ns) {
        status_snack_now(conn);
    }
    list_for_each_safe(node, &conn->inflight)
    {
        if (conn->over)
            return;
        scan_command(list_entry(node, struct ini_command, node), now);
    }
}

/* ExpCmdSN stands still. Is the command lost, or only slow? A ping on its connection goes the same way: when
 * that is answered and the number has still not been reached, it is lost, and only then it is sent again
 * (R7143-7.2.1-01). */
static void ack_ask(struct ini_session *s, struct ini_conn *conn, uint32_t cmd_sn)
{
    uint32_t itt;
    if (conn->asking_ack || !ini_conn_may_ask(conn) || ini_ping_on(conn, NULL, 0, true, &itt) != 0 ||
        conn->over)
        return;
    conn->asking_ack = true;
    ini_slot_find(s, itt)->asks_ack = true;
    ini_slot_find(s, itt)->ack_sn = cmd_sn;
}

void ini_ack_answer(struct ini_session *s, uint32_t cmd_sn)
{
    struct ini_command *c = s->exp_cmd_sn == cmd_sn ? ini_command_by_sn(s, cmd_sn) : NULL;
    if (!c || !c->conn)
        return;
    if (++s->ack_tries > INI_TRIES_MAX) {
        s->ack_tries = 0;
        ini_conn_fail(c->conn, "the target does not take a command");
        return;
    }
    ini_command_retry(c->conn, c); /* R7143-7.2.1-05: same connection, R7143-4.2.2.1-21: same number */
}

static void acknowledge_tick(struct ini_session *s, uint64_t now)
{
    if (now < s->ack_ns)
        return;
    s->ack_ns = now + ini_recovery_timeout(s);
    if (s->exp_cmd_sn == s->cmd_sn) {
        s->ack_ns = UINT64_MAX;
        s->ack_tries = 0;
    } else if (s->exp_cmd_sn != s->acked_sn) {
        s->acked_sn = s->exp_cmd_sn;
        s->ack_tries = 0;
    } else if (s->cleanups_used == 0) { /* else those numbers are being dealt with */
        struct ini_command *c = ini_command_by_sn(s, s->exp_cmd_sn);
        struct ini_conn *conn = c ? c->conn : ini_retry_conn(s, s->exp_cmd_sn);
        if (!c && !conn && !ini_filling(s, s->exp_cmd_sn))
            conn = ini_conn_pick(s);
        if (c && conn)
            ack_ask(s, conn, s->exp_cmd_sn);
        else if (conn) /* aborted before it arrived: a NOP-Out takes its place (R7143-7.3-05) */
            ini_plug(conn, s->exp_cmd_sn);
    }
}

/* The last status of a connection can be lost without anything behind it that would tell. */
uint64_t ini_probe_deadline(const struct ini_conn *conn)
{
    const struct ini_session *s = conn->s;
    uint64_t since = conn->last_heard_ns > conn->probed_ns ? conn->last_heard_ns : conn->probed_ns;
    if (s->level == 0 || conn->inflight_count == 0 || s->scan_ns != UINT64_MAX || !ini_conn_usable(conn))
        return UINT64_MAX;
    return since + INI_PROBE_TIMES * ini_recovery_timeout(s);
}

void ini_numbers_tick(struct ini_session *s, uint64_t now)
{
    if (s->level == 0)
        return;
    acknowledge_tick(s, now);
    if (now < s->scan_ns || s->over)
        return;
    s->scan_ns = UINT64_MAX;
    list_for_each_safe(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        if (ini_conn_up(conn))
            scan_conn(conn, now);
    }
}
