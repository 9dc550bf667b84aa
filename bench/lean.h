/* The fast loop: full feature phase traffic with nothing between the pattern and the socket.
 *
 * Logins are the engine's (login.h); then headers are encoded straight into a send batch, and what arrives is
 * taken apart where it lies, in one receive buffer that all connections share. One receive brings many
 * answers; the commands that follow them go out in one send. No allocation after the start. What a session
 * must honour it does (CmdSN window, StatSN, R2T, unsolicited data limits, digests, pings); what a target
 * does wrong is found and told. There is no recovery: ErrorRecoveryLevel is 0 and the first broken connection
 * ends the run (`--recover` is the other loop, work.h). */
#ifndef LUNETTE_BENCH_LEAN_H
#define LUNETTE_BENCH_LEAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "bench/histogram.h"
#include "bench/login.h"
#include "bench/pattern.h"
#include "bench/process.h"
#include "common/iscsi/pdu.h"

#define LEAN_RECV_LEN    (256u << 10) /* bytes: fits a second level cache */
#define LEAN_BATCH_PDUS  256u         /* PDUs of one send */
#define LEAN_BATCH_BYTES (1u << 20)   /* and bytes, but for the last PDU */
#define LEAN_DEPTH_MAX   4096u        /* commands in flight of a session */
#define LEAN_SENSE_MAX   96u
#define LEAN_ATTENTIONS  1000u /* unit attentions of a session: then it is no start-up matter any more */
#define LEAN_SAMPLES_MAX 1000u
#define LEAN_SPIN_NS     50000u /* adaptive polling: how long before it sleeps */
#define LEAN_MS_NS       1000000u
#define LEAN_SECOND_NS   1000000000u
#define LEAN_NAP_NS      (20u * LEAN_MS_NS) /* longest sleep: the clock decides when the run ends */
#define LEAN_ERRORS_MAX  1000u              /* commands that fail before the run is given up */

enum lean_poll { LEAN_POLL_NEVER, LEAN_POLL_ADAPTIVE, LEAN_POLL_ALWAYS };

struct lean_options {
    struct pattern_options pattern;
    uint32_t sessions, depth; /* depth: of each session */
    uint64_t rate;            /* commands a second of all sessions; 0: as fast as it goes */
    uint64_t warmup_ns, duration_ns;
    uint64_t commands; /* measured ones; 0: by time */
    bool verify;
    enum lean_poll poll;
    uint32_t part, parts; /* works on part `part` of `parts` equal parts of the LUN */
    int64_t target_pid;   /* -1: none */
    int watch_cpu;        /* a core whose load is reported; -1: none */
    int lun;
};

struct lean_result {
    uint64_t commands, by_kind[PATTERN_KINDS], bytes, read_bytes, write_bytes;
    uint64_t errors, mismatches, unit_attentions, pings;
    uint64_t elapsed_ns;
    uint32_t connections; /* of all sessions */
    struct histogram latency;
    struct process_usage own, target; /* differences over the measured time */
    bool has_target;
    double watch_busy; /* 0 .. 1; below 0: not watched */
    uint64_t sample_ns;
    uint32_t samples;
    uint64_t sample[LEAN_SAMPLES_MAX]; /* commands in each */
    struct key_params params;
    uint64_t lun_bytes;
    uint32_t block_size;
    char product[64];
    char first_problem[320];
};

/* 0, or an error with words in `why` when it could not start or not go on. */
int lean_run(const struct env *env, struct login_shop *shop, const struct lnt_disk *disk,
             const struct lean_options *options, struct lean_result *result, char *why, size_t why_len);

/* ---- inside: lean_start.c, lean.c (the loop), lean_send.c, lean_receive.c ---- */

struct lean_session;

struct lean_slot { /* one command in flight; its task tag is its index and a generation */
    struct pattern_choice choice;
    uint32_t itt;
    uint32_t in_done;     /* bytes of data-in that have come */
    uint32_t exp_data_sn; /* Data-In and R2T share it */
    uint32_t out_done;    /* bytes of data-out that are on their way */
    uint64_t due_ns;      /* 0: not by the clock */
    uint64_t sent_ns;
    uint64_t sequence; /* verify: of a write */
    uint8_t *buffer;   /* verify, owned */
    bool in_use;
    bool parameters; /* UNMAP's list goes out, 24 bytes, from `list` */
    uint8_t list[24];
};

enum lean_job_kind { LEAN_JOB_COMMAND, LEAN_JOB_DATA, LEAN_JOB_PONG };
struct lean_job { /* what is to be sent, in order */
    enum lean_job_kind kind;
    uint32_t slot;
    uint32_t ttt;
    uint32_t offset, left; /* DATA: of the command's data */
    uint32_t data_sn;
    uint64_t lun;
};

struct lean_conn {
    struct lean_session *session;
    int fd;
    bool header_digest, data_digest;
    uint32_t segment_max; /* bytes the target takes in one PDU */
    uint32_t exp_stat_sn;

    /* send: jobs wait, a batch is being sent */
    struct lean_job *jobs; /* owned ring, a power of two */
    uint32_t job_mask, job_head, job_tail;
    struct iovec vec[LEAN_BATCH_PDUS * 3];
    uint32_t vec_count, vec_at;
    uint8_t head[LEAN_BATCH_PDUS * (PDU_BHS_LEN + PDU_DIGEST_LEN)];
    uint8_t tail[LEAN_BATCH_PDUS * (3 + PDU_DIGEST_LEN)];
    bool flush_due; /* on the loop's list */
    bool wants_out; /* registered for writability */

    /* receive: a PDU may be cut anywhere */
    uint8_t bhs[PDU_BHS_LEN + PDU_DIGEST_LEN];
    uint32_t bhs_have;
    bool in_body;
    uint32_t data_left, trail_left; /* bytes: of the data segment; of padding and digest */
    uint8_t trail[8];
    uint32_t trail_have;
    uint32_t crc;
    uint8_t *place; /* verify: where data-in goes; NULL: nowhere */
    uint8_t sense[LEAN_SENSE_MAX];
    uint32_t sense_have;
};

struct lean_session {
    struct lean *lean;
    struct login login;
    struct lean_conn *conns; /* owned */
    uint32_t conn_count, slot_count, in_flight;
    struct lean_slot *slots; /* owned */
    uint32_t *idle;          /* owned: slots without a command */
    uint32_t idle_count;
    uint32_t cmd_sn, max_cmd_sn;
    uint32_t *waiting; /* owned ring: slots whose command waits for the window */
    uint32_t waiting_head, waiting_count;
    struct pattern pattern;
    uint64_t writer, sequence;
    uint32_t attentions;
    bool immediate_data, initial_r2t;
    uint32_t first_burst, max_burst;
};

struct lean {
    const struct env *env;
    const struct lean_options *options;
    struct lean_result *result;
    uint64_t lun; /* wire format */
    uint32_t block_size;
    struct lean_session *sessions;
    struct lean_conn **flush; /* connections that have something to send */
    uint32_t flush_count, conn_count;
    int epoll; /* -1: one connection alone */
    uint8_t *recv_buffer;
    uint8_t *data; /* what is written when nothing is verified */
    uint64_t now_ns;
    bool measuring, stopping, broken;
    uint64_t issued_limit, issued;
    uint64_t start_ns, end_ns, next_due_ns, interval_ns, idle_sessions;
    char *why;
    size_t why_len;
};

/* Sends and receives until the run is over and nothing is in flight, or it breaks. */
void lean_loop(struct lean *lean);
/* Something is wrong that the run cannot go on with. */
void lean_break(struct lean *lean, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lean_problem(struct lean *lean, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The slot's command has its status; takes the next one when there is one. */
void lean_ended(struct lean_conn *conn, struct lean_slot *slot, uint8_t status);
void lean_window(struct lean_session *s, uint32_t exp_cmd_sn, uint32_t max_cmd_sn);
static inline struct lean_conn *lean_slot_conn(struct lean_session *s, uint32_t slot)
{
    return s->conn_count == 1 ? s->conns : s->conns + slot % s->conn_count;
}

/* lean_send.c */
void lean_send_command(struct lean_session *s, uint32_t slot); /* now or when the window opens */
void lean_send_data(struct lean_conn *conn, uint32_t slot, uint32_t ttt, uint32_t offset, uint32_t len);
void lean_send_pong(struct lean_conn *conn, uint32_t ttt, uint64_t lun);
bool lean_send_pending(const struct lean_conn *conn);
void lean_flush(struct lean_conn *conn); /* as much as the socket takes */

/* lean_receive.c */
/* One receive and all that is in it. False: there was nothing. */
bool lean_receive(struct lean_conn *conn, bool wait);

#endif
