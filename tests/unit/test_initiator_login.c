/* The initiator engine's login: what it sends, what it accepts, and how it says no.
 *
 * Goal: every stage, CHAP in both directions with every hash, both directions of the C bit, redirection; and
 * that each wrong answer of a target ends the login with a sentence and CLOSED. Method: a scripted target
 * (initiator_harness.h). */
#include "tests/unit/initiator_login.h"

/* ---- tests ---- */

static void first_request_declares_who_and_what(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_begin(r);
    struct rig_pdu *pdu = rig_take(r, PDU_OP_login_request);
    struct pdu_login_request first = decoded(pdu);
    assert_int_equal(pdu->bhs[0], 0x43);
    assert_true(first.transit && !first.more);
    assert_int_equal(first.csg, 0);
    assert_int_equal(first.nsg, 1);
    assert_int_equal(first.version_min, 0);
    assert_int_equal(first.version_max, 0);
    assert_int_equal(first.tsih, 0);
    assert_memory_equal(first.isid, r->options.isid, 6);
    assert_true(has_pair(pdu, "InitiatorName=" RIG_INITIATOR));
    assert_true(has_pair(pdu, "TargetName=" RIG_TARGET));
    assert_true(has_pair(pdu, "AuthMethod=None"));
    assert_true(rig_quiet(r)); /* one request at a time */
    struct pdu_login_response ok = rig_login_response(r, pdu, true);
    RIG_SEND(r, login_response, &ok, "AuthMethod=None\0TargetPortalGroupTag=1", 39);

    pdu = rig_take(r, PDU_OP_login_request);
    struct pdu_login_request second = decoded(pdu);
    assert_true(second.transit);
    assert_int_equal(second.csg, 1);
    assert_int_equal(second.nsg, 3);
    assert_int_equal(second.itt, first.itt);
    assert_int_equal(second.cid, first.cid);
    assert_int_equal(second.cmd_sn, first.cmd_sn);
    assert_int_equal(second.tsih, 0);
    assert_int_equal(second.exp_stat_sn, r->stat_sn);
    assert_null(value_of(pdu, "InitiatorName"));
    assert_null(value_of(pdu, "TargetName"));
    assert_non_null(value_of(pdu, "HeaderDigest"));
    assert_non_null(value_of(pdu, "MaxRecvDataSegmentLength"));
    ok = rig_login_response(r, pdu, true);
    RIG_SEND(r, login_response, &ok, NULL, 0);
    rig_event(r, INI_EVENT_LOGGED_IN);
    assert_true(rig_quiet(r));

    struct rig_command rc; /* the first command carries the login's CmdSN */
    rig_command(r, &rc, false, 0, 0);
    rig_submit(r, &rc);
    struct pdu_scsi_command command = rig_take_command(r);
    assert_int_equal(command.cmd_sn, first.cmd_sn);
    rig_free(r);
    assert_int_equal(rc.reported, 1);
    rig_command_fini(&rc);
    PROVES("R7143-6.3-01", "initiator");
    PROVES("R7143-6.3-02", "initiator");
    PROVES("R7143-6.3-05", "initiator");
    PROVES("R7143-6.3-07", "initiator");
    PROVES("R7143-6.3-09", "initiator");
    PROVES("R7143-6.3-11", "initiator");
    PROVES("R7143-6.3-18", "initiator");
    PROVES("R7143-6.3-19", "initiator");
    PROVES("R7143-6.3.3-03", "initiator");
    PROVES("R7143-6-01", "initiator");
    PROVES("R7143-4.2.1-01", "initiator");
    PROVES("R7143-4.2.4-03", "initiator");
    PROVES("R7143-4.2.7.1-04", "initiator");
    PROVES("R7143-8.1.2-03", "initiator");
    PROVES("R7143-11.12-01", "initiator");
    PROVES("R7143-11.12-02", "initiator");
    PROVES("R7143-11.12.3-01", "initiator");
    PROVES("R7143-11.12.4-01", "initiator");
    PROVES("R7143-11.12.4.1-01", "initiator");
    PROVES("R7143-11.12.4.2-01", "initiator");
    PROVES("R7143-11.12.6-01", "initiator");
    PROVES("R7143-11.12.6-03", "initiator");
    PROVES("R7143-11.12.7-01", "initiator");
    PROVES("R7143-11.12.8-02", "initiator");
    PROVES("R7143-11.12.9-01", "initiator");
    PROVES("R7143-11.12.10-01", "initiator");
    PROVES("R7143-13.4-01", "initiator");
    PROVES("R7143-13.4-03", "initiator");
    PROVES("R7143-13.5-01", "initiator");
    PROVES("R7143-13.5-02", "initiator");
}

static void discovery_login_names_no_target(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->options.target_name[0] = 0;
    rig_begin(r);
    struct rig_pdu *pdu = rig_take(r, PDU_OP_login_request);
    assert_true(has_pair(pdu, "SessionType=Discovery"));
    assert_null(value_of(pdu, "TargetName"));
    struct pdu_login_response ok = rig_login_response(r, pdu, true);
    RIG_SEND(r, login_response, &ok, "AuthMethod=None", 16);
    pdu = rig_take(r, PDU_OP_login_request);
    const char *level = value_of(pdu, "ErrorRecoveryLevel");
    assert_true(!level || strcmp(level, "0") == 0);
    ok = rig_login_response(r, pdu, true);
    RIG_SEND(r, login_response, &ok, NULL, 0);
    rig_event(r, INI_EVENT_LOGGED_IN);
    rig_free(r);
    PROVES("R7143-4.2.7.1-05", "initiator");
    PROVES("R7143-13.21-01", "initiator");
    PROVES("R7143-13.21-03", "initiator");
    PROVES("R7143-13.21-04", "initiator");
    PROVES("R7143-7.4.1-02", "initiator");
}

static void target_that_ends_stages_late_is_followed(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_begin(r);
    answer(r, false, "AuthMethod=None", NULL);
    /* The request that follows repeats nothing and still asks for the next stage. */
    struct rig_pdu *pdu = rig_take(r, PDU_OP_login_request);
    struct pdu_login_request again = decoded(pdu);
    assert_true(again.transit);
    assert_int_equal(again.csg, 0);
    assert_int_equal(pdu->len, 0);
    struct pdu_login_response ok = rig_login_response(r, pdu, true);
    RIG_SEND(r, login_response, &ok, NULL, 0);
    answer(r, false, "HeaderDigest=None", "DataDigest=None", NULL);
    answer(r, false, "MaxBurstLength=8192", "FirstBurstLength=4096", NULL);
    answer(r, true, "MaxRecvDataSegmentLength=4096", NULL);
    rig_event(r, INI_EVENT_LOGGED_IN);
    const struct key_params *p = ini_params(r->s);
    assert_int_equal(p->max_burst_length, 8192);
    assert_int_equal(p->first_burst_length, 4096);
    assert_int_equal(p->peer_max_recv_data_segment_length, 4096);
    rig_free(r);
    PROVES("R7143-6.3.3-02", "initiator");
    PROVES("R7143-6.3.3-05", "initiator");
    PROVES("R7143-6.3-16", "initiator");
    PROVES("R7143-13.13-01", "initiator");
    PROVES("R7143-13.14-01", "initiator");
}

/* The target's text comes in pieces of every size, cut anywhere; we answer each but the last with an empty
 * request. (One byte each would take more exchanges than the engine grants a login.) */
static void long_answers_are_continued_whatever_the_cut(void **state)
{
    (void)state;
    static const char text[] = "HeaderDigest=CRC32C\0MaxBurstLength=16384\0MaxRecvDataSegmentLength=1024";
    for (uint32_t piece = 2; piece <= sizeof text; piece++) {
        struct rig *r = rig_new();
        r->options.keys.header_digest = (struct key_choices){2, {KEY_DIGEST_CRC32C, KEY_DIGEST_NONE}};
        rig_begin(r);
        answer(r, true, "AuthMethod=None", NULL);
        for (uint32_t at = 0; at < sizeof text; at += piece) {
            struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
            struct pdu_login_request asked = decoded(request);
            assert_true(at == 0 || request->len == 0);
            assert_int_equal(asked.itt, decoded(request).itt);
            bool last = at + piece >= sizeof text;
            struct pdu_login_response pdu = rig_login_response(r, request, last && asked.transit);
            pdu.more = !last;
            RIG_SEND(r, login_response, &pdu, text + at, last ? (uint32_t)sizeof text - at : piece);
        }
        if (!rig_has_event(
                r)) /* our last request was an empty one without T: so the target could not end the stage */
            answer(r, true, NULL);
        rig_event(r, INI_EVENT_LOGGED_IN);
        assert_int_equal(ini_params(r->s)->max_burst_length, 16384);
        assert_int_equal(ini_params(r->s)->peer_max_recv_data_segment_length, 1024);
        assert_int_equal(ini_params(r->s)->header_digest, KEY_DIGEST_CRC32C);
        rig_free(r);
    }
    PROVES("R7143-6.1-03", "initiator");
    PROVES("R7143-6.2-04", "initiator");
    PROVES("R7143-11.10.5-02", "initiator");
}

/* Private keys make our text longer than the 8192 bytes that a target has to take in one PDU. */
static void long_requests_are_split_with_c(void **state)
{
    (void)state;
    static char values[12][1001];
    static char names[12][32];
    struct key_override overrides[12];
    for (int i = 0; i < 12; i++) {
        memset(values[i], 'a' + i, 1000);
        snprintf(names[i], sizeof names[i], "X-com.example.k%d", i);
        overrides[i] = (struct key_override){names[i], values[i]};
    }
    struct rig *r = rig_new();
    r->options.keys.overrides = overrides;
    r->options.keys.override_count = 12;
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    char *all = calloc(1, 65536);
    uint32_t len = 0, pdus = 0;
    assert_non_null(all);
    for (;; pdus++) {
        struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
        struct pdu_login_request asked = decoded(request);
        assert_true(request->len <= 8192);
        assert_false(asked.more && asked.transit);
        memcpy(all + len, request->data, request->len);
        len += request->len;
        struct pdu_login_response pdu = rig_login_response(r, request, !asked.more);
        if (asked.more)
            assert_int_equal(asked.nsg, 0);
        RIG_SEND(r, login_response, &pdu, NULL, 0);
        if (!asked.more)
            break;
    }
    assert_true(pdus >= 1);
    for (int i = 0; i < 12; i++) {
        char want[1100];
        bool found = false;
        int want_len = snprintf(want, sizeof want, "%s=%s", names[i], values[i]);
        assert_true(want_len > 0 && (size_t)want_len < sizeof want);
        for (uint32_t at = 0; at < len; at += (uint32_t)strlen(all + at) + 1)
            found |= strcmp(all + at, want) == 0;
        assert_true(found);
    }
    rig_event(r, INI_EVENT_LOGGED_IN);
    free(all);
    rig_free(r);
    PROVES("R7143-6.2-01", "initiator");
    PROVES("R7143-6.3-04", "initiator");
    PROVES("R7143-11.12.2-01", "initiator");
    PROVES("R7143-11.12.3-02", "initiator");
}

/* ---- CHAP ---- */

static void chap_works_with_every_hash_encoding_and_direction(void **state)
{
    (void)state;
    char mutual_secret[] = MUTUAL;
    for (uint8_t alg = CHAP_MD5; alg <= CHAP_SHA3_256; alg++) {
        for (int variant = 0; variant < 4; variant++) {
            struct rig *r = chap_rig(variant & 1);
            if (variant & 1)
                strcpy(r->options.mutual_name, "disk");
            rig_begin(r);
            assert_true(chap_exchange(r, (struct chap_algs){1, {alg}}, variant & 2, mutual_secret));
            answer(r, true, NULL);
            rig_event(r, INI_EVENT_LOGGED_IN);
            rig_free(r);
        }
    }
    PROVES("R7143-9.1-01", "initiator");
    PROVES("R7143-9.2-03", "initiator");
    PROVES("R7143-9.2.1-01", "initiator");
    PROVES("R7143-12.1-02", "initiator");
    PROVES("R7143-12.1-04", "initiator");
    PROVES("R7143-12.1-05", "initiator");
    PROVES("R7143-12.1.3-01", "initiator");
    PROVES("R7143-12.1.3-03", "initiator");
    PROVES("R7143-12.1.3-08", "initiator");
    PROVES("R7143-12.1.3-09", "initiator");
}

static void default_chap_offer_ends_with_md5(void **state)
{
    (void)state;
    struct rig *r = chap_rig(false);
    rig_begin(r);
    answer(r, false, "AuthMethod=CHAP", NULL);
    const char *algs = value_of(rig_take(r, PDU_OP_login_request), "CHAP_A");
    assert_non_null(algs);
    assert_string_equal(algs, "8,7,6,5");
    rig_free(r);
    PROVES("R7143-12.1.3-10", "initiator");
}

static void target_with_the_wrong_mutual_secret_is_refused(void **state)
{
    (void)state;
    char wrong[] = "not the target's one";
    struct rig *r = chap_rig(true);
    rig_begin(r);
    chap_exchange(r, (struct chap_algs){1, {CHAP_SHA256}}, false, wrong);
    const struct rig_event *e = refused(r);
    assert_int_equal(e->event.status_class, 0);
    assert_int_equal(e->event.status_detail, 1);
    rig_free(r);

    r = chap_rig(true); /* right secret, other name than the one that was wanted */
    strcpy(r->options.mutual_name, "somebody else");
    rig_begin(r);
    strcpy(wrong, MUTUAL);
    chap_exchange(r, (struct chap_algs){1, {CHAP_SHA256}}, false, wrong);
    refused(r);
    rig_free(r);
    PROVES("R7143-4.2.4-01", "initiator");
    PROVES("R7143-6.3.2-06", "initiator");
    PROVES("R7143-9.2-10", "initiator");
    PROVES("R7143-9.2-12", "initiator");
    PROVES("R7143-12.1.3-06", "initiator");
}

/* What a target might try instead of proving itself. Each row: its answers after AuthMethod=CHAP and after
 * CHAP_A. */
static void chap_shortcuts_are_refused(void **state)
{
    (void)state;
    static const char challenge[] = "CHAP_C=0x00112233445566778899aabbccddeeff";
    struct rig *r = chap_rig(true); /* None although only CHAP was offered */
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    refused(r);
    rig_free(r);

    r = chap_rig(true); /* ends the stage at once */
    rig_begin(r);
    answer(r, false, "AuthMethod=CHAP", NULL);
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    struct pdu_login_response pdu = rig_login_response(r, request, true);
    pdu.nsg = 1;
    RIG_SEND(r, login_response, &pdu, NULL, 0);
    refused(r);
    rig_free(r);

    r = chap_rig(true); /* Reject */
    rig_begin(r);
    answer(r, false, "AuthMethod=Reject", NULL);
    refused(r);
    rig_free(r);

    static const char *const wrong_steps[][4] = {
        {"CHAP_A=9", "CHAP_I=1", challenge, NULL},     /* not offered */
        {"CHAP_A=7", "CHAP_I=300", challenge, NULL},   /* one byte only */
        {"CHAP_A=7", "CHAP_I=1", "CHAP_C=12", NULL},   /* not binary */
        {"CHAP_A=7", challenge, NULL, NULL},           /* no identifier */
        {"CHAP_A=7", "CHAP_I=1", NULL, NULL},          /* no challenge */
        {"CHAP_A=7", "CHAP_I=1", "CHAP_N=disk", NULL}, /* a key of another step */
        {"CHAP_A=7", "CHAP_I=1", "SRP_s=0x00", NULL},  /* another method */
        {NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof wrong_steps / sizeof *wrong_steps; i++) {
        r = chap_rig(true);
        rig_begin(r);
        answer(r, false, "AuthMethod=CHAP", NULL);
        answer(r, false, wrong_steps[i][0], wrong_steps[i][1], wrong_steps[i][2], NULL);
        refused(r);
        rig_free(r);
    }

    r = chap_rig(true); /* mutual: our proof is in, its own is missing, yet it goes on */
    rig_begin(r);
    answer(r, false, "AuthMethod=CHAP", NULL);
    answer(r, false, "CHAP_A=7", "CHAP_I=1", challenge, NULL);
    request = rig_take(r, PDU_OP_login_request);
    assert_true(strcmp(value_of(request, "CHAP_C"), challenge + 7) != 0); /* ours is not the target's again */
    pdu = rig_login_response(r, request, true);
    pdu.nsg = 1;
    RIG_SEND(r, login_response, &pdu, NULL, 0);
    refused(r);
    rig_free(r);

    r = chap_rig(true); /* reflection: the target answers with what we have just told it */
    rig_begin(r);
    answer(r, false, "AuthMethod=CHAP", NULL);
    answer(r, false, "CHAP_A=7", "CHAP_I=1", challenge, NULL);
    request = rig_take(r, PDU_OP_login_request);
    char reflected[600];
    snprintf(reflected, sizeof reflected, "CHAP_R=%s", value_of(request, "CHAP_R"));
    pdu = rig_login_response(r, request, true);
    pdu.nsg = 1;
    char text[700];
    int len = snprintf(text, sizeof text, "CHAP_N=alice%c%s", 0, reflected) + 1;
    RIG_SEND(r, login_response, &pdu, text, (uint32_t)len);
    refused(r);
    rig_free(r);
    PROVES("R7143-9.2-04", "initiator");
    PROVES("R7143-9.2.1-09", "initiator");
    PROVES("R7143-9.2.1-11", "initiator");
    PROVES("R7143-6.2.1-05", "initiator");
}

/* ---- wrong answers ---- */

enum bend { /* what a row does to an otherwise good response to the operational request */
            BEND_NOTHING,
            BEND_VERSION,
            BEND_ITT,
            BEND_ISID,
            BEND_CSG,
            BEND_T_AND_C,
            BEND_NSG_BACK,
            BEND_NSG_RESERVED,
            BEND_OPCODE
};

static void wrong_login_responses_end_the_login(void **state)
{
    (void)state;
    static const struct {
        enum bend bend;
        const char *text;
    } rows[] = {
        {BEND_VERSION, NULL},
        {BEND_ITT, NULL},
        {BEND_ISID, NULL},
        {BEND_CSG, NULL},
        {BEND_T_AND_C, NULL},
        {BEND_NSG_BACK, NULL},
        {BEND_NSG_RESERVED, NULL},
        {BEND_OPCODE, NULL},
        {BEND_NOTHING, "HeaderDigest=MD5"},
        {BEND_NOTHING, "HeaderDigest=None,CRC32C"},
        {BEND_NOTHING, "MaxBurstLength=16777216"},
        {BEND_NOTHING, "MaxBurstLength=511"},
        {BEND_NOTHING, "MaxBurstLength=many"},
        {BEND_NOTHING, "MaxBurstLength=0512"},
        {BEND_NOTHING, "MaxBurstLength=16777215"}, /* more than we offered: MIN */
        {BEND_NOTHING, "DefaultTime2Retain=3601"},
        {BEND_NOTHING, "InitialR2T=maybe"},
        {BEND_NOTHING, "InitialR2T=yes"},
        {BEND_NOTHING, "MaxRecvDataSegmentLength=0"},
        {BEND_NOTHING, "MaxRecvDataSegmentLength=16777216"},
        {BEND_NOTHING, "ErrorRecoveryLevel=2"}, /* we offered 0 */
        {BEND_NOTHING, "MaxConnections=4"},     /* we offered 1 */
        {BEND_NOTHING, "no equals sign"},
        {BEND_NOTHING, "=value"},
        {BEND_NOTHING, "AuthMethod=None"}, /* a key of the stage before */
        {BEND_NOTHING, "SendTargets=All"}, /* ours to ask, and later */
        {BEND_NOTHING, "InitiatorName=iqn.2026-01.com.example:x"},
        {BEND_NOTHING, "SessionType=Normal"},
        {BEND_NOTHING, "X-com.example=NotUnderstood"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig *r = rig_new();
        rig_begin(r);
        answer(r, true, "AuthMethod=None", NULL);
        struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
        struct pdu_login_response pdu = rig_login_response(r, request, true);
        uint8_t bhs[PDU_BHS_LEN];
        pdu.version_active = rows[i].bend == BEND_VERSION;
        pdu.itt += rows[i].bend == BEND_ITT;
        pdu.isid[5] = (uint8_t)(pdu.isid[5] + (rows[i].bend == BEND_ISID));
        pdu.csg = rows[i].bend == BEND_CSG ? 0 : pdu.csg;
        pdu.more = rows[i].bend == BEND_T_AND_C;
        pdu.nsg = rows[i].bend == BEND_NSG_BACK ? 0 : rows[i].bend == BEND_NSG_RESERVED ? 2 : pdu.nsg;
        pdu_login_response_encode(&pdu, bhs);
        if (rows[i].bend == BEND_OPCODE)
            bhs[0] = PDU_OP_nop_in;
        rig_send(r, bhs, rows[i].text, rows[i].text ? (uint32_t)strlen(rows[i].text) + 1 : 0);
        if (!rig_closing(r))
            fail_msg("row %zu (%s) was accepted", i, rows[i].text ? rows[i].text : "header");
        refused(r);
        rig_free(r);
    }
    PROVES("R7143-4.2.4-02", "initiator");
    PROVES("R7143-4.2.4-07", "initiator");
    PROVES("R7143-6.1-08", "initiator");
    PROVES("R7143-6.1-09", "initiator");
    PROVES("R7143-6.2.2-04", "initiator");
    PROVES("R7143-6.3-13", "initiator");
    PROVES("R7143-7.12-01", "initiator");
    PROVES("R7143-11.13.2-02", "initiator");
    PROVES("R7143-13-05", "initiator");
}

static void repeated_key_ends_the_login(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    answer(r, false, "MaxBurstLength=8192", NULL);
    answer(r, true, "MaxBurstLength=8192", NULL);
    refused(r);
    rig_free(r);
    PROVES("R7143-6.3-20", "initiator");
    PROVES("R7143-6.3-21", "initiator");
    PROVES("R7143-6.3-23", "initiator");
}

static void skipping_the_stage_that_was_asked_for_is_refused(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_begin(r);
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    struct pdu_login_response pdu = rig_login_response(r, request, true);
    pdu.nsg = 3; /* the request said 1 */
    RIG_SEND(r, login_response, &pdu, "AuthMethod=None", 16);
    refused(r);
    rig_free(r);
}

static void unknown_keys_are_answered_not_understood(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    answer(r, false, "X-com.example.new=1", "FutureKey=2", NULL);
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    assert_true(has_pair(request, "X-com.example.new=NotUnderstood"));
    assert_true(has_pair(request, "FutureKey=NotUnderstood"));
    struct pdu_login_response pdu = rig_login_response(r, request, true);
    RIG_SEND(r, login_response, &pdu, NULL, 0);
    rig_event(r, INI_EVENT_LOGGED_IN);
    rig_free(r);
    PROVES("R7143-6.2-12", "initiator");
}

static void proposals_of_the_target_are_answered(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->options.keys.overrides =
        (const struct key_override[]){{"MaxOutstandingR2T", NULL}}; /* left for the target */
    r->options.keys.override_count = 1;
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    answer(r, false, "MaxOutstandingR2T=7", "IFMarker=Yes", NULL);
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    const char *r2ts = value_of(request, "MaxOutstandingR2T");
    assert_non_null(r2ts);
    assert_true(strtoul(r2ts, NULL, 10) >= 1 && strtoul(r2ts, NULL, 10) <= 7);
    const char *marker = value_of(request, "IFMarker");
    assert_non_null(marker);
    assert_string_equal(marker, "Reject");
    struct pdu_login_response pdu = rig_login_response(r, request, true);
    RIG_SEND(r, login_response, &pdu, NULL, 0);
    rig_event(r, INI_EVENT_LOGGED_IN);
    assert_int_equal(ini_params(r->s)->max_outstanding_r2t, strtoul(r2ts, NULL, 10));
    rig_free(r);
    PROVES("R7143-6.2-08", "initiator");
    PROVES("R7143-6.2.2-01", "initiator");
    PROVES("R7143-13.25-01", "initiator");
    PROVES("R7143-13.25-03", "initiator");
}

/* ---- statuses ---- */

static void login_statuses_are_told_in_words(void **state)
{
    (void)state;
    static const struct {
        uint8_t status_class, detail;
        const char *word;
    } rows[] = {
        {2, 0, "refused"},   {2, 1, "authentication"}, {2, 2, "allow"},       {2, 3, "no target"},
        {2, 4, "removed"},   {2, 5, "version"},        {2, 6, "connections"}, {2, 7, "parameter"},
        {2, 9, "type"},      {2, 10, "exist"},         {2, 11, "invalid"},    {3, 0, "internal"},
        {3, 1, "available"}, {3, 2, "resources"},      {2, 99, "refused"},    {3, 99, "refused"},
        {9, 1, "refused"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig *r = rig_new();
        rig_begin(r);
        struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
        struct pdu_login_response pdu = rig_login_response(r, request, false);
        pdu.status_class = rows[i].status_class;
        pdu.status_detail = rows[i].detail;
        RIG_SEND(r, login_response, &pdu, NULL, 0);
        const struct rig_event *e = refused(r);
        assert_int_equal(e->event.status_class, rows[i].status_class);
        assert_int_equal(e->event.status_detail, rows[i].detail);
        if (!strstr(e->reason, rows[i].word))
            fail_msg("%d/%d: \"%s\"", rows[i].status_class, rows[i].detail, e->reason);
        rig_free(r);
    }
    PROVES("R7143-8.1.2-06", "initiator");
    PROVES("R7143-11.13.5-01", "initiator");
    PROVES("R7143-11.13.5-15", "initiator");
    PROVES("R7143-11.13.5-16", "initiator");
}

static void redirections_are_reported_in_both_stages(void **state)
{
    (void)state;
    for (uint8_t detail = 1; detail <= 2; detail++) {
        for (int late = 0; late <= 1; late++) {
            static const char text[] = "TargetAddress=[2001:db8::7]:3261,4";
            struct rig *r = rig_new();
            rig_begin(r);
            if (late)
                answer(r, true, "AuthMethod=None", NULL);
            struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
            struct pdu_login_response pdu = rig_login_response(r, request, false);
            pdu.status_class = 1;
            pdu.status_detail = detail;
            RIG_SEND(r, login_response, &pdu, text, sizeof text);
            struct rig_event *e = rig_event(r, INI_EVENT_REDIRECTED);
            assert_string_equal(e->reason, "[2001:db8::7]:3261,4");
            assert_int_equal(e->event.status_detail, detail);
            rig_free(r);
        }
    }
    struct rig *r = rig_new(); /* without an address it is a failure */
    rig_begin(r);
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    struct pdu_login_response pdu = rig_login_response(r, request, false);
    pdu.status_class = 1;
    RIG_SEND(r, login_response, &pdu, NULL, 0);
    refused(r);
    rig_free(r);
    PROVES("R7143-11.13.5-04", "initiator");
    PROVES("R7143-11.13.5-05", "initiator");
}

static void login_ends_when_time_or_transport_does(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_begin(r);
    assert_int_equal(ini_deadline(r->s), r->now + 30 * RIG_SECOND);
    r->now += 31 * RIG_SECOND;
    ini_tick(r->s);
    rig_pump(r);
    assert_non_null(strstr(refused(r)->reason, "time"));
    rig_free(r);

    r = rig_new();
    rig_begin(r);
    rig_lost(r, 0);
    assert_non_null(strstr(rig_event(r, INI_EVENT_LOGIN_FAILED)->reason, "closed"));
    rig_free(r);

    r = rig_new();
    rig_begin(r);
    rig_lost(r, ERR_RESET);
    assert_non_null(strstr(rig_event(r, INI_EVENT_LOGIN_FAILED)->reason, "reset"));
    rig_free(r);
    PROVES("R7143-8.1.2-06", "initiator");
}

static void login_without_end_is_given_up(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_begin(r);
    int rounds = 0;
    for (; rounds < 1000 && !rig_closing(r); rounds++)
        answer(r, false, NULL);
    assert_true(rounds >= 6 && rounds < 1000);
    refused(r);
    rig_free(r);

    r = rig_new(); /* a text that never ends */
    rig_begin(r);
    char *text = calloc(1, 8192);
    memset(text, 'A', 8192);
    for (rounds = 0; rounds < 1000 && !rig_closing(r); rounds++) {
        struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
        struct pdu_login_response pdu = rig_login_response(r, request, false);
        pdu.more = 1;
        RIG_SEND(r, login_response, &pdu, text, 8192);
    }
    assert_true(rounds < 1000);
    refused(r);
    free(text);
    rig_free(r);
    PROVES("R7143-6.2-26", "initiator");
    PROVES("R7143-6.2-27", "initiator");
    PROVES("R7143-10.3-01", "initiator");
    PROVES("R7143-10.3-02", "initiator");
}

static void any_first_stat_sn_is_taken(void **state)
{
    (void)state;
    static const uint32_t first[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        struct rig *r = rig_new();
        r->stat_sn = first[i];
        rig_begin(r);
        answer(r, true, "AuthMethod=None", NULL);
        struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
        assert_int_equal(decoded(request).exp_stat_sn, (uint32_t)(first[i] + 1));
        rig_free(r);
    }
    PROVES("R7143-4.2.2.2-05", "initiator");
}

/* The same login in one piece, byte by byte and cut at random: same output, same events. */
static void login_does_not_depend_on_how_bytes_arrive(void **state)
{
    (void)state;
    uint8_t *first = NULL;
    size_t first_len = 0;
    for (int way = 0; way < 30; way++) {
        struct rig *r = rig_new();
        r->cut = way == 1 ? 1 : 0;
        r->options.keys.header_digest = r->options.keys.data_digest =
            (struct key_choices){1, {KEY_DIGEST_CRC32C}};
        rig_begin(r);
        r->cut_random = way > 1;
        uint64_t seed = r->seed;
        r->seed = (uint64_t)way * 77;
        rig_login(r);
        (void)seed;
        assert_int_equal(r->event_count, 1);
        if (way == 0) {
            first = malloc(r->wire_len);
            first_len = r->wire_len;
            memcpy(first, r->wire, first_len);
        } else {
            assert_int_equal(r->wire_len, first_len);
            assert_memory_equal(r->wire, first, first_len);
        }
        rig_free(r);
    }
    free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_request_declares_who_and_what),
        cmocka_unit_test(discovery_login_names_no_target),
        cmocka_unit_test(target_that_ends_stages_late_is_followed),
        cmocka_unit_test(long_answers_are_continued_whatever_the_cut),
        cmocka_unit_test(long_requests_are_split_with_c),
        cmocka_unit_test(chap_works_with_every_hash_encoding_and_direction),
        cmocka_unit_test(default_chap_offer_ends_with_md5),
        cmocka_unit_test(target_with_the_wrong_mutual_secret_is_refused),
        cmocka_unit_test(chap_shortcuts_are_refused),
        cmocka_unit_test(wrong_login_responses_end_the_login),
        cmocka_unit_test(repeated_key_ends_the_login),
        cmocka_unit_test(skipping_the_stage_that_was_asked_for_is_refused),
        cmocka_unit_test(unknown_keys_are_answered_not_understood),
        cmocka_unit_test(proposals_of_the_target_are_answered),
        cmocka_unit_test(login_statuses_are_told_in_words),
        cmocka_unit_test(redirections_are_reported_in_both_stages),
        cmocka_unit_test(login_ends_when_time_or_transport_does),
        cmocka_unit_test(login_without_end_is_given_up),
        cmocka_unit_test(any_first_stat_sn_is_taken),
        cmocka_unit_test(login_does_not_depend_on_how_bytes_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
