/* Options that shape sessions. */
#include "target/service/tuning.h"

#define WINDOW_MAX 1024u

void tuning_default(struct tuning *tuning)
{
    limits_default(&tuning->keys);
    tgt_limits_default(&tuning->limits);
}

static bool count(const struct args *args, const char *name, uint32_t max, uint32_t *out, struct outcome *o)
{
    uint64_t value = *out;
    if (!args_number(args, name, 1, max, &value, o))
        return false;
    *out = (uint32_t)value;
    return true;
}

bool tuning_parse(const struct args *args, struct tuning *out, struct outcome *o)
{
    struct tuning t;
    tuning_default(&t);
    if (!limits_args(args, &t.keys, o) ||
        !count(args, "--command-window", WINDOW_MAX, &t.limits.command_window, o) ||
        !args_duration(args, "--nop-interval", &t.limits.nop_interval_ns, o) ||
        !args_duration(args, "--nop-timeout", &t.limits.nop_timeout_ns, o) ||
        !args_duration(args, "--login-timeout", &t.limits.login_timeout_ns, o) ||
        !args_duration(args, "--stop-wait", &t.limits.stop_wait_ns, o) ||
        !count(args, "--connections-max", 1000000, &t.limits.connections_max, o) ||
        !count(args, "--logins-per-address", 1000000, &t.limits.logins_per_address_max, o))
        return false;
    *out = t;
    return true;
}
