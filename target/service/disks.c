/* The registry of logical units. Management thread only. */
#include "target/service/disks.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "target/service/config.h"
#include "target/service/state.h"

#define BUCKETS 1024u /* a power of two */

struct disk {
    struct list_node node;  /* disks->list */
    struct list_node found; /* disks->buckets, by identifier */
    char target[SCSI_NAME_MAX];
    uint32_t lun;
    char naa[40];
    struct store_spec spec; /* path absolute */
    struct store *store;    /* owned by lu when there is one */
    struct scsi_lu *lu;     /* NULL without a service */
    uint32_t home;
    bool fresh;   /* opened by the prepare that is under way */
    bool created; /* its file was made by that prepare */
    bool named;   /* disks_retire has met it in the tree */
};

struct disks {
    const struct env *env;
    struct io *io;
    char dir[STATE_PATH_MAX];
    uint32_t reactors, next_home;
    struct list_node list;
    struct list_node buckets[BUCKETS];
};

bool disks_new(const struct env *env, struct io *io, const char *dir, uint32_t reactors, struct disks **out,
               struct outcome *o)
{
    struct disks *disks = env_alloc(env, sizeof *disks);
    if (!disks)
        return outcome_fail(o, "out of memory");
    disks->env = env;
    disks->io = io;
    disks->reactors = reactors;
    snprintf(disks->dir, sizeof disks->dir, "%s", dir);
    list_init(&disks->list);
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&disks->buckets[i]);
    *out = disks;
    return true;
}

static void disk_close(struct disks *disks, struct disk *disk)
{
    list_remove(&disk->node);
    list_remove(&disk->found);
    store_close(disk->lu ? scsi_lu_free(disk->lu) : disk->store, disks->io);
    env_free(disks->env, disk);
}

void disks_free(struct disks *disks)
{
    if (!disks)
        return;
    list_for_each_safe(it, &disks->list) disk_close(disks, list_entry(it, struct disk, node));
    env_free(disks->env, disks);
}

/* ---- finding ---- */

static struct list_node *bucket(struct disks *disks, const char *naa)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *naa; naa++)
        hash = (hash ^ (uint8_t)*naa) * 16777619u;
    return &disks->buckets[hash & (BUCKETS - 1)];
}

static struct disk *disk_of(struct disks *disks, const json_t *target, const json_t *lun)
{
    list_for_each(it, bucket(disks, config_text(lun, "naa")))
    {
        struct disk *disk = list_entry(it, struct disk, found);
        if (disk->lun == config_number(lun, "lun", UINT32_MAX) &&
            strcmp(disk->target, config_text(target, "name")) == 0 &&
            strcmp(disk->naa, config_text(lun, "naa")) == 0)
            return disk;
    }
    return NULL;
}

/* The target of this name in the tree, NULL: none. A change leaves most targets where they were, so its place
 * is a good guess; without it, a thousand targets would be a million comparisons. */
static const json_t *target_in(const json_t *root, const char *name, size_t guess)
{
    const json_t *found = json_array_get(json_object_get(root, "targets"), guess);
    return found && strcmp(config_text(found, "name"), name) == 0 ? found
           : root                                                 ? config_target(root, name)
                                                                  : NULL;
}

/* Has the target this LUN, with this identity? */
static bool has_lun(const json_t *target, const json_t *lun)
{
    const json_t *found = target ? config_lun(target, (uint32_t)config_number(lun, "lun", 0)) : NULL;
    return found && strcmp(config_text(found, "naa"), config_text(lun, "naa")) == 0;
}

static bool resolve(const struct disks *disks, const json_t *lun, struct store_spec *spec, struct outcome *o)
{
    char why[300], relative[sizeof spec->path];
    if (store_spec_parse(config_text(lun, "spec"), spec, why, sizeof why) != 0)
        return outcome_refuse(o, "%s", why);
    if (!spec->path[0] || spec->path[0] == '/')
        return true;
    if (!disks->dir[0])
        return outcome_refuse(o, "%s is not an absolute path", spec->path);
    memcpy(relative, spec->path, sizeof relative);
    int len = snprintf(spec->path, sizeof spec->path, "%s/%s", disks->dir, relative);
    return (len > 0 && (size_t)len < sizeof spec->path) ||
           outcome_refuse(o, "the path %.100s... is too long", relative);
}

bool disks_own_file(const struct disks *disks, const json_t *lun, char *path, size_t len)
{
    struct store_spec spec;
    char why[300];
    if (store_spec_parse(config_text(lun, "spec"), &spec, why, sizeof why) != 0 ||
        strncmp(spec.path, "disks/", 6) != 0 || strstr(spec.path, "..") || !disks->dir[0])
        return false;
    int n = snprintf(path, len, "%s/%s", disks->dir, spec.path);
    return n > 0 && (size_t)n < len;
}

/* ---- opening ---- */

static bool open_store(struct disks *disks, struct disk *disk, bool known, struct outcome *o)
{
    char why[600] = "";
    bool missing = disk->spec.path[0] && access(disk->spec.path, F_OK) != 0 && errno == ENOENT;
    /* A known disk whose file is gone, perhaps because a file system is not mounted, must not come back
     * empty. */
    if (missing && known)
        return outcome_fail(o, "LUN %u of %s: %s is missing", disk->lun, disk->target, disk->spec.path);
    if (missing && disks->dir[0] && strncmp(disk->spec.path, disks->dir, strlen(disks->dir)) == 0) {
        char folder[STATE_PATH_MAX + 10];
        snprintf(folder, sizeof folder, "%s/disks", disks->dir);
        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
            return outcome_fail(o, "cannot make %s: %s", folder, strerror(errno));
    }
    int err = store_open(disks->env, disks->io, &disk->spec, &disk->store, why, sizeof why);
    disk->created = !err && missing;
    if (!err)
        return true;
    bool world = err == ERR_NOMEM || err == ERR_IO || err == ERR_NOSPACE || known;
    const char *said = why[0] ? why : err_text(err);
    return world ? outcome_fail(o, "LUN %u of %s: %s", disk->lun, disk->target, said)
                 : outcome_refuse(o, "LUN %u: %s", disk->lun, said);
}

static bool make_lu(struct disks *disks, struct disk *disk, const json_t *lun, struct outcome *o)
{
    const struct store_info *info = &disk->store->info;
    struct scsi_lu_config config = {
        .vendor = "LUNETTE",
        .revision = "1",
        .block_size = disk->spec.block_size ? disk->spec.block_size : 512,
        .physical_block_exponent = disk->spec.physical_block_exponent,
        .readonly = disk->spec.readonly || info->readonly,
        .write_cache = info->volatile_cache,
        .rotational = disk->spec.rotational || info->rotational,
        .removable = disk->spec.removable,
    };
    snprintf(config.product, sizeof config.product, "%s disk", disk->spec.kind);
    snprintf(config.serial, sizeof config.serial, "%s", config_text(lun, "serial"));
    bool naa = config_naa_parse(config_text(lun, "naa"), config.naa);
    assert(naa); /* config_check has seen it */
    (void)naa;
    disk->home = disks->next_home++ % disks->reactors;
    int err = scsi_lu_new(disks->env, &config, disk->store, disk->home, disks->reactors, &disk->lu);
    return err == 0 || outcome_refuse(o, "LUN %u of %s: %s", disk->lun, disk->target, err_text(err));
}

static bool open_disk(struct disks *disks, const json_t *target, json_t *lun, bool known, struct outcome *o)
{
    struct disk *disk = env_alloc(disks->env, sizeof *disk);
    if (!disk)
        return outcome_fail(o, "out of memory");
    list_init(&disk->node);
    list_init(&disk->found);
    snprintf(disk->target, sizeof disk->target, "%s", config_text(target, "name"));
    snprintf(disk->naa, sizeof disk->naa, "%s", config_text(lun, "naa"));
    disk->lun = (uint32_t)config_number(lun, "lun", 0);
    disk->fresh = true;
    if (!resolve(disks, lun, &disk->spec, o) || !open_store(disks, disk, known, o)) {
        env_free(disks->env, disk);
        return false;
    }
    list_push_back(&disks->list, &disk->node);
    list_push_back(bucket(disks, disk->naa), &disk->found);
    if (disks->reactors && !make_lu(disks, disk, lun, o))
        return false;
    /* From now on the size is the LUN's, not the file's: it must not change between two starts. */
    struct store_spec spec;
    char text[5000], why[300];
    if (!disk->spec.size && store_spec_parse(config_text(lun, "spec"), &spec, why, sizeof why) == 0) {
        disk->spec.size = spec.size = disk->store->info.size;
        if (json_object_set_new(lun, "spec", json_string(store_spec_format(&spec, text, sizeof text))) != 0)
            return outcome_fail(o, "out of memory");
    }
    return true;
}

bool disks_prepare(struct disks *disks, json_t *root, const json_t *old, enum disks_prepare what,
                   struct outcome *o)
{
    size_t i, k;
    json_t *target, *lun;
    json_array_foreach(json_object_get(root, "targets"), i, target)
    {
        const json_t *before = target_in(old, config_text(target, "name"), i);
        json_array_foreach(json_object_get(target, "luns"), k, lun)
        {
            bool known = has_lun(before, lun);
            if (disk_of(disks, target, lun) || (known && what == DISKS_NEW))
                continue;
            if (!open_disk(disks, target, lun, known, o)) {
                disks_rollback(disks);
                return false;
            }
        }
    }
    return true;
}

void disks_commit(struct disks *disks)
{
    list_for_each(it, &disks->list)
    {
        struct disk *disk = list_entry(it, struct disk, node);
        disk->fresh = disk->created = false;
    }
}

void disks_rollback(struct disks *disks)
{
    list_for_each_safe(it, &disks->list)
    {
        struct disk *disk = list_entry(it, struct disk, node);
        if (!disk->fresh)
            continue;
        if (disk->created)
            (void)unlink(disk->spec.path);
        disk_close(disks, disk);
    }
}

struct scsi_lu *disks_lu(struct disks *disks, const json_t *target, const json_t *lun, bool *readonly,
                         uint32_t *home)
{
    struct disk *disk = disk_of(disks, target, lun);
    assert(disk && disk->lu);
    *readonly = disk->spec.readonly;
    *home = disk->home;
    return disk->lu;
}

/* ---- going ---- */

/* Marks what the tree names: by identifier, since the list may be long. */
static void mark_named(struct disks *disks, const json_t *root)
{
    size_t i, k;
    json_t *target, *lun;
    list_for_each(it, &disks->list) list_entry(it, struct disk, node)->named = false;
    json_array_foreach(json_object_get(root, "targets"), i, target)
    {
        json_array_foreach(json_object_get(target, "luns"), k, lun)
        {
            struct disk *disk = disk_of(disks, target, lun);
            if (disk)
                disk->named = true;
        }
    }
}

bool disks_retire(struct disks *disks, const json_t *root, struct live *live)
{
    bool all = true;
    mark_named(disks, root);
    list_for_each_safe(it, &disks->list)
    {
        struct disk *disk = list_entry(it, struct disk, node);
        if (disk->named)
            continue;
        if (live && !live_forget(live, disk->lu))
            all = false;
        else
            disk_close(disks, disk);
    }
    return all;
}

bool disks_resize(struct disks *disks, const json_t *target, const json_t *lun, struct live *live,
                  struct outcome *o)
{
    struct disk *disk = disk_of(disks, target, lun);
    struct store_spec spec;
    char why[400] = "";
    if (!resolve(disks, lun, &spec, o))
        return false;
    if (!disk || !live) {
        /* Nobody serves it: opening with the new size makes it so. */
        struct store *store;
        if (!disk && spec.path[0] && access(spec.path, F_OK) != 0)
            return outcome_fail(o, "%s: %s", spec.path, strerror(errno));
        int err = disk ? disk->store->ops->resize(disk->store, disks->io, spec.size, why, sizeof why)
                       : store_open(disks->env, disks->io, &spec, &store, why, sizeof why);
        if (!err && !disk)
            store_close(store, disks->io);
        return err == 0 || outcome_fail(o, "cannot resize LUN %" PRIu64 ": %s", config_number(lun, "lun", 0),
                                        why[0] ? why : err_text(err));
    }
    int err = live_resize(live, disk->lu, disk->home, spec.size, why, sizeof why);
    if (err)
        return outcome_fail(o, "cannot resize LUN %u: %s", disk->lun, why[0] ? why : err_text(err));
    disk->spec.size = spec.size;
    return true;
}

/* ---- flushing ---- */

static void flush_done(struct store_req *req)
{
    bool *done = req->owner;
    *done = true;
}

static int flush_one(struct disks *disks, struct store *store)
{
    bool done = false;
    struct store_req req = {.verb = STORE_FLUSH, .done = flush_done, .store = store, .owner = &done};
    if (!store->ops->submit(store, disks->io, &req))
        while (!done)
            io_run(disks->io, UINT64_MAX);
    return req.result;
}

uint32_t disks_flush(struct disks *disks)
{
    uint32_t failed = 0;
    list_for_each(it, &disks->list)
    {
        struct disk *disk = list_entry(it, struct disk, node);
        if (!disk->spec.readonly && flush_one(disks, disk->store) != 0)
            failed++;
    }
    return failed;
}
