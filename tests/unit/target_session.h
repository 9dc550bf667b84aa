/* What the tests of a session share: a world as it is, and two raw initiators. */
#ifndef LUNETTE_TESTS_TARGET_SESSION_H
#define LUNETTE_TESTS_TARGET_SESSION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "target_harness.h"

static struct world w;
static struct client c, d;

static inline int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    world_init(&w);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}
static inline int teardown(void **state)
{
    (void)state;
    client_fini(&c);
    client_fini(&d);
    world_fini(&w);
    return 0;
}
static inline void login(void)
{
    client_login(&c, "");
    client_settle(&c, 0);
}

/* TEST UNIT READY with a number of its own. */
static inline struct pdu_scsi_command tur(struct client *who, uint32_t cmd_sn)
{
    struct pdu_scsi_command p = command(who, false, false, 0);
    who->cmd_sn--;
    p.cmd_sn = cmd_sn;
    return p;
}

static inline struct pdu_logout_response logout(uint8_t reason, uint16_t cid, bool wait)
{
    struct pdu_logout_response rsp = {0};
    logout_send(&c, reason, cid, c.itt++);
    if (wait)
        pdu_logout_response_decode(client_expect(&c, PDU_OP_logout_response)->bhs, &rsp);
    return rsp;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
