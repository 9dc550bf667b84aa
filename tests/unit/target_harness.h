/* A raw initiator around the target engine: PDUs made by hand go in as bytes, PDUs come back as bytes, stores
 * and the clock are ours. One world is one reactor with one target of two LUs in memory; any number of
 * clients. */
#ifndef LUNETTE_TESTS_TARGET_HARNESS_H
#define LUNETTE_TESTS_TARGET_HARNESS_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/io/io.h"
#include "common/iscsi/chap.h"
#include "common/iscsi/digest.h"
#include "common/iscsi/keys.h"
#include "common/iscsi/pdu.h"
#include "target/iscsi/target.h"

#define TARGET    "iqn.2026-01.com.example:disk"
#define SECOND    "iqn.2026-01.com.example:second"
#define INITIATOR "iqn.2026-01.com.example:host"
#define BLOCKS    16384u
#define BLOCK     512u

struct ram {
    struct store store;
    uint8_t *data;
    struct scsi_lu *lu;
};

struct client;
struct world {
    struct env env;
    uint64_t now, seed;
    struct pool *pool;
    struct tgt_config *config;
    struct tgt_reactor r;
    struct ram rams[2];
    bool delay;          /* store requests wait for world_release */
    uint32_t fail_alloc; /* one allocation in this many fails; 0: none */
    uint64_t live;       /* allocations that have not been freed: none is left at the end */
    int fail_next;       /* result of the next store request, 0: good */
    struct list_node delayed;
    uint32_t delayed_count;
    bool hold_place; /* placement is left to the test */
    struct tgt_conn *placing;
    uint32_t ups, downs, requests;
    struct tgt_nexus_key last_key;
    char trace[256]; /* text of the last login.failed or reject */
};

struct reply { /* one PDU from the target */
    uint8_t bhs[PDU_BHS_LEN];
    uint8_t *data;
    uint32_t len;
};

struct client {
    struct world *w;
    struct tgt_conn *conn;
    bool closed;
    bool stuck;   /* takes no bytes */
    bool pending; /* output waits for it */
    bool waits;   /* was told NOT_NOW: sends on when it is named by tgt_next_to_read */
    uint8_t *in;  /* bytes from the target */
    size_t in_len, in_cap, in_pos;
    uint8_t *out; /* bytes not yet taken by the target */
    size_t out_len, out_cap, out_pos;
    uint32_t cut; /* bytes per arrival: 0 as many as fit */
    bool cut_random;
    bool header_digest, data_digest;
    uint32_t cmd_sn, exp_stat_sn, itt;
    uint16_t tsih;
    uint8_t isid[6];
    uint16_t cid;
    struct reply reply;
};

/* ---- environment ---- */

static inline uint64_t world_random(struct world *w)
{
    uint64_t z = (w->seed += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
static inline uint64_t world_now(void *ctx)
{
    return ((struct world *)ctx)->now;
}
static inline void world_random_bytes(void *ctx, void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)world_random(ctx);
}
static inline void *world_alloc(void *ctx, size_t size, size_t align)
{
    struct world *w = ctx;
    if (w->fail_alloc && world_random(w) % w->fail_alloc == 0)
        return NULL;
    void *ptr = env_host()->alloc(env_host()->ctx, size, align);
    w->live += ptr != NULL;
    return ptr;
}
static inline void world_free(void *ctx, void *ptr)
{
    ((struct world *)ctx)->live -= ptr != NULL;
    env_host()->free(env_host()->ctx, ptr);
}
static inline size_t world_hash(void *ctx, enum hash_alg alg, const struct bytes *parts, size_t count,
                                uint8_t *out)
{
    (void)ctx;
    return env_host()->hash(env_host()->ctx, alg, parts, count, out);
}
static inline void world_trace(void *ctx, const struct trace_event *event)
{
    struct world *w = ctx;
    if (getenv("HARNESS_TRACE"))
        fprintf(stderr, "%s: %s %s %llx %llx\n", event->kind, event->who ? event->who : "",
                event->text ? event->text : "", (unsigned long long)event->a, (unsigned long long)event->b);
    if (event->text && (strcmp(event->kind, "login.failed") == 0 || strcmp(event->kind, "reject") == 0))
        snprintf(w->trace, sizeof w->trace, "%s", event->text);
}

/* ---- world ---- */

static inline void world_add_target(struct world *w, struct tgt_target *t, const char *name)
{
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->alias, sizeof t->alias, "%s", "a disk");
    key_config_default(&t->keys);
    t->map.count = 2;
    t->map.luns = env_alloc(&w->env, 2 * sizeof *t->map.luns);
    for (uint16_t i = 0; i < 2; i++) {
        t->map.luns[i].number = i;
        t->map.luns[i].lu = w->rams[i].lu;
    }
}

static inline struct tgt_config *world_config(struct world *w, uint32_t targets)
{
    struct tgt_config *c;
    int err = tgt_config_new(&w->env, &c);
    assert(!err);
    c->targets = env_alloc(&w->env, targets * sizeof *c->targets);
    c->target_count = targets;
    for (uint32_t i = 0; i < targets; i++) {
        char name[64];
        snprintf(name, sizeof name, "iqn.2026-01.com.example:t%u", i);
        world_add_target(w, &c->targets[i], i == 0 ? TARGET : i == 1 ? SECOND : name);
        c->targets[i].index = i;
    }
    c->portals = env_alloc(&w->env, sizeof *c->portals);
    c->portal_count = 1;
    addr_parse("127.0.0.1:3260", 3260, &c->portals[0].listen);
    c->portals[0].group = 1;
    return c;
}

/* pool_limit 0: plenty. */
static inline void world_init_small(struct world *w, uint64_t pool_limit)
{
    memset(w, 0, sizeof *w);
    w->env = (struct env){w, world_now, world_random_bytes, world_alloc, world_free, world_hash, world_trace};
    w->now = 1000000000;
    w->seed = 1;
    list_init(&w->delayed);
    int err = pool_new(&w->env, pool_limit ? pool_limit : 256u << 20, &w->pool);
    assert(!err);
    for (uint32_t i = 0; i < 2; i++) {
        struct ram *ram = &w->rams[i];
        struct scsi_lu_config lu = {.vendor = "LUNETTE ",
                                    .product = "TEST            ",
                                    .revision = "1   ",
                                    .block_size = BLOCK,
                                    .write_cache = true};
        snprintf(lu.serial, sizeof lu.serial, "serial%u", i);
        lu.naa[0] = 0x60;
        lu.naa[15] = (uint8_t)i;
        ram->data = calloc(BLOCKS, BLOCK);
        ram->store.env = &w->env;
        ram->store.info = (struct store_info){.size = BLOCKS * BLOCK, .block_min = 1, .volatile_cache = true};
        err = scsi_lu_new(&w->env, &lu, &ram->store, 0, 1, &ram->lu);
        assert(!err);
    }
    w->config = world_config(w, 2);
}

static inline void world_init(struct world *w)
{
    world_init_small(w, 0);
}

static inline void world_start(struct world *w)
{
    int err = tgt_reactor_init(&w->r, &w->env, w->pool, 0, 1, w->config);
    assert(!err);
}

static inline void store_execute(struct world *w, struct store_req *req)
{
    struct ram *ram = container_of(req->store, struct ram, store);
    uint64_t at = req->offset;
    req->result = w->fail_next;
    w->fail_next = 0;
    if (req->verb == STORE_READ && req->vec_count == 0) { /* to be lent */
        bool now = ram->store.ops->submit(&ram->store, NULL, req);
        assert(now);
    } else if (req->result == 0)
        for (uint32_t i = 0; i < req->vec_count && (req->verb == STORE_READ || req->verb == STORE_WRITE);
             i++) {
            if (req->verb == STORE_READ)
                memcpy(req->vec[i].ptr, ram->data + at, req->vec[i].len);
            else
                memcpy(ram->data + at, req->vec[i].ptr, req->vec[i].len);
            at += req->vec[i].len;
        }
    if (req->verb == STORE_ZERO || req->verb == STORE_DISCARD)
        memset(ram->data + req->offset, 0, req->len);
    tgt_store_done(&w->r, req);
}

static inline void client_put_in(struct client *c, const void *ptr, size_t len)
{
    if (c->in_len + len > c->in_cap) {
        c->in_cap = (c->in_len + len) * 2;
        c->in = realloc(c->in, c->in_cap);
    }
    memcpy(c->in + c->in_len, ptr, len);
    c->in_len += len;
}

/* Takes all output that there is. */
static inline bool client_take(struct client *c, struct tgt_conn *conn)
{
    struct io_vec places[8];
    uint32_t count;
    bool any = false;
    while ((count = tgt_conn_gather(conn, places, 8)) > 0) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            client_put_in(c, places[i].ptr, places[i].len);
            sum += places[i].len;
        }
        any = true;
        tgt_conn_sent(conn, sum);
    }
    return any;
}

static inline bool world_turn(struct world *w)
{
    bool any = false;
    struct tgt_event event;
    struct store_req *req;
    struct scsi_msg *msg;
    struct tgt_conn *conn;
    tgt_run(&w->r);
    while (tgt_next_event(&w->r, &event)) {
        any = true;
        struct client *c = event.conn ? tgt_conn_host(event.conn) : NULL;
        switch (event.kind) {
        case TGT_EVENT_PLACE:
            w->last_key = event.key;
            if (w->hold_place)
                w->placing = event.conn;
            else
                tgt_conn_placed(event.conn);
            break;
        case TGT_EVENT_CLOSE:
            c->closed = true;
            c->conn = NULL;
            tgt_conn_closed(event.conn);
            break;
        case TGT_EVENT_SESSION_UP:
            w->ups++;
            break;
        case TGT_EVENT_SESSION_DOWN:
            w->downs++;
            break;
        case TGT_EVENT_COLD_RESET: /* there is no other reactor */
            break;
        }
    }
    while ((req = tgt_next_request(&w->r)) != NULL) {
        any = true;
        w->requests++;
        if (w->delay) {
            list_push_back(&w->delayed, &req->node);
            w->delayed_count++;
        } else {
            store_execute(w, req);
        }
    }
    while ((msg = tgt_next_message(&w->r)) != NULL) {
        any = true;
        tgt_message(&w->r, msg);
    }
    while ((conn = tgt_next_to_send(&w->r)) != NULL) {
        struct client *c = tgt_conn_host(conn);
        if (c->stuck)
            c->pending = true; /* the host's send does not complete */
        else
            any |= client_take(c, conn);
    }
    while ((conn = tgt_next_to_read(&w->r)) != NULL) {
        ((struct client *)tgt_conn_host(conn))->waits = false;
        any = true;
    }
    return any;
}

static inline void client_push(struct client *c);
static inline void world_pump(struct world *w)
{
    while (world_turn(w))
        ;
}

static inline void world_release(struct world *w)
{
    struct list_node *node;
    while ((node = list_pop_front(&w->delayed)) != NULL) {
        w->delayed_count--;
        store_execute(w, list_entry(node, struct store_req, node));
    }
    world_pump(w);
}

static inline void world_pass(struct world *w, uint64_t ns)
{
    w->now += ns;
    tgt_tick(&w->r);
    world_pump(w);
}

static inline void world_fini(struct world *w)
{
    w->delay = false;
    world_release(w);
    tgt_stop(&w->r, true);
    world_pump(w);
    assert(list_empty(&w->r.conns) && list_empty(&w->r.sessions));
    for (uint32_t i = 0; i < 2; i++) {
        bool idle = scsi_lu_idle(&w->r.scsi, w->rams[i].lu);
        assert(idle);
        scsi_lu_forget(&w->r.scsi, w->rams[i].lu);
    }
    tgt_reactor_fini(&w->r);
    for (uint32_t i = 0; i < 2; i++) {
        scsi_lu_free(w->rams[i].lu);
        free(w->rams[i].data);
    }
    tgt_config_unref(w->config);
    pool_free(w->pool);
    assert(w->live == 0);
}

/* ---- client: bytes ---- */

static inline void client_init(struct client *c, struct world *w)
{
    memset(c, 0, sizeof *c);
    c->w = w;
    c->isid[0] = 0x80;
    c->isid[5] = 1;
    c->cid = 1;
    c->itt = 100;
    c->cmd_sn = 10;
    struct tgt_conn_info info = {.group = 1, .host = c};
    addr_parse("127.0.0.1:3260", 3260, &info.local);
    addr_parse("10.1.2.3:40000", 0, &info.peer);
    int err = tgt_conn_new(&w->r, &info, &c->conn);
    assert(!err);
}

/* Also of one that was never made (zeros), or twice. */
static inline void client_fini(struct client *c)
{
    if (!c->closed && c->conn) {
        tgt_conn_lost(c->conn, 0);
        world_pump(c->w);
    }
    free(c->in);
    free(c->out);
    free(c->reply.data);
    c->in = c->out = c->reply.data = NULL;
}

/* One arrival; false when the target wants nothing now. */
static inline bool client_arrive(struct client *c)
{
    struct io_vec places[8];
    uint32_t count;
    size_t left = c->out_len - c->out_pos;
    if (!c->conn || left == 0 || c->waits)
        return false;
    size_t n = c->cut ? (c->cut_random ? 1 + world_random(c->w) % c->cut : c->cut) : left;
    if (n > left)
        n = left;
    switch (tgt_conn_room(c->conn, places, &count)) {
    case TGT_ROOM_NOT_NOW:
        c->waits = true;
        return false;
    case TGT_ROOM_ANY: {
        uint32_t most = tgt_recv_chunk_len(c->conn);
        if (n > most)
            n = most;
        struct chunk *chunk = pool_get(c->w->pool, most);
        if (!chunk)
            return false;
        memcpy(chunk->data, c->out + c->out_pos, n);
        c->out_pos += n;
        tgt_conn_received_chunk(c->conn, chunk, (uint32_t)n);
        return true;
    }
    case TGT_ROOM_PLACES: {
        size_t done = 0;
        for (uint32_t i = 0; i < count && done < n; i++) {
            size_t part = places[i].len < n - done ? places[i].len : n - done;
            memcpy(places[i].ptr, c->out + c->out_pos + done, part);
            done += part;
        }
        c->out_pos += done;
        tgt_conn_received(c->conn, (uint32_t)done);
        return true;
    }
    }
    return false;
}

static inline void client_push(struct client *c)
{
    do
        world_pump(c->w);
    while (client_arrive(c));
    world_pump(c->w);
    if (c->closed)
        c->out_pos = c->out_len;
}

static inline void client_unstick(struct client *c)
{
    c->stuck = c->pending = false;
    if (c->conn)
        client_take(c, c->conn);
    client_push(c);
}

static inline void client_bytes(struct client *c, const void *ptr, size_t len)
{
    if (c->out_len + len > c->out_cap) {
        c->out_cap = (c->out_len + len) * 2;
        c->out = realloc(c->out, c->out_cap);
    }
    memcpy(c->out + c->out_len, ptr, len);
    c->out_len += len;
}

/* Queues a PDU: lengths, padding and digests are filled in. */
static inline void client_queue_ahs(struct client *c, uint8_t *bhs, const void *ahs, uint32_t ahs_len,
                                    const void *data, uint32_t len)
{
    static const uint8_t zero[4];
    uint8_t digest[4];
    bhs[4] = (uint8_t)(ahs_len / 4);
    be24_put(bhs + 5, len);
    client_bytes(c, bhs, PDU_BHS_LEN);
    client_bytes(c, ahs, ahs_len);
    if (c->header_digest) {
        uint32_t crc = digest_update(DIGEST_INIT, bhs, PDU_BHS_LEN);
        digest_put(digest, digest_final(digest_update(crc, ahs, ahs_len)));
        client_bytes(c, digest, 4);
    }
    client_bytes(c, data, len);
    client_bytes(c, zero, pdu_pad_len(len));
    if (c->data_digest && len) {
        uint32_t crc = digest_update(DIGEST_INIT, data, len);
        digest_put(digest, digest_final(digest_update(crc, zero, pdu_pad_len(len))));
        client_bytes(c, digest, 4);
    }
}
static inline void client_send(struct client *c, uint8_t *bhs, const void *data, uint32_t len)
{
    client_queue_ahs(c, bhs, "", 0, data ? data : "", len);
    client_push(c);
}

/* The next PDU from the target, or NULL. */
static inline struct reply *client_reply(struct client *c)
{
    uint8_t *p = c->in + c->in_pos;
    size_t left = c->in_len - c->in_pos, at = PDU_BHS_LEN;
    if (left < PDU_BHS_LEN)
        return NULL;
    uint32_t len = pdu_data_len(p);
    size_t need = PDU_BHS_LEN + (c->header_digest ? 4u : 0u) + len + pdu_pad_len(len) +
                  (c->data_digest && len ? 4u : 0u);
    if (left < need)
        return NULL;
    memcpy(c->reply.bhs, p, PDU_BHS_LEN);
    if (c->header_digest) {
        assert(digest_get(p + at) == digest_crc32c(p, at));
        at += 4;
    }
    free(c->reply.data);
    c->reply.data = malloc(len + 1);
    memcpy(c->reply.data, p + at, len);
    c->reply.data[len] = 0;
    c->reply.len = len;
    if (c->data_digest && len)
        assert(digest_get(p + at + len + pdu_pad_len(len)) == digest_crc32c(p + at, len + pdu_pad_len(len)));
    c->in_pos += need;
    return &c->reply;
}

static inline struct reply *client_expect(struct client *c, uint8_t opcode)
{
    struct reply *r = client_reply(c);
    if (!r || pdu_opcode(r->bhs) != opcode) {
        char text[400] = "nothing";
        if (r)
            pdu_dump(r->bhs, text, sizeof text);
        fprintf(stderr, "wanted %s, got %s%s (%s)\n", pdu_name(opcode), text, c->closed ? ", closed" : "",
                c->w->trace);
        abort();
    }
    return r;
}

static inline bool client_quiet(struct client *c)
{
    return c->in_pos == c->in_len;
}

/* ---- client: login ---- */

static inline void login_request(struct client *c, struct pdu_login_request *p, int csg, int nsg)
{
    pdu_login_request_init(p);
    p->immediate = 1;
    p->transit = nsg >= 0;
    p->csg = (uint8_t)csg;
    p->nsg = nsg >= 0 ? (uint8_t)nsg : 0;
    memcpy(p->isid, c->isid, 6);
    p->tsih = c->tsih;
    p->cid = c->cid;
    p->itt = 1;
    p->cmd_sn = c->cmd_sn;
    p->exp_stat_sn = c->exp_stat_sn;
}

/* Text is given with '\n' between pairs. Returns its length; every pair ends with NUL. */
static inline uint32_t text_make(const char *text, char *out)
{
    uint32_t n = 0;
    for (; text[n]; n++)
        out[n] = text[n] == '\n' ? '\0' : text[n];
    if (n)
        out[n++] = '\0';
    return n;
}

static inline bool reply_has(const struct reply *r, const char *pair)
{
    for (uint32_t at = 0; at < r->len; at += (uint32_t)strlen((char *)r->data + at) + 1)
        if (strcmp((char *)r->data + at, pair) == 0)
            return true;
    return false;
}

static inline struct pdu_login_response client_login_step(struct client *c, int csg, int nsg,
                                                          const char *text)
{
    static char buf[100000];
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request p;
    struct pdu_login_response rsp;
    login_request(c, &p, csg, nsg);
    pdu_login_request_encode(&p, bhs);
    client_send(c, bhs, buf, text_make(text, buf));
    struct reply *r = client_expect(c, PDU_OP_login_response);
    pdu_login_response_decode(r->bhs, &rsp);
    if (rsp.status_class == 0)
        c->exp_stat_sn = rsp.stat_sn + 1;
    return rsp;
}
static inline uint16_t login_status(struct pdu_login_response r)
{
    return (uint16_t)(r.status_class << 8 | r.status_detail);
}

#define NAMES "InitiatorName=" INITIATOR "\nTargetName=" TARGET
/* Operational stage to full feature phase with the given extra keys. */
static inline void client_login(struct client *c, const char *keys)
{
    char text[4096];
    snprintf(text, sizeof text, "%s\nSessionType=Normal%s%s", NAMES, keys[0] ? "\n" : "", keys);
    struct pdu_login_response rsp = client_login_step(c, 1, 3, text);
    if (login_status(rsp) != 0 || !rsp.transit || rsp.nsg != 3) {
        fprintf(stderr, "login: %04x T=%d %s\n", login_status(rsp), rsp.transit, c->w->trace);
        abort();
    }
    c->header_digest = reply_has(&c->reply, "HeaderDigest=CRC32C");
    c->data_digest = reply_has(&c->reply, "DataDigest=CRC32C");
    c->tsih = rsp.tsih;
    c->exp_stat_sn = rsp.stat_sn + 1;
}
static inline void client_discovery(struct client *c)
{
    struct pdu_login_response rsp =
        client_login_step(c, 1, 3, "InitiatorName=" INITIATOR "\nSessionType=Discovery");
    assert(login_status(rsp) == 0 && rsp.transit);
}

/* ---- client: commands ---- */

static inline void cdb_rw(uint8_t *cdb, bool write, uint32_t lba, uint16_t blocks)
{
    memset(cdb, 0, 16);
    cdb[0] = write ? 0x2a : 0x28;
    be32_put(cdb + 2, lba);
    be16_put(cdb + 7, blocks);
}
static inline struct pdu_scsi_command command(struct client *c, bool read, bool write, uint32_t edtl)
{
    struct pdu_scsi_command p;
    pdu_scsi_command_init(&p);
    p.final = 1;
    p.read = read;
    p.write = write;
    p.attr = 1;
    p.itt = c->itt++;
    p.expected_data_transfer_length = edtl;
    p.cmd_sn = c->cmd_sn++;
    p.exp_stat_sn = c->exp_stat_sn;
    return p;
}
static inline void command_send(struct client *c, const struct pdu_scsi_command *p, const void *data,
                                uint32_t len)
{
    uint8_t bhs[PDU_BHS_LEN];
    pdu_scsi_command_encode(p, bhs);
    client_send(c, bhs, data, len);
}
static inline uint32_t read_send(struct client *c, uint32_t lba, uint16_t blocks)
{
    struct pdu_scsi_command p = command(c, true, false, blocks * BLOCK);
    cdb_rw(p.cdb, false, lba, blocks);
    command_send(c, &p, NULL, 0);
    return p.itt;
}
static inline struct pdu_data_out data_out(uint32_t itt, uint32_t ttt, uint32_t sn, uint32_t offset,
                                           bool final)
{
    struct pdu_data_out p;
    pdu_data_out_init(&p);
    p.itt = itt;
    p.ttt = ttt;
    p.data_sn = sn;
    p.buffer_offset = offset;
    p.final = final;
    return p;
}
static inline void data_out_send(struct client *c, const struct pdu_data_out *p, const void *data,
                                 uint32_t len)
{
    uint8_t bhs[PDU_BHS_LEN];
    pdu_data_out_encode(p, bhs);
    client_send(c, bhs, data, len);
}
static inline struct pdu_scsi_response expect_response(struct client *c)
{
    struct pdu_scsi_response rsp;
    pdu_scsi_response_decode(client_expect(c, PDU_OP_scsi_response)->bhs, &rsp);
    c->exp_stat_sn = rsp.stat_sn + 1;
    return rsp;
}
/* Immediate; `rtt` and `ref` (RefCmdSN) name the task, where it is for one. */
static inline struct pdu_task_management_request tmf_request(struct client *c, uint8_t function, uint64_t lun,
                                                             uint32_t rtt, uint32_t ref)
{
    struct pdu_task_management_request p;
    pdu_task_management_request_init(&p);
    p.immediate = 1;
    p.function = function;
    p.lun = lun << 48;
    p.itt = c->itt++;
    p.referenced_task_tag = rtt;
    p.ref_cmd_sn = ref;
    p.cmd_sn = c->cmd_sn;
    p.exp_stat_sn = c->exp_stat_sn;
    return p;
}
static inline uint32_t tmf_send(struct client *c, const struct pdu_task_management_request *p)
{
    uint8_t bhs[PDU_BHS_LEN];
    pdu_task_management_request_encode(p, bhs);
    client_send(c, bhs, NULL, 0);
    return p->itt;
}
static inline struct pdu_task_management_response tmf_answer(struct client *c)
{
    struct pdu_task_management_response rsp;
    pdu_task_management_response_decode(client_expect(c, PDU_OP_task_management_response)->bhs, &rsp);
    c->exp_stat_sn = rsp.stat_sn + 1;
    return rsp;
}
static inline struct pdu_task_management_response tmf_do(struct client *c, uint8_t function, uint64_t lun,
                                                         uint32_t rtt, uint32_t ref)
{
    struct pdu_task_management_request p = tmf_request(c, function, lun, rtt, ref);
    tmf_send(c, &p);
    return tmf_answer(c);
}
/* NOP-Out without a ping: acknowledges what c->exp_stat_sn says; `ttt` answers a ping of the target. */
static inline void nop_ack(struct client *c, uint32_t ttt, uint64_t lun)
{
    struct pdu_nop_out p;
    uint8_t bhs[PDU_BHS_LEN];
    pdu_nop_out_init(&p);
    p.immediate = 1;
    p.itt = PDU_TAG_RESERVED;
    p.ttt = ttt;
    p.lun = lun;
    p.cmd_sn = c->cmd_sn;
    p.exp_stat_sn = c->exp_stat_sn;
    pdu_nop_out_encode(&p, bhs);
    client_send(c, bhs, NULL, 0);
}
/* A ping of the target, which solicits an acknowledgement. */
static inline uint32_t expect_ping(struct client *c)
{
    struct pdu_nop_in in;
    pdu_nop_in_decode(client_expect(c, PDU_OP_nop_in)->bhs, &in);
    assert(in.itt == PDU_TAG_RESERVED && in.ttt != PDU_TAG_RESERVED);
    return in.ttt;
}
static inline void logout_send(struct client *c, uint8_t reason, uint16_t cid, uint32_t itt)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_logout_request p;
    pdu_logout_request_init(&p);
    p.immediate = 1;
    p.reason = reason;
    p.cid = cid;
    p.itt = itt;
    p.cmd_sn = c->cmd_sn;
    p.exp_stat_sn = c->exp_stat_sn;
    pdu_logout_request_encode(&p, bhs);
    client_send(c, bhs, NULL, 0);
}
/* CHECK CONDITION with key, asc and ascq? The sense is fixed format. */
static inline bool sense_is(const struct client *c, uint8_t key, uint8_t asc, uint8_t ascq)
{
    const uint8_t *s = c->reply.data + 2;
    return c->reply.len >= 20 && (s[2] & 15) == key && s[12] == asc && s[13] == ascq;
}
/* A unit attention is due on first contact with each LU: takes it. */
static inline void client_settle(struct client *c, uint8_t lun)
{
    struct pdu_scsi_command p = command(c, false, false, 0);
    p.lun = (uint64_t)lun << 48;
    command_send(c, &p, NULL, 0);
    expect_response(c);
}
static inline void pattern(uint8_t *data, size_t len, uint32_t salt)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)((i * 7 + i / 251 + salt) ^ (i >> 9));
}
/* Reads until the command's end; status GOOD and all data, or abort. */
static inline void read_collect(struct client *c, uint8_t *out, uint32_t len)
{
    uint32_t got = 0;
    for (;;) {
        struct reply *r = client_expect(c, PDU_OP_data_in);
        struct pdu_data_in in;
        pdu_data_in_decode(r->bhs, &in);
        assert(in.buffer_offset == got && got + r->len <= len);
        memcpy(out + got, r->data, r->len);
        got += r->len;
        if (in.has_status) {
            assert(in.status == 0 && got == len && in.final);
            c->exp_stat_sn = in.stat_sn + 1;
            return;
        }
    }
}

#endif
