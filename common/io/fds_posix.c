/* Per-descriptor state in an array: descriptors are small numbers, so finding a slot costs one index. Each io
 * has its own table, used by its thread alone; a socket is known to one table at a time, a file possibly to
 * several. */
#include <assert.h>
#include <string.h>

#include "common/io/posix.h"

enum { FD_TABLE_MIN = 64 };

void fd_table_init(struct fd_table *table, const struct env *env)
{
    *table = (struct fd_table){.env = env};
}

void fd_table_fini(struct fd_table *table)
{
    env_free(table->env, table->slots);
}

/* Doubles, so that the cost per descriptor stays constant. Slots move: pointers to them do not survive this.
 */
static int fd_table_grow(struct fd_table *table, uint32_t needed)
{
    uint32_t count = table->count ? table->count : FD_TABLE_MIN;
    while (count < needed)
        count *= 2;
    struct fd_slot *slots = env_alloc(table->env, count * sizeof(*slots));
    if (!slots)
        return ERR_NOMEM;
    if (table->count)
        memcpy(slots, table->slots, table->count * sizeof(*slots));
    env_free(table->env, table->slots);
    table->slots = slots;
    table->count = count;
    return 0;
}

int fd_table_reach(struct fd_table *table, io_handle handle)
{
    assert(handle >= 0 && handle < INT32_MAX);
    return (uint32_t)handle < table->count ? 0 : fd_table_grow(table, (uint32_t)handle + 1);
}

int fd_table_enter(struct fd_table *table, int fd)
{
    int err = fd_table_reach(table, fd);
    if (err < 0)
        return err;
    struct fd_slot *slot = &table->slots[fd];
    assert(slot->ops == 0);
    *slot = (struct fd_slot){.generation = slot->generation + 1, .readable = true, .writable = true};
    return 0;
}

struct fd_slot *fd_table_slot(struct fd_table *table, io_handle handle)
{
    assert(handle >= 0 && (uint64_t)handle < table->count);
    return &table->slots[handle];
}

/* Where op waits in its slot. */
static struct io_op **fd_slot_place(struct fd_slot *slot, const struct io_op *op)
{
    switch (op->type) {
    case IO_OP_ACCEPT:
    case IO_OP_RECV_ANY:
    case IO_OP_RECV_INTO:
        return &slot->in;
    case IO_OP_SEND:
    case IO_OP_CONNECT:
        return &slot->out;
    default:
        return NULL; /* file operations may overlap freely */
    }
}

void fd_slot_begin(struct fd_slot *slot, struct io_op *op)
{
    struct io_op **place = fd_slot_place(slot, op);
    if (place) {
        assert(!*place); /* one receive and one send at a time */
        *place = op;
    }
    slot->ops++;
}

void fd_slot_end(struct fd_slot *slot, struct io_op *op)
{
    struct io_op **place = fd_slot_place(slot, op);
    if (place) {
        assert(*place == op);
        *place = NULL;
    }
    assert(slot->ops > 0);
    slot->ops--;
}
