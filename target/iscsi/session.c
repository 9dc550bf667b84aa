/* Sessions: birth at the end of login, membership of connections, the command window, and the one way to
 * their end. */
#include <assert.h>

#include "common/base/err.h"
#include "common/base/mutant.h"
#include "target/iscsi/conn_internal.h"

/* ---- birth ---- */

static uint16_t new_tsih(struct tgt_reactor *r)
{
    for (;;) {
        uint16_t tsih = ++r->next_tsih;
        bool taken = tsih == 0; /* R7143-4.4.3-03 */
        list_for_each(it, &r->sessions) taken |= list_entry(it, struct tgt_session, node)->key.tsih == tsih;
        if (!taken)
            return tsih;
    }
}

/* NAME, what stands between, and the bytes in hexadecimal. Returns where the text ends: behind its NUL. */
static char *put_port(char *out, const char *name, const char *middle, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    while (*name)
        *out++ = *name++;
    while (*middle)
        *out++ = *middle++;
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out++ = '\0';
    return out;
}

/* R7143-4.4.2-03: the SCSI port names of both ends, in as many bytes as they have. */
static bool name_ports(struct tgt_session *s)
{
    static const char initiator[] = ",i,0x", target[] = ",t,0x";
    struct scsi_nexus *nexus = &s->nexus;
    uint8_t tag[2];
    be16_put(tag, s->key.group);
    s->ports = env_alloc(s->r->env, strlen(s->key.initiator) + sizeof initiator + 2 * sizeof s->key.isid +
                                        strlen(s->key.target) + sizeof target + 2 * sizeof tag);
    if (!s->ports)
        return false;
    nexus->initiator_port = s->ports;
    nexus->target_port = put_port(s->ports, s->key.initiator, initiator, s->key.isid, sizeof s->key.isid);
    put_port(s->ports + strlen(s->ports) + 1, s->key.target, target, tag, sizeof tag);
    nexus->target_name = s->key.target;
    nexus->target_portal_group_tag = s->key.group;
    nexus->relative_port = s->key.group;
    return true;
}

int session_new(struct tgt_conn *conn, struct tgt_session **out)
{
    struct tgt_reactor *r = conn->r;
    const struct tgt_login *login = conn->login;
    struct tgt_session *s = env_alloc(r->env, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->r = r;
    s->key = login->key;
    s->local = conn->info.local;
    s->discovery = login->discovery;
    s->target = login->target;
    s->key.tsih = new_tsih(r);
    s->created_ns = env_now(r->env);
    s->window = window_of(login->config);
    s->exp_cmd_sn = login->first.cmd_sn; /* R7143-11.12.8-01 */
    s->max_cmd_sn = s->exp_cmd_sn;       /* at least: session_numbers makes more of it */
    list_init(&s->run_node);
    list_init(&s->keep_node);
    s->retired = s->few;
    s->retired_count = TGT_RETIRED_FEW;
    list_init(&s->conns);
    list_init(&s->held);
    list_init(&s->tasks);
    list_init(&s->waiting);
    list_init(&s->tmfs);
    list_init(&s->lost);
    s->rfc = SESSION_ACTIVE; /* since its login began */
    list_init(&s->fence.queue);
    if (!s->discovery) {
        s->nexus.map = &s->target->map;
        int err = name_ports(s) ? scsi_nexus_open(&r->scsi, &s->nexus) : ERR_NOMEM;
        if (err) {
            env_free(r->env, s->ports);
            env_free(r->env, s);
            return err;
        }
        s->nexus_open = true;
    }
    s->config = login->config;
    tgt_config_ref(s->config);
    s->id = ((uint64_t)r->index << 48) | ++r->next_session_id;
    list_push_back(&r->sessions, &s->node);
    session_touch(s);
    r->counters.sessions++;
    event_push(r, &s->up_event, TGT_EVENT_SESSION_UP, conn, &s->key, NULL);
    env_trace(r->env, TRACE_INFO, "session.up", s->key.initiator, s->discovery ? "discovery" : s->key.target,
              s->key.tsih, s->id);
    *out = s;
    return 0;
}

/* The ISID rule (R7143-4.4.3-01): one session per initiator port and target portal group. Discovery without a
 * target name is unique per address instead (R7143-7.4.2.1-01). */
struct tgt_session *session_find(struct tgt_reactor *r, const struct tgt_nexus_key *key, bool discovery,
                                 const struct io_addr *local)
{
    bool unnamed = discovery && !key->target[0];
    list_for_each(it, &r->sessions)
    {
        struct tgt_session *s = list_entry(it, struct tgt_session, node);
        bool same = memcmp(s->key.isid, key->isid, sizeof key->isid) == 0 &&
                    strcmp(s->key.initiator, key->initiator) == 0 && strcmp(s->key.target, key->target) == 0;
        if (same &&
            (unnamed ? addr_equal(&s->local, local) : s->key.group == key->group)) /* R7143-4.4.3-02 */
            return s;
    }
    return NULL;
}

/* ---- connections ---- */

void session_add_conn(struct tgt_session *s, struct tgt_conn *conn)
{
    conn->session = s;
    list_push_back(&s->conns, &conn->session_node);
    s->conn_count++;
    if (s->rfc == SESSION_FAILED) /* another attempt has failed meanwhile */
        state_session(s->r, &s->rfc, SESSION_EV_CONTINUE);
    if (s->rfc != SESSION_LOGGED_IN)
        state_session(s->r, &s->rfc, SESSION_EV_UP); /* R7143-8.3.4-04 */
    lost_conn_added(s);
}

struct tgt_conn *session_conn(struct tgt_session *s, uint16_t cid)
{
    list_for_each(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (conn->cid == cid && conn->state != CONN_DEAD)
            return conn;
    }
    return NULL;
}

/* A connection that waits to take over a lost one's place. */
static struct tgt_conn *joiner(const struct tgt_session *s)
{
    list_for_each(it, &s->r->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, node);
        if (conn->state == CONN_WAIT_OLD && conn->login->join && conn->login->old == s)
            return conn;
    }
    return NULL;
}

/* All that was begun on this connection ends without an answer (R7143-7.1.4.4-02, R7143-7.14-05). */
static void abort_conn_tasks(struct tgt_session *s, const struct tgt_conn *conn)
{
    list_for_each_safe(it, &s->tasks)
    {
        struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->conn == conn)
            iscsi_task_terminate(task);
    }
}

void session_remove_conn(struct tgt_session *s, struct tgt_conn *conn)
{
    s->conn_count--;
    session_touch(s);
    sequence_drop_all(s, conn); /* R7143-11.14-09 */
    task_mgmt_orphan(s, conn);
    bool failed = !conn->clean && !s->closing;
    if (!failed || !session_retains(s) || !lost_begin(s, conn))
        abort_conn_tasks(s, conn); /* R7143-6.3.4-05 */
    keep_conn_end(conn);
    if (s->conn_count > 0 || s->closing)
        return;
    if ((failed || !list_empty(&s->lost)) && s->rfc == SESSION_LOGGED_IN)
        state_session(s->r, &s->rfc, SESSION_EV_FAILED); /* R7143-6.3.6-01, R7143-8.3.4-02 */
    /* R7143-6.3.5-04. Below recovery level 2 a session is as good as its last connection. */
    if (list_empty(&s->lost) && !joiner(s))
        session_close(s, conn->reason);
}

/* ---- end ---- */

void session_close(struct tgt_session *s, const char *reason)
{
    if (s->closing)
        return;
    s->closing = s->closing_now = true;
    session_touch(s);
    s->reason = reason;
    state_session(s->r, &s->rfc, SESSION_EV_CLOSED); /* R7143-8.3.4-03, R7143-8.3.4-05 */
    env_trace(s->r->env, TRACE_INFO, "session.closing", s->key.initiator, reason, s->key.tsih, s->id);
    sequence_drop_all(s, NULL);
    task_mgmt_orphan(s, NULL);
    lost_end_all(s);
    list_for_each_safe(it, &s->tasks) iscsi_task_abort(list_entry(it, struct tgt_task, node));
    if (s->nexus_open)
        scsi_nexus_abort_all(&s->nexus);
    list_for_each_safe(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (s->gentle)
            conn_close_after_flush(conn, reason);
        else
            conn_drop(conn, reason);
    }
    s->closing_now = false;
    session_check_end(s);
}

static void session_end(struct tgt_session *s)
{
    struct tgt_reactor *r = s->r;
    if (s->nexus_open)
        scsi_nexus_close(&s->nexus); /* R7143-6.3.5.1-01: with all that depends on it */
    list_remove(&s->run_node);
    list_remove(&s->node);
    list_push_back(&r->dead, &s->node);
    tgt_config_unref(s->config);
    s->config = NULL;
    s->target = NULL;
    s->down_event.ended = s;
    event_push(r, &s->down_event, TGT_EVENT_SESSION_DOWN, NULL, &s->key, s->reason);
    env_trace(r->env, TRACE_INFO, "session.down", s->key.initiator, s->reason, s->key.tsih, s->id);
    list_for_each_safe(it, &r->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, node);
        if (!conn->login || conn->login->old != s)
            continue;
        conn->login->old = NULL; /* also of logins that were to join it */
        login_old_ended(conn);
    }
}

/* Do tasks of connections that are gone remain? */
static bool orphans(const struct tgt_session *s)
{
    list_for_each(it, &s->tasks)
    {
        const struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (!task->conn && !lost_waits(task))
            return true;
    }
    list_for_each(it, &s->conns) if (list_entry(it, struct tgt_conn, session_node)->state ==
                                     CONN_DEAD) return true;
    return false;
}

void session_check_end(struct tgt_session *s)
{
    if (s->closing_now)
        return;
    if (s->closing) {
        /* No store operation may still touch the medium for it, and no output may refer to its memory. */
        if (s->config && list_empty(&s->tasks) && list_empty(&s->conns) &&
            (!s->nexus_open || s->nexus.tasks == 0))
            session_end(s);
        return;
    }
    struct tgt_conn *next;
    while (!s->closing && (next = joiner(s)) != NULL && !orphans(s))
        login_old_ended(next);
}

/* ---- the window ---- */

/* R7143-4.2.2.1-12, R7143-4.2.2.1-20: MaxCmdSN leaves room for what is not in progress, never goes back, and
 * never falls below ExpCmdSN - 1. */
void session_numbers(struct tgt_session *s, uint32_t *exp_cmd_sn, uint32_t *max_cmd_sn)
{
    uint32_t room = s->active < s->window ? s->window - s->active : 0;
    uint32_t max = s->exp_cmd_sn + room - 1;
    if (sn_gt(max, s->max_cmd_sn) && !(MUTANT(window_stuck) && s->exp_cmd_sn % 16 == 0))
        s->max_cmd_sn = max;
    *exp_cmd_sn = s->exp_cmd_sn;
    *max_cmd_sn = s->max_cmd_sn;
}

/* R7143-11.4.11-01: a window that was closed and has opened is told although nothing else is to be sent. */
static void announce_window(struct tgt_session *s)
{
    if (s->max_cmd_sn != s->exp_cmd_sn - 1 || s->active >= s->window || s->discovery)
        return;
    list_for_each(it, &s->conns)
    {
        struct tgt_conn *conn = list_entry(it, struct tgt_conn, session_node);
        if (conn->state == CONN_FULL) {
            nop_announce(conn);
            return;
        }
    }
}

void session_run(struct tgt_session *s)
{
    if (s->closing) {
        session_check_end(s);
        return;
    }
    iscsi_task_start_waiting(s);
    keep_run(s);
    task_mgmt_run(s);
    announce_window(s);
    fence_run(s);
    if (s->logging_out)
        logout_run(s);
    if (s->stopping && !s->closing)
        stop_run(s);
}

bool session_waits(const struct tgt_session *s)
{
    bool window_closed = s->max_cmd_sn == s->exp_cmd_sn - 1;
    return s->closing || s->keep_waits || s->logging_out || s->stopping || window_closed ||
           !list_empty(&s->waiting) || !list_empty(&s->tmfs) || s->fence.state != FENCE_DOWN;
}

void session_tick(struct tgt_session *s, uint64_t now_ns)
{
    session_touch(s);
    if (s->closing)
        return;
    if (session_level(s) > 0)
        list_for_each_safe(it, &s->tasks)
        {
            struct tgt_task *task = list_entry(it, struct tgt_task, node);
            if (task->phase != TASK_DRAINING)
                data_out_tick(task, now_ns);
        }
    lost_tick(s, now_ns);
}

uint64_t session_deadline(const struct tgt_session *s)
{
    uint64_t when = UINT64_MAX;
    if (s->closing || session_level(s) == 0)
        return when;
    list_for_each(it, &s->tasks)
    {
        const struct tgt_task *task = list_entry(it, struct tgt_task, node);
        if (task->phase != TASK_DRAINING && task->out_due_ns && task->out_due_ns < when)
            when = task->out_due_ns;
    }
    uint64_t lost = lost_deadline(s);
    return lost < when ? lost : when;
}

void session_config_changed(struct tgt_session *s, struct tgt_config *config)
{
    session_touch(s);
    if (s->closing)
        return; /* keeps what its last tasks use */
    const struct tgt_target *target = s->key.target[0] ? tgt_config_find(config, s->key.target) : NULL;
    if (s->key.target[0] && !target) {
        stop_gently(s, "the target was removed");
        return;
    }
    if (s->nexus_open)
        scsi_nexus_set_map(&s->nexus, &target->map);
    async_config_changed(s, s->target, target); /* before the old snapshot may go */
    tgt_config_unref(s->config);
    s->config = config;
    tgt_config_ref(config);
    s->target = target;
}

/* ---- looking in ---- */

static void describe(const struct tgt_session *s, struct tgt_session_info *out)
{
    *out = (struct tgt_session_info){.id = s->id,
                                     .tsih = s->key.tsih,
                                     .group = s->key.group,
                                     .discovery = s->discovery,
                                     .connections = s->conn_count,
                                     .commands = s->commands,
                                     .read_bytes = s->read_bytes,
                                     .write_bytes = s->write_bytes,
                                     .outstanding = s->active + s->immediate_active,
                                     .age_ns = env_now(s->r->env) - s->created_ns};
    const struct tgt_conn *conn = list_first(&s->conns, struct tgt_conn, session_node);
    const struct key_params *p = conn ? &conn->params : &s->params;
    memcpy(out->initiator, s->key.initiator, sizeof out->initiator);
    if (s->alias)
        memcpy(out->alias, s->alias, strlen(s->alias) + 1);
    memcpy(out->target, s->key.target, sizeof out->target);
    memcpy(out->isid, s->key.isid, sizeof out->isid);
    memcpy(out->auth, s->auth, sizeof out->auth);
    if (conn) {
        out->peer = conn->info.peer;
        out->local = conn->info.local;
    }
    out->header_digest = p->header_digest == KEY_DIGEST_CRC32C;
    out->data_digest = p->data_digest == KEY_DIGEST_CRC32C;
    out->initial_r2t = s->params.initial_r2t;
    out->immediate_data = s->params.immediate_data;
    out->error_recovery_level = s->params.error_recovery_level;
    out->max_recv = p->max_recv_data_segment_length;
    out->peer_max_recv = p->peer_max_recv_data_segment_length;
    out->max_burst = s->params.max_burst_length;
    out->first_burst = s->params.first_burst_length;
    out->max_outstanding_r2t = s->params.max_outstanding_r2t;
    out->max_connections = s->params.max_connections;
    out->protocol_level = s->params.iscsi_protocol_level;
    out->task_reporting = key_task_reporting_text(s->params.task_reporting);
}

bool tgt_session_next(const struct tgt_reactor *r, uint64_t id, struct tgt_session_info *out)
{
    list_for_each(it, &r->sessions)
    {
        const struct tgt_session *s = list_entry(it, struct tgt_session, node);
        if (s->id > id && !s->closing) {
            describe(s, out);
            return true;
        }
    }
    return false;
}

bool tgt_session_drop(struct tgt_reactor *r, uint64_t id)
{
    list_for_each(it, &r->sessions)
    {
        struct tgt_session *s = list_entry(it, struct tgt_session, node);
        if (s->id == id && !s->closing) {
            stop_gently(s, "dropped by the administrator");
            return true;
        }
    }
    return false;
}
