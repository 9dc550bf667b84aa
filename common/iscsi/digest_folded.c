/* CRC32C by folding (x86-64 with VPCLMULQDQ and AVX2). Eight registers of 32 bytes run through the data side
 * by side; what they hold stands for all that they have passed, modulo the polynomial. Two carry-less
 * multiplications move a register 256 bytes on, to where the next bytes are added.
 *
 * A register's 16-byte half is, reflected, F * x^64 + L of its first and its last eight bytes. Moved by d
 * bits that is F * x^(d + 64) + L * x^d. The product of two reflected 64-bit values stands for x times their
 * product, so the factors are x^(d + 63) and x^(d - 1), modulo the polynomial: 32 bits, in the upper half of
 * a word. At the end the instruction for CRC32C reduces the last 16 bytes, as it would the data that they
 * stand for.
 *
 * Within a page the processor sees by itself what is read next, and fetches it better than if it were asked:
 * so `far` asks for what lies a page ahead, and for nothing of the first. */
#include "common/iscsi/digest.h"

/* Where functions unwind by SEH GCC aligns the stack to 16 bytes only, and spills wider registers as if it
 * were more. */
#if defined(__x86_64__) && !defined(__SEH__)

#include <immintrin.h>
#include <stdatomic.h>

#define FOLDED     __attribute__((target("avx2,vpclmulqdq,sse4.2")))
#define FOLDED_IN  __attribute__((target("avx2,vpclmulqdq,sse4.2"), always_inline)) static inline
#define REGISTERS  8u
#define WIDTH      32u                 /* bytes of a register */
#define STEP       (REGISTERS * WIDTH) /* bytes */
#define LINE       64u                 /* bytes the processor fetches at once */
#define AHEAD      4096u               /* bytes from what is asked for early to what is read: a page */
#define POWERS_MAX (STEP / 8)

/* [n] is x^(64 n + 63) modulo the polynomial, reflected. Computed at first use; threads that race write the
 * same values. */
static _Atomic uint32_t folded_powers[POWERS_MAX + 1];
static atomic_bool folded_ready;

bool digest_folded_available(void)
{
    return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("vpclmulqdq") != 0 &&
           __builtin_cpu_supports("sse4.2") != 0;
}

FOLDED static void folded_make(void)
{
    uint64_t power = _mm_crc32_u32(1, 0); /* 1 is x^31, reflected; four zero bytes multiply by x^32 */
    for (unsigned n = 0; n <= POWERS_MAX; n++) {
        atomic_store_explicit(&folded_powers[n], (uint32_t)power, memory_order_relaxed);
        power = _mm_crc32_u64(power, 0);
    }
    atomic_store_explicit(&folded_ready, true, memory_order_release);
}

static long long folded_power(size_t n)
{
    return (long long)((uint64_t)atomic_load_explicit(&folded_powers[n], memory_order_relaxed) << 32);
}

/* What moves a register by so many bytes: the factors of its halves' first and last words. */
FOLDED_IN __m256i folded_factors(size_t bytes)
{
    long long first = folded_power(bytes / 8), last = folded_power(bytes / 8 - 1);
    return _mm256_set_epi64x(last, first, last, first);
}

FOLDED_IN __m256i folded_move(__m256i reg, __m256i factors)
{
    return _mm256_xor_si256(_mm256_clmulepi64_epi128(reg, factors, 0x00),
                            _mm256_clmulepi64_epi128(reg, factors, 0x11));
}

FOLDED_IN __m256i folded_load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p); /* at any address */
}

/* The register of the CRC after what `regs` stand for: each is moved to the last one. */
FOLDED_IN uint32_t folded_join(__m256i regs[REGISTERS])
{
    for (size_t half = REGISTERS / 2; half > 0; half /= 2) {
        const __m256i factors = folded_factors(half * WIDTH);
        for (size_t i = 0; i < half; i++)
            regs[i] = _mm256_xor_si256(folded_move(regs[i], factors), regs[i + half]);
    }
    const __m256i moved = folded_move(regs[0], folded_factors(WIDTH / 2));
    const __m128i end = _mm_xor_si128(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(regs[0], 1));
    uint64_t crc = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(end));
    return (uint32_t)_mm_crc32_u64(crc, (uint64_t)_mm_extract_epi64(end, 1));
}

/* steps > 0, of STEP bytes each. */
FOLDED_IN uint32_t folded_steps(uint32_t crc, const uint8_t *p, size_t steps, bool far)
{
    __m256i regs[REGISTERS];
    const __m256i factors = folded_factors(STEP);
    const uint8_t *end = p + steps * STEP, *ahead = p + AHEAD;
    for (size_t i = 0; i < REGISTERS; i++)
        regs[i] = folded_load(p + i * WIDTH);
    regs[0] = _mm256_xor_si256(regs[0], _mm256_set_epi64x(0, 0, 0, crc));
    while (--steps > 0) {
        p += STEP;
        for (size_t at = 0; far && at < STEP && ahead < end; at += LINE, ahead += LINE)
            __builtin_prefetch(ahead, 0, 2);
        for (size_t i = 0; i < REGISTERS; i++)
            regs[i] = _mm256_xor_si256(folded_move(regs[i], factors), folded_load(p + i * WIDTH));
    }
    return folded_join(regs);
}

FOLDED_IN uint32_t folded_update(uint32_t crc, const void *data, size_t len, bool far)
{
    const uint8_t *p = data;
    const size_t steps = len / STEP, whole = steps * STEP;
    if (!atomic_load_explicit(&folded_ready, memory_order_acquire))
        folded_make();
    if (steps > 0)
        crc = folded_steps(crc, p, steps, far);
    return digest_update_sse42(crc, p + whole, len - whole);
}

FOLDED uint32_t digest_update_folded(uint32_t crc, const void *data, size_t len)
{
    return folded_update(crc, data, len, false);
}

FOLDED uint32_t digest_update_folded_far(uint32_t crc, const void *data, size_t len)
{
    return folded_update(crc, data, len, true);
}

#else

bool digest_folded_available(void)
{
    return false;
}

uint32_t digest_update_folded(uint32_t crc, const void *data, size_t len)
{
    return digest_update_portable(crc, data, len);
}

uint32_t digest_update_folded_far(uint32_t crc, const void *data, size_t len)
{
    return digest_update_portable(crc, data, len);
}

#endif
