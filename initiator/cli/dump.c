/* Bytes for people and from people, and whole reads and writes. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "initiator/cli/cli.h"

void cli_dump(const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len; at += 16) {
        size_t here = len - at < 16 ? len - at : 16;
        printf("%08zx ", at);
        for (size_t i = 0; i < 16; i++) {
            if (i < here)
                printf(" %02x", data[at + i]);
            else
                fputs("   ", stdout);
        }
        fputs("  |", stdout);
        for (size_t i = 0; i < here; i++)
            putchar(data[at + i] >= 0x20 && data[at + i] < 0x7f ? data[at + i] : '.');
        puts("|");
    }
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int cli_hex_parse(const char *text, uint8_t *out, size_t size)
{
    size_t n = 0;
    for (const char *p = text; *p;) {
        if (*p == ' ') { /* only between bytes: the pairs are taken whole below */
            p++;
            continue;
        }
        int high = digit(p[0]);
        int low = high < 0 ? -1 : digit(p[1]);
        if (low < 0 || n == size)
            return -1;
        out[n++] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    return (int)n;
}

bool cli_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

int64_t cli_read_all(int fd, void *data, size_t len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = read(fd, (char *)data + got, len - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (int64_t)got;
}
