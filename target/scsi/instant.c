/* Commands that are over as soon as they are seen: plain reads and writes of a store that answers at once.
 * They never become tasks, for there is no time at which anything could act on them: no abort, no reset, no
 * other command comes in between. What is said here is only what makes a command plain; whatever is wrong or
 * unusual with one is found by the usual way, in its order of precedence. */
#include "common/base/min.h"
#include "common/base/mutant.h"
#include "common/scsi/lun.h"
#include "target/scsi/private.h"

#define READ_START 256u /* bytes of an expected read that are asked for: where it begins */

/* The LU, when a SIMPLE command could enter its task set now and nothing is to be told first. */
static struct scsi_itl *open_itl(struct scsi_nexus *nexus, uint64_t lun)
{
    uint16_t number;
    bool well_known;
    if (!lun_decode(lun, &number, &well_known) || well_known)
        return NULL;
    struct scsi_itl *itl = itl_known(nexus, number);
    if (!itl || itl->gone || itl->ua || itl->barriers || itl->live >= nexus->reactor->tasks_per_itl_max ||
        !list_empty(&itl->blocked))
        return NULL;
    return itl->view->flags & (LU_STOPPED | LU_EJECTED) ? NULL : itl;
}

/* Could the store answer before it returns? */
static bool may_answer(const struct scsi_reactor *r, const struct store_info *info, uint32_t len)
{
    return info->instant || (len <= info->attempt_max && r->io);
}

/* The request for exactly the blocks of the CDB. NULL: this command is not that plain. */
static struct scsi_itl *plain(struct scsi_nexus *nexus, uint64_t lun, const uint8_t *cdb,
                              enum cdb_direction direction, uint32_t len, struct store_req *req)
{
    enum cdb_direction moves;
    uint64_t lba;
    uint32_t blocks;
    if (len == 0 || !cdb_plain_blocks(cdb, &moves, &lba, &blocks) || moves != direction)
        return NULL;
    struct scsi_itl *itl = open_itl(nexus, lun);
    if (!itl)
        return NULL;
    const struct scsi_lu_view *view = itl->view;
    uint32_t block = view->lu->config.block_size;
    if (!may_answer(nexus->reactor, &view->lu->store->info, len) || len != (uint64_t)blocks * block ||
        lba > view->blocks || blocks > view->blocks - lba)
        return NULL;
    req->store = view->lu->store;
    req->fua = false;
    req->offset = lba * block;
    req->len = len;
    req->loan = NULL;
    return itl;
}

/* As it lies in the store's own memory. */
static bool read_lent(struct scsi_reactor *r, struct scsi_itl *itl, struct store_req *req, struct slice *data)
{
    uint32_t lend_len = req->store->info.lend_len;
    if ((req->offset & (lend_len - 1)) + req->len > lend_len)
        return false;
    struct scsi_loan *loan = loan_new(r);
    if (!loan)
        return false;
    req->vec_count = 0;
    if (!req->store->ops->submit(req->store, NULL, req) || req->result) {
        loan_unused(loan);
        return false;
    }
    *data = loan_take(loan, itl->view, req);
    return true;
}

/* Into a chunk that goes back to the pool when its bytes are on the wire. Not past tasks that wait for
 * memory. */
static bool read_copied(struct scsi_reactor *r, struct store_req *req, struct slice *data)
{
    uint32_t len = (uint32_t)req->len;
    struct chunk *chunk = list_empty(&r->waiting) ? pool_get_share(r->pool, len) : NULL;
    if (!chunk)
        return false;
    req->vec[0] = (struct io_vec){chunk->data, len};
    req->vec_count = 1;
    if (!req->store->ops->attempt(req->store, r->io, req)) {
        chunk_unref(chunk);
        return false;
    }
    *data = slice_take(chunk, 0, len);
    return true;
}

bool scsi_instant_read(struct scsi_nexus *nexus, uint64_t lun, const uint8_t *cdb, uint32_t len,
                       struct slice *data)
{
    struct store_req req;
    struct scsi_itl *itl = plain(nexus, lun, cdb, CDB_IN, len, &req);
    if (!itl)
        return false;
    req.verb = STORE_READ;
    if (!req.store->info.instant)
        return read_copied(nexus->reactor, &req, data);
    return nexus->takes_loans && read_lent(nexus->reactor, itl, &req, data);
}

/* With its cache switched off, a store that has one flushes it after each write: that takes waiting. */
static bool write_through(const struct store_info *info, uint32_t flags)
{
    return info->volatile_cache && !(flags & LU_WCE);
}

/* Writing the same again is harmless: a failure is met once more as a task, which can tell of it. */
static bool written(struct scsi_reactor *r, struct store_req *req)
{
    if (!req->store->info.instant)
        return req->store->ops->attempt(req->store, r->io, req) || MUTANT(instant_error_is_good);
    return req->store->ops->submit(req->store, NULL, req) &&
           (req->result == 0 || MUTANT(instant_error_is_good));
}

bool scsi_instant_write(struct scsi_nexus *nexus, uint64_t lun, const uint8_t *cdb, const struct slice *data)
{
    struct store_req req;
    const struct scsi_itl *itl = plain(nexus, lun, cdb, CDB_OUT, data->len, &req);
    if (!itl || itl->readonly || itl->view->lu->config.readonly || req.store->info.readonly ||
        itl->view->flags & LU_SWP || write_through(&req.store->info, itl->view->flags))
        return false;
    req.verb = STORE_WRITE;
    req.vec[0] = (struct io_vec){data->ptr, data->len};
    req.vec_count = 1;
    req.whole = slice_whole(data);
    return written(nexus->reactor, &req);
}

void scsi_instant_expect(struct scsi_nexus *nexus, uint64_t lun, const uint8_t *cdb, enum cdb_direction moves)
{
    enum cdb_direction its;
    uint64_t lba;
    uint32_t blocks;
    if (!cdb_plain_blocks(cdb, &its, &lba, &blocks) || its != moves || blocks == 0)
        return;
    const struct scsi_itl *itl = open_itl(nexus, lun);
    struct store *store = itl ? itl->view->lu->store : NULL;
    if (!store || !store->info.instant || !store->ops->expect || lba >= itl->view->blocks)
        return;
    const uint32_t block = itl->view->lu->config.block_size;
    uint32_t len = blocks < UINT16_MAX ? blocks * block : UINT32_MAX;
    store->ops->expect(store, lba * block, moves == CDB_IN ? min_u32(len, READ_START) : len);
}
