/* The table of limits and its three readers. */
#include "target/service/limits.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/units.h"

#define LEN_MIN  512u      /* bytes: ranges of RFC 7143 chapter 13 */
#define LEN_MAX  16777215u /* bytes */
#define TIME_MAX 3600u     /* seconds */
#define NS       1000000000u
#define NAME_LEN 40

enum limit_kind { LIMIT_NUMBER, LIMIT_SIZE, LIMIT_TIME, LIMIT_BOOL, LIMIT_DIGEST, LIMIT_REPORTING };

static const struct limit {
    const char *name; /* with hyphens; config.json has underscores */
    enum limit_kind kind;
    uint32_t min, max;
    size_t at; /* in struct key_config */
} limits[] = {
    {"max-connections", LIMIT_NUMBER, 1, LIMITS_CONNECTIONS_MAX,
     offsetof(struct key_config, max_connections)},
    {"recovery-level", LIMIT_NUMBER, 0, 2, offsetof(struct key_config, error_recovery_level)},
    {"protocol-level", LIMIT_NUMBER, 1, 2, offsetof(struct key_config, iscsi_protocol_level)},
    {"task-reporting", LIMIT_REPORTING, 0, 0, offsetof(struct key_config, task_reporting)},
    {"time2wait", LIMIT_TIME, 0, TIME_MAX, offsetof(struct key_config, default_time2wait)},
    {"time2retain", LIMIT_TIME, 0, TIME_MAX, offsetof(struct key_config, default_time2retain)},
    {"initial-r2t", LIMIT_BOOL, 0, 0, offsetof(struct key_config, initial_r2t)},
    {"immediate-data", LIMIT_BOOL, 0, 0, offsetof(struct key_config, immediate_data)},
    {"max-burst", LIMIT_SIZE, LEN_MIN, LEN_MAX, offsetof(struct key_config, max_burst_length)},
    {"first-burst", LIMIT_SIZE, LEN_MIN, LEN_MAX, offsetof(struct key_config, first_burst_length)},
    {"max-recv", LIMIT_SIZE, LEN_MIN, LEN_MAX, offsetof(struct key_config, max_recv_data_segment_length)},
    {"max-outstanding-r2t", LIMIT_NUMBER, 1, 65535, offsetof(struct key_config, max_outstanding_r2t)},
    {"header-digest", LIMIT_DIGEST, 0, 0, offsetof(struct key_config, header_digest)},
    {"data-digest", LIMIT_DIGEST, 0, 0, offsetof(struct key_config, data_digest)},
};
#define LIMIT_COUNT (sizeof limits / sizeof limits[0])

void limits_default(struct key_config *keys)
{
    key_config_default(keys);
    keys->max_connections = 8;
    keys->error_recovery_level = 2;
    keys->iscsi_protocol_level = 2;
    keys->task_reporting = (struct key_choices){
        3, {KEY_TASK_REPORTING_FAST_ABORT, KEY_TASK_REPORTING_RESPONSE_FENCE, KEY_TASK_REPORTING_RFC3720}};
}

/* ---- lists of words ---- */

static const char *const digest_words[] = {[KEY_DIGEST_NONE] = "none", [KEY_DIGEST_CRC32C] = "crc32c"};
static const char *const reporting_words[] = {[KEY_TASK_REPORTING_RFC3720] = "RFC3720",
                                              [KEY_TASK_REPORTING_RESPONSE_FENCE] = "ResponseFence",
                                              [KEY_TASK_REPORTING_FAST_ABORT] = "FastAbort"};

/* At least one word of the list, each once, in any case. */
static bool parse_words(const char *text, const char *const *words, size_t count, struct key_choices *out)
{
    struct key_choices made = {0};
    unsigned seen = 0;
    for (const char *at = text;;) {
        size_t len = strcspn(at, ","), i = 0;
        while (i < count && (strlen(words[i]) != len || strncasecmp(at, words[i], len) != 0))
            i++;
        if (i == count || seen >> i & 1)
            return false;
        seen |= 1u << i;
        made.value[made.count++] = (uint8_t)i;
        at += len;
        if (!at[0] || !at[1]) /* the end, or a comma too many, which harms nobody */
            break;
        at++;
    }
    *out = made;
    return true;
}

static bool parse_list(const struct limit *limit, const char *text, struct key_choices *out)
{
    return limit->kind == LIMIT_DIGEST ? parse_words(text, digest_words, KEY_DIGEST_COUNT, out)
                                       : parse_words(text, reporting_words, KEY_TASK_REPORTING_COUNT, out);
}

/* ---- one value ---- */

/* From text to what config.json holds. `shown` is the name in messages. New reference or NULL. */
static json_t *parse(const struct limit *limit, const char *shown, const char *text, struct outcome *o)
{
    uint64_t value;
    struct key_choices list;
    bool yes = strcmp(text, "yes") == 0 || strcmp(text, "on") == 0;
    switch (limit->kind) {
    case LIMIT_NUMBER:
        if (units_parse_u64(text, limit->min, limit->max, &value) == 0)
            return json_integer((json_int_t)value);
        outcome_refuse(o, "%s: \"%s\" is no number from %u to %u", shown, text, limit->min, limit->max);
        return NULL;
    case LIMIT_SIZE:
        if (units_parse_size(text, &value) != 0) {
            outcome_refuse(o, "%s: \"%s\" is no size such as 4096, 64K or 10G", shown, text);
            return NULL;
        }
        /* "16M" is one more than the largest that the protocol can say: taken as meant. */
        if (value == (uint64_t)LEN_MAX + 1)
            value = LEN_MAX;
        if (value >= limit->min && value <= limit->max)
            return json_integer((json_int_t)value);
        outcome_refuse(o, "%s is between %u and %u bytes", shown, limit->min, limit->max);
        return NULL;
    case LIMIT_TIME:
        if (units_parse_duration(text, &value) == 0 && value % NS == 0 && value / NS <= limit->max)
            return json_integer((json_int_t)(value / NS));
        outcome_refuse(o, "%s: \"%s\" is no time in whole seconds from 0 to %us", shown, text, limit->max);
        return NULL;
    case LIMIT_BOOL:
        if (yes || strcmp(text, "no") == 0 || strcmp(text, "off") == 0)
            return json_boolean(yes);
        outcome_refuse(o, "%s is yes or no, not \"%s\"", shown, text);
        return NULL;
    case LIMIT_DIGEST:
    case LIMIT_REPORTING:
        if (parse_list(limit, text, &list))
            return json_string(text);
        if (limit->kind == LIMIT_DIGEST)
            outcome_refuse(o, "%s is none, crc32c or both with a comma, not \"%s\"", shown, text);
        else
            outcome_refuse(o, "%s is made of RFC3720, ResponseFence and FastAbort, with commas, not \"%s\"",
                           shown, text);
        return NULL;
    }
    return NULL;
}

/* Is this a value that `parse` could have made? */
static bool fits(const struct limit *limit, const json_t *value)
{
    struct key_choices list;
    json_int_t n = json_integer_value(value);
    switch (limit->kind) {
    case LIMIT_NUMBER:
    case LIMIT_SIZE:
    case LIMIT_TIME:
        return json_is_integer(value) && n >= (json_int_t)limit->min && n <= (json_int_t)limit->max;
    case LIMIT_BOOL:
        return json_is_boolean(value);
    case LIMIT_DIGEST:
    case LIMIT_REPORTING:
        return json_is_string(value) && parse_list(limit, json_string_value(value), &list);
    }
    return false;
}

static void apply(const struct limit *limit, const json_t *value, struct key_config *keys)
{
    char *at = (char *)keys + limit->at;
    uint32_t number = (uint32_t)json_integer_value(value);
    bool yes = json_is_true(value);
    struct key_choices list;
    switch (limit->kind) {
    case LIMIT_NUMBER:
    case LIMIT_SIZE:
    case LIMIT_TIME:
        memcpy(at, &number, sizeof number);
        break;
    case LIMIT_BOOL:
        memcpy(at, &yes, sizeof yes);
        break;
    case LIMIT_DIGEST:
    case LIMIT_REPORTING:
        if (parse_list(limit, json_string_value(value), &list))
            memcpy(at, &list, sizeof list);
        break;
    }
}

/* ---- names ---- */

/* max_connections and max-connections are one name. */
static const struct limit *find(const char *name, size_t len)
{
    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        size_t k = 0;
        if (strlen(limits[i].name) != len)
            continue;
        while (k < len && (limits[i].name[k] == name[k] || (limits[i].name[k] == '-' && name[k] == '_')))
            k++;
        if (k == len)
            return &limits[i];
    }
    return NULL;
}

static void json_name(const struct limit *limit, char out[NAME_LEN])
{
    snprintf(out, NAME_LEN, "%s", limit->name);
    for (char *p = out; *p; p++)
        if (*p == '-')
            *p = '_';
}

void limits_help(FILE *out)
{
    static const char *const takes[] = {
        [LIMIT_NUMBER] = NULL,          [LIMIT_SIZE] = "SIZE",
        [LIMIT_TIME] = "SECONDS",       [LIMIT_BOOL] = "yes|no",
        [LIMIT_DIGEST] = "none,crc32c", [LIMIT_REPORTING] = "RFC3720,ResponseFence,FastAbort"};
    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        const struct limit *limit = &limits[i];
        fprintf(out, "  %s=", limit->name);
        if (takes[limit->kind])
            fprintf(out, "%s\n", takes[limit->kind]);
        else
            fprintf(out, "%u to %u\n", limit->min, limit->max);
    }
    fprintf(out, "\n");
}

/* ---- the readers ---- */

bool limits_set(json_t *values, const char *text, struct outcome *o)
{
    const char *equals = strchr(text, '=');
    const struct limit *limit = equals ? find(text, (size_t)(equals - text)) : NULL;
    char name[NAME_LEN];
    if (!equals)
        return outcome_refuse(o, "\"%s\" is no NAME=VALUE such as max-connections=4", text);
    if (!limit)
        return outcome_refuse(o, "there is no limit \"%.*s\" (set --help lists them)", (int)(equals - text),
                              text);
    json_name(limit, name);
    bool none = strcmp(equals + 1, "default") == 0;
    json_t *value = none ? json_null() : parse(limit, limit->name, equals + 1, o);
    if (!value)
        return false;
    return json_object_set_new(values, name, value) == 0 || outcome_fail(o, "out of memory");
}

const char *limits_check(const json_t *object, char *why, size_t len)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const struct limit *limit = strchr(key, '-') ? NULL : find(key, strlen(key));
        if (!limit) {
            snprintf(why, len, "unknown key \"%.60s\"", key);
            return why;
        }
        if (!fits(limit, value)) {
            snprintf(why, len, "%s has a value that it cannot have", key);
            return why;
        }
    }
    const json_t *first = json_object_get(object, "first_burst"),
                 *most = json_object_get(object, "max_burst");
    if (first && most && json_integer_value(first) > json_integer_value(most))
        return "first_burst must not be larger than max_burst";
    return NULL;
}

void limits_apply(const json_t *object, struct key_config *keys)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const struct limit *limit = find(key, strlen(key));
        if (limit)
            apply(limit, value, keys);
    }
    /* FirstBurstLength must not exceed MaxBurstLength: the one that was asked for pulls the other along. */
    if (keys->first_burst_length > keys->max_burst_length && json_object_get(object, "first_burst"))
        keys->max_burst_length = keys->first_burst_length;
    if (keys->first_burst_length > keys->max_burst_length)
        keys->first_burst_length = keys->max_burst_length;
}

bool limits_args(const struct args *args, struct key_config *keys, struct outcome *o)
{
    struct key_config made = *keys;
    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        char option[NAME_LEN + 2];
        snprintf(option, sizeof option, "--%s", limits[i].name);
        const char *text = args_value(args, option);
        json_t *value = text ? parse(&limits[i], option, text, o) : NULL;
        if (text && !value)
            return false;
        if (value)
            apply(&limits[i], value, &made);
        json_decref(value);
    }
    if (made.first_burst_length > made.max_burst_length) {
        if (args_value(args, "--first-burst"))
            return outcome_refuse(o, "--first-burst must not be larger than --max-burst");
        made.first_burst_length = made.max_burst_length;
    }
    *keys = made;
    return true;
}
