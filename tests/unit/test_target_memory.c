/* The target engine without memory: whatever single allocation fails during login, work and discovery, the
 * initiator gets a refusal that says so or loses its connection, nobody else is harmed, nothing is lost.
 * Method: each scenario runs once for every allocation it makes, with that one failing, and again with all
 * from there on failing; afterwards there is memory again, and another initiator does the same undisturbed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_full.h"

#define TARGETS     300u
#define TEXT_MAX    100000u
#define RUNS_MAX    200u
#define BUSY_STATUS 0x08

static struct world w;
static uint64_t countdown; /* allocations until one fails; 0: none does */
static bool for_good, failed;

static void *failing_alloc(void *ctx, size_t size, size_t align)
{
    if (countdown && --countdown == 0) {
        failed = true;
        if (for_good)
            countdown = 1;
        return NULL;
    }
    return world_alloc(ctx, size, align);
}

enum outcome { DONE, REFUSED, REJECTED, CLOSED, BUSY, OUTCOMES };

/* The next PDU; NULL: the connection is gone. Who waits for memory gets some in the end. */
static struct reply *next(struct client *c)
{
    struct reply *r = client_reply(c);
    for (int i = 0; i < 8 && !r && !c->closed; i++) {
        if (i == 4)
            countdown = 0;
        client_push(c);
        r = client_reply(c);
    }
    assert_true(r || c->closed);
    return r;
}

static enum outcome login_outcome(struct client *c, struct pdu_login_response *rsp)
{
    struct reply *r = next(c);
    if (!r)
        return CLOSED;
    assert_int_equal(pdu_opcode(r->bhs), PDU_OP_login_response);
    pdu_login_response_decode(r->bhs, rsp);
    if (login_status(*rsp) == 0) {
        c->exp_stat_sn = rsp->stat_sn + 1;
        c->tsih = rsp->tsih;
        return DONE;
    }
    assert_int_equal(login_status(*rsp), 0x0302); /* out of resources */
    client_push(c);
    assert_true(c->closed);
    return REFUSED;
}

/* Sends a login request without waiting for an answer. */
static void login_send_text(struct client *c, int csg, int nsg, const char *text)
{
    char buf[1000];
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request p;
    login_request(c, &p, csg, nsg);
    pdu_login_request_encode(&p, bhs);
    client_send(c, bhs, buf, text_make(text, buf));
}

/* ---- scenarios ---- */

/* A login through both stages, a ping, a write and a read of the same block. */
static enum outcome works(struct client *c)
{
    struct pdu_login_response rsp;
    uint8_t block[BLOCK], bhs[PDU_BHS_LEN];
    login_send_text(c, 0, 1, NAMES "\nSessionType=Normal\nInitiatorAlias=somebody\nAuthMethod=None");
    enum outcome result = login_outcome(c, &rsp);
    if (result != DONE)
        return result;
    assert_int_equal(rsp.transit, 1);
    login_send_text(c, 1, 3, "ImmediateData=Yes");
    result = login_outcome(c, &rsp);
    if (result != DONE)
        return result;
    assert_int_equal(rsp.transit, 1);
    assert_int_not_equal(rsp.tsih, 0);
    struct pdu_nop_out nop;
    pdu_nop_out_init(&nop);
    nop.immediate = 1;
    nop.itt = 5;
    nop.cmd_sn = c->cmd_sn;
    pdu_nop_out_encode(&nop, bhs);
    client_send(c, bhs, "are you there", 13);
    struct reply *r = next(c);
    if (!r)
        return CLOSED;
    assert_int_equal(pdu_opcode(r->bhs), PDU_OP_nop_in);
    assert_int_equal(r->len, 13);
    assert_memory_equal(r->data, "are you there", 13);
    for (int step = 0; step < 3; step++) { /* unit attention, write, read */
        bool write = step == 1, read = step == 2;
        struct pdu_scsi_command p = command(c, read, write, step ? BLOCK : 0);
        pattern(block, BLOCK, 77);
        if (step)
            cdb_rw(p.cdb, write, 9, 1);
        command_send(c, &p, block, write ? BLOCK : 0);
        r = next(c);
        if (!r)
            return CLOSED;
        if (pdu_opcode(r->bhs) == PDU_OP_data_in) {
            assert_true(read && r->len == BLOCK && (r->bhs[1] & 1) && r->bhs[3] == 0);
            assert_memory_equal(r->data, block, BLOCK);
            return DONE;
        }
        assert_int_equal(pdu_opcode(r->bhs), PDU_OP_scsi_response);
        if (r->bhs[3] == BUSY_STATUS)
            return BUSY;
        assert_int_equal(r->bhs[3], step ? 0 : 2);
    }
    return BUSY;
}

static char expected[TEXT_MAX], got[TEXT_MAX];
static uint32_t expected_len, got_len;

static void expect_text(const char *key, const char *value)
{
    expected_len += (uint32_t)sprintf(expected + expected_len, "%s=%s", key, value) + 1;
}

/* SendTargets with another key before it, answered in segments. `again`: a refusal is followed by another
 * try. */
static enum outcome discovers(struct client *c)
{
    struct pdu_login_response rsp;
    login_send_text(c, 1, 3, "InitiatorName=" INITIATOR "\nSessionType=Discovery");
    enum outcome result = login_outcome(c, &rsp);
    if (result != DONE)
        return result;
    got_len = 0;
    uint32_t ttt = PDU_TAG_RESERVED;
    const char *text = "X-com.example.a=1\nSendTargets=All";
    for (;;) {
        text_send(c, text, 9, ttt, true, false);
        struct reply *r = next(c);
        if (!r)
            return result == REJECTED ? REJECTED : CLOSED;
        if (pdu_opcode(r->bhs) == PDU_OP_reject) {
            assert_int_equal(r->bhs[2], 0x0a); /* out of resources; another try finds memory */
            result = REJECTED;
            c->exp_stat_sn++;
            if (for_good)
                return REJECTED;
            ttt = PDU_TAG_RESERVED;
            continue;
        }
        assert_int_equal(pdu_opcode(r->bhs), PDU_OP_text_response);
        struct pdu_text_response part;
        pdu_text_response_decode(r->bhs, &part);
        c->exp_stat_sn = part.stat_sn + 1;
        memcpy(got + got_len, r->data, r->len);
        got_len += r->len;
        assert_int_equal(part.more, !part.final);
        if (part.final)
            break;
        ttt = part.ttt;
        text = "";
    }
    assert_int_equal(got_len, expected_len);
    assert_memory_equal(got, expected, expected_len);
    return result;
}

/* ---- every failure ---- */

static void world_begin(uint32_t targets)
{
    world_init(&w);
    tgt_config_unref(w.config);
    w.config = world_config(&w, targets);
    w.config->limits.text_len_max = 8192;
    world_start(&w);
    w.env.alloc = failing_alloc;
}

/* Runs the scenario with each allocation failing; counts[] by outcome. */
static void fail_each(enum outcome (*scenario)(struct client *c), uint32_t targets, uint32_t counts[OUTCOMES])
{
    memset(counts, 0, OUTCOMES * sizeof counts[0]);
    for (uint32_t n = 1;; n++) {
        struct client c, d;
        assert_true(n < RUNS_MAX);
        world_begin(targets);
        client_init(&c, &w);
        failed = false;
        countdown = n;
        enum outcome result = scenario(&c);
        bool over = !failed;
        countdown = 0;
        counts[result] += failed;
        if (over)
            assert_int_equal(result, DONE);
        /* There is memory again: the service is as it was. */
        world_pump(&w);
        client_init(&d, &w);
        d.isid[5] = 2;
        bool once = for_good;
        for_good = false;
        assert_int_equal(scenario(&d), DONE);
        for_good = once;
        client_fini(&c);
        client_fini(&d);
        world_fini(&w); /* and nothing has been lost */
        if (over)
            return;
    }
}

static void a_login_without_memory_is_refused_or_dropped(void **state)
{
    (void)state;
    uint32_t counts[OUTCOMES];
    for_good = false;
    fail_each(works, 2, counts);
    assert_true(counts[REFUSED] >= 3); /* the session, its names, its nexus */
    assert_true(counts[CLOSED] >= 2);  /* before there is a login that could be refused */
    assert_true(counts[DONE] >= 1);    /* without the alias, for example */
    assert_int_equal(counts[REJECTED], 0);
}

static void memory_that_stays_away_harms_nobody(void **state)
{
    (void)state;
    uint32_t counts[OUTCOMES];
    for_good = true;
    fail_each(works, 2, counts);
    for_good = false;
    assert_true(counts[CLOSED] >= 6);
}

static void a_text_without_memory_is_rejected(void **state)
{
    (void)state;
    uint32_t counts[OUTCOMES];
    expected_len = 0;
    expect_text("X-com.example.a", "NotUnderstood");
    for (uint32_t i = 0; i < TARGETS; i++) {
        char name[64];
        snprintf(name, sizeof name, "iqn.2026-01.com.example:t%u", i);
        expect_text("TargetName", i == 0 ? TARGET : i == 1 ? SECOND : name);
        expect_text("TargetAddress", "127.0.0.1:3260,1");
    }
    assert_true(expected_len > 16384); /* the answer's buffer grows twice */
    for_good = false;
    fail_each(discovers, TARGETS, counts);
    assert_true(counts[REJECTED] >= 5); /* the text, the negotiation, the answer and its growth */
    assert_true(counts[REFUSED] >= 1);
    for_good = true;
    fail_each(discovers, TARGETS, counts);
    for_good = false;
    assert_true(counts[REJECTED] + counts[CLOSED] >= 5);
    PROVES("R7143-11.11.4-02", "target");
}

/* Two reads end in one turn. A response that cannot be queued takes the connection with it: nothing that came
 * after it goes out, for its number would be missed. */
static void after_a_response_that_was_lost_there_is_none(void **state)
{
    (void)state;
    for (uint32_t n = 1;; n++) {
        struct client c;
        assert_true(n < RUNS_MAX);
        world_begin(2);
        client_init(&c, &w);
        client_login(&c, "");
        client_settle(&c, 0);
        w.delay = true;
        for (int i = 0; i < 12; i++)
            read_send(&c, 0, 1);
        failed = false;
        countdown = n;
        w.delay = false;
        world_release(&w);
        bool over = !failed;
        countdown = 0;
        for (int i = 0; i < 12; i++) {
            struct reply *r = next(&c);
            if (!r)
                break;
            assert_int_equal(pdu_opcode(r->bhs), PDU_OP_data_in);
            struct pdu_data_in in;
            pdu_data_in_decode(r->bhs, &in);
            assert_true(in.has_status);
            assert_int_equal(in.stat_sn, c.exp_stat_sn);
            c.exp_stat_sn++;
        }
        assert_true(client_quiet(&c));
        client_fini(&c);
        world_fini(&w);
        if (over)
            return;
    }
}

static void what_cannot_be_told_is_not_said_to_be(void **state)
{
    (void)state;
    struct client c;
    struct tgt_session_info info;
    static const uint8_t note[TGT_NOTE_MAX + 2] = {1, 2, 3};
    world_begin(2);
    client_init(&c, &w);
    client_login(&c, "");
    assert_true(tgt_session_next(&w.r, 0, &info));
    assert_false(tgt_session_notify(&w.r, info.id + 1, 9, note, 3));
    assert_true(tgt_session_notify(&w.r, info.id, 9, note, 0));
    world_pump(&w);
    expect_async(&c, 255);
    assert_int_equal(c.reply.len, 0);
    for (uint32_t len = TGT_NOTE_MAX - 1; len <= TGT_NOTE_MAX + 2; len++) {
        assert_true(tgt_session_notify(&w.r, info.id, 9, note, len));
        world_pump(&w);
        assert_int_equal(expect_async(&c, 255).async_vcode, 9);
        assert_int_equal(c.reply.len, 2 + (len < TGT_NOTE_MAX ? len : TGT_NOTE_MAX));
        assert_int_equal(c.reply.data[0] | c.reply.data[1], 0);
        assert_memory_equal(c.reply.data + 2, note, c.reply.len - 2);
    }
    struct chunk *taken[64];
    uint32_t count = 0;
    w.fail_alloc = 1;
    while (count < 64 && (taken[count] = pool_get(w.pool, 64)) != NULL)
        count++;
    assert_true(count < 64);
    assert_false(tgt_session_notify(&w.r, info.id, 9, note, 40));
    w.fail_alloc = 0;
    while (count)
        chunk_unref(taken[--count]);
    world_pump(&w);
    assert_true(c.closed); /* it does not know what it has missed */
    client_fini(&c);
    world_fini(&w);
}

/* A connection that cannot be made says so and leaves nothing behind. */
static void a_connection_without_memory_is_none(void **state)
{
    (void)state;
    world_begin(2);
    struct tgt_conn_info info = {.group = 1};
    struct tgt_conn *conn = NULL;
    uint64_t before = w.live;
    countdown = 1;
    assert_int_equal(tgt_conn_new(&w.r, &info, &conn), ERR_NOMEM);
    assert_null(conn);
    assert_true(w.live == before && list_empty(&w.r.conns));
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_without_memory_is_refused_or_dropped),
        cmocka_unit_test(memory_that_stays_away_harms_nobody),
        cmocka_unit_test(a_text_without_memory_is_rejected),
        cmocka_unit_test(after_a_response_that_was_lost_there_is_none),
        cmocka_unit_test(what_cannot_be_told_is_not_said_to_be),
        cmocka_unit_test(a_connection_without_memory_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
