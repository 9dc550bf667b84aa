/* The state directory on POSIX systems. */
#include "target/service/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "target/service/config.h"

#define CONFIG_FILE_MAX (16 * 1024 * 1024) /* bytes: more is no configuration of ours */

char *state_path(const struct state *state, const char *name, char *buf)
{
    snprintf(buf, STATE_PATH_MAX, "%s/%s", state->dir, name);
    return buf;
}

/* mkdir -p of the parents with usual rights; the directory itself is private. */
static bool make_dir(const char *dir, struct outcome *o)
{
    char path[STATE_PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return outcome_fail(o, "cannot make the directory %s: %s", path, strerror(errno));
        *p = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return outcome_fail(o, "cannot make the state directory %s: %s", path, strerror(errno));
    return true;
}

static bool absolute(const char *dir, struct state *out, struct outcome *o)
{
    char cwd[STATE_PATH_MAX] = "";
    if (dir[0] == '\0')
        return outcome_refuse(o, "the state directory has no name");
    if (dir[0] != '/' && !getcwd(cwd, sizeof cwd))
        return outcome_fail(o, "cannot find the current directory: %s", strerror(errno));
    int len = snprintf(out->dir, sizeof out->dir, "%s%s%s", cwd, dir[0] == '/' ? "" : "/", dir);
    if (len < 0 || (size_t)len >= sizeof out->dir)
        return outcome_refuse(o, "the name of the state directory is too long");
    for (size_t end = (size_t)len; end > 1 && out->dir[end - 1] == '/'; end--)
        out->dir[end - 1] = '\0';
    return true;
}

enum state_open_result state_open(const char *dir, bool create, struct state *out, struct outcome *o)
{
    struct state state = {.lock_fd = -1};
    if (!absolute(dir, &state, o))
        return STATE_FAILED;
    struct stat st;
    if (stat(state.dir, &st) != 0) {
        if (errno == ENOENT && !create) {
            *out = state;
            return STATE_OPEN;
        }
        if (errno != ENOENT) {
            outcome_fail(o, "cannot use the state directory %s: %s", state.dir, strerror(errno));
            return STATE_FAILED;
        }
        if (!make_dir(state.dir, o))
            return STATE_FAILED;
        state.created = true;
    }
    char path[STATE_PATH_MAX];
    int fd = open(state_path(&state, "state.lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        outcome_fail(o, "cannot open %s: %s", path, strerror(errno));
        return STATE_FAILED;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool busy = errno == EWOULDBLOCK;
        if (!busy)
            outcome_fail(o, "cannot lock %s: %s", path, strerror(errno));
        close(fd);
        *out = state; /* its path is useful */
        out->lock_fd = -1;
        return busy ? STATE_IN_USE : STATE_FAILED;
    }
    state.lock_fd = fd;
    *out = state;
    return STATE_OPEN;
}

void state_close(struct state *state)
{
    if (state->lock_fd >= 0)
        close(state->lock_fd);
    state->lock_fd = -1;
}

void state_abandon(struct state *state)
{
    char path[STATE_PATH_MAX];
    if (state->created && access(state_path(state, "config.json", path), F_OK) != 0) {
        /* rmdir refuses when anything else is there, and then all stays but the lock file. */
        (void)rmdir(state_path(state, "disks", path));
        (void)unlink(state_path(state, "state.lock", path));
        (void)rmdir(state->dir);
    }
    state_close(state);
}

/* ---- config.json ---- */

static char *read_file(const char *path, size_t *len, struct outcome *o)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text = NULL;
    if (fd < 0 || fstat(fd, &st) != 0) {
        outcome_fail(o, "cannot read %s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size > CONFIG_FILE_MAX) {
        outcome_fail(o, "%s is no configuration file", path);
    } else if (!(text = malloc((size_t)st.st_size + 1))) {
        outcome_fail(o, "out of memory");
    } else {
        if (st.st_mode & 077)
            log_warn("state", "%s can be read by others: it holds secrets (chmod 600 it)", path);
        size_t got = 0;
        ssize_t n = 0;
        while (got < (size_t)st.st_size && (n = read(fd, text + got, (size_t)st.st_size - got)) > 0)
            got += (size_t)n;
        if (n < 0) {
            outcome_fail(o, "cannot read %s: %s", path, strerror(errno));
            free(text);
            text = NULL;
        }
        *len = got;
    }
    if (fd >= 0)
        close(fd);
    return text;
}

json_t *state_load(const struct state *state, struct outcome *o)
{
    char path[STATE_PATH_MAX];
    state_path(state, "config.json", path);
    json_t *root;
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        root = config_empty();
        if (!root)
            outcome_fail(o, "out of memory");
        return root;
    }
    size_t len;
    char *text = read_file(path, &len, o);
    if (!text)
        return NULL;
    root = config_parse(text, len, path, o);
    explicit_bzero(text, len);
    free(text);
    return root;
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

static bool sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool fine = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return fine;
}

bool state_save(const struct state *state, const json_t *root, struct outcome *o)
{
    char path[STATE_PATH_MAX], part[STATE_PATH_MAX];
    state_path(state, "config.json", path);
    state_path(state, "config.json.new", part);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    if (!text)
        return outcome_fail(o, "out of memory");
    size_t len = strlen(text);
    text[len] = '\n'; /* in the place of the terminator: a text file ends with a line end */
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool fine = fd >= 0 && write_all(fd, text, len + 1) && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && fine) {
        fine = false;
        why = errno;
    }
    if (fine && rename(part, path) != 0) {
        fine = false;
        why = errno;
    }
    if (!fine) {
        outcome_fail(o, "cannot write %s: %s", path, strerror(why));
        unlink(part);
    } else if (!sync_dir(state->dir)) {
        /* The new file is in place; only a power cut right now could bring the old one back. */
        log_warn("state", "cannot sync %s: %s", state->dir, strerror(errno));
    }
    explicit_bzero(text, len);
    free(text);
    return fine;
}
