/* The steps of CHAP, once it has been agreed on: who has to say what in which text (RFC 7143 12.1.3). Secrets
 * are not known here, so whether a response is right is nobody's business. */
#include <string.h>

#include "conformance/referee/internal.h"

struct chap_keys {
    struct text_range a, i, c, n, r; /* ptr NULL: not in this text */
};

static void collect(const uint8_t *text, uint32_t len, struct chap_keys *out)
{
    struct text_parser parser;
    struct text_range key, value;
    memset(out, 0, sizeof *out);
    text_parser_init(&parser, text, len, len);
    while (text_parser_next(&parser, &key, &value) == TEXT_PAIR) {
        if (value.ptr == NULL)
            continue;
        if (text_is(key, "CHAP_A"))
            out->a = value;
        else if (text_is(key, "CHAP_I"))
            out->i = value;
        else if (text_is(key, "CHAP_C"))
            out->c = value;
        else if (text_is(key, "CHAP_N"))
            out->n = value;
        else if (text_is(key, "CHAP_R"))
            out->r = value;
    }
}

/* 1024 bytes in binary: 2 + 2048 hexadecimal digits, or 2 + 1368 characters of base64. */
static bool too_long(struct text_range v)
{
    bool base64 = v.len > 1 && (v.ptr[1] == 'b' || v.ptr[1] == 'B');
    return v.ptr && v.len > (base64 ? 2u + 1368u : 2u + 2048u);
}

static void check_lengths(struct rconn *c, const struct rpdu *p, const struct chap_keys *k)
{
    if (too_long(k->c) || too_long(k->r))
        finding(c, p->dir == TO_T ? RULE_CHAP_LENGTH_I : RULE_CHAP_LENGTH_T, "at most 1024 bytes", "more");
}

static uint32_t algorithms(struct text_range list)
{
    struct text_range item;
    uint64_t n;
    uint32_t bits = 0;
    while (text_list_next(&list, &item))
        if (text_parse_number(item, &n) && n < 32)
            bits |= 1u << n;
    return bits;
}

static void from_initiator(struct rconn *c, const struct chap_keys *k)
{
    struct rchap *chap = &c->chap;
    if (chap->step == 0) {
        if (!k->a.ptr) {
            finding(c, RULE_CHAP_A_I, "CHAP_A", "no CHAP_A");
            c->must_refuse = RULE_CHAP_REFUSED;
            return;
        }
        chap->algorithms = algorithms(k->a);
        if (!(chap->algorithms & (1u << 5)))
            finding(c, RULE_CHAP_MD5, "5 in the list",
                    say("%.*s", (int)(k->a.len < 60 ? k->a.len : 60), k->a.ptr).text);
        chap->step = 1;
    } else if (chap->step == 2) {
        if (!k->n.ptr || !k->r.ptr || !k->c.ptr != !k->i.ptr) {
            finding(c, RULE_CHAP_R_I, "CHAP_N and CHAP_R, and CHAP_I with CHAP_C", "some missing");
            c->must_refuse = RULE_CHAP_REFUSED;
        }
        chap->mutual = k->c.ptr != NULL;
        if (k->c.ptr && chap->challenge[0] && text_is(k->c, chap->challenge))
            finding(c, RULE_CHAP_SAME_CHALLENGE, "another challenge", "the target's own challenge");
        chap->step = 3;
    }
}

static void from_target(struct rconn *c, const struct chap_keys *k)
{
    struct rchap *chap = &c->chap;
    uint64_t n = 32;
    if (chap->step == 1) {
        bool offered = k->a.ptr && (!text_parse_number(k->a, &n) || n > 31 || (chap->algorithms & (1u << n)));
        if (!offered || !k->i.ptr || !k->c.ptr)
            finding(c, RULE_CHAP_C_T, "CHAP_A of the list, CHAP_I and CHAP_C", "some missing");
        if (k->c.ptr && k->c.len < sizeof chap->challenge)
            (void)text_copy(k->c, chap->challenge, sizeof chap->challenge);
        chap->step = 2;
    } else if (chap->step == 3 && chap->mutual) {
        if (!k->n.ptr || !k->r.ptr)
            finding(c, RULE_CHAP_R_T, "CHAP_N and CHAP_R", "some missing");
        chap->step = 4;
    }
}

void chap_text(struct rconn *c, const struct rpdu *p, const uint8_t *text, uint32_t len)
{
    struct chap_keys keys;
    if (p->dir == TO_I && p->bhs[36] != 0)
        return; /* a refusal says nothing of CHAP */
    collect(text, len, &keys);
    check_lengths(c, p, &keys);
    if (!c->auth_agreed_chap && p->dir == TO_T &&
        keys.a.ptr) { /* ahead of the agreement: some do, and it counts */
        c->chap.step = 1;
        c->chap.algorithms = algorithms(keys.a);
    }
    if (!c->auth_agreed_chap || c->neg->stage != KEY_STAGE_SECURITY)
        return;
    if (p->dir == TO_T)
        from_initiator(c, &keys);
    else if (c->chap.step)
        from_target(c, &keys);
}
