/* iscsi:// URLs. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/units.h"
#include "common/iscsi/name.h"
#include "common/scsi/lun.h"
#include "initiator/lib/lunette.h"

static const char url_scheme[] = "iscsi://";

bool lnt_url_is(const char *text)
{
    return strncmp(text, url_scheme, sizeof url_scheme - 1) == 0;
}

static int url_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decodes [from, end) into out; the length, or -1 when malformed or too long. */
static int url_decode(const char *from, const char *end, uint8_t *out, size_t cap)
{
    size_t n = 0;
    while (from < end) {
        int value = (unsigned char)*from++;
        if (value == '%') {
            if (end - from < 2 || url_hex_digit(from[0]) < 0 || url_hex_digit(from[1]) < 0)
                return -1;
            value = url_hex_digit(from[0]) * 16 + url_hex_digit(from[1]);
            from += 2;
        }
        if (n == cap)
            return -1;
        out[n++] = (uint8_t)value;
    }
    return (int)n;
}

/* "user" or "user%secret". The separator is the first % that does not start an escape: a user name with an
 * escaped character must not swallow the secret, and a secret that starts with two hexadecimal digits must be
 * escaped itself. */
static bool url_user(const char *from, const char *at, struct lnt_url *out)
{
    const char *split = from;
    while (split < at && *split != '%')
        split++;
    int user = url_decode(from, split, (uint8_t *)out->user, sizeof out->user - 1);
    if (user <= 0)
        return false;
    out->user[user] = 0;
    if (split == at)
        return true;
    int secret = url_decode(split + 1, at, out->secret, sizeof out->secret);
    if (secret <= 0)
        return false;
    out->secret_len = (uint32_t)secret;
    return true;
}

static int url_error(char *why, size_t why_len, int err, const char *text, const char *what)
{
    snprintf(why, why_len, "%s: %s", text, what);
    return err;
}

static bool url_portal_good(const char *portal, char *what, size_t len)
{
    const char *colon = strrchr(portal, ':'), *bracket = strrchr(portal, ']');
    uint64_t port;
    if (colon && (!bracket || colon > bracket) && (bracket || strchr(portal, ':') == colon) &&
        units_parse_u64(colon + 1, 1, 65535, &port) != 0) {
        snprintf(what, len, "\"%.32s\" is not a port (1 to 65535)", colon + 1);
        return false;
    }
    return true;
}

static int url_path(const char *text, const char *path, struct lnt_url *out, char *why, size_t why_len)
{
    const char *slash = strchr(path, '/'), *reason = NULL;
    size_t name_len = slash ? (size_t)(slash - path) : strlen(path);
    char what[400];
    uint64_t lun;
    if (name_normalize(path, name_len, NAME_LENIENT, out->target, &reason) == NAME_INVALID) {
        snprintf(what, sizeof what, "\"%.*s\" is not a target name: %s", name_len > 200 ? 200 : (int)name_len,
                 path, reason);
        return url_error(why, why_len, ERR_SYNTAX, text, what);
    }
    if (!slash || !slash[1])
        return 0;
    if (units_parse_u64(slash + 1, 0, LUN_NUMBER_MAX, &lun) != 0) {
        snprintf(what, sizeof what, "\"%.64s\" is not a LUN (0 to %u)", slash + 1, LUN_NUMBER_MAX);
        return url_error(why, why_len, ERR_RANGE, text, what);
    }
    out->lun = (int32_t)lun;
    return 0;
}

int lnt_url_parse(const char *text, struct lnt_url *out, char *why, size_t why_len)
{
    struct lnt_url url = {.lun = -1};
    char what[128];
    if (!lnt_url_is(text))
        return url_error(why, why_len, ERR_SYNTAX, text, "a URL starts with iscsi://");
    const char *from = text + sizeof url_scheme - 1;
    const char *slash = strchr(from, '/'), *end = slash ? slash : from + strlen(from);
    const char *at = end;
    while (at > from && at[-1] != '@')
        at--;
    const char *host = at > from ? at : from;
    if (host != from && !url_user(from, host - 1, &url)) {
        /* The text may hold a secret: it is not repeated. */
        snprintf(why, why_len, "the URL's user or secret is empty, too long or wrongly escaped");
        return ERR_SYNTAX;
    }
    const char *shown = host != from ? host : text; /* never shows a secret */
    size_t host_len = (size_t)(end - host);
    if (host_len == 0 || host_len >= sizeof url.portal)
        return url_error(why, why_len, ERR_SYNTAX, shown, "the URL names no host");
    memcpy(url.portal, host, host_len);
    if (!url_portal_good(url.portal, what, sizeof what))
        return url_error(why, why_len, ERR_RANGE, shown, what);
    if (slash && slash[1]) {
        int err = url_path(shown, slash + 1, &url, why, why_len);
        if (err)
            return err;
    }
    *out = url;
    return 0;
}
