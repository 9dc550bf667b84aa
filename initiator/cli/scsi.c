/* `scsi`: any command, its data and its sense. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/units.h"
#include "common/scsi/cdb.h"
#include "common/scsi/sense.h"
#include "initiator/cli/cli.h"

#define SCSI_DATA_MAX (16u << 20) /* bytes either way */

struct scsi_request {
    uint8_t cdb[INI_CDB_MAX];
    uint16_t cdb_len;
    uint8_t *in, *out; /* owned, SCSI_DATA_MAX + 1 bytes each */
    uint32_t in_len, out_len;
};

static int read_data(struct scsi_request *r, const char *path)
{
    bool dash = strcmp(path, "-") == 0;
    int fd = dash ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_misuse("cannot open %s: %s", path, strerror(errno));
    int64_t got = cli_read_all(fd, r->out, SCSI_DATA_MAX + 1);
    int error = errno;
    if (!dash)
        close(fd);
    if (got < 0)
        return cli_misuse("cannot read %s: %s", path, strerror(error));
    if (got > SCSI_DATA_MAX)
        return cli_misuse("%s is longer than %u bytes", path, SCSI_DATA_MAX);
    r->out_len = (uint32_t)got;
    return 0;
}

/* All that can be wrong with the words, before anything is sent. */
static int prepare(const struct cli *cli, struct scsi_request *r)
{
    const char *text = cli->operand[1];
    int len = cli_hex_parse(text, r->cdb, sizeof(r->cdb));
    if (len <= 0)
        return cli_misuse("\"%s\" is no CDB: 1 to %u bytes as pairs of hexadecimal digits", text,
                          INI_CDB_MAX);
    r->cdb_len = (uint16_t)len;
    uint64_t in = 0;
    if (cli->in && units_parse_u64(cli->in, 0, SCSI_DATA_MAX, &in) < 0)
        return cli_misuse("--in is a number of bytes up to %u, not \"%s\"", SCSI_DATA_MAX, cli->in);
    r->in_len = (uint32_t)in;
    r->in = calloc(1, SCSI_DATA_MAX + 1);
    r->out = calloc(1, SCSI_DATA_MAX + 1);
    if (!r->in || !r->out)
        return cli_failed("out of memory");
    return cli->out ? read_data(r, cli->out) : 0;
}

/* A new nexus begins with a unit attention, which would hide the answer to the user's command. */
static int clear_attentions(struct lnt_client *client, int32_t lun)
{
    uint8_t cdb[CDB_LEN_MAX] = {0};
    struct lnt_command command;
    lnt_command_cdb(&command, lun, cdb, 6, NULL, 0, NULL, 0); /* TEST UNIT READY */
    command.repeatable = true;
    int err = lnt_execute(client, &command);
    char why[600];
    return err ? cli_failed("%s", cli_reason(client, err, why, sizeof(why)))
               : 0; /* its status is not the user's question */
}

static void print_residual(const char *what, bool overflow, uint32_t residual)
{
    if (residual)
        printf("%s%s by %u bytes\n", what, overflow ? "overflow" : "underflow", residual);
}

static int send_command(struct lnt_client *client, int32_t lun, struct scsi_request *r)
{
    struct io_vec in = {r->in, r->in_len}, out = {r->out, r->out_len};
    struct lnt_command command;
    char why[600];
    lnt_command_cdb(&command, lun, r->cdb, r->cdb_len, r->in_len ? &in : NULL, r->in_len,
                    r->out_len ? &out : NULL, r->out_len);
    int err = lnt_execute(client, &command);
    if (err)
        return cli_failed("%s", cli_reason(client, err, why, sizeof(why)));
    size_t got = command.scsi.in_done < r->in_len ? (size_t)command.scsi.in_done : r->in_len;
    cli_dump(r->in, got);
    bool both = r->in_len && r->out_len; /* a bidirectional command has a residual each way */
    print_residual(both ? "write " : "", command.scsi.overflow, command.scsi.residual);
    if (both)
        print_residual("read ", command.scsi.in_overflow, command.scsi.in_residual);
    if (command.scsi.status == SCSI_STATUS_GOOD || command.scsi.status == SCSI_STATUS_CONDITION_MET)
        return 0;
    return cli_failed("%s", lnt_command_text(&command, why, sizeof(why)));
}

int verb_scsi(struct cli *cli)
{
    struct lnt_url url;
    struct lnt_client *client;
    struct scsi_request request = {.in = NULL};
    int code = cli_url(cli, cli->operand[0], CLI_URL_LUN, &url);
    if (!code)
        code = prepare(cli, &request);
    if (!code)
        code = cli_start(cli);
    if (!code)
        code = cli_connect(cli, &url, &client);
    if (!code) {
        code = clear_attentions(client, url.lun);
        if (!code)
            code = send_command(client, url.lun, &request);
        cli_disconnect(cli, client);
    }
    free(request.in);
    free(request.out);
    explicit_bzero(&url, sizeof(url));
    return code;
}
