/* A progress bar on standard error, when that is a terminal; and SIGINT as a question that long verbs ask. */
#ifndef LUNETTE_INITIATOR_CLI_PROGRESS_H
#define LUNETTE_INITIATOR_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    uint64_t total;                /* bytes */
    uint64_t started_ns, shown_ns; /* io_now's clock */
    bool on, drawn;
};

void progress_start(struct progress *progress, uint64_t total, uint64_t now_ns);
/* Draws at most five times a second. */
void progress_show(struct progress *progress, uint64_t done, uint64_t now_ns);
void progress_end(struct progress *progress); /* leaves the line */

/* From now on SIGINT and SIGTERM end the process with 130 and 143. While somebody asks, the first one only
 * raises the flag; waiting for a connection, say, cannot ask. */
void interrupt_catch(void);
void interrupt_ask(bool on);
bool interrupted(void);

#endif
