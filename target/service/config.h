/* The configuration as a checked JSON tree: what config.json holds, what verbs change, what snapshots are
 * made from.
 *
 *   { "schema_version": 1,
 *     "targets": [ { "name", "alias", "luns": [ { "lun", "spec", "serial", "naa" } ],
 *                    "users": [ { "name", "secret", "mutual_name", "mutual_secret" } ],
 *                    "acls": [ { "initiator", "net" } ],
 *                    "redirects": [ { "address", "group", "permanent" } ],
 *                    "limits": { "max_connections", ... as in limits.h } } ],
 *     "portals": [ { "address", "group", "advertise" } ],
 *     "discovery_users": [ as users ],
 *     "initiators": [ { "initiator", "nop_interval", "nop_timeout", "target_reset" } ] }
 *
 * One table (config.c) names every key with its type and check. Unknown keys are errors: a misspelt "acls"
 * must not open a target to everybody. A `file:` path that does not begin with / is relative to the state
 * directory. */
#ifndef LUNETTE_SERVICE_CONFIG_H
#define LUNETTE_SERVICE_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/service/outcome.h"

#define CONFIG_SCHEMA_VERSION 1
#define CONFIG_LUN_MAX        16383u
#define CONFIG_SECRET_MIN     12u  /* bytes: RFC 7143 9.2.1 wants 96 bits */
#define CONFIG_SECRET_MAX     255u /* bytes */

json_t *config_empty(void); /* new reference */
/* Parses and checks. `file` names the text in messages: "FILE:LINE: what" for syntax, "FILE: targets[0].name:
 * what" for meaning. New reference, or NULL with an outcome. */
json_t *config_parse(const char *text, size_t len, const char *file, struct outcome *o);
/* Checks a whole tree: types, values, and that names, LUNs, identities and portals are unique. Missing lists
 * are added, so readers find them. */
bool config_check(json_t *root, struct outcome *o);

/* ---- reading a checked tree (borrowed references) ---- */
json_t *config_target(const json_t *root, const char *name); /* any spelling of the name; NULL when absent */
json_t *config_lun(const json_t *target, uint32_t lun);
/* The object whose string member `key` equals `value`; *index (may be NULL) says where. */
json_t *config_find(const json_t *array, const char *key, const char *value, size_t *index);
const char *config_text(const json_t *object, const char *key); /* "" when absent */
uint64_t config_number(const json_t *object, const char *key, uint64_t otherwise);

/* Hexadecimal digits of a 16-byte NAA identifier of type 6, with or without "naa." or "0x". */
bool config_naa_parse(const char *text, uint8_t naa[16]);

#endif
