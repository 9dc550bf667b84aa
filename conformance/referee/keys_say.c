/* What is said about a key: proposed, where and when one may; answered, as one has to. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/iscsi/digest.h"
#include "conformance/referee/keys_internal.h"

/* ---- proposals ---- */

static bool stage_allows(const struct rnegotiation *neg, const struct key_def *def)
{
    if (neg->stage == KEY_STAGE_FULL_FEATURE)
        return def->use == KEY_USE_FFPO || def->use == KEY_USE_ALL;
    if (def->use == KEY_USE_FFPO)
        return false;
    return def->flags & (KEY_FLAG_ANY | (neg->stage == KEY_STAGE_SECURITY ? KEY_FLAG_SEC : KEY_FLAG_OP));
}

static enum rule_id place_rule(const struct rconn *c, const struct rpdu *p, enum key_id id)
{
    if (id == KEY_SEND_TARGETS && p->dir == TO_T)
        return RULE_SEND_TARGETS_PHASE;
    if (id == KEY_TARGET_NAME && p->dir == TO_I)
        return RULE_TARGET_NAME_T;
    if (c->neg->stage == KEY_STAGE_FULL_FEATURE)
        return BOTH(p, KEY_FULL);
    return c->neg->stage == KEY_STAGE_SECURITY ? BOTH(p, KEY_SECURITY) : BOTH(p, KEY_PLACE);
}

static enum rule_id repeat_rule(const struct rconn *c, const struct rpdu *p, enum key_id id)
{
    if (id == KEY_INITIATOR_NAME)
        return RULE_INITIATOR_NAME_TWICE;
    if (id == KEY_TARGET_NAME)
        return RULE_TARGET_NAME_TWICE;
    if (id == KEY_NODE_ARCHITECTURE)
        return BOTH(p, NODE_ARCHITECTURE_TWICE);
    return c->neg->stage == KEY_STAGE_FULL_FEATURE ? BOTH(p, KEY_TWICE_TEXT) : BOTH(p, KEY_TWICE);
}

/* False after a finding: then the pair has no meaning. */
static bool may_say(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                    const char *seen)
{
    const struct key_def *def = &key_defs[id];
    const struct rkey *k = &c->neg->keys[id];
    unsigned from = p->dir == TO_T ? KEY_FROM_I : KEY_FROM_T;
    bool target_name = id == KEY_TARGET_NAME && p->dir == TO_I;
    if (!(def->senders & from) || target_name || !stage_allows(c->neg, def)) {
        finding(c, place_rule(c, p, id), "no such key here", seen);
        return false;
    }
    if (keys_is_reserved_word(value)) {
        finding(c, BOTH(p, RESERVED_WORD), "a value", seen);
        return false;
    }
    if (def->use == KEY_USE_LO && !c->neg->leading && c->neg->stage != KEY_STAGE_FULL_FEATURE) {
        finding(c, rule_find(def->requirement, sender(p)), "only in the leading login", seen);
        return false;
    }
    if (!(def->flags & KEY_FLAG_REPEAT) && ((k->declared & (1u << p->dir)) || k->offered_by)) {
        finding(c, repeat_rule(c, p, id), "the key once", seen);
        if (p->dir == TO_T && c->neg->stage != KEY_STAGE_FULL_FEATURE)
            c->must_refuse = RULE_REPEAT_REFUSED; /* R7143-6.3-22 */
        c->text_repeated = c->text_repeated || p->dir == TO_T;
        return false;
    }
    return true;
}

void keys_propose(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                  const char *seen)
{
    const struct key_def *def = &key_defs[id];
    struct rkey *k = &c->neg->keys[id];
    uint64_t n;
    if (!may_say(c, p, id, value, seen))
        return;
    if (!keys_is_negotiated(def->kind)) {
        k->declared = (uint8_t)(k->declared | 1u << p->dir);
        keys_declare(c, p, id, value, seen);
        return;
    }
    k->offered_by = (uint8_t)(1 + p->dir);
    k->offered_at = p->number;
    keys_keep_text(k->offer, sizeof k->offer, value);
    if (def->kind == KEY_KIND_LIST)
        keys_check_list_offer(c, p, id, value, seen);
    else if (def->kind != KEY_KIND_OBSOLETE && !keys_value_ok(c, p, id, value, &n))
        k->inadmissible = true; /* R7143-6.2.2-02 */
}

/* ---- answers ---- */

static void answer_list(struct rconn *c, const struct rpdu *p, struct rkey *k, struct text_range value,
                        const char *seen)
{
    struct text_range offer = text_range_of(k->offer);
    if (keys_list_has_range(offer, value))
        return;
    finding(c, text_is(value, "None") ? BOTH(p, NONE_NOT_OFFERED) : BOTH(p, NOT_OFFERED), k->offer, seen);
}

static void answer_value(struct rconn *c, const struct rpdu *p, enum key_id id, struct rkey *k,
                         struct text_range value, const char *seen)
{
    enum key_kind kind = key_defs[id].kind;
    uint64_t theirs, ours = 0;
    bool yes = false;
    if (!keys_value_ok(c, p, id, value, &theirs))
        return;
    k->outcome = theirs;
    k->has_outcome = true;
    if (kind == KEY_KIND_AND || kind == KEY_KIND_OR) {
        (void)text_parse_bool(text_range_of(k->offer), &yes);
        if ((kind == KEY_KIND_AND && !yes && theirs) || (kind == KEY_KIND_OR && yes && !theirs))
            finding(c, BOTH(p, BOOLEAN_RESULT), k->offer, seen);
        return;
    }
    (void)text_parse_number(text_range_of(k->offer), &ours);
    if ((kind == KEY_KIND_MIN && theirs > ours) || (kind == KEY_KIND_MAX && theirs < ours))
        finding(c, BOTH(p, NUMBER_RESULT), k->offer, seen);
    if (id == KEY_ERROR_RECOVERY_LEVEL && c->discovery && theirs != 0)
        finding(c, BOTH(p, DISCOVERY_LEVEL), "0", seen);
}

static void answer_obsolete(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                            const char *seen)
{
    bool marker = id == KEY_IF_MARKER || id == KEY_OF_MARKER;
    if (text_is(value, "NotUnderstood"))
        finding(c, marker ? BOTH(p, MARKER_UNDERSTOOD) : BOTH(p, MARK_INT_UNDERSTOOD), "Reject", seen);
    else if (!marker && !text_is(value, "Reject"))
        finding(c, BOTH(p, MARK_INT_REJECT), "Reject", seen);
}

/* The proposal was wrong; what the other side made of it counts all the same. */
static void answer_inadmissible(enum key_id id, struct rkey *k, struct text_range value)
{
    const struct key_def *def = &key_defs[id];
    bool yes, boolean = def->kind == KEY_KIND_AND || def->kind == KEY_KIND_OR;
    if (boolean && text_parse_bool(value, &yes)) {
        k->outcome = yes;
        k->has_outcome = true;
    } else if (!boolean && text_parse_number(value, &k->outcome))
        k->has_outcome = k->outcome >= def->min && k->outcome <= def->max;
}

void keys_answer(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                 const char *seen)
{
    const struct key_def *def = &key_defs[id];
    struct rkey *k = &c->neg->keys[id];
    k->answered = true;
    keys_keep_text(k->answer, sizeof k->answer, value);
    if (k->inadmissible) {
        answer_inadmissible(id, k, value);
        return;
    }
    if (def->kind == KEY_KIND_OBSOLETE) {
        answer_obsolete(c, p, id, value, seen);
        return;
    }
    if (keys_is_reserved_word(value)) {
        k->refused = true;
        if (text_is(value, "NotUnderstood") && !(def->flags & KEY_FLAG_LATER))
            finding(c, BOTH(p, UNDERSTOOD), "an answer that understands the key", seen);
        return;
    }
    if (def->kind == KEY_KIND_LIST)
        answer_list(c, p, k, value, seen);
    else
        answer_value(c, p, id, k, value, seen);
    if (id == KEY_AUTH_METHOD)
        c->auth_agreed_chap = text_is(value, "CHAP");
}

/* ---- keys of no table ---- */

static struct runknown *unknown_find(struct rnegotiation *neg, uint32_t hash)
{
    for (uint32_t i = 0; i < neg->unknown_count; i++)
        if (neg->unknown[i].hash == hash)
            return &neg->unknown[i];
    return NULL;
}

void keys_unknown_key(struct rconn *c, const struct rpdu *p, struct text_range key, struct text_range value,
                      const char *seen)
{
    struct rnegotiation *neg = c->neg;
    uint32_t hash = digest_crc32c(key.ptr, key.len);
    struct runknown *u = unknown_find(neg, hash);
    if (!text_is_key_name(key))
        finding(c, BOTH(p, KEY_CAPITAL), "a standard-label", seen);
    if (u) {
        u->answered = u->answered || u->offered_by != 1 + p->dir;
        return;
    }
    if (keys_is_reserved_word(value) && !neg->unknown_lost) {
        finding(c, BOTH(p, RESERVED_WORD), "a value", seen);
        return;
    }
    if (c->discovery && key.len > 2 && key.ptr[0] == 'X' && key.ptr[1] == '-')
        finding(c, BOTH(p, VENDOR_KEY), "no vendor key in a discovery session", seen);
    if (neg->unknown_count == REFEREE_UNKNOWN_KEYS) {
        neg->unknown_lost = true;
        return;
    }
    neg->unknown[neg->unknown_count++] = (struct runknown){hash, p->number, (uint8_t)(1 + p->dir), false};
}
