/* Host names that take their time, or that nobody knows.
 *
 * Goal: a lookup never holds up a reactor, is bounded in number and, for who waits, in time; given up it
 * touches nothing any more; the initiator library follows URLs and redirects to names. Method: real reactors,
 * with a resolver of the test's own that sleeps; the small target of lib_target.h on the loopback. */
#include <stdatomic.h>
#include <time.h>

#include "common/base/log.h"
#include "tests/unit/lib_target.h"

#define MS 1000000ull

static atomic_int asked;
static uint16_t known_port; /* of known.example and slow.example */

static void nap(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / FAKE_SECOND), (long)(ns % FAKE_SECOND)};
    nanosleep(&t, NULL);
}

static int names(const char *text, uint16_t default_port, struct io_addr *out, int max)
{
    (void)default_port;
    asked++;
    if (strncmp(text, "unknown", 7) == 0)
        return ERR_NOTFOUND;
    nap(strncmp(text, "slow", 4) == 0 ? 150 * MS : strncmp(text, "stuck", 5) == 0 ? 700 * MS : 0);
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", known_port);
    return max > 0 && addr_parse(address, 0, out) == 0 ? 1 : ERR_NOTFOUND;
}

/* ---- io_resolve ---- */

struct ask {
    struct io_resolve resolve;
    int answers;
};

static void answered(struct io_resolve *resolve)
{
    container_of(resolve, struct ask, resolve)->answers++;
}

static void ask_init(struct ask *ask)
{
    memset(ask, 0, sizeof *ask);
    ask->resolve.done = answered;
    ask->resolve.resolver = names;
}

static void run_until(struct io *io, uint64_t ns, const int *answers, int wanted)
{
    uint64_t until = io_now(io) + ns;
    while (io_now(io) < until && !(answers && *answers >= wanted))
        io_run(io, answers ? io_now(io) + 10 * MS : until);
}

struct beat {
    struct io_timer timer;
    struct io *io;
    int count;
};

static void beat(struct io_timer *timer)
{
    struct beat *b = container_of(timer, struct beat, timer);
    b->count++;
    io_timer_arm(b->io, timer, io_now(b->io) + 5 * MS);
}

static void the_reactor_goes_on_meanwhile(void **state)
{
    (void)state;
    struct io *io;
    struct ask ask;
    assert_int_equal(io_new(env_host(), IO_KIND_AUTO, &io), 0);
    struct beat b = {.timer.fire = beat, .io = io};
    io_timer_arm(io, &b.timer, io_now(io));
    ask_init(&ask);
    known_port = 77;
    int before = asked;
    assert_int_equal(io_resolve(io, &ask.resolve, "192.0.2.1:99", 3260), 1); /* nobody is asked */
    assert_int_equal(ask.resolve.addrs[0].port, 99);
    assert_int_equal(asked, before);
    assert_int_equal(io_resolve(io, &ask.resolve, "slow.example", 3260), 0);
    assert_int_equal(io_resolve(io, &ask.resolve, "slow.example", 3260), ERR_BUSY);
    run_until(io, 5 * FAKE_SECOND, &ask.answers, 1);
    assert_int_equal(ask.answers, 1);
    assert_int_equal(ask.resolve.result, 1);
    assert_int_equal(ask.resolve.addrs[0].port, 77);
    assert_false(ask.resolve.busy);
    assert_true(b.count >= 10);
    assert_int_equal(io_resolve(io, &ask.resolve, "unknown.example", 3260), 0);
    run_until(io, 5 * FAKE_SECOND, &ask.answers, 2);
    assert_int_equal(ask.resolve.result, ERR_NOTFOUND);
    ask.resolve.resolver = NULL; /* the system's own: a name that cannot be (RFC 6761) */
    assert_int_equal(io_resolve(io, &ask.resolve, "no-such-host.invalid", 3260), 0);
    run_until(io, 60 * FAKE_SECOND, &ask.answers, 3);
    assert_int_equal(ask.answers, 3);
    assert_true(ask.resolve.result < 0);
    io_timer_cancel(io, &b.timer);
    io_free(io);
}

static void what_is_given_up_is_never_answered(void **state)
{
    (void)state;
    struct io *io;
    assert_int_equal(io_new(env_host(), IO_KIND_AUTO, &io), 0);
    struct ask *ask = malloc(sizeof *ask), quick;
    ask_init(ask);
    assert_int_equal(io_resolve(io, &ask->resolve, "slow.example", 3260), 0);
    io_resolve_cancel(&ask->resolve);
    io_resolve_cancel(&ask->resolve); /* harmless */
    assert_int_equal(io_resolve(io, &ask->resolve, "slow.example", 3260), 0);
    io_resolve_cancel(&ask->resolve);
    free(ask);
    ask_init(&quick); /* its answer is on its way when it is given up */
    assert_int_equal(io_resolve(io, &quick.resolve, "known.example", 3260), 0);
    nap(50 * MS);
    io_resolve_cancel(&quick.resolve);
    run_until(io, 400 * MS, NULL, 0);
    assert_int_equal(quick.answers, 0);
    io_free(io);
}

static void their_number_is_bounded(void **state)
{
    (void)state;
    struct io *io;
    struct ask asks[40];
    int started = 0, answers = 0;
    assert_int_equal(io_new(env_host(), IO_KIND_AUTO, &io), 0);
    for (int i = 0; i < 40; i++) {
        ask_init(&asks[i]);
        int err = io_resolve(io, &asks[i].resolve, "slow.example", 3260);
        assert_true(err == 0 || err == ERR_BUSY);
        assert_int_equal(asks[i].resolve.busy, err == 0);
        started += err == 0;
    }
    assert_int_equal(started, 16);
    for (uint64_t until = io_now(io) + 10 * FAKE_SECOND; answers < started && io_now(io) < until;) {
        io_run(io, io_now(io) + 10 * MS);
        answers = 0;
        for (int i = 0; i < 40; i++)
            answers += asks[i].answers;
    }
    assert_int_equal(answers, started);
    io_free(io);
}

/* ---- the library ---- */

static void with_names(struct lnt_options *options)
{
    options->resolver = names;
    options->connect_timeout_ns = 5 * FAKE_SECOND;
}

static struct fake *real_fake(void)
{
    struct fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(io_new(env_host(), IO_KIND_AUTO, &f->io), 0);
    f->client_io = f->io;
    f->client_env = env_host();
    f->tsih = 8;
    for (int i = 0; i < FAKE_PLACES; i++) {
        f->places[i].fake = f;
        f->places[i].listener = IO_NONE;
    }
    fake_listen_at(f, 0, "127.0.0.1:0");
    fake_listen_at(f, 1, "127.0.0.1:0");
    return f;
}

static void real_fake_free(struct fake *f)
{
    fake_vanish(f);
    for (int i = 0; i < f->conn_count; i++)
        free(f->conns[i]);
    io_free(f->io);
    free(f);
}

static struct lnt_client *real_client(struct fake *f, const char *portal, void (*tweak)(struct lnt_options *))
{
    struct lnt_url url = {.target = FAKE_NAME};
    struct lnt_options options;
    struct lnt_client *client;
    snprintf(url.portal, sizeof url.portal, "%s", portal);
    lnt_options_default(&options);
    tweak(&options);
    assert_int_equal(lnt_client_new(env_host(), f->io, &url, &options, &client), 0);
    return client;
}

static void urls_and_redirects_may_have_names(void **state)
{
    (void)state;
    struct fake *f = real_fake();
    char here[64];
    struct beat b = {.timer.fire = beat, .io = f->io};
    snprintf(here, sizeof here, "127.0.0.1:%u", f->places[0].addr.port);
    known_port = f->places[1].addr.port;
    f->places[0].redirect = "slow.example";
    struct lnt_client *client = real_client(f, here, with_names);
    io_timer_arm(f->io, &b.timer, io_now(f->io));
    assert_int_equal(lnt_open(client), 0);
    assert_true(b.count >= 10); /* while the name was looked up */
    assert_int_equal(f->places[0].accepted, 1);
    assert_int_equal(f->places[1].accepted, 1);
    assert_int_equal(lnt_close(client), 0);
    lnt_client_free(client);
    client = real_client(f, "slow.example", with_names);
    assert_int_equal(lnt_open(client), 0);
    assert_int_equal(f->places[1].accepted, 2);
    assert_int_equal(lnt_close(client), 0);
    lnt_client_free(client);
    io_timer_cancel(f->io, &b.timer);
    real_fake_free(f);
}

static void impatient(struct lnt_options *options)
{
    options->resolver = names;
    options->connect_timeout_ns = 100 * MS;
}

static void names_that_nobody_knows_end_the_attempt(void **state)
{
    (void)state;
    struct fake *f = real_fake();
    char here[64];
    snprintf(here, sizeof here, "127.0.0.1:%u", f->places[0].addr.port);
    static const char *const to[] = {"unknown.example:3260", "stuck.example:3260"};
    for (int i = 0; i < 4; i++) { /* of a redirect, of the URL; unknown, and without an answer */
        f->places[0].redirect = to[i & 1];
        struct lnt_client *client = real_client(f, i < 2 ? here : to[i & 1], impatient);
        uint64_t before = io_now(f->io);
        assert_int_not_equal(lnt_open(client), 0);
        assert_true(io_now(f->io) - before < 500 * MS);
        assert_non_null(strstr(lnt_client_error(client), to[i & 1]));
        assert_int_equal(lnt_close(client), 0);
        lnt_client_free(client);
    }
    nap(800 * MS); /* the stuck ones come back, to nobody */
    real_fake_free(f);
}

static void opened(void *arg, int err)
{
    *(int *)arg = err ? err : 1;
}

static void closed(void *arg)
{
    *(int *)arg = 1;
}

static void closing_does_not_wait_for_a_name(void **state)
{
    (void)state;
    struct fake *f = real_fake();
    struct lnt_client *client = real_client(f, "stuck.example", with_names);
    int open = 0, over = 0;
    uint64_t before = io_now(f->io);
    lnt_client_open(client, opened, &open);
    assert_int_equal(open, 0);
    lnt_client_close(client, closed, &over);
    run_until(f->io, FAKE_SECOND, &over, 1);
    assert_int_equal(over, 1);
    assert_true(io_now(f->io) - before < 400 * MS);
    lnt_client_free(client);
    nap(800 * MS);
    real_fake_free(f);
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, LOG_SINK_STDERR, "test_lib_resolve");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reactor_goes_on_meanwhile),
        cmocka_unit_test(what_is_given_up_is_never_answered),
        cmocka_unit_test(their_number_is_bounded),
        cmocka_unit_test(urls_and_redirects_may_have_names),
        cmocka_unit_test(names_that_nobody_knows_end_the_attempt),
        cmocka_unit_test(closing_does_not_wait_for_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
