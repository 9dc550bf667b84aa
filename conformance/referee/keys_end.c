/* The end of a negotiation: what is still open, and what was agreed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conformance/referee/keys_internal.h"

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
        if (keys_is_negotiated(kind) && k->offered_by == 1 + by && k->offered_at == c->pdus && !k->answered &&
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
        if (!keys_is_negotiated(kind) || !k->offered_by)
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
        if (id == KEY_TASK_REPORTING && strcmp(k->answer, "ResponseFence") == 0)
            params->task_reporting = KEY_TASK_REPORTING_RESPONSE_FENCE;
    }
    for (uint32_t i = 0; i < neg->unknown_count; i++)
        if (!neg->unknown[i].answered && neg->unknown[i].offered_at != c->pdus)
            finding(c, neg->unknown[i].offered_by == 1 + TO_T ? RULE_UNKNOWN_ANSWER_T : RULE_UNKNOWN_ANSWER_I,
                    "an answer to an unknown key", "none");
}
