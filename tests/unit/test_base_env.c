/* Goal: env_host is the real world as the contract promises it: time that moves forward, random bytes, zeroed
 * and aligned memory that is counted, and the four digests of CHAP. Method: known answers (RFC 1321, FIPS 180
 * and FIPS 202 examples), the same message in every split into parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/env.h"
#include "common/base/list.h"

static void time_moves_forward(void **state)
{
    (void)state;
    uint64_t last = env_now(env_host());
    assert_true(last > 0);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = env_now(env_host());
        assert_true(now >= last);
        last = now;
    }
}

static void random_fills_exactly_its_bytes(void **state)
{
    (void)state;
    const struct env *env = env_host();
    uint8_t a[66] = {0}, b[66] = {0};
    env->random(env->ctx, a + 1, 64);
    env->random(env->ctx, b + 1, 64);
    assert_memory_not_equal(a + 1, b + 1, 64);
    assert_int_equal(a[0] | a[65], 0);
    env->random(env->ctx, a, 0);
    /* More than one getrandom call can be asked for in one piece (its limit without interruption is 256
     * bytes). */
    static uint8_t large[100000];
    env->random(env->ctx, large, sizeof large);
    unsigned zeros = 0;
    for (size_t i = 0; i < sizeof large; i++)
        zeros += large[i] == 0;
    assert_in_range(zeros, 200, 600); /* expected 391 */
}

static void memory_is_zeroed_aligned_and_counted(void **state)
{
    (void)state;
    const struct env *env = env_host();
    static const size_t aligns[] = {0, 1, 8, 16, 64, 4096, 65536};
    for (size_t i = 0; i < sizeof aligns / sizeof aligns[0]; i++) {
        uint64_t before = env_host_allocations();
        uint8_t *memory = env->alloc(env->ctx, 5000, aligns[i]);
        assert_non_null(memory);
        assert_int_equal(env_host_allocations(), before + 1);
        if (aligns[i])
            assert_int_equal((uintptr_t)memory % aligns[i], 0);
        for (size_t j = 0; j < 5000; j++)
            assert_int_equal(memory[j], 0);
        memset(memory, 0xff, 5000); /* so that a reuse by the next row would show if it were not zeroed */
        env_free(env, memory);
    }
    void *nothing = env_alloc(env, 0);
    assert_non_null(nothing);
    env_free(env, nothing);
    env_free(env, NULL);
}

static const struct {
    enum hash_alg alg;
    const char *message, *hex;
} known_answers[] = {
    {HASH_MD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
    {HASH_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72"},
    {HASH_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
    {HASH_SHA1, "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
    {HASH_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {HASH_SHA1, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    {HASH_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {HASH_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {HASH_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {HASH_SHA3_256, "", "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"},
    {HASH_SHA3_256, "abc", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
    {HASH_SHA3_256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "41c0dba2a9d6240849100376a8235e2c82e1b9998a999e21db32dd97496d3376"},
};

static void digests_match_the_published_answers(void **state)
{
    (void)state;
    const struct env *env = env_host();
    for (size_t i = 0; i < sizeof known_answers / sizeof known_answers[0]; i++) {
        const char *message = known_answers[i].message;
        size_t len = strlen(message);
        /* Whole, then every split into two parts, with an empty one between them. */
        for (size_t cut = 0; cut <= len; cut++) {
            struct bytes parts[] = {{message, cut}, {NULL, 0}, {message + cut, len - cut}};
            uint8_t out[HASH_LEN_MAX];
            char hex[2 * HASH_LEN_MAX + 1] = "";
            size_t out_len = env->hash(env->ctx, known_answers[i].alg, parts, 3, out);
            assert_int_equal(out_len, strlen(known_answers[i].hex) / 2);
            for (size_t j = 0; j < out_len; j++)
                snprintf(hex + 2 * j, 3, "%02x", out[j]);
            assert_string_equal(hex, known_answers[i].hex);
        }
    }
}

static void a_digest_writes_no_more_than_its_length(void **state)
{
    (void)state;
    const struct env *env = env_host();
    uint8_t out[HASH_LEN_MAX];
    memset(out, 0xee, sizeof out);
    assert_int_equal(env->hash(env->ctx, HASH_MD5, NULL, 0, out), 16);
    for (size_t i = 16; i < sizeof out; i++)
        assert_int_equal(out[i], 0xee);
}

static void big_endian_round_trips(void **state)
{
    (void)state;
    uint8_t buf[9] = {0};
    static const uint8_t wire[8] = {0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8};
    assert_int_equal(be16_get(wire), 0x8192);
    assert_int_equal(be24_get(wire), 0x8192a3);
    assert_int_equal(be32_get(wire), 0x8192a3b4u);
    assert_true(be64_get(wire) == UINT64_C(0x8192a3b4c5d6e7f8));
    be16_put(buf + 1, 0x8192); /* odd address on purpose */
    assert_memory_equal(buf + 1, wire, 2);
    be24_put(buf + 1, 0x8192a3);
    assert_memory_equal(buf + 1, wire, 3);
    be32_put(buf + 1, 0x8192a3b4u);
    assert_memory_equal(buf + 1, wire, 4);
    be64_put(buf + 1, UINT64_C(0x8192a3b4c5d6e7f8));
    assert_memory_equal(buf + 1, wire, 8);
    assert_int_equal(buf[0], 0);
    assert_true(bytes_equal_ct(buf + 1, wire, 8));
    buf[8] ^= 0x80;
    assert_false(bytes_equal_ct(buf + 1, wire, 8));
    assert_true(bytes_equal_ct(buf, wire, 0));
}

struct item {
    struct list_node node;
    int number;
};

static void lists_keep_their_order(void **state)
{
    (void)state;
    struct list_node head, other;
    struct item items[5];
    list_init(&head);
    list_init(&other);
    assert_true(list_empty(&head));
    assert_null(list_first(&head, struct item, node));
    assert_null(list_pop_front(&head));
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_init(&items[i].node);
        assert_false(list_linked(&items[i].node));
        list_push_back(i < 3 ? &head : &other, &items[i].node);
        assert_true(list_linked(&items[i].node));
    }
    list_splice_back(&head, &other);
    assert_true(list_empty(&other));
    list_splice_back(&head, &other); /* nothing to move */
    int expected = 0;
    list_for_each(it, &head) assert_int_equal(list_entry(it, struct item, node)->number, expected++);
    assert_int_equal(expected, 5);
    list_remove(&items[2].node);
    list_remove(&items[2].node); /* harmless */
    list_push_front(&head, &items[2].node);
    assert_int_equal(list_first(&head, struct item, node)->number, 2);
    assert_int_equal(list_last(&head, struct item, node)->number, 4);
    int seen = 0;
    list_for_each_safe(it, &head)
    {
        list_remove(it);
        seen++;
    }
    assert_int_equal(seen, 5);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_moves_forward),
        cmocka_unit_test(random_fills_exactly_its_bytes),
        cmocka_unit_test(memory_is_zeroed_aligned_and_counted),
        cmocka_unit_test(digests_match_the_published_answers),
        cmocka_unit_test(a_digest_writes_no_more_than_its_length),
        cmocka_unit_test(big_endian_round_trips),
        cmocka_unit_test(lists_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
