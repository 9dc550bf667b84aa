/* Rules of RFC 7143 that the initiator library keeps: who it is (names, ISIDs), when a session may follow
 * another, where it looks for its target, and what it does when memory ends.
 *
 * Goal: one rule, one test; and no allocation whose failure would crash, leak or pass for success. Method:
 * the small target of lib_target.h on the simulated network; allocations fail one after the other. */
#include "common/base/log.h"
#include "tests/unit/lib_target.h"
#include "tests/unit/proves.h"

static void run_for(struct fake *f, uint64_t ns)
{
    uint64_t until = sim_now(f->world) + ns;
    while (sim_now(f->world) < until)
        io_run(f->client_io, until);
}

static int read_block(struct lnt_client *client, uint32_t lba, uint8_t *out)
{
    struct lnt_command command;
    struct io_vec place = {out, FAKE_BLOCK};
    lnt_command_read(&command, 0, lba, 1, FAKE_BLOCK, &place, 1);
    int err = lnt_execute(client, &command);
    return err ? err : command.scsi.status;
}

static void finish(struct fake *f, struct lnt_client *client)
{
    assert_int_equal(lnt_close(client), 0);
    lnt_client_free(client);
    fake_free(f);
}

/* ---- names and ISIDs ---- */

static void defaults_say_who_we_are(void **state)
{
    (void)state;
    struct lnt_options options, other;
    unsetenv("LUNETTE_INITIATOR_NAME");
    lnt_options_default(&options); /* something valid without being told */
    assert_true(strncmp(options.session.initiator_name, "iqn.", 4) == 0 ||
                strncmp(options.session.initiator_name, "eui.", 4) == 0 ||
                strncmp(options.session.initiator_name, "naa.", 4) == 0);
    setenv("LUNETTE_INITIATOR_NAME", "iqn.2026-01.com.example:named", 1);
    lnt_options_default(&other);
    assert_string_equal(other.session.initiator_name, "iqn.2026-01.com.example:named");
    unsetenv("LUNETTE_INITIATOR_NAME");
    /* The ISID: type 10b, A reserved, B and C (and the qualifier) random. */
    uint8_t differ[6] = {0};
    for (int i = 0; i < 64; i++) {
        lnt_options_default(&other);
        assert_int_equal(other.session.isid[0], 0x80);
        for (int k = 0; k < 6; k++)
            differ[k] |= other.session.isid[k] ^ options.session.isid[k];
    }
    for (int k = 1; k < 6; k++)
        assert_int_equal(differ[k], 0xff); /* each bit of them */
    PROVES("R7143-4.2.7.1-01", "initiator");
    PROVES("R7143-10.1.2-03", "initiator");
    PROVES("R7143-11.12.5-04", "initiator");
}

static void a_reserved_isid_is_refused(void **state)
{
    (void)state;
    struct fake *f = fake_new(1, NULL);
    for (int type = 0; type < 4; type++) {
        struct lnt_url url = {.portal = "10.0.0.1", .target = FAKE_NAME};
        struct lnt_options options;
        struct lnt_client *client = NULL;
        lnt_options_default(&options);
        assert_int_equal(options.session.isid[0] >> 6, 2);
        options.session.isid[0] = (uint8_t)(type << 6);
        int err = lnt_client_new(sim_env(f->world), f->client_io, &url, &options, &client);
        assert_int_equal(err, type == 3 ? ERR_INVALID : 0);
        lnt_client_free(client);
    }
    fake_free(f);
    PROVES("R7143-11.12.5-01", "initiator");
}

static uint8_t chosen_isid[6];
static void named(struct lnt_options *options)
{
    snprintf(options->session.initiator_name, sizeof options->session.initiator_name,
             "iqn.2026-01.com.example:chosen");
    memcpy(options->session.isid, chosen_isid, 6);
}

/* Name and ISID are what the options say: in every session of a client, in the next client's (a restart), and
 * towards another portal. Two clients with two ISIDs are two ports. */
static void name_and_isid_are_the_options_and_stay(void **state)
{
    (void)state;
    uint8_t data[FAKE_BLOCK];
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    fake_listen_at(f, 1, "10.0.0.2:3260");
    memcpy(chosen_isid, "\x40\x00\x12\x34\x00\x07", 6); /* an enterprise number, as it was given */
    for (int life = 0; life < 2; life++) {
        struct lnt_client *client = fake_client(f, named);
        f->places[0].redirect = life ? "10.0.0.2:3260" : NULL;
        assert_int_equal(lnt_open(client), 0);
        for (int i = 0; i < f->conn_count; i++)
            fake_conn_end(f->conns[i]);
        assert_int_equal(read_block(client, 0, data), 0); /* in another session */
        assert_int_equal(lnt_client_reconnects(client), 1);
        assert_int_equal(lnt_close(client), 0);
        lnt_client_free(client);
    }
    assert_int_equal(f->logins, 4);
    for (int i = 0; i < 4; i++) {
        assert_memory_equal(f->isids[i], chosen_isid, 6);
        assert_string_equal(f->names[i], "iqn.2026-01.com.example:chosen");
    }
    f->places[0].redirect = NULL;
    chosen_isid[5] = 8;
    struct lnt_client *second = fake_client(f, named);
    assert_int_equal(lnt_open(second), 0);
    assert_memory_equal(f->isids[4], chosen_isid, 6);
    finish(f, second);
    PROVES("R7143-10.1.1-01", "initiator");
    PROVES("R7143-10.1.2-03", "initiator");
    PROVES("R7143-10.1.2-04", "initiator");
    PROVES("R7143-11.12.5-05", "initiator");
    PROVES("R7143-11.12.5-06", "initiator");
}

/* ---- one session at a time ---- */

static void another_session_only_after_the_first_has_failed(void **state)
{
    (void)state;
    uint8_t data[FAKE_BLOCK];
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    struct lnt_client *client = fake_client(f, NULL);
    assert_int_equal(lnt_open(client), 0);
    run_for(f, 60 * FAKE_SECOND); /* nothing happens to it: no second login */
    assert_int_equal(f->logins, 1);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < f->conn_count; i++)
            fake_conn_end(f->conns[i]);
        assert_int_equal(read_block(client, 0, data), 0);
        run_for(f, 5 * FAKE_SECOND);
    }
    assert_int_equal(f->sessions, 4);
    assert_int_equal(f->overlaps, 0);
    for (int i = 1; i < 4; i++)
        assert_memory_equal(f->isids[i], f->isids[0], 6); /* it takes the first one's place */
    finish(f, client);
    PROVES("R7143-6.3.5-03", "initiator");
    PROVES("R7143-4.4.3-01", "initiator");
}

/* ---- where the target is ---- */

/* A permanent redirect is kept as long as there is somebody: then the URL counts again. */
static void a_target_that_moved_again_is_found_from_the_url(void **state)
{
    (void)state;
    uint8_t data[FAKE_BLOCK];
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    fake_listen_at(f, 1, "10.0.0.2:3260");
    fake_listen_at(f, 2, "10.0.0.3:3260");
    f->places[0].redirect = "10.0.0.2:3260";
    f->places[0].permanent = true;
    struct lnt_client *client = fake_client(f, NULL);
    assert_int_equal(lnt_open(client), 0);
    assert_int_equal(f->places[1].accepted, 1);
    f->places[0].redirect = "10.0.0.3:3260"; /* it moves while the session is down */
    struct fake_place *gone = &f->places[1];
    io_cancel(f->io, &gone->accept_op);
    while (gone->accept_op.busy)
        io_run(f->io, UINT64_MAX);
    io_close(f->io, gone->listener);
    gone->listener = IO_NONE;
    for (int i = 0; i < f->conn_count; i++)
        fake_conn_end(f->conns[i]);
    assert_int_equal(read_block(client, 0, data), 0);
    assert_int_equal(f->places[0].accepted, 2);
    assert_int_equal(f->places[2].accepted, 1);
    assert_int_equal(gone->accepted, 1);
    finish(f, client);
    PROVES("R7143-10.1.2-02", "initiator");
}

static void the_default_port_is_3260(void **state)
{
    (void)state;
    for (int redirect = 0; redirect < 2; redirect++) {
        struct fake *f = fake_new(1, NULL);
        fake_listen_at(f, 0, redirect ? "10.0.0.1:3260" : "10.0.0.1:860");
        fake_listen_at(f, 1, "10.0.0.2:860");
        fake_listen_at(f, 2, "10.0.0.2:3260");
        f->places[0].redirect = redirect ? "10.0.0.2" : NULL; /* a host alone */
        struct lnt_client *client = fake_client(f, NULL);     /* so is the URL */
        assert_int_equal(lnt_open(client) == 0, redirect);
        assert_int_equal(f->places[0].accepted, redirect);
        assert_int_equal(f->places[1].accepted, 0);
        assert_int_equal(f->places[2].accepted, redirect);
        finish(f, client);
    }
    PROVES("R7143-15-02", "initiator");
}

/* ---- commands and messages ---- */

static void no_command_is_immediate(void **state)
{
    (void)state;
    uint8_t data[FAKE_BLOCK] = {0};
    struct io_vec place = {data, sizeof data};
    static const uint8_t space[6] = {0x11}, exchange[12] = {0xa5}, move[12] = {0xa5}, write[10] = {0x2a};
    static const struct {
        const uint8_t *cdb;
        uint16_t len;
    } rows[] = {{space, 6}, {exchange, 12}, {move, 12}, {write, 10}};
    struct lnt_command command;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memset(&command, 0xff, sizeof command);
        lnt_command_cdb(&command, 0, rows[i].cdb, rows[i].len, NULL, 0, NULL, 0);
        assert_false(command.scsi.immediate);
    }
    memset(&command, 0xff, sizeof command);
    lnt_command_write(&command, 0, 0, 1, FAKE_BLOCK, &place, 1, true);
    assert_false(command.scsi.immediate);
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    struct lnt_client *client = fake_client(f, NULL);
    assert_int_equal(lnt_open(client), 0);
    uint32_t before = f->exp_cmd_sn;
    assert_int_equal(lnt_execute(client, &command), 0);
    assert_int_equal(f->exp_cmd_sn, before + 1); /* it had a number of its own */
    finish(f, client);
    PROVES("R7143-10.6-01", "initiator");
}

static void hear_lun(void *arg, const struct lnt_event *event)
{
    if (event->kind == LNT_EVENT_CAPACITY_CHANGED)
        *(int32_t *)arg = event->lun;
}

static void news_of_a_unit_name_the_unit(void **state)
{
    (void)state;
    static const uint8_t data[20] = {0, 18, 0x70, 0, 6, 0, 0, 0, 0, 10, [14] = 0x2a, [15] = 0x09};
    int32_t heard = -2;
    struct fake *f = fake_new(1, NULL);
    fake_listen(f);
    struct lnt_client *client = fake_client(f, NULL);
    assert_int_equal(lnt_open(client), 0);
    lnt_client_set_event(client, hear_lun, &heard);
    uint8_t bhs[PDU_BHS_LEN] = {0};
    struct fake_conn *c = f->conns[0];
    FAKE_ANSWER(c, async_message, (pdu.itt = PDU_TAG_RESERVED, pdu.lun = 0x0005000000000000ull), data,
                sizeof data);
    fake_flush(c);
    run_for(f, FAKE_SECOND);
    assert_int_equal(heard, 5);
    finish(f, client);
}

/* ---- memory ---- */

struct stingy { /* an env whose nth allocation fails, and perhaps all after it */
    struct env env;
    const struct env *under;
    uint64_t count, fail_at, live, failed;
    bool for_good;
};

static void *stingy_alloc(void *ctx, size_t size, size_t align)
{
    struct stingy *s = ctx;
    s->count++;
    if (s->fail_at && (s->count == s->fail_at || (s->for_good && s->count > s->fail_at))) {
        s->failed++;
        return NULL;
    }
    s->live++;
    return s->under->alloc(s->under->ctx, size, align);
}
static void stingy_free(void *ctx, void *ptr)
{
    struct stingy *s = ctx;
    s->live -= ptr != NULL;
    s->under->free(s->under->ctx, ptr);
}
static uint64_t stingy_now(void *ctx)
{
    return env_now(((struct stingy *)ctx)->under);
}
static void stingy_random(void *ctx, void *buf, size_t len)
{
    const struct env *under = ((struct stingy *)ctx)->under;
    under->random(under->ctx, buf, len);
}
static size_t stingy_hash(void *ctx, enum hash_alg alg, const struct bytes *parts, size_t count, uint8_t *out)
{
    const struct env *under = ((struct stingy *)ctx)->under;
    return under->hash(under->ctx, alg, parts, count, out);
}

enum { WRITES = 24 };

struct batch {
    struct lnt_command commands[WRITES], reads[WRITES];
    struct io_vec places[WRITES], back[WRITES];
    uint8_t data[WRITES][FAKE_BLOCK], got[WRITES][FAKE_BLOCK];
    int ended;
};

static void batch_ended(struct lnt_command *command)
{
    ((struct batch *)command->owner)->ended++;
}

static bool done_well(const struct lnt_command *command)
{
    return command->error == 0 && command->scsi.outcome == INI_DONE_STATUS && command->scsi.status == 0;
}

/* Writes and reads at once, a cut in the middle; every command ends once, and what is said to be good is. */
static void batch_run(struct fake *f, struct lnt_client *client, bool cut, bool must_work)
{
    struct batch *b = calloc(1, sizeof *b);
    assert_non_null(b);
    for (uint32_t i = 0; i < WRITES; i++) {
        memset(b->data[i], 1 + (int)i, FAKE_BLOCK);
        b->places[i] = (struct io_vec){b->data[i], FAKE_BLOCK};
        lnt_command_write(&b->commands[i], 0, i, 1, FAKE_BLOCK, &b->places[i], 1, false);
        b->back[i] = (struct io_vec){b->got[i], FAKE_BLOCK};
        lnt_command_read(&b->reads[i], 0, 64 + i, 1, FAKE_BLOCK, &b->back[i], 1);
        b->commands[i].done = b->reads[i].done = batch_ended;
        b->commands[i].owner = b->reads[i].owner = b;
        lnt_client_submit(client, &b->commands[i]);
        lnt_client_submit(client, &b->reads[i]);
    }
    if (cut)
        for (int i = 0; i < f->conn_count; i++)
            fake_conn_end(f->conns[i]);
    uint64_t until = sim_now(f->world) + 400 * FAKE_SECOND;
    while (b->ended < 2 * WRITES && sim_now(f->world) < until)
        io_run(f->client_io, until);
    assert_int_equal(b->ended, 2 * WRITES);
    for (uint32_t i = 0; i < WRITES; i++) {
        if (done_well(&b->commands[i]))
            assert_memory_equal(f->blocks + i * FAKE_BLOCK, b->data[i], FAKE_BLOCK);
        if (done_well(&b->reads[i]))
            assert_memory_equal(f->blocks + (64 + i) * FAKE_BLOCK, b->got[i], FAKE_BLOCK);
        if (must_work)
            assert_true(done_well(&b->commands[i]) && done_well(&b->reads[i]));
    }
    free(b);
}

static void two_at_level_2(struct lnt_options *options)
{
    options->connections = 2;
    options->spread = true;
    options->replacement_timeout_ns = 20 * FAKE_SECOND;
}

/* One life of a client with that allocation failing. False: there were fewer allocations. */
static bool life_without(uint64_t nth, bool for_good, uint32_t level)
{
    static const char text[] = "TargetName=" FAKE_NAME "\0TargetAddress=10.0.0.1:3260,1";
    struct fake *f = fake_new(nth, NULL);
    struct stingy s = {.fail_at = nth, .for_good = for_good, .under = sim_env(f->world)};
    s.env = (struct env){&s, stingy_now, stingy_random, stingy_alloc, stingy_free, stingy_hash, NULL};
    struct lnt_url url = {.portal = "10.0.0.1", .target = FAKE_NAME, .lun = 0};
    struct lnt_options options;
    struct lnt_client *client = NULL;
    fake_listen(f);
    f->level = level;
    f->max_connections = 2;
    f->targets = text;
    f->targets_len = sizeof text;
    for (size_t i = 0; i < sizeof f->blocks; i++)
        f->blocks[i] = (uint8_t)(i / FAKE_BLOCK * 7 + i);
    lnt_options_default(&options);
    two_at_level_2(&options);
    snprintf(options.session.initiator_name, sizeof options.session.initiator_name,
             "iqn.2026-01.com.example:host");
    int err = lnt_client_new(&s.env, f->client_io, &url, &options, &client);
    if (err) {
        assert_int_equal(err, ERR_NOMEM);
        assert_int_equal(s.live, 0);
        fake_free(f);
        return true;
    }
    if (lnt_open(client) == 0) {
        uint64_t ns;
        uint8_t response;
        run_for(f, FAKE_SECOND / 2);
        /* One failure is overcome: by going again in this session or in another one. */
        batch_run(f, client, false, s.failed == 0 && !for_good);
        lnt_ping(client, &ns);
        lnt_task_management(client, 5, 0, &response);
        batch_run(f, client, true, false);
        if (!for_good && s.failed) { /* and nothing of it is left */
            assert_int_equal(lnt_client_error(client) != NULL, 1);
            if (lnt_client_params(client))
                batch_run(f, client, false, true);
        }
    }
    assert_int_equal(lnt_close(client), 0);
    lnt_client_free(client);
    assert_int_equal(s.live, 0);
    fake_free(f);
    return s.count >= nth;
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    for (uint32_t level = 0; level < 3; level += 2) {
        for (int for_good = 0; for_good < 2; for_good++) {
            uint64_t nth = 1;
            while (life_without(nth, for_good, level))
                nth++;
            assert_true(nth > 15); /* client, session, connections, pools and what goes with them */
        }
    }
}

/* The list of a discovery is the client's memory too. */
static void any_allocation_of_a_discovery_may_fail(void **state)
{
    (void)state;
    static const char text[] = "TargetName=iqn.2026-01.com.example:a\0TargetAddress=10.0.0.1:3260,1\0"
                               "TargetName=iqn.2026-01.com.example:b";
    bool more = true;
    uint64_t nth = 1;
    for (; more; nth++) {
        struct fake *f = fake_new(nth, NULL);
        struct stingy s = {.fail_at = nth, .under = sim_env(f->world)};
        s.env = (struct env){&s, stingy_now, stingy_random, stingy_alloc, stingy_free, stingy_hash, NULL};
        struct lnt_url url = {.portal = "10.0.0.1", .lun = -1};
        struct lnt_options options;
        struct list_node targets;
        char why[300] = "";
        int found = 0;
        fake_listen(f);
        f->targets = text;
        f->targets_len = sizeof text;
        list_init(&targets);
        lnt_options_default(&options);
        int err = lnt_discover(&s.env, f->client_io, &url, &options, &targets, why, sizeof why);
        list_for_each(node, &targets) found++;
        assert_int_equal(found, err ? 0 : 2);
        assert_true(err == 0 || why[0] != 0);
        lnt_targets_free(&s.env, &targets);
        assert_int_equal(s.live, 0);
        more = s.count >= nth;
        fake_free(f);
    }
    assert_true(nth > 8);
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, LOG_SINK_STDERR, "test_lib_rules");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_say_who_we_are),
        cmocka_unit_test(a_reserved_isid_is_refused),
        cmocka_unit_test(name_and_isid_are_the_options_and_stay),
        cmocka_unit_test(another_session_only_after_the_first_has_failed),
        cmocka_unit_test(a_target_that_moved_again_is_found_from_the_url),
        cmocka_unit_test(the_default_port_is_3260),
        cmocka_unit_test(no_command_is_immediate),
        cmocka_unit_test(news_of_a_unit_name_the_unit),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(any_allocation_of_a_discovery_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
