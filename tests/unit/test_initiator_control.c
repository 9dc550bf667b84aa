/* The initiator engine beside commands: text and discovery, task management, pings, messages of the target,
 * logout.
 *
 * Goal: every request has the right fields, every answer reaches the caller, and what a target asks for is
 * done. Method: a scripted target (initiator_harness.h). */
#include "tests/unit/initiator_harness.h"

#define LUN 0x0001000000000000ull

/* ---- discovery ---- */

static struct rig *discovery_rig(void)
{
    struct rig *r = rig_new();
    r->options.target_name[0] = 0;
    rig_begin(r);
    rig_login(r);
    return r;
}

static void send_targets_is_asked_alone_and_answered_whole(void **state)
{
    (void)state;
    static const char text[] = "TargetName=iqn.2026-01.com.example:disk\0TargetAddress=10.0.0.1:3260,1";
    struct rig *r = discovery_rig();
    assert_int_equal(ini_send_targets(r->s, "All"), 0);
    assert_int_equal(ini_send_targets(r->s, "All"), ERR_BUSY); /* one at a time */
    rig_pump(r);
    struct pdu_text_request pdu = rig_take_text(r);
    assert_true(pdu.final && !pdu.more);
    assert_int_equal(pdu.ttt, PDU_TAG_RESERVED);
    assert_int_equal(r->pdu.len, sizeof "SendTargets=All");
    assert_string_equal((char *)r->pdu.data, "SendTargets=All");
    rig_text_response(r, pdu.itt, PDU_TAG_RESERVED, false, text, sizeof text);
    struct rig_event *e = rig_event(r, INI_EVENT_TEXT_DONE);
    assert_int_equal(e->event.text_len, sizeof text);
    assert_memory_equal(e->text, text, sizeof text);
    assert_int_equal(ini_send_targets(r->s, ""), 0); /* and again */
    rig_free(r);
    PROVES("R7143-4.6.3.1-01", "initiator");
    PROVES("R7143-6.2-06", "initiator");
    PROVES("R7143-6.4-03", "initiator");
    PROVES("R7143-11.10-01", "initiator");
    PROVES("R7143-11.10.4-02", "initiator");
    PROVES("R7143-13.3-01", "initiator");
    PROVES("R7143-C-01", "initiator");
    PROVES("R7143-C-06", "initiator");
    PROVES("R7143-C-19", "initiator");
}

static void long_answers_are_fetched_piece_by_piece(void **state)
{
    (void)state;
    enum { TARGETS = 3000 };
    char *all = calloc(TARGETS, 80);
    uint32_t len = 0;
    assert_non_null(all);
    for (int i = 0; i < TARGETS; i++)
        len += (uint32_t)snprintf(all + len, 80, "TargetName=iqn.2026-01.com.example:disk%d", i) + 1;
    static const uint32_t pieces[] = {100, 8192, 4097};
    for (size_t p = 0; p < 3; p++) {
        struct rig *r = discovery_rig();
        uint32_t itt = 0, tag = 0x77;
        assert_int_equal(ini_send_targets(r->s, "All"), 0);
        rig_pump(r);
        for (uint32_t at = 0; at < len; at += pieces[p], tag++) {
            struct pdu_text_request pdu = rig_take_text(r);
            if (at == 0) {
                itt = pdu.itt;
            } else { /* an empty request with the target's tag and LUN */
                assert_int_equal(pdu.itt, itt);
                assert_int_equal(pdu.ttt, tag - 1);
                assert_int_equal(pdu.lun, RIG_TEXT_LUN);
                assert_int_equal(r->pdu.len, 0);
                assert_true(pdu.final);
            }
            bool last = at + pieces[p] >= len;
            rig_text_response(r, itt, last ? PDU_TAG_RESERVED : tag, !last, all + at,
                              last ? len - at : pieces[p]);
        }
        struct rig_event *e = rig_event(r, INI_EVENT_TEXT_DONE);
        assert_int_equal(e->event.text_len, len);
        assert_memory_equal(e->text, all, len);
        rig_free(r);
    }
    free(all);
    PROVES("R7143-6.1-15", "initiator");
    PROVES("R7143-6.2-05", "initiator");
    PROVES("R7143-6.4-02", "initiator");
    PROVES("R7143-6.4-05", "initiator");
    PROVES("R7143-11.10.2-01", "initiator");
    PROVES("R7143-11.10.3-01", "initiator");
    PROVES("R7143-11.10.5-01", "initiator");
    PROVES("R7143-11.11.4-01", "initiator");
}

static void text_without_end_or_sense_ends_the_session(void **state)
{
    (void)state;
    char *piece = calloc(1, 8192);
    for (uint32_t len = 0; len <= 8192; len += 8192) {
        struct rig *r = discovery_rig();
        assert_int_equal(ini_send_targets(r->s, "All"), 0);
        rig_pump(r);
        int rounds = 0;
        for (; rounds < 20000 && !rig_closing(r); rounds++)
            rig_text_response(r, rig_take_text(r).itt, 9, true, piece, len);
        assert_true(rounds < 20000);
        rig_free(r);
    }
    free(piece);
    struct rig *r = discovery_rig(); /* F and C together */
    assert_int_equal(ini_send_targets(r->s, "All"), 0);
    rig_pump(r);
    RIG_PDU(r, text_response, pdu);
    pdu.itt = rig_take_text(r).itt;
    pdu.final = pdu.more = 1;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, text_response, &pdu, "a=b", 4);
    rig_expect_failure(r, "flags");
    rig_free(r);
    PROVES("R7143-6.2-02", "initiator");
}

/* ---- task management ---- */

static struct pdu_task_management_request take_tmf(struct rig *r)
{
    struct pdu_task_management_request pdu;
    pdu_task_management_request_decode(rig_take(r, PDU_OP_task_management_request)->bhs, &pdu);
    assert_int_equal(r->pdu.len, 0);
    assert_int_equal(r->pdu.ahs_len, 0);
    assert_int_equal(pdu.cmd_sn, r->exp_cmd_sn);
    assert_int_equal(pdu.exp_data_sn, 0);
    return pdu;
}

static void abort_task_names_its_command_and_ends_it(void **state)
{
    (void)state;
    for (int immediate = 0; immediate < 2; immediate++) {
        struct rig *r = rig_up();
        struct rig_command rc, other, later;
        uint32_t tag;
        rig_command(r, &rc, false, 512, 1);
        rc.c.immediate = immediate;
        rig_submit(r, &rc);
        struct pdu_scsi_command command = rig_take_command(r);
        rig_command(r, &other, false, 512, 1);
        rig_submit(r, &other);
        rig_take_command(r);
        assert_int_equal(ini_task_management(r->s, 1, LUN, &rc.c, &tag), 0);
        rig_pump(r);
        struct pdu_task_management_request tmf = take_tmf(r);
        assert_int_equal(tmf.function, 1);
        assert_true(tmf.immediate);
        assert_int_equal(tmf.lun, LUN);
        assert_int_equal(tmf.referenced_task_tag, command.itt);
        assert_int_equal(tmf.ref_cmd_sn, immediate ? tmf.cmd_sn : command.cmd_sn);
        assert_int_equal(tmf.itt, tag);
        rig_tmf_response(r, tag, 0);
        assert_int_equal(rc.reported, 1);
        assert_int_equal(rc.c.outcome, INI_DONE_ABORTED);
        assert_int_equal(other.reported, 0);
        rig_event(r, INI_EVENT_COMMAND_DONE); /* before the function's own answer */
        struct rig_event *e = rig_event(r, INI_EVENT_TMF_DONE);
        assert_int_equal(e->event.tag, tag);
        assert_int_equal(e->event.response, 0);

        /* The same memory used for another command is not the one that an older function names. */
        rig_command(r, &later, false, 512, 1);
        rig_submit(r, &later);
        command = rig_take_command(r);
        assert_int_equal(ini_task_management(r->s, 1, LUN, &later.c, &tag), 0);
        rig_pump(r);
        take_tmf(r);
        uint8_t data[512] = {0};
        rig_data_in(r, command.itt, 0, 0, data, 512, true);
        rig_response(r, command.itt, 0, NULL, 0); /* before the answer to the function: passed up as usual */
        assert_int_equal(later.reported, 1);
        later.reported = 0;
        rig_submit(r, &later);
        rig_take_command(r);
        rig_tmf_response(r, tag, 0);
        assert_int_equal(later.reported, 0);
        rig_free(r);
        assert_int_equal(later.reported, 1);
        assert_int_equal(rc.reported, 1);
        assert_int_equal(other.reported, 1);
        rig_command_fini(&rc);
        rig_command_fini(&other);
        rig_command_fini(&later);
    }
    PROVES("R7143-4.2.2.1-04", "initiator");
    PROVES("R7143-4.2.3.3-01", "initiator");
    PROVES("R7143-4.2.3.3-03", "initiator");
    PROVES("R7143-4.2.3.3-04", "initiator");
    PROVES("R7143-4.2.3.3-05", "initiator");
    PROVES("R7143-11.5-01", "initiator");
    PROVES("R7143-11.5.1-06", "initiator");
    PROVES("R7143-11.5.1-07", "initiator");
    PROVES("R7143-11.5.1-12", "initiator");
    PROVES("R7143-11.5.1-13", "initiator");
    PROVES("R7143-11.5.1-14", "initiator");
    PROVES("R7143-11.5.2-01", "initiator");
    PROVES("R7143-11.5.6-06", "initiator");
}

static void functions_take_the_commands_they_cover(void **state)
{
    (void)state;
    static const struct {
        uint8_t function;
        bool same_lun, other_lun; /* ended */
        bool has_lun;
    } rows[] = {{2, true, false, true}, {3, false, false, true}, {4, true, false, true},
                {5, true, false, true}, {6, true, true, false},  {7, true, true, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (uint8_t response = 0; response <= 5; response += 5) {
            struct rig *r = rig_up();
            struct rig_command same, other;
            uint32_t tag;
            rig_command(r, &same, false, 512, 1);
            rig_submit(r, &same);
            rig_take_command(r);
            rig_command(r, &other, false, 512, 1);
            other.c.lun = 0x0002000000000000ull;
            rig_submit(r, &other);
            rig_take_command(r);
            assert_int_equal(ini_task_management(r->s, rows[i].function, LUN, NULL, &tag), 0);
            rig_pump(r);
            struct pdu_task_management_request tmf = take_tmf(r);
            assert_int_equal(tmf.function, rows[i].function);
            assert_int_equal(tmf.lun, rows[i].has_lun ? LUN : 0);
            assert_int_equal(tmf.referenced_task_tag, PDU_TAG_RESERVED);
            assert_int_equal(tmf.ref_cmd_sn, 0);
            rig_tmf_response(r, tag, response); /* 5: not supported */
            assert_int_equal(same.reported, response == 0 && rows[i].same_lun);
            assert_int_equal(other.reported, response == 0 && rows[i].other_lun);
            rig_free(r);
            assert_int_equal(same.reported + other.reported, 2);
            rig_command_fini(&same);
            rig_command_fini(&other);
        }
    }
    PROVES("R7143-11.5.1-01", "initiator");
    PROVES("R7143-11.5.3-01", "initiator");
    PROVES("R7143-11.5.4-01", "initiator");
    PROVES("R7143-11.5.5-02", "initiator");
    PROVES("R7144-6.3-01", "initiator");
}

/* Standard abort: R2Ts of the affected task are answered until the function's answer is here. */
static void r2ts_are_answered_while_an_abort_is_under_way(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct rig_command rc;
    uint32_t tag;
    r->key_config.initial_r2t = true;
    r->key_config.immediate_data = false;
    rig_begin(r);
    rig_login(r);
    rig_command(r, &rc, true, 4096, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    assert_int_equal(ini_task_management(r->s, 2, LUN, NULL, &tag), 0);
    rig_pump(r);
    take_tmf(r);
    rig_r2t(r, itt, 1, 0, 0, 4096);
    struct pdu_data_out data;
    pdu_data_out_decode(rig_take(r, PDU_OP_data_out)->bhs, &data);
    assert_true(data.final);
    rig_tmf_response(r, tag, 0);
    assert_int_equal(rc.reported, 1);
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-4.2.3.3-02", "initiator");
    PROVES("R7143-11.5.1-08", "initiator");
    PROVES("R7143-11.5.1-09", "initiator");
}

/* ---- pings ---- */

static void pings_of_both_sides_are_answered(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    uint32_t tag;
    assert_int_equal(ini_ping(r->s, "some data", 9, &tag), 0);
    rig_pump(r);
    struct pdu_nop_out out;
    pdu_nop_out_decode(rig_take(r, PDU_OP_nop_out)->bhs, &out);
    assert_int_equal(out.itt, tag);
    assert_int_equal(out.ttt, PDU_TAG_RESERVED);
    assert_int_equal(r->pdu.len, 9);
    assert_memory_equal(r->pdu.data, "some data", 9);
    r->now += 1500000;
    RIG_PDU(r, nop_in, in);
    in.itt = tag;
    in.ttt = PDU_TAG_RESERVED;
    in.stat_sn = r->stat_sn++;
    RIG_SEND(r, nop_in, &in, "some data", 9);
    struct rig_event *e = rig_event(r, INI_EVENT_PING_DONE);
    assert_int_equal(e->event.tag, tag);
    assert_int_equal(e->event.value_ns, 1500000);
    RIG_SEND(r, nop_in, &in, NULL, 0); /* an answer too many */
    assert_false(rig_has_event(r));

    in.itt = PDU_TAG_RESERVED; /* the target asks */
    in.ttt = 0x1234;
    in.lun = LUN;
    in.stat_sn = r->stat_sn;
    RIG_SEND(r, nop_in, &in, NULL, 0);
    pdu_nop_out_decode(rig_take(r, PDU_OP_nop_out)->bhs, &out);
    assert_int_equal(out.itt, PDU_TAG_RESERVED);
    assert_int_equal(out.ttt, 0x1234);
    assert_int_equal(out.lun, LUN);
    assert_true(out.immediate);
    assert_int_equal(out.cmd_sn, r->exp_cmd_sn);
    assert_int_equal(out.exp_stat_sn, r->stat_sn);
    assert_true(rig_quiet(r));
    rig_free(r);
    PROVES("R7143-4.6.3.6-01", "initiator");
    PROVES("R7143-11.18-01", "initiator");
    PROVES("R7143-11.18.1-01", "initiator");
    PROVES("R7143-11.18.1-03", "initiator");
    PROVES("R7143-11.18.2-01", "initiator");
    PROVES("R7143-11.18.2-02", "initiator");
    PROVES("R7143-11.18.3-01", "initiator");
}

static void a_silent_target_is_pinged_and_then_given_up(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    assert_int_equal(ini_deadline(r->s), r->now + 5 * RIG_SECOND);
    for (int i = 0; i < 3; i++) { /* it answers: all is well */
        r->now += 5 * RIG_SECOND;
        ini_tick(r->s);
        rig_pump(r);
        struct pdu_nop_out out;
        pdu_nop_out_decode(rig_take(r, PDU_OP_nop_out)->bhs, &out);
        RIG_PDU(r, nop_in, in);
        in.itt = out.itt;
        in.ttt = PDU_TAG_RESERVED;
        in.stat_sn = r->stat_sn++;
        r->now += RIG_SECOND;
        RIG_SEND(r, nop_in, &in, NULL, 0);
        r->now = ini_deadline(r->s);
        ini_tick(r->s); /* sees that something was heard */
        rig_pump(r);
        assert_false(rig_closing(r));
        assert_true(ini_deadline(r->s) > r->now || rig_quiet(r));
    }
    uint64_t before = r->now;
    for (int i = 0; i < 10 && !rig_closing(r); i++) {
        r->now = ini_deadline(r->s) > r->now ? ini_deadline(r->s) : r->now + 1;
        ini_tick(r->s);
        rig_pump(r);
    }
    assert_true(r->now - before <= 11 * RIG_SECOND);
    rig_expect_failure(r, "ping");
    rig_free(r);
    PROVES("R7143-7.14-01", "initiator");
}

/* ---- messages of the target, logout ---- */

static void async(struct rig *r, uint8_t code, uint16_t p3)
{
    RIG_PDU(r, async_message, pdu);
    pdu.async_event = code;
    pdu.parameter3 = p3;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, async_message, &pdu, "\0\3abc", 5);
}

static struct pdu_logout_request take_logout(struct rig *r)
{
    struct pdu_logout_request pdu;
    pdu_logout_request_decode(rig_take(r, PDU_OP_logout_request)->bhs, &pdu);
    assert_int_equal(r->pdu.len, 0);
    assert_int_equal(r->pdu.ahs_len, 0);
    assert_int_equal(pdu.reason, 0);
    assert_int_equal(pdu.cid, 0);
    return pdu;
}

static void a_request_to_leave_is_followed_when_commands_have_ended(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    struct rig_command rc, late;
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    async(r, 1, 10);
    struct rig_event *e = rig_event(r, INI_EVENT_ASYNC);
    assert_int_equal(e->event.async_event, 1);
    assert_int_equal(e->event.parameter[2], 10);
    assert_memory_equal(e->text, "\0\3abc", 5);
    rig_command(r, &late, false, 512, 1);
    assert_int_equal(ini_submit(r->s, &late.c), ERR_CLOSED);
    assert_true(rig_quiet(r));
    rig_response(r, itt, 2, NULL, 0);
    rig_event(r, INI_EVENT_COMMAND_DONE);
    struct pdu_logout_request out = take_logout(r);
    async(r, 1, 10); /* once more: no harm */
    rig_event(r, INI_EVENT_ASYNC);
    assert_true(rig_quiet(r));
    rig_logout_response(r, out.itt, 0, 0, 0);
    rig_event(r, INI_EVENT_LOGGED_OUT);
    rig_event(r, INI_EVENT_CLOSED);
    assert_true(rig_closing(r));
    rig_free(r);
    rig_command_fini(&rc);
    rig_command_fini(&late);
    PROVES("R7143-8.1.2-11", "initiator");
    PROVES("R7143-8.1.2-14", "initiator");
    PROVES("R7143-11.9.1-02", "initiator");
    PROVES("R7143-11.9.1-03", "initiator");
    PROVES("R7143-11.9.1-04", "initiator");
    PROVES("R7143-11.9.4-01", "initiator");
}

static void logout_waits_for_commands_and_ends_the_session(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    struct rig_command rc;
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    assert_int_equal(ini_logout(r->s), 0);
    rig_pump(r);
    assert_true(rig_quiet(r));
    rig_response(r, itt, 2, NULL, 0);
    rig_event(r, INI_EVENT_COMMAND_DONE);
    struct pdu_logout_request out = take_logout(r);
    assert_int_equal(out.exp_stat_sn, r->stat_sn);
    uint32_t tag;
    assert_int_equal(ini_submit(r->s, &rc.c), ERR_CLOSED);
    assert_int_equal(ini_ping(r->s, NULL, 0, &tag), ERR_CLOSED);
    assert_int_equal(ini_send_targets(r->s, "All"), ERR_CLOSED);
    assert_int_equal(ini_task_management(r->s, 5, LUN, NULL, &tag), ERR_CLOSED);
    rig_pump(r);
    assert_true(rig_quiet(r)); /* nothing after Logout */
    rig_logout_response(r, out.itt, 0, 0, 0);
    assert_int_equal(rig_event(r, INI_EVENT_LOGGED_OUT)->event.response, 0);
    rig_event(r, INI_EVENT_CLOSED);
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-4.2.6-01", "initiator");
    PROVES("R7143-4.6.3.3-01", "initiator");
    PROVES("R7143-8.1.2-10", "initiator");
    PROVES("R7143-8.1.2-13", "initiator");
    PROVES("R7143-11.14-01", "initiator");
    PROVES("R7143-11.14-02", "initiator");
    PROVES("R7143-11.14-06", "initiator");
    PROVES("R7143-11.14.1-01", "initiator");
    PROVES("R7143-11.14.2-01", "initiator");
    PROVES("R7143-11.14.4-01", "initiator");
    PROVES("R7143-11.15-01", "initiator");
}

static void a_rejected_ping_is_forgiven(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    uint32_t tag;
    assert_int_equal(ini_ping(r->s, NULL, 0, &tag), 0);
    rig_pump(r);
    uint8_t bhs[PDU_BHS_LEN];
    memcpy(bhs, rig_take(r, PDU_OP_nop_out)->bhs, sizeof bhs);
    RIG_PDU(r, reject, pdu);
    pdu.reason = 5;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, reject, &pdu, bhs, sizeof bhs);
    assert_true(ini_is_up(r->s));
    struct rig_command rc;
    rig_command(r, &rc, false, 0, 0);
    rig_submit(r, &rc);
    rig_response(r, rig_take_command(r).itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    rig_free(r);
    rig_command_fini(&rc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(send_targets_is_asked_alone_and_answered_whole),
        cmocka_unit_test(long_answers_are_fetched_piece_by_piece),
        cmocka_unit_test(text_without_end_or_sense_ends_the_session),
        cmocka_unit_test(abort_task_names_its_command_and_ends_it),
        cmocka_unit_test(functions_take_the_commands_they_cover),
        cmocka_unit_test(r2ts_are_answered_while_an_abort_is_under_way),
        cmocka_unit_test(pings_of_both_sides_are_answered),
        cmocka_unit_test(a_silent_target_is_pinged_and_then_given_up),
        cmocka_unit_test(a_request_to_leave_is_followed_when_commands_have_ended),
        cmocka_unit_test(logout_waits_for_commands_and_ends_the_session),
        cmocka_unit_test(a_rejected_ping_is_forgiven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
