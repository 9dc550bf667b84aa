#include "bench/login.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/io/posix.h"
#include "common/iscsi/name.h"

#define LOGIN_POOL_BYTES (256u << 20)
#define LOGIN_VECS       16

int login_shop_init(struct login_shop *shop, const struct env *env, const struct lnt_url *url,
                    const struct lnt_options *options, char *why, size_t why_len)
{
    *shop = (struct login_shop){.env = env, .options = options, .session_template = options->session};
    struct ini_options *session = &shop->session_template;
    snprintf(session->target_name, sizeof session->target_name, "%s", url->target);
    if (url->user[0])
        snprintf(session->chap_name, sizeof session->chap_name, "%s", url->user);
    if (url->secret_len) {
        memcpy(session->chap_secret, url->secret, url->secret_len);
        session->chap_secret_len = url->secret_len;
    }
    session->keys.error_recovery_level = 0;
    session->keys.max_connections = options->connections ? options->connections : 1;
    shop->address_count = addr_resolve(url->portal, NAME_PORT_DEFAULT, shop->addresses, LOGIN_ADDRESSES);
    if (shop->address_count <= 0) {
        int err = shop->address_count ? shop->address_count : ERR_NOTFOUND;
        snprintf(why, why_len, "cannot find the host of %s: %s", url->portal, err_text(err));
        return err;
    }
    tx_pool_init(&shop->tx_pool, env);
    return pool_new(env, LOGIN_POOL_BYTES, &shop->pool);
}

void login_shop_fini(struct login_shop *shop)
{
    explicit_bzero(&shop->session_template, sizeof shop->session_template);
    if (shop->pool) {
        tx_pool_fini(&shop->tx_pool);
        pool_free(shop->pool);
    }
}

static enum login_state login_fail(struct login *login, int err, const char *what)
{
    snprintf(login->why, sizeof login->why, "%s", what);
    login->error = err ? err : ERR_PROTOCOL;
    if (login->fd >= 0)
        close(login->fd);
    login->fd = -1;
    return login->state = LOGIN_FAILED;
}

static void login_connect_failed(struct login *login, int err)
{
    char text[IO_ADDR_TEXT_MAX], what[200];
    snprintf(what, sizeof what, "cannot connect to %s: %s", addr_format(&login->address, text, sizeof text),
             err_text(err));
    login_fail(login, err, what);
}

static void login_connect(struct login *login)
{
    union sock_addr to;
    socklen_t len = sock_addr_put(&login->address, &to);
    int err = sock_new(&login->address, SOCK_NONBLOCK, &login->fd);
    login->state = LOGIN_CONNECTING;
    login->have = 0;
    login->need = PDU_BHS_LEN;
    if (err) {
        login->fd = -1;
        login_connect_failed(login, err);
    } else if (connect(login->fd, &to.any, len) && errno != EINPROGRESS) {
        login_connect_failed(login, err_from_errno(errno));
    }
}

/* The engine's session ends; nobody is told anything on the wire. */
static void login_drop_session(struct login *login)
{
    struct ini_session *s = login->session;
    struct ini_event event;
    if (!s)
        return;
    login->session = NULL;
    login->conn = NULL;
    ini_abandon(s, "");
    while (ini_next_event(s, &event))
        if (event.kind == INI_EVENT_CONN_CLOSED)
            ini_conn_free(event.conn);
    ini_session_free(s);
}

static int login_session(struct login *login)
{
    struct login_shop *shop = login->shop;
    return ini_session_new(shop->env, shop->pool, &shop->tx_pool, &login->options, &login->session);
}

int login_start(struct login *login, struct login_shop *shop, uint32_t number)
{
    *login = (struct login){.shop = shop,
                            .fd = -1,
                            .options = shop->session_template,
                            .address = shop->addresses[0],
                            .pdu = env_alloc(shop->env, LOGIN_PDU_MAX)};
    /* Every session is an initiator port of its own: the ISID's qualifier tells them apart. */
    login->options.isid[3] = (uint8_t)(login->options.isid[3] ^ (number >> 16));
    login->options.isid[4] = (uint8_t)(number >> 8);
    login->options.isid[5] = (uint8_t)number;
    int err = login->pdu ? login_session(login) : ERR_NOMEM;
    if (err) {
        login_fail(login, err, err_text(err));
        return err;
    }
    login_connect(login);
    return 0;
}

int login_further(struct login *login)
{
    login->hops = 0;
    login->conn = NULL;
    login_connect(login);
    return login->state == LOGIN_FAILED ? login->error : 0;
}

/* ---- redirects and second tries: from the start, with a new engine ---- */

static enum login_state login_again(struct login *login)
{
    close(login->fd);
    login->fd = -1;
    login_drop_session(login);
    int err = login_session(login);
    if (err)
        return login_fail(login, err, err_text(err));
    login_connect(login);
    return login->state;
}

static enum login_state login_redirected(struct login *login, const char *to)
{
    struct name_address address;
    char host[NAME_ADDRESS_HOST_CAP + 16], what[300];
    bool known = name_address_parse(to, strlen(to), &address);
    if (known) {
        snprintf(host, sizeof host, address.ipv6 ? "[%s]:%u" : "%s:%u", address.host, address.port);
        known = addr_resolve(host, NAME_PORT_DEFAULT, &login->address, 1) == 1;
    }
    if (!known || ini_is_up(login->session) || login->hops++ >= login->shop->options->redirects_max) {
        snprintf(what, sizeof what, "the target redirects us to %.200s, where we do not go", to);
        return login_fail(login, ERR_UNREACHABLE, what);
    }
    return login_again(login);
}

/* ---- the engine's news ---- */

static enum login_state login_events_pull(struct login *login)
{
    struct ini_event event;
    while (ini_next_event(login->session, &event)) {
        switch (event.kind) {
        case INI_EVENT_LOGGED_IN:
            login->ready.params = *ini_conn_params(event.conn);
            login->ready.cid = ini_cid(event.conn);
            login->state = LOGIN_DONE;
            break;
        case INI_EVENT_REDIRECTED:
            return login_redirected(login, event.reason);
        case INI_EVENT_LOGIN_FAILED:
            /* tgt's numbers of CHAP algorithms are off by one: the library tries again so, too. */
            if (event.status_class == 2 && event.chap_alg > CHAP_MD5 && !login->tried_md5 &&
                !login->options.chap_algs.count) {
                login->tried_md5 = true;
                login->options.chap_algs = (struct chap_algs){1, {CHAP_MD5}};
                return login_again(login);
            }
            return login_fail(login, event.status_class == 2 ? ERR_AUTH : ERR_PROTOCOL, event.reason);
        case INI_EVENT_CONN_CLOSED:
            if (event.conn == login->conn)
                login->conn = NULL;
            ini_conn_free(event.conn);
            break;
        default:
            break;
        }
    }
    return login->state;
}

/* ---- bytes ---- */

static enum login_state login_broken(struct login *login, int err)
{
    return login_fail(login, err, err ? err_text(err) : "the target closed the connection during login");
}

static enum login_state login_connected(struct login *login)
{
    int error = 0;
    socklen_t len = sizeof error;
    struct pollfd poll_fd = {login->fd, POLLOUT, 0};
    if (poll(&poll_fd, 1, 0) == 0)
        return login->state;
    if (getsockopt(login->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error) {
        login_connect_failed(login, err_from_errno(error ? error : errno));
        return login->state;
    }
    sock_connected(login->fd, &login->address);
    int err = ini_conn_new(login->session, login, &login->conn);
    if (err)
        return login_fail(login, err,
                          err == ERR_RANGE ? "the target grants fewer connections" : err_text(err));
    return login->state = LOGIN_SENDING;
}

static enum login_state login_send(struct login *login)
{
    struct io_vec places[LOGIN_VECS];
    uint32_t n;
    while ((n = ini_gather(login->conn, places, LOGIN_VECS)) > 0) {
        struct iovec vec[LOGIN_VECS];
        for (uint32_t i = 0; i < n; i++)
            vec[i] = (struct iovec){places[i].ptr, places[i].len};
        struct msghdr msg = {.msg_iov = vec, .msg_iovlen = n};
        ssize_t sent = sendmsg(login->fd, &msg, MSG_NOSIGNAL);
        ini_sent(login->conn, sent > 0 ? (uint64_t)sent : 0);
        if (sent < 0 && errno == EAGAIN)
            return login->state;
        if (sent < 0)
            return login_broken(login, err_from_errno(errno));
    }
    return login->state = LOGIN_READING;
}

/* Hands one whole PDU to the engine. */
static int login_feed(struct login *login)
{
    uint32_t at = 0;
    while (at < login->need) {
        struct io_vec places[FRAMER_PLACES_MAX];
        uint32_t count = 0, took = 0;
        enum ini_room room = ini_room(login->conn, places, &count);
        if (room == INI_ROOM_NOT_NOW)
            return ERR_NOMEM;
        if (room == INI_ROOM_ANY) {
            struct chunk *chunk = pool_get(login->shop->pool, login->need - at);
            if (!chunk)
                return ERR_NOMEM;
            memcpy(chunk->data, login->pdu + at, login->need - at);
            ini_received_chunk(login->conn, chunk, login->need - at);
            return 0;
        }
        for (uint32_t i = 0; i < count && at + took < login->need; i++) {
            uint32_t n = login->need - at - took;
            n = n < places[i].len ? n : (uint32_t)places[i].len;
            memcpy(places[i].ptr, login->pdu + at + took, n);
            took += n;
        }
        ini_received(login->conn, took);
        at += took;
    }
    return 0;
}

static enum login_state login_handed_over(struct login *login)
{
    struct pdu_login_response last;
    pdu_login_response_decode(login->pdu, &last);
    login->ready.exp_stat_sn = last.stat_sn + 1;
    login->ready.cmd_sn = last.exp_cmd_sn;
    login->ready.max_cmd_sn = last.max_cmd_sn;
    login->ready.fd = login->fd;
    login->fd = -1;
    int flags = fcntl(login->ready.fd, F_GETFL);
    fcntl(login->ready.fd, F_SETFL, flags & ~O_NONBLOCK);
    return LOGIN_DONE;
}

static enum login_state login_read(struct login *login)
{
    while (login->have < login->need) {
        ssize_t got = recv(login->fd, login->pdu + login->have, login->need - login->have, 0);
        if (got < 0 && errno == EAGAIN)
            return login->state;
        if (got <= 0)
            return login_broken(login, got ? err_from_errno(errno) : 0);
        login->have += (uint32_t)got;
        if (login->have == PDU_BHS_LEN) {
            uint32_t data_len = pdu_data_len(login->pdu);
            login->need = PDU_BHS_LEN + pdu_ahs_len(login->pdu) + data_len + pdu_pad_len(data_len);
            if (login->need > LOGIN_PDU_MAX)
                return login_fail(login, ERR_PROTOCOL, "the target's login answer is too long");
        }
    }
    int err = login_feed(login);
    if (err)
        return login_fail(login, err, err_text(err));
    enum login_state state = login_events_pull(login);
    if (state == LOGIN_DONE)
        return login_handed_over(login);
    login->have = 0;
    login->need = PDU_BHS_LEN;
    if (state == LOGIN_READING)
        login->state = LOGIN_SENDING;
    return login->state;
}

enum login_state login_step(struct login *login)
{
    enum login_state before;
    do {
        before = login->state;
        switch (before) {
        case LOGIN_CONNECTING:
            login_connected(login);
            break;
        case LOGIN_SENDING:
            login_send(login);
            break;
        case LOGIN_READING:
            login_read(login);
            break;
        case LOGIN_DONE:
        case LOGIN_FAILED:
            return before;
        }
    } while (login->state != before);
    return login->state;
}

short login_events(const struct login *login)
{
    return login->state == LOGIN_READING ? POLLIN : POLLOUT;
}

int login_wait(struct login *login, uint64_t timeout_ns)
{
    uint64_t until = env_now(login->shop->env) + timeout_ns;
    for (;;) {
        enum login_state state = login_step(login);
        if (state == LOGIN_DONE)
            return 0;
        if (state == LOGIN_FAILED)
            return login->error;
        struct pollfd poll_fd = {login->fd, login_events(login), 0};
        if (poll(&poll_fd, 1, 100) == 0 && env_now(login->shop->env) > until) {
            login_fail(login, ERR_TIMEOUT, "the target did not finish the login in time");
            return login->error;
        }
    }
}

void login_fini(struct login *login)
{
    if (login->fd >= 0)
        close(login->fd);
    login->fd = -1;
    if (login->shop) {
        login_drop_session(login);
        env_free(login->shop->env, login->pdu);
    }
    login->pdu = NULL;
    explicit_bzero(&login->options, sizeof login->options);
}
