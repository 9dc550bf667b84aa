/* The CDB codec: tables made from cdb_def.h, and the few loops that read them. */
#include "common/scsi/cdb.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/bytes.h"

/* No struct stands behind a CDB's fields: member is unused. */
#define X(id, byte, shift, bits) {CDB_F_##id, {#id, byte, shift, bits, 0}, false},
#define I(id, byte, shift, bits) {CDB_F_##id, {#id, byte, shift, bits, 0}, true},
#define COUNT_OF(...)            (sizeof((struct cdb_field[]){__VA_ARGS__}) / sizeof(struct cdb_field))
#define C(id, opcode, sa, len, dir, name, ...)                                                               \
    [CDB_##id] = {CDB_##id, opcode, sa, len, CDB_##dir, name, {__VA_ARGS__}, (uint8_t)COUNT_OF(__VA_ARGS__)},
const struct cdb_def cdb_defs[CDB_COMMAND_COUNT] = {CDB_COMMAND_LIST(C)};
#undef C
#undef X
#undef I

/* The bits that any field of a command covers, as four big-endian words of the 32 bytes, made by the
 * compiler: the check for reserved bits runs on every command. LOW is the place of a field's lowest bit,
 * counted from the end of the 32 bytes; a word's own bits begin at BASE. */
#define WORDS                  (CDB_LEN_MAX / 8)
#define LOW(byte, shift, bits) (256 - 8 * ((byte) + ((shift) + (bits) + 7) / 8) + (shift))
#define ONES(bits)             (UINT64_MAX >> (64 - (bits)))
#define BASE(word)             (192 - 64 * (word))
#define PART(low, bits, base)                                                                                \
    ((low) >= (base) + 64      ? 0                                                                           \
     : (low) >= (base)         ? ONES(bits) << (((low) - (base)) & 63)                                       \
     : (low) + (bits) > (base) ? ONES(bits) >> (((base) - (low)) & 63)                                       \
                               : 0)
#define I(id, byte, shift, bits)               X(id, byte, shift, bits)
#define C(id, opcode, sa, len, dir, name, ...) [CDB_##id] = 0 __VA_ARGS__,
#define X(id, byte, shift, bits)               | PART(LOW(byte, shift, bits), bits, BASE(0))
static const uint64_t legal_0[CDB_COMMAND_COUNT] = {CDB_COMMAND_LIST(C)};
#undef X
#define X(id, byte, shift, bits) | PART(LOW(byte, shift, bits), bits, BASE(1))
static const uint64_t legal_1[CDB_COMMAND_COUNT] = {CDB_COMMAND_LIST(C)};
#undef X
#define X(id, byte, shift, bits) | PART(LOW(byte, shift, bits), bits, BASE(2))
static const uint64_t legal_2[CDB_COMMAND_COUNT] = {CDB_COMMAND_LIST(C)};
#undef X
#define X(id, byte, shift, bits) | PART(LOW(byte, shift, bits), bits, BASE(3))
static const uint64_t legal_3[CDB_COMMAND_COUNT] = {CDB_COMMAND_LIST(C)};
#undef X
#undef I
#undef C
static const uint64_t *const legal[WORDS] = {legal_0, legal_1, legal_2, legal_3};

/* Of the commands that read or write blocks, the bits that say where and how many: with all others zero, a
 * command asks for nothing else. */
#define I(id, byte, shift, bits)               X(id, byte, shift, bits)
#define C(id, opcode, sa, len, dir, name, ...) [CDB_##id] = 0 __VA_ARGS__,
#define WHERE(id)                              (CDB_F_##id == CDB_F_LBA || CDB_F_##id == CDB_F_COUNT)
#define X(id, byte, shift, bits)               | (WHERE(id) ? PART(LOW(byte, shift, bits), bits, BASE(0)) : 0)
static const uint64_t where_0[CDB_COMMAND_COUNT] = {CDB_COMMAND_LIST(C)};
#undef X
#define X(id, byte, shift, bits) | (WHERE(id) ? PART(LOW(byte, shift, bits), bits, BASE(1)) : 0)
static const uint64_t where_1[CDB_COMMAND_COUNT] = {CDB_COMMAND_LIST(C)};
#undef X
#undef I
#undef C

/* Where each field of each command lies: looked up several times for every command. */
struct cdb_place {
    uint8_t byte, shift, bits; /* bits 0: the command has no such field */
};
#define I(id, byte, shift, bits)               X(id, byte, shift, bits)
#define C(id, opcode, sa, len, dir, name, ...) [CDB_##id] = {__VA_ARGS__},
#define X(id, byte, shift, bits)               [CDB_F_##id] = {byte, shift, bits},
static const struct cdb_place places[CDB_COMMAND_COUNT][CDB_FIELD_COUNT] = {CDB_COMMAND_LIST(C)};
#undef X
#undef I
#undef C

static const char *const field_names[CDB_FIELD_COUNT] = {
#define F(id, name) name,
    CDB_FIELD_LIST(F)
#undef F
};

/* Opcode to first row + 1; the rows of one opcode are neighbours. Opcodes with service actions have several
 * rows. */
static const uint8_t opcode_row[256] = {
    [0x00] = CDB_TEST_UNIT_READY + 1,  [0x03] = CDB_REQUEST_SENSE + 1,   [0x08] = CDB_READ_6 + 1,
    [0x0a] = CDB_WRITE_6 + 1,          [0x12] = CDB_INQUIRY + 1,         [0x15] = CDB_MODE_SELECT_6 + 1,
    [0x1a] = CDB_MODE_SENSE_6 + 1,     [0x1b] = CDB_START_STOP_UNIT + 1, [0x1e] = CDB_PREVENT_ALLOW + 1,
    [0x25] = CDB_READ_CAPACITY_10 + 1, [0x28] = CDB_READ_10 + 1,         [0x2a] = CDB_WRITE_10 + 1,
    [0x2e] = CDB_WRITE_VERIFY_10 + 1,  [0x2f] = CDB_VERIFY_10 + 1,       [0x35] = CDB_SYNC_CACHE_10 + 1,
    [0x41] = CDB_WRITE_SAME_10 + 1,    [0x42] = CDB_UNMAP + 1,           [0x55] = CDB_MODE_SELECT_10 + 1,
    [0x53] = CDB_XDWRITEREAD_10 + 1,   [0x7f] = CDB_XDWRITEREAD_32 + 1,  [0x5a] = CDB_MODE_SENSE_10 + 1,
    [0x88] = CDB_READ_16 + 1,          [0x8a] = CDB_WRITE_16 + 1,        [0x8e] = CDB_WRITE_VERIFY_16 + 1,
    [0x8f] = CDB_VERIFY_16 + 1,        [0x91] = CDB_SYNC_CACHE_16 + 1,   [0x93] = CDB_WRITE_SAME_16 + 1,
    [0x9e] = CDB_READ_CAPACITY_16 + 1, [0xa0] = CDB_REPORT_LUNS + 1,     [0xa3] = CDB_REPORT_OPCODES + 1,
    [0xa8] = CDB_READ_12 + 1,          [0xaa] = CDB_WRITE_12 + 1,        [0xae] = CDB_WRITE_VERIFY_12 + 1,
    [0xaf] = CDB_VERIFY_12 + 1,
};

/* Rows of one opcode lie together. */
const struct cdb_def *cdb_find_code(uint8_t opcode, int service_action)
{
    uint8_t row = opcode_row[opcode];
    if (!row)
        return NULL;
    for (unsigned i = row - 1u; i < CDB_COMMAND_COUNT && cdb_defs[i].opcode == opcode; i++) {
        if (cdb_defs[i].service_action == service_action)
            return &cdb_defs[i];
    }
    return NULL;
}

int cdb_service_action(const uint8_t *bytes, size_t len)
{
    if (bytes[0] == CDB_VARIABLE)
        return len < 10 ? 0 : be16_get(bytes + 8);
    return len < 2 ? 0 : bytes[1] & 0x1f;
}

const struct cdb_def *cdb_find(const uint8_t *bytes, size_t len, bool *opcode_known)
{
    uint8_t row = opcode_row[bytes[0]];
    if (opcode_known)
        *opcode_known = row != 0;
    if (!row)
        return NULL;
    const struct cdb_def *def = &cdb_defs[row - 1];
    if (def->service_action == CDB_NO_SA)
        return def;
    return cdb_find_code(bytes[0], cdb_service_action(bytes, len));
}

const struct cdb_field *cdb_field(const struct cdb_def *def, enum cdb_field_id id)
{
    for (uint8_t i = 0; i < def->field_count; i++) {
        if (def->fields[i].id == id)
            return &def->fields[i];
    }
    return NULL;
}

static inline uint64_t place_get(const uint8_t *bytes, struct cdb_place p)
{
    if (p.shift == 0) {
        switch (p.bits) {
        case 0:
            return 0;
        case 8:
            return bytes[p.byte];
        case 16:
            return be16_get(bytes + p.byte);
        case 32:
            return be32_get(bytes + p.byte);
        case 64:
            return be64_get(bytes + p.byte);
        default:
            break;
        }
    }
    const struct scsi_field f = {.byte = p.byte, .shift = p.shift, .bits = p.bits};
    return scsi_field_get(bytes, &f);
}

uint64_t cdb_get(const struct cdb_def *def, const uint8_t *bytes, enum cdb_field_id id)
{
    return place_get(bytes, places[def->command][id]);
}

bool cdb_plain_blocks(const uint8_t *bytes, enum cdb_direction *direction, uint64_t *lba, uint32_t *blocks)
{
    uint64_t first = be64_get(bytes) & UINT64_MAX >> 8; /* the opcode is no field */
    uint64_t second = be64_get(bytes + 8);
    switch (opcode_row[bytes[0]]) {
/* Each with its row of the tables, so that the compiler reads them. */
#define PLAIN(id)                                                                                            \
    case CDB_##id + 1:                                                                                       \
        *direction = cdb_defs[CDB_##id].direction;                                                           \
        *lba = place_get(bytes, places[CDB_##id][CDB_F_LBA]);                                                \
        *blocks = (uint32_t)place_get(bytes, places[CDB_##id][CDB_F_COUNT]);                                 \
        return !((first & ~where_0[CDB_##id]) | (second & ~where_1[CDB_##id]));
        PLAIN(READ_10)
        PLAIN(READ_12)
        PLAIN(READ_16)
        PLAIN(WRITE_10)
        PLAIN(WRITE_12)
        PLAIN(WRITE_16)
#undef PLAIN
    default:
        return false;
    }
}

bool cdb_set(const struct cdb_def *def, uint8_t *bytes, enum cdb_field_id id, uint64_t value)
{
    const struct cdb_field *f = cdb_field(def, id);
    if (!f || value > scsi_field_max(&f->place))
        return false;
    scsi_field_put(bytes, &f->place, value);
    return true;
}

/* What a CDB's buffer has room for: see cdb_build. */
static size_t room(const struct cdb_def *def)
{
    return def->len > CDB_LEN_FIXED ? CDB_LEN_MAX : CDB_LEN_FIXED;
}

size_t cdb_build(enum cdb_command command, const struct cdb_value *values, size_t count, uint8_t *out)
{
    const struct cdb_def *def = &cdb_defs[command];
    uint8_t bytes[CDB_LEN_MAX] = {def->opcode};
    if (def->service_action != CDB_NO_SA)
        cdb_set(def, bytes, CDB_F_SA, (uint64_t)def->service_action);
    cdb_set(def, bytes, CDB_F_ADDITIONAL_LEN, def->len - 8u); /* where there is one */
    for (size_t i = 0; i < count; i++) {
        if (!cdb_set(def, bytes, values[i].id, values[i].value))
            return 0;
    }
    memcpy(out, bytes, room(def));
    return def->len;
}

/* FUA stands in both forms. */
static size_t build_block(enum cdb_command ten, enum cdb_command sixteen, uint64_t lba, uint32_t blocks,
                          bool fua, uint8_t *out)
{
    enum cdb_command command = lba <= UINT32_MAX && blocks <= UINT16_MAX ? ten : sixteen;
    return CDB_BUILD(command, out, {CDB_F_LBA, lba}, {CDB_F_COUNT, blocks}, {CDB_F_FUA, fua});
}

size_t cdb_build_read(uint64_t lba, uint32_t blocks, bool fua, uint8_t out[CDB_LEN_FIXED])
{
    return build_block(CDB_READ_10, CDB_READ_16, lba, blocks, fua, out);
}

size_t cdb_build_write(uint64_t lba, uint32_t blocks, bool fua, uint8_t out[CDB_LEN_FIXED])
{
    return build_block(CDB_WRITE_10, CDB_WRITE_16, lba, blocks, fua, out);
}

uint32_t cdb_blocks(const struct cdb_def *def, const uint8_t *bytes)
{
    uint32_t blocks = (uint32_t)cdb_get(def, bytes, CDB_F_COUNT);
    bool six = def->command == CDB_READ_6 || def->command == CDB_WRITE_6;
    return six && blocks == 0 ? 256 : blocks;
}

void cdb_usage(const struct cdb_def *def, uint8_t *out)
{
    memset(out, 0, room(def));
    out[0] = def->opcode;
    for (uint8_t i = 0; i < def->field_count; i++) {
        const struct cdb_field *f = &def->fields[i];
        if (f->id == CDB_F_SA)
            scsi_field_put(out, &f->place, (uint64_t)def->service_action);
        else if (f->id == CDB_F_CONTROL)
            out[f->place.byte] = 0x04; /* of the CONTROL byte we look at NACA alone */
        else if (!f->ignored)
            scsi_field_put(out, &f->place, UINT64_MAX);
    }
}

bool cdb_reserved_bit(const struct cdb_def *def, const uint8_t *bytes, uint16_t *byte, uint8_t *bit)
{
    uint8_t rest[CDB_LEN_MAX] = {0};
    memcpy(rest + 1, bytes + 1, def->len - 1u); /* the opcode is no field */
    uint64_t wrong_bits = 0;
    for (size_t i = 0; i < room(def) / 8; i++) {
        uint64_t word = be64_get(rest + 8 * i) & ~legal[i][def->command];
        be64_put(rest + 8 * i, word);
        wrong_bits |= word;
    }
    if (!wrong_bits)
        return false;
    for (uint16_t i = 1; i < def->len; i++) {
        uint8_t wrong = rest[i];
        if (!wrong)
            continue;
        uint8_t top = 7;
        while (!(wrong >> top & 1))
            top--;
        *byte = i;
        *bit = top;
        return true;
    }
    return false;
}

void cdb_describe(const uint8_t *bytes, size_t len, char *buf, size_t buf_len)
{
    struct scsi_text t;
    scsi_text_init(&t, buf, buf_len);
    if (len == 0)
        return;
    const struct cdb_def *def = cdb_find(bytes, len, NULL);
    const char *name =
        def ? def->name : cdb_opcode_name(bytes[0], len > 1 ? cdb_service_action(bytes, len) : CDB_NO_SA);
    if (name)
        scsi_text_add(&t, "%s", name);
    else
        scsi_text_add(&t, "opcode %02Xh", bytes[0]);
    if (!def || len < def->len)
        return;
    for (uint8_t i = 0; i < def->field_count; i++) {
        uint64_t value = scsi_field_get(bytes, &def->fields[i].place);
        if (value && def->fields[i].id != CDB_F_SA && def->fields[i].id != CDB_F_ADDITIONAL_LEN)
            scsi_text_add(&t, ", %s %" PRIu64, field_names[def->fields[i].id], value);
    }
}
