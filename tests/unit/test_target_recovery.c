/* Recovery within a command and within a connection (RFC 7143 chapter 7, levels 0 and 1) at the target:
 * SNACKs of all types, the A bit, what is kept and for how long, recovery R2Ts, retried commands. Method: a
 * raw initiator that loses, damages and repeats PDUs on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_recovery.h"

#define SNACK_DATA     0
#define SNACK_STATUS   1
#define SNACK_DATA_ACK 2
#define SNACK_R_DATA   3
#define NO_TAG         PDU_TAG_RESERVED

static struct world w;
static struct client c;
static uint8_t buf[64 * 1024], want[64 * 1024];

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_recovers(&w);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    client_fini(&c);
    world_fini(&w);
    return 0;
}
static void login(int level, const char *keys)
{
    client_login_level(&c, level, keys);
    client_settle(&c, 0);
    acknowledge_status(&c);
}

/* ---- status ---- */

static void responses_are_kept_until_they_are_acknowledged(void **state)
{
    (void)state;
    login(1, "");
    uint8_t first[3][PDU_BHS_LEN];
    uint32_t begin = c.exp_stat_sn;
    for (int i = 0; i < 3; i++) { /* the last with sense data */
        struct pdu_scsi_command p = command(&c, false, false, 0);
        p.exp_stat_sn = begin;
        p.cdb[0] = i == 2 ? 0xff : 0;
        command_send(&c, &p, NULL, 0);
        memcpy(first[i], client_expect(&c, PDU_OP_scsi_response)->bhs, PDU_BHS_LEN);
        struct pdu_scsi_response rsp;
        pdu_scsi_response_decode(first[i], &rsp);
        assert_int_equal(rsp.stat_sn, begin + (uint32_t)i);
    }
    uint8_t sense[64];
    memcpy(sense, c.reply.data, c.reply.len);
    c.exp_stat_sn = begin;
    snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, begin + 1, 1);
    assert_true(same_again(client_expect(&c, PDU_OP_scsi_response)->bhs, first[1]));
    assert_true(client_quiet(&c));
    snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, begin + 1, 0);
    for (int i = 1; i < 3; i++)
        assert_true(same_again(client_expect(&c, PDU_OP_scsi_response)->bhs, first[i]));
    assert_memory_equal(c.reply.data, sense, c.reply.len);
    snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, 0, 0);
    for (int i = 0; i < 3; i++)
        assert_true(same_again(client_expect(&c, PDU_OP_scsi_response)->bhs, first[i]));
    snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, begin + 1, 3); /* one too many */
    struct pdu_reject reject;
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &reject);
    assert_int_equal(reject.reason, 4);
    c.exp_stat_sn = begin + 2; /* two are acknowledged by this very PDU */
    snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, begin, 1);
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &reject);
    assert_int_equal(reject.reason, 4);
    snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, begin + 2, 1);
    assert_true(same_again(client_expect(&c, PDU_OP_scsi_response)->bhs, first[2]));
    snack_send(&c, 4, NO_TAG, NO_TAG, 0, 0); /* a reserved type */
    assert_int_equal(expect_reject(&c), 4);
    PROVES("R7143-4.2.2.2-05", "target");
    PROVES("R7143-4.2.2.2-03", "target");
    PROVES("R7143-11.16-02", "target");
    PROVES("R7143-11.16-05", "target");
    PROVES("R7143-11.16-06", "target");
    PROVES("R7143-11.16.1-01", "target");
    PROVES("R7143-11.4.9-02", "target");
}

static void a_status_that_nobody_kept_is_refused(void **state)
{
    (void)state;
    client_login_level(&c, 1, "");
    c.exp_stat_sn--; /* the Login Response */
    snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, c.exp_stat_sn, 1);
    assert_int_equal(expect_reject(&c), 3);
    PROVES("R7143-7.1.4-02", "target");
}

/* ---- data ---- */

static void fill_disk(void)
{
    pattern(w.rams[0].data, 64 * 1024, 5);
    memcpy(want, w.rams[0].data, sizeof want);
}

/* Reads everything up to the response, which is not acknowledged; headers of the Data-In into `head`. */
static uint32_t read_all(uint8_t (*head)[PDU_BHS_LEN], uint32_t max, struct pdu_scsi_response *rsp)
{
    uint32_t n = 0;
    for (;;) {
        struct reply *r = client_reply(&c);
        assert_non_null(r);
        if (pdu_opcode(r->bhs) != PDU_OP_data_in) {
            assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
            pdu_scsi_response_decode(r->bhs, rsp);
            return n;
        }
        assert_true(n < max);
        memcpy(head[n++], r->bhs, PDU_BHS_LEN);
        struct pdu_data_in in;
        pdu_data_in_decode(r->bhs, &in);
        assert_true(r->len > 0 && in.buffer_offset + r->len <= sizeof buf);
        memcpy(buf + in.buffer_offset, r->data, r->len);
    }
}

static void data_comes_again_exactly_as_it_was(void **state)
{
    (void)state;
    fill_disk();
    login(1, "MaxRecvDataSegmentLength=4096");
    uint8_t head[16][PDU_BHS_LEN];
    struct pdu_scsi_response rsp;
    uint32_t begin = c.exp_stat_sn, itt = read_send(&c, 0, 64);
    assert_int_equal(read_all(head, 16, &rsp), 8);
    assert_int_equal(rsp.exp_data_sn, 8);
    assert_int_equal(rsp.status, 0);
    assert_memory_equal(buf, want, 32768);
    memset(w.rams[0].data, 0xee, 32768); /* what was sent does not change any more */
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 2, 3);
    for (int i = 2; i < 5; i++) {
        assert_true(same_again(client_expect(&c, PDU_OP_data_in)->bhs, head[i]));
        assert_memory_equal(c.reply.data, want + i * 4096, 4096);
    }
    assert_true(client_quiet(&c));
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 6, 0);
    for (int i = 6; i < 8; i++)
        assert_true(same_again(client_expect(&c, PDU_OP_data_in)->bhs, head[i]));
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 0, 0);
    for (int i = 0; i < 8; i++)
        assert_true(same_again(client_expect(&c, PDU_OP_data_in)->bhs, head[i]));
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 7, 2); /* one more than there are */
    struct pdu_reject reject;
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &reject);
    assert_int_equal(reject.reason, 4);
    assert_int_equal(reject.data_sn, 8); /* the next that there would be */
    c.exp_stat_sn = begin;
    snack_send(&c, SNACK_DATA, 0x4711, NO_TAG, 0, 0);
    assert_int_equal(expect_reject(&c), 9);
    c.exp_stat_sn = rsp.stat_sn + 1; /* status acknowledged: so is the data, and the tag is nobody's */
    acknowledge_status(&c);
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 0, 1);
    assert_int_equal(expect_reject(&c), 9);
    PROVES("R7143-11.16-01", "target");
    PROVES("R7143-11.16-04", "target");
    PROVES("R7143-11.16-05", "target");
    PROVES("R7143-11.7.2-09", "target");
    PROVES("R7143-7.1.3-02", "target");
    PROVES("R7143-7.1.3-01", "target");
    PROVES("R7143-7.8-08", "target");
    PROVES("R7143-11.7-02", "target");
    PROVES("R7143-11.7.1-06", "target");
    PROVES("R7143-11.17.2-01", "target");
    PROVES("R7143-11.17.1-04", "target");
}

static void numbers_of_data_fit_the_longest_command(void **state)
{
    (void)state;
    /* The smallest segment is 512 bytes, the largest command has 2^32 - 1 bytes: each PDU but the last is
     * full. */
    login(1, "MaxRecvDataSegmentLength=512\nMaxBurstLength=1048576");
    struct pdu_scsi_command p = command(&c, true, false, BLOCKS * BLOCK);
    cdb_rw(p.cdb, false, 0, BLOCKS);
    command_send(&c, &p, NULL, 0);
    uint32_t sn = 0, at = 0;
    struct reply *r;
    while ((r = client_reply(&c)) != NULL && pdu_opcode(r->bhs) == PDU_OP_data_in) {
        struct pdu_data_in in;
        pdu_data_in_decode(r->bhs, &in);
        assert_int_equal(in.data_sn, sn++);
        assert_int_equal(in.buffer_offset, at);
        assert_int_equal(r->len, 512);
        at += r->len;
    }
    assert_int_equal(at, BLOCKS * BLOCK);
    assert_true(UINT32_MAX / 512 + 1 < UINT32_MAX);
    PROVES("R7143-4.2.2.4-06", "target");
    PROVES("R7143-11.7.6-01", "target");
}

/* XDWRITEREAD(10) of `blocks`: write data out, XORed data in. */
static uint32_t bidirectional_send(uint32_t lba, uint16_t blocks)
{
    uint8_t bhs[PDU_BHS_LEN], ahs[8] = {0, 5, 2, 0};
    struct pdu_scsi_command p = command(&c, true, true, blocks * BLOCK);
    cdb_rw(p.cdb, true, lba, blocks);
    p.cdb[0] = 0x53;
    be32_put(ahs + 4, blocks * BLOCK);
    pdu_scsi_command_encode(&p, bhs);
    client_queue_ahs(&c, bhs, ahs, sizeof ahs, "", 0);
    client_push(&c);
    return p.itt;
}

static void a_bidirectional_command_has_one_row_of_numbers(void **state)
{
    (void)state;
    login(1, "InitialR2T=Yes\nImmediateData=No\nMaxRecvDataSegmentLength=4096\nMaxBurstLength=8192\n"
             "FirstBurstLength=4096");
    pattern(want, 16384, 21);
    memset(w.rams[0].data, 0, 16384);
    uint32_t itt = bidirectional_send(0, 32), next = 0, in_count = 0, at = 0, r2ts = 0;
    uint8_t head[16][PDU_BHS_LEN];
    for (;;) {
        struct reply *r = client_reply(&c);
        assert_non_null(r);
        if (pdu_opcode(r->bhs) == PDU_OP_r2t) {
            struct pdu_r2t r2t;
            pdu_r2t_decode(r->bhs, &r2t);
            assert_int_equal(r2t.r2t_sn, next++);
            r2ts++;
            struct pdu_data_out out = data_out(itt, r2t.ttt, 0, r2t.buffer_offset, true);
            data_out_send(&c, &out, want + r2t.buffer_offset, r2t.desired_data_transfer_length);
        } else if (pdu_opcode(r->bhs) == PDU_OP_data_in) {
            struct pdu_data_in in;
            memcpy(head[in_count++], r->bhs, PDU_BHS_LEN);
            pdu_data_in_decode(r->bhs, &in);
            assert_int_equal(in.data_sn, next++);
            assert_int_equal(in.has_status, 0);
            assert_int_equal(in.buffer_offset, at);
            assert_int_equal(in.final, (at + r->len) % 8192 == 0);
            assert_memory_equal(r->data, want + at, r->len); /* the old data was zeros */
            at += r->len;
        } else {
            break;
        }
    }
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(c.reply.bhs, &rsp);
    assert_int_equal(rsp.status, 0);
    assert_int_equal(at, 16384);
    assert_int_equal(rsp.exp_data_sn, in_count);
    assert_int_equal(next, in_count + r2ts);
    snack_send(&c, SNACK_DATA, itt, NO_TAG, next - 1, 1);
    assert_true(same_again(client_expect(&c, PDU_OP_data_in)->bhs, head[in_count - 1]));
    assert_memory_equal(w.rams[0].data, want, 16384);
    PROVES("R7143-4.2.2.4-05", "target");
    PROVES("R7143-11.7.3-02", "target");
    PROVES("R7143-11.7.1-08", "target");
}

static void declare_max_recv(const char *pair)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_text_request text;
    struct pdu_text_response rsp;
    pdu_text_request_init(&text);
    text.immediate = 1;
    text.final = 1;
    text.itt = 4000;
    text.ttt = NO_TAG;
    text.cmd_sn = c.cmd_sn;
    text.exp_stat_sn = c.exp_stat_sn;
    pdu_text_request_encode(&text, bhs);
    client_send(&c, bhs, pair, (uint32_t)strlen(pair) + 1);
    pdu_text_response_decode(client_expect(&c, PDU_OP_text_response)->bhs, &rsp);
    c.exp_stat_sn = rsp.stat_sn + 1;
}

/* Takes Data-In from `sn` on, each of 1024 bytes, up to `end` bytes; returns the next number. */
static uint32_t small_pieces(uint32_t sn, uint32_t from, uint32_t end)
{
    for (uint32_t at = from; at < end; at += 1024) {
        struct pdu_data_in in = expect_data_in(&c);
        assert_int_equal(in.data_sn, sn++);
        assert_int_equal(in.buffer_offset, at);
        assert_int_equal(c.reply.len, 1024);
        assert_memory_equal(c.reply.data, want + at, 1024);
    }
    return sn;
}

static void bidirectional_data_is_cut_anew_too(void **state)
{
    (void)state;
    login(1, "InitialR2T=Yes\nImmediateData=No\nMaxRecvDataSegmentLength=4096\nMaxBurstLength=8192\n"
             "FirstBurstLength=4096");
    pattern(want, 16384, 21);
    memset(w.rams[0].data, 0, 16384);
    uint32_t itt = bidirectional_send(0, 32);
    struct pdu_r2t r2t = expect_r2t(&c);
    struct pdu_data_out out = data_out(itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, want, 8192);
    uint32_t came = 0;
    struct pdu_r2t second = {0};
    while (!client_quiet(&c)) { /* data of the first burst, and the next R2T among it */
        struct reply *r = client_reply(&c);
        if (pdu_opcode(r->bhs) == PDU_OP_r2t)
            pdu_r2t_decode(r->bhs, &second);
        else
            came += r->len;
    }
    assert_true(came > 0);
    assert_int_equal(second.buffer_offset, 8192);
    declare_max_recv("MaxRecvDataSegmentLength=1024");
    snack_send(&c, SNACK_R_DATA, itt, 77, 0, 0);
    uint32_t sn = small_pieces(0, 0, came);
    assert_true(client_quiet(&c)); /* the R2T that is out is not made again */
    out = data_out(itt, second.ttt, 0, 8192, true);
    data_out_send(&c, &out, want + 8192, 8192);
    sn = small_pieces(sn, came, 16384); /* and its tag is as good as it was */
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &rsp);
    assert_int_equal(rsp.status, 0);
    assert_int_equal(rsp.snack_tag, 77);
    assert_int_equal(sn, 16);
    assert_memory_equal(w.rams[0].data, want, 16384);
    snack_send(&c, SNACK_R_DATA, itt, 78, 0, 0); /* once more, when all is over */
    small_pieces(0, 0, 16384);
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &rsp);
    assert_int_equal(rsp.snack_tag, 78);
    assert_true(client_quiet(&c));
    PROVES("R7143-11.16.3-03", "target");
    PROVES("R7143-11.4.4-01", "target");
}

static void bursts_ask_for_acknowledgement(void **state)
{
    (void)state;
    fill_disk();
    login(1, "MaxRecvDataSegmentLength=4096\nMaxBurstLength=8192\nFirstBurstLength=8192");
    uint8_t head[16][PDU_BHS_LEN];
    struct pdu_scsi_response rsp;
    uint32_t itt = read_send(&c, 0, 64), ttt = 0;
    assert_int_equal(read_all(head, 16, &rsp), 8);
    for (int i = 0; i < 8; i++) {
        struct pdu_data_in in;
        pdu_data_in_decode(head[i], &in);
        assert_int_equal(in.acknowledge, i % 2 == 1 && i < 7);
        assert_int_equal(in.final, i % 2 == 1);
        if (in.acknowledge) {
            assert_int_not_equal(in.ttt, NO_TAG);
            assert_true(in.lun == 0);
            ttt = in.ttt;
        }
    }
    snack_send(&c, SNACK_DATA_ACK, NO_TAG, ttt, 9, 0); /* more than was sent */
    struct pdu_reject reject;
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &reject);
    assert_int_equal(reject.reason, 4);
    snack_send(&c, SNACK_DATA_ACK, NO_TAG, ttt, 4, 0);
    assert_true(client_quiet(&c));
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 3, 1);
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &reject);
    assert_int_equal(reject.reason, 4);
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 0, 0);
    for (int i = 4; i < 8; i++)
        assert_true(same_again(client_expect(&c, PDU_OP_data_in)->bhs, head[i]));
    assert_true(client_quiet(&c));
    snack_send(&c, SNACK_DATA_ACK, NO_TAG, ttt, 4, 1); /* a DataACK has no run */
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &reject);
    assert_int_equal(reject.reason, 9);
    PROVES("R7143-11.7.2-01", "target");
    PROVES("R7143-11.7.2-02", "target");
    PROVES("R7143-11.7.4-03", "target");
    PROVES("R7143-11.7.4-04", "target");
    PROVES("R7143-11.16-05", "target");
}

static void data_pauses_when_much_is_not_acknowledged(void **state)
{
    (void)state;
    login(1, "MaxRecvDataSegmentLength=262144\nMaxBurstLength=1048576");
    uint32_t got = 0, ttt = 0, sn = 0;
    struct pdu_scsi_command p = command(&c, true, false, BLOCKS * BLOCK); /* 8 MiB */
    cdb_rw(p.cdb, false, 0, BLOCKS);
    command_send(&c, &p, NULL, 0);
    struct reply *r;
    uint32_t begin = c.exp_stat_sn;
    while ((r = client_reply(&c)) != NULL && pdu_opcode(r->bhs) == PDU_OP_data_in) {
        struct pdu_data_in in;
        pdu_data_in_decode(r->bhs, &in);
        got += r->len;
        sn = in.data_sn;
        if (in.acknowledge)
            ttt = in.ttt;
    }
    assert_int_equal(got, BLOCKS * BLOCK);
    read_send(&c, 0, 2048);
    pdu_opcode(client_expect(&c, PDU_OP_nop_in)->bhs); /* it asks for acknowledgement instead */
    assert_true(client_quiet(&c));
    snack_send(&c, SNACK_DATA_ACK, NO_TAG, ttt, sn - 3, 0);
    expect_data_in(&c);
    while ((r = client_reply(&c)) != NULL && pdu_opcode(r->bhs) == PDU_OP_data_in)
        ;
    struct pdu_scsi_response rsp;
    assert_non_null(r);
    pdu_scsi_response_decode(r->bhs, &rsp);
    assert_int_equal(rsp.stat_sn, begin + 1);
    c.exp_stat_sn = begin + 2;
    acknowledge_status(&c);
    uint64_t used = pool_bytes_in_use(w.pool);
    assert_true(used < 1u << 20); /* all given back */
}

static void data_is_cut_anew_for_a_smaller_receiver(void **state)
{
    (void)state;
    fill_disk();
    login(1, "MaxRecvDataSegmentLength=4096");
    uint8_t head[64][PDU_BHS_LEN], bhs[PDU_BHS_LEN];
    struct pdu_scsi_response rsp, second;
    uint32_t begin = c.exp_stat_sn, itt = read_send(&c, 0, 32);
    assert_int_equal(read_all(head, 64, &rsp), 4);
    assert_int_equal(rsp.snack_tag, 0);
    struct pdu_text_request text;
    pdu_text_request_init(&text);
    text.immediate = 1;
    text.final = 1;
    text.itt = 4000;
    text.ttt = NO_TAG;
    text.cmd_sn = c.cmd_sn;
    text.exp_stat_sn = begin;
    pdu_text_request_encode(&text, bhs);
    client_send(&c, bhs, "MaxRecvDataSegmentLength=1024", 30);
    client_expect(&c, PDU_OP_text_response);
    c.exp_stat_sn = begin;
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 0, 0); /* the sizes do not fit any more */
    struct pdu_reject reject;
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &reject);
    assert_int_equal(reject.reason, 4);
    memset(buf, 0, sizeof buf);
    snack_send(&c, SNACK_R_DATA, itt, 77, 0, 0);
    assert_int_equal(read_all(head, 64, &second), 16);
    assert_memory_equal(buf, want, 16384);
    for (uint32_t i = 0; i < 16; i++) {
        struct pdu_data_in in;
        pdu_data_in_decode(head[i], &in);
        assert_int_equal(in.data_sn, i);
        assert_int_equal(in.data_segment_length, 1024);
        assert_int_equal(in.final, i == 15);
    }
    assert_int_equal(second.snack_tag, 77);
    assert_int_equal(second.stat_sn, rsp.stat_sn);
    assert_int_equal(second.exp_data_sn, 16);
    snack_send(&c, SNACK_STATUS, NO_TAG, NO_TAG, rsp.stat_sn, 1);
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &second);
    assert_int_equal(second.snack_tag, 77);
    snack_send(&c, SNACK_R_DATA, itt, 0, 0, 0);
    pdu_reject_decode(client_expect(&c, PDU_OP_reject)->bhs, &reject);
    assert_int_equal(reject.reason, 9);
    PROVES("R7143-11.16.3-03", "target");
    PROVES("R7143-11.16.3-04", "target");
    PROVES("R7143-11.16.3-05", "target");
    PROVES("R7143-11.16.3-06", "target");
    PROVES("R7143-11.16.3-02", "target");
    PROVES("R7143-11.16.5-02", "target");
    PROVES("R7143-11.4.4-01", "target");
}

static void resent_data_starts_at_the_last_acknowledgement(void **state)
{
    (void)state;
    fill_disk();
    login(1, "MaxRecvDataSegmentLength=4096\nMaxBurstLength=8192\nFirstBurstLength=8192");
    uint8_t head[64][PDU_BHS_LEN];
    struct pdu_scsi_response rsp;
    struct pdu_data_in in;
    w.delay = true; /* the command is still running */
    uint32_t itt = read_send(&c, 0, 64);
    w.delay = false;
    world_release(&w);
    assert_int_equal(read_all(head, 64, &rsp), 8);
    pdu_data_in_decode(head[1], &in);
    snack_send(&c, SNACK_DATA_ACK, NO_TAG, in.ttt, 2, 0);
    snack_send(&c, SNACK_R_DATA, itt, 5, 0, 0);
    assert_int_equal(read_all(head, 64, &rsp), 6);
    pdu_data_in_decode(head[0], &in);
    assert_int_equal(in.data_sn, 2);
    assert_int_equal(rsp.snack_tag, 5);
    PROVES("R7143-11.16.3-03", "target");
}

static void level_zero_keeps_nothing(void **state)
{
    (void)state;
    login(0, "MaxRecvDataSegmentLength=4096");
    w.delay = true;
    uint32_t itt = read_send(&c, 0, 64);
    snack_send(&c, SNACK_DATA, itt, NO_TAG, 0, 0);
    assert_int_equal(expect_reject(&c), 3);
    w.delay = false;
    world_release(&w);
    assert_int_equal(expect_response(&c).status, 2);
    assert_true(sense_is(&c, 0x0b, 0x11, 0x13));
    uint8_t head[16][PDU_BHS_LEN];
    (void)head;
    read_send(&c, 0, 64);
    for (;;) {
        struct pdu_data_in in = expect_data_in(&c);
        assert_int_equal(in.acknowledge, 0);
        if (in.has_status)
            break;
    }
    PROVES("R7143-7.8-08", "target");
    PROVES("R7143-7.8-09", "target");
    PROVES("R7143-11.7.2-03", "target");
    PROVES("R7143-11.4.7.2-04", "target");
}

/* ---- writes ---- */

#define WRITE_KEYS                                                                                           \
    "InitialR2T=Yes\nImmediateData=No\nDataDigest=CRC32C\nMaxBurstLength=16384\nFirstBurstLength=4096\n"     \
    "MaxOutstandingR2T=1"

static void damaged_data_is_asked_for_again(void **state)
{
    (void)state;
    login(1, WRITE_KEYS);
    pattern(want, sizeof want, 9);
    struct pdu_scsi_command p = write_command(&c, 0, 32);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    assert_int_equal(r2t.r2t_sn, 0);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, false);
    data_out_send(&c, &out, want, 4096);
    out = data_out(p.itt, r2t.ttt, 1, 4096, false);
    data_out_damaged(&c, &out, want + 4096, 4096);
    assert_int_equal(expect_reject(&c), 2);
    out = data_out(p.itt, r2t.ttt, 2, 8192, true);
    data_out_send(&c, &out, want + 8192, 8192);
    struct pdu_r2t again = expect_r2t(&c);
    assert_int_equal(again.r2t_sn, 1);
    assert_int_equal(again.buffer_offset, 4096);
    assert_int_equal(again.desired_data_transfer_length, 12288);
    assert_int_not_equal(again.ttt, r2t.ttt);
    out = data_out(p.itt, again.ttt, 0, 4096, false);
    data_out_send(&c, &out, want + 4096, 4096);
    out = data_out(p.itt, again.ttt, 2, 12288, true); /* a gap: DataSN 1 was lost */
    data_out_send(&c, &out, want + 12288, 4096);
    again = expect_r2t(&c);
    assert_int_equal(again.r2t_sn, 2);
    assert_int_equal(again.buffer_offset, 8192);
    assert_int_equal(again.desired_data_transfer_length, 8192);
    out = data_out(p.itt, again.ttt, 0, 8192, true);
    data_out_send(&c, &out, want + 8192, 8192);
    assert_int_equal(expect_response(&c).status, 0);
    assert_memory_equal(w.rams[0].data, want, 16384);
    assert_int_equal(w.r.counters.recovery_r2ts, 2);
    PROVES("R7143-7.8-02", "target");
    PROVES("R7143-7.8-03", "target");
    PROVES("R7143-7.9-02", "target");
    PROVES("R7143-7.3-06", "target");
    PROVES("R7143-11.8-08", "target");
    PROVES("R7143-11.8-09", "target");
    PROVES("R7143-7.3-01", "target");
    PROVES("R7143-7.13-01", "target");
    PROVES("R7143-13.19-03", "target");
}

static void damaged_unsolicited_data_is_asked_for_again(void **state)
{
    (void)state;
    login(1,
          "InitialR2T=No\nImmediateData=Yes\nDataDigest=CRC32C\nMaxBurstLength=16384\nFirstBurstLength=8192");
    pattern(want, sizeof want, 17);
    struct pdu_scsi_command p = write_command(&c, 0, 32);
    p.final = 0;
    command_send(&c, &p, want, 1024);
    struct pdu_data_out out = data_out(p.itt, NO_TAG, 0, 1024, false);
    data_out_send(&c, &out, want + 1024, 1024);
    out = data_out(p.itt, NO_TAG, 1, 2048, false);
    data_out_damaged(&c, &out, want + 2048, 1024);
    assert_int_equal(expect_reject(&c), 2);
    out = data_out(p.itt, NO_TAG, 2, 3072, true);
    data_out_send(&c, &out, want + 3072, 5120);
    uint32_t at = 2048;
    while (at < 16384) {
        struct pdu_r2t r2t = expect_r2t(&c);
        assert_int_equal(r2t.buffer_offset, at);
        out = data_out(p.itt, r2t.ttt, 0, at, true);
        data_out_send(&c, &out, want + at, r2t.desired_data_transfer_length);
        at += r2t.desired_data_transfer_length;
    }
    assert_int_equal(expect_response(&c).status, 0);
    assert_memory_equal(w.rams[0].data, want, 16384);
    PROVES("R7143-7.8-03", "target");
}

static void a_damaged_command_stays_due_and_is_retried(void **state)
{
    (void)state;
    login(1, "ImmediateData=Yes\nDataDigest=CRC32C\nInitialR2T=No");
    pattern(want, 4096, 3);
    struct pdu_scsi_command p = write_command(&c, 4, 8);
    uint8_t bhs[PDU_BHS_LEN];
    p.final = 0;
    p.expected_data_transfer_length = 4096;
    pdu_scsi_command_encode(&p, bhs);
    send_damaged(&c, bhs, want, 2048);
    assert_int_equal(expect_reject(&c), 2);
    struct pdu_data_out out = data_out(p.itt, NO_TAG, 0, 2048, true); /* it was already on its way */
    data_out_send(&c, &out, want + 2048, 2048);
    assert_true(client_quiet(&c));
    struct pdu_scsi_command next = command(&c, false, false, 0);
    command_send(&c, &next, NULL, 0);
    assert_true(client_quiet(&c)); /* not before its turn */
    p.exp_stat_sn = c.exp_stat_sn;
    command_send(&c, &p, want, 2048); /* R7143-7.3-04: its place is still free */
    data_out_send(&c, &out, want + 2048, 2048);
    struct pdu_scsi_response rsp = expect_response(&c);
    assert_int_equal(rsp.itt, p.itt == rsp.itt ? p.itt : next.itt);
    assert_int_equal(rsp.status, 0);
    rsp = expect_response(&c);
    assert_int_equal(rsp.status, 0);
    assert_memory_equal(w.rams[0].data + 4 * BLOCK, want, 4096);
    PROVES("R7143-7.8-05", "target");
    PROVES("R7143-7.3-04", "target");
    PROVES("R7143-7.3-03", "target");
}

static void a_retry_of_what_is_known_is_ignored(void **state)
{
    (void)state;
    login(1, "InitialR2T=No\nImmediateData=No\nFirstBurstLength=4096");
    w.delay = true;
    pattern(want, 4096, 7);
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    p.final = 0;
    struct pdu_data_out out = data_out(p.itt, NO_TAG, 0, 0, true);
    command_send(&c, &p, NULL, 0);
    data_out_send(&c, &out, want, 4096);
    uint32_t requests = w.requests;
    command_send(&c, &p, NULL, 0); /* running */
    data_out_send(&c, &out, want, 4096);
    assert_true(client_quiet(&c));
    w.delay = false;
    world_release(&w);
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(client_expect(&c, PDU_OP_scsi_response)->bhs, &rsp);
    assert_int_equal(rsp.status, 0);
    command_send(&c, &p, NULL, 0); /* over, but not acknowledged */
    data_out_send(&c, &out, want, 4096);
    assert_true(client_quiet(&c));
    assert_int_equal(w.requests, requests);
    /* the tag may be used anew once a new command says so */
    struct pdu_scsi_command next = command(&c, false, false, 0);
    next.itt = p.itt;
    command_send(&c, &next, NULL, 0);
    assert_int_equal(expect_response(&c).itt, p.itt);
    PROVES("R7143-7.2.1-03", "target");
    PROVES("R7143-4.2.2.1-22", "target");
}

static void a_lost_r2t_is_sent_again(void **state)
{
    (void)state;
    /* With sequences in order a recovering session has one R2T outstanding at a time. */
    login(
        1,
        "InitialR2T=Yes\nImmediateData=No\nMaxBurstLength=4096\nFirstBurstLength=4096\nMaxOutstandingR2T=2");
    pattern(want, sizeof want, 2);
    struct pdu_scsi_command p = write_command(&c, 0, 16);
    command_send(&c, &p, NULL, 0);
    uint8_t first[PDU_BHS_LEN];
    struct pdu_r2t r2t, again;
    memcpy(first, client_expect(&c, PDU_OP_r2t)->bhs, PDU_BHS_LEN);
    pdu_r2t_decode(first, &r2t);
    assert_true(client_quiet(&c));
    snack_send(&c, SNACK_DATA, p.itt, NO_TAG, 0, 1);
    assert_true(same_again(client_expect(&c, PDU_OP_r2t)->bhs, first));
    snack_send(&c, SNACK_DATA, p.itt, NO_TAG, 0, 0);
    assert_true(same_again(client_expect(&c, PDU_OP_r2t)->bhs, first));
    /* one more status in between: an R2T that is sent again carries the current StatSN */
    struct pdu_scsi_command tur = command(&c, false, false, 0);
    command_send(&c, &tur, NULL, 0);
    struct pdu_scsi_response rsp = expect_response(&c);
    snack_send(&c, SNACK_DATA, p.itt, NO_TAG, 0, 1);
    again = expect_r2t(&c);
    assert_int_equal(again.stat_sn, rsp.stat_sn + 1);
    assert_int_equal(again.ttt, r2t.ttt);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, want, 4096);
    r2t = expect_r2t(&c);
    assert_int_equal(r2t.r2t_sn, 1);
    snack_send(&c, SNACK_DATA, p.itt, NO_TAG, 0, 1); /* answered: that acknowledges it */
    assert_int_equal(expect_reject(&c), 4);
    out = data_out(p.itt, r2t.ttt, 0, 4096, true);
    data_out_send(&c, &out, want + 4096, 4096);
    assert_int_equal(expect_response(&c).status, 0);
    assert_memory_equal(w.rams[0].data, want, 8192);
    PROVES("R7143-11.16-02", "target");
    PROVES("R7143-11.16-03", "target");
    PROVES("R7143-11.16-05", "target");
}

static void data_that_does_not_come_is_asked_for_again_and_then_given_up(void **state)
{
    (void)state;
    login(1, WRITE_KEYS);
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c), again;
    world_pass(&w, 11 * SECOND_NS);
    again = expect_r2t(&c);
    assert_int_equal(again.r2t_sn, 1);
    assert_int_equal(again.desired_data_transfer_length, r2t.desired_data_transfer_length);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true); /* the late one counts no more */
    data_out_send(&c, &out, want, 4096);
    assert_true(client_quiet(&c));
    for (int i = 0; i < 7; i++) {
        world_pass(&w, 11 * SECOND_NS);
        expect_r2t(&c);
    }
    world_pass(&w, 11 * SECOND_NS);
    assert_int_equal(expect_response(&c).status, 2);
    assert_true(sense_is(&c, 0x0b, 0x47, 0x05));
    assert_true(tgt_deadline(&w.r) > w.now);
    PROVES("R7143-7.8-03", "target");
    PROVES("R7143-7.3-02", "target");
    PROVES("R7143-11.8-08", "target");
    PROVES("R7143-7.1.4-01", "target");
    PROVES("R7143-7.1.4-03", "target");
}

static void empty_data_segments_are_taken(void **state)
{
    (void)state;
    login(1, "InitialR2T=Yes\nImmediateData=No");
    pattern(want, 4096, 13);
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t = expect_r2t(&c);
    assert_int_equal(r2t.buffer_offset, 0); /* no data without having asked */
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, false);
    data_out_send(&c, &out, NULL, 0);
    out = data_out(p.itt, r2t.ttt, 1, 0, true);
    data_out_send(&c, &out, want, 4096);
    assert_int_equal(expect_response(&c).status, 0);
    assert_memory_equal(w.rams[0].data, want, 4096);
    p = write_command(&c, 0, 8); /* nor may it come */
    p.final = 0;
    command_send(&c, &p, NULL, 0);
    out = data_out(p.itt, NO_TAG, 0, 0, true);
    data_out_send(&c, &out, want, 4096);
    assert_int_equal(expect_response(&c).status, 2);
    assert_true(sense_is(&c, 0x0b, 0x0c, 0x0c));
    PROVES("R7143-11.7.7-01", "target");
    PROVES("R7143-11.8-01", "target");
}

static void unsolicited_data_that_does_not_come_is_asked_for(void **state)
{
    (void)state;
    login(1, "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=4096");
    pattern(want, 4096, 11);
    struct pdu_scsi_command p = write_command(&c, 0, 8);
    p.final = 0;
    command_send(&c, &p, want, 1024);
    world_pass(&w, 11 * SECOND_NS);
    struct pdu_r2t r2t = expect_r2t(&c);
    assert_int_equal(r2t.buffer_offset, 1024);
    struct pdu_data_out out = data_out(p.itt, NO_TAG, 0, 1024, true); /* late: it has been given up */
    data_out_send(&c, &out, buf, 3072);
    assert_true(client_quiet(&c));
    out = data_out(p.itt, r2t.ttt, 0, 1024, true);
    data_out_send(&c, &out, want + 1024, 3072);
    assert_int_equal(expect_response(&c).status, 0);
    assert_memory_equal(w.rams[0].data, want, 4096);
}

static void an_initiator_that_acknowledges_nothing_is_asked_and_then_dropped(void **state)
{
    (void)state;
    login(1, "");
    uint32_t begin = c.exp_stat_sn;
    bool asked = false;
    for (uint32_t i = 0; i < 9000 && !c.closed; i++) {
        struct pdu_scsi_command p = command(&c, false, false, 0);
        p.exp_stat_sn = begin;
        command_send(&c, &p, NULL, 0);
        struct reply *r;
        while ((r = client_reply(&c)) != NULL)
            asked |= pdu_opcode(r->bhs) == PDU_OP_nop_in;
    }
    assert_true(asked);
    assert_true(c.closed);
    PROVES("R7143-7.1.4.2-02", "target");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(responses_are_kept_until_they_are_acknowledged),
        TEST(a_status_that_nobody_kept_is_refused),
        TEST(data_comes_again_exactly_as_it_was),
        TEST(numbers_of_data_fit_the_longest_command),
        TEST(a_bidirectional_command_has_one_row_of_numbers),
        TEST(empty_data_segments_are_taken),
        TEST(bidirectional_data_is_cut_anew_too),
        TEST(bursts_ask_for_acknowledgement),
        TEST(data_pauses_when_much_is_not_acknowledged),
        TEST(data_is_cut_anew_for_a_smaller_receiver),
        TEST(resent_data_starts_at_the_last_acknowledgement),
        TEST(level_zero_keeps_nothing),
        TEST(damaged_data_is_asked_for_again),
        TEST(damaged_unsolicited_data_is_asked_for_again),
        TEST(a_damaged_command_stays_due_and_is_retried),
        TEST(a_retry_of_what_is_known_is_ignored),
        TEST(a_lost_r2t_is_sent_again),
        TEST(data_that_does_not_come_is_asked_for_again_and_then_given_up),
        TEST(unsolicited_data_that_does_not_come_is_asked_for),
        TEST(an_initiator_that_acknowledges_nothing_is_asked_and_then_dropped),
    };
    return cmocka_run_group_tests_name("target_recovery", tests, NULL, NULL);
}
