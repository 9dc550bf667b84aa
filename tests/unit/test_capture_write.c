/* Goal: a capture holds every byte that its taps saw, as TCP that fits together, whatever the options; what
 * does not fit into memory is whole PDUs, counted, and the caller never waits. Method: made-up sessions go
 * through the taps in pieces of every size; the file is read back by the project's reader, which an
 * independent sum of every checksum accompanies. */
#include "tests/unit/capture_collect.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/capture/capture.h"
#include "common/capture/tap_fan.h"

struct rig {
    char folder[64], path[128];
    struct capture_options options;
    struct capture *capture;
    uint64_t now_ns;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    strcpy(r->folder, "/tmp/lunette-capture-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    snprintf(r->path, sizeof r->path, "%s/trace.pcapng", r->folder);
    capture_options_default(&r->options);
    r->options.path = r->path;
    r->options.application = "test";
    r->options.buffer = 4 * 1024 * 1024;
    r->options.at_target = true;
    r->now_ns = env_now(env_host());
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    struct dirent *entry;
    DIR *folder = opendir(r->folder);
    while ((entry = readdir(folder)) != NULL) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", r->folder, entry->d_name);
        unlink(path);
    }
    closedir(folder);
    rmdir(r->folder);
    free(r);
    return 0;
}

static void start(struct rig *r)
{
    char why[300];
    if (capture_open(env_host(), &r->options, &r->capture, why, sizeof why) != 0)
        fail_msg("%s", why);
}

static void open_conn(struct rig *r, uint64_t id, int family, uint32_t lane)
{
    struct io_addr initiator = talk_addr(family, 1, (uint16_t)(40000 + id)),
                   target = talk_addr(family, 2, 3260);
    struct tap *tap = capture_tap(r->capture, lane);
    tap->open(tap, id, &initiator, &target, r->now_ns);
}

/* Hands over a PDU in calls of at most `step` bytes (0: one call), each in two places. */
static void say(struct rig *r, uint64_t id, uint32_t lane, const struct talk *t, int i, uint32_t step)
{
    struct tap *tap = capture_tap(r->capture, lane);
    const struct talk_pdu *p = &t->pdu[i];
    for (uint32_t at = 0; at < p->len;) {
        uint32_t n = step && step < p->len - at ? step : p->len - at;
        uint8_t *copy = malloc(n);
        memcpy(copy, t->bytes + p->at + at, n);
        struct io_vec places[2] = {{copy, n / 3}, {copy + n / 3, n - n / 3}};
        tap->bytes(tap, id, p->d, places, 2, n, ++r->now_ns);
        free(copy); /* it may not keep the pointers */
        at += n;
    }
}

static void close_conn(struct rig *r, uint64_t id, uint32_t lane)
{
    struct tap *tap = capture_tap(r->capture, lane);
    tap->close(tap, id, ++r->now_ns);
}

static void assert_same(const struct collected_conn *conn, const struct talk *t)
{
    for (int d = 0; d < 2; d++) {
        uint32_t len;
        uint8_t *bytes = talk_stream(t, (enum tap_direction)d, &len);
        assert_int_equal(conn->len[d], len);
        assert_memory_equal(conn->bytes[d], bytes, len);
        free(bytes);
    }
    assert_int_equal(conn->pdus, t->count);
    assert_int_equal(conn->gaps, 0);
}

static void every_byte_is_in_the_file_however_it_came(void **state)
{
    struct rig *r = *state;
    const uint32_t steps[] = {0, 1, 13, 48, 49, 4000};
    struct talk t;
    struct collected c;
    talk_make(&t, true, true, 12);
    start(r);
    for (unsigned i = 0; i < 6; i++) {
        open_conn(r, i + 1, i & 1 ? 6 : 4, 0);
        for (int k = 0; k < t.count; k++)
            say(r, i + 1, 0, &t, k, steps[i]);
        close_conn(r, i + 1, 0);
    }
    struct capture_stats stats;
    capture_get_stats(r->capture, &stats);
    assert_int_equal(stats.pdus, 6 * t.count);
    assert_int_equal(stats.dropped, 0);
    capture_close(r->capture);
    collect_file(&c, r->path);
    assert_int_equal(c.result, 0);
    assert_string_equal(c.problem, "");
    assert_int_equal(c.conns, 6);
    for (unsigned i = 1; i <= 6; i++) {
        assert_same(&c.conn[i], &t);
        assert_true(c.conn[i].closed);
        assert_int_equal(c.conn[i].about.initiator.family, i & 1 ? 4 : 6);
    }
    /* A frame for each PDU, and of each connection three to open and three to close it. */
    assert_int_equal(c.frames_with_data, 6 * t.count);
    assert_int_equal(c.packets, 6 * (t.count + 6));
    collect_free(&c);
    talk_free(&t);
}

static void a_large_pdu_is_several_frames(void **state)
{
    struct rig *r = *state;
    struct talk t = {0};
    struct collected c;
    uint8_t bhs[PDU_BHS_LEN], *data = calloc(1, 300000);
    struct pdu_text_response p;
    pdu_text_response_init(&p);
    pdu_text_response_encode(&p, bhs);
    talk_add(&t, TAP_TO_INITIATOR, bhs, data, 300000);
    start(r);
    for (int k = 1; k <= 2; k++) { /* whole, and in pieces */
        open_conn(r, (uint64_t)k, 4, 0);
        say(r, (uint64_t)k, 0, &t, 0, k == 1 ? 0 : 9999);
        close_conn(r, (uint64_t)k, 0);
    }
    capture_close(r->capture);
    size_t len;
    uint8_t *file = collect_load(r->path, &len);
    assert_true(len > 2 * 300048);
    /* Mid-stream text alone is no login: the port says what it is. */
    collect_memory(&c, file, len, true);
    assert_int_equal(c.frames_with_data, 2 * 5);
    assert_int_equal(c.conn[1].len[TAP_TO_INITIATOR], 300048);
    assert_int_equal(c.conn[2].pdus, 1);
    free(file);
    free(data);
    collect_free(&c);
    talk_free(&t);
}

static void a_connection_that_ends_within_a_pdu_is_reset(void **state)
{
    struct rig *r = *state;
    struct talk t;
    struct collected c;
    talk_make(&t, false, false, 2);
    start(r);
    open_conn(r, 1, 4, 0);
    say(r, 1, 0, &t, 0, 0);
    t.pdu[1].len -= 5;
    say(r, 1, 0, &t, 1, 20);
    close_conn(r, 1, 0);
    capture_close(r->capture);
    collect_file(&c, r->path);
    assert_true(c.conn[1].closed);
    assert_int_equal(c.conn[1].pdus, 1);
    assert_int_equal(c.conn[1].len[TAP_TO_INITIATOR], t.pdu[1].len);
    assert_int_equal(c.packets, 3 + 1 + 1 + 1); /* opened, a PDU, a part, RST */
    collect_free(&c);
    talk_free(&t);
}

static void a_connection_that_moves_keeps_its_order(void **state)
{
    struct rig *r = *state;
    struct talk t;
    struct collected c;
    talk_make(&t, false, true, 30);
    r->options.taps = 4;
    start(r);
    /* Times are all the same: order must come from the taps alone. */
    for (uint64_t id = 1; id <= 40; id++) {
        uint32_t lane = (uint32_t)id % 4;
        open_conn(r, id, 4, lane);
        for (int k = 0; k < t.count; k++) {
            if (k == 2)
                lane = (lane + 1 + (uint32_t)id / 4 % 3) % 4;
            say(r, id, lane, &t, k, 0);
            r->now_ns--;
        }
        close_conn(r, id, lane);
        r->now_ns--;
    }
    capture_close(r->capture);
    size_t len;
    uint8_t *file = collect_load(r->path, &len);
    collect_memory(&c, file, len, false);
    free(file);
    assert_int_equal(c.conns, 40);
    for (unsigned i = 1; i <= 40; i++)
        assert_same(&c.conn[i], &t);
    collect_free(&c);
    talk_free(&t);
}

static void an_overrun_drops_whole_pdus_and_counts_them(void **state)
{
    struct rig *r = *state;
    struct talk t;
    struct collected c;
    struct capture_stats stats;
    talk_make(&t, true, false, 60);
    r->options.buffer = 64 * 1024;
    start(r);
    uint64_t begun = env_now(env_host()), said = 0;
    open_conn(r, 1, 4, 0);
    for (int k = 0; k < 6; k++)
        say(r, 1, 0, &t, k, 0);
    for (int round = 0; round < 40; round++)
        for (int k = 6; k < t.count - 2; k++, said++)
            say(r, 1, 0, &t, k, round & 1 ? 700 : 0);
    assert_true(env_now(env_host()) - begun < UINT64_C(5000000000));
    capture_get_stats(r->capture, &stats);
    close_conn(r, 1, 0);
    capture_close(r->capture);
    assert_int_equal(stats.pdus, said + 6);
    assert_true(stats.dropped > 0);
    collect_file(&c, r->path);
    assert_int_equal(c.conns, 1);
    assert_true(c.conn[1].closed);
    assert_int_equal(c.conn[1].incomplete, 0);
    assert_int_equal(c.conn[1].pdus + stats.dropped, stats.pdus);
    assert_int_equal(c.conn[1].missing, stats.dropped_bytes);
    assert_int_equal(c.counts.skipped_bytes, 0);
    /* The file says so itself. */
    size_t len;
    uint8_t *file = collect_load(r->path, &len);
    char text[100];
    snprintf(text, sizeof text, "%llu of them (%llu bytes) dropped", (unsigned long long)stats.dropped,
             (unsigned long long)stats.dropped_bytes);
    assert_non_null(memmem(file, len, text, strlen(text)));
    assert_non_null(memmem(file, len, "before this frame", 17));
    free(file);
    collect_free(&c);
    talk_free(&t);
}

static void only_sessions_of_the_pattern_are_captured(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *pattern;
        bool taken;
    } rows[] = {{"iqn.2026-01.org.lunette:somebody", true},
                {"*:disk", true},
                {"*", true},
                {"iqn.*:some*", true},
                {"*:other", false},
                {"somebody", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct talk t;
        struct collected c;
        talk_make(&t, false, false, 5);
        r->options.session = rows[i].pattern;
        start(r);
        for (uint64_t id = 1; id <= 2; id++) { /* decided within one call, and byte by byte */
            open_conn(r, id, 4, 0);
            for (int k = 0; k < t.count; k++)
                say(r, id, 0, &t, k, id == 1 ? 0 : 1);
            close_conn(r, id, 0);
        }
        struct capture_stats stats;
        capture_get_stats(r->capture, &stats);
        assert_int_equal(stats.pdus, rows[i].taken ? 2 * t.count : 0);
        capture_close(r->capture);
        collect_file(&c, r->path);
        assert_int_equal(c.conns, rows[i].taken ? 2 : 0);
        if (rows[i].taken) {
            assert_same(&c.conn[1], &t);
            assert_same(&c.conn[2], &t);
        }
        collect_free(&c);
        talk_free(&t);
    }
}

static void secrets_stay_out_on_request(void **state)
{
    struct rig *r = *state;
    for (int hide = 0; hide < 2; hide++) {
        struct talk t;
        size_t len;
        talk_make(&t, true, true, 3);
        r->options.no_secrets = hide;
        start(r);
        for (uint64_t id = 1; id <= 3; id++) {
            open_conn(r, id, 4, 0);
            for (int k = 0; k < t.count; k++)
                say(r, id, 0, &t, k, (uint32_t)(id - 1) * 9);
            close_conn(r, id, 0);
        }
        capture_close(r->capture);
        uint8_t *file = collect_load(r->path, &len);
        assert_int_equal(memmem(file, len, TALK_CHALLENGE, strlen(TALK_CHALLENGE)) == NULL, hide);
        assert_int_equal(memmem(file, len, TALK_RESPONSE, strlen(TALK_RESPONSE)) == NULL, hide);
        struct collected c; /* and the frames are still right */
        collect_memory(&c, file, len, true);
        assert_int_equal(c.conn[3].pdus, t.count);
        collect_free(&c);
        free(file);
        talk_free(&t);
    }
}

static void snapped_frames_say_how_long_they_were(void **state)
{
    struct rig *r = *state;
    struct talk t;
    struct collected c;
    talk_make(&t, false, false, 10);
    r->options.snap = 128;
    start(r);
    open_conn(r, 1, 4, 0);
    for (int k = 0; k < t.count; k++)
        say(r, 1, 0, &t, k, 0);
    close_conn(r, 1, 0);
    capture_close(r->capture);
    collect_file(&c, r->path);
    assert_true(c.cut_packets > 0);
    /* Every header is within the first 128 bytes: so is the next boundary. */
    assert_int_equal(c.conn[1].pdus + c.conn[1].incomplete, t.count);
    assert_int_equal(c.counts.skipped_bytes, 0);
    uint32_t whole = 0;
    for (int d = 0; d < 2; d++)
        whole += c.conn[1].len[d];
    assert_int_equal(whole + c.conn[1].missing, t.len);
    collect_free(&c);
    talk_free(&t);
}

static void a_ring_of_files_keeps_the_newest(void **state)
{
    struct rig *r = *state;
    struct talk t;
    talk_make(&t, false, false, 60);
    r->options.files = 3;
    r->options.file_size = 64 * 1024;
    start(r);
    open_conn(r, 1, 4, 0);
    for (int k = 0; k < 6; k++)
        say(r, 1, 0, &t, k, 0);
    for (int round = 0; round < 5; round++)
        for (int k = 6; k < t.count - 2; k++)
            say(r, 1, 0, &t, k, 0);
    close_conn(r, 1, 0);
    capture_close(r->capture);
    DIR *folder = opendir(r->folder);
    struct dirent *entry;
    unsigned files = 0, highest = 0, number;
    while ((entry = readdir(folder)) != NULL) {
        if (sscanf(entry->d_name, "trace.%u.pcapng", &number) != 1)
            continue;
        files++;
        highest = number > highest ? number : highest;
    }
    closedir(folder);
    assert_int_equal(files, 3);
    assert_true(highest > 5);
    for (unsigned i = highest - 2; i <= highest; i++) {
        char path[200];
        struct collected c;
        struct stat info;
        snprintf(path, sizeof path, "%s/trace.%05u.pcapng", r->folder, i);
        assert_int_equal(stat(path, &info), 0);
        assert_true(info.st_size <= 64 * 1024 + 1024);
        collect_file(&c, path);
        assert_int_equal(c.result, 0);
        assert_string_equal(c.problem, "");
        assert_int_equal(c.conns, 1);
        assert_true(c.conn[1].about.partial);
        assert_true(c.conn[1].pdus > 3);
        assert_int_equal(c.counts.skipped_bytes, 0);
        collect_free(&c);
    }
    talk_free(&t);
}

static void a_killed_program_leaves_a_readable_file(void **state)
{
    struct rig *r = *state;
    struct talk t;
    struct collected c;
    talk_make(&t, false, false, 30);
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        start(r);
        open_conn(r, 1, 4, 0);
        for (int k = 0; k < t.count; k++)
            say(r, 1, 0, &t, k, 0);
        struct timespec pause = {0, 300000000};
        nanosleep(&pause, NULL); /* many times what a frame may wait */
        (void)!write(told[1], "x", 1);
        for (;;)
            pause.tv_sec = 1000, nanosleep(&pause, NULL);
    }
    char byte;
    assert_int_equal(read(told[0], &byte, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(told[0]);
    close(told[1]);
    collect_file(&c, r->path);
    assert_int_equal(c.result, 0);
    assert_string_equal(c.problem, "");
    assert_same(&c.conn[1], &t);
    assert_false(c.conn[1].closed);
    collect_free(&c);
    talk_free(&t);
}

static void options_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        int err;
    } rows[] = {
        {"capture", "x.pcapng", 0},           {"capture", "", ERR_INVALID},
        {"capture-snap", "128", 0},           {"capture-snap", "127", ERR_INVALID},
        {"capture-snap", "x", ERR_INVALID},   {"capture-ring", "3:1M", 0},
        {"capture-ring", "3", ERR_INVALID},   {"capture-ring", "0:1M", ERR_INVALID},
        {"capture-ring", "3:1", ERR_INVALID}, {"capture-ring", ":1M", ERR_INVALID},
        {"capture-session", "*", 0},          {"capture-session", "", ERR_INVALID},
        {"capture-no-secrets", NULL, 0},      {"capture-buffer", "1M", 0},
        {"capture-buffer", "1", ERR_INVALID}, {"other", "1", ERR_NOTFOUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct capture_options options;
        char why[200] = "";
        capture_options_default(&options);
        assert_int_equal(capture_option_take(&options, rows[i].name, rows[i].value, why, sizeof why),
                         rows[i].err);
        assert_int_equal(why[0] != '\0', rows[i].err == ERR_INVALID);
    }
}

static void a_file_that_cannot_be_made_is_an_error_that_names_it(void **state)
{
    struct rig *r = *state;
    char why[300];
    r->options.path = "/nowhere/at/all.pcapng";
    assert_int_equal(capture_open(env_host(), &r->options, &r->capture, why, sizeof why), ERR_NOTFOUND);
    assert_non_null(strstr(why, "/nowhere/at/all.pcapng"));
}

static void a_full_disk_stops_the_capture_and_not_the_caller(void **state)
{
    struct rig *r = *state;
    struct talk t;
    struct capture_stats stats;
    if (access("/dev/full", W_OK) != 0)
        skip();
    r->options.path = "/dev/full";
    char why[300];
    assert_int_not_equal(capture_open(env_host(), &r->options, &r->capture, why, sizeof why), 0);
    /* A disk that fills later: a limit on the file's size. */
    r->options.path = r->path;
    talk_make(&t, false, false, 60);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {100000, 100000};
        signal(SIGXFSZ, SIG_IGN);
        log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, LOG_SINK_STDERR, "test");
        setrlimit(RLIMIT_FSIZE, &limit);
        start(r);
        open_conn(r, 1, 4, 0);
        for (int round = 0; round < 20; round++)
            for (int k = round ? 6 : 0; k < t.count - 2; k++)
                say(r, 1, 0, &t, k, 0);
        close_conn(r, 1, 0);
        struct timespec pause = {0, 100000000};
        nanosleep(&pause, NULL);
        capture_get_stats(r->capture, &stats);
        capture_close(r->capture);
        _exit(stats.err == ERR_TOOBIG || stats.err == ERR_NOSPACE ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    talk_free(&t);
}

static void a_fan_tells_all_and_is_left_out_for_one(void **state)
{
    (void)state;
    struct tap_fan fan, inner;
    tap_fan_init(&fan);
    assert_null(tap_fan_tap(&fan));
    tap_fan_init(&inner);
    tap_fan_add(&fan, NULL);
    tap_fan_add(&fan, &inner.tap);
    assert_ptr_equal(tap_fan_tap(&fan), &inner.tap);
    tap_fan_add(&fan, &inner.tap);
    assert_ptr_equal(tap_fan_tap(&fan), &fan.tap);
    struct io_addr addr = talk_addr(4, 1, 1);
    struct io_vec place = {&addr, 1};
    fan.tap.open(&fan.tap, 1, &addr, &addr, 1);
    fan.tap.bytes(&fan.tap, 1, TAP_TO_TARGET, &place, 1, 1, 2);
    fan.tap.close(&fan.tap, 1, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(every_byte_is_in_the_file_however_it_came),
        T(a_large_pdu_is_several_frames),
        T(a_connection_that_ends_within_a_pdu_is_reset),
        T(a_connection_that_moves_keeps_its_order),
        T(an_overrun_drops_whole_pdus_and_counts_them),
        T(only_sessions_of_the_pattern_are_captured),
        T(secrets_stay_out_on_request),
        T(snapped_frames_say_how_long_they_were),
        T(a_ring_of_files_keeps_the_newest),
        T(a_killed_program_leaves_a_readable_file),
        T(options_are_checked),
        T(a_file_that_cannot_be_made_is_an_error_that_names_it),
        T(a_full_disk_stops_the_capture_and_not_the_caller),
        T(a_fan_tells_all_and_is_left_out_for_one),
    };
    return cmocka_run_group_tests_name("capture_write", tests, NULL, NULL);
}
