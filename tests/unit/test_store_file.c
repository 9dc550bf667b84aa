/* Goal: the file store creates, grows, locks and shares files, survives short files and full disks, and keeps
 * data exact with and without O_DIRECT; specifications are parsed with clear sentences. Method: real files in
 * a temporary directory on the epoll backend; a model array beside the store; RLIMIT_FSIZE as the end of the
 * disk. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/io/io_backend.h"
#include "target/store/store.h"

static struct io *io;
static char dir[64], path[128], why[300];
static struct store *store;

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/var/tmp/lunette-store-XXXXXX");
    if (!mkdtemp(dir) || io_new(env_host(), IO_KIND_EPOLL, &io) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/disk", dir);
    store = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_close(store, io);
    io_free(io);
    unlink(path);
    return rmdir(dir);
}

static int open_with(const char *options, struct store **out)
{
    char text[300];
    struct store_spec spec;
    why[0] = '\0';
    snprintf(text, sizeof text, "file:%s%s", path, options);
    assert_int_equal(store_spec_parse(text, &spec, why, sizeof why), 0);
    return store_open(env_host(), io, &spec, out, why, sizeof why);
}

static void done(struct store_req *req)
{
    req->owner = NULL;
}

static int request(enum store_verb verb, uint64_t offset, void *data, uint64_t len, bool fua)
{
    struct store_req req = {
        .verb = verb, .offset = offset, .len = len, .fua = fua, .store = store, .done = done, .owner = store};
    if (data) {
        /* Two places, to see gather lists. */
        req.vec[0] = (struct io_vec){data, (size_t)len / 2};
        req.vec[1] = (struct io_vec){(uint8_t *)data + len / 2, (size_t)(len - len / 2)};
        req.vec_count = 2;
    }
    if (!store->ops->submit(store, io, &req)) {
        while (req.owner)
            io_run(io, UINT64_MAX);
    }
    return req.result;
}

static void against_a_model(const char *options, bool odd_memory)
{
    enum { SIZE = 1 << 20 };
    static uint8_t model[SIZE];
    uint8_t *memory = NULL;
    assert_int_equal(posix_memalign((void **)&memory, 4096, SIZE + 4096), 0);
    uint8_t *data = memory + (odd_memory ? 24 : 0);
    memset(model, 0, sizeof model);
    int err = open_with(options, &store);
    if (err == ERR_INVALID || err == ERR_UNSUPPORTED) {
        free(memory);
        skip(); /* this file system has no O_DIRECT */
    }
    assert_int_equal(err, 0);
    uint64_t seed = 5;
    for (int i = 0; i < 60; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        uint64_t at = (seed >> 30) % (SIZE / 4096) * 4096, len = ((seed >> 20) % 40 + 1) * 4096;
        if (len > SIZE - at)
            len = SIZE - at;
        if (i % 3 == 2) {
            assert_int_equal(request(i % 2 ? STORE_DISCARD : STORE_ZERO, at, NULL, len, i % 6 == 2), 0);
            memset(model + at, 0, len);
        } else {
            memset(model + at, i + 1, len);
            memset(data, i + 1, len);
            assert_int_equal(request(STORE_WRITE, at, data, len, i % 5 == 0), 0);
        }
        assert_int_equal(request(STORE_READ, 0, data, SIZE, false), 0);
        assert_memory_equal(data, model, SIZE);
    }
    assert_int_equal(request(STORE_FLUSH, 0, NULL, 0, false), 0);
    free(memory);
}

static void data_survives(void **state)
{
    (void)state;
    against_a_model(",size=1M", true);
    assert_true(store->info.volatile_cache);
}

static void data_survives_preallocated(void **state)
{
    (void)state;
    against_a_model(",size=1M,preallocate", false);
    assert_false(store->info.can_discard);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void data_survives_direct_from_aligned_memory(void **state)
{
    (void)state;
    against_a_model(",size=1M,block=4096,direct", false);
}

static void data_survives_direct_from_odd_memory(void **state)
{
    (void)state;
    against_a_model(",size=1M,block=4096,direct", true);
}

static void a_second_opener_is_refused_unless_shared(void **state)
{
    (void)state;
    struct store *second = NULL;
    assert_int_equal(open_with(",size=1M", &store), 0);
    assert_int_equal(open_with("", &second), ERR_LOCKED);
    assert_non_null(strstr(why, path));
    assert_int_equal(open_with(",shared", &second), 0);
    store_close(second, io);
}

static void what_cannot_be_opened_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(open_with("", &store), ERR_NOTFOUND);
    assert_non_null(strstr(why, "size="));
    assert_int_equal(open_with(",size=1000", &store), ERR_RANGE);
    assert_int_equal(access(path, F_OK), -1); /* made and taken away again */
    assert_int_equal(open_with(",readonly,size=1M", &store), ERR_NOTFOUND);
    assert_null(store);
}

static void a_short_read_only_file_reads_as_zeros_behind_its_end(void **state)
{
    (void)state;
    uint8_t data[8192];
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        fputc('x', f);
    fclose(f);
    assert_int_equal(open_with(",readonly,size=1M", &store), 0);
    memset(data, 1, sizeof data);
    assert_int_equal(request(STORE_READ, 0, data, sizeof data, false), 0);
    assert_int_equal(data[999], 'x');
    assert_int_equal(data[1000], 0);
    assert_int_equal(data[8191], 0);
    assert_int_equal(request(STORE_READ, 1 << 19, data, sizeof data, false), 0);
    assert_int_equal(data[0], 0);
}

static void growing_keeps_data_and_a_longer_file(void **state)
{
    (void)state;
    struct stat st;
    uint8_t data[512] = {9};
    assert_int_equal(open_with(",size=4M", &store), 0);
    store_close(store, io);
    assert_int_equal(open_with(",size=1M", &store), 0);
    assert_int_equal(request(STORE_WRITE, 0, data, 512, false), 0);
    assert_int_equal(store->ops->resize(store, io, 2 << 20, why, sizeof why), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 4 << 20); /* not cut to the disk's size */
    assert_int_equal(store->ops->resize(store, io, 8 << 20, why, sizeof why), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 8 << 20);
    assert_int_equal(store->ops->resize(store, io, 1 << 20, why, sizeof why), ERR_RANGE);
    assert_int_equal(request(STORE_READ, 0, data, 512, false), 0);
    assert_int_equal(data[0], 9);
}

static void a_full_disk_is_no_space(void **state)
{
    (void)state;
    static uint8_t data[65536];
    assert_int_equal(open_with(",size=1M", &store), 0);
    struct rlimit old, limit;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 600 * 1024;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    int before = request(STORE_WRITE, 512 * 1024, data, sizeof data, false);
    int beyond = request(STORE_WRITE, 700 * 1024, data, sizeof data, false);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(before, 0);
    assert_int_equal(beyond, ERR_NOSPACE);
}

/* ---- transfers at once ---- */

static bool attempt(enum store_verb verb, uint64_t offset, void *data, uint64_t len)
{
    struct store_req req = {.verb = verb, .offset = offset, .len = len, .store = store, .vec_count = 1};
    req.vec[0] = (struct io_vec){data, (size_t)len};
    return store->ops->attempt(store, io, &req);
}

static uint8_t block[4096], back[8192];

static void what_is_cached_is_read_and_written_at_once(void **state)
{
    (void)state;
    assert_int_equal(open_with(",size=1M", &store), 0);
    assert_true(store->info.attempt_max >= 65536 && !store->info.instant);
    memset(block, 7, sizeof block);
    assert_int_equal(request(STORE_WRITE, 8192, block, sizeof block, false), 0);
    bool reads = attempt(STORE_READ, 8192, back, 4096);
    if (!reads)
        skip(); /* this file system cannot say what is cached */
    assert_memory_equal(back, block, 4096);
    /* A file system that does not promise is tried out, once. */
    memset(block, 8, sizeof block);
    bool writes = attempt(STORE_WRITE, 4096, block, 4096) || attempt(STORE_WRITE, 4096, block, 4096);
    if (writes) {
        assert_int_equal(request(STORE_READ, 4096, back, 8192, false), 0);
        assert_int_equal(back[0], 8);
        assert_int_equal(back[4095], 8);
        assert_int_equal(back[4096], 7);
        assert_true(attempt(STORE_READ, 4096, back, 8192));
        assert_int_equal(back[4095], 8);
        assert_int_equal(back[4096], 7);
    }
    static uint8_t big[128 * 1024];
    assert_false(attempt(STORE_READ, 0, big, sizeof big)); /* too long to do nothing else meanwhile */
    struct store_req req = {.verb = STORE_READ, .len = 512, .store = store, .vec_count = 1};
    req.vec[0] = (struct io_vec){back, 512};
    assert_true(store->ops->attempt(store, io, &req));
}

static void direct_files_attempt_nothing(void **state)
{
    (void)state;
    int err = open_with(",size=1M,block=4096,direct", &store);
    if (err)
        skip(); /* this file system has no O_DIRECT */
    assert_int_equal(store->info.attempt_max, 0);
}

static void nothing_is_made_up_behind_the_end_of_a_file(void **state)
{
    (void)state;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 5000; i++)
        fputc('x', f);
    fclose(f);
    assert_int_equal(open_with(",readonly,size=1M", &store), 0);
    assert_false(attempt(STORE_READ, 4096, back, 4096)); /* there are zeros to be filled in */
    assert_false(attempt(STORE_READ, 1 << 19, back, 4096));
    assert_int_equal(request(STORE_READ, 4096, back, 4096, false), 0);
    assert_int_equal(back[903], 'x');
    assert_int_equal(back[904], 0);
}

/* A stage on which every write takes as long as we say, because it waits or because it is kept from its core.
 */
static struct {
    struct env env;
    uint64_t now, each; /* ns; each write takes so long */
    bool waits;
    uint32_t watched;
} slow;

static uint64_t slow_now(void *ctx)
{
    (void)ctx;
    return slow.now;
}

static int64_t slow_transfer(struct io *self, struct io_now *now)
{
    (void)self;
    slow.watched += now->watch;
    slow.now += slow.each;
    now->took_ns = slow.each;
    assert_true(now->slow_ns > 0 || !now->insist);
    now->waited = now->watch && slow.waits && slow.each >= now->slow_ns;
    return now->insist ? (int64_t)now->len : ERR_UNSUPPORTED;
}

static const struct io_backend slow_backend = {.transfer_now = slow_transfer};
static struct io slow_io = {.ops = &slow_backend, .env = &slow.env};

/* How many of `n` writes were done at once. */
static int attempts(int n)
{
    int done = 0;
    for (int i = 0; i < n; i++) {
        struct store_req req = {.verb = STORE_WRITE, .len = 4096, .store = store, .vec_count = 1};
        req.vec[0] = (struct io_vec){block, 4096};
        done += store->ops->attempt(store, &slow_io, &req);
    }
    return done;
}

#define MS UINT64_C(1000000)

static void a_slow_disk_is_left_to_threads_for_a_while(void **state)
{
    (void)state;
    struct store_spec spec;
    struct io_file_info info;
    io_handle file;
    char text[200];
    slow.env = *env_host();
    slow.env.now_ns = slow_now;
    slow.now = UINT64_C(1) << 40;
    slow.each = MS / 10;
    slow.waits = true;
    snprintf(text, sizeof text, "file:%s,size=1M", path);
    assert_int_equal(store_spec_parse(text, &spec, why, sizeof why), 0);
    assert_int_equal(store_open(&slow.env, io, &spec, &store, why, sizeof why), 0);
    assert_int_equal(io_file_open(io, path, 0, &file, &info), 0);
    io_file_close(io, file);
    if (!info.write_back)
        skip();                       /* not a file system whose writes are not expected to wait */
    assert_int_equal(attempts(1), 0); /* the kernel does not promise: from now on without a promise */
    assert_int_equal(attempts(5000), 5000);
    assert_int_equal(slow.watched, 0);
    slow.each = 4 * MS; /* after one that was only seen to be slow: 150 ms, then no more for 2 s */
    assert_int_equal(attempts(70), 39);
    assert_int_equal(attempts(400), 0);
    slow.each = MS / 10;
    slow.now += 3000 * MS;
    assert_int_equal(attempts(100), 100);
    slow.each = 4 * MS; /* now and then a few */
    for (int i = 0; i < 50; i++) {
        assert_int_equal(attempts(10), 10);
        slow.now += 600 * MS;
    }
    slow.each = 200 * MS; /* once is enough */
    assert_int_equal(attempts(2), 1);
    slow.now += 3000 * MS;
    slow.each = 4 * MS; /* where cores are short, writes take long and do not wait */
    slow.waits = false;
    slow.watched = 0;
    assert_int_equal(attempts(500), 500);
    assert_int_equal(slow.watched, 499);
    slow.each = MS / 10;
    assert_int_equal(attempts(20000), 20000); /* and it is looked at for a while only */
    assert_true(slow.watched > 5000 && slow.watched < 12000);
}

static void a_part_of_a_block_takes_the_long_way(void **state)
{
    (void)state;
    assert_int_equal(open_with(",size=1M", &store), 0);
    bool whole = attempt(STORE_WRITE, 0, block, 4096) || attempt(STORE_WRITE, 0, block, 4096);
    if (!whole)
        skip();
    /* It may have to be read first. Only where the kernel says that it need not it is done. */
    assert_int_equal(request(STORE_WRITE, 0, block, sizeof block, false), 0);
    memset(back, 5, 512);
    bool part = attempt(STORE_WRITE, 512, back, 512);
    assert_int_equal(request(STORE_READ, 0, back, 4096, false), 0);
    assert_int_equal(back[512], part ? 5 : block[512]);
}

/* Memory has no block to be read first and no disk to be slow. */
/* On a file system that is memory; false: there is none. */
static bool open_in_memory(void)
{
    struct store_spec spec;
    static const char there[] = "/dev/shm/lunette-store-file";
    char text[200];
    snprintf(text, sizeof text, "file:%s,size=1M", there);
    assert_int_equal(store_spec_parse(text, &spec, why, sizeof why), 0);
    if (store_open(env_host(), io, &spec, &store, why, sizeof why) != 0)
        return false;
    unlink(there);
    return true;
}

static void a_file_in_memory_takes_everything(void **state)
{
    (void)state;
    if (!open_in_memory())
        skip(); /* no tmpfs there */
    memset(block, 3, sizeof block);
    assert_true(attempt(STORE_WRITE, 512, block, 1024));
    assert_true(attempt(STORE_READ, 0, back, 4096));
    assert_int_equal(back[511], 0);
    assert_int_equal(back[512], 3);
    assert_int_equal(back[1536], 0);
}

/* Of one place and up to attempt_max. What is to be on the disk has to wait for it. */
static void a_plain_write_is_over_when_it_is_submitted(void **state)
{
    (void)state;
    static uint8_t big[256 * 1024];
    if (!open_in_memory())
        skip(); /* no tmpfs there */
    const struct {
        uint64_t len;
        bool fua, at_once;
    } rows[] = {{4096, false, true},
                {store->info.attempt_max, false, true},
                {4096, true, false},
                {store->info.attempt_max + 512, false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(big, (int)i + 1, sizeof big);
        struct store_req req = {.verb = STORE_WRITE,
                                .offset = 8192,
                                .len = rows[i].len,
                                .fua = rows[i].fua,
                                .store = store,
                                .done = done,
                                .owner = store,
                                .vec_count = 1};
        req.vec[0] = (struct io_vec){big, (size_t)rows[i].len};
        bool over = store->ops->submit(store, io, &req);
        while (!over && req.owner)
            io_run(io, UINT64_MAX);
        assert_int_equal(over, rows[i].at_once);
        assert_ptr_equal(req.owner, over ? store : NULL); /* done is not called as well */
        assert_int_equal(req.result, 0);
        memset(back, 0, sizeof back);
        assert_int_equal(request(STORE_READ, 8192, back, 4096, false), 0);
        assert_memory_equal(back, big, 4096);
    }
}

static void specifications_are_read_and_written(void **state)
{
    (void)state;
    struct store_spec spec, again;
    char text[400];
    assert_int_equal(
        store_spec_parse("file:/srv/a.img,size=10G,block=4096,readonly,physical=64K", &spec, why, sizeof why),
        0);
    assert_string_equal(spec.path, "/srv/a.img");
    assert_int_equal(spec.size, UINT64_C(10) << 30);
    assert_int_equal(spec.physical_block_exponent, 4);
    assert_true(spec.readonly);
    store_spec_format(&spec, text, sizeof text);
    assert_int_equal(store_spec_parse(text, &again, why, sizeof why), 0);
    assert_memory_equal(&spec, &again, sizeof spec);
    assert_int_equal(store_spec_parse("/srv/b.img", &spec, why, sizeof why), 0);
    assert_string_equal(spec.kind, "file");
    assert_int_equal(store_spec_parse("memory:size=1G,removable", &spec, why, sizeof why), 0);
    assert_true(spec.removable);
    store_spec_format(&spec, text, sizeof text);
    assert_string_equal(text, "memory:size=1073741824,removable");
}

static void bad_specifications_name_the_mistake(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"tape:/dev/st0", "tape"},
        {"file:", "path"},
        {"memory:size=0", "size"},
        {"memory:size=x", "size"},
        {"null:colour=red", "colour"},
        {"null:size=1G,block=1000", "block"},
        {"memory:size=1G,direct", "direct"},
        {"", "file:"},
        {"file:/a,readonly=maybe", "readonly"},
        {"null:size=1G,block=4096,physical=512", "physical"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct store_spec spec;
        why[0] = '\0';
        int err = store_spec_parse(rows[i].text, &spec, why, sizeof why);
        assert_true(err == ERR_SYNTAX || err == ERR_RANGE);
        assert_non_null(strstr(why, rows[i].says));
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(data_survives),
        T(data_survives_preallocated),
        T(data_survives_direct_from_aligned_memory),
        T(data_survives_direct_from_odd_memory),
        T(a_second_opener_is_refused_unless_shared),
        T(what_cannot_be_opened_changes_nothing),
        T(a_short_read_only_file_reads_as_zeros_behind_its_end),
        T(growing_keeps_data_and_a_longer_file),
        T(a_full_disk_is_no_space),
        T(what_is_cached_is_read_and_written_at_once),
        T(direct_files_attempt_nothing),
        T(nothing_is_made_up_behind_the_end_of_a_file),
        T(a_slow_disk_is_left_to_threads_for_a_while),
        T(a_part_of_a_block_takes_the_long_way),
        T(a_file_in_memory_takes_everything),
        T(a_plain_write_is_over_when_it_is_submitted),
        T(specifications_are_read_and_written),
        T(bad_specifications_name_the_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
