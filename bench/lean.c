#include "bench/lean.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "bench/stamp.h"
#include "common/iscsi/serial.h"
#include "common/scsi/sense.h"

#define LEAN_DRAIN_NS   (10ull * LEAN_SECOND_NS)
#define LEAN_SILENCE_NS (30ull * LEAN_SECOND_NS) /* no answer at all: the target is taken for dead */
#define LEAN_EVENTS     64

/* ---- what goes wrong ---- */

void lean_problem(struct lean *lean, const char *format, ...)
{
    va_list args;
    if (lean->result->first_problem[0])
        return;
    va_start(args, format);
    vsnprintf(lean->result->first_problem, sizeof lean->result->first_problem, format, args);
    va_end(args);
}

void lean_break(struct lean *lean, const char *format, ...)
{
    va_list args;
    if (lean->broken)
        return;
    lean->broken = true;
    va_start(args, format);
    vsnprintf(lean->why, lean->why_len, format, args);
    va_end(args);
}

/* ---- commands ---- */

static void lean_stamp(struct lean_session *s, struct lean_slot *slot)
{
    uint32_t block = s->lean->block_size;
    struct stamp stamp = {slot->choice.offset / block, s->writer, slot->sequence};
    for (uint32_t at = 0; at < slot->choice.len; at += block, stamp.lba++)
        stamp_fill(slot->buffer + at, block, &stamp);
}

static void lean_check(struct lean_session *s, const struct lean_slot *slot)
{
    struct lean *lean = s->lean;
    uint32_t block = lean->block_size;
    for (uint32_t at = 0; at < slot->choice.len; at += block) {
        uint64_t offset = slot->choice.offset + at;
        struct stamp want = {offset / block, s->writer, *pattern_written(&s->pattern, offset)}, found;
        if (want.sequence == 0 || stamp_check(slot->buffer + at, block, &want, &found))
            continue;
        lean->result->mismatches++;
        lean->stopping = true;
        lean_problem(lean,
                     "LBA %" PRIu64 ": expected writer %" PRIu64 " sequence %" PRIu64 ", found LBA %" PRIu64
                     " writer %" PRIu64 " sequence %" PRIu64,
                     want.lba, want.writer, want.sequence, found.lba, found.writer, found.sequence);
        return;
    }
}

/* What is on the LUN now, as far as the answer tells. */
static void lean_note(struct lean_session *s, const struct lean_slot *slot, bool good)
{
    if (slot->choice.kind == PATTERN_READ) {
        if (good)
            lean_check(s, slot);
        return;
    }
    uint64_t sequence = good && slot->choice.kind == PATTERN_WRITE ? slot->sequence : 0;
    for (uint32_t at = 0; at < slot->choice.len; at += s->pattern.grain)
        *pattern_written(&s->pattern, slot->choice.offset + at) = sequence;
}

/* Sends the slot's choice, for the first time or again. */
static void lean_issue(struct lean_session *s, uint32_t index)
{
    struct lean_slot *slot = s->slots + index;
    slot->itt += 0x10000u; /* a new generation: a late answer to the old one is noticed */
    slot->in_done = slot->out_done = slot->exp_data_sn = 0;
    slot->parameters = false;
    slot->in_use = true;
    s->in_flight++;
    lean_send_command(s, index);
}

static void lean_take(struct lean_session *s, uint32_t index, uint64_t due_ns)
{
    struct lean_slot *slot = s->slots + index;
    pattern_next(&s->pattern, &slot->choice);
    slot->due_ns = due_ns;
    if (slot->buffer && slot->choice.kind == PATTERN_WRITE) {
        slot->sequence = ++s->sequence;
        lean_stamp(s, slot);
    }
    s->lean->issued++;
    lean_issue(s, index);
}

static bool lean_may_issue(const struct lean *lean)
{
    return !lean->stopping && !lean->broken && lean->issued < lean->issued_limit;
}

static void lean_count(struct lean *lean, const struct lean_slot *slot)
{
    struct lean_result *r = lean->result;
    uint64_t from = slot->due_ns ? slot->due_ns : slot->sent_ns;
    r->commands++;
    r->by_kind[slot->choice.kind]++;
    if (slot->choice.kind == PATTERN_READ)
        r->read_bytes += slot->choice.len;
    else if (slot->choice.kind == PATTERN_WRITE)
        r->write_bytes += slot->choice.len;
    histogram_add(&r->latency, lean->now_ns > from ? lean->now_ns - from : 0);
    while (lean->now_ns >= lean->start_ns + (r->samples + 1) * r->sample_ns &&
           r->samples + 1 < LEAN_SAMPLES_MAX)
        r->samples++;
    r->sample[r->samples]++;
}

/* True when the command goes again: what was told is about the LUN and not about it. */
static bool lean_attention(struct lean_conn *conn, uint8_t status)
{
    struct scsi_sense sense;
    struct lean_session *s = conn->session;
    if (status != SCSI_STATUS_CHECK_CONDITION || conn->sense_have < 2 ||
        !sense_parse(conn->sense + 2, conn->sense_have - 2, &sense) || sense.key != SENSE_UNIT_ATTENTION ||
        s->attentions == LEAN_ATTENTIONS)
        return false;
    s->attentions++;
    s->lean->result->unit_attentions++;
    return true;
}

static void lean_failed(struct lean_conn *conn, const struct lean_slot *slot, uint8_t status)
{
    struct lean *lean = conn->session->lean;
    struct scsi_sense sense;
    char text[200] = "";
    if (conn->sense_have > 2 && sense_parse(conn->sense + 2, conn->sense_have - 2, &sense))
        sense_describe(&sense, text, sizeof text);
    static const char *const names[] = {"read", "write", "unmap"};
    lean_problem(lean, "%s of %u bytes at %" PRIu64 ": %s%s%s", names[slot->choice.kind], slot->choice.len,
                 slot->choice.offset, status ? scsi_status_name(status) : "less data than asked for",
                 text[0] ? ": " : "", text);
    if (++lean->result->errors >= LEAN_ERRORS_MAX)
        lean->stopping = true;
}

void lean_ended(struct lean_conn *conn, struct lean_slot *slot, uint8_t status)
{
    struct lean_session *s = conn->session;
    struct lean *lean = s->lean;
    uint32_t index = (uint32_t)(slot - s->slots);
    slot->in_use = false;
    s->in_flight--;
    if (lean_attention(conn, status)) {
        lean_issue(s, index);
        return;
    }
    bool good = status == SCSI_STATUS_GOOD &&
                (slot->choice.kind != PATTERN_READ || slot->in_done == slot->choice.len);
    if (slot->buffer)
        lean_note(s, slot, good);
    if (!good)
        lean_failed(conn, slot, status);
    else if (lean->measuring)
        lean_count(lean, slot);
    pattern_done(&s->pattern, &slot->choice);
    if (!lean->interval_ns && lean_may_issue(lean))
        lean_take(s, index, 0);
    else
        s->idle[s->idle_count++] = index;
}

void lean_window(struct lean_session *s, uint32_t exp_cmd_sn, uint32_t max_cmd_sn)
{
    if (sn_lt(max_cmd_sn, exp_cmd_sn - 1) || !sn_gt(max_cmd_sn, s->max_cmd_sn)) /* R7143-4.2.2.1-15 */
        return;
    s->max_cmd_sn = max_cmd_sn;
    while (s->waiting_count && sn_le(s->cmd_sn, s->max_cmd_sn)) {
        uint32_t slot = s->waiting[s->waiting_head];
        uint32_t left = s->waiting_count - 1;
        s->waiting_head = (s->waiting_head + 1) % s->slot_count;
        s->waiting_count = 0; /* it goes out now, in front of those that wait */
        lean_send_command(s, slot);
        s->waiting_count = left;
    }
}

/* ---- the loop ---- */

static void lean_want_out(struct lean *lean, struct lean_conn *conn, bool out)
{
    if (conn->wants_out == out)
        return;
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = conn};
    conn->wants_out = out;
    epoll_ctl(lean->epoll, EPOLL_CTL_MOD, conn->fd, &event);
}

static void lean_flush_all(struct lean *lean)
{
    while (lean->flush_count && !lean->broken) {
        struct lean_conn *conn = lean->flush[--lean->flush_count];
        conn->flush_due = false;
        lean_flush(conn);
        lean_want_out(lean, conn, lean_send_pending(conn));
    }
}

/* Waits up to `timeout_ns` for any connection; true when something came. */
static bool lean_events(struct lean *lean, uint64_t timeout_ns)
{
    struct epoll_event events[LEAN_EVENTS];
    struct timespec timeout = {(time_t)(timeout_ns / LEAN_SECOND_NS), (long)(timeout_ns % LEAN_SECOND_NS)};
    int n = epoll_pwait2(lean->epoll, events, LEAN_EVENTS, &timeout, NULL);
    for (int i = 0; i < n && !lean->broken; i++) {
        struct lean_conn *conn = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            lean_flush(conn);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            lean_receive(conn, false);
        lean_want_out(lean, conn, lean_send_pending(conn) && !conn->flush_due);
        lean_flush_all(lean);
    }
    return n > 0;
}

static struct lean_conn *lean_alone(struct lean *lean)
{
    return lean->conn_count == 1 ? lean->sessions[0].conns : NULL;
}

static bool lean_look(struct lean *lean)
{
    struct lean_conn *alone = lean_alone(lean);
    return alone && !alone->wants_out ? lean_receive(alone, false) : lean_events(lean, 0);
}

static void lean_spin(struct lean *lean, uint64_t until_ns)
{
    while (!lean->broken && !lean_look(lean))
        if (env_now(lean->env) >= until_ns)
            return;
}

static void lean_sleep(struct lean *lean, uint64_t timeout_ns)
{
    struct lean_conn *alone = lean_alone(lean);
    if (alone && !alone->wants_out && !lean->interval_ns)
        lean_receive(alone, true); /* the socket's own time-out is LEAN_NAP_NS */
    else
        lean_events(lean, timeout_ns);
}

static void lean_wait(struct lean *lean)
{
    uint64_t now = env_now(lean->env), timeout = LEAN_NAP_NS;
    if (lean->interval_ns && lean_may_issue(lean))
        timeout = lean->next_due_ns > now ? lean->next_due_ns - now : 0;
    if (timeout > LEAN_NAP_NS)
        timeout = LEAN_NAP_NS;
    switch (lean->options->poll) {
    case LEAN_POLL_ALWAYS:
        lean_spin(lean, now + timeout);
        break;
    case LEAN_POLL_ADAPTIVE:
        if (lean_look(lean))
            break;
        lean_spin(lean, now + (timeout < LEAN_SPIN_NS ? timeout : LEAN_SPIN_NS));
        if (env_now(lean->env) - now >= LEAN_SPIN_NS && !lean->broken && timeout > LEAN_SPIN_NS)
            lean_sleep(lean, timeout - LEAN_SPIN_NS);
        break;
    case LEAN_POLL_NEVER:
        lean_sleep(lean, timeout);
        break;
    }
    lean->now_ns = env_now(lean->env);
}

/* Rate: what is due goes to the sessions in turn. What finds no free slot stays due, and its latency counts
 * from when it was. */
static void lean_issue_due(struct lean *lean)
{
    uint32_t tried = 0;
    uint64_t now = env_now(lean->env);
    while (lean->next_due_ns <= now && lean_may_issue(lean) && tried < lean->options->sessions) {
        struct lean_session *s = lean->sessions + lean->idle_sessions++ % lean->options->sessions;
        tried++;
        if (!s->idle_count)
            continue;
        tried = 0;
        lean_take(s, s->idle[--s->idle_count], lean->next_due_ns);
        lean->next_due_ns += lean->interval_ns;
    }
}

static uint32_t lean_in_flight(const struct lean *lean)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < lean->options->sessions; i++)
        sum += lean->sessions[i].in_flight;
    return sum;
}

static void lean_turn(struct lean *lean)
{
    if (lean->interval_ns)
        lean_issue_due(lean);
    lean_flush_all(lean);
    if (!lean->broken)
        lean_wait(lean);
    lean_flush_all(lean);
}

struct lean_mark { /* usage at one moment */
    struct process_usage own, target;
    struct core_usage core;
};

static void lean_mark(const struct lean *lean, struct lean_mark *mark)
{
    memset(mark, 0, sizeof *mark);
    process_usage(0, &mark->own);
    if (lean->options->target_pid >= 0)
        process_usage(lean->options->target_pid, &mark->target);
    if (lean->options->watch_cpu >= 0)
        core_usage(lean->options->watch_cpu, &mark->core);
}

static void lean_measured(struct lean *lean, const struct lean_mark *from)
{
    struct lean_result *r = lean->result;
    struct lean_mark to;
    r->elapsed_ns = env_now(lean->env) - lean->start_ns;
    lean_mark(lean, &to);
    lean->measuring = false;
    lean->stopping = true;
    r->bytes = r->read_bytes + r->write_bytes;
    r->samples = r->elapsed_ns >= r->sample_ns ? r->samples : 0; /* the last one is not full */
    r->own = process_difference(&to.own, &from->own);
    r->has_target = lean->options->target_pid >= 0 && to.target.threads;
    if (r->has_target)
        r->target = process_difference(&to.target, &from->target);
    r->watch_busy = -1;
    if (lean->options->watch_cpu >= 0 && to.core.all > from->core.all)
        r->watch_busy = (double)(to.core.busy - from->core.busy) / (double)(to.core.all - from->core.all);
}

static void lean_begin_measuring(struct lean *lean)
{
    const struct lean_options *o = lean->options;
    lean->start_ns = env_now(lean->env);
    lean->end_ns = o->commands ? UINT64_MAX : lean->start_ns + o->duration_ns;
    lean->result->sample_ns = o->commands ? 100 * LEAN_MS_NS : o->duration_ns / 200;
    if (lean->result->sample_ns < 10 * LEAN_MS_NS)
        lean->result->sample_ns = 10 * LEAN_MS_NS;
    lean->measuring = true;
    if (o->commands)
        lean->issued_limit = lean->issued + o->commands;
}

static void lean_watch_silence(struct lean *lean, uint64_t *since_ns, uint64_t *seen)
{
    uint64_t done = lean->issued - lean_in_flight(lean);
    if (done != *seen || !lean_in_flight(lean)) {
        *seen = done;
        *since_ns = lean->now_ns;
    } else if (lean->now_ns - *since_ns > LEAN_SILENCE_NS) {
        lean_break(lean, "the target has not answered for %llu s", LEAN_SILENCE_NS / LEAN_SECOND_NS);
    }
}

void lean_loop(struct lean *lean)
{
    const struct lean_options *o = lean->options;
    struct lean_mark from;
    uint64_t begin = env_now(lean->env), silent_ns = begin, seen = 0;
    lean->now_ns = lean->next_due_ns = begin;
    lean->issued_limit = UINT64_MAX;
    if (!o->warmup_ns) {
        lean_mark(lean, &from);
        lean_begin_measuring(lean);
    }
    for (uint32_t i = 0; i < o->sessions && !lean->interval_ns; i++)
        for (struct lean_session *s = lean->sessions + i; s->idle_count && lean_may_issue(lean);)
            lean_take(s, s->idle[--s->idle_count], 0);
    while (!lean->broken && !lean->stopping) {
        lean_turn(lean);
        lean_watch_silence(lean, &silent_ns, &seen);
        if (!lean->measuring && lean->now_ns - begin >= o->warmup_ns) {
            lean_mark(lean, &from);
            lean_begin_measuring(lean);
        } else if (lean->measuring && (lean->now_ns >= lean->end_ns ||
                                       (lean->issued >= lean->issued_limit && !lean_in_flight(lean)))) {
            break;
        }
    }
    if (lean->measuring)
        lean_measured(lean, &from);
    uint64_t patience = env_now(lean->env) + LEAN_DRAIN_NS;
    while (!lean->broken && lean_in_flight(lean) && lean->now_ns < patience)
        lean_turn(lean);
}
