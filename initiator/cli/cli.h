/* lunette-initiator: what its verbs share. main.c finds the verb, options.c reads the command line into a
 * struct cli, then the verb's run function works through the helpers of connect.c. Only this folder prints.
 *
 * Exit codes: 0 done; 1 the operation failed or found a difference; 2 wrong use, nothing was changed; 130
 * interrupted. */
#ifndef LUNETTE_INITIATOR_CLI_CLI_H
#define LUNETTE_INITIATOR_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/env.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/capture/capture.h"
#include "common/io/io.h"
#include "initiator/lib/lunette.h"

#define CLI_PROGRAM      "lunette-initiator"
#define CLI_VERSION      LUNETTE_VERSION
#define CLI_OPERANDS_MAX 2u

enum cli_exit { CLI_DONE = 0, CLI_FAILED = 1, CLI_MISUSE = 2, CLI_INTERRUPTED = 130 };

struct cli;

struct cli_verb {
    const char *name;
    uint32_t bit; /* CLI_VERB_*, for the option table */
    uint32_t operands_min, operands_max;
    const char *operands; /* as the usage line shows them, with the verb's own options */
    const char *summary;
    int (*run)(struct cli *cli); /* returns an enum cli_exit */
};

enum cli_verb_bit {
    CLI_VERB_DISCOVER = 1,
    CLI_VERB_LS = 2,
    CLI_VERB_INQ = 4,
    CLI_VERB_CAPACITY = 8,
    CLI_VERB_READ = 16,
    CLI_VERB_WRITE = 32,
    CLI_VERB_COPY = 64,
    CLI_VERB_VERIFY = 128,
    CLI_VERB_PING = 256,
    CLI_VERB_SCSI = 512,
    CLI_VERB_TMF = 1024,
    CLI_VERB_ALL = 2047
};

struct referee;

struct cli {
    const struct env *env;
    struct io *io; /* owned; made by cli_start */
    const struct cli_verb *verb;
    /* from the command line; pointers are borrowed from argv */
    const char *operand[CLI_OPERANDS_MAX];
    uint32_t operand_count;
    struct lnt_options options; /* holds secrets: wiped by main */
    enum io_kind io_kind;
    enum log_level log_level;
    uint32_t depth; /* commands in flight */
    bool help, version, verbose;
    struct capture_options capture_options;
    bool capture_given; /* an option of the capture */
    bool with_referee;
    struct capture *capture;                          /* owned, or NULL: watch.c */
    struct referee *referee;                          /* owned, or NULL: watch.c */
    uint64_t tap_connections;                         /* counts for options.tap, which all clients share */
    struct key_override overrides[KEY_OVERRIDES_MAX]; /* --key; pointers into argv */
    bool json, all, hex, fua;
    bool has_vpd, has_lba, has_blocks;
    uint8_t vpd;
    uint64_t lba, blocks;
    uint64_t count, interval_ns; /* ping */
    const char *in, *out;        /* files, "-", or for scsi --in a length */
};

/* ---- messages: one sentence on standard error ---- */

int cli_misuse(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* returns CLI_MISUSE */
int cli_failed(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* returns CLI_FAILED */
void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* nothing is wrong */

/* ---- options.c ---- */

/* Reads everything after the verb. 0, or CLI_MISUSE after a message. Secrets given as arguments are
 * overwritten there, so that they do not stay visible in the process list. */
int cli_options_parse(struct cli *cli, int argc, char **argv);
void cli_options_help(uint32_t verb_bits); /* to standard output */

/* ---- secrets.c ---- */

/* Bytes of `text` or of the file (one trailing newline dropped) into out[INI_SECRET_MAX]. 0 or CLI_MISUSE. */
int cli_secret_text(const char *what, const char *text, uint8_t *out, uint32_t *out_len);
int cli_secret_file(const char *what, const char *path, uint8_t *out, uint32_t *out_len);
/* Adds what the environment has and checks that every name has its secret. 0 or CLI_MISUSE. */
int cli_secrets_complete(struct cli *cli);

/* ---- watch.c ---- */

/* Opens what shall watch the connections (--capture, --referee). 0, CLI_MISUSE or CLI_FAILED after a message.
 */
int cli_watch_start(struct cli *cli);
/* After the last connection: tells the findings, completes the file. */
void cli_watch_end(struct cli *cli);

/* ---- connect.c ---- */

/* Makes the io. 0 or CLI_FAILED after a message. */
int cli_start(struct cli *cli);

enum cli_url_need { CLI_URL_PORTAL, CLI_URL_TARGET, CLI_URL_LUN }; /* at least this much must be there */
/* An operand as URL, with the credentials of the options where it has none of its own. With CLI_URL_PORTAL a
 * plain "HOST[:PORT]" is fine too. 0 or CLI_MISUSE after a message. */
int cli_url(const struct cli *cli, const char *text, enum cli_url_need need, struct lnt_url *out);

/* A client that is logged in. 0 or CLI_FAILED after a message; then *out is untouched. */
int cli_connect(struct cli *cli, const struct lnt_url *url, struct lnt_client **out);
/* Logs out and frees, with --verbose after telling what was done to keep the session up; NULL is fine. */
void cli_disconnect(struct cli *cli, struct lnt_client *client);
/* cli_connect and lnt_disk_probe. */
int cli_open_disk(struct cli *cli, const struct lnt_url *url, struct lnt_client **client,
                  struct lnt_disk *disk);
/* Why something failed with `err`, in words: the client's own (`client` may be NULL), else the error's name.
 */
const char *cli_reason(const struct lnt_client *client, int err, char *buf, size_t len);
/* Runs a command (the library repeats it after unit attentions when it is marked repeatable). 0 when it ended
 * GOOD; else CLI_FAILED after a message that begins with `what`. */
int cli_execute(struct lnt_client *client, struct lnt_command *command, const char *what);
/* "CHECK CONDITION: ..." or why no status came. */
const char *cli_command_reason(const struct lnt_client *client, const struct lnt_command *command, char *buf,
                               size_t len);
/* INQUIRY: standard data with page < 0. Length received in *got. 0 or CLI_FAILED; `loud`: with a message. */
int cli_inquiry(struct lnt_client *client, int32_t lun, int page, uint8_t *data, uint16_t size, uint32_t *got,
                bool loud);
/* Lets time pass while clients go on. */
void cli_sleep(struct cli *cli, uint64_t ns);

/* ---- dump.c ---- */

/* Offset, hexadecimal and ASCII, sixteen bytes a line, to standard output. */
void cli_dump(const uint8_t *data, size_t len);
/* "0123abcd" (blanks between bytes are fine) into out; number of bytes, or -1. */
int cli_hex_parse(const char *text, uint8_t *out, size_t size);
/* All of it to a descriptor; false with errno set. */
bool cli_write_all(int fd, const void *data, size_t len);
/* As much as there is, at most len; -1 with errno set. */
int64_t cli_read_all(int fd, void *data, size_t len);

/* ---- the verbs ---- */

int verb_discover(struct cli *cli);
int verb_ls(struct cli *cli);
int verb_inq(struct cli *cli);
int verb_capacity(struct cli *cli);
int verb_read(struct cli *cli);
int verb_write(struct cli *cli);
int verb_copy(struct cli *cli);
int verb_verify(struct cli *cli);
int verb_ping(struct cli *cli);
int verb_scsi(struct cli *cli);
int verb_tmf(struct cli *cli);

#endif
