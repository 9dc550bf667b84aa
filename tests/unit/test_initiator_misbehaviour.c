/* Targets that break the rules after login.
 *
 * Goal: each wrong PDU ends the session with a sentence and CLOSED; every command comes back exactly once; no
 * byte outside the caller's buffers, and none of them after the report, is ever touched. Method: one table of
 * wrong PDUs, each run against a session with a read and a write in flight; then random bytes and bent PDUs
 * under the sanitizers. */
#include "tests/unit/initiator_harness.h"

#define LEN 8192u

struct scene { /* a session with two commands in flight */
    struct rig *r;
    struct rig_command read, write;
    uint32_t read_itt, write_itt;
};

static void scene_begin(struct scene *s, bool digests)
{
    struct key_choices crc = {1, {KEY_DIGEST_CRC32C}};
    struct rig *r = s->r = rig_new();
    r->key_config.initial_r2t = true;
    r->key_config.immediate_data = false;
    r->key_config.max_burst_length = 4096;
    r->key_config.first_burst_length = 4096;
    r->key_config.max_outstanding_r2t = r->options.keys.max_outstanding_r2t = 2;
    if (digests)
        r->options.keys.header_digest = r->options.keys.data_digest = r->key_config.header_digest =
            r->key_config.data_digest = crc;
    rig_begin(r);
    rig_login(r);
    rig_command(r, &s->read, false, LEN, 1);
    memset(s->read.data, 0xee, LEN);
    rig_submit(r, &s->read);
    s->read_itt = rig_take_command(r).itt;
    rig_command(r, &s->write, true, LEN, 1);
    rig_submit(r, &s->write);
    s->write_itt = rig_take_command(r).itt;
}

/* The session is over: both commands back once, buffers untouched from then on. */
static void scene_end(struct scene *s)
{
    uint8_t after[LEN];
    rig_lost(s->r, 0);
    memcpy(after, s->read.data, LEN);
    assert_int_equal(s->read.reported, 1);
    assert_int_equal(s->write.reported, 1);
    rig_free(s->r);
    assert_memory_equal(after, s->read.data, LEN);
    rig_command_fini(&s->read);
    rig_command_fini(&s->write);
}

/* ---- the table ---- */

static uint8_t some_data[65536];

#define SCENE_DATA_IN(s, itt, sn, offset, len) rig_data_in((s)->r, itt, sn, offset, some_data, len, false)

static void data_in_skips_a_number(struct scene *s)
{
    SCENE_DATA_IN(s, s->read_itt, 1, 0, 512);
}
static void data_in_starts_late(struct scene *s)
{
    SCENE_DATA_IN(s, s->read_itt, 0, 512, 512);
}
static void data_in_overlaps(struct scene *s)
{
    SCENE_DATA_IN(s, s->read_itt, 0, 0, 512);
    SCENE_DATA_IN(s, s->read_itt, 1, 256, 512);
}
static void data_in_is_too_much(struct scene *s)
{
    SCENE_DATA_IN(s, s->read_itt, 0, 0, LEN + 4);
}
static void data_in_far_beyond(struct scene *s)
{
    SCENE_DATA_IN(s, s->read_itt, 0, 0xfffffffc, 512);
}
static void data_in_for_a_write(struct scene *s)
{
    SCENE_DATA_IN(s, s->write_itt, 0, 0, 512);
}
static void data_in_for_nobody(struct scene *s)
{
    SCENE_DATA_IN(s, s->read_itt + 0x30000, 0, 0, 512);
}
static void data_in_for_no_tag(struct scene *s)
{
    SCENE_DATA_IN(s, PDU_TAG_RESERVED, 0, 0, 512);
}
static void data_in_after_status(struct scene *s)
{
    rig_response(s->r, s->read_itt, 2, NULL, 0);
    SCENE_DATA_IN(s, s->read_itt, 0, 0, 512);
}
static void status_with_both_residual_flags(struct scene *s)
{
    RIG_PDU(s->r, scsi_response, pdu);
    pdu.itt = s->read_itt;
    pdu.overflow = pdu.underflow = 1;
    pdu.residual_count = 1;
    pdu.stat_sn = s->r->stat_sn++;
    RIG_SEND(s->r, scsi_response, &pdu, NULL, 0);
}
static void good_status_before_all_data(struct scene *s)
{
    SCENE_DATA_IN(s, s->read_itt, 0, 0, 512);
    RIG_PDU(s->r, scsi_response, pdu);
    pdu.itt = s->read_itt;
    pdu.exp_data_sn = 16;
    pdu.stat_sn = s->r->stat_sn++;
    RIG_SEND(s->r, scsi_response, &pdu, NULL, 0);
}
static void response_for_nobody(struct scene *s)
{
    rig_response(s->r, s->read_itt + 0x30000, 0, NULL, 0);
}
static void response_twice(struct scene *s)
{
    rig_response(s->r, s->read_itt, 0, NULL, 0);
    rig_response(s->r, s->read_itt, 0, NULL, 0);
}
static void r2t_beyond_the_buffer(struct scene *s)
{
    rig_r2t(s->r, s->write_itt, 1, 0, LEN - 512, 1024);
}
static void r2t_far_beyond(struct scene *s)
{
    rig_r2t(s->r, s->write_itt, 1, 0, 0xfffffe00, 512);
}
static void r2t_for_nothing(struct scene *s)
{
    rig_r2t(s->r, s->write_itt, 1, 0, 0, 0);
}
static void r2t_above_max_burst(struct scene *s)
{
    rig_r2t(s->r, s->write_itt, 1, 0, 0, 4100);
}
static void r2t_without_tag(struct scene *s)
{
    rig_r2t(s->r, s->write_itt, PDU_TAG_RESERVED, 0, 0, 512);
}
static void r2t_skips_a_number(struct scene *s)
{
    rig_r2t(s->r, s->write_itt, 1, 1, 0, 512);
}
static void r2t_for_a_read(struct scene *s)
{
    rig_r2t(s->r, s->read_itt, 1, 0, 0, 512);
}
static void r2t_for_nobody(struct scene *s)
{
    rig_r2t(s->r, s->write_itt + 0x30000, 1, 0, 0, 512);
}
static void r2t_overlaps(struct scene *s)
{
    rig_r2t(s->r, s->write_itt, 1, 0, 0, 1024);
    rig_r2t(s->r, s->write_itt, 2, 1, 512, 1024);
}
static void r2t_goes_back(struct scene *s)
{
    rig_r2t(s->r, s->write_itt, 1, 0, 4096, 512);
    rig_r2t(s->r, s->write_itt, 2, 1, 0, 512);
}
static void r2t_with_data(struct scene *s)
{
    RIG_PDU(s->r, r2t, pdu);
    pdu.itt = s->write_itt;
    pdu.ttt = 1;
    pdu.desired_data_transfer_length = 512;
    RIG_SEND(s->r, r2t, &pdu, some_data, 4);
}
static void text_response_for_nobody(struct scene *s)
{
    rig_text_response(s->r, 5, PDU_TAG_RESERVED, false, "a=b", 4);
}
static void tmf_response_for_nobody(struct scene *s)
{
    rig_tmf_response(s->r, 5, 0);
}
static void tmf_response_for_a_command(struct scene *s)
{
    rig_tmf_response(s->r, s->read_itt, 0);
}
static void logout_response_for_nobody(struct scene *s)
{
    rig_logout_response(s->r, s->read_itt, 0, 0, 0);
}
static void login_response_after_login(struct scene *s)
{
    RIG_PDU(s->r, login_response, pdu);
    pdu.itt = 1;
    RIG_SEND(s->r, login_response, &pdu, NULL, 0);
}
static void an_initiators_opcode(struct scene *s)
{
    RIG_PDU(s->r, scsi_response, pdu);
    uint8_t bhs[PDU_BHS_LEN];
    pdu_scsi_response_encode(&pdu, bhs);
    bhs[0] = PDU_OP_scsi_command;
    rig_send(s->r, bhs, NULL, 0);
}
static void an_unknown_opcode(struct scene *s)
{
    uint8_t bhs[PDU_BHS_LEN] = {0x3c, 0x80};
    rig_send(s->r, bhs, NULL, 0);
}
static void reject_without_a_header(struct scene *s)
{
    RIG_PDU(s->r, reject, pdu);
    pdu.stat_sn = s->r->stat_sn++;
    RIG_SEND(s->r, reject, &pdu, NULL, 0);
}
static void reject_of_a_command(struct scene *s)
{
    uint8_t bhs[PDU_BHS_LEN] = {PDU_OP_scsi_command};
    RIG_PDU(s->r, reject, pdu);
    pdu.reason = 4;
    pdu.stat_sn = s->r->stat_sn++;
    be32_put(bhs + 16, s->read_itt);
    RIG_SEND(s->r, reject, &pdu, bhs, sizeof bhs);
}
/* A header that announces `len` bytes of data, and nothing more. */
static void send_header(struct rig *r, uint8_t *bhs, uint32_t len)
{
    uint8_t wire[PDU_BHS_LEN + PDU_DIGEST_LEN];
    be24_put(bhs + 5, len);
    memcpy(wire, bhs, PDU_BHS_LEN);
    digest_put(wire + PDU_BHS_LEN, digest_crc32c(bhs, PDU_BHS_LEN));
    rig_feed(r, wire, r->header_digest ? sizeof wire : PDU_BHS_LEN);
}
static void a_pdu_longer_than_we_declared(struct scene *s)
{
    uint8_t bhs[PDU_BHS_LEN];
    RIG_PDU(s->r, nop_in, pdu);
    pdu.itt = PDU_TAG_RESERVED;
    pdu.ttt = PDU_TAG_RESERVED;
    pdu_nop_in_encode(&pdu, bhs);
    send_header(s->r, bhs, ini_params(s->r->s)->max_recv_data_segment_length + 4);
}
static void data_beyond_a_declared_length(struct scene *s)
{
    uint8_t bhs[PDU_BHS_LEN];
    RIG_PDU(s->r, data_in, pdu);
    pdu.itt = s->read_itt;
    pdu_data_in_encode(&pdu, bhs);
    send_header(s->r, bhs, 0xffffff);
}
static void async_drop(struct scene *s)
{
    RIG_PDU(s->r, async_message, pdu);
    pdu.async_event = 2;
    pdu.stat_sn = s->r->stat_sn++;
    RIG_SEND(s->r, async_message, &pdu, NULL, 0);
}
static void async_drop_session(struct scene *s)
{
    RIG_PDU(s->r, async_message, pdu);
    pdu.async_event = 3;
    pdu.stat_sn = s->r->stat_sn++;
    RIG_SEND(s->r, async_message, &pdu, NULL, 0);
}
static void missing_status(struct scene *s)
{
    s->r->stat_sn += 5000; /* so many statuses never came */
    rig_response(s->r, s->read_itt, 0, NULL, 0);
}

static const struct {
    const char *name;
    void (*run)(struct scene *s);
} wrongs[] = {
#define W(name)                                                                                              \
    {                                                                                                        \
#name, name                                                                                          \
    }
    W(data_in_skips_a_number),
    W(data_in_starts_late),
    W(data_in_overlaps),
    W(data_in_is_too_much),
    W(data_in_far_beyond),
    W(data_in_for_a_write),
    W(data_in_for_nobody),
    W(data_in_for_no_tag),
    W(data_in_after_status),
    W(status_with_both_residual_flags),
    W(good_status_before_all_data),
    W(response_for_nobody),
    W(response_twice),
    W(r2t_beyond_the_buffer),
    W(r2t_far_beyond),
    W(r2t_for_nothing),
    W(r2t_above_max_burst),
    W(r2t_without_tag),
    W(r2t_skips_a_number),
    W(r2t_for_a_read),
    W(r2t_for_nobody),
    W(r2t_overlaps),
    W(r2t_goes_back),
    W(r2t_with_data),
    W(text_response_for_nobody),
    W(tmf_response_for_nobody),
    W(tmf_response_for_a_command),
    W(logout_response_for_nobody),
    W(login_response_after_login),
    W(an_initiators_opcode),
    W(an_unknown_opcode),
    W(reject_without_a_header),
    W(reject_of_a_command),
    W(a_pdu_longer_than_we_declared),
    W(data_beyond_a_declared_length),
    W(async_drop),
    W(async_drop_session),
    W(missing_status),
#undef W
};

static void each_wrong_pdu_ends_the_session_with_a_reason(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
            struct scene s;
            scene_begin(&s, way == 2);
            s.r->cut = way == 1 ? 13 : 0;
            wrongs[i].run(&s);
            if (!rig_closing(s.r))
                fail_msg("%s: still up", wrongs[i].name);
            s.r->over = true; /* the reason must be the engine's own, not that of a lost transport */
            rig_lost(s.r, 0);
            if (!s.r->events[s.r->event_count - 1].reason[0])
                fail_msg("%s: no reason", wrongs[i].name);
            scene_end(&s);
        }
    }
    PROVES("R7143-4.2.4-04", "initiator");
    PROVES("R7143-4.2.5.1-01", "initiator");
    PROVES("R7143-4.2.5.3-02", "initiator");
    PROVES("R7143-4.2.5.3-04", "initiator");
    PROVES("R7143-7.1.4.3-06", "initiator");
    PROVES("R7143-7.1.4.4-01", "initiator");
    PROVES("R7143-7.7-01", "initiator");
    PROVES("R7143-7.7-02", "initiator");
    PROVES("R7143-7.9-01", "initiator");
    PROVES("R7143-4.2.2.2-04", "initiator");
    PROVES("R7143-13.19-02", "initiator");
    PROVES("R7143-7.13-01", "initiator");
    PROVES("R7143-7.14-03", "initiator");
    PROVES("R7143-8.1.2-15", "initiator");
    PROVES("R7143-11-04", "initiator");
    PROVES("R7143-11.4.1-02", "initiator");
    PROVES("R7143-11.9.1-09", "initiator");
}

/* Pings that we are to answer pile up while the target reads nothing. */
static void a_flood_of_pings_is_bounded(void **state)
{
    (void)state;
    struct scene s;
    scene_begin(&s, false);
    s.r->hold_output = true;
    RIG_PDU(s.r, nop_in, pdu);
    pdu.itt = PDU_TAG_RESERVED;
    pdu.stat_sn = s.r->stat_sn;
    int n = 0;
    for (; n < 100000 && !rig_closing(s.r); n++) {
        pdu.ttt = (uint32_t)n;
        RIG_SEND(s.r, nop_in, &pdu, NULL, 0);
    }
    assert_true(n >= 16 && n < 100000);
    scene_end(&s);
}

static void broken_digests_end_the_session(void **state)
{
    (void)state;
    for (int which = 1; which <= 2; which++) {
        struct scene s;
        uint8_t bhs[PDU_BHS_LEN];
        scene_begin(&s, true);
        RIG_PDU(s.r, data_in, pdu);
        pdu.itt = s.read_itt;
        pdu.ttt = PDU_TAG_RESERVED;
        pdu_data_in_encode(&pdu, bhs);
        rig_send_broken(s.r, bhs, some_data, 512, which);
        assert_true(rig_closing(s.r));
        rig_lost(s.r, 0);
        assert_non_null(strstr(s.r->events[s.r->event_count - 1].reason, "digest"));
        assert_int_equal(s.read.c.outcome, INI_DONE_LOST);
        scene_end(&s);
    }
    PROVES("R7143-7.8-01", "initiator");
    PROVES("R7143-7.8-06", "initiator");
    PROVES("R7143-7.8-07", "initiator");
}

/* ---- memory ---- */

static void a_session_that_gets_no_memory_is_not_made(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    int n = 1;
    for (;; n++) {
        r->fail_alloc = n;
        int err = ini_session_new(&r->env, r->pool, &r->tx_pool, &r->options, &r->s);
        if (err == 0)
            err = ini_conn_new(r->s, r, &r->conn);
        r->fail_alloc = 0;
        if (err == 0 && !rig_closing(r))
            break;
        assert_true(err == 0 || err == ERR_NOMEM);
        if (r->s && err == 0)
            rig_lost(r, 0);
        ini_session_free(r->s);
        rig_forget_events(r);
        r->s = NULL;
        r->conn = NULL;
        r->over = false;
    }
    assert_true(n > 4);
    rig_free(r);
}

/* A write that needs a hundred PDUs, with the nth allocation failing: the session ends with a reason, the
 * command once. */
static void a_session_that_runs_out_of_memory_ends_in_order(void **state)
{
    (void)state;
    int n = 1, failed = 0;
    for (bool through = false; !through; n++) {
        struct rig *r = rig_new();
        struct rig_command rc;
        r->key_config.max_recv_data_segment_length = 512;
        rig_begin(r);
        rig_login(r);
        rig_command(r, &rc, true, 65536, 1);
        r->fail_alloc = n;
        r->hold_output = true;
        assert_int_equal(ini_submit(r->s, &rc.c), 0);
        through = !rig_closing(r);
        assert_true(through || r->fail_alloc == 1);
        r->fail_alloc = 0;
        failed += !through;
        rig_free(r);
        assert_int_equal(rc.reported, 1);
        assert_int_equal(rc.c.outcome, INI_DONE_LOST);
        rig_command_fini(&rc);
    }
    assert_true(failed > 50);
}

/* ---- chaos ---- */

/* A PDU of a random target type for one of our tags, with a few bits turned. */
static void chaos_pdu(struct scene *s)
{
    static const uint8_t ops[] = {0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f};
    struct rig *r = s->r;
    uint8_t bhs[PDU_BHS_LEN] = {0};
    bhs[0] = ops[rig_random(r) % sizeof ops];
    bhs[1] = (uint8_t)(0x80 | (rig_random(r) % 8));
    uint64_t who = rig_random(r) % 8;
    be32_put(bhs + 16, who < 4 ? s->read_itt : who < 7 ? s->write_itt : PDU_TAG_RESERVED);
    be32_put(bhs + 20, rig_random(r) % 2 ? PDU_TAG_RESERVED : 7);
    be32_put(bhs + 24, r->stat_sn);
    be32_put(bhs + 28, r->exp_cmd_sn);
    be32_put(bhs + 32, r->max_cmd_sn);
    if (bhs[0] == 0x25 || bhs[0] == 0x31)
        be32_put(bhs + 40, (uint32_t)(rig_random(r) % 3) * 512);
    if (bhs[0] == 0x31)
        be32_put(bhs + 44, 512);
    for (uint64_t n = rig_random(r) % 4; n; n--) {
        uint64_t bit = rig_random(r) % (PDU_BHS_LEN * 8);
        if (bit / 8 != 4 && bit / 8 != 5) /* lengths are the framer's test */
            bhs[bit / 8] = (uint8_t)(bhs[bit / 8] ^ (1u << (bit % 8)));
    }
    rig_send(r, bhs, some_data, rig_random(r) % 2 ? (uint32_t)(rig_random(r) % 600) : 0);
}

static void random_pdus_never_do_harm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        struct scene s;
        scene_begin(&s, seed % 3 == 0);
        s.r->seed = seed;
        s.r->cut_random = seed % 2;
        for (int i = 0; i < 20 && !rig_closing(s.r); i++) {
            chaos_pdu(&s);
            s.r->now += RIG_SECOND / 4;
            if (!rig_closing(s.r)) {
                ini_tick(s.r->s);
                rig_pump(s.r);
            }
        }
        scene_end(&s);
    }
}

static void random_bytes_never_do_harm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct rig *r = rig_new();
        uint8_t bytes[600];
        rig_begin(r);
        if (seed % 2)
            rig_login(r);
        r->seed = seed;
        r->cut_random = true;
        for (int i = 0; i < 4; i++) {
            rig_random_bytes(r, bytes, sizeof bytes);
            bytes[0] = seed % 4 < 2 ? 0x23 : 0x25;
            bytes[4] = 0;
            bytes[5] = 0;
            rig_feed(r, bytes, sizeof bytes);
        }
        rig_free(r);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof some_data; i++)
        some_data[i] = (uint8_t)(i * 7);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrong_pdu_ends_the_session_with_a_reason),
        cmocka_unit_test(a_flood_of_pings_is_bounded),
        cmocka_unit_test(broken_digests_end_the_session),
        cmocka_unit_test(a_session_that_gets_no_memory_is_not_made),
        cmocka_unit_test(a_session_that_runs_out_of_memory_ends_in_order),
        cmocka_unit_test(random_pdus_never_do_harm),
        cmocka_unit_test(random_bytes_never_do_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
