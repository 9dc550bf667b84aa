/* What chap.c shares with the two sides of the exchange. Nobody else includes this. */
#ifndef LUNETTE_ISCSI_CHAP_INTERNAL_H
#define LUNETTE_ISCSI_CHAP_INTERNAL_H

#include "common/iscsi/chap.h"

/* Bits of the keys that a step may hold. */
#define CHAP_BIT_A 0x01u
#define CHAP_BIT_I 0x02u
#define CHAP_BIT_C 0x04u
#define CHAP_BIT_N 0x08u
#define CHAP_BIT_R 0x10u

/* Takes one key of the step that allows the keys `allowed`. CHAP_CONTINUE, or CHAP_FAIL with *failure set. */
enum chap_verdict chap_message_key(struct chap_message *m, unsigned allowed, enum key_id key,
                                   struct text_range value, struct chap_failure *failure);
/* Sets *failure; returns CHAP_FAIL. */
enum chap_verdict chap_fail(struct chap_failure *failure, uint16_t status, const char *reason,
                            const char *requirement);

bool chap_algs_has(const struct chap_algs *algs, unsigned alg);
bool chap_alg_available(const struct env *env, unsigned alg);
/* Is the peer's challenge the one that we sent? */
bool chap_is_our_challenge(const struct chap_auth *auth, const struct chap_message *m);
/* Would we ourselves, with `own`, have given the response m->r to our own challenge? (9.2.1) */
bool chap_is_our_response(const struct env *env, const struct chap_auth *auth, const struct chap_secret *own,
                          const struct chap_message *m);
bool chap_same_secret(const struct chap_secret *a, const struct chap_secret *b);

bool chap_add_binary(struct text_writer *w, enum key_id key, const void *bytes, size_t len, bool base64);
/* CHAP_N and CHAP_R for the peer's challenge in m. False: no room, or no hash. */
bool chap_add_response(const struct env *env, struct text_writer *w, enum chap_alg alg,
                       const struct chap_secret *own, const struct chap_message *m, bool base64);

#endif
