/* Goal: what the codec says when nobody has configured anything, and what happens when an answer does not
 * fit. Method: the defaults one by one; every answer of a negotiation into every size of buffer that is too
 * small. */
#include "tests/unit/keys_harness.h"

#include "common/iscsi/pdu.h"
#include "tests/unit/proves.h"

static struct side side;

static void the_defaults_are_these(void **state)
{
    (void)state;
    struct key_config c;
    key_config_default(&c);
    assert_int_equal(c.max_connections, 1);
    assert_false(c.initial_r2t);
    assert_true(c.immediate_data);
    assert_int_equal(c.max_recv_data_segment_length, 262144);
    assert_int_equal(c.max_burst_length, 1048576);
    assert_int_equal(c.first_burst_length, 262144);
    assert_int_equal(c.default_time2wait, 2);
    assert_int_equal(c.default_time2retain, 20);
    assert_int_equal(c.max_outstanding_r2t, 8);
    assert_true(c.data_pdu_in_order && c.data_sequence_in_order && c.discovery_digest_none);
    assert_int_equal(c.error_recovery_level, 0);
    assert_int_equal(c.iscsi_protocol_level, 1);
    assert_int_equal(c.session_type, KEY_SESSION_NORMAL);
    assert_int_equal(c.target_portal_group_tag, 1);
    PROVES("R7143-13.24-01", "both");
    /* What holds before anything is negotiated is the RFC's: chapter 13. */
    struct key_params p;
    key_params_default(&p);
    assert_int_equal(p.header_digest, KEY_DIGEST_NONE);
    assert_int_equal(p.data_digest, KEY_DIGEST_NONE);
    assert_int_equal(p.max_connections, 1);
    assert_true(p.initial_r2t && p.immediate_data);
    assert_int_equal(p.max_recv_data_segment_length, 8192);
    assert_int_equal(p.peer_max_recv_data_segment_length, 8192);
    assert_int_equal(p.max_burst_length, 262144);
    assert_int_equal(p.first_burst_length, 65536);
    assert_int_equal(p.default_time2wait, 2);
    assert_int_equal(p.default_time2retain, 20);
    assert_int_equal(p.max_outstanding_r2t, 1);
    assert_true(p.data_pdu_in_order && p.data_sequence_in_order);
    assert_int_equal(p.error_recovery_level, 0);
    assert_int_equal(p.iscsi_protocol_level, 1);
    assert_int_equal(p.session_type, KEY_SESSION_NORMAL);
    assert_int_equal(p.task_reporting, KEY_TASK_REPORTING_RFC3720);
}

/* The answer to each text fits into exactly its length; with one byte less the negotiation fails. */
static void answers_that_do_not_fit_fail(void **state)
{
    (void)state;
    static const char *const words[] = {
        "NoSuchKey=1|",         "X-com.example.key=1|",
        "MaxBurstLength=1|",    "MaxBurstLength=8192|",
        "InitialR2T=Yes|",      "HeaderDigest=CRC32C,None|",
        "ImmediateData=maybe|", "NoSuchKey=1|MaxConnections=1|AnotherOne=2|",
    };
    struct key_config config;
    key_config_default(&config);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
        assert_int_equal(side_hear_words(&side, words[i]), KEYS_OK);
        size_t whole = side.w.len;
        assert_true(whole > 0);
        for (size_t cap = 0; cap <= whole; cap++) {
            side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
            text_writer_init(&side.w, side.text, cap);
            assert_int_equal(side_hear_words(&side, words[i]), cap == whole ? KEYS_OK : KEYS_FAIL);
            if (cap < whole)
                assert_int_equal(side.neg.failure.status, KEYS_STATUS_OUT_OF_RESOURCES);
        }
    }
    PROVES("R7143-6.1-15", "both");
}

/* A configuration that asks for what no key may be still leads to answers that are allowed. */
static void answers_stay_in_range_whatever_is_configured(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    config.max_burst_length = 1;
    config.max_outstanding_r2t = 0;
    config.default_time2wait = 5000;
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
    assert_int_equal(side_hear_words(&side, "MaxBurstLength=65536|MaxOutstandingR2T=4|DefaultTime2Wait=1|"),
                     KEYS_OK);
    assert_non_null(strstr(side_words(&side), "MaxBurstLength=512|"));
    assert_non_null(strstr(side_words(&side), "MaxOutstandingR2T=1|"));
    assert_non_null(strstr(side_words(&side), "DefaultTime2Wait=3600|"));
    key_config_default(&config);
    side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
    assert_int_equal(side_hear_words(&side, "MaxBurstLength=65536|MaxOutstandingR2T=4|DefaultTime2Wait=9|"),
                     KEYS_OK);
    assert_non_null(strstr(side_words(&side), "MaxBurstLength=65536|"));
    assert_non_null(strstr(side_words(&side), "MaxOutstandingR2T=4|"));
    assert_non_null(strstr(side_words(&side), "DefaultTime2Wait=9|"));
    PROVES("R7143-6.2.2-03", "both");
}

/* Whatever is offered, and whatever the configuration would allow. */
static void discovery_has_one_connection_and_no_recovery(void **state)
{
    (void)state;
    struct key_config config;
    key_config_default(&config);
    config.max_connections = 8;
    config.error_recovery_level = 2;
    for (int discovery = 0; discovery < 2; discovery++) {
        side_init(&side, KEY_ROLE_TARGET, &config, KEY_STAGE_OPERATIONAL);
        assert_int_equal(
            side_hear_words(&side, discovery ? "InitiatorName=iqn.2001-04.com.x|SessionType=Discovery|"
                                               "MaxConnections=8|ErrorRecoveryLevel=2|"
                                             : "InitiatorName=iqn.2001-04.com.x|TargetName=iqn.2001-04."
                                               "com.y|MaxConnections=8|ErrorRecoveryLevel=2|"),
            KEYS_OK);
        assert_non_null(strstr(side_words(&side), discovery ? "MaxConnections=1|" : "MaxConnections=8|"));
        assert_non_null(
            strstr(side_words(&side), discovery ? "ErrorRecoveryLevel=0|" : "ErrorRecoveryLevel=2|"));
        assert_int_equal(key_conclude(&side.neg), KEYS_OK);
        assert_int_equal(side.neg.params.max_connections, discovery ? 1 : 8);
        assert_int_equal(side.neg.params.error_recovery_level, discovery ? 0 : 2);
    }
    PROVES("R7143-13.21-02", "target");
    PROVES("R7143-13.21-03", "target");
    PROVES("R7143-7.4.1-02", "target");
}

/* Each length at its first and last code point, one beyond, and cut short: what follows is not part of it. */
static void utf8_is_strict(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        bool good;
    } rows[] = {
        {"", 0, true},
        {"\x01", 1, true},
        {"\x7f", 1, true},
        {"\0", 1, false},
        {"\x80", 1, false},
        {"\xc1\xbf", 2, false}, /* overlong */
        {"\xc2\x80", 2, true},
        {"\xdf\xbf", 2, true},
        {"\xc2\x80", 1, false}, /* cut */
        {"\xc2\x7f", 2, false},
        {"\xc2\xc0", 2, false},
        {"\xe0\x9f\xbf", 3, false},
        {"\xe0\xa0\x80", 3, true},
        {"\xed\x9f\xbf", 3, true},
        {"\xed\xa0\x80", 3, false}, /* surrogates */
        {"\xed\xbf\xbf", 3, false},
        {"\xee\x80\x80", 3, true},
        {"\xef\xbf\xbf", 3, true},
        {"\xe0\xa0\x80", 2, false},
        {"\xe0\xa0\x80", 1, false},
        {"\xf0\x8f\xbf\xbf", 4, false},
        {"\xf0\x90\x80\x80", 4, true},
        {"\xf4\x8f\xbf\xbf", 4, true},
        {"\xf4\x90\x80\x80", 4, false}, /* beyond 10ffff */
        {"\xf0\x90\x80\x80", 3, false},
        {"\xf8\x88\x80\x80\x80", 5, false},
        {"a\xc3\xa9z", 4, true},
        {"a\xc3\xa9z", 2, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(text_is_utf8((struct text_range){rows[i].bytes, rows[i].len}), rows[i].good);
}

/* Every opcode in both directions: what it is called, and that only known ones are taken. */
static void opcodes_are_known_by_their_number(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode;
        const char *name;
    } rows[] = {{0x00, "NOP-Out"},       {0x01, "SCSI Command"},  {0x03, "Login Request"},
                {0x04, "Text Request"},  {0x05, "Data-Out"},      {0x06, "Logout Request"},
                {0x20, "NOP-In"},        {0x21, "SCSI Response"}, {0x23, "Login Response"},
                {0x24, "Text Response"}, {0x25, "Data-In"},       {0x26, "Logout Response"},
                {0x31, "R2T"},           {0x3f, "Reject"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(pdu_name(rows[i].opcode), rows[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_these),
        cmocka_unit_test(answers_that_do_not_fit_fail),
        cmocka_unit_test(discovery_has_one_connection_and_no_recovery),
        cmocka_unit_test(answers_stay_in_range_whatever_is_configured),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(opcodes_are_known_by_their_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
