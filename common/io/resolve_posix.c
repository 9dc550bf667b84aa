/* Host names to addresses. Blocking: for programs at configuration time and for a connecting client's own
 * thread. */
#include <netdb.h>
#include <string.h>

#include "common/base/units.h"
#include "common/io/posix.h"

enum { RESOLVE_HOST_MAX = 256 };

/* "host", "host:port", "[v6%zone]:port" -> host without brackets, and port. */
static int resolve_split(const char *text, uint16_t default_port, char host[RESOLVE_HOST_MAX], uint16_t *port)
{
    const char *start = text, *end, *port_text = NULL;
    if (text[0] == '[') {
        start = text + 1;
        end = strchr(start, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return ERR_SYNTAX;
        port_text = end[1] == ':' ? end + 2 : NULL;
    } else {
        end = text + strlen(text);
        const char *colon = strchr(text, ':');
        if (colon && !strchr(colon + 1, ':')) { /* more than one: a bare IPv6 address with a zone */
            end = colon;
            port_text = colon + 1;
        }
    }
    size_t len = (size_t)(end - start);
    if (len == 0 || len >= RESOLVE_HOST_MAX)
        return ERR_SYNTAX;
    uint64_t number = default_port;
    if (port_text &&
        (port_text[strspn(port_text, "0123456789")] || units_parse_u64(port_text, 0, 65535, &number) < 0))
        return ERR_SYNTAX;
    memcpy(host, start, len);
    host[len] = '\0';
    /* getaddrinfo takes "10.1" for 10.0.0.1; a number that addr_parse has refused is a mistake. */
    if (host[strspn(host, "0123456789.")] == '\0')
        return ERR_SYNTAX;
    *port = (uint16_t)number;
    return 0;
}

/* Only what a caller can act upon is told apart. */
static int resolve_error(int code)
{
    switch (code) {
    case EAI_MEMORY:
        return ERR_NOMEM;
    case EAI_AGAIN:
        return ERR_AGAIN;
    default:
        return ERR_NOTFOUND;
    }
}

/* Numbers first: they must work without any resolver, in a chroot or an empty container. */
int addr_resolve(const char *text, uint16_t default_port, struct io_addr *out, int max)
{
    if (max < 1)
        return ERR_INVALID;
    if (addr_parse(text, default_port, out) == 0)
        return 1;
    char host[RESOLVE_HOST_MAX];
    uint16_t port;
    int err = resolve_split(text, default_port, host, &port);
    if (err < 0)
        return err;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, NULL, &hints, &found);
    if (code != 0)
        return resolve_error(code);
    int count = 0;
    for (const struct addrinfo *at = found; at && count < max; at = at->ai_next) {
        union sock_addr name = {0};
        if (at->ai_addrlen > sizeof(name))
            continue;
        memcpy(&name, at->ai_addr, at->ai_addrlen);
        if (sock_addr_get(&name, &out[count]))
            out[count++].port = port;
    }
    freeaddrinfo(found);
    return count > 0 ? count : ERR_NOTFOUND;
}
