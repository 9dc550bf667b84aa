/* What this kernel's io_uring can do, found out by using it. Private to uring.c. */
#ifndef LUNETTE_IO_URING_PROBE_H
#define LUNETTE_IO_URING_PROBE_H

#include <stdbool.h>

/* The set-up flags of the best set of optional features that works here and is wanted; false when not even
 * the plain ring does. LUNETTE_URING_FEATURES in the environment names the features that may be used,
 * separated by commas: "single" (single issuer), "defer" (deferred task work, needs single), "coop"
 * (cooperative task work). Unset: all; "none": none, which is how a test walks the ways of an older kernel.
 */
bool uring_choose_flags(unsigned *out);

#endif
