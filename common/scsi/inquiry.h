/* Standard INQUIRY data and vital product data pages 00, 80, 83, 86, B0, B1 and B2 (SPC-4 6.6 and 7.8, SBC-3 6.5). */
#ifndef LUNETTE_SCSI_INQUIRY_H
#define LUNETTE_SCSI_INQUIRY_H

#include "common/scsi/field.h"

enum {
    VPD_SUPPORTED = 0x00,
    VPD_SERIAL = 0x80,
    VPD_DEVICE_ID = 0x83,
    VPD_EXTENDED = 0x86,
    VPD_BLOCK_LIMITS = 0xb0,
    VPD_BLOCK_CHARACTERISTICS = 0xb1,
    VPD_PROVISIONING = 0xb2
};

#define INQUIRY_STANDARD_LEN 74u /* bytes: up to and with eight version descriptors */

#define INQUIRY_STANDARD_FIELDS(F)                                                                                   \
    F(qualifier, 0, 5, 3)                                                                                            \
    F(device_type, 0, 0, 5)                                                                                          \
    F(rmb, 1, 7, 1)                                                                                                  \
    F(lu_cong, 1, 6, 1)                                                                                              \
    F(version, 2, 0, 8)                                                                                              \
    F(normaca, 3, 5, 1)                                                                                              \
    F(hisup, 3, 4, 1)                                                                                                \
    F(response_data_format, 3, 0, 4)                                                                                 \
    F(additional_len, 4, 0, 8)                                                                                       \
    F(sccs, 5, 7, 1)                                                                                                 \
    F(tpgs, 5, 4, 2)                                                                                                 \
    F(third_party_copy, 5, 3, 1)                                                                                     \
    F(protect, 5, 0, 1)                                                                                              \
    F(encserv, 6, 6, 1)                                                                                              \
    F(multip, 6, 4, 1)                                                                                               \
    F(cmdque, 7, 1, 1)                                                                                               \
    F(version_descriptor_1, 58, 0, 16)                                                                               \
    F(version_descriptor_2, 60, 0, 16)                                                                               \
    F(version_descriptor_3, 62, 0, 16)                                                                               \
    F(version_descriptor_4, 64, 0, 16)                                                                               \
    F(version_descriptor_5, 66, 0, 16)                                                                               \
    F(version_descriptor_6, 68, 0, 16)                                                                               \
    F(version_descriptor_7, 70, 0, 16)                                                                               \
    F(version_descriptor_8, 72, 0, 16)

struct inquiry_standard {
    INQUIRY_STANDARD_FIELDS(SCSI_FIELD_MEMBER)
    char vendor[9], product[17], revision[5]; /* without the padding */
};
void inquiry_standard_encode(const struct inquiry_standard *values, uint8_t out[INQUIRY_STANDARD_LEN]);
/* False below 5 bytes. */
bool inquiry_standard_decode(const uint8_t *data, size_t len, struct inquiry_standard *out);

#define VPD_HEADER_LEN 4u
struct vpd_header {
    uint8_t qualifier, device_type, page;
    uint16_t len; /* bytes after the header */
};
void vpd_header_encode(const struct vpd_header *h, uint8_t out[VPD_HEADER_LEN]);
bool vpd_header_decode(const uint8_t *data, size_t len, struct vpd_header *out);

#define VPD_EXTENDED_LEN 64u
#define VPD_EXTENDED_FIELDS(F)                                                                                       \
    F(activate_microcode, 4, 6, 2)                                                                                   \
    F(spt, 4, 3, 3)                                                                                                  \
    F(grd_chk, 4, 2, 1)                                                                                              \
    F(app_chk, 4, 1, 1)                                                                                              \
    F(ref_chk, 4, 0, 1)                                                                                              \
    F(uask_sup, 5, 5, 1)                                                                                             \
    F(group_sup, 5, 4, 1)                                                                                            \
    F(prior_sup, 5, 3, 1)                                                                                            \
    F(headsup, 5, 2, 1)                                                                                              \
    F(ordsup, 5, 1, 1)                                                                                               \
    F(simpsup, 5, 0, 1)                                                                                              \
    F(wu_sup, 6, 3, 1)                                                                                               \
    F(crd_sup, 6, 2, 1)                                                                                              \
    F(nv_sup, 6, 1, 1)                                                                                               \
    F(v_sup, 6, 0, 1)                                                                                                \
    F(luiclr, 7, 0, 1)                                                                                               \
    F(r_sup, 8, 4, 1)                                                                                                \
    F(extended_self_test_minutes, 10, 0, 16)                                                                         \
    F(max_sense_len, 13, 0, 8)

#define VPD_BLOCK_LIMITS_LEN 64u
#define VPD_BLOCK_LIMITS_FIELDS(F)                                                                                   \
    F(wsnz, 4, 0, 1)                                                                                                 \
    F(max_compare_and_write, 5, 0, 8)                                                                                \
    F(optimal_granularity, 6, 0, 16)                                                                                 \
    F(max_transfer, 8, 0, 32)                                                                                        \
    F(optimal_transfer, 12, 0, 32)                                                                                   \
    F(max_prefetch, 16, 0, 32)                                                                                       \
    F(max_unmap_blocks, 20, 0, 32)                                                                                   \
    F(max_unmap_descriptors, 24, 0, 32)                                                                              \
    F(unmap_granularity, 28, 0, 32)                                                                                  \
    F(ugavalid, 32, 31, 1)                                                                                           \
    F(unmap_alignment, 32, 0, 31)                                                                                    \
    F(max_write_same, 36, 0, 64)                                                                                     \
    F(max_atomic, 44, 0, 32)                                                                                         \
    F(atomic_alignment, 48, 0, 32)                                                                                   \
    F(atomic_granularity, 52, 0, 32)                                                                                 \
    F(max_atomic_boundary_transfer, 56, 0, 32)                                                                       \
    F(max_atomic_boundary, 60, 0, 32)

#define VPD_BLOCK_CHARACTERISTICS_LEN 64u
#define VPD_BLOCK_CHARACTERISTICS_FIELDS(F)                                                                          \
    F(rotation_rate, 4, 0, 16)                                                                                       \
    F(product_type, 6, 0, 8)                                                                                         \
    F(wabereq, 7, 6, 2)                                                                                              \
    F(wacereq, 7, 4, 2)                                                                                              \
    F(form_factor, 7, 0, 4)                                                                                          \
    F(fuab, 8, 1, 1)                                                                                                 \
    F(vbuls, 8, 0, 1)

#define VPD_PROVISIONING_LEN 8u
#define VPD_PROVISIONING_FIELDS(F)                                                                                   \
    F(threshold_exponent, 4, 0, 8)                                                                                   \
    F(lbpu, 5, 7, 1)                                                                                                 \
    F(lbpws, 5, 6, 1)                                                                                                \
    F(lbpws10, 5, 5, 1)                                                                                              \
    F(lbprz, 5, 2, 3)                                                                                                \
    F(anc_sup, 5, 1, 1)                                                                                              \
    F(dp, 5, 0, 1)                                                                                                   \
    F(minimum_percentage, 6, 3, 5)                                                                                   \
    F(provisioning_type, 6, 0, 3)                                                                                    \
    F(threshold_percentage, 7, 0, 8)

struct vpd_extended {
    VPD_EXTENDED_FIELDS(SCSI_FIELD_MEMBER)
};
struct vpd_block_limits {
    VPD_BLOCK_LIMITS_FIELDS(SCSI_FIELD_MEMBER)
};
struct vpd_block_characteristics {
    VPD_BLOCK_CHARACTERISTICS_FIELDS(SCSI_FIELD_MEMBER)
};
struct vpd_provisioning {
    VPD_PROVISIONING_FIELDS(SCSI_FIELD_MEMBER)
};

/* The pages that are nothing but fields. */
struct vpd_page_def {
    uint8_t page;
    uint8_t len; /* bytes with header */
    const char *name;
    const struct scsi_field *fields;
    uint8_t field_count;
};
extern const struct vpd_page_def vpd_pages[];
extern const size_t vpd_page_count;
const struct vpd_page_def *vpd_page_find(uint8_t page); /* NULL: not one of these */
/* Whole page with header; `values` is the page's struct. Returns its length. */
size_t vpd_page_encode(const struct vpd_page_def *def, uint8_t qualifier, uint8_t device_type, const void *values,
                       uint8_t *out);
/* False when the data is not this page. Missing fields read as 0. */
bool vpd_page_decode(const struct vpd_page_def *def, const uint8_t *data, size_t len, void *out);

/* ---- page 83h: designators ---- */
enum vpd_association { VPD_OF_LU, VPD_OF_PORT, VPD_OF_DEVICE };
enum vpd_designator_type {
    VPD_DESIGNATOR_VENDOR,
    VPD_DESIGNATOR_T10,
    VPD_DESIGNATOR_EUI64,
    VPD_DESIGNATOR_NAA,
    VPD_DESIGNATOR_RELATIVE_PORT,
    VPD_DESIGNATOR_PORT_GROUP,
    VPD_DESIGNATOR_LU_GROUP,
    VPD_DESIGNATOR_MD5,
    VPD_DESIGNATOR_NAME,
    VPD_DESIGNATOR_PROTOCOL,
    VPD_DESIGNATOR_UUID
};
enum vpd_code_set { VPD_BINARY = 1, VPD_ASCII = 2, VPD_UTF8 = 3 };
struct vpd_designator {
    uint8_t protocol; /* 5: iSCSI; counts when piv */
    bool piv;
    uint8_t code_set, association, type;
    uint8_t len;
    const uint8_t *data; /* borrowed */
};
#define VPD_PROTOCOL_ISCSI 5u
/* Appends one designator at *at; false when it does not fit into size. */
bool vpd_designator_put(uint8_t *out, size_t size, size_t *at, const struct vpd_designator *d);
/* A SCSI name string: UTF-8, NUL terminated and padded to a multiple of four. */
bool vpd_name_put(uint8_t *out, size_t size, size_t *at, uint8_t association, const char *name);
/* The next one of a page 83h (start with *at = VPD_HEADER_LEN); false at the end or where it is cut. */
bool vpd_designator_next(const uint8_t *data, size_t len, size_t *at, struct vpd_designator *out);

/* Text: `page` is -1 for standard data, else the VPD page. Pages without a decoder are dumped in hexadecimal. */
void inquiry_describe(int page, const uint8_t *data, size_t len, char *buf, size_t buf_len);
const char *vpd_page_name(uint8_t page); /* NULL: unknown */

#endif
