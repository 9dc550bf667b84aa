/* `lunette-target serve`: from options to a running service, its main loop, and its end. */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/log.h"
#include "target/service/change.h"
#include "target/service/config.h"
#include "target/service/control.h"
#include "target/service/live.h"
#include "target/service/manager.h"
#include "target/service/verbs.h"
#include "target/service/watch.h"

#define STOP_NS                                                                                              \
    UINT64_C(10000000000) /* how long sessions may take to end, once logouts are not waited for              \
                           */
#define DROP_NS      UINT64_C(5000000000) /* and how long after they have been dropped */
#define STOP_POLL_MS 10
#define TIDY_MS      1000
#define MEMORY_MAX                                                                                           \
    UINT64_C(1) << 30 /* bytes: default limit of buffers, if the machine has four times as much */

const struct args_option serve_options[] = {
    {"--state", "DIR", "state directory (default " STATE_DIR_DEFAULT ")"},
    {"--target", "IQN", "serve this target without a state directory; with --lun and --portal"},
    {"--lun", "[N=]SPEC",
     "a LUN of --target: file:PATH[,size=S][,block=4096][,readonly], memory:size=S; may repeat"},
    {"--portal", "ADDR:PORT", "listen here, for --target; port 0 picks one; may repeat"},
    {"--user", "NAME", "require CHAP for --target, with --secret-file"},
    {"--secret-file", "FILE", "the user's secret; - is standard input"},
    {"--secret", "TEXT", "the secret itself, visible to every user of this machine"},
    {"--mutual", "NAME", "answer challenges under this name, with --mutual-secret-file"},
    {"--mutual-secret-file", "FILE", "secret for --mutual"},
    {"--mutual-secret", "TEXT", "the same, visible as above"},
    {"--weak", NULL, "allow secrets of fewer than 12 bytes"},
    {"--acl", "NAME", "admit only initiators of this name or pattern to --target; may repeat"},
    {"--control", "PATH", "control socket (default DIR/control.sock; none without a state directory)"},
    {"--reactors", "N", "threads that serve connections (default: one for each processor)"},
    {"--io", "uring|epoll|auto", "how to talk to the kernel (default auto)"},
    {"--poll", "never|adaptive|always",
     "when idle: sleep, look on for 50 us first, or never sleep and take the processor (default never)"},
    {"--memory", "SIZE", "most memory for data buffers"},
    TUNING_OPTIONS,
    WATCH_OPTIONS,
    {"--run-as", "USER", "give up root once disks are open and portals listen"},
    {"--log-level", "LEVEL", "error, warn, info or debug (default info)"},
    {"--log-format", "text|json", "default text"},
    {"--log-sink", "stderr|syslog", "default stderr"},
    {"--stats-on-exit", NULL, "print the counters as one JSON line at the end"},
    {NULL, NULL, NULL},
};

struct service {
    struct state state;
    bool has_state;
    struct live_options options;
    struct tuning tuning;
    struct watch *watch; /* NULL: nobody looks on */
    struct live *live;
    struct manager manager;
    bool managed; /* manager_init was called */
    struct control *control;
    int signals; /* signalfd */
};

/* ---- options ---- */

static bool choose(const struct args *args, const char *name, const char *first, const char *second,
                   bool *is_second, struct outcome *o)
{
    const char *text = args_value(args, name);
    *is_second = text && strcmp(text, second) == 0;
    return !text || *is_second || strcmp(text, first) == 0 ||
           outcome_refuse(o, "%s is %s or %s, not \"%s\"", name, first, second, text);
}

static bool setup_log(const struct args *args, struct outcome *o)
{
    enum log_level level = LOG_LEVEL_INFO;
    bool json, syslog;
    const char *text = args_value(args, "--log-level");
    if (text && !log_level_parse(text, &level))
        return outcome_refuse(o, "--log-level is error, warn, info or debug, not \"%s\"", text);
    if (!choose(args, "--log-format", "text", "json", &json, o) ||
        !choose(args, "--log-sink", "stderr", "syslog", &syslog, o))
        return false;
    log_setup(level, json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, syslog ? LOG_SINK_SYSLOG : LOG_SINK_STDERR,
              "lunette-target");
    return true;
}

static uint64_t default_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t quarter = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 4 : 0;
    return quarter > 0 && quarter < MEMORY_MAX ? quarter : MEMORY_MAX;
}

static bool parse_options(const struct args *args, struct service *s, struct outcome *o)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t reactors = cpus < 1 ? 1 : cpus > (long)SCSI_REACTORS_MAX ? SCSI_REACTORS_MAX : (uint64_t)cpus;
    const char *io = args_value(args, "--io"), *poll = args_value(args, "--poll");
    s->options.memory = default_memory();
    s->options.io = IO_KIND_AUTO;
    if (io && !io_kind_parse(io, &s->options.io))
        return outcome_refuse(o, "--io is uring, epoll or auto, not \"%s\"", io);
    s->options.poll = IO_POLL_NEVER;
    if (poll && !io_poll_parse(poll, &s->options.poll))
        return outcome_refuse(o, "--poll is never, adaptive or always, not \"%s\"", poll);
    if (!args_number(args, "--reactors", 1, SCSI_REACTORS_MAX, &reactors, o) ||
        !args_size(args, "--memory", &s->options.memory, o) || !tuning_parse(args, &s->tuning, o))
        return false;
    s->options.reactors = (uint32_t)reactors;
    if (s->options.memory < (UINT64_C(16) << 20) * reactors)
        return outcome_refuse(o, "--memory must be at least 16M for each reactor (%u)", s->options.reactors);
    static const char *const stateless[] = {"--lun", "--portal", "--user", "--acl"};
    for (size_t i = 0; i < sizeof stateless / sizeof stateless[0]; i++)
        if (args_flag(args, stateless[i]) && !args_flag(args, "--target"))
            return outcome_refuse(o, "%s goes with --target", stateless[i]);
    if (args_flag(args, "--target") && args_flag(args, "--state"))
        return outcome_refuse(o, "--target serves without a state directory: leave out --state");
    return true;
}

/* ---- a configuration from options ---- */

/* Without a place to keep them, identities follow from the names: the next start has the same ones. */
static void derive_identity(json_t *lun, const char *target)
{
    const struct env *env = env_host();
    uint8_t hash[HASH_LEN_MAX] = {0};
    uint64_t number = config_number(lun, "lun", 0);
    struct bytes parts[] = {{target, strlen(target)}, {&number, sizeof number}};
    char naa[33], serial[21];
    env->hash(env->ctx, HASH_SHA256, parts, 2, hash);
    snprintf(naa, sizeof naa, "6024c4e%x", hash[0] & 0x0f); /* as change.c mints them */
    for (size_t i = 0; i < 12; i++)
        snprintf(naa + 8 + 2 * i, 3, "%02x", hash[1 + i]);
    memcpy(serial, naa + 12, 20);
    serial[20] = '\0';
    json_object_set_new(lun, "naa", json_string(naa));
    json_object_set_new(lun, "serial", json_string(serial));
}

static bool add(json_t *root, const char *method, json_t *params, struct outcome *o)
{
    bool fine = params ? change_apply(root, method, params, env_host(), false, o)
                       : outcome_refuse(o, "the arguments must be UTF-8 text");
    json_decref(params);
    return fine;
}

static bool add_user(json_t *root, const struct args *args, const char *target, struct outcome *o)
{
    char buf[SECRET_TEXT_MAX], mutual_buf[SECRET_TEXT_MAX];
    const char *name = args_value(args, "--user"), *mutual = args_value(args, "--mutual"), *secret,
               *mutual_secret;
    if (!verbs_secret(args, "--secret", "--secret-file", buf, &secret, o) ||
        !verbs_secret(args, "--mutual-secret", "--mutual-secret-file", mutual_buf, &mutual_secret, o))
        return false;
    if (!name != !secret)
        return outcome_refuse(o, "--user NAME and --secret-file FILE come together");
    if (!mutual != !mutual_secret || (mutual && !name))
        return outcome_refuse(o, "--mutual NAME goes with --user and --mutual-secret-file FILE");
    return !name || add(root, "user.set",
                        json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:b}", "target", target, "name", name,
                                  "secret", secret, "mutual_name", mutual, "mutual_secret", mutual_secret,
                                  "weak", args_flag(args, "--weak")),
                        o);
}

static bool add_luns(json_t *root, const struct args *args, const char *target, struct outcome *o)
{
    const char *text;
    uint64_t next = 0;
    if (!args_flag(args, "--lun"))
        return outcome_refuse(o, "--target needs at least one --lun");
    for (unsigned i = 0; (text = args_nth(args, "--lun", i)) != NULL; i++) {
        json_t *lun = verbs_lun(text, next, 0, o);
        if (!lun)
            return false;
        next = config_number(lun, "lun", 0) + 1;
        derive_identity(lun, target);
        json_object_set_new(lun, "target", json_string(target));
        if (!add(root, "lun.add", lun, o))
            return false;
    }
    return true;
}

static json_t *stateless_config(const struct args *args, struct outcome *o)
{
    json_t *root = config_empty();
    const char *target = args_value(args, "--target"), *text;
    bool fine = add(root, "target.create", json_pack("{s:s}", "target", target), o) &&
                add_luns(root, args, target, o) && add_user(root, args, target, o);
    for (unsigned i = 0; fine && (text = args_nth(args, "--acl", i)) != NULL; i++)
        fine = add(root, "acl.add", json_pack("{s:s, s:s}", "target", target, "initiator", text), o);
    for (unsigned i = 0; fine && (text = args_nth(args, "--portal", i)) != NULL; i++)
        fine = add(root, "portal.add", json_pack("{s:s}", "address", text), o);
    if (fine && config_check(root, o))
        return root;
    json_decref(root);
    return NULL;
}

static json_t *load(const struct args *args, struct service *s, struct outcome *o)
{
    if (args_flag(args, "--target"))
        return stateless_config(args, o);
    const char *dir = verbs_where(args).state;
    switch (state_open(dir, true, &s->state, o)) {
    case STATE_FAILED:
        return NULL;
    case STATE_IN_USE:
        outcome_fail(o, "the state directory %s is in use by another service", s->state.dir);
        return NULL;
    case STATE_OPEN:
        break;
    }
    s->has_state = true;
    return state_load(&s->state, o);
}

/* ---- starting ---- */

static bool catch_signals(struct service *s, struct outcome *o)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    /* Before threads exist: they inherit the mask, so that only the main loop sees the signals. */
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 ||
        (s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return outcome_fail(o, "cannot catch signals: %s", strerror(errno));
    return true;
}

static bool drop_root(const struct args *args, struct outcome *o)
{
    const char *name = args_value(args, "--run-as");
    if (!name)
        return true;
    const struct passwd *user = getpwnam(name);
    if (!user)
        return outcome_refuse(o, "there is no user \"%s\" to run as", name);
    /* glibc gives the new identity to every thread. */
    if (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
        return outcome_fail(o, "cannot become user %s: %s", name, strerror(errno));
    return true;
}

static bool start(const struct args *args, struct service *s, struct outcome *o)
{
    char path[STATE_PATH_MAX];
    json_t *root = load(args, s, o);
    if (!root)
        return false;
    /* Before root is given up, and with signals blocked: it has a thread of its own. */
    if (!watch_open(args, s->options.reactors, &s->watch, o)) {
        json_decref(root);
        return false;
    }
    s->options.taps = watch_taps(s->watch);
    if (!live_new(env_host(), &s->options, &s->live, o)) {
        json_decref(root);
        return false;
    }
    s->managed = true;
    if (!manager_init(&s->manager, env_host(), root, s->has_state ? &s->state : NULL, s->live, &s->tuning, o))
        return false;
    const char *control = args_value(args, "--control");
    if (!control && s->has_state)
        control = state_path(&s->state, "control.sock", path);
    return (!control || control_open(control, &s->control, o)) && drop_root(args, o);
}

/* ---- running ---- */

static unsigned signals_pending(struct service *s)
{
    struct signalfd_siginfo info;
    unsigned count = 0;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info)
        count++;
    return count;
}

static void main_loop(struct service *s)
{
    struct pollfd fds[2 + CONTROL_CLIENTS_MAX];
    for (;;) {
        fds[0] = (struct pollfd){.fd = s->signals, .events = POLLIN};
        unsigned count = 1 + (s->control ? control_poll(s->control, fds + 1) : 0);
        int ready = poll(fds, count, s->manager.retiring ? TIDY_MS : -1);
        if (ready > 0 && fds[0].revents && signals_pending(s) > 0)
            return;
        if (ready > 0 && s->control)
            control_run(s->control, fds + 1, count - 1, &s->manager);
        manager_tidy(&s->manager);
    }
}

/* ---- stopping ---- */

/* Ends all sessions: politely, then (a second signal, or too late) at once. False: something hangs in the
 * kernel. */
static bool stop_sessions(struct service *s, uint32_t *closed)
{
    const struct env *env = env_host();
    uint64_t begun = env_now(env), dropped = 0;
    *closed = live_stop(s->live, false);
    while (!live_idle(s->live)) {
        struct pollfd fd = {.fd = s->signals, .events = POLLIN};
        bool hurry = poll(&fd, 1, STOP_POLL_MS) > 0 && signals_pending(s) > 0;
        uint64_t now = env_now(env);
        if (!dropped && (hurry || now - begun > s->tuning.limits.stop_wait_ns + STOP_NS)) {
            if (!hurry)
                log_warn("stop", "sessions did not end within %llu s: dropping them",
                         (unsigned long long)((s->tuning.limits.stop_wait_ns + STOP_NS) / 1000000000u));
            dropped = now;
            live_stop(s->live, true);
        } else if (dropped && now - dropped > DROP_NS) {
            return false;
        }
    }
    return true;
}

static bool stop(const struct args *args, struct service *s, struct outcome *o)
{
    uint32_t closed;
    struct outcome ignored = {0};
    control_close(s->control); /* no more changes */
    s->control = NULL;
    json_t *stats =
        args_flag(args, "--stats-on-exit") ? manager_call(&s->manager, "status", NULL, &ignored) : NULL;
    if (!stop_sessions(s, &closed)) {
        /* Joining would wait for a disk that does not answer. */
        fprintf(stderr, "lunette-target: commands still hang in their disks: giving up\n");
        _exit(OUTCOME_FAILED);
    }
    live_join(s->live);
    uint32_t unflushed = disks_flush(s->manager.disks);
    if (unflushed > 0)
        outcome_fail(o, "%u disk%s could not be flushed: data may be lost", unflushed,
                     unflushed == 1 ? "" : "s");
    printf("stopped: closed %u session%s\n", closed, closed == 1 ? "" : "s");
    if (stats) {
        json_dumpf(stats, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        json_decref(stats);
    }
    fflush(stdout);
    return unflushed == 0;
}

/* Also for a start that stopped half way. */
static void clean_up(struct service *s)
{
    control_close(s->control);
    if (s->live && live_host(s->live)) {
        uint32_t closed;
        if (!stop_sessions(s, &closed))
            _exit(OUTCOME_FAILED);
        live_join(s->live);
    }
    if (s->managed && s->live && !live_host(s->live))
        s->manager.live = NULL;
    /* LUs before the reactors that may still have a view of them: views are only memory by now. */
    live_free_host(s->live);
    watch_close(s->watch);
    s->watch = NULL;
    if (s->managed)
        manager_fini(&s->manager);
    live_free(s->live);
    if (s->has_state)
        state_abandon(&s->state);
    if (s->signals >= 0)
        close(s->signals);
}

bool serve_run(const struct args *args, struct outcome *o)
{
    struct service s = {.signals = -1, .state = {.lock_fd = -1}};
    json_object_seed(0); /* before threads: the library's only global state */
    if (!setup_log(args, o) || !parse_options(args, &s, o) || !catch_signals(&s, o))
        return false;
    bool fine = start(args, &s, o);
    if (fine) {
        portals_print(s.manager.portals, stdout);
        main_loop(&s);
        fine = stop(args, &s, o);
    }
    clean_up(&s);
    return fine;
}
