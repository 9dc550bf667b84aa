/* Goal: a map shows what the file has, now and after writes; what it cannot show is an error and harms
 * nobody; a read that had to wait says so; maps are bounded; SIGBUS that is not about a map goes where it
 * went before. Method: files in a temporary directory, or the simulated disk; for the signal, children. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_io_common.h"

static char folder[64]; /* made by main */
static const struct sim_options all_cached = {.disk_now = 1000}, none_cached = {0};

static io_handle new_file(struct rig *rig, uint64_t size)
{
    static int number;
    char path[128];
    io_handle file = IO_NONE;
    snprintf(path, sizeof(path), "%s/f%d", folder, number++);
    assert_int_equal(io_file_open(rig->io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file, NULL), 0);
    assert_int_equal(io_file_resize(rig->io, file, size), 0);
    if (rig->kind == RIG_SIM)
        sim_world_set_options(rig->world, &all_cached);
    return file;
}

static void put(struct rig *rig, io_handle file, uint64_t offset, uint8_t byte, size_t len)
{
    uint8_t bytes[8192];
    assert_true(len <= sizeof(bytes));
    memset(bytes, byte, len);
    struct io_vec vec = {bytes, len};
    struct wait_op op = wait_op_new();
    io_pwrite(rig->io, &op.op, file, &vec, 1, offset);
    AWAIT(rig, op);
    assert_int_equal(op.op.result, len);
}

static struct io_map *map_of(struct rig *rig, io_handle file)
{
    struct io_map *map = NULL;
    assert_int_equal(io_map_new(rig->io, file, &map), 0);
    assert_non_null(map);
    return map;
}

static int64_t read_at(struct rig *rig, io_handle file, const struct io_map *map, uint64_t offset, void *to,
                       size_t len)
{
    struct io_now now = {.file = file, .map = map, .ptr = to, .len = len, .offset = offset};
    return io_transfer_now(rig->io, &now);
}

static void assert_shows(struct rig *rig, io_handle file, const struct io_map *map, uint64_t offset,
                         size_t len, uint8_t byte)
{
    uint8_t in[8192], wanted[8192];
    memset(in, ~byte, sizeof(in));
    memset(wanted, byte, sizeof(wanted));
    assert_int_equal(read_at(rig, file, map, offset, in, len), len);
    assert_memory_equal(in, wanted, len);
    if (len < sizeof(in))
        assert_int_equal(in[len], (uint8_t)~byte); /* and no byte more */
}

static void a_map_shows_the_file_as_it_is(void **state)
{
    RIG(state);
    uint8_t in[16];
    io_handle file = new_file(rig, 0);
    struct io_map *map = NULL, *longer;
    assert_int_equal(io_map_new(rig->io, file, &map), ERR_INVALID); /* there is nothing to show */
    put(rig, file, 0, 1, 8192);
    put(rig, file, 8192, 2, 100);
    map = map_of(rig, file);
    assert_int_equal(map->len, 8292);
    assert_shows(rig, file, map, 0, 8192, 1);
    assert_shows(rig, file, map, 8191, 1, 1);
    assert_shows(rig, file, map, 8192, 100, 2);
    put(rig, file, 4000, 3, 200); /* across two pages */
    assert_shows(rig, file, map, 3999, 1, 1);
    assert_shows(rig, file, map, 4000, 200, 3);
    assert_shows(rig, file, map, 4200, 1, 1);
    assert_int_equal(read_at(rig, file, map, 8290, in, 3), ERR_RANGE);
    assert_int_equal(read_at(rig, file, map, 8293, in, 0), ERR_RANGE);
    assert_int_equal(read_at(rig, file, map, UINT64_MAX, in, 2), ERR_RANGE);
    put(rig, file, 8292, 4, 8000);
    assert_int_equal(read_at(rig, file, map, 8292, in, 1), ERR_RANGE); /* it stays as long as it was */
    longer = map_of(rig, file);
    assert_shows(rig, file, longer, 8292, 8000, 4);
    assert_shows(rig, file, map, 8192, 100, 2);
    io_map_free(rig->io, longer);
    io_map_free(rig->io, map);
    io_map_free(rig->io, NULL);
    io_file_close(rig->io, file);
}

static void a_file_that_is_cut_off_breaks_its_map_and_no_other(void **state)
{
    RIG(state);
    uint8_t in[4096];
    io_handle file = new_file(rig, 64 << 10), other = new_file(rig, 64 << 10);
    put(rig, file, 0, 5, 4096);
    put(rig, other, 32768, 6, 4096);
    struct io_map *map = map_of(rig, file), *others = map_of(rig, other);
    assert_shows(rig, file, map, 0, 4096, 5);
    assert_int_equal(io_file_resize(rig->io, file, 4096), 0);
    assert_int_equal(read_at(rig, file, map, 32768, in, 4096), ERR_IO);
    assert_int_equal(read_at(rig, file, map, 0, in, 4096), ERR_IO); /* it shows nothing any more */
    assert_shows(rig, other, others, 32768, 4096, 6);
    assert_int_equal(io_file_resize(rig->io, file, 64 << 10), 0);
    assert_int_equal(read_at(rig, file, map, 0, in, 4096), ERR_IO);
    struct io_map *again = map_of(rig, file);
    assert_shows(rig, file, again, 0, 4096, 5);
    assert_shows(rig, file, again, 32768, 4096, 0);
    io_map_free(rig->io, again);
    io_map_free(rig->io, map);
    io_map_free(rig->io, others);
    io_file_close(rig->io, file);
    io_file_close(rig->io, other);
}

/* Takes the file out of the page cache; false: it does not go. */
static bool uncache(struct rig *rig, io_handle file, size_t len)
{
    unsigned char resident = 1;
    if (rig->kind == RIG_SIM) {
        sim_world_set_options(rig->world, &none_cached);
        return true;
    }
    assert_int_equal(fsync((int)file), 0);
    assert_int_equal(posix_fadvise((int)file, 0, 0, POSIX_FADV_DONTNEED), 0);
    void *at = mmap(NULL, len, PROT_READ, MAP_SHARED, (int)file, 0);
    assert_true(at != MAP_FAILED);
    assert_int_equal(mincore(at, 4096, &resident), 0);
    assert_int_equal(munmap(at, len), 0);
    return !(resident & 1);
}

static bool waited(struct rig *rig, io_handle file, const struct io_map *map, uint64_t slow_ns)
{
    uint8_t in[4096];
    struct io_now now = {.file = file, .map = map, .ptr = in, .len = sizeof(in), .slow_ns = slow_ns};
    assert_int_equal(io_transfer_now(rig->io, &now), sizeof(in));
    assert_int_equal(in[0], 7);
    return now.waited;
}

static void who_had_to_wait_for_a_page_is_told(void **state)
{
    RIG(state);
    io_handle file = new_file(rig, 4096), other = new_file(rig, 4096);
    put(rig, file, 0, 7, 4096);
    put(rig, other, 0, 7, 4096);
    struct io_map *others = map_of(rig, other);
    (void)waited(rig, other, others, 1); /* whatever this thread had to wait for so far */
    assert_false(waited(rig, other, others, 1));
    bool gone = uncache(rig, file, 4096); /* what is mapped already does not go */
    struct io_map *map = map_of(rig, file);
    if (gone) {
        assert_true(waited(rig, file, map, 1));
        if (rig->kind != RIG_SIM)
            assert_false(waited(rig, file, map, 1));
    }
    io_map_free(rig->io, map);
    io_map_free(rig->io, others);
    io_file_close(rig->io, file);
    io_file_close(rig->io, other);
    if (!gone) {
        print_message("skipped: the page cache keeps files of %s\n", folder);
        skip();
    }
}

static void what_is_mapped_is_bounded(void **state)
{
    RIG(state);
    const uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    io_handle large = new_file(rig, memory * 3), small = new_file(rig, 4096);
    struct io_map *map = map_of(rig, large), *second = NULL; /* address space only */
    assert_int_equal(io_map_new(rig->io, large, &second), ERR_NOMEM);
    assert_null(second);
    io_map_free(rig->io, map_of(rig, small));
    io_map_free(rig->io, map);
    io_map_free(rig->io, map_of(rig, large));
    assert_int_equal(io_file_resize(rig->io, large, memory * 4 + 1), 0);
    assert_int_equal(io_map_new(rig->io, large, &second), ERR_NOMEM);
    io_file_close(rig->io, large);
    io_file_close(rig->io, small);
}

/* ---- the signal ---- */

static void on_signal(int number)
{
    _exit(number == SIGBUS ? 42 : 1);
}

/* A child with a handler of its own that makes a map, then meets SIGBUS by `how`; its exit status. */
static int child_after(void (*how)(int fd))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct io *io = NULL;
        struct io_map *map = NULL;
        char path[128];
        signal(SIGBUS, on_signal);
        snprintf(path, sizeof(path), "%s/child", folder);
        io_handle file = IO_NONE;
        if (io_new(env_host(), IO_KIND_EPOLL, &io) != 0 ||
            io_file_open(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file, NULL) != 0 ||
            io_file_resize(io, file, 8192) != 0 || io_map_new(io, file, &map) != 0)
            _exit(1);
        how((int)file);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Of a mapping that is not ours to read. */
static void touch_a_missing_page(int fd)
{
    const volatile char *at = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED || ftruncate(fd, 0) != 0)
        _exit(1);
    (void)at[4096];
}

static void be_sent_one(int fd)
{
    (void)fd;
    raise(SIGBUS);
}

static void nothing(int fd)
{
    (void)fd;
}

static void bus_errors_of_others_are_passed_on(void **state)
{
    (void)state;
    assert_int_equal(child_after(nothing), 0);
    assert_int_equal(child_after(touch_a_missing_page), 42);
    assert_int_equal(child_after(be_sent_one), 42);
}

int main(void)
{
    snprintf(folder, sizeof(folder), "/var/tmp/lunette-map-XXXXXX"); /* a disk, where there is one */
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_map_shows_the_file_as_it_is),
        RIG_TEST(a_file_that_is_cut_off_breaks_its_map_and_no_other),
        RIG_TEST(who_had_to_wait_for_a_page_is_told),
        RIG_TEST_REAL(what_is_mapped_is_bounded),
        cmocka_unit_test(bus_errors_of_others_are_passed_on),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 ? failed : 1;
}
