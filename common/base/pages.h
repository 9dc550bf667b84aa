/* Large buffers from huge pages, for env_host.
 *
 * Buffers of one size are cut from regions of 2 MiB. From the seventeenth region on the kernel is asked for a
 * huge page: what moves little keeps small ones. A region whose buffers have all come back gives its memory
 * to the kernel and serves any size. All threads may call. */
#ifndef LUNETTE_BASE_PAGES_H
#define LUNETTE_BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define PAGES_MIN ((size_t)64 * 1024)   /* bytes: the smallest buffer */
#define PAGES_MAX ((size_t)1024 * 1024) /* bytes: the largest; larger ones are the heap's */

/* A zeroed buffer of `size` bytes, PAGES_MIN to PAGES_MAX, aligned to PAGES_MIN. NULL: there is no memory, or
 * sizes of that kind are left to the heap: no power of two, or AddressSanitizer watches over each allocation.
 */
void *pages_alloc(size_t size);
/* False: this is no such buffer, and nothing was done. */
bool pages_free(void *ptr);

#endif
