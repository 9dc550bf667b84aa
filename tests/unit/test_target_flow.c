/* Goal: who is at rest costs nothing, and who does not read is not read from. Method: a raw initiator that
 * lets everything wait in turn, and one that takes no output; the engine's lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_recovery.h"

#define OUTPUT_MAX (4u << 20) /* bytes that may wait to be sent */

static struct world w;
static struct client c;

static int setup(void **state)
{
    (void)state;
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
    world_fini(&w);
    return 0;
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
        TEST(who_is_at_rest_is_not_run),
        TEST(output_that_piles_up_stops_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
