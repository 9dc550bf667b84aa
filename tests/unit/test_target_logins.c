/* Logins and texts at their limits: how many requests, how long a text and an answer may be, what the engine
 * makes of a configuration that asks for more than it can do, who comes too late. Method: raw initiators;
 * each limit is tried at its value and one beyond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target/iscsi/conn_internal.h"
#include "target_full.h"

#define REQUESTS_MAX 256
#define CAP          8192u /* bytes of one text, in this world */

static struct world w;
static struct client c, d, e;

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    memset(&e, 0, sizeof e);
    world_init(&w);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    struct client *all[] = {&c, &d, &e};
    for (int i = 0; i < 3; i++)
        if (all[i]->w)
            client_fini(all[i]);
    world_fini(&w);
    return 0;
}
static void again(void)
{
    client_fini(&c);
    client_init(&c, &w);
}

/* Keys that nobody knows: the answers take `len` bytes altogether. */
static char *unknown_keys(uint32_t len)
{
    static char text[200000];
    const uint32_t answer = sizeof "=NotUnderstood", most = 63 + answer;
    uint32_t at = 0;
    for (uint32_t i = 0; len; i++) {
        uint32_t part = len > 2 * most ? most : len > most ? len / 2 : len;
        len -= part;
        int name = (int)(part - answer);
        assert_true(name >= 10);
        at += (uint32_t)sprintf(text + at, "%sX-%0*u=1", at ? "\n" : "", name - 2, i);
    }
    return text;
}

/* A login request with C bits as needed; the answer to the last part. */
static struct pdu_login_response login_parts(int csg, int nsg, const char *text)
{
    static char wire[200000];
    uint32_t len = text_make(text, wire), at = 0;
    struct pdu_login_response rsp;
    uint8_t bhs[PDU_BHS_LEN];
    do {
        uint32_t part = len - at > 8000 ? 8000 : len - at;
        struct pdu_login_request p;
        bool last = at + part == len;
        login_request(&c, &p, csg, last ? nsg : -1);
        p.more = !last;
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, wire + at, part);
        at += part;
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
    } while (at < len && login_status(rsp) == 0);
    return rsp;
}

static bool reply_begins(const char *beginning)
{
    for (uint32_t at = 0; at < c.reply.len; at += (uint32_t)strlen((char *)c.reply.data + at) + 1)
        if (strncmp((char *)c.reply.data + at, beginning, strlen(beginning)) == 0)
            return true;
    return false;
}

/* ---- login ---- */

static void a_login_has_so_many_requests(void **state)
{
    (void)state;
    for (int beyond = 0; beyond < 2; beyond++) {
        again();
        for (int i = 0; i < REQUESTS_MAX - 1 + beyond; i++)
            assert_int_equal(login_status(client_login_step(&c, 1, -1, i ? "" : NAMES)), 0);
        struct pdu_login_response rsp = client_login_step(&c, 1, 3, "");
        assert_int_equal(login_status(rsp), beyond ? 0x0200 : 0);
        assert_int_equal(c.closed, beyond);
    }
    PROVES("R7143-6.2-26", "target");
}

static void an_answer_of_one_segment_ends_the_stage(void **state)
{
    (void)state;
    w.config->limits.text_len_max = 65536;
    static const uint32_t lens[] = {8191, 8192, 8193, 16384, 16385};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        again();
        client_login_step(&c, 1, -1, NAMES "\nSessionType=Normal");
        struct pdu_login_response rsp = login_parts(1, 3, unknown_keys(lens[i]));
        uint32_t left = lens[i];
        for (;;) {
            uint32_t part = left > 8192 ? 8192 : left;
            left -= part;
            assert_int_equal(login_status(rsp), 0);
            assert_int_equal(c.reply.len, part);
            assert_int_equal(rsp.more, left > 0);
            assert_int_equal(rsp.transit, left == 0);
            assert_int_equal(rsp.nsg, left ? 0 : 3);
            if (!left)
                break;
            rsp = client_login_step(&c, 1, 3, "");
        }
    }
    PROVES("R7143-11.13.7-01", "target");
    PROVES("R7143-6.2-12", "target");
}

static void half_an_answer_is_to_be_fetched(void **state)
{
    (void)state;
    w.config->limits.text_len_max = 65536;
    for (int more = 0; more < 2; more++) { /* with another text, and with the beginning of one */
        again();
        client_login_step(&c, 1, -1, NAMES "\nSessionType=Normal");
        assert_int_equal(login_parts(1, 3, unknown_keys(9000)).more, 1);
        uint8_t bhs[PDU_BHS_LEN];
        struct pdu_login_request p;
        struct pdu_login_response rsp;
        login_request(&c, &p, 1, -1);
        p.more = (uint8_t)more;
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, "X-a=1", more ? 0 : 6);
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
        assert_int_equal(login_status(rsp), 0x0200);
        assert_true(c.closed);
    }
}

/* However little the configuration allows, 8192 bytes are taken; and so many are answered. */
static void texts_of_8192_bytes_are_always_taken(void **state)
{
    (void)state;
    static const struct {
        uint32_t allowed, text, answer; /* bytes */
        uint16_t status;
    } rows[] = {
        {0, 8192, 0, 0},         {0, 8193, 0, 0x0200}, {100, 8192, 0, 0},    {8193, 8193, 0, 0},
        {8193, 8194, 0, 0x0200}, {0, 0, 8192, 0},      {0, 0, 8193, 0x0302}, {9000, 0, 9000, 0},
        {9000, 0, 9001, 0x0302}, {65536, 0, 65536, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        w.config->limits.text_len_max = rows[i].allowed;
        again();
        client_login_step(&c, 1, -1, NAMES "\nSessionType=Normal");
        struct pdu_login_response rsp;
        if (rows[i].answer) {
            rsp = login_parts(1, 3, unknown_keys(rows[i].answer));
        } else {
            static char text[10000];
            /* InitiatorAlias and keys with long values; the NUL at the end counts */
            uint32_t at = 0;
            while (rows[i].text - at > 400)
                at += (uint32_t)sprintf(text + at, "X-%u=%0*u\n", 1000 + at, 190, 0);
            sprintf(text + at, "X-end=%0*u", (int)(rows[i].text - at - 7), 0);
            rsp = login_parts(1, 3, text);
        }
        assert_int_equal(login_status(rsp), rows[i].status);
        assert_int_equal(c.closed, rows[i].status != 0);
    }
    PROVES("R7143-6.1-15", "target");
}

/* What only CHAP has is no key where CHAP was not chosen. */
static void chap_needs_to_be_chosen(void **state)
{
    (void)state;
    static const char *const texts[] = {"CHAP_A=5", "CHAP_N=joe\nCHAP_R=0x00112233445566778899aabbccddeeff"};
    for (int i = 0; i < 2; i++) {
        again();
        client_login_step(&c, 0, -1, NAMES "\nSessionType=Normal\nAuthMethod=None");
        assert_int_equal(login_status(client_login_step(&c, 0, -1, texts[i])), 0x0200);
        assert_true(c.closed);
    }
    struct tgt_user *user = w.config->targets[0].users = env_alloc(&w.env, sizeof *user);
    w.config->targets[0].user_count = 1;
    strcpy(user->name, "joe");
    static const struct {
        const char *text;
        uint16_t status;
    } rows[] = {
        {"CHAP_A=5", 0},         {"CHAP_A=99", 0x0201}, {"CHAP_A=", 0x0200}, {"CHAP_A=5\nCHAP_A=5", 0x0200},
        {"CHAP_R=0x00", 0x0200}, {"SRP_U=joe", 0x0200},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        again();
        assert_int_equal(
            login_status(client_login_step(&c, 0, -1, NAMES "\nSessionType=Normal\nAuthMethod=CHAP")), 0);
        uint16_t status = login_status(client_login_step(&c, 0, -1, rows[i].text));
        assert_int_equal(status >> 8, rows[i].status >> 8);
        assert_int_equal(c.closed, rows[i].status != 0);
        if (status == 0) /* binary values in hexadecimal unless the initiator began otherwise */
            assert_true(reply_begins("CHAP_C=0x"));
    }
}

/* The configuration may say more than the engine can do. */
static void the_engine_bounds_what_is_configured(void **state)
{
    (void)state;
    struct key_config *keys = &w.config->targets[0].keys;
    keys->max_connections = 65535;
    keys->error_recovery_level = 2;
    keys->iscsi_protocol_level = 31;
    keys->first_burst_length = 16777215;
    keys->max_burst_length = 16777215;
    keys->max_recv_data_segment_length = 16777215;
    keys->data_pdu_in_order = keys->data_sequence_in_order = false;
    client_login(
        &c, "MaxConnections=65535\nErrorRecoveryLevel=2\niSCSIProtocolLevel=31\nFirstBurstLength=16777215\n"
            "MaxBurstLength=16777215\nMaxRecvDataSegmentLength=16777215\nDataPDUInOrder=No\n"
            "DataSequenceInOrder=No");
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_int_equal(info.max_connections, TGT_CONNECTIONS_MAX);
    assert_int_equal(info.error_recovery_level, 2);
    assert_int_equal(info.protocol_level, 2);
    assert_int_equal(info.first_burst, SCSI_SPAN_LEN);
    assert_int_equal(info.max_burst, 16777215);
    assert_int_equal(info.max_recv, POOL_CLASS_MAX);
    assert_int_equal(info.peer_max_recv, 16777215);
    assert_true(reply_has(&c.reply, "DataPDUInOrder=Yes"));
    assert_true(reply_has(&c.reply, "DataSequenceInOrder=Yes"));
}

static void a_session_is_described_by_what_was_agreed(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        bool header, data, initial_r2t, immediate;
        uint32_t r2ts;
        const char *reporting;
    } rows[] = {
        {"HeaderDigest=CRC32C\nDataDigest=None\nInitialR2T=Yes\nImmediateData=No\nMaxOutstandingR2T=1", true,
         false, true, false, 1, "RFC3720"},
        {"HeaderDigest=None\nDataDigest=CRC32C\nInitialR2T=No\nImmediateData=Yes\nMaxOutstandingR2T=3\n"
         "TaskReporting=FastAbort",
         false, true, false, true, 3, "FastAbort"},
        {"HeaderDigest=None\nInitialR2T=No\nImmediateData=No\nTaskReporting=ResponseFence", false, false,
         false, false, 1, "ResponseFence"},
    };
    world_capable(&w);
    struct key_config *keys = &w.config->targets[0].keys;
    keys->header_digest = keys->data_digest = (struct key_choices){2, {KEY_DIGEST_CRC32C, KEY_DIGEST_NONE}};
    keys->max_outstanding_r2t = 3;
    keys->initial_r2t = false;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        again();
        client_login(&c, rows[i].keys);
        struct tgt_session_info info;
        memset(&info, 0xff, sizeof info);
        assert_true(tgt_session_next(&w.r, 0, &info));
        assert_int_equal(info.header_digest, rows[i].header);
        assert_int_equal(info.data_digest, rows[i].data);
        assert_int_equal(info.initial_r2t, rows[i].initial_r2t);
        assert_int_equal(info.immediate_data, rows[i].immediate);
        assert_int_equal(info.max_outstanding_r2t, rows[i].r2ts);
        assert_string_equal(info.task_reporting, rows[i].reporting);
        assert_string_equal(info.alias, "");
        assert_int_equal(info.error_recovery_level, 0);
        assert_int_equal(info.group, 1);
        assert_false(info.discovery);
        client_settle(&c, 0);
    }
    again();
    client_discovery(&c);
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_true(info.discovery);
    assert_string_equal(info.target, "");
    assert_string_equal(info.auth, "None");
}

/* Whatever is wrong is said once, and counted once. */
static void a_refusal_is_one_response(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int csg;
        uint16_t tsih, status;
        bool stopping;
    } rows[] = {
        {NAMES, 1, 0, 0x0301, true},
        {"TargetName=" TARGET, 1, 0, 0x0207, false},
        {"InitiatorName=" INITIATOR, 1, 0, 0x0207, false},
        {"InitiatorName=" INITIATOR "\nTargetName=iqn.2026-01.com.example:none", 1, 0, 0x0203, false},
        {"InitiatorName=" INITIATOR "\nTargetName=" SECOND, 1, 0, 0x0202, false},
        {NAMES, 1, 99, 0x020a, false},
        {"InitiatorName=somebody\nTargetName=" TARGET, 1, 0, 0x0200, false},
        {"InitiatorName=" INITIATOR "\nTargetName=something", 1, 0, 0x0200, false},
        {NAMES, 1, 0, 0x0201, false},
        {NAMES, 1, 0, 0x0101, false},
    };
    struct tgt_acl *acl = w.config->targets[1].acls = env_alloc(&w.env, sizeof *acl);
    w.config->targets[1].acl_count = 1;
    strcpy(acl->initiator, "iqn.2000-01.org.other");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tgt_target *target = &w.config->targets[0];
        if (rows[i].status == 0x0201) {
            target->users = env_alloc(&w.env, sizeof *target->users);
            target->user_count = 1;
        } else if (rows[i].status == 0x0101) {
            target->user_count = 0;
            target->redirects = env_alloc(&w.env, sizeof *target->redirects);
            strcpy(target->redirects[0].address, "elsewhere");
            target->redirect_count = 1;
        }
        again();
        w.r.stopping = rows[i].stopping;
        c.tsih = rows[i].tsih;
        uint64_t failed = w.r.counters.logins_failed;
        struct pdu_login_response rsp = client_login_step(&c, rows[i].csg, 3, rows[i].text);
        assert_int_equal(login_status(rsp), rows[i].status);
        assert_int_equal(w.r.counters.logins_failed - failed, rows[i].status != 0x0101);
        assert_true(!rsp.transit && !rsp.more && rsp.nsg == 0);
        assert_int_equal(rsp.csg, rows[i].csg);
        assert_int_equal(rsp.tsih, rows[i].tsih);
        assert_int_equal(rsp.stat_sn, 1);
        assert_int_equal(rsp.exp_cmd_sn, c.cmd_sn);
        assert_memory_equal(rsp.isid, c.isid, 6);
        assert_true(client_quiet(&c) && c.closed);
        w.r.stopping = false;
    }
    assert_int_equal(w.ups, 0);
    assert_int_equal(w.r.counters.logins, 0);
}

static void discovery_takes_no_digest_when_it_may(void **state)
{
    (void)state;
    w.config->targets[0].keys.header_digest = (struct key_choices){2, {KEY_DIGEST_CRC32C, KEY_DIGEST_NONE}};
    static const struct {
        const char *offer, *answer;
    } rows[] = {{"CRC32C,None", "HeaderDigest=None"},
                {"None,CRC32C", "HeaderDigest=None"},
                {"CRC32C", "HeaderDigest=CRC32C"}};
    for (size_t i = 0; i < 3; i++) {
        char text[200];
        again();
        snprintf(text, sizeof text,
                 "InitiatorName=" INITIATOR "\nTargetName=" TARGET "\nSessionType=Discovery\nHeaderDigest=%s",
                 rows[i].offer);
        assert_int_equal(login_status(client_login_step(&c, 1, -1, text)), 0);
        assert_true(reply_has(&c.reply, rows[i].answer));
    }
}

/* A response that waits for another connection's acknowledgement goes out when that connection ends. */
static void a_fence_does_not_wait_for_who_is_gone(void **state)
{
    (void)state;
    world_capable(&w);
    client_login(&c, "MaxConnections=2\nTaskReporting=ResponseFence");
    client_settle(&c, 0);
    client_join(&d, &c, 2); /* has not acknowledged anything */
    unit_ready_send(&c, 1);
    assert_true(client_quiet(&c)); /* a unit attention is fenced */
    expect_ping(&d);
    tgt_conn_lost(d.conn, ERR_RESET);
    world_pump(&w);
    uint8_t seen[2];
    for (int i = 0; i < 2; i++) {
        struct reply *r = client_reply(&c);
        assert_non_null(r);
        seen[i] = pdu_opcode(r->bhs);
    }
    assert_true(seen[0] != seen[1]);
    assert_true(seen[0] == PDU_OP_scsi_response || seen[1] == PDU_OP_scsi_response);
    assert_true(seen[0] == PDU_OP_async_message || seen[1] == PDU_OP_async_message);
}

/* Two logins for the last place of a session: both are let in at first, one gets it. */
static void the_quicker_of_two_gets_the_last_place(void **state)
{
    (void)state;
    w.config->targets[0].keys.max_connections = 2;
    client_login(&c, "MaxConnections=2");
    struct client *joiners[] = {&d, &e};
    for (uint16_t i = 0; i < 2; i++) {
        client_init(joiners[i], &w);
        joiners[i]->tsih = c.tsih;
        joiners[i]->cid = (uint16_t)(2 + i);
        assert_int_equal(login_status(client_login_step(joiners[i], 1, -1, NAMES "\nSessionType=Normal")), 0);
    }
    assert_int_equal(login_status(client_login_step(&e, 1, 3, "")), 0);
    assert_int_equal(login_status(client_login_step(&d, 1, 3, "")), 0x0206);
    assert_true(d.closed && !e.closed && !c.closed);
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_int_equal(info.connections, 2);
    PROVES("R7143-11.13.5-09", "target");
}

/* ---- before any login ---- */

static void a_first_pdu_that_is_too_long_is_not_answered(void **state)
{
    (void)state;
    static uint8_t data[8200];
    for (uint32_t len = 8192; len <= 8196; len += 4) {
        again();
        uint8_t bhs[PDU_BHS_LEN];
        struct pdu_login_request p;
        login_request(&c, &p, 1, -1);
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, data, len);
        assert_true(c.closed);
        struct reply *r = client_reply(&c);
        assert_int_equal(r != NULL, len == 8192); /* NULs are no text: that is worth an answer */
    }
    again();
    client_login_step(&c, 1, -1, NAMES);
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request p;
    struct pdu_login_response rsp;
    login_request(&c, &p, 1, -1);
    pdu_login_request_encode(&p, bhs);
    client_send(&c, bhs, data, 8193);
    pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
    assert_int_equal(login_status(rsp), 0x0200);
    assert_true(c.closed);
    PROVES("R7143-6.3-04", "target");
}

/* ---- the transport ---- */

static void what_comes_after_the_end_is_dropped(void **state)
{
    (void)state;
    client_login(&c, "");
    uint64_t chunks = pool_chunks_in_use(w.pool);
    struct tgt_conn *conn = c.conn;
    read_send(&c, 0, 1);
    uint64_t pdus = w.r.counters.pdus_in;
    struct io_vec places[8];
    uint32_t count;
    uint8_t bhs[PDU_BHS_LEN] = {PDU_OP_nop_out | 0x40, 0x80};
    assert_int_equal(tgt_conn_room(conn, places, &count), TGT_ROOM_ANY);
    assert_true(tgt_session_notify(&w.r, 1, 1, "x", 1));
    assert_true(tgt_conn_gather(conn, places, 8) > 0);
    assert_int_equal(tgt_conn_gather(conn, places, 8), 0); /* one loan at a time */
    tgt_conn_lost(conn, ERR_RESET);
    tgt_conn_lost(conn, ERR_RESET); /* the receive and the send may both tell */
    struct chunk *chunk = pool_get(w.pool, TGT_CHUNK_LEN);
    memcpy(chunk->data, bhs, sizeof bhs);
    tgt_conn_received_chunk(conn, chunk, sizeof bhs);
    tgt_conn_received(conn, 48);
    assert_int_equal(tgt_conn_room(conn, places, &count), TGT_ROOM_NOT_NOW);
    assert_int_equal(tgt_conn_gather(conn, places, 8), 0);
    tgt_conn_sent(conn, 5);
    assert_int_equal(w.r.counters.pdus_in, pdus);
    world_pump(&w);
    assert_true(c.closed);
    assert_int_equal(w.downs, 1);
    assert_true(pool_chunks_in_use(w.pool) <= chunks);
}

/* ---- text in the full feature phase ---- */

static void text_limits_hold_later_too(void **state)
{
    (void)state;
    static const struct {
        uint32_t allowed, answer; /* bytes */
        int reject;               /* 0: answered */
    } rows[] = {{0, 8192, 0}, {0, 8193, 4}, {9000, 9000, 0}, {9000, 9001, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        w.config->limits.text_len_max = rows[i].allowed;
        again();
        client_login(&c, "MaxRecvDataSegmentLength=65536");
        text_send(&c, unknown_keys(rows[i].answer), 7, PDU_TAG_RESERVED, true, false);
        if (rows[i].reject) {
            uint8_t reason = expect_reject(&c);
            assert_true(reason == 4 || reason == 0x0a);
            assert_int_equal(c.reply.len, PDU_BHS_LEN); /* the header that was refused, no more */
            assert_int_equal(pdu_opcode(c.reply.data), PDU_OP_text_request);
            text_send(&c, "", 8, PDU_TAG_RESERVED, true, false);
        } else {
            assert_int_equal(text_answer(&c).final, 1);
            assert_int_equal(c.reply.len, rows[i].answer);
            text_send(&c, "", 8, PDU_TAG_RESERVED, true, false);
        }
        assert_int_equal(text_answer(&c).final, 1); /* and the connection lives on */
        assert_int_equal(c.reply.len, 0);
    }
}

/* An answer that just fits the initiator's segments needs one PDU; a byte more, two. */
static void answers_are_cut_to_the_initiators_segments(void **state)
{
    (void)state;
    client_login(&c, "MaxRecvDataSegmentLength=512");
    struct pdu_text_response rsp = text_do(&c, unknown_keys(512), 7, PDU_TAG_RESERVED);
    assert_int_equal(c.reply.len, 512);
    assert_true(rsp.final && !rsp.more && rsp.ttt == PDU_TAG_RESERVED);
    rsp = text_do(&c, unknown_keys(513), 8, PDU_TAG_RESERVED);
    assert_int_equal(c.reply.len, 512);
    assert_true(!rsp.final && rsp.more && rsp.ttt != PDU_TAG_RESERVED);
    rsp = text_do(&c, "", 8, rsp.ttt);
    assert_int_equal(c.reply.len, 1);
    assert_true(rsp.final && !rsp.more && rsp.ttt == PDU_TAG_RESERVED);
    for (int more = 0; more < 2; more++) { /* what has not been fetched */
        rsp = text_do(&c, unknown_keys(600), 9, PDU_TAG_RESERVED);
        assert_int_equal(rsp.more, 1);
        text_send(&c, more ? "" : "X-a=1", 9, rsp.ttt, !more, more);
        assert_int_equal(expect_reject(&c), 4);
        text_send(&c, "", 9, rsp.ttt, true, false); /* and it is gone */
        assert_int_equal(expect_reject(&c), 9);
    }
    PROVES("R7143-11.11.6-01", "target");
}

/* Parts of a text are answered with nothing but the tag for the next. */
static void parts_of_a_text_are_answered_empty(void **state)
{
    (void)state;
    client_login(&c, "");
    text_send(&c, "X-com.exam", 7, PDU_TAG_RESERVED, false, true);
    struct pdu_text_response rsp = text_answer(&c);
    assert_int_equal(c.reply.len, 0);
    assert_true(!rsp.final && !rsp.more && rsp.ttt != PDU_TAG_RESERVED);
    assert_int_equal(rsp.itt, 7);
    assert_int_equal(rsp.max_cmd_sn - rsp.exp_cmd_sn, 127);
    assert_int_equal(rsp.exp_cmd_sn, c.cmd_sn);
}

/* Tags go round without the reserved one and zero. */
static void tags_go_round(void **state)
{
    (void)state;
    client_login(&c, "MaxRecvDataSegmentLength=512");
    static const uint32_t last[] = {0, 0xfffffffd, 0xfffffffe}, next[] = {1, 0xfffffffe, 1};
    for (int i = 0; i < 3; i++) {
        c.conn->text_ttt = last[i];
        struct pdu_text_response rsp = text_do(&c, unknown_keys(600), 7, PDU_TAG_RESERVED);
        assert_int_equal(rsp.ttt, next[i]);
        c.conn->ping_ttt = last[i];
        c.conn->ping_open = false;
        nop_solicit(c.conn);
        nop_solicit(c.conn); /* one is open */
        world_pump(&w);
        assert_int_equal(expect_ping(&c), next[i]);
        assert_true(client_quiet(&c));
        nop_ack(&c, next[i], 0);
    }
}

/* ---- memory of a session ---- */

static size_t asked[8];
static uint32_t asked_count;
static void *counting_alloc(void *ctx, size_t size, size_t align)
{
    if (asked_count < 8)
        asked[asked_count++] = size;
    return world_alloc(ctx, size, align);
}

static void names_take_as_many_bytes_as_they_have(void **state)
{
    (void)state;
    client_login_step(&c, 1, -1, NAMES);
    w.env.alloc = counting_alloc;
    asked_count = 0;
    assert_int_equal(login_status(client_login_step(&c, 1, 3, "")), 0);
    /* the session, and then both ports with their NULs */
    assert_int_equal(asked[0], sizeof(struct tgt_session));
    assert_int_equal(asked[1], sizeof(INITIATOR ",i,0x800000000001") + sizeof(TARGET ",t,0x0001"));
    const struct tgt_session *s = c.conn->session;
    assert_string_equal(s->nexus.initiator_port, INITIATOR ",i,0x800000000001");
    assert_string_equal(s->nexus.target_port, TARGET ",t,0x0001");
    assert_string_equal(s->nexus.target_name, TARGET);
    assert_int_equal(s->nexus.target_portal_group_tag, 1);
    assert_int_equal(s->nexus.relative_port, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_login_has_so_many_requests),
        TEST(an_answer_of_one_segment_ends_the_stage),
        TEST(half_an_answer_is_to_be_fetched),
        TEST(texts_of_8192_bytes_are_always_taken),
        TEST(chap_needs_to_be_chosen),
        TEST(the_engine_bounds_what_is_configured),
        TEST(a_session_is_described_by_what_was_agreed),
        TEST(a_refusal_is_one_response),
        TEST(discovery_takes_no_digest_when_it_may),
        TEST(a_fence_does_not_wait_for_who_is_gone),
        TEST(the_quicker_of_two_gets_the_last_place),
        TEST(a_first_pdu_that_is_too_long_is_not_answered),
        TEST(what_comes_after_the_end_is_dropped),
        TEST(text_limits_hold_later_too),
        TEST(answers_are_cut_to_the_initiators_segments),
        TEST(parts_of_a_text_are_answered_empty),
        TEST(tags_go_round),
        TEST(names_take_as_many_bytes_as_they_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
