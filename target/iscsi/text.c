/* Text Requests (RFC 7143 6.4, 11.10, 11.11): one negotiation at a time on a connection, split texts both
 * ways. */
#include "common/base/err.h"
#include "target/iscsi/conn_internal.h"

static void refuse(struct tgt_conn *conn, const uint8_t *bhs, enum reject_reason reason, const char *why)
{
    conn_text_free(conn); /* R7143-7.12-03: what it had is dropped, and nothing of it was in force yet */
    reject_send(conn, bhs, NULL, 0, reason, why); /* R7143-6.4-10 */
}

static bool text_begin(struct tgt_conn *conn, const struct pdu_text_request *req)
{
    struct text_exchange *x = &conn->text;
    uint32_t cap = text_cap(conn->r->config);
    conn_text_free(conn); /* R7143-11.10.4-01 */
    x->in_buf = env_alloc(conn->env, cap);
    x->neg = env_alloc(conn->env, sizeof *x->neg);
    if (!x->in_buf || !x->neg) {
        conn_text_free(conn);
        return false;
    }
    struct key_config config;
    key_config_default(&config);
    config.max_recv_data_segment_length = conn->params.max_recv_data_segment_length;
    text_assembler_init(&x->in, x->in_buf, cap);
    key_negotiation_init(x->neg, KEY_ROLE_TARGET, &config, false, NULL);
    x->neg->params = conn->params;
    key_set_stage(x->neg, KEY_STAGE_FULL_FEATURE);
    x->itt = req->itt;
    return true;
}

/* R7143-11.11.1-04, R7143-11.11.1-05, R7143-11.10.4-05: a tag exactly when more is to come. */
static void respond(struct tgt_conn *conn, const struct pdu_text_request *req, bool final, bool more,
                    struct slice *data)
{
    struct text_exchange *x = &conn->text;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_text_response rsp;
    pdu_text_response_init(&rsp);
    x->open = !final;
    if (x->open) {
        if (++conn->text_ttt == PDU_TAG_RESERVED)
            conn->text_ttt = 1;
        x->ttt = conn->text_ttt;
    }
    rsp.final = final;
    rsp.more = more;    /* R7143-11.11.2-01 */
    rsp.itt = req->itt; /* R7143-11.11.3-01 */
    rsp.ttt = final ? PDU_TAG_RESERVED : x->ttt;
    rsp.lun = final ? 0 : req->lun; /* R7143-11.10.4-03 */
    rsp.stat_sn = conn->stat_sn++;  /* R7143-11.11.5-01 */
    session_numbers(conn->session, &rsp.exp_cmd_sn, &rsp.max_cmd_sn);
    pdu_text_response_encode(&rsp, bhs);
    conn_send_status(conn, bhs, data, NULL);
}

static void answer(struct tgt_conn *conn, const uint8_t *bhs, const struct pdu_text_request *req)
{
    struct text_exchange *x = &conn->text;
    uint32_t most = conn->params.peer_max_recv_data_segment_length; /* R7143-11.11.6-01 */
    bool last = x->out.len - x->out.pos <= most, more = false;
    /* R7143-11.11.1-01, R7143-11.11.1-03, R7143-6.4-07 */
    bool final = last && req->final && !key_unanswered(x->neg, NULL);
    struct text_range segment = {0};
    struct slice data;
    if (final && key_conclude(x->neg) != KEYS_OK) {
        refuse(conn, bhs, REJECT_PROTOCOL, x->neg->failure.reason);
        return;
    }
    text_splitter_next(&x->out, most, &segment, &more);
    x->answering = more;
    if (!conn_copy(conn, segment.ptr, (uint32_t)segment.len, &data))
        return;
    if (final) {
        conn->params = x->neg->params; /* R7143-6.4-14, R7143-6.4-01 */
        /* PDUs that were sent before the initiator has this may still be as long as it was allowed before. */
        if (conn->framer.max_data < conn->params.max_recv_data_segment_length)
            conn->framer.max_data = conn->params.max_recv_data_segment_length;
    }
    respond(conn, req, final, more, &data);
    if (final)
        conn_text_free(conn);
}

/* The pairs of a complete text; false when it was refused. */
static bool take_pairs(struct tgt_conn *conn, const uint8_t *bhs, struct text_writer *w)
{
    struct text_exchange *x = &conn->text;
    struct text_parser parser;
    struct text_range key, value;
    enum text_result result;
    text_parser_init(&parser, x->in.buf, x->in.len, x->in.cap);
    while ((result = text_parser_next(&parser, &key, &value)) == TEXT_PAIR) {
        if (key_receive(x->neg, key, value, w) != KEYS_OK) { /* R7143-6.4-12 */
            refuse(conn, bhs, REJECT_PROTOCOL,
                   x->neg->failure.reason ? x->neg->failure.reason : "key not allowed here");
            return false;
        }
    }
    if (result == TEXT_ERROR || key_flush(x->neg, w) != KEYS_OK) {
        refuse(conn, bhs, REJECT_PROTOCOL, result == TEXT_ERROR ? parser.rule : "answer too long");
        return false;
    }
    return true;
}

/* What the configuration says now, within what one buffer holds: as at login. */
static bool declare_max_recv(struct tgt_conn *conn, struct text_writer *w)
{
    const struct tgt_target *target = conn->session->target;
    if (!conn->renegotiate || !target)
        return true;
    conn->renegotiate = false;
    return key_offer_max_recv(conn->text.neg, w,
                              min_u32(target->keys.max_recv_data_segment_length, POOL_CLASS_MAX));
}

static void complete(struct tgt_conn *conn, const uint8_t *bhs, const struct pdu_text_request *req)
{
    struct text_exchange *x = &conn->text;
    struct text_writer w;
    size_t cap = x->in.cap, used;
    env_free(conn->env, x->out_buf);
    x->out_buf = env_alloc(conn->env, cap);
    if (!x->out_buf) {
        refuse(conn, bhs, REJECT_RESOURCES, "out of memory"); /* R7143-11.11.4-02 */
        return;
    }
    text_writer_init(&w, x->out_buf, cap);
    if (!take_pairs(conn, bhs, &w))
        return;
    if (x->neg->pending_texts.has_send_targets) {
        x->neg->pending_texts.has_send_targets = false;
        used = w.len;
        int err = discovery_answer(conn, x->neg->pending_texts.send_targets, &x->out_buf, &cap, &used);
        if (err == ERR_NOMEM) {
            refuse(conn, bhs, REJECT_RESOURCES, "out of memory");
            return;
        }
        if (err) {
            text_add(&w, "SendTargets", "Reject"); /* R7143-C-08 */
            used = w.len;
        }
    } else if (!declare_max_recv(conn, &w)) { /* no other key among targets */
        refuse(conn, bhs, REJECT_RESOURCES, "answer too long");
        return;
    } else {
        used = w.len;
    }
    text_splitter_init(&x->out, x->out_buf, used);
    answer(conn, bhs, req);
}

void text_request(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data)
{
    struct text_exchange *x = &conn->text;
    struct pdu_text_request req;
    pdu_text_request_decode(bhs, &req);
    if (req.final && req.more) { /* R7143-6.2-02 */
        refuse(conn, bhs, REJECT_PROTOCOL, "F and C bits");
        return;
    }
    if (req.ttt == PDU_TAG_RESERVED) { /* R7143-4.6.3.1-01 */
        if (!text_begin(conn, &req)) {
            refuse(conn, bhs, REJECT_RESOURCES, "out of memory");
            return;
        }
    } else if (!x->open || req.ttt != x->ttt || req.itt != x->itt) { /* R7143-11.11.4-03 */
        reject_send(conn, bhs, NULL, 0, REJECT_FIELD, "Target Transfer Tag");
        return;
    }
    if (!x->answering && ++x->requests > TGT_TEXT_EXCHANGES_MAX) { /* R7143-6.2-26, R7143-10.3-01 */
        refuse(conn, bhs, REJECT_PROTOCOL, "the negotiation does not end");
        return;
    }
    if (x->answering) {
        if (data->len || req.more)
            refuse(conn, bhs, REJECT_PROTOCOL, "the previous answer has not been fetched");
        else
            answer(conn, bhs, &req);
        return;
    }
    switch (text_assembler_add(&x->in, data->ptr, data->len, req.more)) {
    case TEXT_NEED_MORE: /* R7143-6.2-03 */
        respond(conn, &req, false, false, NULL);
        break;
    case TEXT_COMPLETE:
        complete(conn, bhs, &req);
        break;
    case TEXT_TOO_BIG:
        refuse(conn, bhs, REJECT_RESOURCES, "text longer than the limit");
        break;
    }
}
