/* The target engine's configuration snapshots: what a new one holds, who may log in, where logins are sent,
 * and that the last reference takes secrets and memory with it. Method: snapshots made by hand, with an
 * allocator that counts what is alive and looks for secrets in what is given back; tables of names and
 * addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "target/iscsi/config.h"

#define SECOND_NS  1000000000ull
#define USERS      3u
#define SECRET_RUN 8u /* bytes of a secret side by side: what is left of one */

/* ---- an allocator that remembers sizes ---- */

static struct {
    uint32_t live, refuse;         /* allocations; how many of the next ones fail */
    uint32_t with_secrets_at_free; /* allocations that held one when they were given back */
} heap;
struct block {
    size_t len;
    uint64_t keeps_alignment;
};

static void *heap_alloc(void *ctx, size_t size, size_t align)
{
    (void)ctx, (void)align;
    if (heap.refuse) {
        heap.refuse--;
        return NULL;
    }
    struct block *block = calloc(1, sizeof *block + size);
    block->len = size;
    heap.live++;
    return block + 1;
}
static void heap_free(void *ctx, void *ptr)
{
    (void)ctx;
    if (!ptr)
        return;
    struct block *block = (struct block *)ptr - 1;
    const uint8_t *bytes = ptr;
    /* All the secrets here are made of one byte; a single one can be a part of any address. */
    uint32_t run = 0, longest = 0;
    for (size_t i = 0; i < block->len; i++) {
        run = bytes[i] == 0xa5 ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    heap.with_secrets_at_free += longest >= SECRET_RUN;
    heap.live--;
    free(block);
}
static const struct env env = {.alloc = heap_alloc, .free = heap_free};

static struct tgt_config *config;
static struct tgt_target *target;

static struct tgt_user *users_new(void)
{
    struct tgt_user *users = env_alloc(&env, USERS * sizeof *users);
    memset(users, 0xa5, USERS * sizeof *users); /* names are nobody's business either */
    return users;
}

static int setup(void **state)
{
    (void)state;
    memset(&heap, 0, sizeof heap);
    assert_int_equal(tgt_config_new(&env, &config), 0);
    config->targets = env_alloc(&env, 2 * sizeof *config->targets);
    config->target_count = 2;
    target = &config->targets[0];
    strcpy(config->targets[0].name, "iqn.2026-01.com.example:disk");
    strcpy(config->targets[1].name, "eui.0123456789abcdef");
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tgt_config_unref(config);
    config = NULL;
    assert_int_equal(heap.live, 0);
    return 0;
}

/* ---- the snapshot itself ---- */

static void limits_have_the_values_of_the_manual(void **state)
{
    (void)state;
    struct tgt_limits limits;
    memset(&limits, 0xff, sizeof limits);
    tgt_limits_default(&limits);
    const struct tgt_limits *const both[] = {&limits, &config->limits};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(both[i]->connections_max, 4096);
        assert_int_equal(both[i]->logins_per_address_max, 64);
        assert_true(both[i]->login_timeout_ns == 15 * SECOND_NS);
        assert_true(both[i]->nop_interval_ns == 0);
        assert_true(both[i]->nop_timeout_ns == 30 * SECOND_NS);
        assert_true(both[i]->stop_wait_ns == 3 * SECOND_NS);
        assert_int_equal(both[i]->command_window, 128);
        assert_int_equal(both[i]->text_len_max, 65536);
    }
}

static void the_last_reference_takes_everything(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct tgt_target *t = &config->targets[i];
        t->users = users_new();
        t->user_count = USERS;
        t->acls = env_alloc(&env, sizeof *t->acls);
        t->redirects = env_alloc(&env, sizeof *t->redirects);
        t->map.luns = env_alloc(&env, sizeof *t->map.luns);
    }
    config->discovery_users = users_new();
    config->discovery_user_count = USERS;
    config->portals = env_alloc(&env, sizeof *config->portals);
    config->rules = env_alloc(&env, sizeof *config->rules);
    assert_int_equal(heap.live, 2 + 2 * 4 + 3);
    tgt_config_ref(config);
    tgt_config_ref(config);
    tgt_config_unref(config);
    tgt_config_unref(config);
    assert_int_equal(heap.live, 2 + 2 * 4 + 3);
    assert_int_equal(config->targets[1].users[USERS - 1].secret[0], 0xa5); /* still in use */
    tgt_config_unref(config);
    assert_int_equal(heap.live, 0);
    assert_int_equal(heap.with_secrets_at_free, 0);
    config = NULL;
    tgt_config_unref(NULL);
}

static void secrets_of_any_number_of_users_are_wiped(void **state)
{
    (void)state;
    config->discovery_users = users_new();
    config->discovery_user_count = USERS;
    tgt_config_unref(config);
    assert_int_equal(heap.with_secrets_at_free, 0);
    /* The check sees what is left behind. */
    env_free(&env, users_new());
    assert_int_equal(heap.with_secrets_at_free, 1);
    assert_int_equal(tgt_config_new(&env, &config), 0);
}

static void no_memory_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    struct tgt_config *untouched = config;
    heap.refuse = 1;
    assert_int_equal(tgt_config_new(&env, &untouched), ERR_NOMEM);
    assert_ptr_equal(untouched, config);
}

/* ---- lookup ---- */

static void names_are_compared_as_names(void **state)
{
    (void)state;
    static const struct {
        const char *asked;
        int found; /* -1: none */
    } rows[] = {
        {"iqn.2026-01.com.example:disk", 0},  {"IQN.2026-01.com.Example:DISK", 0},
        {"eui.0123456789ABCDEF", 1},          {"eui.0123456789abcdef", 1},
        {"iqn.2026-01.com.example:dis", -1},  {"iqn.2026-01.com.example:disk2", -1},
        {"iqn.2026-01.com.example:\x01", -1}, {"", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct tgt_target *want = rows[i].found < 0 ? NULL : &config->targets[rows[i].found];
        assert_ptr_equal(tgt_config_find(config, rows[i].asked), want);
    }
}

static void the_first_rule_that_fits_counts(void **state)
{
    (void)state;
    static const struct tgt_rule rules[] = {
        {.initiator = "iqn.2026-01.com.example:a",
         .has_interval = true,
         .nop_interval_ns = 5,
         .nop_timeout_ns = 6},
        {.initiator = "iqn.2026-01.com.example:b*",
         .has_timeout = true,
         .nop_interval_ns = 7,
         .nop_timeout_ns = 8},
        {.initiator = "iqn.2026-01.com.example:*",
         .has_interval = true,
         .has_timeout = true,
         .nop_interval_ns = 0,
         .nop_timeout_ns = 9},
    };
    config->limits.nop_interval_ns = 100;
    config->limits.nop_timeout_ns = 200;
    static const struct {
        const char *initiator;
        int rule; /* -1: none */
        uint64_t interval_ns, timeout_ns;
    } rows[] = {
        {"iqn.2026-01.com.example:a", 0, 5, 200},
        {"iqn.2026-01.com.example:b1", 1, 100, 8},
        {"iqn.2026-01.com.example:c", 2, 0, 9},
        {"iqn.2026-01.com.elsewhere:a", -1, 100, 200},
    };
    assert_null(tgt_config_rule(config, rows[0].initiator));
    config->rules = env_alloc(&env, sizeof rules);
    memcpy(config->rules, rules, sizeof rules);
    config->rule_count = 3;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct tgt_rule *want = rows[i].rule < 0 ? NULL : &config->rules[rows[i].rule];
        assert_ptr_equal(tgt_config_rule(config, rows[i].initiator), want);
        struct tgt_pings times = tgt_config_pings(config, rows[i].initiator);
        assert_true(times.interval_ns == rows[i].interval_ns);
        assert_true(times.timeout_ns == rows[i].timeout_ns);
    }
}

/* The group's own redirect comes before the general one, wherever it stands. */
static void a_group_has_its_own_redirect(void **state)
{
    (void)state;
    static const struct {
        uint16_t groups[3];
        uint32_t count;
        int for_1, for_2, for_9; /* -1: none */
    } rows[] = {
        {{0}, 0, -1, -1, -1},
        {{TGT_GROUP_ANY}, 1, 0, 0, 0},
        {{1}, 1, 0, -1, -1},
        {{TGT_GROUP_ANY, 2}, 2, 0, 1, 0},
        {{2, TGT_GROUP_ANY}, 2, 1, 0, 1},
        {{1, TGT_GROUP_ANY, 2}, 3, 0, 2, 1},
        {{1, 2, 3}, 3, 0, 1, -1},
    };
    target->redirects = env_alloc(&env, 3 * sizeof *target->redirects);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        target->redirect_count = rows[i].count;
        for (uint32_t k = 0; k < 3; k++)
            target->redirects[k].group = rows[i].groups[k];
        const int want[] = {rows[i].for_1, rows[i].for_2, rows[i].for_9};
        static const uint16_t groups[] = {1, 2, 9};
        for (int k = 0; k < 3; k++)
            assert_ptr_equal(tgt_target_redirect(target, groups[k]),
                             want[k] < 0 ? NULL : &target->redirects[want[k]]);
    }
}

/* One line admits when all of its conditions hold; no line at all admits everybody. */
static void a_line_of_the_acl_admits_as_a_whole(void **state)
{
    (void)state;
    static const struct {
        const char *initiators[2], *nets[2]; /* "": any; a line ends the list with NULL */
        const char *initiator, *from;
        bool admitted;
    } rows[] = {
        {{NULL}, {NULL}, "iqn.a", "10.0.0.1:1", true},
        {{"iqn.a"}, {""}, "iqn.a", "10.0.0.1:1", true},
        {{"iqn.a"}, {""}, "iqn.b", "10.0.0.1:1", false},
        {{"iqn.*"}, {""}, "iqn.b", "10.0.0.1:1", true},
        {{""}, {"10.0.0.0/8"}, "iqn.b", "10.0.0.1:1", true},
        {{""}, {"10.0.0.0/8"}, "iqn.b", "11.0.0.1:1", false},
        {{""}, {""}, "iqn.b", "11.0.0.1:1", true},
        {{"iqn.a"}, {"10.0.0.0/8"}, "iqn.a", "11.0.0.1:1", false},
        {{"iqn.a"}, {"10.0.0.0/8"}, "iqn.b", "10.0.0.1:1", false},
        {{"iqn.a"}, {"10.0.0.0/8"}, "iqn.a", "10.0.0.1:1", true},
        {{"iqn.a", "iqn.b"}, {"10.0.0.0/8", "11.0.0.0/8"}, "iqn.b", "11.0.0.1:1", true},
        {{"iqn.a", "iqn.b"}, {"10.0.0.0/8", "11.0.0.0/8"}, "iqn.a", "11.0.0.1:1", false},
        {{"iqn.a", "iqn.a"}, {"10.0.0.0/8", "11.0.0.0/8"}, "iqn.a", "11.0.0.1:1", true},
        {{"", "iqn.b"}, {"10.0.0.0/8", ""}, "iqn.b", "12.0.0.1:1", true},
    };
    target->acls = env_alloc(&env, 2 * sizeof *target->acls);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct io_addr from;
        assert_int_equal(addr_parse(rows[i].from, 0, &from), 0);
        target->acl_count = 0;
        for (int k = 0; k < 2 && rows[i].initiators[k]; k++) {
            struct tgt_acl *acl = &target->acls[target->acl_count++];
            memset(acl, 0, sizeof *acl);
            strcpy(acl->initiator, rows[i].initiators[k]);
            acl->has_net = rows[i].nets[k][0];
            if (acl->has_net)
                assert_int_equal(addr_net_parse(rows[i].nets[k], &acl->net), 0);
        }
        assert_int_equal(tgt_target_admits(target, rows[i].initiator, &from), rows[i].admitted);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(limits_have_the_values_of_the_manual),
        TEST(the_last_reference_takes_everything),
        TEST(secrets_of_any_number_of_users_are_wiped),
        TEST(no_memory_is_an_error_and_changes_nothing),
        TEST(names_are_compared_as_names),
        TEST(the_first_rule_that_fits_counts),
        TEST(a_group_has_its_own_redirect),
        TEST(a_line_of_the_acl_admits_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
