/* Log lines: formatted, escaped, and handed to the sink in one piece.
 *
 * Much of what is logged was chosen by a peer (names, keys, addresses). So nothing of the message reaches the
 * line raw: control characters (C0, DEL, C1) and bytes that are no UTF-8 are escaped, in JSON also what JSON
 * requires. */
#include "common/base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log_platform.h"

#define LOG_MESSAGE_MAX 2048u                         /* bytes of message before escaping; the rest is cut */
#define LOG_LINE_MAX    (LOG_MESSAGE_MAX * 6u + 512u) /* the longest escape is \u00XX: six for one */
#define LOG_CUT_MARK    "..."

/* Written by log_setup before threads start, read only afterwards. */
static struct {
    enum log_level level;
    enum log_format format;
    enum log_sink sink;
    const char *program; /* borrowed for the life of the process, or NULL */
} log_state = {.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_TEXT, .sink = LOG_SINK_STDERR};

static const char *const log_level_names[LOG_LEVEL_COUNT] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

void log_setup(enum log_level level, enum log_format format, enum log_sink sink, const char *program)
{
    log_state.level = level;
    log_state.format = format;
    log_state.sink = sink;
    log_state.program = program;
    if (sink == LOG_SINK_SYSLOG)
        log_platform_syslog_open(program);
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(text, log_level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return level <= log_state.level;
}

/* The line under construction. Room for the worst case is reserved, so running full only cuts, never
 * overruns. */
struct line {
    size_t len;
    char text[LOG_LINE_MAX];
};

static void line_add(struct line *line, const char *text, size_t len)
{
    size_t room = sizeof line->text - line->len - 2; /* newline and NUL always fit */
    if (len > room)
        len = room;
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void line_puts(struct line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

static void line_printf(struct line *line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void line_printf(struct line *line, const char *fmt, ...)
{
    char small[64]; /* escapes and the time: all shorter */
    va_list args;
    va_start(args, fmt);
    vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    line_puts(line, small);
}

/* Length of the UTF-8 sequence at s (2..4), or 0 when it is malformed: overlong, a surrogate, beyond U+10FFFF
 * or cut. ASCII is the caller's. s ends with NUL, which is no continuation byte, so nothing beyond it is
 * read. */
static size_t utf8_sequence_len(const char *s, uint32_t *code_point)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t)s[0];
    size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
    if (len == 0 || lead >= 0xf8)
        return 0;
    uint32_t value = lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        uint8_t next = (uint8_t)s[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (next & 0x3f);
    }
    if (value < smallest[len] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code_point = value;
    return len;
}

static bool is_control(uint32_t code_point)
{
    /* C1 is left out by many filters, yet terminals act on it: U+009B opens an escape sequence. U+2028 and
     * U+2029 are line ends to some log viewers. */
    return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) || code_point == 0x2028 ||
           code_point == 0x2029;
}

/* A byte that is no UTF-8: named, as JSON could not carry it. */
static void line_add_bad_byte(struct line *line, uint8_t byte, bool json)
{
    line_printf(line, json ? "\\\\x%02x" : "\\x%02x", byte);
}

static void line_add_control(struct line *line, uint32_t code_point, bool json)
{
    if (json || code_point > 0xff)
        line_printf(line, "\\u%04" PRIx32, code_point);
    else
        line_printf(line, "\\x%02" PRIx32, code_point);
}

/* Adds text with everything escaped that could end the line, move the cursor or break JSON. */
static void line_add_escaped(struct line *line, const char *text, bool json)
{
    for (const char *p = text; *p;) {
        uint32_t code_point = (uint8_t)*p;
        size_t len = code_point < 0x80 ? 1 : utf8_sequence_len(p, &code_point);
        if (len == 0) {
            line_add_bad_byte(line, (uint8_t)*p, json);
            len = 1;
        } else if (is_control(code_point)) {
            line_add_control(line, code_point, json);
        } else {
            if (json && (*p == '"' || *p == '\\'))
                line_add(line, "\\", 1);
            line_add(line, p, len);
        }
        p += len;
    }
}

/* RFC 3339 in UTC. Own calendar arithmetic: gmtime_r and gmtime_s do not agree between platforms. */
static void line_add_time(struct line *line, uint64_t now_us)
{
    uint64_t seconds = now_us / 1000000u;
    uint64_t day_seconds = seconds % 86400u;
    /* Years that start in March put the leap day last (days-from-civil, run backwards); 719468 days lie
     * between 0000-03-01 and 1970-01-01, 146097 in each cycle of 400 years. */
    uint64_t days = seconds / 86400u + 719468u;
    uint64_t cycle = days / 146097u, day = days % 146097u;
    uint64_t year = (day - day / 1460u + day / 36524u - day / 146096u) / 365u;
    uint64_t year_day = day - (365u * year + year / 4u - year / 100u);
    uint64_t month = (5u * year_day + 2u) / 153u;
    uint64_t month_day = year_day - (153u * month + 2u) / 5u + 1u;
    month = month < 10 ? month + 3 : month - 9;
    year += cycle * 400u + (month <= 2);
    line_printf(line, "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64, year, month, month_day);
    line_printf(line, "T%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%06" PRIu64 "Z", day_seconds / 3600u,
                day_seconds / 60u % 60u, day_seconds % 60u, now_us % 1000000u);
}

static void line_add_json_member(struct line *line, const char *name, const char *value)
{
    line_puts(line, ",\"");
    line_puts(line, name);
    line_puts(line, "\":\"");
    line_add_escaped(line, value, true);
    line_puts(line, "\"");
}

static void line_compose_json(struct line *line, enum log_level level, const char *area, const char *message)
{
    line_puts(line, "{\"time\":\"");
    line_add_time(line, log_platform_now_us());
    line_puts(line, "\"");
    line_add_json_member(line, "level", log_level_names[level]);
    if (log_state.program)
        line_add_json_member(line, "program", log_state.program);
    line_add_json_member(line, "area", area);
    line_add_json_member(line, "message", message);
    line_puts(line, "}");
}

static void line_compose_text(struct line *line, enum log_level level, const char *area, const char *message)
{
    /* syslog stamps time and severity itself. */
    if (log_state.sink != LOG_SINK_SYSLOG) {
        line_add_time(line, log_platform_now_us());
        line_puts(line, " ");
        line_puts(line, log_level_names[level]);
        line_puts(line, " ");
    }
    line_add_escaped(line, area, false);
    line_puts(line, ": ");
    line_add_escaped(line, message, false);
}

void log_line(enum log_level level, const char *area, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    char message[LOG_MESSAGE_MAX + sizeof LOG_CUT_MARK];
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(message, LOG_MESSAGE_MAX, fmt, args);
    va_end(args);
    if (wanted < 0)
        message[0] = '\0';
    else if (wanted >= (int)LOG_MESSAGE_MAX)
        memcpy(message + LOG_MESSAGE_MAX - 1, LOG_CUT_MARK, sizeof LOG_CUT_MARK);

    struct line line;
    line.len = 0;
    if (log_state.format == LOG_FORMAT_JSON)
        line_compose_json(&line, level, area, message);
    else
        line_compose_text(&line, level, area, message);

    if (log_state.sink == LOG_SINK_SYSLOG) {
        line.text[line.len] = '\0';
        log_platform_syslog(level, line.text);
    } else {
        line.text[line.len++] = '\n';
        log_platform_stderr(line.text, line.len);
    }
}
