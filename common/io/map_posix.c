/* Files mapped into memory, for small reads of what lies in the page cache.
 *
 * A page that cannot be had, because the file was cut off or its disk has failed, is a SIGBUS in the middle
 * of a copy, on the thread that copies. The handler marks the map broken, puts zeros in place of all of it,
 * and lets the copy go on; who copies looks at the mark afterwards. Another thread may have met the zeros
 * without a signal: the mark was set before they were there. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io/posix.h"

/* What may be mapped at once: so many times the machine's memory. Of each 2 MiB that were ever read, the
 * kernel keeps 4 KiB of page table until the map is freed: at most a 128th of the memory, this way. */
#define MAP_MEMORY_TIMES 4u

struct posix_map {
    struct io_map map;
    uint8_t *base; /* owned */
    size_t span;   /* bytes mapped at base */
    atomic_bool broken;
};

static _Atomic uint64_t mapped; /* bytes, of all maps */

/* What this thread is reading from, for the handler. */
static _Thread_local struct posix_map *volatile reading;

/* ---- SIGBUS ---- */

static pthread_mutex_t catching = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before; /* whose the others are; changed under `catching` */

/* Nothing but zeros, in place of all of it. */
static bool map_blank(const struct posix_map *self)
{
    void *at = mmap(self->base, self->span, PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    return at != MAP_FAILED;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    const int saved = errno;
    struct posix_map *self = reading;
    const uint8_t *at = info->si_addr;
    const bool ours = info->si_code > 0 && self && at >= self->base && at < self->base + self->span;
    if (ours)
        atomic_store(&self->broken, true);
    if (!ours || !map_blank(self)) {
        /* Whoever was there before us: an access happens again when this returns, a signal is sent again. */
        (void)sigaction(number, &before, NULL);
        if (info->si_code <= 0)
            (void)raise(number);
    }
    errno = saved;
}

/* For each map anew: somebody may have put another handler in place since the last one. */
static void catch_bus_errors(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART}, old;
    action.sa_sigaction = on_bus_error;
    (void)sigemptyset(&action.sa_mask);
    (void)pthread_mutex_lock(&catching);
    (void)sigaction(SIGBUS, &action, &old); /* cannot fail */
    if (!(old.sa_flags & SA_SIGINFO) || old.sa_sigaction != on_bus_error)
        before = old;
    (void)pthread_mutex_unlock(&catching);
}

/* ---- maps ---- */

static uint64_t map_limit(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page * MAP_MEMORY_TIMES : 0;
}

/* Takes `span` bytes of the limit. */
static bool map_reserve(uint64_t span)
{
    const uint64_t limit = map_limit();
    if (span > limit)
        return false;
    if (atomic_fetch_add(&mapped, span) <= limit - span)
        return true;
    atomic_fetch_sub(&mapped, span);
    return false;
}

static int map_file(const struct env *env, int fd, uint64_t len, struct io_map **out)
{
    struct posix_map *self = env_alloc(env, sizeof *self);
    if (!self)
        return ERR_NOMEM;
    /* SHARED, because only that is promised to show what is written later. */
    void *base = mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED) {
        env_free(env, self);
        return err_from_errno(errno);
    }
    (void)madvise(base, (size_t)len, MADV_DONTDUMP); /* a crash dump is no copy of the disk */
    self->map.len = len;
    self->base = base;
    self->span = (size_t)len;
    atomic_init(&self->broken, false);
    *out = &self->map;
    return 0;
}

int map_new(struct io *io, io_handle file, struct io_map **out)
{
    const off_t end = lseek((int)file, 0, SEEK_END); /* a device's too; nobody else uses the position */
    if (end <= 0)
        return end < 0 ? err_from_errno(errno) : ERR_INVALID;
    const uint64_t len = (uint64_t)end;
    if (len > SIZE_MAX || !map_reserve(len))
        return ERR_NOMEM;
    catch_bus_errors();
    int err = map_file(io->env, (int)file, len, out);
    if (err)
        atomic_fetch_sub(&mapped, len);
    return err;
}

void map_free(struct io *io, struct io_map *map)
{
    struct posix_map *self = container_of(map, struct posix_map, map);
    (void)munmap(self->base, self->span);
    atomic_fetch_sub(&mapped, self->span);
    env_free(io->env, self);
}

int64_t map_read(const struct io_map *map, uint64_t offset, void *to, size_t len)
{
    struct posix_map *self = container_of((struct io_map *)(uintptr_t)map, struct posix_map, map);
    if (offset > map->len || len > map->len - offset)
        return ERR_RANGE;
    reading = self;
    atomic_signal_fence(memory_order_seq_cst);
    memcpy(to, self->base + offset, len);
    atomic_signal_fence(memory_order_seq_cst);
    reading = NULL;
    atomic_thread_fence(memory_order_acquire); /* the mark is older than the zeros */
    return atomic_load_explicit(&self->broken, memory_order_relaxed) ? ERR_IO : (int64_t)len;
}
