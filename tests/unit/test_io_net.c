/* Sockets and turns: the same behaviour over every backend. Each test uses two connected sockets of one io
 * and looks at what the completions say. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "test_io_common.h"

static void echo_over(struct rig *rig, const char *where)
{
    struct rig_pair pair = rig_connect(rig, where);
    char back[32] = {0};
    rig_send_all(rig, pair.near_end, "hello, reactor", 14);
    rig_recv_all(rig, pair.far_end, back, 14);
    assert_string_equal(back, "hello, reactor");
    rig_send_all(rig, pair.far_end, back, 14);
    memset(back, 0, sizeof(back));
    rig_recv_all(rig, pair.near_end, back, 14);
    assert_string_equal(back, "hello, reactor");
    rig_disconnect(rig, &pair);
}

static void bytes_come_back_over_ipv4(void **state)
{
    RIG(state);
    echo_over(rig, "127.0.0.1:0");
}

static void bytes_come_back_over_ipv6(void **state)
{
    RIG(state);
    echo_over(rig, "[::1]:0");
}

static void peer_and_local_addresses_agree(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    struct io_addr a, b;
    assert_int_equal(io_peer_addr(rig->io, pair.near_end, &a), 0);
    assert_int_equal(io_local_addr(rig->io, pair.far_end, &b), 0);
    assert_true(addr_equal(&a, &b) && addr_equal(&a, &pair.addr));
    assert_int_equal(io_local_addr(rig->io, pair.listener, &a), 0);
    assert_true(addr_equal(&a, &pair.addr));
    rig_disconnect(rig, &pair);
}

static void expect_options(io_handle sock)
{
    char control[16] = "";
    int no_delay = 0;
    socklen_t len = sizeof control - 1, no_delay_len = sizeof no_delay;
    assert_int_equal(getsockopt((int)sock, IPPROTO_TCP, TCP_CONGESTION, control, &len), 0);
    assert_string_equal(control, "reno");
    assert_int_equal(getsockopt((int)sock, IPPROTO_TCP, TCP_NODELAY, &no_delay, &no_delay_len), 0);
    assert_int_not_equal(no_delay, 0);
}

static void both_ends_within_the_machine_have_their_options(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    expect_options(pair.near_end);
    expect_options(pair.far_end);
    rig_disconnect(rig, &pair);
}

static void recv_any_holds_no_chunk_while_idle(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    struct wait_op recv = wait_op_new();
    io_recv_any(rig->io, &recv.op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
    rig_idle(rig);
    assert_int_equal(recv.finished, 0);
    assert_int_equal(pool_chunks_in_use(rig->pool), 0);
    rig_send_all(rig, pair.near_end, "x", 1);
    AWAIT(rig, recv);
    assert_int_equal(recv.op.result, 1);
    assert_non_null(recv.op.chunk);
    assert_int_equal(recv.op.chunk->data[0], 'x');
    assert_int_equal(pool_chunks_in_use(rig->pool), 1);
    chunk_unref(recv.op.chunk);
    rig_disconnect(rig, &pair);
}

static void recv_any_says_nomem_when_the_pool_is_empty_and_loses_nothing(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    struct chunk *taken[RIG_POOL_LIMIT / POOL_CLASS_MAX];
    size_t count = 0;
    while (count < RIG_POOL_LIMIT / POOL_CLASS_MAX && (taken[count] = pool_get(rig->pool, POOL_CLASS_MAX)))
        count++;
    /* What the chunk headers leave over. */
    struct chunk *rest[4096];
    size_t rest_count = 0;
    while (rest_count < 4096 && (rest[rest_count] = pool_get(rig->pool, RIG_CHUNK_LEN)))
        rest_count++;
    rig_send_all(rig, pair.near_end, "abc", 3);
    struct wait_op recv = wait_op_new();
    io_recv_any(rig->io, &recv.op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
    AWAIT(rig, recv);
    assert_int_equal(recv.op.result, ERR_NOMEM);
    while (count > 0)
        chunk_unref(taken[--count]);
    while (rest_count > 0)
        chunk_unref(rest[--rest_count]);
    char back[4] = {0};
    rig_recv_all(rig, pair.far_end, back, 3);
    assert_string_equal(back, "abc");
    rig_disconnect(rig, &pair);
}

static void recv_into_fills_the_places_in_order(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    rig_send_all(rig, pair.near_end, "abcdefghij", 10);
    char a[3], b[1], c[6];
    size_t have = 0;
    /* The parts may arrive in several receives: each goes on where the last one stopped. */
    while (have < 10) {
        struct io_vec whole[3] = {{a, 3}, {b, 1}, {c, 6}}, vec[3];
        uint32_t count = 0;
        size_t skip_len = have;
        for (int i = 0; i < 3; i++) {
            size_t skipped = skip_len < whole[i].len ? skip_len : whole[i].len;
            skip_len -= skipped;
            if (skipped < whole[i].len)
                vec[count++] = (struct io_vec){(char *)whole[i].ptr + skipped, whole[i].len - skipped};
        }
        struct wait_op recv = wait_op_new();
        io_recv_into(rig->io, &recv.op, pair.far_end, vec, count);
        AWAIT(rig, recv);
        assert_true(recv.op.result > 0);
        have += (size_t)recv.op.result;
    }
    assert_memory_equal(a, "abc", 3);
    assert_memory_equal(b, "d", 1);
    assert_memory_equal(c, "efghij", 6);
    rig_disconnect(rig, &pair);
}

static void a_gather_list_of_the_largest_size_is_sent_in_order(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    static uint8_t out[IO_VEC_MAX * 7], in[IO_VEC_MAX * 7];
    fill_pattern(out, sizeof(out), 1);
    size_t sent = 0;
    while (sent < sizeof(out)) {
        struct io_vec vec[IO_VEC_MAX];
        uint32_t count = 0;
        for (size_t at = sent; at < sizeof(out); at = (at / 7 + 1) * 7)
            vec[count++] = (struct io_vec){out + at, (at / 7 + 1) * 7 - at};
        struct wait_op send = wait_op_new();
        io_send(rig->io, &send.op, pair.near_end, vec, count);
        AWAIT(rig, send);
        assert_true(send.op.result > 0);
        sent += (size_t)send.op.result;
    }
    rig_recv_all(rig, pair.far_end, in, sizeof(in));
    assert_memory_equal(in, out, sizeof(in));
    rig_disconnect(rig, &pair);
}

/* A sender and a receiver of a long stream, both re-submitting from their done functions. */
struct stream {
    struct rig *rig;
    struct rig_pair pair;
    struct io_op send, recv;
    struct io_vec vec;
    uint8_t *bytes;
    size_t len, sent, received;
    bool wrong, ended;
};

static void stream_send_more(struct stream *stream)
{
    stream->vec = (struct io_vec){stream->bytes + stream->sent, stream->len - stream->sent};
    io_send(stream->rig->io, &stream->send, stream->pair.near_end, &stream->vec, 1);
}

static void stream_sent(struct io_op *op)
{
    struct stream *stream = container_of(op, struct stream, send);
    assert_true(op->result > 0);
    stream->sent += (size_t)op->result;
    if (stream->sent < stream->len)
        stream_send_more(stream);
    else
        io_shutdown(stream->rig->io, stream->pair.near_end);
}

static void stream_received(struct io_op *op)
{
    struct stream *stream = container_of(op, struct stream, recv);
    assert_true(op->result >= 0);
    stream->ended = op->result == 0;
    if (stream->ended)
        return;
    stream->wrong |= memcmp(op->chunk->data, stream->bytes + stream->received, (size_t)op->result) != 0;
    stream->received += (size_t)op->result;
    chunk_unref(op->chunk);
    io_recv_any(stream->rig->io, op, stream->pair.far_end, stream->rig->pool, 64 * 1024);
}

static void a_long_stream_arrives_whole_and_ends_with_zero(void **state)
{
    RIG(state);
    struct stream stream = {.rig = rig, .pair = rig_connect(rig, "127.0.0.1:0"), .len = 6 * 1024 * 1024};
    stream.send.done = stream_sent;
    stream.recv.done = stream_received;
    stream.bytes = malloc(stream.len);
    fill_pattern(stream.bytes, stream.len, 5);
    /* The receiver starts late, so the sender meets a full socket first. */
    stream_send_more(&stream);
    rig_idle(rig);
    assert_true(stream.sent < stream.len);
    io_recv_any(rig->io, &stream.recv, stream.pair.far_end, rig->pool, 64 * 1024);
    RUN_UNTIL(rig->io, stream.ended);
    assert_int_equal(stream.received, stream.len);
    assert_false(stream.wrong);
    struct io_stats stats;
    io_get_stats(rig->io, &stats);
    assert_int_equal(stats.send_bytes, stream.len);
    assert_int_equal(stats.recv_bytes, stream.len);
    assert_true(stats.recv_ops >= stream.len / (64 * 1024) && stats.send_ops > 0);
    free(stream.bytes);
    rig_disconnect(rig, &stream.pair);
}

static void end_of_stream_after_a_short_receive_is_seen(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    char back[8];
    /* Bytes and end are there together: the receive is short, and no further readiness will be announced. */
    rig_send_all(rig, pair.near_end, "bye", 3);
    io_shutdown(rig->io, pair.near_end);
    rig_idle(rig);
    rig_recv_all(rig, pair.far_end, back, 3);
    for (int again = 0; again < 2; again++) {
        struct wait_op recv = wait_op_new();
        io_recv_any(rig->io, &recv.op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
        AWAIT(rig, recv);
        assert_int_equal(recv.op.result, 0);
        assert_null(recv.op.chunk);
    }
    rig_disconnect(rig, &pair);
}

static void closing_over_unread_bytes_resets_the_peer(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    char back[8];
    struct io_vec vec = {back, sizeof(back)};
    rig_send_all(rig, pair.near_end, "unread", 6);
    rig_idle(rig);
    struct wait_op recv = wait_op_new();
    io_recv_into(rig->io, &recv.op, pair.near_end, &vec, 1);
    io_close(rig->io, pair.far_end);
    AWAIT(rig, recv);
    assert_int_equal(recv.op.result, ERR_RESET);
    struct wait_op send = wait_op_new();
    io_send(rig->io, &send.op, pair.near_end, &vec, 1);
    AWAIT(rig, send);
    assert_true(send.op.result == ERR_CLOSED || send.op.result == ERR_RESET);
    io_close(rig->io, pair.near_end);
    io_close(rig->io, pair.listener);
}

static void cancelled_operations_complete_as_cancelled(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    for (int waited = 0; waited < 2; waited++) {
        char back[8];
        struct io_vec vec = {back, sizeof(back)};
        struct wait_op any = wait_op_new(), into = wait_op_new(), accept = wait_op_new();
        io_recv_any(rig->io, &any.op, pair.near_end, rig->pool, RIG_CHUNK_LEN);
        io_recv_into(rig->io, &into.op, pair.far_end, &vec, 1);
        io_accept(rig->io, &accept.op, pair.listener);
        if (waited) /* once before the kernel knows of them, once after */
            rig_idle(rig);
        io_cancel(rig->io, &any.op);
        io_cancel(rig->io, &into.op);
        io_cancel(rig->io, &accept.op);
        io_cancel(rig->io, &accept.op); /* twice is harmless */
        assert_int_equal(any.finished + into.finished + accept.finished, 0);
        AWAIT(rig, any);
        AWAIT(rig, into);
        AWAIT(rig, accept);
        assert_int_equal(any.op.result, ERR_CANCELLED);
        assert_int_equal(into.op.result, ERR_CANCELLED);
        assert_int_equal(accept.op.result, ERR_CANCELLED);
        io_cancel(rig->io, &any.op); /* not busy */
    }
    /* The sockets still work. */
    char back[4] = {0};
    rig_send_all(rig, pair.far_end, "abc", 3);
    rig_recv_all(rig, pair.near_end, back, 3);
    assert_string_equal(back, "abc");
    rig_disconnect(rig, &pair);
}

static void a_full_send_can_be_cancelled(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    const size_t len = 16 * 1024 * 1024;
    uint8_t *bytes = calloc(1, len);
    struct wait_op send;
    /* Until the socket takes no more. */
    for (;;) {
        struct io_vec vec = {bytes, len};
        send = wait_op_new();
        io_send(rig->io, &send.op, pair.near_end, &vec, 1);
        rig_idle(rig);
        if (send.finished == 0) {
            io_cancel(rig->io, &send.op);
            AWAIT(rig, send);
            break;
        }
        assert_true(send.op.result > 0);
    }
    assert_int_equal(send.op.result, ERR_CANCELLED);
    free(bytes);
    rig_disconnect(rig, &pair);
}

static void shutdown_wakes_a_pending_receive(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    struct wait_op near_end = wait_op_new(), far_end = wait_op_new();
    io_recv_any(rig->io, &near_end.op, pair.near_end, rig->pool, RIG_CHUNK_LEN);
    io_recv_any(rig->io, &far_end.op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
    rig_idle(rig);
    io_shutdown(rig->io, pair.near_end);
    AWAIT(rig, near_end);
    AWAIT(rig, far_end);
    assert_true(near_end.op.result == 0 || near_end.op.result == ERR_CLOSED ||
                near_end.op.result == ERR_RESET);
    assert_int_equal(far_end.op.result, 0);
    rig_disconnect(rig, &pair);
}

static void connecting_to_a_closed_port_is_refused(void **state)
{
    RIG(state);
    struct io_addr at = rig_loopback("127.0.0.1:0"), bound;
    io_handle listener;
    assert_int_equal(io_listen(rig->io, &at, 1, &listener, &bound), 0);
    io_close(rig->io, listener);
    struct wait_op connect = wait_op_new();
    io_connect(rig->io, &connect.op, &bound);
    AWAIT(rig, connect);
    assert_int_equal(connect.op.result, ERR_REFUSED);
}

static void a_connect_can_be_cancelled_and_leaves_no_socket(void **state)
{
    RIG(state);
    struct io_addr at = rig_loopback("127.0.0.1:0"), bound;
    io_handle listener;
    assert_int_equal(io_listen(rig->io, &at, 1, &listener, &bound), 0);
    struct wait_op connect = wait_op_new();
    io_connect(rig->io, &connect.op, &bound);
    io_cancel(rig->io, &connect.op);
    AWAIT(rig, connect);
    assert_int_equal(connect.op.result, ERR_CANCELLED);
    io_close(rig->io, listener);
}

static void a_port_in_use_and_an_address_without_family_are_refused(void **state)
{
    RIG(state);
    struct io_addr at = rig_loopback("127.0.0.1:0"), bound, none = {0};
    io_handle listener, second;
    assert_int_equal(io_listen(rig->io, &at, 1, &listener, &bound), 0);
    assert_int_equal(io_listen(rig->io, &bound, 1, &second, NULL), ERR_ADDRINUSE);
    assert_int_equal(io_listen(rig->io, &none, 1, &second, NULL), ERR_INVALID);
    io_close(rig->io, listener);
}

static void ipv4_and_ipv6_wildcards_share_a_port(void **state)
{
    RIG(state);
    struct io_addr four = rig_loopback("*:0"), six = rig_loopback("[::]:0"), bound;
    io_handle a, b;
    assert_int_equal(io_listen(rig->io, &four, 1, &a, &bound), 0);
    six.port = bound.port;
    assert_int_equal(io_listen(rig->io, &six, 1, &b, &bound), 0);
    io_close(rig->io, a);
    io_close(rig->io, b);
}

static void a_socket_moves_to_another_io_with_its_unread_bytes(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    struct rig other = *rig;
    other.io = rig_new_io(rig);
    char back[8] = {0};
    rig_send_all(rig, pair.near_end, "onetwo", 6);
    rig_recv_all(rig, pair.far_end, back, 3);
    /* A receive that has waited makes the old io register the socket. */
    struct wait_op waited = wait_op_new();
    rig_recv_all(rig, pair.far_end, back + 3, 3);
    io_recv_any(rig->io, &waited.op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
    rig_idle(rig);
    io_cancel(rig->io, &waited.op);
    AWAIT(rig, waited);
    memset(back + 3, 0, 3);
    rig_send_all(rig, pair.near_end, "two", 3);
    io_detach(rig->io, pair.far_end);
    assert_int_equal(io_attach(other.io, pair.far_end), 0);
    rig_recv_all(&other, pair.far_end, back + 3, 3);
    assert_string_equal(back, "onetwo");
    struct wait_op recv = wait_op_new();
    io_recv_any(other.io, &recv.op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
    rig_idle(&other);
    assert_int_equal(recv.finished, 0);
    rig_send_all(rig, pair.near_end, "!", 1);
    AWAIT(&other, recv);
    assert_int_equal(recv.op.result, 1);
    chunk_unref(recv.op.chunk);
    rig_send_all(&other, pair.far_end, "back", 4);
    rig_recv_all(rig, pair.near_end, back, 4);
    assert_memory_equal(back, "back", 4);
    /* And home again, where it was known before. */
    io_detach(other.io, pair.far_end);
    assert_int_equal(io_attach(rig->io, pair.far_end), 0);
    recv = wait_op_new();
    io_recv_any(rig->io, &recv.op, pair.far_end, rig->pool, RIG_CHUNK_LEN);
    rig_idle(rig);
    rig_send_all(rig, pair.near_end, "?", 1);
    AWAIT(rig, recv);
    assert_int_equal(recv.op.result, 1);
    chunk_unref(recv.op.chunk);
    io_close(rig->io, pair.far_end);
    io_close(rig->io, pair.near_end);
    io_close(rig->io, pair.listener);
    io_free(other.io);
}

/* Two receives become ready in one turn; whichever completes first cancels the other one. */
struct rivals {
    struct rig *rig;
    struct io_op op[2];
    char byte[2];
    struct io_vec vec[2];
    int finished;
};

static void rival_done(struct io_op *op)
{
    struct rivals *rivals = NULL;
    int me = op->vec->ptr == NULL ? 0 : (int)op->len; /* the tests' own number, kept in an unused argument */
    rivals = container_of(op, struct rivals, op[me]);
    if (rivals->finished++ == 0)
        io_cancel(rivals->rig->io, &rivals->op[1 - me]);
    assert_true(op->result == 1 || op->result == ERR_CANCELLED);
}

static void cancelling_from_a_done_function_of_the_same_turn_is_safe(void **state)
{
    RIG(state);
    struct rig_pair pair = rig_connect(rig, "127.0.0.1:0");
    for (int i = 0; i < 20; i++) {
        struct rivals rivals = {.rig = rig};
        const io_handle socks[2] = {pair.near_end, pair.far_end};
        for (int k = 0; k < 2; k++) {
            rivals.vec[k] = (struct io_vec){&rivals.byte[k], 1};
            rivals.op[k].done = rival_done;
            rivals.op[k].len = (uint64_t)k;
            io_recv_into(rig->io, &rivals.op[k], socks[k], &rivals.vec[k], 1);
        }
        if (i % 2)
            rig_idle(rig);
        struct wait_op sends[2] = {wait_op_new(), wait_op_new()};
        struct io_vec bytes = {(void *)(uintptr_t) "x", 1};
        io_send(rig->io, &sends[0].op, pair.near_end, &bytes, 1);
        io_send(rig->io, &sends[1].op, pair.far_end, &bytes, 1);
        AWAIT(rig, sends[0]);
        AWAIT(rig, sends[1]);
        RUN_UNTIL(rig->io, rivals.finished == 2);
        for (int k = 0; k < 2; k++) {
            char rest;
            if (rivals.op[k].result != 1)
                rig_recv_all(rig, socks[k], &rest, 1); /* a cancelled receive has eaten nothing */
        }
    }
    rig_disconnect(rig, &pair);
}

static int hook_calls;

static void count_hook(void *arg)
{
    (void)arg;
    hook_calls++;
}

static void the_turn_hook_runs_once_per_turn(void **state)
{
    RIG(state);
    struct io_stats before, after;
    io_set_turn_hook(rig->io, count_hook, NULL);
    io_get_stats(rig->io, &before);
    hook_calls = 0;
    for (int i = 0; i < 7; i++)
        io_run(rig->io, 0);
    io_get_stats(rig->io, &after);
    assert_int_equal(after.turns - before.turns, 7);
    assert_int_equal(hook_calls, 7);
}

static void many_sockets_at_once_all_get_their_bytes(void **state)
{
    RIG(state);
    enum { COUNT = 200 };
    static struct wait_op recv[COUNT], send[COUNT];
    static io_handle ends[COUNT][2];
    struct io_addr at = rig_loopback("127.0.0.1:0"), bound;
    io_handle listener;
    assert_int_equal(io_listen(rig->io, &at, COUNT, &listener, &bound), 0);
    for (int i = 0; i < COUNT; i++) {
        struct wait_op accept = wait_op_new(), connect = wait_op_new();
        io_accept(rig->io, &accept.op, listener);
        io_connect(rig->io, &connect.op, &bound);
        AWAIT(rig, connect);
        AWAIT(rig, accept);
        ends[i][0] = (io_handle)connect.op.result;
        ends[i][1] = (io_handle)accept.op.result;
        recv[i] = wait_op_new();
        io_recv_any(rig->io, &recv[i].op, ends[i][1], rig->pool, 512);
    }
    struct io_vec byte = {(void *)(uintptr_t) "y", 1};
    /* More than fit into one submission ring. */
    for (int i = 0; i < COUNT; i++) {
        send[i] = wait_op_new();
        io_send(rig->io, &send[i].op, ends[i][0], &byte, 1);
    }
    for (int i = 0; i < COUNT; i++) {
        AWAIT(rig, recv[i]);
        AWAIT(rig, send[i]);
        assert_int_equal(recv[i].op.result, 1);
        chunk_unref(recv[i].op.chunk);
        io_close(rig->io, ends[i][0]);
        io_close(rig->io, ends[i][1]);
    }
    io_close(rig->io, listener);
}

static void auto_always_finds_a_backend(void **state)
{
    (void)state;
    struct io *io;
    enum io_kind kind;
    assert_int_equal(io_new(env_host(), IO_KIND_AUTO, &io), 0);
    assert_true(strcmp(io_name(io), "uring") == 0 || strcmp(io_name(io), "epoll") == 0);
    io_free(io);
    assert_true(io_kind_parse("auto", &kind) && kind == IO_KIND_AUTO);
    assert_true(io_kind_parse("uring", &kind) && kind == IO_KIND_URING);
    assert_true(io_kind_parse("epoll", &kind) && kind == IO_KIND_EPOLL);
    assert_false(io_kind_parse("", &kind) || io_kind_parse("EPOLL", &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(bytes_come_back_over_ipv4),
        RIG_TEST(bytes_come_back_over_ipv6),
        RIG_TEST(peer_and_local_addresses_agree),
        RIG_TEST_REAL(both_ends_within_the_machine_have_their_options),
        RIG_TEST(recv_any_holds_no_chunk_while_idle),
        RIG_TEST(recv_any_says_nomem_when_the_pool_is_empty_and_loses_nothing),
        RIG_TEST(recv_into_fills_the_places_in_order),
        RIG_TEST(a_gather_list_of_the_largest_size_is_sent_in_order),
        RIG_TEST(a_long_stream_arrives_whole_and_ends_with_zero),
        RIG_TEST(end_of_stream_after_a_short_receive_is_seen),
        RIG_TEST(closing_over_unread_bytes_resets_the_peer),
        RIG_TEST(cancelled_operations_complete_as_cancelled),
        RIG_TEST(a_full_send_can_be_cancelled),
        RIG_TEST(shutdown_wakes_a_pending_receive),
        RIG_TEST(connecting_to_a_closed_port_is_refused),
        RIG_TEST(a_connect_can_be_cancelled_and_leaves_no_socket),
        RIG_TEST(a_port_in_use_and_an_address_without_family_are_refused),
        RIG_TEST(ipv4_and_ipv6_wildcards_share_a_port),
        RIG_TEST(a_socket_moves_to_another_io_with_its_unread_bytes),
        RIG_TEST(cancelling_from_a_done_function_of_the_same_turn_is_safe),
        RIG_TEST(the_turn_hook_runs_once_per_turn),
        RIG_TEST(many_sockets_at_once_all_get_their_bytes),
        cmocka_unit_test(auto_always_finds_a_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
