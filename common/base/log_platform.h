/* What the log needs from the operating system; one file per platform implements it (log_posix.c). Internal
 * to common/base: programs include log.h. */
#ifndef LUNETTE_BASE_LOG_PLATFORM_H
#define LUNETTE_BASE_LOG_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/log.h"

/* Wall clock, microseconds since 1970 UTC. */
uint64_t log_platform_now_us(void);
/* All of the line, newline included, in one write to stderr as far as the system lets us. errno is kept. */
void log_platform_stderr(const char *line, size_t len);
/* program is borrowed for the life of the process. */
void log_platform_syslog_open(const char *program);
void log_platform_syslog(enum log_level level, const char *line);

#endif
