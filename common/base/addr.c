/* Addresses as text. Parsed by hand: strict (no octal, no shortened IPv4, nothing around the address) and the
 * same on every system. */
#include <stdio.h>
#include <string.h>

#include "common/base/addr.h"
#include "common/base/err.h"

/* ---- parsing: each function moves *at over what it understood ---- */

/* A decimal number without leading zeros. */
static bool parse_decimal(const char **at, uint64_t max, uint64_t *out)
{
    const char *p = *at;
    uint64_t value = 0;
    if (*p < '0' || *p > '9' || (p[0] == '0' && p[1] >= '0' && p[1] <= '9'))
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (uint64_t)(*p - '0');
        if (value > max)
            return false;
    }
    *at = p;
    *out = value;
    return true;
}

/* Exactly four parts. */
static bool parse_ipv4(const char **at, uint8_t out[4])
{
    const char *p = *at;
    for (int i = 0; i < 4; i++) {
        uint64_t byte;
        if (i > 0 && *p++ != '.')
            return false;
        if (!parse_decimal(&p, 255, &byte))
            return false;
        out[i] = (uint8_t)byte;
    }
    *at = p;
    return true;
}

/* -1 for anything else. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One to four hexadecimal digits. */
static bool parse_group(const char **at, uint8_t out[2])
{
    const char *p = *at;
    unsigned value = 0;
    while (p - *at < 4 && hex_digit(*p) >= 0)
        value = value << 4 | (unsigned)hex_digit(*p++);
    if (p == *at)
        return false;
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    *at = p;
    return true;
}

/* The groups of an IPv6 address, in order, with the place of "::" remembered. */
struct ipv6_parse {
    uint8_t bytes[16];
    size_t len;
    size_t gap; /* bytes before "::", or SIZE_MAX */
};

/* Adds one group, or the dotted IPv4 form that may stand in place of the last two. */
static bool ipv6_add(struct ipv6_parse *parse, const char **at)
{
    const char *dotted = *at;
    if (parse->len <= 12 && parse_ipv4(&dotted, parse->bytes + parse->len)) {
        parse->len += 4;
        *at = dotted;
        return true;
    }
    if (parse->len > 14 || !parse_group(at, parse->bytes + parse->len))
        return false;
    parse->len += 2;
    return true;
}

/* Groups separated by single colons, with at most one "::". */
static bool parse_ipv6(const char **at, uint8_t out[16])
{
    struct ipv6_parse parse = {.gap = SIZE_MAX};
    const char *p = *at;
    bool dotted = false;
    if (p[0] == ':' && p[1] == ':') {
        parse.gap = 0;
        p += 2;
    }
    bool more = parse.gap == SIZE_MAX || hex_digit(*p) >= 0;
    while (more) {
        const size_t before = parse.len;
        if (dotted || !ipv6_add(&parse, &p))
            return false;
        dotted = parse.len - before == 4; /* nothing may follow it */
        more = false;
        if (p[0] == ':' && p[1] == ':' && parse.gap == SIZE_MAX && !dotted) {
            parse.gap = parse.len;
            p += 2;
            more = hex_digit(*p) >= 0;
        } else if (p[0] == ':' && p[1] != ':') {
            p++;
            more = true;
        }
    }
    /* "::" stands for at least one group. */
    if (parse.gap == SIZE_MAX ? parse.len != 16 : parse.len > 14)
        return false;
    if (parse.gap == SIZE_MAX)
        parse.gap = 16;
    const size_t tail = parse.len - (parse.gap < parse.len ? parse.gap : parse.len);
    memset(out, 0, 16);
    memcpy(out, parse.bytes, parse.len - tail);
    memcpy(out + 16 - tail, parse.bytes + parse.len - tail, tail);
    *at = p;
    return true;
}

/* An IPv6 address with an optional numeric zone: "fe80::1%3". Zone names are addr_resolve's work. */
static bool parse_ipv6_zone(const char **at, struct io_addr *out)
{
    uint64_t scope = 0;
    if (!parse_ipv6(at, out->ip))
        return false;
    if (**at == '%') {
        ++*at;
        if (!parse_decimal(at, UINT32_MAX, &scope))
            return false;
    }
    out->family = 6;
    out->scope = (uint32_t)scope;
    return true;
}

/* The host part; `bracketed` when it was [v6]. */
static bool parse_host(const char **at, struct io_addr *out, bool *bracketed)
{
    *bracketed = **at == '[';
    if (*bracketed) {
        ++*at;
        return parse_ipv6_zone(at, out) && *(*at)++ == ']';
    }
    if (**at == '*') { /* the IPv4 wildcard */
        ++*at;
        out->family = 4;
        return true;
    }
    const char *p = *at;
    if (parse_ipv4(&p, out->ip)) {
        *at = p;
        out->family = 4;
        return true;
    }
    memset(out->ip, 0, sizeof(out->ip));
    return parse_ipv6_zone(at, out);
}

/* What is left over after host and port decides: anything is an error. */
int addr_parse(const char *text, uint16_t default_port, struct io_addr *out)
{
    struct io_addr addr = {.port = default_port};
    bool bracketed;
    const char *p = text;
    if (!parse_host(&p, &addr, &bracketed))
        return ERR_SYNTAX;
    /* After a bare IPv6 address a port could not be told from a group. */
    if (*p == ':' && (addr.family == 4 || bracketed)) {
        uint64_t port;
        p++;
        if (!parse_decimal(&p, 65535, &port))
            return ERR_SYNTAX;
        addr.port = (uint16_t)port;
    }
    if (*p != '\0')
        return ERR_SYNTAX;
    *out = addr;
    return 0;
}

/* ---- formatting ---- */

static bool is_ipv4_mapped(const uint8_t ip[16])
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

/* The longest run of two or more zero groups, the first of equals (RFC 5952); *len 0: none. */
static int longest_zero_run(const uint8_t ip[16], int *len)
{
    int best = 0;
    *len = 0;
    for (int start = 0; start < 8; start++) {
        int run = 0;
        while (start + run < 8 && ip[2 * (start + run)] == 0 && ip[2 * (start + run) + 1] == 0)
            run++;
        if (run >= 2 && run > *len) {
            best = start;
            *len = run;
        }
    }
    return best;
}

/* At most 8 groups of 5 characters: `buf` of 64 bytes is enough. */
static void format_ipv6(const uint8_t ip[16], char *buf)
{
    if (is_ipv4_mapped(ip)) {
        snprintf(buf, 64, "::ffff:%u.%u.%u.%u", ip[12], ip[13], ip[14], ip[15]);
        return;
    }
    int run_len;
    const int run = longest_zero_run(ip, &run_len);
    char *p = buf;
    for (int i = 0; i < 8; i++) {
        if (run_len > 0 && i == run) {
            *p++ = ':';
            *p++ = ':';
            i += run_len - 1;
            continue;
        }
        if (i > 0 && !(run_len > 0 && i == run + run_len))
            *p++ = ':';
        p += snprintf(p, 5, "%x", (unsigned)(ip[2 * i] << 8 | ip[2 * i + 1]));
    }
    *p = '\0';
}

/* Zone numbers are written, never names: what is written can be parsed again anywhere. */
char *addr_format_host(const struct io_addr *addr, char *buf, size_t len)
{
    if (addr->family == 4) {
        snprintf(buf, len, "%u.%u.%u.%u", addr->ip[0], addr->ip[1], addr->ip[2], addr->ip[3]);
    } else if (addr->family == 6) {
        char text[64];
        format_ipv6(addr->ip, text);
        if (addr->scope)
            snprintf(buf, len, "%s%%%u", text, (unsigned)addr->scope);
        else
            snprintf(buf, len, "%s", text);
    } else {
        snprintf(buf, len, "unset");
    }
    return buf;
}

char *addr_format(const struct io_addr *addr, char *buf, size_t len)
{
    char host[IO_ADDR_TEXT_MAX];
    addr_format_host(addr, host, sizeof(host));
    snprintf(buf, len, addr->family == 6 ? "[%s]:%u" : "%s:%u", host, (unsigned)addr->port);
    return buf;
}

/* ---- comparing ---- */

/* How many bytes of ip count. */
static size_t ip_len(const struct io_addr *addr)
{
    return addr->family == 4 ? 4 : addr->family == 6 ? 16 : 0;
}

bool addr_is_wildcard(const struct io_addr *addr)
{
    uint8_t any = 0;
    for (size_t i = 0; i < ip_len(addr); i++)
        any = (uint8_t)(any | addr->ip[i]);
    return addr->family != 0 && any == 0;
}

bool addr_equal(const struct io_addr *a, const struct io_addr *b)
{
    return a->family == b->family && a->port == b->port && a->scope == b->scope &&
           memcmp(a->ip, b->ip, ip_len(a)) == 0;
}

static bool is_loopback(const struct io_addr *addr)
{
    return addr->family == 4 && addr->ip[0] == 127; /* of IPv6 there is one address: both ends have it */
}

bool addr_within_machine(const struct io_addr *local, const struct io_addr *peer)
{
    struct io_addr same = *peer;
    same.port = local->port;
    return local->family && (addr_equal(local, &same) || (is_loopback(local) && is_loopback(peer)));
}

/* Clears the bits behind the prefix. */
static void mask_ip(uint8_t *ip, size_t len, unsigned prefix)
{
    for (size_t i = 0; i < len; i++) {
        unsigned bits = prefix > 8 * i ? prefix - 8 * (unsigned)i : 0;
        if (bits < 8)
            ip[i] = (uint8_t)(ip[i] & (0xff00u >> bits));
    }
}

/* An IPv4-mapped IPv6 address becomes the IPv4 address that it is. */
static struct io_addr unmapped(const struct io_addr *addr)
{
    struct io_addr plain = *addr;
    if (addr->family == 6 && is_ipv4_mapped(addr->ip)) {
        plain.family = 4;
        memset(plain.ip, 0, sizeof(plain.ip));
        memcpy(plain.ip, addr->ip + 12, 4);
    }
    return plain;
}

int addr_net_parse(const char *text, struct addr_net *out)
{
    struct addr_net net = {0};
    bool bracketed;
    const char *p = text;
    if (*p == '*' || *p == '[' || !parse_host(&p, &net.base, &bracketed) || net.base.scope)
        return ERR_SYNTAX;
    uint64_t prefix = 8 * ip_len(&net.base);
    if (*p == '/') {
        p++;
        if (!parse_decimal(&p, prefix, &prefix))
            return ERR_SYNTAX;
    }
    if (*p != '\0')
        return ERR_SYNTAX;
    /* "10.1.2.3/8" is taken as the network it lies in. A mapped network of 96 bits and more is an IPv4 one.
     */
    if (net.base.family == 6 && is_ipv4_mapped(net.base.ip) && prefix >= 96) {
        net.base = unmapped(&net.base);
        prefix -= 96;
    }
    mask_ip(net.base.ip, ip_len(&net.base), (unsigned)prefix);
    net.prefix = (uint8_t)prefix;
    *out = net;
    return 0;
}

/* Compared as IPv4 where both can be, so that a dual-stack listener and a plain one give the same answer. */
bool addr_net_contains(const struct addr_net *net, const struct io_addr *addr)
{
    struct io_addr plain = unmapped(addr);
    /* An IPv6 network as wide as ::/0 still holds the mapped addresses as they are written. */
    if (plain.family != net->base.family)
        plain = *addr;
    if (plain.family != net->base.family)
        return false;
    mask_ip(plain.ip, ip_len(&plain), net->prefix);
    return memcmp(plain.ip, net->base.ip, ip_len(&plain)) == 0;
}
