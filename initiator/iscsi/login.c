/* Login: RFC 7143 section 6.3 from the initiator's side. Security stage first, always, then the operational
 * stage. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "initiator/iscsi/internal.h"

enum { STAGE_SECURITY = 0, STAGE_OPERATIONAL = 1, STAGE_FULL_FEATURE = 3 };

/* Login statuses in words: class, detail, sentence. */
static const struct {
    uint8_t status_class, detail;
    const char *text;
} login_statuses[] = {
    {2, 0, "the target refused the login: initiator error"},
    {2, 1, "authentication failed"},
    {2, 2, "the target does not allow this initiator to log in (authorization failure)"},
    {2, 3, "there is no target of that name"},
    {2, 4, "the target has been removed"},
    {2, 5, "the target supports no common protocol version"},
    {2, 6, "the target allows no more connections"},
    {2, 7, "the target misses a parameter in the login"},
    {2, 8, "the target cannot add the connection to the session"},
    {2, 9, "the target does not support this type of session"},
    {2, 10, "the session to continue does not exist"},
    {2, 11, "the target calls the login request invalid"},
    {3, 0, "the target has an internal error"},
    {3, 1, "the target's service is not available"},
    {3, 2, "the target is out of resources"},
};

static const char *login_status_text(uint8_t status_class, uint8_t detail)
{
    for (size_t i = 0; i < sizeof login_statuses / sizeof *login_statuses; i++)
        if (login_statuses[i].status_class == status_class && login_statuses[i].detail == detail)
            return login_statuses[i].text;
    return "the target refused the login for a reason that we do not know";
}

/* ---- requests ---- */

static uint8_t login_next_stage(const struct ini_session *s)
{
    return s->csg == STAGE_SECURITY ? STAGE_OPERATIONAL : STAGE_FULL_FEATURE;
}

/* Sends the next piece of our text. All pieces but the last carry C; T only goes with the last. */
static void login_send_piece(struct ini_session *s)
{
    struct pdu_login_request pdu;
    struct text_range piece = {0};
    bool more = false;
    uint8_t bhs[PDU_BHS_LEN];
    text_splitter_next(&s->out, s->keys.params.peer_max_recv_data_segment_length, &piece, &more);
    pdu_login_request_init(&pdu);
    pdu.more = more;
    pdu.transit = s->want_transit && !more; /* R7143-6.2-01 */
    pdu.csg = s->csg;
    if (pdu.transit)
        pdu.nsg = login_next_stage(s);
    memcpy(pdu.isid, s->options.isid, sizeof pdu.isid);
    pdu.itt = 1;
    pdu.cmd_sn = s->cmd_sn; /* all of a login carry the same: it is immediate */
    pdu.exp_stat_sn = s->exp_stat_sn;
    pdu_login_request_encode(&pdu, bhs);
    /* out_text may be written anew only when the answer is here, and by then the bytes are gone: borrowed is
     * enough. */
    struct slice data = slice_borrow(piece.ptr, (uint32_t)piece.len);
    ini_queue_pdu(s, bhs, piece.len ? &data : NULL, NULL);
}

static void login_send(struct ini_session *s, const struct text_writer *w, bool transit)
{
    if (w->overflow) {
        ini_fail(s, "our login text is too long");
        return;
    }
    if (++s->login_rounds > INI_LOGIN_ROUNDS) { /* R7143-6.2-26 */
        ini_fail(s, "the login does not come to an end");
        return;
    }
    s->want_transit = transit;
    text_splitter_init(&s->out, w->buf, w->len);
    login_send_piece(s);
}

static void login_writer(struct ini_session *s, struct text_writer *w)
{
    text_writer_init(w, s->out_text, INI_TEXT_OUT_MAX);
}

static bool login_with_chap(const struct ini_session *s)
{
    return s->options.chap_name[0] != 0;
}

static void login_key_config(struct ini_session *s, struct key_config *config)
{
    *config = s->options.keys;
    config->initiator_name = s->options.initiator_name;
    config->target_name = s->options.target_name;
    config->session_type = s->options.target_name[0] ? KEY_SESSION_NORMAL : KEY_SESSION_DISCOVERY;
    /* Who has a secret wants it used: None would let a target skip it. */
    config->auth_methods = (struct key_choices){1, {login_with_chap(s) ? KEY_AUTH_CHAP : KEY_AUTH_NONE}};
}

static void login_chap_init(struct ini_session *s)
{
    const struct ini_options *o = &s->options;
    struct chap_initiator_config config = {
        .own = {o->chap_name, o->chap_secret, o->chap_secret_len},
        .mutual = {o->mutual_name, o->mutual_secret, o->mutual_secret_len},
        .algs = o->chap_algs.count ? o->chap_algs : chap_algs_default(),
        .omit_md5 = o->chap_algs.count != 0,
    };
    chap_initiator_init(&s->chap, s->env, &config);
}

void ini_login_start(struct ini_session *s)
{
    struct key_config config;
    struct text_writer w;
    login_key_config(s, &config);
    key_negotiation_init(&s->keys, KEY_ROLE_INITIATOR, &config, true, NULL);
    login_chap_init(s);
    login_writer(s, &w);
    s->csg = STAGE_SECURITY;
    key_set_stage(&s->keys, KEY_STAGE_SECURITY);
    key_declare_initiator(&s->keys, &w);
    key_offer_security(&s->keys, &w);
    /* With CHAP there is more to say in this stage; without, we are ready to go on. */
    login_send(s, &w, !login_with_chap(s));
}

/* ---- responses ---- */

static bool login_header_good(struct ini_session *s, const struct pdu_login_response *pdu)
{
    if (pdu->version_active != 0) {
        ini_fail(s, "the target chose a protocol version that we do not know");
    } else if (pdu->itt != 1 || memcmp(pdu->isid, s->options.isid, sizeof pdu->isid) != 0) {
        ini_fail(s, "the target's Login Response is not for our login (task tag or ISID)");
    } else if (pdu->csg != s->csg) {
        ini_fail(s, "the target answers in another login stage than we are in");
    } else if (pdu->transit && pdu->more) { /* R7143-6.2-01 */
        ini_fail(s, "the target's Login Response has T and C set");
    } else if (pdu->transit && (!s->want_transit || pdu->nsg != login_next_stage(s))) { /* R7143-6.3-18 */
        ini_fail(s, "the target changes the login stage although it must not");
    } else {
        return true;
    }
    return false;
}

static bool login_auth_key(struct ini_session *s, enum key_id id, struct text_range value)
{
    uint64_t algorithm;
    if (id == KEY_CHAP_A && text_parse_number(value, &algorithm) && algorithm <= UINT8_MAX)
        s->chap_alg = (uint8_t)algorithm;
    if (chap_initiator_key(&s->chap, id, value) != CHAP_FAIL)
        return true;
    ini_fail(s, s->chap.failure.reason);
    return false;
}

/* All pairs of the joined text. */
static bool login_take_keys(struct ini_session *s, struct text_writer *w)
{
    struct text_parser parser;
    struct text_range key, value;
    enum text_result got;
    text_parser_init(&parser, s->in_text, s->in_len, s->in_len);
    while ((got = text_parser_next(&parser, &key, &value)) == TEXT_PAIR) {
        enum keys_verdict verdict = key_receive(&s->keys, key, value, w);
        if (verdict == KEYS_FAIL) {
            char reason[INI_REASON_MAX];
            snprintf(reason, sizeof reason, "login key %s: %s", s->keys.failure.key, s->keys.failure.reason);
            ini_fail(s, reason);
            return false;
        }
        if (verdict == KEYS_AUTH && !login_auth_key(s, key_find(key), value))
            return false;
    }
    if (got == TEXT_ERROR)
        ini_fail(s, parser.rule);
    return got == TEXT_END;
}

static void login_up(struct ini_session *s, const struct pdu_login_response *pdu)
{
    const struct key_params *p = &s->keys.params;
    bool header = p->header_digest == KEY_DIGEST_CRC32C, data = p->data_digest == KEY_DIGEST_CRC32C;
    s->tsih = pdu->tsih;
    s->state = INI_UP;
    framer_set_digests(&s->framer, header, data);
    s->framer.max_data = p->max_recv_data_segment_length; /* R7143-13.12-02 */
    tx_set_digests(&s->tx, header, data);
    key_set_stage(&s->keys, KEY_STAGE_FULL_FEATURE);
    s->in_len = 0;
    env_trace(s->env, TRACE_INFO, "initiator.login.ok", s->options.target_name, NULL, s->tsih, 0);
    ini_event_add(s, INI_EVENT_LOGGED_IN);
}

static void login_enter_operational(struct ini_session *s, struct text_writer *w)
{
    s->csg = STAGE_OPERATIONAL;
    key_set_stage(&s->keys, KEY_STAGE_OPERATIONAL);
    key_offer_operational(&s->keys, w);
    login_send(s, w, true);
}

static void login_transit(struct ini_session *s, const struct pdu_login_response *pdu, struct text_writer *w)
{
    if (login_with_chap(s) && s->csg == STAGE_SECURITY && s->chap.state != CHAP_INITIATOR_DONE) {
        ini_fail(s, "the target ends the security stage without authentication"); /* R7143-6.3.2-06 */
        return;
    }
    if (key_conclude(&s->keys) == KEYS_FAIL) {
        ini_fail(s, s->keys.failure.reason);
        return;
    }
    if (pdu->nsg == STAGE_FULL_FEATURE)
        login_up(s, pdu);
    else
        login_enter_operational(s, w);
}

/* One step of CHAP in the security stage; true when a request was sent (or the login failed). */
static bool login_chap_step(struct ini_session *s, struct text_writer *w)
{
    if (s->chap.state == CHAP_INITIATOR_DONE)
        return false;
    enum chap_verdict verdict;
    if (!s->chap_started) {
        s->chap_started = true;
        verdict = chap_initiator_start(&s->chap, w);
        if (verdict != CHAP_FAIL) {
            login_send(s, w, false);
            return true;
        }
    } else {
        bool proof_due = s->chap.state == CHAP_INITIATOR_WAIT_PROOF;
        verdict = chap_initiator_step(&s->chap, w);
        if (verdict != CHAP_FAIL && !proof_due) {
            login_send(s, w, true);
            return true;
        }
    }
    if (verdict == CHAP_FAIL) {
        ini_login_failed(s, 0, 1, s->chap.failure.reason);
        return true;
    }
    return false; /* the target has proved itself: its T bit decides */
}

static void login_complete_text(struct ini_session *s, const struct pdu_login_response *pdu)
{
    struct text_writer w;
    login_writer(s, &w);
    if (!login_take_keys(s, &w))
        return;
    s->in_len = 0;
    if (s->keys.auth_state == KEY_AUTH_REJECTED) {
        ini_login_failed(s, 0, 1, "the target refuses all authentication methods that we offer");
        return;
    }
    if (key_flush(&s->keys, &w) == KEYS_FAIL) {
        ini_fail(s, s->keys.failure.reason);
        return;
    }
    if (s->csg == STAGE_SECURITY && login_with_chap(s)) {
        if (s->keys.auth_state != KEY_AUTH_CHOSEN) {
            ini_login_failed(s, 0, 1, "the target does not answer our authentication method");
            return;
        }
        if (login_chap_step(s, &w))
            return;
    }
    if (pdu->transit)
        login_transit(s, pdu, &w);
    else
        login_send(s, &w, true); /* it wants another exchange */
}

static void login_status(struct ini_session *s, const struct pdu_login_response *pdu,
                         const struct framer_pdu *frame)
{
    char reason[INI_REASON_MAX];
    if (pdu->status_class != 1) {
        snprintf(reason, sizeof reason, "%s (status %02x%02x)",
                 login_status_text(pdu->status_class, pdu->status_detail), pdu->status_class,
                 pdu->status_detail);
        ini_login_failed(s, pdu->status_class, pdu->status_detail, reason);
        return;
    }
    struct text_parser parser;
    struct text_range key, value;
    text_parser_init(&parser, frame->data.ptr, frame->data_len, TEXT_VALUE_LEN_MAX);
    while (text_parser_next(&parser, &key, &value) == TEXT_PAIR) {
        if (text_is(key, "TargetAddress") && text_copy(value, reason, sizeof reason)) {
            ini_login_failed(s, pdu->status_class, pdu->status_detail, reason);
            return;
        }
    }
    ini_login_failed(s, 0, 0, "the target redirects us without saying where");
}

void ini_login_pdu(struct ini_session *s, const struct framer_pdu *frame)
{
    struct pdu_login_response pdu;
    pdu_login_response_decode(frame->bhs, &pdu);
    if (pdu.status_class != 0) {
        login_status(s, &pdu, frame);
        return;
    }
    s->exp_stat_sn = pdu.stat_sn + 1; /* the first response sets it: R7143-11.13.4-01 */
    ini_update_window(s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (!login_header_good(s, &pdu))
        return;
    if (!ini_collect_text(s, frame)) {
        ini_fail(s, "the target's login text does not end");
        return;
    }
    if (text_splitter_more(&s->out)) {
        if (frame->data_len)
            ini_fail(s, "the target answers although our text is not complete"); /* R7143-6.2-03 */
        else
            login_send_piece(s);
    } else if (pdu.more) {
        struct text_writer w;
        login_writer(s, &w);
        login_send(s, &w, false); /* empty: go on */
    } else {
        login_complete_text(s, &pdu);
    }
}
