/* Goal: PDU boundaries, digests, names and secrets are found in the bytes of a connection, however they are
 * cut. Method: a made-up session goes through the tracker whole, byte by byte and in random pieces, with
 * every combination of digests; the boundaries must be those it was made with. */
#include "tests/unit/capture_harness.h"

#include "common/capture/pdu_track.h"

/* Feeds a PDU in pieces of at most `step` bytes (0: at random); true when exactly its last byte ended it. */
static bool ends_with_last_byte(struct pdu_track *track, enum tap_direction d, uint8_t *bytes, uint32_t len,
                                size_t step, bool hide, uint64_t *seed)
{
    bool ended = false;
    for (uint32_t at = 0; at < len;) {
        size_t n = step ? step : 1 + talk_random(seed) % 100;
        n = n < len - at ? n : len - at;
        if (ended)
            return false;
        size_t used = hide ? pdu_track_feed_hide(track, d, bytes + at, n, &ended)
                           : pdu_track_feed(track, d, bytes + at, n, &ended);
        if (used == 0)
            return false;
        at += (uint32_t)used;
    }
    return ended;
}

static void boundaries_are_found_however_the_bytes_are_cut(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int digests = 0; digests < 4; digests++) {
        struct talk t;
        talk_make(&t, digests & 1, digests & 2, 20);
        const size_t steps[] = {1, 7, 48, 0, 100000};
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            struct pdu_track track;
            pdu_track_init(&track);
            for (int i = 0; i < t.count; i++)
                assert_true(ends_with_last_byte(&track, t.pdu[i].d, t.bytes + t.pdu[i].at, t.pdu[i].len,
                                                steps[s], false, &seed));
            assert_true(track.full_feature);
            assert_int_equal(track.header_digest, digests & 1);
            assert_int_equal(track.data_digest, digests >> 1);
            assert_string_equal(track.initiator, TALK_INITIATOR);
            assert_string_equal(track.target, TALK_TARGET);
        }
        talk_free(&t);
    }
}

static bool contains(const struct talk *t, const char *text)
{
    return memmem(t->bytes, t->len, text, strlen(text)) != NULL;
}

static void secrets_are_overwritten_and_nothing_else(void **state)
{
    (void)state;
    uint64_t seed = 9;
    for (size_t step = 0; step < 60; step++) {
        struct talk t, before;
        struct pdu_track track;
        talk_make(&t, false, false, 4);
        talk_make(&before, false, false, 4);
        pdu_track_init(&track);
        for (int i = 0; i < t.count; i++)
            assert_true(ends_with_last_byte(&track, t.pdu[i].d, t.bytes + t.pdu[i].at, t.pdu[i].len, step,
                                            true, &seed));
        assert_false(contains(&t, TALK_CHALLENGE));
        assert_false(contains(&t, TALK_RESPONSE));
        assert_true(contains(&t, "CHAP_C=0x00000000000000000000000000000000"));
        assert_true(contains(&t, "CHAP_R=0bAAAAAAAAAAAAAAAAAAAAAA=="));
        assert_true(contains(&t, "CHAP_N=alice"));
        unsigned changed = 0;
        for (uint32_t i = 0; i < t.len; i++)
            changed += t.bytes[i] != before.bytes[i];
        assert_true(changed <= strlen(TALK_CHALLENGE) + strlen(TALK_RESPONSE));
        talk_free(&t);
        talk_free(&before);
    }
}

static void a_repeated_offer_does_not_undo_the_answer(void **state)
{
    (void)state;
    /* The initiator says CRC32C alone, the target answers None against the rules, and the initiator says it
     * again. */
    struct talk t = {0};
    struct pdu_login_request request;
    struct pdu_login_response response;
    struct pdu_track track;
    uint8_t bhs[PDU_BHS_LEN];
    uint64_t seed = 1;
    pdu_login_request_init(&request);
    pdu_login_response_init(&response);
    pdu_login_request_encode(&request, bhs);
    talk_add(&t, TAP_TO_TARGET, bhs, "HeaderDigest=CRC32C", 20);
    pdu_login_response_encode(&response, bhs);
    talk_add(&t, TAP_TO_INITIATOR, bhs, "HeaderDigest=None", 18);
    pdu_login_request_encode(&request, bhs);
    talk_add(&t, TAP_TO_TARGET, bhs, "HeaderDigest=CRC32C", 20);
    response.transit = 1;
    response.nsg = 3;
    pdu_login_response_encode(&response, bhs);
    talk_add(&t, TAP_TO_INITIATOR, bhs, NULL, 0);
    pdu_track_init(&track);
    for (int i = 0; i < t.count; i++)
        assert_true(
            ends_with_last_byte(&track, t.pdu[i].d, t.bytes + t.pdu[i].at, t.pdu[i].len, 0, false, &seed));
    assert_true(track.full_feature);
    assert_false(track.header_digest);
    talk_free(&t);
}

static void what_is_missing_inside_a_pdu_keeps_the_boundary_and_more_loses_it(void **state)
{
    (void)state;
    struct talk t;
    struct pdu_track track;
    bool ended;
    talk_make(&t, false, false, 4);
    const struct talk_pdu *p = &t.pdu[0];
    for (uint32_t gap = 1; gap <= p->len - 48 + 1; gap++) {
        pdu_track_init(&track);
        assert_int_equal(pdu_track_feed(&track, p->d, t.bytes, 48, &ended), 48);
        assert_int_equal(pdu_track_rest(&track, p->d), p->len - 48);
        pdu_track_skip(&track, p->d, gap);
        assert_int_equal(track.side[p->d].lost, gap > p->len - 48);
        assert_int_equal(pdu_track_inside(&track, p->d), gap < p->len - 48);
    }
    pdu_track_sync(&track, p->d);
    assert_int_equal(pdu_track_feed(&track, p->d, t.bytes, p->len, &ended), p->len);
    assert_true(ended);
    talk_free(&t);
}

static void only_headers_that_go_this_way_are_plausible(void **state)
{
    (void)state;
    struct talk t;
    uint8_t noise[PDU_BHS_LEN];
    uint64_t seed = 3;
    unsigned fooled = 0;
    talk_make(&t, false, false, 10);
    for (int i = 0; i < t.count; i++) {
        assert_true(pdu_track_plausible(t.bytes + t.pdu[i].at, t.pdu[i].d));
        assert_false(pdu_track_plausible(t.bytes + t.pdu[i].at, !t.pdu[i].d));
    }
    for (int i = 0; i < 100000; i++) {
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (uint8_t)talk_random(&seed);
        fooled += pdu_track_plausible(noise, TAP_TO_TARGET) || pdu_track_plausible(noise, TAP_TO_INITIATOR);
    }
    assert_true(fooled < 100);
    talk_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boundaries_are_found_however_the_bytes_are_cut),
        cmocka_unit_test(secrets_are_overwritten_and_nothing_else),
        cmocka_unit_test(a_repeated_offer_does_not_undo_the_answer),
        cmocka_unit_test(what_is_missing_inside_a_pdu_keeps_the_boundary_and_more_loses_it),
        cmocka_unit_test(only_headers_that_go_this_way_are_plausible),
    };
    return cmocka_run_group_tests_name("capture_track", tests, NULL, NULL);
}
