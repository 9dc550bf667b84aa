/* Text negotiation as both sides see it: who proposed what, who answered what, and whether he might. One
 * instance lives through a login, another through each text negotiation of the full feature phase. Nobody's
 * preferences are known here, so only what no preference could excuse is a finding. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conformance/referee/keys_internal.h"

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

bool keys_is_reserved_word(struct text_range v)
{
    return text_is(v, "NotUnderstood") || text_is(v, "Reject") || text_is(v, "Irrelevant");
}

bool keys_is_negotiated(enum key_kind kind)
{
    return kind <= KEY_KIND_MAX || kind == KEY_KIND_OBSOLETE;
}

/* "Key=value" for a finding, unprintable bytes as dots. */
struct words keys_pair_words(struct text_range key, struct text_range value)
{
    struct words w;
    int n = snprintf(w.text, sizeof w.text, "%.*s=%.*s", (int)(key.len < 63 ? key.len : 63), key.ptr,
                     (int)(value.len < 80 ? value.len : 80), value.len ? value.ptr : "");
    for (int i = 0; i < n && w.text[i]; i++)
        if (w.text[i] < 0x20 || w.text[i] > 0x7e)
            w.text[i] = '.';
    return w;
}

void keys_keep_text(char *to, size_t cap, struct text_range v)
{
    size_t n = v.len < cap ? v.len : cap - 1;
    if (n)
        memcpy(to, v.ptr, n);
    to[n] = 0;
}

/* ---- answers to SendTargets ---- */

static void record(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                   const char *seen)
{
    char name[NAME_CAP];
    if (id == KEY_TARGET_NAME) {
        c->record_open = true;
        keys_check_name(c, p, value, seen);
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
    keys_check_address(c, value, false, seen);
}

/* ---- pairs ---- */

static void pair(struct rconn *c, const struct rpdu *p, struct text_range key, struct text_range value)
{
    struct words seen = keys_pair_words(key, value);
    enum key_id id = key_find(key);
    bool full = c->neg->stage == KEY_STAGE_FULL_FEATURE;
    if (id == KEY_UNKNOWN) {
        keys_unknown_key(c, p, key, value, seen.text);
        return;
    }
    const struct rkey *k = &c->neg->keys[id];
    bool other = k->offered_by && k->offered_by != 1 + p->dir;
    if (full && p->dir == TO_I && c->send_targets) {
        if (id == KEY_TARGET_NAME || id == KEY_TARGET_ADDRESS)
            record(c, p, id, value, seen.text);
        else if (!(id == KEY_SEND_TARGETS && keys_is_reserved_word(value)))
            finding(c, RULE_RECORD_KEYS, "TargetName and TargetAddress", seen.text);
    } else if (keys_is_negotiated(key_defs[id].kind) && other && !k->answered)
        keys_answer(c, p, id, value, seen.text);
    else if (keys_is_reserved_word(value) && (k->declared & (1u << !p->dir)))
        undecided(c); /* a declaration is refused */
    else if (key_defs[id].kind == KEY_KIND_AUTH) {
        if (c->neg->stage != KEY_STAGE_SECURITY)
            finding(c, full ? BOTH(p, KEY_FULL) : BOTH(p, KEY_PLACE), "no such key here", seen.text);
    } else
        keys_propose(c, p, id, value, seen.text);
    if (full && id == KEY_SEND_TARGETS && p->dir == TO_T) {
        c->send_targets = true;
        c->record_open = false;
        keys_keep_text(c->send_targets_value, sizeof c->send_targets_value, value);
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
