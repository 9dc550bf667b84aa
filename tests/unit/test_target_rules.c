/* Rules of the login phase and of single PDUs that tests of other topics pass by (RFC 7143 6, 11, 13), seen
 * from the target's peer. Method: raw logins and requests, and a look at every header that comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/err.h"
#include "proves.h"
#include "target/iscsi/conn_internal.h"
#include "target_full.h"

#define NAMES_NORMAL NAMES "\nSessionType=Normal"

static struct world w;
static struct client c, d;

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    world_init(&w);
    world_capable(&w);
    return 0;
}
static void start(void)
{
    world_start(&w);
    client_init(&c, &w);
}
static int teardown(void **state)
{
    (void)state;
    w.delay = false;
    world_release(&w);
    client_fini(&c);
    client_fini(&d);
    world_fini(&w);
    return 0;
}
static void again(struct client *who)
{
    if (who->w)
        client_fini(who);
    client_init(who, &w);
}

/* ---- login: stages and what they carry ---- */

static void a_login_begins_in_either_stage(void **state)
{
    (void)state;
    start();
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES_NORMAL)), 0); /* operational */
    again(&c);
    assert_int_equal(client_login_step(&c, 0, 1, NAMES_NORMAL "\nAuthMethod=None").nsg, 1);
    struct pdu_login_response rsp = client_login_step(&c, 1, 3, "MaxBurstLength=4096");
    assert_true(reply_has(&c.reply, "MaxBurstLength=4096"));
    assert_int_equal(rsp.nsg, 3);
    again(&c); /* neither: the full feature phase is no stage to begin with */
    assert_int_equal(login_status(client_login_step(&c, 3, 3, NAMES_NORMAL)), 0x0200);
    PROVES("R7143-6-01", "target");
}

static void skipped_security_is_answered_with_the_tag_alone(void **state)
{
    (void)state;
    w.config->targets[0].alias[0] = '\0';
    start();
    struct pdu_login_response rsp = client_login_step(&c, 0, 1, NAMES_NORMAL);
    assert_int_equal(login_status(rsp), 0);
    assert_int_equal(rsp.transit, 1);
    assert_int_equal(rsp.nsg, 1);
    assert_int_equal(c.reply.len, sizeof "TargetPortalGroupTag=1");
    assert_true(reply_has(&c.reply, "TargetPortalGroupTag=1"));
    assert_int_equal(client_login_step(&c, 1, 3, "").nsg, 3);
    PROVES("R7143-6.3.1-09", "target");
}

static void no_answer_is_empty_without_need(void **state)
{
    (void)state;
    start();
    /* one round for each stage: what is asked is answered at once, and T = 1 at once with T = 1 */
    struct pdu_login_response rsp = client_login_step(&c, 0, 1, NAMES_NORMAL "\nAuthMethod=None");
    assert_true(rsp.transit && c.reply.len > 0);
    rsp = client_login_step(&c, 1, 3, "MaxConnections=4\nErrorRecoveryLevel=1");
    assert_true(rsp.transit && rsp.nsg == 3);
    assert_true(reply_has(&c.reply, "MaxConnections=4"));
    c.tsih = rsp.tsih;
    c.exp_stat_sn = rsp.stat_sn + 1;
    struct pdu_text_response text = text_do(&c, "SendTargets=", 5, PDU_TAG_RESERVED);
    assert_true(text.final && c.reply.len > 0);
    text = text_do(&c, "MaxRecvDataSegmentLength=4096", 6, PDU_TAG_RESERVED);
    assert_true(text.final); /* a declaration needs no answer: empty, but the last */
    assert_true(client_quiet(&c));
    PROVES("R7143-6.2-05", "target");
}

/* A target that proposes something itself waits for the answer before it lets the stage end. */
static const struct key_override proposals[] = {{"MaxBurstLength", "65536"}, {"X-com.example.a", "1"}};

static void proposals_hold_up_the_end_of_a_stage(void **state)
{
    (void)state;
    w.config->targets[0].keys.overrides = proposals;
    w.config->targets[0].keys.override_count = 2;
    start();
    struct pdu_login_response rsp = client_login_step(&c, 1, 3, NAMES_NORMAL);
    assert_int_equal(login_status(rsp), 0);
    assert_true(reply_has(&c.reply, "MaxBurstLength=65536"));
    assert_true(reply_has(&c.reply, "X-com.example.a=1"));
    assert_int_equal(rsp.transit, 0);
    assert_int_equal(rsp.nsg, 0);
    rsp = client_login_step(&c, 1, 3, "MaxBurstLength=8192");
    assert_int_equal(rsp.transit, 0); /* one is still open */
    rsp = client_login_step(&c, 1, 3, "X-com.example.a=NotUnderstood");
    assert_int_equal(login_status(rsp), 0);
    assert_int_equal(rsp.transit, 1);
    assert_int_equal(rsp.nsg, 3);
    assert_int_equal(c.reply.len, 0);
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_int_equal(info.max_burst, 8192);
    PROVES("R7143-6.3-17", "target");
    PROVES("R7143-11.13.6-01", "target");
    PROVES("R7143-6.2-13", "target");
    PROVES("R7143-11.12.3-02", "target");
}

static void vendor_keys_stay_out_of_discovery(void **state)
{
    (void)state;
    start();
    struct key_config config;
    struct key_negotiation neg;
    char buf[1000];
    struct text_writer out;
    for (int discovery = 0; discovery < 2; discovery++) {
        key_config_default(&config);
        config.overrides = proposals;
        config.override_count = 2;
        key_negotiation_init(&neg, KEY_ROLE_TARGET, &config, true, NULL);
        key_set_stage(&neg, KEY_STAGE_OPERATIONAL);
        text_writer_init(&out, buf, sizeof buf);
        if (discovery)
            assert_int_equal(
                key_receive(&neg, text_range_of("SessionType"), text_range_of("Discovery"), &out), KEYS_OK);
        assert_true(key_offer_operational(&neg, &out));
        struct reply said = {.data = (uint8_t *)buf, .len = (uint32_t)out.len};
        assert_int_equal(reply_has(&said, "X-com.example.a=1"), !discovery);
    }
    /* and what an initiator brings along there is understood no better than elsewhere */
    struct pdu_login_response rsp =
        client_login_step(&c, 1, 3, "InitiatorName=" INITIATOR "\nSessionType=Discovery\nX-com.example.b=1");
    assert_int_equal(login_status(rsp), 0);
    assert_true(reply_has(&c.reply, "X-com.example.b=NotUnderstood"));
    PROVES("R7143-13.22-02", "target");
}

/* ---- login: who decides about the method ---- */

static void user_add(void)
{
    struct tgt_user *user = env_alloc(&w.env, sizeof *user);
    snprintf(user->name, sizeof user->name, "joe");
    memcpy(user->secret, "a secret of joe", 15);
    user->secret_len = 15;
    w.config->targets[0].users = user;
    w.config->targets[0].user_count = 1;
}

static void who_offers_nothing_is_told_the_method(void **state)
{
    (void)state;
    user_add();
    start();
    struct pdu_login_response rsp = client_login_step(&c, 0, -1, NAMES_NORMAL);
    assert_int_equal(login_status(rsp), 0);
    assert_true(reply_has(&c.reply, "AuthMethod=CHAP"));
    assert_int_equal(rsp.transit, 0);
    rsp = client_login_step(&c, 0, -1, "AuthMethod=CHAP");
    assert_int_equal(login_status(rsp), 0);
    assert_false(reply_has(&c.reply, "AuthMethod=CHAP")); /* it is agreed now, and not said again */
    rsp = client_login_step(&c, 0, -1, "CHAP_A=5");
    assert_int_equal(login_status(rsp), 0);
    assert_true(reply_has(&c.reply, "CHAP_A=5"));
    /* whoever refuses is sent away, as is who wants out of the stage */
    again(&c);
    client_login_step(&c, 0, -1, NAMES_NORMAL);
    assert_int_equal(login_status(client_login_step(&c, 0, -1, "AuthMethod=Reject")), 0x0201);
    assert_true(c.closed);
    again(&c);
    client_login_step(&c, 0, -1, NAMES_NORMAL);
    assert_int_equal(login_status(client_login_step(&c, 0, 1, "AuthMethod=None")), 0x0200);
    again(&c);
    client_login_step(&c, 0, -1, NAMES_NORMAL);
    rsp = client_login_step(&c, 0, 1, "");
    assert_true(login_status(rsp) == 0x0201 || !rsp.transit);
    PROVES("R7143-6.3.2-07", "target");
    PROVES("R7143-12.1-03", "target");
    PROVES("R7143-6.2-18", "target");
}

/* ---- login: the first request ---- */

static void fields_of_the_first_request_count(void **state)
{
    (void)state;
    start();
    struct pdu_login_request p;
    struct pdu_login_response rsp;
    uint8_t bhs[PDU_BHS_LEN];
    char text[400];
    /* a Version-max that we do not have: the active version is one that both have */
    c.cid = 5;
    login_request(&c, &p, 1, -1);
    p.version_max = 9;
    pdu_login_request_encode(&p, bhs);
    client_send(&c, bhs, text, text_make(NAMES_NORMAL "\nMaxConnections=4", text));
    pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
    assert_int_equal(login_status(rsp), 0);
    assert_int_equal(rsp.version_active, 0);
    p.transit = 1;
    p.nsg = 3;
    p.exp_stat_sn = rsp.stat_sn + 1;
    pdu_login_request_encode(&p, bhs);
    client_send(&c, bhs, NULL, 0);
    pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
    assert_int_equal(login_status(rsp), 0);
    c.tsih = rsp.tsih;
    c.exp_stat_sn = rsp.stat_sn + 1;
    /* what a later request says instead is no second word: the login fails, and nothing happens to what it
     * names */
    for (int field = 0; field < 4; field++) {
        again(&d);
        d.tsih = c.tsih;
        d.cid = 6;
        assert_int_equal(login_status(client_login_step(&d, 1, -1, NAMES_NORMAL)), 0);
        login_request(&d, &p, 1, 3);
        if (field == 0)
            p.version_max = 3;
        else if (field == 1)
            p.version_min = 1;
        else if (field == 2)
            p.tsih = 0; /* would reinstate the session */
        else
            p.cid = 5; /* would reinstate the connection */
        pdu_login_request_encode(&p, bhs);
        client_send(&d, bhs, NULL, 0);
        pdu_login_response_decode(client_expect(&d, PDU_OP_login_response)->bhs, &rsp);
        assert_int_equal(rsp.status_class, 2);
        assert_true(d.closed);
        assert_false(c.closed);
    }
    again(&d); /* the CID of the first request is the connection's */
    d.tsih = c.tsih;
    d.cid = 5;
    assert_int_equal(login_status(client_login_step(&d, 1, 3, NAMES_NORMAL)), 0);
    assert_true(c.closed);
    assert_int_equal(w.downs, 0);
    PROVES("R7143-11.12.4.1-02", "target");
    PROVES("R7143-11.12.4.2-02", "target");
    PROVES("R7143-11.12.6-04", "target");
    PROVES("R7143-11.12.7-02", "target");
}

static void parameters_begin_anew(void **state)
{
    (void)state;
    start();
    client_login(&c,
                 "HeaderDigest=CRC32C\nDataDigest=CRC32C\nMaxRecvDataSegmentLength=512\nMaxBurstLength=1024\n"
                 "FirstBurstLength=512\nMaxConnections=4\nImmediateData=No\niSCSIProtocolLevel=2");
    client_join(&d, &c, 2); /* connection parameters are each connection's own */
    struct pdu_scsi_command p = command(&d, true, false, 4 * BLOCK);
    (void)p;
    client_fini(&d);
    again(&c); /* reinstates: nothing of the old session is left */
    c.cmd_sn = 77;
    client_login(&c, "");
    assert_false(c.header_digest || c.data_digest);
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_false(info.header_digest || info.data_digest);
    assert_int_equal(info.peer_max_recv, 8192);
    assert_int_equal(info.max_burst, 262144);
    assert_int_equal(info.first_burst, 65536);
    assert_int_equal(info.max_connections, 1);
    assert_int_equal(info.protocol_level, 1);
    assert_true(info.immediate_data);
    PROVES("R7143-4.2.8-01", "target");
}

/* ---- names, tags, LUNs ---- */

static void ports_and_device_have_their_names(void **state)
{
    (void)state;
    start();
    client_login(&c, "");
    client_settle(&c, 0);
    struct pdu_scsi_command p = command(&c, true, false, 255);
    p.cdb[0] = 0x12;
    p.cdb[1] = 1;
    p.cdb[2] = 0x83;
    p.cdb[4] = 255;
    command_send(&c, &p, NULL, 0);
    struct reply *r = client_expect(&c, PDU_OP_data_in);
    static const char port[] = TARGET ",t,0x0001", device[] = TARGET;
    bool has_port = false, has_device = false;
    for (uint32_t at = 4; at + 4 <= r->len; at += 4u + r->data[at + 3]) {
        const uint8_t *one = r->data + at;
        if ((one[1] & 15) != 8) /* SCSI name string */
            continue;
        bool of_port = (one[1] >> 4 & 3) == 1;
        const char *text = (const char *)one + 4;
        assert_true(one[3] % 4 == 0 && text[one[3] - 1] == '\0'); /* NUL, and padded with more of them */
        has_port |= of_port && memcmp(text, port, sizeof port) == 0;
        has_device |= !of_port && memcmp(text, device, sizeof device) == 0;
    }
    assert_true(has_port && has_device);
    assert_int_equal(sizeof "0x0001", 7);
    const struct tgt_session *s = list_first(&w.r.sessions, struct tgt_session, node);
    assert_string_equal(s->nexus.initiator_port, INITIATOR ",i,0x800000000001");
    assert_int_equal(sizeof "0x800000000001", 15);
    PROVES("R7143-4.4.2-01", "both");
    PROVES("R7143-4.4.2-02", "both");
    PROVES("R7143-4.4.2-03", "both");
    PROVES("R7143-4.4.2-04", "both");
}

static void portal_group_tag_zero_is_a_tag(void **state)
{
    (void)state;
    start();
    tgt_conn_lost(c.conn, 0);
    world_pump(&w);
    c.closed = false;
    struct tgt_conn_info info = {.group = 0, .host = &c};
    addr_parse("127.0.0.1:3260", 3260, &info.local);
    addr_parse("10.1.2.3:40000", 0, &info.peer);
    assert_int_equal(tgt_conn_new(&w.r, &info, &c.conn), 0);
    client_login(&c, "");
    assert_true(reply_has(&c.reply, "TargetPortalGroupTag=0"));
    client_settle(&c, 0);
    PROVES("R7143-13.9-03", "target");
}

static void an_alias_is_nobodys_identity(void **state)
{
    (void)state;
    struct tgt_acl *acl = env_alloc(&w.env, sizeof *acl);
    snprintf(acl->initiator, sizeof acl->initiator, "%s", "iqn.2026-01.com.example:friend");
    w.config->targets[0].acls = acl;
    w.config->targets[0].acl_count = 1;
    start();
    assert_int_equal(login_status(client_login_step(
                         &c, 1, 3, NAMES_NORMAL "\nInitiatorAlias=iqn.2026-01.com.example:friend")),
                     0x0202);
    /* two of the same alias are two */
    again(&c);
    assert_int_equal(login_status(client_login_step(&c, 1, 3,
                                                    "InitiatorName=" INITIATOR "\nTargetName=" SECOND
                                                    "\nInitiatorAlias=twin")),
                     0);
    again(&d);
    assert_int_equal(login_status(client_login_step(&d, 1, 3,
                                                    "InitiatorName=" INITIATOR "2\nTargetName=" SECOND
                                                    "\nInitiatorAlias=twin")),
                     0);
    assert_false(c.closed);
    assert_int_equal(w.ups, 2);
    /* nor is ours a name to log in to */
    again(&c);
    assert_int_equal(
        login_status(client_login_step(&c, 1, 3, "InitiatorName=" INITIATOR "\nTargetName=a disk")), 0x0200);
    PROVES("R7143-13.6-02", "target");
}

static void node_architecture_changes_nothing(void **state)
{
    (void)state;
    uint8_t bhs[2][PDU_BHS_LEN], text[2][512];
    uint32_t len[2];
    struct tgt_session_info info[2];
    start();
    for (int with = 0; with < 2; with++) {
        again(&c);
        c.isid[5] = (uint8_t)(3 + with);
        client_login(&c,
                     with ? "MaxBurstLength=4096\nX#NodeArchitecture=Lunette/0.1" : "MaxBurstLength=4096");
        len[with] = c.reply.len;
        memcpy(bhs[with], c.reply.bhs, PDU_BHS_LEN);
        memcpy(text[with], c.reply.data, c.reply.len);
        assert_true(tgt_session_next(&w.r, 0, &info[with]));
        client_settle(&c, 0);
    }
    assert_int_equal(len[0], len[1]);
    assert_memory_equal(text[0], text[1], len[0]);
    assert_memory_equal(bhs[0], bhs[1], 8);
    assert_memory_equal(bhs[0] + 16, bhs[1] + 16, 32);
    assert_int_equal(info[0].max_burst, info[1].max_burst);
    assert_int_equal(info[0].first_burst, info[1].first_burst);
    PROVES("R7143-13.26.2-01", "target");
}

static void luns_are_eight_bytes_as_in_report_luns(void **state)
{
    (void)state;
    w.config->targets[0].map.luns[1].number = 300;
    start();
    client_login(&c, "");
    client_settle(&c, 0);
    struct pdu_scsi_command p = command(&c, true, false, 64);
    p.cdb[0] = 0xa0;
    be32_put(p.cdb + 6, 64);
    command_send(&c, &p, NULL, 0);
    struct reply *r = client_expect(&c, PDU_OP_data_in);
    assert_int_equal(be32_get(r->data), 16);
    uint8_t lun[8], bhs[PDU_BHS_LEN];
    memcpy(lun, r->data + 16, 8);
    assert_int_equal(be16_get(lun), 0x4000 | 300);
    assert_int_equal(be32_get(lun + 2) | be16_get(lun + 6), 0);
    c.exp_stat_sn++;
    for (int i = 0; i < 2; i++) { /* the unit attention, and good */
        p = command(&c, false, false, 0);
        pdu_scsi_command_encode(&p, bhs);
        memcpy(bhs + 8, lun, 8);
        client_send(&c, bhs, NULL, 0);
        assert_int_equal(expect_response(&c).status, i ? 0 : 2);
    }
    p = command(&c, false, false, 0); /* the number alone is another LUN */
    pdu_scsi_command_encode(&p, bhs);
    be64_put(bhs + 8, 300);
    client_send(&c, bhs, NULL, 0);
    assert_int_equal(expect_response(&c).status, 2);
    assert_true(sense_is(&c, 5, 0x25, 0));
    PROVES("R7143-11.2.1.7-01", "target");
}

/* ---- every header ---- */

/* A response's header is in order whatever it is about. Returns its opcode. */
static uint8_t in_order(const struct reply *r)
{
    struct pdu_fault fault;
    char text[200];
    assert_true(pdu_opcode(r->bhs) >= 0x20 && pdu_opcode(r->bhs) < 0x40);
    assert_int_equal(r->bhs[0] & 0xc0, 0); /* no I bit, and the bit before it is reserved */
    assert_int_equal(r->bhs[4], 0);        /* no AHS */
    if (!pdu_check(r->bhs, true, &fault))
        fail_msg("%s", pdu_fault_text(&fault, text, sizeof text));
    if (pdu_opcode(r->bhs) == PDU_OP_scsi_response) {
        struct pdu_scsi_response rsp;
        pdu_scsi_response_decode(r->bhs, &rsp);
        /* What goes wrong in the target is told by a status: a residual is then always valid. */
        assert_int_equal(rsp.response, 0);
        assert_false(rsp.overflow && rsp.underflow);
        assert_true((rsp.overflow || rsp.underflow) == (rsp.residual_count != 0));
    }
    return pdu_opcode(r->bhs);
}

static void every_header_is_in_order(void **state)
{
    (void)state;
    static bool seen[64];
    uint8_t bhs[PDU_BHS_LEN] = {0x1c, 0x80};
    memset(seen, 0, sizeof seen);
    w.config->targets[0].keys.error_recovery_level = 2;
    start();
    client_login(&c, "MaxConnections=4\nErrorRecoveryLevel=1\nInitialR2T=Yes\nImmediateData=No\n"
                     "MaxRecvDataSegmentLength=1024");
    seen[in_order(&c.reply)] = true;
    static uint8_t data[16 * BLOCK];
    unit_ready_send(&c, 0);    /* a unit attention */
    unit_ready_send(&c, 7);    /* no such LUN */
    read_send(&c, 0, 16);      /* in pieces */
    read_send(&c, BLOCKS, 16); /* beyond the end */
    w.fail_next = ERR_IO;
    read_send(&c, 0, 1);
    struct pdu_scsi_command p = command(&c, false, true, 16 * BLOCK);
    cdb_rw(p.cdb, true, 0, 16);
    command_send(&c, &p, NULL, 0);
    uint32_t ttt = PDU_TAG_RESERVED;
    struct reply *r;
    while ((r = client_reply(&c)) != NULL) {
        seen[in_order(r)] = true;
        if (pdu_opcode(r->bhs) == PDU_OP_r2t)
            ttt = be32_get(r->bhs + 20);
    }
    struct pdu_data_out out = data_out(p.itt, ttt, 0, 0, true);
    data_out_send(&c, &out, data, sizeof data);
    struct pdu_task_management_request tmf = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &tmf);
    be32_put(bhs + 16, 0x77);
    client_send(&c, bhs, NULL, 0); /* an opcode of nobody's */
    text_send(&c, "SendTargets=", 0x78, PDU_TAG_RESERVED, true, false);
    client_join(&d, &c, 2);
    tgt_conn_lost(d.conn, ERR_RESET); /* told by an asynchronous message */
    world_pump(&w);
    struct pdu_nop_out nop;
    pdu_nop_out_init(&nop);
    nop.immediate = 1;
    nop.itt = 0x79;
    nop.cmd_sn = c.cmd_sn;
    pdu_nop_out_encode(&nop, bhs);
    client_send(&c, bhs, "ping", 4);
    logout_send(&c, 0, 0, 0x7a);
    while ((r = client_reply(&c)) != NULL)
        seen[in_order(r)] = true;
    static const uint8_t all[] = {PDU_OP_login_response, PDU_OP_scsi_response,
                                  PDU_OP_data_in,        PDU_OP_r2t,
                                  PDU_OP_reject,         PDU_OP_task_management_response,
                                  PDU_OP_text_response,  PDU_OP_nop_in,
                                  PDU_OP_async_message,  PDU_OP_logout_response};
    for (size_t i = 0; i < sizeof all; i++)
        if (!seen[all[i]])
            fail_msg("%s was not seen", pdu_name(all[i]));
    PROVES("R7143-11.2-02", "target");
    PROVES("R7143-11.2.1.1-01", "target");
    PROVES("R7143-11.2.1.2-02", "target");
    PROVES("R7143-11.4.1-03", "target");
    PROVES("R7143-11.4.2-01", "target");
    PROVES("R7143-11.4.3-01", "target");
}

/* The end of a read: the status, and whether it came with data. */
static uint8_t end_of_read(struct client *who, bool *rides)
{
    struct reply *r;
    struct pdu_data_in in = {0};
    while ((r = client_reply(who)) != NULL && pdu_opcode(r->bhs) == PDU_OP_data_in) {
        pdu_data_in_decode(r->bhs, &in);
        if (in.has_status) {
            *rides = true;
            who->exp_stat_sn = in.stat_sn + 1;
            return in.status;
        }
    }
    assert_non_null(r);
    assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(r->bhs, &rsp);
    who->exp_stat_sn = rsp.stat_sn + 1;
    *rides = false;
    return rsp.status;
}

static void only_a_good_status_rides_on_data(void **state)
{
    (void)state;
    bool rides;
    start();
    client_login(&c, "");
    client_settle(&c, 0);
    read_send(&c, 0, 4);
    assert_int_equal(end_of_read(&c, &rides), 0);
    assert_true(rides);
    w.delay = true; /* a read of several spans, of which a later one fails */
    read_send(&c, 0, 2048);
    w.delay = false;
    struct list_node *node = list_pop_front(&w.delayed);
    w.delayed_count--;
    store_execute(&w, list_entry(node, struct store_req, node));
    world_pump(&w);
    w.fail_next = ERR_IO;
    world_release(&w);
    assert_int_equal(end_of_read(&c, &rides), 2);
    assert_false(rides);
    w.fail_alloc = 1; /* no memory for the command: BUSY */
    w.delay = true;
    uint32_t count = 0, busy = 0, full = 0;
    while (count < 100) {
        read_send(&c, 0, 1);
        count++;
        if (!client_quiet(&c))
            break;
    }
    w.fail_alloc = 0;
    struct reply *r;
    while ((r = client_reply(&c)) != NULL) {
        assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
        busy += r->bhs[3] == 0x08;
        full += r->bhs[3] == 0x28;
    }
    assert_true(busy + full > 0);
    PROVES("R7143-11.7-03", "target");
}

/* ---- windows and outstanding data ---- */

static void a_window_that_opens_in_silence_is_announced(void **state)
{
    (void)state;
    w.config->limits.command_window = 1;
    start();
    client_login(&c, "MaxConnections=4");
    client_settle(&c, 0);
    client_join(&d, &c, 2);
    w.delay = true;
    d.cmd_sn = c.cmd_sn;
    read_send(&d, 0, 1);
    /* the window is shut, and its command goes without an answer */
    tgt_conn_lost(d.conn, ERR_RESET);
    world_pump(&w);
    struct pdu_async_message told = expect_async(&c, 2);
    assert_int_equal(told.max_cmd_sn, told.exp_cmd_sn - 1);
    w.delay = false;
    world_release(&w);
    struct pdu_nop_in in;
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
    assert_int_equal(in.itt, PDU_TAG_RESERVED);
    assert_int_equal(in.max_cmd_sn, in.exp_cmd_sn);
    assert_true(client_quiet(&c));
    PROVES("R7143-11.4.11-01", "target");
}

static void an_r2t_is_outstanding_until_its_last_data(void **state)
{
    (void)state;
    static uint8_t data[64 * BLOCK];
    w.config->targets[0].keys.max_outstanding_r2t = 2;
    w.config->targets[0].keys.initial_r2t = false;
    start();
    client_login(&c, "MaxOutstandingR2T=2\nInitialR2T=No\nImmediateData=No\nFirstBurstLength=4096\n"
                     "MaxBurstLength=4096");
    client_settle(&c, 0);
    struct pdu_scsi_command p = command(&c, false, true, 64 * BLOCK);
    cdb_rw(p.cdb, true, 0, 64);
    p.final = 0;
    command_send(&c, &p, NULL, 0);
    struct pdu_data_out out = data_out(p.itt, PDU_TAG_RESERVED, 0, 0, true);
    data_out_send(&c, &out, data, 4096);
    struct pdu_r2t r2t[8];
    uint32_t count = 0, at = 4096;
    while (!client_quiet(&c))
        pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t[count++]);
    assert_int_equal(count, 2); /* the first burst was none of them */
    while (at < 64 * BLOCK) {
        out = data_out(p.itt, r2t[0].ttt, 0, at, false);
        data_out_send(&c, &out, data + at, 2048);
        assert_true(client_quiet(&c)); /* not all, and no F: it still counts */
        out = data_out(p.itt, r2t[0].ttt, 1, at + 2048, true);
        data_out_send(&c, &out, data + at + 2048, 2048);
        at += 4096;
        r2t[0] = r2t[1];
        if (at + 4096 < 64 * BLOCK)
            pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t[1]);
    }
    assert_int_equal(expect_response(&c).status, 0);
    PROVES("R7143-13.17-02", "target");
}

/* ---- who closes ---- */

static void nobody_is_hung_up_on(void **state)
{
    (void)state;
    w.config->limits.stop_wait_ns = 3000000000u;
    start();
    client_login(&c, "");
    client_settle(&c, 0);
    world_pass(&w, 24ull * 3600 * 1000000000); /* silence is no reason */
    assert_false(c.closed);
    client_settle(&c, 0);
    tgt_stop(&w.r, false); /* not even the end of the service: it asks for a logout */
    world_pump(&w);
    assert_int_equal(expect_async(&c, 1).parameter3, 3);
    assert_false(c.closed);
    logout_send(&c, 0, 0, c.itt++);
    client_expect(&c, PDU_OP_logout_response); /* which ends the full feature phase: now it closes */
    assert_true(c.closed);
    PROVES("R7143-4.2.6-01", "target");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_login_begins_in_either_stage),
        TEST(skipped_security_is_answered_with_the_tag_alone),
        TEST(no_answer_is_empty_without_need),
        TEST(proposals_hold_up_the_end_of_a_stage),
        TEST(vendor_keys_stay_out_of_discovery),
        TEST(who_offers_nothing_is_told_the_method),
        TEST(fields_of_the_first_request_count),
        TEST(parameters_begin_anew),
        TEST(ports_and_device_have_their_names),
        TEST(portal_group_tag_zero_is_a_tag),
        TEST(an_alias_is_nobodys_identity),
        TEST(node_architecture_changes_nothing),
        TEST(luns_are_eight_bytes_as_in_report_luns),
        TEST(every_header_is_in_order),
        TEST(only_a_good_status_rides_on_data),
        TEST(a_window_that_opens_in_silence_is_announced),
        TEST(an_r2t_is_outstanding_until_its_last_data),
        TEST(nobody_is_hung_up_on),
    };
    return cmocka_run_group_tests_name("target_rules", tests, NULL, NULL);
}
