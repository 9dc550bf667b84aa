/* Asynchronous messages and FastAbort, long texts both ways, from the initiator's side.
 *
 * Goal: each message of the target has the reaction that RFC 7143 11.9 asks for, on the right connection and
 * in time; texts of any length pass. Method: a scripted target (initiator_harness.h). */
#include "initiator/iscsi/states.h"
#include "tests/unit/initiator_harness.h"

#define LUN 0x0001000000000000ull

static void async(struct rig *r, uint8_t code, uint64_t lun, uint16_t p1, uint16_t p2, uint16_t p3)
{
    RIG_PDU(r, async_message, pdu);
    pdu.async_event = code;
    pdu.async_vcode = 9;
    pdu.lun = lun;
    pdu.parameter1 = p1;
    pdu.parameter2 = p2;
    pdu.parameter3 = p3;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, async_message, &pdu, "\0\0vendor", 8);
}

static struct pdu_logout_request take_logout(struct rig *r, uint8_t reason)
{
    struct pdu_logout_request pdu;
    RIG_TAKE(r, logout_request, &pdu);
    assert_int_equal(pdu.reason, reason);
    return pdu;
}

/* ---- events that only the host can make sense of ---- */

static void events_are_passed_on(void **state)
{
    (void)state;
    static const uint8_t codes[] = {0, 6, 100, 247, 248, 255};
    struct rig *r = rig_at_level(0, false);
    for (size_t i = 0; i < sizeof codes; i++) {
        async(r, codes[i], LUN, 1, 2, 3);
        struct rig_event *e = rig_event(r, INI_EVENT_ASYNC);
        assert_int_equal(e->event.async_event, codes[i]);
        assert_int_equal(e->event.vcode, 9);
        assert_int_equal(e->event.parameter[0], 1);
        assert_int_equal(e->event.parameter[1], 2);
        assert_int_equal(e->event.parameter[2], 3);
        assert_ptr_equal(e->event.conn, r->conn);
        assert_memory_equal(e->text, "\0\0vendor", 8);
        assert_true(rig_quiet(r));
        assert_true(ini_is_up(r->s));
    }
    uint32_t tag; /* all of them are acknowledged */
    struct pdu_nop_out ping;
    assert_int_equal(ini_ping(r->s, NULL, 0, &tag), 0);
    rig_pump(r);
    RIG_TAKE(r, nop_out, &ping);
    assert_int_equal(ping.exp_stat_sn, r->stat_sn);
    rig_free(r);
    PROVES("R7143-11.9.4-01", "initiator");
    PROVES("R7143-11.9.4-02", "initiator");
}

/* ---- logout request ---- */

/* Of two connections one is asked to leave: the other takes over; its own commands end first. */
static void one_of_two_connections_is_asked_to_leave(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct rig_command rc[3];
    struct pdu_scsi_command c;
    rig_join(r, 1);
    for (int i = 0; i < 3; i++)
        rig_command(r, &rc[i], false, 512, 1);
    rig_submit(r, &rc[0]);
    rig_submit(r, &rc[1]);
    RIG_TAKE(r, scsi_command, &c); /* of link 1 */
    async(r, 1, 0, 0, 0, 10);
    rig_event(r, INI_EVENT_ASYNC);
    assert_int_equal(ini_conn_state(r->conn), INI_S7_LOGOUT_REQUESTED);
    async(r, 1, 0, 0, 0, 10); /* again */
    rig_event(r, INI_EVENT_ASYNC);
    rig_submit(r, &rc[2]);
    assert_true(rig_quiet(r));
    rig_response(r, c.itt, 2, NULL, 0);
    rig_event(r, INI_EVENT_COMMAND_DONE);
    struct pdu_logout_request out = take_logout(r, 1);
    assert_int_equal(out.cid, 1);
    async(r, 1, 0, 0, 0, 10); /* too late: the logout is under way */
    rig_event(r, INI_EVENT_ASYNC);
    assert_true(rig_quiet(r));
    rig_logout_response(r, out.itt, 0, 1, 0);
    rig_event(r, INI_EVENT_LOGGED_OUT);
    rig_event(r, INI_EVENT_CONN_WANTED);
    rig_use(r, 0);
    RIG_TAKE(r, scsi_command, &c);
    rig_response(r, c.itt, 2, NULL, 0);
    RIG_TAKE(r, scsi_command, &c);
    rig_response(r, c.itt, 2, NULL, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rc[i].c.outcome, INI_DONE_STATUS);
    rig_free(r);
    for (int i = 0; i < 3; i++)
        rig_command_fini(&rc[i]);
    PROVES("R7143-8.1.2-10", "initiator");
    PROVES("R7143-8.1.2-11", "initiator");
    PROVES("R7143-8.1.2-14", "initiator");
    PROVES("R7143-11.9.1-03", "initiator");
    PROVES("R7143-11.9.1-04", "initiator");
}

/* Commands that do not end do not keep us from leaving in time; they come back LOST. */
static void a_request_to_leave_is_honoured_in_time(void **state)
{
    (void)state;
    for (uint32_t links = 1; links < 3; links++) {
        struct rig *r = rig_at_level(0, false);
        struct rig_command rc;
        if (links == 2)
            rig_join(r, 1);
        rig_use(r, 0);
        rig_command(r, &rc, false, 512, 1);
        rig_submit(r, &rc);
        rig_take(r, PDU_OP_scsi_command);
        async(r, 1, 0, 0, 0, 10);
        uint64_t due = ini_deadline(r->s) - r->now;
        assert_true(due > 0 && due < 10 * RIG_SECOND);
        rig_advance(r, due);
        struct pdu_logout_request out = take_logout(r, links == 1 ? 0 : 1);
        assert_int_equal(rc.reported, 0);
        rig_logout_response(r, out.itt, 0, 1, 0);
        assert_int_equal(rc.reported, 1);
        assert_int_equal(rc.c.outcome, INI_DONE_LOST);
        assert_int_equal(rig_closed(r), links == 1);
        rig_free(r);
        rig_command_fini(&rc);
    }
    PROVES("R7143-11.9.1-02", "initiator");
}

static void reject(struct rig *r, uint8_t reason, const uint8_t *bhs)
{
    RIG_PDU(r, reject, pdu);
    pdu.reason = reason;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, reject, &pdu, bhs, PDU_BHS_LEN);
}

/* A command that crosses the request is rejected: it was not carried out, and its number is used up
 * elsewhere. */
static struct pdu_scsi_command reject_crossing(struct rig *r, struct rig_command rc[2], int aborts,
                                               uint32_t *tags)
{
    struct pdu_scsi_command c;
    uint8_t bhs[PDU_BHS_LEN];
    rig_join(r, 1);
    for (int i = 0; i < 2; i++) {
        rig_command(r, &rc[i], true, 512, 1);
        rig_submit(r, &rc[i]);
    }
    RIG_TAKE(r, scsi_command, &c); /* of link 1 */
    memcpy(bhs, r->pdu.bhs, sizeof bhs);
    async(r, 1, 0, 0, 0, 10);
    for (int i = 0; i < aborts; i++) {
        assert_int_equal(ini_task_management(r->s, 1, LUN, &rc[1].c, &tags[i]), 0);
        rig_pump(r);
        rig_take(r, PDU_OP_task_management_request);
    }
    reject(r, 0x0c, bhs);
    assert_int_equal(rc[1].reported, 1);
    assert_int_equal(rc[1].c.outcome, INI_DONE_LOST);
    assert_true(rc[1].c.never_sent);
    return c;
}

static void take_plug(struct rig *r, uint32_t cmd_sn)
{
    struct pdu_nop_out plug;
    RIG_TAKE(r, nop_out, &plug);
    assert_false(plug.immediate);
    assert_int_equal(plug.cmd_sn, cmd_sn);
}

static void a_command_that_crosses_the_request_is_told_as_never_sent(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct rig_command rc[2];
    struct pdu_scsi_command c = reject_crossing(r, rc, 0, NULL);
    take_logout(r, 1);
    rig_use(r, 0);
    rig_take(r, PDU_OP_scsi_command);
    take_plug(r, c.cmd_sn);
    assert_true(ini_is_up(r->s));
    rig_free(r);
    for (int i = 0; i < 2; i++)
        rig_command_fini(&rc[i]);
    PROVES("R7143-7.3-05", "initiator");
}

/* An ABORT TASK for such a command uses its number up: a NOP-Out takes it only once that has failed. */
static void what_aborts_a_command_that_crosses_the_request_takes_its_number(void **state)
{
    (void)state;
    static const struct {
        int aborts;
        uint8_t response[2];
        bool passed, lost; /* the target's ExpCmdSN has passed the number; the connection ends, no response */
        bool plugged;
    } rows[] = {
        {1, {0}, false, false, false},      {1, {255}, false, false, true},      {1, {1}, true, false, false},
        {2, {255, 0}, false, false, false}, {2, {255, 255}, false, false, true}, {1, {0}, false, true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig *r = rig_at_level(rows[i].lost ? 2 : 1, false);
        struct rig_command rc[2];
        uint32_t tags[2];
        struct pdu_scsi_command c = reject_crossing(r, rc, rows[i].aborts, tags);
        rig_use(r, 0);
        rig_response(r, rig_take_command(r).itt, 0, NULL, 0);
        assert_true(rig_quiet(r));
        rig_advance(r, 2 * RIG_SECOND); /* nor when the target is asked what it waits for */
        rig_advance(r, 2 * RIG_SECOND);
        assert_true(rig_quiet(r));
        r->exp_cmd_sn += rows[i].passed;
        rig_use(r, 1);
        if (rows[i].lost)
            rig_cut(r, 0);
        for (int j = 0; j < rows[i].aborts && !rows[i].lost; j++) {
            rig_tmf_response(r, tags[j], rows[i].response[j]);
        }
        rig_use(r, 0);
        if (rows[i].plugged)
            take_plug(r, c.cmd_sn);
        assert_true(rows[i].lost || rig_quiet(r)); /* a lost connection is recovered meanwhile */
        assert_true(ini_is_up(r->s));
        rig_free(r);
        for (int j = 0; j < 2; j++)
            rig_command_fini(&rc[j]);
    }
    PROVES("R7143-4.2.2.1-21", "initiator");
}

static void too_many_immediate_commands_are_busy(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct rig_command rc;
    uint8_t bhs[PDU_BHS_LEN];
    rig_command(r, &rc, false, 512, 1);
    rc.c.immediate = true;
    rig_submit(r, &rc);
    memcpy(bhs, rig_take(r, PDU_OP_scsi_command)->bhs, sizeof bhs);
    reject(r, 6, bhs);
    assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
    assert_int_equal(rc.c.status, 8);
    assert_int_equal(rc.reported, 1);
    assert_true(ini_is_up(r->s));
    rig_free(r);
    rig_command_fini(&rc);
}

/* ---- drop notices ---- */

static void below_level_2_a_drop_notice_ends_the_session(void **state)
{
    (void)state;
    for (uint8_t code = 2; code <= 3; code++) {
        struct rig *r = rig_at_level(1, false);
        rig_join(r, 1);
        async(r, code, 0, 0, 3, 20); /* CID 0, told on the other connection */
        rig_event(r, INI_EVENT_ASYNC);
        rig_expect_failure(r, "drops");
        rig_free(r);
    }
}

static void drop_notices_begin_recovery_with_their_times(void **state)
{
    (void)state;
    for (uint8_t code = 2; code <= 3; code++) {
        struct rig *r = rig_at_level(2, false);
        struct rig_command rc;
        struct pdu_scsi_command c;
        rig_command(r, &rc, false, 512, 1);
        rig_submit(r, &rc);
        RIG_TAKE(r, scsi_command, &c);
        r->exp_cmd_sn++;
        rig_join(r, 1);
        async(r, code, 0, 0, 7, 30);
        rig_event(r, INI_EVENT_ASYNC);
        for (int i = 0; i < code - 1; i++)
            assert_int_equal(rig_event(r, INI_EVENT_CONN_WANTED)->event.value_ns, r->now + 7 * RIG_SECOND);
        assert_int_equal(ini_connections(r->s), code == 2);
        assert_int_equal(ini_session_state(r->s), code == 2 ? INI_Q3_LOGGED_IN : INI_Q4_FAILED);
        assert_int_equal(rc.reported, 0);
        if (code == 2) {
            assert_true(rig_quiet(r));
            rig_advance(r, 7 * RIG_SECOND);
            assert_int_equal(take_logout(r, 2).cid, 0);
        } else {
            rig_advance(r, 7 * RIG_SECOND);
            rig_advance(r, 30 * RIG_SECOND);
            assert_false(rig_closed(r));
            rig_advance(r, 1);
            assert_true(rig_closed(r));
            assert_int_equal(rc.c.outcome, INI_DONE_LOST);
        }
        rig_free(r);
        rig_command_fini(&rc);
    }
    PROVES("R7143-8.1.2-15", "initiator");
    PROVES("R7143-11.9.1-08", "initiator");
    PROVES("R7143-11.9.1-09", "initiator");
    PROVES("R7143-7.1.4.3-06", "initiator");
    PROVES("R7143-7.5.2-01", "initiator");
    PROVES("R7143-7.14-04", "initiator");
}

/* ---- negotiation ---- */

static void a_request_to_negotiate_is_honoured_there(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    char want[64];
    rig_join(r, 1);
    async(r, 4, 0, 0, 0, 3);
    rig_event(r, INI_EVENT_ASYNC);
    struct pdu_text_request asked = rig_take_text(r);
    int len = snprintf(want, sizeof want, "MaxRecvDataSegmentLength=%u",
                       ini_conn_params(r->conn)->max_recv_data_segment_length);
    assert_int_equal(r->pdu.len, len + 1);
    assert_string_equal((char *)r->pdu.data, want);
    assert_true(asked.final);
    rig_text_response(r, asked.itt, PDU_TAG_RESERVED, false, NULL, 0);
    assert_false(rig_has_event(r)); /* the engine's own affair */
    assert_true(rig_quiet(r));
    /* With a text of ours open there is no need. */
    rig_use(r, 0);
    assert_int_equal(ini_send_targets(r->s, "All"), 0);
    rig_pump(r);
    asked = rig_take_text(r);
    async(r, 4, 0, 0, 0, 3);
    rig_text_response(r, asked.itt, PDU_TAG_RESERVED, false, NULL, 0);
    assert_true(rig_quiet(r));
    rig_free(r);
    PROVES("R7143-11.9.1-10", "initiator");
}

static void a_new_segment_length_is_declared_on_every_connection(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    uint32_t before = ini_params(r->s)->max_recv_data_segment_length;
    rig_join(r, 1);
    assert_int_equal(ini_set_max_recv(r->s, 511), ERR_RANGE);
    assert_int_equal(ini_set_max_recv(r->s, 4096), 0);
    for (uint32_t link = 0; link < 2; link++) {
        rig_use(r, link);
        rig_pump(r);
        struct pdu_text_request asked = rig_take_text(r);
        assert_string_equal((char *)r->pdu.data, "MaxRecvDataSegmentLength=4096");
        assert_int_equal(ini_conn_params(r->conn)->max_recv_data_segment_length, before);
        if (link == 0) /* they may talk back, also what nobody knows */
            rig_text_response(r, asked.itt, PDU_TAG_RESERVED, false,
                              "MaxRecvDataSegmentLength=1024\0X-com.example.a=1", 48);
        else
            rig_text_response(r, asked.itt, PDU_TAG_RESERVED, false, NULL, 0);
        assert_int_equal(ini_conn_params(r->conn)->max_recv_data_segment_length, 4096);
    }
    rig_use(r, 0);
    assert_int_equal(ini_conn_params(r->conn)->peer_max_recv_data_segment_length, 1024);
    rig_free(r);
    /* A key that comes twice spoils it: nothing of it counts. */
    r = rig_at_level(0, false);
    uint32_t theirs = ini_params(r->s)->peer_max_recv_data_segment_length;
    assert_int_equal(ini_set_max_recv(r->s, 4096), 0);
    rig_pump(r);
    rig_text_response(r, rig_take_text(r).itt, PDU_TAG_RESERVED, false,
                      "MaxRecvDataSegmentLength=1024\0MaxRecvDataSegmentLength=2048", 60);
    assert_int_equal(ini_conn_params(r->conn)->peer_max_recv_data_segment_length, theirs);
    assert_int_equal(ini_conn_params(r->conn)->max_recv_data_segment_length, before);
    assert_true(ini_is_up(r->s));
    rig_free(r);
    /* Refused: all stays as it was. */
    r = rig_at_level(0, false);
    assert_int_equal(ini_set_max_recv(r->s, 4096), 0);
    rig_pump(r);
    rig_take(r, PDU_OP_text_request);
    uint8_t bhs[PDU_BHS_LEN];
    memcpy(bhs, r->pdu.bhs, sizeof bhs);
    RIG_PDU(r, reject, pdu);
    pdu.reason = 5;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, reject, &pdu, bhs, sizeof bhs);
    assert_true(ini_is_up(r->s));
    assert_int_equal(ini_conn_params(r->conn)->max_recv_data_segment_length, before);
    rig_free(r);
    PROVES("R7143-11.10-01", "initiator");
    PROVES("R7143-6.4-13", "initiator");
    PROVES("R7143-7.12-03", "initiator");
    PROVES("R7143-6.4-01", "initiator");
}

/* ---- long texts ---- */

static void long_texts_pass_in_pieces(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    static char text[10000], got[10000];
    r->key_config.max_recv_data_segment_length = 512;
    rig_begin(r);
    rig_login(r);
    snprintf(text, sizeof text, "X-com.example.long=");
    memset(text + strlen(text), 'a', sizeof text - strlen(text) - 1);
    assert_int_equal(ini_text(r->s, text, sizeof text), 0);
    assert_int_equal(ini_text(r->s, text, 10), ERR_BUSY);
    assert_int_equal(ini_text(r->s, text, 100000), ERR_TOOBIG);
    rig_pump(r);
    uint32_t at = 0, itt = 0;
    for (bool last = false; !last; last = at == sizeof text) {
        struct pdu_text_request asked = rig_take_text(r);
        assert_true(r->pdu.len <= 512 && at + r->pdu.len <= sizeof text);
        assert_true(at == 0 || asked.itt == itt);
        assert_int_equal(asked.ttt, at ? 0x77 : PDU_TAG_RESERVED);
        assert_int_equal(asked.lun, at ? RIG_TEXT_LUN : 0);
        memcpy(got + at, r->pdu.data, r->pdu.len);
        at += r->pdu.len;
        itt = asked.itt;
        assert_int_equal(asked.more, at < sizeof text);
        assert_int_equal(asked.final, at == sizeof text);
        assert_true(rig_quiet(r)); /* one at a time */
        if (at < sizeof text)
            rig_text_response(r, itt, 0x77, false, NULL, 0);
    }
    assert_memory_equal(got, text, sizeof text);
    rig_text_response(r, itt, 0x77, true, "A=", 2); /* now the answer, in two */
    rig_take_text(r);
    rig_text_response(r, itt, PDU_TAG_RESERVED, false, "b", 2);
    struct rig_event *e = rig_event(r, INI_EVENT_TEXT_DONE);
    assert_int_equal(e->event.response, 0);
    assert_memory_equal(e->text, "A=b", 4);
    /* An answer before we are through is none. */
    assert_int_equal(ini_text(r->s, text, sizeof text), 0);
    rig_pump(r);
    rig_text_response(r, rig_take_text(r).itt, PDU_TAG_RESERVED, false, NULL, 0);
    rig_expect_failure(r, "not complete");
    rig_free(r);
    PROVES("R7143-11.10.2-01", "initiator");
    PROVES("R7143-11.10.3-01", "initiator");
    PROVES("R7143-11.10.5-01", "initiator");
    PROVES("R7143-11.11.1-02", "initiator");
    PROVES("R7143-11.11.4-01", "initiator");
}

static void a_rejected_text_is_told(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    uint8_t bhs[PDU_BHS_LEN];
    assert_int_equal(ini_send_targets(r->s, "All"), 0);
    rig_pump(r);
    memcpy(bhs, rig_take(r, PDU_OP_text_request)->bhs, sizeof bhs);
    RIG_PDU(r, reject, pdu);
    pdu.reason = 4;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, reject, &pdu, bhs, sizeof bhs);
    struct rig_event *e = rig_event(r, INI_EVENT_TEXT_DONE);
    assert_int_equal(e->event.response, 4);
    assert_int_equal(e->event.text_len, 0);
    assert_int_equal(ini_send_targets(r->s, "All"), 0);
    rig_free(r);
}

/* ---- FastAbort ---- */

static struct rig *rig_fast_abort(bool fast)
{
    struct rig *r = rig_new();
    struct key_choices all = {
        3, {KEY_TASK_REPORTING_FAST_ABORT, KEY_TASK_REPORTING_RESPONSE_FENCE, KEY_TASK_REPORTING_RFC3720}};
    r->options.keys.task_reporting = r->key_config.task_reporting = all;
    if (!fast)
        r->key_config.task_reporting = (struct key_choices){1, {KEY_TASK_REPORTING_RFC3720}};
    r->key_config.first_burst_length = 65536;
    rig_begin(r);
    rig_login(r);
    assert_int_equal(ini_params(r->s)->task_reporting,
                     fast ? KEY_TASK_REPORTING_FAST_ABORT : KEY_TASK_REPORTING_RFC3720);
    return r;
}

/* After the function no more data for the tasks it takes; without FastAbort every R2T is answered. */
static void fast_abort_stops_data_out(void **state)
{
    (void)state;
    for (int fast = 0; fast < 2; fast++) {
        struct rig *r = rig_fast_abort(fast);
        struct rig_command rc[3];
        struct pdu_scsi_command c[3];
        uint32_t tag;
        for (int i = 0; i < 3; i++) {
            rig_command(r, &rc[i], true, 65536 + 8192, 1);
            rc[i].c.lun = i == 1 ? 0x0002000000000000ull : LUN;
            if (i == 2) { /* sent after it: not taken */
                assert_int_equal(ini_task_management(r->s, 2, LUN, NULL, &tag), 0);
                rig_pump(r);
                rig_take(r, PDU_OP_task_management_request);
            }
            rig_submit(r, &rc[i]);
            RIG_TAKE(r, scsi_command, &c[i]);
        }
        r->exp_cmd_sn += 3;
        for (uint32_t i = 0; i < 3; i++) {
            r->r2t_lun = rc[i].c.lun;
            rig_r2t(r, c[i].itt, 50 + i, 0, 65536, 8192);
            if (i > 0 || !fast)
                rig_take(r, PDU_OP_data_out);
            assert_true(rig_quiet(r));
        }
        if (fast) { /* a response before the function's is as good as ever */
            rig_response(r, c[1].itt, 0, NULL, 0);
            assert_int_equal(rc[1].c.outcome, INI_DONE_STATUS);
            assert_int_equal(rc[1].reported--, 1);
        }
        rig_tmf_response(r, tag, 0);
        assert_int_equal(rc[0].c.outcome, INI_DONE_ABORTED);
        assert_int_equal(rc[0].reported, 1);
        assert_int_equal(rc[1].reported + rc[2].reported, 0);
        rig_response(r, c[0].itt, 0, NULL, 0); /* late: dropped */
        if (!fast)
            rig_response(r, c[1].itt, 0, NULL, 0);
        rig_response(r, c[2].itt, 0, NULL, 0);
        assert_int_equal(rc[1].reported + rc[2].reported, fast ? 1 : 2);
        assert_true(ini_is_up(r->s));
        rig_free(r);
        for (int i = 0; i < 3; i++)
            rig_command_fini(&rc[i]);
    }
    PROVES("R7143-4.2.3.3-01", "initiator");
    PROVES("R7143-4.2.3.3-02", "initiator");
    PROVES("R7143-4.2.3.4-02", "initiator");
    PROVES("R7143-4.2.3.4-03", "initiator");
    PROVES("R7143-4.2.3.4-06", "initiator");
    PROVES("R7143-11.5.1-06", "initiator");
    PROVES("R7143-11.5.1-08", "initiator");
    PROVES("R7143-4.2.3.4-01", "initiator");
    PROVES("R7143-10.7-01", "initiator");
}

/* What was asked for before the message goes out ahead of its acknowledgement. What is asked for after it is
 * for a command that the target goes on with, because the two have crossed: it gets its data, or it would
 * wait for it for ever. */
static void terminated_tasks_are_acknowledged(void **state)
{
    (void)state;
    for (int fast = 0; fast < 2; fast++) {
        struct rig *r = rig_fast_abort(fast);
        struct rig_command rc[3];
        struct pdu_scsi_command c[3];
        struct pdu_data_out data;
        for (int i = 0; i < 3; i++) {
            rig_command(r, &rc[i], true, 65536 + 8192, 1);
            rc[i].c.lun = i == 2 ? 0x0002000000000000ull : LUN;
            rig_submit(r, &rc[i]);
            RIG_TAKE(r, scsi_command, &c[i]);
        }
        r->exp_cmd_sn += 3;
        r->hold_output = true;
        rig_r2t(r, c[0].itt, 49, 0, 65536, 8192);
        async(r, 5, LUN, 0, 0, 0);
        r->hold_output = false;
        rig_pump(r);
        RIG_TAKE(r, data_out, &data);
        assert_int_equal(data.ttt, 49);
        if (fast) {
            struct pdu_nop_out ack;
            RIG_TAKE(r, nop_out, &ack);
            assert_int_equal(ack.itt, PDU_TAG_RESERVED);
            assert_int_equal(ack.ttt, PDU_TAG_RESERVED);
            assert_int_equal(ack.lun, LUN);
            assert_int_equal(ack.exp_stat_sn, r->stat_sn);
            assert_true(ack.immediate);
        }
        assert_true(rig_quiet(r));
        for (uint32_t i = 1; i < 3; i++) {
            r->r2t_lun = rc[i].c.lun;
            rig_r2t(r, c[i].itt, 50 + i, 0, 65536, 8192);
            RIG_TAKE(r, data_out, &data);
            assert_int_equal(data.ttt, 50 + i);
            assert_true(data.final && rig_quiet(r));
        }
        rig_free(r);
        for (int i = 0; i < 3; i++)
            rig_command_fini(&rc[i]);
    }
    PROVES("R7143-4.2.3.4-05", "initiator");
    PROVES("R7143-4.2.3.5-04", "initiator");
    PROVES("R7143-11.9.1-12", "initiator");
    PROVES("R7143-11.9.1-13", "initiator");
    PROVES("R7143-11.18-03", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_passed_on),
        cmocka_unit_test(one_of_two_connections_is_asked_to_leave),
        cmocka_unit_test(a_request_to_leave_is_honoured_in_time),
        cmocka_unit_test(a_command_that_crosses_the_request_is_told_as_never_sent),
        cmocka_unit_test(what_aborts_a_command_that_crosses_the_request_takes_its_number),
        cmocka_unit_test(too_many_immediate_commands_are_busy),
        cmocka_unit_test(below_level_2_a_drop_notice_ends_the_session),
        cmocka_unit_test(drop_notices_begin_recovery_with_their_times),
        cmocka_unit_test(a_request_to_negotiate_is_honoured_there),
        cmocka_unit_test(a_new_segment_length_is_declared_on_every_connection),
        cmocka_unit_test(long_texts_pass_in_pieces),
        cmocka_unit_test(a_rejected_text_is_told),
        cmocka_unit_test(fast_abort_stops_data_out),
        cmocka_unit_test(terminated_tasks_are_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
