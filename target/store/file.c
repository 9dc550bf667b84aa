/* The file store: a regular file (sparse or preallocated) or a block device, through the reactor's io.
 *
 * A request walks through stages, one io operation at a time: the transfer (again after each short one), then
 * for FUA a flush. DISCARD falls back to ZERO and ZERO to writing zeros where the file system cannot do
 * better. With O_DIRECT, memory that is not aligned goes through a bounce buffer.
 *
 * What lies in the page cache needs none of this: see file_now.c. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/mutant.h"
#include "target/store/file_store.h"
#include "target/store/kinds.h"

#define ZEROS_LEN (64u * 1024u)

enum stage { STAGE_TRANSFER, STAGE_DISCARD, STAGE_ZERO, STAGE_WRITE_ZEROS, STAGE_FLUSH };

/* Written to the file only, never changed: one for all reactors. */
static _Alignas(4096) uint8_t zeros[ZEROS_LEN];

static void file_done(struct io_op *op);

/* Offsets and lengths are whole blocks already; places in memory may not be. */
static bool aligned(const struct file_store *f, const struct store_req *req)
{
    uint32_t align = f->info.align ? f->info.align : 1;
    for (uint32_t i = 0; i < req->vec_count; i++) {
        if ((uintptr_t)req->vec[i].ptr % align || req->vec[i].len % align)
            return false;
    }
    return true;
}

/* Between the places of the request and one flat buffer. */
static void vecs_copy(const struct store_req *req, uint8_t *flat, bool to_flat)
{
    for (uint32_t i = 0; i < req->vec_count; i++) {
        if (to_flat)
            memcpy(flat, req->vec[i].ptr, req->vec[i].len);
        else
            memcpy(req->vec[i].ptr, flat, req->vec[i].len);
        flat += req->vec[i].len;
    }
}

/* The heap, not a pool: only odd memory under O_DIRECT comes here. */
static int bounce_prepare(struct file_store *f, struct store_req *req)
{
    const struct env *env = f->store.env;
    req->bounce.ptr = env->alloc(env->ctx, (size_t)req->len, f->info.align);
    if (!req->bounce.ptr)
        return ERR_NOMEM;
    req->bounce.len = (uint32_t)req->len;
    if (req->verb == STORE_WRITE)
        vecs_copy(req, req->bounce.ptr, true);
    req->work[0] = (struct io_vec){req->bounce.ptr, (size_t)req->len};
    req->work_count = 1;
    return 0;
}

/* Drops the first `done` bytes from the work list. */
static void work_advance(struct store_req *req, uint64_t done)
{
    uint32_t keep = 0;
    for (uint32_t i = 0; i < req->work_count; i++) {
        struct io_vec v = req->work[i];
        if (done >= v.len) {
            done -= v.len;
            continue;
        }
        v.ptr = (uint8_t *)v.ptr + done;
        v.len -= (size_t)done;
        done = 0;
        req->work[keep++] = v;
    }
    req->work_count = keep;
}

static void work_fill_zero(struct store_req *req)
{
    for (uint32_t i = 0; i < req->work_count; i++)
        memset(req->work[i].ptr, 0, req->work[i].len);
    req->work_count = 0;
}

/* The next piece of a range that has to be overwritten with zeros. */
static void work_zeros(struct store_req *req)
{
    uint64_t left = req->len - req->progress;
    req->work_count = 0;
    while (left > 0 && req->work_count < STORE_REQ_VECS) {
        size_t part = left < ZEROS_LEN ? (size_t)left : ZEROS_LEN;
        req->work[req->work_count++] = (struct io_vec){zeros, part};
        left -= part;
    }
}

static void file_start(struct file_store *f, struct io *io, struct store_req *req)
{
    uint64_t at = req->offset + req->progress;
    req->op.done = file_done;
    req->op.memory = f->info.memory;
    switch ((enum stage)req->stage) {
    case STAGE_TRANSFER:
        if (req->verb == STORE_READ)
            io_pread(io, &req->op, f->handle, req->work, req->work_count, at);
        else
            io_pwrite(io, &req->op, f->handle, req->work, req->work_count, at);
        break;
    case STAGE_DISCARD:
        io_discard(io, &req->op, f->handle, req->offset, req->len);
        break;
    case STAGE_ZERO:
        io_zero(io, &req->op, f->handle, req->offset, req->len);
        break;
    case STAGE_WRITE_ZEROS:
        work_zeros(req);
        io_pwrite(io, &req->op, f->handle, req->work, req->work_count, at);
        break;
    case STAGE_FLUSH:
        io_flush(io, &req->op, f->handle);
        break;
    }
}

/* The one way out of a request that was not complete at once. */
static void file_finish(struct store_req *req, int result)
{
    struct file_store *f = (struct file_store *)req->store;
    if (req->bounce.ptr) {
        if (req->verb == STORE_READ && result == 0)
            vecs_copy(req, req->bounce.ptr, false);
        env_free(f->store.env, req->bounce.ptr);
        req->bounce = (struct slice){0};
    }
    if (result)
        req->error_offset = req->offset + req->progress;
    /* A file-size limit is a full medium to whoever writes. */
    req->result = result == ERR_TOOBIG ? ERR_NOSPACE : result;
    req->done(req);
}

/* After everything that FUA promises to keep. */
static void file_settle(struct file_store *f, struct io *io, struct store_req *req)
{
    if (req->fua && !MUTANT(forgotten_flush) && req->verb != STORE_READ && req->stage != STAGE_FLUSH) {
        req->stage = STAGE_FLUSH;
        file_start(f, io, req);
        return;
    }
    file_finish(req, 0);
}

static bool cannot(int64_t result)
{
    /* Devices refuse ranges that do not fit their granularity with "invalid". */
    return result == ERR_UNSUPPORTED || result == ERR_INVALID;
}

/* One io operation has ended: decides what comes next. */
static void file_done(struct io_op *op)
{
    struct store_req *req = container_of(op, struct store_req, op);
    struct file_store *f = (struct file_store *)req->store;
    struct io *io = op->io;
    int64_t result = op->result;
    bool range = req->stage == STAGE_DISCARD || req->stage == STAGE_ZERO;
    if (range && cannot(result)) {
        req->stage = req->stage == STAGE_DISCARD ? STAGE_ZERO : STAGE_WRITE_ZEROS;
        file_start(f, io, req);
        return;
    }
    if (result == ERR_AGAIN) {
        file_start(f, io, req);
        return;
    }
    if (result < 0) {
        file_finish(req, (int)result);
        return;
    }
    if (range || req->stage == STAGE_FLUSH) {
        file_settle(f, io, req);
        return;
    }
    if (result == 0) {
        if (req->verb != STORE_READ) {
            /* A write that makes no progress would loop for ever. */
            file_finish(req, ERR_IO);
            return;
        }
        /* Beyond the end of a file that is shorter than the disk: nothing was ever written there. */
        work_fill_zero(req);
        file_settle(f, io, req);
        return;
    }
    req->progress += (uint64_t)result;
    if (req->stage == STAGE_TRANSFER)
        work_advance(req, (uint64_t)result);
    if (req->progress < req->len && !MUTANT(short_write))
        file_start(f, io, req);
    else
        file_settle(f, io, req);
}

/* What is kept in order, or answered again when its status is lost, comes as a task, and is over as quickly
 * all the same. A read is tried by its io operation. */
static bool write_at_once(struct file_store *f, struct io *io, const struct store_req *req)
{
    return req->verb == STORE_WRITE && !req->fua && req->vec_count == 1 &&
           req->len <= f->store.info.attempt_max && file_attempt(&f->store, io, req);
}

static bool file_submit(struct store *store, struct io *io, struct store_req *req)
{
    struct file_store *f = (struct file_store *)store;
    req->store = store;
    req->progress = 0;
    req->work_count = 0;
    req->bounce = (struct slice){0};
    req->op = (struct io_op){0};
    req->result = 0;
    if (req->len == 0 && req->verb != STORE_FLUSH)
        return true;
    switch (req->verb) {
    case STORE_READ:
    case STORE_WRITE:
        req->stage = STAGE_TRANSFER;
        if (f->direct && !aligned(f, req)) {
            req->result = bounce_prepare(f, req);
            if (req->result)
                return true;
        } else {
            memcpy(req->work, req->vec, sizeof req->vec[0] * req->vec_count);
            req->work_count = req->vec_count;
        }
        break;
    case STORE_FLUSH:
        req->stage = STAGE_FLUSH;
        break;
    case STORE_DISCARD:
        req->stage = f->info.can_discard ? STAGE_DISCARD : STAGE_ZERO;
        break;
    case STORE_ZERO:
        req->stage = STAGE_ZERO;
        break;
    }
    if (write_at_once(f, io, req))
        return true;
    file_start(f, io, req);
    return false;
}

/* ---- opening ---- */

/* Opens what exists; makes it when it may (asked for, or a size says how large). */
static int open_or_create(struct io *io, const struct store_spec *spec, io_handle *handle,
                          struct io_file_info *info, bool *created, char *why, size_t why_len)
{
    unsigned flags = (spec->readonly ? 0u : IO_OPEN_WRITE) | (spec->direct ? IO_OPEN_DIRECT : 0u) |
                     (spec->shared ? 0u : IO_OPEN_LOCK) | IO_OPEN_NO_ATIME;
    *created = false;
    int err = io_file_open(io, spec->path, flags, handle, info);
    if (err == ERR_NOTFOUND && !spec->readonly && spec->size) {
        err = io_file_open(io, spec->path, flags | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, handle, info);
        *created = err == 0;
    } else if (err == ERR_NOTFOUND && !spec->readonly) {
        snprintf(why, why_len, "%s does not exist; give size= to create it", spec->path);
        return err;
    }
    if (err == ERR_LOCKED)
        snprintf(why, why_len, "%s is in use by another process (shared= opens it nevertheless)", spec->path);
    else if (err)
        snprintf(why, why_len, "cannot open %s: %s", spec->path, err_text(err));
    return err;
}

static int file_grow(struct io *io, io_handle handle, const struct io_file_info *info,
                     const struct store_spec *spec, uint64_t size, char *why, size_t why_len)
{
    int err = 0;
    if (size > info->size && info->block_device) {
        snprintf(why, why_len, "%s has %" PRIu64 " bytes, less than the size asked for", spec->path,
                 info->size);
        return ERR_RANGE;
    }
    /* A read-only file stays as it is: what is missing reads as zeros. */
    if (size > info->size && !spec->readonly)
        err = io_file_resize(io, handle, size);
    if (!err && spec->preallocate && !info->block_device && !spec->readonly)
        err = io_file_allocate(io, handle, 0, size);
    if (err)
        snprintf(why, why_len, "cannot make %s %" PRIu64 " bytes large: %s", spec->path, size, err_text(err));
    return err;
}

/* Size and block size must fit one another before the store exists. */
static int file_prepare(struct io *io, io_handle handle, const struct io_file_info *info,
                        const struct store_spec *spec, uint64_t *size, char *why, size_t why_len)
{
    uint32_t block = spec->block_size ? spec->block_size : 512;
    uint32_t least =
        spec->direct || info->block_device ? info->block_device ? info->block_size : info->align : 1;
    if (least > block) {
        snprintf(why, why_len, "%s needs blocks of %" PRIu32 " bytes: use block=%" PRIu32, spec->path, least,
                 least);
        return ERR_RANGE;
    }
    /* A tail that is no whole block cannot be addressed; a size that was asked for must fit exactly. */
    *size = spec->size ? spec->size : info->size - info->size % block;
    if (*size == 0) {
        snprintf(why, why_len, "%s is empty: give size=", spec->path);
        return ERR_RANGE;
    }
    int err = store_check_size(spec, *size, why, why_len);
    return err ? err : file_grow(io, handle, info, spec, *size, why, why_len);
}

static int file_open(const struct env *env, struct io *io, const struct store_spec *spec, struct store **out,
                     char *why, size_t why_len)
{
    io_handle handle;
    struct io_file_info info;
    bool created;
    uint64_t size;
    int err = open_or_create(io, spec, &handle, &info, &created, why, why_len);
    if (err)
        return err;
    err = file_prepare(io, handle, &info, spec, &size, why, why_len);
    struct file_store *f = err ? NULL : env_alloc(env, sizeof *f);
    if (!f) {
        if (!err)
            snprintf(why, why_len, "out of memory");
        io_file_close(io, handle);
        if (created)
            io_file_remove(io, spec->path); /* nothing changed */
        return err ? err : ERR_NOMEM;
    }
    f->store.ops = &store_file_ops;
    f->store.env = env;
    f->handle = handle;
    f->info = info;
    f->direct = spec->direct;
    f->preallocate = spec->preallocate;
    if (!info.block_device && !spec->readonly && size > info.size)
        f->info.size = size; /* it has just been made so long */
    file_now_init(f);
    f->store.info = (struct store_info){
        .size = size,
        .readonly = spec->readonly,
        .can_discard = info.can_discard && !spec->preallocate,
        .thin = info.can_discard && !spec->preallocate,
        .volatile_cache = true,
        .rotational = spec->rotational,
        .block_min = spec->direct        ? info.align
                     : info.block_device ? info.block_size
                                         : 1,
        .discard_granularity = info.can_discard ? info.block_size : 0,
        .attempt_max = spec->direct ? 0 : FILE_ATTEMPT_MAX, /* what is never cached has to be waited for */
        .concurrency = STORE_ANY,
    };
    *out = &f->store;
    return 0;
}

static int file_resize(struct store *store, struct io *io, uint64_t size, char *why, size_t why_len)
{
    struct file_store *f = (struct file_store *)store;
    struct store_spec spec = {.kind = "file"};
    int err = store_check_size(&spec, size, why, why_len);
    if (err)
        return err;
    if (store->info.readonly) {
        snprintf(why, why_len, "the store is read only");
        return ERR_READONLY;
    }
    if (size < store->info.size) {
        /* Cutting a file off under a live disk destroys data that nobody asked to lose. */
        snprintf(why, why_len, "a file store can only grow: it has %" PRIu64 " bytes", store->info.size);
        return ERR_RANGE;
    }
    if (f->info.block_device && size > f->info.size) {
        snprintf(why, why_len, "the device has %" PRIu64 " bytes", f->info.size);
        return ERR_RANGE;
    }
    /* A file that is longer than its disk must not be cut to the disk's new size. */
    if (size > f->info.size) {
        err = io_file_resize(io, f->handle, size);
        if (!err && f->preallocate)
            err = io_file_allocate(io, f->handle, store->info.size, size - store->info.size);
        if (err) {
            snprintf(why, why_len, "cannot make the file %" PRIu64 " bytes large: %s", size, err_text(err));
            return err;
        }
        f->info.size = size;
    }
    store->info.size = size;
    return 0;
}

static void file_close(struct store *store, struct io *io)
{
    struct file_store *f = (struct file_store *)store;
    file_now_fini(f, io);
    io_file_close(io, f->handle);
    env_free(store->env, f);
}

const struct store_ops store_file_ops = {
    .kind = "file",
    .open = file_open,
    .submit = file_submit,
    .attempt = file_attempt,
    .resize = file_resize,
    .close = file_close,
};
