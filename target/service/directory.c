/* The nexus directory: two small hash tables behind one mutex. */
#include "target/service/directory.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "common/base/err.h"

#define BUCKETS 256u

struct directory_place {
    struct list_node node;
    struct tgt_nexus_key key;
    uint32_t home; /* reactor */
    uint32_t refs; /* connections and sessions */
};

struct address { /* exists while somebody from there is logging in */
    struct list_node node;
    uint8_t family, ip[16];
    uint32_t logins;
};

struct directory {
    const struct env *env;
    pthread_mutex_t lock;
    struct list_node places[BUCKETS];
    struct list_node addresses[BUCKETS];
    uint32_t reactors;
    uint32_t load[SCSI_REACTORS_MAX]; /* places of each reactor */
};

int directory_new(const struct env *env, uint32_t reactors, struct directory **out)
{
    assert(reactors > 0 && reactors <= SCSI_REACTORS_MAX);
    struct directory *dir = env_alloc(env, sizeof *dir);
    if (!dir)
        return ERR_NOMEM;
    dir->env = env;
    dir->reactors = reactors;
    pthread_mutex_init(&dir->lock, NULL);
    for (uint32_t i = 0; i < BUCKETS; i++) {
        list_init(&dir->places[i]);
        list_init(&dir->addresses[i]);
    }
    *out = dir;
    return 0;
}

void directory_free(struct directory *dir)
{
    if (!dir)
        return;
    for (uint32_t i = 0; i < BUCKETS; i++)
        assert(list_empty(&dir->places[i]) && list_empty(&dir->addresses[i]));
    pthread_mutex_destroy(&dir->lock);
    env_free(dir->env, dir);
}

/* FNV-1a. Names come from peers, but at most connections_max of them at a time: chains stay short enough. */
static uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 16777619u;
    return hash;
}

static struct list_node *place_bucket(struct directory *dir, const struct tgt_nexus_key *key)
{
    uint32_t hash = hash_bytes(2166136261u, key->initiator, strlen(key->initiator));
    hash = hash_bytes(hash, key->target, strlen(key->target));
    hash = hash_bytes(hash, key->isid, sizeof key->isid);
    hash = hash_bytes(hash, &key->group, sizeof key->group);
    return &dir->places[hash % BUCKETS];
}

static bool same_nexus(const struct tgt_nexus_key *a, const struct tgt_nexus_key *b)
{
    return a->group == b->group && memcmp(a->isid, b->isid, sizeof a->isid) == 0 &&
           strcmp(a->initiator, b->initiator) == 0 && strcmp(a->target, b->target) == 0;
}

static struct directory_place *find_locked(struct directory *dir, const struct tgt_nexus_key *key)
{
    list_for_each(it, place_bucket(dir, key))
    {
        struct directory_place *place = list_entry(it, struct directory_place, node);
        if (same_nexus(&place->key, key))
            return place;
    }
    return NULL;
}

static uint32_t least_loaded(const struct directory *dir, uint32_t here)
{
    /* Staying costs no move: another reactor has to be better, not just as good. */
    uint32_t best = here;
    for (uint32_t i = 0; i < dir->reactors; i++)
        if (dir->load[i] < dir->load[best])
            best = i;
    return best;
}

struct directory_place *directory_enter(struct directory *dir, const struct tgt_nexus_key *key, uint32_t here)
{
    pthread_mutex_lock(&dir->lock);
    struct directory_place *place = find_locked(dir, key);
    if (!place && (place = env_alloc(dir->env, sizeof *place)) != NULL) {
        place->key = *key;
        place->home = least_loaded(dir, here);
        dir->load[place->home]++;
        list_push_back(place_bucket(dir, key), &place->node);
    }
    if (place)
        place->refs++;
    pthread_mutex_unlock(&dir->lock);
    return place;
}

uint32_t directory_home(const struct directory_place *place)
{
    return place->home; /* never changes while the place exists */
}

void directory_hold(struct directory *dir, struct directory_place *place)
{
    pthread_mutex_lock(&dir->lock);
    assert(place->refs > 0);
    place->refs++;
    pthread_mutex_unlock(&dir->lock);
}

void directory_leave(struct directory *dir, struct directory_place *place)
{
    if (!place)
        return;
    pthread_mutex_lock(&dir->lock);
    assert(place->refs > 0);
    bool last = --place->refs == 0;
    if (last) {
        dir->load[place->home]--;
        list_remove(&place->node);
    }
    pthread_mutex_unlock(&dir->lock);
    if (last)
        env_free(dir->env, place);
}

struct directory_place *directory_find(struct directory *dir, const struct tgt_nexus_key *key)
{
    pthread_mutex_lock(&dir->lock);
    struct directory_place *place = find_locked(dir, key);
    pthread_mutex_unlock(&dir->lock);
    return place;
}

/* ---- logins of an address ---- */

static struct address *address_locked(struct directory *dir, const struct io_addr *from,
                                      struct list_node **bucket)
{
    *bucket = &dir->addresses[hash_bytes(2166136261u, from->ip, sizeof from->ip) % BUCKETS];
    list_for_each(it, *bucket)
    {
        struct address *address = list_entry(it, struct address, node);
        if (address->family == from->family && memcmp(address->ip, from->ip, sizeof from->ip) == 0)
            return address;
    }
    return NULL;
}

int directory_login_begin(struct directory *dir, const struct io_addr *from, uint32_t max)
{
    int err = 0;
    struct list_node *bucket;
    pthread_mutex_lock(&dir->lock);
    struct address *address = address_locked(dir, from, &bucket);
    if (!address && (address = env_alloc(dir->env, sizeof *address)) != NULL) {
        address->family = from->family;
        memcpy(address->ip, from->ip, sizeof address->ip);
        list_push_back(bucket, &address->node);
    }
    if (!address)
        err = ERR_NOMEM;
    else if (address->logins >= max)
        err = ERR_BUSY;
    else
        address->logins++;
    if (address && address->logins == 0) { /* max is 0 */
        list_remove(&address->node);
        env_free(dir->env, address);
    }
    pthread_mutex_unlock(&dir->lock);
    return err;
}

void directory_login_end(struct directory *dir, const struct io_addr *from)
{
    struct list_node *bucket;
    pthread_mutex_lock(&dir->lock);
    struct address *address = address_locked(dir, from, &bucket);
    assert(address && address->logins > 0);
    if (--address->logins == 0) {
        list_remove(&address->node);
        env_free(dir->env, address);
    }
    pthread_mutex_unlock(&dir->lock);
}
