/* `read` and `write`: a range of blocks to and from a file or a pipe, in order. (`copy` is the fast one.) */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "initiator/cli/cli.h"

#define RW_CHUNK 1048576u /* bytes, at most, of one command */

/* Blocks of one command: what the buffer holds and the disk takes. */
static uint32_t step_blocks(const struct lnt_disk *disk)
{
    uint32_t blocks = RW_CHUNK / disk->block_size;
    return disk->max_transfer_blocks && disk->max_transfer_blocks < blocks ? disk->max_transfer_blocks
                                                                           : blocks;
}

static bool is_dash(const char *path)
{
    return !path || strcmp(path, "-") == 0;
}

static int transfer(struct lnt_client *client, const struct lnt_url *url, const struct lnt_disk *disk,
                    bool is_write, bool fua, uint64_t lba, uint32_t blocks, uint8_t *buf)
{
    struct io_vec place = {buf, (size_t)blocks * disk->block_size};
    struct lnt_command command;
    char what[96];
    snprintf(what, sizeof(what), "cannot %s %u block%s from %llu", is_write ? "write" : "read", blocks,
             blocks == 1 ? "" : "s", (unsigned long long)lba);
    if (is_write)
        lnt_command_write(&command, url->lun, lba, blocks, disk->block_size, &place, 1, fua);
    else
        lnt_command_read(&command, url->lun, lba, blocks, disk->block_size, &place, 1);
    int code = cli_execute(client, &command, what);
    if (!code && command.scsi.underflow && command.scsi.residual)
        code = cli_failed("%s: the target left %u bytes out", what, command.scsi.residual);
    return code;
}

/* ---- read ---- */

static int read_blocks(struct cli *cli, struct lnt_client *client, const struct lnt_url *url,
                       const struct lnt_disk *disk, int fd, uint8_t *buf)
{
    uint64_t lba = cli->lba, left = cli->blocks;
    while (left) {
        uint32_t blocks = left < step_blocks(disk) ? (uint32_t)left : step_blocks(disk);
        size_t len = (size_t)blocks * disk->block_size;
        int code = transfer(client, url, disk, false, false, lba, blocks, buf);
        if (code)
            return code;
        if (is_dash(cli->out) && isatty(fd))
            cli_dump(buf, len); /* raw bytes would upset a terminal */
        else if (!cli_write_all(fd, buf, len))
            return cli_failed("cannot write to %s: %s", is_dash(cli->out) ? "standard output" : cli->out,
                              strerror(errno));
        lba += blocks;
        left -= blocks;
    }
    return 0;
}

/* The output file is made only when the disk is there and the range lies on it. */
static int read_to_output(struct cli *cli, struct lnt_client *client, const struct lnt_url *url,
                          const struct lnt_disk *disk)
{
    if (cli->lba >= disk->blocks || cli->blocks > disk->blocks - cli->lba)
        return cli_failed("the disk has only %llu blocks", (unsigned long long)disk->blocks);
    int fd =
        is_dash(cli->out) ? STDOUT_FILENO : open(cli->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return cli_failed("cannot open %s: %s", cli->out, strerror(errno));
    uint8_t *buf = malloc(RW_CHUNK);
    int code = buf ? read_blocks(cli, client, url, disk, fd, buf) : cli_failed("out of memory");
    free(buf);
    if (fd != STDOUT_FILENO && close(fd) < 0 && !code)
        code = cli_failed("cannot write to %s: %s", cli->out, strerror(errno));
    return code;
}

int verb_read(struct cli *cli)
{
    struct lnt_url url;
    struct lnt_client *client;
    struct lnt_disk disk;
    int code = cli_url(cli, cli->operand[0], CLI_URL_LUN, &url);
    if (!code)
        code = cli_start(cli);
    if (!code)
        code = cli_open_disk(cli, &url, &client, &disk);
    if (code)
        return code;
    code = read_to_output(cli, client, &url, &disk);
    cli_disconnect(cli, client);
    explicit_bzero(&url, sizeof(url));
    return code;
}

/* ---- write ---- */

/* What a regular file's size already tells, before the first block changes. */
static int check_input(const struct cli *cli, const struct lnt_disk *disk, int fd)
{
    struct stat st;
    if (cli->lba >= disk->blocks)
        return cli_failed("the disk has only %llu blocks", (unsigned long long)disk->blocks);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (st.st_size % disk->block_size)
        return cli_failed("the input of %lld bytes is not a multiple of the block size, %u bytes",
                          (long long)st.st_size, disk->block_size);
    if ((uint64_t)st.st_size / disk->block_size > disk->blocks - cli->lba)
        return cli_failed(
            "the disk is too small: it has %llu blocks from block %llu on, the input needs %llu",
            (unsigned long long)(disk->blocks - cli->lba), (unsigned long long)cli->lba,
            (unsigned long long)st.st_size / disk->block_size);
    return 0;
}

static int write_blocks(struct cli *cli, struct lnt_client *client, const struct lnt_url *url,
                        const struct lnt_disk *disk, int fd, uint8_t *buf)
{
    uint64_t lba = cli->lba;
    for (;;) {
        int64_t got = cli_read_all(fd, buf, (size_t)step_blocks(disk) * disk->block_size);
        if (got < 0)
            return cli_failed("cannot read %s: %s", is_dash(cli->in) ? "standard input" : cli->in,
                              strerror(errno));
        if (got == 0)
            return 0;
        uint32_t blocks = (uint32_t)(got / disk->block_size);
        if (got % disk->block_size)
            return cli_failed(
                "the input ends within a block (of %u bytes); %llu blocks before it were written",
                disk->block_size, (unsigned long long)(lba - cli->lba));
        int code = transfer(client, url, disk, true, cli->fua, lba, blocks, buf);
        if (code)
            return code;
        lba += blocks;
    }
}

int verb_write(struct cli *cli)
{
    struct lnt_url url;
    struct lnt_client *client = NULL;
    struct lnt_disk disk;
    int fd = STDIN_FILENO;
    int code = cli_url(cli, cli->operand[0], CLI_URL_LUN, &url);
    if (code)
        return code;
    if (!is_dash(cli->in) && (fd = open(cli->in, O_RDONLY | O_CLOEXEC)) < 0)
        return cli_misuse("cannot open %s: %s", cli->in, strerror(errno));
    uint8_t *buf = malloc(RW_CHUNK);
    code = buf ? cli_start(cli) : cli_failed("out of memory");
    if (!code)
        code = cli_open_disk(cli, &url, &client, &disk);
    if (!code) {
        code = check_input(cli, &disk, fd);
        if (!code)
            code = write_blocks(cli, client, &url, &disk, fd, buf);
        cli_disconnect(cli, client);
    }
    free(buf);
    if (fd != STDIN_FILENO)
        close(fd);
    explicit_bzero(&url, sizeof(url));
    return code;
}
