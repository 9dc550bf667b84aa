/* What the target engine needs to know about targets, portals and users: an immutable snapshot. The host
 * builds one from its configuration and gives it to every reactor; sessions hold a reference to the snapshot
 * they logged in under and adopt newer ones. The reference count is atomic: snapshots are shared by reactors.
 */
#ifndef LUNETTE_TARGET_ISCSI_CONFIG_H
#define LUNETTE_TARGET_ISCSI_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/iscsi/keys.h"
#include "target/scsi/device.h"

#define TGT_NAME_MAX   224u
#define TGT_SECRET_MAX 256u /* bytes */

struct tgt_user { /* CHAP credentials; secrets are wiped when the snapshot is freed */
    char name[TGT_NAME_MAX];
    char initiator[TGT_NAME_MAX]; /* name or pattern with *: who may use this user; "" = anybody */
    uint8_t secret[TGT_SECRET_MAX];
    uint32_t secret_len;
    /* mutual: what the target answers when the initiator challenges it; mutual_name "" = mutual refused */
    char mutual_name[TGT_NAME_MAX];
    uint8_t mutual_secret[TGT_SECRET_MAX];
    uint32_t mutual_secret_len;
};

struct tgt_acl {                  /* one line admits: every condition that is given must hold */
    char initiator[TGT_NAME_MAX]; /* name or pattern with *; "" = any */
    bool has_net;
    struct addr_net net;
};

struct tgt_portal {
    struct io_addr listen; /* real bound address (port filled in); may be a wildcard */
    char advertise[300]; /* "HOST:PORT" or "[V6]:PORT" to tell initiators; "" = listen, or for a wildcard the
                            address reached */
    uint16_t group;      /* target portal group tag, >= 1 */
};

struct tgt_limits {
    uint32_t connections_max;        /* whole service */
    uint32_t logins_per_address_max; /* connections of one address that have not finished login */
    uint64_t login_timeout_ns;
    uint64_t nop_interval_ns; /* 0: never ping */
    uint64_t nop_timeout_ns;
    uint64_t stop_wait_ns;   /* how long initiators have to log out when the target stops */
    uint32_t command_window; /* commands a session may have outstanding (MaxCmdSN - ExpCmdSN + 1) */
    uint32_t text_len_max;   /* bytes of one text negotiation */
};
void tgt_limits_default(struct tgt_limits *limits);

/* Where to go instead (RFC 7143 11.13.5). */
struct tgt_redirect {
    char address[300]; /* HOST[:PORT] or [V6][:PORT], without a portal group tag */
    uint16_t group;    /* for logins through portals of this group; TGT_GROUP_ANY: all others */
    bool permanent;
};
#define TGT_GROUP_ANY 0u /* groups of ours begin with 1 */

/* How initiators of a name are treated. */
struct tgt_rule {
    char initiator[TGT_NAME_MAX]; /* name or pattern with * */
    bool has_interval, has_timeout;
    uint64_t nop_interval_ns; /* 0: never ping */
    uint64_t nop_timeout_ns;
    bool no_target_reset; /* may not reset the whole target */
};

struct tgt_target {
    char name[TGT_NAME_MAX]; /* normalised */
    char alias[256];
    struct scsi_lun_map map;
    struct tgt_user *users; /* any: CHAP is required */
    uint32_t user_count;
    struct tgt_acl *acls; /* none: everybody may log in; else one must admit */
    uint32_t acl_count;
    struct key_config keys;         /* limits and preferences of negotiation */
    struct tgt_redirect *redirects; /* at most one for each group */
    uint32_t redirect_count;
    uint32_t index; /* position in the snapshot */
};

struct tgt_config {
    atomic_uint refs;
    const struct env *env;
    uint64_t generation;
    struct tgt_target *targets;
    uint32_t target_count;
    struct tgt_portal *portals;
    uint32_t portal_count;
    struct tgt_user *discovery_users; /* any: discovery needs CHAP */
    uint32_t discovery_user_count;
    struct tgt_limits limits;
    struct tgt_rule *rules; /* the first that fits counts */
    uint32_t rule_count;
};

/* An empty snapshot with one reference. All arrays are filled by the host with memory from env. */
int tgt_config_new(const struct env *env, struct tgt_config **out);
void tgt_config_ref(struct tgt_config *config);
void tgt_config_unref(
    struct tgt_config *config); /* the last one wipes secrets and frees all arrays; NULL is fine */
/* By name, normalised comparison; NULL when there is none. */
const struct tgt_target *tgt_config_find(const struct tgt_config *config, const char *name);
/* The first rule that fits the name; NULL: none. */
const struct tgt_rule *tgt_config_rule(const struct tgt_config *config, const char *initiator);
/* When the initiator is pinged and how long it has to answer: the service's limits, changed by its rule. */
struct tgt_pings {
    uint64_t interval_ns; /* 0: never */
    uint64_t timeout_ns;
};
struct tgt_pings tgt_config_pings(const struct tgt_config *config, const char *initiator);
/* Where logins through this portal group are to be sent: the group's own redirect before the general one;
 * NULL: they stay here. */
const struct tgt_redirect *tgt_target_redirect(const struct tgt_target *target, uint16_t group);
/* May this initiator, from this address, log in to the target (ACL only, not CHAP)? */
bool tgt_target_admits(const struct tgt_target *target, const char *initiator, const struct io_addr *from);

#endif
