/* What is missing and how it is asked for (ErrorRecoveryLevel 1), from the initiator's side: the corners of
 * test_initiator_recovery.c.
 *
 * Goal: exactly the missing run is asked for, once at a time, at its time; what is held is bounded and
 * nothing of it is lost; data that the target cuts anew after an R-Data SNACK is told from what was on its
 * way. Method: a scripted target (initiator_harness.h); every timer one nanosecond early and on time, every
 * limit at its value and one beyond. */
#include "initiator/iscsi/internal.h"
#include "tests/unit/initiator_harness.h"

#define LUN  0x0001000000000000ull
#define PART 512u

struct scene { /* a read of `parts` parts */
    struct rig *r;
    struct rig_command rc;
    uint8_t data[128 * PART];
    uint32_t itt, parts;
};

static void scene_begin(struct scene *s, uint32_t level, uint32_t parts)
{
    s->r = rig_at_level(level, true);
    s->parts = parts;
    rig_random_bytes(s->r, s->data, sizeof s->data);
    rig_command(s->r, &s->rc, false, parts * PART, 1);
    rig_submit(s->r, &s->rc);
    s->itt = rig_take_command(s->r).itt;
}

static void scene_end(struct scene *s)
{
    rig_free(s->r);
    assert_int_equal(s->rc.reported, 1);
    rig_command_fini(&s->rc);
}

/* Parts [from, from + count) in one Data-In of this number. */
static void data_in(struct scene *s, uint32_t data_sn, uint32_t from, uint32_t count, bool bad)
{
    uint8_t bhs[PDU_BHS_LEN];
    RIG_PDU(s->r, data_in, pdu);
    pdu.itt = s->itt;
    pdu.ttt = PDU_TAG_RESERVED;
    pdu.data_sn = data_sn;
    pdu.buffer_offset = from * PART;
    pdu_data_in_encode(&pdu, bhs);
    rig_send_broken(s->r, bhs, s->data + from * PART, count * PART, bad ? 2 : 0);
}

static void part(struct scene *s, uint32_t n)
{
    data_in(s, n, n, 1, false);
}

static void status(struct scene *s, uint32_t stat_sn, uint32_t exp_data_sn, uint32_t snack_tag)
{
    RIG_PDU(s->r, scsi_response, pdu);
    pdu.itt = s->itt;
    pdu.stat_sn = stat_sn;
    pdu.exp_data_sn = exp_data_sn;
    pdu.snack_tag = snack_tag;
    RIG_SEND(s->r, scsi_response, &pdu, NULL, 0);
}

static void is_good(struct scene *s)
{
    assert_int_equal(s->rc.reported, 1);
    assert_int_equal(s->rc.c.outcome, INI_DONE_STATUS);
    assert_int_equal(s->rc.c.status, 0);
    assert_int_equal(s->rc.c.in_done, s->parts * PART);
    assert_memory_equal(s->rc.data, s->data, s->parts * PART);
}

static struct pdu_snack_request take_snack(struct rig *r, uint8_t type, uint32_t begin, uint32_t len)
{
    struct pdu_snack_request pdu;
    RIG_TAKE(r, snack_request, &pdu);
    assert_int_equal(pdu.type, type);
    assert_int_equal(pdu.beg_run, begin);
    assert_int_equal(pdu.run_length, len);
    return pdu;
}

/* The command's SNACKs for data: asks for so many parts from `begin` on. */
static void take_data_snack(struct scene *s, uint32_t begin, uint32_t len)
{
    struct pdu_snack_request pdu = take_snack(s->r, 0, begin, len);
    assert_int_equal(pdu.itt, s->itt);
    assert_int_equal(pdu.lun, LUN);
    assert_int_equal(pdu.ttt, PDU_TAG_RESERVED);
}

/* Nothing for a second less a nanosecond, then something. */
static void second_passes(struct rig *r)
{
    rig_advance(r, RIG_SECOND - 1);
    assert_true(rig_quiet(r));
    rig_advance(r, 1);
}

/* A NOP-In of the target's that tells its next StatSN. */
static void tell_stat_sn(struct rig *r, uint32_t stat_sn)
{
    RIG_PDU(r, nop_in, nop);
    nop.itt = nop.ttt = PDU_TAG_RESERVED;
    nop.stat_sn = stat_sn;
    RIG_SEND(r, nop_in, &nop, NULL, 0);
}

/* A response that nobody asked for but that uses up a StatSN: an asynchronous message with a number in it. */
static void message(struct rig *r, uint32_t stat_sn, uint16_t n, bool bad)
{
    uint8_t bhs[PDU_BHS_LEN];
    RIG_PDU(r, async_message, pdu);
    pdu.async_event = 255;
    pdu.stat_sn = stat_sn;
    pdu.parameter1 = n;
    pdu_async_message_encode(&pdu, bhs);
    rig_send_broken(r, bhs, &n, sizeof n, bad ? 2 : 0);
}

static void take_message(struct rig *r, uint16_t n)
{
    const struct ini_event *e = &rig_event(r, INI_EVENT_ASYNC)->event;
    assert_int_equal(e->parameter[0], n);
    assert_int_equal(e->text_len, sizeof n);
    assert_memory_equal(e->text, &n, sizeof n);
}

/* ---- data ---- */

/* A part that is far ahead of what is due is taken, up to 64 places ahead; beyond that it is asked for with
 * the rest. */
static void parts_ahead_are_kept_up_to_a_limit(void **state)
{
    (void)state;
    for (uint32_t ahead = 62; ahead <= 67; ahead++) { /* DataSN of the part; 0 is due */
        struct scene s;
        scene_begin(&s, 1, 80);
        bool kept = ahead <= 64;
        part(&s, ahead);
        take_data_snack(&s, 0, kept ? ahead : ahead + 1);
        assert_int_equal(s.rc.c.in_done, kept ? PART : 0);
        for (uint32_t n = 0; n < ahead; n++)
            part(&s, n);
        assert_true(rig_quiet(s.r));
        assert_int_equal(s.rc.c.exp_data_sn, kept ? ahead + 1 : ahead);
        for (uint32_t n = kept ? ahead + 1 : ahead; n < 80; n++)
            part(&s, n);
        assert_true(rig_quiet(s.r));
        status(&s, s.r->stat_sn++, 80, 0);
        is_good(&s);
        scene_end(&s);
    }
}

/* Every part is damaged once, then comes a copy of it, damaged too: asked for once each. */
static void damaged_parts_in_any_place_are_asked_for(void **state)
{
    (void)state;
    static const uint32_t far[] = {0, 1, 64, 65, 1023, 1024, 1025};
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        struct scene s;
        scene_begin(&s, 1, 4);
        uint8_t bhs[PDU_BHS_LEN];
        RIG_PDU(s.r, data_in, pdu);
        pdu.itt = s.itt;
        pdu.ttt = PDU_TAG_RESERVED;
        pdu.data_sn = far[i];
        pdu_data_in_encode(&pdu, bhs);
        rig_send_broken(s.r, bhs, "damaged", 7, 2);
        if (far[i] <= 1024)
            take_data_snack(&s, 0, far[i] + 1);
        assert_true(rig_quiet(s.r)); /* such a number means nothing */
        assert_int_equal(ini_counters(s.r->s)->digest_errors, 1);
        pdu_data_in_encode(&pdu, bhs);
        rig_send_broken(s.r, bhs, "damaged", 7, 2);
        assert_true(rig_quiet(s.r));
        scene_end(&s);
    }
    struct scene s;
    scene_begin(&s, 1, 4);
    part(&s, 2);
    take_data_snack(&s, 0, 2);
    data_in(&s, 2, 2, 1, true); /* a damaged copy of what is here */
    data_in(&s, 3, 3, 1, true);
    assert_true(rig_quiet(s.r));
    part(&s, 0);
    part(&s, 1);
    take_data_snack(&s, 3, 1);
    part(&s, 3);
    assert_true(rig_quiet(s.r));
    status(&s, s.r->stat_sn++, 4, 0);
    is_good(&s);
    scene_end(&s);
    PROVES("R7143-7.8-07", "initiator");
}

/* A SNACK in vain is repeated every second, eight times, for each gap anew. */
static void tries_are_counted_for_each_gap(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s, 1, 6);
    part(&s, 1);
    for (int i = 0; i < 7; i++) {
        take_data_snack(&s, 0, 1);
        second_passes(s.r);
    }
    take_data_snack(&s, 0, 1);
    part(&s, 0);
    assert_true(rig_quiet(s.r));
    part(&s, 3);
    for (uint32_t i = 0; i < INI_TRIES_MAX; i++) {
        take_data_snack(&s, 2, 1);
        second_passes(s.r);
        assert_false(rig_closing(s.r));
    }
    take_data_snack(&s, 2, 1);
    second_passes(s.r);
    rig_expect_failure(s.r, "missing data");
    scene_end(&s);
}

/* Two commands and the responses have gaps of different age: each is asked about at its own time. */
static void each_gap_has_its_own_time(void **state)
{
    (void)state;
    struct scene s;
    struct rig_command other;
    scene_begin(&s, 1, 3);
    rig_command(s.r, &other, false, 2 * PART, 1);
    rig_submit(s.r, &other);
    uint32_t itt = rig_take_command(s.r).itt, sn = s.r->stat_sn;
    const uint64_t quarter = RIG_SECOND / 4;
    part(&s, 1); /* at 0 */
    take_data_snack(&s, 0, 1);
    rig_advance(s.r, quarter);
    rig_data_in(s.r, itt, 1, PART, s.data, PART, false); /* at 1/4 */
    assert_int_equal(take_snack(s.r, 0, 0, 1).itt, itt);
    rig_advance(s.r, quarter);
    message(s.r, sn + 1, 1, false); /* at 1/2 */
    take_snack(s.r, 1, sn, 1);
    for (int round = 0; round < 3; round++) {
        rig_advance(s.r, 2 * quarter - 1);
        assert_true(rig_quiet(s.r));
        rig_advance(s.r, 1);
        take_data_snack(&s, 0, 1);
        assert_true(rig_quiet(s.r));
        rig_advance(s.r, quarter - 1);
        assert_true(rig_quiet(s.r));
        rig_advance(s.r, 1);
        assert_int_equal(take_snack(s.r, 0, 0, 1).itt, itt);
        assert_true(rig_quiet(s.r));
        rig_advance(s.r, quarter - 1);
        assert_true(rig_quiet(s.r));
        rig_advance(s.r, 1);
        take_snack(s.r, 1, sn, 1);
        assert_true(rig_quiet(s.r));
    }
    scene_end(&s);
    assert_int_equal(other.reported, 1);
    rig_command_fini(&other);
}

/* What the target will not send again is not asked for again. */
static void a_refused_snack_is_not_repeated(void **state)
{
    (void)state;
    struct scene s;
    uint8_t bhs[PDU_BHS_LEN];
    scene_begin(&s, 1, 3);
    part(&s, 1);
    take_data_snack(&s, 0, 1);
    memcpy(bhs, s.r->pdu.bhs, sizeof bhs);
    RIG_PDU(s.r, reject, pdu);
    pdu.reason = 3;
    pdu.stat_sn = s.r->stat_sn++;
    RIG_SEND(s.r, reject, &pdu, bhs, sizeof bhs);
    for (int i = 0; i < 4; i++) {
        rig_advance(s.r, RIG_SECOND - RIG_SECOND / 8); /* no longer than the probe's time-out in all */
        assert_true(rig_quiet(s.r));
    }
    part(&s, 2);
    assert_true(rig_quiet(s.r));
    status(&s, s.r->stat_sn++, 3, 0);
    assert_int_equal(s.rc.reported, 1);
    assert_int_equal(s.rc.c.status, 2);
    static const uint8_t sense[18] = {0x70, 0, 0x0b, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x47, 0x05};
    assert_int_equal(s.rc.c.response, 0);
    assert_int_equal(s.rc.c.sense_len, 18);
    assert_memory_equal(s.rc.c.sense, sense, 18);
    scene_end(&s);
    PROVES("R7143-7.8-10", "initiator");
}

/* After a reassignment the parts that filled gaps count as any other. */
static void what_filled_a_gap_survives_its_connection(void **state)
{
    (void)state;
    struct scene s;
    struct pdu_task_management_request t;
    scene_begin(&s, 2, 5);
    part(&s, 1);
    part(&s, 2);
    take_data_snack(&s, 0, 1);
    part(&s, 0);
    part(&s, 4); /* and this one is given up */
    take_data_snack(&s, 3, 1);
    rig_cut(s.r, ERR_RESET);
    rig_advance(s.r, 2 * RIG_SECOND);
    rig_forget_events(s.r);
    rig_join(s.r, 1);
    assert_int_equal(s.rc.c.in_done, 3 * PART);
    RIG_TAKE(s.r, task_management_request, &t);
    assert_int_equal(t.exp_data_sn, 3);
    rig_tmf_response(s.r, t.itt, 0);
    part(&s, 3);
    part(&s, 4);
    status(&s, s.r->stat_sn++, 5, 0);
    is_good(&s);
    scene_end(&s);
}

/* ---- data that is cut anew ---- */

/* The host changes MaxRecvDataSegmentLength: lost data can only come back in other pieces. */
static void declare(struct scene *s, uint32_t len)
{
    assert_int_equal(ini_set_max_recv(s->r->s, len), 0);
    rig_pump(s->r);
    rig_text_response(s->r, rig_take_text(s->r).itt, PDU_TAG_RESERVED, false, NULL, 0);
}

static uint32_t take_r_data(struct scene *s)
{
    struct pdu_snack_request pdu = take_snack(s->r, 3, 0, 0);
    assert_int_equal(pdu.itt, s->itt);
    assert_int_not_equal(pdu.ttt, 0);
    assert_int_not_equal(pdu.ttt, PDU_TAG_RESERVED);
    return pdu.ttt;
}

/* Tags go round without the two values that are no tags. */
static void snack_tags_are_never_reserved(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s, 1, 4);
    s.r->s->snack_tags = 0xfffffffc;
    declare(&s, 1024);
    part(&s, 1);
    static const uint32_t tags[] = {0xfffffffd, 0xfffffffe, 1, 2};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(take_r_data(&s), tags[i]);
        second_passes(s.r);
    }
    assert_int_equal(take_r_data(&s), 3);
    data_in(&s, 0, 0, 2, false);
    data_in(&s, 1, 2, 2, false);
    status(&s, s.r->stat_sn, 2, 2); /* that of an earlier one: does not count */
    assert_int_equal(s.rc.reported, 0);
    status(&s, s.r->stat_sn++, 2, 3);
    is_good(&s);
    scene_end(&s);
    PROVES("R7143-11.16.5-01", "initiator");
    PROVES("R7143-11.4.4-02", "initiator");
}

/* A gap in what was cut anew is an ordinary one: asked for by number. */
static void a_gap_in_data_that_was_cut_anew(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s, 1, 8);
    declare(&s, 1024);
    part(&s, 1);
    uint32_t tag = take_r_data(&s);
    data_in(&s, 0, 0, 2, false);
    data_in(&s, 2, 4, 2, false);
    take_data_snack(&s, 1, 2); /* the one that is ahead cannot be told from an old one */
    assert_true(rig_quiet(s.r));
    data_in(&s, 1, 2, 2, false);
    data_in(&s, 2, 4, 2, false);
    data_in(&s, 3, 6, 2, false);
    assert_true(rig_quiet(s.r));
    status(&s, s.r->stat_sn++, 4, tag);
    is_good(&s);
    scene_end(&s);
}

/* Pieces of the old cut that were on their way: one that does not fit is dropped, and the target is asked to
 * cut once more. The session goes on. */
static void pieces_of_the_old_cut_are_not_taken(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s, 1, 6);
    declare(&s, 1024);
    status(&s, s.r->stat_sn, 6, 0); /* all data is missing, and nothing told before */
    uint32_t first = take_r_data(&s);
    data_in(&s, 0, 0, 2, false); /* the new cut begins, */
    data_in(&s, 1, 1, 1, false); /* and an old piece has the number that is due */
    assert_false(rig_closing(s.r));
    uint32_t second = take_r_data(&s);
    assert_int_not_equal(second, first);
    assert_int_equal(s.rc.c.in_done, 0);
    data_in(&s, 0, 0, 2, false);
    data_in(&s, 1, 2, 2, false);
    data_in(&s, 2, 4, 2, false);
    assert_int_equal(s.rc.reported, 0);
    status(&s, s.r->stat_sn, 3, first);
    assert_int_equal(s.rc.reported, 0);
    status(&s, s.r->stat_sn++, 3, second);
    is_good(&s);
    scene_end(&s);
    PROVES("R7143-11.16.3-01", "initiator");
}

/* What the target was told it may forget is not asked for again, and stays where it is. */
static void acknowledged_data_is_not_cut_anew(void **state)
{
    (void)state;
    struct scene s;
    struct pdu_snack_request snack;
    scene_begin(&s, 1, 6);
    part(&s, 0);
    RIG_PDU(s.r, data_in, pdu);
    pdu.itt = s.itt;
    pdu.ttt = 0x99;
    pdu.lun = LUN;
    pdu.acknowledge = 1;
    pdu.data_sn = 1;
    pdu.buffer_offset = PART;
    RIG_SEND(s.r, data_in, &pdu, s.data + PART, PART);
    take_snack(s.r, 2, 2, 0);
    declare(&s, 1024);
    part(&s, 2);
    part(&s, 4);
    RIG_TAKE(s.r, snack_request, &snack);
    assert_int_equal(snack.type, 3);
    assert_int_equal(s.rc.c.in_done, 2 * PART);
    data_in(&s, 2, 2, 2, false);
    data_in(&s, 3, 4, 2, false);
    assert_true(rig_quiet(s.r));
    status(&s, s.r->stat_sn++, 4, snack.ttt);
    is_good(&s);
    scene_end(&s);
}

/* What was here when a connection broke is not cut anew on the next. */
static void reassigned_data_is_not_cut_anew(void **state)
{
    (void)state;
    struct scene s;
    struct pdu_task_management_request t;
    struct pdu_snack_request snack;
    scene_begin(&s, 2, 6);
    part(&s, 0);
    part(&s, 1);
    rig_cut(s.r, ERR_RESET);
    rig_advance(s.r, 2 * RIG_SECOND);
    rig_forget_events(s.r);
    rig_join(s.r, 1);
    RIG_TAKE(s.r, task_management_request, &t);
    assert_int_equal(t.exp_data_sn, 2);
    rig_tmf_response(s.r, t.itt, 0);
    declare(&s, 1024);
    part(&s, 3);
    RIG_TAKE(s.r, snack_request, &snack);
    assert_int_equal(snack.type, 3);
    assert_int_equal(s.rc.c.in_done, 2 * PART);
    assert_int_equal(s.rc.c.exp_data_sn, 2);
    data_in(&s, 2, 2, 2, false);
    data_in(&s, 3, 4, 2, false);
    assert_true(rig_quiet(s.r));
    status(&s, s.r->stat_sn++, 4, snack.ttt);
    is_good(&s);
    scene_end(&s);
}

/* A DataACK that was asked for in the old cut waits until that number is reached again. */
static void no_acknowledgement_before_its_number(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s, 1, 6);
    declare(&s, 1024);
    RIG_PDU(s.r, data_in, pdu);
    pdu.itt = s.itt;
    pdu.ttt = 0x99;
    pdu.lun = LUN;
    pdu.acknowledge = 1;
    pdu.data_sn = 1;
    pdu.buffer_offset = PART;
    RIG_SEND(s.r, data_in, &pdu, s.data + PART, PART);
    uint32_t tag = take_r_data(&s);
    data_in(&s, 0, 0, 2, false);
    assert_true(rig_quiet(s.r));
    data_in(&s, 1, 2, 2, false);
    take_snack(s.r, 2, 2, 0);
    data_in(&s, 2, 4, 2, false);
    assert_true(rig_quiet(s.r));
    status(&s, s.r->stat_sn++, 3, tag);
    is_good(&s);
    scene_end(&s);
}

/* A held status is replaced by the one that carries the new tag; those of other commands stay. */
static void a_status_that_waits_is_replaced_by_that_of_the_new_cut(void **state)
{
    (void)state;
    struct scene s;
    struct rig_command other;
    struct pdu_scsi_command c;
    scene_begin(&s, 1, 2);
    rig_command(s.r, &other, false, 0, 0);
    rig_submit(s.r, &other);
    c = rig_take_command(s.r);
    declare(&s, 1024);
    uint32_t sn = s.r->stat_sn; /* a message with this number is missing */
    message(s.r, sn + 2, 2, false);
    take_snack(s.r, 1, sn, 2);
    status(&s, sn + 1, 2, 0);
    take_r_data(&s); /* its data is missing too: it waits */
    RIG_PDU(s.r, scsi_response, pdu);
    pdu.itt = c.itt;
    pdu.stat_sn = sn + 3;
    pdu.status = 8;
    RIG_SEND(s.r, scsi_response, &pdu, NULL, 0);
    assert_true(rig_quiet(s.r));
    assert_int_equal(s.r->conn->held_count, 3);
    rig_advance(s.r, RIG_SECOND);
    struct pdu_snack_request snack;
    uint32_t tag = 0;
    for (int i = 0; i < 2; i++) { /* both are asked for again, in either order */
        RIG_TAKE(s.r, snack_request, &snack);
        if (snack.type == 3)
            tag = snack.ttt;
        else
            assert_int_equal(snack.beg_run, sn);
    }
    assert_int_not_equal(tag, 0);
    assert_int_equal(s.r->conn->held_count, 2);
    data_in(&s, 0, 0, 2, false);
    status(&s, sn + 1, 1, tag);
    assert_int_equal(s.rc.reported, 0); /* before its turn */
    assert_int_equal(other.reported, 0);
    message(s.r, sn, 0, false);
    is_good(&s);
    rig_event(s.r, INI_EVENT_COMMAND_DONE);
    rig_event(s.r, INI_EVENT_COMMAND_DONE);
    take_message(s.r, 0);
    take_message(s.r, 2);
    assert_int_equal(other.reported, 1);
    assert_int_equal(other.c.status, 8);
    s.r->stat_sn = sn + 4;
    assert_int_equal(s.r->conn->exp_stat_sn, sn + 4);
    assert_int_equal(s.r->conn->held_count, 0);
    scene_end(&s);
    rig_command_fini(&other);
}

/* ---- responses ---- */

/* A gap is asked for once; as it fills nothing more is asked; the next gap is asked for when it is closed. */
static void a_gap_of_responses_fills_in_silence(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, true);
    uint32_t sn = r->stat_sn;
    message(r, sn + 3, 3, false);
    take_snack(r, 1, sn, 3);
    message(r, sn + 6, 6, false);
    assert_true(rig_quiet(r));
    message(r, sn, 0, false);
    message(r, sn + 1, 1, false);
    assert_true(rig_quiet(r));
    message(r, sn + 2, 2, false);
    take_snack(r, 1, sn + 4, 2); /* the other one */
    for (int i = 0; i < 7; i++) {
        second_passes(r);
        take_snack(r, 1, sn + 4, 2);
    }
    message(r, sn + 5, 5, false);
    assert_true(rig_quiet(r));
    message(r, sn + 4, 4, false);
    assert_true(rig_quiet(r));
    for (uint16_t n = 0; n < 7; n++)
        take_message(r, n);
    rig_advance(r, 3 * RIG_SECOND);
    assert_true(rig_quiet(r));
    /* All tries anew for the next. */
    tell_stat_sn(r, sn + 8);
    for (uint32_t i = 0; i < INI_TRIES_MAX; i++) {
        take_snack(r, 1, sn + 7, 1);
        second_passes(r);
        assert_false(rig_closing(r));
    }
    take_snack(r, 1, sn + 7, 1);
    second_passes(r);
    rig_expect_failure(r, "missing response");
    rig_free(r);
}

/* So many are held and no more; what found no room is asked for when there is some. Twice: places come back.
 */
static void held_responses_are_bounded(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, true);
    for (uint32_t round = 0; round < 2; round++) {
        uint32_t sn = r->stat_sn;
        for (uint16_t n = 1; n <= INI_HELD_MAX + 6; n++)
            message(r, sn + n, n, false);
        take_snack(r, 1, sn, 1);
        assert_true(rig_quiet(r));
        assert_int_equal(r->conn->held_count, INI_HELD_MAX);
        message(r, sn, 0, false);
        for (uint16_t n = 0; n <= INI_HELD_MAX; n++)
            take_message(r, n);
        assert_false(rig_has_event(r));
        assert_int_equal(r->conn->held_count, 0);
        take_snack(r, 1, sn + INI_HELD_MAX + 1, 6);
        for (uint16_t n = INI_HELD_MAX + 1; n <= INI_HELD_MAX + 6; n++) {
            message(r, sn + n, n, false);
            take_message(r, n);
        }
        assert_true(rig_quiet(r));
        r->stat_sn = sn + INI_HELD_MAX + 7;
        rig_forget_events(r);
    }
    rig_free(r);
}

/* No memory to hold it: it is as good as lost, and asked for. */
static void a_response_that_cannot_be_held_is_asked_for(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, true);
    uint32_t sn = r->stat_sn;
    message(r, sn + 1, 1, false);
    take_snack(r, 1, sn, 1);
    r->fail_alloc = 1;
    message(r, sn + 2, 2, false);
    r->fail_alloc = 0;
    assert_int_equal(r->conn->held_count, 1);
    message(r, sn, 0, false);
    take_message(r, 0);
    take_message(r, 1);
    take_snack(r, 1, sn + 2, 1);
    message(r, sn + 2, 2, false);
    take_message(r, 2);
    r->stat_sn = sn + 3;
    rig_free(r);
}

/* A damaged PDU uses up its StatSN or does not: only then is it asked for. */
static void damaged_responses_are_asked_for_where_they_count(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode;
        bool own; /* with a task tag */
        bool counts;
    } kinds[] = {
        {PDU_OP_nop_in, false, false},       {PDU_OP_nop_in, true, true},
        {PDU_OP_scsi_response, true, true},  {PDU_OP_text_response, true, true},
        {PDU_OP_async_message, false, true}, {PDU_OP_reject, false, true},
        {PDU_OP_r2t, true, false},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct rig *r = rig_at_level(1, true);
        uint8_t bhs[PDU_BHS_LEN] = {kinds[i].opcode, 0x80};
        be32_put(bhs + 16, kinds[i].own ? 0x10000 : PDU_TAG_RESERVED);
        be32_put(bhs + 20, PDU_TAG_RESERVED);
        be32_put(bhs + 24, r->stat_sn);
        be32_put(bhs + 28, r->exp_cmd_sn);
        be32_put(bhs + 32, r->max_cmd_sn);
        rig_send_broken(r, bhs, "damaged!", 8, 2);
        if (kinds[i].counts)
            take_snack(r, 1, r->stat_sn, 1);
        assert_true(rig_quiet(r));
        assert_int_equal(ini_counters(r->s)->digest_errors, 1);
        assert_false(rig_has_event(r));
        rig_free(r);
    }
    static const int32_t far[] = {-1, 0, 1, 1024, 1025};
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        struct rig *r = rig_at_level(1, true);
        message(r, r->stat_sn + (uint32_t)far[i], 1, true);
        if (far[i] >= 0 && far[i] <= 1024)
            take_snack(r, 1, r->stat_sn, (uint32_t)far[i] + 1);
        assert_true(rig_quiet(r));
        assert_false(rig_closing(r));
        rig_free(r);
    }
    PROVES("R7143-7.8-11", "initiator");
}

/* How far ahead a StatSN may be, told by a response or by a PDU that only carries the next one. */
static void a_stat_sn_may_be_so_far_ahead(void **state)
{
    (void)state;
    for (int used = 0; used < 2; used++) {
        for (uint32_t far = 1023; far <= 1025; far++) {
            struct rig *r = rig_at_level(1, true);
            if (used)
                message(r, r->stat_sn + far, 1, false);
            else
                tell_stat_sn(r, r->stat_sn + far);
            if (far <= 1024) {
                take_snack(r, 1, r->stat_sn, far);
                assert_false(rig_closing(r));
            } else {
                rig_expect_failure(r, "answers from the target are missing");
            }
            rig_free(r);
        }
    }
    PROVES("R7143-4.2.2.2-04", "initiator");
}

/* The target refuses to repeat a response: that ends the connection, if it is one that is still missing. */
static void a_refused_response_ends_the_connection(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct rig *r = rig_at_level(1, true);
        uint32_t sn = r->stat_sn;
        uint8_t bhs[PDU_BHS_LEN];
        struct pdu_snack_request snack;
        pdu_snack_request_init(&snack);
        snack.type = 1;
        snack.itt = snack.ttt = PDU_TAG_RESERVED;
        snack.beg_run = sn;
        snack.run_length = 1;
        uint32_t reject_sn = sn;
        if (way) { /* 1: the missing one; 2: one that has come meanwhile, while another is missing */
            message(r, sn + 1, 1, false);
            take_snack(r, 1, sn, 1);
            reject_sn = sn + 2;
        }
        if (way == 2) {
            message(r, sn + 3, 3, false);
            message(r, sn, 0, false);
            take_snack(r, 1, sn + 2, 1);
            reject_sn = sn + 4;
        }
        pdu_snack_request_encode(&snack, bhs);
        RIG_PDU(r, reject, pdu);
        pdu.reason = 3;
        pdu.stat_sn = reject_sn;
        RIG_SEND(r, reject, &pdu, bhs, sizeof bhs);
        if (way == 1)
            rig_expect_failure(r, "cannot send a response again");
        else
            assert_false(rig_closing(r));
        rig_free(r);
    }
}

/* ---- commands ---- */

/* A command that the target does not acknowledge is asked about, then sent again: so often for each. */
static void retries_are_counted_for_each_command(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, false);
    struct rig_command rc[3];
    struct pdu_scsi_command c;
    struct pdu_nop_out ping = {0};
    for (int i = 0; i < 3; i++)
        rig_command(r, &rc[i], false, 0, 0);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t lost = i < 2 ? 5 : INI_TRIES_MAX;
        if (i == 0) { /* the second one goes out while the first is not acknowledged */
            rig_submit(r, &rc[0]);
            rig_submit(r, &rc[1]);
            RIG_TAKE(r, scsi_command, &c);
            RIG_TAKE(r, scsi_command, &c);
        } else if (i == 2) {
            rig_submit(r, &rc[2]);
            RIG_TAKE(r, scsi_command, &c);
        }
        uint32_t n = 0;
        for (int turn = 0; turn < 40 && n <= lost && !rig_closing(r); turn++) {
            rig_advance(r, RIG_SECOND);
            if (rig_closing(r) || rig_quiet(r))
                continue;
            RIG_TAKE(r, nop_out, &ping);
            assert_true(ping.immediate);
            if (n == lost && i < 2)
                break;
            RIG_PDU(r, nop_in, pong);
            pong.itt = ping.itt;
            pong.ttt = PDU_TAG_RESERVED;
            pong.stat_sn = r->stat_sn++;
            RIG_SEND(r, nop_in, &pong, NULL, 0);
            if (rig_closing(r))
                break;
            RIG_TAKE(r, scsi_command, &c);
            assert_int_equal(c.cmd_sn, r->exp_cmd_sn);
            n++;
        }
        assert_int_equal(n, lost);
        assert_int_equal(rig_closing(r), i == 2);
        if (i < 2) { /* it has arrived after all, says the answer */
            r->exp_cmd_sn++;
            r->max_cmd_sn++;
            RIG_PDU(r, nop_in, pong);
            pong.itt = ping.itt;
            pong.ttt = PDU_TAG_RESERVED;
            pong.stat_sn = r->stat_sn++;
            RIG_SEND(r, nop_in, &pong, NULL, 0);
        }
    }
    rig_expect_failure(r, "does not take a command");
    rig_free(r);
    for (int i = 0; i < 3; i++)
        rig_command_fini(&rc[i]);
    PROVES("R7143-7.2.1-01", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_ahead_are_kept_up_to_a_limit),
        cmocka_unit_test(damaged_parts_in_any_place_are_asked_for),
        cmocka_unit_test(tries_are_counted_for_each_gap),
        cmocka_unit_test(each_gap_has_its_own_time),
        cmocka_unit_test(a_refused_snack_is_not_repeated),
        cmocka_unit_test(what_filled_a_gap_survives_its_connection),
        cmocka_unit_test(snack_tags_are_never_reserved),
        cmocka_unit_test(a_gap_in_data_that_was_cut_anew),
        cmocka_unit_test(pieces_of_the_old_cut_are_not_taken),
        cmocka_unit_test(acknowledged_data_is_not_cut_anew),
        cmocka_unit_test(reassigned_data_is_not_cut_anew),
        cmocka_unit_test(no_acknowledgement_before_its_number),
        cmocka_unit_test(a_status_that_waits_is_replaced_by_that_of_the_new_cut),
        cmocka_unit_test(a_gap_of_responses_fills_in_silence),
        cmocka_unit_test(held_responses_are_bounded),
        cmocka_unit_test(a_response_that_cannot_be_held_is_asked_for),
        cmocka_unit_test(damaged_responses_are_asked_for_where_they_count),
        cmocka_unit_test(a_stat_sn_may_be_so_far_ahead),
        cmocka_unit_test(a_refused_response_ends_the_connection),
        cmocka_unit_test(retries_are_counted_for_each_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
