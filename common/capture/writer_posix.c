/* The consumer: one thread that makes frames of records and writes them. Records of all rings go out by time;
 * those of one connection in their order, whichever rings they are in. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/capture/capture_internal.h"
#include "common/capture/pcapng.h"

/* ---- the file ---- */

/* "trace.pcapng" -> "trace.00003.pcapng" when there are several. */
static void file_name(const struct capture *c, uint32_t number, char *out, size_t len)
{
    const char *slash = strrchr(c->path, '/'), *dot = strrchr(c->path, '.');
    if (!c->options.files)
        snprintf(out, len, "%s", c->path);
    else if (dot && (!slash || dot > slash + 1))
        snprintf(out, len, "%.*s.%05u%s", (int)(dot - c->path), c->path, number, dot);
    else
        snprintf(out, len, "%s.%05u", c->path, number);
}

static void stop_writing(struct capture *c, int errno_value, const char *what)
{
    int none = 0;
    if (atomic_compare_exchange_strong(&c->writer.err, &none, err_from_errno(errno_value)))
        log_error("capture", "cannot %s %s: %s; nothing more is captured", what, c->path,
                  strerror(errno_value));
}

static void flush(struct capture *c)
{
    struct capture_writer *w = &c->writer;
    for (uint32_t at = 0; at < w->out_len && !atomic_load(&w->err);) {
        ssize_t n = write(w->fd, w->out + at, w->out_len - at);
        if (n > 0) {
            at += (uint32_t)n;
            atomic_fetch_add_explicit(&w->bytes, (uint64_t)n, memory_order_relaxed);
        } else if (n < 0 && errno != EINTR) {
            stop_writing(c, errno, "write");
        }
    }
    w->out_len = 0;
}

/* Room for a block of at most `len` bytes at the end of what is collected. */
static uint8_t *out_room(struct capture *c, size_t len)
{
    if (c->writer.out_len + len > CAPTURE_OUT_LEN)
        flush(c);
    return c->writer.out + c->writer.out_len;
}

static void out_add(struct capture *c, uint32_t len)
{
    c->writer.out_len += len;
    c->writer.file_len += len;
}

static void put_head(struct capture *c)
{
    char text[512];
    struct pcapng_block b;
    pcapng_begin(&b, out_room(c, PCAPNG_ROOM(1024)), PCAPNG_SHB);
    pcapng_u32(&b, PCAPNG_BYTE_ORDER);
    pcapng_u16(&b, 1); /* version 1.0 */
    pcapng_u16(&b, 0);
    pcapng_u64(&b, UINT64_MAX); /* section length: not known yet */
    snprintf(text, sizeof text, PCAPNG_APPLICATION " (%s)", c->application);
    pcapng_opt_text(&b, PCAPNG_SHB_USERAPPL, text);
    pcapng_opt_end(&b);
    out_add(c, pcapng_finish(&b));

    pcapng_begin(&b, out_room(c, PCAPNG_ROOM(1024)), PCAPNG_IDB);
    pcapng_u16(&b, PCAPNG_LINK_RAW);
    pcapng_u16(&b, 0);
    pcapng_u32(&b, c->options.snap);
    pcapng_opt_text(&b, PCAPNG_IF_NAME, "iscsi");
    pcapng_opt_text(&b, PCAPNG_IF_DESCRIPTION,
                    c->options.at_target ? "iSCSI as the target saw it; IP and TCP are made up around it"
                                         : "iSCSI as the initiator saw it; IP and TCP are made up around it");
    uint8_t nanoseconds = 9;
    pcapng_opt(&b, PCAPNG_IF_TSRESOL, &nanoseconds, 1);
    if (c->session[0]) {
        text[0] = 0; /* a filter in words */
        int n = snprintf(text + 1, sizeof text - 1, "session %s", c->session);
        pcapng_opt(&b, PCAPNG_IF_FILTER, text, (uint16_t)(n + 1));
    }
    pcapng_opt_end(&b);
    out_add(c, pcapng_finish(&b));
}

static void put_statistics(struct capture *c)
{
    struct capture_writer *w = &c->writer;
    struct capture_stats stats;
    capture_get_stats(c, &stats);
    char text[256];
    struct pcapng_block b;
    pcapng_begin(&b, out_room(c, PCAPNG_ROOM(512)), PCAPNG_ISB);
    pcapng_u32(&b, 0);
    pcapng_time(&b, w->last_ns);
    snprintf(text, sizeof text,
             "since the start: %" PRIu64 " PDUs (%" PRIu64 " bytes) seen, %" PRIu64 " of them (%" PRIu64
             " bytes) dropped: no room in the buffer; %" PRIu64 " frames lost",
             stats.pdus, stats.pdu_bytes, stats.dropped, stats.dropped_bytes, w->lost_frames);
    pcapng_opt_text(&b, PCAPNG_OPT_COMMENT, text);
    if (w->file_has_frames) {
        pcapng_u16(&b, PCAPNG_ISB_STARTTIME);
        pcapng_u16(&b, 8);
        pcapng_time(&b, w->first_ns);
        pcapng_u16(&b, PCAPNG_ISB_ENDTIME);
        pcapng_u16(&b, 8);
        pcapng_time(&b, w->last_ns);
    }
    pcapng_opt_u64(&b, PCAPNG_ISB_IFRECV, w->file_frames + stats.dropped + w->lost_frames);
    pcapng_opt_u64(&b, PCAPNG_ISB_IFDROP, stats.dropped + w->lost_frames);
    pcapng_opt_end(&b);
    out_add(c, pcapng_finish(&b));
}

static int file_open(struct capture *c, char *why, size_t why_len)
{
    struct capture_writer *w = &c->writer;
    char name[CAPTURE_PATH_MAX + 16];
    file_name(c, ++w->file_number, name, sizeof name);
    w->fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        int err = errno;
        snprintf(why, why_len, "%s: %s", name, strerror(err));
        return err_from_errno(err);
    }
    if (c->options.files && w->file_number > c->options.files) {
        file_name(c, w->file_number - c->options.files, name, sizeof name);
        unlink(name); /* it may be gone already */
    }
    w->file_len = w->file_frames = 0;
    w->file_has_frames = false;
    put_head(c);
    return 0;
}

static void file_close(struct capture *c)
{
    struct capture_writer *w = &c->writer;
    if (w->fd < 0)
        return;
    put_statistics(c);
    flush(c);
    if (close(w->fd) != 0)
        stop_writing(c, errno, "close");
    w->fd = -1;
}

static void next_file(struct capture *c)
{
    char why[CAPTURE_PATH_MAX + 256];
    file_close(c);
    if (!atomic_load(&c->writer.err) && file_open(c, why, sizeof why) != 0) {
        atomic_store(&c->writer.err, ERR_IO);
        log_error("capture", "cannot go on with the next file %s; nothing more is captured", why);
    }
}

/* ---- frames ---- */

static void put_frame(struct capture *c, struct frame_conn *frame, enum tap_direction d, uint8_t flags,
                      const uint8_t *payload, uint32_t len, uint64_t time_ns, const char *comment)
{
    struct capture_writer *w = &c->writer;
    uint8_t headers[FRAME_HEADERS_MAX];
    size_t room = PCAPNG_ROOM(FRAME_HEADERS_MAX + (size_t)len);
    if (c->options.files && w->file_has_frames && w->file_len + room > c->options.file_size)
        next_file(c);
    uint32_t head = frame_build(frame, d, flags, payload, len, headers);
    if (atomic_load_explicit(&w->err, memory_order_relaxed)) {
        w->lost_frames++;
        return;
    }
    uint32_t whole = head + len, kept = c->options.snap && c->options.snap < whole ? c->options.snap : whole;
    struct pcapng_block b;
    pcapng_begin(&b, out_room(c, room), PCAPNG_EPB);
    pcapng_u32(&b, 0);
    pcapng_time(&b, time_ns);
    pcapng_u32(&b, kept);
    pcapng_u32(&b, whole);
    pcapng_raw(&b, headers, head < kept ? head : kept);
    pcapng_raw(&b, payload, head < kept ? kept - head : 0);
    pcapng_pad(&b);
    bool inbound = (d == TAP_TO_TARGET) == c->options.at_target;
    pcapng_u16(&b, PCAPNG_EPB_FLAGS);
    pcapng_u16(&b, 4);
    pcapng_u32(&b, inbound ? 1 : 2);
    if (comment)
        pcapng_opt_text(&b, PCAPNG_OPT_COMMENT, comment);
    pcapng_opt_end(&b);
    out_add(c, pcapng_finish(&b));
    if (!w->file_has_frames)
        w->first_ns = time_ns;
    w->file_has_frames = true;
    w->last_ns = time_ns;
    w->file_frames++;
    atomic_fetch_add_explicit(&w->frames, 1, memory_order_relaxed);
}

static struct writer_conn **conn_slot(struct capture *c, uint64_t id)
{
    struct writer_conn **at = &c->writer.conns[id % (sizeof c->writer.conns / sizeof c->writer.conns[0])];
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void take_open(struct capture *c, const struct record *r)
{
    struct record_open open;
    struct writer_conn *conn = env_alloc(c->env, sizeof *conn), **slot = conn_slot(c, r->conn);
    if (!conn) {
        c->writer.lost_frames++;
        return;
    }
    memcpy(&open, r->payload, sizeof open);
    conn->id = r->conn;
    *slot = conn;
    frame_conn_init(&conn->frame, r->conn, &open.initiator, &open.target);
    put_frame(c, &conn->frame, TAP_TO_TARGET, FRAME_SYN, NULL, 0, r->time_ns, NULL);
    put_frame(c, &conn->frame, TAP_TO_INITIATOR, FRAME_SYN | FRAME_ACK, NULL, 0, r->time_ns, NULL);
    put_frame(c, &conn->frame, TAP_TO_TARGET, FRAME_ACK, NULL, 0, r->time_ns, NULL);
}

static void acknowledge(struct capture *c, struct frame_conn *frame, enum tap_direction d, uint64_t time_ns)
{
    if (frame->seq[d] - frame->acked[d] >= CAPTURE_ACK_LEN)
        put_frame(c, frame, d == TAP_TO_TARGET ? TAP_TO_INITIATOR : TAP_TO_TARGET, FRAME_ACK, NULL, 0,
                  time_ns, NULL);
}

static void take_pdu(struct capture *c, struct frame_conn *frame, const struct record *r)
{
    enum tap_direction d = (enum tap_direction)r->direction;
    char text[160];
    const char *comment = NULL;
    if (r->skip_bytes) {
        frame_skip(frame, d, r->skip_bytes);
        snprintf(text, sizeof text,
                 "before this frame %u PDUs (%" PRIu64
                 " bytes) of this direction were dropped: no room in the buffer",
                 r->skip_pdus, r->skip_bytes);
        comment = text;
    } else if (r->flags & RECORD_PART) {
        comment = "the connection ended within this PDU";
    }
    for (uint32_t at = 0; at < r->len;) {
        uint32_t n = r->len - at < FRAME_PAYLOAD_MAX ? r->len - at : FRAME_PAYLOAD_MAX;
        bool last = at + n == r->len;
        put_frame(c, frame, d, (uint8_t)(FRAME_ACK | (last ? FRAME_PSH : 0)), r->payload + at, n, r->time_ns,
                  comment);
        acknowledge(c, frame, d, r->time_ns);
        comment = NULL;
        at += n;
    }
}

static void take_close(struct capture *c, struct frame_conn *frame, const struct record *r)
{
    uint64_t skips[2];
    char text[160];
    const char *comment = NULL;
    memcpy(skips, r->payload, sizeof skips);
    frame_skip(frame, TAP_TO_TARGET, skips[0]);
    frame_skip(frame, TAP_TO_INITIATOR, skips[1]);
    if (skips[0] + skips[1]) {
        snprintf(text, sizeof text,
                 "before this frame %u PDUs (%" PRIu64
                 " bytes) of both directions were dropped: no room in the buffer",
                 r->skip_pdus, skips[0] + skips[1]);
        comment = text;
    }
    if (r->flags & RECORD_RESET) {
        put_frame(c, frame, TAP_TO_TARGET, FRAME_RST | FRAME_ACK, NULL, 0, r->time_ns, comment);
        return;
    }
    put_frame(c, frame, TAP_TO_TARGET, FRAME_FIN | FRAME_ACK, NULL, 0, r->time_ns, comment);
    put_frame(c, frame, TAP_TO_INITIATOR, FRAME_FIN | FRAME_ACK, NULL, 0, r->time_ns, NULL);
    put_frame(c, frame, TAP_TO_TARGET, FRAME_ACK, NULL, 0, r->time_ns, NULL);
}

static void take_record(struct capture *c, const struct record *r)
{
    if (r->kind == RECORD_OPEN) {
        take_open(c, r);
        return;
    }
    struct writer_conn **slot = conn_slot(c, r->conn), *conn = *slot;
    if (!conn) {
        c->writer.lost_frames++; /* there was no memory for it */
        return;
    }
    if (r->kind == RECORD_PDU) {
        take_pdu(c, &conn->frame, r);
        return;
    }
    take_close(c, &conn->frame, r);
    *slot = conn->next;
    env_free(c->env, conn);
}

/* ---- rings ---- */

static struct record *lane_record(struct capture_lane *lane)
{
    return ring_at(&lane->ring, &lane->read_pos, lane->read_limit);
}

static void lane_take(struct capture *c, struct capture_lane *lane);

/* Takes the lane's records up to `pos`, which its producer had published. */
static void lane_take_until(struct capture *c, struct capture_lane *lane, uint64_t pos)
{
    if (lane->read_limit < pos)
        lane->read_limit = ring_head(&lane->ring);
    while (lane->read_pos < pos && lane_record(lane) && lane->read_pos < pos)
        lane_take(c, lane);
}

/* What another lane must be taken up to was published before this record was: so the calls end. */
static void lane_take(struct capture *c, struct capture_lane *lane)
{
    struct record *r = lane_record(lane);
    if (r->after_lane)
        lane_take_until(c, &c->lanes[r->after_lane - 1], r->after_pos);
    take_record(c, r);
    lane->read_pos = ring_after(&lane->ring, lane->read_pos);
    ring_release(&lane->ring, lane->read_pos);
}

/* Takes all that was published when it began, the oldest record first. False: there was nothing. */
static bool drain(struct capture *c)
{
    bool any = false;
    for (uint32_t i = 0; i < c->lane_count; i++)
        c->lanes[i].read_limit = ring_head(&c->lanes[i].ring);
    for (;;) {
        struct capture_lane *first = NULL;
        uint64_t time_ns = UINT64_MAX;
        for (uint32_t i = 0; i < c->lane_count; i++) {
            const struct record *r = lane_record(&c->lanes[i]);
            if (r && r->time_ns <= time_ns) {
                time_ns = r->time_ns;
                first = &c->lanes[i];
            }
        }
        if (!first)
            return any;
        lane_take(c, first);
        any = true;
    }
}

static bool wait_for_work(struct capture *c)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CAPTURE_FLUSH_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&c->lock);
    if (!c->stop)
        pthread_cond_timedwait(&c->wake, &c->lock, &until);
    bool stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return !stop;
}

void *writer_run(void *capture)
{
    struct capture *c = capture;
    bool go_on = true;
    while (go_on) {
        go_on = wait_for_work(c);
        while (drain(c))
            flush(c); /* a killed program leaves what was seen until here */
    }
    /* No producer is left: the ends that found no room are ours to push now. */
    for (uint32_t i = 0; i < c->lane_count; i++)
        while (!lane_finish(&c->lanes[i]) || drain(c))
            drain(c);
    file_close(c);
    return NULL;
}

int writer_open(struct capture *c, char *why, size_t why_len)
{
    c->writer.out = env_alloc(c->env, CAPTURE_OUT_LEN);
    if (!c->writer.out)
        return ERR_NOMEM;
    int err = file_open(c, why, why_len);
    if (!err)
        flush(c);
    if (!err && (err = atomic_load(&c->writer.err)) != 0)
        snprintf(why, why_len, "%s: %s", c->path, err_text(err));
    return err;
}

void writer_fini(struct capture *c)
{
    struct capture_writer *w = &c->writer;
    if (w->fd >= 0)
        close(w->fd);
    env_free(c->env, w->out);
    for (size_t i = 0; i < sizeof w->conns / sizeof w->conns[0]; i++) {
        while (w->conns[i]) {
            struct writer_conn *conn = w->conns[i];
            w->conns[i] = conn->next;
            env_free(c->env, conn);
        }
    }
}
