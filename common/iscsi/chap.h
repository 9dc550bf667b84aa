/* CHAP, both roles, one-way and mutual (RFC 7143 sections 9.2 and 12.1.3, RFC 1994). Text pairs in, text
 * pairs out; hashing and random bytes through struct env.
 *
 *     initiator                                  target
 *     CHAP_A=<list>                          ->
 *                                            <-  CHAP_A=<one> CHAP_I CHAP_C
 *     CHAP_N CHAP_R [CHAP_I CHAP_C]          ->
 *                                            <-  [CHAP_N CHAP_R]      (and the login goes on)
 *
 * For each joined text, the engine gives every pair for which key_receive said KEYS_AUTH to chap_*_key, then
 * calls chap_*_step once, which writes the next keys. Either may say CHAP_FAIL; then `failure` tells the
 * login status for the target to send (the initiator closes the connection), and the object is of no further
 * use. No secret of a user is kept here: chap_lookup lends it for one step. */
#ifndef LUNETTE_ISCSI_CHAP_H
#define LUNETTE_ISCSI_CHAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/env.h"
#include "common/iscsi/keys.h"
#include "common/iscsi/text.h"

#define CHAP_BINARY_LEN_MAX    1024u        /* bytes of a decoded CHAP_C or CHAP_R (12.1.3) */
#define CHAP_CHALLENGE_LEN_MAX HASH_LEN_MAX /* bytes of a challenge that we make: as long as the hash */
#define CHAP_NAME_LEN_MAX      255u         /* bytes */
/* Bytes: 96 bits. Shorter ones need IPsec, or a user who insists (9.2.1). */
#define CHAP_SECRET_LEN_STRONG 12u
#define CHAP_SECRET_LEN_MAX    255u /* bytes */

enum chap_alg { CHAP_MD5 = 5, CHAP_SHA1 = 6, CHAP_SHA256 = 7, CHAP_SHA3_256 = 8 };
#define CHAP_ALGS_MAX 4u

/* A set with an order. Initiator: offered in this order, then MD5, which 12.1.3 wants in every offer (see
 * omit_md5). Target: those it accepts; the order is the initiator's. */
struct chap_algs {
    uint8_t count;
    uint8_t value[CHAP_ALGS_MAX]; /* of enum chap_alg */
};
/* SHA3-256, SHA-256, SHA-1, MD5. */
struct chap_algs chap_algs_default(void);

struct chap_secret {  /* borrowed */
    const char *name; /* CHAP_N, NUL-terminated; NULL or "": no such credentials */
    const uint8_t *secret;
    size_t secret_len; /* bytes, 1..CHAP_SECRET_LEN_MAX */
};

enum chap_verdict {
    CHAP_CONTINUE, /* keys were written; the exchange goes on with the peer's answer */
    CHAP_DONE,     /* this side is satisfied; keys may have been written that must still be sent */
    CHAP_FAIL
};

/* Are these usable together? Refuses a missing or over-long name or secret and one secret for both directions
 * (9.2.1). `mutual` may be NULL. NULL when fine, else a static sentence. Weakness is the caller's question:
 * secret_len < CHAP_SECRET_LEN_STRONG. */
const char *chap_secrets_check(const struct chap_secret *own, const struct chap_secret *mutual);

/* ---- one direction: the side that challenges ---- */

struct chap_auth {
    enum chap_alg alg;
    uint8_t id;
    uint8_t challenge[CHAP_CHALLENGE_LEN_MAX];
    size_t challenge_len; /* bytes: 16, 20 or 32 by algorithm */
    bool used;            /* a challenge is good for one response */
};

/* A fresh identifier and challenge. */
void chap_auth_init(struct chap_auth *auth, const struct env *env, enum chap_alg alg);
/* Is `response` (len bytes) the right one for `secret`? Time does not depend on where they differ. False also
 * when the length is not exactly the hash's, when the challenge was used before, or when the hash is not
 * available. */
bool chap_auth_verify(struct chap_auth *auth, const struct env *env, const void *secret, size_t secret_len,
                      const uint8_t *response, size_t len);
/* H(id, secret, challenge) into out; returns its length, 0 when the algorithm is unknown or not available. */
size_t chap_response(const struct env *env, enum chap_alg alg, uint8_t id, const void *secret,
                     size_t secret_len, const void *challenge, size_t challenge_len,
                     uint8_t out[HASH_LEN_MAX]);
/* 16, 20, 32, 32; 0 for unknown numbers. */
size_t chap_hash_len(unsigned alg);

/* ---- the keys of one text, collected (private to chap.c) ---- */

struct chap_message {
    bool has_a, has_i, has_c, has_n, has_r;
    struct chap_algs a; /* those we know, in the peer's order */
    bool a_is_list;     /* more than one value stood there */
    uint8_t i;
    uint8_t c[CHAP_BINARY_LEN_MAX];
    size_t c_len;
    uint8_t r[HASH_LEN_MAX];
    size_t r_len; /* 0: of a length that no hash has */
    char n[CHAP_NAME_LEN_MAX + 1];
};

struct chap_failure {
    uint16_t status;         /* KEYS_STATUS_*: class << 8 | detail */
    const char *reason;      /* static sentence, no secret in it; NULL while nothing failed */
    const char *requirement; /* requirement id */
};

/* ---- target ---- */

/* What the target knows about the user that CHAP_N names. */
struct chap_user {
    struct chap_secret in; /* what the initiator has to prove; name is ignored (it is what was asked for) */
    struct chap_secret
        out; /* with what the target answers a challenge; name NULL or "": it refuses to be challenged */
};
struct chap_lookup {
    void *ctx;
    /* Fills *out with pointers that live until chap_target_step returns; false when there is no such user. */
    bool (*find)(void *ctx, const char *name, struct chap_user *out);
};

enum chap_target_state { CHAP_TARGET_WAIT_A, CHAP_TARGET_WAIT_N, CHAP_TARGET_DONE, CHAP_TARGET_FAILED };

struct chap_target {
    const struct env *env; /* borrowed until done */
    struct chap_lookup lookup;
    struct chap_algs algs;
    bool base64; /* encode what we send in base64 instead of hexadecimal */
    enum chap_target_state state;
    struct chap_auth auth;
    struct chap_message in;
    char name[CHAP_NAME_LEN_MAX + 1]; /* after CHAP_DONE: who it is (CHAP_N) */
    bool mutual;                      /* after CHAP_DONE: the initiator challenged us too */
    struct chap_failure failure;
};

void chap_target_init(struct chap_target *t, const struct env *env, const struct chap_lookup *lookup,
                      const struct chap_algs *algs, bool base64);
/* CHAP_CONTINUE: taken. CHAP_FAIL: malformed, repeated, or not for this step. `key` is one of CHAP_A I C N R;
 * others fail (they belong to a method that was not chosen). */
enum chap_verdict chap_target_key(struct chap_target *t, enum key_id key, struct text_range value);
/* The text is over. Call it for each text that follows the agreement on AuthMethod=CHAP (not for the text
 * that carried the agreement unless it held CHAP keys), until CHAP_DONE. CHAP_FAIL with
 * KEYS_STATUS_MISSING_PARAMETER when keys are missing, KEYS_STATUS_AUTH_FAILURE when the response is wrong;
 * an unknown user costs the same time. */
enum chap_verdict chap_target_step(struct chap_target *t, struct text_writer *w);

/* ---- initiator ---- */

enum chap_initiator_state {
    CHAP_INITIATOR_START,
    CHAP_INITIATOR_WAIT_CHALLENGE,
    CHAP_INITIATOR_WAIT_PROOF, /* mutual: the target's response is due */
    CHAP_INITIATOR_DONE,
    CHAP_INITIATOR_FAILED
};

struct chap_initiator_config {
    struct chap_secret own;    /* what we prove ourselves with */
    struct chap_secret mutual; /* secret_len 0: one-way. name NULL or "": any name the target gives is fine */
    struct chap_algs algs;
    bool base64;
    bool omit_md5; /* offer exactly `algs`: for tests, and for users who would rather fail than use MD5 */
};

struct chap_initiator {
    const struct env *env;               /* borrowed until done */
    struct chap_initiator_config config; /* its pointers are borrowed until done */
    enum chap_initiator_state state;
    struct chap_algs offered;
    struct chap_auth auth; /* our challenge to the target, when mutual */
    struct chap_message in;
    char peer_name[CHAP_NAME_LEN_MAX + 1]; /* mutual: the target's CHAP_N */
    struct chap_failure failure;
};

void chap_initiator_init(struct chap_initiator *i, const struct env *env,
                         const struct chap_initiator_config *config);
/* First step, as soon as CHAP is agreed: writes CHAP_A. CHAP_CONTINUE, or CHAP_FAIL when secrets are
 * unusable. */
enum chap_verdict chap_initiator_start(struct chap_initiator *i, struct text_writer *w);
/* As chap_target_key. */
enum chap_verdict chap_initiator_key(struct chap_initiator *i, enum key_id key, struct text_range value);
/* The target's text is over. CHAP_CONTINUE: CHAP_N, CHAP_R (CHAP_I, CHAP_C) were written, the target's proof
 * is due. CHAP_DONE: one-way: CHAP_N and CHAP_R were written and nothing more of CHAP may come (send them
 * with T = 1); mutual: the target has proved itself. */
enum chap_verdict chap_initiator_step(struct chap_initiator *i, struct text_writer *w);

#endif
