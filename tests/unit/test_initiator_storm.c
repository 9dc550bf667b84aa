/* Recovery under random loss, from the initiator's side.
 *
 * Goal: whatever PDUs are lost or damaged (level 1) and whatever connections break (level 2), every command
 * ends once, well, and with the right bytes, in bounded time. Method: a small model of a target that keeps
 * state per command loses PDUs of both directions, damages data, repeats itself, and cuts connections, by a
 * seed; it answers SNACKs, retries, recovery logouts and reassignments as the RFC wants. A failing seed is
 * printed. */
#include "tests/unit/initiator_harness.h"

#define STORM_COMMANDS 24
#define STORM_SEGMENT  512u
#define STORM_BURST    1024u

struct model_command {
    struct rig_command rc;
    uint8_t *disk; /* what was written, or is read */
    uint32_t itt, cmd_sn, link;
    bool taken, allegiant, write, answered, aborted; /* aborted: at the target */
    bool abort_tried;
    uint32_t next_sn;  /* DataSN or R2TSN */
    uint32_t got;      /* write: bytes in sequence */
    uint32_t asked_to; /* write: end of the burst asked for, 0: none */
    uint32_t stat_sn;
    uint32_t r2t_at[256], r2t_len[256]; /* what each R2T asked for */
};

struct model {
    struct rig *r;
    struct model_command c[STORM_COMMANDS];
    uint32_t submitted, loss;            /* loss: percent */
    uint32_t pending[64], pending_count; /* CmdSNs that came before their turn */
    uint64_t down_since[RIG_LINKS];
    bool up[RIG_LINKS];
    uint32_t cid[RIG_LINKS];
    uint32_t live;
};

static bool chance(struct model *m, uint32_t percent)
{
    return rig_random(m->r) % 100 < percent;
}

static struct model_command *model_find(struct model *m, uint32_t itt)
{
    for (uint32_t i = 0; i < m->submitted; i++)
        if (m->c[i].itt == itt && itt)
            return &m->c[i];
    return NULL;
}

/* ---- the target speaks ---- */

static void say_data(struct model *m, struct model_command *c, uint32_t sn)
{
    uint8_t bhs[PDU_BHS_LEN], bytes[STORM_SEGMENT];
    uint32_t at = sn * STORM_SEGMENT, len = c->rc.len - at < STORM_SEGMENT ? c->rc.len - at : STORM_SEGMENT;
    bool bad = chance(m, m->loss);
    RIG_PDU(m->r, data_in, pdu);
    pdu.itt = c->itt;
    pdu.ttt = PDU_TAG_RESERVED;
    pdu.data_sn = sn;
    pdu.buffer_offset = at;
    pdu.final = at + len == c->rc.len;
    if (chance(m, 20)) {
        pdu.acknowledge = 1;
        pdu.ttt = 0x1234;
    }
    if (chance(m, m->loss))
        return;
    memcpy(bytes, c->disk + at, len);
    bytes[0] ^= bad;
    pdu_data_in_encode(&pdu, bhs);
    rig_send_broken(m->r, bhs, bytes, len, bad ? 2 : 0);
}

static void say_r2t(struct model *m, struct model_command *c, uint32_t sn, uint32_t at)
{
    uint32_t len = c->rc.len - at < STORM_BURST ? c->rc.len - at : STORM_BURST;
    assert_true(sn < 256);
    c->asked_to = at + len;
    c->r2t_at[sn] = at;
    c->r2t_len[sn] = len;
    if (!chance(m, m->loss))
        rig_r2t(m->r, c->itt, 0x100 + sn, sn, at, len);
}

static void say_status(struct model *m, struct model_command *c)
{
    RIG_PDU(m->r, scsi_response, pdu);
    pdu.itt = c->itt;
    pdu.stat_sn = c->stat_sn;
    pdu.exp_data_sn = c->write ? 0 : (c->rc.len + STORM_SEGMENT - 1) / STORM_SEGMENT;
    if (!chance(m, m->loss))
        RIG_SEND(m->r, scsi_response, &pdu, NULL, 0);
}

/* One step of one command on the current link. */
static void work(struct model *m, struct model_command *c)
{
    uint32_t parts = (c->rc.len + STORM_SEGMENT - 1) / STORM_SEGMENT;
    if (c->answered)
        return;
    if (!c->write && c->next_sn < parts) {
        say_data(m, c, c->next_sn++);
    } else if (c->write && c->got < c->rc.len) {
        /* Nothing came for the last R2T, or not all: it is asked for again, by a recovery R2T. */
        if (c->got >= c->asked_to || chance(m, 10))
            say_r2t(m, c, c->next_sn++, c->got);
    } else {
        c->answered = true;
        c->stat_sn = m->r->stat_sn++;
        say_status(m, c);
    }
}

/* ---- the target listens ---- */

static void pending_advance(struct model *m)
{
    for (uint32_t i = 0; i < m->pending_count; i++) {
        if (m->pending[i] != m->r->exp_cmd_sn)
            continue;
        m->pending[i] = m->pending[--m->pending_count];
        m->r->exp_cmd_sn++;
        i = UINT32_MAX; /* from the start */
    }
    m->r->max_cmd_sn = m->r->exp_cmd_sn + 8;
}

static void hear_number(struct model *m, uint32_t cmd_sn)
{
    for (uint32_t i = 0; i < m->pending_count; i++)
        if (m->pending[i] == cmd_sn)
            return;
    if (sn_ge(cmd_sn, m->r->exp_cmd_sn))
        m->pending[m->pending_count++] = cmd_sn;
    pending_advance(m);
}

static void hear_command(struct model *m)
{
    struct pdu_scsi_command pdu;
    RIG_TAKE(m->r, scsi_command, &pdu);
    struct model_command *c = &m->c[pdu.cdb[5]];
    if (c->aborted)
        return;
    if (c->itt)
        assert_int_equal(c->itt, pdu.itt); /* retries are the same */
    if (c->taken || chance(m, m->loss))
        return;
    c->itt = pdu.itt;
    c->cmd_sn = pdu.cmd_sn;
    c->taken = c->allegiant = true;
    c->link = m->r->link;
    hear_number(m, pdu.cmd_sn);
}

static void hear_data(struct model *m)
{
    struct pdu_data_out pdu;
    RIG_TAKE(m->r, data_out, &pdu);
    struct model_command *c = model_find(m, pdu.itt);
    assert_non_null(c);
    assert_int_equal(c->link, m->r->link);
    memcpy(c->disk + pdu.buffer_offset, m->r->pdu.data, m->r->pdu.len);
    if (!chance(m, m->loss) && pdu.buffer_offset == c->got)
        c->got += m->r->pdu.len;
}

static void hear_snack(struct model *m)
{
    struct pdu_snack_request pdu;
    RIG_TAKE(m->r, snack_request, &pdu);
    struct model_command *c = model_find(m, pdu.itt);
    if (pdu.type == 1) {
        for (uint32_t i = 0; i < m->submitted; i++)
            if (m->c[i].answered && !m->c[i].aborted && m->c[i].link == m->r->link &&
                (pdu.run_length == 0 || m->c[i].stat_sn - pdu.beg_run < pdu.run_length))
                say_status(m, &m->c[i]);
        return;
    }
    if (pdu.type == 2)
        return;
    assert_int_equal(pdu.type, 0);
    assert_non_null(c);
    uint32_t end = pdu.run_length ? pdu.beg_run + pdu.run_length : c->next_sn;
    assert_true(end <= c->next_sn); /* nothing that was never sent */
    for (uint32_t sn = pdu.beg_run; sn < end; sn++) {
        if (!c->write)
            say_data(m, c, sn);
        else if (!chance(m, m->loss)) /* the very same */
            rig_r2t(m->r, c->itt, 0x100 + sn, sn, c->r2t_at[sn], c->r2t_len[sn]);
    }
}

static void hear_logout(struct model *m)
{
    struct pdu_logout_request pdu;
    RIG_TAKE(m->r, logout_request, &pdu);
    assert_int_equal(pdu.reason, 2);
    for (uint32_t i = 0; i < RIG_LINKS; i++)
        if (!m->up[i] && m->cid[i] == pdu.cid)
            m->cid[i] = UINT32_MAX; /* known no more */
    for (uint32_t i = 0; i < m->submitted; i++) {
        struct model_command *c = &m->c[i];
        if (c->taken && c->allegiant && !m->up[c->link] && m->cid[c->link] == UINT32_MAX) {
            c->allegiant = false;
            if (sn_ge(c->cmd_sn, m->r->exp_cmd_sn)) { /* unacknowledged: discarded */
                c->taken = false;
                for (uint32_t k = 0; k < m->pending_count; k++)
                    if (m->pending[k] == c->cmd_sn)
                        m->pending[k--] = m->pending[--m->pending_count];
            }
        }
    }
    rig_logout_response(m->r, pdu.itt, 0, 0, 20);
}

static void answer_function(struct model *m, uint32_t itt, uint8_t response)
{
    rig_tmf_response(m->r, itt, response);
}

/* A command that never came counts as received: its number is used up (RFC 7143 7.11). */
static void hear_abort(struct model *m, const struct pdu_task_management_request *pdu)
{
    struct model_command *c = NULL;
    for (uint32_t i = 0; i < m->submitted; i++)
        if (m->c[i].rc.c.itt == pdu->referenced_task_tag && m->c[i].abort_tried)
            c = &m->c[i];
    bool there = c && c->taken && !c->answered && !c->aborted;
    bool missing = c && !c->taken && sn_ge(pdu->ref_cmd_sn, m->r->exp_cmd_sn);
    if (there || missing)
        c->aborted = c->answered = true;
    if (missing)
        hear_number(m, pdu->ref_cmd_sn);
    answer_function(m, pdu->itt, there || missing ? 0 : 1);
}

static void hear_function(struct model *m)
{
    struct pdu_task_management_request pdu;
    RIG_TAKE(m->r, task_management_request, &pdu);
    if (pdu.function == 1) {
        hear_abort(m, &pdu);
        return;
    }
    assert_int_equal(pdu.function, 8);
    struct model_command *c = model_find(m, pdu.referenced_task_tag);
    if (c && c->aborted) {
        answer_function(m, pdu.itt, 1);
        return;
    }
    assert_non_null(c);
    assert_true(c->taken && !c->allegiant); /* only after its logout, only what is here */
    c->allegiant = true;
    c->link = m->r->link;
    c->answered = false;
    c->next_sn = c->write ? (chance(m, 50) ? 0 : c->next_sn) : pdu.exp_data_sn;
    c->asked_to = 0;
    answer_function(m, pdu.itt, 0);
}

static void hear_nop(struct model *m)
{
    struct pdu_nop_out pdu;
    RIG_TAKE(m->r, nop_out, &pdu);
    if (!pdu.immediate)
        hear_number(m, pdu.cmd_sn);
    RIG_PDU(m->r, nop_in, answer);
    answer.itt = pdu.itt;
    answer.ttt = PDU_TAG_RESERVED;
    answer.stat_sn = m->r->stat_sn++;
    RIG_SEND(m->r, nop_in, &answer, NULL, 0);
}

static void hear(struct model *m)
{
    while (!rig_quiet(m->r) && !rig_closing(m->r)) {
        switch (pdu_opcode(m->r->wire + m->r->wire_pos)) {
        case PDU_OP_scsi_command:
            hear_command(m);
            break;
        case PDU_OP_data_out:
            hear_data(m);
            break;
        case PDU_OP_snack_request:
            hear_snack(m);
            break;
        case PDU_OP_logout_request:
            hear_logout(m);
            break;
        case PDU_OP_nop_out:
            hear_nop(m);
            break;
        default:
            hear_function(m);
        }
    }
}

/* ---- connections come and go ---- */

static void implicit_logout(struct model *m, uint32_t cid, uint32_t link)
{
    for (uint32_t i = 0; i < RIG_LINKS; i++)
        if (i != link && !m->up[i] && m->cid[i] == cid)
            m->cid[i] = UINT32_MAX;
    for (uint32_t i = 0; i < m->submitted; i++) {
        struct model_command *c = &m->c[i];
        if (c->taken && c->allegiant && !m->up[c->link] && m->cid[c->link] == UINT32_MAX) {
            c->allegiant = false;
            if (sn_ge(c->cmd_sn, m->r->exp_cmd_sn)) {
                c->taken = false;
                for (uint32_t k = 0; k < m->pending_count; k++)
                    if (m->pending[k] == c->cmd_sn)
                        m->pending[k--] = m->pending[--m->pending_count];
            }
        }
    }
}

static void link_up(struct model *m, uint32_t link)
{
    struct rig *r = m->r;
    rig_use(r, link);
    r->wire_len = r->wire_pos = 0;
    r->stat_sn += 1000;
    r->over = false;
    r->header_digest = r->data_digest = false;
    assert_int_equal(rig_connect(r), 0);
    struct pdu_login_request login;
    pdu_login_request_decode(r->wire, &login);
    struct key_params session = *ini_params(r->s);
    key_negotiation_init(&r->keys, KEY_ROLE_TARGET, &r->key_config, false, &session);
    rig_login_step(r);
    implicit_logout(m, login.cid, link); /* before the answer that ends the login */
    rig_login_step(r);
    r->header_digest = r->data_digest = true;
    m->cid[link] = login.cid;
    m->up[link] = true;
    m->live++;
    rig_forget_events(r);
    rig_pump(r);
}

static void link_cut(struct model *m, uint32_t link)
{
    rig_use(m->r, link);
    m->up[link] = false;
    m->down_since[link] = m->r->now;
    m->live--;
    rig_cut(m->r, ERR_RESET);
    rig_forget_events(m->r);
}

/* Brings one back when Time2Wait is over: there are never more than four. */
static void links_mend(struct model *m)
{
    bool any = false;
    uint64_t newest = 0;
    for (uint32_t i = 0; i < RIG_LINKS; i++)
        if (!m->up[i] && m->down_since[i]) {
            any = true;
            newest = m->down_since[i] > newest ? m->down_since[i] : newest;
        }
    if (!any || m->live >= 3 || m->r->now < newest + 2 * RIG_SECOND)
        return;
    for (uint32_t i = 0; i < RIG_LINKS; i++) {
        bool busy = false; /* does the model still know commands by this link's number? */
        for (uint32_t k = 0; k < m->submitted; k++)
            busy |= m->c[k].taken && m->c[k].link == i && !m->c[k].rc.reported;
        if (m->up[i] || (m->live && busy))
            continue;
        if (busy && m->cid[i] != UINT32_MAX)
            continue;
        link_up(m, i);
        return;
    }
}

/* ---- a run ---- */

static void storm_command(struct model *m)
{
    struct model_command *c = &m->c[m->submitted];
    uint32_t len = 1 + (uint32_t)(rig_random(m->r) % 6000);
    c->write = chance(m, 50);
    rig_command(m->r, &c->rc, c->write, len, 1 + m->submitted % 3);
    c->rc.c.cdb[5] = (uint8_t)m->submitted;
    c->disk = calloc(1, len);
    assert_non_null(c->disk);
    if (!c->write)
        rig_random_bytes(m->r, c->disk, len);
    m->submitted++;
    assert_int_equal(ini_submit(m->r->s, &c->rc.c), 0);
}

/* Tries to abort one that is on its way. */
static void storm_abort(struct model *m)
{
    struct model_command *c = &m->c[rig_random(m->r) % m->submitted];
    uint32_t tag;
    if (c->rc.reported || c->abort_tried)
        return;
    int err = ini_task_management(m->r->s, 1, c->rc.c.lun, &c->rc.c, &tag);
    c->abort_tried = err == 0;
}

static uint32_t storm_done(const struct model *m)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < m->submitted; i++)
        done += m->c[i].rc.reported != 0;
    return done;
}

static void storm_step(struct model *m, uint32_t cuts)
{
    struct rig *r = m->r;
    for (uint32_t link = 0; link < RIG_LINKS; link++) {
        if (!m->up[link])
            continue;
        rig_use(r, link);
        rig_pump(r);
        hear(m);
        for (uint32_t i = 0; i < m->submitted && !rig_closing(r); i++) {
            struct model_command *c = &m->c[i];
            if (c->taken && c->allegiant && c->link == link && sn_lt(c->cmd_sn, r->exp_cmd_sn) &&
                !c->rc.reported)
                work(m, c);
        }
        if (!rig_closing(r))
            hear(m);
        rig_forget_events(r);
        if (rig_closing(r))
            fail_msg("the engine gave a connection up: %s",
                     r->events[r->event_count ? r->event_count - 1 : 0].reason);
        if (m->live > 0 && rig_random(r) % 1000 < cuts)
            link_cut(m, link);
    }
    r->now += RIG_SECOND / 4;
    ini_tick(r->s);
    rig_pump(r);
    if (cuts)
        links_mend(m);
}

static void storm(uint64_t seed, uint32_t level, uint32_t links, uint32_t loss, uint32_t cuts, bool aborts)
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    struct rig *r = m->r = rig_new();
    static const struct key_choices crc = {1, {KEY_DIGEST_CRC32C}};
    r->options.keys.max_connections = r->key_config.max_connections = RIG_LINKS;
    r->options.keys.error_recovery_level = r->key_config.error_recovery_level = level;
    r->options.keys.default_time2wait = r->key_config.default_time2wait = 2;
    r->options.keys.default_time2retain = r->key_config.default_time2retain = 3600;
    r->options.keys.header_digest = r->options.keys.data_digest = crc;
    r->key_config.header_digest = r->key_config.data_digest = crc;
    r->options.keys.immediate_data = r->key_config.immediate_data = false;
    r->options.keys.initial_r2t = r->key_config.initial_r2t = true;
    r->options.nop_interval_ns = 0;
    r->key_config.max_recv_data_segment_length = 512;
    rig_begin(r);
    rig_login(r);
    m->up[0] = true;
    m->live = 1;
    m->loss = loss;
    r->seed = seed;
    for (uint32_t i = 1; i < RIG_LINKS; i++)
        m->cid[i] = UINT32_MAX;
    for (uint32_t i = 1; i < links; i++) {
        rig_join(r, i);
        m->up[i] = true;
        m->cid[i] = i;
        m->live++;
    }
    r->cut_random = seed % 3 == 0;
    uint32_t steps = 0;
    for (; storm_done(m) < STORM_COMMANDS; steps++) {
        if (steps > 4000)
            fail_msg("seed %d: %u of %u ended after %u steps", (int)seed, storm_done(m), m->submitted, steps);
        if (m->submitted < STORM_COMMANDS && chance(m, 40))
            storm_command(m);
        if (aborts && m->submitted && chance(m, 10))
            storm_abort(m);
        storm_step(m, steps < 400 ? cuts : cuts ? 1 : 0);
    }
    for (uint32_t i = 0; i < STORM_COMMANDS; i++) {
        struct model_command *c = &m->c[i];
        if (c->rc.reported == 1 && c->abort_tried && c->rc.c.outcome != INI_DONE_STATUS)
            continue;
        if (c->rc.reported != 1 || c->rc.c.outcome != INI_DONE_STATUS || c->rc.c.status != 0 ||
            memcmp(c->disk, c->rc.data, c->rc.len) != 0)
            fail_msg("seed %d: command %u: reported %d, outcome %d, status %d, data %s", (int)seed, i,
                     c->rc.reported, c->rc.c.outcome, c->rc.c.status,
                     memcmp(c->disk, c->rc.data, c->rc.len) ? "wrong" : "right");
    }
    rig_free(r);
    for (uint32_t i = 0; i < STORM_COMMANDS; i++) {
        rig_command_fini(&m->c[i].rc);
        free(m->c[i].disk);
    }
    free(m);
}

static void nothing_is_lost_without_faults(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        storm(seed, (uint32_t)seed % 3, 1 + (uint32_t)seed % 3, 0, 0, false);
}

static void lost_and_damaged_pdus_are_recovered(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        storm(seed, 1, 1 + (uint32_t)seed % 3, 3 + (uint32_t)seed % 8, 0, false);
}

static void broken_connections_are_recovered(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        storm(seed, 2, 1 + (uint32_t)seed % 3, 0, 20, false);
}

static void both_at_once_are_recovered(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++)
        storm(seed, 2, 1 + (uint32_t)seed % 3, (uint32_t)seed % 10, 30, false);
}

static void aborts_in_the_storm_end_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++)
        storm(seed, 2, 1 + (uint32_t)seed % 3, (uint32_t)seed % 6, seed % 2 ? 20 : 0, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_without_faults),
        cmocka_unit_test(lost_and_damaged_pdus_are_recovered),
        cmocka_unit_test(broken_connections_are_recovered),
        cmocka_unit_test(both_at_once_are_recovered),
        cmocka_unit_test(aborts_in_the_storm_end_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
