/* What each verb does to the configuration tree. */
#include "target/service/change.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/io/io.h"
#include "common/iscsi/name.h"
#include "target/service/config.h"
#include "target/store/store.h"

/* First three bytes of identifiers that are minted here. A company id with the bit for "locally administered"
 * set belongs to nobody, so it cannot collide with a vendor's; the remaining 100 bits are random. */
#define NAA_COMPANY_ID 0x024c4eu

struct change {
    json_t *root;
    const json_t *params;
    const struct env *env;
    bool has_state;
    struct outcome *o;
};

static bool no_memory(struct change *c)
{
    return outcome_fail(c->o, "out of memory");
}

/* ---- parameters ---- */

static const char *param_text(const struct change *c, const char *key)
{
    return config_text(c->params, key);
}

static json_t *need_target(struct change *c)
{
    const char *name = param_text(c, "target");
    json_t *target = config_target(c->root, name);
    if (!target)
        outcome_refuse(c->o, "there is no target %s", name);
    return target;
}

static bool set_text(struct change *c, json_t *object, const char *key, const char *value)
{
    if (json_object_set_new(object, key, json_string(value)) == 0)
        return true;
    return outcome_refuse(c->o, "%s must be UTF-8 text", key);
}

/* ---- identities ---- */

static void hex(const uint8_t *bytes, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static bool set_identity(struct change *c, json_t *lun, const char *serial, const char *naa)
{
    uint8_t id[16];
    char text[33];
    if (naa[0] && !config_naa_parse(naa, id))
        return outcome_refuse(c->o, "%s is no NAA identifier: 32 hexadecimal digits that begin with 6", naa);
    if (!naa[0]) {
        c->env->random(c->env->ctx, id, sizeof id);
        /* NAA 6: four bits of type, 24 of company id, 100 ours. */
        uint32_t head = 6u << 28 | NAA_COMPANY_ID << 4 | (uint32_t)(id[3] & 0x0f);
        be32_put(id, head);
    }
    hex(id, sizeof id, text);
    if (!set_text(c, lun, "naa", text))
        return false;
    /* A serial number derived from the identifier: whoever sees one can find the other. */
    if (!serial[0])
        hex(id + 6, 10, text);
    return set_text(c, lun, "serial", serial[0] ? serial : text);
}

/* ---- LUNs ---- */

/* "disks/NAME.lunN.SERIAL.img", relative to the state directory. */
static bool state_disk_spec(struct change *c, const char *target, uint32_t lun, const char *serial,
                            uint64_t size, char *out, size_t len)
{
    char safe[NAME_CAP];
    size_t n = 0;
    for (; target[n] && n < 120; n++)
        safe[n] = strchr("/,", target[n]) ? '_' : target[n];
    safe[n] = '\0';
    if (!c->has_state)
        return outcome_refuse(
            c->o, "LUN %u needs a specification: there is no state directory to make a file in", lun);
    snprintf(out, len, "file:disks/%s.lun%u.%s.img,size=%" PRIu64, safe, lun, serial, size);
    return true;
}

/* Adds one LUN described by {lun, spec | size, serial, naa}. */
static bool add_lun(struct change *c, json_t *target, const json_t *params)
{
    uint64_t number = config_number(params, "lun", UINT64_MAX);
    const char *spec = config_text(params, "spec"), *name = config_text(target, "name");
    if (number > CONFIG_LUN_MAX)
        return outcome_refuse(c->o, "LUN %" PRIu64 " is not between 0 and %u", number, CONFIG_LUN_MAX);
    if (config_lun(target, (uint32_t)number))
        return outcome_refuse(c->o, "%s already has a LUN %" PRIu64, name, number);
    json_t *lun = json_pack("{s:I}", "lun", (json_int_t)number);
    if (!lun || json_array_append_new(json_object_get(target, "luns"), lun) != 0)
        return no_memory(c);
    if (!set_identity(c, lun, config_text(params, "serial"), config_text(params, "naa")))
        return false;
    char made[512], why[300];
    if (!spec[0]) {
        uint64_t size = config_number(params, "size", 0);
        if (size == 0)
            return outcome_refuse(c->o, "LUN %" PRIu64 " needs a size or a specification", number);
        if (!state_disk_spec(c, name, (uint32_t)number, config_text(lun, "serial"), size, made, sizeof made))
            return false;
        spec = made;
    }
    struct store_spec parsed;
    if (store_spec_parse(spec, &parsed, why, sizeof why) != 0)
        return outcome_refuse(c->o, "LUN %" PRIu64 ": %s", number, why);
    return set_text(c, lun, "spec", spec);
}

static bool lun_add(struct change *c)
{
    json_t *target = need_target(c);
    return target && add_lun(c, target, c->params);
}

static json_t *need_lun(struct change *c, json_t *target, size_t *index)
{
    uint64_t number = config_number(c->params, "lun", UINT64_MAX);
    const json_t *luns = json_object_get(target, "luns");
    for (*index = 0; *index < json_array_size(luns); ++*index)
        if (config_number(json_array_get(luns, *index), "lun", UINT64_MAX) == number)
            return json_array_get(luns, *index);
    outcome_refuse(c->o, "%s has no LUN %" PRIu64, config_text(target, "name"), number);
    return NULL;
}

static bool lun_remove(struct change *c)
{
    size_t index;
    json_t *target = need_target(c);
    if (!target || !need_lun(c, target, &index))
        return false;
    return json_array_remove(json_object_get(target, "luns"), index) == 0;
}

static bool lun_resize(struct change *c)
{
    size_t index;
    json_t *target = need_target(c), *lun = target ? need_lun(c, target, &index) : NULL;
    if (!lun)
        return false;
    struct store_spec spec;
    char why[300], text[5000];
    uint64_t size = config_number(c->params, "size", 0);
    if (store_spec_parse(config_text(lun, "spec"), &spec, why, sizeof why) != 0)
        return outcome_fail(c->o, "%s", why);
    uint32_t block = spec.block_size ? spec.block_size : 512;
    if (size == 0 || size % block)
        return outcome_refuse(c->o, "size %" PRIu64 " is no whole number of blocks of %" PRIu32 " bytes",
                              size, block);
    /* Cutting off what initiators may be using loses data that nobody asked to lose. */
    if (size < spec.size)
        return outcome_refuse(c->o, "a LUN can only grow: it has %" PRIu64 " bytes", spec.size);
    spec.size = size;
    return set_text(c, lun, "spec", store_spec_format(&spec, text, sizeof text));
}

/* ---- targets ---- */

static bool target_create(struct change *c)
{
    const char *name = param_text(c, "target"), *alias = param_text(c, "alias"), *reason = NULL;
    char normal[NAME_CAP];
    if (name_normalize(name, strlen(name), NAME_STRICT, normal, &reason) == NAME_INVALID)
        return outcome_refuse(c->o, "\"%s\" is no iSCSI name such as iqn.2026-01.org.example:disk1: %s", name,
                              reason);
    if (config_target(c->root, normal))
        return outcome_refuse(c->o, "target %s already exists", normal);
    json_t *target = json_pack("{s:s, s:[], s:[], s:[], s:[]}", "name", normal, "luns", "users", "acls",
                               "redirects"),
           *lun;
    if (!target || json_array_append_new(json_object_get(c->root, "targets"), target) != 0)
        return no_memory(c);
    if (alias[0] && !set_text(c, target, "alias", alias))
        return false;
    size_t i;
    json_array_foreach(json_object_get(c->params, "luns"), i, lun) if (!add_lun(c, target, lun)) return false;
    return true;
}

static bool target_delete(struct change *c)
{
    json_t *target = need_target(c), *targets = json_object_get(c->root, "targets");
    size_t index;
    if (!target || !config_find(targets, "name", config_text(target, "name"), &index))
        return false;
    return json_array_remove(targets, index) == 0;
}

/* ---- portals ---- */

static bool portal_address(struct change *c, char *text, size_t len)
{
    const char *given = param_text(c, "address");
    struct io_addr addr;
    if (addr_parse(given, NAME_PORT_DEFAULT, &addr) != 0)
        return outcome_refuse(c->o, "\"%s\" is no address such as 192.0.2.1:3260 or [2001:db8::1]:3260",
                              given);
    addr_format(&addr, text, len);
    return true;
}

static bool portal_add(struct change *c)
{
    char address[IO_ADDR_TEXT_MAX];
    uint64_t group = config_number(c->params, "group", 1);
    const char *advertise = param_text(c, "advertise");
    json_t *portals = json_object_get(c->root, "portals");
    if (!portal_address(c, address, sizeof address))
        return false;
    if (group < 1 || group > 65535)
        return outcome_refuse(c->o, "the portal group tag is between 1 and 65535, not %" PRIu64, group);
    if (config_find(portals, "address", address, NULL))
        return outcome_refuse(c->o, "portal %s already exists", address);
    json_t *portal = json_pack("{s:s, s:I}", "address", address, "group", (json_int_t)group);
    if (!portal || json_array_append_new(portals, portal) != 0)
        return no_memory(c);
    return !advertise[0] || set_text(c, portal, "advertise", advertise);
}

static bool portal_remove(struct change *c)
{
    char address[IO_ADDR_TEXT_MAX];
    json_t *portals = json_object_get(c->root, "portals");
    size_t index;
    if (!portal_address(c, address, sizeof address))
        return false;
    if (!config_find(portals, "address", address, &index))
        return outcome_refuse(c->o, "there is no portal %s", address);
    return json_array_remove(portals, index) == 0;
}

/* ---- users ---- */

static json_t *need_users(struct change *c)
{
    if (json_is_true(json_object_get(c->params, "discovery")))
        return json_object_get(c->root, "discovery_users");
    json_t *target = need_target(c);
    return target ? json_object_get(target, "users") : NULL;
}

static bool check_secret(struct change *c, const char *what, const char *secret)
{
    size_t len = strlen(secret);
    if (len == 0)
        return outcome_refuse(c->o, "the %s must not be empty", what);
    if (len > CONFIG_SECRET_MAX)
        return outcome_refuse(c->o, "the %s has %zu bytes: at most %u are allowed", what, len,
                              CONFIG_SECRET_MAX);
    /* R7143-9.2.1-07: with a short one no CHAP_R is ever sent, unless the administrator knows why */
    if (len < CONFIG_SECRET_MIN && !json_is_true(json_object_get(c->params, "weak")))
        return outcome_refuse(c->o, "the %s has %zu bytes: fewer than %u need --weak", what, len,
                              CONFIG_SECRET_MIN);
    return true;
}

static bool user_set(struct change *c)
{
    json_t *users = need_users(c);
    const char *name = param_text(c, "name"), *secret = param_text(c, "secret");
    const char *mutual = param_text(c, "mutual_name"), *mutual_secret = param_text(c, "mutual_secret");
    const char *initiator = param_text(c, "initiator");
    size_t index;
    if (!users || !check_secret(c, "secret", secret) ||
        (mutual[0] && !check_secret(c, "mutual secret", mutual_secret)))
        return false;
    if (mutual[0] && strcmp(secret, mutual_secret) == 0)
        return outcome_refuse(c->o, "the secret and the mutual secret must not be the same");
    json_t *user = json_object();
    if (!user)
        return no_memory(c);
    /* Setting says all of it: what is not given is gone. */
    bool known = config_find(users, "name", name, &index) != NULL;
    if ((known ? json_array_set_new(users, index, user) : json_array_append_new(users, user)) != 0)
        return no_memory(c);
    return set_text(c, user, "name", name) && set_text(c, user, "secret", secret) &&
           (!mutual[0] || (set_text(c, user, "mutual_name", mutual) &&
                           set_text(c, user, "mutual_secret", mutual_secret))) &&
           (!initiator[0] || set_text(c, user, "initiator", initiator));
}

static bool user_remove(struct change *c)
{
    json_t *users = need_users(c);
    size_t index;
    if (!users)
        return false;
    if (!config_find(users, "name", param_text(c, "name"), &index))
        return outcome_refuse(c->o, "there is no user %s", param_text(c, "name"));
    return json_array_remove(users, index) == 0;
}

/* ---- access lists ---- */

static json_t *make_acl(struct change *c)
{
    const char *initiator = param_text(c, "initiator"), *net = param_text(c, "net"), *reason = NULL;
    char pattern[NAME_CAP];
    struct addr_net parsed;
    if (!initiator[0] && !net[0])
        outcome_refuse(c->o, "an access rule needs --initiator or --net");
    else if (initiator[0] && !name_pattern_normalize(initiator, strlen(initiator), pattern, &reason))
        outcome_refuse(c->o, "\"%s\" is no initiator name or pattern: %s", initiator, reason);
    else if (net[0] && addr_net_parse(net, &parsed) != 0)
        outcome_refuse(c->o, "\"%s\" is no network such as 10.0.0.0/8 or 2001:db8::/32", net);
    if (c->o->code != OUTCOME_OK)
        return NULL;
    json_t *acl = json_object();
    if (!acl || (initiator[0] && !set_text(c, acl, "initiator", pattern)) ||
        (net[0] && !set_text(c, acl, "net", net))) {
        no_memory(c);
        json_decref(acl);
        return NULL;
    }
    return acl;
}

static bool acl_find(const json_t *acls, const json_t *acl, size_t *index)
{
    for (*index = 0; *index < json_array_size(acls); ++*index)
        if (json_equal(json_array_get(acls, *index), acl))
            return true;
    return false;
}

static bool acl_add(struct change *c)
{
    json_t *target = need_target(c), *acls = json_object_get(target, "acls"),
           *acl = target ? make_acl(c) : NULL;
    size_t index;
    if (!acl)
        return false;
    if (acl_find(acls, acl, &index)) {
        json_decref(acl);
        return outcome_refuse(c->o, "%s already has this access rule", config_text(target, "name"));
    }
    return json_array_append_new(acls, acl) == 0 || no_memory(c);
}

static bool acl_remove(struct change *c)
{
    json_t *target = need_target(c), *acls = json_object_get(target, "acls"),
           *acl = target ? make_acl(c) : NULL;
    size_t index;
    if (!acl)
        return false;
    bool found = acl_find(acls, acl, &index);
    json_decref(acl);
    if (!found)
        return outcome_refuse(c->o, "%s has no access rule with %s%s%s", config_text(target, "name"),
                              param_text(c, "initiator"), param_text(c, "initiator")[0] ? " " : "",
                              param_text(c, "net"));
    return json_array_remove(acls, index) == 0;
}

/* ---- limits ---- */

/* `values`: members to set; null takes one away. */
static bool target_set(struct change *c)
{
    json_t *target = need_target(c), *limits = json_object_get(target, "limits"), *value;
    const char *key;
    if (!target)
        return false;
    if (!limits) {
        limits = json_object();
        if (!limits || json_object_set_new(target, "limits", limits) != 0)
            return no_memory(c);
    }
    json_object_foreach(json_object_get(c->params, "values"), key, value)
    {
        if (json_is_null(value))
            json_object_del(limits, key);
        else if (json_object_set(limits, key, value) != 0)
            return no_memory(c);
    }
    if (json_object_size(limits) == 0)
        json_object_del(target, "limits");
    return true;
}

/* ---- redirection ---- */

static json_t *redirect_find(const json_t *redirects, uint64_t group, size_t *index)
{
    for (*index = 0; *index < json_array_size(redirects); ++*index)
        if (config_number(json_array_get(redirects, *index), "group", 0) == group)
            return json_array_get(redirects, *index);
    return NULL;
}

static bool redirect_set(struct change *c)
{
    json_t *target = need_target(c), *redirects = json_object_get(target, "redirects");
    uint64_t group = config_number(c->params, "group", 0);
    const char *address = param_text(c, "address");
    struct name_address parsed;
    size_t index;
    if (!target)
        return false;
    if (!name_address_parse(address, strlen(address), &parsed))
        return outcome_refuse(c->o, "\"%s\" is no address such as 192.0.2.1:3260, [2001:db8::1] or HOST:PORT",
                              address);
    if (parsed.has_tag)
        return outcome_refuse(c->o, "a redirect names no portal group tag (RFC 7143 13.8): leave out \"%s\"",
                              strrchr(address, ','));
    json_t *redirect = json_object();
    if (!redirect || !set_text(c, redirect, "address", address)) {
        json_decref(redirect);
        return false;
    }
    if (group)
        json_object_set_new(redirect, "group", json_integer((json_int_t)group));
    if (json_is_true(json_object_get(c->params, "permanent")))
        json_object_set_new(redirect, "permanent", json_true());
    bool known = redirect_find(redirects, group, &index) != NULL;
    return (known ? json_array_set_new(redirects, index, redirect)
                  : json_array_append_new(redirects, redirect)) == 0 ||
           no_memory(c);
}

/* One group's, or all. */
static bool redirect_clear(struct change *c)
{
    json_t *target = need_target(c), *redirects = json_object_get(target, "redirects");
    uint64_t group = config_number(c->params, "group", 0);
    size_t index;
    if (!target)
        return false;
    if (json_array_size(redirects) == 0)
        return outcome_refuse(c->o, "%s is not redirected", config_text(target, "name"));
    if (!group)
        return json_array_clear(redirects) == 0;
    if (!redirect_find(redirects, group, &index))
        return outcome_refuse(c->o, "%s has no redirect for portal group %" PRIu64,
                              config_text(target, "name"), group);
    return json_array_remove(redirects, index) == 0;
}

/* ---- rules for initiators ---- */

static json_t *rule_find(struct change *c, char pattern[NAME_CAP], size_t *index)
{
    const char *name = param_text(c, "initiator"), *reason = NULL;
    if (!name_pattern_normalize(name, strlen(name), pattern, &reason)) {
        outcome_refuse(c->o, "\"%s\" is no initiator name or pattern: %s", name, reason);
        return NULL;
    }
    return config_find(json_object_get(c->root, "initiators"), "initiator", pattern, index);
}

static bool initiator_set(struct change *c)
{
    char pattern[NAME_CAP];
    size_t index;
    static const char *const times[] = {"nop_interval", "nop_timeout"};
    json_t *rules = json_object_get(c->root, "initiators");
    bool known = rule_find(c, pattern, &index) != NULL;
    json_t *rule = c->o->code == OUTCOME_OK ? json_object() : NULL;
    if (!rule || !set_text(c, rule, "initiator", pattern)) {
        json_decref(rule);
        return false;
    }
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (param_text(c, times[i])[0] && !set_text(c, rule, times[i], param_text(c, times[i]))) {
            json_decref(rule);
            return false;
        }
    json_t *reset = json_object_get(c->params, "target_reset");
    if (json_is_boolean(reset) && json_object_set(rule, "target_reset", reset) != 0) {
        json_decref(rule);
        return no_memory(c);
    }
    if (json_object_size(rule) < 2) {
        json_decref(rule);
        return outcome_refuse(
            c->o, "say what is different for %s: --nop-interval, --nop-timeout or --target-reset", pattern);
    }
    return (known ? json_array_set_new(rules, index, rule) : json_array_append_new(rules, rule)) == 0 ||
           no_memory(c);
}

static bool initiator_remove(struct change *c)
{
    char pattern[NAME_CAP];
    size_t index;
    if (!rule_find(c, pattern, &index))
        return c->o->code == OUTCOME_OK ? outcome_refuse(c->o, "there is no rule for %s", pattern) : false;
    return json_array_remove(json_object_get(c->root, "initiators"), index) == 0;
}

/* ---- the table ---- */

static const struct {
    const char *method;
    bool (*apply)(struct change *c);
} changes[] = {
    {"target.create", target_create},
    {"target.delete", target_delete},
    {"lun.add", lun_add},
    {"lun.remove", lun_remove},
    {"lun.resize", lun_resize},
    {"portal.add", portal_add},
    {"portal.remove", portal_remove},
    {"user.set", user_set},
    {"user.remove", user_remove},
    {"acl.add", acl_add},
    {"acl.remove", acl_remove},
    {"target.set", target_set},
    {"redirect.set", redirect_set},
    {"redirect.clear", redirect_clear},
    {"initiator.set", initiator_set},
    {"initiator.remove", initiator_remove},
};

static size_t find(const char *method)
{
    size_t i = 0, count = sizeof changes / sizeof changes[0];
    while (i < count && strcmp(changes[i].method, method) != 0)
        i++;
    return i;
}

bool change_known(const char *method)
{
    return find(method) < sizeof changes / sizeof changes[0];
}

bool change_apply(json_t *root, const char *method, const json_t *params, const struct env *env,
                  bool has_state, struct outcome *o)
{
    size_t i = find(method);
    if (i == sizeof changes / sizeof changes[0])
        return outcome_refuse(o, "there is no method \"%s\"", method);
    struct change c = {root, params, env, has_state, o};
    return changes[i].apply(&c) && o->code == OUTCOME_OK;
}
