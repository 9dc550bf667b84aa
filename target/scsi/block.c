/* Block commands (SBC-3): READ, WRITE, VERIFY, XDWRITEREAD, WRITE SAME, UNMAP, SYNCHRONIZE CACHE. */
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/min.h"
#include "common/base/mutant.h"
#include "target/scsi/private.h"

/* LBA and count into the task, when they and the protection field are acceptable. */
static bool block_begin(struct scsi_reactor *r, struct scsi_task *task)
{
    if (task_cdb(task, CDB_F_PROTECT)) {
        task_bad_cdb(r, task, CDB_F_PROTECT); /* no protection information is kept */
        return false;
    }
    task->lba = task_cdb(task, CDB_F_LBA);
    task->blocks = cdb_blocks(task->def->cdb, task->cdb);
    return task_range(r, task, task->lba, task->blocks);
}

void cmd_read(struct scsi_reactor *r, struct scsi_task *task)
{
    uint32_t block = task_block_size(task);
    if (!block_begin(r, task))
        return;
    task->in_len = task->blocks * block;
    /* Blocks that the initiator has no room for are not read at all. */
    uint64_t need = min_u64(task->in_len, task->expected_in);
    need += (block - need % block) % block;
    read_begin(r, task, need);
}

/* Data-out goes to the store as it comes: there is no buffer for a whole command. */
static void take_blocks(struct scsi_reactor *r, struct scsi_task *task)
{
    task->out_len = task->blocks * task_block_size(task);
    if (task_out_limit(task) == 0)
        task_good(r, task);
    else
        task_raise(task, SCSI_READY_OUT);
}

/* The write itself happens in write.c, span by span. */
void cmd_write(struct scsi_reactor *r, struct scsi_task *task)
{
    /* WRITE AND VERIFY compares bytes whatever BYTCHK is (0 or 1); 10b and 11b mean nothing here. */
    if (task_cdb(task, CDB_F_BYTCHK) > 1)
        task_bad_cdb(r, task, CDB_F_BYTCHK);
    else if (block_begin(r, task))
        take_blocks(r, task);
}

/* Data both ways, in xor.c; without data-out there is nothing to give back. */
void cmd_xdwriteread(struct scsi_reactor *r, struct scsi_task *task)
{
    if (task_cdb(task, CDB_F_XORPINFO)) {
        task_bad_cdb(r, task, CDB_F_XORPINFO); /* no protection information is kept */
        return;
    }
    if (!block_begin(r, task))
        return;
    /* Only blocks that come can be XORed. */
    uint32_t block = task_block_size(task);
    uint64_t come = min_u64(task->blocks * block, task->expected_out);
    task->in_len = come - come % block;
    take_blocks(r, task);
}

void cmd_verify(struct scsi_reactor *r, struct scsi_task *task)
{
    uint64_t bytchk = task_cdb(task, CDB_F_BYTCHK);
    if (bytchk == 2) {
        task_bad_cdb(r, task, CDB_F_BYTCHK);
        return;
    }
    if (!block_begin(r, task))
        return;
    if (bytchk == 1)
        take_blocks(r, task);
    else if (bytchk == 3 && task->blocks)
        task_collect(r, task, task_block_size(task));
    else
        read_begin(r, task, task->blocks * task_block_size(task));
}

/* BYTCHK 11b: the block that every block must equal is here. */
void verify_data(struct scsi_reactor *r, struct scsi_task *task)
{
    if (task->param.len < task_block_size(task)) {
        task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        return;
    }
    read_begin(r, task, task->blocks * task_block_size(task));
}

/* ---- SYNCHRONIZE CACHE ---- */

void cmd_sync_cache(struct scsi_reactor *r, struct scsi_task *task)
{
    const struct scsi_lu *lu = task_lu(task);
    if (!task_range(r, task, task_cdb(task, CDB_F_LBA), task_cdb(task, CDB_F_COUNT)))
        return;
    /* A store flushes as a whole. IMMED only allows an early answer; the safe one is after the fact. */
    if (!MUTANT(sync_is_noop) && lu->store->info.volatile_cache && !lu->store->info.readonly)
        task_request(r, task, STORE_FLUSH, 0, 0, false, task_good);
    else
        task_good(r, task);
}

/* ---- WRITE SAME ---- */

#define PATTERN_LEN (64u * 1024u) /* bytes of repeated block; STORE_REQ_VECS of them make one write */

static bool fua_now(const struct scsi_task *task)
{
    return !(task->itl->view->flags & LU_WCE);
}

/* One write after another until task->work[0] bytes are done. */
static void same_next(struct scsi_reactor *r, struct scsi_task *task)
{
    uint64_t total = task->blocks * task_block_size(task);
    struct store_req *req = &task->req;
    task->work[0] += task->work[1];
    if (task->work[0] >= total) {
        task_good(r, task);
        return;
    }
    uint64_t left = total - task->work[0];
    req->vec_count = 0;
    task->work[1] = 0;
    while (left && req->vec_count < STORE_REQ_VECS) {
        uint32_t part = (uint32_t)min_u64(left, task->param.len);
        req->vec[req->vec_count++] = (struct io_vec){task->param.ptr, part};
        task->work[1] += part;
        left -= part;
    }
    task_request(r, task, STORE_WRITE, task->lba * task_block_size(task) + task->work[0], task->work[1],
                 fua_now(task), same_next);
}

/* Replaces the one block by a chunk full of it. */
static void same_pattern(struct scsi_reactor *r, struct scsi_task *task)
{
    uint32_t block = task_block_size(task);
    uint64_t total = task->blocks * block;
    uint32_t len = (uint32_t)min_u64(total, PATTERN_LEN);
    struct chunk *chunk = pool_get(r->pool, len);
    if (!chunk) {
        task_wait(r, task, same_pattern);
        return;
    }
    for (uint32_t at = 0; at < len; at += block)
        memcpy(chunk->data + at, task->param.ptr, block);
    slice_release(&task->param);
    task->param = slice_take(chunk, 0, len);
    same_next(r, task);
}

/* Compares the block with itself, one byte further on. */
static bool all_zero(const uint8_t *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* The store knows better ways to zeros than writing them. */
static void same_zero(struct scsi_reactor *r, struct scsi_task *task)
{
    uint32_t block = task_block_size(task);
    task_request(r, task, task_cdb(task, CDB_F_UNMAP) ? STORE_DISCARD : STORE_ZERO, task->lba * block,
                 (task->blocks - MUTANT(zero_one_less)) * block, fua_now(task), task_good);
}

void cmd_write_same(struct scsi_reactor *r, struct scsi_task *task)
{
    uint32_t block = task_block_size(task);
    bool unmap = task_cdb(task, CDB_F_UNMAP), ndob = task_cdb(task, CDB_F_NDOB);
    if (task_cdb(task, CDB_F_ANCHOR)) {
        task_bad_cdb(r, task, CDB_F_ANCHOR); /* ANC_SUP is 0 */
        return;
    }
    if (unmap && !task_lu(task)->store->info.can_discard) {
        task_bad_cdb(r, task, CDB_F_UNMAP);
        return;
    }
    if (!block_begin(r, task))
        return;
    /* WSNZ: 0 blocks do not mean "to the end". */
    if (task->blocks == 0 || task->blocks > LIMIT_WRITE_SAME_BYTES / block) {
        task_bad_cdb(r, task, CDB_F_COUNT);
        return;
    }
    if (ndob) {
        same_zero(r, task);
        return;
    }
    if (task->expected_out != block) {
        /* Not one block of data: whatever the initiator means, it is not what would be written. */
        task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        return;
    }
    task_collect(r, task, block);
}

void write_same_data(struct scsi_reactor *r, struct scsi_task *task)
{
    uint32_t block = task_block_size(task);
    if (task->param.len < block)
        task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    else if (all_zero(task->param.ptr, block))
        same_zero(r, task); /* unmapped blocks read as zeros (LBPRZ): only zeros may be unmapped */
    else
        same_pattern(r, task);
}

/* ---- UNMAP ---- */

#define UNMAP_HEADER     8u
#define UNMAP_DESCRIPTOR 16u

void cmd_unmap(struct scsi_reactor *r, struct scsi_task *task)
{
    uint32_t len = (uint32_t)task_cdb(task, CDB_F_PARAM_LEN);
    if (task_cdb(task, CDB_F_ANCHOR))
        task_bad_cdb(r, task, CDB_F_ANCHOR);
    else if (len == 0)
        task_good(r, task);
    else
        task_collect(r, task, len);
}

/* Discards the next range that is not empty. work[0]: bytes of descriptors; work[1]: where we are. */
static void unmap_next(struct scsi_reactor *r, struct scsi_task *task)
{
    uint32_t block = task_block_size(task);
    while (task->work[1] < task->work[0]) {
        const uint8_t *d = task->param.ptr + UNMAP_HEADER + task->work[1];
        uint64_t lba = be64_get(d);
        uint32_t blocks = be32_get(d + 8);
        task->work[1] += UNMAP_DESCRIPTOR;
        if (!blocks)
            continue;
        task_request(r, task, STORE_DISCARD, lba * block, (uint64_t)blocks * block, fua_now(task),
                     unmap_next);
        return;
    }
    task_good(r, task);
}

void unmap_data(struct scsi_reactor *r, struct scsi_task *task)
{
    const uint8_t *p = task->param.ptr;
    if (!p || task->param.len < task->out_len || task->param.len < UNMAP_HEADER) {
        task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
        return;
    }
    uint32_t room = task->param.len - UNMAP_HEADER, told = be16_get(p + 2);
    uint32_t bytes = min_u32(told, room);
    bytes -= bytes % UNMAP_DESCRIPTOR; /* an incomplete last descriptor is ignored */
    if (bytes / UNMAP_DESCRIPTOR > LIMIT_UNMAP_DESCRIPTORS) {
        task_bad_param(r, task, 2, -1);
        return;
    }
    /* All is checked before anything is discarded. */
    uint64_t total = 0;
    for (uint32_t at = 0; at < bytes; at += UNMAP_DESCRIPTOR) {
        const uint8_t *d = p + UNMAP_HEADER + at;
        uint32_t blocks = be32_get(d + 8);
        if (!task_range(r, task, be64_get(d), blocks))
            return;
        total += blocks;
        if (total > LIMIT_UNMAP_BLOCKS) {
            task_bad_param(r, task, (uint16_t)(UNMAP_HEADER + at + 8), -1);
            return;
        }
    }
    task->work[0] = bytes;
    task->work[1] = 0;
    unmap_next(r, task);
}
