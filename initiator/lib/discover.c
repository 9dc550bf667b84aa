/* Discovery: a session without a target, SendTargets=All, and the answer as a list. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/iscsi/name.h"
#include "common/iscsi/text.h"
#include "initiator/lib/client.h"

#define DISCOVER_TARGETS_MAX 65536u /* records of one answer: a bound on what a peer makes us keep */

void lnt_targets_free(const struct env *env, struct list_node *targets)
{
    struct list_node *node;
    while ((node = list_pop_front(targets)))
        env_free(env, list_entry(node, struct lnt_target, node));
}

static int discover_add(struct lnt_client *c, const char *name, struct text_range address)
{
    struct lnt_target *target = env_alloc(c->env, sizeof *target);
    if (!target)
        return ERR_NOMEM;
    snprintf(target->name, sizeof target->name, "%s", name);
    if (!text_copy(address, target->address, sizeof target->address)) {
        env_free(c->env, target);
        return ERR_PROTOCOL;
    }
    list_init(&target->node);
    list_push_back(c->targets, &target->node);
    return 0;
}

/* TargetName=..., then its TargetAddress=... lines; a target without address is where we asked (RFC 7143
 * Appendix C). */
static int discover_parse(struct lnt_client *c, const uint8_t *text, uint32_t len)
{
    struct text_parser parser;
    struct text_range key, value;
    char name[NAME_CAP] = "", here[IO_ADDR_TEXT_MAX + 4], plain[IO_ADDR_TEXT_MAX];
    bool has_address = true;
    enum text_result got;
    uint32_t records = 0;
    int err = 0;
    snprintf(here, sizeof here, "%s,1", addr_format(&c->addresses[c->address_next], plain, sizeof plain));
    text_parser_init(&parser, text, len, TEXT_VALUE_LEN_MAX * 2);
    while (!err && (got = text_parser_next(&parser, &key, &value)) == TEXT_PAIR &&
           ++records < DISCOVER_TARGETS_MAX) {
        if (text_is(key, "TargetName")) {
            if (!has_address)
                err = discover_add(c, name, text_range_of(here));
            /* A name with control characters or path tricks must not reach the user's terminal or scripts. */
            if (!err && name_normalize(value.ptr, value.len, NAME_LENIENT, name, NULL) == NAME_INVALID)
                err = ERR_PROTOCOL;
            has_address = false;
        } else if (text_is(key, "TargetAddress") && name[0]) {
            struct name_address parsed;
            if (!name_address_parse(value.ptr, value.len, &parsed))
                err = ERR_PROTOCOL;
            else
                err = discover_add(c, name, value);
            has_address = true;
        }
    }
    if (!err && !has_address)
        err = discover_add(c, name, text_range_of(here));
    return err ? err : got == TEXT_ERROR ? ERR_PROTOCOL : 0;
}

void client_take_targets(struct lnt_client *c, const uint8_t *text, uint32_t len)
{
    if (c->targets)
        c->text_err = discover_parse(c, text, len);
    if (c->text_err == ERR_PROTOCOL)
        client_set_error(c, "the target's list of targets is malformed");
}

int lnt_discover(const struct env *env, struct io *io, const struct lnt_url *url,
                 const struct lnt_options *options, struct list_node *targets, char *why, size_t why_len)
{
    struct lnt_url portal = *url;
    struct lnt_client *c;
    portal.target[0] = 0;
    int err = lnt_client_new(env, io, &portal, options, &c);
    if (err) {
        snprintf(why, why_len, "%s", err_text(err));
        return err;
    }
    c->discovery = true;
    c->targets = targets;
    err = lnt_open(c);
    while (!err && !c->text_done)
        io_run(io, UINT64_MAX);
    if (!err)
        err = c->text_err;
    if (err) {
        snprintf(why, why_len, "%s", c->error[0] ? c->error : err_text(err));
        lnt_targets_free(env, targets);
    }
    lnt_close(c);
    lnt_client_free(c);
    return err;
}
