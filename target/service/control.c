/* The control socket's server and client. Only root and the user who runs the service may talk to it. */
#include "target/service/control.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"

#define RPC_REFUSED (-32602) /* JSON-RPC: invalid params */
#define RPC_FAILED  (-32000)
#define RPC_PARSE   (-32700)

enum { SEND_TIMEOUT_S = 2, REQUEST_TIMEOUT_S = 60 };

struct client {
    int fd;     /* -1: free */
    char *line; /* owned; CONTROL_LINE_MAX at most */
    size_t len, cap;
};

struct control {
    int fd;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    struct client clients[CONTROL_CLIENTS_MAX];
};

static bool address(const char *path, struct sockaddr_un *out, struct outcome *o)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof out->sun_path)
        return outcome_refuse(o, "the path of the control socket is longer than %zu bytes: %s",
                              sizeof out->sun_path - 1, path);
    memcpy(out->sun_path, path, strlen(path));
    return true;
}

/* A socket file that nobody listens on is left over from a service that was killed. */
static void remove_stale(const char *path, const struct sockaddr_un *addr)
{
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof *addr) != 0 && errno == ECONNREFUSED)
        (void)unlink(path);
    if (fd >= 0)
        close(fd);
}

bool control_open(const char *path, struct control **out, struct outcome *o)
{
    struct sockaddr_un addr;
    if (!address(path, &addr, o))
        return false;
    struct control *control = calloc(1, sizeof *control);
    if (!control)
        return outcome_fail(o, "out of memory");
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        control->clients[i].fd = -1;
    memcpy(control->path, addr.sun_path, sizeof control->path);
    remove_stale(path, &addr);
    control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mask decides the mode at creation: there is no moment in which others could connect. */
    mode_t mask = umask(0177);
    bool fine = control->fd >= 0 && bind(control->fd, (struct sockaddr *)&addr, sizeof addr) == 0;
    umask(mask);
    if (!fine || listen(control->fd, 16) != 0) {
        outcome_fail(o, "cannot make the control socket %s: %s", path, strerror(errno));
        if (control->fd >= 0)
            close(control->fd);
        free(control);
        return false;
    }
    *out = control;
    return true;
}

static void client_close(struct client *client)
{
    close(client->fd);
    if (client->line)
        explicit_bzero(client->line, client->cap); /* it may have held secrets */
    free(client->line);
    *client = (struct client){.fd = -1};
}

void control_close(struct control *control)
{
    if (!control)
        return;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].fd >= 0)
            client_close(&control->clients[i]);
    (void)unlink(control->path);
    close(control->fd);
    free(control);
}

unsigned control_poll(const struct control *control, struct pollfd *fds)
{
    unsigned count = 0;
    fds[count++] = (struct pollfd){.fd = control->fd, .events = POLLIN};
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].fd >= 0)
            fds[count++] = (struct pollfd){.fd = control->clients[i].fd, .events = POLLIN};
    return count;
}

static void accept_client(struct control *control)
{
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (fd < 0)
        return;
    bool known =
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid());
    struct client *free_slot = NULL;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX && !free_slot; i++)
        if (control->clients[i].fd < 0)
            free_slot = &control->clients[i];
    if (!known || !free_slot) {
        log_warn("control", known ? "too many clients" : "a client of another user was refused");
        close(fd);
        return;
    }
    /* A client that does not read its answer must not hold up the service. */
    struct timeval limit = {.tv_sec = SEND_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    free_slot->fd = fd;
}

static bool send_json(int fd, const json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    if (!text)
        return false;
    size_t len = strlen(text), at = 0;
    text[len++] = '\n'; /* in the place of the terminator */
    while (at < len) {
        ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    explicit_bzero(text, len);
    free(text);
    return at == len;
}

static json_t *error_json(int code, const char *text)
{
    return json_pack("{s:i, s:s}", "code", code, "message", text);
}

static json_t *answer(struct manager *m, const char *line, size_t len)
{
    json_error_t parse;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &parse), *id = NULL, *params = NULL;
    const char *method = NULL, *version = NULL;
    json_t *reply = json_pack("{s:s}", "jsonrpc", "2.0");
    struct outcome o = {0};
    if (!request || json_unpack(request, "{s:s, s:s, s?o, s?o}", "jsonrpc", &version, "method", &method,
                                "params", &params, "id", &id) != 0) {
        json_object_set_new(reply, "error", error_json(RPC_PARSE, "this is no JSON-RPC 2.0 request"));
    } else {
        json_t *result = manager_call(m, method, params, &o);
        if (result)
            json_object_set_new(reply, "result", result);
        else
            json_object_set_new(reply, "error",
                                error_json(o.code == OUTCOME_REFUSED ? RPC_REFUSED : RPC_FAILED, o.text));
    }
    if (id)
        json_object_set(reply, "id", id);
    else
        json_object_set_new(reply, "id", json_null());
    json_decref(request);
    return reply;
}

/* One read; then every complete line is a request. False: close it. */
static bool client_run(struct client *client, struct manager *m)
{
    if (client->len == client->cap) {
        size_t cap = client->cap ? 2 * client->cap : 4096;
        char *line = cap <= CONTROL_LINE_MAX ? realloc(client->line, cap) : NULL;
        if (!line)
            return false;
        client->line = line;
        client->cap = cap;
    }
    ssize_t n = recv(client->fd, client->line + client->len, client->cap - client->len, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    client->len += (size_t)n;
    char *end;
    while ((end = memchr(client->line, '\n', client->len)) != NULL) {
        size_t len = (size_t)(end - client->line);
        json_t *reply = answer(m, client->line, len);
        bool sent = send_json(client->fd, reply);
        json_decref(reply);
        if (!sent)
            return false;
        memmove(client->line, end + 1, client->len - len - 1);
        client->len -= len + 1;
    }
    return true;
}

void control_run(struct control *control, const struct pollfd *fds, unsigned count, struct manager *m)
{
    for (unsigned i = 0; i < count; i++) {
        if (!fds[i].revents)
            continue;
        if (fds[i].fd == control->fd) {
            accept_client(control);
            continue;
        }
        for (size_t k = 0; k < CONTROL_CLIENTS_MAX; k++) {
            struct client *client = &control->clients[k];
            if (client->fd == fds[i].fd && !client_run(client, m))
                client_close(client);
        }
    }
}

/* ---- the client ---- */

static char *receive_line(int fd, size_t *len)
{
    size_t cap = 0;
    char *line = NULL;
    *len = 0;
    for (;;) {
        if (*len == cap) {
            cap = cap ? 2 * cap : 65536;
            char *more = realloc(line, cap);
            if (!more)
                break;
            line = more;
        }
        ssize_t n = recv(fd, line + *len, cap - *len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        *len += (size_t)n;
        if (line[*len - 1] == '\n')
            return line;
    }
    free(line);
    return NULL;
}

static json_t *take_answer(const char *line, size_t len, struct outcome *o)
{
    json_error_t parse;
    json_t *reply = json_loadb(line, len, 0, &parse), *result = json_object_get(reply, "result");
    json_incref(result);
    if (!result) {
        const json_t *error = json_object_get(reply, "error");
        const char *text = json_string_value(json_object_get(error, "message"));
        if (json_integer_value(json_object_get(error, "code")) == RPC_REFUSED)
            outcome_refuse(o, "%s", text ? text : "the service refused without saying why");
        else
            outcome_fail(o, "%s", text ? text : "the service gave an answer that makes no sense");
    }
    json_decref(reply);
    return result;
}

json_t *control_request(const char *path, const char *method, const json_t *params, bool *reached,
                        struct outcome *o)
{
    struct sockaddr_un addr;
    *reached = false;
    if (!address(path, &addr, o))
        return NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        outcome_fail(o, "cannot reach the service at %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    *reached = true;
    struct timeval limit = {.tv_sec = REQUEST_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    json_t *request =
        json_pack("{s:s, s:i, s:s, s:O?}", "jsonrpc", "2.0", "id", 1, "method", method, "params", params);
    json_t *result = NULL;
    char *line = NULL;
    size_t len;
    if (!request || !send_json(fd, request) || !(line = receive_line(fd, &len)))
        outcome_fail(o, "the service at %s did not answer", path);
    else
        result = take_answer(line, len, o);
    free(line);
    json_decref(request);
    close(fd);
    return result;
}
