/* The table of negotiation limits: every name, its bounds, and its three readers (options of serve,
 * NAME=VALUE, the configuration's object). Method: texts in, key_config out; wrong ones are refused with the
 * word that is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "target/service/limits.h"

static bool set(json_t *values, const char *text, struct outcome *o)
{
    *o = (struct outcome){0};
    return limits_set(values, text, o);
}

static void every_name_has_its_effect(void **state)
{
    (void)state;
    static const char *const texts[] = {"max-connections=64",   "recovery-level=1",
                                        "protocol-level=1",     "task-reporting=responsefence,RFC3720",
                                        "time2wait=1m",         "time2retain=0",
                                        "initial-r2t=yes",      "immediate-data=off",
                                        "max-burst=16M",        "first-burst=512",
                                        "max-recv=4096",        "max_outstanding_r2t=65535",
                                        "header-digest=crc32c", "data-digest=none,crc32c"};
    json_t *values = json_object();
    struct outcome o;
    struct key_config keys;
    char why[200];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!set(values, texts[i], &o))
            fail_msg("%s: %s", texts[i], o.text);
    assert_null(limits_check(values, why, sizeof why));
    limits_default(&keys);
    limits_apply(values, &keys);
    assert_int_equal(keys.max_connections, 64);
    assert_int_equal(keys.error_recovery_level, 1);
    assert_int_equal(keys.iscsi_protocol_level, 1);
    assert_int_equal(keys.task_reporting.count, 2);
    assert_int_equal(keys.task_reporting.value[0], KEY_TASK_REPORTING_RESPONSE_FENCE);
    assert_int_equal(keys.task_reporting.value[1], KEY_TASK_REPORTING_RFC3720);
    assert_int_equal(keys.default_time2wait, 60);
    assert_int_equal(keys.default_time2retain, 0);
    assert_true(keys.initial_r2t && !keys.immediate_data);
    assert_int_equal(keys.max_burst_length, 16777215);
    assert_int_equal(keys.first_burst_length, 512);
    assert_int_equal(keys.max_recv_data_segment_length, 4096);
    assert_int_equal(keys.max_outstanding_r2t, 65535);
    assert_int_equal(keys.header_digest.count, 1);
    assert_int_equal(keys.data_digest.count, 2);
    json_decref(values);
}

static void defaults_are_what_the_target_can_do(void **state)
{
    (void)state;
    struct key_config keys;
    limits_default(&keys);
    assert_int_equal(keys.max_connections, 8);
    assert_int_equal(keys.error_recovery_level, 2);
    assert_int_equal(keys.iscsi_protocol_level, 2);
    assert_int_equal(keys.task_reporting.count, 3);
}

static void default_takes_a_limit_away(void **state)
{
    (void)state;
    json_t *values = json_object();
    struct outcome o;
    assert_true(set(values, "max-burst=default", &o));
    assert_true(json_is_null(json_object_get(values, "max_burst")));
    json_decref(values);
}

static void one_burst_pulls_the_other_along(void **state)
{
    (void)state;
    struct key_config keys;
    json_t *small = json_pack("{s:i}", "max_burst", 4096),
           *large = json_pack("{s:i}", "first_burst", 8388608);
    limits_default(&keys);
    limits_apply(small, &keys);
    assert_int_equal(keys.first_burst_length, 4096);
    limits_default(&keys);
    limits_apply(large, &keys);
    assert_int_equal(keys.max_burst_length, 8388608);
    json_decref(small);
    json_decref(large);
}

static void wrong_texts_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } rows[] = {{"max-connections=0", "0"},
                {"max-connections=65", "65"},
                {"max-connections=", "max-connections"},
                {"recovery-level=3", "3"},
                {"protocol-level=0", "0"},
                {"task-reporting=", "task-reporting"},
                {"task-reporting=RFC3720,RFC3720", "RFC3720"},
                {"time2wait=3601s", "3601s"},
                {"time2wait=100ms", "100ms"},
                {"initial-r2t=1", "1"},
                {"max-burst=511", "512"},
                {"max-burst=17M", "16777215"},
                {"max-burst=lots", "lots"},
                {"header-digest=md5", "md5"},
                {"=1", "there is no limit"},
                {"max-conn=1", "max-conn"},
                {"nothing", "NAME=VALUE"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *values = json_object();
        struct outcome o;
        if (set(values, rows[i].text, &o) || !strstr(o.text, rows[i].word))
            fail_msg("%s: \"%s\"", rows[i].text, o.text);
        assert_int_equal(json_object_size(values), 0);
        json_decref(values);
    }
}

static void wrong_objects_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } rows[] = {{"{\"max_connections\": 65}", "max_connections"},
                {"{\"max_connections\": \"4\"}", "max_connections"},
                {"{\"max-connections\": 4}", "max-connections"},
                {"{\"initial_r2t\": 1}", "initial_r2t"},
                {"{\"task_reporting\": \"Fast\"}", "task_reporting"},
                {"{\"time2wait\": -1}", "time2wait"},
                {"{\"first_burst\": 8192, \"max_burst\": 4096}", "first_burst"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char why[200];
        json_t *object = json_loads(rows[i].text, 0, NULL);
        const char *wrong = limits_check(object, why, sizeof why);
        if (!wrong || !strstr(wrong, rows[i].word))
            fail_msg("%s: %s", rows[i].text, wrong ? wrong : "taken");
        json_decref(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_has_its_effect),  cmocka_unit_test(defaults_are_what_the_target_can_do),
        cmocka_unit_test(default_takes_a_limit_away), cmocka_unit_test(one_burst_pulls_the_other_along),
        cmocka_unit_test(wrong_texts_are_refused),    cmocka_unit_test(wrong_objects_are_refused),
    };
    return cmocka_run_group_tests_name("service_limits", tests, NULL, NULL);
}
