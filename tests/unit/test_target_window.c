/* Command numbering and the window: order, duplicates, wrap, retries, what the window closes and opens for.
 * Method: a raw initiator, and stores that answer when the test lets them. */
#include "proves.h"
#include "target_session.h"

static uint8_t block[8 * BLOCK];

static void commands_run_in_order_of_cmd_sn(void **state)
{
    (void)state;
    login();
    uint32_t n = c.cmd_sn;
    struct pdu_scsi_command a = tur(&c, n), b = tur(&c, n + 1), e = tur(&c, n + 2);
    command_send(&c, &e, NULL, 0);
    command_send(&c, &b, NULL, 0);
    command_send(&c, &b, NULL, 0); /* a duplicate */
    assert_true(client_quiet(&c));
    command_send(&c, &a, NULL, 0);
    assert_int_equal(expect_response(&c).itt, a.itt);
    assert_int_equal(expect_response(&c).itt, b.itt);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.itt, e.itt);
    assert_int_equal(rsp.exp_cmd_sn, n + 3);
    assert_true(client_quiet(&c));
    PROVES("R7143-4.2.2.1-07", "target");
    PROVES("R7143-4.2.2.1-10", "target");
    PROVES("R7143-4.2.2.1-14", "target");
    PROVES("R7143-4.2.2.1-20", "target");
}

static void commands_outside_the_window_vanish(void **state)
{
    (void)state;
    login();
    uint32_t n = c.cmd_sn;
    const uint32_t wrong[] = {n - 1, n - 1000, n + 128, n + 5000, n + 0x80000000u};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct pdu_scsi_command p = tur(&c, wrong[i]);
        command_send(&c, &p, NULL, 0);
        assert_true(client_quiet(&c));
        assert_false(c.closed);
    }
    /* a write outside, and the data behind it */
    struct pdu_scsi_command p = command(&c, false, true, BLOCK);
    c.cmd_sn--;
    p.cmd_sn = n + 500;
    p.final = 0;
    command_send(&c, &p, NULL, 0);
    struct pdu_data_out out = data_out(p.itt, PDU_TAG_RESERVED, 0, 0, true);
    data_out_send(&c, &out, block, BLOCK);
    assert_true(client_quiet(&c));
    client_settle(&c, 0);
    /* immediate commands count everywhere */
    p = tur(&c, n + 5000);
    p.immediate = 1;
    command_send(&c, &p, NULL, 0);
    assert_int_equal(expect_response(&c).itt, p.itt);
    PROVES("R7143-4.2.2.1-13", "target");
    PROVES("R7143-4.2.2.1-15", "target");
    PROVES("R7143-4.2.2.1-08", "target");
}

static void numbers_wrap(void **state)
{
    (void)state;
    c.cmd_sn = 0xfffffffe;
    login();
    for (int i = 0; i < 5; i++)
        client_settle(&c, 0);
    assert_int_equal(c.cmd_sn, 4);
    PROVES("R7143-4.2.2.1-11", "target");
}

static void window_closes_with_commands_in_progress_and_never_retreats(void **state)
{
    (void)state;
    w.config->limits.command_window = 4;
    login();
    w.delay = true;
    uint32_t n = c.cmd_sn;
    for (int i = 0; i < 4; i++)
        read_send(&c, 0, 1);
    assert_int_equal(w.delayed_count, 4);
    struct pdu_scsi_command p = tur(&c, n + 4); /* beyond MaxCmdSN */
    command_send(&c, &p, NULL, 0);
    struct pdu_nop_out nop;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_nop_out_init(&nop);
    nop.immediate = 1;
    nop.itt = 9000;
    nop.cmd_sn = n + 4;
    pdu_nop_out_encode(&nop, bhs);
    client_send(&c, bhs, NULL, 0);
    struct pdu_nop_in in;
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
    assert_int_equal(in.exp_cmd_sn, n + 4);
    assert_int_equal(in.max_cmd_sn, n + 3);
    w.delay = false;
    world_release(&w);
    uint32_t last = n + 3;
    for (int i = 0; i < 4; i++) {
        struct pdu_data_in data;
        pdu_data_in_decode(client_expect(&c, PDU_OP_data_in)->bhs, &data);
        assert_true((int32_t)(data.max_cmd_sn - last) >= 0);
        last = data.max_cmd_sn;
    }
    assert_int_equal(last, n + 7);
    PROVES("R7143-4.2.2.1-12", "target");
    PROVES("R7143-11.4.10-01", "target");
}

static void window_that_opens_silently_is_announced(void **state)
{
    (void)state;
    w.config->limits.command_window = 1;
    login();
    w.delay = true;
    uint32_t itt = read_send(&c, 0, 1);
    struct pdu_task_management_request abort_task = tmf_request(&c, 1, 0, itt, c.cmd_sn - 1);
    tmf_send(&c, &abort_task);
    assert_true(client_quiet(&c));
    world_release(&w);
    struct pdu_task_management_response rsp = tmf_answer(&c);
    assert_int_equal(rsp.response, 0);
    assert_int_equal(rsp.max_cmd_sn, c.cmd_sn); /* here the response carries it; else a NOP-In has to */
    PROVES("R7143-11.6-01", "target");
}

static void retries_of_commands_in_progress_are_ignored(void **state)
{
    (void)state;
    login();
    w.delay = true;
    struct pdu_scsi_command p = command(&c, true, false, BLOCK);
    cdb_rw(p.cdb, false, 0, 1);
    command_send(&c, &p, NULL, 0);
    command_send(&c, &p, NULL, 0);
    assert_true(client_quiet(&c));
    /* another command with a tag that is in use */
    struct pdu_scsi_command q = p;
    q.cmd_sn = c.cmd_sn;
    command_send(&c, &q, NULL, 0);
    struct pdu_reject rej;
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
    assert_int_equal(rej.reason, 7);
    assert_int_equal(rej.exp_cmd_sn, c.cmd_sn);
    world_release(&w);
    client_expect(&c, PDU_OP_data_in);
    assert_true(client_quiet(&c));
    PROVES("R7143-7.2.1-03", "target");
    PROVES("R7143-4.2.2.1-22", "target");
    PROVES("R7143-11.17.1-05", "target");
}

static void immediate_commands_are_limited_but_one_of_each_kind_gets_in(void **state)
{
    (void)state;
    login();
    w.delay = true;
    uint32_t rejected = 0;
    for (int i = 0; i < 40; i++) {
        struct pdu_scsi_command p = command(&c, true, false, BLOCK);
        c.cmd_sn--;
        cdb_rw(p.cdb, false, 0, 1);
        p.immediate = 1;
        command_send(&c, &p, NULL, 0);
        while (!client_quiet(&c)) {
            struct pdu_reject rej;
            pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
            assert_int_equal(rej.reason, 6);
            rejected++;
        }
    }
    assert_true(rejected > 0 && rejected < 40);
    assert_int_equal(tmf_do(&c, 1, 0, 5555, c.cmd_sn - 1000).response, 1);
    w.delay = false;
    world_release(&w);
    PROVES("R7143-4.2.2.1-06", "target");
    PROVES("R7143-4.2.2.1-05", "target");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_run_in_order_of_cmd_sn),
        TEST(commands_outside_the_window_vanish),
        TEST(numbers_wrap),
        TEST(window_closes_with_commands_in_progress_and_never_retreats),
        TEST(window_that_opens_silently_is_announced),
        TEST(retries_of_commands_in_progress_are_ignored),
        TEST(immediate_commands_are_limited_but_one_of_each_kind_gets_in),
    };
    return cmocka_run_group_tests_name("target_window", tests, NULL, NULL);
}
