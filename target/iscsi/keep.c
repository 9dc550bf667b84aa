/* What is kept for retransmission at recovery level 1 and above: every response until ExpStatSN passes it,
 * every Data-In until a DataACK or its command's status is acknowledged. R2Ts need nothing: they are made
 * anew from the task. Memory is bounded: Data-In of a session pauses between bursts beyond TGT_KEPT_MAX or an
 * eighth of the pool, and a connection that acknowledges no status at all has failed. An initiator with
 * nothing to send acknowledges nothing, and it may be waiting for the very memory that is kept for it: where
 * that is short it is asked (keep_hurry). */
#include <assert.h>

#include "target/iscsi/conn_internal.h"

/* ---- objects ---- */

static struct kept *kept_new(struct tgt_reactor *r)
{
    struct list_node *node = list_pop_front(&r->free_kept);
    if (node)
        return list_entry(node, struct kept, node);
    struct kept *kept = env_alloc(r->env, sizeof *kept);
    if (kept) {
        list_init(&kept->node);
        r->kept_allocated++;
    }
    return kept;
}

static void kept_free(struct tgt_reactor *r, struct kept *kept)
{
    list_remove(&kept->node);
    slice_release(&kept->data);
    bool own = kept->task && kept == &kept->task->short_end; /* part of its task */
    kept->task = NULL;
    if (!own)
        list_push_front(&r->free_kept, &kept->node);
}

void keep_fini(struct tgt_reactor *r)
{
    struct list_node *node;
    while ((node = list_pop_front(&r->free_kept)) != NULL) {
        env_free(r->env, list_entry(node, struct kept, node));
        r->kept_allocated--;
    }
    assert(r->kept_allocated == 0);
}

/* Numbers that a PDU carries anew each time it is sent: R7143-11.16-02, R7143-11.16-04. */
static void put_field(uint8_t *bhs, const char *name, uint32_t value)
{
    const struct pdu_field *field = pdu_field_find(pdu_type_of(pdu_opcode(bhs)), name);
    assert(field);
    pdu_field_put(field, bhs, value);
}

static void put_window(struct tgt_session *s, uint8_t *bhs)
{
    uint32_t exp_cmd_sn, max_cmd_sn;
    session_numbers(s, &exp_cmd_sn, &max_cmd_sn);
    put_field(bhs, "exp_cmd_sn", exp_cmd_sn);
    put_field(bhs, "max_cmd_sn", max_cmd_sn);
}

/* ---- responses ---- */

bool keep_status(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data)
{
    if (data && data->len && !data->chunk) { /* borrowed: it may be gone before it is asked for again */
        struct slice copy;
        if (!conn_copy(conn, data->ptr, data->len, &copy))
            return false;
        *data = copy;
    }
    struct kept *kept = conn->kept_count < TGT_KEPT_STATUS_MAX ? kept_new(conn->r) : NULL;
    if (!kept)
        return false;
    memcpy(kept->bhs, bhs, PDU_BHS_LEN);
    kept->sn = conn->stat_sn - 1;
    kept->task = NULL;
    kept->data = (struct slice){0};
    if (data && data->len)
        kept->data = slice_sub(data, 0, data->len);
    list_push_back(&conn->kept, &kept->node);
    conn->kept_count++;
    return true;
}

void keep_ask(struct tgt_conn *conn)
{
    if (conn->kept_count % TGT_KEPT_STATUS_ASK == 0)
        nop_solicit(conn);
}

static struct kept *newest(struct tgt_conn *conn)
{
    struct kept *kept = list_last(&conn->kept, struct kept, node);
    return kept && kept->sn == conn->stat_sn - 1 ? kept : NULL;
}

void keep_answer(struct tgt_task *task)
{
    struct kept *kept = newest(task->conn);
    if (!kept)
        return;
    kept->task = task;
    task->answer = kept;
}

static void status_over(struct tgt_conn *conn, struct kept *kept)
{
    struct tgt_task *task = kept->task;
    if (task)
        task->answer = NULL;
    conn->kept_count--;
    kept_free(conn->r, kept);
    if (task)
        keep_drop(task); /* R7143-11.7.2-09 */
}

void keep_acknowledge(struct tgt_conn *conn, uint32_t exp_stat_sn)
{
    if (!sn_gt(exp_stat_sn, conn->exp_stat_sn) || !sn_le(exp_stat_sn, conn->stat_sn))
        return; /* old news, or nonsense */
    conn->exp_stat_sn = exp_stat_sn;
    struct kept *kept;
    while ((kept = list_first(&conn->kept, struct kept, node)) != NULL && sn_lt(kept->sn, exp_stat_sn))
        status_over(conn, kept);
}

void keep_conn_end(struct tgt_conn *conn)
{
    struct kept *kept;
    while ((kept = list_first(&conn->kept, struct kept, node)) != NULL) {
        if (kept->task && lost_waits(kept->task)) {
            list_remove(&kept->node); /* the task has it */
            conn->kept_count--;
        } else {
            status_over(conn, kept);
        }
    }
}

void keep_resend_status(struct tgt_conn *conn, struct kept *kept)
{
    struct slice data = {0};
    put_window(conn->session, kept->bhs);
    if (kept->data.len)
        data = slice_sub(&kept->data, 0, kept->data.len);
    conn_send(conn, kept->bhs, data.len ? &data : NULL, NULL);
}

void keep_answer_again(struct tgt_task *task, bool new_stat_sn)
{
    struct kept *kept = task->answer;
    struct tgt_conn *conn = task->conn;
    if (new_stat_sn) {
        kept->sn = conn->stat_sn++;
        put_field(kept->bhs, "stat_sn", kept->sn);
        list_push_back(&conn->kept, &kept->node);
        conn->kept_count++;
    }
    put_field(kept->bhs, "snack_tag", task->snack_tag); /* R7143-11.16.3-04, R7143-11.16.5-02 */
    put_field(kept->bhs, "exp_data_sn", task->in_count);
    keep_resend_status(conn, kept);
}

/* ---- Data-In ---- */

static uint64_t kept_max(const struct tgt_session *s)
{
    uint64_t share = pool_limit(s->r->pool) / 8;
    return share < TGT_KEPT_MAX ? share : TGT_KEPT_MAX;
}

/* Only a status can be acknowledged by the answer to a ping. */
static void hurry(struct tgt_session *s)
{
    list_for_each(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (!list_empty(&conn->kept))
            nop_solicit(conn);
    }
}

void keep_hurry(struct tgt_reactor *r)
{
    /* In turn, so that each is asked soon and none of many costs much. */
    for (uint32_t i = 0; i < TGT_KEEPERS_ASKED; i++) {
        struct list_node *node = list_pop_front(&r->keepers);
        if (!node)
            return;
        list_push_back(&r->keepers, node);
        hurry(list_entry(node, struct tgt_session, keep_node));
    }
}

bool keep_room(struct tgt_task *task)
{
    struct tgt_session *s = task->session;
    uint32_t burst = s->params.max_burst_length;
    if (session_level(s) == 0 || task->kept_reserve || task->burst_left != burst)
        return true;
    uint64_t left = task->edtl_in - task->sent_in;
    uint32_t need = left < burst ? (uint32_t)left : burst;
    if (s->kept_bytes && s->kept_bytes + need > kept_max(s)) {
        hurry(s);
        s->keep_waits = true;
        return false;
    }
    task->kept_reserve = need;
    task->kept_len += need;
    s->kept_bytes += need;
    if (!list_linked(&s->keep_node))
        list_push_back(&s->r->keepers, &s->keep_node);
    return true;
}

static void give_back(struct tgt_task *task, uint32_t len)
{
    assert(len <= task->kept_len && len <= task->session->kept_bytes);
    task->kept_len -= len;
    task->session->kept_bytes -= len;
    if (task->session->kept_bytes == 0)
        list_remove(&task->session->keep_node);
}

void keep_burst_over(struct tgt_task *task)
{
    give_back(task, task->kept_reserve);
    task->kept_reserve = 0;
}

bool keep_data(struct tgt_task *task, const uint8_t *bhs, const struct slice *data, uint32_t sn,
               uint32_t offset, bool final)
{
    struct kept *kept = kept_new(task->session->r);
    if (!kept)
        return false;
    assert(data->chunk && data->len <= task->kept_reserve);
    memcpy(kept->bhs, bhs, PDU_BHS_LEN);
    kept->sn = sn;
    kept->offset = offset;
    kept->final = final;
    kept->task = task;
    kept->data = slice_sub(data, 0, data->len);
    task->kept_reserve -= data->len;
    list_push_back(&task->kept, &kept->node);
    return true;
}

void keep_short_end(struct tgt_task *task, const uint8_t *bhs, uint32_t sn, uint32_t offset)
{
    struct kept *kept = &task->short_end;
    *kept = (struct kept){.sn = sn, .offset = offset, .final = true, .task = task};
    memcpy(kept->bhs, bhs, PDU_BHS_LEN);
    list_push_back(&task->kept, &kept->node);
}

void keep_data_acknowledged(struct tgt_task *task, uint32_t next_sn)
{
    struct kept *kept;
    task->acked_sn = next_sn;
    while ((kept = list_first(&task->kept, struct kept, node)) != NULL && sn_lt(kept->sn, next_sn)) {
        give_back(task, kept->data.len);
        kept_free(task->session->r, kept);
    }
}

void keep_drop(struct tgt_task *task)
{
    struct tgt_session *s = task->session;
    struct kept *kept;
    while ((kept = list_first(&task->kept, struct kept, node)) != NULL)
        kept_free(s->r, kept);
    give_back(task, task->kept_len);
    task->kept_reserve = 0;
    if (task->answer) {
        kept = task->answer;
        task->answer = NULL;
        kept->task = NULL;
        if (lost_waits(task))
            kept_free(s->r, kept); /* nobody else has it */
    }
    if (task->phase == TASK_DRAINING) {
        lost_task_gone(task);
        iscsi_task_check_free(task);
    }
}

void keep_run(struct tgt_session *s)
{
    if (!s->keep_waits)
        return;
    s->keep_waits = false;
    list_for_each_safe(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->phase == TASK_RUNNING)
            data_in_ready(task);
        else if (task->phase == TASK_FINISHED)
            iscsi_task_progress(task);
    }
}

void keep_resend_data(struct tgt_task *task, struct kept *kept)
{
    struct slice data = slice_sub(&kept->data, 0, kept->data.len);
    put_window(task->session, kept->bhs);
    conn_send(task->conn, kept->bhs, data.len ? &data : NULL, NULL);
}

/* ---- other sizes ---- */

/* How many PDUs `kept` becomes when no one may be longer than `most`: one also when it is empty. */
static uint32_t pieces(const struct kept *kept, uint32_t most)
{
    return kept->data.len ? (kept->data.len + most - 1) / most : 1;
}

static void cut(struct kept *whole, uint32_t most, struct list_node *spare)
{
    uint32_t at = 0;
    while (whole->data.len - at > most) {
        struct kept *part = list_entry(list_pop_front(spare), struct kept, node);
        *part = *whole;
        part->offset += at;
        part->final = false;
        part->data = slice_sub(&whole->data, at, most);
        put_field(part->bhs, "final", 0);
        put_field(part->bhs, "acknowledge", 0);
        put_field(part->bhs, "ttt", PDU_TAG_RESERVED);
        put_field(part->bhs, "buffer_offset", part->offset);
        list_insert_between(whole->node.prev, &part->node, &whole->node);
        at += most;
    }
    struct slice rest = slice_sub(&whole->data, at, whole->data.len - at);
    slice_release(&whole->data);
    whole->data = rest;
    whole->offset += at;
    put_field(whole->bhs, "buffer_offset", whole->offset);
}

bool keep_recut(struct tgt_task *task, uint32_t first_sn)
{
    struct tgt_reactor *r = task->session->r;
    uint32_t most = task->conn->params.peer_max_recv_data_segment_length & ~3u;
    uint32_t more = 0, before = 0, after = 0;
    struct list_node spare;
    list_init(&spare);
    list_for_each(it, &task->kept) more += pieces(list_entry(it, struct kept, node), most) - 1;
    while (more-- > 0) {
        struct kept *kept = kept_new(r);
        if (!kept) {
            struct list_node *node;
            while ((node = list_pop_front(&spare)) != NULL)
                list_push_front(&r->free_kept, node);
            return false;
        }
        list_push_back(&spare, &kept->node);
    }
    list_for_each_safe(it, &task->kept)
    {
        before++;
        cut(list_entry(it, struct kept, node), most, &spare);
    }
    list_for_each(it, &task->kept)
    {
        struct kept *kept = list_entry(it, struct kept, node);
        kept->sn = first_sn + after++; /* R7143-11.16.3-03 */
        put_field(kept->bhs, "data_sn", kept->sn);
    }
    task->data_sn = first_sn + after;
    /* An R2T that is out keeps its tag. Its number is Data-In's now: nobody can ask for it by number any
     * more, and if it was lost, the next one asks for its data (data_out_tick). */
    for (uint32_t i = 0; i < TGT_R2T_MAX; i++)
        task->r2ts[i].r2t_sn = first_sn - 1;
    task->in_count += after - before;
    return true;
}
