/* Text negotiation as both sides see it: who proposed what, who answered what, and whether he might. One
 * instance lives through a login, another through each text negotiation of the full feature phase. Nobody's
 * preferences are known here, so only what no preference could excuse is a finding. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/iscsi/digest.h"
#include "conformance/referee/internal.h"

#define BOTH(p, name) ((p)->dir == TO_T ? RULE_##name##_I : RULE_##name##_T)

/* ---- life ---- */

bool keys_begin(struct rconn *c, enum key_stage stage, bool leading)
{
    if (!c->neg)
        c->neg = conn_alloc(c, sizeof *c->neg);
    if (!c->neg)
        return false;
    memset(c->neg, 0, sizeof *c->neg);
    c->neg->stage = stage;
    c->neg->leading = leading;
    return true;
}

void keys_end(struct rconn *c)
{
    conn_release(c, c->neg, sizeof *c->neg);
    c->neg = NULL;
}

/* ---- helpers ---- */

static bool is_reserved_word(struct text_range v)
{
    return text_is(v, "NotUnderstood") || text_is(v, "Reject") || text_is(v, "Irrelevant");
}

static bool is_negotiated(enum key_kind kind)
{
    return kind <= KEY_KIND_MAX || kind == KEY_KIND_OBSOLETE;
}

/* "Key=value" for a finding, unprintable bytes as dots. */
static struct words pair_words(struct text_range key, struct text_range value)
{
    struct words w;
    int n = snprintf(w.text, sizeof w.text, "%.*s=%.*s", (int)(key.len < 63 ? key.len : 63), key.ptr,
                     (int)(value.len < 80 ? value.len : 80), value.len ? value.ptr : "");
    for (int i = 0; i < n && w.text[i]; i++)
        if (w.text[i] < 0x20 || w.text[i] > 0x7e)
            w.text[i] = '.';
    return w;
}

static void keep_text(char *to, size_t cap, struct text_range v)
{
    size_t n = v.len < cap ? v.len : cap - 1;
    if (n)
        memcpy(to, v.ptr, n);
    to[n] = 0;
}

static bool list_has(struct text_range list, const char *word)
{
    struct text_range item;
    while (text_list_next(&list, &item))
        if (text_is(item, word))
            return true;
    return false;
}

static bool list_has_range(struct text_range list, struct text_range word)
{
    struct text_range item;
    while (text_list_next(&list, &item))
        if (text_equal(item, word))
            return true;
    return false;
}

/* An extension of the kind whose names begin with `letter` and a dash. */
static bool list_has_extension(struct text_range list, char letter, bool *hash)
{
    struct text_range item;
    bool found = false;
    while (text_list_next(&list, &item))
        if (item.len > 2 && item.ptr[0] == letter) {
            found = found || item.ptr[1] == '-';
            *hash = *hash || item.ptr[1] == '#';
        }
    return found;
}

/* ---- values ---- */

/* Form and range of a number or boolean; false after a finding. */
static bool value_ok(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                     uint64_t *out)
{
    const struct key_def *def = &key_defs[id];
    struct words seen = pair_words(text_range_of(def->name), value);
    bool yes;
    if (def->kind == KEY_KIND_AND || def->kind == KEY_KIND_OR) {
        if (!text_parse_bool(value, &yes)) {
            finding(c, BOTH(p, BOOLEAN), "Yes or No", seen.text);
            return false;
        }
        *out = yes;
        return true;
    }
    if (!text_parse_number(value, out)) {
        finding(c, BOTH(p, NUMBER), "a number", seen.text);
        return false;
    }
    if (*out >= def->min && *out <= def->max)
        return true;
    finding(c, rule_find(def->requirement, sender(p)),
            say("%" PRIu32 " to %" PRIu32, def->min, def->max).text, seen.text);
    return false;
}

static void check_digest_offer(struct rconn *c, const struct rpdu *p, struct text_range value,
                               const char *seen)
{
    bool hash = false;
    if (list_has_extension(value, 'Y', &hash) && (!list_has(value, "CRC32C") || list_has(value, "None")))
        finding(c, BOTH(p, DIGEST_EXTENSION), "CRC32C and no None beside an extension", seen);
    if (hash)
        finding(c, BOTH(p, DIGEST_NAME), "Y-name", seen);
}

static void check_auth_offer(struct rconn *c, const struct rpdu *p, struct text_range value, const char *seen)
{
    bool hash = false;
    if (list_has_extension(value, 'Z', &hash) && (!list_has(value, "CHAP") || list_has(value, "None")))
        finding(c, BOTH(p, AUTH_EXTENSION), "CHAP and no None beside an extension", seen);
    if (hash)
        finding(c, BOTH(p, AUTH_NAME), "Z-name", seen);
}

static void check_list_offer(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                             const char *seen)
{
    if (id == KEY_HEADER_DIGEST || id == KEY_DATA_DIGEST)
        check_digest_offer(c, p, value, seen);
    if (id == KEY_AUTH_METHOD)
        check_auth_offer(c, p, value, seen);
    if (id == KEY_TASK_REPORTING && (!list_has(value, "RFC3720") || !list_has(value, "ResponseFence")))
        finding(c, BOTH(p, TASK_REPORTING_OFFER), "RFC3720 and ResponseFence in the list", seen);
}

static void check_name(struct rconn *c, const struct rpdu *p, struct text_range value, const char *seen)
{
    const char *reason = "";
    enum rule_id rule = BOTH(p, NAME_FORM);
    if (name_check(value.ptr, value.len, NAME_STRICT, &reason) != NAME_INVALID)
        return;
    if (value.len > NAME_LEN_MAX)
        rule = BOTH(p, NAME_LENGTH);
    else if (value.len > 4 && memcmp(value.ptr, "iqn.", 4) == 0)
        rule = BOTH(p, NAME_IQN);
    else if (value.len > 4 && memcmp(value.ptr, "eui.", 4) == 0)
        rule = BOTH(p, NAME_EUI);
    else if (value.len > 4 && memcmp(value.ptr, "naa.", 4) == 0)
        rule = BOTH(p, NAME_NAA);
    finding(c, rule, reason, seen);
}

/* host[:port][,tag]; in a redirection without the tag, in an answer to SendTargets with it. */
static void check_address(struct rconn *c, struct text_range value, bool redirect, const char *seen)
{
    struct name_address address;
    if (!name_address_parse(value.ptr, value.len, &address))
        finding(c, RULE_ADDRESS, "host[:port][,tag]", seen);
    else if (redirect && address.has_tag)
        finding(c, RULE_ADDRESS_REDIRECT_TAG, "no portal group tag", seen);
    else if (!redirect && !address.has_tag)
        finding(c, RULE_ADDRESS_TAG, "a portal group tag", seen);
}

/* ---- declarations ---- */

static void declare(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                    const char *seen)
{
    uint64_t n;
    bool login = c->neg->stage != KEY_STAGE_FULL_FEATURE;
    switch (id) {
    case KEY_MAX_RECV_DATA_SEGMENT_LENGTH:
        if (value_ok(c, p, id, value, &n))
            c->neg->max_recv[p->dir] = (uint32_t)n;
        break;
    case KEY_INITIATOR_NAME:
        check_name(c, p, value, seen);
        (void)name_normalize(value.ptr, value.len, NAME_LENIENT, c->initiator_name, NULL);
        break;
    case KEY_TARGET_NAME:
        check_name(c, p, value, seen);
        (void)name_normalize(value.ptr, value.len, NAME_LENIENT, c->target_name, NULL);
        break;
    case KEY_SESSION_TYPE:
        c->discovery = text_is(value, "Discovery");
        if (!c->discovery && !text_is(value, "Normal"))
            finding(c, RULE_SESSION_TYPE, "Discovery or Normal", seen);
        if (c->discovery && c->logins_text > 1)
            finding(c, RULE_SESSION_TYPE_FIRST, "in the first request", seen);
        break;
    case KEY_TARGET_ADDRESS:
        c->has_target_address = true;
        check_address(c, value, login, seen);
        break;
    case KEY_TARGET_PORTAL_GROUP_TAG:
        if (!text_parse_number(value, &n) || n > 65535)
            finding(c, RULE_PORTAL_GROUP_TAG, "0 to 65535", seen);
        break;
    default:
        if (value.len > key_defs[id].max)
            finding(c, id == KEY_NODE_ARCHITECTURE ? BOTH(p, NODE_ARCHITECTURE) : BOTH(p, VALUE_LENGTH),
                    "at most 255 bytes", seen);
        break;
    }
}

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
    if (is_reserved_word(value)) {
        finding(c, BOTH(p, RESERVED_WORD), "a value", seen);
        return false;
    }
    if (def->use == KEY_USE_LO && !c->neg->leading && c->neg->stage != KEY_STAGE_FULL_FEATURE) {
        finding(c, rule_find(def->requirement, sender(p)), "only in the leading login", seen);
        return false;
    }
    if (!(def->flags & KEY_FLAG_REPEAT) && ((k->declared & (1u << p->dir)) || k->offered_by)) {
        finding(c, repeat_rule(c, p, id), "the key once", seen);
        return false;
    }
    return true;
}

static void propose(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                    const char *seen)
{
    const struct key_def *def = &key_defs[id];
    struct rkey *k = &c->neg->keys[id];
    uint64_t n;
    if (!may_say(c, p, id, value, seen))
        return;
    if (!is_negotiated(def->kind)) {
        k->declared = (uint8_t)(k->declared | 1u << p->dir);
        declare(c, p, id, value, seen);
        return;
    }
    k->offered_by = (uint8_t)(1 + p->dir);
    k->offered_at = p->number;
    keep_text(k->offer, sizeof k->offer, value);
    if (def->kind == KEY_KIND_LIST)
        check_list_offer(c, p, id, value, seen);
    else if (def->kind != KEY_KIND_OBSOLETE && !value_ok(c, p, id, value, &n))
        k->inadmissible = true; /* R7143-6.2.2-02 */
}

/* ---- answers ---- */

static void answer_list(struct rconn *c, const struct rpdu *p, struct rkey *k, struct text_range value,
                        const char *seen)
{
    struct text_range offer = text_range_of(k->offer);
    if (list_has_range(offer, value))
        return;
    finding(c, text_is(value, "None") ? BOTH(p, NONE_NOT_OFFERED) : BOTH(p, NOT_OFFERED), k->offer, seen);
}

static void answer_value(struct rconn *c, const struct rpdu *p, enum key_id id, struct rkey *k,
                         struct text_range value, const char *seen)
{
    enum key_kind kind = key_defs[id].kind;
    uint64_t theirs, ours = 0;
    bool yes = false;
    if (!value_ok(c, p, id, value, &theirs))
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

static void answer(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                   const char *seen)
{
    const struct key_def *def = &key_defs[id];
    struct rkey *k = &c->neg->keys[id];
    k->answered = true;
    keep_text(k->answer, sizeof k->answer, value);
    if (k->inadmissible) {
        answer_inadmissible(id, k, value);
        return;
    }
    if (def->kind == KEY_KIND_OBSOLETE) {
        answer_obsolete(c, p, id, value, seen);
        return;
    }
    if (is_reserved_word(value)) {
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

static void unknown_key(struct rconn *c, const struct rpdu *p, struct text_range key, struct text_range value,
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
    if (is_reserved_word(value) && !neg->unknown_lost) {
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

/* ---- answers to SendTargets ---- */

static void record(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                   const char *seen)
{
    char name[NAME_CAP];
    if (id == KEY_TARGET_NAME) {
        c->record_open = true;
        check_name(c, p, value, seen);
        if (name_normalize(value.ptr, value.len, NAME_LENIENT, name, NULL) == NAME_INVALID)
            return;
        if (c->send_targets_value[0] == 0 && c->session && !c->session->discovery &&
            strcmp(name, c->session->target_name))
            finding(c, RULE_SEND_TARGETS_EMPTY, c->session->target_name, seen);
        if (c->session && !c->session->discovery && strcmp(c->send_targets_value, "All") == 0)
            finding(c, RULE_SEND_TARGETS_ALL, "no records", seen);
        return;
    }
    if (!c->record_open)
        finding(c, RULE_RECORD_ORDER, "TargetName first", seen);
    check_address(c, value, false, seen);
}

/* ---- pairs ---- */

static void pair(struct rconn *c, const struct rpdu *p, struct text_range key, struct text_range value)
{
    struct words seen = pair_words(key, value);
    enum key_id id = key_find(key);
    bool full = c->neg->stage == KEY_STAGE_FULL_FEATURE;
    if (id == KEY_UNKNOWN) {
        unknown_key(c, p, key, value, seen.text);
        return;
    }
    const struct rkey *k = &c->neg->keys[id];
    bool other = k->offered_by && k->offered_by != 1 + p->dir;
    if (full && p->dir == TO_I && c->send_targets) {
        if (id == KEY_TARGET_NAME || id == KEY_TARGET_ADDRESS)
            record(c, p, id, value, seen.text);
        else if (!(id == KEY_SEND_TARGETS && is_reserved_word(value)))
            finding(c, RULE_RECORD_KEYS, "TargetName and TargetAddress", seen.text);
    } else if (is_negotiated(key_defs[id].kind) && other && !k->answered)
        answer(c, p, id, value, seen.text);
    else if (is_reserved_word(value) && (k->declared & (1u << !p->dir)))
        undecided(c); /* a declaration is refused */
    else if (key_defs[id].kind == KEY_KIND_AUTH) {
        if (c->neg->stage != KEY_STAGE_SECURITY)
            finding(c, full ? BOTH(p, KEY_FULL) : BOTH(p, KEY_PLACE), "no such key here", seen.text);
    } else
        propose(c, p, id, value, seen.text);
    if (full && id == KEY_SEND_TARGETS && p->dir == TO_T) {
        c->send_targets = true;
        c->record_open = false;
        keep_text(c->send_targets_value, sizeof c->send_targets_value, value);
    }
}

static void parse(struct rconn *c, const struct rpdu *p, const uint8_t *text, uint32_t len)
{
    struct text_parser parser;
    struct text_range key, value;
    enum text_result got;
    unsigned pairs = 0;
    text_parser_init(&parser, text, len, len);
    while ((got = text_parser_next(&parser, &key, &value)) == TEXT_PAIR) {
        pairs++;
        pair(c, p, key, value);
    }
    if (got == TEXT_ERROR)
        finding(c, rule_find(parser.requirement, sender(p)), parser.rule, say("key \"%s\"", parser.key).text);
    if (c->neg->stage == KEY_STAGE_FULL_FEATURE && p->dir == TO_T && c->send_targets && pairs > 1)
        finding(c, RULE_SEND_TARGETS_ALONE, "SendTargets alone", say("%u keys", pairs).text);
    if (c->neg->stage != KEY_STAGE_FULL_FEATURE)
        chap_text(c, p, text, len);
}

/* ---- joining ---- */

static bool join(struct rconn *c, const struct rpdu *p)
{
    struct rtext *t = &c->text[p->dir];
    if (p->kept < p->data_len || t->len + p->data_len > REFEREE_TEXT_MAX)
        return false;
    if (!t->buf) {
        t->buf = conn_alloc(c, REFEREE_TEXT_MAX);
        t->cap = t->buf ? REFEREE_TEXT_MAX : 0;
    }
    if (!t->buf)
        return false;
    if (p->data_len)
        memcpy(t->buf + t->len, p->data, p->data_len);
    t->len += p->data_len;
    return true;
}

bool keys_text(struct rconn *c, const struct rpdu *p, bool more)
{
    struct rtext *t = &c->text[p->dir];
    bool started = t->open;
    if (!c->neg)
        return !more;
    t->open = more;
    if (p->kept < p->data_len || ((started || more) && !join(c, p))) {
        t->len = 0;
        conn_blind(c); /* a text that we could not keep may have said anything */
        return !more;
    }
    if (more)
        return false;
    if (!started)
        parse(c, p, p->data, p->data_len);
    else
        parse(c, p, t->buf, t->len);
    t->len = 0;
    return true;
}

/* ---- the end ---- */

static bool settles_itself(enum key_kind kind, const struct rkey *k)
{
    return (kind == KEY_KIND_AND && strcmp(k->offer, "No") == 0) ||
           (kind == KEY_KIND_OR && strcmp(k->offer, "Yes") == 0);
}

bool keys_open(const struct rconn *c, enum tap_direction by, const char **which)
{
    for (uint32_t i = 0; c->neg && i < c->neg->unknown_count; i++)
        if (c->neg->unknown[i].offered_by == 1 + by && c->neg->unknown[i].offered_at == c->pdus) {
            *which = "an unknown key";
            return true;
        }
    for (unsigned id = 0; c->neg && id < KEY_COUNT; id++) {
        const struct rkey *k = &c->neg->keys[id];
        enum key_kind kind = key_defs[id].kind;
        if (is_negotiated(kind) && k->offered_by == 1 + by && k->offered_at == c->pdus && !k->answered &&
            !k->inadmissible && !settles_itself(kind, k)) {
            *which = key_defs[id].name;
            return true;
        }
    }
    return false;
}

bool keys_digest(const struct rconn *c, enum key_id id)
{
    return c->neg && c->neg->keys[id].answered && strcmp(c->neg->keys[id].answer, "CRC32C") == 0;
}

bool keys_is_declared(const struct rconn *c, enum key_id id, enum tap_direction by)
{
    return c->neg && (c->neg->keys[id].declared & (1u << by));
}

static void set_param(struct key_params *q, enum key_id id, uint64_t value)
{
    uint32_t n = (uint32_t)value;
    switch (id) {
    case KEY_MAX_CONNECTIONS:
        q->max_connections = n;
        break;
    case KEY_INITIAL_R2T:
        q->initial_r2t = n;
        break;
    case KEY_IMMEDIATE_DATA:
        q->immediate_data = n;
        break;
    case KEY_MAX_BURST_LENGTH:
        q->max_burst_length = n;
        break;
    case KEY_FIRST_BURST_LENGTH:
        q->first_burst_length = n;
        break;
    case KEY_MAX_OUTSTANDING_R2T:
        q->max_outstanding_r2t = n;
        break;
    case KEY_DATA_PDU_IN_ORDER:
        q->data_pdu_in_order = n;
        break;
    case KEY_DATA_SEQUENCE_IN_ORDER:
        q->data_sequence_in_order = n;
        break;
    case KEY_ERROR_RECOVERY_LEVEL:
        q->error_recovery_level = n;
        break;
    case KEY_ISCSI_PROTOCOL_LEVEL:
        q->iscsi_protocol_level = n;
        break;
    default:
        break;
    }
}

/* Who left an offer without an answer? The other side than the one that made it. */
static void tell_unanswered(struct rconn *c, enum key_id id, const struct rkey *k)
{
    bool by_initiator = k->offered_by == 1 + TO_T;
    enum key_kind kind = key_defs[id].kind;
    enum rule_id rule = by_initiator ? RULE_NO_ANSWER_T : RULE_NO_ANSWER_I;
    if (kind == KEY_KIND_LIST)
        rule = by_initiator ? RULE_NO_ANSWER_LIST_T : RULE_NO_ANSWER_LIST_I;
    else if (kind == KEY_KIND_AND || kind == KEY_KIND_OR)
        rule = by_initiator ? RULE_NO_ANSWER_BOOLEAN_T : RULE_NO_ANSWER_BOOLEAN_I;
    finding(c, rule, "an answer", say("none for %s=%.80s", key_defs[id].name, k->offer).text);
}

void keys_conclude(struct rconn *c, struct key_params *params)
{
    struct rnegotiation *neg = c->neg;
    for (unsigned id = 0; id < KEY_COUNT; id++) {
        const struct rkey *k = &neg->keys[id];
        enum key_kind kind = key_defs[id].kind;
        if (!is_negotiated(kind) || !k->offered_by)
            continue;
        if (k->has_outcome)
            set_param(params, (enum key_id)id, k->outcome);
        else if (!k->answered && settles_itself(kind, k))
            set_param(params, (enum key_id)id, kind == KEY_KIND_OR);
        else if (!k->answered && !k->inadmissible &&
                 k->offered_at != c->pdus) /* the last PDU's can't be answered */
            tell_unanswered(c, (enum key_id)id, k);
        if (id == KEY_TASK_REPORTING && strcmp(k->answer, "FastAbort") == 0)
            params->task_reporting = KEY_TASK_REPORTING_FAST_ABORT;
    }
    for (uint32_t i = 0; i < neg->unknown_count; i++)
        if (!neg->unknown[i].answered && neg->unknown[i].offered_at != c->pdus)
            finding(c, neg->unknown[i].offered_by == 1 + TO_T ? RULE_UNKNOWN_ANSWER_T : RULE_UNKNOWN_ANSWER_I,
                    "an answer to an unknown key", "none");
}
