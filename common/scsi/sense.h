/* Sense data (SPC-4 4.5), fixed and descriptor format, and the names of statuses, sense keys and additional
 * sense codes. */
#ifndef LUNETTE_SCSI_SENSE_H
#define LUNETTE_SCSI_SENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scsi_status { /* SAM-5 5.3 */
                   SCSI_STATUS_GOOD = 0x00,
                   SCSI_STATUS_CHECK_CONDITION = 0x02,
                   SCSI_STATUS_CONDITION_MET = 0x04,
                   SCSI_STATUS_BUSY = 0x08,
                   SCSI_STATUS_RESERVATION_CONFLICT = 0x18,
                   SCSI_STATUS_TASK_SET_FULL = 0x28,
                   SCSI_STATUS_ACA_ACTIVE = 0x30,
                   SCSI_STATUS_TASK_ABORTED = 0x40
};

enum sense_key {
    SENSE_NO_SENSE,
    SENSE_RECOVERED_ERROR,
    SENSE_NOT_READY,
    SENSE_MEDIUM_ERROR,
    SENSE_HARDWARE_ERROR,
    SENSE_ILLEGAL_REQUEST,
    SENSE_UNIT_ATTENTION,
    SENSE_DATA_PROTECT,
    SENSE_BLANK_CHECK,
    SENSE_VENDOR,
    SENSE_COPY_ABORTED,
    SENSE_ABORTED_COMMAND,
    SENSE_OBSOLETE,
    SENSE_VOLUME_OVERFLOW,
    SENSE_MISCOMPARE,
    SENSE_COMPLETED
};

/* ASC in the high byte, ASCQ in the low one: the ones that this project raises or acts on. */
enum sense_code {
    ASC_NONE = 0x0000,
    ASC_LU_NOT_READY_INITIALIZING_COMMAND_REQUIRED = 0x0402,
    ASC_WRITE_ERROR = 0x0c00,
    ASC_UNEXPECTED_UNSOLICITED_DATA = 0x0c0c,
    ASC_NOT_ENOUGH_UNSOLICITED_DATA = 0x0c0d,
    ASC_UNRECOVERED_READ_ERROR = 0x1100,
    ASC_PARAMETER_LIST_LENGTH_ERROR = 0x1a00,
    ASC_MISCOMPARE_DURING_VERIFY = 0x1d00,
    ASC_INVALID_OPERATION_CODE = 0x2000,
    ASC_LBA_OUT_OF_RANGE = 0x2100,
    ASC_INVALID_FIELD_IN_CDB = 0x2400,
    ASC_LU_NOT_SUPPORTED = 0x2500,
    ASC_INVALID_FIELD_IN_PARAMETER_LIST = 0x2600,
    ASC_WRITE_PROTECTED = 0x2700,
    ASC_SOFTWARE_WRITE_PROTECTED = 0x2702,
    ASC_SPACE_ALLOCATION_FAILED = 0x2707,
    ASC_MEDIUM_MAY_HAVE_CHANGED = 0x2800,
    ASC_POWER_ON_RESET = 0x2900,
    ASC_POWER_ON = 0x2901,
    ASC_RESET_FUNCTION = 0x2903,
    ASC_NEXUS_LOSS = 0x2907,
    ASC_MODE_PARAMETERS_CHANGED = 0x2a01,
    ASC_CAPACITY_CHANGED = 0x2a09,
    ASC_SAVING_NOT_SUPPORTED = 0x3900,
    ASC_MEDIUM_NOT_PRESENT = 0x3a00,
    ASC_LUNS_CHANGED = 0x3f0e,
    ASC_INTERNAL_TARGET_FAILURE = 0x4400,
    ASC_COMMANDS_CLEARED_BY_ISCSI = 0x477f,
    ASC_INVALID_MESSAGE = 0x4900,
    ASC_MEDIUM_REMOVAL_PREVENTED = 0x5302
};

struct scsi_sense {
    bool deferred;   /* 71h, 73h */
    bool descriptor; /* set by sense_parse: which format it was */
    uint8_t key, asc, ascq;
    bool filemark, eom, ili;
    bool has_information;
    uint64_t information;
    bool has_command_specific;
    uint64_t command_specific;
    bool has_sks; /* SKSV: the three bytes below count */
    uint8_t sks[3];
    uint8_t fru; /* 0: none */
};

#define SENSE_FIXED_LEN 18u
#define SENSE_BUILD_MAX 48u /* bytes: most that sense_build makes */

/* A sense with key and code, nothing else. */
struct scsi_sense sense_make(enum sense_key key, enum sense_code code);
/* SKS field pointer: the first byte (and bit 7..0, or -1) of a wrong field in the CDB or in the parameter
 * list. */
void sense_point(struct scsi_sense *sense, bool in_cdb, uint16_t byte, int bit);
bool sense_pointer(const struct scsi_sense *sense, bool *in_cdb, uint16_t *byte, int *bit);

/* Bytes written, at most SENSE_BUILD_MAX. Fixed format cannot hold INFORMATION above 32 bits: it then leaves
 * VALID at 0, so callers choose descriptor format for such a sense. */
size_t sense_build(const struct scsi_sense *sense, bool descriptor, uint8_t out[SENSE_BUILD_MAX]);
/* False when it is no sense data at all (response code, or shorter than the key). Cut data is read as far as
 * it goes. */
bool sense_parse(const uint8_t *data, size_t len, struct scsi_sense *out);

struct sense_asc_row {
    uint8_t asc, ascq;
    const char *name;
};
extern const struct sense_asc_row sense_asc_rows[]; /* ascending */
extern const size_t sense_asc_count;

/* Never NULL. */
const char *scsi_status_name(uint8_t status);
const char *sense_key_name(uint8_t key);
/* NULL when the list has no such code; ranges such as 40h/NNh answer for every NN. */
const char *sense_asc_name(uint8_t asc, uint8_t ascq);
/* "ILLEGAL REQUEST: LOGICAL BLOCK ADDRESS OUT OF RANGE (05/21/00), field in CDB byte 2, information 0x10". */
void sense_describe(const struct scsi_sense *sense, char *buf, size_t len);

#endif
