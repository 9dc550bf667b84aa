/* Transactions: check, prepare (open, listen), save, adopt, and only then let go of what is no longer needed.
 */
#include "target/service/manager.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "target/service/change.h"
#include "target/service/config.h"

#define ADOPT_NS  UINT64_C(10000000000) /* how long a verb waits for sessions to leave the old snapshot */
#define RETIRE_NS UINT64_C(2000000000)  /* and for the last command on a removed disk */

/* ---- life ---- */

static bool start_service(struct manager *m, struct outcome *o)
{
    if (portals_new(m->env, m->live, &m->portals) != 0)
        return outcome_fail(o, "out of memory");
    struct tgt_config *full;
    /* Portals need reactors and reactors need a snapshot: the first one has no portals, and nobody can reach
     * it. */
    if (!snapshot_build(m->env, m->root, m->disks, NULL, &m->tuning, ++m->generation, &m->snapshot, o) ||
        !live_start(m->live, m->snapshot, o) || !portals_prepare(m->portals, m->root, o))
        return false;
    portals_commit(m->portals, m->root);
    if (!snapshot_build(m->env, m->root, m->disks, m->portals, &m->tuning, ++m->generation, &full, o))
        return false;
    live_adopt(m->live, full, ADOPT_NS);
    tgt_config_unref(m->snapshot);
    m->snapshot = full;
    return true;
}

bool manager_init(struct manager *m, const struct env *env, json_t *root, struct state *state,
                  struct live *live, const struct tuning *tuning, struct outcome *o)
{
    *m = (struct manager){.env = env, .root = root, .state = state, .live = live, .started_ns = env_now(env)};
    if (tuning)
        m->tuning = *tuning;
    /* Without a service only files are opened: any backend will do. */
    int err = live ? 0 : io_new(env, IO_KIND_EPOLL, &m->io);
    if (err)
        return outcome_fail(o, "cannot open files: %s", err_text(err));
    if (!disks_new(env, live ? live_io(live) : m->io, state ? state->dir : "", live ? live_count(live) : 0,
                   &m->disks, o))
        return false;
    if (!live)
        return true;
    if (!disks_prepare(m->disks, root, state ? root : NULL, DISKS_ALL, o))
        return false;
    disks_commit(m->disks);
    return start_service(m, o);
}

void manager_fini(struct manager *m)
{
    portals_free(m->portals);
    tgt_config_unref(m->snapshot);
    disks_free(m->disks);
    io_free(m->io);
    json_decref(m->root);
}

/* ---- data files ---- */

/* Files in the state directory that belong to LUNs of `old` which `new` does not have. */
static json_t *orphans(struct manager *m, const json_t *old, const json_t *new)
{
    json_t *list = json_array(), *target, *lun;
    size_t i, k;
    json_array_foreach(json_object_get(old, "targets"), i, target)
    {
        const json_t *still = config_target(new, config_text(target, "name"));
        json_array_foreach(json_object_get(target, "luns"), k, lun)
        {
            char path[STATE_PATH_MAX];
            const json_t *same = still ? config_lun(still, (uint32_t)config_number(lun, "lun", 0)) : NULL;
            if (!same && disks_own_file(m->disks, lun, path, sizeof path))
                json_array_append_new(list, json_string(path));
        }
    }
    return list;
}

static void settle_files(const json_t *files, bool delete, json_t *result)
{
    json_t *kept = json_array(), *deleted = json_array(), *file;
    size_t i;
    json_array_foreach(files, i, file)
    {
        bool gone = delete &&unlink(json_string_value(file)) == 0;
        if (delete &&!gone && errno != ENOENT)
            log_warn("state", "cannot delete %s: %s", json_string_value(file), strerror(errno));
        json_array_append(gone ? deleted : kept, file);
    }
    json_object_set_new(result, "data_kept", kept);
    json_object_set_new(result, "data_deleted", deleted);
}

/* ---- changing ---- */

static void wait_retired(struct manager *m)
{
    uint64_t limit = env_now(m->env) + RETIRE_NS;
    const struct timespec pause = {0, 2000000};
    m->retiring = !disks_retire(m->disks, m->root, m->live);
    while (m->live && m->retiring && env_now(m->env) < limit) {
        nanosleep(&pause, NULL);
        m->retiring = !disks_retire(m->disks, m->root, m->live);
    }
}

static bool resize(struct manager *m, const json_t *root, const json_t *params, struct outcome *o)
{
    const json_t *target = config_target(root, config_text(params, "target"));
    return disks_resize(m->disks, target, config_lun(target, (uint32_t)config_number(params, "lun", 0)),
                        m->live, o);
}

static void undo(struct manager *m)
{
    if (m->live)
        portals_rollback(m->portals);
    disks_rollback(m->disks);
}

/* Opens, listens, saves: all that can fail. On failure nothing has changed. */
static bool prepare(struct manager *m, json_t *root, const char *method, const json_t *params,
                    struct tgt_config **snapshot, struct outcome *o)
{
    *snapshot = NULL;
    if (!disks_prepare(m->disks, root, m->root, m->live ? DISKS_ALL : DISKS_NEW, o))
        return false;
    bool fine = !m->live || (portals_prepare(m->portals, root, o) &&
                             snapshot_build(m->env, root, m->disks, m->portals, &m->tuning, ++m->generation,
                                            snapshot, o));
    if (fine && m->state)
        fine = state_save(m->state, root, o);
    if (fine && strcmp(method, "lun.resize") == 0 && !resize(m, root, params, o)) {
        struct outcome again = {0};
        if (m->state && !state_save(m->state, m->root, &again))
            log_error("state", "cannot restore the configuration: %s", again.text);
        fine = false;
    }
    if (!fine) {
        tgt_config_unref(*snapshot);
        undo(m);
    }
    return fine;
}

/* From here on nothing fails. */
static bool commit(struct manager *m, json_t *root, struct tgt_config *snapshot)
{
    bool adopted = true;
    json_t *old = m->root;
    m->root = root;
    disks_commit(m->disks);
    if (m->live) {
        adopted = live_adopt(m->live, snapshot, ADOPT_NS);
        tgt_config_unref(m->snapshot);
        m->snapshot = snapshot;
        portals_commit(m->portals, root);
    }
    json_decref(old);
    wait_retired(m);
    return adopted && !m->retiring;
}

static json_t *change(struct manager *m, const char *method, const json_t *params, struct outcome *o)
{
    json_t *root = json_deep_copy(m->root);
    struct tgt_config *snapshot;
    if (!root) {
        outcome_fail(o, "out of memory");
        return NULL;
    }
    if (!change_apply(root, method, params, m->env, m->state != NULL, o) || !config_check(root, o) ||
        !prepare(m, root, method, params, &snapshot, o)) {
        json_decref(root);
        return NULL;
    }
    json_t *files = orphans(m, m->root, root), *result = json_object();
    bool settled = commit(m, root, snapshot);
    settle_files(files, json_is_true(json_object_get(params, "delete_data")), result);
    json_object_set_new(result, "pending", json_boolean(!settled));
    json_decref(files);
    if (m->live)
        log_info("config", "%s done", method);
    return result;
}

json_t *manager_call(struct manager *m, const char *method, const json_t *params, struct outcome *o)
{
    if (change_known(method))
        return change(m, method, params, o);
    if (query_known(method))
        return query_call(m, method, params, o);
    outcome_refuse(o, "there is no method \"%s\"", method);
    return NULL;
}

void manager_tidy(struct manager *m)
{
    if (m->retiring)
        m->retiring = !disks_retire(m->disks, m->root, m->live);
}
