/* Bidirectional commands, AHS, and what RFC 7144 adds, from the initiator's side.
 *
 * Goal: these go out in the RFC's form and only when they were negotiated, and come back whole. Method: a
 * scripted target (initiator_harness.h). */
#include "tests/unit/initiator_harness.h"

#define LUN 0x0001000000000000ull

/* ---- bidirectional ---- */

struct bidi { /* a command that writes `out` bytes and reads `in` */
    struct rig_command out;
    uint8_t *in;
    struct io_vec vec;
};

static void bidi_init(struct rig *r, struct bidi *b, uint32_t out, uint32_t in)
{
    rig_command(r, &b->out, true, out, 1);
    b->in = calloc(1, in);
    assert_non_null(b->in);
    b->vec = (struct io_vec){b->in, in};
    b->out.c.in_vec = &b->vec;
    b->out.c.in_count = 1;
    b->out.c.in_len = in;
    b->out.c.cdb[0] = 0x53; /* XDWRITEREAD(10) */
}

static void bidi_fini(struct bidi *b)
{
    rig_command_fini(&b->out);
    free(b->in);
}

/* Both directions at once, R2Ts and Data-In in one numbering, both residuals. */
static void a_bidirectional_command_moves_data_both_ways(void **state)
{
    (void)state;
    for (uint32_t level = 0; level < 2; level++) {
        for (int extended = 0; extended < 2; extended++) {
            struct rig *r = rig_at_level(level, false);
            struct bidi b;
            uint8_t data[1024];
            struct pdu_data_out d;
            rig_random_bytes(r, data, sizeof data);
            bidi_init(r, &b, 65536 + 4096, 2048);
            if (extended) {
                b.out.c.cdb_len = 32;
                b.out.c.cdb[0] = 0x7f;
                for (uint8_t i = 16; i < 32; i++)
                    b.out.c.cdb[i] = i;
            }
            rig_submit(r, &b.out);
            struct pdu_scsi_command c = rig_take_command(r);
            assert_true(c.read && c.write);
            assert_int_equal(c.expected_data_transfer_length, 65536 + 4096);
            assert_int_equal(r->pdu.ahs_len, extended ? 28 : 8);
            if (extended) {
                assert_memory_equal(r->pdu.ahs, "\0\x11\1\0\x10\x11\x12", 7);
                assert_memory_equal(r->pdu.ahs + 20, "\0\5\2\0\0\0\x8\0", 8);
            } else {
                assert_memory_equal(r->pdu.ahs, "\0\5\2\0\0\0\x8\0", 8);
            }
            rig_data_in(r, c.itt, 0, 0, data, 512, false);
            rig_r2t(r, c.itt, 9, 1, 65536, 4096);
            RIG_TAKE(r, data_out, &d);
            assert_true(d.final);
            assert_memory_equal(r->pdu.data, b.out.data + 65536, 4096);
            rig_data_in(r, c.itt, 2, 512, data + 512, 512, true);
            RIG_PDU(r, scsi_response, pdu);
            pdu.itt = c.itt;
            pdu.stat_sn = r->stat_sn++;
            pdu.exp_data_sn = 3;
            pdu.bidi_underflow = 1;
            pdu.bidi_residual_count = 1024;
            pdu.overflow = 1;
            pdu.residual_count = 77;
            RIG_SEND(r, scsi_response, &pdu, NULL, 0);
            const struct ini_command *done = &b.out.c;
            assert_int_equal(b.out.reported, 1);
            assert_int_equal(done->outcome, INI_DONE_STATUS);
            assert_true(done->in_underflow && !done->in_overflow && done->overflow && !done->underflow);
            assert_int_equal(done->in_residual, 1024);
            assert_int_equal(done->residual, 77);
            assert_int_equal(done->in_done, 1024);
            assert_memory_equal(b.in, data, 1024);
            rig_free(r);
            bidi_fini(&b);
        }
    }
    PROVES("R7143-11.2.2.1-01", "initiator");
    PROVES("R7143-11.2.2.4-01", "initiator");
    PROVES("R7143-11.3.4-01", "initiator");
    PROVES("R7143-11.3.4-02", "initiator");
    PROVES("R7143-11.7.1-08", "initiator");
}

/* In one numbering a lost R2T is a gap for Data-In too. */
static void a_gap_between_both_directions_is_filled(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, false);
    struct bidi b;
    struct pdu_snack_request snack;
    uint8_t data[512] = {1, 2, 3};
    bidi_init(r, &b, 65536 + 4096, 512);
    rig_submit(r, &b.out);
    uint32_t itt = rig_take_command(r).itt;
    rig_data_in(r, itt, 1, 0, data, 512, true);
    RIG_TAKE(r, snack_request, &snack);
    assert_int_equal(snack.beg_run, 0);
    assert_int_equal(snack.run_length, 1);
    rig_r2t(r, itt, 9, 0, 65536, 4096);
    rig_take(r, PDU_OP_data_out);
    RIG_PDU(r, scsi_response, pdu);
    pdu.itt = itt;
    pdu.stat_sn = r->stat_sn++;
    pdu.exp_data_sn = 2;
    RIG_SEND(r, scsi_response, &pdu, NULL, 0);
    assert_int_equal(b.out.reported, 1);
    assert_memory_equal(b.in, data, 512);
    rig_free(r);
    bidi_fini(&b);
}

static void both_flags_of_a_bidirectional_residual_end_the_session(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(0, false);
    struct bidi b;
    bidi_init(r, &b, 512, 512);
    rig_submit(r, &b.out);
    RIG_PDU(r, scsi_response, pdu);
    pdu.itt = rig_take_command(r).itt;
    pdu.stat_sn = r->stat_sn++;
    pdu.bidi_underflow = pdu.bidi_overflow = 1;
    RIG_SEND(r, scsi_response, &pdu, NULL, 0);
    rig_expect_failure(r, "too much");
    rig_free(r);
    bidi_fini(&b);
    PROVES("R7143-11.4.1-02", "initiator");
}

/* ---- RFC 7144 ---- */

static struct rig *rig_at_protocol(uint32_t level)
{
    struct rig *r = rig_new();
    r->options.keys.iscsi_protocol_level = 2;
    r->key_config.iscsi_protocol_level = level;
    r->options.keys.max_connections = r->key_config.max_connections = 2;
    rig_begin(r);
    rig_login(r);
    assert_int_equal(ini_params(r->s)->iscsi_protocol_level, level);
    return r;
}

static void priority_and_qualifier_need_level_2(void **state)
{
    (void)state;
    for (uint32_t level = 1; level < 3; level++) {
        struct rig *r = rig_at_protocol(level);
        struct rig_command rc;
        rig_command(r, &rc, false, 512, 1);
        rc.c.priority = 11;
        rig_submit(r, &rc);
        struct pdu_scsi_command c = rig_take_command(r);
        assert_int_equal(c.priority, level == 2 ? 11 : 0);
        RIG_PDU(r, scsi_response, pdu);
        pdu.itt = c.itt;
        pdu.status = 8; /* BUSY, come back in a while */
        pdu.status_qualifier = 0x1234;
        pdu.stat_sn = r->stat_sn++;
        RIG_SEND(r, scsi_response, &pdu, NULL, 0);
        assert_int_equal(rc.c.status, 8);
        assert_int_equal(rc.c.status_qualifier, level == 2 ? 0x1234 : 0);
        rig_free(r);
        rig_command_fini(&rc);
    }
    PROVES("R7144-4.1-01", "initiator");
    PROVES("R7144-5.1.1-01", "initiator");
    PROVES("R7144-5.2.1-02", "initiator");
}

static void the_new_functions_have_their_fields(void **state)
{
    (void)state;
    struct rig *r = rig_at_protocol(2);
    struct rig_command rc[2];
    struct pdu_scsi_command c[2];
    uint32_t tag;
    rig_join(r, 1);
    for (int i = 0; i < 2; i++)
        rig_command(r, &rc[i], false, 512, 1);
    rc[1].c.immediate = true;
    rig_submit(r, &rc[0]); /* link 0 */
    rig_submit(r, &rc[1]); /* link 1 */
    for (uint32_t i = 0; i < 2; i++) {
        rig_use(r, i);
        RIG_TAKE(r, scsi_command, &c[i]);
    }
    r->exp_cmd_sn++;
    for (uint8_t f = 9; f <= 12; f++) {
        struct pdu_task_management_request t;
        assert_int_equal(ini_task_management(r->s, f, LUN, f == 9 ? &rc[1].c : NULL, &tag), 0);
        rig_use(r, f == 9); /* a query goes where its task is */
        rig_pump(r);
        RIG_TAKE(r, task_management_request, &t);
        assert_int_equal(t.function, f);
        assert_int_equal(t.lun, f == 11 ? 0 : LUN);
        assert_int_equal(t.referenced_task_tag, f == 9 ? c[1].itt : PDU_TAG_RESERVED);
        assert_int_equal(t.ref_cmd_sn, f == 9 ? t.cmd_sn : 0);
        if (f == 11)
            continue;
        RIG_PDU(r, task_management_response, done);
        done.itt = t.itt;
        done.response = f == 12 ? 0 : 7;
        done.additional_response = 0x112233;
        done.stat_sn = r->stat_sn++;
        RIG_SEND(r, task_management_response, &done, NULL, 0);
        struct rig_event *e = rig_event(r, INI_EVENT_TMF_DONE);
        assert_int_equal(e->event.tag, tag);
        assert_int_equal(e->event.response, f == 12 ? 0 : 7);
        assert_int_equal(rc[0].reported + rc[1].reported, 0); /* a question takes nothing */
    }
    rig_lost(r, 0); /* an I_T nexus reset drops all connections */
    rig_free(r);
    rig_command_fini(&rc[0]);
    rig_command_fini(&rc[1]);
    r = rig_at_protocol(1);
    for (uint8_t f = 9; f <= 12; f++)
        assert_int_equal(ini_task_management(r->s, f, LUN, NULL, &tag), ERR_UNSUPPORTED);
    rig_pump(r);
    assert_true(rig_quiet(r));
    rig_free(r);
    PROVES("R7144-4.1-01", "initiator");
    PROVES("R7144-6.3-01", "initiator");
    PROVES("R7144-6.3-02", "initiator");
    PROVES("R7144-6.3-05", "initiator");
    PROVES("R7144-6.3-06", "initiator");
    PROVES("R7144-6.3.1-01", "initiator");
    PROVES("R7144-6.3.2-01", "initiator");
    PROVES("R7144-6.4.2-01", "initiator");
}

/* Task attributes and LUNs of any form. */
static void attributes_and_luns_pass_as_they_are(void **state)
{
    (void)state;
    static const uint64_t luns[] = {0, 0x0001000000000000ull, 0x412c000000000000ull};
    struct rig *r = rig_up();
    for (uint8_t attr = 0; attr <= 4; attr++) {
        struct rig_command rc;
        rig_command(r, &rc, false, 512, 1);
        rc.c.attr = attr;
        rc.c.lun = luns[attr % 3];
        rig_submit(r, &rc);
        struct pdu_scsi_command c = rig_take_command(r);
        assert_int_equal(c.attr, attr ? attr : 1); /* 0 stands for simple */
        assert_int_equal(c.lun, luns[attr % 3]);
        assert_int_equal(be64_get(r->pdu.bhs + 8), luns[attr % 3]);
        rig_response(r, c.itt, 2, NULL, 0);
        rig_command_fini(&rc);
    }
    rig_free(r);
    PROVES("R7143-11.2.1.7-01", "initiator");
    PROVES("R7143-11.3.1-06", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bidirectional_command_moves_data_both_ways),
        cmocka_unit_test(a_gap_between_both_directions_is_filled),
        cmocka_unit_test(both_flags_of_a_bidirectional_residual_end_the_session),
        cmocka_unit_test(priority_and_qualifier_need_level_2),
        cmocka_unit_test(the_new_functions_have_their_fields),
        cmocka_unit_test(attributes_and_luns_pass_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
