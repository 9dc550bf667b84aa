/* Options that shape sessions. */
#include "target/service/tuning.h"

#include <string.h>
#include <strings.h>

/* Ranges of RFC 7143 chapter 13. */
#define LEN_MIN    512u
#define LEN_MAX    16777215u
#define WINDOW_MAX 1024u
#define R2T_MAX    65535u

void tuning_default(struct tuning *tuning)
{
    key_config_default(&tuning->keys);
    tgt_limits_default(&tuning->limits);
}

static bool length(const struct args *args, const char *name, uint32_t *out, struct outcome *o)
{
    uint64_t value = *out;
    if (!args_size(args, name, &value, o))
        return false;
    /* "16M" is one more than the largest that the protocol can say: taken as meant. */
    if (value == (uint64_t)LEN_MAX + 1)
        value = LEN_MAX;
    if (value < LEN_MIN || value > LEN_MAX)
        return outcome_refuse(o, "%s is between %u and %u bytes", name, LEN_MIN, LEN_MAX);
    *out = (uint32_t)value;
    return true;
}

static bool count(const struct args *args, const char *name, uint32_t max, uint32_t *out, struct outcome *o)
{
    uint64_t value = *out;
    if (!args_number(args, name, 1, max, &value, o))
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool digest(const struct args *args, const char *name, struct key_choices *out, struct outcome *o)
{
    const char *text = args_value(args, name);
    if (!text)
        return true;
    struct key_choices made = {0};
    bool fine = *text != '\0';
    for (const char *at = text; fine && *at;) {
        size_t len = strcspn(at, ",");
        bool none = len == 4 && strncasecmp(at, "none", 4) == 0,
             crc = len == 6 && strncasecmp(at, "crc32c", 6) == 0;
        uint8_t value = crc ? KEY_DIGEST_CRC32C : KEY_DIGEST_NONE;
        fine = (none || crc) && made.count < KEY_DIGEST_COUNT && (made.count == 0 || made.value[0] != value);
        if (fine)
            made.value[made.count++] = value;
        at += len + (at[len] == ',');
    }
    if (!fine)
        return outcome_refuse(o, "%s is none, crc32c or both with a comma, not \"%s\"", name, text);
    *out = made;
    return true;
}

bool tuning_parse(const struct args *args, struct tuning *out, struct outcome *o)
{
    struct tuning t;
    tuning_default(&t);
    if (!args_yes_no(args, "--initial-r2t", &t.keys.initial_r2t, o) ||
        !args_yes_no(args, "--immediate-data", &t.keys.immediate_data, o) ||
        !length(args, "--max-burst", &t.keys.max_burst_length, o) ||
        !length(args, "--first-burst", &t.keys.first_burst_length, o) ||
        !length(args, "--max-recv", &t.keys.max_recv_data_segment_length, o) ||
        !count(args, "--max-outstanding-r2t", R2T_MAX, &t.keys.max_outstanding_r2t, o) ||
        !count(args, "--command-window", WINDOW_MAX, &t.limits.command_window, o) ||
        !digest(args, "--header-digest", &t.keys.header_digest, o) ||
        !digest(args, "--data-digest", &t.keys.data_digest, o) ||
        !args_duration(args, "--nop-interval", &t.limits.nop_interval_ns, o) ||
        !args_duration(args, "--nop-timeout", &t.limits.nop_timeout_ns, o) ||
        !args_duration(args, "--login-timeout", &t.limits.login_timeout_ns, o) ||
        !count(args, "--connections-max", 1000000, &t.limits.connections_max, o) ||
        !count(args, "--logins-per-address", 1000000, &t.limits.logins_per_address_max, o))
        return false;
    /* FirstBurstLength must not exceed MaxBurstLength: a smaller burst that was asked for pulls the other
     * along. */
    if (t.keys.first_burst_length > t.keys.max_burst_length) {
        if (args_value(args, "--first-burst"))
            return outcome_refuse(o, "--first-burst must not be larger than --max-burst");
        t.keys.first_burst_length = t.keys.max_burst_length;
    }
    *out = t;
    return true;
}
