/* Goal: the initiator's timers to the nanosecond, its limits at their value and one beyond, and data in the
 * oddest pieces. Method: a scripted target (initiator_harness.h); every timer is announced by ini_deadline,
 * does nothing one nanosecond early, and fires on time. */
#include "tests/unit/initiator_harness.h"

#include "initiator/iscsi/states.h"

static void wakes_in(struct rig *r, uint64_t ns)
{
    assert_int_equal(ini_deadline(r->s) - r->now, ns);
    rig_advance(r, ns - 1);
    assert_true(rig_quiet(r));
    assert_int_equal(ini_deadline(r->s) - r->now, 1);
    rig_advance(r, 1);
}

/* ---- timers ---- */

static void a_login_has_its_time(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->options.login_timeout_ns = 7 * RIG_SECOND;
    rig_begin(r);
    rig_take(r, PDU_OP_login_request);
    wakes_in(r, 7 * RIG_SECOND);
    assert_true(rig_closing(r));
    rig_free(r);
}

static void silence_is_pinged_and_then_given_up(void **state)
{
    (void)state;
    struct pdu_nop_out ping;
    struct rig *r = rig_new();
    r->options.nop_interval_ns = 6 * RIG_SECOND;
    r->options.nop_timeout_ns = 4 * RIG_SECOND;
    rig_begin(r);
    rig_login(r);
    wakes_in(r, 6 * RIG_SECOND);
    RIG_TAKE(r, nop_out, &ping);
    assert_true(ping.immediate);
    assert_int_equal(ping.ttt, PDU_TAG_RESERVED);
    assert_int_equal(ini_deadline(r->s) - r->now, 4 * RIG_SECOND);
    /* Anything that is heard will do. */
    rig_advance(r, RIG_SECOND);
    RIG_PDU(r, nop_in, in);
    in.itt = ping.itt;
    in.ttt = PDU_TAG_RESERVED;
    in.stat_sn = r->stat_sn++;
    RIG_SEND(r, nop_in, &in, NULL, 0);
    rig_advance(r, 3 * RIG_SECOND); /* what was asked is over */
    assert_true(rig_quiet(r));
    wakes_in(r, 3 * RIG_SECOND);
    RIG_TAKE(r, nop_out, &ping);
    wakes_in(r, 4 * RIG_SECOND);
    rig_expect_failure(r, "pings");
    rig_free(r);
}

static void a_logout_waits_five_seconds_for_its_answer(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->options.nop_interval_ns = 0;
    rig_begin(r);
    rig_login(r);
    assert_int_equal(ini_deadline(r->s), UINT64_MAX);
    assert_int_equal(ini_logout(r->s), 0);
    rig_pump(r);
    struct pdu_logout_request out;
    RIG_TAKE(r, logout_request, &out);
    assert_int_equal(out.reason, 0);
    assert_int_equal(out.cid, 0);
    assert_int_equal(ini_logout(r->s), 0); /* once is enough */
    wakes_in(r, 5 * RIG_SECOND);
    rig_expect_failure(r, "logout");
    rig_free(r);
}

static void a_target_that_asks_for_logout_gets_it_in_time(void **state)
{
    (void)state;
    struct rig_command rc;
    struct rig *r = rig_new();
    r->options.nop_interval_ns = 0;
    rig_begin(r);
    rig_login(r);
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    rig_take_command(r);
    RIG_PDU(r, async_message, pdu);
    pdu.itt = PDU_TAG_RESERVED;
    pdu.async_event = 1;
    pdu.parameter3 = 9;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, async_message, &pdu, NULL, 0);
    rig_event(r, INI_EVENT_ASYNC);
    wakes_in(r, 9 * RIG_SECOND /
                    2); /* the command is not done: half of the time is for it, half for the logout */
    rig_take(r, PDU_OP_logout_request);
    assert_int_equal(ini_deadline(r->s) - r->now, 5 * RIG_SECOND);
    rig_free(r);
    rig_command_fini(&rc);
}

/* ---- recovery ---- */

static struct rig *at_level(uint32_t level, uint64_t timeout_ns)
{
    struct rig *r = rig_new();
    r->options.keys.max_connections = r->key_config.max_connections = RIG_LINKS;
    r->options.keys.error_recovery_level = r->key_config.error_recovery_level = level;
    r->options.keys.default_time2wait = r->key_config.default_time2wait = 3;
    r->options.keys.default_time2retain = r->key_config.default_time2retain = 4;
    r->options.nop_interval_ns = 0;
    r->options.recovery_timeout_ns = timeout_ns;
    rig_begin(r);
    rig_login(r);
    return r;
}

static void missing_data_is_asked_for_eight_times(void **state)
{
    (void)state;
    struct rig_command rc;
    uint8_t data[1024] = {0};
    struct rig *r = at_level(1, 2 * RIG_SECOND);
    rig_command(r, &rc, false, 1024, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    RIG_PDU(r, nop_in, news); /* ExpCmdSN: the command has arrived */
    news.itt = news.ttt = PDU_TAG_RESERVED;
    news.stat_sn = r->stat_sn;
    RIG_SEND(r, nop_in, &news, NULL, 0);
    rig_advance(r, 2 * RIG_SECOND);
    assert_true(rig_quiet(r));
    rig_data_in(r, itt, 1, 512, data, 512, true);
    struct pdu_snack_request snack;
    for (uint32_t i = 0; i < 9; i++) {
        RIG_TAKE(r, snack_request, &snack);
        assert_int_equal(snack.itt, itt);
        assert_int_equal(snack.lun, rc.c.lun);
        assert_int_equal(snack.beg_run, 0);
        assert_int_equal(snack.run_length, 1);
        assert_int_equal(ini_counters(r->s)->snacks[0], i + 1);
        assert_false(rig_closing(r));
        wakes_in(r, 2 * RIG_SECOND);
    }
    rig_expect_failure(r, "missing data");
    rig_free(r);
    rig_command_fini(&rc);
}

static void missing_answers_are_asked_for_eight_times(void **state)
{
    (void)state;
    struct rig *r = at_level(1, 0); /* 0: a second */
    RIG_PDU(r, nop_in, in);
    in.itt = in.ttt = PDU_TAG_RESERVED;
    in.stat_sn = r->stat_sn + 3; /* three are missing */
    RIG_SEND(r, nop_in, &in, NULL, 0);
    struct pdu_snack_request snack;
    for (uint32_t i = 0; i < 9; i++) {
        RIG_TAKE(r, snack_request, &snack);
        assert_int_equal(snack.type, 1);
        assert_int_equal(snack.beg_run, r->stat_sn);
        assert_int_equal(snack.run_length, 3);
        assert_int_equal(snack.exp_stat_sn, r->stat_sn);
        assert_int_equal(ini_counters(r->s)->snacks[1], i + 1);
        assert_false(rig_closing(r));
        wakes_in(r, RIG_SECOND);
    }
    rig_expect_failure(r, "missing response");
    rig_free(r);
}

static void numbers_that_are_too_far_end_the_connection(void **state)
{
    (void)state;
    for (int level = 0; level < 2; level++)
        for (int too_far = 0; too_far < 2; too_far++)
            for (int uses = 0; uses < 2; uses++) {
                if (!level && !uses)
                    continue; /* what uses none up is not looked at */
                struct rig *r = at_level((uint32_t)level, 0);
                RIG_PDU(r, async_message, a);
                RIG_PDU(r, nop_in, in);
                a.itt = in.itt = in.ttt = PDU_TAG_RESERVED;
                a.async_event = 255;
                a.stat_sn = in.stat_sn = r->stat_sn + 1024 + (uint32_t)too_far;
                if (uses)
                    RIG_SEND(r, async_message, &a, NULL, 0);
                else
                    RIG_SEND(r, nop_in, &in, NULL, 0);
                assert_int_equal(rig_closing(r), too_far);
                if (too_far)
                    rig_expect_failure(r, "StatSN");
                rig_free(r);
            }
    PROVES("R7143-4.2.2.2-04", "initiator");
}

/* Whatever the target says of it. */
static void discovery_has_no_recovery(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->options.target_name[0] = 0;
    r->options.keys.error_recovery_level = 2;
    r->options.nop_interval_ns = 0;
    rig_begin(r);
    struct rig_pdu *pdu = rig_take(r, PDU_OP_login_request);
    struct pdu_login_response ok = rig_login_response(r, pdu, true);
    RIG_SEND(r, login_response, &ok, "AuthMethod=None", 16);
    pdu = rig_take(r, PDU_OP_login_request);
    ok = rig_login_response(r, pdu, false);
    RIG_SEND(r, login_response, &ok, "ErrorRecoveryLevel=2", 21);
    rig_expect_failure(r, "ErrorRecoveryLevel"); /* 0 was offered: there is nothing to choose */
    rig_free(r);
    PROVES("R7143-7.4.1-02", "initiator");
}

static void a_status_snack_that_is_refused_ends_the_connection(void **state)
{
    (void)state;
    for (int other = 0; other < 2; other++) {
        struct rig *r = at_level(1, 0);
        RIG_PDU(r, nop_in, in);
        in.itt = in.ttt = PDU_TAG_RESERVED;
        in.stat_sn = r->stat_sn + 1;
        RIG_SEND(r, nop_in, &in, NULL, 0);
        uint8_t bhs[PDU_BHS_LEN];
        memcpy(bhs, rig_take(r, PDU_OP_snack_request)->bhs, sizeof bhs);
        if (other)
            be32_put(bhs + 40, r->stat_sn + 7); /* not what we have asked for */
        RIG_PDU(r, reject, pdu);
        pdu.reason = 3;
        pdu.stat_sn = r->stat_sn + 1;
        RIG_SEND(r, reject, &pdu, bhs, sizeof bhs);
        r->stat_sn++;
        rig_free(r);
    }
}

static void a_lost_connection_is_wanted_back_until_its_time_is_over(void **state)
{
    (void)state;
    struct rig_command rc;
    struct rig *r = at_level(2, 60 * RIG_SECOND);
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    rig_take_command(r);
    RIG_PDU(r, nop_in, news);
    news.itt = news.ttt = PDU_TAG_RESERVED;
    news.stat_sn = r->stat_sn;
    RIG_SEND(r, nop_in, &news, NULL, 0);
    uint64_t cut = r->now;
    rig_cut(r, ERR_RESET);
    assert_int_equal(rig_event(r, INI_EVENT_CONN_WANTED)->event.value_ns, cut + 3 * RIG_SECOND);
    assert_int_equal(ini_deadline(r->s), cut + 3 * RIG_SECOND);
    rig_advance(r, 3 * RIG_SECOND);
    assert_int_equal(ini_deadline(r->s), cut + 7 * RIG_SECOND + 1);
    ini_connect_failed(r->s);
    rig_pull_events(r);
    assert_int_equal(rig_event(r, INI_EVENT_CONN_WANTED)->event.value_ns, r->now + RIG_SECOND);
    rig_advance(r, 4 * RIG_SECOND);
    assert_int_equal(rc.reported, 0);
    assert_false(rig_closed(r));
    rig_advance(r, 1);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.outcome, INI_DONE_LOST);
    assert_true(rig_closed(r));
    assert_int_equal(ini_deadline(r->s), UINT64_MAX);
    assert_int_equal(ini_transitions(r->s)->cleanup[0], 1); /* M1, once */
    assert_int_equal(ini_transitions(r->s)->session[4], 1); /* N6 */
    assert_ptr_equal(r->conn, NULL);
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-8.2.2-01", "initiator");
    PROVES("R7143-7.5-01", "initiator");
    PROVES("R7143-7.5-02", "initiator");
    PROVES("R7143-8.3.4-03", "initiator");
}

/* Up to the last byte that was asked for and in order of offset: not one byte more, not at another place. */
static void data_in_keeps_to_its_place(void **state)
{
    (void)state;
    static const struct {
        uint32_t offset, len;
        const char *wrong;
    } rows[] = {{512, 512, NULL},
                {512, 513, "more data than asked for"},
                {513, 512, "more data than asked for"},
                {508, 512, "wrong offset"},
                {516, 508, "wrong offset"},
                {0, 512, "wrong offset"}};
    for (uint32_t level = 0; level < 2; level++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct rig_command rc;
            uint8_t data[1024];
            memset(data, 0xa5, sizeof data);
            struct rig *r = at_level(level, 0);
            rig_command(r, &rc, false, 1024, 1);
            rig_submit(r, &rc);
            uint32_t itt = rig_take_command(r).itt;
            rig_data_in(r, itt, 0, 0, data, 512, false);
            rig_data_in(r, itt, 1, rows[i].offset, data, rows[i].len, true);
            assert_int_equal(rc.data[1024], 0);
            if (rows[i].wrong) {
                rig_expect_failure(r, rows[i].wrong);
            } else {
                rig_response(r, itt, 0, NULL, 0);
                assert_int_equal(rc.reported, 1);
                assert_int_equal(rc.c.in_done, 1024);
                assert_memory_equal(rc.data, data, 1024);
            }
            rig_free(r);
            rig_command_fini(&rc);
        }
    PROVES("R7143-11.7.6-01", "initiator");
    PROVES("R7143-11.7.6-02", "initiator");
}

/* As long as was declared, and not four bytes more. */
static void segments_are_as_long_as_was_declared(void **state)
{
    (void)state;
    for (uint32_t more = 0; more < 2; more++) {
        struct rig_command rc;
        static uint8_t data[16384 + 4];
        struct rig *r = rig_new();
        r->options.nop_interval_ns = 0;
        r->options.keys.max_recv_data_segment_length = 16384;
        rig_begin(r);
        rig_login(r);
        rig_command(r, &rc, false, 32768, 1);
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt;
        rig_data_in(r, itt, 0, 0, data, 16384 + 4 * more, true);
        assert_int_equal(rig_closing(r), more);
        assert_int_equal(rc.c.in_done, more ? 0 : 16384);
        rig_free(r);
        rig_command_fini(&rc);
    }
    PROVES("R7143-13.12-02", "initiator");
}

/* A tag comes back only after many others: late answers must not meet a new task. */
static void tags_do_not_come_back_soon(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    uint32_t seen[100];
    for (uint32_t i = 0; i < 100; i++) {
        struct rig_command rc;
        rig_command(r, &rc, false, 0, 0);
        rig_submit(r, &rc);
        seen[i] = rig_take_command(r).itt;
        assert_int_not_equal(seen[i], PDU_TAG_RESERVED);
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(seen[i], seen[k]);
        rig_response(r, seen[i], 0, NULL, 0);
        assert_int_equal(rc.reported, 1);
        rig_command_fini(&rc);
    }
    rig_free(r);
}

/* ---- the window ---- */

enum carrier { NOP, ASYNC, RESPONSE, DATA, R2T, TEXT, TMF, REJECT, LOGOUT, CARRIERS };

/* Whatever the target sends, it opens the window. */
static void every_answer_carries_the_window(void **state)
{
    (void)state;
    for (int carrier = 0; carrier < CARRIERS; carrier++) {
        struct rig_command a, b;
        uint32_t tag;
        struct rig *r = rig_new();
        r->options.nop_interval_ns = 0;
        r->options.keys.max_connections = r->key_config.max_connections = 2;
        r->key_config.initial_r2t = true;
        r->key_config.immediate_data = false;
        r->max_cmd_sn = 1;
        rig_begin(r);
        rig_login(r);
        r->max_cmd_sn = 1;
        if (carrier == LOGOUT) { /* of another connection */
            rig_join(r, 1);
            rig_use(r, 0);
        }
        rig_command(r, &a, carrier == R2T, 512, 1);
        rig_command(r, &b, false, 512, 1);
        rig_submit(r, &a);
        rig_submit(r, &b);
        struct pdu_scsi_command cmd;
        RIG_TAKE(r, scsi_command, &cmd);
        if (carrier == TEXT)
            assert_int_equal(ini_send_targets(r->s, ""), 0);
        if (carrier == TMF)
            assert_int_equal(ini_task_management(r->s, 1, a.c.lun, &a.c, &tag), 0);
        if (carrier == LOGOUT) {
            rig_use(r, 1);
            assert_int_equal(ini_conn_logout(r->conn), 0);
        }
        rig_pump(r);
        uint32_t itt = carrier == TEXT     ? pdu_itt(rig_take(r, PDU_OP_text_request)->bhs)
                       : carrier == TMF    ? pdu_itt(rig_take(r, PDU_OP_task_management_request)->bhs)
                       : carrier == LOGOUT ? pdu_itt(rig_take(r, PDU_OP_logout_request)->bhs)
                                           : cmd.itt;
        assert_true(rig_quiet(r)); /* the other one waits */
        r->exp_cmd_sn = r->max_cmd_sn = 2;
#define CARRY(type, text, text_len, ...)                                                                     \
    do {                                                                                                     \
        RIG_PDU(r, type, pdu);                                                                               \
        pdu.itt = itt;                                                                                       \
        __VA_ARGS__;                                                                                         \
        RIG_SEND(r, type, &pdu, text, text_len);                                                             \
    } while (0)
        switch (carrier) {
        case NOP:
            CARRY(nop_in, NULL, 0, pdu.itt = pdu.ttt = PDU_TAG_RESERVED, pdu.stat_sn = r->stat_sn);
            break;
        case ASYNC:
            CARRY(async_message, NULL, 0, pdu.itt = PDU_TAG_RESERVED, pdu.async_event = 255,
                  pdu.stat_sn = r->stat_sn++);
            break;
        case RESPONSE:
            CARRY(scsi_response, NULL, 0, pdu.stat_sn = r->stat_sn++);
            break;
        case DATA:
            CARRY(data_in, a.data, 256, pdu.ttt = PDU_TAG_RESERVED);
            break;
        case R2T:
            CARRY(r2t, NULL, 0, pdu.ttt = 5, pdu.stat_sn = r->stat_sn, pdu.lun = a.c.lun,
                  pdu.desired_data_transfer_length = 512);
            rig_take(r, PDU_OP_data_out);
            break;
        case TEXT:
            CARRY(text_response, NULL, 0, pdu.ttt = PDU_TAG_RESERVED, pdu.final = 1,
                  pdu.stat_sn = r->stat_sn++);
            break;
        case TMF:
            CARRY(task_management_response, NULL, 0, pdu.stat_sn = r->stat_sn++);
            break;
        case REJECT: {
            uint8_t bhs[PDU_BHS_LEN] = {PDU_OP_snack_request | 0x40, 0x81}; /* of nothing that matters */
            CARRY(reject, bhs, sizeof bhs, pdu.itt = PDU_TAG_RESERVED, pdu.reason = 4,
                  pdu.stat_sn = r->stat_sn++);
            break;
        }
        case LOGOUT:
            CARRY(logout_response, NULL, 0, pdu.stat_sn = r->stat_sn++);
            rig_use(r, 0);
            break;
        }
        if (carrier != REJECT || !rig_closing(r)) { /* a Reject may also end it all */
            RIG_TAKE(r, scsi_command, &cmd);
            assert_int_equal(cmd.cmd_sn, 2);
        }
        rig_free(r);
        rig_command_fini(&a);
        rig_command_fini(&b);
    }
}

/* A command whose immediate data is damaged each time. */
static void a_command_is_sent_again_eight_times(void **state)
{
    (void)state;
    struct rig_command rc;
    uint8_t bhs[PDU_BHS_LEN];
    struct rig *r = at_level(1, 0);
    rig_command(r, &rc, true, 512, 1);
    rig_submit(r, &rc);
    for (uint32_t i = 0; i < 9; i++) {
        memcpy(bhs, rig_take(r, PDU_OP_scsi_command)->bhs, sizeof bhs);
        assert_int_equal(ini_counters(r->s)->retries, i);
        assert_false(rig_closing(r));
        RIG_PDU(r, reject, pdu);
        pdu.reason = 2;
        pdu.stat_sn = r->stat_sn++;
        RIG_SEND(r, reject, &pdu, bhs, sizeof bhs);
    }
    assert_true(rig_quiet(r));
    assert_int_equal(ini_counters(r->s)->retries, 8);
    rig_free(r);
    rig_command_fini(&rc);
}

/* ---- data in odd pieces ---- */

/* Every PDU but the last of a sequence is a multiple of four bytes long; no byte is lost between the places.
 */
static void write_in_pieces(const uint32_t *len, uint32_t count, uint32_t max)
{
    struct rig_command rc;
    uint32_t total = 0, at = 0, sn = 0;
    struct rig *r = rig_new();
    r->options.nop_interval_ns = 0;
    r->key_config.max_recv_data_segment_length = max;
    r->key_config.immediate_data = false;
    r->key_config.initial_r2t = true;
    rig_begin(r);
    rig_login(r);
    for (uint32_t i = 0; i < count; i++)
        total += len[i];
    rig_command(r, &rc, true, total, 1);
    for (uint32_t i = 0; i < count; i++) {
        rc.vec[i] = (struct io_vec){rc.data + at, len[i]};
        at += len[i];
    }
    rc.c.out_count = count;
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    assert_int_equal(r->pdu.len, 0);
    rig_r2t(r, itt, 0x77, 0, 0, total);
    at = 0;
    while (at < total) {
        struct pdu_data_out out;
        RIG_TAKE(r, data_out, &out);
        assert_int_equal(out.itt, itt);
        assert_int_equal(out.ttt, 0x77);
        assert_int_equal(out.lun, rc.c.lun);
        assert_int_equal(out.data_sn, sn++);
        assert_int_equal(out.buffer_offset, at);
        assert_int_equal(out.exp_stat_sn, r->stat_sn);
        assert_true(r->pdu.len > 0 && r->pdu.len <= max);
        assert_memory_equal(r->pdu.data, rc.data + at, r->pdu.len);
        at += r->pdu.len;
        assert_int_equal(out.final, at == total);
        if (!out.final)
            assert_int_equal(r->pdu.len % 4, 0);
    }
    assert_int_equal(at, total);
    rig_response(r, itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.status, 0);
    rig_free(r);
    rig_command_fini(&rc);
}

static void scattered_data_is_sent_whole(void **state)
{
    (void)state;
    static const uint32_t pieces[][8] = {
        {512},
        {1, 511},
        {3, 1, 508},
        {1, 1, 1, 1, 1, 1, 1, 505},
        {4, 508},
        {5, 3, 504},
        {511, 1},
        {509, 3},
        {1021, 2, 1},
        {513, 2, 2, 7},
        {2, 4096, 3, 4000, 1},
        {1, 600, 1, 600, 1, 600, 1, 4},
        {3, 3, 3, 3},
        {512, 512},
        {7, 9},
        {1},
        {2, 2},
        {600, 3, 700},
        {1, 2, 3, 4, 5, 6, 7, 8},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        uint32_t count = 0;
        while (count < 8 && pieces[i][count])
            count++;
        write_in_pieces(pieces[i], count, 512);
        write_in_pieces(pieces[i], count, 515); /* of which only 512 are used */
        write_in_pieces(pieces[i], count, 8192);
    }
}

/* ---- what callers may not do ---- */

static void impossible_commands_are_refused(void **state)
{
    (void)state;
    struct rig_command rc;
    struct rig *r = rig_up();
    rig_command(r, &rc, false, 512, 1);
    rc.c.cdb_len = 261;
    assert_int_equal(ini_submit(r->s, &rc.c), ERR_INVALID);
    rc.c.cdb_len = 10;
    rc.c.in_len = 1ull << 32;
    assert_int_equal(ini_submit(r->s, &rc.c), ERR_INVALID);
    rc.c.in_len = 512;
    rc.c.out_len = 1ull << 32;
    assert_int_equal(ini_submit(r->s, &rc.c), ERR_INVALID);
    rc.c.out_len = 0;
    assert_int_equal(ini_outstanding(r->s), 0);
    assert_int_equal(ini_set_max_recv(r->s, 511), ERR_RANGE);
    char text[16386] = {0};
    assert_int_equal(ini_text(r->s, text, 16385), ERR_TOOBIG);
    memset(text, 'x', 400);
    assert_int_equal(ini_send_targets(r->s, text), ERR_INVALID);
    rc.c.cdb_len = 77;
    assert_int_equal(ini_submit(r->s, &rc.c), ERR_INVALID);
    rc.c.cdb_len = 76; /* of the AHS that we send: 3 bytes of header, 1 reserved, 60 of CDB */
    rig_submit(r, &rc);
    rig_take_command(r);
    assert_int_equal(r->pdu.ahs_len, 64);
    rig_response(r, rc.c.itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    ini_abandon(r->s, "enough");
    assert_int_equal(ini_submit(r->s, &rc.c), ERR_CLOSED);
    assert_int_equal(ini_text(r->s, text, 1), ERR_CLOSED);
    assert_int_equal(ini_set_max_recv(r->s, 512), ERR_CLOSED);
    assert_int_equal(ini_logout(r->s), ERR_CLOSED);
    uint32_t tag;
    assert_int_equal(ini_ping(r->s, NULL, 0, &tag), ERR_CLOSED);
    assert_int_equal(ini_task_management(r->s, 5, 0, NULL, &tag), ERR_CLOSED);
    assert_int_equal(ini_conn_new(r->s, r, &r->conn), ERR_CLOSED);
    rig_free(r);
    rig_command_fini(&rc);
}

static void only_one_text_at_a_time(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    assert_int_equal(ini_send_targets(r->s, ""), 0);
    rig_pump(r);
    assert_int_equal(ini_send_targets(r->s, ""), ERR_BUSY);
    rig_text_response(r, rig_take_text(r).itt, PDU_TAG_RESERVED, false,
                      "TargetName=iqn.2026-01.com.example:disk", 40);
    struct rig_event *e = rig_event(r, INI_EVENT_TEXT_DONE);
    assert_int_equal(e->event.text_len, 40);
    assert_string_equal(e->text, "TargetName=iqn.2026-01.com.example:disk");
    assert_int_equal(ini_send_targets(r->s, ""), 0);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_has_its_time),
        cmocka_unit_test(silence_is_pinged_and_then_given_up),
        cmocka_unit_test(a_logout_waits_five_seconds_for_its_answer),
        cmocka_unit_test(a_target_that_asks_for_logout_gets_it_in_time),
        cmocka_unit_test(missing_data_is_asked_for_eight_times),
        cmocka_unit_test(missing_answers_are_asked_for_eight_times),
        cmocka_unit_test(numbers_that_are_too_far_end_the_connection),
        cmocka_unit_test(discovery_has_no_recovery),
        cmocka_unit_test(a_status_snack_that_is_refused_ends_the_connection),
        cmocka_unit_test(a_lost_connection_is_wanted_back_until_its_time_is_over),
        cmocka_unit_test(data_in_keeps_to_its_place),
        cmocka_unit_test(segments_are_as_long_as_was_declared),
        cmocka_unit_test(tags_do_not_come_back_soon),
        cmocka_unit_test(every_answer_carries_the_window),
        cmocka_unit_test(a_command_is_sent_again_eight_times),
        cmocka_unit_test(scattered_data_is_sent_whole),
        cmocka_unit_test(impossible_commands_are_refused),
        cmocka_unit_test(only_one_text_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
