/* What happens to machines, sessions and configuration while initiators work. */
#include "tests/sim/world.h"

static struct client *some_client(struct world *w)
{
    return w->clients[world_pick(w, w->client_count)];
}

/* The first one that can. */
static void somebody(struct world *w, bool (*act)(struct client *c))
{
    uint32_t first = (uint32_t)world_pick(w, w->client_count);
    for (uint32_t i = 0; i < w->client_count; i++)
        if (act(w->clients[(first + i) % w->client_count]))
            return;
}

void chaos_strike(struct world *w, enum chaos what)
{
    uint64_t nth;
    switch (what) {
    case CHAOS_CUT_ALL:
        sim_cut_all(w->sim);
        coverage_add(COVER_CUT_ALL, 1);
        break;
    case CHAOS_SILENCE_ALL:
        sim_silence_all(w->sim);
        coverage_add(COVER_SILENCE_ALL, 1);
        break;
    case CHAOS_SESSION_DROP:
        coverage_add(COVER_SESSION_DROP, target_session_drop(w));
        break;
    case CHAOS_CLIENT_CRASH:
    case CHAOS_CLIENT_VANISH:
        client_crash(some_client(w), what == CHAOS_CLIENT_VANISH);
        break;
    case CHAOS_TARGET_CRASH:
        target_die(w, DEATH_CRASH);
        break;
    case CHAOS_TARGET_POWER:
        target_die(w, DEATH_POWER);
        break;
    case CHAOS_TARGET_VANISH:
        target_die(w, DEATH_VANISH);
        break;
    case CHAOS_TARGET_STOP: /* it asks for logouts: some have just been sent, others come in a moment */
        if (world_chance(w, 30))
            somebody(w, client_logout);
        target_stop(w);
        w->crossing = world_chance(w, 50);
        break;
    case CHAOS_CONFIG:
        target_new_config(w);
        break;
    case CHAOS_LUN_TOGGLE:
        target_lun_toggle(w);
        break;
    case CHAOS_LUN_GROW:
        target_lun_grow(w);
        break;
    case CHAOS_TMF:
        somebody(w, client_tmf);
        break;
    case CHAOS_LOGOUT:
        somebody(w, client_logout);
        break;
    case CHAOS_TEXT:
        somebody(w, client_text);
        break;
    case CHAOS_NOTIFY:
        coverage_add(COVER_NOTIFY, target_notify(w));
        break;
    case CHAOS_RENEGOTIATE:
        target_renegotiate(w);
        break;
    case CHAOS_VISIT:
        visitor_start(w, (enum visit)world_pick(w, VISIT_COUNT));
        break;
    case CHAOS_ALLOC_TARGET:
        w->machine.fail_in = 1 + world_pick(w, 40);
        break;
    case CHAOS_ALLOC_CLIENT:
        nth = 1 + world_pick(w, 40); /* one draw after the other: C leaves the order of arguments open */
        client_fail_alloc(some_client(w), nth);
        break;
    case CHAOS_COUNT:
        break;
    }
}

void chaos_poll(struct world *w)
{
    if (world_now(w) < w->chaos_at_ns || !w->swarm.chaos)
        return;
    w->chaos_at_ns = world_now(w) + 1 + world_pick(w, 2 * w->swarm.chaos_gap_ns);
    if (w->crossing) {
        w->crossing = false;
        chaos_strike(w, world_chance(w, 70) ? CHAOS_LOGOUT : CHAOS_CUT_ALL);
        return;
    }
    uint32_t first = (uint32_t)world_pick(w, CHAOS_COUNT);
    for (uint32_t i = 0; i < CHAOS_COUNT; i++) {
        uint32_t what = (first + i) % CHAOS_COUNT;
        if (w->swarm.chaos >> what & 1) {
            chaos_strike(w, (enum chaos)what);
            if (w->crossing)
                w->chaos_at_ns = world_now(w) + 1 + world_pick(w, SECOND_NS);
            return;
        }
    }
}
