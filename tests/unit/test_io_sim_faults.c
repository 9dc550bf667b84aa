/* The faults of the simulated world, one by one: each happens when it is asked for, does to the code under
 * test what the real thing does, and is counted. Two ios, one connection or one file, few steps. */
#include "common/capture/tap.h"
#include "test_io_common.h"

#define MS 1000000ull

static const struct sim_options calm = {0};

struct pair { /* one connection between two ios */
    struct sim_world *sim;
    struct io *a, *b;
    io_handle listener, at_a, at_b;
    struct wait_op accept, connect, recv, send;
    struct io_vec in, out;
    uint8_t in_bytes[4096], out_bytes[4096];
};

static void pair_open(struct pair *p, uint64_t seed, const struct sim_options *options)
{
    struct io_addr any = rig_loopback("*:3260"), to = rig_loopback("127.0.0.1:3260");
    memset(p, 0, sizeof *p);
    p->accept = p->connect = p->recv = p->send = wait_op_new();
    assert_int_equal(sim_world_new(env_host(), seed, &calm, &p->sim), 0);
    assert_int_equal(sim_io_new(p->sim, &p->a), 0);
    assert_int_equal(sim_io_new(p->sim, &p->b), 0);
    assert_int_equal(io_listen(p->b, &any, 4, &p->listener, &any), 0);
    io_accept(p->b, &p->accept.op, p->listener);
    io_connect(p->a, &p->connect.op, &to);
    while (sim_step(p->sim))
        ;
    p->at_a = (io_handle)p->connect.op.result;
    p->at_b = (io_handle)p->accept.op.result;
    assert_true(p->at_a >= 0 && p->at_b >= 0);
    sim_world_set_options(p->sim, options);
}

static void a_sends(struct pair *p, size_t len)
{
    fill_pattern(p->out_bytes, len, 7);
    p->out = (struct io_vec){p->out_bytes, len};
    io_send(p->a, &p->send.op, p->at_a, &p->out, 1);
}

static void b_receives(struct pair *p)
{
    p->in = (struct io_vec){p->in_bytes, sizeof p->in_bytes};
    io_recv_into(p->b, &p->recv.op, p->at_b, &p->in, 1);
}

static void run_for(struct sim_world *sim, uint64_t ns)
{
    uint64_t until = sim_now(sim) + ns;
    while (sim_now(sim) < until && sim_step(sim))
        ;
}

static void pair_close(struct pair *p)
{
    io_shutdown(p->a, p->at_a);
    io_shutdown(p->b, p->at_b);
    io_shutdown(p->b, p->listener);
    while (sim_step(p->sim))
        ;
    io_close(p->a, p->at_a);
    io_close(p->b, p->at_b);
    io_close(p->b, p->listener);
    io_free(p->a);
    io_free(p->b);
    sim_world_free(p->sim);
}

/* ---- the network ---- */

static void a_stalled_direction_moves_again_with_all_its_bytes(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 3, &(struct sim_options){.stall = 1000, .stall_ns = 500 * MS});
    uint64_t before = sim_now(p.sim);
    b_receives(&p);
    a_sends(&p, 1000);
    while (!p.recv.finished)
        assert_true(sim_step(p.sim));
    assert_true(sim_now(p.sim) > before + MS);
    assert_int_equal(p.recv.op.result, 1000);
    assert_memory_equal(p.in_bytes, p.out_bytes, 1000);
    assert_int_equal(sim_fault_count(p.sim, SIM_FAULT_STALL), 1);
    pair_close(&p);
}

static void a_half_open_connection_swallows_bytes_and_ends(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 3, &(struct sim_options){.half_open = 1000});
    b_receives(&p);
    a_sends(&p, 1000);
    run_for(p.sim, 1000 * MS);
    assert_int_equal(p.send.op.result, 1000); /* the sender believes it */
    assert_false(p.recv.finished);
    io_shutdown(p.a, p.at_a); /* nor does an end get through */
    run_for(p.sim, 1000 * MS);
    assert_false(p.recv.finished);
    assert_int_equal(sim_fault_count(p.sim, SIM_FAULT_HALF_OPEN), 1);
    pair_close(&p);
    assert_int_equal(p.recv.op.result, 0);
}

static void a_half_closed_direction_ends_while_the_other_goes_on(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 3, &(struct sim_options){.half_close = 1000});
    b_receives(&p);
    a_sends(&p, 1000);
    while (sim_step(p.sim))
        ;
    assert_int_equal(p.recv.op.result, 0);
    sim_world_set_options(p.sim, &calm);
    struct wait_op back = wait_op_new(), got = wait_op_new();
    struct io_vec out = {(void *)(uintptr_t) "back", 4}, in = {p.in_bytes, 4};
    io_send(p.b, &back.op, p.at_b, &out, 1);
    io_recv_into(p.a, &got.op, p.at_a, &in, 1);
    while (sim_step(p.sim))
        ;
    assert_int_equal(got.op.result, 4);
    assert_memory_equal(p.in_bytes, "back", 4);
    pair_close(&p);
}

/* Whatever of the second send the cut lets through. */
static void nothing_comes_behind_the_end_of_a_direction(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair p;
        pair_open(&p, seed, &(struct sim_options){.half_close = 1000});
        b_receives(&p);
        a_sends(&p, 1000);
        while (sim_step(p.sim))
            ;
        assert_int_equal(p.recv.op.result, 0);
        sim_world_set_options(p.sim, &(struct sim_options){.cut = 1000});
        p.recv = p.send = wait_op_new();
        a_sends(&p, 1000);
        while (sim_step(p.sim))
            ;
        assert_int_equal(p.send.op.result, ERR_RESET);
        b_receives(&p);
        while (sim_step(p.sim))
            ;
        assert_true(p.recv.finished && p.recv.op.result <= 0);
        pair_close(&p);
    }
}

static void connects_are_refused_when_asked(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 3, &(struct sim_options){.refuse = 1000});
    struct wait_op again = wait_op_new();
    struct io_addr to = rig_loopback("127.0.0.1:3260");
    io_connect(p.a, &again.op, &to);
    while (!again.finished)
        assert_true(sim_step(p.sim));
    assert_int_equal(again.op.result, ERR_REFUSED);
    pair_close(&p);
}

/* ---- wire and taps ---- */

struct flipper {
    struct sim_wire wire;
    int closed;
};

static uint32_t flip_third(struct sim_wire *wire, uint64_t conn, bool from_initiator, uint8_t *bytes,
                           uint64_t len)
{
    (void)wire;
    assert_int_equal(conn, 1);
    if (!from_initiator || len < 3)
        return 0;
    bytes[2] ^= 1;
    return 1;
}

static void flip_closed(struct sim_wire *wire, uint64_t conn)
{
    (void)conn;
    container_of(wire, struct flipper, wire)->closed++;
}

struct seen {
    struct tap tap;
    uint8_t to_target[4096];
    uint64_t len;
    int opened, closed;
};

static void seen_open(struct tap *tap, uint64_t conn, const struct io_addr *i, const struct io_addr *t,
                      uint64_t now)
{
    (void)now;
    assert_int_equal(conn, 1);
    assert_int_equal(t->port, 3260);
    assert_int_not_equal(i->port, 3260);
    container_of(tap, struct seen, tap)->opened++;
}

static void seen_bytes(struct tap *tap, uint64_t conn, enum tap_direction direction,
                       const struct io_vec *places, uint32_t count, uint64_t len, uint64_t now)
{
    struct seen *s = container_of(tap, struct seen, tap);
    (void)conn;
    (void)now;
    assert_int_equal(count, 1);
    if (direction != TAP_TO_TARGET)
        return;
    memcpy(s->to_target + s->len, places->ptr, len);
    s->len += len;
}

static void seen_close(struct tap *tap, uint64_t conn, uint64_t now)
{
    (void)conn;
    (void)now;
    container_of(tap, struct seen, tap)->closed++;
}

static void taps_see_what_passes_where_they_stand(void **state)
{
    (void)state;
    struct pair p;
    struct flipper flipper = {.wire = {flip_third, flip_closed}};
    struct seen seen[3] = {{.tap = {seen_open, seen_bytes, seen_close}},
                           {.tap = {seen_open, seen_bytes, seen_close}},
                           {.tap = {seen_open, seen_bytes, seen_close}}};
    static const enum sim_vantage vantages[] = {SIM_TAP_AT_INITIATOR, SIM_TAP_BETWEEN, SIM_TAP_AT_TARGET};
    memset(&p, 0, sizeof p);
    struct sim_world *sim;
    struct io_addr any = rig_loopback("*:3260"), to = rig_loopback("127.0.0.1:3260");
    assert_int_equal(sim_world_new(env_host(), 5, &calm, &sim), 0);
    for (int i = 0; i < 3; i++)
        sim_world_tap(sim, &seen[i].tap, vantages[i]);
    sim_world_wire(sim, &flipper.wire);
    p.sim = sim;
    p.accept = p.connect = p.recv = p.send = wait_op_new();
    assert_int_equal(sim_io_new(sim, &p.a), 0);
    assert_int_equal(sim_io_new(sim, &p.b), 0);
    assert_int_equal(io_listen(p.b, &any, 4, &p.listener, &any), 0);
    io_accept(p.b, &p.accept.op, p.listener);
    io_connect(p.a, &p.connect.op, &to);
    while (sim_step(sim))
        ;
    p.at_a = (io_handle)p.connect.op.result;
    p.at_b = (io_handle)p.accept.op.result;
    a_sends(&p, 100);
    while (sim_step(sim))
        ;
    assert_int_equal(seen[0].len, 100);
    assert_int_equal(seen[1].len, 100);
    assert_int_equal(seen[2].len, 0); /* not received yet */
    b_receives(&p);
    while (sim_step(sim))
        ;
    assert_int_equal(seen[2].len, 100);
    assert_memory_equal(seen[0].to_target, p.out_bytes, 100);
    assert_int_equal(seen[1].to_target[2], p.out_bytes[2] ^ 1);
    assert_memory_equal(seen[2].to_target, p.in_bytes, 100);
    assert_int_equal(p.in_bytes[2], p.out_bytes[2] ^ 1);
    assert_int_equal(sim_fault_count(sim, SIM_FAULT_FLIP), 1);
    pair_close(&p);
    for (int i = 0; i < 3; i++)
        assert_true(seen[i].opened == 1 && seen[i].closed == 1);
    assert_int_equal(flipper.closed, 1);
}

/* ---- machines ---- */

static void a_crash_resets_peers_and_frees_names(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 3, &calm);
    io_accept(p.b, &p.accept.op, p.listener);
    b_receives(&p);
    struct wait_op file_op = wait_op_new();
    io_handle file;
    assert_int_equal(io_file_open(p.b, "disk", IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_LOCK, &file, NULL),
                     0);
    struct io_vec vec = {p.out_bytes, 512};
    io_pwrite(p.b, &file_op.op, file, &vec, 1, 0);
    sim_crash(p.sim, &p.b, 1, false);
    struct wait_op end = wait_op_new();
    struct io_vec in = {p.in_bytes, 10};
    io_recv_into(p.a, &end.op, p.at_a, &in, 1);
    while (sim_step(p.sim))
        ;
    assert_int_equal(end.op.result, ERR_RESET);
    assert_false(p.recv.finished || file_op.finished);
    /* Address and lock are free again for the next incarnation. */
    struct io_addr any = rig_loopback("*:3260");
    assert_int_equal(sim_io_new(p.sim, &p.b), 0);
    assert_int_equal(io_listen(p.b, &any, 4, &p.listener, &any), 0);
    assert_int_equal(io_file_open(p.b, "disk", IO_OPEN_WRITE | IO_OPEN_LOCK, &file, NULL), 0);
    io_file_close(p.b, file);
    io_close(p.b, p.listener);
    io_close(p.a, p.at_a);
    io_free(p.a);
    io_free(p.b);
    sim_world_free(p.sim);
}

static void a_silent_crash_is_not_seen(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 3, &calm);
    struct wait_op end = wait_op_new();
    struct io_vec in = {p.in_bytes, 10};
    io_recv_into(p.a, &end.op, p.at_a, &in, 1);
    sim_crash(p.sim, &p.b, 1, true);
    a_sends(&p, 100);
    while (sim_step(p.sim))
        ;
    assert_int_equal(p.send.op.result, 100);
    assert_false(end.finished);
    io_shutdown(p.a, p.at_a);
    while (sim_step(p.sim))
        ;
    io_close(p.a, p.at_a);
    io_free(p.a);
    sim_world_free(p.sim);
}

/* ---- the disk ---- */

static int64_t file_do(struct sim_world *sim, struct wait_op *op)
{
    int before = op->finished;
    while (op->finished == before)
        assert_true(sim_step(sim));
    return op->op.result;
}

/* Writes `first` and flushes it, writes `second`, cuts the power: how many sectors of eight hold `second`;
 * -1: something that was never written. */
static int sectors_kept(uint64_t seed, bool flush_second)
{
    struct sim_world *sim;
    struct io *io;
    io_handle file;
    struct wait_op op = wait_op_new();
    uint8_t bytes[4096];
    struct io_vec vec = {bytes, sizeof bytes};
    int kept = 0;
    assert_int_equal(sim_world_new(env_host(), seed, &(struct sim_options){.disk_cache = true}, &sim), 0);
    assert_int_equal(sim_io_new(sim, &io), 0);
    assert_int_equal(io_file_open(io, "disk", IO_OPEN_WRITE | IO_OPEN_CREATE, &file, NULL), 0);
    memset(bytes, 1, sizeof bytes);
    io_pwrite(io, &op.op, file, &vec, 1, 0);
    assert_int_equal(file_do(sim, &op), 4096);
    io_flush(io, &op.op, file);
    assert_int_equal(file_do(sim, &op), 0);
    memset(bytes, 2, sizeof bytes);
    io_pwrite(io, &op.op, file, &vec, 1, 0);
    assert_int_equal(file_do(sim, &op), 4096);
    if (flush_second) {
        io_flush(io, &op.op, file);
        assert_int_equal(file_do(sim, &op), 0);
    }
    sim_disk_crash(sim);
    io_pread(io, &op.op, file, &vec, 1, 0);
    assert_int_equal(file_do(sim, &op), 4096);
    for (int i = 0; i < 8; i++) {
        uint8_t *sector = bytes + 512 * i;
        for (int k = 1; k < 512; k++)
            assert_int_equal(sector[k], sector[0]); /* no sector is torn */
        assert_true(sector[0] == 1 || sector[0] == 2);
        kept += sector[0] == 2;
    }
    io_file_close(io, file);
    io_free(io);
    sim_world_free(sim);
    return kept;
}

static void a_power_cut_loses_sectors_since_the_last_flush_and_no_others(void **state)
{
    (void)state;
    int all = 0, torn = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        assert_int_equal(sectors_kept(seed, true), 8);
        int kept = sectors_kept(seed, false);
        all += kept;
        torn += kept > 0 && kept < 8;
    }
    assert_true(all > 40 && all < 120);
    assert_true(torn > 10);
}

static void transfers_are_short_at_a_sector_and_disks_fill(void **state)
{
    (void)state;
    struct sim_world *sim;
    struct io *io;
    io_handle file;
    struct wait_op op = wait_op_new();
    uint8_t bytes[4096] = {0};
    struct io_vec vec = {bytes, sizeof bytes};
    assert_int_equal(sim_world_new(env_host(), 1, &(struct sim_options){.disk_short = 1000}, &sim), 0);
    assert_int_equal(sim_io_new(sim, &io), 0);
    assert_int_equal(io_file_open(io, "disk", IO_OPEN_WRITE | IO_OPEN_CREATE, &file, NULL), 0);
    for (int i = 0; i < 20; i++) {
        io_pwrite(io, &op.op, file, &vec, 1, 0);
        int64_t moved = file_do(sim, &op);
        assert_true(moved > 0 && moved <= 4096 && moved % 512 == 0);
    }
    assert_true(sim_fault_count(sim, SIM_FAULT_DISK_SHORT) == 20);
    sim_world_set_options(sim, &(struct sim_options){.disk_full = 1000});
    io_pwrite(io, &op.op, file, &vec, 1, 0);
    assert_int_equal(file_do(sim, &op), ERR_NOSPACE);
    io_pread(io, &op.op, file, &vec, 1, 0); /* reading is no question of space */
    assert_true(file_do(sim, &op) > 0);
    io_file_close(io, file);
    io_free(io);
    sim_world_free(sim);
}

/* Attempts find nothing, or fail, as often as asked; a flush that was there before does not cover them. */
static void attempts_succeed_as_often_as_asked(void **state)
{
    (void)state;
    struct sim_world *sim;
    struct io *io;
    io_handle file;
    uint8_t bytes[4096] = {0};
    struct sim_options options = {.disk_cache = true};
    assert_int_equal(sim_world_new(env_host(), 1, &options, &sim), 0);
    assert_int_equal(sim_io_new(sim, &io), 0);
    assert_int_equal(io_file_open(io, "disk", IO_OPEN_WRITE | IO_OPEN_CREATE, &file, NULL), 0);
    struct io_now now = {.file = file, .ptr = bytes, .len = sizeof bytes, .write = true};
    assert_int_equal(io_transfer_now(io, &now), ERR_AGAIN);
    options.disk_now = 501; /* odd */
    sim_world_set_options(sim, &options);
    assert_int_equal(io_transfer_now(io, &now), ERR_UNSUPPORTED);
    now.insist = true;
    int done = 0, lost = 0;
    for (int i = 0; i < 400; i++) {
        struct wait_op flush = wait_op_new();
        io_flush(io, &flush.op, file); /* too early for what comes now */
        memset(bytes, i + 1, sizeof bytes);
        bool written = io_transfer_now(io, &now) == sizeof bytes;
        done += written;
        file_do(sim, &flush);
        sim_disk_crash(sim);
        struct wait_op read = wait_op_new();
        struct io_vec vec = {bytes, sizeof bytes};
        io_pread(io, &read.op, file, &vec, 1, 0);
        (void)file_do(sim, &read);
        lost += written && memchr(bytes, i + 1, sizeof bytes) != bytes;
    }
    assert_true(done > 150 && done < 250);
    assert_true(lost > 50);
    assert_int_equal(sim_fault_count(sim, SIM_FAULT_DISK_NOW), done);
    now.write = false;
    options.disk_error = 1000;
    options.disk_now = 1000;
    sim_world_set_options(sim, &options);
    assert_int_equal(io_transfer_now(io, &now), ERR_IO);
    io_file_close(io, file);
    io_free(io);
    sim_world_free(sim);
}

static int fired;

static void count_fire(struct io_timer *timer)
{
    (void)timer;
    fired++;
}

static void the_clock_leaps_over_deadlines(void **state)
{
    (void)state;
    struct sim_world *sim;
    struct io *io;
    struct io_timer timers[2] = {{.fire = count_fire}, {.fire = count_fire}};
    struct sim_options leaping = {.clock_jump = 1000, .clock_jump_ns = 3600 * 1000 * MS};
    assert_int_equal(sim_world_new(env_host(), 2, &leaping, &sim), 0);
    assert_int_equal(sim_io_new(sim, &io), 0);
    uint64_t start = sim_now(sim);
    io_timer_arm(io, &timers[0], start + MS);
    io_timer_arm(io, &timers[1], start + 2 * MS);
    fired = 0;
    while (fired < 2)
        assert_true(sim_step(sim));
    assert_true(sim_now(sim) > start + 1000 * MS);
    assert_true(sim_fault_count(sim, SIM_FAULT_CLOCK_JUMP) > 0);
    io_free(io);
    sim_world_free(sim);
}

static void every_fault_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        assert_non_null(sim_fault_name((enum sim_fault)i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stalled_direction_moves_again_with_all_its_bytes),
        cmocka_unit_test(a_half_open_connection_swallows_bytes_and_ends),
        cmocka_unit_test(a_half_closed_direction_ends_while_the_other_goes_on),
        cmocka_unit_test(nothing_comes_behind_the_end_of_a_direction),
        cmocka_unit_test(connects_are_refused_when_asked),
        cmocka_unit_test(taps_see_what_passes_where_they_stand),
        cmocka_unit_test(a_crash_resets_peers_and_frees_names),
        cmocka_unit_test(a_silent_crash_is_not_seen),
        cmocka_unit_test(a_power_cut_loses_sectors_since_the_last_flush_and_no_others),
        cmocka_unit_test(transfers_are_short_at_a_sector_and_disks_fill),
        cmocka_unit_test(attempts_succeed_as_often_as_asked),
        cmocka_unit_test(the_clock_leaps_over_deadlines),
        cmocka_unit_test(every_fault_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
