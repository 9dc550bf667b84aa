/* The simulated world itself: the seed decides everything, faults happen and only when they are on, and a
 * failing run can be repeated. A small server and its clients echo numbered blocks in several ios; what they
 * saw goes into the trace hash. */
#include "test_io_common.h"

enum { CLIENTS = 3, BLOCK_LEN = 3000, BLOCKS = 20 };

static const struct sim_options calm = {0};
static const struct sim_options rough = {
    .split = 400, .net_delay_ns = 300000, .disk_delay_ns = 900000, .post_delay_ns = 50000};

/* ---- an echo server and its clients ---- */

struct world;

struct peer {
    struct world *world;
    struct io *io;
    struct io_op recv, send;
    io_handle sock;
    struct io_vec in_vec, out_vec;
    uint8_t in[BLOCK_LEN], out[BLOCK_LEN];
    size_t received, sent;
    int blocks;
    bool recv_over;
    int64_t error; /* first failure */
};

struct world {
    struct sim_world *sim;
    struct io *server_io, *client_io[CLIENTS];
    io_handle listener;
    struct io_addr addr;
    struct io_op accept;
    struct peer server[CLIENTS], client[CLIENTS];
    int accepted;
    bool wrong;
};

static void peer_receive(struct peer *peer)
{
    peer->in_vec = (struct io_vec){peer->in + peer->received, BLOCK_LEN - peer->received};
    io_recv_into(peer->io, &peer->recv, peer->sock, &peer->in_vec, 1);
}

static void peer_send(struct peer *peer)
{
    peer->out_vec = (struct io_vec){peer->out + peer->sent, BLOCK_LEN - peer->sent};
    io_send(peer->io, &peer->send, peer->sock, &peer->out_vec, 1);
}

static void peer_fail(struct peer *peer, int64_t result)
{
    if (peer->error == 0)
        peer->error = result;
    io_shutdown(peer->io, peer->sock);
}

static void peer_sent(struct io_op *op)
{
    struct peer *peer = container_of(op, struct peer, send);
    if (op->result < 0) {
        peer_fail(peer, op->result);
        return;
    }
    peer->sent += (size_t)op->result;
    if (peer->sent < BLOCK_LEN)
        peer_send(peer);
}

static void server_received(struct io_op *op)
{
    struct peer *peer = container_of(op, struct peer, recv);
    peer->recv_over = op->result <= 0;
    if (op->result < 0)
        peer_fail(peer, op->result);
    if (op->result <= 0)
        return;
    peer->received += (size_t)op->result;
    if (peer->received == BLOCK_LEN) {
        peer->received = 0;
        peer->sent = 0;
        memcpy(peer->out, peer->in, BLOCK_LEN);
        peer_send(peer);
    }
    peer_receive(peer);
}

static void client_next(struct peer *peer)
{
    fill_pattern(peer->out, BLOCK_LEN, (uint32_t)peer->blocks + 1000);
    peer->sent = peer->received = 0;
    peer_send(peer);
    peer_receive(peer);
}

static void client_received(struct io_op *op)
{
    struct peer *peer = container_of(op, struct peer, recv);
    peer->recv_over = op->result <= 0;
    if (op->result <= 0) {
        peer_fail(peer, op->result < 0 ? op->result : ERR_CLOSED);
        return;
    }
    peer->received += (size_t)op->result;
    if (peer->received < BLOCK_LEN) {
        peer_receive(peer);
        return;
    }
    peer->world->wrong |= memcmp(peer->in, peer->out, BLOCK_LEN) != 0;
    if (++peer->blocks < BLOCKS && !peer->send.busy) {
        client_next(peer);
    } else {
        peer->recv_over = true;
        io_shutdown(peer->io, peer->sock);
    }
}

static void server_accepted(struct io_op *op)
{
    struct world *world = container_of(op, struct world, accept);
    if (op->result < 0)
        return;
    struct peer *peer = &world->server[world->accepted++];
    peer->world = world;
    peer->io = world->server_io;
    peer->sock = (io_handle)op->result;
    peer->recv.done = server_received;
    peer->send.done = peer_sent;
    peer_receive(peer);
    io_accept(world->server_io, op, world->listener);
}

static void client_connected(struct io_op *op)
{
    struct peer *peer = container_of(op, struct peer, recv);
    assert_true(op->result >= 0);
    peer->sock = (io_handle)op->result;
    peer->recv.done = client_received;
    peer->send.done = peer_sent;
    client_next(peer);
}

static struct world *world_new(uint64_t seed, const struct sim_options *options)
{
    struct world *world = calloc(1, sizeof(*world));
    struct io_addr any = rig_loopback("*:3260");
    assert_int_equal(sim_world_new(env_host(), seed, options, &world->sim), 0);
    assert_int_equal(sim_io_new(world->sim, &world->server_io), 0);
    assert_int_equal(io_listen(world->server_io, &any, 16, &world->listener, &world->addr), 0);
    world->accept.done = server_accepted;
    io_accept(world->server_io, &world->accept, world->listener);
    world->addr = rig_loopback("127.0.0.1:3260");
    for (int i = 0; i < CLIENTS; i++) {
        struct peer *peer = &world->client[i];
        assert_int_equal(sim_io_new(world->sim, &world->client_io[i]), 0);
        peer->world = world;
        peer->io = world->client_io[i];
        peer->recv.done = client_connected;
        io_connect(peer->io, &peer->recv, &world->addr);
    }
    return world;
}

static void world_free(struct world *world)
{
    io_cancel(world->server_io, &world->accept);
    for (int i = 0; i < world->accepted; i++)
        io_shutdown(world->server_io, world->server[i].sock);
    while (sim_step(world->sim))
        continue;
    for (int i = 0; i < CLIENTS; i++) {
        assert_false(world->client[i].recv.busy || world->client[i].send.busy);
        io_close(world->client_io[i], world->client[i].sock);
    }
    for (int i = 0; i < world->accepted; i++)
        io_close(world->server_io, world->server[i].sock);
    io_close(world->server_io, world->listener);
    for (int i = 0; i < CLIENTS; i++)
        io_free(world->client_io[i]);
    io_free(world->server_io);
    sim_world_free(world->sim);
    free(world);
}

/* Everything that can happen; the hash of it. */
static uint64_t world_play(uint64_t seed, const struct sim_options *options, int *blocks, int *errors)
{
    struct world *world = world_new(seed, options);
    int steps = 0;
    while (sim_step(world->sim))
        assert_true(++steps < 1000000);
    *blocks = *errors = 0;
    for (int i = 0; i < CLIENTS; i++) {
        *blocks += world->client[i].blocks;
        *errors += world->client[i].error != 0 || (i < world->accepted && world->server[i].error != 0);
    }
    assert_false(world->wrong);
    uint64_t hash = sim_trace_hash(world->sim);
    world_free(world);
    return hash;
}

static void the_same_seed_gives_the_same_trace_and_another_seed_another(void **state)
{
    (void)state;
    int blocks, errors;
    uint64_t last = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t hash = world_play(seed, &rough, &blocks, &errors);
        assert_int_equal(blocks, CLIENTS * BLOCKS);
        assert_int_equal(errors, 0);
        assert_true(hash == world_play(seed, &rough, &blocks, &errors));
        assert_true(hash != last);
        last = hash;
    }
}

static void without_faults_or_delays_everything_gets_through(void **state)
{
    (void)state;
    int blocks, errors;
    world_play(5, &calm, &blocks, &errors);
    assert_int_equal(blocks, CLIENTS * BLOCKS);
    assert_int_equal(errors, 0);
}

static void cuts_reset_connections_and_nothing_arrives_wrong(void **state)
{
    (void)state;
    struct sim_options cutting = rough;
    cutting.cut = 10;
    int runs_with_errors = 0, runs_without = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        int blocks, errors, again_blocks, again_errors;
        uint64_t hash = world_play(seed, &cutting, &blocks, &errors);
        assert_true(hash == world_play(seed, &cutting, &again_blocks, &again_errors));
        runs_with_errors += errors > 0;
        runs_without += errors == 0;
        assert_true(errors > 0 || blocks == CLIENTS * BLOCKS);
    }
    assert_true(runs_with_errors > 10);
    (void)runs_without;
}

static void cut_all_resets_both_ends_of_every_connection(void **state)
{
    (void)state;
    struct world *world = world_new(3, &rough);
    while (world->accepted < CLIENTS)
        assert_true(sim_step(world->sim));
    for (int i = 0; i < 20; i++)
        sim_step(world->sim);
    assert_int_equal(sim_cut_all(world->sim), CLIENTS);
    assert_int_equal(sim_cut_all(world->sim), 0);
    while (sim_step(world->sim))
        continue;
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(world->client[i].error, ERR_RESET);
        assert_int_equal(world->server[i].error, ERR_RESET);
        assert_true(world->client[i].blocks < BLOCKS);
    }
    world_free(world);
}

static void a_world_in_which_all_wait_stops(void **state)
{
    (void)state;
    struct sim_world *sim;
    struct io *io;
    assert_int_equal(sim_world_new(env_host(), 1, &calm, &sim), 0);
    assert_false(sim_step(sim));
    assert_int_equal(sim_io_new(sim, &io), 0);
    assert_false(sim_step(sim));
    const uint64_t before = sim_now(sim);
    io_wake(io);
    assert_true(sim_step(sim));
    assert_false(sim_step(sim));
    assert_true(sim_now(sim) == before);
    io_free(io);
    sim_world_free(sim);
}

/* ---- time, randomness, the disk, posts ---- */

static void the_env_of_a_world_is_deterministic(void **state)
{
    (void)state;
    uint8_t bytes[2][64];
    for (int i = 0; i < 2; i++) {
        struct sim_world *sim;
        assert_int_equal(sim_world_new(env_host(), 99, &calm, &sim), 0);
        const struct env *env = sim_env(sim);
        env->random(env->ctx, bytes[i], sizeof(bytes[i]));
        assert_true(env_now(env) == sim_now(sim));
        void *memory = env_alloc(env, 100);
        assert_non_null(memory);
        env_free(env, memory);
        const struct bytes part = {"abc", 3};
        uint8_t digest[HASH_LEN_MAX];
        assert_int_equal(env->hash(env->ctx, HASH_SHA256, &part, 1, digest), 32);
        sim_world_free(sim);
    }
    assert_memory_equal(bytes[0], bytes[1], sizeof(bytes[0]));
}

static int order[8], order_count;

static void order_done(struct io_op *op)
{
    order[order_count++] = (int)op->offset / 10;
    assert_true(op->result == 10 || op->result == ERR_IO);
}

/* Eight writes at once; the order in which they end, as one number. */
static uint32_t disk_order(uint64_t seed, uint32_t disk_error, int *errors)
{
    struct sim_options options = rough;
    options.disk_error = disk_error;
    struct sim_world *sim;
    struct io *io;
    io_handle file;
    struct io_op ops[8] = {0};
    struct io_vec vec = {(void *)(uintptr_t) "0123456789", 10};
    assert_int_equal(sim_world_new(env_host(), seed, &options, &sim), 0);
    assert_int_equal(sim_io_new(sim, &io), 0);
    assert_int_equal(io_file_open(io, "disk", IO_OPEN_WRITE | IO_OPEN_CREATE, &file, NULL), 0);
    order_count = 0;
    for (int i = 0; i < 8; i++) {
        ops[i].done = order_done;
        io_pwrite(io, &ops[i], file, &vec, 1, (uint64_t)i * 10);
    }
    while (sim_step(sim))
        continue;
    assert_int_equal(order_count, 8);
    uint32_t number = 0;
    *errors = 0;
    for (int i = 0; i < 8; i++) {
        number = number << 3 | (uint32_t)order[i];
        *errors += ops[i].result < 0;
    }
    io_file_close(io, file);
    io_free(io);
    sim_world_free(sim);
    return number;
}

static void disk_operations_overtake_one_another_and_fail_when_asked(void **state)
{
    (void)state;
    int errors, failed = 0, different = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint32_t a = disk_order(seed, 0, &errors);
        assert_int_equal(errors, 0);
        assert_int_equal(a, disk_order(seed, 0, &errors));
        different += a != 0x53977; /* 0 1 2 3 4 5 6 7 in octal */
        disk_order(seed, 500, &errors);
        failed += errors;
    }
    assert_true(different >= 18);
    assert_true(failed > 40 && failed < 120);
}

static void a_huge_sparse_file_costs_only_what_is_written(void **state)
{
    (void)state;
    struct sim_world *sim;
    struct io *io;
    io_handle file;
    struct wait_op op = wait_op_new();
    char back[8];
    struct io_vec vec = {(void *)(uintptr_t) "far away", 8}, in = {back, 8};
    assert_int_equal(sim_world_new(env_host(), 1, &rough, &sim), 0);
    assert_int_equal(sim_io_new(sim, &io), 0);
    assert_int_equal(io_file_open(io, "big", IO_OPEN_WRITE | IO_OPEN_CREATE, &file, NULL), 0);
    assert_int_equal(io_file_resize(io, file, UINT64_C(1) << 44), 0);
    io_pwrite(io, &op.op, file, &vec, 1, (UINT64_C(1) << 44) - 12);
    RUN_UNTIL(io, op.finished);
    io_pread(io, &op.op, file, &in, 1, (UINT64_C(1) << 44) - 12);
    RUN_UNTIL(io, op.finished == 2);
    assert_memory_equal(back, "far away", 8);
    io_discard(io, &op.op, file, 0, (UINT64_C(1) << 44) - 8);
    RUN_UNTIL(io, op.finished == 3);
    io_pread(io, &op.op, file, &in, 1, (UINT64_C(1) << 44) - 12);
    RUN_UNTIL(io, op.finished == 4);
    assert_memory_equal(back, "\0\0\0\0away", 8);
    io_file_close(io, file);
    io_free(io);
    sim_world_free(sim);
}

struct letter {
    struct io_post post;
    int number;
};
static int letter_last, letter_count;
static uint64_t letter_when_ns;
static struct sim_world *letter_world;

static void letter_run(struct io_post *post)
{
    struct letter *letter = container_of(post, struct letter, post);
    assert_int_equal(letter->number, letter_last + 1);
    letter_last = letter->number;
    letter_count++;
    letter_when_ns = sim_now(letter_world);
}

static void posts_take_time_and_keep_their_order(void **state)
{
    (void)state;
    struct io *io;
    struct letter letters[50];
    assert_int_equal(sim_world_new(env_host(), 12, &rough, &letter_world), 0);
    assert_int_equal(sim_io_new(letter_world, &io), 0);
    const uint64_t sent_ns = sim_now(letter_world);
    letter_last = letter_count = 0;
    for (int i = 0; i < 50; i++) {
        letters[i] = (struct letter){{letter_run, NULL}, i + 1};
        io_post(io, &letters[i].post);
    }
    while (sim_step(letter_world))
        continue;
    assert_int_equal(letter_count, 50);
    assert_true(letter_when_ns > sent_ns);
    io_free(io);
    sim_world_free(letter_world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_trace_and_another_seed_another),
        cmocka_unit_test(without_faults_or_delays_everything_gets_through),
        cmocka_unit_test(cuts_reset_connections_and_nothing_arrives_wrong),
        cmocka_unit_test(cut_all_resets_both_ends_of_every_connection),
        cmocka_unit_test(a_world_in_which_all_wait_stops),
        cmocka_unit_test(the_env_of_a_world_is_deterministic),
        cmocka_unit_test(disk_operations_overtake_one_another_and_fail_when_asked),
        cmocka_unit_test(a_huge_sparse_file_costs_only_what_is_written),
        cmocka_unit_test(posts_take_time_and_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
