/* TCP sockets as both Linux backends need them. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "common/io/posix.h"

/* Through memcpy: a union of sockaddr types may not be read as one another's members portably. */
socklen_t sock_addr_put(const struct io_addr *addr, union sock_addr *out)
{
    memset(out, 0, sizeof(*out));
    if (addr->family == 4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&in.sin_addr, addr->ip, 4);
        memcpy(out, &in, sizeof(in));
        return sizeof(in);
    }
    if (addr->family == 6) {
        struct sockaddr_in6 in = {
            .sin6_family = AF_INET6,
            .sin6_port = htons(addr->port),
            .sin6_scope_id = addr->scope,
        };
        memcpy(&in.sin6_addr, addr->ip, 16);
        memcpy(out, &in, sizeof(in));
        return sizeof(in);
    }
    return 0;
}

bool sock_addr_get(const union sock_addr *from, struct io_addr *out)
{
    struct io_addr addr = {0};
    if (from->any.sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof(in));
        addr.family = 4;
        addr.port = ntohs(in.sin_port);
        memcpy(addr.ip, &in.sin_addr, 4);
    } else if (from->any.sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, from, sizeof(in));
        addr.family = 6;
        addr.port = ntohs(in.sin6_port);
        addr.scope = in.sin6_scope_id;
        memcpy(addr.ip, &in.sin6_addr, 16);
    } else {
        return false;
    }
    *out = addr;
    return true;
}

/* Where the system's choice is BBR, it spreads over time what is sent at once, and each piece wakes the peer:
 * on a connection that does not leave the machine that is all it does (docs/performance.md). Reno does
 * nothing of the kind, is part of every kernel and allowed to everybody. Failing costs speed. */
void sock_connected(int fd, const struct io_addr *peer)
{
    static const char reno[] = "reno";
    struct io_addr local;
    if (sock_local_addr(fd, &local) == 0 && addr_within_machine(&local, peer))
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno) - 1);
}

int sock_new(const struct io_addr *addr, int extra_type, int *out)
{
    int domain = addr->family == 4 ? AF_INET : addr->family == 6 ? AF_INET6 : -1;
    if (domain < 0)
        return ERR_INVALID;
    int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | extra_type, 0);
    if (fd < 0)
        return err_from_errno(errno);
    /* Output is batched once per turn already; Nagle would only hold back the last piece. What a listener
     * accepts inherits it. Failing costs latency. */
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    *out = fd;
    return 0;
}

/* For the user an address that is not ours is a wrong argument, and a taken port is not. */
int sock_listen(const struct io_addr *addr, int backlog, int extra_type, int *out, struct io_addr *bound)
{
    int fd;
    int err = sock_new(addr, extra_type, &fd);
    if (err < 0)
        return err;
    const int on = 1;
    union sock_addr name;
    socklen_t len = sock_addr_put(addr, &name);
    struct io_addr real = *addr;
    /* A restarted service must get its port back while old connections are in TIME_WAIT. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (addr->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, &name.any, len) < 0 || listen(fd, backlog) < 0)
        err = errno == EADDRNOTAVAIL ? ERR_INVALID : err_from_errno(errno);
    else
        err = sock_local_addr(fd, &real);
    if (err < 0) {
        close(fd);
        return err;
    }
    if (bound)
        *bound = real;
    *out = fd;
    return 0;
}

int sock_local_addr(io_handle sock, struct io_addr *out)
{
    union sock_addr name;
    socklen_t len = sizeof(name);
    if (getsockname((int)sock, &name.any, &len) < 0)
        return err_from_errno(errno);
    return sock_addr_get(&name, out) ? 0 : ERR_INVALID;
}

int sock_peer_addr(io_handle sock, struct io_addr *out)
{
    union sock_addr name;
    socklen_t len = sizeof(name);
    if (getpeername((int)sock, &name.any, &len) < 0)
        return err_from_errno(errno);
    return sock_addr_get(&name, out) ? 0 : ERR_INVALID;
}

/* The chunk goes back at once when there was nothing to read, so an idle connection costs no memory. */
int64_t sock_recv_any(struct io_op *op)
{
    struct chunk *chunk = pool_get(op->pool, op->chunk_len);
    if (!chunk)
        return ERR_NOMEM;
    ssize_t got;
    do
        got = recv((int)op->handle, chunk->data, op->chunk_len, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        op->chunk = chunk;
        return got;
    }
    int err = got < 0 ? errno : 0;
    chunk_unref(chunk);
    return err ? err_from_errno(err) : 0;
}

bool sock_accept_again(int errno_value)
{
    switch (errno_value) {
    case EINTR:
    case ECONNABORTED:
    /* Linux hands over errors that are already pending on the new connection. */
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
        return true;
    default:
        return false;
    }
}
