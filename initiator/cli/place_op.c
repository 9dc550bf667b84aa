/* Reads, writes and zeroes of a place: one operation may take several commands, one after the other. */
#include "initiator/cli/place.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/scsi/cdb.h"
#include "common/scsi/sense.h"

#define ZERO_STEP_MAX                                                                                        \
    (16u << 20) /* bytes of one WRITE SAME: a disk without a quick way must stay within the time-out */

static void op_next(struct place_op *op);

static void op_end(struct place_op *op, bool failed)
{
    op->failed = failed;
    op->done(op);
}

/* A step is over: what is left? */
static void op_advance(struct place_op *op, uint64_t len)
{
    op->offset += len;
    op->left -= len;
    if (op->buf)
        op->buf += len;
    if (op->left)
        op_next(op);
    else
        op_end(op, false);
}

static const char *const op_words[] = {"read", "write", "zero"};

/* ---- LUN ---- */

/* The target knows no such command or flag: the next method does without it. */
static bool zero_degrades(struct place_op *op)
{
    struct scsi_sense sense;
    const struct ini_command *scsi = &op->command.scsi;
    if (op->kind != PLACE_OP_ZERO || op->method == PLACE_ZERO_WRITE || op->command.error ||
        scsi->status != SCSI_STATUS_CHECK_CONDITION || !sense_parse(scsi->sense, scsi->sense_len, &sense) ||
        sense.key != SENSE_ILLEGAL_REQUEST)
        return false;
    /* Other operations may have degraded it already: never back. */
    if (op->place->zero_method <= op->method)
        op->place->zero_method = op->method + 1;
    return true;
}

static void lun_done(struct lnt_command *command)
{
    struct place_op *op = command->owner;
    char why[600];
    bool short_answer = command->scsi.underflow && command->scsi.residual;
    if (!command->error && command->scsi.status == SCSI_STATUS_GOOD && !short_answer &&
        (op->kind != PLACE_OP_READ || command->scsi.in_done == op->step)) {
        op_advance(op, op->step);
    } else if (zero_degrades(op)) {
        op_next(op);
    } else {
        bool good = !command->error && command->scsi.status == SCSI_STATUS_GOOD;
        place_failed(op->place, "cannot %s %s at byte %llu: %s", op_words[op->kind], op->place->name,
                     (unsigned long long)op->offset,
                     good ? "the target left bytes out"
                          : cli_command_reason(op->place->client, command, why, sizeof(why)));
        op_end(op, true);
    }
}

static void lun_transfer(struct place_op *op)
{
    struct place *place = op->place;
    uint32_t len = op->left < place->max_len ? (uint32_t)op->left : place->max_len;
    len -= len % place->block_size;
    op->step = len;
    op->vec = (struct io_vec){op->buf, len};
    if (op->kind == PLACE_OP_READ)
        lnt_command_read(&op->command, place->url.lun, op->offset / place->block_size,
                         len / place->block_size, place->block_size, &op->vec, 1);
    else
        lnt_command_write(&op->command, place->url.lun, op->offset / place->block_size,
                          len / place->block_size, place->block_size, &op->vec, 1, false);
}

static void lun_zero(struct place_op *op)
{
    struct place *place = op->place;
    uint32_t block = place->block_size;
    op->method = place->zero_method;
    uint64_t most = op->method == PLACE_ZERO_WRITE ? PLACE_ZEROS_LEN : ZERO_STEP_MAX;
    if (op->method == PLACE_ZERO_WRITE && most > place->max_len)
        most = place->max_len;
    if (op->method != PLACE_ZERO_WRITE && place->disk.max_write_same_blocks &&
        place->disk.max_write_same_blocks < most / block)
        most = place->disk.max_write_same_blocks * block;
    uint64_t len = op->left < most ? op->left : most;
    len -= len % block;
    op->step = len;
    uint32_t blocks = (uint32_t)(len / block);
    if (op->method == PLACE_ZERO_WRITE) {
        op->vec = (struct io_vec){place->zeros, (size_t)len};
        lnt_command_write(&op->command, place->url.lun, op->offset / block, blocks, block, &op->vec, 1,
                          false);
        return;
    }
    uint8_t cdb[CDB_LEN_MAX];
    size_t cdb_len = CDB_BUILD(CDB_WRITE_SAME_16, cdb, {CDB_F_UNMAP, op->method == PLACE_ZERO_SAME_UNMAP},
                               {CDB_F_LBA, op->offset / block}, {CDB_F_COUNT, blocks});
    op->vec = (struct io_vec){place->zeros, block};
    lnt_command_cdb(&op->command, place->url.lun, cdb, (uint16_t)cdb_len, NULL, 0, &op->vec, block);
    op->command.repeatable = true; /* zeros twice are zeros */
}

/* ---- file ---- */

/* A device that cannot zero by itself gets zeros written, from the operation's own small buffer. */
static uint8_t file_zeros[PLACE_ZEROS_LEN];

static void file_done(struct io_op *io)
{
    struct place_op *op = container_of(io, struct place_op, io);
    int64_t result = io->result;
    if (io->type == IO_OP_ZERO) {
        if (result == ERR_UNSUPPORTED) {
            op->method = PLACE_ZERO_WRITE;
            op_next(op);
            return;
        }
        if (result >= 0)
            result = (int64_t)op->left;
    }
    if (result > 0) {
        op_advance(op, (uint64_t)result);
        return;
    }
    place_failed(op->place, "cannot %s %s at byte %llu: %s", op_words[op->kind], op->place->name,
                 (unsigned long long)op->offset, result == 0 ? "the file ends there" : err_text((int)result));
    op_end(op, true);
}

static void file_step(struct place_op *op)
{
    struct place *place = op->place;
    struct io *io = place->cli->io;
    op->io.done = file_done;
    op->io.memory = place->in_memory;
    if (op->kind == PLACE_OP_ZERO && op->method != PLACE_ZERO_WRITE) {
        io_zero(io, &op->io, place->file, op->offset, op->left);
        return;
    }
    uint64_t len = op->kind == PLACE_OP_ZERO && op->left > PLACE_ZEROS_LEN ? PLACE_ZEROS_LEN : op->left;
    op->vec = (struct io_vec){op->kind == PLACE_OP_ZERO ? file_zeros : op->buf, (size_t)len};
    if (op->kind == PLACE_OP_READ)
        io_pread(io, &op->io, place->file, &op->vec, 1, op->offset);
    else
        io_pwrite(io, &op->io, place->file, &op->vec, 1, op->offset);
}

/* ---- both ---- */

static void op_next(struct place_op *op)
{
    if (!op->place->is_lun) {
        file_step(op);
        return;
    }
    if (op->kind == PLACE_OP_ZERO)
        lun_zero(op);
    else
        lun_transfer(op);
    op->command.done = lun_done;
    op->command.owner = op;
    lnt_client_submit(op->place->client, &op->command);
}

static void op_start(struct place *place, struct place_op *op, enum place_op_kind kind, uint8_t *buf,
                     uint64_t offset, uint64_t len)
{
    op->place = place;
    op->kind = kind;
    op->buf = buf;
    op->offset = offset;
    op->left = len;
    op->failed = false;
    op->method = PLACE_ZERO_SAME_UNMAP;
    op_next(op);
}

void place_read(struct place *place, struct place_op *op, uint8_t *buf, uint64_t offset, uint32_t len)
{
    op_start(place, op, PLACE_OP_READ, buf, offset, len);
}

void place_write(struct place *place, struct place_op *op, uint8_t *buf, uint64_t offset, uint32_t len)
{
    op_start(place, op, PLACE_OP_WRITE, buf, offset, len);
}

bool place_zero(struct place *place, struct place_op *op, uint64_t offset, uint64_t len)
{
    if (place->starts_empty)
        return false;
    op_start(place, op, PLACE_OP_ZERO, NULL, offset, len);
    return true;
}

/* ---- one at a time ---- */

static void wait_over(struct place_op *op)
{
    *(bool *)op->owner = true;
}

static int wait_for(struct place *place, enum place_op_kind kind, uint8_t *buf, uint64_t offset, uint32_t len)
{
    bool over = false;
    struct place_op op = {.done = wait_over, .owner = &over};
    op_start(place, &op, kind, buf, offset, len);
    while (!over)
        io_run(place->cli->io, UINT64_MAX);
    return op.failed ? CLI_FAILED : 0;
}

int place_read_wait(struct place *place, uint8_t *buf, uint64_t offset, uint32_t len)
{
    return wait_for(place, PLACE_OP_READ, buf, offset, len);
}

int place_write_wait(struct place *place, uint8_t *buf, uint64_t offset, uint32_t len)
{
    return wait_for(place, PLACE_OP_WRITE, buf, offset, len);
}
