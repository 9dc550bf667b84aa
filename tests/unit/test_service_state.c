/* Goal: config.json is replaced whole or not at all, is private, and belongs to one process at a time; an
 * attempt that fails leaves nothing behind. Method: state directories under a temporary one, with faults
 * provoked by the file system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/env.h"
#include "target/service/config.h"
#include "target/service/manager.h"
#include "target/service/state.h"

#define IQN "iqn.2026-01.org.example:disk1"

static char base[64], dir[128];

static int make_base(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "/tmp/lunette-state-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    snprintf(dir, sizeof dir, "%s/a/state", base);
    return 0;
}

static int remove_base(void **state)
{
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command);
}

static json_t *change(struct state *s, const char *method, const char *params, struct outcome *o)
{
    struct manager m;
    *o = (struct outcome){0};
    json_t *root = state_load(s, o), *parsed = json_loads(params, 0, NULL), *result = NULL;
    assert_non_null(root);
    assert_true(manager_init(&m, env_host(), root, s, NULL, NULL, o));
    result = manager_call(&m, method, parsed, o);
    manager_fini(&m);
    json_decref(parsed);
    return result;
}

static void open_state(struct state *s)
{
    struct outcome o = {0};
    assert_int_equal(state_open(dir, true, s, &o), STATE_OPEN);
}

static void a_saved_configuration_comes_back_and_is_private(void **state)
{
    (void)state;
    struct state s;
    struct outcome o = {0};
    struct stat st;
    char path[STATE_PATH_MAX];
    open_state(&s);
    json_t *root = config_empty();
    json_array_append_new(json_object_get(root, "portals"), json_pack("{s:s}", "address", "127.0.0.1:3260"));
    assert_true(state_save(&s, root, &o));
    assert_int_equal(stat(state_path(&s, "config.json", path), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(s.dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    json_t *back = state_load(&s, &o);
    assert_true(json_equal(back, root));
    assert_int_not_equal(access(state_path(&s, "config.json.new", path), F_OK), 0);
    json_decref(root);
    json_decref(back);
    state_close(&s);
}

static void a_directory_has_one_owner(void **state)
{
    (void)state;
    struct state s, other;
    struct outcome o = {0};
    open_state(&s);
    assert_int_equal(state_open(dir, true, &other, &o), STATE_IN_USE);
    assert_int_equal(o.code, OUTCOME_OK);
    state_close(&s);
    assert_int_equal(state_open(dir, true, &other, &o), STATE_OPEN);
    state_close(&other);
}

static void a_failed_save_keeps_the_old_file(void **state)
{
    (void)state;
    struct state s;
    struct outcome o = {0};
    char path[STATE_PATH_MAX];
    open_state(&s);
    json_t *root = config_empty();
    assert_true(state_save(&s, root, &o));
    /* The temporary file's name is taken by a directory: writing fails whoever we are. */
    assert_int_equal(mkdir(state_path(&s, "config.json.new", path), 0700), 0);
    json_array_append_new(json_object_get(root, "portals"), json_pack("{s:s}", "address", "127.0.0.1:3260"));
    assert_false(state_save(&s, root, &o));
    assert_int_equal(o.code, OUTCOME_FAILED);
    o = (struct outcome){0};
    json_t *back = state_load(&s, &o);
    assert_int_equal(json_array_size(json_object_get(back, "portals")), 0);
    json_decref(back);
    /* And a change that cannot be saved takes its new disk back. */
    assert_null(change(&s, "target.create",
                       "{\"target\": \"" IQN "\", \"luns\": [{\"lun\": 0, \"size\": 1048576}]}", &o));
    assert_int_equal(o.code, OUTCOME_FAILED);
    char command[400];
    snprintf(command, sizeof command, "test -z \"$(ls %s/disks)\"", dir);
    assert_int_equal(system(command), 0);
    json_decref(root);
    state_close(&s);
}

static void an_abandoned_directory_disappears(void **state)
{
    (void)state;
    struct state s;
    struct outcome o = {0};
    open_state(&s);
    assert_true(s.created);
    assert_null(change(&s, "target.create",
                       "{\"target\": \"" IQN "\", \"luns\": [{\"lun\": 0, \"spec\": \"memory:\"}]}", &o));
    assert_int_equal(o.code, OUTCOME_REFUSED);
    state_abandon(&s);
    assert_int_not_equal(access(dir, F_OK), 0);
}

static void only_own_data_files_are_deleted_and_only_when_asked(void **state)
{
    (void)state;
    struct state s;
    struct outcome o;
    char params[600], path[100], command[400];
    open_state(&s);
    snprintf(path, sizeof path, "%s/mine.img", base);
    snprintf(params, sizeof params,
             "{\"target\": \"" IQN "\", \"luns\": [{\"lun\": 0, \"size\": 1048576}, "
             "{\"lun\": 1, \"spec\": \"file:%s,size=1M\"}, {\"lun\": 2, \"size\": 1048576}]}",
             path);
    json_t *result = change(&s, "target.create", params, &o);
    assert_non_null(result);
    json_decref(result);
    result = change(&s, "lun.remove", "{\"target\": \"" IQN "\", \"lun\": 2}", &o);
    assert_int_equal(json_array_size(json_object_get(result, "data_kept")), 1);
    json_decref(result);
    result = change(&s, "target.delete", "{\"target\": \"" IQN "\", \"delete_data\": true}", &o);
    assert_int_equal(json_array_size(json_object_get(result, "data_deleted")), 1);
    json_decref(result);
    assert_int_equal(access(path, F_OK), 0);
    snprintf(command, sizeof command, "test $(ls %s/disks | wc -l) = 1", dir); /* the one that was kept */
    assert_int_equal(system(command), 0);
    state_close(&s);
}

static void a_known_disk_that_is_missing_is_not_made_again(void **state)
{
    (void)state;
    struct state s;
    struct outcome o;
    char command[400];
    open_state(&s);
    json_decref(change(&s, "target.create",
                       "{\"target\": \"" IQN "\", \"luns\": [{\"lun\": 0, \"size\": 1048576}]}", &o));
    assert_int_equal(o.code, OUTCOME_OK);
    snprintf(command, sizeof command, "rm %s/disks/*", dir);
    assert_int_equal(system(command), 0);
    json_t *root = state_load(&s, &o);
    struct io *io;
    struct disks *disks;
    assert_int_equal(io_new(env_host(), IO_KIND_EPOLL, &io), 0);
    assert_true(disks_new(env_host(), io, s.dir, 0, &disks, &o));
    assert_false(disks_prepare(disks, root, root, DISKS_ALL, &o));
    assert_non_null(strstr(o.text, "missing"));
    disks_free(disks);
    io_free(io);
    json_decref(root);
    state_close(&s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_base, remove_base)
    const struct CMUnitTest tests[] = {
        TEST(a_saved_configuration_comes_back_and_is_private),
        TEST(a_directory_has_one_owner),
        TEST(a_failed_save_keeps_the_old_file),
        TEST(an_abandoned_directory_disappears),
        TEST(only_own_data_files_are_deleted_and_only_when_asked),
        TEST(a_known_disk_that_is_missing_is_not_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
