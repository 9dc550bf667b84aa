/* CRC32C in three lanes (x86-64 with SSE4.2 and PCLMULQDQ). The CRC instruction gives its result after three
 * cycles but can begin anew in each, so one chain of them leaves two thirds of the unit idle. Here three
 * neighbouring parts of the data run side by side and are joined at their ends.
 *
 * Joining: the register after lane A, were it fed the words of the lanes behind it as zeros, is A * x^(64 m)
 * modulo the polynomial, m being the number of those words. The carry-less product of two reflected 32-bit
 * values is a 64-bit word that stands for A * B * x, and the CRC instruction multiplies a word by x^32. So
 * with B = x^(64 m - 33) the product can be added to the last word of the last lane, and the instruction that
 * takes that word reduces it as well. */
#include "common/iscsi/digest.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdatomic.h>
#include <string.h>

#define LANE_WORDS_MAX                                                                                       \
    512u /* three lanes fill 12 KiB; with shorter ones memory is read too brokenly to be fetched ahead */
#define LANES          3u
#define LINE           64u  /* bytes the processor fetches at once */
#define AHEAD          512u /* bytes of each lane that are asked for early: enough for what is in no cache */
#define LANE_WORDS_MIN (DIGEST_LANES_LEN / (8 * LANES)) /* below, joining costs more than it saves */

/* [m] is x^(64 m - 33) modulo the polynomial, reflected; [0] is not used. Computed at first use; threads that
 * race write the same values. */
static _Atomic uint32_t lanes_power[2 * LANE_WORDS_MAX + 1];
static atomic_bool lanes_ready;

bool digest_lanes_available(void)
{
    return __builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("pclmul") != 0;
}

__attribute__((target("sse4.2"))) static void lanes_make(void)
{
    uint64_t power = 1; /* x^31, reflected; eight zero bytes multiply the register by x^64 */
    for (unsigned m = 1; m <= 2 * LANE_WORDS_MAX; m++) {
        atomic_store_explicit(&lanes_power[m], (uint32_t)power, memory_order_relaxed);
        power = _mm_crc32_u64(power, 0);
    }
    atomic_store_explicit(&lanes_ready, true, memory_order_release);
}

static uint64_t lanes_word(const uint8_t *p)
{
    uint64_t word; /* memcpy: data may lie at any address */
    memcpy(&word, p, 8);
    return word;
}

/* What a lane's register is `words` words later, as something to add to the last of them. */
__attribute__((target("sse4.2,pclmul"))) static uint64_t lanes_carried(uint64_t crc, size_t words)
{
    uint32_t power = atomic_load_explicit(&lanes_power[words], memory_order_relaxed);
    __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi32_si128((int32_t)power), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* What is not in the cache takes longer than the processor looks ahead, and its own fetching begins anew with
 * every lane. Reaching behind the end does no harm. */
static void lanes_fetch(const uint8_t *p, size_t lane)
{
    for (unsigned i = 0; i < LANES; i++)
        __builtin_prefetch(p + i * lane);
}

__attribute__((target("sse4.2"), always_inline)) static inline uint64_t lane_line(uint64_t crc,
                                                                                  const uint8_t *p)
{
    crc = _mm_crc32_u64(crc, lanes_word(p));
    crc = _mm_crc32_u64(crc, lanes_word(p + 8));
    crc = _mm_crc32_u64(crc, lanes_word(p + 16));
    crc = _mm_crc32_u64(crc, lanes_word(p + 24));
    crc = _mm_crc32_u64(crc, lanes_word(p + 32));
    crc = _mm_crc32_u64(crc, lanes_word(p + 40));
    crc = _mm_crc32_u64(crc, lanes_word(p + 48));
    return _mm_crc32_u64(crc, lanes_word(p + 56));
}

/* The register after 3 * words words at p; LANE_WORDS_MIN <= words <= LANE_WORDS_MAX. */
__attribute__((target("sse4.2,pclmul"), always_inline)) static inline uint64_t
lanes_block(uint64_t crc, const uint8_t *p, size_t words, bool far)
{
    uint64_t a = crc, b = 0, c = 0;
    size_t lane = 8 * words, last = lane - 8, at = 0;
    for (size_t ahead = 0; far && ahead < AHEAD && ahead < lane; ahead += LINE)
        lanes_fetch(p + ahead, lane);
    for (; at + LINE <= last; at += LINE) {
        if (far)
            lanes_fetch(p + at + AHEAD, lane);
        a = lane_line(a, p + at);
        b = lane_line(b, p + lane + at);
        c = lane_line(c, p + 2 * lane + at);
    }
    for (; at < last; at += 8) {
        a = _mm_crc32_u64(a, lanes_word(p + at));
        b = _mm_crc32_u64(b, lanes_word(p + lane + at));
        c = _mm_crc32_u64(c, lanes_word(p + 2 * lane + at));
    }
    a = _mm_crc32_u64(a, lanes_word(p + last));
    b = _mm_crc32_u64(b, lanes_word(p + lane + last));
    uint64_t end = lanes_word(p + 2 * lane + last) ^ lanes_carried(a, 2 * words) ^ lanes_carried(b, words);
    return _mm_crc32_u64(c, end);
}

__attribute__((target("sse4.2,pclmul"), always_inline)) static inline uint32_t
lanes_update(uint32_t crc, const void *data, size_t len, bool far)
{
    const uint8_t *p = data;
    size_t words = len / (8 * LANES);
    if (words >= LANE_WORDS_MIN && !atomic_load_explicit(&lanes_ready, memory_order_acquire))
        lanes_make();
    while (words >= LANE_WORDS_MIN) {
        size_t now = words < LANE_WORDS_MAX ? words : LANE_WORDS_MAX;
        crc = (uint32_t)lanes_block(crc, p, now, far);
        p += 8 * LANES * now;
        len -= 8 * LANES * now;
        words -= now;
    }
    return digest_update_sse42(crc, p, len);
}

__attribute__((target("sse4.2,pclmul"))) uint32_t digest_update_lanes(uint32_t crc, const void *data,
                                                                      size_t len)
{
    return lanes_update(crc, data, len, false);
}

__attribute__((target("sse4.2,pclmul"))) uint32_t digest_update_lanes_far(uint32_t crc, const void *data,
                                                                          size_t len)
{
    return lanes_update(crc, data, len, true);
}

#else

bool digest_lanes_available(void)
{
    return false;
}

uint32_t digest_update_lanes(uint32_t crc, const void *data, size_t len)
{
    return digest_update_portable(crc, data, len);
}

uint32_t digest_update_lanes_far(uint32_t crc, const void *data, size_t len)
{
    return digest_update_portable(crc, data, len);
}

#endif
