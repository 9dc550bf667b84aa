#include "bench/pattern.h"

#include <stdio.h>
#include <string.h>

#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/units.h"

bool pattern_sizes_parse(const char *text, struct pattern_options *out)
{
    char copy[256];
    uint32_t n = 0;
    struct pattern_size sizes[PATTERN_SIZES_MAX];
    if (strlen(text) >= sizeof copy)
        return false;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *rest = copy, *word; (word = strsep(&rest, ",")) != NULL; n++) {
        uint64_t len, weight = 1;
        char *colon = strchr(word, ':');
        if (colon)
            *colon = '\0';
        if (n == PATTERN_SIZES_MAX || units_parse_size(word, &len) || len < 512 || len > PATTERN_SIZE_MAX ||
            len % 512 || (colon && units_parse_u64(colon + 1, 1, 1000000, &weight)))
            return false;
        sizes[n] = (struct pattern_size){(uint32_t)len, (uint32_t)weight};
    }
    memcpy(out->size, sizes, sizeof sizes);
    out->sizes = n;
    return true;
}

static bool pattern_mix_word(const char *word, uint32_t *percent)
{
    static const char *const names[PATTERN_KINDS] = {"read", "write", "unmap"};
    uint64_t value = 100;
    size_t len = strcspn(word, "=");
    for (int kind = 0; kind < PATTERN_KINDS; kind++) {
        if (strlen(names[kind]) != len || strncmp(word, names[kind], len) != 0)
            continue;
        if (word[len] == '=' && units_parse_u64(word + len + 1, 0, 100, &value))
            return false;
        percent[kind] += (uint32_t)value;
        return true;
    }
    return false;
}

bool pattern_mix_parse(const char *text, struct pattern_options *out)
{
    char copy[128];
    uint32_t percent[PATTERN_KINDS] = {0};
    uint64_t reads;
    if (strlen(text) >= sizeof copy)
        return false;
    snprintf(copy, sizeof copy, "%s", text);
    if (units_parse_u64(text, 0, 100, &reads) == 0) {
        percent[PATTERN_READ] = (uint32_t)reads;
        percent[PATTERN_WRITE] = 100 - (uint32_t)reads;
    } else {
        for (char *rest = copy, *word; (word = strsep(&rest, ",")) != NULL;)
            if (!pattern_mix_word(word, percent))
                return false;
    }
    if (percent[PATTERN_READ] + percent[PATTERN_WRITE] + percent[PATTERN_UNMAP] != 100)
        return false;
    memcpy(out->percent, percent, sizeof percent);
    return true;
}

uint32_t pattern_size_largest(const struct pattern_options *o)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < o->sizes; i++)
        most = o->size[i].len > most ? o->size[i].len : most;
    return most;
}

uint32_t pattern_size_smallest(const struct pattern_options *o)
{
    uint32_t least = PATTERN_SIZE_MAX;
    for (uint32_t i = 0; i < o->sizes; i++)
        least = o->size[i].len < least ? o->size[i].len : least;
    return least;
}

int pattern_init(struct pattern *p, const struct env *env, const struct pattern_options *options,
                 uint32_t block_size, uint64_t first, uint64_t len, uint32_t in_flight, bool exclusive,
                 uint64_t number)
{
    *p = (struct pattern){.options = options,
                          .block_size = block_size,
                          .cell = pattern_size_largest(options),
                          .grain = pattern_size_smallest(options),
                          .first = first,
                          .exclusive = exclusive,
                          .random = (options->seed + number) * 0x9e3779b97f4a7c15u | 1};
    p->cells = len / p->cell;
    for (uint32_t i = 0; i < options->sizes; i++)
        p->weights += options->size[i].weight;
    if (p->cells == 0 || (exclusive && p->cells <= in_flight))
        return ERR_RANGE;
    if (exclusive) {
        p->busy = env_alloc(env, p->cells * sizeof *p->busy);
        p->written = env_alloc(env, p->cells * p->cell / p->grain * sizeof *p->written);
        if (!p->busy || !p->written)
            return ERR_NOMEM;
    }
    return 0;
}

void pattern_fini(struct pattern *p, const struct env *env)
{
    env_free(env, p->busy);
    env_free(env, p->written);
    p->busy = NULL;
    p->written = NULL;
}

/* 0 .. n - 1, without a division. */
static uint64_t pattern_below(struct pattern *p, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)pattern_random(p) * n) >> 64);
}

static enum pattern_kind pattern_kind(struct pattern *p)
{
    const uint32_t *percent = p->options->percent;
    if (percent[PATTERN_READ] == 100)
        return PATTERN_READ;
    if (percent[PATTERN_WRITE] == 100)
        return PATTERN_WRITE;
    uint64_t roll = pattern_below(p, 100);
    if (roll < percent[PATTERN_READ])
        return PATTERN_READ;
    return roll < percent[PATTERN_READ] + percent[PATTERN_WRITE] ? PATTERN_WRITE : PATTERN_UNMAP;
}

static uint32_t pattern_len(struct pattern *p)
{
    const struct pattern_options *o = p->options;
    if (o->sizes == 1)
        return o->size[0].len;
    uint64_t roll = pattern_below(p, p->weights);
    uint32_t i = 0;
    for (; roll >= o->size[i].weight; i++)
        roll -= o->size[i].weight;
    return o->size[i].len;
}

static void pattern_next_exclusive(struct pattern *p, struct pattern_choice *out)
{
    uint64_t cell = p->options->random ? pattern_below(p, p->cells) : p->next++ % p->cells;
    while (p->busy[cell]) /* there are more cells than commands in flight */
        cell = cell + 1 == p->cells ? 0 : cell + 1;
    p->busy[cell] = true;
    out->offset = p->first + cell * p->cell;
}

void pattern_next(struct pattern *p, struct pattern_choice *out)
{
    out->kind = pattern_kind(p);
    out->len = pattern_len(p);
    if (p->exclusive) {
        pattern_next_exclusive(p, out);
    } else if (p->options->random) {
        uint64_t places = p->options->sizes == 1 ? p->cells : p->cells * p->cell / out->len;
        out->offset = p->first + pattern_below(p, places) * out->len;
    } else {
        if (p->next + out->len > p->cells * p->cell)
            p->next = 0;
        out->offset = p->first + p->next;
        p->next += out->len;
    }
}

void pattern_done(struct pattern *p, const struct pattern_choice *choice)
{
    if (p->exclusive)
        p->busy[(choice->offset - p->first) / p->cell] = false;
}
