/* From a file's packets to the referee, and back from its findings to packets. */
#include "conformance/check/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/capture/pcapng.h"
#include "conformance/check/pdu_map.h"
#include "conformance/check/print.h"

#define FINDINGS_MAX 100000u
#define CONN_BUCKETS 1024u

struct check_conn {
    struct check_conn *next; /* in its bucket */
    struct streams_conn about;
    struct referee *referee; /* borrowed: which of the two sees it */
    uint64_t pdus;           /* as the referee counts them */
    struct pdu_map map;
    struct timeline timeline;
    struct params params;
};

struct check {
    const struct check_options *options;
    struct printer printer;
    struct streams *streams;
    /* Connections whose beginning is not in the capture have a referee of their own: it learns what it did
     * not see. */
    struct referee *strict, *partial;
    struct check_conn *conns[CONN_BUCKETS];
    uint64_t packet; /* the number of the one in hand */
    uint64_t incomplete_pdus;
    bool out_of_memory;
};

static struct check_conn **conn_slot(struct check *c, uint64_t number)
{
    struct check_conn **at = &c->conns[number % CONN_BUCKETS];
    while (*at && (*at)->about.number != number)
        at = &(*at)->next;
    return at;
}

static uint64_t pdus_of(const struct referee *referee)
{
    struct referee_counts counts;
    referee_count(referee, &counts);
    return counts.pdus;
}

/* Findings of this referee since the last look. */
static void take_findings(struct check *c, struct referee *referee)
{
    struct referee_finding finding;
    while (referee_next(referee, &finding)) {
        const struct check_conn *conn = *conn_slot(c, finding.conn);
        struct streams_conn unknown = {.number = finding.conn};
        print_finding(&c->printer, &finding, conn ? &conn->about : &unknown,
                      conn ? pdu_map_packet(&conn->map, finding.pdu) : 0);
    }
}

/* ---- the sink of the streams ---- */

static void on_open(void *ctx, struct streams_conn *about, uint64_t time_ns)
{
    struct check *c = ctx;
    struct check_conn *conn = calloc(1, sizeof *conn);
    about->user = conn;
    if (!conn) {
        c->out_of_memory = true;
        return;
    }
    conn->about = *about;
    *conn_slot(c, about->number) = conn;
    conn->referee = about->partial ? c->partial : c->strict;
    struct tap *tap = referee_tap(conn->referee);
    tap->open(tap, about->number, &about->initiator, &about->target, time_ns);
}

static void count_pdus(struct check *c, struct check_conn *conn, uint64_t more)
{
    conn->pdus += more;
    if (more)
        pdu_map_add(&conn->map, conn->pdus, c->packet);
}

static void on_bytes(void *ctx, struct streams_conn *about, enum tap_direction d, const uint8_t *bytes,
                     uint32_t len, uint64_t time_ns)
{
    struct check *c = ctx;
    struct check_conn *conn = about->user;
    if (!conn)
        return;
    /* Taps only read: the place is not const because io lists are not. */
    struct io_vec place = {(void *)(uintptr_t)bytes, len};
    struct tap *tap = referee_tap(conn->referee);
    uint64_t before = pdus_of(conn->referee);
    tap->bytes(tap, about->number, d, &place, 1, len, time_ns);
    count_pdus(c, conn, pdus_of(conn->referee) - before);
    take_findings(c, conn->referee);
}

static void on_gap(void *ctx, struct streams_conn *about, enum tap_direction d, uint64_t len,
                   uint64_t time_ns)
{
    struct check *c = ctx;
    struct check_conn *conn = about->user;
    (void)time_ns;
    if (!conn)
        return;
    uint64_t before = pdus_of(conn->referee);
    referee_missing(conn->referee, about->number, d, len);
    count_pdus(c, conn, pdus_of(conn->referee) - before);
    take_findings(c, conn->referee);
}

static void on_pdu(void *ctx, struct streams_conn *about, const struct streams_pdu *pdu)
{
    struct check *c = ctx;
    struct check_conn *conn = about->user;
    struct timeline_entry entry;
    c->incomplete_pdus += !pdu->complete;
    if (!conn)
        return;
    params_take(&conn->params, pdu);
    if (timeline_take(&conn->timeline, pdu, &entry) && c->options->timeline)
        print_entry(&c->printer, about, &entry);
}

static void conn_over(struct check *c, struct check_conn *conn)
{
    if (!c->options->quiet)
        print_connection(&c->printer, &conn->about, &conn->params, conn->pdus, conn->timeline.open_count);
    *conn_slot(c, conn->about.number) = conn->next;
    pdu_map_free(&conn->map);
    timeline_free(&conn->timeline);
    params_free(&conn->params);
    free(conn);
}

static void on_close(void *ctx, struct streams_conn *about, uint64_t time_ns)
{
    struct check *c = ctx;
    struct check_conn *conn = about->user;
    if (!conn)
        return;
    struct tap *tap = referee_tap(conn->referee);
    tap->close(tap, about->number, time_ns);
    take_findings(c, conn->referee);
    conn_over(c, conn);
    about->user = NULL;
}

/* ---- the file ---- */

static int64_t read_file(void *ctx, void *buf, size_t len)
{
    size_t n = fread(buf, 1, len, ctx);
    return n == 0 && ferror((FILE *)ctx) ? ERR_IO : (int64_t)n;
}

static bool is_ours(const struct pcap_reader *reader)
{
    return strncmp(pcap_reader_application(reader), PCAPNG_APPLICATION " (", sizeof PCAPNG_APPLICATION + 1) ==
           0;
}

static enum referee_vantage vantage_of(const struct check_options *options, const struct pcap_reader *reader)
{
    const char *where = pcap_reader_description(reader);
    if (options->vantage >= 0)
        return (enum referee_vantage)options->vantage;
    if (is_ours(reader) && strstr(where, "the target saw"))
        return REFEREE_AT_TARGET;
    if (is_ours(reader) && strstr(where, "the initiator saw"))
        return REFEREE_AT_INITIATOR;
    return REFEREE_BETWEEN;
}

/* When the first packet is there, the file has said who made it. */
static int start(struct check *c, const struct pcap_reader *reader)
{
    struct streams_options streams = {.port = c->options->port, .ordered = is_ours(reader)};
    struct streams_sink sink = {c, on_open, on_bytes, on_gap, on_pdu, on_close};
    struct referee_options referee = {.vantage = vantage_of(c->options, reader),
                                      .findings_max = FINDINGS_MAX,
                                      .filtered = !is_ours(reader)};
    int err = referee_new(env_host(), &referee, &c->strict);
    referee.partial = true;
    if (!err)
        err = referee_new(env_host(), &referee, &c->partial);
    return err ? err : streams_new(env_host(), &streams, &sink, &c->streams);
}

static int take_packet(struct check *c, const struct pcap_packet *packet, struct print_totals *t)
{
    struct tcp_segment segment;
    c->packet = packet->number;
    t->packets++;
    switch (packet_parse(packet, &segment)) {
    case PACKET_TCP:
        return streams_segment(c->streams, &segment, packet->number, packet->time_ns);
    case PACKET_OTHER:
        t->other++;
        return 0;
    case PACKET_FRAGMENT:
        t->fragments++;
        return 0;
    case PACKET_CUT:
        t->cut++;
        return 0;
    case PACKET_BAD:
        t->bad++;
        return 0;
    case PACKET_UNKNOWN_LINK:
        t->unknown_link++;
        return 0;
    }
    return 0;
}

static int run(struct check *c, struct pcap_reader *reader, struct print_totals *t)
{
    struct pcap_packet packet;
    int got, err = 0;
    while ((got = pcap_reader_next(reader, &packet)) > 0) {
        if (!c->streams) {
            c->printer.first_ns = packet.time_ns;
            err = start(c, reader);
        }
        if (!err)
            err = take_packet(c, &packet, t);
        if (!err && c->out_of_memory)
            err = ERR_NOMEM;
        if (err)
            return err;
    }
    if (c->streams)
        streams_end(c->streams);
    return got;
}

static void finish(struct check *c, struct print_totals *t)
{
    struct referee *const both[] = {c->strict, c->partial};
    for (int i = 0; i < 2; i++) {
        struct referee_counts counts;
        if (!both[i])
            continue;
        take_findings(c, both[i]);
        referee_count(both[i], &counts);
        t->pdus += counts.pdus;
        t->findings += counts.findings;
        t->undecidable += counts.undecidable;
    }
    for (uint32_t i = 0; i < CONN_BUCKETS; i++)
        while (c->conns[i])
            conn_over(c, c->conns[i]);
    t->incomplete_pdus = c->incomplete_pdus;
    if (c->streams)
        streams_get_counts(c->streams, &t->streams);
    if (!c->options->quiet)
        print_totals(&c->printer, t);
    streams_free(c->streams);
    referee_free(c->strict);
    referee_free(c->partial);
}

enum check_exit check_run(const struct check_options *options, FILE *out, FILE *err)
{
    struct check c = {.options = options, .printer = {options, out, 0}};
    struct print_totals totals = {.problem = ""};
    FILE *file = strcmp(options->path, "-") == 0 ? stdin : fopen(options->path, "rb");
    struct pcap_reader *reader;
    if (!file) {
        fprintf(err, "lunette-conformance: %s: %s\n", options->path, strerror(errno));
        return CHECK_BAD_INPUT;
    }
    struct pcap_source source = {read_file, file};
    int code = pcap_reader_new(env_host(), &source, &reader);
    if (!code) {
        code = run(&c, reader, &totals);
        totals.problem = pcap_reader_problem(reader);
        /* What was read before the file went wrong still counts. */
        finish(&c, &totals);
        if (code)
            fprintf(err, "lunette-conformance: %s: %s\n", options->path,
                    *totals.problem ? totals.problem : err_text(code));
        pcap_reader_free(reader);
    }
    if (file != stdin)
        fclose(file);
    return code ? CHECK_BAD_INPUT : totals.findings ? CHECK_FINDINGS : CHECK_CLEAN;
}
