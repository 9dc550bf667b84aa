/* Directed scenarios: what once went wrong, or what a seed meets too seldom, in ten lines each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/set.h"
#include "tests/sim/world.h"

struct scenario {
    const char *name, *about;
    void (*play)(struct world *w);
    struct swarm swarm;
};

#define PASS_STEPS_MAX 1000000u

/* ---- the words that scenarios are written in ---- */

static void pass(struct world *w, uint64_t ns)
{
    uint64_t until = world_now(w) + ns, steps = 0;
    while (!w->problem[0] && world_now(w) < until && world_step(w))
        if (++steps > PASS_STEPS_MAX)
            world_problem(w, "time does not pass any more");
}

static void up(struct world *w)
{
    for (int i = 0; i < 100; i++) {
        bool all = true;
        for (uint32_t k = 0; k < w->client_count; k++)
            all &= client_up(w->clients[k]);
        if (all)
            return;
        pass(w, 100 * MS_NS);
    }
    world_problem(w, "the scenario's initiators do not log in");
}

static void quiet(struct world *w)
{
    for (int i = 0; i < 3000; i++) {
        bool all = true;
        for (uint32_t k = 0; k < w->client_count; k++)
            all &= client_idle(w->clients[k]);
        if (all)
            return;
        pass(w, 100 * MS_NS);
    }
    world_problem(w, "the scenario's commands do not end");
}

static void write_at(struct world *w, uint32_t client, uint64_t lba, uint32_t blocks)
{
    client_command(w->clients[client], CLIENT_WRITE, 0, lba, blocks);
}

static void read_at(struct world *w, uint32_t client, uint64_t lba, uint32_t blocks)
{
    client_command(w->clients[client], CLIENT_READ, 0, lba, blocks);
}

static void options(struct world *w, struct sim_options o)
{
    o.disk_cache = w->swarm.faults.disk_cache;
    sim_world_set_options(w->sim, &o);
}

/* ---- the scenarios ---- */

/* A write waits in a slow store while its command times out and is aborted; the next write of the same blocks
 * must win. */
static void abort_is_fenced(struct world *w)
{
    up(w);
    options(w, (struct sim_options){.disk_slow = 1000, .disk_slow_ns = 3 * SECOND_NS});
    for (uint64_t i = 0; i < 6; i++)
        write_at(w, 0, 8 * i, 8);
    pass(w, 600 * MS_NS);
    options(w, (struct sim_options){0});
    for (uint64_t i = 0; i < 6; i++)
        write_at(w, 1, 8 * i, 8);
    quiet(w);
    read_at(w, 1, 0, 48);
}

/* An initiator vanishes with writes in a slow store and logs in again: its old writes may not overtake its
 * new ones. */
static void reinstatement_waits(struct world *w)
{
    up(w);
    options(w, (struct sim_options){.disk_slow = 1000, .disk_slow_ns = 8 * SECOND_NS});
    for (uint64_t i = 0; i < 6; i++)
        write_at(w, 0, 8 * i, 8);
    pass(w, 200 * MS_NS);
    client_crash(w->clients[0], true);
    options(w, (struct sim_options){0});
    up(w);
    for (uint64_t i = 0; i < 6; i++)
        write_at(w, 0, 8 * i, 8);
    quiet(w);
    pass(w, 10 * SECOND_NS);
    read_at(w, 0, 0, 48);
}

/* The same with a connection that breaks: the library logs in and repeats by itself. */
static void reconnect_repeats(struct world *w)
{
    up(w);
    options(w, (struct sim_options){.disk_slow = 1000, .disk_slow_ns = 5 * SECOND_NS});
    for (uint64_t i = 0; i < 6; i++)
        write_at(w, 0, 8 * i, 8);
    pass(w, 300 * MS_NS);
    sim_cut_all(w->sim);
    quiet(w);
    read_at(w, 1, 0, 48);
}

/* FUA and SYNCHRONIZE CACHE are promises about the medium. */
static void power_cut_keeps_what_was_flushed(struct world *w)
{
    up(w);
    client_command(w->clients[0], CLIENT_WRITE_FUA, 0, 0, 64);
    write_at(w, 1, 64, 64);
    quiet(w);
    client_command(w->clients[1], CLIENT_FLUSH, 0, 0, 0);
    quiet(w);
    write_at(w, 0, 32, 64); /* and this one may be torn */
    quiet(w);
    target_die(w, DEATH_POWER);
    pass(w, 5 * SECOND_NS);
    read_at(w, 0, 0, 128);
}

/* A process that dies takes no write with it that the disk has. */
static void crash_keeps_what_was_answered(struct world *w)
{
    up(w);
    options(w, (struct sim_options){.disk_delay_ns = 50 * MS_NS});
    for (uint64_t i = 0; i < 8; i++)
        write_at(w, i % 2 ? 1 : 0, 16 * i, 16);
    pass(w, 40 * MS_NS);
    target_die(w, DEATH_CRASH);
    quiet(w);
    read_at(w, 0, 0, 128);
}

/* Nobody tells anybody: pings find out on both sides. */
static void silence_is_noticed(struct world *w)
{
    up(w);
    write_at(w, 0, 0, 64);
    pass(w, 1 * MS_NS);
    sim_silence_all(w->sim);
    quiet(w);
    read_at(w, 1, 0, 64);
}

/* A target that lost its power without a word; its successor knows no session. */
static void vanished_target_is_noticed(struct world *w)
{
    up(w);
    write_at(w, 0, 0, 64);
    target_die(w, DEATH_VANISH);
    quiet(w);
    read_at(w, 1, 0, 64);
}

/* One direction ends in good order while commands are under way. */
static void half_close_is_an_end(struct world *w)
{
    up(w);
    options(w, (struct sim_options){.half_close = 300});
    for (uint64_t i = 0; i < 6; i++)
        write_at(w, i % 2 ? 1 : 0, 32 * i, 32);
    pass(w, 2 * SECOND_NS);
    options(w, (struct sim_options){0});
    quiet(w);
}

/* The LUN goes away under writes that have reached the store, and comes back. */
static void lun_leaves_under_writes(struct world *w)
{
    up(w);
    options(w, (struct sim_options){.disk_slow = 1000, .disk_slow_ns = 2 * SECOND_NS});
    for (uint64_t i = 0; i < 4; i++)
        client_command(w->clients[0], CLIENT_WRITE, 1, 16 * i, 16);
    pass(w, 100 * MS_NS);
    target_lun_toggle(w);
    pass(w, 10 * SECOND_NS);
    options(w, (struct sim_options){0});
    client_command(w->clients[1], CLIENT_READ, 1, 0, 64);
    pass(w, 1 * SECOND_NS);
    target_lun_toggle(w);
    pass(w, 1 * SECOND_NS);
    client_command(w->clients[1], CLIENT_READ, 1, 0, 64);
}

/* New blocks can be used on every reactor once the news is out. */
static void growth_reaches_every_reactor(struct world *w)
{
    up(w);
    target_lun_grow(w);
    pass(w, 1 * SECOND_NS);
    for (uint32_t i = 0; i < w->client_count; i++)
        client_command(w->clients[i], CLIENT_WRITE, 0, WORLD_LUN_BLOCKS + 16 * i, 16);
    quiet(w);
    client_command(w->clients[0], CLIENT_READ, 0, WORLD_LUN_BLOCKS, 64);
}

/* Bits flip in every tenth PDU: each is noticed, and what had to go again goes again. */
static void flips_are_noticed(struct world *w)
{
    up(w);
    w->digests_hit = true;
    w->wire.flip_data = 100;
    w->wire.flip_header = 20;
    for (uint64_t round = 0; round < 6; round++) {
        write_at(w, 0, 64 * round, 64);
        read_at(w, 1, 64 * round, 64);
        pass(w, 500 * MS_NS);
    }
    w->wire.flip_data = w->wire.flip_header = 0;
    quiet(w);
}

/* The first, second, third ... allocation fails while a session comes up and works. */
static void every_allocation_may_fail(struct world *w)
{
    up(w);
    for (uint64_t nth = 1; nth <= 40 && !w->problem[0]; nth++) {
        w->machine.fail_in = nth;
        sim_cut_all(w->sim);
        write_at(w, 0, 0, 64);
        pass(w, 3 * SECOND_NS);
        quiet(w);
        w->machine.fail_in = 0;
    }
}

/* An orderly stop under load: what was answered is there, what was not is repeated at the successor. */
static void orderly_stop_loses_nothing(struct world *w)
{
    up(w);
    options(w, (struct sim_options){.disk_delay_ns = 300 * MS_NS});
    for (uint64_t i = 0; i < 8; i++)
        write_at(w, i % 2 ? 1 : 0, 16 * i, 16);
    pass(w, 100 * MS_NS);
    target_stop(w);
    quiet(w);
    read_at(w, 0, 0, 128);
}

/* The clock leaps over every deadline at once: sessions may go, data may not. */
static void clock_leaps(struct world *w)
{
    up(w);
    options(w,
            (struct sim_options){.net_delay_ns = MS_NS, .clock_jump = 20, .clock_jump_ns = 60 * SECOND_NS});
    for (uint64_t i = 0; i < 8; i++)
        write_at(w, i % 2 ? 1 : 0, 16 * i, 16);
    quiet(w);
    read_at(w, 0, 0, 128);
}

/* The LUN goes away while Data-Out for it is on its way: what was placed may not be touched any more. */
static void lun_leaves_under_data_out(struct world *w)
{
    up(w);
    for (uint64_t round = 0; round < 5; round++) {
        options(w, (struct sim_options){.split = 500, .net_delay_ns = 20 * MS_NS});
        for (uint64_t i = 0; i < 4; i++)
            client_command(w->clients[i % 2], CLIENT_WRITE, 1, 64 * i, 64);
        pass(w, (40 + 30 * round) * MS_NS);
        target_lun_toggle(w);
        pass(w, 3 * SECOND_NS);
        options(w, (struct sim_options){0});
        quiet(w);
        target_lun_toggle(w);
        pass(w, SECOND_NS);
    }
}

/* The limit on attempts is for unit attentions and full task sets: a cut is no attempt. */
static void cuts_are_no_attempts(struct world *w)
{
    up(w);
    options(w, (struct sim_options){.disk_slow = 1000, .disk_slow_ns = 30 * SECOND_NS});
    write_at(w, 0, 0, 64);
    for (int i = 0; i < 90; i++) {
        pass(w, 700 * MS_NS);
        sim_cut_all(w->sim);
    }
    options(w, (struct sim_options){0});
    quiet(w);
    read_at(w, 1, 0, 64);
}

/* A deadline passes while the turn that will see to it is already on its way, and late. */
static void timer_waits_for_the_flush(struct world *w)
{
    up(w);
    options(w, (struct sim_options){
                   .post_delay_ns = 400 * MS_NS, .disk_slow = 1000, .disk_slow_ns = 3 * SECOND_NS});
    for (uint64_t i = 0; i < 6; i++)
        write_at(w, i % 2 ? 1 : 0, 8 * i, 8);
    pass(w, 5 * SECOND_NS);
    options(w, (struct sim_options){0});
    quiet(w);
}

/* First bursts, bursts and segments of lengths that neither blocks nor words divide. */
static void odd_lengths(struct world *w)
{
    up(w);
    for (uint64_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < w->client_count; i++)
            write_at(w, i, 64 * i + 7 * round, 57);
        quiet(w);
        for (uint32_t i = 0; i < w->client_count; i++)
            read_at(w, i, 64 * i, 64);
        quiet(w);
    }
}

/* Connections join a session whose window is full: the window that their logins tell is the session's. */
static void window_at_a_join(struct world *w)
{
    up(w);
    for (int round = 0; round < 8; round++) {
        options(w, (struct sim_options){.net_delay_ns = 2 * MS_NS, .disk_delay_ns = 5 * MS_NS});
        for (uint64_t i = 0; i < 16; i++)
            write_at(w, i % 2 ? 1 : 0, 8 * i, 8);
        pass(w, 3 * MS_NS);
        if (round % 2)
            sim_cut_all(w->sim);
        options(w, (struct sim_options){0});
        quiet(w);
    }
}

/* Commands that wait for Data-Out hold all memory, and the Data-Out needs some to arrive. */
static void little_memory_is_no_deadlock(struct world *w)
{
    up(w);
    for (int round = 0; round < 4; round++) {
        options(w, (struct sim_options){.net_delay_ns = 3 * MS_NS, .disk_delay_ns = 20 * MS_NS});
        for (uint32_t i = 0; i < w->client_count; i++)
            for (uint64_t k = 0; k < 6; k++)
                write_at(w, i, 200 * i + 30 * k, 64);
        quiet(w);
        options(w, (struct sim_options){0});
    }
}

/* ABORT TASK SET waits for data that is due; commands that come meanwhile are not its business. */
static void later_commands_outlive_an_abort(struct world *w)
{
    enum { ABORT_TASK_SET = 2 };
    up(w);
    options(w, (struct sim_options){.net_delay_ns = 30 * MS_NS, .split = 300});
    for (int round = 0; round < 6; round++) {
        for (uint64_t i = 0; i < 3; i++)
            write_at(w, 0, 64 * i, 64);
        pass(w, (10 + 15 * (uint64_t)round) * MS_NS);
        client_function(w->clients[0], ABORT_TASK_SET, false);
        for (uint64_t i = 0; i < 4; i++)
            read_at(w, 0, 32 * i, 32);
        quiet(w);
    }
}

/* Two initiators reset the same LUN. Writes of one that the other's reset has aborted wait for data that is
 * due: no answer of theirs may follow the answer to its own reset. */
static void resets_cross(struct world *w)
{
    enum { LOGICAL_UNIT_RESET = 5 };
    up(w);
    options(w, (struct sim_options){.net_delay_ns = 20 * MS_NS, .disk_delay_ns = 30 * MS_NS});
    for (int round = 0; round < 40; round++) {
        for (uint64_t i = 0; i < 8; i++)
            write_at(w, i % 2 ? 1 : 0, 64 * i, 64);
        pass(w, (20 + 4 * (uint64_t)round) * MS_NS);
        client_function(w->clients[round % 2], LOGICAL_UNIT_RESET, false);
        client_function(w->clients[1 - round % 2], LOGICAL_UNIT_RESET, false);
        quiet(w);
    }
}

/* The first, second, third ... allocation fails while data are read: what is lost then ends the command. */
static void reads_without_memory(struct world *w)
{
    up(w);
    w->alloc_failed = true;
    for (uint64_t nth = 1; nth <= 60 && !w->problem[0]; nth++) {
        w->machine.fail_in = 4 * nth;
        for (uint32_t i = 0; i < w->client_count; i++)
            read_at(w, i, 8 * nth, 190);
        quiet(w);
        w->machine.fail_in = 0;
    }
}

/* Segments change their size while data are lost and in part on their way: what was skipped as a copy may be
 * wanted when it is complete. */
static void segments_change_under_loss(struct world *w)
{
    up(w);
    w->digests_hit = true;
    w->wire.flip_data = 150;
    options(w, (struct sim_options){.split = 400, .net_delay_ns = 30 * MS_NS});
    for (uint64_t round = 0; round < 60; round++) {
        for (uint32_t i = 0; i < w->client_count; i++) {
            if (round % 4 == 0)
                read_at(w, i, 190 * i, 190);
            client_text(w->clients[i]);
        }
        pass(w, 150 * MS_NS);
        w->wire.flip_data = round % 4 == 3 ? 0 : 150;
        if (round % 4 == 3)
            quiet(w);
    }
}

/* The target stops while a command is slow: it asks for the logout, asks again, and gets it. */
static void logout_is_asked_for_twice(struct world *w)
{
    up(w);
    options(w, (struct sim_options){.disk_slow = 1000, .disk_slow_ns = 10 * SECOND_NS});
    for (uint64_t i = 0; i < 8; i++)
        write_at(w, i % 2 ? 1 : 0, 8 * i, 8);
    pass(w, 100 * MS_NS);
    target_stop(w);
    pass(w, 2 * SECOND_NS);
    if (w->wire.facts[wire_fact("Async: logout request")] <= w->client_count)
        world_problem(w, "nobody was asked again");
    options(w, (struct sim_options){0});
    quiet(w);
}

/* Questions about tasks, and a reset of a LUN that is not there: each has its answer, and takes nothing. */
static void questions_take_nothing(struct world *w)
{
    enum { LOGICAL_UNIT_RESET = 5, QUERY_TASK = 9 };
    const uint64_t *facts = w->wire.facts;
    up(w);
    options(w, (struct sim_options){.disk_slow = 1000, .disk_slow_ns = 20 * SECOND_NS});
    for (uint32_t i = 0; i < w->client_count; i++)
        for (uint64_t k = 0; k < 4; k++)
            write_at(w, i, 64 * i + 8 * k, 8);
    pass(w, SECOND_NS);
    uint64_t commands = facts[wire_fact("SCSI Command")];
    for (uint32_t i = 0; i < w->client_count; i++) {
        client_function(w->clients[i], QUERY_TASK, false); /* not those that have not got RFC 7144 */
        client_function(w->clients[i], LOGICAL_UNIT_RESET, true);
    }
    pass(w, SECOND_NS);
    if (facts[wire_fact("Task Management Response: function succeeded")] < 2 ||
        facts[wire_fact("Task Management Response: no such LUN")] != w->client_count)
        world_problem(w, "a question has not got its answer");
    options(w, (struct sim_options){0});
    quiet(w);
    if (facts[wire_fact("SCSI Command")] != commands)
        world_problem(w, "commands went again, though nothing was to happen to them");
}

static void all_connections(struct world *w, uint32_t client)
{
    for (int i = 0; i < 300 && client_connections(w->clients[client]) < w->swarm.connections; i++)
        pass(w, 100 * MS_NS);
}

/* The target asks for a logout while the session's own is on its way on another connection. A connection that
 * was asked has nothing to do any more but to be closed, whether its end is seen before the answer or after
 * it: the session was closed, it was not lost. */
static void session_closes_while_asked(struct world *w)
{
    struct client *c = w->clients[0];
    uint64_t before = 0, after = 0; /* the answer, rounds in which the end was seen so */
    for (uint32_t round = 0; round < 40 && !(before && after) && !w->problem[0]; round++) {
        up(w);
        all_connections(w, 0);
        options(w, (struct sim_options){.net_delay_ns = 30 * MS_NS});
        uint64_t closed = client_transition(c, "N3"), broken = client_transition(c, "T16");
        uint64_t elsewhere = client_transition(c, "T18"), failed = client_transition(c, "N5");
        if (!client_log_session_out(c))
            world_problem(w, "the session cannot be logged out");
        target_stop(w);
        pass(w, 5 * SECOND_NS);
        if (client_transition(c, "N3") != closed + 1 || client_transition(c, "N5") != failed)
            world_problem(w, "a session that was logged out counts as lost");
        before += client_transition(c, "T16") > broken;
        after += client_transition(c, "T18") > elsewhere;
    }
    if (!before || !after)
        world_problem(w, "the logouts have not crossed");
    options(w, (struct sim_options){0});
    quiet(w);
}

/* Commands overtake one another on two connections, and there is no memory to hold the one that came early.
 */
static void nothing_to_hold_with(struct world *w)
{
    up(w);
    for (uint64_t nth = 1; nth <= 30 && !w->problem[0]; nth++) {
        all_connections(w, 0);
        options(w, (struct sim_options){.net_delay_ns = 20 * MS_NS});
        w->machine.fail_in = nth;
        for (uint64_t i = 0; i < 8; i++)
            write_at(w, 0, 8 * i, 8);
        quiet(w);
        w->machine.fail_in = 0;
    }
}

/* The session is to log out when its commands have ended, and each of its connections as well. */
static void everything_is_to_log_out(struct world *w)
{
    struct client *c = w->clients[0];
    for (uint32_t round = 0; round < 10 && !w->problem[0]; round++) {
        options(w, (struct sim_options){0});
        up(w);
        all_connections(w, 0);
        options(w, (struct sim_options){.disk_slow = 1000, .disk_slow_ns = SECOND_NS});
        for (uint64_t i = 0; i < 8; i++)
            write_at(w, 0, 8 * i, 8);
        for (uint32_t i = 0; i < 6; i++)
            client_logout(c);
        if (!client_log_session_out(c))
            world_problem(w, "the session cannot be logged out");
        quiet(w);
    }
}

/* A target is reset while commands that it need not wait for are still on their way on another connection. */
static void a_reset_overtakes_commands(struct world *w)
{
    enum { TARGET_WARM_RESET = 6 };
    up(w);
    for (uint32_t round = 0; round < 30 && !w->problem[0]; round++) {
        all_connections(w, 0);
        options(w, (struct sim_options){.net_delay_ns = 30 * MS_NS});
        for (uint64_t i = 0; i < 8; i++)
            write_at(w, 0, 8 * i, 64);
        pass(w, MS_NS);
        client_function(w->clients[0], TARGET_WARM_RESET, false);
        quiet(w);
    }
}

/* A target that has much to say, to an initiator that acknowledges nothing: now and then it asks. */
static void many_events(struct world *w)
{
    up(w);
    all_connections(w, 0);
    for (uint32_t i = 0; i < 600; i++) {
        target_notify(w);
        if (i % 50 == 0)
            pass(w, 100 * MS_NS);
    }
}

/* A session of level 2 has lost all its connections, and its initiator is about to continue it when the
 * administrator ends it: that login fails, and what was in flight begins anew in a new session. */
static void session_ends_while_it_continues(struct world *w)
{
    struct client *c = w->clients[0];
    up(w);
    options(w, (struct sim_options){
                   .net_delay_ns = 30 * MS_NS, .disk_slow = 1000, .disk_slow_ns = 8 * SECOND_NS});
    for (uint64_t i = 0; i < 6; i++)
        write_at(w, 0, 8 * i, 8);
    pass(w, 300 * MS_NS);
    sim_cut_all(w->sim);
    for (int i = 0; i < 60000 && target_transition(w, TGT_N7) == 0; i++)
        pass(w, MS_NS);
    if (!target_session_drop(w) || target_transition(w, TGT_N11) != 1)
        world_problem(w, "the session was not continued when it should end");
    uint64_t sessions = client_transition(c, "N1");
    options(w, (struct sim_options){0});
    quiet(w);
    if (target_transition(w, TGT_N10) || client_transition(c, "N4"))
        world_problem(w, "a session that had ended was continued");
    if (client_transition(c, "N1") != sessions + 1)
        world_problem(w, "there is no new session");
    read_at(w, 0, 0, 48);
}

/* clang-format off */
static const struct scenario scenarios[] = {
    {"abort-is-fenced", "an aborted write never lands after its abort was answered", abort_is_fenced,
     {.command_timeout_ns = 200 * MS_NS}},
    {"reinstatement-waits", "a login that reinstates waits for the old session's writes", reinstatement_waits, {.chap = false}},
    {"reconnect-repeats", "commands of a broken connection are repeated, and end once", reconnect_repeats, {.chap = false}},
    {"power-cut", "FUA and SYNCHRONIZE CACHE survive a power cut", power_cut_keeps_what_was_flushed,
     {.final_power_cut = true}},
    {"crash", "a target that dies loses nothing that the disk has", crash_keeps_what_was_answered, {.chap = false}},
    {"silence", "silent connections are found out by pings", silence_is_noticed, {.chap = false}},
    {"vanished-target", "a target that vanished is found out", vanished_target_is_noticed, {.chap = false}},
    {"half-close", "an orderly end of one direction ends the connection", half_close_is_an_end, {.chap = false}},
    {"lun-leaves", "a LUN is removed under its writes", lun_leaves_under_writes, {.luns = 2}},
    {"growth", "a grown LUN can be used on every reactor", growth_reaches_every_reactor, {.clients = 4}},
    {"flips", "every flipped bit is noticed", flips_are_noticed, {.flip_header = 1, .flip_data = 1}},
    {"nth-allocation", "every allocation of a login and a write may fail", every_allocation_may_fail, {.chap = false}},
    {"orderly-stop", "an orderly stop loses nothing", orderly_stop_loses_nothing, {.chap = false}},
    {"lun-leaves-data-out", "a LUN is removed while Data-Out for it arrives", lun_leaves_under_data_out, {.luns = 2}},
    {"cuts-are-no-attempts", "a command outlives more cuts than it has attempts", cuts_are_no_attempts, {.chap = false}},
    {"timer-and-flush", "a timer does not spin while its turn is on the way", timer_waits_for_the_flush,
     {.command_timeout_ns = 100 * MS_NS}},
    {"odd-lengths", "data in pieces of odd lengths", odd_lengths, {.clients = 8}},
    {"window-at-a-join", "a connection joins while the window is full", window_at_a_join, {.chap = false}},
    {"little-memory", "commands and their data share little memory", little_memory_is_no_deadlock,
     {.clients = 6, .target_memory = 3 << 20}},
    {"abort-set-later", "an abort takes no command that came later", later_commands_outlive_an_abort, {.chap = false}},
    {"resets-cross", "no answer follows a reset's, whoever else resets", resets_cross, {.chap = false}},
    {"reads-without-memory", "every allocation of a read may fail", reads_without_memory, {.clients = 8}},
    {"segments-change", "segments change their size while some are lost", segments_change_under_loss,
     {.clients = 6, .flip_data = 1}},
    {"logout-asked-twice", "who stays is asked once more to log out", logout_is_asked_for_twice, {.chap = false}},
    {"questions", "questions about tasks take none", questions_take_nothing, {.clients = 8, .level_7144 = true}},
    {"closed-while-asked", "logouts of the session and of its connections cross", session_closes_while_asked,
     {.clients = 1, .connections = 3}},
    {"ended-while-continued", "a session ends while its initiator continues it", session_ends_while_it_continues,
     {.clients = 1, .connections = 2, .level_2 = true}},
    {"clock-leaps", "deadlines that pass all at once", clock_leaps, {.chap = false}},
    {"nothing-to-hold-with", "a command that comes early and finds no memory", nothing_to_hold_with,
     {.clients = 1, .connections = 2}},
    {"all-log-out", "a session and all its connections are to log out", everything_is_to_log_out,
     {.clients = 1, .connections = 2}},
    {"reset-overtakes", "what comes after the reset that took it is not done", a_reset_overtakes_commands,
     {.clients = 1, .connections = 2}},
    {"many-events", "a ping follows the status that it asks after", many_events,
     {.clients = 1, .connections = 1, .level_2 = true}},
};
/* clang-format on */

enum { SCENARIO_COUNT = sizeof scenarios / sizeof scenarios[0] };

/* What a scenario does not say. */
static struct swarm scenario_swarm(const struct scenario *scenario)
{
    struct swarm s = scenario->swarm;
    s.reactors = s.reactors ? s.reactors : 2;
    s.clients = s.clients ? s.clients : 2;
    s.luns = s.luns ? s.luns : 1;
    s.window_blocks = 2048;
    s.unit_blocks = 64;
    s.depth = 8;
    s.file_store = true;
    s.faults.disk_cache = true;
    s.command_window = 4;
    s.target_nop_ns = 10 * SECOND_NS;
    s.stop_wait_ns = 3 * SECOND_NS;
    return s;
}

struct play {
    const struct scenario *scenario;
    bool verbose;
};

/* Three times: the seed decides the order of what happens at once. */
static bool play(void *arg)
{
    const struct play *play = arg;
    struct swarm swarm = scenario_swarm(play->scenario);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world *w = calloc(1, sizeof *w);
        struct outcome out = {0};
        if (!w)
            abort();
        w->verbose = play->verbose;
        swarm.recovery_level = swarm.level_2 ? 2 : (uint32_t)(seed % 3);
        world_init(w, seed, &swarm);
        for (uint32_t i = 0; i < swarm.clients; i++)
            w->clients[i] = client_new(w, i, 0);
        w->client_count = swarm.clients;
        for (uint32_t i = 0; i < swarm.clients; i++)
            client_start(w->clients[i]);
        play->scenario->play(w);
        run_finish(w, &out);
        if (out.problem[0]) {
            printf("scenario %s (seed %u): %s\n", play->scenario->name, (unsigned)seed, out.problem);
            return false;
        }
        free(w);
    }
    return true;
}

uint32_t scenarios_run(const char *name, bool verbose, uint32_t *passed)
{
    uint32_t failed = 0;
    *passed = 0;
    for (int i = 0; i < SCENARIO_COUNT; i++) {
        if (name && strcmp(name, scenarios[i].name) != 0)
            continue;
        struct play one = {&scenarios[i], verbose};
        bool good = set_apart(play, &one, 120);
        if (!good)
            printf("replay: lunette-sim --scenario %s --verbose\n", scenarios[i].name);
        *passed += good;
        failed += !good;
    }
    return failed;
}

void scenarios_list(void)
{
    for (int i = 0; i < SCENARIO_COUNT; i++)
        printf("%-20s %s\n", scenarios[i].name, scenarios[i].about);
}
