/* Good conversations: what two correct peers say. Lengths are small so that every limit is met: 1024 bytes in
 * a PDU, 2048 in the first burst, 4096 in a burst. */
#ifndef LUNETTE_TESTS_REFEREE_GOOD_H
#define LUNETTE_TESTS_REFEREE_GOOD_H

#include "tests/unit/referee_talk.h"

#define GOOD_LUN 0x0001000000000000u

#define GOOD_NAMES    "InitiatorName=iqn.2004-10.org.example:host|TargetName=iqn.2004-10.org.example:disk|"
#define GOOD_SECURITY GOOD_NAMES "SessionType=Normal|AuthMethod=CHAP,None|"
#define GOOD_KEYS                                                                                            \
    "HeaderDigest=CRC32C,None|DataDigest=CRC32C,None|MaxConnections=4|InitialR2T=No|ImmediateData=Yes|"      \
    "MaxRecvDataSegmentLength=1024|MaxBurstLength=4096|FirstBurstLength=2048|DefaultTime2Wait=2|"            \
    "DefaultTime2Retain=20|MaxOutstandingR2T=2|DataPDUInOrder=Yes|DataSequenceInOrder=Yes|"                  \
    "ErrorRecoveryLevel=2|"                                                                                  \
    "TaskReporting=RFC3720,ResponseFence,FastAbort|iSCSIProtocolLevel=2|X-org.example.colour=blue|"          \
    "IFMarkInt=2048~8192|OFMarker=No|"
#define GOOD_ANSWERS                                                                                         \
    "HeaderDigest=None|DataDigest=None|MaxConnections=4|InitialR2T=No|ImmediateData=Yes|"                    \
    "MaxBurstLength=4096|FirstBurstLength=2048|DefaultTime2Wait=2|DefaultTime2Retain=20|MaxOutstandingR2T="  \
    "2|"                                                                                                     \
    "ErrorRecoveryLevel=0|TaskReporting=RFC3720|iSCSIProtocolLevel=1|"                                       \
    "X-org.example.colour=NotUnderstood|IFMarkInt=Reject|OFMarker=Reject|MaxRecvDataSegmentLength=1024|"

/* ---- logins ---- */

static struct turn *login_ask(struct talk *k, unsigned conn, unsigned csg, unsigned nsg, bool transit,
                              const char *pairs)
{
    struct turn *t = request(k, conn, PDU_OP_login_request, 0x10, true);
    put(t, "csg", csg);
    put(t, "nsg", transit ? nsg : 0);
    put(t, "transit", transit);
    put(t, "cid", conn + 1);
    put(t, "tsih", conn ? k->tsih : 0);
    t->bhs[8] = 0x80; /* random ISID */
    t->bhs[13] = 1;
    text(t, pairs);
    return t;
}

static struct turn *login_say(struct talk *k, unsigned conn, unsigned csg, unsigned nsg, bool transit,
                              const char *pairs)
{
    struct turn *t = response(k, conn, PDU_OP_login_response, 0x10, true);
    put(t, "csg", csg);
    put(t, "nsg", transit ? nsg : 0);
    put(t, "transit", transit);
    t->bhs[8] = 0x80;
    t->bhs[13] = 1;
    if (transit && nsg == 3)
        k->tsih = 7;
    put(t, "tsih", conn || (transit && nsg == 3) ? 7 : 0);
    text(t, pairs);
    if (transit && nsg == 3)
        k->full[conn] = true;
    return t;
}

static void begin(struct talk *k)
{
    memset(k, 0, sizeof *k);
    k->cmd_sn = 100;
    k->stat_sn[0] = 5000;
    k->stat_sn[1] = 9000;
    k->stat_sn[2] = 12000;
}

static void login(struct talk *k, unsigned conn, const char *answers)
{
    login_ask(k, conn, 0, 1, true, conn ? GOOD_NAMES "AuthMethod=CHAP,None|" : GOOD_SECURITY);
    login_say(k, conn, 0, 1, true, "TargetPortalGroupTag=1|AuthMethod=None|");
    if (conn) {
        login_ask(k, conn, 1, 3, true, "HeaderDigest=CRC32C,None|MaxRecvDataSegmentLength=1024|");
        login_say(k, conn, 1, 3, true, "HeaderDigest=None|MaxRecvDataSegmentLength=1024|");
        return;
    }
    login_ask(k, conn, 1, 3, true, GOOD_KEYS);
    login_say(k, conn, 1, 3, true, answers);
}

/* A key's answer in GOOD_ANSWERS replaced; pairs of old and new, NULL ends. */
static const char *answers_with(const char *const *changes)
{
    static char out[2048];
    strcpy(out, GOOD_ANSWERS);
    for (; changes[0]; changes += 2) {
        char *at = strstr(out, changes[0]);
        assert_non_null(at);
        size_t old_len = strlen(changes[0]), new_len = strlen(changes[1]);
        memmove(at + new_len, at + old_len, strlen(at + old_len) + 1);
        memcpy(at, changes[1], new_len);
    }
    return out;
}

/* ---- pieces of the full feature phase ---- */

static struct turn *command(struct talk *k, unsigned conn, uint32_t itt, bool read, bool write, uint32_t len)
{
    struct turn *t = request(k, conn, PDU_OP_scsi_command, itt, false);
    put(t, "final", 1);
    put(t, "read", read);
    put(t, "write", write);
    put(t, "attr", 1);
    put(t, "lun", GOOD_LUN);
    put(t, "expected_data_transfer_length", len);
    t->bhs[32] = read ? 0x28 : write ? 0x2a : 0;
    return t;
}

static struct turn *din(struct talk *k, unsigned conn, uint32_t itt, uint32_t sn, uint32_t offset,
                        uint32_t len, bool final)
{
    struct turn *t = response(k, conn, PDU_OP_data_in, itt, false);
    put(t, "data_sn", sn);
    put(t, "buffer_offset", offset);
    put(t, "final", final);
    fill(t, len);
    return t;
}

static struct turn *done(struct talk *k, unsigned conn, uint32_t itt, uint32_t data_ins)
{
    struct turn *t = response(k, conn, PDU_OP_scsi_response, itt, true);
    put(t, "exp_data_sn", data_ins);
    return t;
}

static struct turn *out(struct talk *k, unsigned conn, uint32_t itt, uint32_t ttt, uint32_t sn,
                        uint32_t offset, uint32_t len, bool final)
{
    struct turn *t = turn_new(k, conn, PDU_OP_data_out);
    put(t, "itt", itt);
    put(t, "ttt", ttt);
    put(t, "exp_stat_sn", k->stat_sn[conn]);
    put(t, "lun", ttt == PDU_TAG_RESERVED ? 0 : GOOD_LUN);
    put(t, "data_sn", sn);
    put(t, "buffer_offset", offset);
    put(t, "final", final);
    fill(t, len);
    return t;
}

static struct turn *r2t(struct talk *k, unsigned conn, uint32_t itt, uint32_t ttt, uint32_t sn,
                        uint32_t offset, uint32_t len)
{
    struct turn *t = response(k, conn, PDU_OP_r2t, itt, false);
    put(t, "ttt", ttt);
    put(t, "lun", GOOD_LUN);
    put(t, "r2t_sn", sn);
    put(t, "buffer_offset", offset);
    put(t, "desired_data_transfer_length", len);
    return t;
}

/* itt 0x20: 2500 bytes in three Data-In, status in the last. */
static void read_phase_collapse(struct talk *k, uint32_t itt)
{
    command(k, 0, itt, true, false, 2500);
    din(k, 0, itt, 0, 0, 1024, false);
    din(k, 0, itt, 1, 1024, 1024, false);
    struct turn *t = din(k, 0, itt, 2, 2048, 452, true);
    put(t, "has_status", 1);
    put(t, "stat_sn", k->stat_sn[0]++);
}

/* Two bursts, a short end and a SCSI Response. */
static void read_response(struct talk *k, uint32_t itt)
{
    command(k, 0, itt, true, false, 6000);
    for (uint32_t i = 0; i < 4; i++)
        din(k, 0, itt, i, i * 1024, 1024, i == 3);
    din(k, 0, itt, 4, 4096, 904, true);
    struct turn *t = done(k, 0, itt, 5);
    put(t, "underflow", 1);
    put(t, "residual_count", 1000);
}

/* 8000 bytes: immediate, unsolicited, two R2Ts at once. */
static void write_all(struct talk *k, uint32_t itt)
{
    struct turn *t = command(k, 0, itt, false, true, 8000);
    put(t, "final", 0);
    fill(t, 512);
    out(k, 0, itt, PDU_TAG_RESERVED, 0, 512, 1024, false);
    out(k, 0, itt, PDU_TAG_RESERVED, 1, 1536, 512, true);
    r2t(k, 0, itt, 0x900, 0, 2048, 4096);
    r2t(k, 0, itt, 0x901, 1, 6144, 1856);
    for (uint32_t i = 0; i < 4; i++)
        out(k, 0, itt, 0x900, i, 2048 + i * 1024, 1024, i == 3);
    out(k, 0, itt, 0x901, 0, 6144, 1024, false);
    out(k, 0, itt, 0x901, 1, 7168, 832, true);
    done(k, 0, itt, 0);
}

static void nops(struct talk *k)
{
    struct turn *t = request(k, 0, PDU_OP_nop_out, 0x30, false);
    fill(t, 65);
    t = response(k, 0, PDU_OP_nop_in, 0x30, true);
    fill(t, 65);
    t = response(k, 0, PDU_OP_nop_in, PDU_TAG_RESERVED, false);
    put(t, "ttt", 0x77);
    put(t, "lun", GOOD_LUN);
    t = request(k, 0, PDU_OP_nop_out, PDU_TAG_RESERVED, true);
    put(t, "ttt", 0x77);
    put(t, "lun", GOOD_LUN);
}

static struct turn *tmf(struct talk *k, unsigned conn, uint32_t itt, unsigned function, uint32_t ref)
{
    struct turn *t = request(k, conn, PDU_OP_task_management_request, itt, true);
    put(t, "function", function);
    put(t, "referenced_task_tag", ref);
    if (function < 6 || function == 9 || function == 10 || function == 12)
        put(t, "lun", GOOD_LUN);
    return t;
}

static struct turn *tmf_done(struct talk *k, unsigned conn, uint32_t itt, unsigned code)
{
    struct turn *t = response(k, conn, PDU_OP_task_management_response, itt, true);
    put(t, "response", code);
    return t;
}

/* A read that is aborted after its first Data-In; a reset; an abort of an immediate command. */
static void aborts(struct talk *k)
{
    uint32_t sn = k->cmd_sn;
    command(k, 0, 0x40, true, false, 3000);
    din(k, 0, 0x40, 0, 0, 1024, false);
    put(tmf(k, 0, 0x41, 1, 0x40), "ref_cmd_sn", sn);
    tmf_done(k, 0, 0x41, 0);
    tmf(k, 0, 0x42, 5, PDU_TAG_RESERVED);
    tmf_done(k, 0, 0x42, 0);
    struct turn *t = command(k, 0, 0x43, false, false, 0);
    put(t, "immediate", 1);
    put(t, "cmd_sn", --k->cmd_sn);
    put(tmf(k, 0, 0x44, 1, 0x43), "ref_cmd_sn", k->cmd_sn);
    tmf_done(k, 0, 0x44, 0);
    tmf(k, 0, 0x45, 6, PDU_TAG_RESERVED);
    tmf_done(k, 0, 0x45, 5);
    tmf(k, 0, 0x46, 8, 0x999);
    tmf_done(k, 0, 0x46, 4);
}

static struct turn *text_ask(struct talk *k, uint32_t itt, uint32_t ttt, bool final, bool more,
                             const char *pairs)
{
    struct turn *t = request(k, 0, PDU_OP_text_request, itt, false);
    put(t, "ttt", ttt);
    put(t, "final", final);
    put(t, "more", more);
    text(t, pairs);
    return t;
}

static struct turn *text_say(struct talk *k, uint32_t itt, uint32_t ttt, bool final, bool more,
                             const char *pairs)
{
    struct turn *t = response(k, 0, PDU_OP_text_response, itt, true);
    put(t, "ttt", ttt);
    put(t, "final", final);
    put(t, "more", more);
    text(t, pairs);
    return t;
}

#define TEXT_NONE PDU_TAG_RESERVED

/* A new limit, in pieces with C both ways; then the session's own target. */
static void texts(struct talk *k)
{
    text_ask(k, 0x50, TEXT_NONE, false, true, "MaxRecvDataSegm");
    text_say(k, 0x50, 0x60, false, false, "");
    text_ask(k, 0x50, 0x60, true, false, "entLength=2048|");
    text_say(k, 0x50, 0x60, false, true, "MaxRecvDataSegme");
    text_ask(k, 0x50, 0x60, true, false, "");
    text_say(k, 0x50, TEXT_NONE, true, false, "ntLength=2048|");
    text_ask(k, 0x51, TEXT_NONE, true, false, "SendTargets=|");
    text_say(k, 0x51, TEXT_NONE, true, false,
             "TargetName=iqn.2004-10.org.example:disk|TargetAddress=10.0.0.2:3260,1|TargetAddress=[2001:db8::"
             "1],1|");
}

static void async(struct talk *k, unsigned event, unsigned p1, unsigned p2, unsigned p3)
{
    struct turn *t = response(k, 0, PDU_OP_async_message, PDU_TAG_RESERVED, true);
    put(t, "async_event", event);
    put(t, "parameter1", p1);
    put(t, "parameter2", p2);
    put(t, "parameter3", p3);
    if (event == 0) {
        t->data_len = 20;
        t->data[1] = 18;
        t->data[2] = 0x70;
    }
}

/* The command is taken back and its number used again. */
static void rejected(struct talk *k)
{
    struct turn *t = command(k, 0, 0x70, true, false, 512);
    uint8_t bhs[PDU_BHS_LEN];
    memcpy(bhs, t->bhs, sizeof bhs);
    k->cmd_sn--;
    t = response(k, 0, PDU_OP_reject, PDU_TAG_RESERVED, true);
    put(t, "reason", 4);
    memcpy(t->data, bhs, sizeof bhs);
    t->data_len = sizeof bhs;
    command(k, 0, 0x71, false, false, 0);
    t = done(k, 0, 0x71, 0);
    put(t, "status", 2);
    t->data_len = 20;
    t->data[1] = 18;
    t->data[2] = 0x70;
}

static void logout(struct talk *k, unsigned conn, unsigned reason, unsigned cid)
{
    struct turn *t = request(k, conn, PDU_OP_logout_request, 0x80, true);
    put(t, "reason", reason);
    put(t, "cid", cid);
    response(k, conn, PDU_OP_logout_response, 0x80, true);
}

/* ---- the conversations ---- */

static void good_normal(struct talk *k)
{
    begin(k);
    login(k, 0, GOOD_ANSWERS);
    read_phase_collapse(k, 0x20);
    read_response(k, 0x21);
    write_all(k, 0x22);
    nops(k);
    aborts(k);
    texts(k);
    async(k, 0, 0, 0, 0);
    rejected(k);
    async(k, 1, 0, 0, 10);
    logout(k, 0, 0, 1);
}

static void good_digests(struct talk *k)
{
    static const char *const changes[] = {"HeaderDigest=None", "HeaderDigest=CRC32C", "DataDigest=None",
                                          "DataDigest=CRC32C", NULL};
    begin(k);
    k->digests = true;
    login(k, 0, answers_with(changes));
    read_phase_collapse(k, 0x20);
    write_all(k, 0x22);
    nops(k);
    logout(k, 0, 1, 1);
}

/* Nothing unsolicited, and immediate data only: the other pairs of InitialR2T and ImmediateData. */
static void solicited_write(struct talk *k, uint32_t immediate)
{
    struct turn *t = command(k, 0, 0x22, false, true, 1500);
    fill(t, immediate);
    r2t(k, 0, 0x22, 0x900, 0, immediate, 1500 - immediate);
    if (immediate) {
        out(k, 0, 0x22, 0x900, 0, immediate, 1500 - immediate, true);
    } else {
        out(k, 0, 0x22, 0x900, 0, 0, 1024, false);
        out(k, 0, 0x22, 0x900, 1, 1024, 476, true);
    }
    done(k, 0, 0x22, 0);
    logout(k, 0, 0, 1);
}

static void good_solicited(struct talk *k)
{
    static const char *const changes[] = {"InitialR2T=No", "InitialR2T=Yes", "ImmediateData=Yes",
                                          "ImmediateData=No", NULL};
    begin(k);
    login(k, 0, answers_with(changes));
    solicited_write(k, 0);
}

static void good_immediate(struct talk *k)
{
    static const char *const changes[] = {"InitialR2T=No", "InitialR2T=Yes", NULL};
    begin(k);
    login(k, 0, answers_with(changes));
    solicited_write(k, 600);
}

static void good_unsolicited(struct talk *k)
{
    static const char *const changes[] = {"ImmediateData=Yes", "ImmediateData=No", NULL};
    begin(k);
    login(k, 0, answers_with(changes));
    put(command(k, 0, 0x22, false, true, 1500), "final", 0);
    out(k, 0, 0x22, PDU_TAG_RESERVED, 0, 0, 1024, false);
    out(k, 0, 0x22, PDU_TAG_RESERVED, 1, 1024, 476, true);
    done(k, 0, 0x22, 0);
    logout(k, 0, 0, 1);
}

/* A bidirectional command with its additional headers: a CDB of 32 bytes, 1000 bytes in. */
static void good_bidi(struct talk *k)
{
    begin(k);
    login(k, 0, GOOD_ANSWERS);
    struct turn *t = command(k, 0, 0x22, true, true, 3000);
    t->bhs[32] = 0x7f;
    t->bhs[39] = 24;
    uint8_t ahs[28] = {0, 17, 1, 0};
    ahs[21] = 5;
    ahs[22] = 2;
    be32_put(ahs + 24, 1000);
    memcpy(t->ahs, ahs, sizeof ahs);
    t->ahs_len = sizeof ahs;
    fill(t, 1000);
    r2t(k, 0, 0x22, 0x900, 0, 1000, 2000);
    out(k, 0, 0x22, 0x900, 0, 1000, 1000, false);
    out(k, 0, 0x22, 0x900, 1, 2000, 1000, true);
    din(k, 0, 0x22, 1, 0, 1000, true);
    done(k, 0, 0x22, 1);
    logout(k, 0, 0, 1);
}

#define CHALLENGE_T "0x0123456789abcdef0123456789abcdef"
#define CHALLENGE_I "0xfedcba9876543210fedcba9876543210"

static void good_chap(struct talk *k)
{
    begin(k);
    login_ask(k, 0, 0, 0, false, GOOD_SECURITY);
    login_say(k, 0, 0, 0, false, "TargetPortalGroupTag=1|AuthMethod=CHAP|");
    login_ask(k, 0, 0, 0, false, "CHAP_A=7,5|");
    login_say(k, 0, 0, 0, false, "CHAP_A=5|CHAP_I=17|CHAP_C=" CHALLENGE_T "|");
    login_ask(k, 0, 0, 1, true, "CHAP_N=user|CHAP_R=" CHALLENGE_T "|CHAP_I=18|CHAP_C=" CHALLENGE_I "|");
    login_say(k, 0, 0, 1, true, "CHAP_N=disk|CHAP_R=" CHALLENGE_T "|");
    login_ask(k, 0, 1, 3, true, GOOD_KEYS);
    login_say(k, 0, 1, 3, true, GOOD_ANSWERS);
    read_phase_collapse(k, 0x20);
    logout(k, 0, 0, 1);
}

static void good_discovery(struct talk *k)
{
    begin(k);
    login_ask(k, 0, 1, 3, true,
              "InitiatorName=eui.0123456789abcdef|SessionType=Discovery|MaxRecvDataSegmentLength=1024|"
              "ErrorRecoveryLevel=2|");
    login_say(k, 0, 1, 3, true, "TargetPortalGroupTag=1|MaxRecvDataSegmentLength=1024|ErrorRecoveryLevel=0|");
    text_ask(k, 0x50, TEXT_NONE, true, false, "SendTargets=All|");
    text_say(k, 0x50, 0x60, false, true, "TargetName=iqn.2004-10.org.example:a|TargetAddress=10.0.0.2:32");
    text_ask(k, 0x50, 0x60, true, false, "");
    text_say(k, 0x50, TEXT_NONE, true, false,
             "60,1|TargetName=naa.0123456789abcdef|TargetAddress=host.example,1|");
    logout(k, 0, 0, 1);
}

/* Login texts in pieces, and proposals of the target. */
static void good_proposals(struct talk *k)
{
    struct turn *t;
    begin(k);
    t = login_ask(k, 0, 1, 0, false, GOOD_NAMES "SessionTy");
    put(t, "more", 1);
    login_say(k, 0, 1, 0, false, "");
    login_ask(k, 0, 1, 3, true, "pe=Normal|");
    t = login_say(k, 0, 1, 0, false, "TargetPortalGroupTag=1|MaxBurst");
    put(t, "more", 1);
    login_ask(k, 0, 1, 3, true, "");
    login_say(k, 0, 1, 0, false,
              "Length=8192|HeaderDigest=CRC32C|InitialR2T=No|ImmediateData=Yes|IFMarker=No|OFMarkInt=1~2|X-"
              "org.example.t=1|"
              "TaskReporting=RFC3720,ResponseFence|DefaultTime2Wait=5|");
    login_ask(k, 0, 1, 3, true,
              "MaxBurstLength=4096|HeaderDigest=Reject|InitialR2T=Yes|ImmediateData=No|IFMarker=Reject|"
              "OFMarkInt=Reject|"
              "X-org.example.t=NotUnderstood|TaskReporting=RFC3720|DefaultTime2Wait=6|");
    login_say(k, 0, 1, 3, true, "");
    logout(k, 0, 0, 1);
}

/* The target names a key in discovery that has another answer there. */
static void good_discovery_proposals(struct talk *k)
{
    begin(k);
    login_ask(k, 0, 1, 3, true, "InitiatorName=naa.0123456789abcdef|SessionType=Discovery|");
    login_say(k, 0, 1, 0, false, "TargetPortalGroupTag=1|ErrorRecoveryLevel=2|");
    login_ask(k, 0, 1, 3, true, "ErrorRecoveryLevel=0|");
    login_say(k, 0, 1, 3, true, "");
    logout(k, 0, 0, 1);
}

static void refusal(struct talk *k, unsigned class, unsigned detail, const char *pairs)
{
    begin(k);
    login_ask(k, 0, 0, 1, true, GOOD_SECURITY);
    struct turn *t = login_say(k, 0, 0, 0, false, pairs);
    put(t, "status_class", class);
    put(t, "status_detail", detail);
}

static void good_redirect(struct talk *k)
{
    refusal(k, 1, 1, "TargetAddress=10.0.0.3:3260|");
}

static void good_target_fault(struct talk *k)
{
    refusal(k, 3, 1, "");
}

#define LEVEL_2 "ErrorRecoveryLevel=0", "ErrorRecoveryLevel=2"

/* Level 1 and 2 on one connection: A bit and DataACK, SNACKs, a retry, status again. */
static void good_recovery(struct talk *k)
{
    static const char *const changes[] = {LEVEL_2, NULL};
    struct turn *t;
    begin(k);
    login(k, 0, answers_with(changes));
    command(k, 0, 0x20, true, false, 6000);
    for (uint32_t i = 0; i < 4; i++) {
        t = din(k, 0, 0x20, i, i * 1024, 1024, i == 3);
        if (i == 3) {
            put(t, "acknowledge", 1);
            put(t, "ttt", 0x500);
            put(t, "lun", GOOD_LUN);
        }
    }
    t = turn_new(k, 0, PDU_OP_snack_request); /* DataACK */
    put(t, "type", 2);
    put(t, "itt", PDU_TAG_RESERVED);
    put(t, "ttt", 0x500);
    put(t, "lun", GOOD_LUN);
    put(t, "beg_run", 4);
    put(t, "exp_stat_sn", k->stat_sn[0]);
    request(k, 0, PDU_OP_nop_out, 0x2f, true);
    response(k, 0, PDU_OP_nop_in, 0x2f, true);
    din(k, 0, 0x20, 4, 4096, 1024, false);
    din(k, 0, 0x20, 5, 5120, 880, true);
    t = turn_new(k, 0, PDU_OP_snack_request); /* Data SNACK */
    put(t, "itt", 0x20);
    put(t, "ttt", PDU_TAG_RESERVED);
    put(t, "beg_run", 4);
    put(t, "run_length", 1);
    put(t, "exp_stat_sn", k->stat_sn[0]);
    din(k, 0, 0x20, 4, 4096, 1024, false);
    done(k, 0, 0x20, 7 - 1);
    command(k, 0, 0x21, true, false, 1000);
    din(k, 0, 0x21, 0, 0, 1000, true);
    t = turn_new(k, 0, PDU_OP_snack_request); /* R-Data SNACK */
    put(t, "type", 3);
    put(t, "itt", 0x21);
    put(t, "ttt", 0x600);
    put(t, "exp_stat_sn", k->stat_sn[0]);
    din(k, 0, 0x21, 0, 0, 1000, true);
    t = done(k, 0, 0x21, 1);
    put(t, "snack_tag", 0x600);
    t = turn_new(k, 0, PDU_OP_snack_request); /* Status SNACK */
    put(t, "type", 1);
    put(t, "itt", PDU_TAG_RESERVED);
    put(t, "ttt", PDU_TAG_RESERVED);
    put(t, "beg_run", k->stat_sn[0] - 1);
    put(t, "run_length", 1);
    put(t, "exp_stat_sn", k->stat_sn[0] - 1);
    k->turns[k->count] = k->turns[k->count - 2];
    k->count++;
    command(k, 0, 0x23, false, false, 0); /* and its retry */
    k->turns[k->count] = k->turns[k->count - 1];
    k->count++;
    done(k, 0, 0x23, 0);
    logout(k, 0, 0, 1);
}

/* Two connections, one of them logged out for recovery, its task carried over. */
static void good_connections(struct talk *k)
{
    static const char *const changes[] = {LEVEL_2, NULL};
    struct turn *t;
    begin(k);
    login(k, 0, answers_with(changes));
    login(k, 1, NULL);
    command(k, 0, 0x20, false, false, 0);
    command(k, 1, 0x21, false, false, 0);
    done(k, 1, 0x21, 0);
    done(k, 0, 0x20, 0);
    command(k, 0, 0x24, false, false, 0);
    done(k, 0, 0x24, 0);
    command(k, 1, 0x22, true, false, 1000);
    din(k, 1, 0x22, 0, 0, 1000, true);
    put(command(k, 1, 0x23, false, true, 1000), "final", 1);
    r2t(k, 1, 0x23, 0x900, 0, 0, 1000);
    t = out(k, 1, 0x23, 0x900, 0, 0, 1000, true);
    done(k, 1, 0x23, 0);
    t = request(k, 0, PDU_OP_logout_request, 0x80, true);
    put(t, "reason", 2);
    put(t, "cid", 2);
    put(t, "exp_stat_sn", k->stat_sn[1]);
    response(k, 0, PDU_OP_logout_response, 0x80, true);
    tmf(k, 0, 0x81, 8, 0x22);
    tmf_done(k, 0, 0x81, 0);
    din(k, 0, 0x22, 0, 0, 1000, true);
    done(k, 0, 0x22, 1);
    logout(k, 0, 0, 1);
}

/* RFC 7144. */
static void good_level2(struct talk *k)
{
    static const char *const changes[] = {"iSCSIProtocolLevel=1", "iSCSIProtocolLevel=2",
                                          "TaskReporting=RFC3720", "TaskReporting=FastAbort", NULL};
    struct turn *t;
    begin(k);
    login(k, 0, answers_with(changes));
    uint32_t sn = k->cmd_sn;
    put(command(k, 0, 0x20, true, false, 1000), "priority", 3);
    put(tmf(k, 0, 0x41, 9, 0x20), "ref_cmd_sn", sn);
    put(tmf_done(k, 0, 0x41, 7), "additional_response", 1);
    din(k, 0, 0x20, 0, 0, 1000, true);
    t = done(k, 0, 0x20, 1);
    put(t, "status", 8);
    put(t, "status_qualifier", 5);
    tmf(k, 0, 0x42, 10, PDU_TAG_RESERVED);
    tmf_done(k, 0, 0x42, 0);
    tmf(k, 0, 0x43, 11, PDU_TAG_RESERVED);
    tmf_done(k, 0, 0x43, 0);
    tmf(k, 0, 0x44, 12, PDU_TAG_RESERVED);
    tmf_done(k, 0, 0x44, 5);
    async(k, 5, 0, 0, 0);
    t = request(k, 0, PDU_OP_nop_out, PDU_TAG_RESERVED, true);
    command(k, 0, 0x45, false, false, 0);
    done(k, 0, 0x45, 0);
    logout(k, 0, 0, 1);
}

/* A TMF that names another one. */
static void good_tmf_of_tmf(struct talk *k)
{
    static const char *const changes[] = {"iSCSIProtocolLevel=1", "iSCSIProtocolLevel=2", LEVEL_2, NULL};
    begin(k);
    login(k, 0, answers_with(changes));
    tmf(k, 0, 0x40, 5, PDU_TAG_RESERVED);
    put(tmf(k, 0, 0x41, 1, 0x40), "ref_cmd_sn", k->cmd_sn);
    tmf_done(k, 0, 0x41, 255);
    put(tmf(k, 0, 0x42, 9, 0x40), "ref_cmd_sn", k->cmd_sn);
    tmf_done(k, 0, 0x42, 255);
    tmf(k, 0, 0x43, 8, 0x40);
    tmf_done(k, 0, 0x43, 255);
    tmf_done(k, 0, 0x40, 0);
    logout(k, 0, 0, 1);
}

/* A write is ended by ABORT TASK SET after its R2T: its data comes first, or, with FastAbort, no more of it.
 */
static void task_set_ended(struct talk *k, bool fast)
{
    command(k, 0, 0x22, false, true, 1500);
    r2t(k, 0, 0x22, 0x900, 0, 0, 1500);
    if (fast)
        out(k, 0, 0x22, 0x900, 0, 0, 1024, false);
    tmf(k, 0, 0x41, 2, PDU_TAG_RESERVED);
    if (!fast)
        out(k, 0, 0x22, 0x900, 0, 0, 1000, true);
    tmf_done(k, 0, 0x41, 0);
    logout(k, 0, 0, 1);
}

static void good_task_set(struct talk *k)
{
    begin(k);
    login(k, 0, GOOD_ANSWERS);
    task_set_ended(k, false);
}

static void good_fast_abort(struct talk *k)
{
    static const char *const changes[] = {"TaskReporting=RFC3720", "TaskReporting=FastAbort", NULL};
    begin(k);
    login(k, 0, answers_with(changes));
    task_set_ended(k, true);
}

static void snack(struct talk *k, unsigned type, uint32_t itt, uint32_t beg, uint32_t run,
                  uint32_t exp_stat_sn)
{
    struct turn *t = turn_new(k, 0, PDU_OP_snack_request);
    put(t, "type", type);
    put(t, "itt", itt);
    put(t, "ttt", PDU_TAG_RESERVED);
    put(t, "beg_run", beg);
    put(t, "run_length", run);
    put(t, "exp_stat_sn", exp_stat_sn);
}

/* Data and status are asked for again; the initiator logs out with neither acknowledged. */
static void good_snacks(struct talk *k)
{
    static const char *const changes[] = {LEVEL_2, NULL};
    uint32_t stat_sn;
    begin(k);
    login(k, 0, answers_with(changes));
    command(k, 0, 0x20, true, false, 2048);
    din(k, 0, 0x20, 0, 0, 1024, false);
    din(k, 0, 0x20, 1, 1024, 1024, true);
    stat_sn = k->stat_sn[0];
    done(k, 0, 0x20, 2);
    snack(k, 0, 0x20, 0, 1, stat_sn);
    din(k, 0, 0x20, 0, 0, 1024, false);
    snack(k, 1, PDU_TAG_RESERVED, stat_sn, 1, stat_sn);
    put(done(k, 0, 0x20, 2), "stat_sn", stat_sn);
    k->stat_sn[0]--;
    put(request(k, 0, PDU_OP_nop_out, 0x2f, true), "exp_stat_sn", stat_sn);
    response(k, 0, PDU_OP_nop_in, 0x2f, true);
    logout(k, 0, 0, 1);
    put(&k->turns[k->count - 2], "exp_stat_sn", stat_sn);
}

/* Somebody else's reset ends a write: event 5 tells, a NOP-Out acknowledges it, and no more data follows. A
 * write that came before the message but after the reset goes on: the target asks for its data afterwards. */
static void good_event_5(struct talk *k)
{
    static const char *const changes[] = {"TaskReporting=RFC3720", "TaskReporting=FastAbort", NULL};
    begin(k);
    login(k, 0, answers_with(changes));
    command(k, 0, 0x22, false, true, 1500);
    r2t(k, 0, 0x22, 0x900, 0, 0, 1500);
    command(k, 0, 0x23, false, true, 2000);
    async(k, 5, 0, 0, 0);
    put(&k->turns[k->count - 1], "lun", GOOD_LUN);
    r2t(k, 0, 0x23, 0x901, 0, 0, 1000);
    out(k, 0, 0x22, 0x900, 0, 0, 1024, false);
    put(request(k, 0, PDU_OP_nop_out, PDU_TAG_RESERVED, true), "lun", GOOD_LUN);
    out(k, 0, 0x23, 0x901, 0, 0, 1000, true);
    r2t(k, 0, 0x23, 0x902, 1, 1000, 1000);
    out(k, 0, 0x23, 0x902, 0, 1000, 1000, true);
    done(k, 0, 0x23, 0);
    logout(k, 0, 0, 1);
}

/* A reset with a fence: all status is acknowledged before its response. */
static void good_fence(struct talk *k)
{
    static const char *const changes[] = {"TaskReporting=RFC3720", "TaskReporting=ResponseFence", NULL};
    begin(k);
    login(k, 0, answers_with(changes));
    login(k, 1, NULL);
    request(k, 1, PDU_OP_nop_out, PDU_TAG_RESERVED, true);
    command(k, 0, 0x20, false, false, 0);
    done(k, 0, 0x20, 0);
    tmf(k, 0, 0x41, 5, PDU_TAG_RESERVED);
    tmf_done(k, 0, 0x41, 0);
    logout(k, 0, 0, 1);
}

/* A read is taken to the other connection in the middle of its data, and loses some of it there. */
static void good_reassign(struct talk *k)
{
    static const char *const changes[] = {LEVEL_2, NULL};
    struct turn *t;
    begin(k);
    login(k, 0, answers_with(changes));
    login(k, 1, NULL);
    command(k, 1, 0x22, true, false, 3000);
    din(k, 1, 0x22, 0, 0, 1024, false);
    din(k, 1, 0x22, 1, 1024, 1024, false);
    t = request(k, 0, PDU_OP_logout_request, 0x80, true);
    put(t, "reason", 2);
    put(t, "cid", 2);
    put(t, "exp_stat_sn", k->stat_sn[1]);
    response(k, 0, PDU_OP_logout_response, 0x80, true);
    put(tmf(k, 0, 0x81, 8, 0x22), "exp_data_sn", 1);
    tmf_done(k, 0, 0x81, 0);
    din(k, 0, 0x22, 1, 1024, 1024, false);
    din(k, 0, 0x22, 2, 2048, 952, true);
    snack(k, 0, 0x22, 1, 1, k->stat_sn[0]);
    din(k, 0, 0x22, 1, 1024, 1024, false);
    done(k, 0, 0x22, 3);
    logout(k, 0, 0, 1);
}

/* A connection is lost in the middle of a write's unsolicited data, before the target has taken the command:
 * that is sent again on the other connection, with all of its unsolicited data. */
static void good_retry(struct talk *k)
{
    static const char *const changes[] = {LEVEL_2, NULL};
    struct turn *t;
    begin(k);
    login(k, 0, answers_with(changes));
    login(k, 1, NULL);
    uint32_t sn = k->cmd_sn;
    t = command(k, 1, 0x22, false, true, 3000);
    put(t, "final", 0);
    fill(t, 512);
    out(k, 1, 0x22, PDU_TAG_RESERVED, 0, 512, 1024, false);
    t = request(k, 0, PDU_OP_logout_request, 0x80, true);
    put(t, "reason", 2);
    put(t, "cid", 2);
    put(t, "exp_stat_sn", k->stat_sn[1]);
    put(response(k, 0, PDU_OP_logout_response, 0x80, true), "exp_cmd_sn", sn);
    k->cmd_sn = sn;
    t = command(k, 0, 0x22, false, true, 3000);
    put(t, "final", 0);
    fill(t, 512);
    out(k, 0, 0x22, PDU_TAG_RESERVED, 0, 512, 1024, false);
    out(k, 0, 0x22, PDU_TAG_RESERVED, 1, 1536, 512, true);
    r2t(k, 0, 0x22, 0x900, 0, 2048, 952);
    out(k, 0, 0x22, 0x900, 0, 2048, 952, true);
    done(k, 0, 0x22, 0);
    logout(k, 0, 0, 1);
}

struct good {
    const char *name;
    void (*build)(struct talk *k);
};

static const struct good goods[] = {
    {"normal", good_normal},
    {"digests", good_digests},
    {"solicited", good_solicited},
    {"immediate", good_immediate},
    {"unsolicited", good_unsolicited},
    {"bidi", good_bidi},
    {"chap", good_chap},
    {"discovery", good_discovery},
    {"proposals", good_proposals},
    {"discovery_proposals", good_discovery_proposals},
    {"redirect", good_redirect},
    {"target_fault", good_target_fault},
    {"recovery", good_recovery},
    {"connections", good_connections},
    {"level2", good_level2},
    {"tmf_of_tmf", good_tmf_of_tmf},
    {"task_set", good_task_set},
    {"fast_abort", good_fast_abort},
    {"snacks", good_snacks},
    {"event_5", good_event_5},
    {"fence", good_fence},
    {"reassign", good_reassign},
    {"retry", good_retry},
};

#endif
