/* Defaults, and what we say of our own accord: declarations and offers. */
#include "common/iscsi/keys.h"

#include <stdio.h>
#include <string.h>

#include "common/iscsi/keys_internal.h"

void key_config_default(struct key_config *config)
{
    *config = (struct key_config){
        .auth_methods = {1, {KEY_AUTH_NONE}},
        .header_digest = {2, {KEY_DIGEST_NONE, KEY_DIGEST_CRC32C}},
        .data_digest = {2, {KEY_DIGEST_NONE, KEY_DIGEST_CRC32C}},
        .task_reporting = {1, {KEY_TASK_REPORTING_RFC3720}},
        .discovery_digest_none = true,
        .max_connections = 1,
        .initial_r2t = false,
        .immediate_data = true,
        .max_recv_data_segment_length = 262144,
        .max_burst_length = 1048576,
        .first_burst_length = 262144,
        .default_time2wait = 2,
        .default_time2retain = 20,
        .max_outstanding_r2t = 8,
        .data_pdu_in_order = true,
        .data_sequence_in_order = true,
        .error_recovery_level = 0,
        .iscsi_protocol_level = 1, /* R7143-13.24-01 */
        .session_type = KEY_SESSION_NORMAL,
        .target_portal_group_tag = 1,
    };
}

/* ---- our own values ---- */

bool key_in_discovery(const struct key_negotiation *neg)
{
    enum key_session_type type =
        neg->role == KEY_ROLE_INITIATOR ? neg->config.session_type : neg->pending.session_type;
    return type == KEY_SESSION_DISCOVERY;
}

struct key_choices key_own_choices(const struct key_negotiation *neg, enum key_id id)
{
    const struct key_config *c = &neg->config;
    struct key_choices choices = id == KEY_AUTH_METHOD     ? c->auth_methods
                                 : id == KEY_HEADER_DIGEST ? c->header_digest
                                 : id == KEY_DATA_DIGEST   ? c->data_digest
                                                           : c->task_reporting;
    bool digest = id == KEY_HEADER_DIGEST || id == KEY_DATA_DIGEST;
    /* A discovery session has no data worth a digest; an initiator then offers nothing else. A target still
     * has to take CRC32C from a peer that offers only that, so key_flush prefers None instead. */
    if (digest && c->discovery_digest_none && key_in_discovery(neg) && neg->role == KEY_ROLE_INITIATOR)
        choices = (struct key_choices){1, {KEY_DIGEST_NONE}};
    return choices;
}

uint32_t key_own_value(const struct key_negotiation *neg, enum key_id id)
{
    const struct key_config *c = &neg->config;
    switch (id) {
    case KEY_MAX_CONNECTIONS: /* R7143-13.21-02 */
        return key_in_discovery(neg) ? 1 : c->max_connections;
    case KEY_ERROR_RECOVERY_LEVEL: /* R7143-13.21-03, R7143-7.4.1-02 */
        return key_in_discovery(neg) ? 0 : c->error_recovery_level;
    case KEY_INITIAL_R2T:
        return c->initial_r2t;
    case KEY_IMMEDIATE_DATA:
        return c->immediate_data;
    case KEY_MAX_BURST_LENGTH:
        return c->max_burst_length;
    case KEY_FIRST_BURST_LENGTH: /* R7143-13.14-02: never proposed above MaxBurstLength */
        return c->first_burst_length < c->max_burst_length ? c->first_burst_length : c->max_burst_length;
    case KEY_DEFAULT_TIME2WAIT:
        return c->default_time2wait;
    case KEY_DEFAULT_TIME2RETAIN:
        return c->default_time2retain;
    case KEY_MAX_OUTSTANDING_R2T: /* R7143-13.19-04 */
        return c->error_recovery_level > 0 && c->data_sequence_in_order && neg->role == KEY_ROLE_INITIATOR
                   ? 1
                   : c->max_outstanding_r2t;
    case KEY_DATA_PDU_IN_ORDER:
        return c->data_pdu_in_order;
    case KEY_DATA_SEQUENCE_IN_ORDER:
        return c->data_sequence_in_order;
    case KEY_ISCSI_PROTOCOL_LEVEL:
        return c->iscsi_protocol_level;
    case KEY_MAX_RECV_DATA_SEGMENT_LENGTH:
        return c->max_recv_data_segment_length;
    default:
        return key_defs[id].def;
    }
}

/* ---- writing one key ---- */

/* An override stands in for whatever we would have said, also for nothing. */
static const struct key_override *find_override(const struct key_negotiation *neg, enum key_id id)
{
    for (size_t i = 0; i < neg->config.override_count; i++)
        if (strcmp(neg->config.overrides[i].key, key_defs[id].name) == 0)
            return &neg->config.overrides[i];
    return NULL;
}

/* Notes that the pair went out, and what it said, so that the answer can be checked. */
static void note_offer(struct key_negotiation *neg, enum key_id id, const char *value)
{
    bool all_known = true;
    neg->state[id] |= KEY_STATE_OFFERED;
    if (!key_parse_value(id, text_range_of(value), &neg->ours[id], &all_known) || !all_known)
        neg->state[id] |= KEY_STATE_RAW;
    if (id == KEY_MAX_RECV_DATA_SEGMENT_LENGTH && !(neg->state[id] & KEY_STATE_RAW))
        neg->pending.max_recv_data_segment_length = (uint32_t)neg->ours[id];
}

/* A negotiated key is not offered when the peer proposed it first or it has been offered: R7143-6.3-20 */
static bool already_said(const struct key_negotiation *neg, enum key_id id)
{
    enum key_kind kind = key_defs[id].kind;
    bool negotiated = kind == KEY_KIND_LIST || kind == KEY_KIND_AND || kind == KEY_KIND_OR ||
                      kind == KEY_KIND_MIN || kind == KEY_KIND_MAX;
    return (neg->state[id] & KEY_STATE_OFFERED) || (negotiated && (neg->state[id] & KEY_STATE_RECEIVED));
}

/* Kinds whose `max` is a length: a configured text that no peer may accept is better not sent. */
static bool is_text(enum key_id id)
{
    enum key_kind kind = key_defs[id].kind;
    return kind == KEY_KIND_NAME || kind == KEY_KIND_LOCAL || kind == KEY_KIND_TEXT;
}

/* Writes `value`, or what an override has in its place. NULL or "": nothing to say, unless overridden. */
static bool say(struct key_negotiation *neg, struct text_writer *w, enum key_id id, const char *value)
{
    const struct key_override *o = find_override(neg, id);
    if (o)
        value = o->value;
    else if (value && (!*value || (is_text(id) && strlen(value) > key_defs[id].max))) /* R7143-13.26.1-01 */
        value = NULL;
    if (!value || already_said(neg, id))
        return true;
    if (!text_add(w, key_defs[id].name, value))
        return false;
    note_offer(neg, id, value);
    return true;
}

/* Appends a word and its comma; 255 bytes hold every list we can make. */
static void join_word(char *buf, size_t cap, const char *word)
{
    size_t len = strlen(buf);
    snprintf(buf + len, cap - len, "%s%s", len ? "," : "", word);
}

static void value_text(const struct key_negotiation *neg, enum key_id id, char *buf, size_t cap)
{
    struct key_choices choices;
    buf[0] = 0;
    switch (key_defs[id].kind) {
    case KEY_KIND_LIST:
        choices = key_own_choices(neg, id);
        for (unsigned i = 0; i < choices.count && i < KEY_CHOICES_MAX; i++)
            join_word(buf, cap, key_word(id, choices.value[i]));
        break;
    case KEY_KIND_AND:
    case KEY_KIND_OR:
        snprintf(buf, cap, "%s", key_own_value(neg, id) ? "Yes" : "No");
        break;
    default: /* decimal, small: R7143-6.1-09 */
        snprintf(buf, cap, "%lu", (unsigned long)key_own_value(neg, id));
    }
}

/* Offers our own value, unless an override or an earlier word of the peer stands against it. */
static bool offer(struct key_negotiation *neg, struct text_writer *w, enum key_id id)
{
    char buf[TEXT_VALUE_LEN_MAX + 1];
    value_text(neg, id, buf, sizeof buf);
    return say(neg, w, id, buf);
}

/* ---- the texts of a login ---- */

bool key_declare_initiator(struct key_negotiation *neg, struct text_writer *w)
{
    const struct key_config *c = &neg->config;
    const char *type = c->session_type == KEY_SESSION_DISCOVERY ? "Discovery" : "Normal";
    return say(neg, w, KEY_INITIATOR_NAME, c->initiator_name) &&      /* R7143-13.5-01 */
           say(neg, w, KEY_INITIATOR_ALIAS, c->initiator_alias) &&    /* R7143-13.7-01 */
           say(neg, w, KEY_TARGET_NAME, c->target_name) &&            /* R7143-13.4-01 */
           say(neg, w, KEY_SESSION_TYPE, neg->leading ? type : NULL); /* R7143-13.21-04 */
}

bool key_declare_target(struct key_negotiation *neg, struct text_writer *w)
{
    char tag[8];
    snprintf(tag, sizeof tag, "%u", neg->config.target_portal_group_tag);
    return say(neg, w, KEY_TARGET_PORTAL_GROUP_TAG, tag) && /* R7143-6.3.1-10 */
           say(neg, w, KEY_TARGET_ALIAS,
               key_in_discovery(neg) ? NULL : neg->config.target_alias); /* R7143-13.6-01 */
}

bool key_offer_security(struct key_negotiation *neg, struct text_writer *w)
{
    if (neg->role == KEY_ROLE_TARGET && !neg->config.propose_auth)
        return say(neg, w, KEY_AUTH_METHOD, NULL);
    return offer(neg, w, KEY_AUTH_METHOD);
}

/* A short list: looking through it is cheaper than keeping a set. */
static bool has_choice(const struct key_choices *choices, unsigned value)
{
    for (unsigned i = 0; i < choices->count && i < KEY_CHOICES_MAX; i++)
        if (choices->value[i] == value)
            return true;
    return false;
}

/* Does our role offer the key without being told to by an override? */
static bool is_offered(const struct key_negotiation *neg, enum key_id id)
{
    const struct key_def *def = &key_defs[id];
    const struct key_choices *reporting = &neg->config.task_reporting;
    if (id == KEY_MAX_RECV_DATA_SEGMENT_LENGTH)
        return true;
    if (neg->role == KEY_ROLE_TARGET || !(def->flags & KEY_FLAG_OP))
        return false;
    if (def->use == KEY_USE_LO && !neg->leading) /* R7143-13-01 */
        return false;
    if ((def->flags & KEY_FLAG_DISC) && key_in_discovery(neg))
        return false;
    if (id == KEY_TASK_REPORTING) /* R7143-13.23-02 */
        return has_choice(reporting, KEY_TASK_REPORTING_RFC3720) &&
               has_choice(reporting, KEY_TASK_REPORTING_RESPONSE_FENCE);
    if (id == KEY_ISCSI_PROTOCOL_LEVEL)
        return neg->config.iscsi_protocol_level > 1;
    return def->kind <= KEY_KIND_MAX;
}

/* Overrides that are no known keys: extension keys, and whatever a test thinks of. */
static bool offer_extras(struct key_negotiation *neg, struct text_writer *w)
{
    for (size_t i = 0; i < neg->config.override_count; i++) {
        const struct key_override *o = &neg->config.overrides[i];
        if (key_find(text_range_of(o->key)) != KEY_UNKNOWN || !o->value || neg->override_state[i])
            continue;
        if (strncmp(o->key, "X-", 2) == 0 && key_in_discovery(neg)) /* R7143-13.22-02 */
            continue;
        if (!text_add(w, o->key, o->value))
            return false;
        neg->override_state[i] = KEY_STATE_OFFERED;
    }
    return true;
}

bool key_offer_operational(struct key_negotiation *neg, struct text_writer *w)
{
    for (enum key_id id = 0; id < KEY_COUNT; id++) {
        bool op = key_defs[id].flags & KEY_FLAG_OP;
        if (is_offered(neg, id) ? !offer(neg, w, id) : op && !say(neg, w, id, NULL))
            return false;
    }
    const char *architecture = neg->leading ? neg->config.node_architecture : NULL;
    return say(neg, w, KEY_NODE_ARCHITECTURE, architecture) && offer_extras(neg, w);
}

bool key_offer_max_recv(struct key_negotiation *neg, struct text_writer *w, uint32_t len)
{
    char buf[16];
    snprintf(buf, sizeof buf, "%lu", (unsigned long)len);
    if (!text_add(w, key_defs[KEY_MAX_RECV_DATA_SEGMENT_LENGTH].name, buf))
        return false;
    note_offer(neg, KEY_MAX_RECV_DATA_SEGMENT_LENGTH, buf); /* R7143-13.12-04 */
    return true;
}

bool key_request_targets(struct key_negotiation *neg, struct text_writer *w, const char *value)
{
    if (!text_add(w, key_defs[KEY_SEND_TARGETS].name, value))
        return false;
    note_offer(neg, KEY_SEND_TARGETS, value);
    return true;
}
