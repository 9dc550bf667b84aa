/* Goal: every failure of CHAP has its status, reason and requirement; lengths at their limits; credentials
 * that are half there; a random source that repeats itself; buffers of every size. Method: tables of texts
 * against both sides ('|' stands for NUL, '+' for the right response), one exchange each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/iscsi/chap_internal.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static unsigned repeats, randoms; /* so many challenges are the same */
static int hash_missing = -1;

/* An identifier of one byte, then a challenge. */
static void test_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    uint8_t *p = buf;
    if (len > 1)
        randoms++;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(0x10 + i + (len > 1 && randoms > repeats ? randoms : 0));
}

static size_t test_hash(void *ctx, enum hash_alg alg, const struct bytes *parts, size_t count, uint8_t *out)
{
    (void)ctx;
    return (int)alg == hash_missing ? 0 : env_host()->hash(env_host()->ctx, alg, parts, count, out);
}

static const struct env env = {.random = test_random, .hash = test_hash};

static struct chap_user user;
static bool user_known;

static bool find_user(void *ctx, const char *name, struct chap_user *out)
{
    (void)ctx;
    *out = user;
    return user_known && strcmp(name, "alice") == 0;
}

static struct chap_secret secret_of(const char *name, const char *secret)
{
    return (struct chap_secret){name, (const uint8_t *)secret, secret ? strlen(secret) : 0};
}

static struct chap_target target;
static struct chap_initiator initiator;
static char text[8192];
static struct text_writer w;

static int set_up(void **state)
{
    (void)state;
    repeats = randoms = 0;
    hash_missing = -1;
    user_known = true;
    user = (struct chap_user){secret_of(NULL, "the way in"), secret_of("target", "the way out")};
    static const struct chap_lookup lookup = {NULL, find_user};
    struct chap_algs algs = chap_algs_default();
    chap_target_init(&target, &env, &lookup, &algs, false);
    text_writer_init(&w, text, sizeof text);
    return 0;
}

static enum chap_verdict hears(bool is_target, const char *words, size_t room)
{
    static char in[8192];
    size_t len = strlen(words);
    for (size_t i = 0; i <= len; i++)
        in[i] = words[i] == '|' ? '\0' : words[i];
    struct text_parser p;
    struct text_range key, value;
    text_parser_init(&p, in, len, len);
    while (text_parser_next(&p, &key, &value) == TEXT_PAIR) {
        enum key_id id = key_find(key);
        if ((is_target ? chap_target_key(&target, id, value) : chap_initiator_key(&initiator, id, value)) ==
            CHAP_FAIL)
            return CHAP_FAIL;
    }
    text_writer_init(&w, text, room);
    return is_target ? chap_target_step(&target, &w) : chap_initiator_step(&initiator, &w);
}

static void hex_of(char *out, const uint8_t *bytes, size_t len)
{
    out += sprintf(out, "0x");
    for (size_t i = 0; i < len; i++)
        out += sprintf(out, "%02x", bytes[i]);
}

/* '+' becomes the response of `secret` to the challenge. */
static const char *with_response(const char *words, const struct chap_auth *auth, const char *secret)
{
    static char out[8192];
    char hex[80];
    uint8_t r[HASH_LEN_MAX];
    const char *plus = strchr(words, '+');
    size_t n = chap_response(&env, auth->alg, auth->id, secret, strlen(secret), auth->challenge,
                             auth->challenge_len, r);
    hex_of(hex, r, n);
    if (!plus)
        return words;
    snprintf(out, sizeof out, "%.*s%s%s", (int)(plus - words), words, hex, plus + 1);
    return out;
}

struct row {
    const char *words;
    uint16_t status; /* 0: fine */
    const char *requirement;
};

static void check_failure(const struct chap_failure *f, const struct row *row)
{
    if (f->status != row->status || !f->reason || strcmp(f->requirement, row->requirement) != 0)
        print_message("%s: %04x %s %s\n", row->words, f->status, f->reason ? f->reason : "-", f->requirement);
    assert_int_equal(f->status, row->status);
    assert_non_null(f->reason);
    assert_string_equal(f->requirement, row->requirement);
}

#define WRONG   KEYS_STATUS_INITIATOR_ERROR
#define DENIED  KEYS_STATUS_AUTH_FAILURE
#define MISSING KEYS_STATUS_MISSING_PARAMETER

static void a_target_says_what_was_wrong(void **state)
{
    static const struct row first[] = {
        {"CHAP_A=5|", 0, ""},
        {"", MISSING, "R7143-12.1.3-01"},
        {"CHAP_A=4|", DENIED, "R7143-12.1.3-02"},
        {"CHAP_A=4,300,5|", 0, ""},
        {"CHAP_A=5,5,5,5,5,5,5|", 0, ""},
        {"CHAP_A=5,x|", WRONG, "R7143-9.2-05"},
        {"CHAP_N=alice|", WRONG, "R7143-9.2-05"},
        {"CHAP_A=5|CHAP_A=5|", WRONG, "R7143-6.3-22"},
    };
    static const struct row second[] = {
        {"CHAP_N=alice|CHAP_R=+|", 0, ""},
        {"CHAP_N=alice|CHAP_R=+|CHAP_I=7|CHAP_C=0x0011|", 0, ""},
        {"CHAP_R=+|", MISSING, "R7143-9.2-07"},
        {"CHAP_N=alice|", MISSING, "R7143-9.2-07"},
        {"CHAP_N=alice|CHAP_R=+|CHAP_I=7|", MISSING, "R7143-12.1.3-03"},
        {"CHAP_N=alice|CHAP_R=+|CHAP_C=0x0011|", MISSING, "R7143-12.1.3-03"},
        {"CHAP_N=bob|CHAP_R=+|", DENIED, "R7143-12.1.3-04"},
        {"CHAP_N=alice|CHAP_R=0x00|", DENIED, "R7143-12.1.3-04"},
        {"CHAP_N=alice|CHAP_R=+00|", DENIED, "R7143-12.1.3-04"},
        {"CHAP_N=alice|CHAP_R=0xg|", WRONG, "R7143-12.1.3-07"},
        {"CHAP_N=alice|CHAP_R=+|CHAP_I=7|CHAP_C=00|", WRONG, "R7143-12.1.3-07"},
        {"CHAP_N=alice|CHAP_R=+|CHAP_I=256|CHAP_C=0x00|", WRONG, "R7143-9.2-05"},
        {"CHAP_N=alice|CHAP_R=+|CHAP_I=255|CHAP_C=0x00|", 0, ""},
        {"CHAP_N=alice|CHAP_N=alice|CHAP_R=+|", WRONG, "R7143-6.3-22"},
        {"CHAP_N=alice|CHAP_R=+|CHAP_R=+|", WRONG, "R7143-6.3-22"},
        {"CHAP_N=alice|CHAP_R=+|CHAP_I=7|CHAP_I=7|CHAP_C=0x0011|", WRONG, "R7143-6.3-22"},
        {"CHAP_A=5|CHAP_N=alice|CHAP_R=+|", WRONG, "R7143-9.2-05"},
    };
    for (size_t i = 0; i < COUNT(first) + COUNT(second); i++) {
        bool later = i >= COUNT(first);
        const struct row *row = later ? &second[i - COUNT(first)] : &first[i];
        set_up(state);
        if (later)
            assert_int_equal(hears(true, "CHAP_A=7|", sizeof text), CHAP_CONTINUE);
        char *words = strdup(with_response(row->words, &target.auth, "the way in"));
        enum chap_verdict verdict = hears(true, words, sizeof text);
        free(words);
        assert_int_equal(verdict, row->status ? CHAP_FAIL : later ? CHAP_DONE : CHAP_CONTINUE);
        if (row->status)
            check_failure(&target.failure, row);
        else
            assert_null(target.failure.reason);
        if (row->status) { /* and it stays failed */
            assert_int_equal(target.state, CHAP_TARGET_FAILED);
            assert_int_equal(chap_target_step(&target, &w), CHAP_FAIL);
        } else if (later) {
            assert_string_equal(target.name, "alice");
            assert_int_equal(target.mutual, strstr(row->words, "CHAP_C") != NULL);
        }
    }
}

/* The first that we accept, in the initiator's order, of those that can be computed. */
static void a_target_takes_the_first_that_it_can(void **state)
{
    static const struct {
        const char *words;
        int missing;
        unsigned alg;
    } rows[] = {
        {"CHAP_A=5,6,7,8|", -1, 5},        {"CHAP_A=8,7,6,5|", -1, 8},    {"CHAP_A=6,8|", -1, 6},
        {"CHAP_A=5,7|", HASH_MD5, 7},      {"CHAP_A=6,7|", HASH_SHA1, 7}, {"CHAP_A=7,6|", HASH_SHA256, 6},
        {"CHAP_A=8,5|", HASH_SHA3_256, 5}, {"CHAP_A=1,2,3,4,9,6|", -1, 6}};
    static const size_t lens[] = {16, 20, 32, 32};
    for (size_t i = 0; i < COUNT(rows); i++) {
        set_up(state);
        hash_missing = rows[i].missing;
        assert_int_equal(hears(true, rows[i].words, sizeof text), CHAP_CONTINUE);
        assert_int_equal(target.auth.alg, rows[i].alg);
        assert_int_equal(target.auth.challenge_len, lens[rows[i].alg - 5]);
        assert_int_equal(chap_hash_len(rows[i].alg), lens[rows[i].alg - 5]);
    }
    assert_int_equal(chap_hash_len(4), 0);
    assert_int_equal(chap_hash_len(9), 0);
}

/* Half a set of credentials lets nobody in, not even one who knows what is there. */
static void half_a_user_is_no_user(void **state)
{
    static const struct {
        bool known, in, in_len, out, out_len, name;
        uint16_t one_way, mutual; /* 0: fine */
    } rows[] = {
        {true, true, true, true, true, true, 0, 0},
        {false, true, true, true, true, true, DENIED, DENIED},
        {true, false, true, true, true, true, DENIED, DENIED},
        {true, true, false, true, true, true, DENIED, DENIED},
        {true, true, true, false, true, true, 0, DENIED},
        {true, true, true, true, false, true, 0, DENIED},
        {true, true, true, true, true, false, 0, DENIED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int mutual = 0; mutual < 2; mutual++) {
            set_up(state);
            user_known = rows[i].known;
            if (!rows[i].in)
                user.in.secret = NULL;
            if (!rows[i].in_len)
                user.in.secret_len = 0;
            if (!rows[i].out)
                user.out.secret = NULL;
            if (!rows[i].out_len)
                user.out.secret_len = 0;
            if (!rows[i].name)
                user.out.name = "";
            assert_int_equal(hears(true, "CHAP_A=7|", sizeof text), CHAP_CONTINUE);
            const char *secret = rows[i].in && rows[i].in_len ? "the way in" : "";
            const char *words = with_response(mutual ? "CHAP_N=alice|CHAP_R=+|CHAP_I=1|CHAP_C=0x00|"
                                                     : "CHAP_N=alice|CHAP_R=+|",
                                              &target.auth, secret);
            uint16_t status = mutual ? rows[i].mutual : rows[i].one_way;
            assert_int_equal(hears(true, words, sizeof text), status ? CHAP_FAIL : CHAP_DONE);
            assert_int_equal(target.failure.status, status);
            assert_int_equal(target.mutual, mutual && !status);
        }
    }
    /* Nor does the secret that stands in for an unknown user. */
    set_up(state);
    user_known = false;
    assert_int_equal(hears(true, "CHAP_A=7|", sizeof text), CHAP_CONTINUE);
    uint8_t r[HASH_LEN_MAX];
    char hex[80], words[200];
    size_t n = chap_response(&env, CHAP_SHA256, target.auth.id, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16,
                             target.auth.challenge, target.auth.challenge_len, r);
    hex_of(hex, r, n);
    snprintf(words, sizeof words, "CHAP_N=alice|CHAP_R=%s|", hex);
    assert_int_equal(hears(true, words, sizeof text), CHAP_FAIL);
}

static void answers_need_their_room(void **state)
{
    for (int mutual = 0; mutual < 2; mutual++) {
        size_t full = 0;
        for (int measured = 0; measured < 2; measured++) {
            for (size_t room = measured ? 0 : sizeof text; room < (measured ? full : sizeof text + 1);
                 room++) {
                set_up(state);
                if (mutual) {
                    assert_int_equal(hears(true, "CHAP_A=7|", sizeof text), CHAP_CONTINUE);
                    const char *words = with_response("CHAP_N=alice|CHAP_R=+|CHAP_I=1|CHAP_C=0x00|",
                                                      &target.auth, "the way in");
                    assert_int_equal(hears(true, words, room), measured ? CHAP_FAIL : CHAP_DONE);
                } else {
                    assert_int_equal(hears(true, "CHAP_A=7|", room), measured ? CHAP_FAIL : CHAP_CONTINUE);
                }
                if (!measured)
                    full = w.len;
                else
                    check_failure(&target.failure,
                                  &(struct row){"room", KEYS_STATUS_OUT_OF_RESOURCES,
                                                mutual ? "R7143-12.1.3-05" : "R7143-12.1.3-02"});
            }
        }
        assert_true(full > 40);
    }
}

/* ---- initiator ---- */

static void new_initiator(const char *own, const char *mutual, struct chap_algs algs, bool omit_md5)
{
    struct chap_initiator_config config = {.own = secret_of("alice", own),
                                           .mutual = secret_of("target", mutual),
                                           .algs = algs,
                                           .omit_md5 = omit_md5};
    chap_initiator_init(&initiator, &env, &config);
    text_writer_init(&w, text, sizeof text);
}

static void an_initiator_says_what_was_wrong(void **state)
{
    static const struct row first[] = {
        {"CHAP_A=7|CHAP_I=0|CHAP_C=0x00|", 0, ""},
        {"CHAP_I=0|CHAP_C=0x00|", MISSING, "R7143-9.2-04"},
        {"CHAP_A=7|CHAP_C=0x00|", MISSING, "R7143-9.2-04"},
        {"CHAP_A=7|CHAP_I=0|", MISSING, "R7143-9.2-04"},
        {"CHAP_A=8|CHAP_I=0|CHAP_C=0x00|", WRONG, "R7143-12.1.3-02"},
        {"CHAP_A=7,7|CHAP_I=0|CHAP_C=0x00|", WRONG, "R7143-12.1.3-02"},
        {"CHAP_A=7,99|CHAP_I=0|CHAP_C=0x00|", WRONG, "R7143-12.1.3-02"},
        {"CHAP_A=99|CHAP_I=0|CHAP_C=0x00|", WRONG, "R7143-12.1.3-02"},
        {"CHAP_A=7|CHAP_I=0|CHAP_C=0x00|CHAP_R=0x00|", WRONG, "R7143-9.2-05"},
    };
    static const struct row second[] = {
        {"CHAP_N=target|CHAP_R=+|", 0, ""},
        {"CHAP_R=+|", MISSING, "R7143-12.1.3-06"},
        {"CHAP_N=target|", MISSING, "R7143-12.1.3-06"},
        {"CHAP_N=other|CHAP_R=+|", DENIED, "R7143-12.1.3-06"},
        {"CHAP_N=target|CHAP_R=0x00|", DENIED, "R7143-12.1.3-06"},
        {"CHAP_N=target|CHAP_R=+|CHAP_C=0x00|", WRONG, "R7143-9.2-05"},
    };
    for (size_t i = 0; i < COUNT(first) + COUNT(second); i++) {
        bool later = i >= COUNT(first);
        const struct row *row = later ? &second[i - COUNT(first)] : &first[i];
        set_up(state);
        new_initiator("the way in", "the way out", (struct chap_algs){1, {CHAP_SHA256}}, false);
        assert_int_equal(chap_initiator_start(&initiator, &w), CHAP_CONTINUE);
        if (later)
            assert_int_equal(hears(false, first[0].words, sizeof text), CHAP_CONTINUE);
        enum chap_verdict verdict =
            hears(false, with_response(row->words, &initiator.auth, "the way out"), sizeof text);
        assert_int_equal(verdict, row->status ? CHAP_FAIL : later ? CHAP_DONE : CHAP_CONTINUE);
        if (row->status) {
            check_failure(&initiator.failure, row);
            assert_int_equal(initiator.state, CHAP_INITIATOR_FAILED);
            assert_int_equal(chap_initiator_step(&initiator, &w), CHAP_FAIL);
        } else if (later) {
            assert_string_equal(initiator.peer_name, "target");
        }
    }
    /* A response that we would give ourselves proves nothing (9.2.1). */
    set_up(state);
    new_initiator("the way in", "the way out", (struct chap_algs){1, {CHAP_SHA256}}, false);
    assert_int_equal(chap_initiator_start(&initiator, &w), CHAP_CONTINUE);
    assert_int_equal(hears(false, first[0].words, sizeof text), CHAP_CONTINUE);
    assert_int_equal(
        hears(false, with_response("CHAP_N=target|CHAP_R=+|", &initiator.auth, "the way in"), sizeof text),
        CHAP_FAIL);
}

/* Any name will do where none is wanted. */
static void a_target_without_a_wanted_name_may_have_any(void **state)
{
    for (int empty = 0; empty < 2; empty++) {
        set_up(state);
        new_initiator("the way in", "the way out", (struct chap_algs){1, {CHAP_SHA256}}, false);
        initiator.config.mutual.name = empty ? "" : NULL;
        assert_int_equal(chap_initiator_start(&initiator, &w), CHAP_CONTINUE);
        assert_int_equal(hears(false, "CHAP_A=7|CHAP_I=0|CHAP_C=0x00|", sizeof text), CHAP_CONTINUE);
        assert_int_equal(hears(false,
                               with_response("CHAP_N=anybody|CHAP_R=+|", &initiator.auth, "the way out"),
                               sizeof text),
                         CHAP_DONE);
        assert_string_equal(initiator.peer_name, "anybody");
    }
}

static void offers_are_what_was_wished_and_md5(void **state)
{
    static const struct {
        struct chap_algs wish;
        bool omit_md5;
        int missing;
        const char *offer; /* NULL: none */
    } rows[] = {
        {{0, {0}}, false, -1, "5"},
        {{0, {0}}, true, -1, NULL},
        {{1, {5}}, false, -1, "5"},
        {{1, {5}}, true, -1, "5"},
        {{2, {7, 6}}, false, -1, "7,6,5"},
        {{2, {7, 6}}, true, -1, "7,6"},
        {{3, {7, 7, 7}}, true, -1, "7"},
        {{3, {5, 7, 5}}, false, -1, "5,7"},
        {{4, {8, 7, 6, 5}}, false, -1, "8,7,6,5"},
        {{3, {8, 7, 6}}, false, -1, "8,7,6,5"},
        {{2, {9, 6}}, true, -1, "6"},
        {{1, {7}}, true, HASH_SHA256, NULL},
        {{1, {7}}, false, HASH_MD5, "7"},
        {{1, {5}}, false, HASH_MD5, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        set_up(state);
        hash_missing = rows[i].missing;
        new_initiator("the way in", NULL, rows[i].wish, rows[i].omit_md5);
        enum chap_verdict verdict = chap_initiator_start(&initiator, &w);
        assert_int_equal(verdict, rows[i].offer ? CHAP_CONTINUE : CHAP_FAIL);
        char expected[40];
        int len = snprintf(expected, sizeof expected, "CHAP_A=%s", rows[i].offer ? rows[i].offer : "");
        if (rows[i].offer) {
            assert_int_equal(w.len, len + 1);
            assert_memory_equal(text, expected, (size_t)len + 1);
        } else {
            check_failure(&initiator.failure, &(struct row){"offer", DENIED, "R7143-12.1.3-10"});
        }
    }
}

static void an_initiators_texts_need_their_room(void **state)
{
    size_t full = 0;
    for (size_t room = 0; room < 11; room++) { /* "CHAP_A=7,5" and its end */
        set_up(state);
        new_initiator("the way in", NULL, (struct chap_algs){1, {CHAP_SHA256}}, false);
        text_writer_init(&w, text, room);
        assert_int_equal(chap_initiator_start(&initiator, &w), CHAP_FAIL);
        check_failure(&initiator.failure,
                      &(struct row){"room", KEYS_STATUS_OUT_OF_RESOURCES, "R7143-12.1.3-01"});
    }
    for (size_t room = sizeof text; room <= sizeof text; room = room == sizeof text ? 0 : room + 1) {
        set_up(state);
        new_initiator("the way in", "the way out", (struct chap_algs){1, {CHAP_SHA256}}, false);
        assert_int_equal(chap_initiator_start(&initiator, &w), CHAP_CONTINUE);
        enum chap_verdict verdict = hears(false, "CHAP_A=7|CHAP_I=0|CHAP_C=0x00|", room);
        if (room == sizeof text) {
            assert_int_equal(verdict, CHAP_CONTINUE);
            full = w.len;
            continue;
        }
        if (room >= full) {
            assert_int_equal(verdict, CHAP_CONTINUE);
            break;
        }
        assert_int_equal(verdict, CHAP_FAIL);
        check_failure(&initiator.failure,
                      &(struct row){"room", KEYS_STATUS_OUT_OF_RESOURCES, "R7143-12.1.3-03"});
    }
    assert_true(full > 100);
}

/* Eight more tries are given to a random source that comes up with the target's challenge. */
static void a_random_source_may_repeat_itself_a_little(void **state)
{
    for (unsigned same = 0; same < 12; same++) {
        char hex[80], words[200];
        uint8_t challenge[16];
        set_up(state);
        repeats = same;
        for (size_t i = 0; i < 16; i++)
            challenge[i] = (uint8_t)(0x10 + i);
        hex_of(hex, challenge, 16);
        snprintf(words, sizeof words, "CHAP_A=5|CHAP_I=0|CHAP_C=%s|", hex);
        new_initiator("the way in", "the way out", (struct chap_algs){1, {CHAP_MD5}}, false);
        assert_int_equal(chap_initiator_start(&initiator, &w), CHAP_CONTINUE);
        assert_int_equal(hears(false, words, sizeof text), same <= 8 ? CHAP_CONTINUE : CHAP_FAIL);
        assert_int_equal(randoms, same <= 8 ? same + 1 : 9);
    }
}

/* ---- secrets ---- */

static void secrets_have_their_limits(void **state)
{
    (void)state;
    char name[257];
    static const uint8_t bytes[256] = {1};
    memset(name, 'n', sizeof name - 1);
    name[256] = 0;
    const struct chap_secret good = secret_of("a", "one"), other = secret_of("b", "two"),
                             longer = secret_of("c", "one and");
    assert_null(chap_secrets_check(&good, NULL));
    assert_null(chap_secrets_check(&good, &other));
    assert_null(chap_secrets_check(&good, &longer));
    assert_non_null(strstr(chap_secrets_check(&good, &good), "different"));
    const struct {
        struct chap_secret secret;
        const char *why; /* NULL: good */
    } rows[] = {{{name + 1, bytes, 255}, NULL},
                {{name, bytes, 255}, "255"},
                {{"a", bytes, 256}, "255"},
                {{"a", bytes, 255}, NULL},
                {{"a", bytes, 1}, NULL},
                {{"a", bytes, 0}, "needs a secret"},
                {{"a", NULL, 5}, "needs a secret"},
                {{"", bytes, 5}, "needs a name"},
                {{NULL, bytes, 5}, "needs a name"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int mutual = 0; mutual < 2; mutual++) {
            const char *got = mutual ? chap_secrets_check(&good, &rows[i].secret)
                                     : chap_secrets_check(&rows[i].secret, NULL);
            if (!rows[i].why)
                assert_null(got);
            else
                assert_non_null(strstr(got, rows[i].why));
        }
    }
    assert_true(chap_same_secret(&good, &good));
    assert_false(chap_same_secret(&good, &longer));
    assert_false(chap_same_secret(&longer, &good));
    assert_false(chap_same_secret(&good, &other));
    const struct chap_secret none = {"a", bytes, 0};
    assert_false(chap_same_secret(&none, &none));
}

#define T(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_target_says_what_was_wrong),
        T(a_target_takes_the_first_that_it_can),
        T(half_a_user_is_no_user),
        T(answers_need_their_room),
        T(an_initiator_says_what_was_wrong),
        T(a_target_without_a_wanted_name_may_have_any),
        T(offers_are_what_was_wished_and_md5),
        T(an_initiators_texts_need_their_room),
        T(a_random_source_may_repeat_itself_a_little),
        T(secrets_have_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
