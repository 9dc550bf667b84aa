/* Block layouts of pcapng (draft-ietf-opsawg-pcapng) and pcap: the numbers that writer and reader share, and
 * the writer's encoders. Blocks are written little endian, with nanosecond time. */
#ifndef LUNETTE_CAPTURE_PCAPNG_H
#define LUNETTE_CAPTURE_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

#define PCAPNG_SHB        0x0a0d0d0au
#define PCAPNG_IDB        1u
#define PCAPNG_PB         2u /* the obsolete Packet Block */
#define PCAPNG_SPB        3u
#define PCAPNG_ISB        5u
#define PCAPNG_EPB        6u
#define PCAPNG_BYTE_ORDER 0x1a2b3c4du
#define PCAPNG_APPLICATION                                                                                   \
    "Lunette" /* how shb_userappl begins in our own files: frames are in order there                         \
               */

enum pcapng_option {
    PCAPNG_OPT_END = 0,
    PCAPNG_OPT_COMMENT = 1,
    PCAPNG_SHB_USERAPPL = 4,
    PCAPNG_IF_NAME = 2,
    PCAPNG_IF_DESCRIPTION = 3,
    PCAPNG_IF_TSRESOL = 9,
    PCAPNG_IF_FILTER = 11,
    PCAPNG_IF_TSOFFSET = 14,
    PCAPNG_EPB_FLAGS = 2,
    PCAPNG_EPB_DROPCOUNT = 4,
    PCAPNG_ISB_STARTTIME = 2,
    PCAPNG_ISB_ENDTIME = 3,
    PCAPNG_ISB_IFRECV = 4,
    PCAPNG_ISB_IFDROP = 5
};

enum pcapng_link {
    PCAPNG_LINK_NULL = 0,
    PCAPNG_LINK_ETHERNET = 1,
    PCAPNG_LINK_RAW = 101,
    PCAPNG_LINK_LOOP = 108,
    PCAPNG_LINK_SLL = 113,
    PCAPNG_LINK_IPV4 = 228,
    PCAPNG_LINK_IPV6 = 229,
    PCAPNG_LINK_SLL2 = 276
};

/* A block in the making: the caller's buffer, which must be large enough (PCAPNG_ROOM of what goes in). */
struct pcapng_block {
    uint8_t *at;  /* where it begins; borrowed */
    uint32_t len; /* bytes so far */
};
#define PCAPNG_ROOM(data_len) ((size_t)(data_len) + 512u) /* one packet block with our options */

void pcapng_begin(struct pcapng_block *b, uint8_t *at, uint32_t type);
void pcapng_u16(struct pcapng_block *b, uint16_t v);
void pcapng_u32(struct pcapng_block *b, uint32_t v);
void pcapng_u64(struct pcapng_block *b, uint64_t v);
void pcapng_time(struct pcapng_block *b,
                 uint64_t ns); /* high word first, as packets and statistics have it */
void pcapng_bytes(struct pcapng_block *b, const void *data, uint32_t len); /* padded to four */
void pcapng_raw(struct pcapng_block *b, const void *data, uint32_t len);   /* not padded */
void pcapng_pad(struct pcapng_block *b);
void pcapng_opt(struct pcapng_block *b, uint16_t code, const void *data, uint16_t len);
void pcapng_opt_text(struct pcapng_block *b, uint16_t code, const char *text);
void pcapng_opt_u64(struct pcapng_block *b, uint16_t code, uint64_t v);
void pcapng_opt_end(struct pcapng_block *b);
/* Writes both lengths; returns the block's. */
uint32_t pcapng_finish(struct pcapng_block *b);

#endif
