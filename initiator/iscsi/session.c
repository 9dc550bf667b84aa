/* Session: its life and end, task tags, the command window, events, time. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mutant.h"
#include "initiator/iscsi/internal.h"

/* ---- life ---- */

static void ini_wipe(void *ptr, size_t len)
{
    volatile uint8_t *p = ptr;
    while (len--)
        *p++ = 0;
}

static void ini_slots_init(struct ini_session *s)
{
    for (uint32_t i = 0; i < INI_SLOTS; i++)
        s->slots[i].next_free = (uint16_t)(i + 1);
    s->first_free = 0;
}

int ini_session_new(const struct env *env, struct pool *pool, struct tx_pool *tx_pool,
                    const struct ini_options *options, struct ini_session **out)
{
    struct ini_session *s = env_alloc(env, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->env = env;
    s->pool = pool;
    s->tx_pool = tx_pool;
    s->options = *options;
    list_init(&s->conns);
    list_init(&s->queue);
    list_init(&s->finished);
    list_init(&s->ending);
    ini_slots_init(s);
    key_params_default(&s->params);
    s->cmd_sn = s->exp_cmd_sn = s->max_cmd_sn = options->first_cmd_sn ? options->first_cmd_sn : 1;
    s->ack_ns = s->scan_ns = s->doubt_ns = UINT64_MAX;
    for (uint32_t i = 0; i < INI_CONNECTIONS_MAX; i++)
        list_init(&s->cleanups[i].commands);
    *out = s;
    return 0;
}

void ini_session_free(struct ini_session *s)
{
    if (!s)
        return;
    assert(s->outstanding == 0 && list_empty(&s->conns));
    ini_wipe(&s->options, sizeof s->options);
    const struct env *env = s->env;
    env_free(env, s);
}

/* ---- the end ---- */

/* The states of what is left, by the rows of chapter 8 that fit. */
static void ini_end_states(struct ini_session *s, bool closed)
{
    for (uint32_t i = 0; i < INI_CONNECTIONS_MAX; i++) {
        struct ini_cleanup *r = &s->cleanups[i];
        if (r->used && r->state != INI_R3_FREE)
            ini_cleanup_move(s, r, INI_R3_FREE); /* M1 or M4: R7143-8.2.2-01 */
    }
    if (s->state == INI_Q3_LOGGED_IN)
        ini_session_move(s, closed ? INI_Q1_FREE : INI_Q4_FAILED);
    if (s->state == INI_Q4_FAILED)
        ini_session_move(s, INI_Q1_FREE);
}

void ini_end(struct ini_session *s)
{
    if (s->over)
        return;
    s->over = true;
    list_for_each_safe(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        if (conn->over)
            continue;
        /* A close of the whole session ends its other connections cleanly (T8, T13, T18): R7143-8.1.2-08 */
        bool clean = s->logged_out || !ini_conn_up(conn);
        if (conn->state != INI_S1_FREE)
            ini_conn_move(conn, clean ? INI_S1_FREE : INI_S8_CLEANUP_WAIT);
        ini_conn_over(conn);
    }
    ini_end_states(s, s->logged_out);
    ini_commands_lost(s);
}

void ini_fail(struct ini_session *s, const char *reason)
{
    if (s->over)
        return;
    struct ini_conn *first = list_first(&s->conns, struct ini_conn, node);
    if (s->state == INI_Q1_FREE && first) {
        ini_login_failed(first, 0, 0, reason);
        return;
    }
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    env_trace(s->env, TRACE_WARN, "initiator.session.failed", s->options.target_name, s->reason, 0, 0);
    ini_end(s); /* R7143-7.7-01: what cannot be recovered costs the session */
}

void ini_abandon(struct ini_session *s, const char *reason)
{
    if (s->over)
        return;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    ini_end(s);
}

/* ---- events ---- */

struct ini_event *ini_event_add(struct ini_session *s, enum ini_event_kind kind)
{
    /* A peer that floods us with messages loses the oldest ones that nobody has pulled; the host pulls after
     * each input. */
    if (s->event_count == INI_EVENTS) {
        s->event_head = (s->event_head + 1) % INI_EVENTS;
        s->event_count--;
    }
    struct ini_queued_event *e = &s->events[(s->event_head + s->event_count++) % INI_EVENTS];
    memset(&e->event, 0, sizeof e->event);
    e->event.kind = kind;
    return &e->event;
}

/* A connection that is finished and told of nowhere yet. */
static struct ini_conn *ini_conn_to_close(struct ini_session *s)
{
    list_for_each(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        /* When the session ends, its commands wait for the loans of all connections (ini_commands_lost). */
        if (conn->over && conn->released && list_empty(&conn->inflight))
            return conn;
    }
    return NULL;
}

bool ini_next_event(struct ini_session *s, struct ini_event *out)
{
    struct list_node *node = list_pop_front(&s->finished);
    if (node) {
        *out = (struct ini_event){.kind = INI_EVENT_COMMAND_DONE,
                                  .command = list_entry(node, struct ini_command, node)};
        s->outstanding--;
        return true;
    }
    if (s->event_count) {
        struct ini_queued_event *e = &s->events[s->event_head];
        *out = e->event;
        s->event_head = (s->event_head + 1) % INI_EVENTS;
        s->event_count--;
        return true;
    }
    struct ini_conn *conn = ini_conn_to_close(s);
    if (conn) {
        list_remove(&conn->node);
        *out = (struct ini_event){.kind = INI_EVENT_CONN_CLOSED, .conn = conn};
        return true;
    }
    if (s->over && list_empty(&s->conns) && s->outstanding == 0 && !s->closed_told) {
        s->closed_told = true;
        *out = (struct ini_event){.kind = INI_EVENT_CLOSED, .reason = s->reason};
        return true;
    }
    return false;
}

/* ---- task tags ---- */

uint32_t ini_slot_take(struct ini_session *s, enum ini_slot_kind kind)
{
    if (s->first_free == INI_SLOTS)
        return PDU_TAG_RESERVED;
    uint16_t index = s->first_free;
    struct ini_slot *slot = &s->slots[index];
    s->first_free = slot->next_free;
    uint16_t generation = (uint16_t)((slot->generation + 1) & 0x7fff); /* never the reserved tag */
    *slot = (struct ini_slot){.kind = kind, .generation = generation};
    slot->started_ns = env_now(s->env);
    slot->order = s->order;
    return (uint32_t)slot->generation << 16 | index; /* R7143-11.2.1.8-01 */
}

struct ini_slot *ini_slot_find(struct ini_session *s, uint32_t itt)
{
    uint32_t index = itt & 0xffff;
    if (index >= INI_SLOTS || s->slots[index].kind == INI_SLOT_FREE ||
        s->slots[index].generation != itt >> 16)
        return NULL;
    return &s->slots[index];
}

void ini_slot_release(struct ini_session *s, uint32_t itt)
{
    struct ini_slot *slot = &s->slots[itt & 0xffff];
    slot->kind = INI_SLOT_FREE;
    slot->command = NULL;
    slot->next_free = s->first_free;
    s->first_free = (uint16_t)(itt & 0xffff);
}

/* ---- the window ---- */

void ini_update_window(struct ini_session *s, uint32_t exp_cmd_sn, uint32_t max_cmd_sn)
{
    /* R7143-4.2.2.1-16: such a pair is ignored. R7143-4.2.2.1-11: serial numbers, not plain ones. */
    if (sn_lt(max_cmd_sn, exp_cmd_sn - 1))
        return;
    if (sn_gt(exp_cmd_sn, s->exp_cmd_sn)) /* R7143-4.2.2.1-18 */
        s->exp_cmd_sn = exp_cmd_sn;
    if (sn_gt(max_cmd_sn, s->max_cmd_sn)) /* R7143-4.2.2.1-17: the window never shrinks for us */
        s->max_cmd_sn = max_cmd_sn;
}

/* ---- time ---- */

uint64_t ini_recovery_timeout(const struct ini_session *s)
{
    return s->options.recovery_timeout_ns ? s->options.recovery_timeout_ns : INI_SECOND;
}

void ini_cmd_sn_used(struct ini_session *s)
{
    s->cmd_sn++;
    if (s->level >= 1 && s->ack_ns == UINT64_MAX) {
        s->ack_ns = env_now(s->env) + ini_recovery_timeout(s);
        s->acked_sn = s->exp_cmd_sn;
    }
}

void ini_go_on(struct ini_session *s)
{
    if (s->over)
        return;
    if (s->cleanups_used)
        ini_recovery_run(s);
    ini_pump(s);
    list_for_each_safe(node, &s->conns) ini_text_pump(list_entry(node, struct ini_conn, node));
    ini_logout_when_quiet(s);
}

/* When the connection is to be pinged, or given up because the answer does not come. */
static uint64_t ping_deadline(const struct ini_conn *conn)
{
    const struct ini_options *o = &conn->s->options;
    if (!o->nop_interval_ns)
        return UINT64_MAX;
    return conn->ping_sent_ns ? conn->ping_sent_ns + o->nop_timeout_ns
                              : conn->last_heard_ns + o->nop_interval_ns;
}

static uint64_t conn_deadline(const struct ini_conn *conn)
{
    if (conn->over)
        return UINT64_MAX;
    if (conn->state == INI_S4_IN_LOGIN)
        return conn->login_deadline_ns;
    if (conn->state == INI_S6_IN_LOGOUT)
        return conn->logout_deadline_ns;
    if (conn->s->logout_sent) /* no ping and no logout of its own any more: R7143-11.14-02 */
        return UINT64_MAX;
    uint64_t due = min_u64(ping_deadline(conn), ini_probe_deadline(conn));
    return conn->state == INI_S7_LOGOUT_REQUESTED ? min_u64(due, conn->logout_by_ns) : due;
}

uint64_t ini_deadline(const struct ini_session *s)
{
    uint64_t due = min_u64(s->ack_ns, s->scan_ns);
    if (s->over)
        return UINT64_MAX;
    list_for_each(node, &s->conns) due = min_u64(due, conn_deadline(list_entry(node, struct ini_conn, node)));
    return min_u64(due, ini_recovery_deadline(s));
}

static void ping_tick(struct ini_conn *conn, uint64_t now)
{
    uint32_t tag;
    if (conn->ping_sent_ns && conn->last_heard_ns < conn->ping_sent_ns)
        ini_conn_fail(conn, "the target does not answer pings"); /* R7143-7.14-01 */
    else if (conn->ping_sent_ns)
        conn->ping_sent_ns = 0; /* something was heard since: alive */
    else if (ini_ping_on(conn, NULL, 0, true, &tag) == 0)
        conn->ping_sent_ns = now;
    else
        conn->last_heard_ns = now;
}

static void conn_tick(struct ini_conn *conn, uint64_t now)
{
    uint32_t tag;
    if (now < conn_deadline(conn))
        return;
    if (conn->state == INI_S4_IN_LOGIN) {
        ini_conn_fail(conn, "the target did not finish the login in time");
        return;
    }
    if (conn->state == INI_S6_IN_LOGOUT) { /* R7143-8.1.2-18 */
        ini_conn_fail(conn, "the target does not answer the logout");
        return;
    }
    if (now >= ini_probe_deadline(conn)) {
        conn->probed_ns = now; /* the answer's StatSN tells */
        ini_ping_on(conn, NULL, 0, true, &tag);
    }
    if (!conn->over && now >= ping_deadline(conn))
        ping_tick(conn, now);
    if (!conn->over && conn->state == INI_S7_LOGOUT_REQUESTED && now >= conn->logout_by_ns)
        ini_logout_now(conn); /* the time that it gave us is over: R7143-11.9.1-02 */
}

void ini_tick(struct ini_session *s)
{
    uint64_t now = env_now(s->env);
    list_for_each_safe(node, &s->conns)
    {
        struct ini_conn *conn = list_entry(node, struct ini_conn, node);
        ini_conn_retry_input(conn); /* if it waited for memory */
        conn_tick(conn, now);
    }
    if (s->over)
        return;
    ini_numbers_tick(s, now);
    if (!s->over)
        ini_recovery_doubts(s, now);
    ini_go_on(s);
}

/* ---- questions ---- */

const struct key_params *ini_params(const struct ini_session *s)
{
    return &s->params;
}

bool ini_is_up(const struct ini_session *s)
{
    return !s->over && s->state == INI_Q3_LOGGED_IN && !s->logout_wanted;
}

uint32_t ini_outstanding(const struct ini_session *s)
{
    return s->outstanding;
}

uint32_t ini_connections(const struct ini_session *s)
{
    uint32_t n = 0;
    list_for_each(node, &s->conns) n += ini_conn_up(list_entry(node, struct ini_conn, node));
    return n;
}

const struct ini_counters *ini_counters(const struct ini_session *s)
{
    return &s->counters;
}
