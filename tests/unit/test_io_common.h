/* A rig for the io tests: one backend, a pool, and operations that remember their result. Each test of a
 * behaviour runs over every backend: RIG_TEST makes the rows of the table. */
#ifndef LUNETTE_TESTS_TEST_IO_COMMON_H
#define LUNETTE_TESTS_TEST_IO_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/io/io.h"
#include "common/io/sim.h"

#define RIG_POOL_LIMIT (8u * 1024 * 1024)
#define RIG_CHUNK_LEN  (128u * 1024)
#define NS_PER_MS      UINT64_C(1000000)
#define RIG_PATIENCE   (10000 * NS_PER_MS) /* a test that waits longer has failed */

enum rig_kind { RIG_EPOLL, RIG_URING, RIG_URING_PLAIN, RIG_SIM };

struct rig {
    enum rig_kind kind;
    struct sim_world *world; /* RIG_SIM */
    struct io *io;           /* NULL: this backend does not exist here */
    struct pool *pool;
};

static inline struct io *rig_new_io(struct rig *rig)
{
    struct io *io = NULL;
    /* The plain variant goes the ways that a kernel without the optional features leaves. */
    if (rig->kind == RIG_URING_PLAIN)
        setenv("LUNETTE_URING_FEATURES", "none", 1);
    else
        unsetenv("LUNETTE_URING_FEATURES");
    if (rig->kind == RIG_SIM)
        assert_int_equal(sim_io_new(rig->world, &io), 0);
    else if (rig->kind == RIG_EPOLL)
        assert_int_equal(io_new(env_host(), IO_KIND_EPOLL, &io), 0);
    else
        (void)io_new(env_host(), IO_KIND_URING, &io);
    return io;
}

static inline int rig_setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    rig->kind = (enum rig_kind)(uintptr_t)*state;
    static const struct sim_options options = {
        .split = 300, .net_delay_ns = 200000, .disk_delay_ns = 500000, .post_delay_ns = 100000};
    if (rig->kind == RIG_SIM && sim_world_new(env_host(), 7, &options, &rig->world) < 0)
        return -1;
    rig->io = rig_new_io(rig);
    if (pool_new(env_host(), RIG_POOL_LIMIT, &rig->pool) < 0)
        return -1;
    *state = rig;
    return 0;
}

static inline int rig_teardown(void **state)
{
    struct rig *rig = *state;
    io_free(rig->io);
    pool_free(rig->pool);
    sim_world_free(rig->world);
    free(rig);
    return 0;
}

#define RIG(state)                                                                                           \
    struct rig *rig = *(state);                                                                              \
    if (!rig->io) {                                                                                          \
        print_message("skipped: io_uring is not available here\n");                                          \
        skip();                                                                                              \
    }

#define RIG_ROW(f, kind, suffix)                                                                             \
    {                                                                                                        \
#f suffix, f, rig_setup, rig_teardown, (void *)(uintptr_t)(kind)                                     \
    }
#define RIG_TEST_REAL(f)                                                                                     \
    RIG_ROW(f, RIG_EPOLL, " (epoll)"), RIG_ROW(f, RIG_URING, " (uring)"),                                    \
        RIG_ROW(f, RIG_URING_PLAIN, " (uring plain)")
#define RIG_TEST(f) RIG_TEST_REAL(f), RIG_ROW(f, RIG_SIM, " (sim)")

/* Runs the io until the condition holds. */
#define RUN_UNTIL(io_, condition)                                                                            \
    do {                                                                                                     \
        const uint64_t give_up_ns = io_now(io_) + RIG_PATIENCE;                                              \
        while (!(condition)) {                                                                               \
            assert_true(io_now(io_) < give_up_ns);                                                           \
            io_run(io_, io_now(io_) + 20 * NS_PER_MS);                                                       \
        }                                                                                                    \
    } while (0)

/* Runs some turns in which nothing is expected. */
static inline void rig_idle(struct rig *rig)
{
    for (int i = 0; i < 5; i++)
        io_run(rig->io, io_now(rig->io) + 2 * NS_PER_MS);
}

/* An operation that counts its completions. */
struct wait_op {
    struct io_op op;
    int finished;
};

static inline void wait_op_done(struct io_op *op)
{
    struct wait_op *self = container_of(op, struct wait_op, op);
    assert_false(op->busy);
    self->finished++;
}

static inline struct wait_op wait_op_new(void)
{
    return (struct wait_op){.op = {.done = wait_op_done}};
}

#define AWAIT(rig_, w)                                                                                       \
    do {                                                                                                     \
        RUN_UNTIL((rig_)->io, (w).finished > 0);                                                             \
        assert_int_equal((w).finished, 1);                                                                   \
    } while (0)

static inline struct io_addr rig_loopback(const char *text)
{
    struct io_addr addr;
    assert_int_equal(addr_parse(text, 0, &addr), 0);
    return addr;
}

/* Two connected sockets on one io. */
struct rig_pair {
    io_handle listener, near_end, far_end;
    struct io_addr addr;
};

static inline struct rig_pair rig_connect(struct rig *rig, const char *where)
{
    struct rig_pair pair;
    struct io_addr at = rig_loopback(where);
    struct wait_op accepted = wait_op_new(), connected = wait_op_new();
    assert_int_equal(io_listen(rig->io, &at, 16, &pair.listener, &pair.addr), 0);
    assert_int_not_equal(pair.addr.port, 0);
    io_accept(rig->io, &accepted.op, pair.listener);
    io_connect(rig->io, &connected.op, &pair.addr);
    assert_int_equal(accepted.finished + connected.finished, 0);
    AWAIT(rig, connected);
    AWAIT(rig, accepted);
    assert_true(connected.op.result >= 0);
    assert_true(accepted.op.result >= 0);
    pair.near_end = (io_handle)connected.op.result;
    pair.far_end = (io_handle)accepted.op.result;
    struct io_addr local;
    assert_int_equal(io_local_addr(rig->io, pair.near_end, &local), 0);
    assert_true(addr_equal(&local, &accepted.op.addr));
    return pair;
}

static inline void rig_disconnect(struct rig *rig, struct rig_pair *pair)
{
    io_close(rig->io, pair->near_end);
    io_close(rig->io, pair->far_end);
    io_close(rig->io, pair->listener);
}

/* Sends everything, in as many steps as it takes. */
static inline void rig_send_all(struct rig *rig, io_handle sock, const void *bytes, size_t len)
{
    size_t sent = 0;
    while (sent < len) {
        struct io_vec vec = {(uint8_t *)(uintptr_t)bytes + sent, len - sent};
        struct wait_op send = wait_op_new();
        io_send(rig->io, &send.op, sock, &vec, 1);
        AWAIT(rig, send);
        assert_true(send.op.result > 0);
        sent += (size_t)send.op.result;
    }
}

/* Receives exactly len bytes. */
static inline void rig_recv_all(struct rig *rig, io_handle sock, void *bytes, size_t len)
{
    size_t have = 0;
    while (have < len) {
        struct io_vec vec = {(uint8_t *)bytes + have, len - have};
        struct wait_op recv = wait_op_new();
        io_recv_into(rig->io, &recv.op, sock, &vec, 1);
        AWAIT(rig, recv);
        assert_true(recv.op.result > 0);
        have += (size_t)recv.op.result;
    }
}

static inline void fill_pattern(uint8_t *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
}

#endif
