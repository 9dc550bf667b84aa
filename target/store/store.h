/* Where blocks live. A store knows bytes at offsets: it never sees SCSI, and the device server never sees a
 * file.
 *
 * One `struct store_ops` per kind (memory, null, file); each store object embeds `struct store` first.
 * Requests carry everything they need (no allocation); they are submitted on the caller's reactor with its
 * `struct io`, and complete there. A write is done when the store says so; FUA and flush mean stable media.
 */
#ifndef LUNETTE_STORE_STORE_H
#define LUNETTE_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/io/io.h"

struct env;
struct store;

enum store_verb { STORE_READ, STORE_WRITE, STORE_FLUSH, STORE_DISCARD, STORE_ZERO };
enum store_concurrency {
    STORE_ANY,
    STORE_HOME
}; /* called from every reactor, or posted to its home reactor */

#define STORE_REQ_VECS 8

struct store_req {
    enum store_verb verb;
    bool fua;             /* WRITE, ZERO, DISCARD: stable media before done */
    uint64_t offset, len; /* bytes; len is the sum of vec for READ and WRITE */
    struct io_vec vec[STORE_REQ_VECS];
    uint32_t vec_count; /* 0, with READ only: lend it, see store_info.lend_len */
    /* WRITE of one place: the chunk whose memory vec[0] is, all of it, and which nobody else looks at. The
     * store may keep that memory and give the chunk other memory (chunk_exchange). NULL: it may not. */
    struct chunk *whole;
    void *loan;            /* lent: what give_back wants; NULL: nothing to give back */
    int result;            /* 0 or enum err, when complete; ERR_NOSPACE: the medium is full */
    uint64_t error_offset; /* bytes, absolute: where a failed READ or WRITE stopped; = offset when unknown */
    void (*done)(struct store_req *req); /* called when submit said false, on the reactor of submission */
    struct store *store;                 /* borrowed until done */
    void *owner;                         /* the device server's */
    struct list_node node;               /* the device server's */
    void *host;                          /* the host's: where it was submitted */
    /* the store's own */
    struct io_op op;
    struct io_vec work[STORE_REQ_VECS]; /* what is left after a short transfer */
    uint32_t work_count;
    uint64_t progress; /* bytes already done */
    struct slice bounce;
    int stage;
};

struct store_info { /* what a store says of itself */
    uint64_t size;  /* bytes */
    bool readonly;
    bool can_discard;    /* DISCARD makes the range read as zeros and may free space */
    bool thin;           /* space is allocated on write */
    bool volatile_cache; /* FLUSH has something to do */
    bool rotational;
    uint32_t
        block_min; /* bytes: smallest block size it can serve (device sector, O_DIRECT alignment), else 1 */
    uint32_t discard_granularity; /* bytes, 0 unknown */
    uint32_t optimal_io;          /* bytes, 0 unknown */
    /* Bytes, a power of two; 0: never. A READ without places that stays between two multiples of it is lent:
     * vec[0] then is the store's own memory, which nobody changes until give_back. */
    uint32_t lend_len;
    bool instant; /* READ and WRITE complete when they are submitted, and need no io (it may be NULL) */
    uint32_t
        attempt_max; /* bytes: the longest READ or WRITE that store_ops.attempt takes on; 0: it takes none */
    enum store_concurrency concurrency;
};

struct store_spec { /* "KIND:PATH,key=value,flag": parsed by store_spec_parse; all text owned by the spec */
    char kind[16];
    char path[4096];                 /* "" when the kind has none */
    uint64_t size;                   /* bytes, 0: not given */
    uint32_t block_size;             /* LU: 512 or 4096; 0: not given */
    uint8_t physical_block_exponent; /* LU: log2 of logical blocks per physical block */
    bool readonly, preallocate, direct, shared, create;
    bool removable; /* LU: a medium that can be ejected */
    bool rotational;
};
/* Reads one LUN specification: "file:/srv/a.img,size=10G,block=4096,readonly", "memory:size=1G",
 * "null:size=1T". A bare absolute path means file:. On error `why` gets one clear sentence naming the option;
 * ERR_SYNTAX/ERR_RANGE. */
int store_spec_parse(const char *text, struct store_spec *out, char *why, size_t why_len);
/* The canonical text of a spec. */
char *store_spec_format(const struct store_spec *spec, char *buf, size_t len);

struct store_ops {
    const char *kind;
    /* Opens or creates. `io` is any reactor's (opening is synchronous). `why` gets a sentence on failure. */
    int (*open)(const struct env *env, struct io *io, const struct store_spec *spec, struct store **out,
                char *why, size_t why_len);
    /* True: complete now, req->result is set and done is not called. False: done will be called from io_run.
     * Offsets lie within the store's size (the device server checks). */
    bool (*submit)(struct store *store, struct io *io, struct store_req *req);
    /* Carries a READ, or a WRITE without fua, of one place (vec[0]) out, when that takes no waiting: of the
     * request only verb, store, offset, len and vec are looked at. False: it would take waiting, or it
     * failed; whoever asked submits it. Some of it may have been carried out then, which is harmless: it is
     * done again. Set when info.attempt_max is not 0. */
    bool (*attempt)(struct store *store, struct io *io, const struct store_req *req);
    /* A WRITE of this range, at least one byte of the store's, may come next, or a READ that begins with it:
     * time to fetch it into the cache. A hint, from any reactor. NULL: there is nothing to gain. */
    void (*expect)(struct store *store, uint64_t offset, uint32_t len);
    /* Grows (or, where the kind can, shrinks); takes effect for requests submitted afterwards. */
    int (*resize)(struct store *store, struct io *io, uint64_t size, char *why, size_t why_len);
    /* Ends a loan whose bytes began at `data`, on any reactor; NULL when the store lends nothing that it has
     * to keep. */
    void (*give_back)(struct store *store, void *loan, const uint8_t *data);
    void (*close)(struct store *store, struct io *io); /* no request in flight, nothing lent */
};

struct store {
    const struct store_ops *ops;
    const struct env *env;
    struct store_info info;
};

/* Finds the kind and opens. The kinds are listed in store.c's table. */
int store_open(const struct env *env, struct io *io, const struct store_spec *spec, struct store **out,
               char *why, size_t why_len);
void store_close(struct store *store, struct io *io); /* NULL is fine */

#endif
