/* The reactor: owner of connections, sessions and task objects; events out, completions and time in. */
#include <assert.h>

#include "common/base/err.h"
#include "target/iscsi/conn_internal.h"

int tgt_reactor_init(struct tgt_reactor *r, const struct env *env, struct pool *pool, uint32_t index,
                     uint32_t count, struct tgt_config *config)
{
    *r = (struct tgt_reactor){.env = env, .pool = pool, .index = index, .count = count, .config = config};
    tgt_config_ref(config);
    scsi_reactor_init(&r->scsi, env, pool, index, count);
    tx_pool_init(&r->tx_pool, env);
    list_init(&r->conns);
    list_init(&r->sessions);
    list_init(&r->to_send);
    list_init(&r->to_read);
    list_init(&r->events);
    list_init(&r->free_tasks);
    list_init(&r->free_kept);
    list_init(&r->to_run);
    list_init(&r->starved);
    list_init(&r->keepers);
    list_init(&r->dead);
    r->deadline_ns = UINT64_MAX;
    return 0;
}

void tgt_reactor_fini(struct tgt_reactor *r)
{
    assert(list_empty(&r->conns) && list_empty(&r->sessions));
    /* Ends that nobody came to hear of. */
    struct tgt_event event;
    while (tgt_next_event(r, &event))
        ;
    for (uint32_t i = 0; i < r->task_count; i++)
        env_free(r->env, r->tasks[i]);
    env_free(r->env, r->tasks);
    env_free(r->env, r->hash);
    keep_fini(r);
    scsi_reactor_fini(&r->scsi);
    tx_pool_fini(&r->tx_pool);
    tgt_config_unref(r->config);
    r->config = NULL;
}

void tgt_reactor_set_config(struct tgt_reactor *r, struct tgt_config *config)
{
    struct tgt_config *old = r->config;
    tgt_config_ref(config);
    r->config = config;
    list_for_each_safe(it, &r->sessions)
        session_config_changed(list_entry(it, struct tgt_session, node), config);
    list_for_each(it, &r->conns) login_config_changed(list_entry(it, struct tgt_conn, node));
    r->deadline_ns = env_now(r->env); /* pings may be due at other times: the next tick looks */
    tgt_config_unref(old);
}

bool tgt_reactor_config_adopted(const struct tgt_reactor *r)
{
    /* A session that is on its way out keeps the snapshot whose LUNs its last tasks use. */
    list_for_each(it, &r->sessions) if (list_entry(it, struct tgt_session, node)->config !=
                                        r->config) return false;
    list_for_each(it, &r->conns)
    {
        const struct tgt_conn *conn = list_entry(it, struct tgt_conn, node);
        if (conn->login && conn->login->config && conn->login->config != r->config)
            return false;
    }
    return true;
}

void event_push(struct tgt_reactor *r, struct tgt_event_slot *slot, enum tgt_event_kind kind,
                struct tgt_conn *conn, const struct tgt_nexus_key *key, const char *reason)
{
    slot->kind = kind;
    slot->conn = conn;
    slot->key = key;
    slot->reason = reason;
    list_push_back(&r->events, &slot->node);
}

bool tgt_next_event(struct tgt_reactor *r, struct tgt_event *out)
{
    struct list_node *node = list_pop_front(&r->events);
    if (!node)
        return false;
    struct tgt_event_slot *slot = list_entry(node, struct tgt_event_slot, node);
    *out = (struct tgt_event){.kind = slot->kind, .conn = slot->conn, .reason = slot->reason};
    if (slot->key)
        out->key = *slot->key;
    if (slot->ended) { /* nobody else knows the session any more */
        struct tgt_session *s = slot->ended;
        list_remove(&s->node);
        env_free(r->env, s->alias);
        env_free(r->env, s->ports);
        if (s->retired != s->few)
            env_free(r->env, s->retired);
        env_free(r->env, s);
    }
    return true;
}

struct tgt_conn *tgt_next_to_send(struct tgt_reactor *r)
{
    struct list_node *node = list_pop_front(&r->to_send);
    return node ? list_entry(node, struct tgt_conn, send_node) : NULL;
}

struct tgt_conn *tgt_next_to_read(struct tgt_reactor *r)
{
    struct list_node *node = list_pop_front(&r->to_read);
    return node ? list_entry(node, struct tgt_conn, read_node) : NULL;
}

struct store_req *tgt_next_request(struct tgt_reactor *r)
{
    return scsi_next_request(&r->scsi);
}

void tgt_store_done(struct tgt_reactor *r, struct store_req *req)
{
    scsi_store_done(&r->scsi, req);
}

struct scsi_msg *tgt_next_message(struct tgt_reactor *r)
{
    return scsi_next_message(&r->scsi);
}

void tgt_message(struct tgt_reactor *r, struct scsi_msg *msg)
{
    scsi_message(&r->scsi, msg);
}

/* Tasks that found no memory for their next R2T try again, each once. */
static void feed_starved(struct tgt_reactor *r)
{
    struct list_node again;
    list_init(&again);
    list_splice_back(&again, &r->starved);
    struct list_node *node;
    while ((node = list_pop_front(&again)) != NULL) {
        struct tgt_task *task = list_entry(node, struct tgt_task, wait_node);
        if (task->phase == TASK_RUNNING)
            data_out_ready(task);
    }
}

static void pump(struct tgt_reactor *r)
{
    iscsi_task_events(r);
    task_mgmt_done(r);
}

/* Only those that may have something to do: thousands of idle ones are not looked at. */
static void run_sessions(struct tgt_reactor *r)
{
    struct list_node now, *node;
    list_init(&now);
    list_splice_back(&now, &r->to_run);
    while ((node = list_pop_front(&now)) != NULL) {
        struct tgt_session *s = list_entry(node, struct tgt_session, run_node);
        session_run(s);
        if (session_waits(s))
            session_touch(s);
    }
}

/* Those that memory was short for: dropped, or tried again. */
static void help_conns(struct tgt_reactor *r)
{
    r->troubled = false;
    list_for_each(it, &r->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, node);
        if (conn->doomed)
            conn_drop(conn, "out of memory");
        else if (conn->stalled)
            conn_process(conn);
    }
}

void tgt_run(struct tgt_reactor *r)
{
    pump(r);
    if (!list_empty(&r->starved))
        feed_starved(r);
    run_sessions(r);
    if (r->troubled)
        help_conns(r);
    async_scsi_run(r);
    pump(r); /* what sessions and connections have just set going, when it ended at once */
    if (!list_empty(&r->starved) || !list_empty(&r->scsi.waiting))
        keep_hurry(r);
}

uint64_t tgt_deadline(const struct tgt_reactor *r)
{
    return r->deadline_ns;
}

static void conn_tick(struct tgt_conn *conn, uint64_t now)
{
    if (now >= conn->deadline_ns && conn->state != CONN_DEAD) {
        conn->deadline_ns = UINT64_MAX;
        bool closing = conn->state == CONN_CLOSING;
        if (!closing)
            env_trace(conn->env, TRACE_WARN, "login.timeout", conn_label(conn), NULL, 0, 0);
        conn_drop(conn, closing ? conn->reason : "login took too long");
    }
    nop_tick(conn, now);
}

void tgt_tick(struct tgt_reactor *r)
{
    uint64_t now = env_now(r->env);
    if (now < r->deadline_ns)
        return;
    list_for_each(it, &r->conns) conn_tick(list_entry(it, struct tgt_conn, node), now);
    list_for_each_safe(it, &r->sessions) session_tick(list_entry(it, struct tgt_session, node), now);
    /* The next one is found anew: deadlines that were moved back leave an early wake-up behind, nothing else.
     */
    r->deadline_ns = UINT64_MAX;
    list_for_each(it, &r->conns)
    {
        const struct tgt_conn *conn = list_entry(it, struct tgt_conn, node);
        reactor_wake(r, conn->deadline_ns);
        reactor_wake(r, nop_deadline(conn));
    }
    list_for_each(it, &r->sessions)
    {
        const struct tgt_session *s = list_entry(it, struct tgt_session, node);
        reactor_wake(r, session_deadline(s));
        reactor_wake(r, stop_deadline(s));
        reactor_wake(r, fence_deadline(s));
        list_for_each(t, &s->tmfs)
        {
            const struct tgt_tmf *tmf = list_entry(t, struct tgt_tmf, session_node);
            if (!tmf->started && tmf->deadline_ns > now)
                reactor_wake(r, tmf->deadline_ns);
        }
    }
}
