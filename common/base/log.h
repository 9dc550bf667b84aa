/* Logging for programs and hosts. Engines do not log: they trace through env, and env_host's sink comes here.
 */
#ifndef LUNETTE_BASE_LOG_H
#define LUNETTE_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_COUNT };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_sink { LOG_SINK_STDERR, LOG_SINK_SYSLOG };

/* Process-wide settings; call before threads start. Default: INFO, text, stderr. */
void log_setup(enum log_level level, enum log_format format, enum log_sink sink, const char *program);
/* "error", "warn", "info", "debug" -> level; false when it is none of them. */
bool log_level_parse(const char *text, enum log_level *out);
bool log_enabled(enum log_level level);
/* One line; `area` is a short word ("login", "store"). Control characters in the arguments are escaped, so a
 * peer cannot forge a line. Thread-safe: one write per line. */
void log_line(enum log_level level, const char *area, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(area, ...) log_line(LOG_LEVEL_ERROR, area, __VA_ARGS__)
#define log_warn(area, ...)  log_line(LOG_LEVEL_WARN, area, __VA_ARGS__)
#define log_info(area, ...)  log_line(LOG_LEVEL_INFO, area, __VA_ARGS__)
#define log_debug(area, ...)                                                                                 \
    do {                                                                                                     \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                                    \
            log_line(LOG_LEVEL_DEBUG, area, __VA_ARGS__);                                                    \
    } while (0)

#endif
