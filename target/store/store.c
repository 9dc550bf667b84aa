/* The table of kinds, opening and closing. */
#include "target/store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "target/store/kinds.h"

static const struct store_ops *const store_kinds[] = {&store_file_ops, &store_memory_ops, &store_null_ops};

int store_open(const struct env *env, struct io *io, const struct store_spec *spec, struct store **out,
               char *why, size_t why_len)
{
    for (size_t i = 0; i < sizeof store_kinds / sizeof store_kinds[0]; i++) {
        if (strcmp(store_kinds[i]->kind, spec->kind) == 0)
            return store_kinds[i]->open(env, io, spec, out, why, why_len);
    }
    snprintf(why, why_len, "there is no store of kind \"%s\": use file, memory or null", spec->kind);
    return ERR_SYNTAX;
}

void store_close(struct store *store, struct io *io)
{
    if (store)
        store->ops->close(store, io);
}

int store_check_size(const struct store_spec *spec, uint64_t size, char *why, size_t why_len)
{
    uint32_t block = spec->block_size ? spec->block_size : 512;
    if (size == 0) {
        snprintf(why, why_len, "a %s store needs size=, for example size=1G", spec->kind);
        return ERR_SYNTAX;
    }
    if (size > STORE_SIZE_MAX) {
        snprintf(why, why_len, "size %" PRIu64 " is too large: the limit is 1P", size);
        return ERR_RANGE;
    }
    if (size % block) {
        snprintf(why, why_len, "size %" PRIu64 " is not a whole number of blocks of %" PRIu32 " bytes", size,
                 block);
        return ERR_RANGE;
    }
    return 0;
}
