/* Sessions with many connections, connections that fail, and what becomes of their tasks (RFC 7143 6.3.4
 * to 6.3.6, 7.1.4.3, 7.2.2, 11.14): command order across connections, one end that hurts no other, recovery
 * logout, task reassignment, time-outs. Method: several raw initiators on one session, transports cut by the
 * test, and stores that answer when the test lets them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_recovery.h"

static struct world w;
static struct client c, d, e;
static uint8_t buf[64 * 1024], want[64 * 1024];

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    memset(&e, 0, sizeof e);
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
    client_fini(&e);
    world_fini(&w);
    return 0;
}
static void login(int level, const char *keys)
{
    client_login_level(&c, level, keys);
    client_settle(&c, 0);
    acknowledge_status(&c);
}
/* The transport of one breaks. The others are told by an asynchronous message, which is taken note of. */
static void cut(struct client *who)
{
    struct client *all[] = {&c, &d, &e};
    uint32_t heard = 0, others = 0;
    client_cut(who);
    for (int i = 0; i < 3; i++) {
        struct client *other = all[i];
        others += other->w && !other->closed && other->tsih == who->tsih;
        if (other->closed || !other->w || other->in_len - other->in_pos < PDU_BHS_LEN ||
            pdu_opcode(other->in + other->in_pos) != PDU_OP_async_message)
            continue;
        struct pdu_async_message told;
        pdu_async_message_decode(client_reply(other)->bhs, &told);
        assert_int_equal(told.async_event, 2);
        assert_int_equal(told.parameter1, who->cid);
        other->exp_stat_sn = told.stat_sn + 1;
        heard++;
    }
    assert_int_equal(heard, others ? 1 : 0);
}
/* The next CmdSN is the session's: whoever sends takes it from c. */
static struct pdu_scsi_command on(struct client *who, bool read, bool write, uint32_t edtl)
{
    who->cmd_sn = c.cmd_sn;
    struct pdu_scsi_command p = command(who, read, write, edtl);
    c.cmd_sn = d.cmd_sn = e.cmd_sn = who->cmd_sn;
    return p;
}
static struct pdu_scsi_command read_on(struct client *who, uint32_t lba, uint16_t blocks)
{
    struct pdu_scsi_command p = on(who, true, false, blocks * BLOCK);
    cdb_rw(p.cdb, false, lba, blocks);
    return p;
}
static struct pdu_scsi_command write_on(struct client *who, uint32_t lba, uint16_t blocks)
{
    struct pdu_scsi_command p = on(who, false, true, blocks * BLOCK);
    cdb_rw(p.cdb, true, lba, blocks);
    return p;
}
static void expect_status(struct client *who, uint32_t itt, uint8_t status)
{
    struct pdu_scsi_response rsp = expect_response(who);
    assert_int_equal(rsp.itt, itt);
    assert_int_equal(rsp.status, status);
}
static void fill_disk(void)
{
    pattern(w.rams[0].data, sizeof want, 5);
    memcpy(want, w.rams[0].data, sizeof want);
}
/* Data-In of one read and its response. Returns the first DataSN. */
static uint32_t collect(struct client *who, uint32_t itt, uint32_t from, uint32_t to)
{
    uint32_t first = UINT32_MAX, at = from;
    while (at < to) {
        struct pdu_data_in in = expect_data_in(who);
        assert_int_equal(in.itt, itt);
        assert_int_equal(in.buffer_offset, at);
        if (first == UINT32_MAX)
            first = in.data_sn;
        memcpy(buf + at, who->reply.data, who->reply.len);
        at += who->reply.len;
    }
    expect_status(who, itt, 0);
    return first;
}

/* ---- many connections ---- */

static void connections_join_up_to_what_was_agreed(void **state)
{
    (void)state;
    struct client more[9];
    client_login_level(&c, 0, "");
    for (uint16_t i = 0; i < 7; i++) {
        client_join(&more[i], &c, (uint16_t)(10 + i), "");
        assert_int_equal(more[i].tsih, c.tsih);
    }
    assert_int_equal(w.ups, 1);
    client_init(&more[7], &w);
    more[7].tsih = c.tsih;
    more[7].cid = 99;
    assert_int_equal(login_status(client_login_step(&more[7], 1, 3, NAMES "\nSessionType=Normal")), 0x0206);
    client_init(&more[8], &w);
    more[8].tsih = (uint16_t)(c.tsih + 7);
    assert_int_equal(login_status(client_login_step(&more[8], 1, 3, NAMES "\nSessionType=Normal")), 0x020a);
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_int_equal(info.connections, 8);
    for (int i = 0; i < 9; i++)
        client_fini(&more[i]);
    assert_int_equal(w.downs, 0);
    PROVES("R7143-11.13.5-09", "target");
    PROVES("R7143-6.3.3-07", "target");
    PROVES("R7143-7.1.5-01", "target");
}

static void commands_run_in_order_across_connections(void **state)
{
    (void)state;
    login(0, "");
    client_join(&d, &c, 2, "");
    pattern(want, 4096, 1);
    struct pdu_scsi_command first = write_on(&c, 0, 8), second = read_on(&d, 0, 8);
    second.attr = 2;                    /* ORDERED */
    command_send(&d, &second, NULL, 0); /* early */
    assert_true(client_quiet(&d));
    command_send(&c, &first, want, 4096);
    expect_status(&c, first.itt, 0);
    struct pdu_data_in in = expect_data_in(&d);
    assert_true(in.has_status);
    assert_memory_equal(d.reply.data, want, 4096);
    assert_int_equal(in.exp_cmd_sn, c.cmd_sn);
    PROVES("R7143-4.2.2.1-07", "target");
    PROVES("R7143-4.2.2.1-10", "target");
    PROVES("R7143-4.2.2.1-24", "target");
    PROVES("R7143-6.3.1-04", "target");
}

static void unsolicited_data_may_come_before_its_commands_turn(void **state)
{
    (void)state;
    login(0, "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=8192");
    client_join(&d, &c, 2, "");
    pattern(want, 16384, 4);
    struct pdu_scsi_command first = read_on(&c, 0, 1), second = write_on(&d, 8, 32);
    second.final = 0;
    command_send(&d, &second, want, 1024);
    struct pdu_data_out out = data_out(second.itt, PDU_TAG_RESERVED, 0, 1024, false);
    data_out_send(&d, &out, want + 1024, 2048);
    out = data_out(second.itt, PDU_TAG_RESERVED, 1, 3072, false);
    data_out_send(&d, &out, want + 3072, 1024);
    assert_true(client_quiet(&d));
    command_send(&c, &first, NULL, 0);
    expect_data_in(&c);
    out = data_out(second.itt, PDU_TAG_RESERVED, 2, 4096, true); /* the rest comes in its turn */
    data_out_send(&d, &out, want + 4096, 4096);
    struct pdu_r2t r2t = expect_r2t(&d);
    assert_int_equal(r2t.buffer_offset, 8192);
    out = data_out(second.itt, r2t.ttt, 0, 8192, true);
    data_out_send(&d, &out, want + 8192, 8192);
    expect_status(&d, second.itt, 0);
    assert_memory_equal(w.rams[0].data + 8 * BLOCK, want, 16384);
}

static void a_connection_that_fails_takes_only_its_own_with_it(void **state)
{
    (void)state;
    login(0, "");
    client_join(&d, &c, 2, "");
    client_join(&e, &c, 3, "");
    fill_disk();
    w.delay = true;
    struct pdu_scsi_command a = read_on(&c, 0, 8), b = read_on(&d, 8, 8);
    command_send(&c, &a, NULL, 0);
    command_send(&d, &b, NULL, 0);
    struct pdu_scsi_command gap = read_on(&c, 0, 1), behind = read_on(&d, 0, 1), last = read_on(&e, 0, 1);
    command_send(&d, &behind, NULL, 0); /* waits for the gap, and goes with its connection */
    command_send(&e, &last, NULL, 0);
    cut(&d);
    w.delay = false;
    world_release(&w);
    assert_true(expect_data_in(&c).itt == a.itt);
    command_send(&c, &gap, NULL, 0);
    struct pdu_scsi_response rsp = expect_response(&c); /* that a command was cleared is told, once */
    assert_int_equal(rsp.itt, gap.itt);
    assert_true(sense_is(&c, 6, 0x47, 0x7f));
    assert_int_equal(rsp.exp_cmd_sn, behind.cmd_sn); /* due again: its sender is gone */
    assert_true(client_quiet(&e));
    command_send(&c, &behind, NULL, 0);
    assert_int_equal(expect_data_in(&c).itt, behind.itt);
    assert_int_equal(expect_data_in(&e).itt, last.itt);
    assert_int_equal(w.downs, 0);
    cut(&e);
    client_settle(&c, 0);
    assert_int_equal(w.r.transitions[TGT_M1], 2); /* nothing is remembered */
    cut(&c);
    assert_int_equal(w.downs, 1);
    PROVES("R7143-7.1.4.3-08", "target");
    PROVES("R7143-11.14.5-01", "target");
    PROVES("R7143-11.14-09", "target");
    PROVES("R7143-7.1.4.4-02", "target");
    PROVES("R7143-7.1.4.3-07", "target");
}

static void what_belongs_to_another_connection_is_refused(void **state)
{
    (void)state;
    login(1, "InitialR2T=Yes\nImmediateData=No");
    client_join(&d, &c, 2, "");
    fill_disk();
    struct pdu_scsi_command p = write_on(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&d, &out, want, 4096);
    assert_int_equal(expect_reject(&d), 9);
    snack_send(&d, 0, p.itt, PDU_TAG_RESERVED, 0, 0);
    assert_int_equal(expect_reject(&d), 9);
    data_out_send(&c, &out, want, 4096);
    expect_status(&c, p.itt, 0);
}

static void everything_of_a_command_stays_on_its_connection(void **state)
{
    (void)state;
    login(1, "InitialR2T=Yes\nImmediateData=No\nMaxRecvDataSegmentLength=4096");
    client_join(&d, &c, 2, "MaxRecvDataSegmentLength=4096");
    fill_disk();
    w.delay = true;
    struct pdu_scsi_command r = read_on(&c, 0, 16), q = write_on(&d, 64, 8);
    command_send(&c, &r, NULL, 0);
    command_send(&d, &q, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&d);
    struct pdu_data_out out = data_out(q.itt + 1, r2t.ttt, 0, 0, true); /* tags that do not belong together */
    data_out_send(&d, &out, want, 4096);
    assert_int_equal(expect_reject(&d), 9);
    out = data_out(q.itt, r2t.ttt, 0, 0, true);
    data_out_send(&d, &out, want, 4096);
    w.delay = false;
    world_release(&w);
    assert_int_equal(expect_data_in(&c).itt, r.itt);
    expect_data_in(&c);
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &rsp);
    assert_int_equal(rsp.itt, r.itt);
    expect_status(&d, q.itt, 0);
    snack_send(&c, 0, r.itt, PDU_TAG_RESERVED, 0, 0);
    expect_data_in(&c);
    expect_data_in(&c);
    assert_true(client_quiet(&c) && client_quiet(&d));
    PROVES("R7143-4.2.5.1-01", "target");
    PROVES("R7143-4.2.5.1-02", "target");
    PROVES("R7143-4.2.5.1-04", "target");
    PROVES("R7143-4.2.5.1-05", "target");
    PROVES("R7143-4.2.5.1-06", "target");
    PROVES("R7143-4.2.5.3-02", "target");
}

static void an_old_connection_that_still_lives_is_replaced(void **state)
{
    (void)state;
    login(2, "");
    fill_disk();
    w.delay = true;
    struct pdu_scsi_command p = read_on(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    client_join(&d, &c, c.cid, "");
    assert_true(c.closed);
    assert_int_equal(w.r.transitions[TGT_T15], 1);
    assert_int_equal(w.r.transitions[TGT_M4], 1);
    w.delay = false;
    world_release(&w);
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    collect(&d, p.itt, 0, 4096);
    assert_memory_equal(buf, want, 4096);
    PROVES("R7143-6.3.4-02", "target");
    PROVES("R7143-6.3.4-03", "target");
    PROVES("R7143-7.14-03", "target");
}

static void logout_reasons_are_three(void **state)
{
    (void)state;
    login(0, "");
    logout_send(&c, 7, c.cid, 900);
    assert_int_equal(expect_reject(&c), 4);
    client_settle(&c, 0);
    PROVES("R7143-11.14.1-01", "target");
}

/* ---- discovery sessions ---- */

static struct pdu_login_response discover(struct client *who, const char *address, const char *more)
{
    client_init(who, &w);
    tgt_conn_lost(who->conn, 0); /* one that reached another address */
    world_pump(&w);
    who->closed = false;
    struct tgt_conn_info info = {.group = 1, .host = who};
    addr_parse(address, 3260, &info.local);
    addr_parse("10.1.2.3:40000", 0, &info.peer);
    assert_int_equal(tgt_conn_new(&w.r, &info, &who->conn), 0);
    char text[300];
    snprintf(text, sizeof text, "InitiatorName=" INITIATOR "\nSessionType=Discovery%s", more);
    return client_login_step(who, 1, 3, text);
}

static void unnamed_discovery_is_unique_for_each_address(void **state)
{
    (void)state;
    struct client f = {0}, g = {0};
    login(0, ""); /* a normal session of the same name and ISID has nothing to do with it */
    assert_int_equal(login_status(discover(&d, "127.0.0.1:3260", "")), 0);
    assert_int_equal(login_status(discover(&e, "127.0.0.2:3260", "")), 0);
    assert_false(c.closed || d.closed);
    assert_int_equal(login_status(discover(&f, "127.0.0.2:3260", "")), 0);
    assert_true(e.closed);
    assert_false(c.closed || d.closed);
    assert_int_equal(w.downs, 1);
    /* with a target's name the ISID rule holds */
    assert_int_equal(login_status(discover(&g, "127.0.0.3:3260", "\nTargetName=" SECOND)), 0);
    assert_false(c.closed || d.closed || f.closed);
    client_fini(&e);
    assert_int_equal(login_status(discover(&e, "127.0.0.4:3260", "\nTargetName=" SECOND)), 0);
    assert_true(g.closed);
    assert_false(c.closed || d.closed || f.closed);
    client_fini(&f);
    client_fini(&g);
    PROVES("R7143-7.4.2.1-01", "target");
    PROVES("R7143-7.4.2.1-02", "target");
    PROVES("R7143-7.4.2.1-03", "target");
    PROVES("R7143-7.4.2.1-04", "target");
    PROVES("R7143-7.4.2.2-01", "target");
}

static void a_format_error_ends_the_session(void **state)
{
    (void)state;
    login(1, "");
    client_join(&d, &c, 2, "");
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_scsi_command p = write_on(&d, 0, 8);
    pdu_scsi_command_encode(&p, bhs);
    be24_put(bhs + 5, 0xffffff);
    client_bytes(&d, bhs, sizeof bhs);
    client_push(&d);
    assert_true(c.closed && d.closed);
    assert_int_equal(w.downs, 1);
    struct client *both[] = {&c, &d}; /* what goes out is still in order: both are told before */
    for (int i = 0; i < 2; i++) {
        struct pdu_async_message told;
        pdu_async_message_decode(client_expect(both[i], PDU_OP_async_message)->bhs, &told);
        assert_int_equal(told.async_event, 3);
        assert_true(client_quiet(both[i]));
    }
    PROVES("R7143-7.7-01", "target");
    PROVES("R7143-4.2.6-03", "target");
    PROVES("R7143-8.1.2-17", "target");
}

static void an_aborted_place_stays_taken_when_its_connection_goes(void **state)
{
    (void)state;
    login(0, "");
    client_join(&d, &c, 2, "");
    struct pdu_scsi_command gap = read_on(&c, 0, 1), held = read_on(&d, 0, 1);
    command_send(&d, &held, NULL, 0);
    struct pdu_task_management_request tmf = tmf_request(&d, 1, 0, held.itt, held.cmd_sn);
    tmf.cmd_sn = c.cmd_sn;
    tmf_send(&d, &tmf);
    client_expect(&d, PDU_OP_task_management_response);
    cut(&d);
    command_send(&c, &gap, NULL, 0);
    assert_int_equal(expect_data_in(&c).exp_cmd_sn, held.cmd_sn + 1);
    PROVES("R7143-7.11-03", "target");
}

static void logout_closes_another_connection(void **state)
{
    (void)state;
    login(0, "");
    client_join(&d, &c, 2, "");
    w.delay = true;
    struct pdu_scsi_command p = read_on(&d, 0, 1);
    command_send(&d, &p, NULL, 0);
    assert_int_equal(logout_of(&c, 1, 2).response, 0);
    assert_true(d.closed);
    w.delay = false;
    world_release(&w);
    assert_int_equal(w.r.transitions[TGT_T8], 1);
    client_settle(&c, 0);
    assert_true(sense_is(&c, 6, 0x47, 0x7f));
    assert_int_equal(logout_of(&c, 1, 2).response, 1); /* not there any more */
    PROVES("R7143-11.14-07", "target");
    PROVES("R7143-11.14-03", "target");
    PROVES("R7143-11.15.1-01", "target");
    PROVES("R7143-7.6-01", "target");
}

static void session_logout_closes_all(void **state)
{
    (void)state;
    login(2, "");
    client_join(&d, &c, 2, "");
    client_join(&e, &c, 3, "");
    cut(&e); /* waits for recovery, in vain */
    assert_int_equal(logout_of(&c, 0, 0).response, 0);
    assert_true(c.closed && d.closed);
    assert_int_equal(w.downs, 1);
    assert_int_equal(w.r.transitions[TGT_T8], 1);
    assert_int_equal(w.r.transitions[TGT_T13], 1);
    assert_int_equal(w.r.transitions[TGT_M1], 1);
    assert_int_equal(w.r.transitions[TGT_N3], 1);
    PROVES("R7143-8.1.2-08", "target");
    PROVES("R7143-8.1.2-13", "target");
    PROVES("R7143-11.15-01", "target");
}

static void reinstatement_below_level_two_ends_the_tasks(void **state)
{
    (void)state;
    login(1, "");
    client_join(&d, &c, 2, "");
    w.delay = true;
    struct pdu_scsi_command p = read_on(&d, 0, 1);
    command_send(&d, &p, NULL, 0);
    client_init(&e, &w);
    e.tsih = c.tsih;
    e.cid = 2;
    uint8_t bhs[PDU_BHS_LEN];
    char text[200];
    struct pdu_login_request req;
    login_request(&e, &req, 1, 3);
    pdu_login_request_encode(&req, bhs);
    client_send(&e, bhs, text, text_make(NAMES "\nSessionType=Normal", text));
    assert_true(d.closed);
    assert_true(client_quiet(&e)); /* until the store has let go */
    w.delay = false;
    world_release(&w);
    client_expect(&e, PDU_OP_login_response);
    assert_true(client_quiet(&e));
    assert_int_equal(w.r.transitions[TGT_T8], 1);
    assert_int_equal(w.downs, 0);
    client_settle(&c, 0);
    PROVES("R7143-6.3.4-02", "target");
    PROVES("R7143-6.3.4-05", "target");
    PROVES("R7143-6.3.4-04", "target");
    PROVES("R7143-8.1.2-09", "target");
    PROVES("R7143-11.14-10", "target");
    PROVES("R7143-4.2.6-04", "target");
}

static void session_reinstatement_closes_all_connections(void **state)
{
    (void)state;
    login(2, "");
    client_join(&d, &c, 2, "");
    client_init(&e, &w);
    client_login(&e, "");
    assert_true(c.closed && d.closed);
    assert_int_not_equal(e.tsih, c.tsih);
    assert_int_equal(w.downs, 1);
    assert_int_equal(w.ups, 2);
    assert_int_equal(w.r.transitions[TGT_T8], 2);
    assert_int_equal(w.r.transitions[TGT_N3], 1);
    PROVES("R7143-6.3.5-02", "target");
    PROVES("R7143-7.15-03", "target");
    PROVES("R7143-7.14-04", "target");
    PROVES("R7143-7.1.4.4-01", "target");
    PROVES("R7143-8.1.2-09", "target");
}

/* ---- reassignment ---- */

static void a_read_goes_on_where_it_was(void **state)
{
    (void)state;
    login(2, "MaxRecvDataSegmentLength=4096");
    fill_disk();
    struct pdu_scsi_command p = read_on(&c, 0, 64);
    command_send(&c, &p, NULL, 0);
    for (int i = 0; i < 3; i++) /* of eight; the others are lost with the connection, and so is the status */
        expect_data_in(&c);
    cut(&c);
    assert_int_equal(w.downs, 0);
    assert_int_equal(w.r.transitions[TGT_T15], 1);
    assert_int_equal(w.r.transitions[TGT_N5], 1);
    client_join(&d, &c, c.cid, "MaxRecvDataSegmentLength=4096");
    assert_int_equal(w.r.transitions[TGT_M2], 1);
    assert_int_equal(w.r.transitions[TGT_M4], 1);
    assert_int_equal(w.r.transitions[TGT_N7], 1);
    assert_int_equal(w.r.transitions[TGT_N10], 1);
    assert_true(client_quiet(&d));
    memset(w.rams[0].data, 0xee, sizeof want); /* it is the same command, not a new one */
    assert_int_equal(reassign(&d, p.itt, 3), 0);
    assert_int_equal(collect(&d, p.itt, 3 * 4096, 32768), 3);
    assert_memory_equal(buf + 3 * 4096, want + 3 * 4096, 32768 - 3 * 4096);
    assert_int_equal(reassign(&d, p.itt, 3), 1); /* its status is acknowledged now: it is gone */
    client_settle(&d, 0);
    PROVES("R7143-7.2.2-02", "target");
    PROVES("R7143-7.2.2-03", "target");
    PROVES("R7143-7.2.2-07", "target");
    PROVES("R7143-7.2.2-11", "target");
    PROVES("R7143-7.2.2-08", "target");
    PROVES("R7143-6.3.4-03", "target");
    PROVES("R7143-6.3.6-01", "target");
    PROVES("R7143-8.2-02", "target");
    PROVES("R7143-8.3.4-02", "target");
    PROVES("R7143-8.3.4-04", "target");
    PROVES("R7143-8.1.2-16", "target");
    PROVES("R7143-11.14-10", "target");
    PROVES("R7143-7.1.5-02", "target");
    PROVES("R7143-7.1.5-03", "target");
    PROVES("R7143-11.5.1-23", "target");
    PROVES("R7143-11.6-02", "target");
    PROVES("R7143-11.5.6-02", "target");
}

static void a_read_in_the_store_waits_for_its_new_connection(void **state)
{
    (void)state;
    login(2, "MaxRecvDataSegmentLength=8192");
    client_join(&d, &c, 2, "MaxRecvDataSegmentLength=2048");
    fill_disk();
    w.delay = true;
    struct pdu_scsi_command p = read_on(&c, 0, 32);
    command_send(&c, &p, NULL, 0);
    cut(&c);
    assert_int_equal(reassign(&d, p.itt, 0), 3); /* not logged out yet */
    w.delay = false;
    world_release(&w);
    struct pdu_logout_response rsp = logout_of(&d, 2, c.cid);
    assert_int_equal(rsp.response, 0);
    assert_int_equal(rsp.time2wait, 2);
    assert_int_equal(rsp.time2retain, 20);
    assert_true(client_quiet(&d)); /* nothing until it is reassigned */
    assert_int_equal(w.r.transitions[TGT_M2], 1);
    assert_int_equal(w.r.transitions[TGT_M4], 1);
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    assert_int_equal(collect(&d, p.itt, 0, 16384), 0);
    assert_memory_equal(buf, want, 16384);
    assert_int_equal(w.downs, 0);
    PROVES("R7143-7.2.2-10", "target");
    PROVES("R7143-11.14-04", "target");
    PROVES("R7143-8.2-03", "target");
    PROVES("R7143-11.15.1-03", "target");
    PROVES("R7143-11.14-07", "target");
    PROVES("R7143-7.5.2-01", "target");
}

static void sent_data_is_cut_for_the_new_connection(void **state)
{
    (void)state;
    login(2, "MaxRecvDataSegmentLength=8192\nMaxBurstLength=8192\nFirstBurstLength=8192");
    client_join(&d, &c, 2, "MaxRecvDataSegmentLength=1024");
    fill_disk();
    struct pdu_scsi_command p = read_on(&c, 0, 32);
    command_send(&c, &p, NULL, 0);
    cut(&c);
    assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    assert_int_equal(collect(&d, p.itt, 0, 16384), 0);
    assert_memory_equal(buf, want, 16384);
    snack_send(&d, 0, p.itt, PDU_TAG_RESERVED, 0, 1); /* the tag of the old task is gone with its status */
    assert_int_equal(expect_reject(&d), 9);
}

static void a_write_asks_again_for_what_has_not_come(void **state)
{
    (void)state;
    login(2, "InitialR2T=Yes\nImmediateData=No\nMaxBurstLength=16384\nFirstBurstLength=4096");
    pattern(want, sizeof want, 8);
    struct pdu_scsi_command p = write_on(&c, 0, 64);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    assert_int_equal(r2t.desired_data_transfer_length, 16384);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, false);
    data_out_send(&c, &out, want, 8192);
    cut(&c);
    client_join(&d, &c, 5, ""); /* another CID continues the session, too */
    assert_int_equal(reassign(&d, p.itt, 1), 3);
    assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
    assert_int_equal(reassign(&d, p.itt, 1), 0);
    struct pdu_r2t again = expect_r2t(&d);
    assert_int_equal(again.r2t_sn, 1);
    assert_int_equal(again.buffer_offset, 8192);
    assert_int_equal(again.desired_data_transfer_length, 8192);
    assert_int_not_equal(again.ttt, r2t.ttt);
    out = data_out(p.itt, r2t.ttt, 0, 8192, true); /* the old tag is void */
    data_out_send(&d, &out, want + 8192, 8192);
    assert_int_equal(expect_reject(&d), 9);
    out = data_out(p.itt, again.ttt, 0, 8192, true);
    data_out_send(&d, &out, want + 8192, 8192);
    again = expect_r2t(&d);
    assert_int_equal(again.r2t_sn, 2);
    out = data_out(p.itt, again.ttt, 0, 16384, true);
    data_out_send(&d, &out, want + 16384, 16384);
    expect_status(&d, p.itt, 0);
    assert_memory_equal(w.rams[0].data, want, 32768);
    PROVES("R7143-7.2.2-02", "target");
    PROVES("R7143-7.2.2-06", "target");
}

static void an_unsolicited_burst_that_was_cut_is_asked_for(void **state)
{
    (void)state;
    login(2, "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=8192");
    pattern(want, sizeof want, 8);
    struct pdu_scsi_command p = write_on(&c, 0, 32);
    p.final = 0;
    command_send(&c, &p, want, 1024);
    struct pdu_data_out out = data_out(p.itt, PDU_TAG_RESERVED, 0, 1024, false);
    data_out_send(&c, &out, want + 1024, 2048);
    cut(&c);
    client_join(&d, &c, c.cid, "");
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    uint32_t at = 3072;
    while (at < 16384) {
        struct pdu_r2t r2t = expect_r2t(&d);
        assert_int_equal(r2t.buffer_offset, at);
        out = data_out(p.itt, r2t.ttt, 0, at, true);
        data_out_send(&d, &out, want + at, r2t.desired_data_transfer_length);
        at += r2t.desired_data_transfer_length;
    }
    expect_status(&d, p.itt, 0);
    assert_memory_equal(w.rams[0].data, want, 16384);
}

static void a_status_that_was_lost_comes_with_a_new_number(void **state)
{
    (void)state;
    login(2, "");
    client_join(&d, &c, 2, "");
    pattern(want, 4096, 6);
    struct pdu_scsi_command p = write_on(&c, 0, 8), bad = on(&c, false, false, 0);
    bad.cdb[0] = 0xff;
    command_send(&c, &p, want, 4096);
    command_send(&c, &bad, NULL, 0); /* both answered, nothing acknowledged */
    cut(&c);
    uint32_t requests = w.requests;
    assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
    uint32_t next = d.exp_stat_sn;
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    struct pdu_scsi_response rsp = expect_response(&d);
    assert_int_equal(rsp.itt, p.itt);
    assert_int_equal(rsp.status, 0);
    assert_int_equal(rsp.stat_sn, next + 1);
    assert_int_equal(w.requests, requests); /* not carried out a second time */
    assert_int_equal(reassign(&d, bad.itt, 0), 0);
    expect_status(&d, bad.itt, 2);
    assert_true(sense_is(&d, 5, 0x20, 0));
    snack_send(&d, 1, PDU_TAG_RESERVED, PDU_TAG_RESERVED, rsp.stat_sn, 1);
    assert_int_equal(expect_reject(&d), 4); /* acknowledged meanwhile */
    PROVES("R7143-7.2.2-07", "target");
}

static void an_acknowledgement_in_the_logout_is_the_lost_connections(void **state)
{
    (void)state;
    login(2, "");
    client_join(&d, &c, 2, "");
    struct pdu_scsi_command p = on(&c, false, false, 0);
    command_send(&c, &p, NULL, 0);
    expect_status(&c, p.itt, 0);
    cut(&c);
    assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
    client_settle(&d, 0);
    assert_int_equal(w.downs, 0);
}

static void codes_of_task_reassign(void **state)
{
    (void)state;
    login(2, "");
    w.delay = true;
    struct pdu_scsi_command p = read_on(&c, 0, 1);
    command_send(&c, &p, NULL, 0);
    assert_int_equal(reassign(&c, p.itt, 0), 3);
    assert_int_equal(reassign(&c, 0x1234, 0), 1);
    client_init(&d, &w);
    d.isid[5] = 9;
    client_login_level(&d, 1, "");
    assert_int_equal(reassign(&d, p.itt, 0), 4);
    PROVES("R7143-7.2.2-09", "target");
    PROVES("R7143-7.2.2-10", "target");
}

static void a_connection_may_remove_itself_for_recovery(void **state)
{
    (void)state;
    login(2, "");
    fill_disk();
    w.delay = true;
    struct pdu_scsi_command p = read_on(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    assert_int_equal(logout_of(&c, 2, c.cid).response, 0);
    assert_true(c.closed);
    w.delay = false;
    world_release(&w);
    assert_int_equal(w.downs, 0); /* the session waits with the task */
    client_join(&d, &c, 2, "");
    assert_int_equal(reassign(&d, p.itt, 0), 0);
    collect(&d, p.itt, 0, 4096);
    assert_memory_equal(buf, want, 4096);
    assert_int_equal(w.r.transitions[TGT_T13], 1);
    assert_int_equal(w.r.transitions[TGT_N5], 1);
    PROVES("R7143-6.3.6-01", "target");
}

static void immediate_commands_end_with_their_connection(void **state)
{
    (void)state;
    login(2, "");
    client_join(&d, &c, 2, "");
    w.delay = true;
    struct pdu_scsi_command p = read_on(&c, 0, 8);
    c.cmd_sn--;
    d.cmd_sn = c.cmd_sn;
    p.immediate = 1;
    command_send(&c, &p, NULL, 0);
    cut(&c);
    w.delay = false;
    world_release(&w);
    assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
    assert_int_equal(reassign(&d, p.itt, 0), 1);
    PROVES("R7143-7.14-05", "target");
}

/* ---- time ---- */

static void tasks_end_when_nobody_asks_for_them(void **state)
{
    (void)state;
    login(2, "DefaultTime2Wait=2\nDefaultTime2Retain=20");
    client_join(&d, &c, 2, "");
    struct pdu_scsi_command p = write_on(&c, 0, 64);
    command_send(&c, &p, NULL, 0);
    cut(&c);
    world_pass(&w, 21 * SECOND_NS); /* still there */
    assert_int_equal(logout_of(&d, 2, c.cid).response, 0);
    world_pass(&w, 21 * SECOND_NS); /* counts anew from the logout */
    assert_int_equal(w.r.transitions[TGT_M1], 0);
    assert_int_equal(reassign(&d, 0x1234, 0), 1);
    world_pass(&w, 2 * SECOND_NS);
    assert_int_equal(reassign(&d, p.itt, 0), 1);
    assert_int_equal(w.downs, 0);
    client_settle(&d, 0);
    assert_true(sense_is(&d, 6, 0x47, 0x7f));
    assert_true(tgt_deadline(&w.r) > w.now);
    PROVES("R7143-7.5-03", "target");
    PROVES("R7143-7.6-01", "target");
    PROVES("R7143-7.5.2-01", "target");
}

static void a_session_without_connections_times_out(void **state)
{
    (void)state;
    login(2, "DefaultTime2Wait=1\nDefaultTime2Retain=5");
    client_join(&d, &c, 2, "");
    w.delay = true;
    struct pdu_scsi_command p = read_on(&c, 0, 8), q = read_on(&d, 0, 8);
    command_send(&c, &p, NULL, 0);
    command_send(&d, &q, NULL, 0);
    cut(&c);
    world_pass(&w, 3 * SECOND_NS);
    cut(&d);
    world_pass(&w, 4 * SECOND_NS); /* the first is over */
    assert_int_equal(w.r.transitions[TGT_M1], 1);
    assert_int_equal(w.downs, 0);
    world_pass(&w, 3 * SECOND_NS);
    assert_int_equal(w.r.transitions[TGT_M1], 2);
    assert_int_equal(w.r.transitions[TGT_N6], 1);
    w.delay = false;
    world_release(&w);
    assert_int_equal(w.downs, 1);
    client_init(&e, &w);
    e.tsih = c.tsih;
    e.cid = 1;
    assert_int_equal(login_status(client_login_step(&e, 1, 3, NAMES "\nSessionType=Normal")), 0x020a);
    PROVES("R7143-7.5.1-01", "target");
    PROVES("R7143-6.3.5-05", "target");
    PROVES("R7143-6.3.5.1-01", "target");
    PROVES("R7143-7.15-02", "target");
    PROVES("R7143-8.2.2-01", "target");
    PROVES("R7143-8.3.4-03", "target");
    PROVES("R7143-7.6-02", "target");
}

static void a_continuation_may_fail_and_succeed_later(void **state)
{
    (void)state;
    login(2, "");
    cut(&c);
    client_init(&d, &w);
    d.tsih = c.tsih;
    d.cid = c.cid;
    struct pdu_login_response rsp = client_login_step(&d, 1, -1, NAMES "\nSessionType=Normal");
    assert_int_equal(login_status(rsp), 0);
    assert_int_equal(w.r.transitions[TGT_N7], 1);
    assert_int_equal(w.r.transitions[TGT_M2], 1);
    cut(&d); /* in the middle of it */
    assert_int_equal(w.r.transitions[TGT_N8], 1);
    assert_int_equal(w.r.transitions[TGT_M3], 1);
    assert_int_equal(w.r.transitions[TGT_T7], 1);
    client_fini(&d);
    client_join(&d, &c, c.cid, "");
    assert_int_equal(w.r.transitions[TGT_N10], 1);
    assert_int_equal(w.r.transitions[TGT_M4], 1);
    client_settle(&d, 0);
    assert_int_equal(w.downs, 0);
    PROVES("R7143-8.3.4-04", "target");
    PROVES("R7143-8.2.2-02", "target");
}

static void a_reinstatement_beats_a_continuation(void **state)
{
    (void)state;
    login(2, "");
    cut(&c);
    client_init(&d, &w);
    d.tsih = c.tsih;
    d.cid = c.cid;
    client_login_step(&d, 1, -1, NAMES "\nSessionType=Normal");
    client_init(&e, &w);
    client_login(&e, "");
    assert_int_equal(w.r.transitions[TGT_N11], 1);
    assert_int_equal(login_status(client_login_step(&d, 1, 3, "")), 0x020a);
    client_settle(&e, 0);
    PROVES("R7143-8.3.4-05", "target");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connections_join_up_to_what_was_agreed),
        TEST(commands_run_in_order_across_connections),
        TEST(unsolicited_data_may_come_before_its_commands_turn),
        TEST(a_connection_that_fails_takes_only_its_own_with_it),
        TEST(what_belongs_to_another_connection_is_refused),
        TEST(everything_of_a_command_stays_on_its_connection),
        TEST(an_old_connection_that_still_lives_is_replaced),
        TEST(logout_reasons_are_three),
        TEST(unnamed_discovery_is_unique_for_each_address),
        TEST(a_format_error_ends_the_session),
        TEST(an_aborted_place_stays_taken_when_its_connection_goes),
        TEST(logout_closes_another_connection),
        TEST(session_logout_closes_all),
        TEST(reinstatement_below_level_two_ends_the_tasks),
        TEST(session_reinstatement_closes_all_connections),
        TEST(a_read_goes_on_where_it_was),
        TEST(a_read_in_the_store_waits_for_its_new_connection),
        TEST(sent_data_is_cut_for_the_new_connection),
        TEST(a_write_asks_again_for_what_has_not_come),
        TEST(an_unsolicited_burst_that_was_cut_is_asked_for),
        TEST(a_status_that_was_lost_comes_with_a_new_number),
        TEST(an_acknowledgement_in_the_logout_is_the_lost_connections),
        TEST(codes_of_task_reassign),
        TEST(a_connection_may_remove_itself_for_recovery),
        TEST(immediate_commands_end_with_their_connection),
        TEST(tasks_end_when_nobody_asks_for_them),
        TEST(a_session_without_connections_times_out),
        TEST(a_continuation_may_fail_and_succeed_later),
        TEST(a_reinstatement_beats_a_continuation),
    };
    return cmocka_run_group_tests_name("target_connections", tests, NULL, NULL);
}
