/* Corners of key negotiation: what a negotiation begins with, what it forgets, what each field holds after
 * each value; the rest is in test_keys.c and test_keys_rules.c.
 *
 * Goal: every field of the parameters, the texts and the failure is what it has to be, not only the one that
 * is looked at. Method: all fields set to something else first; numbers and lengths at their limits and one
 * beyond. */
#include "tests/unit/keys_harness.h"

#include "common/iscsi/keys_internal.h"
#include "tests/unit/proves.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct side side;

static void begin(enum key_role role, enum key_stage stage)
{
    struct key_config config;
    key_config_default(&config);
    side_init(&side, role, &config, stage);
}

/* ---- what it begins with ---- */

static void a_further_connection_inherits_what_is_the_sessions(void **state)
{
    (void)state;
    struct key_params session = {
        .session_type = KEY_SESSION_NORMAL,
        .header_digest = KEY_DIGEST_CRC32C,
        .data_digest = KEY_DIGEST_CRC32C,
        .max_connections = 3,
        .initial_r2t = false,
        .immediate_data = false,
        .max_recv_data_segment_length = 1111,
        .peer_max_recv_data_segment_length = 2222,
        .max_burst_length = 3333,
        .first_burst_length = 1212,
        .default_time2wait = 5,
        .default_time2retain = 6,
        .max_outstanding_r2t = 7,
        .data_pdu_in_order = false,
        .data_sequence_in_order = false,
        .error_recovery_level = 2,
        .task_reporting = KEY_TASK_REPORTING_FAST_ABORT,
        .iscsi_protocol_level = 2,
        .has_target_portal_group_tag = true,
        .target_portal_group_tag = 9,
    };
    for (int role = 0; role < 2; role++) {
        struct key_config config;
        static struct key_negotiation neg;
        key_config_default(&config);
        key_negotiation_init(&neg, role ? KEY_ROLE_TARGET : KEY_ROLE_INITIATOR, &config, false, &session);
        for (int pending = 0; pending < 2; pending++) {
            const struct key_params *p = pending ? &neg.pending : &neg.params;
            assert_int_equal(p->session_type, KEY_SESSION_NORMAL);
            assert_int_equal(p->header_digest, KEY_DIGEST_NONE);
            assert_int_equal(p->data_digest, KEY_DIGEST_NONE);
            assert_int_equal(p->max_connections, 3);
            assert_false(p->initial_r2t);
            assert_false(p->immediate_data);
            assert_int_equal(p->max_recv_data_segment_length, 8192);
            assert_int_equal(p->peer_max_recv_data_segment_length, 8192);
            assert_int_equal(p->max_burst_length, 3333);
            assert_int_equal(p->first_burst_length, 1212);
            assert_int_equal(p->default_time2wait, 5);
            assert_int_equal(p->default_time2retain, 6);
            assert_int_equal(p->max_outstanding_r2t, 7);
            assert_false(p->data_pdu_in_order);
            assert_false(p->data_sequence_in_order);
            assert_int_equal(p->error_recovery_level, 2);
            assert_int_equal(p->task_reporting, KEY_TASK_REPORTING_FAST_ABORT);
            assert_int_equal(p->iscsi_protocol_level, 2);
            assert_false(p->has_target_portal_group_tag); /* this connection's target has not said it yet */
        }
        assert_false(neg.leading);
        assert_int_equal(neg.auth_state, KEY_AUTH_OPEN);
        assert_null(neg.failure.reason);
    }
    PROVES("R7143-13.1-01", "both");
}

/* An initiator knows the type of its session, a target assumes Normal until it is told. */
static void the_session_type_is_the_initiators(void **state)
{
    (void)state;
    for (int role = 0; role < 2; role++) {
        struct key_config config;
        key_config_default(&config);
        config.session_type = KEY_SESSION_DISCOVERY;
        side_init(&side, role ? KEY_ROLE_TARGET : KEY_ROLE_INITIATOR, &config, KEY_STAGE_SECURITY);
        enum key_session_type expected = role ? KEY_SESSION_NORMAL : KEY_SESSION_DISCOVERY;
        assert_int_equal(side.neg.params.session_type, expected);
        assert_int_equal(side.neg.pending.session_type, expected);
        assert_int_equal(key_in_discovery(&side.neg), !role);
    }
}

static void the_standards_defaults(void **state)
{
    (void)state;
    struct key_params p;
    memset(&p, 0xff, sizeof p);
    key_params_default(&p);
    assert_int_equal(p.session_type, KEY_SESSION_NORMAL);
    assert_int_equal(p.header_digest, KEY_DIGEST_NONE);
    assert_int_equal(p.data_digest, KEY_DIGEST_NONE);
    assert_int_equal(p.max_connections, 1);
    assert_true(p.initial_r2t);
    assert_true(p.immediate_data);
    assert_int_equal(p.max_recv_data_segment_length, 8192);
    assert_int_equal(p.peer_max_recv_data_segment_length, 8192);
    assert_int_equal(p.max_burst_length, 262144);
    assert_int_equal(p.first_burst_length, 65536);
    assert_int_equal(p.default_time2wait, 2);
    assert_int_equal(p.default_time2retain, 20);
    assert_int_equal(p.max_outstanding_r2t, 1);
    assert_true(p.data_pdu_in_order);
    assert_true(p.data_sequence_in_order);
    assert_int_equal(p.error_recovery_level, 0);
    assert_int_equal(p.task_reporting, KEY_TASK_REPORTING_RFC3720);
    assert_int_equal(p.iscsi_protocol_level, 1);
    assert_false(p.has_target_portal_group_tag);
    assert_int_equal(p.target_portal_group_tag, 0);
}

/* What we offer of our own accord, as the manual has it. */
static void our_own_defaults(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    config.initiator_name = "iqn.2001-04.com.example:host";
    side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
    assert_true(key_offer_operational(&side.neg, &side.w));
    assert_string_equal(side_words(&side),
                        "HeaderDigest=None,CRC32C|DataDigest=None,CRC32C|DefaultTime2Wait=2|"
                        "DefaultTime2Retain=20|ErrorRecoveryLevel=0|InitialR2T=No|ImmediateData=Yes|"
                        "MaxBurstLength=1048576|FirstBurstLength=262144|MaxOutstandingR2T=8|MaxConnections=1|"
                        "DataPDUInOrder=Yes|DataSequenceInOrder=Yes|MaxRecvDataSegmentLength=262144|");
    config.session_type = KEY_SESSION_DISCOVERY;
    side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
    assert_true(key_offer_operational(&side.neg, &side.w));
    assert_string_equal(side_words(&side),
                        "HeaderDigest=None|DataDigest=None|DefaultTime2Wait=2|DefaultTime2Retain=20|"
                        "ErrorRecoveryLevel=0|MaxRecvDataSegmentLength=262144|");
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_SECURITY);
    assert_true(key_declare_target(&side.neg, &side.w));
    assert_string_equal(side_words(&side), "TargetPortalGroupTag=1|");
    for (uint32_t level = 1; level < 4; level++) { /* 1 is the default of the standard: no need to say it */
        config.session_type = KEY_SESSION_NORMAL;
        config.iscsi_protocol_level = level;
        side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
        assert_true(key_offer_operational(&side.neg, &side.w));
        assert_int_equal(strstr(side_words(&side), "iSCSIProtocolLevel=") != NULL, level > 1);
    }
    for (uint32_t level = 0; level < 3; level++) { /* R7143-13.19-04 binds only ordered recovery */
        for (int order = 0; order < 2; order++) {
            config.iscsi_protocol_level = 1;
            config.error_recovery_level = level;
            config.data_sequence_in_order = order;
            side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
            assert_true(key_offer_operational(&side.neg, &side.w));
            assert_non_null(
                strstr(side_words(&side), level && order ? "MaxOutstandingR2T=1|" : "MaxOutstandingR2T=8|"));
        }
    }
    static const uint32_t bursts[][3] = {{511 + 1, 1024, 512}, {1024, 1024, 1024}, {1025, 1024, 1024}};
    for (size_t i = 0; i < COUNT(bursts); i++) { /* R7143-13.14-02 */
        char expected[32];
        config.first_burst_length = bursts[i][0];
        config.max_burst_length = bursts[i][1];
        side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
        assert_true(key_offer_operational(&side.neg, &side.w));
        snprintf(expected, sizeof expected, "FirstBurstLength=%u|", (unsigned)bursts[i][2]);
        assert_non_null(strstr(side_words(&side), expected));
    }
    PROVES("R7143-13.14-02", "both");
}

/* A configured text that no peer may accept is not sent. */
static void texts_that_are_too_long_are_not_sent(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t max;
    } texts[] = {
        {"InitiatorName", 223}, {"InitiatorAlias", 255}, {"TargetName", 223}, {"X#NodeArchitecture", 255}};
    for (size_t i = 0; i < COUNT(texts); i++) {
        for (size_t len = texts[i].max - 1; len <= texts[i].max + 1; len++) {
            struct key_config config;
            char value[300] = {0}, pair[330];
            memset(value, 'v', len);
            key_config_default(&config);
            *(i == 0   ? &config.initiator_name
              : i == 1 ? &config.initiator_alias
              : i == 2 ? &config.target_name
                       : &config.node_architecture) = value;
            side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
            assert_true(key_declare_initiator(&side.neg, &side.w));
            assert_true(key_offer_operational(&side.neg, &side.w));
            snprintf(pair, sizeof pair, "%s=%s|", texts[i].key, value);
            assert_int_equal(strstr(side_words(&side), pair) != NULL, len <= texts[i].max);
            snprintf(pair, sizeof pair, "%s=", texts[i].key);
            assert_int_equal(strstr(side_words(&side), pair) != NULL, len <= texts[i].max);
        }
    }
    PROVES("R7143-13.26.1-01", "initiator");
}

/* What the target has proposed is answered, not offered once more. */
static void what_the_peer_proposed_is_not_offered(void **state)
{
    (void)state;
    static const char *const pairs[] = {"HeaderDigest=None|",       "DataDigest=None|",
                                        "DefaultTime2Wait=2|",      "DefaultTime2Retain=2|",
                                        "ErrorRecoveryLevel=0|",    "InitialR2T=Yes|",
                                        "ImmediateData=Yes|",       "MaxBurstLength=4096|",
                                        "FirstBurstLength=4096|",   "MaxOutstandingR2T=1|",
                                        "MaxConnections=1|",        "DataPDUInOrder=Yes|",
                                        "DataSequenceInOrder=Yes|", "MaxRecvDataSegmentLength=8192|"};
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)(strchr(pairs[i], '=') - pairs[i] + 1), pairs[i]);
        begin(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL);
        assert_int_equal(side_hear_words(&side, pairs[i]), KEYS_OK);
        bool declared = i + 1 == COUNT(pairs); /* each side has its own */
        assert_int_equal(strstr(side_words(&side), key) != NULL, !declared);
        side_new_text(&side);
        assert_true(key_offer_operational(&side.neg, &side.w));
        assert_int_equal(strstr(side_words(&side), key) != NULL, declared);
        for (size_t k = 0; k + 1 < COUNT(pairs); k++) { /* and all others are */
            snprintf(key, sizeof key, "%.*s", (int)(strchr(pairs[k], '=') - pairs[k] + 1), pairs[k]);
            assert_int_equal(strstr(side_words(&side), key) != NULL, k != i);
        }
        side_new_text(&side);
        assert_true(key_offer_operational(&side.neg, &side.w)); /* nothing twice */
        assert_int_equal(side.w.len, 0);
    }
    PROVES("R7143-6.3-20", "initiator");
}

/* Offers that do not fit are told; a buffer that is just as long as the text is enough. */
static void offers_need_room(void **state)
{
    (void)state;
    static const struct key_override extras[] = {{"MaxBurstLength", "123"},
                                                 {"X-com.example.a", "1"},
                                                 {"DataDigest", NULL},
                                                 {"X-com.example.b", NULL},
                                                 {"X-com.example.c", "3"}};
    struct key_config config;
    char text[2048];
    size_t whole = 0;
    key_config_default(&config);
    config.node_architecture = "none";
    config.overrides = extras;
    config.override_count = COUNT(extras);
    side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
    assert_true(key_offer_operational(&side.neg, &side.w));
    whole = side.w.len;
    const char *words = side_words(&side), *first = strstr(words, "MaxBurstLength=123|");
    assert_non_null(first);
    assert_null(strstr(first + 1, "MaxBurstLength=")); /* once, and as the override has it */
    assert_null(strstr(words, "DataDigest="));
    assert_null(strstr(words, "X-com.example.b"));
    assert_string_equal(words + whole - strlen("X-com.example.a=1|X-com.example.c=3|"),
                        "X-com.example.a=1|X-com.example.c=3|");
    for (size_t cap = 1; cap <= whole + 1; cap++) {
        side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
        struct text_writer w;
        text_writer_init(&w, text, cap);
        assert_int_equal(key_offer_operational(&side.neg, &w), cap >= whole);
    }
}

/* ---- declarations ---- */

static void portal_group_tags_are_sixteen_bits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint16_t tag;
    } cases[] = {
        {"0", true, 0},           {"1", true, 1},         {"255", true, 255},    {"256", true, 256},
        {"4660", true, 0x1234},   {"65535", true, 65535}, {"65536", false, 0},   {"0x1234", true, 0x1234},
        {"0xff00", true, 0xff00}, {"0x00ff", true, 0xff}, {"0x10000", false, 0}, {"0bEjQ=", true, 0x1234},
        {"0b/wA=", true, 0xff00}, {"0bEg==", false, 0},   {"0bEjRW", false, 0},  {"-1", false, 0},
        {"", false, 0},           {"1 ", false, 0},       {"0x", false, 0},      {"one", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[64];
        begin(KEY_ROLE_INITIATOR, KEY_STAGE_SECURITY);
        side.neg.pending.target_portal_group_tag = 0xabcd;
        snprintf(text, sizeof text, "TargetPortalGroupTag=%s|", cases[i].text);
        bool good = side_hear_words(&side, text) == KEYS_OK;
        if (good != cases[i].good)
            fail_msg("%s %s", text, good ? "is taken" : "is refused");
        assert_int_equal(side.neg.pending.has_target_portal_group_tag, good);
        if (good) {
            assert_int_equal(side.neg.pending.target_portal_group_tag, cases[i].tag);
            assert_int_equal(key_conclude(&side.neg), KEYS_OK);
            assert_true(side.neg.params.has_target_portal_group_tag);
            assert_int_equal(side.neg.params.target_portal_group_tag, cases[i].tag);
        } else {
            assert_string_equal(side.neg.failure.key, "TargetPortalGroupTag");
            assert_int_equal(side.neg.failure.status, KEYS_STATUS_INITIATOR_ERROR);
            assert_string_equal(side.neg.failure.requirement, "R7143-13.9-01");
        }
    }
}

static void aliases_are_cut_where_they_must_be(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 254, 255};
    for (size_t i = 0; i < COUNT(lens); i++) {
        char text[400] = "InitiatorAlias=";
        size_t at = strlen(text);
        memset(text + at, 'a', lens[i]);
        begin(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL);
        memset(side.neg.pending_texts.initiator_alias, 'z', KEY_ALIAS_CAP);
        assert_int_equal(side_hear(&side, text, at + lens[i] + 1), KEYS_OK);
        assert_int_equal(strlen(side.neg.pending_texts.initiator_alias), lens[i]);
        assert_memory_equal(side.neg.pending_texts.initiator_alias, text + at, lens[i] + 1);
        assert_int_equal(side.neg.pending_texts.target_alias[0], 0);
    }
    static const struct {
        const char *value, *kept;
    } cases[] = {
        {"plain", "plain"},    {"\xc3\xa4ther", "\xc3\xa4ther"},
        {"\xe4ther", "?ther"}, {"a\x7f\x80\xffz", "a\x7f??z"},
        {"\xc3", "?"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "TargetAlias=%s", cases[i].value);
        begin(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL);
        assert_int_equal(side_hear(&side, text, (size_t)n + 1), KEYS_OK);
        assert_string_equal(side.neg.pending_texts.target_alias, cases[i].kept);
        assert_int_equal(side.neg.pending_texts.initiator_alias[0], 0);
    }
    PROVES("R7143-13.6-02", "initiator");
}

/* The first TargetAddress counts, and the peer's architecture only where it may be told. */
static void texts_of_the_first_login(void **state)
{
    (void)state;
    begin(KEY_ROLE_INITIATOR, KEY_STAGE_SECURITY);
    assert_int_equal(side_hear_words(&side, "TargetAddress=10.0.0.1:3260,1|TargetAddress=10.0.0.2:3260,1|"),
                     KEYS_OK);
    assert_string_equal(side.neg.pending_texts.target_address, "10.0.0.1:3260,1");
    assert_int_equal(side.neg.pending_texts.node_architecture[0], 0);
    for (int leading = 0; leading < 2; leading++) {
        begin(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL);
        side.neg.leading = leading;
        assert_int_equal(side_hear_words(&side, "X#NodeArchitecture=abc|"), KEYS_OK);
        assert_string_equal(side.neg.pending_texts.node_architecture, leading ? "abc" : "");
        assert_int_equal(side.neg.pending_texts.target_address[0], 0);
    }
}

/* ---- failures ---- */

/* For the log: the key as it came where that is printable, and no longer than a key can be. */
static void the_key_of_a_failure_is_printable(void **state)
{
    (void)state;
    char key[80], expected[80];
    static const char bytes[] = {0x01, 0x1f, 0x20, 0x21, 0x41, 0x7e, 0x7f, (char)0x80, (char)0xff};
    static const char shown[] = "\?\?\?!A~\?\?\?";
    for (size_t len = 1; len <= 70; len++) {
        begin(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL);
        memset(&side.neg.failure, 'z', sizeof side.neg.failure);
        memset(key, 'q', sizeof key);
        memset(expected, 0, sizeof expected);
        for (size_t i = 0; i < len; i++) {
            key[i] = bytes[i % sizeof bytes];
            if (i < 63)
                expected[i] = shown[i % sizeof bytes];
        }
        struct text_range name = {key, len};
        assert_int_equal(key_receive(&side.neg, name, text_range_of("Reject"), &side.w), KEYS_FAIL);
        assert_string_equal(side.neg.failure.key, expected);
        assert_string_equal(side.neg.failure.requirement, "R7143-6.2-16");
        assert_int_equal(side.neg.failure.status, KEYS_STATUS_INITIATOR_ERROR);
    }
    PROVES("R7143-6.2-16", "target");
}

/* Each word of extension keys is answered once; any answer will do, for its own key only. */
static void extension_keys_are_answered_once_each(void **state)
{
    (void)state;
    static const struct key_override extras[] = {{"X-com.example.a", "1"}, {"X-com.example.b", "2"}};
    static const char *const answers[] = {"1", "NotUnderstood", "Reject", "Irrelevant"};
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct key_config config;
        char text[64];
        key_config_default(&config);
        config.overrides = extras;
        config.override_count = 2;
        side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
        snprintf(text, sizeof text, "X-com.example.b=%s|", answers[i]);
        assert_true(key_offer_operational(&side.neg, &side.w));
        assert_non_null(strstr(side_words(&side), "X-com.example.a=1|X-com.example.b=2|"));
        side_new_text(&side);
        assert_int_equal(side_hear_words(&side, text), KEYS_OK);
        assert_int_equal(side.w.len, 0); /* an answer needs none */
        assert_int_equal(side_hear_words(&side, text), KEYS_FAIL);
        assert_string_equal(side.neg.failure.requirement, "R7143-6.3-21");
        assert_string_equal(side.neg.failure.key, "X-com.example.b");
        assert_int_equal(side_hear_words(&side, "X-com.example.a=x|"), KEYS_OK);
        assert_int_equal(side.w.len, 0);
        assert_int_equal(side_hear_words(&side, "X-com.example.c=x|"), KEYS_OK);
        assert_string_equal(side_words(&side), "X-com.example.c=NotUnderstood|"); /* a proposal of theirs */
        /* In the next text negotiation it is a new one, and nobody has offered anything. */
        side_new_text(&side);
        key_set_stage(&side.neg, KEY_STAGE_FULL_FEATURE);
        side_hear_words(&side, "X-com.example.a=x|");
        assert_string_equal(side_words(&side), "X-com.example.a=NotUnderstood|");
    }
    PROVES("R7143-6.2-12", "both");
    PROVES("R7143-6.2-13", "initiator");
}

/* ---- one negotiation after the other ---- */

/* A text negotiation begins with what is in force, and one that is given up leaves nothing. */
static void a_text_negotiation_leaves_no_trace(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        begin(KEY_ROLE_TARGET, KEY_STAGE_FULL_FEATURE);
        side.neg.params.peer_max_recv_data_segment_length = 4096;
        snprintf(side.neg.texts.initiator_alias, KEY_ALIAS_CAP, "old");
        key_text_begin(&side.neg);
        assert_int_equal(side.neg.pending.peer_max_recv_data_segment_length, 4096);
        assert_int_equal(
            side_hear_words(&side, "SendTargets=All|MaxRecvDataSegmentLength=1024|InitiatorAlias=new|"),
            KEYS_OK);
        assert_int_equal(side.neg.pending.peer_max_recv_data_segment_length, 1024);
        assert_string_equal(side.neg.pending_texts.initiator_alias, "new");
        assert_true(side.neg.pending_texts.has_send_targets);
        if (way == 0) {
            key_abandon(&side.neg);
            assert_int_equal(side.neg.pending.peer_max_recv_data_segment_length, 4096);
            assert_string_equal(side.neg.pending_texts.initiator_alias, "old");
            assert_false(side.neg.pending_texts.has_send_targets);
            assert_int_equal(key_conclude(&side.neg), KEYS_OK);
        } else {
            assert_int_equal(key_conclude(&side.neg), KEYS_OK);
            assert_true(side.neg.texts.has_send_targets);
            assert_string_equal(side.neg.texts.send_targets, "All");
        }
        assert_int_equal(side.neg.params.peer_max_recv_data_segment_length, way ? 1024 : 4096);
        assert_string_equal(side.neg.texts.initiator_alias, way ? "new" : "old");
        side.neg.pending.peer_max_recv_data_segment_length = 7; /* what was left lying about */
        snprintf(side.neg.pending_texts.initiator_alias, KEY_ALIAS_CAP, "junk");
        side.neg.failure.reason = "old";
        key_text_begin(&side.neg);
        assert_int_equal(side.neg.pending.peer_max_recv_data_segment_length, way ? 1024 : 4096);
        assert_string_equal(side.neg.pending_texts.initiator_alias, way ? "new" : "old");
        assert_false(side.neg.texts.has_send_targets);
        assert_string_equal(side.neg.texts.send_targets, "");
        assert_false(side.neg.pending_texts.has_send_targets);
        assert_string_equal(side.neg.pending_texts.send_targets, "");
        assert_null(side.neg.failure.reason);
        /* The same keys may come again: it is another negotiation. */
        assert_int_equal(
            side_hear_words(&side, "SendTargets=|MaxRecvDataSegmentLength=2048|InitiatorAlias=x|"), KEYS_OK);
        assert_int_equal(key_conclude(&side.neg), KEYS_OK);
        assert_string_equal(side.neg.texts.send_targets, "");
        assert_true(side.neg.texts.has_send_targets);
    }
    PROVES("R7143-6.2-23", "target");
    PROVES("R7143-6.4-14", "target");
}

/* Proposals that are not answered when the negotiation is given up are not answered later. */
static void what_was_given_up_is_not_answered(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct text_range key = text_range_of("MaxBurstLength"), value = text_range_of("4096");
        begin(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL);
        assert_int_equal(key_receive(&side.neg, key, value, &side.w), KEYS_OK);
        assert_int_equal(side.neg.to_answer_count, 1);
        if (way == 0)
            key_abandon(&side.neg);
        else
            key_text_begin(&side.neg);
        assert_int_equal(key_flush(&side.neg, &side.w), KEYS_OK);
        assert_int_equal(side.w.len, 0);
        assert_int_equal(key_conclude(&side.neg), KEYS_OK);
        assert_int_equal(side.neg.params.max_burst_length, 262144);
    }
    PROVES("R7143-6.2-23", "target");
}

/* ---- refusals ---- */

/* Whatever word it is refused with, a digest that we require ends the login, one that we do not is off. */
static void refused_digests(void **state)
{
    (void)state;
    static const char *const words[] = {"Reject", "Irrelevant", "NotUnderstood"};
    static const char *const keys[] = {"HeaderDigest", "DataDigest"};
    static const struct key_choices lists[] = {
        {1, {KEY_DIGEST_NONE}}, {1, {KEY_DIGEST_CRC32C}}, {2, {KEY_DIGEST_CRC32C, KEY_DIGEST_NONE}}};
    for (size_t w = 0; w < COUNT(words); w++) {
        for (size_t k = 0; k < COUNT(keys); k++) {
            for (size_t l = 0; l < COUNT(lists); l++) {
                struct key_config config;
                char text[64];
                key_config_default(&config);
                config.header_digest = config.data_digest = lists[l];
                config.tolerate_not_understood = true;
                side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
                assert_true(key_offer_operational(&side.neg, &side.w));
                snprintf(text, sizeof text, "%s=%s|", keys[k], words[w]);
                enum keys_verdict verdict = side_hear_words(&side, text);
                assert_int_equal(verdict, l == 1 ? KEYS_FAIL : KEYS_OK);
                if (l == 1) {
                    assert_string_equal(side.neg.failure.key, keys[k]);
                    assert_string_equal(side.neg.failure.requirement, "R7143-6.2-18");
                }
                assert_int_equal(side.neg.pending.header_digest, KEY_DIGEST_NONE);
                assert_int_equal(side.neg.pending.data_digest, KEY_DIGEST_NONE);
            }
        }
    }
    PROVES("R7143-6.2-18", "initiator");
}

/* A declared length that the peer refuses is not in force. */
static void a_refused_length_is_not_in_force(void **state)
{
    (void)state;
    begin(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL);
    side.neg.params.max_recv_data_segment_length = 5000;
    assert_true(key_offer_operational(&side.neg, &side.w));
    assert_int_equal(side.neg.pending.max_recv_data_segment_length, 262144);
    assert_int_equal(side_hear_words(&side, "MaxRecvDataSegmentLength=Reject|"), KEYS_OK);
    assert_int_equal(side.neg.pending.max_recv_data_segment_length, 5000);
    assert_int_equal(side.neg.pending.peer_max_recv_data_segment_length, 8192);
}

/* ---- lists ---- */

/* Repeated and unknown words do not change what is chosen, however many there are. */
static void long_lists_are_read_to_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *answer;
    } cases[] = {
        {"None", "None"},
        {"CRC32C", "CRC32C"},
        {"CRC32C,None", "CRC32C"},
        {"None,CRC32C", "None"},
        {"CRC32C,CRC32C,CRC32C,None,None", "CRC32C"},
        {"None,None,CRC32C,CRC32C", "None"},
        {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,CRC32C", "CRC32C"},
        {"CRC32,None", "None"},
        {"crc32c,none,None", "None"},
        {"x,y", "Reject"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[128], expected[64];
        begin(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL);
        snprintf(text, sizeof text, "DataDigest=%s|", cases[i].offer);
        snprintf(expected, sizeof expected, "DataDigest=%s|", cases[i].answer);
        assert_int_equal(side_hear_words(&side, text), KEYS_OK);
        assert_string_equal(side_words(&side), expected);
    }
    for (enum key_id id = 0; id < KEY_COUNT; id++) { /* words and values are one table */
        unsigned n = 0;
        uint64_t packed;
        bool known;
        while (key_word(id, n)) {
            known = false;
            assert_true(key_parse_value(id, text_range_of(key_word(id, n)), &packed, &known));
            assert_true(known);
            assert_int_equal(packed, n + 1);
            assert_true(key_packed_has(packed, n));
            assert_false(key_packed_has(packed, n + 1));
            n++;
        }
        assert_int_equal(n, id == KEY_TASK_REPORTING                                                    ? 3
                            : id == KEY_HEADER_DIGEST || id == KEY_DATA_DIGEST || id == KEY_AUTH_METHOD ? 2
                                                                                                        : 0);
    }
    assert_string_equal(key_digest_text(KEY_DIGEST_CRC32C), "CRC32C");
    assert_string_equal(key_digest_text(KEY_DIGEST_COUNT), "?");
    assert_string_equal(key_auth_text(KEY_AUTH_CHAP), "CHAP");
    assert_string_equal(key_auth_text(KEY_AUTH_COUNT), "?");
    assert_string_equal(key_task_reporting_text(KEY_TASK_REPORTING_FAST_ABORT), "FastAbort");
    assert_string_equal(key_task_reporting_text(KEY_TASK_REPORTING_COUNT), "?");
    PROVES("R7143-6.2.1-03", "target");
}

/* However often a word is repeated, what comes behind it is read. */
static void repeated_words_take_no_room(void **state)
{
    (void)state;
    for (int times = 1; times <= 40; times++) {
        struct key_config config;
        char text[400] = "HeaderDigest=";
        key_config_default(&config);
        config.header_digest = (struct key_choices){1, {KEY_DIGEST_NONE}};
        side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
        for (int i = 0; i < times; i++)
            strcat(text, "CRC32C,");
        strcat(text, "None|");
        assert_int_equal(side_hear_words(&side, text), KEYS_OK);
        assert_string_equal(side_words(&side), "HeaderDigest=None|");
    }
}

/* A hexadecimal number may have leading zeros, and 255 characters at most. */
static void numbers_have_a_length(void **state)
{
    (void)state;
    for (size_t len = 254; len <= 256; len++) {
        char text[300] = "MaxBurstLength=";
        size_t at = strlen(text);
        memset(text + at, '0', len);
        text[at + 1] = 'x';
        memcpy(text + at + len - 4, "1000", 4);
        begin(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL);
        assert_int_equal(side_hear(&side, text, at + len + 1), KEYS_OK);
        assert_string_equal(side_words(&side),
                            len <= 255 ? "MaxBurstLength=4096|" : "MaxBurstLength=Reject|");
    }
}

/* Each key has one member of the parameters, and changes no other. */
static void a_key_sets_its_own_parameter(void **state)
{
    (void)state;
#define MEMBER(id, name)                                                                                     \
    {                                                                                                        \
        KEY_##id, offsetof(struct key_params, name), sizeof(((struct key_params *)0)->name)                  \
    }
    static const struct {
        enum key_id id;
        size_t at, len;
    } members[] = {
        MEMBER(HEADER_DIGEST, header_digest),
        MEMBER(DATA_DIGEST, data_digest),
        MEMBER(TASK_REPORTING, task_reporting),
        MEMBER(MAX_CONNECTIONS, max_connections),
        MEMBER(INITIAL_R2T, initial_r2t),
        MEMBER(IMMEDIATE_DATA, immediate_data),
        MEMBER(MAX_BURST_LENGTH, max_burst_length),
        MEMBER(FIRST_BURST_LENGTH, first_burst_length),
        MEMBER(DEFAULT_TIME2WAIT, default_time2wait),
        MEMBER(DEFAULT_TIME2RETAIN, default_time2retain),
        MEMBER(MAX_OUTSTANDING_R2T, max_outstanding_r2t),
        MEMBER(DATA_PDU_IN_ORDER, data_pdu_in_order),
        MEMBER(DATA_SEQUENCE_IN_ORDER, data_sequence_in_order),
        MEMBER(ERROR_RECOVERY_LEVEL, error_recovery_level),
        MEMBER(ISCSI_PROTOCOL_LEVEL, iscsi_protocol_level),
    };
    for (enum key_id id = 0; id < KEY_COUNT; id++) {
        struct key_params p;
        memset(&p, 0, sizeof p);
        key_set_param(&p, id, 1);
        size_t at = 0, len = 0;
        for (size_t i = 0; i < COUNT(members); i++)
            if (members[i].id == id)
                at = members[i].at, len = members[i].len;
        for (size_t i = 0; i < sizeof p; i++)
            if (i < at || i >= at + len)
                assert_int_equal(((const uint8_t *)&p)[i], 0);
        size_t sum = 0;
        for (size_t i = at; i < at + len; i++)
            sum += ((const uint8_t *)&p)[i];
        assert_int_equal(sum, len != 0);
    }
}

/* A word of a list is a simple value: 255 bytes. */
static void words_of_a_list_have_a_length(void **state)
{
    (void)state;
    for (size_t len = 254; len <= 256; len++) {
        char text[300] = "DataDigest=";
        size_t at = strlen(text);
        memset(text + at, 'w', len);
        at += len;
        memcpy(text + at, ",None", 6);
        begin(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL);
        assert_int_equal(side_hear(&side, text, at + 6), KEYS_OK);
        assert_string_equal(side_words(&side), len <= 255 ? "DataDigest=None|" : "DataDigest=Reject|");
    }
}

/* Target: numbers of ours that no key may have are brought into its range before they are said. */
static void configured_numbers_are_brought_into_range(void **state)
{
    (void)state;
    static const struct {
        uint32_t ours;
        const char *text, *answer;
    } cases[] = {
        {0, "MaxBurstLength=4096|", "MaxBurstLength=512|"},
        {511, "MaxBurstLength=4096|", "MaxBurstLength=512|"},
        {512, "MaxBurstLength=4096|", "MaxBurstLength=512|"},
        {513, "MaxBurstLength=4096|", "MaxBurstLength=513|"},
        {3600, "DefaultTime2Wait=7|", "DefaultTime2Wait=3600|"},
        {3601, "DefaultTime2Wait=7|", "DefaultTime2Wait=3600|"},
        {0, "MaxConnections=4|", "MaxConnections=1|"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct key_config config;
        key_config_default(&config);
        config.max_burst_length = config.default_time2wait = config.max_connections = cases[i].ours;
        side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
        assert_int_equal(side_hear_words(&side, cases[i].text), KEYS_OK);
        assert_string_equal(side_words(&side), cases[i].answer);
    }
    PROVES("R7143-6.2.2-03", "target");
}

/* ---- what is left open ---- */

static void what_is_unanswered_is_told(void **state)
{
    (void)state;
    enum key_id which = KEY_COUNT;
    begin(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL);
    assert_false(key_unanswered(&side.neg, &which));
    assert_true(key_offer_operational(&side.neg, &side.w));
    assert_true(key_unanswered(&side.neg, &which));
    assert_int_equal(which, KEY_HEADER_DIGEST);
    assert_true(key_unanswered(&side.neg, NULL));
    assert_int_equal(
        side_hear_words(&side, "HeaderDigest=None|DataDigest=None|DefaultTime2Wait=2|DefaultTime2Retain=20|"
                               "ErrorRecoveryLevel=0|MaxBurstLength=512|FirstBurstLength=512|"
                               "MaxOutstandingR2T=1|MaxConnections=1|"),
        KEYS_OK);
    assert_true(key_unanswered(&side.neg, &which));
    assert_int_equal(which, KEY_INITIAL_R2T); /* No, and OR: theirs decides */
    assert_int_equal(side_hear_words(&side, "InitialR2T=Yes|"), KEYS_OK);
    assert_true(key_unanswered(&side.neg, &which));
    assert_int_equal(which, KEY_IMMEDIATE_DATA);
    assert_int_equal(side_hear_words(&side, "ImmediateData=No|"), KEYS_OK);
    assert_false(key_unanswered(&side.neg, &which)); /* Yes, and OR, settles the two that are left */
    assert_int_equal(key_conclude(&side.neg), KEYS_OK);
    assert_true(side.neg.params.data_pdu_in_order);
    assert_true(side.neg.params.data_sequence_in_order);
    assert_true(side.neg.params.initial_r2t);
    assert_false(side.neg.params.immediate_data);
    PROVES("R7143-6.2.2-07", "initiator");
}

/* A target that has offered extension keys waits for each answer; an initiator goes on without. */
static void unanswered_extension_keys(void **state)
{
    (void)state;
    static const struct key_override extras[] = {
        {"X-com.example.a", "1"}, {"X-com.example.b", NULL}, {"X-com.example.c", "3"}};
    for (int role = 0; role < 2; role++) {
        struct key_config config;
        key_config_default(&config);
        config.overrides = extras;
        config.override_count = 3;
        side_init(&side, role ? KEY_ROLE_TARGET : KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
        side.neg.leading = true;
        assert_false(key_unanswered(&side.neg, NULL));
        assert_true(key_offer_operational(&side.neg, &side.w));
        for (enum key_id id = 0; id < KEY_COUNT; id++)
            side.neg.state[id] |= KEY_STATE_ANSWERED; /* all others are settled */
        for (int answered = 0; answered < 3; answered++) {
            enum key_id which = KEY_COUNT;
            assert_int_equal(key_unanswered(&side.neg, &which), role && answered < 2);
            assert_int_equal(key_unanswered(&side.neg, NULL), role && answered < 2);
            assert_int_equal(which, role && answered < 2 ? (int)KEY_UNKNOWN : (int)KEY_COUNT);
            side_new_text(&side);
            if (answered < 2)
                assert_int_equal(
                    side_hear_words(&side, answered ? "X-com.example.a=y|" : "X-com.example.c=y|"), KEYS_OK);
        }
    }
}

/* A discovery session is plain, whatever was said. */
static void discovery_is_plain_whatever_was_said(void **state)
{
    (void)state;
    static const struct key_override more[] = {{"MaxConnections", "4"}, {"ErrorRecoveryLevel", "2"}};
    for (int discovery = 0; discovery < 2; discovery++) {
        struct key_config config;
        key_config_default(&config);
        config.session_type = discovery ? KEY_SESSION_DISCOVERY : KEY_SESSION_NORMAL;
        config.overrides = more;
        config.override_count = 2;
        side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
        assert_true(key_offer_operational(&side.neg, &side.w));
        assert_non_null(strstr(side_words(&side), "MaxConnections=4|"));
        side_new_text(&side);
        assert_int_equal(side_hear_words(&side, "MaxConnections=3|ErrorRecoveryLevel=1|"), KEYS_OK);
        assert_int_equal(key_conclude(&side.neg), KEYS_OK);
        assert_int_equal(side.neg.params.max_connections, discovery ? 1 : 3);
        assert_int_equal(side.neg.params.error_recovery_level, discovery ? 0 : 1);
    }
    PROVES("R7143-13.21-02", "initiator");
    PROVES("R7143-13.21-03", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_further_connection_inherits_what_is_the_sessions),
        cmocka_unit_test(the_session_type_is_the_initiators),
        cmocka_unit_test(the_standards_defaults),
        cmocka_unit_test(our_own_defaults),
        cmocka_unit_test(texts_that_are_too_long_are_not_sent),
        cmocka_unit_test(what_the_peer_proposed_is_not_offered),
        cmocka_unit_test(offers_need_room),
        cmocka_unit_test(portal_group_tags_are_sixteen_bits),
        cmocka_unit_test(aliases_are_cut_where_they_must_be),
        cmocka_unit_test(texts_of_the_first_login),
        cmocka_unit_test(the_key_of_a_failure_is_printable),
        cmocka_unit_test(extension_keys_are_answered_once_each),
        cmocka_unit_test(a_text_negotiation_leaves_no_trace),
        cmocka_unit_test(what_was_given_up_is_not_answered),
        cmocka_unit_test(refused_digests),
        cmocka_unit_test(a_refused_length_is_not_in_force),
        cmocka_unit_test(long_lists_are_read_to_the_end),
        cmocka_unit_test(repeated_words_take_no_room),
        cmocka_unit_test(numbers_have_a_length),
        cmocka_unit_test(a_key_sets_its_own_parameter),
        cmocka_unit_test(words_of_a_list_have_a_length),
        cmocka_unit_test(configured_numbers_are_brought_into_range),
        cmocka_unit_test(what_is_unanswered_is_told),
        cmocka_unit_test(unanswered_extension_keys),
        cmocka_unit_test(discovery_is_plain_whatever_was_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
