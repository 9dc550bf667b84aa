/* What a retry holds back (RFC 7143 4.2.2.1, 10.4): CmdSN while a command that went out twice may have a twin
 * underway.
 *
 * Goal: the oldest retry of each connection counts until a later number of that connection is acknowledged; a
 * NOP-Out makes that sure, on the right connection, once; no other connection is bothered. Method: a
 * scripted target (initiator_harness.h) and a plain model in 64-bit numbers that never wrap, compared after
 * each of many random steps, with the numbers beginning near 2^31 and 2^32. */
#include "initiator/iscsi/internal.h"
#include "tests/unit/initiator_harness.h"

#define CONNS 3u
#define FAR   0x7fffffffull /* CmdSN may not get this far from a retry */
#define SOON  0x100000ull   /* from here on a NOP-Out is wanted */

struct model_conn {
    bool retried, flushing;
    uint64_t retry, flush;
};

struct model {
    struct model_conn conn[CONNS];
    uint64_t cmd_sn, exp_cmd_sn, max_cmd_sn;
};

static void model_retry(struct model_conn *c, uint64_t sn)
{
    if (!c->retried || sn < c->retry)
        c->retry = sn;
    c->retried = true;
    c->flushing = false;
}

static void model_new_number(struct model_conn *c, uint64_t sn)
{
    if (c->retried && !c->flushing) {
        c->flushing = true;
        c->flush = sn;
    }
}

/* The next number would be too far from a retry. */
static bool model_far(const struct model *m)
{
    bool far = false;
    for (uint32_t i = 0; i < CONNS; i++)
        far = far || (m->conn[i].retried && m->cmd_sn - m->conn[i].retry >= FAR);
    return far;
}

/* How many NOP-Outs go out on each connection, and whether the next number has to wait. */
static bool model_holds(struct model *m, const bool *usable, uint32_t *plugs)
{
    for (uint32_t i = 0; i < CONNS; i++) {
        struct model_conn *c = &m->conn[i];
        plugs[i] = 0;
        if (c->retried && c->flushing && m->exp_cmd_sn > c->flush)
            c->retried = false;
        if (!c->retried)
            continue;
        if (m->cmd_sn - c->retry >= SOON && !c->flushing && usable[i] && m->cmd_sn <= m->max_cmd_sn &&
            !model_far(m)) {
            plugs[i] = 1;
            model_new_number(c, m->cmd_sn++);
        }
    }
    return model_far(m) || m->cmd_sn > m->max_cmd_sn;
}

static void rig_numbers(struct rig *r, const struct model *m)
{
    r->s->cmd_sn = (uint32_t)m->cmd_sn;
    r->s->exp_cmd_sn = (uint32_t)m->exp_cmd_sn;
    r->s->max_cmd_sn = (uint32_t)m->max_cmd_sn;
}

static void same_state(struct rig *r, const struct model *m, struct ini_conn *const *conns)
{
    uint32_t retried = 0;
    for (uint32_t i = 0; i < CONNS; i++) {
        const struct model_conn *c = &m->conn[i];
        assert_int_equal(conns[i]->retried, c->retried);
        retried += c->retried;
        if (!c->retried)
            continue;
        assert_int_equal(conns[i]->retry_sn, (uint32_t)c->retry);
        assert_int_equal(conns[i]->flushing, c->flushing);
        if (c->flushing)
            assert_int_equal(conns[i]->flush_sn, (uint32_t)c->flush);
    }
    assert_int_equal(r->s->retried, retried);
    assert_int_equal(r->s->cmd_sn, (uint32_t)m->cmd_sn);
}

/* The NOP-Outs that have been sent: one for each that the model expects, where it expects it. */
static void same_plugs(struct rig *r, const struct model *m, const uint32_t *plugs)
{
    for (uint32_t i = 0; i < CONNS; i++) {
        struct pdu_nop_out nop;
        rig_use(r, i);
        rig_pump(r);
        if (plugs[i]) {
            RIG_TAKE(r, nop_out, &nop);
            assert_false(nop.immediate);
            assert_int_equal(nop.ttt, PDU_TAG_RESERVED);
            assert_int_equal(nop.cmd_sn, (uint32_t)m->conn[i].flush);
            struct ini_slot *slot = ini_slot_find(r->s, nop.itt);
            assert_non_null(slot);
            assert_ptr_equal(slot->conn, r->conn);
            assert_true(slot->quiet);
            ini_slot_release(r->s, nop.itt);
        }
        assert_true(rig_quiet(r));
    }
}

/* Of all connections, in the session's order, that may be asked for this number. */
static void same_owner(struct rig *r, const struct model *m, struct ini_conn *const *conns,
                       const bool *usable, uint64_t sn)
{
    struct ini_conn *expected = NULL;
    for (uint32_t i = 0; i < CONNS && !expected; i++)
        if (m->conn[i].retried && m->conn[i].flushing && m->conn[i].flush == sn && usable[i])
            expected = conns[i];
    assert_ptr_equal(ini_retry_conn(r->s, (uint32_t)sn), expected);
}

static void set_usable(struct ini_conn *const *conns, const bool *usable)
{
    for (uint32_t i = 0; i < CONNS; i++)
        conns[i]->logout_wanted = usable && !usable[i];
}

static void random_steps(uint64_t seed, uint64_t first)
{
    struct rig *r = rig_at_level(1, false);
    struct model m = {.cmd_sn = first, .exp_cmd_sn = first, .max_cmd_sn = first + 31};
    struct ini_conn *conns[CONNS];
    bool usable[CONNS] = {true, true, true};
    uint32_t plugs[CONNS];
    r->seed = seed;
    conns[0] = r->conn;
    for (uint32_t i = 1; i < CONNS; i++) {
        rig_join(r, i);
        conns[i] = r->conn;
    }
    static const uint64_t jumps[] = {0, 1, 2, 40, SOON - 2, SOON - 1, SOON, SOON + 1, FAR - 2, FAR - 1, FAR};
    for (int step = 0; step < 400; step++) {
        uint32_t i = (uint32_t)(rig_random(r) % CONNS);
        uint64_t behind = rig_random(r) % 5, to;
        switch (rig_random(r) % 7) {
        case 0:
        case 1: /* a command below CmdSN goes again */
            model_retry(&m.conn[i], m.cmd_sn - 1 - behind);
            ini_retry_note(conns[i], (uint32_t)(m.cmd_sn - 1 - behind));
            break;
        case 2: /* a new one */
            if (m.cmd_sn <= m.max_cmd_sn && !model_far(&m)) {
                model_new_number(&m.conn[i], m.cmd_sn);
                ini_retry_sent(conns[i], (uint32_t)m.cmd_sn);
                m.cmd_sn++;
            }
            break;
        case 3: /* acknowledged, some or all */
            if (m.exp_cmd_sn + behind <= m.cmd_sn)
                m.exp_cmd_sn = behind ? m.exp_cmd_sn + behind : m.cmd_sn;
            m.max_cmd_sn = m.cmd_sn + behind; /* and a window of few places */
            break;
        case 4: /* many numbers later, counted from the retry of one connection */
            to = m.conn[i].retried ? m.conn[i].retry : m.cmd_sn;
            to += jumps[rig_random(r) % (sizeof jumps / sizeof jumps[0])];
            for (uint32_t k = 0; k < CONNS; k++) /* no further than all of them allow */
                if (m.conn[k].retried && to > m.conn[k].retry + FAR)
                    to = m.conn[k].retry + FAR;
            if (to > m.cmd_sn) {
                m.cmd_sn = to;
                m.max_cmd_sn = to + behind;
                /* What has been sent since stays unacknowledged, at times: then the flush is still waited
                 * for. */
                m.exp_cmd_sn = rig_random(r) % 2 || to - m.exp_cmd_sn > FAR ? to : m.exp_cmd_sn;
            }
            break;
        case 5: /* one that is about to be logged out takes nothing new */
            usable[i] = !usable[i];
            break;
        default:
            if (m.conn[i].retried && behind == 0) {
                m.conn[i].retried = false;
                ini_retry_forget(conns[i]);
            }
        }
        rig_numbers(r, &m);
        same_state(r, &m, conns);
        bool ask = rig_random(r) % 3 != 0;
        set_usable(conns, usable);
        same_owner(r, &m, conns, usable, m.conn[i].flush);
        same_owner(r, &m, conns, usable, m.cmd_sn);
        if (ask)
            assert_int_equal(ini_retry_holds(r->s), model_holds(&m, usable, plugs));
        set_usable(conns, NULL); /* or the engine would log them out now */
        if (!ask)
            continue;
        same_state(r, &m, conns);
        same_plugs(r, &m, plugs);
    }
    rig_free(r);
}

static void a_plain_model_agrees(void **state)
{
    (void)state;
    static const uint64_t first[] = {1000, 0x7ffff000, 0x7fffffff, 0xffffff00, 0x17ffffff0};
    for (uint64_t seed = 1; seed <= 40; seed++)
        random_steps(seed, first[seed % 5]);
    PROVES("R7143-4.2.2.1-23", "initiator");
    PROVES("R7143-10.4-01", "initiator");
}

/* The flush itself is lost: ExpCmdSN stands still at its number, and the NOP-Out goes out again, on the
 * connection of the retry even when another one has less to do. */
static void a_lost_flush_goes_again_on_its_connection(void **state)
{
    (void)state;
    struct rig *r = rig_at_level(1, false);
    struct rig_command rc[2];
    struct pdu_nop_out nop;
    struct pdu_scsi_command c;
    rig_join(r, 1);
    for (int i = 0; i < 2; i++) {
        rig_command(r, &rc[i], false, 0, 0);
        rig_submit(r, &rc[i]);
    }
    rig_use(r, 0);
    RIG_TAKE(r, scsi_command, &c);
    rig_use(r, 1); /* has one command too: a tie, which goes to the first */
    RIG_TAKE(r, scsi_command, &c);
    r->exp_cmd_sn += 2;
    uint32_t sn = r->exp_cmd_sn + 0x100000;
    ini_retry_note(r->conn, r->exp_cmd_sn);
    r->s->cmd_sn = r->s->exp_cmd_sn = r->exp_cmd_sn = sn;
    r->s->max_cmd_sn = r->max_cmd_sn = sn + 8;
    assert_false(ini_retry_holds(r->s));
    rig_pump(r);
    RIG_TAKE(r, nop_out, &nop);
    assert_int_equal(nop.cmd_sn, sn);
    assert_int_equal(r->s->cmd_sn, sn + 1);
    for (int i = 0; i < 2; i++) {
        r->now += RIG_SECOND;
        ini_tick(r->s);
        rig_pump(r);
    }
    RIG_TAKE(r, nop_out, &nop);
    assert_int_equal(nop.cmd_sn, sn); /* the same number */
    assert_false(nop.immediate);
    rig_use(r, 0);
    assert_true(rig_quiet(r));
    assert_true(ini_is_up(r->s));
    rig_free(r);
    for (int i = 0; i < 2; i++)
        rig_command_fini(&rc[i]);
    PROVES("R7143-10.4-01", "initiator");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_model_agrees),
        cmocka_unit_test(a_lost_flush_goes_again_on_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
