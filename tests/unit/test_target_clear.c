/* What each event clears at the target (RFC 7143 appendix E.1), and how long what is not cleared is kept
 * (7.5, 13.15, 13.16). Method: one session of two connections at recovery level 2, with one of everything: a
 * write whose data is asked for, an immediate command and a read in the store, a command ahead of its turn,
 * all on the first connection, and a read on the second. Then the event; then the outside view: what a
 * reassignment, an old tag, a NOP-Out and the gap's missing command bring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/iscsi/serial.h"
#include "proves.h"
#include "target_recovery.h"

static struct world w;
static struct client c, d, e; /* connections 1 and 2; what comes afterwards */
static uint8_t want[64 * 1024];

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    memset(&e, 0, sizeof e);
    world_init(&w);
    world_recovers(&w);
    for (uint32_t i = 0; i < 2; i++)
        w.config->targets[i].keys.task_reporting =
            (struct key_choices){2, {KEY_TASK_REPORTING_FAST_ABORT, KEY_TASK_REPORTING_RFC3720}};
    world_start(&w);
    client_init(&c, &w);
    pattern(w.rams[0].data, sizeof want, 3);
    memcpy(want, w.rams[0].data, sizeof want);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    w.delay = false;
    world_release(&w);
    client_fini(&c);
    client_fini(&d);
    client_fini(&e);
    world_fini(&w);
    return 0;
}

/* ---- one of everything ---- */

struct held { /* tags and numbers */
    uint32_t write, ttt, immediate, read, other, gap;
};

/* What has come to a connection: everything is taken. */
struct heard {
    uint32_t data[4], statuses[4]; /* tags */
    uint32_t data_count, status_count, asyncs, rejects;
};
static void note(uint32_t *list, uint32_t *count, uint32_t itt)
{
    if (*count < 4)
        list[(*count)++] = itt;
}
static bool is_in(const uint32_t *list, uint32_t count, uint32_t itt)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == itt)
            return true;
    return false;
}
static void listen(struct client *who, struct heard *h)
{
    struct reply *r;
    *h = (struct heard){0};
    while ((r = client_reply(who)) != NULL) {
        uint8_t op = pdu_opcode(r->bhs);
        if (op == PDU_OP_data_in)
            note(h->data, &h->data_count, pdu_itt(r->bhs));
        if (op == PDU_OP_scsi_response)
            note(h->statuses, &h->status_count, pdu_itt(r->bhs));
        h->asyncs += op == PDU_OP_async_message;
        h->rejects += op == PDU_OP_reject;
        if (op == PDU_OP_scsi_response || op == PDU_OP_async_message || op == PDU_OP_reject ||
            op == PDU_OP_task_management_response)
            who->exp_stat_sn = be32_get(r->bhs + 24) + 1;
    }
}

static struct pdu_scsi_command on(struct client *who, bool read, bool write, uint32_t lba, uint16_t blocks,
                                  bool immediate)
{
    who->cmd_sn = c.cmd_sn;
    struct pdu_scsi_command p = command(who, read, write, blocks * BLOCK);
    cdb_rw(p.cdb, write, lba, blocks);
    if (immediate) {
        p.immediate = 1;
        who->cmd_sn--;
    }
    c.cmd_sn = d.cmd_sn = who->cmd_sn;
    return p;
}

static struct held fill(const char *keys)
{
    struct held h;
    char text[300];
    snprintf(text, sizeof text,
             "InitialR2T=Yes\nImmediateData=No\nDefaultTime2Wait=2\nDefaultTime2Retain=20%s%s",
             keys[0] ? "\n" : "", keys);
    client_login_level(&c, 2, text);
    client_settle(&c, 0);
    client_settle(&c, 1);
    acknowledge_status(&c);
    client_join(&d, &c, 2, "");
    w.delay = true;
    struct pdu_scsi_command p = on(&c, false, true, 0, 16, false);
    command_send(&c, &p, NULL, 0);
    h.write = p.itt;
    h.ttt = expect_r2t(&c).ttt;
    p = on(&c, true, false, 0, 8, true);
    command_send(&c, &p, NULL, 0);
    h.immediate = p.itt;
    p = on(&c, true, false, 0, 8, false);
    command_send(&c, &p, NULL, 0);
    h.read = p.itt;
    p = on(&d, true, false, 0, 8, false);
    command_send(&d, &p, NULL, 0);
    h.other = p.itt;
    h.gap = c.cmd_sn++;
    p = on(&c, true, false, 0, 1, false);
    command_send(&c, &p, NULL, 0); /* ahead of its turn */
    assert_true(client_quiet(&c) && client_quiet(&d));
    return h;
}

/* ---- the events ---- */

enum event {
    FAILURE,
    STATE_TIMEOUT,
    SESSION_TIMEOUT,
    SESSION_CLOSURE,
    SESSION_REINSTATEMENT,
    CLOSE_LOGOUT,
    RECOVERY_LOGOUT,
    SESSION_FAILURE,
    FAILED_LOGOUT,
    LU_RESET,
    WARM_RESET,
    COLD_RESET
};

/* Numbered as the session is, whichever connection it goes to. */
static void log_out(struct client *who, uint8_t reason, uint16_t cid)
{
    who->cmd_sn = c.cmd_sn;
    logout_send(who, reason, cid, who->itt++);
}

/* With `cmd_sn` it says which commands it covers: those before. */
static void function_send(struct client *who, uint8_t function, uint32_t cmd_sn)
{
    struct pdu_task_management_request p = tmf_request(who, function, 0, PDU_TAG_RESERVED, 0);
    p.cmd_sn = cmd_sn;
    tmf_send(who, &p);
}

static void happen(enum event event, const struct held *h)
{
    struct pdu_data_out out = data_out(h->write, h->ttt, 0, 0, true);
    switch (event) {
    case FAILURE:
        client_cut(&c);
        break;
    case STATE_TIMEOUT:
        client_cut(&c);
        world_pass(&w, 22 * SECOND_NS);
        break;
    case SESSION_TIMEOUT:
        client_cut(&c);
        client_cut(&d);
        world_pass(&w, 22 * SECOND_NS);
        break;
    case SESSION_CLOSURE:
        log_out(&d, 0, 0);
        break;
    case SESSION_REINSTATEMENT: /* the answer comes when the store has let go */
    case SESSION_FAILURE:
        if (event == SESSION_FAILURE) {
            client_cut(&c);
            client_cut(&d);
        }
        break;
    case CLOSE_LOGOUT:
        log_out(&d, 1, 1);
        break;
    case RECOVERY_LOGOUT:
        log_out(&d, 2, 1);
        break;
    case FAILED_LOGOUT: /* no memory to remember the connection by */
        c.stuck = true;
        w.fail_alloc = 1;
        log_out(&c, 2, 1);
        w.fail_alloc = 0;
        client_unstick(&c);
        break;
    case LU_RESET:
    case WARM_RESET:
    case COLD_RESET:
        function_send(&d, event == LU_RESET ? 5 : event == WARM_RESET ? 6 : 7, h->gap);
        if (!c.closed)
            data_out_send(&c, &out, want, 8192); /* what was asked for is waited for */
        break;
    }
    w.delay = false;
    world_release(&w);
}

static uint16_t try_join(struct client *who, uint16_t cid)
{
    client_init(who, &w);
    who->tsih = c.tsih;
    who->cid = cid;
    return login_status(client_login_step(who, 1, 3, NAMES "\nSessionType=Normal"));
}

/* The number that the session expects next, by a ping. */
static uint32_t expected(struct client *who)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_nop_out p;
    struct pdu_nop_in in;
    pdu_nop_out_init(&p);
    p.immediate = 1;
    p.itt = who->itt++;
    p.cmd_sn = c.cmd_sn;
    p.exp_stat_sn = who->exp_stat_sn;
    pdu_nop_out_encode(&p, bhs);
    client_send(who, bhs, NULL, 0);
    pdu_nop_in_decode(client_expect(who, PDU_OP_nop_in)->bhs, &in);
    assert_int_equal(in.stat_sn, who->exp_stat_sn); /* its own row of numbers goes on */
    who->exp_stat_sn = in.stat_sn + 1;
    return in.exp_cmd_sn;
}

/* Data for the old tag does nothing: it is refused, or dropped when it may have been under way. */
static bool tag_is_dead(struct client *who, const struct held *h)
{
    static uint8_t other[8192];
    struct pdu_data_out out = data_out(h->write, h->ttt, 0, 0, true);
    struct heard heard;
    pattern(other, sizeof other, 99);
    data_out_send(who, &out, other, sizeof other);
    listen(who, &heard);
    return heard.data_count + heard.status_count == 0 && memcmp(w.rams[0].data, want, sizeof want) == 0;
}

/* The missing command comes on the other connection. Does the one behind it count as received? */
static bool discontiguous_is_gone(const struct held *h)
{
    struct heard heard;
    assert_int_equal(expected(&d), h->gap);
    struct pdu_scsi_command p = on(&d, false, false, 0, 0, false);
    p.cmd_sn = h->gap;
    memset(p.cdb, 0, sizeof p.cdb);
    command_send(&d, &p, NULL, 0);
    listen(&d, &heard);
    return expected(&d) == h->gap + 1;
}

/* ---- one connection of several ---- */

static void connection_failure_keeps_the_tasks(void **state)
{
    (void)state;
    struct held h = fill("");
    struct heard heard;
    happen(FAILURE, &h);
    listen(&d, &heard);
    assert_int_equal(heard.asyncs, 1);
    assert_true(is_in(heard.data, heard.data_count, h.other)); /* session tasks go on */
    assert_true(is_in(heard.statuses, heard.status_count, h.other));
    assert_int_equal(expected(&d), h.gap);
    assert_int_equal(logout_of(&d, 2, 1).response, 0);
    assert_int_equal(reassign(&d, h.immediate, 0), 1); /* immediate commands do not */
    assert_int_equal(reassign(&d, h.read, 0), 0);
    listen(&d, &heard);
    assert_true(is_in(heard.data, heard.data_count, h.read));
    assert_int_equal(reassign(&d, h.write, 0), 0);
    struct pdu_r2t r2t = expect_r2t(&d);
    assert_int_not_equal(r2t.ttt, h.ttt);
    assert_true(tag_is_dead(&d, &h)); /* nor incomplete tags */
    struct pdu_data_out out = data_out(h.write, r2t.ttt, 0, 0, true);
    data_out_send(&d, &out, want, 8192);
    assert_int_equal(expect_response(&d).status, 0);
    PROVES("R7143-E.1-01", "target");
}

static void half_a_pdu_goes_with_its_connection(void **state)
{
    (void)state;
    struct held h = fill("");
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_data_out out = data_out(h.write, h.ttt, 0, 0, true);
    pdu_data_out_encode(&out, bhs);
    be24_put(bhs + 5, 8192);
    client_bytes(&c, bhs, sizeof bhs);
    client_bytes(&c, want, 1000);
    client_push(&c);
    happen(FAILURE, &h);
    assert_int_equal(client_reply(&d) != NULL, 1);
    struct heard heard;
    listen(&d, &heard);
    assert_int_equal(logout_of(&d, 2, 1).response, 0);
    assert_int_equal(reassign(&d, h.write, 0), 0);
    struct pdu_r2t r2t = expect_r2t(&d);
    assert_int_equal(r2t.buffer_offset, 0); /* from the beginning: the half counts for nothing */
    assert_int_equal(r2t.desired_data_transfer_length, 8192);
    PROVES("R7143-E.1-01", "target");
}

static void connection_state_timeout_ends_its_tasks(void **state)
{
    (void)state;
    struct held h = fill("");
    struct heard heard;
    happen(STATE_TIMEOUT, &h);
    listen(&d, &heard);
    assert_true(is_in(heard.data, heard.data_count, h.other));
    assert_int_equal(logout_of(&d, 2, 1).response, 1); /* the CID is nobody's */
    assert_int_equal(reassign(&d, h.read, 0), 1);
    assert_int_equal(reassign(&d, h.write, 0), 1);
    assert_true(tag_is_dead(&d, &h));
    assert_true(discontiguous_is_gone(&h));
    PROVES("R7143-E.1-02", "target");
}

static void close_logout_ends_one_connections_tasks(void **state)
{
    (void)state;
    struct held h = fill("");
    struct heard heard;
    happen(CLOSE_LOGOUT, &h);
    assert_true(c.closed);
    struct reply *r = client_reply(&d);
    while (r && pdu_opcode(r->bhs) != PDU_OP_logout_response)
        r = client_reply(&d);
    assert_non_null(r);
    d.exp_stat_sn = be32_get(r->bhs + 24) + 1;
    uint32_t next = d.exp_stat_sn;
    listen(&d, &heard);
    d.exp_stat_sn = next + heard.status_count;
    assert_true(is_in(heard.statuses, heard.status_count, h.other)); /* it goes on */
    assert_int_equal(reassign(&d, h.read, 0), 1);
    assert_int_equal(reassign(&d, h.write, 0), 1);
    assert_true(tag_is_dead(&d, &h));
    assert_true(discontiguous_is_gone(&h));
    PROVES("R7143-E.1-04", "target");
}

static void recovery_logout_keeps_the_tasks(void **state)
{
    (void)state;
    struct held h = fill("");
    struct heard heard;
    happen(RECOVERY_LOGOUT, &h);
    assert_true(c.closed);
    struct reply *r = client_reply(&d);
    assert_int_equal(pdu_opcode(r->bhs), PDU_OP_logout_response);
    d.exp_stat_sn = be32_get(r->bhs + 24) + 1;
    listen(&d, &heard);
    assert_true(is_in(heard.statuses, heard.status_count, h.other));
    assert_true(discontiguous_is_gone(&h));
    uint32_t next = d.exp_stat_sn;
    assert_int_equal(reassign(&d, h.read, 0), 0);
    assert_int_equal(expect_data_in(&d).data_sn, 0); /* DataSN is not cleared: nothing had been sent */
    struct pdu_scsi_response rsp = expect_response(&d);
    assert_int_equal(rsp.itt, h.read);
    assert_int_equal(rsp.stat_sn, next + 1); /* StatSN is: this one is of the new connection */
    assert_int_equal(reassign(&d, h.write, 0), 0);
    PROVES("R7143-E.1-05", "target");
}

static void a_failed_logout_keeps_the_tasks(void **state)
{
    (void)state;
    struct held h = fill("");
    struct heard heard;
    happen(FAILED_LOGOUT, &h);
    struct pdu_logout_response rsp;
    pdu_logout_response_decode(client_expect(&c, PDU_OP_logout_response)->bhs, &rsp);
    assert_int_equal(rsp.response, 3);
    assert_true(c.closed);
    listen(&d, &heard);
    assert_true(is_in(heard.statuses, heard.status_count, h.other));
    assert_int_equal(reassign(&d, h.read, 0), 3); /* it is still the failed connection's */
    assert_int_equal(logout_of(&d, 2, 1).response, 0);
    assert_int_equal(reassign(&d, h.read, 0), 0);
    listen(&d, &heard);
    assert_true(is_in(heard.data, heard.data_count, h.read));
    assert_int_equal(reassign(&d, h.immediate, 0), 1);
    assert_int_equal(reassign(&d, h.write, 0), 0);
    assert_int_equal(expect_r2t(&d).itt, h.write);
    PROVES("R7143-E.1-06", "target");
}

/* ---- the whole session ---- */

static void session_failure_keeps_the_tasks(void **state)
{
    (void)state;
    struct held h = fill("");
    struct heard heard;
    happen(SESSION_FAILURE, &h);
    assert_int_equal(w.downs, 0);
    assert_int_equal(try_join(&e, 1), 0);
    e.exp_stat_sn = 2;
    listen(&e, &heard);
    e.cmd_sn = c.cmd_sn;
    e.itt = 9000;
    assert_int_equal(reassign(&e, h.read, 0), 0);
    listen(&e, &heard);
    assert_true(is_in(heard.data, heard.data_count, h.read));
    assert_int_equal(reassign(&e, h.immediate, 0), 1);
    assert_int_equal(reassign(&e, h.write, 0), 0);
    assert_int_equal(expect_r2t(&e).itt, h.write);
    assert_int_equal(logout_of(&e, 2, 2).response, 0);
    assert_int_equal(reassign(&e, h.other, 0), 0);
    PROVES("R7143-E.1-06", "target");
}

static void the_end_of_a_session_clears_all(void **state)
{
    (void)state;
    static const enum event ends[] = {SESSION_TIMEOUT, SESSION_CLOSURE, SESSION_REINSTATEMENT, COLD_RESET};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (i) {
            setup(state);
        }
        struct held h = fill("");
        if (ends[i] == SESSION_REINSTATEMENT) {
            uint8_t bhs[PDU_BHS_LEN];
            char text[300];
            struct pdu_login_request p;
            client_init(&e, &w);
            e.cmd_sn = 7000;
            login_request(&e, &p, 1, 3);
            pdu_login_request_encode(&p, bhs);
            client_send(&e, bhs, text, text_make(NAMES "\nSessionType=Normal\nErrorRecoveryLevel=2", text));
            happen(ends[i], &h);
            struct pdu_login_response rsp;
            pdu_login_response_decode(client_expect(&e, PDU_OP_login_response)->bhs, &rsp);
            e.tsih = rsp.tsih;
            e.exp_stat_sn = rsp.stat_sn + 1;
        } else {
            happen(ends[i], &h);
            assert_int_equal(try_join(&e, 9), 0x020a);
            client_fini(&e);
            client_init(&e, &w);
            e.cmd_sn = 7000;
            client_login_level(&e, 2, "");
        }
        assert_true(c.closed && d.closed);
        assert_int_equal(w.downs, 1);
        assert_int_equal(e.exp_stat_sn, 2); /* StatSN and CmdSN begin anew */
        c.cmd_sn = 7000;
        e.itt = 9000;
        assert_int_equal(expected(&e), 7000);
        assert_int_equal(reassign(&e, h.read, 0), 1);
        assert_int_equal(reassign(&e, h.write, 0), 1);
        assert_int_equal(reassign(&e, h.other, 0), 1);
        assert_true(tag_is_dead(&e, &h));
        if (i + 1 < sizeof ends / sizeof ends[0])
            teardown(state);
    }
    PROVES("R7143-E.1-03", "target");
    PROVES("R7143-E.1-08", "target");
}

/* ---- resets ---- */

static void resets_clear_tasks_and_tags_and_no_numbers(void **state)
{
    (void)state;
    static const enum event resets[] = {LU_RESET, WARM_RESET};
    for (size_t i = 0; i < 2; i++) {
        if (i)
            setup(state);
        struct held h = fill("");
        struct heard heard;
        struct pdu_scsi_command p = on(&d, true, false, 0, 8, true); /* on the other LU */
        p.lun = 1ull << 48;
        command_send(&d, &p, NULL, 0);
        uint32_t first = d.exp_stat_sn;
        happen(resets[i], &h);
        listen(&c, &heard);
        assert_int_equal(heard.data_count + heard.status_count, 0); /* they end without an answer */
        listen(&d, &heard);
        assert_false(is_in(heard.data, heard.data_count, h.other));
        /* of the other LU's only the reset of its own has any effect */
        assert_int_equal(is_in(heard.data, heard.data_count, p.itt), resets[i] == LU_RESET);
        acknowledge_status(&d); /* the answer waits behind the response fence */
        acknowledge_status(&c);
        if (resets[i] == LU_RESET) /* of a warm reset it has come: nothing was answered before it */
            assert_int_equal(tmf_answer(&d).response, 0);
        assert_true(sn_gt(d.exp_stat_sn, first)); /* StatSN goes on */
        assert_true(tag_is_dead(&d, &h));
        assert_int_equal(reassign(&d, h.read, 0), 1);
        assert_int_equal(reassign(&d, h.write, 0), 1);
        assert_int_equal(reassign(&d, h.immediate, 0), 1);
        assert_int_equal(expected(&d), h.gap);
        assert_int_equal(w.downs, 0);
        if (i == 0)
            teardown(state);
    }
    PROVES("R7143-E.1-07", "target");
    PROVES("R7143-E.1-08", "target");
}

static void fast_abort_leaves_the_tags_for_a_while(void **state)
{
    (void)state;
    client_login_level(&c, 2, "InitialR2T=Yes\nImmediateData=No\nTaskReporting=FastAbort,RFC3720");
    assert_true(reply_has(&c.reply, "TaskReporting=FastAbort"));
    client_settle(&c, 0);
    struct pdu_scsi_command p = on(&c, false, true, 0, 16, false);
    command_send(&c, &p, NULL, 0);
    uint32_t ttt = expect_r2t(&c).ttt;
    function_send(&c, 5, c.cmd_sn);
    assert_int_equal(tmf_answer(&c).response, 0); /* before the data has come */
    struct pdu_data_out out = data_out(p.itt, ttt, 0, 0, true);
    data_out_send(&c, &out, want, 8192); /* late data is taken without a word */
    assert_true(client_quiet(&c));
    assert_memory_equal(w.rams[0].data, want, 8192);
    data_out_send(&c, &out, want, 8192); /* its F bit was the tag's end */
    assert_int_equal(expect_reject(&c), 9);
    PROVES("R7143-E.1-07", "target");
}

/* ---- time ---- */

/* 7.5 asks the initiator to wait, and 13.15 with it. We cannot know when it noticed the failure: what comes
 * before our own Time2Wait is over may have waited as long as it should. */
static void who_comes_early_is_not_sent_away(void **state)
{
    (void)state;
    client_login_level(&c, 2, "DefaultTime2Wait=30\nDefaultTime2Retain=20");
    client_settle(&c, 0);
    acknowledge_status(&c);
    struct pdu_scsi_command p = on(&c, true, false, 0, 8, false);
    w.delay = true;
    command_send(&c, &p, NULL, 0);
    client_cut(&c);
    world_pass(&w, SECOND_NS);
    client_join(&d, &c, 1, "");
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    w.delay = false;
    world_release(&w);
    assert_int_equal(expect_data_in(&d).itt, p.itt);
    assert_int_equal(expect_response(&d).status, 0);
}

static void tasks_wait_for_time2wait_and_time2retain(void **state)
{
    (void)state;
    client_login_level(&c, 2, "DefaultTime2Wait=30\nDefaultTime2Retain=5");
    client_settle(&c, 0);
    acknowledge_status(&c);
    struct pdu_scsi_command p = on(&c, true, false, 0, 8, false);
    w.delay = true;
    command_send(&c, &p, NULL, 0);
    client_cut(&c);
    world_pass(&w, 35 * SECOND_NS - 1); /* the last moment that 7.5 allows */
    client_join(&d, &c, 1, "");
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    w.delay = false;
    world_release(&w);
    assert_int_equal(expect_data_in(&d).itt, p.itt);
    client_cut(&d);
    world_pass(&w, 35 * SECOND_NS);
    assert_int_equal(try_join(&e, 1), 0x020a);
    PROVES("R7143-7.5-03", "target");
    PROVES("R7143-13.16-02", "target");
}

static void time2retain_of_zero_keeps_nothing(void **state)
{
    (void)state;
    client_login_level(&c, 2, "DefaultTime2Wait=30\nDefaultTime2Retain=0");
    client_settle(&c, 0);
    client_join(&d, &c, 2, "");
    w.delay = true;
    struct pdu_scsi_command p = on(&c, true, false, 0, 8, false);
    command_send(&c, &p, NULL, 0);
    client_cut(&c);
    struct pdu_async_message told;
    pdu_async_message_decode(client_expect(&d, PDU_OP_async_message)->bhs, &told);
    assert_int_equal(told.parameter3, 0);
    d.exp_stat_sn = told.stat_sn + 1;
    assert_int_equal(reassign(&d, p.itt, 0), 1);
    assert_int_equal(logout_of(&d, 2, 1).response, 1);
    w.delay = false;
    world_release(&w);
    assert_true(client_quiet(&d));
    assert_int_equal(w.r.transitions[TGT_M1], 1);
    /* the last connection takes the session with it */
    client_cut(&d);
    assert_int_equal(w.downs, 1);
    assert_int_equal(try_join(&e, 2), 0x020a);
    PROVES("R7143-13.16-02", "target");
}

static void a_logout_for_recovery_keeps_nothing_for_no_time(void **state)
{
    (void)state;
    client_login_level(&c, 2, "DefaultTime2Retain=0");
    client_settle(&c, 0);
    client_join(&d, &c, 2, "");
    w.delay = true;
    struct pdu_scsi_command p = on(&c, true, false, 0, 8, false);
    command_send(&c, &p, NULL, 0);
    struct pdu_logout_response rsp = logout_of(&c, 2, 1);
    assert_int_equal(rsp.response, 0);
    assert_int_equal(rsp.time2retain, 0);
    assert_true(c.closed);
    assert_int_equal(reassign(&d, p.itt, 0), 1);
    w.delay = false;
    world_release(&w);
    assert_int_equal(w.downs, 0);
    assert_true(client_quiet(&d));
    PROVES("R7143-13.16-02", "target");
}

/* ---- one connection more ---- */

static void a_further_connection_may_come_to_recover(void **state)
{
    (void)state;
    client_login(&c, "ErrorRecoveryLevel=2\nMaxConnections=1");
    client_settle(&c, 0);
    acknowledge_status(&c);
    w.delay = true;
    struct pdu_scsi_command p = on(&c, true, false, 0, 8, false);
    command_send(&c, &p, NULL, 0);
    /* to us the old connection is as good as ever */
    client_join(&d, &c, 2, "");
    assert_int_equal(try_join(&e, 3), 0x0206);
    assert_int_equal(logout_of(&d, 2, 1).response, 0);
    assert_true(c.closed);
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    w.delay = false;
    world_release(&w);
    assert_int_equal(expect_data_in(&d).itt, p.itt);
    assert_int_equal(w.downs, 0);
    PROVES("R7143-4.2.1-03", "target");
}

/* ---- where a reassigned read goes on ---- */

static void other_data_numbers_do_not_count(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {9999, 0xfffffffe, 9};
    client_login_level(&c, 2, "MaxRecvDataSegmentLength=4096");
    client_settle(&c, 0);
    acknowledge_status(&c);
    struct pdu_scsi_command p = on(&c, true, false, 0, 64, false);
    command_send(&c, &p, NULL, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(expect_data_in(&c).data_sn, i);
    struct client *last = &c, *spare = &d;
    for (int i = 0; i < 3; i++) {
        client_cut(last);
        if (spare->w)
            client_fini(spare);
        client_join(spare, last, 1, "MaxRecvDataSegmentLength=4096");
        assert_int_equal(reassign(spare, p.itt, numbers[i]), 0);
        for (uint32_t sn = 0; sn < 8; sn++) /* all of it: nothing was acknowledged */
            assert_int_equal(expect_data_in(spare).data_sn, sn);
        client_expect(spare, PDU_OP_scsi_response);
        struct client *swap = last;
        last = spare;
        spare = swap == &c ? &e : swap;
    }
    PROVES("R7143-11.5.6-05", "target");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connection_failure_keeps_the_tasks),
        TEST(half_a_pdu_goes_with_its_connection),
        TEST(connection_state_timeout_ends_its_tasks),
        TEST(close_logout_ends_one_connections_tasks),
        TEST(recovery_logout_keeps_the_tasks),
        TEST(a_failed_logout_keeps_the_tasks),
        TEST(session_failure_keeps_the_tasks),
        TEST(the_end_of_a_session_clears_all),
        TEST(resets_clear_tasks_and_tags_and_no_numbers),
        TEST(fast_abort_leaves_the_tags_for_a_while),
        TEST(who_comes_early_is_not_sent_away),
        TEST(tasks_wait_for_time2wait_and_time2retain),
        TEST(time2retain_of_zero_keeps_nothing),
        TEST(a_logout_for_recovery_keeps_nothing_for_no_time),
        TEST(a_further_connection_may_come_to_recover),
        TEST(other_data_numbers_do_not_count),
    };
    return cmocka_run_group_tests_name("target_clear", tests, NULL, NULL);
}
