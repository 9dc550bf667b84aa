/* What the files of text negotiation share: keys.c (texts to pairs), keys_value.c (a value by itself),
 * keys_say.c (proposals and answers), keys_end.c (the result). */
#ifndef LUNETTE_CONFORMANCE_REFEREE_KEYS_INTERNAL_H
#define LUNETTE_CONFORMANCE_REFEREE_KEYS_INTERNAL_H

#include "conformance/referee/internal.h"

/* The rule of this name for whoever sent the PDU. */
#define BOTH(p, name) ((p)->dir == TO_T ? RULE_##name##_I : RULE_##name##_T)

/* ---- keys.c ---- */
/* NotUnderstood, Reject, Irrelevant. */
bool keys_is_reserved_word(struct text_range v);
bool keys_is_negotiated(enum key_kind kind);
/* "Key=value" for a finding, unprintable bytes as dots. */
struct words keys_pair_words(struct text_range key, struct text_range value);
void keys_keep_text(char *to, size_t cap, struct text_range v);

/* ---- keys_value.c ---- */
bool keys_list_has_range(struct text_range list, struct text_range word);
/* Form and range of a number or boolean; false after a finding. */
bool keys_value_ok(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                   uint64_t *out);
void keys_check_list_offer(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                           const char *seen);
void keys_check_name(struct rconn *c, const struct rpdu *p, struct text_range value, const char *seen);
/* host[:port][,tag]; in a redirection without the tag, in an answer to SendTargets with it. */
void keys_check_address(struct rconn *c, struct text_range value, bool redirect, const char *seen);
void keys_declare(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                  const char *seen);

/* ---- keys_say.c ---- */
void keys_propose(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                  const char *seen);
void keys_answer(struct rconn *c, const struct rpdu *p, enum key_id id, struct text_range value,
                 const char *seen);
/* A key of no table: proposed, or answered. */
void keys_unknown_key(struct rconn *c, const struct rpdu *p, struct text_range key, struct text_range value,
                      const char *seen);

#endif
