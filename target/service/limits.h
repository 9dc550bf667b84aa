/* Limits of negotiation by name: the same table for the options of `serve`, for `set IQN NAME=VALUE` and for
 * the "limits" object of a target in config.json. Values there are numbers, booleans, or lists in one string.
 */
#ifndef LUNETTE_SERVICE_LIMITS_H
#define LUNETTE_SERVICE_LIMITS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/iscsi/keys.h"
#include "target/service/args.h"

#define LIMITS_CONNECTIONS_MAX 64u

/* The service's own defaults: what this target can do, as far as that is wise without being asked. */
void limits_default(struct key_config *keys);
/* "NAME=VALUE" to a member of `values` (config.json's names): null for VALUE "default". */
bool limits_set(json_t *values, const char *text, struct outcome *o);
void limits_help(FILE *out); /* the names and what they take */
/* What is wrong with a "limits" object, in why[len]; NULL when it is fine. */
const char *limits_check(const json_t *limits, char *why, size_t len);
/* Lays the object over `keys`. Checked before; NULL is fine. */
void limits_apply(const json_t *limits, struct key_config *keys);
/* The options of the same names, over *keys. */
bool limits_args(const struct args *args, struct key_config *keys, struct outcome *o);

#define LIMITS_OPTIONS                                                                                       \
    {"--max-connections", "N", "MaxConnections: connections of one session (default 8, at most 64)"},        \
        {"--recovery-level", "0|1|2", "ErrorRecoveryLevel: the highest that is agreed to (default 2)"},      \
        {"--protocol-level", "1|2", "iSCSIProtocolLevel: 2 has the features of RFC 7144 (default 2)"},       \
        {"--task-reporting", "LIST", "accepted: RFC3720, ResponseFence, FastAbort, with commas"},            \
        {"--time2wait", "TIME", "DefaultTime2Wait: before a lost connection is replaced"},                   \
        {"--time2retain", "TIME", "DefaultTime2Retain: how long tasks wait for that"},                       \
        {"--initial-r2t", "yes|no", "wait for an R2T before the first data (default no)"},                   \
        {"--immediate-data", "yes|no", "allow data in the command itself (default yes)"},                    \
        {"--max-burst", "SIZE", "MaxBurstLength"}, {"--first-burst", "SIZE", "FirstBurstLength"},            \
        {"--max-recv", "SIZE", "MaxRecvDataSegmentLength: the largest data segment taken"},                  \
        {"--max-outstanding-r2t", "N", "MaxOutstandingR2T"},                                                 \
        {"--header-digest", "LIST", "accepted, best first: none, crc32c or both with a comma"},              \
    {                                                                                                        \
        "--data-digest", "LIST", "as --header-digest"                                                        \
    }

#endif
