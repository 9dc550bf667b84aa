/* How `check` shows what it has: text, or one JSON object for each line. */
#ifndef LUNETTE_CONFORMANCE_PRINT_H
#define LUNETTE_CONFORMANCE_PRINT_H

#include "conformance/check/check.h"
#include "conformance/check/params.h"
#include "conformance/check/timeline.h"
#include "conformance/referee/referee.h"

struct print_totals {
    uint64_t packets, other, fragments, cut, bad, unknown_link;
    uint64_t pdus, incomplete_pdus, findings, undecidable;
    struct streams_counts streams;
    const char *problem; /* of the file, or "" */
};

struct printer {
    const struct check_options *options; /* borrowed */
    FILE *out;
    uint64_t first_ns; /* time of the first packet: others are shown relative to it */
};

/* packet 0: not known. */
void print_finding(const struct printer *p, const struct referee_finding *finding,
                   const struct streams_conn *conn, uint64_t packet);
void print_entry(const struct printer *p, const struct streams_conn *conn,
                 const struct timeline_entry *entry);
void print_connection(const struct printer *p, const struct streams_conn *conn, const struct params *params,
                      uint64_t pdus, uint32_t unanswered);
void print_totals(const struct printer *p, const struct print_totals *totals);

#endif
