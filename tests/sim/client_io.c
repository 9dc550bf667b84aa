/* An initiator's commands: what it issues, and what every answer must be.
 *
 * A command must end exactly once, with GOOD or with a status for which there is a reason in this world. */
#include <stdio.h>
#include <string.h>

#include "bench/stamp.h"
#include "common/base/err.h"
#include "common/scsi/sense.h"
#include "tests/sim/client.h"

#define ATTEMPTS_MANY 60u /* fewer than the library makes */

/* ---- stamps ---- */

static bool is_zero(const uint8_t *block)
{
    static const uint8_t zeros[WORLD_BLOCK];
    return memcmp(block, zeros, WORLD_BLOCK) == 0;
}

/* Which write a block is from. One that is neither zeros nor exactly what some write of this LBA made is told
 * as a write that never was. */
static struct model_stamp stamp_of(const uint8_t *block, uint64_t lba, uint16_t lun)
{
    struct stamp stamp, found;
    if (is_zero(block))
        return (struct model_stamp){0, 0};
    memcpy(&stamp, block, sizeof stamp);
    if (stamp.lba != (lba | (uint64_t)lun << 48) || !stamp_check(block, WORLD_BLOCK, &stamp, &found))
        return (struct model_stamp){UINT64_MAX, stamp.sequence};
    return (struct model_stamp){stamp.writer, stamp.sequence};
}

static void slot_stamp(struct slot *slot)
{
    for (uint32_t i = 0; i < slot->blocks; i++) {
        struct stamp stamp = {(slot->lba + i) | (uint64_t)slot->lun->number << 48, slot->stamp.writer,
                              slot->stamp.sequence};
        stamp_fill(slot->buffer + (size_t)i * WORLD_BLOCK, WORLD_BLOCK, &stamp);
    }
}

/* ---- the end of a command ---- */

static void check_data(struct slot *slot)
{
    struct world *w = slot->client->world;
    struct model_stamp found[CLIENT_UNIT_MAX];
    uint32_t bad;
    for (uint32_t i = 0; i < slot->blocks; i++)
        found[i] = stamp_of(slot->buffer + (size_t)i * WORLD_BLOCK, slot->lba + i, slot->lun->number);
    coverage_add(COVER_READ, 1);
    if (!model_read_end(slot->lun->model, slot->op, found, &bad))
        world_problem(
            w, "client %u read LUN %u block %llu: it holds write %lld of writer %lld, which it must not",
            slot->client->index, slot->lun->number, (unsigned long long)(slot->lba + bad),
            (long long)found[bad].sequence, (long long)found[bad].writer);
}

/* A sense code for which this world has a reason. */
static bool sense_allowed(const struct slot *slot, const struct scsi_sense *sense)
{
    const struct world *w = slot->client->world;
    switch (sense->key) {
    case SENSE_MEDIUM_ERROR:
    case SENSE_HARDWARE_ERROR:
    case SENSE_DATA_PROTECT: /* space allocation failed */
        coverage_add(COVER_MEDIUM_ERROR, 1);
        return w->disk_failed || w->alloc_failed || w->machine.failed;
    case SENSE_ILLEGAL_REQUEST:
        if (sense->asc == 0x25) { /* logical unit not supported */
            coverage_add(COVER_LUN_MISSING, 1);
            return !slot->lun->settled || slot->lun->absent_until >= slot->begun;
        }
        return !w->settled && sense->asc == 0x21 &&
               slot->lba + slot->blocks > WORLD_LUN_BLOCKS; /* news of growth takes time */
    case SENSE_UNIT_ATTENTION:                              /* a command that met news at every attempt */
        return w->faults_on && slot->command.attempts >= ATTEMPTS_MANY;
    case SENSE_ABORTED_COMMAND:
        return w->digests_hit || w->alloc_failed || w->machine.failed;
    default:
        return w->alloc_failed || w->machine.failed;
    }
}

static bool error_allowed(const struct client *c, int error)
{
    const struct world *w = c->world;
    if (error == ERR_TIMEOUT)
        return w->swarm.command_timeout_ns != 0;
    return c->machine.failed || w->alloc_failed || w->machine.failed;
}

/* What the answer says of the write, or a problem. */
static enum model_end verdict(struct slot *slot)
{
    struct client *c = slot->client;
    const struct ini_command *scsi = &slot->command.scsi;
    struct scsi_sense sense;
    char text[256];
    if (slot->command.error) {
        if (!error_allowed(c, slot->command.error))
            world_problem(c->world, "client %u: a command ended without a status: %s (%s)", c->index,
                          err_text(slot->command.error), lnt_client_error(c->lnt));
        return MODEL_FAILED;
    }
    if (scsi->status == SCSI_STATUS_GOOD) {
        if (scsi->response || scsi->underflow || scsi->overflow || scsi->residual)
            world_problem(c->world, "client %u: GOOD with response %u, residual %u", c->index, scsi->response,
                          scsi->residual);
        if (slot->verb == CLIENT_READ && scsi->in_done != (uint64_t)slot->blocks * WORLD_BLOCK)
            world_problem(c->world, "client %u: GOOD for a read, but only %llu bytes", c->index,
                          (unsigned long long)scsi->in_done);
        return MODEL_GOOD;
    }
    bool allowed = scsi->status == SCSI_STATUS_CHECK_CONDITION &&
                   sense_parse(scsi->sense, scsi->sense_len, &sense) && sense_allowed(slot, &sense);
    /* A command that was late already is not repeated: it ends with what the target said last. */
    if (slot->command.timed_out)
        allowed = true;
    /* So does one that met a full task set or a lack of memory for as long as it may take. */
    if (scsi->status == SCSI_STATUS_TASK_SET_FULL || scsi->status == SCSI_STATUS_BUSY)
        allowed |= slot->command.busy_until_ns && io_now(c->io) >= slot->command.busy_until_ns &&
                   (c->world->swarm.tasks_max || c->world->swarm.target_memory);
    if (!allowed && !c->world->alloc_failed && !c->world->machine.failed)
        world_problem(c->world, "client %u: no reason for %s (LUN %u block %llu + %u, attempt %u)", c->index,
                      lnt_command_text(&slot->command, text, sizeof text), slot->lun->number,
                      (unsigned long long)slot->lba, slot->blocks, slot->command.attempts);
    return MODEL_FAILED;
}

static void count_end(const struct slot *slot)
{
    static const enum cover rows[] = {COVER_COUNT, COVER_WRITE, COVER_WRITE_FUA, COVER_ZERO, COVER_FLUSH};
    if (slot->verb != CLIENT_READ)
        coverage_add(rows[slot->verb], 1);
    coverage_add(COVER_REISSUE, slot->command.attempts > 0 || slot->command.busy_until_ns);
    if (slot->command.error == ERR_TIMEOUT)
        coverage_add(slot->command.scsi.outcome == INI_DONE_LOST ? COVER_TIMEOUT_LOST : COVER_TIMEOUT_ABORT,
                     1);
}

static void command_done(struct lnt_command *command)
{
    struct slot *slot = command->owner;
    struct client *c = slot->client;
    struct world *w = c->world;
    if (!slot->busy) {
        world_problem(w, "client %u: a command ended twice", c->index);
        return;
    }
    slot->busy = false;
    c->in_flight--;
    w->clock++;
    sim_trace_note(w->sim, &slot->lba, sizeof slot->lba);
    world_say(w, "client %u %d LUN %u %llu+%u: error %d status %u", c->index, slot->verb, slot->lun->number,
              (unsigned long long)slot->lba, slot->blocks, command->error, command->scsi.status);
    count_end(slot);
    enum model_end how = verdict(slot);
    if (how == MODEL_GOOD && slot->verb == CLIENT_READ)
        check_data(slot);
    else if (command->error && command->scsi.outcome == INI_DONE_LOST)
        model_lost(slot->lun->model, slot->op, c->index); /* its session broke: it may still happen */
    else
        model_end(slot->lun->model, slot->op, how);
    client_go_on(c);
}

/* ---- issuing ---- */

static void cdb_sync(uint8_t *cdb)
{
    memset(cdb, 0, 16);
    cdb[0] = 0x35; /* SYNCHRONIZE CACHE(10) of everything */
}

static void cdb_zero(const struct slot *slot, uint8_t *cdb)
{
    memset(cdb, 0, 16);
    cdb[0] = 0x93; /* WRITE SAME(16) of one block of zeros, sometimes by unmapping */
    cdb[1] = slot->client->sequence & 1 ? 8 : 0;
    for (int i = 0; i < 8; i++)
        cdb[2 + i] = (uint8_t)(slot->lba >> (56 - 8 * i));
    for (int i = 0; i < 4; i++)
        cdb[10 + i] = (uint8_t)(slot->blocks >> (24 - 8 * i));
}

/* Every third buffer is cut into places that no PDU and no block ends with. */
static void slot_places(struct slot *slot, size_t len)
{
    size_t first = len / 3 + 5, second = len / 2;
    slot->places[0] = (struct io_vec){slot->buffer, len};
    slot->place_count = 1;
    if (slot->client->sequence % 3 || !len)
        return;
    slot->places[0].len = first;
    slot->places[1] = (struct io_vec){slot->buffer + first, second - first};
    slot->places[2] = (struct io_vec){slot->buffer + second, len - second};
    slot->place_count = 3;
}

static void slot_build(struct slot *slot)
{
    struct lnt_command *command = &slot->command;
    struct model *model = slot->lun->model;
    slot_places(slot, (size_t)slot->blocks * WORLD_BLOCK);
    switch (slot->verb) {
    case CLIENT_READ:
        memset(slot->buffer, 0xee, (size_t)slot->blocks * WORLD_BLOCK);
        lnt_command_read(command, slot->lun->number, slot->lba, slot->blocks, WORLD_BLOCK, slot->places,
                         slot->place_count);
        slot->op = model_read(model, slot->lba, slot->blocks);
        break;
    case CLIENT_FLUSH:
        cdb_sync(slot->cdb);
        lnt_command_cdb(command, slot->lun->number, slot->cdb, 10, NULL, 0, NULL, 0);
        slot->op = model_flush(model);
        break;
    case CLIENT_ZERO:
        slot->places[0] = (struct io_vec){slot->buffer, WORLD_BLOCK};
        memset(slot->buffer, 0, WORLD_BLOCK);
        cdb_zero(slot, slot->cdb);
        lnt_command_cdb(command, slot->lun->number, slot->cdb, 16, NULL, 0, &slot->places[0], WORLD_BLOCK);
        slot->op = model_write(model, slot->lba, slot->blocks, (struct model_stamp){0, 0}, false);
        break;
    default:
        slot->stamp = (struct model_stamp){slot->client->index + 1, slot->client->sequence};
        slot_stamp(slot);
        lnt_command_write(command, slot->lun->number, slot->lba, slot->blocks, WORLD_BLOCK, slot->places,
                          slot->place_count, slot->verb == CLIENT_WRITE_FUA);
        slot->op = model_write(model, slot->lba, slot->blocks, slot->stamp, slot->verb == CLIENT_WRITE_FUA);
        break;
    }
    WORLD_CHECK(slot->op);
}

static void slot_issue(struct slot *slot, enum client_verb verb, struct world_lun *lun, uint64_t lba,
                       uint32_t blocks)
{
    struct client *c = slot->client;
    slot->verb = verb;
    slot->lun = lun;
    slot->lba = lba;
    slot->blocks = blocks;
    slot->begun = ++c->world->clock;
    c->sequence++;
    slot_build(slot);
    slot->command.repeatable = true;
    slot->command.done = command_done;
    slot->command.owner = slot;
    slot->busy = true;
    c->in_flight++;
    lnt_client_submit(c->lnt, &slot->command);
}

static enum client_verb draw_verb(struct world *w)
{
    uint64_t dice = world_pick(w, 100);
    return dice < 40   ? CLIENT_READ
           : dice < 75 ? CLIENT_WRITE
           : dice < 85 ? CLIENT_WRITE_FUA
           : dice < 91 ? CLIENT_ZERO
                       : CLIENT_FLUSH;
}

/* Now and then whole extents of the memory store, which it keeps as they come; or at the end of the LUN,
 * which may just have moved. */
static void issue_random(struct slot *slot)
{
    enum { EXTENT = 65536 / WORLD_BLOCK };
    struct world *w = slot->client->world;
    struct world_lun *lun = &w->luns[world_pick(w, w->swarm.luns)];
    uint32_t blocks = 1 + (uint32_t)world_pick(w, w->swarm.unit_blocks);
    uint64_t lba = world_pick(w, w->swarm.window_blocks - blocks + 1);
    enum client_verb verb = draw_verb(w);
    if (w->swarm.unit_blocks >= EXTENT && world_chance(w, 40)) {
        uint32_t most = w->swarm.unit_blocks / EXTENT,
                 many = 1 + (uint32_t)world_pick(w, most < 4 ? most : 4);
        blocks = many * EXTENT;
        lba = world_pick(w, (w->swarm.window_blocks - blocks) / EXTENT + 1) * EXTENT;
    }
    if (world_chance(w, 5))
        lba = model_blocks(lun->model) - blocks;
    slot_issue(slot, verb, lun, lba, blocks);
}

/* The next piece of everything that may have been written; false: that was all. */
static bool issue_check(struct slot *slot)
{
    struct client *c = slot->client;
    struct world *w = c->world;
    while (c->check_lun < w->swarm.luns) {
        struct world_lun *lun = &w->luns[c->check_lun];
        uint64_t end = model_blocks(lun->model);
        if (c->check_lba >= w->swarm.window_blocks && c->check_lba < WORLD_LUN_BLOCKS - CLIENT_UNIT_MAX)
            c->check_lba = WORLD_LUN_BLOCKS - CLIENT_UNIT_MAX; /* commands at the end of the LUN */
        if (c->check_lba < end) {
            uint32_t blocks =
                end - c->check_lba < CLIENT_CHECK_UNIT ? (uint32_t)(end - c->check_lba) : CLIENT_CHECK_UNIT;
            slot_issue(slot, CLIENT_READ, lun, c->check_lba, blocks);
            c->check_lba += blocks;
            return true;
        }
        c->check_lun++;
        c->check_lba = 0;
    }
    c->checking = false;
    return false;
}

void client_go_on(struct client *c)
{
    for (uint32_t i = 0; i < c->world->swarm.depth && c->opened && !c->world->problem[0]; i++) {
        if (c->slots[i].busy)
            continue;
        if (c->checking) {
            issue_check(&c->slots[i]);
        } else if (c->left) {
            c->left--;
            issue_random(&c->slots[i]);
        }
    }
}

void client_command(struct client *c, enum client_verb verb, uint32_t lun, uint64_t lba, uint32_t blocks)
{
    for (uint32_t i = 0; i < CLIENT_DEPTH_MAX; i++) {
        if (!c->slots[i].busy) {
            slot_issue(&c->slots[i], verb, &c->world->luns[lun], lba, blocks);
            return;
        }
    }
    world_problem(c->world, "the scenario has too many commands in flight");
}
