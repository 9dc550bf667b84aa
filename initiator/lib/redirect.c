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

int redirect_resolve(struct lnt_client *c)
{
    int count = addr_resolve(c->url.portal, NAME_PORT_DEFAULT, c->home, LNT_ADDRESSES_MAX);
    if (count <= 0) {
        char text[LNT_ERROR_MAX];
        count = count ? count : ERR_NOTFOUND;
        snprintf(text, sizeof text, "cannot find the host of %s: %s", c->url.portal, err_text(count));
        client_set_error(c, text);
        return count;
    }
    c->home_count = count;
    redirect_start(c);
    return 0;
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

/* TargetAddress text to addresses; how many, or -1. */
static int redirect_parse(const char *text, struct io_addr *out, int max)
{
    struct name_address to;
    char host[NAME_ADDRESS_HOST_CAP + 16];
    if (!name_address_parse(text, strlen(text), &to))
        return -1;
    snprintf(host, sizeof host, to.ipv6 ? "[%s]:%u" : "%s:%u", to.host, to.port);
    int count = addr_resolve(host, NAME_PORT_DEFAULT, out, max);
    return count > 0 ? count : -1;
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

bool redirect_follow(struct lnt_client *c, const char *text, bool permanent)
{
    struct io_addr to[LNT_ADDRESSES_MAX];
    uint32_t most =
        c->options.redirects_max < LNT_REDIRECTS_MAX ? c->options.redirects_max : LNT_REDIRECTS_MAX;
    if (most == 0)
        return redirect_refuse(c, text, "following redirects is switched off");
    if (c->hop_count >= most)
        return redirect_refuse(c, text, "that is one redirect too many");
    int count = redirect_parse(text, to, LNT_ADDRESSES_MAX);
    if (count < 0)
        return redirect_refuse(c, text, "that is no address, or its host cannot be found");
    struct lnt_hop hop = {c->connections[0].address, to[0]};
    if (redirect_is_circle(c, &hop))
        return redirect_refuse(c, text, "in a circle");
    c->hops[c->hop_count++] = hop;
    c->hops_permanent = c->hops_permanent && permanent;
    memcpy(c->addresses, to, sizeof to);
    c->address_count = count;
    c->address_next = 0;
    c->hop_pending = true;
    return true;
}

void redirect_logged_in(struct lnt_client *c)
{
    if (!c->hop_count || !c->hops_permanent)
        return;
    memcpy(c->home, c->addresses, sizeof c->home);
    c->home_count = c->address_count;
}

/* ---- further connections ---- */

bool redirect_follow_one(struct lnt_connection *conn, const char *text)
{
    uint32_t most = conn->client->options.redirects_max;
    struct io_addr to;
    if (conn->hops >= most || conn->hops >= LNT_REDIRECTS_MAX || redirect_parse(text, &to, 1) < 0)
        return false;
    conn->hops++;
    conn->elsewhere = true;
    conn->address = to;
    return true;
}

/* The target's own portals with the portal group tag of the session. Another target's, or another group's,
 * would make a session of its own there (RFC 7143 4.4.3): R7143-C-17. */
void redirect_take_portals(struct lnt_client *c, const uint8_t *text, uint32_t len)
{
    const struct key_params *params = ini_params(c->session);
    struct text_parser parser;
    struct text_range key, value;
    char name[NAME_CAP] = "";
    c->portal_count = 0;
    text_parser_init(&parser, text, len, TEXT_VALUE_LEN_MAX * 2);
    while (text_parser_next(&parser, &key, &value) == TEXT_PAIR && c->portal_count < LNT_ADDRESSES_MAX) {
        struct name_address parsed;
        char address[NAME_ADDRESS_HOST_CAP + 32];
        if (text_is(key, "TargetName")) {
            if (name_normalize(value.ptr, value.len, NAME_LENIENT, name, NULL) == NAME_INVALID)
                name[0] = 0;
        } else if (text_is(key, "TargetAddress") && name_equal(name, c->options.session.target_name) &&
                   name_address_parse(value.ptr, value.len, &parsed) && parsed.has_tag &&
                   params->has_target_portal_group_tag && parsed.tag == params->target_portal_group_tag &&
                   text_copy(value, address, sizeof address) &&
                   redirect_parse(address, &c->portals[c->portal_count], 1) == 1 &&
                   !addr_is_wildcard(&c->portals[c->portal_count])) {
            c->portal_count++;
        }
    }
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
