/* Mode parameter lists (SPC-4 7.5, SBC-3 6.4): headers, block descriptors and the pages 01h, 08h, 0Ah and 1Ch. */
#ifndef LUNETTE_SCSI_MODE_H
#define LUNETTE_SCSI_MODE_H

#include "common/scsi/field.h"

enum { MODE_PAGE_RECOVERY = 0x01, MODE_PAGE_CACHING = 0x08, MODE_PAGE_CONTROL = 0x0a, MODE_PAGE_EXCEPTIONS = 0x1c, MODE_PAGE_ALL = 0x3f };
#define MODE_SUBPAGE_ALL 0xffu

enum mode_pc { MODE_PC_CURRENT, MODE_PC_CHANGEABLE, MODE_PC_DEFAULT, MODE_PC_SAVED };

/* Header of MODE SENSE/SELECT(6) and (10), and what the block descriptor says. */
struct mode_header {
    bool ten;              /* which form */
    uint32_t data_len;     /* MODE DATA LENGTH as on the wire (0 in MODE SELECT) */
    uint8_t medium_type;
    bool write_protected, dpofua;
    bool long_lba;         /* 16-byte block descriptor; (10) only */
    uint16_t descriptor_len; /* bytes of block descriptors: 0, 8 or 16 here */
};
#define MODE_HEADER_6_LEN  4u
#define MODE_HEADER_10_LEN 8u

struct mode_block { /* a direct-access block descriptor */
    uint64_t blocks;
    uint32_t block_len;
};

/* Length written: 4 or 8. */
size_t mode_header_encode(const struct mode_header *h, uint8_t out[MODE_HEADER_10_LEN]);
/* Length read, or 0 when the data is shorter than the header. */
size_t mode_header_decode(bool ten, const uint8_t *data, size_t len, struct mode_header *out);
/* 8 bytes, or 16 when long_lba. Block counts that do not fit the short form become FFFFFFFFh. */
size_t mode_block_encode(const struct mode_block *b, bool long_lba, uint8_t out[16]);
void mode_block_decode(const uint8_t *data, bool long_lba, struct mode_block *out);

#define MODE_RECOVERY_FIELDS(F)                                                                                      \
    F(awre, 2, 7, 1)                                                                                                 \
    F(arre, 2, 6, 1)                                                                                                 \
    F(tb, 2, 5, 1)                                                                                                   \
    F(rc, 2, 4, 1)                                                                                                   \
    F(per, 2, 2, 1)                                                                                                  \
    F(dte, 2, 1, 1)                                                                                                  \
    F(read_retries, 3, 0, 8)                                                                                         \
    F(lbpere, 7, 7, 1)                                                                                               \
    F(write_retries, 8, 0, 8)                                                                                        \
    F(recovery_time_limit, 10, 0, 16)
#define MODE_CACHING_FIELDS(F)                                                                                       \
    F(ic, 2, 7, 1)                                                                                                   \
    F(abpf, 2, 6, 1)                                                                                                 \
    F(cap, 2, 5, 1)                                                                                                  \
    F(disc, 2, 4, 1)                                                                                                 \
    F(size, 2, 3, 1)                                                                                                 \
    F(wce, 2, 2, 1)                                                                                                  \
    F(mf, 2, 1, 1)                                                                                                   \
    F(rcd, 2, 0, 1)                                                                                                  \
    F(disable_prefetch_len, 4, 0, 16)                                                                                \
    F(min_prefetch, 6, 0, 16)                                                                                        \
    F(max_prefetch, 8, 0, 16)                                                                                        \
    F(max_prefetch_ceiling, 10, 0, 16)                                                                               \
    F(dra, 12, 5, 1)                                                                                                 \
    F(nv_dis, 12, 0, 1)                                                                                              \
    F(cache_segments, 13, 0, 8)
#define MODE_CONTROL_FIELDS(F)                                                                                       \
    F(tst, 2, 5, 3)                                                                                                  \
    F(tmf_only, 2, 4, 1)                                                                                             \
    F(dpicz, 2, 3, 1)                                                                                                \
    F(d_sense, 2, 2, 1)                                                                                              \
    F(gltsd, 2, 1, 1)                                                                                                \
    F(rlec, 2, 0, 1)                                                                                                 \
    F(queue_algorithm, 3, 4, 4)                                                                                      \
    F(nuar, 3, 3, 1)                                                                                                 \
    F(qerr, 3, 1, 2)                                                                                                 \
    F(rac, 4, 6, 1)                                                                                                  \
    F(ua_intlck, 4, 4, 2)                                                                                            \
    F(swp, 4, 3, 1)                                                                                                  \
    F(ato, 5, 7, 1)                                                                                                  \
    F(tas, 5, 6, 1)                                                                                                  \
    F(autoload, 5, 0, 3)                                                                                             \
    F(busy_timeout, 8, 0, 16)                                                                                        \
    F(self_test_time, 10, 0, 16)
#define MODE_EXCEPTIONS_FIELDS(F)                                                                                    \
    F(perf, 2, 7, 1)                                                                                                 \
    F(ebf, 2, 5, 1)                                                                                                  \
    F(ewasc, 2, 4, 1)                                                                                                \
    F(dexcpt, 2, 3, 1)                                                                                               \
    F(test, 2, 2, 1)                                                                                                 \
    F(logerr, 2, 0, 1)                                                                                               \
    F(mrie, 3, 0, 4)                                                                                                 \
    F(interval_timer, 4, 0, 32)                                                                                      \
    F(report_count, 8, 0, 32)

struct mode_recovery {
    MODE_RECOVERY_FIELDS(SCSI_FIELD_MEMBER)
};
struct mode_caching {
    MODE_CACHING_FIELDS(SCSI_FIELD_MEMBER)
};
struct mode_control {
    MODE_CONTROL_FIELDS(SCSI_FIELD_MEMBER)
};
struct mode_exceptions {
    MODE_EXCEPTIONS_FIELDS(SCSI_FIELD_MEMBER)
};

struct mode_page_def {
    uint8_t page, subpage;
    uint8_t len; /* bytes with the two of the page header */
    const char *name;
    const struct scsi_field *fields;
    uint8_t field_count;
};
#define MODE_PAGE_LEN_MAX 20u
extern const struct mode_page_def mode_pages[]; /* ascending by page */
extern const size_t mode_page_count;
const struct mode_page_def *mode_page_find(uint8_t page, uint8_t subpage);

/* A page with its header from / into the struct that belongs to it. */
void mode_page_encode(const struct mode_page_def *def, const void *values, uint8_t out[MODE_PAGE_LEN_MAX]);
void mode_page_decode(const struct mode_page_def *def, const uint8_t *data, size_t len, void *out);

/* One page of a list after header and block descriptors: advances *at past it. False: end, or a cut page. `body_len` is the
 * whole page with header; ps is the PS or (in MODE SELECT) reserved bit. */
struct mode_page_view {
    uint8_t page, subpage;
    bool ps;
    const uint8_t *data;
    uint16_t len;
};
bool mode_page_next(const uint8_t *data, size_t len, size_t *at, struct mode_page_view *out);

/* Text of whole MODE SENSE data. */
void mode_describe(bool ten, const uint8_t *data, size_t len, char *buf, size_t buf_len);

#endif
