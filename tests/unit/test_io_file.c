/* Files: the same behaviour over every backend, on a real directory (or the simulated disk). */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "test_io_common.h"

static char folder[64]; /* made by main */

/* A fresh name; on the simulated disk it is only a name. */
static const char *fresh_path(void)
{
    static char path[128];
    static int number;
    snprintf(path, sizeof(path), "%s/f%d", folder, number++);
    return path;
}

#define NEW_FILE (IO_OPEN_WRITE | IO_OPEN_CREATE)

static io_handle open_file(struct rig *rig, const char *path, unsigned flags, struct io_file_info *info)
{
    io_handle file = IO_NONE;
    assert_int_equal(io_file_open(rig->io, path, flags, &file, info), 0);
    return file;
}

static int64_t write_at(struct rig *rig, io_handle file, const void *bytes, size_t len, uint64_t offset)
{
    struct io_vec vec = {(void *)(uintptr_t)bytes, len};
    struct wait_op op = wait_op_new();
    io_pwrite(rig->io, &op.op, file, &vec, 1, offset);
    AWAIT(rig, op);
    return op.op.result;
}

static int64_t read_at(struct rig *rig, io_handle file, void *bytes, size_t len, uint64_t offset)
{
    struct io_vec vec = {bytes, len};
    struct wait_op op = wait_op_new();
    io_pread(rig->io, &op.op, file, &vec, 1, offset);
    AWAIT(rig, op);
    return op.op.result;
}

static void what_was_written_is_read_back(void **state)
{
    RIG(state);
    struct io_file_info info;
    io_handle file = open_file(rig, fresh_path(), NEW_FILE, &info);
    assert_int_equal(info.size, 0);
    assert_false(info.block_device);
    assert_int_equal(info.align, 1);
    static uint8_t out[100000], in[100000];
    fill_pattern(out, sizeof(out), 3);
    /* Odd places: nothing is aligned to anything. */
    struct io_vec vec[IO_VEC_MAX], back[3] = {{in, 1}, {in + 1, 50000}, {in + 50001, 49999}};
    for (int i = 0; i < IO_VEC_MAX; i++)
        vec[i] =
            (struct io_vec){out + i * 390, i == IO_VEC_MAX - 1 ? sizeof(out) - 390 * (IO_VEC_MAX - 1) : 390};
    struct wait_op write = wait_op_new(), read = wait_op_new();
    io_pwrite(rig->io, &write.op, file, vec, IO_VEC_MAX, 12345);
    assert_int_equal(write.finished, 0);
    AWAIT(rig, write);
    assert_int_equal(write.op.result, sizeof(out));
    io_pread(rig->io, &read.op, file, back, 3, 12345);
    AWAIT(rig, read);
    assert_int_equal(read.op.result, sizeof(in));
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(read_at(rig, file, in, 12345, 0), 12345);
    for (size_t i = 0; i < 12345; i++)
        assert_int_equal(in[i], 0);
    struct io_stats stats;
    io_get_stats(rig->io, &stats);
    assert_int_equal(stats.file_ops, 3);
    io_file_close(rig->io, file);
}

static void a_read_is_short_only_at_the_end_of_the_file(void **state)
{
    RIG(state);
    io_handle file = open_file(rig, fresh_path(), NEW_FILE, NULL);
    char back[16];
    assert_int_equal(write_at(rig, file, "0123456789", 10, 0), 10);
    assert_int_equal(read_at(rig, file, back, 16, 4), 6);
    assert_memory_equal(back, "456789", 6);
    assert_int_equal(read_at(rig, file, back, 16, 10), 0);
    assert_int_equal(read_at(rig, file, back, 16, 1000), 0);
    io_file_close(rig->io, file);
}

static void flush_and_the_size_calls_work(void **state)
{
    RIG(state);
    const char *path = fresh_path();
    io_handle file = open_file(rig, path, NEW_FILE | IO_OPEN_EXCLUSIVE, NULL);
    assert_int_equal(write_at(rig, file, "abcdef", 6, 0), 6);
    struct wait_op flush = wait_op_new();
    io_flush(rig->io, &flush.op, file);
    AWAIT(rig, flush);
    assert_int_equal(flush.op.result, 0);
    assert_int_equal(io_file_resize(rig->io, file, 3), 0);
    assert_int_equal(io_file_resize(rig->io, file, UINT64_C(1) << 32), 0); /* sparse */
    struct io_file_info info;
    io_handle again = open_file(rig, path, 0, &info);
    assert_int_equal(info.size, UINT64_C(1) << 32);
    char back[6];
    assert_int_equal(read_at(rig, again, back, 6, 0), 6);
    assert_memory_equal(back, "abc\0\0\0", 6);
    assert_int_equal(io_file_resize(rig->io, file, 0), 0);
    int err = io_file_allocate(rig->io, file, 0, 65536);
    assert_true(err == 0 || err == ERR_UNSUPPORTED);
    assert_int_equal(io_file_resize(rig->io, file, UINT64_MAX), ERR_TOOBIG);
    io_file_close(rig->io, again);
    io_file_close(rig->io, file);
    assert_int_equal(io_dir_sync(rig->io, folder), 0);
}

static void discarded_and_zeroed_ranges_read_as_zeros(void **state)
{
    RIG(state);
    struct io_file_info info;
    const char *path = fresh_path();
    io_handle file = open_file(rig, path, NEW_FILE, &info);
    static uint8_t bytes[40960], back[40960], zeros[40960];
    for (int zero = 0; zero < 2; zero++) {
        memset(bytes, 0xaa, sizeof(bytes));
        assert_int_equal(write_at(rig, file, bytes, sizeof(bytes), 0), sizeof(bytes));
        struct wait_op op = wait_op_new();
        if (zero)
            io_zero(rig->io, &op.op, file, 4000, 20001);
        else
            io_discard(rig->io, &op.op, file, 4000, 20001);
        AWAIT(rig, op);
        if (op.op.result == ERR_UNSUPPORTED) {
            assert_false(!zero && info.can_discard);
            continue;
        }
        assert_int_equal(op.op.result, 0);
        assert_int_equal(read_at(rig, file, back, sizeof(back), 0), sizeof(back));
        assert_memory_equal(back, bytes, 4000);
        assert_memory_equal(back + 4000, zeros, 20001);
        assert_memory_equal(back + 24001, bytes, sizeof(back) - 24001);
        /* Beyond the end: nothing to do, and the file does not grow. */
        op = wait_op_new();
        io_discard(rig->io, &op.op, file, 1 << 20, 4096);
        AWAIT(rig, op);
        op = wait_op_new();
        io_discard(rig->io, &op.op, file, 0, 0);
        AWAIT(rig, op);
        assert_int_equal(op.op.result, 0);
        struct io_file_info now;
        io_handle again = open_file(rig, path, 0, &now);
        assert_int_equal(now.size, sizeof(bytes));
        io_file_close(rig->io, again);
    }
    io_file_close(rig->io, file);
}

static void a_locked_file_is_refused_to_the_second_writer(void **state)
{
    RIG(state);
    const char *path = fresh_path();
    io_handle second;
    io_handle file = open_file(rig, path, NEW_FILE | IO_OPEN_LOCK, NULL);
    assert_int_equal(write_at(rig, file, "keep", 4, 0), 4);
    assert_int_equal(io_file_open(rig->io, path, IO_OPEN_WRITE | IO_OPEN_LOCK, &second, NULL), ERR_LOCKED);
    const unsigned truncate = NEW_FILE | IO_OPEN_LOCK | IO_OPEN_TRUNCATE;
    assert_int_equal(io_file_open(rig->io, path, truncate, &second, NULL), ERR_LOCKED);
    assert_int_equal(io_file_open(rig->io, path, IO_OPEN_LOCK, &second, NULL), ERR_LOCKED);
    char back[4]; /* the refused truncation has truncated nothing */
    assert_int_equal(read_at(rig, file, back, 4, 0), 4);
    io_handle unlocked = open_file(rig, path, 0, NULL); /* the lock is advisory */
    io_file_close(rig->io, unlocked);
    assert_int_equal(io_file_open(rig->io, path, IO_OPEN_LOCK, &second, NULL),
                     ERR_LOCKED); /* and survived that */
    io_file_close(rig->io, file);
    io_handle readers[2] = {open_file(rig, path, IO_OPEN_LOCK, NULL),
                            open_file(rig, path, IO_OPEN_LOCK, NULL)};
    assert_int_equal(io_file_open(rig->io, path, IO_OPEN_WRITE | IO_OPEN_LOCK, &second, NULL), ERR_LOCKED);
    io_file_close(rig->io, readers[0]);
    io_file_close(rig->io, readers[1]);
    file = open_file(rig, path, IO_OPEN_WRITE | IO_OPEN_LOCK, NULL);
    io_file_close(rig->io, file);
}

/* As io_uring does for a moment after the last completion. */
static void a_close_unlocks_though_the_kernel_keeps_the_file(void **state)
{
    RIG(state);
    const char *path = fresh_path();
    io_handle file = open_file(rig, path, NEW_FILE | IO_OPEN_LOCK, NULL);
    int kept = dup((int)file);
    assert_true(kept >= 0);
    io_file_close(rig->io, file);
    file = open_file(rig, path, IO_OPEN_WRITE | IO_OPEN_LOCK, NULL);
    io_file_close(rig->io, file);
    close(kept);
}

static void wrong_opens_fail_cleanly(void **state)
{
    RIG(state);
    io_handle file = 77;
    const char *path = fresh_path();
    assert_int_equal(io_file_open(rig->io, path, 0, &file, NULL), ERR_NOTFOUND);
    assert_int_equal(io_file_open(rig->io, path, IO_OPEN_CREATE, &file, NULL), ERR_INVALID);
    assert_int_equal(io_file_open(rig->io, path, IO_OPEN_TRUNCATE, &file, NULL), ERR_INVALID);
    io_handle made = open_file(rig, path, NEW_FILE | IO_OPEN_EXCLUSIVE, NULL);
    assert_int_equal(io_file_open(rig->io, path, NEW_FILE | IO_OPEN_EXCLUSIVE, &file, NULL), ERR_EXISTS);
    io_file_close(rig->io, made);
    made = open_file(rig, path, 0, NULL);
    assert_int_equal(write_at(rig, made, "x", 1, 0), ERR_INVALID); /* opened for reading */
    io_file_close(rig->io, made);
    assert_int_equal(file, 77);
}

static void a_directory_a_fifo_and_a_character_device_are_invalid(void **state)
{
    RIG(state);
    io_handle file;
    char fifo[128];
    snprintf(fifo, sizeof(fifo), "%s", fresh_path());
    assert_int_equal(mkfifo(fifo, 0600), 0);
    for (unsigned flags = 0; flags <= IO_OPEN_WRITE; flags++) {
        assert_int_equal(io_file_open(rig->io, folder, flags, &file, NULL), ERR_INVALID);
        assert_int_equal(io_file_open(rig->io, fifo, flags, &file, NULL), ERR_INVALID);
        assert_int_equal(io_file_open(rig->io, "/dev/zero", flags, &file, NULL), ERR_INVALID);
    }
    assert_int_equal(unlink(fifo), 0);
}

static void rename_replaces_and_remove_keeps_an_open_file_alive(void **state)
{
    RIG(state);
    char from[128], to[128];
    snprintf(from, sizeof(from), "%s", fresh_path());
    snprintf(to, sizeof(to), "%s", fresh_path());
    io_handle a = open_file(rig, from, NEW_FILE, NULL), b = open_file(rig, to, NEW_FILE, NULL);
    assert_int_equal(write_at(rig, a, "new", 3, 0), 3);
    assert_int_equal(write_at(rig, b, "old", 3, 0), 3);
    assert_int_equal(io_file_rename(rig->io, from, to), 0);
    assert_int_equal(io_file_rename(rig->io, from, to), ERR_NOTFOUND);
    char back[3];
    io_handle c = open_file(rig, to, 0, NULL);
    assert_int_equal(read_at(rig, c, back, 3, 0), 3);
    assert_memory_equal(back, "new", 3);
    assert_int_equal(read_at(rig, b, back, 3, 0), 3); /* replaced, still open */
    assert_memory_equal(back, "old", 3);
    assert_int_equal(io_file_remove(rig->io, to), 0);
    assert_int_equal(io_file_remove(rig->io, to), ERR_NOTFOUND);
    assert_int_equal(read_at(rig, c, back, 3, 0), 3);
    assert_memory_equal(back, "new", 3);
    io_file_close(rig->io, a);
    io_file_close(rig->io, b);
    io_file_close(rig->io, c);
}

static void truncating_opens_empty_the_file(void **state)
{
    RIG(state);
    const char *path = fresh_path();
    io_handle file = open_file(rig, path, NEW_FILE, NULL);
    assert_int_equal(write_at(rig, file, "abc", 3, 0), 3);
    io_file_close(rig->io, file);
    struct io_file_info info;
    file = open_file(rig, path, NEW_FILE | IO_OPEN_TRUNCATE | IO_OPEN_DSYNC, &info);
    assert_int_equal(info.size, 0);
    char back[3];
    assert_int_equal(read_at(rig, file, back, 3, 0), 0);
    io_file_close(rig->io, file);
}

static void direct_files_say_their_alignment(void **state)
{
    RIG(state);
    const char *path = fresh_path();
    struct io_file_info info;
    io_handle file;
    int err = io_file_open(rig->io, path, NEW_FILE | IO_OPEN_DIRECT, &file, &info);
    if (err == ERR_UNSUPPORTED) {
        print_message("skipped: no O_DIRECT on this file system\n");
        skip();
    }
    assert_int_equal(err, 0);
    assert_true(info.align >= 512 && (info.align & (info.align - 1)) == 0);
    uint8_t *bytes = env_host()->alloc(NULL, info.align, info.align);
    memset(bytes, 0x5a, info.align);
    assert_int_equal(write_at(rig, file, bytes, info.align, info.align), info.align);
    memset(bytes, 0, info.align);
    assert_int_equal(read_at(rig, file, bytes, info.align, info.align), info.align);
    assert_int_equal(bytes[info.align - 1], 0x5a);
    env_host()->free(NULL, bytes);
    io_file_close(rig->io, file);
}

static void many_operations_at_once_all_complete_once(void **state)
{
    RIG(state);
    enum { COUNT = 700, LEN = 512 }; /* more than the submission ring holds */
    static struct wait_op ops[COUNT];
    static struct io_vec vecs[COUNT];
    static uint8_t bytes[COUNT][LEN];
    io_handle file = open_file(rig, fresh_path(), NEW_FILE, NULL);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < COUNT; i++) {
            if (pass == 0)
                memset(bytes[i], i, LEN);
            else
                memset(bytes[i], 0, LEN);
            vecs[i] = (struct io_vec){bytes[i], LEN};
            ops[i] = wait_op_new();
            if (pass == 0)
                io_pwrite(rig->io, &ops[i].op, file, &vecs[i], 1, (uint64_t)i * LEN);
            else
                io_pread(rig->io, &ops[i].op, file, &vecs[i], 1, (uint64_t)i * LEN);
        }
        for (int i = 0; i < COUNT; i++) {
            AWAIT(rig, ops[i]);
            assert_int_equal(ops[i].op.result, LEN);
            assert_int_equal(bytes[i][0], (uint8_t)i);
            assert_int_equal(bytes[i][LEN - 1], (uint8_t)i);
        }
    }
    io_file_close(rig->io, file);
}

static void cancelled_file_operations_still_complete(void **state)
{
    RIG(state);
    enum { COUNT = 60 };
    static struct wait_op ops[COUNT];
    static uint8_t byte[COUNT];
    static struct io_vec vecs[COUNT];
    io_handle file = open_file(rig, fresh_path(), NEW_FILE, NULL);
    for (int i = 0; i < COUNT; i++) {
        vecs[i] = (struct io_vec){&byte[i], 1};
        ops[i] = wait_op_new();
        if (i % 3 == 0)
            io_flush(rig->io, &ops[i].op, file);
        else
            io_pwrite(rig->io, &ops[i].op, file, &vecs[i], 1, (uint64_t)i * 8192);
        if (i % 7 == 0) /* some are with the kernel or a thread by then, some are not */
            io_run(rig->io, 0);
    }
    for (int i = 0; i < COUNT; i++)
        io_cancel(rig->io, &ops[i].op);
    for (int i = 0; i < COUNT; i++) {
        AWAIT(rig, ops[i]);
        assert_true(ops[i].op.result >= 0 || ops[i].op.result == ERR_CANCELLED);
    }
    io_file_close(rig->io, file);
}

static void an_open_file_can_be_used_on_another_io(void **state)
{
    RIG(state);
    struct rig other = *rig;
    other.io = rig_new_io(rig);
    io_handle file = open_file(rig, fresh_path(), NEW_FILE, NULL);
    char back[4];
    assert_int_equal(write_at(&other, file, "both", 4, 0), 4);
    assert_int_equal(read_at(rig, file, back, 4, 0), 4);
    assert_memory_equal(back, "both", 4);
    io_file_close(rig->io, file);
    io_free(other.io);
}

static int64_t now_at(struct rig *rig, io_handle file, void *bytes, size_t len, uint64_t offset, bool write,
                      bool insist)
{
    struct io_now now = {
        .file = file, .ptr = bytes, .len = len, .offset = offset, .write = write, .insist = insist};
    return io_transfer_now(rig->io, &now);
}

/* A watched read that counts as slow when it took `slow_ns`; whether it is said to have waited. */
static bool watched_read(struct rig *rig, io_handle file, uint64_t slow_ns)
{
    char byte;
    struct io_now now = {
        .file = file, .ptr = &byte, .len = 1, .insist = true, .watch = true, .slow_ns = slow_ns};
    assert_int_equal(io_transfer_now(rig->io, &now), 1);
    assert_true(now.took_ns > 0);
    return now.waited;
}

/* The thread's own sleep stands for a disk that was waited for. */
static void who_waited_is_told_from_who_was_slow(void **state)
{
    RIG(state);
    const struct timespec sleep = {.tv_nsec = 1000000};
    io_handle file = open_file(rig, fresh_path(), NEW_FILE, NULL);
    assert_int_equal(write_at(rig, file, "x", 1, 0), 1);
    nanosleep(&sleep, NULL); /* before the turn's first: not in it */
    assert_false(watched_read(rig, file, 1));
    assert_false(watched_read(rig, file, 1));
    nanosleep(&sleep, NULL);
    assert_false(watched_read(rig, file, UINT64_MAX)); /* not slow: nobody asks */
    assert_true(watched_read(rig, file, 1));
    assert_false(watched_read(rig, file, 1)); /* once is enough */
    io_run(rig->io, io_now(rig->io));
    nanosleep(&sleep, NULL); /* between turns, as the reactor sleeps */
    assert_false(watched_read(rig, file, 1));
    struct io_now now = {.file = file, .ptr = (char[1]){0}, .len = 1, .insist = true};
    assert_int_equal(io_transfer_now(rig->io, &now), 1);
    assert_true(now.took_ns == 0 && !now.waited); /* nobody looked at the clock */
    io_file_close(rig->io, file);
}

static void what_is_cached_is_there_at_once(void **state)
{
    RIG(state);
    struct io_file_info info;
    io_handle file = open_file(rig, fresh_path(), NEW_FILE, &info);
    uint8_t out[8192], in[8192];
    fill_pattern(out, sizeof(out), 5);
    assert_int_equal(write_at(rig, file, out, sizeof(out), 0), sizeof(out));
    if (rig->kind == RIG_SIM)
        sim_world_set_options(rig->world, &(struct sim_options){.disk_now = 1000});
    int64_t got = now_at(rig, file, in, sizeof(in), 0, false, info.memory);
    assert_true(got == (int64_t)sizeof(in) || got == ERR_UNSUPPORTED);
    struct io_stats stats;
    io_get_stats(rig->io, &stats);
    assert_int_equal(stats.file_ops, 1 + (got > 0)); /* only what was done counts */
    if (got > 0) {
        assert_memory_equal(in, out, sizeof(in));
        assert_int_equal(now_at(rig, file, in, 8192, 4096, false, info.memory), 4096); /* the file's end */
    }
    got = now_at(rig, file, out + 1, 4096, 4096, true, info.memory || info.write_back);
    if (info.memory || info.write_back)
        assert_int_equal(got, 4096);
    if (got == 4096) {
        assert_int_equal(read_at(rig, file, in, 4096, 4096), 4096);
        assert_memory_equal(in, out + 1, 4096);
    }
    io_file_close(rig->io, file);
}

/* The access time is told by the file system; a read moves it when it lies before the last change. */
static void reads_leave_the_access_time_alone(void **state)
{
    RIG(state);
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    for (unsigned flag = 0; flag <= IO_OPEN_NO_ATIME; flag += IO_OPEN_NO_ATIME) {
        const char *path = fresh_path();
        io_handle file = open_file(rig, path, NEW_FILE | flag, NULL);
        char byte;
        struct stat st;
        assert_int_equal(write_at(rig, file, "x", 1, 0), 1);
        assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
        assert_int_equal(read_at(rig, file, &byte, 1, 0), 1);
        assert_int_equal(stat(path, &st), 0);
        if (!flag && st.st_atim.tv_sec == 1000)
            skip(); /* a file system that keeps no access times (noatime) */
        assert_int_equal(st.st_atim.tv_sec == 1000, flag != 0);
        io_file_close(rig->io, file);
    }
}

static void files_say_whether_they_lie_in_memory(void **state)
{
    RIG(state);
    static const char path[] = "/dev/shm/lunette-io-file";
    struct io_file_info info;
    io_handle file;
    if (io_file_open(rig->io, path, NEW_FILE, &file, &info) != 0)
        skip(); /* no tmpfs there */
    unlink(path);
    assert_true(info.memory && !info.write_back);
    char bytes[100] = "bytes";
    assert_int_equal(now_at(rig, file, bytes, sizeof(bytes), 0, true, true), sizeof(bytes));
    assert_int_equal(now_at(rig, file, bytes, sizeof(bytes), 0, false, true), sizeof(bytes));
    io_file_close(rig->io, file);
    /* What has to be on the medium when a write ends waits for it. */
    assert_int_equal(io_file_open(rig->io, path, NEW_FILE | IO_OPEN_DSYNC, &file, &info), 0);
    unlink(path);
    assert_false(info.memory || info.write_back);
    io_file_close(rig->io, file);
}

/* Where the file lies in memory a transfer is over in the turn after it was submitted, never within the call:
 * no thread and no second trip to the kernel. The results are the same. */
static void transfers_in_memory_take_one_turn(void **state)
{
    RIG(state);
    io_handle file = open_file(rig, fresh_path(), NEW_FILE, NULL);
    static uint8_t data[300000], back[300000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 + i / 4096);
    struct io_vec out[2] = {{data, 100000}, {data + 100000, 200000}}, in = {back, sizeof back};
    struct wait_op write = wait_op_new(), read = wait_op_new(), end = wait_op_new();
    write.op.memory = read.op.memory = end.op.memory = true;
    io_pwrite(rig->io, &write.op, file, out, 2, 5);
    assert_int_equal(write.finished, 0);
    io_run(rig->io, io_now(rig->io));
    assert_int_equal(write.finished, 1);
    assert_int_equal(write.op.result, sizeof data);
    io_pread(rig->io, &read.op, file, &in, 1, 5);
    assert_int_equal(read.finished, 0);
    io_run(rig->io, io_now(rig->io));
    assert_int_equal(read.finished, 1);
    assert_int_equal(read.op.result, sizeof data);
    assert_memory_equal(back, data, sizeof data);
    io_pread(rig->io, &end.op, file, &in, 1, sizeof data); /* five bytes are there */
    io_run(rig->io, io_now(rig->io));
    assert_int_equal(end.finished, 1);
    assert_int_equal(end.op.result, 5);
    io_file_close(rig->io, file);
}

int main(void)
{
    snprintf(folder, sizeof(folder), "/tmp/lunette-io-XXXXXX");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        RIG_TEST(what_was_written_is_read_back),
        RIG_TEST(a_read_is_short_only_at_the_end_of_the_file),
        RIG_TEST(flush_and_the_size_calls_work),
        RIG_TEST(discarded_and_zeroed_ranges_read_as_zeros),
        RIG_TEST(a_locked_file_is_refused_to_the_second_writer),
        RIG_TEST_REAL(a_close_unlocks_though_the_kernel_keeps_the_file),
        RIG_TEST(wrong_opens_fail_cleanly),
        RIG_TEST_REAL(a_directory_a_fifo_and_a_character_device_are_invalid),
        RIG_TEST(rename_replaces_and_remove_keeps_an_open_file_alive),
        RIG_TEST(truncating_opens_empty_the_file),
        RIG_TEST(direct_files_say_their_alignment),
        RIG_TEST(many_operations_at_once_all_complete_once),
        RIG_TEST(cancelled_file_operations_still_complete),
        RIG_TEST(an_open_file_can_be_used_on_another_io),
        RIG_TEST(what_is_cached_is_there_at_once),
        RIG_TEST_REAL(files_say_whether_they_lie_in_memory),
        RIG_TEST_REAL(transfers_in_memory_take_one_turn),
        RIG_TEST_REAL(who_waited_is_told_from_who_was_slow),
        RIG_TEST_REAL(reads_leave_the_access_time_alone),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 ? failed : 1;
}
