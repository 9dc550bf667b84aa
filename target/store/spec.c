/* LUN specifications: text to struct and back. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/units.h"
#include "target/store/store.h"

static int fail(int err, char *why, size_t why_len, const char *text, const char *piece)
{
    snprintf(why, why_len, text, piece);
    return err;
}

/* "key" or "key=value", already separate. */
struct option {
    const char *key;
    const char *value; /* NULL: a flag */
};

/* Flags stand alone or with yes or no, so that a list in a file can spell both. */
static int flag_set(struct store_spec *s, const struct option *o, bool *known)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"readonly", &s->readonly},   {"preallocate", &s->preallocate}, {"direct", &s->direct},
        {"shared", &s->shared},       {"create", &s->create},           {"rotational", &s->rotational},
        {"removable", &s->removable},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(flags[i].name, o->key) != 0)
            continue;
        *known = true;
        if (!o->value || strcmp(o->value, "yes") == 0)
            *flags[i].flag = true;
        else if (strcmp(o->value, "no") == 0)
            *flags[i].flag = false;
        else
            return ERR_SYNTAX;
        return 0;
    }
    *known = false;
    return 0;
}

/* Everything that has a value. */
static int option_set(struct store_spec *s, const struct option *o, char *why, size_t why_len)
{
    bool known;
    if (flag_set(s, o, &known))
        return fail(ERR_SYNTAX, why, why_len, "option %s takes no value, yes or no", o->key);
    if (known)
        return 0;
    bool size = strcmp(o->key, "size") == 0, block = strcmp(o->key, "block") == 0,
         physical = strcmp(o->key, "physical") == 0;
    if (!size && !block && !physical)
        return fail(ERR_SYNTAX, why, why_len, "unknown option \"%s\" in the LUN specification", o->key);
    uint64_t value;
    if (!o->value || units_parse_size(o->value, &value) != 0)
        return fail(ERR_SYNTAX, why, why_len, "option %s needs a size such as 512, 4K or 10G", o->key);
    if (size) {
        if (value == 0)
            return fail(ERR_RANGE, why, why_len, "option %s must not be 0", o->key);
        s->size = value;
    } else if (block) {
        if (value != 512 && value != 4096)
            return fail(ERR_RANGE, why, why_len, "option %s must be 512 or 4096", o->key);
        s->block_size = (uint32_t)value;
    } else {
        /* Kept in bytes until the block size is known: options come in any order. */
        if (value < 512 || value > 1024 * 1024 || value & (value - 1))
            return fail(ERR_RANGE, why, why_len, "option %s must be a power of two from 512 to 1M", o->key);
        uint8_t shift = 0;
        while (UINT64_C(1) << shift < value)
            shift++;
        s->physical_block_exponent = shift;
    }
    return 0;
}

/* The physical block size came as log2 of bytes: now in logical blocks. */
static int settle_physical(struct store_spec *s, char *why, size_t why_len)
{
    if (!s->physical_block_exponent)
        return 0;
    uint8_t block = s->block_size == 4096 ? 12 : 9;
    if (s->physical_block_exponent < block)
        return fail(ERR_RANGE, why, why_len, "option %s must not be smaller than the block size", "physical");
    s->physical_block_exponent = (uint8_t)(s->physical_block_exponent - block);
    return 0;
}

/* A bare absolute path means file:. */
static int parse_kind(const char *text, size_t len, struct store_spec *s, const char **rest, char *why,
                      size_t why_len)
{
    if (text[0] == '/') {
        memcpy(s->kind, "file", 5);
        *rest = text;
        return 0;
    }
    const char *colon = memchr(text, ':', len);
    size_t kind_len = colon ? (size_t)(colon - text) : strcspn(text, ",");
    if (kind_len == 0 || kind_len >= sizeof s->kind)
        return fail(ERR_SYNTAX, why, why_len, "\"%s\" does not begin with file:, memory: or null:", text);
    memcpy(s->kind, text, kind_len);
    if (strcmp(s->kind, "file") != 0 && strcmp(s->kind, "memory") != 0 && strcmp(s->kind, "null") != 0)
        return fail(ERR_SYNTAX, why, why_len, "there is no store of kind \"%s\": use file, memory or null",
                    s->kind);
    *rest = colon ? colon + 1 : text + kind_len;
    return 0;
}

/* A path ends at the first comma: options follow. `out` is written only when all is right. */
int store_spec_parse(const char *text, struct store_spec *out, char *why, size_t why_len)
{
    struct store_spec s = {0};
    const char *at;
    int err = parse_kind(text, strlen(text), &s, &at, why, why_len);
    if (err)
        return err;
    bool file = strcmp(s.kind, "file") == 0;
    if (file) {
        size_t len = strcspn(at, ",");
        if (len == 0)
            return fail(ERR_SYNTAX, why, why_len, "%s: needs a path", s.kind);
        if (len >= sizeof s.path)
            return fail(ERR_TOOBIG, why, why_len, "the path of the %s store is too long", s.kind);
        memcpy(s.path, at, len);
        at += len;
        if (*at)
            at++;
    } else if (*at == ',') {
        at++;
    }
    while (*at) {
        char piece[64];
        size_t len = strcspn(at, ",");
        if (len >= sizeof piece)
            return fail(ERR_SYNTAX, why, why_len, "an option of \"%s\" is too long", text);
        memcpy(piece, at, len);
        piece[len] = '\0';
        char *equals = strchr(piece, '=');
        if (equals)
            *equals = '\0';
        struct option o = {piece, equals ? equals + 1 : NULL};
        if ((err = option_set(&s, &o, why, why_len)) != 0)
            return err;
        at += len;
        if (*at)
            at++;
    }
    if (!file && (s.preallocate || s.direct || s.shared || s.create))
        return fail(ERR_SYNTAX, why, why_len, "a %s store knows no preallocate, direct, shared or create",
                    s.kind);
    if ((err = settle_physical(&s, why, why_len)) != 0)
        return err;
    *out = s;
    return 0;
}

char *store_spec_format(const struct store_spec *spec, char *buf, size_t len)
{
    size_t at = 0;
    const char *comma = spec->path[0] ? "," : "";
#define ADD(...)                                                                                             \
    do {                                                                                                     \
        int n = snprintf(buf + at, len - at, __VA_ARGS__);                                                   \
        at = n < 0 || (size_t)n >= len - at ? len - 1 : at + (size_t)n;                                      \
    } while (0)
#define OPTION(condition, ...)                                                                               \
    do {                                                                                                     \
        if (condition) {                                                                                     \
            ADD("%s", comma);                                                                                \
            ADD(__VA_ARGS__);                                                                                \
            comma = ",";                                                                                     \
        }                                                                                                    \
    } while (0)
    uint32_t block = spec->block_size ? spec->block_size : 512;
    ADD("%s:%s", spec->kind, spec->path);
    OPTION(spec->size, "size=%" PRIu64, spec->size);
    OPTION(spec->block_size, "block=%" PRIu32, spec->block_size);
    OPTION(spec->physical_block_exponent, "physical=%" PRIu32, block << spec->physical_block_exponent);
    OPTION(spec->readonly, "readonly");
    OPTION(spec->preallocate, "preallocate");
    OPTION(spec->direct, "direct");
    OPTION(spec->shared, "shared");
    OPTION(spec->create, "create");
    OPTION(spec->rotational, "rotational");
    OPTION(spec->removable, "removable");
#undef OPTION
#undef ADD
    return buf;
}
