/* Logins that the target refuses, and what is left of them; where StatSN begins.
 *
 * Goal: every status is told in its own words; only a refusal that says that the session is gone ends a
 * session that waits to be continued. Method: all statuses of the table of RFC 7143 11.13.5 at a scripted
 * target (initiator_harness.h), for the first, a further and a replacing connection. */
#include "initiator/iscsi/internal.h"
#include "tests/unit/initiator_harness.h"

static void refuse(struct rig *r, uint8_t status_class, uint8_t detail)
{
    struct pdu_login_response no = rig_login_response(r, rig_take(r, PDU_OP_login_request), false);
    no.status_class = status_class;
    no.status_detail = detail;
    RIG_SEND(r, login_response, &no, NULL, 0);
}

static void every_status_is_told_in_its_words(void **state)
{
    (void)state;
    static const char *const words[2][13] = {
        {"initiator error", "authentication failed", "authorization", "no target of that name", "removed",
         "protocol version", "no more connections", "misses a parameter", "cannot add the connection",
         "type of session", "does not exist", "request invalid", "do not know"},
        {"internal error", "not available", "out of resources", "do not know", "do not know", "do not know",
         "do not know", "do not know", "do not know", "do not know", "do not know", "do not know",
         "do not know"}};
    for (uint8_t status_class = 2; status_class < 4; status_class++) {
        for (uint8_t detail = 0; detail < 13; detail++) {
            char code[20];
            struct rig *r = rig_new();
            rig_begin(r);
            refuse(r, status_class, detail);
            const struct rig_event *e = rig_event(r, INI_EVENT_LOGIN_FAILED);
            assert_int_equal(e->event.status_class, status_class);
            assert_int_equal(e->event.status_detail, detail);
            assert_int_equal(e->event.chap_alg, 0);
            if (!strstr(e->reason, words[status_class - 2][detail]))
                fail_msg("%u %u: %s", status_class, detail, e->reason);
            snprintf(code, sizeof code, "(status %02x%02x)", status_class, detail);
            assert_non_null(strstr(e->reason, code));
            rig_free(r);
        }
    }
}

/* A further connection may be refused with any status: the session goes on. */
static void a_refused_connection_leaves_the_session(void **state)
{
    (void)state;
    for (uint8_t status_class = 2; status_class < 4; status_class++) {
        for (uint8_t detail = 0; detail < 12; detail++) {
            struct rig *r = rig_at_level(0, false);
            rig_use(r, 1);
            assert_int_equal(rig_connect(r), 0);
            refuse(r, status_class, detail);
            rig_event(r, INI_EVENT_LOGIN_FAILED);
            assert_true(ini_is_up(r->s));
            assert_int_equal(ini_connections(r->s), 1);
            rig_free(r);
        }
    }
}

/* Of those that refuse a replacement, only "session does not exist" ends the session that waits for one. */
static void only_a_forgotten_session_cannot_be_continued(void **state)
{
    (void)state;
    for (uint8_t status_class = 2; status_class < 4; status_class++) {
        for (uint8_t detail = 0; detail < 12; detail++) {
            struct rig *r = rig_at_level(2, false);
            rig_cut(r, ERR_RESET);
            rig_advance(r, 2 * RIG_SECOND);
            rig_forget_events(r);
            rig_use(r, 1);
            assert_int_equal(rig_connect(r), 0);
            refuse(r, status_class, detail);
            rig_event(r, INI_EVENT_LOGIN_FAILED);
            bool gone = status_class == 2 && detail == 10;
            assert_int_equal(rig_closed(r), gone);
            assert_int_equal(ini_session_state(r->s), gone ? INI_Q1_FREE : INI_Q4_FAILED);
            if (!gone)
                assert_int_equal(rig_event(r, INI_EVENT_CONN_WANTED)->event.value_ns, r->now + RIG_SECOND);
            rig_free(r);
        }
    }
    PROVES("R7143-8.2.2-02", "initiator");
}

/* Authentication that cannot come about is told as such: class 0, for it is our own verdict, and detail 1. */
static void failed_authentication_is_told_as_such(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        uint32_t secret_len;
        const char *word;
    } cases[] = {{"AuthMethod=Reject", 18, 16, "authentication methods"},
                 {"X-other=1", 10, 16, "does not answer our authentication method"},
                 {"AuthMethod=CHAP", 16, 11, "shorter than 12 bytes"},
                 {"AuthMethod=CHAP", 16, 12, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig *r = rig_new();
        snprintf(r->options.chap_name, sizeof r->options.chap_name, "host");
        memset(r->options.chap_secret, 's', cases[i].secret_len);
        r->options.chap_secret_len = cases[i].secret_len;
        rig_begin(r);
        struct pdu_login_response answer = rig_login_response(r, rig_take(r, PDU_OP_login_request), false);
        RIG_SEND(r, login_response, &answer, cases[i].text, (uint32_t)cases[i].len);
        if (!rig_closing(r)) {
            static const char challenge[] = "CHAP_A=7\0CHAP_I=1\0CHAP_C=0x0123456789abcdef0123456789abcdef";
            rig_take(r, PDU_OP_login_request);
            assert_non_null(strstr((char *)r->pdu.data, "CHAP_A="));
            answer.stat_sn = r->stat_sn++;
            RIG_SEND(r, login_response, &answer, challenge, sizeof challenge);
        }
        if (cases[i].word) {
            const struct rig_event *e = rig_event(r, INI_EVENT_LOGIN_FAILED);
            assert_int_equal(e->event.status_class, 0);
            assert_int_equal(e->event.status_detail, 1);
            assert_int_equal(e->event.chap_alg, i == 2 ? 7 : 0); /* what the target chose, where it did */
            assert_non_null(strstr(e->reason, cases[i].word));
        } else { /* long enough: it is used */
            rig_take(r, PDU_OP_login_request);
            assert_non_null(strstr((char *)r->pdu.data, "CHAP_N=host"));
        }
        rig_free(r);
    }
    PROVES("R7143-9.2.1-07", "initiator");
}

/* Wherever the target's StatSN begins, nothing is missing after the login. */
static void nothing_is_missing_after_a_login(void **state)
{
    (void)state;
    static const uint32_t first[] = {0, 1, 0x7ffffffe, 0x80000000, 0x90000000, 0xfffffffe, 0xffffffff};
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
        struct rig *r = rig_new();
        struct rig_command rc;
        r->options.keys.error_recovery_level = r->key_config.error_recovery_level = 1;
        r->options.nop_interval_ns = 0;
        r->stat_sn = first[i];
        rig_begin(r);
        rig_login(r);
        assert_int_equal(r->conn->exp_stat_sn, r->stat_sn);
        RIG_PDU(r, nop_in, nop);
        nop.itt = nop.ttt = PDU_TAG_RESERVED;
        nop.stat_sn = r->stat_sn;
        RIG_SEND(r, nop_in, &nop, NULL, 0);
        assert_true(rig_quiet(r));
        rig_command(r, &rc, false, 0, 0);
        rig_submit(r, &rc);
        rig_response(r, rig_take_command(r).itt, 0, NULL, 0);
        assert_int_equal(rc.reported, 1);
        assert_true(rig_quiet(r));
        nop.stat_sn = r->stat_sn + 1; /* and now one is */
        RIG_SEND(r, nop_in, &nop, NULL, 0);
        struct pdu_snack_request snack;
        RIG_TAKE(r, snack_request, &snack);
        assert_int_equal(snack.beg_run, r->stat_sn);
        assert_int_equal(snack.run_length, 1);
        rig_free(r);
        rig_command_fini(&rc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_is_told_in_its_words),
        cmocka_unit_test(a_refused_connection_leaves_the_session),
        cmocka_unit_test(only_a_forgotten_session_cannot_be_continued),
        cmocka_unit_test(failed_authentication_is_told_as_such),
        cmocka_unit_test(nothing_is_missing_after_a_login),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
