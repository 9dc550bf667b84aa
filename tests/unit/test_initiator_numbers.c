/* CmdSN at the initiator: the window, wrap-around, and what holds it after a retry (RFC 7143 4.2.2.1, 10.4).
 *
 * Goal: the local ExpCmdSN and MaxCmdSN only move forward, in serial arithmetic; CmdSN never runs away from a
 * retry that may still have a twin underway. Method: a scripted target (initiator_harness.h); two thousand
 * million commands are not sent but counted as sent, by setting the session's numbers. */
#include "initiator/iscsi/internal.h"
#include "tests/unit/initiator_harness.h"

static void tell_window(struct rig *r, uint32_t exp_cmd_sn, uint32_t max_cmd_sn)
{
    RIG_PDU(r, nop_in, nop);
    nop.itt = nop.ttt = PDU_TAG_RESERVED;
    nop.stat_sn = r->stat_sn;
    nop.exp_cmd_sn = exp_cmd_sn;
    nop.max_cmd_sn = max_cmd_sn;
    RIG_SEND(r, nop_in, &nop, NULL, 0);
}

static void the_window_only_moves_forward(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    tell_window(r, 1, 8); /* less than there was */
    assert_int_equal(r->s->max_cmd_sn, 32);
    tell_window(r, 100, 90); /* such a pair means nothing, neither half of it */
    assert_int_equal(r->s->max_cmd_sn, 32);
    assert_int_equal(r->s->exp_cmd_sn, 1);
    tell_window(r, 5, 36);
    assert_int_equal(r->s->exp_cmd_sn, 5);
    tell_window(r, 2, 36); /* came late */
    assert_int_equal(r->s->exp_cmd_sn, 5);
    assert_int_equal(r->s->max_cmd_sn, 36);
    tell_window(r, 37, 36); /* closed: that one is legal */
    assert_int_equal(r->s->exp_cmd_sn, 37);
    rig_free(r);

    r = rig_up(); /* and so 32 commands go out, whatever smaller windows are told meanwhile */
    struct rig_command rc[40];
    for (int i = 0; i < 40; i++) {
        rig_command(r, &rc[i], false, 0, 0);
        rig_submit(r, &rc[i]);
        if (i == 3)
            tell_window(r, 1, 4);
    }
    for (int i = 0; i < 32; i++) {
        struct pdu_scsi_command c;
        RIG_TAKE(r, scsi_command, &c);
        assert_int_equal(c.cmd_sn, 1 + i);
    }
    assert_true(rig_quiet(r));
    tell_window(r, 200, 150);
    assert_true(rig_quiet(r));
    rig_free(r);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(rc[i].reported, 1);
        rig_command_fini(&rc[i]);
    }
    PROVES("R7143-4.2.2.1-16", "initiator");
    PROVES("R7143-4.2.2.1-17", "initiator");
    PROVES("R7143-4.2.2.1-18", "initiator");
}

static void numbers_wrap(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct rig_command rc[20];
    r->options.first_cmd_sn = 0xfffffffa;
    r->exp_cmd_sn = 0xfffffffa;
    r->max_cmd_sn = 0xfffffffa + 3;
    rig_begin(r);
    rig_login(r);
    for (int i = 0; i < 20; i++) {
        rig_command(r, &rc[i], false, 0, 0);
        rig_submit(r, &rc[i]);
    }
    for (uint32_t i = 0; i < 20; i += 4) { /* four at a time: so wide is the window */
        struct pdu_scsi_command c[4];
        for (uint32_t k = 0; k < 4; k++) {
            RIG_TAKE(r, scsi_command, &c[k]);
            assert_int_equal(c[k].cmd_sn, (uint32_t)(0xfffffffa + i + k));
        }
        assert_true(rig_quiet(r));
        for (uint32_t k = 0; k < 4; k++) {
            r->exp_cmd_sn = (uint32_t)(0xfffffffa + i + 4);
            r->max_cmd_sn = k < 3 ? r->exp_cmd_sn - 1 : r->exp_cmd_sn + 3;
            rig_response(r, c[k].itt, 0, NULL, 0);
        }
    }
    assert_true(rig_quiet(r));
    assert_int_equal(r->s->exp_cmd_sn, 14);
    tell_window(r, 0xfffffffe, 1); /* long ago, and before the wrap */
    assert_int_equal(r->s->exp_cmd_sn, 14);
    rig_free(r);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rc[i].c.outcome, INI_DONE_STATUS);
        rig_command_fini(&rc[i]);
    }
    PROVES("R7143-4.2.2.1-11", "initiator");
}

/* ---- after a retry ---- */

/* A command whose data the target could not read: it goes again. Returns its number; it has ended. */
static uint32_t retry_one(struct rig *r)
{
    struct rig_command rc;
    struct pdu_scsi_command c;
    uint8_t bhs[PDU_BHS_LEN];
    rig_command(r, &rc, true, 512, 1);
    rig_submit(r, &rc);
    RIG_TAKE(r, scsi_command, &c);
    memcpy(bhs, r->pdu.bhs, sizeof bhs);
    RIG_PDU(r, reject, reject);
    reject.reason = 2;
    reject.stat_sn = r->stat_sn++;
    RIG_SEND(r, reject, &reject, bhs, sizeof bhs);
    RIG_TAKE(r, scsi_command, &c);
    assert_int_equal(c.cmd_sn, r->exp_cmd_sn);
    r->exp_cmd_sn++;
    r->max_cmd_sn++;
    rig_response(r, c.itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(ini_counters(r->s)->retries, 1);
    rig_command_fini(&rc);
    return c.cmd_sn;
}

/* As if the session had sent all commands below `cmd_sn`, on other connections, and had them acknowledged. */
static void leap(struct rig *r, uint32_t cmd_sn)
{
    r->s->cmd_sn = r->s->exp_cmd_sn = r->exp_cmd_sn = cmd_sn;
    r->s->max_cmd_sn = r->max_cmd_sn = cmd_sn + 31;
}

static void cmd_sn_does_not_run_away_from_a_retry(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, false);
    struct rig_command rc[3];
    struct pdu_nop_out nop;
    struct pdu_scsi_command c;
    uint32_t sn = retry_one(r);
    for (int i = 0; i < 3; i++)
        rig_command(r, &rc[i], false, 0, 0);
    leap(r, sn + 0x7ffffffe);
    rig_submit(r, &rc[0]);
    RIG_TAKE(r, nop_out, &nop); /* takes the last number that is allowed, and asks for its acknowledgement */
    assert_false(nop.immediate);
    assert_int_equal(nop.cmd_sn, sn + 0x7ffffffe);
    assert_int_not_equal(nop.itt, PDU_TAG_RESERVED);
    assert_true(rig_quiet(r));
    rig_submit(r, &rc[1]);
    assert_true(rig_quiet(r)); /* still held */
    r->exp_cmd_sn++;
    RIG_PDU(r, nop_in, answer);
    answer.itt = nop.itt;
    answer.ttt = PDU_TAG_RESERVED;
    answer.stat_sn = r->stat_sn++;
    RIG_SEND(r, nop_in, &answer, NULL, 0);
    for (uint32_t i = 0; i < 2; i++) {
        RIG_TAKE(r, scsi_command, &c);
        assert_int_equal(c.cmd_sn, sn + 0x7fffffff + i);
    }
    assert_int_equal(r->s->retried, 0);
    rig_free(r);

    r = rig_at_level(1, false); /* nothing is held when a later command has been acknowledged there */
    sn = retry_one(r);
    rig_submit(r, &rc[2]);
    c = rig_take_command(r);
    assert_int_equal(r->s->retried, 1);
    rig_response(r, c.itt, 0, NULL, 0);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t far = sn + (i + 1) * 0x50000000u;
        leap(r, far);
        rig_submit(r, &rc[i]);
        RIG_TAKE(r, scsi_command, &c);
        assert_int_equal(c.cmd_sn, far);
        assert_int_equal(r->s->retried, 0);
    }
    rig_free(r);
    for (int i = 0; i < 3; i++)
        rig_command_fini(&rc[i]);
    PROVES("R7143-4.2.2.1-23", "initiator");
}

/* Long before that, where no command has followed the retry on its connection, a NOP-Out does. */
static void a_retry_is_flushed_in_good_time(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, false);
    struct rig_command rc;
    struct pdu_nop_out nop;
    uint32_t sn = retry_one(r);
    leap(r, sn + 0x100000);
    rig_command(r, &rc, false, 0, 0);
    rig_submit(r, &rc);
    RIG_TAKE(r, nop_out, &nop);
    assert_false(nop.immediate);
    assert_int_equal(nop.cmd_sn, sn + 0x100000);
    r->exp_cmd_sn++;
    assert_int_equal(rig_take_command(r).cmd_sn, nop.cmd_sn + 1); /* nobody waits for the answer */
    rig_free(r);
    rig_command_fini(&rc);

    r = rig_at_level(2, false); /* a retry ends with its connection */
    rig_join(r, 1);
    rig_use(r, 0);
    sn = retry_one(r);
    assert_int_equal(r->s->retried, 1);
    rig_cut(r, ERR_RESET);
    assert_int_equal(r->s->retried, 0);
    rig_use(r, 1);
    leap(r, sn + 0x7fffffff + 5);
    rig_command(r, &rc, false, 0, 0);
    rig_submit(r, &rc);
    assert_int_equal(rig_take_command(r).cmd_sn, sn + 0x7fffffff + 5);
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-10.4-01", "initiator");
    PROVES("R7143-4.2.2.1-23", "initiator");
}

/* The longest sequence there can be: the largest burst in the smallest segments. */
static void a_sequence_has_few_data_pdus(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct rig_command rc;
    uint32_t burst = (1u << 24) - 1, at = 0, count = 0;
    r->options.keys.max_burst_length = r->key_config.max_burst_length = burst;
    r->key_config.max_recv_data_segment_length = 512;
    r->options.keys.immediate_data = r->key_config.immediate_data = false;
    r->options.keys.initial_r2t = r->key_config.initial_r2t = true;
    rig_begin(r);
    rig_login(r);
    rig_command(r, &rc, true, burst, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    rig_r2t(r, itt, 7, 0, 0, burst);
    while (at < burst) {
        struct pdu_data_out d;
        RIG_TAKE(r, data_out, &d);
        assert_int_equal(d.data_sn, count++);
        assert_int_equal(d.buffer_offset, at);
        at += r->pdu.len;
        assert_int_equal(d.final, at == burst);
    }
    assert_int_equal(count, 32768); /* of 2^32 - 1 that DataSN has room for */
    assert_true(rig_quiet(r));
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-4.2.2.4-07", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_only_moves_forward),
        cmocka_unit_test(numbers_wrap),
        cmocka_unit_test(cmd_sn_does_not_run_away_from_a_retry),
        cmocka_unit_test(a_retry_is_flushed_in_good_time),
        cmocka_unit_test(a_sequence_has_few_data_pdus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
