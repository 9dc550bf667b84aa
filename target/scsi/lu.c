/* Logical units and the views that reactors have of them. */
#include <assert.h>
#include <string.h>

#include "common/base/err.h"
#include "common/scsi/lun.h"
#include "target/scsi/private.h"

int scsi_lu_new(const struct env *env, const struct scsi_lu_config *config, struct store *store,
                uint32_t home, uint32_t reactor_count, struct scsi_lu **out)
{
    assert(reactor_count > 0 && reactor_count <= SCSI_REACTORS_MAX && home < reactor_count);
    assert(config->block_size == 512 || config->block_size == 4096);
    if (store->info.size < config->block_size)
        return ERR_RANGE;
    struct scsi_lu *lu = env_alloc(env, sizeof *lu);
    if (!lu)
        return ERR_NOMEM;
    lu->env = env;
    lu->config = *config;
    lu->store = store;
    lu->home = home;
    lu->reactor_count = reactor_count;
    atomic_init(&lu->blocks, store->info.size / config->block_size);
    atomic_init(&lu->flags, config->write_cache ? LU_WCE : 0u);
    atomic_init(&lu->prevents, 0u);
    atomic_init(&lu->changes, 0u);
    *out = lu;
    return ERR_OK;
}

struct store *scsi_lu_free(struct scsi_lu *lu)
{
    assert(atomic_load(&lu->changes) == 0);
    struct store *store = lu->store;
    env_free(lu->env, lu);
    return store;
}

const struct scsi_lu_config *scsi_lu_config(const struct scsi_lu *lu)
{
    return &lu->config;
}

struct store *scsi_lu_store(const struct scsi_lu *lu)
{
    return lu->store;
}

uint64_t scsi_lu_blocks(const struct scsi_lu *lu)
{
    return atomic_load_explicit(&lu->blocks, memory_order_acquire);
}

bool scsi_lun_decode(uint64_t lun_field, uint16_t *number, bool *well_known)
{
    return lun_decode(lun_field, number, well_known);
}

uint64_t scsi_lun_encode(uint16_t number)
{
    return lun_encode(number);
}

/* A reactor serves few LUs, and the data path never comes here: its ITL holds the view. */
struct scsi_lu_view *view_find(struct scsi_reactor *r, const struct scsi_lu *lu)
{
    list_for_each(it, &r->views)
    {
        struct scsi_lu_view *view = list_entry(it, struct scsi_lu_view, node);
        if (view->lu == lu)
            return view;
    }
    return NULL;
}

struct scsi_lu_view *view_make(struct scsi_reactor *r, struct scsi_lu *lu)
{
    struct scsi_lu_view *view = view_find(r, lu);
    if (view)
        return view;
    view = env_alloc(r->env, sizeof *view);
    if (!view)
        return NULL;
    view->lu = lu;
    /* A change that is on its way here has already been stored: applying it again does no harm. */
    view->flags = atomic_load_explicit(&lu->flags, memory_order_acquire);
    view->blocks = atomic_load_explicit(&lu->blocks, memory_order_acquire);
    list_init(&view->itls);
    list_push_back(&r->views, &view->node);
    return view;
}

/* A change under way still names the LU, on whatever reactor it is. */
bool scsi_lu_idle(struct scsi_reactor *r, struct scsi_lu *lu)
{
    itls_sweep(r);
    struct scsi_lu_view *view = view_find(r, lu);
    return atomic_load(&lu->changes) == 0 && (!view || (view->loans == 0 && list_empty(&view->itls)));
}

void scsi_lu_forget(struct scsi_reactor *r, struct scsi_lu *lu)
{
    struct scsi_lu_view *view = view_find(r, lu);
    if (!view)
        return;
    assert(view->loans == 0 && list_empty(&view->itls));
    list_remove(&view->node);
    env_free(r->env, view);
}

void scsi_reactor_init(struct scsi_reactor *r, const struct env *env, struct pool *pool, uint32_t index,
                       uint32_t count)
{
    *r = (struct scsi_reactor){.env = env,
                               .pool = pool,
                               .index = index,
                               .count = count,
                               .tasks_per_itl_max = SCSI_TASKS_PER_ITL_MAX};
    struct list_node *const heads[] = {&r->ready,   &r->requests, &r->messages, &r->tmfs,
                                       &r->nexuses, &r->views,    &r->waiting,  &r->free_spans,
                                       &r->dying,   &r->waiters,  &r->events,   &r->free_loans};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        list_init(heads[i]);
}

/* Views and idle spans are all that may be left. */
void scsi_reactor_fini(struct scsi_reactor *r)
{
    assert(list_empty(&r->nexuses) && list_empty(&r->dying) && list_empty(&r->requests) &&
           list_empty(&r->waiting));
    list_for_each_safe(it, &r->views)
    {
        struct scsi_lu_view *view = list_entry(it, struct scsi_lu_view, node);
        assert(list_empty(&view->itls));
        list_remove(it);
        env_free(r->env, view);
    }
    loans_free(r);
    struct list_node *node;
    while ((node = list_pop_front(&r->free_spans)))
        env_free(r->env, list_entry(node, struct scsi_span, node));
}
