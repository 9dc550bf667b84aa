/* The client's inside. Private to initiator/lib.
 *
 *   client.c      life: the first login, the end of a session, the next attempt, giving up
 *   turn.c        time, further connections, output at the end of a turn
 *   connection.c  one connection: connect, receive, send, the orderly end of all three
 *   events.c      what the engine reports, and what the user hears of it
 *   queue.c       commands: waiting, submitted, going again, late
 *   redirect.c    where to connect: addresses, redirects, the portal group's other portals */
#ifndef LUNETTE_INITIATOR_LIB_CLIENT_H
#define LUNETTE_INITIATOR_LIB_CLIENT_H

#include "initiator/lib/lunette.h"

#define LNT_ADDRESSES_MAX  8
#define LNT_ERROR_MAX      512u
#define LNT_HOST_MAX       IO_RESOLVE_TEXT_MAX
#define LNT_POOL_LIMIT     (256ull << 20) /* bytes of chunks of one client */
#define LNT_BACKOFF_MIN_NS 50000000ull
#define LNT_BACKOFF_MAX_NS 2000000000ull
#define LNT_BUSY_DELAY_NS  20000000ull    /* before a command that met BUSY or TASK SET FULL goes again */
#define LNT_BUSY_MAX_NS    30000000000ull /* how long it does, unless a command has less time */
#define LNT_STARVED_NS     5000000ull /* before a receive that found no memory is tried again, at the latest */
#define LNT_ABORT_WAIT_NS  5000000000ull  /* for the answer to a task management function */
#define LNT_PROVEN_NS      10000000000ull /* a session that lasted so long was a good one */
#define LNT_LINGER_NS                                                                                        \
    1000000000ull /* for the target to close the connections of a session that has logged out */
#define LNT_STEADY_NS         1000000000ull  /* a connection that lasted so long may come back at once */
#define LNT_ANSWER_NS         15000000000ull /* for the answer to a ping or function that somebody waits for */
#define LNT_ATTEMPTS_MAX      64u            /* retries after unit attentions and aborts, not after cuts */
#define LNT_FIRST_TRIES_MAX   16u            /* connections cut during the very first login */
#define LNT_FURTHER_TRIES_MAX 8u             /* in a row, for a connection beside others that work */

enum lnt_state {
    LNT_NEW,
    LNT_RESOLVING,  /* a host name, of the URL or of a redirect */
    LNT_CONNECTING, /* the leading connection */
    LNT_LOGIN,      /* its login */
    LNT_UP,         /* a session, perhaps (level 2) waiting for connections */
    LNT_BREAKING,   /* the session is over, operations still out */
    LNT_WAITING,    /* back-off before the next attempt */
    LNT_FAILED,     /* gave up */
    LNT_CLOSED
};

/* One socket and its place in the session. Free: neither connecting nor holding a socket. */
struct lnt_connection {
    struct lnt_client *client;
    struct ini_conn *ini; /* owned until CONN_CLOSED; NULL: none */
    io_handle sock;       /* owned; IO_NONE: none */
    struct io_op connect_op, recv_op, send_op;
    struct io_vec recv_places[FRAMER_PLACES_MAX], send_places[IO_VEC_MAX];
    bool recv_places_used;
    bool shut;             /* socket shut down: waits for the operations to end */
    bool lost_told;        /* ini_lost has been called */
    bool ended;            /* CONN_CLOSED has been pulled */
    bool transport_broken; /* it ended by the network, not by what a side said */
    bool logged_in;
    bool drained; /* lingering: its end has been received */
    int broken_err;
    uint64_t started_ns;  /* of the connect */
    uint64_t up_since_ns; /* with logged_in */
    uint64_t next_try_ns; /* a further connection: when to connect; UINT64_MAX: not in this session */
    uint64_t backoff_ns;
    uint32_t failures; /* in a row */
    uint32_t hops;     /* redirects followed since it was last up */
    bool elsewhere;    /* `address` is where a redirect sent it */
    struct io_addr address;
    uint64_t tap_id;
    bool tapped; /* the tap has seen it open */
    uint64_t
        tap_shown; /* bytes at the front of the output that the tap has seen and that have not gone yet */
};

struct lnt_hop {
    struct io_addr from, to;
};

/* What a host name is looked up for. */
enum lnt_lookup {
    LNT_LOOKUP_URL,     /* the first time */
    LNT_LOOKUP_RENEW,   /* the URL again: the target was not where it had been */
    LNT_LOOKUP_HOP,     /* where a login was sent */
    LNT_LOOKUP_FURTHER, /* where a further connection was sent */
    LNT_LOOKUP_PORTAL   /* of the portal group */
};

struct lnt_client {
    const struct env *env;
    struct io *io;
    struct pool *pool; /* owned */
    struct tx_pool tx_pool;
    struct lnt_url url;
    struct lnt_options options;
    enum lnt_state state;

    /* where to connect (redirect.c) */
    struct io_addr home[LNT_ADDRESSES_MAX]; /* of the URL, or where a permanent redirect has sent us */
    int home_count;
    struct io_addr addresses[LNT_ADDRESSES_MAX]; /* for this login */
    int address_count, address_next;
    struct lnt_hop hops[LNT_REDIRECTS_MAX + 1]; /* of this login */
    uint32_t hop_count;
    bool hops_permanent; /* all of them: then they are remembered once the login succeeds */
    bool hop_pending;    /* the next attempt is a redirect's, and comes at once */
    struct io_addr portals[LNT_ADDRESSES_MAX]; /* of the portal group, for `spread` */
    int portal_count;
    char portal_names[LNT_ADDRESSES_MAX][LNT_HOST_MAX]; /* still to be looked up */
    int portal_name_count;
    struct io_resolve resolve;
    enum lnt_lookup lookup;
    char lookup_text[LNT_HOST_MAX];
    uint64_t lookup_since_ns;
    bool lookup_permanent;                    /* HOP */
    struct lnt_connection *lookup_conn;       /* FURTHER */
    struct io_addr origin[LNT_ADDRESSES_MAX]; /* of the URL; home differs after a permanent redirect */
    int origin_count;
    bool home_moved, home_stale; /* stale: it could not be reached since it was looked up */

    struct ini_session *session;
    bool session_closed;                /* it has said CLOSED */
    struct lnt_connection *connections; /* owned, options.connections of them; [0] leads */
    uint64_t not_before_ns;             /* Time2Wait of the engine's CONN_WANTED */
    uint64_t starved_ns;                /* since then some receive has found no memory; 0: none has */
    struct io_post flush;
    bool flush_posted, close_pending;
    struct io_timer timer;

    struct list_node waiting; /* lnt_command.node: to be (re-)submitted */
    struct list_node active;  /* submitted to the session */
    bool was_up, closing, discovery;
    uint64_t linger_ns; /* closing: until then the target may close the connections itself; 0: not begun */
    uint32_t first_tries;
    /* of this session */
    bool session_was_up, logged_out, abandoned;
    bool progress;  /* a command ended by its status */
    bool lost;      /* a command ended without one */
    int broken_err; /* why it ended, for the caller */
    uint64_t up_since_ns,
        bare_since_ns;      /* bare: the session is up without any connection since then; 0: it has some */
    uint64_t cut_ns;        /* when the last connection was cut */
    uint64_t lost_since_ns; /* when things last went well, while they do not; 0: they do */
    uint64_t next_try_ns, backoff_ns, retry_at_ns;
    uint64_t time2wait_ns;  /* that the target wants us to stay away after it dropped us */
    bool has_time2wait;     /* it said so itself */
    uint64_t abort_sent_ns; /* a task management function of ours is on its way; 0: none */
    uint32_t abort_tag;
    uint8_t
        late_step; /* functions tried for the oldest late command: 1 ABORT TASK, 2 LOGICAL UNIT RESET too */
    struct lnt_counters counters; /* recovery: of past sessions */
    char error[LNT_ERROR_MAX];

    void (*open_done)(void *arg, int err);
    void *open_arg;
    void (*close_done)(void *arg);
    void *close_arg;
    void (*event)(void *arg, const struct lnt_event *event);
    void *event_arg;
    /* discovery, ping and task management, for the synchronous face */
    bool text_done, ping_done, tmf_done;
    int text_err;
    struct list_node *targets; /* where discovered targets go; borrowed */
    uint32_t ping_tag, tmf_tag;
    uint64_t ping_ns;
    uint8_t ping_response; /* not 0: its answer was lost with its connection */
    uint8_t tmf_response;
};

/* client.c */
void client_connect(struct lnt_client *c); /* the leading connection */
/* Without a session: follows a redirect, waits for the next attempt, or gives up. */
void client_wait_or_give_up(struct lnt_client *c, int err);
void client_connect_failed(struct lnt_client *c, int err, const char *what);
void client_session_up(struct lnt_client *c);
/* The session has said CLOSED. Operations may still be out: then this comes again when they have ended. */
void client_session_over(struct lnt_client *c);
/* Ends the session, at every level; what follows comes as events. */
void client_abandon(struct lnt_client *c, int err, const char *why);
void client_give_up(struct lnt_client *c, int err);
void client_set_error(struct lnt_client *c, const char *text);
bool client_quiet(const struct lnt_client *c); /* no connection holds a socket or is connecting */

/* turn.c */
void client_arm_timer(struct lnt_client *c);
void client_starved(struct lnt_client *c); /* a receive found no memory: it is tried again soon */
void client_post_flush(struct lnt_client *c);
void client_want_flush(struct lnt_client *c);

/* connection.c */
void connection_connect(struct lnt_connection *conn, const struct io_addr *to);
void connection_break(
    struct lnt_connection *conn); /* shut down; the rest follows when operations have ended */
void connection_settle(struct lnt_connection *conn);
void connection_send(struct lnt_connection *conn);
void connection_receive(struct lnt_connection *conn);
bool connection_idle(const struct lnt_connection *conn);
void connection_retry_at_once(struct lnt_connection *conn);
void connection_retry_later(struct lnt_connection *conn);

/* events.c */
void client_events(struct lnt_client *c);
void client_tell(struct lnt_client *c, enum lnt_event_kind kind, int32_t lun, const char *text);
/* Tells of sense data that is news about the unit (`lun` in wire format), not about a command. `async`: it
 * came in an asynchronous message, so all of it is news. */
void client_tell_sense(struct lnt_client *c, uint64_t lun, const uint8_t *data, size_t len, bool async);

/* queue.c */
void queue_submit_waiting(struct lnt_client *c);
void queue_command_ended(struct lnt_client *c, struct lnt_command *command);
void queue_fail_waiting(struct lnt_client *c, int error);
void queue_check_late(struct lnt_client *c, uint64_t now);
void queue_time_starts_anew(
    struct lnt_client *c); /* connections are back: what a cut took counts for no command */
uint64_t queue_deadline(const struct lnt_client *c);

/* redirect.c */
/* The URL's host, the first time: then the client connects, at once or when it is found; or gives up. */
void redirect_resolve(struct lnt_client *c);
void redirect_renew(
    struct lnt_client *c); /* before another attempt: has it moved? Then the client connects */
void redirect_unreachable(struct lnt_client *c);        /* a connect failed */
uint64_t redirect_deadline(const struct lnt_client *c); /* of a lookup that the client waits for */
void redirect_late(struct lnt_client *c);
void redirect_stop(struct lnt_client *c); /* looks nothing up any more */
void redirect_session_over(struct lnt_client *c);
void redirect_start(struct lnt_client *c); /* a new login: from home */
/* False: not followed, words set. */
bool redirect_follow(struct lnt_client *c, const char *text, bool permanent);
bool redirect_follow_one(struct lnt_connection *conn, const char *text);
void redirect_logged_in(struct lnt_client *c);
void redirect_take_portals(struct lnt_client *c, const uint8_t *text, uint32_t len);
const struct io_addr *redirect_address(struct lnt_connection *conn); /* of a further connection's next try */

/* discover.c */
void client_take_targets(struct lnt_client *c, const uint8_t *text, uint32_t len);

#endif
