/* CHAP secrets: from options, files and the environment into the session's options. They are never printed,
 * and every copy made here is wiped. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "initiator/cli/cli.h"

#define ENV_SECRET        "LUNETTE_CHAP_SECRET"
#define ENV_MUTUAL_SECRET "LUNETTE_CHAP_MUTUAL_SECRET"

static int take(const char *what, const uint8_t *bytes, size_t len, uint8_t *out, uint32_t *out_len)
{
    if (len == 0)
        return cli_misuse("%s: the secret is empty", what);
    if (len > CHAP_SECRET_LEN_MAX)
        return cli_misuse("%s: the secret is longer than %u bytes", what, CHAP_SECRET_LEN_MAX);
    explicit_bzero(out, INI_SECRET_MAX);
    memcpy(out, bytes, len);
    *out_len = (uint32_t)len;
    return 0;
}

int cli_secret_text(const char *what, const char *text, uint8_t *out, uint32_t *out_len)
{
    return take(what, (const uint8_t *)text, strlen(text), out, out_len);
}

int cli_secret_file(const char *what, const char *path, uint8_t *out, uint32_t *out_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_misuse("%s: cannot open %s: %s", what, path, strerror(errno));
    uint8_t bytes[CHAP_SECRET_LEN_MAX +
                  3]; /* "\r\n" behind the longest, and one more to see that it is too long */
    int64_t len = cli_read_all(fd, bytes, sizeof(bytes));
    int error = errno;
    close(fd);
    if (len < 0)
        return cli_misuse("%s: cannot read %s: %s", what, path, strerror(error));
    /* Editors end the last line; the newline is not the secret's. */
    if (len > 0 && bytes[len - 1] == '\n')
        len--;
    if (len > 0 && bytes[len - 1] == '\r')
        len--;
    int code = take(what, bytes, (size_t)len, out, out_len);
    explicit_bzero(bytes, sizeof(bytes));
    return code;
}

/* Only where the command line gave none. */
static int from_environment(const char *name, uint8_t *secret, uint32_t *len)
{
    const char *text = *len == 0 ? getenv(name) : NULL;
    return text && *text ? cli_secret_text(name, text, secret, len) : 0;
}

int cli_secrets_complete(struct cli *cli)
{
    struct ini_options *session = &cli->options.session;
    int code = from_environment(ENV_SECRET, session->chap_secret, &session->chap_secret_len);
    if (!code)
        code = from_environment(ENV_MUTUAL_SECRET, session->mutual_secret, &session->mutual_secret_len);
    if (code)
        return code;
    if (session->chap_name[0] && session->chap_secret_len == 0)
        return cli_misuse("--user %s needs a secret: --secret-file, --secret or " ENV_SECRET,
                          session->chap_name);
    if (session->mutual_name[0] && session->mutual_secret_len == 0)
        return cli_misuse(
            "--mutual-user %s needs a secret: --mutual-secret-file, --mutual-secret or " ENV_MUTUAL_SECRET,
            session->mutual_name);
    return 0;
}
