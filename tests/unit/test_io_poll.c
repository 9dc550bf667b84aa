/* Polling and watching: what happens between the moment that there is nothing to do and the next event. Goal:
 * however io_run waits (it sleeps, looks for a while first, or never sleeps), nothing is late or lost; and
 * what a backend tells the kernel about a socket ends with the socket. Method: the same traffic, timers,
 * posts and wakes at each setting; `sleeps` of the counters says whether the kernel was asked to wait. */
#include <pthread.h>
#include <sys/socket.h>

#include "test_io_common.h"

static const enum io_poll all_polls[] = {IO_POLL_NEVER, IO_POLL_ADAPTIVE, IO_POLL_ALWAYS};
#define POLLS (sizeof(all_polls) / sizeof(all_polls[0]))

static void the_words_for_polling_are_those_of_the_option(void **state)
{
    (void)state;
    static const char *const good[] = {"never", "adaptive", "always"}, *const bad[] = {"", "Never",
                                                                                       "sometimes", "alwayss",
                                                                                       "adapt"};
    for (size_t i = 0; i < POLLS; i++) {
        enum io_poll poll = IO_POLL_NEVER;
        assert_true(io_poll_parse(good[i], &poll));
        assert_int_equal(poll, all_polls[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum io_poll poll = IO_POLL_ALWAYS;
        assert_false(io_poll_parse(bad[i], &poll));
        assert_int_equal(poll, IO_POLL_ALWAYS);
    }
}

static uint64_t sleeps_of(const struct io *io)
{
    struct io_stats stats;
    io_get_stats(io, &stats);
    return stats.sleeps;
}

/* One byte there and back: both ends are on this io, so every trip has waits that nothing but itself ends. */
static void ping_pong(struct rig *rig, const struct rig_pair *pair, int times)
{
    for (int i = 0; i < times; i++) {
        char byte = 0;
        rig_send_all(rig, pair->near_end, "a", 1);
        rig_recv_all(rig, pair->far_end, &byte, 1);
        assert_int_equal(byte, 'a');
        rig_send_all(rig, pair->far_end, "b", 1);
        rig_recv_all(rig, pair->near_end, &byte, 1);
        assert_int_equal(byte, 'b');
    }
}

/* The socket that spoke last is looked at most: the others are not forgotten, however busy it is. */
static void a_busy_socket_does_not_hide_another(void **state)
{
    RIG(state);
    struct rig_pair busy = rig_connect(rig, "127.0.0.1:0"), calm = rig_connect(rig, "127.0.0.1:0");
    for (size_t i = 0; i < POLLS; i++) {
        io_set_poll(rig->io, all_polls[i]);
        for (int round = 0; round < 10; round++) {
            struct wait_op recv = wait_op_new();
            io_recv_any(rig->io, &recv.op, calm.far_end, rig->pool, RIG_CHUNK_LEN);
            ping_pong(rig, &busy, 3);
            assert_int_equal(recv.finished, 0);
            rig_send_all(rig, calm.near_end, "c", 1);
            ping_pong(rig, &busy, 10);
            assert_int_equal(recv.finished, 1);
            assert_int_equal(recv.op.chunk->data[0], 'c');
            chunk_unref(recv.op.chunk);
        }
    }
    rig_disconnect(rig, &calm);
    rig_disconnect(rig, &busy);
}

/* Sends itself the next byte as soon as one has come: there is always one, and nothing is ever answered. */
struct talker {
    struct rig *rig;
    struct rig_pair pair;
    struct io_op op;
    struct io_vec place;
    uint8_t bytes[64];
    unsigned received;
};

static void talker_next(struct talker *talker)
{
    assert_int_equal(send((int)talker->pair.near_end, "x", 1, 0), 1);
    talker->place = (struct io_vec){talker->bytes, sizeof talker->bytes};
    io_recv_into(talker->rig->io, &talker->op, talker->pair.far_end, &talker->place, 1);
}

static void talker_done(struct io_op *op)
{
    struct talker *talker = container_of(op, struct talker, op);
    if (op->result <= 0)
        return;
    talker->received++;
    talker_next(talker);
}

static void who_never_stops_talking_does_not_hide_another(void **state)
{
    RIG(state);
    for (size_t i = 0; i < POLLS; i++) {
        /* New sockets: nothing is known about them yet. */
        struct rig_pair calm = rig_connect(rig, "127.0.0.1:0");
        struct talker talker = {.rig = rig, .pair = rig_connect(rig, "127.0.0.1:0"), .op.done = talker_done};
        struct wait_op recv = wait_op_new();
        io_set_poll(rig->io, all_polls[i]);
        io_recv_any(rig->io, &recv.op, calm.far_end, rig->pool, RIG_CHUNK_LEN);
        for (int turns = 0; turns < 10; turns++)
            io_run(rig->io, io_now(rig->io));
        talker_next(&talker);
        for (int turns = 0; turns < 50; turns++)
            io_run(rig->io, UINT64_MAX);
        assert_int_equal(send((int)calm.near_end, "c", 1, 0), 1);
        for (int turns = 0; turns < 50; turns++)
            io_run(rig->io, UINT64_MAX);
        assert_int_equal(recv.finished, 1);
        chunk_unref(recv.op.chunk);
        assert_true(talker.received > 50);
        io_cancel(rig->io, &talker.op);
        RUN_UNTIL(rig->io, !talker.op.busy);
        rig_disconnect(rig, &talker.pair);
        rig_disconnect(rig, &calm);
    }
}

/* Its memory goes, its socket stays: nothing may look at it again. */
static void a_receive_that_was_cancelled_is_forgotten(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0"), other = rig_connect(rig, "127.0.0.1:0");
    for (size_t i = 0; i < POLLS; i++) {
        io_set_poll(rig->io, all_polls[i]);
        for (int round = 0; round < 5; round++) {
            struct wait_op *recv = malloc(sizeof *recv);
            assert_non_null(recv);
            *recv = wait_op_new();
            io_recv_any(rig->io, &recv->op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
            for (int turns = 0; turns < round; turns++)
                io_run(rig->io, io_now(rig->io) + NS_PER_MS / 10);
            io_cancel(rig->io, &recv->op);
            RUN_UNTIL(rig->io, recv->finished);
            assert_int_equal(recv->op.result, ERR_CANCELLED);
            memset(recv, 0xa5, sizeof *recv);
            free(recv);
            io_run(rig->io, io_now(rig->io) + NS_PER_MS / 10);
            ping_pong(rig, &other, 2);
            ping_pong(rig, &pair, 2);
        }
    }
    rig_disconnect(rig, &other);
    rig_disconnect(rig, &pair);
}

/* ---- streams ---- */

struct stream {
    struct rig *rig;
    struct io_op op;
    io_handle sock;
    uint8_t bytes[16384];
    struct io_vec place;
    uint64_t got;
    unsigned receives;
};

static void stream_next(struct stream *stream)
{
    stream->place = (struct io_vec){stream->bytes, sizeof stream->bytes};
    io_recv_into(stream->rig->io, &stream->op, stream->sock, &stream->place, 1);
}

static void stream_done(struct io_op *op)
{
    struct stream *stream = container_of(op, struct stream, op);
    if (op->result <= 0)
        return;
    stream->got += (uint64_t)op->result;
    stream->receives++;
    stream_next(stream);
}

/* Places that are filled have more behind them: what the owner asks for at once comes in the same turn. */
static void a_stream_is_received_in_few_turns(void **state)
{
    RIG(state);
    enum { LEN = 8 * sizeof(((struct stream *)0)->bytes) };
    static uint8_t data[LEN];
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    struct stream stream = {.rig = rig, .sock = pair.far_end, .op.done = stream_done};
    rig_send_all(rig, pair.near_end, data, LEN);
    stream_next(&stream);
    unsigned turns = 0, most = 0;
    while (stream.got < LEN) {
        unsigned before = stream.receives;
        io_run(rig->io, io_now(rig->io) + 100 * NS_PER_MS);
        most = stream.receives - before > most ? stream.receives - before : most;
        assert_true(++turns < 100);
    }
    assert_int_equal(stream.got, LEN);
    assert_true(most >= 3);
    assert_true(most <= 8);
    io_cancel(rig->io, &stream.op);
    RUN_UNTIL(rig->io, !stream.op.busy);
    rig_disconnect(rig, &pair);
}

struct bell {
    struct io_timer timer;
    struct io_post post;
    int rung;
};

static void bell_timer(struct io_timer *timer)
{
    container_of(timer, struct bell, timer)->rung++;
}

static void bell_post(struct io_post *post)
{
    container_of(post, struct bell, post)->rung++;
}

static void timers_fire_at_every_setting_and_never_early(void **state)
{
    RIG(state);
    for (size_t i = 0; i < POLLS; i++) {
        io_set_poll(rig->io, all_polls[i]);
        struct bell bell = {.timer = {.fire = bell_timer}};
        uint64_t due_ns = io_now(rig->io) + 3 * NS_PER_MS;
        io_timer_arm(rig->io, &bell.timer, due_ns);
        while (!bell.rung) {
            assert_true(io_now(rig->io) < due_ns + RIG_PATIENCE);
            io_run(rig->io, UINT64_MAX);
        }
        assert_true(io_now(rig->io) >= due_ns);
        /* And io_run's own limit, with nothing armed. */
        uint64_t until_ns = io_now(rig->io) + 2 * NS_PER_MS;
        while (io_now(rig->io) < until_ns)
            io_run(rig->io, until_ns);
    }
}

static void sockets_work_at_every_setting(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    for (size_t i = 0; i < POLLS; i++) {
        io_set_poll(rig->io, all_polls[i]);
        ping_pong(rig, &pair, 50);
    }
    rig_disconnect(rig, &pair);
}

static void a_reactor_that_always_polls_never_sleeps(void **state)
{
    RIG(state);
    io_set_poll(rig->io, IO_POLL_ALWAYS);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    ping_pong(rig, &pair, 20);
    io_run(rig->io, io_now(rig->io) + NS_PER_MS);
    assert_int_equal(sleeps_of(rig->io), 0);
    rig_disconnect(rig, &pair);
}

static void an_adaptive_reactor_sleeps_once_it_is_idle(void **state)
{
    RIG(state);
    io_set_poll(rig->io, IO_POLL_ADAPTIVE);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    ping_pong(rig, &pair, 20);
    uint64_t before = sleeps_of(rig->io), until_ns = io_now(rig->io) + 20 * NS_PER_MS;
    while (io_now(rig->io) < until_ns)
        io_run(rig->io, until_ns);
    assert_true(sleeps_of(rig->io) > before);
    /* What ends the sleep is served like anything else. */
    ping_pong(rig, &pair, 5);
    rig_disconnect(rig, &pair);
}

struct caller {
    struct io *io;
    struct bell bell;
    bool post;
};

static void *call_thread(void *arg)
{
    struct caller *caller = arg;
    if (caller->post)
        io_post(caller->io, &caller->bell.post);
    else
        io_wake(caller->io);
    return NULL;
}

static void posts_and_wakes_end_a_wait_at_every_setting(void **state)
{
    RIG(state);
    for (int i = 0; i < 60; i++) {
        io_set_poll(rig->io, all_polls[(size_t)i % POLLS]);
        struct caller caller = {.io = rig->io, .bell.post.run = bell_post, .post = i % 2};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, call_thread, &caller), 0);
        /* No limit: what gets lost would hang here. */
        io_run(rig->io, UINT64_MAX);
        while (caller.post && !caller.bell.rung)
            io_run(rig->io, UINT64_MAX);
        pthread_join(thread, NULL);
        io_run(rig->io, 0); /* the wake may have come before the wait */
    }
}

/* ---- watches ---- */

/* A receive that has waited in vain: from now on the backend is told about the socket. */
static void make_watched(struct rig *rig, io_handle sock)
{
    struct wait_op recv = wait_op_new();
    io_recv_any(rig->io, &recv.op, sock, rig->pool, RIG_CHUNK_LEN);
    rig_idle(rig);
    assert_int_equal(recv.finished, 0);
    io_cancel(rig->io, &recv.op);
    AWAIT(rig, recv);
    assert_int_equal(recv.op.result, ERR_CANCELLED);
}

static void closing_a_watched_socket_ends_the_stream_for_the_peer(void **state)
{
    RIG(state);
    for (int i = 0; i < 100; i++) {
        struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
        make_watched(rig, pair.near_end);
        struct wait_op recv = wait_op_new();
        io_recv_any(rig->io, &recv.op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
        io_close(rig->io, pair.near_end);
        AWAIT(rig, recv);
        assert_int_equal(recv.op.result, 0);
        io_close(rig->io, pair.far_end);
        io_close(rig->io, pair.listener);
    }
}

static void a_socket_that_left_while_watched_can_be_closed_where_it_went(void **state)
{
    RIG(state);
    struct rig other = *rig;
    other.io = rig_new_io(rig);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    make_watched(rig, pair.far_end);
    io_detach(rig->io, pair.far_end);
    assert_int_equal(io_attach(other.io, pair.far_end), 0);
    make_watched(&other, pair.far_end);
    io_close(other.io, pair.far_end);
    io_run(other.io, 0);
    /* The first io must not keep it open either. */
    struct wait_op recv = wait_op_new();
    io_recv_any(rig->io, &recv.op, pair.near_end, rig->pool, RIG_CHUNK_LEN);
    AWAIT(rig, recv);
    assert_int_equal(recv.op.result, 0);
    io_close(rig->io, pair.near_end);
    io_close(rig->io, pair.listener);
    io_free(other.io);
}

static void a_port_is_free_as_soon_as_its_listener_is_closed(void **state)
{
    RIG(state);
    struct io_addr at = rig_loopback("127.0.0.1:0"), bound;
    io_handle listener;
    assert_int_equal(io_listen(rig->io, &at, 4, &listener, &bound), 0);
    for (int i = 0; i < 5; i++) {
        struct wait_op accept = wait_op_new();
        io_accept(rig->io, &accept.op, listener);
        rig_idle(rig);
        io_cancel(rig->io, &accept.op);
        AWAIT(rig, accept);
        assert_int_equal(accept.op.result, ERR_CANCELLED);
        io_close(rig->io, listener);
        assert_int_equal(io_listen(rig->io, &bound, 4, &listener, NULL), 0);
    }
    io_close(rig->io, listener);
}

/* A descriptor's number comes back at once: events of its former life must not reach the new one. */
static void a_number_in_use_again_starts_afresh(void **state)
{
    RIG(state);
    for (int i = 0; i < 50; i++) {
        struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
        struct wait_op near = wait_op_new(), far = wait_op_new();
        io_recv_any(rig->io, &near.op, pair.near_end, rig->pool, RIG_CHUNK_LEN);
        io_recv_any(rig->io, &far.op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
        if (i % 3)
            rig_idle(rig);
        rig_send_all(rig, pair.near_end, "x", 1);
        AWAIT(rig, far);
        assert_int_equal(far.op.result, 1);
        assert_int_equal(far.op.chunk->data[0], 'x');
        chunk_unref(far.op.chunk);
        assert_int_equal(near.finished, 0);
        io_cancel(rig->io, &near.op);
        AWAIT(rig, near);
        assert_int_equal(near.op.result, ERR_CANCELLED);
        rig_disconnect(rig, &pair); /* and no turn before the next ones */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_for_polling_are_those_of_the_option),
        RIG_TEST(timers_fire_at_every_setting_and_never_early),
        RIG_TEST(sockets_work_at_every_setting),
        RIG_TEST(a_busy_socket_does_not_hide_another),
        RIG_TEST_REAL(who_never_stops_talking_does_not_hide_another),
        RIG_TEST(a_receive_that_was_cancelled_is_forgotten),
        RIG_TEST_REAL(a_stream_is_received_in_few_turns),
        RIG_TEST_REAL(a_reactor_that_always_polls_never_sleeps),
        RIG_TEST_REAL(an_adaptive_reactor_sleeps_once_it_is_idle),
        RIG_TEST_REAL(posts_and_wakes_end_a_wait_at_every_setting),
        RIG_TEST(closing_a_watched_socket_ends_the_stream_for_the_peer),
        RIG_TEST(a_socket_that_left_while_watched_can_be_closed_where_it_went),
        RIG_TEST(a_port_is_free_as_soon_as_its_listener_is_closed),
        RIG_TEST(a_number_in_use_again_starts_afresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
