/* Goal: a command line is taken as meant or refused with a sentence that names what is wrong; options of
 * serve become the values that sessions negotiate with. Method: tables of command lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "target/service/args.h"
#include "target/service/tuning.h"
#include "target/service/verbs.h"

static const struct args_option options[] = {{"--size", "SIZE", "a size"},
                                             {"--json", NULL, "a flag"},
                                             {"--lun", "SPEC", "may repeat"},
                                             {NULL, NULL, NULL}};

static bool parse(const char *line, const struct args_option *table, struct args *out, struct outcome *o)
{
    static char copy[512], *argv[32];
    int argc = 0;
    strncpy(copy, line, sizeof copy - 1);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    *o = (struct outcome){0};
    return args_parse(argc, argv, table, 2, out, o);
}

static void options_and_arguments_are_told_apart(void **state)
{
    (void)state;
    struct args args;
    struct outcome o;
    assert_true(parse("one --size 4K --lun=a=b --json --lun c two", options, &args, &o));
    assert_int_equal(args.positional_count, 2);
    assert_string_equal(args.positional[1], "two");
    assert_string_equal(args_nth(&args, "--lun", 0), "a=b");
    assert_string_equal(args_nth(&args, "--lun", 1), "c");
    assert_null(args_nth(&args, "--lun", 2));
    assert_string_equal(args_value(&args, "--lun"), "c");
    assert_true(args_flag(&args, "--json"));
    uint64_t size = 0;
    assert_true(args_size(&args, "--size", &size, &o));
    assert_int_equal(size, 4096);
    assert_true(parse("-- --json -", options, &args, &o));
    assert_int_equal(args.positional_count, 2);
    assert_true(parse("--bogus-after --help", options, &args, &o) == false);
    assert_true(parse("--help --bogus", options, &args, &o) && args.help);
}

static void wrong_command_lines_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *word;
    } wrong[] = {
        {"--bogus", "--bogus"}, {"--siz 4", "--siz"}, {"--size", "--size"}, {"--json=yes", "--json"},
        {"a b c", "\"c\""},     {"--=x", "--=x"},     {"-x", "-x"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct args args;
        struct outcome o;
        if (parse(wrong[i].line, options, &args, &o) || o.code != OUTCOME_REFUSED ||
            !strstr(o.text, wrong[i].word))
            fail_msg("%s: \"%s\"", wrong[i].line, o.text);
    }
}

static void serve_options_tune_sessions(void **state)
{
    (void)state;
    struct args args;
    struct outcome o;
    struct tuning t;
    assert_true(
        parse("--initial-r2t yes --immediate-data no --max-burst 16M --first-burst 64K --header-digest "
              "crc32c,none --data-digest none --nop-interval 5s --command-window 7",
              serve_options, &args, &o));
    assert_true(tuning_parse(&args, &t, &o));
    assert_true(t.keys.initial_r2t && !t.keys.immediate_data);
    assert_int_equal(t.keys.max_burst_length, 16777215);
    assert_int_equal(t.keys.first_burst_length, 65536);
    assert_int_equal(t.keys.header_digest.count, 2);
    assert_int_equal(t.keys.header_digest.value[0], KEY_DIGEST_CRC32C);
    assert_int_equal(t.keys.data_digest.count, 1);
    assert_int_equal(t.keys.data_digest.value[0], KEY_DIGEST_NONE);
    assert_int_equal(t.limits.nop_interval_ns, 5000000000);
    assert_int_equal(t.limits.command_window, 7);
    /* A burst that was asked for must hold the first one. */
    assert_true(parse("--max-burst 4K", serve_options, &args, &o) && tuning_parse(&args, &t, &o));
    assert_int_equal(t.keys.first_burst_length, 4096);
}

static void wrong_tuning_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *word;
    } wrong[] = {
        {"--initial-r2t maybe", "maybe"},
        {"--max-burst 511", "--max-burst"},
        {"--max-recv 17M", "--max-recv"},
        {"--first-burst 64K --max-burst 4K", "--first-burst"},
        {"--header-digest md5", "md5"},
        {"--data-digest crc32c,crc32c", "crc32c"},
        {"--data-digest none,", NULL}, /* a trailing comma harms nobody */
        {"--command-window 0", "0"},
        {"--nop-interval soon", "soon"},
        {"--max-outstanding-r2t 65536", "65536"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct args args;
        struct outcome o;
        struct tuning t;
        assert_true(parse(wrong[i].line, serve_options, &args, &o));
        bool fine = tuning_parse(&args, &t, &o);
        if (fine != !wrong[i].word || (!fine && !strstr(o.text, wrong[i].word)))
            fail_msg("%s: \"%s\"", wrong[i].line, o.text);
    }
}

static void lun_texts_have_a_number_or_get_one(void **state)
{
    (void)state;
    struct outcome o = {0};
    json_t *lun = verbs_lun("3=memory:size=1M", 0, 0, &o);
    assert_int_equal(json_integer_value(json_object_get(lun, "lun")), 3);
    assert_string_equal(json_string_value(json_object_get(lun, "spec")), "memory:size=1M");
    json_decref(lun);
    lun = verbs_lun("memory:size=1M", 5, 0, &o);
    assert_int_equal(json_integer_value(json_object_get(lun, "lun")), 5);
    json_decref(lun);
    lun = verbs_lun("4", 0, 4096, &o);
    assert_int_equal(json_integer_value(json_object_get(lun, "size")), 4096);
    json_decref(lun);
    lun = verbs_lun("0=file:disk.img,size=1M", 0, 0, &o); /* relative to here, not to the service */
    const char *spec = json_string_value(json_object_get(lun, "spec"));
    assert_memory_equal(spec, "file:/", 6);
    assert_non_null(strstr(spec, "/disk.img,size=1M"));
    json_decref(lun);
    assert_null(verbs_lun("4", 0, 0, &o));
    assert_non_null(strstr(o.text, "size"));
    o = (struct outcome){0};
    assert_null(verbs_lun("99999=memory:size=1M", 0, 0, &o));
    assert_non_null(strstr(o.text, "99999"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_arguments_are_told_apart),
        cmocka_unit_test(wrong_command_lines_are_refused),
        cmocka_unit_test(serve_options_tune_sessions),
        cmocka_unit_test(wrong_tuning_is_refused),
        cmocka_unit_test(lun_texts_have_a_number_or_get_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
