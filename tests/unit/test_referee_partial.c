/* Goal: a connection that is seen from its middle is cut into PDUs again, with and without digests, and what
 * a PDU shows by itself is judged; nothing else is. Of PDUs whose data was cut off, all that the header shows
 * is judged. Method: the good conversations from many places on, some with a fault near the end; noise; data
 * segments left out. */
#include "tests/unit/referee_good.h"

static struct referee *fresh(bool partial)
{
    struct referee_options options = {.vantage = REFEREE_BETWEEN, .findings_max = 16, .partial = partial};
    struct referee *r = NULL;
    assert_int_equal(referee_new(env_host(), &options, &r), 0);
    for (unsigned i = 0; i < TALK_CONNS; i++)
        referee_tap(r)->open(referee_tap(r), i + 1u, NULL, NULL, 0);
    return r;
}

static void feed(struct referee *r, const struct turn *t, uint8_t *bytes, uint32_t len)
{
    struct tap *tap = referee_tap(r);
    struct io_vec place = {bytes, len};
    bool to_target = pdu_type_of(t->bhs[0])->from == PDU_FROM_INITIATOR;
    tap->bytes(tap, t->conn + 1u, to_target ? TAP_TO_TARGET : TAP_TO_INITIATOR, &place, 1, len, 0);
}

/* The conversation from turn `start` on; of the first turn of each direction `skip` bytes are missing. */
static struct referee *from_the_middle(const struct talk *k, size_t start, uint32_t skip)
{
    static uint8_t bytes[TALK_DATA + 2048];
    struct referee *r = fresh(true);
    bool begun[TALK_CONNS][2] = {{false}};
    for (size_t i = start; i < k->count; i++) {
        const struct turn *t = &k->turns[i];
        uint32_t len = turn_bytes(k, t, bytes), from = 0;
        bool *seen = &begun[t->conn][pdu_type_of(t->bhs[0])->from == PDU_FROM_INITIATOR];
        if (!*seen)
            from = skip < len ? skip : len;
        *seen = true;
        if (from < len)
            feed(r, t, bytes + from, len - from);
    }
    return r;
}

static size_t first_full(const struct talk *k)
{
    size_t at = 0;
    while (!k->turns[at].full)
        at++;
    return at;
}

static void expect_none(struct referee *r, const char *what)
{
    struct referee_finding f;
    char line[600];
    while (referee_next(r, &f))
        fail_msg("%s: %s", what, referee_finding_text(&f, line, sizeof line));
}

static const uint32_t skips[] = {0, 1, 3, 4, 47, 48, 50, 333};

/* A bit of the Logout Response is wrong: found from wherever the connection is seen. */
static void what_a_pdu_shows_is_judged(void (*build)(struct talk *k), size_t starts)
{
    struct referee_finding f;
    struct referee_counts counts;
    for (size_t i = 0; i < starts; i++)
        for (size_t n = 0; n < sizeof skips / sizeof skips[0]; n++) {
            build(&talk_mem);
            size_t start = first_full(&talk_mem) + i;
            talk_mem.turns[talk_mem.count - 1].bhs[47] = 1;
            struct referee *r = from_the_middle(&talk_mem, start, skips[n]);
            assert_true(referee_next(r, &f));
            assert_string_equal(f.requirement, "R7143-11-02");
            assert_int_equal(f.party, REFEREE_TARGET);
            expect_none(r, "beside the fault");
            referee_count(r, &counts);
            assert_true(counts.pdus >= 10 && counts.pdus <= talk_mem.count - start);
            referee_free(r);
        }
}

static void without_digests(void **state)
{
    (void)state;
    what_a_pdu_shows_is_judged(good_normal, 12);
}

static void with_digests(void **state)
{
    (void)state;
    what_a_pdu_shows_is_judged(good_digests, 4);
}

/* A gap in the middle of such a connection: found again behind it. */
static void found_again_behind_a_gap(void **state)
{
    static uint8_t bytes[TALK_DATA + 2048];
    struct referee_finding f;
    (void)state;
    good_normal(&talk_mem);
    size_t start = first_full(&talk_mem);
    talk_mem.turns[talk_mem.count - 1].bhs[47] = 1;
    struct referee *r = fresh(true);
    for (size_t i = start; i < talk_mem.count; i++) {
        const struct turn *t = &talk_mem.turns[i];
        uint32_t len = turn_bytes(&talk_mem, t, bytes), from = 0;
        if (i == start + 20) { /* without resuming: in the middle of whatever comes */
            referee_gap(r, 1, TAP_TO_TARGET, false);
            referee_gap(r, 1, TAP_TO_INITIATOR, false);
            from = 10;
        }
        feed(r, t, bytes + from, len - from);
    }
    assert_true(referee_next(r, &f));
    assert_string_equal(f.requirement, "R7143-11-02");
    expect_none(r, "beside the fault");
    referee_free(r);
}

static void good_conversations_have_no_finding_from_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        goods[i].build(&talk_mem);
        for (size_t start = 1; start < talk_mem.count; start++) {
            if (!talk_mem.turns[start].full)
                continue;
            for (size_t n = 0; n < sizeof skips / sizeof skips[0]; n++) {
                struct referee *r = from_the_middle(&talk_mem, start, skips[n]);
                expect_none(r, goods[i].name);
                referee_free(r);
            }
        }
    }
}

/* Noise, zeros, and data that looks like nothing: no PDU is seen in it. */
static void noise_is_no_pdu(void **state)
{
    static uint8_t noise[8192];
    uint64_t seed = 88172645463325252u;
    struct referee_counts counts;
    (void)state;
    struct referee *r = fresh(true);
    struct turn t = {.bhs = {PDU_OP_nop_out}};
    for (unsigned round = 0; round < 60; round++) {
        for (size_t i = 0; i < sizeof noise; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            noise[i] = round % 4 == 0 ? 0 : round % 4 == 1 ? (uint8_t)(seed & 0x83) : (uint8_t)seed;
        }
        t.bhs[0] = round % 2 ? PDU_OP_nop_out : PDU_OP_nop_in;
        feed(r, &t, noise, sizeof noise);
    }
    expect_none(r, "noise");
    referee_count(r, &counts);
    assert_int_equal(counts.pdus, 0);
    referee_free(r);
}

/* Of a session's connections only one is in the capture. */
static void other_connections_may_be_missing(void **state)
{
    static const char *const names[] = {"connections", "fence", "reassign"};
    static uint8_t bytes[TALK_DATA + 2048];
    (void)state;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
        for (unsigned conn = 0; conn < 2; conn++) {
            struct referee_options options = {
                .vantage = REFEREE_BETWEEN, .findings_max = 16, .filtered = true};
            struct referee *r = NULL;
            assert_int_equal(referee_new(env_host(), &options, &r), 0);
            referee_tap(r)->open(referee_tap(r), conn + 1u, NULL, NULL, 0);
            for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++)
                if (strcmp(goods[i].name, names[n]) == 0)
                    goods[i].build(&talk_mem);
            for (size_t i = 0; i < talk_mem.count; i++)
                if (talk_mem.turns[i].conn == conn)
                    feed(r, &talk_mem.turns[i], bytes, turn_bytes(&talk_mem, &talk_mem.turns[i], bytes));
            referee_tap(r)->close(referee_tap(r), conn + 1u, 0);
            expect_none(r, names[n]);
            referee_free(r);
        }
}

/* ---- cut PDUs ---- */

static bool is_bulk(const struct turn *t)
{
    return t->bhs[0] == PDU_OP_data_in || t->bhs[0] == PDU_OP_data_out ||
           (t->bhs[0] & 0x3f) == PDU_OP_scsi_response || (t->bhs[0] & 0x3f) == PDU_OP_async_message ||
           (t->bhs[0] & 0x3f) == PDU_OP_nop_out || (t->bhs[0] & 0x3f) == PDU_OP_nop_in;
}

/* Data is cut off behind its first `keep` bytes, as a snap length does. */
static struct referee *with_cut_data(const struct talk *k, uint32_t keep)
{
    static uint8_t bytes[TALK_DATA + 2048];
    struct referee *r = fresh(false);
    for (size_t i = 0; i < k->count; i++) {
        const struct turn *t = &k->turns[i];
        uint32_t len = turn_bytes(k, t, bytes);
        uint32_t head = PDU_BHS_LEN + t->ahs_len + (k->digests && t->full ? 4 : 0) + keep;
        if (!is_bulk(t) || head >= len || t->data_len == 0) {
            feed(r, t, bytes, len);
            continue;
        }
        feed(r, t, bytes, head);
        bool to_target = pdu_type_of(t->bhs[0])->from == PDU_FROM_INITIATOR;
        referee_missing(r, t->conn + 1u, to_target ? TAP_TO_TARGET : TAP_TO_INITIATOR, len - head);
    }
    return r;
}

static void cut_data_costs_nothing_but_its_contents(void **state)
{
    static const uint32_t keeps[] = {0, 1, 16, 100};
    struct referee_counts counts;
    (void)state;
    for (size_t n = 0; n < sizeof keeps / sizeof keeps[0]; n++)
        for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
            goods[i].build(&talk_mem);
            struct referee *r = with_cut_data(&talk_mem, keeps[n]);
            expect_none(r, goods[i].name);
            referee_count(r, &counts);
            assert_int_equal(counts.pdus, talk_mem.count);
            referee_free(r);
        }
}

static void headers_of_cut_pdus_are_judged(void **state)
{
    static const struct {
        const char *script, *requirement;
    } faults[] = {
        {"data_in 3 set data_sn=3", "R7143-4.2.2.4-02"},
        {"data_out 3 set lun=1", "R7143-11.7.4-04"},
        {"data_in 2 set buffer_offset=-4", "R7143-11.7.6-02"},
        {"scsi_response 1 set residual_count=999", "R7143-11.4.5.2-02"},
    };
    struct referee_finding f;
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        good_normal(&talk_mem);
        talk_break(&talk_mem, faults[i].script);
        struct referee *r = with_cut_data(&talk_mem, 0);
        assert_true(referee_next(r, &f));
        assert_string_equal(f.requirement, faults[i].requirement);
        expect_none(r, faults[i].script);
        referee_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_digests),
        cmocka_unit_test(with_digests),
        cmocka_unit_test(found_again_behind_a_gap),
        cmocka_unit_test(good_conversations_have_no_finding_from_anywhere),
        cmocka_unit_test(noise_is_no_pdu),
        cmocka_unit_test(other_connections_may_be_missing),
        cmocka_unit_test(cut_data_costs_nothing_but_its_contents),
        cmocka_unit_test(headers_of_cut_pdus_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
