/* Connection recovery, level 2 (RFC 7143 7.1.4.3, 7.2.2, 8.2). A failed connection leaves a `struct
 * ini_cleanup` with its commands. Its CID is logged out, by a Logout Request on a connection that lives or by
 * a new connection that takes the CID over; then its commands get a new allegiance: what the target has by
 * TASK REASSIGN, what it never received by being sent again with its old number. The session ends when nobody
 * can do that in time. */
#include <stdio.h>

#include "common/base/err.h"
#include "initiator/iscsi/internal.h"

enum { TMF_TASK_REASSIGN = 8, TMF_STILL_ALLEGIANT = 3, TMF_REJECTED = 255 }; /* 11.5.1, 11.6.1 */

static void want_connection(struct ini_session *s, uint64_t when)
{
    ini_event_add(s, INI_EVENT_CONN_WANTED)->value_ns = when;
}

static struct ini_cleanup *cleanup_new(struct ini_session *s)
{
    for (uint32_t i = 0; i < INI_CONNECTIONS_MAX; i++)
        if (!s->cleanups[i].used)
            return &s->cleanups[i];
    return NULL;
}

static struct ini_cleanup *cleanup_by_cid(struct ini_session *s, uint16_t cid)
{
    for (uint32_t i = 0; i < INI_CONNECTIONS_MAX; i++)
        if (s->cleanups[i].used && s->cleanups[i].cid == cid && !s->cleanups[i].logged_out)
            return &s->cleanups[i];
    return NULL;
}

static bool conn_has_cid(const struct ini_session *s, uint16_t cid)
{
    list_for_each(node, &s->conns)
    {
        const struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        if (!conn->over && conn->cid == cid)
            return true;
    }
    return false;
}

static void cleanup_free(struct ini_session *s, struct ini_cleanup *r)
{
    r->used = false;
    s->cleanups_used--;
}

static void cleanup_commands_lost(struct ini_session *s, struct ini_cleanup *r)
{
    list_for_each_safe(node, &r->commands)
        ini_command_end(s, list_entry(node, struct ini_command, node), INI_DONE_LOST);
}

void ini_recovery_lost(struct ini_session *s)
{
    for (uint32_t i = 0; s->cleanups_used && i < INI_CONNECTIONS_MAX; i++)
        if (s->cleanups[i].used)
            cleanup_commands_lost(s, &s->cleanups[i]);
}

/* ---- failure ---- */

/* Its commands lose their allegiance but keep everything else. */
static void cleanup_take_commands(struct ini_cleanup *r, struct ini_conn *conn)
{
    list_for_each_safe(node, &conn->inflight)
    {
        struct ini_command *c = list_entry(node, struct ini_command, node);
        ini_command_allege(c, NULL);
        list_push_back(&r->commands, &c->node);
    }
}

void ini_recovery_begin(struct ini_conn *conn)
{
    struct ini_session *s = conn->s;
    struct ini_cleanup *r = cleanup_new(s);
    uint64_t wait = conn->times_given ? conn->time2wait : s->params.default_time2wait;
    uint64_t retain = conn->times_given ? conn->time2retain : s->params.default_time2retain;
    if (!r) {
        ini_fail(s, "too many connections have failed");
        return;
    }
    ini_conn_move(conn, INI_S8_CLEANUP_WAIT); /* T15, T16, T17 */
    *r = (struct ini_cleanup){.used = true, .state = INI_R1_CLEANUP_WAIT, .cid = conn->cid};
    r->exp_stat_sn = conn->exp_stat_sn;
    r->conn = conn;
    conn->cleanup = r;
    r->wait_ns = env_now(s->env) + wait * INI_SECOND; /* R7143-7.5-01, R7143-7.5.1-01, R7143-7.5.2-01 */
    r->retain_ns = r->wait_ns + retain * INI_SECOND;
    list_init(&r->commands);
    s->cleanups_used++;
    cleanup_take_commands(r, conn);
    if (ini_connections(s) == 0 && s->state == INI_Q3_LOGGED_IN)
        ini_session_move(s, INI_Q4_FAILED); /* N5: R7143-8.3.4-02 */
    ini_conn_over(conn);
    want_connection(s, r->wait_ns);
}

/* ---- logout, explicit or implicit ---- */

static void cleanup_done(struct ini_session *s, struct ini_cleanup *r, uint64_t wait_ns)
{
    ini_cleanup_move(s, r, INI_R3_FREE); /* M4: R7143-8.2-02, R7143-8.2-03 */
    r->logged_out = true;
    r->reassign_ns = env_now(s->env) + wait_ns;
    s->counters.recovered_connections++;
}

static void cleanup_failed(struct ini_session *s, struct ini_cleanup *r, uint64_t wait_ns)
{
    ini_cleanup_move(s, r, INI_R1_CLEANUP_WAIT); /* M3: R7143-8.2.2-02 */
    r->tries++;
    r->wait_ns = env_now(s->env) + wait_ns;
}

struct ini_cleanup *ini_recovery_cid(struct ini_session *s)
{
    struct ini_cleanup *best = NULL;
    for (uint32_t i = 0; s->cleanups_used && i < INI_CONNECTIONS_MAX; i++) {
        struct ini_cleanup *r = &s->cleanups[i];
        if (r->used && r->state == INI_R1_CLEANUP_WAIT && (!best || r->wait_ns < best->wait_ns))
            best = r;
    }
    return best;
}

void ini_recovery_login_begin(struct ini_conn *conn)
{
    ini_cleanup_move(conn->s, conn->reinstates, INI_R2_IN_CLEANUP); /* M2 */
    conn->reinstates->by = conn;
}

void ini_recovery_login_end(struct ini_conn *conn, bool up)
{
    struct ini_session *s = conn->s;
    struct ini_cleanup *r = conn->reinstates;
    if (s->over)
        return;
    if (up) {
        cleanup_done(s, r, 0);
    } else {
        cleanup_failed(s, r, INI_SECOND);
        want_connection(s, r->wait_ns);
    }
}

/* Time2Retain is over, or the target knows nothing of it any more: M1. */
static void cleanup_give_up(struct ini_session *s, struct ini_cleanup *r)
{
    ini_cleanup_move(s, r, INI_R3_FREE); /* R7143-8.2.2-01 */
    cleanup_commands_lost(s, r);
    cleanup_free(s, r);
    if (ini_connections(s) == 0)
        ini_fail(s, "the session could not be continued in time"); /* N6: R7143-8.3.4-03, R7143-7.5-02 */
}

void ini_recovery_logout(struct ini_session *s, struct ini_cleanup *r, uint8_t response, uint16_t time2wait,
                         uint16_t time2retain)
{
    uint64_t wait_ns = time2wait * INI_SECOND;
    if (response == 0) { /* R7143-11.15.3-01, R7143-11.15.4-01 */
        cleanup_done(s, r, wait_ns);
        r->retain_ns = r->reassign_ns + time2retain * INI_SECOND;
        r->discarded = time2retain == 0; /* the tasks are gone already */
    } else if (response == 1) {
        ini_cleanup_move(s, r, INI_R1_CLEANUP_WAIT); /* M3 */
        cleanup_give_up(s, r);                       /* the target has forgotten it all */
    } else if (response == INI_REPLY_LOST) {
        cleanup_failed(s, r, 0);
    } else {
        cleanup_failed(s, r, wait_ns ? wait_ns : INI_SECOND);
        r->retain_ns = r->wait_ns + time2retain * INI_SECOND;
    }
}

static void logout_try(struct ini_session *s, struct ini_cleanup *r)
{
    struct ini_conn *conn = ini_conn_pick(s);
    if (!conn)
        return;                                /* a new one is wanted: R7143-8.2-01 */
    ini_cleanup_move(s, r, INI_R2_IN_CLEANUP); /* M2 */
    r->by = conn;
    r->logout_by_ns = env_now(s->env) + INI_LOGOUT_WAIT_NS;
    if (!ini_logout_send(conn, 2, r)) /* no task tag to be had */
        cleanup_failed(s, r, INI_SECOND);
}

void ini_connect_failed(struct ini_session *s)
{
    s->transitions.conn[0]++; /* T1, T2: the connection never came to be an object of ours */
    s->transitions.conn[1]++;
    struct ini_cleanup *r = s->over ? NULL : ini_recovery_cid(s);
    uint64_t soon = env_now(s->env) + INI_SECOND;
    if (r)
        want_connection(s, soon > r->wait_ns ? soon : r->wait_ns);
}

/* ---- new allegiance ---- */

/* R7143-11.5.6-01: what was not in sequence is dropped, the rest is acknowledged by ExpDataSN. */
static void command_rewind(struct ini_command *c, struct ini_conn *conn)
{
    c->in_done -= c->ahead_len;
    /* Of which cut the rest was, nobody knows: only what is acknowledged is sure. */
    if (c->snack_tag && c->in_len) {
        c->exp_data_sn = c->acked_sn;
        c->in_done = c->acked_len;
    }
    c->data_ahead = c->ahead_len = 0;
    c->need_data_sn = c->acked_sn = c->exp_data_sn;
    c->acked_len = c->in_done;
    c->snack_ns = 0;
    c->snack_tag = 0; /* R7143-7.2.2-12 */
    c->ack_due = c->snack_refused = false;
    c->tries = 0;
    c->continue_ns = 0;
    c->recovered = true;
    c->resync = true;
    c->max_recv_epoch = conn->max_recv_epoch;
}

static bool reassign_send(struct ini_conn *conn, const struct ini_cleanup *r, struct ini_command *c)
{
    struct ini_session *s = conn->s;
    uint32_t itt = ini_slot_take(s, INI_SLOT_REASSIGN);
    if (itt == PDU_TAG_RESERVED)
        return false;
    struct pdu_task_management_request pdu;
    uint8_t bhs[PDU_BHS_LEN];
    ini_slot_find(s, itt)->conn = conn;
    ini_slot_find(s, itt)->referenced_itt = c->itt;
    ini_slot_find(s, itt)->cid = r->cid;
    ini_slot_find(s, itt)->exp_stat_sn = r->exp_stat_sn;
    command_rewind(c, conn);
    ini_command_allege(c, conn);
    pdu_task_management_request_init(&pdu);
    pdu.immediate = 1; /* R7143-11.5.1-25 */
    pdu.function = TMF_TASK_REASSIGN;
    pdu.itt = itt;
    pdu.referenced_task_tag = c->itt; /* R7143-11.5.4-01 */
    pdu.cmd_sn = s->cmd_sn;
    pdu.exp_stat_sn = conn->exp_stat_sn;
    pdu.exp_data_sn = c->in_len ? c->exp_data_sn : 0; /* R7143-11.5.6-04 */
    pdu_task_management_request_encode(&pdu, bhs);
    ini_queue_pdu(conn, bhs, NULL, NULL);
    return true;
}

/* The target holds that the failed connection still has the command: it is logged out (once more), then the
 * command is reassigned (7.2.2). Not when a connection of ours has that CID by now: that would be the wrong
 * one to end. */
static bool reassign_after_logout(struct ini_conn *conn, struct ini_command *c, uint16_t cid,
                                  uint32_t exp_stat_sn)
{
    struct ini_session *s = conn->s;
    struct ini_cleanup *r = cleanup_by_cid(s, cid);
    if (++c->reassigns > INI_REASSIGNS_MAX || conn_has_cid(s, cid) || (!r && !(r = cleanup_new(s))))
        return false;
    if (!r->used) {
        *r = (struct ini_cleanup){.used = true, .state = INI_R1_CLEANUP_WAIT, .cid = cid};
        r->exp_stat_sn = exp_stat_sn;
        r->wait_ns = env_now(s->env);
        r->retain_ns = r->wait_ns + s->params.default_time2retain * INI_SECOND;
        list_init(&r->commands);
        s->cleanups_used++;
    }
    ini_command_allege(c, NULL);
    list_push_back(&r->commands, &c->node);
    return true;
}

void ini_reassign_pdu(struct ini_conn *conn, uint32_t itt, uint8_t response)
{
    struct ini_session *s = conn->s;
    struct ini_slot *slot = ini_slot_find(s, itt);
    struct ini_command *c = ini_command_find(conn, slot->referenced_itt);
    uint16_t cid = slot->cid;
    uint32_t exp_stat_sn = slot->exp_stat_sn;
    ini_slot_release(s, itt);
    if (!c)
        return;
    if (response == TMF_STILL_ALLEGIANT && reassign_after_logout(conn, c, cid, exp_stat_sn))
        return;
    if (response == 0) {
        c->reassigns = 0;
        ini_tmf_waiting(s, c);
    }
    if (response == 0 || response == TMF_REJECTED) {
        /* Linux' LIO confuses the codes: it rejects what it reassigns, and calls complete what it does not
         * have, of which nothing comes any more. So neither is believed for ever. */
        s->counters.reassigns += response == 0;
        c->doubtful = response != 0;
        c->continue_ns = env_now(s->env) + (c->doubtful ? INI_DOUBT_NS : INI_CONTINUE_NS);
        s->doubt_ns = min_u64(s->doubt_ns, c->continue_ns);
    } else { /* it did get there, and is there no more: what became of it is unknown */
        ini_command_end(s, c, INI_DONE_LOST);
    }
}

/* False when the session cannot be trusted with this command any more. */
static bool command_went_on(struct ini_session *s, struct ini_command *c, uint64_t now)
{
    if (!c->continue_ns)
        return true;
    if (now >= c->continue_ns && !c->doubtful)
        return false;
    if (now >= c->continue_ns)
        ini_command_end(s, c, INI_DONE_LOST);
    else
        s->doubt_ns = min_u64(s->doubt_ns, c->continue_ns);
    return true;
}

void ini_recovery_doubts(struct ini_session *s, uint64_t now)
{
    if (now < s->doubt_ns)
        return;
    s->doubt_ns = UINT64_MAX;
    list_for_each_safe(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        list_for_each_safe(at, &conn->inflight)
        {
            if (!command_went_on(s, list_entry(at, struct ini_command, node), now)) {
                ini_fail(s, "the target does not go on with a task that it has reassigned");
                return;
            }
        }
    }
}

/* The target dropped it at the logout, if it ever had it: R7143-7.2.1-05, R7143-11.14-07. */
static bool command_unknown_to_target(const struct ini_session *s, const struct ini_command *c)
{
    return !c->immediate && sn_ge(c->cmd_sn, s->exp_cmd_sn);
}

/* False when it has to wait where it is: for a connection, or for a task tag. */
static bool command_continue(struct ini_session *s, struct ini_cleanup *r, struct ini_command *c)
{
    struct ini_conn *conn = ini_conn_pick(s);
    if (!conn)
        return false;
    if (command_unknown_to_target(s, c)) {
        c->exp_data_sn = 0;
        c->in_done = 0;
        command_rewind(c, conn);
        c->resync = false;
        ini_command_retry(conn, c); /* with its old CmdSN: this closes the gap */
        if (!conn->over)
            ini_tmf_waiting(s, c);
        return true;
    }
    if (c->immediate || r->discarded) { /* immediate commands end with their connection (7.14) */
        ini_command_end(s, c, INI_DONE_LOST);
        return true;
    }
    return reassign_send(conn, r, c); /* R7143-11.5.1-22 */
}

static void cleanup_continue(struct ini_session *s, struct ini_cleanup *r, uint64_t now)
{
    if (now < r->reassign_ns)
        return;
    if (now > r->retain_ns)
        r->discarded = true;
    while (!list_empty(&r->commands) &&
           command_continue(s, r, list_first(&r->commands, struct ini_command, node)))
        ;
    if (list_empty(&r->commands))
        cleanup_free(s, r);
    else if (now > r->retain_ns && ini_connections(s) == 0)
        ini_fail(s, "the session could not be continued in time");
}

/* ---- all of it ---- */

static void cleanup_run(struct ini_session *s, struct ini_cleanup *r, uint64_t now)
{
    if (r->conn)
        return; /* buffers of its commands may be in use */
    if (r->logged_out) {
        cleanup_continue(s, r, now);
    } else if (r->state == INI_R2_IN_CLEANUP) {
        if (r->by->state != INI_S4_IN_LOGIN && now >= r->logout_by_ns)
            ini_conn_fail(r->by,
                          "the target does not answer the logout of a failed connection"); /* M3 follows */
    } else if (now > r->retain_ns || (r->tries > INI_TRIES_MAX && now >= r->wait_ns)) {
        cleanup_give_up(s, r);
    } else if (now >= r->wait_ns) {
        logout_try(s, r);
    }
}

void ini_recovery_run(struct ini_session *s)
{
    uint64_t now = env_now(s->env);
    for (uint32_t i = 0; i < INI_CONNECTIONS_MAX && !s->over; i++)
        if (s->cleanups[i].used)
            cleanup_run(s, &s->cleanups[i], now);
}

/* Its commands could not go on in time and only wait for a connection to end on: no time brings that. Without
 * any connection the session ends instead. */
static bool cleanup_stranded(const struct ini_session *s, const struct ini_cleanup *r, uint64_t now)
{
    return r->logged_out && now > r->retain_ns && ini_connections(s) > 0 && !ini_conn_pick(s);
}

uint64_t ini_recovery_deadline(const struct ini_session *s)
{
    uint64_t due = s->doubt_ns, now = env_now(s->env);
    for (uint32_t i = 0; s->cleanups_used && i < INI_CONNECTIONS_MAX; i++) {
        const struct ini_cleanup *r = &s->cleanups[i];
        if (!r->used || r->conn)
            continue;
        uint64_t at = r->logged_out ? r->reassign_ns : r->wait_ns;
        if (r->state == INI_R2_IN_CLEANUP)
            at = r->by->state == INI_S4_IN_LOGIN ? UINT64_MAX : r->logout_by_ns;
        else if (at <= now) /* it waits for a connection or a task tag */
            at = cleanup_stranded(s, r, now) ? UINT64_MAX : r->retain_ns + 1;
        due = min_u64(due, at);
    }
    return due;
}
