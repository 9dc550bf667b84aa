/* How commands fail: sense with field pointers, and what a store's error means to an initiator. */
#include "common/base/err.h"
#include "target/scsi/private.h"

void task_fail(struct scsi_reactor *r, struct scsi_task *task, enum sense_key key, enum sense_code code)
{
    struct scsi_sense sense = sense_make(key, code);
    task_check(r, task, &sense);
}

void task_bad_cdb(struct scsi_reactor *r, struct scsi_task *task, enum cdb_field_id id)
{
    struct scsi_sense sense = sense_make(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    const struct cdb_field *f = cdb_field(task->def->cdb, id);
    if (f) {
        /* The pointer names the most significant bit of the field. */
        unsigned top = (f->place.shift + f->place.bits - 1u) % 8u;
        sense_point(&sense, true, f->place.byte, (int)top);
    }
    task_check(r, task, &sense);
}

void task_bad_param(struct scsi_reactor *r, struct scsi_task *task, uint16_t byte, int bit)
{
    struct scsi_sense sense = sense_make(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    sense_point(&sense, false, byte, bit);
    task_check(r, task, &sense);
}

void task_store_error(struct scsi_reactor *r, struct scsi_task *task, const struct store_req *req)
{
    bool read = req->verb == STORE_READ;
    struct scsi_sense sense;
    switch (req->result) {
    case ERR_NOMEM:
    case ERR_BUSY:
    case ERR_AGAIN:
        /* Nothing is wrong with the medium: the initiator may try again. */
        task_status(r, task, SCSI_STATUS_BUSY);
        return;
    case ERR_IO:
        sense = read ? sense_make(SENSE_MEDIUM_ERROR, ASC_UNRECOVERED_READ_ERROR)
                     : sense_make(SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
        break;
    case ERR_NOSPACE:
    case ERR_TOOBIG:
        sense = sense_make(SENSE_DATA_PROTECT, ASC_SPACE_ALLOCATION_FAILED);
        break;
    case ERR_READONLY:
    case ERR_PERMISSION:
        sense = sense_make(SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
        break;
    default:
        sense = sense_make(SENSE_HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE);
        break;
    }
    if (req->verb != STORE_FLUSH) {
        sense.has_information = true;
        sense.information = req->error_offset / task_block_size(task);
    }
    task_check(r, task, &sense);
}
