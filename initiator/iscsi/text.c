/* Text in the full feature phase (RFC 7143 6.4, 11.10, 11.11): the host's texts, one at a time, and the
 * engine's own declarations of a new MaxRecvDataSegmentLength. A connection has at most one text open. */
#include <string.h>

#include "common/base/err.h"
#include "initiator/iscsi/internal.h"

/* ---- requests ---- */

/* Requests of ours are immediate: they must get through even when the command window is closed. */
static void text_send(struct ini_conn *conn)
{
    struct pdu_text_request pdu;
    struct text_range piece = {0};
    bool more = false;
    uint8_t bhs[PDU_BHS_LEN];
    if (text_splitter_more(&conn->out))
        text_splitter_next(&conn->out, conn->keys.params.peer_max_recv_data_segment_length, &piece, &more);
    pdu_text_request_init(&pdu);
    pdu.immediate = 1;
    pdu.final = !more; /* R7143-11.10.2-01 */
    pdu.more = more;
    pdu.lun = conn->text.lun;
    pdu.itt = conn->text.itt; /* R7143-11.10.3-01 */
    pdu.ttt = conn->text.ttt;
    pdu.cmd_sn = conn->s->cmd_sn;
    pdu.exp_stat_sn = conn->exp_stat_sn;
    pdu_text_request_encode(&pdu, bhs);
    struct slice data = slice_borrow(piece.ptr, (uint32_t)piece.len);
    ini_queue_pdu(conn, bhs, piece.len ? &data : NULL, &conn->text_unsent);
}

/* Opens a text of what lies in out_text. */
static int text_open(struct ini_conn *conn, uint32_t len, bool own)
{
    uint32_t itt = ini_slot_take(conn->s, INI_SLOT_TEXT);
    if (itt == PDU_TAG_RESERVED)
        return ERR_BUSY;
    ini_slot_find(conn->s, itt)->conn = conn;
    conn->text = (struct ini_text_task){.open = true, .own = own, .itt = itt};
    conn->text.ttt = PDU_TAG_RESERVED; /* R7143-4.6.3.1-01 */
    conn->in_len = 0;
    text_splitter_init(&conn->out, conn->out_text, len);
    text_send(conn);
    return 0;
}

/* R7143-11.10-01: one text at a time, and out_text may not change while some of it is still to be sent. */
static bool text_free(const struct ini_conn *conn)
{
    return ini_conn_usable(conn) && !conn->text.open && conn->text_unsent == 0;
}

int ini_text(struct ini_session *s, const char *text, uint32_t len)
{
    if (!ini_is_up(s))
        return ERR_CLOSED;
    if (len > INI_TEXT_OUT_MAX)
        return ERR_TOOBIG;
    if (s->text_conn)
        return ERR_BUSY;
    list_for_each(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        if (!text_free(conn))
            continue;
        memcpy(conn->out_text, text, len); /* stays until the answer is here */
        int err = text_open(conn, len, false);
        if (!err)
            s->text_conn = conn;
        return err;
    }
    return ERR_BUSY;
}

int ini_send_targets(struct ini_session *s, const char *value)
{
    char text[INI_NAME_MAX + 16];
    struct text_writer w;
    text_writer_init(&w, text, sizeof text);
    if (!text_add(&w, "SendTargets", value))
        return ERR_INVALID;
    return ini_text(s, text, (uint32_t)w.len);
}

int ini_set_max_recv(struct ini_session *s, uint32_t len)
{
    if (!ini_is_up(s))
        return ERR_CLOSED;
    if (len < 512 || len > POOL_CLASS_MAX)
        return ERR_RANGE;
    s->new_max_recv = len;
    s->options.keys.max_recv_data_segment_length = len; /* of connections to come, too */
    list_for_each(node, &s->conns) list_entry(node, struct ini_conn, node)->declare = true;
    ini_go_on(s);
    return 0;
}

void ini_text_pump(struct ini_conn *conn)
{
    struct text_writer w;
    if (!conn->declare || !text_free(conn))
        return;
    uint32_t len =
        conn->s->new_max_recv ? conn->s->new_max_recv : conn->keys.params.max_recv_data_segment_length;
    text_writer_init(&w, conn->out_text, INI_TEXT_OUT_MAX);
    key_text_begin(&conn->keys);
    if (!key_offer_max_recv(&conn->keys, &w, len) || text_open(conn, (uint32_t)w.len, true) != 0)
        return; /* tried again when something ends */
    conn->declare = false;
    if (len > conn->framer.max_data) /* it may use it before we see its answer */
        conn->framer.max_data = len;
}

/* ---- answers ---- */

static void text_close(struct ini_conn *conn)
{
    ini_slot_release(conn->s, conn->text.itt);
    conn->text.open = false;
    if (conn->s->text_conn == conn)
        conn->s->text_conn = NULL;
}

static void text_done(struct ini_conn *conn, uint8_t response)
{
    struct ini_event *event = ini_event_add(conn->s, INI_EVENT_TEXT_DONE);
    event->conn = conn;
    event->response = response;
    event->text = (const uint8_t *)conn->in_text;
    event->text_len = response ? 0 : (uint32_t)conn->in_len;
}

void ini_text_rejected(struct ini_conn *conn, uint8_t reason)
{
    bool own = conn->text.own;
    if (!conn->text.open)
        return;
    text_close(conn);
    if (!own)
        text_done(conn, reason);
}

/* What the target said to our declaration; the new length counts from here on. */
static void text_own_done(struct ini_conn *conn)
{
    char answer[1024];
    struct text_writer w;
    struct text_parser parser;
    struct text_range key, value;
    enum text_result got;
    text_writer_init(&w, answer, sizeof answer); /* nothing of the target's needs an answer any more */
    text_parser_init(&parser, conn->in_text, conn->in_len, conn->in_len);
    while ((got = text_parser_next(&parser, &key, &value)) == TEXT_PAIR)
        if (key_receive(&conn->keys, key, value, &w) == KEYS_FAIL)
            break;
    if (got != TEXT_END || key_conclude(&conn->keys) == KEYS_FAIL) {
        key_abandon(&conn->keys); /* R7143-7.12-03 */
        return;
    }
    if (conn->keys.params.max_recv_data_segment_length != conn->framer_declared)
        conn->max_recv_epoch++; /* R7143-11.16.3-01: from now on lost data comes in other pieces */
    conn->framer_declared = conn->framer.max_data = conn->keys.params.max_recv_data_segment_length;
}

void ini_text_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct ini_session *s = conn->s;
    struct pdu_text_response pdu;
    pdu_text_response_decode(frame->bhs, &pdu);
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (!ini_status_turn(conn, pdu.stat_sn, frame, true))
        return;
    if (!conn->text.open || pdu.itt != conn->text.itt) {
        ini_fail(s, "the target sent a Text Response for a task that we do not have");
    } else if ((pdu.final && pdu.more) || (!pdu.final && pdu.ttt == PDU_TAG_RESERVED)) { /* R7143-6.2-02 */
        ini_fail(s, "the target's Text Response has flags that do not go together");
    } else if (text_splitter_more(&conn->out) && (pdu.final || frame->data_len)) { /* R7143-11.11.1-02 */
        ini_fail(s, "the target answers although our text is not complete");
    } else if (!ini_collect_text(conn, frame)) {
        ini_fail(s, "the target's text is longer than we accept");
    } else if (!pdu.final && ++conn->text.rounds > INI_TEXT_ROUNDS) {
        ini_fail(s, "the target's text does not end");
    } else if (!pdu.final) { /* more to come, or more to send: with its tag and LUN: R7143-11.11.4-01 */
        conn->text.ttt = pdu.ttt;
        conn->text.lun = pdu.lun;
        if (ini_conn_may_ask(conn)) /* else the text ends with the connection */
            text_send(conn);
    } else {
        bool own = conn->text.own;
        text_close(conn);
        if (own)
            text_own_done(conn);
        else
            text_done(conn, 0);
    }
}
