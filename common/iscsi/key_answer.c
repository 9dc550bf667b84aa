/* Answering what the peer proposed, and concluding a negotiation. */
#include "common/iscsi/keys.h"

#include <assert.h>

#include "common/iscsi/keys_internal.h"

/* ---- answering ---- */

/* The first of the peer's choices that we support: R7143-6.2.1-01, R7143-6.3.2-02. None only when it was
 * offered (R7143-6.2.1-02), which holds because the choice comes out of the peer's list. KEY_PACKED_MAX:
 * there is none. */
static uint64_t choose(const struct key_negotiation *neg, enum key_id id)
{
    struct key_choices own = key_own_choices(neg, id);
    bool digest = id == KEY_HEADER_DIGEST || id == KEY_DATA_DIGEST;
    if (digest && key_in_discovery(neg) && neg->config.discovery_digest_none &&
        key_packed_has(neg->theirs[id], KEY_DIGEST_NONE))
        return KEY_DIGEST_NONE;
    for (uint64_t packed = neg->theirs[id]; packed; packed >>= 4)
        for (unsigned i = 0; i < own.count && i < KEY_CHOICES_MAX; i++)
            if ((packed & KEY_PACKED_MAX) == own.value[i] + 1u)
                return own.value[i];
    return KEY_PACKED_MAX;
}

static uint64_t select_value(const struct key_negotiation *neg, enum key_id id)
{
    uint64_t theirs = neg->theirs[id], ours = key_own_value(neg, id);
    const struct key_params *p = &neg->pending;
    if (id == KEY_FIRST_BURST_LENGTH && ours > p->max_burst_length) /* R7143-13.14-02 */
        ours = p->max_burst_length;
    if (id == KEY_MAX_OUTSTANDING_R2T && p->error_recovery_level > 0 &&
        p->data_sequence_in_order) /* R7143-13.19-04 */
        ours = 1;
    switch (key_defs[id].kind) {
    case KEY_KIND_AND:
        return theirs && ours;
    case KEY_KIND_OR:
        return theirs || ours;
    case KEY_KIND_MAX:
        return theirs > ours ? theirs : ours;
    default:
        return theirs < ours ? theirs : ours;
    }
}

/* Our own limit comes from a configuration; whatever it says, the answer has to be admissible: R7143-6.2.2-03
 */
static uint64_t clamp_to_range(const struct key_def *def, uint64_t value)
{
    return value < def->min ? def->min : value > def->max ? def->max : value;
}

static bool write_answer(struct key_negotiation *neg, enum key_id id, struct text_writer *w)
{
    const struct key_def *def = &key_defs[id];
    neg->state[id] |= KEY_STATE_REPLIED;
    if (def->kind == KEY_KIND_LIST) {
        uint64_t value = choose(neg, id);
        if (value == KEY_PACKED_MAX) { /* R7143-6.3.2-03, R7143-6.2.1-04 */
            if (id == KEY_AUTH_METHOD)
                neg->auth_state = KEY_AUTH_REJECTED;
            return text_add(w, def->name, "Reject");
        }
        key_set_result(neg, id, value);
        return text_add(w, def->name, key_word(id, (unsigned)value));
    }
    uint64_t value = clamp_to_range(def, select_value(neg, id));
    key_set_result(neg, id, value);
    if (def->kind == KEY_KIND_AND || def->kind == KEY_KIND_OR) /* R7143-6.2.2-06 */
        return text_add_bool(w, def->name, value);
    return text_add_number(w, def->name, value); /* R7143-6.2.2-01 */
}

enum keys_verdict key_flush(struct key_negotiation *neg, struct text_writer *w)
{
    /* Two rounds: the values that others are bounded by come first. */
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < neg->to_answer_count; i++) {
            enum key_id id = neg->to_answer[i];
            bool bounded = id == KEY_FIRST_BURST_LENGTH || id == KEY_MAX_OUTSTANDING_R2T;
            if (bounded == (round == 1) && !write_answer(neg, id, w))
                return key_fail(neg, text_range_of(key_defs[id].name), KEYS_STATUS_OUT_OF_RESOURCES,
                                "the answers do not fit into our buffer", "R7143-6.1-15");
        }
    neg->to_answer_count = 0;
    return KEYS_OK;
}

/* ---- the end ---- */

/* No answer is needed where the offer settles the result: R7143-6.2.2-07 */
static bool settles_itself(const struct key_negotiation *neg, enum key_id id)
{
    enum key_kind kind = key_defs[id].kind;
    return (kind == KEY_KIND_AND && !neg->ours[id]) || (kind == KEY_KIND_OR && neg->ours[id]);
}

static bool is_unanswered(const struct key_negotiation *neg, enum key_id id)
{
    return key_defs[id].kind <= KEY_KIND_MAX &&
           (neg->state[id] & (KEY_STATE_OFFERED | KEY_STATE_ANSWERED | KEY_STATE_RAW)) == KEY_STATE_OFFERED;
}

bool key_unanswered(const struct key_negotiation *neg, enum key_id *which)
{
    for (enum key_id id = 0; id < KEY_COUNT; id++)
        if (is_unanswered(neg, id) && !settles_itself(neg, id)) {
            if (which)
                *which = id;
            return true;
        }
    /* Extension keys: an initiator goes on without the answer, a target would end the stage by that. */
    for (size_t i = 0; neg->role == KEY_ROLE_TARGET && i < neg->config.override_count; i++)
        if (neg->override_state[i] == KEY_STATE_OFFERED) {
            if (which)
                *which = KEY_UNKNOWN;
            return true;
        }
    return false;
}

enum keys_verdict key_conclude(struct key_negotiation *neg)
{
    struct key_params *p = &neg->pending;
    uint8_t agreed = KEY_STATE_ANSWERED | KEY_STATE_REPLIED;
    assert(neg->to_answer_count == 0); /* key_flush comes first */
    for (enum key_id id = 0; id < KEY_COUNT; id++)
        if (is_unanswered(neg, id) && settles_itself(neg, id))
            key_set_result(neg, id, neg->ours[id]);
    if (key_in_discovery(neg)) { /* whatever was said: see key_own_value */
        p->max_connections = 1;
        p->error_recovery_level = 0;
    }
    if (p->first_burst_length > p->max_burst_length) { /* R7143-13.14-02, R7143-6.2-24 */
        /* Both sides said it in so many words, in separate texts: nothing is left to correct. When
         * FirstBurstLength is only the default, or an initiator hears it from a careless target, sending less
         * is always right. */
        bool both =
            (neg->state[KEY_FIRST_BURST_LENGTH] & agreed) && (neg->state[KEY_MAX_BURST_LENGTH] & agreed);
        if (both && neg->role == KEY_ROLE_TARGET)
            return key_fail_id(neg, KEY_FIRST_BURST_LENGTH, "FirstBurstLength exceeds MaxBurstLength",
                               "R7143-13.14-02");
        p->first_burst_length = p->max_burst_length;
    }
    if (p->error_recovery_level > 0 && p->data_sequence_in_order) /* R7143-13.19-04 */
        p->max_outstanding_r2t = 1;
    neg->params = *p; /* R7143-6.4-14 */
    neg->texts = neg->pending_texts;
    return KEYS_OK;
}
