/* Output of `check`. */
#include "conformance/check/print.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static double seconds(const struct printer *p, uint64_t time_ns)
{
    return time_ns >= p->first_ns ? (double)(time_ns - p->first_ns) / 1e9 : 0;
}

/* Takes over the object. */
static void line(const struct printer *p, json_t *object)
{
    if (object)
        json_dumpf(object, p->out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', p->out);
    json_decref(object);
}

/* What came from the wire need not be UTF-8. */
static json_t *text(const char *s)
{
    json_t *string = json_string(s);
    return string ? string : json_string("(not text)");
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static const char *party(enum referee_party who)
{
    return who == REFEREE_INITIATOR ? "initiator" : "target";
}

void print_finding(const struct printer *p, const struct referee_finding *f, const struct streams_conn *conn,
                   uint64_t packet)
{
    if (p->options->json) {
        line(p, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:f, s:s, s:o, s:o}", "type", "finding",
                          "requirement", f->requirement, "party", party(f->party), "connection",
                          number(conn->number), "tsih", f->session ? number(f->tsih) : json_null(), "pdu",
                          number(f->pdu), "packet", packet ? number(packet) : json_null(), "seconds",
                          seconds(p, f->time_ns), "rule", f->rule, "expected", text(f->expected), "seen",
                          text(f->seen)));
        return;
    }
    char where[64] = "packet unknown";
    if (packet)
        snprintf(where, sizeof where, "packet %" PRIu64, packet);
    fprintf(p->out, "%s: %s %s: %s; expected %s, seen %s (connection %" PRIu64 ", PDU %" PRIu64 ", %.6f s)\n",
            where, f->requirement, party(f->party), f->rule, f->expected, f->seen, conn->number, f->pdu,
            seconds(p, f->time_ns));
}

void print_entry(const struct printer *p, const struct streams_conn *conn, const struct timeline_entry *e)
{
    if (p->options->json) {
        line(p,
             json_pack("{s:s, s:o, s:o, s:o, s:f, s:s, s:o, s:o, s:o, s:o, s:f}", "type", "command",
                       "connection", number(conn->number), "request_packet", number(e->request_packet),
                       "answer_packet", number(e->answer_packet), "seconds", seconds(p, e->begin_ns),
                       "command", e->what, "lun", e->scsi && e->lun >= 0 ? json_integer(e->lun) : json_null(),
                       "lba", e->has_lba ? number(e->lba) : json_null(), "length",
                       e->scsi ? json_integer(e->length) : json_null(), "status", text(e->status),
                       "microseconds", (double)e->latency_ns / 1e3));
        return;
    }
    fprintf(p->out, "%12.6f  connection %" PRIu64 "  packets %" PRIu64 "-%" PRIu64 "  %s",
            seconds(p, e->begin_ns), conn->number, e->request_packet, e->answer_packet, e->what);
    if (e->scsi && e->lun >= 0)
        fprintf(p->out, " lun %d", e->lun);
    if (e->has_lba)
        fprintf(p->out, " lba %" PRIu64, e->lba);
    if (e->scsi)
        fprintf(p->out, " length %" PRIu32, e->length);
    fprintf(p->out, "  %s  %.1f us\n", e->status, (double)e->latency_ns / 1e3);
}

static void print_connection_json(const struct printer *p, const struct streams_conn *conn,
                                  const struct params *params, uint64_t pdus, uint32_t unanswered)
{
    char initiator[IO_ADDR_TEXT_MAX], target[IO_ADDR_TEXT_MAX];
    json_t *keys = json_object();
    for (uint32_t i = 0; i < params->count; i++) {
        const struct param *one = &params->rows[i];
        json_object_set_new(
            keys, one->key,
            json_pack("{s:o, s:o, s:s}", "initiator",
                      one->has[TAP_TO_TARGET] ? text(one->said[TAP_TO_TARGET]) : json_null(), "target",
                      one->has[TAP_TO_INITIATOR] ? text(one->said[TAP_TO_INITIATOR]) : json_null(), "last",
                      one->last == TAP_TO_TARGET ? "initiator" : "target"));
    }
    line(p, json_pack("{s:s, s:o, s:s, s:s, s:b, s:o, s:i, s:b, s:o}", "type", "connection", "connection",
                      number(conn->number), "initiator",
                      addr_format(&conn->initiator, initiator, sizeof initiator), "target",
                      addr_format(&conn->target, target, sizeof target), "partial", (int)conn->partial,
                      "pdus", number(pdus), "unanswered", (int)unanswered, "incomplete_text",
                      (int)params->incomplete, "keys", keys));
}

void print_connection(const struct printer *p, const struct streams_conn *conn, const struct params *params,
                      uint64_t pdus, uint32_t unanswered)
{
    char initiator[IO_ADDR_TEXT_MAX], target[IO_ADDR_TEXT_MAX];
    if (p->options->json) {
        print_connection_json(p, conn, params, pdus, unanswered);
        return;
    }
    fprintf(p->out, "connection %" PRIu64 ": %s -> %s%s, %" PRIu64 " PDUs", conn->number,
            addr_format(&conn->initiator, initiator, sizeof initiator),
            addr_format(&conn->target, target, sizeof target),
            conn->partial ? " (its beginning is not in the capture)" : "", pdus);
    if (unanswered)
        fprintf(p->out, ", %" PRIu32 " requests without an answer", unanswered);
    fputc('\n', p->out);
    for (uint32_t i = 0; i < params->count; i++) {
        const struct param *one = &params->rows[i];
        const char *result = one->said[one->last];
        fprintf(p->out, "    %s=%s", one->key, result);
        if (one->has[0] && one->has[1])
            fprintf(p->out, "  (%s said %s)", one->last == TAP_TO_TARGET ? "the target" : "the initiator",
                    one->said[!one->last]);
        else
            fprintf(p->out, "  (%s)", one->has[TAP_TO_TARGET] ? "initiator" : "target");
        fputc('\n', p->out);
    }
    if (params->incomplete)
        fprintf(p->out, "    some login text is missing or malformed\n");
}

static void totals_json(const struct printer *p, const struct print_totals *t)
{
    const struct streams_counts *s = &t->streams;
    json_t *object = json_object();
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"packets", t->packets},
                {"connections", s->connections},
                {"partial_connections", s->partial},
                {"pdus", t->pdus},
                {"incomplete_pdus", t->incomplete_pdus},
                {"findings", t->findings},
                {"undecidable", t->undecidable},
                {"gaps", s->gaps},
                {"missing_bytes", s->missing_bytes},
                {"skipped_bytes", s->skipped_bytes},
                {"retransmitted_segments", s->retransmitted},
                {"out_of_order_segments", s->out_of_order},
                {"forgotten_connections", s->evicted},
                {"stray_segments", s->stray},
                {"fragments", t->fragments},
                {"other_packets", t->other},
                {"cut_packets", t->cut},
                {"bad_packets", t->bad},
                {"unknown_link_packets", t->unknown_link}};
    json_object_set_new(object, "type", json_string("totals"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_object_set_new(object, rows[i].name, number(rows[i].value));
    json_object_set_new(object, "problem", *t->problem ? text(t->problem) : json_null());
    line(p, object);
}

/* A number that is worth a line only when it is not zero. */
static void also(const struct printer *p, uint64_t n, const char *what)
{
    if (n)
        fprintf(p->out, "    %" PRIu64 " %s\n", n, what);
}

void print_totals(const struct printer *p, const struct print_totals *t)
{
    const struct streams_counts *s = &t->streams;
    if (p->options->json) {
        totals_json(p, t);
        return;
    }
    fprintf(p->out,
            "%" PRIu64 " packets, %" PRIu64 " iSCSI connections, %" PRIu64 " PDUs: %" PRIu64
            " findings, %" PRIu64 " checks undecidable\n",
            t->packets, s->connections, t->pdus, t->findings, t->undecidable);
    also(p, s->partial, "connections whose beginning is not in the capture");
    also(p, t->incomplete_pdus, "PDUs of which bytes are missing");
    also(p, s->gaps, "places where bytes are missing");
    also(p, s->missing_bytes, "bytes missing");
    also(p, s->skipped_bytes, "bytes passed over, their PDU is not known");
    also(p, t->fragments, "fragments of IP packets, not put together");
    also(p, t->cut, "packets without their headers");
    also(p, t->bad, "packets whose headers contradict themselves");
    also(p, t->unknown_link, "packets of a link type that is not known here");
    also(p, s->stray, "TCP segments far from their connection's place");
    also(p, s->evicted, "connections forgotten: too many at once");
    if (*t->problem)
        fprintf(p->out, "    %s\n", t->problem);
}
