/* What both sides of CHAP need: hashing, one challenge and its check, and the keys of one text. */
#include "common/iscsi/chap.h"

#include <assert.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/iscsi/chap_internal.h"

/* ---- algorithms ---- */

static const struct chap_alg_row {
    unsigned number;
    enum hash_alg hash;
    size_t len; /* bytes of the hash */
} alg_rows[] = {
    {CHAP_MD5, HASH_MD5, 16}, /* R7143-12.1.3-09 */
    {CHAP_SHA1, HASH_SHA1, 20},
    {CHAP_SHA256, HASH_SHA256, 32},
    {CHAP_SHA3_256, HASH_SHA3_256, 32},
};

static const struct chap_alg_row *find_alg(unsigned number)
{
    for (size_t i = 0; i < sizeof alg_rows / sizeof alg_rows[0]; i++)
        if (alg_rows[i].number == number)
            return &alg_rows[i];
    return NULL;
}

struct chap_algs chap_algs_default(void)
{
    return (struct chap_algs){4, {CHAP_SHA3_256, CHAP_SHA256, CHAP_SHA1, CHAP_MD5}};
}

size_t chap_hash_len(unsigned alg)
{
    const struct chap_alg_row *row = find_alg(alg);
    return row ? row->len : 0;
}

bool chap_algs_has(const struct chap_algs *algs, unsigned alg)
{
    for (unsigned i = 0; i < algs->count; i++)
        if (algs->value[i] == alg)
            return true;
    return false;
}

size_t chap_response(const struct env *env, enum chap_alg alg, uint8_t id, const void *secret,
                     size_t secret_len, const void *challenge, size_t challenge_len,
                     uint8_t out[HASH_LEN_MAX])
{
    const struct chap_alg_row *row = find_alg(alg);
    uint8_t digest[HASH_LEN_MAX];
    struct bytes parts[] = {{&id, 1}, {secret, secret_len}, {challenge, challenge_len}}; /* R7143-12.1.3-11 */
    if (!row || env->hash(env->ctx, row->hash, parts, 3, digest) != row->len)
        return 0;
    memcpy(out, digest, row->len);
    return row->len;
}

/* A hash library may be built or set up without an algorithm (MD5 in FIPS mode). Found out by trying, so that
 * it is never offered or chosen. */
bool chap_alg_available(const struct env *env, unsigned alg)
{
    uint8_t out[HASH_LEN_MAX];
    return find_alg(alg) && chap_response(env, (enum chap_alg)alg, 0, "", 0, "", 0, out) > 0;
}

/* ---- secrets ---- */

/* Lengths may differ visibly; the bytes are compared in constant time. */
bool chap_same_secret(const struct chap_secret *a, const struct chap_secret *b)
{
    return a->secret_len == b->secret_len && a->secret_len &&
           bytes_equal_ct(a->secret, b->secret, a->secret_len);
}

static const char *check_one(const struct chap_secret *s)
{
    if (!s->name || !*s->name)
        return "a CHAP user needs a name";
    if (strlen(s->name) > CHAP_NAME_LEN_MAX)
        return "a CHAP name has at most 255 bytes";
    if (!s->secret || s->secret_len == 0)
        return "a CHAP user needs a secret";
    if (s->secret_len > CHAP_SECRET_LEN_MAX)
        return "a CHAP secret has at most 255 bytes";
    return NULL;
}

const char *chap_secrets_check(const struct chap_secret *own, const struct chap_secret *mutual)
{
    const char *wrong = check_one(own);
    if (!wrong && mutual)
        wrong = check_one(mutual);
    if (!wrong && mutual && chap_same_secret(own, mutual)) /* R7143-9.2.1-08 */
        wrong = "the two directions of mutual CHAP need different secrets (RFC 7143, 9.2.1)";
    return wrong;
}

/* ---- one challenge ---- */

void chap_auth_init(struct chap_auth *auth, const struct env *env, enum chap_alg alg)
{
    assert(chap_hash_len(alg));
    *auth = (struct chap_auth){.alg = alg, .challenge_len = chap_hash_len(alg)};
    /* The identifier need not be secret, but one that repeats would make an old response fit a repeated
     * challenge. */
    env->random(env->ctx, &auth->id, 1);
    env->random(env->ctx, auth->challenge, auth->challenge_len);
}

bool chap_auth_verify(struct chap_auth *auth, const struct env *env, const void *secret, size_t secret_len,
                      const uint8_t *response, size_t len)
{
    uint8_t expected[HASH_LEN_MAX];
    size_t n = chap_response(env, auth->alg, auth->id, secret, secret_len, auth->challenge,
                             auth->challenge_len, expected);
    bool fresh = !auth->used;
    auth->used = true; /* even a wrong answer spends it: no second guess at the same challenge */
    return fresh && n && len == n && bytes_equal_ct(expected, response, n);
}

bool chap_is_our_challenge(const struct chap_auth *auth, const struct chap_message *m)
{
    return m->c_len == auth->challenge_len && memcmp(m->c, auth->challenge, m->c_len) == 0;
}

/* The peer may have got this response from us, over another connection on which it was the one to challenge:
 * it proves nothing when both directions share a secret. */
bool chap_is_our_response(const struct env *env, const struct chap_auth *auth, const struct chap_secret *own,
                          const struct chap_message *m)
{
    uint8_t ours[HASH_LEN_MAX];
    size_t n = chap_response(env, auth->alg, auth->id, own->secret, own->secret_len, auth->challenge,
                             auth->challenge_len, ours);
    return n && m->r_len == n && bytes_equal_ct(ours, m->r, n);
}

/* ---- the keys of one text ---- */

enum chap_verdict chap_fail(struct chap_failure *failure, uint16_t status, const char *reason,
                            const char *requirement)
{
    *failure = (struct chap_failure){status, reason, requirement};
    return CHAP_FAIL;
}

/* CHAP_A: numbers, those we don't know are skipped. */
static bool parse_algs(struct chap_message *m, struct text_range value)
{
    struct text_range item;
    unsigned items = 0;
    m->a = (struct chap_algs){0};
    while (text_list_next(&value, &item)) {
        uint64_t n;
        if (!text_parse_number(item, &n))
            return false;
        items++;
        if (n <= UINT8_MAX && find_alg((unsigned)n) && !chap_algs_has(&m->a, (unsigned)n))
            m->a.value[m->a.count++] = (uint8_t)n; /* at most one for each row: it fits */
    }
    m->a_is_list = items > 1;
    return true;
}

/* Decodes a CHAP_C or CHAP_R into buf[CHAP_BINARY_LEN_MAX]; a static sentence when that cannot be. */
static const char *parse_binary(struct text_range value, uint8_t *buf, size_t *len)
{
    switch (text_decode_binary(value, buf, CHAP_BINARY_LEN_MAX, len)) { /* R7143-12.1.3-08 */
    case TEXT_BINARY_OK:
        return NULL;
    case TEXT_BINARY_TOO_LONG: /* R7143-12.1.3-07 */
        return "longer than 1024 bytes";
    default:
        return "neither hexadecimal nor base64";
    }
}

/* A response is as long as a hash; any other length is remembered as 0 and verifies as wrong. */
static const char *parse_response(struct chap_message *m, struct text_range value)
{
    uint8_t buf[CHAP_BINARY_LEN_MAX];
    size_t len;
    const char *wrong = parse_binary(value, buf, &len);
    if (wrong)
        return wrong;
    m->r_len = len <= HASH_LEN_MAX ? len : 0;
    memcpy(m->r, buf, m->r_len);
    return NULL;
}

static const char *parse_key(struct chap_message *m, unsigned bit, struct text_range value)
{
    uint64_t n;
    switch (bit) {
    case CHAP_BIT_A:
        return parse_algs(m, value) ? NULL : "CHAP_A is not a list of numbers";
    case CHAP_BIT_I:
        if (!text_parse_number(value, &n) || n > UINT8_MAX)
            return "CHAP_I is not a number from 0 to 255";
        m->i = (uint8_t)n;
        return NULL;
    case CHAP_BIT_C:
        return parse_binary(value, m->c, &m->c_len);
    case CHAP_BIT_N:
        return text_copy(value, m->n, sizeof m->n) ? NULL : "CHAP_N is longer than 255 bytes";
    default:
        return parse_response(m, value);
    }
}

/* Where a message notes that the key came; one bit, one flag. */
static bool *presence(struct chap_message *m, unsigned bit)
{
    return bit == CHAP_BIT_A   ? &m->has_a
           : bit == CHAP_BIT_I ? &m->has_i
           : bit == CHAP_BIT_C ? &m->has_c
           : bit == CHAP_BIT_N ? &m->has_n
                               : &m->has_r;
}

enum chap_verdict chap_message_key(struct chap_message *m, unsigned allowed, enum key_id key,
                                   struct text_range value, struct chap_failure *failure)
{
    unsigned bit = key == KEY_CHAP_A   ? CHAP_BIT_A
                   : key == KEY_CHAP_I ? CHAP_BIT_I
                   : key == KEY_CHAP_C ? CHAP_BIT_C
                   : key == KEY_CHAP_N ? CHAP_BIT_N
                   : key == KEY_CHAP_R ? CHAP_BIT_R
                                       : 0;
    if (!(bit & allowed)) /* R7143-9.2-04, R7143-9.2-05 */
        return chap_fail(failure, KEYS_STATUS_INITIATOR_ERROR, "key does not belong to this step of CHAP",
                         "R7143-9.2-05");
    bool *present = presence(m, bit);
    if (*present)
        return chap_fail(failure, KEYS_STATUS_INITIATOR_ERROR, "key sent twice", "R7143-6.3-22");
    *present = true;
    const char *wrong = parse_key(m, bit, value);
    if (wrong)
        return chap_fail(failure, KEYS_STATUS_INITIATOR_ERROR, wrong,
                         bit & (CHAP_BIT_C | CHAP_BIT_R) ? "R7143-12.1.3-07" : "R7143-9.2-05");
    return CHAP_CONTINUE;
}

/* ---- writing ---- */

/* Hexadecimal is what every peer reads; base64 is there for those who want it shorter, and for tests. */
bool chap_add_binary(struct text_writer *w, enum key_id key, const void *bytes, size_t len, bool base64)
{
    const char *name = key_defs[key].name;
    return base64 ? text_add_base64(w, name, bytes, len) : text_add_hex(w, name, bytes, len);
}

bool chap_add_response(const struct env *env, struct text_writer *w, enum chap_alg alg,
                       const struct chap_secret *own, const struct chap_message *m, bool base64)
{
    uint8_t response[HASH_LEN_MAX];
    size_t n = chap_response(env, alg, m->i, own->secret, own->secret_len, m->c, m->c_len, response);
    return n && text_add(w, key_defs[KEY_CHAP_N].name, own->name) &&
           chap_add_binary(w, KEY_CHAP_R, response, n, base64);
}
