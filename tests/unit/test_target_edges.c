/* Goal: the target's limits at their value and one beyond, and what it tells of itself. Method: raw
 * initiators. */
#include "proves.h"
#include "target_edges.h"

/* ---- what it tells of itself ---- */

static void the_portal_group_is_told_and_kept(void **state)
{
    (void)state;
    tgt_conn_lost(c.conn, 0);
    world_pump(&w);
    free(c.in);
    free(c.out);
    free(c.reply.data);
    memset(&c, 0, sizeof c);
    client_init(&c, &w);
    tgt_conn_lost(c.conn, 0);
    world_pump(&w);
    struct tgt_conn_info info = {.group = 0x1234, .host = &c};
    addr_parse("127.0.0.1:3260", 3260, &info.local);
    addr_parse("10.1.2.3:40000", 0, &info.peer);
    assert_int_equal(tgt_conn_new(&w.r, &info, &c.conn), 0);
    c.closed = false;
    client_login(&c, "MaxConnections=3\nMaxRecvDataSegmentLength=4096\nInitiatorAlias=me");
    assert_true(reply_has(&c.reply, "TargetPortalGroupTag=4660"));
    client_settle(&c, 0);
    /* VPD page 83: relative port, then the target port's name. */
    struct pdu_scsi_command p = command(&c, true, false, 255);
    memcpy(p.cdb, "\x12\x01\x83\x00\xff\x00", 6);
    command_send(&c, &p, NULL, 0);
    struct reply *r = client_expect(&c, PDU_OP_data_in);
    struct pdu_data_in in;
    pdu_data_in_decode(r->bhs, &in);
    c.exp_stat_sn = in.stat_sn + 1;
    assert_memory_equal(r->data + 4 + 20 + 19, "\x51\x94\x00\x04\x00\x00\x12\x34", 8);
    assert_string_equal((char *)r->data + 4 + 20 + 19 + 8 + 4, TARGET ",t,0x1234");

    struct tgt_session_info s;
    w.now += 12345;
    assert_true(tgt_session_next(&w.r, 0, &s));
    assert_int_equal(s.group, 0x1234);
    assert_int_equal(s.tsih, c.tsih);
    assert_string_equal(s.initiator, INITIATOR);
    assert_string_equal(s.alias, "me");
    assert_string_equal(s.target, TARGET);
    assert_memory_equal(s.isid, c.isid, 6);
    assert_int_equal(s.age_ns, 12345);
    assert_int_equal(s.connections, 1);
    assert_int_equal(s.commands, 2);
    assert_int_equal(s.outstanding, 0);
    assert_int_equal(s.read_bytes, r->len);
    assert_int_equal(s.write_bytes, 0);
    assert_int_equal(s.max_connections, 3);
    assert_int_equal(s.peer_max_recv, 4096);
    assert_false(s.discovery || s.header_digest || s.data_digest);
    assert_true(addr_equal(&s.peer, &info.peer) && addr_equal(&s.local, &info.local));
    assert_false(tgt_session_next(&w.r, s.id, &s));
    assert_false(tgt_session_drop(&w.r, s.id + 1));
}

static void a_connection_that_is_replaced_is_no_drop(void **state)
{
    (void)state;
    login(2, "");
    client_join(&d, &c, 2, "");
    struct client e;
    client_join(&e, &c, 2, ""); /* the same CID again */
    assert_true(d.closed);
    assert_true(client_quiet(&c)); /* nobody is told what the initiator did itself */
    assert_false(e.closed);
    client_fini(&e);
}

static void counters_count_once(void **state)
{
    (void)state;
    struct tgt_counters *n = &w.r.counters;
    login(0, "InitialR2T=No\nFirstBurstLength=4096");
    assert_int_equal(n->connections, 1);
    assert_int_equal(n->logins, 1);
    assert_int_equal(n->logins_failed, 0);
    assert_int_equal(n->sessions, 1);
    assert_int_equal(n->commands, 2);
    assert_int_equal(n->read_bytes + n->write_bytes, 0);
    struct pdu_scsi_command p = write_command(&c, 0, 16);
    command_send(&c, &p, data, 1024); /* F = 1: immediate data only */
    struct pdu_r2t r2t = expect_r2t(&c);
    assert_int_equal(r2t.buffer_offset, 1024);
    assert_int_equal(r2t.desired_data_transfer_length, 7168);
    assert_int_equal(n->write_bytes, 1024);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 1024, true);
    data_out_send(&c, &out, data + 1024, 7168);
    assert_int_equal(expect_response(&c).status, 0);
    assert_int_equal(n->write_bytes, 8192);
    read_send(&c, 0, 16);
    read_collect(&c, data + 8192, 8192);
    assert_memory_equal(data, data + 8192, 8192);
    assert_int_equal(n->read_bytes, 8192);
    assert_int_equal(n->commands, 4);
    assert_int_equal(n->rejects + n->tmfs + n->snacks + n->recovery_r2ts + n->reassigned, 0);
    assert_int_equal(n->pdus_in, 6);  /* login, four commands, one Data-Out */
    assert_int_equal(n->pdus_out, 6); /* the answers, one R2T; the read's status is in its data */
    assert_int_equal(n->discarded_pdus, 0);
    p.itt = 9999;
    p.cmd_sn = c.cmd_sn + 5000;
    command_send(&c, &p, NULL, 0);
    assert_int_equal(n->discarded_pdus, 1);
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request again;
    login_request(&c, &again, 1, 3);
    pdu_login_request_encode(&again, bhs);
    client_send(&c, bhs, NULL, 0);
    assert_int_equal(expect_reject(&c), 4);
    assert_int_equal(n->rejects, 1);
    assert_int_equal(n->logins, 1);
}

/* ---- limits ---- */

static void targets_are_found_by_their_whole_name(void **state)
{
    (void)state;
    const struct tgt_target *t = w.config->targets;
    assert_ptr_equal(tgt_config_find(w.config, TARGET), &t[0]);
    assert_ptr_equal(tgt_config_find(w.config, SECOND), &t[1]);
    assert_ptr_equal(tgt_config_find(w.config, "IQN.2026-01.com.EXAMPLE:Second"),
                     &t[1]); /* normalised first */
    assert_null(tgt_config_find(w.config, TARGET "s"));
    assert_null(tgt_config_find(w.config, "iqn.2026-01.com.example:dis"));
    assert_null(tgt_config_find(w.config, "iqn.2026-01.com.example:disl"));
    assert_null(tgt_config_find(w.config, "disk"));
    PROVES("R7143-4.2.7.2-05", "target");
}

/* As high as both want, and 0 always works. */
static void the_recovery_level_is_the_lower_one(void **state)
{
    (void)state;
    for (uint8_t ours = 0; ours < 4; ours++)
        for (int theirs = 0; theirs < 3; theirs++) {
            struct client e;
            struct tgt_session_info info;
            char key[40];
            w.config->targets[0].keys.error_recovery_level = ours;
            client_init(&e, &w);
            snprintf(key, sizeof key, "ErrorRecoveryLevel=%d", theirs);
            client_login(&e, key);
            assert_true(tgt_session_next(&w.r, 0, &info));
            int level = theirs < ours ? theirs : ours;
            assert_int_equal(info.error_recovery_level, level);
            client_settle(&e, 0);
            e.exp_stat_sn--; /* not acknowledged yet */
            snack_send(&e, 1, PDU_TAG_RESERVED, PDU_TAG_RESERVED, e.exp_stat_sn, 1);
            if (level)
                client_expect(&e, PDU_OP_scsi_response); /* and what was agreed works */
            else
                expect_reject(&e);
            assert_true(tgt_session_drop(&w.r, info.id));
            world_pump(&w);
            client_fini(&e);
        }
    w.config->targets[0].keys.error_recovery_level = 0;
    client_login(&c, "");
    client_settle(&c, 0);
    read_send(&c, 0, 1);
    read_collect(&c, data, 512);
    PROVES("R7143-7.1.5-02", "target");
    PROVES("R7143-7.1.5-03", "target");
    PROVES("R7143-7.1.5-05", "target");
    PROVES("R7143-7.1.5-06", "target");
}

/* ---- recovery ---- */

/* Recovery and data in order allow only one R2T at a time, whatever was asked for. */
static void recovery_asks_for_one_burst_at_a_time(void **state)
{
    (void)state;
    for (int level = 0; level < 3; level++) {
        struct client e;
        struct tgt_session_info info;
        client_init(&e, &w);
        client_login_level(&e, level,
                           "InitialR2T=Yes\nImmediateData=No\nMaxBurstLength=4096\nFirstBurstLength=4096\n"
                           "MaxOutstandingR2T=3");
        client_settle(&e, 0);
        struct pdu_scsi_command p = write_command(&e, 0, 64);
        command_send(&e, &p, NULL, 0);
        struct pdu_r2t r2t[3];
        uint32_t open = level ? 1 : 3;
        for (uint32_t i = 0; i < open; i++)
            r2t[i] = expect_r2t(&e);
        for (uint32_t i = 0; i < 8; i++) {
            assert_true(i + open > 8 || client_quiet(&e));
            struct pdu_r2t *now = &r2t[i % open];
            assert_int_equal(now->r2t_sn, i);
            assert_int_equal(now->buffer_offset, i * 4096);
            assert_int_equal(now->desired_data_transfer_length, 4096);
            struct pdu_data_out out = data_out(p.itt, now->ttt, 0, i * 4096, true);
            data_out_send(&e, &out, data + i * 4096, 4096);
            if (i + open < 8)
                *now = expect_r2t(&e);
        }
        assert_int_equal(expect_response(&e).status, 0);
        assert_memory_equal(w.rams[0].data, data, 32768);
        assert_true(tgt_session_next(&w.r, 0, &info));
        assert_int_equal(info.max_outstanding_r2t, open);
        client_fini(&e);
        world_pass(&w, 100 * SECOND_NS);
    }
}

static void what_is_sent_again_has_todays_window(void **state)
{
    (void)state;
    login(1, "");
    uint32_t stat_sn = c.exp_stat_sn;
    struct pdu_scsi_command p = command(&c, false, false, 0);
    command_send(&c, &p, NULL, 0);
    struct pdu_scsi_response first, again;
    uint8_t bhs[PDU_BHS_LEN];
    memcpy(bhs, client_expect(&c, PDU_OP_scsi_response)->bhs, sizeof bhs);
    pdu_scsi_response_decode(bhs, &first);
    assert_int_equal(first.exp_cmd_sn, c.cmd_sn);
    p = command(&c, false, false, 0); /* acknowledges nothing */
    command_send(&c, &p, NULL, 0);
    client_expect(&c, PDU_OP_scsi_response);
    snack_send(&c, 1, PDU_TAG_RESERVED, PDU_TAG_RESERVED, stat_sn, 1);
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &again);
    assert_int_equal(again.exp_cmd_sn, first.exp_cmd_sn + 1);
    assert_int_equal(again.max_cmd_sn, first.max_cmd_sn + 1);
    assert_true(same_again(c.reply.bhs, bhs)); /* but for these two */
    PROVES("R7143-11.16-02", "target");
    PROVES("R7143-11.16-04", "target");
}

/* Whoever acknowledges the status has the data. */
static void acknowledged_status_ends_the_data_too(void **state)
{
    (void)state;
    login(1, "");
    uint32_t itt = read_send(&c, 0, 4);
    assert_int_equal(expect_data_in(&c).data_sn, 0);
    snack_send(&c, 0, itt, PDU_TAG_RESERVED, 0, 1);
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &(struct pdu_scsi_response){0});
    assert_int_equal(expect_data_in(&c).data_sn, 0); /* again */
    assert_true(client_quiet(&c));
    c.exp_stat_sn++;
    acknowledge_status(&c);
    snack_send(&c, 0, itt, PDU_TAG_RESERVED, 0, 1);
    assert_int_equal(expect_reject(&c), 9);
    PROVES("R7143-11.7.2-09", "target");
}

/* R-Data while the store still works on the rest: the response, when it comes, bears the tag. */
static void the_tag_of_a_snack_is_in_the_response(void **state)
{
    (void)state;
    login(1, "MaxRecvDataSegmentLength=262144\nMaxBurstLength=262144\nFirstBurstLength=65536");
    w.delay = true;
    uint32_t itt = read_send(&c, 0, 1024);
    assert_int_equal(w.delayed_count, 2);
    struct list_node *node = list_pop_front(&w.delayed);
    w.delayed_count--;
    store_execute(&w, list_entry(node, struct store_req, node));
    world_pump(&w);
    uint32_t sent = 0;
    while (!client_quiet(&c)) {
        expect_data_in(&c);
        sent++;
    }
    snack_send(&c, 3, itt, 77, 0, 0);
    for (uint32_t i = 0; i < sent; i++)
        assert_int_equal(expect_data_in(&c).data_sn, i);
    assert_true(client_quiet(&c));
    world_release(&w);
    struct reply *r;
    struct pdu_scsi_response rsp = {0};
    while ((r = client_reply(&c)) != NULL && pdu_opcode(r->bhs) == PDU_OP_data_in)
        ;
    assert_non_null(r);
    pdu_scsi_response_decode(r->bhs, &rsp);
    assert_int_equal(rsp.snack_tag, 77);
    assert_int_equal(rsp.status, 0);
    PROVES("R7143-11.16.5-02", "target");
}

/* BUSY says at level 2 of RFC 7144 when to come again, and below nothing. */
static void busy_says_when_to_come_again(void **state)
{
    (void)state;
    for (int level = 1; level < 3; level++) {
        struct client e;
        char keys[40];
        w.config->targets[0].keys.iscsi_protocol_level = 2;
        client_init(&e, &w);
        snprintf(keys, sizeof keys, "iSCSIProtocolLevel=%d", level);
        client_login(&e, keys);
        client_settle(&e, 0);
        w.fail_next = ERR_NOMEM;
        read_send(&e, 0, 1);
        struct pdu_scsi_response rsp = expect_response(&e);
        assert_int_equal(rsp.status, 8);
        assert_int_equal(rsp.status_qualifier, level == 2 ? 1 : 0);
        client_fini(&e);
        world_pass(&w, 100 * SECOND_NS);
    }
    PROVES("R7144-5.2.1-01", "target");
}

static void text_responses_count(void **state)
{
    (void)state;
    client_discovery(&c);
    uint32_t sn = c.exp_stat_sn;
    for (uint32_t i = 0; i < 3; i++) {
        struct pdu_text_request p;
        struct pdu_text_response rsp;
        uint8_t bhs[PDU_BHS_LEN];
        char text[40];
        pdu_text_request_init(&p);
        p.immediate = p.final = 1;
        p.itt = 50 + i;
        p.ttt = PDU_TAG_RESERVED;
        p.cmd_sn = c.cmd_sn;
        p.exp_stat_sn = sn + i;
        pdu_text_request_encode(&p, bhs);
        client_send(&c, bhs, text, text_make("SendTargets=All", text));
        pdu_text_response_decode(client_expect(&c, PDU_OP_text_response)->bhs, &rsp);
        assert_int_equal(rsp.stat_sn, sn + i);
        assert_int_equal(rsp.itt, 50 + i);
        assert_int_equal(rsp.exp_cmd_sn, c.cmd_sn);
    }
    PROVES("R7143-11.11.5-01", "target");
}

/* Command n is missing, n + 1 waits on a connection that is logged out while the store still works for it:
 * then n comes, and n + 1 is due. */
static void what_waited_on_a_connection_goes_with_its_logout(void **state)
{
    (void)state;
    login(0, "");
    client_join(&d, &c, 2, "");
    w.delay = true;
    read_send(&d, 0, 1);
    struct pdu_scsi_command late = command(&d, false, false, 0), early = late;
    early.cmd_sn++;
    early.itt++;
    command_send(&d, &early, NULL, 0);
    d.cmd_sn = early.cmd_sn;
    logout_send(&d, 1, d.cid, 77);
    assert_true(client_quiet(&d)); /* the read is still in the store */
    late.exp_stat_sn = c.exp_stat_sn;
    command_send(&c, &late, NULL, 0);
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &rsp);
    assert_int_equal(rsp.itt, late.itt);
    assert_int_equal(rsp.exp_cmd_sn, late.cmd_sn + 1);
    c.exp_stat_sn = rsp.stat_sn + 1;
    assert_true(client_quiet(&c));
    world_release(&w);
    client_expect(&d, PDU_OP_logout_response);
    PROVES("R7143-11.14-09", "target");
}

/* Without memory to remember its tasks the connection cannot be left for recovery. */
static void a_recovery_logout_can_fail(void **state)
{
    (void)state;
    login(2, "");
    client_join(&d, &c, 2, "");
    client_settle(&d, 0);
    struct pdu_logout_response rsp;
    d.cmd_sn = c.cmd_sn;
    w.fail_alloc = 1;
    logout_send(&d, 2, d.cid, 77);
    w.fail_alloc = 0;
    world_pump(&w);
    pdu_logout_response_decode(client_expect(&d, PDU_OP_logout_response)->bhs, &rsp);
    assert_int_equal(rsp.response, 3);
    assert_int_equal(rsp.itt, 77);
}

/* It has failed and waits for data that does not come: after the function's answer nothing is heard of it. */
static void a_function_takes_tasks_that_only_wait_for_data(void **state)
{
    (void)state;
    login(0, "InitialR2T=No\nFirstBurstLength=65536");
    struct pdu_scsi_command p = write_command(&c, BLOCKS, 8); /* beyond the end */
    p.final = 0;
    command_send(&c, &p, NULL, 0);
    assert_true(client_quiet(&c));
    struct pdu_task_management_request t = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&c, &t);
    assert_true(client_quiet(&c));
    world_pass(&w, 10 * SECOND_NS);
    client_expect(&c, PDU_OP_task_management_response);
    struct pdu_data_out out = data_out(p.itt, PDU_TAG_RESERVED, 0, 0, true);
    data_out_send(&c, &out, data, 4096);
    assert_true(client_quiet(&c) && !c.closed);
    PROVES("R7143-11.5.1-05", "target");
}

/* A CHECK CONDITION to a command with NACA is fenced; the bit lies in the last byte of each length of CDB. */
static void the_control_byte_decides_about_the_fence(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode, control;
    } rows[] = {{0x00, 5}, {0x28, 9}, {0x42, 9}, {0x7f, 1}, {0x88, 15}, {0xa8, 11}};
    login(0, "TaskReporting=ResponseFence");
    client_join(&d, &c, 2, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (uint8_t at = 1; at < 16; at++) {
            read_send(&d, 0, 1); /* a response that is not acknowledged */
            read_collect(&d, data, 512);
            c.cmd_sn = d.cmd_sn;
            struct pdu_scsi_command p = command(&c, false, false, 0);
            p.cdb[0] = rows[i].opcode;
            p.cdb[at] = 0x04;
            command_send(&c, &p, NULL, 0);
            d.cmd_sn = c.cmd_sn;
            bool fenced = client_quiet(&c);
            if (rows[i].control == at) {
                assert_true(fenced);
                assert_int_equal(tgt_deadline(&w.r) - w.now,
                                 10 * SECOND_NS); /* patience with who is silent */
            }
            if (at != 1 && at != rows[i].control)
                assert_false(fenced);
            if (fenced)
                nop_ack(&d, expect_ping(&d), 0);
            expect_response(&c);
            while (!client_quiet(&c)) /* it is asked to acknowledge in turn */
                nop_ack(&c, expect_ping(&c), 0);
        }
}

static void a_new_connection_waits_to_be_read(void **state)
{
    (void)state;
    struct tgt_conn *conn;
    struct tgt_conn_info info = {.group = 1, .host = &d};
    assert_int_equal(tgt_conn_new(&w.r, &info, &conn), 0);
    tgt_run(&w.r);
    assert_null(tgt_next_to_read(&w.r)); /* nobody was told to wait */
    assert_null(tgt_next_to_send(&w.r));
    tgt_conn_lost(conn, 0);
    struct tgt_event event;
    assert_true(tgt_next_event(&w.r, &event));
    assert_int_equal(event.kind, TGT_EVENT_CLOSE);
    assert_ptr_equal(event.conn, conn);
    tgt_conn_closed(conn);
}

/* LUN 1 in flat space addressing is LUN 1. */
static void a_lun_has_two_spellings(void **state)
{
    (void)state;
    login(0, "InitialR2T=Yes");
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    p.lun = 0x0001000000000000ull;
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    assert_int_equal(r2t.lun, p.lun);
    for (int other = 1; other >= 0; other--) {
        struct pdu_task_management_request t = tmf_request(&c, 2, 0, PDU_TAG_RESERVED, 0);
        t.lun = other ? 0x4000000000000000ull : 0x4001000000000000ull;
        tmf_send(&c, &t);
        if (other) /* nothing of LUN 0 is under way */
            assert_int_equal(tmf_answer(&c).response, 0);
    }
    assert_true(client_quiet(&c)); /* data is on its way */
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, data, 4096);
    assert_int_equal(tmf_answer(&c).response, 0);
    assert_true(client_quiet(&c)); /* the write was aborted */
    PROVES("R7143-4.2.5.3-03", "target");
    PROVES("R7143-11.5.1-03", "target");
}

static void expect_residual(bool write, uint32_t edtl, uint16_t blocks, bool over, bool under, uint32_t count)
{
    struct pdu_scsi_command p = command(&c, !write, write, edtl);
    cdb_rw(p.cdb, write, 0, blocks);
    command_send(&c, &p, data, write ? edtl : 0);
    struct reply *r = client_reply(&c);
    assert_non_null(r);
    bool o, u;
    uint32_t n;
    if (pdu_opcode(r->bhs) == PDU_OP_data_in) {
        struct pdu_data_in in;
        pdu_data_in_decode(r->bhs, &in);
        assert_true(in.has_status);
        o = in.overflow, u = in.underflow, n = in.residual_count;
        c.exp_stat_sn = in.stat_sn + 1;
    } else {
        struct pdu_scsi_response rsp;
        assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
        pdu_scsi_response_decode(r->bhs, &rsp);
        o = rsp.overflow, u = rsp.underflow, n = rsp.residual_count;
        c.exp_stat_sn = rsp.stat_sn + 1;
    }
    assert_int_equal(o, over);
    assert_int_equal(u, under);
    assert_int_equal(n, count);
}

static void both_directions_have_residuals(void **state)
{
    (void)state;
    login(0, "InitialR2T=No\nFirstBurstLength=65536");
    for (int write = 0; write < 2; write++) {
        expect_residual(write, 1024, 1, false, true, 512);
        expect_residual(write, 1024, 2, false, false, 0);
        expect_residual(write, 1024, 3, true, false, 512);
        expect_residual(write, 1, 1, true, false, 511);
    }
    PROVES("R7143-11.4.5.2-03", "target");
}

/* Bytes read ahead find no memory on the way to another reactor. */
static void a_move_without_memory_ends_the_connection(void **state)
{
    (void)state;
    w.hold_place = true;
    char text[400];
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request p;
    login_request(&c, &p, 1, 3);
    pdu_login_request_encode(&p, bhs);
    client_queue_ahs(&c, bhs, "", 0, text, text_make(NAMES, text));
    client_bytes(&c, bhs, 20);
    client_push(&c);
    assert_non_null(w.placing);
    w.fail_alloc = 1;
    tgt_conn_detach(w.placing);
    w.fail_alloc = 0;
    tgt_conn_adopt(&w.r, w.placing);
    world_pump(&w);
    assert_true(c.closed);
}

static void session_handles_skip_zero_and_what_is_taken(void **state)
{
    (void)state;
    w.r.next_tsih = 0xfffe;
    client_login(&c, "");
    assert_int_equal(c.tsih, 0xffff);
    client_init(&d, &w);
    d.isid[5] = 2;
    client_login(&d, "");
    assert_int_equal(d.tsih, 1);
    client_fini(&d);
    w.r.next_tsih = 0xfffe; /* ffff is c's */
    client_init(&d, &w);
    d.isid[5] = 3;
    client_login(&d, "");
    assert_int_equal(d.tsih, 1);
}

/* Said in so many words, in separate texts: such a login does not succeed. */
static void bursts_that_contradict_each_other_fail_the_login(void **state)
{
    (void)state;
    struct pdu_login_response rsp =
        client_login_step(&c, 1, -1, NAMES "\nSessionType=Normal\nFirstBurstLength=65536");
    assert_int_equal(login_status(rsp), 0);
    rsp = client_login_step(&c, 1, 3, "MaxBurstLength=4096");
    assert_int_equal(login_status(rsp), 0x0200);
    assert_true(c.closed);
    client_init(&d, &w);
    rsp = client_login_step(&d, 1, -1, NAMES "\nSessionType=Normal\nFirstBurstLength=4096");
    assert_int_equal(login_status(rsp), 0);
    rsp = client_login_step(&d, 1, 3, "MaxBurstLength=4096");
    assert_int_equal(login_status(rsp), 0);
    struct tgt_session_info info;
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_int_equal(info.first_burst, 4096);
    assert_int_equal(info.max_burst, 4096);
    PROVES("R7143-6.2-24", "target");
}

static void the_window_is_at_least_one_and_at_most_1024(void **state)
{
    (void)state;
    static const uint32_t rows[][2] = {{0, 1},       {1, 1},       {2, 2},
                                       {1024, 1024}, {1025, 1024}, {UINT32_MAX, 1024}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client e;
        struct pdu_login_response rsp;
        w.config->limits.command_window = rows[i][0];
        client_init(&e, &w);
        client_login(&e, "");
        pdu_login_response_decode(e.reply.bhs, &rsp);
        assert_int_equal(rsp.exp_cmd_sn, e.cmd_sn);
        assert_int_equal(rsp.max_cmd_sn - rsp.exp_cmd_sn + 1, rows[i][1]);
        client_fini(&e);
    }
}

/* Fixed format, 18 bytes, whatever the mistake: only the code differs. */
static void sense_of_the_transport_has_these_bytes(void **state)
{
    (void)state;
    static const uint8_t want[20] = {0, 18, 0x70, 0, 0x0b, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0x0c};
    login(0, "ImmediateData=No");
    struct pdu_scsi_command p = write_command(&c, 0, 2);
    command_send(&c, &p, data, 512);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.status, 2);
    assert_int_equal(rsp.response, 0);
    assert_true(rsp.underflow);
    assert_int_equal(rsp.residual_count, 1024);
    assert_int_equal(c.reply.len, 20);
    assert_memory_equal(c.reply.data, want, 20);
}

static void additional_headers_of(uint32_t len, const char *bytes, size_t given, bool good)
{
    uint8_t bhs[PDU_BHS_LEN], ahs[1024] = {0};
    struct pdu_scsi_command p = command(&c, true, true, 512);
    memcpy(ahs, bytes, len < given ? len : given);
    cdb_rw(p.cdb, true, 0, 1);
    pdu_scsi_command_encode(&p, bhs);
    client_queue_ahs(&c, bhs, ahs, len, data, 512);
    client_push(&c);
    if (!good) {
        assert_int_equal(expect_reject(&c), 9);
        c.cmd_sn--; /* it was not received */
        return;
    }
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.status, 0);
}

#define additional_headers(len, bytes, good) additional_headers_of(len, bytes, sizeof(bytes), good)

/* Length 2 bytes, type 1, then the length's bytes; 244 bytes follow the sixteenth of the longest CDB. */
static void additional_headers_to_the_last_byte(void **state)
{
    (void)state;
    login(0, "");
    additional_headers(8, "\x00\x05\x02\x00\x00\x00\x00\x00", true);               /* read length */
    additional_headers(8, "\x00\x04\x02\x00\x00\x00\x00\x00", false);              /* too short, */
    additional_headers(12, "\x00\x06\x02\x00\x00\x00\x00\x00", false);             /* too long, */
    additional_headers(8, "\x00\x05\x03\x00\x00\x00\x00\x00", false);              /* of no type, */
    additional_headers(16, "\x00\x05\x02\0\0\0\0\0\x00\x05\x02\0\0\0\0\0", false); /* twice */
    additional_headers(4, "\x00\x01\x01\x00", false);                              /* no byte of CDB, */
    additional_headers(8, "\x00\x02\x01\x00\x00", true);                           /* one, */
    additional_headers(248, "\x00\xf5\x01\x00", true);                             /* 244, */
    additional_headers(252, "\x00\xf6\x01\x00", false);                            /* one more */
    additional_headers(8, "\x00\x06\x01\x00", false); /* longer than what is there */
    additional_headers(4, "\x00\x00\x01\x00", false);
    additional_headers(16, "\x00\x02\x01\0\0\0\0\0\x00\x02\x01\0\0\0\0\0", false);
    additional_headers(16, "\x00\x02\x01\0\0\0\0\0\x00\x05\x02\0\0\0\0\0", true); /* one of each */
}

/* What comes for a command that had no memory is read, dropped, and answered BUSY. */
static void no_memory_for_a_command_is_busy(void **state)
{
    (void)state;
    login(0, "InitialR2T=No\nFirstBurstLength=65536");
    struct pdu_scsi_command p = write_command(&c, 0, 16);
    while (!list_empty(&w.r.free_tasks)) /* the next object comes from the heap */
        list_pop_front(&w.r.free_tasks);
    p.final = 0;
    w.fail_alloc = 1;
    command_send(&c, &p, NULL, 0);
    w.fail_alloc = 0;
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.status, 8);
    assert_int_equal(rsp.itt, p.itt);
    assert_int_equal(rsp.response, 0);
    assert_true(rsp.underflow && !rsp.overflow);
    assert_int_equal(rsp.residual_count, 8192);
    assert_int_equal(rsp.exp_cmd_sn, c.cmd_sn);
    struct pdu_data_out out = data_out(p.itt, PDU_TAG_RESERVED, 0, 0, true);
    data_out_send(&c, &out, data, 8192);
    assert_true(client_quiet(&c) && !c.closed); /* dropped without a word */
    read_send(&c, 0, 1);
    read_collect(&c, data, 512);
}

/* A write that is short of memory asks for its data when there is some again. */
static void no_memory_for_data_waits(void **state)
{
    (void)state;
    login(0, "InitialR2T=Yes\nImmediateData=No");
    struct chunk *held[4096];
    uint32_t count = 0;
    struct chunk *chunk;
    for (uint32_t len = 256 * 1024; len >= 512; len /= 2)
        while (count < 4096 && (chunk = pool_get(w.pool, len)) != NULL)
            held[count++] = chunk;
    struct pdu_scsi_command p = write_command(&c, 5, 8);
    uint8_t bhs[PDU_BHS_LEN];
    pdu_scsi_command_encode(&p, bhs);
    chunk_unref(held[0]); /* a receive, and nothing more */
    held[0] = pool_get(w.pool, TGT_CHUNK_LEN);
    memcpy(held[0]->data, bhs, sizeof bhs);
    struct io_vec places[8];
    uint32_t n;
    world_pump(&w);
    if (tgt_conn_room(c.conn, places, &n) == TGT_ROOM_ANY) {
        tgt_conn_received_chunk(c.conn, held[0], PDU_BHS_LEN);
        held[0] = NULL;
    } else {
        memcpy(places[0].ptr, bhs, sizeof bhs);
        tgt_conn_received(c.conn, sizeof bhs);
    }
    while ((chunk = pool_get_share(w.pool, 512)) != NULL && count < 4096)
        held[count++] = chunk;
    world_pump(&w);
    for (uint32_t i = 0; i < count; i++)
        chunk_unref(held[i]);
    world_pump(&w);
    struct pdu_r2t r2t = expect_r2t(&c);
    assert_int_equal(r2t.desired_data_transfer_length, 4096);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, data, 4096);
    assert_int_equal(expect_response(&c).status, 0);
    assert_memory_equal(w.rams[0].data + 5 * 512, data, 4096);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_portal_group_is_told_and_kept),
        T(a_connection_that_is_replaced_is_no_drop),
        T(counters_count_once),
        T(targets_are_found_by_their_whole_name),
        T(the_recovery_level_is_the_lower_one),
        T(recovery_asks_for_one_burst_at_a_time),
        T(what_is_sent_again_has_todays_window),
        T(acknowledged_status_ends_the_data_too),
        T(the_tag_of_a_snack_is_in_the_response),
        T(busy_says_when_to_come_again),
        T(text_responses_count),
        T(what_waited_on_a_connection_goes_with_its_logout),
        T(a_recovery_logout_can_fail),
        T(a_function_takes_tasks_that_only_wait_for_data),
        T(the_control_byte_decides_about_the_fence),
        T(a_new_connection_waits_to_be_read),
        T(a_lun_has_two_spellings),
        T(both_directions_have_residuals),
        T(a_move_without_memory_ends_the_connection),
        T(session_handles_skip_zero_and_what_is_taken),
        T(bursts_that_contradict_each_other_fail_the_login),
        T(the_window_is_at_least_one_and_at_most_1024),
        T(sense_of_the_transport_has_these_bytes),
        T(additional_headers_to_the_last_byte),
        T(no_memory_for_a_command_is_busy),
        T(no_memory_for_data_waits),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
