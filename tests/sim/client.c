/* An initiator in the simulated world: a machine of its own with the library's client on it. It keeps
 * commands in flight in a window of blocks that it shares with all others, and checks every answer against
 * the model (client_io.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/env.h"
#include "initiator/lib/client.h"
#include "tests/sim/client.h"
#include "tests/sim/world.h"

#define REOPEN_NS (2 * SECOND_NS) /* longest time until a login that failed is tried again */
#define REBOOT_NS (4 * SECOND_NS) /* longest time that a crashed machine stays away */

/* ---- sessions ---- */

/* Whatever the sessions before this one have lost can no longer happen. */
static void client_fence(struct client *c)
{
    for (uint32_t i = 0; i < c->world->swarm.luns; i++)
        model_fence(c->world->luns[i].model, c->index);
}

static void client_opened(void *arg, int err)
{
    struct client *c = arg;
    struct world *w = c->world;
    c->opening = false;
    if (err) {
        world_say(w, "client %u cannot log in: %s", c->index, lnt_client_error(c->lnt));
        c->reopen_at_ns = world_now(w) + 1 + world_pick(w, REOPEN_NS);
        return;
    }
    world_say(w, "client %u is logged in", c->index);
    c->opened = true;
    const struct key_params *params = lnt_client_params(c->lnt);
    coverage_add(COVER_LEVEL_0 + params->error_recovery_level, 1);
    coverage_add(COVER_MANY_CONNECTIONS, params->max_connections > 1);
    coverage_add(COVER_FAST_ABORT, params->task_reporting == KEY_TASK_REPORTING_FAST_ABORT);
    coverage_add(COVER_RESPONSE_FENCE, params->task_reporting == KEY_TASK_REPORTING_RESPONSE_FENCE);
    coverage_add(COVER_LEVEL_7144, params->iscsi_protocol_level >= 2);
    client_fence(c);
    client_go_on(c);
}

/* What an initiator asks for is its own choice, and stays so when it comes back. */
static uint32_t choice(const struct client *c, uint32_t shift, uint32_t count)
{
    uint64_t x =
        (c->world->seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + c->index * UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 31;
    return (uint32_t)(x >> shift) % count;
}

static void client_options(struct client *c, struct lnt_options *o)
{
    static const struct key_choices crc = {1, {KEY_DIGEST_CRC32C}}, none = {1, {KEY_DIGEST_NONE}};
    const struct swarm *swarm = &c->world->swarm;
    /* Lengths that are no multiples of a block, too. */
    const uint32_t odd = choice(c, 25, 2) ? 1 + choice(c, 23, 30) : 0;
    lnt_options_default(o);
    snprintf(o->session.initiator_name, sizeof o->session.initiator_name, "iqn.2026-01.org.lunette:client%u",
             c->index);
    memset(o->session.isid, 0, sizeof o->session.isid); /* the default is random */
    o->session.isid[0] = 0x80;
    o->session.isid[5] = (uint8_t)c->index;
    o->replacement_timeout_ns = 24u * 3600u * SECOND_NS; /* a cut must never surface */
    o->command_timeout_ns = swarm->command_timeout_ns;
    o->session.keys.header_digest = swarm->flip_header || choice(c, 1, 3) == 0 ? crc : none;
    o->session.keys.data_digest = swarm->flip_data || choice(c, 3, 3) == 0 ? crc : none;
    o->session.keys.initial_r2t = choice(c, 5, 2);
    o->session.keys.immediate_data = choice(c, 6, 2);
    o->session.keys.max_recv_data_segment_length = (512u << choice(c, 7, 9)) + 4 * odd;
    o->session.keys.max_burst_length = (4096u << choice(c, 11, 6)) + 20 * odd;
    o->session.keys.first_burst_length = (512u << choice(c, 15, 4)) + 20 * odd;
    o->session.keys.max_outstanding_r2t = 1 + choice(c, 19, 4);
    o->session.keys.error_recovery_level = swarm->level_2 ? 2 : choice(c, 21, 3);
    o->connections = choice(c, 27, 2) ? 1 + choice(c, 29, 4) : 1;
    if (swarm->connections)
        o->connections = swarm->connections;
    o->session.keys.max_connections = o->connections;
    o->session.keys.iscsi_protocol_level = 1 + choice(c, 13, 2);
    if (choice(c, 17, 3)) /* else it offers none */
        o->session.keys.task_reporting = (struct key_choices){
            3,
            {KEY_TASK_REPORTING_FAST_ABORT, KEY_TASK_REPORTING_RESPONSE_FENCE, KEY_TASK_REPORTING_RFC3720}};
    o->spread = choice(c, 9, 4) == 0;
}

/* The machine boots: a new io, a new heap, a new client with the same name and ISID. */
static void client_boot(struct client *c)
{
    struct world *w = c->world;
    struct lnt_url url = {.lun = 0};
    struct lnt_options options;
    snprintf(url.portal, sizeof url.portal, "10.0.0.1:3260");
    snprintf(url.target, sizeof url.target, "%s", WORLD_IQN);
    if (w->swarm.chap) {
        snprintf(url.user, sizeof url.user, "sim");
        memcpy(url.secret, "simulated secret", 16);
        url.secret_len = 16;
    }
    client_options(c, &options);
    machine_heap_init(&c->machine, sim_env(w->sim));
    WORLD_CHECK(sim_io_new(w->sim, &c->io) == 0);
    WORLD_CHECK(lnt_client_new(&c->machine.env, c->io, &url, &options, &c->lnt) == 0);
}

struct client *client_new(struct world *w, uint32_t index, uint32_t commands)
{
    struct client *c = env_alloc(&w->heap, sizeof *c);
    WORLD_CHECK(c);
    c->world = w;
    c->index = index;
    c->left = commands;
    size_t room =
        (size_t)(w->swarm.unit_blocks > CLIENT_CHECK_UNIT ? w->swarm.unit_blocks : CLIENT_CHECK_UNIT) *
        WORLD_BLOCK;
    WORLD_CHECK(w->swarm.unit_blocks <= CLIENT_UNIT_MAX);
    for (uint32_t i = 0; i < CLIENT_DEPTH_MAX; i++) {
        c->slots[i].client = c;
        c->slots[i].buffer = i < w->swarm.depth ? env_alloc(&w->heap, room) : NULL;
        WORLD_CHECK(c->slots[i].buffer || i >= w->swarm.depth);
    }
    client_boot(c);
    return c;
}

void client_start(struct client *c)
{
    c->opening = true;
    lnt_client_open(c->lnt, client_opened, c);
}

bool client_up(const struct client *c)
{
    return c->opened;
}

bool client_idle(const struct client *c)
{
    return c->opened && !c->left && !c->in_flight && !c->checking;
}

void client_check_all(struct client *c)
{
    c->checking = true;
    c->check_lun = 0;
    c->check_lba = 0;
    client_go_on(c);
}

void client_flush_all(struct client *c)
{
    for (uint32_t i = 0; i < c->world->swarm.luns; i++)
        client_command(c, CLIENT_FLUSH, i, 0, 0);
}

void client_fail_alloc(struct client *c, uint64_t nth)
{
    c->machine.fail_in = nth;
}

static void count_machine(struct client *c)
{
    struct lnt_counters counters;
    lnt_client_counters(c->lnt, &counters);
    coverage_add(COVER_SNACK_DATA, counters.recovery.snacks[0]);
    coverage_add(COVER_SNACK_STATUS, counters.recovery.snacks[1]);
    coverage_add(COVER_SNACK_ACK, counters.recovery.snacks[2]);
    coverage_add(COVER_SNACK_RDATA, counters.recovery.snacks[3]);
    coverage_add(COVER_RETRY, counters.recovery.retries);
    coverage_add(COVER_REASSIGN, counters.recovery.reassigns);
    coverage_add(COVER_CONN_RECOVERED, counters.recovery.recovered_connections);
    coverage_add_initiator(&counters.transitions);
    if (c->lnt->session)
        coverage_add_initiator(ini_transitions(c->lnt->session));
    c->world->alloc_failed |= c->machine.failed > 0;
    coverage_add(COVER_ALLOC_CLIENT, c->machine.failed);
}

uint64_t client_transition(const struct client *c, const char *name)
{
    const struct ini_session *s = c->lnt ? c->lnt->session : NULL;
    struct lnt_counters sum = {0};
    uint64_t count = 0;
    if (c->lnt)
        lnt_client_counters(c->lnt, &sum);
    const struct ini_transitions *past = &sum.transitions, *now = s ? ini_transitions(s) : NULL;
    for (uint32_t i = 0; i < INI_CONN_TRANSITIONS; i++)
        if (strcmp(ini_conn_table[i].name, name) == 0)
            count += past->conn[i] + (now ? now->conn[i] : 0);
    for (uint32_t i = 0; i < INI_SESSION_TRANSITIONS; i++)
        if (strcmp(ini_session_table[i].name, name) == 0)
            count += past->session[i] + (now ? now->session[i] : 0);
    return count;
}

uint32_t client_connections(const struct client *c)
{
    return c->lnt && c->lnt->session ? ini_connections(c->lnt->session) : 0;
}

/* Commands in flight are lost; what they were to do may be done by the target until the next session stands.
 */
void client_crash(struct client *c, bool silent)
{
    if (!c->io || c->closed)
        return;
    world_say(c->world, "client %u dies", c->index);
    coverage_add(silent ? COVER_CLIENT_VANISH : COVER_CLIENT_CRASH, 1);
    c->reconnects_before += lnt_client_reconnects(c->lnt);
    count_machine(c);
    sim_crash(c->world->sim, &c->io, 1, silent);
    machine_heap_drop(&c->machine);
    c->io = NULL;
    c->lnt = NULL;
    c->opened = c->opening = false;
    c->reopen_at_ns = c->reconnects = 0;
    for (uint32_t i = 0; i < CLIENT_DEPTH_MAX; i++) {
        struct slot *slot = &c->slots[i];
        if (slot->busy)
            model_lost(slot->lun->model, slot->op, c->index);
        slot->busy = false;
    }
    c->in_flight = 0;
    c->start_at_ns = world_now(c->world) + 1 + world_pick(c->world, REBOOT_NS);
}

void client_poll(struct client *c)
{
    uint64_t now = world_now(c->world);
    if (c->start_at_ns && now >= c->start_at_ns) {
        c->start_at_ns = 0;
        client_boot(c);
        client_start(c);
    }
    if (c->reopen_at_ns && now >= c->reopen_at_ns) {
        c->reopen_at_ns = 0;
        client_start(c);
    }
    if (!c->lnt)
        return;
    uint64_t reconnects = lnt_client_reconnects(c->lnt);
    if (reconnects != c->reconnects) {
        coverage_add(COVER_RECONNECT, reconnects - c->reconnects);
        c->reconnects = reconnects;
        client_fence(c);
    }
}

static void client_is_closed(void *arg)
{
    ((struct client *)arg)->closed = true;
}

void client_close(struct client *c)
{
    lnt_client_close(c->lnt, client_is_closed, c);
}

bool client_closed(const struct client *c)
{
    return c->closed;
}

void client_free(struct client *c)
{
    struct world *w = c->world;
    count_machine(c);
    lnt_client_free(c->lnt);
    io_free(c->io);
    uint64_t left = machine_heap_drop(&c->machine);
    if (left)
        world_problem(w, "client %u has leaked %llu allocations", c->index, (unsigned long long)left);
    for (uint32_t i = 0; i < CLIENT_DEPTH_MAX; i++)
        env_free(&w->heap, c->slots[i].buffer);
    env_free(&w->heap, c);
}

uint64_t client_reconnects(const struct client *c)
{
    return c->reconnects_before + (c->lnt ? lnt_client_reconnects(c->lnt) : 0);
}
