/* Configuration snapshots: counted references, lookup, and who may log in. */
#include "target/iscsi/config.h"

#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/iscsi/name.h"

void tgt_limits_default(struct tgt_limits *limits)
{
    *limits = (struct tgt_limits){
        .connections_max = 4096,
        .logins_per_address_max = 64,
        .login_timeout_ns = 15ull * 1000 * 1000 * 1000,
        .nop_interval_ns = 0, /* boot firmware never answers a ping: pinging is the user's choice */
        .nop_timeout_ns = 30ull * 1000 * 1000 * 1000,
        .stop_wait_ns = 3ull * 1000 * 1000 * 1000,
        .command_window = 128,
        .text_len_max = TEXT_SEGMENT_LEN_MAX, /* R7143-6.1-16 */
    };
}

int tgt_config_new(const struct env *env, struct tgt_config **out)
{
    struct tgt_config *config = env_alloc(env, sizeof *config);
    if (!config)
        return ERR_NOMEM;
    atomic_init(&config->refs, 1);
    config->env = env;
    tgt_limits_default(&config->limits);
    *out = config;
    return 0;
}

void tgt_config_ref(struct tgt_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
}

/* Through a volatile pointer: the compiler must not drop stores to memory that is about to be freed. */
static void wipe(void *ptr, size_t len)
{
    volatile uint8_t *p = ptr;
    for (size_t i = 0; i < len; i++)
        p[i] = 0;
}

static void users_free(const struct env *env, struct tgt_user *users, uint32_t count)
{
    if (users)
        wipe(users, (size_t)count * sizeof *users);
    env_free(env, users);
}

void tgt_config_unref(struct tgt_config *config)
{
    if (!config || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1)
        return;
    const struct env *env = config->env;
    for (uint32_t i = 0; i < config->target_count; i++) {
        struct tgt_target *target = &config->targets[i];
        users_free(env, target->users, target->user_count);
        env_free(env, target->acls);
        env_free(env, target->redirects);
        env_free(env, target->map.luns);
    }
    users_free(env, config->discovery_users, config->discovery_user_count);
    env_free(env, config->targets);
    env_free(env, config->portals);
    env_free(env, config->rules);
    env_free(env, config);
}

const struct tgt_target *tgt_config_find(const struct tgt_config *config, const char *name)
{
    char normal[NAME_CAP];
    /* Names in the snapshot are normalised; the one asked for may be any text. */
    if (name_normalize(name, strlen(name), NAME_LENIENT, normal, NULL) == NAME_INVALID)
        return NULL;
    for (uint32_t i = 0; i < config->target_count; i++)
        if (name_equal(config->targets[i].name, normal)) /* R7143-4.2.7.2-05 */
            return &config->targets[i];
    return NULL;
}

const struct tgt_rule *tgt_config_rule(const struct tgt_config *config, const char *initiator)
{
    for (uint32_t i = 0; i < config->rule_count; i++)
        if (name_match(config->rules[i].initiator, initiator))
            return &config->rules[i];
    return NULL;
}

struct tgt_pings tgt_config_pings(const struct tgt_config *config, const char *initiator)
{
    struct tgt_pings times = {config->limits.nop_interval_ns, config->limits.nop_timeout_ns};
    const struct tgt_rule *rule = tgt_config_rule(config, initiator);
    if (rule && rule->has_interval)
        times.interval_ns = rule->nop_interval_ns;
    if (rule && rule->has_timeout)
        times.timeout_ns = rule->nop_timeout_ns;
    return times;
}

const struct tgt_redirect *tgt_target_redirect(const struct tgt_target *target, uint16_t group)
{
    const struct tgt_redirect *general = NULL;
    for (uint32_t i = 0; i < target->redirect_count; i++) {
        if (target->redirects[i].group == group)
            return &target->redirects[i];
        if (target->redirects[i].group == TGT_GROUP_ANY)
            general = &target->redirects[i];
    }
    return general;
}

bool tgt_target_admits(const struct tgt_target *target, const char *initiator, const struct io_addr *from)
{
    if (target->acl_count == 0)
        return true;
    for (uint32_t i = 0; i < target->acl_count; i++) {
        const struct tgt_acl *acl = &target->acls[i];
        if (acl->initiator[0] && !name_match(acl->initiator, initiator))
            continue;
        if (acl->has_net && !addr_net_contains(&acl->net, from))
            continue;
        return true;
    }
    return false;
}
