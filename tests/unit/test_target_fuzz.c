/* Structure-aware fuzzing of the target engine, seeded: two clients log in properly, then send PDUs of every
 * kind whose fields are mostly right and sometimes not, over a store that answers late, with arrivals cut at
 * random. Every other seed recovers: levels 1 and 2, connections of one session, transports that break,
 * SNACKs and reassignments of tags that exist. Method: the engine's asserts and the sanitizers judge;
 * afterwards a fresh client must be served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "target_harness.h"

static struct world w;
static struct client clients[2];
static uint8_t payload[300000];
static uint32_t last_ttt[2], last_itt[2];
static uint32_t level; /* of recovery, in this world */

static uint32_t rnd(uint32_t n)
{
    return (uint32_t)(world_random(&w) % n);
}

/* Learns tags from what comes back. */
static void listen_to(uint32_t who)
{
    struct reply *r;
    struct client *c = &clients[who];
    while ((r = client_reply(c)) != NULL) {
        struct pdu_r2t r2t;
        if (pdu_opcode(r->bhs) == PDU_OP_r2t) {
            pdu_r2t_decode(r->bhs, &r2t);
            last_ttt[who] = r2t.ttt;
            last_itt[who] = r2t.itt;
        }
        if (pdu_opcode(r->bhs) == PDU_OP_text_response || pdu_opcode(r->bhs) == PDU_OP_nop_in)
            last_ttt[who] = be32_get(r->bhs + 20);
        if (pdu_opcode(r->bhs) == PDU_OP_data_in) {
            struct pdu_data_in in;
            pdu_data_in_decode(r->bhs, &in);
            if (in.acknowledge)
                last_ttt[who] = in.ttt;
            if (in.has_status)
                c->exp_stat_sn = in.stat_sn + 1;
        } else if (pdu_opcode(r->bhs) != PDU_OP_r2t && pdu_opcode(r->bhs) != PDU_OP_nop_in && rnd(3)) {
            c->exp_stat_sn = be32_get(r->bhs + 24) + 1;
        }
    }
    if (c->in_pos == c->in_len)
        c->in_pos = c->in_len = 0;
}

static void connect_client(uint32_t who)
{
    static const char *const keys[] = {
        "",
        "InitialR2T=No\nFirstBurstLength=4096\nMaxBurstLength=8192\nMaxOutstandingR2T=3",
        "HeaderDigest=CRC32C\nDataDigest=CRC32C\nInitialR2T=No",
        "ImmediateData=No\nMaxRecvDataSegmentLength=600",
        "DataDigest=CRC32C\nMaxBurstLength=600\nFirstBurstLength=512\nMaxOutstandingR2T=4",
    };
    struct client *c = &clients[who];
    client_fini(c);
    w.delay = false;
    world_release(&w);
    if (clients[!who].stuck) { /* it holds buffers that this one may need */
        client_unstick(&clients[!who]);
        listen_to(!who);
    }
    uint16_t tsih = c->tsih;
    uint8_t isid = c->isid[5];
    client_init(c, &w);
    if (level && rnd(3)) { /* its own session again, or the other's */
        struct client *other = &clients[!who];
        bool own = rnd(2);
        c->tsih = own ? tsih : other->tsih;
        c->isid[5] = own ? isid : other->isid[5];
        c->cid = (uint16_t)(1 + rnd(3));
        c->cmd_sn = other->cmd_sn;
        struct pdu_login_response rsp = client_login_step(
            c, 1, rnd(8) ? 3 : -1, NAMES "\nSessionType=Normal\nMaxRecvDataSegmentLength=2048");
        c->exp_stat_sn = rsp.stat_sn + 1;
        w.delay = rnd(2);
        return;
    }
    c->isid[5] = (uint8_t)(1 + rnd(2)); /* sometimes each other's: reinstatement */
    if (c->isid[5] != clients[!who].isid[5] || clients[!who].closed)
        c->cmd_sn = rnd(8) ? 10 : 0xfffffff0u + rnd(16);
    if (rnd(10) == 0) {
        client_discovery(c);
        c->header_digest = c->data_digest = false;
    } else {
        char text[300];
        snprintf(text, sizeof text, "ErrorRecoveryLevel=%u\nMaxConnections=4\n%s", level, keys[rnd(5)]);
        client_login(c, text);
    }
    c->cut = rnd(3) ? 0 : 1 + rnd(2000);
    c->cut_random = rnd(2);
    w.delay = rnd(2);
}

static void random_cdb(uint8_t *cdb)
{
    static const uint8_t ops[] = {0x00, 0x12, 0x25, 0x28, 0x2a, 0x28, 0x2a, 0x1a, 0x15, 0x35, 0x41, 0x42,
                                  0x88, 0x8a, 0x9e, 0xa0, 0x2f, 0x2e, 0x08, 0x0a, 0x03, 0x55, 0x5a, 0x93};
    memset(cdb, 0, 16);
    cdb[0] = rnd(30) ? ops[rnd(sizeof ops)] : (uint8_t)rnd(256);
    if (cdb[0] == 0x28 || cdb[0] == 0x2a || cdb[0] == 0x2f || cdb[0] == 0x2e || cdb[0] == 0x41) {
        cdb_rw(cdb, cdb[0] == 0x2a, rnd(BLOCKS + 10), (uint16_t)(rnd(4) ? rnd(40) : rnd(1500)));
        return;
    }
    for (int i = 1; i < 16; i++)
        cdb[i] = rnd(4) ? 0 : (uint8_t)rnd(256);
    if (rnd(2))
        cdb[4] = 96;
    cdb[8] = rnd(2) ? 64 : cdb[8];
}

/* A valid header of the kind, with its usual fields; returns how much data goes with it. */
static uint32_t build(struct client *c, uint32_t who, uint32_t kind, uint8_t *bhs)
{
    switch (kind) {
    case 0:
    case 1:
    case 2:
    case 3: {
        static const uint32_t lens[] = {0, 64, 512, 4096, 20480, 131072};
        bool write = rnd(2);
        struct pdu_scsi_command p =
            command(c, !write || rnd(20) == 0, write, rnd(10) ? lens[rnd(6)] : rnd(100000));
        random_cdb(p.cdb);
        if (rnd(3))
            cdb_rw(p.cdb, write, rnd(1000), (uint16_t)(p.expected_data_transfer_length / BLOCK));
        p.attr = (uint8_t)(rnd(8) ? 1 : rnd(5));
        p.lun = rnd(20) ? (uint64_t)rnd(2) << 48 : rnd(3) ? 5ull << 48 : world_random(&w);
        p.final = !write || rnd(3);
        p.immediate = rnd(10) == 0;
        if (p.immediate)
            p.cmd_sn = --c->cmd_sn;
        last_itt[who] = p.itt;
        pdu_scsi_command_encode(&p, bhs);
        uint32_t len = write && rnd(2) ? (uint32_t)(p.expected_data_transfer_length < 4096
                                                        ? p.expected_data_transfer_length
                                                        : rnd(4097))
                                       : 0;
        return len;
    }
    case 4:
    case 5:
    case 6: {
        struct pdu_data_out d = data_out(last_itt[who], rnd(3) ? last_ttt[who] : PDU_TAG_RESERVED,
                                         rnd(3) ? 0 : rnd(4), rnd(3) ? 0 : rnd(9) * 512, rnd(2));
        pdu_data_out_encode(&d, bhs);
        return rnd(5) ? rnd(5) * 512 : rnd(9000);
    }
    case 7: {
        struct pdu_task_management_request p;
        pdu_task_management_request_init(&p);
        p.immediate = (uint8_t)rnd(2);
        p.function = (uint8_t)(rnd(20) ? 1 + rnd(5) : rnd(128));
        if (level == 2 && rnd(2)) {
            p.function = 8;
            p.exp_data_sn = rnd(3);
        }
        p.lun = (uint64_t)rnd(3) << 48;
        p.itt = c->itt++;
        p.referenced_task_tag = rnd(2) ? last_itt[who] : c->itt - rnd(6);
        p.cmd_sn = p.immediate ? c->cmd_sn : c->cmd_sn++;
        p.ref_cmd_sn = c->cmd_sn - rnd(6);
        pdu_task_management_request_encode(&p, bhs);
        return 0;
    }
    case 8: {
        struct pdu_text_request p;
        pdu_text_request_init(&p);
        p.more = rnd(4) == 0;
        p.final = !p.more && rnd(4);
        p.itt = rnd(4) ? c->itt++ : c->itt;
        p.ttt = rnd(2) ? PDU_TAG_RESERVED : last_ttt[who];
        p.cmd_sn = c->cmd_sn++;
        pdu_text_request_encode(&p, bhs);
        static const char *const texts[] = {"SendTargets=All",
                                            "SendTargets=",
                                            ("SendTargets=" TARGET),
                                            "X-a.b=1",
                                            "",
                                            "MaxRecvDataSegmentLength=1024",
                                            "junk"};
        return text_make(texts[rnd(7)], (char *)payload);
    }
    case 9: {
        struct pdu_nop_out p;
        pdu_nop_out_init(&p);
        p.immediate = (uint8_t)rnd(2);
        p.itt = rnd(4) ? c->itt++ : PDU_TAG_RESERVED;
        p.ttt = rnd(2) ? PDU_TAG_RESERVED : last_ttt[who];
        p.cmd_sn = p.immediate || p.itt == PDU_TAG_RESERVED ? c->cmd_sn : c->cmd_sn++;
        pdu_nop_out_encode(&p, bhs);
        return rnd(700);
    }
    case 10: {
        struct pdu_snack_request p;
        pdu_snack_request_init(&p);
        p.type = (uint8_t)rnd(4);
        p.itt = rnd(4) ? last_itt[who] : c->itt - rnd(6);
        p.ttt = rnd(2) ? last_ttt[who] : 5;
        p.exp_stat_sn = c->exp_stat_sn;
        p.beg_run = rnd(2) ? 0 : p.type == 1 ? c->exp_stat_sn + rnd(3) : rnd(4);
        p.run_length = rnd(2) ? 0 : rnd(4);
        pdu_snack_request_encode(&p, bhs);
        return 0;
    }
    default:
        if (rnd(10)) { /* rarely the end */
            memset(bhs, 0, PDU_BHS_LEN);
            bhs[0] = (uint8_t)rnd(64);
            return rnd(100);
        }
        struct pdu_logout_request p;
        pdu_logout_request_init(&p);
        p.reason = (uint8_t)rnd(3);
        p.itt = c->itt++;
        p.cid = (uint16_t)rnd(3);
        p.cmd_sn = c->cmd_sn++;
        pdu_logout_request_encode(&p, bhs);
        return 0;
    }
}

static void one_pdu(uint32_t who)
{
    struct client *c = &clients[who];
    uint8_t bhs[PDU_BHS_LEN], ahs[64];
    uint32_t ahs_len = 0, len = build(c, who, rnd(12), bhs);
    const struct pdu_type *type = pdu_type_of(pdu_opcode(bhs));
    if (rnd(15) == 0 && type) { /* one field gets an interesting value */
        static const uint64_t values[] = {0,          1,          2,          0xff,
                                          0x7fffffff, 0x80000000, 0xffffffff, 0xffffffffffffffff};
        const struct pdu_field *f = &type->fields[rnd((uint32_t)type->field_count)];
        if (f->kind == PDU_FIELD_NUMBER)
            pdu_field_put(f, bhs, rnd(2) ? values[rnd(8)] : world_random(&w));
    }
    if (rnd(60) == 0) {
        ahs_len = 4 * (1 + rnd(16));
        world_random_bytes(&w, ahs, ahs_len);
        if (rnd(2)) {
            be16_put(ahs, (uint16_t)(ahs_len - 3));
            ahs[2] = (uint8_t)(1 + rnd(2));
        }
    }
    client_queue_ahs(c, bhs, ahs, ahs_len, payload, len);
    if (rnd(300) == 0 && c->out_len > 50)
        c->out[c->out_len - 1 - rnd(48)] ^= (uint8_t)(1u << rnd(8));
    if (rnd(4))
        client_push(c);
}

static void random_pdus_harm_nobody(void **state)
{
    (void)state;
    const char *env = getenv("FUZZ_SEED");
    uint64_t first = env ? strtoull(env, NULL, 0) : 1, last = env ? first + 1 : 26;
    for (uint64_t seed = first; seed < last; seed++) {
        if (getenv("HARNESS_TRACE"))
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        /* every third world is short of buffers, every third loses allocations */
        world_init_small(&w, seed % 3 == 1 ? 3u << 20 : 0);
        w.seed = seed * 7919;
        w.config->limits.command_window = 1 + rnd(64);
        w.config->limits.nop_interval_ns = rnd(2) ? 1000000 : 0;
        w.config->targets[0].keys.initial_r2t = false;
        w.config->targets[0].keys.max_outstanding_r2t = 4;
        w.config->targets[0].keys.max_recv_data_segment_length = 65536;
        /* a world that is short of buffers has none to keep */
        level = seed % 2 && seed % 3 != 1 ? 1 + (uint32_t)seed / 2 % 2 : 0;
        w.config->targets[0].keys.error_recovery_level = 2;
        w.config->targets[0].keys.max_connections = 4;
        world_start(&w);
        for (uint32_t i = 0; i < 2; i++) {
            client_init(&clients[i], &w);
            connect_client(i);
        }
        for (uint32_t i = 0; i < 4000; i++) {
            uint32_t who = rnd(2);
            if (clients[who].closed)
                connect_client(who);
            w.fail_alloc = seed % 3 == 2 ? 20 : 0;
            one_pdu(who);
            w.fail_alloc = 0;
            listen_to(who);
            if (rnd(8) == 0) {
                if (rnd(30) == 0)
                    w.fail_next = ERR_IO;
                world_release(&w);
            }
            if (rnd(200) == 0)
                world_pass(&w, 1000000ull * rnd(20000));
            if (rnd(100) == 0) {
                clients[who].stuck = !clients[who].stuck;
                if (!clients[who].stuck)
                    client_unstick(&clients[who]);
            }
            if (rnd(level ? 60 : 400) == 0 && !clients[who].closed) {
                tgt_conn_lost(clients[who].conn, ERR_RESET);
                world_pump(&w);
            }
            if (clients[who].out_pos == clients[who].out_len)
                clients[who].out_pos = clients[who].out_len = 0;
        }
        w.delay = false;
        world_release(&w);
        for (uint32_t i = 0; i < 2; i++) /* whoever takes no bytes holds buffers */
            if (clients[i].stuck)
                client_unstick(&clients[i]);
        struct client fresh;
        client_init(&fresh, &w);
        fresh.isid[5] = 9;
        client_login(&fresh, "");
        client_settle(&fresh, 0);
        client_fini(&fresh);
        for (uint32_t i = 0; i < 2; i++)
            client_fini(&clients[i]);
        world_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_pdus_harm_nobody)};
    return cmocka_run_group_tests_name("target_fuzz", tests, NULL, NULL);
}
