/* One reactor's turn. io_run delivers every completion of a batch; then, once, this hook lets the engine run
 * until it is quiet, submits its store requests, posts its messages, and only then sends: one gather list per
 * connection and turn. */
#include <assert.h>
#include <string.h>

#include "common/base/err.h"
#include "target/service/host_internal.h"

static void kick_run(struct io_post *post)
{
    /* Nothing to do: the turn that delivered it ends with reactor_turn. */
    struct host_reactor *r = container_of(post, struct host_reactor, kick);
    r->kicked = false;
}

void reactor_kick(struct host_reactor *r)
{
    if (r->kicked)
        return;
    r->kicked = true;
    r->kick.run = kick_run;
    io_post(r->io, &r->kick);
}

/* ---- memory ---- */

static void memory_fire(struct io_timer *timer)
{
    struct host_reactor *r = container_of(timer, struct host_reactor, memory);
    list_splice_back(&r->to_recv, &r->starved);
}

void reactor_memory_wait(struct host_reactor *r, struct host_conn *conn)
{
    list_remove(&conn->recv_node);
    list_push_back(&r->starved, &conn->recv_node);
    r->memory.fire = memory_fire;
    if (!r->memory.armed)
        io_timer_arm(r->io, &r->memory, io_now(r->io) + HOST_RETRY_NS);
}

/* ---- store requests ---- */

static void store_done(struct store_req *req)
{
    struct host_reactor *r = req->host;
    r->store_pending--;
    tgt_store_done(&r->engine, req);
}

static bool submit_requests(struct host_reactor *r)
{
    bool any = false;
    struct store_req *req;
    while ((req = tgt_next_request(&r->engine)) != NULL) {
        req->host = r;
        req->done = store_done;
        r->store_requests++;
        r->store_pending++;
        if (req->store->ops->submit(req->store, r->io, req))
            store_done(req);
        any = true;
    }
    return any;
}

/* ---- messages between reactors ---- */

static void msg_arrived(struct io_post *post)
{
    struct host_msg *carrier = container_of(post, struct host_msg, post);
    struct host_reactor *r = carrier->to;
    atomic_fetch_sub(&r->host->in_transit, 1);
    struct scsi_msg *msg = carrier->msg;
    list_push_back(&r->free_msgs, &carrier->node);
    tgt_message(&r->engine, msg);
}

static struct host_msg *carrier_get(struct host_reactor *r)
{
    struct list_node *node = list_pop_front(&r->free_msgs);
    if (node)
        return list_entry(node, struct host_msg, node);
    struct host_msg *carrier = env_alloc(r->host->env, sizeof *carrier);
    if (carrier)
        list_init(&carrier->node);
    return carrier;
}

static bool post_messages(struct host_reactor *r)
{
    bool any = false;
    while (!list_empty(&r->engine.scsi.messages)) {
        /* The carrier first: a message that has been pulled must not be lost. */
        struct host_msg *carrier = carrier_get(r);
        if (!carrier) {
            if (!r->memory.armed) {
                r->memory.fire = memory_fire;
                io_timer_arm(r->io, &r->memory, io_now(r->io) + HOST_RETRY_NS);
            }
            break;
        }
        carrier->msg = tgt_next_message(&r->engine);
        assert(carrier->msg && carrier->msg->to < r->host->count);
        carrier->to = &r->host->reactors[carrier->msg->to];
        carrier->post.run = msg_arrived;
        atomic_fetch_add(&r->host->in_transit, 1);
        io_post(carrier->to->io, &carrier->post);
        any = true;
    }
    return any;
}

/* ---- events ---- */

static void session_up(struct host_reactor *r, const struct tgt_event *event)
{
    if (event->conn)
        host_conn_login_over(tgt_conn_host(event->conn));
    if (!event->key.target[0])
        return;
    /* The connection that brought the session up holds the place, so it exists. */
    struct directory_place *place = directory_find(r->host->directory, &event->key);
    assert(place && directory_home(place) == r->index);
    directory_hold(r->host->directory, place);
}

/* ---- a target's sessions on the other reactors ---- */

struct host_drop {
    struct io_post post;
    struct host_reactor *to;
    char target[TGT_NAME_MAX];
};

static void drop_arrived(struct io_post *post)
{
    struct host_drop *drop = container_of(post, struct host_drop, post);
    struct host *host = drop->to->host;
    atomic_fetch_sub(&host->in_transit, 1);
    tgt_target_drop(&drop->to->engine, drop->target, "target cold reset");
    env_free(host->env, drop);
}

static void drop_elsewhere(struct host_reactor *r, const char *target)
{
    for (uint32_t i = 0; i < r->host->count; i++) {
        struct host_drop *drop = i == r->index ? NULL : env_alloc(r->host->env, sizeof *drop);
        if (i != r->index && !drop)
            env_trace(r->host->env, TRACE_ERROR, "reset.incomplete", target, "out of memory", i, 0);
        if (!drop)
            continue;
        drop->post.run = drop_arrived;
        drop->to = &r->host->reactors[i];
        memcpy(drop->target, target, sizeof drop->target);
        atomic_fetch_add(&r->host->in_transit, 1);
        io_post(drop->to->io, &drop->post);
    }
}

static bool pull_events(struct host_reactor *r)
{
    bool any = false;
    struct tgt_event event;
    while (tgt_next_event(&r->engine, &event)) {
        any = true;
        switch (event.kind) {
        case TGT_EVENT_PLACE:
            host_conn_place(tgt_conn_host(event.conn), &event.key);
            break;
        case TGT_EVENT_CLOSE:
            host_conn_close(tgt_conn_host(event.conn));
            break;
        case TGT_EVENT_SESSION_UP:
            session_up(r, &event);
            break;
        case TGT_EVENT_COLD_RESET:
            drop_elsewhere(r, event.key.target);
            break;
        case TGT_EVENT_SESSION_DOWN:
            if (event.key.target[0])
                directory_leave(r->host->directory, directory_find(r->host->directory, &event.key));
            break;
        }
    }
    return any;
}

/* ---- the turn ---- */

static void deadline_fire(struct io_timer *timer)
{
    struct host_reactor *r = container_of(timer, struct host_reactor, deadline);
    tgt_tick(&r->engine);
}

static void arm_deadline(struct host_reactor *r)
{
    uint64_t when = tgt_deadline(&r->engine);
    if (when == UINT64_MAX) {
        if (r->deadline.armed)
            io_timer_cancel(r->io, &r->deadline);
    } else if (!r->deadline.armed || r->deadline.deadline_ns != when) {
        r->deadline.fire = deadline_fire;
        io_timer_arm(r->io, &r->deadline, when);
    }
}

static void send_and_receive(struct host_reactor *r)
{
    struct tgt_conn *engine;
    while ((engine = tgt_next_to_send(&r->engine)) != NULL)
        host_conn_send(tgt_conn_host(engine));
    while ((engine = tgt_next_to_read(&r->engine)) != NULL)
        host_conn_recv(tgt_conn_host(engine));
    struct list_node *node;
    while ((node = list_pop_front(&r->to_recv)) != NULL)
        host_conn_recv(list_entry(node, struct host_conn, recv_node));
}

void reactor_turn(void *arg)
{
    struct host_reactor *r = arg;
    bool busy = true;
    for (unsigned round = 0; busy && round < HOST_ROUNDS_MAX; round++) {
        tgt_run(&r->engine);
        busy = pull_events(r);
        busy |= submit_requests(r);
        busy |= post_messages(r);
    }
    send_and_receive(r);
    /* Sockets get their turn before the rest of a long chain of work that always completes at once. */
    if (busy)
        reactor_kick(r);
    arm_deadline(r);
}
