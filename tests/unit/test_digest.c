/* Goal: digests are the CRC32C of RFC 7143, whatever implementation computes them and however the bytes are
 * fed. Method: the vectors of RFC 7143 A.4; every implementation against a bitwise one written here, for all
 * lengths 0..300 at all alignments within a cache line's worth of offsets, and for lengths around the sizes
 * where large data is cut into lanes, blocks and steps; every split of one buffer in two parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/iscsi/digest.h"
#include "tests/unit/proves.h"

#define LEN_MAX   300u
#define LARGE_MAX (30u << 10) /* some blocks of three lanes and a rest */
#define ALIGN_MAX 16u

typedef uint32_t update_fn(uint32_t crc, const void *data, size_t len);

/* The definition, bit by bit; the polynomial in the RFC's form, most significant power first. */
static uint32_t reflect(uint32_t value, unsigned bits)
{
    uint32_t out = 0;
    for (unsigned i = 0; i < bits; i++)
        if (value >> i & 1)
            out |= 1u << (bits - 1 - i);
    return out;
}

static uint32_t reference_register(uint32_t reg, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        reg ^= reflect(data[i], 8) << 24;
        for (int bit = 0; bit < 8; bit++)
            reg = reg << 1 ^ (reg >> 31 ? 0x1edc6f41u : 0);
    }
    return reg;
}

static uint32_t reference(const uint8_t *data, size_t len)
{
    return reflect(~reference_register(0xffffffffu, data, len), 32);
}

static void fill(uint8_t *buf, size_t len)
{
    uint32_t x = 0x2545f491u;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        buf[i] = (uint8_t)(x >> 24);
    }
}

/* The ones this machine can run. */
#define UPDATES_MAX 8u
static size_t implementations(update_fn *out[UPDATES_MAX])
{
    size_t n = 0;
    out[n++] = digest_update;
    out[n++] = digest_update_far;
    out[n++] = digest_update_portable;
    if (digest_sse42_available())
        out[n++] = digest_update_sse42;
    if (digest_lanes_available()) {
        out[n++] = digest_update_lanes;
        out[n++] = digest_update_lanes_far;
    }
    if (digest_folded_available()) {
        out[n++] = digest_update_folded;
        out[n++] = digest_update_folded_far;
    }
    return n;
}

static const struct vector {
    uint8_t data[48];
    size_t len;
    uint8_t wire[4];
} read_10 = {
    .data = {0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02},
    .len = 48,
    .wire = {0x56, 0x3a, 0x96, 0xd9},
};

static void check_vector(const struct vector *v)
{
    update_fn *updates[UPDATES_MAX];
    size_t n = implementations(updates);
    for (size_t i = 0; i < n; i++) {
        uint8_t wire[4];
        digest_put(wire, digest_final(updates[i](DIGEST_INIT, v->data, v->len)));
        assert_memory_equal(wire, v->wire, 4);
        assert_int_equal(digest_get(wire), digest_crc32c(v->data, v->len));
    }
}

static void digests_are_those_of_the_rfc(void **state)
{
    (void)state;
    struct vector zeros = {.len = 32, .wire = {0xaa, 0x36, 0x91, 0x8a}};
    struct vector ones = {.len = 32, .wire = {0x43, 0xab, 0xa8, 0x62}};
    struct vector up = {.len = 32, .wire = {0x4e, 0x79, 0xdd, 0x46}};
    struct vector down = {.len = 32, .wire = {0x5c, 0xdb, 0x3f, 0x11}};
    struct vector digits = {.data = "123456789", .len = 9, .wire = {0x83, 0x92, 0x06, 0xe3}};
    memset(ones.data, 0xff, 32);
    for (uint8_t i = 0; i < 32; i++) {
        up.data[i] = i;
        down.data[i] = (uint8_t)(31 - i);
    }
    check_vector(&zeros);
    check_vector(&ones);
    check_vector(&up);
    check_vector(&down);
    check_vector(&digits);
    check_vector(&read_10);
    PROVES("R7143-A.4-01", "both");
    PROVES("R7143-13.1-05", "both");
    PROVES("R7143-13.1-06", "both");
}

static void all_implementations_agree_at_all_lengths_and_alignments(void **state)
{
    (void)state;
    uint8_t buf[LEN_MAX + ALIGN_MAX];
    update_fn *updates[UPDATES_MAX];
    size_t n = implementations(updates);
    fill(buf, sizeof buf);
    for (size_t at = 0; at < ALIGN_MAX; at++) {
        for (size_t len = 0; len <= LEN_MAX; len++) {
            uint32_t want = reference(buf + at, len);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(digest_final(updates[i](DIGEST_INIT, buf + at, len)), want);
        }
    }
}

/* The reference goes on from the last length, so that all lengths together cost one pass over the data. */
static void large_data_agrees_at_all_lengths_up_to_several_blocks(void **state)
{
    (void)state;
    static uint8_t buf[LARGE_MAX + ALIGN_MAX];
    update_fn *updates[UPDATES_MAX];
    size_t n = implementations(updates);
    fill(buf, sizeof buf);
    for (size_t at = 0; at < ALIGN_MAX; at += 5) {
        uint32_t reg = 0xffffffffu;
        for (size_t len = 0; len < LARGE_MAX; len++) {
            uint32_t want = reflect(~reg, 32);
            /* Every length near a whole number of words in three lanes, or of steps, and a few others. */
            bool wanted = (len + 1) % 24 < 3 || (len + 1) % 256 < 3 || len % 61 == 0;
            for (size_t i = 0; wanted && i < n; i++)
                if (updates[i] != digest_update_portable || len % 61 == 0)
                    assert_int_equal(digest_final(updates[i](DIGEST_INIT, buf + at, len)), want);
            reg = reference_register(reg, buf + at + len, 1);
        }
    }
}

/* The register that a lane starts with is carried over the lanes behind it, whatever it is. */
static void any_start_value_is_carried_through_the_lanes(void **state)
{
    (void)state;
    static uint8_t buf[4096];
    update_fn *updates[UPDATES_MAX];
    size_t n = implementations(updates);
    fill(buf, sizeof buf);
    for (unsigned bit = 0; bit < 32; bit++)
        for (size_t i = 0; i < n; i++)
            for (size_t len = 190; len <= sizeof buf; len += 1302)
                assert_int_equal(updates[i](1u << bit, buf, len),
                                 digest_update_portable(1u << bit, buf, len));
}

static void parts_give_the_digest_of_the_whole(void **state)
{
    (void)state;
    uint8_t buf[LEN_MAX];
    update_fn *updates[UPDATES_MAX];
    size_t n = implementations(updates);
    fill(buf, sizeof buf);
    uint32_t want = reference(buf, LEN_MAX);
    for (size_t cut = 0; cut <= LEN_MAX; cut++) {
        /* Each part by another implementation: the running value means the same to all. */
        for (size_t i = 0; i < n; i++) {
            uint32_t crc = updates[i](DIGEST_INIT, buf, cut);
            crc = updates[(i + 1) % n](crc, buf + cut, LEN_MAX - cut);
            assert_int_equal(digest_final(crc), want);
        }
    }
}

static void data_with_its_digest_leaves_the_residue(void **state)
{
    (void)state;
    uint8_t buf[LEN_MAX + 4];
    fill(buf, sizeof buf);
    for (size_t len = 0; len <= LEN_MAX; len++) {
        uint8_t kept[4];
        memcpy(kept, buf + len, 4);
        digest_put(buf + len, digest_crc32c(buf, len));
        assert_int_equal(reference_register(0xffffffffu, buf, len + 4), 0x1c2d19edu);
        assert_int_equal(digest_update(DIGEST_INIT, buf, len + 4), reflect(0x1c2d19edu, 32));
        memcpy(buf + len, kept, 4);
    }
    PROVES("R7143-13.1-07", "both");
}

static void every_single_bit_error_changes_the_digest(void **state)
{
    (void)state;
    uint8_t buf[64];
    fill(buf, sizeof buf);
    uint32_t good = digest_crc32c(buf, sizeof buf);
    for (size_t bit = 0; bit < 8 * sizeof buf; bit++) {
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(digest_crc32c(buf, sizeof buf), good);
        assert_int_equal(digest_update_portable(DIGEST_INIT, buf, sizeof buf),
                         digest_update(DIGEST_INIT, buf, sizeof buf));
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_the_rfc),
        cmocka_unit_test(all_implementations_agree_at_all_lengths_and_alignments),
        cmocka_unit_test(large_data_agrees_at_all_lengths_up_to_several_blocks),
        cmocka_unit_test(any_start_value_is_carried_through_the_lanes),
        cmocka_unit_test(parts_give_the_digest_of_the_whole),
        cmocka_unit_test(data_with_its_digest_leaves_the_residue),
        cmocka_unit_test(every_single_bit_error_changes_the_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
