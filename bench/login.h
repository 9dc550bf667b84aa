/* Logins by the initiator engine, connections by ourselves: the engine does negotiation, CHAP and redirects,
 * then hands the socket and the numbers over to a loop that knows no recovery and costs next to nothing.
 *
 * PDUs are read one by one during login, so that no byte of the full feature phase goes to the engine, and
 * the numbers come from the last Login Response. Non-blocking: a caller may have many under way. */
#ifndef LUNETTE_BENCH_LOGIN_H
#define LUNETTE_BENCH_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "initiator/lib/lunette.h"

#define LOGIN_PDU_MAX   16384u /* bytes of one login answer that we take: 8192 is the limit before FFP */
#define LOGIN_ADDRESSES 8

/* What all logins of a process share. */
struct login_shop {
    const struct env *env;
    const struct lnt_options *options;   /* borrowed */
    struct ini_options session_template; /* with the URL's names and secrets */
    struct io_addr addresses[LOGIN_ADDRESSES];
    int address_count;
    struct pool *pool;
    struct tx_pool tx_pool;
};
/* Resolves the URL's host. ERR_NOTFOUND, ERR_NOMEM; `why` has the words. */
int login_shop_init(struct login_shop *shop, const struct env *env, const struct lnt_url *url,
                    const struct lnt_options *options, char *why, size_t why_len);
void login_shop_fini(struct login_shop *shop);

struct login_ready { /* a connection in the full feature phase */
    int fd;          /* blocking mode; the taker's */
    uint16_t cid;
    uint32_t exp_stat_sn;
    uint32_t cmd_sn, max_cmd_sn;
    struct key_params params;
};

enum login_state { LOGIN_CONNECTING, LOGIN_SENDING, LOGIN_READING, LOGIN_DONE, LOGIN_FAILED };

struct login { /* one session; its connections log in one after the other */
    struct login_shop *shop;
    struct ini_session *session; /* owned */
    struct ini_conn *conn;       /* the one that logs in */
    int fd;
    enum login_state state;
    struct io_addr address;
    struct ini_options options;
    uint32_t hops;
    bool tried_md5;
    uint8_t *pdu; /* owned, LOGIN_PDU_MAX */
    uint32_t have, need;
    struct login_ready ready;
    int error;
    char why[320];
};
/* `number` tells the sessions of a process apart: it goes into the ISID. Starts to connect. */
int login_start(struct login *login, struct login_shop *shop, uint32_t number);
/* A further connection of the same session, after LOGIN_DONE. */
int login_further(struct login *login);
/* Goes on as far as it can without waiting; poll for `login_events` when it is neither DONE nor FAILED. */
enum login_state login_step(struct login *login);
short login_events(const struct login *login);
/* Runs one to its end. 0 or the error; login->why has the words. */
int login_wait(struct login *login, uint64_t timeout_ns);
/* Ends the engine's part. Sockets that were handed over (DONE) live on. */
void login_fini(struct login *login);

#endif
