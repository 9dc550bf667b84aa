/* Command line parsing. */
#include "target/service/args.h"

#include <string.h>

#include "common/base/units.h"

static const struct args_option *find(const struct args_option *options, const char *text, size_t len)
{
    for (const struct args_option *option = options; option->name; option++)
        if (strlen(option->name) == len && memcmp(option->name, text, len) == 0)
            return option;
    return NULL;
}

static bool take_option(int argc, char *const *argv, int *at, const struct args_option *options,
                        struct args *out, struct outcome *o)
{
    const char *text = argv[*at], *equals = strchr(text, '=');
    const struct args_option *option = find(options, text, equals ? (size_t)(equals - text) : strlen(text));
    if (!option)
        return outcome_refuse(o, "unknown option %s (--help lists them)", text);
    const char *value = equals ? equals + 1 : NULL;
    if (option->value && !value) {
        if (*at + 1 >= argc)
            return outcome_refuse(o, "option %s needs a value: %s", option->name, option->value);
        value = argv[++*at];
    }
    if (!option->value && value)
        return outcome_refuse(o, "option %s takes no value", option->name);
    if (out->given_count == ARGS_MAX)
        return outcome_refuse(o, "more than %u options", ARGS_MAX);
    out->given[out->given_count].name = option->name;
    out->given[out->given_count++].value = value;
    return true;
}

bool args_parse(int argc, char *const *argv, const struct args_option *options, unsigned max,
                struct args *out, struct outcome *o)
{
    *out = (struct args){0};
    bool only_positional = false;
    for (int i = 0; i < argc; i++) {
        const char *text = argv[i];
        if (!only_positional && strcmp(text, "--") == 0) {
            only_positional = true;
        } else if (!only_positional && (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)) {
            out->help = true;
            return true;
        } else if (!only_positional && text[0] == '-' && text[1]) {
            if (!take_option(argc, argv, &i, options, out, o))
                return false;
        } else if (out->positional_count < max) {
            out->positional[out->positional_count++] = text;
        } else {
            return outcome_refuse(o, "unexpected argument \"%s\"", text);
        }
    }
    return true;
}

const char *args_nth(const struct args *args, const char *name, unsigned n)
{
    for (unsigned i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i].name, name) == 0 && n-- == 0)
            return args->given[i].value;
    return NULL;
}

const char *args_value(const struct args *args, const char *name)
{
    const char *value = NULL;
    for (unsigned i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i].name, name) == 0)
            value = args->given[i].value;
    return value;
}

bool args_flag(const struct args *args, const char *name)
{
    for (unsigned i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i].name, name) == 0)
            return true;
    return false;
}

void args_print_options(const struct args_option *options, FILE *out)
{
    for (const struct args_option *option = options; option->name; option++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        fprintf(out, "  %-32s %s\n", left, option->help);
    }
}

bool args_size(const struct args *args, const char *name, uint64_t *out, struct outcome *o)
{
    const char *text = args_value(args, name);
    if (!text || units_parse_size(text, out) == 0)
        return true;
    return outcome_refuse(o, "%s: \"%s\" is no size such as 4096, 64K or 10G", name, text);
}

bool args_duration(const struct args *args, const char *name, uint64_t *out_ns, struct outcome *o)
{
    const char *text = args_value(args, name);
    if (!text || units_parse_duration(text, out_ns) == 0)
        return true;
    return outcome_refuse(o, "%s: \"%s\" is no duration such as 250ms, 30s or 5m", name, text);
}

bool args_number(const struct args *args, const char *name, uint64_t min, uint64_t max, uint64_t *out,
                 struct outcome *o)
{
    const char *text = args_value(args, name);
    if (!text || units_parse_u64(text, min, max, out) == 0)
        return true;
    return outcome_refuse(o, "%s: \"%s\" is no number from %llu to %llu", name, text, (unsigned long long)min,
                          (unsigned long long)max);
}

bool args_yes_no(const struct args *args, const char *name, bool *out, struct outcome *o)
{
    const char *text = args_value(args, name);
    if (!text)
        return true;
    bool yes = strcmp(text, "yes") == 0 || strcmp(text, "on") == 0;
    if (!yes && strcmp(text, "no") != 0 && strcmp(text, "off") != 0)
        return outcome_refuse(o, "%s is yes or no, not \"%s\"", name, text);
    *out = yes;
    return true;
}
