/* Portals and their listeners. */
#include "target/service/portals.h"

#include <assert.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/iscsi/name.h"
#include "target/service/config.h"

struct portal {
    struct list_node node;
    char address[IO_ADDR_TEXT_MAX]; /* as configured */
    char advertise[300];
    struct io_addr addr, bound;
    uint16_t group;
    uint32_t reactor;
    struct host_listener *listener; /* NULL: a wildcard portal accepts for it */
    bool fresh, is_default;
};

struct portals {
    const struct env *env;
    struct live *live;
    struct list_node list;
    uint32_t next_reactor;
};

static const char *const default_addresses[] = {"[::]:3260", "0.0.0.0:3260"};

int portals_new(const struct env *env, struct live *live, struct portals **out)
{
    struct portals *portals = env_alloc(env, sizeof *portals);
    if (!portals)
        return ERR_NOMEM;
    portals->env = env;
    portals->live = live;
    list_init(&portals->list);
    *out = portals;
    return 0;
}

void portals_free(struct portals *portals)
{
    if (!portals)
        return;
    struct list_node *node;
    while ((node = list_pop_front(&portals->list)) != NULL)
        env_free(portals->env, list_entry(node, struct portal, node));
    env_free(portals->env, portals);
}

/* ---- listeners ---- */

struct listening {
    struct portal *portal;
    int err;
};

static void do_listen(struct host_reactor *r, void *arg)
{
    struct listening *l = arg;
    l->err =
        host_reactor_listen(r, &l->portal->addr, l->portal->group, &l->portal->bound, &l->portal->listener);
}

static void do_unlisten(struct host_reactor *r, void *arg)
{
    struct portal *portal = arg;
    host_reactor_unlisten(r, portal->listener);
    portal->listener = NULL;
}

static int portal_open(struct portals *portals, struct portal *portal)
{
    struct listening arg = {.portal = portal};
    portal->reactor = portals->next_reactor++ % live_count(portals->live);
    live_call(portals->live, portal->reactor, do_listen, &arg);
    return arg.err;
}

static void do_nothing(struct host_reactor *r, void *arg)
{
    (void)r;
    (void)arg;
}

static void portal_shut(struct portals *portals, struct portal *portal)
{
    if (!portal->listener)
        return;
    live_call(portals->live, portal->reactor, do_unlisten, portal);
    /* The cancelled accept completes in a later turn; only then is the address free. */
    for (int turns = 0; turns < 3; turns++)
        live_call(portals->live, portal->reactor, do_nothing, NULL);
}

/* Does the wildcard take every connection that the other one would? */
static bool covers(const struct portal *wide, const struct portal *one)
{
    return wide->listener && addr_is_wildcard(&wide->addr) && !addr_is_wildcard(&one->addr) &&
           one->addr.port != 0 && wide->addr.family == one->addr.family && wide->bound.port == one->addr.port;
}

static bool covered(const struct portals *portals, const struct portal *one)
{
    list_for_each(it, &portals->list) if (covers(list_entry(it, struct portal, node), one)) return true;
    return false;
}

/* The system refuses a wildcard while one of its addresses is taken on the same port, so that one is given up
 * first. */
static void make_room(struct portals *portals, const struct portal *wide)
{
    list_for_each(it, &portals->list)
    {
        struct portal *one = list_entry(it, struct portal, node);
        if (one->listener && addr_is_wildcard(&wide->addr) && !addr_is_wildcard(&one->addr) &&
            one->addr.family == wide->addr.family && one->bound.port == wide->addr.port)
            portal_shut(portals, one);
    }
}

/* Whoever lost its listener, or the wildcard that listened for it, gets its own. */
static void reopen(struct portals *portals)
{
    list_for_each(it, &portals->list)
    {
        struct portal *one = list_entry(it, struct portal, node);
        if (one->listener || covered(portals, one))
            continue;
        int err = portal_open(portals, one);
        if (err)
            log_error("portal", "cannot listen on %s again: %s", one->address, err_text(err));
    }
}

/* ---- in step with the configuration ---- */

static struct portal *portal_find(const struct portals *portals, const char *address)
{
    list_for_each(it, &portals->list)
    {
        struct portal *portal = list_entry(it, struct portal, node);
        if (strcmp(portal->address, address) == 0)
            return portal;
    }
    return NULL;
}

static bool portal_add(struct portals *portals, const char *address, uint16_t group, const char *advertise,
                       bool is_default, struct outcome *o)
{
    struct portal *portal = env_alloc(portals->env, sizeof *portal);
    if (!portal)
        return outcome_fail(o, "out of memory");
    snprintf(portal->address, sizeof portal->address, "%s", address);
    snprintf(portal->advertise, sizeof portal->advertise, "%s", advertise);
    portal->group = group;
    portal->fresh = true;
    portal->is_default = is_default;
    int err = addr_parse(address, NAME_PORT_DEFAULT, &portal->addr);
    assert(err == 0); /* config_check has seen it */
    portal->bound = portal->addr;
    list_init(&portal->node);
    if (!covered(portals, portal)) {
        make_room(portals, portal);
        err = portal_open(portals, portal);
    }
    if (err) {
        env_free(portals->env, portal);
        reopen(portals);
        bool input = err == ERR_INVALID || err == ERR_UNREACHABLE || err == ERR_UNSUPPORTED;
        return input ? outcome_refuse(o, "cannot listen on %s: no address of this machine", address)
                     : outcome_fail(o, "cannot listen on %s: %s", address, err_text(err));
    }
    list_push_back(&portals->list, &portal->node);
    return true;
}

static bool add_defaults(struct portals *portals, struct outcome *o)
{
    uint32_t open = 0;
    struct outcome last = {0};
    for (size_t i = 0; i < 2; i++) {
        struct outcome one = {0};
        struct portal *there = portal_find(portals, default_addresses[i]);
        if (there)
            there->is_default = true;
        if (there || portal_add(portals, default_addresses[i], 1, "", true, &one))
            open++;
        else
            last = one;
    }
    /* A machine may have only one of the two families. */
    if (open == 0)
        *o = last;
    return open > 0;
}

bool portals_prepare(struct portals *portals, const json_t *root, struct outcome *o)
{
    const json_t *wanted = json_object_get(root, "portals");
    bool fine = true;
    if (json_array_size(wanted) == 0)
        fine = add_defaults(portals, o);
    size_t i;
    json_t *item;
    json_array_foreach(wanted, i, item)
    {
        const char *address = config_text(item, "address");
        if (fine && !portal_find(portals, address))
            fine = portal_add(portals, address, (uint16_t)config_number(item, "group", 1),
                              config_text(item, "advertise"), false, o);
    }
    if (!fine)
        portals_rollback(portals);
    return fine;
}

static bool wanted_in(const struct portal *portal, const json_t *root)
{
    const json_t *wanted = json_object_get(root, "portals");
    return json_array_size(wanted) == 0 ? portal->is_default
                                        : config_find(wanted, "address", portal->address, NULL) != NULL;
}

static void portal_drop(struct portals *portals, struct portal *portal)
{
    portal_shut(portals, portal);
    list_remove(&portal->node);
    env_free(portals->env, portal);
}

void portals_commit(struct portals *portals, const json_t *root)
{
    list_for_each_safe(it, &portals->list)
    {
        struct portal *portal = list_entry(it, struct portal, node);
        if (!wanted_in(portal, root))
            portal_drop(portals, portal);
        else
            portal->fresh = false;
    }
    reopen(portals);
}

void portals_rollback(struct portals *portals)
{
    list_for_each_safe(it, &portals->list)
    {
        struct portal *portal = list_entry(it, struct portal, node);
        if (portal->fresh)
            portal_drop(portals, portal);
    }
    reopen(portals);
}

/* ---- looking in ---- */

uint32_t portals_count(const struct portals *portals)
{
    uint32_t count = 0;
    list_for_each(it, &portals->list) count++;
    return count;
}

uint32_t portals_fill(const struct portals *portals, const json_t *root, struct tgt_portal *out, uint32_t max)
{
    uint32_t count = 0;
    list_for_each(it, &portals->list)
    {
        const struct portal *portal = list_entry(it, struct portal, node);
        if (count == max || !wanted_in(portal, root))
            continue;
        out[count] = (struct tgt_portal){.listen = portal->bound, .group = portal->group};
        memcpy(out[count].advertise, portal->advertise, sizeof out[count].advertise);
        count++;
    }
    return count;
}

void portals_print(const struct portals *portals, FILE *out)
{
    list_for_each(it, &portals->list)
    {
        char text[IO_ADDR_TEXT_MAX];
        fprintf(out, "listening on %s\n",
                addr_format(&list_entry(it, struct portal, node)->bound, text, sizeof text));
    }
    fflush(out);
}

json_t *portals_json(const struct portals *portals)
{
    json_t *list = json_array();
    list_for_each(it, &portals->list)
    {
        const struct portal *portal = list_entry(it, struct portal, node);
        char text[IO_ADDR_TEXT_MAX];
        addr_format(&portal->bound, text, sizeof text);
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:s}", "address", portal->address, "listening",
                                              text, "group", portal->group, "advertise", portal->advertise));
    }
    return list;
}
