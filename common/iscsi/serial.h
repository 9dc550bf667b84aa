/* Serial number arithmetic for 32-bit sequence numbers (RFC 1982 with SERIAL_BITS 32; RFC 7143
 * section 4.2.2.1). CmdSN, StatSN, DataSN and R2TSN wrap, so `<` on them is a bug: compare them only with
 * these helpers.
 *
 * Two numbers exactly 2^31 apart have no order (RFC 1982 section 3.2): sn_lt, sn_le, sn_gt and sn_ge are then
 * all false, so a guard written in either direction refuses such a pair. */
#ifndef LUNETTE_ISCSI_SERIAL_H
#define LUNETTE_ISCSI_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

#define SN_HALF 0x80000000u /* the distance at which order is undefined */

/* a - b as a signed distance: positive when a is ahead. INT32_MIN when the pair has no order. */
static inline int32_t sn_diff(uint32_t a, uint32_t b)
{
    uint32_t d = a - b;
    /* Written without an out-of-range conversion, which C leaves to the implementation. */
    return d < SN_HALF ? (int32_t)d : -(int32_t)(UINT32_MAX - d) - 1;
}

static inline bool sn_lt(uint32_t a, uint32_t b)
{
    uint32_t ahead = b - a;
    return ahead != 0 && ahead < SN_HALF;
}

static inline bool sn_le(uint32_t a, uint32_t b)
{
    return b - a < SN_HALF;
}

static inline bool sn_gt(uint32_t a, uint32_t b)
{
    return sn_lt(b, a);
}

static inline bool sn_ge(uint32_t a, uint32_t b)
{
    return sn_le(b, a);
}

/* Is sn inside the window first..last, both included? last == first - 1 is the empty (closed) window; a
 * window that reaches 2^31 or further, which no sender may advertise, counts as empty too. */
static inline bool sn_in_window(uint32_t sn, uint32_t first, uint32_t last)
{
    return sn_le(first, last) && sn - first <= last - first;
}

#endif
