/* What file.c and file_now.c share: the file store's own struct. */
#ifndef LUNETTE_STORE_FILE_STORE_H
#define LUNETTE_STORE_FILE_STORE_H

#include <stdatomic.h>

#include "target/store/store.h"

/* Bytes. Longer transfers are worth their tasks: meanwhile the reactor would do nothing else. */
#define FILE_ATTEMPT_MAX (64u * 1024u)

/* What attempts in one direction have taught. All reactors share it, so in the steady state nobody writes it.
 */
struct file_lesson {
    _Atomic uint32_t how;    /* file_now.c's enum attempt */
    _Atomic uint32_t skip;   /* attempts to leave out */
    _Atomic uint32_t missed; /* how many it was the last time; 0 after a success */
};

struct file_store {
    struct store store;
    io_handle handle;
    struct io_file_info info;
    bool direct, preallocate;
    struct file_lesson reads, writes;
    /* The map, and reading from it. */
    struct io_map *_Atomic map; /* borrowed from `maps`; NULL: none */
    atomic_bool mapping;        /* somebody makes one, or there will be none any more */
    struct io_map *maps;        /* owned, the newest first; these two are for who has set `mapping` */
    uint32_t map_count;
    _Atomic uint32_t proof;      /* reads in a row that have yet to find their bytes before the map is used */
    _Atomic uint32_t page_waits; /* how often in short order the map had to wait */
    _Atomic uint64_t page_waited; /* ns, io_now: when it had to last */
    /* ns, env_now's clock. Written when a write was slow. */
    _Atomic uint64_t watch_until; /* writes tell whether they waited */
    _Atomic uint64_t rest_until;  /* no write insists before */
    _Atomic uint64_t slow_since;  /* the window's begin */
    _Atomic uint64_t slow_sum;    /* what slow writes took since then */
};

/* ---- file_now.c ---- */

void file_now_init(struct file_store *f); /* everything else is filled in */
void file_now_fini(struct file_store *f, struct io *io);
/* store_ops.attempt. */
bool file_attempt(struct store *store, struct io *io, const struct store_req *req);

#endif
