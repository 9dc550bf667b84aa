/* The options: one table, in which each row knows the verbs it belongs to, its help and how its value is
 * taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/units.h"
#include "common/iscsi/name.h"
#include "initiator/cli/cli.h"

struct option_row {
    const char *name;  /* without the dashes */
    const char *value; /* what the help calls it; NULL: a flag */
    uint32_t verbs;
    const char *help;
    int (*take)(struct cli *cli, const struct option_row *row, char *value); /* 0 or CLI_MISUSE */
    size_t offset; /* for the general takers: of the member in struct cli */
    uint64_t min, max;
};

#define AT(member) offsetof(struct cli, member)

static void *member_at(struct cli *cli, size_t offset)
{
    return (char *)cli + offset;
}

/* ---- takers of one kind of value, used by many rows ---- */

static int take_flag(struct cli *cli, const struct option_row *row, char *value)
{
    (void)value;
    *(bool *)member_at(cli, row->offset) = true;
    return 0;
}

static int take_text(struct cli *cli, const struct option_row *row, char *value)
{
    *(const char **)member_at(cli, row->offset) = value;
    return 0;
}

static int take_yes_no(struct cli *cli, const struct option_row *row, char *value)
{
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0)
        return cli_misuse("--%s is yes or no, not \"%s\"", row->name, value);
    *(bool *)member_at(cli, row->offset) = yes;
    return 0;
}

static int take_u64(struct cli *cli, const struct option_row *row, char *value)
{
    uint64_t number;
    if (units_parse_u64(value, row->min, row->max, &number) < 0)
        return cli_misuse("--%s is a number from %llu to %llu, not \"%s\"", row->name,
                          (unsigned long long)row->min, (unsigned long long)row->max, value);
    *(uint64_t *)member_at(cli, row->offset) = number;
    return 0;
}

static int take_u32(struct cli *cli, const struct option_row *row, char *value)
{
    uint64_t number;
    if (units_parse_u64(value, row->min, row->max, &number) < 0)
        return cli_misuse("--%s is a number from %llu to %llu, not \"%s\"", row->name,
                          (unsigned long long)row->min, (unsigned long long)row->max, value);
    *(uint32_t *)member_at(cli, row->offset) = (uint32_t)number;
    return 0;
}

static int take_duration(struct cli *cli, const struct option_row *row, char *value)
{
    uint64_t ns;
    if (units_parse_duration(value, &ns) < 0)
        return cli_misuse("--%s is a time such as 30s or 250ms, not \"%s\"", row->name, value);
    *(uint64_t *)member_at(cli, row->offset) = ns;
    return 0;
}

static int take_size32(struct cli *cli, const struct option_row *row, char *value)
{
    uint64_t bytes;
    if (units_parse_size(value, &bytes) < 0 || bytes < row->min || bytes > row->max)
        return cli_misuse("--%s is a size from %llu to %llu bytes, not \"%s\"", row->name,
                          (unsigned long long)row->min, (unsigned long long)row->max, value);
    *(uint32_t *)member_at(cli, row->offset) = (uint32_t)bytes;
    return 0;
}

/* ---- takers of one option ---- */

static int take_lba(struct cli *cli, const struct option_row *row, char *value)
{
    cli->has_lba = true;
    return take_u64(cli, row, value);
}

static int take_blocks(struct cli *cli, const struct option_row *row, char *value)
{
    cli->has_blocks = true;
    return take_u64(cli, row, value);
}

static int take_vpd(struct cli *cli, const struct option_row *row, char *value)
{
    (void)row;
    const char *digits = strncmp(value, "0x", 2) == 0 ? value + 2 : value;
    char *end;
    unsigned long page = strtoul(digits, &end, 16);
    if (strspn(digits, "0123456789abcdefABCDEF") != strlen(digits) || end == digits || page > 0xff)
        return cli_misuse("--vpd is a page number in hexadecimal, 00 to ff, not \"%s\"", value);
    cli->has_vpd = true;
    cli->vpd = (uint8_t)page;
    return 0;
}

static int take_initiator_name(struct cli *cli, const struct option_row *row, char *value)
{
    (void)row;
    const char *reason = "";
    char name[NAME_CAP];
    if (name_normalize(value, strlen(value), NAME_STRICT, name, &reason) == NAME_INVALID)
        return cli_misuse("\"%s\" is no initiator name: %s", value, reason);
    snprintf(cli->options.session.initiator_name, sizeof(cli->options.session.initiator_name), "%s", name);
    return 0;
}

static int take_isid(struct cli *cli, const struct option_row *row, char *value)
{
    (void)row;
    uint8_t isid[6];
    if (strlen(value) != 12 || cli_hex_parse(value, isid, sizeof(isid)) != 6 || isid[0] >> 6 == 3)
        return cli_misuse("--isid is twelve hexadecimal digits, the first of them 0 to b, not \"%s\"", value);
    memcpy(cli->options.session.isid, isid, sizeof(isid));
    return 0;
}

static int take_io(struct cli *cli, const struct option_row *row, char *value)
{
    (void)row;
    if (!io_kind_parse(value, &cli->io_kind))
        return cli_misuse("--io is uring, epoll or auto, not \"%s\"", value);
    return 0;
}

static int take_capture(struct cli *cli, const struct option_row *row, char *value)
{
    char why[256];
    cli->capture_given = true;
    return capture_option_take(&cli->capture_options, row->name, value, why, sizeof why)
               ? cli_misuse("%s", why)
               : 0;
}

static int take_log_level(struct cli *cli, const struct option_row *row, char *value)
{
    (void)row;
    if (!log_level_parse(value, &cli->log_level))
        return cli_misuse("--log-level is error, warn, info or debug, not \"%s\"", value);
    return 0;
}

/* A comma separated list of words from a table, in the user's order; each word once. */
struct word_row {
    const char *word;
    uint8_t value;
};

static int take_list(const struct option_row *row, const char *text, const struct word_row *words,
                     size_t count, uint8_t *values, uint8_t *value_count)
{
    uint8_t n = 0;
    for (const char *p = text;; p++) {
        size_t len = strcspn(p, ",");
        size_t i = 0;
        while (i < count && (strlen(words[i].word) != len || strncasecmp(words[i].word, p, len) != 0))
            i++;
        if (i == count)
            return cli_misuse("--%s is a list of %s, not \"%s\"", row->name, row->value, text);
        if (memchr(values, words[i].value, n))
            return cli_misuse("--%s has \"%s\" twice", row->name, words[i].word);
        values[n++] = words[i].value;
        p += len;
        if (*p == '\0')
            break;
    }
    *value_count = n;
    return 0;
}

static int take_digests(struct cli *cli, const struct option_row *row, char *value)
{
    static const struct word_row words[] = {{"none", KEY_DIGEST_NONE}, {"crc32c", KEY_DIGEST_CRC32C}};
    struct key_choices *choices = member_at(cli, row->offset);
    return take_list(row, value, words, 2, choices->value, &choices->count);
}

/* RFC 7143 13.23 wants RFC3720 and ResponseFence in every offer: they are put behind what the user prefers.
 */
static int take_task_reporting(struct cli *cli, const struct option_row *row, char *value)
{
    static const struct word_row words[] = {{"RFC3720", KEY_TASK_REPORTING_RFC3720},
                                            {"ResponseFence", KEY_TASK_REPORTING_RESPONSE_FENCE},
                                            {"FastAbort", KEY_TASK_REPORTING_FAST_ABORT}};
    struct key_choices *choices = &cli->options.session.keys.task_reporting;
    int code = take_list(row, value, words, 3, choices->value, &choices->count);
    for (size_t i = 2; !code && i-- > 0;) {
        if (!memchr(choices->value, words[i].value, choices->count))
            choices->value[choices->count++] = words[i].value;
    }
    return code;
}

/* --key Name=Value replaces what we would offer, or adds to it; --key Name leaves it out. The text stays in
 * argv. */
static int take_key(struct cli *cli, const struct option_row *row, char *value)
{
    struct key_config *keys = &cli->options.session.keys;
    char *equals = strchr(value, '=');
    size_t len = equals ? (size_t)(equals - value) : strlen(value);
    if (len == 0 || len >= TEXT_KEY_CAP)
        return cli_misuse("--%s is Name=Value or Name, the name of 1 to %u characters, not \"%s\"", row->name,
                          TEXT_KEY_CAP - 1, value);
    if (keys->override_count == KEY_OVERRIDES_MAX)
        return cli_misuse("--%s can be given %u times at most", row->name, KEY_OVERRIDES_MAX);
    if (equals)
        *equals = '\0';
    cli->overrides[keys->override_count++] = (struct key_override){value, equals ? equals + 1 : NULL};
    keys->overrides = cli->overrides;
    return 0;
}

static int take_no_follow(struct cli *cli, const struct option_row *row, char *value)
{
    (void)row;
    (void)value;
    cli->options.redirects_max = 0;
    return 0;
}

static int take_chap_algorithms(struct cli *cli, const struct option_row *row, char *value)
{
    static const struct word_row words[] = {
        {"md5", CHAP_MD5}, {"sha1", CHAP_SHA1}, {"sha256", CHAP_SHA256}, {"sha3-256", CHAP_SHA3_256}};
    struct chap_algs *algs = &cli->options.session.chap_algs;
    return take_list(row, value, words, 4, algs->value, &algs->count);
}

static int take_user(struct cli *cli, const struct option_row *row, char *value)
{
    char *name = member_at(cli, row->offset);
    if (value[0] == '\0' || strlen(value) >= INI_NAME_MAX)
        return cli_misuse("--%s is a name of 1 to %u bytes", row->name, INI_NAME_MAX - 1);
    snprintf(name, INI_NAME_MAX, "%s", value);
    return 0;
}

/* All four secret options: which secret, and whether the value is the secret or its file. */
static int take_secret(struct cli *cli, const struct option_row *row, char *value)
{
    struct ini_options *session = &cli->options.session;
    bool mutual = strncmp(row->name, "mutual", 6) == 0;
    uint8_t *secret = mutual ? session->mutual_secret : session->chap_secret;
    uint32_t *len = mutual ? &session->mutual_secret_len : &session->chap_secret_len;
    char what[32];
    snprintf(what, sizeof(what), "--%s", row->name);
    if (strstr(row->name, "-file"))
        return cli_secret_file(what, value, secret, len);
    int code = cli_secret_text(what, value, secret, len);
    explicit_bzero(value, strlen(value)); /* argv is what other users see in the process list */
    return code;
}

#define SEGMENT_MAX 16777215u /* bytes, RFC 7143 13.12 to 13.14 */

static const struct option_row rows[] = {
    {"vpd", "PAGE", CLI_VERB_INQ, "a vital product data page, in hexadecimal", take_vpd, 0, 0, 0},
    {"all", NULL, CLI_VERB_INQ, "standard data and every page", take_flag, AT(all), 0, 0},
    {"hex", NULL, CLI_VERB_INQ, "show the bytes instead of words", take_flag, AT(hex), 0, 0},
    {"lba", "N", CLI_VERB_READ | CLI_VERB_WRITE, "first block", take_lba, AT(lba), 0, UINT64_MAX},
    {"blocks", "N", CLI_VERB_READ, "how many blocks (1)", take_blocks, AT(blocks), 1, UINT64_MAX},
    {"out", "FILE", CLI_VERB_READ | CLI_VERB_SCSI,
     "read: where to; scsi: the data to send; - is standard output or input", take_text, AT(out), 0, 0},
    {"in", "FILE|N", CLI_VERB_WRITE | CLI_VERB_SCSI,
     "write: the data, - is standard input; scsi: bytes to receive", take_text, AT(in), 0, 0},
    {"fua", NULL, CLI_VERB_WRITE, "done means on stable media", take_flag, AT(fua), 0, 0},
    {"count", "N", CLI_VERB_PING, "how many round trips of each connection (4)", take_u64, AT(count), 1,
     1000000000},
    {"interval", "D", CLI_VERB_PING, "time between them (1s)", take_duration, AT(interval_ns), 0, 0},
    {"json", NULL, CLI_VERB_DISCOVER | CLI_VERB_LS | CLI_VERB_CAPACITY, "print JSON", take_flag, AT(json), 0,
     0},
    {"depth", "N", CLI_VERB_ALL, "commands in flight, 1 to 1024 (32)", take_u32, AT(depth), 1, 1024},
    {"user", "NAME", CLI_VERB_ALL, "log in with CHAP as NAME", take_user, AT(options.session.chap_name), 0,
     0},
    {"secret", "S", CLI_VERB_ALL, "its secret; better a file or the environment", take_secret, 0, 0, 0},
    {"secret-file", "FILE", CLI_VERB_ALL, "a file with the secret", take_secret, 0, 0, 0},
    {"weak-secret", NULL, CLI_VERB_ALL, "use it though it has fewer than 12 bytes (with IPsec)", take_flag,
     AT(options.session.allow_weak_secret), 0, 0},
    {"mutual-user", "NAME", CLI_VERB_ALL, "the name the target must prove", take_user,
     AT(options.session.mutual_name), 0, 0},
    {"mutual-secret", "S", CLI_VERB_ALL, "the target's secret", take_secret, 0, 0, 0},
    {"mutual-secret-file", "FILE", CLI_VERB_ALL, "a file with the target's secret", take_secret, 0, 0, 0},
    {"chap-algorithms", "md5,sha1,sha256,sha3-256", CLI_VERB_ALL, "which to offer, best first",
     take_chap_algorithms, 0, 0, 0},
    {"initiator-name", "NAME", CLI_VERB_ALL, "who we are (iqn., eui. or naa.)", take_initiator_name, 0, 0, 0},
    {"isid", "HEX", CLI_VERB_ALL, "initiator session id, twelve digits", take_isid, 0, 0, 0},
    {"header-digest", "none,crc32c", CLI_VERB_ALL, "which to offer, best first", take_digests,
     AT(options.session.keys.header_digest), 0, 0},
    {"data-digest", "none,crc32c", CLI_VERB_ALL, "which to offer, best first", take_digests,
     AT(options.session.keys.data_digest), 0, 0},
    {"initial-r2t", "yes|no", CLI_VERB_ALL, "wait for the target before unsolicited data", take_yes_no,
     AT(options.session.keys.initial_r2t), 0, 0},
    {"immediate-data", "yes|no", CLI_VERB_ALL, "send data with the command", take_yes_no,
     AT(options.session.keys.immediate_data), 0, 0},
    {"first-burst", "SIZE", CLI_VERB_ALL, "most unsolicited data of a command", take_size32,
     AT(options.session.keys.first_burst_length), 512, SEGMENT_MAX},
    {"max-burst", "SIZE", CLI_VERB_ALL, "most data of one sequence", take_size32,
     AT(options.session.keys.max_burst_length), 512, SEGMENT_MAX},
    {"max-recv", "SIZE", CLI_VERB_ALL, "longest data segment we take", take_size32,
     AT(options.session.keys.max_recv_data_segment_length), 512, SEGMENT_MAX},
    {"task-reporting", "RFC3720,ResponseFence,FastAbort", CLI_VERB_ALL, "which to offer, best first",
     take_task_reporting, 0, 0, 0},
    {"key", "NAME[=VALUE]", CLI_VERB_ALL, "offer this text key so, or not at all; may be given again",
     take_key, 0, 0, 0},
    {"connections", "N", CLI_VERB_ALL, "connections of a session, 1 to 64 (1)", take_u32,
     AT(options.connections), 1, LNT_CONNECTIONS_MAX},
    {"spread", NULL, CLI_VERB_ALL, "spread them over the target's portals of the same group", take_flag,
     AT(options.spread), 0, 0},
    {"recovery-level", "N", CLI_VERB_ALL, "highest ErrorRecoveryLevel to offer, 0 to 2 (2)", take_u32,
     AT(options.session.keys.error_recovery_level), 0, 2},
    {"protocol-level", "N", CLI_VERB_ALL, "iSCSIProtocolLevel to offer, 0 to 31 (1; 2 has RFC 7144)",
     take_u32, AT(options.session.keys.iscsi_protocol_level), 0, 31},
    {"redirects", "N", CLI_VERB_ALL, "how many redirects of a login are followed (8)", take_u32,
     AT(options.redirects_max), 0, LNT_REDIRECTS_MAX},
    {"no-follow", NULL, CLI_VERB_ALL, "follow no redirect", take_no_follow, 0, 0, 0},
    {"capture", "FILE", CLI_VERB_ALL, "write all iSCSI traffic into this pcapng file", take_capture, 0, 0, 0},
    {"capture-snap", "BYTES", CLI_VERB_ALL, "keep this much of each frame (all)", take_capture, 0, 0, 0},
    {"capture-ring", "FILES:SIZE", CLI_VERB_ALL, "a ring of files of this size", take_capture, 0, 0, 0},
    {"capture-session", "PATTERN", CLI_VERB_ALL, "only sessions whose initiator or target name matches",
     take_capture, 0, 0, 0},
    {"capture-no-secrets", NULL, CLI_VERB_ALL, "keep what CHAP says out of the file", take_capture, 0, 0, 0},
    {"capture-buffer", "SIZE", CLI_VERB_ALL, "memory for what is not yet written (32M)", take_capture, 0, 0,
     0},
    {"referee", NULL, CLI_VERB_ALL, "check every PDU against the RFC and tell what is wrong", take_flag,
     AT(with_referee), 0, 0},
    {"io", "uring|epoll|auto", CLI_VERB_ALL, "how to reach the kernel", take_io, 0, 0, 0},
    {"timeout", "D", CLI_VERB_ALL, "longest time for a command, 0 for any", take_duration,
     AT(options.command_timeout_ns), 0, 0},
    {"connect-timeout", "D", CLI_VERB_ALL, "longest time for a connection", take_duration,
     AT(options.connect_timeout_ns), 0, 0},
    {"replacement-timeout", "D", CLI_VERB_ALL, "how long a cut may last before commands fail", take_duration,
     AT(options.replacement_timeout_ns), 0, 0},
    {"verbose", NULL, CLI_VERB_ALL, "tell what happens to the session, and at the end what was recovered",
     take_flag, AT(verbose), 0, 0},
    {"log-level", "LEVEL", CLI_VERB_ALL, "error, warn, info or debug", take_log_level, 0, 0, 0},
    {"help", NULL, CLI_VERB_ALL, "this text", take_flag, AT(help), 0, 0},
    {"version", NULL, CLI_VERB_ALL, "the version", take_flag, AT(version), 0, 0},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

void cli_options_help(uint32_t verb_bits)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        if (rows[i].verbs & verb_bits)
            printf("  %-42s %s\n", left, rows[i].help);
    }
}

static const struct option_row *row_find(const char *name, size_t len)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0)
            return &rows[i];
    }
    return NULL;
}

/* argv[*at] begins with "--": "--name value" or "--name=value". */
static int parse_option(struct cli *cli, int argc, char **argv, int *at)
{
    char *word = argv[*at];
    size_t len = strcspn(word + 2, "=");
    char *value = word[2 + len] == '=' ? word + 2 + len + 1 : NULL;
    const struct option_row *row = row_find(word + 2, len);
    if (!row)
        return cli_misuse("there is no option \"%.*s\"", (int)len + 2, word);
    if (!(row->verbs & cli->verb->bit))
        return cli_misuse("%s has no option --%s", cli->verb->name, row->name);
    if (!row->value && value)
        return cli_misuse("--%s takes no value", row->name);
    if (row->value && !value) {
        if (*at + 1 >= argc)
            return cli_misuse("--%s needs a value: %s", row->name, row->value);
        value = argv[++*at];
    }
    return row->take(cli, row, value);
}

/* What only shows when all is read. */
static int check_together(const struct cli *cli)
{
    const struct key_config *keys = &cli->options.session.keys;
    if (keys->first_burst_length > keys->max_burst_length)
        return cli_misuse("--first-burst %u is more than --max-burst %u", keys->first_burst_length,
                          keys->max_burst_length);
    if (cli->verb->bit == CLI_VERB_INQ && cli->has_vpd && cli->all)
        return cli_misuse("inq takes --vpd or --all, not both");
    if (cli->verb->bit == CLI_VERB_WRITE && !cli->has_lba)
        return cli_misuse("write needs --lba N, so that nothing is overwritten by accident");
    return 0;
}

int cli_options_parse(struct cli *cli, int argc, char **argv)
{
    capture_options_default(&cli->capture_options);
    cli->depth = 32;
    cli->options.tap_connections = &cli->tap_connections;
    cli->blocks = 1;
    cli->count = 4;
    cli->interval_ns = UINT64_C(1000000000);
    cli->io_kind = IO_KIND_AUTO;
    cli->log_level = LOG_LEVEL_ERROR;
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        int code = 0;
        if (!options_end && strcmp(word, "--") == 0)
            options_end = true;
        else if (!options_end && strcmp(word, "-h") == 0)
            cli->help = true;
        else if (!options_end && strncmp(word, "--", 2) == 0)
            code = parse_option(cli, argc, argv, &i);
        else if (!options_end && word[0] == '-' && word[1] != '\0')
            code = cli_misuse("there is no option \"%s\"", word);
        else if (cli->operand_count == cli->verb->operands_max)
            code = cli_misuse("\"%s\" is too much: %s takes %s", word, cli->verb->name, cli->verb->operands);
        else
            cli->operand[cli->operand_count++] = word;
        if (code)
            return code;
    }
    return cli->help || cli->version ? 0 : check_together(cli);
}
