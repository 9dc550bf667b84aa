/* What the tests of recovery and of many connections share, on top of target_harness.h: logins at a level,
 * SNACKs, task management, PDUs that are damaged on their way. */
#ifndef LUNETTE_TESTS_TARGET_RECOVERY_H
#define LUNETTE_TESTS_TARGET_RECOVERY_H

#include "target_harness.h"

#define SECOND_NS 1000000000ull

/* The target offers what it has. */
static inline void world_recovers(struct world *w)
{
    for (uint32_t i = 0; i < w->config->target_count; i++) {
        w->config->targets[i].keys.max_connections = 8;
        w->config->targets[i].keys.error_recovery_level = 2;
    }
}

static inline void client_login_level(struct client *c, int level, const char *keys)
{
    char text[1024];
    snprintf(text, sizeof text, "ErrorRecoveryLevel=%d\nMaxConnections=8%s%s", level, keys[0] ? "\n" : "",
             keys);
    client_login(c, text);
}

/* Another connection of c's session, or one in the place of its `cid`. */
static inline void client_join(struct client *d, const struct client *c, uint16_t cid, const char *keys)
{
    client_init(d, c->w);
    memcpy(d->isid, c->isid, sizeof d->isid);
    d->tsih = c->tsih;
    d->cid = cid;
    d->cmd_sn = c->cmd_sn;
    d->itt = c->itt + 1000u * cid;
    client_login(d, keys);
}

/* The transport breaks; c itself stays. */
static inline void client_cut(struct client *c)
{
    tgt_conn_lost(c->conn, ERR_IO);
    world_pump(c->w);
    assert(c->closed);
    c->out_pos = c->out_len;
}

static inline void snack_send(struct client *c, uint8_t type, uint32_t itt, uint32_t ttt, uint32_t beg_run,
                              uint32_t run_length)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_snack_request p;
    pdu_snack_request_init(&p);
    p.type = type;
    p.itt = itt;
    p.ttt = ttt;
    p.exp_stat_sn = c->exp_stat_sn;
    p.beg_run = beg_run;
    p.run_length = run_length;
    pdu_snack_request_encode(&p, bhs);
    client_send(c, bhs, NULL, 0);
}

static inline uint8_t expect_reject(struct client *c)
{
    struct pdu_reject p;
    pdu_reject_decode(client_expect(c, PDU_OP_reject)->bhs, &p);
    c->exp_stat_sn = p.stat_sn + 1;
    return p.reason;
}

/* The same PDU again? Numbers of the window may differ. */
static inline bool same_again(const uint8_t *a, const uint8_t *b)
{
    uint8_t x[PDU_BHS_LEN], y[PDU_BHS_LEN];
    memcpy(x, a, sizeof x);
    memcpy(y, b, sizeof y);
    memset(x + 28, 0, 8);
    memset(y + 28, 0, 8);
    return memcmp(x, y, sizeof x) == 0;
}

static inline struct pdu_data_in expect_data_in(struct client *c)
{
    struct pdu_data_in p;
    pdu_data_in_decode(client_expect(c, PDU_OP_data_in)->bhs, &p);
    return p;
}

static inline struct pdu_r2t expect_r2t(struct client *c)
{
    struct pdu_r2t p;
    pdu_r2t_decode(client_expect(c, PDU_OP_r2t)->bhs, &p);
    return p;
}

static inline struct pdu_scsi_command write_command(struct client *c, uint32_t lba, uint16_t blocks)
{
    struct pdu_scsi_command p = command(c, false, true, blocks * BLOCK);
    cdb_rw(p.cdb, true, lba, blocks);
    return p;
}

/* A Data-Out or command whose data digest is wrong. */
static inline void send_damaged(struct client *c, uint8_t *bhs, const void *data, uint32_t len)
{
    client_queue_ahs(c, bhs, "", 0, data, len);
    c->out[c->out_len - 1] ^= 0x10;
    client_push(c);
}

static inline void data_out_damaged(struct client *c, const struct pdu_data_out *p, const void *data,
                                    uint32_t len)
{
    uint8_t bhs[PDU_BHS_LEN];
    pdu_data_out_encode(p, bhs);
    send_damaged(c, bhs, data, len);
}

static inline uint8_t reassign(struct client *c, uint32_t task, uint32_t exp_data_sn)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_task_management_request p;
    struct pdu_task_management_response rsp;
    pdu_task_management_request_init(&p);
    p.immediate = 1;
    p.function = 8;
    p.itt = c->itt++;
    p.referenced_task_tag = task;
    p.cmd_sn = c->cmd_sn;
    p.exp_stat_sn = c->exp_stat_sn;
    p.exp_data_sn = exp_data_sn;
    pdu_task_management_request_encode(&p, bhs);
    client_send(c, bhs, NULL, 0);
    pdu_task_management_response_decode(client_expect(c, PDU_OP_task_management_response)->bhs, &rsp);
    c->exp_stat_sn = rsp.stat_sn + 1;
    return rsp.response;
}

static inline struct pdu_logout_response logout_of(struct client *c, uint8_t reason, uint16_t cid)
{
    struct pdu_logout_response rsp;
    logout_send(c, reason, cid, c->itt++);
    pdu_logout_response_decode(client_expect(c, PDU_OP_logout_response)->bhs, &rsp);
    if (!c->closed)
        c->exp_stat_sn = rsp.stat_sn + 1;
    return rsp;
}

/* Says no more than ExpStatSN. */
static inline void acknowledge_status(struct client *c)
{
    nop_ack(c, PDU_TAG_RESERVED, 0);
}

#endif
