/* What a write wants and how it is brought together: the first burst (immediate and unsolicited data) when
 * the device server is ready for it, the rest by R2T (RFC 7143 11.8). No R2T goes out before the memory for
 * its data is held. */
#include <assert.h>

#include "common/base/mutant.h"
#include "target/iscsi/conn_internal.h"

#define ASC_PROTOCOL_CRC  0x47
#define ASCQ_PROTOCOL_CRC 0x05

bool data_out_settled(const struct tgt_task *task)
{
    return lost_waits(task) || (!task->unsolicited && task->r2t_open == 0);
}

static void starve(struct tgt_task *task)
{
    struct tgt_reactor *r = task->session->r;
    if (!list_linked(&task->wait_node))
        list_push_back(&r->starved, &task->wait_node);
}

static void slot_free(struct tgt_task *task, struct out_slot *slot)
{
    slot->span = NULL;
    task->slots_used--;
}

void data_out_release(struct tgt_task *task)
{
    for (uint32_t i = 0; i < SCSI_SPANS_PER_TASK; i++) {
        struct out_slot *slot = &task->slots[i];
        if (slot->span) {
            scsi_span_done(&task->session->r->scsi, slot->span);
            slot_free(task, slot);
        }
    }
    slice_release(&task->immediate_data);
    slice_release(&task->first);
}

/* A full span goes to the device server. */
static void hand_over(struct tgt_task *task, struct out_slot *slot)
{
    struct scsi_span *span = slot->span;
    span->offset = slot->offset;
    span->data.len = slot->len;
    slot_free(task, slot);
    scsi_data_out(&task->session->r->scsi, &task->scsi, span);
}

/* The next span of the command's data, of about one burst: data reaches the store burst by burst. */
static struct out_slot *slot_open(struct tgt_task *task)
{
    assert(task->slots_used < SCSI_SPANS_PER_TASK);
    uint32_t align = scsi_out_align(&task->scsi);
    uint32_t burst = task->session->params.max_burst_length;
    uint32_t len = burst < align ? align : burst - burst % align;
    if (len > SCSI_SPAN_LEN)
        len = SCSI_SPAN_LEN;
    if (len > task->want - task->slotted)
        len = (uint32_t)(task->want - task->slotted);
    uint32_t i = 0;
    while (task->slots[i].span) /* whoever opens one knows that one is free */
        i++;
    struct out_slot *slot = &task->slots[i];
    slot->span = scsi_span_new(&task->session->r->scsi, len);
    if (!slot->span)
        return NULL;
    slot->offset = task->slotted;
    slot->len = len;
    slot->asked = slot->have = 0;
    task->slots_used++;
    task->slotted += len;
    task->filling = i;
    return slot;
}

/* The first burst: whole blocks go to the device server as they lie (immediate data without a copy), a rest
 * is moved to the front of the span that the first R2T fills. False: memory is short, nothing was done. */
static bool begin(struct tgt_task *task)
{
    struct slice *data = task->first.chunk ? &task->first : &task->immediate_data;
    uint32_t align = scsi_out_align(&task->scsi);
    task->want = task->scsi.out_len < task->edtl_out ? task->scsi.out_len : task->edtl_out;
    uint32_t have = task->unsolicited_have < task->want ? task->unsolicited_have : (uint32_t)task->want;
    uint32_t whole = have == task->want ? have : have - have % align;
    struct scsi_span *span = NULL;
    task->slotted = whole;
    if (have > whole) {
        struct out_slot *slot = slot_open(task);
        if (!slot)
            return false;
        memcpy(slot->span->data.ptr, data->ptr + (MUTANT(first_burst_rest) ? 0 : whole), have - whole);
        slot->asked = slot->have = have - whole;
    }
    if (whole) {
        struct slice part = slice_sub(data, 0, whole);
        span = scsi_span_wrap(&task->session->r->scsi, &part);
        if (!span) {
            slice_release(&part);
            if (have > whole) {
                scsi_span_done(&task->session->r->scsi, task->slots[task->filling].span);
                slot_free(task, &task->slots[task->filling]);
            }
            return false;
        }
    }
    slice_release(&task->first);
    slice_release(&task->immediate_data);
    task->asked = have;
    task->out_begun = true;
    if (span)
        scsi_data_out(&task->session->r->scsi, &task->scsi, span);
    return true;
}

static struct out_r2t *r2t_slot(struct tgt_task *task, uint32_t *index)
{
    for (*index = 0; *index < TGT_R2T_MAX; (*index)++)
        if (!task->r2ts[*index].open)
            return &task->r2ts[*index];
    return NULL;
}

void r2t_send(struct tgt_task *task, const struct out_r2t *r2t)
{
    struct tgt_conn *conn = task->conn;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_r2t pdu;
    pdu_r2t_init(&pdu);
    pdu.lun = task->scsi.lun; /* R7143-4.2.5.3-03 */
    pdu.itt = task->itt;
    pdu.ttt = r2t->ttt;          /* R7143-11.8.5-01: never 0xffffffff, as no task has index 0xffff */
    pdu.stat_sn = conn->stat_sn; /* R7143-11.8.3-01: the next one, not used up */
    pdu.r2t_sn = r2t->r2t_sn;    /* R7143-4.2.2.4-04 */
    pdu.buffer_offset = (uint32_t)r2t->offset;
    pdu.desired_data_transfer_length = r2t->len - MUTANT(r2t_off_by_one);
    session_numbers(task->session, &pdu.exp_cmd_sn, &pdu.max_cmd_sn);
    pdu_r2t_encode(&pdu, bhs);
    conn_send(conn, bhs, NULL, NULL);
}

/* A tag and a number that no R2T of the command has had. */
static void r2t_name(struct tgt_task *task, struct out_r2t *r2t)
{
    uint32_t index = (uint32_t)(r2t - task->r2ts);
    r2t->ttt = task->index << 16 | (task->generation++ & 0x3fff) << 2 | index;
    r2t->r2t_sn = task->data_sn++; /* R7143-11.8-09, R7143-4.2.2.4-05 */
}

/* Asks for the next piece of the span that is being filled, at most a burst (R7143-11.8.4-01). */
static void ask_one(struct tgt_task *task, struct out_slot *slot)
{
    uint32_t index;
    struct out_r2t *r2t = r2t_slot(task, &index);
    assert(r2t);
    uint32_t len = slot->len - slot->asked;
    if (len > task->session->params.max_burst_length)
        len = task->session->params.max_burst_length;
    *r2t = (struct out_r2t){
        .open = true, .offset = slot->offset + slot->asked, .len = len, .slot = task->filling};
    r2t_name(task, r2t);
    slot->asked += len;
    task->asked += len; /* R7143-11.8-10, R7143-11.7.6-03: contiguous, without overlap */
    task->r2t_open++;
    r2t_send(task, r2t);
    data_out_watch(task);
}

static void ask(struct tgt_task *task)
{
    uint32_t limit = task->session->params.max_outstanding_r2t; /* R7143-11.8-06 */
    if (limit > TGT_R2T_MAX)
        limit = TGT_R2T_MAX;
    while (!task->out_stop && task->r2t_open < limit && task->asked < task->want && task->conn &&
           conn_live(task->conn)) {
        struct out_slot *slot = &task->slots[task->filling];
        if (!slot->span || slot->asked == slot->len) {
            if (task->slots_used + task->scsi.spans_out >= SCSI_SPANS_PER_TASK)
                return; /* SCSI_READY_OUT comes again */
            slot = slot_open(task);
            if (!slot) {
                starve(task);
                return;
            }
        }
        ask_one(task, slot);
    }
    if (task->asked == task->want && task->slots_used == 0 && task->want < task->scsi.out_len &&
        !task->out_over) {
        task->out_over = true;
        scsi_data_out_end(&task->session->r->scsi, &task->scsi);
    }
}

void data_out_ready(struct tgt_task *task)
{
    if (task->phase != TASK_RUNNING || task->failed)
        return;
    task->out_wanted = true;
    if (lost_waits(task))
        return;
    if (task->unsolicited) /* the first burst is complete before anything is asked for */
        return;
    if (!task->out_begun && !begin(task)) {
        starve(task);
        return;
    }
    ask(task);
}

void data_out_arrived(struct tgt_task *task, struct out_r2t *r2t)
{
    struct out_slot *slot = &task->slots[r2t->slot];
    slot->have += r2t->len;
    if (slot->have == slot->len)
        hand_over(task, slot);
    ask(task);
}

/* ---- recovery ---- */

/* What has come of it stays; the rest becomes an R2T of its own. */
static void again(struct tgt_task *task, struct out_r2t *r2t)
{
    task->slots[r2t->slot].have += r2t->have;
    r2t->offset += r2t->have;
    r2t->len -= r2t->have;
    r2t->have = 0;
    r2t->data_sn = 0;
    r2t_name(task, r2t);
    r2t_send(task, r2t);
}

static bool too_often(struct tgt_task *task)
{
    return ++task->recoveries > TGT_RECOVERIES_MAX;
}

static void give_up(struct tgt_task *task)
{
    iscsi_task_fail(task, ASC_PROTOCOL_CRC, ASCQ_PROTOCOL_CRC); /* R7143-7.8-03 */
}

static void recover(struct tgt_task *task, struct out_r2t *r2t, bool ask)
{
    task->session->r->counters.recovery_r2ts++;
    if (!too_often(task) && ask) {
        again(task, r2t);
        data_out_watch(task);
        return;
    }
    r2t->open = false;
    task->r2t_open--;
    give_up(task);
}

void data_out_recover(struct tgt_task *task, struct out_r2t *r2t)
{
    recover(task, r2t, !task->out_stop);
}

void data_out_suspend(struct tgt_task *task)
{
    task->out_due_ns = 0;
    task->unsolicited = false; /* the rest will be asked for */
}

void data_out_resume(struct tgt_task *task)
{
    struct out_r2t *next;
    if (task->failed || task->out_stop) { /* one that is not running has none */
        for (uint32_t i = 0; i < TGT_R2T_MAX; i++)
            task->r2ts[i].open = false;
        task->r2t_open = 0;
        return;
    }
    uint64_t from = 0;
    do { /* in order of offset */
        next = NULL;
        for (uint32_t i = 0; i < TGT_R2T_MAX; i++) {
            struct out_r2t *r2t = &task->r2ts[i];
            if (r2t->open && r2t->offset >= from && (!next || r2t->offset < next->offset))
                next = r2t;
        }
        if (next) {
            from = next->offset + next->len;
            again(task, next);
        }
    } while (next);
    data_out_watch(task);
    if (task->out_wanted)
        data_out_ready(task);
}

void data_out_watch(struct tgt_task *task)
{
    struct tgt_reactor *r = task->session->r;
    if (session_level(task->session) == 0)
        return;
    task->out_due_ns = data_out_settled(task) ? 0 : env_now(r->env) + TGT_DATA_OUT_NS;
    if (task->out_due_ns && task->out_due_ns < r->deadline_ns)
        r->deadline_ns = task->out_due_ns;
}

/* Is only F waited for? The command has failed, but its status has to follow the last data that is due, also
 * when that was lost: so it is asked for again, and dropped. R7143-11.4.2-02, R7143-7.8-04. An abort has
 * waited long enough. */
static bool owes_status(const struct tgt_task *task)
{
    return (task->failed || task->phase == TASK_FINISHED) && !task->aborted && !task->silent;
}

/* The rest of a first burst that nobody needs any more: there is no slot for it, so it is dropped. */
static void ask_rest(struct tgt_task *task)
{
    struct out_r2t *r2t = &task->r2ts[0]; /* the first burst comes before all R2Ts */
    uint32_t left = task->unsolicited_len - task->unsolicited_have;
    if (left == 0)
        return;
    *r2t = (struct out_r2t){.open = true, .offset = task->unsolicited_have, .len = left};
    r2t_name(task, r2t);
    task->r2t_open++;
    r2t_send(task, r2t);
    data_out_watch(task);
}

/* Data that was to come has not: the end of a sequence was lost. */
void data_out_tick(struct tgt_task *task, uint64_t now_ns)
{
    if (!task->out_due_ns || now_ns < task->out_due_ns)
        return;
    data_out_watch(task);
    if (!task->out_due_ns)
        return;
    bool first = task->unsolicited; /* nothing is asked for before it is complete */
    if (first && !task->out_wanted && !task->out_stop && !owes_status(task))
        return; /* whether to ask for it, or to drop it, the device server has not said */
    env_trace(task->session->r->env, TRACE_WARN, "data.timeout", conn_label(task->conn), NULL, task->itt,
              task->recoveries);
    if (first) {
        task->unsolicited = false;
        retired_add(task->session, task->itt, PDU_TAG_RESERVED); /* it may still come */
        if (owes_status(task))
            ask_rest(task);
        else if (task->out_wanted)
            data_out_ready(task);
    }
    for (uint32_t i = 0; i < TGT_R2T_MAX && !first; i++) {
        struct out_r2t *r2t = &task->r2ts[i];
        if (!r2t->open)
            continue;
        retired_add(task->session, task->itt, r2t->ttt);
        recover(task, r2t, !task->out_stop || owes_status(task));
    }
    iscsi_task_progress(task);
}
