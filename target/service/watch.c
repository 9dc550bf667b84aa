/* Capture and referee of a running service. A connection changes its reactor once, and the referee has to see
 * all of it: so there is one referee, behind a lock. It is a tool for finding faults; nobody asks it to be
 * fast. */
#include "target/service/watch.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/capture/capture.h"
#include "common/capture/tap_fan.h"
#include "conformance/referee/referee.h"
#include "target/scsi/device.h"

#define WATCH_FINDINGS_MAX 10000u /* kept by the referee between two looks */
#define WATCH_LINES_MAX    100u   /* of one connection: a hostile peer must not fill the log */
#define WATCH_BUCKETS      256u

struct watched { /* one connection */
    struct watched *next;
    uint64_t number, pdus, findings;
    char peer[IO_ADDR_TEXT_MAX];
};

struct umpire {     /* the referee as a tap of several threads */
    struct tap tap; /* first */
    pthread_mutex_t lock;
    struct referee *referee;
    uint64_t pdus; /* counted when it was last called */
    struct watched *conns[WATCH_BUCKETS];
};

struct watch {
    struct capture *capture; /* or NULL */
    bool has_umpire;
    struct umpire umpire;
    struct tap_fan fans[SCSI_REACTORS_MAX];
    struct tap *taps[SCSI_REACTORS_MAX];
};

/* ---- the referee ---- */

static struct watched **watched_slot(struct umpire *u, uint64_t number)
{
    struct watched **at = &u->conns[number % WATCH_BUCKETS];
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

/* Findings since the last look, each to its connection. */
static void report(struct umpire *u)
{
    struct referee_finding finding;
    char text[768];
    while (referee_next(u->referee, &finding)) {
        struct watched *conn = *watched_slot(u, finding.conn);
        uint64_t nth = conn ? ++conn->findings : 1;
        if (nth <= WATCH_LINES_MAX)
            log_warn("referee", "%s%s%s", conn ? conn->peer : "", conn ? ": " : "",
                     referee_finding_text(&finding, text, sizeof text));
        if (nth == WATCH_LINES_MAX)
            log_warn("referee", "connection %" PRIu64 ": no more findings of it are logged, only counted",
                     finding.conn);
    }
}

static void umpire_open(struct tap *tap, uint64_t conn, const struct io_addr *initiator,
                        const struct io_addr *target, uint64_t now_ns)
{
    struct umpire *u = (struct umpire *)tap;
    struct watched *watched = calloc(1, sizeof *watched);
    pthread_mutex_lock(&u->lock);
    if (watched) {
        struct watched **slot = watched_slot(u, conn);
        watched->number = conn;
        addr_format(initiator, watched->peer, sizeof watched->peer);
        *slot = watched;
    }
    struct tap *to = referee_tap(u->referee);
    to->open(to, conn, initiator, target, now_ns);
    pthread_mutex_unlock(&u->lock);
}

static void umpire_bytes(struct tap *tap, uint64_t conn, enum tap_direction direction,
                         const struct io_vec *places, uint32_t count, uint64_t len, uint64_t now_ns)
{
    struct umpire *u = (struct umpire *)tap;
    struct referee_counts counts;
    pthread_mutex_lock(&u->lock);
    struct tap *to = referee_tap(u->referee);
    to->bytes(to, conn, direction, places, count, len, now_ns);
    referee_count(u->referee, &counts);
    struct watched *watched = *watched_slot(u, conn);
    if (watched)
        watched->pdus += counts.pdus - u->pdus;
    u->pdus = counts.pdus;
    report(u);
    pthread_mutex_unlock(&u->lock);
}

static void umpire_close(struct tap *tap, uint64_t conn, uint64_t now_ns)
{
    struct umpire *u = (struct umpire *)tap;
    pthread_mutex_lock(&u->lock);
    struct tap *to = referee_tap(u->referee);
    to->close(to, conn, now_ns);
    report(u);
    struct watched **slot = watched_slot(u, conn), *watched = *slot;
    if (watched) {
        *slot = watched->next;
        log_line(watched->findings ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "referee",
                 "%s: connection %" PRIu64 " is over: %" PRIu64 " PDUs, %" PRIu64 " findings", watched->peer,
                 conn, watched->pdus, watched->findings);
        free(watched);
    }
    pthread_mutex_unlock(&u->lock);
}

static int umpire_init(struct umpire *u)
{
    struct referee_options options = {.vantage = REFEREE_AT_TARGET, .findings_max = WATCH_FINDINGS_MAX};
    int err = referee_new(env_host(), &options, &u->referee);
    if (err)
        return err;
    u->tap = (struct tap){umpire_open, umpire_bytes, umpire_close};
    pthread_mutex_init(&u->lock, NULL);
    return 0;
}

/* How often each rule was broken, also beyond what was logged. */
static void tell_tally(const struct referee *referee)
{
    const struct referee_rule *rule;
    uint64_t findings;
    for (size_t at = 0; (rule = referee_tally(referee, &at, &findings)) != NULL;)
        log_warn("referee", "%s %s: %" PRIu64 " findings: %s", rule->requirement,
                 rule->party == REFEREE_INITIATOR ? "initiator" : "target", findings, rule->sentence);
}

static void umpire_fini(struct umpire *u)
{
    struct referee_counts counts;
    report(u);
    referee_count(u->referee, &counts);
    tell_tally(u->referee);
    log_line(counts.findings ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "referee",
             "%" PRIu64 " PDUs of %" PRIu64 " connections: %" PRIu64 " findings, %" PRIu64
             " undecidable, %" PRIu64 " sessions",
             counts.pdus, counts.connections, counts.findings, counts.undecidable, counts.sessions);
    referee_free(u->referee);
    pthread_mutex_destroy(&u->lock);
    for (size_t i = 0; i < WATCH_BUCKETS; i++) {
        while (u->conns[i]) {
            struct watched *watched = u->conns[i];
            u->conns[i] = watched->next;
            free(watched);
        }
    }
}

/* ---- both ---- */

static bool capture_start(const struct args *args, uint32_t reactors, struct watch *w, struct outcome *o)
{
    struct capture_options options;
    char why[512];
    capture_options_default(&options);
    options.application = "lunette-target";
    options.at_target = true;
    options.taps = reactors;
    for (unsigned i = 0; i < args->given_count; i++) {
        int err =
            capture_option_take(&options, args->given[i].name + 2, args->given[i].value, why, sizeof why);
        if (err && err != ERR_NOTFOUND)
            return outcome_refuse(o, "%s", why);
    }
    static const char *const parts[] = {"--capture-snap", "--capture-ring", "--capture-session",
                                        "--capture-no-secrets", "--capture-buffer"};
    for (size_t i = 0; !options.path && i < sizeof parts / sizeof *parts; i++)
        if (args_flag(args, parts[i]))
            return outcome_refuse(o, "%s goes with --capture FILE", parts[i]);
    if (options.path && capture_open(env_host(), &options, &w->capture, why, sizeof why) != 0)
        return outcome_fail(o, "cannot capture: %s", why);
    return true;
}

bool watch_open(const struct args *args, uint32_t reactors, struct watch **out, struct outcome *o)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return outcome_fail(o, "out of memory");
    if (!capture_start(args, reactors, w, o)) {
        free(w);
        return false;
    }
    if (args_flag(args, "--referee") && umpire_init(&w->umpire) != 0) {
        watch_close(w);
        return outcome_fail(o, "out of memory");
    }
    w->has_umpire = args_flag(args, "--referee");
    for (uint32_t i = 0; i < reactors; i++) {
        tap_fan_init(&w->fans[i]);
        tap_fan_add(&w->fans[i], w->capture ? capture_tap(w->capture, i) : NULL);
        tap_fan_add(&w->fans[i], w->has_umpire ? &w->umpire.tap : NULL);
        w->taps[i] = tap_fan_tap(&w->fans[i]);
    }
    *out = w;
    if (!w->taps[0]) {
        watch_close(w);
        *out = NULL;
    }
    return true;
}

struct tap *const *watch_taps(struct watch *watch)
{
    return watch ? watch->taps : NULL;
}

void watch_close(struct watch *w)
{
    if (!w)
        return;
    capture_close(w->capture);
    if (w->has_umpire)
        umpire_fini(&w->umpire);
    free(w);
}
