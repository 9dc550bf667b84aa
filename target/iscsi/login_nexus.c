/* Who logs in to what: names, access, and the session rules of RFC 7143 6.3.1 and 6.3.5. */
#include "common/base/mutant.h"
#include "target/iscsi/conn_internal.h"

/* ---- before placement: read, do not judge ---- */

static void take_name(struct text_range value, char out[TGT_NAME_MAX])
{
    char normal[NAME_CAP];
    if (name_normalize(value.ptr, value.len, NAME_LENIENT, normal, NULL) != NAME_INVALID)
        memcpy(out, normal, sizeof normal);
}

void login_peek(struct tgt_login *login)
{
    struct text_parser parser;
    struct text_range key, value;
    text_parser_init(&parser, login->in.buf, login->in.len, login->in.cap);
    while (text_parser_next(&parser, &key, &value) == TEXT_PAIR) {
        if (text_is(key, "InitiatorName")) {
            login->has_initiator = true;
            take_name(value, login->key.initiator);
        } else if (text_is(key, "TargetName")) {
            login->has_target = true;
            take_name(value, login->key.target);
        } else if (text_is(key, "SessionType")) {
            login->discovery = text_is(value, "Discovery");
        }
    }
    memcpy(login->key.isid, login->first.isid, sizeof login->key.isid);
    login->key.tsih = login->first.tsih;
}

/* ---- after placement ---- */

static bool find_user(void *ctx, const char *name, struct chap_user *out)
{
    const struct tgt_conn *conn = ctx;
    const struct tgt_login *login = conn->login;
    bool named = login->target && !login->discovery;
    const struct tgt_user *users = named ? login->target->users : login->config->discovery_users;
    uint32_t count = named ? login->target->user_count : login->config->discovery_user_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct tgt_user *user = &users[i];
        if (strcmp(user->name, name) != 0)
            continue;
        /* To others it is as unknown as one that there is not: R7143-9.2-10, R7143-9.2-12 */
        if (user->initiator[0] && !name_match(user->initiator, login->key.initiator))
            continue;
        out->in = (struct chap_secret){user->name, user->secret, user->secret_len};
        out->out = (struct chap_secret){user->mutual_name, user->mutual_secret, user->mutual_secret_len};
        return true;
    }
    return false;
}

/* What this engine can do bounds what the configuration may ask for: data in order, and segments and a first
 * burst that fit one buffer. */
static void bound_config(struct key_config *config)
{
    config->max_connections = min_u32(config->max_connections, TGT_CONNECTIONS_MAX);
    /* R7143-7.1.5-02, R7143-7.1.5-03, R7143-7.1.5-05, R7143-7.1.5-06 */
    config->error_recovery_level = min_u32(config->error_recovery_level, 2);
    config->data_pdu_in_order = true;
    config->data_sequence_in_order = true;
    config->iscsi_protocol_level = min_u32(config->iscsi_protocol_level, 2);
    config->first_burst_length = min_u32(config->first_burst_length, SCSI_SPAN_LEN);
    config->max_recv_data_segment_length = min_u32(config->max_recv_data_segment_length, POOL_CLASS_MAX);
    config->discovery_digest_none = true;
}

static void start_negotiation(struct tgt_conn *conn, const struct tgt_session *joined)
{
    struct tgt_login *login = conn->login;
    struct key_config config;
    if (login->target)
        config = login->target->keys;
    else
        key_config_default(&config);
    bound_config(&config);
    uint32_t users =
        login->target && !login->discovery ? login->target->user_count : login->config->discovery_user_count;
    login->need_auth = users > 0;
    config.auth_methods.count = 1;
    config.auth_methods.value[0] = users > 0 ? KEY_AUTH_CHAP : KEY_AUTH_NONE; /* R7143-6.3.2-02 */
    config.target_alias = login->target ? login->target->alias : NULL;        /* "" is none */
    config.target_portal_group_tag = conn->info.group;
    key_negotiation_init(&login->neg, KEY_ROLE_TARGET, &config, login->first.tsih == 0,
                         joined ? &joined->params : NULL);
    key_set_stage(&login->neg, login->stage == 0 ? KEY_STAGE_SECURITY : KEY_STAGE_OPERATIONAL);
    if (login->need_auth) {
        struct chap_lookup lookup = {conn, find_user};
        struct chap_algs algs = chap_algs_default();
        chap_target_init(&login->chap, conn->env, &lookup, &algs, false);
        login->chap_on = true;
    }
}

/* At level 2 one connection more than was agreed may come: an initiator that recovers knows of a failure that
 * we may not have noticed, and removes the old connection from the new one. */
static bool is_full(const struct tgt_session *s)
{
    uint32_t most = s->params.max_connections + (session_level(s) == 2); /* R7143-4.2.1-03 */
    return s->conn_count >= most;
}

/* TSIH other than zero: the session must exist, and take the connection. */
static bool identify_session(struct tgt_conn *conn, struct tgt_session **out)
{
    struct tgt_login *login = conn->login;
    struct tgt_session *s = session_find(conn->r, &login->key, login->discovery, &conn->info.local);
    if (!s || s->key.tsih != login->first.tsih || s->closing) {
        /* The same session through another portal group is a different mistake: R7143-11.13.5-11 */
        list_for_each(it, &conn->r->sessions)
        {
            const struct tgt_session *other = list_entry(it, struct tgt_session, node);
            if (other->key.tsih == login->first.tsih &&
                strcmp(other->key.initiator, login->key.initiator) == 0 &&
                strcmp(other->key.target, login->key.target) == 0 &&
                memcmp(other->key.isid, login->key.isid, sizeof other->key.isid) == 0) {
                login_fail(conn, LOGIN_NOT_INCLUDED, "TSIH", "the session belongs to another portal group");
                return false;
            }
        }
        login_fail(conn, LOGIN_NO_SESSION, "TSIH", "no such session"); /* R7143-6.3.1-01, R7143-6.3.1-06 */
        return false;
    }
    if (!session_conn(s, conn->cid) && is_full(s)) {
        login_fail(conn, LOGIN_TOO_MANY, "CID", "the session has all its connections"); /* R7143-11.13.5-09 */
        return false;
    }
    login->join = true; /* R7143-6.3.1-05 */
    login->old = s;
    if (s->rfc == SESSION_FAILED) {
        state_session(s->r, &s->rfc, SESSION_EV_CONTINUE);
        login->continues = true;
    }
    struct tgt_lost *lost = lost_find(s, conn->cid);
    if (lost && lost->state == CLEANUP_WAIT) {
        state_cleanup(s->r, &lost->state, CLEANUP_EV_BEGIN);
        login->cleans = true;
    }
    *out = s;
    return true;
}

/* A login that was to join a session has failed: R7143-8.2.2-02, R7143-8.3.4-04. */
static void not_joined(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    struct tgt_session *s = session_find(conn->r, &login->key, login->discovery, &conn->info.local);
    if (!s || s->closing || s->key.tsih != login->first.tsih)
        return;
    struct tgt_lost *lost = lost_find(s, conn->cid);
    if (login->cleans && lost && lost->state == CLEANUP_RUNNING) {
        state_cleanup(s->r, &lost->state, CLEANUP_EV_FAILED);
        lost_hurry(lost);
    }
    if (login->continues && s->rfc == SESSION_IN_CONTINUE)
        state_session(s->r, &s->rfc, SESSION_EV_NOT_CONTINUED);
}

void login_gave_up(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    if (login->leading) {
        enum session_rfc_state state = SESSION_ACTIVE;
        state_session(conn->r, &state, SESSION_EV_NO_LOGIN);
    }
    if (login->continues || login->cleans)
        not_joined(conn);
}

/* The target and the right to see it. */
static bool identify_target(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    if (login->has_target && login->key.target[0]) {
        login->target = tgt_config_find(login->config, login->key.target);
        if (!login->target) {
            login_fail(conn, LOGIN_NOT_FOUND, "TargetName", "no such target"); /* R7143-11.13.5-07 */
            return false;
        }
        /* By its name, never by its alias: R7143-13.6-02 */
        if (!tgt_target_admits(login->target, login->key.initiator, &conn->info.peer)) {
            login_fail(conn, LOGIN_FORBIDDEN, "InitiatorName", "access denied"); /* R7143-11.13.5-08 */
            return false;
        }
    }
    return true;
}

bool login_identify(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    struct tgt_session *joined = NULL;
    login->config = conn->r->config;
    tgt_config_ref(login->config);
    login->identified = true;
    login->key.group = conn->info.group;
    if (conn->r->stopping) {
        login_fail(conn, LOGIN_UNAVAILABLE, NULL, "the target is stopping");
        return false;
    }
    if (!login->has_initiator) { /* R7143-11.13.5-10, R7143-6.3-08 */
        login_fail(conn, LOGIN_MISSING, "InitiatorName", "missing");
        return false;
    }
    if (!login->has_target && !login->discovery && login->first.tsih == 0) {
        login_fail(conn, LOGIN_MISSING, "TargetName", "missing");
        return false;
    }
    bool names_good = *login->key.initiator && (!login->has_target || *login->key.target);
    if (names_good && !identify_target(conn))
        return false;
    if (names_good && login->first.tsih != 0 && !identify_session(conn, &joined))
        return false;
    start_negotiation(conn, joined);
    if (!names_good) { /* the key table would find it too, but a reader of the log wants it first */
        login_fail(conn, LOGIN_INITIATOR_ERROR, login->key.initiator[0] ? "TargetName" : "InitiatorName",
                   "malformed");
        return false;
    }
    if (login->stage == 1 && login->need_auth) { /* R7143-6.3.1-08 */
        login_fail(conn, LOGIN_AUTH_FAILURE, "AuthMethod", "authentication is required");
        return false;
    }
    return true;
}

/* ---- the end ---- */

static void wait_for(struct tgt_conn *conn, struct tgt_session *s)
{
    conn->login->old = s;
    conn_set_state(conn, CONN_WAIT_OLD);
}

/* Who has proved to be who: "" without authentication. */
static const char *user_of(const struct tgt_login *login)
{
    return login->chap_on && login->authenticated ? login->chap.name : "";
}

/* Connection reinstatement: the old connection's tasks end before the new one takes its place. */
static bool settle_join(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    struct tgt_session *s = session_find(conn->r, &login->key, login->discovery, &conn->info.local);
    if (!s || s->key.tsih != login->first.tsih || s->closing) {
        login->join = false;
        login->old = NULL;
        login_fail(conn, LOGIN_NO_SESSION, "TSIH", "no such session");
        return false;
    }
    login->old = s;
    if (strcmp(s->user, user_of(login)) != 0) { /* R7143-9.2-13, R7143-9.2-14, R7143-9.2-15 */
        login_fail(conn, LOGIN_AUTH_FAILURE, "AuthMethod", "the session belongs to another user");
        return false;
    }
    struct tgt_conn *old = session_conn(s, conn->cid);
    if (!old && is_full(s)) { /* others were quicker */
        login_fail(conn, LOGIN_TOO_MANY, "CID", "the session has all its connections");
        return false;
    }
    if (!old)
        return true;
    old->clean = !session_retains(s); /* R7143-11.14-10, R7143-8.1.2-09 */
    wait_for(conn, s);                /* before the drop: the session then knows that it is not over */
    old->end_known = true;
    conn_drop(old, "connection reinstated"); /* R7143-6.3.4-02, R7143-11.12.7-03, R7143-6.3.4-05 */
    return false;
}

bool login_settle(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    if (login->join)
        return settle_join(conn);
    struct tgt_session *old = session_find(conn->r, &login->key, login->discovery, &conn->info.local);
    if (!old)
        return true;
    /* R7143-6.3.1-03, R7143-6.3.5-02: only now, after authentication, does the old session end */
    if (!MUTANT(old_session_lives))
        wait_for(conn, old);
    session_close(old, "session reinstated");
    return MUTANT(old_session_lives);
}

/* For the list of sessions only: without memory there is none. */
static void keep_alias(struct tgt_session *s, const char *alias)
{
    size_t len = strlen(alias);
    s->alias = len ? env_alloc(s->r->env, len + 1) : NULL;
    if (s->alias)
        memcpy(s->alias, alias, len);
}

int login_enter(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    struct tgt_session *s = login->join ? login->old : NULL;
    if (!s) {
        int err = session_new(conn, &s);
        if (err)
            return err;
    }
    conn->params = login->neg.params;
    if (!login->join) {
        s->params = login->neg.params;
        keep_alias(s, login->neg.texts.initiator_alias);
        memcpy(s->user, user_of(login), strlen(user_of(login)) + 1);
    }
    s->nexus.protocol_level = (uint8_t)s->params.iscsi_protocol_level; /* R7144-5.2.1-01 */
    s->nexus.wants_events = true;
    s->nexus.takes_loans = session_level(s) == 0; /* above, data-in is kept beyond the loan */
    const char *auth = !login->chap_on || !login->authenticated ? "None"
                       : login->chap.mutual                     ? "CHAP mutual"
                                                                : "CHAP";
    memcpy(s->auth, auth, strlen(auth) + 1);
    session_add_conn(s, conn);
    /* The implicit logout is done (R7143-8.2-02): tasks of that CID may be reassigned. */
    struct tgt_lost *lost = lost_find(s, conn->cid);
    if (lost)
        lost_logged_out(lost, s->params.default_time2wait, s->params.default_time2retain);
    login->leading = login->continues = login->cleans = false;
    return 0;
}

void login_config_changed(struct tgt_conn *conn)
{
    struct tgt_login *login = conn->login;
    if (!login || !login->config || !conn_live(conn))
        return;
    tgt_config_unref(login->config);
    login->config = conn->r->config;
    tgt_config_ref(login->config);
    login->target = login->key.target[0] ? tgt_config_find(login->config, login->key.target) : NULL;
}
