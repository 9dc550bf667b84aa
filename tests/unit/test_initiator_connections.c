/* Sessions of many connections, from the initiator's side.
 *
 * Goal: commands spread over the connections and each keeps to its own; one connection that logs out, is
 * asked to log out, or fails to log in leaves the others alone; a session logout ends them all. Method: a
 * scripted target with one link per connection (initiator_harness.h). */
#include "tests/unit/initiator_harness.h"

#include "initiator/iscsi/states.h"

#define LUN 0x0001000000000000ull

static void later_connections_join_the_session(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct ini_conn *none;
    struct pdu_login_request first;
    for (uint32_t i = 1; i < RIG_LINKS; i++) {
        rig_use(r, i);
        assert_int_equal(rig_connect(r), 0);
        pdu_login_request_decode(r->wire, &first);
        assert_int_equal(first.tsih, 77);
        assert_int_equal(first.cid, i);
        assert_memory_equal(first.isid, r->options.isid, 6);
        assert_int_equal(first.cmd_sn, r->exp_cmd_sn);
        struct key_params session = *ini_params(r->s);
        key_negotiation_init(&r->keys, KEY_ROLE_TARGET, &r->key_config, false, &session);
        while (!rig_login_step(r)) {
        }
        struct rig_event *e = rig_event(r, INI_EVENT_LOGGED_IN);
        assert_ptr_equal(e->event.conn, r->conn);
        assert_int_equal(ini_cid(r->conn), i);
        assert_ptr_equal(ini_conn_host(r->conn), r);
        assert_int_equal(ini_connections(r->s), i + 1);
        assert_int_equal(ini_conn_params(r->conn)->max_connections, RIG_LINKS);
        assert_string_equal(r->keys.texts.initiator_name, RIG_INITIATOR);
        assert_string_equal(r->keys.texts.target_name, RIG_TARGET);
    }
    assert_int_equal(ini_conn_new(r->s, r, &none), ERR_RANGE);
    rig_free(r);
    PROVES("R7143-4.2.7.1-04", "initiator");
    PROVES("R7143-11.12.6-01", "initiator");
    PROVES("R7143-11.12.6-02", "initiator");
    PROVES("R7143-11.12.6-03", "initiator");
    PROVES("R7143-13.2-01", "initiator");
}

static void no_second_connection_before_the_session_is_up(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct ini_conn *none;
    rig_begin(r);
    assert_int_equal(ini_conn_new(r->s, r, &none), ERR_CLOSED);
    rig_login(r);
    assert_int_equal(ini_conn_new(r->s, r, &none), ERR_RANGE); /* MaxConnections is 1 */
    rig_free(r);
    PROVES("R7143-4.2.1-02", "initiator");
}

/* Writes and reads on four connections at once: each PDU is on the connection of its command, ITTs are unique
 * in the session, CmdSNs are shared, StatSNs are each connection's own. */
static void commands_spread_and_keep_to_their_connection(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct rig_command rc[8];
    uint32_t itt[8], seen = 0, cmd_sns = 0;
    for (uint32_t i = 1; i < 4; i++)
        rig_join(r, i);
    for (int i = 0; i < 8; i++) {
        rig_command(r, &rc[i], i & 1, 200000, 2);
        assert_int_equal(ini_submit(r->s, &rc[i].c), 0);
    }
    for (uint32_t link = 0; link < 4; link++) {
        uint32_t last = 0;
        rig_use(r, link);
        for (int n = 0; n < 2; n++) {
            struct pdu_scsi_command pdu;
            RIG_TAKE(r, scsi_command, &pdu);
            assert_int_equal(pdu.exp_stat_sn, r->stat_sn);
            assert_true(n == 0 || sn_gt(pdu.cmd_sn, last)); /* ascending on each connection */
            last = pdu.cmd_sn;
            assert_false(cmd_sns >> pdu.cmd_sn & 1);
            cmd_sns |= 1u << pdu.cmd_sn;
            for (uint32_t k = 0; k < seen; k++)
                assert_int_not_equal(pdu.itt, itt[k]);
            itt[seen++] = pdu.itt;
            if (pdu.write) {
                for (uint32_t at = r->pdu.len; at < 65536;)
                    at += rig_take(r, PDU_OP_data_out)->len;
            }
        }
        for (int n = 2; n > 0 && (link & 1); n--) { /* writes are on links 1 and 3 */
            struct pdu_data_out out;
            rig_r2t(r, itt[seen - (uint32_t)n], 7, 0, 65536, 8192);
            RIG_TAKE(r, data_out, &out);
            assert_int_equal(out.itt, itt[seen - (uint32_t)n]);
            assert_int_equal(out.ttt, 7);
        }
        assert_true(rig_quiet(r));
    }
    r->exp_cmd_sn += 8;
    for (uint32_t link = 4; link-- > 0;) { /* answered last connection first */
        rig_use(r, link);
        rig_response(r, itt[2 * link], 2, NULL, 0);
        rig_response(r, itt[2 * link + 1], 2, NULL, 0);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(rc[i].reported, 1);
    rig_free(r);
    for (int i = 0; i < 8; i++)
        rig_command_fini(&rc[i]);
    PROVES("R7143-4.2.2.1-09", "initiator");
    PROVES("R7143-4.2.5.1-01", "initiator");
    PROVES("R7143-4.2.5.1-03", "initiator");
    PROVES("R7143-4.2.5.1-06", "initiator");
    PROVES("R7143-4.2.5.3-01", "initiator");
    PROVES("R7143-11.2.1.8-01", "initiator");
    PROVES("R7143-11.3.3-01", "initiator");
}

/* An answer that comes on another connection than the command is no answer. */
static void an_answer_on_the_wrong_connection_ends_the_session(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct rig_command rc;
    rig_join(r, 1);
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    rig_use(r, 0);
    uint32_t itt = rig_take_command(r).itt;
    rig_use(r, 1);
    rig_response(r, itt, 0, NULL, 0);
    rig_expect_failure(r, "task that we do not have");
    assert_int_equal(rc.c.outcome, INI_DONE_LOST);
    rig_free(r);
    rig_command_fini(&rc);
}

static void a_failing_login_leaves_the_session_alone(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct rig *r = rig_at_level(0, false);
        struct rig_command rc;
        rig_command(r, &rc, false, 512, 1);
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt;
        rig_use(r, 1);
        assert_int_equal(rig_connect(r), 0);
        struct ini_conn *conn = r->conn;
        struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
        if (way == 0) {
            struct pdu_login_response no = rig_login_response(r, request, false);
            no.status_class = 2;
            no.status_detail = 6;
            no.exp_cmd_sn = 12345; /* not to be used: R7143-11.13.5-01 */
            no.max_cmd_sn = 99999;
            RIG_SEND(r, login_response, &no, NULL, 0);
        } else if (way == 1) {
            rig_cut(r, ERR_RESET);
        } else {
            rig_advance(r, 31 * RIG_SECOND);
        }
        struct rig_event *e = rig_event(r, INI_EVENT_LOGIN_FAILED);
        assert_ptr_equal(e->event.conn, conn);
        assert_int_equal(e->event.status_detail, way == 0 ? 6 : 0);
        assert_true(rig_closing(r));
        rig_use(r, 0);
        assert_true(ini_is_up(r->s));
        rig_response(r, itt, 2, NULL, 0);
        assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
        rig_event(r, INI_EVENT_COMMAND_DONE);
        rig_join(r, 2); /* and another may try */
        rig_free(r);
        rig_command_fini(&rc);
    }
    PROVES("R7143-8.1.2-06", "initiator");
    PROVES("R7143-11.13.5-01", "initiator");
    PROVES("R7143-11.13.5-16", "initiator");
}

/* Whatever comes during login that is not a Login Response ends it, a Reject with "negotiation reset" too. */
static void a_reject_during_login_ends_it(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    rig_use(r, 1);
    assert_int_equal(rig_connect(r), 0);
    uint8_t bhs[PDU_BHS_LEN];
    memcpy(bhs, rig_take(r, PDU_OP_login_request)->bhs, sizeof bhs);
    RIG_PDU(r, reject, pdu);
    pdu.reason = 0x0b;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, reject, &pdu, bhs, sizeof bhs);
    rig_event(r, INI_EVENT_LOGIN_FAILED);
    assert_true(rig_closing(r));
    assert_true(ini_is_up(r->s));
    rig_free(r);
    PROVES("R7143-11.17.1-03", "initiator");
    PROVES("R7143-4.2.4-07", "initiator");
}

static void a_connection_in_another_session_is_refused(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    rig_use(r, 1);
    assert_int_equal(rig_connect(r), 0);
    struct key_params session = *ini_params(r->s);
    key_negotiation_init(&r->keys, KEY_ROLE_TARGET, &r->key_config, false, &session);
    assert_false(rig_login_step(r));
    struct pdu_login_response done = rig_login_response(r, rig_take(r, PDU_OP_login_request), true);
    done.tsih = 78;
    RIG_SEND(r, login_response, &done, NULL, 0);
    assert_non_null(strstr(rig_event(r, INI_EVENT_LOGIN_FAILED)->reason, "another session"));
    assert_true(ini_is_up(r->s));
    assert_int_equal(ini_connections(r->s), 1);
    rig_free(r);
}

/* One of three logs out: its command ends first, new ones go elsewhere, its CID may come again. */
static void one_connection_logs_out_alone(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct rig_command rc[3];
    struct pdu_logout_request out;
    rig_join(r, 1);
    for (int i = 0; i < 3; i++)
        rig_command(r, &rc[i], false, 512, 1);
    rig_submit(r, &rc[0]);
    rig_submit(r, &rc[1]);
    struct pdu_scsi_command mine;
    RIG_TAKE(r, scsi_command, &mine); /* the second is on link 1 */
    uint32_t itt = mine.itt;
    r->tell_conn_closed = true;
    struct ini_conn *leaving = r->conn;
    assert_int_equal(ini_conn_logout(r->conn), 0);
    rig_pump(r);
    assert_true(rig_quiet(r));
    rig_submit(r, &rc[2]);
    assert_true(rig_quiet(r)); /* not here */
    rig_response(r, itt, 2, NULL, 0);
    rig_event(r, INI_EVENT_COMMAND_DONE);
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 1);
    assert_int_equal(out.cid, 1);
    assert_true(out.immediate);
    assert_int_equal(out.cmd_sn, 4); /* the third has gone out on link 0 */
    rig_logout_response(r, out.itt, 0, 0, 0);
    struct rig_event *e = rig_event(r, INI_EVENT_LOGGED_OUT);
    assert_int_equal(e->event.response, 0);
    assert_ptr_equal(rig_event(r, INI_EVENT_CONN_CLOSED)->event.conn, leaving);
    assert_true(ini_is_up(r->s));
    assert_int_equal(ini_connections(r->s), 1);
    rig_use(r, 0);
    struct pdu_scsi_command c[2];
    RIG_TAKE(r, scsi_command, &c[0]);
    RIG_TAKE(r, scsi_command, &c[1]);
    rig_response(r, c[1].itt, 2, NULL, 0);
    rig_response(r, c[0].itt, 2, NULL, 0);
    assert_int_equal(rc[0].reported + rc[2].reported, 2);
    rig_free(r);
    for (int i = 0; i < 3; i++)
        rig_command_fini(&rc[i]);
    PROVES("R7143-8.1.2-13", "initiator");
    PROVES("R7143-11.14-01", "initiator");
    PROVES("R7143-11.14.3-01", "initiator");
    PROVES("R7143-11.15-01", "initiator");
}

static void a_session_logout_ends_all_connections(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct pdu_logout_request out;
    uint32_t tag;
    for (uint32_t i = 1; i < 4; i++)
        rig_join(r, i);
    rig_use(r, 4); /* one in the middle of its login */
    assert_int_equal(rig_connect(r), 0);
    rig_use(r, 0);
    r->tell_conn_closed = true;
    assert_int_equal(ini_logout(r->s), 0);
    rig_pump(r);
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 0);
    assert_int_equal(ini_ping(r->s, NULL, 0, &tag), ERR_CLOSED);
    for (uint32_t i = 1; i < 4; i++) {
        rig_use(r, i);
        assert_true(rig_quiet(r)); /* no second logout, nothing new */
    }
    rig_use(r, 0);
    rig_logout_response(r, out.itt, 0, 0, 0);
    rig_event(r, INI_EVENT_LOGGED_OUT);
    for (int i = 0; i < 5; i++)
        rig_event(r, INI_EVENT_CONN_CLOSED);
    rig_event(r, INI_EVENT_CLOSED);
    assert_int_equal(ini_transitions(r->s)->session[1], 1); /* N3: closed, */
    assert_int_equal(ini_transitions(r->s)->session[3], 0); /* N5: not failed */
    rig_free(r);
    PROVES("R7143-8.1.2-08", "initiator");
    PROVES("R7143-11.14-02", "initiator");
    PROVES("R7143-11.14-06", "initiator");
    PROVES("R7143-11.14-11", "initiator");
}

/* Below level 2 a lost connection is a lost session: everything ends, once. */
static void below_level_2_a_lost_connection_ends_the_session(void **state)
{
    (void)state;
    for (uint32_t level = 0; level < 2; level++) {
        struct rig *r = rig_at_level(level, false);
        struct rig_command rc[4];
        rig_join(r, 1);
        for (int i = 0; i < 4; i++) {
            rig_command(r, &rc[i], i & 1, 4096, 1);
            rig_submit(r, &rc[i]);
        }
        rig_cut(r, ERR_RESET);
        rig_use(r, 0);
        assert_true(rig_closing(r));
        rig_lost(r, 0);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(rc[i].reported, 1);
            assert_int_equal(rc[i].c.outcome, INI_DONE_LOST);
            assert_false(rc[i].c.never_sent);
        }
        rig_free(r);
        for (int i = 0; i < 4; i++)
            rig_command_fini(&rc[i]);
    }
    PROVES("R7143-11.4.3-03", "initiator");
    PROVES("R7143-7.14-03", "initiator");
    PROVES("R7143-7.1.4.4-02", "initiator");
    PROVES("R7143-7.1.4-01", "initiator");
}

/* A command on one connection is aborted by a function that came back on another, while the framer of the
 * first is in the middle of writing into its buffer: it is reported only when nothing can touch the buffer.
 */
static void an_abort_waits_for_the_buffer(void **state)
{
    (void)state;
    for (int receiving = 0; receiving < 2; receiving++) {
        struct rig *r = rig_at_level(0, false);
        struct rig_command rc, other;
        uint32_t tag;
        rig_join(r, 1);
        rig_command(r, &other, false, 512, 1);
        rig_command(r, &rc, false, 40000, 1);
        rig_submit(r, &other); /* link 0 */
        rig_submit(r, &rc);    /* link 1 */
        struct pdu_scsi_command c;
        RIG_TAKE(r, scsi_command, &c);
        uint8_t *half = calloc(1, 48 + 40000);
        assert_non_null(half);
        RIG_PDU(r, data_in, pdu);
        pdu.itt = c.itt;
        pdu.ttt = PDU_TAG_RESERVED;
        pdu.final = 1;
        pdu_data_in_encode(&pdu, half);
        be24_put(half + 5, 40000);
        memset(half + 48, 0xaa, 40000);
        rig_feed(r, half, 20048);
        struct io_vec places[FRAMER_PLACES_MAX];
        uint32_t count;
        if (receiving)
            assert_int_equal(ini_room(r->conn, places, &count), INI_ROOM_PLACES);
        assert_int_equal(ini_task_management(r->s, 5, LUN, NULL, &tag), 0); /* goes to either */
        struct pdu_task_management_request t;
        rig_pump(r);
        if (rig_quiet(r))
            rig_use(r, 0);
        if (r->link == 0)
            rig_take(r, PDU_OP_scsi_command);
        RIG_TAKE(r, task_management_request, &t);
        assert_int_equal(r->link, 0);
        rig_tmf_response(r, t.itt, 0);
        assert_int_equal(other.reported, 1);
        assert_int_equal(rc.reported, !receiving);
        rig_use(r, 1);
        if (receiving) { /* the rest comes: it may still go into the buffer */
            memset(places[0].ptr, 0xbb, places[0].len);
            ini_received(r->conn, 10000);
            rig_pump(r);
            assert_int_equal(rc.reported, 1);
        }
        memset(rc.data, 0x11, 40000); /* ours again */
        rig_feed(r, half + 48 + 20000, receiving ? 10000 : 20000);
        for (uint32_t i = 0; i < 40000; i++)
            assert_int_equal(rc.data[i], 0x11);
        assert_true(ini_is_up(r->s)); /* what was on its way is no fault */
        rig_free(r);
        free(half);
        rig_command_fini(&rc);
        rig_command_fini(&other);
    }
    PROVES("R7143-4.2.3.3-05", "initiator");
    PROVES("R7143-11.5.1-06", "initiator");
}

static void abort_task_goes_where_its_task_is(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct rig_command rc[2];
    uint32_t tag;
    rig_join(r, 1);
    for (int i = 0; i < 2; i++) {
        rig_command(r, &rc[i], false, 512, 1);
        rig_submit(r, &rc[i]);
    }
    for (uint32_t link = 0; link < 2; link++) {
        struct pdu_scsi_command c;
        struct pdu_task_management_request t;
        rig_use(r, link);
        RIG_TAKE(r, scsi_command, &c);
        assert_int_equal(ini_task_management(r->s, 1, LUN, &rc[link].c, &tag), 0);
        rig_pump(r);
        RIG_TAKE(r, task_management_request, &t);
        assert_int_equal(t.referenced_task_tag, c.itt);
        assert_int_equal(t.ref_cmd_sn, c.cmd_sn);
    }
    rig_free(r);
    rig_command_fini(&rc[0]);
    rig_command_fini(&rc[1]);
    PROVES("R7143-11.5.1-14", "initiator");
}

/* Each connection is pinged for itself: the silent one is found. */
static void each_connection_is_pinged(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->options.keys.max_connections = r->key_config.max_connections = 2;
    rig_begin(r);
    rig_login(r);
    rig_join(r, 1);
    rig_advance(r, 5 * RIG_SECOND);
    struct pdu_nop_out ping;
    RIG_TAKE(r, nop_out, &ping);
    rig_use(r, 0);
    RIG_TAKE(r, nop_out, &ping);
    RIG_PDU(r, nop_in, pong);
    pong.itt = ping.itt;
    pong.ttt = PDU_TAG_RESERVED;
    pong.stat_sn = r->stat_sn++;
    r->now++;
    RIG_SEND(r, nop_in, &pong, NULL, 0);
    rig_use(r, 1); /* says nothing */
    rig_advance(r, 5 * RIG_SECOND);
    rig_expect_failure(r, "pings");
    rig_free(r);
    PROVES("R7143-7.14-01", "initiator");
}

/* ini_next_to_send names who has something, once. */
static void who_has_something_to_send_is_named_once(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct rig_command rc[3];
    rig_join(r, 1);
    r->hold_output = true;
    for (int i = 0; i < 3; i++)
        rig_command(r, &rc[i], false, 512, 1);
    assert_null(ini_next_to_send(r->s));
    assert_int_equal(ini_submit(r->s, &rc[0].c), 0);
    struct ini_conn *first = ini_next_to_send(r->s);
    assert_non_null(first);
    assert_null(ini_next_to_send(r->s));
    assert_int_equal(ini_submit(r->s, &rc[1].c), 0);
    assert_ptr_not_equal(ini_next_to_send(r->s), first);
    assert_null(ini_next_to_send(r->s));
    struct io_vec places[8];
    assert_int_equal(ini_gather(first, places, 8), 1);
    assert_int_equal(ini_submit(r->s, &rc[2].c), 0); /* for the same, which is busy sending */
    assert_null(ini_next_to_send(r->s));
    ini_sent(first, 48);
    assert_ptr_equal(ini_next_to_send(r->s), first);
    r->hold_output = false;
    rig_free(r);
    for (int i = 0; i < 3; i++)
        rig_command_fini(&rc[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_connections_join_the_session),
        cmocka_unit_test(no_second_connection_before_the_session_is_up),
        cmocka_unit_test(commands_spread_and_keep_to_their_connection),
        cmocka_unit_test(an_answer_on_the_wrong_connection_ends_the_session),
        cmocka_unit_test(a_failing_login_leaves_the_session_alone),
        cmocka_unit_test(a_reject_during_login_ends_it),
        cmocka_unit_test(a_connection_in_another_session_is_refused),
        cmocka_unit_test(one_connection_logs_out_alone),
        cmocka_unit_test(a_session_logout_ends_all_connections),
        cmocka_unit_test(below_level_2_a_lost_connection_ends_the_session),
        cmocka_unit_test(an_abort_waits_for_the_buffer),
        cmocka_unit_test(abort_task_goes_where_its_task_is),
        cmocka_unit_test(each_connection_is_pinged),
        cmocka_unit_test(who_has_something_to_send_is_named_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
