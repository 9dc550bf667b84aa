/* Requests of the full feature phase for tests with several sessions and connections. */
#ifndef LUNETTE_TESTS_TARGET_FULL_H
#define LUNETTE_TESTS_TARGET_FULL_H

#include "target_harness.h"

/* What the target may agree to: tests log in with the keys that they want. */
static inline void world_capable(struct world *w)
{
    for (uint32_t i = 0; i < w->config->target_count; i++) {
        struct key_config *keys = &w->config->targets[i].keys;
        keys->max_connections = 8;
        keys->iscsi_protocol_level = 2;
        keys->task_reporting = (struct key_choices){
            3,
            {KEY_TASK_REPORTING_FAST_ABORT, KEY_TASK_REPORTING_RESPONSE_FENCE, KEY_TASK_REPORTING_RFC3720}};
    }
}

/* Another connection of `first`'s session. */
static inline void client_join(struct client *c, struct client *first, uint16_t cid)
{
    client_init(c, first->w);
    c->cid = cid;
    c->tsih = first->tsih;
    memcpy(c->isid, first->isid, sizeof c->isid);
    c->cmd_sn = first->cmd_sn;
    c->itt = first->itt + 1000u * cid;
    struct pdu_login_response rsp = client_login_step(c, 1, 3, NAMES "\nSessionType=Normal");
    if (login_status(rsp) != 0 || !rsp.transit) {
        fprintf(stderr, "join: %04x %s\n", login_status(rsp), c->w->trace);
        abort();
    }
    c->exp_stat_sn = rsp.stat_sn + 1;
}

/* Another session: other ISID. */
static inline void client_other(struct client *c, struct world *w, uint8_t isid, const char *keys)
{
    client_init(c, w);
    c->isid[5] = isid;
    c->itt = 5000;
    client_login(c, keys);
}

static inline struct pdu_async_message expect_async(struct client *c, uint8_t event)
{
    struct pdu_async_message p;
    struct pdu_fault fault;
    struct reply *r = client_expect(c, PDU_OP_async_message);
    pdu_async_message_decode(r->bhs, &p);
    assert(p.async_event == event && p.itt == PDU_TAG_RESERVED && pdu_check(r->bhs, true, &fault));
    assert(p.stat_sn == c->exp_stat_sn);
    c->exp_stat_sn = p.stat_sn + 1;
    return p;
}

static inline uint32_t unit_ready_send(struct client *c, uint64_t lun)
{
    struct pdu_scsi_command p = command(c, false, false, 0);
    p.lun = lun << 48;
    command_send(c, &p, NULL, 0);
    return p.itt;
}

/* A write of 8 blocks of which nothing is sent yet: the R2T comes. */
static inline struct pdu_r2t write_begin(struct client *c, uint64_t lun)
{
    struct pdu_r2t r2t;
    struct pdu_scsi_command p = command(c, false, true, 8 * BLOCK);
    p.lun = lun << 48;
    cdb_rw(p.cdb, true, 0, 8);
    command_send(c, &p, NULL, 0);
    pdu_r2t_decode(client_expect(c, PDU_OP_r2t)->bhs, &r2t);
    return r2t;
}

/* Text is given with '\n' between pairs. */
static inline void text_send(struct client *c, const char *text, uint32_t itt, uint32_t ttt, bool final,
                             bool more)
{
    static char buf[300000];
    struct pdu_text_request p;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_text_request_init(&p);
    p.immediate = 1;
    p.final = final;
    p.more = more;
    p.itt = itt;
    p.ttt = ttt;
    p.cmd_sn = c->cmd_sn;
    p.exp_stat_sn = c->exp_stat_sn;
    pdu_text_request_encode(&p, bhs);
    client_send(c, bhs, buf, text_make(text, buf));
}
static inline struct pdu_text_response text_answer(struct client *c)
{
    struct pdu_text_response rsp;
    pdu_text_response_decode(client_expect(c, PDU_OP_text_response)->bhs, &rsp);
    assert(rsp.stat_sn == c->exp_stat_sn);
    c->exp_stat_sn = rsp.stat_sn + 1;
    return rsp;
}
static inline struct pdu_text_response text_do(struct client *c, const char *text, uint32_t itt, uint32_t ttt)
{
    text_send(c, text, itt, ttt, true, false);
    return text_answer(c);
}
static inline uint8_t expect_reject(struct client *c)
{
    struct pdu_reject p;
    pdu_reject_decode(client_expect(c, PDU_OP_reject)->bhs, &p);
    c->exp_stat_sn = p.stat_sn + 1;
    return p.reason;
}

#endif
