/* Many logins under way at once, each a state machine of its own (login.h), waited for together. */
#ifndef LUNETTE_BENCH_CROWD_H
#define LUNETTE_BENCH_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/login.h"
#include "bench/options.h"

#define CROWD_EVENTS 256
#define CROWD_NAP_MS 20

enum stage { /* of a place */ STAGE_FREE, STAGE_LOGIN, STAGE_LOGOUT };

struct place { /* one login under way */
    struct login login;
    enum stage stage;
    uint64_t started_ns;
    int registered; /* the socket that epoll knows; -1: none */
    short events;
};

struct crowd {
    const struct env *env;
    struct login_shop shop;
    struct place *places;
    uint32_t count;
    int epoll;
    uint32_t number; /* of the next session */
    uint64_t failed;
    char *problem;
    size_t problem_len;
};

/* `why` gets the words of an error here, and later those of the first login that fails. */
int crowd_init(struct crowd *c, const struct bench_options *o, char *why, size_t why_len);
void crowd_fini(struct crowd *c);
/* Begins a login in a free place; it may be over when this returns (crowd_over_at_once). */
void crowd_start(struct crowd *c, struct place *p);
bool crowd_over_at_once(const struct place *p);
/* Epoll is to tell the place of this socket's events. */
void crowd_watch(struct crowd *c, struct place *p, int fd, short events);
void crowd_failed(struct crowd *c, const char *why);

#endif
