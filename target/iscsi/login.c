/* The login phase (RFC 7143 6.3, 11.12, 11.13): requests in, stages forward, responses out. Names, access and
 * session identity are login_nexus.c's; keys are common/iscsi/keys.h's; CHAP is chap.h's. */
#include "target/iscsi/conn_internal.h"

/* ---- the stage table (R7143-6.3-18): what CSG, T and NSG of a request ask for ---- */
enum login_move { MOVE_BAD, MOVE_STAY, MOVE_OPERATIONAL, MOVE_FULL };
#define STAY                                                                                                 \
    {                                                                                                        \
        MOVE_STAY, MOVE_STAY, MOVE_STAY, MOVE_STAY                                                           \
    } /* NSG counts only with T = 1: R7143-11.12.3-01 */
#define NONE                                                                                                 \
    {                                                                                                        \
        MOVE_BAD, MOVE_BAD, MOVE_BAD, MOVE_BAD                                                               \
    }
static const enum login_move login_moves[4][2][4] = {
    /* CSG 0: security    */ {STAY, {MOVE_BAD, MOVE_OPERATIONAL, MOVE_BAD, MOVE_FULL}},
    /* CSG 1: operational */ {STAY, {MOVE_BAD, MOVE_BAD, MOVE_BAD, MOVE_FULL}},
    /* CSG 2: reserved    */ {NONE, NONE},
    /* CSG 3: full feature */ {NONE, NONE},
};

static enum login_move login_move(const struct pdu_login_request *req)
{
    return login_moves[req->csg & 3][req->transit & 1][req->nsg & 3];
}

/* ---- memory ---- */

static bool login_new(struct tgt_conn *conn)
{
    struct tgt_login *login = env_alloc(conn->env, sizeof *login);
    if (!login)
        return false;
    login->text_max = text_cap(conn->r->config);
    conn->login = login;
    return true;
}

/* Most logins are a few hundred bytes, so the memory follows what comes: zeroing two texts of the greatest
 * length was the most expensive part of a login. False: no memory. A text that is longer than the limit is
 * the assembler's to refuse. */
static bool login_in_room(struct tgt_conn *conn, size_t more)
{
    struct tgt_login *login = conn->login;
    struct text_assembler *in = &login->in;
    size_t have = in->open ? in->len : 0, cap = in->cap ? in->cap : TGT_LOGIN_TEXT_FIRST;
    while (cap < login->text_max && more > cap - have)
        cap *= 2;
    if (cap > login->text_max)
        cap = login->text_max;
    if (in->buf && cap == in->cap)
        return true;
    char *larger = env_alloc(conn->env, cap);
    if (!larger)
        return false;
    if (have)
        memcpy(larger, in->buf, have);
    env_free(conn->env, login->in_buf);
    login->in_buf = in->buf = larger;
    in->cap = cap;
    return true;
}

/* Room for the answer to the text that has come: its keys may all be unknown, and "a=" costs us
 * "a=NotUnderstood"; our own declarations, offers and a CHAP challenge come on top. */
static bool login_out_room(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    size_t cap = TGT_LOGIN_ANSWER_OWN + TGT_LOGIN_ANSWER_GROWTH * login->in.len;
    if (cap > login->text_max)
        cap = login->text_max;
    if (!login->out_buf || cap > login->writer.cap) {
        env_free(conn->env, login->out_buf);
        login->out_buf = env_alloc(conn->env, cap);
        login->writer.cap = cap;
    }
    text_writer_init(&login->writer, login->out_buf, login->writer.cap);
    return login->out_buf != NULL;
}

void login_free(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    if (!login)
        return;
    login_gave_up(conn);
    conn->login = NULL;
    tgt_config_unref(login->config);
    env_free(conn->env, login->in_buf);
    env_free(conn->env, login->out_buf);
    env_free(conn->env, login);
}

/* ---- responses ---- */

static void login_window(const struct tgt_conn *conn, struct pdu_login_response *rsp)
{
    struct tgt_session *s = conn->session;
    if (!s && conn->login->join)
        s = conn->login->old;
    if (s) {
        session_numbers(s, &rsp->exp_cmd_sn, &rsp->max_cmd_sn);
        return;
    }
    rsp->exp_cmd_sn = conn->login->first.cmd_sn; /* R7143-11.12.8-01 */
    rsp->max_cmd_sn = rsp->exp_cmd_sn + window_of(conn->r->config) - 1;
}

void login_send(struct tgt_conn *conn, uint16_t status, bool transit, bool more, struct slice *data)
{
    struct tgt_login *login = conn->login;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_response rsp;
    pdu_login_response_init(&rsp);
    rsp.transit = transit;
    rsp.more = more; /* R7143-11.13.7-01: never with transit, see login_answer */
    rsp.csg = login->now.csg;
    rsp.nsg = transit ? login->now.nsg : 0; /* R7143-6.3-14, R7143-11.12.3-02 */
    rsp.version_max = 0;                    /* R7143-11.13.1-01 */
    rsp.version_active = 0;                 /* R7143-11.13.2-01, R7143-11.13.2-03 */
    memcpy(rsp.isid, login->now.isid, sizeof rsp.isid);
    /* R7143-11.13.3-01: a new TSIH goes out with the very last response; R7143-11.13.3-02 until then an echo
     */
    rsp.tsih = conn->session && transit ? conn->session->key.tsih : login->now.tsih;
    rsp.itt = login->now.itt;
    rsp.stat_sn = conn->stat_sn++; /* R7143-11.13.4-01, R7143-4.2.2.2-01 */
    login_window(conn, &rsp);
    rsp.status_class = (uint8_t)(status >> 8);
    rsp.status_detail = (uint8_t)status;
    pdu_login_response_encode(&rsp, bhs);
    conn_send(conn, bhs, data, NULL);
}

void login_fail(struct tgt_conn *conn, uint16_t status, const char *key, const char *why)
{
    char text[160];
    size_t len = 0;
    const char *parts[3] = {key ? key : "", key ? ": " : "", why ? why : ""};
    for (int i = 0; i < 3; i++)
        for (const char *p = parts[i]; *p && len < sizeof text - 1; p++)
            text[len++] = *p;
    text[len] = '\0';
    conn->r->counters.logins_failed++;
    env_trace(conn->env, TRACE_WARN, "login.failed", conn_label(conn), text, status, conn->login->now.itt);
    login_send(conn, status, false, false, NULL);
    if (conn->rfc == CONN_IN_LOGIN)
        state_conn(conn->r, &conn->rfc, CONN_EV_LOGIN_FAILED);
    conn_close_after_flush(conn, "login failed"); /* R7143-11.13.5-16, R7143-6.3.1-07, R7143-7.12-01 */
}

static void fail_keys(struct tgt_conn *conn, const struct keys_failure *failure)
{
    login_fail(conn, failure->status ? failure->status : LOGIN_INITIATOR_ERROR, failure->key,
               failure->reason);
}

/* ---- the end of a stage ---- */

/* May the stage that the request wants to leave be left? */
static bool may_leave(const struct tgt_login *login)
{
    if (key_unanswered(&login->neg, NULL)) /* R7143-6.3-17, R7143-11.13.6-01 */
        return false;
    return login->stage != 0 || !login->need_auth || login->authenticated;
}

static void enter_full_feature(struct tgt_conn *conn, struct slice *data)
{
    struct tgt_login *login = conn->login;
    struct tgt_session *s = conn->session;
    struct tgt_reactor *r = conn->r;
    /* R7143-6.3.2-04, R7143-6.3-19: the accepting response, with the TSIH */
    login_send(conn, LOGIN_SUCCESS, true, false, data);
    conn_set_state(conn, CONN_FULL);
    state_conn(r, &conn->rfc, CONN_EV_LOGIN_DONE);
    const struct key_params *p = &login->neg.params;
    /* The framer is still at the request; its fields count from the next PDU on. */
    conn->framer.header_digest = p->header_digest == KEY_DIGEST_CRC32C;
    conn->framer.data_digest = p->data_digest == KEY_DIGEST_CRC32C;
    tx_set_digests(&conn->tx, p->header_digest == KEY_DIGEST_CRC32C, p->data_digest == KEY_DIGEST_CRC32C);
    conn->framer.max_data = p->max_recv_data_segment_length;
    conn->framer.max_ahs = PDU_AHS_LEN_MAX;
    conn->deadline_ns = UINT64_MAX;
    reactor_wake(r, nop_deadline(conn));
    r->counters.logins++;
    env_trace(conn->env, TRACE_INFO, "login.ok", s->key.initiator, s->discovery ? "discovery" : s->key.target,
              s->key.tsih, s->id);
    login_free(conn);
}

/* Sends the next segment of the answer, and with the last one moves on if that is asked and possible. */
void login_answer(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    bool last = login->out.len - login->out.pos <= TGT_LOGIN_SEGMENT_LEN;
    /* R7143-6.3-15, R7143-6.3-16, R7143-11.13.6-02: only when this very request has T = 1 */
    bool transit = last && login->now.transit && may_leave(login);
    bool final = transit && login_move(&login->now) == MOVE_FULL;
    if (final && redirect_login(conn, true))
        return;
    if (final && !login_settle(conn))
        return;
    if (transit && key_conclude(&login->neg) != KEYS_OK) { /* R7143-6.2-24 */
        fail_keys(conn, &login->neg.failure);
        return;
    }
    struct text_range segment = {0};
    struct slice data;
    bool more = false;
    text_splitter_next(&login->out, TGT_LOGIN_SEGMENT_LEN, &segment, &more);
    login->answering = more;
    if (final && login_enter(conn) != 0) {
        login_fail(conn, LOGIN_NO_RESOURCES, NULL, "out of memory for a session");
        return;
    }
    if (!conn_copy(conn, segment.ptr, (uint32_t)segment.len, &data))
        return;
    if (final) {
        enter_full_feature(conn, &data);
        return;
    }
    login_send(conn, LOGIN_SUCCESS, transit, more, &data);
    if (transit) {
        login->stage = 1;
        key_set_stage(&login->neg, KEY_STAGE_OPERATIONAL);
    }
}

/* ---- one complete text ---- */

/* Steps of the authentication that the text brought. False: failed. */
static bool authenticate(struct tgt_conn *conn, bool chap_keys)
{
    struct tgt_login *login = conn->login;
    if (login->stage != 0 || login->authenticated)
        return true;
    if (login->neg.auth_state == KEY_AUTH_REJECTED) {
        if (!login->refused_auth) { /* R7143-6.3.2-03: the text says AuthMethod=Reject, and the stage does not
                                       end */
            login->refused_auth = true;
            login->now.transit = false;
            return true;
        }
        login_fail(conn, LOGIN_AUTH_FAILURE, "AuthMethod", "no method in common"); /* R7143-6.3.2-05 */
        return false;
    }
    if (login->neg.auth_state != KEY_AUTH_CHOSEN) {
        /* R7143-6.3.1-08: leaving without authentication where it is required */
        if (login->need_auth && login->now.transit) {
            login_fail(conn, LOGIN_AUTH_FAILURE, "AuthMethod", "authentication is required");
            return false;
        }
        return true;
    }
    if (login->neg.auth_method != KEY_AUTH_CHAP) {
        login->authenticated = true;
        return true;
    }
    if (login->chap_running || chap_keys) {
        enum chap_verdict verdict = chap_target_step(&login->chap, &login->writer);
        if (verdict == CHAP_FAIL) { /* R7143-12.1.3-04 */
            login_fail(conn, login->chap.failure.status, "CHAP", login->chap.failure.reason);
            return false;
        }
        login->authenticated = verdict == CHAP_DONE;
    }
    login->chap_running = true;
    return true;
}

/* Gives every pair of the text to those who understand it. False: the login has failed. */
static bool take_pairs(struct tgt_conn *conn, bool *chap_keys)
{
    struct tgt_login *login = conn->login;
    struct text_parser parser;
    struct text_range key, value;
    enum text_result result;
    text_parser_init(&parser, login->in.buf, login->in.len, login->text_max);
    while ((result = text_parser_next(&parser, &key, &value)) == TEXT_PAIR) {
        switch (key_receive(&login->neg, key, value, &login->writer)) {
        case KEYS_OK:
            break;
        case KEYS_AUTH:
            *chap_keys = true;
            if (!login->chap_on || chap_target_key(&login->chap, key_find(key), value) == CHAP_FAIL) {
                const struct chap_failure *f = &login->chap.failure;
                login_fail(conn, login->chap_on && f->status ? f->status : LOGIN_INITIATOR_ERROR, "CHAP",
                           login->chap_on ? f->reason : "not negotiated");
                return false;
            }
            break;
        case KEYS_RECORD: /* only targets send records */
        case KEYS_FAIL:   /* R7143-6.3-22, R7143-7.12-02 */
            fail_keys(conn, &login->neg.failure);
            return false;
        }
    }
    if (result == TEXT_ERROR) {
        login_fail(conn, LOGIN_INITIATOR_ERROR, parser.key[0] ? parser.key : "text", parser.rule);
        return false;
    }
    return true;
}

static void negotiate(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    bool chap_keys = false;
    if (login->key.target[0] && !login->target) {
        login_fail(conn, LOGIN_REMOVED, "TargetName", "the target was removed"); /* R7143-11.13.5-17 */
        return;
    }
    if (redirect_login(conn, login->stage == 1))
        return;
    if (!login_out_room(conn)) {
        login_fail(conn, LOGIN_NO_RESOURCES, NULL, "out of memory");
        return;
    }
    /* R7143-6.3.1-10, R7143-13.9-02, R7143-13.6-01: portal group tag and alias in the first response */
    key_declare_target(&login->neg, &login->writer);
    login->neg.config.target_alias = NULL; /* borrowed from a snapshot that may go */
    if (!take_pairs(conn, &chap_keys))
        return;
    if (key_flush(&login->neg, &login->writer) != KEYS_OK) {
        fail_keys(conn, &login->neg.failure);
        return;
    }
    if (!authenticate(conn, chap_keys))
        return;
    /* R7143-6.3.2-07, R7143-12.1-03: who stays in the stage and offers nothing is told what we want */
    login->neg.config.propose_auth = login->need_auth && !login->now.transit;
    if (login->stage == 0)
        key_offer_security(&login->neg, &login->writer);
    if (login->stage == 1)
        key_offer_operational(&login->neg, &login->writer);
    if (login->writer.overflow) {
        login_fail(conn, LOGIN_NO_RESOURCES, NULL, "the answer is longer than the text limit");
        return;
    }
    text_splitter_init(&login->out, login->out_buf, login->writer.len);
    login_answer(conn);
}

/* Placed: names are judged and the negotiation starts with what the target wants. */
void login_continue(struct tgt_conn *conn)
{
    if (login_identify(conn))
        negotiate(conn);
}

static void text_complete(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    if (login->identified) {
        negotiate(conn);
        return;
    }
    login_peek(login);
    conn_set_state(conn, CONN_PLACING);
    place_ask(conn);
}

void login_old_ended(struct tgt_conn *conn)
{
    if (conn->state != CONN_WAIT_OLD)
        return;
    conn_set_state(conn, CONN_LOGIN);
    login_answer(conn);
    if (conn->state != CONN_DEAD) {
        conn_process(conn);
        conn_resume(conn);
    }
}

/* ---- one request ---- */

/* The first thing that is wrong with the header, or NULL; *status says how to answer. */
static const char *check_header(const struct tgt_login *login, uint16_t *status)
{
    const struct pdu_login_request *now = &login->now, *first = &login->first;
    *status = LOGIN_INITIATOR_ERROR;
    if (now->version_min > 0) { /* R7143-11.12.4-02 */
        *status = LOGIN_VERSION;
        return "Version-min";
    }
    if (!now->immediate)
        return "immediate bit"; /* R7143-11.12-02 */
    if (now->more && now->transit)
        return "C and T bits"; /* R7143-6.2-01, R7143-11.12.2-01 */
    if (login_move(now) == MOVE_BAD)
        return "CSG and NSG"; /* R7143-6.3-18 */
    if (now->csg != login->stage)
        return "CSG"; /* R7143-6.3-11 */
    if (now->itt != first->itt)
        return "Initiator Task Tag"; /* R7143-6.3-01 */
    if (memcmp(now->isid, first->isid, sizeof now->isid) != 0)
        return "ISID";
    if (now->tsih != first->tsih)
        return "TSIH"; /* R7143-11.12.6-03 */
    if (now->cid != first->cid)
        return "CID"; /* R7143-11.12.7-01 */
    if (now->version_max != first->version_max)
        return "Version-max"; /* R7143-11.12.4.1-01 */
    if (login->exchanges > TGT_LOGIN_EXCHANGES_MAX)
        return "too many requests"; /* R7143-6.2-26, R7143-6.2-27 */
    return NULL;
}

void login_pdu(struct tgt_conn *conn, struct framer_pdu *pdu)
{
    if (pdu_opcode(pdu->bhs) != PDU_OP_login_request) {
        if (!conn->login)
            conn_drop(conn, "first PDU is no Login Request"); /* R7143-4.2.4-05 */
        else
            login_fail(conn, LOGIN_INVALID_REQUEST, NULL,
                       "PDU other than Login Request"); /* R7143-4.2.4-06 */
        return;
    }
    if (!conn->login && !login_new(conn)) {
        conn_drop(conn, "out of memory");
        return;
    }
    struct tgt_login *login = conn->login;
    pdu_login_request_decode(pdu->bhs, &login->now);
    if (!login->started) {
        login->started = true;
        login->first = login->now; /* R7143-11.12.7-02, R7143-11.12.6-04 */
        login->stage = login->now.csg;
        conn->cid = login->now.cid;
        state_conn(conn->r, &conn->rfc, CONN_EV_LOGIN);
        login->leading = login->first.tsih == 0;
        if (login->leading) {
            enum session_rfc_state state = SESSION_FREE;
            state_session(conn->r, &state, SESSION_EV_LOGIN);
        }
    }
    login->exchanges++;
    conn->exp_stat_sn = login->now.exp_stat_sn;
    uint16_t status;
    const char *wrong = check_header(login, &status);
    if (wrong) {
        login_fail(conn, status, wrong, "not allowed here");
        return;
    }
    if (login->answering) {
        /* A long answer is on its way: the initiator may only ask for the rest */
        if (pdu->data_len || login->now.more)
            login_fail(conn, LOGIN_INITIATOR_ERROR, "text", "the previous answer has not been fetched");
        else
            login_answer(conn);
        return;
    }
    if (!login_in_room(conn, pdu->data_len)) {
        login_fail(conn, LOGIN_NO_RESOURCES, NULL, "out of memory");
        return;
    }
    switch (text_assembler_add(&login->in, pdu->data.ptr, pdu->data.len, login->now.more)) {
    case TEXT_NEED_MORE: /* R7143-6.2-03: an empty response */
        login_send(conn, LOGIN_SUCCESS, false, false, NULL);
        break;
    case TEXT_COMPLETE:
        slice_release(&pdu->data); /* the connection may change reactors now */
        text_complete(conn);
        break;
    case TEXT_TOO_BIG:
        login_fail(conn, LOGIN_INITIATOR_ERROR, "text", "longer than the limit");
        break;
    }
}
