/* The simulated disk: files by path, in memory. An operation takes effect as a whole at the moment in which
 * it completes; operations overtake one another as the seed likes. A failed write has been applied, in part,
 * or not: all happen. With disk_cache, contents are volatile until flushed (sim_cache.c); names and sizes are
 * on the medium at once. */
#include <assert.h>
#include <string.h>

#include "common/io/sim_disk.h"

/* ---- operations ---- */

/* Short at the end of the file, as pread. */
static int64_t disk_read(struct sim_file *file, const struct io_op *op, uint64_t most)
{
    uint64_t moved = 0;
    for (uint32_t i = 0; i < op->vec_count && moved < most; i++) {
        const uint64_t at = op->offset + moved;
        uint64_t step = at < file->size ? file->size - at : 0;
        step = op->vec[i].len < step ? op->vec[i].len : step;
        step = step < most - moved ? step : most - moved;
        sim_file_copy_out(file, at, op->vec[i].ptr, step);
        moved += step;
    }
    return (int64_t)moved;
}

/* The first `total` bytes of what is to be written. */
static int64_t disk_write(struct sim_world *world, struct sim_open *open, const struct io_op *op,
                          uint64_t total)
{
    struct sim_file *file = open->file;
    if (total == 0)
        return 0;
    if (op->offset > INT64_MAX - total)
        return ERR_TOOBIG;
    /* All pages first, so that running out of memory changes nothing. */
    for (uint64_t page = op->offset / SIM_PAGE_LEN; page <= (op->offset + total - 1) / SIM_PAGE_LEN; page++) {
        if (!sim_page_ensure(world, file, page))
            return ERR_NOSPACE;
    }
    if (!(open->flags & IO_OPEN_DSYNC))
        sim_cache_before(world, file, world->file_ops, op->offset, total);
    uint64_t at = op->offset, left = total;
    for (uint32_t i = 0; i < op->vec_count && left > 0; i++) {
        const uint64_t step = op->vec[i].len < left ? op->vec[i].len : left;
        sim_file_copy_in(file, at, op->vec[i].ptr, step);
        at += step;
        left -= step;
    }
    file->size = at > file->size ? at : file->size;
    return (int64_t)total;
}

static int64_t disk_clear(struct sim_world *world, struct sim_open *open, const struct io_op *op)
{
    struct sim_file *file = open->file;
    if (op->offset >= file->size)
        return 0;
    const uint64_t len = op->len < file->size - op->offset ? op->len : file->size - op->offset;
    sim_cache_before(world, file, world->file_ops, op->offset, len);
    sim_file_clear(world, file, op->offset, len);
    return 0;
}

/* The operation's effect, now; of a transfer, `most` bytes. */
static int64_t disk_apply(struct sim_world *world, struct sim_open *open, const struct io_op *op,
                          uint64_t most)
{
    if (op->type == IO_OP_PREAD)
        return disk_read(open->file, op, most);
    if (op->type == IO_OP_FLUSH) {
        sim_cache_flushed(world, open->file, ((const struct sim_op *)op->backend)->number);
        return 0;
    }
    if (!(open->flags & IO_OPEN_WRITE))
        return ERR_INVALID;
    return op->type == IO_OP_PWRITE ? disk_write(world, open, op, most) : disk_clear(world, open, op);
}

static uint64_t op_bytes(const struct io_op *op)
{
    return op->type == IO_OP_PREAD || op->type == IO_OP_PWRITE ? io_vec_bytes(op->vec, op->vec_count) : 0;
}

/* Part of a transfer, at most `most` bytes: it ends where a sector does, for no disk tears a sector. */
static uint64_t some_bytes(struct sim_world *world, const struct io_op *op, uint64_t most)
{
    const uint64_t end = op->offset + sim_below(world, most);
    const uint64_t whole = end - end % SIM_SECTOR_LEN;
    return whole > op->offset ? whole - op->offset : 0;
}

/* A failed or forgotten operation: nothing of it, all of it, or its beginning. A flush that failed has done
 * nothing. */
static void disk_apply_some(struct sim_world *world, struct sim_open *open, const struct io_op *op)
{
    const uint64_t total = op_bytes(op);
    if (op->type != IO_OP_FLUSH && op->type != IO_OP_PREAD && (sim_random(world) & 1))
        (void)disk_apply(world, open, op, (sim_random(world) & 1) ? total : some_bytes(world, op, total));
}

/* The error that strikes the operation, or 0. */
static int disk_strikes(struct sim_world *world, const struct io_op *op)
{
    const enum sim_fault kind = op->type == IO_OP_PREAD   ? SIM_FAULT_DISK_READ_ERROR
                                : op->type == IO_OP_FLUSH ? SIM_FAULT_DISK_FLUSH_ERROR
                                                          : SIM_FAULT_DISK_WRITE_ERROR;
    if (sim_happens(world, world->options.disk_error, kind))
        return ERR_IO;
    if (kind == SIM_FAULT_DISK_WRITE_ERROR &&
        sim_happens(world, world->options.disk_full, SIM_FAULT_DISK_FULL))
        return ERR_NOSPACE;
    return 0;
}

void sim_disk_submit(struct sim_world *world, struct io_op *op)
{
    struct sim_open *open = sim_handle_get(world, op->handle, SIM_FILE);
    const struct sim_options *options = &world->options;
    open->ops++;
    sim_state_of(op)->number = ++world->file_ops;
    const bool slow = options->disk_slow_ns && sim_happens(world, options->disk_slow, SIM_FAULT_DISK_SLOW);
    sim_schedule(op, world->now_ns + sim_below(world, slow ? options->disk_slow_ns : options->disk_delay_ns));
}

void sim_disk_try(struct sim_world *world, struct io_op *op)
{
    struct sim_open *open = sim_handle_get(world, op->handle, SIM_FILE);
    const uint64_t total = op_bytes(op), number = sim_state_of(op)->number;
    int64_t result;
    if (sim_state_of(op)->cancelled) {
        result = ERR_CANCELLED;
    } else if ((result = disk_strikes(world, op)) != 0) {
        disk_apply_some(world, open, op);
    } else {
        uint64_t most = total;
        if (total > SIM_SECTOR_LEN && sim_happens(world, world->options.disk_short, SIM_FAULT_DISK_SHORT))
            most = some_bytes(world, op, total - 1);
        most = most ? most : total;
        result = disk_apply(world, open, op, most);
    }
    world->faults[SIM_FAULT_DISK_REORDERED] += number < world->file_op_done;
    world->file_op_done = number > world->file_op_done ? number : world->file_op_done;
    open->ops--;
    sim_deliver(op, result);
}

int sim_disk_map_new(struct io *io, io_handle file, struct io_map **out)
{
    struct sim_world *world = sim_world_of(io);
    struct sim_open *open = sim_handle_get(world, file, SIM_FILE);
    if (open->file->size == 0)
        return ERR_INVALID;
    struct sim_map *self = env_alloc(world->heap, sizeof *self);
    if (!self)
        return ERR_NOMEM;
    *self = (struct sim_map){.map.len = open->file->size};
    list_push_back(&open->maps, &self->node);
    *out = &self->map;
    return 0;
}

void sim_disk_map_free(struct io *io, struct io_map *map)
{
    struct sim_map *self = container_of(map, struct sim_map, map);
    list_remove(&self->node);
    env_free(sim_world_of(io)->heap, self);
}

/* Waits as often as an attempt would find nothing. A page that cannot be had is seen as zeros. */
static int64_t disk_map_read(struct sim_world *world, const struct sim_open *open, struct io_now *now)
{
    struct sim_map *self = container_of((struct io_map *)(uintptr_t)now->map, struct sim_map, map);
    const uint64_t end = now->offset + now->len;
    if (now->len > self->map.len || now->offset > self->map.len - now->len)
        return ERR_RANGE;
    now->waited = !sim_chance(world, world->options.disk_now);
    world->faults[SIM_FAULT_DISK_MAP]++;
    self->broken = self->broken || end > open->file->size ||
                   sim_happens(world, world->options.disk_error, SIM_FAULT_DISK_READ_ERROR);
    if (self->broken)
        memset(now->ptr, 0, now->len);
    else
        sim_file_copy_out(open->file, now->offset, now->ptr, now->len);
    return self->broken ? ERR_IO : (int64_t)now->len;
}

/* What is not in this cache is not there for now; an attempt that fails may have written some of its data. */
int64_t sim_disk_transfer_now(struct io *io, struct io_now *now)
{
    struct sim_world *world = sim_world_of(io);
    struct sim_open *open = sim_handle_get(world, now->file, SIM_FILE);
    const uint32_t chance = world->options.disk_now;
    now->waited = false;
    now->took_ns = 0;
    if (now->map)
        return disk_map_read(world, open, now);
    if (now->write && !now->insist && chance % 2)
        return ERR_UNSUPPORTED;
    if (!sim_happens(world, chance, SIM_FAULT_DISK_NOW))
        return ERR_AGAIN;
    struct io_vec vec = {now->ptr, now->len};
    const struct io_op op = {.type = now->write ? IO_OP_PWRITE : IO_OP_PREAD,
                             .handle = now->file,
                             .vec = &vec,
                             .vec_count = 1,
                             .offset = now->offset};
    int err = disk_strikes(world, &op);
    if (err) {
        disk_apply_some(world, open, &op);
        return err;
    }
    uint64_t most = now->len;
    if (most > SIM_SECTOR_LEN && sim_happens(world, world->options.disk_short, SIM_FAULT_DISK_SHORT))
        most = some_bytes(world, &op, most - 1);
    return disk_apply(world, open, &op, most);
}

void sim_disk_abandon(struct sim_world *world, struct io_op *op)
{
    struct sim_open *open = sim_handle_get(world, op->handle, SIM_FILE);
    disk_apply_some(world, open, op);
    open->ops--;
}

/* ---- names ---- */

/* Few files: a walk is enough. */
static struct sim_file *file_find(struct sim_world *world, const char *path)
{
    list_for_each(it, &world->files)
    {
        struct sim_file *file = list_entry(it, struct sim_file, node);
        if (strcmp(file->path, path) == 0)
            return file;
    }
    return NULL;
}

static char *path_copy(struct sim_world *world, const char *path)
{
    const size_t len = strlen(path) + 1;
    char *copy = env_alloc(world->heap, len);
    if (copy)
        memcpy(copy, path, len);
    return copy;
}

static struct sim_file *file_new(struct sim_world *world, const char *path)
{
    struct sim_file *file = env_alloc(world->heap, sizeof(*file));
    char *copy = file ? path_copy(world, path) : NULL;
    if (!copy) {
        env_free(world->heap, file);
        return NULL;
    }
    file->path = copy;
    list_init(&file->volatiles);
    list_push_back(&world->files, &file->node);
    return file;
}

static void file_free(struct sim_world *world, struct sim_file *file)
{
    sim_cache_drop(world, file);
    sim_pages_drop(world, file, 0, UINT64_MAX);
    env_free(world->heap, file->buckets);
    env_free(world->heap, file->path);
    env_free(world->heap, file);
}

/* The file loses its name; it lives on while it is open. */
static void file_unlink(struct sim_world *world, struct sim_file *file)
{
    list_remove(&file->node);
    if (file->opens == 0)
        file_free(world, file);
}

static void file_lock(struct sim_file *file, unsigned flags)
{
    if (flags & IO_OPEN_LOCK && flags & IO_OPEN_WRITE)
        file->exclusive_lock = true;
    else if (flags & IO_OPEN_LOCK)
        file->shared_locks++;
}

/* Would taking the lock that `flags` ask for conflict? */
static bool file_is_locked(const struct sim_file *file, unsigned flags)
{
    if (!(flags & IO_OPEN_LOCK))
        return false;
    return file->exclusive_lock || ((flags & IO_OPEN_WRITE) && file->shared_locks > 0);
}

/* Finds or creates the file that `flags` ask for. */
static int file_for_open(struct sim_world *world, const char *path, unsigned flags, struct sim_file **out)
{
    if ((flags & (IO_OPEN_TRUNCATE | IO_OPEN_CREATE)) && !(flags & IO_OPEN_WRITE))
        return ERR_INVALID;
    if ((flags & IO_OPEN_EXCLUSIVE) && !(flags & IO_OPEN_CREATE))
        return ERR_INVALID;
    struct sim_file *file = file_find(world, path);
    if (file && (flags & IO_OPEN_EXCLUSIVE))
        return ERR_EXISTS;
    if (!file && !(flags & IO_OPEN_CREATE))
        return ERR_NOTFOUND;
    if (file && file_is_locked(file, flags))
        return ERR_LOCKED;
    if (!file)
        file = file_new(world, path);
    if (!file)
        return ERR_NOMEM;
    *out = file;
    return 0;
}

int sim_disk_open(struct io *io, const char *path, unsigned flags, io_handle *out, struct io_file_info *info)
{
    struct sim_world *world = sim_world_of(io);
    struct sim_file *file = NULL;
    struct sim_open *open = env_alloc(world->heap, sizeof(*open));
    int err = open ? file_for_open(world, path, flags, &file) : ERR_NOMEM;
    if (err == 0)
        err = sim_handle_new(world, SIM_FILE, open, out);
    if (err < 0) {
        env_free(world->heap, open);
        return err;
    }
    *open = (struct sim_open){.file = file, .flags = flags};
    list_init(&open->maps);
    file->opens++;
    file_lock(file, flags);
    sim_handle_own(world, *out, io);
    if (flags & IO_OPEN_TRUNCATE) {
        sim_cache_drop(world, file);
        sim_pages_drop(world, file, 0, UINT64_MAX);
        file->size = 0;
    }
    if (info)
        *info = (struct io_file_info){.size = file->size,
                                      .can_discard = (flags & IO_OPEN_WRITE) != 0,
                                      .align = flags & IO_OPEN_DIRECT ? SIM_DIRECT_ALIGN : 1,
                                      .block_size = SIM_PAGE_LEN,
                                      .write_back = !(flags & (IO_OPEN_DIRECT | IO_OPEN_DSYNC)),
                                      .map_after = flags & IO_OPEN_DIRECT ? 0 : SIM_MAP_AFTER};
    return 0;
}

int sim_disk_resize(struct io *io, io_handle handle, uint64_t size)
{
    struct sim_world *world = sim_world_of(io);
    struct sim_open *open = sim_handle_get(world, handle, SIM_FILE);
    if (!(open->flags & IO_OPEN_WRITE))
        return ERR_INVALID;
    if (size > INT64_MAX)
        return ERR_TOOBIG;
    /* What is cut off must read as zeros if the file grows again. */
    if (size < open->file->size)
        sim_cache_drop(world,
                       open->file); /* sizes are on the medium at once, and with them all that came before */
    if (size < open->file->size)
        sim_file_clear(world, open->file, size, open->file->size - size);
    open->file->size = size;
    return 0;
}

int sim_disk_allocate(struct io *io, io_handle handle, uint64_t off, uint64_t len)
{
    struct sim_open *open = sim_handle_get(sim_world_of(io), handle, SIM_FILE);
    if (!(open->flags & IO_OPEN_WRITE) || len == 0)
        return ERR_INVALID;
    if (off > INT64_MAX || len > INT64_MAX - off)
        return ERR_TOOBIG;
    if (off + len > open->file->size)
        open->file->size = off + len;
    return 0;
}

/* Atomic, as rename(2): whoever has the old file open keeps it. */
int sim_disk_rename(struct io *io, const char *from, const char *to)
{
    struct sim_world *world = sim_world_of(io);
    struct sim_file *file = file_find(world, from), *old = file_find(world, to);
    if (!file)
        return ERR_NOTFOUND;
    if (file == old)
        return 0;
    char *copy = path_copy(world, to);
    if (!copy)
        return ERR_NOMEM;
    if (old)
        file_unlink(world, old);
    env_free(world->heap, file->path);
    file->path = copy;
    return 0;
}

int sim_disk_remove(struct io *io, const char *path)
{
    struct sim_world *world = sim_world_of(io);
    struct sim_file *file = file_find(world, path);
    if (!file)
        return ERR_NOTFOUND;
    file_unlink(world, file);
    return 0;
}

int sim_disk_dir_sync(struct io *io, const char *path)
{
    (void)io;
    (void)path; /* there are no directories: a path is only a name */
    return 0;
}

/* What a crash has left of it. */
static void open_free(struct sim_world *world, struct sim_open *open)
{
    struct list_node *node;
    while ((node = list_pop_front(&open->maps)))
        env_free(world->heap, list_entry(node, struct sim_map, node));
    env_free(world->heap, open);
}

void sim_disk_close(struct sim_world *world, io_handle handle)
{
    struct sim_open *open = sim_handle_get(world, handle, SIM_FILE);
    struct sim_file *file = open->file;
    assert(open->ops == 0);
    if (open->flags & IO_OPEN_LOCK && open->flags & IO_OPEN_WRITE)
        file->exclusive_lock = false;
    else if (open->flags & IO_OPEN_LOCK)
        file->shared_locks--;
    if (--file->opens == 0 && !list_linked(&file->node))
        file_free(world, file);
    sim_handle_drop(world, handle);
    open_free(world, open);
}

void sim_disk_fini(struct sim_world *world)
{
    struct list_node *node;
    for (uint32_t i = 0; i < world->handle_count; i++) {
        if (world->handles[i].kind != SIM_FILE)
            continue;
        struct sim_open *open = world->handles[i].object;
        if (--open->file->opens == 0 && !list_linked(&open->file->node))
            file_free(world, open->file);
        open_free(world, open);
    }
    while ((node = list_pop_front(&world->files)))
        file_free(world, list_entry(node, struct sim_file, node));
}
