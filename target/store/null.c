/* The null store: reads are zeros, writes vanish. For measuring everything but a medium. */
#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "target/store/kinds.h"

#define NULL_LEND_LEN (64u * 1024u) /* bytes */

/* What all of it reads as. */
static const uint8_t nothing[NULL_LEND_LEN];

static int null_open(const struct env *env, struct io *io, const struct store_spec *spec, struct store **out,
                     char *why, size_t why_len)
{
    (void)io;
    int err = store_check_size(spec, spec->size, why, why_len);
    if (err)
        return err;
    struct store *store = env_alloc(env, sizeof *store);
    if (!store)
        return ERR_NOMEM;
    store->ops = &store_null_ops;
    store->env = env;
    store->info = (struct store_info){
        .size = spec->size,
        .readonly = spec->readonly,
        .can_discard = true,
        .thin = true,
        .rotational = spec->rotational,
        .block_min = 1,
        .lend_len = NULL_LEND_LEN,
        .instant = true,
        .concurrency = STORE_ANY,
    };
    *out = store;
    return 0;
}

static bool null_submit(struct store *store, struct io *io, struct store_req *req)
{
    (void)store;
    (void)io;
    if (req->verb == STORE_READ && req->vec_count == 0) {
        /* Never written: the cast is for the one pointer that an io_vec has. */
        req->vec[0] = (struct io_vec){(void *)(uintptr_t)nothing, (size_t)req->len};
        req->vec_count = 1;
    } else if (req->verb == STORE_READ) {
        for (uint32_t i = 0; i < req->vec_count; i++)
            memset(req->vec[i].ptr, 0, req->vec[i].len);
    }
    req->result = 0;
    return true;
}

static int null_resize(struct store *store, struct io *io, uint64_t size, char *why, size_t why_len)
{
    (void)io;
    struct store_spec spec = {.kind = "null"};
    int err = store_check_size(&spec, size, why, why_len);
    if (!err)
        store->info.size = size;
    return err;
}

static void null_close(struct store *store, struct io *io)
{
    (void)io;
    env_free(store->env, store);
}

const struct store_ops store_null_ops = {
    .kind = "null",
    .open = null_open,
    .submit = null_submit,
    .resize = null_resize,
    .close = null_close,
};
