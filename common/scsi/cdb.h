/* The CDB codec: commands and their fields by name (cdb_def.h). It knows layouts (SPC-4, SBC-3), not
 * meanings: ranges, what a device supports and what happens are the device server's and the initiator's
 * business. */
#ifndef LUNETTE_SCSI_CDB_H
#define LUNETTE_SCSI_CDB_H

#include "common/scsi/cdb_def.h"
#include "common/scsi/field.h"

#define CDB_LEN_MAX    32u   /* bytes: longest CDB of the codec */
#define CDB_LEN_FIXED  16u   /* bytes: longest that is no variable length CDB */
#define CDB_VARIABLE   0x7fu /* opcode of variable length CDBs */
#define CDB_FIELDS_MAX 12u   /* most fields of one command */

enum cdb_command {
#define C(id, opcode, sa, len, dir, name, ...) CDB_##id,
    CDB_COMMAND_LIST(C)
#undef C
        CDB_COMMAND_COUNT
};

enum cdb_field_id {
#define F(id, name) CDB_F_##id,
    CDB_FIELD_LIST(F)
#undef F
        CDB_FIELD_COUNT
};

enum cdb_direction { CDB_NONE, CDB_IN, CDB_OUT, CDB_BIDI };

struct cdb_field {
    enum cdb_field_id id;
    struct scsi_field place;
    bool ignored; /* legal, without meaning: not in the usage map */
};

struct cdb_def {
    enum cdb_command command;
    uint8_t opcode;
    int16_t service_action; /* CDB_NO_SA: none */
    uint8_t len;            /* bytes */
    enum cdb_direction direction;
    const char *name;
    struct cdb_field fields[CDB_FIELDS_MAX];
    uint8_t field_count;
};

extern const struct cdb_def cdb_defs[CDB_COMMAND_COUNT]; /* indexed by enum cdb_command */

/* The definition for a CDB's opcode and service action, in constant time for commands without service
 * actions; NULL: unknown. `opcode_known` (may be NULL) tells an unknown service action of a known opcode.
 * Reads bytes[0] and, for service actions, bytes[1] (8 and 9 of variable length CDBs): len must be at
 * least 1. */
const struct cdb_def *cdb_find(const uint8_t *bytes, size_t len, bool *opcode_known);
/* The service action of these bytes, wherever their opcode keeps it; 0 when len ends before it. */
int cdb_service_action(const uint8_t *bytes, size_t len);
/* By numbers; service_action CDB_NO_SA for commands without. */
const struct cdb_def *cdb_find_code(uint8_t opcode, int service_action);

/* The place of a field, or NULL when the command has none of this name. */
const struct cdb_field *cdb_field(const struct cdb_def *def, enum cdb_field_id id);
/* A field's value; 0 when the command has no such field. `bytes` holds def->len bytes. */
uint64_t cdb_get(const struct cdb_def *def, const uint8_t *bytes, enum cdb_field_id id);
/* False, and nothing changed, when there is no such field or the value is too wide for it. */
bool cdb_set(const struct cdb_def *def, uint8_t *bytes, enum cdb_field_id id, uint64_t value);

struct cdb_value {
    enum cdb_field_id id;
    uint64_t value;
};
/* Builds a CDB of the command with these fields, all others zero. Returns its length, or 0 when a value does
 * not fit. Fills CDB_LEN_FIXED bytes of out, or CDB_LEN_MAX for a variable length CDB. */
size_t cdb_build(enum cdb_command command, const struct cdb_value *values, size_t count, uint8_t *out);
#define CDB_BUILD(command, out, ...)                                                                         \
    cdb_build(command, (const struct cdb_value[]){__VA_ARGS__},                                              \
              sizeof((const struct cdb_value[]){__VA_ARGS__}) / sizeof(struct cdb_value), out)
/* Shortest usual form for block I/O: the 10-byte command when it can hold LBA and count, else the 16-byte
 * one. */
size_t cdb_build_read(uint64_t lba, uint32_t blocks, bool fua, uint8_t out[CDB_LEN_FIXED]);
size_t cdb_build_write(uint64_t lba, uint32_t blocks, bool fua, uint8_t out[CDB_LEN_FIXED]);

/* A READ or WRITE of 10, 12 or 16 bytes in which nothing but LBA and number of blocks is set, in
 * CDB_LEN_FIXED bytes. False: anything else. */
bool cdb_plain_blocks(const uint8_t *bytes, enum cdb_direction *direction, uint64_t *lba, uint32_t *blocks);
/* READ(6) and WRITE(6) write 256 blocks as 0; every other command means what it says. */
uint32_t cdb_blocks(const struct cdb_def *def, const uint8_t *bytes);

/* CDB usage data of REPORT SUPPORTED OPERATION CODES: def->len bytes; byte 0 is the opcode, a service action
 * stands with its value, every other meaningful bit is set. Fills out as cdb_build does. */
void cdb_usage(const struct cdb_def *def, uint8_t *out);
/* The first bit that is set but belongs to no field, meaningful or ignored. False: none. *bit is 7..0. */
bool cdb_reserved_bit(const struct cdb_def *def, const uint8_t *bytes, uint16_t *byte, uint8_t *bit);

/* "READ(10)", also of opcodes that the codec cannot encode; "opcode XXh" text is the caller's when NULL comes
 * back. */
const char *cdb_opcode_name(uint8_t opcode, int service_action);
/* One line: name and every non-zero field. */
void cdb_describe(const uint8_t *bytes, size_t len, char *buf, size_t buf_len);

#endif
