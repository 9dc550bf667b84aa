/* Receiving: is this pair allowed, what does it mean, is it an answer to us? */
#include "common/iscsi/keys.h"

#include <assert.h>
#include <string.h>

#include "common/iscsi/keys_internal.h"

/* ---- life ---- */

void key_negotiation_init(struct key_negotiation *neg, enum key_role role, const struct key_config *config,
                          bool leading, const struct key_params *session)
{
    assert(config->override_count <= KEY_OVERRIDES_MAX);
    *neg = (struct key_negotiation){.role = role, .leading = leading, .config = *config};
    key_params_default(&neg->params);
    if (session) {
        /* Session-wide values hold for each connection; connection-wide ones start from their defaults. */
        struct key_params connection = neg->params;
        neg->params = *session;
        neg->params.header_digest = connection.header_digest;
        neg->params.data_digest = connection.data_digest;
        neg->params.max_recv_data_segment_length = connection.max_recv_data_segment_length;
        neg->params.peer_max_recv_data_segment_length = connection.peer_max_recv_data_segment_length;
        neg->params.has_target_portal_group_tag = false;
    }
    if (role == KEY_ROLE_INITIATOR)
        neg->params.session_type = config->session_type;
    neg->pending = neg->params;
}

void key_set_stage(struct key_negotiation *neg, enum key_stage stage)
{
    static const enum key_id again[] = {KEY_INITIATOR_NAME, KEY_INITIATOR_ALIAS, KEY_TARGET_NAME,
                                        KEY_SESSION_TYPE};
    if (neg->stage == KEY_STAGE_SECURITY && stage == KEY_STAGE_OPERATIONAL)
        for (size_t i = 0; i < sizeof again / sizeof again[0]; i++)
            neg->state[again[i]] |= KEY_STATE_AGAIN;
    neg->stage = stage;
    if (stage == KEY_STAGE_FULL_FEATURE)
        key_text_begin(neg);
}

void key_text_begin(struct key_negotiation *neg)
{
    memset(neg->state, 0, sizeof neg->state);
    memset(neg->override_state, 0, sizeof neg->override_state);
    neg->to_answer_count = 0;
    neg->failure = (struct keys_failure){0};
    neg->texts.has_send_targets = false;
    neg->texts.send_targets[0] = 0;
    neg->pending = neg->params;
    neg->pending_texts = neg->texts;
}

void key_abandon(struct key_negotiation *neg)
{
    neg->pending = neg->params; /* R7143-6.2-23 */
    neg->pending_texts = neg->texts;
    neg->to_answer_count = 0;
}

/* ---- failing ---- */

enum keys_verdict key_fail(struct key_negotiation *neg, struct text_range key, uint16_t status,
                           const char *reason, const char *requirement)
{
    struct keys_failure *f = &neg->failure;
    *f = (struct keys_failure){.status = status, .reason = reason, .requirement = requirement};
    for (size_t i = 0; i < key.len && i < TEXT_KEY_LEN_MAX; i++) /* for the log: nothing unprintable */
        f->key[i] = key.ptr[i] > 0x20 && key.ptr[i] < 0x7f ? key.ptr[i] : '?';
    return KEYS_FAIL;
}

enum keys_verdict key_fail_id(struct key_negotiation *neg, enum key_id id, const char *reason,
                              const char *requirement)
{
    return key_fail(neg, text_range_of(key_defs[id].name), KEYS_STATUS_INITIATOR_ERROR, reason, requirement);
}

static enum keys_verdict answer_now(struct key_negotiation *neg, struct text_range key, const char *answer,
                                    struct text_writer *w)
{
    if (text_add_range(w, key, text_range_of(answer)))
        return KEYS_OK;
    return key_fail(neg, key, KEYS_STATUS_OUT_OF_RESOURCES, "the answers do not fit into our buffer",
                    "R7143-6.1-15");
}

static bool is_answer_word(struct text_range value)
{
    return text_is(value, "NotUnderstood") || text_is(value, "Reject") || text_is(value, "Irrelevant");
}

/* ---- keys we don't know ---- */

static enum keys_verdict receive_unknown(struct key_negotiation *neg, struct text_range key,
                                         struct text_range value, struct text_writer *w)
{
    for (size_t i = 0; i < neg->config.override_count; i++) {
        if (!neg->override_state[i] || !text_is(key, neg->config.overrides[i].key))
            continue;
        if (neg->override_state[i] & KEY_STATE_ANSWERED)
            return key_fail(neg, key, KEYS_STATUS_INITIATOR_ERROR, "answered twice", "R7143-6.3-21");
        neg->override_state[i] |= KEY_STATE_ANSWERED; /* any answer, NotUnderstood too: R7143-6.2-13 */
        return KEYS_OK;
    }
    /* Answering NotUnderstood to NotUnderstood could go on forever. */
    if (is_answer_word(value))
        return key_fail(neg, key, KEYS_STATUS_INITIATOR_ERROR, "reserved word in place of a proposal",
                        "R7143-6.2-16");
    return answer_now(neg, key, "NotUnderstood", w); /* R7143-6.2-12 */
}

/* ---- answers to what we offered ---- */

/* Does the peer's selection follow the key's rule? R7143-13-05, R7143-13-06 */
static bool selection_is_legal(enum key_kind kind, uint64_t ours, uint64_t theirs)
{
    switch (kind) {
    case KEY_KIND_MIN:
        return theirs <= ours;
    case KEY_KIND_MAX:
        return theirs >= ours;
    case KEY_KIND_AND:
        return ours || !theirs;
    case KEY_KIND_OR:
        return !ours || theirs;
    default:
        return false;
    }
}

/* NotUnderstood, Reject or Irrelevant came back: the default stays in force (R7143-6.2-15, R7143-6.2-17),
 * unless we cannot go on with it. */
static enum keys_verdict receive_refusal(struct key_negotiation *neg, enum key_id id, struct text_range value)
{
    const struct key_def *def = &key_defs[id];
    bool digest = id == KEY_HEADER_DIGEST || id == KEY_DATA_DIGEST;
    if (id == KEY_AUTH_METHOD) {
        neg->auth_state = KEY_AUTH_REJECTED;
        return key_fail(neg, text_range_of(def->name), KEYS_STATUS_AUTH_FAILURE,
                        "the peer accepts none of the authentication methods we offer", "R7143-6.2-18");
    }
    bool later = (def->flags & KEY_FLAG_LATER) || def->kind == KEY_KIND_OBSOLETE;
    if (text_is(value, "NotUnderstood") && !later && !neg->config.tolerate_not_understood)
        return key_fail_id(neg, id, "NotUnderstood for a key that everybody has to understand",
                           "R7143-6.2-14");
    if (digest && !(neg->state[id] & KEY_STATE_RAW) && !key_packed_has(neg->ours[id], KEY_DIGEST_NONE))
        return key_fail_id(neg, id, "the peer refuses the digest that we require", "R7143-6.2-18");
    if (id == KEY_MAX_RECV_DATA_SEGMENT_LENGTH)
        neg->pending.max_recv_data_segment_length = neg->params.max_recv_data_segment_length;
    return KEYS_OK;
}

static enum keys_verdict receive_answer(struct key_negotiation *neg, enum key_id id, struct text_range value)
{
    const struct key_def *def = &key_defs[id];
    if (neg->state[id] & KEY_STATE_ANSWERED)
        return key_fail_id(neg, id, "answered twice", "R7143-6.3-21");
    neg->state[id] |= KEY_STATE_ANSWERED;
    if (is_answer_word(value)) /* R7143-6.2-11 */
        return receive_refusal(neg, id, value);
    uint64_t theirs;
    bool legal = key_parse_value(id, value, &theirs, NULL);
    if (neg->state[id] & KEY_STATE_RAW)
        legal = legal && def->kind != KEY_KIND_LIST;
    else if (def->kind == KEY_KIND_LIST) {
        /* One word, and one that we offered. */
        bool single =
            legal && theirs && theirs <= KEY_PACKED_MAX && text_is(value, key_word(id, (unsigned)theirs - 1));
        if (!single || !key_packed_has(neg->ours[id], theirs - 1)) /* R7143-6.2.1-05 */
            return key_fail_id(neg, id, "the answer is not one of the values offered", "R7143-6.2.1-05");
        theirs--;
    } else if (!legal || !selection_is_legal(def->kind, neg->ours[id], theirs)) /* R7143-6.2.2-04 */
        return key_fail_id(neg, id, "the answer is outside what the offer allows", "R7143-6.2.2-04");
    if (legal)
        key_set_result(neg, id, theirs); /* the last value sent is the outcome: R7143-6.2.2-08 */
    return KEYS_OK;
}

/* ---- declarations of the peer ---- */

static enum keys_verdict receive_number(struct key_negotiation *neg, enum key_id id, struct text_range value)
{
    uint64_t n;
    uint8_t tag[2];
    if (id == KEY_TARGET_PORTAL_GROUP_TAG) { /* 0 is as good as any: R7143-13.9-03 */
        if (!text_decode_binary_fixed(value, tag, sizeof tag))
            return key_fail_id(neg, id, "not a 16-bit number", "R7143-13.9-01");
        neg->pending.has_target_portal_group_tag = true;
        neg->pending.target_portal_group_tag = (uint16_t)(tag[0] << 8 | tag[1]);
        return KEYS_OK;
    }
    /* A Reject would look like a second declaration of ours, so a wrong declaration ends the negotiation. */
    if (!key_parse_value(id, value, &n, NULL)) /* R7143-13.12-01 */
        return key_fail_id(neg, id, "not a number from 512 to 16777215", "R7143-13.12-01");
    neg->pending.peer_max_recv_data_segment_length = (uint32_t)n;
    return KEYS_OK;
}

static enum keys_verdict receive_name(struct key_negotiation *neg, enum key_id id, struct text_range value)
{
    char *to = id == KEY_INITIATOR_NAME ? neg->pending_texts.initiator_name : neg->pending_texts.target_name;
    char name[NAME_CAP];
    const char *reason;
    if (name_normalize(value.ptr, value.len, NAME_LENIENT, name, &reason) == NAME_INVALID)
        return key_fail_id(neg, id, reason, "R7143-4.2.7.3-01");
    if ((neg->state[id] & KEY_STATE_RECEIVED) && strcmp(to, name) != 0)
        return key_fail_id(neg, id, "declared again with another value", "R7143-6.3-21");
    memcpy(to, name, sizeof name);
    return KEYS_OK;
}

/* Aliases are for people to read: a wrong encoding is no reason to refuse anybody. */
static void store_alias(char *to, struct text_range value)
{
    bool utf8 = text_is_utf8(value);
    size_t n = value.len < KEY_ALIAS_CAP ? value.len : KEY_ALIAS_CAP - 1;
    for (size_t i = 0; i < n; i++)
        to[i] = !utf8 && (unsigned char)value.ptr[i] >= 0x80 ? '?' : value.ptr[i];
    to[n] = 0;
}

static enum keys_verdict receive_session_type(struct key_negotiation *neg, struct text_range value)
{
    bool discovery = text_is(value, "Discovery");
    enum key_session_type type = discovery ? KEY_SESSION_DISCOVERY : KEY_SESSION_NORMAL;
    if (!discovery && !text_is(value, "Normal")) /* R7143-13.21-01 */
        return key_fail(neg, text_range_of("SessionType"), KEYS_STATUS_SESSION_TYPE, "no such session type",
                        "R7143-13.21-01");
    bool fixed = !neg->leading || (neg->state[KEY_SESSION_TYPE] & KEY_STATE_RECEIVED);
    if (fixed && type != neg->pending.session_type) /* R7143-13-01 */
        return key_fail_id(neg, KEY_SESSION_TYPE, "the session type cannot change", "R7143-13-01");
    neg->pending.session_type = type;
    return KEYS_OK;
}

static enum keys_verdict receive_send_targets(struct key_negotiation *neg, struct text_range value)
{
    const char *reason;
    bool word = value.len == 0 || text_is(value, "All");
    if (word)
        (void)text_copy(value, neg->pending_texts.send_targets, sizeof neg->pending_texts.send_targets);
    else if (name_normalize(value.ptr, value.len, NAME_LENIENT, neg->pending_texts.send_targets, &reason) ==
             NAME_INVALID)
        return key_fail_id(neg, KEY_SEND_TARGETS, reason, "R7143-13.3-01");
    neg->pending_texts.has_send_targets = true;
    return KEYS_OK;
}

static enum keys_verdict receive_text(struct key_negotiation *neg, enum key_id id, struct text_range value)
{
    bool address = id == KEY_TARGET_ADDRESS;
    if (!address && !neg->leading)
        return KEYS_OK; /* X#NodeArchitecture never decides anything: R7143-13.26.2-02 */
    char *to = address ? neg->pending_texts.target_address : neg->pending_texts.node_architecture;
    if (!to[0])
        store_alias(to, value);
    return KEYS_OK;
}

/* ---- what the peer proposes ---- */

/* Keys of an authentication method belong to the one that was agreed on, which can only be CHAP. */
static enum keys_verdict receive_auth(struct key_negotiation *neg, enum key_id id)
{
    bool chap =
        id == KEY_CHAP_A || id == KEY_CHAP_I || id == KEY_CHAP_C || id == KEY_CHAP_N || id == KEY_CHAP_R;
    if (!chap || neg->auth_state != KEY_AUTH_CHOSEN || neg->auth_method != KEY_AUTH_CHAP) /* R7143-9.2-05 */
        return key_fail_id(neg, id, "key of an authentication method that was not agreed on", "R7143-9.2-05");
    return KEYS_AUTH;
}

/* Notes a proposal for key_flush, or rejects it at once when it is not admissible. */
static enum keys_verdict receive_proposal(struct key_negotiation *neg, enum key_id id,
                                          struct text_range value, struct text_writer *w)
{
    neg->state[id] |= KEY_STATE_RECEIVED;
    if (!key_parse_value(id, value, &neg->theirs[id], NULL)) { /* R7143-6.2.2-02 */
        neg->state[id] |= KEY_STATE_REPLIED;
        if (id == KEY_AUTH_METHOD)
            neg->auth_state = KEY_AUTH_REJECTED;
        return answer_now(neg, text_range_of(key_defs[id].name), "Reject", w);
    }
    assert(neg->to_answer_count < KEY_COUNT);
    neg->to_answer[neg->to_answer_count++] = (uint8_t)id;
    return KEYS_OK;
}

static bool stage_allows(enum key_stage stage, const struct key_def *def)
{
    if (stage == KEY_STAGE_FULL_FEATURE) /* R7143-13-02 */
        return def->use == KEY_USE_FFPO || def->use == KEY_USE_ALL;
    if (def->use == KEY_USE_FFPO)
        return false;
    return def->flags &
           (KEY_FLAG_ANY | (stage == KEY_STAGE_SECURITY ? KEY_FLAG_SEC : KEY_FLAG_OP)); /* R7143-13-03 */
}

/* May this key come now, from this side, this often, at this length? KEYS_OK when yes. */
static enum keys_verdict check_admissible(struct key_negotiation *neg, enum key_id id,
                                          struct text_range value)
{
    const struct key_def *def = &key_defs[id];
    bool fixed_use = def->use == KEY_USE_LO && !neg->leading;
    bool seen = neg->state[id] & KEY_STATE_RECEIVED;
    unsigned from = neg->role == KEY_ROLE_TARGET ? KEY_FROM_I : KEY_FROM_T;
    if (!(def->senders & from))
        return key_fail_id(neg, id, "key from the wrong side", def->requirement);
    if (id == KEY_TARGET_NAME && neg->role == KEY_ROLE_INITIATOR) /* R7143-13.4-02 */
        return key_fail_id(neg, id, "TargetName from a target is an answer to SendTargets only",
                           "R7143-13.4-02");
    if (!stage_allows(neg->stage, def)) /* R7143-6.3-13, R7143-6.3-12 */
        return key_fail_id(neg, id, "key not allowed in this stage", "R7143-6.3-13");
    if (is_answer_word(value)) /* R7143-6.2-16 */
        return key_fail_id(neg, id, "reserved word in place of a proposal", "R7143-6.2-16");
    if (fixed_use && id != KEY_SESSION_TYPE && id != KEY_NODE_ARCHITECTURE) /* R7143-6.3.3-06, R7143-13-01 */
        return key_fail_id(neg, id, "key belongs to the session's first login", "R7143-6.3.3-06");
    if (seen && !(def->flags & KEY_FLAG_REPEAT) &&
        !(neg->state[id] & KEY_STATE_AGAIN)) /* R7143-6.3-21, R7143-6.3-22 */
        return key_fail_id(neg, id, "key sent twice",
                           neg->stage == KEY_STAGE_FULL_FEATURE ? "R7143-6.4-12" : "R7143-6.3-22");
    bool plain_text = def->kind >= KEY_KIND_NAME && def->kind != KEY_KIND_OBSOLETE;
    if (plain_text && id != KEY_NODE_ARCHITECTURE && value.len > def->max) /* R7143-6.1-14 */
        return key_fail_id(neg, id, "value too long", "R7143-6.1-14");
    return KEYS_OK;
}

static enum keys_verdict receive_known(struct key_negotiation *neg, enum key_id id, struct text_range value,
                                       struct text_writer *w)
{
    enum keys_verdict verdict = KEYS_OK;
    switch (key_defs[id].kind) {
    case KEY_KIND_LIST:
    case KEY_KIND_AND:
    case KEY_KIND_OR:
    case KEY_KIND_MIN:
    case KEY_KIND_MAX:
        return receive_proposal(neg, id, value, w);
    case KEY_KIND_OBSOLETE: /* R7143-13.25-01, R7143-13.25-04 */
        verdict = answer_now(neg, text_range_of(key_defs[id].name), "Reject", w);
        break;
    case KEY_KIND_NUMBER:
        verdict = receive_number(neg, id, value);
        break;
    case KEY_KIND_NAME:
        verdict = receive_name(neg, id, value);
        break;
    case KEY_KIND_LOCAL:
        store_alias(id == KEY_INITIATOR_ALIAS ? neg->pending_texts.initiator_alias
                                              : neg->pending_texts.target_alias,
                    value);
        break;
    case KEY_KIND_CHOICE:
        verdict = receive_session_type(neg, value);
        break;
    case KEY_KIND_TEXT:
        verdict = receive_text(neg, id, value);
        break;
    case KEY_KIND_QUERY:
        verdict = receive_send_targets(neg, value);
        break;
    case KEY_KIND_AUTH:
        verdict = receive_auth(neg, id);
        break;
    }
    neg->state[id] |= KEY_STATE_RECEIVED;
    neg->state[id] &= (uint8_t)~KEY_STATE_AGAIN;
    return verdict;
}

enum keys_verdict key_receive(struct key_negotiation *neg, struct text_range key, struct text_range value,
                              struct text_writer *w)
{
    enum key_id id = key_find(key);
    if (id == KEY_UNKNOWN)
        return receive_unknown(neg, key, value, w);
    enum key_kind kind = key_defs[id].kind;
    bool negotiated = kind <= KEY_KIND_MAX || kind == KEY_KIND_OBSOLETE;
    /* The same name is an answer when we offered the key; a declared key has only refusals for answers. */
    if ((neg->state[id] & KEY_STATE_OFFERED) && (negotiated || is_answer_word(value)))
        return receive_answer(neg, id, value);
    bool record = id == KEY_TARGET_NAME || id == KEY_TARGET_ADDRESS;
    if (record && neg->role == KEY_ROLE_INITIATOR && neg->stage == KEY_STAGE_FULL_FEATURE)
        return KEYS_RECORD;
    enum keys_verdict verdict = check_admissible(neg, id, value);
    return verdict == KEYS_OK ? receive_known(neg, id, value, w) : verdict;
}
