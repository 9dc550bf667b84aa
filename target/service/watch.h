/* What looks on while the service runs: the capture (--capture) and the referee (--referee), as one tap for
 * each reactor. */
#ifndef LUNETTE_SERVICE_WATCH_H
#define LUNETTE_SERVICE_WATCH_H

#include "common/capture/tap.h"
#include "target/service/args.h"

struct watch;

#define WATCH_OPTIONS                                                                                        \
    {"--capture", "FILE", "write all iSCSI traffic into this pcapng file"},                                  \
        {"--capture-snap", "BYTES", "keep only the first bytes of each frame"},                              \
        {"--capture-ring", "FILES:SIZE", "several files of at most SIZE; the oldest makes room"},            \
        {"--capture-session", "PATTERN",                                                                     \
         "only sessions of which initiator or target has such a name (* is any run)"},                       \
        {"--capture-no-secrets", NULL, "overwrite CHAP challenges and responses"},                           \
        {"--capture-buffer", "SIZE", "memory of each reactor for what is not yet written (default 32M)"},    \
    {                                                                                                        \
        "--referee", NULL, "check both sides of every session against the RFC and log what is wrong"         \
    }

/* Starts what the options ask for. *out is NULL when that is nothing. */
bool watch_open(const struct args *args, uint32_t reactors, struct watch **out, struct outcome *o);
/* One for each reactor; NULL when `watch` is. They may be called until watch_close. */
struct tap *const *watch_taps(struct watch *watch);
/* No reactor runs any more. Completes the file. NULL is fine. */
void watch_close(struct watch *watch);

#endif
