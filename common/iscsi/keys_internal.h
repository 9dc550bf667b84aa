/* What the files behind keys.h share: key_value.c (the table, values), key_offer.c (declaring, offering),
 * keys.c (receiving) and key_answer.c (answering, concluding). Nobody else includes this. */
#ifndef LUNETTE_ISCSI_KEYS_INTERNAL_H
#define LUNETTE_ISCSI_KEYS_INTERNAL_H

#include "common/iscsi/keys.h"

#define KEY_STATE_OFFERED  0x01u /* we proposed or declared it */
#define KEY_STATE_ANSWERED 0x02u /* the peer answered our offer */
#define KEY_STATE_RECEIVED 0x04u /* the peer proposed or declared it */
#define KEY_STATE_REPLIED  0x08u /* we answered the peer's proposal */
#define KEY_STATE_RAW                                                                                        \
    0x10u /* our offer does not parse (a test's, or has values we don't know): any answer is fine */
#define KEY_STATE_AGAIN 0x20u /* may be declared again unchanged (after the security stage) */

/* Values of negotiated keys travel as one uint64_t: numbers and booleans as such, lists packed four bits an
 * entry, the first lowest, each the enum value + 1; 0 ends the list. */
#define KEY_PACKED_MAX 15u

/* Parses a proposed value by kind (LIST, AND, OR, MIN, MAX, and the NUMBER MaxRecvDataSegmentLength). False:
 * not admissible. *all_known (may be NULL) tells whether each list entry was a value we know. */
bool key_parse_value(enum key_id id, struct text_range value, uint64_t *out, bool *all_known);
/* The word of a list key's value; NULL when there is none. */
const char *key_word(enum key_id id, unsigned value);
/* Our own list for a list key, under the rules of the session type. */
struct key_choices key_own_choices(const struct key_negotiation *neg, enum key_id id);
/* Our own number or boolean, under the rules of the session type. */
uint32_t key_own_value(const struct key_negotiation *neg, enum key_id id);
bool key_in_discovery(const struct key_negotiation *neg);
/* The outcome of a negotiated key into params. */
void key_set_param(struct key_params *params, enum key_id id, uint64_t value);
/* The same into the negotiation, AuthMethod included. */
void key_set_result(struct key_negotiation *neg, enum key_id id, uint64_t value);
/* Is the enum value in a packed list? */
bool key_packed_has(uint64_t packed, uint64_t value);

/* Fill neg->failure and return KEYS_FAIL; the second for a protocol error with a known key. */
enum keys_verdict key_fail(struct key_negotiation *neg, struct text_range key, uint16_t status,
                           const char *reason, const char *requirement);
enum keys_verdict key_fail_id(struct key_negotiation *neg, enum key_id id, const char *reason,
                              const char *requirement);

#endif
