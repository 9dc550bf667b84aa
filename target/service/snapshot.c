/* Builds snapshots. The tree has been checked, so values are taken as they are. */
#include "target/service/snapshot.h"

#include <stdio.h>
#include <string.h>

#include "common/base/units.h"
#include "common/iscsi/name.h"
#include "target/service/config.h"

/* `count` zeroed elements, or NULL for none; *fine turns false when memory is out. */
static void *array(const struct env *env, size_t count, size_t size, bool *fine)
{
    void *made = count ? env_alloc(env, count * size) : NULL;
    if (count && !made)
        *fine = false;
    return made;
}

static uint32_t copy_secret(uint8_t *to, const char *secret)
{
    size_t len = strlen(secret);
    memcpy(to, secret, len); /* at most CONFIG_SECRET_MAX, which is less than TGT_SECRET_MAX */
    return (uint32_t)len;
}

static struct tgt_user *users_build(const struct env *env, const json_t *list, uint32_t *count, bool *fine)
{
    struct tgt_user *users = array(env, json_array_size(list), sizeof *users, fine);
    if (!users)
        return NULL;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        struct tgt_user *user = &users[i];
        snprintf(user->name, sizeof user->name, "%s", config_text(item, "name"));
        user->secret_len = copy_secret(user->secret, config_text(item, "secret"));
        snprintf(user->mutual_name, sizeof user->mutual_name, "%s", config_text(item, "mutual_name"));
        user->mutual_secret_len = copy_secret(user->mutual_secret, config_text(item, "mutual_secret"));
        const char *initiator = config_text(item, "initiator");
        if (initiator[0])
            name_pattern_normalize(initiator, strlen(initiator), user->initiator, NULL);
    }
    *count = (uint32_t)json_array_size(list);
    return users;
}

static void acls_build(const struct env *env, const json_t *list, struct tgt_target *target, bool *fine)
{
    target->acls = array(env, json_array_size(list), sizeof *target->acls, fine);
    if (!target->acls)
        return;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        struct tgt_acl *acl = &target->acls[i];
        const char *pattern = config_text(item, "initiator"), *net = config_text(item, "net");
        if (pattern[0])
            name_pattern_normalize(pattern, strlen(pattern), acl->initiator, NULL);
        acl->has_net = net[0] && addr_net_parse(net, &acl->net) == 0;
    }
    target->acl_count = (uint32_t)json_array_size(list);
}

static void luns_build(const struct env *env, const json_t *item, struct disks *disks,
                       struct tgt_target *target, bool *fine)
{
    const json_t *list = json_object_get(item, "luns");
    struct scsi_lun *luns = array(env, json_array_size(list), sizeof *luns, fine);
    uint32_t count = 0;
    size_t i;
    json_t *lun;
    target->map.luns = luns;
    json_array_foreach(list, i, lun)
    {
        if (!luns)
            return;
        uint32_t home;
        struct scsi_lun made = {.number = (uint16_t)config_number(lun, "lun", 0)};
        made.lu = disks_lu(disks, item, lun, &made.readonly, &home);
        /* Ascending by number, whatever the order in the file. */
        uint32_t at = count++;
        for (; at > 0 && luns[at - 1].number > made.number; at--)
            luns[at] = luns[at - 1];
        luns[at] = made;
    }
    target->map.count = count;
}

static void redirects_build(const struct env *env, const json_t *list, struct tgt_target *target, bool *fine)
{
    target->redirects = array(env, json_array_size(list), sizeof *target->redirects, fine);
    if (!target->redirects)
        return;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        struct tgt_redirect *redirect = &target->redirects[i];
        snprintf(redirect->address, sizeof redirect->address, "%s", config_text(item, "address"));
        redirect->group = (uint16_t)config_number(item, "group", TGT_GROUP_ANY);
        redirect->permanent = json_is_true(json_object_get(item, "permanent"));
    }
    target->redirect_count = (uint32_t)json_array_size(list);
}

static struct tgt_rule *rules_build(const struct env *env, const json_t *list, uint32_t *count, bool *fine)
{
    struct tgt_rule *rules = array(env, json_array_size(list), sizeof *rules, fine);
    if (!rules)
        return NULL;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        struct tgt_rule *rule = &rules[i];
        const char *name = config_text(item, "initiator"), *interval = config_text(item, "nop_interval"),
                   *timeout = config_text(item, "nop_timeout");
        name_pattern_normalize(name, strlen(name), rule->initiator, NULL);
        rule->has_interval = interval[0] && units_parse_duration(interval, &rule->nop_interval_ns) == 0;
        rule->no_target_reset = json_is_false(json_object_get(item, "target_reset"));
        rule->has_timeout = timeout[0] && units_parse_duration(timeout, &rule->nop_timeout_ns) == 0;
    }
    *count = (uint32_t)json_array_size(list);
    return rules;
}

static void target_build(const struct env *env, const json_t *item, struct disks *disks,
                         const struct tuning *tuning, struct tgt_target *target, bool *fine)
{
    const char *name = config_text(item, "name");
    name_normalize(name, strlen(name), NAME_STRICT, target->name, NULL);
    snprintf(target->alias, sizeof target->alias, "%s", config_text(item, "alias"));
    target->keys = tuning->keys;
    limits_apply(json_object_get(item, "limits"), &target->keys);
    redirects_build(env, json_object_get(item, "redirects"), target, fine);
    target->users = users_build(env, json_object_get(item, "users"), &target->user_count, fine);
    acls_build(env, json_object_get(item, "acls"), target, fine);
    luns_build(env, item, disks, target, fine);
}

bool snapshot_build(const struct env *env, const json_t *root, struct disks *disks,
                    const struct portals *portals, const struct tuning *tuning, uint64_t generation,
                    struct tgt_config **out, struct outcome *o)
{
    struct tgt_config *config;
    if (tgt_config_new(env, &config) != 0)
        return outcome_fail(o, "out of memory");
    const json_t *targets = json_object_get(root, "targets");
    bool fine = true;
    size_t i;
    json_t *item;
    config->generation = generation;
    config->limits = tuning->limits;
    config->targets = array(env, json_array_size(targets), sizeof *config->targets, &fine);
    json_array_foreach(targets, i, item)
    {
        if (!config->targets)
            break;
        config->targets[i].index = (uint32_t)i;
        config->target_count = (uint32_t)i + 1; /* what is half built is freed too */
        target_build(env, item, disks, tuning, &config->targets[i], &fine);
    }
    config->discovery_users =
        users_build(env, json_object_get(root, "discovery_users"), &config->discovery_user_count, &fine);
    config->rules = rules_build(env, json_object_get(root, "initiators"), &config->rule_count, &fine);
    uint32_t count = portals ? portals_count(portals) : 0;
    config->portals = array(env, count, sizeof *config->portals, &fine);
    if (config->portals)
        config->portal_count = portals_fill(portals, root, config->portals, count);
    if (!fine) {
        tgt_config_unref(config);
        return outcome_fail(o, "out of memory");
    }
    *out = config;
    return true;
}
