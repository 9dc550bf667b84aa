/* Goal: bidirectional commands over the wire: XDWRITEREAD(10), and XDWRITEREAD(32) with its extended CDB, in
 * every way that a session carries data; residuals of both directions; aborts while data moves both ways.
 * Method: a raw initiator against an LU in memory, whose bytes are compared with a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_full.h"

static struct world w;
static struct client c;
static uint8_t old_data[1u << 20], new_data[1u << 20], got[1u << 20];

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_start(&w);
    client_init(&c, &w);
    pattern(old_data, sizeof old_data, 5);
    pattern(new_data, sizeof new_data, 91);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    client_fini(&c);
    world_fini(&w);
    return 0;
}

static void again(const char *keys)
{
    client_fini(&c);
    client_init(&c, &w);
    client_login(&c, keys);
    client_settle(&c, 0);
    memcpy(w.rams[0].data, old_data, sizeof old_data);
}

struct xd {
    bool ten, disable, cdb_first; /* cdb_first: order of the two AHS of the 32 byte form */
    bool cut;                     /* the CDB has 31 bytes */
    uint32_t lba, blocks, edtl_out, edtl_in, immediate,
        first; /* first: bytes of unsolicited data, with immediate */
};

/* Command with its AHS segments, then the first burst. */
static uint32_t xd_send(const struct xd *x)
{
    uint8_t bhs[PDU_BHS_LEN], cdb[32] = {0}, ahs[28] = {0};
    struct pdu_scsi_command p = command(&c, true, true, x->edtl_out);
    p.final = x->first <= x->immediate;
    if (x->ten) {
        cdb[0] = 0x53;
        cdb[1] = x->disable ? 4 : 0;
        be32_put(cdb + 2, x->lba);
        be16_put(cdb + 7, (uint16_t)x->blocks);
    } else {
        cdb[0] = 0x7f;
        cdb[7] = 0x18;
        cdb[9] = 7;
        cdb[10] = x->disable ? 4 : 0;
        be64_put(cdb + 12, x->lba);
        be32_put(cdb + 28, x->blocks);
    }
    memcpy(p.cdb, cdb, 16);
    uint8_t *length = x->cdb_first ? ahs + 20 : ahs, *rest = x->cdb_first ? ahs : ahs + 8;
    be16_put(length, 5);
    length[2] = 2;
    be32_put(length + 4, x->edtl_in);
    if (!x->ten) {
        be16_put(rest, x->cut ? 16 : 17);
        rest[2] = 1;
        memcpy(rest + 4, cdb + 16, 16);
    }
    pdu_scsi_command_encode(&p, bhs);
    client_queue_ahs(&c, bhs, ahs, x->ten ? 8 : 28, new_data, x->immediate);
    client_push(&c);
    if (!p.final) {
        struct pdu_data_out out = data_out(p.itt, PDU_TAG_RESERVED, 0, x->immediate, true);
        data_out_send(&c, &out, new_data + x->immediate, x->first - x->immediate);
    }
    return p.itt;
}

/* Answers R2Ts and takes Data-In until the response; both count in one row. */
static struct pdu_scsi_response xd_finish(uint32_t itt, uint32_t *in_len)
{
    struct pdu_scsi_response rsp;
    uint32_t number = 0, data_pdus = 0;
    *in_len = 0;
    for (;;) {
        struct reply *r = client_reply(&c);
        assert_non_null(r);
        if (pdu_opcode(r->bhs) == PDU_OP_r2t) {
            struct pdu_r2t r2t;
            pdu_r2t_decode(r->bhs, &r2t);
            assert_int_equal(r2t.r2t_sn, number++);
            struct pdu_data_out out = data_out(itt, r2t.ttt, 0, r2t.buffer_offset, true);
            data_out_send(&c, &out, new_data + r2t.buffer_offset, r2t.desired_data_transfer_length);
        } else if (pdu_opcode(r->bhs) == PDU_OP_data_in) {
            struct pdu_data_in in;
            pdu_data_in_decode(r->bhs, &in);
            assert_int_equal(in.data_sn, number++);
            assert_int_equal(in.buffer_offset, *in_len);
            assert_int_equal(in.has_status, 0);
            memcpy(got + *in_len, r->data, r->len);
            *in_len += r->len;
            data_pdus++;
        } else {
            assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
            pdu_scsi_response_decode(r->bhs, &rsp);
            c.exp_stat_sn = rsp.stat_sn + 1;
            assert_int_equal(rsp.exp_data_sn, data_pdus);
            return rsp;
        }
    }
}

static uint32_t min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* One command, checked in all that it leaves. */
static void xd_check(const struct xd *x)
{
    uint32_t takes = x->blocks * BLOCK, in_len, came = min32(takes, x->edtl_out) / BLOCK * BLOCK;
    memcpy(w.rams[0].data, old_data, sizeof old_data);
    struct pdu_scsi_response rsp = xd_finish(xd_send(x), &in_len);
    assert_int_equal(rsp.status, 0);
    assert_int_equal(rsp.overflow, takes > x->edtl_out);
    assert_int_equal(rsp.underflow, takes < x->edtl_out);
    assert_int_equal(rsp.residual_count, takes > x->edtl_out ? takes - x->edtl_out : x->edtl_out - takes);
    assert_int_equal(rsp.bidi_overflow, came > x->edtl_in);
    assert_int_equal(rsp.bidi_underflow, came < x->edtl_in);
    assert_int_equal(rsp.bidi_residual_count, came > x->edtl_in ? came - x->edtl_in : x->edtl_in - came);
    assert_int_equal(in_len, min32(came, x->edtl_in));
    for (uint32_t i = 0; i < in_len; i++)
        assert_int_equal(got[i], old_data[x->lba * BLOCK + i] ^ new_data[i]);
    memcpy(got, old_data, sizeof old_data);
    if (!x->disable)
        memcpy(got + x->lba * BLOCK, new_data, came);
    assert_memory_equal(w.rams[0].data, got, sizeof old_data);
    assert_true(client_quiet(&c));
}

static void both_forms_in_every_kind_of_session(void **state)
{
    (void)state;
    static const char *const sessions[] = {
        "InitialR2T=Yes\nImmediateData=No",
        "InitialR2T=Yes\nImmediateData=Yes\nFirstBurstLength=8192",
        "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=8192\nMaxBurstLength=16384",
        "InitialR2T=No\nImmediateData=No\nFirstBurstLength=8192",
        ("InitialR2T=Yes\nImmediateData=No\nMaxOutstandingR2T=4\nMaxBurstLength=4096\nFirstBurstLength=4096\n"
         "MaxRecvDataSegmentLength=1024"),
        "HeaderDigest=CRC32C\nDataDigest=CRC32C\nInitialR2T=Yes\nImmediateData=Yes",
    };
    for (size_t s = 0; s < sizeof sessions / sizeof sessions[0]; s++) {
        bool immediate = strstr(sessions[s], "ImmediateData=Yes"),
             burst = strstr(sessions[s], "InitialR2T=No");
        again(sessions[s]);
        for (unsigned n = 0; n < 8; n++) {
            struct xd x = {
                .ten = n & 1, .disable = n & 2, .cdb_first = !(n & 1) && n & 4, .lba = 7 * n, .blocks = 1500};
            x.edtl_out = x.edtl_in = x.blocks * BLOCK;
            x.immediate = immediate ? 1000 : 0; /* ends within a block */
            x.first = burst ? 8192 : x.immediate;
            xd_check(&x);
        }
    }
    PROVES("R7143-4.2.2.4-05", "target");
    PROVES("R7143-11.7.3-02", "target");
    PROVES("R7143-11.4.8-01", "target");
}

static void residuals_of_both_directions(void **state)
{
    (void)state;
    again("InitialR2T=Yes\nImmediateData=No");
    static const uint32_t lengths[] = {0, 1, 511, 512, 513, 1024, 1536, 2048};
    for (unsigned blocks = 0; blocks < 4; blocks++)
        for (size_t out = 0; out < 8; out++)
            for (size_t in = 0; in < 8; in++) {
                struct xd x = {.ten = in & 1,
                               .lba = 3,
                               .blocks = blocks,
                               .edtl_out = lengths[out],
                               .edtl_in = lengths[in]};
                xd_check(&x);
            }
    PROVES("R7143-11.4.6-01", "target");
}

static void a_refusal_names_no_data(void **state)
{
    (void)state;
    again("InitialR2T=Yes\nImmediateData=No");
    for (int ten = 0; ten < 2; ten++) {
        uint32_t in_len;
        struct xd x = {.ten = ten, .lba = 0x7fffff, .blocks = 2, .edtl_out = 1024, .edtl_in = 1024};
        struct pdu_scsi_response rsp = xd_finish(xd_send(&x), &in_len);
        assert_int_equal(rsp.status, 2);
        assert_true(sense_is(&c, 5, 0x21, 0));
        assert_int_equal(in_len, 0);
    }
}

/* AHSLength says how many bytes of CDB come: the last one that is missing is named. */
static void an_extended_cdb_of_one_byte_too_few_is_refused(void **state)
{
    (void)state;
    again("InitialR2T=Yes\nImmediateData=No");
    for (int cut = 0; cut < 2; cut++) {
        uint32_t in_len;
        struct xd x = {.cut = cut, .lba = 1, .blocks = 1, .edtl_out = 512, .edtl_in = 512};
        struct pdu_scsi_response rsp = xd_finish(xd_send(&x), &in_len);
        assert_int_equal(rsp.status, cut ? 2 : 0);
        assert_int_equal(in_len, cut ? 0 : 512);
        if (cut)
            assert_true(sense_is(&c, 5, 0x24, 0) && be16_get(c.reply.data + 2 + 16) == 31);
    }
}

/* ABORT TASK after every number of PDUs that the target can send before it waits for data. */
static void an_abort_while_data_moves_both_ways(void **state)
{
    (void)state;
    again(
        "InitialR2T=Yes\nImmediateData=No\nMaxOutstandingR2T=1\nMaxBurstLength=4096\nFirstBurstLength=4096\n"
        "MaxRecvDataSegmentLength=1024");
    for (unsigned moment = 0; moment < 12; moment++) {
        struct xd x = {.ten = moment & 1, .blocks = 64, .edtl_out = 64 * BLOCK, .edtl_in = 64 * BLOCK};
        uint32_t ref = c.cmd_sn, itt = xd_send(&x), ttt = PDU_TAG_RESERVED;
        struct reply *r;
        for (unsigned seen = 0; seen <= moment && (r = client_reply(&c)) != NULL; seen++) {
            struct pdu_r2t r2t;
            if (pdu_opcode(r->bhs) != PDU_OP_r2t)
                continue;
            pdu_r2t_decode(r->bhs, &r2t);
            if (seen == moment) { /* left without its data */
                ttt = r2t.ttt;
                break;
            }
            struct pdu_data_out out = data_out(itt, r2t.ttt, 0, r2t.buffer_offset, true);
            data_out_send(&c, &out, new_data + r2t.buffer_offset, r2t.desired_data_transfer_length);
        }
        struct pdu_task_management_request p = tmf_request(&c, 1, 0, itt, ref);
        tmf_send(&c, &p);
        bool answered = false;
        while ((r = client_reply(&c)) !=
               NULL) { /* what was on its way comes first; nothing of it after the answer */
            assert_false(answered);
            assert_int_not_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
            if (pdu_opcode(r->bhs) == PDU_OP_task_management_response) {
                struct pdu_task_management_response rsp;
                pdu_task_management_response_decode(r->bhs, &rsp);
                assert_int_equal(rsp.response, 0);
                c.exp_stat_sn = rsp.stat_sn + 1;
                answered = true;
            }
        }
        assert_true(answered);
        if (ttt != PDU_TAG_RESERVED) { /* data that was asked for before is dropped without a word */
            struct pdu_data_out late = data_out(itt, ttt, 0, 0, true);
            data_out_send(&c, &late, new_data, 512);
            assert_true(client_quiet(&c));
        }
        struct xd after = {.ten = true, .blocks = 8, .edtl_out = 8 * BLOCK, .edtl_in = 8 * BLOCK};
        xd_check(&after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_forms_in_every_kind_of_session, setup, teardown),
        cmocka_unit_test_setup_teardown(residuals_of_both_directions, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refusal_names_no_data, setup, teardown),
        cmocka_unit_test_setup_teardown(an_extended_cdb_of_one_byte_too_few_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_abort_while_data_moves_both_ways, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
