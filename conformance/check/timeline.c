/* Pairs requests and answers by their task tags. */
#include "conformance/check/timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scsi/cdb.h"
#include "common/scsi/lun.h"
#include "common/scsi/sense.h"

static struct timeline_request **find(struct timeline *t, uint32_t itt)
{
    struct timeline_request **at = &t->open[(itt * 2654435761u) >> 24];
    while (*at && (*at)->itt != itt)
        at = &(*at)->next;
    return at;
}

static void begin(struct timeline *t, const struct streams_pdu *pdu)
{
    uint32_t itt = pdu_itt(pdu->bhs);
    struct timeline_request **slot = find(t, itt), *r = *slot;
    if (!r) {
        if (t->open_count == TIMELINE_OPEN_MAX || (r = calloc(1, sizeof *r)) == NULL)
            return;
        t->open_count++;
        *slot = r;
    }
    struct timeline_request *next = r->next;
    *r = (struct timeline_request){.next = next, .itt = itt, .opcode = pdu_opcode(pdu->bhs)};
    r->packet = pdu->first_packet;
    r->time_ns = pdu->time_ns;
    if (r->opcode == PDU_OP_scsi_command) {
        struct pdu_scsi_command command;
        pdu_scsi_command_decode(pdu->bhs, &command);
        memcpy(r->cdb, command.cdb, sizeof r->cdb);
        r->lun = command.lun;
        r->length = command.expected_data_transfer_length;
    }
}

static void describe_command(const struct timeline_request *r, struct timeline_entry *out)
{
    uint16_t number;
    bool well_known;
    const struct cdb_def *def = cdb_find(r->cdb, sizeof r->cdb, NULL);
    const char *name = def ? def->name : cdb_opcode_name(r->cdb[0], r->cdb[1] & 0x1f);
    out->scsi = true;
    out->lun = lun_decode(r->lun, &number, &well_known) && !well_known ? (int)number : -1;
    out->length = r->length;
    if (name)
        snprintf(out->what, sizeof out->what, "%s", name);
    else
        snprintf(out->what, sizeof out->what, "opcode %02Xh", r->cdb[0]);
    out->has_lba = def && cdb_field(def, CDB_F_LBA);
    out->lba = out->has_lba ? cdb_get(def, r->cdb, CDB_F_LBA) : 0;
}

static void describe_response(const struct streams_pdu *pdu, char *out, size_t len)
{
    struct pdu_scsi_response response;
    struct scsi_sense sense;
    char text[128];
    pdu_scsi_response_decode(pdu->bhs, &response);
    if (response.response) {
        snprintf(out, len, "iSCSI response %02Xh", response.response);
        return;
    }
    snprintf(out, len, "%s", scsi_status_name(response.status));
    if (!pdu->data || pdu->data_len < 2)
        return;
    uint32_t sense_len = be16_get(pdu->data);
    sense_len = sense_len < pdu->data_len - 2 ? sense_len : pdu->data_len - 2;
    if (!sense_parse(pdu->data + 2, sense_len, &sense))
        return;
    sense_describe(&sense, text, sizeof text);
    snprintf(out, len, "%s, %s", scsi_status_name(response.status), text);
}

static void describe_answer(const struct streams_pdu *pdu, char *out, size_t len)
{
    const uint8_t *bhs = pdu->bhs;
    switch (pdu_opcode(bhs)) {
    case PDU_OP_scsi_response:
        describe_response(pdu, out, len);
        break;
    case PDU_OP_data_in:
        snprintf(out, len, "%s", scsi_status_name(bhs[3]));
        break;
    case PDU_OP_login_response:
        snprintf(out, len, "status %02x%02x", bhs[36], bhs[37]);
        break;
    case PDU_OP_task_management_response:
    case PDU_OP_logout_response:
        snprintf(out, len, "response %u", bhs[2]);
        break;
    case PDU_OP_reject:
        snprintf(out, len, "rejected, reason %02Xh", bhs[2]);
        break;
    default:
        snprintf(out, len, "answered");
    }
}

/* Which task the PDU ends, if any. */
static bool ends(const struct streams_pdu *pdu, uint32_t *itt)
{
    *itt = pdu_itt(pdu->bhs);
    switch (pdu_opcode(pdu->bhs)) {
    case PDU_OP_data_in:
        return pdu->bhs[1] & 0x01; /* S: it carries the status */
    case PDU_OP_reject:
        if (!pdu->data || pdu->data_len < PDU_BHS_LEN)
            return false;
        *itt = pdu_itt(pdu->data); /* of the PDU that was rejected */
        return true;
    case PDU_OP_nop_in:
    case PDU_OP_scsi_response:
    case PDU_OP_task_management_response:
    case PDU_OP_login_response:
    case PDU_OP_text_response:
    case PDU_OP_logout_response:
        return *itt != PDU_TAG_RESERVED;
    default:
        return false;
    }
}

static bool is_request(const struct streams_pdu *pdu)
{
    switch (pdu_opcode(pdu->bhs)) {
    case PDU_OP_data_out:
    case PDU_OP_snack_request:
        return false;
    default:
        return pdu_itt(pdu->bhs) != PDU_TAG_RESERVED;
    }
}

bool timeline_take(struct timeline *t, const struct streams_pdu *pdu, struct timeline_entry *out)
{
    uint32_t itt;
    if (pdu->direction == TAP_TO_TARGET) {
        if (is_request(pdu))
            begin(t, pdu);
        return false;
    }
    if (!ends(pdu, &itt))
        return false;
    struct timeline_request **slot = find(t, itt), *r = *slot;
    if (!r)
        return false;
    *out = (struct timeline_entry){.lun = -1, .request_packet = r->packet, .answer_packet = pdu->packet};
    out->begin_ns = r->time_ns;
    out->latency_ns = pdu->time_ns > r->time_ns ? pdu->time_ns - r->time_ns : 0;
    snprintf(out->what, sizeof out->what, "%s", pdu_name(r->opcode));
    if (r->opcode == PDU_OP_scsi_command)
        describe_command(r, out);
    describe_answer(pdu, out->status, sizeof out->status);
    *slot = r->next;
    t->open_count--;
    free(r);
    return true;
}

void timeline_free(struct timeline *t)
{
    for (uint32_t i = 0; i < TIMELINE_BUCKETS; i++) {
        while (t->open[i]) {
            struct timeline_request *r = t->open[i];
            t->open[i] = r->next;
            free(r);
        }
    }
    t->open_count = 0;
}
