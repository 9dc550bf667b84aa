/* The simulated world: generator, clock, handles, posts, and whose turn it is. */
#include "common/io/sim.h"

#include <assert.h>
#include <string.h>

#include "common/io/sim_internal.h"

#define SIM_START_NS UINT64_C(1000000000) /* not 0, so that "a second ago" is a time too */

_Static_assert(sizeof(struct sim_op) <= sizeof(((struct io_op *)0)->backend), "sim_op fits");

/* ---- generator and trace: xoshiro256**, seeded by splitmix64 ---- */

/* splitmix64's finalizer: every input bit changes half of the output. */
static uint64_t scramble(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sim_seed(struct sim_world *world, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        world->rng[i] = scramble(seed);
    }
}

uint64_t sim_random(struct sim_world *world)
{
    uint64_t *s = world->rng;
    const uint64_t result = rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t sim_below(struct sim_world *world, uint64_t max)
{
    /* Nothing is drawn when there is no choice: a fault that is off costs nothing and shifts nothing. */
    return max == 0 ? 0 : max == UINT64_MAX ? sim_random(world) : sim_random(world) % (max + 1);
}

bool sim_chance(struct sim_world *world, uint32_t per_mille)
{
    return per_mille > 0 && sim_random(world) % 1000 < per_mille;
}

void sim_mix(struct sim_world *world, uint64_t word)
{
    world->hash = scramble((world->hash ^ word) + UINT64_C(0x9e3779b97f4a7c15));
}

void sim_trace_note(struct sim_world *world, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    sim_mix(world, len);
    while (len > 0) {
        /* Eight bytes at a time, low byte first whatever the machine, so that hashes agree between machines.
         */
        uint64_t word = 0;
        const size_t step = len < 8 ? len : 8;
        for (size_t i = 0; i < step; i++)
            word |= (uint64_t)p[i] << (8 * i);
        sim_mix(world, word);
        p += step;
        len -= step;
    }
}

uint64_t sim_trace_hash(const struct sim_world *world)
{
    return world->hash;
}

/* ---- the env that engines see ---- */

static uint64_t sim_env_now(void *ctx)
{
    return ((struct sim_world *)ctx)->now_ns;
}

/* The top bits: the generator's best. */
static void sim_env_random(void *ctx, void *buf, size_t len)
{
    uint8_t *p = buf;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(sim_random(ctx) >> 56);
}

static void *sim_env_alloc(void *ctx, size_t size, size_t align)
{
    const struct env *heap = ((struct sim_world *)ctx)->heap;
    return heap->alloc(heap->ctx, size, align);
}

static void sim_env_free(void *ctx, void *ptr)
{
    env_free(((struct sim_world *)ctx)->heap, ptr);
}

static size_t sim_env_hash(void *ctx, enum hash_alg alg, const struct bytes *parts, size_t count,
                           uint8_t *out)
{
    const struct env *heap = ((struct sim_world *)ctx)->heap;
    return heap->hash(heap->ctx, alg, parts, count, out);
}

static void sim_env_trace(void *ctx, const struct trace_event *event)
{
    const struct env *heap = ((struct sim_world *)ctx)->heap;
    heap->trace(heap->ctx, event);
}

const struct env *sim_env(struct sim_world *world)
{
    return &world->env;
}

/* ---- handles ---- */

/* A handle is its place in the table and, above, the place's generation. */
enum { SIM_HANDLE_BITS = 16, SIM_HANDLE_MAX = 1 << SIM_HANDLE_BITS, SIM_GENERATION_MASK = 0x7fff };

/* Any misuse of a handle is a bug of the code under test, and stops it where it happens. */
static struct sim_handle *sim_handle_at(struct sim_world *world, io_handle handle)
{
    const uint32_t place = (uint32_t)handle & (SIM_HANDLE_MAX - 1);
    assert(handle >= 0 && place < world->handle_count);
    struct sim_handle *at = &world->handles[place];
    assert(at->kind != SIM_FREE &&
           at->generation == (uint32_t)(handle >> SIM_HANDLE_BITS)); /* else used after close */
    return at;
}

/* Slots keep their generation when the table moves. */
static int sim_handles_grow(struct sim_world *world)
{
    const uint32_t count = world->handle_count ? 2 * world->handle_count : 64;
    if (count > SIM_HANDLE_MAX)
        return ERR_BUSY;
    struct sim_handle *handles = env_alloc(world->heap, count * sizeof(*handles));
    if (!handles)
        return ERR_NOMEM;
    if (world->handle_count)
        memcpy(handles, world->handles, world->handle_count * sizeof(*handles));
    env_free(world->heap, world->handles);
    world->handles = handles;
    world->handle_count = count;
    return 0;
}

/* The lowest free place: which number comes out depends on history alone, never on memory. */
int sim_handle_new(struct sim_world *world, enum sim_kind kind, void *object, io_handle *out)
{
    uint32_t place = 0;
    while (place < world->handle_count && world->handles[place].kind != SIM_FREE)
        place++;
    if (place == world->handle_count) {
        int err = sim_handles_grow(world);
        if (err < 0)
            return err;
    }
    struct sim_handle *at = &world->handles[place];
    at->kind = kind;
    at->object = object;
    at->generation = (at->generation + 1) & SIM_GENERATION_MASK;
    *out = (io_handle)(at->generation << SIM_HANDLE_BITS | place);
    return 0;
}

void *sim_handle_get(struct sim_world *world, io_handle handle, enum sim_kind kind)
{
    struct sim_handle *at = sim_handle_at(world, handle);
    assert(at->kind == kind);
    (void)kind;
    return at->object;
}

enum sim_kind sim_handle_kind(struct sim_world *world, io_handle handle)
{
    return sim_handle_at(world, handle)->kind;
}

void sim_handle_drop(struct sim_world *world, io_handle handle)
{
    struct sim_handle *at = sim_handle_at(world, handle);
    at->kind = SIM_FREE;
    at->object = NULL;
}

/* ---- events ---- */

static struct io_op *sim_op_of(struct sim_event *event)
{
    return (struct io_op *)(void *)((char *)event - offsetof(struct io_op, backend));
}

/* Puts the event into the io's heap, or moves it there. */
static void sim_event_set(struct sim_io *self, struct sim_event *event, uint64_t due_ns)
{
    if (event->scheduled)
        heap_remove(&self->events, &event->node);
    event->scheduled = true;
    /* Everything takes time, if only a nanosecond: else a busy pair of ios without delays would stop the
     * clock. */
    heap_insert(&self->events, &event->node, due_ns > self->world->now_ns ? due_ns : self->world->now_ns + 1);
}

void sim_schedule(struct io_op *op, uint64_t due_ns)
{
    /* Bytes that arrive later must not put off the end of a cancelled receive. */
    if (!sim_state_of(op)->cancelled || !sim_state_of(op)->event.scheduled)
        sim_event_set(sim_io_of(op->io), &sim_state_of(op)->event, due_ns);
}

/* Every completion goes into the hash: who, when, what, with which result. */
void sim_deliver(struct io_op *op, int64_t result)
{
    struct sim_io *self = sim_io_of(op->io);
    struct sim_world *world = self->world;
    sim_mix(world, (uint64_t)self->index << 32 | (uint64_t)op->type);
    sim_mix(world, world->now_ns);
    sim_mix(world, (uint64_t)op->handle);
    sim_mix(world, (uint64_t)result);
    io_deliver(&self->io, op, result);
}

/* One delay for the channel's first post; those behind it wait for it, which keeps each sender's order. */
static void sim_channel_set(struct sim_io *self, struct sim_channel *channel)
{
    struct sim_world *world = self->world;
    sim_event_set(self, &channel->event, world->now_ns + sim_below(world, world->options.post_delay_ns));
}

/* Runs one post, sometimes some more of the same sender at once. */
static void sim_channel_run(struct sim_io *self, struct sim_channel *channel)
{
    struct sim_world *world = self->world;
    if (!channel->head)
        return; /* a post made while another one ran has been run along with it */
    do {
        struct io_post *post = channel->head;
        channel->head = post->next;
        if (!channel->head)
            channel->tail = NULL;
        sim_mix(world, UINT64_C(0x706f7374) << 32 | self->index);
        sim_mix(world, world->now_ns);
        post->run(post); /* may free it, and may post again */
    } while (channel->head && (sim_random(world) & 1));
    if (channel->head && !channel->event.scheduled)
        sim_channel_set(self, channel);
}

/* The sender is whoever has the turn. */
static void sim_post(struct io *io, struct io_post *post)
{
    struct sim_io *self = sim_io_of(io);
    struct sim_channel *channel = &self->from[self->world->current];
    post->next = NULL;
    if (channel->tail)
        channel->tail->next = post;
    else
        channel->head = post;
    channel->tail = post;
    if (!channel->event.scheduled)
        sim_channel_set(self, channel);
}

static void sim_wake(struct io *io)
{
    sim_io_of(io)->woken = true;
}

/* ---- turns ---- */

/* When this io has something to do next; UINT64_MAX: never. */
static uint64_t sim_next_due(const struct sim_io *self)
{
    const struct heap_node *event = heap_min(&self->events), *timer = heap_min(&self->io.timers);
    if (self->woken)
        return 0;
    uint64_t due_ns = event ? event->key : UINT64_MAX;
    return timer && timer->key < due_ns ? timer->key : due_ns;
}

/* One turn of one io at the present time. */
static void sim_turn(struct sim_io *self)
{
    struct sim_world *world = self->world;
    const uint64_t limit = self->events.next_seq; /* what is added from now on waits for the next turn */
    const uint32_t before = world->current;
    world->current = self->index;
    self->woken = false;
    io_turn_begin(&self->io);
    struct heap_node *node;
    while ((node = heap_min(&self->events)) && node->key <= world->now_ns && node->seq < limit) {
        struct sim_event *event = container_of(node, struct sim_event, node);
        heap_remove(&self->events, node);
        event->scheduled = false;
        if (event->is_post)
            sim_channel_run(self, container_of(event, struct sim_channel, event));
        else if (io_op_is_file(sim_op_of(event)))
            sim_disk_try(world, sim_op_of(event));
        else
            sim_net_try(world, sim_op_of(event));
        /* Turns of every size: what shares a turn, and so a batch, is the seed's choice. */
        if (sim_random(world) % 8 == 0)
            break;
    }
    io_turn_end(&self->io);
    world->current = before;
}

/* Two passes in io order: count and choose by number, so that no pointer decides. */
bool sim_step(struct sim_world *world)
{
    assert(world->current == SIM_OUTSIDE); /* not from inside a turn */
    uint64_t next_ns = UINT64_MAX;
    uint64_t ready = 0;
    for (uint32_t i = 0; i < world->io_count; i++) {
        uint64_t due_ns = world->ios[i] ? sim_next_due(world->ios[i]) : UINT64_MAX;
        ready += due_ns <= world->now_ns;
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    if (ready == 0) {
        if (next_ns == UINT64_MAX)
            return false;
        world->now_ns = next_ns;
        return true;
    }
    uint64_t pick = sim_below(world, ready - 1);
    for (uint32_t i = 0; i < world->io_count; i++) {
        if (!world->ios[i] || sim_next_due(world->ios[i]) > world->now_ns)
            continue;
        if (pick-- == 0) {
            sim_mix(world, i);
            sim_turn(world->ios[i]);
            break;
        }
    }
    return true;
}

/* For code that drives its io itself (a synchronous call): the rest of the world goes on meanwhile. */
static void sim_run(struct io *io, uint64_t until_ns)
{
    struct sim_io *self = sim_io_of(io);
    struct sim_world *world = self->world;
    const uint64_t turns = io->stats.turns;
    assert(world->current == SIM_OUTSIDE);
    while (io->stats.turns == turns && sim_next_due(self) > world->now_ns && world->now_ns < until_ns) {
        uint64_t next_ns = UINT64_MAX;
        for (uint32_t i = 0; i < world->io_count; i++) {
            uint64_t due_ns = world->ios[i] ? sim_next_due(world->ios[i]) : UINT64_MAX;
            next_ns = due_ns < next_ns ? due_ns : next_ns;
        }
        /* Nothing before the limit, or nothing at all: a real reactor would sleep until then (or for ever:
         * return). */
        if (next_ns > until_ns || next_ns == UINT64_MAX) {
            world->now_ns = until_ns == UINT64_MAX ? world->now_ns : until_ns;
            break;
        }
        sim_step(world);
    }
    if (io->stats.turns == turns)
        sim_turn(self);
}

/* ---- operations ---- */

/* Nothing takes effect here: an event is made for later. */
static void sim_submit(struct io *io, struct io_op *op)
{
    *sim_state_of(op) = (struct sim_op){.cancelled = false};
    if (io_op_is_file(op))
        sim_disk_submit(sim_world_of(io), op);
    else
        sim_net_submit(sim_world_of(io), op);
}

static void sim_cancel(struct io *io, struct io_op *op)
{
    struct sim_world *world = sim_world_of(io);
    /* A disk may be too far with the work to give it up. */
    if (io_op_is_file(op) && (sim_random(world) & 1))
        return;
    sim_schedule(op, world->now_ns);
    sim_state_of(op)->cancelled = true;
}

/* One table of handles serves sockets and files. */
static void sim_close(struct io *io, io_handle handle)
{
    struct sim_world *world = sim_world_of(io);
    if (sim_handle_kind(world, handle) == SIM_FILE)
        sim_disk_close(world, handle);
    else
        sim_net_close(world, handle);
}

static void sim_detach(struct io *io, io_handle sock)
{
    (void)sim_handle_get(sim_world_of(io), sock, SIM_SOCKET);
}

static int sim_attach(struct io *io, io_handle sock)
{
    (void)sim_handle_get(sim_world_of(io), sock,
                         SIM_SOCKET); /* a socket belongs to the world, not to an io */
    return 0;
}

/* ---- life ---- */

static void sim_io_free(struct io *io)
{
    struct sim_io *self = sim_io_of(io);
    struct sim_world *world = self->world;
    io_fini(io);
    for (uint32_t i = 0; i <= SIM_IO_MAX; i++)
        assert(!self->from[i].head);
    world->ios[self->index] = NULL;
    env_free(world->heap, self);
}

static const struct io_backend sim_backend = {
    .name = "sim",
    .free = sim_io_free,
    .run = sim_run,
    .wake = sim_wake,
    .post = sim_post,
    .submit = sim_submit,
    .cancel = sim_cancel,
    .listen = sim_net_listen,
    .detach = sim_detach,
    .attach = sim_attach,
    .local_addr = sim_net_local_addr,
    .peer_addr = sim_net_peer_addr,
    .shutdown = sim_net_shutdown,
    .close = sim_close,
    .file_open = sim_disk_open,
    .file_resize = sim_disk_resize,
    .file_allocate = sim_disk_allocate,
    .file_rename = sim_disk_rename,
    .file_remove = sim_disk_remove,
    .dir_sync = sim_disk_dir_sync,
};

/* Numbers are never used again, so a trace names each io for ever. */
int sim_io_new(struct sim_world *world, struct io **out)
{
    if (world->io_count == SIM_IO_MAX)
        return ERR_BUSY;
    struct sim_io *self = env_alloc(world->heap, sizeof(*self));
    if (!self)
        return ERR_NOMEM;
    io_init(&self->io, &sim_backend, &world->env);
    self->world = world;
    for (uint32_t i = 0; i <= SIM_IO_MAX; i++)
        self->from[i].event.is_post = true;
    self->index = world->io_count;
    world->ios[world->io_count++] = self;
    *out = &self->io;
    return 0;
}

int sim_world_new(const struct env *heap, uint64_t seed, const struct sim_options *options,
                  struct sim_world **out)
{
    struct sim_world *world = env_alloc(heap, sizeof(*world));
    if (!world)
        return ERR_NOMEM;
    world->heap = heap;
    world->env = (struct env){
        .ctx = world,
        .now_ns = sim_env_now,
        .random = sim_env_random,
        .alloc = sim_env_alloc,
        .free = sim_env_free,
        .hash = sim_env_hash,
        .trace = heap->trace ? sim_env_trace : NULL,
    };
    world->options = *options;
    world->now_ns = SIM_START_NS;
    world->current = SIM_OUTSIDE;
    list_init(&world->listeners);
    list_init(&world->conns);
    list_init(&world->files);
    sim_seed(world, seed);
    *out = world;
    return 0;
}

void sim_world_free(struct sim_world *world)
{
    if (!world)
        return;
    for (uint32_t i = 0; i < world->io_count; i++)
        assert(!world->ios[i]); /* io_free them first */
    sim_net_fini(world);
    sim_disk_fini(world);
    env_free(world->heap, world->handles);
    env_free(world->heap, world);
}

void sim_world_set_options(struct sim_world *world, const struct sim_options *options)
{
    world->options = *options;
}

uint64_t sim_now(const struct sim_world *world)
{
    return world->now_ns;
}
