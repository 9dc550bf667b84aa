/* Who is who, from the initiator's side (RFC 7143 9.2, 12): what of CHAP holds for all connections of a
 * session.
 *
 * Goal: every connection proves itself anew, the same way and to the same target; user, secret and the
 * target's name are the session's options; a weak secret never goes out unasked. Method: a scripted target
 * (initiator_login.h). */
#include "tests/unit/initiator_login.h"

static struct rig *chap_session(bool mutual)
{
    static char secret[] = MUTUAL;
    struct rig *r = chap_rig(mutual);
    r->options.keys.max_connections = r->key_config.max_connections = 4;
    chap_target_name = "disk";
    rig_begin(r);
    assert_true(chap_exchange(r, (struct chap_algs){1, {CHAP_SHA256}}, false, secret));
    answer(r, true, "MaxConnections=4", NULL);
    rig_event(r, INI_EVENT_LOGGED_IN);
    return r;
}

static void further(struct rig *r, uint32_t link)
{
    rig_use(r, link);
    assert_int_equal(rig_connect(r), 0);
}

static void every_connection_authenticates(void **state)
{
    (void)state;
    static char secret[] = MUTUAL;
    struct rig *r = chap_session(false);
    further(r, 1); /* the target would skip it this time */
    answer(r, true, "AuthMethod=None", NULL);
    rig_event(r, INI_EVENT_LOGIN_FAILED);
    rig_cut(r, 0);
    assert_true(ini_is_up(r->s));
    further(r, 2); /* or ends the stage in the middle of it */
    answer(r, false, "AuthMethod=CHAP", NULL);
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    assert_non_null(value_of(request, "CHAP_A"));
    struct pdu_login_response pdu = rig_login_response(r, request, true);
    pdu.nsg = 1;
    RIG_SEND(r, login_response, &pdu, NULL, 0);
    rig_event(r, INI_EVENT_LOGIN_FAILED);
    rig_cut(r, 0);
    further(r, 3); /* chap_exchange sees AuthMethod=CHAP alone in the first request */
    assert_true(chap_exchange(r, (struct chap_algs){1, {CHAP_SHA256}}, false, secret));
    answer(r, true, NULL);
    rig_event(r, INI_EVENT_LOGGED_IN);
    assert_int_equal(ini_connections(r->s), 2);
    rig_free(r);
    PROVES("R7143-9.2-02", "initiator");
    PROVES("R7143-9.2-15", "initiator");
    PROVES("R7143-12-02", "initiator");
}

static void all_connections_lead_to_the_same_target(void **state)
{
    (void)state;
    static char secret[] = MUTUAL;
    struct rig *r = chap_session(true); /* any name will do: but then the same one */
    further(r, 1);
    chap_target_name = "tape";
    assert_true(chap_exchange(r, (struct chap_algs){1, {CHAP_SHA256}}, false, secret));
    const struct rig_event *e = rig_event(r, INI_EVENT_LOGIN_FAILED);
    assert_non_null(strstr(e->reason, "name"));
    assert_int_equal(e->event.status_detail, 1);
    rig_cut(r, 0);
    assert_true(ini_is_up(r->s));
    chap_target_name = "disk";
    further(r, 2);
    assert_true(chap_exchange(r, (struct chap_algs){1, {CHAP_SHA256}}, false, secret));
    answer(r, true, NULL);
    rig_event(r, INI_EVENT_LOGGED_IN);
    rig_free(r);
    PROVES("R7143-9.2-13", "initiator");
    PROVES("R7143-9.2-14", "initiator");
}

/* Two sessions, each with its own user and secret. */
static void user_and_secret_are_the_sessions_options(void **state)
{
    (void)state;
    static const char *const users[] = {"alice", "bob"}, *const secrets[] = {SECRET, "the secret of bob"};
    for (int i = 0; i < 2; i++) {
        struct rig *r = chap_rig(false);
        snprintf(r->options.chap_name, sizeof r->options.chap_name, "%s", users[i]);
        r->options.chap_secret_len = (uint32_t)strlen(secrets[i]);
        memcpy(r->options.chap_secret, secrets[i], strlen(secrets[i]));
        rig_begin(r);
        answer(r, false, "AuthMethod=CHAP", NULL);
        answer(r, false, "CHAP_A=5", "CHAP_I=9", "CHAP_C=0x00112233445566778899aabbccddeeff", NULL);
        struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
        assert_string_equal(value_of(request, "CHAP_N"), users[i]);
        uint8_t wanted[HASH_LEN_MAX], challenge[16];
        for (int k = 0; k < 16; k++)
            challenge[k] = (uint8_t)(k * 0x11);
        assert_int_equal(
            chap_response(&r->env, CHAP_MD5, 9, secrets[i], strlen(secrets[i]), challenge, 16, wanted), 16);
        const char *got = value_of(request, "CHAP_R");
        assert_non_null(got);
        for (int k = 0; k < 16; k++) {
            char byte[3];
            snprintf(byte, sizeof byte, "%02x", wanted[k]);
            assert_int_equal(strncasecmp(got + 2 + 2 * k, byte, 2), 0);
        }
        rig_free(r);
    }
    PROVES("R7143-9.2-09", "initiator");
    PROVES("R7143-9.2-11", "initiator");
}

/* Eleven bytes are less than 96 bits. */
static void a_weak_secret_is_used_only_when_told_to(void **state)
{
    (void)state;
    for (int allowed = 0; allowed < 2; allowed++) {
        for (uint32_t len = 11; len <= 12; len++) {
            struct rig *r = chap_rig(false);
            r->options.chap_secret_len = len;
            r->options.allow_weak_secret = allowed;
            rig_begin(r);
            answer(r, false, "AuthMethod=CHAP", NULL);
            answer(r, false, "CHAP_A=5", "CHAP_I=9", "CHAP_C=0x00112233445566778899aabbccddeeff", NULL);
            if (len < 12 && !allowed) {
                assert_true(rig_quiet(r)); /* no response to guess from */
                assert_non_null(strstr(refused(r)->reason, "12 bytes"));
            } else {
                assert_non_null(value_of(rig_take(r, PDU_OP_login_request), "CHAP_R"));
            }
            rig_free(r);
        }
    }
    PROVES("R7143-9.2.1-07", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_connection_authenticates),
        cmocka_unit_test(all_connections_lead_to_the_same_target),
        cmocka_unit_test(user_and_secret_are_the_sessions_options),
        cmocka_unit_test(a_weak_secret_is_used_only_when_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
