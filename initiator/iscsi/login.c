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

static uint8_t login_next_stage(const struct ini_conn *conn)
{
    return conn->csg == STAGE_SECURITY ? STAGE_OPERATIONAL : STAGE_FULL_FEATURE;
}

/* Below all tags of ini_slot_take, and its own for each of several logins at once. */
static uint32_t login_itt(const struct ini_conn *conn)
{
    return (conn->cid & 0x7fffu) + 1;
}

/* Sends the next piece of our text. All pieces but the last carry C; T only goes with the last. */
static void login_send_piece(struct ini_conn *conn)
{
    struct pdu_login_request pdu;
    struct text_range piece = {0};
    bool more = false;
    uint8_t bhs[PDU_BHS_LEN];
    text_splitter_next(&conn->out, conn->keys.params.peer_max_recv_data_segment_length, &piece, &more);
    pdu_login_request_init(&pdu);
    pdu.more = more;
    pdu.transit = conn->want_transit && !more; /* R7143-6.2-01 */
    pdu.csg = conn->csg;
    if (pdu.transit)
        pdu.nsg = login_next_stage(conn);
    memcpy(pdu.isid, conn->s->options.isid, sizeof pdu.isid);
    pdu.tsih = conn->leading ? 0 : conn->s->tsih; /* R7143-11.12.6-01: a session of ours gets one more */
    pdu.cid = conn->cid;
    pdu.itt = login_itt(conn);
    pdu.cmd_sn = conn->s->cmd_sn; /* all of a login carry the same: it is immediate */
    pdu.exp_stat_sn = conn->exp_stat_sn;
    pdu_login_request_encode(&pdu, bhs);
    /* out_text may be written anew only when the answer is here, and by then the bytes are gone: borrowed is
     * enough. */
    struct slice data = slice_borrow(piece.ptr, (uint32_t)piece.len);
    ini_queue_pdu(conn, bhs, piece.len ? &data : NULL, NULL);
}

static void login_send(struct ini_conn *conn, const struct text_writer *w, bool transit)
{
    if (w->overflow) {
        ini_conn_fail(conn, "our login text is too long");
        return;
    }
    if (++conn->login_rounds > INI_LOGIN_ROUNDS) { /* R7143-6.2-26 */
        ini_conn_fail(conn, "the login does not come to an end");
        return;
    }
    conn->want_transit = transit;
    text_splitter_init(&conn->out, w->buf, w->len);
    login_send_piece(conn);
}

static void login_writer(struct ini_conn *conn, struct text_writer *w)
{
    text_writer_init(w, conn->out_text, INI_TEXT_OUT_MAX);
}

static bool login_with_chap(const struct ini_conn *conn)
{
    return conn->s->options.chap_name[0] != 0;
}

static void login_key_config(struct ini_conn *conn, struct key_config *config)
{
    *config = conn->s->options.keys;
    config->initiator_name = conn->s->options.initiator_name;
    config->target_name = conn->s->options.target_name;
    config->session_type = conn->s->options.target_name[0] ? KEY_SESSION_NORMAL : KEY_SESSION_DISCOVERY;
    /* Who has a secret wants it used: None would let a target skip it. */
    config->auth_methods = (struct key_choices){1, {login_with_chap(conn) ? KEY_AUTH_CHAP : KEY_AUTH_NONE}};
}

static void login_chap_init(struct ini_conn *conn)
{
    const struct ini_options *o = &conn->s->options;
    struct chap_initiator_config config = {
        .own = {o->chap_name, o->chap_secret, o->chap_secret_len},
        .mutual = {o->mutual_name, o->mutual_secret, o->mutual_secret_len},
        .algs = o->chap_algs.count ? o->chap_algs : chap_algs_default(),
        .omit_md5 = o->chap_algs.count != 0,
    };
    chap_initiator_init(&conn->chap, conn->env, &config);
}

void ini_login_start(struct ini_conn *conn)
{
    struct key_config config;
    struct text_writer w;
    login_key_config(conn, &config);
    key_negotiation_init(&conn->keys, KEY_ROLE_INITIATOR, &config, conn->leading,
                         conn->leading ? NULL : &conn->s->params);
    if (conn->reinstates)
        conn->exp_stat_sn = conn->reinstates->exp_stat_sn; /* R7143-11.12.9-01 */
    login_chap_init(conn);
    login_writer(conn, &w);
    conn->csg = STAGE_SECURITY;
    key_set_stage(&conn->keys, KEY_STAGE_SECURITY);
    key_declare_initiator(&conn->keys, &w);
    key_offer_security(&conn->keys, &w);
    /* With CHAP there is more to say in this stage; without, we are ready to go on. */
    login_send(conn, &w, !login_with_chap(conn));
}

/* ---- responses ---- */

static bool login_header_good(struct ini_conn *conn, const struct pdu_login_response *pdu)
{
    if (pdu->version_active != 0) {
        ini_conn_fail(conn, "the target chose a protocol version that we do not know");
    } else if (pdu->itt != login_itt(conn) ||
               memcmp(pdu->isid, conn->s->options.isid, sizeof pdu->isid) != 0) {
        ini_conn_fail(conn, "the target's Login Response is not for our login (task tag or ISID)");
    } else if (pdu->csg != conn->csg) {
        ini_conn_fail(conn, "the target answers in another login stage than we are in");
    } else if (pdu->transit && pdu->more) { /* R7143-6.2-01 */
        ini_conn_fail(conn, "the target's Login Response has T and C set");
    } else if (pdu->transit &&
               (!conn->want_transit || pdu->nsg != login_next_stage(conn))) { /* R7143-6.3-18 */
        ini_conn_fail(conn, "the target changes the login stage although it must not");
    } else {
        return true;
    }
    return false;
}

static bool login_auth_key(struct ini_conn *conn, enum key_id id, struct text_range value)
{
    uint64_t algorithm;
    if (id == KEY_CHAP_A && text_parse_number(value, &algorithm) && algorithm <= UINT8_MAX)
        conn->chap_alg = (uint8_t)algorithm;
    if (chap_initiator_key(&conn->chap, id, value) != CHAP_FAIL)
        return true;
    ini_conn_fail(conn, conn->chap.failure.reason);
    return false;
}

/* All pairs of the joined text. */
static bool login_take_keys(struct ini_conn *conn, struct text_writer *w)
{
    struct text_parser parser;
    struct text_range key, value;
    enum text_result got;
    text_parser_init(&parser, conn->in_text, conn->in_len, conn->in_len);
    while ((got = text_parser_next(&parser, &key, &value)) == TEXT_PAIR) {
        enum keys_verdict verdict = key_receive(&conn->keys, key, value, w);
        if (verdict == KEYS_FAIL) {
            char reason[INI_REASON_MAX];
            snprintf(reason, sizeof reason, "login key %s: %s", conn->keys.failure.key,
                     conn->keys.failure.reason);
            if (conn->keys.failure.status == KEYS_STATUS_AUTH_FAILURE)
                ini_login_failed(conn, 0, 1, reason);
            else
                ini_conn_fail(conn, reason);
            return false;
        }
        if (verdict == KEYS_AUTH && !login_auth_key(conn, key_find(key), value))
            return false;
    }
    if (got == TEXT_ERROR)
        ini_conn_fail(conn, parser.rule);
    return got == TEXT_END;
}

/* The session's part of it: R7143-8.1.2-03 */
static void login_session_up(struct ini_conn *conn, const struct pdu_login_response *pdu)
{
    struct ini_session *s = conn->s;
    if (conn->leading) {
        s->tsih = pdu->tsih;
        s->params = conn->keys.params;
        /* Discovery sessions have no recovery: none was offered. */
        s->level = s->params.session_type == KEY_SESSION_NORMAL ? s->params.error_recovery_level : 0;
    }
    if (s->state != INI_Q3_LOGGED_IN)
        ini_session_move(s, INI_Q3_LOGGED_IN); /* N1, or N4: continued */
}

/* Where groups differ in what they offer, another group is another target: R7143-6.3.1-11. A further
 * connection must come to the group of its session. */
static bool login_right_group(struct ini_conn *conn)
{
    const struct ini_options *o = &conn->s->options;
    const struct key_params *p = &conn->keys.params, *first = &conn->s->params;
    char reason[INI_REASON_MAX];
    bool expected = conn->leading ? o->has_portal_group_tag : first->has_target_portal_group_tag;
    uint32_t tag = conn->leading ? o->portal_group_tag : first->target_portal_group_tag;
    if (!expected || !p->has_target_portal_group_tag || p->target_portal_group_tag == tag)
        return true;
    snprintf(reason, sizeof reason, "the target's portal group is %u where we expected %u",
             (unsigned)p->target_portal_group_tag, (unsigned)tag);
    ini_conn_fail(conn, reason);
    return false;
}

static void login_up(struct ini_conn *conn, const struct pdu_login_response *pdu)
{
    struct ini_session *s = conn->s;
    const struct key_params *p = &conn->keys.params;
    bool header = p->header_digest == KEY_DIGEST_CRC32C, data = p->data_digest == KEY_DIGEST_CRC32C;
    if (!conn->leading && pdu->tsih != s->tsih) {
        ini_conn_fail(conn, "the target put our connection into another session");
        return;
    }
    if (!login_right_group(conn))
        return;
    framer_set_digests(&conn->framer, header, data);
    conn->framer_declared = conn->framer.max_data = p->max_recv_data_segment_length; /* R7143-13.12-02 */
    tx_set_digests(&conn->tx, header, data);
    key_set_stage(&conn->keys, KEY_STAGE_FULL_FEATURE);
    conn->in_len = 0;
    conn->stat_need = conn->exp_stat_sn;
    ini_conn_move(conn, INI_S5_LOGGED_IN);
    login_session_up(conn, pdu);
    env_trace(s->env, TRACE_INFO, "initiator.login.ok", s->options.target_name, NULL, s->tsih, conn->cid);
    ini_event_add(s, INI_EVENT_LOGGED_IN)->conn = conn;
    if (conn->reinstates)
        ini_recovery_login_end(conn, true);
}

/* The end of a login: the leading one takes the session with it, a later one leaves it as it is. */
void ini_login_failed(struct ini_conn *conn, uint8_t status_class, uint8_t detail, const char *reason)
{
    struct ini_session *s = conn->s;
    if (conn->over)
        return;
    if (reason != s->reason)
        snprintf(s->reason, sizeof s->reason, "%s", reason);
    struct ini_event *event =
        ini_event_add(s, status_class == 1 ? INI_EVENT_REDIRECTED : INI_EVENT_LOGIN_FAILED);
    event->conn = conn;
    event->status_class = status_class;
    event->status_detail = detail;
    event->chap_alg = conn->chap_alg;
    event->reason = s->reason;
    ini_conn_move(conn, INI_S1_FREE); /* T7 */
    ini_conn_over(conn);
    if (conn->reinstates)
        ini_recovery_login_end(conn, false);
    if (conn->leading)
        ini_end(s);
    else if (s->state == INI_Q4_FAILED && status_class == 2 && detail == 10)
        ini_fail(s, "the target has given up the session");
}

static void login_enter_operational(struct ini_conn *conn, struct text_writer *w)
{
    conn->csg = STAGE_OPERATIONAL;
    key_set_stage(&conn->keys, KEY_STAGE_OPERATIONAL);
    key_offer_operational(&conn->keys, w);
    login_send(conn, w, true);
}

/* Who the target has proved to be is the same for all connections of a session: R7143-9.2-13, R7143-9.2-14 */
static bool login_same_peer(struct ini_conn *conn)
{
    struct ini_session *s = conn->s;
    if (conn->leading)
        snprintf(s->peer_name, sizeof s->peer_name, "%s", conn->chap.peer_name);
    return strcmp(s->peer_name, conn->chap.peer_name) == 0;
}

static void login_transit(struct ini_conn *conn, const struct pdu_login_response *pdu, struct text_writer *w)
{
    if (login_with_chap(conn) && conn->csg == STAGE_SECURITY && conn->chap.state != CHAP_INITIATOR_DONE) {
        ini_conn_fail(conn, "the target ends the security stage without authentication");
        return;
    }
    if (conn->csg == STAGE_SECURITY && !login_same_peer(conn)) {
        ini_login_failed(conn, 0, 1, "the target has another name on this connection than on the first");
        return;
    }
    if (key_conclude(&conn->keys) == KEYS_FAIL) {
        ini_conn_fail(conn, conn->keys.failure.reason);
        return;
    }
    if (pdu->nsg == STAGE_FULL_FEATURE)
        login_up(conn, pdu);
    else
        login_enter_operational(conn, w);
}

/* One step of CHAP in the security stage; true when a request was sent (or the login failed). */
static bool login_chap_step(struct ini_conn *conn, struct text_writer *w)
{
    if (conn->chap.state == CHAP_INITIATOR_DONE)
        return false;
    enum chap_verdict verdict;
    if (!conn->chap_started) {
        conn->chap_started = true;
        verdict = chap_initiator_start(&conn->chap, w);
        if (verdict != CHAP_FAIL) {
            login_send(conn, w, false);
            return true;
        }
    } else {
        bool proof_due = conn->chap.state == CHAP_INITIATOR_WAIT_PROOF;
        if (conn->s->options.chap_secret_len < CHAP_SECRET_LEN_STRONG &&
            !conn->s->options.allow_weak_secret) { /* R7143-9.2.1-07 */
            ini_login_failed(conn, 0, 1, "our secret is shorter than 12 bytes and not used without IPsec");
            return true;
        }
        verdict = chap_initiator_step(&conn->chap, w);
        if (verdict != CHAP_FAIL && !proof_due) {
            login_send(conn, w, true);
            return true;
        }
    }
    if (verdict == CHAP_FAIL) { /* R7143-6.3.2-06 */
        ini_login_failed(conn, 0, 1, conn->chap.failure.reason);
        return true;
    }
    return false; /* the target has proved itself: its T bit decides */
}

static void login_complete_text(struct ini_conn *conn, const struct pdu_login_response *pdu)
{
    struct text_writer w;
    login_writer(conn, &w);
    if (!login_take_keys(conn, &w))
        return;
    conn->in_len = 0;
    if (key_flush(&conn->keys, &w) == KEYS_FAIL) {
        ini_conn_fail(conn, conn->keys.failure.reason);
        return;
    }
    if (conn->csg == STAGE_SECURITY && login_with_chap(conn)) {
        if (conn->keys.auth_state != KEY_AUTH_CHOSEN) {
            ini_login_failed(conn, 0, 1, "the target does not answer our authentication method");
            return;
        }
        if (login_chap_step(conn, &w))
            return;
    }
    if (pdu->transit)
        login_transit(conn, pdu, &w);
    else
        login_send(conn, &w, true); /* it wants another exchange */
}

static void login_status(struct ini_conn *conn, const struct pdu_login_response *pdu,
                         const struct framer_pdu *frame)
{
    char reason[INI_REASON_MAX];
    if (pdu->status_class != 1) {
        snprintf(reason, sizeof reason, "%s (status %02x%02x)",
                 login_status_text(pdu->status_class, pdu->status_detail), pdu->status_class,
                 pdu->status_detail);
        ini_login_failed(conn, pdu->status_class, pdu->status_detail, reason);
        return;
    }
    struct text_parser parser;
    struct text_range key, value;
    text_parser_init(&parser, frame->data.ptr, frame->data_len, TEXT_VALUE_LEN_MAX);
    while (text_parser_next(&parser, &key, &value) == TEXT_PAIR) {
        if (text_is(key, "TargetAddress") && text_copy(value, reason, sizeof reason)) {
            ini_login_failed(conn, pdu->status_class, pdu->status_detail, reason);
            return;
        }
    }
    ini_login_failed(conn, 0, 0, "the target redirects us without saying where");
}

void ini_login_pdu(struct ini_conn *conn, const struct framer_pdu *frame)
{
    struct pdu_login_response pdu;
    pdu_login_response_decode(frame->bhs, &pdu);
    if (pdu.status_class != 0) { /* its numbers mean nothing: R7143-11.13.5-01 */
        login_status(conn, &pdu, frame);
        return;
    }
    conn->exp_stat_sn = pdu.stat_sn + 1; /* the first response sets it: R7143-11.13.4-01 */
    ini_update_window(conn->s, pdu.exp_cmd_sn, pdu.max_cmd_sn);
    if (!login_header_good(conn, &pdu))
        return;
    if (!ini_collect_text(conn, frame)) {
        ini_conn_fail(conn, "the target's login text does not end");
        return;
    }
    if (text_splitter_more(&conn->out)) {
        if (frame->data_len)
            ini_conn_fail(conn, "the target answers although our text is not complete"); /* R7143-6.2-03 */
        else
            login_send_piece(conn);
    } else if (pdu.more) {
        struct text_writer w;
        login_writer(conn, &w);
        login_send(conn, &w, false); /* empty: go on */
    } else {
        login_complete_text(conn, &pdu);
    }
}
