#include "tests/sim/model.h"

#include <assert.h>
#include <string.h>

#include "common/base/list.h"

#define NEVER UINT64_MAX

enum op_kind { OP_WRITE, OP_READ, OP_FLUSH };
enum op_state { OP_ACTIVE, OP_LOST, OP_ENDED };

/* One write of one block. */
struct record {
    struct record *next;      /* at this LBA, newest first */
    struct model_op *op;      /* the write */
    uint64_t superseded;      /* when, or NEVER */
    struct list_node pending; /* in model->pending while superseded but not for good */
};

struct model_op {
    struct list_node node; /* in model->ops while it is active or lost, oldest first */
    struct list_node all;  /* in model->all */
    enum op_kind kind;
    enum op_state state;
    uint64_t begin, end; /* on the model's clock; end NEVER while it may still happen */
    uint64_t lba;
    uint32_t blocks, owner;
    struct model_stamp stamp;
    bool fua;
    struct record records[]; /* of a write, by block */
};

struct model {
    const struct env *env;
    uint64_t blocks, clock, power_cut;
    bool volatile_cache;
    struct record **at; /* by LBA; what is not listed is the initial zeros */
    struct list_node ops, all, pending;
};

/* ---- life ---- */

static struct model_op *op_new(struct model *m, enum op_kind kind, uint64_t lba, uint32_t blocks)
{
    size_t records = kind == OP_WRITE ? blocks : 0;
    struct model_op *op = env_alloc(m->env, sizeof *op + records * sizeof op->records[0]);
    if (!op)
        return NULL;
    op->kind = kind;
    op->lba = lba;
    op->blocks = blocks;
    op->begin = ++m->clock;
    op->end = NEVER;
    list_init(&op->node);
    list_push_back(&m->ops, &op->node);
    list_init(&op->all);
    list_push_back(&m->all, &op->all);
    return op;
}

static void record_put(struct model *m, struct model_op *op, struct record *record, uint64_t lba)
{
    record->op = op;
    record->superseded = NEVER;
    list_init(&record->pending);
    record->next = m->at[lba];
    m->at[lba] = record;
}

/* Blocks first .. last - 1 appear, as zeros. */
static bool zeros_add(struct model *m, uint64_t first, uint64_t last)
{
    struct model_op *op = op_new(m, OP_WRITE, first, (uint32_t)(last - first));
    if (!op)
        return false;
    op->end = op->begin;
    op->state = OP_ENDED;
    list_remove(&op->node);
    for (uint64_t lba = first; lba < last; lba++)
        record_put(m, op, &op->records[lba - first], lba);
    return true;
}

bool model_grow(struct model *m, uint64_t blocks)
{
    if (blocks <= m->blocks)
        return true;
    struct record **at = env_alloc(m->env, blocks * sizeof *at);
    if (!at)
        return false;
    if (m->blocks)
        memcpy(at, m->at, m->blocks * sizeof *at);
    env_free(m->env, m->at);
    m->at = at;
    uint64_t before = m->blocks;
    m->blocks = blocks;
    return zeros_add(m, before, blocks);
}

struct model *model_new(const struct env *env, uint64_t blocks, bool volatile_cache)
{
    struct model *m = env_alloc(env, sizeof *m);
    if (!m)
        return NULL;
    m->env = env;
    m->volatile_cache = volatile_cache;
    list_init(&m->ops);
    list_init(&m->all);
    list_init(&m->pending);
    if (model_grow(m, blocks))
        return m;
    model_free(m);
    return NULL;
}

void model_free(struct model *m)
{
    if (!m)
        return;
    struct list_node *node;
    while ((node = list_pop_front(&m->all)))
        env_free(m->env, list_entry(node, struct model_op, all));
    env_free(m->env, m->at);
    env_free(m->env, m);
}

uint64_t model_blocks(const struct model *m)
{
    return m->blocks;
}

/* ---- supersession ---- */

/* Whatever began before this cannot be asked about any more. */
static uint64_t oldest_question(const struct model *m)
{
    const struct model_op *first = list_first(&m->ops, struct model_op, node);
    return first ? first->begin : m->clock;
}

static void record_supersede(struct model *m, struct record *record, bool for_good)
{
    if (record->superseded == NEVER)
        record->superseded = m->clock;
    if (for_good || !m->volatile_cache)
        list_remove(&record->pending);
    else if (!list_linked(&record->pending) && record->superseded == m->clock)
        list_push_back(&m->pending, &record->pending);
}

/* `by` is known to have happened at this LBA: what had ended before it began is gone. Records that no read
 * can return any more leave the list. */
static void supersede(struct model *m, const struct model_op *by, uint64_t lba, bool for_good)
{
    const uint64_t oldest = oldest_question(m);
    for (struct record **place = &m->at[lba]; *place;) {
        struct record *record = *place;
        if (record->op->end < by->begin)
            record_supersede(m, record, for_good);
        if (record->superseded < oldest && !list_linked(&record->pending))
            *place = record->next;
        else
            place = &record->next;
    }
}

/* ---- operations ---- */

struct model_op *model_write(struct model *m, uint64_t lba, uint32_t blocks, struct model_stamp stamp,
                             bool fua)
{
    assert(lba + blocks <= m->blocks);
    struct model_op *op = op_new(m, OP_WRITE, lba, blocks);
    if (!op)
        return NULL;
    op->stamp = stamp;
    op->fua = fua;
    for (uint32_t i = 0; i < blocks; i++)
        record_put(m, op, &op->records[i], lba + i);
    return op;
}

struct model_op *model_read(struct model *m, uint64_t lba, uint32_t blocks)
{
    assert(lba + blocks <= m->blocks);
    return op_new(m, OP_READ, lba, blocks);
}

struct model_op *model_flush(struct model *m)
{
    return op_new(m, OP_FLUSH, 0, 0);
}

static void op_ended(struct model *m, struct model_op *op)
{
    assert(op->state != OP_ENDED);
    op->state = OP_ENDED;
    op->end = ++m->clock;
    list_remove(&op->node);
}

/* What was superseded before the flush began is on the medium now. */
static void flush_good(struct model *m, const struct model_op *op)
{
    list_for_each_safe(it, &m->pending)
    {
        struct record *record = list_entry(it, struct record, pending);
        if (record->superseded < op->begin)
            list_remove(it);
    }
}

/* A write that was answered across a power cut may have been executed before it, and lost; FUA may not. */
static void write_good(struct model *m, const struct model_op *op)
{
    if (op->begin < m->power_cut && !op->fua)
        return;
    for (uint32_t i = 0; i < op->blocks; i++)
        supersede(m, op, op->lba + i, op->fua);
}

static void write_never(struct model *m, struct model_op *op)
{
    for (uint32_t i = 0; i < op->blocks; i++) {
        struct record **place = &m->at[op->lba + i];
        while (*place && *place != &op->records[i])
            place = &(*place)->next;
        if (*place)
            *place = op->records[i].next;
        list_remove(&op->records[i].pending);
    }
}

void model_end(struct model *m, struct model_op *op, enum model_end how)
{
    op_ended(m, op);
    if (op->kind == OP_FLUSH && how == MODEL_GOOD)
        flush_good(m, op);
    if (op->kind == OP_WRITE && how == MODEL_GOOD)
        write_good(m, op);
    if (op->kind == OP_WRITE && how == MODEL_NEVER)
        write_never(m, op);
}

static bool same(struct model_stamp a, struct model_stamp b)
{
    return a.writer == b.writer && a.sequence == b.sequence;
}

/* The read's answer for one block; *only: the one write that it can be, or NULL when several look alike. */
static bool read_block(struct model *m, const struct model_op *read, uint64_t lba, struct model_stamp found,
                       const struct model_op **only)
{
    uint32_t matches = 0;
    *only = NULL;
    for (const struct record *record = m->at[lba]; record; record = record->next) {
        if (!same(record->op->stamp, found) || record->superseded < read->begin)
            continue;
        *only = matches++ ? NULL : record->op;
    }
    return matches > 0;
}

bool model_read_end(struct model *m, struct model_op *op, const struct model_stamp *found, uint32_t *bad)
{
    const struct model_op *only;
    for (uint32_t i = 0; i < op->blocks; i++) {
        if (!read_block(m, op, op->lba + i, found[i], &only)) {
            *bad = i;
            return false;
        }
    }
    op_ended(m, op);
    for (uint32_t i = 0; i < op->blocks; i++) {
        /* What was read before a power cut proves nothing about the time after it. */
        if (read_block(m, op, op->lba + i, found[i], &only) && only && op->begin > m->power_cut)
            supersede(m, only, op->lba + i, false);
    }
    return true;
}

/* ---- what breaks ---- */

void model_lost(struct model *m, struct model_op *op, uint32_t owner)
{
    if (op->kind != OP_WRITE) {
        op_ended(m, op);
        return;
    }
    op->state = OP_LOST;
    op->owner = owner;
}

void model_fence(struct model *m, uint32_t owner)
{
    list_for_each_safe(it, &m->ops)
    {
        struct model_op *op = list_entry(it, struct model_op, node);
        if (op->state == OP_LOST && (owner == MODEL_EVERYBODY || op->owner == owner))
            op_ended(m, op);
    }
}

void model_power_cut(struct model *m)
{
    struct list_node *node;
    m->power_cut = ++m->clock;
    if (!m->volatile_cache)
        return;
    while ((node = list_pop_front(&m->pending)))
        list_entry(node, struct record, pending)->superseded = NEVER;
}

uint32_t model_candidates(const struct model *m, uint64_t lba)
{
    uint32_t count = 0;
    for (const struct record *record = m->at[lba]; record; record = record->next)
        count += record->superseded == NEVER;
    return count;
}
