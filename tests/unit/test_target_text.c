/* Text in the full feature phase and SendTargets by RFC 7143 appendix C: long texts both ways, resets, wrong
 * tags, bounds, what discovery lists for whom. Method: raw initiators; answers are joined and compared with
 * the configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_full.h"

static struct world w;
static struct client c, d;
static char joined[4u << 20];
static uint32_t joined_len, segments;

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    world_init(&w);
    world_capable(&w);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    client_fini(&c);
    client_fini(&d);
    world_fini(&w);
    return 0;
}
static void login(const char *keys)
{
    client_login(&c, keys);
    client_settle(&c, 0);
}

/* Asks and fetches all of the answer into `joined`. */
static void fetch(const char *ask, uint32_t itt, uint32_t most)
{
    joined_len = 0;
    segments = 0;
    struct pdu_text_response rsp = text_do(&c, ask, itt, PDU_TAG_RESERVED);
    for (;;) {
        assert_true(c.reply.len <= most);
        assert_int_equal(rsp.itt, itt);
        assert_int_equal(rsp.more, !rsp.final);
        assert_int_equal(rsp.final, rsp.ttt == PDU_TAG_RESERVED);
        memcpy(joined + joined_len, c.reply.data, c.reply.len);
        joined_len += c.reply.len;
        segments++;
        if (rsp.final)
            return;
        assert_true(c.reply.len > 0);
        assert_true(client_quiet(&c)); /* one at a time */
        rsp = text_do(&c, "", itt, rsp.ttt);
    }
}

/* Pairs of `joined` whose key is `key`; the value of the n-th into *value. */
static uint32_t pairs(const char *key, uint32_t n, const char **value)
{
    uint32_t count = 0;
    size_t len = strlen(key);
    for (uint32_t at = 0; at < joined_len; at += (uint32_t)strlen(joined + at) + 1)
        if (strncmp(joined + at, key, len) == 0 && joined[at + len] == '=' && count++ == n && value)
            *value = joined + at + len + 1;
    return count;
}

/* ---- SendTargets ---- */

static struct tgt_config *portals_config(uint32_t targets)
{
    static const struct {
        const char *listen;
        uint16_t group;
    } rows[] = {{"127.0.0.1:3260", 1}, {"10.0.0.1:3261", 1}, {"[2001:db8::1]:3260", 2}};
    struct tgt_config *config = world_config(&w, targets);
    env_free(&w.env, config->portals);
    config->portals = env_alloc(&w.env, 3 * sizeof *config->portals);
    config->portal_count = 3;
    for (int i = 0; i < 3; i++) {
        addr_parse(rows[i].listen, 0, &config->portals[i].listen);
        config->portals[i].group = rows[i].group;
    }
    return config;
}
static void adopt(struct tgt_config *config)
{
    tgt_reactor_set_config(&w.r, config);
    tgt_config_unref(config);
    world_pump(&w);
}

static void discovery_lists_every_portal_with_its_tag(void **state)
{
    (void)state;
    adopt(portals_config(2));
    client_discovery(&c);
    fetch("SendTargets=All", 5, 8192);
    static const char expected[] = "TargetName=" TARGET "\0TargetAddress=127.0.0.1:3260,1\0"
                                   "TargetAddress=10.0.0.1:3261,1\0TargetAddress=[2001:db8::1]:3260,2\0"
                                   "TargetName=" SECOND "\0TargetAddress=127.0.0.1:3260,1\0"
                                   "TargetAddress=10.0.0.1:3261,1\0TargetAddress=[2001:db8::1]:3260,2";
    assert_int_equal(joined_len, sizeof expected);
    assert_memory_equal(joined, expected, sizeof expected);
    fetch("SendTargets=" SECOND, 6, 8192);
    assert_int_equal(pairs("TargetName", 0, NULL), 1);
    assert_int_equal(pairs("TargetAddress", 0, NULL), 3);
    fetch("SendTargets=iqn.2026-01.com.example:absent", 7, 8192);
    assert_int_equal(joined_len, 0);
    PROVES("R7143-C-03", "target");
    PROVES("R7143-C-04", "target");
    PROVES("R7143-C-07", "target");
    PROVES("R7143-C-09", "target");
    PROVES("R7143-C-12", "target");
    PROVES("R7143-C-15", "target");
    PROVES("R7143-13.8-04", "target");
    PROVES("R7143-10.1.2-01", "target");
}

static void discovery_works_on_every_portal(void **state)
{
    (void)state;
    adopt(portals_config(2));
    static const char *const reached[] = {"127.0.0.1:3260", "10.0.0.1:3261", "[2001:db8::1]:3260"};
    for (uint16_t i = 0; i < 3; i++) {
        client_fini(&c);
        memset(&c, 0, sizeof c);
        c.w = &w;
        c.isid[5] = (uint8_t)(10 + i);
        struct tgt_conn_info info = {.group = i < 2 ? 1 : 2, .host = &c};
        addr_parse(reached[i], 0, &info.local);
        assert_int_equal(tgt_conn_new(&w.r, &info, &c.conn), 0);
        client_discovery(&c);
        fetch("SendTargets=All", 5, 8192);
        assert_int_equal(pairs("TargetName", 0, NULL), 2);
        assert_int_equal(pairs("TargetAddress", 0, NULL), 6);
    }
    PROVES("R7143-C-02", "target");
}

static void strangers_see_nothing(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct tgt_target *target = &w.config->targets[i];
        target->acls = env_alloc(&w.env, sizeof *target->acls);
        target->acl_count = 1;
        snprintf(target->acls[0].initiator, TGT_NAME_MAX,
                 i ? "iqn.2026-01.com.example:host" : "iqn.2000-01.net.other");
    }
    client_discovery(&c);
    fetch("SendTargets=All", 5, 8192);
    assert_int_equal(pairs("TargetName", 0, NULL), 1);
    fetch("SendTargets=" TARGET, 6, 8192);
    assert_int_equal(joined_len, 0);
    client_init(&d, &w);
    struct pdu_login_response rsp =
        client_login_step(&d, 1, 3, "InitiatorName=iqn.2001-01.org.stranger\nSessionType=Discovery");
    assert_int_equal(login_status(rsp), 0);
    d.exp_stat_sn = rsp.stat_sn + 1;
    assert_int_equal(text_do(&d, "SendTargets=All", 5, PDU_TAG_RESERVED).final, 1);
    assert_int_equal(d.reply.len, 0);
    PROVES("R7143-C-13", "target");
    PROVES("R7143-C-14", "target");
}

static void normal_session_learns_of_its_own_target_only(void **state)
{
    (void)state;
    adopt(portals_config(2));
    login("");
    fetch("SendTargets=", 5, 8192);
    const char *name = NULL;
    assert_int_equal(pairs("TargetName", 0, &name), 1);
    assert_string_equal(name, TARGET);
    assert_int_equal(pairs("TargetAddress", 0, NULL), 3);
    fetch("SendTargets=" SECOND, 6, 8192);
    assert_int_equal(pairs("TargetName", 0, NULL), 0);
    fetch("SendTargets=All", 7, 8192);
    assert_int_equal(pairs("TargetName", 0, NULL), 0);
    assert_int_equal(pairs("SendTargets", 0, &name), 1);
    assert_string_equal(name, "Reject");
    PROVES("R7143-C-05", "target");
    PROVES("R7143-C-08", "target");
    PROVES("R7143-C-10", "target");
    PROVES("R7143-C-11", "target");
}

static void thousands_of_targets_come_in_small_segments(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    adopt(portals_config(COUNT));
    client_discovery(&c);
    text_do(&c, "MaxRecvDataSegmentLength=512", 4, PDU_TAG_RESERVED);
    fetch("SendTargets=All", 5, 512);
    assert_true(segments > 700);
    assert_int_equal(pairs("TargetName", 0, NULL), COUNT);
    assert_int_equal(pairs("TargetAddress", 0, NULL), 3 * COUNT);
    const char *name = NULL;
    pairs("TargetName", COUNT - 1, &name);
    assert_string_equal(name, "iqn.2026-01.com.example:t2999");
    PROVES("R7143-C-18", "target");
    PROVES("R7143-6.4-04", "target");
    PROVES("R7143-6.2-07", "target");
}

static void discovery_has_one_connection(void **state)
{
    (void)state;
    client_init(&d, &w);
    struct pdu_login_response rsp =
        client_login_step(&d, 1, 3, "InitiatorName=" INITIATOR "\nSessionType=Discovery\nMaxConnections=4");
    assert_int_equal(login_status(rsp), 0);
    c.tsih = rsp.tsih;
    c.cid = 2;
    rsp = client_login_step(&c, 1, 3, "InitiatorName=" INITIATOR "\nSessionType=Discovery");
    assert_int_equal(login_status(rsp), 0x0206);
    assert_false(d.closed);
    PROVES("R7143-13.21-02", "target");
}

static void sessions_keep_to_the_number_of_connections(void **state)
{
    (void)state;
    login("MaxConnections=2");
    assert_false(reply_has(&c.reply, "TargetName=" TARGET));
    client_join(&d, &c, 2);
    struct client more;
    client_init(&more, &w);
    more.tsih = c.tsih;
    more.cid = 3;
    assert_int_equal(login_status(client_login_step(&more, 1, 3, NAMES)), 0x0206);
    client_fini(&more);
    PROVES("R7143-13.2-02", "target");
}

/* One key for each exchange, and more exchanges than anybody needs. */
static void slow_negotiators_are_let_in(void **state)
{
    (void)state;
    static const char *const keys[] = {
        NAMES "\nSessionType=Normal", "HeaderDigest=None",       "DataDigest=None",
        "MaxConnections=1",           "InitialR2T=No",           "ImmediateData=Yes",
        "MaxBurstLength=65536",       "FirstBurstLength=4096",   "MaxOutstandingR2T=2",
        "DataPDUInOrder=Yes",         "DataSequenceInOrder=Yes", "ErrorRecoveryLevel=0",
        "X-com.example.a=1"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct pdu_login_response rsp = client_login_step(&c, 1, -1, keys[i]);
        assert_int_equal(login_status(rsp), 0);
        assert_int_equal(rsp.transit, 0);
        for (uint32_t at = 0; at < c.reply.len; at += (uint32_t)strlen((char *)c.reply.data + at) + 1)
            assert_int_not_equal(strncmp((char *)c.reply.data + at, "TargetName=", 11), 0);
    }
    struct pdu_login_response rsp = client_login_step(&c, 1, 3, "");
    assert_true(login_status(rsp) == 0 && rsp.transit);
    PROVES("R7143-6.2-27", "target");
    PROVES("R7143-13.4-02", "target");
}

/* ---- the exchange ---- */

static void new_request_resets_what_was_open(void **state)
{
    (void)state;
    adopt(portals_config(400));
    client_discovery(&c);
    struct pdu_text_response first = text_do(&c, "SendTargets=All", 5, PDU_TAG_RESERVED);
    assert_int_equal(first.final, 0);
    text_do(&c, "", 5, first.ttt);
    /* the same tag again, from the beginning */
    fetch("SendTargets=All", 5, 8192);
    assert_int_equal(pairs("TargetName", 0, NULL), 400);
    /* another tag resets as well; the old one is worth nothing then */
    first = text_do(&c, "SendTargets=All", 6, PDU_TAG_RESERVED);
    fetch("SendTargets=" TARGET, 7, 8192);
    text_send(&c, "", 6, first.ttt, true, false);
    assert_int_equal(expect_reject(&c), 9);
    assert_false(c.closed);
    PROVES("R7143-11.10.4-01", "target");
    PROVES("R7143-11.10.4-04", "target");
}

static void negotiation_is_per_connection(void **state)
{
    (void)state;
    login("MaxConnections=4");
    client_join(&d, &c, 2);
    struct pdu_text_response mine, theirs;
    text_send(&c, "MaxRecvDataSegmentLength=600", 300, PDU_TAG_RESERVED, false, false);
    mine = text_answer(&c);
    text_send(&d, "MaxRecvDataSegmentLength=700", 301, PDU_TAG_RESERVED, false, false);
    theirs = text_answer(&d);
    assert_int_equal(text_do(&d, "", 301, theirs.ttt).final, 1);
    assert_int_equal(text_do(&c, "", 300, mine.ttt).final, 1);
    /* each has its own */
    static uint8_t data[2 * BLOCK];
    read_send(&c, 0, 2);
    client_expect(&c, PDU_OP_data_in);
    assert_int_equal(c.reply.len, 600);
    d.cmd_sn = c.cmd_sn;
    read_send(&d, 0, 2);
    client_expect(&d, PDU_OP_data_in);
    assert_int_equal(d.reply.len, 700);
    (void)data;
}

static void tag_and_lun_are_given_back(void **state)
{
    (void)state;
    adopt(portals_config(400));
    login("");
    struct pdu_text_request p;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_text_request_init(&p);
    p.immediate = 1;
    p.final = 0;
    p.itt = 9;
    p.ttt = PDU_TAG_RESERVED;
    p.lun = 1ull << 48;
    p.cmd_sn = c.cmd_sn;
    p.exp_stat_sn = c.exp_stat_sn;
    pdu_text_request_encode(&p, bhs);
    client_send(&c, bhs, NULL, 0);
    struct pdu_text_response rsp = text_answer(&c);
    assert_int_equal(rsp.final, 0);
    assert_int_equal(rsp.lun, 1ull << 48);
    /* a wrong tag does not disturb the right one */
    text_send(&c, "", 9, rsp.ttt + 1, true, false);
    assert_int_equal(expect_reject(&c), 9);
    text_send(&c, "", 10, rsp.ttt, true, false);
    assert_int_equal(expect_reject(&c), 9);
    assert_int_equal(text_do(&c, "", 9, rsp.ttt).final, 1);
    PROVES("R7143-11.10.4-03", "target");
    PROVES("R7143-4.6.3.1-01", "target");
}

static void repeated_key_is_a_protocol_error_over_the_whole_sequence(void **state)
{
    (void)state;
    login("");
    text_send(&c, "MaxRecvDataSegmentLength=600\nMaxRecvDataSegmentLength=700", 5, PDU_TAG_RESERVED, true,
              false);
    assert_int_equal(expect_reject(&c), 4);
    text_send(&c, "MaxRecvDataSegmentLength=600", 6, PDU_TAG_RESERVED, false, false);
    struct pdu_text_response rsp = text_answer(&c);
    text_send(&c, "MaxRecvDataSegmentLength=700", 6, rsp.ttt, true, false);
    assert_int_equal(expect_reject(&c), 4);
    /* none of it counts, and the negotiation is over */
    read_send(&c, 0, 2);
    client_expect(&c, PDU_OP_data_in);
    assert_int_equal(c.reply.len, 2 * BLOCK);
    text_send(&c, "", 6, rsp.ttt, true, false);
    struct pdu_reject rej;
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
    assert_int_equal(rej.reason, 9);
    PROVES("R7143-6.4-12", "target");
    PROVES("R7143-6.4-10", "target");
    PROVES("R7143-7.12-03", "target");
}

static void login_only_keys_are_refused_later(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "iSCSIProtocolLevel=2", "TaskReporting=RFC3720",    "MaxConnections=2",
        "HeaderDigest=CRC32C",  "ErrorRecoveryLevel=0",     "SessionType=Normal",
        "AuthMethod=None",      "TargetName=iqn.2026-01.a", "MaxBurstLength=4096"};
    login("");
    for (uint32_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        text_send(&c, keys[i], 100 + i, PDU_TAG_RESERVED, true, false);
        struct reply *r = client_reply(&c);
        assert_non_null(r);
        assert_false(c.closed);
        c.exp_stat_sn++;
        if (pdu_opcode(r->bhs) == PDU_OP_reject) {
            assert_int_equal(r->bhs[2], 4);
            continue;
        }
        char refused[80];
        snprintf(refused, sizeof refused, "%.*s=Reject", (int)strcspn(keys[i], "="), keys[i]);
        assert_true(reply_has(r, refused));
    }
}

static void final_answers_leave_nothing_open(void **state)
{
    (void)state;
    login("");
    struct pdu_text_response rsp =
        text_do(&c, "X-com.example.a=1\nMaxRecvDataSegmentLength=4096", 5, PDU_TAG_RESERVED);
    assert_int_equal(rsp.final, 1);
    assert_int_equal(c.reply.len, sizeof "X-com.example.a=NotUnderstood"); /* nothing that wants an answer */
    assert_true(reply_has(&c.reply, "X-com.example.a=NotUnderstood"));
    rsp = text_do(&c, "", 6, PDU_TAG_RESERVED); /* F = 1 is answered F = 1, not by an empty F = 0 */
    assert_int_equal(rsp.final, 1);
    PROVES("R7143-11.11.1-03", "target");
    PROVES("R7143-6.4-07", "target");
    PROVES("R7143-6.4-06", "target");
}

/* One text over many requests, cut anywhere, with the C bit. */
static void long_requests_are_joined(void **state)
{
    (void)state;
    login("");
    for (uint32_t cut = 1; cut < 26; cut += 3) {
        static const char whole[] = "X-com.example.one=1\0X-com.example.two=2\0SendTargets=";
        uint32_t at = 0, ttt = PDU_TAG_RESERVED;
        struct pdu_text_response rsp = {0};
        while (at < sizeof whole) {
            uint32_t part = sizeof whole - at < cut ? (uint32_t)sizeof whole - at : cut;
            bool last = at + part == sizeof whole;
            struct pdu_text_request p;
            uint8_t bhs[PDU_BHS_LEN];
            pdu_text_request_init(&p);
            p.immediate = 1;
            p.final = last;
            p.more = !last;
            p.itt = 500 + cut;
            p.ttt = ttt;
            p.cmd_sn = c.cmd_sn;
            p.exp_stat_sn = c.exp_stat_sn;
            pdu_text_request_encode(&p, bhs);
            client_send(&c, bhs, whole + at, part);
            rsp = text_answer(&c);
            ttt = rsp.ttt;
            at += part;
            if (!last)
                assert_int_equal(c.reply.len, 0);
        }
        assert_int_equal(rsp.final, 1);
        assert_true(reply_has(&c.reply, "X-com.example.one=NotUnderstood"));
        assert_true(reply_has(&c.reply, "X-com.example.two=NotUnderstood"));
        assert_true(reply_has(&c.reply, "TargetName=" TARGET));
    }
}

static void texts_have_bounds(void **state)
{
    (void)state;
    w.config->limits.text_len_max = 8192;
    login("");
    /* too long: out of resources */
    static uint8_t junk[4096];
    memset(junk, 'a', sizeof junk);
    uint32_t ttt = PDU_TAG_RESERVED;
    for (int i = 0;; i++) {
        struct pdu_text_request p;
        uint8_t bhs[PDU_BHS_LEN];
        assert_true(i < 4);
        pdu_text_request_init(&p);
        p.immediate = 1;
        p.more = 1;
        p.itt = 5;
        p.ttt = ttt;
        p.cmd_sn = c.cmd_sn;
        p.exp_stat_sn = c.exp_stat_sn;
        pdu_text_request_encode(&p, bhs);
        client_send(&c, bhs, junk, sizeof junk);
        struct reply *r = client_reply(&c);
        assert_non_null(r);
        c.exp_stat_sn++;
        if (pdu_opcode(r->bhs) == PDU_OP_reject) {
            assert_int_equal(r->bhs[2], 10);
            break;
        }
        ttt = be32_get(r->bhs + 20);
    }
    /* without end: the negotiation is reset */
    unsigned exchanges = 0;
    text_send(&c, "", 6, PDU_TAG_RESERVED, false, false);
    for (;;) {
        struct reply *r = client_reply(&c);
        assert_non_null(r);
        c.exp_stat_sn++;
        if (pdu_opcode(r->bhs) == PDU_OP_reject)
            break;
        assert_true(++exchanges < 5000);
        text_send(&c, "", 6, be32_get(r->bhs + 20), false, false);
    }
    assert_true(exchanges >= 64); /* generous */
    assert_false(c.closed);
    client_settle(&c, 0);
    PROVES("R7143-11.11.4-02", "target");
    PROVES("R7143-10.3-01", "target");
    PROVES("R7143-10.3-02", "target");
    PROVES("R7143-6.2-26", "target");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(discovery_lists_every_portal_with_its_tag),
        TEST(discovery_works_on_every_portal),
        TEST(strangers_see_nothing),
        TEST(normal_session_learns_of_its_own_target_only),
        TEST(thousands_of_targets_come_in_small_segments),
        TEST(discovery_has_one_connection),
        TEST(sessions_keep_to_the_number_of_connections),
        TEST(slow_negotiators_are_let_in),
        TEST(new_request_resets_what_was_open),
        TEST(negotiation_is_per_connection),
        TEST(tag_and_lun_are_given_back),
        TEST(repeated_key_is_a_protocol_error_over_the_whole_sequence),
        TEST(login_only_keys_are_refused_later),
        TEST(final_answers_leave_nothing_open),
        TEST(long_requests_are_joined),
        TEST(texts_have_bounds),
    };
    return cmocka_run_group_tests_name("target_text", tests, NULL, NULL);
}
