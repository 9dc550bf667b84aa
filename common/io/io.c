/* Dispatch to the backends, and what is the same in all of them. Portable. */
#include "common/io/io.h"

#include <assert.h>
#include <string.h>

#include "common/io/io_backend.h"

int io_new(const struct env *env, enum io_kind kind, struct io **out)
{
#ifdef __linux__
    if (kind == IO_KIND_EPOLL)
        return epoll_io_new(env, out);
    int err = uring_io_new(env, out);
    /* Containers commonly forbid io_uring by seccomp; memory limits and old kernels are other reasons. */
    if (err < 0 && kind == IO_KIND_AUTO)
        err = epoll_io_new(env, out);
    return err;
#else
    (void)env;
    (void)kind;
    (void)out;
    return ERR_UNSUPPORTED;
#endif
}

void io_free(struct io *io)
{
    if (io)
        io->ops->free(io);
}

const char *io_name(const struct io *io)
{
    return io->ops->name;
}

bool io_kind_parse(const char *text, enum io_kind *out)
{
    static const struct {
        const char *text;
        enum io_kind kind;
    } names[] = {{"auto", IO_KIND_AUTO}, {"uring", IO_KIND_URING}, {"epoll", IO_KIND_EPOLL}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i].text) == 0) {
            *out = names[i].kind;
            return true;
        }
    }
    return false;
}

bool io_poll_parse(const char *text, enum io_poll *out)
{
    static const char *const names[] = {"never", "adaptive", "always"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum io_poll)i;
            return true;
        }
    }
    return false;
}

void io_set_poll(struct io *io, enum io_poll poll)
{
    io->poll = poll;
}

/* The turn */

void io_init(struct io *io, const struct io_backend *ops, const struct env *env)
{
    *io = (struct io){.ops = ops, .env = env};
    list_init(&io->finished);
}

void io_fini(struct io *io)
{
    assert(io->ops_in_flight == 0);
    assert(!io->in_turn);
    (void)io;
}

uint64_t io_now(struct io *io)
{
    /* Between turns the cached time may be arbitrarily old, and a timer armed from it would fire at once. */
    return io->in_turn ? io->now_ns : env_now(io->env);
}

void io_run(struct io *io, uint64_t until_ns)
{
    io->ops->run(io, until_ns);
}

void io_set_turn_hook(struct io *io, void (*hook)(void *arg), void *arg)
{
    io->hook = hook;
    io->hook_arg = arg;
}

void io_wake(struct io *io)
{
    io->ops->wake(io);
}

void io_post(struct io *io, struct io_post *post)
{
    io->ops->post(io, post);
}

void io_get_stats(const struct io *io, struct io_stats *out)
{
    *out = io->stats;
}

void io_turn_begin(struct io *io)
{
    assert(!io->in_turn); /* io_run is not called from a done function */
    io->in_turn = true;
    io->now_ns = env_now(io->env);
}

/* Everything due at the turn's time, earliest first; a fire function may arm and cancel what it likes. */
static void io_fire_timers(struct io *io)
{
    struct heap_node *node;
    io->firing = true;
    while ((node = heap_min(&io->timers)) && node->key <= io->now_ns) {
        struct io_timer *timer = container_of(node, struct io_timer, node);
        heap_remove(&io->timers, node);
        timer->armed = false;
        timer->fire(timer);
    }
    io->firing = false;
}

void io_turn_end(struct io *io)
{
    io_fire_timers(io);
    if (io->hook)
        io->hook(io->hook_arg);
    io->stats.turns++;
    io->in_turn = false;
}

uint64_t io_wait_ns(const struct io *io, uint64_t until_ns)
{
    const struct heap_node *node = heap_min(&io->timers);
    uint64_t due_ns = node && node->key < until_ns ? node->key : until_ns;
    if (due_ns == UINT64_MAX)
        return UINT64_MAX;
    return due_ns > io->now_ns ? due_ns - io->now_ns : 0;
}

/* The counters come before done: the op may be gone afterwards. */
void io_deliver(struct io *io, struct io_op *op, int64_t result)
{
    assert(op->busy && op->io == io);
    op->busy = false;
    op->result = result;
    io->ops_in_flight--;
    switch (op->type) {
    case IO_OP_RECV_ANY:
    case IO_OP_RECV_INTO:
        io->stats.recv_ops += result > 0;
        io->stats.recv_bytes += result > 0 ? (uint64_t)result : 0;
        break;
    case IO_OP_SEND:
        io->stats.send_ops += result > 0;
        io->stats.send_bytes += result > 0 ? (uint64_t)result : 0;
        break;
    default:
        io->stats.file_ops += io_op_is_file(op);
    }
    op->done(op);
}

void io_finish_later(struct io *io, struct io_op *op, int64_t result)
{
    op->result = result;
    list_push_back(&io->finished, &op->node);
}

bool io_deliver_finished(struct io *io)
{
    struct list_node ready, *node;
    list_init(&ready);
    /* Only what is there now: what a done function finishes again waits for the next turn. */
    list_splice_back(&ready, &io->finished);
    bool any = false;
    while ((node = list_pop_front(&ready))) {
        struct io_op *op = list_entry(node, struct io_op, node);
        io_deliver(io, op, op->result);
        any = true;
    }
    return any;
}

/* Timers */

void io_timer_arm(struct io *io, struct io_timer *timer, uint64_t deadline_ns)
{
    if (timer->armed)
        heap_remove(&io->timers, &timer->node);
    /* A timer that re-arms itself for the past must not keep this turn from ending. */
    if (io->firing && deadline_ns <= io->now_ns)
        deadline_ns = io->now_ns + 1;
    timer->armed = true;
    timer->deadline_ns = deadline_ns;
    heap_insert(&io->timers, &timer->node, deadline_ns);
}

void io_timer_cancel(struct io *io, struct io_timer *timer)
{
    if (!timer->armed)
        return;
    timer->armed = false;
    heap_remove(&io->timers, &timer->node);
}

/* Operations */

/* The part that all operations have in common: checks, ownership, count. */
static void io_submit(struct io *io, struct io_op *op, enum io_op_type type, io_handle handle)
{
    assert(!op->busy && op->done);
    op->busy = true;
    op->io = io;
    op->type = type;
    op->handle = handle;
    op->chunk = NULL;
    list_init(&op->node);
    io->ops_in_flight++;
    io->ops->submit(io, op);
}

/* The list stays the owner's: it is read when the operation runs. */
static void io_set_vec(struct io_op *op, struct io_vec *vec, uint32_t count)
{
    assert(count <= IO_VEC_MAX);
    op->vec = vec;
    op->vec_count = count;
}

uint64_t io_vec_bytes(const struct io_vec *vec, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += vec[i].len;
    return bytes;
}

void io_accept(struct io *io, struct io_op *op, io_handle listener)
{
    io_submit(io, op, IO_OP_ACCEPT, listener);
}

void io_connect(struct io *io, struct io_op *op, const struct io_addr *to)
{
    op->addr = *to;
    io_submit(io, op, IO_OP_CONNECT, IO_NONE);
}

void io_recv_any(struct io *io, struct io_op *op, io_handle sock, struct pool *pool, uint32_t chunk_len)
{
    assert(chunk_len > 0 && chunk_len <= POOL_CLASS_MAX);
    op->pool = pool;
    op->chunk_len = chunk_len;
    io_submit(io, op, IO_OP_RECV_ANY, sock);
}

void io_recv_into(struct io *io, struct io_op *op, io_handle sock, struct io_vec *vec, uint32_t count)
{
    /* A receive of nothing could not be told from end of stream. */
    assert(io_vec_bytes(vec, count) > 0);
    io_set_vec(op, vec, count);
    io_submit(io, op, IO_OP_RECV_INTO, sock);
}

void io_send(struct io *io, struct io_op *op, io_handle sock, struct io_vec *vec, uint32_t count)
{
    assert(io_vec_bytes(vec, count) > 0);
    io_set_vec(op, vec, count);
    io_submit(io, op, IO_OP_SEND, sock);
}

void io_pread(struct io *io, struct io_op *op, io_handle file, struct io_vec *vec, uint32_t count,
              uint64_t offset)
{
    io_set_vec(op, vec, count);
    op->offset = offset;
    io_submit(io, op, IO_OP_PREAD, file);
}

void io_pwrite(struct io *io, struct io_op *op, io_handle file, struct io_vec *vec, uint32_t count,
               uint64_t offset)
{
    io_set_vec(op, vec, count);
    op->offset = offset;
    io_submit(io, op, IO_OP_PWRITE, file);
}

void io_flush(struct io *io, struct io_op *op, io_handle file)
{
    io_submit(io, op, IO_OP_FLUSH, file);
}

void io_discard(struct io *io, struct io_op *op, io_handle file, uint64_t offset, uint64_t len)
{
    op->offset = offset;
    op->len = len;
    io_submit(io, op, IO_OP_DISCARD, file);
}

void io_zero(struct io *io, struct io_op *op, io_handle file, uint64_t offset, uint64_t len)
{
    op->offset = offset;
    op->len = len;
    io_submit(io, op, IO_OP_ZERO, file);
}

int io_map_new(struct io *io, io_handle file, struct io_map **out)
{
    return io->ops->map_new(io, file, out);
}

void io_map_free(struct io *io, struct io_map *map)
{
    if (map)
        io->ops->map_free(io, map);
}

int64_t io_transfer_now(struct io *io, struct io_now *now)
{
    int64_t done = io->ops->transfer_now(io, now);
    io->stats.file_ops += done >= 0;
    return done;
}

void io_cancel(struct io *io, struct io_op *op)
{
    if (!op->busy)
        return;
    assert(op->io == io);
    io->ops->cancel(io, op);
}

/* Sockets and files: plain dispatch */

int io_listen(struct io *io, const struct io_addr *addr, int backlog, io_handle *out, struct io_addr *bound)
{
    return io->ops->listen(io, addr, backlog, out, bound);
}

void io_detach(struct io *old_io, io_handle sock)
{
    old_io->ops->detach(old_io, sock);
}

int io_attach(struct io *io, io_handle sock)
{
    return io->ops->attach(io, sock);
}

int io_local_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    return io->ops->local_addr(io, sock, out);
}

int io_peer_addr(struct io *io, io_handle sock, struct io_addr *out)
{
    return io->ops->peer_addr(io, sock, out);
}

void io_shutdown(struct io *io, io_handle sock)
{
    io->ops->shutdown(io, sock);
}

void io_close(struct io *io, io_handle handle)
{
    io->ops->close(io, handle);
}

int io_file_open(struct io *io, const char *path, unsigned flags, io_handle *out, struct io_file_info *info)
{
    return io->ops->file_open(io, path, flags, out, info);
}

int io_file_resize(struct io *io, io_handle file, uint64_t size)
{
    return io->ops->file_resize(io, file, size);
}

int io_file_allocate(struct io *io, io_handle file, uint64_t off, uint64_t len)
{
    return io->ops->file_allocate(io, file, off, len);
}

int io_file_rename(struct io *io, const char *from, const char *to)
{
    return io->ops->file_rename(io, from, to);
}

int io_file_remove(struct io *io, const char *path)
{
    return io->ops->file_remove(io, path);
}

int io_dir_sync(struct io *io, const char *path)
{
    return io->ops->dir_sync(io, path);
}

void io_file_close(struct io *io, io_handle file)
{
    io->ops->close(io, file);
}
