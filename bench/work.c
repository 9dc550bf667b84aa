#include "bench/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/stamp.h"
#include "common/base/env.h"
#include "common/base/err.h"

struct work_session;

struct work_slot { /* one command in flight */
    struct lnt_command command;
    struct work_session *session;
    struct io_vec place;
    uint8_t *buffer; /* owned, options.size bytes */
    uint64_t unit;
    uint64_t sequence; /* of a write */
    bool write;
};

struct work_session {
    struct work *work;
    struct lnt_client *client;
    struct work_slot *slots; /* depth of them */
    uint64_t first_unit, units;
    uint64_t *written; /* by unit: sequence of the last write answered; 0: never written by us */
    bool *busy;        /* by unit */
    uint64_t next;     /* sequential position */
    uint64_t sequence;
    uint64_t random;
    uint32_t index, in_flight;
    bool open, closed;
};

struct work {
    const struct env *env;
    struct io *io;
    struct work_options options;
    struct work_result *result;
    struct lnt_disk disk;
    int32_t lun;
    struct work_session *sessions;
    uint64_t started_ns, issued;
    uint32_t opened, failed;
    int open_error;
};

static uint64_t work_random(struct work_session *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static void work_problem(struct work *w, const char *text)
{
    if (!w->result->first_problem[0])
        snprintf(w->result->first_problem, sizeof w->result->first_problem, "%s", text);
}

static bool work_over(const struct work *w)
{
    if (w->options.commands && w->issued >= w->options.commands)
        return true;
    return w->options.duration_ns && io_now(w->io) - w->started_ns >= w->options.duration_ns;
}

/* A unit that no command of this session is using; there are always more units than slots. */
static uint64_t work_pick(struct work_session *s)
{
    uint64_t unit = s->work->options.random ? work_random(s) % s->units : s->next++ % s->units;
    while (s->busy[unit])
        unit = (unit + 1) % s->units;
    return unit;
}

static void work_stamp(struct work_slot *slot, bool check)
{
    struct work_session *s = slot->session;
    struct work *w = s->work;
    uint32_t block = w->disk.block_size;
    uint64_t lba = (s->first_unit + slot->unit) * (w->options.size / block);
    for (uint32_t at = 0; at < w->options.size; at += block, lba++) {
        struct stamp want = {lba, s->index, check ? s->written[slot->unit] : slot->sequence}, found;
        if (!check) {
            stamp_fill(slot->buffer + at, block, &want);
        } else if (!stamp_check(slot->buffer + at, block, &want, &found)) {
            char text[240];
            w->result->mismatches++;
            snprintf(text, sizeof text,
                     "LBA %" PRIu64 ": expected writer %" PRIu64 " sequence %" PRIu64 ", found LBA %" PRIu64
                     " writer %" PRIu64 " sequence %" PRIu64,
                     want.lba, want.writer, want.sequence, found.lba, found.writer, found.sequence);
            work_problem(w, text);
            return;
        }
    }
}

static void work_issue(struct work_slot *slot);

static void work_done(struct lnt_command *command)
{
    struct work_slot *slot = command->owner;
    struct work_session *s = slot->session;
    struct work *w = s->work;
    s->in_flight--;
    s->busy[slot->unit] = false;
    w->result->commands++;
    if (command->error || command->scsi.status != 0) {
        char text[200];
        w->result->errors++;
        work_problem(w, lnt_command_text(command, text, sizeof text));
        s->written[slot->unit] = 0; /* a failed write leaves the unit unknown */
    } else if (slot->write) {
        w->result->writes++;
        w->result->bytes += w->options.size;
        s->written[slot->unit] = slot->sequence;
    } else {
        w->result->reads++;
        w->result->bytes += w->options.size;
        if (w->options.verify && s->written[slot->unit])
            work_stamp(slot, true);
    }
    if (!work_over(w) && !w->result->mismatches && w->result->errors < 1000)
        work_issue(slot);
}

static void work_issue(struct work_slot *slot)
{
    struct work_session *s = slot->session;
    struct work *w = s->work;
    uint32_t block = w->disk.block_size, blocks = w->options.size / block;
    slot->unit = work_pick(s);
    slot->write = work_random(s) % 100 >= w->options.read_percent;
    slot->place = (struct io_vec){slot->buffer, w->options.size};
    uint64_t lba = (s->first_unit + slot->unit) * blocks;
    if (slot->write) {
        slot->sequence = ++s->sequence;
        if (w->options.verify)
            work_stamp(slot, false);
        lnt_command_write(&slot->command, w->lun, lba, blocks, block, &slot->place, 1, false);
    } else {
        lnt_command_read(&slot->command, w->lun, lba, blocks, block, &slot->place, 1);
    }
    slot->command.done = work_done;
    slot->command.owner = slot;
    s->busy[slot->unit] = true;
    s->in_flight++;
    w->issued++;
    lnt_client_submit(s->client, &slot->command);
}

static void work_opened(void *arg, int err)
{
    struct work_session *s = arg;
    if (err) {
        s->work->failed++;
        s->work->open_error = err;
        return;
    }
    s->open = true;
    s->work->opened++;
}

static void work_closed(void *arg)
{
    struct work_session *s = arg;
    s->closed = true;
}

static int work_session_init(struct work *w, struct work_session *s, uint32_t index,
                             const struct lnt_url *url, const struct lnt_options *client)
{
    const struct work_options *o = &w->options;
    uint64_t all = w->disk.blocks / (o->size / w->disk.block_size);
    uint64_t share = all / ((uint64_t)o->parts * o->sessions);
    if (share <= o->depth)
        return ERR_RANGE;
    s->work = w;
    s->index = o->part * o->sessions + index + 1;
    s->first_unit = (s->index - 1) * share;
    s->units = share;
    s->random = (o->seed + s->index) * 0x9e3779b97f4a7c15u | 1;
    s->written = env_alloc(w->env, share * sizeof *s->written);
    s->busy = env_alloc(w->env, share * sizeof *s->busy);
    s->slots = env_alloc(w->env, o->depth * sizeof *s->slots);
    if (!s->written || !s->busy || !s->slots)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < o->depth; i++) {
        s->slots[i].session = s;
        s->slots[i].buffer = env_alloc(w->env, o->size);
        if (!s->slots[i].buffer)
            return ERR_NOMEM;
    }
    /* Every session is an initiator port of its own: the ISID qualifier tells them apart. */
    struct lnt_options own = *client;
    own.session.isid[4] = (uint8_t)(s->index >> 8);
    own.session.isid[5] = (uint8_t)s->index;
    return lnt_client_new(w->env, w->io, url, &own, &s->client);
}

static void work_session_fini(struct work *w, struct work_session *s)
{
    if (s->client) {
        struct lnt_counters counters;
        lnt_client_counters(s->client, &counters);
        w->result->reconnects += lnt_client_reconnects(s->client);
        w->result->connections_lost += counters.connections_lost;
        w->result->reissued += counters.reissued;
        w->result->recovered_connections += counters.recovery.recovered_connections;
        w->result->reassigns += counters.recovery.reassigns;
        lnt_client_close(s->client, work_closed, s);
        while (!s->closed)
            io_run(w->io, UINT64_MAX);
        lnt_client_free(s->client);
    }
    for (uint32_t i = 0; s->slots && i < w->options.depth; i++)
        env_free(w->env, s->slots[i].buffer);
    env_free(w->env, s->slots);
    env_free(w->env, s->written);
    env_free(w->env, s->busy);
}

static uint32_t work_in_flight(const struct work *w)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < w->options.sessions; i++)
        sum += w->sessions[i].in_flight;
    return sum;
}

static int work_start(struct work *w, const struct lnt_url *url, const struct lnt_options *client, char *why,
                      size_t why_len)
{
    for (uint32_t i = 0; i < w->options.sessions; i++) {
        int err = work_session_init(w, &w->sessions[i], i, url, client);
        if (err) {
            snprintf(why, why_len, "session %u: %s%s", i, err_text(err),
                     err == ERR_RANGE ? " (the LUN is too small for that many sessions, depth and size)"
                                      : "");
            return err;
        }
        lnt_client_open(w->sessions[i].client, work_opened, &w->sessions[i]);
    }
    while (w->opened + w->failed < w->options.sessions)
        io_run(w->io, UINT64_MAX);
    if (w->failed) {
        for (uint32_t i = 0; i < w->options.sessions; i++)
            if (!w->sessions[i].open)
                snprintf(why, why_len, "%s", lnt_client_error(w->sessions[i].client));
        return w->open_error;
    }
    return 0;
}

/* Asks the LUN for its size over a session of its own, before the load starts. */
static int work_probe(struct work *w, const struct lnt_url *url, const struct lnt_options *client, char *why,
                      size_t why_len)
{
    struct lnt_client *probe;
    int err = lnt_client_new(w->env, w->io, url, client, &probe);
    if (err)
        return err;
    err = lnt_open(probe);
    if (!err)
        err = lnt_disk_probe(probe, w->lun, &w->disk);
    if (err)
        snprintf(why, why_len, "%s", lnt_client_error(probe));
    lnt_close(probe);
    lnt_client_free(probe);
    return err;
}

int work_run(const struct env *env, struct io *io, const struct lnt_url *url,
             const struct lnt_options *client, const struct work_options *options, struct work_result *result,
             char *why, size_t why_len)
{
    struct work w = {
        .env = env, .io = io, .options = *options, .result = result, .lun = url->lun < 0 ? 0 : url->lun};
    memset(result, 0, sizeof *result);
    int err = work_probe(&w, url, client, why, why_len);
    if (err)
        return err;
    if (options->size == 0 || options->size % w.disk.block_size) {
        snprintf(why, why_len, "the command size %u is not a multiple of the LUN's block size %u",
                 options->size, w.disk.block_size);
        return ERR_INVALID;
    }
    w.sessions = env_alloc(env, options->sessions * sizeof *w.sessions);
    if (!w.sessions)
        return ERR_NOMEM;
    err = work_start(&w, url, client, why, why_len);
    const struct key_params *params = err ? NULL : lnt_client_params(w.sessions[0].client);
    if (params) {
        result->recovery_level = params->error_recovery_level;
        result->max_connections = params->max_connections;
    }
    w.started_ns = io_now(io);
    for (uint32_t i = 0; !err && i < options->sessions; i++)
        for (uint32_t d = 0; d < options->depth && !work_over(&w); d++)
            work_issue(&w.sessions[i].slots[d]);
    while (work_in_flight(&w))
        io_run(io, UINT64_MAX);
    result->elapsed_ns = io_now(io) - w.started_ns;
    for (uint32_t i = 0; i < options->sessions; i++)
        work_session_fini(&w, &w.sessions[i]);
    env_free(env, w.sessions);
    return err;
}
