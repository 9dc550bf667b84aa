/* Command numbering (RFC 7143 4.2.2.1): non-immediate commands are executed in CmdSN order. On one connection
 * they come in order anyway; what comes early (several connections, or an initiator's gap) is kept until its
 * turn. */
#include "common/base/err.h"
#include "common/base/mutant.h"
#include "target/iscsi/conn_internal.h"

static void held_free(struct tgt_session *s, struct held_pdu *held)
{
    list_remove(&held->node);
    slice_release(&held->data);
    slice_release(&held->first);
    env_free(s->r->env, held);
}

/* The place for cmd_sn: the first held one that is not before it, or the list's head. */
static struct list_node *held_place(struct tgt_session *s, uint32_t cmd_sn)
{
    list_for_each(it, &s->held) if (!sn_lt(list_entry(it, struct held_pdu, node)->cmd_sn, cmd_sn)) return it;
    return &s->held;
}

static struct held_pdu *held_find(struct tgt_session *s, uint32_t cmd_sn)
{
    struct list_node *place = held_place(s, cmd_sn);
    if (place == &s->held)
        return NULL;
    struct held_pdu *held = list_entry(place, struct held_pdu, node);
    return held->cmd_sn == cmd_sn ? held : NULL;
}

static struct held_pdu *held_new(struct tgt_session *s, uint32_t cmd_sn, uint32_t ahs_len)
{
    struct held_pdu *held = env_alloc(s->r->env, sizeof *held + ahs_len);
    if (!held)
        return NULL;
    held->cmd_sn = cmd_sn;
    held->ahs_len = ahs_len;
    struct list_node *place = held_place(s, cmd_sn);
    list_insert_between(place->prev, &held->node, place);
    return held;
}

/* A write whose unsolicited data comes before its turn: room for it. Without memory it is dropped, and counts
 * as lost. */
static void expect_first(struct held_pdu *held, const struct tgt_session *s)
{
    struct pdu_scsi_command cmd;
    if (pdu_opcode(held->bhs) != PDU_OP_scsi_command)
        return;
    pdu_scsi_command_decode(held->bhs, &cmd);
    held->first_due = !cmd.final;
    if (!held->first_due)
        return;
    uint32_t most = s->params.first_burst_length;
    if (most > cmd.expected_data_transfer_length)
        most = cmd.expected_data_transfer_length;
    struct chunk *chunk = held->data.len <= most ? pool_get(s->r->pool, most ? most : 1) : NULL;
    if (!chunk) {
        held->first_lost = true;
        return;
    }
    held->first = slice_take(chunk, 0, most);
    held->first_have = held->data.len;
    if (held->data.len)
        memcpy(held->first.ptr, held->data.ptr, held->data.len);
}

struct held_pdu *sequence_held(struct tgt_session *s, const struct tgt_conn *conn, uint32_t itt)
{
    list_for_each(it, &s->held)
    {
        struct held_pdu *held = list_entry(it, struct held_pdu, node);
        if (held->conn == conn && held->first_due && pdu_itt(held->bhs) == itt)
            return held;
    }
    return NULL;
}

enum sequence_verdict sequence_take(struct tgt_conn *conn, uint32_t cmd_sn, struct framer_pdu *pdu)
{
    struct tgt_session *s = conn->session;
    /* R7143-4.2.2.1-13: outside the window nothing is said; R7143-4.2.2.1-11 serial arithmetic */
    if (!sn_in_window(cmd_sn, s->exp_cmd_sn, s->max_cmd_sn - MUTANT(window_off_by_one)))
        return SEQUENCE_DROP;
    if (cmd_sn == s->exp_cmd_sn && (list_empty(&s->held) || !held_find(s, cmd_sn))) {
        s->exp_cmd_sn++; /* R7143-4.2.2.1-10 */
        return SEQUENCE_NOW;
    }
    if (held_find(s, cmd_sn)) /* R7143-4.2.2.1-14: a duplicate */
        return SEQUENCE_DROP;
    struct held_pdu *held = held_new(s, cmd_sn, pdu->ahs_len);
    if (!held) {
        /* As if it had been lost: ExpCmdSN does not pass it. At level 0 nothing is sent again, and what comes
         * behind would wait for ever: there the connection has failed. */
        if (session_level(s) == 0)
            conn_doom(conn);
        return SEQUENCE_DROP;
    }
    held->conn = conn;
    memcpy(held->bhs, pdu->bhs, PDU_BHS_LEN);
    if (pdu->ahs_len)
        memcpy(held->ahs, pdu->ahs, pdu->ahs_len);
    held->data = pdu->data;
    pdu->data = (struct slice){0};
    expect_first(held, s);
    return SEQUENCE_HELD;
}

void sequence_advance(struct tgt_session *s)
{
    struct held_pdu *held;
    /* R7143-4.2.2.1-07 */
    while (!s->closing && (held = list_first(&s->held, struct held_pdu, node)) != NULL &&
           held->cmd_sn == s->exp_cmd_sn) {
        s->exp_cmd_sn++;
        list_remove(&held->node);
        if (!held->plug && held->conn->state == CONN_FULL)
            command_execute(held->conn, held->bhs, held->ahs, held->ahs_len, &held->data, held);
        list_init(&held->node);
        held_free(s, held);
    }
}

int sequence_plug(struct tgt_session *s, uint32_t cmd_sn)
{
    if (!sn_in_window(cmd_sn, s->exp_cmd_sn, s->max_cmd_sn))
        return ERR_RANGE;
    struct held_pdu *held = held_find(s, cmd_sn);
    if (!held)
        held = held_new(s, cmd_sn, 0);
    if (!held)
        return ERR_NOMEM;
    held->plug = true;
    held->conn = NULL; /* whatever becomes of the connection that brought it, the place is taken */
    held->first_due = false;
    slice_release(&held->data);
    slice_release(&held->first);
    sequence_advance(s);
    return 0;
}

void sequence_drop_all(struct tgt_session *s, const struct tgt_conn *conn)
{
    list_for_each_safe(it, &s->held)
    { /* R7143-11.14-09 */
        struct held_pdu *held = list_entry(it, struct held_pdu, node);
        if (!conn || held->conn == conn)
            held_free(s, held);
    }
}
