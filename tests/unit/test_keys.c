/* Goal: for every key, whatever the initiator offers and whatever the target is set to, both sides compute
 * the same result, and it is the one that RFC 7143 chapter 13 defines. Method: an initiator's and a target's
 * negotiation talk to each other. All pairs of boundary values for each number, all pairs for each boolean,
 * all lists against all sets for each list key; then pairs of keys that bound each other. */
#include "tests/unit/keys_harness.h"

#include <stdlib.h>

#include "tests/unit/proves.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- one operational exchange ---- */

static struct side ini, tgt;

/* Both start in the operational stage; `first` (may be NULL) is heard by the target before the initiator's
 * offers. */
static void exchange(const struct key_config *ci, const struct key_config *ct)
{
    side_init(&ini, KEY_ROLE_INITIATOR, ci, KEY_STAGE_OPERATIONAL);
    side_init(&tgt, KEY_ROLE_TARGET, ct, KEY_STAGE_OPERATIONAL);
    assert_true(key_declare_initiator(&ini.neg, &ini.w));
    assert_true(key_offer_operational(&ini.neg, &ini.w));
    side_new_text(&tgt);
    assert_int_equal(side_hear(&tgt, ini.text, ini.w.len), KEYS_OK);
    assert_true(key_declare_target(&tgt.neg, &tgt.w));
    assert_true(key_offer_operational(&tgt.neg, &tgt.w));
    side_new_text(&ini);
    if (side_hear(&ini, tgt.text, tgt.w.len) != KEYS_OK)
        fail_msg("initiator: %s: %s", ini.neg.failure.key, ini.neg.failure.reason);
    assert_int_equal(ini.w.len, 0);
    assert_false(key_unanswered(&ini.neg, NULL));
    assert_false(key_unanswered(&tgt.neg, NULL));
    assert_int_equal(key_conclude(&ini.neg), KEYS_OK);
    assert_int_equal(key_conclude(&tgt.neg), KEYS_OK);
    assert_same_params(&ini.neg.params, &tgt.neg.params);
}

static void defaults(struct key_config *ci, struct key_config *ct)
{
    key_config_default(ci);
    ci->initiator_name = "iqn.2001-04.com.example:host";
    ci->target_name = "iqn.2001-04.com.example:disk";
    key_config_default(ct);
}

/* ---- numbers ---- */

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Sets member `config` on both sides to all pairs of `values` and compares member `params` with rule(offer,
 * ours). */
struct number_case {
    size_t config, params; /* offsets of uint32_t members */
    uint32_t (*rule)(uint32_t, uint32_t);
    uint32_t values[6];
};

static uint32_t *member(void *base, size_t offset)
{
    return (uint32_t *)(void *)((char *)base + offset);
}

static void check_numbers(const struct number_case *c)
{
    for (size_t a = 0; a < COUNT(c->values); a++)
        for (size_t b = 0; b < COUNT(c->values); b++) {
            struct key_config ci, ct;
            defaults(&ci, &ct);
            /* wide enough that FirstBurstLength's own bound does not speak here */
            ci.max_burst_length = ct.max_burst_length = KEY_DATA_LEN_MAX;
            *member(&ci, c->config) = c->values[a];
            *member(&ct, c->config) = c->values[b];
            exchange(&ci, &ct);
            assert_int_equal(*member(&ini.neg.params, c->params), c->rule(c->values[a], c->values[b]));
        }
}

#define NUMBER(name, rule, ...)                                                                              \
    (&(const struct number_case){                                                                            \
        offsetof(struct key_config, name), offsetof(struct key_params, name), rule, {__VA_ARGS__}})

static void numbers_end_at_minimum_or_maximum(void **state)
{
    (void)state;
    check_numbers(NUMBER(max_connections, smaller, 1, 2, 3, 255, 65534, 65535));
    check_numbers(NUMBER(max_burst_length, smaller, 512, 513, 8192, 262144, 16777214, 16777215));
    check_numbers(NUMBER(first_burst_length, smaller, 512, 513, 65536, 65537, 16777214, 16777215));
    check_numbers(NUMBER(default_time2wait, larger, 0, 1, 2, 5, 3599, 3600));
    check_numbers(NUMBER(default_time2retain, smaller, 0, 1, 20, 60, 3599, 3600));
    check_numbers(NUMBER(max_outstanding_r2t, smaller, 1, 2, 4, 8, 65534, 65535));
    check_numbers(NUMBER(error_recovery_level, smaller, 0, 1, 2, 2, 1, 0));
    check_numbers(NUMBER(iscsi_protocol_level, smaller, 1, 2, 3, 1, 2, 31));
    PROVES("R7143-13.2-01", "both");
    PROVES("R7143-13.13-01", "both");
    PROVES("R7143-13.14-01", "both");
    PROVES("R7143-13.15-01", "both");
    PROVES("R7143-13.16-01", "both");
    PROVES("R7143-13.17-01", "both");
    PROVES("R7143-13.20-01", "both");
    PROVES("R7143-13.24-01", "both");
    PROVES("R7144-7.1.1-01", "both");
    PROVES("R7143-6.2.2-01", "both");
}

static void max_recv_data_segment_length_is_declared_by_each_side(void **state)
{
    (void)state;
    static const uint32_t values[] = {512, 513, 8192, 262144, 16777215};
    for (size_t a = 0; a < COUNT(values); a++)
        for (size_t b = 0; b < COUNT(values); b++) {
            struct key_config ci, ct;
            defaults(&ci, &ct);
            ci.max_recv_data_segment_length = values[a];
            ct.max_recv_data_segment_length = values[b];
            exchange(&ci, &ct);
            assert_int_equal(ini.neg.params.max_recv_data_segment_length, values[a]);
            assert_int_equal(ini.neg.params.peer_max_recv_data_segment_length, values[b]);
        }
    PROVES("R7143-13.12-01", "both");
    PROVES("R7143-13-04", "both");
}

/* ---- booleans ---- */

static void booleans_are_and_or_or(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 256; bits++) {
        struct key_config ci, ct;
        defaults(&ci, &ct);
        ci.initial_r2t = bits & 1, ct.initial_r2t = bits >> 1 & 1;
        ci.immediate_data = bits >> 2 & 1, ct.immediate_data = bits >> 3 & 1;
        ci.data_pdu_in_order = bits >> 4 & 1, ct.data_pdu_in_order = bits >> 5 & 1;
        ci.data_sequence_in_order = bits >> 6 & 1, ct.data_sequence_in_order = bits >> 7 & 1;
        exchange(&ci, &ct);
        const struct key_params *p = &ini.neg.params;
        assert_int_equal(p->initial_r2t, ci.initial_r2t || ct.initial_r2t);
        assert_int_equal(p->immediate_data, ci.immediate_data && ct.immediate_data);
        assert_int_equal(p->data_pdu_in_order, ci.data_pdu_in_order || ct.data_pdu_in_order);
        assert_int_equal(p->data_sequence_in_order, ci.data_sequence_in_order || ct.data_sequence_in_order);
    }
    PROVES("R7143-13.10-01", "both");
    PROVES("R7143-13.11-01", "both");
    PROVES("R7143-13.18-01", "both");
    PROVES("R7143-13.19-01", "both");
    PROVES("R7143-6.2.2-06", "both");
    PROVES("R7143-6.2.2-08", "both");
}

/* A target may leave out the answer that the offer implies. */
static void booleans_that_settle_themselves_need_no_answer(void **state)
{
    (void)state;
    struct key_config ci, ct;
    defaults(&ci, &ct);
    for (int bits = 0; bits < 4; bits++) {
        enum key_id which;
        ci.immediate_data = bits & 1;
        ci.initial_r2t = bits >> 1;
        side_init(&ini, KEY_ROLE_INITIATOR, &ci, KEY_STAGE_OPERATIONAL);
        assert_true(key_offer_operational(&ini.neg, &ini.w));
        side_new_text(&ini);
        assert_int_equal(
            side_hear_words(
                &ini, "HeaderDigest=None|DataDigest=None|DefaultTime2Wait=2|DefaultTime2Retain=20|"
                      "ErrorRecoveryLevel=0|MaxBurstLength=65536|FirstBurstLength=65536|MaxOutstandingR2T=1|"
                      "MaxConnections=1|DataPDUInOrder=Yes|DataSequenceInOrder=Yes|"),
            KEYS_OK);
        bool due = key_unanswered(&ini.neg, &which);
        assert_int_equal(due, ci.immediate_data || !ci.initial_r2t);
        if (due)
            assert_int_equal(which, !ci.initial_r2t ? KEY_INITIAL_R2T : KEY_IMMEDIATE_DATA);
        assert_int_equal(key_conclude(&ini.neg), KEYS_OK);
        assert_int_equal(ini.neg.params.immediate_data, ci.immediate_data);
        assert_int_equal(ini.neg.params.initial_r2t,
                         true); /* offered Yes, or No without an answer: the default */
    }
    PROVES("R7143-6.2.2-07", "both");
}

/* ---- lists ---- */

/* All lists without repetition of up to `n` values: list number 0, 1, 2 …; false when there is no such list.
 * The empty list is number 0. */
static bool list_number(unsigned number, unsigned n, struct key_choices *out)
{
    unsigned seen = 0;
    for (unsigned len = 0; len <= n; len++) {
        unsigned codes = 1;
        for (unsigned i = 0; i < len; i++)
            codes *= n;
        for (unsigned code = 0; code < codes; code++) {
            struct key_choices c = {0};
            unsigned used = 0, rest = code;
            for (unsigned i = 0; i < len; i++, rest /= n) {
                used |= 1u << rest % n;
                c.value[c.count++] = (uint8_t)(rest % n);
            }
            bool distinct = (unsigned)__builtin_popcount(used) == len;
            if (distinct && seen++ == number) {
                *out = c;
                return true;
            }
        }
    }
    return false;
}

/* The first of `offer` that is in `own`, or -1. */
static int first_common(const struct key_choices *offer, const struct key_choices *own)
{
    for (unsigned i = 0; i < offer->count; i++)
        for (unsigned k = 0; k < own->count; k++)
            if (offer->value[i] == own->value[k])
                return offer->value[i];
    return -1;
}

static bool has(const struct key_choices *c, int value)
{
    struct key_choices one = {1, {(uint8_t)value}};
    return first_common(&one, c) >= 0;
}

static void digests_are_the_first_common_choice(void **state)
{
    (void)state;
    struct key_choices offer, own;
    for (unsigned a = 0; list_number(a, KEY_DIGEST_COUNT, &offer); a++)
        for (unsigned b = 0; list_number(b, KEY_DIGEST_COUNT, &own); b++) {
            struct key_config ci, ct;
            defaults(&ci, &ct);
            ci.header_digest = ct.data_digest =
                offer; /* both keys at once, with the roles of the lists exchanged */
            ct.header_digest = ci.data_digest = own;
            int header = first_common(&offer, &own), data = first_common(&own, &offer);
            bool refused = (offer.count && header < 0 && !has(&offer, KEY_DIGEST_NONE)) ||
                           (own.count && data < 0 && !has(&own, KEY_DIGEST_NONE));
            if (refused) { /* required by one, not accepted by the other: told by Reject, and the initiator
                              gives up */
                side_init(&ini, KEY_ROLE_INITIATOR, &ci, KEY_STAGE_OPERATIONAL);
                side_init(&tgt, KEY_ROLE_TARGET, &ct, KEY_STAGE_OPERATIONAL);
                assert_true(key_offer_operational(&ini.neg, &ini.w));
                assert_false(sides_agree(&ini, &tgt));
                assert_non_null(strstr(side_words(&tgt), "Digest=Reject|"));
                assert_string_equal(ini.neg.failure.requirement, "R7143-6.2-18");
                continue;
            }
            exchange(&ci, &ct);
            assert_int_equal(ini.neg.params.header_digest, header < 0 ? 0 : header);
            assert_int_equal(ini.neg.params.data_digest, data < 0 ? 0 : data);
        }
    PROVES("R7143-6.2.1-01", "both");
    PROVES("R7143-6.2.1-02", "both");
    PROVES("R7143-13.1-01", "both");
    PROVES("R7143-6.2-18", "initiator");
}

static void task_reporting_is_the_first_common_choice(void **state)
{
    (void)state;
    struct key_choices offer, own;
    for (unsigned a = 0; list_number(a, KEY_TASK_REPORTING_COUNT, &offer); a++)
        for (unsigned b = 0; list_number(b, KEY_TASK_REPORTING_COUNT, &own); b++) {
            struct key_config ci, ct;
            defaults(&ci, &ct);
            ci.task_reporting = offer;
            ct.task_reporting = own;
            exchange(&ci, &ct);
            bool offered =
                has(&offer, KEY_TASK_REPORTING_RFC3720) && has(&offer, KEY_TASK_REPORTING_RESPONSE_FENCE);
            int expected = offered ? first_common(&offer, &own) : -1;
            assert_int_equal(strstr(side_words(&tgt), "TaskReporting=") != NULL, offered);
            assert_int_equal(ini.neg.params.task_reporting,
                             expected < 0 ? KEY_TASK_REPORTING_RFC3720 : expected);
        }
    PROVES("R7143-13.23-01", "both");
    PROVES("R7143-13.23-02", "both");
}

static void auth_method_is_the_first_common_choice(void **state)
{
    (void)state;
    struct key_choices offer, own;
    for (unsigned a = 1; list_number(a, KEY_AUTH_COUNT, &offer); a++)
        for (unsigned b = 0; list_number(b, KEY_AUTH_COUNT, &own); b++) {
            struct key_config ci, ct;
            defaults(&ci, &ct);
            ci.auth_methods = offer;
            ct.auth_methods = own;
            side_init(&ini, KEY_ROLE_INITIATOR, &ci, KEY_STAGE_SECURITY);
            side_init(&tgt, KEY_ROLE_TARGET, &ct, KEY_STAGE_SECURITY);
            assert_true(key_declare_initiator(&ini.neg, &ini.w) && key_offer_security(&ini.neg, &ini.w));
            int expected = first_common(&offer, &own);
            assert_int_equal(sides_agree(&ini, &tgt), expected >= 0);
            assert_int_equal(tgt.neg.auth_state, expected < 0 ? KEY_AUTH_REJECTED : KEY_AUTH_CHOSEN);
            assert_int_equal(ini.neg.auth_state, tgt.neg.auth_state);
            if (expected >= 0) {
                assert_int_equal(ini.neg.auth_method, expected);
                assert_int_equal(tgt.neg.auth_method, expected);
            } else
                assert_string_equal(side_words(&tgt), "AuthMethod=Reject|");
        }
    PROVES("R7143-12.1-01", "both");
    PROVES("R7143-6.3.2-02", "target");
    PROVES("R7143-6.3.2-03", "target");
    PROVES("R7143-6.2.1-04", "both");
}

/* ---- keys that bound each other ---- */

/* FirstBurstLength and MaxBurstLength in both orders, one of them missing, in one text and in two. */
static void first_burst_never_exceeds_max_burst(void **state)
{
    (void)state;
    static const uint32_t values[] = {0, 512, 4096, 65536, 131072, 262144, 1048576}; /* 0: not sent */
    for (size_t f = 0; f < COUNT(values); f++)
        for (size_t m = 0; m < COUNT(values); m++)
            for (size_t cf = 1; cf < COUNT(values); cf++)
                for (size_t cm = 1; cm < COUNT(values); cm++)
                    for (int first_first = 0; first_first < 2; first_first++) {
                        struct key_config ct;
                        char first[50] = "", burst[50] = "", words[100];
                        key_config_default(&ct);
                        ct.first_burst_length = values[cf];
                        ct.max_burst_length = values[cm];
                        if (values[f])
                            snprintf(first, sizeof first, "FirstBurstLength=%u|", values[f]);
                        if (values[m])
                            snprintf(burst, sizeof burst, "MaxBurstLength=%u|", values[m]);
                        snprintf(words, sizeof words, "%s%s", first_first ? first : burst,
                                 first_first ? burst : first);
                        side_init(&tgt, KEY_ROLE_TARGET, &ct, KEY_STAGE_OPERATIONAL);
                        assert_int_equal(side_hear_words(&tgt, words), KEYS_OK);
                        assert_int_equal(key_conclude(&tgt.neg), KEYS_OK);
                        const struct key_params *p = &tgt.neg.params;
                        uint32_t max_burst = values[m] ? smaller(values[m], values[cm]) : 262144;
                        uint32_t first_burst = values[f] ? smaller(values[f], values[cf]) : 65536;
                        assert_int_equal(p->max_burst_length, max_burst);
                        assert_true(p->first_burst_length <= p->max_burst_length);
                        assert_true(p->first_burst_length <= first_burst);
                        if (values[f]) { /* and the answer is the value in use */
                            snprintf(first, sizeof first, "FirstBurstLength=%u|", p->first_burst_length);
                            assert_non_null(strstr(side_words(&tgt), first));
                        }
                    }
    PROVES("R7143-13.14-02", "target");
    PROVES("R7143-6.2-24", "target");
}

static void first_burst_that_max_burst_overtakes_later_fails_the_login(void **state)
{
    (void)state;
    struct key_config ct;
    key_config_default(&ct);
    side_init(&tgt, KEY_ROLE_TARGET, &ct, KEY_STAGE_OPERATIONAL);
    assert_int_equal(side_hear_words(&tgt, "FirstBurstLength=131072|"), KEYS_OK);
    assert_int_equal(side_hear_words(&tgt, "MaxBurstLength=65536|"), KEYS_OK);
    assert_int_equal(key_conclude(&tgt.neg), KEYS_FAIL);
    assert_int_equal(tgt.neg.failure.status, KEYS_STATUS_INITIATOR_ERROR);
    assert_int_equal(tgt.neg.params.max_burst_length, 262144); /* nothing took effect */
    PROVES("R7143-6.2-23", "target");
}

static void initiator_uses_no_more_than_max_burst(void **state)
{
    (void)state;
    struct key_config ci, ct;
    defaults(&ci, &ct);
    ci.max_burst_length = ci.first_burst_length = 131072;
    side_init(&ini, KEY_ROLE_INITIATOR, &ci, KEY_STAGE_OPERATIONAL);
    assert_true(key_offer_operational(&ini.neg, &ini.w));
    assert_int_equal(side_hear_words(&ini, "MaxBurstLength=65536|FirstBurstLength=131072|"), KEYS_OK);
    assert_int_equal(key_conclude(&ini.neg), KEYS_OK);
    assert_int_equal(ini.neg.params.first_burst_length, 65536);
    PROVES("R7143-13.14-02", "initiator");
}

static void recovery_with_ordered_sequences_means_one_r2t(void **state)
{
    (void)state;
    for (unsigned level = 0; level <= 2; level++)
        for (int ordered = 0; ordered < 2; ordered++) {
            struct key_config ci, ct;
            defaults(&ci, &ct);
            ci.error_recovery_level = ct.error_recovery_level = level;
            ci.data_sequence_in_order = ct.data_sequence_in_order = ordered;
            ci.max_outstanding_r2t = ct.max_outstanding_r2t = 4;
            exchange(&ci, &ct);
            assert_int_equal(ini.neg.params.max_outstanding_r2t, level && ordered ? 1 : 4);
            /* an initiator that offers 4 all the same gets 1 */
            side_init(&tgt, KEY_ROLE_TARGET, &ct, KEY_STAGE_OPERATIONAL);
            char words[150];
            snprintf(words, sizeof words, "MaxOutstandingR2T=4|ErrorRecoveryLevel=%u|DataSequenceInOrder=%s|",
                     level, ordered ? "Yes" : "No");
            assert_int_equal(side_hear_words(&tgt, words), KEYS_OK);
            assert_non_null(
                strstr(side_words(&tgt), level && ordered ? "MaxOutstandingR2T=1|" : "MaxOutstandingR2T=4|"));
        }
    /* the level is agreed on after 4 was: then 1 is used all the same */
    struct key_config ct;
    key_config_default(&ct);
    ct.error_recovery_level = 2;
    side_init(&tgt, KEY_ROLE_TARGET, &ct, KEY_STAGE_OPERATIONAL);
    assert_int_equal(side_hear_words(&tgt, "MaxOutstandingR2T=4|"), KEYS_OK);
    assert_int_equal(side_hear_words(&tgt, "ErrorRecoveryLevel=1|"), KEYS_OK);
    assert_int_equal(key_conclude(&tgt.neg), KEYS_OK);
    assert_int_equal(tgt.neg.params.max_outstanding_r2t, 1);
    PROVES("R7143-13.19-04", "both");
}

static void discovery_sessions_are_plain(void **state)
{
    (void)state;
    struct key_config ci, ct;
    defaults(&ci, &ct);
    ci.session_type = KEY_SESSION_DISCOVERY;
    ci.target_name = NULL;
    ci.header_digest = (struct key_choices){2, {KEY_DIGEST_CRC32C, KEY_DIGEST_NONE}};
    ci.error_recovery_level = ct.error_recovery_level = 2;
    ci.max_connections = ct.max_connections = 4;
    exchange(&ci, &ct);
    assert_int_equal(ini.neg.params.session_type, KEY_SESSION_DISCOVERY);
    assert_int_equal(tgt.neg.params.session_type, KEY_SESSION_DISCOVERY);
    assert_int_equal(tgt.neg.params.header_digest, KEY_DIGEST_NONE);
    assert_null(strstr(side_words(&tgt), "MaxBurstLength"));
    /* a peer that offers everything gets level 0, one connection, and None where it is offered */
    side_init(&tgt, KEY_ROLE_TARGET, &ct, KEY_STAGE_OPERATIONAL);
    assert_int_equal(side_hear_words(&tgt, "ErrorRecoveryLevel=2|MaxConnections=4|HeaderDigest=CRC32C,None|"
                                           "DataDigest=CRC32C|InitiatorName=iqn.2001-04.com.example|"
                                           "SessionType=Discovery|"),
                     KEYS_OK);
    assert_string_equal(side_words(&tgt),
                        "ErrorRecoveryLevel=0|MaxConnections=1|HeaderDigest=None|DataDigest=CRC32C|");
    PROVES("R7143-13.21-03", "both");
    PROVES("R7143-13.21-01", "both");
}

static void default_results_are_those_of_the_standard(void **state)
{
    (void)state;
    struct key_params p;
    key_params_default(&p);
    assert_int_equal(p.header_digest, KEY_DIGEST_NONE);
    assert_int_equal(p.data_digest, KEY_DIGEST_NONE);
    assert_int_equal(p.max_connections, 1);
    assert_true(p.initial_r2t && p.immediate_data && p.data_pdu_in_order && p.data_sequence_in_order);
    assert_int_equal(p.max_recv_data_segment_length, 8192);
    assert_int_equal(p.peer_max_recv_data_segment_length, 8192);
    assert_int_equal(p.max_burst_length, 262144);
    assert_int_equal(p.first_burst_length, 65536);
    assert_int_equal(p.default_time2wait, 2);
    assert_int_equal(p.default_time2retain, 20);
    assert_int_equal(p.max_outstanding_r2t, 1);
    assert_int_equal(p.error_recovery_level, 0);
    assert_int_equal(p.task_reporting, KEY_TASK_REPORTING_RFC3720);
    assert_int_equal(p.iscsi_protocol_level, 1);
    assert_int_equal(p.session_type, KEY_SESSION_NORMAL);
    /* and a login that negotiates nothing ends with them */
    struct key_config ct;
    key_config_default(&ct);
    side_init(&tgt, KEY_ROLE_TARGET, &ct, KEY_STAGE_OPERATIONAL);
    assert_int_equal(key_conclude(&tgt.neg), KEYS_OK);
    assert_same_params(&tgt.neg.params, &p);
    PROVES("R7143-6.2-09", "both");
}

/* The target may propose; the initiator answers by the same rules. */
static void initiator_answers_what_a_target_proposes(void **state)
{
    (void)state;
    struct key_config ci;
    key_config_default(&ci);
    ci.max_burst_length = 131072;
    ci.auth_methods = (struct key_choices){2, {KEY_AUTH_NONE, KEY_AUTH_CHAP}};
    side_init(&ini, KEY_ROLE_INITIATOR, &ci, KEY_STAGE_SECURITY);
    assert_int_equal(side_hear_words(&ini, "AuthMethod=KRB5,CHAP,None|"), KEYS_OK);
    assert_string_equal(side_words(&ini), "AuthMethod=CHAP|");
    assert_int_equal(ini.neg.auth_method, KEY_AUTH_CHAP);
    assert_int_equal(key_conclude(&ini.neg), KEYS_OK);
    key_set_stage(&ini.neg, KEY_STAGE_OPERATIONAL);
    side_new_text(&ini);
    assert_int_equal(side_hear_words(&ini, "MaxBurstLength=262144|ImmediateData=No|X-com.example.a=1|"),
                     KEYS_OK);
    assert_string_equal(side_words(&ini),
                        "X-com.example.a=NotUnderstood|MaxBurstLength=131072|ImmediateData=No|");
    /* what the target proposed is not offered again */
    side_new_text(&ini);
    assert_true(key_offer_operational(&ini.neg, &ini.w));
    assert_null(strstr(side_words(&ini), "MaxBurstLength"));
    assert_int_equal(ini.neg.pending.max_burst_length, 131072);
    PROVES("R7143-6.2-08", "initiator");
    PROVES("R7143-6.3.2-07", "initiator");
    PROVES("R7143-12.1-03", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_end_at_minimum_or_maximum),
        cmocka_unit_test(max_recv_data_segment_length_is_declared_by_each_side),
        cmocka_unit_test(booleans_are_and_or_or),
        cmocka_unit_test(booleans_that_settle_themselves_need_no_answer),
        cmocka_unit_test(digests_are_the_first_common_choice),
        cmocka_unit_test(task_reporting_is_the_first_common_choice),
        cmocka_unit_test(auth_method_is_the_first_common_choice),
        cmocka_unit_test(first_burst_never_exceeds_max_burst),
        cmocka_unit_test(first_burst_that_max_burst_overtakes_later_fails_the_login),
        cmocka_unit_test(initiator_uses_no_more_than_max_burst),
        cmocka_unit_test(recovery_with_ordered_sequences_means_one_r2t),
        cmocka_unit_test(discovery_sessions_are_plain),
        cmocka_unit_test(default_results_are_those_of_the_standard),
        cmocka_unit_test(initiator_answers_what_a_target_proposes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
