/* CHAP on the target: challenges the initiator, and answers when the initiator challenges back. */
#include "common/iscsi/chap.h"

#include <assert.h>
#include <string.h>

#include "common/iscsi/chap_internal.h"

void chap_target_init(struct chap_target *t, const struct env *env, const struct chap_lookup *lookup,
                      const struct chap_algs *algs, bool base64)
{
    assert(algs->count <= CHAP_ALGS_MAX);
    *t = (struct chap_target){.env = env, .lookup = *lookup, .algs = *algs, .base64 = base64};
}

static enum chap_verdict fail(struct chap_target *t, uint16_t status, const char *reason,
                              const char *requirement)
{
    t->state = CHAP_TARGET_FAILED;
    return chap_fail(&t->failure, status, reason, requirement);
}

enum chap_verdict chap_target_key(struct chap_target *t, enum key_id key, struct text_range value)
{
    unsigned allowed = t->state == CHAP_TARGET_WAIT_A   ? CHAP_BIT_A
                       : t->state == CHAP_TARGET_WAIT_N ? CHAP_BIT_N | CHAP_BIT_R | CHAP_BIT_I | CHAP_BIT_C
                                                        : 0;
    enum chap_verdict verdict = chap_message_key(&t->in, allowed, key, value, &t->failure);
    if (verdict == CHAP_FAIL)
        t->state = CHAP_TARGET_FAILED;
    return verdict;
}

/* ---- first step: an algorithm, and the challenge ---- */

static enum chap_verdict step_challenge(struct chap_target *t, struct text_writer *w)
{
    const struct chap_algs *wish = &t->in.a;
    unsigned alg = 0;
    if (!t->in.has_a)
        return fail(t, KEYS_STATUS_MISSING_PARAMETER, "CHAP_A is missing", "R7143-12.1.3-01");
    for (unsigned i = 0; i < wish->count && !alg; i++) /* theirs is the order, ours the set */
        if (chap_algs_has(&t->algs, wish->value[i]) && chap_alg_available(t->env, wish->value[i]))
            alg = wish->value[i];
    if (!alg) /* R7143-12.1.3-02 */
        return fail(t, KEYS_STATUS_AUTH_FAILURE, "no CHAP algorithm in common", "R7143-12.1.3-02");
    chap_auth_init(&t->auth, t->env, (enum chap_alg)alg);
    memset(&t->in, 0, sizeof t->in);
    if (!text_add_number(w, "CHAP_A", alg) || !text_add_number(w, "CHAP_I", t->auth.id) ||
        !chap_add_binary(w, KEY_CHAP_C, t->auth.challenge, t->auth.challenge_len, t->base64))
        return fail(t, KEYS_STATUS_OUT_OF_RESOURCES, "the challenge does not fit into the answer",
                    "R7143-12.1.3-02");
    t->state = CHAP_TARGET_WAIT_N;
    return CHAP_CONTINUE;
}

/* ---- second step: the response ---- */

/* Is the initiator who it says? An unknown user is checked against a secret that nobody has, so that both
 * ways of being wrong cost the same two hashes and end in the same words. */
static bool is_authentic(struct chap_target *t, struct chap_user *user)
{
    static const uint8_t nobody[16] = {0};
    struct chap_secret dummy = {"", nobody, sizeof nobody};
    struct chap_secret in = dummy, out = dummy;
    bool known = t->lookup.find(t->lookup.ctx, t->in.n, user) && user->in.secret && user->in.secret_len;
    if (known)
        in = user->in;
    if (known && user->out.secret && user->out.secret_len)
        out = user->out;
    bool right = chap_auth_verify(&t->auth, t->env, in.secret, in.secret_len, t->in.r, t->in.r_len);
    bool reflected =
        chap_is_our_response(t->env, &t->auth, &out, &t->in); /* R7143-9.2.1-09, R7143-9.2.1-08 */
    return known && right && !reflected;
}

/* The initiator wants proof of us as well. */
static enum chap_verdict answer_challenge(struct chap_target *t, const struct chap_user *user,
                                          struct text_writer *w)
{
    const char *wrong = chap_secrets_check(&user->out, NULL);
    if (wrong) /* R7143-12.1.3-05 */
        return fail(t, KEYS_STATUS_AUTH_FAILURE,
                    "the target has no secret to authenticate itself to this user", "R7143-12.1.3-05");
    /* One secret for both directions does not get here: the right response is then one of ours
     * (is_authentic). */
    if (!chap_add_response(t->env, w, t->auth.alg, &user->out, &t->in, t->base64))
        return fail(t, KEYS_STATUS_OUT_OF_RESOURCES, "the response does not fit into the answer",
                    "R7143-12.1.3-05");
    t->mutual = true;
    return CHAP_DONE;
}

static enum chap_verdict step_response(struct chap_target *t, struct text_writer *w)
{
    static const struct chap_user nobody;
    struct chap_user user = nobody;
    if (!t->in.has_n || !t->in.has_r) /* R7143-9.2-07 */
        return fail(t, KEYS_STATUS_MISSING_PARAMETER, "CHAP_N or CHAP_R is missing", "R7143-9.2-07");
    if (t->in.has_i != t->in.has_c)
        return fail(t, KEYS_STATUS_MISSING_PARAMETER, "of CHAP_I and CHAP_C only one was sent",
                    "R7143-12.1.3-03");
    if (t->in.has_c && chap_is_our_challenge(&t->auth, &t->in)) /* R7143-9.2.1-12 */
        return fail(t, KEYS_STATUS_AUTH_FAILURE, "the initiator sent our own challenge back",
                    "R7143-9.2.1-12");
    if (!is_authentic(t, &user)) /* R7143-12.1.3-04, R7143-9.2-06 */
        return fail(t, KEYS_STATUS_AUTH_FAILURE, "wrong CHAP name or response", "R7143-12.1.3-04");
    if (t->in.has_c && answer_challenge(t, &user, w) == CHAP_FAIL)
        return CHAP_FAIL;
    memcpy(t->name, t->in.n, sizeof t->name);
    t->state = CHAP_TARGET_DONE;
    return CHAP_DONE;
}

enum chap_verdict chap_target_step(struct chap_target *t, struct text_writer *w)
{
    switch (t->state) {
    case CHAP_TARGET_WAIT_A:
        return step_challenge(t, w);
    case CHAP_TARGET_WAIT_N:
        return step_response(t, w);
    case CHAP_TARGET_DONE:
        return CHAP_DONE;
    default:
        return CHAP_FAIL;
    }
}
