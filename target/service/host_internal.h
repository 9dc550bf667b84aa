/* What the files of the host share: host.c (life, configuration, looking in), reactor.c (the turn),
 * host_conn.c (connections), listener.c. */
#ifndef LUNETTE_SERVICE_HOST_INTERNAL_H
#define LUNETTE_SERVICE_HOST_INTERNAL_H

#include "common/capture/tap.h"
#include "common/iscsi/framer.h"
#include "target/service/directory.h"
#include "target/service/host.h"

#define HOST_STREAM_LEN (32 * 1024)         /* bytes: a receive that brings as much has more behind it */
#define HOST_ROUNDS_MAX 16u                 /* engine rounds in one turn: then sockets get their share */
#define HOST_RETRY_NS   5000000u            /* how long to wait before asking for memory again */
#define HOST_ACCEPT_NS  100000000u          /* how long to wait after accept failed (no descriptors) */
#define HOST_BACKLOG    512                 /* connections the kernel keeps for us */
#define HOST_MEMORY_MIN (16u * 1024 * 1024) /* bytes: least share of one reactor */

/* The places of one send. Only connections that are sending have one. */
struct host_output {
    struct list_node node; /* reactor->free_outputs */
    struct io_vec places[IO_VEC_MAX];
};

struct host_conn {
    struct list_node node;      /* reactor->conns, or reactor->free_conns */
    struct list_node recv_node; /* reactor->to_recv or reactor->starved */
    struct host_reactor *r;     /* borrowed; changes when the connection is placed */
    struct tgt_conn *engine;    /* owned by the engine */
    io_handle sock;
    uint64_t number; /* what taps call it */
    struct io_addr peer;
    struct io_op recv, send;
    struct io_vec in[FRAMER_PLACES_MAX];
    struct host_output *out;       /* while a send is in flight */
    uint64_t shown;                /* bytes of the output to come that the tap has seen already */
    struct io_post post;           /* on its way to another reactor */
    struct directory_place *place; /* one reference, or NULL */
    uint16_t group;                /* of the portal that it came in through */
    bool login_counted;            /* in the directory's count of its address */
    bool closing;                  /* the engine wants it closed; operations may still be in flight */
    int attach_err;                /* it could not be attached after a move */
};

struct host_listener {
    struct list_node node; /* reactor->listeners */
    struct host_reactor *r;
    io_handle sock;
    uint16_t group;
    struct io_op accept;
    struct io_timer retry;
    bool closing;
};

/* Carries one engine message to another reactor; afterwards it belongs to the receiver's free list. */
struct host_msg {
    struct list_node node;
    struct io_post post;
    struct host_reactor *to;
    struct scsi_msg *msg;
};

struct host_reactor {
    struct host *host;
    uint32_t index;
    struct io *io; /* borrowed */
    struct pool *pool;
    struct tap *tap; /* borrowed, or NULL */
    struct tgt_reactor engine;
    struct list_node conns, free_conns, listeners, free_msgs, free_outputs;
    struct list_node to_recv; /* connections that may be read again at the end of this turn */
    struct list_node starved; /* connections whose receive found no memory */
    struct io_timer deadline; /* the engine's */
    struct io_timer memory;   /* starved connections try again */
    struct io_post kick;      /* continues work that did not fit into one turn */
    bool kicked;
    uint64_t store_pending, store_requests, conn_count;
    bool stopping, stop_now;
};

struct host {
    const struct env *env;
    struct directory *directory;
    uint32_t count;
    atomic_uint connections; /* of all reactors */
    atomic_ullong refused;
    atomic_uint in_transit; /* posts between reactors that have not run */
    atomic_ullong conns_numbered;
    struct host_reactor reactors[];
};

/* ---- reactor.c ---- */
void reactor_turn(void *arg); /* the turn hook */
/* Work was given to the engine outside a turn of its own: makes sure that a turn follows. */
void reactor_kick(struct host_reactor *r);
void reactor_memory_wait(struct host_reactor *r, struct host_conn *conn);

/* ---- host_conn.c ---- */
void host_conn_accepted(struct host_reactor *r, io_handle sock, const struct io_addr *peer, uint16_t group);
void host_conn_recv(struct host_conn *conn); /* if the engine wants bytes */
void host_conn_send(struct host_conn *conn);
void host_conn_place(struct host_conn *conn, const struct tgt_nexus_key *key);
void host_conn_login_over(struct host_conn *conn);
void host_conn_close(struct host_conn *conn); /* the engine said so */

/* ---- listener.c ---- */
void listener_close(struct host_listener *listener);

#endif
