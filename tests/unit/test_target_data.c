/* Data transfer of the target engine: the four ImmediateData/InitialR2T combinations over burst limits,
 * Data-In cuts, residuals, digests, wrong Data-Out PDUs, and that the cutting of the byte stream does not
 * matter. Method: writes and reads through a raw initiator against LUs in memory, whose bytes are compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_harness.h"

static struct world w;
static struct client c;
static uint8_t pat[4u << 20], got[4u << 20];

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_start(&w);
    client_init(&c, &w);
    pattern(pat, sizeof pat, 3);
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
}

/* ---- writing as an initiator does ---- */

struct limits {
    bool immediate, initial_r2t;
    uint32_t first, max, segment, r2ts; /* segment: the target's MaxRecvDataSegmentLength */
};

static uint32_t min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Sends [from, from + len) as Data-Out PDUs of one sequence. */
static void send_sequence(uint32_t itt, uint32_t ttt, uint32_t from, uint32_t len, uint32_t segment)
{
    uint32_t at = 0, sn = 0;
    do {
        uint32_t n = min32(len - at, segment);
        struct pdu_data_out p = data_out(itt, ttt, sn++, from + at, at + n == len);
        p.lun = 0; /* Windows leaves it zero */
        data_out_send(&c, &p, pat + from + at, n);
        at += n;
    } while (at < len);
}

static uint32_t r2t_most;
/* One WRITE(10) of `blocks` at lba 0; returns its response. Checks every R2T against the limits. */
static struct pdu_scsi_response write_through(const struct limits *l, uint32_t blocks)
{
    uint32_t len = blocks * BLOCK, immediate = l->immediate ? min32(min32(len, l->first), l->segment) : 0;
    uint32_t burst = l->initial_r2t ? immediate : min32(len, l->first), done = burst, sn = 0;
    struct pdu_scsi_command p = command(&c, false, true, len);
    cdb_rw(p.cdb, true, 0, (uint16_t)blocks);
    p.final = burst == immediate;
    command_send(&c, &p, pat, immediate);
    if (!p.final)
        send_sequence(p.itt, PDU_TAG_RESERVED, immediate, burst - immediate, l->segment);
    /* All R2Ts that are out are taken before the first is answered. */
    while (done < len) {
        struct pdu_r2t r2t[64];
        uint32_t count = 0;
        while (!client_quiet(&c)) {
            pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t[count]);
            assert_int_equal(r2t[count].r2t_sn, sn++);
            assert_int_equal(r2t[count].itt, p.itt);
            assert_int_equal(r2t[count].buffer_offset, done);
            assert_true(r2t[count].desired_data_transfer_length <= l->max);
            assert_int_equal(c.reply.len, 0);
            assert_int_equal(r2t[count].stat_sn, c.exp_stat_sn);
            done += r2t[count].desired_data_transfer_length;
            assert_true(done <= len);
            count++;
        }
        assert_true(count > 0 && count <= l->r2ts);
        if (count > r2t_most)
            r2t_most = count;
        for (uint32_t i = 0; i < count; i++)
            send_sequence(p.itt, r2t[i].ttt, r2t[i].buffer_offset, r2t[i].desired_data_transfer_length,
                          l->segment);
    }
    return expect_response(&c);
}

static void all_data_combinations_write_what_was_sent(void **state)
{
    (void)state;
    static const uint32_t firsts[] = {512, 1024, 8192, 65536}, maxes[] = {512, 4096, 65536, 262144};
    static const uint32_t sizes[] = {1, 2, 3, 16, 17, 128, 129, 511, 1024};
    r2t_most = 0;
    for (uint32_t combo = 0; combo < 4; combo++)
        for (uint32_t f = 0; f < 4; f++)
            for (uint32_t m = 0; m < 4; m++) {
                if (firsts[f] > maxes[m])
                    continue;
                struct limits l = {combo & 1, combo >> 1 & 1, firsts[f], maxes[m], 262144, m < 2 ? 4 : 2};
                char keys[300];
                snprintf(keys, sizeof keys,
                         "ImmediateData=%s\nInitialR2T=%s\nFirstBurstLength=%u\nMaxBurstLength=%"
                         "u\nMaxOutstandingR2T=%u",
                         l.immediate ? "Yes" : "No", l.initial_r2t ? "Yes" : "No", l.first, l.max, l.r2ts);
                for (uint32_t i = 0; i < 2; i++) {
                    w.config->targets[0].keys.initial_r2t = l.initial_r2t;
                    w.config->targets[0].keys.max_outstanding_r2t = 8;
                    w.config->targets[0].keys.max_recv_data_segment_length = l.segment = i ? 8192 : 262144;
                    again(keys);
                    for (uint32_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
                        if (i && sizes[s] > 200)
                            continue;
                        memset(w.rams[0].data, 0, sizes[s] * BLOCK);
                        struct pdu_scsi_response r = write_through(&l, sizes[s]);
                        assert_int_equal(r.status, 0);
                        assert_int_equal(r.overflow | r.underflow | r.residual_count, 0);
                        assert_memory_equal(w.rams[0].data, pat, sizes[s] * BLOCK);
                        assert_true(client_quiet(&c));
                    }
                }
            }
    assert_true(r2t_most > 1);
    PROVES("R7143-11.8-06", "target");
    PROVES("R7143-11.8-10", "target");
    PROVES("R7143-11.8.4-01", "target");
    PROVES("R7143-11.8.5-01", "target");
    PROVES("R7143-11.8.3-01", "target");
    PROVES("R7143-11.8.1-01", "target");
    PROVES("R7143-4.2.2.4-04", "target");
    PROVES("R7143-4.2.2.4-01", "target");
    PROVES("R7143-4.2.5.2-03", "target");
    PROVES("R7143-4.2.5.2-09", "target");
    PROVES("R7143-11.4.5.2-04", "target");
    PROVES("R7143-11.4.5.1-03", "target");
    PROVES("R7143-4.2.5.3-03", "target");
    PROVES("R7143-4.2.1-01", "target");
    PROVES("R7143-13.19-02", "target");
}

static void four_kib_blocks_merge_odd_first_bursts(void **state)
{
    (void)state;
    /* A first burst that is no multiple of the block: the rest moves into the span of the first R2T. */
    w.config->targets[0].keys.initial_r2t = false;
    again("InitialR2T=No\nFirstBurstLength=700\nMaxBurstLength=1000");
    struct limits l = {true, false, 700, 1000, 262144, 1};
    for (uint32_t blocks = 1; blocks < 12; blocks++) {
        memset(w.rams[0].data, 0, blocks * BLOCK);
        assert_int_equal(write_through(&l, blocks).status, 0);
        assert_memory_equal(w.rams[0].data, pat, blocks * BLOCK);
    }
    l.immediate = false;
    for (uint32_t blocks = 1; blocks < 12; blocks++) {
        memset(w.rams[0].data, 0, blocks * BLOCK);
        assert_int_equal(write_through(&l, blocks).status, 0);
        assert_memory_equal(w.rams[0].data, pat, blocks * BLOCK);
    }
}

/* ---- reads ---- */

static void data_in_keeps_segment_and_burst_limits(void **state)
{
    (void)state;
    static const uint32_t segments[] = {512, 1000, 4096, 65536, 1048576},
                          bursts[] = {512, 3000, 16384, 262144};
    memcpy(w.rams[0].data, pat, 1u << 20);
    for (uint32_t s = 0; s < 5; s++)
        for (uint32_t b = 0; b < 4; b++) {
            char keys[200];
            snprintf(keys, sizeof keys,
                     "MaxRecvDataSegmentLength=%u\nMaxBurstLength=%u\nFirstBurstLength=512", segments[s],
                     bursts[b]);
            again(keys);
            for (uint32_t blocks = 1; blocks < 2048; blocks = blocks * 3 + 1) {
                uint32_t len = blocks * BLOCK, at = 0, sn = 0, burst = 0;
                read_send(&c, 0, (uint16_t)blocks);
                for (;;) {
                    struct pdu_data_in in;
                    struct reply *r = client_expect(&c, PDU_OP_data_in);
                    pdu_data_in_decode(r->bhs, &in);
                    assert_int_equal(in.data_sn, sn++);
                    assert_int_equal(in.buffer_offset, at);
                    assert_int_equal(in.acknowledge, 0);
                    assert_true(r->len > 0 && r->len <= segments[s]);
                    assert_true(in.final || r->len % 4 == 0);
                    assert_memory_equal(r->data, pat + at, r->len);
                    at += r->len;
                    burst += r->len;
                    assert_true(burst <= bursts[b]);
                    assert_true(at == len || in.final == (burst == bursts[b]));
                    if (in.final)
                        burst = 0;
                    if (at == len) {
                        assert_true(in.final && in.has_status && in.status == 0);
                        assert_int_equal(in.stat_sn, c.exp_stat_sn);
                        c.exp_stat_sn++;
                        assert_int_equal(in.exp_cmd_sn, c.cmd_sn);
                        break;
                    }
                    assert_false(in.has_status);
                }
                assert_true(client_quiet(&c));
            }
        }
    PROVES("R7143-11.7.1-02", "target");
    PROVES("R7143-11.7.1-03", "target");
    PROVES("R7143-11.7.1-04", "target");
    PROVES("R7143-11.7.1-07", "target");
    PROVES("R7143-11.7.2-03", "target");
    PROVES("R7143-11.7.3-03", "target");
    PROVES("R7143-11.7.7-02", "target");
    PROVES("R7143-4.2.2.4-02", "target");
    PROVES("R7143-4.6.1.5-01", "target");
    PROVES("R7143-11.7.6-02", "target");
    PROVES("R7143-11.7.6-03", "target");
    PROVES("R7143-4.2.2.1-24", "target");
    PROVES("R7143-13.19-02", "target");
}

/* ---- residuals ---- */

struct residual_row {
    const char *what;
    uint8_t cdb[16];
    bool read, write;
    uint32_t edtl;
    bool over, under;
    uint32_t count, data; /* residual; bytes of data-in */
    uint8_t status;
};
static const struct residual_row residuals[] = {
    {"TEST UNIT READY with the R bit and nothing announced", {0x00}, true, false, 0, false, false, 0, 0, 0},
    {"TEST UNIT READY with R and a length", {0x00}, true, false, 64, false, true, 64, 0, 0},
    {"TEST UNIT READY with W and a length", {0x00}, false, true, 64, false, true, 64, 0, 0},
    {"INQUIRY shorter than announced", {0x12, 0, 0, 0, 36}, true, false, 100, false, true, 64, 36, 0},
    {"INQUIRY shorter than its allocation length",
     {0x12, 0, 0, 0, 255},
     true,
     false,
     255,
     false,
     true,
     181,
     74,
     0},
    {"INQUIRY exact", {0x12, 0, 0, 0, 36}, true, false, 36, false, false, 0, 36, 0},
    {"INQUIRY longer than announced", {0x12, 0, 0, 0, 36}, true, false, 16, true, false, 20, 16, 0},
    {"INQUIRY without the R bit", {0x12, 0, 0, 0, 36}, false, false, 0, true, false, 36, 0, 0},
    {"READ(10) cut by the length",
     {0x28, 0, 0, 0, 0, 0, 0, 0, 4},
     true,
     false,
     1024,
     true,
     false,
     1024,
     1024,
     0},
    {"READ(10) short of the length",
     {0x28, 0, 0, 0, 0, 0, 0, 0, 1},
     true,
     false,
     2048,
     false,
     true,
     1536,
     512,
     0},
    {"READ(10) beyond the end", {0x28, 0, 0x7f, 0, 0, 0, 0, 0, 1}, true, false, 512, false, true, 512, 0, 2},
    {"unknown command", {0xff}, true, false, 512, false, true, 512, 0, 2},
};

static void residuals_follow_the_table(void **state)
{
    (void)state;
    again("");
    for (size_t i = 0; i < sizeof residuals / sizeof residuals[0]; i++) {
        const struct residual_row *row = &residuals[i];
        struct pdu_scsi_command p = command(&c, row->read, row->write, row->edtl);
        memcpy(p.cdb, row->cdb, 16);
        command_send(&c, &p, NULL, 0);
        struct reply *r = client_reply(&c);
        assert_non_null(r);
        bool over, under;
        uint32_t count, data = 0, stat_sn;
        uint8_t status;
        if (pdu_opcode(r->bhs) == PDU_OP_data_in) {
            struct pdu_data_in in;
            pdu_data_in_decode(r->bhs, &in);
            over = in.overflow, under = in.underflow, count = in.residual_count, status = in.status;
            data = r->len, stat_sn = in.stat_sn;
        } else {
            struct pdu_scsi_response rsp;
            pdu_scsi_response_decode(r->bhs, &rsp);
            over = rsp.overflow, under = rsp.underflow, count = rsp.residual_count, status = rsp.status;
            stat_sn = rsp.stat_sn;
        }
        if (over != row->over || under != row->under || count != row->count || data != row->data ||
            status != row->status)
            fail_msg("%s: O=%d U=%d %u data %u status %x", row->what, over, under, count, data, status);
        assert_int_equal(stat_sn, c.exp_stat_sn++);
        assert_true(client_quiet(&c));
    }
    PROVES("R7143-11.4.5.2-01", "target");
    PROVES("R7143-11.4.5.2-02", "target");
    PROVES("R7143-11.4.5.1-01", "target");
    PROVES("R7143-11.4.1-01", "target");
    PROVES("R7143-11.3.4-05", "target");
    PROVES("R7143-11.4.5.3-01", "target");
    PROVES("R7143-11.4.5.3-02", "target");
    PROVES("R7143-11.4.9-01", "target");
    PROVES("R7143-4.6.1.2-01", "target");
    PROVES("R7143-11.4.7-01", "target");
    PROVES("R7143-11.4.7-03", "target");
    PROVES("R7143-11.7.3-01", "target");
    PROVES("R7143-11.4.5.3-03", "target");
}

static void writes_have_residuals_too(void **state)
{
    (void)state;
    again("");
    /* the command takes 2 blocks, 4 are announced: two are asked for */
    struct pdu_scsi_command p = command(&c, false, true, 4 * BLOCK);
    cdb_rw(p.cdb, true, 0, 2);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t;
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    assert_int_equal(r2t.desired_data_transfer_length, 2 * BLOCK);
    send_sequence(p.itt, r2t.ttt, 0, 2 * BLOCK, 65536);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.status, 0);
    assert_true(rsp.underflow && !rsp.overflow && rsp.residual_count == 2 * BLOCK);
    /* it takes 4, but 2 are announced */
    p = command(&c, false, true, 2 * BLOCK);
    cdb_rw(p.cdb, true, 8, 4);
    command_send(&c, &p, pat, 2 * BLOCK);
    rsp = expect_response(&c);
    assert_int_equal(rsp.status, 0);
    assert_true(rsp.overflow && !rsp.underflow && rsp.residual_count == 2 * BLOCK);
    assert_memory_equal(w.rams[0].data + 8 * BLOCK, pat, 2 * BLOCK);
    /* nothing announced at all */
    p = command(&c, false, false, 0);
    cdb_rw(p.cdb, true, 0, 1);
    command_send(&c, &p, NULL, 0);
    rsp = expect_response(&c);
    assert_true(rsp.overflow && rsp.residual_count == BLOCK);
    PROVES("R7143-11.4.5.2-03", "target");
}

static void failed_read_sends_status_in_a_response(void **state)
{
    (void)state;
    again("");
    w.fail_next = ERR_IO;
    read_send(&c, 0, 4);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.status, 2);
    assert_int_equal(c.reply.data[4], 3);
    assert_int_equal(rsp.exp_data_sn, 0);
    PROVES("R7143-11.4.8-02", "target");
}

/* ---- wrong data ---- */

enum wrong {
    IMMEDIATE_NOT_ALLOWED,
    IMMEDIATE_TOO_LONG,
    UNSOLICITED_NOT_ALLOWED,
    DATA_WITH_READ,
    UNSOLICITED_TOO_LONG,
    UNSOLICITED_TOO_SHORT,
    UNSOLICITED_UNEXPECTED,
    R2T_WRONG_OFFSET,
    R2T_WRONG_SN,
    R2T_TOO_LONG,
    R2T_EARLY_F,
    R2T_NO_F,
    UNKNOWN_TTT,
    UNKNOWN_ITT,
    WRONG_ITT_FOR_TTT
};
struct wrong_row {
    enum wrong wrong;
    uint8_t reject;    /* 0: none */
    uint8_t asc, ascq; /* 0: the command ends well */
};
static const struct wrong_row wrongs[] = {
    {IMMEDIATE_NOT_ALLOWED, 0, 0x0c, 0x0c},
    {IMMEDIATE_TOO_LONG, 0, 0x0c, 0x0d},
    {UNSOLICITED_NOT_ALLOWED, 0, 0x0c, 0x0c},
    {DATA_WITH_READ, 0, 0x0c, 0x0c},
    {UNSOLICITED_TOO_LONG, 0, 0x0c, 0x0d},
    {UNSOLICITED_TOO_SHORT, 0, 0x0c, 0x0d},
    {UNSOLICITED_UNEXPECTED, 0, 0x0c, 0x0c},
    {R2T_WRONG_OFFSET, 9, 0x4b, 0x05},
    {R2T_WRONG_SN, 0, 0x47, 0x05},
    {R2T_TOO_LONG, 9, 0x0c, 0x0d},
    {R2T_EARLY_F, 4, 0x0c, 0x0d},
    {R2T_NO_F, 4, 0x0c, 0x0d},
    {UNKNOWN_TTT, 9, 0, 0},
    {UNKNOWN_ITT, 9, 0, 0},
    {WRONG_ITT_FOR_TTT, 9, 0, 0},
};

static void wrong_data_ends_the_command_as_the_rfc_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        const struct wrong_row *row = &wrongs[i];
        bool unsolicited = row->wrong == UNSOLICITED_TOO_LONG || row->wrong == UNSOLICITED_TOO_SHORT;
        w.config->targets[0].keys.initial_r2t = !unsolicited;
        again(row->wrong == IMMEDIATE_NOT_ALLOWED ? "ImmediateData=No"
              : unsolicited                       ? "InitialR2T=No\nFirstBurstLength=2048"
                                                  : "FirstBurstLength=2048");
        memset(w.rams[0].data, 0xee, 16 * BLOCK);
        struct pdu_scsi_command p =
            command(&c, row->wrong == DATA_WITH_READ, row->wrong != DATA_WITH_READ, 8 * BLOCK);
        cdb_rw(p.cdb, row->wrong != DATA_WITH_READ, 0, 8);
        struct pdu_data_out d;
        struct pdu_r2t r2t = {0};
        p.final = !unsolicited && row->wrong != UNSOLICITED_NOT_ALLOWED;
        uint32_t len = row->wrong == IMMEDIATE_NOT_ALLOWED || row->wrong == DATA_WITH_READ ? 512
                       : row->wrong == IMMEDIATE_TOO_LONG                                  ? 2560
                                                                                           : 0;
        command_send(&c, &p, pat, len);
        if (row->wrong >= UNSOLICITED_UNEXPECTED)
            pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
        uint32_t whole = r2t.desired_data_transfer_length;
        switch (row->wrong) {
        case IMMEDIATE_NOT_ALLOWED:
        case IMMEDIATE_TOO_LONG:
        case DATA_WITH_READ:
            break;
        case UNSOLICITED_NOT_ALLOWED:
            d = data_out(p.itt, PDU_TAG_RESERVED, 0, 0, false);
            data_out_send(&c, &d, pat, 512);
            assert_true(client_quiet(&c)); /* not before F */
            d = data_out(p.itt, PDU_TAG_RESERVED, 1, 512, true);
            data_out_send(&c, &d, pat, 512);
            break;
        case UNSOLICITED_TOO_LONG:
            d = data_out(p.itt, PDU_TAG_RESERVED, 0, 0, true);
            data_out_send(&c, &d, pat, 2560);
            break;
        case UNSOLICITED_TOO_SHORT:
            d = data_out(p.itt, PDU_TAG_RESERVED, 0, 0, true);
            data_out_send(&c, &d, pat, 1024);
            break;
        case UNSOLICITED_UNEXPECTED:
            d = data_out(p.itt, PDU_TAG_RESERVED, 0, 0, true);
            data_out_send(&c, &d, pat, 512);
            assert_true(client_quiet(&c));
            send_sequence(p.itt, r2t.ttt, 0, whole, 65536);
            break;
        case R2T_WRONG_OFFSET:
            d = data_out(p.itt, r2t.ttt, 0, 512, false);
            data_out_send(&c, &d, pat, 512);
            break;
        case R2T_WRONG_SN:
            d = data_out(p.itt, r2t.ttt, 5, 0, false);
            data_out_send(&c, &d, pat, 512);
            assert_true(client_quiet(&c));
            break;
        case R2T_TOO_LONG:
            d = data_out(p.itt, r2t.ttt, 0, 0, true);
            data_out_send(&c, &d, pat, whole + 512);
            break;
        case R2T_EARLY_F:
            d = data_out(p.itt, r2t.ttt, 0, 0, true);
            data_out_send(&c, &d, pat, 512);
            break;
        case R2T_NO_F:
            d = data_out(p.itt, r2t.ttt, 0, 0, false);
            data_out_send(&c, &d, pat, whole);
            break;
        case UNKNOWN_TTT:
            d = data_out(p.itt, r2t.ttt ^ 0x40, 0, 0, true);
            data_out_send(&c, &d, pat, whole);
            break;
        case UNKNOWN_ITT:
            d = data_out(9999, PDU_TAG_RESERVED, 0, 0, true);
            data_out_send(&c, &d, pat, 512);
            break;
        case WRONG_ITT_FOR_TTT:
            d = data_out(p.itt + 1, r2t.ttt, 0, 0, true);
            data_out_send(&c, &d, pat, 512);
            break;
        }
        if (row->reject) {
            struct pdu_reject rej;
            pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
            assert_int_equal(rej.reason, row->reject);
            assert_int_equal(rej.stat_sn, c.exp_stat_sn++);
            assert_int_equal(c.reply.len, PDU_BHS_LEN);
            assert_int_equal(pdu_opcode(c.reply.data), PDU_OP_data_out);
        }
        if (row->wrong == R2T_WRONG_OFFSET || row->wrong == R2T_WRONG_SN) {
            assert_true(client_quiet(&c)); /* the last data is still due */
            d = data_out(p.itt, r2t.ttt, 1, 512, true);
            data_out_send(&c, &d, pat, whole - 512);
        }
        if (row->asc == 0)
            send_sequence(p.itt, r2t.ttt, 0, whole, 65536);
        struct pdu_scsi_response rsp = expect_response(&c);
        if (rsp.status != (row->asc ? 2 : 0) || (row->asc && !sense_is(&c, 0x0b, row->asc, row->ascq)))
            fail_msg("row %zu: status %x %02x %02x/%02x", i, rsp.status,
                     c.reply.len > 4 ? c.reply.data[4] : 0, c.reply.len > 14 ? c.reply.data[14] : 0,
                     c.reply.len > 15 ? c.reply.data[15] : 0);
        assert_true(client_quiet(&c));
        if (row->asc)
            assert_int_equal(w.rams[0].data[0], 0xee);
        client_settle(&c, 0); /* the session goes on */
    }
    PROVES("R7143-11.4.7.2-01", "target");
    PROVES("R7143-11.4.7.2-02", "target");
    PROVES("R7143-11.4.7.2-05", "target");
    PROVES("R7143-4.2.5.2-06", "target");
    PROVES("R7143-4.2.5.2-07", "target");
    PROVES("R7143-7.9-02", "target");
    PROVES("R7143-11.4.2-02", "target");
    PROVES("R7143-11.17.1-06", "target");
    PROVES("R7143-11.17.1-07", "target");
    PROVES("R7143-11.17.3-01", "target");
    PROVES("R7143-11.17.4-01", "target");
    PROVES("R7143-11.17-01", "target");
    PROVES("R7143-7.3-01", "target");
    PROVES("R7143-7.3-02", "target");
    PROVES("R7143-11.8-04", "target");
    PROVES("R7143-4.2.5.3-04", "target");
    PROVES("R7143-13.11-02", "target");
    PROVES("R7143-13.11-04", "target");
    PROVES("R7143-11.17.1-04", "target");
}

static void command_that_fails_early_waits_for_its_unsolicited_data(void **state)
{
    (void)state;
    w.config->targets[0].keys.initial_r2t = false;
    again("InitialR2T=No\nFirstBurstLength=2048");
    struct pdu_scsi_command p = command(&c, false, true, 8 * BLOCK);
    cdb_rw(p.cdb, true, 0x7f000000, 8); /* out of range */
    p.final = 0;
    command_send(&c, &p, pat, 512);
    assert_true(client_quiet(&c));
    struct pdu_data_out d = data_out(p.itt, PDU_TAG_RESERVED, 0, 512, true);
    data_out_send(&c, &d, pat + 512, 1536);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.status, 2);
    assert_true(sense_is(&c, 5, 0x21, 0));
}

static void next_command_may_come_before_unsolicited_data(void **state)
{
    (void)state;
    w.config->targets[0].keys.initial_r2t = false;
    again("InitialR2T=No\nFirstBurstLength=2048");
    struct pdu_scsi_command a = command(&c, false, true, 4 * BLOCK), b = command(&c, false, true, 4 * BLOCK);
    cdb_rw(a.cdb, true, 0, 4);
    cdb_rw(b.cdb, true, 4, 4);
    a.final = b.final = 0;
    command_send(&c, &a, NULL, 0);
    command_send(&c, &b, NULL, 0);
    struct pdu_data_out d = data_out(a.itt, PDU_TAG_RESERVED, 0, 0, true);
    data_out_send(&c, &d, pat, 2048);
    d = data_out(b.itt, PDU_TAG_RESERVED, 0, 0, true);
    data_out_send(&c, &d, pat + 2048, 2048);
    assert_int_equal(expect_response(&c).itt, a.itt);
    assert_int_equal(expect_response(&c).itt, b.itt);
    assert_memory_equal(w.rams[0].data, pat, 4096);
    PROVES("R7143-4.2.5.2-12", "target");
}

/* ---- digests ---- */

static void digests_protect_both_directions(void **state)
{
    (void)state;
    w.config->targets[0].keys.header_digest.value[0] = w.config->targets[0].keys.data_digest.value[0] =
        KEY_DIGEST_CRC32C;
    for (int header = 0; header < 2; header++)
        for (int data = 0; data < 2; data++) {
            char keys[100];
            snprintf(keys, sizeof keys, "HeaderDigest=%s\nDataDigest=%s", header ? "CRC32C" : "None",
                     data ? "CRC32C" : "None");
            again(keys);
            assert_int_equal(c.header_digest, header);
            assert_int_equal(c.data_digest, data);
            struct limits l = {true, true, 65536, 262144, 262144, 1};
            assert_int_equal(write_through(&l, 300).status, 0);
            assert_memory_equal(w.rams[0].data, pat, 300 * BLOCK);
            read_send(&c, 0, 300);
            read_collect(&c, got, 300 * BLOCK);
            assert_memory_equal(got, pat, 300 * BLOCK);
        }
    PROVES("R7143-11.2.3-01", "target");
    PROVES("R7143-11.2.3-02", "target");
    PROVES("R7143-11.2.3-03", "target");
    PROVES("R7143-13.1-02", "target");
    PROVES("R7143-13.1-03", "target");
}

static void bad_data_digest_is_rejected_and_ends_the_write(void **state)
{
    (void)state;
    again("DataDigest=CRC32C");
    assert_true(c.data_digest);
    struct pdu_scsi_command p = command(&c, false, true, 8 * BLOCK);
    struct pdu_r2t r2t;
    struct pdu_reject rej;
    uint8_t bhs[PDU_BHS_LEN];
    cdb_rw(p.cdb, true, 0, 8);
    command_send(&c, &p, NULL, 0);
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    memset(w.rams[0].data, 0xee, 8 * BLOCK);
    struct pdu_data_out d = data_out(p.itt, r2t.ttt, 0, 0, false);
    pdu_data_out_encode(&d, bhs);
    client_queue_ahs(&c, bhs, "", 0, pat, 1024);
    c.out[c.out_len - 1] ^= 1;
    client_push(&c);
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
    assert_int_equal(rej.reason, 2);
    c.exp_stat_sn++;
    assert_true(client_quiet(&c));
    d = data_out(p.itt, r2t.ttt, 1, 1024, true);
    data_out_send(&c, &d, pat, 3072);
    assert_int_equal(expect_response(&c).status, 2);
    assert_true(sense_is(&c, 0x0b, 0x47, 0x05));
    assert_int_equal(w.rams[0].data[0], 0xee);
    /* immediate data: the command was not received, and comes again with the same CmdSN */
    p = command(&c, false, true, BLOCK);
    cdb_rw(p.cdb, true, 0, 1);
    pdu_scsi_command_encode(&p, bhs);
    client_queue_ahs(&c, bhs, "", 0, pat, BLOCK);
    c.out[c.out_len - 1] ^= 1;
    client_push(&c);
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &rej);
    assert_int_equal(rej.reason, 2);
    assert_int_equal(rej.exp_cmd_sn, p.cmd_sn);
    c.exp_stat_sn++;
    command_send(&c, &p, pat, BLOCK);
    assert_int_equal(expect_response(&c).status, 0);
    assert_memory_equal(w.rams[0].data, pat, BLOCK);
    PROVES("R7143-7.8-02", "target");
    PROVES("R7143-7.8-03", "target");
    PROVES("R7143-7.8-04", "target");
    PROVES("R7143-7.8-05", "target");
    PROVES("R7143-11.4.7.2-03", "target");
    PROVES("R7143-7.3-04", "target");
}

static void bad_header_digest_closes_the_connection(void **state)
{
    (void)state;
    again("HeaderDigest=CRC32C");
    assert_true(c.header_digest);
    struct pdu_scsi_command p = command(&c, false, false, 0);
    uint8_t bhs[PDU_BHS_LEN];
    pdu_scsi_command_encode(&p, bhs);
    client_queue_ahs(&c, bhs, "", 0, "", 0);
    c.out[c.out_len - 1] ^= 1;
    client_push(&c);
    assert_true(c.closed);
    assert_true(client_quiet(&c));
    PROVES("R7143-7.8-01", "target");
}

static void too_long_segment_closes_the_connection(void **state)
{
    (void)state;
    w.config->targets[0].keys.max_recv_data_segment_length = 8192;
    again("");
    struct pdu_scsi_command p = command(&c, false, true, 32 * BLOCK);
    cdb_rw(p.cdb, true, 0, 32);
    command_send(&c, &p, pat, 8193);
    assert_true(c.closed);
    PROVES("R7143-7.7-01", "target");
}

/* ---- the byte stream may be cut anywhere ---- */

/* A conversation with immediate, unsolicited and solicited data, reads, a ping and a text, answered from a
 * script: R2Ts are numbered alike in every run, so the same bytes can be sent blindly. */
static size_t conversation(uint32_t cut, bool random, uint8_t **out)
{
    world_init(&w);
    w.config->targets[0].keys.initial_r2t = false;
    w.config->targets[0].keys.data_digest.value[0] = KEY_DIGEST_CRC32C;
    world_start(&w);
    client_init(&c, &w);
    c.cut = cut;
    c.cut_random = random;
    client_login(
        &c,
        "InitialR2T=No\nFirstBurstLength=4096\nMaxBurstLength=16384\nHeaderDigest=CRC32C\nDataDigest=CRC32C");
    client_settle(&c, 0);
    struct limits l = {true, false, 4096, 16384, 2000, 1};
    write_through(&l, 5);
    write_through(&l, 100);
    l.immediate = false;
    write_through(&l, 67);
    read_send(&c, 0, 100);
    read_collect(&c, got, 100 * BLOCK);
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_nop_out nop;
    pdu_nop_out_init(&nop);
    nop.immediate = 1;
    nop.itt = 77;
    nop.ttt = PDU_TAG_RESERVED;
    nop.cmd_sn = c.cmd_sn;
    pdu_nop_out_encode(&nop, bhs);
    client_send(&c, bhs, "are you there?", 14);
    client_expect(&c, PDU_OP_nop_in);
    size_t len = c.in_len;
    *out = c.in;
    c.in = NULL;
    return len;
}

static void cutting_the_stream_changes_nothing(void **state)
{
    (void)state;
    teardown(NULL);
    static const struct {
        uint32_t cut;
        bool random;
    } cuts[] = {{0, false},  {1, false},  {3, false},   {47, false},
                {49, false}, {100, true}, {5000, true}, {7, true}};
    uint8_t *first = NULL, *other;
    size_t first_len = 0;
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        size_t len = conversation(cuts[i].cut, cuts[i].random, &other);
        if (i == 0) {
            first = other;
            first_len = len;
        } else {
            assert_int_equal(len, first_len);
            assert_memory_equal(other, first, len);
            free(other);
        }
        if (i + 1 < sizeof cuts / sizeof cuts[0])
            teardown(NULL);
    }
    free(first);
}

/* ---- memory ---- */

/* What is kept for retransmission needs memory: without it the command ends BUSY, but not in the middle of a
 * sequence. */
static void a_read_without_memory_ends_its_sequence(void **state)
{
    (void)state;
    uint32_t busy = 0, short_of_data = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        teardown(NULL);
        world_init(&w);
        w.config->targets[0].keys.error_recovery_level = 1;
        w.seed = seed;
        world_start(&w);
        client_init(&c, &w);
        client_login(&c, "ErrorRecoveryLevel=1\nMaxRecvDataSegmentLength=512");
        client_settle(&c, 0);
        w.fail_alloc = 6;
        read_send(&c, 0, 8);
        w.fail_alloc = 0;
        bool open = false;
        uint32_t pdus = 0;
        for (struct reply *r; (r = client_reply(&c)) != NULL && pdu_opcode(r->bhs) == PDU_OP_data_in;
             pdus++) {
            struct pdu_data_in in;
            pdu_data_in_decode(r->bhs, &in);
            assert_int_equal(in.data_sn, pdus);
            open = !in.final;
        }
        if (c.closed)
            continue; /* no memory even for the answer */
        struct pdu_scsi_response rsp;
        pdu_scsi_response_decode(c.reply.bhs, &rsp);
        assert_int_equal(pdu_opcode(c.reply.bhs), PDU_OP_scsi_response);
        assert_false(open);
        assert_int_equal(rsp.exp_data_sn, pdus);
        busy += rsp.status == 8;
        short_of_data += rsp.status == 8 && pdus > 0;
    }
    assert_true(busy > 5 && short_of_data > 5);
    PROVES("R7143-11.7.1-02", "target");
}

static void steady_state_makes_no_task_objects(void **state)
{
    (void)state;
    again("");
    struct limits l = {true, true, 65536, 262144, 262144, 1};
    for (int i = 0; i < 10; i++) {
        write_through(&l, 8);
        write_through(&l, 300);
        read_send(&c, 0, 8);
        read_collect(&c, got, 8 * BLOCK);
    }
    uint64_t tasks = w.r.tasks_allocated, spans = w.r.scsi.spans_allocated, pdus = w.r.tx_pool.allocated;
    uint64_t heap = env_host_allocations(), chunks = pool_heap_allocations(w.pool);
    for (int i = 0; i < 500; i++) {
        write_through(&l, 8);
        write_through(&l, 300);
        read_send(&c, 0, 8);
        read_collect(&c, got, 8 * BLOCK);
    }
    assert_int_equal(w.r.tasks_allocated, tasks);
    assert_int_equal(w.r.scsi.spans_allocated, spans);
    assert_int_equal(w.r.tx_pool.allocated, pdus);
    assert_int_equal(pool_heap_allocations(w.pool), chunks);
    assert_int_equal(env_host_allocations(), heap);
}

static void stuck_peer_costs_bounded_memory(void **state)
{
    (void)state;
    again("MaxRecvDataSegmentLength=262144");
    c.stuck = true;
    for (int i = 0; i < 120; i++)
        read_send(&c, 0, 2048); /* 120 MiB */
    assert_true(pool_bytes_in_use(w.pool) < 48u << 20);
    /* it takes bytes again: everything arrives */
    c.stuck = false;
    client_unstick(&c);
    uint32_t ends = 0;
    uint64_t bytes = 0;
    while (!client_quiet(&c)) { /* commands may be answered side by side */
        struct pdu_data_in in;
        pdu_data_in_decode(client_expect(&c, PDU_OP_data_in)->bhs, &in);
        bytes += c.reply.len;
        ends += in.has_status;
    }
    assert_int_equal(ends, 120);
    assert_int_equal(bytes, 120u << 20);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_data_combinations_write_what_was_sent),
        TEST(four_kib_blocks_merge_odd_first_bursts),
        TEST(data_in_keeps_segment_and_burst_limits),
        TEST(residuals_follow_the_table),
        TEST(writes_have_residuals_too),
        TEST(failed_read_sends_status_in_a_response),
        TEST(wrong_data_ends_the_command_as_the_rfc_says),
        TEST(command_that_fails_early_waits_for_its_unsolicited_data),
        TEST(next_command_may_come_before_unsolicited_data),
        TEST(digests_protect_both_directions),
        TEST(bad_data_digest_is_rejected_and_ends_the_write),
        TEST(bad_header_digest_closes_the_connection),
        TEST(too_long_segment_closes_the_connection),
        TEST(cutting_the_stream_changes_nothing),
        TEST(steady_state_makes_no_task_objects),
        TEST(a_read_without_memory_ends_its_sequence),
        TEST(stuck_peer_costs_bounded_memory),
    };
    return cmocka_run_group_tests_name("target_data", tests, NULL, NULL);
}
