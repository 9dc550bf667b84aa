/* Reads packets from pcapng and pcap files, from anybody: either byte order, micro- and nanoseconds, many
 * interfaces and sections, files that end too early. Whatever the file holds, memory stays bounded and the
 * answer is packets or an error with the offset at which the file is wrong. */
#ifndef LUNETTE_CAPTURE_PCAP_READ_H
#define LUNETTE_CAPTURE_PCAP_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct env;
struct pcap_reader;

#define PCAP_BLOCK_MAX      (32u * 1024 * 1024) /* bytes of one block or packet */
#define PCAP_INTERFACES_MAX 4096u

/* Where the bytes come from. `read` fills up to len bytes: how many; 0 at the end; < 0: enum err. */
struct pcap_source {
    int64_t (*read)(void *ctx, void *buf, size_t len);
    void *ctx;
};

struct pcap_packet {
    uint64_t number;     /* from 1, as other tools count */
    uint64_t offset;     /* of its block in the file, bytes */
    uint64_t time_ns;    /* since 1970; 0 when the file does not say */
    uint32_t link;       /* enum pcapng_link, or any other LINKTYPE_ */
    const uint8_t *data; /* valid until the next call */
    uint32_t len;        /* bytes here */
    uint32_t orig_len;   /* bytes that it had */
};

/* ERR_NOMEM. The source is copied; what it refers to stays the caller's. */
int pcap_reader_new(const struct env *env, const struct pcap_source *source, struct pcap_reader **out);
void pcap_reader_free(struct pcap_reader *r);
/* 1: a packet. 0: the end. < 0: enum err, for good; pcap_reader_problem says what and where. */
int pcap_reader_next(struct pcap_reader *r, struct pcap_packet *out);
/* "offset 1234: block length 7 ..." after an error, "the file ends within a block at offset 99" after an end
 * that came too early; "" when all is well. Owned by the reader. */
const char *pcap_reader_problem(const struct pcap_reader *r);
/* The program that wrote the section (shb_userappl), cut to fit; "" when the file does not say. */
const char *pcap_reader_application(const struct pcap_reader *r);
/* The description of the interface of the last packet, cut to fit; "" when the file does not say. */
const char *pcap_reader_description(const struct pcap_reader *r);

#endif
