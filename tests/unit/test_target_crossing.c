/* Task management of several initiators that cross, and what may be heard afterwards.
 *
 * Goal: whoever else has aborted a task, nothing is heard of it once a function that covers it was answered.
 * Method: raw initiators, with a store that answers when the test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_full.h"

#define PATIENCE_NS UINT64_C(10000000000) /* how long an abort waits for data that was asked for */

enum { ABORT_TASK_SET = 2, LOGICAL_UNIT_RESET = 5, TARGET_WARM_RESET = 6 };

static struct world w;
static struct client c, d;
static uint8_t data[16 * BLOCK];

static int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    world_init(&w);
    world_capable(&w);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    client_fini(&c);
    if (d.w)
        client_fini(&d);
    world_fini(&w);
    return 0;
}

static uint32_t function_send(struct client *who, uint8_t function)
{
    struct pdu_task_management_request p = tmf_request(who, function, 0, PDU_TAG_RESERVED, 0);
    return tmf_send(who, &p);
}

/* A write whose first half is in a slow store, and whose second half never comes. Another initiator's reset
 * takes it, which its own initiator is to be told (TAS); but that has asked for an abort itself meanwhile,
 * and its answer was the last word. */
static void an_answered_abort_is_the_last_word(void **state)
{
    (void)state;
    client_login(&c, "InitialR2T=Yes\nImmediateData=No\nFirstBurstLength=4096\nMaxBurstLength=4096");
    client_settle(&c, 0);
    client_other(&d, &w, 2, "");
    client_settle(&d, 0);
    struct pdu_scsi_command p = command(&c, false, true, 16 * BLOCK);
    cdb_rw(p.cdb, true, 0, 16);
    w.delay = true;
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t;
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    data_out_send(&c, &out, data, 8 * BLOCK);
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    assert_int_equal(r2t.buffer_offset, 8 * BLOCK);
    assert_true(w.delayed_count > 0);
    uint32_t reset = function_send(&d, LOGICAL_UNIT_RESET);
    uint32_t abort_set = function_send(&c, ABORT_TASK_SET);
    world_pass(&w, PATIENCE_NS);
    assert_true(client_quiet(&c) && client_quiet(&d)); /* the store has the task still */
    w.delay = false;
    world_release(&w);
    assert_int_equal(tmf_answer(&d).itt, reset);
    struct pdu_task_management_response rsp = tmf_answer(&c);
    assert_int_equal(rsp.itt, abort_set);
    assert_int_equal(rsp.response, 0);
    out = data_out(p.itt, r2t.ttt, 0, 8 * BLOCK, true);
    data_out_send(&c, &out, data, 8 * BLOCK);
    world_pass(&w, PATIENCE_NS);
    assert_true(client_quiet(&c) && !c.closed);
    PROVES("R7143-11.5.1-05", "target");
}

/* A command waits for an abort ahead of it, which waits for a command that is late. A reset takes it
 * meanwhile: it never begins. */
static void a_reset_takes_what_has_not_begun(void **state)
{
    (void)state;
    client_login(&c, "");
    client_settle(&c, 0);
    const uint32_t late = c.cmd_sn;
    c.cmd_sn = late + 1;
    uint32_t abort_set = function_send(&c, ABORT_TASK_SET);
    c.cmd_sn = late + 2;
    struct pdu_scsi_command read = command(&c, true, false, BLOCK);
    cdb_rw(read.cdb, false, 0, 1);
    read.immediate = 1;
    read.cmd_sn = late + 2;
    command_send(&c, &read, NULL, 0);
    assert_true(client_quiet(&c));
    c.cmd_sn = late + 2;
    uint32_t reset = function_send(&c, TARGET_WARM_RESET);
    assert_int_equal(tmf_answer(&c).itt, reset);
    c.cmd_sn = late;
    struct pdu_scsi_command first = command(&c, false, false, 0);
    command_send(&c, &first, NULL, 0);
    world_pass(&w, PATIENCE_NS);
    bool answered = false;
    struct reply *reply;
    while ((reply = client_reply(&c)) != NULL) {
        uint32_t itt = be32_get(reply->bhs + 16);
        assert_int_not_equal(itt, read.itt);
        answered |= itt == abort_set;
    }
    assert_true(answered && !c.closed);
    PROVES("R7143-11.5.1-05", "target");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answered_abort_is_the_last_word, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_takes_what_has_not_begun, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
