/* ceiling: what TCP alone can do between two cores, as a yardstick for the target. A 48-byte request is
 * answered by 48 + N bytes (read), or 48 + N bytes by 48 (write). It knows no iSCSI and checks nothing, but
 * it touches memory as a target must: reads are gathered from, writes copied into, a region of a LUN's size
 * at the request's offset.
 *
 *   ceiling serve  --port P --size BYTES [--connections N] [--spin] [--file PATH] [--cpu N]
 *   ceiling client --port P --size BYTES [--connections N] [--spin] [--write] [--len BYTES] [--depth N]
 *                  [--rate N] [--warmup S] [--duration S] [--target-pid PID] [--watch-cpu N] [--cpu N]
 *                  [--copy PATH]
 *
 * Batching is all that it is about: one receive takes whatever has come, all answers to it leave in one
 * gather list, and headers lie side by side so that they cost one place. One connection alone sleeps in recv
 * itself, several in epoll; the spinning variant never sleeps. Large writes are received straight into the
 * region. With --file the region is a mapped file, and writes go through pwrite. With --copy the client takes
 * what it writes from a file and puts what it reads into it, in order of offsets. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "bench/histogram.h"
#include "bench/process.h"

#define HEAD_LEN   48u
#define RECV_LEN   (256u << 10)
#define DIRECT_LEN (16u << 10) /* bytes to come of a write: from here on placed, not copied */
#define QUEUE_MAX  4096u       /* messages that may wait to be sent; a power of two */
#define VEC_MAX    512u
#define CONNS_MAX  256u
#define BODY_MAX   (16u << 20)
#define SECOND_NS  1000000000ull
#define NAP_NS     (20u * 1000000u)

enum { OP_READ = 1, OP_WRITE = 2 };

struct head { /* of requests and answers */
    uint32_t op, len, tag, zero;
    uint64_t offset;
    uint8_t fill[24];
};
_Static_assert(sizeof(struct head) == HEAD_LEN, "48 bytes, as an iSCSI header");

struct message {
    const uint8_t *data;
    uint32_t len;
};

struct conn {
    int fd;
    bool over, wants_out;
    /* what comes */
    struct head in;
    uint32_t in_have, body_left;
    uint8_t *body; /* --file: a write that came in pieces */
    /* what goes: a ring; `sent` bytes of its first message are gone */
    struct head heads[QUEUE_MAX];
    struct message queue[QUEUE_MAX];
    uint32_t head, tail, sent;
    uint64_t *issued_ns; /* client: by tag */
    uint32_t *idle;      /* client with a rate: free tags */
    uint32_t idle_count;
};

static struct {
    bool serve, spin, write;
    uint16_t port;
    uint64_t size, rate;
    uint32_t connections, len, depth;
    double warmup, duration;
    const char *file, *copy;
    int64_t target_pid;
    int watch_cpu, cpu;
} o = {
    .connections = 1, .len = 4096, .depth = 32, .duration = 2, .target_pid = -1, .watch_cpu = -1, .cpu = -1};

static uint8_t *region, *buffer, *copies; /* copies: of each command that is out, by tag */
static int file_fd = -1, epoll_fd = -1, copy_fd = -1;
static struct conn *conns[CONNS_MAX];
static uint32_t open_count;
static uint64_t now_ns, random_state = 0x9e3779b97f4a7c15u;
static bool measuring, stopping;
static struct histogram latency;
static uint64_t interval_ns, next_due_ns;

static void die(const char *what)
{
    fprintf(stderr, "ceiling: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- sending ---- */

static void put(struct conn *c, const struct head *head, const uint8_t *data, uint32_t len)
{
    if (c->tail - c->head == QUEUE_MAX) {
        fprintf(stderr, "ceiling: more than %u messages wait\n", QUEUE_MAX);
        exit(1);
    }
    c->heads[c->tail % QUEUE_MAX] = *head;
    c->queue[c->tail % QUEUE_MAX] = (struct message){data, len};
    c->tail++;
}

static void vec_add(struct iovec *vec, uint32_t *n, const void *ptr, size_t len)
{
    if (*n && (uint8_t *)vec[*n - 1].iov_base + vec[*n - 1].iov_len == ptr)
        vec[*n - 1].iov_len += len;
    else
        vec[(*n)++] = (struct iovec){(void *)(uintptr_t)ptr, len};
}

static uint32_t gather(const struct conn *c, struct iovec *vec)
{
    uint32_t n = 0, skip = c->sent;
    for (uint32_t i = c->head; i != c->tail && n + 2 <= VEC_MAX; i++) {
        const struct message *m = &c->queue[i % QUEUE_MAX];
        if (skip < HEAD_LEN)
            vec_add(vec, &n, (const uint8_t *)&c->heads[i % QUEUE_MAX] + skip, HEAD_LEN - skip);
        uint32_t from = skip > HEAD_LEN ? skip - HEAD_LEN : 0;
        if (m->len > from)
            vec_add(vec, &n, m->data + from, m->len - from);
        skip = 0;
    }
    return n;
}

static void flush(struct conn *c)
{
    while (c->head != c->tail && !c->over) {
        struct iovec vec[VEC_MAX];
        struct msghdr msg = {.msg_iov = vec, .msg_iovlen = gather(c, vec)};
        ssize_t sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent < 0) {
            c->over = true;
            return;
        }
        uint64_t left = (uint64_t)sent + c->sent;
        while (c->head != c->tail && left >= HEAD_LEN + c->queue[c->head % QUEUE_MAX].len)
            left -= HEAD_LEN + c->queue[c->head++ % QUEUE_MAX].len;
        c->sent = (uint32_t)left;
    }
}

/* ---- the client's requests ---- */

/* The next part of the file, and what is in it. */
static const uint8_t *copied(struct head *head)
{
    static uint64_t next;
    uint8_t *data = copies + (size_t)head->tag * o.len;
    head->offset = next;
    next = next + 2ull * o.len > o.size ? 0 : next + o.len;
    /* A copy begins with an empty file. */
    if (!o.write && head->offset == 0 && (ftruncate(copy_fd, 0) || ftruncate(copy_fd, (off_t)o.size)))
        die("ftruncate");
    if (o.write && pread(copy_fd, data, o.len, (off_t)head->offset) != (ssize_t)o.len)
        die("pread");
    return data;
}

static void request(struct conn *c, uint32_t tag, uint64_t at_ns)
{
    uint64_t places = o.size / o.len;
    struct head head = {.op = o.write ? OP_WRITE : OP_READ, .len = o.len, .tag = tag};
    head.offset = (uint64_t)(((unsigned __int128)random_next() * places) >> 64) * o.len;
    c->issued_ns[tag] = at_ns;
    const uint8_t *data = copy_fd < 0 ? buffer + RECV_LEN : copied(&head);
    put(c, &head, data, o.write ? o.len : 0);
}

static void answered(struct conn *c)
{
    uint32_t tag = c->in.tag;
    if (measuring)
        histogram_add(&latency, now_ns > c->issued_ns[tag] ? now_ns - c->issued_ns[tag] : 0);
    if (interval_ns || stopping)
        c->idle[c->idle_count++] = tag;
    else
        request(c, tag, now_ns);
}

static void issue_due(void)
{
    static uint32_t turn;
    uint32_t tried = 0;
    uint64_t now = clock_ns();
    while (next_due_ns <= now && tried < o.connections && !stopping) {
        struct conn *c = conns[turn++ % o.connections];
        tried++;
        if (!c->idle_count)
            continue;
        tried = 0;
        request(c, c->idle[--c->idle_count], next_due_ns);
        next_due_ns += interval_ns;
    }
}

/* ---- receiving ---- */

static bool has_body(const struct head *in)
{
    return in->op == (o.serve ? OP_WRITE : OP_READ);
}

static void complete(struct conn *c)
{
    if (!o.serve)
        answered(c);
    else
        put(c, &c->in, region + c->in.offset, c->in.op == OP_READ ? c->in.len : 0);
}

static void store(const uint8_t *data, uint32_t len, uint64_t offset)
{
    if (file_fd < 0)
        memcpy(region + offset, data, len);
    else if (pwrite(file_fd, data, len, (off_t)offset) != (ssize_t)len)
        die("pwrite");
}

static void body(struct conn *c, const uint8_t *at, uint32_t len)
{
    uint32_t done = c->in.len - c->body_left;
    c->body_left -= len;
    if (!o.serve) {
        if (copy_fd >= 0 && pwrite(copy_fd, at, len, (off_t)(c->in.offset + done)) != (ssize_t)len)
            die("pwrite");
        return;
    }
    if (file_fd < 0) {
        store(at, len, c->in.offset + done);
    } else if (len == c->in.len) {
        store(at, len, c->in.offset);
    } else { /* in pieces: whole before it goes to the file */
        memcpy(c->body + done, at, len);
        if (!c->body_left)
            store(c->body, c->in.len, c->in.offset);
    }
}

static void bytes(struct conn *c, const uint8_t *at, const uint8_t *end)
{
    for (;;) {
        if (!c->body_left || c->in_have < HEAD_LEN) {
            uint32_t n = HEAD_LEN - c->in_have, here = (uint32_t)(end - at);
            n = n < here ? n : here;
            memcpy((uint8_t *)&c->in + c->in_have, at, n);
            c->in_have += n;
            at += n;
            if (c->in_have < HEAD_LEN)
                return;
            if (c->in.len > BODY_MAX || c->in.offset > o.size || o.size - c->in.offset < c->in.len) {
                c->over = true;
                return;
            }
            c->body_left = has_body(&c->in) ? c->in.len : 0;
        }
        if (c->body_left) {
            uint32_t here = (uint32_t)(end - at), n = c->body_left < here ? c->body_left : here;
            if (n)
                body(c, at, n);
            at += n;
            if (c->body_left)
                return;
        }
        complete(c);
        c->in_have = 0;
    }
}

/* True when something came. */
static bool receive(struct conn *c, int flags)
{
    bool direct = o.serve && file_fd < 0 && c->in_have == HEAD_LEN && c->body_left >= DIRECT_LEN;
    struct iovec vec[2] = {{buffer, RECV_LEN}};
    struct msghdr msg = {.msg_iov = vec, .msg_iovlen = 1};
    uint32_t placed = 0;
    if (direct) {
        placed = c->body_left;
        vec[1] = vec[0];
        vec[0] = (struct iovec){region + c->in.offset + (c->in.len - c->body_left), placed};
        msg.msg_iovlen = 2;
    }
    ssize_t got = recvmsg(c->fd, &msg, flags);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        c->over = true;
        return true;
    }
    now_ns = clock_ns();
    if (direct) {
        uint32_t n = (uint64_t)got < placed ? (uint32_t)got : placed;
        c->body_left -= n;
        got -= n;
        if (c->body_left)
            return true;
        complete(c);
        c->in_have = 0;
    }
    bytes(c, buffer, buffer + got);
    return true;
}

/* ---- waiting ---- */

static void want_out(struct conn *c)
{
    bool out = c->head != c->tail;
    if (out == c->wants_out)
        return;
    c->wants_out = out;
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void turn_many(uint64_t timeout_ns)
{
    struct epoll_event events[64];
    struct timespec timeout = {(time_t)(timeout_ns / SECOND_NS), (long)(timeout_ns % SECOND_NS)};
    int n = epoll_pwait2(epoll_fd, events, 64, o.spin ? &(struct timespec){0, 0} : &timeout, NULL);
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive(c, MSG_DONTWAIT);
        flush(c);
        want_out(c);
    }
}

static void turn_one(struct conn *c, uint64_t timeout_ns)
{
    if (c->head != c->tail || (interval_ns && !o.spin)) {
        struct pollfd fd = {c->fd, (short)(POLLIN | (c->head != c->tail ? POLLOUT : 0)), 0};
        struct timespec timeout = {0, (long)(o.spin ? 0 : timeout_ns)};
        if (ppoll(&fd, 1, &timeout, NULL) > 0 && fd.revents & ~POLLOUT)
            receive(c, MSG_DONTWAIT);
    } else {
        receive(c, o.spin ? MSG_DONTWAIT : 0);
    }
    flush(c);
}

static void turn(void)
{
    uint64_t timeout = NAP_NS;
    if (interval_ns) {
        issue_due();
        for (uint32_t i = 0; i < o.connections; i++) {
            flush(conns[i]);
            if (epoll_fd >= 0)
                want_out(conns[i]);
        }
        uint64_t now = clock_ns();
        timeout = next_due_ns > now ? next_due_ns - now : 0;
        timeout = timeout < NAP_NS ? timeout : NAP_NS;
    }
    if (o.connections == 1)
        turn_one(conns[0], timeout);
    else
        turn_many(timeout);
}

/* ---- start and end ---- */

static void *map(size_t len)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED)
        die("mmap");
    return at;
}

static void conn_add(int fd)
{
    int one = 1;
    struct timeval nap = {0, NAP_NS / 1000};
    struct conn *c = calloc(1, sizeof *c);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); /* as our sockets do: common/io/sockets_posix.c */
    if (!o.serve)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &nap, sizeof nap);
    if (!c || (o.file && !(c->body = malloc(BODY_MAX))))
        die("malloc");
    c->fd = fd;
    conns[open_count++] = c;
    if (epoll_fd >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void conns_close(void)
{
    for (uint32_t i = 0; i < open_count; i++) {
        close(conns[i]->fd);
        free(conns[i]->body);
        free(conns[i]->issued_ns);
        free(conns[i]->idle);
        free(conns[i]);
    }
    open_count = 0;
}

static bool any_over(void)
{
    for (uint32_t i = 0; i < open_count; i++)
        if (conns[i]->over)
            return true;
    return false;
}

static void __attribute__((noreturn)) serve(void)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(o.port)};
    socklen_t len = sizeof here;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 256) ||
        getsockname(listener, (struct sockaddr *)&here, &len))
        die("cannot listen");
    if (o.file) {
        struct stat st;
        file_fd = open(o.file, O_RDWR | O_CLOEXEC);
        if (file_fd < 0 || fstat(file_fd, &st) || (uint64_t)st.st_size < o.size)
            die("the file cannot be opened or is too small");
        region = mmap(NULL, o.size, PROT_READ, MAP_SHARED | MAP_POPULATE, file_fd, 0);
        if (region == MAP_FAILED)
            die("mmap");
    } else {
        region = map(o.size);
    }
    printf("listening on 127.0.0.1:%u\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) { /* one client after the other, each with all its connections */
        while (open_count < o.connections) {
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd < 0)
                die("accept");
            conn_add(fd);
        }
        while (!any_over())
            turn();
        conns_close();
    }
}

static void copy_open(void)
{
    struct stat st;
    copy_fd = open(o.copy, O_RDWR | O_CLOEXEC);
    if (copy_fd < 0 || fstat(copy_fd, &st) || (uint64_t)st.st_size < o.size)
        die("the file to copy cannot be opened or is too small");
    copies = map((size_t)o.depth * o.len);
}

static void client_connect(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(o.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (uint32_t i = 0; i < o.connections; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof to))
            die("cannot connect");
        conn_add(fd);
        struct conn *c = conns[i];
        c->issued_ns = calloc(o.depth, sizeof *c->issued_ns);
        c->idle = calloc(o.depth, sizeof *c->idle);
        if (!c->issued_ns || !c->idle)
            die("calloc");
        for (uint32_t d = 0; d < o.depth; d++)
            c->idle[c->idle_count++] = d;
    }
}

struct mark {
    struct process_usage own, target;
    struct core_usage core;
};

static void mark(struct mark *m)
{
    memset(m, 0, sizeof *m);
    process_usage(0, &m->own);
    if (o.target_pid >= 0)
        process_usage(o.target_pid, &m->target);
    if (o.watch_cpu >= 0)
        core_usage(o.watch_cpu, &m->core);
}

static void client_report(const struct mark *a, const struct mark *b, uint64_t elapsed_ns)
{
    uint64_t n = latency.count ? latency.count : 1;
    double seconds = (double)elapsed_ns / 1e9;
    printf("{\"program\":\"ceiling\",\"commands\":%" PRIu64
           ",\"seconds\":%.6f,\"iops\":%.1f,\"mb_per_second\":%.2f",
           latency.count, seconds, (double)latency.count / seconds,
           (double)latency.count * o.len / seconds / 1e6);
    printf(",\"latency_us\":{\"p50\":%.3f,\"p99\":%.3f,\"p99.9\":%.3f,\"max\":%.3f}",
           (double)histogram_quantile(&latency, 0.5) / 1e3, (double)histogram_quantile(&latency, 0.99) / 1e3,
           (double)histogram_quantile(&latency, 0.999) / 1e3, (double)latency.max / 1e3);
    printf(",\"client\":{\"cpu_us_per_command\":%.4f}",
           (double)(b->own.cpu_ns - a->own.cpu_ns) / 1e3 / (double)n);
    if (o.target_pid >= 0) {
        struct process_usage used = process_difference(&b->target, &a->target);
        printf(",\"target\":{\"cpu_us_per_command\":%.4f,\"voluntary_switches\":%" PRIu64
               ",\"involuntary_switches\":%" PRIu64 "}",
               (double)used.cpu_ns / 1e3 / (double)n, used.voluntary, used.involuntary);
    }
    if (o.watch_cpu >= 0 && b->core.all > a->core.all)
        printf(",\"watched_core\":{\"core\":%d,\"busy\":%.4f}", o.watch_cpu,
               (double)(b->core.busy - a->core.busy) / (double)(b->core.all - a->core.all));
    puts("}");
}

static int client(void)
{
    struct mark before, after;
    if (o.copy)
        copy_open();
    client_connect();
    uint64_t begin = clock_ns(), start = begin + (uint64_t)(o.warmup * 1e9),
             end = start + (uint64_t)(o.duration * 1e9);
    now_ns = next_due_ns = begin;
    interval_ns = o.rate ? SECOND_NS / o.rate : 0;
    for (uint32_t i = 0; i < o.connections && !interval_ns; i++) {
        while (conns[i]->idle_count)
            request(conns[i], conns[i]->idle[--conns[i]->idle_count], begin);
        flush(conns[i]);
        if (epoll_fd >= 0)
            want_out(conns[i]);
    }
    for (now_ns = clock_ns(); now_ns < start && !any_over(); now_ns = clock_ns())
        turn();
    mark(&before);
    measuring = true;
    start = clock_ns();
    while (now_ns < end && !any_over()) {
        turn();
        now_ns = clock_ns();
    }
    now_ns = clock_ns();
    mark(&after);
    if (any_over()) {
        fprintf(stderr, "ceiling: the server closed the connection\n");
        return 1;
    }
    client_report(&before, &after, now_ns - start);
    conns_close();
    return 0;
}

static void usage(void)
{
    fputs("Usage: ceiling serve|client --port P --size BYTES [--connections N] [--spin] [--cpu N]\n"
          "  serve:  [--file PATH]\n"
          "  client: [--write] [--len BYTES] [--depth N] [--rate N] [--warmup S] [--duration S]\n"
          "          [--target-pid PID] [--watch-cpu N] [--copy PATH]\n",
          stderr);
    exit(2);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno || *end || end == text || value < min || value > max)
        usage();
    return value;
}

static const struct option options[] = {
    {"port", 1, NULL, 'p'},     {"size", 1, NULL, 's'},       {"connections", 1, NULL, 'c'},
    {"copy", 1, NULL, 'C'},     {"spin", 0, NULL, 'S'},       {"cpu", 1, NULL, 'u'},
    {"file", 1, NULL, 'f'},     {"write", 0, NULL, 'w'},      {"len", 1, NULL, 'l'},
    {"depth", 1, NULL, 'd'},    {"rate", 1, NULL, 'r'},       {"warmup", 1, NULL, 'W'},
    {"duration", 1, NULL, 'D'}, {"target-pid", 1, NULL, 't'}, {"watch-cpu", 1, NULL, 'b'},
    {NULL, 0, NULL, 0}};

static void option(int opt)
{
    switch (opt) {
    case 'p':
        o.port = (uint16_t)number(optarg, 0, 65535);
        break;
    case 's':
        o.size = number(optarg, 4096, UINT64_C(1) << 40);
        break;
    case 'c':
        o.connections = (uint32_t)number(optarg, 1, CONNS_MAX);
        break;
    case 'S':
        o.spin = true;
        break;
    case 'u':
        o.cpu = (int)number(optarg, 0, 1023);
        break;
    case 'f':
        o.file = optarg;
        break;
    case 'C':
        o.copy = optarg;
        break;
    case 'w':
        o.write = true;
        break;
    case 'l':
        o.len = (uint32_t)number(optarg, 512, BODY_MAX);
        break;
    case 'd':
        o.depth = (uint32_t)number(optarg, 1, QUEUE_MAX);
        break;
    case 'r':
        o.rate = number(optarg, 1, 100000000);
        break;
    case 'W':
        o.warmup = atof(optarg);
        break;
    case 'D':
        o.duration = atof(optarg);
        break;
    case 't':
        o.target_pid = (int64_t)number(optarg, 1, UINT32_MAX);
        break;
    case 'b':
        o.watch_cpu = (int)number(optarg, 0, 1023);
        break;
    default:
        usage();
    }
}

int main(int argc, char **argv)
{
    int opt;
    if (argc < 2 || (strcmp(argv[1], "serve") != 0 && strcmp(argv[1], "client") != 0))
        usage();
    o.serve = argv[1][0] == 's';
    while ((opt = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1)
        option(opt);
    if (optind != argc - 1 || !o.size || o.len > o.size || (o.copy && o.connections > 1))
        usage();
    if (o.cpu >= 0 && !process_pin(o.cpu))
        die("--cpu");
    prctl(PR_SET_TIMERSLACK, 1UL);
    buffer = map(RECV_LEN + BODY_MAX);
    for (uint32_t i = 0; i < BODY_MAX; i += 8) {
        uint64_t value = random_next();
        memcpy(buffer + RECV_LEN + i, &value, 8);
    }
    if (o.connections > 1)
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (o.serve)
        serve();
    return client();
}
