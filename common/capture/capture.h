/* Writes the iSCSI traffic of a program into a pcapng file, as TCP/IP frames that Wireshark and tshark
 * dissect.
 *
 * A host has one tap for each of its reactors. Calling it costs a copy of the bytes into that reactor's
 * bounded ring; one thread behind makes frames of them and writes the file. When the ring is full, whole PDUs
 * are dropped and counted, in the file too; the caller never waits. The file is readable at any time;
 * capture_close makes it complete.
 *
 * For hosts and programs only (threads, files). Engines know nothing of it. */
#ifndef LUNETTE_CAPTURE_CAPTURE_H
#define LUNETTE_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/env.h"
#include "common/capture/tap.h"

#define CAPTURE_LANES_MAX 64u
#define CAPTURE_BUFFER_DEFAULT                                                                               \
    (32u * 1024 * 1024) /* bytes of each tap's ring; the largest PDU takes half of it */
#define CAPTURE_SNAP_MIN  128u
#define CAPTURE_FILES_MAX 100000u

struct capture;

struct capture_options {
    const char *path;        /* FILE.pcapng; borrowed until capture_open returns */
    const char *application; /* "lunette-target"; borrowed likewise */
    const char
        *session;    /* only connections whose initiator or target name matches (* is any run); NULL: all */
    bool at_target;  /* where the traffic is seen; else at the initiator */
    bool no_secrets; /* overwrite what could tell a password in login text */
    uint32_t snap;   /* bytes kept of a frame; 0: all */
    uint32_t files;  /* at most this many files; 0: a single one */
    uint64_t file_size; /* bytes: a new file when one is full; with `files` */
    uint64_t buffer;    /* bytes of each tap's ring */
    uint32_t taps;      /* 1 .. CAPTURE_LANES_MAX: how many threads call */
};

struct capture_stats {
    uint64_t pdus, pdu_bytes;        /* seen, of connections that are captured */
    uint64_t dropped, dropped_bytes; /* of them not in the file */
    uint64_t frames, file_bytes;     /* written */
    int err;                         /* why writing stopped, or 0 */
};

void capture_options_default(struct capture_options *options);

/* The options' values from a command line; `name` without dashes. 0; ERR_NOTFOUND: no option of this capture;
 * ERR_INVALID: *why says what is wrong with the value. */
int capture_option_take(struct capture_options *options, const char *name, const char *value, char *why,
                        size_t why_len);
/* name, value, help of each option ("capture", "FILE", ...); NULL name ends. */
struct capture_option {
    const char *name;
    const char *value; /* NULL: a flag */
    const char *help;
};
extern const struct capture_option capture_option_list[];

/* Opens the file and starts the thread. Errors: of opening the file, ERR_NOMEM. *why (may be NULL) says what
 * happened. */
int capture_open(const struct env *env, const struct capture_options *options, struct capture **out,
                 char *why, size_t why_len);
/* The tap of one thread. Owned by the capture. A connection may go from one tap to another between two calls.
 */
struct tap *capture_tap(struct capture *c, uint32_t index);
/* Writes everything that is in the rings, the statistics, and closes the file. No tap may be called any more.
 * NULL is fine. */
void capture_close(struct capture *c);
/* From any thread. */
void capture_get_stats(struct capture *c, struct capture_stats *out);

/* '*' stands for any run of characters. */
bool capture_name_matches(const char *pattern, const char *name);

#endif
