/* The kinds of store, for store.c's table. Private to target/store. */
#ifndef LUNETTE_STORE_KINDS_H
#define LUNETTE_STORE_KINDS_H

#include "target/store/store.h"

extern const struct store_ops store_memory_ops;
extern const struct store_ops store_null_ops;
extern const struct store_ops store_file_ops;

/* Largest store of any kind: 2^50 bytes, 1 PiB. */
#define STORE_SIZE_MAX (UINT64_C(1) << 50)

/* The size that a spec asks for, checked: given, not zero, within the limit, whole blocks. */
int store_check_size(const struct store_spec *spec, uint64_t size, char *why, size_t why_len);

#endif
