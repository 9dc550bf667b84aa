/* Goal: each key is taken only from the side, in the stage, as often and in the form that RFC 7143 chapters
 * 6, 12 and 13 allow; everything else gets exactly the answer or the failure that is due, and leaves no
 * trace. Method: tables of texts ('|' stands for NUL) with the expected answers, or "!status requirement" for
 * a failure. */
#include "tests/unit/keys_harness.h"

#include <stdlib.h>

#include "tests/unit/proves.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct side side;

struct row {
    const char *text, *expected;
};

/* Hears the text; describes the outcome. */
static const char *outcome(const char *text)
{
    static char out[HARNESS_TEXT_CAP];
    side_new_text(&side);
    if (side_hear_words(&side, text) == KEYS_OK)
        return side_words(&side);
    assert_non_null(side.neg.failure.reason);
    snprintf(out, sizeof out, "!%04x %s", side.neg.failure.status, side.neg.failure.requirement);
    return out;
}

static void check(enum key_role role, enum key_stage stage, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct key_config config;
        key_config_default(&config);
        side_init(&side, role, &config, stage);
        const char *got = outcome(rows[i].text);
        if (strcmp(got, rows[i].expected) != 0)
            fail_msg("%s\n  gives    %s\n  expected %s", rows[i].text, got, rows[i].expected);
    }
}

#define NAMES "InitiatorName=iqn.2001-04.com.example:host|TargetName=iqn.2001-04.com.example:disk|"

static void every_key_of_the_standard_is_known(void **state)
{
    (void)state;
    static const char *const names[] = {"AuthMethod",
                                        "KRB_AP_REQ",
                                        "KRB_AP_REP",
                                        "SRP_U",
                                        "SRP_s",
                                        "SRP_A",
                                        "SRP_B",
                                        "SRP_M",
                                        "SRP_HM",
                                        "SRP_GROUP",
                                        "TargetAuth",
                                        "CHAP_A",
                                        "CHAP_I",
                                        "CHAP_C",
                                        "CHAP_N",
                                        "CHAP_R",
                                        "HeaderDigest",
                                        "DataDigest",
                                        "MaxConnections",
                                        "SendTargets",
                                        "TargetName",
                                        "InitiatorName",
                                        "TargetAlias",
                                        "InitiatorAlias",
                                        "TargetAddress",
                                        "TargetPortalGroupTag",
                                        "InitialR2T",
                                        "ImmediateData",
                                        "MaxRecvDataSegmentLength",
                                        "MaxBurstLength",
                                        "FirstBurstLength",
                                        "DefaultTime2Wait",
                                        "DefaultTime2Retain",
                                        "MaxOutstandingR2T",
                                        "DataPDUInOrder",
                                        "DataSequenceInOrder",
                                        "ErrorRecoveryLevel",
                                        "SessionType",
                                        "TaskReporting",
                                        "iSCSIProtocolLevel",
                                        "IFMarker",
                                        "OFMarker",
                                        "IFMarkInt",
                                        "OFMarkInt",
                                        "X#NodeArchitecture"};
    assert_int_equal(COUNT(names), KEY_COUNT);
    for (size_t i = 0; i < COUNT(names); i++) {
        /* the formats of extensions: X- for keys, Y- and Z- for what lists hold, X#, Y# and Z# registered */
        bool extension = strchr("XYZ", names[i][0]) && (names[i][1] == '-' || names[i][1] == '#');
        assert_int_equal(extension, strcmp(names[i], "X#NodeArchitecture") == 0);
        enum key_id id = key_find(text_range_of(names[i]));
        assert_int_not_equal(id, KEY_UNKNOWN);
        assert_string_equal(key_defs[id].name, names[i]);
        assert_true(key_defs[id].def >= key_defs[id].min && key_defs[id].def <= key_defs[id].max);
        char other[64]; /* the case of each letter counts */
        snprintf(other, sizeof other, "%s", names[i]);
        for (size_t k = 0; other[k]; k++) {
            char c = other[k];
            if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
                other[k] = (char)(c ^ 0x20);
                assert_int_equal(key_find(text_range_of(other)), KEY_UNKNOWN);
                other[k] = c;
            }
        }
    }
    PROVES("R7143-11.12.10-02", "both");
    PROVES("R7143-14-01", "both");
}

/* Everything a normal login may propose is answered in its own words, never NotUnderstood. */
static void all_keys_are_understood(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"HeaderDigest=None,CRC32C|DataDigest=CRC32C|", "HeaderDigest=None|DataDigest=CRC32C|"},
        {"MaxConnections=8|", "MaxConnections=1|"},
        {"InitialR2T=Yes|ImmediateData=No|", "InitialR2T=Yes|ImmediateData=No|"},
        {"MaxBurstLength=0x10000|", "MaxBurstLength=65536|"},
        {"MaxBurstLength=0X10000|", "MaxBurstLength=65536|"},
        {"FirstBurstLength=512|", "FirstBurstLength=512|"},
        {"DefaultTime2Wait=0|DefaultTime2Retain=0|", "DefaultTime2Wait=2|DefaultTime2Retain=0|"},
        {"MaxOutstandingR2T=1|", "MaxOutstandingR2T=1|"},
        {"DataPDUInOrder=No|DataSequenceInOrder=Yes|", "DataPDUInOrder=Yes|DataSequenceInOrder=Yes|"},
        {"ErrorRecoveryLevel=2|", "ErrorRecoveryLevel=0|"},
        {"TaskReporting=FastAbort,ResponseFence,RFC3720|", "TaskReporting=RFC3720|"},
        {"iSCSIProtocolLevel=2|", "iSCSIProtocolLevel=1|"},
        {"iSCSIProtocolLevel=0|", "iSCSIProtocolLevel=0|"},
        {"IFMarker=No|OFMarker=Yes|", "IFMarker=Reject|OFMarker=Reject|"},
        {"IFMarkInt=2048~8192|OFMarkInt=2048|", "IFMarkInt=Reject|OFMarkInt=Reject|"},
        /* the initiator's alone */
        {"MaxRecvDataSegmentLength=262144|X#NodeArchitecture=a/1|InitiatorAlias=me|", ""},
        {NAMES "SessionType=Normal|", ""},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL, rows, COUNT(rows));
    check(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL, rows, COUNT(rows) - 2);
    static const struct row security[] = {
        {NAMES "SessionType=Normal|AuthMethod=CHAP,None|", "AuthMethod=None|"},
        {NAMES "InitiatorAlias=x|", ""},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_SECURITY, security, COUNT(security));
    PROVES("R7143-6.2-19", "both");
    PROVES("R7143-13.25-01", "both");
    PROVES("R7143-13.25-03", "both");
    PROVES("R7143-13.25-04", "both");
    PROVES("R7143-13.25-05", "both");
    PROVES("R7143-11.12.10-02", "both");
}

static void inadmissible_values_are_rejected(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"MaxConnections=0|", "MaxConnections=Reject|"},
        {"MaxConnections=65536|", "MaxConnections=Reject|"},
        {"MaxConnections=70000|", "MaxConnections=Reject|"},
        {"MaxConnections=1~4|", "MaxConnections=Reject|"},
        {"MaxConnections=|", "MaxConnections=Reject|"},
        {"MaxConnections=None|", "MaxConnections=Reject|"},
        {"MaxBurstLength=511|", "MaxBurstLength=Reject|"},
        {"MaxBurstLength=16777216|", "MaxBurstLength=Reject|"},
        {"MaxBurstLength=007000|", "MaxBurstLength=Reject|"},
        {"MaxBurstLength=99999999999999999999999999|", "MaxBurstLength=Reject|"},
        {"FirstBurstLength=511|", "FirstBurstLength=Reject|"},
        {"DefaultTime2Wait=3601|", "DefaultTime2Wait=Reject|"},
        {"DefaultTime2Retain=-1|", "DefaultTime2Retain=Reject|"},
        {"MaxOutstandingR2T=0|", "MaxOutstandingR2T=Reject|"},
        {"ErrorRecoveryLevel=3|", "ErrorRecoveryLevel=Reject|"},
        {"iSCSIProtocolLevel=32|", "iSCSIProtocolLevel=Reject|"},
        {"ImmediateData=yes|", "ImmediateData=Reject|"},
        {"InitialR2T=Maybe|", "InitialR2T=Reject|"},
        {"DataPDUInOrder=|", "DataPDUInOrder=Reject|"},
        {"HeaderDigest=|", "HeaderDigest=Reject|"},
        {"HeaderDigest=CRC32|", "HeaderDigest=Reject|"},
        {"HeaderDigest=crc32c|", "HeaderDigest=Reject|"},
        {"HeaderDigest=CRC32,None|", "HeaderDigest=None|"},
        {"HeaderDigest=X-foo,CRC32C|", "HeaderDigest=CRC32C|"},
        {"HeaderDigest=Y-com.example.d,,CRC32C,CRC32C|", "HeaderDigest=CRC32C|"},
        {"HeaderDigest=CRC32C,CRC32C,CRC32C,CRC32C,CRC32C,CRC32C,CRC32C,CRC32C,CRC32C,CRC32C,CRC32C,CRC32C,"
         "CRC32C,"
         "CRC32C,CRC32C,CRC32C,CRC32C,None|",
         "HeaderDigest=CRC32C|"},
        {"TaskReporting=FastAbort|", "TaskReporting=Reject|"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL, rows, COUNT(rows));
    check(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL, rows,
          COUNT(rows)); /* a target may propose just as badly */
    struct key_params p;
    key_params_default(&p);
    assert_int_equal(key_conclude(&side.neg), KEYS_OK);
    assert_same_params(&side.neg.params, &p); /* what was rejected changed nothing */
    static const struct row security[] = {{"AuthMethod=X-foo|", "AuthMethod=Reject|"},
                                          {"AuthMethod=KRB5,SRP|", "AuthMethod=Reject|"},
                                          {"AuthMethod=none|", "AuthMethod=Reject|"}};
    check(KEY_ROLE_TARGET, KEY_STAGE_SECURITY, security, COUNT(security));
    PROVES("R7143-6.2.2-02", "both");
    PROVES("R7143-6.2.2-03", "both");
    PROVES("R7143-6.2-10", "both");
    PROVES("R7143-6.2-17", "both");
    PROVES("R7143-6.2-22", "both");
    PROVES("R7143-6.2.1-03", "both");
    PROVES("R7143-13.1-12", "both");
    PROVES("R7143-6.2.2-05", "both");
}

static void unknown_keys_are_not_understood(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"X-com.example.foo=1|", "X-com.example.foo=NotUnderstood|"},
        {"headerdigest=None|", "headerdigest=NotUnderstood|"},
        {"HeaderDigests=None|", "HeaderDigests=NotUnderstood|"},
        {"X#Other=1|", "X#Other=NotUnderstood|"},
        {"FutureKey=a,b|MaxBurstLength=65536|", "FutureKey=NotUnderstood|MaxBurstLength=65536|"},
        {"X-a=|", "X-a=NotUnderstood|"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_SECURITY, rows, 4);
    check(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL, rows, COUNT(rows));
    check(KEY_ROLE_TARGET, KEY_STAGE_FULL_FEATURE, rows, 4);
    check(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL, rows, COUNT(rows));
    PROVES("R7143-6.1-01", "both");
    PROVES("R7143-6.2-12", "both");
    PROVES("R7143-13.22-03", "both");
}

static void reserved_words_are_no_proposals(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"MaxBurstLength=Reject|", "!0200 R7143-6.2-16"},
        {"InitialR2T=Irrelevant|", "!0200 R7143-6.2-16"},
        {"HeaderDigest=NotUnderstood|", "!0200 R7143-6.2-16"},
        {"MaxRecvDataSegmentLength=Reject|", "!0200 R7143-6.2-16"},
        {"X-com.example.a=NotUnderstood|", "!0200 R7143-6.2-16"},
        {"X-com.example.a=Reject|", "!0200 R7143-6.2-16"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL, rows, COUNT(rows));
    check(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL, rows, COUNT(rows));
    PROVES("R7143-6.2-16", "both");
}

static void keys_stay_in_their_stage(void **state)
{
    (void)state;
    static const struct row security[] = {
        {"MaxBurstLength=65536|", "!0200 R7143-6.3-13"},
        {"HeaderDigest=None|", "!0200 R7143-6.3-13"},
        {"MaxRecvDataSegmentLength=8192|", "!0200 R7143-6.3-13"},
        {"IFMarker=No|", "!0200 R7143-6.3-13"},
        {"SendTargets=All|", "!0200 R7143-6.3-13"},
        {"TaskReporting=RFC3720|", "!0200 R7143-6.3-13"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_SECURITY, security, COUNT(security));
    static const struct row operational[] = {
        {"AuthMethod=None|", "!0200 R7143-6.3-13"},
        {"CHAP_A=5|", "!0200 R7143-6.3-13"},
        {"SendTargets=All|", "!0200 R7143-6.3-13"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL, operational, COUNT(operational));
    static const struct row full_feature[] = {
        {"AuthMethod=None|", "!0200 R7143-6.3-13"},
        {"CHAP_N=x|", "!0200 R7143-6.3-13"},
        {"MaxConnections=2|", "!0200 R7143-6.3-13"},
        {"HeaderDigest=None|", "!0200 R7143-6.3-13"},
        {"InitialR2T=No|", "!0200 R7143-6.3-13"},
        {"ErrorRecoveryLevel=0|", "!0200 R7143-6.3-13"},
        {"iSCSIProtocolLevel=2|", "!0200 R7143-6.3-13"},
        {"SessionType=Normal|", "!0200 R7143-6.3-13"},
        {NAMES, "!0200 R7143-6.3-13"},
        {"InitiatorAlias=new|", ""},
        {"MaxRecvDataSegmentLength=4096|", ""},
        {"SendTargets=|", ""},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_FULL_FEATURE, full_feature, COUNT(full_feature));
    /* a target is held to the same */
    check(KEY_ROLE_INITIATOR, KEY_STAGE_SECURITY, security, 4);
    check(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL, operational, 2);
    check(KEY_ROLE_INITIATOR, KEY_STAGE_FULL_FEATURE, full_feature, 7);
    PROVES("R7143-6.3-12", "both");
    PROVES("R7143-6.3-13", "both");
    PROVES("R7143-13-02", "both");
    PROVES("R7143-13-03", "both");
    PROVES("R7143-12-01", "both");
    PROVES("R7144-7.1.1-03", "both");
}

static void keys_come_from_their_side(void **state)
{
    (void)state;
    static const struct row to_target[] = {
        {"TargetPortalGroupTag=1|", "!0200 R7143-13.9-01"},
        {"TargetAlias=x|", "!0200 R7143-13.6-01"},
        {"TargetAddress=10.0.0.1|", "!0200 R7143-13.8-01"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_OPERATIONAL, to_target, COUNT(to_target));
    static const struct row to_initiator[] = {
        {"InitiatorName=iqn.2001-04.com.example|", "!0200 R7143-13.5-01"},
        {"InitiatorAlias=x|", "!0200 R7143-13.7-01"},
        {"SessionType=Normal|", "!0200 R7143-13.21-01"},
        {"TargetName=iqn.2001-04.com.example|", "!0200 R7143-13.4-02"},
        {"SendTargets=All|", "!0200 R7143-13.3-01"},
        {"TargetPortalGroupTag=0|TargetAlias=x|TargetAddress=10.0.0.1|TargetAddress=10.0.0.2|", ""},
    };
    check(KEY_ROLE_INITIATOR, KEY_STAGE_OPERATIONAL, to_initiator, COUNT(to_initiator));
    assert_true(side.neg.pending.has_target_portal_group_tag);
    assert_int_equal(side.neg.pending.target_portal_group_tag, 0);
    assert_string_equal(side.neg.pending_texts.target_address, "10.0.0.1");
    PROVES("R7143-13.9-01", "both");
    PROVES("R7143-13.9-03", "initiator");
    PROVES("R7143-13.3-01", "initiator");
}

static void a_key_comes_once(void **state)
{
    (void)state;
    static const char *const login[] = {"MaxBurstLength=65536|",
                                        "HeaderDigest=None|",
                                        "InitialR2T=Yes|",
                                        "MaxRecvDataSegmentLength=8192|",
                                        "X#NodeArchitecture=a|",
                                        "IFMarker=No|",
                                        "MaxBurstLength=1|",
                                        "TaskReporting=RFC3720|",
                                        "InitiatorName=iqn.2001-04.com.x|",
                                        "TargetName=iqn.2001-04.com.x|",
                                        "InitiatorAlias=x|",
                                        "SessionType=Normal|"};
    for (size_t i = 0; i < COUNT(login); i++)
        for (int texts = 1; texts <= 2; texts++) { /* twice in one text, and in two */
            struct key_config config;
            char twice[200];
            key_config_default(&config);
            side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
            snprintf(twice, sizeof twice, "%s%s", login[i], login[i]);
            if (texts == 2)
                assert_int_equal(side_hear_words(&side, login[i]), KEYS_OK);
            assert_string_equal(outcome(texts == 2 ? login[i] : twice), "!0200 R7143-6.3-22");
        }
    static const struct row text[] = {
        {"MaxRecvDataSegmentLength=4096|MaxRecvDataSegmentLength=4096|", "!0200 R7143-6.4-12"},
        {"SendTargets=All|SendTargets=All|", "!0200 R7143-6.4-12"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_FULL_FEATURE, text, COUNT(text));
    PROVES("R7143-6.3-21", "target");
    PROVES("R7143-13.26.1-02", "target");
}

static void names_may_be_repeated_unchanged_after_the_security_stage(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    static const struct row rows[] = {
        {NAMES "SessionType=Normal|", ""},
        {"InitiatorName=iqn.2001-04.com.example:other|", "!0200 R7143-6.3-21"},
        {"TargetName=iqn.2001-04.com.example:other|", "!0200 R7143-6.3-21"},
        {"SessionType=Discovery|", "!0200 R7143-13-01"},
        {NAMES NAMES, "!0200 R7143-6.3-22"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_SECURITY);
        assert_int_equal(side_hear_words(&side, NAMES "SessionType=Normal|AuthMethod=None|"), KEYS_OK);
        assert_int_equal(key_conclude(&side.neg), KEYS_OK);
        key_set_stage(&side.neg, KEY_STAGE_OPERATIONAL);
        assert_string_equal(outcome(rows[i].text), rows[i].expected);
    }
}

/* ---- the answers of a target, seen by the initiator ---- */

/* Offers everything, as the initiator and then as a target that is told to, and hears the text. */
static void check_answers(const struct row *rows, size_t count, const struct key_config *config)
{
    static char values[KEY_OVERRIDES_MAX][64];
    struct key_override overrides[KEY_OVERRIDES_MAX];
    size_t offered = 0;
    side_init(&side, KEY_ROLE_INITIATOR, config, KEY_STAGE_OPERATIONAL);
    assert_true(key_offer_operational(&side.neg, &side.w));
    struct text_parser p;
    struct text_range key, value;
    text_parser_init(&p, side.text, side.w.len, side.w.len);
    while (text_parser_next(&p, &key, &value) == TEXT_PAIR) {
        enum key_id id = key_find(key);
        if (id == KEY_MAX_RECV_DATA_SEGMENT_LENGTH || id == KEY_NODE_ARCHITECTURE)
            continue; /* a target declares these by itself */
        assert_true(offered < KEY_OVERRIDES_MAX && text_copy(value, values[offered], sizeof values[offered]));
        overrides[offered] = (struct key_override){key_defs[id].name, values[offered]};
        offered++;
    }
    struct key_config target = *config;
    target.overrides = overrides;
    target.override_count = offered;
    for (size_t i = 0; i < 2 * count; i++) {
        bool as_target = i < count;
        const struct row *row = &rows[i % count];
        side_init(&side, as_target ? KEY_ROLE_TARGET : KEY_ROLE_INITIATOR, as_target ? &target : config,
                  KEY_STAGE_OPERATIONAL);
        assert_true(key_offer_operational(&side.neg, &side.w));
        const char *got = outcome(row->text);
        if (strcmp(got, row->expected) != 0)
            fail_msg("%s\n  gives    %s\n  expected %s", row->text, got, row->expected);
    }
}

static void answers_outside_the_offer_end_the_login(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    config.max_outstanding_r2t = 4;
    config.immediate_data = false;
    config.initial_r2t = true;
    config.data_digest = (struct key_choices){1, {KEY_DIGEST_NONE}};
    config.default_time2wait = 5;
    config.iscsi_protocol_level = 2;
    config.node_architecture = "Lunette/1";
    static const struct row rows[] = {
        {"MaxOutstandingR2T=4|", ""},
        {"MaxOutstandingR2T=3|", ""},
        {"MaxOutstandingR2T=8|", "!0200 R7143-6.2.2-04"},
        {"MaxOutstandingR2T=0|", "!0200 R7143-6.2.2-04"},
        {"MaxOutstandingR2T=x|", "!0200 R7143-6.2.2-04"},
        {"MaxBurstLength=511|", "!0200 R7143-6.2.2-04"},
        {"MaxBurstLength=1048577|", "!0200 R7143-6.2.2-04"},
        {"MaxConnections=2|", "!0200 R7143-6.2.2-04"},
        {"DefaultTime2Wait=10|", ""},
        {"DefaultTime2Wait=4|", "!0200 R7143-6.2.2-04"},
        {"DefaultTime2Wait=3601|", "!0200 R7143-6.2.2-04"},
        {"ErrorRecoveryLevel=1|", "!0200 R7143-6.2.2-04"},
        {"ImmediateData=Yes|", "!0200 R7143-6.2.2-04"},
        {"ImmediateData=No|", ""},
        {"InitialR2T=No|", "!0200 R7143-6.2.2-04"},
        {"InitialR2T=yes|", "!0200 R7143-6.2.2-04"},
        {"HeaderDigest=CRC32C|", ""},
        {"HeaderDigest=None,CRC32C|", "!0200 R7143-6.2.1-05"},
        {"HeaderDigest=crc32c|", "!0200 R7143-6.2.1-05"},
        {"HeaderDigest=|", "!0200 R7143-6.2.1-05"},
        {"DataDigest=CRC32C|", "!0200 R7143-6.2.1-05"},
        {"DataDigest=None|", ""},
        {"iSCSIProtocolLevel=3|", "!0200 R7143-6.2.2-04"},
        {"MaxBurstLength=65536|MaxBurstLength=65536|", "!0200 R7143-6.3-21"},
        {"MaxRecvDataSegmentLength=511|", "!0200 R7143-13.12-01"},
        {"MaxRecvDataSegmentLength=16777216|", "!0200 R7143-13.12-01"},
        {"MaxRecvDataSegmentLength=4096|MaxRecvDataSegmentLength=4096|", "!0200 R7143-6.3-22"},
    };
    check_answers(rows, COUNT(rows), &config);
    PROVES("R7143-6.2.1-05", "both");
    PROVES("R7143-6.2.2-04", "both");
    PROVES("R7143-6.3-21", "both");
    PROVES("R7143-13-05", "both");
    PROVES("R7143-13-06", "both");
}

static void refusals_leave_the_default(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    config.iscsi_protocol_level = 2;
    config.node_architecture = "Lunette/1";
    config.task_reporting =
        (struct key_choices){2, {KEY_TASK_REPORTING_RESPONSE_FENCE, KEY_TASK_REPORTING_RFC3720}};
    static const struct row rows[] = {
        {"MaxOutstandingR2T=Reject|MaxBurstLength=Irrelevant|FirstBurstLength=Irrelevant|HeaderDigest=Reject|"
         "ImmediateData=Reject|iSCSIProtocolLevel=NotUnderstood|TaskReporting=NotUnderstood|"
         "X#NodeArchitecture=NotUnderstood|MaxRecvDataSegmentLength=Reject|",
         ""},
        {"InitialR2T=NotUnderstood|", "!0200 R7143-6.2-14"},
        {"MaxRecvDataSegmentLength=NotUnderstood|", "!0200 R7143-6.2-14"},
        {"MaxOutstandingR2T=Reject|MaxOutstandingR2T=1|", "!0200 R7143-6.3-21"},
    };
    check_answers(rows + 1, 3, &config);
    check_answers(rows, 1, &config);
    assert_int_equal(key_conclude(&side.neg), KEYS_OK);
    struct key_params p;
    key_params_default(&p);
    assert_same_params(&side.neg.params, &p);
    config.tolerate_not_understood = true;
    static const struct row tolerant[] = {{"InitialR2T=NotUnderstood|MaxConnections=NotUnderstood|", ""}};
    check_answers(tolerant, 1, &config);
    PROVES("R7143-6.2-11", "both");
    PROVES("R7143-6.2-14", "both");
    PROVES("R7143-6.2-17", "both");
    PROVES("R7143-6.2-15", "both");
    PROVES("R7143-13.14-03", "both");
    PROVES("R7143-13.26.2-05", "both");
    PROVES("R7144-7.1.1-02", "both");
}

static void a_login_without_a_common_auth_method_fails(void **state)
{
    (void)state;
    static const char *const answers[] = {"AuthMethod=Reject|", "AuthMethod=NotUnderstood|",
                                          "AuthMethod=Irrelevant|"};
    struct key_config config;
    key_config_default(&config);
    config.auth_methods = (struct key_choices){1, {KEY_AUTH_CHAP}};
    for (size_t i = 0; i < COUNT(answers); i++) {
        side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_SECURITY);
        assert_true(key_offer_security(&side.neg, &side.w));
        assert_string_equal(outcome(answers[i]), "!0201 R7143-6.2-18");
        assert_int_equal(side.neg.auth_state, KEY_AUTH_REJECTED);
    }
    PROVES("R7143-6.2-18", "initiator");
}

/* ---- authentication keys ---- */

static void auth_keys_need_the_method_to_be_agreed(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"CHAP_A=5|", "!0200 R7143-9.2-05"},
        {"AuthMethod=None|CHAP_A=5|", "!0200 R7143-9.2-05"},
        {"SRP_U=x|TargetAuth=No|", "!0200 R7143-9.2-05"},
        {"KRB_AP_REQ=0x00|", "!0200 R7143-9.2-05"},
        {"SRP_s=0x00|", "!0200 R7143-12.1.2-08"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_SECURITY, rows, COUNT(rows));
    struct key_config config;
    key_config_default(&config);
    config.auth_methods = (struct key_choices){1, {KEY_AUTH_CHAP}};
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_SECURITY);
    assert_string_equal(outcome("AuthMethod=None,CHAP|"), "AuthMethod=CHAP|");
    assert_string_equal(outcome("CHAP_A=5|"), "");
    assert_int_equal(side.auth, 1);
    assert_string_equal(outcome("SRP_U=x|"), "!0200 R7143-9.2-05");
    PROVES("R7143-9.2-05", "target");
}

/* ---- names, aliases and the rest ---- */

static void names_are_validated_and_folded(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_SECURITY);
    assert_string_equal(
        outcome("InitiatorName=IQN.1991-05.com.Microsoft:Host_1|TargetName=eui.020000023B040506|"), "");
    assert_string_equal(side.neg.pending_texts.initiator_name, "iqn.1991-05.com.microsoft:host_1");
    assert_string_equal(side.neg.pending_texts.target_name, "eui.020000023b040506");
    assert_string_equal(side.neg.texts.initiator_name, ""); /* not before the stage is concluded */
    static const struct row rows[] = {
        {"InitiatorName=|", "!0200 R7143-4.2.7.3-01"},
        {"InitiatorName=host|", "!0200 R7143-4.2.7.3-01"},
        {"InitiatorName=iqn.2001-04.com.example:a b|", "!0200 R7143-4.2.7.3-01"},
        {"TargetName=naa.1234|", "!0200 R7143-4.2.7.3-01"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_SECURITY, rows, COUNT(rows));
    PROVES("R7143-4.2.7.3-01", "target");
}

static void over_long_values_are_refused_or_cut(void **state)
{
    (void)state;
    struct key_config config;
    char words[1000], value[300];
    key_config_default(&config);
    memset(value, 'a', 256);
    value[256] = 0;
    static const char *const refused[] = {"InitiatorAlias", "SendTargets", "SessionType", "InitiatorName"};
    for (size_t i = 0; i < COUNT(refused); i++) {
        side_init(&side, KEY_ROLE_TARGET, &config, i == 1 ? KEY_STAGE_FULL_FEATURE : KEY_STAGE_OPERATIONAL);
        snprintf(words, sizeof words, "%s=%s|", refused[i], value);
        assert_string_equal(outcome(words), "!0200 R7143-6.1-14");
    }
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
    snprintf(words, sizeof words, "MaxBurstLength=%s|HeaderDigest=%s|X#NodeArchitecture=%s|", value, value,
             value);
    assert_string_equal(outcome(words), "MaxBurstLength=Reject|HeaderDigest=Reject|");
    assert_int_equal(strlen(side.neg.pending_texts.node_architecture), 255);
    /* of our own we send none that is too long */
    for (int role = 0; role < 2; role++)
        for (size_t len = 255; len <= 256; len++) {
            config.node_architecture = value + 256 - len;
            side_init(&side, (enum key_role)role, &config, KEY_STAGE_OPERATIONAL);
            assert_true(key_offer_operational(&side.neg, &side.w));
            assert_int_equal(strstr(side_words(&side), "X#NodeArchitecture=") != NULL, len == 255);
        }
    PROVES("R7143-13.26.1-01", "both");
    PROVES("R7143-13.26.2-02", "both");
    PROVES("R7143-6.1-14", "both");
}

static void aliases_are_kept_readable(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
    assert_string_equal(outcome("InitiatorAlias=caf\xc3\xa9 4|"), "");
    assert_string_equal(side.neg.pending_texts.initiator_alias, "caf\xc3\xa9 4");
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
    assert_string_equal(outcome("InitiatorAlias=caf\xe9 4|"), "");
    assert_string_equal(side.neg.pending_texts.initiator_alias, "caf? 4");
}

static void wrong_session_types_fail_with_their_own_status(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"SessionType=Foo|", "!0209 R7143-13.21-01"},
        {"SessionType=|", "!0209 R7143-13.21-01"},
        {"SessionType=normal|", "!0209 R7143-13.21-01"},
    };
    check(KEY_ROLE_TARGET, KEY_STAGE_SECURITY, rows, COUNT(rows));
}

static void later_connections_take_no_leading_keys(void **state)
{
    (void)state;
    struct key_config config;
    struct key_params session;
    key_config_default(&config);
    key_params_default(&session);
    session.max_burst_length = 131072;
    session.header_digest = KEY_DIGEST_CRC32C;
    session.peer_max_recv_data_segment_length = 65536;
    for (int id = 0; id < KEY_COUNT; id++) {
        const struct key_def *def = &key_defs[id];
        if (def->use != KEY_USE_LO || def->kind > KEY_KIND_MAX)
            continue;
        char words[100];
        bool boolean = def->kind == KEY_KIND_AND || def->kind == KEY_KIND_OR;
        key_negotiation_init(&side.neg, KEY_ROLE_TARGET, &config, false, &session);
        key_set_stage(&side.neg, KEY_STAGE_OPERATIONAL);
        snprintf(words, sizeof words, "%s=%s|", def->name,
                 boolean                    ? "Yes"
                 : id == KEY_TASK_REPORTING ? "RFC3720"
                                            : "1");
        assert_string_equal(outcome(words), "!0200 R7143-6.3.3-06");
    }
    key_negotiation_init(&side.neg, KEY_ROLE_TARGET, &config, false, &session);
    key_set_stage(&side.neg, KEY_STAGE_OPERATIONAL);
    assert_string_equal(outcome(NAMES "HeaderDigest=None|SessionType=Normal|X#NodeArchitecture=a|"),
                        "HeaderDigest=None|");
    assert_int_equal(side.neg.pending.max_burst_length, 131072); /* the session's */
    assert_int_equal(side.neg.pending.header_digest, KEY_DIGEST_NONE);
    assert_int_equal(side.neg.pending.peer_max_recv_data_segment_length, 8192); /* the connection's own */
    /* an initiator does not send them */
    struct key_config ci = config;
    ci.initiator_name = "iqn.2001-04.com.example:host";
    ci.target_name = "iqn.2001-04.com.example:disk";
    side_new_text(&side);
    key_negotiation_init(&side.neg, KEY_ROLE_INITIATOR, &ci, false, &session);
    key_set_stage(&side.neg, KEY_STAGE_OPERATIONAL);
    assert_true(key_declare_initiator(&side.neg, &side.w) && key_offer_operational(&side.neg, &side.w));
    assert_string_equal(side_words(&side), NAMES
                        "HeaderDigest=None,CRC32C|DataDigest=None,CRC32C|MaxRecvDataSegmentLength=262144|");
    PROVES("R7143-13-01", "both");
    PROVES("R7143-6.3.3-06", "both");
}

/* ---- full feature phase ---- */

static void text_negotiations_are_atomic(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    for (int role = 0; role < 2; role++) {
        side_init(&side, (enum key_role)role, &config, KEY_STAGE_FULL_FEATURE);
        assert_string_equal(outcome("MaxRecvDataSegmentLength=4096|"), "");
        assert_int_equal(side.neg.params.peer_max_recv_data_segment_length, 8192);
        key_abandon(&side.neg);
        assert_int_equal(key_conclude(&side.neg), KEYS_OK);
        assert_int_equal(side.neg.params.peer_max_recv_data_segment_length, 8192);
        key_text_begin(&side.neg); /* a new negotiation may declare again */
        assert_string_equal(outcome("MaxRecvDataSegmentLength=4096|"), "");
        assert_int_equal(key_conclude(&side.neg), KEYS_OK);
        assert_int_equal(side.neg.params.peer_max_recv_data_segment_length, 4096);
        /* our own side of it */
        key_text_begin(&side.neg);
        side_new_text(&side);
        assert_true(key_offer_max_recv(&side.neg, &side.w, 16384));
        assert_string_equal(side_words(&side), "MaxRecvDataSegmentLength=16384|");
        assert_int_equal(side.neg.params.max_recv_data_segment_length, 8192);
        assert_int_equal(key_conclude(&side.neg), KEYS_OK);
        assert_int_equal(side.neg.params.max_recv_data_segment_length, 16384);
    }
    PROVES("R7143-6.2-23", "both");
    PROVES("R7143-6.4-14", "both");
    PROVES("R7143-13.12-04", "both");
}

static void send_targets_is_a_query(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"SendTargets=All|", "All"},
        {"SendTargets=|", ""},
        {"SendTargets=IQN.2001-04.com.example:x|", "iqn.2001-04.com.example:x"}};
    struct key_config config;
    key_config_default(&config);
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_FULL_FEATURE);
    for (size_t i = 0; i < COUNT(rows); i++) {
        key_text_begin(&side.neg);
        assert_false(side.neg.pending_texts.has_send_targets);
        assert_string_equal(outcome(rows[i].text), "");
        assert_true(side.neg.pending_texts.has_send_targets);
        assert_string_equal(side.neg.pending_texts.send_targets, rows[i].expected);
        assert_int_equal(key_conclude(&side.neg), KEYS_OK);
    }
    key_text_begin(&side.neg);
    assert_string_equal(outcome("SendTargets=everything|"), "!0200 R7143-13.3-01");
    /* the answer, on the other side */
    side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_FULL_FEATURE);
    assert_true(key_request_targets(&side.neg, &side.w, "All"));
    assert_string_equal(outcome("TargetName=iqn.2001-04.com.example:a|TargetAddress=10.0.0.1:3260,1|"
                                "TargetAddress=10.0.0.2:3260,1|TargetName=iqn.2001-04.com.example:b|"),
                        "");
    assert_int_equal(side.records, 4);
    key_text_begin(&side.neg);
    side_new_text(&side);
    assert_true(key_request_targets(&side.neg, &side.w, "All"));
    assert_string_equal(outcome("SendTargets=Reject|"), "");
    PROVES("R7143-13.3-01", "initiator");
}

/* ---- overrides, writing ---- */

static void overrides_replace_and_add_offers(void **state)
{
    (void)state;
    static const struct key_override overrides[] = {
        {"MaxBurstLength", "bogus"},      {"HeaderDigest", NULL}, {"DataDigest", "X-mine,CRC32C"},
        {"X-com.example.a", "1"},         {"IFMarker", "No"},     {"InitiatorName", "whatever"},
        {"MaxRecvDataSegmentLength", "1"}};
    struct key_config config;
    key_config_default(&config);
    config.overrides = overrides;
    config.override_count = COUNT(overrides);
    side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
    assert_true(key_declare_initiator(&side.neg, &side.w) && key_offer_operational(&side.neg, &side.w));
    const char *words = side_words(&side);
    static const char *const said[] = {
        "InitiatorName=whatever|", "MaxBurstLength=bogus|", "DataDigest=X-mine,CRC32C|",
        "X-com.example.a=1|",      "IFMarker=No|",          "MaxRecvDataSegmentLength=1|"};
    for (size_t i = 0; i < COUNT(said); i++)
        assert_non_null(strstr(words, said[i]));
    assert_null(strstr(words, "HeaderDigest"));
    assert_int_equal(side.neg.pending.max_recv_data_segment_length,
                     8192); /* what we said was no declaration */
    /* any answer to what makes no sense is fine; an extension key takes any answer, once */
    assert_string_equal(
        outcome("MaxBurstLength=Reject|DataDigest=X-mine|X-com.example.a=NotUnderstood|IFMarker=No|"), "");
    assert_string_equal(outcome("X-com.example.a=2|"), "!0200 R7143-6.3-21");
    /* vendor keys stay out of discovery */
    config.session_type = KEY_SESSION_DISCOVERY;
    side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_OPERATIONAL);
    assert_true(key_offer_operational(&side.neg, &side.w));
    assert_null(strstr(side_words(&side), "X-com"));
    PROVES("R7143-6.3-21", "initiator");
    PROVES("R7143-6.2-13", "initiator");
    PROVES("R7143-13.22-02", "initiator");
    PROVES("R7143-13.25-02", "initiator");
}

static void a_target_says_nothing_unasked_but_its_declarations(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    config.target_alias = "Disk 1";
    config.target_portal_group_tag = 7;
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_SECURITY);
    for (int i = 0; i < 2; i++) /* the second time there is nothing left to say */
        assert_true(key_declare_target(&side.neg, &side.w) && key_offer_security(&side.neg, &side.w));
    assert_string_equal(side_words(&side), "TargetPortalGroupTag=7|TargetAlias=Disk 1|");
    key_set_stage(&side.neg, KEY_STAGE_OPERATIONAL);
    side_new_text(&side);
    for (int i = 0; i < 2; i++)
        assert_true(key_offer_operational(&side.neg, &side.w));
    assert_string_equal(side_words(&side), "MaxRecvDataSegmentLength=262144|");
    assert_int_equal(side.neg.pending.max_recv_data_segment_length, 262144);
    PROVES("R7143-6.3-20", "target");
}

static void the_first_request_names_both_sides(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    config.initiator_name = "iqn.2001-04.com.example:host";
    config.target_name = "iqn.2001-04.com.example:disk";
    config.initiator_alias = "h";
    side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_SECURITY);
    assert_true(key_declare_initiator(&side.neg, &side.w) && key_offer_security(&side.neg, &side.w));
    assert_string_equal(side_words(&side),
                        "InitiatorName=iqn.2001-04.com.example:host|InitiatorAlias=h|"
                        "TargetName=iqn.2001-04.com.example:disk|SessionType=Normal|AuthMethod=None|");
    config.session_type = KEY_SESSION_DISCOVERY;
    config.target_name = NULL;
    config.initiator_alias = NULL;
    side_init(&side, KEY_ROLE_INITIATOR, &config, KEY_STAGE_SECURITY);
    assert_true(key_declare_initiator(&side.neg, &side.w));
    assert_string_equal(side_words(&side),
                        "InitiatorName=iqn.2001-04.com.example:host|SessionType=Discovery|");
    PROVES("R7143-13.4-01", "initiator");
    PROVES("R7143-13.5-01", "initiator");
    PROVES("R7143-13.7-01", "initiator");
    PROVES("R7143-13.21-04", "initiator");
}

static void answers_that_do_not_fit_are_told(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    for (size_t cap = 0; cap < 22; cap++) {
        side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
        text_writer_init(&side.w, side.text, cap);
        bool early =
            side_hear_words(&side, "MaxBurstLength=65536|") == KEYS_OK; /* its answer takes 21 bytes */
        assert_int_equal(early, cap >= 21);
        if (!early)
            assert_int_equal(side.neg.failure.status, KEYS_STATUS_OUT_OF_RESOURCES);
    }
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
    text_writer_init(&side.w, side.text, 5);
    assert_int_equal(side_hear_words(&side, "X-a=1|"), KEYS_FAIL);
}

/* 8 KiB of extension keys are all answered. */
static void eight_kib_of_keys_are_managed(void **state)
{
    (void)state;
    static char words[8192 + 64];
    size_t len = 0, keys = 0;
    while (len < 8192)
        len += (size_t)snprintf(words + len, sizeof words - len, "X-com.example.k%zu=%0100d|", keys++, 0);
    struct key_config config;
    key_config_default(&config);
    for (int role = 0; role < 2; role++) {
        side_init(&side, (enum key_role)role, &config, KEY_STAGE_OPERATIONAL);
        const char *answers = outcome(words);
        size_t answered = 0;
        while ((answers = strstr(answers, "=NotUnderstood|")) != NULL) {
            answers++;
            answered++;
        }
        assert_int_equal(answered, keys);
    }
    PROVES("R7143-6.1-15", "both");
}

/* ---- junk ---- */

/* Random texts made of real keys and likely values, in all roles and stages: no crash, and FAIL always says
 * why. */
static void random_texts_are_survived(void **state)
{
    (void)state;
    static const char *const values[] = {"Yes",
                                         "No",
                                         "1",
                                         "0",
                                         "512",
                                         "16777215",
                                         "None",
                                         "CRC32C,None",
                                         "Reject",
                                         "Irrelevant",
                                         "NotUnderstood",
                                         "",
                                         "iqn.2001-04.com.example",
                                         "All",
                                         "CHAP,None",
                                         "0xffffffffffffffff",
                                         ",,,",
                                         "Discovery",
                                         "Normal",
                                         "\xff\xfe",
                                         "RFC3720,FastAbort",
                                         "65536"};
    srand(11);
    for (int round = 0; round < 3000; round++) {
        struct key_config config;
        key_config_default(&config);
        config.auth_methods = (struct key_choices){2, {KEY_AUTH_CHAP, KEY_AUTH_NONE}};
        config.iscsi_protocol_level = 2;
        side_init(&side, round % 2 ? KEY_ROLE_TARGET : KEY_ROLE_INITIATOR, &config,
                  (enum key_stage)(round / 2 % 3));
        if (round % 7 < 5 && side.neg.role == KEY_ROLE_INITIATOR)
            assert_true(key_offer_security(&side.neg, &side.w) && key_offer_operational(&side.neg, &side.w));
        side_new_text(&side);
        enum keys_verdict verdict = KEYS_OK;
        for (int pair = 0; pair < 12 && verdict != KEYS_FAIL; pair++) {
            const char *key = key_defs[rand() % KEY_COUNT].name,
                       *value = values[(size_t)rand() % COUNT(values)];
            char *k = strdup(key), *v = malloc(strlen(value) + 1); /* exact sizes for the address sanitizer */
            memcpy(v, value, strlen(value));
            verdict = key_receive(&side.neg, (struct text_range){k, strlen(key)},
                                  (struct text_range){v, strlen(value)}, &side.w);
            free(k);
            free(v);
        }
        if (verdict == KEYS_FAIL)
            assert_true(side.neg.failure.reason && side.neg.failure.requirement && side.neg.failure.status);
        else if (key_flush(&side.neg, &side.w) == KEYS_OK)
            (void)key_conclude(&side.neg);
        const struct key_params *p = &side.neg.params;
        assert_true(p->first_burst_length <= p->max_burst_length && p->max_burst_length <= KEY_DATA_LEN_MAX);
        assert_true(p->peer_max_recv_data_segment_length >= 512 && p->error_recovery_level <= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_of_the_standard_is_known),
        cmocka_unit_test(all_keys_are_understood),
        cmocka_unit_test(inadmissible_values_are_rejected),
        cmocka_unit_test(unknown_keys_are_not_understood),
        cmocka_unit_test(reserved_words_are_no_proposals),
        cmocka_unit_test(keys_stay_in_their_stage),
        cmocka_unit_test(keys_come_from_their_side),
        cmocka_unit_test(a_key_comes_once),
        cmocka_unit_test(names_may_be_repeated_unchanged_after_the_security_stage),
        cmocka_unit_test(answers_outside_the_offer_end_the_login),
        cmocka_unit_test(refusals_leave_the_default),
        cmocka_unit_test(a_login_without_a_common_auth_method_fails),
        cmocka_unit_test(auth_keys_need_the_method_to_be_agreed),
        cmocka_unit_test(names_are_validated_and_folded),
        cmocka_unit_test(over_long_values_are_refused_or_cut),
        cmocka_unit_test(aliases_are_kept_readable),
        cmocka_unit_test(wrong_session_types_fail_with_their_own_status),
        cmocka_unit_test(later_connections_take_no_leading_keys),
        cmocka_unit_test(text_negotiations_are_atomic),
        cmocka_unit_test(send_targets_is_a_query),
        cmocka_unit_test(overrides_replace_and_add_offers),
        cmocka_unit_test(a_target_says_nothing_unasked_but_its_declarations),
        cmocka_unit_test(the_first_request_names_both_sides),
        cmocka_unit_test(answers_that_do_not_fit_are_told),
        cmocka_unit_test(eight_kib_of_keys_are_managed),
        cmocka_unit_test(random_texts_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
