/* Where bytes land and what memory is used for, at the initiator: Data-In in the caller's places, sense data,
 * texts, and connections that run out of memory.
 *
 * Goal: every byte of a read is where it belongs and no other is touched, whatever the pieces; large payloads
 * go straight into the caller's buffer; nothing is kept when memory fails. Method: a scripted target
 * (initiator_harness.h) with pieces of random size in random order (DataPDUInOrder=No), compared with a flat
 * copy; the harness counts all memory of the engine's. */
#include "initiator/iscsi/internal.h"
#include "tests/unit/initiator_harness.h"

#define LUN 0x0001000000000000ull

/* ---- data ---- */

static struct rig *rig_any_order(uint32_t level)
{
    struct rig *r = rig_new();
    r->options.keys.data_pdu_in_order = r->key_config.data_pdu_in_order = false;
    r->options.keys.data_sequence_in_order = r->key_config.data_sequence_in_order = false;
    r->options.keys.error_recovery_level = r->key_config.error_recovery_level = level;
    rig_begin(r);
    rig_login(r);
    assert_false(ini_params(r->s)->data_pdu_in_order);
    return r;
}

/* A read into eight places of random lengths, with guards between them. */
static void pieces_in_any_order_land_where_they_belong(void **state)
{
    (void)state;
    enum { LEN = 3000, GUARD = 16 };
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig *r = rig_any_order(seed % 3 == 0);
        struct rig_command rc;
        uint8_t data[LEN], area[LEN + 9 * GUARD];
        r->seed = seed;
        rig_random_bytes(r, data, LEN);
        memset(area, 0xee, sizeof area);
        rig_command(r, &rc, false, LEN, 1);
        uint32_t at = 0, place[8];
        for (uint32_t i = 0; i < 8; i++) {
            uint32_t left = LEN - at;
            uint32_t n = i == 7 ? left : (uint32_t)(rig_random(r) % (left / 2 + 1));
            place[i] = at + (i + 1) * GUARD;
            rc.vec[i] = (struct io_vec){area + place[i], n};
            at += n;
        }
        rc.c.in_count = 8;
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt;
        uint32_t cuts[13] = {0, [12] = LEN}; /* twelve pieces */
        for (uint32_t i = 1; i < 12; i++)
            cuts[i] = (uint32_t)(rig_random(r) % (LEN - 24)) + 12;
        for (uint32_t i = 1; i < 12; i++)
            for (uint32_t k = 1; k + 1 < 12; k++)
                if (cuts[k] > cuts[k + 1]) {
                    uint32_t other = cuts[k];
                    cuts[k] = cuts[k + 1];
                    cuts[k + 1] = other;
                }
        uint32_t order[12], count = 0;
        for (uint32_t i = 0; i < 12; i++) {
            uint32_t to = (uint32_t)(rig_random(r) % (i + 1));
            order[i] = order[to];
            order[to] = i;
        }
        r->cut = seed % 4 == 1 ? 48 : seed % 4 == 2 ? 100 : 0;
        r->cut_random = seed % 4 == 3;
        for (uint32_t i = 0; i < 12; i++) {
            uint32_t from = cuts[order[i]], len = cuts[order[i] + 1] - from;
            if (len)
                rig_data_in(r, itt, count++, from, data + from, len, i == 11);
        }
        assert_int_equal(rc.c.in_done, LEN);
        rig_response(r, itt, 0, NULL, 0);
        assert_int_equal(rc.reported, 1);
        assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
        at = 0;
        for (uint32_t i = 0; i < 8; i++) {
            assert_memory_equal(area + place[i], data + at, rc.vec[i].len);
            at += (uint32_t)rc.vec[i].len;
            memset(area + place[i], 0xee, rc.vec[i].len);
        }
        for (size_t i = 0; i < sizeof area; i++)
            assert_int_equal(area[i], 0xee);
        rig_free(r);
        rig_command_fini(&rc);
    }
}

/* The header arrives alone: what the engine lends for the payload is the caller's own buffer. Given back
 * before the report. */
static void payload_goes_straight_into_the_callers_buffer(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    struct rig_command rc;
    struct io_vec places[FRAMER_PLACES_MAX];
    uint32_t count = 0;
    uint8_t data[4096], bhs[PDU_BHS_LEN];
    rig_random_bytes(r, data, sizeof data);
    rig_command(r, &rc, false, 4096, 2);
    rig_submit(r, &rc);
    uint32_t itt = rig_take_command(r).itt;
    for (uint32_t n = 0; n < 2; n++) {
        RIG_PDU(r, data_in, pdu);
        pdu.itt = itt;
        pdu.ttt = PDU_TAG_RESERVED;
        pdu.data_sn = n;
        pdu.buffer_offset = n * 2048;
        pdu.final = n == 1;
        pdu_data_in_encode(&pdu, bhs);
        be24_put(bhs + 5, 2048);
        rig_feed(r, bhs, sizeof bhs);
        assert_ptr_equal(r->conn->placing, &rc.c);
        assert_int_equal(ini_room(r->conn, places, &count), INI_ROOM_PLACES);
        assert_ptr_equal(places[0].ptr, rc.data + n * 2048);
        assert_int_equal(places[0].len, 2048);
        memcpy(places[0].ptr, data + n * 2048, 2048);
        ini_received(r->conn, 2048);
        rig_pump(r);
        assert_null(r->conn->placing);
        assert_false(rc.c.placed);
        assert_int_equal(rc.c.in_done, (n + 1) * 2048);
    }
    rig_response(r, itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1); /* at once: nothing of it is lent */
    assert_memory_equal(rc.data, data, sizeof data);
    rig_free(r);
    rig_command_fini(&rc);
}

/* ---- status ---- */

/* A Data-In may carry any status without sense data, and its residual. */
static void the_status_in_a_data_in_is_reported(void **state)
{
    (void)state;
    static const uint8_t statuses[] = {0x00, 0x04, 0x08, 0x28};
    for (size_t i = 0; i < sizeof statuses; i++) {
        for (uint32_t level = 0; level < 2; level++) {
            struct rig *r = rig_at_level(level, false);
            struct rig_command rc;
            rig_command(r, &rc, false, 64, 1);
            rig_submit(r, &rc);
            uint32_t itt = rig_take_command(r).itt;
            RIG_PDU(r, data_in, pdu);
            pdu.itt = itt;
            pdu.ttt = PDU_TAG_RESERVED;
            pdu.final = pdu.has_status = 1;
            pdu.status = statuses[i];
            pdu.stat_sn = r->stat_sn++;
            pdu.underflow = i & 1;
            pdu.residual_count = i & 1 ? 44 : 0;
            RIG_SEND(r, data_in, &pdu, "twenty bytes of data", 20);
            assert_int_equal(rc.reported, 1);
            assert_int_equal(rc.c.status, statuses[i]);
            assert_int_equal(rc.c.underflow, i & 1);
            assert_int_equal(rc.c.residual, i & 1 ? 44 : 0);
            assert_int_equal(rc.c.in_done, 20);
            assert_int_equal(r->conn->exp_stat_sn, r->stat_sn);
            rig_free(r);
            rig_command_fini(&rc);
        }
    }
}

/* The status of a task that was aborted uses up its StatSN; data or a new status for a task that never was
 * ends the session. */
static void data_of_tasks_that_are_gone(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct rig *r = rig_at_level(1, false);
        struct rig_command rc;
        uint32_t tag;
        rig_command(r, &rc, false, 64, 1);
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt;
        if (way == 0) {
            struct pdu_task_management_request abort;
            assert_int_equal(ini_task_management(r->s, 1, LUN, &rc.c, &tag), 0);
            rig_pump(r);
            RIG_TAKE(r, task_management_request, &abort);
            rig_tmf_response(r, tag, 0);
            assert_int_equal(rc.c.outcome, INI_DONE_ABORTED);
        }
        RIG_PDU(r, data_in, pdu);
        pdu.itt = way == 0 ? itt : 0x7ffe0000;
        pdu.ttt = PDU_TAG_RESERVED;
        pdu.final = 1;
        pdu.has_status = way != 2;
        pdu.stat_sn = way == 2 ? 0 : way == 3 ? r->stat_sn - 1 : r->stat_sn;
        RIG_SEND(r, data_in, &pdu, "late", 4);
        if (way == 0) {
            assert_int_equal(r->conn->exp_stat_sn, ++r->stat_sn);
            assert_int_equal(r->conn->held_count, 0);
            assert_false(rig_closing(r));
        } else if (way == 3) {
            assert_false(rig_closing(r)); /* a copy of what was acknowledged */
        } else {
            rig_expect_failure(r, "a task that we do not have");
        }
        rig_free(r);
        rig_command_fini(&rc);
    }
    PROVES("R7143-11.5.1-06", "initiator");
}

/* As much sense data as there is, whatever its length field says, and as we have room for. */
static void sense_data_is_what_has_come(void **state)
{
    (void)state;
    static const struct {
        uint16_t says;
        uint32_t sent, taken; /* `sent` bytes behind the length field */
    } cases[] = {{18, 18, 18}, {17, 18, 17},    {19, 18, 18},    {20, 18, 18},    {1000, 18, 18}, {0, 18, 0},
                 {1, 1, 1},    {251, 300, 251}, {252, 300, 252}, {253, 300, 252}, {300, 300, 252}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig *r = rig_up();
        struct rig_command rc;
        uint8_t sense[302];
        rig_random_bytes(r, sense, sizeof sense);
        be16_put(sense, cases[i].says);
        rig_command(r, &rc, false, 0, 0);
        rig_submit(r, &rc);
        rig_response(r, rig_take_command(r).itt, 2, sense, 2 + cases[i].sent);
        assert_int_equal(rc.reported, 1);
        assert_int_equal(rc.c.sense_len, cases[i].taken);
        assert_memory_equal(rc.c.sense, sense + 2, cases[i].taken);
        rig_free(r);
        rig_command_fini(&rc);
    }
}

/* Level 0: ExpDataSN is only held against a good status, and nothing is ever asked for again. */
static void missing_data_at_level_0(void **state)
{
    (void)state;
    for (uint8_t status = 0; status <= 8; status += 8) {
        struct rig *r = rig_at_level(0, false);
        struct rig_command rc;
        rig_command(r, &rc, false, 1024, 1);
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt;
        rig_data_in(r, itt, 0, 0, "half", 4, false);
        RIG_PDU(r, scsi_response, pdu);
        pdu.itt = itt;
        pdu.status = status;
        pdu.stat_sn = r->stat_sn++;
        pdu.exp_data_sn = 2;
        RIG_SEND(r, scsi_response, &pdu, NULL, 0);
        if (status) {
            assert_true(rig_quiet(r));
            assert_int_equal(rc.reported, 1);
            assert_int_equal(rc.c.status, status);
        } else {
            rig_expect_failure(r, "ExpDataSN");
        }
        rig_free(r);
        rig_command_fini(&rc);
    }
}

/* ---- texts ---- */

/* Answers of all sizes, in one piece or more, arrive whole; up to 1 MiB. */
static void long_answers_are_joined(void **state)
{
    (void)state;
    static const struct {
        uint32_t pieces, len;
    } cases[] = {{1, 65536},  {1, 65537},  {2, 32768},  {2, 40000},
                 {1, 262144}, {3, 131072}, {4, 262144}, {5, 262144}};
    static uint8_t text[5 * 262144];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig *r = rig_up();
        rig_random_bytes(r, text, sizeof text);
        assert_int_equal(ini_send_targets(r->s, "All"), 0);
        rig_pump(r);
        uint32_t total = cases[i].pieces * cases[i].len;
        for (uint32_t n = 0; n < cases[i].pieces && !rig_closing(r); n++)
            rig_text_response(r, rig_take_text(r).itt, n + 1 < cases[i].pieces ? 7 : PDU_TAG_RESERVED,
                              n + 1 < cases[i].pieces, text + n * cases[i].len, cases[i].len);
        if (total <= 1024 * 1024) {
            const struct ini_event *e = &rig_event(r, INI_EVENT_TEXT_DONE)->event;
            assert_int_equal(e->text_len, total);
            assert_memory_equal(e->text, text, total);
        } else {
            rig_expect_failure(r, "longer than we accept");
        }
        rig_free(r);
    }
}

/* ---- connections ---- */

/* Whichever allocation fails, a new connection is there or nothing of it is. */
static void a_connection_without_memory_leaves_nothing(void **state)
{
    (void)state;
    bool made = false;
    for (int n = 1; n < 20; n++) {
        struct rig *r = rig_at_level(0, false);
        int32_t before = r->allocated;
        rig_use(r, 1);
        r->fail_alloc = n;
        int err = rig_connect(r);
        r->fail_alloc = 0;
        if (err) {
            assert_int_equal(err, ERR_NOMEM);
            assert_int_equal(r->allocated, before);
            assert_null(r->conn);
            assert_true(list_first(&r->s->conns, struct ini_conn, node)->node.next == &r->s->conns);
        }
        made = made || !err;
        rig_free(r);
    }
    assert_true(made);
}

/* A PDU that cannot be queued costs the connection; the data that was to go with it is given back. */
static void a_ping_without_memory_costs_the_connection(void **state)
{
    (void)state;
    int outcomes = 0;
    for (int n = 1; n < 8; n++) {
        struct rig *r = rig_up();
        uint32_t tag;
        uint8_t data[300] = {0};
        r->hold_output = true;
        /* Fill what the send queue has at hand, so that it needs memory. */
        for (int i = 0; i < 300 && !rig_closing(r); i++)
            assert_int_equal(ini_ping(r->s, data, sizeof data, &tag), 0);
        r->fail_alloc = n;
        int err = 0;
        for (int i = 0; i < 700 && !err && !ini_wants_close(r->conn); i++)
            err = ini_ping(r->s, data, sizeof data, &tag);
        r->fail_alloc = 0;
        rig_pull_events(r);
        if (rig_closing(r)) {
            rig_expect_failure(r, "out of memory for a PDU");
            outcomes |= 1;
        } else {
            assert_true(err == ERR_NOMEM || err == ERR_BUSY);
            outcomes |= 2;
        }
        r->hold_output = false;
        rig_free(r);
    }
    assert_true(outcomes & 1);
}

/* Output that is all but sent is named to the host again. */
static void the_last_byte_is_named(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    struct io_vec places[8];
    uint32_t tag;
    r->hold_output = true;
    assert_int_equal(ini_ping(r->s, NULL, 0, &tag), 0);
    for (uint32_t left = 48; left; left = left == 48 ? 2 : left - 1) {
        assert_ptr_equal(ini_next_to_send(r->s), r->conn);
        assert_null(ini_next_to_send(r->s)); /* once */
        assert_int_equal(ini_gather(r->conn, places, 8), 1);
        assert_int_equal(places[0].len, left);
        assert_null(ini_next_to_send(r->s)); /* it is out already */
        ini_sent(r->conn, left == 48 ? 46 : 1);
    }
    assert_null(ini_next_to_send(r->s));
    r->hold_output = false;
    rig_free(r);
}

/* A connection whose logout is not answered ends as if it were, while there is another; the last one takes
 * the session along. */
static void connections_that_leave_may_be_cut(void **state)
{
    (void)state;
    for (uint32_t level = 0; level < 2; level++) {
        for (int both = 0; both < 2; both++) {
            struct rig *r = rig_at_level(level, false);
            rig_join(r, 1);
            if (both) {
                rig_use(r, 0);
                assert_int_equal(ini_conn_logout(r->conn), 0);
                rig_pump(r);
                rig_take(r, PDU_OP_logout_request);
                rig_use(r, 1);
            }
            assert_int_equal(ini_conn_logout(r->conn), 0);
            rig_pump(r);
            rig_take(r, PDU_OP_logout_request);
            rig_cut(r, ERR_RESET);
            assert_false(rig_closed(r));
            assert_int_equal(ini_connections(r->s), 1);
            rig_use(r, 0);
            assert_int_equal(ini_is_up(r->s), true);
            rig_cut(r, ERR_RESET);
            assert_true(rig_closed(r));
            assert_non_null(strstr(r->events[r->event_count - 1].reason, "the connection broke"));
            rig_free(r);
        }
    }
}

/* What the host is told of a transport that ends. */
static void the_reason_tells_when_it_ended(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_begin(r);
    rig_cut(r, 0);
    assert_string_equal(rig_event(r, INI_EVENT_LOGIN_FAILED)->reason,
                        "the target closed the connection during login");
    rig_free(r);
    r = rig_up();
    rig_cut(r, 0);
    assert_string_equal(rig_event(r, INI_EVENT_CLOSED)->reason, "the target closed the connection");
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_in_any_order_land_where_they_belong),
        cmocka_unit_test(payload_goes_straight_into_the_callers_buffer),
        cmocka_unit_test(the_status_in_a_data_in_is_reported),
        cmocka_unit_test(data_of_tasks_that_are_gone),
        cmocka_unit_test(sense_data_is_what_has_come),
        cmocka_unit_test(missing_data_at_level_0),
        cmocka_unit_test(long_answers_are_joined),
        cmocka_unit_test(a_connection_without_memory_leaves_nothing),
        cmocka_unit_test(a_ping_without_memory_costs_the_connection),
        cmocka_unit_test(the_last_byte_is_named),
        cmocka_unit_test(connections_that_leave_may_be_cut),
        cmocka_unit_test(the_reason_tells_when_it_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
