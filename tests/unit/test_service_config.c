/* Goal: a configuration that is wrong is refused with its place and reason, and nothing else passes; changes
 * do what verbs promise and leave a tree that passes again. Method: texts with one fault each, and changes
 * applied to small trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "target/service/change.h"
#include "target/service/config.h"
#include "tests/unit/proves.h"

#define IQN "iqn.2026-01.org.example:disk1"
#define LUN(n, id)                                                                                           \
    "{\"lun\": " #n ", \"spec\": \"memory:size=1M\", \"serial\": \"s" id                                     \
    "\", \"naa\": \"60000000000000000000000000000" id "\"}"
#define ROOT(text)   "{\"schema_version\": 1, " text "}"
#define TARGET(text) ROOT("\"targets\": [{\"name\": \"" IQN "\", " text "}]")

static const struct {
    const char *text, *word; /* word NULL: must pass */
} texts[] = {
    {ROOT("\"targets\": []"), NULL},
    {"{\"schema_version\": 1}", NULL},
    {TARGET("\"luns\": [" LUN(0, "001") ", " LUN(16383, "002") "]"), NULL},
    {TARGET("\"users\": [{\"name\": \"a\", \"secret\": \"b\"}]"), NULL},
    {"{", "f:1"},
    {"{\n\"schema_version\": 1,\n}", "f:3"},
    {"[]", "object"},
    {"{}", "schema_version"},
    {"{\"schema_version\": \"1\"}", "schema_version"},
    {"{\"schema_version\": 2, \"future\": 1}", "schema_version"},
    {"{\"schema_version\": 1, \"schema_version\": 1}", "f:1"},
    {ROOT("\"tragets\": []"), "\"tragets\""},
    {ROOT("\"targets\": {}"), "targets: must be a list"},
    {ROOT("\"targets\": [1]"), "targets[0]"},
    {ROOT("\"targets\": [{}]"), "targets[0].name: missing"},
    {ROOT("\"targets\": [{\"name\": \"bad name\"}]"), "targets[0].name"},
    {ROOT("\"targets\": [{\"name\": \"" IQN "\"}, {\"name\": \"" IQN "\"}]"), "targets[1]"},
    {TARGET("\"alisa\": \"\""), "targets[0]: unknown key \"alisa\""},
    {TARGET("\"luns\": [{\"lun\": 0}]"), "targets[0].luns[0].spec: missing"},
    {TARGET("\"luns\": [" LUN(16384, "001") "]"), "16384"},
    {TARGET("\"luns\": [" LUN(-1, "001") "]"), "-1"},
    {TARGET("\"luns\": [" LUN(0, "001") ", " LUN(0, "002") "]"), "lun 0 already exists"},
    {TARGET("\"luns\": [" LUN(0, "001") ", " LUN(1, "001") "]"), "already belongs"},
    {TARGET("\"luns\": [" LUN(0, "0x1") "]"), "naa"},
    {TARGET("\"users\": [{\"name\": \"a\"}]"), "secret: missing"},
    {TARGET("\"users\": [{\"name\": \"a\", \"secret\": \"\"}]"), "secret"},
    {TARGET("\"users\": [{\"name\": \"a\", \"secret\": \"b\", \"mutual_name\": \"c\"}]"), "together"},
    {TARGET("\"users\": [{\"name\": \"a\", \"secret\": \"b\", \"mutual_name\": \"c\", \"mutual_secret\": "
            "\"b\"}]"),
     "the same"},
    {TARGET("\"acls\": [{}]"), "acls[0]"},
    {TARGET("\"acls\": [{\"net\": \"10.0.0.0/33\"}]"), "10.0.0.0/33"},
    {TARGET("\"acls\": [{\"initiator\": \"a b\"}]"), "initiator"},
    {ROOT("\"portals\": [{\"address\": \"host.example:1\"}]"), "portals[0].address"},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\", \"group\": 0}]"), "portals[0].group"},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\", \"advertise\": \"\"}]"), "advertise"},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\", \"advertise\": \"a b:1\"}]"), "advertise"},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\", \"advertise\": \"host:0\"}]"), "advertise"},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\", \"advertise\": \"host:65536\"}]"), "advertise"},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\", \"advertise\": \"2001:db8::1\"}]"), "advertise"},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\", \"advertise\": \"host:3260,1\"}]"), "advertise"},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\", \"advertise\": \"host\"}]"), NULL},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\", \"advertise\": \"[2001:db8::1]:99\"}]"), NULL},
    {ROOT("\"portals\": [{\"address\": \"1.2.3.4:1\"}, {\"address\": \"1.2.3.4:1\"}]"), "already exists"},
};

static void wrong_configuration_is_refused_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct outcome o = {0};
        json_t *root = config_parse(texts[i].text, strlen(texts[i].text), "f", &o);
        if (!texts[i].word) {
            if (!root)
                fail_msg("%s was refused: %s", texts[i].text, o.text);
        } else if (root || o.code == OUTCOME_OK || !strstr(o.text, texts[i].word)) {
            fail_msg("%s: \"%s\" does not name %s", texts[i].text, o.text, texts[i].word);
        }
        json_decref(root);
    }
}

static void checked_tree_has_every_list(void **state)
{
    (void)state;
    struct outcome o = {0};
    static const char text[] = TARGET("\"alias\": \"x\"");
    json_t *root = config_parse(text, sizeof text - 1, "f", &o);
    assert_non_null(root);
    assert_true(json_is_array(json_object_get(root, "portals")) &&
                json_is_array(json_object_get(root, "discovery_users")));
    const json_t *target = config_target(root, "IQN.2026-01.org.example:DISK1"); /* any case */
    assert_non_null(target);
    assert_true(json_is_array(json_object_get(target, "luns")) &&
                json_is_array(json_object_get(target, "acls")));
    json_decref(root);
}

static void naa_identifiers_are_sixteen_bytes_of_type_six(void **state)
{
    (void)state;
    uint8_t naa[16];
    assert_true(config_naa_parse("naa.6001405ABCdef0123456789012345678", naa));
    assert_int_equal(naa[0], 0x60);
    assert_int_equal(naa[4], 0xbc);
    assert_int_equal(naa[15], 0x78);
    assert_true(config_naa_parse("0x60000000000000000000000000000000", naa));
    assert_false(config_naa_parse("30000000000000000000000000000000", naa));
    assert_false(config_naa_parse("6000000000000000000000000000000", naa));
    assert_false(config_naa_parse("600000000000000000000000000000000", naa));
    assert_false(config_naa_parse("6000000000000000000000000000000g", naa));
    assert_false(config_naa_parse("", naa));
}

/* Applies a change given as text and checks the tree, as the manager does. */
static bool apply(json_t *root, const char *method, const char *params, struct outcome *o)
{
    json_error_t error;
    json_t *parsed = json_loads(params, 0, &error);
    assert_non_null(parsed);
    *o = (struct outcome){0};
    bool fine = change_apply(root, method, parsed, env_host(), true, o) && config_check(root, o);
    json_decref(parsed);
    assert_int_equal(fine, o->code == OUTCOME_OK);
    return fine;
}

static void changes_keep_a_valid_tree(void **state)
{
    (void)state;
    static const struct {
        const char *method, *params, *word; /* word NULL: succeeds */
    } steps[] = {
        {"target.create", "{\"target\": \"" IQN "\", \"luns\": [{\"lun\": 0, \"size\": 1048576}]}", NULL},
        {"target.create", "{\"target\": \"" IQN "\"}", "exists"},
        {"target.create", "{\"target\": \"nonsense\"}", "nonsense"},
        {"lun.add",
         "{\"target\": \"" IQN "\", \"lun\": 5, \"spec\": \"memory:size=1M\", \"serial\": \"abc\"}", NULL},
        {"lun.add", "{\"target\": \"" IQN "\", \"lun\": 5, \"spec\": \"memory:size=1M\"}", "5"},
        {"lun.add", "{\"target\": \"" IQN "\", \"lun\": 20000, \"spec\": \"memory:size=1M\"}", "20000"},
        {"lun.add",
         "{\"target\": \"iqn.2026-01.org.example:none\", \"lun\": 1, \"spec\": \"memory:size=1M\"}", "none"},
        {"lun.add", "{\"target\": \"" IQN "\", \"lun\": 6, \"spec\": \"tape:x\"}", "tape"},
        {"lun.resize", "{\"target\": \"" IQN "\", \"lun\": 5, \"size\": 2097152}", NULL},
        {"lun.resize", "{\"target\": \"" IQN "\", \"lun\": 5, \"size\": 1048576}", "grow"},
        {"lun.resize", "{\"target\": \"" IQN "\", \"lun\": 5, \"size\": 3000001}", "3000001"},
        {"user.set", "{\"target\": \"" IQN "\", \"name\": \"u\", \"secret\": \"short\"}", "12"},
        {"user.set", "{\"target\": \"" IQN "\", \"name\": \"u\", \"secret\": \"short\", \"weak\": true}",
         NULL},
        {"user.set", "{\"target\": \"" IQN "\", \"name\": \"u\", \"secret\": \"exactly12byt\"}", NULL},
        {"user.set",
         "{\"target\": \"" IQN "\", \"name\": \"u\", \"secret\": \"exactly12byt\", \"mutual_name\": \"m\", "
         "\"mutual_secret\": \"short\"}",
         "12"}, /* R7143-9.2.1-07: with it the target would answer a challenge */
        {"user.set",
         "{\"target\": \"" IQN
         "\", \"name\": \"u\", \"secret\": \"exactly12byt\", \"initiator\": \"iqn.x*\"}",
         NULL},
        {"user.set", "{\"discovery\": true, \"name\": \"d\", \"secret\": \"exactly12byt\"}", NULL},
        {"user.remove", "{\"target\": \"" IQN "\", \"name\": \"v\"}", "v"},
        {"acl.add", "{\"target\": \"" IQN "\"}", "initiator"},
        {"acl.add", "{\"target\": \"" IQN "\", \"initiator\": \"iqn.*\", \"net\": \"10.0.0.0/8\"}", NULL},
        {"acl.add", "{\"target\": \"" IQN "\", \"initiator\": \"iqn.*\", \"net\": \"10.0.0.0/8\"}",
         "already"},
        {"acl.remove", "{\"target\": \"" IQN "\", \"initiator\": \"iqn.*\"}", "iqn.*"},
        {"acl.remove", "{\"target\": \"" IQN "\", \"initiator\": \"iqn.*\", \"net\": \"10.0.0.0/8\"}", NULL},
        {"portal.add", "{\"address\": \"127.0.0.1\", \"group\": 2}", NULL},
        {"portal.add", "{\"address\": \"127.0.0.1:3260\"}", "already"},
        {"portal.remove", "{\"address\": \"127.0.0.1:3260\"}", NULL},
        {"lun.remove", "{\"target\": \"" IQN "\", \"lun\": 5}", NULL},
        {"lun.remove", "{\"target\": \"" IQN "\", \"lun\": 5}", "5"},
        {"user.remove", "{\"target\": \"" IQN "\", \"name\": \"u\"}", NULL},
        {"target.delete", "{\"target\": \"" IQN "\"}", NULL},
        {"target.delete", "{\"target\": \"" IQN "\"}", IQN},
        {"make.coffee", "{}", "coffee"},
    };
    json_t *root = config_empty();
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct outcome o;
        json_t *copy = json_deep_copy(root); /* a failed change is thrown away */
        bool fine = apply(copy, steps[i].method, steps[i].params, &o);
        if (fine != !steps[i].word ||
            (!fine && (o.code != OUTCOME_REFUSED || !strstr(o.text, steps[i].word))))
            fail_msg("%s %s: \"%s\"", steps[i].method, steps[i].params, o.text);
        json_decref(fine ? root : copy);
        if (fine)
            root = copy;
    }
    assert_int_equal(json_array_size(json_object_get(root, "targets")), 0);
    assert_int_equal(json_array_size(json_object_get(root, "discovery_users")), 1);
    json_decref(root);
    PROVES("R7143-15-01", "target");
    PROVES("R7143-15-02", "target");
    PROVES("R7143-9.2.1-07", "target");
}

static void identities_are_minted_apart_and_can_be_chosen(void **state)
{
    (void)state;
    struct outcome o;
    json_t *root = config_empty();
    assert_true(apply(root, "target.create",
                      "{\"target\": \"" IQN
                      "\", \"luns\": [{\"lun\": 0, \"size\": 512}, {\"lun\": 1, \"size\": 512}]}",
                      &o));
    assert_true(apply(root, "lun.add",
                      "{\"target\": \"" IQN "\", \"lun\": 2, \"size\": 512, \"serial\": \"mine\", "
                      "\"naa\": \"naa.6AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
                      &o));
    const json_t *target = config_target(root, IQN), *a = config_lun(target, 0), *b = config_lun(target, 1),
                 *c = config_lun(target, 2);
    assert_string_not_equal(config_text(a, "naa"), config_text(b, "naa"));
    assert_string_not_equal(config_text(a, "serial"), config_text(b, "serial"));
    assert_memory_equal(config_text(a, "naa"), "6024c4e", 7);
    assert_string_equal(config_text(c, "serial"), "mine");
    assert_string_equal(config_text(c, "naa"), "6aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_string_not_equal(config_text(a, "spec"), config_text(b, "spec"));
    assert_memory_equal(config_text(a, "spec"), "file:disks/", 11);
    assert_false(apply(root, "lun.add",
                       "{\"target\": \"" IQN "\", \"lun\": 3, \"size\": 512, \"serial\": \"mine\"}", &o));
    assert_non_null(strstr(o.text, "mine"));
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_configuration_is_refused_with_its_place),
        cmocka_unit_test(checked_tree_has_every_list),
        cmocka_unit_test(naa_identifiers_are_sixteen_bytes_of_type_six),
        cmocka_unit_test(changes_keep_a_valid_tree),
        cmocka_unit_test(identities_are_minted_apart_and_can_be_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
