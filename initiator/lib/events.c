/* What the engine reports, what follows from it, and what the user hears. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/scsi/lun.h"
#include "common/scsi/sense.h"
#include "initiator/lib/client.h"

#define SECOND_NS 1000000000ull

enum { ASYNC_SCSI, ASYNC_LOGOUT, ASYNC_DROP_CONNECTION, ASYNC_DROP_SESSION, ASYNC_NEGOTIATE }; /* 11.9.1 */

/* ---- to the user ---- */

void client_tell(struct lnt_client *c, enum lnt_event_kind kind, int32_t lun, const char *text)
{
    struct lnt_event event = {kind, lun, text};
    if (c->event && !c->closing)
        c->event(c->event_arg, &event);
}

void client_tell_sense(struct lnt_client *c, uint64_t lun, const uint8_t *data, size_t len, bool async)
{
    struct scsi_sense sense;
    char text[256];
    uint16_t number = 0;
    bool well_known;
    if (!c->event || !sense_parse(data, len, &sense) || (!async && sense.key != SENSE_UNIT_ATTENTION))
        return;
    enum lnt_event_kind kind = LNT_EVENT_SENSE;
    uint32_t code = (uint32_t)(sense.asc << 8 | sense.ascq);
    if (code == ASC_LUNS_CHANGED)
        kind = LNT_EVENT_LUNS_CHANGED;
    else if (code == ASC_CAPACITY_CHANGED)
        kind = LNT_EVENT_CAPACITY_CHANGED;
    else if (!async) /* resets, new nexuses: the command that met it goes again or tells */
        return;
    sense_describe(&sense, text, sizeof text);
    client_tell(c, kind, lun_decode(lun, &number, &well_known) && !well_known ? number : -1, text);
}

/* ---- login ---- */

static void event_logged_in(struct lnt_client *c, struct lnt_connection *conn)
{
    conn->logged_in = true;
    conn->up_since_ns = io_now(c->io);
    conn->hops = 0;
    if (!c->session_was_up) {
        client_session_up(c);
        return;
    }
    if (c->bare_since_ns) { /* level 2: the session has a connection again */
        c->bare_since_ns = 0;
        queue_time_starts_anew(c);
    }
    client_tell(c, LNT_EVENT_CONNECTION_UP, -1, "a further connection is up");
    queue_submit_waiting(c);
}

/* A refusal that waiting will not mend. */
static bool event_refusal_is_final(const struct ini_event *event)
{
    return event->status_class == 2 || (event->status_class == 0 && event->status_detail == 1);
}

/* tgt chooses 7 (SHA-256) and computes SHA-1 (its numbers are off by one), so nobody can log in with it. MD5
 * was on offer anyway: trying again with MD5 alone gives nothing away that the target could not have chosen
 * by itself. */
static bool event_tries_md5(struct lnt_client *c, const struct ini_event *event)
{
    if (c->was_up || c->options.session.chap_algs.count || event->status_class != 2 ||
        event->chap_alg <= CHAP_MD5)
        return false;
    c->options.session.chap_algs = (struct chap_algs){1, {CHAP_MD5}};
    return true;
}

static void event_leading_refused(struct lnt_client *c, struct lnt_connection *conn,
                                  const struct ini_event *event)
{
    client_set_error(c, event->reason);
    if (event_tries_md5(c, event))
        return;
    if (!c->was_up && !conn->transport_broken)
        c->first_tries = LNT_FIRST_TRIES_MAX; /* refused, not cut: no second try */
    if (event_refusal_is_final(event) && !c->was_up)
        c->broken_err = ERR_AUTH;
}

/* A further connection, or one that should have taken a lost one's place. */
static void event_further_refused(struct lnt_client *c, struct lnt_connection *conn,
                                  const struct ini_event *event)
{
    if (!event_refusal_is_final(event))
        return;
    if (c->bare_since_ns) /* e.g. the target no longer knows the session: a new one does what this cannot */
        client_abandon(c, ERR_CLOSED, event->reason);
    else
        conn->failures = LNT_FURTHER_TRIES_MAX; /* e.g. too many connections */
}

static void event_redirected(struct lnt_client *c, struct lnt_connection *conn, const struct ini_event *event)
{
    c->counters.redirects++;
    if (!c->session_was_up) {
        if (redirect_follow(c, event->reason, event->status_detail == 2))
            client_tell(c, LNT_EVENT_REDIRECTED, -1, event->reason);
        else
            c->first_tries = LNT_FIRST_TRIES_MAX;
    } else if (!redirect_follow_one(conn, event->reason)) {
        conn->failures = LNT_FURTHER_TRIES_MAX;
    }
}

/* ---- asynchronous messages ---- */

static void event_async(struct lnt_client *c, const struct ini_event *event)
{
    char text[128];
    switch (event->async_event) {
    case ASYNC_SCSI: /* sense data behind its length (11.9.4) */
        if (event->text_len >= 2) {
            uint32_t len = be16_get(event->text);
            uint32_t most = event->text_len - 2;
            client_tell_sense(c, event->lun, event->text + 2, len < most ? len : most, true);
        }
        break;
    case ASYNC_LOGOUT: /* the engine logs out; the next session follows by itself */
        client_tell(c, LNT_EVENT_LOGOUT_REQUESTED, -1, "the target asks us to log out");
        break;
    case ASYNC_DROP_CONNECTION:
    case ASYNC_DROP_SESSION:
        /* They say when to come back: R7143-11.9.1-08. For one connection of several that is the engine's
         * matter. */
        c->time2wait_ns = event->parameter[1] * SECOND_NS;
        c->has_time2wait = true;
        snprintf(text, sizeof text, "the target drops %s, to be back in %u s at the earliest",
                 event->async_event == ASYNC_DROP_SESSION ? "the session" : "a connection",
                 event->parameter[1]);
        client_tell(c, LNT_EVENT_DROPPED, -1, text);
        break;
    case ASYNC_NEGOTIATE:
        client_tell(c, LNT_EVENT_NEGOTIATE, -1, "the target asks for a negotiation of parameters");
        break;
    default: /* vendor's events: nothing that we could know how to answer */
        break;
    }
}

/* ---- the end of a connection ---- */

/* Level 2: the session lives without any connection. All places try, also those that were given up. */
static void client_bare(struct lnt_client *c)
{
    c->bare_since_ns = io_now(c->io);
    for (uint32_t i = 0; i < c->options.connections; i++)
        connection_retry_at_once(&c->connections[i]);
}

/* The engine has let go of it. Its operations have ended, or else their ends release it (connection_settle).
 */
static void event_connection_closed(struct lnt_client *c, struct lnt_connection *conn)
{
    conn->ended = true;
    if (conn->logged_in) {
        c->counters.connections_lost += !c->logged_out && !c->closing;
        c->cut_ns = io_now(c->io);
        if (!c->bare_since_ns && ini_connections(c->session) == 0)
            client_bare(c);
        client_tell(c, LNT_EVENT_CONNECTION_LOST, -1, "a connection of the session has ended");
    }
    connection_break(conn);
    connection_settle(conn);
}

static void event_text(struct lnt_client *c, const struct ini_event *event)
{
    if (c->discovery && event->response != 0) {
        client_set_error(c, "the target refuses to list its targets");
        c->text_err = ERR_UNSUPPORTED;
        c->text_done = true;
    } else if (c->discovery) {
        client_take_targets(c, event->text, event->text_len);
        c->text_done = true;
    } else {
        redirect_take_portals(c, event->text, event->text_len);
    }
}

static void event_handle(struct lnt_client *c, const struct ini_event *event)
{
    struct lnt_connection *conn = event->conn ? ini_conn_host(event->conn) : NULL;
    switch (event->kind) {
    case INI_EVENT_LOGGED_IN:
        event_logged_in(c, conn);
        break;
    case INI_EVENT_LOGIN_FAILED:
        if (c->session_was_up)
            event_further_refused(c, conn, event);
        else
            event_leading_refused(c, conn, event);
        break;
    case INI_EVENT_REDIRECTED:
        event_redirected(c, conn, event);
        break;
    case INI_EVENT_COMMAND_DONE:
        queue_command_ended(c, event->command->owner);
        break;
    case INI_EVENT_TEXT_DONE:
        event_text(c, event);
        break;
    case INI_EVENT_PING_DONE:
        if (event->tag == c->ping_tag) {
            c->ping_done = true;
            c->ping_response = event->response;
            c->ping_ns = event->value_ns;
        }
        break;
    case INI_EVENT_TMF_DONE:
        if (c->abort_sent_ns && event->tag == c->abort_tag)
            c->abort_sent_ns = 0; /* if the late command is still there, the next tick goes further */
        if (event->tag == c->tmf_tag) {
            c->tmf_done = true;
            c->tmf_response = event->response;
        }
        break;
    case INI_EVENT_ASYNC:
        event_async(c, event);
        break;
    case INI_EVENT_LOGGED_OUT:
        /* Of the session, or of one connection alone; what follows reaches us as CONN_CLOSED and CLOSED. */
        c->logged_out = !ini_is_up(c->session);
        break;
    case INI_EVENT_CONN_WANTED:
        c->not_before_ns = event->value_ns;
        c->logged_out = c->has_time2wait = false; /* it was about a connection, and the session lives on */
        client_post_flush(c);
        break;
    case INI_EVENT_CONN_CLOSED:
        event_connection_closed(c, conn);
        break;
    case INI_EVENT_CLOSED:
        if (c->was_up && event->reason && event->reason[0] && !c->closing)
            client_set_error(c, event->reason);
        c->session_closed = true;
        client_session_over(c);
        break;
    }
}

void client_events(struct lnt_client *c)
{
    struct ini_event event;
    while (c->session && ini_next_event(c->session, &event))
        event_handle(c, &event);
    if (c->state == LNT_UP && !c->retry_at_ns && !list_empty(&c->waiting))
        queue_submit_waiting(c);
}
