/* Data-Out PDUs (RFC 7143 11.7): which task and sequence they belong to, whether they are in order, and where
 * their bytes go. The same judgement is made twice, when the header is there (to place the data) and when the
 * data is: between the two the task may have been aborted. LUN is not compared: some initiators leave it
 * zero.
 *
 * At recovery level 1 and above a PDU that was lost costs the rest of its sequence, which is dropped up to
 * its F bit (or until patience ends) and then asked for by a recovery R2T. */
#include "common/base/mutant.h"
#include "target/iscsi/conn_internal.h"

#define ASC_DATA_OFFSET_ERROR 0x4b
#define ASCQ_DATA_OFFSET      0x05
#define ASC_PHASE             0x0c /* unsolicited data: 0C/0C unexpected, 0C/0D incorrect amount */
#define ASCQ_UNEXPECTED       0x0c
#define ASCQ_AMOUNT           0x0d
#define ASC_PROTOCOL_CRC      0x47
#define ASCQ_PROTOCOL_CRC     0x05

enum out_verdict {
    OUT_TAKE,   /* in order: its bytes go to dest */
    OUT_EARLY,  /* unsolicited, for a command that waits for its turn */
    OUT_LOST,   /* one before it was lost, or its own bytes were: the sequence will be asked for again */
    OUT_DROP,   /* nothing is said: the task has ended, or is ending */
    OUT_BAD,    /* in a sequence, but wrong: asc/ascq, and a Reject when reason says so */
    OUT_UNKNOWN /* belongs to nothing */
};

struct out_judgement {
    enum out_verdict verdict;
    struct tgt_task *task;
    struct held_pdu *held; /* EARLY */
    struct out_r2t *r2t;   /* NULL: unsolicited */
    uint8_t *dest;
    struct slice *memory; /* what dest lies in */
    bool ends;            /* the sequence is over with this PDU */
    uint8_t asc, ascq;
    enum reject_reason reason;
    const char *why;
};

static void bad(struct out_judgement *j, uint8_t asc, uint8_t ascq, enum reject_reason reason,
                const char *why)
{
    j->verdict = OUT_BAD;
    j->asc = asc;
    j->ascq = ascq;
    j->reason = reason;
    j->why = why;
}

/* Rules that both kinds of sequences share: number, place, length, and F exactly at the end. */
static void judge_order(struct out_judgement *j, const struct pdu_data_out *pdu, uint32_t len, uint32_t sn,
                        uint64_t at, uint32_t left)
{
    if (pdu->data_sn != sn) /* R7143-7.9-02: as if the one between had been lost */
        bad(j, ASC_PROTOCOL_CRC, ASCQ_PROTOCOL_CRC, REJECT_NONE, "DataSN");
    else if (pdu->buffer_offset != at) /* R7143-11.7.6-02 */
        bad(j, ASC_DATA_OFFSET_ERROR, ASCQ_DATA_OFFSET, REJECT_FIELD, "Buffer Offset");
    else if (len > left) /* R7143-4.2.5.2-07, R7143-11.4.7.2-02 */
        bad(j, ASC_PHASE, ASCQ_AMOUNT, j->r2t ? REJECT_FIELD : REJECT_NONE, "more data than asked for");
    else if (pdu->final ? len < left : len == left && j->r2t) /* R7143-11.8-04, R7143-11.4.7.2-05 */
        bad(j, ASC_PHASE, ASCQ_AMOUNT, j->r2t ? REJECT_PROTOCOL : REJECT_NONE, "F bit");
    else
        j->verdict = OUT_TAKE;
}

/* R7143-7.9-02: a gap means that the one between was lost. The number of a lost one stays expected, so that
 * all that follows in its sequence is lost with it. */
static bool lost_before(const struct tgt_task *task, uint32_t data_sn, uint32_t expected)
{
    return session_level(task->session) > 0 && data_sn != expected;
}

static void judge_unsolicited(struct tgt_conn *conn, const struct pdu_data_out *pdu, uint32_t len,
                              struct out_judgement *j)
{
    struct tgt_task *task = iscsi_task_find(conn->session, pdu->itt);
    if (!task && (j->held = sequence_held(conn->session, conn, pdu->itt)) != NULL) {
        j->verdict = OUT_EARLY;
        return;
    }
    if (!task || task->conn != conn) {
        j->verdict = retired_match(conn->session, pdu->itt, pdu->ttt, false) ? OUT_DROP : OUT_UNKNOWN;
        j->why = "Initiator Task Tag";
        return;
    }
    j->task = task;
    j->ends = pdu->final;
    /* R7143-7.2.1-03; or it comes after it was given up */
    if (!task->unsolicited &&
        (task->repeated || retired_match(conn->session, pdu->itt, PDU_TAG_RESERVED, false))) {
        j->verdict = OUT_DROP;
        return;
    }
    if (!task->unsolicited) { /* R7143-4.2.5.2-06, R7143-11.4.7.2-01 */
        bad(j, ASC_PHASE, ASCQ_UNEXPECTED, REJECT_NONE, "unexpected unsolicited data");
        return;
    }
    if (task->failed || !task->first.chunk) {
        j->verdict = OUT_DROP;
        return;
    }
    if (lost_before(task, pdu->data_sn, task->unsolicited_sn)) {
        j->verdict = OUT_LOST;
        return;
    }
    judge_order(j, pdu, len, task->unsolicited_sn, task->unsolicited_have,
                task->unsolicited_len - task->unsolicited_have);
    j->dest = task->first.ptr + task->unsolicited_have;
    j->memory = &task->first;
}

static struct tgt_task *task_of_tag(struct tgt_conn *conn, const struct pdu_data_out *pdu)
{
    uint32_t index = pdu->ttt >> 16;
    struct tgt_task *task = index < conn->r->task_count ? conn->r->tasks[index] : NULL;
    if (!task || task->session != conn->session || task->conn != conn || task->itt != pdu->itt)
        return NULL;
    const struct out_r2t *r2t = &task->r2ts[pdu->ttt & 3];
    return r2t->open && r2t->ttt == pdu->ttt ? task : NULL;
}

static void judge_solicited(struct tgt_conn *conn, const struct pdu_data_out *pdu, uint32_t len,
                            struct out_judgement *j)
{
    struct tgt_task *task = task_of_tag(conn, pdu);
    if (!task) { /* R7143-10.7-02 for tasks that an abort has ended */
        j->verdict = retired_match(conn->session, pdu->itt, pdu->ttt, false) ? OUT_DROP : OUT_UNKNOWN;
        j->why = "Target Transfer Tag";
        return;
    }
    struct out_r2t *r2t = &task->r2ts[pdu->ttt & 3];
    struct out_slot *slot = &task->slots[r2t->slot];
    uint32_t left = r2t->len - r2t->have;
    j->task = task;
    j->r2t = r2t;
    j->ends = pdu->final;
    if (task->failed || !slot->span) {
        j->verdict = OUT_DROP;
        return;
    }
    if (lost_before(task, pdu->data_sn, r2t->data_sn)) {
        j->verdict = OUT_LOST;
        return;
    }
    judge_order(j, pdu, len, r2t->data_sn, r2t->offset + r2t->have, left);
    j->ends |= len >= left; /* whatever F says: no more was asked for */
    j->dest = slot->span->data.ptr + (r2t->offset + r2t->have - slot->offset);
    j->memory = &slot->span->data;
}

static void judge(struct tgt_conn *conn, const struct pdu_data_out *pdu, uint32_t len,
                  struct out_judgement *j)
{
    *j = (struct out_judgement){.verdict = OUT_UNKNOWN};
    if (conn->session->discovery)
        j->why = "Data-Out in a discovery session";
    else if (pdu->ttt == PDU_TAG_RESERVED)
        judge_unsolicited(conn, pdu, len, j);
    else
        judge_solicited(conn, pdu, len, j);
}

void data_out_header(struct tgt_conn *conn, struct framer_pdu *pdu)
{
    struct pdu_data_out out;
    struct out_judgement j;
    pdu_data_out_decode(pdu->bhs, &out);
    judge(conn, &out, pdu->data_len, &j);
    slice_release(&conn->placed);
    if (j.verdict == OUT_EARLY && pdu->data_len)
        return; /* a copy is made when it is whole */
    if (j.verdict != OUT_TAKE) {
        framer_skip(&conn->framer);
        return;
    }
    /* The connection holds the memory itself: the task may go before the data has come. */
    conn->placed = slice_sub(j.memory, 0, j.memory->len);
    framer_place(&conn->framer, j.dest);
}

/* The PDU's place in its sequence is used up, be its bytes good or not (R7143-7.3-06). */
static void account(struct out_judgement *j, uint32_t len)
{
    struct tgt_task *task = j->task;
    struct out_r2t *r2t = j->r2t;
    if (!r2t) {
        task->unsolicited_have += len;
        task->unsolicited_sn++;
        task->unsolicited &= !j->ends;
        return;
    }
    r2t->have += len;
    r2t->data_sn++;
    if (j->ends) {
        r2t->open = false;
        task->r2t_open--;
    }
}

static void take(struct tgt_conn *conn, struct out_judgement *j, uint32_t len)
{
    struct tgt_task *task = j->task;
    conn->session->write_bytes += len;
    conn->r->counters.write_bytes += len;
    account(j, len);
    data_out_watch(task);
    if (!j->ends)
        return;
    if (j->r2t)
        data_out_arrived(task, j->r2t);
    else if (task->out_wanted)
        data_out_ready(task);
}

/* The rest of the sequence is dropped; at its end what is missing is asked for. R7143-7.3-06: the numbers
 * that are used up do not matter any more. */
static void lose(struct tgt_conn *conn, struct out_judgement *j)
{
    struct tgt_task *task = j->task;
    conn->r->counters.discarded_pdus++;
    data_out_watch(task);
    if (j->r2t) {
        if (j->ends)
            data_out_recover(task, j->r2t); /* R7143-7.8-03 */
        return;
    }
    if (!j->ends)
        return;
    task->unsolicited = false; /* what is missing is asked for like all that follows the first burst */
    if (task->out_wanted)
        data_out_ready(task);
}

/* Unsolicited data that comes before its command's turn (several connections, or a gap). */
static void early(struct held_pdu *held, const struct pdu_data_out *pdu, const struct framer_pdu *got)
{
    bool good = !held->first_lost && held->first.chunk && !got->data_digest_bad && !got->skipped &&
                pdu->data_sn == held->first_sn && pdu->buffer_offset == held->first_have &&
                got->data_len <= held->first.len - held->first_have;
    if (!good)
        held->first_lost = true;
    else if (got->data_len)
        memcpy(held->first.ptr + held->first_have, got->data.ptr, got->data_len);
    if (good) {
        held->first_have += got->data_len;
        held->first_sn++;
    }
    held->first_due = !pdu->final;
}

/* Closes the sequence of a task that is ending anyway. */
static void drain(struct tgt_conn *conn, const struct pdu_data_out *pdu, struct out_judgement *j)
{
    conn->r->counters.discarded_pdus++;
    if (!j->task) {
        retired_match(conn->session, pdu->itt, pdu->ttt, pdu->final);
        return;
    }
    if (!j->ends)
        return;
    if (!j->r2t) {
        j->task->unsolicited = j->task->repeated = false;
        retired_match(conn->session, pdu->itt, pdu->ttt, pdu->final);
    } else if (j->r2t->open) {
        j->r2t->open = false;
        j->task->r2t_open--;
        if (!pdu->final)
            retired_add(conn->session, pdu->itt, pdu->ttt);
    }
}

void data_out_pdu(struct tgt_conn *conn, struct framer_pdu *pdu)
{
    struct pdu_data_out out;
    struct out_judgement j;
    pdu_data_out_decode(pdu->bhs, &out);
    keep_acknowledge(conn, out.exp_stat_sn);
    judge(conn, &out, pdu->data_len, &j);
    bool recovers = session_level(conn->session) > 0;
    if (j.verdict == OUT_TAKE && pdu->skipped && pdu->data_len) { /* nothing of ours when its header came */
        bad(&j, ASC_PROTOCOL_CRC, ASCQ_PROTOCOL_CRC, REJECT_NONE, "data was dropped");
        if (recovers)
            j.verdict = OUT_LOST;
    }
    if (j.verdict == OUT_TAKE && pdu->data_digest_bad && !MUTANT(data_digest_ignored)) {
        /* R7143-7.8-02, R7143-7.8-03, R7143-11.4.7.2-03 */
        bad(&j, ASC_PROTOCOL_CRC, ASCQ_PROTOCOL_CRC, REJECT_DATA_DIGEST, "data digest");
        if (recovers) {
            reject_send(conn, pdu->bhs, NULL, 0, REJECT_DATA_DIGEST, "data digest");
            j.verdict = OUT_LOST;
        }
    }
    if (j.verdict == OUT_TAKE && !pdu->placed && pdu->data_len)
        memcpy(j.dest, pdu->data.ptr, pdu->data_len);
    slice_release(&conn->placed);
    switch (j.verdict) {
    case OUT_TAKE:
        take(conn, &j, pdu->data_len);
        break;
    case OUT_EARLY:
        early(j.held, &out, pdu);
        return;
    case OUT_LOST:
        lose(conn, &j);
        break;
    case OUT_UNKNOWN: /* R7143-4.2.5.3-04 */
        reject_send(conn, pdu->bhs, NULL, 0, conn->session->discovery ? REJECT_PROTOCOL : REJECT_FIELD,
                    j.why);
        return;
    case OUT_BAD: /* R7143-11.17.1-06: the task ends with a status of its own, too */
        if (j.reason != REJECT_NONE)
            reject_send(conn, pdu->bhs, NULL, 0, j.reason, j.why);
        iscsi_task_fail(j.task, j.asc, j.ascq);
        drain(conn, &out, &j);
        break;
    case OUT_DROP:
        drain(conn, &out, &j);
        break;
    }
    if (j.task)
        iscsi_task_progress(j.task);
}
