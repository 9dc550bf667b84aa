/* Data-Out, R2T and Data-In (RFC 7143 11.7, 11.8): numbers, offsets, bursts, limits. A task that was retried,
 * damaged or taken to another connection is `unsure`: then the order of its data proves nothing. */
#include <inttypes.h>
#include <string.h>

#include "conformance/referee/internal.h"

static struct words range(uint32_t offset, uint32_t len)
{
    return say("offset %" PRIu32 ", %" PRIu32 " bytes", offset, len);
}

/* ---- R2Ts ---- */

static struct rr2t *r2t_find(struct rtask *task, uint32_t ttt)
{
    list_for_each(it, &task->r2ts)
    {
        struct rr2t *r = list_entry(it, struct rr2t, node);
        if (r->ttt == ttt)
            return r;
    }
    return NULL;
}

static void r2t_drop(struct rsession *s, struct rtask *task, struct rr2t *r)
{
    task->dead_ttt[task->dead_count++ % 8] = r->ttt;
    list_remove(&r->node);
    session_release(s, r, sizeof *r);
}

static bool r2t_is_dead(const struct rtask *task, uint32_t ttt)
{
    for (uint32_t i = 0; i < task->dead_count && i < 8; i++)
        if (task->dead_ttt[i] == ttt)
            return true;
    return false;
}

void data_forget(struct rsession *s, struct rtask *task)
{
    list_for_each_safe(it, &task->r2ts) r2t_drop(s, task, list_entry(it, struct rr2t, node));
    task->r2t_open = 0;
}

void data_stop(struct rtask *task, uint64_t pdu)
{
    list_for_each(it, &task->r2ts)
    {
        struct rr2t *r = list_entry(it, struct rr2t, node);
        r->stopped |= r->pdu < pdu;
    }
}

static void r2t_check_range(struct rconn *c, struct rtask *task, const struct pdu_r2t *q)
{
    const struct key_params *params = &c->session->params;
    struct words seen = range(q->buffer_offset, q->desired_data_transfer_length);
    if (q->desired_data_transfer_length > params->max_burst_length)
        finding(c, RULE_R2T_BURST, say("at most %" PRIu32, params->max_burst_length).text, seen.text);
    if ((uint64_t)q->buffer_offset + q->desired_data_transfer_length > task->edtl)
        finding(c, RULE_R2T_RANGE, say("inside %" PRIu32 " bytes", task->edtl).text, seen.text);
    bool recovery = params->error_recovery_level > 0 && sn_lt(q->buffer_offset, task->r2t_next_offset);
    if (params->data_sequence_in_order && task->r2t_any && q->buffer_offset != task->r2t_next_offset &&
        !recovery)
        finding(c, RULE_R2T_ORDER, say("offset %" PRIu32, task->r2t_next_offset).text, seen.text);
    task->r2t_any = true;
    if (!recovery)
        task->r2t_next_offset = q->buffer_offset + q->desired_data_transfer_length;
    else
        task->unsure = true;
}

/* R2T and Data-In of a bidirectional command share one number space. R7143-4.2.2.4-05 */
static bool shares_numbers(const struct rtask *task)
{
    return task->read && task->write;
}

static void r2t_check_numbers(struct rconn *c, struct rtask *task, const struct pdu_r2t *q)
{
    uint32_t *next = shares_numbers(task) ? &task->next_data_sn : &task->next_r2t_sn;
    bool again = c->session->params.error_recovery_level > 0 && sn_lt(q->r2t_sn, *next);
    if (again) { /* sent again for a SNACK */
        (void)duty_met(c, OWED_DATA, q->itt);
        return;
    }
    if (q->r2t_sn != *next && !task->unsure)
        finding(c, shares_numbers(task) ? RULE_BIDI_SN : RULE_R2T_SN, say("%" PRIu32, *next).text,
                say("%" PRIu32, q->r2t_sn).text);
    *next = q->r2t_sn + 1;
}

void data_r2t(struct rconn *c, const struct rpdu *p)
{
    struct pdu_r2t q;
    struct rsession *s = c->session;
    pdu_r2t_decode(p->bhs, &q);
    struct rtask *task = task_of_response(c, p, q.itt, PDU_OP_scsi_command);
    if (!task)
        return;
    if (!task->write) {
        finding(c, RULE_R2T_FOR_READ, "R2T for a write", "no W");
        return;
    }
    if (q.lun != task->lun)
        finding(c, RULE_R2T_LUN, say("0x%016" PRIx64, task->lun).text, say("0x%016" PRIx64, q.lun).text);
    r2t_check_numbers(c, task, &q);
    r2t_check_range(c, task, &q);
    struct rr2t *r = r2t_find(task, q.ttt);
    if (r) { /* asked again with the tag it had */
        r->pdu = p->number;
        r->stopped = false;
        task->unsure = true;
        return;
    }
    r = session_alloc(s, sizeof *r);
    if (!r)
        return;
    *r = (struct rr2t){.ttt = q.ttt,
                       .sn = q.r2t_sn,
                       .offset = q.buffer_offset,
                       .len = q.desired_data_transfer_length,
                       .pdu = p->number};
    list_push_back(&task->r2ts, &r->node);
    task->r2t_open++;
    if (task->r2t_open > s->params.max_outstanding_r2t && !task->unsure)
        finding(c, RULE_R2T_OUTSTANDING, say("at most %" PRIu32, s->params.max_outstanding_r2t).text,
                say("%" PRIu32, task->r2t_open).text);
}

/* ---- Data-Out ---- */

static uint32_t data_unsolicited_max(const struct rsession *s, const struct rtask *task)
{
    return task->edtl < s->params.first_burst_length ? task->edtl : s->params.first_burst_length;
}

static void unsolicited_final(struct rconn *c, struct rtask *task, const struct pdu_data_out *q)
{
    uint32_t due = data_unsolicited_max(c->session, task);
    struct words seen = say("%" PRIu32 " bytes, F=%u", task->unsolicited, q->final);
    if (q->final && task->unsolicited < due && !task->unsure && !task->aborting)
        finding(c, RULE_UNSOLICITED_SHORT, say("%" PRIu32 " bytes", due).text, seen.text);
    if (!q->final && task->unsolicited == due && !task->unsure)
        finding(c, RULE_UNSOLICITED_FINAL, "F=1", seen.text);
    if (q->final)
        task->unsolicited_open = false;
}

static void unsolicited(struct rconn *c, const struct rpdu *p, struct rtask *task,
                        const struct pdu_data_out *q)
{
    const struct key_params *params = &c->session->params;
    struct words seen = range(q->buffer_offset, p->data_len);
    if (params->initial_r2t) {
        finding(c, RULE_UNSOLICITED_DATA, "no unsolicited Data-Out with InitialR2T=Yes", seen.text);
        return;
    }
    if (!task->unsolicited_open) {
        if (!task->unsure)
            finding(c, RULE_UNSOLICITED_AFTER_F, "nothing after F=1", seen.text);
        return;
    }
    if (q->lun)
        finding(c, RULE_UNSOLICITED_LUN, "LUN reserved without a TTT", say("0x%016" PRIx64, q->lun).text);
    if (q->data_sn != task->unsolicited_sn && !task->unsure)
        finding(c, RULE_DATA_OUT_SN, say("%" PRIu32, task->unsolicited_sn).text,
                say("%" PRIu32, q->data_sn).text);
    if (params->data_pdu_in_order && q->buffer_offset != task->unsolicited && !task->unsure)
        finding(c, RULE_DATA_OUT_OFFSET, say("offset %" PRIu32, task->unsolicited).text, seen.text);
    task->unsolicited_sn = q->data_sn + 1;
    task->unsolicited += p->data_len;
    task->written += p->data_len;
    if (task->unsolicited > params->first_burst_length)
        finding(c, RULE_UNSOLICITED_BURST, say("at most %" PRIu32, params->first_burst_length).text,
                seen.text);
    else
        unsolicited_final(c, task, q);
    if (q->final)
        task->unsolicited_open = false;
}

/* R2Ts are answered in the order they came: is an older one of this task still waiting? */
static bool is_oldest(const struct rtask *task, const struct rr2t *r)
{
    return list_first(&task->r2ts, struct rr2t, node) == r;
}

static void solicited_final(struct rconn *c, const struct rpdu *p, struct rtask *task, struct rr2t *r,
                            const struct pdu_data_out *q)
{
    struct words seen = say("%" PRIu32 " of %" PRIu32 " bytes, F=%u", r->done, r->len, q->final);
    if (q->final && r->done < r->len && !task->unsure && !task->aborting)
        finding(c, r->done == p->data_len ? RULE_R2T_SINGLE : RULE_R2T_SHORT, "all that was asked for",
                seen.text);
    if (!q->final && r->done >= r->len && !task->unsure)
        finding(c, RULE_DATA_OUT_FINAL, "F=1", seen.text);
    if (!q->final)
        return;
    task->r2t_open--;
    r2t_drop(c->session, task, r);
}

static void solicited(struct rconn *c, const struct rpdu *p, struct rtask *task, const struct pdu_data_out *q)
{
    const struct key_params *params = &c->session->params;
    struct words seen = range(q->buffer_offset, p->data_len);
    struct rr2t *r = r2t_find(task, q->ttt);
    if (!r) {
        if (!task->unsure && !task->done)
            finding(c, r2t_is_dead(task, q->ttt) ? RULE_R2T_MORE : RULE_DATA_OUT_TTT, "the TTT of an R2T",
                    say("TTT 0x%08" PRIx32, q->ttt).text);
        return;
    }
    if (q->lun != task->lun)
        finding(c, RULE_DATA_OUT_LUN, say("0x%016" PRIx64, task->lun).text,
                say("0x%016" PRIx64, q->lun).text);
    if (!is_oldest(task, r) && !task->unsure)
        finding(c, RULE_R2T_ANSWER_ORDER, "the oldest R2T first", say("TTT 0x%08" PRIx32, q->ttt).text);
    if (q->data_sn != r->data_sn && !task->unsure)
        finding(c, RULE_DATA_OUT_SN, say("%" PRIu32, r->data_sn).text, say("%" PRIu32, q->data_sn).text);
    if (q->buffer_offset < r->offset ||
        (uint64_t)q->buffer_offset + p->data_len > (uint64_t)r->offset + r->len)
        finding(c, RULE_R2T_OUTSIDE, range(r->offset, r->len).text, seen.text);
    else if (params->data_pdu_in_order && q->buffer_offset != r->offset + r->done && !task->unsure)
        finding(c, RULE_SOLICITED_OFFSET, say("offset %" PRIu32, r->offset + r->done).text, seen.text);
    r->data_sn = q->data_sn + 1;
    r->done += p->data_len;
    task->written += p->data_len;
    solicited_final(c, p, task, r, q);
}

/* Has FastAbort ended this? Event 5 ends the transfers there were; a task that the target asks for data of
 * after it is none of those that it ends. */
static bool is_stopped(struct rtask *task, uint32_t ttt)
{
    const struct rr2t *r = task->no_data == DATA_AFTER_EVENT ? r2t_find(task, ttt) : NULL;
    return r ? r->stopped : task->no_data != DATA_GOES;
}

void data_out(struct rconn *c, const struct rpdu *p)
{
    struct pdu_data_out q;
    struct rsession *s = c->session;
    pdu_data_out_decode(p->bhs, &q);
    struct rtask *task = task_find(s, q.itt);
    if (!task) {
        if (s->tasks_lost || s->writes_rejected) /* data may be on its way when its command is rejected */
            undecided(c);
        else
            finding(c, RULE_DATA_OUT_TASK, "the tag of a write", say("task tag 0x%08" PRIx32, q.itt).text);
        return;
    }
    if (p->data_bad)
        task->unsure = true;
    if (task->opcode != PDU_OP_scsi_command || !task->write) {
        finding(c, RULE_DATA_OUT_WRITE, "W=1", "Data-Out for a task without W");
        return;
    }
    if (task->conn && task->conn != c && !task->unsure) {
        finding(c, RULE_DATA_OUT_CONN, "the command's connection", "another");
        return;
    }
    if (task->conn == c && is_stopped(task, q.ttt))
        finding(c, task->no_data == DATA_AFTER_TMF ? RULE_FAST_ABORT_DATA : RULE_FAST_ABORT_STOP,
                "no more data of a task that a TMF ends", "Data-Out");
    if (task->done)
        return; /* on its way when the status came */
    if (p->data_len == 0 && !task->aborting && !task->unsure)
        finding(c, RULE_EMPTY_DATA_OUT, "data", "none");
    if (!q.final && p->data_len % 4 && !task->unsure)
        finding(c, RULE_DATA_OUT_MULTIPLE, "a multiple of 4 bytes", say("%" PRIu32, p->data_len).text);
    if (q.ttt == PDU_TAG_RESERVED)
        unsolicited(c, p, task, &q);
    else
        solicited(c, p, task, &q);
}

/* ---- Data-In ---- */

struct rtask *data_of_ack(struct rsession *s, uint32_t ttt)
{
    struct list_node *const lists[] = {&s->live, &s->finished};
    for (int i = 0; i < 2; i++)
        list_for_each(it, lists[i])
        {
            struct rtask *task = list_entry(it, struct rtask, order);
            if (task->ack_ttt == ttt && task->ack_ttt && task->ack_ttt != PDU_TAG_RESERVED)
                return task;
        }
    return NULL;
}

static void check_a_bit(struct rconn *c, const struct rpdu *p, struct rtask *task,
                        const struct pdu_data_in *q)
{
    const struct key_params *params = &c->session->params;
    task->since_ack += p->data_len;
    if (!q->acknowledge)
        return;
    task->ack_ttt = q->ttt;
    bool last = q->final || task->cut; /* perhaps: the end of the data is the target's to know */
    if (params->error_recovery_level == 0) {
        finding(c, RULE_A_LEVEL, "A=0 at level 0", "A=1");
    } else {
        if (q->ttt == PDU_TAG_RESERVED)
            finding(c, RULE_A_TTT, "a TTT", "0xffffffff");
        else if (q->lun != task->lun)
            finding(c, RULE_DATA_IN_LUN, say("0x%016" PRIx64, task->lun).text,
                    say("0x%016" PRIx64, q->lun).text);
        if (task->since_ack < params->max_burst_length && !last && !task->unsure)
            finding(c, RULE_A_OFTEN, "once per MaxBurstLength",
                    say("after %" PRIu32 " bytes", task->since_ack).text);
        else if (q->ttt != PDU_TAG_RESERVED && !task->unsure && !q->has_status) {
            struct rowed *o = duty_owe(c, OWED_DATA_ACK, p, q->ttt);
            if (o)
                o->itt = q->itt;
        }
    }
    task->since_ack = 0;
}

/* Offsets inside a sequence, and of sequences. */
static void check_offset(struct rconn *c, const struct rpdu *p, struct rtask *task,
                         const struct pdu_data_in *q)
{
    const struct key_params *params = &c->session->params;
    struct words seen = range(q->buffer_offset, p->data_len);
    bool back = task->in_any && q->buffer_offset < task->in_next;
    if (back && task->in_open && params->data_pdu_in_order)
        finding(c, RULE_DATA_IN_OFFSET, say("offset %" PRIu32 " or more", task->in_next).text, seen.text);
    else if (back && !task->in_open && params->data_sequence_in_order && params->data_pdu_in_order)
        finding(c, RULE_DATA_IN_SEQUENCE, say("offset %" PRIu32 " or more", task->in_next).text, seen.text);
    if ((uint64_t)q->buffer_offset + p->data_len > task->read_len)
        finding(c, RULE_DATA_IN_RANGE, say("inside %" PRIu32 " bytes", task->read_len).text, seen.text);
    task->burst = task->in_open ? task->burst + p->data_len : p->data_len;
    if (task->burst > params->max_burst_length)
        finding(c, RULE_DATA_IN_BURST, say("at most %" PRIu32, params->max_burst_length).text,
                say("%" PRIu32, task->burst).text);
}

/* The first Data-In after a reassignment: nothing that is not acknowledged is left out. R7143-11.5.6-02; more
 * than that may come again, R7143-7.2.2-06. */
static void data_in_resync(struct rconn *c, struct rtask *task, const struct pdu_data_in *q)
{
    uint32_t from = sn_gt(task->stated, task->data_ref) ? task->stated : task->data_ref;
    if (sn_gt(q->data_sn, from))
        finding(c, RULE_REASSIGN_DATA, say("DataSN %" PRIu32, from).text, say("%" PRIu32, q->data_sn).text);
    task->resync = false;
    task->next_data_sn = task->data_in_count = q->data_sn;
}

static void data_in_sequence(struct rconn *c, const struct rpdu *p, struct rtask *task,
                             const struct pdu_data_in *q)
{
    if (task->resync)
        data_in_resync(c, task, q);
    if (q->data_sn != task->next_data_sn)
        finding(c, shares_numbers(task) ? RULE_BIDI_SN : RULE_DATA_IN_SN,
                say("%" PRIu32, task->next_data_sn).text, say("%" PRIu32, q->data_sn).text);
    task->next_data_sn = q->data_sn + 1;
    task->data_in_count++;
    check_offset(c, p, task, q);
    if (!q->final && p->data_len % 4)
        finding(c, RULE_DATA_IN_MULTIPLE, "a multiple of 4 bytes", say("%" PRIu32, p->data_len).text);
    task->in_any = true;
    task->in_next = q->buffer_offset + p->data_len;
    task->in_bytes += p->data_len;
    task->in_open = !q->final;
}

static void check_status_flags(struct rconn *c, struct rtask *task, const struct pdu_data_in *q)
{
    struct words seen = say("status 0x%02x", q->status);
    if (!q->final)
        finding(c, RULE_S_NEEDS_F, "F=1 with S=1", "F=0");
    if (shares_numbers(task))
        finding(c, RULE_S_BIDI, "a SCSI Response", "S=1");
    if (q->status == 0x02 || q->status == 0x08 || q->status == 0x18 || q->status == 0x28 ||
        q->status == 0x30 || q->status == 0x40)
        finding(c, q->status == 0x02 ? RULE_S_ERROR : RULE_S_STATUS, "a status without error", seen.text);
    if (q->overflow && q->underflow)
        finding(c, RULE_O_AND_U_DATA, "one flag of the pair", "both");
}

void data_in(struct rconn *c, const struct rpdu *p)
{
    struct pdu_data_in q;
    pdu_data_in_decode(p->bhs, &q);
    struct rtask *task = task_of_response(c, p, q.itt, PDU_OP_scsi_command);
    if (!task)
        return;
    if (!task->read) {
        finding(c, RULE_DATA_IN_READ, "R=1", "Data-In for a task without R");
        return;
    }
    bool again =
        c->session->params.error_recovery_level > 0 && sn_lt(q.data_sn, task->next_data_sn) && !task->resync;
    if (p->data_len == 0 && !q.has_status)
        finding(c, RULE_EMPTY_DATA_IN, "data or status", "neither");
    if (again)
        (void)duty_met(c, OWED_DATA, q.itt);
    if (p->data_bad || task->snack_tag)
        task->unsure = true;
    if (!again || task->unsure)
        check_a_bit(c, p, task, &q);
    if (task->unsure)
        task->data_in_count++;
    else if (!again) /* what is sent again has been judged */
        data_in_sequence(c, p, task, &q);
    if (!q.has_status)
        return;
    check_status_flags(c, task, &q);
    struct rstatus status = {.in_data = true,
                             .overflow = q.overflow,
                             .underflow = q.underflow,
                             .status = q.status,
                             .residual = q.residual_count,
                             .stat_sn = q.stat_sn,
                             .exp_cmd_sn = q.exp_cmd_sn};
    command_status(c, task, &status);
}
