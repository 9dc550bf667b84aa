/* The initiator engine's commands and data: immediate, unsolicited and solicited data-out, data-in, status,
 * the window.
 *
 * Goal: what goes out keeps every negotiated limit and carries the right bytes; what comes in lands in the
 * caller's places; a target that lies about any of it costs the session, never a byte outside the buffers,
 * and each command is reported exactly once. Method: a scripted target (initiator_harness.h). */
#include "tests/unit/initiator_harness.h"

#define LUN 0x0001000000000000ull

/* ---- writes ---- */

struct limits {
    bool initial_r2t, immediate;
    uint32_t first_burst, max_burst, max_recv, max_r2t;
};

static struct rig *limited_rig(const struct limits *limits, bool digests)
{
    struct rig *r = rig_new();
    struct key_config *t = &r->key_config;
    struct key_choices crc = {1, {KEY_DIGEST_CRC32C}};
    r->options.keys.initial_r2t = limits->initial_r2t;
    r->options.keys.immediate_data = limits->immediate;
    t->initial_r2t = limits->initial_r2t;
    t->immediate_data = limits->immediate;
    t->first_burst_length = limits->first_burst;
    t->max_burst_length = limits->max_burst;
    t->max_recv_data_segment_length = limits->max_recv;
    t->max_outstanding_r2t = r->options.keys.max_outstanding_r2t = limits->max_r2t;
    if (digests)
        r->options.keys.header_digest = r->options.keys.data_digest = t->header_digest = t->data_digest = crc;
    rig_begin(r);
    rig_login(r);
    assert_int_equal(ini_params(r->s)->first_burst_length, limits->first_burst);
    assert_int_equal(ini_params(r->s)->max_burst_length, limits->max_burst);
    return r;
}

/* Takes one sequence of Data-Out, checks it, and copies it into `disk`. Returns where it ended. */
static uint32_t take_sequence(struct rig *r, uint32_t itt, uint32_t ttt, uint32_t offset, uint32_t len,
                              uint8_t *disk)
{
    uint32_t max = ini_params(r->s)->peer_max_recv_data_segment_length, end = offset + len;
    for (uint32_t data_sn = 0; offset < end; data_sn++) {
        struct rig_pdu *p = rig_take(r, PDU_OP_data_out);
        struct pdu_data_out d;
        pdu_data_out_decode(p->bhs, &d);
        assert_int_equal(d.itt, itt);
        assert_int_equal(d.ttt, ttt);
        assert_true(ttt == PDU_TAG_RESERVED || d.lun == LUN);
        assert_int_equal(d.data_sn, data_sn);
        assert_int_equal(d.buffer_offset, offset);
        assert_int_equal(d.exp_stat_sn, r->stat_sn);
        assert_true(p->len > 0 && p->len <= max && p->len <= end - offset);
        assert_int_equal(d.final, offset + p->len == end);
        assert_true(d.final || p->len % 4 == 0);
        memcpy(disk + offset, p->data, p->len);
        offset += p->len;
    }
    return offset;
}

/* Command, immediate data and unsolicited burst; returns how much came without being asked for. */
static uint32_t take_unsolicited(struct rig *r, const struct limits *limits, struct rig_command *rc,
                                 uint8_t *disk, struct pdu_scsi_command *command)
{
    *command = rig_take_command(r);
    uint32_t immediate = r->pdu.len, first = rc->len < limits->first_burst ? rc->len : limits->first_burst;
    assert_true(command->write && !command->read);
    assert_int_equal(command->expected_data_transfer_length, rc->len);
    assert_true(limits->immediate || immediate == 0);
    assert_true(immediate <= first && immediate <= limits->max_recv);
    assert_int_equal(r->pdu.ahs_len, 0);
    memcpy(disk, r->pdu.data, immediate);
    bool more = !limits->initial_r2t && immediate < first;
    assert_int_equal(command->final, !more);
    if (more)
        return take_sequence(r, command->itt, PDU_TAG_RESERVED, immediate, first - immediate, disk);
    return immediate;
}

static void write_once(const struct limits *limits, uint32_t len, uint32_t pieces, bool digests)
{
    struct rig *r = limited_rig(limits, digests);
    struct rig_command rc;
    struct pdu_scsi_command command;
    uint8_t *disk = calloc(1, len + 1);
    assert_non_null(disk);
    rig_command(r, &rc, true, len, pieces);
    rig_submit(r, &rc);
    uint32_t at = take_unsolicited(r, limits, &rc, disk, &command), r2t_sn = 0;
    while (at < len) {
        /* As many R2Ts at once as were negotiated; all are answered, in order. */
        uint32_t asked[8], lens[8], n = 0;
        for (uint32_t ask = at; n < limits->max_r2t && n < 8 && ask < len; n++, r2t_sn++) {
            asked[n] = ask;
            lens[n] = len - ask < limits->max_burst ? len - ask : limits->max_burst;
            rig_r2t(r, command.itt, 0x4000 + r2t_sn, r2t_sn, ask, lens[n]);
            ask += lens[n];
        }
        for (uint32_t i = 0; i < n; i++)
            at = take_sequence(r, command.itt, 0x4000 + r2t_sn - n + i, asked[i], lens[i], disk);
    }
    assert_true(rig_quiet(r));
    assert_int_equal(rc.reported, 0);
    rig_response(r, command.itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.outcome, INI_DONE_STATUS);
    assert_int_equal(rc.c.status, 0);
    assert_memory_equal(disk, rc.data, len);
    rig_free(r);
    assert_int_equal(rc.reported, 1);
    rig_command_fini(&rc);
    free(disk);
}

static void writes_keep_all_limits_in_all_four_combinations(void **state)
{
    (void)state;
    static const uint32_t lens[] = {1, 511, 512, 4096, 8192, 8196, 65536, 65540, 200000};
    for (int combo = 0; combo < 4; combo++) {
        struct limits limits[] = {
            {combo & 1, combo & 2, 65536, 262144, 8192, 1},
            {combo & 1, combo & 2, 512, 512, 512, 4},
            {combo & 1, combo & 2, 4096, 16384, 65536, 8},
            {combo & 1, combo & 2, 8192, 8192, 1000, 2},
        };
        for (size_t l = 0; l < sizeof limits / sizeof *limits; l++)
            for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
                write_once(&limits[l], lens[i], 1 + (uint32_t)i % 3, i & 1);
    }
    PROVES("R7143-4.2.2.1-03", "initiator");
    PROVES("R7143-4.2.2.4-01", "initiator");
    PROVES("R7143-4.2.2.4-03", "initiator");
    PROVES("R7143-4.2.5.1-03", "initiator");
    PROVES("R7143-4.2.5.2-01", "initiator");
    PROVES("R7143-4.2.5.2-02", "initiator");
    PROVES("R7143-4.2.5.2-04", "initiator");
    PROVES("R7143-4.2.5.2-05", "initiator");
    PROVES("R7143-4.2.5.2-08", "initiator");
    PROVES("R7143-4.6-01", "initiator");
    PROVES("R7143-11-01", "initiator");
    PROVES("R7143-11-02", "initiator");
    PROVES("R7143-11.1-01", "initiator");
    PROVES("R7143-11.1-02", "initiator");
    PROVES("R7143-11.2-01", "initiator");
    PROVES("R7143-11.2.1.6-01", "initiator");
    PROVES("R7143-11.2.3-01", "initiator");
    PROVES("R7143-11.2.3-02", "initiator");
    PROVES("R7143-11.2.3-03", "initiator");
    PROVES("R7143-11.3.1-01", "initiator");
    PROVES("R7143-11.3.1-02", "initiator");
    PROVES("R7143-11.3.1-03", "initiator");
    PROVES("R7143-11.3.1-04", "initiator");
    PROVES("R7143-11.3.4-01", "initiator");
    PROVES("R7143-11.3.4-03", "initiator");
    PROVES("R7143-11.3.4-04", "initiator");
    PROVES("R7143-11.7.1-01", "initiator");
    PROVES("R7143-11.7.1-03", "initiator");
    PROVES("R7143-11.7.1-05", "initiator");
    PROVES("R7143-11.7.1-06", "initiator");
    PROVES("R7143-11.7.4-01", "initiator");
    PROVES("R7143-11.7.4-02", "initiator");
    PROVES("R7143-11.7.4-04", "initiator");
    PROVES("R7143-11.7.6-01", "initiator");
    PROVES("R7143-11.7.6-02", "initiator");
    PROVES("R7143-11.7.6-03", "initiator");
    PROVES("R7143-11.7.7-02", "initiator");
    PROVES("R7143-11.8-01", "initiator");
    PROVES("R7143-11.8-02", "initiator");
    PROVES("R7143-11.8-03", "initiator");
    PROVES("R7143-11.8-05", "initiator");
    PROVES("R7143-11.8-07", "initiator");
    PROVES("R7143-11.8-11", "initiator");
    PROVES("R7143-13.1-02", "initiator");
    PROVES("R7143-13.1-03", "initiator");
    PROVES("R7143-13.1-04", "initiator");
    PROVES("R7143-13.1-05", "initiator");
    PROVES("R7143-13.1-06", "initiator");
    PROVES("R7143-13.10-01", "initiator");
    PROVES("R7143-13.10-02", "initiator");
    PROVES("R7143-13.11-01", "initiator");
    PROVES("R7143-13.11-03", "initiator");
    PROVES("R7143-13.11-05", "initiator");
    PROVES("R7143-13.11-06", "initiator");
    PROVES("R7143-13.11-07", "initiator");
    PROVES("R7143-13.12-01", "initiator");
    PROVES("R7143-13.12-02", "initiator");
    PROVES("R7143-13.12-03", "initiator");
    PROVES("R7143-13.17-01", "initiator");
    PROVES("R7143-13.18-01", "initiator");
    PROVES("R7143-13.19-01", "initiator");
    PROVES("R7143-13.19-02", "initiator");
}

/* Two writes at once: their unsolicited data comes in the order of the commands. */
static void unsolicited_data_follows_the_order_of_commands(void **state)
{
    (void)state;
    struct limits limits = {false, false, 16384, 65536, 8192, 1};
    struct rig *r = limited_rig(&limits, false);
    struct rig_command a, b;
    struct pdu_scsi_command pdu;
    uint8_t disk[16384];
    rig_command(r, &a, true, sizeof disk, 1);
    rig_command(r, &b, true, sizeof disk, 1);
    r->hold_output = true;
    rig_submit(r, &a);
    rig_submit(r, &b);
    r->hold_output = false;
    rig_pump(r);
    take_unsolicited(r, &limits, &a, disk, &pdu);
    uint32_t first = pdu.itt;
    assert_memory_equal(disk, a.data, sizeof disk);
    take_unsolicited(r, &limits, &b, disk, &pdu);
    assert_memory_equal(disk, b.data, sizeof disk);
    assert_int_not_equal(pdu.itt, first);
    assert_int_not_equal(pdu.itt, PDU_TAG_RESERVED);
    rig_response(r, pdu.itt, 0, NULL, 0); /* in the other order: interleaving is free */
    rig_response(r, first, 0, NULL, 0);
    assert_int_equal(a.reported + b.reported, 2);
    rig_free(r);
    rig_command_fini(&a);
    rig_command_fini(&b);
    PROVES("R7143-4.2.2.1-09", "initiator");
    PROVES("R7143-4.2.5.1-06", "initiator");
    PROVES("R7143-4.2.5.2-11", "initiator");
    PROVES("R7143-4.2.5.3-01", "initiator");
    PROVES("R7143-11.2.1.8-01", "initiator");
    PROVES("R7143-11.2.1.8-02", "initiator");
}

/* Status may overtake data of ours that is still with the network: the buffers come back only afterwards. */
static void a_write_is_reported_only_when_its_buffer_is_free(void **state)
{
    (void)state;
    struct limits limits = {true, true, 65536, 65536, 8192, 1};
    struct rig *r = limited_rig(&limits, false);
    struct rig_command rc;
    rig_command(r, &rc, true, 4096, 1);
    struct io_vec places[8];
    r->hold_output = true;
    rig_submit(r, &rc);
    uint32_t n = ini_gather(r->conn, places, 8); /* lent */
    assert_true(n >= 2);
    uint64_t len = 0;
    for (uint32_t i = 0; i < n; i++)
        len += places[i].len;
    struct pdu_scsi_command pdu;
    pdu_scsi_command_decode(places[0].ptr, &pdu);
    rig_response(r, pdu.itt, 2, NULL, 0);
    assert_int_equal(rc.reported, 0);
    ini_sent(r->conn, 100); /* the header and a part */
    rig_pull_events(r);
    assert_int_equal(rc.reported, 0);
    n = ini_gather(r->conn, places, 8);
    ini_sent(r->conn, len - 100);
    rig_pull_events(r);
    assert_int_equal(rc.reported, 1);
    rig_free(r);
    rig_command_fini(&rc);
}

static void a_lost_session_waits_for_lent_buffers(void **state)
{
    (void)state;
    struct limits limits = {true, true, 65536, 65536, 8192, 1};
    struct rig *r = limited_rig(&limits, false);
    struct rig_command rc;
    struct io_vec places[8];
    rig_command(r, &rc, true, 4096, 1);
    r->hold_output = true;
    rig_submit(r, &rc);
    assert_true(ini_gather(r->conn, places, 8) > 0);
    ini_lost(r->conn, ERR_RESET);
    rig_pull_events(r);
    assert_int_equal(rc.reported, 0);
    ini_sent(r->conn, 0);
    rig_pull_events(r);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.outcome, INI_DONE_LOST);
    rig_free(r);
    assert_int_equal(rc.reported, 1);
    rig_command_fini(&rc);
    PROVES("R7143-11.4.3-03", "initiator");
    PROVES("R7143-7.1.4.4-02", "initiator");
}

/* ---- reads ---- */

/* One read of `len` in PDUs of at most `segment`; phase collapse or a separate response. */
static void read_once(struct rig *r, uint32_t len, uint32_t pieces, uint32_t segment, bool collapse)
{
    struct rig_command rc;
    uint8_t *disk = malloc(len + 1);
    assert_non_null(disk);
    rig_random_bytes(r, disk, len);
    rig_command(r, &rc, false, len, pieces);
    rig_submit(r, &rc);
    struct pdu_scsi_command command = rig_take_command(r);
    assert_true(command.read && !command.write && command.final);
    assert_int_equal(command.expected_data_transfer_length, len);
    uint32_t data_sn = 0;
    for (uint32_t at = 0; at < len; data_sn++) {
        uint32_t n = len - at < segment ? len - at : segment;
        RIG_PDU(r, data_in, pdu);
        pdu.itt = command.itt;
        pdu.ttt = PDU_TAG_RESERVED;
        pdu.data_sn = data_sn;
        pdu.buffer_offset = at;
        pdu.final = pdu.has_status = collapse && at + n == len;
        pdu.acknowledge = data_sn & 1; /* ignored at level 0 */
        if (!pdu.has_status) {         /* numbers that count only with S */
            pdu.stat_sn = 0xdeadbeef;
            pdu.status = 0xff;
            pdu.residual_count = 99;
            pdu.underflow = 1;
        } else {
            pdu.stat_sn = r->stat_sn++;
        }
        RIG_SEND(r, data_in, &pdu, disk + at, n);
        at += n;
    }
    if (!collapse) {
        assert_int_equal(rc.reported, 0);
        RIG_PDU(r, scsi_response, pdu);
        pdu.itt = command.itt;
        pdu.stat_sn = r->stat_sn++;
        pdu.exp_data_sn = data_sn;
        pdu.residual_count = 7; /* without O and U it means nothing */
        RIG_SEND(r, scsi_response, &pdu, NULL, 0);
    }
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.status, 0);
    assert_int_equal(rc.c.in_done, len);
    assert_int_equal(rc.c.residual, 0);
    assert_memory_equal(rc.data, disk, len);
    assert_true(rig_quiet(r)); /* no SNACK, no acknowledgement */
    rig_command_fini(&rc);
    free(disk);
}

static void reads_land_in_the_callers_places_however_bytes_arrive(void **state)
{
    (void)state;
    static const uint32_t lens[] = {1, 4, 511, 4096, 5000, 65536, 300001};
    for (uint32_t way = 0; way < 6; way++) {
        for (int digests = 0; digests < 2; digests++) {
            struct limits limits = {true, true, 65536, 65536, 8192, 1};
            struct rig *r = limited_rig(&limits, digests);
            r->cut = way == 0 ? 0 : way == 1 ? 7 : way == 2 ? 4096 : way == 3 ? 49 : 0;
            r->cut_random = way > 3;
            for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
                if (way == 0 || lens[i] < 70000)
                    for (uint32_t pieces = 1; pieces < 4; pieces++)
                        read_once(r, lens[i], pieces, pieces == 2 ? 4096 : 65536, (i + pieces) & 1);
            rig_free(r);
        }
    }
    PROVES("R7143-11.2.1.5-01", "initiator");
    PROVES("R7143-11.3.3-01", "initiator");
    PROVES("R7143-11.4.5.1-02", "initiator");
    PROVES("R7143-11.7-01", "initiator");
    PROVES("R7143-11.7.2-04", "initiator");
    PROVES("R7143-11.7.3-04", "initiator");
    PROVES("R7143-4.2.2.2-02", "initiator");
    PROVES("R7143-7.1.5-05", "initiator");
}

static void zero_length_data_in_is_accepted(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    struct rig_command rc;
    rig_command(r, &rc, false, 512, 1);
    rig_submit(r, &rc);
    struct pdu_scsi_command command = rig_take_command(r);
    uint8_t data[512];
    memset(data, 0x5a, sizeof data);
    rig_data_in(r, command.itt, 0, 0, NULL, 0, false);
    rig_data_in(r, command.itt, 1, 0, data, sizeof data, true);
    rig_response(r, command.itt, 0, NULL, 0);
    assert_int_equal(rc.reported, 1);
    assert_memory_equal(rc.data, data, sizeof data);
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-11.7.7-01", "initiator");
}

static void sense_and_residuals_come_back(void **state)
{
    (void)state;
    struct rig *r = rig_up();
    struct rig_command rc;
    uint8_t sense[20] = {0, 18, 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21};
    rig_command(r, &rc, false, 4096, 1);
    rig_submit(r, &rc);
    RIG_PDU(r, scsi_response, pdu);
    pdu.itt = rig_take_command(r).itt;
    pdu.status = 2;
    pdu.underflow = 1;
    pdu.residual_count = 4096;
    pdu.stat_sn = r->stat_sn++;
    pdu.max_cmd_sn = r->max_cmd_sn;
    pdu.exp_cmd_sn = r->exp_cmd_sn;
    pdu.status_qualifier = 0x1234; /* of a level that was not negotiated */
    RIG_SEND(r, scsi_response, &pdu, sense, sizeof sense);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.status, 2);
    assert_int_equal(rc.c.sense_len, 18);
    assert_memory_equal(rc.c.sense, sense + 2, 18);
    assert_true(rc.c.underflow && !rc.c.overflow);
    assert_int_equal(rc.c.residual, 4096);
    rig_command_fini(&rc);

    rig_command(r, &rc, false, 16, 1); /* overflow, in a Data-In with status; a sense length that lies */
    rig_submit(r, &rc);
    RIG_PDU(r, data_in, data);
    data.itt = rig_take_command(r).itt;
    data.ttt = PDU_TAG_RESERVED;
    data.final = data.has_status = data.overflow = 1;
    data.residual_count = 20;
    data.stat_sn = r->stat_sn++;
    RIG_SEND(r, data_in, &data, sense, 16);
    assert_int_equal(rc.reported, 1);
    assert_true(rc.c.overflow);
    assert_int_equal(rc.c.residual, 20);
    rig_command_fini(&rc);

    rig_command(r, &rc, false, 16, 1);
    rig_submit(r, &rc);
    be16_put(sense, 0xffff);
    rig_response(r, rig_take_command(r).itt, 2, sense, sizeof sense);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.sense_len, 18);
    rig_command_fini(&rc);

    rig_command(r, &rc, false, 16, 1); /* response code 1: status means nothing */
    rig_submit(r, &rc);
    RIG_PDU(r, scsi_response, failure);
    failure.itt = rig_take_command(r).itt;
    failure.response = 1;
    failure.status = 0;
    failure.stat_sn = r->stat_sn++;
    RIG_SEND(r, scsi_response, &failure, NULL, 0);
    assert_int_equal(rc.reported, 1);
    assert_int_equal(rc.c.response, 1);
    rig_free(r);
    rig_command_fini(&rc);
    PROVES("R7143-10.2-01", "initiator");
    PROVES("R7143-11.4.2-01", "initiator");
    PROVES("R7143-11.4.3-01", "initiator");
    PROVES("R7143-11.4.3-02", "initiator");
    PROVES("R7143-11.4.7-03", "initiator");
    PROVES("R7144-5.2.1-02", "initiator");
}

static void long_cdbs_go_in_an_additional_header(void **state)
{
    (void)state;
    static const uint16_t lens[] = {17, 18, 20, 32, 33};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct rig *r = rig_up();
        struct rig_command rc;
        rig_command(r, &rc, false, 0, 0);
        rc.c.cdb_len = lens[i];
        for (uint16_t b = 0; b < lens[i]; b++)
            rc.c.cdb[b] = (uint8_t)(b + 1);
        rig_submit(r, &rc);
        struct pdu_scsi_command pdu = rig_take_command(r);
        uint32_t extra = lens[i] - 16u;
        assert_memory_equal(pdu.cdb, rc.c.cdb, 16);
        assert_int_equal(r->pdu.ahs_len, (4 + extra + 3) / 4 * 4);
        assert_int_equal(be16_get(r->pdu.ahs), extra + 1);
        assert_int_equal(r->pdu.ahs[2], 1);
        assert_memory_equal(r->pdu.ahs + 4, rc.c.cdb + 16, extra);
        assert_true(pdu.final && !pdu.read && !pdu.write);
        rig_free(r);
        rig_command_fini(&rc);
    }
    PROVES("R7143-11.2.2.1-01", "initiator");
    PROVES("R7143-11.2.2.2-01", "initiator");
    PROVES("R7143-11.2.2.3-01", "initiator");
    PROVES("R7143-11.2.2.3-02", "initiator");
    PROVES("R7143-11.3.5-01", "initiator");
}

/* ---- the window ---- */

static void commands_wait_for_the_window(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct rig_command rc[6];
    r->max_cmd_sn = 2;
    rig_begin(r);
    rig_login(r);
    for (int i = 0; i < 6; i++) {
        rig_command(r, &rc[i], false, 0, 0);
        rig_submit(r, &rc[i]);
    }
    uint32_t itt[6];
    uint32_t max = r->max_cmd_sn;
    itt[0] = rig_take_command(r).itt;
    itt[1] = rig_take_command(r).itt;
    r->max_cmd_sn = max;
    assert_true(rig_quiet(r));

    /* An immediate command goes all the same, and does not move CmdSN. */
    struct rig_command now;
    rig_command(r, &now, false, 0, 0);
    now.c.immediate = true;
    rig_submit(r, &now);
    struct pdu_scsi_command pdu = rig_take_command(r);
    assert_true(pdu.immediate);
    assert_int_equal(pdu.cmd_sn, 3);
    assert_true(rig_quiet(r));

    rig_response(r, itt[0], 0, NULL, 0); /* window still closed */
    assert_true(rig_quiet(r));
    r->max_cmd_sn = 1; /* older than what we know: ignored */
    rig_response(r, itt[1], 0, NULL, 0);
    assert_true(rig_quiet(r));
    r->exp_cmd_sn = 3;
    r->max_cmd_sn = 0x80000003; /* no order: ignored */
    rig_response(r, pdu.itt, 0, NULL, 0);
    assert_true(rig_quiet(r));
    assert_int_equal(now.reported, 1);

    RIG_PDU(r, nop_in, nop); /* any PDU opens it, also a NOP-In that wants no answer */
    nop.itt = nop.ttt = PDU_TAG_RESERVED;
    nop.stat_sn = r->stat_sn;
    nop.exp_cmd_sn = 3;
    nop.max_cmd_sn = 4;
    RIG_SEND(r, nop_in, &nop, NULL, 0);
    r->max_cmd_sn = 4;
    rig_take_command(r);
    rig_take_command(r);
    assert_true(rig_quiet(r));
    rig_lost(r, ERR_RESET);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(rc[i].reported, 1);
        rig_command_fini(&rc[i]);
    }
    rig_free(r);
    rig_command_fini(&now);
    PROVES("R7143-4.2.2.1-01", "initiator");
    PROVES("R7143-4.2.2.1-02", "initiator");
    PROVES("R7143-4.2.2.1-19", "initiator");
    PROVES("R7143-4.2.2.1-20", "initiator");
    PROVES("R7143-11.4.10-01", "initiator");
    PROVES("R7143-11.18-02", "initiator");
}

static void more_commands_than_task_tags_just_wait(void **state)
{
    (void)state;
    enum { MANY = 1500 };
    struct rig *r = rig_new();
    struct rig_command *rc = calloc(MANY, sizeof *rc);
    assert_non_null(rc);
    r->max_cmd_sn = 100000;
    rig_begin(r);
    rig_login(r);
    for (int i = 0; i < MANY; i++) {
        rig_command(r, &rc[i], false, 0, 0);
        rig_submit(r, &rc[i]);
    }
    for (int i = 0; i < MANY; i++) {
        struct pdu_scsi_command pdu;
        pdu_scsi_command_decode(rig_take(r, PDU_OP_scsi_command)->bhs, &pdu);
        assert_int_equal(pdu.cmd_sn, r->exp_cmd_sn++);
        rig_forget_events(r); /* too many to keep: only the counts matter */
        rig_response(r, pdu.itt, 0, NULL, 0);
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(rc[i].reported, 1);
        rig_command_fini(&rc[i]);
    }
    free(rc);
    rig_free(r);
}

static void submitting_to_a_dead_session_is_refused(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    struct rig_command rc;
    rig_begin(r);
    rig_command(r, &rc, true, 512, 1);
    assert_int_equal(ini_submit(r->s, &rc.c), ERR_CLOSED); /* still in login */
    rig_lost(r, 0);
    assert_int_equal(ini_submit(r->s, &rc.c), ERR_CLOSED);
    rig_free(r);
    assert_int_equal(rc.reported, 0);
    rig_command_fini(&rc);
    PROVES("R7143-4.2.5-01", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_keep_all_limits_in_all_four_combinations),
        cmocka_unit_test(unsolicited_data_follows_the_order_of_commands),
        cmocka_unit_test(a_write_is_reported_only_when_its_buffer_is_free),
        cmocka_unit_test(a_lost_session_waits_for_lent_buffers),
        cmocka_unit_test(reads_land_in_the_callers_places_however_bytes_arrive),
        cmocka_unit_test(zero_length_data_in_is_accepted),
        cmocka_unit_test(sense_and_residuals_come_back),
        cmocka_unit_test(long_cdbs_go_in_an_additional_header),
        cmocka_unit_test(commands_wait_for_the_window),
        cmocka_unit_test(more_commands_than_task_tags_just_wait),
        cmocka_unit_test(submitting_to_a_dead_session_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
