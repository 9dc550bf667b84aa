/* The public library: connect to a LUN, read, write, send any CDB. Asynchronous inside: a client runs on one
 * `struct io`; the synchronous calls at the end run that io until their answer is there.
 *
 * A client is one session at a time, with up to options.connections connections. Network cuts shorter than
 * options.replacement_timeout are invisible. Where the target grants ErrorRecoveryLevel 2 the engine moves a
 * lost connection's commands to another one, within the session; else, and when that fails, the library logs
 * in again and re-issues what was not answered (only commands that are safe to repeat as a whole: all block
 * reads, writes, verifies, zeroes, cache syncs, and inquiries). No write is ever reported done that was not
 * answered GOOD. But GOOD without FUA means the target's cache: who writes so and flushes later asks
 * lnt_client_reconnects in between, because a target that was away may have lost what it had not been told to
 * flush. */
#ifndef LUNETTE_INITIATOR_LIB_LUNETTE_H
#define LUNETTE_INITIATOR_LIB_LUNETTE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/io/io.h"
#include "initiator/iscsi/initiator.h"
#include "initiator/iscsi/states.h"

#define LNT_URL_MAX 1024

struct lnt_url { /* iscsi://[user[%secret]@]host[:port]/IQN/LUN; LUN may be missing for whole-target commands
                  */
    char user[INI_NAME_MAX];
    uint8_t secret[INI_SECRET_MAX];
    uint32_t secret_len;
    char portal[300];          /* "host:port", resolvable by addr_resolve */
    char target[INI_NAME_MAX]; /* "" when the URL names only a portal */
    int32_t lun;               /* -1: none */
};
/* Percent-encoding is understood in user and secret. `why` gets one sentence. ERR_SYNTAX, ERR_RANGE. */
int lnt_url_parse(const char *text, struct lnt_url *out, char *why, size_t why_len);
bool lnt_url_is(const char *text); /* starts with iscsi:// */

#define LNT_CONNECTIONS_MAX 64u
#define LNT_REDIRECTS_MAX   16u

struct tap;

struct lnt_options {
    struct ini_options session; /* names, CHAP, keys; MaxConnections is taken from `connections` */
    uint32_t connections; /* of a session, 1 .. 64 (0: 1); how many there are is what the target grants */
    uint64_t connect_timeout_ns;
    /* How long a cut may last before commands fail, counted from when commands last went through; 0: fail at
     * once (then recovery level 2 is not offered either). */
    uint64_t replacement_timeout_ns;
    uint64_t command_timeout_ns; /* 0: none */
    uint32_t redirects_max;      /* hops of one login that are followed, at most LNT_REDIRECTS_MAX; 0: none */
    /* Further connections are spread over the addresses that the target names for the portal group of the
     * first (SendTargets within the session), else all go where the first one went. */
    bool spread;
    io_resolver *resolver; /* of host names, on a helper thread; NULL: addr_resolve */
    /* Sees all bytes of all connections; borrowed, NULL: none. `tap_connections` counts its connections: one
     * counter for all clients that share a tap; borrowed, needed with a tap. */
    struct tap *tap;
    uint64_t *tap_connections;
};
/* Sensible defaults; initiator name from the host (LUNETTE_INITIATOR_NAME, /etc/iscsi/initiatorname.iscsi,
 * else made from the host name). */
void lnt_options_default(struct lnt_options *options);

struct lnt_client;

struct lnt_command { /* one SCSI command through the client; same ownership rules as ini_command */
    struct ini_command scsi;
    bool repeatable;                           /* may be re-issued after a reconnect */
    void (*done)(struct lnt_command *command); /* from io_run */
    void *owner;
    int error; /* 0: scsi.outcome is STATUS; else why no status could be had (ERR_TIMEOUT, ERR_CLOSED,
                  ERR_AUTH ...) */
    /* the client's own */
    struct list_node node;
    uint64_t deadline_ns;
    uint64_t busy_until_ns; /* how long BUSY makes it go again; 0: it has not met it */
    uint32_t attempts;
    bool timed_out;
};

/* What happened to the session that no command's outcome tells. */
enum lnt_event_kind {
    LNT_EVENT_LOST,             /* the session is gone; the library is getting another one */
    LNT_EVENT_RESTORED,         /* there is a session again */
    LNT_EVENT_CONNECTION_LOST,  /* one of several connections, or the session waits for its only one (level 2)
                                 */
    LNT_EVENT_CONNECTION_UP,    /* a further connection, or one that is there again */
    LNT_EVENT_REDIRECTED,       /* the target sends us elsewhere */
    LNT_EVENT_LUNS_CHANGED,     /* REPORTED LUNS DATA HAS CHANGED: what there is should be asked anew */
    LNT_EVENT_CAPACITY_CHANGED, /* CAPACITY DATA HAS CHANGED */
    LNT_EVENT_SENSE,            /* other asynchronous SCSI sense data */
    LNT_EVENT_LOGOUT_REQUESTED, /* the target asks us to leave: done, and the session comes back */
    LNT_EVENT_DROPPED,          /* the target says that it drops a connection or the session */
    LNT_EVENT_NEGOTIATE         /* the target wants to negotiate parameters anew */
};
struct lnt_event {
    enum lnt_event_kind kind;
    int32_t lun;      /* of LUNS_CHANGED .. SENSE; -1: not told */
    const char *text; /* one sentence; borrowed during the call */
};

struct lnt_counters {          /* since lnt_client_new, over all sessions */
    uint64_t sessions;         /* logins that made a session */
    uint64_t connections_lost; /* of sessions that were up */
    uint64_t reissued;         /* commands that went again in a later session */
    uint64_t redirects;
    struct ini_counters recovery;       /* within sessions */
    struct ini_transitions transitions; /* of RFC 7143 chapter 8, of sessions that have ended */
};

/* `url` decides portal, target, user; options the rest. Nothing is connected yet. ERR_INVALID: the ISID is of
 * the reserved type. ERR_NOMEM. */
int lnt_client_new(const struct env *env, struct io *io, const struct lnt_url *url,
                   const struct lnt_options *options, struct lnt_client **out);
void lnt_client_free(struct lnt_client *client); /* closed, no command in flight */
/* Starts (or restarts) connecting; commands may be submitted at once: they wait. `done` says how the first
 * login went. */
void lnt_client_open(struct lnt_client *client, void (*done)(void *arg, int err), void *arg);
/* Logs out when it can; commands in flight end first. */
void lnt_client_close(struct lnt_client *client, void (*done)(void *arg), void *arg);
void lnt_client_submit(struct lnt_client *client, struct lnt_command *command);
/* Who is told of events, from io_run; NULL: nobody. The callback may submit commands; it must not close the
 * client. */
void lnt_client_set_event(struct lnt_client *client, void (*event)(void *arg, const struct lnt_event *event),
                          void *arg);
/* Why the last login or connect failed, in words; "" when it did not. Borrowed until the client is freed or
 * the next failure. */
const char *lnt_client_error(const struct lnt_client *client);
const struct key_params *lnt_client_params(const struct lnt_client *client);
uint64_t lnt_client_reconnects(const struct lnt_client *client);  /* sessions after the first */
uint32_t lnt_client_connections(const struct lnt_client *client); /* that are up now */
void lnt_client_counters(const struct lnt_client *client, struct lnt_counters *out);

/* ---- synchronous face: each runs the client's io until answered; 0 or enum err; lnt_client_error has the
 * words ---- */
int lnt_open(struct lnt_client *client);
int lnt_close(struct lnt_client *client);
int lnt_execute(struct lnt_client *client, struct lnt_command *command);

/* One NOP-Out round trip on an open client, on any of its connections. */
int lnt_ping(struct lnt_client *client, uint64_t *round_trip_ns);
/* The same on connection `index` (0 .. options.connections - 1). ERR_NOTFOUND: it is not up. */
int lnt_ping_connection(struct lnt_client *client, uint32_t index, uint16_t *cid, uint64_t *round_trip_ns);
/* A task management function (RFC 7143 11.5.1, RFC 7144) that names no task; the target's response code.
 * ERR_CLOSED when the session ended before it came, as it may for resets. */
int lnt_task_management(struct lnt_client *client, uint8_t function, int32_t lun, uint8_t *response);

struct lnt_target { /* one discovered target */
    struct list_node node;
    char name[INI_NAME_MAX];
    char address[300]; /* "host:port,tag" */
};
/* Discovery session at url->portal: SendTargets=All. The list (struct lnt_target, heap from env) is the
 * caller's. */
int lnt_discover(const struct env *env, struct io *io, const struct lnt_url *url,
                 const struct lnt_options *options, struct list_node *targets, char *why, size_t why_len);
void lnt_targets_free(const struct env *env, struct list_node *targets);

struct lnt_disk { /* what read capacity and VPD say */
    uint64_t blocks;
    uint32_t block_size, physical_block_size; /* bytes */
    bool thin, can_unmap, can_write_same;
    bool reads_zeros;             /* LBPRZ: unmapped blocks read as zeros */
    uint32_t max_transfer_blocks; /* 0: no limit told */
    uint32_t max_unmap_blocks, max_unmap_descriptors;
    uint64_t max_write_same_blocks;
    char vendor[9], product[17], revision[5], serial[128];
};
/* Opens, waits out the first unit attentions, reads capacity, block limits and provisioning. */
int lnt_disk_probe(struct lnt_client *client, int32_t lun, struct lnt_disk *out);
/* Fill a command for block I/O (16-byte CDBs when needed). lba and blocks in units of the disk's block size.
 */
void lnt_command_read(struct lnt_command *c, int32_t lun, uint64_t lba, uint32_t blocks, uint32_t block_size,
                      struct io_vec *vec, uint32_t count);
void lnt_command_write(struct lnt_command *c, int32_t lun, uint64_t lba, uint32_t blocks, uint32_t block_size,
                       struct io_vec *vec, uint32_t count, bool fua);
void lnt_command_cdb(struct lnt_command *c, int32_t lun, const uint8_t *cdb, uint16_t cdb_len,
                     struct io_vec *in, uint32_t in_len, struct io_vec *out, uint32_t out_len);
/* "CHECK CONDITION: ILLEGAL REQUEST, logical block address out of range (05/21/00)" into buf; returns buf. */
char *lnt_command_text(const struct lnt_command *c, char *buf, size_t len);

#endif
