/* CHAP on the initiator: answers the target's challenge, and challenges back when mutual. */
#include "common/iscsi/chap.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/iscsi/chap_internal.h"

#define OFFER_MAX (4 * CHAP_ALGS_MAX) /* numbers of three digits, commas, NUL */

void chap_initiator_init(struct chap_initiator *i, const struct env *env,
                         const struct chap_initiator_config *config)
{
    assert(config->algs.count <= CHAP_ALGS_MAX);
    *i = (struct chap_initiator){.env = env, .config = *config};
}

static enum chap_verdict fail(struct chap_initiator *i, uint16_t status, const char *reason,
                              const char *requirement)
{
    i->state = CHAP_INITIATOR_FAILED;
    return chap_fail(&i->failure, status, reason, requirement);
}

static bool is_mutual(const struct chap_initiator *i)
{
    return i->config.mutual.secret_len > 0;
}

/* What we offer: the wanted algorithms that are available, and MD5, which every initiator has to offer. */
static void choose_offer(struct chap_initiator *i)
{
    const struct chap_algs *wish = &i->config.algs;
    for (unsigned k = 0; k < wish->count; k++)
        if (chap_alg_available(i->env, wish->value[k]) && !chap_algs_has(&i->offered, wish->value[k]))
            i->offered.value[i->offered.count++] = wish->value[k];
    bool add = !i->config.omit_md5 && !chap_algs_has(&i->offered, CHAP_MD5);
    if (add && chap_alg_available(i->env, CHAP_MD5)) /* R7143-12.1.3-10 */
        i->offered.value[i->offered.count++] = CHAP_MD5;
}

enum chap_verdict chap_initiator_start(struct chap_initiator *i, struct text_writer *w)
{
    const char *wrong = chap_secrets_check(&i->config.own, NULL);
    if (!wrong && is_mutual(i) && chap_same_secret(&i->config.own, &i->config.mutual)) /* R7143-9.2.1-08 */
        wrong = "the two directions of mutual CHAP need different secrets (RFC 7143, 9.2.1)";
    if (wrong)
        return fail(i, KEYS_STATUS_AUTH_FAILURE, wrong, "R7143-9.2.1-08");
    choose_offer(i);
    char list[OFFER_MAX] = "";
    for (unsigned k = 0, at = 0; k < i->offered.count; k++)
        at += (unsigned)snprintf(list + at, sizeof list - at, "%s%u", k ? "," : "", i->offered.value[k]);
    if (i->offered.count == 0)
        return fail(i, KEYS_STATUS_AUTH_FAILURE, "no CHAP algorithm is available here", "R7143-12.1.3-10");
    if (!text_add(w, "CHAP_A", list)) /* R7143-12.1.3-01 */
        return fail(i, KEYS_STATUS_OUT_OF_RESOURCES, "CHAP_A does not fit into the request",
                    "R7143-12.1.3-01");
    i->state = CHAP_INITIATOR_WAIT_CHALLENGE;
    return CHAP_CONTINUE;
}

enum chap_verdict chap_initiator_key(struct chap_initiator *i, enum key_id key, struct text_range value)
{
    unsigned allowed = i->state == CHAP_INITIATOR_WAIT_CHALLENGE ? CHAP_BIT_A | CHAP_BIT_I | CHAP_BIT_C
                       : i->state == CHAP_INITIATOR_WAIT_PROOF   ? CHAP_BIT_N | CHAP_BIT_R
                                                                 : 0;
    enum chap_verdict verdict = chap_message_key(&i->in, allowed, key, value, &i->failure);
    if (verdict == CHAP_FAIL)
        i->state = CHAP_INITIATOR_FAILED;
    return verdict;
}

/* Our challenge to the target, never the one it sent us: R7143-9.2.1-11 */
static bool add_own_challenge(struct chap_initiator *i, enum chap_alg alg, struct text_writer *w)
{
    chap_auth_init(&i->auth, i->env, alg);
    for (unsigned tries = 0; chap_is_our_challenge(&i->auth, &i->in); tries++) {
        if (tries == 8) /* a random source that repeats itself is broken */
            return false;
        chap_auth_init(&i->auth, i->env, alg);
    }
    return text_add_number(w, "CHAP_I", i->auth.id) &&
           chap_add_binary(w, KEY_CHAP_C, i->auth.challenge, i->auth.challenge_len, i->config.base64);
}

static enum chap_verdict step_respond(struct chap_initiator *i, struct text_writer *w)
{
    if (!i->in.has_a || !i->in.has_i || !i->in.has_c) /* R7143-9.2-04 */
        return fail(i, KEYS_STATUS_MISSING_PARAMETER, "the target's CHAP_A, CHAP_I or CHAP_C is missing",
                    "R7143-9.2-04");
    if (i->in.a_is_list || i->in.a.count != 1 ||
        !chap_algs_has(&i->offered, i->in.a.value[0])) /* R7143-6.2.1-05 */
        return fail(i, KEYS_STATUS_INITIATOR_ERROR, "the target chose a CHAP algorithm that was not offered",
                    "R7143-12.1.3-02");
    enum chap_alg alg = (enum chap_alg)i->in.a.value[0];
    /* R7143-12.1.3-03 */
    if (!chap_add_response(i->env, w, alg, &i->config.own, &i->in, i->config.base64) ||
        (is_mutual(i) && !add_own_challenge(i, alg, w)))
        return fail(i, KEYS_STATUS_OUT_OF_RESOURCES, "the CHAP response could not be made",
                    "R7143-12.1.3-03");
    memset(&i->in, 0, sizeof i->in);
    i->state = is_mutual(i) ? CHAP_INITIATOR_WAIT_PROOF : CHAP_INITIATOR_DONE;
    return is_mutual(i) ? CHAP_CONTINUE : CHAP_DONE;
}

static enum chap_verdict step_verify(struct chap_initiator *i)
{
    const struct chap_secret *mutual = &i->config.mutual;
    if (!i->in.has_n || !i->in.has_r) /* R7143-12.1.3-06 */
        return fail(i, KEYS_STATUS_MISSING_PARAMETER, "the target did not authenticate itself",
                    "R7143-12.1.3-06");
    bool named = !mutual->name || !*mutual->name || strcmp(mutual->name, i->in.n) == 0;
    bool right = chap_auth_verify(&i->auth, i->env, mutual->secret, mutual->secret_len, i->in.r, i->in.r_len);
    bool reflected = chap_is_our_response(i->env, &i->auth, &i->config.own, &i->in);
    if (!named || !right || reflected) /* R7143-12.1.3-06 */
        return fail(i, KEYS_STATUS_AUTH_FAILURE, "the target's CHAP name or response is wrong",
                    "R7143-12.1.3-06");
    memcpy(i->peer_name, i->in.n, sizeof i->peer_name);
    i->state = CHAP_INITIATOR_DONE;
    return CHAP_DONE;
}

enum chap_verdict chap_initiator_step(struct chap_initiator *i, struct text_writer *w)
{
    switch (i->state) {
    case CHAP_INITIATOR_WAIT_CHALLENGE:
        return step_respond(i, w);
    case CHAP_INITIATOR_WAIT_PROOF:
        return step_verify(i);
    case CHAP_INITIATOR_DONE:
        return CHAP_DONE;
    default: /* not started, or failed before */
        return CHAP_FAIL;
    }
}
