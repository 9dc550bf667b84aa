/* The initiator library's client: connecting, hiding cuts, retrying, giving up.
 *
 * Goal: what a user sees of each failure, and that every command ends exactly once. Method: a small target on
 * the simulated network (lib_target.h) that misbehaves on request; time is virtual, so waiting costs nothing
 * and can be measured. */
#include "common/base/log.h"
#include "tests/unit/lib_target.h"
#include "tests/unit/proves.h"

static int ended; /* how often some command of the test was reported */

static void count_end(struct lnt_command *command)
{
    (void)command;
    ended++;
}

static void finish(struct fake *f, struct lnt_client *client)
{
    assert_int_equal(lnt_close(client), 0);
    lnt_client_free(client);
    fake_free(f);
}

/* A read of `blocks` at `lba`; returns the command's error, its status goes to *status. */
static int read_blocks(struct lnt_client *client, uint32_t lba, uint32_t blocks, uint8_t *out,
                       uint8_t *status)
{
    struct lnt_command command;
    struct io_vec place = {out, (size_t)blocks * FAKE_BLOCK};
    lnt_command_read(&command, 0, lba, blocks, FAKE_BLOCK, &place, 1);
    int err = lnt_execute(client, &command);
    *status = command.scsi.status;
    return err;
}

static int write_blocks(struct lnt_client *client, uint32_t lba, uint32_t blocks, uint8_t *data,
                        uint8_t *status)
{
    struct lnt_command command;
    struct io_vec place = {data, (size_t)blocks * FAKE_BLOCK};
    lnt_command_write(&command, 0, lba, blocks, FAKE_BLOCK, &place, 1, false);
    int err = lnt_execute(client, &command);
    *status = command.scsi.status;
    return err;
}

static struct fake *up(struct lnt_client **client, void (*tweak)(struct lnt_options *))
{
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    *client = fake_client(f, tweak);
    assert_int_equal(lnt_open(*client), 0);
    assert_string_equal(lnt_client_error(*client), "");
    return f;
}

/* ---- the plain case ---- */

static void reads_what_was_written(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, NULL);
    uint8_t data[8 * FAKE_BLOCK], back[sizeof data], status;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 13);
    assert_int_equal(write_blocks(client, 3, 8, data, &status), 0);
    assert_int_equal(status, 0);
    assert_int_equal(read_blocks(client, 3, 8, back, &status), 0);
    assert_int_equal(status, 0);
    assert_memory_equal(back, data, sizeof data);
    uint64_t round_trip = 0;
    assert_int_equal(lnt_ping(client, &round_trip), 0);
    assert_int_equal(lnt_close(client), 0);
    assert_int_equal(f->logouts, 1);
    assert_int_equal(read_blocks(client, 3, 8, back, &status), ERR_CLOSED);
    lnt_client_free(client);
    fake_free(f);
    PROVES("R7143-4.2.6-01", "initiator");
    PROVES("R7143-8.1.2-08", "initiator");
}

/* ---- connecting ---- */

static void a_refused_connection_fails_at_once(void **state)
{
    (void)state;
    struct fake *f = fake_new(1, NULL);
    struct lnt_client *client = fake_client(f, NULL);
    uint64_t before = sim_now(f->world);
    assert_int_equal(lnt_open(client), ERR_REFUSED);
    assert_non_null(strstr(lnt_client_error(client), "10.0.0.1:3260"));
    assert_non_null(strstr(lnt_client_error(client), "refused"));
    assert_true(sim_now(f->world) - before < FAKE_SECOND);
    fake_listen(f); /* and it can be opened again */
    assert_int_equal(lnt_open(client), 0);
    finish(f, client);
    PROVES("R7143-8.1.2-01", "initiator");
}

static void a_refused_login_fails_at_once(void **state)
{
    (void)state;
    static const struct {
        uint8_t status_class, detail;
        const char *word;
    } rows[] = {{2, 1, "authentication"}, {2, 3, "no target"}, {3, 1, "available"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fake *f = fake_new(1, NULL);
        fake_listen(f);
        f->login_refusals = 100;
        f->login_class = rows[i].status_class;
        f->login_detail = rows[i].detail;
        struct lnt_client *client = fake_client(f, NULL);
        assert_int_not_equal(lnt_open(client), 0);
        assert_int_equal(f->conn_count, 1);
        if (!strstr(lnt_client_error(client), rows[i].word))
            fail_msg("\"%s\" does not say \"%s\"", lnt_client_error(client), rows[i].word);
        finish(f, client);
    }
    PROVES("R7143-11.13.5-14", "initiator");
}

static void a_login_without_answer_times_out(void **state)
{
    (void)state;
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    f->mute_login = true;
    struct lnt_client *client = fake_client(f, NULL);
    uint64_t before = sim_now(f->world);
    assert_int_not_equal(lnt_open(client), 0);
    assert_non_null(strstr(lnt_client_error(client), "time"));
    assert_true(sim_now(f->world) - before < 60 * FAKE_SECOND);
    finish(f, client);
}

static void a_redirection_is_followed_and_a_circle_is_not(void **state)
{
    (void)state;
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    f->redirect = "10.0.0.1:3260,1"; /* to itself, once */
    struct lnt_client *client = fake_client(f, NULL);
    assert_int_equal(lnt_open(client), 0);
    assert_int_equal(f->conn_count, 2);
    finish(f, client);

    f = fake_new(1, NULL);
    fake_listen(f);
    f->redirect = "not an address";
    client = fake_client(f, NULL);
    assert_int_not_equal(lnt_open(client), 0);
    assert_non_null(strstr(lnt_client_error(client), "redirect"));
    finish(f, client);
    PROVES("R7143-13.8-01", "initiator");
}

/* ---- cuts ---- */

static void cuts_are_invisible_and_nothing_is_lost(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, NULL);
    uint8_t data[FAKE_BLOCK], back[FAKE_BLOCK], status;
    f->cut_at_command = f->cut_every = 3;
    for (uint32_t i = 0; i < 40; i++) {
        memset(data, (int)i + 1, sizeof data);
        assert_int_equal(write_blocks(client, i, 1, data, &status), 0);
        assert_int_equal(status, 0);
        assert_int_equal(read_blocks(client, i, 1, back, &status), 0);
        assert_memory_equal(back, data, sizeof data);
    }
    assert_true(lnt_client_reconnects(client) > 5);
    assert_int_equal(lnt_client_reconnects(client) + 1, f->logins);
    finish(f, client);
    PROVES("R7143-4.4.3.1-01", "initiator");
    PROVES("R7143-6.3.5-01", "initiator");
    PROVES("R7143-7.1.4.3-01", "initiator");
    PROVES("R7143-7.14-03", "initiator");
    PROVES("R7143-7.15-01", "initiator");
}

static void many_commands_in_flight_survive_cuts_exactly_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim_options faults = {.split = 200, .net_delay_ns = 3000000};
        enum { MANY = 60 };
        struct fake *f = fake_new(seed, &faults);
        fake_listen(f);
        struct lnt_client *client = fake_client(f, NULL);
        struct lnt_command *commands = calloc(MANY, sizeof *commands);
        uint8_t *data = calloc(MANY, FAKE_BLOCK);
        struct io_vec places[MANY];
        assert_true(commands && data);
        assert_int_equal(lnt_open(client), 0);
        f->cut_at_command = 1 + (int)(seed % 17);
        f->cut_every = seed % 3 ? f->cut_at_command : 0;
        ended = 0;
        for (uint32_t i = 0; i < MANY; i++) {
            memset(data + i * FAKE_BLOCK, (int)i + 1, FAKE_BLOCK);
            places[i] = (struct io_vec){data + i * FAKE_BLOCK, FAKE_BLOCK};
            lnt_command_write(&commands[i], 0, i, 1, FAKE_BLOCK, &places[i], 1, false);
            commands[i].done = count_end;
            lnt_client_submit(client, &commands[i]);
        }
        for (int turns = 0; ended < MANY && turns < 100000; turns++) {
            io_run(f->client_io, UINT64_MAX);
            if (turns == 500) /* enough: cutting after each command would never let the last ones through */
                f->cut_at_command = 0;
        }
        assert_int_equal(ended, MANY);
        for (uint32_t i = 0; i < MANY; i++) {
            assert_int_equal(commands[i].error, 0);
            assert_int_equal(commands[i].scsi.status, 0);
            assert_int_equal(f->blocks[i * FAKE_BLOCK], i + 1);
        }
        finish(f, client);
        assert_int_equal(ended, MANY);
        free(commands);
        free(data);
    }
}

static void an_announced_drop_is_waited_out(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, NULL);
    struct lnt_command command;
    uint8_t data[FAKE_BLOCK];
    struct io_vec place = {data, sizeof data};
    f->cut_at_command = 1;
    f->announce_drops = true;
    lnt_command_read(&command, 0, 0, 1, FAKE_BLOCK, &place, 1);
    command.done = count_end;
    ended = 0;
    uint64_t before = sim_now(f->world);
    lnt_client_submit(client, &command);
    while (f->conn_count < 2)
        io_run(f->client_io, sim_now(f->world) + FAKE_SECOND);
    assert_true(sim_now(f->world) - before >= 3 * FAKE_SECOND &&
                sim_now(f->world) - before < 5 * FAKE_SECOND);
    f->mute_commands = f->announce_drops = false;
    f->cut_at_command = 0;
    while (!ended)
        io_run(f->client_io, sim_now(f->world) + FAKE_SECOND);
    assert_int_equal(command.error, 0);
    finish(f, client);
    PROVES("R7143-11.9.1-08", "initiator");
    PROVES("R7143-7.1.4.3-06", "initiator");
}

static void commands_that_may_not_be_repeated_fail_on_a_cut(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, NULL);
    struct lnt_command command;
    uint8_t cdb[6] = {0}, status, data[FAKE_BLOCK];
    lnt_command_cdb(&command, 0, cdb, 6, NULL, 0, NULL, 0);
    f->cut_at_command = 1;
    assert_int_equal(lnt_execute(client, &command), ERR_CLOSED);
    assert_int_equal(read_blocks(client, 0, 1, data, &status), 0); /* but the client goes on */
    finish(f, client);
    PROVES("R7143-7.1.4.4-02", "initiator");
}

static void two_seconds(struct lnt_options *options)
{
    options->replacement_timeout_ns = 2 * FAKE_SECOND;
}

static void a_target_that_stays_away_is_given_up_in_time(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, two_seconds);
    uint8_t data[FAKE_BLOCK], status;
    fake_vanish(f);
    uint64_t before = sim_now(f->world);
    assert_int_not_equal(read_blocks(client, 0, 1, data, &status), 0);
    uint64_t took = sim_now(f->world) - before;
    assert_true(took >= 1 * FAKE_SECOND && took < 10 * FAKE_SECOND);
    assert_non_null(strstr(lnt_client_error(client), "refused"));

    struct lnt_command late; /* submitted after it gave up: still reported */
    struct io_vec place = {data, sizeof data};
    lnt_command_read(&late, 0, 0, 1, FAKE_BLOCK, &place, 1);
    late.done = count_end;
    ended = 0;
    lnt_client_submit(client, &late);
    for (int i = 0; i < 100 && !ended; i++)
        io_run(f->client_io, sim_now(f->world) + FAKE_SECOND);
    assert_int_equal(ended, 1);
    assert_int_not_equal(late.error, 0);

    fake_listen(f); /* it comes back: opening again works */
    assert_int_equal(lnt_open(client), 0);
    assert_int_equal(read_blocks(client, 0, 1, data, &status), 0);
    finish(f, client);
}

static void no_replacement(struct lnt_options *options)
{
    options->replacement_timeout_ns = 0;
}

static void without_replacement_time_commands_fail_at_once(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, no_replacement);
    uint8_t data[FAKE_BLOCK], status;
    f->cut_at_command = 1;
    uint64_t before = sim_now(f->world);
    assert_int_not_equal(read_blocks(client, 0, 1, data, &status), 0);
    assert_true(sim_now(f->world) - before < FAKE_SECOND);
    finish(f, client);
}

static void a_target_that_stops_answering_pings_is_left(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, NULL);
    uint8_t data[FAKE_BLOCK], status;
    f->mute_commands = f->mute_nop = true;
    struct lnt_command command;
    struct io_vec place = {data, sizeof data};
    lnt_command_read(&command, 0, 0, 1, FAKE_BLOCK, &place, 1);
    command.done = count_end;
    ended = 0;
    lnt_client_submit(client, &command);
    for (int i = 0; i < 1000 && f->conn_count < 2; i++)
        io_run(f->client_io, sim_now(f->world) + FAKE_SECOND);
    assert_int_equal(f->conn_count, 2); /* half-open: found out by the ping */
    f->mute_commands = f->mute_nop = false;
    f->cut_at_command = f->commands + 1;
    for (int i = 0; i < 1000 && !ended; i++)
        io_run(f->client_io, sim_now(f->world) + FAKE_SECOND);
    assert_int_equal(ended, 1);
    assert_int_equal(command.error, 0);
    assert_int_equal(read_blocks(client, 0, 1, data, &status), 0);
    finish(f, client);
    PROVES("R7143-7.14-01", "initiator");
}

/* ---- statuses that ask for another try ---- */

static void passing_statuses_are_retried(void **state)
{
    (void)state;
    static const struct {
        uint8_t status, key;
    } rows[] = {{2, 6}, {8, 0}, {0x28, 0}, {0x40, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lnt_client *client;
        struct fake *f = up(&client, NULL);
        uint8_t data[FAKE_BLOCK], status;
        f->bad_statuses = 3;
        f->bad_status = rows[i].status;
        f->bad_key = rows[i].key;
        assert_int_equal(read_blocks(client, 0, 1, data, &status), 0);
        assert_int_equal(status, 0);
        assert_int_equal(f->commands, 4);
        finish(f, client);
    }
}

static void other_statuses_reach_the_caller(void **state)
{
    (void)state;
    static const struct {
        uint8_t status, key;
    } rows[] = {{2, 5}, {2, 3}, {0x18, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lnt_client *client;
        struct fake *f = up(&client, NULL);
        uint8_t data[FAKE_BLOCK], status;
        f->bad_statuses = 1;
        f->bad_status = rows[i].status;
        f->bad_key = rows[i].key;
        assert_int_equal(read_blocks(client, 0, 1, data, &status), 0);
        assert_int_equal(status, rows[i].status);
        assert_int_equal(f->commands, 1);
        finish(f, client);
    }
}

static void three_seconds_per_command(struct lnt_options *options)
{
    options->command_timeout_ns = 3 * FAKE_SECOND;
}

/* Too much to do: for as long as the command may take. Else: so often. */
static void a_status_that_never_passes_ends_the_command(void **state)
{
    (void)state;
    static const struct {
        uint8_t status;
        bool three_seconds;
        uint64_t seconds;
        int commands; /* 0: one each 20 ms */
    } rows[] = {{8, false, 30, 0}, {0x28, false, 30, 0}, {8, true, 3, 0}, {0x40, false, 0, 65}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lnt_client *client;
        struct fake *f = up(&client, rows[i].three_seconds ? three_seconds_per_command : NULL);
        uint8_t data[FAKE_BLOCK], status;
        f->bad_statuses = 1000000;
        f->bad_status = rows[i].status;
        uint64_t before = sim_now(f->world);
        assert_int_equal(read_blocks(client, 0, 1, data, &status), 0);
        assert_int_equal(status, rows[i].status);
        assert_int_equal((sim_now(f->world) - before) / FAKE_SECOND, rows[i].seconds);
        if (rows[i].commands)
            assert_int_equal(f->commands, rows[i].commands);
        else
            assert_in_range(f->commands, rows[i].seconds * 45, rows[i].seconds * 50 + 1);
        finish(f, client);
    }
}

static void a_target_may_be_busy_for_seconds(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, NULL);
    uint8_t data[FAKE_BLOCK], status;
    for (int i = 0; i < 3; i++) { /* each command has its own time */
        f->bad_statuses = 1000;   /* about 20 s */
        f->bad_status = 8;
        assert_int_equal(read_blocks(client, 0, 1, data, &status), 0);
        assert_int_equal(status, 0);
    }
    finish(f, client);
}

/* ---- late commands ---- */

static void a_late_command_is_aborted(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, three_seconds_per_command);
    uint8_t data[FAKE_BLOCK], status;
    f->mute_commands = true;
    uint64_t before = sim_now(f->world);
    assert_int_equal(read_blocks(client, 0, 1, data, &status), ERR_TIMEOUT);
    uint64_t took = sim_now(f->world) - before;
    assert_true(took >= 3 * FAKE_SECOND && took < 4 * FAKE_SECOND);
    assert_int_equal(f->tmf_abort, 1);
    assert_int_equal(f->tmf_reset, 0);
    f->mute_commands = false;
    assert_int_equal(read_blocks(client, 0, 1, data, &status), 0);
    assert_int_equal(f->conn_count, 1); /* the session lives */
    finish(f, client);
    PROVES("R7143-7.11-02", "initiator");
}

/* Refused or unanswered aborts lead to a LOGICAL UNIT RESET, then to a new connection; never to a flood. */
static void an_abort_that_fails_is_followed_by_stronger_means(void **state)
{
    (void)state;
    for (int mute = 0; mute < 2; mute++) {
        struct lnt_client *client;
        struct fake *f = up(&client, three_seconds_per_command);
        uint8_t data[FAKE_BLOCK], status;
        f->mute_commands = true;
        f->mute_tmf = mute;
        f->tmf_response = 5;
        uint64_t before = sim_now(f->world);
        assert_int_equal(read_blocks(client, 0, 1, data, &status), ERR_TIMEOUT);
        assert_true(sim_now(f->world) - before < 30 * FAKE_SECOND);
        assert_int_equal(f->tmf_abort, 1);
        assert_int_equal(f->tmf_reset, 1);
        f->mute_commands = false;
        assert_int_equal(read_blocks(client, 0, 1, data, &status), 0);
        assert_int_equal(status, 0);
        assert_int_equal(f->conn_count, 2);
        finish(f, client);
    }
}

/* A cut that lasts longer than a command's time does not make the command late when it goes again. */
static void time_in_a_cut_does_not_count_as_a_commands_time(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, three_seconds_per_command);
    struct lnt_command command;
    uint8_t data[FAKE_BLOCK];
    struct io_vec place = {data, sizeof data};
    fake_vanish(f);
    lnt_command_read(&command, 0, 0, 1, FAKE_BLOCK, &place, 1);
    command.done = count_end;
    ended = 0;
    lnt_client_submit(client, &command);
    uint64_t limit = sim_now(f->world) + 20 * FAKE_SECOND;
    while (sim_now(f->world) < limit)
        io_run(f->client_io, limit);
    assert_int_equal(ended, 0);
    fake_listen(f);
    for (int i = 0; i < 1000 && !ended; i++)
        io_run(f->client_io, sim_now(f->world) + FAKE_SECOND);
    assert_int_equal(ended, 1);
    assert_int_equal(command.error, 0);
    assert_int_equal(f->tmf_abort, 0);
    finish(f, client);
}

/* ---- closing, discovery ---- */

static void closing_does_not_wait_for_a_mute_target(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, NULL);
    f->mute_logout = f->mute_nop = true;
    uint64_t before = sim_now(f->world);
    assert_int_equal(lnt_close(client), 0);
    assert_true(sim_now(f->world) - before < 10 * FAKE_SECOND);
    assert_int_equal(f->logouts, 1);
    lnt_client_free(client);
    fake_free(f);
    PROVES("R7143-8.1.2-18", "initiator");
}

static void discovery_lists_targets_and_addresses(void **state)
{
    (void)state;
    static const char text[] = "TargetName=iqn.2026-01.com.example:a\0TargetAddress=10.0.0.1:3260,1\0"
                               "TargetAddress=[2001:db8::1]:3261,2\0TargetName=iqn.2026-01.com.example:b";
    static const char *const want[][2] = {
        {"iqn.2026-01.com.example:a", "10.0.0.1:3260,1"},
        {"iqn.2026-01.com.example:a", "[2001:db8::1]:3261,2"},
        {"iqn.2026-01.com.example:b", "10.0.0.1:3260,1"}}; /* where we asked */
    struct fake *f = fake_new(1, NULL);
    struct lnt_url url;
    struct lnt_options options;
    struct list_node targets;
    char why[300] = "";
    fake_listen(f);
    list_init(&targets);
    f->targets = text;
    f->targets_len = sizeof text;
    assert_int_equal(lnt_url_parse("iscsi://10.0.0.1", &url, why, sizeof why), 0);
    lnt_options_default(&options);
    if (lnt_discover(sim_env(f->world), f->client_io, &url, &options, &targets, why, sizeof why) != 0)
        fail_msg("%s", why);
    size_t n = 0;
    list_for_each(node, &targets)
    {
        struct lnt_target *t = list_entry(node, struct lnt_target, node);
        assert_true(n < 3);
        assert_string_equal(t->name, want[n][0]);
        assert_string_equal(t->address, want[n][1]);
        n++;
    }
    assert_int_equal(n, 3);
    lnt_targets_free(sim_env(f->world), &targets);

    static const char *const bad[] = {"TargetName=not a name", "TargetAddress",
                                      "TargetName=iqn.2026-01.com.example:a\nx"};
    for (size_t i = 0; i < 3; i++) {
        f->targets = bad[i];
        f->targets_len = (uint32_t)strlen(bad[i]) + 1;
        assert_int_not_equal(
            lnt_discover(sim_env(f->world), f->client_io, &url, &options, &targets, why, sizeof why), 0);
        assert_true(why[0] != 0);
        assert_true(list_empty(&targets));
    }
    fake_free(f);
    PROVES("R7143-C-16", "initiator");
    PROVES("R7143-13.8-02", "initiator");
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, LOG_SINK_STDERR,
              "test_lib_client"); /* cuts are warnings, and many here */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(a_refused_connection_fails_at_once),
        cmocka_unit_test(a_refused_login_fails_at_once),
        cmocka_unit_test(a_login_without_answer_times_out),
        cmocka_unit_test(a_redirection_is_followed_and_a_circle_is_not),
        cmocka_unit_test(cuts_are_invisible_and_nothing_is_lost),
        cmocka_unit_test(many_commands_in_flight_survive_cuts_exactly_once),
        cmocka_unit_test(an_announced_drop_is_waited_out),
        cmocka_unit_test(commands_that_may_not_be_repeated_fail_on_a_cut),
        cmocka_unit_test(a_target_that_stays_away_is_given_up_in_time),
        cmocka_unit_test(without_replacement_time_commands_fail_at_once),
        cmocka_unit_test(a_target_that_stops_answering_pings_is_left),
        cmocka_unit_test(passing_statuses_are_retried),
        cmocka_unit_test(other_statuses_reach_the_caller),
        cmocka_unit_test(a_status_that_never_passes_ends_the_command),
        cmocka_unit_test(a_target_may_be_busy_for_seconds),
        cmocka_unit_test(a_late_command_is_aborted),
        cmocka_unit_test(an_abort_that_fails_is_followed_by_stronger_means),
        cmocka_unit_test(time_in_a_cut_does_not_count_as_a_commands_time),
        cmocka_unit_test(closing_does_not_wait_for_a_mute_target),
        cmocka_unit_test(discovery_lists_targets_and_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
