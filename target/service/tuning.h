/* The options of `serve` that shape sessions: negotiation keys, limits, times. */
#ifndef LUNETTE_SERVICE_TUNING_H
#define LUNETTE_SERVICE_TUNING_H

#include "target/iscsi/config.h"
#include "target/service/args.h"
#include "target/service/limits.h"

struct tuning { /* of all targets, as far as they have no limits of their own */
    struct key_config keys;
    struct tgt_limits limits;
};
void tuning_default(struct tuning *tuning);
/* Default values, changed by what the command line says. */
bool tuning_parse(const struct args *args, struct tuning *out, struct outcome *o);

#define TUNING_OPTIONS                                                                                       \
    LIMITS_OPTIONS, {"--command-window", "N", "commands that a session may have outstanding"},               \
        {"--nop-interval", "TIME", "ping silent initiators this often (default: never)"},                    \
        {"--nop-timeout", "TIME", "how long an initiator may take to answer"},                               \
        {"--login-timeout", "TIME", "how long a login may take"},                                            \
        {"--stop-wait", "TIME", "how long initiators have to log out when the service stops (default 3s)"},  \
        {"--connections-max", "N", "connections of the whole service"},                                      \
    {                                                                                                        \
        "--logins-per-address", "N", "connections of one address that have not finished login"               \
    }

#endif
