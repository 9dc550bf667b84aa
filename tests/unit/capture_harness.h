/* A made-up session for the tests of capturing and reading: the bytes of both directions, PDU by PDU. */
#ifndef LUNETTE_TESTS_CAPTURE_HARNESS_H
#define LUNETTE_TESTS_CAPTURE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/capture/tap.h"
#include "common/iscsi/digest.h"
#include "common/iscsi/pdu.h"

#define TALK_PDUS_MAX 256
#define TALK_DATA_MAX (1u << 20)

struct talk_pdu {
    enum tap_direction d;
    uint32_t at, len; /* in bytes[] */
};

struct talk { /* one connection, in the order of the PDUs */
    struct talk_pdu pdu[TALK_PDUS_MAX];
    int count;
    uint8_t *bytes;
    uint32_t len;
    bool header_digest, data_digest; /* in force */
};

static inline uint64_t talk_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline void talk_add(struct talk *t, enum tap_direction d, uint8_t *bhs, const void *data,
                            uint32_t data_len)
{
    bool login = pdu_opcode(bhs) == PDU_OP_login_request || pdu_opcode(bhs) == PDU_OP_login_response;
    if (!t->bytes)
        t->bytes = malloc(TALK_DATA_MAX);
    assert_true(t->count < TALK_PDUS_MAX && t->len + data_len + 64 < TALK_DATA_MAX);
    struct talk_pdu *p = &t->pdu[t->count++];
    *p = (struct talk_pdu){d, t->len, 0};
    uint8_t *at = t->bytes + t->len;
    be24_put(bhs + 5, data_len);
    memcpy(at, bhs, PDU_BHS_LEN);
    uint32_t n = PDU_BHS_LEN;
    if (t->header_digest && !login) {
        digest_put(at + n, digest_crc32c(at, n));
        n += PDU_DIGEST_LEN;
    }
    if (data_len) {
        uint32_t padded = data_len + pdu_pad_len(data_len);
        memset(at + n, 0, padded);
        memcpy(at + n, data, data_len);
        if (t->data_digest && !login)
            digest_put(at + n + padded, digest_crc32c(at + n, padded));
        n += padded + (t->data_digest && !login ? PDU_DIGEST_LEN : 0);
    }
    p->len = n;
    t->len += n;
}

#define TALK_INITIATOR "iqn.2026-01.org.lunette:somebody"
#define TALK_TARGET    "iqn.2026-01.org.lunette:disk"
#define TALK_CHALLENGE "0x00112233445566778899aabbccddeeff"
#define TALK_RESPONSE  "0bq83vEjRWeJCrze8SNFZ4kA=="

/* A login with CHAP keys, then `commands` commands with data both ways, then a logout. */
static inline void talk_make(struct talk *t, bool header_digest, bool data_digest, unsigned commands)
{
    static const char first[] = "InitiatorName=" TALK_INITIATOR "\0TargetName=" TALK_TARGET "\0CHAP_A=5\0";
    static const char challenge[] = "CHAP_A=5\0CHAP_I=7\0CHAP_C=" TALK_CHALLENGE "\0";
    static const char answer[] = "CHAP_N=alice\0CHAP_R=" TALK_RESPONSE "\0";
    char offer[200], choice[200];
    int offer_len = snprintf(offer, sizeof offer, "HeaderDigest=CRC32C,None%cDataDigest=%s", 0,
                             data_digest ? "CRC32C" : "None") +
                    1;
    int choice_len = snprintf(choice, sizeof choice, "HeaderDigest=%s%cDataDigest=%s",
                              header_digest ? "CRC32C" : "None", 0, data_digest ? "CRC32C" : "None") +
                     1;
    uint8_t bhs[PDU_BHS_LEN], data[6000];
    uint64_t seed = 77;
    struct pdu_login_request request;
    struct pdu_login_response response;
    memset(t, 0, sizeof *t);
    pdu_login_request_init(&request);
    pdu_login_response_init(&response);
    request.itt = response.itt = 1;
    pdu_login_request_encode(&request, bhs);
    talk_add(t, TAP_TO_TARGET, bhs, first, sizeof first - 1);
    pdu_login_response_encode(&response, bhs);
    talk_add(t, TAP_TO_INITIATOR, bhs, challenge, sizeof challenge - 1);
    pdu_login_request_encode(&request, bhs);
    talk_add(t, TAP_TO_TARGET, bhs, answer, sizeof answer - 1);
    response.transit = 1;
    response.nsg = 1;
    pdu_login_response_encode(&response, bhs);
    talk_add(t, TAP_TO_INITIATOR, bhs, NULL, 0);
    request.transit = 1;
    request.csg = response.csg = 1;
    request.nsg = response.nsg = 3;
    pdu_login_request_encode(&request, bhs);
    talk_add(t, TAP_TO_TARGET, bhs, offer, (uint32_t)offer_len);
    pdu_login_response_encode(&response, bhs);
    talk_add(t, TAP_TO_INITIATOR, bhs, choice, (uint32_t)choice_len);
    t->header_digest = header_digest;
    t->data_digest = data_digest;
    for (uint32_t i = 0; i < commands; i++) {
        struct pdu_scsi_command command;
        struct pdu_data_in in;
        struct pdu_scsi_response status;
        for (size_t k = 0; k < sizeof data; k++)
            data[k] = (uint8_t)talk_random(&seed);
        pdu_scsi_command_init(&command);
        command.itt = 100 + i;
        command.final = 1;
        command.cmd_sn = 1 + i;
        command.cdb[0] = i & 1 ? 0x2a : 0x28;
        command.read = !(i & 1);
        command.write = i & 1;
        command.expected_data_transfer_length = 512;
        pdu_scsi_command_encode(&command, bhs);
        talk_add(t, TAP_TO_TARGET, bhs, data, i & 1 ? (uint32_t)(talk_random(&seed) % sizeof data) : 0);
        if (!(i & 1)) {
            pdu_data_in_init(&in);
            in.final = 1;
            in.itt = 100 + i;
            in.ttt = PDU_TAG_RESERVED;
            pdu_data_in_encode(&in, bhs);
            talk_add(t, TAP_TO_INITIATOR, bhs, data, 1 + (uint32_t)(talk_random(&seed) % (sizeof data - 1)));
        }
        pdu_scsi_response_init(&status);
        status.itt = 100 + i;
        pdu_scsi_response_encode(&status, bhs);
        talk_add(t, TAP_TO_INITIATOR, bhs, NULL, 0);
    }
    struct pdu_logout_request out;
    struct pdu_logout_response bye;
    pdu_logout_request_init(&out);
    pdu_logout_response_init(&bye);
    out.itt = bye.itt = 99;
    pdu_logout_request_encode(&out, bhs);
    talk_add(t, TAP_TO_TARGET, bhs, NULL, 0);
    pdu_logout_response_encode(&bye, bhs);
    talk_add(t, TAP_TO_INITIATOR, bhs, NULL, 0);
}

static inline void talk_free(struct talk *t)
{
    free(t->bytes);
    t->bytes = NULL;
}

/* All bytes of one direction, in order; the caller frees. */
static inline uint8_t *talk_stream(const struct talk *t, enum tap_direction d, uint32_t *len)
{
    uint8_t *out = malloc(t->len + 1);
    *len = 0;
    for (int i = 0; i < t->count; i++) {
        if (t->pdu[i].d != d)
            continue;
        memcpy(out + *len, t->bytes + t->pdu[i].at, t->pdu[i].len);
        *len += t->pdu[i].len;
    }
    return out;
}

static inline struct io_addr talk_addr(int family, uint8_t last, uint16_t port)
{
    struct io_addr addr = {.family = (uint8_t)family, .port = port};
    if (family == 4)
        memcpy(addr.ip, (uint8_t[]){192, 0, 2, last}, 4);
    else
        memcpy(addr.ip, (uint8_t[]){0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last}, 16);
    return addr;
}

#endif
