/* The initiator library: sessions with many connections, recovery within and across sessions, redirects,
 * messages.
 *
 * Goal: whatever happens to single connections, to all of them or to the target, each command ends exactly
 * once, rightly, and within the times that were agreed. Method: the small target of lib_target.h on the
 * simulated network; time is virtual, so waits are measured exactly. */
#include "common/base/log.h"
#include "common/capture/tap.h"
#include "tests/unit/lib_target.h"
#include "tests/unit/proves.h"

enum { MANY = 40 };

struct load { /* writes of one block each, all at once */
    struct lnt_command commands[MANY];
    struct io_vec places[MANY];
    uint8_t data[MANY][FAKE_BLOCK];
    int ended;
};

static void load_ended(struct lnt_command *command)
{
    ((struct load *)command->owner)->ended++;
}

static struct load *load_start(struct lnt_client *client, uint8_t stamp)
{
    struct load *load = calloc(1, sizeof *load);
    assert_non_null(load);
    for (uint32_t i = 0; i < MANY; i++) {
        memset(load->data[i], stamp + (int)i, FAKE_BLOCK);
        load->places[i] = (struct io_vec){load->data[i], FAKE_BLOCK};
        lnt_command_write(&load->commands[i], 0, i, 1, FAKE_BLOCK, &load->places[i], 1, false);
        load->commands[i].done = load_ended;
        load->commands[i].owner = load;
        lnt_client_submit(client, &load->commands[i]);
    }
    return load;
}

static void run_for(struct fake *f, uint64_t ns)
{
    uint64_t until = sim_now(f->world) + ns;
    while (sim_now(f->world) < until)
        io_run(f->client_io, until);
}

/* Runs until all have ended, within `ns`; every one GOOD and its data there. */
static void load_finish(struct fake *f, struct load *load, uint64_t ns)
{
    uint64_t until = sim_now(f->world) + ns;
    while (load->ended < MANY && sim_now(f->world) < until)
        io_run(f->client_io, until);
    assert_int_equal(load->ended, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(load->commands[i].error, 0);
        assert_int_equal(load->commands[i].scsi.status, 0);
        assert_memory_equal(f->blocks + i * FAKE_BLOCK, load->data[i], FAKE_BLOCK);
    }
    free(load);
}

static void finish(struct fake *f, struct lnt_client *client)
{
    assert_int_equal(lnt_close(client), 0);
    lnt_client_free(client);
    fake_free(f);
}

static void four(struct lnt_options *options)
{
    options->connections = 4;
}

static void one(struct lnt_options *options)
{
    options->connections = 1;
}

static struct fake *up(struct lnt_client **client, uint32_t connections, uint32_t level,
                       void (*tweak)(struct lnt_options *))
{
    struct fake *f = fake_new(1, NULL);
    f->max_connections = connections;
    f->level = level;
    fake_listen(f);
    *client = fake_client(f, tweak);
    assert_int_equal(lnt_open(*client), 0);
    run_for(f, FAKE_SECOND / 2);
    return f;
}

static struct fake_conn *nth_up(struct fake *f, int n)
{
    for (int i = 0; i < f->conn_count; i++)
        if (f->conns[i]->up && f->conns[i]->open && n-- == 0)
            return f->conns[i];
    fail_msg("no such connection");
    return NULL;
}

/* ---- many connections ---- */

static void as_many_connections_come_up_as_the_target_grants(void **state)
{
    (void)state;
    for (uint32_t granted = 1; granted <= 5; granted++) {
        struct lnt_client *client;
        uint32_t want = granted < 4 ? granted : 4;
        struct fake *f = up(&client, granted, 0, four);
        assert_int_equal(lnt_client_connections(client), want);
        assert_int_equal(f->further, want - 1);
        assert_int_equal(f->sessions, 1);
        load_finish(f, load_start(client, 1), FAKE_SECOND);
        finish(f, client);
    }
    PROVES("R7143-13.2-01", "initiator");
    PROVES("R7143-4.4.3-04", "initiator"); /* the target refuses any other TSIH */
}

static uint64_t time_to_close(uint32_t connections, bool target_closes)
{
    struct lnt_client *client;
    struct fake *f = up(&client, connections, 0, four);
    assert_int_equal(lnt_client_connections(client), connections);
    f->closes_others = target_closes;
    uint64_t before = sim_now(f->world);
    assert_int_equal(lnt_close(client), 0);
    uint64_t took = sim_now(f->world) - before;
    assert_int_equal(f->logouts, 1);
    assert_int_equal(f->logout_reasons[0], 1);
    lnt_client_free(client);
    fake_free(f);
    return took;
}

/* LIO's kernel does not live through connections that end while it closes the session's others
 * (docs/interop.md), so the target is given a second to close them. */
static void the_target_closes_the_connections_of_a_session_that_logged_out(void **state)
{
    (void)state;
    assert_true(time_to_close(1, false) < FAKE_SECOND / 10);
    assert_in_range(time_to_close(4, false), FAKE_SECOND, FAKE_SECOND * 11 / 10);
    assert_true(time_to_close(4, true) <
                FAKE_SECOND / 10); /* closed ahead of the answer: nothing to wait for */
}

static void a_refused_connection_does_not_hurt_the_others(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = fake_new(1, NULL);
    f->max_connections = 4;
    f->refuse_further = true;
    fake_listen(f);
    client = fake_client(f, four);
    assert_int_equal(lnt_open(client), 0);
    run_for(f, 60 * FAKE_SECOND);
    assert_int_equal(lnt_client_connections(client), 1);
    assert_int_equal(f->conn_count, 4); /* each was tried once: the refusal is final */
    load_finish(f, load_start(client, 1), FAKE_SECOND);
    finish(f, client);
}

static void every_connection_answers_pings(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 4, 0, four);
    uint32_t cids = 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t ns = 0;
        uint16_t cid = 99;
        assert_int_equal(lnt_ping_connection(client, i, &cid, &ns), 0);
        assert_true(cid < 32);
        cids |= 1u << cid;
    }
    assert_int_equal(__builtin_popcount(cids), 4);
    assert_int_equal(f->pings, 4);
    uint64_t ns;
    uint16_t cid;
    assert_int_equal(lnt_ping_connection(client, 4, &cid, &ns), ERR_NOTFOUND);
    f->mute_nop = true;
    assert_int_equal(lnt_ping_connection(client, 0, &cid, &ns), ERR_TIMEOUT);
    finish(f, client);
}

static void task_management_reaches_the_target(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 1, 0, one);
    uint8_t response = 99;
    f->tmf_response = 0;
    assert_int_equal(lnt_task_management(client, 5, 0, &response), 0);
    assert_int_equal(response, 0);
    assert_int_equal(f->tmf_reset, 1);
    f->tmf_response = 5;
    assert_int_equal(lnt_task_management(client, 5, 0, &response), 0);
    assert_int_equal(response, 5);
    finish(f, client);
}

/* ---- level 0: the session ends and another one follows ---- */

static void without_recovery_one_lost_connection_costs_the_session(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 4, 0, four);
    struct load *load = load_start(client, 7);
    fake_conn_end(nth_up(f, 2));
    load_finish(f, load, 20 * FAKE_SECOND);
    run_for(f, FAKE_SECOND);
    assert_int_equal(lnt_client_reconnects(client), 1);
    assert_int_equal(f->sessions, 2);
    assert_int_equal(lnt_client_connections(client), 4);
    finish(f, client);
    PROVES("R7143-7.14-01", "initiator");
}

/* DefaultTime2Wait is 2 s on the target's side; the greater value counts. */
static void after_a_cut_that_nobody_announced_time2wait_is_kept(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 1, 0, one);
    uint64_t before = sim_now(f->world);
    fake_conn_end(nth_up(f, 0));
    load_finish(f, load_start(client, 3), 20 * FAKE_SECOND);
    uint64_t took = sim_now(f->world) - before;
    assert_true(took >= 2 * FAKE_SECOND && took < 4 * FAKE_SECOND);
    finish(f, client);
    PROVES("R7143-7.5.1-01", "initiator");
}

/* A target that takes every login and ends each one with the first command is no target: the replacement
 * time-out counts on through such sessions. */
static void logins_that_lead_nowhere_do_not_go_on_for_ever(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 1, 0, one);
    struct lnt_command command;
    uint8_t data[FAKE_BLOCK];
    struct io_vec place = {data, sizeof data};
    f->cut_at_command = f->cut_every = 1;
    uint64_t before = sim_now(f->world);
    lnt_command_read(&command, 0, 0, 1, FAKE_BLOCK, &place, 1);
    assert_int_not_equal(lnt_execute(client, &command), 0);
    uint64_t took = sim_now(f->world) - before;
    assert_true(took > 60 * FAKE_SECOND && took < 300 * FAKE_SECOND);
    finish(f, client);
}

/* ---- level 2: the session lives on ---- */

static void a_lost_connections_commands_move_to_another(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 4, 2, four);
    f->mute_commands = true; /* they stay with the target */
    struct load *load = load_start(client, 9);
    run_for(f, FAKE_SECOND / 10);
    assert_int_equal(load->ended, 0);
    f->mute_commands = false;
    for (int i = 0; i < 4; i++) /* all four in turn: what was not on one was on another */
        if (f->conns[i]->open)
            fake_conn_end(f->conns[i]), run_for(f, 4 * FAKE_SECOND);
    load_finish(f, load, 60 * FAKE_SECOND);
    struct lnt_counters counters;
    lnt_client_counters(client, &counters);
    assert_int_equal(lnt_client_reconnects(client), 0);
    assert_int_equal(f->sessions, 1);
    assert_int_equal(counters.reissued, 0);
    assert_int_equal(counters.connections_lost, 4);
    assert_true(counters.recovery.reassigns >= 24);
    assert_int_equal(lnt_client_connections(client), 4);
    assert_true(f->logout_reasons[2] > 0);
    finish(f, client);
    PROVES("R7143-7.1.4.3-02", "initiator");
}

static void a_session_without_any_connection_gets_one_after_time2wait(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 1, 2, one);
    f->mute_commands = true;
    struct load *load = load_start(client, 5);
    run_for(f, FAKE_SECOND / 10);
    f->mute_commands = false;
    uint64_t before = sim_now(f->world);
    fake_conn_end(nth_up(f, 0));
    while (f->conn_count < 2)
        io_run(f->client_io, sim_now(f->world) + FAKE_SECOND / 10);
    uint64_t took = sim_now(f->world) - before;
    assert_true(took >= 2 * FAKE_SECOND && took < 3 * FAKE_SECOND);
    load_finish(f, load, 20 * FAKE_SECOND);
    assert_int_equal(lnt_client_reconnects(client), 0);
    assert_int_equal(f->reassigns, MANY < 32 ? MANY : 32); /* what the window had let out */
    finish(f, client);
    PROVES("R7143-7.5-01", "initiator");
    PROVES("R7143-7.5.1-01", "initiator");
}

static void a_target_that_forgot_the_session_gets_a_new_one(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 2, 2, four);
    f->mute_commands = true;
    struct load *load = load_start(client, 5);
    run_for(f, FAKE_SECOND / 10);
    f->mute_commands = false;
    f->forget_session = true;
    fake_conn_end(f->conns[0]);
    fake_conn_end(f->conns[1]);
    load_finish(f, load, 6 * FAKE_SECOND); /* long before Time2Retain is over */
    assert_int_equal(lnt_client_reconnects(client), 1);
    struct lnt_counters counters;
    lnt_client_counters(client, &counters);
    assert_true(counters.reissued > 0);
    finish(f, client);
}

static void two_seconds(struct lnt_options *options)
{
    options->connections = 2;
    options->replacement_timeout_ns = 2 * FAKE_SECOND;
}

static void a_target_that_stays_away_is_given_up_in_time_at_level_2(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 2, 2, two_seconds);
    struct lnt_command command;
    uint8_t data[FAKE_BLOCK];
    struct io_vec place = {data, sizeof data};
    fake_vanish(f);
    uint64_t before = sim_now(f->world);
    lnt_command_read(&command, 0, 0, 1, FAKE_BLOCK, &place, 1);
    assert_int_not_equal(lnt_execute(client, &command), 0);
    uint64_t took = sim_now(f->world) - before;
    assert_true(took >= 1 * FAKE_SECOND &&
                took < 3 * FAKE_SECOND); /* once, not once more for a new session */
    assert_true(lnt_client_error(client)[0] != 0);
    fake_listen(f); /* opening again works */
    assert_int_equal(lnt_open(client), 0);
    assert_int_equal(lnt_execute(client, &command), 0);
    finish(f, client);
}

static void three_seconds_per_command(struct lnt_options *options)
{
    options->connections = 2;
    options->command_timeout_ns = 3 * FAKE_SECOND;
}

/* Level 2 keeps a command over any number of connections: when neither it nor its abort is answered, only
 * another session helps. */
static void a_command_that_is_never_answered_ends_at_level_2_too(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 2, 2, three_seconds_per_command);
    struct lnt_command command;
    uint8_t data[FAKE_BLOCK];
    struct io_vec place = {data, sizeof data};
    f->mute_commands = f->mute_tmf = true;
    uint64_t before = sim_now(f->world);
    lnt_command_read(&command, 0, 0, 1, FAKE_BLOCK, &place, 1);
    assert_int_equal(lnt_execute(client, &command), ERR_TIMEOUT);
    assert_true(sim_now(f->world) - before < 30 * FAKE_SECOND);
    assert_int_equal(f->tmf_abort, 1);
    assert_int_equal(f->tmf_reset, 1);
    f->mute_commands = f->mute_tmf = false;
    load_finish(f, load_start(client, 1), 20 * FAKE_SECOND);
    assert_int_equal(f->sessions, 2);
    finish(f, client);
}

/* Time that passes while no connection is there is not the command's. */
static void time_without_connections_does_not_count_as_a_commands_time(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 2, 2, three_seconds_per_command);
    f->mute_commands = true;
    struct load *load = load_start(client, 1);
    run_for(f, FAKE_SECOND);
    f->mute_commands = false;
    fake_vanish(f);
    run_for(f, 8 * FAKE_SECOND);
    assert_int_equal(load->ended, 0);
    fake_listen(f);
    load_finish(f, load, 20 * FAKE_SECOND);
    assert_int_equal(f->tmf_abort, 0);
    assert_int_equal(f->sessions, 1);
    finish(f, client);
}

static void closing_without_any_connection_works(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 2, 2, four);
    fake_vanish(f);
    run_for(f, FAKE_SECOND);
    uint64_t before = sim_now(f->world);
    assert_int_equal(lnt_close(client), 0);
    assert_true(sim_now(f->world) - before < 10 * FAKE_SECOND);
    lnt_client_free(client);
    fake_free(f);
}

/* Cuts at random moments, at every level, with the network splitting and delaying what it likes. */
static void cuts_at_random_lose_nothing_at_any_level(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 45; seed++) {
        struct sim_options faults = {.split = 200, .net_delay_ns = 3000000};
        struct fake *f = fake_new(seed, &faults);
        f->level = (uint32_t)(seed % 3);
        f->max_connections = 1 + (uint32_t)(seed % 5);
        fake_listen(f);
        struct lnt_client *client = fake_client(f, four);
        assert_int_equal(lnt_open(client), 0);
        f->cut_at_command = 1 + (int)(seed % 17);
        f->cut_every = 7 + (int)(seed % 29);
        uint64_t random = seed;
        for (uint8_t round = 0; round < 3; round++) {
            struct load *load = load_start(client, (uint8_t)(round * MANY + 1));
            random = random * 6364136223846793005u + 1442695040888963407u;
            run_for(f, random >> 40);
            if (f->conns[f->conn_count - 1]->open)
                fake_conn_end(f->conns[f->conn_count - 1]);
            /* Enough: at level 0, cutting after every few commands would never let the last ones through. */
            run_for(f, 20 * FAKE_SECOND);
            f->cut_at_command = 0;
            load_finish(f, load, 100 * FAKE_SECOND);
            f->cut_at_command = f->commands + 5;
        }
        finish(f, client);
    }
}

/* ---- redirects ---- */

static void a_temporary_redirect_is_forgotten_and_a_permanent_one_kept(void **state)
{
    (void)state;
    for (int permanent = 0; permanent < 2; permanent++) {
        struct fake *f = fake_new(1, NULL);
        fake_listen(f);
        fake_listen_at(f, 1, "10.0.0.2:3261");
        fake_listen_at(f, 2, "[2001:db8::7]:3262");
        f->places[0].redirect = "10.0.0.2:3261";
        f->places[0].permanent = f->places[1].permanent = permanent;
        f->places[1].redirect = "[2001:db8::7]:3262";
        struct lnt_client *client = fake_client(f, one);
        assert_int_equal(lnt_open(client), 0);
        assert_int_equal(f->places[0].accepted, 1);
        assert_int_equal(f->places[1].accepted, 1);
        assert_int_equal(f->places[2].accepted, 1);
        fake_conn_end(nth_up(f, 0));
        load_finish(f, load_start(client, 1), 20 * FAKE_SECOND);
        assert_int_equal(f->places[0].accepted, permanent ? 1 : 2);
        assert_int_equal(f->places[2].accepted, 2);
        struct lnt_counters counters;
        lnt_client_counters(client, &counters);
        assert_int_equal(counters.redirects, permanent ? 2 : 4);
        finish(f, client);
    }
    PROVES("R7143-11.13.5-04", "initiator");
}

static void none(struct lnt_options *options)
{
    options->redirects_max = 0;
}

static void redirects_have_a_bound_and_circles_are_seen(void **state)
{
    (void)state;
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    fake_listen_at(f, 1, "10.0.0.2:3260");
    f->places[0].redirect = "10.0.0.2";
    f->places[1].redirect = "10.0.0.1:3260";
    struct lnt_client *client = fake_client(f, one);
    assert_int_not_equal(lnt_open(client), 0);
    assert_non_null(strstr(lnt_client_error(client), "circle"));
    assert_true(f->conn_count <= 4);
    finish(f, client);

    f = fake_new(1, NULL);
    fake_listen(f);
    f->places[0].redirect = "10.0.0.2:3260,1";
    client = fake_client(f, none);
    assert_int_not_equal(lnt_open(client), 0);
    assert_non_null(strstr(lnt_client_error(client), "10.0.0.2:3260"));
    assert_non_null(strstr(lnt_client_error(client), "off"));
    assert_int_equal(f->conn_count, 1);
    finish(f, client);
}

/* A redirect of a further connection holds for that one, once. */
static void a_further_connection_may_be_redirected(void **state)
{
    (void)state;
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    fake_listen_at(f, 1, "10.0.0.2:3260");
    f->max_connections = 3;
    struct lnt_client *client = fake_client(f, four);
    assert_int_equal(lnt_open(client), 0);
    f->redirect = "10.0.0.2:3260"; /* whoever comes next */
    run_for(f, FAKE_SECOND);
    assert_int_equal(lnt_client_connections(client), 3);
    assert_int_equal(f->places[0].accepted, 3);
    assert_int_equal(f->places[1].accepted, 1);
    assert_int_equal(f->sessions, 1);
    load_finish(f, load_start(client, 1), FAKE_SECOND);
    finish(f, client);
}

static void spread_four(struct lnt_options *options)
{
    options->connections = 4;
    options->spread = true;
}

/* Of the portals that the target names, only those of its own name and of the session's portal group count.
 */
static void connections_spread_over_the_portal_group(void **state)
{
    (void)state;
    static const char text[] =
        "TargetName=" FAKE_NAME "\0TargetAddress=10.0.0.1:3260,1\0TargetAddress=10.0.0.2:3260,1\0"
        "TargetAddress=10.0.0.3:3260,2\0TargetName=iqn.2026-01.com.example:other\0TargetAddress=10.0.0.3:"
        "3260,1";
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    fake_listen_at(f, 1, "10.0.0.2:3260");
    fake_listen_at(f, 2, "10.0.0.3:3260");
    f->max_connections = 4;
    f->targets = text;
    f->targets_len = sizeof text;
    struct lnt_client *client = fake_client(f, spread_four);
    assert_int_equal(lnt_open(client), 0);
    run_for(f, FAKE_SECOND);
    assert_int_equal(lnt_client_connections(client), 4);
    assert_int_equal(f->places[0].accepted, 2);
    assert_int_equal(f->places[1].accepted, 2);
    assert_int_equal(f->places[2].accepted, 0);
    load_finish(f, load_start(client, 1), FAKE_SECOND);
    finish(f, client);
    PROVES("R7143-C-17", "initiator");
}

/* ---- messages of the target ---- */

struct news {
    int count[LNT_EVENT_NEGOTIATE + 1];
    int32_t lun;
    char text[300];
};

static void hear(void *arg, const struct lnt_event *event)
{
    struct news *news = arg;
    news->count[event->kind]++;
    news->lun = event->lun;
    snprintf(news->text, sizeof news->text, "%s", event->text);
}

static void news_of_units_reach_the_user(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 1, 0, one);
    struct news news = {0};
    uint8_t sense[20] = {0, 18, 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x3f, 0x0e};
    lnt_client_set_event(client, hear, &news);
    fake_async(nth_up(f, 0), 0, 0, sense, sizeof sense);
    run_for(f, FAKE_SECOND);
    assert_int_equal(news.count[LNT_EVENT_LUNS_CHANGED], 1);
    sense[14] = 0x2a;
    sense[15] = 0x09;
    fake_async(nth_up(f, 0), 0, 0, sense, sizeof sense);
    run_for(f, FAKE_SECOND);
    assert_int_equal(news.count[LNT_EVENT_CAPACITY_CHANGED], 1);
    /* A length beyond the data, or none at all, is nothing to trip over. */
    sense[0] = 0xff;
    fake_async(nth_up(f, 0), 0, 0, sense, 6);
    fake_async(nth_up(f, 0), 0, 0, NULL, 0);
    run_for(f, FAKE_SECOND);
    /* The same news as a unit attention of a command, which goes again by itself. */
    f->bad_statuses = 1;
    f->bad_status = 2;
    f->bad_key = 6;
    f->bad_asc = 0x2a09;
    load_finish(f, load_start(client, 1), FAKE_SECOND);
    assert_int_equal(news.count[LNT_EVENT_CAPACITY_CHANGED], 2);
    assert_int_equal(news.lun, 0);
    assert_non_null(strstr(news.text, "CAPACITY"));
    finish(f, client);
    PROVES("R7143-11.9.4-02", "initiator");
}

static void a_request_to_log_out_is_obeyed_and_not_noticed(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 2, 0, four);
    struct news news = {0};
    lnt_client_set_event(client, hear, &news);
    struct load *load = load_start(client, 1);
    fake_async(nth_up(f, 0), 1, 0, NULL, 0);
    load_finish(f, load, 20 * FAKE_SECOND);
    run_for(f, 5 * FAKE_SECOND);
    assert_true(f->logouts >= 1);
    assert_int_equal(news.count[LNT_EVENT_LOGOUT_REQUESTED], 1);
    assert_int_equal(lnt_client_connections(client), 2);
    load_finish(f, load_start(client, 50), 20 * FAKE_SECOND);
    assert_int_equal(f->logout_reasons[2] + f->logout_reasons[3], 0);
    finish(f, client);
    PROVES("R7143-11.9.1-03", "initiator");
}

static void the_story_of_a_loss_is_told(void **state)
{
    (void)state;
    struct lnt_client *client;
    struct fake *f = up(&client, 1, 0, one);
    struct news news = {0};
    lnt_client_set_event(client, hear, &news);
    fake_async(nth_up(f, 0), 3, 5, NULL, 0);
    uint64_t before = sim_now(f->world);
    while (f->conn_count < 2)
        io_run(f->client_io, sim_now(f->world) + FAKE_SECOND / 10);
    uint64_t took = sim_now(f->world) - before;
    assert_true(took >= 5 * FAKE_SECOND && took < 7 * FAKE_SECOND); /* the announced time, not the default */
    load_finish(f, load_start(client, 1), 20 * FAKE_SECOND);
    assert_int_equal(news.count[LNT_EVENT_DROPPED], 1);
    assert_int_equal(news.count[LNT_EVENT_LOST], 1);
    assert_int_equal(news.count[LNT_EVENT_RESTORED], 1);
    finish(f, client);
    PROVES("R7143-7.5.2-01", "initiator");
    PROVES("R7143-11.9.1-09", "initiator");
}

/* ---- the tap ---- */

struct ear {
    struct tap tap;
    uint64_t opened, closed, to_target, to_initiator;
    uint64_t open_ids; /* bit per connection */
    bool wrong;
};

static void ear_open(struct tap *tap, uint64_t conn, const struct io_addr *initiator,
                     const struct io_addr *target, uint64_t now_ns)
{
    struct ear *ear = container_of(tap, struct ear, tap);
    (void)now_ns;
    ear->wrong = ear->wrong || conn != ear->opened || initiator->family != 4 || target->port != 3260;
    ear->opened++;
    ear->open_ids |= 1ull << conn;
}

static void ear_bytes(struct tap *tap, uint64_t conn, enum tap_direction direction,
                      const struct io_vec *places, uint32_t count, uint64_t len, uint64_t now_ns)
{
    struct ear *ear = container_of(tap, struct ear, tap);
    uint64_t room = 0;
    (void)now_ns;
    for (uint32_t i = 0; i < count; i++)
        room += places[i].len;
    ear->wrong = ear->wrong || !(ear->open_ids >> conn & 1) || len == 0 || len > room;
    *(direction == TAP_TO_TARGET ? &ear->to_target : &ear->to_initiator) += len;
}

static void ear_close(struct tap *tap, uint64_t conn, uint64_t now_ns)
{
    struct ear *ear = container_of(tap, struct ear, tap);
    (void)now_ns;
    ear->wrong = ear->wrong || !(ear->open_ids >> conn & 1);
    ear->open_ids &= ~(1ull << conn);
    ear->closed++;
}

static struct ear ear;
static uint64_t ear_connections;

static void listen_in(struct lnt_options *options)
{
    options->connections = 3;
    options->tap = &ear.tap;
    options->tap_connections = &ear_connections;
}

static void a_tap_sees_every_byte_of_every_connection(void **state)
{
    (void)state;
    struct lnt_client *client;
    ear = (struct ear){.tap = {ear_open, ear_bytes, ear_close}};
    ear_connections = 0;
    struct fake *f = up(&client, 3, 0, listen_in);
    load_finish(f, load_start(client, 1), FAKE_SECOND);
    assert_int_equal(lnt_close(client), 0);
    run_for(f, FAKE_SECOND);
    assert_int_equal(ear.opened, 3);
    assert_int_equal(ear.closed, 3);
    assert_int_equal(ear.open_ids, 0);
    assert_false(ear.wrong);
    assert_int_equal(ear.to_target, f->received);
    assert_int_equal(ear.to_initiator, f->sent);
    lnt_client_free(client);
    fake_free(f);
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, LOG_SINK_STDERR,
              "test_lib_recovery"); /* cuts are warnings, and many */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_connections_come_up_as_the_target_grants),
        cmocka_unit_test(the_target_closes_the_connections_of_a_session_that_logged_out),
        cmocka_unit_test(a_refused_connection_does_not_hurt_the_others),
        cmocka_unit_test(every_connection_answers_pings),
        cmocka_unit_test(task_management_reaches_the_target),
        cmocka_unit_test(without_recovery_one_lost_connection_costs_the_session),
        cmocka_unit_test(after_a_cut_that_nobody_announced_time2wait_is_kept),
        cmocka_unit_test(logins_that_lead_nowhere_do_not_go_on_for_ever),
        cmocka_unit_test(a_lost_connections_commands_move_to_another),
        cmocka_unit_test(a_session_without_any_connection_gets_one_after_time2wait),
        cmocka_unit_test(a_target_that_forgot_the_session_gets_a_new_one),
        cmocka_unit_test(a_target_that_stays_away_is_given_up_in_time_at_level_2),
        cmocka_unit_test(a_command_that_is_never_answered_ends_at_level_2_too),
        cmocka_unit_test(time_without_connections_does_not_count_as_a_commands_time),
        cmocka_unit_test(closing_without_any_connection_works),
        cmocka_unit_test(cuts_at_random_lose_nothing_at_any_level),
        cmocka_unit_test(a_temporary_redirect_is_forgotten_and_a_permanent_one_kept),
        cmocka_unit_test(redirects_have_a_bound_and_circles_are_seen),
        cmocka_unit_test(a_further_connection_may_be_redirected),
        cmocka_unit_test(connections_spread_over_the_portal_group),
        cmocka_unit_test(news_of_units_reach_the_user),
        cmocka_unit_test(a_request_to_log_out_is_obeyed_and_not_noticed),
        cmocka_unit_test(the_story_of_a_loss_is_told),
        cmocka_unit_test(a_tap_sees_every_byte_of_every_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
