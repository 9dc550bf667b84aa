/* Network addresses and networks, and their text. Values only: nothing here opens or resolves anything. */
#ifndef LUNETTE_BASE_ADDR_H
#define LUNETTE_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv4 or IPv6 address and port. */
struct io_addr {
    uint8_t family; /* 4, 6, or 0: unset */
    uint8_t ip[16]; /* network order; IPv4 in the first four bytes */
    uint16_t port;  /* host order */
    uint32_t scope; /* IPv6 zone index or 0 */
};
#define IO_ADDR_TEXT_MAX 80

/* Address text: "192.0.2.1:3260", "[2001:db8::1]:3260", host names are addr_resolve's matter (common/io). */
/* Parses "ADDR", "ADDR:PORT", "[V6]", "[V6]:PORT", "*:PORT"; `default_port` when none is given. ERR_SYNTAX.
 */
int addr_parse(const char *text, uint16_t default_port, struct io_addr *out);
char *addr_format(const struct io_addr *addr, char *buf, size_t len);      /* with port, brackets for IPv6 */
char *addr_format_host(const struct io_addr *addr, char *buf, size_t len); /* without port or brackets */
bool addr_is_wildcard(const struct io_addr *addr);
bool addr_equal(const struct io_addr *a, const struct io_addr *b); /* with port */
/* The two ends of a connection: do both lie on this machine? So when they have one address, or loopback ones.
 */
bool addr_within_machine(const struct io_addr *local, const struct io_addr *peer);
/* "10.0.0.0/8", "2001:db8::/32", "192.0.2.7": a network. IPv4-mapped IPv6 peers match IPv4 networks. */
struct addr_net {
    struct io_addr base;
    uint8_t prefix; /* bits */
};
int addr_net_parse(const char *text, struct addr_net *out);
bool addr_net_contains(const struct addr_net *net, const struct io_addr *addr);

#endif
