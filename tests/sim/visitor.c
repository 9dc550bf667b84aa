/* Another initiator comes for a short session: to discover, or to a target that has moved. It writes nothing,
 * so it may go from one portal group to another: nobody fences the old session's commands there. While faults
 * are on, a visit may end in any way but must end; afterwards it must go as it should. */
#include <stdio.h>
#include <string.h>

#include "common/base/env.h"
#include "initiator/lib/client.h"
#include "tests/sim/world.h"

#define VISIT_NS  (60 * SECOND_NS) /* then it leaves, whatever it wanted */
#define RETAIN_NS (10 * SECOND_NS)

enum visitor_state { VISITOR_AWAY, VISITOR_OPENING, VISITOR_BUSY, VISITOR_LEAVING, VISITOR_GONE };

struct visitor {
    struct world *world;
    struct io *io;
    struct machine_heap machine;
    struct lnt_client *lnt;
    enum visitor_state state;
    enum visit visit;
    bool strict;    /* it came when there were no faults */
    bool came_back; /* has logged out once, and in again */
    uint64_t since_ns;
    struct list_node targets; /* struct lnt_target, discovered */
};

static const struct {
    const char *name; /* behind WORLD_IQN */
    uint16_t port;
    uint32_t redirects_max;
    enum cover row;
    const char *words; /* of the failure that must come; NULL: none */
} visits[VISIT_COUNT] = {
    [VISIT_DISCOVERY] = {NULL, 3260, 4, COVER_DISCOVERY, NULL},
    [VISIT_TEMPORARY] = {"-temporary", 3261, 4, COVER_MOVED_TEMPORARILY, NULL},
    [VISIT_PERMANENT] = {"-permanent", 3260, 4, COVER_MOVED_PERMANENTLY, NULL},
    [VISIT_OTHER_GROUP] = {"-permanent", 3262, 4, COVER_MOVED_GROUP, NULL},
    [VISIT_CIRCLE] = {"-circle", 3260, 4, COVER_MOVED_CIRCLE, "circle"},
    [VISIT_FAR] = {"-far-away-so-that-it-takes-many-hops-to-get-there", 3260, 1, COVER_MOVED_FAR, "too many"},
};

static void wrong(struct visitor *v, const char *what)
{
    if (v->strict)
        world_problem(v->world, "visit %d: %s (%s)", v->visit, what, lnt_client_error(v->lnt));
}

static void gone(void *arg)
{
    ((struct visitor *)arg)->state = VISITOR_GONE;
}

static void leave(struct visitor *v)
{
    v->state = VISITOR_LEAVING;
    lnt_client_close(v->lnt, gone, v);
}

static void good(struct visitor *v)
{
    coverage_add(visits[v->visit].row, 1);
    leave(v);
}

static void opened(void *arg, int err)
{
    struct visitor *v = arg;
    const char *words = visits[v->visit].words;
    if (v->state != VISITOR_OPENING)
        return;
    v->state = VISITOR_BUSY;
    if (!err && words)
        wrong(v, "a login went through that nobody serves");
    else if (err && !words)
        wrong(v, "the login failed");
    else if (err && !strstr(lnt_client_error(v->lnt), words))
        wrong(v, "the login failed for another reason");
    else if (err)
        coverage_add(visits[v->visit].row, 1);
}

/* ---- what it finds ---- */

static bool found(const struct visitor *v, const char *name, uint32_t portals)
{
    uint32_t count = 0;
    list_for_each(it, &v->targets) count += strcmp(list_entry(it, struct lnt_target, node)->name, name) == 0;
    return count == portals;
}

static void discovered(struct visitor *v)
{
    bool all = v->lnt->text_err == 0;
    for (uint32_t i = 0; all && target_name(i); i++)
        all = found(v, target_name(i), WORLD_PORTALS);
    if (!all) {
        wrong(v, "discovery does not find all targets");
        leave(v);
        return;
    }
    good(v);
}

/* How many redirects it has met says where it went. */
static void look_around(struct visitor *v)
{
    struct lnt_counters n;
    lnt_client_counters(v->lnt, &n);
    bool moves = v->visit == VISIT_TEMPORARY || v->visit == VISIT_PERMANENT;
    if (!v->came_back && moves) {
        v->came_back = true;
        if (ini_logout(v->lnt->session) == 0)
            client_want_flush(v->lnt);
        return;
    }
    if (moves && n.sessions < 2)
        return;
    if (v->strict && n.redirects != (v->visit == VISIT_OTHER_GROUP ? 0u
                                     : v->visit == VISIT_PERMANENT ? 1u
                                                                   : 2u))
        wrong(v, "it was sent elsewhere more or less often than it should");
    good(v);
}

static void go_on(struct visitor *v)
{
    if (v->lnt->state == LNT_FAILED || visits[v->visit].words)
        leave(v);
    else if (world_now(v->world) - v->since_ns > VISIT_NS) {
        wrong(v, "it takes too long");
        leave(v);
    } else if (v->visit == VISIT_DISCOVERY && v->lnt->text_done)
        discovered(v);
    else if (v->visit != VISIT_DISCOVERY && v->lnt->state == LNT_UP)
        look_around(v);
}

/* ---- coming and going ---- */

static void forget(struct visitor *v)
{
    lnt_client_free(v->lnt);
    lnt_targets_free(&v->machine.env, &v->targets);
    v->lnt = NULL;
    v->state = VISITOR_AWAY;
    uint64_t left = machine_heap_drop(&v->machine);
    if (left)
        world_problem(v->world, "a visitor has leaked %llu allocations", (unsigned long long)left);
}

void visitor_poll(struct world *w)
{
    struct visitor *v = w->visitor;
    if (v->state == VISITOR_BUSY)
        go_on(v);
    if (v->state == VISITOR_GONE)
        forget(v);
}

void visitor_start(struct world *w, enum visit visit)
{
    struct visitor *v = w->visitor;
    struct lnt_url url = {.lun = -1};
    struct lnt_options options;
    if (v->state != VISITOR_AWAY)
        return;
    snprintf(url.portal, sizeof url.portal, "10.0.0.1:%u", visits[visit].port);
    if (visits[visit].name)
        snprintf(url.target, sizeof url.target, "%s%s", WORLD_IQN, visits[visit].name);
    if (w->swarm.chap && visits[visit].name) {
        snprintf(url.user, sizeof url.user, "sim");
        memcpy(url.secret, "simulated secret", 16);
        url.secret_len = 16;
    }
    lnt_options_default(&options);
    snprintf(options.session.initiator_name, sizeof options.session.initiator_name,
             "iqn.2026-01.org.lunette:visitor");
    memset(options.session.isid, 0, sizeof options.session.isid);
    options.session.isid[0] = 0x80;
    options.session.keys.max_recv_data_segment_length = 512; /* so that lists of targets come in pieces */
    options.redirects_max = visits[visit].redirects_max;
    options.replacement_timeout_ns = RETAIN_NS;
    world_say(w, "visit %d", visit);
    machine_heap_init(&v->machine, sim_env(w->sim));
    WORLD_CHECK(lnt_client_new(&v->machine.env, v->io, &url, &options, &v->lnt) == 0);
    list_init(&v->targets);
    v->lnt->discovery = visit == VISIT_DISCOVERY;
    v->lnt->targets = &v->targets;
    v->visit = visit;
    v->strict = w->settled;
    v->came_back = false;
    v->since_ns = world_now(w);
    v->state = VISITOR_OPENING;
    lnt_client_open(v->lnt, opened, v);
}

bool visitor_idle(const struct world *w)
{
    return w->visitor->state == VISITOR_AWAY;
}

void visitor_new(struct world *w)
{
    w->visitor = env_alloc(&w->heap, sizeof *w->visitor);
    WORLD_CHECK(w->visitor && sim_io_new(w->sim, &w->visitor->io) == 0);
    w->visitor->world = w;
}

void visitor_free(struct world *w)
{
    io_free(w->visitor->io);
    env_free(&w->heap, w->visitor);
}
