/* Redirection: which logins are sent elsewhere, when, and what the answer holds. Method: raw logins through
 * portal groups, with and without authentication. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_full.h"

static struct world w;
static struct client c;

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    client_fini(&c);
    world_fini(&w);
    return 0;
}
static void redirect(const char *address, uint16_t group, bool permanent)
{
    struct tgt_target *t = &w.config->targets[0];
    if (!t->redirects)
        t->redirects = env_alloc(&w.env, 4 * sizeof *t->redirects);
    struct tgt_redirect *r = &t->redirects[t->redirect_count++];
    snprintf(r->address, sizeof r->address, "%s", address);
    r->group = group;
    r->permanent = permanent;
}
/* A new connection through a portal group. */
static void reconnect(uint16_t group)
{
    client_fini(&c);
    memset(&c, 0, sizeof c);
    c.w = &w;
    c.isid[5] = 3;
    c.cid = 1;
    struct tgt_conn_info info = {.group = group, .host = &c};
    addr_parse("127.0.0.1:3260", 0, &info.local);
    assert_int_equal(tgt_conn_new(&w.r, &info, &c.conn), 0);
}

static void login_is_sent_elsewhere(void **state)
{
    (void)state;
    redirect("[2001:db8::7]:3261", TGT_GROUP_ANY, false);
    static const struct {
        int csg, nsg;
    } starts[] = {{1, 3}, {0, 1}, {0, 3}, {0, -1}};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        struct pdu_login_response rsp = client_login_step(&c, starts[i].csg, starts[i].nsg, NAMES);
        assert_int_equal(login_status(rsp), 0x0101);
        assert_int_equal(rsp.transit, 0);
        assert_int_equal(c.reply.len, sizeof "TargetAddress=[2001:db8::7]:3261"); /* and no tag behind it */
        assert_true(reply_has(&c.reply, "TargetAddress=[2001:db8::7]:3261"));
        assert_true(c.closed);
        reconnect(1);
    }
    assert_int_equal(w.ups, 0);
    /* other targets stay */
    assert_int_equal(
        login_status(client_login_step(&c, 1, 3, "InitiatorName=" INITIATOR "\nTargetName=" SECOND)), 0);
    PROVES("R7143-11.13.5-02", "target");
    PROVES("R7143-13.8-03", "target");
}

static void groups_go_their_own_ways(void **state)
{
    (void)state;
    redirect("general.example", TGT_GROUP_ANY, true);
    redirect("two.example:99", 2, false);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES)), 0x0102);
    assert_true(reply_has(&c.reply, "TargetAddress=general.example"));
    reconnect(2);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES)), 0x0101);
    assert_true(reply_has(&c.reply, "TargetAddress=two.example:99"));
    PROVES("R7143-11.13.5-06", "target");
}

static void only_the_named_group_is_redirected(void **state)
{
    (void)state;
    redirect("two.example:99", 2, false);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES)), 0);
    reconnect(2);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES)), 0x0101);
}

static void discovery_stays(void **state)
{
    (void)state;
    redirect("elsewhere.example", TGT_GROUP_ANY, false);
    client_discovery(&c);
    reconnect(1);
    assert_int_equal(login_status(client_login_step(&c, 1, 3,
                                                    "InitiatorName=" INITIATOR "\nTargetName=" TARGET
                                                    "\nSessionType=Discovery")),
                     0);
}

static void strangers_are_not_told_where(void **state)
{
    (void)state;
    struct tgt_target *t = &w.config->targets[0];
    redirect("elsewhere.example", TGT_GROUP_ANY, false);
    t->acls = env_alloc(&w.env, sizeof *t->acls);
    t->acl_count = 1;
    snprintf(t->acls[0].initiator, TGT_NAME_MAX, "iqn.2000-01.net.other");
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES)), 0x0202);
    assert_int_equal(c.reply.len, 0);
}

/* CHAP to the end, then the next request. `next` is the stage asked for with the response. */
static struct pdu_login_response chap(int next)
{
    struct chap_initiator i;
    struct chap_initiator_config cfg = {.own = {"joe", (const uint8_t *)"a secret of joe", 15},
                                        .algs = chap_algs_default()};
    char buf[8192];
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request p;
    struct pdu_login_response rsp;
    struct text_writer out;
    chap_initiator_init(&i, &w.env, &cfg);
    rsp = client_login_step(&c, 0, next, NAMES "\nAuthMethod=CHAP");
    assert_int_equal(login_status(rsp), 0); /* not before it has shown who it is */
    assert_false(reply_has(&c.reply, "TargetAddress=elsewhere.example"));
    text_writer_init(&out, buf, sizeof buf);
    chap_initiator_start(&i, &out);
    for (int step = 0; step < 2; step++) {
        login_request(&c, &p, 0, step ? next : -1);
        pdu_login_request_encode(&p, bhs);
        client_send(&c, bhs, buf, (uint32_t)out.len);
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
        struct text_parser parser;
        struct text_range key, value;
        text_parser_init(&parser, c.reply.data, c.reply.len, c.reply.len);
        text_writer_init(&out, buf, sizeof buf);
        while (!step && text_parser_next(&parser, &key, &value) == TEXT_PAIR)
            chap_initiator_key(&i, key_find(key), value);
        if (!step)
            chap_initiator_step(&i, &out);
    }
    return rsp;
}

static void authentication_comes_first(void **state)
{
    (void)state;
    struct tgt_target *t = &w.config->targets[0];
    t->users = env_alloc(&w.env, sizeof *t->users);
    t->user_count = 1;
    snprintf(t->users[0].name, sizeof t->users[0].name, "joe");
    memcpy(t->users[0].secret, "a secret of joe", 15);
    t->users[0].secret_len = 15;
    redirect("elsewhere.example", TGT_GROUP_ANY, false);
    assert_int_equal(login_status(chap(1)), 0); /* the security stage is completed in form */
    assert_int_equal(login_status(client_login_step(&c, 1, 3, "")), 0x0101);
    assert_true(reply_has(&c.reply, "TargetAddress=elsewhere.example"));
    assert_true(c.closed);
    reconnect(1);
    assert_int_equal(login_status(chap(3)), 0x0101); /* from the security stage to the end */
    assert_true(reply_has(&c.reply, "TargetAddress=elsewhere.example"));
    PROVES("R7143-11.13.5-03", "target");
}

static void added_connections_are_redirected_too(void **state)
{
    (void)state;
    w.config->targets[0].keys.max_connections = 4;
    client_login(&c, "MaxConnections=4");
    client_settle(&c, 0);
    struct client more;
    redirect("elsewhere.example", TGT_GROUP_ANY, false);
    client_init(&more, &w);
    more.tsih = c.tsih;
    more.cid = 2;
    assert_int_equal(login_status(client_login_step(&more, 1, 3, NAMES)), 0x0101);
    assert_true(more.closed);
    client_fini(&more);
    client_settle(&c, 0); /* who is in, stays */
}

static void a_closed_door_has_its_own_status(void **state)
{
    (void)state;
    assert_int_equal(login_status(client_login_step(
                         &c, 1, 3, "InitiatorName=" INITIATOR "\nTargetName=iqn.2026-01.a:absent")),
                     0x0203);
    reconnect(1);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, "TargetName=" TARGET)), 0x0207);
    reconnect(1);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, "InitiatorName=" INITIATOR)), 0x0207);
    reconnect(1);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES "\nSessionType=Strange")), 0x0209);
    PROVES("R7143-11.13.5-07", "target");
    PROVES("R7143-11.13.5-10", "target");
    PROVES("R7143-11.13.5-12", "target");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(login_is_sent_elsewhere),
        TEST(groups_go_their_own_ways),
        TEST(only_the_named_group_is_redirected),
        TEST(discovery_stays),
        TEST(strangers_are_not_told_where),
        TEST(authentication_comes_first),
        TEST(added_connections_are_redirected_too),
        TEST(a_closed_door_has_its_own_status),
    };
    return cmocka_run_group_tests_name("target_redirect", tests, NULL, NULL);
}
