/* One tap for several. */
#include "common/capture/tap_fan.h"

#include <assert.h>
#include <stddef.h>

static void fan_open(struct tap *tap, uint64_t conn, const struct io_addr *initiator,
                     const struct io_addr *target, uint64_t now_ns)
{
    struct tap_fan *fan = (struct tap_fan *)tap;
    for (uint32_t i = 0; i < fan->count; i++)
        fan->to[i]->open(fan->to[i], conn, initiator, target, now_ns);
}

static void fan_bytes(struct tap *tap, uint64_t conn, enum tap_direction direction,
                      const struct io_vec *places, uint32_t count, uint64_t len, uint64_t now_ns)
{
    struct tap_fan *fan = (struct tap_fan *)tap;
    for (uint32_t i = 0; i < fan->count; i++)
        fan->to[i]->bytes(fan->to[i], conn, direction, places, count, len, now_ns);
}

static void fan_close(struct tap *tap, uint64_t conn, uint64_t now_ns)
{
    struct tap_fan *fan = (struct tap_fan *)tap;
    for (uint32_t i = 0; i < fan->count; i++)
        fan->to[i]->close(fan->to[i], conn, now_ns);
}

void tap_fan_init(struct tap_fan *fan)
{
    *fan = (struct tap_fan){.tap = {fan_open, fan_bytes, fan_close}};
}

void tap_fan_add(struct tap_fan *fan, struct tap *to)
{
    if (!to)
        return;
    assert(fan->count < TAP_FAN_MAX);
    fan->to[fan->count++] = to;
}

struct tap *tap_fan_tap(struct tap_fan *fan)
{
    return fan->count == 0 ? NULL : fan->count == 1 ? fan->to[0] : &fan->tap;
}
