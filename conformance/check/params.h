/* What a connection's login said: each key with the words of both sides. */
#ifndef LUNETTE_CONFORMANCE_PARAMS_H
#define LUNETTE_CONFORMANCE_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/capture/streams.h"

#define PARAMS_MAX       64u    /* keys of one connection; more are left out */
#define PARAMS_VALUE_MAX 128u   /* bytes shown of a value */
#define PARAMS_TEXT_MAX  65536u /* bytes of one text over several PDUs */

struct param {
    char key[64];
    char said[2][PARAMS_VALUE_MAX]; /* by direction; "" nothing */
    bool has[2];
    int last; /* the direction that spoke last: of a negotiated key this is the answer */
};

struct params {         /* zero: empty */
    struct param *rows; /* owned */
    uint32_t count;
    char *text[2]; /* owned: of texts that go on in the next PDU */
    uint32_t text_len[2];
    bool incomplete; /* some login text is not in the capture, or not well-formed */
};

/* Takes every PDU; looks at those of the login phase. */
void params_take(struct params *p, const struct streams_pdu *pdu);
void params_free(struct params *p);

#endif
