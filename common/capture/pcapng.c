/* pcapng blocks into memory. */
#include "common/capture/pcapng.h"

#include <string.h>

void pcapng_raw(struct pcapng_block *b, const void *data, uint32_t len)
{
    if (len)
        memcpy(b->at + b->len, data, len);
    b->len += len;
}

void pcapng_u16(struct pcapng_block *b, uint16_t v)
{
    uint8_t bytes[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    pcapng_raw(b, bytes, 2);
}

void pcapng_u32(struct pcapng_block *b, uint32_t v)
{
    pcapng_u16(b, (uint16_t)v);
    pcapng_u16(b, (uint16_t)(v >> 16));
}

void pcapng_u64(struct pcapng_block *b, uint64_t v)
{
    pcapng_u32(b, (uint32_t)v);
    pcapng_u32(b, (uint32_t)(v >> 32));
}

void pcapng_time(struct pcapng_block *b, uint64_t ns)
{
    pcapng_u32(b, (uint32_t)(ns >> 32));
    pcapng_u32(b, (uint32_t)ns);
}

void pcapng_pad(struct pcapng_block *b)
{
    while (b->len & 3)
        b->at[b->len++] = 0;
}

void pcapng_bytes(struct pcapng_block *b, const void *data, uint32_t len)
{
    pcapng_raw(b, data, len);
    pcapng_pad(b);
}

void pcapng_opt(struct pcapng_block *b, uint16_t code, const void *data, uint16_t len)
{
    pcapng_u16(b, code);
    pcapng_u16(b, len);
    pcapng_bytes(b, data, len);
}

void pcapng_opt_text(struct pcapng_block *b, uint16_t code, const char *text)
{
    pcapng_opt(b, code, text, (uint16_t)strlen(text));
}

void pcapng_opt_u64(struct pcapng_block *b, uint16_t code, uint64_t v)
{
    pcapng_u16(b, code);
    pcapng_u16(b, 8);
    pcapng_u64(b, v);
}

void pcapng_opt_end(struct pcapng_block *b)
{
    pcapng_u32(b, PCAPNG_OPT_END);
}

void pcapng_begin(struct pcapng_block *b, uint8_t *at, uint32_t type)
{
    *b = (struct pcapng_block){.at = at};
    pcapng_u32(b, type);
    pcapng_u32(b, 0);
}

uint32_t pcapng_finish(struct pcapng_block *b)
{
    uint32_t total = b->len + 4;
    pcapng_u32(b, total);
    struct pcapng_block front = {.at = b->at, .len = 4};
    pcapng_u32(&front, total);
    return total;
}
