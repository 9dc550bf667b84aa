/* When the target wants to be woken, and by whom it wants to be read: deadlines after others have come and
 * gone, pings that cross with talk, output that piles up and input that waits for it. Method: raw initiators,
 * tgt_deadline after ticks that were not needed, and a host that reads only when it may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_recovery.h"

#define OUTPUT_MAX (4u << 20) /* bytes that may wait to be sent */

static struct world w;
static struct client c, d;

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    world_init(&w);
    world_recovers(&w);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    w.delay = false;
    world_release(&w);
    client_fini(&c);
    if (d.w)
        client_fini(&d);
    world_fini(&w);
    return 0;
}

/* What the engine finds when it looks at all its clocks anew. */
static uint64_t deadline(void)
{
    w.r.deadline_ns = w.now;
    tgt_tick(&w.r);
    world_pump(&w);
    return tgt_deadline(&w.r);
}
static void abort_send(uint8_t function, uint32_t task)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_task_management_request p;
    pdu_task_management_request_init(&p);
    p.immediate = 1;
    p.function = function;
    p.itt = c.itt++;
    p.referenced_task_tag = task;
    p.ref_cmd_sn = c.cmd_sn - 1;
    p.cmd_sn = c.cmd_sn;
    p.exp_stat_sn = c.exp_stat_sn;
    pdu_task_management_request_encode(&p, bhs);
    client_send(&c, bhs, NULL, 0);
}

/* A function that waits for data has a deadline, however often the clocks are looked at; one that waits for
 * the store has none. */
static void functions_that_wait_keep_their_deadline(void **state)
{
    (void)state;
    client_login_level(&c, 0, "InitialR2T=Yes");
    client_settle(&c, 0);
    assert_true(deadline() == UINT64_MAX);
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    expect_r2t(&c);
    uint64_t due = w.now + 10 * SECOND_NS;
    abort_send(2, PDU_TAG_RESERVED); /* ABORT TASK SET */
    assert_true(tgt_deadline(&w.r) == due);
    for (int i = 0; i < 3; i++) {
        w.now += SECOND_NS;
        assert_true(deadline() == due);
    }
    assert_true(client_quiet(&c));
    world_pass(&w, due - w.now);
    client_expect(&c, PDU_OP_task_management_response);
    c.exp_stat_sn++;
    assert_true(deadline() == UINT64_MAX);
    w.delay = true;
    uint32_t task = read_send(&c, 0, 1);
    abort_send(1, task);
    assert_true(client_quiet(&c));
    assert_true(deadline() == UINT64_MAX);
    w.delay = false;
    world_release(&w);
    client_expect(&c, PDU_OP_task_management_response);
}

/* Each write has its own time for the data that was asked for: the earliest counts. */
static void the_earliest_data_counts(void **state)
{
    (void)state;
    client_login_level(&c, 1, "InitialR2T=Yes");
    client_settle(&c, 0);
    acknowledge_status(&c);
    uint64_t first = w.now + 10 * SECOND_NS;
    for (int i = 0; i < 3; i++) {
        struct pdu_scsi_command p = write_command(&c, 0, 1);
        command_send(&c, &p, NULL, 0);
        expect_r2t(&c);
        w.now += SECOND_NS;
        assert_true(deadline() == first);
    }
    world_pass(&w, first - 1 - w.now);
    assert_true(client_quiet(&c));
    world_pass(&w, 1);
    expect_r2t(&c); /* asked for again */
    assert_true(client_quiet(&c));
    assert_true(deadline() == first + SECOND_NS); /* the second's */
}

/* A failed write's data was lost: it is asked for again, though nobody needs it, because the status follows
 * it. What was asked for at `first` comes late, and does not count. */
static void expect_failure_after(const struct pdu_scsi_command *p, uint32_t first, uint32_t at, uint32_t len)
{
    static uint8_t data[8 * BLOCK];
    struct pdu_r2t r2t = {0};
    for (int i = 0; i < 2; i++) {
        assert_true(client_quiet(&c));
        world_pass(&w, 11 * SECOND_NS);
        r2t = expect_r2t(&c);
        assert_int_equal(r2t.buffer_offset, at);
        assert_int_equal(r2t.desired_data_transfer_length, len);
    }
    struct pdu_data_out out = data_out(p->itt, first, 0, at, true);
    data_out_send(&c, &out, data, len);
    assert_true(client_quiet(&c));
    out = data_out(p->itt, r2t.ttt, 0, at, true);
    data_out_send(&c, &out, data, len);
    assert_int_equal(expect_response(&c).status, 2);
}

static void a_failed_write_waits_for_data_that_was_lost(void **state)
{
    (void)state;
    client_login_level(&c, 1, "InitialR2T=Yes\nImmediateData=Yes");
    client_settle(&c, 0);
    acknowledge_status(&c);
    static uint8_t data[BLOCK];
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    w.fail_next = ERR_IO; /* the device's error: the immediate data */
    command_send(&c, &p, data, BLOCK);
    expect_failure_after(&p, expect_r2t(&c).ttt, BLOCK, 7 * BLOCK);
    assert_false(sense_is(&c, 0x0b, 0x47, 0x05)); /* it is the device's error still */
    p = write_command(&c, 0, 8);
    command_send(&c, &p, data, BLOCK);
    struct pdu_r2t r2t = expect_r2t(&c);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, false); /* ours: a wrong offset */
    data_out_send(&c, &out, data, BLOCK);
    assert_int_equal(expect_reject(&c), 9);
    expect_failure_after(&p, r2t.ttt, BLOCK, 7 * BLOCK);
    assert_true(sense_is(&c, 0x0b, 0x4b, 0x05));
    assert_true(deadline() == UINT64_MAX);
    PROVES("R7143-11.4.2-02", "target");
}

static void a_failed_write_waits_for_unsolicited_data_that_was_lost(void **state)
{
    (void)state;
    w.config->targets[0].keys.initial_r2t = false;
    client_login_level(&c, 1, "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=2048");
    client_settle(&c, 0);
    acknowledge_status(&c);
    static uint8_t data[BLOCK];
    struct pdu_scsi_command p = write_command(&c, 0x7f000000, 8); /* out of range */
    p.final = 0;
    command_send(&c, &p, data, BLOCK);
    expect_failure_after(&p, PDU_TAG_RESERVED, BLOCK, 3 * BLOCK);
    assert_true(sense_is(&c, 5, 0x21, 0));
    assert_true(deadline() == UINT64_MAX);
    w.delay = true; /* it was lost before the command's turn, and that shows only then */
    read_send(&c, 0, 1);
    p = write_command(&c, 0x7f000000, 8);
    p.attr = 2; /* ORDERED */
    p.final = 0;
    command_send(&c, &p, data, BLOCK);
    world_pass(&w, 11 * SECOND_NS);
    assert_true(client_quiet(&c));
    w.delay = false;
    world_release(&w);
    client_expect(&c, PDU_OP_data_in);
    expect_response(&c);
    expect_failure_after(&p, PDU_TAG_RESERVED, BLOCK, 3 * BLOCK);
    assert_true(sense_is(&c, 5, 0x21, 0));
    PROVES("R7143-11.4.2-02", "target");
}

/* Talk of the very moment of the ping came before it: it is no sign of life afterwards. */
static void silence_since_the_ping_counts(void **state)
{
    (void)state;
    w.config->limits.nop_interval_ns = 5 * SECOND_NS;
    w.config->limits.nop_timeout_ns = 7 * SECOND_NS;
    client_login_level(&c, 0, "");
    for (int round = 0; round < 2; round++) {
        uint64_t heard = w.now;
        assert_true(deadline() == heard + 5 * SECOND_NS);
        world_pass(&w, 5 * SECOND_NS);
        struct pdu_nop_in in;
        pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
        assert_true(in.itt == PDU_TAG_RESERVED && in.ttt != PDU_TAG_RESERVED && in.lun == 0);
        assert_int_equal(in.stat_sn, c.exp_stat_sn);
        if (round == 0) { /* answered once: from now on answers are expected */
            struct pdu_nop_out p;
            uint8_t bhs[PDU_BHS_LEN];
            pdu_nop_out_init(&p);
            p.immediate = 1;
            p.itt = PDU_TAG_RESERVED;
            p.ttt = in.ttt;
            p.cmd_sn = c.cmd_sn;
            p.exp_stat_sn = c.exp_stat_sn;
            pdu_nop_out_encode(&p, bhs);
            client_send(&c, bhs, NULL, 0);
        } else {
            client_settle(&c, 0); /* at the same nanosecond */
        }
    }
    world_pass(&w, 7 * SECOND_NS - 1);
    assert_false(c.closed);
    world_pass(&w, 1);
    assert_true(c.closed);
    PROVES("R7143-10.7-03", "target");
}

/* Thousands of idle sessions cost nothing: none of them waits to be run. */
static void who_is_at_rest_is_not_run(void **state)
{
    (void)state;
    for (int level = 0; level <= 2; level++) {
        client_fini(&c);
        client_init(&c, &w);
        client_login_level(&c, level, "InitialR2T=Yes");
        client_settle(&c, 0);
        struct pdu_scsi_command p = write_command(&c, 0, 1);
        command_send(&c, &p, NULL, 0);
        struct pdu_r2t r2t = expect_r2t(&c);
        assert_true(list_empty(&w.r.to_run)); /* it waits for the initiator */
        struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
        static uint8_t block[BLOCK];
        data_out_send(&c, &out, block, BLOCK);
        expect_response(&c);
        acknowledge_status(&c);
        assert_true(list_empty(&w.r.to_run) && list_empty(&w.r.starved));
        assert_true(list_empty(&w.r.to_send) && list_empty(&w.r.to_read) && list_empty(&w.r.events));
        assert_false(w.r.troubled);
        w.delay = true;
        read_send(&c, 0, 1);
        assert_true(list_empty(&w.r.to_run)); /* it waits for the store */
        w.delay = false;
        world_release(&w);
        client_expect(&c, PDU_OP_data_in);
        assert_true(list_empty(&w.r.to_run));
    }
}

/* Replies that do not leave stop the input, once; when there is room again the connection is named, once. */
static void output_that_piles_up_stops_the_input(void **state)
{
    (void)state;
    static uint8_t ping[8192];
    client_login_level(&c, 0, "");
    c.stuck = true;
    uint32_t sent = 0;
    uint8_t bhs[PDU_BHS_LEN];
    while (!c.waits && sent < 1000) {
        struct pdu_nop_out p;
        pdu_nop_out_init(&p);
        p.immediate = 1;
        p.itt = 0x1000 + sent++;
        p.cmd_sn = c.cmd_sn;
        p.exp_stat_sn = c.exp_stat_sn;
        pdu_nop_out_encode(&p, bhs);
        client_send(&c, bhs, ping, sizeof ping);
    }
    /* One that is refused was still given to the transport. */
    const uint32_t each = PDU_BHS_LEN + (uint32_t)sizeof ping;
    assert_int_equal(w.r.counters.pdus_in, 1 + (OUTPUT_MAX + each - 1) / each);
    assert_false(c.closed);
    struct tgt_conn *conn = c.conn;
    assert_null(tgt_next_to_read(&w.r));
    struct io_vec places[8];
    uint64_t lent = 0;
    uint32_t count = tgt_conn_gather(conn, places, 8);
    for (uint32_t i = 0; i < count; i++)
        lent += places[i].len;
    assert_true(lent > each);
    tgt_conn_sent(conn, each);
    assert_ptr_equal(tgt_next_to_read(&w.r), conn);
    assert_null(tgt_next_to_read(&w.r));
    count = tgt_conn_gather(conn, places, 8);
    tgt_conn_sent(conn, each);
    assert_null(tgt_next_to_read(&w.r)); /* it knows */
    c.waits = false;
    client_unstick(&c);
    client_put_in(&c, "", 0);
    assert_int_equal(w.r.counters.pdus_in, 1 + sent);
    assert_false(c.closed);
    assert_int_equal(c.in_len - c.in_pos, (uint64_t)(sent - 2) * each);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(functions_that_wait_keep_their_deadline),
        TEST(the_earliest_data_counts),
        TEST(a_failed_write_waits_for_data_that_was_lost),
        TEST(a_failed_write_waits_for_unsolicited_data_that_was_lost),
        TEST(silence_since_the_ping_counts),
        TEST(who_is_at_rest_is_not_run),
        TEST(output_that_piles_up_stops_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
