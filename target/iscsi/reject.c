/* Reject (RFC 7143 11.17): says that a PDU was refused, with its header as data. */
#include "target/iscsi/conn_internal.h"

static void reject(struct tgt_conn *conn, const uint8_t *bhs, const uint8_t *ahs, uint32_t ahs_len,
                   enum reject_reason reason, const char *why, uint32_t data_sn)
{
    uint8_t header[PDU_BHS_LEN + PDU_AHS_LEN_MAX];
    uint32_t len = PDU_BHS_LEN, most = conn->params.peer_max_recv_data_segment_length;
    conn->r->counters.rejects++;
    env_trace(conn->env, TRACE_WARN, "reject", conn_label(conn), why, reason, pdu_itt(bhs));
    memcpy(header, bhs, PDU_BHS_LEN);
    if (ahs && PDU_BHS_LEN + ahs_len <= most) {
        memcpy(header + PDU_BHS_LEN, ahs, ahs_len);
        len += ahs_len;
    }
    struct slice data;
    if (!conn_copy(conn, header, len, &data)) /* R7143-11.17.4-01 */
        return;
    uint8_t out[PDU_BHS_LEN];
    struct pdu_reject pdu;
    pdu_reject_init(&pdu); /* R7143-11.17-01: ITT is reserved */
    pdu.reason = (uint8_t)reason;
    pdu.data_sn = data_sn;
    pdu.stat_sn = conn->stat_sn++; /* R7143-11.17.3-01 */
    session_numbers(conn->session, &pdu.exp_cmd_sn, &pdu.max_cmd_sn);
    pdu_reject_encode(&pdu, out);
    conn_send_status(conn, out, &data, NULL);
}

void reject_send(struct tgt_conn *conn, const uint8_t *bhs, const uint8_t *ahs, uint32_t ahs_len,
                 enum reject_reason reason, const char *why)
{
    reject(conn, bhs, ahs, ahs_len, reason, why, 0);
}

void reject_data_snack(struct tgt_conn *conn, const uint8_t *bhs, const char *why, uint32_t next_sn)
{
    reject(conn, bhs, NULL, 0, REJECT_PROTOCOL, why, next_sn); /* R7143-11.17.2-01 */
}
