/* The options of `serve` that shape sessions: negotiation keys, limits, times. */
#ifndef LUNETTE_SERVICE_TUNING_H
#define LUNETTE_SERVICE_TUNING_H

#include "target/iscsi/config.h"
#include "target/service/args.h"

struct tuning { /* the same for all targets */
    struct key_config keys;
    struct tgt_limits limits;
};
void tuning_default(struct tuning *tuning);
/* Default values, changed by what the command line says. */
bool tuning_parse(const struct args *args, struct tuning *out, struct outcome *o);

#define TUNING_OPTIONS                                                                                       \
    {"--initial-r2t", "yes|no", "wait for an R2T before the first data (default no)"},                       \
        {"--immediate-data", "yes|no", "allow data in the command itself (default yes)"},                    \
        {"--max-burst", "SIZE", "MaxBurstLength"}, {"--first-burst", "SIZE", "FirstBurstLength"},            \
        {"--max-recv", "SIZE", "MaxRecvDataSegmentLength: the largest data segment taken"},                  \
        {"--max-outstanding-r2t", "N", "MaxOutstandingR2T"},                                                 \
        {"--command-window", "N", "commands that a session may have outstanding"},                           \
        {"--header-digest", "LIST", "accepted, best first: none, crc32c or both with a comma"},              \
        {"--data-digest", "LIST", "as --header-digest"},                                                     \
        {"--nop-interval", "TIME", "ping silent initiators this often (default: never)"},                    \
        {"--nop-timeout", "TIME", "how long an initiator may take to answer"},                               \
        {"--login-timeout", "TIME", "how long a login may take"},                                            \
        {"--connections-max", "N", "connections of the whole service"},                                      \
    {                                                                                                        \
        "--logins-per-address", "N", "connections of one address that have not finished login"               \
    }

#endif
