/* The log's clock and sinks on POSIX systems. */
#include <errno.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log_platform.h"

uint64_t log_platform_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void log_platform_stderr(const char *line, size_t len)
{
    /* Not stdio: one write(2) per line keeps the lines of threads and of other processes on the same pipe
     * whole. */
    int saved = errno;
    while (len > 0) {
        ssize_t done = write(STDERR_FILENO, line, len);
        if (done < 0 && errno == EINTR)
            continue;
        /* Nobody is left to tell when stderr is gone. */
        if (done <= 0)
            break;
        line += done;
        len -= (size_t)done;
    }
    errno = saved;
}

void log_platform_syslog_open(const char *program)
{
    openlog(program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void log_platform_syslog(enum log_level level, const char *line)
{
    static const int priorities[LOG_LEVEL_COUNT] = {
        [LOG_LEVEL_ERROR] = LOG_ERR,
        [LOG_LEVEL_WARN] = LOG_WARNING,
        [LOG_LEVEL_INFO] = LOG_INFO,
        [LOG_LEVEL_DEBUG] = LOG_DEBUG,
    };
    int saved = errno;
    syslog(priorities[level], "%s", line);
    errno = saved;
}
