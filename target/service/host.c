/* The host's life, its configuration, and looking in. */
#include "target/service/host.h"

#include <assert.h>
#include <string.h>

#include "common/base/err.h"
#include "target/service/host_internal.h"

static int reactor_init(struct host *host, uint32_t index, struct io *io, uint64_t memory,
                        struct tgt_config *config)
{
    struct host_reactor *r = &host->reactors[index];
    r->host = host;
    r->index = index;
    r->io = io;
    struct list_node *const heads[] = {&r->conns,        &r->free_conns, &r->listeners, &r->free_msgs,
                                       &r->free_outputs, &r->to_recv,    &r->starved};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        list_init(heads[i]);
    int err = pool_new(host->env, memory, &r->pool);
    if (err)
        return err;
    err = tgt_reactor_init(&r->engine, host->env, r->pool, index, host->count, config);
    if (err) {
        pool_free(r->pool);
        return err;
    }
    r->engine.scsi.io = io;
    io_set_turn_hook(io, reactor_turn, r);
    return 0;
}

static void reactor_fini(struct host_reactor *r)
{
    assert(host_reactor_idle(r));
    io_set_turn_hook(r->io, NULL, NULL);
    io_timer_cancel(r->io, &r->deadline);
    io_timer_cancel(r->io, &r->memory);
    struct list_node *node;
    while ((node = list_pop_front(&r->free_conns)) != NULL)
        env_free(r->host->env, list_entry(node, struct host_conn, node));
    while ((node = list_pop_front(&r->free_outputs)) != NULL)
        env_free(r->host->env, list_entry(node, struct host_output, node));
    while ((node = list_pop_front(&r->free_msgs)) != NULL)
        env_free(r->host->env, list_entry(node, struct host_msg, node));
    tgt_reactor_fini(&r->engine);
    pool_free(r->pool);
}

int host_new(const struct env *env, struct io *const *ios, uint32_t count, uint64_t memory,
             struct tgt_config *config, struct host **out)
{
    assert(count > 0 && count <= SCSI_REACTORS_MAX);
    struct host *host = env_alloc(env, sizeof *host + count * sizeof host->reactors[0]);
    if (!host)
        return ERR_NOMEM;
    host->env = env;
    host->count = count;
    uint64_t share = memory / count < HOST_MEMORY_MIN ? HOST_MEMORY_MIN : memory / count;
    int err = directory_new(env, count, &host->directory);
    uint32_t made = 0;
    while (!err && made < count && (err = reactor_init(host, made, ios[made], share, config)) == 0)
        made++;
    if (err) {
        while (made > 0)
            reactor_fini(&host->reactors[--made]);
        directory_free(host->directory);
        env_free(env, host);
        return err;
    }
    *out = host;
    return 0;
}

void host_free(struct host *host)
{
    if (!host)
        return;
    for (uint32_t i = 0; i < host->count; i++)
        reactor_fini(&host->reactors[i]);
    directory_free(host->directory);
    env_free(host->env, host);
}

uint32_t host_count(const struct host *host)
{
    return host->count;
}

struct host_reactor *host_at(struct host *host, uint32_t index)
{
    assert(index < host->count);
    return &host->reactors[index];
}

struct io *host_reactor_io(struct host_reactor *r)
{
    return r->io;
}

void host_reactor_set_tap(struct host_reactor *r, struct tap *tap)
{
    r->tap = tap;
}

struct tgt_reactor *host_reactor_engine(struct host_reactor *r)
{
    return &r->engine;
}

/* ---- configuration ---- */

void host_reactor_set_config(struct host_reactor *r, struct tgt_config *config)
{
    tgt_reactor_set_config(&r->engine, config);
    reactor_kick(r);
}

bool host_reactor_config_adopted(struct host_reactor *r)
{
    return tgt_reactor_config_adopted(&r->engine);
}

int host_reactor_lu_resized(struct host_reactor *r, struct scsi_lu *lu)
{
    struct scsi_tmf *done = env_alloc(r->host->env, sizeof *done);
    if (!done)
        return ERR_NOMEM;
    done->detached = true; /* nobody waits for it: the device server frees it */
    scsi_lu_resized(&r->engine.scsi, lu, done);
    reactor_kick(r);
    return 0;
}

bool host_reactor_lu_forget(struct host_reactor *r, struct scsi_lu *lu)
{
    if (!scsi_lu_idle(&r->engine.scsi, lu))
        return false;
    scsi_lu_forget(&r->engine.scsi, lu);
    return true;
}

bool host_reactor_session_notify(struct host_reactor *r, uint64_t id, uint8_t code, const char *text)
{
    bool found = tgt_session_notify(&r->engine, id, code, text, (uint32_t)strlen(text));
    reactor_kick(r);
    return found;
}

bool host_reactor_session_drop(struct host_reactor *r, uint64_t id)
{
    bool found = tgt_session_drop(&r->engine, id);
    reactor_kick(r);
    return found;
}

/* ---- stopping ---- */

uint32_t host_reactor_stop(struct host_reactor *r, bool now)
{
    r->stopping = true;
    r->stop_now |= now;
    list_for_each_safe(it, &r->listeners) listener_close(list_entry(it, struct host_listener, node));
    uint32_t sessions = tgt_stop(&r->engine, r->stop_now);
    reactor_kick(r);
    return sessions;
}

bool host_reactor_idle(struct host_reactor *r)
{
    return list_empty(&r->conns) && list_empty(&r->listeners) && list_empty(&r->engine.sessions) &&
           !r->kicked && r->store_pending == 0 && list_empty(&r->engine.scsi.messages) &&
           atomic_load(&r->host->in_transit) == 0;
}

/* ---- looking in ---- */

void host_reactor_stats(struct host_reactor *r, struct host_stats *out)
{
    *out = (struct host_stats){0};
    io_get_stats(r->io, &out->io);
    out->engine = r->engine.counters;
    out->memory_in_use = pool_bytes_in_use(r->pool);
    out->pool_allocations = pool_heap_allocations(r->pool);
    out->task_objects = r->engine.tasks_allocated;
    out->span_objects = r->engine.scsi.spans_allocated;
    out->tx_objects = r->engine.tx_pool.allocated;
    out->connections = r->conn_count;
    out->store_requests = r->store_requests;
    memcpy(out->transitions, r->engine.transitions, sizeof out->transitions);
    list_for_each(it, &r->engine.sessions) out->sessions++;
}

void host_stats_add(struct host_stats *sum, const struct host_stats *one)
{
    /* Every member is a uint64_t count: added as such. */
    uint64_t *into = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)one;
    _Static_assert(sizeof *sum % sizeof *into == 0, "only 64-bit counts");
    for (size_t i = 0; i < sizeof *sum / sizeof *into; i++)
        into[i] += from[i];
}

uint64_t host_refused(struct host *host)
{
    return atomic_load(&host->refused);
}
