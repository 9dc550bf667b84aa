/* Queries: what the configuration says and what the service is doing, as JSON. Secrets never leave. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "target/service/config.h"
#include "target/service/manager.h"

/* ---- configuration ---- */

static json_t *lun_json(const json_t *lun)
{
    struct store_spec spec;
    char why[300];
    json_t *out = json_deep_copy(lun);
    if (store_spec_parse(config_text(lun, "spec"), &spec, why, sizeof why) == 0) {
        json_object_set_new(out, "kind", json_string(spec.kind));
        json_object_set_new(out, "size", json_integer((json_int_t)spec.size));
        json_object_set_new(out, "block_size", json_integer(spec.block_size ? spec.block_size : 512));
        json_object_set_new(out, "readonly", json_boolean(spec.readonly));
    }
    return out;
}

static json_t *users_json(const json_t *users)
{
    json_t *out = json_array(), *user;
    size_t i;
    json_array_foreach(users, i, user)
    {
        json_t *one = json_pack("{s:s, s:s}", "name", config_text(user, "name"), "secret", "set");
        if (json_object_get(user, "mutual_name")) {
            json_object_set(one, "mutual_name", json_object_get(user, "mutual_name"));
            json_object_set_new(one, "mutual_secret", json_string("set"));
        }
        if (json_object_get(user, "initiator"))
            json_object_set(one, "initiator", json_object_get(user, "initiator"));
        json_array_append_new(out, one);
    }
    return out;
}

static json_t *query_list(struct manager *m, const json_t *params, struct outcome *o)
{
    (void)params;
    (void)o;
    json_t *targets = json_array(), *target;
    size_t i;
    json_array_foreach(json_object_get(m->root, "targets"), i, target)
    {
        json_array_append_new(targets,
                              json_pack("{s:s, s:s, s:i, s:i, s:i, s:i}", "name", config_text(target, "name"),
                                        "alias", config_text(target, "alias"), "luns",
                                        (int)json_array_size(json_object_get(target, "luns")), "users",
                                        (int)json_array_size(json_object_get(target, "users")), "acls",
                                        (int)json_array_size(json_object_get(target, "acls")), "redirects",
                                        (int)json_array_size(json_object_get(target, "redirects"))));
    }
    return json_pack("{s:o, s:o}", "targets", targets, "discovery_users",
                     users_json(json_object_get(m->root, "discovery_users")));
}

static json_t *query_show(struct manager *m, const json_t *params, struct outcome *o)
{
    const json_t *target = config_target(m->root, config_text(params, "target"));
    if (!target) {
        outcome_refuse(o, "there is no target %s", config_text(params, "target"));
        return NULL;
    }
    json_t *luns = json_array(), *lun;
    size_t i;
    json_array_foreach(json_object_get(target, "luns"), i, lun) json_array_append_new(luns, lun_json(lun));
    json_t *limits = json_object_get(target, "limits");
    return json_pack("{s:s, s:s, s:o, s:o, s:O, s:O, s:o}", "name", config_text(target, "name"), "alias",
                     config_text(target, "alias"), "luns", luns, "users",
                     users_json(json_object_get(target, "users")), "acls", json_object_get(target, "acls"),
                     "redirects", json_object_get(target, "redirects"), "limits",
                     limits ? json_incref(limits) : json_object());
}

static json_t *query_portals(struct manager *m, const json_t *params, struct outcome *o)
{
    (void)params;
    (void)o;
    return json_pack("{s:o}", "portals",
                     m->portals ? portals_json(m->portals)
                                : json_deep_copy(json_object_get(m->root, "portals")));
}

static json_t *query_initiators(struct manager *m, const json_t *params, struct outcome *o)
{
    (void)params;
    (void)o;
    return json_pack("{s:O}", "initiators", json_object_get(m->root, "initiators"));
}

/* ---- sessions ---- */

static json_t *session_json(const struct tgt_session_info *s)
{
    char peer[IO_ADDR_TEXT_MAX], local[IO_ADDR_TEXT_MAX], isid[13];
    for (size_t i = 0; i < sizeof s->isid; i++)
        snprintf(isid + 2 * i, 3, "%02x", s->isid[i]);
    json_t *out = json_pack("{s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:s, s:s, s:s}", "id",
                            (json_int_t)s->id, "initiator", s->initiator, "alias", s->alias, "target",
                            s->target, "isid", isid, "tsih", s->tsih, "group", s->group, "discovery",
                            s->discovery, "peer", addr_format(&s->peer, peer, sizeof peer), "local",
                            addr_format(&s->local, local, sizeof local), "auth", s->auth);
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"connections", s->connections},
        {"max_connections", s->max_connections},
        {"protocol_level", s->protocol_level},
        {"error_recovery_level", s->error_recovery_level},
        {"max_recv_data_segment_length", s->max_recv},
        {"peer_max_recv_data_segment_length", s->peer_max_recv},
        {"max_burst_length", s->max_burst},
        {"first_burst_length", s->first_burst},
        {"max_outstanding_r2t", s->max_outstanding_r2t},
        {"commands", s->commands},
        {"read_bytes", s->read_bytes},
        {"write_bytes", s->write_bytes},
        {"outstanding", s->outstanding},
        {"age_ns", s->age_ns},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(out, numbers[i].key, json_integer((json_int_t)numbers[i].value));
    json_object_set_new(out, "task_reporting", json_string(s->task_reporting));
    json_object_set_new(out, "header_digest", json_boolean(s->header_digest));
    json_object_set_new(out, "data_digest", json_boolean(s->data_digest));
    json_object_set_new(out, "initial_r2t", json_boolean(s->initial_r2t));
    json_object_set_new(out, "immediate_data", json_boolean(s->immediate_data));
    return out;
}

static void do_sessions(struct host_reactor *r, void *arg)
{
    json_t *list = arg;
    struct tgt_session_info info;
    for (uint64_t id = 0; tgt_session_next(host_reactor_engine(r), id, &info); id = info.id) {
        json_t *one = session_json(&info);
        /* An alias that is not UTF-8 makes json_pack give up: such a session is still there. */
        if (!one)
            one = json_pack("{s:I, s:s}", "id", (json_int_t)info.id, "target", info.target);
        json_array_append_new(list, one);
    }
}

static bool need_service(struct manager *m, struct outcome *o)
{
    return m->live || outcome_fail(o, "no service is running here");
}

static json_t *query_sessions(struct manager *m, const json_t *params, struct outcome *o)
{
    (void)params;
    (void)o;
    json_t *list = json_array();
    for (uint32_t i = 0; m->live && i < live_count(m->live); i++)
        live_call(m->live, i, do_sessions, list);
    return json_pack("{s:o}", "sessions", list);
}

static json_t *query_session_drop(struct manager *m, const json_t *params, struct outcome *o)
{
    uint64_t id = config_number(params, "id", 0);
    if (!need_service(m, o))
        return NULL;
    if (!live_session_drop(m->live, id)) {
        outcome_refuse(o, "there is no session %" PRIu64, id);
        return NULL;
    }
    return json_object();
}

static json_t *query_session_notify(struct manager *m, const json_t *params, struct outcome *o)
{
    uint64_t id = config_number(params, "id", 0), code = config_number(params, "code", 0);
    const char *text = config_text(params, "text");
    if (!need_service(m, o))
        return NULL;
    if (code > UINT8_MAX || strlen(text) > TGT_NOTE_MAX)
        outcome_refuse(o, "the code is at most 255 and the text has at most %u bytes", TGT_NOTE_MAX);
    else if (!live_session_notify(m->live, id, (uint8_t)code, text))
        outcome_refuse(o, "there is no session %" PRIu64 " that can be told", id);
    return o->code == OUTCOME_OK ? json_object() : NULL;
}

/* ---- status ---- */

static void do_stats(struct host_reactor *r, void *arg)
{
    host_reactor_stats(r, arg);
}

static json_t *stats_json(const struct host_stats *s)
{
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"sessions", s->sessions},
        {"connections", s->connections},
        {"commands", s->engine.commands},
        {"read_bytes", s->engine.read_bytes},
        {"write_bytes", s->engine.write_bytes},
        {"recv_ops", s->io.recv_ops},
        {"recv_bytes", s->io.recv_bytes},
        {"send_ops", s->io.send_ops},
        {"send_bytes", s->io.send_bytes},
        {"file_ops", s->io.file_ops},
        {"turns", s->io.turns},
        {"sleeps", s->io.sleeps},
        {"store_requests", s->store_requests},
        {"pdus_in", s->engine.pdus_in},
        {"pdus_out", s->engine.pdus_out},
        {"discarded_pdus", s->engine.discarded_pdus},
        {"rejects", s->engine.rejects},
        {"task_managements", s->engine.tmfs},
        {"connections_total", s->engine.connections},
        {"sessions_total", s->engine.sessions},
        {"logins", s->engine.logins},
        {"logins_failed", s->engine.logins_failed},
        {"memory_in_use", s->memory_in_use},
        {"pool_allocations", s->pool_allocations},
        {"task_objects", s->task_objects},
        {"span_objects", s->span_objects},
        {"tx_objects", s->tx_objects},
    };
    json_t *out = json_object();
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(out, numbers[i].key, json_integer((json_int_t)numbers[i].value));
    return out;
}

static json_t *query_status(struct manager *m, const json_t *params, struct outcome *o)
{
    (void)params;
    (void)o;
    size_t targets = json_array_size(json_object_get(m->root, "targets"));
    if (!m->live)
        return json_pack("{s:b, s:i, s:s}", "running", 0, "targets", (int)targets, "state",
                         m->state ? m->state->dir : "");
    struct host_stats sum = {0}, one;
    json_t *reactors = json_array();
    for (uint32_t i = 0; i < live_count(m->live); i++) {
        live_call(m->live, i, do_stats, &one);
        host_stats_add(&sum, &one);
        json_array_append_new(reactors, stats_json(&one));
    }
    json_t *out = stats_json(&sum);
    json_object_set_new(out, "running", json_true());
    json_object_set_new(out, "pid", json_integer(getpid()));
    json_object_set_new(out, "state", json_string(m->state ? m->state->dir : ""));
    json_object_set_new(out, "targets", json_integer((json_int_t)targets));
    json_object_set_new(out, "io", json_string(live_io_name(m->live)));
    json_object_set_new(out, "uptime_ns", json_integer((json_int_t)(env_now(m->env) - m->started_ns)));
    json_object_set_new(out, "heap_allocations", json_integer((json_int_t)env_host_allocations()));
    json_object_set_new(out, "connections_refused",
                        json_integer((json_int_t)host_refused(live_host(m->live))));
    json_object_set_new(out, "configuration", json_integer((json_int_t)m->generation));
    json_object_set_new(out, "portals", portals_json(m->portals));
    json_object_set_new(out, "reactors", reactors);
    return out;
}

/* ---- the table ---- */

static const struct {
    const char *method;
    json_t *(*answer)(struct manager *m, const json_t *params, struct outcome *o);
} queries[] = {
    {"target.list", query_list},
    {"target.show", query_show},
    {"portal.list", query_portals},
    {"session.list", query_sessions},
    {"session.drop", query_session_drop},
    {"status", query_status},
    {"session.notify", query_session_notify},
    {"initiator.list", query_initiators},
};

static size_t find(const char *method)
{
    size_t i = 0, count = sizeof queries / sizeof queries[0];
    while (i < count && strcmp(queries[i].method, method) != 0)
        i++;
    return i;
}

bool query_known(const char *method)
{
    return find(method) < sizeof queries / sizeof queries[0];
}

json_t *query_call(struct manager *m, const char *method, const json_t *params, struct outcome *o)
{
    json_t *result = queries[find(method)].answer(m, params, o);
    if (!result && o->code == OUTCOME_OK)
        outcome_fail(o, "out of memory");
    return result;
}
