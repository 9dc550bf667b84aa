/* What the verbs read from their command lines, and from files named there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/units.h"
#include "target/service/config.h"
#include "target/service/state.h"
#include "target/service/verbs.h"

struct client_where verbs_where(const struct args *args)
{
    const char *state = args_value(args, "--state");
    return (struct client_where){.state = state ? state : STATE_DIR_DEFAULT,
                                 .control = args_value(args, "--control")};
}

/* A relative path is the caller's: the service has another current directory. */
static bool absolute_spec(const char *spec, char *out, size_t len, struct outcome *o)
{
    char cwd[STATE_PATH_MAX];
    if (strncmp(spec, "file:", 5) != 0 || spec[5] == '/' || spec[5] == '\0' || spec[5] == ',') {
        snprintf(out, len, "%s", spec);
    } else if (!getcwd(cwd, sizeof cwd)) {
        return outcome_fail(o, "cannot find the current directory: %s", strerror(errno));
    } else if (strchr(cwd, ',')) {
        return outcome_refuse(o, "a path with a comma cannot be used: %s", cwd);
    } else {
        snprintf(out, len, "file:%s/%s", cwd, spec + 5);
    }
    return strlen(out) + 1 < len || outcome_refuse(o, "the LUN specification is too long");
}

json_t *verbs_lun(const char *text, uint64_t next, uint64_t size, struct outcome *o)
{
    size_t digits = strspn(text, "0123456789");
    bool numbered = digits > 0 && (text[digits] == '=' || text[digits] == '\0');
    const char *spec = !numbered ? text : text[digits] == '=' ? text + digits + 1 : NULL;
    char number_text[24], absolute[STATE_PATH_MAX + 600];
    uint64_t number = next;
    snprintf(number_text, sizeof number_text, "%.*s", (int)(digits < 20 ? digits : 20), text);
    if (numbered && units_parse_u64(number_text, 0, CONFIG_LUN_MAX, &number) != 0) {
        outcome_refuse(o, "LUN %s is not between 0 and %u", number_text, CONFIG_LUN_MAX);
        return NULL;
    }
    if (!spec && size == 0) {
        outcome_refuse(o, "LUN %s needs a specification (%s=file:PATH,...) or --size", number_text,
                       number_text);
        return NULL;
    }
    if (spec && !absolute_spec(spec, absolute, sizeof absolute, o))
        return NULL;
    json_t *lun = spec ? json_pack("{s:I, s:s}", "lun", (json_int_t)number, "spec", absolute)
                       : json_pack("{s:I, s:I}", "lun", (json_int_t)number, "size", (json_int_t)size);
    if (!lun)
        outcome_refuse(o, "the LUN specification must be UTF-8 text");
    return lun;
}

bool verbs_secret(const struct args *args, const char *name, const char *file_name, char *buf,
                  const char **out, struct outcome *o)
{
    const char *value = args_value(args, name), *path = args_value(args, file_name);
    *out = NULL;
    if (value && path)
        return outcome_refuse(o, "%s and %s say the same thing: give one", name, file_name);
    if (!path) {
        *out = value;
        return true;
    }
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && len < SECRET_TEXT_MAX - 1 && (n = read(fd, buf + len, SECRET_TEXT_MAX - 1 - len)) > 0)
        len += (size_t)n;
    int why = errno;
    if (fd > STDIN_FILENO)
        close(fd);
    if (n < 0)
        return outcome_refuse(o, "cannot read the secret from %s: %s", path, strerror(why));
    if (len > 0 && buf[len - 1] == '\n')
        len--;
    if (len > 0 && buf[len - 1] == '\r')
        len--;
    buf[len] = '\0';
    if (strlen(buf) != len)
        return outcome_refuse(o, "the secret in %s contains a zero byte", path);
    *out = buf;
    return true;
}
