/* --logins: sessions that come and go, counted by the second. */
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/crowd.h"
#include "bench/modes.h"
#include "bench/report.h"
#include "common/base/env.h"
#include "common/base/err.h"
#include "common/iscsi/digest.h"

#define LOGINS_ERRORS_MAX 100 /* logins that fail before it is given up */

struct logins {
    struct crowd crowd;
    struct login_result *result;
    bool measuring, stopping;
};

static void logout_send(struct logins *l, struct place *p)
{
    const struct login_ready *ready = &p->login.ready;
    uint8_t wire[PDU_BHS_LEN + PDU_DIGEST_LEN];
    struct pdu_logout_request pdu;
    size_t len = PDU_BHS_LEN;
    pdu_logout_request_init(&pdu);
    pdu.immediate = 1;
    pdu.itt = 1;
    pdu.cmd_sn = ready->cmd_sn;
    pdu.exp_stat_sn = ready->exp_stat_sn;
    pdu_logout_request_encode(&pdu, wire);
    if (ready->params.header_digest == KEY_DIGEST_CRC32C) {
        digest_put(wire + PDU_BHS_LEN, digest_crc32c(wire, PDU_BHS_LEN));
        len += PDU_DIGEST_LEN;
    }
    if (send(ready->fd, wire, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
        crowd_failed(&l->crowd, "a logout could not be sent");
    p->stage = STAGE_LOGOUT;
    crowd_watch(&l->crowd, p, ready->fd, POLLIN);
}

static void logins_next(struct logins *l, struct place *p)
{
    login_fini(&p->login);
    p->stage = STAGE_FREE;
    if (!l->stopping && l->crowd.failed < LOGINS_ERRORS_MAX)
        crowd_start(&l->crowd, p);
}

/* The answer is there: a session has come and gone. A reset instead of a close: ports must not run out. */
static void logins_done(struct logins *l, struct place *p)
{
    uint8_t answer[PDU_BHS_LEN + PDU_DIGEST_LEN];
    struct linger hard = {1, 0};
    ssize_t got = recv(p->login.ready.fd, answer, sizeof answer, MSG_DONTWAIT);
    if (got < (ssize_t)PDU_BHS_LEN || pdu_opcode(answer) != PDU_OP_logout_response)
        crowd_failed(&l->crowd, "a logout was not answered");
    else if (l->measuring) {
        l->result->logins++;
        histogram_add(&l->result->latency, env_now(l->crowd.env) - p->started_ns);
    }
    setsockopt(p->login.ready.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(p->login.ready.fd);
    logins_next(l, p);
}

static void logins_step(struct logins *l, struct place *p)
{
    switch (login_step(&p->login)) {
    case LOGIN_DONE:
        logout_send(l, p);
        break;
    case LOGIN_FAILED:
        crowd_failed(&l->crowd, p->login.why);
        logins_next(l, p);
        break;
    case LOGIN_CONNECTING:
    case LOGIN_SENDING:
    case LOGIN_READING:
        crowd_watch(&l->crowd, p, p->login.fd, login_events(&p->login));
    }
}

static void logins_turn(struct logins *l)
{
    struct epoll_event events[CROWD_EVENTS];
    for (uint32_t i = 0; i < l->crowd.count; i++)
        if (crowd_over_at_once(l->crowd.places + i))
            logins_step(l, l->crowd.places + i);
    int n = epoll_wait(l->crowd.epoll, events, CROWD_EVENTS, CROWD_NAP_MS);
    for (int i = 0; i < n; i++) {
        struct place *p = events[i].data.ptr;
        if (p->stage == STAGE_LOGIN)
            logins_step(l, p);
        else if (p->stage == STAGE_LOGOUT)
            logins_done(l, p);
    }
}

struct logins_mark {
    struct process_usage own, target;
    struct core_usage core;
};

static void logins_mark(const struct bench_options *o, struct logins_mark *m)
{
    memset(m, 0, sizeof *m);
    process_usage(0, &m->own);
    if (o->load.target_pid >= 0)
        process_usage(o->load.target_pid, &m->target);
    if (o->load.watch_cpu >= 0)
        core_usage(o->load.watch_cpu, &m->core);
}

static void logins_run(struct logins *l, const struct bench_options *o)
{
    struct login_result *r = l->result;
    struct logins_mark from, to;
    logins_mark(o, &from);
    uint64_t start = env_now(l->crowd.env);
    l->measuring = true;
    for (uint32_t i = 0; i < l->crowd.count; i++)
        crowd_start(&l->crowd, l->crowd.places + i);
    while (l->crowd.failed < LOGINS_ERRORS_MAX && env_now(l->crowd.env) - start < o->load.duration_ns &&
           (!o->load.commands || r->logins < o->load.commands))
        logins_turn(l);
    r->elapsed_ns = env_now(l->crowd.env) - start;
    logins_mark(o, &to);
    l->measuring = false;
    l->stopping = true;
    r->errors = l->crowd.failed;
    r->own = process_difference(&to.own, &from.own);
    r->has_target = o->load.target_pid >= 0 && to.target.threads;
    if (r->has_target)
        r->target = process_difference(&to.target, &from.target);
    r->watch_busy = o->load.watch_cpu >= 0 && to.core.all > from.core.all
                        ? (double)(to.core.busy - from.core.busy) / (double)(to.core.all - from.core.all)
                        : -1;
}

/* An engine's session is large and lives for a millisecond: the heap keeps its pages instead of asking the
 * kernel for zeroed ones each time. */
static void logins_heap(void)
{
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

int mode_logins(struct bench_options *o)
{
    logins_heap();
    struct login_result *result = calloc(1, sizeof *result);
    struct logins l = {.result = result};
    if (!result)
        return mode_told(err_text(ERR_NOMEM));
    o->client.connections = 1;
    int err = crowd_init(&l.crowd, o, result->first_problem, sizeof result->first_problem);
    if (!err)
        logins_run(&l, o);
    crowd_fini(&l.crowd);
    bool json_is_text = o->json && strcmp(o->json, "-") == 0, good = !err;
    if (!err && !json_is_text)
        report_logins_text(stdout, result);
    FILE *file = !err && o->json ? mode_open(o->json) : NULL;
    if (file)
        report_logins_json(file, o, result);
    good = good && (file ? mode_close(file, o->json) : !o->json);
    if (err || result->errors)
        good = mode_told(result->first_problem[0] ? result->first_problem : err_text(err)) == 0;
    free(result);
    return good ? 0 : 1;
}
