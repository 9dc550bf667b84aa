/* A tap that hands everything on to several. */
#ifndef LUNETTE_CAPTURE_TAP_FAN_H
#define LUNETTE_CAPTURE_TAP_FAN_H

#include "common/capture/tap.h"

#define TAP_FAN_MAX 4u

struct tap_fan {
    struct tap tap;              /* first: a tap is its fan */
    struct tap *to[TAP_FAN_MAX]; /* borrowed */
    uint32_t count;
};

void tap_fan_init(struct tap_fan *fan);
/* NULL is left out. */
void tap_fan_add(struct tap_fan *fan, struct tap *to);
/* What the host should call: NULL, the only tap, or the fan itself. */
struct tap *tap_fan_tap(struct tap_fan *fan);

#endif
