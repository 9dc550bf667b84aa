/* The door: life, the tap, findings and counts. Every finding goes through finding(), and finding() looks at
 * the rule's row before it believes anybody. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "conformance/referee/internal.h"

/* ---- the table ---- */

#define INITIATOR                                    REFEREE_INITIATOR
#define TARGET                                       REFEREE_TARGET
#define X(tag, id, party, vantages, needs, sentence) {#tag, id, party, vantages, needs, sentence},
static const struct referee_rule rules[RULE_COUNT] = {REFEREE_RULES(X)};
#undef X

const struct referee_rule *referee_rules(size_t *count)
{
    *count = RULE_COUNT;
    return rules;
}

enum rule_id rule_find(const char *requirement, enum referee_party party)
{
    for (unsigned i = 0; i < RULE_COUNT; i++)
        if (rules[i].party == party && strcmp(rules[i].requirement, requirement) == 0)
            return (enum rule_id)i;
    return RULE_COUNT;
}

/* ---- findings ---- */

struct words say(const char *format, ...)
{
    struct words w;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w.text, sizeof w.text, format, args);
    va_end(args);
    return w;
}

void undecided(struct rconn *c)
{
    c->r->counts.undecidable++;
}

static bool decidable(const struct rconn *c, const struct referee_rule *rule)
{
    if (!(rule->vantages & (1u << c->r->options.vantage)))
        return false;
    if (rule->needs >= NEEDS_CONN && !c->whole)
        return false;
    return rule->needs < NEEDS_SESSION || (c->session && c->session->whole);
}

static void copy_text(char *to, size_t cap, const char *from)
{
    size_t len = strlen(from);
    len = len < cap ? len : cap - 1;
    memcpy(to, from, len);
    to[len] = 0;
}

void finding(struct rconn *c, enum rule_id id, const char *expected, const char *seen)
{
    finding_at(c, id, c->r->pdu ? c->r->pdu->number : c->pdus, expected, seen);
}

void finding_at(struct rconn *c, enum rule_id id, uint64_t pdu, const char *expected, const char *seen)
{
    struct referee *r = c->r;
    if (id >= RULE_COUNT || !decidable(c, &rules[id])) {
        undecided(c);
        return;
    }
    r->counts.findings++;
    r->by_rule[id]++;
    if (r->finding_count == r->options.findings_max)
        return; /* only counted */
    uint32_t at = (r->finding_first + r->finding_count++) % r->options.findings_max;
    struct referee_finding *f = &r->findings[at];
    f->requirement = rules[id].requirement;
    f->party = rules[id].party;
    f->conn = c->id;
    f->session = c->session ? c->session->number : 0;
    f->tsih = c->session ? c->session->tsih : 0;
    f->cid = c->cid;
    f->pdu = pdu;
    f->time_ns = c->time_ns;
    f->rule = rules[id].sentence;
    copy_text(f->expected, sizeof f->expected, expected);
    copy_text(f->seen, sizeof f->seen, seen);
}

bool referee_next(struct referee *r, struct referee_finding *out)
{
    if (r->finding_count == 0)
        return false;
    *out = r->findings[r->finding_first];
    r->finding_first = (r->finding_first + 1) % r->options.findings_max;
    r->finding_count--;
    return true;
}

void referee_count(const struct referee *r, struct referee_counts *out)
{
    *out = r->counts;
}

const struct referee_rule *referee_tally(const struct referee *r, size_t *at, uint64_t *count)
{
    while (*at < RULE_COUNT) {
        size_t id = (*at)++;
        if (r->by_rule[id]) {
            *count = r->by_rule[id];
            return &rules[id];
        }
    }
    return NULL;
}

char *referee_finding_text(const struct referee_finding *f, char *buf, size_t len)
{
    const char *party = f->party == REFEREE_INITIATOR ? "initiator" : "target";
    struct words session = say("session %" PRIu64 " (TSIH %u), ", f->session, f->tsih);
    snprintf(buf, len, "%s %s: %sconn %" PRIu64 " (CID %u) PDU %" PRIu64 ": %s; expected %s, seen %s",
             f->requirement, party, f->session ? session.text : "", f->conn, f->cid, f->pdu, f->rule,
             f->expected, f->seen);
    return buf;
}

/* ---- memory ---- */

/* A cap was met or memory is out: the referee says so once and judges no more of what it can't remember. */
static void tell_blind(struct rconn *c, const char *why)
{
    env_trace(c->r->env, TRACE_WARN, "referee.blind", NULL, why, c->id, c->pdus);
}

/* A connection is lost before its session is known: each session that may have more than one may have this
 * one. */
static void stranger_appears(struct referee *r)
{
    r->strangers++;
    list_for_each(it, &r->sessions)
    {
        struct rsession *s = list_entry(it, struct rsession, node);
        if (session_may_have_strangers(s))
            s->whole = false;
    }
}

void conn_blind(struct rconn *c)
{
    if (c->whole)
        tell_blind(c, "the state of a connection is not known any more");
    c->whole = false;
    if (c->session) {
        c->session->whole = false;
    } else if (!c->stranger) {
        c->stranger = true;
        stranger_appears(c->r);
    }
}

void *conn_alloc(struct rconn *c, size_t size)
{
    void *ptr = NULL;
    if (c->bytes + size <= REFEREE_CONN_BYTES_MAX)
        ptr = env_alloc(c->r->env, size);
    if (ptr)
        c->bytes += size;
    else
        conn_blind(c);
    return ptr;
}

void conn_release(struct rconn *c, void *ptr, size_t size)
{
    if (!ptr)
        return;
    env_free(c->r->env, ptr);
    c->bytes -= size;
}

void *session_alloc(struct rsession *s, size_t size)
{
    void *ptr = NULL;
    if (s->bytes + size <= REFEREE_SESSION_BYTES_MAX)
        ptr = env_alloc(s->r->env, size);
    if (ptr)
        s->bytes += size;
    else {
        if (s->whole)
            env_trace(s->r->env, TRACE_WARN, "referee.blind", NULL, "a session is too large to be followed",
                      s->tsih, s->bytes);
        s->whole = false;
    }
    return ptr;
}

void session_release(struct rsession *s, void *ptr, size_t size)
{
    env_free(s->r->env, ptr);
    s->bytes -= size;
}

/* ---- connections ---- */

static struct rconn *conn_find(struct referee *r, uint64_t id)
{
    list_for_each(it, &r->conns[id % REFEREE_BUCKETS])
    {
        struct rconn *c = list_entry(it, struct rconn, hash);
        if (c->id == id)
            return c;
    }
    return NULL;
}

static void conn_free(struct rconn *c)
{
    struct referee *r = c->r;
    r->strangers -= c->stranger;
    session_leave(c);
    for (int dir = 0; dir < 2; dir++) {
        split_fini(c, &c->split[dir]);
        conn_release(c, c->text[dir].buf, c->text[dir].cap);
    }
    keys_end(c);
    list_remove(&c->hash);
    env_free(r->env, c);
    r->conn_count--;
}

static void tap_open(struct tap *tap, uint64_t id, const struct io_addr *initiator,
                     const struct io_addr *target, uint64_t now_ns)
{
    struct referee *r = (struct referee *)tap;
    if (conn_find(r, id))
        return;
    struct rconn *c = r->conn_count < REFEREE_CONNS_MAX ? env_alloc(r->env, sizeof *c) : NULL;
    if (!c) {
        stranger_appears(r); /* for good: nobody will tell us of its end */
        return;
    }
    c->r = r;
    c->id = id;
    c->time_ns = now_ns;
    c->whole = true;
    c->must_refuse = RULE_COUNT;
    if (initiator)
        c->initiator = *initiator;
    if (target)
        c->target = *target;
    c->max_data[TO_T] = c->max_data[TO_I] = 8192; /* R7143-6.3-04 */
    c->split[TO_T].header_need = c->split[TO_I].header_need = PDU_BHS_LEN;
    list_init(&c->node);
    list_push_back(&r->conns[id % REFEREE_BUCKETS], &c->hash);
    r->conn_count++;
    r->counts.connections++;
}

/* A connection that may have begun before us: does it begin with a login? If not, neither its state nor its
 * digests are known, and bytes can't be cut into PDUs for sure. */
static void partial_start(struct rconn *c, enum tap_direction dir, const uint8_t *bytes, size_t len)
{
    if (!c->r->options.partial || c->phase != PHASE_NEW || c->pdus || c->split[dir].header_have || len == 0)
        return;
    if (dir == TO_T && (bytes[0] & 0x3f) == PDU_OP_login_request)
        return;
    conn_blind(c);
    c->split[TO_T].lost = c->split[TO_I].lost = true;
    undecided(c);
}

static void tap_bytes(struct tap *tap, uint64_t id, enum tap_direction dir, const struct io_vec *places,
                      uint32_t count, uint64_t len, uint64_t now_ns)
{
    struct rconn *c = conn_find((struct referee *)tap, id);
    if (!c)
        return;
    c->time_ns = now_ns;
    for (uint32_t i = 0; i < count && len; i++) {
        size_t n = places[i].len < len ? places[i].len : (size_t)len;
        partial_start(c, dir, places[i].ptr, n);
        split_feed(c, dir, places[i].ptr, n);
        len -= n;
    }
}

static void tap_close(struct tap *tap, uint64_t id, uint64_t now_ns)
{
    struct rconn *c = conn_find((struct referee *)tap, id);
    if (!c)
        return;
    c->time_ns = now_ns;
    duty_end(c);
    conn_free(c);
}

void referee_missing(struct referee *r, uint64_t id, enum tap_direction dir, uint64_t len)
{
    struct rconn *c = conn_find(r, id);
    if (c && !split_missing(c, dir, len))
        referee_gap(r, id, dir, true);
}

void referee_gap(struct referee *r, uint64_t id, enum tap_direction dir, bool resume)
{
    struct rconn *c = conn_find(r, id);
    if (!c)
        return;
    struct rsplit *s = &c->split[dir];
    conn_blind(c);
    undecided(c);
    s->header_have = 0;
    s->header_need = PDU_BHS_LEN;
    s->in_data = false;
    s->lost = s->lost || !resume;
    if (s->sync) /* a search begins anew; where the next bytes are a PDU, it finds that */
        sync_forget(c, dir);
}

/* ---- life ---- */

int referee_new(const struct env *env, const struct referee_options *options, struct referee **out)
{
    struct referee *r = env_alloc(env, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->env = env;
    r->options = *options;
    if (r->options.findings_max == 0)
        r->options.findings_max = 1;
    r->findings = env_alloc(env, r->options.findings_max * sizeof *r->findings);
    if (!r->findings) {
        env_free(env, r);
        return ERR_NOMEM;
    }
    r->tap = (struct tap){tap_open, tap_bytes, tap_close};
    list_init(&r->sessions);
    for (unsigned i = 0; i < REFEREE_BUCKETS; i++)
        list_init(&r->conns[i]);
    *out = r;
    return 0;
}

void referee_free(struct referee *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < REFEREE_BUCKETS; i++)
        list_for_each_safe(it, &r->conns[i]) conn_free(list_entry(it, struct rconn, hash));
    list_for_each_safe(it, &r->sessions) session_free(list_entry(it, struct rsession, node));
    env_free(r->env, r->findings);
    env_free(r->env, r);
}

struct tap *referee_tap(struct referee *r)
{
    return &r->tap;
}
