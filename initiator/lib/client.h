/* The client's inside. Private to initiator/lib. */
#ifndef LUNETTE_INITIATOR_LIB_CLIENT_H
#define LUNETTE_INITIATOR_LIB_CLIENT_H

#include "initiator/lib/lunette.h"

#define LNT_ADDRESSES_MAX   8
#define LNT_ERROR_MAX       512u
#define LNT_POOL_LIMIT      (256ull << 20) /* bytes of chunks of one client */
#define LNT_BACKOFF_MIN_NS  50000000ull
#define LNT_BACKOFF_MAX_NS  2000000000ull
#define LNT_BUSY_DELAY_NS   20000000ull   /* before a command that met BUSY or TASK SET FULL goes again */
#define LNT_ABORT_WAIT_NS   5000000000ull /* for the answer to a task management function */
#define LNT_ATTEMPTS_MAX    64u           /* retries after unit attentions and busy, not after cuts */
#define LNT_FIRST_TRIES_MAX 16u           /* connections cut during the very first login */

enum lnt_state {
    LNT_NEW,
    LNT_CONNECTING,
    LNT_LOGIN,
    LNT_UP,
    LNT_BREAKING, /* socket shut down, operations still out */
    LNT_WAITING,  /* back-off before the next attempt */
    LNT_FAILED,   /* gave up */
    LNT_CLOSED
};

struct lnt_client {
    const struct env *env;
    struct io *io;
    struct pool *pool; /* owned */
    struct tx_pool tx_pool;
    struct lnt_url url;
    struct lnt_options options;
    enum lnt_state state;

    struct io_addr addresses[LNT_ADDRESSES_MAX];
    int address_count, address_next;
    uint32_t redirects;
    io_handle sock;
    struct ini_session *session;
    struct io_op connect_op, recv_op, send_op;
    struct io_vec recv_places[FRAMER_PLACES_MAX], send_places[IO_VEC_MAX];
    bool recv_places_used, shut, transport_broken;
    int broken_err;
    struct io_post flush;
    bool flush_posted, close_pending;
    struct io_timer timer;

    struct list_node waiting; /* lnt_command.node: to be (re-)submitted */
    struct list_node active;  /* submitted to the session */
    bool was_up, closing, discovery;
    uint32_t first_tries;
    uint64_t lost_since_ns, next_try_ns, backoff_ns, attempt_started_ns, retry_at_ns;
    uint64_t time2wait_ns;  /* that the target wants us to stay away after it dropped us */
    uint64_t abort_sent_ns; /* a task management function of ours is on its way; 0: none */
    uint8_t
        late_step; /* functions tried for the oldest late command: 1 ABORT TASK, 2 LOGICAL UNIT RESET too */
    uint64_t reconnects;
    char error[LNT_ERROR_MAX];

    void (*open_done)(void *arg, int err);
    void *open_arg;
    void (*close_done)(void *arg);
    void *close_arg;
    /* discovery and ping, for the synchronous face */
    bool text_done, ping_done;
    int text_err;
    struct list_node *targets; /* where discovered targets go; borrowed */
    uint64_t ping_ns;
};

/* connection.c */
void client_connect(struct lnt_client *c);
void client_want_flush(struct lnt_client *c);
void client_post_flush(struct lnt_client *c);
void client_break(struct lnt_client *c); /* shut down; the rest follows when operations have ended */
void client_arm_timer(struct lnt_client *c);
void client_set_error(struct lnt_client *c, const char *text);
/* client.c */
void client_events(struct lnt_client *c);
void client_session_over(struct lnt_client *c);
void client_connect_failed(struct lnt_client *c, int err, const char *what);
void client_tick(struct lnt_client *c);
void client_fail_waiting(struct lnt_client *c, int error);
/* discover.c */
void client_take_targets(struct lnt_client *c, const uint8_t *text, uint32_t len);

#endif
