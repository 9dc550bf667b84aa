/* What the two halves of the capture share: lane_posix.c, on the host's threads, and writer_posix.c, on its
 * own. */
#ifndef LUNETTE_CAPTURE_CAPTURE_INTERNAL_H
#define LUNETTE_CAPTURE_CAPTURE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/capture/capture.h"
#include "common/capture/frame.h"
#include "common/capture/pdu_track.h"
#include "common/capture/ring.h"

#define CAPTURE_SHARDS   64u
#define CAPTURE_KEEP_LEN (64u * 1024)  /* bytes: a half PDU's buffer up to this size is kept for the next */
#define CAPTURE_HELD_MAX (256u * 1024) /* bytes held of a connection whose names are not known yet */
#define CAPTURE_PATH_MAX 4096u
#define CAPTURE_OUT_LEN  (1024u * 1024) /* bytes collected for one write */
#define CAPTURE_FLUSH_NS 5000000u       /* how long a frame may wait while nothing else happens */
#define CAPTURE_ACK_LEN  (1024u * 1024) /* bytes in one direction before a frame acknowledges them */

enum record_kind { RECORD_OPEN, RECORD_PDU, RECORD_CLOSE };
enum record_flags { RECORD_PART = 1 /* not a whole PDU */, RECORD_RESET = 2 /* close: by RST, not FIN */ };

/* In a ring, and in a connection's held records. */
struct record {
    uint64_t conn, time_ns; /* wall clock */
    uint64_t skip_bytes;    /* of this direction, dropped since its last record */
    uint64_t after_pos;     /* with after_lane: the lane's records before this position come first */
    uint32_t skip_pdus;
    uint32_t after_lane; /* 1 + lane, or 0 */
    uint32_t len;        /* bytes of payload */
    uint8_t kind, direction, flags, unused;
    uint8_t payload[];
};
struct record_open {
    struct io_addr initiator, target;
};

struct capture_side {
    uint8_t *part; /* owned: the bytes so far of a PDU that is coming in pieces */
    uint32_t part_len, part_cap;
    bool dropping; /* the current PDU found no room */
    uint64_t skip_bytes;
    uint32_t skip_pdus;
};

enum conn_state { CONN_UNDECIDED, CONN_TAKEN, CONN_IGNORED };

struct capture_conn {          /* used by one lane at a time */
    struct capture_conn *next; /* in its shard */
    uint64_t id, open_ns;
    struct io_addr initiator, target;
    enum conn_state state;
    bool told;                 /* RECORD_OPEN is out */
    struct capture_lane *lane; /* where its last record went */
    struct pdu_track track;
    struct capture_side side[2];
    uint8_t *held; /* owned: records, while undecided */
    uint32_t held_len, held_cap;
};

struct capture_lane {
    struct tap tap; /* first: a tap is its lane */
    struct capture *capture;
    uint32_t index;
    struct ring ring;
    struct capture_conn *last; /* the one asked for last, and its number */
    uint64_t last_id;
    struct capture_conn *gone; /* closed, but the ring had no room for the record yet */
    atomic_ullong pdus, pdu_bytes, dropped, dropped_bytes;
    /* writer's */
    uint64_t read_pos, read_limit;
};

struct writer_conn {
    struct writer_conn *next;
    uint64_t id;
    struct frame_conn frame;
};

struct capture_writer {
    int fd;
    uint32_t file_number; /* from 1 */
    bool file_has_frames;
    uint64_t file_len, first_ns, last_ns; /* of this file */
    uint64_t file_frames;
    uint64_t lost_frames; /* could not be made: memory, file */
    struct writer_conn *conns[1024];
    uint8_t *out; /* CAPTURE_OUT_LEN */
    uint32_t out_len;
    atomic_ullong frames, bytes;
    atomic_int err;
};

struct capture {
    const struct env *env;
    struct capture_options options; /* path, application, session are the copies below */
    char path[CAPTURE_PATH_MAX], application[64], session[256];
    uint64_t wall_offset_ns; /* to add to the hosts' clock */
    struct {
        pthread_mutex_t lock;
        struct capture_conn *first;
    } shards[CAPTURE_SHARDS];
    atomic_ullong part_bytes; /* of all half PDUs */
    struct capture_writer writer;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop; /* under lock */
    uint32_t lane_count;
    struct capture_lane lanes[];
};

void lane_init(struct capture_lane *lane, struct capture *c, uint32_t index);
/* Pushes the ends of connections for which there was no room; true when none is left. */
bool lane_finish(struct capture_lane *lane);
void lanes_free_conns(struct capture *c);

int writer_open(struct capture *c, char *why, size_t why_len);
void *writer_run(void *capture);
void writer_fini(struct capture *c);

#endif
