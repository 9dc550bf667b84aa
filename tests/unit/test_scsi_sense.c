/* Goal: sense data is built and read in both formats without loss, cut and hostile data is read safely, names
 * are right. Method: round trips over all fields, published sample vectors, every prefix of them, random
 * bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/scsi/sense.h"

static void both_formats_keep_everything(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        struct scsi_sense s = sense_make(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB), back;
        s.deferred = bits & 1;
        s.has_information = bits & 2;
        s.information = s.has_information ? 0x12345678 : 0;
        s.has_command_specific = bits & 4;
        s.command_specific = s.has_command_specific ? 0x9abcdef0 : 0;
        if (bits & 8)
            sense_point(&s, bits & 16, 0x1234, bits & 32 ? 5 : -1);
        s.fru = bits & 16 ? 0x77 : 0;
        s.ili = bits & 32;
        for (int descriptor = 0; descriptor < 2; descriptor++) {
            uint8_t data[SENSE_BUILD_MAX];
            size_t len = sense_build(&s, descriptor, data);
            assert_true(len <= SENSE_BUILD_MAX);
            assert_true(sense_parse(data, len, &back));
            assert_int_equal(back.descriptor, descriptor);
            back.descriptor = false;
            assert_memory_equal(&back.key, &s.key, 3);
            assert_int_equal(back.deferred, s.deferred);
            assert_int_equal(back.ili, s.ili);
            assert_int_equal(back.fru, s.fru);
            assert_int_equal(back.has_information, s.has_information);
            assert_int_equal(back.information, s.information);
            assert_int_equal(back.command_specific, s.command_specific);
            assert_int_equal(back.has_sks, s.has_sks);
            assert_memory_equal(back.sks, s.sks, 3);
        }
    }
}

static void fixed_format_leaves_out_what_it_cannot_hold(void **state)
{
    (void)state;
    struct scsi_sense s = sense_make(SENSE_MEDIUM_ERROR, ASC_UNRECOVERED_READ_ERROR), back;
    uint8_t data[SENSE_BUILD_MAX];
    s.has_information = true;
    s.information = UINT64_C(1) << 32;
    assert_int_equal(sense_build(&s, false, data), SENSE_FIXED_LEN);
    assert_true(sense_parse(data, SENSE_FIXED_LEN, &back));
    assert_false(back.has_information);
    size_t len = sense_build(&s, true, data);
    assert_true(sense_parse(data, len, &back));
    assert_int_equal(back.information, UINT64_C(1) << 32);
}

/* Sample data of sg3_utils. */
static const uint8_t fixed_sample[] = {0xf0, 0x00, 0x03, 0x00, 0x00, 0x12, 0x34, 0x0a, 0x00,
                                       0x00, 0x00, 0x00, 0x11, 0x00, 0x77, 0x80, 0x01, 0x98};
static const uint8_t descriptor_sample[] = {
    0x72, 0x01, 0x03, 0x02, 0x80, 0x00, 0x00, 0x4c, 0x00, 0x0a, 0x80, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
    0x66, 0x77, 0xbb, 0x01, 0x0a, 0x00, 0x00, 0x33, 0x44, 0x55, 0x66, 0x77, 0xbb, 0xcc, 0xff, 0x02, 0x06,
    0x00, 0x00, 0x80, 0x01, 0x01, 0x00, 0x03, 0x02, 0x00, 0x45, 0x0a, 0x06, 0x02, 0x01, 0x02, 0x00, 0x32,
    0x01, 0x05, 0x02, 0x00, 0x20, 0x0b, 0x1a, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01, 0x02, 0x03, 0x04,
    0x05, 0x06, 0x07, 0x08, 0x01, 0x02, 0x03, 0x04, 0x55, 0x06, 0x07, 0x08, 0x02, 0x00, 0x12, 0x34};

static void published_samples(void **state)
{
    (void)state;
    struct scsi_sense s;
    assert_true(sense_parse(fixed_sample, sizeof fixed_sample, &s));
    assert_int_equal(s.key, SENSE_MEDIUM_ERROR);
    assert_int_equal(s.asc << 8 | s.ascq, 0x1100);
    assert_true(s.has_information && s.information == 0x1234);
    assert_int_equal(s.fru, 0x77);
    assert_true(s.has_sks && s.sks[2] == 0x98);
    assert_true(sense_parse(descriptor_sample, sizeof descriptor_sample, &s));
    assert_int_equal(s.key, SENSE_RECOVERED_ERROR);
    assert_int_equal(s.information, UINT64_C(0x11223344556677bb));
    assert_int_equal(s.command_specific, UINT64_C(0x3344556677bbccff));
    assert_int_equal(s.fru, 0x45);
    assert_true(s.ili);
    assert_true(s.has_sks && s.sks[1] == 1 && s.sks[2] == 1);
}

static void cut_and_random_data_is_read_safely(void **state)
{
    (void)state;
    struct scsi_sense s;
    char text[64];
    for (size_t len = 0; len <= sizeof descriptor_sample; len++) {
        uint8_t *copy = malloc(len + !len); /* exact: the sanitizer sees one byte too far */
        memcpy(copy, descriptor_sample, len);
        assert_int_equal(sense_parse(copy, len, &s), len >= 3);
        if (len <= sizeof fixed_sample) {
            memcpy(copy, fixed_sample, len);
            assert_int_equal(sense_parse(copy, len, &s), len >= 3);
        }
        free(copy);
    }
    srand(1);
    for (int i = 0; i < 20000; i++) {
        size_t len = (size_t)rand() % 60;
        uint8_t *data = malloc(len + !len);
        for (size_t k = 0; k < len; k++)
            data[k] = (uint8_t)rand();
        if (len)
            data[0] = (uint8_t)(0x70 + rand() % 4);
        if (sense_parse(data, len, &s))
            sense_describe(&s, text, sizeof text);
        free(data);
    }
    const uint8_t none[18] = {0};
    assert_false(sense_parse(none, sizeof none, &s));
}

static void codes_have_names(void **state)
{
    (void)state;
    assert_int_equal(sense_asc_count, 764);
    for (size_t i = 0; i < sense_asc_count; i++) {
        const struct sense_asc_row *row = &sense_asc_rows[i];
        assert_ptr_equal(sense_asc_name(row->asc, row->ascq), row->name);
        assert_true(i == 0 || row[-1].asc < row->asc ||
                    (row[-1].asc == row->asc && row[-1].ascq < row->ascq));
    }
    assert_string_equal(sense_asc_name(0x27, 0x07), "SPACE ALLOCATION FAILED WRITE PROTECT");
    assert_string_equal(sense_asc_name(0x3a, 0x00), "MEDIUM NOT PRESENT");
    assert_null(sense_asc_name(0xfe, 0xfe));
    assert_string_equal(scsi_status_name(0x28), "TASK SET FULL");
    struct scsi_sense s = sense_make(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    sense_point(&s, true, 2, 7);
    char text[200];
    sense_describe(&s, text, sizeof text);
    assert_string_equal(text, "ILLEGAL REQUEST: INVALID FIELD IN CDB (05/24/00), field in CDB byte 2 bit 7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_keep_everything),
        cmocka_unit_test(fixed_format_leaves_out_what_it_cannot_hold),
        cmocka_unit_test(published_samples),
        cmocka_unit_test(cut_and_random_data_is_read_safely),
        cmocka_unit_test(codes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
