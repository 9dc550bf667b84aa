/* A place is what `copy` and `verify` read and write: a file, a block device, or a LUN behind a URL.
 * Operations on it are asynchronous, as many at once as the caller has struct place_op for. */
#ifndef LUNETTE_INITIATOR_CLI_PLACE_H
#define LUNETTE_INITIATOR_CLI_PLACE_H

#include "initiator/cli/cli.h"

/* How zeros get onto a LUN, best first; a target that refuses one makes us take the next. UNMAP is not among
 * them: a target may leave parts of the range as they were (granularity, alignment), while WRITE SAME with
 * its UNMAP bit has to end with zeros either way (SBC-3 5.44). */
enum place_zero { PLACE_ZERO_SAME_UNMAP, PLACE_ZERO_SAME, PLACE_ZERO_WRITE };

struct place {
    struct cli *cli;
    const char *name; /* as given; for URLs without credentials: the target's name */
    bool is_lun;
    uint64_t size;       /* bytes */
    uint32_t block_size; /* bytes; 1 for a regular file */
    uint32_t max_len;    /* bytes of one operation, UINT32_MAX: any */
    char why[700];       /* the first failure; "" while there is none */
    /* LUN */
    struct lnt_url url;
    struct lnt_client *client; /* owned */
    struct lnt_disk disk;
    enum place_zero zero_method;
    uint8_t *zeros; /* owned, PLACE_ZEROS_LEN bytes */
    /* file */
    io_handle file; /* owned */
    int fd;         /* owned: for what io has no words for (holes, truncation) */
    bool is_device;
    bool in_memory;
    bool starts_empty; /* a regular file just truncated: what is not written reads as zeros */
};

#define PLACE_ZEROS_LEN 65536u

enum place_op_kind { PLACE_OP_READ, PLACE_OP_WRITE, PLACE_OP_ZERO };

struct place_op {
    void (*done)(struct place_op *op); /* from io_run; op->failed tells, place->why has the words */
    void *owner;
    bool failed;
    /* the operation's own */
    struct place *place;
    enum place_op_kind kind;
    uint8_t *buf;
    uint64_t offset, left; /* bytes still to do */
    uint64_t step;         /* bytes of the command that is out */
    enum place_zero method;
    struct io_vec vec;
    struct lnt_command command;
    struct io_op io;
};

/* Decides file or URL and checks the words. 0 or CLI_MISUSE after a message; nothing is opened. */
int place_init(struct place *place, struct cli *cli, const char *text);
/* 0, or CLI_FAILED (connection, login) or CLI_MISUSE (no such file) after a message. */
int place_open_source(struct place *place);
/* Opens the destination and sees that `len` bytes fit. A regular file is created, and truncated to zeros of
 * that length. */
int place_open_destination(struct place *place, uint64_t len);
/* Before the second of two places is opened: two sessions of one initiator name and ISID are one nexus, and
 * where both go to the same target, each login would end the other's session (RFC 7143 6.3.5). */
void place_other_session(struct place *second);
/* True when both are one file or one LUN. */
bool place_same(const struct place *a, const struct place *b);
/* No operation may be out. */
void place_close(struct place *place);

/* offset and len: multiples of block_size on a LUN. */
void place_read(struct place *place, struct place_op *op, uint8_t *buf, uint64_t offset, uint32_t len);
void place_write(struct place *place, struct place_op *op, uint8_t *buf, uint64_t offset, uint32_t len);
/* The range reads as zeros afterwards. False: it does so already, nothing was started. */
bool place_zero(struct place *place, struct place_op *op, uint64_t offset, uint64_t len);
/* Waits for one operation. 0, or CLI_FAILED without a message. */
int place_read_wait(struct place *place, uint8_t *buf, uint64_t offset, uint32_t len);
int place_write_wait(struct place *place, uint8_t *buf, uint64_t offset, uint32_t len);
/* Everything written is on stable media. 0, or CLI_FAILED after a message. */
int place_sync(struct place *place);
/* Where data begins at or after `offset`, and where it ends: file holes are known, everything else is data.
 * False: only holes up to the end. */
bool place_next_data(const struct place *place, uint64_t offset, uint64_t *start, uint64_t *end);
/* Keeps the first failure. */
void place_failed(struct place *place, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
