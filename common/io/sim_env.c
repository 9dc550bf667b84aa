/* What a simulated world is made of below time: its generator, the trace hash, the env that engines see, the
 * table of handles, and the counts of faults. */
#include <assert.h>
#include <string.h>

#include "common/base/env.h"
#include "common/io/sim.h"
#include "common/io/sim_internal.h"

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

void sim_seed(struct sim_world *world, uint64_t seed)
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

bool sim_happens(struct sim_world *world, uint32_t per_mille, enum sim_fault fault)
{
    bool happens = sim_chance(world, per_mille);
    world->faults[fault] += happens;
    return happens;
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

void sim_env_init(struct sim_world *world)
{
    world->env = (struct env){
        .ctx = world,
        .now_ns = sim_env_now,
        .random = sim_env_random,
        .alloc = sim_env_alloc,
        .free = sim_env_free,
        .hash = sim_env_hash,
        .trace = world->heap->trace ? sim_env_trace : NULL,
    };
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

io_handle sim_handle_number(const struct sim_world *world, uint32_t place)
{
    return (io_handle)(world->handles[place].generation << SIM_HANDLE_BITS | place);
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
    at->owner = SIM_OUTSIDE;
    at->generation = (at->generation + 1) & SIM_GENERATION_MASK;
    *out = sim_handle_number(world, place);
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

void sim_handle_own(struct sim_world *world, io_handle handle, const struct io *io)
{
    sim_handle_at(world, handle)->owner = container_of(io, const struct sim_io, io)->index;
}

void sim_handle_drop(struct sim_world *world, io_handle handle)
{
    struct sim_handle *at = sim_handle_at(world, handle);
    at->kind = SIM_FREE;
    at->object = NULL;
}

/* ---- faults ---- */

const char *sim_fault_name(enum sim_fault fault)
{
    static const char *const names[SIM_FAULT_COUNT] = {
        [SIM_FAULT_SPLIT] = "split segment",
        [SIM_FAULT_CUT] = "reset at a byte",
        [SIM_FAULT_STALL] = "stalled direction",
        [SIM_FAULT_HALF_OPEN] = "half-open connection",
        [SIM_FAULT_HALF_CLOSE] = "half-closed connection",
        [SIM_FAULT_REFUSED] = "refused connect",
        [SIM_FAULT_FLIP] = "flipped bit",
        [SIM_FAULT_OVERTAKEN] = "connection overtaken",
        [SIM_FAULT_DISK_READ_ERROR] = "disk read error",
        [SIM_FAULT_DISK_WRITE_ERROR] = "disk write error",
        [SIM_FAULT_DISK_FLUSH_ERROR] = "disk flush error",
        [SIM_FAULT_DISK_FULL] = "disk full",
        [SIM_FAULT_DISK_SHORT] = "short disk transfer",
        [SIM_FAULT_DISK_SLOW] = "slow disk operation",
        [SIM_FAULT_DISK_NOW] = "transfer at once",
        [SIM_FAULT_DISK_MAP] = "read from a map",
        [SIM_FAULT_DISK_REORDERED] = "disk completions reordered",
        [SIM_FAULT_POWER_CUT] = "power cut",
        [SIM_FAULT_LOST_WRITE] = "unflushed sector lost",
        [SIM_FAULT_TORN_WRITE] = "torn write",
        [SIM_FAULT_CLOCK_JUMP] = "clock jump",
        [SIM_FAULT_CRASH] = "machine crash",
    };
    return names[fault];
}

uint64_t sim_fault_count(const struct sim_world *world, enum sim_fault fault)
{
    return world->faults[fault];
}
