/* Sizes, durations and plain numbers from text. */
#ifndef LUNETTE_BASE_UNITS_H
#define LUNETTE_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* "10G", "512", "4KiB", "1.5T": bytes; K M G T P E are powers of 1024, with optional "iB" or "B". Returns 0,
 * or ERR_SYNTAX / ERR_RANGE. Fractions must come out as whole bytes. */
int units_parse_size(const char *text, uint64_t *out_bytes);
/* "30s", "250ms", "5m", "1h", "2d", "10us", "7ns"; a bare number is seconds. */
int units_parse_duration(const char *text, uint64_t *out_ns);
/* Whole decimal (or 0x hexadecimal) number within [min, max], nothing else around it. */
int units_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* "1.5 GiB" into buf; returns buf. */
char *units_format_size(uint64_t bytes, char *buf, size_t buf_len);
char *units_format_duration(uint64_t ns, char *buf, size_t buf_len);

#endif
