/* Goal: small reads of a file come from a map once enough of them in a row have found their bytes, and not
 * when one had to wait or the map is broken; maps are few. Method: a file store over a stage that says what
 * is cached and counts who asked how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/io/io_backend.h"
#include "target/store/store.h"

enum { BLOCK = 4096, SECOND = 1000 }; /* SECOND: ms */
static const uint64_t disk_len = 1 << 20;

/* The stage. */
static struct {
    bool missing;    /* nothing is in the page cache */
    bool waits;      /* a read from the map waits */
    bool breaks;     /* the next read from a map breaks it */
    int refuses;     /* what map_new answers, if not 0 */
    uint64_t len;    /* of the file */
    unsigned asked;  /* reads by system call */
    unsigned mapped; /* reads from a map */
    unsigned maps, tries, freed;
    struct io_map *newest;
} stage;

static int64_t stage_transfer(struct io *self, struct io_now *now)
{
    (void)self;
    assert_false(now->write);
    if (!now->map) {
        stage.asked++;
        return stage.missing ? ERR_AGAIN : (int64_t)now->len;
    }
    assert_ptr_equal(now->map, stage.newest);
    assert_true(now->slow_ns > 0);
    if (now->offset + now->len > now->map->len)
        return ERR_RANGE;
    stage.mapped++;
    now->waited = stage.waits;
    return stage.breaks ? ERR_IO : (int64_t)now->len;
}

static int stage_map_new(struct io *self, io_handle file, struct io_map **out)
{
    (void)self;
    (void)file;
    stage.tries++;
    if (stage.refuses)
        return stage.refuses;
    *out = stage.newest = calloc(1, sizeof **out);
    (*out)->len = stage.len;
    stage.maps++;
    return 0;
}

static void stage_map_free(struct io *self, struct io_map *map)
{
    (void)self;
    stage.freed++;
    free(map);
}

static struct io *io; /* a real one, to open and close */

static void stage_close(struct io *self, io_handle handle)
{
    (void)self;
    io_file_close(io, handle);
}

static const struct io_backend stage_backend = {.transfer_now = stage_transfer,
                                                .map_new = stage_map_new,
                                                .map_free = stage_map_free,
                                                .close = stage_close};
static struct io stage_io = {.ops = &stage_backend, .in_turn = true};
static char path[64];
static struct store *store;
static uint32_t map_after;

static int open_at(const char *where)
{
    char text[128], why[300];
    struct store_spec spec;
    struct io_file_info info;
    io_handle file;
    snprintf(text, sizeof text, "file:%s,size=1M", where);
    memset(&stage, 0, sizeof stage);
    stage.len = disk_len;
    stage_io.now_ns = UINT64_C(1) << 40;
    if (store_spec_parse(text, &spec, why, sizeof why) != 0 ||
        store_open(env_host(), io, &spec, &store, why, sizeof why) != 0 ||
        io_file_open(io, where, 0, &file, &info) != 0)
        return -1;
    io_file_close(io, file);
    map_after = info.map_after;
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/var/tmp/lunette-map-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || io_new(env_host(), IO_KIND_EPOLL, &io) != 0)
        return -1;
    close(fd);
    return open_at(path);
}

static int tear_down(void **state)
{
    (void)state;
    store_close(store, &stage_io);
    io_free(io);
    unlink(path);
    assert_int_equal(stage.freed, stage.maps);
    return 0;
}

#define ON_A_DISK                                                                                            \
    if (map_after == 0) {                                                                                    \
        print_message("skipped: files in /var/tmp cannot be mapped\n");                                      \
        skip();                                                                                              \
    }

static bool read_one(uint64_t offset, uint64_t len)
{
    static uint8_t data[65536];
    struct store_req req = {.verb = STORE_READ, .offset = offset, .len = len, .store = store, .vec_count = 1};
    req.vec[0] = (struct io_vec){data, (size_t)len};
    return store->ops->attempt(store, &stage_io, &req);
}

/* How many reads by system call it takes until one comes from a map. */
static unsigned proof(void)
{
    const unsigned mapped = stage.mapped, asked = stage.asked;
    for (unsigned i = 0; i < 5000000 && stage.mapped == mapped; i++)
        assert_true(read_one(i * BLOCK % disk_len, BLOCK));
    assert_int_equal(stage.mapped, mapped + 1);
    return stage.asked - asked;
}

static void a_file_that_was_always_cached_is_read_from_a_map(void **state)
{
    (void)state;
    ON_A_DISK
    assert_int_equal(proof(), map_after);
    for (int i = 0; i < 1000; i++)
        assert_true(read_one(0, 512));
    assert_int_equal(stage.mapped, 1001);
    assert_int_equal(stage.asked, map_after);
    assert_int_equal(stage.maps, 1);
    assert_true(read_one(0, 65536)); /* what is long is not faster from there */
    assert_int_equal(stage.mapped, 1001);
}

static void one_read_that_finds_nothing_begins_the_proof_anew(void **state)
{
    (void)state;
    ON_A_DISK
    for (unsigned i = 0; i < map_after - 1; i++)
        assert_true(read_one(0, BLOCK));
    stage.missing = true;
    assert_false(read_one(0, BLOCK));
    assert_false(read_one(0, BLOCK)); /* left out */
    stage.missing = false;
    assert_int_equal(stage.maps, 0);
    assert_int_equal(proof(), map_after);
    stage.missing = true; /* also of those that are too long for the map */
    assert_false(read_one(0, 65536));
    assert_false(read_one(0, 65536));
    stage.missing = false;
    assert_int_equal(proof(), map_after);
    assert_int_equal(stage.maps, 1);
}

static void who_has_waited_proves_more_each_time(void **state)
{
    (void)state;
    ON_A_DISK
    assert_int_equal(proof(), map_after);
    stage.waits = true;
    assert_true(read_one(0, BLOCK));                /* it has its data */
    for (unsigned times = 0; times < 14; times++) { /* the first read from the map waits as well */
        const unsigned most = times < 10 ? times : 10;
        assert_int_equal(proof(), map_after << most);
        stage_io.now_ns += 10 * SECOND * UINT64_C(1000000);
    }
    stage.waits = false;
    assert_int_equal(proof(), map_after << 10);
    stage_io.now_ns += 100 * SECOND * UINT64_C(1000000);
    stage.waits = true;
    assert_true(read_one(0, BLOCK)); /* after a while it is as the first time */
    stage.waits = false;
    assert_int_equal(proof(), map_after);
    assert_int_equal(stage.maps, 1);
}

static void a_broken_map_is_left_and_another_made(void **state)
{
    (void)state;
    ON_A_DISK
    assert_int_equal(proof(), map_after);
    stage.breaks = true;
    stage.missing = true;
    assert_false(read_one(0, BLOCK)); /* the usual way knows what is wrong */
    assert_false(read_one(0, BLOCK));
    stage.breaks = stage.missing = false;
    unsigned asked = stage.asked;
    assert_int_equal(proof(), map_after);
    assert_int_equal(stage.asked, asked + map_after);
    assert_int_equal(stage.maps, 2);
    for (int i = 0; i < 40; i++) { /* but not for ever */
        stage_io.now_ns += 100 * SECOND * UINT64_C(1000000);
        stage.breaks = true;
        assert_true(read_one(0, BLOCK));
        stage.breaks = false;
        for (unsigned n = 0; n < map_after; n++)
            assert_true(read_one(0, BLOCK));
    }
    assert_int_equal(stage.maps, 16);
    asked = stage.asked;
    assert_true(read_one(0, BLOCK));
    assert_int_equal(stage.asked, asked + 1);
}

static void a_file_that_has_grown_gets_a_longer_map(void **state)
{
    (void)state;
    ON_A_DISK
    stage.len = disk_len / 2;
    for (unsigned i = 0; i < map_after; i++)
        assert_true(read_one(0, BLOCK));
    assert_int_equal(stage.maps, 1);
    stage.len = disk_len;
    assert_true(read_one(disk_len - BLOCK, BLOCK)); /* behind it: asked for */
    assert_int_equal(stage.asked, map_after + 1);
    assert_int_equal(stage.maps, 2);
    assert_true(read_one(disk_len - BLOCK, BLOCK));
    assert_true(read_one(0, BLOCK));
    assert_int_equal(stage.asked, map_after + 1);
    assert_int_equal(stage.mapped, 2);
}

static void where_no_map_can_be_made_nobody_tries_again(void **state)
{
    (void)state;
    ON_A_DISK
    stage.refuses = ERR_NOMEM;
    for (unsigned i = 0; i < 3 * map_after; i++)
        assert_true(read_one(0, BLOCK));
    assert_int_equal(stage.tries, 1);
    assert_int_equal(stage.asked, 3 * map_after);
}

/* A hole that is read through a map takes memory there. */
static void files_in_memory_are_not_mapped(void **state)
{
    (void)state;
    static const char there[] = "/dev/shm/lunette-store-file-map";
    store_close(store, &stage_io);
    store = NULL;
    if (open_at(there) != 0)
        skip(); /* no tmpfs there */
    unlink(there);
    assert_int_equal(map_after, 0);
    for (unsigned i = 0; i < 5000; i++)
        assert_true(read_one(0, BLOCK));
    assert_int_equal(stage.tries, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_file_that_was_always_cached_is_read_from_a_map),
        T(one_read_that_finds_nothing_begins_the_proof_anew),
        T(who_has_waited_proves_more_each_time),
        T(a_broken_map_is_left_and_another_made),
        T(a_file_that_has_grown_gets_a_longer_map),
        T(where_no_map_can_be_made_nobody_tries_again),
        T(files_in_memory_are_not_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
