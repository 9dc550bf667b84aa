/* An initiator in the simulated world: keeps commands in flight in a region of its own and knows what each
 * block must hold.
 *
 * A unit has at most one command in flight, and the library hides cuts, so every command must end GOOD,
 * exactly once, and a read must return the last write that was answered. A write that is executed late, twice
 * in the wrong order or not at all shows as a wrong stamp. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/stamp.h"
#include "common/base/env.h"
#include "common/base/err.h"
#include "tests/sim/world.h"

#define CLIENT_BLOCK     512u
#define CLIENT_DEPTH_MAX 8u
#define CLIENT_UNIT_MAX  (96u * 1024u)

struct client_slot {
    struct lnt_command command;
    struct client *client;
    struct io_vec place;
    uint8_t buffer[CLIENT_UNIT_MAX];
    uint32_t unit;
    uint64_t sequence;
    bool write, busy;
};

struct client {
    struct world *world;
    struct io *io;
    struct lnt_client *lnt;
    uint32_t index;
    uint32_t unit_bytes, units, first_lba;
    uint32_t depth, left; /* commands still to issue */
    uint32_t in_flight;
    bool opened, checking, closed;
    uint32_t next_check;
    uint64_t sequence;
    uint64_t *written; /* by unit */
    bool *busy;
    struct client_slot slots[CLIENT_DEPTH_MAX];
    char problem[256];
};

static void client_fail(struct client *c, const char *what, uint64_t a, uint64_t b)
{
    if (!c->problem[0])
        snprintf(c->problem, sizeof c->problem, "client %u: %s (%" PRIu64 ", %" PRIu64 ")", c->index, what, a,
                 b);
}

static void client_stamp(struct client_slot *slot, uint32_t at, uint64_t sequence, struct stamp *out)
{
    const struct client *c = slot->client;
    *out = (struct stamp){c->first_lba + (slot->unit * c->unit_bytes + at) / CLIENT_BLOCK, c->index + 1,
                          sequence};
}

static void client_check(struct client_slot *slot)
{
    struct client *c = slot->client;
    uint64_t sequence = c->written[slot->unit];
    static const uint8_t zeros[CLIENT_BLOCK];
    for (uint32_t at = 0; at < c->unit_bytes; at += CLIENT_BLOCK) {
        struct stamp want, found = {0};
        client_stamp(slot, at, sequence, &want);
        bool good = sequence ? stamp_check(slot->buffer + at, CLIENT_BLOCK, &want, &found)
                             : memcmp(slot->buffer + at, zeros, CLIENT_BLOCK) == 0;
        if (!good) {
            client_fail(c, "a block holds another write than the last (expected, found sequence)", sequence,
                        found.sequence);
            return;
        }
    }
}

static void client_issue(struct client_slot *slot);

static void client_done(struct lnt_command *command)
{
    struct client_slot *slot = command->owner;
    struct client *c = slot->client;
    if (!slot->busy) {
        client_fail(c, "a command ended twice", slot->unit, slot->sequence);
        return;
    }
    slot->busy = false;
    c->busy[slot->unit] = false;
    c->in_flight--;
    sim_trace_note(c->world->sim, &slot->unit, sizeof slot->unit);
    if (command->error || command->scsi.status)
        client_fail(c, "a command failed (error, status)", (uint64_t)-command->error, command->scsi.status);
    else if (slot->write)
        c->written[slot->unit] = slot->sequence;
    else
        client_check(slot);
    if (c->left && !c->problem[0])
        client_issue(slot);
}

static bool client_choose(struct client *c, struct client_slot *slot)
{
    if (c->checking) {
        slot->unit = c->next_check++;
        slot->write = false;
        return true;
    }
    slot->unit = (uint32_t)world_pick(c->world, c->units);
    while (c->busy[slot->unit])
        slot->unit = (slot->unit + 1) % c->units;
    slot->write = world_pick(c->world, 5) < 3;
    return true;
}

static void client_issue(struct client_slot *slot)
{
    struct client *c = slot->client;
    client_choose(c, slot);
    c->left--;
    uint64_t lba = c->first_lba + slot->unit * (c->unit_bytes / CLIENT_BLOCK);
    uint32_t blocks = c->unit_bytes / CLIENT_BLOCK;
    slot->place = (struct io_vec){slot->buffer, c->unit_bytes};
    if (slot->write) {
        slot->sequence = ++c->sequence;
        for (uint32_t at = 0; at < c->unit_bytes; at += CLIENT_BLOCK) {
            struct stamp stamp;
            client_stamp(slot, at, slot->sequence, &stamp);
            stamp_fill(slot->buffer + at, CLIENT_BLOCK, &stamp);
        }
        lnt_command_write(&slot->command, 0, lba, blocks, CLIENT_BLOCK, &slot->place, 1,
                          world_pick(c->world, 4) == 0);
    } else {
        memset(slot->buffer, 0xee, c->unit_bytes);
        lnt_command_read(&slot->command, 0, lba, blocks, CLIENT_BLOCK, &slot->place, 1);
    }
    slot->command.done = client_done;
    slot->command.owner = slot;
    slot->busy = c->busy[slot->unit] = true;
    c->in_flight++;
    lnt_client_submit(c->lnt, &slot->command);
}

static void client_fill_pipe(struct client *c)
{
    for (uint32_t i = 0; i < c->depth && c->left; i++)
        if (!c->slots[i].busy)
            client_issue(&c->slots[i]);
}

static void client_opened(void *arg, int err)
{
    struct client *c = arg;
    if (err) {
        snprintf(c->problem, sizeof c->problem, "client %u cannot log in: %.200s", c->index,
                 lnt_client_error(c->lnt));
        return;
    }
    c->opened = true;
    client_fill_pipe(c);
}

static void client_options(struct client *c, struct lnt_options *o)
{
    struct world *w = c->world;
    lnt_options_default(o);
    snprintf(o->session.initiator_name, sizeof o->session.initiator_name, "iqn.2026-01.org.lunette:client%u",
             c->index);
    memset(o->session.isid, 0, sizeof o->session.isid); /* the default is random */
    o->session.isid[0] = 0x80;
    o->session.isid[5] = (uint8_t)c->index;
    o->replacement_timeout_ns = 3600u * 1000000000ull; /* a cut must never surface */
    o->command_timeout_ns = 0;
    struct key_choices crc = {1, {KEY_DIGEST_CRC32C}}, none = {1, {KEY_DIGEST_NONE}};
    o->session.keys.header_digest = world_pick(w, 2) ? crc : none;
    o->session.keys.data_digest = world_pick(w, 2) ? crc : none;
    o->session.keys.initial_r2t = world_pick(w, 2);
    o->session.keys.immediate_data = world_pick(w, 2);
    o->session.keys.max_recv_data_segment_length = 512u << world_pick(w, 9);
    o->session.keys.max_burst_length = 4096u << world_pick(w, 6);
    o->session.keys.first_burst_length = 512u << world_pick(w, 4);
    o->session.keys.max_outstanding_r2t = 1 + (uint32_t)world_pick(w, 4);
}

struct client *client_new(struct world *w, uint32_t index, uint32_t clients, uint32_t commands)
{
    const struct env *env = sim_env(w->sim);
    struct client *c = env_alloc(env, sizeof *c);
    static const uint32_t sizes[] = {512, 4096, 8192, 65536, CLIENT_UNIT_MAX};
    struct lnt_url url = {.lun = 0};
    struct lnt_options options;
    if (!c)
        abort();
    c->world = w;
    c->index = index;
    c->unit_bytes = sizes[world_pick(w, 5)];
    c->units = WORLD_LUN_BYTES / clients / c->unit_bytes;
    if (c->units > 64)
        c->units = 64;
    c->first_lba = index * (WORLD_LUN_BYTES / clients / CLIENT_BLOCK);
    c->depth = 1 + (uint32_t)world_pick(w, CLIENT_DEPTH_MAX);
    c->left = commands;
    c->written = env_alloc(env, c->units * sizeof *c->written);
    c->busy = env_alloc(env, c->units * sizeof *c->busy);
    if (!c->written || !c->busy || sim_io_new(w->sim, &c->io) != 0)
        abort();
    for (uint32_t i = 0; i < CLIENT_DEPTH_MAX; i++)
        c->slots[i].client = c;
    snprintf(url.portal, sizeof url.portal, "10.0.0.1:3260");
    snprintf(url.target, sizeof url.target, "%s", WORLD_IQN);
    if (w->chap) {
        snprintf(url.user, sizeof url.user, "sim");
        memcpy(url.secret, "simulated secret", 16);
        url.secret_len = 16;
    }
    client_options(c, &options);
    if (lnt_client_new(env, c->io, &url, &options, &c->lnt) != 0)
        abort();
    return c;
}

void client_start(struct client *c)
{
    lnt_client_open(c->lnt, client_opened, c);
}

bool client_idle(const struct client *c)
{
    return c->problem[0] || (c->opened && c->left == 0 && c->in_flight == 0);
}

void client_check_all(struct client *c)
{
    if (c->problem[0])
        return;
    c->checking = true;
    c->left = c->units;
    client_fill_pipe(c);
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
    const struct env *env = sim_env(c->world->sim);
    lnt_client_free(c->lnt);
    io_free(c->io);
    env_free(env, c->written);
    env_free(env, c->busy);
    env_free(env, c);
}

const char *client_problem(const struct client *c)
{
    return c->problem[0] ? c->problem : NULL;
}

uint64_t client_reconnects(const struct client *c)
{
    return lnt_client_reconnects(c->lnt);
}
