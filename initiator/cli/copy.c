/* `copy`: source to destination, as many chunks at once as make it faster. Each slot goes round: take a
 * chunk, read it, write it (or zero it when there is nothing but zeros in it). Chunks never overlap, so their
 * order does not matter. What does not fill a block of the destination at its end is merged into that block
 * when all else is done, and last the destination's cache is flushed.
 *
 * A write that was answered is on stable media only after the flush. When a new session with the destination
 * was needed in between, the target may have been away, and what its cache held may be gone. Then the copy
 * goes on with check passes: each chunk is read from both sides and written again where they differ, and the
 * cache is flushed. A chunk that is equal once a flush has succeeded is durable, whatever happens later: so
 * one check pass without differences, or one without a new session, is the last. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/units.h"
#include "initiator/cli/place.h"
#include "initiator/cli/progress.h"
#include "initiator/cli/window.h"

#define CHUNK_LEN     262144u /* bytes of one command */
#define CHUNK_LEN_MIN 65536u
#define BUFFERS_MAX   (64u << 20) /* bytes of all slots together */
#define HOLE_LEN      (64u << 20) /* bytes: of a hole, what one slot takes */
#define TICK_NS       UINT64_C(100000000)
#define DRAIN_NS      UINT64_C(2000000000) /* how long an interrupted copy waits for what is out */
#define CHECKS_MAX    16u                  /* passes, each of which found the target away and data missing */

enum slot_state { SLOT_IDLE, SLOT_READING, SLOT_COMPARING, SLOT_WRITING };

struct copy;

struct slot {
    struct copy *copy;
    enum slot_state state;
    uint8_t *buf;   /* chunk_len bytes, within copy->buffers */
    uint8_t *check; /* the same for what the destination has, within copy->check_buffers */
    uint64_t offset, len;
    struct place_op op;
};

struct copy {
    struct cli *cli;
    struct place source, destination;
    uint64_t size; /* bytes to copy in whole units; the rest is the tail */
    uint32_t tail_len;
    uint32_t unit; /* bytes: a multiple of both block sizes */
    uint32_t chunk_len;
    uint64_t next;                 /* where the next chunk begins */
    uint64_t data_start, data_end; /* the extent of data that `next` is in or before */
    uint64_t done, skipped;        /* bytes; skipped: were zeros and needed no data */
    uint32_t busy;                 /* slots */
    struct window window;
    bool stop; /* no new chunks: failure or interrupt */
    struct slot *slots;
    uint8_t *buffers;       /* owned */
    uint8_t *check_buffers; /* owned; NULL before the first check pass */
    uint32_t checks;        /* check passes begun; 0: the first pass, which writes all */
    uint64_t rewritten;     /* chunks of this check pass */
};

static void slots_go(struct copy *copy, struct slot *slot);

static bool is_zero(const uint8_t *buf, uint64_t len)
{
    /* Equal to itself one byte further, and the first one is zero. */
    return buf[0] == 0 && memcmp(buf, buf + 1, (size_t)len - 1) == 0;
}

static uint64_t round_down(uint64_t n, uint32_t unit)
{
    return n - n % unit;
}

/* ---- chunks ---- */

/* The extent of data after `next`, widened to whole units. */
static void find_data(struct copy *copy)
{
    uint64_t start, end;
    if (copy->checks) { /* holes must be holes on the other side: all is looked at */
        copy->data_start = copy->next;
        copy->data_end = copy->size;
        return;
    }
    if (!place_next_data(&copy->source, copy->next, &start, &end) || start >= copy->size) {
        copy->data_start = copy->data_end = copy->size;
        return;
    }
    start = round_down(start, copy->unit);
    end = round_down(end + copy->unit - 1, copy->unit);
    copy->data_start = start > copy->next ? start : copy->next;
    copy->data_end = end < copy->size ? end : copy->size;
}

/* Takes the next chunk for the slot; false when there is none. */
static bool next_chunk(struct copy *copy, struct slot *slot, bool *is_hole)
{
    if (copy->stop || copy->next >= copy->size)
        return false;
    if (copy->next >= copy->data_end)
        find_data(copy);
    *is_hole = copy->next < copy->data_start;
    uint64_t end = *is_hole ? copy->data_start : copy->data_end;
    uint64_t most = *is_hole ? round_down(HOLE_LEN, copy->unit) : copy->chunk_len;
    slot->offset = copy->next;
    slot->len = end - copy->next < most ? end - copy->next : most;
    copy->next += slot->len;
    return true;
}

/* ---- slots ---- */

/* The chunk is in slot->buf: on to the destination with it. False: nothing needs to be done. */
static bool slot_write(struct slot *slot)
{
    struct copy *copy = slot->copy;
    bool zero = is_zero(slot->buf, slot->len);
    slot->state = SLOT_WRITING;
    if (!zero) {
        place_write(&copy->destination, &slot->op, slot->buf, slot->offset, (uint32_t)slot->len);
        return true;
    }
    copy->skipped += copy->checks ? 0 : slot->len;
    return place_zero(&copy->destination, &slot->op, slot->offset, slot->len);
}

/* What follows the step that has ended. False: the chunk is done. */
static bool slot_next_step(struct slot *slot)
{
    struct copy *copy = slot->copy;
    if (slot->state == SLOT_READING && copy->checks) {
        slot->state = SLOT_COMPARING;
        place_read(&copy->destination, &slot->op, slot->check, slot->offset, (uint32_t)slot->len);
        return true;
    }
    if (slot->state == SLOT_COMPARING) {
        if (memcmp(slot->buf, slot->check, (size_t)slot->len) == 0)
            return false;
        copy->rewritten++;
        return slot_write(slot);
    }
    return slot->state == SLOT_READING && slot_write(slot);
}

static void slot_done(struct place_op *op)
{
    struct slot *slot = op->owner;
    struct copy *copy = slot->copy;
    if (op->failed || copy->stop) {
        copy->stop = true;
        slot->state = SLOT_IDLE;
        copy->busy--;
        return;
    }
    if (slot_next_step(slot))
        return;
    copy->done += slot->len;
    slot->state = SLOT_IDLE;
    copy->busy--;
    /* A long hole says nothing about how fast data goes. */
    bool wider =
        slot->len <= copy->chunk_len && window_ended(&copy->window, slot->len, io_now(copy->cli->io));
    slots_go(copy, wider ? NULL : slot);
}

/* Gives an idle slot work until something is on its way. */
static void slot_go(struct slot *slot)
{
    struct copy *copy = slot->copy;
    bool is_hole;
    while (slot->state == SLOT_IDLE && next_chunk(copy, slot, &is_hole)) {
        if (!is_hole) {
            slot->state = SLOT_READING;
            place_read(&copy->source, &slot->op, slot->buf, slot->offset, (uint32_t)slot->len);
        } else {
            copy->skipped += slot->len;
            if (place_zero(&copy->destination, &slot->op, slot->offset, slot->len))
                slot->state = SLOT_WRITING;
            else
                copy->done += slot->len;
        }
    }
    copy->busy += slot->state != SLOT_IDLE;
}

/* As many as the window has room for: `slot`, whose memory has just been used, or (NULL) any. */
static void slots_go(struct copy *copy, struct slot *slot)
{
    if (slot && copy->busy < copy->window.open)
        slot_go(slot);
    for (uint32_t i = 0; !slot && i < copy->cli->depth && copy->busy < copy->window.open; i++) {
        if (copy->slots[i].state == SLOT_IDLE)
            slot_go(&copy->slots[i]);
    }
}

static int slots_new(struct copy *copy)
{
    uint32_t depth = copy->cli->depth;
    copy->slots = calloc(depth, sizeof(*copy->slots));
    /* copy_tail needs a block of either side at once, which a short chunk need not have room for. */
    copy->buffers =
        aligned_alloc(4096, round_down((uint64_t)depth * copy->chunk_len + 2u * copy->unit + 4095, 4096));
    if (!copy->slots || !copy->buffers)
        return cli_failed("out of memory");
    for (uint32_t i = 0; i < depth; i++) {
        struct slot *slot = &copy->slots[i];
        slot->copy = copy;
        slot->buf = copy->buffers + (size_t)i * copy->chunk_len;
        slot->op.done = slot_done;
        slot->op.owner = slot;
    }
    return 0;
}

/* ---- the whole ---- */

/* A chunk is a whole number of blocks on both sides and no more than either takes. */
static void choose_chunk(struct copy *copy)
{
    uint32_t a = copy->source.block_size, b = copy->destination.block_size;
    uint32_t x = a, y = b;
    while (y) { /* their least common multiple, by their greatest common divisor */
        uint32_t rest = x % y;
        x = y;
        y = rest;
    }
    copy->unit = a / x * b;
    if (copy->unit < 4096 && 4096 % copy->unit == 0)
        copy->unit = 4096; /* holes of files come in pages */
    uint32_t len = BUFFERS_MAX / copy->cli->depth;
    len = len > CHUNK_LEN ? CHUNK_LEN : len < CHUNK_LEN_MIN ? CHUNK_LEN_MIN : len;
    len = len > copy->source.max_len ? copy->source.max_len : len;
    len = len > copy->destination.max_len ? copy->destination.max_len : len;
    len = (uint32_t)round_down(len, copy->unit);
    copy->chunk_len = len ? len : copy->unit; /* places cut what is still too long for them */
    /* Only whole destination blocks go through the slots; a file's are bytes. The unit may be larger than a
     * block. */
    copy->tail_len = (uint32_t)(copy->source.size % copy->destination.block_size);
    copy->size = copy->source.size - copy->tail_len;
}

/* The next pass compares. Its buffers come only now: hardly any copy needs them. */
static int begin_check(struct copy *copy)
{
    uint32_t depth = copy->cli->depth;
    if (!copy->check_buffers)
        copy->check_buffers = aligned_alloc(4096, round_down((uint64_t)depth * copy->chunk_len + 4095, 4096));
    if (!copy->check_buffers)
        return cli_failed("out of memory");
    for (uint32_t i = 0; i < depth; i++)
        copy->slots[i].check = copy->check_buffers + (size_t)i * copy->chunk_len;
    copy->checks++;
    copy->next = copy->data_start = copy->data_end = 0;
    copy->done = copy->rewritten = 0;
    return 0;
}

/* Runs until all chunks are done, or the interrupt has been served. False: interrupted with operations still
 * out. */
static bool run_slots(struct copy *copy)
{
    struct progress progress;
    struct io *io = copy->cli->io;
    uint64_t give_up_ns = UINT64_MAX;
    progress_start(&progress, copy->size, io_now(io));
    interrupt_ask(true);
    window_start(&copy->window, copy->cli->depth, io_now(io));
    slots_go(copy, NULL);
    while (copy->busy && io_now(io) < give_up_ns) {
        io_run(io, io_now(io) + TICK_NS);
        progress_show(&progress, copy->done, io_now(io));
        if (interrupted() && give_up_ns == UINT64_MAX) {
            copy->stop = true;
            give_up_ns = io_now(io) + DRAIN_NS;
        }
    }
    progress_end(&progress);
    interrupt_ask(false);
    return copy->busy == 0;
}

/* The last bytes share a block with what stands behind them on the destination: that must stay. */
static int copy_tail(struct copy *copy)
{
    struct place *source = &copy->source, *destination = &copy->destination;
    uint32_t source_len =
        copy->tail_len + (source->block_size - copy->tail_len % source->block_size) % source->block_size;
    uint8_t *block = copy->buffers, *end = copy->buffers + destination->block_size;
    if (copy->tail_len == 0)
        return 0;
    if (place_read_wait(destination, block, copy->size, destination->block_size) ||
        place_read_wait(source, end, copy->size, source_len))
        return CLI_FAILED;
    memcpy(block, end, copy->tail_len);
    return place_write_wait(destination, block, copy->size, destination->block_size);
}

static void summary(const struct copy *copy, uint64_t ns)
{
    char size[32], rate[32], skipped[32];
    uint64_t ms = ns / 1000000;
    double seconds = (double)ns / 1e9;
    printf("copied %llu bytes (%s) in %llu.%03llu s, %s/s, %s of zeros left out\n",
           (unsigned long long)copy->source.size, units_format_size(copy->source.size, size, sizeof(size)),
           (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000),
           units_format_size((uint64_t)((double)copy->source.size / (seconds > 0.001 ? seconds : 0.001)),
                             rate, sizeof(rate)),
           units_format_size(copy->skipped, skipped, sizeof(skipped)));
}

/* All chunks, the tail and the flush: once. 0, or the exit code after a message. */
static int run_pass(struct copy *copy)
{
    if (!run_slots(copy)) {
        /* Operations that do not end would hold us: the process's end takes the connection down. */
        fflush(stdout);
        explicit_bzero(&copy->cli->options, sizeof(copy->cli->options));
        cli_failed("interrupted after %llu bytes", (unsigned long long)copy->done);
        _Exit(CLI_INTERRUPTED);
    }
    bool failed = copy->source.why[0] || copy->destination.why[0];
    if (!failed && interrupted()) {
        cli_failed("interrupted after %llu bytes", (unsigned long long)copy->done);
        return CLI_INTERRUPTED;
    }
    if (!failed)
        copy_tail(copy);
    /* The destination's words first: when both fail, they say what is incomplete. */
    if (copy->destination.why[0] || copy->source.why[0])
        return cli_failed("%s", copy->destination.why[0] ? copy->destination.why : copy->source.why);
    return place_sync(&copy->destination);
}

static uint64_t destination_sessions(const struct copy *copy)
{
    return copy->destination.is_lun ? lnt_client_reconnects(copy->destination.client) : 0;
}

static int run_copy(struct copy *copy)
{
    uint64_t started_ns = io_now(copy->cli->io);
    choose_chunk(copy);
    int code = slots_new(copy);
    while (!code) {
        uint64_t before = destination_sessions(copy);
        code = run_pass(copy);
        if (code || destination_sessions(copy) == before || (copy->checks && copy->rewritten == 0))
            break;
        if (copy->checks == CHECKS_MAX)
            return cli_failed("%s keeps going away and losing what was written to it",
                              copy->destination.name);
        cli_note("%s was away during the copy: checking what it kept", copy->destination.name);
        code = begin_check(copy);
    }
    if (!code)
        summary(copy, io_now(copy->cli->io) - started_ns);
    return code;
}

int verb_copy(struct cli *cli)
{
    static struct copy copy; /* large */
    copy.cli = cli;
    int code = place_init(&copy.source, cli, cli->operand[0]);
    if (!code)
        code = place_init(&copy.destination, cli, cli->operand[1]);
    else
        copy.destination = (struct place){.cli = cli, .file = IO_NONE, .fd = -1};
    if (!code && place_same(&copy.source, &copy.destination))
        code = cli_misuse("source and destination are the same: %s", copy.source.name);
    if (!code)
        code = cli_start(cli);
    interrupt_catch();
    if (!code)
        code = place_open_source(&copy.source);
    place_other_session(&copy.destination);
    if (!code)
        code = place_open_destination(&copy.destination, copy.source.size);
    if (!code)
        code = run_copy(&copy);
    place_close(&copy.source);
    place_close(&copy.destination);
    free(copy.slots);
    free(copy.buffers);
    free(copy.check_buffers);
    return code;
}
