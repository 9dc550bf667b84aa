/* Connections and the bytes on them: what sim_net.c, sim_pipe.c and sim_listen.c share. */
#ifndef LUNETTE_IO_SIM_NET_H
#define LUNETTE_IO_SIM_NET_H

#include "common/io/sim_internal.h"

struct sim_segment {
    struct list_node node;
    uint64_t sent_ns, arrival_ns;
    size_t pos, len; /* bytes not read yet: pos .. len */
    uint8_t data[];
};

/* Bytes on their way to one end. */
struct sim_pipe {
    struct list_node segments;
    uint64_t bytes;  /* in segments */
    uint64_t window; /* most of them */
    uint64_t last_arrival_ns;
    bool fin, reset;         /* come after all segments */
    uint64_t end_arrival_ns; /* of fin or reset */
    uint64_t stalled_ns;     /* nothing moves before */
};

struct sim_end {
    struct sim_conn *conn;
    io_handle handle;
    bool open;  /* not closed by its owner */
    bool shut;  /* io_shutdown was called */
    bool reset; /* broken: everything fails at once */
    struct io_op *in, *out;
    struct io_addr local;
    struct sim_pipe pipe; /* towards this end */
    struct list_node backlog_node;
    uint64_t accept_ns; /* when the listener learns of it */
};

struct sim_conn {
    struct list_node node; /* in world->conns */
    struct sim_end end[2]; /* connecting side, accepting side */
    uint64_t number;       /* from 1 */
    uint64_t delay_ns;     /* its constant part */
    bool silent;           /* nothing gets through any more */
    uint64_t tapped;       /* bit i: tap i knows it */
};

struct sim_listener {
    struct list_node node; /* in world->listeners */
    struct io_addr addr;
    io_handle handle;
    bool shut;
    uint32_t backlog_max, backlog_len;
    struct list_node backlog; /* of sim_end.backlog_node */
    struct io_op *accept;
};

static inline struct sim_end *sim_peer_of(struct sim_end *end)
{
    return &end->conn->end[end == &end->conn->end[0] ? 1 : 0];
}

/* ---- sim_pipe.c ---- */

/* A fresh delivery delay. */
uint64_t sim_net_delay(struct sim_world *world);
/* Copies the first `len` bytes of the list into a new segment towards `to`, and shows them to taps and wire.
 */
int sim_pipe_append(struct sim_world *world, struct sim_end *to, const struct io_vec *vec, uint64_t len);
/* How many bytes have arrived by now. */
uint64_t sim_pipe_arrived(const struct sim_pipe *pipe, uint64_t now_ns);
/* That many have arrived: into the places. */
void sim_pipe_take(struct sim_world *world, struct sim_end *to, const struct io_vec *vec, uint64_t len);
/* Bytes on their way that nobody will read. */
void sim_pipe_clear(struct sim_world *world, struct sim_pipe *pipe);
/* The end goes the way of the bytes, behind them. A reset after an orderly end takes its place. */
void sim_pipe_end(struct sim_world *world, struct sim_end *to, bool reset);
void sim_taps_open(struct sim_world *world, struct sim_conn *conn);
void sim_taps_close(struct sim_world *world, struct sim_conn *conn);

/* ---- sim_net.c ---- */

/* Both handles exist from the start, so accepting cannot fail for want of one. */
int sim_conn_new(struct sim_world *world, struct sim_conn **out);
void sim_conn_free(struct sim_world *world, struct sim_conn *conn);
/* The owner is done with this end. */
void sim_end_close(struct sim_world *world, struct sim_end *end);
/* The place is empty before the done function runs: it may submit the next one. */
void sim_settle(struct io_op **place, int64_t result);

/* ---- sim_listen.c ---- */

void sim_try_connect(struct sim_world *world, struct io_op *op);
void sim_try_accept(struct sim_world *world, struct sim_listener *listener);
/* The listener's accept meets the first of its queue. */
void sim_kick_accept(struct sim_listener *listener, uint64_t now_ns);
void sim_listener_close(struct sim_world *world, struct sim_listener *listener);

#endif
