/* The simulated disk: sparse files by path, in memory. An operation takes effect as a whole at the moment in
 * which it completes; operations overtake one another as the seed likes. A failed write has been applied or
 * not: both happen. */
#include <assert.h>
#include <string.h>

#include "common/io/sim_internal.h"

enum { SIM_PAGE_LEN = 4096, SIM_BUCKETS_MIN = 64, SIM_DIRECT_ALIGN = 512 };

struct sim_page {
    struct sim_page *next; /* in its bucket */
    uint64_t index;
    uint8_t data[SIM_PAGE_LEN];
};

struct sim_file {
    struct list_node node; /* in world->files while it has a name */
    char *path;            /* owned */
    uint64_t size;         /* bytes */
    uint32_t opens;        /* freed when no name and no open is left */
    uint32_t shared_locks;
    bool exclusive_lock;
    struct sim_page **buckets; /* owned; bucket_count is a power of two or 0 */
    uint64_t bucket_count;
    uint64_t page_count;
};

struct sim_open {
    struct sim_file *file;
    unsigned flags;
    uint32_t ops; /* in flight */
};

/* ---- pages ---- */

/* Multiplicative hash: neighbouring pages spread. */
static struct sim_page **page_bucket(struct sim_file *file, uint64_t index)
{
    return &file->buckets[(index * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (file->bucket_count - 1)];
}

static struct sim_page *page_find(struct sim_file *file, uint64_t index)
{
    if (file->bucket_count == 0)
        return NULL;
    struct sim_page *page = *page_bucket(file, index);
    while (page && page->index != index)
        page = page->next;
    return page;
}

/* Keeps chains short; old pages stay where they are in memory. */
static bool pages_grow(struct sim_world *world, struct sim_file *file)
{
    struct sim_file bigger = *file;
    bigger.bucket_count = file->bucket_count ? 2 * file->bucket_count : SIM_BUCKETS_MIN;
    bigger.buckets = env_alloc(world->heap, (size_t)bigger.bucket_count * sizeof(*bigger.buckets));
    if (!bigger.buckets)
        return false;
    for (uint64_t i = 0; i < file->bucket_count; i++) {
        for (struct sim_page *page = file->buckets[i], *next; page; page = next) {
            struct sim_page **bucket = page_bucket(&bigger, page->index);
            next = page->next;
            page->next = *bucket;
            *bucket = page;
        }
    }
    env_free(world->heap, file->buckets);
    file->buckets = bigger.buckets;
    file->bucket_count = bigger.bucket_count;
    return true;
}

/* False when memory is out, which the caller reports as a full disk. */
static bool page_ensure(struct sim_world *world, struct sim_file *file, uint64_t index)
{
    if (page_find(file, index))
        return true;
    if (file->page_count >= file->bucket_count && !pages_grow(world, file))
        return false;
    struct sim_page *page = env_alloc(world->heap, sizeof(*page));
    if (!page)
        return false;
    struct sim_page **bucket = page_bucket(file, index);
    page->index = index;
    page->next = *bucket;
    *bucket = page;
    file->page_count++;
    return true;
}

/* Frees the pages first .. last - 1, whichever way is shorter: by number or by walking over all that exist.
 */
static void pages_drop(struct sim_world *world, struct sim_file *file, uint64_t first, uint64_t last)
{
    if (first >= last || file->page_count == 0)
        return;
    const bool walk = last - first > file->bucket_count;
    const uint64_t steps = walk ? file->bucket_count : last - first;
    for (uint64_t i = 0; i < steps; i++) {
        struct sim_page **at = walk ? &file->buckets[i] : page_bucket(file, first + i);
        while (*at) {
            struct sim_page *page = *at;
            if (page->index < first || page->index >= last) {
                at = &page->next;
                continue;
            }
            *at = page->next;
            file->page_count--;
            env_free(world->heap, page);
        }
    }
}

/* The part of one page that a range touches. */
struct page_part {
    uint64_t index;
    size_t start, len;
};

/* The first part of the range. */
static struct page_part page_part_at(uint64_t offset, uint64_t left)
{
    struct page_part part = {offset / SIM_PAGE_LEN, (size_t)(offset % SIM_PAGE_LEN), 0};
    part.len = SIM_PAGE_LEN - part.start < left ? SIM_PAGE_LEN - part.start : (size_t)left;
    return part;
}

/* Pages that do not exist read as zeros. */
static void file_copy_out(struct sim_file *file, uint64_t offset, uint8_t *to, uint64_t len)
{
    while (len > 0) {
        const struct page_part part = page_part_at(offset, len);
        const struct sim_page *page = page_find(file, part.index);
        if (page)
            memcpy(to, page->data + part.start, part.len);
        else
            memset(to, 0, part.len);
        offset += part.len;
        to += part.len;
        len -= part.len;
    }
}

/* The pages exist. */
static void file_copy_in(struct sim_file *file, uint64_t offset, const uint8_t *from, uint64_t len)
{
    while (len > 0) {
        const struct page_part part = page_part_at(offset, len);
        memcpy(page_find(file, part.index)->data + part.start, from, part.len);
        offset += part.len;
        from += part.len;
        len -= part.len;
    }
}

static void file_clear_part(struct sim_file *file, uint64_t offset, uint64_t len)
{
    const struct page_part part = page_part_at(offset, len);
    struct sim_page *page = page_find(file, part.index);
    if (page)
        memset(page->data + part.start, 0, part.len);
}

/* Whole pages are freed, the two at the edges overwritten: a discarded file costs nothing. */
static void file_clear(struct sim_world *world, struct sim_file *file, uint64_t offset, uint64_t len)
{
    if (len == 0)
        return;
    const uint64_t end = offset + len;
    const uint64_t first = (offset + SIM_PAGE_LEN - 1) / SIM_PAGE_LEN, last = end / SIM_PAGE_LEN;
    pages_drop(world, file, first, last);
    if (offset % SIM_PAGE_LEN)
        file_clear_part(file, offset, len);
    /* The last page, unless it is the first one too. */
    if (end % SIM_PAGE_LEN && last * SIM_PAGE_LEN >= offset)
        file_clear_part(file, last * SIM_PAGE_LEN, end % SIM_PAGE_LEN);
}

/* ---- operations ---- */

/* Short at the end of the file, as pread. */
static int64_t disk_read(struct sim_file *file, const struct io_op *op)
{
    uint64_t moved = 0;
    for (uint32_t i = 0; i < op->vec_count; i++) {
        const uint64_t at = op->offset + moved;
        const uint64_t left = at < file->size ? file->size - at : 0;
        const uint64_t step = op->vec[i].len < left ? op->vec[i].len : left;
        file_copy_out(file, at, op->vec[i].ptr, step);
        moved += step;
    }
    return (int64_t)moved;
}

static int64_t disk_write(struct sim_world *world, struct sim_file *file, const struct io_op *op)
{
    const uint64_t total = io_vec_bytes(op->vec, op->vec_count);
    if (total == 0)
        return 0;
    if (op->offset > INT64_MAX - total)
        return ERR_TOOBIG;
    /* All pages first, so that running out of memory changes nothing. */
    for (uint64_t page = op->offset / SIM_PAGE_LEN; page <= (op->offset + total - 1) / SIM_PAGE_LEN; page++) {
        if (!page_ensure(world, file, page))
            return ERR_NOSPACE;
    }
    uint64_t at = op->offset;
    for (uint32_t i = 0; i < op->vec_count; i++) {
        file_copy_in(file, at, op->vec[i].ptr, op->vec[i].len);
        at += op->vec[i].len;
    }
    file->size = at > file->size ? at : file->size;
    return (int64_t)total;
}

/* The operation's whole effect, now. */
static int64_t disk_apply(struct sim_world *world, struct sim_open *open, const struct io_op *op)
{
    struct sim_file *file = open->file;
    if (op->type == IO_OP_PREAD)
        return disk_read(file, op);
    if (op->type == IO_OP_FLUSH)
        return 0;
    if (!(open->flags & IO_OPEN_WRITE))
        return ERR_INVALID;
    if (op->type == IO_OP_PWRITE)
        return disk_write(world, file, op);
    if (op->offset < file->size)
        file_clear(world, file, op->offset,
                   op->len < file->size - op->offset ? op->len : file->size - op->offset);
    return 0;
}

void sim_disk_submit(struct sim_world *world, struct io_op *op)
{
    struct sim_open *open = sim_handle_get(world, op->handle, SIM_FILE);
    open->ops++;
    sim_schedule(op, world->now_ns + sim_below(world, world->options.disk_delay_ns));
}

/* A failed operation may still have happened: who wrote must treat the blocks as unknown. */
void sim_disk_try(struct sim_world *world, struct io_op *op)
{
    struct sim_open *open = sim_handle_get(world, op->handle, SIM_FILE);
    int64_t result;
    if (sim_state_of(op)->cancelled) {
        result = ERR_CANCELLED;
    } else if (sim_chance(world, world->options.disk_error)) {
        if (sim_random(world) & 1)
            (void)disk_apply(world, open, op);
        result = ERR_IO;
    } else {
        result = disk_apply(world, open, op);
    }
    open->ops--;
    sim_deliver(op, result);
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
    list_push_back(&world->files, &file->node);
    return file;
}

static void file_free(struct sim_world *world, struct sim_file *file)
{
    pages_drop(world, file, 0, UINT64_MAX);
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
    file->opens++;
    file_lock(file, flags);
    if (flags & IO_OPEN_TRUNCATE) {
        pages_drop(world, file, 0, UINT64_MAX);
        file->size = 0;
    }
    if (info)
        *info = (struct io_file_info){.size = file->size,
                                      .can_discard = (flags & IO_OPEN_WRITE) != 0,
                                      .align = flags & IO_OPEN_DIRECT ? SIM_DIRECT_ALIGN : 1,
                                      .block_size = SIM_PAGE_LEN};
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
        file_clear(world, open->file, size, open->file->size - size);
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
    env_free(world->heap, open);
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
        env_free(world->heap, open);
    }
    while ((node = list_pop_front(&world->files)))
        file_free(world, list_entry(node, struct sim_file, node));
}
