/* The simulated world: events, the clock, posts, and whose turn it is. */
#include "common/io/sim.h"

#include <assert.h>
#include <string.h>

#include "common/io/sim_internal.h"

#define SIM_START_NS UINT64_C(1000000000) /* not 0, so that "a second ago" is a time too */

_Static_assert(sizeof(struct sim_op) <= sizeof(((struct io_op *)0)->backend), "sim_op fits");

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

/* To the next thing due; a leaping clock makes it, and perhaps more, late. */
static void sim_advance(struct sim_world *world, uint64_t next_ns)
{
    world->now_ns = next_ns;
    if (world->options.clock_jump_ns && sim_happens(world, world->options.clock_jump, SIM_FAULT_CLOCK_JUMP))
        world->now_ns += sim_below(world, world->options.clock_jump_ns);
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
        sim_advance(world, next_ns);
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
    /* A socket belongs to the world; who has it decides only with whom it dies. */
    sim_handle_own(sim_world_of(io), sock, io);
    return 0;
}

/* ---- life ---- */

void sim_io_drain(struct sim_io *self, void (*dropped)(struct sim_world *world, struct io_op *op))
{
    struct heap_node *node;
    while ((node = heap_min(&self->events))) {
        struct sim_event *event = container_of(node, struct sim_event, node);
        heap_remove(&self->events, node);
        event->scheduled = false;
        if (!event->is_post)
            dropped(self->world, sim_op_of(event));
    }
    for (uint32_t i = 0; i <= SIM_IO_MAX; i++)
        self->from[i].head = self->from[i].tail = NULL;
}

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
    .map_new = sim_disk_map_new,
    .map_free = sim_disk_map_free,
    .transfer_now = sim_disk_transfer_now,
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
    sim_env_init(world);
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

void sim_world_tap(struct sim_world *world, struct tap *tap, enum sim_vantage vantage)
{
    assert(world->tap_count < SIM_TAPS_MAX);
    world->taps[world->tap_count].tap = tap;
    world->taps[world->tap_count++].vantage = vantage;
}

void sim_world_wire(struct sim_world *world, struct sim_wire *wire)
{
    world->wire = wire;
}
