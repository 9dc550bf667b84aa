/* The full feature phase of the target engine besides data, numbering and text: task management during I/O,
 * logout, NOP, Reject, configuration changes, stop. Method: a raw initiator and stores that answer when the
 * test lets them. */
#include "proves.h"
#include "target_session.h"

static uint8_t block[8 * BLOCK];

/* ---- task management ---- */

static struct pdu_task_management_response tmf(struct client *who, uint8_t function, uint8_t lun,
                                               uint32_t rtt, uint32_t ref, bool immediate, bool wait)
{
    struct pdu_task_management_request p = tmf_request(who, function, lun, rtt, ref);
    struct pdu_task_management_response rsp = {0};
    p.immediate = immediate;
    who->cmd_sn += !immediate;
    tmf_send(who, &p);
    if (wait) {
        rsp = tmf_answer(who);
        assert_int_equal(rsp.itt, p.itt);
    }
    return rsp;
}

static void abort_task_follows_ref_cmd_sn(void **state)
{
    (void)state;
    login();
    w.delay = true;
    uint32_t itt = read_send(&c, 0, 8);
    tmf(&c, 1, 0, itt, c.cmd_sn - 1, true, false);
    assert_true(client_quiet(&c)); /* the store still has it */
    world_release(&w);
    assert_int_equal(tmf_answer(&c).response, 0);
    assert_true(client_quiet(&c)); /* and nothing of the task follows */
    /* already answered: does not exist */
    assert_int_equal(tmf(&c, 1, 0, itt, c.cmd_sn - 1, true, true).response, 1);
    /* not yet come: counts as received, and is dropped when it comes */
    uint32_t missing = c.cmd_sn++;
    assert_int_equal(tmf(&c, 1, 0, 7777, missing, true, true).response, 0);
    client_settle(&c, 0);
    struct pdu_scsi_command late = tur(&c, missing);
    command_send(&c, &late, NULL, 0);
    assert_true(client_quiet(&c));
    PROVES("R7143-11.6.1-05", "target");
    PROVES("R7143-11.6.1-06", "target");
    PROVES("R7143-11.6.1-07", "target");
    PROVES("R7143-7.11-03", "target");
    PROVES("R7143-7.11-04", "target");
    PROVES("R7143-11.5.5-01", "target");
    PROVES("R7143-11.5.1-02", "target");
    PROVES("R7143-11.5.1-05", "target");
}

static void abort_of_a_write_drops_its_late_data(void **state)
{
    (void)state;
    login();
    memset(w.rams[0].data, 0xee, 8 * BLOCK);
    struct pdu_scsi_command p = command(&c, false, true, 8 * BLOCK);
    struct pdu_r2t r2t;
    cdb_rw(p.cdb, true, 0, 8);
    command_send(&c, &p, NULL, 0);
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    /* half of a data segment has arrived in its place when the task is aborted from another session's view:
     * cut here */
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    assert_int_equal(tmf(&c, 1, 0, p.itt, p.cmd_sn, true, true).response, 0);
    data_out_send(&c, &out, block, sizeof block);
    assert_true(client_quiet(&c));
    data_out_send(&c, &out, block, sizeof block); /* only once: now the tag is unknown */
    struct pdu_reject rej;
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
    assert_int_equal(rej.reason, 9);
    assert_int_equal(w.rams[0].data[0], 0xee);
    PROVES("R7143-10.7-02", "target");
}

static void reset_by_another_session_while_data_arrives_is_safe(void **state)
{
    (void)state;
    login();
    client_init(&d, &w);
    d.isid[5] = 2;
    client_login(&d, "");
    struct pdu_scsi_command p = command(&c, false, true, 8 * BLOCK);
    struct pdu_r2t r2t;
    uint8_t bhs[PDU_BHS_LEN];
    cdb_rw(p.cdb, true, 0, 8);
    command_send(&c, &p, NULL, 0);
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    pdu_data_out_encode(&out, bhs);
    client_queue_ahs(&c, bhs, "", 0, block, sizeof block);
    size_t whole = c.out_len;
    c.out_len -= 1000;
    client_push(&c);
    /* the host holds places inside the span */
    struct io_vec places[8];
    uint32_t count;
    assert_int_equal(tgt_conn_room(c.conn, places, &count), TGT_ROOM_PLACES);
    assert_int_equal(tmf(&d, 5, 0, 0, 0, true, true).response, 0);
    memset(places[0].ptr, 1, places[0].len);
    c.out_len = whole;
    client_push(&c);
    assert_int_equal(expect_response(&c).status, 0x40); /* TASK ABORTED, after the data that was due */
    assert_true(client_quiet(&c));
    client_settle(&c, 0);
    PROVES("R7143-4.2.3.2-03", "target");
    PROVES("R7143-11.5.1-17", "target");
}

static void abort_task_set_waits_for_data_that_was_asked_for(void **state)
{
    (void)state;
    login();
    struct pdu_scsi_command p = command(&c, false, true, 8 * BLOCK);
    struct pdu_r2t r2t;
    struct pdu_task_management_response rsp;
    cdb_rw(p.cdb, true, 0, 8);
    command_send(&c, &p, NULL, 0);
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    tmf(&c, 2, 0, 0, 0, true, false);
    assert_true(client_quiet(&c));
    w.delay = true;
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, block, sizeof block);
    assert_true(client_quiet(&c));
    world_release(&w);
    /* R7143-4.2.3.3: whatever came of the task came before this */
    struct reply *r = client_reply(&c);
    if (r && pdu_opcode(r->bhs) == PDU_OP_scsi_response)
        r = client_reply(&c);
    assert_non_null(r);
    pdu_task_management_response_decode(r->bhs, &rsp);
    assert_int_equal(pdu_opcode(r->bhs), PDU_OP_task_management_response);
    assert_int_equal(rsp.response, 0);
    assert_true(client_quiet(&c));
    PROVES("R7143-4.2.3.3-01", "target");
    PROVES("R7143-4.2.3.3-07", "target");
    PROVES("R7143-11.5.1-10", "target");
    PROVES("R7143-4.2.3.3-12", "target");
}

/* All functions on more than one task do. The command may end in the usual way before. */
static void resets_wait_for_data_that_was_asked_for(void **state)
{
    static const uint8_t functions[] = {4, 5, 6};
    for (size_t i = 0; i < sizeof functions; i++) {
        teardown(state);
        setup(state);
        login();
        struct pdu_scsi_command p = command(&c, false, true, 8 * BLOCK);
        struct pdu_r2t r2t;
        cdb_rw(p.cdb, true, 0, 8);
        command_send(&c, &p, NULL, 0);
        pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
        tmf(&c, functions[i], 0, 0, 0, true, false);
        assert_true(client_quiet(&c));
        struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
        data_out_send(&c, &out, block, sizeof block);
        struct reply *r = client_reply(&c);
        if (r && pdu_opcode(r->bhs) == PDU_OP_scsi_response)
            r = client_reply(&c);
        assert_non_null(r);
        assert_int_equal(pdu_opcode(r->bhs), PDU_OP_task_management_response);
        assert_true(client_quiet(&c));
    }
    PROVES("R7143-4.2.3.3-07", "target");
}

static void abort_task_set_does_not_wait_for_ever(void **state)
{
    (void)state;
    login();
    struct pdu_scsi_command p = command(&c, false, true, 8 * BLOCK);
    cdb_rw(p.cdb, true, 0, 8);
    command_send(&c, &p, NULL, 0);
    client_expect(&c, PDU_OP_r2t);
    tmf(&c, 2, 0, 0, 0, true, false);
    assert_true(client_quiet(&c));
    assert_true(tgt_deadline(&w.r) != UINT64_MAX);
    world_pass(&w, 11000000000u);
    client_expect(&c, PDU_OP_task_management_response);
    PROVES("R7143-11.5.1-11", "target");
}

static void task_set_functions_wait_for_missing_commands(void **state)
{
    (void)state;
    login();
    uint32_t missing = c.cmd_sn++;
    tmf(&c, 4, 0, 0, 0, true, false); /* its CmdSN says that one command was sent before it */
    assert_true(client_quiet(&c));
    struct pdu_scsi_command p = tur(&c, missing);
    command_send(&c, &p, NULL, 0);
    struct reply *r;
    bool answered = false;
    while ((r = client_reply(&c)) != NULL)
        answered |= pdu_opcode(r->bhs) == PDU_OP_task_management_response;
    assert_true(answered);
    PROVES("R7143-4.2.3.3-09", "target");
    PROVES("R7143-11.6.1-04", "target");
    PROVES("R7143-4.2.2.1-04", "target");
}

static void functions_answer_their_codes(void **state)
{
    (void)state;
    login();
    assert_int_equal(tmf(&c, 2, 0, 0, 0, true, true).response, 0);
    assert_int_equal(tmf(&c, 3, 0, 0, 0, false, true).response, 255); /* no ACA without NACA */
    assert_int_equal(tmf(&c, 4, 0, 0, 0, false, true).response, 0);
    assert_int_equal(tmf(&c, 5, 0, 0, 0, true, true).response, 0);
    assert_int_equal(tmf(&c, 5, 9, 0, 0, true, true).response, 2);
    assert_int_equal(tmf(&c, 6, 0, 0, 0, true, true).response, 0);
    assert_int_equal(tmf(&c, 8, 0, 1, 0, true, true).response, 4);
    assert_int_equal(tmf(&c, 9, 0, 0, 0, true, true).response, 5);
    assert_int_equal(tmf(&c, 100, 0, 0, 0, true, true).response, 5);
    PROVES("R7143-11.6.1-01", "target");
    PROVES("R7143-11.6.1-02", "target");
    PROVES("R7143-11.5.3-02", "target");
    PROVES("R7143-7.2.2-09", "target");
    PROVES("R7143-11.6.2-01", "target");
    PROVES("R7143-11.5.1-01", "target");
}

static void cold_reset_ends_all_sessions_of_the_target(void **state)
{
    (void)state;
    login();
    client_init(&d, &w);
    d.isid[5] = 2;
    client_login(&d, "");
    assert_int_equal(tmf(&c, 7, 0, 0, 0, true, true).response, 0);
    assert_true(c.closed);
    assert_true(d.closed);
    assert_int_equal(w.downs, 2);
    PROVES("R7143-11.5.1-21", "target");
    PROVES("R7143-11.6.1-03", "target");
}

/* ---- logout ---- */

static void logout_closes_what_it_names(void **state)
{
    (void)state;
    login();
    assert_int_equal(logout(1, 55, true).response, 1);
    assert_false(c.closed);
    assert_int_equal(logout(0, 0, true).response, 0);
    assert_true(c.closed);
    assert_int_equal(w.downs, 1);
    client_fini(&c);
    client_init(&c, &w);
    login();
    assert_int_equal(logout(2, 1, true).response, 2); /* a failed logout: the connection is given up */
    assert_true(c.closed);
    assert_int_equal(w.r.transitions[TGT_T17], 1);
    assert_int_equal(w.downs, 2);
    client_fini(&c);
    client_init(&c, &w);
    login();
    assert_int_equal(logout(1, 1, true).response, 0);
    assert_true(c.closed);
    assert_int_equal(w.downs, 3);
    PROVES("R7143-8.1.2-19", "target");
    PROVES("R7143-11.15.1-01", "target");
    PROVES("R7143-11.15.1-02", "target");
    PROVES("R7143-11.15.1-03", "target");
    PROVES("R7143-11.15-01", "target");
    PROVES("R7143-11.15.2-01", "target");
    PROVES("R7143-11.14-05", "target");
    PROVES("R7143-6.3.5-04", "target");
}

static void logout_answers_when_commands_have_left_the_store(void **state)
{
    (void)state;
    login();
    w.delay = true;
    read_send(&c, 0, 8);
    logout(0, 0, false);
    assert_true(client_quiet(&c));
    w.delay = false;
    world_release(&w);
    struct pdu_logout_response rsp;
    pdu_logout_response_decode(client_expect(&c, PDU_OP_logout_response)->bhs, &rsp);
    assert_int_equal(rsp.response, 0);
    assert_true(c.closed);
    PROVES("R7143-11.14-03", "target");
}

/* ---- NOP ---- */

static void pings_are_echoed(void **state)
{
    (void)state;
    client_login(&c, "MaxRecvDataSegmentLength=512");
    static uint8_t data[1000];
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_nop_out p;
    struct pdu_nop_in in;
    pattern(data, sizeof data, 1);
    const uint32_t lens[] = {0, 5, 512, 1000};
    for (int i = 0; i < 4; i++) {
        pdu_nop_out_init(&p);
        p.itt = 50;
        p.ttt = PDU_TAG_RESERVED;
        p.cmd_sn = c.cmd_sn++;
        pdu_nop_out_encode(&p, bhs);
        client_send(&c, bhs, data, lens[i]);
        pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
        assert_int_equal(c.reply.len, lens[i] < 512 ? lens[i] : 512);
        assert_memory_equal(c.reply.data, data, c.reply.len);
        assert_int_equal(in.itt, 50);
        assert_int_equal(in.ttt, PDU_TAG_RESERVED);
        assert_int_equal(in.stat_sn, c.exp_stat_sn++);
        assert_int_equal(in.exp_cmd_sn, c.cmd_sn);
    }
    p.itt = PDU_TAG_RESERVED;
    p.immediate = 1;
    pdu_nop_out_encode(&p, bhs);
    client_send(&c, bhs, NULL, 0);
    assert_true(client_quiet(&c));
    PROVES("R7143-11.18.1-02", "target");
    PROVES("R7143-11.18.3-01", "target");
    PROVES("R7143-11.19-01", "target");
    PROVES("R7143-11.19-02", "target");
    PROVES("R7143-11.19-03", "target");
    PROVES("R7143-11.19-04", "target");
    PROVES("R7143-11.19.2-01", "target");
    PROVES("R7143-4.6.3.6-01", "target");
}

static void silence_after_an_answered_ping_ends_the_connection(void **state)
{
    (void)state;
    w.config->limits.nop_interval_ns = 1000;
    w.config->limits.nop_timeout_ns = 5000;
    login();
    struct pdu_nop_in in;
    world_pass(&w, 1000);
    pdu_nop_in_decode(client_expect(&c, PDU_OP_nop_in)->bhs, &in);
    assert_int_equal(in.itt, PDU_TAG_RESERVED);
    assert_int_not_equal(in.ttt, PDU_TAG_RESERVED);
    assert_int_equal(in.stat_sn, c.exp_stat_sn); /* not used up */
    assert_int_equal(c.reply.len, 0);
    world_pass(&w, 1000000); /* it has never answered: it may be boot firmware */
    assert_false(c.closed);
    nop_ack(&c, in.ttt, 0);
    world_pass(&w, 1000);
    client_expect(&c, PDU_OP_nop_in);
    world_pass(&w, 4999);
    assert_false(c.closed);
    world_pass(&w, 1);
    assert_true(c.closed);
    PROVES("R7143-11.19-05", "target");
    PROVES("R7143-11.19.1-01", "target");
    PROVES("R7143-7.14-01", "target");
}

/* ---- reject ---- */

static void wrong_requests_are_rejected_and_not_counted(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint8_t opcode, flags, reason;
        uint32_t itt;
    } rows[] = {
        {"unknown opcode", 0x07, 0x80, 5, 1},
        {"vendor opcode", 0x1c, 0x80, 5, 1},
        {"a target's opcode", 0x25, 0x80, 5, 1},
        {"SNACK at level 0", 0x10, 0x80, 3, 1},
        {"Login Request", 0x43, 0x87, 4, 1},
        {"command without F or W", 0x01, 0x00, 9, 1},
        {"reserved attribute", 0x01, 0x87, 4, 1},
        {"command with the reserved tag", 0x01, 0x80, 9, 0xffffffff},
        {"text with F and C", 0x44, 0xc0, 4, 1},
        {"logout reason 3", 0x06, 0x83, 4, 1},
        {"task management without F", 0x02, 0x01, 9, 1},
    };
    login();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bhs[PDU_BHS_LEN] = {rows[i].opcode, rows[i].flags};
        struct pdu_reject rej;
        be32_put(bhs + 16, rows[i].itt);
        be32_put(bhs + 20, 0xffffffff);
        be32_put(bhs + 24, c.cmd_sn);
        client_send(&c, bhs, NULL, 0);
        pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
        if (rej.reason != rows[i].reason)
            fail_msg("%s: reason %u", rows[i].what, rej.reason);
        assert_int_equal(rej.itt, PDU_TAG_RESERVED);
        assert_int_equal(rej.exp_cmd_sn, c.cmd_sn);
        assert_int_equal(rej.stat_sn, c.exp_stat_sn++);
        assert_int_equal(c.reply.len, PDU_BHS_LEN);
        assert_int_equal(c.reply.data[0], rows[i].opcode);
    }
    client_settle(&c, 0);
    PROVES("R7143-11.2.1.2-04", "target");
    PROVES("R7143-11.17.1-01", "target");
    PROVES("R7143-11.17.1-02", "target");
    PROVES("R7143-7.3-04", "target");
    PROVES("R7143-6.2-02", "target");
    PROVES("R7143-4.2.4-04", "target");
    PROVES("R7143-7.13-01", "target");
    PROVES("R7143-11-04", "target");
    PROVES("R7143-11.3.1-06", "target");
}

static void additional_headers_are_parsed_with_care(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[24];
        uint8_t len;
        bool good;
    } rows[] = {
        {{0, 9, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8}, 12, true}, /* eight more CDB bytes */
        {{0, 5, 2, 0, 0, 0, 2, 0}, 8, true},
        {{0, 9, 1, 0}, 4, false},
        {{0, 0, 1, 0}, 4, false},
        {{0, 5, 3, 0, 0, 0, 0, 0}, 8, false},
        {{0xff, 0xff, 1, 0}, 4, false},
        {{0, 4, 2, 0, 0, 0, 2, 0}, 8, false},
    };
    login();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pdu_scsi_command p = command(&c, false, false, 0);
        uint8_t bhs[PDU_BHS_LEN];
        pdu_scsi_command_encode(&p, bhs);
        client_queue_ahs(&c, bhs, rows[i].bytes, rows[i].len, "", 0);
        client_push(&c);
        if (rows[i].good) {
            assert_int_equal(expect_response(&c).itt, p.itt);
            continue;
        }
        struct pdu_reject rej;
        pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
        assert_int_equal(rej.reason, 9);
        assert_int_equal(c.reply.len, PDU_BHS_LEN + rows[i].len);
        c.exp_stat_sn++;
        c.cmd_sn--;
    }
    PROVES("R7143-11.2.2.1-01", "target");
    PROVES("R7143-11.2.2.2-01", "target");
}

/* ---- configuration and the end ---- */

static void removed_target_ends_its_sessions(void **state)
{
    (void)state;
    login();
    client_init(&d, &w);
    assert_int_equal(
        login_status(client_login_step(&d, 1, 3, "InitiatorName=" INITIATOR "\nTargetName=" SECOND)), 0);
    struct tgt_config *fewer = world_config(&w, 1);
    tgt_reactor_set_config(&w.r, fewer);
    tgt_config_unref(fewer);
    assert_false(tgt_reactor_config_adopted(&w.r));
    world_pump(&w);
    assert_true(tgt_reactor_config_adopted(&w.r));
    assert_true(d.closed);
    assert_false(c.closed);
    read_send(&c, 0, 1);
    struct reply *r = client_reply(&c);
    assert_non_null(r);
}

static void stop_asks_for_logout_and_lets_commands_end(void **state)
{
    (void)state;
    login();
    w.delay = true;
    read_send(&c, 0, 1);
    assert_int_equal(tgt_stop(&w.r, false), 1);
    world_pump(&w);
    struct pdu_async_message async;
    pdu_async_message_decode(client_expect(&c, PDU_OP_async_message)->bhs, &async);
    assert_int_equal(async.async_event, 1);
    assert_int_equal(async.itt, PDU_TAG_RESERVED);
    assert_int_equal(async.parameter1 | async.parameter2, 0);
    assert_int_not_equal(async.parameter3, 0);
    assert_int_equal(async.stat_sn, c.exp_stat_sn);
    struct pdu_reject rej;
    struct pdu_scsi_command p = command(&c, false, false, 0);
    command_send(&c, &p, NULL, 0);
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
    assert_int_equal(rej.reason, 12);
    assert_false(c.closed);
    w.delay = false;
    world_release(&w);
    client_expect(&c, PDU_OP_data_in);
    assert_false(c.closed); /* time to log out */
    world_pass(&w, 1400000000);
    assert_true(client_quiet(&c));
    world_pass(&w, 1500000000);
    pdu_async_message_decode(client_expect(&c, PDU_OP_async_message)->bhs, &async);
    assert_int_equal(async.async_event, 1); /* once more, at half of the time */
    assert_true(client_quiet(&c) && !c.closed);
    world_pass(&w, 200000000);
    pdu_async_message_decode(client_expect(&c, PDU_OP_async_message)->bhs, &async);
    assert_int_equal(async.async_event, 3);
    assert_true(c.closed);
    PROVES("R7143-11.9.1-06", "target");
    PROVES("R7143-11.9-01", "target");
    PROVES("R7143-11.9.1-01", "target");
    PROVES("R7143-11.9.1-05", "target");
    PROVES("R7143-11.9.1-16", "target");
    PROVES("R7143-11.9.2-01", "target");
}

static void lost_connection_ends_the_session_when_the_store_lets_go(void **state)
{
    (void)state;
    login();
    w.delay = true;
    read_send(&c, 0, 8);
    struct pdu_scsi_command p = command(&c, false, true, 8 * BLOCK);
    cdb_rw(p.cdb, true, 8, 8);
    command_send(&c, &p, block, sizeof block);
    tgt_conn_lost(c.conn, ERR_RESET);
    world_pump(&w);
    assert_true(c.closed);
    assert_int_equal(w.downs, 0);
    world_release(&w);
    assert_int_equal(w.downs, 1);
    PROVES("R7143-7.1.4.3-07", "target");
    PROVES("R7143-7.1.4.4-02", "target");
    PROVES("R7143-7.6-01", "target");
}

static void sessions_can_be_listed_and_dropped(void **state)
{
    (void)state;
    client_login(&c, "InitiatorAlias=my host\nMaxBurstLength=4096\nFirstBurstLength=1024");
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_string_equal(info.initiator, INITIATOR);
    assert_string_equal(info.alias, "my host");
    assert_string_equal(info.target, TARGET);
    assert_string_equal(info.auth, "None");
    assert_int_equal(info.max_burst, 4096);
    assert_int_equal(info.tsih, c.tsih);
    uint64_t id = info.id;
    assert_false(tgt_session_next(&w.r, id, &info));
    assert_true(tgt_session_drop(&w.r, id));
    world_pump(&w);
    assert_true(c.closed);
    assert_false(tgt_session_drop(&w.r, id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(abort_task_follows_ref_cmd_sn),
        TEST(abort_of_a_write_drops_its_late_data),
        TEST(reset_by_another_session_while_data_arrives_is_safe),
        TEST(abort_task_set_waits_for_data_that_was_asked_for),
        TEST(resets_wait_for_data_that_was_asked_for),
        TEST(abort_task_set_does_not_wait_for_ever),
        TEST(task_set_functions_wait_for_missing_commands),
        TEST(functions_answer_their_codes),
        TEST(cold_reset_ends_all_sessions_of_the_target),
        TEST(logout_closes_what_it_names),
        TEST(logout_answers_when_commands_have_left_the_store),
        TEST(pings_are_echoed),
        TEST(silence_after_an_answered_ping_ends_the_connection),
        TEST(wrong_requests_are_rejected_and_not_counted),
        TEST(additional_headers_are_parsed_with_care),
        TEST(removed_target_ends_its_sessions),
        TEST(stop_asks_for_logout_and_lets_commands_end),
        TEST(lost_connection_ends_the_session_when_the_store_lets_go),
        TEST(sessions_can_be_listed_and_dropped),
    };
    return cmocka_run_group_tests_name("target_session", tests, NULL, NULL);
}
