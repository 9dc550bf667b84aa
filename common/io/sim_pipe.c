/* Bytes on their way: in each direction of a connection a queue of segments with arrival times; and those who
 * look at them. */
#include <string.h>

#include "common/capture/tap.h"
#include "common/io/sim_net.h"

uint64_t sim_net_delay(struct sim_world *world)
{
    return sim_below(world, world->options.net_delay_ns);
}

/* ---- taps ---- */

static bool from_initiator(const struct sim_end *to)
{
    return to == &to->conn->end[1];
}

void sim_taps_open(struct sim_world *world, struct sim_conn *conn)
{
    for (uint32_t i = 0; i < world->tap_count; i++) {
        struct tap *tap = world->taps[i].tap;
        conn->tapped |= UINT64_C(1) << i;
        tap->open(tap, conn->number, &conn->end[0].local, &conn->end[1].local, world->now_ns);
    }
}

void sim_taps_close(struct sim_world *world, struct sim_conn *conn)
{
    for (uint32_t i = 0; i < world->tap_count; i++)
        if (conn->tapped >> i & 1)
            world->taps[i].tap->close(world->taps[i].tap, conn->number, world->now_ns);
    if (world->wire)
        world->wire->close(world->wire, conn->number);
}

/* An end's own bytes are seen when it sends them and the peer's when it receives them. */
static enum sim_vantage sender_vantage(const struct sim_end *to)
{
    return from_initiator(to) ? SIM_TAP_AT_INITIATOR : SIM_TAP_AT_TARGET;
}

static void taps_show(struct sim_world *world, const struct sim_end *to, enum sim_vantage vantage,
                      const struct io_vec *vec, uint32_t count, uint64_t len)
{
    const enum tap_direction direction = from_initiator(to) ? TAP_TO_TARGET : TAP_TO_INITIATOR;
    for (uint32_t i = 0; i < world->tap_count; i++) {
        struct tap *tap = world->taps[i].tap;
        if (world->taps[i].vantage == vantage && to->conn->tapped >> i & 1)
            tap->bytes(tap, to->conn->number, direction, vec, count, len, world->now_ns);
    }
}

/* ---- segments ---- */

/* When bytes sent now get there; never before those sent earlier. */
static uint64_t pipe_arrival(struct sim_world *world, struct sim_end *to)
{
    struct sim_pipe *pipe = &to->pipe;
    uint64_t arrival_ns = world->now_ns + to->conn->delay_ns + sim_net_delay(world);
    if (arrival_ns < pipe->stalled_ns)
        arrival_ns = pipe->stalled_ns;
    if (arrival_ns > pipe->last_arrival_ns)
        pipe->last_arrival_ns = arrival_ns;
    return pipe->last_arrival_ns;
}

static void segment_fill(struct sim_segment *segment, const struct io_vec *vec, uint64_t len)
{
    for (size_t step; segment->len < len; vec++) {
        step = (size_t)len - segment->len < vec->len ? (size_t)len - segment->len : vec->len;
        if (step)
            memcpy(segment->data + segment->len, vec->ptr, step);
        segment->len += step;
    }
}

int sim_pipe_append(struct sim_world *world, struct sim_end *to, const struct io_vec *vec, uint64_t len)
{
    struct sim_segment *segment = env_alloc(world->heap, sizeof(*segment) + (size_t)len);
    if (!segment)
        return ERR_NOMEM;
    segment_fill(segment, vec, len);
    struct io_vec whole = {segment->data, (size_t)len};
    taps_show(world, to, sender_vantage(to), &whole, 1, len);
    if (world->wire)
        world->faults[SIM_FAULT_FLIP] +=
            world->wire->pass(world->wire, to->conn->number, from_initiator(to), segment->data, len);
    taps_show(world, to, SIM_TAP_BETWEEN, &whole, 1, len);
    segment->sent_ns = world->now_ns;
    segment->arrival_ns = pipe_arrival(world, to);
    to->pipe.bytes += len;
    list_push_back(&to->pipe.segments, &segment->node);
    return 0;
}

uint64_t sim_pipe_arrived(const struct sim_pipe *pipe, uint64_t now_ns)
{
    uint64_t bytes = 0;
    list_for_each(it, &pipe->segments)
    {
        const struct sim_segment *segment = list_entry(it, struct sim_segment, node);
        if (segment->arrival_ns > now_ns)
            break;
        bytes += segment->len - segment->pos;
    }
    return bytes;
}

static void pipe_copy(struct sim_world *world, struct sim_pipe *pipe, uint8_t *to, size_t len)
{
    while (len > 0) {
        struct sim_segment *segment = list_first(&pipe->segments, struct sim_segment, node);
        const size_t left = segment->len - segment->pos, step = len < left ? len : left;
        memcpy(to, segment->data + segment->pos, step);
        segment->pos += step;
        pipe->bytes -= step;
        to += step;
        len -= step;
        if (segment->pos == segment->len) {
            /* Something of another connection was sent later and is here already. */
            world->faults[SIM_FAULT_OVERTAKEN] += segment->sent_ns < world->last_sent_ns;
            if (segment->sent_ns > world->last_sent_ns)
                world->last_sent_ns = segment->sent_ns;
            list_remove(&segment->node);
            env_free(world->heap, segment);
        }
    }
}

void sim_pipe_take(struct sim_world *world, struct sim_end *to, const struct io_vec *vec, uint64_t len)
{
    const struct io_vec *first = vec;
    uint32_t count = 0;
    for (uint64_t left = len; left > 0; vec++) {
        const size_t step = left < vec->len ? (size_t)left : vec->len;
        count++;
        if (step == 0)
            continue;
        pipe_copy(world, &to->pipe, vec->ptr, step);
        sim_trace_note(world, vec->ptr, step);
        left -= step;
    }
    taps_show(world, to, sender_vantage(sim_peer_of((struct sim_end *)to)), first, count, len);
}

void sim_pipe_clear(struct sim_world *world, struct sim_pipe *pipe)
{
    struct list_node *node;
    while ((node = list_pop_front(&pipe->segments)))
        env_free(world->heap, list_entry(node, struct sim_segment, node));
    pipe->bytes = 0;
}

void sim_pipe_end(struct sim_world *world, struct sim_end *to, bool reset)
{
    struct sim_pipe *pipe = &to->pipe;
    if (pipe->reset || (pipe->fin && !reset) || to->conn->silent)
        return;
    pipe->fin |= !reset;
    pipe->reset |= reset;
    pipe->end_arrival_ns = pipe_arrival(world, to);
}
