/* The referee: a passive checker of iSCSI sessions. It sees both directions of every connection, shares only
 * the codec (common/iscsi, common/scsi) with the engines, and knows every rule of RFC 7143 and RFC 7144 that
 * can be seen on the wire. It is a tap, so the simulator, the target service, the initiator library and the
 * capture reader feed it alike.
 *
 * Each rule is a row of one table (rules.h): requirement id, whose duty it is (initiator or target), from
 * which vantages it can be decided, and a sentence. Where a rule cannot be decided (mid-stream start, loss in
 * the capture, the vantage) the referee counts it as undecidable and says nothing. */
#ifndef LUNETTE_CONFORMANCE_REFEREE_H
#define LUNETTE_CONFORMANCE_REFEREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/env.h"
#include "common/capture/tap.h"

/* Where the bytes were seen. At an end the two directions are ordered as that end saw them: what the peer
 * knew when it sent is not known. BETWEEN: a capture on the way, or the simulator's network: neither end's
 * order is exact. */
enum referee_vantage { REFEREE_AT_INITIATOR, REFEREE_AT_TARGET, REFEREE_BETWEEN };

enum referee_party { REFEREE_INITIATOR, REFEREE_TARGET };

/* A row of the table. */
struct referee_rule {
    const char *tag;         /* unique */
    const char *requirement; /* several rows may show parts of one requirement */
    enum referee_party party;
    unsigned vantages; /* bit 1 << enum referee_vantage: where it can be decided */
    unsigned needs;    /* NEEDS_* (rules.h): how much must have been seen */
    const char *sentence;
};
const struct referee_rule *referee_rules(size_t *count);

struct referee_finding {
    const char *requirement;  /* id, static */
    enum referee_party party; /* who broke it */
    uint64_t conn;            /* the tap's number */
    uint64_t session;         /* the referee's number, from 1; 0: the connection is in none yet */
    uint16_t tsih, cid;       /* of session and connection, as far as they are known */
    uint64_t pdu; /* number of the PDU on its connection, both directions counted together, from 1 */
    uint64_t time_ns;
    const char *rule; /* static sentence */
    char expected[160], seen[160];
};

struct referee_options {
    enum referee_vantage vantage;
    uint32_t findings_max; /* kept; more are only counted */
    bool filtered; /* connections may not be shown at all: a session for several is not known to be whole */
    bool partial;  /* connections may begin in mid-stream: PDUs are looked for, unknown state is not judged */
};

struct referee_counts {
    uint64_t pdus, findings, undecidable, connections, sessions;
};

struct referee;

int referee_new(const struct env *env, const struct referee_options *options, struct referee **out);
void referee_free(struct referee *referee);
/* Owned by the referee; valid until referee_free. */
struct tap *referee_tap(struct referee *referee);
/* Bytes of this direction were lost here (capture gap, overrun): resynchronises at `resume` if the next PDU
 * boundary is known to be there, else the direction is given up. */
void referee_gap(struct referee *referee, uint64_t conn, enum tap_direction direction, bool resume);
/* `len` bytes of this direction are missing, and the next ones begin a PDU. Inside a data segment nothing but
 * its contents is lost: the header is judged. Else as referee_gap. */
void referee_missing(struct referee *referee, uint64_t conn, enum tap_direction direction, uint64_t len);
/* The next finding in order of discovery; false: none. */
bool referee_next(struct referee *referee, struct referee_finding *out);
void referee_count(const struct referee *referee, struct referee_counts *out);
/* Findings by rule, kept or only counted: the next rule that has any, from *at (0 at first) on; NULL: no
 * more. */
const struct referee_rule *referee_tally(const struct referee *referee, size_t *at, uint64_t *findings);
/* "R7143-4.2.2.1-13 target: session 2 (TSIH 7), conn 1 (CID 0) PDU 17: sentence; expected ..., seen ..." into
 * buf; returns buf. */
char *referee_finding_text(const struct referee_finding *finding, char *buf, size_t len);

#endif
