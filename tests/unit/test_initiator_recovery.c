/* Recovery within a session, from the initiator's side: level 1 (digest failure recovery) and level 2
 * (connection recovery).
 *
 * Goal: whatever is lost or damaged on the way is asked for in the RFC's way and nothing else is; each
 * command is reported once, with the right bytes; a peer that never delivers costs bounded tries. Method: a
 * scripted target (initiator_harness.h), one link per connection. */
#include "tests/unit/initiator_harness.h"

#define LUN 0x0001000000000000ull

/* ---- tools ---- */

struct read_scene { /* one read of `parts` PDUs of 512 bytes at level 1 */
    struct rig *r;
    struct rig_command rc;
    uint8_t data[8 * 512];
    uint32_t itt, parts;
};

static void read_begin(struct read_scene *s, uint32_t level, uint32_t parts)
{
    s->r = rig_at_level(level, true);
    s->parts = parts;
    rig_random_bytes(s->r, s->data, sizeof s->data);
    rig_command(s->r, &s->rc, false, parts * 512, 2);
    rig_submit(s->r, &s->rc);
    s->itt = rig_take_command(s->r).itt;
}

static void read_end(struct read_scene *s)
{
    rig_free(s->r);
    assert_int_equal(s->rc.reported, 1);
    rig_command_fini(&s->rc);
}

/* A part as it should be, or (bad) with a wrong digest and a wrong byte. */
static void part(struct read_scene *s, uint32_t n, bool bad)
{
    uint8_t bhs[PDU_BHS_LEN], wrong[512];
    RIG_PDU(s->r, data_in, pdu);
    pdu.itt = s->itt;
    pdu.ttt = PDU_TAG_RESERVED;
    pdu.data_sn = n;
    pdu.buffer_offset = n * 512;
    pdu.final = n + 1 == s->parts;
    pdu_data_in_encode(&pdu, bhs);
    memcpy(wrong, s->data + n * 512, 512);
    wrong[7] ^= bad;
    rig_send_broken(s->r, bhs, wrong, 512, bad ? 2 : 0);
}

static void good_status(struct read_scene *s, uint32_t stat_sn)
{
    RIG_PDU(s->r, scsi_response, pdu);
    pdu.itt = s->itt;
    pdu.stat_sn = stat_sn;
    pdu.exp_data_sn = s->parts;
    RIG_SEND(s->r, scsi_response, &pdu, NULL, 0);
}

static struct pdu_snack_request take_snack(struct rig *r, uint8_t type, uint32_t itt, uint32_t begin,
                                           uint32_t len)
{
    struct pdu_snack_request pdu;
    RIG_TAKE(r, snack_request, &pdu);
    assert_int_equal(pdu.type, type);
    assert_int_equal(pdu.itt, itt);
    assert_int_equal(pdu.beg_run, begin);
    assert_int_equal(pdu.run_length, len);
    if (type < 2)
        assert_int_equal(pdu.ttt, PDU_TAG_RESERVED);
    assert_int_equal(r->pdu.len, 0);
    return pdu;
}

static void read_is_good(struct read_scene *s)
{
    assert_int_equal(s->rc.reported, 1);
    assert_int_equal(s->rc.c.outcome, INI_DONE_STATUS);
    assert_int_equal(s->rc.c.status, 0);
    assert_int_equal(s->rc.c.in_done, s->parts * 512);
    assert_memory_equal(s->rc.data, s->data, s->parts * 512);
}

/* ---- level 1: data-in ---- */

static void damaged_data_is_asked_for_again(void **state)
{
    (void)state;
    for (uint32_t bad = 0; bad < 4; bad++) {
        struct read_scene s;
        read_begin(&s, 1, 4);
        for (uint32_t n = 0; n < 4; n++) {
            part(&s, n, n == bad);
            if (n == bad)
                take_snack(s.r, 0, s.itt, bad, 1);
        }
        assert_true(rig_quiet(s.r)); /* asked for once */
        good_status(&s, s.r->stat_sn);
        assert_int_equal(s.rc.reported, 0); /* not before its data is here */
        uint32_t tag;
        ini_ping(s.r->s, NULL, 0, &tag);
        rig_pump(s.r);
        struct pdu_nop_out ping;
        RIG_TAKE(s.r, nop_out, &ping);
        assert_int_equal(ping.exp_stat_sn, s.r->stat_sn); /* nor acknowledged */
        part(&s, bad, false);
        read_is_good(&s);
        s.r->stat_sn++;
        assert_int_equal(ini_counters(s.r->s)->digest_errors, 1);
        assert_int_equal(ini_counters(s.r->s)->snacks[0], 1);
        read_end(&s);
    }
    PROVES("R7143-7.8-06", "initiator");
    PROVES("R7143-7.8-07", "initiator");
    PROVES("R7143-7.9-04", "initiator");
    PROVES("R7143-11.16.5-04", "initiator");
    PROVES("R7143-4.2.5.1-05", "initiator");
    PROVES("R7143-11.16.4-01", "initiator");
    PROVES("R7143-11.16.1-01", "initiator");
    PROVES("R7143-11.16.1-02", "initiator");
}

/* Every set of lost parts of six, with the status before or after: runs are asked for one by one. */
static void every_pattern_of_lost_data_is_filled(void **state)
{
    (void)state;
    for (uint32_t lost = 1; lost < 64; lost++) {
        struct read_scene s;
        read_begin(&s, 1, 6);
        for (uint32_t n = 0; n < 6; n++)
            if (!(lost >> n & 1))
                part(&s, n, false);
        good_status(&s, s.r->stat_sn);
        uint32_t at = 0;
        while (!rig_quiet(s.r)) {
            struct pdu_snack_request snack;
            RIG_TAKE(s.r, snack_request, &snack);
            assert_int_equal(snack.type, 0);
            assert_true(snack.beg_run >= at);
            uint32_t end = snack.run_length ? snack.beg_run + snack.run_length : 6;
            for (uint32_t n = snack.beg_run; n < end; n++) {
                assert_true(lost >> n & 1); /* nothing that we have */
                part(&s, n, false);
            }
            at = end;
        }
        read_is_good(&s);
        s.r->stat_sn++;
        read_end(&s);
    }
    PROVES("R7143-7.9-01", "initiator");
}

static void copies_of_data_and_status_are_dropped(void **state)
{
    (void)state;
    struct read_scene s;
    read_begin(&s, 1, 4);
    part(&s, 0, false);
    part(&s, 1, false);
    part(&s, 0, false);
    part(&s, 1, true); /* even a damaged copy */
    part(&s, 3, false);
    part(&s, 3, false);
    take_snack(s.r, 0, s.itt, 2, 1);
    part(&s, 2, false);
    good_status(&s, s.r->stat_sn);
    read_is_good(&s);
    good_status(&s, s.r->stat_sn);
    part(&s, 0, false); /* late: of a task that has ended; no StatSN tells that it is a copy, */
    assert_int_equal(s.rc.reported, 1);
    read_end(&s);
    PROVES("R7143-7.9-05", "initiator");
}

static void status_within_data_waits_too(void **state)
{
    (void)state;
    struct read_scene s;
    read_begin(&s, 1, 2);
    RIG_PDU(s.r, data_in, pdu);
    pdu.itt = s.itt;
    pdu.ttt = PDU_TAG_RESERVED;
    pdu.data_sn = 1;
    pdu.buffer_offset = 512;
    pdu.final = pdu.has_status = 1;
    pdu.stat_sn = s.r->stat_sn++;
    RIG_SEND(s.r, data_in, &pdu, s.data + 512, 512);
    take_snack(s.r, 0, s.itt, 0, 1);
    assert_int_equal(s.rc.reported, 0);
    part(&s, 0, false);
    read_is_good(&s);
    read_end(&s);
}

static void acknowledgement_of_data_waits_for_holes(void **state)
{
    (void)state;
    struct read_scene s;
    read_begin(&s, 1, 4);
    part(&s, 0, false);
    RIG_PDU(s.r, data_in, pdu);
    pdu.itt = s.itt;
    pdu.ttt = 0x4711;
    pdu.lun = LUN;
    pdu.acknowledge = 1;
    pdu.data_sn = 2;
    pdu.buffer_offset = 1024;
    RIG_SEND(s.r, data_in, &pdu, s.data + 1024, 512);
    take_snack(s.r, 0, s.itt, 1, 1); /* the hole first */
    assert_true(rig_quiet(s.r));
    part(&s, 1, false);
    struct pdu_snack_request ack = take_snack(s.r, 2, PDU_TAG_RESERVED, 3, 0);
    assert_int_equal(ack.ttt, 0x4711);
    assert_int_equal(ack.lun, LUN);
    part(&s, 3, false);
    good_status(&s, s.r->stat_sn++);
    read_is_good(&s);
    read_end(&s);
    /* At level 0 the bit means nothing. */
    read_begin(&s, 0, 2);
    pdu.itt = s.itt;
    pdu.data_sn = 0;
    pdu.buffer_offset = 0;
    RIG_SEND(s.r, data_in, &pdu, s.data, 512);
    assert_true(rig_quiet(s.r));
    part(&s, 1, false);
    good_status(&s, s.r->stat_sn++);
    read_end(&s);
    PROVES("R7143-11.7.2-04", "initiator");
    PROVES("R7143-11.7.2-05", "initiator");
    PROVES("R7143-11.7.2-07", "initiator");
    PROVES("R7143-11.7.2-08", "initiator");
    PROVES("R7143-11.16.2-01", "initiator");
    PROVES("R7143-11.16.4-01", "initiator");
    PROVES("R7143-11.16.5-03", "initiator");
    PROVES("R7143-11.16.6-01", "initiator");
    PROVES("R7143-11.16.2-03", "initiator");
}

/* The status in the same PDU, or right behind it, acknowledges the data as well. */
static void no_acknowledgement_of_data_after_that_of_status(void **state)
{
    (void)state;
    struct read_scene s;
    read_begin(&s, 1, 1);
    RIG_PDU(s.r, data_in, pdu);
    pdu.itt = s.itt;
    pdu.ttt = 0x4711;
    pdu.lun = LUN;
    pdu.acknowledge = pdu.final = pdu.has_status = 1;
    pdu.stat_sn = s.r->stat_sn++;
    RIG_SEND(s.r, data_in, &pdu, s.data, 512);
    read_is_good(&s);
    assert_true(rig_quiet(s.r));
    read_end(&s);
    PROVES("R7143-11.7.2-06", "initiator");
}

/* Nothing comes of it: asked again, then the connection is given up. */
static void a_target_that_never_resends_is_given_up(void **state)
{
    (void)state;
    struct read_scene s;
    read_begin(&s, 1, 3);
    part(&s, 1, false);
    int asked = 0;
    while (!rig_closing(s.r)) {
        take_snack(s.r, 0, s.itt, 0, 1);
        assert_true(++asked < 20);
        rig_advance(s.r, RIG_SECOND);
    }
    assert_true(asked > 2);
    rig_expect_failure(s.r, "missing data");
    read_end(&s);
}

static void reject(struct rig *r, uint8_t reason, const uint8_t *bhs)
{
    RIG_PDU(r, reject, pdu);
    pdu.reason = reason;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, reject, &pdu, bhs, PDU_BHS_LEN);
}

/* The target cannot send it again: a good status is not believed, a bad one is passed on. */
static void a_refused_snack_spoils_the_command(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct read_scene s;
        uint8_t bhs[PDU_BHS_LEN];
        read_begin(&s, 1, 3);
        part(&s, 0, false);
        part(&s, 2, false);
        take_snack(s.r, 0, s.itt, 1, 1);
        memcpy(bhs, s.r->pdu.bhs, sizeof bhs);
        if (way == 0) { /* the status was on its way */
            good_status(&s, s.r->stat_sn++);
            reject(s.r, 3, bhs);
        } else if (way == 1) {
            reject(s.r, 3, bhs);
            good_status(&s, s.r->stat_sn++);
        } else {
            reject(s.r, 3, bhs);
            rig_response(s.r, s.itt, 2, "\0\4\x70\0\x0b\0", 6);
        }
        assert_int_equal(s.rc.reported, 1);
        assert_int_equal(s.rc.c.outcome, INI_DONE_STATUS);
        assert_int_equal(s.rc.c.status, 2);
        assert_int_equal(s.rc.c.sense_len, way == 2 ? 4 : 18);
        assert_int_equal(s.rc.c.sense[2], 0x0b);
        assert_true(ini_is_up(s.r->s));
        read_end(&s);
    }
    PROVES("R7143-7.8-10", "initiator");
    PROVES("R7143-13.19-03", "initiator"); /* the target need not have it any more */
}

/* ---- level 1: responses ---- */

static void missing_responses_are_asked_for_and_order_is_kept(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, true);
    struct rig_command rc[4];
    uint32_t itt[4], first = r->stat_sn;
    for (int i = 0; i < 4; i++) {
        rig_command(r, &rc[i], false, 512, 1);
        rig_submit(r, &rc[i]);
        itt[i] = rig_take_command(r).itt;
    }
    r->stat_sn = first + 2;
    rig_response(r, itt[2], 2, "\0\4abcd", 6);
    take_snack(r, 1, PDU_TAG_RESERVED, first, 2);
    rig_response(r, itt[3], 2, NULL, 0);
    assert_true(rig_quiet(r));
    assert_false(rig_has_event(r));
    r->stat_sn = first + 1; /* the second of the two first: still a hole */
    rig_response(r, itt[1], 2, NULL, 0);
    assert_false(rig_has_event(r));
    r->stat_sn = first;
    rig_response(r, itt[0], 2, NULL, 0);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(rig_event(r, INI_EVENT_COMMAND_DONE)->event.command, &rc[i].c);
    assert_memory_equal(rc[2].c.sense, "abcd", 4);
    r->stat_sn = first + 3; /* a copy */
    rig_response(r, itt[3], 2, NULL, 0);
    assert_false(rig_has_event(r));
    assert_true(rig_quiet(r));
    rig_free(r);
    for (int i = 0; i < 4; i++)
        rig_command_fini(&rc[i]);
    PROVES("R7143-4.2.2.2-05", "initiator");
    PROVES("R7143-7.9-03", "initiator");
}

/* PDUs that carry the next StatSN tell that one is missing; so does the answer to a ping; so does a bad
 * digest. */
static void lost_responses_are_noticed(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct rig *r = rig_at_level(1, true);
        struct rig_command rc, write;
        uint8_t bhs[PDU_BHS_LEN];
        uint32_t tag;
        rig_command(r, &rc, false, 512, 1);
        rig_command(r, &write, true, 200000, 1);
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt, lost = r->stat_sn;
        rig_submit(r, &write);
        struct pdu_scsi_command w;
        RIG_TAKE(r, scsi_command, &w);
        r->exp_cmd_sn++;
        RIG_PDU(r, nop_in, nop);
        nop.itt = nop.ttt = PDU_TAG_RESERVED;
        nop.stat_sn = lost + 1;
        if (way == 0) {
            RIG_SEND(r, nop_in, &nop, NULL, 0);
        } else if (way == 1) {
            r->stat_sn++;
            rig_r2t(r, w.itt, 1, 0, 65536, 512);
        } else if (way == 2) {
            assert_int_equal(ini_ping(r->s, NULL, 0, &tag), 0);
            rig_pump(r);
            struct pdu_nop_out ping;
            RIG_TAKE(r, nop_out, &ping);
            nop.itt = ping.itt;
            RIG_SEND(r, nop_in, &nop, NULL, 0);
        } else {
            RIG_PDU(r, scsi_response, pdu);
            pdu.itt = itt;
            pdu.status = 2;
            pdu.stat_sn = lost;
            pdu_scsi_response_encode(&pdu, bhs);
            rig_send_broken(r, bhs, "\0\4abcd", 6, 2);
        }
        take_snack(r, 1, PDU_TAG_RESERVED, lost, 1);
        assert_int_equal(rc.reported, 0);
        r->stat_sn = lost;
        rig_response(r, itt, 2, NULL, 0);
        assert_int_equal(rc.reported, 1);
        rig_free(r);
        rig_command_fini(&rc);
        rig_command_fini(&write);
    }
    PROVES("R7143-7.8-11", "initiator");
    PROVES("R7143-7.8-12", "initiator");
}

static void a_response_that_never_comes_is_given_up(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, false);
    RIG_PDU(r, nop_in, nop);
    nop.itt = nop.ttt = PDU_TAG_RESERVED;
    nop.stat_sn = r->stat_sn + 3;
    RIG_SEND(r, nop_in, &nop, NULL, 0);
    int asked = 0;
    for (; !rig_closing(r); asked++) {
        take_snack(r, 1, PDU_TAG_RESERVED, r->stat_sn, 3);
        rig_advance(r, RIG_SECOND);
    }
    assert_in_range(asked, 2, 20);
    rig_expect_failure(r, "missing response");
    rig_free(r);
    /* So far ahead that it cannot be loss. */
    r = rig_at_level(1, false);
    nop.stat_sn = r->stat_sn + 100000;
    RIG_SEND(r, nop_in, &nop, NULL, 0);
    rig_expect_failure(r, "StatSN");
    rig_free(r);
    PROVES("R7143-4.2.2.2-04", "initiator");
}

/* More responses ahead than we keep: the rest is asked for when the gap is closed. */
static void held_responses_are_bounded(void **state)
{
    (void)state;
    enum { N = 100 };
    struct rig *r = rig_at_level(1, false);
    static struct rig_command rc[N];
    uint32_t itt[N], first = r->stat_sn;
    r->max_cmd_sn = 200;
    RIG_PDU(r, nop_in, nop);
    nop.itt = nop.ttt = PDU_TAG_RESERVED;
    nop.stat_sn = first;
    RIG_SEND(r, nop_in, &nop, NULL, 0);
    for (int i = 0; i < N; i++) {
        rig_command(r, &rc[i], false, 512, 1);
        rig_submit(r, &rc[i]);
        struct pdu_scsi_command c;
        RIG_TAKE(r, scsi_command, &c);
        itt[i] = c.itt;
    }
    r->exp_cmd_sn += N;
    for (uint32_t i = 1; i < N; i++) {
        r->stat_sn = first + i;
        rig_response(r, itt[i], 2, NULL, 0);
    }
    take_snack(r, 1, PDU_TAG_RESERVED, first, 1);
    r->stat_sn = first;
    rig_response(r, itt[0], 2, NULL, 0);
    while (!rig_quiet(r)) {
        struct pdu_snack_request snack;
        RIG_TAKE(r, snack_request, &snack);
        assert_int_equal(snack.type, 1);
        for (uint32_t i = 0; i < snack.run_length; i++) {
            r->stat_sn = snack.beg_run + i;
            rig_response(r, itt[r->stat_sn - first], 2, NULL, 0);
        }
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(rc[i].reported, 1);
    rig_free(r);
    for (int i = 0; i < N; i++)
        rig_command_fini(&rc[i]);
}

/* ---- level 1: data-out ---- */

static void r2ts_that_are_lost_or_come_twice(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, true);
    struct rig_command rc;
    struct pdu_data_out out;
    rig_command(r, &rc, true, 65536 + 4 * 8192, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    rig_r2t(r, itt, 11, 1, 65536 + 8192, 8192); /* the first is missing */
    take_snack(r, 0, itt, 0, 2);
    assert_true(rig_quiet(r));
    for (uint32_t i = 0; i < 2; i++) {
        rig_r2t(r, itt, 10 + i, i, 65536 + i * 8192, 8192);
        RIG_TAKE(r, data_out, &out);
        assert_int_equal(out.ttt, 10 + i);
        assert_int_equal(out.buffer_offset, 65536 + i * 8192);
    }
    rig_r2t(r, itt, 10, 0, 65536, 8192); /* a copy */
    assert_true(rig_quiet(r));
    /* Recovery: damaged on the way, asked for again with a new number; immediate data too. */
    rig_r2t(r, itt, 12, 2, 65536, 8192);
    RIG_TAKE(r, data_out, &out);
    assert_int_equal(out.buffer_offset, 65536);
    assert_int_equal(out.data_sn, 0);
    assert_memory_equal(r->pdu.data, rc.data + 65536, 8192);
    rig_r2t(r, itt, 13, 3, 0, 512);
    RIG_TAKE(r, data_out, &out);
    assert_memory_equal(r->pdu.data, rc.data, 512);
    assert_int_equal(ini_counters(r->s)->recovery_r2ts, 2);
    rig_response(r, itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-4.2.5.2-10", "initiator");
    PROVES("R7143-7.9-01", "initiator");
    PROVES("R7143-7.9-05", "initiator");
}

static void recovery_r2ts_are_bounded(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, false);
    struct rig_command rc;
    rig_command(r, &rc, true, 4096, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt, n = 0;
    for (; n < 10000 && !rig_closing(r); n++) {
        rig_r2t(r, itt, n, n, 0, 512);
        if (!rig_closing(r))
            rig_take(r, PDU_OP_data_out);
    }
    assert_in_range(n, 10, 1000);
    rig_expect_failure(r, "over and over");
    rig_free(r);
    rig_command_fini(&rc);
}

/* ---- level 1: commands ---- */

static void a_damaged_command_is_sent_again_as_it_was(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, true);
    struct rig_command rc;
    uint8_t bhs[PDU_BHS_LEN], *copy = malloc(8192);
    rig_command(r, &rc, true, 4096, 1);
    rig_submit(r, &rc);
    struct rig_pdu *p = rig_take(r, PDU_OP_scsi_command);
    memcpy(bhs, p->bhs, sizeof bhs);
    memcpy(copy, p->data, p->len);
    uint32_t len = p->len;
    reject(r, 2, bhs);
    p = rig_take(r, PDU_OP_scsi_command);
    memcpy(bhs + 28, p->bhs + 28, 4); /* ExpStatSN moves on */
    assert_memory_equal(p->bhs, bhs, sizeof bhs);
    assert_int_equal(p->len, len);
    assert_memory_equal(p->data, copy, len);
    r->exp_cmd_sn++;
    rig_response(r, pdu_itt(bhs), 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(ini_counters(r->s)->retries, 1);
    rig_free(r);
    rig_command_fini(&rc);
    free(copy);
    PROVES("R7143-4.2.2.1-21", "initiator");
    PROVES("R7143-7.2.1-04", "initiator");
    PROVES("R7143-7.3-05", "initiator");
}

static void damaged_data_out_waits_for_the_target(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, true);
    struct rig_command rc;
    uint8_t bhs[PDU_BHS_LEN];
    rig_command(r, &rc, true, 65536 + 8192, 1);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    rig_r2t(r, itt, 1, 0, 65536, 8192);
    memcpy(bhs, rig_take(r, PDU_OP_data_out)->bhs, sizeof bhs);
    reject(r, 2, bhs);
    assert_true(rig_quiet(r));
    rig_r2t(r, itt, 2, 1, 65536, 8192);
    rig_take(r, PDU_OP_data_out);
    rig_response(r, itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    rig_free(r);
    rig_command_fini(&rc);
}

/* ExpCmdSN stands still: only the command in the gap is sent again, on its connection. */
static void an_unacknowledged_command_is_sent_again(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, false);
    struct rig_command rc[3];
    uint8_t bhs[PDU_BHS_LEN];
    uint32_t itt[3];
    for (int i = 0; i < 3; i++) {
        rig_command(r, &rc[i], false, 512, 1);
        rig_submit(r, &rc[i]);
        struct rig_pdu *p = rig_take(r, PDU_OP_scsi_command);
        if (i == 1)
            memcpy(bhs, p->bhs, sizeof bhs);
        itt[i] = pdu_itt(p->bhs);
    }
    r->exp_cmd_sn = 2; /* the first has arrived, the second has not */
    rig_response(r, itt[0], 2, NULL, 0);
    rig_advance(r, RIG_SECOND);
    assert_true(rig_quiet(r)); /* it has moved */
    rig_advance(r, RIG_SECOND);
    struct pdu_nop_out ask; /* perhaps it is only slow */
    RIG_TAKE(r, nop_out, &ask);
    rig_advance(r, RIG_SECOND);
    assert_true(rig_quiet(r));
    RIG_PDU(r, nop_in, pong);
    pong.itt = ask.itt;
    pong.ttt = PDU_TAG_RESERVED;
    pong.stat_sn = r->stat_sn++;
    RIG_SEND(r, nop_in, &pong, NULL, 0);
    struct rig_pdu *p = rig_take(r, PDU_OP_scsi_command); /* it is not: behind it nothing can be lost */
    memcpy(bhs + 28, p->bhs + 28, 4);
    assert_memory_equal(p->bhs, bhs, sizeof bhs);
    assert_true(rig_quiet(r));
    r->exp_cmd_sn = 4;
    rig_response(r, itt[1], 2, NULL, 0);
    rig_response(r, itt[2], 2, NULL, 0);
    rig_advance(r, RIG_SECOND);
    rig_advance(r, RIG_SECOND);
    assert_true(rig_quiet(r));
    assert_int_equal(ini_deadline(r->s), UINT64_MAX);
    rig_free(r);
    for (int i = 0; i < 3; i++)
        rig_command_fini(&rc[i]);
    PROVES("R7143-7.2.1-05", "initiator");
    PROVES("R7143-4.2.2.1-21", "initiator");
    PROVES("R7143-7.11-01", "initiator");
    PROVES("R7143-7.1.4.2-01", "initiator");
    PROVES("R7143-7.2.1-01", "initiator");
}

/* ---- level 1: a new segment length ---- */

static void declare(struct read_scene *s, uint32_t len)
{
    assert_int_equal(ini_set_max_recv(s->r->s, len), 0);
    rig_pump(s->r);
    rig_text_response(s->r, rig_take_text(s->r).itt, PDU_TAG_RESERVED, false, NULL, 0);
}

/* The status behind data that was asked for anew, with the tag of that request. */
static void tagged_status(struct read_scene *s, uint32_t exp_data_sn, uint32_t tag)
{
    RIG_PDU(s->r, scsi_response, pdu);
    pdu.itt = s->itt;
    pdu.stat_sn = s->r->stat_sn++;
    pdu.exp_data_sn = exp_data_sn;
    pdu.snack_tag = tag;
    RIG_SEND(s->r, scsi_response, &pdu, NULL, 0);
}

static void after_a_new_segment_length_data_is_asked_for_anew(void **state)
{
    (void)state;
    struct read_scene s;
    read_begin(&s, 1, 4);
    part(&s, 0, false);
    declare(&s, 1024);
    assert_int_equal(ini_conn_params(s.r->conn)->max_recv_data_segment_length, 1024);
    part(&s, 2, false);
    struct pdu_snack_request snack = take_snack(s.r, 3, s.itt, 0, 0);
    assert_true(snack.ttt != 0 && snack.ttt != PDU_TAG_RESERVED);
    good_status(&s, s.r->stat_sn); /* was on its way: without the tag it does not count */
    assert_int_equal(s.rc.reported, 0);
    for (uint32_t n = 0; n < 2; n++)
        rig_data_in(s.r, s.itt, n, n * 1024, s.data + n * 1024, 1024, n == 1);
    assert_int_equal(s.rc.reported, 0);
    tagged_status(&s, 2, snack.ttt);
    read_is_good(&s);
    read_end(&s);
    PROVES("R7143-11.4.4-02", "initiator");
    PROVES("R7143-11.16.3-01", "initiator");
    PROVES("R7143-11.16.5-01", "initiator");
    PROVES("R7143-11.16.6-01", "initiator");
    PROVES("R7143-11.16.7-01", "initiator");
    PROVES("R7143-11.16-01", "initiator");
    PROVES("R7143-11.16-06", "initiator"); /* 0 and 0: all that was not acknowledged came */
    PROVES("R7143-6.4-01", "initiator");
}

/* The target may cut by a length that is still being declared: no number says what is here. */
static void data_of_a_doubtful_cut_is_not_acknowledged(void **state)
{
    (void)state;
    struct read_scene s;
    read_begin(&s, 1, 4);
    declare(&s, 1024);
    part(&s, 2, false);
    struct pdu_snack_request first = take_snack(s.r, 3, s.itt, 0, 0);
    assert_int_equal(ini_set_max_recv(s.r->s, 512), 0);
    rig_pump(s.r);
    RIG_PDU(s.r, data_in, pdu); /* of 1024 bytes: for the target, number 0 has 512 by now */
    pdu.itt = s.itt;
    pdu.acknowledge = 1;
    pdu.ttt = 7;
    RIG_SEND(s.r, data_in, &pdu, s.data, 1024);
    rig_text_response(s.r, rig_take_text(s.r).itt, PDU_TAG_RESERVED, false, NULL, 0);
    assert_true(rig_quiet(s.r));
    rig_advance(s.r, 2 * RIG_SECOND);
    struct pdu_snack_request again = take_snack(s.r, 3, s.itt, 0, 0);
    assert_int_not_equal(again.ttt, first.ttt);
    for (uint32_t n = 0; n < 4; n++)
        part(&s, n, false);
    tagged_status(&s, 4, again.ttt);
    read_is_good(&s);
    read_end(&s);
    PROVES("R7143-11.16.3-01", "initiator");
}

static void a_header_digest_costs_the_connection(void **state)
{
    (void)state;
    struct read_scene s;
    uint8_t bhs[PDU_BHS_LEN];
    read_begin(&s, 1, 2);
    RIG_PDU(s.r, nop_in, nop);
    nop.itt = nop.ttt = PDU_TAG_RESERVED;
    nop.stat_sn = s.r->stat_sn;
    pdu_nop_in_encode(&nop, bhs);
    rig_send_broken(s.r, bhs, NULL, 0, 1);
    rig_expect_failure(s.r, "header digest");
    read_end(&s);
    PROVES("R7143-7.8-01", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_data_is_asked_for_again),
        cmocka_unit_test(every_pattern_of_lost_data_is_filled),
        cmocka_unit_test(copies_of_data_and_status_are_dropped),
        cmocka_unit_test(status_within_data_waits_too),
        cmocka_unit_test(acknowledgement_of_data_waits_for_holes),
        cmocka_unit_test(no_acknowledgement_of_data_after_that_of_status),
        cmocka_unit_test(a_target_that_never_resends_is_given_up),
        cmocka_unit_test(a_refused_snack_spoils_the_command),
        cmocka_unit_test(missing_responses_are_asked_for_and_order_is_kept),
        cmocka_unit_test(lost_responses_are_noticed),
        cmocka_unit_test(a_response_that_never_comes_is_given_up),
        cmocka_unit_test(held_responses_are_bounded),
        cmocka_unit_test(r2ts_that_are_lost_or_come_twice),
        cmocka_unit_test(recovery_r2ts_are_bounded),
        cmocka_unit_test(a_damaged_command_is_sent_again_as_it_was),
        cmocka_unit_test(damaged_data_out_waits_for_the_target),
        cmocka_unit_test(an_unacknowledged_command_is_sent_again),
        cmocka_unit_test(after_a_new_segment_length_data_is_asked_for_anew),
        cmocka_unit_test(data_of_a_doubtful_cut_is_not_acknowledged),
        cmocka_unit_test(a_header_digest_costs_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
