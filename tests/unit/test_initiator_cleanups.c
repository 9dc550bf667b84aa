/* Several failed connections at once (ErrorRecoveryLevel 2), from the initiator's side.
 *
 * Goal: each failed connection keeps its own times, commands and tries; what is due first is done first; a
 * command that cannot go on yet stays where it is, and goes on when it can. Method: a scripted target
 * (initiator_harness.h) with up to four connections; every time one nanosecond early, then on time; the
 * engine's own places for task tags are filled by hand. */
#include "initiator/iscsi/internal.h"
#include "tests/unit/initiator_harness.h"

#define LUN  0x0001000000000000ull
#define LATE ((uint64_t)1)

static struct pdu_logout_request take_logout(struct rig *r, uint16_t cid)
{
    struct pdu_logout_request out;
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 2);
    assert_int_equal(out.cid, cid);
    return out;
}

/* Silence makes the engine ask. */
static void drop_pings(struct rig *r)
{
    while (!rig_quiet(r) && pdu_opcode(r->wire + r->wire_pos) == PDU_OP_nop_out)
        rig_take(r, PDU_OP_nop_out);
}

static uint32_t take_reassign(struct rig *r, uint32_t itt)
{
    struct pdu_task_management_request t;
    RIG_TAKE(r, task_management_request, &t);
    assert_int_equal(t.function, 8);
    assert_int_equal(t.referenced_task_tag, itt);
    return t.itt;
}

/* The target announces that it will drop a connection: with times of its own. */
static void announce_drop(struct rig *r, uint8_t event, uint16_t cid, uint16_t wait, uint16_t retain)
{
    RIG_PDU(r, async_message, pdu);
    pdu.async_event = event;
    pdu.parameter1 = cid;
    pdu.parameter2 = wait;
    pdu.parameter3 = retain;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, async_message, &pdu, NULL, 0);
    r->over = true;
}

static void ask_logout(struct rig *r, uint16_t seconds)
{
    RIG_PDU(r, async_message, pdu);
    pdu.async_event = 1;
    pdu.parameter3 = seconds;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, async_message, &pdu, NULL, 0);
}

/* All commands have arrived, says the target. */
static void acknowledge(struct rig *r)
{
    RIG_PDU(r, nop_in, nop);
    nop.itt = nop.ttt = PDU_TAG_RESERVED;
    nop.stat_sn = r->stat_sn;
    RIG_SEND(r, nop_in, &nop, NULL, 0);
}

#define LINKS 4u

struct fleet { /* `links` connections; command i is on connection i % links */
    struct rig *r;
    struct rig_command rc[8];
    uint32_t itt[8], count;
};

static void fleet_begin(struct fleet *f, uint32_t links, uint32_t count)
{
    struct rig *r = f->r = rig_at_level(2, false);
    f->count = count;
    for (uint32_t i = 1; i < links; i++)
        rig_join(r, i);
    for (uint32_t i = 0; i < count; i++) {
        struct pdu_scsi_command c;
        rig_command(r, &f->rc[i], false, 512, 1);
        rig_submit(r, &f->rc[i]);
        rig_use(r, i % links);
        RIG_TAKE(r, scsi_command, &c);
        f->itt[i] = c.itt;
        r->exp_cmd_sn++;
        r->max_cmd_sn++;
    }
    for (uint32_t i = 0; count && i < links; i++) {
        rig_use(r, i);
        acknowledge(r);
    }
}

static void fleet_end(struct fleet *f)
{
    rig_free(f->r);
    for (uint32_t i = 0; i < f->count; i++) {
        assert_int_equal(f->rc[i].reported, 1);
        rig_command_fini(&f->rc[i]);
    }
}

static void finish(struct fleet *f, uint32_t i)
{
    rig_response(f->r, f->itt[i], 2, NULL, 0);
    assert_int_equal(f->rc[i].reported, 1);
    assert_int_equal(f->rc[i].c.outcome, INI_DONE_STATUS);
    rig_event(f->r, INI_EVENT_COMMAND_DONE);
}

static void lost(struct fleet *f, uint32_t i)
{
    assert_int_equal(f->rc[i].reported, 1);
    assert_int_equal(f->rc[i].c.outcome, INI_DONE_LOST);
    assert_false(f->rc[i].c.never_sent);
}

/* ---- who comes first ---- */

/* Each failed connection has its own Time2Wait; a new connection takes the place of the one that is due, not
 * of the one that failed first. */
static void the_shortest_wait_is_reinstated_first(void **state)
{
    (void)state;
    static const uint16_t waits[][3] = {{9, 1, 5}, {5, 9, 1}, {1, 5, 9}, {9, 5, 1}, {4, 4, 4}};
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        struct fleet f;
        fleet_begin(&f, 3, 0);
        struct rig *r = f.r;
        uint32_t first = 0;
        for (uint32_t k = 0; k < 3; k++) {
            rig_use(r, k);
            announce_drop(r, 2, (uint16_t)k, waits[i][k], 60);
            if (waits[i][k] < waits[i][first])
                first = k;
        }
        assert_int_equal(ini_session_state(r->s), INI_Q4_FAILED);
        rig_use(r, 4);
        uint64_t least = waits[i][first] * RIG_SECOND;
        assert_true(ini_deadline(r->s) == r->now + least);
        rig_advance(r, least - 1);
        assert_int_equal(rig_connect(r), ERR_AGAIN);
        rig_advance(r, 1);
        rig_forget_events(r);
        rig_join(r, 5);
        assert_int_equal(ini_cid(r->conn), first);
        /* The others are logged out from there, each in its turn. */
        for (uint16_t second = 1; second <= 9; second++) {
            for (uint16_t k = 0; k < 3; k++)
                if (k != first && waits[i][k] - waits[i][first] + 1 == second)
                    rig_logout_response(r, take_logout(r, k).itt, 0, 0, 20);
            assert_true(rig_quiet(r));
            rig_advance(r, RIG_SECOND);
        }
        assert_int_equal(r->s->cleanups_used, 0);
        assert_int_equal(ini_counters(r->s)->recovered_connections, 3);
        fleet_end(&f);
    }
    PROVES("R7143-11.9.1-08", "initiator");
    PROVES("R7143-7.5-01", "initiator");
}

/* Two connections of four are gone, and the target holds for both that they still have their tasks. The
 * tasks of one connection wait for one more logout of it, all together. */
static void tasks_still_allegiant_wait_for_their_own_connection(void **state)
{
    (void)state;
    struct fleet f;
    uint32_t stat_sn[3], reassign[8];
    fleet_begin(&f, 3, 6); /* connection 1 has commands 1 and 4, connection 2 has 2 and 5 */
    struct rig *r = f.r;
    for (uint32_t k = 1; k < 3; k++) {
        rig_use(r, k);
        stat_sn[k] = r->stat_sn;
        rig_cut(r, ERR_RESET);
    }
    rig_use(r, 0);
    rig_advance(r, 2 * RIG_SECOND);
    uint32_t out[3];
    for (uint16_t k = 1; k < 3; k++)
        out[k] = take_logout(r, k).itt;
    for (uint16_t k = 1; k < 3; k++)
        rig_logout_response(r, out[k], 0, 0, 20);
    static const uint32_t order[] = {1, 4, 2, 5};
    for (int i = 0; i < 4; i++)
        reassign[order[i]] = take_reassign(r, f.itt[order[i]]);
    assert_int_equal(r->s->cleanups_used, 0);
    rig_forget_events(r);

    rig_tmf_response(r, reassign[1], 3);
    struct pdu_logout_request again1 = take_logout(r, 1);
    assert_int_equal(again1.exp_stat_sn, stat_sn[1]);
    rig_tmf_response(r, reassign[5], 3);
    struct pdu_logout_request again2 = take_logout(r, 2);
    assert_int_equal(again2.exp_stat_sn, stat_sn[2]);
    rig_tmf_response(r, reassign[4], 3);
    rig_tmf_response(r, reassign[2], 3);
    assert_true(rig_quiet(r)); /* they wait for the logouts that are under way */
    assert_int_equal(r->s->cleanups_used, 2);

    rig_logout_response(r, again2.itt, 0, 0, 20);
    uint32_t t5 = take_reassign(r, f.itt[5]), t2 = take_reassign(r, f.itt[2]);
    assert_true(rig_quiet(r));
    assert_int_equal(r->s->cleanups_used, 1);
    rig_logout_response(r, again1.itt, 0, 0, 20);
    uint32_t t1 = take_reassign(r, f.itt[1]), t4 = take_reassign(r, f.itt[4]);
    assert_int_equal(r->s->cleanups_used, 0);
    uint32_t tags[] = {t1, t2, t4, t5};
    for (int i = 0; i < 4; i++)
        rig_tmf_response(r, tags[i], 0);
    for (uint32_t i = 0; i < 6; i++)
        finish(&f, i);
    assert_int_equal(ini_counters(r->s)->recovered_connections, 4);
    assert_int_equal(ini_counters(r->s)->reassigns, 4);
    assert_true(ini_is_up(r->s));
    fleet_end(&f);
    PROVES("R7143-7.2.2-01", "initiator");
}

/* ---- time ---- */

/* The Logout Response says how long its tasks are kept, counted from its Time2Wait. */
static void tasks_are_reassigned_as_long_as_the_target_keeps_them(void **state)
{
    (void)state;
    for (uint64_t late = 0; late < 2; late++) {
        struct fleet f;
        fleet_begin(&f, 3, 2);
        struct rig *r = f.r;
        rig_use(r, 1);
        rig_cut(r, ERR_RESET);
        rig_use(r, 2);
        ask_logout(r, 60); /* quiet: it goes at once */
        struct pdu_logout_request bye;
        RIG_TAKE(r, logout_request, &bye);
        rig_logout_response(r, bye.itt, 0, 0, 0);
        rig_use(r, 0);
        rig_advance(r, 2 * RIG_SECOND);
        struct pdu_logout_request out = take_logout(r, 1);
        rig_logout_response(r, out.itt, 0, 3, 4);
        ask_logout(r, 600); /* nothing new starts here any more; its own command goes on */
        rig_advance(r, 3 * RIG_SECOND);
        assert_true(rig_quiet(r));
        assert_int_equal(r->s->cleanups_used, 1);
        rig_advance(r, 4 * RIG_SECOND + late);
        assert_true(rig_quiet(r));
        assert_true(ini_deadline(r->s) > r->now); /* what waits for a connection alone must not spin */
        assert_int_equal(f.rc[1].reported, 0);
        assert_int_equal(r->s->cleanups_used, 1);
        rig_forget_events(r);
        rig_use(r, 3);
        assert_int_equal(rig_connect(r), 0);
        key_negotiation_init(&r->keys, KEY_ROLE_TARGET, &r->key_config, false, ini_params(r->s));
        key_set_stage(&r->keys, KEY_STAGE_SECURITY);
        while (!rig_login_step(r)) {
        }
        if (late) {
            lost(&f, 1);
            assert_true(rig_quiet(r));
        } else {
            rig_tmf_response(r, take_reassign(r, f.itt[1]), 0);
            rig_response(r, f.itt[1], 2, NULL, 0);
            assert_int_equal(f.rc[1].c.outcome, INI_DONE_STATUS);
        }
        assert_int_equal(r->s->cleanups_used, 0);
        assert_true(ini_is_up(r->s));
        fleet_end(&f);
    }
    PROVES("R7143-11.15.4-01", "initiator");
}

/* And when the last connection goes meanwhile, that is how long the session lasts. */
static void a_session_ends_when_the_tasks_are_kept_no_longer(void **state)
{
    (void)state;
    struct fleet f;
    fleet_begin(&f, 2, 2);
    struct rig *r = f.r;
    rig_use(r, 1);
    rig_cut(r, ERR_RESET);
    rig_use(r, 0);
    rig_advance(r, 2 * RIG_SECOND);
    rig_logout_response(r, take_logout(r, 1).itt, 0, 1, 4);
    rig_forget_events(r);
    announce_drop(r, 2, 0, 60, 60); /* may be reinstated long after that */
    rig_advance(r, 5 * RIG_SECOND);
    assert_int_equal(ini_session_state(r->s), INI_Q4_FAILED);
    assert_true(ini_deadline(r->s) == r->now + 1);
    assert_int_equal(f.rc[1].reported, 0);
    rig_advance(r, LATE);
    assert_true(rig_closed(r));
    assert_non_null(strstr(r->events[r->event_count - 1].reason, "could not be continued in time"));
    lost(&f, 0);
    lost(&f, 1);
    fleet_end(&f);
}

/* A logout that fails is tried so many times and no more; the session goes on without those tasks. */
static void failed_logouts_are_counted(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        struct fleet f;
        fleet_begin(&f, 2, 2);
        struct rig *r = f.r;
        rig_use(r, 1);
        rig_cut(r, ERR_RESET);
        rig_use(r, 0);
        rig_advance(r, 2 * RIG_SECOND);
        for (uint32_t i = 0; i < INI_TRIES_MAX + 1; i++) {
            assert_int_equal(f.rc[1].reported, 0);
            rig_logout_response(r, take_logout(r, 1).itt, 3, 0, 600);
            assert_true(rig_quiet(r));
            rig_advance(r, RIG_SECOND - 1); /* a second, where the target does not say */
            assert_true(rig_quiet(r));
            assert_int_equal(f.rc[1].reported, 0);
            rig_advance(r, 1);
        }
        assert_true(rig_quiet(r));
        lost(&f, 1);
        assert_int_equal(r->s->cleanups_used, 0);
        assert_true(ini_is_up(r->s));
        assert_int_equal(ini_transitions(r->s)->cleanup[2], INI_TRIES_MAX + 1); /* M3 */
        assert_int_equal(ini_transitions(r->s)->cleanup[0], 1);                 /* M1 */
        rig_forget_events(r);
        finish(&f, 0);
        fleet_end(&f);
    }
    PROVES("R7143-8.2.2-01", "initiator");
}

/* A CID that the target does not know (any more): M3 and at once M1; the tasks are gone. */
static void an_unknown_cid_is_settled_at_once(void **state)
{
    (void)state;
    struct fleet f;
    fleet_begin(&f, 2, 2);
    struct rig *r = f.r;
    rig_use(r, 1);
    rig_cut(r, ERR_RESET);
    rig_use(r, 0);
    rig_advance(r, 2 * RIG_SECOND);
    rig_logout_response(r, take_logout(r, 1).itt, 1, 7, 7);
    lost(&f, 1);
    assert_int_equal(r->s->cleanups_used, 0);
    assert_int_equal(ini_counters(r->s)->recovered_connections, 0);
    assert_int_equal(ini_transitions(r->s)->cleanup[2], 1); /* M3 */
    assert_int_equal(ini_transitions(r->s)->cleanup[0], 1); /* M1 */
    rig_forget_events(r);
    finish(&f, 0);
    assert_true(rig_quiet(r));
    fleet_end(&f);
}

/* The recovery logout is not answered: the connection that asked is given up after five seconds. */
static void a_recovery_logout_is_answered_in_time(void **state)
{
    (void)state;
    struct fleet f;
    fleet_begin(&f, 2, 2);
    struct rig *r = f.r;
    rig_use(r, 1);
    rig_cut(r, ERR_RESET);
    rig_use(r, 0);
    rig_advance(r, 2 * RIG_SECOND);
    take_logout(r, 1);
    rig_forget_events(r);
    assert_true(ini_deadline(r->s) <= r->now + 5 * RIG_SECOND);
    for (int i = 0; i < 4; i++) { /* it is heard of: only the logout is missing */
        rig_advance(r, RIG_SECOND);
        acknowledge(r);
    }
    rig_advance(r, RIG_SECOND - 1);
    assert_false(rig_closing(r));
    rig_advance(r, 1);
    assert_true(rig_closing(r));
    assert_int_equal(ini_session_state(r->s), INI_Q4_FAILED);
    assert_int_equal(r->s->cleanups_used, 2);
    rig_advance(r, 2 * RIG_SECOND);
    rig_forget_events(r);
    rig_use(r, 2);
    rig_join(r, 3);
    fleet_end(&f);
}

/* ---- what a new allegiance starts anew ---- */

/* Each reassigned task has its own time in which it has to go on. */
static void each_reassigned_task_has_its_own_time(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) { /* the doubtful one first, or last */
        struct fleet f;
        fleet_begin(&f, 2, 4); /* 1 and 3 move */
        struct rig *r = f.r;
        rig_use(r, 1);
        rig_cut(r, ERR_RESET);
        rig_use(r, 0);
        rig_advance(r, 2 * RIG_SECOND);
        rig_logout_response(r, take_logout(r, 1).itt, 0, 0, 20);
        uint32_t t1 = take_reassign(r, f.itt[1]), t3 = take_reassign(r, f.itt[3]);
        rig_forget_events(r);
        finish(&f, 0);
        finish(&f, 2);
        rig_tmf_response(r, t1, 255);
        rig_advance(r, RIG_SECOND);
        rig_tmf_response(r, t3, which ? 255 : 0);
        uint64_t second = which ? 2 * RIG_SECOND : 15 * RIG_SECOND;
        assert_int_equal(r->s->doubt_ns, r->now + RIG_SECOND);
        rig_advance(r, RIG_SECOND - 1);
        assert_int_equal(f.rc[1].reported, 0);
        rig_advance(r, 1);
        lost(&f, 1);
        assert_int_equal(f.rc[3].reported, 0);
        assert_int_equal(r->s->doubt_ns, r->now + second - RIG_SECOND);
        assert_true(ini_deadline(r->s) <= r->now + second - RIG_SECOND);
        rig_advance(r, second - RIG_SECOND - 1);
        assert_int_equal(f.rc[3].reported, 0);
        assert_true(ini_is_up(r->s));
        rig_advance(r, 1);
        lost(&f, 3);
        assert_int_equal(ini_is_up(r->s), which);
        if (which)
            assert_int_equal(r->s->doubt_ns, UINT64_MAX);
        fleet_end(&f);
    }
}

/* A task that had been reassigned and is reassigned again: the time of the first is over and done with. */
static void a_second_reassignment_forgets_the_time_of_the_first(void **state)
{
    (void)state;
    struct fleet f;
    fleet_begin(&f, 3, 3);
    struct rig *r = f.r;
    rig_use(r, 2);
    rig_cut(r, ERR_RESET);
    rig_use(r, 0);
    rig_advance(r, 2 * RIG_SECOND);
    rig_logout_response(r, take_logout(r, 2).itt, 0, 0, 60);
    rig_tmf_response(r, take_reassign(r, f.itt[2]), 0); /* has until 15 s from here */
    rig_advance(r, 10 * RIG_SECOND);
    rig_cut(r, ERR_RESET); /* and connection 0, which got it, breaks too */
    rig_use(r, 1);
    rig_advance(r, 2 * RIG_SECOND);
    drop_pings(r);
    rig_logout_response(r, take_logout(r, 0).itt, 0, 0, 60);
    uint32_t t0 = take_reassign(r, f.itt[0]), t2 = take_reassign(r, f.itt[2]);
    for (int i = 0; i < 8; i++) { /* the target takes its time to answer */
        rig_advance(r, RIG_SECOND);
        acknowledge(r);
        assert_true(ini_is_up(r->s));
    }
    rig_tmf_response(r, t0, 0);
    rig_tmf_response(r, t2, 0);
    rig_forget_events(r);
    finish(&f, 0);
    finish(&f, 2);
    finish(&f, 1);
    fleet_end(&f);
}

/* SNACKs that were in vain on the old connection do not count on the new one. */
static void tries_begin_anew_with_the_allegiance(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    struct rig_command rc;
    struct pdu_snack_request snack;
    uint8_t data[1024] = {7, 8, 9};
    rig_command(r, &rc, false, 1024, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    for (uint32_t round = 0; round < 2; round++) {
        rig_data_in(r, itt, 1, 512, data + 512, 512, true);
        for (uint32_t i = 0; i <= INI_TRIES_MAX; i++) {
            RIG_TAKE(r, snack_request, &snack);
            assert_int_equal(snack.type, 0);
            assert_int_equal(snack.beg_run, 0);
            assert_int_equal(snack.run_length, 1);
            assert_false(rig_closing(r));
            if (round == 0 && i == 5)
                break;
            rig_advance(r, RIG_SECOND - 1);
            assert_true(rig_quiet(r));
            rig_advance(r, 1);
        }
        if (round == 0) {
            rig_cut(r, ERR_RESET);
            rig_advance(r, 2 * RIG_SECOND);
            rig_forget_events(r);
            rig_join(r, 1);
            rig_tmf_response(r, take_reassign(r, itt), 0);
        }
    }
    assert_true(rig_closing(r)); /* it has been given up after as many tries as ever */
    rig_free(r);
    assert_int_equal(rc.reported, 1);
    rig_command_fini(&rc);
}

/* The failed connection's CID is that of the new one by now: a logout would end the wrong one, so a task that
 * is held to be allegiant to the old one still is lost. */
static void a_cid_that_lives_again_is_not_logged_out(void **state)
{
    (void)state;
    struct fleet f;
    fleet_begin(&f, 1, 2);
    struct rig *r = f.r;
    rig_cut(r, ERR_RESET);
    rig_advance(r, 2 * RIG_SECOND);
    rig_forget_events(r);
    rig_join(r, 1);
    assert_int_equal(ini_cid(r->conn), 0);
    uint32_t t0 = take_reassign(r, f.itt[0]), t1 = take_reassign(r, f.itt[1]);
    rig_tmf_response(r, t0, 3);
    assert_true(rig_quiet(r));
    lost(&f, 0);
    rig_tmf_response(r, t1, 0);
    rig_forget_events(r);
    finish(&f, 1);
    assert_true(ini_is_up(r->s));
    fleet_end(&f);
}

/* As many connections may have failed as there may be, and one more ends the session. */
static void all_places_for_failed_connections_are_used(void **state)
{
    (void)state;
    for (uint32_t left = 0; left < 3; left++) { /* the only free place: none, the first, the last */
        struct fleet f;
        fleet_begin(&f, 2, 0);
        struct rig *r = f.r;
        uint32_t place = left == 1 ? 0 : INI_CONNECTIONS_MAX - 1;
        for (uint32_t i = 0; i < INI_CONNECTIONS_MAX; i++) {
            if (left && i == place)
                continue;
            r->s->cleanups[i] = (struct ini_cleanup){.used = true,
                                                     .state = INI_R1_CLEANUP_WAIT,
                                                     .cid = (uint16_t)(1000 + i),
                                                     .wait_ns = UINT64_MAX / 2};
            r->s->cleanups[i].retain_ns = UINT64_MAX / 2;
            list_init(&r->s->cleanups[i].commands);
            r->s->cleanups_used++;
        }
        rig_use(r, 1);
        rig_cut(r, ERR_RESET);
        if (left) {
            assert_true(ini_is_up(r->s));
            assert_true(r->s->cleanups[place].used);
            assert_int_equal(r->s->cleanups[place].cid, 1);
            assert_int_equal(r->s->cleanups_used, INI_CONNECTIONS_MAX);
        } else {
            rig_use(r, 0);
            rig_expect_failure(r, "too many connections have failed");
            for (uint32_t i = 0; i < INI_CONNECTIONS_MAX; i++)
                assert_int_equal(r->s->cleanups[i].state, INI_R3_FREE);
            assert_int_equal(ini_transitions(r->s)->cleanup[0], INI_CONNECTIONS_MAX); /* M1, each */
        }
        fleet_end(&f);
    }
}

/* ---- task management meanwhile ---- */

/* An abort of a task whose reassignment is not answered yet waits for that; one of any other task does not.
 */
static void an_abort_waits_for_the_reassignment_of_its_own_task(void **state)
{
    (void)state;
    struct fleet f;
    uint32_t tag[3];
    struct pdu_task_management_request abort;
    fleet_begin(&f, 2, 4);
    struct rig *r = f.r;
    rig_use(r, 1);
    rig_cut(r, ERR_RESET);
    rig_use(r, 0);
    rig_advance(r, 2 * RIG_SECOND);
    rig_logout_response(r, take_logout(r, 1).itt, 0, 0, 20);
    uint32_t t1 = take_reassign(r, f.itt[1]), t3 = take_reassign(r, f.itt[3]);
    rig_forget_events(r);
    assert_int_equal(ini_task_management(r->s, 1, LUN, &f.rc[1].c, &tag[1]), 0);
    rig_pump(r);
    assert_true(rig_quiet(r));
    assert_int_equal(r->s->tmf_waiting, 1);
    assert_int_equal(ini_task_management(r->s, 1, LUN, &f.rc[0].c, &tag[0]), 0);
    rig_pump(r);
    RIG_TAKE(r, task_management_request, &abort);
    assert_int_equal(abort.itt, tag[0]);
    assert_int_equal(abort.referenced_task_tag, f.itt[0]);
    assert_int_equal(abort.exp_stat_sn, r->stat_sn);
    assert_int_equal(abort.cmd_sn, r->exp_cmd_sn);
    assert_int_equal(abort.lun, LUN);
    rig_tmf_response(r, t3, 0);
    assert_true(rig_quiet(r)); /* of another task */
    assert_int_equal(ini_task_management(r->s, 1, LUN, &f.rc[3].c, &tag[2]), 0);
    rig_pump(r);
    RIG_TAKE(r, task_management_request, &abort);
    assert_int_equal(abort.itt, tag[2]);
    rig_tmf_response(r, t1, 0);
    RIG_TAKE(r, task_management_request, &abort);
    assert_int_equal(abort.itt, tag[1]);
    assert_int_equal(abort.referenced_task_tag, f.itt[1]);
    assert_int_equal(abort.ref_cmd_sn, f.rc[1].c.cmd_sn);
    assert_int_equal(abort.exp_stat_sn, r->stat_sn);
    assert_int_equal(r->s->tmf_waiting, 0);
    static const uint32_t order[] = {1, 0, 2};
    static const uint32_t taken[] = {0, 1, 3};
    for (int i = 0; i < 3; i++) {
        uint32_t k = order[i];
        rig_tmf_response(r, tag[k], 0);
        assert_int_equal(f.rc[taken[k]].reported, 1);
        assert_int_equal(f.rc[taken[k]].c.outcome, INI_DONE_ABORTED);
        assert_ptr_equal(rig_event(r, INI_EVENT_COMMAND_DONE)->event.command, &f.rc[taken[k]].c);
        assert_int_equal(rig_event(r, INI_EVENT_TMF_DONE)->event.tag, tag[k]);
    }
    finish(&f, 2);
    fleet_end(&f);
    PROVES("R7143-11.5.1-14", "initiator");
}

/* When a function can be asked for: in a session that is up; for one command, also while it waits for a
 * connection. */
static void functions_need_a_session(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    uint32_t tag = 4711;
    rig_begin(r);
    assert_int_equal(ini_task_management(r->s, 5, LUN, NULL, &tag), ERR_CLOSED);
    rig_free(r);
    struct fleet f;
    fleet_begin(&f, 1, 1);
    rig_cut(f.r, ERR_RESET);
    assert_int_equal(ini_session_state(f.r->s), INI_Q4_FAILED);
    assert_int_equal(ini_task_management(f.r->s, 5, LUN, NULL, &tag), ERR_CLOSED);
    assert_int_equal(tag, 4711);
    assert_int_equal(ini_task_management(f.r->s, 1, LUN, &f.rc[0].c, &tag), 0);
    ini_abandon(f.r->s, "enough");
    rig_pump(f.r);
    assert_int_equal(ini_task_management(f.r->s, 1, LUN, &f.rc[0].c, &tag), ERR_CLOSED);
    fleet_end(&f);
}

/* A write that is reassigned: R2TSN begins where the target says; from there on copies are dropped and gaps
 * are asked for as ever. */
static void r2ts_after_a_reassignment_are_numbered_once(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    struct rig_command rc;
    struct pdu_data_out d;
    struct pdu_snack_request snack;
    rig_command(r, &rc, true, 65536 + 4096, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    acknowledge(r);
    rig_r2t(r, itt, 5, 0, 65536, 512);
    rig_take(r, PDU_OP_data_out);
    rig_cut(r, ERR_RESET);
    rig_advance(r, 2 * RIG_SECOND);
    rig_forget_events(r);
    rig_join(r, 1);
    rig_tmf_response(r, take_reassign(r, itt), 0);
    rig_r2t(r, itt, 6, 3, 65536, 1024);
    RIG_TAKE(r, data_out, &d);
    assert_int_equal(d.ttt, 6);
    assert_int_equal(r->pdu.len, 1024);
    rig_r2t(r, itt, 6, 3, 65536, 1024);
    assert_true(rig_quiet(r));
    rig_r2t(r, itt, 9, 6, 65536 + 3072, 1024);
    RIG_TAKE(r, snack_request, &snack);
    assert_int_equal(snack.type, 0);
    assert_int_equal(snack.beg_run, 4);
    assert_int_equal(snack.run_length, 3);
    for (uint32_t i = 0; i < 3; i++) {
        rig_r2t(r, itt, 7 + i, 4 + i, 65536 + 1024 + i * 1024, 1024);
        RIG_TAKE(r, data_out, &d);
        assert_int_equal(d.buffer_offset, 65536 + 1024 + i * 1024);
    }
    assert_true(rig_quiet(r));
    rig_response(r, itt, 2, NULL, 0);
    assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
    rig_free(r);
    rig_command_fini(&rc);
}

/* ---- connection numbers ---- */

/* A new connection gets a number that nobody has, not even one that has failed. */
static void a_new_connection_id_is_nobodys(void **state)
{
    (void)state;
    struct fleet f;
    fleet_begin(&f, 4, 0);
    struct rig *r = f.r;
    for (uint32_t k = 1; k < 3; k++) {
        rig_use(r, k);
        rig_cut(r, ERR_RESET);
    }
    rig_use(r, 0);
    r->s->next_cid = 65535;
    rig_forget_events(r);
    static const uint16_t cids[] = {65535, 4};
    for (uint32_t i = 0; i < 2; i++) { /* 0 and 3 live, 1 and 2 have failed */
        rig_join(r, 5 + i);
        assert_int_equal(ini_cid(r->conn), cids[i]);
    }
    fleet_end(&f);
}

/* ---- no room ---- */

/* All tags of the session but `left` are in use. */
static void take_tags(struct rig *r, uint32_t *tags, uint32_t *count, uint32_t left)
{
    uint32_t tag;
    *count = 0;
    while ((tag = ini_slot_take(r->s, INI_SLOT_PING)) != PDU_TAG_RESERVED)
        tags[(*count)++] = tag;
    while (left-- && *count)
        ini_slot_release(r->s, tags[--*count]);
}

static void give_tags(struct rig *r, uint32_t *tags, uint32_t *count, uint32_t n)
{
    while (n-- && *count)
        ini_slot_release(r->s, tags[--*count]);
}

/* Without a task tag nothing can be asked: logouts and reassignments wait for one, and lose nothing. */
static void recovery_waits_for_task_tags(void **state)
{
    (void)state;
    struct fleet f;
    static uint32_t tags[INI_SLOTS];
    uint32_t count;
    fleet_begin(&f, 2, 6); /* 1, 3 and 5 move */
    struct rig *r = f.r;
    rig_use(r, 1);
    rig_cut(r, ERR_RESET);
    rig_use(r, 0);
    take_tags(r, tags, &count, 0);
    assert_true(count > 1000);
    rig_advance(r, 2 * RIG_SECOND);
    assert_true(rig_quiet(r)); /* no tag for the logout: tried again after a second */
    give_tags(r, tags, &count, 1);
    rig_advance(r, RIG_SECOND - 1);
    assert_true(rig_quiet(r));
    rig_advance(r, 1);
    struct pdu_logout_request out = take_logout(r, 1);
    rig_logout_response(r, out.itt, 0, 0, 600); /* frees one tag: for one of the three */
    uint32_t t1 = take_reassign(r, f.itt[1]);
    assert_true(rig_quiet(r));
    assert_int_equal(r->s->cleanups_used, 1);
    rig_advance(r, RIG_SECOND);
    assert_true(rig_quiet(r));
    rig_tmf_response(r, t1, 0); /* its tag comes back: the next */
    uint32_t t3 = take_reassign(r, f.itt[3]);
    assert_true(rig_quiet(r));
    assert_int_equal(r->s->cleanups_used, 1);
    give_tags(r, tags, &count, 1);
    rig_advance(r, RIG_SECOND);
    uint32_t t5 = take_reassign(r, f.itt[5]);
    assert_int_equal(r->s->cleanups_used, 0);
    rig_tmf_response(r, t3, 0);
    rig_tmf_response(r, t5, 0);
    rig_forget_events(r);
    for (uint32_t i = 0; i < 6; i++)
        finish(&f, i);
    give_tags(r, tags, &count, count);
    fleet_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shortest_wait_is_reinstated_first),
        cmocka_unit_test(tasks_still_allegiant_wait_for_their_own_connection),
        cmocka_unit_test(tasks_are_reassigned_as_long_as_the_target_keeps_them),
        cmocka_unit_test(a_session_ends_when_the_tasks_are_kept_no_longer),
        cmocka_unit_test(failed_logouts_are_counted),
        cmocka_unit_test(an_unknown_cid_is_settled_at_once),
        cmocka_unit_test(a_recovery_logout_is_answered_in_time),
        cmocka_unit_test(each_reassigned_task_has_its_own_time),
        cmocka_unit_test(a_second_reassignment_forgets_the_time_of_the_first),
        cmocka_unit_test(tries_begin_anew_with_the_allegiance),
        cmocka_unit_test(a_cid_that_lives_again_is_not_logged_out),
        cmocka_unit_test(all_places_for_failed_connections_are_used),
        cmocka_unit_test(an_abort_waits_for_the_reassignment_of_its_own_task),
        cmocka_unit_test(functions_need_a_session),
        cmocka_unit_test(r2ts_after_a_reassignment_are_numbered_once),
        cmocka_unit_test(a_new_connection_id_is_nobodys),
        cmocka_unit_test(recovery_waits_for_task_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
