/* One pair's value by itself: form, range, what a list has to have in it, names and addresses; and what a
 * declaration says. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conformance/referee/keys_internal.h"

/* ---- lists ---- */

static bool list_has(struct text_range list, const char *word)
{
    struct text_range item;
    while (text_list_next(&list, &item))
        if (text_is(item, word))
            return true;
    return false;
}

bool keys_list_has_range(struct text_range list, struct text_range word)
{
    struct text_range item;
    while (text_list_next(&list, &item))
        if (text_equal(item, word))
            return true;
    return false;
}

/* An extension of the kind whose names begin with `letter` and a dash. */
static bool list_has_extension(struct text_range list, char letter, bool *hash)
{
    struct text_range item;
    bool found = false;
    while (text_list_next(&list, &item))
        if (item.len > 2 && item.ptr[0] == letter) {
            found = found || item.ptr[1] == '-';
            *hash = *hash || item.ptr[1] == '#';
        }
    return found;
}

/* ---- values ---- */

/* Form and range of a number or boolean; false after a finding. */
bool keys_value_ok(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                   uint64_t *out)
{
    const struct key_def *def = &key_defs[id];
    struct words seen = keys_pair_words(text_range_of(def->name), value);
    bool yes;
    if (def->kind == KEY_KIND_AND || def->kind == KEY_KIND_OR) {
        if (!text_parse_bool(value, &yes)) {
            finding(c, BOTH(p, BOOLEAN), "Yes or No", seen.text);
            return false;
        }
        *out = yes;
        return true;
    }
    if (!text_parse_number(value, out)) {
        finding(c, BOTH(p, NUMBER), "a number", seen.text);
        return false;
    }
    if (*out >= def->min && *out <= def->max)
        return true;
    finding(c, rule_find(def->requirement, sender(p)),
            say("%" PRIu32 " to %" PRIu32, def->min, def->max).text, seen.text);
    return false;
}

static void check_digest_offer(struct rconn *c, const struct rpdu *p, struct text_range value,
                               const char *seen)
{
    bool hash = false;
    if (list_has_extension(value, 'Y', &hash) && (!list_has(value, "CRC32C") || list_has(value, "None")))
        finding(c, BOTH(p, DIGEST_EXTENSION), "CRC32C and no None beside an extension", seen);
    if (hash)
        finding(c, BOTH(p, DIGEST_NAME), "Y-name", seen);
}

static void check_auth_offer(struct rconn *c, const struct rpdu *p, struct text_range value, const char *seen)
{
    bool hash = false;
    if (list_has_extension(value, 'Z', &hash) && (!list_has(value, "CHAP") || list_has(value, "None")))
        finding(c, BOTH(p, AUTH_EXTENSION), "CHAP and no None beside an extension", seen);
    if (hash)
        finding(c, BOTH(p, AUTH_NAME), "Z-name", seen);
}

void keys_check_list_offer(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                           const char *seen)
{
    if (id == KEY_HEADER_DIGEST || id == KEY_DATA_DIGEST)
        check_digest_offer(c, p, value, seen);
    if (id == KEY_AUTH_METHOD)
        check_auth_offer(c, p, value, seen);
    if (id == KEY_TASK_REPORTING && (!list_has(value, "RFC3720") || !list_has(value, "ResponseFence")))
        finding(c, BOTH(p, TASK_REPORTING_OFFER), "RFC3720 and ResponseFence in the list", seen);
}

void keys_check_name(struct rconn *c, const struct rpdu *p, struct text_range value, const char *seen)
{
    const char *reason = "";
    enum rule_id rule = BOTH(p, NAME_FORM);
    if (name_check(value.ptr, value.len, NAME_STRICT, &reason) != NAME_INVALID)
        return;
    if (value.len > NAME_LEN_MAX)
        rule = BOTH(p, NAME_LENGTH);
    else if (value.len > 4 && memcmp(value.ptr, "iqn.", 4) == 0)
        rule = BOTH(p, NAME_IQN);
    else if (value.len > 4 && memcmp(value.ptr, "eui.", 4) == 0)
        rule = BOTH(p, NAME_EUI);
    else if (value.len > 4 && memcmp(value.ptr, "naa.", 4) == 0)
        rule = BOTH(p, NAME_NAA);
    finding(c, rule, reason, seen);
}

/* host[:port][,tag]; in a redirection without the tag, in an answer to SendTargets with it. */
void keys_check_address(struct rconn *c, struct text_range value, bool redirect, const char *seen)
{
    struct name_address address;
    if (!name_address_parse(value.ptr, value.len, &address))
        finding(c, RULE_ADDRESS, "host[:port][,tag]", seen);
    else if (redirect && address.has_tag)
        finding(c, RULE_ADDRESS_REDIRECT_TAG, "no portal group tag", seen);
    else if (!redirect && !address.has_tag)
        finding(c, RULE_ADDRESS_TAG, "a portal group tag", seen);
}

/* ---- declarations ---- */

void keys_declare(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                  const char *seen)
{
    uint64_t n;
    bool login = c->neg->stage != KEY_STAGE_FULL_FEATURE;
    switch (id) {
    case KEY_MAX_RECV_DATA_SEGMENT_LENGTH:
        if (keys_value_ok(c, p, id, value, &n))
            c->neg->max_recv[p->dir] = (uint32_t)n;
        break;
    case KEY_INITIATOR_NAME:
        keys_check_name(c, p, value, seen);
        (void)name_normalize(value.ptr, value.len, NAME_LENIENT, c->initiator_name, NULL);
        break;
    case KEY_TARGET_NAME:
        keys_check_name(c, p, value, seen);
        (void)name_normalize(value.ptr, value.len, NAME_LENIENT, c->target_name, NULL);
        break;
    case KEY_SESSION_TYPE:
        c->discovery = text_is(value, "Discovery");
        if (!c->discovery && !text_is(value, "Normal"))
            finding(c, RULE_SESSION_TYPE, "Discovery or Normal", seen);
        if (c->discovery && c->logins_text > 1)
            finding(c, RULE_SESSION_TYPE_FIRST, "in the first request", seen);
        break;
    case KEY_TARGET_ADDRESS:
        c->has_target_address = true;
        keys_check_address(c, value, login, seen);
        break;
    case KEY_TARGET_PORTAL_GROUP_TAG:
        if (!text_parse_number(value, &n) || n > 65535)
            finding(c, RULE_PORTAL_GROUP_TAG, "0 to 65535", seen);
        break;
    default:
        if (value.len > key_defs[id].max)
            finding(c, id == KEY_NODE_ARCHITECTURE ? BOTH(p, NODE_ARCHITECTURE) : BOTH(p, VALUE_LENGTH),
                    "at most 255 bytes", seen);
        break;
    }
}
