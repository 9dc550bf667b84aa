/* The table of keys, and the values of negotiated keys: words, parsing, storing, defaults. */
#include "common/iscsi/keys.h"

#include <string.h>

#include "common/iscsi/keys_internal.h"

#define I  KEY_FROM_I
#define T  KEY_FROM_T
#define IT KEY_FROM_IT
#define X(tag, text, kind, from, use, flags, def, min, max, requirement)                                     \
    {text, KEY_KIND_##kind, from, KEY_USE_##use, flags, def, min, max, requirement},
const struct key_def key_defs[KEY_COUNT] = {KEY_LIST(X)};
#undef X
#undef I
#undef T
#undef IT

enum key_id key_find(struct text_range name)
{
    /* The first letter rules out most rows: a login asks some dozen times. */
    for (enum key_id id = 0; name.len && id < KEY_COUNT; id++)
        if (key_defs[id].name[0] == name.ptr[0] &&
            text_is(name, key_defs[id].name)) /* case counts: R7143-6.1-01 */
            return id;
    return KEY_UNKNOWN;
}

/* ---- words of the list keys ---- */

/* In the order of the enums, whose values are the indexes. */
static const char *const digest_words[] = {"None", "CRC32C"};
static const char *const auth_words[] = {"None", "CHAP"};
static const char *const task_reporting_words[] = {"RFC3720", "ResponseFence", "FastAbort"};

const char *key_digest_text(enum key_digest digest)
{
    return (unsigned)digest < KEY_DIGEST_COUNT ? digest_words[digest] : "?";
}

const char *key_auth_text(enum key_auth auth)
{
    return (unsigned)auth < KEY_AUTH_COUNT ? auth_words[auth] : "?";
}

const char *key_task_reporting_text(enum key_task_reporting value)
{
    return (unsigned)value < KEY_TASK_REPORTING_COUNT ? task_reporting_words[value] : "?";
}

/* One place knows which words a list key has; offers, answers and logs all ask here. */
const char *key_word(enum key_id id, unsigned value)
{
    switch (id) {
    case KEY_AUTH_METHOD:
        return value < KEY_AUTH_COUNT ? auth_words[value] : NULL;
    case KEY_HEADER_DIGEST:
    case KEY_DATA_DIGEST:
        return value < KEY_DIGEST_COUNT ? digest_words[value] : NULL;
    case KEY_TASK_REPORTING:
        return value < KEY_TASK_REPORTING_COUNT ? task_reporting_words[value] : NULL;
    default:
        return NULL;
    }
}

/* ---- parsing and storing values ---- */

/* Unknown words are skipped, repeated ones count once: R7143-6.2.1-03 */
static bool parse_list(enum key_id id, struct text_range value, uint64_t *out, bool *all_known)
{
    uint64_t packed = 0, seen = 0;
    unsigned shift = 0;
    struct text_range item;
    *all_known = true;
    while (text_list_next(&value, &item)) {
        if (item.len > TEXT_VALUE_LEN_MAX) /* each is a simple value */
            return false;
        const char *word;
        unsigned v = 0;
        while ((word = key_word(id, v)) && !text_is(item, word))
            v++;
        /* Repeated words are dropped so that the packed list cannot outgrow its 64 bits. */
        if (!word)
            *all_known = false;
        if (!word || (seen >> v & 1))
            continue;
        seen |= 1u << v;
        packed |= (uint64_t)(v + 1) << shift;
        shift += 4;
    }
    *out = packed;
    return true;
}

bool key_parse_value(enum key_id id, struct text_range value, uint64_t *out, bool *all_known)
{
    const struct key_def *def = &key_defs[id];
    uint64_t n;
    bool yes, known;
    switch (def->kind) {
    case KEY_KIND_LIST:
        return parse_list(id, value, out, all_known ? all_known : &known);
    case KEY_KIND_AND:
    case KEY_KIND_OR: /* R7143-6.1-08 */
        if (!text_parse_bool(value, &yes))
            return false;
        *out = yes;
        return true;
    case KEY_KIND_MIN:
    case KEY_KIND_MAX:
    case KEY_KIND_NUMBER: /* ranges are no numbers: R7143-6.2-10 */
        if (value.len > TEXT_VALUE_LEN_MAX || !text_parse_number(value, &n) || n < def->min || n > def->max)
            return false;
        *out = n;
        return true;
    default:
        return false;
    }
}

/* Is one of the entries this enum value? */
bool key_packed_has(uint64_t packed, uint64_t value)
{
    for (; packed; packed >>= 4)
        if ((packed & KEY_PACKED_MAX) == value + 1)
            return true;
    return false;
}

/* The only place where a key meets its member of struct key_params. */
void key_set_param(struct key_params *p, enum key_id id, uint64_t value)
{
    uint32_t n = (uint32_t)value;
    switch (id) {
    case KEY_HEADER_DIGEST:
        p->header_digest = (enum key_digest)n;
        break;
    case KEY_DATA_DIGEST:
        p->data_digest = (enum key_digest)n;
        break;
    case KEY_TASK_REPORTING:
        p->task_reporting = (enum key_task_reporting)n;
        break;
    case KEY_MAX_CONNECTIONS:
        p->max_connections = n;
        break;
    case KEY_INITIAL_R2T:
        p->initial_r2t = n;
        break;
    case KEY_IMMEDIATE_DATA:
        p->immediate_data = n;
        break;
    case KEY_MAX_BURST_LENGTH:
        p->max_burst_length = n;
        break;
    case KEY_FIRST_BURST_LENGTH:
        p->first_burst_length = n;
        break;
    case KEY_DEFAULT_TIME2WAIT:
        p->default_time2wait = n;
        break;
    case KEY_DEFAULT_TIME2RETAIN:
        p->default_time2retain = n;
        break;
    case KEY_MAX_OUTSTANDING_R2T:
        p->max_outstanding_r2t = n;
        break;
    case KEY_DATA_PDU_IN_ORDER:
        p->data_pdu_in_order = n;
        break;
    case KEY_DATA_SEQUENCE_IN_ORDER:
        p->data_sequence_in_order = n;
        break;
    case KEY_ERROR_RECOVERY_LEVEL:
        p->error_recovery_level = n;
        break;
    case KEY_ISCSI_PROTOCOL_LEVEL:
        p->iscsi_protocol_level = n;
        break;
    default:
        break;
    }
}

/* AuthMethod's result lives in the negotiation, the others' in params. */
void key_set_result(struct key_negotiation *neg, enum key_id id, uint64_t value)
{
    if (id == KEY_AUTH_METHOD) {
        neg->auth_state = KEY_AUTH_CHOSEN;
        neg->auth_method = (enum key_auth)value;
        return;
    }
    key_set_param(&neg->pending, id, value);
}

void key_params_default(struct key_params *params)
{
    *params = (struct key_params){
        .max_recv_data_segment_length = key_defs[KEY_MAX_RECV_DATA_SEGMENT_LENGTH].def,
        .peer_max_recv_data_segment_length = key_defs[KEY_MAX_RECV_DATA_SEGMENT_LENGTH].def};
    /* The table has the standard's defaults: they are not written down a second time. */
    for (enum key_id id = 0; id < KEY_COUNT; id++)
        key_set_param(params, id, key_defs[id].def);
}
