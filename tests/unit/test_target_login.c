/* Login of the target engine: every status, stages, C bit both ways, CHAP, the first response's declarations,
 * numbering; and all sequences of up to four requests. Method: a raw initiator feeds PDUs to the engine and
 * reads the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_harness.h"

static struct world w;
static struct client c;

static int setup(void **state)
{
    (void)state;
    world_init(&w);
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
    client_fini(&c);
    world_fini(&w);
    return 0;
}

static void login_to_full_feature_answers_with_tsih_and_portal_group(void **state)
{
    (void)state;
    start();
    client_login(&c, "");
    assert_int_not_equal(c.tsih, 0);
    assert_true(reply_has(&c.reply, "TargetPortalGroupTag=1"));
    assert_true(reply_has(&c.reply, "TargetAlias=a disk"));
    assert_int_equal(w.ups, 1);
    PROVES("R7143-4.4.3-03", "target");
    PROVES("R7143-6.3.1-02", "target");
    PROVES("R7143-6.3.1-10", "target");
    PROVES("R7143-13.9-02", "target");
    PROVES("R7143-13.9-01", "target");
    PROVES("R7143-13.6-01", "target");
    PROVES("R7143-6.3-19", "target");
    PROVES("R7143-11.13.8-01", "target");
}

static void login_through_both_stages_keeps_tsih_for_the_last_response(void **state)
{
    (void)state;
    start();
    struct pdu_login_response r = client_login_step(&c, 0, 1, NAMES "\nSessionType=Normal\nAuthMethod=None");
    assert_int_equal(login_status(r), 0);
    assert_int_equal(r.transit, 1);
    assert_int_equal(r.nsg, 1);
    assert_int_equal(r.tsih, 0);
    assert_int_equal(r.exp_cmd_sn, 10);
    assert_true(reply_has(&c.reply, "TargetPortalGroupTag=1"));
    assert_true(reply_has(&c.reply, "AuthMethod=None"));
    uint32_t sn = r.stat_sn;
    r = client_login_step(&c, 1, -1, "HeaderDigest=None");
    assert_int_equal(r.transit, 0);
    assert_int_equal(r.nsg, 0);
    assert_int_equal(r.stat_sn, sn + 1);
    assert_false(reply_has(&c.reply, "TargetPortalGroupTag=1"));
    r = client_login_step(&c, 1, 3, "");
    assert_int_equal(r.exp_cmd_sn, 10);
    assert_int_equal(r.transit, 1);
    assert_int_not_equal(r.tsih, 0);
    assert_int_equal(r.stat_sn, sn + 2);
    assert_int_equal(r.version_max, 0);
    assert_int_equal(r.version_active, 0);
    PROVES("R7143-11.13.3-01", "target");
    PROVES("R7143-11.13.3-02", "target");
    PROVES("R7143-11.13.4-01", "target");
    PROVES("R7143-11.12.8-01", "target");
    PROVES("R7143-6.3-15", "target");
    PROVES("R7143-6.3-16", "target");
    PROVES("R7143-11.13.6-02", "target");
    PROVES("R7143-11.13.1-01", "target");
    PROVES("R7143-11.13.2-01", "target");
    PROVES("R7143-4.2.2.2-01", "target");
    PROVES("R7143-6.3.3-02", "target");
}

static void security_stage_may_lead_straight_to_full_feature(void **state)
{
    (void)state;
    start();
    struct pdu_login_response r = client_login_step(&c, 0, 3, NAMES "\nAuthMethod=None");
    assert_int_equal(login_status(r), 0);
    assert_int_equal(r.nsg, 3);
    assert_int_not_equal(r.tsih, 0);
    PROVES("R7143-6.3.2-04", "target");
    PROVES("R7143-6.3-18", "target");
}

/* ---- every refusal ---- */

struct refusal {
    const char *what;
    int csg, nsg;
    const char *text;
    uint16_t status;
    const char *says; /* part of the reason */
    const char *id;
};
static const struct refusal refusals[] = {
    {"no initiator name", 1, 3, "TargetName=" TARGET, 0x0207, "InitiatorName", "R7143-11.13.5-10"},
    {"no target name", 1, 3, "InitiatorName=" INITIATOR, 0x0207, "TargetName", "R7143-6.3-08"},
    {"unknown target", 1, 3, "InitiatorName=" INITIATOR "\nTargetName=iqn.2026-01.com.example:none", 0x0203,
     "TargetName", "R7143-11.13.5-07"},
    {"unknown session type", 1, 3, NAMES "\nSessionType=Odd", 0x0209, "SessionType", "R7143-11.13.5-12"},
    {"backward stages", 1, 0, NAMES, 0x0200, "CSG", "R7143-6.3-18"},
    {"reserved stage", 2, 3, NAMES, 0x0200, "CSG", "R7143-11.12.3-01"},
    {"full feature as current stage", 3, 3, NAMES, 0x0200, "CSG", NULL},
    {"malformed text", 1, 3, NAMES "\nnonsense", 0x0200, "", NULL},
    {"key twice", 1, 3, NAMES "\nMaxBurstLength=512\nMaxBurstLength=1024", 0x0200, "MaxBurstLength",
     "R7143-6.3-22"},
    {"security key in operational stage", 1, 3, NAMES "\nAuthMethod=None", 0x0200, "AuthMethod",
     "R7143-6.3-13"},
    {"operational key in security stage", 0, 1, NAMES "\nMaxBurstLength=512", 0x0200, "MaxBurstLength", NULL},
    {"no method in common", 0, 1, NAMES "\nAuthMethod=KRB5", 0x0201, "AuthMethod", "R7143-6.3.2-05"},
    {"bad name", 1, 3, "InitiatorName=hello\nTargetName=" TARGET, 0x0200, "InitiatorName", NULL},
    {"CHAP without agreement", 0, 1, NAMES "\nCHAP_A=5", 0x0200, "CHAP", NULL},
};

static void wrong_logins_are_refused_with_their_status(void **state)
{
    (void)state;
    start();
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *f = &refusals[i];
        if (i) {
            client_fini(&c);
            client_init(&c, &w);
        }
        struct pdu_login_response r = client_login_step(&c, f->csg, f->nsg, f->text);
        if (reply_has(&c.reply, "AuthMethod=Reject")) { /* said first, then the login fails */
            assert_int_equal(r.transit, 0);
            r = client_login_step(&c, f->csg, f->nsg, "");
        }
        if (login_status(r) != f->status || !strstr(w.trace, f->says))
            fail_msg("%s: %04x %s", f->what, login_status(r), w.trace);
        assert_true(c.closed);
        assert_int_equal(r.transit, 0);
    }
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (refusals[i].id)
            PROVES(refusals[i].id, "target");
    PROVES("R7143-11.13.5-16", "target");
    PROVES("R7143-6.3.1-07", "target");
    PROVES("R7143-7.12-01", "target");
    PROVES("R7143-7.12-02", "target");
    PROVES("R7143-6.3-21", "target");
}

/* Header fields: the first request is changed, or the second differs from the first. */
enum field { VERSION, IMMEDIATE, T_AND_C, ITT2, ISID2, TSIH2, CID2, CSG2, VERSION2 };
static void wrong_header_fields_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum field field;
        uint16_t status;
    } rows[] = {{VERSION, 0x0205}, {IMMEDIATE, 0x0200}, {T_AND_C, 0x0200}, {ITT2, 0x0200},    {ISID2, 0x0200},
                {TSIH2, 0x0200},   {CID2, 0x0200},      {CSG2, 0x0200},    {VERSION2, 0x0200}};
    start();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pdu_login_request p;
        uint8_t bhs[PDU_BHS_LEN];
        char text[400];
        if (i) {
            client_fini(&c);
            client_init(&c, &w);
        }
        login_request(&c, &p, 1, -1);
        if (rows[i].field >= ITT2)
            client_login_step(&c, 1, -1, NAMES);
        switch (rows[i].field) {
        case VERSION:
            p.version_min = 1;
            p.version_max = 2;
            break;
        case IMMEDIATE:
            p.immediate = 0;
            break;
        case T_AND_C:
            p.transit = 1;
            p.nsg = 3;
            p.more = 1;
            break;
        case ITT2:
            p.itt = 2;
            break;
        case ISID2:
            p.isid[5] ^= 1;
            break;
        case TSIH2:
            p.tsih = 7;
            break;
        case CID2:
            p.cid = 9;
            break;
        case CSG2:
            p.csg = 0;
            break;
        case VERSION2:
            p.version_max = 1;
            break;
        }
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, text, rows[i].field >= ITT2 ? 0 : text_make(NAMES, text));
        struct pdu_login_response rsp;
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
        if (login_status(rsp) != rows[i].status)
            fail_msg("field %d: %04x", (int)rows[i].field, login_status(rsp));
        assert_int_equal(rsp.version_max, 0);
        assert_int_equal(rsp.version_active, 0);
        assert_true(c.closed);
    }
    PROVES("R7143-11.12.4-02", "target");
    PROVES("R7143-11.13.2-03", "target");
    PROVES("R7143-6.2-01", "target");
    PROVES("R7143-6.3-01", "target");
    PROVES("R7143-6.3-11", "target");
}

static void anything_before_login_drops_the_connection(void **state)
{
    (void)state;
    start();
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_nop_out p;
    pdu_nop_out_init(&p);
    p.itt = 1;
    pdu_nop_out_encode(&p, bhs);
    client_send(&c, bhs, NULL, 0);
    assert_true(c.closed);
    assert_true(client_quiet(&c));
    PROVES("R7143-4.2.4-05", "target");
}

static void another_pdu_during_login_is_answered_020b(void **state)
{
    (void)state;
    start();
    client_login_step(&c, 1, -1, NAMES);
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_nop_out p;
    struct pdu_login_response rsp;
    pdu_nop_out_init(&p);
    p.itt = 1;
    pdu_nop_out_encode(&p, bhs);
    client_send(&c, bhs, NULL, 0);
    pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
    assert_int_equal(login_status(rsp), 0x020b);
    assert_true(c.closed);
    PROVES("R7143-4.2.4-06", "target");
    PROVES("R7143-4.2.4-02", "target");
}

static void acl_and_removed_targets_refuse(void **state)
{
    (void)state;
    w.config->targets[0].acls = env_alloc(&w.env, sizeof(struct tgt_acl));
    w.config->targets[0].acl_count = 1;
    snprintf(w.config->targets[0].acls[0].initiator, TGT_NAME_MAX, "%s", "iqn.2026-01.com.example:other*");
    start();
    struct pdu_login_response r = client_login_step(&c, 1, 3, NAMES);
    assert_int_equal(login_status(r), 0x0202);
    client_fini(&c);
    client_init(&c, &w);
    r = client_login_step(&c, 1, -1, "InitiatorName=" INITIATOR "\nTargetName=" SECOND);
    assert_int_equal(login_status(r), 0);
    struct tgt_config *fewer = world_config(&w, 1);
    tgt_reactor_set_config(&w.r, fewer);
    tgt_config_unref(fewer);
    assert_true(tgt_reactor_config_adopted(&w.r));
    r = client_login_step(&c, 1, 3, "");
    assert_int_equal(login_status(r), 0x0204);
    PROVES("R7143-11.13.5-08", "target");
    PROVES("R7143-11.13.5-17", "target");
}

static void stopping_target_is_unavailable(void **state)
{
    (void)state;
    start();
    tgt_stop(&w.r, false);
    client_fini(&c);
    client_init(&c, &w);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES)), 0x0301);
    PROVES("R7143-11.13.5-13", "target");
}

static void login_takes_no_longer_than_allowed(void **state)
{
    (void)state;
    start();
    client_login_step(&c, 1, -1, NAMES);
    world_pass(&w, w.config->limits.login_timeout_ns - 1);
    assert_false(c.closed);
    world_pass(&w, 1);
    assert_true(c.closed);
}

/* ---- session identity ---- */

static void tsih_of_no_session_is_refused(void **state)
{
    (void)state;
    start();
    c.tsih = 77;
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES)), 0x020a);
    PROVES("R7143-6.3.1-01", "target");
}

static void further_connection_of_a_full_session_is_refused(void **state)
{
    (void)state;
    start();
    client_login(&c, "");
    struct client d;
    client_init(&d, &w);
    d.tsih = c.tsih;
    d.cid = 2;
    assert_int_equal(login_status(client_login_step(&d, 1, 3, NAMES)), 0x0206);
    client_fini(&d);
    client_init(&d, &w);
    d.tsih = (uint16_t)(c.tsih + 1);
    d.cid = 1;
    assert_int_equal(login_status(client_login_step(&d, 1, 3, NAMES)), 0x020a);
    client_fini(&d);
    assert_false(c.closed);
    client_settle(&c, 0);
    PROVES("R7143-11.13.5-09", "target");
    PROVES("R7143-6.3.1-06", "target");
}

static void another_portal_group_cannot_join_a_session(void **state)
{
    (void)state;
    start();
    client_login(&c, "");
    struct client d;
    client_init(&d, &w);
    client_fini(&d);
    memset(&d, 0, sizeof d);
    client_init(&d, &w);
    struct tgt_conn_info info = {.group = 2, .host = &d};
    tgt_conn_lost(d.conn, 0);
    world_pump(&w);
    d.closed = false;
    assert_int_equal(tgt_conn_new(&w.r, &info, &d.conn), 0);
    d.tsih = c.tsih;
    assert_int_equal(login_status(client_login_step(&d, 1, 3, NAMES)), 0x0208);
    client_fini(&d);
    PROVES("R7143-11.13.5-11", "target");
}

static void same_initiator_port_reinstates_its_session(void **state)
{
    (void)state;
    start();
    client_login(&c, "");
    client_settle(&c, 0);
    w.delay = true;
    read_send(&c, 0, 8);
    assert_int_equal(w.delayed_count, 1);
    struct client d;
    client_init(&d, &w);
    uint8_t bhs[PDU_BHS_LEN];
    char text[400];
    struct pdu_login_request p;
    struct pdu_login_response rsp;
    login_request(&d, &p, 1, 3);
    pdu_login_request_encode(&p, bhs);
    client_send(&d, bhs, text, text_make(NAMES, text));
    /* the old one is gone, but its read is still in the store: no answer yet */
    assert_true(c.closed);
    assert_true(client_quiet(&d));
    w.delay = false;
    world_release(&w);
    pdu_login_response_decode(client_expect(&d, PDU_OP_login_response)->bhs, &rsp);
    assert_int_equal(login_status(rsp), 0);
    assert_int_not_equal(rsp.tsih, c.tsih);
    assert_int_equal(w.ups, 2);
    assert_int_equal(w.downs, 1);
    client_settle(&d, 0);
    client_fini(&d);
    PROVES("R7143-6.3.1-03", "target");
    PROVES("R7143-6.3.5-02", "target");
    PROVES("R7143-7.15-03", "target");
    PROVES("R7143-4.4.3-01", "target");
    PROVES("R7143-11.14-10", "target");
}

static void other_isid_target_or_initiator_leave_a_session_alone(void **state)
{
    (void)state;
    start();
    client_login(&c, "");
    struct client d;
    client_init(&d, &w);
    d.isid[5] = 2;
    assert_int_equal(login_status(client_login_step(&d, 1, 3, NAMES)), 0);
    client_fini(&d);
    client_init(&d, &w);
    assert_int_equal(
        login_status(client_login_step(&d, 1, 3, "InitiatorName=" INITIATOR "\nTargetName=" SECOND)), 0);
    client_fini(&d);
    client_init(&d, &w);
    assert_int_equal(
        login_status(client_login_step(&d, 1, 3, "InitiatorName=" INITIATOR "2\nTargetName=" TARGET)), 0);
    client_fini(&d);
    assert_false(c.closed);
    PROVES("R7143-4.4.3-02", "target");
}

static void same_cid_reinstates_its_connection(void **state)
{
    (void)state;
    start();
    client_login(&c, "");
    client_settle(&c, 0);
    struct client d;
    client_init(&d, &w);
    d.tsih = c.tsih;
    d.cmd_sn = c.cmd_sn;
    struct pdu_login_response r = client_login_step(&d, 1, 3, NAMES);
    assert_int_equal(login_status(r), 0);
    assert_int_equal(r.tsih, c.tsih);
    assert_int_equal(r.exp_cmd_sn, c.cmd_sn);
    assert_true(c.closed);
    assert_int_equal(w.ups, 1);
    assert_int_equal(w.downs, 0);
    d.exp_stat_sn = r.stat_sn + 1;
    read_send(&d, 0, 1);
    uint8_t block[BLOCK];
    read_collect(&d, block, BLOCK);
    client_fini(&d);
    PROVES("R7143-6.3.1-05", "target");
    PROVES("R7143-6.3.4-02", "target");
    PROVES("R7143-11.12.7-03", "target");
    PROVES("R7143-4.4.3-04", "target");
}

/* ---- text ---- */

static void split_request_is_answered_empty_until_complete(void **state)
{
    (void)state;
    start();
    uint8_t bhs[PDU_BHS_LEN];
    char text[400];
    struct pdu_login_request p;
    struct pdu_login_response rsp;
    uint32_t len = text_make(NAMES, text);
    for (uint32_t at = 0; at + 10 < len; at += 10) {
        login_request(&c, &p, 1, -1);
        p.more = 1;
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, text + at, 10);
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
        assert_int_equal(login_status(rsp), 0);
        assert_int_equal(c.reply.len, 0);
        assert_int_equal(rsp.transit, 0);
        assert_int_equal(rsp.more, 0);
    }
    uint32_t rest = len % 10 ? len % 10 : 10;
    login_request(&c, &p, 1, 3);
    pdu_login_request_encode(&p, bhs);
    client_send(&c, bhs, text + len - rest, rest);
    pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
    assert_int_equal(login_status(rsp), 0);
    assert_true(reply_has(&c.reply, "TargetPortalGroupTag=1"));
    PROVES("R7143-6.2-03", "target");
    PROVES("R7143-6.1-03", "target");
    PROVES("R7143-11.10.5-02", "target");
}

static void long_answer_comes_in_segments_with_the_c_bit(void **state)
{
    (void)state;
    start();
    static char text[60000];
    size_t n = (size_t)snprintf(text, sizeof text, "%s", NAMES);
    for (int i = 0; i < 900; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "\nX-com.example.k%d=1", i);
    /* two requests, since one PDU takes 8192 bytes */
    uint8_t bhs[PDU_BHS_LEN];
    static char wire[60000];
    uint32_t len = text_make(text, wire), at = 0, total = 0, answers = 0;
    struct pdu_login_request p;
    struct pdu_login_response rsp = {0};
    while (at < len) {
        uint32_t part = len - at > 8192 ? 8192 : len - at;
        login_request(&c, &p, 1, at + part == len ? 3 : -1);
        p.more = at + part < len;
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, wire + at, part);
        at += part;
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
        assert_int_equal(login_status(rsp), 0);
    }
    while (rsp.more) {
        assert_int_equal(rsp.transit, 0);
        assert_true(c.reply.len <= 8192);
        total += c.reply.len;
        answers++;
        login_request(&c, &p, 1, 3);
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, NULL, 0);
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
        assert_int_equal(login_status(rsp), 0);
    }
    assert_true(answers >= 2);
    assert_true(total + c.reply.len > 900 * 20);
    assert_int_equal(rsp.transit, 1);
    assert_int_not_equal(rsp.tsih, 0);
    PROVES("R7143-11.13.7-01", "target");
    PROVES("R7143-6.3-04", "target");
    PROVES("R7143-6.2-12", "target");
    PROVES("R7143-6.1-15", "target");
}

static void too_long_text_ends_the_login(void **state)
{
    (void)state;
    w.config->limits.text_len_max = 8192;
    start();
    static char junk[8192];
    memset(junk, 'A', sizeof junk);
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request p;
    struct pdu_login_response rsp = {0};
    for (int i = 0; i < 3 && !c.closed; i++) {
        login_request(&c, &p, 1, -1);
        p.more = 1;
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, junk, sizeof junk);
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
    }
    assert_int_equal(login_status(rsp), 0x0200);
    assert_true(c.closed);
}

/* ---- CHAP ---- */

static void chap_world(bool mutual)
{
    struct tgt_user *user = env_alloc(&w.env, sizeof *user);
    snprintf(user->name, sizeof user->name, "joe");
    memcpy(user->secret, "a secret of joe", 15);
    user->secret_len = 15;
    if (mutual) {
        snprintf(user->mutual_name, sizeof user->mutual_name, "disk");
        memcpy(user->mutual_secret, "the disk's secret", 17);
        user->mutual_secret_len = 17;
    }
    w.config->targets[0].users = user;
    w.config->targets[0].user_count = 1;
}

/* The whole exchange with chap.h's initiator; returns the final status. */
static uint16_t chap_login(const char *secret, bool mutual, bool base64, bool *proved)
{
    struct chap_initiator i;
    struct chap_initiator_config cfg = {.own = {"joe", (const uint8_t *)secret, strlen(secret)},
                                        .algs = chap_algs_default(),
                                        .base64 = base64};
    if (mutual)
        cfg.mutual = (struct chap_secret){"disk", (const uint8_t *)"the disk's secret", 17};
    chap_initiator_init(&i, &w.env, &cfg);
    char buf[8192];
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request p;
    struct text_writer out;
    /* libiscsi sets T in the very first request */
    struct pdu_login_response rsp = client_login_step(&c, 0, 1, NAMES "\nAuthMethod=CHAP,None");
    assert_int_equal(login_status(rsp), 0);
    assert_int_equal(rsp.transit, 0);
    assert_true(reply_has(&c.reply, "AuthMethod=CHAP"));
    text_writer_init(&out, buf, sizeof buf);
    assert_int_equal(chap_initiator_start(&i, &out), CHAP_CONTINUE);
    for (int step = 0; step < 3; step++) {
        login_request(&c, &p, 0, step ? 1 : -1);
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, buf, (uint32_t)out.len);
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
        if (login_status(rsp))
            return login_status(rsp);
        struct text_parser parser;
        struct text_range key, value;
        text_parser_init(&parser, c.reply.data, c.reply.len, c.reply.len);
        bool keys = false;
        while (text_parser_next(&parser, &key, &value) == TEXT_PAIR) {
            chap_initiator_key(&i, key_find(key), value);
            keys = true;
        }
        text_writer_init(&out, buf, sizeof buf);
        if (keys) {
            enum chap_verdict v = chap_initiator_step(&i, &out);
            assert_int_not_equal(v, CHAP_FAIL);
            *proved = v == CHAP_DONE && mutual;
        }
        if (rsp.transit)
            break;
    }
    assert_int_equal(rsp.transit, 1);
    return login_status(client_login_step(&c, 1, 3, ""));
}

static void chap_lets_in_who_knows_the_secret(void **state)
{
    (void)state;
    chap_world(false);
    start();
    bool proved = false;
    struct tgt_session_info info;
    assert_int_equal(chap_login("a secret of joe", false, false, &proved), 0);
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_string_equal(info.auth, "CHAP");
    client_fini(&c);
    client_init(&c, &w);
    assert_int_equal(chap_login("a secret of joe", false, true, &proved), 0);
    client_fini(&c);
    client_init(&c, &w);
    assert_int_equal(chap_login("another secret", false, false, &proved), 0x0201);
    assert_true(c.closed);
    PROVES("R7143-12.1.3-02", "target");
    PROVES("R7143-12.1.3-04", "target");
    PROVES("R7143-12.1.3-08", "target");
    PROVES("R7143-12.1-05", "target");
    PROVES("R7143-6.3.2-02", "target");
    PROVES("R7143-6.3.3-04", "target");
}

static void chap_mutual_proves_the_target(void **state)
{
    (void)state;
    chap_world(true);
    start();
    bool proved = false;
    struct tgt_session_info info;
    assert_int_equal(chap_login("a secret of joe", true, false, &proved), 0);
    assert_true(proved);
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_string_equal(info.auth, "CHAP mutual");
    PROVES("R7143-12.1.3-05", "target");
    PROVES("R7143-9.1-01", "target");
}

static void skipping_required_authentication_fails(void **state)
{
    (void)state;
    chap_world(false);
    start();
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES)), 0x0201);
    client_fini(&c);
    client_init(&c, &w);
    assert_int_equal(login_status(client_login_step(&c, 0, 3, NAMES)), 0x0201);
    client_fini(&c);
    client_init(&c, &w);
    assert_int_equal(client_login_step(&c, 0, 1, NAMES "\nAuthMethod=None").transit, 0);
    assert_true(reply_has(&c.reply, "AuthMethod=Reject"));
    assert_int_equal(login_status(client_login_step(&c, 0, 1, "")), 0x0201);
    PROVES("R7143-6.3.2-03", "target");
    PROVES("R7143-6.3.1-08", "target");
}

static void failed_authentication_leaves_the_old_session(void **state)
{
    (void)state;
    chap_world(false);
    start();
    bool proved;
    assert_int_equal(chap_login("a secret of joe", false, false, &proved), 0);
    struct client old = c;
    /* the engine knows clients by address: keep the object, use a second one */
    struct client *first = &c;
    (void)old;
    struct client d;
    client_init(&d, &w);
    assert_int_equal(login_status(client_login_step(&d, 0, 1, NAMES "\nAuthMethod=CHAP")), 0);
    assert_int_equal(login_status(client_login_step(&d, 0, -1, "CHAP_A=5")), 0);
    assert_int_equal(
        login_status(client_login_step(&d, 0, 1, "CHAP_N=joe\nCHAP_R=0x00112233445566778899aabbccddeeff")),
        0x0201);
    client_fini(&d);
    assert_false(first->closed);
    client_settle(first, 0);
}

/* ---- moving between reactors ---- */

static void login_continues_on_another_reactor(void **state)
{
    (void)state;
    start();
    struct tgt_reactor other;
    struct pool *pool;
    assert_int_equal(pool_new(&w.env, 64u << 20, &pool), 0);
    assert_int_equal(tgt_reactor_init(&other, &w.env, pool, 0, 1, w.config), 0);
    w.hold_place = true;
    uint8_t bhs[PDU_BHS_LEN];
    char text[400];
    struct pdu_login_request p;
    login_request(&c, &p, 1, 3);
    pdu_login_request_encode(&p, bhs);
    /* bytes behind the request are read ahead and must not be lost */
    uint32_t len = text_make(NAMES, text);
    client_queue_ahs(&c, bhs, "", 0, text, len);
    struct pdu_nop_out nop;
    pdu_nop_out_init(&nop);
    nop.immediate = 1;
    nop.itt = 5;
    nop.cmd_sn = c.cmd_sn;
    pdu_nop_out_encode(&nop, bhs);
    client_queue_ahs(&c, bhs, "", 0, "ping", 4);
    client_push(&c);
    assert_non_null(w.placing);
    assert_string_equal(w.last_key.initiator, INITIATOR);
    assert_string_equal(w.last_key.target, TARGET);
    assert_true(client_quiet(&c));
    tgt_conn_detach(w.placing);
    assert_int_equal(pool_chunks_in_use(w.pool), 0);
    struct tgt_reactor saved = w.r;
    (void)saved;
    tgt_conn_adopt(&other, w.placing);
    tgt_run(&other);
    struct tgt_conn *conn = tgt_next_to_send(&other);
    assert_ptr_equal(conn, w.placing);
    struct io_vec places[8];
    uint32_t count;
    while ((count = tgt_conn_gather(conn, places, 8)) > 0) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            client_put_in(&c, places[i].ptr, places[i].len);
            sum += places[i].len;
        }
        tgt_conn_sent(conn, sum);
    }
    client_expect(&c, PDU_OP_login_response);
    client_expect(&c, PDU_OP_nop_in);
    assert_memory_equal(c.reply.data, "ping", 4);
    tgt_stop(&other, true);
    struct tgt_event event;
    for (int i = 0; i < 3; i++) {
        tgt_run(&other);
        while (tgt_next_event(&other, &event))
            if (event.kind == TGT_EVENT_CLOSE)
                tgt_conn_closed(event.conn);
    }
    c.closed = true;
    c.conn = NULL;
    for (int i = 0; i < 2; i++)
        scsi_lu_forget(&other.scsi, w.rams[i].lu);
    tgt_reactor_fini(&other);
    pool_free(pool);
}

/* ---- all short sequences ---- */

/* Every sequence of up to four requests over CSG, NSG, T and C with useful text: each request is answered
 * while the connection lives, a refusal closes it, and full feature phase is reached only by legal stages. */
static void every_short_sequence_ends_in_an_answer(void **state)
{
    (void)state;
    start();
    client_fini(&c);
    uint32_t full = 0, refused = 0;
    /* 4 CSG x 4 NSG x T x C = 64 requests; longer sequences only after prefixes that were accepted */
    uint8_t path[4];
    for (uint32_t code = 0; code < 64u * 64 * 64 * 64;) {
        path[0] = (uint8_t)(code >> 18);
        path[1] = (uint8_t)(code >> 12 & 63);
        path[2] = (uint8_t)(code >> 6 & 63);
        path[3] = (uint8_t)(code & 63);
        client_init(&c, &w);
        int depth = 0;
        for (; depth < 4 && !c.closed; depth++) {
            struct pdu_login_request p;
            struct pdu_login_response rsp;
            uint8_t bhs[PDU_BHS_LEN];
            char text[400];
            login_request(&c, &p, path[depth] & 3, path[depth] >> 2 & 3);
            p.nsg = path[depth] >> 2 & 3;
            p.transit = path[depth] >> 4 & 1;
            p.more = path[depth] >> 5 & 1;
            pdu_login_request_encode(&p, bhs);
            client_send(&c, bhs, text, depth == 0 ? text_make(NAMES, text) : 0);
            pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
            assert_true(client_quiet(&c));
            bool ok = login_status(rsp) == 0;
            assert_int_equal(ok, !c.closed);
            assert_false(rsp.transit && !p.transit);
            assert_false(rsp.transit && rsp.nsg != p.nsg);
            if (!ok)
                refused++;
            if (ok && rsp.transit && rsp.nsg == 3) {
                full++;
                break;
            }
        }
        client_fini(&c);
        /* All sequences with this prefix end the same way: go on behind them. */
        uint32_t step = depth < 4 ? 1u << (6 * (3 - (depth && c.closed ? depth - 1 : depth))) : 1;
        if (depth == 0)
            step = 1u << 18;
        code = (code / step + 1) * step;
    }
    client_init(&c, &w);
    assert_true(full > 100);
    assert_true(refused > 1000);
    PROVES("R7143-6.3-09", "target");
    PROVES("R7143-6.3-14", "target");
    PROVES("R7143-6.3-03", "target");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(login_to_full_feature_answers_with_tsih_and_portal_group),
        TEST(login_through_both_stages_keeps_tsih_for_the_last_response),
        TEST(security_stage_may_lead_straight_to_full_feature),
        TEST(wrong_logins_are_refused_with_their_status),
        TEST(wrong_header_fields_are_refused),
        TEST(anything_before_login_drops_the_connection),
        TEST(another_pdu_during_login_is_answered_020b),
        TEST(acl_and_removed_targets_refuse),
        TEST(stopping_target_is_unavailable),
        TEST(login_takes_no_longer_than_allowed),
        TEST(tsih_of_no_session_is_refused),
        TEST(further_connection_of_a_full_session_is_refused),
        TEST(another_portal_group_cannot_join_a_session),
        TEST(same_initiator_port_reinstates_its_session),
        TEST(other_isid_target_or_initiator_leave_a_session_alone),
        TEST(same_cid_reinstates_its_connection),
        TEST(split_request_is_answered_empty_until_complete),
        TEST(long_answer_comes_in_segments_with_the_c_bit),
        TEST(too_long_text_ends_the_login),
        TEST(chap_lets_in_who_knows_the_secret),
        TEST(chap_mutual_proves_the_target),
        TEST(skipping_required_authentication_fails),
        TEST(failed_authentication_leaves_the_old_session),
        TEST(login_continues_on_another_reactor),
        TEST(every_short_sequence_ends_in_an_answer),
    };
    return cmocka_run_group_tests_name("target_login", tests, NULL, NULL);
}
