/* For tests of logins: answers by text, and a target that does CHAP. */
#ifndef LUNETTE_TESTS_INITIATOR_LOGIN_H
#define LUNETTE_TESTS_INITIATOR_LOGIN_H

#include "tests/unit/initiator_harness.h"

/* Joins "key=value" strings with their NULs; ended by NULL. */
static inline uint32_t joined(char *out, size_t cap, va_list args)
{
    size_t len = 0;
    for (const char *pair; (pair = va_arg(args, const char *)) != NULL;) {
        size_t n = strlen(pair) + 1;
        assert_true(len + n <= cap);
        memcpy(out + len, pair, n);
        len += n;
    }
    return (uint32_t)len;
}

/* Takes a login request and answers it. */
static inline void answer(struct rig *r, int transit, ...)
{
    char text[8192];
    va_list args;
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    struct pdu_login_response pdu = rig_login_response(r, request, transit != 0);
    va_start(args, transit);
    uint32_t len = joined(text, sizeof text, args);
    va_end(args);
    RIG_SEND(r, login_response, &pdu, text, len);
}

static inline bool has_pair(const struct rig_pdu *pdu, const char *pair)
{
    for (uint32_t at = 0; at < pdu->len; at += (uint32_t)strlen((char *)pdu->data + at) + 1)
        if (strcmp((char *)pdu->data + at, pair) == 0)
            return true;
    return false;
}

/* The value of a key in a request, or NULL. */
static inline const char *value_of(const struct rig_pdu *pdu, const char *key)
{
    size_t n = strlen(key);
    for (uint32_t at = 0; at < pdu->len; at += (uint32_t)strlen((char *)pdu->data + at) + 1)
        if (strncmp((char *)pdu->data + at, key, n) == 0 && pdu->data[at + n] == '=')
            return (char *)pdu->data + at + n + 1;
    return NULL;
}

static inline struct pdu_login_request decoded(const struct rig_pdu *pdu)
{
    struct pdu_login_request out;
    pdu_login_request_decode(pdu->bhs, &out);
    return out;
}

/* The login must have failed; returns the event. */
static inline const struct rig_event *refused(struct rig *r)
{
    const struct rig_event *e = rig_event(r, INI_EVENT_LOGIN_FAILED);
    assert_true(rig_closing(r));
    assert_true(e->reason[0] != 0);
    rig_lost(r, 0);
    return e;
}

/* ---- CHAP ---- */

#define SECRET "the secret of twelve"
#define MUTUAL "another secret here"

static const char *chap_target_name = "disk"; /* its CHAP_N */

static inline bool find_user(void *ctx, const char *name, struct chap_user *out)
{
    const char *mutual = ctx;
    if (strcmp(name, "alice") != 0)
        return false;
    out->in = (struct chap_secret){NULL, (const uint8_t *)SECRET, strlen(SECRET)};
    out->out = (struct chap_secret){chap_target_name, (const uint8_t *)mutual, strlen(mutual)};
    return true;
}

static inline struct rig *chap_rig(bool mutual)
{
    struct rig *r = rig_new();
    struct ini_options *o = &r->options;
    strcpy(o->chap_name, "alice");
    memcpy(o->chap_secret, SECRET, strlen(SECRET));
    o->chap_secret_len = (uint32_t)strlen(SECRET);
    if (mutual) {
        memcpy(o->mutual_secret, MUTUAL, strlen(MUTUAL));
        o->mutual_secret_len = (uint32_t)strlen(MUTUAL);
    }
    return r;
}

/* Plays the target's CHAP; true when both sides are satisfied. */
static inline bool chap_exchange(struct rig *r, struct chap_algs algs, bool base64, char *mutual_secret)
{
    struct chap_target t;
    struct chap_lookup lookup = {mutual_secret, find_user};
    chap_target_init(&t, &r->env, &lookup, &algs, base64);
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    assert_true(has_pair(request, "AuthMethod=CHAP"));
    assert_false(decoded(request).transit);
    struct pdu_login_response pdu = rig_login_response(r, request, false);
    RIG_SEND(r, login_response, &pdu, "AuthMethod=CHAP", 16);
    for (int step = 0; step < 2; step++) {
        char text[4096];
        struct text_writer w;
        struct text_parser parser;
        struct text_range key, value;
        request = rig_take(r, PDU_OP_login_request);
        assert_int_equal(decoded(request).csg, 0);
        assert_null(strstr((char *)request->data, SECRET));
        text_writer_init(&w, text, sizeof text);
        text_parser_init(&parser, request->data, request->len, request->len);
        while (text_parser_next(&parser, &key, &value) == TEXT_PAIR)
            assert_int_equal(chap_target_key(&t, key_find(key), value), CHAP_CONTINUE);
        if (chap_target_step(&t, &w) == CHAP_FAIL)
            return false;
        pdu = rig_login_response(r, request, t.state == CHAP_TARGET_DONE);
        RIG_SEND(r, login_response, &pdu, text, (uint32_t)w.len);
    }
    return t.state == CHAP_TARGET_DONE;
}

#endif
