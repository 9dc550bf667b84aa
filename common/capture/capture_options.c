/* The capture's options as command lines give them. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/units.h"
#include "common/capture/capture.h"

#define SNAP_MAX       (256u * 1024)
#define FILE_SIZE_MIN  (64u * 1024)
#define BUFFER_MIN     (64u * 1024)
#define BUFFER_MAX     (1024u * 1024 * 1024)
#define RING_VALUE_MAX 64u

const struct capture_option capture_option_list[] = {
    {"capture", "FILE", "write all iSCSI traffic into this pcapng file"},
    {"capture-snap", "BYTES", "keep only the first bytes of each frame"},
    {"capture-ring", "FILES:SIZE", "several files of at most SIZE; the oldest makes room"},
    {"capture-session", "PATTERN",
     "only sessions of which the initiator or the target has such a name (* is any run)"},
    {"capture-no-secrets", NULL, "overwrite CHAP challenges and responses"},
    {"capture-buffer", "SIZE", "memory of each reactor for what is not yet written (default 32M)"},
    {NULL, NULL, NULL},
};

void capture_options_default(struct capture_options *options)
{
    *options =
        (struct capture_options){.buffer = CAPTURE_BUFFER_DEFAULT, .taps = 1, .application = "program"};
}

static int refuse(char *why, size_t why_len, const char *name, const char *what)
{
    snprintf(why, why_len, "--%s is %s", name, what);
    return ERR_INVALID;
}

static bool size_between(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t value;
    if (units_parse_size(text, &value) != 0 || value < min || value > max)
        return false;
    *out = value;
    return true;
}

static bool take_ring(struct capture_options *options, const char *value)
{
    char files[RING_VALUE_MAX];
    const char *colon = strchr(value, ':');
    uint64_t count, size;
    if (!colon || (size_t)(colon - value) >= sizeof files)
        return false;
    memcpy(files, value, (size_t)(colon - value));
    files[colon - value] = '\0';
    if (units_parse_u64(files, 1, CAPTURE_FILES_MAX, &count) != 0 ||
        !size_between(colon + 1, FILE_SIZE_MIN, UINT64_MAX, &size))
        return false;
    options->files = (uint32_t)count;
    options->file_size = size;
    return true;
}

int capture_option_take(struct capture_options *options, const char *name, const char *value, char *why,
                        size_t why_len)
{
    uint64_t number;
    if (strcmp(name, "capture") == 0) {
        options->path = value;
        return *value ? 0 : refuse(why, why_len, name, "the name of a file");
    }
    if (strcmp(name, "capture-snap") == 0) {
        if (!size_between(value, CAPTURE_SNAP_MIN, SNAP_MAX, &number))
            return refuse(why, why_len, name, "a size from 128 to 256K");
        options->snap = (uint32_t)number;
        return 0;
    }
    if (strcmp(name, "capture-ring") == 0)
        return take_ring(options, value)
                   ? 0
                   : refuse(why, why_len, name, "FILES:SIZE such as 10:100M, with a size of at least 64K");
    if (strcmp(name, "capture-session") == 0) {
        options->session = value;
        return *value && strlen(value) < 256
                   ? 0
                   : refuse(why, why_len, name, "a name with * for any run of characters");
    }
    if (strcmp(name, "capture-no-secrets") == 0) {
        options->no_secrets = true;
        return 0;
    }
    if (strcmp(name, "capture-buffer") == 0)
        return size_between(value, BUFFER_MIN, BUFFER_MAX, &options->buffer)
                   ? 0
                   : refuse(why, why_len, name, "a size from 64K to 1G");
    return ERR_NOTFOUND;
}
