/* A host for device servers in unit tests: one or two reactors, their message queues, a scripted store whose
 * requests can be held back or made to fail, and commands that carry their data in plain arrays. Everything
 * runs when rig_run is called. */
#ifndef LUNETTE_TESTS_DEVICE_RIG_H
#define LUNETTE_TESTS_DEVICE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/env.h"
#include "common/base/err.h"
#include "common/scsi/cdb.h"
#include "common/scsi/sense.h"
#include "target/scsi/device.h"

#define RIG_DISK_MAX (1024u * 1024u)
#define RIG_REACTORS 2u

/* A store over an array. `size` may be larger: beyond the array reads are zeros and writes are dropped. */
struct fake_store {
    struct store store;
    uint8_t *disk;
    bool hold;        /* keep requests until rig_release */
    int fail;         /* result of the requests that touch fail_at */
    uint64_t fail_at; /* byte */
    int fail_verb;    /* enum store_verb; -1: any */
    unsigned requests, flushes, fua_writes, discards, zeros;
};

struct rig_heap {
    unsigned fail_at, calls; /* the fail_at-th allocation fails; 0: none */
    long live;
};

struct rig {
    struct rig_heap heap;
    struct env env;
    struct pool *pools[RIG_REACTORS];
    struct scsi_reactor reactors[RIG_REACTORS];
    uint32_t count;
    struct list_node held; /* store requests */
    struct fake_store fake;
    struct scsi_lu *lu;
    struct scsi_lun lun[2];
    struct scsi_lun_map map;
    bool messages_held;
    uint32_t span_len; /* data-out comes in spans of this size */
};

struct rig_cmd {
    struct scsi_task task;
    struct rig *rig;
    const uint8_t *out;
    uint8_t *in;
    uint64_t sent, got;
    bool over, aborted;
    struct list_node loans; /* spans kept by keep_spans */
    bool keep_spans;
};

static void *rig_alloc(void *ctx, size_t size, size_t align)
{
    struct rig_heap *heap = ctx;
    if (++heap->calls == heap->fail_at)
        return NULL;
    void *p = env_host()->alloc(NULL, size, align);
    heap->live += p != NULL;
    return p;
}

static void rig_free_memory(void *ctx, void *p)
{
    struct rig_heap *heap = ctx;
    heap->live -= p != NULL;
    env_host()->free(NULL, p);
}

static bool fake_touches(const struct fake_store *f, const struct store_req *req)
{
    if (f->fail_verb >= 0 && (int)req->verb != f->fail_verb)
        return false;
    return req->verb == STORE_FLUSH || (f->fail_at >= req->offset && f->fail_at < req->offset + req->len);
}

static void fake_execute(struct fake_store *f, struct store_req *req)
{
    f->requests++;
    req->result = 0;
    if (f->fail && fake_touches(f, req)) {
        req->result = f->fail;
        req->error_offset = f->fail_at;
        return;
    }
    uint64_t at = req->offset;
    f->flushes += req->verb == STORE_FLUSH;
    f->discards += req->verb == STORE_DISCARD;
    f->zeros += req->verb == STORE_ZERO;
    f->fua_writes += req->verb == STORE_WRITE && req->fua;
    if (req->verb == STORE_DISCARD || req->verb == STORE_ZERO) {
        for (uint64_t i = at; i < at + req->len && i < RIG_DISK_MAX; i++)
            f->disk[i] = 0;
    }
    for (uint32_t v = 0; v < req->vec_count && (req->verb == STORE_READ || req->verb == STORE_WRITE); v++) {
        uint8_t *p = req->vec[v].ptr;
        for (size_t i = 0; i < req->vec[v].len; i++, at++) {
            if (req->verb == STORE_READ)
                p[i] = at < RIG_DISK_MAX ? f->disk[at] : 0;
            else if (at < RIG_DISK_MAX)
                f->disk[at] = p[i];
        }
    }
}

static struct scsi_lu_config rig_lu_config(void)
{
    struct scsi_lu_config c = {.vendor = "LUNETTE",
                               .product = "TEST",
                               .revision = "1",
                               .serial = "0123456789",
                               .block_size = 512,
                               .write_cache = true};
    c.naa[0] = 0x60;
    return c;
}

static void rig_init(struct rig *rig, uint32_t count, const struct scsi_lu_config *config, uint64_t size)
{
    memset(rig, 0, sizeof *rig);
    rig->env = *env_host();
    rig->env.ctx = &rig->heap;
    rig->env.alloc = rig_alloc;
    rig->env.free = rig_free_memory;
    rig->count = count;
    rig->span_len = 8192;
    list_init(&rig->held);
    rig->fake.disk = calloc(1, RIG_DISK_MAX);
    rig->fake.fail_verb = -1;
    rig->fake.store.env = &rig->env;
    rig->fake.store.info = (struct store_info){
        .size = size, .can_discard = true, .thin = true, .volatile_cache = true, .block_min = 1};
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pool_new(&rig->env, 16u << 20, &rig->pools[i]), 0);
        scsi_reactor_init(&rig->reactors[i], &rig->env, rig->pools[i], i, count);
    }
    struct scsi_lu_config standard = rig_lu_config();
    assert_int_equal(
        scsi_lu_new(&rig->env, config ? config : &standard, &rig->fake.store, 0, count, &rig->lu), 0);
    rig->lun[0] = (struct scsi_lun){.number = 0, .lu = rig->lu};
    rig->lun[1] = (struct scsi_lun){.number = 300, .lu = rig->lu, .readonly = true};
    rig->map = (struct scsi_lun_map){.count = 2, .luns = rig->lun};
}

static void rig_fini(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->count; i++) {
        assert_true(scsi_lu_idle(&rig->reactors[i], rig->lu));
        scsi_lu_forget(&rig->reactors[i], rig->lu);
        scsi_reactor_fini(&rig->reactors[i]);
        pool_free(rig->pools[i]); /* asserts that every chunk came back */
    }
    scsi_lu_free(rig->lu);
    assert_int_equal(rig->heap.live, 0);
    free(rig->fake.disk);
}

static void rig_nexus(struct rig *rig, uint32_t reactor, struct scsi_nexus *nexus, const char *name)
{
    memset(nexus, 0, sizeof *nexus);
    nexus->initiator_port = name;
    nexus->target_port = "iqn.2026-01.test:t,t,0x0001";
    nexus->target_name = "iqn.2026-01.test:t";
    nexus->target_portal_group_tag = 1;
    nexus->relative_port = 1;
    nexus->map = &rig->map;
    assert_int_equal(scsi_nexus_open(&rig->reactors[reactor], nexus), 0);
}

static void rig_feed(struct scsi_reactor *r, struct rig_cmd *cmd)
{
    struct scsi_task *t = &cmd->task;
    uint64_t limit = t->out_len < t->expected_out ? t->out_len : t->expected_out;
    uint32_t align = scsi_out_align(t);
    uint32_t step = cmd->rig->span_len - cmd->rig->span_len % align;
    if (cmd->sent >= limit)
        return;
    uint64_t left = limit - cmd->sent;
    uint32_t len = left < step ? (uint32_t)left : step;
    struct scsi_span *span = scsi_span_new(r, len);
    assert_non_null(span);
    memcpy(span->data.ptr, cmd->out + cmd->sent, len);
    span->offset = cmd->sent;
    cmd->sent += len;
    scsi_data_out(r, t, span);
}

static void rig_take(struct scsi_reactor *r, struct rig_cmd *cmd)
{
    struct list_node *node;
    while ((node = list_pop_front(&cmd->task.in_spans))) {
        struct scsi_span *span = list_entry(node, struct scsi_span, node);
        assert_int_equal(span->offset, cmd->got); /* in order, without gaps */
        if (cmd->in)
            memcpy(cmd->in + span->offset, span->data.ptr, span->data.len);
        cmd->got += span->data.len;
        if (cmd->keep_spans)
            list_push_back(&cmd->loans, &span->node);
        else
            scsi_span_done(r, span);
    }
}

static bool rig_step(struct rig *rig, struct scsi_reactor *r)
{
    bool moved = false;
    struct scsi_msg *msg;
    while (!rig->messages_held && (msg = scsi_next_message(r))) {
        scsi_message(&rig->reactors[msg->to], msg);
        moved = true;
    }
    struct store_req *req;
    while ((req = scsi_next_request(r))) {
        moved = true;
        if (rig->fake.hold) {
            list_push_back(&rig->held, &req->node);
        } else {
            fake_execute(&rig->fake, req);
            scsi_store_done(r, req);
        }
    }
    uint32_t bits;
    struct scsi_task *task;
    while ((task = scsi_next_ready(r, &bits))) {
        struct rig_cmd *cmd = task->owner;
        moved = true;
        assert_false(cmd->over);
        if (bits & SCSI_READY_IN)
            rig_take(r, cmd);
        if (bits & (SCSI_READY_DONE | SCSI_READY_ABORTED)) {
            cmd->over = true;
            cmd->aborted = bits & SCSI_READY_ABORTED;
        } else if (bits & SCSI_READY_OUT) {
            rig_feed(r, cmd);
        }
    }
    return moved;
}

static void rig_run(struct rig *rig)
{
    bool moved = true;
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < rig->count; i++)
            moved |= rig_step(rig, &rig->reactors[i]);
    }
}

/* Completes a held request, the newest or the oldest; false: none is held. */
static inline bool rig_release_at(struct rig *rig, bool newest)
{
    if (list_empty(&rig->held))
        return false;
    struct list_node *node = newest ? rig->held.prev : rig->held.next;
    list_remove(node);
    struct store_req *req = list_entry(node, struct store_req, node);
    struct scsi_task *task = req->owner;
    fake_execute(&rig->fake, req);
    scsi_store_done(task->nexus->reactor, req);
    return true;
}

static inline bool rig_release(struct rig *rig)
{
    return rig_release_at(rig, false);
}

static void rig_start(struct rig *rig, struct rig_cmd *cmd, struct scsi_nexus *nexus, uint16_t lun,
                      const uint8_t *cdb, size_t cdb_len, uint64_t expected_in, uint64_t expected_out)
{
    memset(cmd, 0, sizeof *cmd);
    cmd->rig = rig;
    cmd->task.nexus = nexus;
    cmd->task.lun = scsi_lun_encode(lun);
    memcpy(cmd->task.cdb, cdb, cdb_len);
    cmd->task.cdb_len = (uint16_t)(cdb_len < 16 ? 16 : cdb_len);
    cmd->task.attr = SCSI_SIMPLE;
    cmd->task.expected_in = expected_in;
    cmd->task.expected_out = expected_out;
    cmd->task.owner = cmd;
    list_init(&cmd->loans);
}

static struct scsi_sense rig_sense(const struct rig_cmd *cmd)
{
    struct scsi_sense s;
    assert_int_equal(cmd->task.status, SCSI_STATUS_CHECK_CONDITION);
    assert_true(sense_parse(cmd->task.sense, cmd->task.sense_len, &s));
    return s;
}

/* One command to its end on LUN 0. in/out may be NULL. */
static void rig_do(struct rig *rig, struct rig_cmd *cmd, struct scsi_nexus *nexus, const uint8_t *cdb,
                   size_t cdb_len, uint8_t *in, uint64_t in_len, const uint8_t *out, uint64_t out_len)
{
    rig_start(rig, cmd, nexus, 0, cdb, cdb_len, in_len, out_len);
    cmd->in = in;
    cmd->out = out;
    scsi_task_start(nexus->reactor, &cmd->task);
    rig_run(rig);
    assert_true(cmd->over);
}

#define assert_good(cmd) assert_int_equal((cmd)->task.status, SCSI_STATUS_GOOD)
static inline void assert_sense(const struct rig_cmd *cmd, unsigned key, unsigned code)
{
    struct scsi_sense s = rig_sense(cmd);
    assert_int_equal(s.key, key);
    assert_int_equal(s.asc << 8 | s.ascq, code);
}

/* Eats the unit attention that every new nexus gets. */
static inline void rig_clear_ua(struct rig *rig, struct scsi_nexus *nexus)
{
    struct rig_cmd cmd;
    uint8_t tur[6] = {0};
    rig_do(rig, &cmd, nexus, tur, 6, NULL, 0, NULL, 0);
    assert_int_equal(cmd.task.status, SCSI_STATUS_CHECK_CONDITION);
}

#endif
