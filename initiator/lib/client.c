/* The client's life: keeps a session up, gets another one when it is lost, gives up when it must. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/iscsi/pdu.h"
#include "initiator/lib/client.h"

#define SECOND_NS 1000000000ull

void client_set_error(struct lnt_client *c, const char *text)
{
    snprintf(c->error, sizeof c->error, "%s", text);
}

bool client_quiet(const struct lnt_client *c)
{
    for (uint32_t i = 0; i < c->options.connections; i++)
        if (!connection_idle(&c->connections[i]))
            return false;
    return true;
}

/* ---- up ---- */

static void client_open_answer(struct lnt_client *c, int err)
{
    void (*done)(void *, int) = c->open_done;
    c->open_done = NULL;
    if (done)
        done(c->open_arg, err);
}

/* Further connections may come at once, or when the target has said where its portals are (at the latest in
 * two seconds: it need not answer that question). */
static void client_plan_further(struct lnt_client *c)
{
    bool asked = c->options.spread && c->options.connections > 1 && !c->discovery &&
                 ini_send_targets(c->session, "") == 0;
    c->portal_count = 0;
    for (uint32_t i = 1; i < c->options.connections; i++) {
        connection_retry_at_once(&c->connections[i]);
        c->connections[i].elsewhere = false;
        c->connections[i].next_try_ns = asked ? io_now(c->io) + 2 * SECOND_NS : 0;
    }
}

void client_session_up(struct lnt_client *c)
{
    bool again = c->was_up;
    c->state = LNT_UP;
    c->was_up = c->session_was_up = true;
    c->up_since_ns = io_now(c->io);
    c->counters.sessions++;
    c->error[0] = 0;
    redirect_logged_in(c);
    if (c->discovery) {
        c->text_err = ini_send_targets(c->session, "All");
        c->text_done = c->text_err != 0;
    }
    client_plan_further(c);
    if (again)
        client_tell(c, LNT_EVENT_RESTORED, -1, "there is a session with the target again");
    else
        client_open_answer(c, 0);
    queue_submit_waiting(c);
    client_post_flush(c);
}

/* ---- the end of a session, and the next one ---- */

void client_give_up(struct lnt_client *c, int err)
{
    redirect_stop(c);
    c->state = LNT_FAILED;
    queue_fail_waiting(c, err);
    c->text_done = true;
    c->text_err = err;
    client_open_answer(c, err);
}

/* The owner may free the client in its callback, so that comes from the posted flush, with nothing of ours on
 * the stack. */
static void client_closed(struct lnt_client *c)
{
    c->state = LNT_CLOSED;
    redirect_stop(c);
    io_timer_cancel(c->io, &c->timer);
    queue_fail_waiting(c, ERR_CLOSED);
    c->close_pending = true;
    client_post_flush(c);
}

static bool client_may_try_again(struct lnt_client *c)
{
    if (!c->was_up)
        return c->first_tries++ < LNT_FIRST_TRIES_MAX;
    return io_now(c->io) - c->lost_since_ns < c->options.replacement_timeout_ns;
}

void client_wait_or_give_up(struct lnt_client *c, int err)
{
    if (c->closing) {
        client_closed(c);
        return;
    }
    if (c->hop_pending) {
        c->hop_pending = false;
        client_connect(c);
        return;
    }
    if (c->resolve.busy) { /* where the redirect leads */
        c->state = LNT_RESOLVING;
        client_arm_timer(c);
        return;
    }
    uint64_t now = io_now(c->io);
    if (!c->lost_since_ns)
        c->lost_since_ns = now;
    if (!client_may_try_again(c)) {
        client_give_up(c, err);
        return;
    }
    c->backoff_ns = c->backoff_ns ? c->backoff_ns * 2 : LNT_BACKOFF_MIN_NS;
    if (c->backoff_ns > LNT_BACKOFF_MAX_NS)
        c->backoff_ns = LNT_BACKOFF_MAX_NS;
    c->state = LNT_WAITING;
    c->next_try_ns = now + (c->backoff_ns == LNT_BACKOFF_MIN_NS ? 0 : c->backoff_ns);
    if (c->next_try_ns < c->cut_ns + c->time2wait_ns)
        c->next_try_ns = c->cut_ns + c->time2wait_ns;
    c->time2wait_ns = 0;
    redirect_start(c);
    client_arm_timer(c);
}

static void client_add_up(uint64_t *sum, const uint64_t *more, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sum[i] += more[i];
}

static void client_count_transitions(struct lnt_counters *total, const struct ini_session *session)
{
    const struct ini_transitions *n = ini_transitions(session);
    struct ini_transitions *sum = &total->transitions;
    client_add_up(sum->conn, n->conn, INI_CONN_TRANSITIONS);
    client_add_up(sum->cleanup, n->cleanup, INI_CLEANUP_TRANSITIONS);
    client_add_up(sum->session, n->session, INI_SESSION_TRANSITIONS);
}

static void client_count_recovery(struct lnt_counters *total, const struct ini_session *session)
{
    const struct ini_counters *n = ini_counters(session);
    struct ini_counters *sum = &total->recovery;
    for (size_t i = 0; i < sizeof sum->snacks / sizeof *sum->snacks; i++)
        sum->snacks[i] += n->snacks[i];
    sum->retries += n->retries;
    sum->reassigns += n->reassigns;
    sum->recovered_connections += n->recovered_connections;
    sum->digest_errors += n->digest_errors;
    sum->recovery_r2ts += n->recovery_r2ts;
}

/* What the next attempt needs to know of the session that has ended. */
static void client_judge_session(struct lnt_client *c)
{
    if (!c->session_was_up)
        return;
    /* A login to a session with that name and ISID logs all its connections out, so the time to wait after a
     * cut that nobody announced counts here too: R7143-7.5.1-01. After a logout there is nothing to wait for.
     */
    if (c->logged_out)
        c->time2wait_ns = 0;
    else if (!c->has_time2wait)
        c->time2wait_ns = ini_params(c->session)->default_time2wait * SECOND_NS;
    /* A target that takes logins and then ends them all, commands and all, is no target: the time it has is
     * not given anew by another login. */
    if (c->progress || !c->lost || io_now(c->io) - c->up_since_ns >= LNT_PROVEN_NS) {
        c->lost_since_ns = 0;
        c->backoff_ns = 0;
    }
    if (!c->lost_since_ns)
        c->lost_since_ns = c->bare_since_ns; /* level 2: the session was of no use since then */
    client_tell(c, LNT_EVENT_LOST, -1, c->error[0] ? c->error : "the session has ended");
}

void client_session_over(struct lnt_client *c)
{
    c->state = LNT_BREAKING;
    for (uint32_t i = 0; i < c->options.connections; i++) {
        if (c->connections[i].connect_op.busy)
            io_cancel(c->io, &c->connections[i].connect_op);
        else
            connection_break(&c->connections[i]);
    }
    if (!client_quiet(c))
        return;
    int err = c->broken_err ? c->broken_err : ERR_CLOSED;
    struct ini_session *session = c->session;
    client_judge_session(c);
    client_count_recovery(&c->counters, session);
    redirect_session_over(c);
    client_count_transitions(&c->counters, session);
    c->session = NULL;
    ini_session_free(session);
    c->session_closed = c->session_was_up = c->logged_out = c->abandoned = false;
    c->progress = c->lost = c->has_time2wait = false;
    c->broken_err = 0;
    c->bare_since_ns = c->not_before_ns = c->starved_ns = c->linger_ns = 0;
    c->abort_sent_ns = 0;
    c->late_step = 0;
    /* Each new session begins with a unit attention: those of one cut after the other must not add up. */
    list_for_each(it, &c->waiting)
    {
        struct lnt_command *command = list_entry(it, struct lnt_command, node);
        command->attempts = 0;
        command->busy_until_ns = 0;
    }
    client_wait_or_give_up(c, err);
}

void client_abandon(struct lnt_client *c, int err, const char *why)
{
    if (!c->session || c->abandoned)
        return;
    c->abandoned = true;
    client_set_error(c, why);
    c->broken_err = err;
    ini_abandon(c->session, why);
    client_post_flush(c);
}

void client_connect_failed(struct lnt_client *c, int err, const char *what)
{
    client_set_error(c, what);
    redirect_unreachable(c);
    c->address_next = (c->address_next + 1) % c->address_count;
    if (!c->was_up && !c->closing) {
        if (c->address_next != 0) { /* the first time, every address gets its chance, once */
            client_connect(c);
            return;
        }
        c->first_tries = LNT_FIRST_TRIES_MAX;
    }
    client_wait_or_give_up(c, err);
}

void client_connect(struct lnt_client *c)
{
    c->state = LNT_CONNECTING;
    connection_connect(&c->connections[0], &c->addresses[c->address_next]);
}

/* ---- public ---- */

/* Limits that belong together. */
static void client_take_options(struct lnt_client *c, const struct lnt_options *options)
{
    c->options = *options;
    struct key_config *keys = &c->options.session.keys;
    uint32_t *n = &c->options.connections;
    *n = *n == 0 ? 1 : *n > LNT_CONNECTIONS_MAX ? LNT_CONNECTIONS_MAX : *n;
    keys->max_connections = *n;
    /* Who wants commands to fail at once does not want them to be kept for a connection to come. */
    uint64_t seconds = options->replacement_timeout_ns / SECOND_NS;
    if (options->replacement_timeout_ns == 0 && keys->error_recovery_level > 1)
        keys->error_recovery_level = 1;
    if (keys->default_time2retain > seconds)
        keys->default_time2retain = (uint32_t)seconds;
}

int lnt_client_new(const struct env *env, struct io *io, const struct lnt_url *url,
                   const struct lnt_options *options, struct lnt_client **out)
{
    if (options->session.isid[0] >> 6 == 3) /* R7143-11.12.5-01 */
        return ERR_INVALID;
    struct lnt_client *c = env_alloc(env, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    client_take_options(c, options);
    c->connections = env_alloc(env, c->options.connections * sizeof *c->connections);
    int err = c->connections ? pool_new(env, LNT_POOL_LIMIT, &c->pool) : ERR_NOMEM;
    if (err) {
        env_free(env, c->connections);
        env_free(env, c);
        return err;
    }
    for (uint32_t i = 0; i < c->options.connections; i++) {
        c->connections[i].client = c;
        c->connections[i].sock = IO_NONE;
    }
    c->env = env;
    c->io = io;
    c->url = *url;
    struct ini_options *session = &c->options.session;
    snprintf(session->target_name, sizeof session->target_name, "%s", url->target);
    if (url->user[0])
        snprintf(session->chap_name, sizeof session->chap_name, "%s", url->user);
    if (url->secret_len) {
        memcpy(session->chap_secret, url->secret, url->secret_len);
        session->chap_secret_len = url->secret_len;
    }
    c->ping_tag = c->tmf_tag = c->abort_tag = PDU_TAG_RESERVED;
    list_init(&c->waiting);
    list_init(&c->active);
    tx_pool_init(&c->tx_pool, env);
    *out = c;
    return 0;
}

void lnt_client_free(struct lnt_client *c)
{
    if (!c)
        return;
    assert(!c->session && !c->resolve.busy && list_empty(&c->waiting) && list_empty(&c->active) &&
           client_quiet(c));
    io_timer_cancel(c->io, &c->timer);
    assert(!c->flush_posted);
    tx_pool_fini(&c->tx_pool);
    pool_free(c->pool);
    const struct env *env = c->env;
    env_free(env, c->connections);
    volatile uint8_t *p = (volatile uint8_t *)c;
    for (size_t i = 0; i < sizeof *c; i++)
        p[i] = 0; /* secrets */
    env_free(env, c);
}

void lnt_client_open(struct lnt_client *c, void (*done)(void *arg, int err), void *arg)
{
    c->open_done = done;
    c->open_arg = arg;
    c->was_up = c->closing = c->hop_pending = false;
    c->first_tries = 0;
    c->hop_count = 0;
    c->address_next = 0;
    c->lost_since_ns = c->backoff_ns = c->time2wait_ns = 0;
    redirect_resolve(c);
}

void lnt_client_close(struct lnt_client *c, void (*done)(void *arg), void *arg)
{
    c->closing = true;
    c->close_done = done;
    c->close_arg = arg;
    switch (c->state) {
    case LNT_UP:
        if (c->bare_since_ns || ini_logout(c->session) != 0)
            client_abandon(c, ERR_CLOSED, "closed without a logout");
        client_post_flush(c);
        break;
    case LNT_LOGIN:
        connection_break(&c->connections[0]);
        break;
    case LNT_CONNECTING:
        io_cancel(c->io, &c->connections[0].connect_op);
        break;
    case LNT_BREAKING:
        break;
    case LNT_NEW:
    case LNT_RESOLVING:
    case LNT_WAITING:
    case LNT_FAILED:
    case LNT_CLOSED:
        client_closed(c);
        break;
    }
}

void lnt_client_set_event(struct lnt_client *c, void (*event)(void *arg, const struct lnt_event *event),
                          void *arg)
{
    c->event = event;
    c->event_arg = arg;
}

const char *lnt_client_error(const struct lnt_client *c)
{
    return c->error;
}

const struct key_params *lnt_client_params(const struct lnt_client *c)
{
    return c->session ? ini_params(c->session) : NULL;
}

uint64_t lnt_client_reconnects(const struct lnt_client *c)
{
    return c->counters.sessions > 1 ? c->counters.sessions - 1 : 0;
}

uint32_t lnt_client_connections(const struct lnt_client *c)
{
    return c->session ? ini_connections(c->session) : 0;
}

void lnt_client_counters(const struct lnt_client *c, struct lnt_counters *out)
{
    *out = c->counters;
    if (c->session)
        client_count_recovery(out, c->session);
}
