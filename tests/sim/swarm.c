/* Swarm testing: each seed draws which faults and features are on. Runs with few faults reach other states
 * than runs with all of them. The draw has a generator of its own, so that a changed fault does not change
 * the choice of options. */
#include "tests/sim/world.h"

struct dice {
    uint64_t state;
};

/* splitmix64 */
static uint64_t roll(struct dice *d, uint64_t below)
{
    d->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = d->state;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (x ^ (x >> 31)) % below;
}

static bool percent(struct dice *d, uint64_t chance)
{
    return roll(d, 100) < chance;
}

static void draw_network(struct dice *d, struct sim_options *o)
{
    if (percent(d, 50))
        o->split = 1 + (uint32_t)roll(d, 500);
    if (percent(d, 50))
        o->net_delay_ns = 1 + roll(d, percent(d, 30) ? 200 * MS_NS : 5 * MS_NS);
    if (percent(d, 30))
        o->conn_delay_ns = 1 + roll(d, 50 * MS_NS);
    if (percent(d, 40))
        o->cut = 1 + (uint32_t)roll(d, 6);
    if (percent(d, 25)) {
        o->stall = 1 + (uint32_t)roll(d, 10);
        o->stall_ns = 1 + roll(d, 8 * SECOND_NS);
    }
    if (percent(d, 12))
        o->half_open = 1 + (uint32_t)roll(d, 3);
    if (percent(d, 15))
        o->half_close = 1 + (uint32_t)roll(d, 3);
    if (percent(d, 25))
        o->refuse = 50 + (uint32_t)roll(d, 400);
}

static void draw_disk(struct dice *d, struct sim_options *o, bool errors)
{
    if (percent(d, 50))
        o->disk_delay_ns = 1 + roll(d, percent(d, 30) ? 100 * MS_NS : 2 * MS_NS);
    if (percent(d, 25)) {
        o->disk_slow = 1 + (uint32_t)roll(d, 30);
        o->disk_slow_ns = 1 + roll(d, 5 * SECOND_NS);
    }
    if (percent(d, 30))
        o->disk_short = 1 + (uint32_t)roll(d, 200);
    if (errors && percent(d, 50))
        o->disk_error = 1 + (uint32_t)roll(d, 40);
    if (errors && percent(d, 30))
        o->disk_full = 1 + (uint32_t)roll(d, 40);
}

static void draw_chaos(struct dice *d, struct swarm *s)
{
    static const uint8_t chances[CHAOS_COUNT] = {
        [CHAOS_CUT_ALL] = 20,      [CHAOS_SILENCE_ALL] = 8,    [CHAOS_SESSION_DROP] = 20,
        [CHAOS_CLIENT_CRASH] = 25, [CHAOS_CLIENT_VANISH] = 25, [CHAOS_TARGET_CRASH] = 20,
        [CHAOS_TARGET_POWER] = 25, [CHAOS_TARGET_VANISH] = 8,  [CHAOS_TARGET_STOP] = 12,
        [CHAOS_CONFIG] = 20,       [CHAOS_LUN_TOGGLE] = 25,    [CHAOS_LUN_GROW] = 25,
        [CHAOS_ALLOC_TARGET] = 10, [CHAOS_ALLOC_CLIENT] = 10,  [CHAOS_TMF] = 30,
        [CHAOS_LOGOUT] = 20,       [CHAOS_TEXT] = 20,          [CHAOS_NOTIFY] = 10,
        [CHAOS_RENEGOTIATE] = 12,  [CHAOS_VISIT] = 12,
    };
    /* A memory disk lives and dies with its machine. */
    static const uint32_t needs_file = 1u << CHAOS_TARGET_CRASH | 1u << CHAOS_TARGET_POWER |
                                       1u << CHAOS_TARGET_VANISH | 1u << CHAOS_TARGET_STOP |
                                       1u << CHAOS_LUN_TOGGLE;
    for (uint32_t i = 0; i < CHAOS_COUNT; i++)
        s->chaos |= percent(d, chances[i]) ? 1u << i : 0;
    if (!s->file_store)
        s->chaos &= ~needs_file;
    if (percent(d, 25))
        s->chaos = 0;
    if (s->flip_data && percent(d, 40)) /* pieces of another size, while some are lost */
        s->chaos |= 1u << CHAOS_TEXT;
}

/* Some coincidences are too rare to be left to chance: worlds in which nearly nothing else happens. */
static void draw_theme(struct dice *d, struct swarm *s)
{
    const uint64_t theme = roll(d, 30);
    if (theme > 2)
        return;
    s->chaos_gap_ns = (100 + roll(d, 900)) * MS_NS;
    s->commands = 60 + (uint32_t)roll(d, 60);
    s->recovery_level = 1 + (uint32_t)percent(d, 70);
    s->flip_header = s->flip_data = 0;
    s->command_timeout_ns = 0;
    if (theme == 0) { /* orderly stops, logouts and cuts while a disk is slow */
        s->file_store = s->faults.disk_cache = true;
        s->faults.disk_slow = 400;
        s->faults.disk_slow_ns = 6 * SECOND_NS;
        s->stop_wait_ns = (1 + roll(d, 4)) * SECOND_NS;
        s->chaos = 1u << CHAOS_TARGET_STOP | 1u << CHAOS_LOGOUT | (percent(d, 40) ? 1u << CHAOS_CUT_ALL : 0);
    } else if (theme == 1) { /* segments change their size while some of them are lost */
        s->flip_data = 60 + (uint32_t)roll(d, 100);
        s->unit_blocks = s->window_blocks < 192 ? s->window_blocks : 192;
        s->chaos = 1u << CHAOS_TEXT | 1u << CHAOS_RENEGOTIATE;
        s->chaos_gap_ns = 40 * MS_NS;
    } else { /* sessions of level 2 come back, or are ended while they do */
        s->recovery_level = 2;
        s->file_store = s->faults.disk_cache = true;
        s->faults.disk_slow = 300;
        s->faults.disk_slow_ns = 8 * SECOND_NS;
        s->window_blocks = 16;
        s->unit_blocks = 8;
        s->faults.net_delay_ns = (10 + roll(d, 200)) * MS_NS;
        s->faults.refuse = (uint32_t)roll(d, 500);
        s->chaos_gap_ns = 200 * MS_NS;
        s->chaos = 1u << CHAOS_CUT_ALL | 1u << CHAOS_SESSION_DROP | 1u << CHAOS_CLIENT_VANISH;
    }
}

void swarm_draw(struct swarm *s, uint64_t seed)
{
    static const uint32_t windows[] = {16, 64, 256, 2048};
    static const uint32_t units[] = {1, 8, 16, 128, 192};
    static const uint32_t gaps_ms[] = {30, 200, 1000, 5000};
    struct dice d = {seed};
    *s = (struct swarm){0};
    s->reactors = 1 + (uint32_t)roll(&d, WORLD_REACTORS_MAX);
    s->clients = percent(&d, 20) ? 1 + (uint32_t)roll(&d, WORLD_CLIENTS_MAX) : 1 + (uint32_t)roll(&d, 3);
    s->commands = 10 + (uint32_t)roll(&d, 50);
    s->luns = 1 + (uint32_t)percent(&d, 40);
    s->window_blocks = windows[roll(&d, 4)];
    s->unit_blocks = units[roll(&d, 5)];
    if (s->unit_blocks > s->window_blocks)
        s->unit_blocks = s->window_blocks;
    s->depth = 1 + (uint32_t)roll(&d, 8);
    /* Commands of several spans, which cost time: few of them. */
    if (s->window_blocks == 2048 && percent(&d, 25)) {
        s->unit_blocks = 1024;
        s->depth = 1 + (uint32_t)roll(&d, 3);
        s->commands = 5 + (uint32_t)roll(&d, 10);
    }
    s->chap = percent(&d, 25);
    s->file_store = percent(&d, 65);
    s->faults.post_delay_ns = percent(&d, 50) ? 1 + roll(&d, 5 * MS_NS) : 0;
    draw_network(&d, &s->faults);
    if (s->file_store) {
        draw_disk(&d, &s->faults, percent(&d, 25));
        s->faults.disk_cache = true;
        s->final_power_cut = percent(&d, 50);
    }
    if (percent(&d, 12)) {
        s->faults.clock_jump = 1 + (uint32_t)roll(&d, 3);
        s->faults.clock_jump_ns = 1 + roll(&d, 40 * SECOND_NS);
    }
    if (percent(&d, 20))
        s->flip_header = 1 + (uint32_t)roll(&d, 20);
    if (percent(&d, 25))
        s->flip_data = 1 + (uint32_t)roll(&d, 12);
    draw_chaos(&d, s);
    s->chaos_gap_ns = gaps_ms[roll(&d, 4)] * MS_NS;
    s->fault_ns = (2 + roll(&d, 30)) * SECOND_NS;
    s->command_timeout_ns =
        percent(&d, s->faults.disk_slow ? 60 : 25) ? 200 * MS_NS + roll(&d, 4 * SECOND_NS) : 0;
    /* A connection that went silent is found out by pings only. */
    s->command_window = percent(&d, 40) ? 1 + (uint32_t)roll(&d, 8) : 0;
    s->target_nop_ns = (5 + roll(&d, 20)) * SECOND_NS;
    s->stop_wait_ns = (1 + roll(&d, 10)) * SECOND_NS;
    s->tasks_max = percent(&d, 10) ? 1 + (uint32_t)roll(&d, 4) : 0;
    s->target_memory = percent(&d, 10) ? (3 + roll(&d, 8)) << 20 : 0;
    s->level_7144 = percent(&d, 60);
    s->task_reporting = (uint32_t)roll(&d, KEY_TASK_REPORTING_COUNT);
    s->recovery_level = (uint32_t)(seed % 3);
    draw_theme(&d, s);
    if (s->file_store && percent(&d, 60)) /* part of the disk is cached: what is there needs no operation */
        s->faults.disk_now = (uint32_t)roll(&d, 1001);
}
