/* Goal: INQUIRY data, VPD pages, mode pages and capacity data are encoded and decoded without loss; foreign,
 * cut and hostile data is read safely. Method: round trips with every field at its maximum, published sample
 * vectors, every prefix, random bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/scsi/capacity.h"
#include "common/scsi/inquiry.h"
#include "common/scsi/mode.h"

/* Any list of fields against its struct: decoding what was encoded gives the same values, one field at a
 * time. */
static void check_list(const struct scsi_field *list, size_t count, size_t len, size_t struct_len)
{
    uint8_t data[256];
    uint64_t values[64], back[64];
    assert_true(struct_len <= sizeof values && len <= sizeof data);
    for (size_t i = 0; i < count; i++) {
        memset(values, 0, sizeof values);
        memset(data, 0, sizeof data);
        uint64_t max = scsi_field_max(&list[i]);
        memcpy((char *)values + list[i].member, &max, sizeof max);
        scsi_fields_encode(list, count, values, data, len);
        memset(back, 0xaa, sizeof back);
        scsi_fields_decode(list, count, data, len, back);
        for (size_t k = 0; k < count; k++) {
            uint64_t v;
            memcpy(&v, (char *)back + list[k].member, sizeof v);
            assert_int_equal(v, k == i ? max : 0); /* fields do not overlap */
        }
    }
}

static void every_field_of_every_page_survives(void **state)
{
    (void)state;
    for (size_t i = 0; i < vpd_page_count; i++)
        check_list(vpd_pages[i].fields, vpd_pages[i].field_count, vpd_pages[i].len,
                   vpd_pages[i].field_count * 8u);
    for (size_t i = 0; i < mode_page_count; i++)
        check_list(mode_pages[i].fields, mode_pages[i].field_count, mode_pages[i].len,
                   mode_pages[i].field_count * 8u);
}

static const uint8_t standard_sample[96] = {
    0x00, 0x00, 0x07, 0x02, 0x5b, 0x00, 0x10, 0x0a, 'L', 'i', 'n',         'u',  'x',  ' ',  ' ',  ' ', 's',
    'c',  's',  'i',  '_',  'd',  'e',  'b',  'u',  'g', ' ', ' ',         ' ',  ' ',  ' ',  ' ',  '0', '1',
    '9',  '1',  '2',  '0',  '2',  '1',  '0',  '5',  '2', '0', [59] = 0xc0, 0x05, 0xc0, 0x06, 0x00, 0x21};

static void a_foreign_standard_inquiry(void **state)
{
    (void)state;
    struct inquiry_standard s;
    assert_true(inquiry_standard_decode(standard_sample, sizeof standard_sample, &s));
    assert_string_equal(s.vendor, "Linux");
    assert_string_equal(s.product, "scsi_debug");
    assert_string_equal(s.revision, "0191");
    assert_int_equal(s.version, 7);
    assert_int_equal(s.cmdque, 1);
    assert_int_equal(s.multip, 1);
    assert_int_equal(s.version_descriptor_1, 0x00c0);
    assert_int_equal(s.version_descriptor_2, 0x05c0);
    assert_int_equal(s.version_descriptor_3, 0x0600);
    assert_true(inquiry_standard_decode(standard_sample, 20, &s));
    assert_string_equal(s.product, "scsi");
    assert_string_equal(s.revision, "");
    char text[2000];
    inquiry_describe(-1, standard_sample, sizeof standard_sample, text, sizeof text);
    assert_non_null(strstr(text, "product: scsi_debug"));
}

static const uint8_t device_id_sample[] = {
    0x00, 0x83, 0x00, 0x48, 0x01, 0x03, 0x00, 0x08, 0x50, 0x00, 0xc5, 0x00, 0x30, 0x11, 0xcb, 0x2b,
    0x61, 0x93, 0x00, 0x08, 0x50, 0x00, 0xc5, 0x00, 0x30, 0x11, 0xcb, 0x29, 0x61, 0x94, 0x00, 0x04,
    0x00, 0x00, 0x00, 0x01, 0x61, 0xa3, 0x00, 0x08, 0x50, 0x00, 0xc5, 0x00, 0x30, 0x11, 0xcb, 0x28,
    0x03, 0x28, 0x00, 0x18, 0x6e, 0x61, 0x61, 0x2e, 0x35, 0x30, 0x30, 0x30, 0x43, 0x35, 0x30, 0x30,
    0x33, 0x30, 0x31, 0x31, 0x43, 0x42, 0x32, 0x38, 0x00, 0x00, 0x00, 0x00};
static const uint8_t limits_sample[66] = {
    0x00, 0xb0, 0x00, 0x3e, 0x00,        0x00,        0x00,        0x08,
    0x00, 0x00, 0xff, 0xff, [21] = 0x06, [26] = 0x02, [31] = 0x08, [65] = 0x14};

static void foreign_vpd_pages(void **state)
{
    (void)state;
    struct vpd_designator d;
    size_t at = VPD_HEADER_LEN, count = 0;
    static const uint8_t types[] = {3, 3, 4, 3, 8};
    while (vpd_designator_next(device_id_sample, sizeof device_id_sample, &at, &d)) {
        assert_true(count < 5);
        assert_int_equal(d.type, types[count]);
        count++;
    }
    assert_int_equal(count, 5);
    assert_int_equal(d.len, 24);
    assert_memory_equal(d.data, "naa.5000C5003011CB28", 20);
    struct vpd_block_limits limits;
    assert_true(
        vpd_page_decode(vpd_page_find(VPD_BLOCK_LIMITS), limits_sample, sizeof limits_sample, &limits));
    assert_int_equal(limits.optimal_granularity, 8);
    assert_int_equal(limits.max_transfer, 0xffff);
    assert_int_equal(limits.max_unmap_blocks, 0x60000);
    assert_int_equal(limits.max_unmap_descriptors, 0x200);
    assert_int_equal(limits.unmap_granularity, 8);
    assert_false(
        vpd_page_decode(vpd_page_find(VPD_PROVISIONING), limits_sample, sizeof limits_sample, &limits));
}

static const uint8_t modes_sample[] = {
    0x00, 0x56, 0x00, 0x10, 0x00, 0x00, 0x00, 0x08, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x02,
    0x00, 0x01, 0x0a, 0xc0, 0x0b, 0xf0, 0x00, 0x00, 0x00, 0x05, 0x00, 0xff, 0xff, 0x08, 0x12,
    0x14, 0x00, 0xff, 0xff, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x80, 0x14, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x0a, 0x0a, 0x02, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x02, 0x4b,
    0x59, 0x02, 0x00, 0x0c, 0x00, 0x06, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x1c, 0x0a, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

static void foreign_mode_pages(void **state)
{
    (void)state;
    struct mode_header h;
    struct mode_block b;
    size_t at = mode_header_decode(true, modes_sample, sizeof modes_sample, &h);
    assert_int_equal(at, 8);
    assert_true(h.dpofua && !h.write_protected && h.descriptor_len == 8);
    mode_block_decode(modes_sample + at, false, &b);
    assert_int_equal(b.blocks, 0x800000);
    assert_int_equal(b.block_len, 512);
    at += 8;
    struct mode_page_view v;
    static const uint8_t pages[] = {0x01, 0x08, 0x0a, 0x19, 0x1c};
    size_t count = 0;
    while (mode_page_next(modes_sample, sizeof modes_sample, &at, &v)) {
        assert_true(count < 5);
        assert_int_equal(v.page, pages[count++]);
        if (v.page == 0x08) {
            struct mode_caching c;
            mode_page_decode(mode_page_find(8, 0), v.data, v.len, &c);
            assert_true(c.wce && c.disc && !c.rcd);
        }
    }
    assert_int_equal(count, 5);
    char text[4000];
    mode_describe(true, modes_sample, sizeof modes_sample, text, sizeof text);
    assert_non_null(strstr(text, "wce: 1"));
}

static void capacities(void **state)
{
    (void)state;
    struct capacity_16 c = {.last_lba = UINT64_MAX - 1,
                            .block_len = 4096,
                            .lbppbe = 3,
                            .lbpme = 1,
                            .lbprz = 1,
                            .lowest_aligned_lba = 0x3fff},
                       back;
    uint8_t data[CAPACITY_16_LEN];
    capacity_16_encode(&c, data);
    assert_true(capacity_16_decode(data, sizeof data, &back));
    assert_memory_equal(&c, &back, sizeof c);
    assert_true(capacity_16_decode(data, 12, &back));
    assert_int_equal(back.lbpme, 0);
    assert_false(capacity_16_decode(data, 11, &back));
    struct capacity_10 ten = {0xffffffff, 512}, ten_back;
    capacity_10_encode(&ten, data);
    assert_true(capacity_10_decode(data, 8, &ten_back));
    assert_memory_equal(&ten, &ten_back, sizeof ten);
}

static void names_are_terminated_and_padded(void **state)
{
    (void)state;
    uint8_t page[600];
    for (size_t len = 1; len < 251; len++) {
        char name[256] = {0};
        memset(name, 'a', len);
        size_t at = 0;
        assert_true(vpd_name_put(page, sizeof page, &at, VPD_OF_DEVICE, name));
        assert_int_equal(at % 4, 0);
        assert_int_equal(page[4 + len], 0);
        at = 0;
        assert_false(vpd_name_put(page, len + 4, &at, VPD_OF_DEVICE, name));
    }
}

static void hostile_data_is_described_safely(void **state)
{
    (void)state;
    char text[300];
    srand(2);
    for (int i = 0; i < 30000; i++) {
        size_t len = (size_t)rand() % 120;
        uint8_t *data = malloc(len + !len);
        for (size_t k = 0; k < len; k++)
            data[k] = (uint8_t)(rand() % 3 ? rand() % 16 : rand());
        static const uint8_t pages[] = {0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2, 0x55};
        int page = i % 9 == 8 ? -1 : pages[i % 9];
        if (len > 1 && page >= 0)
            data[1] = (uint8_t)page;
        inquiry_describe(page, data, len, text, sizeof text);
        mode_describe(i & 1, data, len, text, sizeof text);
        assert_true(strlen(text) < sizeof text);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_every_page_survives),
        cmocka_unit_test(a_foreign_standard_inquiry),
        cmocka_unit_test(foreign_vpd_pages),
        cmocka_unit_test(foreign_mode_pages),
        cmocka_unit_test(capacities),
        cmocka_unit_test(names_are_terminated_and_padded),
        cmocka_unit_test(hostile_data_is_described_safely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
