/* The beginning and the end of a run: memory, logins, logouts. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/lean.h"
#include "common/base/err.h"
#include "common/iscsi/digest.h"
#include "common/scsi/lun.h"

static int lean_conn_init(struct lean *lean, struct lean_session *s, struct lean_conn *conn)
{
    const struct login_ready *ready = &s->login.ready;
    uint32_t jobs = 64;
    while (jobs < s->slot_count * 4)
        jobs *= 2;
    conn->session = s;
    conn->fd = ready->fd;
    conn->header_digest = ready->params.header_digest == KEY_DIGEST_CRC32C;
    conn->data_digest = ready->params.data_digest == KEY_DIGEST_CRC32C;
    conn->segment_max = ready->params.peer_max_recv_data_segment_length & ~511u;
    conn->exp_stat_sn = ready->exp_stat_sn;
    conn->job_mask = jobs - 1;
    conn->jobs = env_alloc(lean->env, jobs * sizeof *conn->jobs);
    if (!conn->jobs)
        return ERR_NOMEM;
    struct timeval nap = {0, LEAN_NAP_NS / 1000};
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &nap, sizeof nap);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    return epoll_ctl(lean->epoll, EPOLL_CTL_ADD, conn->fd, &event) ? ERR_IO : 0;
}

static int lean_login(struct lean *lean, struct lean_session *s, struct login_shop *shop, uint32_t number)
{
    const struct lnt_options *client = shop->options;
    uint32_t wanted = client->connections ? client->connections : 1;
    int err = login_start(&s->login, shop, number);
    for (uint32_t i = 0; i < wanted && !err; i++) {
        if (i)
            err = login_further(&s->login);
        if (!err)
            err = login_wait(&s->login, client->session.login_timeout_ns);
        if (err)
            break;
        if (!i) {
            const struct login_ready *ready = &s->login.ready;
            uint32_t granted = ready->params.max_connections;
            wanted = granted < wanted ? granted : wanted;
            s->cmd_sn = ready->cmd_sn;
            s->max_cmd_sn = ready->max_cmd_sn;
            s->immediate_data = ready->params.immediate_data;
            s->initial_r2t = ready->params.initial_r2t;
            s->first_burst = ready->params.first_burst_length & ~511u;
            s->max_burst = ready->params.max_burst_length;
            lean->result->params = ready->params;
        }
        err = lean_conn_init(lean, s, s->conns + s->conn_count);
        s->conn_count++;
    }
    if (err)
        snprintf(lean->why, lean->why_len, "%s", s->login.why[0] ? s->login.why : err_text(err));
    lean->conn_count += s->conn_count;
    return err;
}

static int lean_slots(struct lean *lean, struct lean_session *s)
{
    const struct lean_options *o = lean->options;
    s->slot_count = o->depth;
    s->slots = env_alloc(lean->env, o->depth * sizeof *s->slots);
    s->idle = env_alloc(lean->env, o->depth * sizeof *s->idle);
    s->waiting = env_alloc(lean->env, o->depth * sizeof *s->waiting);
    if (!s->slots || !s->idle || !s->waiting)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < o->depth; i++) {
        s->slots[i].itt = i;
        s->idle[s->idle_count++] = o->depth - 1 - i;
        if (o->verify && !(s->slots[i].buffer = env_alloc(lean->env, pattern_size_largest(&o->pattern))))
            return ERR_NOMEM;
    }
    return 0;
}

static int lean_session_init(struct lean *lean, struct lean_session *s, struct login_shop *shop,
                             const struct lnt_disk *disk, uint32_t index)
{
    const struct lean_options *o = lean->options;
    uint32_t number = o->part * o->sessions + index, connections = shop->options->connections;
    uint32_t align = pattern_size_largest(&o->pattern);
    uint64_t lun_bytes = disk->blocks * disk->block_size, share = lun_bytes / o->parts,
             first = o->part * share;
    /* Whoever must know what is there, or goes in order, has a region of its own. */
    if (o->verify || !o->pattern.random) {
        share /= o->sessions;
        first = number * share;
    }
    uint64_t past = first + share;
    first = (first + align - 1) / align * align;
    s->lean = lean;
    s->writer = number + 1;
    s->conns = env_alloc(lean->env, (connections ? connections : 1) * sizeof *s->conns);
    int err = s->conns ? pattern_init(&s->pattern, lean->env, &o->pattern, lean->block_size, first,
                                      past > first ? past - first : 0, o->depth, o->verify, number)
                       : ERR_NOMEM;
    if (err == ERR_RANGE)
        snprintf(lean->why, lean->why_len,
                 "the LUN of %" PRIu64 " bytes is too small for that many sessions, depth and size",
                 lun_bytes);
    if (!err)
        err = lean_slots(lean, s);
    return err ? err : lean_login(lean, s, shop, number);
}

/* One logout ends the session; its answer is waited for, but not for long. */
static void lean_logout(struct lean_session *s)
{
    struct lean_conn *conn = s->conns;
    uint8_t wire[PDU_BHS_LEN + PDU_DIGEST_LEN];
    struct pdu_logout_request pdu;
    pdu_logout_request_init(&pdu);
    pdu.immediate = 1;
    pdu.itt = 0x7ffffff0u;
    pdu.cmd_sn = s->cmd_sn;
    pdu.exp_stat_sn = conn->exp_stat_sn;
    pdu_logout_request_encode(&pdu, wire);
    digest_put(wire + PDU_BHS_LEN, digest_crc32c(wire, PDU_BHS_LEN));
    struct pollfd answer = {conn->fd, POLLIN, 0};
    size_t len = conn->header_digest ? sizeof wire : PDU_BHS_LEN;
    if (send(conn->fd, wire, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
        poll(&answer, 1, 1000);
}

static void lean_session_fini(struct lean *lean, struct lean_session *s)
{
    if (s->conn_count && !s->in_flight && !lean->broken)
        lean_logout(s);
    for (uint32_t i = 0; i < s->conn_count; i++) {
        close(s->conns[i].fd);
        env_free(lean->env, s->conns[i].jobs);
    }
    for (uint32_t i = 0; s->slots && i < s->slot_count; i++)
        env_free(lean->env, s->slots[i].buffer);
    pattern_fini(&s->pattern, lean->env);
    login_fini(&s->login);
    env_free(lean->env, s->conns);
    env_free(lean->env, s->slots);
    env_free(lean->env, s->idle);
    env_free(lean->env, s->waiting);
}

static int lean_memory(struct lean *lean, const struct lnt_options *client)
{
    const struct lean_options *o = lean->options;
    uint32_t most = pattern_size_largest(&o->pattern), per_session = client->connections;
    lean->sessions = env_alloc(lean->env, o->sessions * sizeof *lean->sessions);
    lean->flush = env_alloc(lean->env, o->sessions * (per_session ? per_session : 1) * sizeof *lean->flush);
    lean->recv_buffer = env_alloc(lean->env, LEAN_RECV_LEN);
    lean->data = env_alloc(lean->env, most);
    lean->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!lean->sessions || !lean->flush || !lean->recv_buffer || !lean->data || lean->epoll < 0)
        return ERR_NOMEM;
    uint64_t value = o->pattern.seed | 1;
    for (uint32_t at = 0; at < most; at += 8) { /* not zeros: a store might be clever about them */
        value = value * 6364136223846793005u + 1442695040888963407u;
        memcpy(lean->data + at, &value, 8);
    }
    return 0;
}

static int lean_check_sizes(struct lean *lean)
{
    const struct pattern_options *p = &lean->options->pattern;
    for (uint32_t i = 0; i < p->sizes; i++)
        if (p->size[i].len % lean->block_size) {
            snprintf(lean->why, lean->why_len, "the size %u is not a multiple of the LUN's block size %u",
                     p->size[i].len, lean->block_size);
            return ERR_INVALID;
        }
    return 0;
}

static void lean_describe(const struct lnt_disk *disk, struct lean_result *r)
{
    r->lun_bytes = disk->blocks * disk->block_size;
    r->block_size = disk->block_size;
    snprintf(r->product, sizeof r->product, "%s %s %s", disk->vendor, disk->product, disk->revision);
}

int lean_run(const struct env *env, struct login_shop *shop, const struct lnt_disk *disk,
             const struct lean_options *options, struct lean_result *result, char *why, size_t why_len)
{
    struct lean lean = {.env = env,
                        .options = options,
                        .result = result,
                        .lun = lun_encode((uint16_t)options->lun),
                        .block_size = disk->block_size,
                        .epoll = -1,
                        .why = why,
                        .why_len = why_len};
    memset(result, 0, sizeof *result);
    lean_describe(disk, result);
    if (options->rate)
        lean.interval_ns = LEAN_SECOND_NS / options->rate ? LEAN_SECOND_NS / options->rate : 1;
    prctl(PR_SET_TIMERSLACK, 1UL); /* a sleep of 20 us is not one of 70 */
    int err = lean_memory(&lean, shop->options);
    if (!err)
        err = lean_check_sizes(&lean);
    for (uint32_t i = 0; i < options->sessions && !err; i++)
        err = lean_session_init(&lean, lean.sessions + i, shop, disk, i);
    result->connections = lean.conn_count;
    if (!err)
        lean_loop(&lean);
    for (uint32_t i = 0; lean.sessions && i < options->sessions; i++)
        lean_session_fini(&lean, lean.sessions + i);
    if (lean.epoll >= 0)
        close(lean.epoll);
    env_free(env, lean.sessions);
    env_free(env, lean.flush);
    env_free(env, lean.recv_buffer);
    env_free(env, lean.data);
    if (err && !why[0])
        snprintf(why, why_len, "%s", err_text(err));
    return err ? err : lean.broken ? ERR_PROTOCOL : 0;
}
