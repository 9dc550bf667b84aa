/* The control socket: JSON-RPC 2.0, one message per line, answered by the manager. POSIX. */
#ifndef LUNETTE_SERVICE_CONTROL_H
#define LUNETTE_SERVICE_CONTROL_H

#include <poll.h>
#include <stdbool.h>

#include "target/service/manager.h"

#define CONTROL_CLIENTS_MAX 32u
#define CONTROL_LINE_MAX    (1024u * 1024u) /* bytes of one message */

struct control;

/* Listens on the path with mode 0600; a socket that a dead service left behind is replaced. */
bool control_open(const char *path, struct control **out, struct outcome *o);
void control_close(struct control *control); /* removes the socket; NULL is fine */
/* Descriptors to poll: fills at most 1 + CONTROL_CLIENTS_MAX entries; returns how many. */
unsigned control_poll(const struct control *control, struct pollfd *fds);
/* Works on what poll found in the same array. Requests are carried out one after another. */
void control_run(struct control *control, const struct pollfd *fds, unsigned count, struct manager *m);

/* The client's side: sends one request over the socket and waits for the answer. *reached is false when
 * nobody listens there. Result: new reference, or NULL with an outcome. */
json_t *control_request(const char *path, const char *method, const json_t *params, bool *reached,
                        struct outcome *o);

#endif
