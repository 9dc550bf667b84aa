/* Files and block devices: the synchronous calls of configuration time, and the blocking body of each
 * operation. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/io/posix.h"

_Static_assert(sizeof(struct io_vec) == sizeof(struct iovec) &&
                   offsetof(struct io_vec, ptr) == offsetof(struct iovec, iov_base) &&
                   offsetof(struct io_vec, len) == offsetof(struct iovec, iov_len),
               "io_vec arrays are handed to the kernel as they are");
_Static_assert(sizeof(struct file_job) <= sizeof(((struct io_op *)0)->backend), "file_job fits");

#define FILE_DIRECT_ALIGN_DEFAULT                                                                            \
    4096u /* enough for every file system and device when the kernel does not say */

/* A read from a map that has to wait stops its reactor for one access to the disk. After so many in a row
 * that did not, that is no more than a small part of its time. */
#define MAP_AFTER 1024u

/* ---- opening ---- */

void file_unlock(int fd)
{
    /* Fails for sockets and changes nothing then. */
    struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    (void)fcntl(fd, F_OFD_SETLK, &none);
}

/* Open file description locks: unlike fcntl's classic ones they conflict between two opens in one process and
 * are not dropped when some other descriptor of the file is closed. */
static int file_lock(int fd, bool exclusive)
{
    struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES ? ERR_LOCKED : err_from_errno(errno);
}

/* The number in a queue attribute of a block device (its own or, for a partition, its disk's); 0 when not
 * known. */
static uint64_t file_queue_limit(dev_t device, const char *attribute)
{
    static const char *const folders[] = {"", "../"};
    unsigned long long value = 0;
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(device), minor(device),
                 folders[i], attribute);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (fscanf(file, "%llu", &value) != 1)
            value = 0;
        fclose(file);
        break;
    }
    return value;
}

/* Size, logical block and abilities of a block device. */
static int file_fill_device(int fd, const struct stat *st, struct io_file_info *info)
{
    int block_size = 0;
    if (ioctl(fd, BLKGETSIZE64, &info->size) < 0 || ioctl(fd, BLKSSZGET, &block_size) < 0)
        return err_from_errno(errno);
    info->block_device = true;
    info->block_size = (uint32_t)block_size;
    /* Punching a hole in a device is a write of zeros that may unmap: that limit decides, not the one for
     * discards, after which a device may return anything. */
    info->can_discard = file_queue_limit(st->st_rdev, "write_zeroes_max_bytes") > 0;
    return 0;
}

/* Asks the file system by punching one block that lies beyond the end: there is no data to lose there. */
static bool file_probe_discard(int fd, uint64_t size)
{
    uint64_t beyond = (size + 4095) / 4096 * 4096;
    int done;
    do
        done = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)beyond, 4096);
    while (done < 0 && errno == EINTR);
    return done == 0;
}

/* Strictest of what memory and offsets need; the interface has one number for both. */
static uint32_t file_direct_align(int fd, const struct io_file_info *info)
{
#ifdef STATX_DIOALIGN
    struct statx stx;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && (stx.stx_mask & STATX_DIOALIGN) &&
        stx.stx_dio_offset_align)
        return stx.stx_dio_offset_align > stx.stx_dio_mem_align ? stx.stx_dio_offset_align
                                                                : stx.stx_dio_mem_align;
#else
    (void)fd;
#endif
    return info->block_device && info->block_size > FILE_DIRECT_ALIGN_DEFAULT ? info->block_size
                                                                              : FILE_DIRECT_ALIGN_DEFAULT;
}

/* Where the file lies. Only file systems on disks of this machine are known to take a write into the page
 * cache and be done: one on a network or in a process may wait for its server for ever. */
static void file_fill_place(int fd, unsigned flags, struct io_file_info *info)
{
    struct statfs fs;
    if (flags & (IO_OPEN_DIRECT | IO_OPEN_DSYNC) || fstatfs(fd, &fs) < 0)
        return;
    switch ((unsigned long)fs.f_type) {
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
        info->memory = true;
        break;
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
        info->write_back = true;
        info->map_after = MAP_AFTER;
        break;
    default:
        break;
    }
}

/* Builds everything aside, so that a failure leaves the caller's struct alone. */
static int file_fill_info(int fd, unsigned flags, const struct stat *st, struct io_file_info *out)
{
    struct io_file_info info = {.align = 1};
    if (S_ISBLK(st->st_mode)) {
        int err = file_fill_device(fd, st, &info);
        if (err < 0)
            return err;
        info.can_discard = info.can_discard && (flags & IO_OPEN_WRITE);
        info.map_after = flags & IO_OPEN_DIRECT ? 0 : MAP_AFTER;
    } else {
        info.size = flags & IO_OPEN_TRUNCATE ? 0 : (uint64_t)st->st_size;
        info.block_size = (uint32_t)st->st_blksize;
        info.can_discard = (flags & IO_OPEN_WRITE) && file_probe_discard(fd, info.size);
        file_fill_place(fd, flags, &info);
    }
    if (flags & IO_OPEN_DIRECT)
        info.align = file_direct_align(fd, &info);
    *out = info;
    return 0;
}

/* After open: what kind is it, is it free, and what can it do. */
static int file_setup(int fd, unsigned flags, struct io_file_info *info)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return ERR_INVALID;
    if (flags & IO_OPEN_LOCK) {
        int err = file_lock(fd, flags & IO_OPEN_WRITE);
        if (err < 0)
            return err;
    }
    /* Only now: truncating a file that somebody else has locked would destroy it. */
    if ((flags & IO_OPEN_TRUNCATE) && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0)
        return err_from_errno(errno);
    /* O_NONBLOCK was for the open only; left on, io_uring would fail with EAGAIN instead of waiting for the
     * disk. */
    int status = fcntl(fd, F_GETFL);
    if (status < 0 || fcntl(fd, F_SETFL, status & ~O_NONBLOCK) < 0)
        return err_from_errno(errno);
    /* The owner's and root's right only; others go without. */
    if (flags & IO_OPEN_NO_ATIME)
        (void)!fcntl(fd, F_SETFL, (status & ~O_NONBLOCK) | O_NOATIME);
    return file_fill_info(fd, flags, &st, info);
}

/* Truncating is not among them: that waits for the lock. */
static int file_open_flags(const char *path, unsigned flags)
{
    int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK; /* O_NONBLOCK: opening a FIFO must not hang */
    how |= flags & IO_OPEN_WRITE ? O_RDWR : O_RDONLY;
    how |= flags & IO_OPEN_CREATE ? O_CREAT : 0;
    how |= flags & IO_OPEN_EXCLUSIVE ? O_EXCL : 0;
    how |= flags & IO_OPEN_DIRECT ? O_DIRECT : 0;
    how |= flags & IO_OPEN_DSYNC ? O_DSYNC : 0;
    /* On a block device O_EXCL claims it: a mounted file system, an array or another claimer makes the open
     * fail. */
    struct stat st;
    if ((flags & IO_OPEN_LOCK) && (flags & IO_OPEN_WRITE) && stat(path, &st) == 0 && S_ISBLK(st.st_mode))
        how = (how & ~O_CREAT) | O_EXCL;
    return how;
}

int file_open(const char *path, unsigned flags, int *out, struct io_file_info *info)
{
    if ((flags & (IO_OPEN_TRUNCATE | IO_OPEN_CREATE)) && !(flags & IO_OPEN_WRITE))
        return ERR_INVALID;
    if ((flags & IO_OPEN_EXCLUSIVE) && !(flags & IO_OPEN_CREATE))
        return ERR_INVALID;
    int fd;
    do
        fd = open(path, file_open_flags(path, flags), 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        if (errno == EBUSY && (flags & IO_OPEN_LOCK))
            return ERR_LOCKED;
        if (errno == EINVAL && (flags & IO_OPEN_DIRECT))
            return ERR_UNSUPPORTED;
        /* ENXIO: a FIFO without a reader, or a socket. */
        return errno == ENXIO ? ERR_INVALID : err_from_errno(errno);
    }
    struct io_file_info found;
    int err = file_setup(fd, flags, &found);
    if (err < 0) {
        close(fd);
        return err;
    }
    if (info)
        *info = found;
    *out = fd;
    return 0;
}

/* ---- other synchronous calls ---- */

static int file_result(int done)
{
    return done < 0 ? err_from_errno(errno) : 0;
}

int file_resize(struct io *io, io_handle file, uint64_t size)
{
    (void)io;
    if (size > INT64_MAX)
        return ERR_TOOBIG;
    int done;
    do
        done = ftruncate((int)file, (off_t)size);
    while (done < 0 && errno == EINTR);
    return file_result(done);
}

int file_allocate(struct io *io, io_handle file, uint64_t off, uint64_t len)
{
    (void)io;
    if (off > INT64_MAX || len > INT64_MAX - off)
        return ERR_TOOBIG;
    int done;
    do
        done = fallocate((int)file, 0, (off_t)off, (off_t)len);
    while (done < 0 && errno == EINTR);
    return file_result(done);
}

int file_rename(struct io *io, const char *from, const char *to)
{
    (void)io;
    return file_result(rename(from, to));
}

int file_remove(struct io *io, const char *path)
{
    (void)io;
    return file_result(unlink(path));
}

int file_dir_sync(struct io *io, const char *path)
{
    (void)io;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    int err = file_result(fsync(fd));
    close(fd);
    return err;
}

/* ---- operations ---- */

int file_fallocate_mode(const struct io_op *op)
{
    /* On devices too fallocate is right: unlike BLKDISCARD it promises zeros afterwards. */
    return op->type == IO_OP_DISCARD ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                     : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

/* One system call, repeated only when a signal came in between. */
static ssize_t file_transfer(const struct io_op *op, const struct iovec *vec, uint32_t count, uint64_t offset,
                             int rwf_flags)
{
    ssize_t done;
    do {
        if (op->type == IO_OP_PREAD)
            done = preadv2((int)op->handle, vec, (int)count, (off_t)offset, rwf_flags);
        else
            done = pwritev2((int)op->handle, vec, (int)count, (off_t)offset, rwf_flags);
    } while (done < 0 && errno == EINTR);
    return done;
}

int64_t file_try(const struct io_op *op)
{
    const struct iovec *vec = (const struct iovec *)(const void *)op->vec;
    ssize_t done = file_transfer(op, vec, op->vec_count, op->offset, RWF_NOWAIT);
    if (done >= 0)
        /* Short: either the end of the file, or the rest is not in the page cache. Only the blocking form can
         * tell; repeating the whole is harmless. */
        return (uint64_t)done == io_vec_bytes(op->vec, op->vec_count) ? done : ERR_AGAIN;
    return err_from_errno(errno);
}

/* How often this thread has waited for something so far. */
static long file_waits(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

/* Between turns the thread sleeps, so each begins with a look; more are needed only after something slow. */
static void file_watch_begin(struct posix_io *self)
{
    if (self->watched_turn == self->io.stats.turns)
        return;
    self->watched_turn = self->io.stats.turns;
    self->waits = file_waits();
}

static bool file_watch_end(struct posix_io *self)
{
    const long before = self->waits;
    self->waits = file_waits();
    return self->waits != before;
}

/* After something slow: has this thread waited for a page since the last look? */
static bool file_page_waited(struct posix_io *self)
{
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage) != 0 || usage.ru_majflt == self->page_waits)
        return false;
    self->page_waits = usage.ru_majflt;
    return true;
}

/* One system call. The C library's functions for it are places where a thread can be cancelled, and getting
 * ready for that costs 30 ns of a small transfer's 900; nobody cancels ours. */
static ssize_t file_transfer_call(const struct io_now *now)
{
    const struct iovec vec = {now->ptr, now->len};
    const int fd = (int)now->file;
    const off_t at = (off_t)now->offset;
#ifdef __LP64__
    if (now->insist)
        return syscall(now->write ? SYS_pwrite64 : SYS_pread64, fd, now->ptr, now->len, at);
    return syscall(now->write ? SYS_pwritev2 : SYS_preadv2, fd, &vec, 1L, at, 0L, RWF_NOWAIT);
#else /* an offset takes two registers, in an order of the processor's own */
    if (now->insist)
        return now->write ? pwrite(fd, now->ptr, now->len, at) : pread(fd, now->ptr, now->len, at);
    return now->write ? pwritev2(fd, &vec, 1, at, RWF_NOWAIT) : preadv2(fd, &vec, 1, at, RWF_NOWAIT);
#endif
}

static int64_t file_transfer_once(const struct io_now *now)
{
    if (now->map)
        return map_read(now->map, now->offset, now->ptr, now->len);
    ssize_t done;
    do
        done = file_transfer_call(now);
    while (done < 0 && errno == EINTR);
    return done < 0 ? err_from_errno(errno) : done;
}

int64_t file_transfer_now(struct io *io, struct io_now *now)
{
    struct posix_io *self = posix_of(io);
    if (!now->slow_ns)
        return file_transfer_once(now);
    if (now->watch)
        file_watch_begin(self);
    /* Within a turn one look ends a transfer and begins the next: the clock costs as much as all the rest of
     * this function. */
    if (self->timed_turn != io->stats.turns)
        self->timed_ns = env_now(io->env);
    const uint64_t begin_ns = self->timed_ns;
    const int64_t result = file_transfer_once(now);
    self->timed_turn = io->stats.turns;
    self->timed_ns = env_now(io->env);
    now->took_ns = self->timed_ns - begin_ns;
    now->waited = now->took_ns >= now->slow_ns &&
                  (now->map ? file_page_waited(self) : now->watch && file_watch_end(self));
    return result;
}

/* Drops `done` bytes from the front of the list; returns the new first place. */
static uint32_t file_vec_advance(struct iovec *vec, uint32_t first, size_t done)
{
    while (done > 0) {
        size_t step = done < vec[first].iov_len ? done : vec[first].iov_len;
        vec[first].iov_base = (char *)vec[first].iov_base + step;
        vec[first].iov_len -= step;
        done -= step;
        if (vec[first].iov_len == 0)
            first++;
    }
    return first;
}

/* Until everything is transferred, the end of the file, or an error (reported only when nothing was
 * transferred). */
static int64_t file_transfer_all(const struct io_op *op)
{
    struct iovec vec[IO_VEC_MAX]; /* a copy: the owner's list stays as it is */
    const uint64_t total = io_vec_bytes(op->vec, op->vec_count);
    uint64_t moved = 0;
    uint32_t first = 0;
    for (uint32_t i = 0; i < op->vec_count; i++)
        vec[i] = (struct iovec){op->vec[i].ptr, op->vec[i].len};
    while (moved < total) {
        ssize_t done = file_transfer(op, vec + first, op->vec_count - first, op->offset + moved, 0);
        if (done < 0)
            return moved ? (int64_t)moved : err_from_errno(errno);
        if (done == 0)
            break;
        moved += (uint64_t)done;
        first = file_vec_advance(vec, first, (size_t)done);
    }
    return (int64_t)moved;
}

int64_t file_run(const struct io_op *op)
{
    int done;
    switch (op->type) {
    case IO_OP_PREAD:
    case IO_OP_PWRITE:
        return file_transfer_all(op);
    case IO_OP_FLUSH:
        do
            done = fdatasync((int)op->handle);
        while (done < 0 && errno == EINTR);
        return file_result(done);
    default:
        assert(op->type == IO_OP_DISCARD || op->type == IO_OP_ZERO);
        if (op->len == 0)
            return 0; /* fallocate would call it invalid */
        do
            done = fallocate((int)op->handle, file_fallocate_mode(op), (off_t)op->offset, (off_t)op->len);
        while (done < 0 && errno == EINTR);
        return file_result(done);
    }
}
