/* A tap sees the bytes of iSCSI connections as they pass a host (target service, initiator library,
 * simulator), and changes nothing. The capture writer and the referee are taps. A host without one pays a
 * branch per batch.
 *
 * Order: open, any number of bytes (each direction's in stream order), close. Everything of one connection
 * comes from one thread at a time. Calls must not block, and may not keep the pointers. */
#ifndef LUNETTE_CAPTURE_TAP_H
#define LUNETTE_CAPTURE_TAP_H

#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/slice.h"

enum tap_direction { TAP_TO_TARGET, TAP_TO_INITIATOR };

struct tap {
    /* `conn` is unique among the tap's connections for ever (a counter of the host). `now_ns`: the host's
     * clock, monotonic. */
    void (*open)(struct tap *tap, uint64_t conn, const struct io_addr *initiator,
                 const struct io_addr *target, uint64_t now_ns);
    /* `len` bytes from the front of the places: they have been received, or handed to the transport, now. */
    void (*bytes)(struct tap *tap, uint64_t conn, enum tap_direction direction, const struct io_vec *places,
                  uint32_t count, uint64_t len, uint64_t now_ns);
    void (*close)(struct tap *tap, uint64_t conn, uint64_t now_ns);
};

#endif
