/* --idle: sessions that do nothing, to see what that costs the target. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/crowd.h"
#include "bench/modes.h"
#include "bench/report.h"
#include "common/base/env.h"
#include "common/base/err.h"
#include "common/iscsi/digest.h"

struct idler { /* an open session; it answers pings and nothing else */
    int fd;
    uint32_t exp_stat_sn, cmd_sn;
    uint32_t have;
    bool header_digest;
    uint8_t bhs[PDU_BHS_LEN + PDU_DIGEST_LEN];
};

struct idle {
    struct crowd crowd;
    struct idler *idlers;
    struct idle_result *result;
    uint64_t wanted;
};

static void idle_keep(struct idle *w, struct place *p)
{
    const struct login_ready *ready = &p->login.ready;
    struct idler *idler = w->idlers + w->result->opened;
    *idler = (struct idler){.fd = ready->fd,
                            .exp_stat_sn = ready->exp_stat_sn,
                            .cmd_sn = ready->cmd_sn,
                            .header_digest = ready->params.header_digest == KEY_DIGEST_CRC32C};
    w->result->opened++;
    epoll_ctl(w->crowd.epoll, EPOLL_CTL_DEL, ready->fd, NULL);
    login_fini(&p->login);
    p->stage = STAGE_FREE;
}

/* How many logins may still be started. */
static uint64_t idle_missing(const struct idle *w)
{
    uint64_t under_way = 0;
    for (uint32_t i = 0; i < w->crowd.count; i++)
        under_way += w->crowd.places[i].stage != STAGE_FREE;
    return w->wanted - w->result->opened - under_way;
}

static void idle_open_step(struct idle *w, struct place *p)
{
    switch (login_step(&p->login)) {
    case LOGIN_DONE:
        idle_keep(w, p);
        break;
    case LOGIN_FAILED:
        crowd_failed(&w->crowd, p->login.why);
        login_fini(&p->login);
        p->stage = STAGE_FREE;
        break;
    case LOGIN_CONNECTING:
    case LOGIN_SENDING:
    case LOGIN_READING:
        crowd_watch(&w->crowd, p, p->login.fd, login_events(&p->login));
    }
}

static void idle_open(struct idle *w)
{
    struct epoll_event events[CROWD_EVENTS];
    while (w->result->opened < w->wanted && w->crowd.failed == 0) {
        uint64_t missing = idle_missing(w);
        for (uint32_t i = 0; i < w->crowd.count; i++) {
            struct place *p = w->crowd.places + i;
            if (p->stage == STAGE_FREE && missing) {
                missing--;
                crowd_start(&w->crowd, p);
            }
            if (crowd_over_at_once(p))
                idle_open_step(w, p);
        }
        int n = epoll_wait(w->crowd.epoll, events, CROWD_EVENTS, CROWD_NAP_MS);
        for (int i = 0; i < n; i++)
            idle_open_step(w, events[i].data.ptr);
    }
}

static void idle_pong(struct idle *w, struct idler *idler)
{
    struct pdu_nop_in ping;
    struct pdu_nop_out pong;
    uint8_t wire[PDU_BHS_LEN + PDU_DIGEST_LEN];
    pdu_nop_in_decode(idler->bhs, &ping);
    if (ping.ttt == PDU_TAG_RESERVED)
        return;
    pdu_nop_out_init(&pong);
    pong.immediate = 1;
    pong.final = 1;
    pong.lun = ping.lun;
    pong.itt = PDU_TAG_RESERVED;
    pong.ttt = ping.ttt;
    pong.cmd_sn = idler->cmd_sn;
    pong.exp_stat_sn = idler->exp_stat_sn;
    pdu_nop_out_encode(&pong, wire);
    digest_put(wire + PDU_BHS_LEN, digest_crc32c(wire, PDU_BHS_LEN));
    send(idler->fd, wire, idler->header_digest ? sizeof wire : PDU_BHS_LEN, MSG_NOSIGNAL | MSG_DONTWAIT);
    w->result->pings++;
}

/* Pings have no data segment; whatever else an idle session is told, it is over for us. */
static void idle_input(struct idle *w, struct idler *idler)
{
    uint32_t need = PDU_BHS_LEN + (idler->header_digest ? PDU_DIGEST_LEN : 0);
    ssize_t got = recv(idler->fd, idler->bhs + idler->have, need - idler->have, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    idler->have += got > 0 ? (uint32_t)got : 0;
    if (got > 0 && idler->have < need)
        return;
    if (got > 0 && pdu_opcode(idler->bhs) == PDU_OP_nop_in && pdu_data_len(idler->bhs) == 0) {
        idler->have = 0;
        idle_pong(w, idler);
        return;
    }
    w->result->lost++;
    close(idler->fd);
    idler->fd = -1;
}

static void idle_hold(struct idle *w, uint64_t hold_ns)
{
    struct epoll_event events[CROWD_EVENTS];
    uint64_t start = env_now(w->crowd.env);
    for (uint64_t i = 0; i < w->result->opened; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = w->idlers + i};
        epoll_ctl(w->crowd.epoll, EPOLL_CTL_ADD, w->idlers[i].fd, &event);
    }
    while (env_now(w->crowd.env) - start < hold_ns) {
        int n = epoll_wait(w->crowd.epoll, events, CROWD_EVENTS, CROWD_NAP_MS);
        for (int i = 0; i < n; i++)
            idle_input(w, events[i].data.ptr);
    }
    w->result->held_ns = env_now(w->crowd.env) - start;
}

static void idle_target(const struct bench_options *o, struct process_usage *usage)
{
    if (o->load.target_pid >= 0)
        process_usage(o->load.target_pid, usage);
}

static void idle_run(struct idle *w, const struct bench_options *o)
{
    struct idle_result *r = w->result;
    struct process_usage before = {0}, opened = {0}, held = {0};
    idle_target(o, &before);
    uint64_t start = env_now(w->crowd.env);
    idle_open(w);
    r->open_ns = env_now(w->crowd.env) - start;
    idle_target(o, &opened);
    fprintf(stderr, "lunette-bench: %llu idle sessions are open\n", (unsigned long long)r->opened);
    idle_hold(w, o->hold_ns);
    idle_target(o, &held);
    r->has_target = held.threads > 0;
    r->rss_before = before.rss;
    r->rss_after = held.rss;
    r->target = process_difference(&held, &opened);
}

int mode_idle(struct bench_options *o)
{
    struct idle_result result = {0};
    struct idle w = {.result = &result, .wanted = o->idle};
    struct rlimit files;
    char why[320] = "";
    o->client.connections = 1;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < o->idle + 64) {
        files.rlim_cur = files.rlim_max < o->idle + 64 ? files.rlim_max : o->idle + 64;
        setrlimit(RLIMIT_NOFILE, &files);
        if (files.rlim_cur < o->idle + 64)
            return mode_told("there are not that many file descriptors: raise the limit (ulimit -n)");
    }
    int err = crowd_init(&w.crowd, o, why, sizeof why);
    w.idlers = calloc(o->idle, sizeof *w.idlers);
    if (!err && w.idlers)
        idle_run(&w, o);
    for (uint64_t i = 0; w.idlers && i < result.opened; i++)
        if (w.idlers[i].fd >= 0)
            close(w.idlers[i].fd);
    free(w.idlers);
    crowd_fini(&w.crowd);
    bool json_is_text = o->json && strcmp(o->json, "-") == 0, good = !err && !why[0] && !result.lost;
    if (!err && !json_is_text)
        report_idle_text(stdout, &result);
    FILE *file = !err && o->json ? mode_open(o->json) : NULL;
    if (file)
        report_idle_json(file, o, &result);
    good = (file ? mode_close(file, o->json) : !o->json) && good;
    if (err || why[0])
        mode_told(why[0] ? why : err_text(err));
    return good ? 0 : 1;
}
