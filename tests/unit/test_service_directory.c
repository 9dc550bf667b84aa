/* Goal: logins of one nexus meet on one reactor while any of them lives, new nexuses spread, and logins are
 * counted for each address. Method: the directory alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/err.h"
#include "target/service/directory.h"

static struct tgt_nexus_key key_of(unsigned n, uint16_t tsih)
{
    struct tgt_nexus_key key = {
        .target = "iqn.2026-01.org.example:t", .isid = {0x80, 0, 0, 1, 0, 0}, .group = 1, .tsih = tsih};
    snprintf(key.initiator, sizeof key.initiator, "iqn.2026-01.org.example:i%u", n);
    return key;
}

static void one_nexus_has_one_home_while_it_lives(void **state)
{
    (void)state;
    struct directory *dir;
    assert_int_equal(directory_new(env_host(), 4, &dir), 0);
    struct tgt_nexus_key key = key_of(1, 0), again = key_of(1, 7);
    struct directory_place *first = directory_enter(dir, &key, 2);
    assert_int_equal(directory_home(first), 2); /* all are equal: it stays where it is */
    /* A reinstatement that arrives elsewhere, with the session's TSIH, goes to the same home. */
    struct directory_place *second = directory_enter(dir, &again, 0);
    assert_ptr_equal(first, second);
    directory_hold(dir, first);
    directory_leave(dir, first);
    directory_leave(dir, second);
    assert_ptr_equal(directory_find(dir, &key), first); /* the session still holds it */
    directory_leave(dir, first);
    assert_null(directory_find(dir, &key));
    directory_leave(dir, NULL);
    directory_free(dir);
}

static void every_part_of_the_key_counts(void **state)
{
    (void)state;
    struct directory *dir;
    assert_int_equal(directory_new(env_host(), 1, &dir), 0);
    struct tgt_nexus_key keys[5];
    struct directory_place *places[5];
    for (unsigned i = 0; i < 5; i++)
        keys[i] = key_of(1, 0);
    strcpy(keys[1].initiator, "iqn.2026-01.org.example:other");
    strcpy(keys[2].target, "iqn.2026-01.org.example:u");
    keys[3].isid[5] = 1;
    keys[4].group = 2;
    for (unsigned i = 0; i < 5; i++) {
        places[i] = directory_enter(dir, &keys[i], 0);
        for (unsigned k = 0; k < i; k++)
            assert_ptr_not_equal(places[i], places[k]);
    }
    for (unsigned i = 0; i < 5; i++)
        directory_leave(dir, places[i]);
    /* So many groups that keys which differ in nothing else share hash buckets. */
    static struct directory_place *groups[2000];
    for (unsigned i = 0; i < 2000; i++) {
        keys[0].group = (uint16_t)(i + 1);
        assert_null(directory_find(dir, &keys[0]));
        groups[i] = directory_enter(dir, &keys[0], 0);
    }
    for (unsigned i = 0; i < 2000; i++)
        directory_leave(dir, groups[i]);
    directory_free(dir);
}

static void new_nexuses_go_to_the_least_loaded(void **state)
{
    (void)state;
    struct directory *dir;
    struct directory_place *places[40];
    unsigned count[4] = {0};
    assert_int_equal(directory_new(env_host(), 4, &dir), 0);
    for (unsigned i = 0; i < 40; i++) {
        struct tgt_nexus_key key = key_of(i, 0);
        places[i] = directory_enter(dir, &key, 0); /* all are accepted on one reactor */
        count[directory_home(places[i])]++;
    }
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(count[i], 10);
    for (unsigned i = 0; i < 40; i++)
        directory_leave(dir, places[i]);
    directory_free(dir);
}

static void logins_are_counted_for_each_address(void **state)
{
    (void)state;
    struct directory *dir;
    assert_int_equal(directory_new(env_host(), 1, &dir), 0);
    struct io_addr a = {.family = 4, .ip = {192, 0, 2, 1}, .port = 1000},
                   b = {.family = 4, .ip = {192, 0, 2, 2}};
    assert_int_equal(directory_login_begin(dir, &a, 2), 0);
    a.port = 1001; /* the port is no part of who somebody is */
    assert_int_equal(directory_login_begin(dir, &a, 2), 0);
    assert_int_equal(directory_login_begin(dir, &a, 2), ERR_BUSY);
    assert_int_equal(directory_login_begin(dir, &b, 2), 0);
    directory_login_end(dir, &a);
    assert_int_equal(directory_login_begin(dir, &a, 2), 0);
    directory_login_end(dir, &a);
    directory_login_end(dir, &a);
    directory_login_end(dir, &b);
    assert_int_equal(directory_login_begin(dir, &a, 0), ERR_BUSY);
    directory_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_nexus_has_one_home_while_it_lives),
        cmocka_unit_test(every_part_of_the_key_counts),
        cmocka_unit_test(new_nexuses_go_to_the_least_loaded),
        cmocka_unit_test(logins_are_counted_for_each_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
