#include "bench/crowd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/base/env.h"
#include "common/base/err.h"

void crowd_watch(struct crowd *c, struct place *p, int fd, short events)
{
    struct epoll_event event = {.events = events & POLLOUT ? EPOLLOUT : EPOLLIN, .data.ptr = p};
    if (p->registered == fd && p->events == events)
        return;
    /* A login that starts anew (a redirect) has another socket; the old one left epoll when it was closed. */
    if (epoll_ctl(c->epoll, p->registered == fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) &&
        errno == EEXIST)
        epoll_ctl(c->epoll, EPOLL_CTL_MOD, fd, &event);
    p->registered = fd;
    p->events = events;
}

void crowd_failed(struct crowd *c, const char *why)
{
    if (!c->failed++)
        snprintf(c->problem, c->problem_len, "%s", why);
}

int crowd_init(struct crowd *c, const struct bench_options *o, char *why, size_t why_len)
{
    *c = (struct crowd){.env = env_host(), .count = o->parallel, .problem = why, .problem_len = why_len};
    int err = login_shop_init(&c->shop, c->env, &o->url, &o->client, why, why_len);
    if (err)
        return err;
    c->places = env_alloc(c->env, c->count * sizeof *c->places);
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    return c->places && c->epoll >= 0 ? 0 : ERR_NOMEM;
}

void crowd_fini(struct crowd *c)
{
    for (uint32_t i = 0; c->places && i < c->count; i++) {
        if (c->places[i].stage == STAGE_LOGOUT)
            close(c->places[i].login.ready.fd);
        if (c->places[i].stage != STAGE_FREE)
            login_fini(&c->places[i].login);
    }
    env_free(c->env, c->places);
    if (c->epoll >= 0)
        close(c->epoll);
    login_shop_fini(&c->shop);
}

void crowd_start(struct crowd *c, struct place *p)
{
    p->started_ns = env_now(c->env);
    p->registered = -1;
    p->stage = STAGE_LOGIN;
    if (login_start(&p->login, &c->shop, ++c->number) == 0 && login_step(&p->login) < LOGIN_DONE)
        crowd_watch(c, p, p->login.fd, login_events(&p->login));
}

/* It ended, well or not, within crowd_start: no event will tell. */
bool crowd_over_at_once(const struct place *p)
{
    return p->stage == STAGE_LOGIN && p->login.state >= LOGIN_DONE;
}
