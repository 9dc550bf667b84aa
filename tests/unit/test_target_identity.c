/* Who is who at the target (RFC 7143 9.2): users are bound to initiator names, every connection proves
 * itself, and all connections of a session are of one user. Method: raw logins with chap.h's initiator
 * against a target with several users. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_harness.h"

#define OTHER "iqn.2026-01.com.example:other"

static struct world w;
static struct client c, d;
static bool lingers; /* log_in stays in the security stage for one request more than it needs */

struct person {
    const char *name, *secret, *initiator, *mutual_name, *mutual_secret;
};
static const struct person people[] = {
    {"joe", "the secret of joe", INITIATOR, "disk", "the disk's secret"},
    {"ann", "a secret of ann's", "iqn.2026-01.com.example:o*", "", ""},
    {"all", "a secret of all's", "", "", ""},
    {"joe2", "joe's other secret", INITIATOR, "", ""},
};
#define PEOPLE (sizeof people / sizeof people[0])

static void users_add(struct tgt_target *target)
{
    target->users = env_alloc(&w.env, PEOPLE * sizeof *target->users);
    target->user_count = PEOPLE;
    for (size_t i = 0; i < PEOPLE; i++) {
        struct tgt_user *user = &target->users[i];
        snprintf(user->name, sizeof user->name, "%s", people[i].name);
        snprintf(user->initiator, sizeof user->initiator, "%s", people[i].initiator);
        user->secret_len = (uint32_t)strlen(people[i].secret);
        memcpy(user->secret, people[i].secret, user->secret_len);
        snprintf(user->mutual_name, sizeof user->mutual_name, "%s", people[i].mutual_name);
        user->mutual_secret_len = (uint32_t)strlen(people[i].mutual_secret);
        memcpy(user->mutual_secret, people[i].mutual_secret, user->mutual_secret_len);
    }
}

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    world_init(&w);
    w.config->targets[0].keys.max_connections = 8;
    users_add(&w.config->targets[0]); /* the second target knows nobody, and lets in everybody */
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

/* The security stage and the operational stage. Returns the last status. `proved`: the target's mutual answer
 * was right. */
static uint16_t log_in(struct client *who, const char *initiator, const char *user, const char *secret,
                       bool mutual, bool *proved)
{
    struct chap_initiator i;
    struct chap_initiator_config cfg = {.own = {user, (const uint8_t *)secret, strlen(secret)},
                                        .algs = chap_algs_default()};
    if (mutual)
        cfg.mutual = (struct chap_secret){"disk", (const uint8_t *)"the disk's secret", 17};
    chap_initiator_init(&i, &w.env, &cfg);
    char buf[8192], text[400];
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request p;
    struct pdu_login_response rsp;
    struct text_writer out;
    snprintf(text, sizeof text, "InitiatorName=%s\nTargetName=" TARGET "\nAuthMethod=CHAP,None", initiator);
    rsp = client_login_step(who, 0, 1, text);
    if (login_status(rsp))
        return login_status(rsp);
    assert_int_equal(rsp.transit, 0); /* the stage goes on although we asked for its end */
    text_writer_init(&out, buf, sizeof buf);
    assert_int_equal(chap_initiator_start(&i, &out), CHAP_CONTINUE);
    for (int step = 0; step < 3 && !rsp.transit; step++) {
        login_request(who, &p, 0, step > lingers ? 1 : -1);
        pdu_login_request_encode(&p, bhs);
        client_send(who, bhs, buf, (uint32_t)out.len);
        pdu_login_response_decode(client_expect(who, PDU_OP_login_response)->bhs, &rsp);
        if (login_status(rsp))
            return login_status(rsp);
        struct text_parser parser;
        struct text_range key, value;
        bool keys = false;
        text_parser_init(&parser, who->reply.data, who->reply.len, who->reply.len);
        while (text_parser_next(&parser, &key, &value) == TEXT_PAIR) {
            chap_initiator_key(&i, key_find(key), value);
            keys = true;
        }
        text_writer_init(&out, buf, sizeof buf);
        if (keys) {
            enum chap_verdict v = chap_initiator_step(&i, &out);
            assert_int_not_equal(v, CHAP_FAIL);
            if (proved)
                *proved = v == CHAP_DONE && mutual;
        }
    }
    rsp = client_login_step(who, 1, 3, who->tsih ? "" : "MaxConnections=8");
    if (login_status(rsp) == 0) {
        who->tsih = rsp.tsih;
        who->exp_stat_sn = rsp.stat_sn + 1;
    }
    return login_status(rsp);
}

static void another(struct client *who, bool join, uint16_t cid)
{
    if (who->w)
        client_fini(who);
    client_init(who, &w);
    who->tsih = join ? c.tsih : 0;
    who->cid = cid;
    who->isid[5] = join ? c.isid[5] : 7;
}

static void a_user_belongs_to_its_initiator(void **state)
{
    (void)state;
    static const struct {
        const char *initiator, *user, *secret;
        uint16_t status;
    } rows[] = {
        {INITIATOR, "joe", "the secret of joe", 0},      {OTHER, "joe", "the secret of joe", 0x0201},
        {OTHER, "ann", "a secret of ann's", 0},          {INITIATOR, "ann", "a secret of ann's", 0x0201},
        {INITIATOR, "all", "a secret of all's", 0},      {OTHER, "all", "a secret of all's", 0},
        {INITIATOR, "joe", "a secret of ann's", 0x0201}, {INITIATOR, "nobody", "the secret of joe", 0x0201},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        another(&d, false, 1);
        uint16_t status = log_in(&d, rows[i].initiator, rows[i].user, rows[i].secret, false, NULL);
        if (status != rows[i].status)
            fail_msg("row %zu: %04x %s", i, status, w.trace);
        if (status) /* nobody learns whether it was the name, the user or the secret */
            assert_non_null(strstr(w.trace, "wrong CHAP name or response"));
    }
    PROVES("R7143-9.2-09", "target");
    PROVES("R7143-9.2-10", "target");
    PROVES("R7143-9.2-11", "target");
    PROVES("R7143-9.2-12", "target");
}

static void every_connection_proves_itself(void **state)
{
    (void)state;
    assert_int_equal(log_in(&c, INITIATOR, "joe", "the secret of joe", false, NULL), 0);
    client_settle(&c, 0);
    another(&d, true, 2); /* without authentication, in both ways */
    assert_int_equal(login_status(client_login_step(&d, 1, 3, NAMES)), 0x0201);
    another(&d, true, 2);
    assert_int_equal(login_status(client_login_step(&d, 0, 3, NAMES)), 0x0201);
    another(&d, true, 2);
    assert_int_equal(log_in(&d, INITIATOR, "joe", "not joe's secret", false, NULL), 0x0201);
    another(&d, true, 2);
    assert_int_equal(log_in(&d, INITIATOR, "joe", "the secret of joe", false, NULL), 0);
    assert_int_equal(d.tsih, c.tsih);
    d.cmd_sn = c.cmd_sn;
    client_settle(&d, 0);
    assert_int_equal(w.downs, 0);
    PROVES("R7143-9.2-02", "target");
    PROVES("R7143-12-02", "target");
}

static void a_session_is_of_one_user(void **state)
{
    (void)state;
    assert_int_equal(log_in(&c, INITIATOR, "joe", "the secret of joe", false, NULL), 0);
    client_settle(&c, 0);
    another(&d, true, 2);
    assert_int_equal(log_in(&d, INITIATOR, "all", "a secret of all's", false, NULL), 0x0201);
    another(&d, true, 2);
    assert_int_equal(log_in(&d, INITIATOR, "joe2", "joe's other secret", false, NULL), 0x0201);
    another(&d, true, 1); /* nor does another user take a connection's place */
    assert_int_equal(log_in(&d, INITIATOR, "joe2", "joe's other secret", false, NULL), 0x0201);
    assert_false(c.closed);
    another(&d, true, 2); /* the same user may ask for proof of us as well */
    bool proved = false;
    assert_int_equal(log_in(&d, INITIATOR, "joe", "the secret of joe", true, &proved), 0);
    assert_true(proved);
    client_settle(&c, 0);
    PROVES("R7143-9.2-13", "target");
    PROVES("R7143-9.2-14", "target");
}

static void the_proven_and_the_unproven_do_not_mix(void **state)
{
    (void)state;
    /* A session that began when the target knew no users goes on without, but takes no proven connection. */
    struct tgt_config *config = world_config(&w, 2), *with = world_config(&w, 2);
    config->targets[0].keys.max_connections = with->targets[0].keys.max_connections = 8;
    users_add(&with->targets[0]);
    tgt_reactor_set_config(&w.r, config);
    world_pump(&w);
    client_login(&c, "MaxConnections=8");
    tgt_reactor_set_config(&w.r, with);
    world_pump(&w);
    another(&d, true, 2);
    assert_int_equal(login_status(client_login_step(&d, 1, 3, NAMES)), 0x0201);
    another(&d, true, 2);
    assert_int_equal(log_in(&d, INITIATOR, "joe", "the secret of joe", false, NULL), 0x0201);
    another(&d, false, 1); /* another session is welcome */
    assert_int_equal(log_in(&d, INITIATOR, "joe", "the secret of joe", false, NULL), 0);
    client_settle(&c, 0);
    tgt_config_unref(config);
    tgt_config_unref(with);
    PROVES("R7143-9.2-15", "target");
}

/* Who has proved to be who need not leave the stage at once, and is not asked again. */
static void the_proven_may_linger(void **state)
{
    (void)state;
    for (int mutual = 0; mutual < 2; mutual++) {
        bool proved = false;
        another(&c, false, 1);
        lingers = true;
        uint16_t status = log_in(&c, INITIATOR, "joe", "the secret of joe", mutual, &proved);
        lingers = false;
        assert_int_equal(status, 0);
        struct tgt_session_info info;
        assert_true(tgt_session_next(&w.r, 0, &info));
        assert_string_equal(info.auth, mutual ? "CHAP mutual" : "CHAP");
    }
}

static void both_sides_may_prove_themselves(void **state)
{
    (void)state;
    bool proved = false;
    struct tgt_session_info info;
    assert_int_equal(log_in(&c, INITIATOR, "joe", "the secret of jim", true, &proved), 0x0201);
    assert_false(proved);
    another(&d, false, 1);
    assert_int_equal(log_in(&d, INITIATOR, "all", "a secret of all's", true, &proved), 0x0201);
    another(&d, false, 1);
    assert_int_equal(log_in(&d, INITIATOR, "joe", "the secret of joe", true, &proved), 0);
    assert_true(proved);
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_string_equal(info.auth, "CHAP mutual");
    PROVES("R7143-4.2.4-01", "target");
    PROVES("R7143-9.1-01", "target");
}

static void authentication_is_there_and_need_not_be_used(void **state)
{
    (void)state;
    assert_int_equal(log_in(&c, INITIATOR, "joe", "the secret of joe", false, NULL), 0);
    another(&d, false, 1);
    struct pdu_login_response rsp = client_login_step(
        &d, 0, 3, "InitiatorName=" INITIATOR "\nTargetName=" SECOND "\nAuthMethod=CHAP,None");
    assert_int_equal(login_status(rsp), 0);
    assert_true(reply_has(&d.reply, "AuthMethod=None"));
    assert_int_equal(rsp.nsg, 3);
    PROVES("R7143-12.1-04", "target");
}

/* Of all methods there are only those that never send a secret; and it is not in what is sent. */
static void secrets_do_not_travel(void **state)
{
    (void)state;
    static const char *const plain[] = {"KRB5", "SRP", "SPKM1", "SPKM2", "X-com.example.plain",
                                        "PAP",  "None"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        char text[300];
        another(&d, false, 1);
        snprintf(text, sizeof text, NAMES "\nAuthMethod=%s", plain[i]);
        struct pdu_login_response rsp = client_login_step(&d, 0, 1, text);
        assert_int_equal(rsp.transit, 0);
        assert_true(reply_has(&d.reply, "AuthMethod=Reject"));
        assert_int_equal(login_status(client_login_step(&d, 0, 1, "")), 0x0201);
    }
    another(&d, false, 1);
    bool proved = false;
    assert_int_equal(log_in(&d, INITIATOR, "joe", "the secret of joe", true, &proved), 0);
    const char *secrets[] = {"the secret of joe", "the disk's secret"};
    for (int s = 0; s < 2; s++)
        for (size_t at = 0; at + 17 <= d.in_len; at++)
            assert_int_not_equal(memcmp(d.in + at, secrets[s], 17), 0);
    PROVES("R7143-9.2-03", "target");
}

/* T = 1 is a wish: the stage ends when the target says so too. */
static void both_have_to_agree_on_the_end_of_a_stage(void **state)
{
    (void)state;
    struct pdu_login_response rsp = client_login_step(&c, 0, 1, NAMES "\nAuthMethod=CHAP");
    assert_int_equal(login_status(rsp), 0);
    assert_int_equal(rsp.transit, 0);
    assert_int_equal(rsp.csg, 0);
    assert_int_equal(rsp.nsg, 0);
    rsp = client_login_step(&c, 1, 3, ""); /* as if it had */
    assert_int_equal(login_status(rsp), 0x0200);
    assert_true(c.closed);
    PROVES("R7143-6-02", "target");
    PROVES("R7143-11.12.3-02", "target");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_user_belongs_to_its_initiator),
        TEST(every_connection_proves_itself),
        TEST(a_session_is_of_one_user),
        TEST(the_proven_and_the_unproven_do_not_mix),
        TEST(the_proven_may_linger),
        TEST(both_sides_may_prove_themselves),
        TEST(authentication_is_there_and_need_not_be_used),
        TEST(secrets_do_not_travel),
        TEST(both_have_to_agree_on_the_end_of_a_stage),
    };
    return cmocka_run_group_tests_name("target_identity", tests, NULL, NULL);
}
