/* Files of the simulated disk: what sim_disk.c, sim_pages.c and sim_cache.c share. */
#ifndef LUNETTE_IO_SIM_DISK_H
#define LUNETTE_IO_SIM_DISK_H

#include "common/io/sim_internal.h"

enum {
    SIM_PAGE_LEN = 4096,
    SIM_SECTOR_LEN = 512,
    SIM_BUCKETS_MIN = 64,
    SIM_DIRECT_ALIGN = 512,
    SIM_MAP_AFTER = 1
};

struct sim_page {
    struct sim_page *next; /* in its bucket */
    uint64_t index;
    uint8_t data[SIM_PAGE_LEN];
};

struct sim_file {
    struct list_node node; /* in world->files while it has a name */
    char *path;            /* owned */
    uint64_t size;         /* bytes */
    uint32_t opens;        /* freed when no name and no open is left */
    uint32_t shared_locks;
    bool exclusive_lock;
    struct sim_page **buckets; /* owned; bucket_count is a power of two or 0 */
    uint64_t bucket_count;
    uint64_t page_count;
    struct list_node volatiles; /* struct sim_volatile, oldest first */
};

struct sim_open {
    struct sim_file *file;
    unsigned flags;
    uint32_t ops;          /* in flight */
    struct list_node maps; /* struct sim_map, owned */
};

struct sim_map {
    struct io_map map;
    struct list_node node;
    bool broken;
};

/* ---- sim_pages.c ---- */

/* False when memory is out, which the caller reports as a full disk. */
bool sim_page_ensure(struct sim_world *world, struct sim_file *file, uint64_t index);
/* Frees the pages first .. last - 1. */
void sim_pages_drop(struct sim_world *world, struct sim_file *file, uint64_t first, uint64_t last);
/* Pages that do not exist read as zeros. */
void sim_file_copy_out(struct sim_file *file, uint64_t offset, uint8_t *to, uint64_t len);
/* The pages exist. */
void sim_file_copy_in(struct sim_file *file, uint64_t offset, const uint8_t *from, uint64_t len);
/* Whole pages are freed, the two at the edges overwritten: a discarded file costs nothing. */
void sim_file_clear(struct sim_world *world, struct sim_file *file, uint64_t offset, uint64_t len);

/* ---- sim_cache.c ---- */

/* The range is about to change by operation `number`: what it holds now may come back at a power cut. */
void sim_cache_before(struct sim_world *world, struct sim_file *file, uint64_t number, uint64_t offset,
                      uint64_t len);
/* A flush that was submitted as `number` has completed: what completed before it was submitted is on the
 * medium. */
void sim_cache_flushed(struct sim_world *world, struct sim_file *file, uint64_t number);
void sim_cache_drop(struct sim_world *world, struct sim_file *file);

#endif
