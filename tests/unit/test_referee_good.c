/* Goal: correct conversations give no finding, whatever the vantage and however their bytes arrive, and leave
 * nothing behind. Method: every conversation of referee_good.h through a referee at the three vantages,
 * whole, byte by byte and in pieces of seven; then with any one PDU lost, a start in the middle, each
 * allocation failing in turn, and bits turned over. */
#include "tests/unit/referee_good.h"

static void expect_none(struct referee *r, const char *name)
{
    struct referee_finding f;
    char line[600];
    if (referee_next(r, &f))
        fail_msg("%s: %s", name, referee_finding_text(&f, line, sizeof line));
}

static void no_findings(enum referee_vantage vantage, size_t piece)
{
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        goods[i].build(&talk_mem);
        struct referee *r = talk_run(&talk_mem, vantage, piece);
        struct referee_counts counts;
        expect_none(r, goods[i].name);
        referee_count(r, &counts);
        assert_int_equal(counts.pdus, talk_mem.count);
        assert_int_equal(counts.undecidable, 0);
        referee_free(r);
    }
}

static void good_at_the_initiator(void **state)
{
    (void)state;
    no_findings(REFEREE_AT_INITIATOR, 0);
}

static void good_at_the_target(void **state)
{
    (void)state;
    no_findings(REFEREE_AT_TARGET, 0);
}

static void good_between(void **state)
{
    (void)state;
    no_findings(REFEREE_BETWEEN, 0);
}

static void good_byte_by_byte(void **state)
{
    (void)state;
    no_findings(REFEREE_BETWEEN, 1);
    no_findings(REFEREE_BETWEEN, 7);
}

/* ---- what was not seen is not judged ---- */

static struct referee *fresh(const struct env *env, bool partial)
{
    struct referee_options options = {.vantage = REFEREE_BETWEEN, .findings_max = 4, .partial = partial};
    struct referee *r = NULL;
    return referee_new(env, &options, &r) == 0 ? r : NULL;
}

static void feed(struct referee *r, const struct talk *k, size_t from, size_t to)
{
    static uint8_t bytes[TALK_DATA + 2048];
    struct tap *tap = referee_tap(r);
    for (size_t i = from; i < to; i++) {
        const struct turn *t = &k->turns[i];
        struct io_vec place = {bytes, turn_bytes(k, t, bytes)};
        bool to_target = pdu_type_of(t->bhs[0])->from == PDU_FROM_INITIATOR;
        tap->bytes(tap, t->conn + 1u, to_target ? TAP_TO_TARGET : TAP_TO_INITIATOR, &place, 1, place.len, i);
    }
}

static void open_all(struct referee *r)
{
    for (unsigned i = 0; i < TALK_CONNS; i++)
        referee_tap(r)->open(referee_tap(r), i + 1u, NULL, NULL, 0);
}

/* Any one PDU lost: whatever the others then look like, no rule that needed it is a finding. */
static void a_gap_is_not_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        goods[i].build(&talk_mem);
        for (size_t lost = 0; lost < talk_mem.count; lost++) {
            struct referee *r = fresh(env_host(), false);
            const struct turn *t = &talk_mem.turns[lost];
            bool to_target = pdu_type_of(t->bhs[0])->from == PDU_FROM_INITIATOR;
            open_all(r);
            feed(r, &talk_mem, 0, lost);
            for (int dir = 0; dir < 2; dir++) /* damage on a way is found in both directions of a capture */
                referee_gap(r, t->conn + 1u, dir ? TAP_TO_INITIATOR : TAP_TO_TARGET, true);
            if (!talk_mem.digests || !t->full)
                feed(r, &talk_mem, lost + 1, talk_mem.count);
            (void)to_target;
            expect_none(r, goods[i].name);
            referee_free(r);
        }
    }
}

static void a_start_in_the_middle_is_not_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        goods[i].build(&talk_mem);
        for (size_t start = 1; start < talk_mem.count; start++) {
            struct referee_counts counts;
            /* A later Login Request looks like a first one: nobody can tell, so nobody may begin there. */
            if (pdu_opcode(talk_mem.turns[start].bhs) == PDU_OP_login_request)
                continue;
            struct referee *r = fresh(env_host(), true);
            open_all(r);
            struct talk *k = &talk_mem;
            size_t end = start + 1;
            while (end < k->count && pdu_opcode(k->turns[end].bhs) != PDU_OP_login_request)
                end++;
            feed(r, k, start, end);
            expect_none(r, goods[i].name);
            referee_count(r, &counts);
            assert_true(counts.undecidable > 0);
            referee_free(r);
        }
    }
}

/* ---- memory ---- */

static unsigned allocations, fail_at;

static void *failing_alloc(void *ctx, size_t size, size_t align)
{
    return ++allocations == fail_at ? NULL : env_host()->alloc(ctx, size, align);
}

static void any_allocation_may_fail(void **state)
{
    struct env env = *env_host();
    (void)state;
    env.alloc = failing_alloc;
    env.trace = NULL;
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        goods[i].build(&talk_mem);
        for (fail_at = 1;; fail_at++) {
            allocations = 0;
            struct referee *r = fresh(&env, false);
            if (r) {
                open_all(r);
                feed(r, &talk_mem, 0, talk_mem.count);
                expect_none(r, goods[i].name);
                referee_free(r);
            }
            if (allocations < fail_at)
                break;
        }
    }
}

/* ---- hostile bytes ---- */

/* Bits turned over anywhere: findings are allowed, crashes, leaks and endless loops are not. */
static void damage_is_survived(void **state)
{
    static uint8_t bytes[TALK_DATA + 2048];
    uint64_t seed = 88172645463325252u;
    struct env env = *env_host();
    (void)state;
    env.trace = NULL;
    for (unsigned round = 0; round < 400; round++) {
        goods[round % (sizeof goods / sizeof goods[0])].build(&talk_mem);
        struct referee *r = fresh(&env, round % 5 == 0);
        struct tap *tap = referee_tap(r);
        open_all(r);
        for (size_t i = 0; i < talk_mem.count; i++) {
            const struct turn *t = &talk_mem.turns[i];
            uint32_t len = turn_bytes(&talk_mem, t, bytes);
            for (unsigned n = 0; n < 3; n++) {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                if (seed % 4 == 0) /* lengths mostly stay, else all that follows is noise */
                    bytes[(seed >> 8) % (len < 60 ? len : 60)] ^= (uint8_t)(1u << (seed >> 40) % 8);
            }
            be24_put(bytes + 5, t->data_len);
            bytes[4] = (uint8_t)(t->ahs_len / 4);
            struct io_vec place = {bytes, len};
            bool to_target = pdu_type_of(t->bhs[0])->from == PDU_FROM_INITIATOR;
            tap->bytes(tap, t->conn + 1u, to_target ? TAP_TO_TARGET : TAP_TO_INITIATOR, &place, 1, len, i);
        }
        referee_free(r);
    }
}

static void findings_beyond_the_limit_are_counted(void **state)
{
    struct referee_finding f;
    struct referee_counts counts;
    unsigned kept = 0;
    (void)state;
    good_normal(&talk_mem);
    for (size_t i = 0; i < talk_mem.count; i++) /* reserved bits of every PDU that has a last reserved word */
        if (has(&talk_mem.turns[i], "data_sn") == false &&
            pdu_opcode(talk_mem.turns[i].bhs) != PDU_OP_scsi_command &&
            pdu_opcode(talk_mem.turns[i].bhs) != PDU_OP_scsi_response &&
            pdu_opcode(talk_mem.turns[i].bhs) != PDU_OP_r2t)
            talk_mem.turns[i].bhs[47] = 1;
    struct referee *r = fresh(env_host(), false);
    open_all(r);
    feed(r, &talk_mem, 0, talk_mem.count);
    while (referee_next(r, &f))
        kept++;
    referee_count(r, &counts);
    assert_int_equal(kept, 4);
    assert_true(counts.findings > 20);
    referee_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_at_the_initiator),
        cmocka_unit_test(good_at_the_target),
        cmocka_unit_test(good_between),
        cmocka_unit_test(good_byte_by_byte),
        cmocka_unit_test(a_gap_is_not_judged),
        cmocka_unit_test(a_start_in_the_middle_is_not_judged),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(findings_beyond_the_limit_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
