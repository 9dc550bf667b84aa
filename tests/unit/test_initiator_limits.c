/* Bounded memory of the initiator's session: task tags, the tags of aborted tasks, events, extended CDBs.
 *
 * Goal: each table holds as many as it says and then behaves as it says; a tag is never confused with
 * another; every byte of an additional header segment is right. Method: a scripted target
 * (initiator_harness.h) and the engine's own functions, walked through all of their range. */
#include "initiator/iscsi/internal.h"
#include "tests/unit/initiator_harness.h"

/* All tags are different, none is the reserved one, none is found after its release, nor one beyond the
 * table. */
static void task_tags_are_unique(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    static uint32_t tags[INI_SLOTS];
    uint32_t count = 0;
    r->s->slots[5].generation = 0x7fff; /* its next one wraps */
    r->s->slots[6].generation = 0x7ffe;
    r->s->order = 4711;
    while (count < INI_SLOTS + 1 && (tags[count] = ini_slot_take(r->s, INI_SLOT_PING)) != PDU_TAG_RESERVED)
        if (++count == INI_SLOTS)
            break;
    assert_int_equal(count, INI_SLOTS);
    assert_int_equal(ini_slot_take(r->s, INI_SLOT_PING), PDU_TAG_RESERVED);
    bool seen[INI_SLOTS] = {false};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = tags[i] & 0xffff;
        assert_true(index < INI_SLOTS);
        assert_false(seen[index]);
        seen[index] = true;
        assert_int_equal(tags[i] >> 31, 0);
        assert_int_equal(tags[i] >> 16, index == 5 ? 0 : index == 6 ? 0x7fff : 1);
        struct ini_slot *slot = ini_slot_find(r->s, tags[i]);
        assert_ptr_equal(slot, &r->s->slots[index]);
        assert_int_equal(slot->kind, INI_SLOT_PING);
        assert_int_equal(slot->started_ns, r->now);
        assert_int_equal(slot->order, 4711);
        assert_null(ini_slot_find(r->s, tags[i] + 0x10000)); /* another generation */
    }
    assert_null(ini_slot_find(r->s, 0x10000 | INI_SLOTS));
    assert_null(ini_slot_find(r->s, PDU_TAG_RESERVED));
    for (uint32_t i = 0; i < count; i++) {
        ini_slot_release(r->s, tags[i]);
        assert_null(ini_slot_find(r->s, tags[i]));
    }
    for (uint32_t i = 0; i < count; i++) { /* and all of them come back, with other tags */
        uint32_t tag = ini_slot_take(r->s, INI_SLOT_PING);
        assert_int_not_equal(tag, PDU_TAG_RESERVED);
        assert_int_not_equal(tag, tags[tag & 0xffff]);
        tags[i] = tag;
    }
    assert_int_equal(ini_slot_take(r->s, INI_SLOT_PING), PDU_TAG_RESERVED);
    for (uint32_t i = 0; i < count; i++)
        ini_slot_release(r->s, tags[i]);
    rig_free(r);
    PROVES("R7143-11.2.1.8-01", "initiator");
}

/* An answer with a stale tag, or one that no task can have, is nobody's. */
static void stale_tags_are_nobodys(void **state)
{
    (void)state;
    static const uint32_t changes[] = {0x10000, 0x80000000, 0x400, 0x1000, 1};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct rig *r = rig_up();
        struct rig_command rc;
        rig_command(r, &rc, false, 0, 0);
        rig_submit(r, &rc);
        rig_response(r, rig_take_command(r).itt ^ changes[i], 0, NULL, 0);
        rig_expect_failure(r, "a task that we do not have");
        assert_int_equal(rc.c.outcome, INI_DONE_LOST);
        rig_free(r);
        rig_command_fini(&rc);
    }
}

/* The last 64 tags of aborted tasks are known, no more. */
static void aborted_tags_are_remembered_for_a_while(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    assert_false(ini_was_aborted(r->s, 0)); /* what a fresh table is full of */
    for (uint32_t n = 1; n <= 200; n++) {
        ini_remember(r->s, n);
        for (uint32_t tag = 0; tag <= n + 1; tag++)
            assert_int_equal(ini_was_aborted(r->s, tag), tag >= 1 && tag <= n && n - tag < INI_ABORTED_KEPT);
    }
    rig_free(r);
}

/* A host that does not pull loses the oldest events, and only those. */
static void the_latest_events_are_kept(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 255, 256, 257, 300, 700};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct rig *r = rig_up();
        struct ini_event event;
        for (uint32_t n = 1; n <= counts[i]; n++) {
            struct ini_event *e = ini_event_add(r->s, INI_EVENT_PING_DONE);
            assert_int_equal(e->kind, INI_EVENT_PING_DONE);
            assert_int_equal(e->tag, 0); /* nothing of an older one */
            assert_null(e->conn);
            e->tag = n;
            e->conn = r->conn;
        }
        uint32_t first = counts[i] > INI_EVENTS ? counts[i] - INI_EVENTS + 1 : 1;
        for (uint32_t n = first; n <= counts[i]; n++) {
            assert_true(ini_next_event(r->s, &event));
            assert_int_equal(event.kind, INI_EVENT_PING_DONE);
            assert_int_equal(event.tag, n);
        }
        assert_false(ini_next_event(r->s, &event));
        rig_free(r);
    }
}

/* CDBs of all lengths, alone and with the read length of a bidirectional command: header and segment. */
static void long_cdbs_travel_in_additional_header_segments(void **state)
{
    (void)state;
    for (uint32_t both = 0; both < 2; both++) {
        struct rig *r = rig_up();
        for (uint16_t len = 6; len <= (both ? 68 : 76); len++) {
            struct rig_command rc;
            uint8_t in[8], expected[80] = {0};
            struct io_vec vec = {in, sizeof in};
            rig_command(r, &rc, both, both ? 4 : 0, both);
            if (both) {
                rc.c.in_vec = &vec;
                rc.c.in_count = 1;
                rc.c.in_len = 8;
            }
            for (uint16_t i = 0; i < len; i++)
                rc.c.cdb[i] = (uint8_t)(0x80 + i);
            rc.c.cdb_len = len;
            rig_submit(r, &rc);
            struct pdu_scsi_command c = rig_take_command(r);
            assert_memory_equal(c.cdb, rc.c.cdb, 16);
            assert_int_equal(c.read, both);
            assert_int_equal(c.write, both);
            assert_int_equal(c.expected_data_transfer_length, both ? 4 : 0);
            uint32_t at = 0;
            if (len > 16) {
                be16_put(expected, (uint16_t)(len - 16 + 1));
                expected[2] = 1;
                memcpy(expected + 4, rc.c.cdb + 16, len - 16u);
                at = 4 + (len - 16u + 3) / 4 * 4;
            }
            if (both) {
                be16_put(expected + at, 5);
                expected[at + 2] = 2;
                be32_put(expected + at + 4, 8);
                at += 8;
            }
            assert_int_equal(r->pdu.ahs_len, at);
            assert_memory_equal(r->pdu.ahs, expected, at);
            rig_response(r, c.itt, 8, NULL, 0);
            assert_int_equal(rc.reported, 1);
            rig_command_fini(&rc);
        }
        struct rig_command rc; /* one byte more does not fit */
        uint8_t in[8];
        struct io_vec vec = {in, sizeof in};
        rig_command(r, &rc, both, both ? 4 : 0, both);
        if (both) {
            rc.c.in_vec = &vec;
            rc.c.in_count = 1;
            rc.c.in_len = 8;
        }
        rc.c.cdb_len = both ? 69 : 77;
        assert_int_equal(ini_submit(r->s, &rc.c), ERR_INVALID);
        assert_int_equal(ini_outstanding(r->s), 0);
        rig_command_fini(&rc);
        rig_free(r);
    }
    PROVES("R7143-11.2.2.3-01", "initiator");
    PROVES("R7143-11.2.2.3-02", "initiator");
    PROVES("R7143-11.2.2.4-01", "initiator");
}

/* A MaxCmdSN below ExpCmdSN - 1 makes the pair void. */
static void a_window_may_be_closed_but_not_inside_out(void **state)
{
    (void)state;
    for (uint32_t below = 0; below < 4; below++) {
        struct rig *r = rig_up();
        RIG_PDU(r, nop_in, nop);
        nop.itt = nop.ttt = PDU_TAG_RESERVED;
        nop.stat_sn = r->stat_sn;
        nop.exp_cmd_sn = 100;
        nop.max_cmd_sn = 100 - below;
        RIG_SEND(r, nop_in, &nop, NULL, 0);
        assert_int_equal(r->s->exp_cmd_sn, below <= 1 ? 100 : 1);
        assert_int_equal(r->s->max_cmd_sn, below <= 1 ? 100 - below : 32);
        rig_free(r);
    }
    PROVES("R7143-4.2.2.1-16", "initiator");
}

/* The target rejects something: a ping is forgiven, whosever it was, and touches no other task; what we
 * cannot have sent, or what we cannot do without, ends the session. */
static void rejects_of_all_requests(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode;
        bool known; /* the tag is that of our command */
        bool forgiven;
    } cases[] = {
        {PDU_OP_nop_out, false, true},
        {PDU_OP_nop_out, true, true},
        {PDU_OP_text_request, false, false},
        {PDU_OP_text_request, true, false},
        {PDU_OP_logout_request, false, false},
        {PDU_OP_login_request, false, false},
        {PDU_OP_data_out, true, false},
        {PDU_OP_snack_request, true, false},
        {PDU_OP_task_management_request, false, false},
        {PDU_OP_task_management_request, true, false},
        {PDU_OP_scsi_command, true, false},
        {PDU_OP_scsi_command, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig *r = rig_up();
        struct rig_command rc;
        uint8_t bhs[PDU_BHS_LEN] = {cases[i].opcode, 0x80};
        rig_command(r, &rc, false, 0, 0);
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt;
        be32_put(bhs + 16, cases[i].known ? itt : 0x7fff0003);
        be32_put(bhs + 20, PDU_TAG_RESERVED);
        RIG_PDU(r, reject, pdu);
        pdu.reason = 4; /* protocol error */
        pdu.stat_sn = r->stat_sn++;
        RIG_SEND(r, reject, &pdu, bhs, sizeof bhs);
        if (rig_closing(r) == cases[i].forgiven)
            fail_msg("opcode %02x %s", cases[i].opcode,
                     cases[i].forgiven ? "ends the session" : "is forgiven");
        if (cases[i].forgiven) {
            assert_false(rig_has_event(r));
            rig_response(r, itt, 8, NULL, 0);
            assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
            assert_int_equal(rc.c.status, 8);
        } else {
            rig_expect_failure(r, "the target rejects our");
        }
        assert_int_equal(rc.reported, 1);
        rig_free(r);
        rig_command_fini(&rc);
    }
}

/* Commands that are submitted again begin anew, whatever the last run left in them. */
static void a_command_begins_anew(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    struct rig_command rc;
    rig_command(r, &rc, false, 0, 0);
    rc.c.in_done = 7;
    rc.c.status = rc.c.response = 9;
    rc.c.sense_len = 3;
    rc.c.residual = rc.c.in_residual = 5;
    rc.c.underflow = rc.c.overflow = rc.c.in_underflow = rc.c.in_overflow = true;
    rc.c.status_qualifier = 99;
    rig_submit(r, &rc);
    assert_int_equal(rc.c.submitted_ns, r->now);
    rig_response(r, rig_take_command(r).itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.in_done, 0);
    assert_int_equal(rc.c.status, 0);
    assert_int_equal(rc.c.response, 0);
    assert_int_equal(rc.c.sense_len, 0);
    assert_int_equal(rc.c.residual, 0);
    assert_int_equal(rc.c.in_residual, 0);
    assert_int_equal(rc.c.status_qualifier, 0);
    assert_false(rc.c.underflow || rc.c.overflow || rc.c.in_underflow || rc.c.in_overflow);
    rig_free(r);
    rig_command_fini(&rc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_tags_are_unique),
        cmocka_unit_test(stale_tags_are_nobodys),
        cmocka_unit_test(aborted_tags_are_remembered_for_a_while),
        cmocka_unit_test(the_latest_events_are_kept),
        cmocka_unit_test(long_cdbs_travel_in_additional_header_segments),
        cmocka_unit_test(a_window_may_be_closed_but_not_inside_out),
        cmocka_unit_test(rejects_of_all_requests),
        cmocka_unit_test(a_command_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
