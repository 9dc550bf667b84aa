/* POSIX: the process becomes the other program, so signals, exit codes and terminals need no care. */
#include "lunette/run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* This program's folder, with the slash at its end. Links are followed: the programs are where the real file
 * is. */
static bool own_folder(char *out, size_t cap)
{
    ssize_t len = readlink("/proc/self/exe", out, cap - 1);
    if (len <= 0)
        return false;
    out[len] = 0;
    char *slash = strrchr(out, '/');
    if (!slash)
        return false;
    slash[1] = 0;
    return true;
}

static bool join(char *out, size_t cap, const char *folder, size_t folder_len, const char *name)
{
    int n = snprintf(out, cap, "%.*s%s%s", (int)folder_len, folder,
                     folder_len && folder[folder_len - 1] == '/' ? "" : "/", name);
    return n > 0 && (size_t)n < cap && access(out, X_OK) == 0;
}

static bool find(const char *name, char *out, size_t cap)
{
    char own[PATH_MAX];
    if (own_folder(own, sizeof own) && join(out, cap, own, strlen(own), name))
        return true;
    for (const char *at = getenv("PATH"); at && *at;) {
        size_t len = strcspn(at, ":");
        if (len && len < PATH_MAX && join(out, cap, at, len, name))
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

bool run_exists(const char *name)
{
    char path[PATH_MAX];
    return find(name, path, sizeof path);
}

int run_program(const char *name, char **argv)
{
    char path[PATH_MAX], own_name[RUN_NAME_MAX];
    if (!find(name, path, sizeof path))
        return RUN_NOT_FOUND;
    snprintf(own_name, sizeof own_name, "%s", name);
    argv[1] = own_name; /* a program calls itself by its own name in messages */
    execv(path, argv + 1);
    fprintf(stderr, "lunette: %s: %s\n", path, strerror(errno));
    return RUN_FAILED;
}
