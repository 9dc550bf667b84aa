/* NOP-Out and NOP-In (RFC 7143 11.18, 11.19): the initiator's pings, ours, and NOP-In as carrier of the
 * window. */
#include "common/base/mutant.h"
#include "target/iscsi/conn_internal.h"

static void nop_in(struct tgt_conn *conn, uint32_t itt, uint32_t ttt, struct slice *data)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_nop_in pdu;
    pdu_nop_in_init(&pdu);
    pdu.itt = itt;
    pdu.ttt = ttt;
    /* R7143-11.19.2-01: used up only when it answers */
    pdu.stat_sn = itt != PDU_TAG_RESERVED ? conn->stat_sn++ : conn->stat_sn;
    session_numbers(conn->session, &pdu.exp_cmd_sn, &pdu.max_cmd_sn);
    pdu_nop_in_encode(&pdu, bhs);
    if (itt != PDU_TAG_RESERVED)
        conn_send_status(conn, bhs, data, NULL);
    else
        conn_send(conn, bhs, data, NULL);
}

void nop_out(struct tgt_conn *conn, const uint8_t *bhs, struct slice *data)
{
    struct pdu_nop_out pdu;
    pdu_nop_out_decode(bhs, &pdu);
    if (pdu.itt == PDU_TAG_RESERVED) { /* an answer, or no more than news of ExpStatSN: R7143-11.19-04 */
        retired_release(conn, pdu.lun);
        if (conn->ping_open && pdu.ttt == conn->ping_ttt) {
            conn->ping_open = false;
            conn->ping_answered = true;
            reactor_wake(conn->r, nop_deadline(conn));
        }
        return;
    }
    /* R7143-11.18.1-02, R7143-11.19-01, R7143-11.19-02, R7143-11.19-03: the ping's own bytes, as many as it
     * takes */
    data->len = min_u32(data->len, conn->params.peer_max_recv_data_segment_length);
    struct slice echo = *data;
    *data = (struct slice){0};
    if (!MUTANT(nop_unanswered))
        nop_in(conn, pdu.itt, PDU_TAG_RESERVED, echo.len ? &echo : NULL);
    if (!echo.len)
        slice_release(&echo);
}

void nop_announce(struct tgt_conn *conn)
{
    nop_in(conn, PDU_TAG_RESERVED, PDU_TAG_RESERVED, NULL);
}

/* ---- our pings ---- */

/* The service's times, or those of the first rule for this initiator. */
static struct tgt_pings pings(const struct tgt_conn *conn)
{
    const struct tgt_session *s = conn->session;
    if (conn->state != CONN_FULL || !s || !s->config || s->discovery) /* R7143-7.4.3-01 */
        return (struct tgt_pings){0};
    return tgt_config_pings(s->config, s->key.initiator);
}

uint64_t nop_deadline(const struct tgt_conn *conn)
{
    struct tgt_pings times = pings(conn);
    if (!times.interval_ns)
        return UINT64_MAX;
    if (!conn->ping_open)
        return conn->heard_ns + times.interval_ns;
    /* Boot firmware never answers: whoever has never done so is not waited for. */
    return conn->ping_answered ? conn->ping_ns + times.timeout_ns : UINT64_MAX;
}

static void ping(struct tgt_conn *conn)
{
    conn->ping_open = true;
    conn->ping_ns = env_now(conn->env);
    if (++conn->ping_ttt == PDU_TAG_RESERVED)
        conn->ping_ttt = 1;
    /* R7143-7.14-01, R7143-11.19-05, R7143-11.19.1-01, R7143-11.19.3-01: LUN 0 is as correct as any */
    nop_in(conn, PDU_TAG_RESERVED, conn->ping_ttt, NULL);
}

void nop_solicit(struct tgt_conn *conn)
{
    if (conn->state == CONN_FULL && !conn->ping_open)
        ping(conn);
}

void nop_tick(struct tgt_conn *conn, uint64_t now_ns)
{
    if (now_ns < nop_deadline(conn))
        return;
    if (conn->ping_open) {
        if (conn->heard_ns > conn->ping_ns) {
            conn->ping_ns = now_ns; /* it lives: it talks of other things */
            return;
        }
        env_trace(conn->env, TRACE_WARN, "nop.timeout", conn_label(conn), NULL, 0, 0);
        conn_drop(conn, "no answer to a ping"); /* R7143-10.7-03 */
        return;
    }
    ping(conn);
}
