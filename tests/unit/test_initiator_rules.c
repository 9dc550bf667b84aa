/* Single rules of RFC 7143 and 7144 for initiators that belong to no larger story: login keys, form errors of
 * the target, recovery that may not be used, what a response means to SCSI.
 *
 * Goal: one rule, one test. Method: a scripted target (initiator_harness.h, initiator_login.h). */
#include "initiator/iscsi/states.h"
#include "tests/unit/initiator_login.h"

#define LUN 0x0001000000000000ull

/* ---- login ---- */

static void no_key_is_offered_twice(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    char seen[64][64];
    int count = 0;
    r->options.keys.max_connections = 4;
    r->options.keys.error_recovery_level = 2;
    r->options.keys.iscsi_protocol_level = 2;
    rig_begin(r);
    for (int step = 0; step < 4; step++) { /* the target ends each stage one exchange late */
        struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
        for (uint32_t at = 0; at < request->len; at += (uint32_t)strlen((char *)request->data + at) + 1) {
            const char *pair = (char *)request->data + at;
            size_t n = strcspn(pair, "=");
            assert_true(count < 64 && n < 64);
            snprintf(seen[count], 64, "%.*s", (int)n, pair);
            assert_true(pair[1] != '-' && pair[1] != '#'); /* X-, Y-, Z-: none of our own */
            assert_true(!strstr(pair, "Y-") && !strstr(pair, "Z-"));
            for (int i = 0; i < count; i++)
                if (strcmp(seen[i], seen[count]) == 0)
                    fail_msg("%s comes twice", seen[i]);
            count++;
        }
        struct pdu_login_response pdu = rig_login_response(r, request, step & 1);
        RIG_SEND(r, login_response, &pdu, step == 0 ? "AuthMethod=None" : NULL, step == 0 ? 16 : 0);
    }
    rig_event(r, INI_EVENT_LOGGED_IN);
    assert_true(count > 12);
    rig_free(r);
    PROVES("R7143-6.4-11", "initiator");
    PROVES("R7143-14-01", "initiator");
}

/* Everything that goes out in a login and a write, with these keys from the target. */
static uint32_t conversation(const char *first, const char *second, uint8_t out[4096])
{
    struct rig *r = rig_new();
    struct rig_command rc;
    rig_begin(r);
    answer(r, true, "AuthMethod=None", "TargetPortalGroupTag=1", first, NULL);
    answer(r, true, second, NULL);
    assert_string_equal(rig_event(r, INI_EVENT_LOGGED_IN)->reason, "");
    rig_command(r, &rc, true, 512, 1);
    rig_submit(r, &rc);
    assert_true(r->wire_len <= 4096);
    uint32_t len = (uint32_t)r->wire_len;
    memcpy(out, r->wire, len);
    rig_free(r);
    rig_command_fini(&rc);
    return len;
}

/* What a target calls itself or is made of changes nothing. */
static void aliases_and_architectures_are_only_told(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
    } rows[] = {{"TargetAlias=a disk", NULL},
                {"TargetAlias=" RIG_TARGET, NULL},
                {NULL, "X#NodeArchitecture=Plan9/MIPS"},
                {"TargetAlias=another", "X#NodeArchitecture=lunette"}};
    uint8_t plain[4096], got[4096];
    uint32_t len = conversation(NULL, NULL, plain);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(conversation(rows[i].first, rows[i].second, got), len);
        assert_memory_equal(got, plain, len);
    }
    PROVES("R7143-13.6-02", "initiator");
    PROVES("R7143-13.26.2-01", "initiator");
}

static void the_node_architecture_comes_once(void **state)
{
    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        struct rig *r = rig_new();
        rig_begin(r);
        answer(r, true, "AuthMethod=None", NULL);
        if (apart) {
            answer(r, false, "X#NodeArchitecture=some", NULL);
            answer(r, true, "X#NodeArchitecture=other", NULL);
        } else {
            answer(r, true, "X#NodeArchitecture=some", "X#NodeArchitecture=some", NULL);
        }
        assert_non_null(strstr(refused(r)->reason, "NodeArchitecture"));
        rig_free(r);
    }
    PROVES("R7143-13.26.1-02", "initiator");
}

/* Version-max of the first response counts; what the later ones say is not looked at. */
static void a_later_version_max_changes_nothing(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    struct pdu_login_response pdu = rig_login_response(r, request, true);
    pdu.version_max = 5;
    RIG_SEND(r, login_response, &pdu, NULL, 0);
    rig_event(r, INI_EVENT_LOGGED_IN);
    rig_free(r);
    PROVES("R7143-11.13.1-02", "initiator");
}

static void discovery_has_one_connection_and_no_recovery(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct ini_conn *second = NULL;
    r->options.target_name[0] = 0;
    r->options.keys.max_connections = 8;
    r->options.keys.error_recovery_level = 2;
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    struct rig_pdu *request = rig_take(r, PDU_OP_login_request);
    assert_true(has_pair(request, "ErrorRecoveryLevel=0")); /* said by us: the target has nothing to offer */
    const char *connections = value_of(request, "MaxConnections");
    assert_true(!connections || strcmp(connections, "1") == 0);
    struct pdu_login_response pdu = rig_login_response(r, request, true);
    RIG_SEND(r, login_response, &pdu, NULL, 0);
    rig_event(r, INI_EVENT_LOGGED_IN);
    assert_int_equal(ini_params(r->s)->error_recovery_level, 0);
    assert_int_equal(ini_conn_new(r->s, r, &second), ERR_RANGE);
    assert_null(second);
    rig_free(r);

    r = rig_new();
    r->options.target_name[0] = 0;
    r->options.keys.error_recovery_level = 2;
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    answer(r, true, "ErrorRecoveryLevel=2", NULL);
    refused(r);
    rig_free(r);
    PROVES("R7143-7.4.1-01", "initiator");
    PROVES("R7143-13.21-02", "initiator");
}

static void the_level_is_the_lower_one(void **state)
{
    (void)state;
    for (uint32_t ours = 0; ours < 3; ours++) {
        for (uint32_t theirs = 0; theirs < 3; theirs++) {
            struct rig *r = rig_new();
            r->options.keys.error_recovery_level = ours;
            r->key_config.error_recovery_level = theirs;
            rig_begin(r);
            rig_login(r);
            uint32_t level = ours < theirs ? ours : theirs;
            assert_int_equal(ini_params(r->s)->error_recovery_level, level);
            rig_cut(r, ERR_RESET); /* and it is what we work at: only level 2 survives that */
            assert_int_equal(ini_session_state(r->s) == INI_Q4_FAILED, level == 2);
            rig_free(r);
        }
    }
    PROVES("R7143-7.1.5-01", "initiator");
}

/* Parameters of a connection, and of a session, are not those of the one before. */
static void parameters_start_from_their_defaults(void **state)
{
    (void)state;
    static const struct key_choices both = {2, {KEY_DIGEST_CRC32C, KEY_DIGEST_NONE}};
    struct rig *r = rig_new();
    r->options.keys.header_digest = r->options.keys.data_digest = both;
    r->key_config.header_digest = r->key_config.data_digest = both;
    r->options.keys.max_connections = r->key_config.max_connections = 2;
    r->key_config.max_recv_data_segment_length = 65536;
    rig_begin(r);
    rig_login(r);
    assert_true(r->header_digest);
    assert_int_equal(ini_conn_params(r->conn)->peer_max_recv_data_segment_length, 65536);
    rig_use(r, 1);
    assert_int_equal(rig_connect(r), 0);
    answer(r, true, "AuthMethod=None", NULL);
    answer(r, true, "HeaderDigest=None", "DataDigest=None", NULL); /* no MaxRecvDataSegmentLength */
    rig_event(r, INI_EVENT_LOGGED_IN);
    const struct key_params *p = ini_conn_params(r->conn);
    assert_int_equal(p->peer_max_recv_data_segment_length, 8192);
    assert_int_equal(p->header_digest, KEY_DIGEST_NONE);
    rig_free(r);

    r = rig_new(); /* the same of a session: nothing but what this login says */
    r->key_config.max_recv_data_segment_length = 65536;
    r->key_config.max_burst_length = r->options.keys.max_burst_length = 1u << 20;
    rig_begin(r);
    rig_login(r);
    assert_int_equal(ini_conn_params(r->conn)->peer_max_recv_data_segment_length, 65536);
    rig_free(r);
    r = rig_new();
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    answer(r, true, NULL);
    rig_event(r, INI_EVENT_LOGGED_IN);
    assert_int_equal(ini_conn_params(r->conn)->peer_max_recv_data_segment_length, 8192);
    assert_true(ini_params(r->s)->max_burst_length <= 262144);
    rig_free(r);
    PROVES("R7143-4.2.8-01", "initiator");
}

/* The portal group that was meant, and for further connections the session's. */
static void another_portal_group_is_noticed(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->options.has_portal_group_tag = true;
    r->options.portal_group_tag = 7;
    rig_begin(r);
    answer(r, true, "AuthMethod=None", "TargetPortalGroupTag=8", NULL);
    answer(r, true, NULL);
    const char *reason = refused(r)->reason;
    assert_true(strstr(reason, "8") && strstr(reason, "7"));
    rig_free(r);

    r = rig_new();
    r->options.has_portal_group_tag = true;
    r->options.portal_group_tag = 7;
    r->options.keys.max_connections = 3;
    rig_begin(r);
    answer(r, true, "AuthMethod=None", "TargetPortalGroupTag=7", NULL);
    answer(r, true, "MaxConnections=3", NULL);
    rig_event(r, INI_EVENT_LOGGED_IN);
    rig_use(r, 1);
    assert_int_equal(rig_connect(r), 0);
    answer(r, true, "AuthMethod=None", "TargetPortalGroupTag=9", NULL);
    answer(r, true, NULL);
    rig_event(r, INI_EVENT_LOGIN_FAILED);
    rig_cut(r, 0);
    assert_true(ini_is_up(r->s));
    rig_free(r);
    PROVES("R7143-6.3.1-11", "initiator");
}

/* ---- PDUs ---- */

/* Every kind of PDU that an initiator has; rig_take also checks reserved fields and bits. */
static void every_pdu_is_an_initiators(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, false);
    struct rig_command rc[2];
    struct pdu_scsi_command c;
    uint32_t tag;
    static const uint8_t kinds[] = {PDU_OP_scsi_command, PDU_OP_data_out, PDU_OP_nop_out, PDU_OP_text_request,
                                    PDU_OP_task_management_request};
    bool bit[2] = {false, false};
    uint64_t seen = 1ull << PDU_OP_login_request; /* taken by rig_login */
    rig_command(r, &rc[0], true, 65536 + 4096, 1);
    rig_command(r, &rc[1], false, 512, 1);
    rc[1].c.immediate = true;
    rig_submit(r, &rc[0]);
    c = rig_take_command(r);
    bit[0] = r->pdu.bhs[0] & 0x40;
    rig_r2t(r, c.itt, 5, 0, 65536, 4096);
    assert_int_equal(ini_ping(r->s, NULL, 0, &tag), 0);
    assert_int_equal(ini_text(r->s, "SendTargets=", 13), 0);
    assert_int_equal(ini_task_management(r->s, 5, LUN, NULL, &tag), 0);
    rig_submit(r, &rc[1]);
    while (!rig_quiet(r)) {
        uint8_t opcode = r->wire[r->wire_pos] & 0x3f;
        assert_true(opcode < 0x20);
        struct rig_pdu *p = rig_take(r, opcode);
        seen |= 1ull << opcode;
        if (opcode == PDU_OP_data_out)
            assert_int_equal(p->bhs[0], PDU_OP_data_out); /* no I bit there */
        if (opcode == PDU_OP_scsi_command)
            bit[1] = p->bhs[0] & 0x40;
    }
    for (size_t i = 0; i < sizeof kinds; i++)
        assert_true(seen >> kinds[i] & 1);
    assert_true(!bit[0] && bit[1]); /* it tells immediate requests */
    RIG_PDU(r, nop_in, nop);        /* a status is missing: SNACK */
    nop.itt = nop.ttt = PDU_TAG_RESERVED;
    nop.stat_sn = r->stat_sn + 1;
    RIG_SEND(r, nop_in, &nop, NULL, 0);
    assert_int_equal(rig_take(r, PDU_OP_snack_request)->bhs[0] & 0x40, 0);
    rig_free(r);
    assert_int_equal(rc[0].reported + rc[1].reported, 2);
    rig_command_fini(&rc[0]);
    rig_command_fini(&rc[1]);

    r = rig_up();
    assert_int_equal(ini_logout(r->s), 0);
    rig_pump(r);
    assert_int_equal(rig_take(r, PDU_OP_logout_request)->bhs[0], 0x46);
    rig_free(r);
    PROVES("R7143-11.2.1.1-01", "initiator");
    PROVES("R7143-11.2.1.2-01", "initiator");
}

/* Targets that leave it out exist: told to, the engine takes it for the command's status. */
static void check_condition_without_sense_may_be_allowed(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct rig_command rc;
    r->options.allow_no_sense = true;
    rig_begin(r);
    rig_login(r);
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    RIG_PDU(r, scsi_response, pdu);
    pdu.itt = rig_take_command(r).itt;
    pdu.status = 2;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, scsi_response, &pdu, NULL, 0);
    assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
    assert_int_equal(rc.c.status, 2);
    assert_int_equal(rc.c.sense_len, 0);
    assert_true(ini_is_up(r->s));
    rig_free(r);
    rig_command_fini(&rc);
}

static void check_condition_needs_sense_data(void **state)
{
    (void)state;
    for (uint32_t level = 0; level < 3; level++) {
        struct rig *r = rig_at_level(level, false);
        struct rig_command rc;
        rig_command(r, &rc, false, 512, 1);
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt;
        RIG_PDU(r, scsi_response, pdu);
        pdu.itt = itt;
        pdu.status = 2;
        pdu.stat_sn = r->stat_sn++;
        RIG_SEND(r, scsi_response, &pdu, NULL, 0);
        rig_expect_failure(r, "CHECK CONDITION without sense"); /* of the session, at every level */
        assert_int_equal(rc.c.outcome, INI_DONE_LOST);
        rig_free(r);
        rig_command_fini(&rc);

        r = rig_at_level(level,
                         false); /* other statuses need none, nor does one that the target did not give */
        rig_command(r, &rc, false, 512, 1);
        rig_submit(r, &rc);
        itt = rig_take_command(r).itt;
        rig_response(r, itt, 8, NULL, 0);
        assert_int_equal(rc.c.status, 8);
        rig_command_fini(&rc);
        rig_free(r);
    }
    PROVES("R7143-7.7-03", "initiator");
}

static void an_r2t_fits_its_command(void **state)
{
    (void)state;
    static const struct {
        uint64_t lun;
        uint32_t offset, len;
        const char *word;
    } rows[] = {
        {0x0002000000000000ull, 65536, 4096, "LUN"}, {0, 65536, 4096, "LUN"},
        {LUN, 65536, 4097, "beyond the end"},        {LUN, 65536 + 4096, 1, "beyond the end"},
        {LUN, 0xffffffff, 1, "beyond the end"},
    };
    for (uint32_t level = 0; level < 3; level++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct rig *r = rig_at_level(level, false);
            struct rig_command rc;
            rig_command(r, &rc, true, 65536 + 4096, 1);
            rig_submit(r, &rc);
            r->r2t_lun = rows[i].lun;
            rig_r2t(r, rig_take_command(r).itt, 5, 0, rows[i].offset, rows[i].len);
            assert_true(rig_quiet(r)); /* not a byte */
            rig_expect_failure(r, rows[i].word);
            rig_free(r);
            rig_command_fini(&rc);
        }
    }
    PROVES("R7143-4.2.5.3-04", "initiator");
}

/* ---- task management ---- */

static void responses_have_their_meaning_to_scsi(void **state)
{
    (void)state;
    static const enum ini_service_response wanted[] = {
        INI_SERVICE_FUNCTION_COMPLETE, INI_SERVICE_FUNCTION_COMPLETE, INI_SERVICE_INCORRECT_LUN,
        INI_SERVICE_FUNCTION_REJECTED, INI_SERVICE_FUNCTION_REJECTED, INI_SERVICE_FUNCTION_REJECTED,
        INI_SERVICE_FUNCTION_REJECTED, INI_SERVICE_FUNCTION_SUCCEEDED};
    for (int response = 0; response < 256; response++) {
        uint32_t tag;
        struct rig *r = rig_up();
        assert_int_equal(ini_task_management(r->s, 5, LUN, NULL, &tag), 0);
        rig_pump(r);
        rig_take(r, PDU_OP_task_management_request);
        rig_tmf_response(r, tag, (uint8_t)response);
        enum ini_service_response service = rig_event(r, INI_EVENT_TMF_DONE)->event.service;
        assert_int_equal(service, response < 8 ? wanted[response] : INI_SERVICE_FUNCTION_REJECTED);
        rig_free(r);
    }
    PROVES("R7143-11.6.1-09", "initiator");
    PROVES("R7144-6.4.2-06", "initiator");
}

static struct rig *fast_abort_rig(void)
{
    static const struct key_choices all = {
        3, {KEY_TASK_REPORTING_FAST_ABORT, KEY_TASK_REPORTING_RESPONSE_FENCE, KEY_TASK_REPORTING_RFC3720}};
    struct rig *r = rig_new();
    r->options.keys.task_reporting = r->key_config.task_reporting = all;
    rig_begin(r);
    rig_login(r);
    assert_int_equal(ini_params(r->s)->task_reporting, KEY_TASK_REPORTING_FAST_ABORT);
    return r;
}

/* FastAbort: what the reset is about may still end by itself until the reset is answered. */
static void responses_before_the_functions_count(void **state)
{
    (void)state;
    struct rig *r = fast_abort_rig();
    struct rig_command rc[2];
    uint32_t itt[2], tag;
    for (int i = 0; i < 2; i++) {
        rig_command(r, &rc[i], true, 512, 1);
        rig_submit(r, &rc[i]);
        itt[i] = rig_take_command(r).itt;
    }
    assert_int_equal(ini_task_management(r->s, 5, LUN, NULL, &tag), 0);
    rig_pump(r);
    rig_take(r, PDU_OP_task_management_request);
    rig_response(r, itt[0], 0x18, NULL, 0);
    assert_int_equal(rc[0].reported, 1);
    assert_int_equal(rc[0].c.outcome, INI_DONE_STATUS);
    assert_int_equal(rc[0].c.status, 0x18);
    rig_tmf_response(r, tag, 0);
    assert_int_equal(rc[1].c.outcome, INI_DONE_ABORTED);
    rig_free(r);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rc[i].reported, 1);
        rig_command_fini(&rc[i]);
    }
    PROVES("R7143-4.2.3.4-04", "initiator");
}

/* ---- recovery that is not due ---- */

static void nothing_is_recovered_during_login(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->options.keys.error_recovery_level = 2;
    rig_begin(r);
    answer(r, true, "AuthMethod=None", NULL);
    r->stat_sn += 5; /* as if answers had been lost */
    answer(r, false, "ErrorRecoveryLevel=2", NULL);
    rig_take(r, PDU_OP_login_request);
    rig_advance(r, 10 * RIG_SECOND);
    assert_true(rig_quiet(r)); /* no SNACK, and no request again */
    for (int i = 0; i < 4; i++)
        assert_int_equal(ini_counters(r->s)->snacks[i], 0);
    rig_advance(r, 21 * RIG_SECOND);
    refused(r); /* and no recovery of the connection */
    rig_free(r);
    PROVES("R7143-7.1.4-02", "initiator");
}

/* Whether a write gets its R2T is the target's affair. */
static void a_late_r2t_is_not_asked_for(void **state)
{
    (void)state;
    for (uint32_t level = 1; level < 3; level++) {
        struct rig *r = rig_at_level(level, false);
        struct rig_command rc;
        rig_command(r, &rc, true, 65536 + 8192, 1);
        rig_submit(r, &rc);
        uint32_t itt = rig_take_command(r).itt;
        for (int i = 0; i < 30; i++) {
            rig_advance(r, RIG_SECOND / 2);
            while (!rig_quiet(r)) { /* only pings, which ask for nothing of the command's */
                struct pdu_nop_out ping;
                RIG_TAKE(r, nop_out, &ping);
                RIG_PDU(r, nop_in, pong);
                pong.itt = ping.itt;
                pong.ttt = PDU_TAG_RESERVED;
                pong.stat_sn = r->stat_sn++;
                RIG_SEND(r, nop_in, &pong, NULL, 0);
            }
        }
        assert_int_equal(ini_counters(r->s)->snacks[0], 0);
        rig_r2t(r, itt, 5, 0, 65536, 4096);
        rig_take(r, PDU_OP_data_out);
        /* One that was lost before another came is asked for, once; the answer's delay is the target's. */
        rig_r2t(r, itt, 7, 2, 65536 + 4096, 4096);
        rig_take(r, PDU_OP_snack_request);
        for (int i = 0; i < 3; i++)
            rig_advance(r, RIG_SECOND);
        assert_int_equal(ini_counters(r->s)->snacks[0], 1);
        rig_free(r);
        rig_command_fini(&rc);
    }
    PROVES("R7143-7.1.4.1-01", "initiator");
}

/* ---- reinstatement ---- */

/* A CID is taken over only when its connection has failed and waited: never one that works, nor one that
 * another connection takes over already. */
static void only_failed_connections_are_reinstated(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    rig_join(r, 1);
    assert_int_equal(ini_cid(r->conn), 1); /* connection 0 works */
    rig_join(r, 2);
    rig_use(r, 1);
    rig_cut(r, ERR_RESET);
    rig_forget_events(r);
    rig_use(r, 3); /* too early to take its place: a place of its own */
    assert_int_equal(rig_connect(r), 0);
    assert_int_equal(ini_cid(r->conn), 3);
    rig_use(r, 0);
    rig_advance(r, 2 * RIG_SECOND); /* connection 0 begins to log CID 1 out */
    rig_use(r, 4);
    assert_int_equal(rig_connect(r), 0);
    assert_int_equal(ini_cid(r->conn), 4); /* in cleanup: not for the taking */
    rig_free(r);

    r = rig_at_level(2, false); /* the only one */
    rig_cut(r, ERR_RESET);
    rig_forget_events(r);
    rig_use(r, 1);
    assert_int_equal(rig_connect(r), ERR_AGAIN);
    rig_advance(r, 2 * RIG_SECOND - 1);
    assert_int_equal(rig_connect(r), ERR_AGAIN);
    rig_advance(r, 1);
    assert_int_equal(rig_connect(r), 0);
    assert_int_equal(ini_cid(r->conn), 0);
    rig_use(r, 2); /* while that login is on its way, there is nothing to take over */
    assert_int_equal(rig_connect(r), ERR_AGAIN);
    rig_free(r);
    PROVES("R7143-6.3.4-06", "initiator");
    PROVES("R7143-7.5-01", "initiator");
    PROVES("R7143-7.5.1-01", "initiator");
}

/* The times of a message count for the connection that it names. */
static void an_announced_wait_is_kept_before_reinstatement(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(2, false);
    RIG_PDU(r, async_message, pdu);
    pdu.itt = PDU_TAG_RESERVED;
    pdu.async_event = 2;
    pdu.parameter1 = 0;
    pdu.parameter2 = 9;
    pdu.parameter3 = 30;
    pdu.stat_sn = r->stat_sn++;
    RIG_SEND(r, async_message, &pdu, NULL, 0);
    rig_cut(r, 0);
    rig_use(r, 1);
    rig_advance(r, 9 * RIG_SECOND - 1);
    assert_int_equal(rig_connect(r), ERR_AGAIN);
    rig_advance(r, 1);
    assert_int_equal(rig_connect(r), 0);
    assert_int_equal(ini_cid(r->conn), 0);
    rig_free(r);
    PROVES("R7143-7.5.2-01", "initiator");
    PROVES("R7143-11.9.1-08", "initiator");
}

/* The end of a session is an I_T nexus loss: everything comes back, and is told as lost. */
static void the_end_of_a_session_is_told_to_scsi(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct rig *r = rig_at_level(how == 2 ? 2 : 0, false);
        struct rig_command rc[3];
        for (int i = 0; i < 3; i++) {
            rig_command(r, &rc[i], i == 1, 512, 1);
            rig_submit(r, &rc[i]);
        }
        if (how == 0)
            rig_cut(r, ERR_RESET);
        else if (how == 1)
            ini_abandon(r->s, "no more"), rig_cut(r, 0);
        else /* level 2: Time2Wait and Time2Retain pass */
            rig_cut(r, ERR_RESET), rig_advance(r, 3 * RIG_SECOND), rig_advance(r, 20 * RIG_SECOND);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(rc[i].reported, 1);
            assert_int_equal(rc[i].c.outcome, INI_DONE_LOST);
        }
        assert_true(rig_closed(r));
        rig_free(r);
        for (int i = 0; i < 3; i++)
            rig_command_fini(&rc[i]);
    }
    PROVES("R7143-6.3.5.1-01", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_key_is_offered_twice),
        cmocka_unit_test(aliases_and_architectures_are_only_told),
        cmocka_unit_test(the_node_architecture_comes_once),
        cmocka_unit_test(a_later_version_max_changes_nothing),
        cmocka_unit_test(discovery_has_one_connection_and_no_recovery),
        cmocka_unit_test(the_level_is_the_lower_one),
        cmocka_unit_test(parameters_start_from_their_defaults),
        cmocka_unit_test(another_portal_group_is_noticed),
        cmocka_unit_test(every_pdu_is_an_initiators),
        cmocka_unit_test(check_condition_needs_sense_data),
        cmocka_unit_test(check_condition_without_sense_may_be_allowed),
        cmocka_unit_test(an_r2t_fits_its_command),
        cmocka_unit_test(responses_have_their_meaning_to_scsi),
        cmocka_unit_test(responses_before_the_functions_count),
        cmocka_unit_test(nothing_is_recovered_during_login),
        cmocka_unit_test(a_late_r2t_is_not_asked_for),
        cmocka_unit_test(only_failed_connections_are_reinstated),
        cmocka_unit_test(an_announced_wait_is_kept_before_reinstatement),
        cmocka_unit_test(the_end_of_a_session_is_told_to_scsi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
