/* Goal: CHAP proves who knows a secret, in one direction or both, with each algorithm and encoding; every
 * other course of the exchange ends in the right failure. Method: responses computed beforehand with another
 * implementation of the hashes (Python's hashlib); an initiator and a target that talk to each other through
 * text; tables of texts ('|' stands for NUL) for all that can go wrong. Hashes are those of env_host, random
 * bytes are counted up so that each run is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/iscsi/chap.h"
#include "tests/unit/proves.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- a world with predictable random bytes that counts hashes ---- */

static uint8_t next_byte;
static unsigned hashes;
static bool repeat_random; /* every call gives the same bytes */
static int hash_missing = -1;

static void test_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    uint8_t *p = buf;
    for (size_t i = 0; i < len; i++)
        p[i] = repeat_random ? (uint8_t)(0x10 + i) : next_byte++;
}

static size_t test_hash(void *ctx, enum hash_alg alg, const struct bytes *parts, size_t count, uint8_t *out)
{
    (void)ctx;
    hashes++;
    return (int)alg == hash_missing ? 0 : env_host()->hash(env_host()->ctx, alg, parts, count, out);
}

static const struct env env = {.random = test_random, .hash = test_hash};

static int reset_world(void **state)
{
    (void)state;
    next_byte = 0x0f; /* the identifier is 0x0f, the challenge 10 11 12 ... */
    repeat_random = false;
    hash_missing = -1;
    hashes = 0;
    return 0;
}

/* ---- users ---- */

#define SECRET_IN  "correct horse 12"
#define SECRET_OUT "battery staple 3"

static struct chap_secret secret_of(const char *name, const char *secret)
{
    return (struct chap_secret){name, (const uint8_t *)secret, secret ? strlen(secret) : 0};
}

static const char *out_secret = SECRET_OUT; /* of alice; NULL: none */

static bool find_user(void *ctx, const char *name, struct chap_user *out)
{
    (void)ctx;
    if (strcmp(name, "alice") != 0)
        return false;
    out->in = secret_of(NULL, SECRET_IN);
    out->out = secret_of(out_secret ? "target" : NULL, out_secret);
    return true;
}

static const struct chap_lookup lookup = {NULL, find_user};
static struct chap_target target;
static struct chap_initiator initiator;
static char target_text[4096], initiator_text[4096];
static struct text_writer target_w, initiator_w;

static void new_target(bool base64)
{
    struct chap_algs algs = chap_algs_default();
    chap_target_init(&target, &env, &lookup, &algs, base64);
}

static void new_initiator(const char *own, const char *mutual, struct chap_algs algs, bool base64)
{
    struct chap_initiator_config config = {.own = secret_of("alice", own),
                                           .mutual = secret_of("target", mutual),
                                           .algs = algs,
                                           .base64 = base64};
    chap_initiator_init(&initiator, &env, &config);
    text_writer_init(&initiator_w, initiator_text, sizeof initiator_text);
}

/* ---- texts ---- */

typedef enum chap_verdict take_key(void *side, enum key_id id, struct text_range value);

static enum chap_verdict target_key(void *side, enum key_id id, struct text_range value)
{
    return chap_target_key(side, id, value);
}

static enum chap_verdict initiator_key(void *side, enum key_id id, struct text_range value)
{
    return chap_initiator_key(side, id, value);
}

static enum chap_verdict feed(take_key *take, void *side, const char *text, size_t len)
{
    struct text_parser p;
    struct text_range key, value;
    text_parser_init(&p, text, len, len);
    while (text_parser_next(&p, &key, &value) == TEXT_PAIR)
        if (take(side, key_find(key), value) == CHAP_FAIL)
            return CHAP_FAIL;
    assert_null(p.rule);
    return CHAP_CONTINUE;
}

/* A text is heard and the step taken; the answer is in target_text. */
static enum chap_verdict target_hears(const char *text, size_t len)
{
    text_writer_init(&target_w, target_text, sizeof target_text);
    if (feed(target_key, &target, text, len) == CHAP_FAIL)
        return CHAP_FAIL;
    return chap_target_step(&target, &target_w);
}

static enum chap_verdict initiator_hears(const char *text, size_t len)
{
    text_writer_init(&initiator_w, initiator_text, sizeof initiator_text);
    if (feed(initiator_key, &initiator, text, len) == CHAP_FAIL)
        return CHAP_FAIL;
    return chap_initiator_step(&initiator, &initiator_w);
}

static char words_buf[8192];

static size_t to_text(const char *words)
{
    size_t len = strlen(words);
    assert_true(len < sizeof words_buf);
    for (size_t i = 0; i < len; i++)
        words_buf[i] = words[i] == '|' ? '\0' : words[i];
    return len;
}

static enum chap_verdict target_hears_words(const char *words)
{
    size_t len = to_text(words);
    return target_hears(words_buf, len);
}

static enum chap_verdict initiator_hears_words(const char *words)
{
    size_t len = to_text(words);
    return initiator_hears(words_buf, len);
}

static const char *said(const struct text_writer *w)
{
    static char out[4097];
    for (size_t i = 0; i < w->len; i++)
        out[i] = w->buf[i] ? w->buf[i] : '|';
    out[w->len] = 0;
    return out;
}

/* ---- known answers ---- */

static const struct {
    enum chap_alg alg;
    size_t len;
    const char *hex, *base64; /* of H(2a, SECRET_IN, 10 11 12 ...) */
} vectors[] = {
    {CHAP_MD5, 16, "0x4d1007136e47b5e910bf87e4fe7b9015", "0bTRAHE25HtekQv4fk/nuQFQ=="},
    {CHAP_SHA1, 20, "0xe678fc54cfb5481239a153cc384fc3f6a4c56b61", "0b5nj8VM+1SBI5oVPMOE/D9qTFa2E="},
    {CHAP_SHA256, 32, "0x0b13167ab1c6aa79259c8b4f5eb5d04891db3367a8ba912a2c1ae1386c9d9dde",
     "0bCxMWerHGqnklnItPXrXQSJHbM2eoupEqLBrhOGydnd4="},
    {CHAP_SHA3_256, 32, "0x01529369af2e90637e4fcf60a2bba7fb08833d8e7ffd5778a648517869d99940",
     "0bAVKTaa8ukGN+T89gorun+wiDPY5//Vd4pkhReGnZmUA="},
};

static void responses_are_those_of_an_independent_implementation(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        uint8_t challenge[32], out[HASH_LEN_MAX], expected[32];
        size_t expected_len;
        for (size_t k = 0; k < sizeof challenge; k++)
            challenge[k] = (uint8_t)(0x10 + k);
        assert_int_equal(chap_hash_len(vectors[i].alg), vectors[i].len);
        assert_int_equal(chap_response(&env, vectors[i].alg, 0x2a, SECRET_IN, strlen(SECRET_IN), challenge,
                                       vectors[i].len, out),
                         vectors[i].len);
        assert_int_equal(
            text_decode_binary(text_range_of(vectors[i].hex), expected, sizeof expected, &expected_len),
            TEXT_BINARY_OK);
        assert_memory_equal(out, expected, vectors[i].len);
        assert_int_equal(
            text_decode_binary(text_range_of(vectors[i].base64), expected, sizeof expected, &expected_len),
            TEXT_BINARY_OK);
        assert_memory_equal(out, expected, vectors[i].len);
    }
    assert_int_equal(chap_hash_len(4), 0);
    assert_int_equal(chap_hash_len(9), 0);
    PROVES("R7143-12.1.3-09", "both");
    PROVES("R7143-12.1.3-11", "both");
}

/* The target accepts the known response in either encoding, against its own (predictable) challenge. */
static void target_accepts_the_known_response(void **state)
{
    for (size_t i = 0; i < COUNT(vectors); i++)
        for (int base64 = 0; base64 < 2; base64++) {
            char words[200];
            reset_world(state);
            repeat_random = true; /* identifier 10, challenge 10 11 12 ...: the vectors want identifier 2a */
            new_target(false);
            snprintf(words, sizeof words, "CHAP_A=99,%d|", vectors[i].alg);
            assert_int_equal(target_hears_words(words), CHAP_CONTINUE);
            snprintf(words, sizeof words, "CHAP_A=%d|CHAP_I=16|CHAP_C=0x101112131415161718191a1b1c1d1e1f",
                     vectors[i].alg);
            assert_memory_equal(said(&target_w), words, strlen(words));
            target.auth.id = 0x2a;
            snprintf(words, sizeof words, "CHAP_N=alice|CHAP_R=%s|",
                     base64 ? vectors[i].base64 : vectors[i].hex);
            assert_int_equal(target_hears_words(words), CHAP_DONE);
            assert_string_equal(target.name, "alice");
            assert_false(target.mutual);
            assert_int_equal(target_w.len, 0);
        }
    PROVES("R7143-12.1.3-02", "target");
    PROVES("R7143-6.1-12", "both");
}

static void initiator_gives_the_known_response(void **state)
{
    for (size_t i = 0; i < COUNT(vectors); i++)
        for (int base64 = 0; base64 < 2; base64++) {
            char words[400], challenge[80] = "0x";
            reset_world(state);
            new_initiator(SECRET_IN, NULL, chap_algs_default(), base64);
            assert_int_equal(chap_initiator_start(&initiator, &initiator_w), CHAP_CONTINUE);
            assert_string_equal(said(&initiator_w), "CHAP_A=8,7,6,5|");
            for (size_t k = 0; k < vectors[i].len; k++)
                snprintf(challenge + 2 + 2 * k, 3, "%02X", (unsigned)(0x10 + k));
            snprintf(words, sizeof words, "CHAP_A=%d|CHAP_I=0x2A|CHAP_C=%s|", vectors[i].alg, challenge);
            assert_int_equal(initiator_hears_words(words), CHAP_DONE);
            snprintf(words, sizeof words, "CHAP_N=alice|CHAP_R=%s|",
                     base64 ? vectors[i].base64 : vectors[i].hex);
            assert_string_equal(said(&initiator_w), words);
        }
    PROVES("R7143-12.1.3-01", "initiator");
    PROVES("R7143-12.1.3-03", "initiator");
}

/* ---- both sides together ---- */

static void both_sides_agree_in_every_variant(void **state)
{
    for (unsigned bits = 0; bits < 8; bits++)
        for (size_t i = 0; i < COUNT(vectors); i++) {
            bool mutual = bits & 1, base64_i = bits & 2, base64_t = bits & 4;
            struct chap_algs algs = {1, {(uint8_t)vectors[i].alg}};
            reset_world(state);
            new_target(base64_t);
            new_initiator(SECRET_IN, mutual ? SECRET_OUT : NULL, algs, base64_i);
            assert_int_equal(chap_initiator_start(&initiator, &initiator_w), CHAP_CONTINUE);
            assert_int_equal(target_hears(initiator_text, initiator_w.len), CHAP_CONTINUE);
            assert_non_null(strstr(said(&target_w), base64_t ? "CHAP_C=0b" : "CHAP_C=0x"));
            assert_int_equal(initiator_hears(target_text, target_w.len), mutual ? CHAP_CONTINUE : CHAP_DONE);
            assert_non_null(strstr(said(&initiator_w), base64_i ? "CHAP_R=0b" : "CHAP_R=0x"));
            assert_int_equal(strstr(said(&initiator_w), "CHAP_C") != NULL, mutual);
            assert_int_equal(target_hears(initiator_text, initiator_w.len), CHAP_DONE);
            assert_int_equal(target.auth.alg, vectors[i].alg);
            assert_int_equal(target.mutual, mutual);
            if (mutual) {
                assert_memory_not_equal(initiator.auth.challenge, target.auth.challenge, vectors[i].len);
                assert_int_equal(initiator_hears(target_text, target_w.len), CHAP_DONE);
                assert_string_equal(initiator.peer_name, "target");
            }
            assert_int_equal(target_w.len == 0, !mutual);
            assert_int_equal(chap_target_step(&target, &target_w), CHAP_DONE); /* and it stays so */
            assert_int_equal(chap_initiator_step(&initiator, &initiator_w), CHAP_DONE);
        }
    PROVES("R7143-9.2.1-01", "both");
    PROVES("R7143-12.1.3-05", "target");
    PROVES("R7143-12.1.3-08", "both");
    PROVES("R7143-9.2.1-11", "initiator");
    PROVES("R7143-12.1-05", "both");
}

static void secrets_of_many_lengths_work(void **state)
{
    (void)state;
    char secret[CHAP_SECRET_LEN_MAX + 1];
    for (size_t len = 1; len <= CHAP_SECRET_LEN_MAX; len += len < 40 ? 1 : 43) {
        struct chap_auth auth;
        uint8_t response[HASH_LEN_MAX];
        memset(secret, 0x5a, len);
        chap_auth_init(&auth, &env, CHAP_SHA256);
        size_t n =
            chap_response(&env, auth.alg, auth.id, secret, len, auth.challenge, auth.challenge_len, response);
        assert_true(chap_auth_verify(&auth, &env, secret, len, response, n));
    }
    PROVES("R7143-9.2.1-02", "both");
}

/* ---- what the target refuses ---- */

#define MISSING KEYS_STATUS_MISSING_PARAMETER
#define WRONG   KEYS_STATUS_INITIATOR_ERROR
#define DENIED  KEYS_STATUS_AUTH_FAILURE

static void expect_target_failure(enum chap_verdict verdict, uint16_t status, const char *words)
{
    if (verdict != CHAP_FAIL || target.failure.status != status || !target.failure.reason)
        fail_msg("%s: verdict %d, status %04x", words, verdict, target.failure.status);
    assert_int_equal(target.state, CHAP_TARGET_FAILED);
    assert_int_equal(chap_target_step(&target, &target_w), CHAP_FAIL); /* no way back */
}

static void the_first_step_is_an_algorithm(void **state)
{
    static const struct {
        const char *words;
        uint16_t status;
    } rows[] = {{"", MISSING},           {"CHAP_A=|", WRONG},
                {"CHAP_A=x|", WRONG},    {"CHAP_A=5,|", WRONG},
                {"CHAP_A=4|", DENIED},   {"CHAP_A=0|", DENIED},
                {"CHAP_A=261|", DENIED}, {"CHAP_A=5|CHAP_A=5|", WRONG},
                {"CHAP_N=a|", WRONG},    {"CHAP_A=5|CHAP_I=1|", WRONG},
                {"CHAP_C=0x00|", WRONG}, {"SRP_U=x|", WRONG},
                {"CHAP_R=0x00|", WRONG}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        reset_world(state);
        new_target(false);
        expect_target_failure(target_hears_words(rows[i].words), rows[i].status, rows[i].words);
    }
    PROVES("R7143-9.2-05", "target");
    PROVES("R7143-6.3-22", "target");
}

/* An exchange up to the challenge, with MD5; *good is the right CHAP_N and CHAP_R. */
static void challenge(void **state, char *good, size_t cap)
{
    uint8_t r[HASH_LEN_MAX];
    struct text_writer w;
    reset_world(state);
    new_target(false);
    assert_int_equal(target_hears_words("CHAP_A=5|"), CHAP_CONTINUE);
    size_t n = chap_response(&env, CHAP_MD5, target.auth.id, SECRET_IN, strlen(SECRET_IN),
                             target.auth.challenge, target.auth.challenge_len, r);
    text_writer_init(&w, good, cap);
    assert_true(text_add(&w, "CHAP_N", "alice") && text_add_hex(&w, "CHAP_R", r, n));
    assert_true(w.len < cap);
    memcpy(good, said(&w), w.len + 1);
}

static void the_second_step_is_name_and_response(void **state)
{
    static const struct {
        const char *words; /* "+" stands for the right CHAP_N and CHAP_R */
        uint16_t status;   /* 0: fine */
    } rows[] = {
        {"+", 0},
        {"", MISSING},
        {"CHAP_N=alice|", MISSING},
        {"CHAP_R=0x00112233445566778899aabbccddeeff|", MISSING},
        /* the reflection attack of 9.2: no response, but our own challenge back */
        {"CHAP_N=alice|CHAP_I=15|CHAP_C=0x101112131415161718191a1b1c1d1e1f|", MISSING},
        {"+CHAP_I=15|CHAP_C=0x101112131415161718191a1b1c1d1e1f|", DENIED},
        {"+CHAP_I=99|CHAP_C=0bEBESExQVFhcYGRobHB0eHw==|", DENIED},
        {"+CHAP_I=1|", MISSING},
        {"+CHAP_C=0x00|", MISSING},
        {"+CHAP_I=1|CHAP_C=0x00|", 0},
        {"+CHAP_I=256|CHAP_C=0x00|", WRONG},
        {"+CHAP_I=-1|CHAP_C=0x00|", WRONG},
        {"+CHAP_I=1|CHAP_C=0x|", WRONG},
        {"+CHAP_I=1|CHAP_C=1234|", WRONG},
        {"+CHAP_I=1|CHAP_C=0bA|", WRONG},
        {"+CHAP_A=5|", WRONG},
        {"+CHAP_N=alice|", WRONG},
        {"CHAP_N=alice|CHAP_R=0x00112233445566778899aabbccddeeff|", DENIED},
        {"CHAP_N=alice|CHAP_R=0x00|", DENIED},
        {"CHAP_N=alice|CHAP_R=0x000000000000000000000000000000000000000000000000000000000000000000|", DENIED},
        {"CHAP_N=alice|CHAP_R=zzz|", WRONG},
        {"CHAP_N=alice|CHAP_R=|", WRONG},
        {"CHAP_N=|CHAP_R=0x00112233445566778899aabbccddeeff|", DENIED},
        {"CHAP_N=mallory|CHAP_R=0x00112233445566778899aabbccddeeff|", DENIED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char good[200], words[600];
        challenge(state, good, sizeof good);
        bool plus = rows[i].words[0] == '+';
        snprintf(words, sizeof words, "%s%s", plus ? good : "", rows[i].words + plus);
        enum chap_verdict verdict = target_hears_words(words);
        if (rows[i].status)
            expect_target_failure(verdict, rows[i].status, words);
        else
            assert_int_equal(verdict, CHAP_DONE);
    }
    PROVES("R7143-9.2-06", "target");
    PROVES("R7143-9.2-07", "target");
    PROVES("R7143-9.2.1-12", "target");
    PROVES("R7143-12.1.3-04", "target");
}

static void each_wrong_bit_of_a_response_is_refused(void **state)
{
    for (unsigned bit = 0; bit < 128; bit++) {
        char good[200], *r;
        challenge(state, good, sizeof good);
        r = strstr(good, "CHAP_R=0x") + 9;
        static const char digits[] = "0123456789abcdef";
        long value = strchr(digits, r[bit / 4]) - digits;
        r[bit / 4] = digits[value ^ (1 << bit % 4)];
        expect_target_failure(target_hears_words(good), DENIED, good);
    }
}

static void unknown_user_and_wrong_secret_look_the_same(void **state)
{
    char good[200];
    unsigned cost[2];
    const char *reason[2];
    static const char *const words[] = {"CHAP_N=alice|CHAP_R=0x00112233445566778899aabbccddeeff|",
                                        "CHAP_N=nobody|CHAP_R=0x00112233445566778899aabbccddeeff|"};
    for (int i = 0; i < 2; i++) {
        challenge(state, good, sizeof good);
        hashes = 0;
        assert_int_equal(target_hears_words(words[i]), CHAP_FAIL);
        cost[i] = hashes;
        reason[i] = target.failure.reason;
    }
    assert_int_equal(cost[0], cost[1]);
    assert_true(cost[0] > 0);
    assert_string_equal(reason[0], reason[1]);
}

static void keys_after_the_end_are_refused(void **state)
{
    char good[200];
    challenge(state, good, sizeof good);
    assert_int_equal(target_hears_words(good), CHAP_DONE);
    assert_int_equal(target_hears_words("CHAP_N=bob|"), CHAP_FAIL);
}

/* ---- secrets ---- */

static void one_secret_for_both_directions_is_refused(void **state)
{
    char good[200], words[300];
    struct chap_secret in = secret_of("a", SECRET_IN), out = secret_of("b", SECRET_IN),
                       other = secret_of("b", SECRET_OUT);
    assert_non_null(chap_secrets_check(&in, &out));
    assert_null(chap_secrets_check(&in, &other));
    assert_null(chap_secrets_check(&in, NULL));
    /* configured all the same: the target refuses the response that it could have given itself */
    out_secret = SECRET_IN;
    challenge(state, good, sizeof good);
    snprintf(words, sizeof words, "%sCHAP_I=1|CHAP_C=0x0011|", good);
    expect_target_failure(target_hears_words(words), DENIED, words);
    challenge(state, good, sizeof good); /* also when it is not challenged */
    expect_target_failure(target_hears_words(good), DENIED, good);
    out_secret = SECRET_OUT;
    /* and the initiator does not even begin */
    new_initiator(SECRET_IN, SECRET_IN, chap_algs_default(), false);
    assert_int_equal(chap_initiator_start(&initiator, &initiator_w), CHAP_FAIL);
    assert_int_equal(initiator_w.len, 0);
    PROVES("R7143-9.2.1-08", "both");
    PROVES("R7143-9.2.1-09", "both");
}

static void secrets_have_sensible_forms(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    struct chap_secret none = secret_of("a", NULL), nameless = secret_of("", SECRET_IN),
                       big = secret_of("a", SECRET_IN), long_name = secret_of(name, SECRET_IN);
    big.secret_len = CHAP_SECRET_LEN_MAX + 1;
    assert_non_null(chap_secrets_check(&none, NULL));
    assert_non_null(chap_secrets_check(&nameless, NULL));
    assert_non_null(chap_secrets_check(&big, NULL));
    assert_non_null(chap_secrets_check(&long_name, NULL));
}

static void a_target_without_a_secret_of_its_own_refuses_to_be_challenged(void **state)
{
    char good[200], words[300];
    out_secret = NULL;
    challenge(state, good, sizeof good);
    snprintf(words, sizeof words, "%sCHAP_I=1|CHAP_C=0x0011|", good);
    expect_target_failure(target_hears_words(words), DENIED, words);
    out_secret = SECRET_OUT;
    PROVES("R7143-12.1.3-05", "target");
}

static void a_challenge_is_good_for_one_response(void **state)
{
    (void)state;
    struct chap_auth auth;
    uint8_t r[HASH_LEN_MAX];
    chap_auth_init(&auth, &env, CHAP_MD5);
    assert_int_equal(auth.challenge_len, 16);
    size_t n = chap_response(&env, auth.alg, auth.id, "s", 1, auth.challenge, auth.challenge_len, r);
    assert_true(chap_auth_verify(&auth, &env, "s", 1, r, n));
    assert_false(chap_auth_verify(&auth, &env, "s", 1, r, n));
    chap_auth_init(&auth, &env, CHAP_MD5); /* a new challenge makes the old response worthless */
    assert_false(chap_auth_verify(&auth, &env, "s", 1, r, n));
    chap_auth_init(&auth, &env, CHAP_MD5);
    n = chap_response(&env, auth.alg, auth.id, "s", 1, auth.challenge, auth.challenge_len, r);
    assert_false(chap_auth_verify(&auth, &env, "s", 1, r, n - 1));
    assert_false(chap_auth_verify(&auth, &env, "s", 1, r, n)); /* the first try has spent it */
}

/* ---- sizes ---- */

/* "CHAP_I=1|CHAP_C=..." with `len` bytes in hexadecimal or base64. */
static void long_challenge(char *out, size_t cap, size_t len, bool base64)
{
    static uint8_t bytes[2000];
    struct text_writer w;
    memset(bytes, 0xa5, sizeof bytes);
    text_writer_init(&w, out, cap - 1);
    assert_true(text_add_number(&w, "CHAP_I", 1));
    assert_true(base64 ? text_add_base64(&w, "CHAP_C", bytes, len) : text_add_hex(&w, "CHAP_C", bytes, len));
    out[w.len] = 0;
    for (size_t i = 0; i < w.len; i++)
        if (!out[i])
            out[i] = '|';
}

static void challenges_end_at_1024_bytes(void **state)
{
    static const size_t lens[] = {1, 15, 16, 255, 1022, 1023, 1024, 1025, 1026, 1027, 1028, 1500};
    for (size_t i = 0; i < COUNT(lens); i++)
        for (int base64 = 0; base64 < 2; base64++) {
            char good[200], tail[5000], words[5300];
            long_challenge(tail, sizeof tail, lens[i], base64);
            challenge(state, good, sizeof good);
            snprintf(words, sizeof words, "%s%s", good, tail);
            enum chap_verdict verdict = target_hears_words(words);
            if (lens[i] > 1024)
                expect_target_failure(verdict, WRONG, "long CHAP_C");
            else
                assert_int_equal(verdict, CHAP_DONE);
            new_initiator(SECRET_IN, NULL, chap_algs_default(), false);
            assert_int_equal(chap_initiator_start(&initiator, &initiator_w), CHAP_CONTINUE);
            snprintf(words, sizeof words, "CHAP_A=5|%s", tail);
            assert_int_equal(initiator_hears_words(words), lens[i] > 1024 ? CHAP_FAIL : CHAP_DONE);
        }
    char good[200], r[5000], words[5300];
    challenge(state, good, sizeof good);
    long_challenge(r, sizeof r, 1025, true);
    snprintf(words, sizeof words, "CHAP_N=alice|CHAP_R=%s", strstr(r, "0b"));
    expect_target_failure(target_hears_words(words), WRONG, "long CHAP_R");
    PROVES("R7143-12.1.3-07", "both");
}

static void names_end_at_255_bytes(void **state)
{
    for (size_t len = 254; len <= 257; len++) {
        char good[200], words[600] = "CHAP_N=";
        challenge(state, good, sizeof good);
        memset(words + 7, 'n', len);
        strcpy(words + 7 + len, "|CHAP_R=0x00112233445566778899aabbccddeeff|");
        expect_target_failure(target_hears_words(words), len > 255 ? WRONG : DENIED, words);
    }
}

static void an_answer_that_does_not_fit_fails(void **state)
{
    for (size_t cap = 0; cap < 61; cap++) { /* CHAP_A=5 CHAP_I=15 CHAP_C=0x(32 digits): 9 + 10 + 42 */
        reset_world(state);
        new_target(false);
        assert_int_equal(feed(target_key, &target, "CHAP_A=5", 9), CHAP_CONTINUE);
        text_writer_init(&target_w, target_text, cap);
        assert_int_equal(chap_target_step(&target, &target_w), CHAP_FAIL);
        assert_int_equal(target.failure.status, KEYS_STATUS_OUT_OF_RESOURCES);
    }
}

/* ---- what the initiator refuses ---- */

static void a_targets_challenge_must_fit_the_offer(void **state)
{
    static const struct {
        const char *words;
        bool fine;
    } rows[] = {
        {"CHAP_A=5|CHAP_I=0|CHAP_C=0x00|", true},
        {"CHAP_A=7|CHAP_I=255|CHAP_C=0bAA==|", true},
        {"CHAP_A=6|CHAP_I=0|CHAP_C=0x00|", false}, /* not offered below */
        {"CHAP_A=5,7|CHAP_I=0|CHAP_C=0x00|", false},
        {"CHAP_A=9|CHAP_I=0|CHAP_C=0x00|", false},
        {"CHAP_A=|CHAP_I=0|CHAP_C=0x00|", false},
        {"CHAP_I=0|CHAP_C=0x00|", false},
        {"CHAP_A=5|CHAP_C=0x00|", false},
        {"CHAP_A=5|CHAP_I=0|", false},
        {"CHAP_A=5|CHAP_I=256|CHAP_C=0x00|", false},
        {"CHAP_A=5|CHAP_I=0|CHAP_C=|", false},
        {"CHAP_A=5|CHAP_I=0|CHAP_C=0x00|CHAP_N=t|", false},
        {"CHAP_A=5|CHAP_I=0|CHAP_C=0x00|CHAP_C=0x00|", false},
        {"", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        reset_world(state);
        new_initiator(SECRET_IN, NULL, (struct chap_algs){1, {CHAP_SHA256}}, false);
        assert_int_equal(chap_initiator_start(&initiator, &initiator_w), CHAP_CONTINUE);
        assert_string_equal(said(&initiator_w), "CHAP_A=7,5|"); /* MD5 is always there */
        enum chap_verdict verdict = initiator_hears_words(rows[i].words);
        if (verdict != (rows[i].fine ? CHAP_DONE : CHAP_FAIL))
            fail_msg("%s", rows[i].words);
        if (!rows[i].fine)
            assert_int_equal(chap_initiator_step(&initiator, &initiator_w), CHAP_FAIL);
    }
    PROVES("R7143-9.2-04", "initiator");
    PROVES("R7143-12.1.3-10", "initiator");
}

static void a_target_that_fails_to_prove_itself_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "CHAP_N=target|",
                                        "CHAP_R=0x00112233445566778899aabbccddeeff|",
                                        "CHAP_N=target|CHAP_R=0x00112233445566778899aabbccddeeff|",
                                        "CHAP_N=target|CHAP_R=0x00|",
                                        "CHAP_A=5|",
                                        "CHAP_N=target|CHAP_R=+|CHAP_I=1|",
                                        "CHAP_N=other|CHAP_R=+|"};
    for (size_t i = 0; i <= COUNT(wrong); i++) {
        char hex[70] = "0x", words[300] = "";
        uint8_t r[HASH_LEN_MAX];
        reset_world(state);
        new_initiator(SECRET_IN, SECRET_OUT, (struct chap_algs){0}, false);
        assert_int_equal(chap_initiator_start(&initiator, &initiator_w), CHAP_CONTINUE);
        assert_int_equal(initiator_hears_words("CHAP_A=5|CHAP_I=0|CHAP_C=0x00|"), CHAP_CONTINUE);
        const struct chap_auth *a = &initiator.auth;
        size_t n = chap_response(&env, CHAP_MD5, a->id, SECRET_OUT, strlen(SECRET_OUT), a->challenge,
                                 a->challenge_len, r);
        for (size_t k = 0; k < n; k++)
            snprintf(hex + 2 + 2 * k, 3, "%02x", r[k]);
        /* the last round is the right proof */
        const char *row = i < COUNT(wrong) ? wrong[i] : "CHAP_N=target|CHAP_R=+|", *plus = strchr(row, '+');
        if (plus)
            snprintf(words, sizeof words, "%.*s%s%s", (int)(plus - row), row, hex, plus + 1);
        assert_int_equal(initiator_hears_words(plus ? words : row), i < COUNT(wrong) ? CHAP_FAIL : CHAP_DONE);
    }
    PROVES("R7143-12.1.3-06", "initiator");
}

static void one_way_initiators_take_no_more_keys(void **state)
{
    reset_world(state);
    new_initiator(SECRET_IN, NULL, (struct chap_algs){0}, false);
    assert_int_equal(chap_initiator_start(&initiator, &initiator_w), CHAP_CONTINUE);
    assert_int_equal(initiator_hears_words("CHAP_A=5|CHAP_I=0|CHAP_C=0x00|"), CHAP_DONE);
    assert_int_equal(initiator_hears_words("CHAP_N=t|CHAP_R=0x00|"), CHAP_FAIL);
}

static void a_broken_random_source_is_noticed(void **state)
{
    reset_world(state);
    repeat_random = true; /* our challenge would be the target's */
    new_initiator(SECRET_IN, SECRET_OUT, (struct chap_algs){0}, false);
    assert_int_equal(chap_initiator_start(&initiator, &initiator_w), CHAP_CONTINUE);
    assert_int_equal(initiator_hears_words("CHAP_A=5|CHAP_I=0|CHAP_C=0x101112131415161718191a1b1c1d1e1f|"),
                     CHAP_FAIL);
}

static void hashes_that_are_missing_are_not_used(void **state)
{
    reset_world(state);
    hash_missing = HASH_SHA3_256;
    new_initiator(SECRET_IN, NULL, chap_algs_default(), false);
    assert_int_equal(chap_initiator_start(&initiator, &initiator_w), CHAP_CONTINUE);
    assert_string_equal(said(&initiator_w), "CHAP_A=7,6,5|");
    new_target(false);
    assert_int_equal(target_hears_words("CHAP_A=8,7|"), CHAP_CONTINUE);
    assert_int_equal(target.auth.alg, CHAP_SHA256);
    new_target(false);
    expect_target_failure(target_hears_words("CHAP_A=8|"), DENIED, "CHAP_A=8|");
}

/* ---- junk ---- */

static void random_texts_are_survived(void **state)
{
    static const char *const values[] = {"5",
                                         "7,5",
                                         "0x00",
                                         "0bAA==",
                                         "alice",
                                         "",
                                         "255",
                                         "0x",
                                         "0b====",
                                         ",,",
                                         "\xff",
                                         "0x00112233445566778899aabbccddeeff",
                                         "99999999999999999999"};
    srand(5);
    for (int round = 0; round < 3000; round++) {
        char good[200];
        if (round % 2)
            challenge(state, good, sizeof good);
        else
            new_target(round % 4);
        new_initiator(SECRET_IN, round % 3 ? SECRET_OUT : NULL, chap_algs_default(), false);
        if (round % 5)
            (void)chap_initiator_start(&initiator, &initiator_w);
        text_writer_init(&target_w, target_text, sizeof target_text);
        bool target_alive = true, initiator_alive = true;
        for (int pair = 0; pair < 4; pair++) {
            const char *value = values[(size_t)rand() % COUNT(values)];
            enum key_id id = (enum key_id)(KEY_CHAP_A + rand() % 6);
            char *exact = malloc(strlen(value) + 1);
            memcpy(exact, value, strlen(value));
            struct text_range range = {exact, strlen(value)};
            if (target_alive)
                target_alive = chap_target_key(&target, id, range) != CHAP_FAIL;
            if (initiator_alive)
                initiator_alive = chap_initiator_key(&initiator, id, range) != CHAP_FAIL;
            free(exact);
        }
        if (target_alive)
            assert_int_not_equal(chap_target_step(&target, &target_w), CHAP_DONE);
        if (initiator_alive)
            (void)chap_initiator_step(&initiator, &initiator_w);
    }
}

#define TEST(f) cmocka_unit_test_setup(f, reset_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(responses_are_those_of_an_independent_implementation),
        TEST(target_accepts_the_known_response),
        TEST(initiator_gives_the_known_response),
        TEST(both_sides_agree_in_every_variant),
        TEST(secrets_of_many_lengths_work),
        TEST(the_first_step_is_an_algorithm),
        TEST(the_second_step_is_name_and_response),
        TEST(each_wrong_bit_of_a_response_is_refused),
        TEST(unknown_user_and_wrong_secret_look_the_same),
        TEST(keys_after_the_end_are_refused),
        TEST(one_secret_for_both_directions_is_refused),
        TEST(secrets_have_sensible_forms),
        TEST(a_target_without_a_secret_of_its_own_refuses_to_be_challenged),
        TEST(a_challenge_is_good_for_one_response),
        TEST(challenges_end_at_1024_bytes),
        TEST(names_end_at_255_bytes),
        TEST(an_answer_that_does_not_fit_fails),
        TEST(a_targets_challenge_must_fit_the_offer),
        TEST(a_target_that_fails_to_prove_itself_is_refused),
        TEST(one_way_initiators_take_no_more_keys),
        TEST(a_broken_random_source_is_noticed),
        TEST(hashes_that_are_missing_are_not_used),
        TEST(random_texts_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
