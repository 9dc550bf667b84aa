/* The client: keeps a session up, hands commands to it, re-issues what was lost, gives up when it must. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/iscsi/name.h"
#include "common/scsi/sense.h"
#include "initiator/lib/client.h"

enum { TMF_ABORT_TASK = 1, TMF_LUN_RESET = 5 }; /* RFC 7143 11.5.1 */

/* ---- commands ---- */

static void command_done(struct lnt_command *command, int error)
{
    command->error = error;
    command->done(command);
}

static void client_submit_waiting(struct lnt_client *c)
{
    if (c->retry_at_ns && io_now(c->io) < c->retry_at_ns)
        return;
    c->retry_at_ns = 0;
    while (c->state == LNT_UP && !list_empty(&c->waiting)) {
        struct lnt_command *command = list_first(&c->waiting, struct lnt_command, node);
        list_remove(&command->node);
        command->scsi.owner = command;
        /* Time counts from each submission to a target: what a cut takes is the replacement time-out's
         * business. */
        command->deadline_ns =
            c->options.command_timeout_ns ? io_now(c->io) + c->options.command_timeout_ns : UINT64_MAX;
        int err = ini_submit(c->session, &command->scsi);
        if (err == ERR_CLOSED) { /* the session is on its way down: the next one takes it */
            list_push_front(&c->waiting, &command->node);
            break;
        }
        if (err) {
            command_done(command, err);
            continue;
        }
        list_push_back(&c->active, &command->node);
    }
    client_want_flush(c);
}

void lnt_client_submit(struct lnt_client *c, struct lnt_command *command)
{
    list_init(&command->node);
    list_init(&command->scsi.node);
    command->attempts = 0;
    command->error = 0;
    command->timed_out = false;
    command->deadline_ns = UINT64_MAX;
    list_push_back(&c->waiting, &command->node);
    if (c->state == LNT_UP)
        client_submit_waiting(c);
    else if (c->state == LNT_FAILED || c->state == LNT_CLOSED)
        client_post_flush(c); /* the answer comes from there: submitting never calls done before it returns */
    client_arm_timer(c);
}

/* Does this status ask for the same command again? Only for commands whose repetition is harmless. */
static bool command_goes_again(struct lnt_client *c, struct lnt_command *command)
{
    const struct ini_command *scsi = &command->scsi;
    if (!command->repeatable || command->timed_out || command->attempts >= LNT_ATTEMPTS_MAX)
        return false;
    if (scsi->status == SCSI_STATUS_BUSY || scsi->status == SCSI_STATUS_TASK_SET_FULL) {
        c->retry_at_ns = io_now(c->io) + LNT_BUSY_DELAY_NS;
        return true;
    }
    if (scsi->status == SCSI_STATUS_TASK_ABORTED)
        return true;
    struct scsi_sense sense;
    return scsi->status == SCSI_STATUS_CHECK_CONDITION && sense_parse(scsi->sense, scsi->sense_len, &sense) &&
           (sense.key == SENSE_UNIT_ATTENTION ||
            (sense.key == SENSE_ABORTED_COMMAND &&
             command->attempts < 8)); /* e.g. a digest error on the way */
}

static void client_command_ended(struct lnt_client *c, struct lnt_command *command)
{
    list_remove(&command->node);
    switch (command->scsi.outcome) {
    case INI_DONE_STATUS:
        if (command->scsi.response != 0) {
            command_done(command, ERR_PROTOCOL);
        } else if (command_goes_again(c, command)) {
            command->attempts++;
            list_push_back(&c->waiting, &command->node);
        } else {
            command_done(command, 0);
        }
        break;
    case INI_DONE_ABORTED:
        /* A LOGICAL UNIT RESET takes others along with the late one: those go again. */
        if (!command->timed_out && command->repeatable)
            list_push_back(&c->waiting, &command->node);
        else
            command_done(command, command->timed_out ? ERR_TIMEOUT : ERR_CANCELLED);
        break;
    case INI_DONE_LOST:
        if (command->timed_out)
            command_done(command, ERR_TIMEOUT);
        else if (command->repeatable && c->options.replacement_timeout_ns)
            list_push_back(&c->waiting, &command->node); /* whether it ran is unknown: run it (again) */
        else
            command_done(command, ERR_CLOSED);
        break;
    }
}

void client_fail_waiting(struct lnt_client *c, int error)
{
    struct list_node *node;
    while ((node = list_pop_front(&c->waiting)))
        command_done(list_entry(node, struct lnt_command, node), error);
}

/* ---- session events ---- */

static void client_open_answer(struct lnt_client *c, int err)
{
    void (*done)(void *, int) = c->open_done;
    c->open_done = NULL;
    if (done)
        done(c->open_arg, err);
}

static void client_logged_in(struct lnt_client *c)
{
    bool again = c->was_up;
    c->state = LNT_UP;
    c->reconnects += again;
    c->was_up = true;
    c->lost_since_ns = 0;
    c->backoff_ns = 0;
    c->time2wait_ns = 0;
    c->error[0] = 0;
    if (c->discovery) {
        c->text_err = ini_send_targets(c->session, "All");
        c->text_done = c->text_err != 0;
    }
    if (!again)
        client_open_answer(c, 0);
    client_submit_waiting(c);
}

/* A refusal that waiting will not mend. */
static bool client_refusal_is_final(const struct ini_event *event)
{
    return event->status_class == 2 || (event->status_class == 0 && event->status_detail == 1);
}

static void client_give_up(struct lnt_client *c, int err)
{
    c->state = LNT_FAILED;
    client_fail_waiting(c, err);
    c->text_done = c->ping_done = true;
    c->text_err = err;
    client_open_answer(c, err);
}

/* tgt chooses 7 (SHA-256) and computes SHA-1 (its numbers are off by one), so nobody can log in with it. MD5
 * was on offer anyway: trying again with MD5 alone gives nothing away that the target could not have chosen
 * by itself. */
static bool client_tries_md5(struct lnt_client *c, const struct ini_event *event)
{
    if (c->was_up || c->options.session.chap_algs.count || event->status_class != 2 ||
        event->chap_alg <= CHAP_MD5)
        return false;
    c->options.session.chap_algs = (struct chap_algs){1, {CHAP_MD5}};
    return true;
}

static void client_login_failed(struct lnt_client *c, const struct ini_event *event)
{
    client_set_error(c, event->reason);
    if (client_tries_md5(c, event))
        return;
    if (!c->was_up && !c->transport_broken)
        c->first_tries = LNT_FIRST_TRIES_MAX; /* refused, not cut: no second try */
    if (client_refusal_is_final(event) && !c->was_up)
        c->broken_err = ERR_AUTH;
}

/* "host:port,tag" becomes where we connect next. */
static void client_redirected(struct lnt_client *c, const char *text)
{
    struct name_address to;
    char host[NAME_ADDRESS_HOST_CAP + 16];
    if (++c->redirects > c->options.redirects_max) {
        client_set_error(c, "the target redirects us too often");
        c->first_tries = LNT_FIRST_TRIES_MAX;
        return;
    }
    if (!name_address_parse(text, strlen(text), &to)) {
        client_set_error(c, "the target redirects us to an address that is none");
        c->first_tries = LNT_FIRST_TRIES_MAX;
        return;
    }
    snprintf(host, sizeof host, to.ipv6 ? "[%s]:%u" : "%s:%u", to.host, to.port);
    int count = addr_resolve(host, NAME_PORT_DEFAULT, c->addresses, LNT_ADDRESSES_MAX);
    if (count > 0) {
        c->address_count = count;
        c->address_next = 0;
        c->next_try_ns = io_now(c->io);
    }
}

void client_events(struct lnt_client *c)
{
    struct ini_event event;
    while (c->session && ini_next_event(c->session, &event)) {
        switch (event.kind) {
        case INI_EVENT_LOGGED_IN:
            client_logged_in(c);
            break;
        case INI_EVENT_LOGIN_FAILED:
            client_login_failed(c, &event);
            break;
        case INI_EVENT_REDIRECTED:
            client_redirected(c, event.reason);
            break;
        case INI_EVENT_COMMAND_DONE:
            client_command_ended(c, event.command->owner);
            break;
        case INI_EVENT_TEXT_DONE:
            client_take_targets(c, event.text, event.text_len);
            c->text_done = true;
            break;
        case INI_EVENT_PING_DONE:
            c->ping_done = true;
            c->ping_ns = event.value_ns;
            break;
        case INI_EVENT_TMF_DONE:
            c->abort_sent_ns = 0; /* if the late command is still there, the next tick goes further */
            break;
        case INI_EVENT_CLOSED:
            if (c->was_up && event.reason && event.reason[0] && !c->closing)
                client_set_error(c, event.reason);
            client_session_over(c);
            break;
        case INI_EVENT_ASYNC:
            /* Drops of the connection (2) and of the session (3) say when to come back: R7143-11.9.1-08 */
            if (event.async_event == 2 || event.async_event == 3)
                c->time2wait_ns = event.parameter[1] * 1000000000ull;
            break;
        case INI_EVENT_LOGGED_OUT:
            break; /* what follows from it reaches us as CLOSED */
        }
    }
    if (c->state == LNT_UP && !c->retry_at_ns && !list_empty(&c->waiting))
        client_submit_waiting(c);
}

/* ---- the end of a session, and the next one ---- */

/* The owner may free the client in its callback, so that comes from the posted flush, with nothing of ours on
 * the stack. */
static void client_closed(struct lnt_client *c)
{
    c->state = LNT_CLOSED;
    io_timer_cancel(c->io, &c->timer);
    client_fail_waiting(c, ERR_CLOSED);
    c->close_pending = true;
    client_post_flush(c);
}

static bool client_may_try_again(struct lnt_client *c)
{
    if (!c->was_up)
        return c->first_tries++ < LNT_FIRST_TRIES_MAX;
    return io_now(c->io) - c->lost_since_ns < c->options.replacement_timeout_ns;
}

static void client_wait_or_give_up(struct lnt_client *c, int err)
{
    if (c->closing) {
        client_closed(c);
        return;
    }
    if (!c->lost_since_ns)
        c->lost_since_ns = io_now(c->io);
    if (!client_may_try_again(c)) {
        client_give_up(c, err);
        return;
    }
    c->backoff_ns = c->backoff_ns ? c->backoff_ns * 2 : LNT_BACKOFF_MIN_NS;
    if (c->backoff_ns > LNT_BACKOFF_MAX_NS)
        c->backoff_ns = LNT_BACKOFF_MAX_NS;
    c->state = LNT_WAITING;
    uint64_t wait = c->backoff_ns == LNT_BACKOFF_MIN_NS ? 0 : c->backoff_ns;
    c->next_try_ns = io_now(c->io) + (wait < c->time2wait_ns ? c->time2wait_ns : wait);
    c->time2wait_ns = 0;
    client_arm_timer(c);
}

/* The session has said CLOSED. Operations may still be out: then this comes again when they have ended. */
void client_session_over(struct lnt_client *c)
{
    client_break(c);
    c->state = LNT_BREAKING;
    if (c->recv_op.busy || c->send_op.busy || ini_outstanding(c->session))
        return;
    int err = c->broken_err ? c->broken_err : ERR_CLOSED;
    struct ini_session *session = c->session;
    c->session = NULL;
    ini_session_free(session);
    io_close(c->io, c->sock);
    c->sock = IO_NONE;
    c->abort_sent_ns = 0;
    c->late_step = 0;
    client_wait_or_give_up(c, err);
}

void client_connect_failed(struct lnt_client *c, int err, const char *what)
{
    client_set_error(c, what);
    c->sock = IO_NONE;
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

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t client_deadline(const struct lnt_client *c)
{
    uint64_t deadline = UINT64_MAX;
    if (c->state == LNT_CONNECTING && c->options.connect_timeout_ns)
        deadline = c->attempt_started_ns + c->options.connect_timeout_ns;
    if (c->state == LNT_WAITING)
        deadline = c->next_try_ns;
    if (c->session && (c->state == LNT_LOGIN || c->state == LNT_UP))
        deadline = earlier(deadline, ini_deadline(c->session));
    if (c->state == LNT_UP && c->retry_at_ns)
        deadline = earlier(deadline, c->retry_at_ns);
    if (c->abort_sent_ns)
        deadline = earlier(deadline, c->abort_sent_ns + LNT_ABORT_WAIT_NS);
    else if (!list_empty(&c->active)) /* all have the same time-out, so the first ends first */
        deadline = earlier(deadline, list_first(&c->active, struct lnt_command, node)->deadline_ns);
    return deadline;
}

static void client_timer(struct io_timer *timer)
{
    client_tick(container_of(timer, struct lnt_client, timer));
}

/* Only ever moved forward: a deadline that has become later is found out when the timer fires. */
void client_arm_timer(struct lnt_client *c)
{
    uint64_t deadline = client_deadline(c);
    if (deadline == UINT64_MAX || (c->timer.armed && c->timer.deadline_ns <= deadline))
        return;
    c->timer.fire = client_timer;
    io_timer_arm(c->io, &c->timer, deadline);
}

/* The oldest command is late: abort it, then reset its logical unit; when it is still there after both, the
 * connection goes. Each step has the answer to the one before, or waited long enough for it. */
static void client_check_late(struct lnt_client *c, uint64_t now)
{
    struct lnt_command *late = list_first(&c->active, struct lnt_command, node);
    uint32_t tag;
    if (!late || now < late->deadline_ns) {
        c->late_step = 0;
        c->abort_sent_ns = 0;
        return;
    }
    if (c->abort_sent_ns && now < c->abort_sent_ns + LNT_ABORT_WAIT_NS)
        return;
    late->timed_out = true;
    c->late_step++;
    int err = ERR_TIMEOUT;
    if (c->late_step == 1)
        err = ini_task_management(c->session, TMF_ABORT_TASK, late->scsi.lun, &late->scsi, &tag);
    else if (c->late_step == 2)
        err = ini_task_management(c->session, TMF_LUN_RESET, late->scsi.lun, NULL, &tag);
    if (err) {
        client_set_error(c, "the target answers neither a command nor its abort");
        c->broken_err = ERR_TIMEOUT;
        client_break(c);
        return;
    }
    c->abort_sent_ns = now;
    client_want_flush(c);
}

void client_tick(struct lnt_client *c)
{
    uint64_t now = io_now(c->io);
    if (c->state == LNT_WAITING && now >= c->next_try_ns) {
        client_connect(c);
    } else if (c->state == LNT_CONNECTING && c->options.connect_timeout_ns &&
               now >= c->attempt_started_ns + c->options.connect_timeout_ns) {
        io_cancel(c->io, &c->connect_op);
    } else if (c->session && (c->state == LNT_LOGIN || c->state == LNT_UP)) {
        ini_tick(c->session);
        if (ini_wants_close(c->session)) {
            client_break(c);
        } else {
            if (c->state == LNT_UP) {
                client_check_late(c, now);
                if (c->retry_at_ns && now >= c->retry_at_ns)
                    client_submit_waiting(c);
            }
            client_want_flush(c);
        }
    }
    client_arm_timer(c);
}

/* ---- public ---- */

int lnt_client_new(const struct env *env, struct io *io, const struct lnt_url *url,
                   const struct lnt_options *options, struct lnt_client **out)
{
    struct lnt_client *c = env_alloc(env, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    int err = pool_new(env, LNT_POOL_LIMIT, &c->pool);
    if (err) {
        env_free(env, c);
        return err;
    }
    c->env = env;
    c->io = io;
    c->url = *url;
    c->options = *options;
    c->sock = IO_NONE;
    struct ini_options *session = &c->options.session;
    snprintf(session->target_name, sizeof session->target_name, "%s", url->target);
    if (url->user[0])
        snprintf(session->chap_name, sizeof session->chap_name, "%s", url->user);
    if (url->secret_len) {
        memcpy(session->chap_secret, url->secret, url->secret_len);
        session->chap_secret_len = url->secret_len;
    }
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
    assert(!c->session && list_empty(&c->waiting) && list_empty(&c->active) && !c->connect_op.busy);
    io_timer_cancel(c->io, &c->timer);
    assert(!c->flush_posted);
    tx_pool_fini(&c->tx_pool);
    pool_free(c->pool);
    volatile uint8_t *p = (volatile uint8_t *)c;
    const struct env *env = c->env;
    for (size_t i = 0; i < sizeof *c; i++)
        p[i] = 0; /* secrets */
    env_free(env, c);
}

void lnt_client_open(struct lnt_client *c, void (*done)(void *arg, int err), void *arg)
{
    c->open_done = done;
    c->open_arg = arg;
    c->was_up = c->closing = false;
    c->first_tries = c->redirects = 0;
    c->lost_since_ns = c->backoff_ns = 0;
    int count = addr_resolve(c->url.portal, NAME_PORT_DEFAULT, c->addresses, LNT_ADDRESSES_MAX);
    if (count <= 0) {
        char text[LNT_ERROR_MAX];
        snprintf(text, sizeof text, "cannot find the host of %s: %s", c->url.portal,
                 err_text(count ? count : ERR_NOTFOUND));
        client_set_error(c, text);
        client_give_up(c, count ? count : ERR_NOTFOUND);
        return;
    }
    c->address_count = count;
    c->address_next = 0;
    client_connect(c);
}

void lnt_client_close(struct lnt_client *c, void (*done)(void *arg), void *arg)
{
    c->closing = true;
    c->close_done = done;
    c->close_arg = arg;
    switch (c->state) {
    case LNT_UP:
        if (ini_logout(c->session) != 0)
            client_break(c);
        client_want_flush(c);
        break;
    case LNT_LOGIN:
        client_break(c);
        break;
    case LNT_CONNECTING:
        io_cancel(c->io, &c->connect_op);
        break;
    case LNT_BREAKING:
        break;
    case LNT_NEW:
    case LNT_WAITING:
    case LNT_FAILED:
    case LNT_CLOSED:
        client_closed(c);
        break;
    }
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
    return c->reconnects;
}
