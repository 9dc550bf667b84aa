/* What the tests of the target's edges share: a world that recovers up to level 2, with everything negotiable
 * that they need, and two raw initiators. */
#ifndef LUNETTE_TESTS_TARGET_EDGES_H
#define LUNETTE_TESTS_TARGET_EDGES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "target_recovery.h"

static struct world w;
static struct client c, d;
static uint8_t data[64 * 1024];

static inline int setup(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    world_init(&w);
    world_recovers(&w);
    for (uint32_t i = 0; i < w.config->target_count; i++)
        w.config->targets[i].keys.task_reporting =
            (struct key_choices){2, {KEY_TASK_REPORTING_RESPONSE_FENCE, KEY_TASK_REPORTING_RFC3720}};
    w.config->limits.nop_interval_ns = 0;
    world_start(&w);
    client_init(&c, &w);
    pattern(data, sizeof data, 3);
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
static inline void login(int level, const char *keys)
{
    client_login_level(&c, level, keys);
    client_settle(&c, 0);
    client_settle(&c, 1);
}

#endif
