/* Sparse contents of the simulated disk's files: pages by number, in memory. */
#include <string.h>

#include "common/io/sim_disk.h"

/* Multiplicative hash: neighbouring pages spread. */
static struct sim_page **page_bucket(struct sim_file *file, uint64_t index)
{
    return &file->buckets[(index * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (file->bucket_count - 1)];
}

static struct sim_page *page_find(struct sim_file *file, uint64_t index)
{
    if (file->bucket_count == 0)
        return NULL;
    struct sim_page *page = *page_bucket(file, index);
    while (page && page->index != index)
        page = page->next;
    return page;
}

/* Keeps chains short; old pages stay where they are in memory. */
static bool pages_grow(struct sim_world *world, struct sim_file *file)
{
    struct sim_file bigger = *file;
    bigger.bucket_count = file->bucket_count ? 2 * file->bucket_count : SIM_BUCKETS_MIN;
    bigger.buckets = env_alloc(world->heap, (size_t)bigger.bucket_count * sizeof(*bigger.buckets));
    if (!bigger.buckets)
        return false;
    for (uint64_t i = 0; i < file->bucket_count; i++) {
        for (struct sim_page *page = file->buckets[i], *next; page; page = next) {
            struct sim_page **bucket = page_bucket(&bigger, page->index);
            next = page->next;
            page->next = *bucket;
            *bucket = page;
        }
    }
    env_free(world->heap, file->buckets);
    file->buckets = bigger.buckets;
    file->bucket_count = bigger.bucket_count;
    return true;
}

/* False when memory is out, which the caller reports as a full disk. */
bool sim_page_ensure(struct sim_world *world, struct sim_file *file, uint64_t index)
{
    if (page_find(file, index))
        return true;
    if (file->page_count >= file->bucket_count && !pages_grow(world, file))
        return false;
    struct sim_page *page = env_alloc(world->heap, sizeof(*page));
    if (!page)
        return false;
    struct sim_page **bucket = page_bucket(file, index);
    page->index = index;
    page->next = *bucket;
    *bucket = page;
    file->page_count++;
    return true;
}

/* Frees the pages first .. last - 1, whichever way is shorter: by number or by walking over all that exist.
 */
void sim_pages_drop(struct sim_world *world, struct sim_file *file, uint64_t first, uint64_t last)
{
    if (first >= last || file->page_count == 0)
        return;
    const bool walk = last - first > file->bucket_count;
    const uint64_t steps = walk ? file->bucket_count : last - first;
    for (uint64_t i = 0; i < steps; i++) {
        struct sim_page **at = walk ? &file->buckets[i] : page_bucket(file, first + i);
        while (*at) {
            struct sim_page *page = *at;
            if (page->index < first || page->index >= last) {
                at = &page->next;
                continue;
            }
            *at = page->next;
            file->page_count--;
            env_free(world->heap, page);
        }
    }
}

/* The part of one page that a range touches. */
struct page_part {
    uint64_t index;
    size_t start, len;
};

/* The first part of the range. */
static struct page_part page_part_at(uint64_t offset, uint64_t left)
{
    struct page_part part = {offset / SIM_PAGE_LEN, (size_t)(offset % SIM_PAGE_LEN), 0};
    part.len = SIM_PAGE_LEN - part.start < left ? SIM_PAGE_LEN - part.start : (size_t)left;
    return part;
}

/* Pages that do not exist read as zeros. */
void sim_file_copy_out(struct sim_file *file, uint64_t offset, uint8_t *to, uint64_t len)
{
    while (len > 0) {
        const struct page_part part = page_part_at(offset, len);
        const struct sim_page *page = page_find(file, part.index);
        if (page)
            memcpy(to, page->data + part.start, part.len);
        else
            memset(to, 0, part.len);
        offset += part.len;
        to += part.len;
        len -= part.len;
    }
}

/* The pages exist. */
void sim_file_copy_in(struct sim_file *file, uint64_t offset, const uint8_t *from, uint64_t len)
{
    while (len > 0) {
        const struct page_part part = page_part_at(offset, len);
        memcpy(page_find(file, part.index)->data + part.start, from, part.len);
        offset += part.len;
        from += part.len;
        len -= part.len;
    }
}

static void file_clear_part(struct sim_file *file, uint64_t offset, uint64_t len)
{
    const struct page_part part = page_part_at(offset, len);
    struct sim_page *page = page_find(file, part.index);
    if (page)
        memset(page->data + part.start, 0, part.len);
}

/* Whole pages are freed, the two at the edges overwritten: a discarded file costs nothing. */
void sim_file_clear(struct sim_world *world, struct sim_file *file, uint64_t offset, uint64_t len)
{
    if (len == 0)
        return;
    const uint64_t end = offset + len;
    const uint64_t first = (offset + SIM_PAGE_LEN - 1) / SIM_PAGE_LEN, last = end / SIM_PAGE_LEN;
    sim_pages_drop(world, file, first, last);
    if (offset % SIM_PAGE_LEN)
        file_clear_part(file, offset, len);
    /* The last page, unless it is the first one too. */
    if (end % SIM_PAGE_LEN && last * SIM_PAGE_LEN >= offset)
        file_clear_part(file, last * SIM_PAGE_LEN, end % SIM_PAGE_LEN);
}
