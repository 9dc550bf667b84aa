/* Connection recovery (ErrorRecoveryLevel 2), from the initiator's side.
 *
 * Goal: a command outlives its connection: its CID is logged out on another connection or taken over by a new
 * one, not before Time2Wait; then what the target has is reassigned and what it never had is sent again with
 * its number; what cannot be settled in time comes back LOST; buffers are given back only when nothing can
 * touch them. Method: a scripted target (initiator_harness.h), one link per connection. */
#include "initiator/iscsi/states.h"
#include "tests/unit/initiator_harness.h"

#define LUN 0x0001000000000000ull

static struct pdu_task_management_request take_reassign(struct rig *r, uint32_t itt, uint32_t exp_data_sn)
{
    struct pdu_task_management_request t;
    RIG_TAKE(r, task_management_request, &t);
    assert_int_equal(t.function, 8);
    assert_true(t.immediate);
    assert_int_equal(t.lun, 0);
    assert_int_equal(t.referenced_task_tag, itt);
    assert_int_equal(t.exp_data_sn, exp_data_sn);
    assert_int_equal(t.exp_stat_sn, r->stat_sn);
    return t;
}

static uint64_t wanted(struct rig *r)
{
    return rig_event(r, INI_EVENT_CONN_WANTED)->event.value_ns - r->now;
}

/* ---- the only connection ---- */

/* A read half done when the only connection breaks; a new one takes the CID over. */
static void a_session_is_continued_on_a_new_connection(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, true);
    struct rig_command rc;
    uint8_t data[4 * 512];
    rig_random_bytes(r, data, sizeof data);
    rig_command(r, &rc, false, 4 * 512, 2);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    rig_data_in(r, itt, 0, 0, data, 512, false);
    rig_data_in(r, itt, 1, 512, data + 512, 512, false);
    rig_data_in(r, itt, 3, 1536, "out of order, to be dropped", 28, true);
    rig_take(r, PDU_OP_snack_request);
    uint32_t stat_sn = r->stat_sn;
    r->tell_conn_closed = true;
    rig_cut(r, ERR_RESET);
    assert_int_equal(wanted(r), 2 * RIG_SECOND);
    rig_event(r, INI_EVENT_CONN_CLOSED);
    assert_int_equal(ini_session_state(r->s), INI_Q4_FAILED);
    assert_false(ini_is_up(r->s));
    assert_int_equal(rc.reported, 0);
    rig_advance(r, 2 * RIG_SECOND);

    rig_use(r, 1);
    assert_int_equal(rig_connect(r), 0);
    struct pdu_login_request login;
    pdu_login_request_decode(r->wire, &login);
    assert_int_equal(login.cid, 0); /* the same */
    assert_int_equal(login.tsih, 77);
    assert_int_equal(login.exp_stat_sn, stat_sn);
    struct key_params session = *ini_params(r->s);
    key_negotiation_init(&r->keys, KEY_ROLE_TARGET, &r->key_config, false, &session);
    while (!rig_login_step(r)) {
    }
    r->header_digest = r->data_digest = true;
    rig_event(r, INI_EVENT_LOGGED_IN);
    assert_true(ini_is_up(r->s));
    struct pdu_task_management_request t = take_reassign(r, itt, 2);
    assert_true(rig_quiet(r));
    rig_tmf_response(r, t.itt, 0);
    rig_data_in(r, itt, 3, 1536, data + 1536, 512, true);
    struct pdu_snack_request snack; /* a gap here too: nothing below what was acknowledged is asked for */
    RIG_TAKE(r, snack_request, &snack);
    assert_int_equal(snack.beg_run, 2);
    assert_int_equal(snack.run_length, 1);
    rig_data_in(r, itt, 2, 1024, data + 1024, 512, false);
    rig_response(r, itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
    assert_int_equal(rc.c.in_done, sizeof data);
    assert_memory_equal(rc.data, data, sizeof data);
    assert_int_equal(ini_counters(r->s)->reassigns, 1);
    assert_int_equal(ini_counters(r->s)->recovered_connections, 1);
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-7.1.4.3-01", "initiator");
    PROVES("R7143-7.1.4.3-02", "initiator");
    PROVES("R7143-7.1.4.3-03", "initiator");
    PROVES("R7143-7.1.5-03", "initiator"); /* level 2 was said, and is done */
    PROVES("R7143-7.2.2-05", "initiator");
    PROVES("R7143-7.5-01", "initiator");
    PROVES("R7143-8.2-01", "initiator");
    PROVES("R7143-8.2-02", "initiator");
    PROVES("R7143-8.3.4-02", "initiator");
    PROVES("R7143-11.5.1-22", "initiator");
    PROVES("R7143-11.5.1-25", "initiator");
    PROVES("R7143-11.5.3-01", "initiator");
    PROVES("R7143-11.5.4-01", "initiator");
    PROVES("R7143-11.5.6-01", "initiator");
    PROVES("R7143-11.5.6-04", "initiator");
    PROVES("R7143-11.12.9-01", "initiator");
    PROVES("R7143-6.3.4-01", "initiator");
    PROVES("R7143-7.1.4.3-04", "initiator");
    PROVES("R7143-7.5.1-01", "initiator");
    PROVES("R7143-11.14-08", "initiator");
    PROVES("R7143-7.14-03", "initiator");
    PROVES("R7143-4.2.6-04", "initiator");
}

/* What comes in while there is no connection waits for one. */
static void commands_wait_while_there_is_no_connection(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    struct rig_command rc;
    rig_cut(r, 0);
    wanted(r);
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    rig_advance(r, 2 * RIG_SECOND);
    rig_join(r, 1);
    rig_response(r, rig_take_command(r).itt, 2, NULL, 0);
    assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
    rig_free(r);
    rig_command_fini(&rc);
}

static void time2retain_ends_the_session(void **state)
{
    (void)state;
    for (int busy = 0; busy < 2; busy++) {
        struct rig *r = rig_at_level(2, false);
        struct rig_command rc, late;
        rig_command(r, &rc, true, 4096, 1);
        rig_command(r, &late, true, 4096, 1);
        if (busy)
            rig_submit(r, &rc);
        rig_cut(r, ERR_RESET);
        wanted(r);
        if (busy)
            rig_submit(r, &late);
        assert_true(busy || ini_deadline(r->s) == r->now + 2 * RIG_SECOND);
        rig_advance(r, 2 * RIG_SECOND);
        rig_advance(r, 20 * RIG_SECOND);
        assert_false(rig_closed(r));
        assert_true(busy || ini_deadline(r->s) == r->now + 1);
        rig_advance(r, 1);
        assert_true(rig_closed(r));
        assert_int_equal(ini_session_state(r->s), INI_Q1_FREE);
        assert_int_equal(ini_submit(r->s, &rc.c), ERR_CLOSED);
        if (busy) {
            assert_int_equal(rc.reported, 1);
            assert_int_equal(rc.c.outcome, INI_DONE_LOST);
            assert_false(rc.c.never_sent);
            assert_int_equal(late.reported, 1);
            assert_true(late.c.never_sent);
        }
        rig_free(r);
        rig_command_fini(&rc);
        rig_command_fini(&late);
    }
    PROVES("R7143-8.2.2-01", "initiator");
    PROVES("R7143-8.3.4-03", "initiator");
    PROVES("R7143-7.5-02", "initiator");
}

/* A replacement whose login fails leaves things as they were; the next may succeed; unless the target has
 * forgotten the session. */
static void a_failed_replacement_is_no_end(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    struct rig_command rc;
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    rig_cut(r, ERR_RESET);
    wanted(r);
    rig_advance(r, 2 * RIG_SECOND);
    ini_connect_failed(r->s); /* the host cannot even connect */
    rig_pump(r);
    assert_int_equal(wanted(r), RIG_SECOND);
    rig_use(r, 1);
    assert_int_equal(rig_connect(r), 0);
    rig_cut(r, ERR_RESET);
    rig_event(r, INI_EVENT_LOGIN_FAILED);
    assert_int_equal(wanted(r), RIG_SECOND);
    rig_advance(r, RIG_SECOND);
    rig_join(r, 2);
    assert_int_equal(ini_cid(r->conn), 0);
    rig_tmf_response(r, take_reassign(r, itt, 0).itt, 0);
    rig_response(r, itt, 2, NULL, 0);
    assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
    rig_event(r, INI_EVENT_COMMAND_DONE);

    rig_cut(r, ERR_RESET);
    wanted(r);
    rig_use(r, 3);
    assert_int_equal(rig_connect(r), ERR_AGAIN); /* a host that cannot wait */
    rig_advance(r, 2 * RIG_SECOND);
    assert_int_equal(rig_connect(r), 0);
    struct pdu_login_response no = rig_login_response(r, rig_take(r, PDU_OP_login_request), false);
    no.status_class = 2;
    no.status_detail = 10;
    RIG_SEND(r, login_response, &no, NULL, 0);
    rig_event(r, INI_EVENT_LOGIN_FAILED);
    assert_true(rig_closed(r));
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-8.1.2-01", "initiator");
    PROVES("R7143-8.2.2-02", "initiator");
    PROVES("R7143-7.2.2-04", "initiator");
}

/* ---- a connection of several ---- */

struct pair { /* two connections; a read on the first, a write on the second, which is about to fail */
    struct rig *r;
    struct rig_command rc[3];
    uint32_t itt[3], stat_sn;
};

static void pair_begin(struct pair *p)
{
    p->r = rig_at_level(2, false);
    rig_join(p->r, 1);
    for (int i = 0; i < 3; i++)
        rig_command(p->r, &p->rc[i], i == 1, i == 1 ? 65536 + 8192 : 512, 1);
    rig_submit(p->r, &p->rc[0]);
    rig_submit(p->r, &p->rc[1]);
    struct pdu_scsi_command c;
    rig_use(p->r, 0);
    RIG_TAKE(p->r, scsi_command, &c);
    p->itt[0] = c.itt;
    rig_use(p->r, 1);
    RIG_TAKE(p->r, scsi_command, &c);
    p->itt[1] = c.itt;
    p->r->exp_cmd_sn += 2;
}

static void pair_end(struct pair *p)
{
    rig_free(p->r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p->rc[i].reported, i < 2);
        rig_command_fini(&p->rc[i]);
    }
}

/* Both commands have arrived (link 0 says so), then link 1 breaks; ends on link 0 with the logout taken. */
static struct pdu_logout_request pair_break(struct pair *p)
{
    struct rig *r = p->r;
    struct pdu_logout_request out;
    RIG_PDU(r, nop_in, nop);
    nop.itt = nop.ttt = PDU_TAG_RESERVED;
    nop.stat_sn = p->stat_sn = r->stat_sn;
    RIG_SEND(r, nop_in, &nop, NULL, 0);
    rig_cut(r, ERR_RESET);
    assert_int_equal(wanted(r), 2 * RIG_SECOND);
    rig_use(r, 0);
    assert_true(rig_quiet(r));
    assert_true(ini_is_up(r->s));
    rig_advance(r, 2 * RIG_SECOND - 1);
    assert_true(rig_quiet(r)); /* not before Time2Wait */
    rig_advance(r, 1);
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 2);
    assert_int_equal(out.cid, 1);
    assert_int_equal(out.exp_stat_sn, p->stat_sn);
    return out;
}

static void commands_move_to_the_connection_that_is_left(void **state)
{
    (void)state;
    struct pair p;
    struct pdu_data_out d;
    pair_begin(&p);
    struct rig *r = p.r;
    rig_r2t(r, p.itt[1], 5, 0, 65536, 4096);
    rig_take(r, PDU_OP_data_out);
    struct pdu_logout_request out = pair_break(&p);
    rig_logout_response(r, out.itt, 0, 3, 20);
    assert_true(rig_quiet(r)); /* it asked for three seconds more */
    rig_advance(r, 3 * RIG_SECOND);
    struct pdu_task_management_request t = take_reassign(r, p.itt[1], 0);
    rig_tmf_response(r, t.itt, 0);
    rig_r2t(r, p.itt[1], 6, 0, 65536, 8192); /* it counts R2Ts anew, and asks for all again */
    RIG_TAKE(r, data_out, &d);
    assert_int_equal(d.ttt, 6);
    assert_int_equal(d.buffer_offset, 65536);
    assert_memory_equal(r->pdu.data, p.rc[1].data + 65536, 8192);
    rig_response(r, p.itt[1], 2, NULL, 0);
    rig_response(r, p.itt[0], 2, NULL, 0);
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_STATUS);
    assert_int_equal(ini_connections(r->s), 1);
    assert_int_equal(ini_transitions(r->s)->cleanup[3], 1); /* M4 */
    rig_forget_events(r);
    rig_join(r, 2); /* there is room again */
    pair_end(&p);
    PROVES("R7143-7.2.2-01", "initiator");
    PROVES("R7143-8.2-03", "initiator");
    PROVES("R7143-11.14-07", "initiator");
    PROVES("R7143-11.14.4-01", "initiator");
    PROVES("R7143-11.15.3-01", "initiator");
    PROVES("R7143-7.1.4.3-05", "initiator");
    PROVES("R7143-7.5.2-01", "initiator");
    PROVES("R7143-11.14-08", "initiator");
}

/* The target never saw the command: no reassignment, the same command again, number and all. */
static void what_never_arrived_is_sent_again(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p);
    struct rig *r = p.r;
    p.r->exp_cmd_sn--; /* the write's */
    struct pdu_logout_request out = pair_break(&p);
    rig_submit(r, &p.rc[2]); /* a later one, which the target may not start yet */
    struct pdu_scsi_command later, again;
    RIG_TAKE(r, scsi_command, &later);
    rig_logout_response(r, out.itt, 0, 0, 20);
    RIG_TAKE(r, scsi_command, &again);
    assert_int_equal(again.itt, p.itt[1]);
    assert_int_equal(again.cmd_sn, later.cmd_sn - 1);
    assert_int_equal(r->pdu.len, 65536);
    assert_memory_equal(r->pdu.data, p.rc[1].data, 65536);
    r->exp_cmd_sn += 2;
    rig_response(r, p.itt[1], 2, NULL, 0);
    rig_response(r, later.itt, 2, NULL, 0);
    rig_response(r, p.itt[0], 2, NULL, 0);
    assert_int_equal(p.rc[2].reported--, 1);
    assert_int_equal(ini_counters(r->s)->reassigns, 0);
    pair_end(&p);
    PROVES("R7143-4.2.2.1-21", "initiator");
    PROVES("R7143-7.2.1-05", "initiator");
}

static void a_task_that_the_target_does_not_know_is_lost(void **state)
{
    (void)state;
    static const uint8_t responses[] = {1, 2, 4, 5, 6};
    for (size_t i = 0; i < sizeof responses; i++) {
        uint8_t response = responses[i];
        struct pair p;
        pair_begin(&p);
        struct rig *r = p.r;
        struct pdu_logout_request out = pair_break(&p);
        rig_logout_response(r, out.itt, 0, 0, 20);
        rig_tmf_response(r, take_reassign(r, p.itt[1], 0).itt, response);
        assert_int_equal(p.rc[1].reported, 1);
        assert_int_equal(p.rc[1].c.outcome, INI_DONE_LOST);
        assert_true(ini_is_up(r->s));
        rig_response(r, p.itt[0], 2, NULL, 0);
        assert_int_equal(p.rc[0].c.outcome, INI_DONE_STATUS);
        pair_end(&p);
    }
}

/* Linux' LIO rejects a reassignment that it carries out: the task goes on. */
static void a_rejected_reassignment_may_have_been_one(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p);
    struct rig *r = p.r;
    struct pdu_logout_request out = pair_break(&p);
    rig_logout_response(r, out.itt, 0, 0, 20);
    rig_tmf_response(r, take_reassign(r, p.itt[1], 0).itt, 255);
    assert_int_equal(p.rc[1].reported, 0);
    rig_advance(r, RIG_SECOND);
    rig_response(r, p.itt[1], 2, NULL, 0);
    assert_int_equal(p.rc[1].reported, 1);
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_STATUS);
    rig_response(r, p.itt[0], 2, NULL, 0);
    rig_advance(r, 20 * RIG_SECOND);
    assert_true(ini_is_up(r->s));
    pair_end(&p);
}

/* It was meant: nothing comes, and soon the task is lost, the session is not. */
static void a_rejected_reassignment_without_more_is_a_loss(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p);
    struct rig *r = p.r;
    struct pdu_logout_request out = pair_break(&p);
    rig_logout_response(r, out.itt, 0, 0, 20);
    rig_tmf_response(r, take_reassign(r, p.itt[1], 0).itt, 255);
    rig_response(r, p.itt[0], 2, NULL, 0);
    rig_advance(r, 2 * RIG_SECOND - 1);
    assert_int_equal(p.rc[1].reported, 0);
    rig_advance(r, 1);
    assert_int_equal(p.rc[1].reported, 1);
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_LOST);
    assert_true(ini_is_up(r->s));
    pair_end(&p);
}

/* LIO calls the reassignment of a task complete that it does not have: nothing ever comes. The session must
 * not wait for that; the commands come back lost and can be given to a new one. */
static void a_reassigned_task_that_does_not_go_on_ends_the_session(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p);
    struct rig *r = p.r;
    struct pdu_logout_request out = pair_break(&p);
    rig_logout_response(r, out.itt, 0, 0, 20);
    rig_tmf_response(r, take_reassign(r, p.itt[1], 0).itt, 0);
    rig_response(r, p.itt[0], 2, NULL, 0);
    rig_advance(r, 15 * RIG_SECOND - 1);
    assert_int_equal(p.rc[1].reported, 0);
    assert_true(ini_is_up(r->s));
    rig_advance(r, 1);
    rig_expect_failure(r, "does not go on");
    assert_int_equal(p.rc[1].reported, 1);
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_LOST);
    pair_end(&p);
}

/* One that goes on, by R2T here, may take as long as it wants. */
static void a_reassigned_task_that_goes_on_may_be_slow(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p);
    struct rig *r = p.r;
    struct pdu_logout_request out = pair_break(&p);
    rig_logout_response(r, out.itt, 0, 0, 20);
    rig_tmf_response(r, take_reassign(r, p.itt[1], 0).itt, 0);
    rig_response(r, p.itt[0], 2, NULL, 0);
    rig_r2t(r, p.itt[1], 7, 0, 65536, 8192);
    struct pdu_data_out d;
    RIG_TAKE(r, data_out, &d);
    rig_advance(r, 60 * RIG_SECOND);
    assert_int_equal(p.rc[1].reported, 0);
    assert_true(ini_is_up(r->s));
    rig_response(r, p.itt[1], 2, NULL, 0);
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_STATUS);
    pair_end(&p);
}

/* Time2Retain 0 in the Logout Response: the tasks are gone, nothing is reassigned. */
static void tasks_that_the_target_has_dropped_are_lost(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p);
    struct pdu_logout_request out = pair_break(&p);
    rig_logout_response(p.r, out.itt, 0, 0, 0);
    assert_true(rig_quiet(p.r));
    assert_int_equal(p.rc[1].reported, 1);
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_LOST);
    assert_true(ini_is_up(p.r->s));
    rig_response(p.r, p.itt[0], 2, NULL, 0);
    pair_end(&p);
    PROVES("R7143-11.15.4-01", "initiator");
}

/* A tag that a status was to carry is forgotten with the connection. */
static void a_snack_tag_ends_with_its_connection(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    struct rig_command rc;
    uint8_t data[1024] = {1, 2, 3};
    rig_command(r, &rc, false, 1024, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    assert_int_equal(ini_set_max_recv(r->s, 1024), 0);
    rig_pump(r);
    rig_text_response(r, rig_take_text(r).itt, PDU_TAG_RESERVED, false, NULL, 0);
    rig_data_in(r, itt, 1, 512, data + 512, 512, true);
    struct pdu_snack_request snack;
    RIG_TAKE(r, snack_request, &snack);
    assert_int_equal(snack.type, 3);
    rig_data_in(r, itt, 0, 0, data, 512, false); /* perhaps of the old cut: it does not count below */
    rig_cut(r, ERR_RESET);
    rig_advance(r, 2 * RIG_SECOND);
    rig_forget_events(r);
    rig_join(r, 1);
    assert_int_equal(ini_conn_params(r->conn)->max_recv_data_segment_length, 1024);
    rig_tmf_response(r, take_reassign(r, itt, 0).itt, 0);
    rig_data_in(r, itt, 0, 0, data, 1024, true);
    rig_response(r, itt, 0, NULL, 0); /* tag 0 */
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
    assert_int_equal(rc.c.status, 0);
    assert_int_equal(rc.c.in_done, 1024);
    assert_memory_equal(rc.data, data, 1024);
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-7.2.2-12", "initiator");
}

/* A function's answer that comes after all was told as lost. */
static void a_late_answer_to_a_lost_function_is_dropped(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    uint32_t tag;
    assert_int_equal(ini_task_management(r->s, 5, LUN, NULL, &tag), 0);
    rig_cut(r, ERR_RESET);
    assert_int_equal(rig_event(r, INI_EVENT_TMF_DONE)->event.response, 0xff);
    wanted(r);
    rig_advance(r, 2 * RIG_SECOND);
    rig_join(r, 1);
    rig_tmf_response(r, tag, 0);
    assert_true(ini_is_up(r->s));
    assert_false(rig_has_event(r));
    rig_free(r);
    PROVES("R7143-4.2.3.3-06", "initiator");
}

/* Cleanup failed: tried again after Time2Wait; a CID that the target has forgotten is settled at once. */
static void a_failed_recovery_logout_is_tried_again(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p);
    struct rig *r = p.r;
    struct pdu_logout_request out = pair_break(&p);
    rig_logout_response(r, out.itt, 3, 4, 20);
    assert_true(rig_quiet(r));
    rig_advance(r, 4 * RIG_SECOND - 1);
    assert_true(rig_quiet(r));
    rig_advance(r, 1);
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 2);
    rig_logout_response(r, out.itt, 1, 0, 0);
    assert_int_equal(p.rc[1].reported, 1);
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_LOST);
    assert_true(ini_is_up(r->s));
    rig_response(r, p.itt[0], 2, NULL, 0);
    pair_end(&p);
    PROVES("R7143-8.2.2-02", "initiator");
}

/* The connection that was to help fails too: a new one takes over one CID and logs the other out. */
static void failure_upon_failure_is_recovered(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p);
    struct rig *r = p.r;
    pair_break(&p);
    rig_cut(r, ERR_RESET); /* link 0, with the logout unanswered */
    wanted(r);
    assert_int_equal(ini_session_state(r->s), INI_Q4_FAILED);
    rig_advance(r, 2 * RIG_SECOND);
    rig_forget_events(r);
    rig_join(r, 2);
    uint16_t cid = ini_cid(r->conn), other = (uint16_t)(1 - cid);
    struct pdu_task_management_request t;
    struct pdu_logout_request out;
    /* What this CID had comes over; the other is logged out first. In either order. */
    uint32_t seen = 0;
    for (int i = 0; i < 3; i++) {
        if (pdu_opcode(r->wire + r->wire_pos) == PDU_OP_logout_request) {
            RIG_TAKE(r, logout_request, &out);
            assert_int_equal(out.cid, other);
            rig_logout_response(r, out.itt, 0, 0, 20);
        } else {
            RIG_TAKE(r, task_management_request, &t);
            assert_int_equal(t.function, 8);
            seen |= t.referenced_task_tag == p.itt[0] ? 1 : t.referenced_task_tag == p.itt[1] ? 2 : 4;
            rig_tmf_response(r, t.itt, 0);
        }
    }
    assert_int_equal(seen, 3);
    rig_response(r, p.itt[0], 2, NULL, 0);
    rig_response(r, p.itt[1], 2, NULL, 0);
    assert_int_equal(ini_counters(r->s)->recovered_connections, 2);
    pair_end(&p);
}

/* A connection breaks while a task is being reassigned to it. */
static void failure_during_reassignment_is_recovered(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p);
    struct rig *r = p.r;
    struct pdu_logout_request out = pair_break(&p);
    rig_logout_response(r, out.itt, 0, 0, 20);
    take_reassign(r, p.itt[1], 0);
    rig_cut(r, ERR_RESET);
    rig_advance(r, 2 * RIG_SECOND);
    rig_forget_events(r);
    rig_join(r, 2);
    for (int i = 0; i < 2; i++) {
        struct pdu_task_management_request t;
        RIG_TAKE(r, task_management_request, &t);
        assert_int_equal(t.function, 8);
        rig_tmf_response(r, t.itt, 0);
    }
    rig_response(r, p.itt[0], 2, NULL, 0);
    rig_response(r, p.itt[1], 2, NULL, 0);
    pair_end(&p);
}

static void immediate_commands_end_with_their_connection(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    struct rig_command rc;
    rig_command(r, &rc, false, 512, 1);
    rc.c.immediate = true;
    rig_submit(r, &rc);
    rig_take_command(r);
    rig_cut(r, ERR_RESET);
    wanted(r);
    rig_advance(r, 2 * RIG_SECOND);
    rig_join(r, 1);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.outcome, INI_DONE_LOST);
    assert_true(rig_quiet(r));
    rig_free(r);
    rig_command_fini(&rc);
}

/* Requests of other kinds are answered with their loss. */
static void other_requests_are_lost_with_their_connection(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    uint32_t tmf, ping;
    assert_int_equal(ini_task_management(r->s, 5, LUN, NULL, &tmf), 0);
    assert_int_equal(ini_ping(r->s, "x", 1, &ping), 0);
    assert_int_equal(ini_send_targets(r->s, "All"), 0);
    rig_pump(r);
    rig_cut(r, ERR_RESET);
    for (int i = 0; i < 3; i++) {
        assert_true(rig_has_event(r));
        const struct ini_event *e = &r->events[r->event_pos++].event;
        assert_true(e->kind == INI_EVENT_TMF_DONE || e->kind == INI_EVENT_PING_DONE ||
                    e->kind == INI_EVENT_TEXT_DONE);
        assert_int_equal(e->response, 0xff);
    }
    wanted(r);
    rig_advance(r, 2 * RIG_SECOND);
    rig_join(r, 1);
    assert_true(rig_quiet(r)); /* nothing of it is reassigned */
    assert_int_equal(ini_send_targets(r->s, "All"), 0);
    rig_free(r);
    PROVES("R7143-11.10-02", "initiator");
    PROVES("R7143-11.6.1-08", "initiator");
}

/* Its buffers may still be read by the kernel when the connection is known to be lost. */
static void recovery_waits_for_buffers(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    struct rig_command rc;
    struct io_vec places[8];
    r->hold_output = true;
    rig_command(r, &rc, true, 65536, 1);
    assert_int_equal(ini_submit(r->s, &rc.c), 0);
    assert_true(ini_gather(r->conn, places, 8) > 1);
    struct ini_conn *old = r->conn;
    ini_lost(r->conn, ERR_RESET);
    r->over = true;
    rig_pull_events(r);
    wanted(r);
    rig_use(r, 1);
    r->hold_output = false;
    rig_advance(r, 2 * RIG_SECOND);
    rig_join(r, 1);
    assert_true(rig_quiet(r)); /* nothing moves yet */
    ini_sent(old, 100);
    rig_pump(r);
    struct pdu_scsi_command c;
    RIG_TAKE(r, scsi_command, &c); /* never acknowledged: again */
    assert_memory_equal(r->pdu.data, rc.data, 65536);
    r->exp_cmd_sn++;
    rig_response(r, c.itt, 2, NULL, 0);
    assert_int_equal(rc.reported, 1);
    rig_free(r);
    rig_command_fini(&rc);
}

/* After logout ABORT TASK may go another way; before, there is nobody to send it to. */
static void an_abort_waits_for_a_new_allegiance(void **state)
{
    (void)state;
    struct pair p;
    uint32_t tag;
    pair_begin(&p);
    struct rig *r = p.r;
    struct pdu_logout_request out = pair_break(&p);
    assert_int_equal(ini_task_management(r->s, 1, LUN, &p.rc[1].c, &tag), 0);
    rig_pump(r);
    assert_true(rig_quiet(r));
    rig_logout_response(r, out.itt, 0, 0, 20);
    uint32_t reassign = take_reassign(r, p.itt[1], 0).itt;
    assert_true(rig_quiet(r)); /* the target must have it first */
    rig_tmf_response(r, reassign, 0);
    struct pdu_task_management_request abort;
    RIG_TAKE(r, task_management_request, &abort);
    assert_int_equal(abort.function, 1);
    assert_int_equal(abort.itt, tag);
    assert_int_equal(abort.referenced_task_tag, p.itt[1]);
    rig_tmf_response(r, tag, 0);
    assert_int_equal(rig_event(r, INI_EVENT_COMMAND_DONE)->event.command == &p.rc[1].c, 1);
    assert_int_equal(rig_event(r, INI_EVENT_TMF_DONE)->event.response, 0);
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_ABORTED);
    rig_response(r, p.itt[0], 2, NULL, 0);
    pair_end(&p);
}

/* It ends before it has one: the abort is answered too. */
static void an_abort_of_a_command_that_is_lost_is_answered(void **state)
{
    (void)state;
    struct pair p;
    uint32_t tag;
    pair_begin(&p);
    struct rig *r = p.r;
    struct pdu_logout_request out = pair_break(&p);
    assert_int_equal(ini_task_management(r->s, 1, LUN, &p.rc[1].c, &tag), 0);
    rig_logout_response(r, out.itt, 0, 0, 0); /* the target has dropped it */
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_LOST);
    assert_int_equal(rig_event(r, INI_EVENT_COMMAND_DONE)->event.command == &p.rc[1].c, 1);
    const struct ini_event *done = &rig_event(r, INI_EVENT_TMF_DONE)->event;
    assert_int_equal(done->tag, tag);
    assert_int_equal(done->response, INI_REPLY_LOST);
    assert_int_equal(done->service, INI_SERVICE_FUNCTION_REJECTED);
    assert_true(rig_quiet(r));
    rig_response(r, p.itt[0], 2, NULL, 0);
    pair_end(&p);
}

/* "Task still allegiant": the failed connection is logged out once more, and only then is it tried again; not
 * for ever. */
static void a_task_that_is_allegiant_still_waits_for_another_logout(void **state)
{
    (void)state;
    for (int times = 1; times <= 12; times += 11) {
        struct pair p;
        struct pdu_logout_request again;
        pair_begin(&p);
        struct rig *r = p.r;
        struct pdu_logout_request out = pair_break(&p);
        rig_logout_response(r, out.itt, 0, 0, 20);
        int turn = 0;
        while (turn < times && !p.rc[1].reported) {
            rig_tmf_response(r, take_reassign(r, p.itt[1], 0).itt, 3);
            if (p.rc[1].reported)
                break;
            RIG_TAKE(r, logout_request, &again);
            assert_int_equal(again.reason, 2);
            assert_int_equal(again.cid, out.cid);
            assert_int_equal(again.exp_stat_sn, out.exp_stat_sn);
            assert_true(rig_quiet(r));
            rig_logout_response(r, again.itt, 0, 0, 20);
            turn++;
        }
        if (times == 1) {
            rig_tmf_response(r, take_reassign(r, p.itt[1], 0).itt, 0);
            assert_int_equal(p.rc[1].reported, 0);
            rig_response(r, p.itt[1], 2, NULL, 0);
            assert_int_equal(p.rc[1].c.outcome, INI_DONE_STATUS);
        } else {
            assert_int_equal(turn, 8);
            assert_int_equal(p.rc[1].c.outcome, INI_DONE_LOST);
        }
        rig_response(r, p.itt[0], 2, NULL, 0);
        pair_end(&p);
    }
}

/* A function that takes a command which waits for its connection leaves a gap in the target's numbers if the
 * command never arrived: a NOP-Out fills it. */
static void a_gap_that_nobody_fills_is_plugged(void **state)
{
    (void)state;
    struct pair p;
    struct pdu_nop_out plug;
    uint32_t tag;
    pair_begin(&p);
    struct rig *r = p.r;
    r->exp_cmd_sn--;
    struct pdu_logout_request out = pair_break(&p);
    assert_int_equal(ini_task_management(r->s, 6, 0, NULL, &tag), 0);
    rig_pump(r);
    rig_take(r, PDU_OP_task_management_request);
    rig_tmf_response(r, tag, 0);
    assert_int_equal(p.rc[1].c.outcome, INI_DONE_ABORTED);
    rig_logout_response(r, out.itt, 0, 0, 20);
    for (int i = 0; i < 3 && rig_quiet(r); i++)
        rig_advance(r, RIG_SECOND);
    RIG_TAKE(r, nop_out, &plug);
    assert_false(plug.immediate);
    assert_int_equal(plug.cmd_sn, r->exp_cmd_sn);
    r->exp_cmd_sn++;
    RIG_PDU(r, nop_in, pong);
    pong.itt = plug.itt;
    pong.ttt = PDU_TAG_RESERVED;
    pong.stat_sn = r->stat_sn++;
    RIG_SEND(r, nop_in, &pong, NULL, 0);
    rig_advance(r, RIG_SECOND);
    rig_advance(r, RIG_SECOND);
    assert_true(rig_quiet(r));
    pair_end(&p);
    PROVES("R7143-7.3-05", "initiator");
}

/* Who offers level 2 can do with less; and one connection is enough for level 2. */
static void the_level_is_what_the_target_takes(void **state)
{
    (void)state;
    for (uint32_t level = 0; level < 3; level++) {
        struct rig *r = rig_new();
        struct rig_command rc;
        r->options.keys.error_recovery_level = 2;
        r->key_config.error_recovery_level = level;
        r->options.nop_interval_ns = 0;
        rig_begin(r);
        rig_login(r);
        assert_int_equal(ini_params(r->s)->error_recovery_level, level);
        assert_int_equal(ini_params(r->s)->max_connections, 1);
        rig_command(r, &rc, false, 512, 1);
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt;
        RIG_PDU(r, nop_in, nop);
        nop.itt = nop.ttt = PDU_TAG_RESERVED;
        nop.stat_sn = r->stat_sn + 1; /* one is missing */
        RIG_SEND(r, nop_in, &nop, NULL, 0);
        assert_int_equal(rig_quiet(r), level == 0);
        if (level)
            rig_take(r, PDU_OP_snack_request);
        rig_cut(r, ERR_RESET);
        assert_int_equal(rig_closed(r), level < 2);
        if (level == 2) {
            rig_advance(r, 3 * RIG_SECOND);
            rig_forget_events(r);
            rig_join(r, 1);
            rig_tmf_response(r, take_reassign(r, itt, 0).itt, 0);
            rig_response(r, itt, 2, NULL, 0);
            assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
        }
        rig_free(r);
        assert_int_equal(rc.reported, 1);
        rig_command_fini(&rc);
    }
    PROVES("R7143-4.2.1-03", "initiator");
    PROVES("R7143-7.1.5-02", "initiator");
    PROVES("R7143-7.1.5-06", "initiator");
}

/* Whichever allocation of a recovery fails, each command is reported once. */
static void recovery_without_memory_ends_in_order(void **state)
{
    (void)state;
    for (int n = 1; n < 40; n++) {
        struct rig *r = rig_at_level(2, false);
        struct rig_command rc[6];
        rig_join(r, 1);
        for (int i = 0; i < 6; i++) {
            rig_command(r, &rc[i], i & 1, 70000, 1);
            rig_submit(r, &rc[i]);
        }
        rig_cut(r, ERR_RESET);
        r->fail_alloc = n;
        rig_use(r, 0);
        rig_advance(r, 2 * RIG_SECOND);
        if (!rig_closing(r) && !rig_quiet(r)) {
            RIG_PDU(r, nop_in, nop);
            nop.itt = nop.ttt = PDU_TAG_RESERVED;
            nop.stat_sn = r->stat_sn + 2;
            RIG_SEND(r, nop_in, &nop, NULL, 0);
        }
        if (!rig_closing(r))
            rig_cut(r, ERR_RESET);
        r->fail_alloc = 0;
        rig_advance(r, 2 * RIG_SECOND);
        rig_free(r);
        for (int i = 0; i < 6; i++) {
            assert_int_equal(rc[i].reported, 1);
            rig_command_fini(&rc[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_continued_on_a_new_connection),
        cmocka_unit_test(commands_wait_while_there_is_no_connection),
        cmocka_unit_test(time2retain_ends_the_session),
        cmocka_unit_test(a_failed_replacement_is_no_end),
        cmocka_unit_test(commands_move_to_the_connection_that_is_left),
        cmocka_unit_test(what_never_arrived_is_sent_again),
        cmocka_unit_test(a_task_that_the_target_does_not_know_is_lost),
        cmocka_unit_test(a_rejected_reassignment_may_have_been_one),
        cmocka_unit_test(a_rejected_reassignment_without_more_is_a_loss),
        cmocka_unit_test(a_reassigned_task_that_does_not_go_on_ends_the_session),
        cmocka_unit_test(a_reassigned_task_that_goes_on_may_be_slow),
        cmocka_unit_test(tasks_that_the_target_has_dropped_are_lost),
        cmocka_unit_test(a_snack_tag_ends_with_its_connection),
        cmocka_unit_test(a_late_answer_to_a_lost_function_is_dropped),
        cmocka_unit_test(a_failed_recovery_logout_is_tried_again),
        cmocka_unit_test(failure_upon_failure_is_recovered),
        cmocka_unit_test(failure_during_reassignment_is_recovered),
        cmocka_unit_test(immediate_commands_end_with_their_connection),
        cmocka_unit_test(other_requests_are_lost_with_their_connection),
        cmocka_unit_test(recovery_waits_for_buffers),
        cmocka_unit_test(an_abort_waits_for_a_new_allegiance),
        cmocka_unit_test(an_abort_of_a_command_that_is_lost_is_answered),
        cmocka_unit_test(a_task_that_is_allegiant_still_waits_for_another_logout),
        cmocka_unit_test(a_gap_that_nobody_fills_is_plugged),
        cmocka_unit_test(the_level_is_what_the_target_takes),
        cmocka_unit_test(recovery_without_memory_ends_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
