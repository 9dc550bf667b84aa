/* Text and discovery: what is listed for whom and at which address, in how many segments, what is refused.
 * Method: a raw initiator. */
#include "proves.h"
#include "target_session.h"

static struct pdu_text_response text(const char *pairs, uint32_t itt, uint32_t ttt, bool final, bool more)
{
    static char buf[20000];
    struct pdu_text_request p;
    struct pdu_text_response rsp;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_text_request_init(&p);
    p.final = final;
    p.more = more;
    p.itt = itt;
    p.ttt = ttt;
    p.cmd_sn = c.cmd_sn++;
    pdu_text_request_encode(&p, bhs);
    client_send(&c, bhs, buf, text_make(pairs, buf));
    pdu_text_response_decode(client_expect(&c, PDU_OP_text_response)->bhs, &rsp);
    assert_int_equal(rsp.itt, itt);
    return rsp;
}

static void discovery_lists_what_the_initiator_may_see(void **state)
{
    (void)state;
    w.config->targets[1].acls = env_alloc(&w.env, sizeof(struct tgt_acl));
    w.config->targets[1].acl_count = 1;
    snprintf(w.config->targets[1].acls[0].initiator, TGT_NAME_MAX, "iqn.other");
    client_discovery(&c);
    struct pdu_text_response rsp = text("SendTargets=All", 5, PDU_TAG_RESERVED, true, false);
    assert_int_equal(rsp.final, 1);
    assert_int_equal(rsp.ttt, PDU_TAG_RESERVED);
    assert_true(reply_has(&c.reply, "TargetName=" TARGET));
    assert_true(reply_has(&c.reply, "TargetAddress=127.0.0.1:3260,1"));
    assert_false(reply_has(&c.reply, "TargetName=" SECOND));
    text("SendTargets=" TARGET, 6, PDU_TAG_RESERVED, true, false);
    assert_true(reply_has(&c.reply, "TargetName=" TARGET));
    text("SendTargets=" SECOND, 7, PDU_TAG_RESERVED, true, false);
    assert_int_equal(c.reply.len, 0);
    PROVES("R7143-11.11.1-04", "target");
    PROVES("R7143-11.11.3-01", "target");
    PROVES("R7143-4.3-01", "target");
}

static void wildcards_answer_the_address_that_was_reached(void **state)
{
    (void)state;
    addr_parse("[::]:3261", 0, &w.config->portals[0].listen);
    w.config->portals[0].group = 12;
    client_fini(&c);
    memset(&c, 0, sizeof c);
    c.w = &w;
    c.isid[5] = 3;
    struct tgt_conn_info info = {.group = 12, .host = &c};
    addr_parse("[2001:db8::5]:3261", 0, &info.local);
    assert_int_equal(tgt_conn_new(&w.r, &info, &c.conn), 0);
    client_discovery(&c);
    text("SendTargets=All", 5, PDU_TAG_RESERVED, true, false);
    assert_true(reply_has(&c.reply, "TargetAddress=[2001:db8::5]:3261,12"));
    snprintf(w.config->portals[0].advertise, sizeof w.config->portals[0].advertise, "storage.example:99");
    text("SendTargets=All", 6, PDU_TAG_RESERVED, true, false);
    assert_true(reply_has(&c.reply, "TargetAddress=storage.example:99,12"));
}

static void long_lists_come_in_segments(void **state)
{
    (void)state;
    struct tgt_config *many = world_config(&w, 400);
    tgt_reactor_set_config(&w.r, many);
    tgt_config_unref(many);
    client_discovery(&c);
    uint32_t total = 0, segments = 1;
    struct pdu_text_response rsp = text("SendTargets=All", 5, PDU_TAG_RESERVED, true, false);
    while (!rsp.final) {
        assert_int_equal(rsp.more, 1);
        assert_int_not_equal(rsp.ttt, PDU_TAG_RESERVED);
        assert_true(c.reply.len <= 8192);
        total += c.reply.len;
        segments++;
        rsp = text("", 5, rsp.ttt, true, false);
    }
    total += c.reply.len;
    assert_true(segments > 2);
    assert_true(total > 400 * 50);
    assert_int_equal(rsp.more, 0);
    PROVES("R7143-11.11.2-01", "target");
    PROVES("R7143-11.11.6-01", "target");
    PROVES("R7143-11.11.1-05", "target");
    PROVES("R7143-11.10.4-05", "target");
    PROVES("R7143-6.4-08", "target");
    PROVES("R7143-11.11.4-04", "target");
}

static void discovery_refuses_everything_else(void **state)
{
    (void)state;
    client_discovery(&c);
    struct pdu_reject rej;
    uint8_t bhs[PDU_BHS_LEN];
    const uint8_t ops[] = {PDU_OP_scsi_command, PDU_OP_nop_out, PDU_OP_task_management_request,
                           PDU_OP_data_out};
    for (size_t i = 0; i < sizeof ops; i++) {
        memset(bhs, 0, sizeof bhs);
        bhs[0] = ops[i];
        bhs[1] = 0x80;
        be32_put(bhs + 24, c.cmd_sn);
        client_send(&c, bhs, NULL, 0);
        pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
        assert_int_equal(rej.reason, 4);
    }
    assert_int_equal(logout(0, 0, true).response, 0);
    PROVES("R7143-4.3-02", "target");
    PROVES("R7143-4.4.2-05", "target");
}

static void normal_sessions_see_their_own_target(void **state)
{
    (void)state;
    login();
    text("SendTargets=", 5, PDU_TAG_RESERVED, true, false);
    assert_true(reply_has(&c.reply, "TargetName=" TARGET));
    assert_false(reply_has(&c.reply, "TargetName=" SECOND));
    text("SendTargets=All", 6, PDU_TAG_RESERVED, true, false);
    assert_true(reply_has(&c.reply, "SendTargets=Reject"));
    text("X-com.example.a=1", 7, PDU_TAG_RESERVED, true, false);
    assert_true(reply_has(&c.reply, "X-com.example.a=NotUnderstood"));
}

static void text_requests_may_be_split(void **state)
{
    (void)state;
    login();
    /* "SendTar" "gets=": the first part without its NUL */
    struct pdu_text_request p;
    struct pdu_text_response rsp;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_text_request_init(&p);
    p.final = 0;
    p.more = 1;
    p.itt = 5;
    p.ttt = PDU_TAG_RESERVED;
    p.cmd_sn = c.cmd_sn++;
    pdu_text_request_encode(&p, bhs);
    client_send(&c, bhs, "SendTar", 7);
    pdu_text_response_decode(client_expect(&c, PDU_OP_text_response)->bhs, &rsp);
    assert_int_equal(c.reply.len, 0);
    assert_int_equal(rsp.final, 0);
    assert_int_not_equal(rsp.ttt, PDU_TAG_RESERVED);
    rsp = text("gets=", 5, rsp.ttt, true, false);
    assert_int_equal(rsp.final, 1);
    assert_true(reply_has(&c.reply, "TargetName=" TARGET));
    /* F = 0 is not answered F = 1 */
    rsp = text("MaxRecvDataSegmentLength=600", 6, PDU_TAG_RESERVED, false, false);
    assert_int_equal(rsp.final, 0);
    rsp = text("", 6, rsp.ttt, true, false);
    assert_int_equal(rsp.final, 1);
    /* and now it counts */
    read_send(&c, 0, 2);
    client_expect(&c, PDU_OP_data_in);
    assert_int_equal(c.reply.len, 600);
    PROVES("R7143-11.11.1-01", "target");
    PROVES("R7143-6.4-14", "target");
    PROVES("R7143-6.2-03", "target");
    PROVES("R7143-11.11.5-01", "target");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(discovery_lists_what_the_initiator_may_see),
        TEST(wildcards_answer_the_address_that_was_reached),
        TEST(long_lists_come_in_segments),
        TEST(discovery_refuses_everything_else),
        TEST(normal_sessions_see_their_own_target),
        TEST(text_requests_may_be_split),
    };
    return cmocka_run_group_tests_name("target_discovery", tests, NULL, NULL);
}
