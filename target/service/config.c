/* The schema of the configuration: one table for each kind of object, and what must be unique. */
#include "target/service/config.h"

#include <stdio.h>
#include <string.h>

#include "common/base/units.h"
#include "common/io/io.h"
#include "common/iscsi/name.h"
#include "target/iscsi/config.h"
#include "target/service/limits.h"
#include "target/store/store.h"

/* ---- checks of single values: NULL when fine, else what is wrong ---- */

#define WHY_LEN 400

typedef const char *check_fn(const json_t *value, char *why);

static const char *check_target_name(const json_t *value, char *why)
{
    const char *reason;
    (void)why;
    return name_check(json_string_value(value), json_string_length(value), NAME_STRICT, &reason) ==
                   NAME_INVALID
               ? reason
               : NULL;
}

static const char *check_alias(const json_t *value, char *why)
{
    (void)why;
    return json_string_length(value) > 255 ? "longer than 255 bytes" : NULL;
}

static const char *check_lun(const json_t *value, char *why)
{
    json_int_t n = json_integer_value(value);
    if (n >= 0 && n <= (json_int_t)CONFIG_LUN_MAX)
        return NULL;
    snprintf(why, WHY_LEN, "LUN %lld is not between 0 and %u", (long long)n, CONFIG_LUN_MAX);
    return why;
}

static const char *check_spec(const json_t *value, char *why)
{
    struct store_spec spec;
    return store_spec_parse(json_string_value(value), &spec, why, WHY_LEN) != 0 ? why : NULL;
}

static const char *check_serial(const json_t *value, char *why)
{
    (void)why;
    const char *text = json_string_value(value);
    size_t len = strlen(text);
    if (len == 0 || len > 32)
        return "a serial number has 1 to 32 characters";
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x21 || text[i] > 0x7e)
            return "a serial number has printable ASCII characters without spaces only";
    return NULL;
}

static const char *check_naa(const json_t *value, char *why)
{
    uint8_t naa[16];
    (void)why;
    return config_naa_parse(json_string_value(value), naa) ? NULL
                                                           : "not 32 hexadecimal digits that begin with 6";
}

static const char *check_user_name(const json_t *value, char *why)
{
    (void)why;
    size_t len = json_string_length(value);
    return len == 0 || len >= TGT_NAME_MAX ? "a CHAP name has 1 to 223 bytes" : NULL;
}

static const char *check_secret(const json_t *value, char *why)
{
    size_t len = json_string_length(value);
    if (len > 0 && len <= CONFIG_SECRET_MAX)
        return NULL;
    snprintf(why, WHY_LEN, "a secret has 1 to %u bytes, not %zu", CONFIG_SECRET_MAX, len);
    return why;
}

static const char *check_pattern(const json_t *value, char *why)
{
    char normal[NAME_CAP];
    const char *reason;
    (void)why;
    return name_pattern_normalize(json_string_value(value), json_string_length(value), normal, &reason)
               ? NULL
               : reason;
}

static const char *check_net(const json_t *value, char *why)
{
    struct addr_net net;
    if (addr_net_parse(json_string_value(value), &net) == 0)
        return NULL;
    snprintf(why, WHY_LEN, "\"%.200s\" is no network such as 10.0.0.0/8 or 2001:db8::/32",
             json_string_value(value));
    return why;
}

static const char *check_address(const json_t *value, char *why)
{
    struct io_addr addr;
    if (addr_parse(json_string_value(value), NAME_PORT_DEFAULT, &addr) == 0)
        return NULL;
    snprintf(why, WHY_LEN, "\"%.200s\" is no address such as 192.0.2.1:3260 or [2001:db8::1]:3260",
             json_string_value(value));
    return why;
}

static const char *check_group(const json_t *value, char *why)
{
    json_int_t n = json_integer_value(value);
    if (n >= 1 && n <= 65535)
        return NULL;
    snprintf(why, WHY_LEN, "portal group tag %lld is not between 1 and 65535", (long long)n);
    return why;
}

static const char *check_redirect_address(const json_t *value, char *why)
{
    struct name_address address;
    if (!name_address_parse(json_string_value(value), json_string_length(value), &address))
        snprintf(why, WHY_LEN, "\"%.200s\" is no HOST[:PORT]", json_string_value(value));
    else if (address.has_tag) /* redirects carry none */
        snprintf(why, WHY_LEN, "a redirect names no portal group tag: \"%.200s\"", json_string_value(value));
    else if (json_string_length(value) > 255)
        return "longer than 255 bytes";
    else
        return NULL;
    return why;
}

static const char *check_duration(const json_t *value, char *why)
{
    uint64_t ns;
    if (units_parse_duration(json_string_value(value), &ns) == 0)
        return NULL;
    snprintf(why, WHY_LEN, "\"%.200s\" is no duration such as 250ms, 30s or 5m", json_string_value(value));
    return why;
}

static const char *check_limits(const json_t *value, char *why)
{
    return limits_check(value, why, WHY_LEN);
}

static const char *check_advertise(const json_t *value, char *why)
{
    struct name_address address;
    if (name_address_parse(json_string_value(value), json_string_length(value), &address) &&
        !address.has_tag && address.port)
        return NULL;
    snprintf(why, WHY_LEN, "\"%.200s\" is no HOST:PORT", json_string_value(value));
    return why;
}

/* ---- the schema ---- */

struct object_def;
struct field_def {
    const char *key;
    json_type type;
    bool required;
    check_fn *check;                /* strings and numbers */
    const struct object_def *items; /* arrays */
    const char *unique;             /* arrays: this member of the items must not repeat */
};
struct object_def {
    const struct field_def *fields;
    size_t count;
};
#define OBJECT(name)                                                                                         \
    static const struct object_def name##_def = {name##_fields,                                              \
                                                 sizeof name##_fields / sizeof name##_fields[0]}

static const struct field_def lun_fields[] = {
    {"lun", JSON_INTEGER, true, check_lun, NULL, NULL},
    {"spec", JSON_STRING, true, check_spec, NULL, NULL},
    {"serial", JSON_STRING, true, check_serial, NULL, NULL},
    {"naa", JSON_STRING, true, check_naa, NULL, NULL},
};
OBJECT(lun);
static const struct field_def user_fields[] = {
    {"name", JSON_STRING, true, check_user_name, NULL, NULL},
    {"secret", JSON_STRING, true, check_secret, NULL, NULL},
    {"mutual_name", JSON_STRING, false, check_user_name, NULL, NULL},
    {"mutual_secret", JSON_STRING, false, check_secret, NULL, NULL},
    {"initiator", JSON_STRING, false, check_pattern, NULL, NULL},
};
OBJECT(user);
static const struct field_def acl_fields[] = {
    {"initiator", JSON_STRING, false, check_pattern, NULL, NULL},
    {"net", JSON_STRING, false, check_net, NULL, NULL},
};
OBJECT(acl);
static const struct field_def redirect_fields[] = {
    {"address", JSON_STRING, true, check_redirect_address, NULL, NULL},
    {"group", JSON_INTEGER, false, check_group, NULL, NULL},
    {"permanent", JSON_TRUE, false, NULL, NULL, NULL},
};
OBJECT(redirect);
static const struct field_def initiator_fields[] = {
    {"initiator", JSON_STRING, true, check_pattern, NULL, NULL},
    {"nop_interval", JSON_STRING, false, check_duration, NULL, NULL},
    {"nop_timeout", JSON_STRING, false, check_duration, NULL, NULL},
    {"target_reset", JSON_TRUE, false, NULL, NULL, NULL},
};
OBJECT(initiator);
static const struct field_def target_fields[] = {
    {"name", JSON_STRING, true, check_target_name, NULL, NULL},
    {"alias", JSON_STRING, false, check_alias, NULL, NULL},
    {"luns", JSON_ARRAY, false, NULL, &lun_def, "lun"},
    {"users", JSON_ARRAY, false, NULL, &user_def, "name"},
    {"acls", JSON_ARRAY, false, NULL, &acl_def, NULL},
    {"limits", JSON_OBJECT, false, check_limits, NULL, NULL},
    {"redirects", JSON_ARRAY, false, NULL, &redirect_def, "group"},
};
OBJECT(target);
static const struct field_def portal_fields[] = {
    {"address", JSON_STRING, true, check_address, NULL, NULL},
    {"group", JSON_INTEGER, false, check_group, NULL, NULL},
    {"advertise", JSON_STRING, false, check_advertise, NULL, NULL},
};
OBJECT(portal);
static const struct field_def root_fields[] = {
    {"schema_version", JSON_INTEGER, true, NULL, NULL, NULL},
    {"targets", JSON_ARRAY, false, NULL, &target_def, "name"},
    {"portals", JSON_ARRAY, false, NULL, &portal_def, "address"},
    {"discovery_users", JSON_ARRAY, false, NULL, &user_def, "name"},
    {"initiators", JSON_ARRAY, false, NULL, &initiator_def, "initiator"},
};
OBJECT(root);

static const char *type_text(json_type type)
{
    switch (type) {
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a number";
    case JSON_ARRAY:
        return "a list";
    case JSON_TRUE:
        return "true or false";
    default:
        return "an object";
    }
}

#define PATH_LEN 160

static bool check_object(json_t *object, const struct object_def *def, const char *path, struct outcome *o);

static bool check_unique(const json_t *array, const char *key, const char *path, struct outcome *o)
{
    /* Lists are short and checked when they change: no need for a table. */
    size_t i, k;
    json_t *a;
    json_array_foreach(array, i, a)
    {
        for (k = 0; k < i; k++) {
            const json_t *b = json_object_get(json_array_get(array, k), key);
            if (json_object_get(a, key) != b && !json_equal(json_object_get(a, key), b))
                continue;
            if (!b)
                return outcome_refuse(o, "%s[%zu]: there is one without %s already", path, i, key);
            if (json_is_string(b))
                return outcome_refuse(o, "%s[%zu]: %s \"%s\" already exists", path, i, key,
                                      json_string_value(b));
            return outcome_refuse(o, "%s[%zu]: %s %lld already exists", path, i, key,
                                  (long long)json_integer_value(b));
        }
    }
    return true;
}

static bool check_array(json_t *array, const struct field_def *field, const char *path, struct outcome *o)
{
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        char at[PATH_LEN];
        snprintf(at, sizeof at, "%.120s[%zu]", path, i);
        if (!check_object(item, field->items, at, o))
            return false;
    }
    return !field->unique || check_unique(array, field->unique, path, o);
}

static bool check_field(json_t *object, const struct field_def *field, const char *path, struct outcome *o)
{
    json_t *value = json_object_get(object, field->key);
    char at[PATH_LEN], why[WHY_LEN];
    snprintf(at, sizeof at, "%.120s%s%s", path, path[0] ? "." : "", field->key);
    if (!value && field->required)
        return outcome_refuse(o, "%s: missing", at);
    if (!value && field->type == JSON_ARRAY && json_object_set_new(object, field->key, json_array()) != 0)
        return outcome_fail(o, "out of memory");
    if (!value)
        return true;
    if (json_typeof(value) != field->type && !(field->type == JSON_TRUE && json_is_false(value)))
        return outcome_refuse(o, "%s: must be %s", at, type_text(field->type));
    if (field->type == JSON_ARRAY)
        return check_array(value, field, at, o);
    const char *wrong = field->check ? field->check(value, why) : NULL;
    return wrong ? outcome_refuse(o, "%s: %s", at, wrong) : true;
}

static bool check_object(json_t *object, const struct object_def *def, const char *path, struct outcome *o)
{
    if (!json_is_object(object))
        return outcome_refuse(o, "%s: must be an object", path[0] ? path : "the configuration");
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (i < def->count && strcmp(def->fields[i].key, key) != 0)
            i++;
        if (i == def->count)
            return outcome_refuse(o, "%s%sunknown key \"%s\"", path, path[0] ? ": " : "", key);
    }
    for (size_t i = 0; i < def->count; i++)
        if (!check_field(object, &def->fields[i], path, o))
            return false;
    return true;
}

/* ---- what holds between objects ---- */

static bool check_user_pair(const json_t *users, const char *path, struct outcome *o)
{
    size_t i;
    json_t *user;
    json_array_foreach(users, i, user)
    {
        bool name = json_object_get(user, "mutual_name") != NULL,
             secret = json_object_get(user, "mutual_secret") != NULL;
        if (name != secret)
            return outcome_refuse(o, "%s[%zu]: mutual_name and mutual_secret come together", path, i);
        /* RFC 7143 9.2.1: with one secret for both directions an answer could be reflected. */
        if (secret && strcmp(config_text(user, "secret"), config_text(user, "mutual_secret")) == 0)
            return outcome_refuse(o, "%s[%zu]: secret and mutual secret of %s must not be the same", path, i,
                                  config_text(user, "name"));
    }
    return true;
}

/* An identity stands for one disk in the whole service: initiators merge paths by it. */
static bool check_identities(const json_t *root, struct outcome *o)
{
    json_t *seen = json_object();
    size_t i, k;
    json_t *target, *lun;
    bool fine = seen != NULL || outcome_fail(o, "out of memory");
    json_array_foreach(json_object_get(root, "targets"), i, target)
    {
        json_array_foreach(json_object_get(target, "luns"), k, lun)
        {
            static const char *const keys[] = {"serial", "naa"};
            for (size_t n = 0; fine && n < 2; n++) {
                char id[128];
                snprintf(id, sizeof id, "%s %s", keys[n], config_text(lun, keys[n]));
                if (json_object_get(seen, id))
                    fine = outcome_refuse(o, "targets[%zu].luns[%zu].%s: %s already belongs to another LUN",
                                          i, k, keys[n], config_text(lun, keys[n]));
                else if (json_object_set_new(seen, id, json_true()) != 0)
                    fine = outcome_fail(o, "out of memory");
            }
        }
    }
    json_decref(seen);
    return fine;
}

bool config_check(json_t *root, struct outcome *o)
{
    const json_t *version = json_object_get(root, "schema_version");
    /* First: a newer file may have keys that this program does not know. */
    if (json_is_integer(version) && json_integer_value(version) != CONFIG_SCHEMA_VERSION)
        return outcome_refuse(o, "schema_version: %lld is not %d, the version that this program knows",
                              (long long)json_integer_value(version), CONFIG_SCHEMA_VERSION);
    if (!check_object(root, &root_def, "", o))
        return false;
    size_t i;
    json_t *target;
    json_array_foreach(json_object_get(root, "targets"), i, target)
    {
        char path[PATH_LEN];
        snprintf(path, sizeof path, "targets[%zu].users", i);
        if (!check_user_pair(json_object_get(target, "users"), path, o))
            return false;
        size_t k;
        json_t *acl;
        json_array_foreach(
            json_object_get(target, "acls"), k,
            acl) if (json_object_size(acl) ==
                     0) return outcome_refuse(o, "targets[%zu].acls[%zu]: needs initiator or net", i, k);
    }
    return check_user_pair(json_object_get(root, "discovery_users"), "discovery_users", o) &&
           check_identities(root, o);
}

json_t *config_empty(void)
{
    return json_pack("{s:i, s:[], s:[], s:[], s:[]}", "schema_version", CONFIG_SCHEMA_VERSION, "targets",
                     "portals", "discovery_users", "initiators");
}

json_t *config_parse(const char *text, size_t len, const char *file, struct outcome *o)
{
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        outcome_fail(o, "%s:%d: %s", file, error.line, error.text);
        return NULL;
    }
    struct outcome inner = {0};
    if (!config_check(root, &inner)) {
        /* The file is wrong, not what the user typed. */
        outcome_fail(o, "%s: %s", file, inner.text);
        json_decref(root);
        return NULL;
    }
    return root;
}

/* ---- reading ---- */

json_t *config_find(const json_t *array, const char *key, const char *value, size_t *index)
{
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        if (strcmp(config_text(item, key), value) != 0)
            continue;
        if (index)
            *index = i;
        return item;
    }
    return NULL;
}

json_t *config_target(const json_t *root, const char *name)
{
    char normal[NAME_CAP];
    if (name_normalize(name, strlen(name), NAME_LENIENT, normal, NULL) == NAME_INVALID)
        return NULL;
    return config_find(json_object_get(root, "targets"), "name", normal, NULL);
}

json_t *config_lun(const json_t *target, uint32_t lun)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(target, "luns"), i,
                       item) if (config_number(item, "lun", UINT32_MAX) == lun) return item;
    return NULL;
}

const char *config_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

uint64_t config_number(const json_t *object, const char *key, uint64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : otherwise;
}

bool config_naa_parse(const char *text, uint8_t naa[16])
{
    if (strncmp(text, "naa.", 4) == 0)
        text += 4;
    else if (strncmp(text, "0x", 2) == 0)
        text += 2;
    if (strlen(text) != 32 || text[0] != '6')
        return false;
    uint8_t bytes[16];
    for (size_t i = 0; i < 32; i++) {
        static const char digits[] = "0123456789abcdef";
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *at = memchr(digits, c, 16);
        if (!at)
            return false;
        uint8_t nibble = (uint8_t)(at - digits);
        bytes[i / 2] = (uint8_t)(i % 2 ? bytes[i / 2] << 4 | nibble : nibble);
    }
    memcpy(naa, bytes, sizeof bytes);
    return true;
}
