/* Commands ready to submit, and their outcome in words. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/scsi/cdb.h"
#include "common/scsi/lun.h"
#include "common/scsi/sense.h"
#include "initiator/lib/lunette.h"

static void command_clear(struct lnt_command *c, int32_t lun)
{
    memset(c, 0, sizeof *c);
    c->scsi.lun = lun_encode((uint16_t)lun);
    c->scsi.attr = 1;
}

void lnt_command_read(struct lnt_command *c, int32_t lun, uint64_t lba, uint32_t blocks, uint32_t block_size,
                      struct io_vec *vec, uint32_t count)
{
    command_clear(c, lun);
    c->repeatable = true;
    cdb_build_read(lba, blocks, false, c->scsi.cdb);
    c->scsi.cdb_len = 16;
    c->scsi.in_vec = vec;
    c->scsi.in_count = count;
    c->scsi.in_len = (uint64_t)blocks * block_size;
}

void lnt_command_write(struct lnt_command *c, int32_t lun, uint64_t lba, uint32_t blocks, uint32_t block_size,
                       struct io_vec *vec, uint32_t count, bool fua)
{
    command_clear(c, lun);
    c->repeatable = true;
    cdb_build_write(lba, blocks, fua, c->scsi.cdb);
    c->scsi.cdb_len = 16;
    c->scsi.out_vec = vec;
    c->scsi.out_count = count;
    c->scsi.out_len = (uint64_t)blocks * block_size;
}

void lnt_command_cdb(struct lnt_command *c, int32_t lun, const uint8_t *cdb, uint16_t cdb_len,
                     struct io_vec *in, uint32_t in_len, struct io_vec *out, uint32_t out_len)
{
    command_clear(c, lun);
    memcpy(c->scsi.cdb, cdb, cdb_len);
    c->scsi.cdb_len = cdb_len;
    c->scsi.in_vec = in;
    c->scsi.in_count = in ? 1 : 0;
    c->scsi.in_len = in_len;
    c->scsi.out_vec = out;
    c->scsi.out_count = out ? 1 : 0;
    c->scsi.out_len = out_len;
}

char *lnt_command_text(const struct lnt_command *c, char *buf, size_t len)
{
    struct scsi_sense sense;
    if (c->error) {
        snprintf(buf, len, "%s", err_text(c->error));
    } else if (c->scsi.status == SCSI_STATUS_CHECK_CONDITION &&
               sense_parse(c->scsi.sense, c->scsi.sense_len, &sense)) {
        int n = snprintf(buf, len, "CHECK CONDITION: ");
        if (n > 0 && (size_t)n < len)
            sense_describe(&sense, buf + n, len - (size_t)n);
    } else {
        snprintf(buf, len, "%s", scsi_status_name(c->scsi.status));
    }
    return buf;
}
