/* SendTargets (RFC 7143 Appendix C): which targets an initiator may see, and where they are reached. */
#include "common/base/err.h"
#include "target/iscsi/conn_internal.h"

/* HOST:PORT,TAG. A wildcard stands for the address that the initiator has reached; of the other family
 * nothing is known, so such a portal is left out. */
static bool portal_text(const struct tgt_conn *conn, const struct tgt_portal *portal, char *out)
{
    char host[IO_ADDR_TEXT_MAX];
    const char *text = portal->advertise;
    if (!text[0]) {
        struct io_addr addr = portal->listen;
        if (addr_is_wildcard(&addr)) {
            if (conn->info.local.family != addr.family)
                return false;
            addr = conn->info.local;
            addr.port = portal->listen.port;
        }
        addr.scope = 0;                               /* a zone means nothing to another machine */
        text = addr_format(&addr, host, sizeof host); /* brackets around IPv6 */
    }
    size_t len = strlen(text);
    memcpy(out, text, len);
    char digits[5];
    int count = 0;
    for (uint16_t tag = portal->group; tag || count == 0; tag = (uint16_t)(tag / 10))
        digits[count++] = (char)('0' + tag % 10);
    out[len++] = ',';
    while (count)
        out[len++] = digits[--count];
    out[len] = '\0';
    return true;
}

static void add_target(const struct tgt_conn *conn, const struct tgt_config *config,
                       const struct tgt_target *target, struct text_writer *w)
{
    char address[sizeof config->portals->advertise + sizeof ",65535"];
    text_add(w, "TargetName", target->name); /* R7143-C-12 */
    for (uint32_t i = 0; i < config->portal_count; i++)
        if (portal_text(conn, &config->portals[i], address))
            text_add(w, "TargetAddress", address);
}

static bool wanted(const struct tgt_conn *conn, const struct tgt_target *target, const char *what)
{
    const struct tgt_session *s = conn->session;
    bool all = strcmp(what, "All") == 0;
    /* A normal session, and one asked for "its" target, sees no other than its own. */
    const char *name = !what[0] ? s->key.target : what;
    if (!s->discovery && strcmp(target->name, s->key.target) != 0)
        return false;
    if (!all && strcmp(target->name, name) != 0)
        return false;
    /* What an initiator may not log in to does not exist for it. */
    return tgt_target_admits(target, s->key.initiator, &conn->info.peer);
}

int discovery_answer(struct tgt_conn *conn, const char *what, char **buf, size_t *cap, size_t *used)
{
    const struct tgt_session *s = conn->session;
    const struct tgt_config *config = conn->r->config;
    bool all = strcmp(what, "All") == 0;
    if (s->discovery ? !what[0] && !s->key.target[0] : all)
        return ERR_INVALID;
    for (;;) { /* as long as the configuration is large */
        struct text_writer w;
        text_writer_init(&w, *buf + *used, *cap - *used);
        for (uint32_t i = 0; i < config->target_count && !w.overflow; i++)
            if (wanted(conn, &config->targets[i], what))
                add_target(conn, config, &config->targets[i], &w);
        if (!w.overflow) {
            *used += w.len;
            return 0;
        }
        char *larger = env_alloc(conn->env, *cap * 2);
        if (!larger)
            return ERR_NOMEM;
        memcpy(larger, *buf, *used);
        env_free(conn->env, *buf);
        *buf = larger;
        *cap *= 2;
    }
}
