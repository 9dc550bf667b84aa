/* Goal: one call is one line, whatever a peer put into the arguments; JSON lines are JSON; levels filter.
 * Method: stderr is replaced by a file for the length of one call, and what arrived there is compared. */
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/base/log.h"

static char captured[1 << 18];
static int real_stderr = -1;
static FILE *capture_file;

static void capture_begin(void)
{
    capture_file = tmpfile();
    assert_non_null(capture_file);
    fflush(stderr);
    real_stderr = dup(STDERR_FILENO);
    assert_true(dup2(fileno(capture_file), STDERR_FILENO) >= 0);
}

static const char *capture_end(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    rewind(capture_file);
    size_t len = fread(captured, 1, sizeof captured - 1, capture_file);
    captured[len] = '\0';
    fclose(capture_file);
    return captured;
}

/* The text line behind its time stamp: "info area: message\n". */
static const char *after_time(const char *line)
{
    const char *space = strchr(line, ' ');
    assert_non_null(space);
    /* 2024-02-29T23:59:59.000000Z */
    assert_int_equal(space - line, 27);
    assert_true(line[4] == '-' && line[10] == 'T' && line[19] == '.' && line[26] == 'Z');
    return space + 1;
}

static int defaults(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, LOG_SINK_STDERR, "test");
    return 0;
}

static void a_text_line_has_time_level_area_and_message(void **state)
{
    (void)state;
    capture_begin();
    log_warn("login", "%s refused %d", "iqn.x", 3);
    assert_string_equal(after_time(capture_end()), "warn login: iqn.x refused 3\n");
}

static void the_time_is_now_in_utc(void **state)
{
    (void)state;
    char before[32], after[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(before, sizeof before, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now, &utc));
    capture_begin();
    log_info("x", "y");
    const char *line = capture_end();
    now = time(NULL);
    strftime(after, sizeof after, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now, &utc));
    char stamp[20];
    snprintf(stamp, sizeof stamp, "%.19s", line);
    assert_true(strcmp(before, stamp) <= 0 && strcmp(stamp, after) <= 0);
}

static void levels_filter(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, LOG_SINK_STDERR, "test");
    assert_true(log_enabled(LOG_LEVEL_ERROR));
    assert_true(log_enabled(LOG_LEVEL_WARN));
    assert_false(log_enabled(LOG_LEVEL_INFO));
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    capture_begin();
    log_info("x", "silent");
    log_debug("x", "silent");
    log_error("x", "loud");
    assert_string_equal(after_time(capture_end()), "error x: loud\n");
}

static void level_names_are_parsed_exactly(void **state)
{
    (void)state;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    enum log_level level = LOG_LEVEL_COUNT;
    for (unsigned i = 0; i < 4; i++) {
        assert_true(log_level_parse(names[i], &level));
        assert_int_equal(level, i);
    }
    static const char *const wrong[] = {"", "Error", "warning", "info ", "4"};
    for (unsigned i = 0; i < 5; i++)
        assert_false(log_level_parse(wrong[i], &level));
    assert_int_equal(level, LOG_LEVEL_DEBUG);
}

/* What a message looks like in the text form and in the JSON form. */
static const struct {
    const char *raw, *text, *json;
} escapes[] = {
    {"plain", "plain", "plain"},
    {"a\nb", "a\\x0ab", "a\\u000ab"},
    {"a\r\tb", "a\\x0d\\x09b", "a\\u000d\\u0009b"},
    {"\x1b[2J", "\\x1b[2J", "\\u001b[2J"},
    {"\x7f", "\\x7f", "\\u007f"},
    {"say \"hi\" C:\\x", "say \"hi\" C:\\x", "say \\\"hi\\\" C:\\\\x"},
    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
    {"\xe6\x97\xa5 \xf0\x9f\x8c\x99", "\xe6\x97\xa5 \xf0\x9f\x8c\x99", "\xe6\x97\xa5 \xf0\x9f\x8c\x99"},
    /* C1 control U+009B and the Unicode line separator */
    {"\xc2\x9b", "\\x9b", "\\u009b"},
    {"\xe2\x80\xa8", "\\u2028", "\\u2028"},
    /* not UTF-8: a lone continuation, a cut sequence, overlong, a surrogate, above U+10FFFF, 0xff */
    {"\x80", "\\x80", "\\\\x80"},
    {"x\xe6\x97", "x\\xe6\\x97", "x\\\\xe6\\\\x97"},
    {"\xc0\x8a", "\\xc0\\x8a", "\\\\xc0\\\\x8a"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80"},
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80"},
    {"\xff", "\\xff", "\\\\xff"},
};

static void a_peer_cannot_forge_a_text_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        char expected[128];
        snprintf(expected, sizeof expected, "info x: <%s>\n", escapes[i].text);
        capture_begin();
        log_info("x", "<%s>", escapes[i].raw);
        assert_string_equal(after_time(capture_end()), expected);
    }
}

static void json_lines_are_json(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON, LOG_SINK_STDERR, "te\"st");
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        char expected[160];
        snprintf(expected, sizeof expected,
                 ",\"level\":\"info\",\"program\":\"te\\\"st\",\"area\":\"x\",\"message\":\"<%s>\"}\n",
                 escapes[i].json);
        capture_begin();
        log_info("x", "<%s>", escapes[i].raw);
        const char *line = capture_end();
        assert_non_null(strstr(line, expected));
        /* And an independent parser takes it: one object, the newline only at the end. */
        json_error_t error;
        json_t *object = json_loads(line, 0, &error);
        assert_non_null(object);
        assert_int_equal(json_object_size(object), 5);
        json_decref(object);
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    }
}

static void a_long_message_is_cut_and_says_so(void **state)
{
    (void)state;
    /* The worst case for the line's room: every byte grows to six. */
    static char flood[10000];
    memset(flood, '\x01', sizeof flood - 1);
    for (unsigned json = 0; json < 2; json++) {
        log_setup(LOG_LEVEL_INFO, json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, LOG_SINK_STDERR, "test");
        capture_begin();
        log_info("x", "%s", flood);
        const char *line = capture_end();
        size_t len = strlen(line);
        assert_true(len > 2000 * 4 && len < 2100 * 6);
        assert_string_equal(line + len - (json ? 6 : 4), json ? "...\"}\n" : "...\n");
    }
}

static void *flooding_thread(void *arg)
{
    for (unsigned i = 0; i < 200; i++)
        log_info("thread", "%s %s", (const char *)arg, "0123456789012345678901234567890123456789");
    return NULL;
}

static void lines_of_threads_stay_whole(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    pthread_t threads[4];
    capture_begin();
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, flooding_thread, (void *)(uintptr_t)names[i]);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    char *text = (char *)(uintptr_t)capture_end();
    unsigned lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++)
        assert_int_equal(strlen(line), strlen("2024-02-29T23:59:59.000000Z info thread: a ") + 40);
    assert_int_equal(lines, 800);
}

static void trace_events_arrive_as_log_lines(void **state)
{
    (void)state;
    capture_begin();
    env_trace(env_host(), TRACE_WARN, "login.refused", "conn 7", "bad\nname", 2, 1);
    env_trace(env_host(), TRACE_INFO, "session", NULL, NULL, 0, 5);
    env_trace(env_host(), TRACE_WARN, "login.failed", "iqn.x", "CHAP: wrong", 0x201, 1);
    env_trace(env_host(), TRACE_INFO, "tmf", "iqn.x", NULL, 5, UINT32_MAX);
    env_trace(env_host(), TRACE_INFO, "tmf", "iqn.x", NULL, 1, 102);
    env_trace(env_host(), TRACE_DEBUG, "pdu.rx", "conn 7", NULL, 0, 0); /* below the level */
    const char *lines = capture_end();
    assert_non_null(strstr(lines, " warn login: conn 7: login.refused bad\\x0aname\n"));
    assert_non_null(strstr(lines, " info session: session\n"));
    /* numbers come with what they are */
    assert_non_null(strstr(lines, " login: iqn.x: login.failed CHAP: wrong, status 0x201\n"));
    assert_non_null(strstr(lines, " tmf: iqn.x: tmf, function 5, no task\n"));
    assert_non_null(strstr(lines, " tmf: iqn.x: tmf, function 1, task 102\n"));
    assert_null(strstr(lines, "pdu.rx"));
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, LOG_SINK_STDERR, "test");
    capture_begin();
    env_trace(env_host(), TRACE_DEBUG, "pdu.rx", "conn 7", NULL, 0, 0);
    assert_string_equal(after_time(capture_end()), "debug pdu: conn 7: pdu.rx\n");
}

#define TEST(name) cmocka_unit_test_setup(name, defaults)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_text_line_has_time_level_area_and_message),
        TEST(the_time_is_now_in_utc),
        TEST(levels_filter),
        TEST(level_names_are_parsed_exactly),
        TEST(a_peer_cannot_forge_a_text_line),
        TEST(json_lines_are_json),
        TEST(a_long_message_is_cut_and_says_so),
        TEST(lines_of_threads_stay_whole),
        TEST(trace_events_arrive_as_log_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
