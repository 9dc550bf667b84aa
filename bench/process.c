#include "bench/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool process_read(const char *path, char *buf, size_t len)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t got = fread(buf, 1, len - 1, file);
    fclose(file);
    buf[got] = '\0';
    return got > 0;
}

static uint64_t process_field(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    uint64_t value = 0;
    return at && sscanf(at + strlen(name), "%" SCNu64, &value) == 1 ? value : 0;
}

/* The threads that there are: switches, and the time that the scheduler counted for them, in ns. */
static uint64_t process_threads(const char *folder, struct process_usage *out)
{
    uint64_t ran = 0, each;
    char path[400], text[4096];
    snprintf(path, sizeof path, "%s/task", folder);
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/task/%.32s/status", folder, entry->d_name);
        if (!process_read(path, text, sizeof text))
            continue; /* it has just ended */
        out->threads++;
        out->involuntary += process_field(text, "\nnonvoluntary_ctxt_switches:");
        out->voluntary += process_field(text, "\nvoluntary_ctxt_switches:");
        snprintf(path, sizeof path, "%s/task/%.32s/schedstat", folder, entry->d_name);
        if (process_read(path, text, sizeof text) && sscanf(text, "%" SCNu64, &each) == 1)
            ran += each;
    }
    closedir(dir);
    return ran;
}

bool process_usage(int64_t pid, struct process_usage *out)
{
    char folder[64], path[96], text[4096];
    uint64_t user, system;
    memset(out, 0, sizeof *out);
    if (pid)
        snprintf(folder, sizeof folder, "/proc/%" PRId64, pid);
    else
        snprintf(folder, sizeof folder, "/proc/self");
    snprintf(path, sizeof path, "%s/stat", folder);
    if (!process_read(path, text, sizeof text))
        return false;
    const char *after = strrchr(text, ')'); /* the name may hold anything */
    if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                         &user, &system) != 2)
        return false;
    out->cpu_ns = (user + system) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
    snprintf(path, sizeof path, "%s/status", folder);
    if (process_read(path, text, sizeof text))
        out->rss = process_field(text, "\nVmRSS:") * 1024;
    /* The same time without rounding to clock ticks; less only when threads have ended. */
    uint64_t ran = process_threads(folder, out);
    if (ran > out->cpu_ns)
        out->cpu_ns = ran;
    return true;
}

struct process_usage process_difference(const struct process_usage *later,
                                        const struct process_usage *earlier)
{
    struct process_usage d = *later;
    d.cpu_ns -= later->cpu_ns < earlier->cpu_ns ? later->cpu_ns : earlier->cpu_ns;
    d.voluntary -= later->voluntary < earlier->voluntary ? later->voluntary : earlier->voluntary;
    d.involuntary -= later->involuntary < earlier->involuntary ? later->involuntary : earlier->involuntary;
    return d;
}

bool core_usage(int core, struct core_usage *out)
{
    char name[24], text[65536];
    uint64_t v[8] = {0};
    snprintf(name, sizeof name, "\ncpu%d ", core);
    if (!process_read("/proc/stat", text, sizeof text))
        return false;
    const char *at = strstr(text, name);
    if (!at ||
        sscanf(at + strlen(name),
               "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
               &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) < 7)
        return false;
    out->all = v[0] + v[1] + v[2] + v[3] + v[4] + v[5] + v[6] + v[7];
    out->busy = out->all - v[3] - v[4]; /* idle, iowait */
    return true;
}

bool process_pin(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (core < 0 || core >= CPU_SETSIZE)
        return false;
    CPU_SET((unsigned)core, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}
