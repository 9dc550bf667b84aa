/* Building, parsing and naming of sense data. */
#include "common/scsi/sense.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/scsi/field.h"

/* Descriptor types of descriptor format sense. */
enum {
    DESC_INFORMATION = 0x00,
    DESC_COMMAND_SPECIFIC = 0x01,
    DESC_SKS = 0x02,
    DESC_FRU = 0x03,
    DESC_STREAM = 0x04,
    DESC_BLOCK = 0x05
};

struct scsi_sense sense_make(enum sense_key key, enum sense_code code)
{
    return (struct scsi_sense){
        .key = (uint8_t)key, .asc = (uint8_t)(code >> 8), .ascq = (uint8_t)(code & 0xff)};
}

void sense_point(struct scsi_sense *sense, bool in_cdb, uint16_t byte, int bit)
{
    sense->has_sks = true;
    sense->sks[0] = (uint8_t)(0x80 | (in_cdb ? 0x40 : 0) | (bit >= 0 ? 0x08 | (bit & 7) : 0));
    be16_put(&sense->sks[1], byte);
}

bool sense_pointer(const struct scsi_sense *sense, bool *in_cdb, uint16_t *byte, int *bit)
{
    /* SKS means a field pointer with ILLEGAL REQUEST only. */
    if (!sense->has_sks || sense->key != SENSE_ILLEGAL_REQUEST)
        return false;
    *in_cdb = sense->sks[0] & 0x40;
    *byte = be16_get(&sense->sks[1]);
    *bit = sense->sks[0] & 0x08 ? sense->sks[0] & 7 : -1;
    return true;
}

/* Always 18 bytes: initiators commonly read exactly that many. */
static size_t build_fixed(const struct scsi_sense *s, uint8_t *out)
{
    memset(out, 0, SENSE_FIXED_LEN);
    out[0] = s->deferred ? 0x71 : 0x70;
    out[2] = (uint8_t)((s->key & 0xf) | (s->filemark ? 0x80 : 0) | (s->eom ? 0x40 : 0) | (s->ili ? 0x20 : 0));
    if (s->has_information && s->information <= UINT32_MAX) {
        out[0] |= 0x80;
        be32_put(&out[3], (uint32_t)s->information);
    }
    out[7] = SENSE_FIXED_LEN - 8;
    if (s->has_command_specific && s->command_specific <= UINT32_MAX)
        be32_put(&out[8], (uint32_t)s->command_specific);
    out[12] = s->asc;
    out[13] = s->ascq;
    out[14] = s->fru;
    if (s->has_sks)
        memcpy(&out[15], s->sks, 3);
    return SENSE_FIXED_LEN;
}

/* The two descriptors that carry a 64-bit number have one shape. */
static size_t put_number(uint8_t *out, uint8_t type, uint64_t value)
{
    memset(out, 0, 12);
    out[0] = type;
    out[1] = 0x0a;
    out[2] = type == DESC_INFORMATION ? 0x80 : 0;
    be64_put(&out[4], value);
    return 12;
}

static size_t build_descriptor(const struct scsi_sense *s, uint8_t *out)
{
    size_t at = 8;
    memset(out, 0, SENSE_BUILD_MAX);
    out[0] = s->deferred ? 0x73 : 0x72;
    out[1] = s->key & 0xf;
    out[2] = s->asc;
    out[3] = s->ascq;
    if (s->has_information)
        at += put_number(&out[at], DESC_INFORMATION, s->information);
    if (s->has_command_specific)
        at += put_number(&out[at], DESC_COMMAND_SPECIFIC, s->command_specific);
    if (s->has_sks) {
        out[at] = DESC_SKS;
        out[at + 1] = 6;
        memcpy(&out[at + 4], s->sks, 3);
        at += 8;
    }
    if (s->fru) {
        out[at] = DESC_FRU;
        out[at + 1] = 2;
        out[at + 3] = s->fru;
        at += 4;
    }
    if (s->filemark || s->eom || s->ili) {
        out[at] = DESC_STREAM;
        out[at + 1] = 2;
        out[at + 3] = (uint8_t)((s->filemark ? 0x80 : 0) | (s->eom ? 0x40 : 0) | (s->ili ? 0x20 : 0));
        at += 4;
    }
    out[7] = (uint8_t)(at - 8);
    return at;
}

size_t sense_build(const struct scsi_sense *sense, bool descriptor, uint8_t out[SENSE_BUILD_MAX])
{
    return descriptor ? build_descriptor(sense, out) : build_fixed(sense, out);
}

/* `len` is what is there of the descriptor, perhaps less than it says. */
static void parse_one(struct scsi_sense *s, const uint8_t *d, size_t len)
{
    switch (d[0]) {
    case DESC_INFORMATION:
        if (len >= 12 && d[2] & 0x80) {
            s->has_information = true;
            s->information = be64_get(&d[4]);
        }
        break;
    case DESC_COMMAND_SPECIFIC:
        if (len >= 12) {
            s->has_command_specific = true;
            s->command_specific = be64_get(&d[4]);
        }
        break;
    case DESC_SKS:
        if (len >= 7 && d[4] & 0x80) {
            s->has_sks = true;
            memcpy(s->sks, &d[4], 3);
        }
        break;
    case DESC_FRU:
        if (len >= 4)
            s->fru = d[3];
        break;
    case DESC_STREAM:
    case DESC_BLOCK: /* of which ILI is at the same place */
        if (len >= 4) {
            s->filemark = d[0] == DESC_STREAM && d[3] & 0x80;
            s->eom = d[0] == DESC_STREAM && d[3] & 0x40;
            s->ili = d[3] & 0x20;
        }
        break;
    default: /* other descriptors say nothing that we act on */
        break;
    }
}

static void parse_descriptors(const uint8_t *data, size_t len, struct scsi_sense *s)
{
    s->key = data[1] & 0xf;
    s->asc = len > 2 ? data[2] : 0;
    s->ascq = len > 3 ? data[3] : 0;
    if (len < 8)
        return;
    size_t end = 8u + data[7] < len ? 8u + data[7] : len;
    for (size_t at = 8; at + 2 <= end;) {
        size_t size = 2u + data[at + 1];
        parse_one(s, &data[at], size < end - at ? size : end - at);
        at += size;
    }
}

/* ADDITIONAL SENSE LENGTH may be shorter than the buffer, or tell more than came. */
static void parse_fixed(const uint8_t *data, size_t len, struct scsi_sense *s)
{
    size_t end = len > 7 && 8u + data[7] < len ? 8u + data[7] : len;
    s->key = data[2] & 0xf;
    s->filemark = data[2] & 0x80;
    s->eom = data[2] & 0x40;
    s->ili = data[2] & 0x20;
    if (end >= 7 && data[0] & 0x80) {
        s->has_information = true;
        s->information = be32_get(&data[3]);
    }
    if (end >= 12 && be32_get(&data[8])) {
        s->has_command_specific = true;
        s->command_specific = be32_get(&data[8]);
    }
    s->asc = end > 12 ? data[12] : 0;
    s->ascq = end > 13 ? data[13] : 0;
    s->fru = end > 14 ? data[14] : 0;
    if (end >= 18 && data[15] & 0x80) {
        s->has_sks = true;
        memcpy(s->sks, &data[15], 3);
    }
}

bool sense_parse(const uint8_t *data, size_t len, struct scsi_sense *out)
{
    if (len < 3)
        return false;
    uint8_t code = data[0] & 0x7f;
    if (code < 0x70 || code > 0x73)
        return false;
    struct scsi_sense s = {.deferred = code & 1, .descriptor = code >= 0x72};
    if (s.descriptor)
        parse_descriptors(data, len, &s);
    else
        parse_fixed(data, len, &s);
    *out = s;
    return true;
}

const char *scsi_status_name(uint8_t status)
{
    switch (status) {
    case SCSI_STATUS_GOOD:
        return "GOOD";
    case SCSI_STATUS_CHECK_CONDITION:
        return "CHECK CONDITION";
    case SCSI_STATUS_CONDITION_MET:
        return "CONDITION MET";
    case SCSI_STATUS_BUSY:
        return "BUSY";
    case SCSI_STATUS_RESERVATION_CONFLICT:
        return "RESERVATION CONFLICT";
    case SCSI_STATUS_TASK_SET_FULL:
        return "TASK SET FULL";
    case SCSI_STATUS_ACA_ACTIVE:
        return "ACA ACTIVE";
    case SCSI_STATUS_TASK_ABORTED:
        return "TASK ABORTED";
    default:
        return "unknown status";
    }
}

const char *sense_key_name(uint8_t key)
{
    static const char *const names[16] = {
        "NO SENSE",       "RECOVERED ERROR", "NOT READY",      "MEDIUM ERROR",
        "HARDWARE ERROR", "ILLEGAL REQUEST", "UNIT ATTENTION", "DATA PROTECT",
        "BLANK CHECK",    "VENDOR SPECIFIC", "COPY ABORTED",   "ABORTED COMMAND",
        "EQUAL",          "VOLUME OVERFLOW", "MISCOMPARE",     "COMPLETED",
    };
    return names[key & 0xf];
}

/* Binary search; the list is sorted, which a unit test checks. */
const char *sense_asc_name(uint8_t asc, uint8_t ascq)
{
    size_t low = 0, high = sense_asc_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct sense_asc_row *row = &sense_asc_rows[mid];
        if (row->asc == asc && row->ascq == ascq)
            return row->name;
        if (row->asc < asc || (row->asc == asc && row->ascq < ascq))
            low = mid + 1;
        else
            high = mid;
    }
    if (asc == 0x40)
        return "DIAGNOSTIC FAILURE ON COMPONENT NN";
    if (asc == 0x4d)
        return "TAGGED OVERLAPPED COMMANDS";
    if (asc == 0x70)
        return "DECOMPRESSION EXCEPTION SHORT ALGORITHM ID";
    return NULL;
}

void sense_describe(const struct scsi_sense *sense, char *buf, size_t len)
{
    struct scsi_text t;
    scsi_text_init(&t, buf, len);
    const char *name = sense_asc_name(sense->asc, sense->ascq);
    scsi_text_add(&t, "%s%s: %s (%02x/%02x/%02x)", sense->deferred ? "deferred " : "",
                  sense_key_name(sense->key), name ? name : "unlisted additional sense code", sense->key,
                  sense->asc, sense->ascq);
    bool in_cdb;
    uint16_t byte;
    int bit;
    if (sense_pointer(sense, &in_cdb, &byte, &bit)) {
        scsi_text_add(&t, ", field in %s byte %u", in_cdb ? "CDB" : "parameter list", byte);
        if (bit >= 0)
            scsi_text_add(&t, " bit %d", bit);
    }
    if (sense->has_information)
        scsi_text_add(&t, ", information 0x%" PRIx64, sense->information);
}
