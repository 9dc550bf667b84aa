/* Opening, closing and asking places. */
#include "initiator/cli/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/scsi/cdb.h"

void place_failed(struct place *place, const char *fmt, ...)
{
    if (place->why[0])
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(place->why, sizeof(place->why), fmt, args);
    va_end(args);
}

int place_init(struct place *place, struct cli *cli, const char *text)
{
    *place = (struct place){
        .cli = cli, .name = text, .file = IO_NONE, .fd = -1, .block_size = 1, .max_len = UINT32_MAX};
    place->is_lun = lnt_url_is(text);
    if (!place->is_lun)
        /* "http://..." is a slip, not the name of a file. */
        return strstr(text, "://") ? cli_misuse("\"%s\" is neither a file nor an iscsi:// URL", text) : 0;
    int code = cli_url(cli, text, CLI_URL_LUN, &place->url);
    place->name = place->url.target;
    return code;
}

/* ---- open ---- */

static int open_lun(struct place *place)
{
    int code = cli_open_disk(place->cli, &place->url, &place->client, &place->disk);
    if (code)
        return code;
    const struct lnt_disk *disk = &place->disk;
    uint64_t most = (uint64_t)disk->max_transfer_blocks * disk->block_size;
    place->block_size = disk->block_size;
    place->size = disk->blocks * disk->block_size;
    place->max_len = most == 0 || most > UINT32_MAX ? UINT32_MAX : (uint32_t)most;
    place->zero_method = disk->can_write_same && disk->thin ? PLACE_ZERO_SAME_UNMAP : PLACE_ZERO_SAME;
    place->zeros = calloc(1, PLACE_ZEROS_LEN);
    return place->zeros ? 0 : cli_failed("out of memory");
}

/* The io's handle for a file whose descriptor is open and checked. */
static int attach_file(struct place *place, unsigned flags)
{
    struct io_file_info info;
    int err = io_file_open(place->cli->io, place->name, flags, &place->file, &info);
    if (err == ERR_INVALID)
        return cli_misuse("%s is neither a regular file nor a block device", place->name);
    if (err)
        return cli_misuse("cannot open %s: %s", place->name, err_text(err));
    place->is_device = info.block_device;
    place->in_memory = info.memory;
    place->size = info.size;
    return 0;
}

int place_open_source(struct place *place)
{
    if (place->is_lun)
        return open_lun(place);
    /* Without O_NONBLOCK a FIFO would hold us here. */
    place->fd = open(place->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (place->fd < 0)
        return cli_misuse("cannot open %s: %s", place->name, strerror(errno));
    return attach_file(place, 0);
}

static int too_small(const struct place *place, uint64_t len)
{
    return cli_failed("%s is too small: it has %llu bytes, the source %llu", place->name,
                      (unsigned long long)place->size, (unsigned long long)len);
}

/* Nothing is truncated before everything else about the file is known to be right. */
static int open_destination_file(struct place *place, uint64_t len)
{
    struct stat st;
    place->fd = open(place->name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (place->fd < 0)
        return cli_failed("cannot open %s: %s", place->name, strerror(errno));
    int code = attach_file(place, IO_OPEN_WRITE);
    if (code)
        return code;
    if (place->is_device)
        return place->size < len ? too_small(place, len) : 0;
    if (ftruncate(place->fd, 0) < 0 || ftruncate(place->fd, (off_t)len) < 0 || fstat(place->fd, &st) < 0)
        return cli_failed("cannot make %s %llu bytes long: %s", place->name, (unsigned long long)len,
                          strerror(errno));
    place->size = len;
    place->starts_empty = true;
    return 0;
}

int place_open_destination(struct place *place, uint64_t len)
{
    if (!place->is_lun)
        return open_destination_file(place, len);
    int code = open_lun(place);
    if (!code && place->size < len)
        code = too_small(place, len);
    return code;
}

void place_other_session(struct place *second)
{
    second->cli->options.session.isid[5] ^= 1; /* a bit of the qualifier */
}

bool place_same(const struct place *a, const struct place *b)
{
    struct stat x, y;
    if (a->is_lun && b->is_lun) /* by their words: one disk under two names is not found out */
        return a->url.lun == b->url.lun && strcmp(a->url.target, b->url.target) == 0 &&
               strcmp(a->url.portal, b->url.portal) == 0;
    if (a->is_lun || b->is_lun)
        return false;
    if (stat(a->name, &x) < 0 || stat(b->name, &y) < 0)
        return false;
    return S_ISBLK(x.st_mode) && S_ISBLK(y.st_mode) ? x.st_rdev == y.st_rdev
                                                    : x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

void place_close(struct place *place)
{
    cli_disconnect(place->cli, place->client);
    if (place->file != IO_NONE)
        io_file_close(place->cli->io, place->file);
    if (place->fd >= 0)
        close(place->fd);
    free(place->zeros);
    explicit_bzero(&place->url, sizeof(place->url));
    place->client = NULL;
    place->file = IO_NONE;
    place->fd = -1;
    place->zeros = NULL;
}

/* ---- holes, and the end ---- */

bool place_next_data(const struct place *place, uint64_t offset, uint64_t *start, uint64_t *end)
{
    if (offset >= place->size)
        return false;
    *start = offset;
    *end = place->size;
    if (place->is_lun || place->is_device)
        return true;
    off_t data = lseek(place->fd, (off_t)offset, SEEK_DATA);
    if (data < 0)
        return errno !=
               ENXIO; /* ENXIO: no data any more; others: a file system that does not know, so all is data */
    off_t hole = lseek(place->fd, data, SEEK_HOLE);
    *start = (uint64_t)data;
    if (hole > data && (uint64_t)hole < place->size)
        *end = (uint64_t)hole;
    return *start < place->size;
}

int place_sync(struct place *place)
{
    if (!place->is_lun) {
        if (fsync(place->fd) < 0)
            return cli_failed("cannot flush %s: %s", place->name, strerror(errno));
        return 0;
    }
    uint8_t cdb[CDB_LEN_MAX];
    struct lnt_command command;
    size_t len = CDB_BUILD(CDB_SYNC_CACHE_10, cdb, {CDB_F_LBA, 0}); /* LBA 0, count 0: the whole disk */
    lnt_command_cdb(&command, place->url.lun, cdb, (uint16_t)len, NULL, 0, NULL, 0);
    command.repeatable = true;
    return cli_execute(place->client, &command, "cannot flush the disk's cache");
}
