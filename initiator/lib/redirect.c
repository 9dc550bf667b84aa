/* Where to connect: the URL's addresses, redirects, and the other portals of the portal group.
 *
 * A temporary redirect holds for one login: the next one starts where the URL says (RFC 7143 11.13.5). A
 * permanent one is remembered once the login there has succeeded, for as long as the client lives. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/iscsi/name.h"
#include "common/iscsi/text.h"
#include "initiator/lib/client.h"

/* ---- host names ---- */

static void redirect_looked_up(struct io_resolve *resolve);

/* As io_resolve. */
static int lookup_start(struct lnt_client *c, enum lnt_lookup what, const char *text)
{
    if (c->resolve.busy)
        return ERR_BUSY;
    c->resolve.done = redirect_looked_up;
    c->resolve.resolver = c->options.resolver;
    c->lookup = what;
    c->lookup_since_ns = io_now(c->io);
    snprintf(c->lookup_text, sizeof c->lookup_text, "%s", text);
    return io_resolve(c->io, &c->resolve, text, NAME_PORT_DEFAULT);
}

/* Where the URL leads. */
static void home_set(struct lnt_client *c, int count)
{
    memcpy(c->origin, c->resolve.addrs, sizeof c->origin);
    memcpy(c->home, c->origin, sizeof c->home);
    c->origin_count = c->home_count = count;
    c->home_moved = c->home_stale = false;
    redirect_start(c);
}

static void url_looked_up(struct lnt_client *c, int result)
{
    if (result > 0) {
        home_set(c, result);
        client_connect(c);
        return;
    }
    char text[LNT_ERROR_MAX];
    snprintf(text, sizeof text, "cannot find the host of %s: %s", c->url.portal, err_text(result));
    client_set_error(c, text);
    client_give_up(c, result);
}

void redirect_resolve(struct lnt_client *c)
{
    int result = lookup_start(c, LNT_LOOKUP_URL, c->url.portal);
    c->state = LNT_RESOLVING;
    if (result)
        url_looked_up(c, result);
    else
        client_arm_timer(c);
}

/* R7143-10.1.2-02: what the name stands for now, where it had been of no use. */
void redirect_renew(struct lnt_client *c)
{
    int result = c->home_stale ? lookup_start(c, LNT_LOOKUP_RENEW, c->url.portal) : ERR_NOTFOUND;
    if (result == 0) {
        c->state = LNT_RESOLVING;
        client_arm_timer(c);
        return;
    }
    c->home_stale = false;
    client_connect(c);
}

/* R7143-10.1.2-02: where a permanent redirect has sent us there is nobody: then the URL counts again. */
void redirect_unreachable(struct lnt_client *c)
{
    c->home_stale = true;
    if (!c->was_up || !c->home_moved || c->hop_count)
        return;
    memcpy(c->home, c->origin, sizeof c->home);
    c->home_count = c->origin_count;
    c->home_moved = false;
    c->address_next = 0;
}

uint64_t redirect_deadline(const struct lnt_client *c)
{
    return c->state == LNT_RESOLVING && c->options.connect_timeout_ns
               ? c->lookup_since_ns + c->options.connect_timeout_ns
               : UINT64_MAX;
}

void redirect_stop(struct lnt_client *c)
{
    io_resolve_cancel(&c->resolve);
    c->portal_name_count = 0;
}

/* What was looked up for the session's own connections. */
void redirect_session_over(struct lnt_client *c)
{
    if (c->lookup == LNT_LOOKUP_FURTHER || c->lookup == LNT_LOOKUP_PORTAL)
        redirect_stop(c);
}

void redirect_start(struct lnt_client *c)
{
    if (c->hop_count) /* without redirects the address that did not work last time is not first this time */
        c->address_next = 0;
    memcpy(c->addresses, c->home, sizeof c->addresses);
    c->address_count = c->home_count;
    c->address_next %= c->address_count;
    c->hop_count = 0;
    c->hops_permanent = true;
}

/* TargetAddress text to "host:port". */
static bool redirect_host(const char *text, char host[LNT_HOST_MAX])
{
    struct name_address to;
    if (!name_address_parse(text, strlen(text), &to))
        return false;
    snprintf(host, LNT_HOST_MAX, to.ipv6 ? "[%s]:%u" : "%s:%u", to.host, to.port);
    return true;
}

static bool redirect_refuse(struct lnt_client *c, const char *to, const char *why)
{
    char text[LNT_ERROR_MAX];
    snprintf(text, sizeof text, "the target redirects us to %.255s: %s", to, why);
    client_set_error(c, text);
    return false;
}

/* A portal may send us to itself, once (a load balancer does); the same step twice is a circle. */
static bool redirect_is_circle(const struct lnt_client *c, const struct lnt_hop *hop)
{
    for (uint32_t i = 0; i < c->hop_count; i++)
        if (addr_equal(&c->hops[i].from, &hop->from) && addr_equal(&c->hops[i].to, &hop->to))
            return true;
    return false;
}

/* The address of a redirect is known. */
static bool hop_take(struct lnt_client *c, int count)
{
    if (count <= 0)
        return redirect_refuse(c, c->lookup_text, "its host cannot be found");
    struct lnt_hop hop = {c->connections[0].address, c->resolve.addrs[0]};
    if (redirect_is_circle(c, &hop))
        return redirect_refuse(c, c->lookup_text, "in a circle");
    c->hops[c->hop_count++] = hop;
    c->hops_permanent = c->hops_permanent && c->lookup_permanent;
    memcpy(c->addresses, c->resolve.addrs, sizeof c->addresses);
    c->address_count = count;
    c->address_next = 0;
    c->hop_pending = true;
    return true;
}

bool redirect_follow(struct lnt_client *c, const char *text, bool permanent)
{
    char host[LNT_HOST_MAX];
    uint32_t most =
        c->options.redirects_max < LNT_REDIRECTS_MAX ? c->options.redirects_max : LNT_REDIRECTS_MAX;
    if (most == 0)
        return redirect_refuse(c, text, "following redirects is switched off");
    if (c->hop_count >= most)
        return redirect_refuse(c, text, "that is one redirect too many");
    if (!redirect_host(text, host))
        return redirect_refuse(c, text, "that is no address");
    c->lookup_permanent = permanent;
    int count = lookup_start(c, LNT_LOOKUP_HOP, host);
    return count == 0 || hop_take(c, count);
}

void redirect_logged_in(struct lnt_client *c)
{
    if (!c->hop_count || !c->hops_permanent)
        return;
    memcpy(c->home, c->addresses, sizeof c->home);
    c->home_count = c->address_count;
    c->home_moved = true;
}

/* ---- further connections ---- */

static void further_take(struct lnt_connection *conn)
{
    conn->elsewhere = true;
    conn->address = conn->client->resolve.addrs[0];
}

bool redirect_follow_one(struct lnt_connection *conn, const char *text)
{
    struct lnt_client *c = conn->client;
    char host[LNT_HOST_MAX];
    if (conn->hops >= c->options.redirects_max || conn->hops >= LNT_REDIRECTS_MAX ||
        !redirect_host(text, host))
        return false;
    int count = lookup_start(c, LNT_LOOKUP_FURTHER, host);
    if (count == ERR_BUSY) /* it is sent here again when it tries again */
        return true;
    if (count < 0)
        return false;
    conn->hops++;
    if (count)
        further_take(conn);
    else
        c->lookup_conn = conn;
    return true;
}

/* The next of the portals that have names. True: it is being looked up. */
static bool portal_next(struct lnt_client *c)
{
    while (c->portal_name_count && c->portal_count < LNT_ADDRESSES_MAX) {
        int count = lookup_start(c, LNT_LOOKUP_PORTAL, c->portal_names[--c->portal_name_count]);
        if (count == 0)
            return true;
        if (count > 0 && !addr_is_wildcard(&c->resolve.addrs[0]))
            c->portals[c->portal_count++] = c->resolve.addrs[0];
    }
    return false;
}

static void portals_are_known(struct lnt_client *c)
{
    for (uint32_t i = 1; i < c->options.connections; i++)
        c->connections[i].next_try_ns = 0;
    client_post_flush(c);
}

/* The target's own portals with the portal group tag of the session. Another target's, or another group's,
 * would make a session of its own there (RFC 7143 4.4.3): R7143-C-17. */
void redirect_take_portals(struct lnt_client *c, const uint8_t *text, uint32_t len)
{
    const struct key_params *params = ini_params(c->session);
    struct text_parser parser;
    struct text_range key, value;
    char name[NAME_CAP] = "";
    c->portal_count = c->portal_name_count = 0;
    text_parser_init(&parser, text, len, TEXT_VALUE_LEN_MAX * 2);
    while (text_parser_next(&parser, &key, &value) == TEXT_PAIR && c->portal_name_count < LNT_ADDRESSES_MAX) {
        struct name_address parsed;
        char address[NAME_ADDRESS_HOST_CAP + 32];
        if (text_is(key, "TargetName")) {
            if (name_normalize(value.ptr, value.len, NAME_LENIENT, name, NULL) == NAME_INVALID)
                name[0] = 0;
        } else if (text_is(key, "TargetAddress") && name_equal(name, c->options.session.target_name) &&
                   name_address_parse(value.ptr, value.len, &parsed) && parsed.has_tag &&
                   params->has_target_portal_group_tag && parsed.tag == params->target_portal_group_tag &&
                   text_copy(value, address, sizeof address) &&
                   redirect_host(address, c->portal_names[c->portal_name_count])) {
            c->portal_name_count++;
        }
    }
    for (int i = 0, k = c->portal_name_count - 1; i < k; i++, k--) { /* taken from the end: in their order */
        char other[LNT_HOST_MAX];
        memcpy(other, c->portal_names[i], sizeof other);
        memcpy(c->portal_names[i], c->portal_names[k], sizeof other);
        memcpy(c->portal_names[k], other, sizeof other);
    }
    if (!portal_next(c))
        portals_are_known(c);
}

const struct io_addr *redirect_address(struct lnt_connection *conn)
{
    struct lnt_client *c = conn->client;
    uint32_t index = (uint32_t)(conn - c->connections);
    if (conn->elsewhere) {
        conn->elsewhere = false; /* for one login */
        return &conn->address;
    }
    /* After a failure the next portal has its turn. */
    if (c->portal_count)
        return &c->portals[(index + conn->failures) % (uint32_t)c->portal_count];
    return &c->addresses[((uint32_t)c->address_next + conn->failures) % (uint32_t)c->address_count];
}

/* ---- a name has been looked up ---- */

static void lookup_answer(struct lnt_client *c, int result)
{
    struct lnt_connection *conn = c->lookup_conn;
    switch (c->lookup) {
    case LNT_LOOKUP_URL:
        url_looked_up(c, result);
        break;
    case LNT_LOOKUP_RENEW:
        if (result > 0)
            home_set(c, result);
        c->home_stale = false;
        client_connect(c);
        break;
    case LNT_LOOKUP_HOP:
        if (!hop_take(c, result))
            c->first_tries = LNT_FIRST_TRIES_MAX;
        if (c->state == LNT_RESOLVING) /* else the session that was sent away has still to end */
            client_wait_or_give_up(c, ERR_NOTFOUND);
        break;
    case LNT_LOOKUP_FURTHER:
        if (result > 0 && connection_idle(conn)) {
            further_take(conn);
            conn->next_try_ns = 0;
            client_post_flush(c);
        }
        break;
    case LNT_LOOKUP_PORTAL:
        if (result > 0 && !addr_is_wildcard(&c->resolve.addrs[0]))
            c->portals[c->portal_count++] = c->resolve.addrs[0];
        if (!portal_next(c))
            portals_are_known(c);
        break;
    }
}

static void redirect_looked_up(struct io_resolve *resolve)
{
    lookup_answer(container_of(resolve, struct lnt_client, resolve), resolve->result);
}

void redirect_late(struct lnt_client *c)
{
    io_resolve_cancel(&c->resolve);
    lookup_answer(c, ERR_TIMEOUT);
}
