/* One table: each row knows its help and how its value is taken. */
#include "bench/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/units.h"
#include "common/iscsi/name.h"

#define MISUSE      2
#define SEGMENT_MAX 16777215u /* bytes, RFC 7143 13.12 to 13.14 */

struct option_row {
    const char *name;  /* without the dashes; NULL: a heading, in help */
    const char *value; /* what the help calls it; NULL: a flag; in brackets: may be left out, after '=' */
    const char *help;
    int (*take)(struct bench_options *o, const struct option_row *row, char *value);
    size_t offset; /* for the general takers */
    uint64_t min, max;
};

#define AT(member) offsetof(struct bench_options, member)

static int misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int misuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("lunette-bench: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; see lunette-bench --help\n", stderr);
    va_end(args);
    return MISUSE;
}

static void *at(struct bench_options *o, const struct option_row *row)
{
    return (char *)o + row->offset;
}

/* ---- takers of one kind of value ---- */

static int take_flag(struct bench_options *o, const struct option_row *row, char *value)
{
    (void)value;
    *(bool *)at(o, row) = true;
    return 0;
}

static int take_text(struct bench_options *o, const struct option_row *row, char *value)
{
    *(const char **)at(o, row) = value;
    return 0;
}

static int take_number(const struct option_row *row, const char *value, uint64_t *out)
{
    if (units_parse_u64(value, row->min, row->max, out))
        return misuse("--%s is a number from %llu to %llu, not \"%s\"", row->name,
                      (unsigned long long)row->min, (unsigned long long)row->max, value);
    return 0;
}

static int take_u64(struct bench_options *o, const struct option_row *row, char *value)
{
    return take_number(row, value, at(o, row));
}

static int take_u32(struct bench_options *o, const struct option_row *row, char *value)
{
    uint64_t number;
    int code = take_number(row, value, &number);
    if (!code)
        *(uint32_t *)at(o, row) = (uint32_t)number;
    return code;
}

static int take_int(struct bench_options *o, const struct option_row *row, char *value)
{
    uint64_t number;
    int code = take_number(row, value, &number);
    if (!code)
        *(int *)at(o, row) = (int)number;
    return code;
}

static int take_duration(struct bench_options *o, const struct option_row *row, char *value)
{
    uint64_t ns;
    if (units_parse_duration(value, &ns) || ns < row->min)
        return misuse("--%s is a time such as 30s or 250ms, not \"%s\"", row->name, value);
    *(uint64_t *)at(o, row) = ns;
    return 0;
}

static int take_yes_no(struct bench_options *o, const struct option_row *row, char *value)
{
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0)
        return misuse("--%s is yes or no, not \"%s\"", row->name, value);
    *(bool *)at(o, row) = yes;
    return 0;
}

static int take_size32(struct bench_options *o, const struct option_row *row, char *value)
{
    uint64_t bytes;
    if (units_parse_size(value, &bytes) || bytes < row->min || bytes > row->max)
        return misuse("--%s is a size from %llu to %llu bytes, not \"%s\"", row->name,
                      (unsigned long long)row->min, (unsigned long long)row->max, value);
    *(uint32_t *)at(o, row) = (uint32_t)bytes;
    return 0;
}

/* ---- takers of one option ---- */

static int take_sizes(struct bench_options *o, const struct option_row *row, char *value)
{
    if (!pattern_sizes_parse(value, &o->load.pattern))
        return misuse("--%s is a size (multiples of 512, up to 16M) or sizes with weights, such as "
                      "4K:70,64K:30, not \"%s\"",
                      row->name, value);
    return 0;
}

static int take_mix(struct bench_options *o, const struct option_row *row, char *value)
{
    o->mix_given = true;
    if (!pattern_mix_parse(value, &o->load.pattern))
        return misuse("--%s is a percentage of reads, or a list such as read=70,write=20,unmap=10 that adds "
                      "up to 100, not \"%s\"",
                      row->name, value);
    return 0;
}

static int take_sequential(struct bench_options *o, const struct option_row *row, char *value)
{
    (void)row;
    (void)value;
    o->load.pattern.random = false;
    return 0;
}

static int take_part(struct bench_options *o, const struct option_row *row, char *value)
{
    unsigned part, parts;
    char rest;
    if (sscanf(value, "%u/%u%c", &part, &parts, &rest) != 2 || parts == 0 || parts > 4096 || part >= parts)
        return misuse("--%s is K/N with K below N, not \"%s\"", row->name, value);
    o->load.part = part;
    o->load.parts = parts;
    return 0;
}

static int take_poll(struct bench_options *o, const struct option_row *row, char *value)
{
    static const char *const names[] = {"never", "adaptive", "always"};
    for (int i = 0; i < 3; i++)
        if (strcmp(value, names[i]) == 0) {
            o->load.poll = (enum lean_poll)i;
            return 0;
        }
    return misuse("--%s is never, adaptive or always, not \"%s\"", row->name, value);
}

static int take_io(struct bench_options *o, const struct option_row *row, char *value)
{
    if (!io_kind_parse(value, &o->io))
        return misuse("--%s is uring, epoll or auto, not \"%s\"", row->name, value);
    return 0;
}

static int take_pid(struct bench_options *o, const struct option_row *row, char *value)
{
    uint64_t pid;
    struct process_usage usage;
    int code = take_number(row, value, &pid);
    if (!code && !process_usage((int64_t)pid, &usage))
        return misuse("--%s: there is no process %s that we may look at", row->name, value);
    o->load.target_pid = (int64_t)pid;
    return code;
}

static int take_mode(struct bench_options *o, enum bench_mode mode)
{
    if (o->mode != BENCH_LOAD && o->mode != mode)
        return misuse("--recover, --logins, --idle and --compare exclude each other");
    o->mode = mode;
    return 0;
}

static int take_recover(struct bench_options *o, const struct option_row *row, char *value)
{
    (void)row;
    (void)value;
    return take_mode(o, BENCH_RECOVER);
}

static int take_logins(struct bench_options *o, const struct option_row *row, char *value)
{
    (void)row;
    (void)value;
    return take_mode(o, BENCH_LOGINS);
}

static int take_idle(struct bench_options *o, const struct option_row *row, char *value)
{
    int code = take_number(row, value, &o->idle);
    return code ? code : take_mode(o, BENCH_IDLE);
}

static int take_recovery_level(struct bench_options *o, const struct option_row *row, char *value)
{
    o->recovery_level_given = true;
    return take_u32(o, row, value);
}

/* A comma separated list of words from a table, best first. */
struct word_row {
    const char *word;
    uint8_t value;
};

static int take_list(const struct option_row *row, const char *text, const struct word_row *words,
                     size_t count, uint8_t *values, uint8_t *value_count)
{
    uint8_t n = 0;
    for (const char *p = text;; p++) {
        size_t len = strcspn(p, ","), i = 0;
        while (i < count && (strlen(words[i].word) != len || strncasecmp(words[i].word, p, len) != 0))
            i++;
        if (i == count || memchr(values, words[i].value, n))
            return misuse("--%s is a list of different ones of %s, not \"%s\"", row->name, row->value, text);
        values[n++] = words[i].value;
        p += len;
        if (*p == '\0')
            break;
    }
    *value_count = n;
    return 0;
}

static int take_digests(struct bench_options *o, const struct option_row *row, char *value)
{
    static const struct word_row words[] = {{"none", KEY_DIGEST_NONE}, {"crc32c", KEY_DIGEST_CRC32C}};
    struct key_choices *choices = at(o, row);
    return take_list(row, value ? value : "crc32c", words, 2, choices->value, &choices->count);
}

static int take_chap_algorithms(struct bench_options *o, const struct option_row *row, char *value)
{
    static const struct word_row words[] = {
        {"md5", CHAP_MD5}, {"sha1", CHAP_SHA1}, {"sha256", CHAP_SHA256}, {"sha3-256", CHAP_SHA3_256}};
    struct chap_algs *algs = &o->client.session.chap_algs;
    return take_list(row, value, words, 4, algs->value, &algs->count);
}

static int take_initiator_name(struct bench_options *o, const struct option_row *row, char *value)
{
    (void)row;
    const char *reason = "";
    char name[NAME_CAP];
    if (name_normalize(value, strlen(value), NAME_STRICT, name, &reason) == NAME_INVALID)
        return misuse("\"%s\" is no initiator name: %s", value, reason);
    snprintf(o->client.session.initiator_name, sizeof o->client.session.initiator_name, "%s", name);
    return 0;
}

static int take_user(struct bench_options *o, const struct option_row *row, char *value)
{
    if (value[0] == '\0' || strlen(value) >= INI_NAME_MAX)
        return misuse("--%s is a name of 1 to %u bytes", row->name, INI_NAME_MAX - 1);
    snprintf(at(o, row), INI_NAME_MAX, "%s", value);
    return 0;
}

static int secret_put(const char *what, const uint8_t *bytes, size_t len, uint8_t *out, uint32_t *out_len)
{
    if (len == 0 || len > CHAP_SECRET_LEN_MAX)
        return misuse("%s: a secret has 1 to %u bytes", what, CHAP_SECRET_LEN_MAX);
    explicit_bzero(out, INI_SECRET_MAX);
    memcpy(out, bytes, len);
    *out_len = (uint32_t)len;
    return 0;
}

static int secret_file(const char *what, const char *path, uint8_t *out, uint32_t *out_len)
{
    uint8_t bytes[CHAP_SECRET_LEN_MAX + 3]; /* a line's end, and one more to see that it is too long */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return misuse("%s: cannot read %s: %s", what, path, strerror(error));
    if (len > 0 && bytes[len - 1] == '\n')
        len--;
    if (len > 0 && bytes[len - 1] == '\r')
        len--;
    int code = secret_put(what, bytes, (size_t)len, out, out_len);
    explicit_bzero(bytes, sizeof bytes);
    return code;
}

/* All four secret options: which secret, and whether the value is the secret or its file. */
static int take_secret(struct bench_options *o, const struct option_row *row, char *value)
{
    struct ini_options *session = &o->client.session;
    bool mutual = strncmp(row->name, "mutual", 6) == 0;
    uint8_t *secret = mutual ? session->mutual_secret : session->chap_secret;
    uint32_t *len = mutual ? &session->mutual_secret_len : &session->chap_secret_len;
    char what[32];
    snprintf(what, sizeof what, "--%s", row->name);
    if (strstr(row->name, "-file"))
        return secret_file(what, value, secret, len);
    int code = secret_put(what, (const uint8_t *)value, strlen(value), secret, len);
    explicit_bzero(value, strlen(value)); /* argv is what other users see in the process list */
    return code;
}

#define KEYS client.session.keys

static const struct option_row rows[] = {
    {NULL, NULL, "The load", NULL, 0, 0, 0},
    {"sessions", "N", "sessions (1)", take_u32, AT(load.sessions), 1, 4096},
    {"connections", "N", "connections of each session, 1 to 64 (1)", take_u32, AT(client.connections), 1,
     LNT_CONNECTIONS_MAX},
    {"depth", "N", "commands in flight of each session (32)", take_u32, AT(load.depth), 1, LEAN_DEPTH_MAX},
    {"size", "SIZE[:WEIGHT],...", "bytes of a command, or several sizes with weights (4K)", take_sizes, 0, 0,
     0},
    {"read", "PERCENT", "share of reads; the rest is writes (100)", take_mix, 0, 0, 0},
    {"mix", "read=P,write=P,unmap=P", "shares in percent", take_mix, 0, 0, 0},
    {"sequential", NULL, "in order instead of at random", take_sequential, 0, 0, 0},
    {"rate", "N", "commands a second, all together (as fast as it goes)", take_u64, AT(load.rate), 1,
     1000000000},
    {"duration", "D", "how long is measured (10s)", take_duration, AT(load.duration_ns), 1, 0},
    {"warmup", "D", "how long it runs before that (0)", take_duration, AT(load.warmup_ns), 0, 0},
    {"commands", "N", "stop after N commands instead", take_u64, AT(load.commands), 1, UINT64_MAX},
    {"verify", NULL, "stamp what is written, check what is read", take_flag, AT(load.verify), 0, 0},
    {"seed", "N", "of the random choices (1)", take_u64, AT(load.pattern.seed), 0, UINT64_MAX},
    {"part", "K/N", "work on part K (from 0) of N equal parts of the LUN, for several processes", take_part,
     0, 0, 0},
    {"poll", "never|adaptive|always", "sleep, spin for a while first, or only spin (never)", take_poll, 0, 0,
     0},
    {"cpu", "N", "run on this core only", take_int, AT(cpu), 0, 1023},
    {NULL, NULL, "Other things to do", NULL, 0, 0, 0},
    {"recover", NULL,
     "go on through lost connections, with the initiator library; checks all data, 70 % reads", take_recover,
     0, 0, 0},
    {"no-verify", NULL, "with --recover: do not stamp and check", take_flag, AT(no_verify), 0, 0},
    {"recovery-level", "N", "with --recover: highest ErrorRecoveryLevel to offer (2)", take_recovery_level,
     AT(KEYS.error_recovery_level), 0, 2},
    {"io", "uring|epoll|auto", "with --recover: how to reach the kernel", take_io, 0, 0, 0},
    {"capture", "FILE", "with --recover: write all iSCSI traffic into this pcapng file", take_text,
     AT(capture), 0, 0},
    {"logins", NULL, "log in and out again, over and over: sessions a second", take_logins, 0, 0, 0},
    {"parallel", "N", "with --logins, --idle: logins under way at once (16)", take_u32, AT(parallel), 1,
     1024},
    {"idle", "N", "open N sessions that do nothing; tells the target's memory with --target-pid", take_idle,
     0, 1, 1000000},
    {"hold", "D", "with --idle: how long to keep them (1s)", take_duration, AT(hold_ns), 0, 0},
    {"compare", "A.json B.json", "print two results side by side", NULL, 0, 0, 0},
    {NULL, NULL, "Looking and telling", NULL, 0, 0, 0},
    {"target-pid", "PID", "the target's process: its CPU time and context switches", take_pid, 0, 1,
     UINT32_MAX},
    {"watch-cpu", "N", "how busy this core is", take_int, AT(load.watch_cpu), 0, 1023},
    {"json", "FILE", "write the result as JSON; - is standard output, instead of the text", take_text,
     AT(json), 0, 0},
    {"html", "FILE", "write a report with plots that stands alone", take_text, AT(html), 0, 0},
    {"title", "TEXT", "what the result is called", take_text, AT(title), 0, 0},
    {NULL, NULL, "The sessions", NULL, 0, 0, 0},
    {"user", "NAME", "log in with CHAP as NAME", take_user, AT(client.session.chap_name), 0, 0},
    {"secret", "S", "its secret; better a file or LUNETTE_CHAP_SECRET", take_secret, 0, 0, 0},
    {"secret-file", "FILE", "a file with the secret", take_secret, 0, 0, 0},
    {"mutual-user", "NAME", "the name the target must prove", take_user, AT(client.session.mutual_name), 0,
     0},
    {"mutual-secret", "S", "the target's secret; better a file or LUNETTE_CHAP_MUTUAL_SECRET", take_secret, 0,
     0, 0},
    {"mutual-secret-file", "FILE", "a file with the target's secret", take_secret, 0, 0, 0},
    {"chap-algorithms", "md5,sha1,sha256,sha3-256", "which to offer, best first", take_chap_algorithms, 0, 0,
     0},
    {"initiator-name", "NAME", "who we are (iqn., eui. or naa.)", take_initiator_name, 0, 0, 0},
    {"header-digest", "[none,crc32c]", "which to offer, best first; alone: crc32c", take_digests,
     AT(KEYS.header_digest), 0, 0},
    {"data-digest", "[none,crc32c]", "which to offer, best first; alone: crc32c", take_digests,
     AT(KEYS.data_digest), 0, 0},
    {"initial-r2t", "yes|no", "wait for the target before unsolicited data", take_yes_no,
     AT(KEYS.initial_r2t), 0, 0},
    {"immediate-data", "yes|no", "send data with the command", take_yes_no, AT(KEYS.immediate_data), 0, 0},
    {"first-burst", "SIZE", "most unsolicited data of a command", take_size32, AT(KEYS.first_burst_length),
     512, SEGMENT_MAX},
    {"max-burst", "SIZE", "most data of one sequence", take_size32, AT(KEYS.max_burst_length), 512,
     SEGMENT_MAX},
    {"max-recv", "SIZE", "longest data segment we take", take_size32, AT(KEYS.max_recv_data_segment_length),
     512, SEGMENT_MAX},
    {"connect-timeout", "D", "longest time for a login", take_duration, AT(client.session.login_timeout_ns),
     1, 0},
    {"help", NULL, "this text", take_flag, AT(help), 0, 0},
    {"version", NULL, "the version", take_flag, AT(version), 0, 0},
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

void bench_options_help(void)
{
    puts("Usage: lunette-bench [options] iscsi://[user[%secret]@]host[:port]/IQN/LUN\n"
         "       lunette-bench --compare A.json B.json\n"
         "Anything but reads overwrites what is on the LUN.");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char left[80];
        const char *value = rows[i].value;
        if (!rows[i].name) {
            printf("\n%s:\n", rows[i].help);
            continue;
        }
        if (value && value[0] == '[')
            snprintf(left, sizeof left, "--%s[=%.*s]", rows[i].name, (int)strlen(value) - 2, value + 1);
        else
            snprintf(left, sizeof left, "--%s%s%s", rows[i].name, value ? " " : "", value ? value : "");
        printf("  %-42s %s\n", left, rows[i].help);
    }
    puts("\nExit status: 0 all good, 1 errors, wrong data or no start, 2 wrong usage.");
}

static const struct option_row *row_find(const char *name, size_t len)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].name && strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0)
            return &rows[i];
    return NULL;
}

static int take_compare(struct bench_options *o, int argc, char **argv, int *i)
{
    if (*i + 2 >= argc)
        return misuse("--compare needs two files that --json has written");
    o->compare[0] = argv[++*i];
    o->compare[1] = argv[++*i];
    return take_mode(o, BENCH_COMPARE);
}

/* argv[*i] begins with "--": "--name value" or "--name=value". */
static int parse_option(struct bench_options *o, int argc, char **argv, int *i)
{
    char *word = argv[*i];
    size_t len = strcspn(word + 2, "=");
    char *value = word[2 + len] == '=' ? word + 2 + len + 1 : NULL;
    const struct option_row *row = row_find(word + 2, len);
    if (!row)
        return misuse("there is no option \"%.*s\"", (int)len + 2, word);
    if (!row->take)
        return take_compare(o, argc, argv, i);
    if (!row->value && value)
        return misuse("--%s takes no value", row->name);
    if (row->value && !value && row->value[0] != '[') {
        if (*i + 1 >= argc)
            return misuse("--%s needs a value: %s", row->name, row->value);
        value = argv[++*i];
    }
    return row->take(o, row, value);
}

static int secret_from_environment(const char *name, uint8_t *secret, uint32_t *len)
{
    const char *text = *len == 0 ? getenv(name) : NULL;
    return text && *text ? secret_put(name, (const uint8_t *)text, strlen(text), secret, len) : 0;
}

static int check_secrets(struct bench_options *o)
{
    struct ini_options *session = &o->client.session;
    const char *user = o->url.user[0] ? o->url.user : session->chap_name;
    int code =
        secret_from_environment("LUNETTE_CHAP_SECRET", session->chap_secret, &session->chap_secret_len);
    if (!code)
        code = secret_from_environment("LUNETTE_CHAP_MUTUAL_SECRET", session->mutual_secret,
                                       &session->mutual_secret_len);
    if (code)
        return code;
    if (user[0] && !session->chap_secret_len && !o->url.secret_len)
        return misuse("user %s needs a secret: --secret-file, --secret or LUNETTE_CHAP_SECRET", user);
    if (session->mutual_name[0] && !session->mutual_secret_len)
        return misuse("--mutual-user %s needs a secret", session->mutual_name);
    return 0;
}

/* What only shows when all is read. */
static int check_together(struct bench_options *o)
{
    const struct pattern_options *p = &o->load.pattern;
    const struct key_config *keys = &o->client.session.keys;
    bool load = o->mode == BENCH_LOAD;
    if (keys->first_burst_length > keys->max_burst_length)
        return misuse("--first-burst %u is more than --max-burst %u", keys->first_burst_length,
                      keys->max_burst_length);
    if (!load && (o->html || o->load.rate || o->load.verify || o->load.warmup_ns))
        return misuse("--html, --rate, --verify and --warmup are for the load only");
    if (o->mode != BENCH_RECOVER && (o->no_verify || o->recovery_level_given || o->capture))
        return misuse("--no-verify, --recovery-level and --capture are for --recover");
    if (o->mode == BENCH_RECOVER && (p->sizes > 1 || p->percent[PATTERN_UNMAP]))
        return misuse("--recover does reads and writes of one size");
    if (o->mode == BENCH_RECOVER && o->load.depth > 1024)
        return misuse("--recover has at most 1024 commands in flight in a session");
    for (uint32_t i = 0; o->load.verify && i < p->sizes; i++)
        if (p->size[i].len % pattern_size_smallest(p) || pattern_size_largest(p) % p->size[i].len)
            return misuse("--verify needs sizes that divide one another");
    if (o->client.connections > o->load.depth && load)
        return misuse("--connections %u needs at least as much --depth", o->client.connections);
    return 0;
}

static int parse_url(struct bench_options *o)
{
    char why[512] = "";
    if (o->mode == BENCH_COMPARE)
        return o->url_text ? misuse("--compare takes two files and no URL") : 0;
    if (!o->url_text)
        return misuse("give the URL of a LUN: iscsi://host/IQN/LUN");
    if (lnt_url_parse(o->url_text, &o->url, why, sizeof why))
        return misuse("%s", why);
    if (!o->url.target[0])
        return misuse("the URL \"%s\" names no target", o->url_text);
    o->load.lun = o->url.lun < 0 ? 0 : o->url.lun;
    return check_secrets(o);
}

static void defaults(struct bench_options *o)
{
    memset(o, 0, sizeof *o);
    lnt_options_default(&o->client);
    o->load = (struct lean_options){.sessions = 1,
                                    .depth = 32,
                                    .duration_ns = 10000000000u,
                                    .parts = 1,
                                    .target_pid = -1,
                                    .watch_cpu = -1};
    o->load.pattern = (struct pattern_options){
        .percent = {100, 0, 0}, .size = {{4096, 1}}, .sizes = 1, .random = true, .seed = 1};
    o->hold_ns = 1000000000u;
    o->parallel = 16;
    o->cpu = -1;
    o->io = IO_KIND_AUTO;
}

int bench_options_parse(struct bench_options *o, int argc, char **argv)
{
    bool options_end = false;
    defaults(o);
    for (int i = 1; i < argc; i++) {
        int code = 0;
        if (!options_end && strcmp(argv[i], "--") == 0)
            options_end = true;
        else if (!options_end && strncmp(argv[i], "--", 2) == 0)
            code = parse_option(o, argc, argv, &i);
        else if (!options_end && argv[i][0] == '-' && argv[i][1])
            code = misuse("there is no option \"%s\"", argv[i]);
        else if (o->url_text)
            code = misuse("\"%s\" is too much: there is one URL", argv[i]);
        else
            o->url_text = argv[i];
        if (code)
            return code;
    }
    if (o->help || o->version)
        return 0;
    if (o->mode == BENCH_RECOVER && !o->mix_given)
        pattern_mix_parse("70", &o->load.pattern);
    int code = check_together(o);
    return code ? code : parse_url(o);
}

char *bench_options_url(const struct bench_options *o, char *buf, size_t len)
{
    snprintf(buf, len, "iscsi://%s%s%s/%s/%d", o->url.user, o->url.user[0] ? "@" : "", o->url.portal,
             o->url.target, o->load.lun);
    return buf;
}
