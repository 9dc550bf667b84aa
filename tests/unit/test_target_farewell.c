/* How sessions and connections end: logouts and what they wait for, the target's own stop with its reminder,
 * output that does not leave. Method: raw initiators; clocks to the nanosecond, the fields of every answer,
 * and how often each transition of RFC 7143 chapter 8 was taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_recovery.h"

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
    client_fini(&d);
    world_fini(&w);
    return 0;
}
static void login(int level, const char *keys)
{
    client_login_level(&c, level, keys);
    client_settle(&c, 0);
    acknowledge_status(&c);
}
static uint64_t taken(enum tgt_transition transition)
{
    return w.r.transitions[transition];
}
static struct pdu_async_message told(struct client *who)
{
    struct pdu_async_message p;
    pdu_async_message_decode(client_expect(who, PDU_OP_async_message)->bhs, &p);
    assert_int_equal(p.stat_sn, who->exp_stat_sn);
    who->exp_stat_sn = p.stat_sn + 1;
    return p;
}

/* ---- logout ---- */

/* The answer to a logout of the session waits for the commands of all its connections; of a connection, for
 * its own alone. */
static void a_logout_waits_for_the_commands_it_ends(void **state)
{
    (void)state;
    for (uint8_t reason = 0; reason < 2; reason++) {
        for (int own = 0; own < 2; own++) {
            client_fini(&c);
            client_init(&c, &w);
            login(0, "");
            client_join(&d, &c, 2, "");
            w.delay = true;
            read_send(own ? &c : &d, 0, 1);
            struct pdu_logout_response rsp;
            logout_send(&c, reason, 1, 0x600d);
            if (own || reason == 0) {
                assert_true(client_quiet(&c) && !c.closed && !d.closed);
                world_release(&w);
            }
            pdu_logout_response_decode(client_expect(&c, PDU_OP_logout_response)->bhs, &rsp);
            assert_int_equal(rsp.response, 0);
            assert_int_equal(rsp.itt, 0x600d);
            assert_int_equal(rsp.stat_sn, c.exp_stat_sn);
            assert_int_equal(rsp.exp_cmd_sn, own ? c.cmd_sn : d.cmd_sn);
            assert_int_equal(rsp.max_cmd_sn - rsp.exp_cmd_sn, own || reason == 0 ? 127 : 126);
            assert_int_equal(rsp.time2wait | rsp.time2retain, 0);
            assert_true(c.closed);
            assert_int_equal(d.closed, reason == 0);
            assert_true(client_quiet(&c));
            w.delay = false;
            world_release(&w);
            client_fini(&d);
            memset(&d, 0, sizeof d);
        }
    }
    PROVES("R7143-11.14-03", "target");
}

/* Whatever comes behind a logout is read and dropped: no memory waits for the rest of its data. */
static void what_follows_a_logout_takes_no_memory(void **state)
{
    (void)state;
    static const uint8_t data[8192];
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_scsi_command p;
    login(0, "");
    w.delay = true;
    read_send(&c, 0, 1);
    logout_send(&c, 0, 1, 0x600d);
    uint64_t chunks = pool_chunks_in_use(w.pool), discarded = w.r.counters.discarded_pdus;
    pdu_scsi_command_init(&p);
    p.final = p.write = 1;
    p.itt = 0x77;
    p.expected_data_transfer_length = sizeof data;
    p.cmd_sn = c.cmd_sn;
    pdu_scsi_command_encode(&p, bhs);
    be24_put(bhs + 5, sizeof data);
    client_bytes(&c, bhs, sizeof bhs);
    client_bytes(&c, data, sizeof data / 2);
    client_push(&c);
    assert_int_equal(pool_chunks_in_use(w.pool), chunks);
    client_bytes(&c, data, sizeof data / 2);
    client_push(&c);
    assert_int_equal(w.r.counters.discarded_pdus, discarded + 1);
    w.delay = false;
    world_release(&w);
    client_expect(&c, PDU_OP_logout_response);
    assert_true(c.closed);
}

/* The state follows the answer, not the output. */
static void a_logout_is_done_when_it_is_answered(void **state)
{
    (void)state;
    login(0, "");
    assert_int_equal(taken(TGT_N9) + taken(TGT_N8) + taken(TGT_M3), 0); /* no login was given up */
    c.stuck = true;
    logout_send(&c, 1, 1, 5);
    assert_int_equal(taken(TGT_T9), 1);
    assert_int_equal(taken(TGT_T13), 1);
    assert_false(c.closed);
    client_unstick(&c);
    client_expect(&c, PDU_OP_logout_response);
    assert_true(c.closed);
    assert_int_equal(taken(TGT_T13), 1);
    assert_int_equal(taken(TGT_T8), 0);
    PROVES("R7143-8.1.2-13", "target");
}

static void recovery_below_level_two_is_refused(void **state)
{
    (void)state;
    for (int level = 0; level < 2; level++) {
        client_fini(&c);
        client_init(&c, &w);
        login(level, "");
        /* of another connection: nothing happens */
        struct pdu_logout_response rsp = logout_of(&c, 2, 9);
        assert_int_equal(rsp.response, 2);
        assert_false(c.closed);
        memset(w.r.transitions, 0, sizeof w.r.transitions);
        c.stuck = true;
        logout_send(&c, 2, c.cid, 7); /* of itself: the logout has failed */
        assert_int_equal(taken(TGT_T9), 1);
        assert_int_equal(taken(TGT_T17), 1);
        assert_int_equal(taken(TGT_M1), 1);
        client_unstick(&c);
        pdu_logout_response_decode(client_expect(&c, PDU_OP_logout_response)->bhs, &rsp);
        assert_int_equal(rsp.response, 2);
        assert_true(c.closed);
        assert_int_equal(taken(TGT_T17), 1);
        assert_int_equal(taken(TGT_M1), 1);
    }
    PROVES("R7143-11.15.1-02", "target");
    PROVES("R7143-8.1.2-19", "target");
}

/* A connection that was lost is closed from another one: its tasks do not wait any longer. */
static void closing_a_lost_connection_ends_its_tasks(void **state)
{
    (void)state;
    for (uint8_t reason = 1; reason <= 2; reason++) {
        client_fini(&c);
        client_init(&c, &w);
        login(2, "DefaultTime2Wait=3\nDefaultTime2Retain=17");
        client_join(&d, &c, 2, "");
        w.delay = true;
        uint32_t task = read_send(&d, 0, 1);
        client_cut(&d);
        told(&c);
        memset(w.r.transitions, 0, sizeof w.r.transitions);
        c.cmd_sn = d.cmd_sn;
        struct pdu_logout_response rsp = logout_of(&c, reason, 2);
        assert_int_equal(rsp.response, 0);
        assert_int_equal(rsp.time2wait, 3); /* R7143-7.5.2-01 */
        assert_int_equal(rsp.time2retain, 17);
        assert_int_equal(taken(TGT_M2), 1);
        assert_int_equal(taken(TGT_M4), 1);
        assert_int_equal(taken(TGT_M1), 0);
        assert_int_equal(reassign(&c, task, 0), reason == 1 ? 1 : 0);
        rsp = logout_of(&c, reason, 2);
        assert_int_equal(rsp.response, 1); /* not there any more */
        assert_int_equal(rsp.time2wait | rsp.time2retain, 0);
        w.delay = false;
        world_release(&w);
        if (reason == 2) {
            client_expect(&c, PDU_OP_data_in);
            expect_response(&c);
        }
        assert_true(client_quiet(&c));
        client_fini(&d);
        memset(&d, 0, sizeof d);
        assert_int_equal(logout_of(&c, 0, 0).response, 0);
    }
    PROVES("R7143-11.14-07", "target");
    PROVES("R7143-8.2-03", "target");
}

/* ---- stop ---- */

static void the_stop_is_told_in_whole_seconds(void **state)
{
    (void)state;
    static const struct {
        uint64_t wait_ns;
        uint16_t told, again; /* seconds at the beginning and at half of the time */
    } rows[] = {
        {2, 1, 1},
        {SECOND_NS, 1, 1},
        {SECOND_NS + 1, 2, 1},
        {2 * SECOND_NS, 2, 1},
        {2 * SECOND_NS + 2, 3, 2},
        {3 * SECOND_NS, 3, 2},
        {7 * SECOND_NS + SECOND_NS / 2, 8, 4},
        {200000 * SECOND_NS, 65535, 65535},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t wait = rows[i].wait_ns;
        w.config->limits.stop_wait_ns = wait;
        client_fini(&c);
        client_init(&c, &w);
        login(0, "");
        world_pass(&w, 60 * SECOND_NS); /* the login's patience is forgotten */
        assert_true(tgt_deadline(&w.r) == UINT64_MAX);
        assert_int_equal(tgt_stop(&w.r, false), 1);
        assert_true(tgt_deadline(&w.r) == w.now + wait / 2);
        assert_int_equal(tgt_stop(&w.r, false), 1); /* has begun already */
        world_pump(&w);
        struct pdu_async_message p = told(&c);
        assert_int_equal(p.async_event, 1);
        assert_int_equal(p.parameter3, rows[i].told);
        assert_true(client_quiet(&c));
        uint64_t stop = w.now + wait;
        world_pass(&w, wait / 2 - 1);
        assert_true(client_quiet(&c));
        world_pass(&w, 1);
        p = told(&c);
        assert_int_equal(p.async_event, 1);
        assert_int_equal(p.parameter3, rows[i].again);
        w.r.deadline_ns = w.now;
        tgt_tick(&w.r);
        world_pump(&w);
        assert_true(client_quiet(&c) && !c.closed); /* once */
        assert_true(tgt_deadline(&w.r) == stop);
        world_pass(&w, stop - w.now - 1);
        assert_true(client_quiet(&c) && !c.closed);
        world_pass(&w, 1);
        p = told(&c);
        assert_int_equal(p.async_event, 3);
        assert_int_equal(p.parameter1, 0);
        assert_int_equal(p.parameter2, 2); /* DefaultTime2Wait */
        assert_int_equal(p.parameter3, 0);
        assert_true(c.closed && client_quiet(&c));
        w.r.stopping = false;
    }
    PROVES("R7143-11.9.1-16", "target");
    PROVES("R7143-8.1.2-12", "target");
}

/* Who was not asked again in time is not asked when all is over. */
static void a_late_wake_up_does_not_remind(void **state)
{
    (void)state;
    login(0, "");
    tgt_stop(&w.r, false);
    world_pump(&w);
    assert_int_equal(told(&c).async_event, 1);
    world_pass(&w, 3 * SECOND_NS);
    assert_int_equal(told(&c).async_event, 3);
    assert_true(client_quiet(&c) && c.closed);
    assert_int_equal(taken(TGT_T12), 0);
}

/* Commands in the store outlast the wait; then the end comes at once. */
static void a_stop_lets_commands_end(void **state)
{
    (void)state;
    login(0, "");
    w.delay = true;
    read_send(&c, 0, 1);
    tgt_stop(&w.r, false);
    world_pump(&w);
    told(&c);
    world_pass(&w, 3 * SECOND_NS);
    world_pass(&w, 30 * SECOND_NS);
    assert_true(client_quiet(&c) && !c.closed);
    w.delay = false;
    world_release(&w);
    client_expect(&c, PDU_OP_data_in);
    c.exp_stat_sn++;
    assert_int_equal(told(&c).async_event, 3);
    assert_true(c.closed);
    PROVES("R7143-11.9.1-06", "target");
}

/* Gently, queued output goes out first; at once, it does not; and what had begun gently can be hurried. */
static void a_hurried_stop_does_not_wait_for_output(void **state)
{
    (void)state;
    struct tgt_session_info info;
    login(0, "");
    client_init(&d, &w); /* has not got to a session */
    client_login_step(&d, 1, -1, NAMES);
    c.stuck = true;
    read_send(&c, 0, 1);
    assert_true(tgt_session_next(&w.r, 0, &info));
    uint64_t id = info.id;
    assert_true(tgt_session_drop(&w.r, id));
    assert_false(tgt_session_drop(&w.r, id)); /* it is on its way */
    assert_false(tgt_session_next(&w.r, 0, &info));
    world_pump(&w);
    assert_false(c.closed);
    assert_int_equal(tgt_stop(&w.r, false), 1);
    world_pump(&w);
    assert_false(c.closed);
    assert_true(d.closed);
    assert_int_equal(tgt_stop(&w.r, true), 1);
    world_pump(&w);
    assert_true(c.closed);
    assert_int_equal(w.downs, 1);
    assert_int_equal(tgt_stop(&w.r, true), 0);
}

static void a_session_that_closes_keeps_its_snapshot(void **state)
{
    (void)state;
    login(0, "");
    w.delay = true;
    read_send(&c, 0, 8);
    client_cut(&c);
    struct tgt_config *next = world_config(&w, 2);
    tgt_reactor_set_config(&w.r, next);
    world_pump(&w);
    assert_false(tgt_reactor_config_adopted(&w.r)); /* a read is still in its store */
    assert_int_equal(w.downs, 0);
    w.delay = false;
    world_release(&w);
    assert_int_equal(w.downs, 1);
    assert_true(tgt_reactor_config_adopted(&w.r));
    tgt_config_unref(next);
}

/* A login that has failed and whose answer has not left is not in the way of its target's end. */
static void a_refusal_that_does_not_leave_keeps_its_snapshot(void **state)
{
    (void)state;
    c.stuck = true;
    uint8_t bhs[PDU_BHS_LEN];
    char text[300];
    struct pdu_login_request p;
    login_request(&c, &p, 1, 3);
    pdu_login_request_encode(&p, bhs);
    client_send(&c, bhs, text,
                text_make("InitiatorName=" INITIATOR "\nTargetName=iqn.2026-01.com.example:none", text));
    struct tgt_config *old = w.r.config, *next = world_config(&w, 2);
    assert_int_equal(old->refs, 3); /* the world's, the reactor's, the login's */
    tgt_reactor_set_config(&w.r, next);
    assert_false(tgt_reactor_config_adopted(&w.r));
    assert_int_equal(old->refs, 2);
    client_unstick(&c);
    assert_true(c.closed);
    assert_true(tgt_reactor_config_adopted(&w.r));
    assert_int_equal(old->refs, 1);
    assert_int_equal(next->refs, 2);
    tgt_config_unref(next);
}

/* Who logs out, or has no connection, is told nothing of what changes. */
static void nobody_is_told_who_does_not_hear(void **state)
{
    (void)state;
    login(2, "DefaultTime2Wait=1\nDefaultTime2Retain=60");
    w.delay = true;
    read_send(&c, 0, 1);
    logout_send(&c, 1, 1, 5);
    assert_true(client_quiet(&c));
    struct tgt_config *next = world_config(&w, 2);
    next->targets[0].keys.max_recv_data_segment_length = 4096;
    next->targets[0].map.count = 1;
    tgt_reactor_set_config(&w.r, next);
    world_pump(&w);
    assert_true(client_quiet(&c));
    assert_false(tgt_session_notify(&w.r, 1, 1, "x", 1));
    w.delay = false;
    world_release(&w);
    client_expect(&c, PDU_OP_logout_response);
    assert_true(c.closed);
    tgt_config_unref(next);
    client_init(&d, &w);
    client_login_level(&d, 2, "DefaultTime2Wait=1\nDefaultTime2Retain=60");
    client_settle(&d, 0);
    w.delay = true;
    read_send(&d, 0, 1);
    client_cut(&d);
    next = world_config(&w, 2);
    tgt_reactor_set_config(&w.r, next); /* there is a second LUN again */
    world_pump(&w);
    assert_false(tgt_session_notify(&w.r, 2, 1, "x", 1));
    tgt_config_unref(next);
    w.delay = false;
    world_release(&w);
}

static void logins_under_way_adopt_the_configuration(void **state)
{
    (void)state;
    client_login_step(&c, 1, -1, NAMES);
    struct tgt_config *next = world_config(&w, 2);
    next->targets[0].acl_count = 0;
    tgt_reactor_set_config(&w.r, next);
    assert_true(tgt_reactor_config_adopted(&w.r));
    assert_int_equal(next->refs, 3); /* ours, the reactor's, the login's */
    assert_true(tgt_deadline(&w.r) == w.now);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, "")), 0);
    assert_int_equal(next->refs, 3); /* the session's instead */
    client_init(&d, &w);
    client_login_step(&d, 1, -1, "InitiatorName=" INITIATOR "\nTargetName=" SECOND);
    struct tgt_config *third = world_config(&w, 1);
    tgt_reactor_set_config(&w.r, third);
    assert_true(tgt_reactor_config_adopted(&w.r));
    assert_int_equal(login_status(client_login_step(&d, 1, 3, "")), 0x0204); /* removed meanwhile */
    assert_int_equal(next->refs, 1);
    tgt_config_unref(next);
    tgt_config_unref(third);
    PROVES("R7143-11.13.5-17", "target");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_logout_waits_for_the_commands_it_ends),
        TEST(what_follows_a_logout_takes_no_memory),
        TEST(a_logout_is_done_when_it_is_answered),
        TEST(recovery_below_level_two_is_refused),
        TEST(closing_a_lost_connection_ends_its_tasks),
        TEST(the_stop_is_told_in_whole_seconds),
        TEST(a_late_wake_up_does_not_remind),
        TEST(a_stop_lets_commands_end),
        TEST(a_hurried_stop_does_not_wait_for_output),
        TEST(a_session_that_closes_keeps_its_snapshot),
        TEST(a_refusal_that_does_not_leave_keeps_its_snapshot),
        TEST(nobody_is_told_who_does_not_hear),
        TEST(logins_under_way_adopt_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
